//! Who shares the traffic: the policy `balance`.
//!
//! Each family is led to one uplink, and shared by all others of its tier that are as fit for it, by
//! their weights. Whoever becomes less fit than the one that it is led to is left at once: one that is
//! dead, and one that is degraded while another is well. Whoever is well joins by the rules of failback,
//! at once at the start and after `failback_after` when it has failed. Where all of them are equally
//! unfit nobody is left. What a person chose carries everything alone.

use std::collections::BTreeSet;

use super::families::has_way;
use super::{Around, Group, find};
use crate::engine::common_outage::as_silent_as;
use crate::engine::election::{Candidate, Fitness, Role};
use crate::engine::settings::Policy;
use crate::engine::state::State;
use crate::engine::uplink::Uplink;
use crate::engine::wording::seconds;
use crate::routing::Family;
use crate::units::{Moment, UplinkName};

impl Group {
    /// Who carries a family: the one that it is led to, then those that share it.
    pub(in crate::engine) fn carriers_of(
        &self,
        family: Family,
        uplinks: &[Uplink],
    ) -> Vec<UplinkName> {
        let Some(led_to) = self.carrier_of(family, uplinks) else {
            return Vec::new();
        };
        let sharers = self.sharers.get(&family).into_iter().flatten();
        let others = sharers.filter(|name| *name != led_to && has_way(family, name, uplinks));
        [led_to].into_iter().chain(others).cloned().collect()
    }

    /// What an uplink does for any family beside leading it.
    pub(super) fn role(&self, uplink: &UplinkName) -> Role {
        let mut families = self.sharers.values();
        role(families.any(|sharers| sharers.contains(uplink)))
    }

    pub(super) fn role_in(&self, family: Family, uplink: &UplinkName) -> Role {
        let sharers = self.sharers.get(&family);
        role(sharers.is_some_and(|sharers| sharers.contains(uplink)))
    }

    /// Goes on as an earlier run left a family, once it is known to whom it was led.
    pub(in crate::engine) fn adopt_sharers(&mut self, family: Family, uplinks: Vec<UplinkName>) {
        let is_adopted = self.active.as_ref().is_some_and(|active| active.is_adopted);
        if is_adopted && self.policy == Policy::Balance {
            self.sharers.entry(family).or_default().extend(uplinks);
        }
    }

    /// Decides who shares each family that was carried by those in `before`; says why that changes.
    pub(super) fn share(
        &mut self,
        before: &[(Family, Vec<UplinkName>)],
        around: &Around<'_>,
        now: Moment,
    ) -> Vec<String> {
        let is_shared = self.policy == Policy::Balance;
        let is_by_hand = self.chosen.is_some() && self.chosen.as_ref() == self.leader();
        if !is_shared || is_by_hand {
            let were_shared = std::mem::take(&mut self.sharers).into_values();
            // Without a leader, after a reload, nobody shared anything any more.
            let has_left = self.leader().is_some() && were_shared.flatten().next().is_some();
            let reason = if is_by_hand {
                "chosen by hand".to_owned()
            } else {
                "the traffic is not shared any more".to_owned()
            };
            return has_left.then_some(reason).into_iter().collect();
        }
        let mut reasons: Vec<String> = Vec::new();
        for (family, carriers) in before {
            for reason in self.share_family(*family, carriers, around, now) {
                if !reasons.contains(&reason) {
                    reasons.push(reason);
                }
            }
        }
        reasons
    }

    fn share_family(
        &mut self,
        family: Family,
        before: &[UplinkName],
        around: &Around<'_>,
        now: Moment,
    ) -> Vec<String> {
        let led_to = self.carrier_of(family, around.uplinks).cloned();
        let Some(led_to) = led_to.and_then(|name| find(around.uplinks, &name)) else {
            let is_adopted = self.active.as_ref().is_some_and(|active| active.is_adopted);
            if !is_adopted {
                self.sharers.remove(&family);
            }
            return Vec::new();
        };
        let Some(held) = self.candidate_for(family, led_to, false, around) else {
            return Vec::new();
        };
        // Who was left for another is told of by the election.
        let told = before.first().filter(|first| **first != *held.name);
        let (mut sharers, mut reasons) = (BTreeSet::new(), Vec::new());
        for uplink in &*around.uplinks {
            let candidate = self.candidate_for(family, uplink, false, around);
            let Some(candidate) = candidate.filter(|one| one.name != held.name) else {
                continue;
            };
            // What an earlier run left is kept until it is judged.
            let is_unheard = candidate.state == State::Unknown;
            if is_unheard && candidate.role == Role::Sharing {
                sharers.insert(candidate.name.clone());
                continue;
            }
            let is_in = before.contains(candidate.name);
            let is_fit = candidate.has_path && candidate.tier == held.tier;
            if is_in && is_fit && candidate.fitness() >= held.fitness() {
                sharers.insert(candidate.name.clone());
            } else if is_in && is_fit && is_dead_with(led_to, uplink, around.uplinks) {
                self.is_undecided = true;
                sharers.insert(candidate.name.clone());
            } else if is_in {
                let reason = explain_leaving(&candidate, &held, uplink, family);
                reasons.extend((told != Some(candidate.name)).then_some(reason));
            } else if is_fit
                && candidate.fitness() == Fitness::Good
                && held.fitness() == Fitness::Good
            {
                let terms = self.terms(around);
                match terms.ready(&candidate, now) {
                    Some(ready) if ready <= now => {
                        reasons.push(if terms.is_failback(&candidate) {
                            let well_for = seconds(now.since(candidate.well_since));
                            format!("failback: {} well for {well_for}", candidate.name)
                        } else {
                            format!("{} shares the traffic", candidate.name)
                        });
                        sharers.insert(candidate.name.clone());
                    }
                    later => self.look_again = self.look_again.into_iter().chain(later).min(),
                }
            }
        }
        self.sharers.insert(family, sharers);
        reasons
    }
}

fn role(is_sharing: bool) -> Role {
    if is_sharing {
        Role::Sharing
    } else {
        Role::Aside
    }
}

/// The uplink that shares is dead, and the one that the family is led to has been as silent since: to
/// leave one for the other would be to guess.
fn is_dead_with(led_to: &Uplink, sharer: &Uplink, uplinks: &[Uplink]) -> bool {
    as_silent_as(Some(sharer), uplinks).contains(&led_to.settings().name)
}

fn explain_leaving(
    candidate: &Candidate<'_>,
    held: &Candidate<'_>,
    uplink: &Uplink,
    family: Family,
) -> String {
    match uplink.complaint_of(family) {
        Some(complaint) => format!("{}: {complaint}", candidate.name),
        None if !candidate.has_path => format!("{}: {family} has no way out", candidate.name),
        None if candidate.tier != held.tier => {
            format!("{} is not of the tier of {}", candidate.name, held.name)
        }
        None => candidate.explain_leaving(held),
    }
}
