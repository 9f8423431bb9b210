//! Who is better for long: the policy `best` among the uplinks of one tier.
//!
//! Scores are noisy, even those of minutes that are compared here: a lost probe in a hundred costs a
//! clean link three points.
//! A rival of the uplink that carries the traffic therefore collects its advantage over time, point by
//! second, less the margin, and never below nothing (CUSUM; Page 1954). It has won when it has
//! collected `margin` for `after`: with twice the margin that takes `after`, with less than the
//! margin for ever, and with a great advantage less. What our own traffic does to a link that it fills
//! is not counted.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::election::{Candidate, Fitness};
use crate::engine::settings::BestSettings;
use crate::units::{Moment, Score, UplinkName};

/// The time between two looks at the scores, at least.
const STRIDE: Duration = Duration::from_secs(1);

/// And what counts of it at most: if nobody has looked for longer, nobody knows.
const LONGEST_STRIDE: Duration = Duration::from_secs(10);

/// The lead of each rival.
#[derive(Clone, Debug, Default)]
pub struct Contest {
    holder: Option<UplinkName>,
    seen: Moment,
    /// In points times seconds.
    leads: BTreeMap<UplinkName, f64>,
}

impl Contest {
    /// It is time to look at the scores again.
    pub fn is_due(&self, now: Moment) -> bool {
        now.since(self.seen) >= STRIDE
    }

    /// Takes the scores of now. True if somebody has won.
    pub fn observe(
        &mut self,
        candidates: &[Candidate<'_>],
        holder: &UplinkName,
        best: BestSettings,
        now: Moment,
    ) -> bool {
        if self.holder.as_ref() != Some(holder) {
            self.holder = Some(holder.clone());
            self.leads.clear();
        }
        let stride = now.since(self.seen).min(LONGEST_STRIDE).as_secs_f64();
        self.seen = now;
        let held = candidates.iter().find(|candidate| candidate.name == holder);
        let Some(held) = held else {
            return false;
        };
        for candidate in candidates.iter().filter(|c| c.is_rival_of(held)) {
            if let (Some(score), Some(to_beat)) = (candidate.score, held.score) {
                let lead = self.leads.entry(candidate.name.clone()).or_default();
                let beyond = points(score) - points(to_beat) - points(best.margin);
                *lead = (*lead + beyond * stride).clamp(0.0, needed(best));
            }
        }
        let is_rival = |name: &UplinkName| {
            let mut rivals = candidates.iter().filter(|c| c.is_rival_of(held));
            rivals.any(|rival| rival.name == name)
        };
        self.leads.retain(|name, _| is_rival(name));
        self.leads.values().any(|lead| *lead >= needed(best))
    }

    /// This one was better for long, and is now.
    pub fn is_won_by(&self, name: &UplinkName, best: BestSettings) -> bool {
        let lead = self.leads.get(name);
        lead.is_some_and(|lead| *lead >= needed(best))
    }
}

impl Candidate<'_> {
    fn is_rival_of(&self, holder: &Self) -> bool {
        self.name != holder.name && self.tier == holder.tier && self.fitness() == Fitness::Good
    }
}

fn needed(best: BestSettings) -> f64 {
    points(best.margin) * best.after.as_secs_f64()
}

fn points(score: Score) -> f64 {
    f64::from(score.0)
}
