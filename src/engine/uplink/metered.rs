//! The probes of a metered uplink: which are sent, and what they may cost.

use std::time::Duration;

use super::places::Places;
use super::{Phase, Uplink};
use crate::engine::budget::{self, Budget, Plan, Purpose, cost};
use crate::engine::schedule::{Breadth, Need, Pace};
use crate::engine::settings::UplinkSettings;
use crate::engine::status::BudgetStatus;
use crate::engine::timer::Timer;
use crate::engine::wording::tenths;
use crate::units::{Bytes, Moment};

/// While traffic flows a probe says nothing new; but noise may look like traffic, so not more than so
/// many in a row are saved.
const MOST_SAVED: u32 = 4;

/// Of the silence so far, what passes until the next round of a verdict.
const SILENCE_SHARE: u32 = 5;

/// The purse of one uplink.
#[derive(Clone, Debug)]
pub(super) struct Metered {
    limit: Bytes,
    budget: Budget,
    plan: Plan,
    spent: u64,
    /// Probes in a row that traffic made unnecessary.
    saved: u32,
}

impl Metered {
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

impl Uplink {
    /// What an earlier run left of its budget.
    pub fn recall_budget(&mut self, left: Bytes) {
        if let Some(metered) = &mut self.budget {
            metered.budget.recall(left);
        }
    }

    /// What a later run may spend.
    pub fn keep_budget(&mut self) -> Option<Bytes> {
        let metered = self.budget.as_mut()?;
        Some(metered.budget.keep())
    }

    /// It has spent so much that it should be written down.
    pub fn has_spent(&self) -> bool {
        let metered = self.budget.as_ref();
        metered.is_some_and(|metered| metered.budget.is_unkept())
    }

    pub(super) fn is_metered(&self) -> bool {
        self.budget.is_some()
    }

    /// The pace that it can afford instead of `pace`.
    ///
    /// Whether a standby is dead has time until it is needed, and so has a question of quality; the
    /// way back is slow for a dead one anyway. A witness that is summoned answers for all others.
    pub(super) fn afford(&self, pace: Pace, now: Moment) -> Pace {
        let Some(metered) = self.budget.as_ref().filter(|_| self.summoned == 0) else {
            return pace;
        };
        let is_at_stake = self.is_carrying || self.call.is_due() || self.need == Need::Called;
        let may_be_dead = self.may_be_dead();
        let has_plenty = metered.budget.is_enough(Purpose::Quality);
        match (self.standing, pace) {
            (Phase::Down | Phase::Absent | Phase::Cold, _) => Pace::BackOff {
                age: now.since(self.awaited_since),
            },
            (Phase::Recovering { .. }, Pace::Confirm) if !is_at_stake => Pace::Brisk,
            (Phase::Up | Phase::Degraded, Pace::Confirm) if may_be_dead && !is_at_stake => {
                Pace::Brisk
            }
            (Phase::Degraded, Pace::Brisk) => Pace::Steady,
            (Phase::Up | Phase::Degraded, Pace::Confirm | Pace::Brisk)
                if !may_be_dead && !self.call.is_due() =>
            {
                if has_plenty {
                    Pace::Brisk
                } else {
                    Pace::Steady
                }
            }
            (Phase::Unknown | Phase::Up | Phase::Degraded | Phase::Recovering { .. }, pace) => pace,
        }
    }

    /// The time until the next round at this pace.
    pub(super) fn spacing(&self, pace: Pace, now: Moment) -> Duration {
        let spacing = pace.spacing(&self.settings.probe);
        let Some(metered) = &self.budget else {
            return spacing;
        };
        let plan = &metered.plan;
        match pace {
            Pace::Standby | Pace::Steady => spacing.max(plan.every),
            Pace::BackOff { age } if age >= plan.every * 10 => plan.every,
            Pace::BackOff { .. } => spacing.min(plan.every),
            Pace::Brisk => spacing,
            Pace::Confirm => self.confirm_spacing(self.silence(now).unwrap_or_default()),
        }
    }

    /// The time between two rounds of a verdict, after so long a silence.
    pub(super) fn confirm_spacing(&self, silence: Duration) -> Duration {
        let spacing = Pace::Confirm.spacing(&self.settings.probe);
        if self.budget.is_none() {
            return spacing;
        }
        let most = self.settings.probe.interval.max(spacing);
        (silence / SILENCE_SHARE).clamp(spacing, most)
    }

    /// The time between two rounds while nothing speaks against it.
    pub(super) fn routine_spacing(&self) -> Duration {
        let spacing = self.unhurried().spacing(&self.settings.probe);
        let budget = self.budget.as_ref();
        budget.map_or(spacing, |metered| spacing.max(metered.plan.every))
    }

    /// How many targets the next round asks. Where it is metered, a verdict asks all of them once:
    /// from then on it is the length of the silence that speaks.
    pub(super) fn breadth(&self, pace: Pace, now: Moment) -> Breadth {
        let silence = self.silence(now).filter(|_| self.is_metered());
        let has_asked_all = silence.is_some_and(|silence| {
            let rounds = self.rounds.iter().rev();
            let mut since = rounds.take_while(|round| now.since(round.sent) < silence);
            since.any(|round| round.probes.len() > self.settings.probe.quorum)
        });
        if has_asked_all {
            Breadth::Turn
        } else {
            pace.breadth()
        }
    }

    /// For how long nothing has been answered, from the first missed round on.
    fn silence(&self, now: Moment) -> Option<Duration> {
        let since = self.outage.suspected_since()?;
        Some(now.since(since))
    }

    /// Traffic shows what a routine probe would.
    pub(super) fn saves_a_probe(&mut self, now: Moment) -> bool {
        let is_routine = self.standing == Phase::Up && self.pace(now) == Pace::Steady;
        let is_flowing = is_routine && self.is_carrying && self.passive.is_flowing(now);
        let Some(metered) = &mut self.budget else {
            return false;
        };
        let saves = is_flowing && metered.saved < MOST_SAVED;
        metered.saved = if saves { metered.saved + 1 } else { 0 };
        saves
    }

    /// Pays for a round: as many of the targets as there is money for, those that are only retried
    /// last, though not fewer than must answer. Nothing if that is too much, and then another try is
    /// made when there may be enough.
    pub(super) fn pay(
        &mut self,
        (mut chosen, mut retried): (Places, Places),
        pace: Pace,
        now: Moment,
    ) -> Option<(Places, Places)> {
        let purpose = self.purpose(pace);
        let probe = &self.settings.probe;
        let Some(metered) = &mut self.budget else {
            return Some((chosen, retried));
        };
        let price = |places: Places| -> u64 {
            let costs = places
                .iter()
                .map(|place| cost(&probe.targets[place], probe));
            costs.sum()
        };
        let available = metered.budget.available(purpose, now);
        while chosen.len() + retried.len() > probe.quorum
            && price(chosen) + price(retried) > available
        {
            if retried.is_empty() {
                chosen = chosen.without_last();
            } else {
                retried = retried.without_last();
            }
        }
        let price = price(chosen) + price(retried);
        if price <= available {
            metered.budget.spend(price);
            metered.spent += price;
            return Some((chosen, retried));
        }
        let again = metered.budget.ready(price, purpose, now);
        self.timers.set(Timer::Round, again);
        None
    }

    fn may_be_dead(&self) -> bool {
        self.is_suspected() || self.outage.is_traffic_silent()
    }

    fn purpose(&self, pace: Pace) -> Purpose {
        match pace {
            Pace::Confirm => Purpose::Verdict,
            Pace::Brisk if self.standing == Phase::Up && !self.may_be_dead() => Purpose::Quality,
            Pace::Standby | Pace::BackOff { .. } | Pace::Steady | Pace::Brisk => Purpose::Routine,
        }
    }
}
