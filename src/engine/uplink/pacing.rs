//! When an uplink is probed next.

use std::time::Duration;

use super::{Phase, ROUTES_FIRST, Uplink};
use crate::engine::schedule::{Doubt, Need, Pace, Wait};
use crate::engine::timer::Timer;
use crate::units::Moment;

/// Whether it was asked if it would be there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Call {
    /// Never yet.
    #[default]
    Never,
    /// Since then; the round is still to be sent.
    Due(Moment),
    /// Then, and the round was sent.
    Made(Moment),
}

impl Call {
    pub(super) fn is_due(self) -> bool {
        matches!(self, Self::Due(_))
    }

    /// A round is sent.
    pub(super) fn make(&mut self) {
        if let Self::Due(at) = *self {
            *self = Self::Made(at);
        }
    }

    fn is_recent(self, now: Moment, interval: Duration) -> bool {
        match self {
            Self::Never => false,
            Self::Due(at) | Self::Made(at) => now.since(at) < interval,
        }
    }
}

impl Uplink {
    /// So much depends on it from now on.
    pub fn set_need(&mut self, need: Need, now: Moment) {
        if need == self.need {
            return;
        }
        self.need = need;
        let interval = self.settings.probe.interval;
        match need {
            Need::Called if !self.call.is_recent(now, interval) => self.call(now),
            Need::Called | Need::Watched => self.hurry(now),
            Need::Standby => {}
        }
    }

    /// Asks all its targets at once whether it would be there.
    pub(super) fn call(&mut self, now: Moment) {
        self.call = Call::Due(now);
        self.hurry(now);
    }

    /// How much speaks against it, beyond what it has been judged for.
    pub fn doubt(&self) -> Doubt {
        let is_grave = self.outage.unanswered() > 1 || self.outage.is_traffic_silent();
        if is_grave {
            Doubt::Grave
        } else if self.is_suspected() || self.quality.is_suspected() {
            Doubt::Slight
        } else {
            Doubt::None
        }
    }

    /// It misses probes, or a family of it does.
    pub(super) fn is_suspected(&self) -> bool {
        self.outage.is_suspected() || self.families.are_in_doubt() || self.portal.is_suspected()
    }

    pub(super) fn pace(&self, now: Moment) -> Pace {
        self.afford(self.wanted_pace(now), now)
    }

    fn wanted_pace(&self, now: Moment) -> Pace {
        match self.standing {
            _ if self.summoned > 0 => Pace::Confirm,
            // It may take a minute until a modem that is up has a network.
            Phase::Unknown if self.is_coming_up() && self.is_suspected() => {
                if self.is_metered() {
                    Pace::Confirm
                } else {
                    Pace::Brisk
                }
            }
            Phase::Unknown => Pace::Confirm,
            Phase::Up if self.call.is_due() || self.doubt() > Doubt::None => Pace::Confirm,
            Phase::Degraded | Phase::Recovering { .. }
                if self.call.is_due() || self.is_suspected() =>
            {
                Pace::Confirm
            }
            Phase::Degraded if self.need == Need::Standby && self.is_warm() => Pace::Standby,
            Phase::Degraded if self.need == Need::Standby => Pace::Steady,
            Phase::Degraded | Phase::Recovering { .. } => Pace::Brisk,
            Phase::Up if self.families.are_on_trial() => Pace::Brisk,
            Phase::Up => self.unhurried(),
            Phase::Down | Phase::Absent | Phase::Cold => match self.need {
                Need::Standby | Need::Called => Pace::BackOff {
                    age: now.since(self.awaited_since),
                },
                Need::Watched => Pace::Steady,
            },
        }
    }

    /// The pace while nothing speaks against it.
    pub(super) fn unhurried(&self) -> Pace {
        match self.need {
            Need::Standby => Pace::Standby,
            Need::Watched | Need::Called => Pace::Steady,
        }
    }

    /// There is a reason to hope that it answers.
    pub(super) fn probe_soon(&mut self, now: Moment) {
        self.awaited_since = now;
        if self.attachment.trouble.is_none() {
            self.timers.set(Timer::Round, now + ROUTES_FIRST);
        }
    }

    /// A round at the steady pace is due by `then`.
    pub fn has_steady_round(&self, then: Moment) -> bool {
        self.has_round(then) && self.pace(then) == Pace::Steady
    }

    /// A round that has time is due by `then`.
    pub fn has_slow_round(&self, then: Moment) -> bool {
        self.has_round(then) && self.pace(then).is_slow()
    }

    fn has_round(&self, then: Moment) -> bool {
        self.timers.get(Timer::Round).is_some_and(|at| at <= then)
    }

    /// When the next round is due.
    pub fn next_round(&self) -> Option<Moment> {
        self.timers.get(Timer::Round)
    }

    /// The next round goes out at `then`.
    pub fn probe_at(&mut self, then: Moment) {
        self.timers.set(Timer::Round, then);
    }

    /// After a round.
    pub(super) fn await_next_round(&mut self, now: Moment) {
        let pace = self.pace(now);
        let spacing = self.spacing(pace, now);
        let next = match self.wait(pace) {
            Some(wait) => wait.next(now, spacing),
            None => now + self.spread.spread(pace, spacing),
        };
        self.timers.set(Timer::Round, next);
    }

    /// A silence about which more probes say nothing more.
    pub(super) fn wait(&self, pace: Pace) -> Option<Wait> {
        let began = self.outage.began().filter(|_| pace == Pace::Confirm)?;
        let decided = self.outage.decided_at(self.demand())?;
        Some(Wait { began, decided })
    }

    /// Moves the next round nearer if the pace asks for it.
    pub(super) fn hurry(&mut self, now: Moment) {
        let Some(last) = self.rounds.back().map(|round| round.sent) else {
            return;
        };
        let pace = self.pace(now);
        let is_in_no_hurry = pace.is_slow() || (pace == Pace::Steady && !self.is_behind(now));
        if is_in_no_hurry {
            return;
        }
        let spacing = self.spacing(pace, now);
        let due = self
            .wait(pace)
            .map_or(last + spacing, |wait| wait.next(last, spacing));
        let due = due.max(now);
        if self.timers.get(Timer::Round).is_some_and(|at| at > due) {
            self.timers.set(Timer::Round, due);
        }
    }

    /// The next round was set when it was in less of a hurry.
    fn is_behind(&self, now: Moment) -> bool {
        let latest = now + self.spacing(Pace::Steady, now) * 6 / 5;
        self.timers.get(Timer::Round).is_some_and(|at| at > latest)
    }
}
