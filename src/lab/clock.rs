//! The only clock of the lab: wires and meters wait on real time, everything else takes the time.

use std::thread;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::units::Moment;

/// The time since the machine booted (`CLOCK_MONOTONIC`), the same in every thread and namespace.
pub fn now() -> Moment {
    // The kernel knows this clock since 2.6 and a `TimeSpec` of ours is always writable.
    Moment::after_start(clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Into::into))
}

/// Waits for this long, for what has no event.
#[expect(
    clippy::disallowed_methods,
    reason = "files, exits and modems have no event here"
)]
pub(super) fn pause(span: Duration) {
    thread::sleep(span);
}
