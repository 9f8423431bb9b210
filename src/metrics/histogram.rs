//! A histogram, as Prometheus counts one.

/// The bounds of round trips in seconds, from a wire to a satellite.
pub(super) const RTT_BOUNDS: &[f64] = &[
    0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0,
    5.0,
];
/// The bounds of the time that a switch takes, in seconds.
pub(super) const SWITCH_BOUNDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];

/// The bounds of the time that a failed uplink costs the traffic, in seconds.
pub(super) const RECOVERY_BOUNDS: &[f64] = &[
    0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0,
];

/// How many values lie within each bound.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    bounds: &'static [f64],
    /// Those up to each bound and above the one before; those above all bounds last.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    pub(super) fn of(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: vec![0; bounds.len() + 1],
            sum: 0.0,
        }
    }

    /// Counts a value.
    pub(super) fn observe(&mut self, value: f64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts[place] += 1;
        self.sum += value;
    }

    /// Each bound, with the number of values up to it.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.bounds.iter().zip(&self.counts);
        bounds.scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((*bound, *sum))
        })
    }

    /// The number of values.
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    pub(super) fn sum(&self) -> f64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_each_bucket_whose_bound_it_does_not_exceed() {
        let mut histogram = Histogram::of(&[0.1, 1.0]);
        for value in [0.05, 0.1, 0.5, 7.0] {
            histogram.observe(value);
        }
        let buckets: Vec<_> = histogram.buckets().collect();
        assert_eq!(buckets, [(0.1, 2), (1.0, 3)]);
        assert_eq!(histogram.count(), 4);
        assert!((histogram.sum() - 7.65).abs() < 1e-9);
    }
}
