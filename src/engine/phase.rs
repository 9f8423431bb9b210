//! The phase of silences: on some links they begin at a regular moment, as with each satellite that a terminal of
//! Starlink is handed to, every 15 s. Only a silence that begins there is one for which it pays to wait.
//!
//! The period is found by the Rayleigh test (Fisher 1993, section 4.3). For each frequency f the beginnings t of the
//! last silences are vectors of length 1 in the direction f t; of n at random, |sum|² / n exceeds z with the
//! probability e^-z. A period is taken for true where that is below 1e-12. Frequencies are tried in steps of half a
//! cycle over all of the time, some with each silence. With each further one the period is fitted anew, which follows
//! the drift between two clocks; where the test fails it is forgotten.
//!
//! Silences that come in swarms have a common phase at every slow frequency, so that only one counts in each of the
//! longest cycles; the pause after it is random, because one of a fixed length would itself be regular.
//!
//! Moments are those of the monotonic clock, so nothing is kept over a restart.

use std::f64::consts::TAU;
use std::time::Duration;

use crate::engine::schedule::Spread;
use crate::units::Moment;

/// Beginnings that are kept, and how many there must be.
const KEPT: usize = 64;
const LEAST: usize = 32;

/// Periods that are tried, in seconds. Of a shorter one a steady probe a second covers too large a part.
const SHORTEST: f64 = 8.0;
const LONGEST: f64 = 30.0;

/// The pause after a beginning that counts, in longest cycles: one, and up to so many more by chance.
const PAUSE: f64 = 4.0;

/// -ln 1e-12.
const PROVEN: f64 = 27.6;

/// Frequencies that are tried with each silence.
const TRIED: usize = 256;

/// In cycles over the time of all beginnings: the step between two frequencies that are tried; and how far from one
/// the best is sought in how fine steps, first and then.
const STEP: f64 = 0.5;
const SOUGHT: [(f64, f64); 2] = [(1.0, 0.1), (0.1, 0.005)];

/// How close to a boundary a silence begins, in multiples of what the earliest tenth is early; and at the least, in
/// seconds.
const EARLY: f64 = 3.0;
const LEAST_MARGIN: f64 = 0.1;

/// After so long without a silence nothing is known of its phase.
const STALE: Duration = Duration::from_secs(86_400);

/// The beginnings of the silences of one link, and the period that they show.
#[derive(Clone, Debug)]
pub struct SilencePhase {
    /// In milliseconds, the latest at `next - 1`.
    begun: [u32; KEPT],
    count: usize,
    next: usize,
    last: Moment,
    /// Swarms are over then.
    counts_from: Moment,
    pause: Spread,
    /// The next frequency that is tried.
    frequency: f64,
    found: Option<Cycle>,
}

/// A period of silences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cycle {
    /// In seconds.
    pub period: f64,
    /// Silences begin there, and at whole periods from it.
    boundary: Moment,
    /// And by so much earlier or later, in seconds.
    margin: f64,
    /// It is known well enough until then.
    until: Moment,
}

impl Default for SilencePhase {
    fn default() -> Self {
        Self {
            begun: [0; KEPT],
            count: 0,
            next: 0,
            last: Moment::START,
            counts_from: Moment::START,
            pause: Spread::new(1),
            frequency: 1.0 / LONGEST,
            found: None,
        }
    }
}

impl SilencePhase {
    /// The period, if silences have one that is known at a moment.
    pub fn cycle(&self, now: Moment) -> Option<Cycle> {
        self.found.filter(|found| now <= found.until)
    }

    /// A silence began.
    pub fn began(&mut self, at: Moment) {
        if at.since(self.last) > STALE {
            *self = Self::default();
        } else if at < self.counts_from {
            return;
        }
        self.keep(at);
        if self.count < LEAST {
            return;
        }
        let span = self.ages().fold(0.0, f64::max);
        let candidate = match self.found {
            Some(Cycle { period, .. }) => Some(1.0 / period),
            None => self.try_some(span),
        };
        self.found = candidate.and_then(|frequency| self.fit(frequency, span));
    }

    fn keep(&mut self, at: Moment) {
        // Differences below 49 days survive the wrap.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the lower bits tell differences"
        )]
        let millis = at.since_start().as_millis() as u32;
        self.begun[self.next] = millis;
        self.next = (self.next + 1) % KEPT;
        self.count = (self.count + 1).min(KEPT);
        self.last = at;
        let pause = LONGEST * (1.0 + PAUSE * self.pause.unit());
        self.counts_from = at + Duration::from_secs_f64(pause);
    }

    /// How long before the latest each silence began, in seconds.
    fn ages(&self) -> impl Iterator<Item = f64> {
        let latest = self.begun[(self.next + KEPT - 1) % KEPT];
        let kept = &self.begun[..self.count];
        kept.iter()
            .map(move |begun| f64::from(latest.wrapping_sub(*begun)) / 1e3)
    }

    /// Tries the next frequencies; one of those that pass the test.
    fn try_some(&mut self, span: f64) -> Option<f64> {
        let step = STEP / span;
        let first = self.frequency;
        let mut sums = [(0.0, 0.0); TRIED];
        for age in self.ages() {
            let (mut sine, mut cosine) = (TAU * first * age).sin_cos();
            let (turn_sine, turn_cosine) = (TAU * step * age).sin_cos();
            for (x, y) in &mut sums {
                *x += cosine;
                *y += sine;
                (sine, cosine) = (
                    sine * turn_cosine + cosine * turn_sine,
                    cosine * turn_cosine - sine * turn_sine,
                );
            }
        }
        let mut frequency = first;
        for (x, y) in sums {
            // Between two steps up to a fifth of the power is lost.
            if self.power(x, y) >= PROVEN * 0.8 {
                return Some(frequency);
            }
            frequency += step;
        }
        let is_last = frequency > 1.0 / SHORTEST;
        self.frequency = if is_last { 1.0 / LONGEST } else { frequency };
        None
    }

    fn power(&self, x: f64, y: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "at most 64")]
        let count = self.count as f64;
        (x * x + y * y) / count
    }

    /// The cycle near a frequency or near a part of it, of which it is a multiple; none where the test fails.
    fn fit(&self, frequency: f64, span: f64) -> Option<Cycle> {
        let parts = [3.0, 2.0, 1.0].map(|divisor| frequency / divisor);
        let possible = parts.iter().filter(|part| **part >= (1.0 - 0.01) / LONGEST);
        let mut cycles = possible.map(|part| self.best_near(*part, span));
        let (_, best, direction) = cycles.find(|(power, ..)| *power >= PROVEN)?;
        let period = 1.0 / best;
        // Ages run backwards.
        let mean = -direction / TAU * period;
        let mut off: Vec<f64> = (self.ages().map(|age| off_phase(-age - mean, period))).collect();
        off.sort_by(f64::total_cmp);
        // A long silence is met late more often than early, which draws the mean away from where most begin.
        let [early, middle] = [10, 2].map(|part| off[off.len() / part]);
        let offset = mean + middle;
        let boundary = if offset >= 0.0 {
            self.last + Duration::from_secs_f64(offset)
        } else {
            self.last - Duration::from_secs_f64(-offset)
        };
        let margin = (EARLY * (middle - early)).clamp(LEAST_MARGIN, period / 10.0);
        Some(Cycle {
            period,
            boundary,
            margin,
            until: self.last + Duration::from_secs_f64(span),
        })
    }

    /// The power, the frequency and the direction of the strongest one nearby.
    fn best_near(&self, frequency: f64, span: f64) -> (f64, f64, f64) {
        let mut best = (0.0, frequency, 0.0);
        for (around, step) in SOUGHT {
            let middle = best.1;
            let mut offset = -around;
            while offset <= around {
                let tried = middle + offset / span;
                let add = |(x, y), age: f64| {
                    let (sine, cosine) = (TAU * tried * age).sin_cos();
                    (x + cosine, y + sine)
                };
                let (x, y): (f64, f64) = self.ages().fold((0.0, 0.0), add);
                let power = self.power(x, y);
                if power > best.0 {
                    best = (power, tried, y.atan2(x));
                }
                offset += step;
            }
        }
        best
    }
}

impl Cycle {
    /// A silence that began between these moments began where silences do.
    pub fn meets(&self, from: Moment, to: Moment) -> bool {
        let margin = Duration::from_secs_f64(self.margin);
        let (from, to) = (from - margin, to + margin);
        let lasts = to.since(from).as_secs_f64();
        let since = if from >= self.boundary {
            from.since(self.boundary).as_secs_f64()
        } else {
            -self.boundary.since(from).as_secs_f64()
        };
        // From the first moment to the next boundary.
        (-since).rem_euclid(self.period) <= lasts
    }
}

/// How long after the nearest boundary a moment is, or before it.
fn off_phase(since: f64, period: f64) -> f64 {
    let half = period / 2.0;
    (since + half).rem_euclid(period) - half
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cases::cases;

    fn at(seconds: f64) -> Moment {
        Moment::after_start(Duration::from_secs_f64(seconds))
    }

    /// Takes a silence in one slot of eight, for so many slots; when the last slot was.
    fn slots(
        phase: &mut SilencePhase,
        first: f64,
        period: f64,
        count: u32,
        random: &mut Spread,
    ) -> f64 {
        let mut slot = first;
        for _ in 0..count {
            if random.unit() < 0.125 {
                phase.began(at(slot + 0.3 * random.unit()));
            }
            slot += period;
        }
        slot
    }

    /// Takes silences at random, so many seconds apart; when the last began.
    fn at_random(
        phase: &mut SilencePhase,
        from: f64,
        every: f64,
        count: u32,
        random: &mut Spread,
    ) -> f64 {
        let mut now = from;
        for _ in 0..count {
            now -= every * (1.0 - random.unit()).max(1e-9).ln();
            phase.began(at(now));
        }
        now
    }

    #[test]
    fn slots_of_15_s_are_found_within_hours_however_the_clock_drifts() {
        for period in [14.999, 15.0, 15.000_3, 15.002] {
            let (mut phase, mut random) = (SilencePhase::default(), Spread::new(3));
            let slot = slots(&mut phase, 12.0, period, 1_920, &mut random);
            let cycle = phase.cycle(at(slot)).expect("a period");
            assert!((cycle.period - period).abs() < 1e-3, "{cycle:?}");
            for number in 0..100 {
                let slot = slot + period * f64::from(number);
                assert!(
                    cycle.meets(at(slot - 0.5), at(slot + 0.2)),
                    "{number} {cycle:?}"
                );
                assert!(
                    !cycle.meets(at(slot + 4.0), at(slot + 11.0)),
                    "{number} {cycle:?}"
                );
            }
        }
    }

    #[test]
    fn silences_between_the_slots_do_not_hide_them() {
        let (mut phase, mut random) = (SilencePhase::default(), Spread::new(3));
        let mut from = 12.0;
        for _ in 0..60 {
            from = slots(&mut phase, from, 15.0, 60, &mut random);
            phase.began(at(from - 15.0 * random.unit()));
        }
        let cycle = phase.cycle(at(from)).expect("a period");
        assert!((cycle.period - 15.0).abs() < 1e-3, "{cycle:?}");
    }

    #[test]
    fn a_phase_that_shifts_is_forgotten_and_found_anew() {
        for (shift, period) in [(5.0, 15.0), (7.5, 15.0), (0.0, 12.0)] {
            let (mut phase, mut random) = (SilencePhase::default(), Spread::new(5));
            let before = slots(&mut phase, 12.0, 15.0, 1_920, &mut random);
            assert!(phase.cycle(at(before)).is_some());
            let mut now = before + shift;
            now = slots(&mut phase, now, period, 4_000, &mut random);
            let cycle = phase.cycle(at(now)).expect("the new period");
            assert!((cycle.period - period).abs() < 1e-3, "{cycle:?}");
            assert!(cycle.meets(at(now - 0.1), at(now + 0.3)), "{cycle:?}");
            assert!(!cycle.meets(at(now + 3.0), at(now + 10.0)), "{cycle:?}");
        }
    }

    #[test]
    fn a_period_that_shows_no_more_is_forgotten() {
        let (mut phase, mut random) = (SilencePhase::default(), Spread::new(3));
        let slot = slots(&mut phase, 12.0, 15.0, 1_920, &mut random);
        assert!(phase.cycle(at(slot)).is_some());
        assert!(phase.cycle(at(slot + 86_400.0)).is_none());
        let now = at_random(&mut phase, slot, 100.0, 300, &mut random);
        assert!(phase.cycle(at(now)).is_none());
    }

    proptest! {
        #![proptest_config(cases(24))]

        #[test]
        fn silences_at_random_never_have_a_phase(every in 1.0..400.0_f64, seed in any::<u64>()) {
            let (mut phase, mut random) = (SilencePhase::default(), Spread::new(seed));
            let mut now = 0.0;
            for _ in 0..200 {
                now = at_random(&mut phase, now, every, 20, &mut random);
                prop_assert!(phase.cycle(at(now)).is_none(), "{:?}", phase.cycle(at(now)));
            }
        }

        #[test]
        fn swarms_of_silences_at_random_never_have_a_phase(
            every in 200.0..2_000.0_f64,
            within in 1.0..30.0_f64,
            seed in any::<u64>(),
        ) {
            let (mut phase, mut random) = (SilencePhase::default(), Spread::new(seed));
            let mut now = 0.0;
            for _ in 0..500 {
                now -= every * (1.0 - random.unit()).max(1e-9).ln();
                at_random(&mut phase, now, within / 10.0, 10, &mut random);
                now += within * 2.0;
                prop_assert!(phase.cycle(at(now)).is_none());
            }
        }
    }
}
