//! The rules of other programs, written from their description, each with the best threshold: the lowest
//! with no more false verdicts than allowed, on the link that it is tried on, at our rate of probes.
//!
//! A rule turns outcomes into a level. The threshold is a verdict; the next verdict can come once the
//! level has fallen to a quarter of it, as in ours (20 % in, 5 % out).

use crate::chance::Chance;
use crate::link::{Link, Process, Trouble};
use crate::ours::Delays;

/// After so many seconds without an answer a probe is missed, as with an adaptive time limit.
const MISSED_AFTER: f64 = 0.15;

/// Levels of the running mean: -ln(1 - mean) in steps of a fiftieth.
const STEPS: f64 = 50.0;

/// A rule and its state.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    /// keepalived, foolsm, HAproxy: misses in a row.
    Row { misses: usize },
    /// dpinger and others: misses among the last probes.
    Window {
        last: Vec<bool>,
        next: usize,
        misses: usize,
    },
    /// The exponentially weighted mean loss.
    Mean { weight: f64, mean: f64 },
    /// mwan3: rounds in a row in which no target answers; probed one after another.
    Rounds { failed: usize, probed: usize },
}

/// A rule in its first state, and its name.
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) rule: Rule,
}

/// Every rule at some probe interval.
pub(crate) fn rules(interval: f64) -> Vec<Named> {
    let named = |name: String, rule| Named { name, rule };
    let mut rules = vec![
        named("k in a row".to_owned(), Rule::Row { misses: 0 }),
        named(
            "mwan3 counter".to_owned(),
            Rule::Rounds {
                failed: 0,
                probed: 0,
            },
        ),
    ];
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some hundreds"
    )]
    let minute = (60.0 / interval).round().max(1.0) as usize;
    rules.push(named("dpinger: share of 60 s".to_owned(), window(minute)));
    for length in [3, 5, 8, 12, 20, 40, 80, 160] {
        rules.push(named(format!("k of {length}"), window(length)));
    }
    for shift in [1, 2, 3, 4, 5] {
        let weight = 0.5_f64.powi(shift);
        rules.push(named(
            format!("mean, weight 1/{}", 1 << shift),
            Rule::Mean { weight, mean: 0.0 },
        ));
    }
    rules
}

fn window(length: usize) -> Rule {
    Rule::Window {
        last: vec![false; length],
        next: 0,
        misses: 0,
    }
}

impl Rule {
    /// The level after an outcome.
    fn observe(&mut self, is_missed: bool) -> usize {
        match self {
            Self::Row { misses } => {
                *misses = if is_missed { *misses + 1 } else { 0 };
                *misses
            }
            Self::Window { last, next, misses } => {
                let forgotten = std::mem::replace(&mut last[*next], is_missed);
                *next = (*next + 1) % last.len();
                *misses = *misses + usize::from(is_missed) - usize::from(forgotten);
                *misses
            }
            Self::Mean { weight, mean } => {
                *mean += *weight * (f64::from(u8::from(is_missed)) - *mean);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "the mean stays below 1 by more than 1e-9"
                )]
                let level = (-(1.0 - mean.min(1.0 - 1e-9)).ln() * STEPS) as usize;
                level
            }
            Self::Rounds { failed, probed } => {
                if !is_missed {
                    (*failed, *probed) = (0, 0);
                } else if *probed + 1 < TARGETS {
                    *probed += 1;
                } else {
                    *failed += 1;
                    *probed = 0;
                }
                *failed
            }
        }
    }

    /// When the next probe goes out after one that was sent `at`.
    fn next(&self, at: f64, interval: f64) -> f64 {
        match self {
            Self::Rounds { probed, .. } if *probed > 0 => at + MISSED_AFTER,
            Self::Rounds { .. } | Self::Row { .. } | Self::Window { .. } | Self::Mean { .. } => {
                at + interval
            }
        }
    }
}

/// The targets of a round of mwan3.
const TARGETS: usize = 3;

/// A link, a rule and the time.
#[derive(Clone)]
struct Watch {
    rule: Rule,
    link: Link,
    interval: f64,
    at: f64,
    turn: u8,
}

impl Watch {
    fn new(rule: Rule, process: Process, interval: f64, seed: u64) -> Self {
        Self {
            rule,
            link: Link::new(process, 0.012, seed),
            interval,
            at: 0.0,
            turn: 0,
        }
    }

    fn probe(&mut self) -> usize {
        self.turn = (self.turn + 1) % 3;
        let answer = self.link.answer(self.turn, self.at);
        let is_missed = answer.is_none_or(|rtt| rtt > MISSED_AFTER);
        let level = self.rule.observe(is_missed);
        self.at = self.rule.next(self.at, self.interval);
        level
    }

    fn pass(&mut self, span: f64) {
        let end = self.at + span;
        while self.at < end {
            self.probe();
        }
    }

    /// How long it takes to a verdict if `trouble` begins now, some time before the next probe.
    fn delay(&self, trouble: Trouble, threshold: usize, chance: &mut Chance) -> f64 {
        let mut watch = self.clone();
        let begin = watch.at - chance.unit() * watch.interval;
        watch.link.trouble = trouble;
        while watch.at - begin < 3600.0 {
            let sent = watch.at;
            if watch.probe() >= threshold {
                return sent + MISSED_AFTER - begin;
            }
        }
        f64::INFINITY
    }
}

/// Where chance begins for the days that rules are tuned on.
pub(crate) const PEERS_SEED: u64 = 2;

/// A threshold whose false verdicts stand for more than this part of the time is of no use, however
/// few they are.
const STANDS_AT_MOST: u64 = 100;

/// How many false verdicts each threshold makes, and for how long they stand.
pub(crate) struct Alarms {
    thresholds: Vec<Alarm>,
    level: usize,
    observed: u64,
}

/// What one threshold does.
#[derive(Clone, Copy, Debug, Default)]
struct Alarm {
    count: u32,
    /// In outcomes.
    stood: u64,
    /// Since which outcome a verdict stands.
    since: Option<u64>,
}

impl Alarms {
    /// Of `rule` on a link of that kind for so many days.
    pub(crate) fn of(rule: &Rule, process: Process, interval: f64, days: u32) -> Self {
        let mut watch = Watch::new(rule.clone(), process, interval, PEERS_SEED);
        watch.pass(3600.0);
        let mut alarms = Self {
            thresholds: Vec::new(),
            level: 0,
            observed: 0,
        };
        let end = watch.at + f64::from(days) * 86_400.0;
        while watch.at < end {
            alarms.observe(watch.probe());
        }
        alarms.observe(0);
        alarms
    }

    fn observe(&mut self, level: usize) {
        self.observed += 1;
        if level >= self.thresholds.len() {
            self.thresholds.resize(level + 1, Alarm::default());
        }
        for alarm in self
            .thresholds
            .iter_mut()
            .take(level + 1)
            .skip(self.level + 1)
        {
            if alarm.since.is_none() {
                alarm.count += 1;
                alarm.since = Some(self.observed);
            }
        }
        if level < self.level {
            let rearmed = self.thresholds.iter_mut().take(self.level * 4);
            for alarm in rearmed.skip(level * 4) {
                let stood = alarm.since.take().map(|since| self.observed - since);
                alarm.stood += stood.unwrap_or(0);
            }
        }
        self.level = level;
    }

    /// The lowest threshold with at most so many false verdicts.
    pub(crate) fn threshold(&self, allowed: u32) -> usize {
        self.counts()
            .find(|(_, count)| *count <= allowed)
            .map_or(self.thresholds.len(), |(threshold, _)| threshold)
    }

    /// Thresholds that are of use, lowest first, and their false verdicts.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (usize, u32)> {
        let most = self.observed / STANDS_AT_MOST;
        let thresholds = self.thresholds.iter().enumerate().skip(1);
        thresholds
            .filter(move |(_, alarm)| alarm.stood <= most)
            .map(|(threshold, alarm)| (threshold, alarm.count))
    }
}

/// The delays of a rule at a threshold.
pub(crate) struct Trial {
    pub(crate) process: Process,
    pub(crate) interval: f64,
    pub(crate) threshold: usize,
    pub(crate) count: u32,
}

impl Trial {
    /// After `trouble` begins.
    pub(crate) fn delays(&self, rule: &Rule, trouble: Trouble) -> Delays {
        let mut watch = Watch::new(rule.clone(), self.process, self.interval, 3);
        watch.pass(3600.0);
        let mut chance = Chance::new(7);
        let delays = (0..self.count).map(|_| {
            watch.pass(chance.between(20.0, 60.0));
            watch.delay(trouble, self.threshold, &mut chance)
        });
        Delays::new(delays.collect())
    }
}
