//! How closely each uplink is watched, and with whose wake-ups.

use crate::engine::election::Fitness;
use crate::engine::group::{Group, find};
use crate::engine::schedule::{Doubt, Need};
use crate::engine::settings::{Failback, Policy};
use crate::engine::uplink::Uplink;
use crate::engine::{Engine, REST};
use crate::units::{Moment, Tier};

impl Engine {
    /// Tells each uplink how much depends on it, if that may have changed.
    pub(super) fn attend(&mut self, is_stale: bool, now: Moment) {
        let carrying = self.uplinks.iter().filter(|uplink| uplink.is_carrying());
        let doubt = carrying.map(Uplink::doubt).max().unwrap_or(Doubt::None);
        let has_changed = doubt != std::mem::replace(&mut self.doubt, doubt);
        if !is_stale && !has_changed {
            return;
        }
        let needs: Vec<_> = self.uplinks.iter().map(|u| self.need(u)).collect();
        for (uplink, need) in self.uplinks.iter_mut().zip(needs) {
            uplink.set_need(need, now);
        }
    }

    /// The most that any group needs it.
    fn need(&self, uplink: &Uplink) -> Need {
        if uplink.is_carrying() {
            return Need::Watched;
        }
        let own = self.groups.iter().filter_map(|group| {
            let tier = group.tier_of(uplink)?;
            Some(self.need_of(group, uplink, tier))
        });
        own.max().unwrap_or_default()
    }

    fn need_of(&self, group: &Group, uplink: &Uplink, tier: Tier) -> Need {
        // One that goes with the rest is as well off as that, and wants its own back.
        let (leader, held) = match group.leader() {
            Some(leader) => (leader, Some(group)),
            None => match self.carrier() {
                Some(leader) => (leader, None),
                None => return Need::Watched,
            },
        };
        let Some(leader) = find(&self.uplinks, leader) else {
            return Need::Watched;
        };
        let held = held
            .unwrap_or(&self.groups[REST])
            .candidate(leader, &self.flaps);
        let is_leader_well = held.is_some_and(|held| held.fitness() == Fitness::Good);
        let leader_tier = group.tier_of(leader).filter(|_| group.leader().is_some());
        if !is_leader_well {
            Need::Watched
        } else if self.doubt >= worth_a_call(uplink) {
            Need::Called
        } else if self.may_take_over(group, uplink, tier, leader_tier) {
            Need::Watched
        } else {
            Need::Standby
        }
    }

    /// The traffic may go there although it is well where it is, with a leader of another group or
    /// of this tier.
    fn may_take_over(
        &self,
        group: &Group,
        uplink: &Uplink,
        tier: Tier,
        leader_tier: Option<Tier>,
    ) -> bool {
        let is_usable = uplink.candidate().fitness() > Fitness::Unusable;
        let is_preferred = leader_tier.is_none_or(|leader| tier < leader)
            || group.chosen() == Some(&uplink.settings().name);
        let is_equal = leader_tier == Some(tier);
        let is_rival = match group.policy() {
            Policy::Best | Policy::Balance => is_equal,
            Policy::Failover => false,
        };
        let failback = self.settings.failover.failback;
        is_usable && failback == Failback::Auto && (is_preferred || is_rival)
    }

    /// On a small router a wake-up costs more than a probe: when one uplink's steady round is due,
    /// those of the others that are due soon go along. Returns the one that leads.
    pub(super) fn share_the_wake(&mut self, now: Moment) -> Option<usize> {
        let mut uplinks = self.uplinks.iter();
        let leader = uplinks.position(|uplink| uplink.has_steady_round(now))?;
        let intervals = self.settings.uplinks.iter().map(|u| u.probe.interval);
        let soon = now + intervals.min().unwrap_or_default() / 2;
        for uplink in &mut self.uplinks {
            let is_due = uplink.next_round().is_some_and(|at| at <= now);
            if !is_due && uplink.has_steady_round(soon) {
                uplink.probe_at(now);
            }
        }
        Some(leader)
    }

    /// Uplinks of one interval go along from then on, and a slow round goes with the steady one that
    /// is nearest to it.
    pub(super) fn keep_step_with(&mut self, leader: Option<usize>) {
        let Some(leader) = leader.map(|place| &self.uplinks[place]) else {
            return;
        };
        let interval = leader.settings().probe.interval;
        let Some(next) = leader.next_round() else {
            return;
        };
        for uplink in &mut self.uplinks {
            let is_alike = uplink.settings().probe.interval == interval;
            let goes_along = (is_alike && uplink.has_steady_round(next + interval))
                || uplink.has_slow_round(next + interval / 2);
            if goes_along {
                uplink.probe_at(next);
            }
        }
    }
}

/// Most slight doubts are over with the next answer, and asking costs money where it is metered.
fn worth_a_call(uplink: &Uplink) -> Doubt {
    if uplink.settings().probe_budget.is_some() {
        Doubt::Grave
    } else {
        Doubt::Slight
    }
}
