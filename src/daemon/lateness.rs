//! How late the loop is called, and whether it waits for the answers that arrived meanwhile.

use std::time::Duration;

use crate::engine::stalls::LEAST_STALL;
use crate::units::Moment;

/// The lateness of the loop and of the probers.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    /// When the engine's next timeout is due.
    due: Option<Moment>,
    /// The probers read all that has arrived; since when the loop was to be called.
    reading_since: Option<Moment>,
}

impl Lateness {
    /// The engine's next timeout; none while all that has arrived is read.
    pub(super) fn wait_until(&mut self, due: Option<Moment>) -> Option<Moment> {
        self.due = due.filter(|_| self.reading_since.is_none());
        self.due
    }

    /// The probers read all that has arrived.
    pub(super) fn is_reading(&self) -> bool {
        self.reading_since.is_some()
    }

    /// The timeout comes so late that this machine must have kept the agent from running.
    pub(super) fn is_stall(&self, now: Moment) -> bool {
        self.due.is_some_and(|due| now.since(due) >= LEAST_STALL)
    }

    /// The probers are to read all that has arrived.
    pub(super) fn read_answers(&mut self, now: Moment) {
        self.reading_since = Some(self.due.map_or(now, |due| due.min(now)));
    }

    /// They have. For how long this machine kept the agent from running until now, if that is a stall.
    pub(super) fn answers_are_read(&mut self, now: Moment) -> Option<Duration> {
        let since = self.reading_since.take()?;
        let lasts = now.since(since);
        (lasts >= LEAST_STALL).then_some(lasts)
    }
}
