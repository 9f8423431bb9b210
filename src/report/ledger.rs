//! The ledger of a history: which uplink had which state when, who carried, and when that was watched.
//!
//! Samples fill what events leave open, as the history keeps the latest events only, and a power cut takes those that
//! are not written. A sample tells how long, not when: its time in a slot is laid out with what was available first.
//! Of slots at the same time, that makes the uplinks fail together: more than one uplink is never said to do better
//! than is proven.

use std::time::{Duration, SystemTime};

use crate::engine::event::broken_at::BrokenAt;
use crate::engine::event::cause::SwitchCause;
use crate::engine::event::drill::DrillFindings;
use crate::engine::event::record::EventRecord;
use crate::engine::event::{EventKind, Side};
use crate::engine::state::State;
use crate::routing::Family;
use crate::samples::{Account, PlacedSample, SampleBook};
use crate::units::UplinkName;
use crate::units::sorted::SortedMap;

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its begin.
    pub from: SystemTime,
    /// Its end.
    pub to: SystemTime,
}

impl Period {
    pub(super) fn within(self, outer: Self) -> Option<Self> {
        let (from, to) = (self.from.max(outer.from), self.to.min(outer.to));
        (from < to).then_some(Self { from, to })
    }

    pub(super) fn contains(self, at: SystemTime) -> bool {
        (self.from..self.to).contains(&at)
    }

    fn overlaps(self, other: Self) -> bool {
        self.from < other.to && other.from < self.to
    }

    pub(super) fn lasts(self) -> Duration {
        self.to.duration_since(self.from).unwrap_or_default()
    }
}

/// A time in which an uplink had one state.
pub(super) struct Stay {
    pub(super) uplink: UplinkName,
    pub(super) span: Period,
    pub(super) state: State,
    pub(super) reason: String,
    pub(super) broken_at: Option<BrokenAt>,
    pub(super) source: StaySource,
}

/// What tells of a stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StaySource {
    /// Events, at its begin and its end.
    Events,
    /// The event of a drill that is over.
    Drill,
    /// A sample: how long it was is known, when it began is not.
    Sample,
}

/// A switch from an uplink that was down.
pub(super) struct Recovery {
    pub(super) at: SystemTime,
    pub(super) from: Vec<UplinkName>,
    /// After the outage began.
    pub(super) millis: u64,
}

/// A drill that is over, or was due and did not begin.
pub(super) struct PastDrill {
    pub(super) at: SystemTime,
    pub(super) uplink: UplinkName,
    pub(super) findings: DrillFindings,
    pub(super) reason: String,
}

impl PastDrill {
    /// When its path failed.
    fn span(&self) -> Option<Period> {
        let failed = Duration::from_millis(self.findings.failed_ms.into());
        span(self.at.checked_sub(failed), Some(self.at))
    }
}

/// A switch of the default group.
pub(super) struct PastSwitch {
    pub(super) at: SystemTime,
    /// An operator wanted it.
    pub(super) is_planned: bool,
}

/// A state that goes on.
struct Staying {
    /// Unknown while the clock is not set.
    since: Option<SystemTime>,
    state: State,
    reason: String,
    broken_at: Option<BrokenAt>,
}

/// What the events amount to.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) watched: Vec<Period>,
    pub(super) stays: Vec<Stay>,
    /// Who carried the traffic of the default group, oldest first.
    pub(super) carried: Vec<(Period, Vec<UplinkName>)>,
    /// By what samples tell. Slots of several uplinks may overlap.
    pub(super) carried_in_samples: Vec<(Period, UplinkName)>,
    pub(super) switched: Vec<PastSwitch>,
    pub(super) recovered: Vec<Recovery>,
    pub(super) drills: Vec<PastDrill>,
    /// The first event.
    pub(super) events_from: Option<SystemTime>,
}

/// A ledger that is being written.
struct Clerk {
    ledger: Ledger,
    now: SystemTime,
    /// The latest time that was told.
    last: Option<SystemTime>,
    /// Since when the machine is watched.
    watching: Option<SystemTime>,
    states: SortedMap<UplinkName, Staying>,
    carrying: Option<(Option<SystemTime>, Vec<UplinkName>)>,
}

impl Clerk {
    /// Its time, no earlier than that of the event before it; none while the clock is not set.
    fn time_of(&self, event: &EventRecord) -> Option<SystemTime> {
        let at = event.at.0;
        let is_set = event.at.is_set() && at <= self.now;
        let at = is_set
            .then_some(at)
            .or_else(|| self.watching.and(self.last))?;
        Some(self.last.map_or(at, |last| at.max(last)))
    }

    fn take(&mut self, event: &EventRecord) {
        if event.event == EventKind::AgentStarted {
            self.close(self.last, None);
        }
        let at = self.time_of(event);
        if let Some(at) = at {
            self.open(at);
        }
        match (event.event, &event.uplink, &event.from, &event.to) {
            (kind, Some(uplink), _, Some(Side::State(state))) if is_of_uplink(kind) => {
                let reason = event.reason.clone();
                let state = *state;
                let stay = Staying {
                    since: at,
                    state,
                    reason,
                    broken_at: event.broken_at,
                };
                if let Some(before) = self.states.insert(uplink.clone(), stay) {
                    self.stayed(uplink.clone(), before, at);
                }
            }
            (EventKind::Switch, _, Some(Side::Uplinks(from)), Some(Side::Uplinks(to))) => {
                self.switch(event, from, to, at);
            }
            (EventKind::Drill, Some(uplink), ..) => {
                let drill = at.zip(event.drill).map(|(at, findings)| PastDrill {
                    at,
                    uplink: uplink.clone(),
                    findings,
                    reason: event.reason.clone(),
                });
                self.ledger.drills.extend(drill);
            }
            (EventKind::AgentStarted, _, _, Some(Side::Uplinks(carriers))) => {
                self.carrying = Some((at, carriers.clone()));
            }
            (EventKind::AgentStopped, ..) => self.close(at, None),
            _ => {}
        }
    }

    fn switch(
        &mut self,
        event: &EventRecord,
        from: &[UplinkName],
        to: &[UplinkName],
        at: Option<SystemTime>,
    ) {
        // That of a drill was made on purpose.
        if let Some((at, millis)) = at.zip(event.recovery_ms)
            && event.cause != Some(SwitchCause::Drill)
        {
            let from = from.to_vec();
            self.ledger.recovered.push(Recovery { at, from, millis });
        }
        if event.group.is_some() || event.family == Some(Family::Ipv6) {
            return;
        }
        if !from.is_empty() {
            let is_planned = event.cause.is_some_and(is_planned);
            let switch = at.map(|at| PastSwitch { at, is_planned });
            self.ledger.switched.extend(switch);
        }
        if let Some(before) = self.carrying.replace((at, to.to_vec())) {
            self.carried(before, at);
        }
    }

    fn open(&mut self, at: SystemTime) {
        self.last = Some(at);
        self.ledger.events_from.get_or_insert(at);
        if self.watching.is_none() {
            self.watching = Some(at);
            let states = self.states.values_mut().map(|stay| &mut stay.since);
            let carrying = self.carrying.iter_mut().map(|(since, _)| since);
            for since in states.chain(carrying) {
                since.get_or_insert(at);
            }
        }
    }

    /// Nothing is known from this time on. `running`: the uplinks of an agent that runs; a state of another one
    /// ended at some time that is not known.
    fn close(&mut self, at: Option<SystemTime>, running: Option<&[UplinkName]>) {
        for (uplink, stay) in std::mem::take(&mut self.states) {
            if running.is_none_or(|running| running.contains(&uplink)) {
                self.stayed(uplink, stay, at);
            }
        }
        if let Some(carrying) = self.carrying.take() {
            self.carried(carrying, at);
        }
        self.ledger.watched.extend(span(self.watching.take(), at));
    }

    fn stayed(&mut self, uplink: UplinkName, stay: Staying, to: Option<SystemTime>) {
        let Staying {
            since,
            state,
            reason,
            broken_at,
        } = stay;
        self.ledger.stays.extend(span(since, to).map(|span| Stay {
            uplink,
            span,
            state,
            reason,
            broken_at,
            source: StaySource::Events,
        }));
    }

    fn carried(
        &mut self,
        (since, uplinks): (Option<SystemTime>, Vec<UplinkName>),
        to: Option<SystemTime>,
    ) {
        let span = span(since, to).map(|span| (span, uplinks));
        self.ledger.carried.extend(span);
    }
}

fn span(from: Option<SystemTime>, to: Option<SystemTime>) -> Option<Period> {
    let (from, to) = from.zip(to)?;
    (from < to).then_some(Period { from, to })
}

fn is_planned(cause: SwitchCause) -> bool {
    match cause {
        SwitchCause::Manual | SwitchCause::Drill | SwitchCause::Config => true,
        SwitchCause::Unknown
        | SwitchCause::Start
        | SwitchCause::Down
        | SwitchCause::Degraded
        | SwitchCause::Failback
        | SwitchCause::Schedule
        | SwitchCause::Best
        | SwitchCause::Sharing
        | SwitchCause::Allowance
        | SwitchCause::Doubt => false,
    }
}

fn is_of_uplink(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::UplinkUp
            | EventKind::UplinkDegraded
            | EventKind::UplinkDown
            | EventKind::UplinkRecovering
            | EventKind::UplinkDisabled
            | EventKind::UplinkEnabled
    )
}

/// Times of one kind, which do not overlap each other, oldest first.
struct KnownTimes(Vec<Period>);

impl KnownTimes {
    fn of(spans: impl Iterator<Item = Period>) -> Self {
        let mut spans: Vec<_> = spans.collect();
        spans.sort_unstable_by_key(|span| span.from);
        Self(spans)
    }

    fn overlap(&self, span: Period) -> bool {
        let first = self.0.partition_point(|known| known.to <= span.from);
        { self.0.get(first) }.is_some_and(|known| known.overlaps(span))
    }
}

impl Ledger {
    /// Of these events, the oldest first, until the end of `period`, and of the samples in it. `running`: the uplinks
    /// of an agent that runs then.
    pub(super) fn of(
        events: &[EventRecord],
        period: Period,
        running: Option<&[UplinkName]>,
        samples: &SampleBook,
    ) -> Self {
        let now = period.to;
        let mut clerk = Clerk {
            ledger: Self::default(),
            now,
            last: None,
            watching: None,
            states: SortedMap::new(),
            carrying: None,
        };
        for event in events {
            clerk.take(event);
        }
        let end = running.map_or(clerk.last, |_| Some(now));
        clerk.close(end, running);
        let mut ledger = clerk.ledger;
        ledger.set_drills_apart();
        ledger.fill(samples, period);
        ledger
    }

    /// The path of a drill failed as planned.
    fn set_drills_apart(&mut self) {
        for drill in &self.drills {
            let Some(planned) = drill.span() else {
                continue;
            };
            let mut pieces = Vec::new();
            self.stays.retain(|stay| {
                let is_other = stay.uplink != drill.uplink
                    || Account::of(stay.state) == Account::Outage
                    || !stay.span.overlaps(planned);
                if !is_other {
                    let before = span(Some(stay.span.from), Some(planned.from));
                    let after = span(Some(planned.to), Some(stay.span.to));
                    let around = before.into_iter().chain(after);
                    let piece = |span, state, source| Stay {
                        uplink: stay.uplink.clone(),
                        span,
                        state,
                        reason: stay.reason.clone(),
                        broken_at: None,
                        source,
                    };
                    pieces.extend(around.map(|span| piece(span, stay.state, stay.source)));
                    let within = stay.span.within(planned);
                    pieces
                        .extend(within.map(|span| piece(span, State::Disabled, StaySource::Drill)));
                }
                is_other
            });
            self.stays.append(&mut pieces);
        }
    }

    /// Samples tell what events leave open.
    fn fill(&mut self, samples: &SampleBook, period: Period) {
        let watched = KnownTimes::of(self.watched.iter().copied());
        let carried = KnownTimes::of(self.carried.iter().map(|(span, _)| *span));
        let of_uplink = |uplink: &UplinkName| {
            let own = self.stays.iter().filter(|stay| stay.uplink == *uplink);
            (uplink.clone(), KnownTimes::of(own.map(|stay| stay.span)))
        };
        let known: SortedMap<_, _> = samples.names().iter().map(of_uplink).collect();
        let mut covered: Vec<Period> = Vec::new();
        for one in samples.within(period.from, period.to) {
            let (from, to) = (one.from, one.from + one.lasts);
            let slot = Period { from, to };
            if to > period.to {
                continue;
            }
            if !watched.overlap(slot) {
                let shares = Account::ALL.iter().map(|of| one.sample.share(*of));
                let to = from + one.lasts.mul_f64(shares.sum::<f64>().min(1.0));
                match covered.last_mut() {
                    Some(last) if last.from == from => last.to = last.to.max(to),
                    Some(_) | None => covered.push(Period { from, to }),
                }
            }
            if !carried.overlap(slot) {
                let to = from + one.lasts.mul_f64(one.sample.carried());
                let carried = (Period { from, to }, one.uplink.clone());
                self.carried_in_samples.push(carried);
            }
            if !{ known.get(one.uplink) }.is_some_and(|known| known.overlap(slot)) {
                self.stays.extend(stays_of(&one));
            }
        }
        self.watched.append(&mut covered);
    }
}

/// What a sample tells, laid out in its slot.
fn stays_of(one: &PlacedSample<'_>) -> impl Iterator<Item = Stay> {
    const ORDER: [(Account, State); 4] = [
        (Account::Up, State::Up),
        (Account::Degraded, State::Degraded),
        (Account::Outage, State::Down),
        (Account::Planned, State::Disabled),
    ];
    let mut from = one.from;
    ORDER.into_iter().filter_map(move |(account, state)| {
        let to = from + one.lasts.mul_f64(one.sample.share(account));
        let span = span(Some(std::mem::replace(&mut from, to)), Some(to))?;
        Some(Stay {
            uplink: one.uplink.clone(),
            span,
            state,
            reason: String::new(),
            broken_at: None,
            source: StaySource::Sample,
        })
    })
}
