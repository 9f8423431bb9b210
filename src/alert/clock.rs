//! The local time of day, as syslogs and people want it on a line, and how late a hook is told.

use std::mem::MaybeUninit;
use std::time::{Duration, SystemTime};

use nix::sys::time::TimeSpec;
use tokio::time::Instant;

/// A local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LocalTime {
    month: usize,
    day: i32,
    hour: i32,
    minute: i32,
    second: i32,
    milli: u32,
}

/// The local time less UTC, in seconds, at this time. The zone is that of the start of this process.
pub fn utc_offset(time: SystemTime) -> i32 {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH);
    let offset = broken_down(since_epoch.unwrap_or(Duration::ZERO)).tm_gmtoff;
    i32::try_from(offset).unwrap_or(0)
}

impl LocalTime {
    pub(super) fn now() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a line of the log carries the time of the wall; nothing is decided by it"
        )]
        let now = SystemTime::now();
        Self::at(now)
    }

    fn at(time: SystemTime) -> Self {
        let since_epoch = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let parts = broken_down(since_epoch);
        Self {
            month: usize::try_from(parts.tm_mon).unwrap_or(0).min(11),
            day: parts.tm_mday,
            hour: parts.tm_hour,
            minute: parts.tm_min,
            second: parts.tm_sec,
            milli: since_epoch.subsec_millis(),
        }
    }

    /// `Nov  2 03:04:05` (RFC 3164, 4.1.2).
    pub(super) fn syslog(&self) -> String {
        let Self {
            day,
            hour,
            minute,
            second,
            ..
        } = self;
        let month = MONTHS[self.month];
        format!("{month} {day:2} {hour:02}:{minute:02}:{second:02}")
    }

    /// `03:04:05.678`
    pub(super) fn of_day(&self) -> String {
        let Self {
            hour,
            minute,
            second,
            milli,
            ..
        } = self;
        format!("{hour:02}:{minute:02}:{second:02}.{milli:03}")
    }
}

#[expect(
    unsafe_code,
    reason = "only the C library knows the time zone of this machine"
)]
fn broken_down(since_epoch: Duration) -> libc::tm {
    let seconds = TimeSpec::from_duration(since_epoch).tv_sec();
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call. All fields of `tm` may be zero, so it is
    // initialised even where the call fails.
    unsafe {
        libc::localtime_r(&raw const seconds, parts.as_mut_ptr());
        parts.assume_init()
    }
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// For the lateness of a hook, which decides nothing of the traffic.
#[expect(clippy::disallowed_methods, reason = "lateness is time that passes")]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_the_width_that_syslog_daemons_cut_off() {
        let time = LocalTime::at(SystemTime::UNIX_EPOCH + Duration::from_millis(1_999_999_999_042));
        assert_eq!(time.syslog().len(), 15);
        assert!(time.of_day().ends_with(".042"), "{}", time.of_day());
    }
}
