//! Time as the engine sees it, and its translation to the wall clock.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// A point in monotonic time: the time since the agent, a recording or a simulation began.
///
/// In nanoseconds, which last for five centuries, from one on, so that an `Option` takes no more room;
/// serialised as seconds with a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(NonZeroU64);

impl Moment {
    /// The beginning.
    pub const START: Self = Self(NonZeroU64::MIN);

    /// The moment `elapsed` after the beginning.
    pub const fn after_start(elapsed: Duration) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos(elapsed)))
    }

    /// The time since the beginning.
    pub const fn since_start(self) -> Duration {
        self.since(Self::START)
    }

    /// The time since `earlier`; zero if `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Default for Moment {
    fn default() -> Self {
        Self::START
    }
}

/// A span in nanoseconds, saturating.
const fn nanos(span: Duration) -> u64 {
    span.as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(span.subsec_nanos() as u64)
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        let earlier = self.0.get().saturating_sub(nanos(span));
        Self(NonZeroU64::new(earlier).unwrap_or(NonZeroU64::MIN))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.since_start().as_secs_f64())
    }
}

impl Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.since_start().as_secs_f64())
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds)
            .map(Self::after_start)
            .map_err(serde::de::Error::custom)
    }
}

/// The wall clock at [`Moment::START`], as far as it is known now.
///
/// The daemon reads both clocks together whenever it renders a time, so that spans are right on a
/// router without a battery-backed clock, whose wall clock jumps by decades after boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wall {
    start: SystemTime,
    read: Moment,
}

impl Wall {
    /// The wall clock read `now`, when the monotonic clock read `moment`.
    pub fn reading(now: SystemTime, moment: Moment) -> Self {
        let start = now
            .checked_sub(moment.since_start())
            .unwrap_or(SystemTime::UNIX_EPOCH);
        Self {
            start,
            read: moment,
        }
    }

    /// When both clocks were read.
    pub fn now(self) -> Moment {
        self.read
    }

    /// The wall-clock time of `moment`.
    pub fn at(self, moment: Moment) -> Timestamp {
        Timestamp(
            self.start
                .checked_add(moment.since_start())
                .unwrap_or(self.start),
        )
    }
}

/// A wall-clock time, written as RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub SystemTime);

/// A clock that shows an earlier time is not set: no agent of this kind ran then.
const FIRST_PLAUSIBLE: Duration = Duration::from_secs(1_704_067_200);

impl Timestamp {
    /// The clock that showed it was set, as far as that can be told.
    pub fn is_set(self) -> bool {
        self.0 >= SystemTime::UNIX_EPOCH + FIRST_PLAUSIBLE
    }

    /// Without the part of a second that its text leaves out: it equals what is read back of it.
    #[must_use]
    pub fn as_written(self) -> Self {
        let since = self.0.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.map_or(0, |since| since.as_secs());
        Self(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Before 1970 or after 9999 there is no RFC 3339 form; a clock that shows either is not set.
        let year_9999 = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        let shown = self.0.clamp(SystemTime::UNIX_EPOCH, year_9999);
        write!(f, "{}", humantime::format_rfc3339_seconds(shown))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}
