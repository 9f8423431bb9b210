//! What a history amounts to: availability, outages, who carried the traffic. Pure.
//!
//! The agent notes each change of a state, and its own starts and stops. Between a start and the stop that
//! follows, or the last event where a crash or a power cut came instead, the machine was watched; of all other
//! time nothing is known, and [`Report::coverage_percent`] says how much that is.

pub mod html;
mod ledger;
mod picture;

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::engine::event::record::EventRecord;
use crate::engine::state::State;
use crate::samples::{Account, SampleBook, Traffic};
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{Timestamp, UplinkName};
use ledger::Ledger;
pub use ledger::Period;
pub use picture::UplinkLimits;

/// How it is counted, for readers of the report.
pub const METHOD: &str = "An uplink is available while it is up, degraded or recovering, and in an outage while it \
                          is down or absent. Maintenance, a cold standby at rest, and time in which no agent ran or \
                          nothing was known yet count neither way. Availability is the available time as a share of \
                          the available time and the outages. An outage begins with the verdict and ends with the \
                          first answer after it; times are of whole seconds.";

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
    /// Availability of the whole: at least one uplink was available.
    pub whole: Availability,
    /// Each uplink: first those that are configured, in their order.
    pub uplinks: Vec<UplinkReport>,
    /// Each outage, the oldest first.
    pub outages: Vec<OutageReport>,
    /// How often the traffic of the default group moved from one uplink to another.
    pub switches: usize,
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
    /// How long it was in maintenance.
    pub planned_s: u64,
    /// How long it carried the traffic, alone or with others.
    pub carried_s: u64,
    /// What its interface received while the agent ran; `null` if that is not known.
    pub receive_bytes: Option<u64>,
    /// What it sent.
    pub transmit_bytes: Option<u64>,
    /// What its probes put on the wire at most, both ways.
    pub probe_bytes: Option<u64>,
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
    /// The other uplinks that carried traffic meanwhile.
    pub carried: Vec<UplinkName>,
}

impl Report {
    /// The report on a subject.
    pub fn of(subject: &Subject<'_>) -> Self {
        let period = subject.period;
        let ledger = Ledger::of(subject.events, period.to, subject.running);
        let watched = ledger.watched.iter();
        let watched: Duration = watched
            .filter_map(|span| Some(span.within(period)?.lasts()))
            .sum();
        let uplinks = ledger.names(subject.running.unwrap_or_default());
        let mut outages = ledger.outages(period, subject.running.is_some());
        let whole = ledger.whole(period);
        outages.extend(whole.outages(&ledger, subject));
        outages.sort_by_key(|outage| outage.begin);
        let uplinks = uplinks.into_iter();
        Self {
            from: Timestamp(period.from),
            to: Timestamp(period.to),
            coverage_percent: percent(watched, period.lasts()).unwrap_or(0.0),
            whole: whole.availability(),
            uplinks: uplinks
                .map(|name| ledger.uplink(name, period, subject.samples))
                .collect(),
            outages,
            switches: ledger.switches(period),
            recovery: ledger.recovery(period),
            method: METHOD,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds of some years")]
fn percent(part: Duration, of: Duration) -> Option<f64> {
    let share = part.as_millis() as f64 / of.as_millis() as f64;
    (!of.is_zero()).then_some(share * 100.0)
}

impl Ledger {
    /// Those of the running agent, then all others.
    fn names(&self, running: &[UplinkName]) -> Vec<UplinkName> {
        let others: SortedSet<_> = self.stays.iter().map(|stay| &stay.uplink).collect();
        let others = others.into_iter().filter(|name| !running.contains(name));
        running.iter().chain(others).cloned().collect()
    }

    fn uplink(&self, name: UplinkName, period: Period, samples: &SampleBook) -> UplinkReport {
        let (mut spans, mut degraded, mut planned) = (Spans::default(), 0, 0);
        for stay in self.stays.iter().filter(|stay| stay.uplink == name) {
            let Some(span) = stay.span.within(period) else {
                continue;
            };
            let seconds = span.lasts().as_secs();
            match Account::of(stay.state) {
                Account::Up | Account::Degraded => spans.available.push(span),
                Account::Outage => spans.outages.push(span),
                Account::Planned => planned += seconds,
                Account::Idle => {}
            }
            if stay.state == State::Degraded {
                degraded += seconds;
            }
        }
        let carried = self.carried.iter();
        let carried = carried.filter(|(_, uplinks)| uplinks.contains(&name));
        let carried = carried.filter_map(|(span, _)| Some(span.within(period)?.lasts().as_secs()));
        let bytes = |traffic| samples.bytes(&name, [period.from, period.to], traffic);
        UplinkReport {
            receive_bytes: bytes(Traffic::Received),
            transmit_bytes: bytes(Traffic::Sent),
            probe_bytes: bytes(Traffic::Probes),
            availability: spans.availability(),
            degraded_s: degraded,
            planned_s: planned,
            carried_s: carried.sum(),
            name,
        }
    }

    /// The outages of single uplinks.
    fn outages(&self, period: Period, is_running: bool) -> Vec<OutageReport> {
        let mut outages: Vec<OutageReport> = Vec::new();
        // What follows at once under another name, as `down` after `absent`, is the same outage.
        let mut latest: SortedMap<&UplinkName, usize> = SortedMap::new();
        for stay in &self.stays {
            let Some(span) = stay.span.within(period) else {
                continue;
            };
            if Account::of(stay.state) != Account::Outage {
                continue;
            }
            let goes_on = is_running && stay.span.to == period.to;
            let end = (!goes_on).then_some(Timestamp(stay.span.to));
            let before = latest
                .get(&stay.uplink)
                .and_then(|place| outages.get_mut(*place));
            if let Some(before) = before.filter(|one| one.end == Some(Timestamp(stay.span.from))) {
                before.end = end;
                before.lasts_s += span.lasts().as_secs();
                continue;
            }
            latest.insert(&stay.uplink, outages.len());
            outages.push(OutageReport {
                uplink: Some(stay.uplink.clone()),
                begin: Timestamp(stay.span.from),
                end,
                lasts_s: span.lasts().as_secs(),
                reason: stay.reason.clone(),
                carried: Vec::new(),
            });
        }
        for outage in &mut outages {
            let to = outage.end.map_or(period.to, |end| end.0);
            let from = outage.begin.0;
            outage.carried = self.carried_by_others(outage.uplink.as_ref(), Period { from, to });
        }
        outages
    }

    fn carried_by_others(&self, uplink: Option<&UplinkName>, span: Period) -> Vec<UplinkName> {
        let first = self
            .carried
            .partition_point(|(carried, _)| carried.to <= span.from);
        let mut names = Vec::new();
        for (carried, uplinks) in &self.carried[first..] {
            if carried.from >= span.to {
                break;
            }
            for name in uplinks {
                if Some(name) != uplink && !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
        names
    }

    /// When at least one uplink was available, and when something was known and none was.
    fn whole(&self, period: Period) -> Spans {
        let mut turns = SortedMap::<SystemTime, [i32; 2]>::new();
        for stay in &self.stays {
            let side = match Account::of(stay.state) {
                Account::Up | Account::Degraded => 0,
                Account::Outage => 1,
                Account::Planned | Account::Idle => continue,
            };
            if let Some(Period { from, to }) = stay.span.within(period) {
                turns.entry(from).or_default()[side] += 1;
                turns.entry(to).or_default()[side] -= 1;
            }
        }
        let mut spans = Spans::default();
        let mut counts = [0, 0];
        let mut before = period.from;
        for (at, change) in turns {
            let span = Period {
                from: before,
                to: at,
            };
            match counts {
                [0, 0] => {}
                [available, _] => spans.add(span, available > 0),
            }
            counts = [counts[0] + change[0], counts[1] + change[1]];
            before = at;
        }
        spans
    }

    fn switches(&self, period: Period) -> usize {
        let within = |at: &&SystemTime| period.contains(**at);
        self.switched.iter().filter(within).count()
    }

    fn recovery(&self, period: Period) -> RecoveryTime {
        let within = self.recovered.iter().filter(|(at, _)| period.contains(*at));
        let mut times: Vec<_> = within.map(|(_, time)| *time).collect();
        times.sort_unstable();
        // The nearest rank.
        let rank = |percent: usize| (times.len() * percent).div_ceil(100).saturating_sub(1);
        let at = |percent| times.get(rank(percent)).copied();
        RecoveryTime {
            switches: times.len(),
            median_ms: at(50),
            p95_ms: at(95),
            worst_ms: at(100),
        }
    }
}

/// Times of both kinds, oldest first.
#[derive(Default)]
struct Spans {
    available: Vec<Period>,
    outages: Vec<Period>,
}

impl Spans {
    /// Adds one, which continues the last of its kind if that ends when it begins.
    fn add(&mut self, span: Period, is_available: bool) {
        let spans = if is_available {
            &mut self.available
        } else {
            &mut self.outages
        };
        match spans.last_mut() {
            Some(last) if last.to == span.from => last.to = span.to,
            Some(_) | None => spans.push(span),
        }
    }

    fn availability(&self) -> Availability {
        // What follows at once under another name is the same outage.
        let mut merged = Self::default();
        for span in &self.outages {
            merged.add(*span, false);
        }
        let available: Duration = self.available.iter().map(|span| span.lasts()).sum();
        let outages: Duration = self.outages.iter().map(|span| span.lasts()).sum();
        let longest = merged.outages.iter().map(|span| span.lasts()).max();
        Availability {
            available_percent: percent(available, available + outages),
            available_s: available.as_secs(),
            outage_s: outages.as_secs(),
            outages: merged.outages.len(),
            longest_outage_s: longest.unwrap_or_default().as_secs(),
        }
    }

    /// The outages of the whole.
    fn outages(&self, ledger: &Ledger, subject: &Subject<'_>) -> Vec<OutageReport> {
        let outage = |span: &Period| {
            let goes_on = subject.running.is_some() && span.to == subject.period.to;
            OutageReport {
                uplink: None,
                begin: Timestamp(span.from),
                end: (!goes_on).then_some(Timestamp(span.to)),
                lasts_s: span.lasts().as_secs(),
                reason: "no uplink was available".to_owned(),
                carried: ledger.carried_by_others(None, *span),
            }
        };
        self.outages.iter().map(outage).collect()
    }
}

#[cfg(test)]
mod tests;
