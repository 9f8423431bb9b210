//! A silence that lasts, whatever changes meanwhile: changes of the link void what depended on them, but no
//! sequence of changes puts off a verdict beyond `outage_within`.

use crate::engine::outage::{Demand, Silence};
use crate::engine::round::Round;
use crate::routing::Family;
use crate::units::Moment;

/// So many rounds at least, of which a lasting silence is an outage.
const LEAST_ROUNDS: usize = 3;

/// Rounds that are further apart than this share of `outage_within` say nothing about the time between.
const APART_SHARE: u32 = 3;

/// Nothing has answered since it began, by this way or another.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastingSilence {
    /// When the last probe before it was answered, or at the earliest a steady probe before its first round.
    began: Moment,
    /// When the last round of it was sent.
    last: Moment,
    /// Rounds that were not answered, those included that a change made void.
    rounds: usize,
    /// When each family was first missed.
    missed_by: [Option<Moment>; Family::ROUTED.len()],
}

impl LastingSilence {
    /// What was sent then is not answered either. `before`: the silence so far. `heard`: the last that was answered.
    pub(super) fn with(
        before: Option<Self>,
        sent: Moment,
        heard: Option<Moment>,
        demand: Demand,
    ) -> Self {
        let most = demand.outage_within / APART_SHARE;
        let kept = before.filter(|kept| sent.since(kept.last) <= most);
        let kept = kept.unwrap_or(Self {
            began: demand.counted_from(heard, sent),
            last: sent,
            rounds: 0,
            missed_by: [None; Family::ROUTED.len()],
        });
        Self {
            last: kept.last.max(sent),
            rounds: kept.rounds + 1,
            ..kept
        }
    }

    /// The families that miss probes of this round.
    pub(super) fn missed(&mut self, round: &Round) {
        for family in Family::ROUTED {
            if round.misses(family) {
                self.missed_by[family as usize].get_or_insert(round.sent);
            }
        }
    }

    /// What the family missed is of another way. When another family was first missed.
    pub(super) fn withdraw(&mut self, family: Family) -> Option<Moment> {
        self.missed_by[family as usize] = None;
        self.missed_by.into_iter().flatten().min()
    }

    /// It, if it has lasted for too long.
    pub(super) fn verdict(&self, now: Moment, demand: Demand) -> Option<Silence> {
        let (lasts, rounds) = (now.since(self.began), self.rounds);
        let is_too_long = lasts >= demand.outage_within && rounds >= LEAST_ROUNDS;
        is_too_long.then_some(Silence { lasts, rounds })
    }

    /// When it is to be judged.
    pub(super) fn judged_at(&self, demand: Demand) -> Moment {
        self.began + demand.outage_within
    }
}
