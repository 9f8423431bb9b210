//! Durations as defaults and bounds are written.

use std::time::Duration;

pub(super) const HOUR: Duration = secs(3600);
pub(super) const DAY: Duration = secs(24 * 3600);

pub(super) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
