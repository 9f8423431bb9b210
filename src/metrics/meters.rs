//! What the agent counts for its metrics.
//!
//! Memory is bounded: a series for each target of the configuration and for each uplink, a limit on the
//! probes in flight, and one on the pairs of uplinks between which traffic has moved. What is short is a list:
//! each map of its own types is 5 kB of a router's binary.

use std::collections::VecDeque;
use std::time::Duration;

use super::histogram::{Histogram, RECOVERY_BOUNDS, RTT_BOUNDS, SWITCH_BOUNDS};
use crate::engine::action::ProbeOrder;
use crate::engine::event::cause::SwitchCause;
use crate::engine::event::drill::{DrillFindings, DrillResult};
use crate::engine::event::record::EventRecord;
use crate::engine::event::{EventKind, Side};
use crate::engine::input::ProbeOutcome;
use crate::units::sorted::SortedMap;
use crate::units::{GroupName, Moment, ProbeId, Target, Timestamp, UplinkName};

/// How often probes without an answer are looked for.
const SETTLE_EVERY: Duration = Duration::from_secs(1);
/// An answer may be reported so long after its time limit.
const REPORTED_WITHIN: Duration = Duration::from_secs(1);
/// Probes in flight, at most: far more than the probers take.
const MOST_FLIGHTS: usize = 8_192;
/// Series of switches, at most; further ones are counted as one.
const MOST_SWITCH_SERIES: usize = 512;
/// Stands for uplinks of switches that are not configured any more, or have no series of their own.
const OTHER: &str = "other";

/// The counters of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Meters {
    pub(super) uplinks: SortedMap<UplinkName, UplinkMeters>,
    /// In the order in which they were sent.
    flights: VecDeque<Flight>,
    /// When probes without an answer were last looked for.
    settled: Moment,
    /// In their order.
    pub(super) switches: Vec<(SwitchSeries, u64)>,
    /// How often new connections left an uplink in doubt.
    pub(super) soft_switches: u64,
    pub(super) switch_duration: Histogram,
    pub(super) switch_recovery: Histogram,
    /// By the place of their kind in [`EventKind::ALL`].
    events: [u64; EventKind::ALL.len()],
    /// The last reload was refused.
    pub(super) is_reload_refused: bool,
    /// Since when the configuration is in force.
    pub(super) configured: Moment,
}

/// The counters of an uplink.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct UplinkMeters {
    pub(super) targets: Vec<(Target, TargetMeters)>,
    pub(super) rtt: Histogram,
    /// What its probes, and streams of drills, put on the wire at most.
    pub(super) probe_bytes: u64,
    pub(super) drills: DrillMeters,
}

/// What is counted of the probes of an uplink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeCounts {
    /// Those that left this machine, and whose result is known.
    pub sent: u64,
    /// Those that were answered as they should be.
    pub answered: u64,
    /// What they put on the wire at most, both ways.
    pub bytes: u64,
}

/// The probes of a target by their result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TargetMeters([u64; ProbeResult::ALL.len()]);

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeResult {
    /// It was answered as it should be.
    Reply,
    /// No answer came while the agent listened for it.
    Lost,
    /// A router on the path reports the target as unreachable.
    Unreachable,
    /// It was answered, but not as it should be.
    Wrong,
    /// A captive portal answered in its place.
    Captive,
    /// This machine refuses to send it.
    Refused,
    /// It was not sent for another reason.
    NotSent,
}

/// The drills of an uplink.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct DrillMeters {
    /// By the place of their result in [`DrillResult::ALL`].
    pub(super) results: [u64; DrillResult::ALL.len()],
    /// When the last one that passed or failed was over.
    pub(super) last: Option<Timestamp>,
    /// Its recovery, if it had one.
    pub(super) recovery_ms: Option<u32>,
}

/// The labels of a series of switches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SwitchSeries {
    /// None: the default group.
    pub(super) group: Option<GroupName>,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) cause: SwitchCause,
    /// The uplinks that `from` and `to` name.
    uplinks: Vec<UplinkName>,
}

/// A probe whose result is not known yet.
#[derive(Clone, Debug, PartialEq)]
struct Flight {
    probe: ProbeId,
    uplink: UplinkName,
    target: Target,
    /// What it puts on the wire at most.
    cost: u64,
    /// It counts as lost from then on.
    until: Moment,
}

impl ProbeResult {
    pub(super) const ALL: [Self; 7] = [
        Self::Reply,
        Self::Lost,
        Self::Unreachable,
        Self::Wrong,
        Self::Captive,
        Self::Refused,
        Self::NotSent,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Reply => "reply",
            Self::Lost => "lost",
            Self::Unreachable => "unreachable",
            Self::Wrong => "wrong",
            Self::Captive => "captive",
            Self::Refused => "refused",
            Self::NotSent => "not_sent",
        }
    }

    fn of(outcome: &ProbeOutcome) -> Self {
        match outcome {
            ProbeOutcome::Reply(_) => Self::Reply,
            ProbeOutcome::Unreachable(_) => Self::Unreachable,
            ProbeOutcome::Wrong(_) => Self::Wrong,
            ProbeOutcome::Captive(_) => Self::Captive,
            ProbeOutcome::NotSent(_) => Self::NotSent,
            ProbeOutcome::Refused(_) => Self::Refused,
        }
    }

    /// The probe left this machine.
    const fn is_sent(self) -> bool {
        match self {
            Self::Reply | Self::Lost | Self::Unreachable | Self::Wrong | Self::Captive => true,
            Self::Refused | Self::NotSent => false,
        }
    }
}

impl TargetMeters {
    /// The probes with this result.
    pub(super) fn of(&self, result: ProbeResult) -> u64 {
        self.0[result as usize]
    }

    /// The probes that left this machine.
    pub(super) fn sent(&self) -> u64 {
        let sent = ProbeResult::ALL.into_iter();
        let sent = sent.filter(|result| result.is_sent());
        sent.map(|result| self.of(result)).sum()
    }
}

impl UplinkMeters {
    fn new() -> Self {
        Self {
            targets: Vec::new(),
            rtt: Histogram::of(RTT_BOUNDS),
            probe_bytes: 0,
            drills: DrillMeters::default(),
        }
    }
}

impl Meters {
    /// Nothing is counted yet.
    pub fn new(now: Moment) -> Self {
        Self {
            uplinks: SortedMap::new(),
            flights: VecDeque::new(),
            settled: now,
            switches: Vec::new(),
            soft_switches: 0,
            switch_duration: Histogram::of(SWITCH_BOUNDS),
            switch_recovery: Histogram::of(RECOVERY_BOUNDS),
            events: [0; EventKind::ALL.len()],
            is_reload_refused: false,
            configured: now,
        }
    }

    /// These uplinks and targets are configured: they have series from the beginning, and others have none any more.
    pub fn configure<'a>(
        &mut self,
        uplinks: impl Iterator<Item = (&'a UplinkName, &'a [Target])> + Clone,
    ) {
        let mut before = std::mem::take(&mut self.uplinks);
        for (uplink, targets) in uplinks {
            let known = before.remove(uplink);
            let mut meters = known.unwrap_or_else(UplinkMeters::new);
            let known = std::mem::take(&mut meters.targets);
            for target in targets {
                let of_target = known.iter().find(|(known, _)| known == target);
                let counts = of_target.map_or_else(TargetMeters::default, |(_, counts)| *counts);
                meters.targets.push((target.clone(), counts));
            }
            self.uplinks.insert(uplink.clone(), meters);
        }
        let uplinks = &self.uplinks;
        let is_known = |uplink: &UplinkName| uplinks.contains_key(uplink);
        self.switches
            .retain(|(series, _)| series.uplinks.iter().all(is_known));
    }

    /// A probe is to be sent, which costs so many bytes at most.
    pub fn ordered(&mut self, order: &ProbeOrder, cost: u64, now: Moment) {
        if now.since(self.settled) >= SETTLE_EVERY {
            self.settle(now);
        }
        let flight = Flight {
            probe: order.id,
            uplink: order.uplink.clone(),
            target: order.target.clone(),
            cost,
            until: now + order.listen_for + REPORTED_WITHIN,
        };
        self.flights.push_back(flight);
        if self.flights.len() > MOST_FLIGHTS
            && let Some(oldest) = self.flights.pop_front()
        {
            self.count(&oldest, ProbeResult::Lost);
        }
    }

    /// What became of a probe.
    pub fn reported(&mut self, id: ProbeId, outcome: &ProbeOutcome) {
        let place = self.flights.iter().position(|flight| flight.probe == id);
        let Some(flight) = place.and_then(|place| self.flights.remove(place)) else {
            return;
        };
        let uplink = self.count(&flight, ProbeResult::of(outcome));
        if let (ProbeOutcome::Reply(rtt), Some(uplink)) = (outcome, uplink) {
            uplink.rtt.observe(rtt.as_secs_f64());
        }
    }

    /// The stream of a drill went by an uplink, and cost so many bytes at most.
    pub fn streamed(&mut self, uplink: &UplinkName, cost: u64) {
        if let Some(uplink) = self.uplinks.get_mut(uplink) {
            uplink.probe_bytes += cost;
        }
    }

    /// Counts the probes as lost whose answers are no longer listened for.
    pub fn settle(&mut self, now: Moment) {
        self.settled = now;
        for flight in std::mem::take(&mut self.flights) {
            if flight.until <= now {
                self.count(&flight, ProbeResult::Lost);
            } else {
                self.flights.push_back(flight);
            }
        }
    }

    fn count(&mut self, flight: &Flight, result: ProbeResult) -> Option<&mut UplinkMeters> {
        let uplink = self.uplinks.get_mut(&flight.uplink)?;
        if result.is_sent() {
            uplink.probe_bytes += flight.cost;
        }
        let mut targets = uplink.targets.iter_mut();
        if let Some((_, counts)) = targets.find(|(target, _)| *target == flight.target) {
            counts.0[result as usize] += 1;
        }
        Some(uplink)
    }

    /// An event, as it is announced.
    pub fn announced(&mut self, record: &EventRecord, now: Moment) {
        self.events[record.event as usize] += 1;
        if record.event == EventKind::ConfigReloaded {
            self.is_reload_refused = false;
            self.configured = now;
        } else if record.event == EventKind::ConfigRefused {
            self.is_reload_refused = true;
        } else if record.event == EventKind::Switch {
            self.switched(record);
        } else if record.event == EventKind::SwitchSoft {
            self.soft_switches += u64::from(record.cause == Some(SwitchCause::Doubt));
        } else if let (Some(uplink), Some(findings)) = (&record.uplink, &record.drill) {
            self.drilled(uplink, findings, record.at);
        }
    }

    fn drilled(&mut self, uplink: &UplinkName, findings: &DrillFindings, at: Timestamp) {
        let Some(uplink) = self.uplinks.get_mut(uplink) else {
            return;
        };
        let drills = &mut uplink.drills;
        drills.results[findings.result as usize] += 1;
        match findings.result {
            DrillResult::Passed | DrillResult::Failed => {
                drills.last = Some(at);
                drills.recovery_ms = findings.recovery_ms;
            }
            DrillResult::Aborted | DrillResult::Skipped => {}
        }
    }

    fn switched(&mut self, record: &EventRecord) {
        if let Some(took) = record.took_us {
            let took = Duration::from_micros(took);
            self.switch_duration.observe(took.as_secs_f64());
        }
        if let Some(recovery) = record.recovery_ms {
            let recovery = Duration::from_millis(recovery);
            self.switch_recovery.observe(recovery.as_secs_f64());
        }
        let (Some(from), Some(to)) = (&record.from, &record.to) else {
            return;
        };
        let is_known = |uplink: &UplinkName| self.uplinks.contains_key(uplink);
        let uplinks = [from, to].into_iter().flat_map(uplinks_of);
        let mut series = SwitchSeries {
            group: record.group.clone(),
            from: label(from, is_known),
            to: label(to, is_known),
            cause: record.cause.unwrap_or_default(),
            uplinks: uplinks.filter(|uplink| is_known(uplink)).cloned().collect(),
        };
        if self.place_of(&series).is_err() && self.switches.len() >= MOST_SWITCH_SERIES {
            series = SwitchSeries {
                group: None,
                from: OTHER.to_owned(),
                to: OTHER.to_owned(),
                cause: SwitchCause::Unknown,
                uplinks: Vec::new(),
            };
        }
        match self.place_of(&series) {
            Ok(place) => self.switches[place].1 += 1,
            Err(place) => self.switches.insert(place, (series, 1)),
        }
    }

    fn place_of(&self, series: &SwitchSeries) -> Result<usize, usize> {
        self.switches
            .binary_search_by(|(known, _)| known.cmp(series))
    }

    /// The probes of an uplink.
    pub fn probes(&self, uplink: &UplinkName) -> ProbeCounts {
        let Some(uplink) = self.uplinks.get(uplink) else {
            return ProbeCounts::default();
        };
        let sum = |count: fn(&TargetMeters) -> u64| {
            let targets = uplink.targets.iter();
            targets.map(|(_, counts)| count(counts)).sum()
        };
        ProbeCounts {
            sent: sum(TargetMeters::sent),
            answered: sum(|counts| counts.of(ProbeResult::Reply)),
            bytes: uplink.probe_bytes,
        }
    }

    /// The events of this kind.
    pub(super) fn events(&self, kind: EventKind) -> u64 {
        self.events[kind as usize]
    }
}

fn uplinks_of(side: &Side) -> &[UplinkName] {
    match side {
        Side::Uplinks(uplinks) => uplinks,
        Side::State(_) => &[],
    }
}

/// The uplinks of a side of a switch; of those that are not configured any more only that there are some.
fn label(side: &Side, is_known: impl Fn(&UplinkName) -> bool) -> String {
    let names = uplinks_of(side).iter();
    let mut names: Vec<_> = names
        .map(|name| if is_known(name) { name.as_str() } else { OTHER })
        .collect();
    names.dedup();
    if names.is_empty() {
        names.push("none");
    }
    names.join(",")
}
