//! What a history amounts to: availability, outages, who carried the traffic. Pure.
//!
//! The agent notes each change of a state, and its own starts and stops. Between a start and the stop that
//! follows, or the last event where a crash or a power cut came instead, the machine was watched; of all other
//! time nothing is known, and [`Report::coverage_percent`] says how much that is.

pub mod html;
mod ledger;
mod picture;
mod tally;

use std::time::Duration;

use serde::Serialize;

use crate::engine::event::broken_at::BrokenAt;
use crate::engine::event::drill::DrillFindings;
use crate::engine::event::record::EventRecord;
use crate::engine::status::{AllowanceStatus, Status};
use crate::samples::SampleBook;
use crate::units::{Timestamp, UplinkName};
use ledger::Ledger;
pub use ledger::Period;
pub use picture::UplinkLimits;

/// How it is counted, for readers of the report.
pub const METHOD: &str = "An uplink is available while it is up, degraded or recovering, and in an outage while it \
                          is down or absent. Planned time (maintenance by hand, drills), a cold standby at rest, and \
                          time in which no agent ran or nothing was known yet count neither way. Availability is the \
                          available time as a share of the available time and the outages. An outage begins with the \
                          verdict and ends with the first answer after it; times are of whole seconds. Recovery is \
                          from the first probe that was not answered, or the failure of the link, until the kernel \
                          held the routes by another uplink; drills are not in it. What events do not tell is taken \
                          from samples of 5 minutes, an hour or a day: they tell how long an outage was, not when it \
                          began, and add to times, not to numbers. Of outages of several uplinks in one sample it is \
                          held that they came together.";

/// What a report is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// All that is kept, oldest first: what was before the period says how it began.
    pub events: &'a [EventRecord],
    /// The period.
    pub period: Period,
    /// The uplinks of the agent that runs until the end of the period, in their order; none: it does not run.
    pub running: Option<&'a [UplinkName]>,
    /// What was measured.
    pub samples: &'a SampleBook,
    /// The longest recovery that is good enough: `[drill] rto`, if that is known.
    pub rto: Option<Duration>,
}

/// The report of a period.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The begin of the period.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// How much of it was watched.
    pub coverage_percent: f64,
    /// From when on events tell of it, if samples alone do before; else `null`.
    pub events_from: Option<Timestamp>,
    /// Availability of the whole: at least one uplink was available.
    pub whole: Availability,
    /// Each uplink: first those that are configured, in their order.
    pub uplinks: Vec<UplinkReport>,
    /// Each outage, the oldest first.
    pub outages: Vec<OutageReport>,
    /// Each maintenance by hand, the oldest first.
    pub planned: Vec<PlannedReport>,
    /// Each drill, the oldest first.
    pub drills: Vec<DrillReport>,
    /// How often the traffic of the default group moved from one uplink to another.
    pub switches: usize,
    /// How many of these an operator or a drill made.
    pub planned_switches: usize,
    /// How long the traffic was without a working uplink before it left one that was down.
    pub recovery: RecoveryTime,
    /// How it is counted.
    pub method: &'static str,
}

/// From the first probe that was not answered, or the failure of a link, until the kernel held the routes by another
/// uplink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecoveryTime {
    /// Of how many switches.
    pub switches: usize,
    /// Half of them took no longer.
    pub median_ms: Option<u64>,
    /// 19 of 20 took no longer.
    pub p95_ms: Option<u64>,
    /// The longest.
    pub worst_ms: Option<u64>,
    /// The longest that is good enough, if that is known.
    pub rto_ms: Option<u64>,
    /// How many of the switches took no longer than that.
    pub within_rto: Option<usize>,
}

/// The availability of an uplink, or of the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Availability {
    /// Available time as a share of it and of the outages; `null` where there was neither.
    pub available_percent: Option<f64>,
    /// The available time.
    pub available_s: u64,
    /// All outages together.
    pub outage_s: u64,
    /// How many outages there were.
    pub outages: usize,
    /// The longest of them.
    pub longest_outage_s: u64,
}

/// The report on one uplink.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UplinkReport {
    /// Which.
    pub name: UplinkName,
    /// Its availability.
    #[serde(flatten)]
    pub availability: Availability,
    /// How long of its available time it was degraded.
    pub degraded_s: u64,
    /// How long it was in maintenance, or its path failed in a drill.
    pub planned_s: u64,
    /// How long it carried the traffic, alone or with others.
    pub carried_s: u64,
    /// What its interface received while the agent ran; `null` if that is not known.
    pub receive_bytes: Option<u64>,
    /// What it sent.
    pub transmit_bytes: Option<u64>,
    /// What its probes put on the wire at most, both ways.
    pub probe_bytes: Option<u64>,
    /// What is used of its allowance in the present period; `null` if it has none, or no agent runs.
    pub allowance: Option<AllowanceStatus>,
}

/// An outage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutageReport {
    /// Of which uplink; `null`: of all.
    pub uplink: Option<UplinkName>,
    /// When it began.
    pub begin: Timestamp,
    /// When it ended; `null` while it goes on.
    pub end: Option<Timestamp>,
    /// How much of it lies in the period.
    pub lasts_s: u64,
    /// What the verdict said.
    pub reason: String,
    /// Where its path broke, if that was known at its begin.
    pub broken_at: Option<BrokenAt>,
    /// The other uplinks that carried traffic meanwhile.
    pub carried: Vec<UplinkName>,
    /// How long the traffic that it carried was without a working uplink; `null` where it carried none.
    pub recovery_ms: Option<u64>,
}

/// A maintenance by hand.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedReport {
    /// Of which uplink.
    pub uplink: UplinkName,
    /// When it began.
    pub begin: Timestamp,
    /// When it ended; `null` while it goes on.
    pub end: Option<Timestamp>,
    /// How much of it lies in the period.
    pub lasts_s: u64,
    /// Who began it, and why.
    pub reason: String,
}

/// A drill that is over, or was due and did not begin.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DrillReport {
    /// When it was over.
    pub at: Timestamp,
    /// Of which uplink.
    pub uplink: UplinkName,
    /// What it has come to.
    #[serde(flatten)]
    pub findings: DrillFindings,
    /// The same in words.
    pub reason: String,
}

impl Report {
    /// The report on a subject.
    pub fn of(subject: &Subject<'_>) -> Self {
        Self::of_ledger(subject, &Ledger::of_subject(subject, Duration::ZERO))
    }

    /// Takes what is used of allowances in their present period, if an agent runs.
    pub fn add_allowances(&mut self, status: Option<&Status>) {
        for uplink in &mut self.uplinks {
            let known = status.iter().flat_map(|status| &status.uplinks);
            let mut known = known.filter(|known| known.name == uplink.name);
            uplink.allowance = known.next().and_then(|known| known.allowance);
        }
    }

    fn of_ledger(subject: &Subject<'_>, ledger: &Ledger) -> Self {
        let period = subject.period;
        let watched = ledger.watched.iter();
        let watched: Duration = watched
            .filter_map(|span| Some(span.within(period)?.lasts()))
            .sum();
        let uplinks = ledger.names(subject.running.unwrap_or_default(), period);
        let is_running = subject.running.is_some();
        let mut outages = ledger.outages(period, is_running);
        let whole = ledger.whole(period);
        outages.extend(whole.outages(subject));
        outages.sort_by_key(|outage| outage.begin);
        let events_from = ledger.events_from.filter(|from| {
            let before = [period.from, *from];
            *from > period.from && ledger.is_known_in(before)
        });
        let switches = || {
            let switches = ledger.switched.iter();
            switches.filter(|switch| period.contains(switch.at))
        };
        let uplinks = uplinks.into_iter();
        Self {
            from: Timestamp(period.from),
            to: Timestamp(period.to),
            coverage_percent: percent(watched, period.lasts()).unwrap_or(0.0),
            events_from: events_from.map(Timestamp),
            whole: whole.availability(),
            uplinks: uplinks
                .map(|name| ledger.uplink(name, period, subject.samples))
                .collect(),
            outages,
            planned: ledger.planned(period, is_running),
            drills: ledger.drills(period),
            switches: switches().count(),
            planned_switches: switches().filter(|switch| switch.is_planned).count(),
            recovery: ledger.recovery(period, subject.rto),
            method: METHOD,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds of some years")]
fn percent(part: Duration, of: Duration) -> Option<f64> {
    let share = part.as_millis() as f64 / of.as_millis() as f64;
    (!of.is_zero()).then_some(share * 100.0)
}

#[cfg(test)]
mod tests;
