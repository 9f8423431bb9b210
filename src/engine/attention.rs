//! How closely each uplink is watched, and with whose wake-ups.

use crate::engine::Engine;
use crate::engine::election::Fitness;
use crate::engine::schedule::{Doubt, Need};
use crate::engine::settings::{Failback, FailoverSettings, Policy};
use crate::engine::uplink::Uplink;
use crate::units::{Moment, UplinkName};

impl Engine {
    /// Tells each uplink how much depends on it, if that may have changed.
    pub(super) fn attend(&mut self, is_stale: bool, now: Moment) {
        let carrying = self.uplinks.iter().filter(|uplink| uplink.is_carrying());
        let doubt = carrying.map(Uplink::doubt).max().unwrap_or(Doubt::None);
        let has_changed = doubt != std::mem::replace(&mut self.doubt, doubt);
        if !is_stale && !has_changed {
            return;
        }
        let leader = self.carrier().and_then(|leader| self.find(leader).ok());
        let needs: Vec<_> = self.uplinks.iter().map(|u| self.need(u, leader)).collect();
        for (uplink, need) in self.uplinks.iter_mut().zip(needs) {
            uplink.set_need(need, now);
        }
    }

    fn need(&self, uplink: &Uplink, leader: Option<&Uplink>) -> Need {
        let Some(leader) = leader.filter(|_| !uplink.is_carrying()) else {
            return Need::Watched;
        };
        let is_leader_well = self.candidate(leader).fitness() == Fitness::Good;
        if !is_leader_well {
            Need::Watched
        } else if self.doubt >= worth_a_call(uplink) {
            Need::Called
        } else if self.may_take_over(uplink, leader) {
            Need::Watched
        } else {
            Need::Standby
        }
    }

    /// The traffic may go there although it is well where it is.
    fn may_take_over(&self, uplink: &Uplink, leader: &Uplink) -> bool {
        let FailoverSettings {
            failback, policy, ..
        } = self.settings.failover;
        let is_usable = uplink.candidate().fitness() > Fitness::Unusable;
        let is_preferred = uplink.settings().tier < leader.settings().tier
            || self.chosen.as_ref() == Some(&uplink.settings().name);
        let is_rival = policy == Policy::Best && uplink.settings().tier == leader.settings().tier;
        is_usable && failback == Failback::Auto && (is_preferred || is_rival)
    }

    /// The preferred uplinks that are not chosen because they miss probes at the moment must win
    /// their way back like those that were down.
    pub(super) fn pass_over(&mut self, to: &UplinkName, now: Moment) {
        let candidates = self.candidates();
        let Some(chosen) = candidates.iter().find(|candidate| candidate.name == to) else {
            return;
        };
        let passed_over: Vec<_> = candidates
            .iter()
            .map(|candidate| candidate.is_passed_over_for(chosen))
            .collect();
        for (uplink, _) in self
            .uplinks
            .iter_mut()
            .zip(passed_over)
            .filter(|(_, is)| *is)
        {
            uplink.pass_over(now);
        }
    }

    /// On a small router a wake-up costs more than a probe: when one uplink's steady round is due,
    /// those of the others that are due soon go along. Returns the one that leads.
    pub(super) fn share_the_wake(&mut self, now: Moment) -> Option<usize> {
        let mut uplinks = self.uplinks.iter();
        let leader = uplinks.position(|uplink| uplink.has_steady_round(now))?;
        let intervals = self.settings.uplinks.iter().map(|u| u.probe.interval);
        let soon = now + intervals.min().unwrap_or_default() / 2;
        for uplink in &mut self.uplinks {
            if uplink.has_steady_round(soon) {
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
