//! How long to wait for a target's answer before its probe counts as missed.

use std::time::Duration;

/// The deadline is never closer to the usual round trip than this: schedulers and queues have their
/// moods, and a late reply undoes a miss only after the alarm.
const LEAST_MARGIN: Duration = Duration::from_millis(25);

/// The same where the link's own traffic has fallen silent and a probe has been missed since: that a whole link is
/// silent is no mood of a queue.
const SILENT_MARGIN: Duration = Duration::from_millis(10);

/// The smoothed round trip and its variation, as in RFC 6298, section 2 (alpha 1/8, beta 1/4, K 4).
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundTrip {
    estimate: Option<(Duration, Duration)>,
}

impl RoundTrip {
    /// By one answer.
    pub fn of(rtt: Duration) -> Self {
        Self {
            estimate: Some((rtt, rtt / 2)),
        }
    }

    /// This, or the other while nothing is known.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            estimate: self.estimate.or(other.estimate),
        }
    }

    /// Takes a round trip, a late one too.
    pub fn observe(&mut self, rtt: Duration) {
        let Some((smoothed, variation)) = self.estimate else {
            *self = Self::of(rtt);
            return;
        };
        self.estimate = Some((
            smoothed * 7 / 8 + rtt / 8,
            variation * 3 / 4 + smoothed.abs_diff(rtt) / 4,
        ));
    }

    /// How long an answer usually takes; none while nothing is known.
    pub fn usual(&self) -> Option<Duration> {
        self.estimate.map(|(smoothed, _)| smoothed)
    }

    /// After how long without an answer a probe is missed: `most` while nothing is known.
    pub fn deadline(&self, most: Duration) -> Duration {
        self.after(LEAST_MARGIN, most)
    }

    /// The same while the link's own traffic is silent, too.
    pub fn deadline_in_silence(&self, most: Duration) -> Duration {
        self.after(SILENT_MARGIN, most)
    }

    fn after(&self, margin: Duration, most: Duration) -> Duration {
        self.estimate.map_or(most, |(smoothed, variation)| {
            (smoothed + margin.max(variation * 4)).min(most)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_adapts_to_the_link_and_never_exceeds_the_timeout() {
        let most = Duration::from_secs(1);
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.deadline(most), most);
        for _ in 0..100 {
            round_trip.observe(Duration::from_millis(10));
        }
        assert_eq!(round_trip.deadline(most).as_millis(), 35);
        assert_eq!(round_trip.deadline_in_silence(most).as_millis(), 20);
        for _ in 0..100 {
            round_trip.observe(Duration::from_millis(700));
        }
        assert!(round_trip.deadline(most) >= Duration::from_millis(724));
        for _ in 0..100 {
            round_trip.observe(Duration::from_secs(5));
        }
        assert_eq!(round_trip.deadline(most), most);
    }
}
