//! The counters of an uplink's interface over time.

use crate::units::Counters;

/// Readings farther apart than this are not interpolated, in seconds.
const LONGEST_GAP: f64 = 10.0;

/// Times and counters, in the order of time.
#[derive(Clone, Debug, Default)]
pub struct Counts(Vec<(f64, Counters)>);

impl Counts {
    pub(super) fn push(&mut self, at: f64, counters: Counters) {
        self.0.push((at, counters));
    }

    pub(super) fn sort(&mut self) {
        self.0.sort_by(|one, other| one.0.total_cmp(&other.0));
    }

    /// The counters `at` a time, interpolated between two readings.
    pub fn at(&self, at: f64) -> Option<Counters> {
        let next = self.0.partition_point(|(time, _)| *time <= at);
        let (before, first) = *self.0.get(next.checked_sub(1)?)?;
        let (after, second) = *self.0.get(next)?;
        let share = (at - before) / (after - before);
        let between =
            |first: u64, second: u64| Some(first + part(second.checked_sub(first)?, share));
        (after - before <= LONGEST_GAP).then_some(())?;
        Some(Counters {
            rx_packets: between(first.rx_packets, second.rx_packets)?,
            tx_packets: between(first.tx_packets, second.tx_packets)?,
            rx_bytes: between(first.rx_bytes, second.rx_bytes)?,
            tx_bytes: between(first.tx_bytes, second.tx_bytes)?,
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of the packets of some seconds"
)]
fn part(whole: u64, share: f64) -> u64 {
    (whole as f64 * share) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(packets: u64) -> Counters {
        Counters {
            rx_packets: packets,
            tx_packets: packets / 2,
            rx_bytes: packets * 1_000,
            tx_bytes: packets * 100,
        }
    }

    #[test]
    fn counters_are_interpolated_between_two_readings_and_unknown_elsewhere() {
        let mut counts = Counts::default();
        for (at, packets) in [(20.0, 1_100), (10.0, 100), (40.0, 1_200), (41.0, 0)] {
            counts.push(at, counters(packets));
        }
        counts.sort();
        assert_eq!(counts.at(10.0), Some(counters(100)));
        assert_eq!(counts.at(15.0), Some(counters(600)));
        assert_eq!(counts.at(9.0), None);
        assert_eq!(counts.at(30.0), None, "too far apart");
        assert_eq!(counts.at(40.5), None, "the counters were reset");
        assert_eq!(counts.at(50.0), None);
    }
}
