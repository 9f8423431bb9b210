//! The policy `best` among the uplinks of one tier: which one has been better for long.
//!
//! Scores are noisy, even those of minutes that are compared here: a lost probe in a hundred costs a
//! clean link three points.
//! A rival of the uplink that carries the traffic therefore collects its advantage over time, point by
//! second, less the margin, and never below nothing (CUSUM; Page 1954). It has won when it has
//! collected `margin` for `after`: with twice the margin that takes `after`, with less than the
//! margin for ever, and with a great advantage less. What our own traffic does to a link that it fills
//! is not counted.

use std::time::Duration;

use crate::engine::candidate::{Candidate, Fitness};
use crate::engine::ids::UplinkId;
use crate::engine::settings::BestSettings;
use crate::units::sorted::SortedMap;
use crate::units::{Moment, Score};

/// The time between two looks at the scores, at least.
const STRIDE: Duration = Duration::from_secs(1);

/// What counts of it at most: of a longer time nothing is known.
const LONGEST_STRIDE: Duration = Duration::from_secs(10);

/// The lead of each rival of the uplink that carries the traffic.
#[derive(Clone, Debug, Default)]
pub struct BestPolicy {
    holder: Option<UplinkId>,
    seen: Moment,
    /// In points times seconds.
    leads: SortedMap<UplinkId, f64>,
}

impl BestPolicy {
    /// It is time to look at the scores again.
    pub fn is_due(&self, now: Moment) -> bool {
        now.since(self.seen) >= STRIDE
    }

    /// Takes the scores of now. True if a rival has won.
    pub fn observe(
        &mut self,
        candidates: &[Candidate<'_>],
        holder: UplinkId,
        best: BestSettings,
        now: Moment,
    ) -> bool {
        if self.holder != Some(holder) {
            self.holder = Some(holder);
            self.leads.clear();
        }
        let stride = now.since(self.seen).min(LONGEST_STRIDE).as_secs_f64();
        self.seen = now;
        let held = candidates.iter().find(|candidate| candidate.id == holder);
        let Some(held) = held else {
            return false;
        };
        for candidate in candidates.iter().filter(|c| c.is_rival_of(held)) {
            if let (Some(score), Some(to_beat)) = (candidate.score, held.score) {
                let lead = self.leads.entry(candidate.id).or_default();
                let beyond = points(score) - points(to_beat) - points(best.margin);
                *lead = (*lead + beyond * stride).clamp(0.0, needed(best));
            }
        }
        let rivals = candidates.iter().filter(|c| c.is_rival_of(held));
        let rivals: Vec<_> = rivals.map(|rival| rival.id).collect();
        self.leads.retain(|id, _| rivals.contains(id));
        self.leads.values().any(|lead| *lead >= needed(best))
    }

    /// This one was better for long, and is now.
    pub fn is_won_by(&self, id: UplinkId, best: BestSettings) -> bool {
        let lead = self.leads.get(&id);
        lead.is_some_and(|lead| *lead >= needed(best))
    }

    /// The uplinks have other places now, or none.
    #[must_use]
    pub fn renumbered(self, new_id: impl Fn(UplinkId) -> Option<UplinkId>) -> Self {
        let leads = self.leads.into_iter();
        Self {
            holder: self.holder.and_then(&new_id),
            leads: leads
                .filter_map(|(id, lead)| Some((new_id(id)?, lead)))
                .collect(),
            ..self
        }
    }
}

impl Candidate<'_> {
    fn is_rival_of(&self, holder: &Self) -> bool {
        self.id != holder.id && self.tier == holder.tier && self.fitness() == Fitness::Good
    }
}

fn needed(best: BestSettings) -> f64 {
    points(best.margin) * best.after.as_secs_f64()
}

fn points(score: Score) -> f64 {
    f64::from(score.0)
}
