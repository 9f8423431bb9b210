//! A cold uplink: when it is brought up and taken down, and how it is found to be of no use.
//!
//! The interface of a cold uplink is up while the traffic may need it, for `linger` after that, and
//! now and then for an exercise, so that a dead SIM is known before it is needed. The agent itself
//! brings nothing up: it says so, and hooks do it. One that is not usable within `ready_within` of the
//! call is unready. That is said once and tried again at growing intervals while it is needed; an
//! exercise is over with it. It is never taken down while it carries traffic or while no other uplink
//! is well.

use std::time::Duration;

use super::{Outbox, Phase, Signal, Uplink, explain, seconds};
use crate::engine::election::Fitness;
use crate::engine::input::{Change, Errand, Event};
use crate::engine::settings::{ColdSettings, Standby, UplinkSettings};
use crate::engine::status::State;
use crate::routing::Trouble;
use crate::units::Moment;

/// The first exercise after a start; a machine that restarts every day exercises nevertheless.
const FIRST_EXERCISE: Duration = Duration::from_secs(3_600);

/// Between two attempts to bring up what is needed, at most; `ready_within` if that is longer.
const RETRY_AT_MOST: Duration = Duration::from_secs(600);

/// Whether a cold uplink is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
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
    /// It is down, or was told to be.
    Asleep,
    /// It was told to come up, and is not usable yet.
    Called(Attempt),
    /// It is needed, and was usable.
    Serving,
    /// Nobody needs it: it goes down then.
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
enum Aim {
    Need,
    Exercise,
    /// It was needed and usable, and no longer is: nobody has called it again yet.
    Return,
}

/// What a cold uplink is seen to be.
#[derive(Clone, Copy, Debug)]
struct Sight {
    is_usable: bool,
    is_carrying: bool,
}

/// What is to be told or noted.
enum Turn {
    Quiet,
    Up(String),
    Down(String),
    Ready,
    Unready(Aim),
    /// Nobody is told again.
    StillUnready,
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

    /// What changes now; to be asked until nothing does.
    fn turn(&self, call: &Call, sight: Sight, now: Moment) -> Option<(Stance, Turn)> {
        let ColdSettings {
            linger,
            ready_within,
            ..
        } = self.settings;
        let why = call.why.as_ref();
        let is_needed = why.is_some() || sight.is_carrying;
        let attempt = |aim, before| {
            Stance::Called(Attempt {
                at: now,
                aim,
                before,
                is_overdue: false,
            })
        };
        let idle = |until, reason| Stance::Idle {
            until,
            reason,
            is_found: false,
            last: None,
        };
        let unneeded = |last| Stance::Idle {
            until: now + linger,
            reason: format!("not needed for {}", seconds(linger)),
            is_found: false,
            last,
        };
        match (&self.stance, why) {
            (Stance::Asleep, Some(why)) => Some((attempt(Aim::Need, 0), Turn::Up(why.clone()))),
            (Stance::Asleep, None) if sight.is_carrying => {
                let reason = "the traffic is there".to_owned();
                Some((attempt(Aim::Need, 0), Turn::Up(reason)))
            }
            (Stance::Asleep, None) => {
                let is_due = call.may_rest && self.exercise_at.is_some_and(|at| at <= now);
                let reason = "an exercise, to see whether it can be used".to_owned();
                is_due.then(|| (attempt(Aim::Exercise, 0), Turn::Up(reason)))
            }
            (Stance::Called(last), _) if sight.is_usable => {
                let took = seconds(now.since(last.at));
                let is_exercise = last.aim == Aim::Exercise && !is_needed;
                let reason = format!("the exercise has passed: usable after {took}");
                let next = if is_exercise {
                    idle(now, reason)
                } else {
                    Stance::Serving
                };
                Some((next, Turn::Ready))
            }
            (Stance::Called(last), Some(_)) if last.aim == Aim::Exercise => {
                let aim = Aim::Need;
                let last = last.clone();
                Some((Stance::Called(Attempt { aim, ..last }), Turn::Quiet))
            }
            (Stance::Called(last), None) if last.aim != Aim::Exercise && !is_needed => {
                Some((unneeded(Some(last.clone())), Turn::Quiet))
            }
            (Stance::Called(last), _) if !last.is_overdue => {
                let is_late = now >= last.at + ready_within;
                is_late.then(|| match last.aim {
                    Aim::Exercise => {
                        let reason = "the exercise has failed".to_owned();
                        (idle(now, reason), Turn::Unready(Aim::Exercise))
                    }
                    Aim::Need | Aim::Return => {
                        let is_overdue = true;
                        let late = last.clone();
                        let turn = if last.before == 0 {
                            Turn::Unready(last.aim)
                        } else {
                            Turn::StillUnready
                        };
                        (Stance::Called(Attempt { is_overdue, ..late }), turn)
                    }
                })
            }
            (Stance::Called(last), why) => {
                let is_time = now >= last.at + self.retry_after(last.before);
                let why = why.map_or("the traffic is there", String::as_str);
                let reason = format!("once more: {why}");
                is_time.then(|| (attempt(Aim::Need, last.before + 1), Turn::Up(reason)))
            }
            (Stance::Serving, _) if !is_needed => Some((unneeded(None), Turn::Quiet)),
            (Stance::Serving, _) if !sight.is_usable => {
                Some((attempt(Aim::Return, 0), Turn::Quiet))
            }
            (Stance::Serving, _) => None,
            (Stance::Idle { last, .. }, Some(why)) if !sight.is_usable => Some(match last {
                Some(last) => (Stance::Called(last.clone()), Turn::Quiet),
                None => (attempt(Aim::Need, 0), Turn::Up(why.clone())),
            }),
            (Stance::Idle { .. }, _) if is_needed => Some((Stance::Serving, Turn::Quiet)),
            (Stance::Idle { until, reason, .. }, _) => {
                let is_over = call.may_rest && now >= *until;
                is_over.then(|| (Stance::Asleep, Turn::Down(reason.clone())))
            }
        }
    }

    fn retry_after(&self, before: u32) -> Duration {
        let first = self.settings.ready_within;
        let grown = first.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX));
        grown.min(RETRY_AT_MOST.max(first))
    }

    /// When it changes by itself.
    fn due(&self, call: &Call) -> Option<Moment> {
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

impl Uplink {
    /// It is brought up when needed.
    pub fn is_cold(&self) -> bool {
        self.cold.is_some()
    }

    pub(super) fn is_warm(&self) -> bool {
        self.settings.standby == Standby::Warm
    }

    /// It is not usable, but may be when it is called.
    pub fn can_be_called(&self) -> bool {
        self.is_cold() && !self.is_disabled
    }

    /// Takes whether it is needed, and says what is to be done about it.
    pub fn rouse(&mut self, call: &Call, now: Moment, out: &mut Outbox) {
        let sight = Sight {
            is_usable: self.candidate().fitness() >= Fitness::Poor,
            is_carrying: self.is_carrying,
        };
        while let Some(cold) = &mut self.cold
            && let Some((stance, turn)) = cold.turn(call, sight, now)
        {
            cold.stance = stance;
            self.take_cold_turn(turn, now, out);
        }
        if let Some(cold) = &mut self.cold {
            cold.due = cold.due(call).filter(|due| *due > now);
        }
    }

    fn take_cold_turn(&mut self, turn: Turn, now: Moment, out: &mut Outbox) {
        match turn {
            Turn::Quiet => {}
            Turn::Up(reason) => {
                self.tell_errand(Errand::Up, reason, now, out);
                self.say_why_it_rests(now, out);
            }
            Turn::Down(reason) => {
                self.schedule_exercise(now);
                self.tell_errand(Errand::Down, reason, now, out);
                self.say_why_it_rests(now, out);
            }
            Turn::Ready => {
                if let Some(cold) = &mut self.cold {
                    cold.unready = None;
                }
            }
            Turn::Unready(aim) => {
                let why = self.explain_unready();
                let reason = match aim {
                    Aim::Exercise => format!("exercise: {why}"),
                    Aim::Need | Aim::Return => why,
                };
                self.found_unready(reason.clone(), now, out);
                self.tell_errand(Errand::Unready, reason, now, out);
            }
            Turn::StillUnready => {
                let why = self.explain_unready();
                self.found_unready(why, now, out);
            }
        }
    }

    fn tell_errand(&self, errand: Errand, reason: String, at: Moment, out: &mut Outbox) {
        let change = Change::Standby {
            uplink: self.settings.name.clone(),
            interface: self.settings.interface.clone(),
            errand,
        };
        out.events.push(Event { at, change, reason });
    }

    fn schedule_exercise(&mut self, now: Moment) {
        if let Some(cold) = &mut self.cold {
            cold.exercise_at = cold.settings.exercise_every.map(|every| now + every);
        }
    }

    fn explain_unready(&self) -> String {
        let Some(cold) = &self.cold else {
            return String::new();
        };
        let within = seconds(cold.settings.ready_within);
        let what = match (self.standing, self.attachment.trouble) {
            (_, Some(trouble)) => explain(trouble, self.settings.interface.as_str()),
            (Phase::Unknown, None) => format!("{} is up, no answer", self.settings.interface),
            (_, None) => self.reason.clone(),
        };
        format!("not usable within {within}: {what}")
    }

    fn found_unready(&mut self, reason: String, now: Moment, out: &mut Outbox) {
        if let Some(cold) = &mut self.cold {
            cold.unready = Some(reason.clone());
        }
        self.signal(Signal::Unready(reason), now, out);
    }

    pub(super) fn phase_of_unready(&self) -> Phase {
        match self.attachment.trouble {
            Some(Trouble::Absent) => Phase::Absent,
            Some(Trouble::Down | Trouble::NoCarrier | Trouble::NoAddress | Trouble::NoNextHop)
            | None => Phase::Down,
        }
    }

    fn say_why_it_rests(&mut self, now: Moment, out: &mut Outbox) {
        if let Some(trouble) = self.attachment.trouble {
            self.signal(Signal::LinkFailed(trouble), now, out);
        }
    }

    /// Its link is not expected to be up, or not yet.
    pub(super) fn is_resting(&self) -> bool {
        let stance = self.cold.as_ref().map(|cold| &cold.stance);
        match stance {
            None | Some(Stance::Serving) => false,
            Some(Stance::Called(last)) => last.aim != Aim::Return,
            Some(Stance::Asleep | Stance::Idle { .. }) => true,
        }
    }

    /// What it is while its link is not up and need not be.
    pub(super) fn rest(&self, trouble: Trouble) -> (Phase, String) {
        let link = explain(trouble, self.settings.interface.as_str());
        let Some(cold) = &self.cold else {
            return (self.phase_of_unready(), link);
        };
        match (&cold.stance, &cold.unready) {
            (Stance::Called(first), _) if first.before == 0 && !first.is_overdue => {
                (Phase::Cold, format!("is brought up; {link}"))
            }
            (_, Some(unready)) => (self.phase_of_unready(), unready.clone()),
            (_, None) => (Phase::Cold, format!("brought up when needed; {link}")),
        }
    }

    /// It was called, and may still become usable in time.
    pub(super) fn is_coming_up(&self) -> bool {
        let stance = self.cold.as_ref().map(|cold| &cold.stance);
        matches!(stance, Some(Stance::Called(attempt)) if !attempt.is_overdue)
    }

    /// Of a cold uplink that is of no use for another reason than before nobody is told: its errands
    /// tell.
    pub(super) fn is_told_by_standby(&self, from: State, to: State) -> bool {
        let is_out = |state| match state {
            State::Unknown | State::Down | State::Absent | State::Cold => true,
            State::Up | State::Degraded | State::Recovering | State::Disabled => false,
        };
        self.is_cold() && (to == State::Cold || (is_out(from) && is_out(to)))
    }

    /// Its link has come up, or partly, without having been called: it is taken down when nobody needs
    /// it, unless somebody else does that before.
    pub(super) fn find_up(&mut self, before: Option<Trouble>, now: Moment) {
        let trouble = self.attachment.trouble;
        let is_gone = matches!(trouble, Some(Trouble::Absent | Trouble::Down));
        let is_found_so = self.standing == Phase::Unknown && !is_gone;
        let has_come = before.is_some() && trouble.is_none();
        let Some(cold) = &mut self.cold else {
            return;
        };
        match cold.stance {
            Stance::Asleep if is_found_so || has_come => {
                cold.stance = Stance::Idle {
                    until: now + cold.settings.linger,
                    reason: "was found up, and is not needed".to_owned(),
                    is_found: true,
                    last: None,
                };
            }
            Stance::Idle { is_found: true, .. } if is_gone => cold.stance = Stance::Asleep,
            Stance::Asleep | Stance::Idle { .. } | Stance::Called(_) | Stance::Serving => {}
        }
    }

    /// Nobody looked for long: an attempt has not been given its time.
    pub(super) fn wake_cold(&mut self, now: Moment) {
        if let Some(cold) = &mut self.cold
            && let Stance::Called(attempt) = &mut cold.stance
        {
            attempt.at = now;
        }
    }

    /// When a cold one wants to be looked at again.
    pub(super) fn call_due(&self) -> Option<Moment> {
        self.cold.as_ref()?.due
    }

    /// Takes changed settings.
    pub(super) fn adapt_cold(&mut self, now: Moment) {
        let new = Cold::of(&self.settings, now);
        self.cold = match (self.cold.take(), new) {
            (Some(old), Some(new)) => {
                let is_same = old.settings.exercise_every == new.settings.exercise_every;
                let exercise_at = if is_same {
                    old.exercise_at
                } else {
                    new.exercise_at
                };
                Some(Box::new(Cold {
                    settings: new.settings,
                    exercise_at,
                    ..*old
                }))
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) if self.attachment.trouble.is_some() => {
                // What its link is like means something else now.
                self.standing = Phase::Unknown;
                Cold::of(&self.settings, now)
            }
            (_, new) => new.map(|mut cold| {
                cold.stance = Stance::Idle {
                    until: now + cold.settings.linger,
                    reason: "is cold now, and is not needed".to_owned(),
                    is_found: true,
                    last: None,
                };
                cold
            }),
        };
    }
}
