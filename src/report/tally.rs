//! What a ledger adds up to.

use std::time::{Duration, SystemTime};

use super::ledger::{Ledger, PastDrill, Period, StaySource};
use super::{
    Availability, DrillReport, OutageReport, PlannedReport, RecoveryTime, Subject, UplinkReport,
    percent,
};
use crate::samples::{Account, SampleBook, Traffic};
use crate::units::counting::median;
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{Timestamp, UplinkName};

impl Ledger {
    /// That of a subject, and of at least so long before its end.
    pub(super) fn of_subject(subject: &Subject<'_>, at_least: Duration) -> Self {
        let Subject {
            events,
            period: Period { from, to },
            running,
            samples,
            rto: _,
        } = *subject;
        let from = to
            .checked_sub(at_least)
            .map_or(from, |least| least.min(from));
        Self::of(events, Period { from, to }, running, samples)
    }

    /// Those of the running agent, then all others of a period.
    pub(super) fn names(&self, running: &[UplinkName], period: Period) -> Vec<UplinkName> {
        let stays = self.stays.iter();
        let others = stays.filter(|stay| stay.span.within(period).is_some());
        let others: SortedSet<_> = others.map(|stay| &stay.uplink).collect();
        let others = others.into_iter().filter(|name| !running.contains(name));
        running.iter().chain(others).cloned().collect()
    }

    /// Something is known of a time.
    pub(super) fn is_known_in(&self, [from, to]: [SystemTime; 2]) -> bool {
        let mut stays = self.stays.iter();
        stays.any(|stay| stay.span.within(Period { from, to }).is_some())
    }

    pub(super) fn uplink(
        &self,
        name: UplinkName,
        period: Period,
        samples: &SampleBook,
    ) -> UplinkReport {
        let mut spans = Spans::default();
        let [mut degraded, mut planned, mut carried] = [Duration::ZERO; 3];
        for stay in self.stays.iter().filter(|stay| stay.uplink == name) {
            let Some(span) = stay.span.within(period) else {
                continue;
            };
            match Account::of(stay.state) {
                Account::Up => spans.available += span.lasts(),
                Account::Degraded => {
                    spans.available += span.lasts();
                    degraded += span.lasts();
                }
                Account::Outage if stay.source == StaySource::Sample => {
                    spans.sampled_outages += span.lasts();
                }
                Account::Outage => spans.add_outage(span),
                Account::Planned => planned += span.lasts(),
                Account::Idle => {}
            }
        }
        let by_events = self.carried.iter();
        let by_events = by_events.filter(|(_, uplinks)| uplinks.contains(&name));
        let by_events = by_events.map(|(span, _)| span);
        let by_samples = self.carried_in_samples.iter();
        let by_samples = by_samples.filter(|(_, uplink)| *uplink == name);
        for span in by_events.chain(by_samples.map(|(span, _)| span)) {
            carried += span.within(period).map(Period::lasts).unwrap_or_default();
        }
        let bytes = |traffic| samples.bytes(&name, [period.from, period.to], traffic);
        UplinkReport {
            receive_bytes: bytes(Traffic::Received),
            transmit_bytes: bytes(Traffic::Sent),
            probe_bytes: bytes(Traffic::Probes),
            allowance: None,
            availability: spans.availability(),
            degraded_s: degraded.as_secs(),
            planned_s: planned.as_secs(),
            carried_s: carried.as_secs(),
            name,
        }
    }

    /// The outages of single uplinks.
    pub(super) fn outages(&self, period: Period, is_running: bool) -> Vec<OutageReport> {
        let mut outages: Vec<OutageReport> = Vec::new();
        // What follows at once under another name, as `down` after `absent`, is the same outage.
        let mut latest: SortedMap<&UplinkName, usize> = SortedMap::new();
        for stay in &self.stays {
            let Some(span) = stay.span.within(period) else {
                continue;
            };
            if Account::of(stay.state) != Account::Outage || stay.source == StaySource::Sample {
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
                broken_at: stay.broken_at,
                carried: Vec::new(),
                recovery_ms: None,
            });
        }
        for outage in &mut outages {
            let to = outage.end.map_or(period.to, |end| end.0);
            let from = outage.begin.0;
            outage.carried = self.carried_by_others(outage.uplink.as_ref(), Period { from, to });
            let first = self
                .recovered
                .partition_point(|recovery| recovery.at < from);
            let within = self.recovered[first..]
                .iter()
                .take_while(|one| one.at <= to);
            let mut own = within.filter(|one| {
                one.from
                    .iter()
                    .any(|from| Some(from) == outage.uplink.as_ref())
            });
            outage.recovery_ms = own.next().map(|one| one.millis);
        }
        outages
    }

    /// Each maintenance by hand.
    pub(super) fn planned(&self, period: Period, is_running: bool) -> Vec<PlannedReport> {
        let by_hand = self.stays.iter().filter(|stay| {
            stay.source == StaySource::Events && Account::of(stay.state) == Account::Planned
        });
        let by_hand = by_hand.filter_map(|stay| {
            let goes_on = is_running && stay.span.to == period.to;
            Some(PlannedReport {
                uplink: stay.uplink.clone(),
                begin: Timestamp(stay.span.from),
                end: (!goes_on).then_some(Timestamp(stay.span.to)),
                lasts_s: stay.span.within(period)?.lasts().as_secs(),
                reason: stay.reason.clone(),
            })
        });
        let mut planned: Vec<_> = by_hand.collect();
        planned.sort_by_key(|planned| planned.begin);
        planned
    }

    pub(super) fn drills(&self, period: Period) -> Vec<DrillReport> {
        let within = { self.drills.iter() }.filter(|drill| period.contains(drill.at));
        let report = |drill: &PastDrill| DrillReport {
            at: Timestamp(drill.at),
            uplink: drill.uplink.clone(),
            findings: drill.findings,
            reason: drill.reason.clone(),
        };
        within.map(report).collect()
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

    /// When at least one uplink was available, and when something was known and none was. While the path of one is only
    /// cut on purpose, the others are no outage of all.
    pub(super) fn whole(&self, period: Period) -> Spans {
        let mut turns = Vec::new();
        for stay in &self.stays {
            let change = match Account::of(stay.state) {
                Account::Up | Account::Degraded => [1, 0, 0, 0],
                Account::Outage if stay.source == StaySource::Sample => [0, 1, 0, 0],
                Account::Outage => [0, 1, 1, 0],
                Account::Planned if stay.source == StaySource::Drill => [0, 0, 0, 1],
                Account::Planned | Account::Idle => continue,
            };
            if let Some(Period { from, to }) = stay.span.within(period) {
                turns.extend([(from, change), (to, change.map(|count| -count))]);
            }
        }
        turns.sort_unstable_by_key(|(at, _)| *at);
        let mut spans = Spans::default();
        let mut counts = [0; 4];
        let mut before = period.from;
        for (at, change) in turns {
            let span = Period {
                from: before,
                to: at,
            };
            match counts {
                [0, 0, _, _] => {}
                [0, _, _, drilled] if drilled > 0 => {}
                [0, _, 0, _] => spans.sampled_outages += span.lasts(),
                [0, _, _, _] => spans.add_outage(span),
                [_, _, _, _] => spans.available += span.lasts(),
            }
            counts = [0, 1, 2, 3].map(|place| counts[place] + change[place]);
            before = at;
        }
        spans
    }

    pub(super) fn recovery(&self, period: Period, rto: Option<Duration>) -> RecoveryTime {
        let within = { self.recovered.iter() }.filter(|recovery| period.contains(recovery.at));
        let mut times: Vec<_> = within.map(|recovery| recovery.millis).collect();
        times.sort_unstable();
        // The nearest rank.
        let rank = |percent: usize| (times.len() * percent).div_ceil(100).saturating_sub(1);
        let at = |percent| times.get(rank(percent)).copied();
        let rto_ms = rto.map(|rto| u64::try_from(rto.as_millis()).unwrap_or(u64::MAX));
        RecoveryTime {
            switches: times.len(),
            median_ms: median(&times),
            p95_ms: at(95),
            worst_ms: at(100),
            rto_ms,
            within_rto: rto_ms.map(|rto| times.partition_point(|time| *time <= rto)),
        }
    }
}

/// How long it was available, and each outage, oldest first.
#[derive(Default)]
pub(super) struct Spans {
    available: Duration,
    outages: Vec<Period>,
    /// Outages that samples tell of.
    sampled_outages: Duration,
}

impl Spans {
    /// Adds an outage. What follows at once under another name is the same one.
    fn add_outage(&mut self, span: Period) {
        match self.outages.last_mut() {
            _ if span.lasts().is_zero() => {}
            Some(last) if last.to == span.from => last.to = span.to,
            Some(_) | None => self.outages.push(span),
        }
    }

    pub(super) fn availability(&self) -> Availability {
        let outages = || self.outages.iter().map(|span| span.lasts());
        let outage = outages().sum::<Duration>() + self.sampled_outages;
        Availability {
            available_percent: percent(self.available, self.available + outage),
            available_s: self.available.as_secs(),
            outage_s: outage.as_secs(),
            outages: self.outages.len(),
            longest_outage_s: outages().max().unwrap_or_default().as_secs(),
        }
    }

    /// The outages of the whole.
    pub(super) fn outages(&self, subject: &Subject<'_>) -> Vec<OutageReport> {
        let outage = |span: &Period| {
            let goes_on = subject.running.is_some() && span.to == subject.period.to;
            OutageReport {
                uplink: None,
                begin: Timestamp(span.from),
                end: (!goes_on).then_some(Timestamp(span.to)),
                lasts_s: span.lasts().as_secs(),
                reason: "no uplink was available".to_owned(),
                broken_at: None,
                // Where the traffic was led, it did not come through.
                carried: Vec::new(),
                recovery_ms: None,
            }
        };
        self.outages.iter().map(outage).collect()
    }
}
