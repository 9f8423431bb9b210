//! How an uplink that is a warm or a cold standby takes part: what is told of it, and what it is
//! while it is not up.

use super::cold::{Aim, Call, Cold, Sight, Stance, Turn};
use super::{Outbox, Phase, Signal, Uplink, explain};
use crate::engine::election::Fitness;
use crate::engine::event::{Change, Errand, Event};
use crate::engine::settings::Standby;
use crate::engine::state::State;
use crate::engine::wording::seconds;
use crate::routing::Trouble;
use crate::units::Moment;

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
