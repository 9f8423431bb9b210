//! How a link that is alive loses packets: the model that outages are told apart from.
//!
//! A Gilbert process in continuous time (Gilbert 1960, with losses in the good state as well): the
//! link is in a burst for a share of the time and loses everything then; outside bursts each packet
//! is lost by itself with a small probability. The three numbers are learnt from every run of
//! missed rounds that a reply ended, by one step of expectation maximisation a run, on top of a
//! prior that stands for a short first acquaintance. How often packets are lost is forgotten over
//! about a day of probes; how long bursts last, over eight thousand of them, because verdicts hang on
//! the rare long ones, of which a day may show but a few.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::hazard::{SHORTEST_WAIT, SilenceHazard};

/// The parameters of the process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossProcess {
    /// The probability that a packet is lost outside a burst.
    pub isolated: f64,
    /// The share of the time that is spent in bursts.
    pub burst_share: f64,
    /// The mean length of a burst, in seconds.
    pub burst_seconds: f64,
    /// How bursts end that have lasted for twice that.
    pub tail: Tail,
}

/// The long bursts. Beyond twice the mean they are learnt for themselves (peaks over a threshold;
/// Pickands 1975, with an exponential tail): handovers end sooner than the mean lets expect, and
/// fading later. Where those that failed are a class of their own, none ends soon after the
/// threshold: their lengths differ by less than their mean, and the tail begins that much later. What is not known for sure makes patient: the predictive distribution of an
/// exponential one that is known from so many examples is Lomax's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tail {
    /// The share of bursts that last for twice the mean.
    pub share: f64,
    /// For how long those go on at least, in seconds.
    pub least_seconds: f64,
    /// For how long beyond that, on average, in seconds.
    pub seconds: f64,
    /// From how many of them that is known.
    pub examples: f64,
}

/// What is believed about the moment: is a burst going on?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Belief(f64);

/// A round of probes sent at one moment: how many, and how many of them were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Sent.
    pub sent: u32,
    /// Lost, at most `sent`.
    pub lost: u32,
}

impl LossProcess {
    /// The belief a while after `belief`, nothing having been seen in between.
    pub fn drift(&self, belief: Belief, elapsed: Duration) -> Belief {
        let relaxation = self.burst_seconds * (1.0 - self.burst_share);
        let memory = (-elapsed.as_secs_f64() / relaxation).exp();
        Belief(self.burst_share + (belief.0 - self.burst_share) * memory)
    }

    /// The probability of `tally` under `belief`, and the belief after it.
    pub fn observe(&self, belief: Belief, tally: Tally) -> (f64, Belief) {
        let good = (1.0 - belief.0) * independent(self.isolated, tally);
        if tally.lost < tally.sent {
            return (good, Belief(0.0));
        }
        let likelihood = belief.0 + good;
        (likelihood, Belief(belief.0 / likelihood))
    }

    /// The probability that the link is in a burst and the burst lasts for at least `span`.
    pub fn burst_of(&self, span: Duration) -> f64 {
        self.burst_share * self.survival(span.as_secs_f64())
    }

    /// How long a burst must last until that is no more probable than `probability`.
    pub fn patience(&self, probability: f64) -> Duration {
        let begin = TAIL_BEGINS * self.burst_seconds;
        let Tail {
            share,
            least_seconds,
            seconds,
            examples,
        } = self.tail;
        let rare = probability / self.burst_share;
        let seconds = if rare >= 1.0 {
            0.0
        } else if rare >= share {
            begin * rare.ln() / share.ln()
        } else {
            let growth = (rare / share).powf(-1.0 / examples);
            begin + least_seconds + examples * seconds * (growth - 1.0)
        };
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    fn survival(&self, seconds: f64) -> f64 {
        let begin = TAIL_BEGINS * self.burst_seconds;
        let beyond = seconds - begin;
        if beyond <= 0.0 {
            // Linear in the logarithm from 1 at the beginning to the tail's share where that begins.
            self.tail.share.powf(1.0 + beyond / begin)
        } else {
            let Tail {
                share,
                least_seconds,
                seconds,
                examples,
            } = self.tail;
            let rest = (beyond - least_seconds).max(0.0);
            share * (1.0 + rest / (examples * seconds)).powf(-examples)
        }
    }

    /// The mean share of packets lost.
    pub fn mean(&self) -> f64 {
        self.burst_share + (1.0 - self.burst_share) * self.isolated
    }
}

/// The probability of exactly these losses, each by itself with probability `loss`.
pub fn independent(loss: f64, tally: Tally) -> f64 {
    power(loss, tally.lost) * power(1.0 - loss, tally.sent - tally.lost)
}

fn power(base: f64, exponent: u32) -> f64 {
    base.powi(exponent.cast_signed())
}

/// A run of missed rounds that a reply ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MissedRun {
    /// From the first missed round to the last.
    pub at_least: Duration,
    /// From the first missed round to the one that was answered.
    pub at_most: Duration,
    /// The independent losses that it would take to explain it without a burst.
    pub losses: u32,
    /// For how long the link's traffic had been silent before the first missed round.
    pub begun_before: Duration,
}

/// Learns a [`LossProcess`] from what one link shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Learner {
    /// Moments at which a burst could have been met.
    rounds: f64,
    /// Probes that were not in a burst, and those of them that were lost.
    probes: f64,
    isolated: f64,
    bursts: f64,
    /// Bursts whose length is known, and their lengths.
    lengths: f64,
    length_seconds: f64,
    /// Those of them that reached the tail, and for how long they went on.
    tails: f64,
    tail_seconds: f64,
    tail_squares: f64,
    /// Within what bounds their lengths are known.
    tail_gap_seconds: f64,
    /// How those that last end.
    hazard: SilenceHazard,
}

/// More than a century of seconds, squared or not, cannot have been learnt.
const LARGEST_SUM: f64 = 1e10;

/// In multiples of the mean length of a burst.
const TAIL_BEGINS: f64 = 2.0;

/// The share of exponential lengths that last so long, e^-[`TAIL_BEGINS`].
const TAIL_SHARE: f64 = 0.135_335_283_236_612_7;

/// The acquaintance that a new link is credited with: a hundred probes, one of them lost by itself;
/// one burst in 10,000 rounds, as three hundred rounds would let expect; and four bursts with a mean
/// of 40 ms.
const PRIOR_PROBES: f64 = 100.0;
const PRIOR_ISOLATED: f64 = 1.0;
const PRIOR_ROUNDS: f64 = 300.0;
const PRIOR_BURSTS: f64 = 0.03;
const PRIOR_LENGTHS: f64 = 4.0;
const PRIOR_LENGTH_SECONDS: f64 = 0.16;
/// That its long bursts end as exponential ones do is believed as if so many had shown it: how soon
/// the longest end, and how much all of them differ.
const PRIOR_EXAMPLES: f64 = 32.0;
const PRIOR_SHAPE: f64 = 50.0;

/// After so long what was learnt counts for 1/e of something new, however rarely anything happens.
const MEMORY: Duration = Duration::from_secs(3 * 86_400);

/// After so many rounds an observation counts for 1/e of a new one.
const MEMORY_ROUNDS: f64 = 86_400.0;

/// After so many bursts the length of one does.
const MEMORY_LENGTHS: f64 = 8_000.0;

impl Learner {
    /// No number in it is one that could not have been learnt.
    pub fn is_sound(&self) -> bool {
        let sums = [
            self.rounds,
            self.probes,
            self.isolated,
            self.bursts,
            self.lengths,
            self.length_seconds,
            self.tails,
            self.tail_seconds,
            self.tail_squares,
            self.tail_gap_seconds,
        ];
        let mut sums = sums.into_iter().chain(self.hazard.sums());
        sums.all(|sum| (0.0..=LARGEST_SUM).contains(&sum))
    }

    /// The process as it looks by now.
    pub fn process(&self) -> LossProcess {
        let rounds = PRIOR_ROUNDS + self.rounds;
        let lengths = PRIOR_LENGTHS + self.lengths;
        let burst_seconds = ((PRIOR_LENGTH_SECONDS + self.length_seconds) / lengths).max(1e-3);
        // Exponential lengths, until there are enough long bursts to say otherwise.
        let prior_tails = PRIOR_LENGTHS * TAIL_SHARE;
        let tails = PRIOR_LENGTHS + self.tails;
        let tail_seconds = (PRIOR_LENGTHS * burst_seconds + self.tail_seconds) / tails;
        let deviation = self.tail_deviation(tail_seconds);
        let tail = Tail {
            share: ((prior_tails + self.tails) / lengths).clamp(1e-6, 1.0 - 1e-6),
            least_seconds: (tail_seconds - deviation).max(0.0),
            // Nothing can be known more finely than the probes were spaced.
            seconds: deviation.max(self.tail_gap_seconds / tails),
            // Bursts that could have been long and were not are examples, too.
            examples: PRIOR_EXAMPLES + self.tails.max(self.lengths * TAIL_SHARE),
        };
        LossProcess {
            isolated: (PRIOR_ISOLATED + self.isolated) / (PRIOR_PROBES + self.probes),
            burst_share: ((PRIOR_BURSTS + self.bursts) / rounds).min(0.9),
            burst_seconds,
            tail,
        }
    }

    /// The share of its probes that the link has lost while it was alive, nothing being credited, and how many
    /// probes that is known from.
    pub fn shown(&self) -> (f64, f64) {
        let share = |part: f64, all: f64| {
            if all > 0.0 {
                (part / all).min(1.0)
            } else {
                0.0
            }
        };
        let in_bursts = share(self.bursts, self.rounds);
        let isolated = share(self.isolated, self.probes);
        (in_bursts + (1.0 - in_bursts) * isolated, self.probes)
    }

    /// By how much the long bursts differ around their mean: by just that, if exponential.
    fn tail_deviation(&self, mean: f64) -> f64 {
        let spread = self.tail_squares - 2.0 * mean * self.tail_seconds + self.tails * mean * mean;
        let variance = (PRIOR_SHAPE * mean * mean + spread.max(0.0)) / (PRIOR_SHAPE + self.tails);
        variance.sqrt()
    }

    /// A round was answered that no missed one preceded.
    pub fn answered(&mut self) {
        self.forget();
        self.rounds += 1.0;
        self.probes += 1.0;
    }

    /// Some probes of a round were lost and others answered: whatever those met, it was no burst.
    pub fn disagreed(&mut self, tally: Tally) {
        self.probes += f64::from(tally.sent - 1);
        self.isolated += f64::from(tally.lost);
    }

    /// A run of missed rounds was ended by a reply. It is split between the two explanations by
    /// their likelihoods; a burst's length is known only between two bounds, so the mean of the
    /// exponential distribution between them is taken.
    pub fn ended(&mut self, run: MissedRun) {
        let before = run.begun_before;
        self.hazard
            .ended(run.at_least + before, run.at_most + before);
        let process = self.process();
        let shortest = run.at_least.as_secs_f64();
        let longest = run.at_most.as_secs_f64().max(shortest + 1e-6);
        let as_burst = process.burst_of(run.at_least) - process.burst_of(run.at_most);
        let as_isolated = (1.0 - process.burst_share) * power(process.isolated, run.losses);
        let total = as_burst + as_isolated;
        let share = if total > 0.0 { as_burst / total } else { 1.0 };
        let length = mean_between(process.burst_seconds, shortest, longest);
        let beyond = length - TAIL_BEGINS * process.burst_seconds;
        self.forget();
        self.rounds += 1.0;
        let losses = (1.0 - share) * f64::from(run.losses);
        self.probes += 1.0 + losses;
        self.isolated += losses;
        self.bursts += share;
        self.forget_lengths(share);
        self.lengths += share;
        self.length_seconds += share * length;
        if beyond > 0.0 {
            self.tails += share;
            self.tail_seconds += share * beyond;
            self.tail_squares += share * beyond * beyond;
            self.tail_gap_seconds += share * (longest - shortest);
        }
    }

    /// The same without what it knows of the lengths of silences: earlier versions took outages for silences that
    /// ended.
    #[must_use]
    pub fn without_lengths(self) -> Self {
        Self {
            rounds: self.rounds,
            probes: self.probes,
            isolated: self.isolated,
            ..Self::default()
        }
    }

    /// Packets were lost one by one.
    pub fn scattered(&mut self, losses: u32) {
        self.answered();
        self.probes += f64::from(losses);
        self.isolated += f64::from(losses);
    }

    /// An outage lasted for longer than `age`.
    pub fn outlasted(&mut self, age: Duration) {
        self.hazard.outlasted(age);
    }

    /// How long it pays to wait for the end of a silence if a switch costs so much.
    pub fn worth_waiting(&self, cost: Duration) -> Duration {
        let process = self.process();
        let usual_seconds = process.burst_seconds.max(process.tail.seconds);
        self.hazard.worth_waiting(cost, usual_seconds)
    }

    /// A silence has lasted for so long that it does not pay any more.
    pub fn is_worth_leaving(&self, lasts: Duration, cost: Duration) -> bool {
        lasts >= SHORTEST_WAIT && lasts >= self.worth_waiting(cost)
    }

    /// How the silences end that last.
    pub fn hazard(&self) -> &SilenceHazard {
        &self.hazard
    }

    /// So much time has passed.
    pub fn fade(&mut self, elapsed: Duration) {
        let keep = (-elapsed.as_secs_f64() / MEMORY.as_secs_f64()).exp();
        self.keep_rounds(keep);
        self.keep_lengths(keep);
        self.hazard.fade(keep);
    }

    fn forget(&mut self) {
        self.keep_rounds(1.0 - 1.0 / MEMORY_ROUNDS);
    }

    fn keep_rounds(&mut self, keep: f64) {
        for sum in [
            &mut self.rounds,
            &mut self.probes,
            &mut self.isolated,
            &mut self.bursts,
        ] {
            *sum *= keep;
        }
    }

    fn forget_lengths(&mut self, bursts: f64) {
        self.keep_lengths(1.0 - bursts / MEMORY_LENGTHS);
    }

    fn keep_lengths(&mut self, keep: f64) {
        for sum in [
            &mut self.lengths,
            &mut self.length_seconds,
            &mut self.tails,
            &mut self.tail_seconds,
            &mut self.tail_squares,
            &mut self.tail_gap_seconds,
        ] {
            *sum *= keep;
        }
    }
}

/// The mean of the part between two bounds of an exponential distribution.
fn mean_between(mean: f64, shortest: f64, longest: f64) -> f64 {
    let survives = (-shortest / mean).exp();
    let outlives = (-longest / mean).exp();
    let share = survives - outlives;
    if share < 1e-12 {
        return f64::midpoint(shortest, longest);
    }
    let inside = mean + (shortest * survives - longest * outlives) / share;
    inside.clamp(shortest, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: Tally = Tally { sent: 1, lost: 1 };

    fn run(at_least: f64, at_most: f64, losses: u32) -> MissedRun {
        MissedRun {
            at_least: Duration::from_secs_f64(at_least),
            at_most: Duration::from_secs_f64(at_most),
            losses,
            begun_before: Duration::ZERO,
        }
    }

    #[test]
    fn a_miss_in_a_burst_is_no_surprise_while_the_burst_may_last() {
        let process = LossProcess {
            isolated: 0.001,
            burst_share: 0.03,
            burst_seconds: 0.6,
            tail: Tail {
                share: 0.135,
                least_seconds: 0.0,
                seconds: 0.6,
                examples: 100.0,
            },
        };
        let belief = process.drift(Belief::default(), Duration::from_secs(1));
        let (first, belief) = process.observe(belief, LOST);
        let belief = process.drift(belief, Duration::from_millis(50));
        let (second, _) = process.observe(belief, LOST);
        assert!(first < 0.05, "the first miss surprises: {first}");
        assert!(second > 0.86, "the second does not: {second}");
    }

    #[test]
    fn patience_lasts_until_a_burst_is_as_improbable_as_asked() {
        let mut learner = Learner::default();
        for tenths in (0..200_u32).map(|number| number % 9) {
            learner.answered();
            let lasts = f64::from(tenths) / 10.0;
            learner.ended(run(lasts, lasts + 0.05, tenths + 3));
        }
        let process = learner.process();
        for probability in [0.2, 1e-2, 1e-4, 1e-7] {
            let patience = process.patience(probability);
            let found = process.burst_of(patience);
            assert!(
                (found / probability - 1.0).abs() < 1e-6,
                "{probability}: {found}"
            );
        }
        assert_eq!(process.patience(1.0), Duration::ZERO);
    }

    #[test]
    fn long_bursts_of_a_class_of_their_own_are_known_to_last_for_a_while() {
        let mut learner = Learner::default();
        for number in 0..20_000_u32 {
            (0..20).for_each(|_| learner.answered());
            // One handover in ten fails, and lasts for 1 to 1.5 s instead of 0.1 s.
            let is_failed = number % 10 == 0;
            let extra = f64::from(number / 10 % 6) / 10.0;
            let lasts = if is_failed { 1.0 + extra } else { 0.1 };
            learner.ended(run(lasts, lasts + 0.01, 12));
        }
        let process = learner.process();
        assert!(process.tail.least_seconds > 0.3, "{process:?}");
        assert!(process.burst_of(Duration::from_secs_f64(0.9)) > process.burst_share * 0.08);
        let patience = process.patience(process.burst_share * 1e-6);
        assert!((2.0..5.0).contains(&patience.as_secs_f64()), "{patience:?}");
    }

    #[test]
    fn isolated_losses_however_many_do_not_make_more_patient() {
        let mut learner = Learner::default();
        let new = learner.process().patience(1e-7);
        for _ in 0..2_000 {
            (0..99).for_each(|_| learner.answered());
            learner.ended(run(0.0, 0.265, 1));
        }
        let known = learner.process().patience(1e-7);
        assert!(known <= new, "{known:?} {new:?}");
    }

    #[test]
    fn a_tail_known_from_few_bursts_asks_for_more_patience() {
        let with = |examples| LossProcess {
            isolated: 0.001,
            burst_share: 0.03,
            burst_seconds: 0.6,
            tail: Tail {
                share: 0.135,
                least_seconds: 0.0,
                seconds: 0.6,
                examples,
            },
        };
        let (few, many) = (with(10.0).patience(1e-7), with(1000.0).patience(1e-7));
        assert!(few > many * 3 / 2, "{few:?} {many:?}");
    }

    #[test]
    fn long_bursts_are_learnt_from_the_runs_they_leave() {
        let mut learner = Learner::default();
        for _ in 0..100 {
            for _ in 0..30 {
                learner.answered();
            }
            learner.ended(run(0.6, 0.65, 12));
        }
        let process = learner.process();
        assert!((0.5..0.7).contains(&process.burst_seconds), "{process:?}");
        assert!((0.02..0.04).contains(&process.burst_share), "{process:?}");
        assert!(process.isolated < 0.005, "{process:?}");
    }

    #[test]
    fn single_losses_are_learnt_as_isolated() {
        let mut learner = Learner::default();
        for _ in 0..500 {
            for _ in 0..19 {
                learner.answered();
            }
            learner.ended(run(0.0, 0.1, 1));
        }
        let process = learner.process();
        assert!((0.035..0.06).contains(&process.isolated), "{process:?}");
        assert!(process.burst_share < 0.005, "{process:?}");
    }
}
