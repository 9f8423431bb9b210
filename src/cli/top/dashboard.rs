//! What the screen shows and what the keys mean. Pure.

use std::collections::VecDeque;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::engine::command::{Command, DrillSpan};
use crate::engine::event::record::EventRecord;
use crate::engine::status::{Status, UplinkStatus};
use crate::units::UplinkName;

/// So many figures are kept: a second each, as many as the widest screen has columns.
const KEPT: usize = 300;

/// What the screen shows.
#[derive(Debug, Default)]
pub(super) struct Dashboard {
    pub(super) status: Option<Status>,
    /// The oldest first.
    pub(super) events: Vec<EventRecord>,
    /// Why the agent does not answer; what is shown is the last that was known.
    pub(super) problem: Option<String>,
    pub(super) selected: usize,
    /// A question, and the command that a yes gives.
    pub(super) asked: Option<(String, Command)>,
    /// What the agent said to the last command.
    pub(super) note: Option<String>,
    courses: Vec<(UplinkName, Course)>,
}

/// The figures of an uplink, one a second, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// In milliseconds.
    pub(super) rtt: VecDeque<Option<f64>>,
    /// In percent.
    pub(super) loss: VecDeque<Option<f64>>,
}

/// What a key asks for beyond the screen.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Quit,
    Order(Command),
}

impl Dashboard {
    /// Takes up what the agent says now.
    pub(super) fn take(&mut self, status: Status, events: Vec<EventRecord>) {
        let mut courses = std::mem::take(&mut self.courses);
        for uplink in &status.uplinks {
            let known = courses.iter().position(|(name, _)| *name == uplink.name);
            let mut course = known.map_or_else(Course::default, |at| courses.swap_remove(at).1);
            course.add(uplink);
            self.courses.push((uplink.name.clone(), course));
        }
        self.selected = self.selected.min(status.uplinks.len().saturating_sub(1));
        (self.status, self.events) = (Some(status), events);
        self.problem = None;
    }

    /// The figures of an uplink so far.
    pub(super) fn course(&self, uplink: &UplinkName) -> Option<&Course> {
        let mut courses = self.courses.iter();
        courses
            .find(|(name, _)| name == uplink)
            .map(|(_, course)| course)
    }

    /// Takes a key.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other keys")]
    pub(super) fn press(&mut self, key: KeyEvent) -> Option<Effect> {
        let is_interrupt = key.modifiers.contains(KeyModifiers::CONTROL)
            && matches!(key.code, KeyCode::Char('c' | 'd'));
        if is_interrupt {
            return Some(Effect::Quit);
        }
        self.note = None;
        if let Some((_, command)) = self.asked.take() {
            let is_yes = matches!(key.code, KeyCode::Char('y' | 'Y'));
            return is_yes.then_some(Effect::Order(command));
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Some(Effect::Quit),
            KeyCode::Up | KeyCode::Char('k') => self.selected = self.selected.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => {
                let uplinks = self
                    .status
                    .as_ref()
                    .map_or(0, |status| status.uplinks.len());
                self.selected = (self.selected + 1).min(uplinks.saturating_sub(1));
            }
            KeyCode::Char('s') => {
                self.asked = self.selected_name().map(|uplink| {
                    let question = format!("Send the traffic to {uplink}, and leave it there? y/n");
                    (question, Command::switch(uplink))
                });
            }
            KeyCode::Char('d') => {
                self.asked = self.selected_name().map(|uplink| {
                    let lasts = DrillSpan::default();
                    let question =
                        format!("Let the path of {uplink} fail for {lasts}, as a drill? y/n");
                    (question, Command::Drill { uplink, lasts })
                });
            }
            KeyCode::Char('a') => {
                let question = "Let the agent choose again? y/n".to_owned();
                self.asked = Some((question, Command::Auto));
            }
            _ => {}
        }
        None
    }

    fn selected_name(&self) -> Option<UplinkName> {
        let uplink = self.status.as_ref()?.uplinks.get(self.selected)?;
        Some(uplink.name.clone())
    }
}

impl Course {
    fn add(&mut self, uplink: &UplinkStatus) {
        for (figures, figure) in [
            (&mut self.rtt, uplink.rtt_ms),
            (&mut self.loss, uplink.loss_percent),
        ] {
            figures.push_back(figure);
            if figures.len() > KEPT {
                figures.pop_front();
            }
        }
    }
}
