//! When to probe which target.
//!
//! One target in turn and rarely while all is well, and more rarely where nothing depends on the
//! answer; all targets at once and densely while it is in doubt whether the link is alive, which costs
//! a few probes and shortens a verdict from seconds to tenths; one target in turn where only time can
//! decide, and briskly while an uplink has to win its trust back. A dead uplink is asked at a share of
//! the time for which it has been dead, so that its return is noticed after that share of the outage at
//! most.

use std::time::Duration;

use crate::engine::settings::ProbeSettings;
use crate::units::Moment;

/// How much depends on an uplink at the moment.
///
/// Knowing that a standby works is worth nothing until it is needed, and then it is worth a lot: so
/// it is probed slowly, and asked at once when the carrying uplink is in doubt. One round to
/// all its targets is enough: an answer shows that it is there, and the lack of one raises its own
/// suspicion, which is followed up as any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Another one carries the traffic well.
    Standby,
    /// It carries the traffic, or may be chosen soon, or nothing works.
    #[default]
    Watched,
    /// The carrying uplink may be down: would this one take over?
    Called,
}

/// How much speaks against an uplink that is not judged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// Nothing.
    None,
    /// A miss, or a sign of worse quality: most of these are over with the next answer.
    Slight,
    /// More than one round in a row was missed, or its own traffic gets no answers.
    Grave,
}

/// How urgent it is to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Nothing depends on it.
    Standby,
    /// It has been dead for so long.
    BackOff {
        /// Since it died, or since there was last a reason to hope.
        age: Duration,
    },
    /// All is well.
    Steady,
    /// The uplink is on trial.
    Brisk,
    /// The verdict is open.
    Confirm,
}

/// How many targets a round asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breadth {
    /// As many as the quorum, in turn.
    Turn,
    /// All that stand.
    All,
}

/// Of the steady interval.
const BRISK_SHARE: u32 = 4;

/// Of the time for which an uplink has been dead.
const BACK_OFF_SHARE: u32 = 10;

/// In steady intervals: the most that lies between two probes of a dead uplink, unless those of a
/// standby that is well are further apart.
const BACK_OFF_MOST: u32 = 10;

impl Pace {
    /// The time between two rounds.
    pub fn spacing(self, probe: &ProbeSettings) -> Duration {
        match self {
            Self::Standby => probe.standby_interval.max(probe.interval),
            Self::BackOff { age } => {
                let most = (probe.interval * BACK_OFF_MOST).max(probe.standby_interval);
                (age / BACK_OFF_SHARE).clamp(probe.interval, most)
            }
            Self::Steady => probe.interval,
            Self::Brisk => {
                (probe.interval / BRISK_SHARE).max(probe.confirm_interval.min(probe.interval))
            }
            Self::Confirm => probe.confirm_interval.min(probe.interval),
        }
    }

    /// How many targets a round asks.
    pub fn breadth(self) -> Breadth {
        match self {
            Self::Standby | Self::BackOff { .. } | Self::Steady | Self::Brisk => Breadth::Turn,
            Self::Confirm => Breadth::All,
        }
    }

    /// Its rounds may wait for those of an uplink that is watched, and share the wake-up.
    pub fn is_slow(self) -> bool {
        match self {
            Self::Standby | Self::BackOff { .. } => true,
            Self::Steady | Self::Brisk | Self::Confirm => false,
        }
    }
}

/// Of the time for which a silence has lasted: how finely its end is seen.
const WATCH_SHARE: u32 = 4;

/// A silence that only time can decide about.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// When it began.
    pub began: Moment,
    /// When it will have lasted too long.
    pub decided: Moment,
}

impl Wait {
    /// When to see whether it has ended, after a look at `last`; `dense` apart at the least.
    pub fn next(self, last: Moment, dense: Duration) -> Moment {
        let watch = last + dense.max(last.since(self.began) / WATCH_SHARE);
        if last < self.decided {
            watch.min(self.decided)
        } else {
            last + dense
        }
    }

    /// How many targets a round at `now` asks: one, until it is time to decide.
    pub fn breadth(self, now: Moment) -> Breadth {
        if now < self.decided {
            Breadth::Turn
        } else {
            Breadth::All
        }
    }
}

/// Spreads steady probes by a fifth to either side, so that they do not beat with each other, nor
/// with a fault that comes and goes at their own pace.
/// A splitmix64 sequence (Steele, Lea and Flood 2014): the same seed gives the same times.
#[derive(Clone, Copy, Debug)]
pub struct Spread(u64);

impl Spread {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// `spacing`, spread where `pace` has the time for it.
    pub fn spread(&mut self, pace: Pace, spacing: Duration) -> Duration {
        match pace {
            Pace::Confirm => spacing,
            Pace::Standby | Pace::BackOff { .. } | Pace::Steady | Pace::Brisk => {
                spacing.mul_f64(0.8 + 0.4 * self.unit())
            }
        }
    }

    /// The next number between 0 and 1.
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let high = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(u32::MAX);
        f64::from(high) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENSE: Duration = Duration::from_millis(50);

    fn at(millis: u64) -> Moment {
        Moment::after_start(Duration::from_millis(millis))
    }

    #[test]
    fn a_silence_that_only_time_decides_is_watched_ever_more_rarely_and_decided_on_time() {
        let wait = Wait {
            began: at(1_000),
            decided: at(7_000),
        };
        assert_eq!(wait.next(at(1_100), DENSE), at(1_150));
        assert_eq!(wait.next(at(3_000), DENSE), at(3_500));
        assert_eq!(wait.next(at(6_000), DENSE), at(7_000));
        assert_eq!(wait.breadth(at(6_999)), Breadth::Turn);
        assert_eq!(wait.breadth(at(7_000)), Breadth::All);
        assert_eq!(wait.next(at(7_000), DENSE), at(7_050));
    }
}
