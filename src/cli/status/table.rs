//! The status as a table that fits the screen.

use std::fmt::Write;

use super::{allowance, drill, flows, hours, waits};
use crate::cli::output::{Colour, Palette, fitted, list, paragraph, short};
use crate::engine::event::record::{EventRecord, sides};
use crate::engine::settings::Policy;
use crate::engine::state::State;
use crate::engine::status::{
    BudgetStatus, Chosen, FlowMemoryWord, LastSwitch, Maintenance, NextHopState, NextHopStatus,
    PastOutage, RoutesState, SelectionMode, Status, TargetStatus, UplinkStatus,
};
use crate::routing::Family;
use crate::units::Timestamp;

/// What a drawing needs to know beside the status.
pub(super) struct Table {
    pub(super) now: Timestamp,
    pub(super) palette: Palette,
    /// The columns of the screen.
    pub(super) width: usize,
}

/// A column: its title and, for each row, its text.
type Row = [String; COLUMNS];

impl Table {
    /// Draws the status, with the targets of each uplink if wanted.
    pub(super) fn draw(&self, status: &Status, with_targets: bool) -> String {
        let mut text = self.summary(status);
        let rows: Vec<Row> = status.uplinks.iter().map(|u| self.row(u)).collect();
        let layout = Layout::of(&rows, self.width);
        let indent = layout.start_of(INTERFACE).min(DEEPEST_INDENT);
        text.push('\n');
        let titles = layout.aligned(&TITLES.map(str::to_owned));
        text.push_str(self.palette.paint(Colour::Dim, &titles).trim_end());
        text.push('\n');
        for (uplink, row) in status.uplinks.iter().zip(&rows) {
            text.push_str(&self.coloured(uplink.state, row, &layout));
            text.push('\n');
            let reason = uplink.reason.clone() + &part(status, uplink);
            let by_hand = self.maintenance(status, uplink);
            let mut notes = match (uplink.state, by_hand) {
                (State::Disabled, Some(by_hand)) => vec![by_hand],
                (_, by_hand) => [Some(reason), by_hand].into_iter().flatten().collect(),
            };
            notes.extend(self.penalty(uplink));
            notes.extend(waits::waits(status, uplink, self.now));
            notes.extend(allowance::allowance(uplink, with_targets));
            notes.extend(flows::kept(uplink, self.now));
            if with_targets {
                notes.push(flows::on_failback(uplink));
                notes.extend(self.last_outage(uplink));
                notes.extend(learnt(uplink));
            }
            for note in notes {
                text.push_str(&paragraph(&note, indent, self.width));
            }
            if with_targets {
                text.push_str(&self.targets(uplink, indent));
                for hop in &uplink.next_hops {
                    text.push_str(&paragraph(&next_hop(hop), indent, self.width));
                }
                if let Some(budget) = &uplink.probe_budget {
                    text.push_str(&paragraph(&probe_budget(budget), indent, self.width));
                }
            }
        }
        text.push_str(&self.groups(status));
        if let Some(last) = &status.last_switch {
            text.push_str(&self.last_switch(last));
        }
        text
    }

    fn summary(&self, status: &Status) -> String {
        let mode = match status.mode {
            SelectionMode::Auto => "automatic",
            SelectionMode::Manual => "manual",
        };
        let policy = word(status.policy);
        let active = match status.active.as_slice() {
            [] => self.palette.paint(Colour::Red, "no uplink is active"),
            names => format!("active: {}", list(names)),
        };
        let since = status
            .since
            .map(|since| format!(" for {}", self.age(since)))
            .unwrap_or_default();
        let trouble = self.trouble(status);
        let choice = self.choice(status);
        let drill = drill::drill(status, self.now).map(|line| self.line(&line));
        let drill = drill.unwrap_or_default();
        format!("{active}{since} ({mode}, policy {policy})\n{choice}{trouble}{drill}")
    }

    /// The uplink that an operator sent the traffic to, and whether it carries it.
    fn choice(&self, status: &Status) -> String {
        let Some(chosen) = &status.choices.switch else {
            return String::new();
        };
        let Chosen {
            uplink,
            pinned,
            by,
            at,
        } = chosen;
        let verb = if *pinned { "pinned to" } else { "sent to" };
        let by = self.by_whom(by.as_deref(), *at);
        let is_there = status.active.first() == Some(uplink);
        let mut uplinks = status.uplinks.iter();
        let fate = uplinks.find(|known| known.name == *uplink);
        let fate = fate.map_or_else(String::new, |known| format!(", which is {}", known.state));
        let is_dead = matches!(fate.as_str(), ", which is down" | ", which is absent");
        let line = match (is_there, is_dead) {
            (true, true) => format!("{verb} {uplink}{by}{fate}, and stays there until `auto`"),
            (true, false) => format!("{verb} {uplink}{by}"),
            (false, _) => format!("{verb} {uplink}{by}{fate}, so it goes elsewhere for now"),
        };
        if is_there && !is_dead {
            return self.line(&line);
        }
        self.red(&line)
    }

    fn line(&self, text: &str) -> String {
        paragraph(text, 0, self.width)
    }

    fn red(&self, text: &str) -> String {
        let lines = self.line(text);
        self.palette.paint(Colour::Red, lines.trim_end()) + "\n"
    }

    fn by_whom(&self, by: Option<&str>, at: Option<Timestamp>) -> String {
        let by = by.map_or_else(|| " by hand".to_owned(), |by| format!(" by {by}"));
        let at = at.map(|at| format!(", {} ago", self.age(at)));
        by + &at.unwrap_or_default()
    }

    /// Who took an uplink out of service, and what still goes through it.
    fn maintenance(&self, status: &Status, uplink: &UplinkStatus) -> Option<String> {
        let Maintenance { by, at, draining } = status.choices.disabled.get(&uplink.name)?;
        let mut line = format!("disabled{}", self.by_whom(by.as_deref(), *at));
        if let Some(draining) = draining {
            line.push_str(&flows::held(draining, self.now));
        }
        Some(line)
    }

    /// Warnings that come before the table.
    fn trouble(&self, status: &Status) -> String {
        troubles(status).iter().map(|line| self.red(line)).collect()
    }

    fn row(&self, uplink: &UplinkStatus) -> Row {
        let marker = if uplink.active { "*" } else { "" };
        [
            marker.to_owned(),
            uplink.name.to_string(),
            uplink.interface.to_string(),
            uplink.tier.to_string(),
            uplink.state.to_string(),
            uplink.score.map_or_else(unknown, |score| score.to_string()),
            percent(uplink.loss_percent),
            milliseconds(uplink.rtt_ms),
            milliseconds(uplink.jitter_ms),
            self.age(uplink.since),
        ]
    }

    /// The row with its state in colour. The colour comes after the alignment, which counts
    /// characters.
    fn coloured(&self, state: State, row: &Row, layout: &Layout) -> String {
        let line = layout.aligned(row);
        let (before, rest) = line.split_at(layout.start_of(STATE));
        let (word, after) = rest.split_at(row[STATE].len());
        format!("{before}{}{after}", self.palette.paint(colour(state), word))
    }

    /// What keeps an uplink from taking the traffic back although it is well.
    fn penalty(&self, uplink: &UplinkStatus) -> Option<String> {
        let left = uplink.suppressed_until?.0.duration_since(self.now.0);
        let left = short(left.unwrap_or_default());
        let penalty = uplink.penalty;
        Some(format!(
            "keeps falling (penalty {penalty:.1}): no failback for {left}"
        ))
    }

    /// The last outage that is over: it is not in the figures.
    fn last_outage(&self, uplink: &UplinkStatus) -> Option<String> {
        let PastOutage { began, ended } = uplink.last_outage?;
        let lasted = ended.0.duration_since(began.0).unwrap_or_default();
        let age = self.age(ended);
        let lasted = match lasted.as_secs() {
            0..60 => format!("{:.1} s", lasted.as_secs_f64()),
            _ => short(lasted),
        };
        Some(format!("last outage: {lasted}, ended {age} ago"))
    }

    /// Each group of traffic and each rule that has hours, one a line.
    fn groups(&self, status: &Status) -> String {
        let mut text = String::new();
        for group in &status.groups {
            let since = group.since.map(|since| format!(" for {}", self.age(since)));
            let with_rest = if group.with_rest {
                ", with the default group"
            } else if group.refused {
                ", refused"
            } else {
                ""
            };
            let line = format!(
                "group {}: {}{}{with_rest} (policy {}, of {})",
                group.name,
                list(&group.active),
                since.unwrap_or_default(),
                word(group.policy),
                list(&group.uplinks),
            );
            text.push_str(&self.line(&line));
        }
        let rules = status.rules.iter().map(|rule| hours::rule(rule, self.now));
        text.extend(rules.map(|line| self.line(&line)));
        if !text.is_empty() {
            text.insert(0, '\n');
        }
        text
    }

    fn last_switch(&self, last: &LastSwitch) -> String {
        let sides = sides(last.family, list(&last.from), list(&last.to));
        let age = self.age(last.at);
        let line = format!("last switch {age} ago: {sides}, {}", last.reason);
        format!("\n{}", self.line(&line))
    }

    fn targets(&self, uplink: &UplinkStatus, indent: usize) -> String {
        let longest = uplink.targets.iter().map(|t| t.target.to_string().len());
        let width = longest.max().unwrap_or(0);
        let mut text = String::new();
        for target in &uplink.targets {
            let TargetStatus {
                target,
                state,
                rtt_ms,
                loss_percent,
                set_aside,
            } = target;
            let rtt = milliseconds(*rtt_ms);
            let loss = percent(*loss_percent);
            let _ = writeln!(
                text,
                "{:indent$}{target:width$}  {state:7}  {rtt:>9}  {loss:>7} loss",
                ""
            );
            if let Some(why) = set_aside {
                let why = format!("set aside: {why}");
                text.push_str(&paragraph(&why, indent + 2, self.width));
            }
        }
        text
    }

    fn age(&self, since: Timestamp) -> String {
        let age = self.now.0.duration_since(since.0).unwrap_or_default();
        short(age)
    }
}

pub(in crate::cli) fn word(policy: Policy) -> &'static str {
    match policy {
        Policy::Failover => "failover",
        Policy::Best => "best",
        Policy::Balance => "balance",
    }
}

/// What the agent has learnt about the link, as a sentence or two.
fn learnt(uplink: &UplinkStatus) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(p95) = uplink.rtt_p95_ms {
        let median = milliseconds(uplink.rtt_ms);
        notes.push(format!("RTT {median}, 95 % within {p95:.1} ms"));
    }
    if let Some(learnt) = uplink.learnt {
        let probes = learnt.probes;
        notes.push(if learnt.loss_percent > 0.0 {
            let (loss, burst) = (learnt.loss_percent, learnt.burst_ms);
            format!(
                "lost {loss:.1} % of {probes:.0} probes while healthy, in bursts of {burst:.0} ms"
            )
        } else {
            format!("lost none of {probes:.0} probes while healthy")
        });
        notes.push(format!(
            "learnt from {:.0} silences of 0.45 s or more that ended",
            learnt.silences
        ));
        let (waits, detected) = (learnt.patience_ms / 1e3, learnt.dead_in_ms / 1e3);
        notes.push(format!(
            "a silence is waited for {waits:.2} s, an outage is declared after {detected:.1} s"
        ));
        if let (Some(period), Some(apart)) = (learnt.period_ms, learnt.patience_apart_ms) {
            notes.push(format!(
                "silences begin every {:.2} s; one that begins at another time is waited for {:.2} s",
                period / 1e3,
                apart / 1e3
            ));
        }
    }
    notes
}

/// One of several next hops, and what is known of it.
fn next_hop(hop: &NextHopStatus) -> String {
    let address = hop.next_hop.map_or_else(unknown, |hop| hop.to_string());
    let state = match hop.state {
        NextHopState::InUse => "in use",
        NextHopState::Answers => "answers",
        NextHopState::Silent => "does not answer",
        NextHopState::Unknown => "not asked",
    };
    format!("next hop {address}: {state}")
}

/// The part of the traffic that an uplink carries, where others carry the other parts.
fn part(status: &Status, uplink: &UplinkStatus) -> String {
    let is_carried = |family: &Family| {
        let mut uplinks = status.uplinks.iter();
        uplinks.any(|other| other.carries.contains(family))
    };
    let is_all = Family::ROUTED
        .iter()
        .all(|family| uplink.carries.contains(family) || !is_carried(family));
    match uplink.carries.as_slice() {
        [only] if !is_all => format!(" (carries {only})"),
        _ => String::new(),
    }
}

fn probe_budget(budget: &BudgetStatus) -> String {
    let BudgetStatus {
        limit_bytes: limit,
        left_bytes: left,
        spent_bytes: spent,
        interval_seconds: every,
        suspected_within_seconds: within,
    } = budget;
    format!(
        "metered: {spent} spent on probes, {left} left for now, {limit} in 30 days: one every {every:.0} \
         s, an outage without traffic suspected within {within:.0} s"
    )
}

/// An event as one line, whatever its reason holds, or as more where the screen is not as wide.
pub(in crate::cli) fn event(event: &EventRecord) -> String {
    let mut text = format!("{}  {}", event.at, event.event);
    if let Some(group) = &event.group {
        let _ = write!(text, "  {group}");
    }
    if let Some(uplink) = &event.uplink {
        let _ = write!(text, "  {uplink}");
    }
    if let Some(sides) = event.sides() {
        let _ = write!(text, "  {sides}");
    }
    let _ = write!(text, ": {}", event.reason.replace('\n', "; "));
    fitted(&text)
}

/// Which columns there is room for, and how wide each is.
struct Layout {
    shown: Vec<usize>,
    widths: [usize; COLUMNS],
}

impl Layout {
    fn of(rows: &[Row], room: usize) -> Self {
        let widths = std::array::from_fn(|column| {
            let texts = rows.iter().map(|row| row[column].chars().count());
            texts.chain([TITLES[column].len()]).max().unwrap_or(0)
        });
        let shown = (0..COLUMNS).collect();
        let mut layout = Self { shown, widths };
        for least in LEAST_WANTED {
            if layout.start_of(COLUMNS) <= room + GAP.len() {
                break;
            }
            layout.shown.retain(|column| *column != least);
        }
        layout
    }

    /// Where a column begins, or would begin.
    fn start_of(&self, column: usize) -> usize {
        let before = self.shown.iter().filter(|shown| **shown < column);
        before.map(|shown| self.widths[*shown] + GAP.len()).sum()
    }

    fn aligned(&self, row: &Row) -> String {
        let cells: Vec<_> = self
            .shown
            .iter()
            .map(|&column| {
                let (text, width) = (&row[column], self.widths[column]);
                let is_number = column > STATE;
                if is_number {
                    format!("{text:>width$}")
                } else {
                    format!("{text:width$}")
                }
            })
            .collect();
        cells.join(GAP)
    }
}

/// What is wrong with the whole.
pub(in crate::cli) fn troubles(status: &Status) -> Vec<String> {
    let is_usable = |uplink: &UplinkStatus| {
        matches!(
            uplink.state,
            State::Up | State::Degraded | State::Recovering
        )
    };
    let nothing_works = "no uplink is usable: the routes stay as they are";
    // Of a single uplink's status nothing follows about the others.
    let is_whole = status.uplinks.iter().any(|uplink| uplink.active) || status.active.is_empty();
    let works = !is_whole || status.uplinks.iter().any(is_usable);
    let routes = match status.routes {
        RoutesState::InPlace | RoutesState::Pending => None,
        RoutesState::Refused => Some("the kernel refuses some of our routes: see the log"),
        RoutesState::Contested => Some("another program keeps changing our routes: see the log"),
        RoutesState::Overruled => {
            Some("a default route of another program goes before ours: see the log")
        }
        RoutesState::Observing => Some("only observing: nothing is written to the kernel"),
    };
    let lines = (!works).then_some(nothing_works).into_iter().chain(routes);
    let memory = &status.flow_memory;
    let is_wanted = memory.state != FlowMemoryWord::Off;
    let lacks = memory.reason.iter().filter(|_| is_wanted);
    let lacks = lacks.map(|why| format!("flow memory: {why}"));
    let new = status.new_connections.iter().map(flows::new_connections);
    let lines = lines.map(str::to_owned).chain(lacks);
    lines.chain(new).collect()
}

/// The colour of a state.
pub(in crate::cli) fn colour(state: State) -> Colour {
    match state {
        State::Up => Colour::Green,
        State::Degraded | State::Recovering => Colour::Yellow,
        State::Down | State::Absent => Colour::Red,
        State::Unknown | State::Disabled | State::Cold => Colour::Dim,
    }
}

pub(in crate::cli) fn unknown() -> String {
    "-".to_owned()
}

pub(in crate::cli) fn percent(number: Option<f64>) -> String {
    number.map_or_else(unknown, |number| format!("{number:.1} %"))
}

pub(in crate::cli) fn milliseconds(number: Option<f64>) -> String {
    number.map_or_else(unknown, |number| format!("{number:.1} ms"))
}

const COLUMNS: usize = 10;
const TITLES: [&str; COLUMNS] = [
    " ",
    "UPLINK",
    "INTERFACE",
    "TIER",
    "STATE",
    "SCORE",
    "LOSS",
    "RTT",
    "JITTER",
    "FOR",
];
const INTERFACE: usize = 2;
/// The column that is coloured; those after it are numbers.
const STATE: usize = 4;
/// The columns that go first where there is no room for all.
const LEAST_WANTED: [usize; 6] = [8, 3, 5, INTERFACE, 7, 6];
/// Below long names notes would have no room.
const DEEPEST_INDENT: usize = 16;
const GAP: &str = "  ";
