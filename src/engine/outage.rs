//! Is it dead? A sequential test of "dead" against "alive, with this link's own loss process".
//!
//! CUSUM on the log-likelihood ratio (Page 1954). A dead link answers nothing, so any reply takes
//! the evidence back to nothing, and each round that is not answered adds the surprise that an alive
//! link would cause by it. The threshold follows from the accepted time between false verdicts:
//! with one run of misses possible at each steady probe, ln(time / interval) keeps the rate of runs
//! that reach it below one in that time.

use std::time::Duration;

use crate::engine::loss::{Belief, Learner, LossProcess, Run, Tally};
use crate::units::Moment;

/// Fewer missed rounds than this never make an outage by the limit on patience alone.
const LEAST_ROUNDS: usize = 3;

/// A run keeps at most so many rounds; the evidence of any more is not needed.
const LONGEST_RUN: usize = 512;

/// An outage that ends within this multiple of the limit on patience teaches how long a burst lasts.
const BURST_LIMIT: u32 = 2;

/// How much is asked of the evidence.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// The accepted mean time between false verdicts.
    pub false_alarm_every: Duration,
    /// The time between two steady probes.
    pub interval: Duration,
    /// The longest silence that is borne, whatever the history says.
    pub outage_within: Duration,
}

impl Demand {
    /// The log-likelihood ratio to reach, in nats.
    pub fn threshold(&self) -> f64 {
        (self.false_alarm_every.as_secs_f64() / self.interval.as_secs_f64())
            .ln()
            .max(1.0)
    }
}

/// The detector of one uplink.
#[derive(Clone, Debug, Default)]
pub struct Outage {
    learner: Learner,
    answered: Option<Moment>,
    run: Vec<Failure>,
    evidence: f64,
    belief: Belief,
    is_declared: bool,
}

#[derive(Clone, Copy, Debug)]
struct Failure {
    sent: Moment,
    losses: u32,
}

impl Outage {
    /// A round sent at `sent` was answered by enough targets.
    pub fn answered(&mut self, sent: Moment, demand: Demand) {
        let newer = self.run.partition_point(|failure| failure.sent <= sent);
        if let Some(last) = newer.checked_sub(1) {
            self.learn(last, sent, demand);
        } else if self.run.is_empty() {
            self.learner.answered();
        }
        self.is_declared &= newer < self.run.len();
        self.answered = self.answered.max(Some(sent));
        if !self.run.is_empty() {
            self.run.drain(..newer);
            self.weigh_again();
        }
    }

    /// A round sent at `sent` was not answered by enough targets; without a burst it would take
    /// `losses` independent losses to explain that.
    pub fn failed(&mut self, sent: Moment, losses: u32) {
        let is_disproved = self.answered.is_some_and(|answered| sent <= answered);
        if is_disproved || self.run.len() == LONGEST_RUN {
            return;
        }
        let place = self.run.partition_point(|failure| failure.sent <= sent);
        self.run.insert(place, Failure { sent, losses });
        if place + 1 == self.run.len() {
            self.weigh(place, &self.learner.process());
        } else {
            self.weigh_again();
        }
    }

    /// The silence that has become an outage, if it has.
    pub fn verdict(&mut self, now: Moment, demand: Demand) -> Option<Silence> {
        let first = self.run.first()?.sent;
        let lasts = now.since(first);
        let is_proven = self.evidence >= demand.threshold();
        let is_too_long = lasts >= demand.outage_within && self.run.len() >= LEAST_ROUNDS;
        (is_proven || is_too_long).then(|| {
            self.is_declared = true;
            Silence {
                lasts,
                rounds: self.run.len(),
            }
        })
    }

    /// Whether some round is unanswered and no later one is answered.
    pub fn is_suspected(&self) -> bool {
        !self.run.is_empty()
    }

    /// The loss process of the link while it is alive, as learnt.
    pub fn process(&self) -> LossProcess {
        self.learner.process()
    }

    /// The link itself went away or came back: what was going on is over, and teaches nothing.
    pub fn interrupt(&mut self) {
        self.run.clear();
        self.evidence = 0.0;
        self.belief = Belief::default();
        self.answered = None;
        self.is_declared = false;
    }

    fn learn(&mut self, last: usize, answered: Moment, demand: Demand) {
        let first = self.run[0].sent;
        let at_most = answered.since(first);
        let is_burst = !self.is_declared || at_most <= demand.outage_within * BURST_LIMIT;
        if is_burst {
            self.learner.ended(Run {
                at_least: self.run[last].sent.since(first),
                at_most,
                losses: self.run[..=last].iter().map(|f| f.losses).sum(),
            });
        }
    }

    fn weigh_again(&mut self) {
        self.evidence = 0.0;
        let process = self.learner.process();
        for place in 0..self.run.len() {
            self.weigh(place, &process);
        }
    }

    fn weigh(&mut self, place: usize, process: &LossProcess) {
        let Failure { sent, losses } = self.run[place];
        let belief = match place.checked_sub(1) {
            Some(previous) => process.drift(self.belief, sent.since(self.run[previous].sent)),
            None => match self.answered {
                Some(answered) => process.drift(Belief::default(), sent.since(answered)),
                None => process.drift(Belief::default(), Duration::MAX),
            },
        };
        let all_lost = Tally {
            sent: losses,
            lost: losses,
        };
        let (likelihood, belief) = process.observe(belief, all_lost);
        self.evidence -= likelihood;
        self.belief = belief;
    }
}

/// A silence that is an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Since the first unanswered round.
    pub lasts: Duration,
    /// How many rounds were not answered.
    pub rounds: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMAND: Demand = Demand {
        false_alarm_every: Duration::from_secs(30 * 86_400),
        interval: Duration::from_secs(1),
        outage_within: Duration::from_secs(10),
    };

    fn at(millis: u64) -> Moment {
        Moment::after_start(Duration::from_millis(millis))
    }

    /// When a link that has answered `outage` so far is given up, if it falls silent at 10,000 s.
    fn patience(outage: &mut Outage) -> Duration {
        outage.answered(at(9_999_000), DEMAND);
        for millis in (0..20_000).step_by(50) {
            let now = at(10_000_000 + millis);
            outage.failed(now, 1);
            if let Some(silence) = outage.verdict(now, DEMAND) {
                return silence.lasts;
            }
        }
        panic!("never given up");
    }

    fn bursty(burst: Duration, every: u64) -> Outage {
        let mut outage = Outage::default();
        let mut now = at(0);
        for second in 0..9_000_u64 {
            if second % every == 0 {
                let end = now + burst;
                let mut sent = now;
                while sent < end {
                    outage.failed(sent, 1);
                    sent = sent + Duration::from_millis(50);
                }
                outage.answered(sent, DEMAND);
            } else {
                outage.answered(now, DEMAND);
            }
            now = now + Duration::from_secs(1);
        }
        outage
    }

    #[test]
    fn a_new_link_is_given_up_in_about_half_a_second_of_silence() {
        let patience = patience(&mut Outage::default());
        assert!((200..=600).contains(&patience.as_millis()), "{patience:?}");
    }

    #[test]
    fn a_link_that_loses_in_bursts_gets_the_patience_its_history_asks_for() {
        let short = patience(&mut bursty(Duration::from_millis(150), 50));
        let long = patience(&mut bursty(Duration::from_millis(600), 36));
        assert!(short > Duration::from_secs(1), "{short:?}");
        assert!(long > Duration::from_secs(4), "{long:?}");
    }

    #[test]
    fn no_history_makes_it_blind() {
        let patience = patience(&mut bursty(Duration::from_secs(8), 20));
        assert!(patience <= Duration::from_secs(10), "{patience:?}");
    }

    #[test]
    fn any_later_reply_disproves_the_silence_before_it() {
        let mut outage = Outage::default();
        for millis in (0..400).step_by(50) {
            outage.failed(at(millis), 3);
        }
        outage.answered(at(375), DEMAND);
        assert!(!outage.is_suspected());
        outage.failed(at(100), 3);
        assert!(!outage.is_suspected(), "a miss from before the reply");
    }
}
