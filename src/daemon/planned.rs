//! Planned switches wait for the hooks that want to know of them before, for [`LIMIT`] at most, and only while what
//! carries the traffic is healthy. The engine says what is one; meanwhile it is told nothing, and goes on as ever.

use std::future::pending;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::Daemon;
use super::clock::Clock;
use crate::control::{Call, Request};
use crate::engine::event::Event;
use crate::engine::event::record::EventContext;
use crate::units::ZonedTime;

/// A planned switch waits for no longer.
const LIMIT: Duration = Duration::from_secs(2);

/// What brings the switch about.
pub(super) enum SwitchOccasion {
    /// The command of an operator, who waits for the answer.
    Call(Call),
    /// The time of the wall clock.
    Time,
}

/// The planned switch that waits, if one does.
#[derive(Default)]
pub(super) struct PlannedSwitchTask {
    held: Option<HeldSwitch>,
}

struct HeldSwitch {
    occasion: SwitchOccasion,
    /// Closed when all hooks have ended.
    ended: oneshot::Receiver<()>,
    until: Instant,
}

impl PlannedSwitchTask {
    /// Waits until the hooks have ended, or the time is over. Cancel safe.
    pub(super) async fn over(&mut self) {
        match &mut self.held {
            Some(held) => drop(timeout_at(held.until, &mut held.ended).await),
            None => pending().await,
        }
    }

    /// The time waits.
    pub(super) fn holds_time(&self) -> bool {
        matches!(&self.held, Some(held) if matches!(held.occasion, SwitchOccasion::Time))
    }
}

impl Daemon {
    /// Lets a planned switch wait for the hooks; gives the occasion back where it does not wait.
    pub(super) fn hold(
        &mut self,
        occasion: SwitchOccasion,
        planned: Option<Event>,
    ) -> Option<SwitchOccasion> {
        let Some(event) = planned else {
            return Some(occasion);
        };
        let record = event.record_in(self.clock.wall(), EventContext::default());
        let Some(ended) = self.announcer.announce_before(&record) else {
            return Some(occasion);
        };
        // Of two the one that waits comes first.
        self.end_wait();
        let until = self.clock.instant(self.clock.now() + LIMIT);
        self.planned.held = Some(HeldSwitch {
            occasion,
            ended,
            until,
        });
        None
    }

    /// The planned switch that a call brings about.
    pub(super) fn planned_by(&self, call: &Call) -> Option<Event> {
        let Request::Command(command) = &call.request else {
            return None;
        };
        let now = self.clock.now();
        self.decisions.engine.planned_by(command, now)
    }

    /// The same of the time.
    pub(super) fn planned_at(&self, time: ZonedTime) -> Option<Event> {
        let now = self.clock.now();
        self.decisions.engine.planned_at(time, now)
    }

    /// The switch that waits takes place now.
    pub(super) fn end_wait(&mut self) {
        if let Some(held) = self.planned.held.take() {
            match held.occasion {
                SwitchOccasion::Call(call) => self.answer_now(call),
                SwitchOccasion::Time => self.tell_time_now(self.clock.now()),
            }
        }
    }

    /// Ends the wait where nothing speaks for it any more: what carries the traffic is no longer healthy.
    pub(super) fn review_wait(&mut self) {
        let is_planned = match self.planned.held.as_ref().map(|held| &held.occasion) {
            None => return,
            Some(SwitchOccasion::Call(call)) => self.planned_by(call).is_some(),
            Some(SwitchOccasion::Time) => self.planned_at(Clock::zoned()).is_some(),
        };
        if !is_planned {
            self.end_wait();
        }
    }
}
