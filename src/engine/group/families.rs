//! Which uplink carries which family.
//!
//! One uplink leads: it is elected as a whole, and carries both families as long as both work there.
//! A family that does not, or that has no way out there, is carried apart by the best other uplink
//! by which it works, and comes back to the leader by the rules of failback. Where it works nowhere
//! it stays where it is. Where a person has pinned the traffic, a family goes apart only if the uplink
//! has no way out for it.

use std::collections::BTreeMap;

use super::{Around, Group, find};
use crate::engine::contest::Contest;
use crate::engine::election::{Candidate, Choice, Fitness, Terms, elect};
use crate::engine::settings::{FailoverSettings, Policy};
use crate::engine::uplink::Uplink;
use crate::routing::desired::Carrying;
use crate::routing::{Family, Path};
use crate::units::Moment;
use crate::units::{Tier, UplinkName};

/// The families that others carry than the leader.
pub(super) type Apart = BTreeMap<Family, Carrier>;

/// In the election of one family, whoever carries the rest of them is preferred to all others.
const TOGETHER: Tier = Tier(0);

/// Who carries a family apart.
#[derive(Clone, Debug)]
pub(super) struct Carrier {
    uplink: UplinkName,
    /// The traffic was found there at the start.
    is_adopted: bool,
}

impl Group {
    /// Who carries traffic: the leader first, or under `balance`, where it is one among equals, in the
    /// order of the configuration.
    pub(in crate::engine) fn carriers(&self, uplinks: &[Uplink]) -> Vec<UplinkName> {
        let families = Family::ROUTED.into_iter();
        let of_families = families.flat_map(|family| self.carriers_of(family, uplinks));
        let mut carriers: Vec<UplinkName> = Vec::new();
        for uplink in self.leader().cloned().into_iter().chain(of_families) {
            if !carriers.contains(&uplink) {
                carriers.push(uplink);
            }
        }
        if self.policy() == Policy::Balance {
            let place = |name: &UplinkName| {
                let mut uplinks = uplinks.iter();
                uplinks.position(|uplink| uplink.settings().name == *name)
            };
            carriers.sort_by_key(place);
        }
        carriers
    }

    /// Goes on as an earlier run left a family.
    pub(in crate::engine) fn adopt_apart(&mut self, family: Family, uplink: &Uplink) {
        let name = &uplink.settings().name;
        let is_member = self.tier_of(uplink).is_some();
        let is_free = !self.apart.contains_key(&family);
        let leader = self.active.as_ref().filter(|leader| leader.is_adopted);
        if leader.is_some_and(|leader| leader.uplink != *name) && is_member && is_free {
            let (uplink, is_adopted) = (name.clone(), true);
            self.apart.insert(family, Carrier { uplink, is_adopted });
        }
    }

    /// Elects who carries each family, and says why those move that do.
    pub(super) fn elect_apart(&mut self, around: &Around<'_>, now: Moment) -> Vec<String> {
        let Some(leader) = self.leader().cloned() else {
            self.apart.clear();
            return Vec::new();
        };
        self.apart.retain(|_, carrier| carrier.uplink != leader);
        let is_held = self.is_held_by_pin();
        let lead = find(around.uplinks, &leader).filter(|_| is_held);
        if lead.is_some_and(|lead| lead.candidate().fitness() == Fitness::Unusable) {
            return Vec::new();
        }
        let families = Family::ROUTED.into_iter();
        families
            .filter_map(|family| self.elect_for(family, &leader, around, now))
            .collect()
    }

    fn elect_for(
        &mut self,
        family: Family,
        leader: &UplinkName,
        around: &Around<'_>,
        now: Moment,
    ) -> Option<String> {
        let candidates = self.candidates_for(family, leader, around);
        if !candidates.iter().any(|candidate| candidate.has_path) {
            return None;
        }
        if self.is_held_by_pin() && has_way(family, leader, around.uplinks) {
            let apart = self.apart.remove(&family);
            return apart.map(|_| format!("{family}: chosen by hand"));
        }
        let carrier = self.carrier_beside(family, leader);
        let is_carrier = |candidate: &&Candidate<'_>| candidate.name == carrier;
        let before = candidates.iter().find(is_carrier);
        let has_way = before.is_some_and(|carrier| carrier.has_path);
        match self.choose_for(family, leader, around, around.is_asked, now) {
            Choice::Stay { until } => {
                self.look_again = self.look_again.into_iter().chain(until).min();
                None
            }
            Choice::Nobody => {
                // Without a way out there it went to the leader, and stays there.
                let apart = self.apart.get(&family);
                let is_left = apart.is_some_and(|carrier| !carrier.is_adopted) && !has_way;
                if is_left && self::has_way(family, leader, around.uplinks) {
                    self.apart.remove(&family);
                }
                None
            }
            Choice::Move { to, reason } => {
                let is_left = before.is_none_or(|before| before.fitness() == Fitness::Unusable);
                let fault = find(around.uplinks, carrier).filter(|_| is_left);
                let complaint = fault.and_then(|carrier| carrier.complaint_of(family));
                let reason = match complaint {
                    Some(complaint) => format!("{carrier}: {complaint}"),
                    None if is_left && !has_way => format!("{carrier}: {family} has no way out"),
                    None => format!("{family}: {reason}"),
                };
                self.carry_apart(family, to, leader);
                let due = self.choose_for(family, leader, around, false, now).due();
                self.look_again = self.look_again.into_iter().chain(due).min();
                Some(reason)
            }
        }
    }

    fn choose_for(
        &self,
        family: Family,
        leader: &UplinkName,
        around: &Around<'_>,
        is_asked: bool,
        now: Moment,
    ) -> Choice {
        let apart = self.apart.get(&family);
        let terms = Terms {
            active: Some(self.carrier_beside(family, leader)),
            is_adopted: apart.is_some_and(|carrier| carrier.is_adopted),
            chosen: None,
            is_pinned: false,
            is_asked,
            // A family comes back to the leader, however good another is.
            failover: FailoverSettings {
                policy: Policy::Failover,
                ..around.failover
            },
            contest: &Contest::default(),
        };
        elect(&self.candidates_for(family, leader, around), terms, now)
    }

    /// Who is to carry a family, whether or not it has a way out there.
    fn carrier_beside<'a>(&'a self, family: Family, leader: &'a UplinkName) -> &'a UplinkName {
        let apart = self.apart.get(&family);
        apart.map_or(leader, |carrier| &carrier.uplink)
    }

    fn candidates_for<'a>(
        &self,
        family: Family,
        leader: &UplinkName,
        around: &'a Around<'_>,
    ) -> Vec<Candidate<'a>> {
        let uplinks = around.uplinks.iter();
        uplinks
            .filter_map(|uplink| {
                let is_leader = uplink.settings().name == *leader;
                let candidate = self.candidate_for(family, uplink, is_leader, around)?;
                let tier = if is_leader { TOGETHER } else { candidate.tier };
                Some(Candidate { tier, ..candidate })
            })
            .collect()
    }

    /// That the leader keeps falling is a matter of who leads.
    pub(super) fn candidate_for<'a>(
        &self,
        family: Family,
        uplink: &'a Uplink,
        is_leader: bool,
        around: &Around<'_>,
    ) -> Option<Candidate<'a>> {
        let candidate = uplink.candidate_for(family, is_leader);
        let suppressed_until = around.flaps.suppressed_until(candidate.name);
        Some(Candidate {
            tier: self.tier_of(uplink)?,
            role: self.role_in(family, candidate.name),
            ..candidate.suppressed_by(suppressed_until.filter(|_| !is_leader))
        })
    }

    fn carry_apart(&mut self, family: Family, uplink: UplinkName, leader: &UplinkName) {
        if uplink == *leader {
            self.apart.remove(&family);
        } else {
            let is_adopted = false;
            self.apart.insert(family, Carrier { uplink, is_adopted });
        }
    }

    /// What the kernel is to hold of all this. Of several that carry a family each has its weight.
    pub(in crate::engine) fn carrying(&self, uplinks: &[Uplink]) -> Carrying {
        if self.active.is_none() {
            return self.leaving.clone();
        }
        let families = Family::ROUTED.into_iter().filter_map(|family| {
            let carriers = self.carriers_of(family, uplinks);
            let paths = carriers.iter().filter_map(|name| {
                let uplink = find(uplinks, name)?;
                let path = uplink.attachment().paths.get(&family)?;
                let weight = uplink.settings().weight;
                let weight = if carriers.len() > 1 {
                    weight
                } else {
                    path.weight
                };
                Some(Path { weight, ..*path })
            });
            let paths: Vec<_> = paths.collect();
            (!paths.is_empty()).then_some((family, paths))
        });
        families.collect()
    }

    /// To whom a family is led, if that has a way out there.
    pub(super) fn carrier_of(&self, family: Family, uplinks: &[Uplink]) -> Option<&UplinkName> {
        let apart = self.apart.get(&family).map(|carrier| &carrier.uplink);
        let mut carriers = apart.into_iter().chain(self.leader());
        carriers.find(|name| has_way(family, name, uplinks))
    }
}

pub(super) fn has_way(family: Family, name: &UplinkName, uplinks: &[Uplink]) -> bool {
    let uplink = find(uplinks, name);
    uplink.is_some_and(|uplink| uplink.attachment().paths.contains_key(&family))
}

/// The same carriers under their new names; those without one carry no more.
pub(super) fn renamed(apart: Apart, new_name: impl Fn(&UplinkName) -> Option<UplinkName>) -> Apart {
    let carriers = apart.into_iter().filter_map(|(family, carrier)| {
        let uplink = new_name(&carrier.uplink)?;
        Some((family, Carrier { uplink, ..carrier }))
    });
    carriers.collect()
}
