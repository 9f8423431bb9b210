//! What a play has shown, for people and for machines.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::engine::event::Repetition;
use crate::engine::event::record::EventRecord;
use crate::lab::event::TrafficExit;
use crate::lab::expected_report::ExpectedReport;
use crate::lab::family::LabFamily;
use crate::lab::files;
use crate::lab::long_flow::FlowOutcome;
use crate::lab::other_traffic::OtherTraffic;
use crate::lab::scenario::{Scenario, UplinkFault};
use crate::lab::stream::{ClientTraffic, TimeRange};
use crate::units::Moment;
use crate::units::counting::median;

/// So many lines of the agent's log are shown where something failed.
const LOG_LINES: usize = 400;

/// A whole play.
#[derive(Debug, Serialize)]
pub struct LabReport {
    /// The scenario.
    pub scenario: String,
    /// What it is about.
    pub about: String,
    /// What all chance followed from.
    pub seed: u64,
    /// Every expectation of every run was met.
    pub passed: bool,
    /// Each run.
    pub runs: Vec<ScenarioRunReport>,
    /// Over all runs, one for each phase.
    pub figures: Vec<PhaseFigures>,
    /// The end of the agent's log, where an expectation was not met. `UPLINKD_LOG=debug` has each probe in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agent_log: Vec<String>,
}

impl LabReport {
    /// Of these runs of a scenario.
    pub(super) fn of(scenario: &Scenario, seed: u64, runs: Vec<ScenarioRunReport>) -> Self {
        let passed = runs.iter().flat_map(|run| &run.phases).all(|p| p.passed);
        Self {
            scenario: scenario.name.clone(),
            about: scenario.about.clone(),
            seed,
            passed,
            figures: figures(&runs),
            runs,
            agent_log: if passed {
                Vec::new()
            } else {
                files::last_of_log(LOG_LINES)
            },
        }
    }
}

/// One run of a play.
#[derive(Debug, Serialize)]
pub struct ScenarioRunReport {
    /// From the start of the agent until all uplinks were up.
    #[serde(rename = "ready_ms", serialize_with = "crate::lab::span::milliseconds")]
    pub ready: Duration,
    /// Each phase.
    pub phases: Vec<ScenarioPhaseReport>,
    /// What a picture of the run is drawn from.
    #[serde(skip)]
    pub(super) trace: RunTrace,
}

/// What happened to each packet of a run, and by which uplink it went.
#[derive(Debug, Default)]
pub(super) struct RunTrace {
    /// From its beginning, which is before the first phase, to its end.
    pub(super) range: TimeRange,
    /// The client's packets by IPv4: when each was sent, and whether it was answered.
    pub(super) packets: Vec<(Moment, bool)>,
    /// By which uplink the traffic went from then on.
    pub(super) exits: Vec<(Moment, TrafficExit)>,
}

/// One phase of a run.
///
/// Large: it has the fields of the JSON, which are public.
#[derive(Debug, Serialize)]
pub struct ScenarioPhaseReport {
    /// What was done.
    pub title: String,
    /// When it began.
    #[serde(skip)]
    pub(super) start: Moment,
    /// How long it lasted.
    #[serde(
        rename = "lasted_ms",
        serialize_with = "crate::lab::span::milliseconds"
    )]
    pub lasted: Duration,
    /// How much of it the machine stood still. It then delays the agent for as long, and a check that
    /// fails is no proof.
    #[serde(
        rename = "stalled_ms",
        serialize_with = "crate::lab::span::milliseconds"
    )]
    pub stalled: Duration,
    /// What happened, in order.
    pub timeline: Vec<TimelineEntry>,
    /// The client's traffic.
    #[serde(rename = "felt")]
    pub traffic: ClientTraffic,
    /// Its IPv6 traffic, if it had any.
    #[serde(rename = "felt6", skip_serializing_if = "Option::is_none")]
    pub traffic6: Option<ClientTraffic>,
    /// What it had beside its stream.
    #[serde(flatten)]
    pub other: OtherTraffic,
    /// The client's traffic in each outage of a wire that was broken again and again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outages: Vec<ClientTraffic>,
    /// What became of the client's long flows when the traffic moved last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<FlowOutcome>,
    /// The uplink that carried the traffic at the end.
    pub active: TrafficExit,
    /// How often the way of the traffic changed.
    pub switches: usize,
    /// When it first changed.
    pub moved_ms: Option<f64>,
    /// What was seen of many switches by command.
    pub lookups: Option<LookupCounts>,
    /// What the agent did when it was killed, if it was so at random.
    #[serde(rename = "deaths", skip_serializing_if = "Option::is_none")]
    pub kills: Option<KillCounts>,
    /// What was seen of its drills, if it had any.
    pub drills: Option<DrillCounts>,
    /// What the agent cost, if it ran all the time.
    pub cost: Option<PhaseCost>,
    /// What was expected.
    pub checks: Vec<ExpectationCheck>,
    /// All of that was met.
    pub passed: bool,
}

/// What the agent cost in a phase.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PhaseCost {
    /// Its share of one processor.
    pub cpu_percent: f64,
    /// Time on a processor for each packet that a program sends and receives which does nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub us_per_bare_probe: Option<f64>,
    /// Probes that left the router.
    pub probes: u64,
    /// Time on a processor for each.
    pub us_per_probe: f64,
    /// Resident memory at the end.
    pub memory_kib: u64,
}

/// What was seen of many switches.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LookupCounts {
    /// Switches that the kernel has followed.
    pub switches: u32,
    /// Lookups of the route of the client's traffic.
    pub lookups: u64,
    /// Lookups that found no route.
    pub without_a_route: u64,
    /// From a command until the kernel had followed it, in microseconds: median and worst.
    pub median_us: u64,
    /// See above.
    pub worst_us: u64,
    /// From a request for the status until its answer, the median in the same run.
    pub status_us: u64,
}

impl LookupCounts {
    /// How many times longer a switch takes than an answer of the same agent on the same machine.
    pub(super) fn per_status(&self) -> u64 {
        self.median_us / self.status_us.max(1)
    }
}

impl fmt::Display for LookupCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            switches,
            lookups,
            without_a_route,
            median_us,
            worst_us,
            status_us,
        } = self;
        write!(
            f,
            "{switches} switches by command, each in place after {median_us} us, {worst_us} at the worst \
             (the status is answered after {status_us} us); of {lookups} lookups meanwhile \
             {without_a_route} found no route"
        )
    }
}

/// How often the agent was killed while it did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KillCounts {
    /// While it started: between its first look at the kernel and its first probes.
    pub starting: u32,
    /// Just after a command to switch.
    pub switching: u32,
    /// While it stopped.
    pub stopping: u32,
    /// How often the kernel did not look afterwards as it did before the first agent.
    pub left_something: u32,
    /// How often nexthop objects were among what was left.
    pub left_next_hops: u32,
}

impl fmt::Display for KillCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            starting,
            switching,
            stopping,
            left_something,
            left_next_hops,
        } = self;
        write!(
            f,
            "agent: killed {} times: {starting} soon after its start, {switching} in a switch, \
             {stopping} in its stop; {left_something} times it left something for the next, \
             {left_next_hops} times nexthop objects",
            starting + switching + stopping
        )
    }
}

/// What was seen of drills. Spans are in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct DrillCounts {
    /// Drills.
    pub drills: u32,
    /// Those that passed.
    pub passed: u32,
    /// The recovery that they measured, the median.
    pub median_ms: u64,
    /// The time without traffic of the client, the median.
    pub felt_median_ms: u64,
    /// By how much the one differs from the other in a drill, at most.
    pub differs_by_ms: u64,
    /// How long after a kill the path was whole again, at most.
    pub restored_after_ms: u64,
    /// How often something was left afterwards.
    pub left_something: u32,
}

impl fmt::Display for DrillCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            drills,
            passed,
            median_ms,
            felt_median_ms,
            differs_by_ms,
            restored_after_ms,
            left_something,
        } = self;
        write!(
            f,
            "{drills} drills: {passed} passed, measured {median_ms} ms, felt {felt_median_ms} ms, at most \
             {differs_by_ms} ms apart; whole {restored_after_ms} ms after a kill at most, {left_something} times \
             something was left"
        )
    }
}

/// An expectation and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct ExpectationCheck {
    /// What was expected.
    pub expected: String,
    /// What was measured.
    pub measured: String,
    /// The one is the other.
    pub passed: bool,
}

/// Something that happened in a phase.
#[derive(Clone, Debug, Serialize)]
pub struct TimelineEntry {
    /// When, from the beginning of the phase.
    #[serde(rename = "after_ms", serialize_with = "crate::lab::span::milliseconds")]
    pub after: Duration,
    /// What.
    #[serde(flatten)]
    pub note: TimelineNote,
}

/// What happened, by who says so.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "who", rename_all = "snake_case")]
pub enum TimelineNote {
    /// The lab did this.
    Lab {
        /// In words.
        what: String,
        /// Whether it broke or mended an uplink.
        #[serde(skip)]
        fault: Option<UplinkFault>,
    },
    /// The agent reports this.
    Agent(Box<EventRecord>),
    /// The agent hung up.
    AgentSilent,
    /// The kernel of the router forwards the client's traffic another way.
    Kernel {
        /// Its traffic of which family.
        family: LabFamily,
        /// Before.
        from: TrafficExit,
        /// Now.
        to: TrafficExit,
    },
    /// The client's traffic over the phase.
    Client(ClientTraffic),
    /// The client's IPv6 traffic over the phase.
    Client6(ClientTraffic),
}

impl TimelineNote {
    /// Whether the agent reports this.
    pub(super) fn says(&self, expected: ExpectedReport<'_>) -> bool {
        match self {
            Self::Agent(record) => match expected {
                ExpectedReport::Event(kind) => record.event == kind,
                ExpectedReport::Reason(words) => record.reason.contains(words),
            },
            Self::Lab { .. }
            | Self::AgentSilent
            | Self::Kernel { .. }
            | Self::Client(_)
            | Self::Client6(_) => false,
        }
    }
}

/// What was measured over the runs of a phase.
#[derive(Debug, Serialize)]
pub struct PhaseFigures {
    /// What was done.
    pub title: String,
    /// How many runs there were.
    pub runs: usize,
    /// In how many all expectations were met.
    pub passed: usize,
    /// The client's longest time without traffic, in milliseconds.
    pub without_traffic_ms: RunSpread,
    /// The longest time in which no new connection was answered, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_new_ms: Option<RunSpread>,
    /// The client's lost packets.
    pub lost: RunSpread,
    /// When the traffic moved, in milliseconds; over the runs in which it did.
    pub moved_ms: Option<RunSpread>,
}

/// How the values of several runs are spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RunSpread {
    /// Half of the runs were below, half above.
    pub median: f64,
    /// 95 % of the runs were not above it.
    pub p95: f64,
    /// The largest.
    pub worst: f64,
}

impl RunSpread {
    /// Of some values; none of none.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<_> = values.collect();
        values.sort_by(f64::total_cmp);
        let worst = *values.last()?;
        let median = median(&values)?;
        // The smallest value that so many are not above (nearest rank).
        let rank = (values.len() * 95).div_ceil(100);
        let p95 = values[rank - 1];
        Some(Self { median, p95, worst })
    }
}

/// The figures of each phase over all runs.
fn figures(runs: &[ScenarioRunReport]) -> Vec<PhaseFigures> {
    let phases = runs.first().map_or(0, |run| run.phases.len());
    (0..phases)
        .filter_map(|number| figures_of(runs.iter().filter_map(|run| run.phases.get(number))))
        .collect()
}

fn figures_of<'r>(
    phases: impl Iterator<Item = &'r ScenarioPhaseReport> + Clone,
) -> Option<PhaseFigures> {
    let gap = |phase: &ScenarioPhaseReport| phase.traffic.gap.as_secs_f64() * 1000.0;
    let new_gap = |phase: &ScenarioPhaseReport| Some(phase.other.new?.gap.as_secs_f64() * 1000.0);
    #[expect(clippy::cast_precision_loss, reason = "packets of a few hours")]
    let lost = |phase: &ScenarioPhaseReport| phase.traffic.lost as f64;
    Some(PhaseFigures {
        title: phases.clone().next()?.title.clone(),
        runs: phases.clone().count(),
        passed: phases.clone().filter(|phase| phase.passed).count(),
        without_traffic_ms: RunSpread::of(phases.clone().map(gap))?,
        without_new_ms: RunSpread::of(phases.clone().filter_map(new_gap)),
        lost: RunSpread::of(phases.clone().map(lost))?,
        moved_ms: RunSpread::of(phases.filter_map(|phase| phase.moved_ms)),
    })
}

/// A way in words.
pub(super) fn exit_in_words(way: &TrafficExit) -> &str {
    way.as_deref().unwrap_or("no way")
}

impl fmt::Display for TimelineNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lab { what, .. } => f.write_str(what),
            Self::Agent(event) => write_event(f, event),
            Self::AgentSilent => f.write_str("has gone"),
            Self::Kernel { family, from, to } => {
                let (from, to) = (exit_in_words(from), exit_in_words(to));
                let traffic = match family {
                    LabFamily::Ipv4 => "traffic",
                    LabFamily::Ipv6 => "IPv6 traffic",
                };
                write!(f, "the client's {traffic} moves: {from} -> {to}")
            }
            Self::Client6(traffic) => write!(f, "IPv6: {traffic}"),
            Self::Client(traffic) => traffic.fmt(f),
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
    if let Some(sides) = event.sides() {
        write!(f, " {sides}")?;
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

impl fmt::Display for ClientTraffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lost == 0 {
            return write!(f, "{} packets, none lost", self.sent);
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
        let spread = RunSpread::of([4.0, 1.0, 3.0, 2.0].into_iter());
        let expected = RunSpread {
            median: 2.5,
            p95: 4.0,
            worst: 4.0,
        };
        assert_eq!(spread, Some(expected));
        let forty = RunSpread::of((1..=40).rev().map(f64::from));
        assert_eq!(forty.map(|spread| spread.p95), Some(38.0));
        assert_eq!(RunSpread::of(std::iter::empty()), None);
    }
}
