//! What silences cost by rule of switching. Each silence is scored alone, without credit for being away: it costs its
//! length, or its age at the move and what the switch costs.

use std::time::Duration;

use uplinkd::engine::loss::{Learner, MissedRun};
use uplinkd::engine::outage::Demand;

use crate::ours::Delays;
use crate::report::count;

/// A silence of a link. Times in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    pub(crate) began: f64,
    pub(crate) ended: f64,
    /// When the first probe was sent in it that is not answered, from which its age counts.
    pub(crate) met: Option<f64>,
    /// When the engine declared it an outage.
    pub(crate) left: Option<f64>,
}

impl Silence {
    pub(crate) fn lasts(&self) -> f64 {
        self.ended - self.began
    }

    /// It was declared an outage, and would have ended within what a switch costs.
    pub(crate) fn is_left_in_vain(&self, switch_cost: f64) -> bool {
        self.left
            .is_some_and(|left| left + switch_cost > self.ended)
    }

    /// How long it is known to last.
    fn known(&self) -> Option<f64> {
        Some(self.ended - self.met?)
    }
}

/// From here on it is an outage that nothing ends soon.
const OUTAGE: f64 = 30.0;

/// What a rule makes of silences.
#[derive(Clone, Debug, Default)]
pub(crate) struct Toll {
    /// Seconds without traffic, and what the moves cost.
    pub(crate) felt: f64,
    pub(crate) moves: u32,
    /// Moves for silences that would have ended within what a switch costs.
    pub(crate) useless: u32,
    /// The ages at which outages were left.
    left: Vec<f64>,
}

impl Toll {
    /// A silence is left, if it is, at this age.
    pub(crate) fn count(&mut self, silence: &Silence, left: Option<f64>, switch_cost: f64) {
        let left = silence.met.zip(left);
        let Some((met, age)) = left.filter(|(met, age)| met + age < silence.ended) else {
            self.felt += silence.lasts();
            return;
        };
        self.felt += met + age - silence.began;
        self.moved(met + age + switch_cost > silence.ended, switch_cost);
        if silence.lasts() > OUTAGE {
            self.left.push(age);
        }
    }

    /// A move, perhaps one that helped nothing.
    pub(crate) fn moved(&mut self, is_useless: bool, switch_cost: f64) {
        self.felt += switch_cost;
        self.moves += 1;
        self.useless += u32::from(is_useless);
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.felt += other.felt;
        self.moves += other.moves;
        self.useless += other.useless;
        self.left.extend(other.left);
    }

    /// The ages at which outages were left.
    pub(crate) fn left(&self) -> Delays {
        Delays::new(self.left.clone())
    }
}

/// The seconds of silences in the spans in which a link carried the traffic, with what the moves away cost; and the
/// moves.
pub(crate) fn felt_on(
    silences: &[Silence],
    spans: &[(f64, f64)],
    end: f64,
    switch_cost: f64,
) -> (f64, f64) {
    let (mut silent, mut next) = (0.0, 0);
    for (from, to) in spans {
        while silences
            .get(next)
            .is_some_and(|silence| silence.ended <= *from)
        {
            next += 1;
        }
        let during = silences[next..]
            .iter()
            .take_while(|silence| silence.began < *to);
        silent += during
            .map(|silence| silence.ended.min(*to) - silence.began.max(*from))
            .sum::<f64>();
    }
    let moves = count(spans.iter().filter(|(_, to)| *to < end).count());
    (silent + moves * switch_cost, moves)
}

/// What the shipped rule, the former one and the best fixed age cost on one link.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tolls {
    pub(crate) days: u32,
    pub(crate) silences: usize,
    pub(crate) ours: Toll,
    pub(crate) former: Toll,
    fixed: [Toll; FIXED.len()],
}

/// Ages at which a rule may move that knows none of this. A link may resend what it lost before the first of them.
const FIXED: [f64; 13] = [
    0.45, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0, 10.0,
];

impl Tolls {
    /// Counts what came one after another.
    pub(crate) fn count(
        &mut self,
        silences: &[Silence],
        former: &mut FormerRule,
        switch_cost: f64,
    ) {
        self.silences += silences.len();
        for silence in silences {
            let left = silence.met.zip(silence.left).map(|(met, left)| left - met);
            self.ours.count(silence, left, switch_cost);
            self.former
                .count(silence, Some(former.leaves_at()), switch_cost);
            former.learn(silence);
            for (age, toll) in FIXED.iter().zip(&mut self.fixed) {
                toll.count(silence, Some(*age), switch_cost);
            }
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.days += other.days;
        self.silences += other.silences;
        self.ours.add(other.ours);
        self.former.add(other.former);
        for (toll, other) in self.fixed.iter_mut().zip(other.fixed) {
            toll.add(other);
        }
    }

    /// The fixed age that costs least, known by hindsight.
    pub(crate) fn best_fixed(&self) -> (f64, &Toll) {
        let ages = FIXED.into_iter().zip(&self.fixed);
        ages.min_by(|(_, one), (_, other)| one.felt.total_cmp(&other.felt))
            .unwrap_or((0.0, &self.ours))
    }
}

/// The rule that aims at a rate of false verdicts: a silence is given what the link's own silences reach less than
/// once in 30 days.
#[derive(Clone, Debug)]
pub(crate) struct FormerRule {
    learner: Learner,
    /// The probability that it aims at.
    rare: f64,
    interval: f64,
    known_until: f64,
}

/// It is never surer than that of what a silence is, and never waits for longer.
const FORMER_PATIENCE: [f64; 2] = [0.3, 10.0];

/// A silence that ended so much later than it was given was an outage to it.
const FORMER_SWITCH_COST: f64 = 2.0;

/// Between two probes of a silence, and until one is missed.
const DENSE: f64 = 0.05;

impl FormerRule {
    pub(crate) fn new(demand: Demand) -> Self {
        Self {
            learner: Learner::default(),
            rare: (-demand.threshold()).exp(),
            interval: demand.interval.as_secs_f64(),
            known_until: 0.0,
        }
    }

    /// The age at which it moves: the verdict falls when the probe is missed that was sent at the end of its patience.
    fn leaves_at(&self) -> f64 {
        self.patience() + DENSE
    }

    fn patience(&self) -> f64 {
        let [least, most] = FORMER_PATIENCE;
        let patience = self.learner.process().patience(self.rare);
        patience.as_secs_f64().clamp(least, most)
    }

    fn learn(&mut self, silence: &Silence) {
        let Some(known) = silence.known() else {
            return;
        };
        while self.known_until + self.interval < silence.began {
            self.known_until += self.interval;
            self.learner.answered();
        }
        self.known_until = silence.ended;
        if known > self.patience() + FORMER_SWITCH_COST {
            return;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "some hundreds"
        )]
        let losses = 1 + (known / DENSE) as u32;
        self.learner.ended(MissedRun {
            at_least: Duration::from_secs_f64((known - DENSE).max(0.0)),
            at_most: Duration::from_secs_f64(known.max(0.0)),
            losses,
            begun_before: Duration::ZERO,
        });
    }
}
