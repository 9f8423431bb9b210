//! What the probes of a metered uplink may cost, and what has been spent.

use std::time::Duration;

use super::places::Places;
use crate::engine::budget::{self, Budget, Plan, Purpose, cost};
use crate::engine::settings::{ProbeSettings, UplinkSettings};
use crate::engine::status::BudgetStatus;
use crate::engine::wording::tenths;
use crate::units::{Bytes, Moment, Target};

/// While traffic flows a probe says nothing new; but noise may look like traffic, so not more than so
/// many in a row are saved.
const MOST_SAVED: u32 = 4;

/// The purse of one uplink.
#[derive(Clone, Debug)]
pub struct Purse {
    limit: Bytes,
    budget: Budget,
    plan: Plan,
    spent: u64,
    /// Probes in a row that traffic made unnecessary.
    saved: u32,
}

/// Targets to ask: those whose answers count, and those that are only retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RoundTargets {
    pub(super) counting: Places,
    pub(super) retried: Places,
}

impl RoundTargets {
    pub(super) fn len(self) -> usize {
        self.counting.len() + self.retried.len()
    }

    pub(super) fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// One fewer; those that are only retried go first.
    fn without_last(self) -> Self {
        if self.retried.is_empty() {
            Self {
                counting: self.counting.without_last(),
                ..self
            }
        } else {
            Self {
                retried: self.retried.without_last(),
                ..self
            }
        }
    }
}

impl Purse {
    pub(super) fn of(settings: &UplinkSettings, now: Moment) -> Option<Box<Self>> {
        let (limit, plan) = (settings.probe_budget?, budget::plan(settings)?);
        Some(Box::new(Self {
            limit,
            budget: Budget::new(limit, now),
            plan,
            spent: 0,
            saved: 0,
        }))
    }

    /// What is left of `old` under changed settings.
    pub(super) fn adapted(
        old: Option<Box<Self>>,
        settings: &UplinkSettings,
        now: Moment,
    ) -> Option<Box<Self>> {
        let mut new = Self::of(settings, now)?;
        if let Some(old) = old {
            new.budget = old.budget;
            new.budget.adapt(new.limit, now);
            new.spent = old.spent;
        }
        Some(new)
    }

    /// What an earlier run left.
    pub fn recall(&mut self, left: Bytes) {
        self.budget.recall(left);
    }

    /// What a later run may spend.
    pub fn keep(&mut self) -> Bytes {
        self.budget.keep()
    }

    /// So much is spent that it should be written down.
    pub fn is_unkept(&self) -> bool {
        self.budget.is_unkept()
    }

    /// The time between two probes while nothing is wrong.
    pub(super) fn every(&self) -> Duration {
        self.plan.every
    }

    /// There is enough for a question of quality.
    pub(super) fn has_plenty(&self) -> bool {
        self.budget.is_enough(Purpose::Quality)
    }

    /// A probe is due; whether traffic that flows makes it unnecessary.
    pub(super) fn saves_a_probe(&mut self, is_flowing: bool) -> bool {
        let saves = is_flowing && self.saved < MOST_SAVED;
        self.saved = if saves { self.saved + 1 } else { 0 };
        saves
    }

    /// Pays for a round: as many of the targets as there is money for, though not fewer than must
    /// answer. If that is too much, when there may be enough.
    pub(super) fn pay(
        &mut self,
        mut chosen: RoundTargets,
        purpose: Purpose,
        probe: &ProbeSettings,
        now: Moment,
    ) -> Result<RoundTargets, Moment> {
        let price = |chosen: RoundTargets| -> u64 {
            let places = chosen.counting.iter().chain(chosen.retried.iter());
            places.map(|place| cost(&probe.targets[place], probe)).sum()
        };
        let available = self.budget.available(purpose, now);
        while chosen.len() > probe.quorum && price(chosen) > available {
            chosen = chosen.without_last();
        }
        let price = price(chosen);
        if price > available {
            return Err(self.budget.ready(price, purpose, now));
        }
        self.spend(price);
        Ok(chosen)
    }

    /// There is so much to spare for what is no question of an outage.
    pub fn spares(&self, price: u64, now: Moment) -> bool {
        let mut budget = self.budget;
        budget.available(Purpose::Quality, now) >= price
    }

    /// Pays for what was sent.
    pub fn spend(&mut self, price: u64) {
        self.budget.spend(price);
        self.spent += price;
    }

    /// Pays for a probe that is sent whatever is left.
    pub(super) fn charge(&mut self, target: &Target, probe: &ProbeSettings) {
        self.spend(cost(target, probe));
    }

    pub(super) fn status(&self) -> BudgetStatus {
        BudgetStatus {
            limit_bytes: self.limit,
            left_bytes: self.budget.left(),
            spent_bytes: Bytes(self.spent),
            interval_seconds: tenths(self.plan.every.as_secs_f64()),
            suspected_within_seconds: tenths(self.plan.suspected_within.as_secs_f64()),
        }
    }
}
