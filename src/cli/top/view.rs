//! The screen of `top`, from 80 columns and 24 rows upwards; smaller ones show less.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::dashboard::Dashboard;
use crate::cli::output::{Colour, list, short};
use crate::cli::status::{drill, table, waits};
use crate::engine::event::record::EventRecord;
use crate::engine::status::{SelectionMode, Status, UplinkStatus};
use crate::units::Timestamp;

/// Two lines for each uplink.
const LINES: usize = 2;
/// At least so many rows are left for events.
const EVENTS: u16 = 4;
const KEYS: &str = "q quit  up/down select  s switch to it  a automatic  d drill";

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, dashboard: &Dashboard, now: Timestamp, colours: bool) {
    let uplinks = dashboard
        .status
        .as_ref()
        .map_or(0, |status| status.uplinks.len());
    let wanted = u16::try_from(uplinks * LINES + 1).unwrap_or(u16::MAX);
    let [head, body, events, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Max(wanted),
        Constraint::Min(EVENTS),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let screen = Screen {
        dashboard,
        now,
        colours,
    };
    let mut show =
        |lines, area| frame.render_widget(Paragraph::<'_>::new::<Vec<Line<'_>>>(lines), area);
    show(screen.head(), head);
    show(screen.uplinks(body), body);
    show(screen.events(events), events);
    show(screen.foot(), foot);
}

struct Screen<'a> {
    dashboard: &'a Dashboard,
    now: Timestamp,
    colours: bool,
}

impl Screen<'_> {
    fn style(&self, colour: Colour) -> Style {
        match (colour, self.colours) {
            (Colour::Dim, _) => Style::new().add_modifier(Modifier::DIM),
            (_, false) => Style::new(),
            (Colour::Red, true) => Style::new().fg(Color::Red),
            (Colour::Green, true) => Style::new().fg(Color::Green),
            (Colour::Yellow, true) => Style::new().fg(Color::Yellow),
        }
    }

    /// Who carries the traffic, and what is wrong with the whole.
    fn head(&self) -> Vec<Line<'_>> {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let Some(status) = &self.dashboard.status else {
            let why = self
                .dashboard
                .problem
                .as_deref()
                .unwrap_or("asking the agent");
            return vec![Line::styled(why, bold)];
        };
        let mode = match status.mode {
            SelectionMode::Auto => "automatic",
            SelectionMode::Manual => "manual",
        };
        let since = status
            .since
            .map(|since| format!(" for {}", self.age(since)));
        let active = format!("active: {}", list(&status.active));
        let rest = format!(
            "{} ({mode}, policy {})",
            since.unwrap_or_default(),
            table::word(status.policy)
        );
        let first = Line::from(vec![Span::styled(active, bold), Span::raw(rest)]);
        let trouble = if let Some(problem) = &self.dashboard.problem {
            format!("{problem}; this is what was known last")
        } else {
            let drill = drill::drill(status, self.now);
            let drill = drill.filter(|_| status.drill.running.is_some());
            let troubles = table::troubles(status).into_iter();
            troubles.chain(drill).collect::<Vec<_>>().join("; ")
        };
        vec![first, Line::styled(trouble, self.style(Colour::Red))]
    }

    /// As many uplinks as there is room for, the selected one among them.
    fn uplinks(&self, area: Rect) -> Vec<Line<'_>> {
        let Some(status) = &self.dashboard.status else {
            return Vec::new();
        };
        let names = status
            .uplinks
            .iter()
            .map(|uplink| uplink.name.as_str().len());
        let width = names.max().unwrap_or_default().max("UPLINK".len());
        let title = format!(
            "   {:width$}  {:10}  {:>5}  {:>7}  {:>9}  {:>7}",
            "UPLINK", "STATE", "SCORE", "LOSS", "RTT", "FOR"
        );
        let graph = usize::from(area.width).saturating_sub(title.len() + 2);
        let title = format!("{title}  {}", cut("RTT, below it loss", graph));
        let mut lines = vec![Line::styled(title, self.style(Colour::Dim))];
        let room = usize::from(area.height.saturating_sub(1)) / LINES;
        let first = (self.dashboard.selected + 1).saturating_sub(room.max(1));
        let shown = status.uplinks.iter().enumerate().skip(first).take(room);
        for (place, uplink) in shown {
            let is_selected = place == self.dashboard.selected;
            lines.extend(self.uplink(status, uplink, is_selected, (width, graph)));
        }
        lines
    }

    /// Its figures beside its round trips, and its reason beside its losses.
    fn uplink(
        &self,
        status: &Status,
        uplink: &UplinkStatus,
        is_selected: bool,
        (width, graph): (usize, usize),
    ) -> [Line<'static>; LINES] {
        let pointer = if is_selected { '>' } else { ' ' };
        let marker = if uplink.active { '*' } else { ' ' };
        let score = uplink
            .score
            .map_or_else(table::unknown, |score| score.to_string());
        let name = format!("{pointer}{marker} {:width$}  ", uplink.name.as_str());
        let state = format!("{:10}", uplink.state.as_str());
        let figures = format!(
            "  {score:>5}  {:>7}  {:>9}  {:>7}  ",
            table::percent(uplink.loss_percent),
            table::milliseconds(uplink.rtt_ms),
            self.age(uplink.since),
        );
        let note = waits::waits(status, uplink, self.now);
        let note = note.unwrap_or_else(|| uplink.reason.clone());
        let columns = name.len() + state.len() + figures.len();
        let note = cut(&format!("     {note}"), columns - 2);
        let course = self.dashboard.course(&uplink.name);
        let (rtt, loss) = course.map_or_else(Default::default, |course| {
            let rtt = bars(shares(&course.rtt, graph, None));
            (rtt, bars(shares(&course.loss, graph, Some(100.0))))
        });
        let name_style = if is_selected {
            Style::new().add_modifier(Modifier::BOLD)
        } else {
            Style::new()
        };
        [
            Line::from(vec![
                Span::styled(name, name_style),
                Span::styled(state, self.style(table::colour(uplink.state))),
                Span::raw(figures),
                Span::styled(rtt, self.style(Colour::Green)),
            ]),
            Line::from(vec![
                Span::styled(format!("{note:columns$}"), self.style(Colour::Dim)),
                Span::styled(loss, self.style(Colour::Red)),
            ]),
        ]
    }

    /// The newest at the bottom.
    fn events(&self, area: Rect) -> Vec<Line<'_>> {
        let mut lines = vec![Line::styled("EVENTS", self.style(Colour::Dim))];
        let room = usize::from(area.height.saturating_sub(1));
        let events = &self.dashboard.events;
        let newest = &events[events.len().saturating_sub(room)..];
        let width = usize::from(area.width);
        let line = |event: &EventRecord| Line::raw(cut(table::event(event).trim_end(), width));
        lines.extend(newest.iter().map(line));
        lines
    }

    /// A question, an answer, or the keys.
    fn foot(&self) -> Vec<Line<'_>> {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let line = match (&self.dashboard.asked, &self.dashboard.note) {
            (Some((question, _)), _) => Line::styled(question.as_str(), bold),
            (None, Some(note)) => Line::styled(note.as_str(), bold),
            (None, None) => Line::styled(KEYS, self.style(Colour::Dim)),
        };
        vec![line]
    }

    fn age(&self, since: Timestamp) -> String {
        short(self.now.0.duration_since(since.0).unwrap_or_default())
    }
}

/// A text of at most so many columns.
fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let kept: String = text.chars().take(columns.saturating_sub(1)).collect();
    kept + "\u{2026}"
}

/// The newest figures as shares of a whole, or of the greatest of them.
fn shares(
    figures: &VecDeque<Option<f64>>,
    columns: usize,
    whole: Option<f64>,
) -> impl Iterator<Item = Option<f64>> {
    let newest = figures.iter().skip(figures.len().saturating_sub(columns));
    let greatest = newest
        .clone()
        .flatten()
        .copied()
        .fold(f64::MIN_POSITIVE, f64::max);
    let whole = whole.unwrap_or(greatest);
    newest.map(move |figure| figure.map(|figure| figure / whole))
}

/// A bar for each share; nothing where none is known, or it is nothing.
fn bars(shares: impl Iterator<Item = Option<f64>>) -> String {
    const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let bar = |share: Option<f64>| {
        let eighths = (share.unwrap_or_default().clamp(0.0, 1.0) * 8.0).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 8"
        )]
        let place = eighths as usize;
        EIGHTHS[place.min(8)]
    };
    shares.map(bar).collect()
}
