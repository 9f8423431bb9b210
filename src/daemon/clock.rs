//! The clocks.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::alert::utc_offset;
use crate::units::{LocalMinute, Moment, Timestamp, Wall, ZonedTime};

const MINUTE: Duration = Duration::from_secs(60);

/// The monotonic clock and the wall clock; no other part of the agent reads either.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the agent reads the clock"
)]
impl Clock {
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(super) fn now(self) -> Moment {
        self.at(Instant::now())
    }

    /// A time that another thread has read.
    pub(super) fn at(self, instant: Instant) -> Moment {
        Moment::after_start(instant.saturating_duration_since(self.start))
    }

    /// The same for another thread.
    pub(super) fn instant(self, at: Moment) -> Instant {
        self.start + at.since_start()
    }

    pub(super) fn wall(self) -> Wall {
        Wall::reading(SystemTime::now(), self.now())
    }

    /// The time of the wall clock, in its zone.
    pub(super) fn zoned() -> ZonedTime {
        let utc = Timestamp(SystemTime::now()).as_written();
        let offset = utc_offset(utc.0);
        ZonedTime { utc, offset }
    }

    /// When the local clock will show a minute, as far as its zone tells; if it leaps over the minute, when it does.
    pub(super) fn when(local: LocalMinute) -> Timestamp {
        let now = utc_offset(SystemTime::now());
        let offset = utc_offset(local.at_offset(now).0);
        let mut found = local.at_offset(offset);
        let leaps = |at: Timestamp| utc_offset(at.0) < offset;
        while leaps(found) {
            found.0 += MINUTE;
        }
        found
    }
}
