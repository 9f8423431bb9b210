//! What a play has shown, for people and for machines.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::engine::event::{EventRecord, Repetition};
use crate::lab::deaths::Deaths;
use crate::lab::family::Family;
use crate::lab::flow::Fate;
use crate::lab::happening::Way;
use crate::lab::lookups::Lookups;
use crate::lab::stream::Felt;

/// A whole play.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The scenario.
    pub scenario: String,
    /// What it is about.
    pub about: String,
    /// What all chance followed from.
    pub seed: u64,
    /// Every expectation of every run was met.
    pub passed: bool,
    /// Each run.
    pub runs: Vec<RunReport>,
    /// Over all runs, one for each phase.
    pub figures: Vec<Figures>,
}

/// One run of a play.
#[derive(Debug, Serialize)]
pub struct RunReport {
    /// From the start of the agent until all uplinks were up.
    #[serde(rename = "ready_ms", serialize_with = "crate::lab::span::milliseconds")]
    pub ready: Duration,
    /// Each phase.
    pub phases: Vec<PhaseReport>,
}

/// One phase of a run.
#[derive(Debug, Serialize)]
pub struct PhaseReport {
    /// What was done.
    pub title: String,
    /// How long it lasted.
    #[serde(
        rename = "lasted_ms",
        serialize_with = "crate::lab::span::milliseconds"
    )]
    pub lasted: Duration,
    /// What happened, in order.
    pub timeline: Vec<Entry>,
    /// What the client felt.
    pub felt: Felt,
    /// What the client felt of its IPv6 traffic, if it had any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub felt6: Option<Felt>,
    /// What became of the client's long flows when the traffic moved last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<Fate>,
    /// Through whom the traffic went at the end.
    pub active: Way,
    /// How often the way of the traffic changed.
    pub switches: usize,
    /// When it first changed.
    pub moved_ms: Option<f64>,
    /// What was seen of many switches by command.
    pub lookups: Option<Lookups>,
    /// What the agent did when it was killed, if it was so at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deaths: Option<Deaths>,
    /// What the agent cost, if it ran all the time.
    pub cost: Option<PhaseCost>,
    /// What was expected.
    pub checks: Vec<Check>,
    /// All of that was met.
    pub passed: bool,
}

/// What the agent cost in a phase.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PhaseCost {
    /// Its share of one processor.
    pub cpu_percent: f64,
    /// Probes that left the router.
    pub probes: u64,
    /// Time on a processor for each.
    pub us_per_probe: f64,
    /// Resident memory at the end.
    pub memory_kib: u64,
}

/// An expectation and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What was expected.
    pub expected: String,
    /// What was measured.
    pub measured: String,
    /// The one is the other.
    pub passed: bool,
}

/// Something that happened in a phase.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// When, from the beginning of the phase.
    #[serde(rename = "after_ms", serialize_with = "crate::lab::span::milliseconds")]
    pub after: Duration,
    /// What.
    #[serde(flatten)]
    pub note: Note,
}

/// What happened, by who says so.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "who", rename_all = "snake_case")]
pub enum Note {
    /// The lab did this.
    Lab {
        /// In words.
        what: String,
    },
    /// The agent reports this.
    Agent(Box<EventRecord>),
    /// The agent hung up.
    AgentSilent,
    /// The kernel of the router forwards the client's traffic another way.
    Kernel {
        /// Its traffic of which family.
        family: Family,
        /// Before.
        from: Way,
        /// Now.
        to: Way,
    },
    /// The client felt this, over the phase.
    Client(Felt),
    /// The client felt this of its IPv6 traffic.
    Client6(Felt),
}

/// Median and worst over the runs of a phase.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// What was done.
    pub title: String,
    /// How many runs there were.
    pub runs: usize,
    /// In how many all expectations were met.
    pub passed: usize,
    /// The client's longest time without traffic, in milliseconds.
    pub without_traffic_ms: Spread,
    /// The client's lost packets.
    pub lost: Spread,
    /// When the traffic moved, in milliseconds; over the runs in which it did.
    pub moved_ms: Option<Spread>,
}

/// Median and worst.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the runs were below, half above.
    pub median: f64,
    /// The largest.
    pub worst: f64,
}

impl Spread {
    /// Of some values; none of none.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<_> = values.collect();
        values.sort_by(f64::total_cmp);
        let worst = *values.last()?;
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, worst })
    }
}

/// The figures of each phase over all runs.
pub(super) fn figures(runs: &[RunReport]) -> Vec<Figures> {
    let phases = runs.first().map_or(0, |run| run.phases.len());
    (0..phases)
        .filter_map(|number| figures_of(runs.iter().filter_map(|run| run.phases.get(number))))
        .collect()
}

fn figures_of<'r>(phases: impl Iterator<Item = &'r PhaseReport> + Clone) -> Option<Figures> {
    let gap = |phase: &PhaseReport| phase.felt.gap.as_secs_f64() * 1000.0;
    #[expect(clippy::cast_precision_loss, reason = "packets of a few hours")]
    let lost = |phase: &PhaseReport| phase.felt.lost as f64;
    Some(Figures {
        title: phases.clone().next()?.title.clone(),
        runs: phases.clone().count(),
        passed: phases.clone().filter(|phase| phase.passed).count(),
        without_traffic_ms: Spread::of(phases.clone().map(gap))?,
        lost: Spread::of(phases.clone().map(lost))?,
        moved_ms: Spread::of(phases.filter_map(|phase| phase.moved_ms)),
    })
}

/// A way in words.
pub(super) fn way_in_words(way: &Way) -> &str {
    way.as_deref().unwrap_or("no way")
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lab { what } => f.write_str(what),
            Self::Agent(event) => write_event(f, event),
            Self::AgentSilent => f.write_str("has gone"),
            Self::Kernel { family, from, to } => {
                let (from, to) = (way_in_words(from), way_in_words(to));
                let traffic = match family {
                    Family::Ipv4 => "traffic",
                    Family::Ipv6 => "IPv6 traffic",
                };
                write!(f, "the client's {traffic} moves: {from} -> {to}")
            }
            Self::Client6(felt) => write!(f, "IPv6: {felt}"),
            Self::Client(felt) => felt.fmt(f),
        }
    }
}

fn write_event(f: &mut fmt::Formatter<'_>, event: &EventRecord) -> fmt::Result {
    let is_about_its_state = event.event.delivery().repeats == Repetition::CountedPerUplink;
    match &event.uplink {
        Some(uplink) if is_about_its_state => write!(f, "{uplink}")?,
        Some(uplink) => write!(f, "{uplink} {}", event.event)?,
        None => write!(f, "{}", event.event)?,
    }
    if let (Some(from), Some(to)) = (&event.from, &event.to) {
        write!(f, " {from} -> {to}")?;
    }
    write!(f, ": {}", event.reason)?;
    let flows = event.flows_moved.filter(|flows| *flows > 0);
    match (event.took_us, flows) {
        (Some(took), None) => write!(f, " (routes in place after {took} us)"),
        (Some(took), Some(flows)) => {
            let s = if flows == 1 { "" } else { "s" };
            write!(
                f,
                " (routes in place after {took} us, {flows} flow{s} moved)"
            )
        }
        (None, _) => Ok(()),
    }
}

impl fmt::Display for Felt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lost == 0 {
            return write!(f, "felt nothing: {} packets, none lost", self.sent);
        }
        let gap = self.gap.as_secs_f64() * 1000.0;
        let Self { lost, sent, .. } = self;
        write!(
            f,
            "{gap:.0} ms without traffic, {lost} of {sent} packets lost"
        )?;
        if self.is_cut_off {
            f.write_str(", still cut off")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle_and_the_worst_at_the_end() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0].into_iter());
        let expected = Spread {
            median: 2.5,
            worst: 4.0,
        };
        assert_eq!(spread, Some(expected));
        assert_eq!(Spread::of(std::iter::empty()), None);
    }
}
