//! Does it pay to leave? The hazard of a link's silences, and the optimal stopping rule on it.
//!
//! A silence of some age either ends by itself soon, or the traffic moves, which costs as much as `cost` seconds
//! without traffic. What is learnt is, for each bin of ages, how many silences ended in it and for how many seconds
//! silences were in it. The ratio of the two is the hazard, the chance per second that a silence of that age ends.
//! Backwards over the ages the expected cost of the best policy is V = `cost` at the last, and before it V = the
//! time to wait + the probability that the silence lasts x the V that follows. The traffic moves at the first age
//! from which waiting is expected to cost more than the move.
//!
//! A silence that is left, or that lasts for longer than the move costs beyond that age, is an outage. It counts as
//! time at risk without an end (censored), which lowers the hazard at each age: no outage ever makes more patient.
//! Of a silence whose end is known only between two probes the time between them counts by half, and the end by
//! shares.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

const BINS: usize = 18;

/// Where each bin begins, in seconds: each is a quarter longer than the one before it. What is younger is always
/// waited for: at less than 0.45 s a link may resend what it lost.
const BEGINS: [f64; BINS] = [
    0.450, 0.562, 0.703, 0.879, 1.099, 1.373, 1.717, 2.146, 2.682, 3.353, 4.191, 5.239, 6.548,
    8.185, 10.232, 12.79, 15.987, 19.984,
];

/// The same of the first, as a duration.
pub(super) const SHORTEST_WAIT: Duration = Duration::from_millis(450);

/// Nothing is learnt beyond it.
const LAST_END: f64 = 24.98;

/// What is believed of the usual length of bursts is believed as if so many silences had reached each age.
const PRIOR_SILENCES: f64 = 2.0;

/// After so many silences one of them counts for 1/e of a new one.
const MEMORY_SILENCES: f64 = 2_000.0;

/// How the silences of one link end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SilenceHazard {
    #[serde(deserialize_with = "finite")]
    ends: [f32; BINS],
    #[serde(deserialize_with = "finite")]
    seconds: [f32; BINS],
}

impl SilenceHazard {
    /// A silence ended by itself, at an age between two bounds.
    pub fn ended(&mut self, at_least: Duration, at_most: Duration) {
        let (least, most) = (at_least.as_secs_f64(), at_most.as_secs_f64());
        if most <= BEGINS[0] {
            return;
        }
        self.fade(1.0 - 1.0 / MEMORY_SILENCES);
        let most = most.max(least + 1e-3);
        for bin in 0..BINS {
            let between = overlap(bin, least, most);
            self.seconds[bin] += single(overlap(bin, 0.0, least) + between / 2.0);
            self.ends[bin] += single(between / (most - least));
        }
    }

    /// A silence was an outage: it had not ended at this age.
    pub fn outlasted(&mut self, age: Duration) {
        for (bin, seconds) in self.seconds.iter_mut().enumerate() {
            *seconds += single(overlap(bin, 0.0, age.as_secs_f64()));
        }
    }

    /// The age from which it does not pay to wait any longer, on a link whose bursts usually last for so many seconds
    /// more at any age.
    pub fn worth_waiting(&self, cost: Duration, usual_seconds: f64) -> Duration {
        let cost = cost.as_secs_f64();
        let (mut value, mut leave_at) = (cost, LAST_END);
        for bin in (0..BINS).rev() {
            let hazard = self.hazard(bin, usual_seconds);
            let lasts = (-hazard * width(bin)).exp();
            let wait = (1.0 - lasts) / hazard;
            let goes_on = wait + lasts * value;
            if goes_on >= cost {
                leave_at = BEGINS[bin];
            }
            value = goes_on.min(cost);
        }
        Duration::from_secs_f64(leave_at)
    }

    /// How many silences that ended it was learnt from.
    pub fn silences(&self) -> f64 {
        self.ends.iter().map(|ends| f64::from(*ends)).sum()
    }

    /// Of what was learnt so much is kept.
    pub fn fade(&mut self, keep: f64) {
        let sums = self.ends.iter_mut().chain(&mut self.seconds);
        sums.for_each(|sum| *sum *= single(keep));
    }

    /// All that was learnt.
    pub(super) fn sums(&self) -> impl Iterator<Item = f64> {
        self.ends
            .iter()
            .chain(&self.seconds)
            .copied()
            .map(f64::from)
    }

    fn hazard(&self, bin: usize, usual_seconds: f64) -> f64 {
        let seconds = PRIOR_SILENCES * width(bin);
        (seconds / usual_seconds + f64::from(self.ends[bin]))
            / (seconds + f64::from(self.seconds[bin]))
    }
}

fn end(bin: usize) -> f64 {
    BEGINS.get(bin + 1).copied().unwrap_or(LAST_END)
}

fn width(bin: usize) -> f64 {
    end(bin) - BEGINS[bin]
}

/// The part of a bin that lies between two ages.
fn overlap(bin: usize, from: f64, to: f64) -> f64 {
    (end(bin).min(to) - BEGINS[bin].max(from)).max(0.0)
}

/// There are many of them, and none has to be exact.
#[expect(clippy::cast_possible_truncation, reason = "some digits are enough")]
fn single(number: f64) -> f32 {
    number as f32
}

/// Numbers of a file, which may be too large.
fn finite<'de, D: Deserializer<'de>>(source: D) -> Result<[f32; BINS], D::Error> {
    let numbers = <[f64; BINS]>::deserialize(source)?;
    Ok(numbers.map(|number| single(number.clamp(f32::MIN.into(), f32::MAX.into()))))
}
