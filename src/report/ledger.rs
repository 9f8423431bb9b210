//! The ledger of a history: which uplink had which state when, who carried, and when that was watched.

use std::time::{Duration, SystemTime};

use crate::engine::event::cause::SwitchCause;
use crate::engine::event::record::EventRecord;
use crate::engine::event::{EventKind, Side};
use crate::engine::state::State;
use crate::routing::Family;
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
}

/// A state that goes on.
struct Staying {
    /// Unknown while the clock is not set.
    since: Option<SystemTime>,
    state: State,
    reason: String,
}

/// What the events amount to.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) watched: Vec<Period>,
    pub(super) stays: Vec<Stay>,
    /// Who carried the traffic of the default group, oldest first.
    pub(super) carried: Vec<(Period, Vec<UplinkName>)>,
    pub(super) switched: Vec<SystemTime>,
    /// Switches from uplinks that were down, and how many milliseconds after the outage began.
    pub(super) recovered: Vec<(SystemTime, u64)>,
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
        // That of a drill was made on purpose.
        let recovery = event
            .recovery_ms
            .filter(|_| event.cause != Some(SwitchCause::Drill));
        self.ledger.recovered.extend(at.zip(recovery));
        match (event.event, &event.uplink, &event.from, &event.to) {
            (kind, Some(uplink), _, Some(Side::State(state))) if is_of_uplink(kind) => {
                let reason = event.reason.clone();
                let stay = Staying {
                    since: at,
                    state: *state,
                    reason,
                };
                if let Some(before) = self.states.insert(uplink.clone(), stay) {
                    self.stayed(uplink.clone(), before, at);
                }
            }
            (EventKind::Switch, _, Some(Side::Uplinks(from)), Some(Side::Uplinks(to)))
                if event.group.is_none() && event.family != Some(Family::Ipv6) =>
            {
                if !from.is_empty() {
                    self.ledger.switched.extend(at);
                }
                if let Some(before) = self.carrying.replace((at, to.clone())) {
                    self.carried(before, at);
                }
            }
            (EventKind::AgentStopped, ..) => self.close(at, None),
            _ => {}
        }
    }

    fn open(&mut self, at: SystemTime) {
        self.last = Some(at);
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
        } = stay;
        self.ledger.stays.extend(span(since, to).map(|span| Stay {
            uplink,
            span,
            state,
            reason,
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

impl Ledger {
    /// Of these events, the oldest first, until `now`. `running`: the uplinks of an agent that runs then.
    pub(super) fn of(
        events: &[EventRecord],
        now: SystemTime,
        running: Option<&[UplinkName]>,
    ) -> Self {
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
        clerk.ledger
    }
}
