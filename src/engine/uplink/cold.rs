//! A cold uplink: when it is brought up and taken down, and how it is found to be of no use.
//!
//! The interface of a cold uplink is up while the traffic may need it, for `linger` after that, and
//! now and then for an exercise, so that a dead SIM is known before it is needed. The agent itself
//! brings nothing up: it says so, and hooks do it. One that is not usable within `ready_within` of the
//! call is unready. That is said once and tried again at growing intervals while it is needed; an
//! exercise is over with it. It is never taken down while it carries traffic or while no other uplink
//! is well.

use std::time::Duration;

use crate::engine::settings::{ColdSettings, Standby, UplinkSettings};
use crate::engine::wording::seconds;
use crate::units::Moment;

/// The first exercise after a start; a machine that restarts every day exercises nevertheless.
const FIRST_EXERCISE: Duration = Duration::from_secs(3_600);

/// Between two attempts to bring up what is needed, at most; `ready_within` if that is longer.
const RETRY_AT_MOST: Duration = Duration::from_secs(600);

/// Why one that is not needed otherwise is called.
const CARRIES: &str = "the traffic is there";

/// Whether a cold uplink is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StandbyCall {
    /// Why it is needed; none if it is not.
    pub why: Option<String>,
    /// Another uplink is well: this one may be taken down.
    pub may_rest: bool,
    /// When that may be otherwise, though nothing happens.
    pub look_again: Option<Moment>,
}

/// Whether a cold uplink is up.
#[derive(Clone, Debug)]
pub(super) struct Cold {
    settings: ColdSettings,
    stance: Stance,
    /// Why the last call was in vain.
    unready: Option<String>,
    exercise_at: Option<Moment>,
    due: Option<Moment>,
}

#[derive(Clone, Debug)]
enum Stance {
    /// It is down, or goes down.
    Asleep,
    /// It comes up, and is not usable yet.
    Called(Attempt),
    /// It is needed, and was usable.
    Serving,
    /// It is not needed: it goes down then.
    Idle {
        until: Moment,
        reason: String,
        /// It did not come up because it was called.
        is_found: bool,
        /// The attempt that is under way nevertheless, should it be needed again.
        last: Option<Attempt>,
    },
}

#[derive(Clone, Debug)]
struct Attempt {
    at: Moment,
    aim: Aim,
    /// How many there were before in vain.
    before: u32,
    /// It has taken too long.
    is_overdue: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    Need,
    Exercise,
    /// It was needed and usable, and no longer is: it was not called again yet.
    Return,
}

/// What a cold uplink is seen to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct StandbySight {
    pub(super) is_usable: bool,
    pub(super) is_carrying: bool,
}

/// What is to be reported or noted.
pub(super) enum StandbyTurn {
    Quiet,
    Up(String),
    Down(String),
    Ready,
    Unready(Aim),
    /// It is not reported again.
    StillUnready,
}

impl Stance {
    /// An exercise is over: it may go down at once.
    fn over(now: Moment, reason: String) -> Self {
        Self::Idle {
            until: now,
            reason,
            is_found: false,
            last: None,
        }
    }
}

impl Attempt {
    fn stance(aim: Aim, before: u32, at: Moment) -> Stance {
        Stance::Called(Self {
            at,
            aim,
            before,
            is_overdue: false,
        })
    }
}

impl Cold {
    pub(super) fn of(settings: &UplinkSettings, now: Moment) -> Option<Box<Self>> {
        let Standby::Cold(settings) = settings.standby else {
            return None;
        };
        Some(Box::new(Self {
            exercise_at: settings
                .exercise_every
                .map(|every| now + every.min(FIRST_EXERCISE)),
            settings,
            stance: Stance::Asleep,
            unready: None,
            due: None,
        }))
    }

    /// Under changed settings. One that is cold only now may be up, and then goes down when it is not
    /// needed.
    pub(super) fn adapted(
        old: Option<Box<Self>>,
        settings: &UplinkSettings,
        is_attached: bool,
        now: Moment,
    ) -> Option<Box<Self>> {
        let mut new = Self::of(settings, now)?;
        match old {
            Some(old) => {
                let is_same = old.settings.exercise_every == new.settings.exercise_every;
                let exercise_at = if is_same {
                    old.exercise_at
                } else {
                    new.exercise_at
                };
                return Some(Box::new(Self {
                    settings: new.settings,
                    exercise_at,
                    ..*old
                }));
            }
            None if is_attached => {
                new.stance = new.found("is cold now, and is not needed", now);
            }
            None => {}
        }
        Some(new)
    }

    /// Its link has come up without having been called: it goes down when it is not needed, unless it
    /// is taken down before.
    fn found(&self, reason: &str, now: Moment) -> Stance {
        Stance::Idle {
            until: now + self.settings.linger,
            reason: reason.to_owned(),
            is_found: true,
            last: None,
        }
    }

    /// Its link has come up, or partly, without having been called; or is gone again.
    pub(super) fn find(&mut self, has_come: bool, is_gone: bool, now: Moment) {
        match self.stance {
            Stance::Asleep if has_come => {
                self.stance = self.found("was found up, and is not needed", now);
            }
            Stance::Idle { is_found: true, .. } if is_gone => self.stance = Stance::Asleep,
            Stance::Asleep | Stance::Idle { .. } | Stance::Called(_) | Stance::Serving => {}
        }
    }

    /// The machine slept: an attempt has not been given its time.
    pub(super) fn wake(&mut self, now: Moment) {
        if let Stance::Called(attempt) = &mut self.stance {
            attempt.at = now;
        }
    }

    /// Its link is not expected to be up, or not yet.
    pub(super) fn is_resting(&self) -> bool {
        match &self.stance {
            Stance::Serving => false,
            Stance::Called(last) => last.aim != Aim::Return,
            Stance::Asleep | Stance::Idle { .. } => true,
        }
    }

    /// It was called, and may still become usable in time.
    pub(super) fn is_coming_up(&self) -> bool {
        matches!(&self.stance, Stance::Called(attempt) if !attempt.is_overdue)
    }

    /// It rests, and was usable the last time that it was called.
    pub(super) fn may_be_tried(&self) -> bool {
        self.is_resting() && self.unready.is_none()
    }

    /// What it is while its link is not up and need not be; none: what it was found to be the last
    /// time, and why.
    pub(super) fn rests_as(&self, link: &str) -> Result<String, String> {
        match (&self.stance, &self.unready) {
            (Stance::Called(first), _) if first.before == 0 && !first.is_overdue => {
                Ok(format!("is brought up; {link}"))
            }
            (_, Some(unready)) => Err(unready.clone()),
            (_, None) => Ok(format!("brought up when needed; {link}")),
        }
    }

    /// It was not usable in time, for this reason.
    pub(super) fn found_unready(&mut self, reason: &str) {
        self.unready = Some(reason.to_owned());
    }

    /// How long it may take to become usable.
    pub(super) fn ready_within(&self) -> Duration {
        self.settings.ready_within
    }

    /// When it wants to be looked at again.
    pub(super) fn due(&self) -> Option<Moment> {
        self.due
    }

    /// Takes the next turn, if one is due; to be called until none is.
    pub(super) fn take_turn(
        &mut self,
        call: &StandbyCall,
        sight: StandbySight,
        now: Moment,
    ) -> Option<StandbyTurn> {
        let Some((stance, turn)) = self.turn(call, sight, now) else {
            self.due = self.next_due(call).filter(|due| *due > now);
            return None;
        };
        self.stance = stance;
        match &turn {
            StandbyTurn::Down(_) => {
                self.exercise_at = self.settings.exercise_every.map(|every| now + every);
            }
            StandbyTurn::Ready => self.unready = None,
            StandbyTurn::Quiet
            | StandbyTurn::Up(_)
            | StandbyTurn::Unready(_)
            | StandbyTurn::StillUnready => {}
        }
        Some(turn)
    }

    /// What changes now.
    fn turn(
        &self,
        call: &StandbyCall,
        sight: StandbySight,
        now: Moment,
    ) -> Option<(Stance, StandbyTurn)> {
        let why = call.why.as_ref();
        let is_needed = why.is_some() || sight.is_carrying;
        match &self.stance {
            Stance::Asleep => self.turn_asleep(call, sight, now),
            Stance::Called(last) => match (last.aim, why) {
                _ if sight.is_usable => Some(Self::turn_ready(last, is_needed, now)),
                (Aim::Exercise, Some(_)) => {
                    let aim = Aim::Need;
                    let last = last.clone();
                    Some((Stance::Called(Attempt { aim, ..last }), StandbyTurn::Quiet))
                }
                (Aim::Need | Aim::Return, None) if !is_needed => {
                    Some((self.unneeded(Some(last.clone()), now), StandbyTurn::Quiet))
                }
                (Aim::Exercise | Aim::Need | Aim::Return, _) => self.turn_late(last, call, now),
            },
            Stance::Serving if !is_needed => Some((self.unneeded(None, now), StandbyTurn::Quiet)),
            Stance::Serving if !sight.is_usable => {
                Some((Attempt::stance(Aim::Return, 0, now), StandbyTurn::Quiet))
            }
            Stance::Serving => None,
            Stance::Idle {
                until,
                reason,
                last,
                ..
            } => match why {
                Some(why) if !sight.is_usable => Some(match last {
                    Some(last) => (Stance::Called(last.clone()), StandbyTurn::Quiet),
                    None => (
                        Attempt::stance(Aim::Need, 0, now),
                        StandbyTurn::Up(why.clone()),
                    ),
                }),
                _ if is_needed => Some((Stance::Serving, StandbyTurn::Quiet)),
                Some(_) | None => {
                    let is_over = call.may_rest && now >= *until;
                    is_over.then(|| (Stance::Asleep, StandbyTurn::Down(reason.clone())))
                }
            },
        }
    }

    fn turn_asleep(
        &self,
        call: &StandbyCall,
        sight: StandbySight,
        now: Moment,
    ) -> Option<(Stance, StandbyTurn)> {
        let is_due = call.may_rest && self.exercise_at.is_some_and(|at| at <= now);
        let (aim, reason) = match &call.why {
            Some(why) => (Aim::Need, why.clone()),
            None if sight.is_carrying => (Aim::Need, CARRIES.to_owned()),
            None if is_due => (
                Aim::Exercise,
                "an exercise, to see whether it can be used".to_owned(),
            ),
            None => return None,
        };
        Some((Attempt::stance(aim, 0, now), StandbyTurn::Up(reason)))
    }

    fn turn_ready(last: &Attempt, is_needed: bool, now: Moment) -> (Stance, StandbyTurn) {
        let next = match last.aim {
            Aim::Exercise if !is_needed => {
                let took = seconds(now.since(last.at));
                Stance::over(now, format!("the exercise has passed: usable after {took}"))
            }
            Aim::Exercise | Aim::Need | Aim::Return => Stance::Serving,
        };
        (next, StandbyTurn::Ready)
    }

    /// It is not usable yet.
    fn turn_late(
        &self,
        last: &Attempt,
        call: &StandbyCall,
        now: Moment,
    ) -> Option<(Stance, StandbyTurn)> {
        if last.is_overdue {
            let is_time = now >= last.at + self.retry_after(last.before);
            let why = call.why.as_deref().unwrap_or(CARRIES);
            let reason = format!("once more: {why}");
            let next = Attempt::stance(Aim::Need, last.before + 1, now);
            return is_time.then_some((next, StandbyTurn::Up(reason)));
        }
        let is_late = now >= last.at + self.settings.ready_within;
        let late = || {
            let is_overdue = true;
            let late = last.clone();
            Stance::Called(Attempt { is_overdue, ..late })
        };
        is_late.then(|| match last.aim {
            Aim::Exercise => {
                let over = Stance::over(now, "the exercise has failed".to_owned());
                (over, StandbyTurn::Unready(Aim::Exercise))
            }
            Aim::Need | Aim::Return if last.before == 0 => (late(), StandbyTurn::Unready(last.aim)),
            Aim::Need | Aim::Return => (late(), StandbyTurn::StillUnready),
        })
    }

    fn unneeded(&self, last: Option<Attempt>, now: Moment) -> Stance {
        let linger = self.settings.linger;
        Stance::Idle {
            until: now + linger,
            reason: format!("not needed for {}", seconds(linger)),
            is_found: false,
            last,
        }
    }

    fn retry_after(&self, before: u32) -> Duration {
        let first = self.settings.ready_within;
        let grown = first.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX));
        grown.min(RETRY_AT_MOST.max(first))
    }

    /// When it changes by itself.
    fn next_due(&self, call: &StandbyCall) -> Option<Moment> {
        let own = match &self.stance {
            Stance::Asleep => self.exercise_at.filter(|_| call.may_rest),
            Stance::Called(last) if last.is_overdue => {
                Some(last.at + self.retry_after(last.before))
            }
            Stance::Called(last) => Some(last.at + self.settings.ready_within),
            Stance::Serving => None,
            Stance::Idle { until, .. } => Some(*until).filter(|_| call.may_rest),
        };
        own.into_iter().chain(call.look_again).min()
    }
}
