//! What people choose by hand: obeyed, shown with who and when, and kept across restarts.

use super::Daemon;
use crate::choices;
use crate::control::{Call, Response};
use crate::engine::command::{Caller, Command, IssuedCommand};
use crate::engine::input::Input;
use crate::engine::status::{Choices, Chosen, Draining, Maintenance};

impl Daemon {
    pub(super) fn obey(&mut self, call: &Call, command: &Command) -> Response {
        if let Err(refusal) = self.engine.check(command) {
            return refusal.into();
        }
        self.tell(Input::Command(self.issued(&call.by, command)));
        let is_coming = |uplink| self.engine.carrier() != Some(uplink);
        let done = match command {
            Command::Switch { uplink, .. } if is_coming(uplink) => {
                format!("{uplink} is brought up, and the traffic goes there once it is usable")
            }
            Command::Switch { uplink, pin: false } => {
                format!("the traffic goes through {uplink} until `auto`, or until it fails")
            }
            Command::Switch { uplink, pin: true } => {
                format!("the traffic goes through {uplink} until `auto`, even if it fails")
            }
            Command::Auto => "the agent chooses again".to_owned(),
            Command::Disable { uplink, .. } => {
                format!("{uplink} carries no traffic until `enable`")
            }
            Command::Enable { uplink } => format!("{uplink} may carry traffic again"),
        };
        Response::Done(self.chosen_by(&call.by, command, done))
    }

    /// A command with who gave it, now.
    pub(super) fn issued(&self, by: &Caller, command: &Command) -> IssuedCommand {
        IssuedCommand {
            command: command.clone(),
            by: Some(by.clone()),
            at: Some(self.clock.wall().at(self.clock.now())),
        }
    }

    /// Keeps what was just chosen; returns `done`, and what is wrong if it will be forgotten.
    pub(super) fn chosen_by(&mut self, by: &Caller, command: &Command, done: String) -> String {
        tracing::info!(%command, %by, "by hand");
        match self.note_choices(Some(by)) {
            None => done,
            Some(why) => format!("{done}; a restart will forget it: {why}"),
        }
    }

    /// Takes over what is chosen now, with who chose what is new; says why that cannot be kept.
    pub(super) fn note_choices(&mut self, by: Option<&Caller>) -> Option<String> {
        let at = by.map(|_| self.clock.wall().at(self.clock.now()));
        let by = by.map(ToString::to_string);
        let mut now = self.engine.choices();
        if let Some(chosen) = &mut now.switch {
            let known = self.choices.switch.clone();
            let is_same =
                |known: &Chosen| known.uplink == chosen.uplink && known.pinned == chosen.pinned;
            *chosen = known.filter(is_same).unwrap_or_else(|| Chosen {
                by: by.clone(),
                at,
                ..chosen.clone()
            });
        }
        for (uplink, maintenance) in &mut now.disabled {
            let known = self.choices.disabled.get(uplink).cloned();
            *maintenance = known.unwrap_or_else(|| Maintenance {
                by: by.clone(),
                at,
                draining: None,
            });
        }
        let is_news = now != self.choices;
        self.choices = now;
        let is_owed = by.is_some() && self.owes_choices;
        if !(is_news || is_owed) || self.options.observe {
            return None;
        }
        let kept = choices::keep(&self.choices, &self.config.agent.state_dir);
        self.owes_choices = kept.is_err();
        let why = format!("{:#}", anyhow::Error::from(kept.err()?));
        tracing::warn!(why, "a restart will forget what was chosen by hand");
        Some(why)
    }

    /// What is chosen, as it is known here.
    pub(super) fn shown_choices(&self) -> Choices {
        let mut shown = self.choices.clone();
        for (uplink, maintenance) in &mut shown.disabled {
            let drained = self.engine.draining(uplink);
            maintenance.draining = drained.map(|(flows, until)| Draining {
                flows,
                until: self.clock.wall().at(until),
            });
        }
        shown
    }

    /// What operators chose in an earlier run.
    pub(super) fn recall_choices(&mut self) -> Vec<IssuedCommand> {
        let kept = choices::recall(&self.config.agent.state_dir).unwrap_or_else(|error| {
            let why = format!("{:#}", anyhow::Error::from(error));
            tracing::warn!(why, "what was chosen by hand before is not known");
            Choices::default()
        });
        let switch = kept.switch.iter().map(|chosen| {
            let uplink = chosen.uplink.clone();
            let pin = chosen.pinned;
            (Command::Switch { uplink, pin }, &chosen.uplink, &chosen.by)
        });
        let disabled = kept.disabled.iter().map(|(uplink, maintenance)| {
            (Command::disable(uplink.clone()), uplink, &maintenance.by)
        });
        let mut chosen = Vec::new();
        for (command, uplink, by) in switch.chain(disabled) {
            let mut uplinks = self.config.engine.uplinks.iter();
            if !uplinks.any(|known| known.name == *uplink) {
                tracing::warn!(%uplink, "was chosen by hand and is not configured any more");
                continue;
            }
            let by = by.as_deref().unwrap_or("somebody");
            tracing::info!(%command, by, "by hand, before a restart");
            chosen.push(command.into());
        }
        self.choices = kept;
        chosen
    }
}
