//! Which uplinks carry the traffic of a group.

use super::member::Ways;
use crate::engine::ids::UplinkId;
use crate::engine::settings::Policy;
use crate::routing::Family;
use crate::units::Moment;
use crate::units::sorted::{SortedMap, SortedSet};

/// Which uplinks carry the traffic of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Which one leads.
    pub lead: Lead,
    /// The families that others carry than the leader.
    pub apart: SortedMap<Family, CarrierApart>,
    /// The uplinks that carry a family beside the one that it is led to.
    pub sharers: SortedMap<Family, SortedSet<UplinkId>>,
}

/// Which uplink leads a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// None yet, or a reload has removed the one that did: the default group before its first election.
    Vacant,
    /// None of its own: the group goes with the default group.
    WithDefault,
    /// This one.
    By {
        /// Which uplink.
        uplink: UplinkId,
        /// Since when.
        since: Moment,
        /// The traffic was found there at the start.
        is_adopted: bool,
    },
}

/// The uplink that carries a family apart from the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CarrierApart {
    /// Which uplink.
    pub uplink: UplinkId,
    /// The traffic was found there at the start.
    pub is_adopted: bool,
}

impl Allocation {
    /// No uplink of the group carries anything.
    pub fn of(lead: Lead) -> Self {
        Self {
            lead,
            apart: SortedMap::new(),
            sharers: SortedMap::new(),
        }
    }

    /// The uplink that leads; none while the group goes with the default group.
    pub fn leader(&self) -> Option<UplinkId> {
        match self.lead {
            Lead::By { uplink, .. } => Some(uplink),
            Lead::Vacant | Lead::WithDefault => None,
        }
    }

    /// Since when it leads.
    pub fn since(&self) -> Option<Moment> {
        match self.lead {
            Lead::By { since, .. } => Some(since),
            Lead::Vacant | Lead::WithDefault => None,
        }
    }

    /// The leader was found at the start.
    pub fn is_adopted(&self) -> bool {
        match self.lead {
            Lead::By { is_adopted, .. } => is_adopted,
            Lead::Vacant | Lead::WithDefault => false,
        }
    }

    /// The uplink that a family is led to, if that has a way out there.
    pub fn carrier_of(&self, family: Family, ways: &Ways) -> Option<UplinkId> {
        let mut carriers = self.apart_or_leader(family);
        carriers.find(|id| ways.has(family, *id))
    }

    /// The uplinks that carry a family: the one that it is led to, then those that share it.
    pub fn carriers_of(&self, family: Family, ways: &Ways) -> Vec<UplinkId> {
        let carriers = self.with_sharers(family, self.carrier_of(family, ways));
        carriers.filter(|id| ways.has(family, *id)).collect()
    }

    /// The uplinks that were to carry a family, whether or not it has a way out there any more.
    pub fn holders_of(&self, family: Family) -> Vec<UplinkId> {
        let led_to = self.apart_or_leader(family).next();
        self.with_sharers(family, led_to).collect()
    }

    /// The uplinks that a family is with: those that carry it, and those of whose links nothing is known yet. Where it
    /// has no way out, the one that it is led to.
    pub fn keepers_of(
        &self,
        family: Family,
        ways: &Ways,
        is_unheard: impl Fn(UplinkId) -> bool,
    ) -> Vec<UplinkId> {
        let mut led_to = self.apart_or_leader(family);
        let may_carry = |id: &UplinkId| ways.has(family, *id) || is_unheard(*id);
        let led_to = led_to
            .find(may_carry)
            .or_else(|| self.apart_or_leader(family).next());
        let keepers = self.with_sharers(family, led_to);
        let is_without_way = self.carriers_of(family, ways).is_empty();
        let keepers = keepers.enumerate().filter(|(place, id)| {
            let is_led_to = is_without_way && *place == 0;
            is_led_to || may_carry(id)
        });
        keepers.map(|(_, id)| id).collect()
    }

    fn apart_or_leader(&self, family: Family) -> impl Iterator<Item = UplinkId> {
        let apart = self.apart.get(&family).map(|carrier| carrier.uplink);
        apart.into_iter().chain(self.leader())
    }

    /// None share what has no leader, as after a reload.
    fn with_sharers(
        &self,
        family: Family,
        led_to: Option<UplinkId>,
    ) -> impl Iterator<Item = UplinkId> {
        let sharers = self
            .sharers
            .get(&family)
            .filter(|_| self.leader().is_some());
        let sharers = sharers.into_iter().flatten().copied();
        led_to
            .into_iter()
            .chain(sharers.filter(move |id| Some(*id) != led_to))
    }

    /// The uplinks that carry anything, in the order in which they are shown.
    pub fn carriers(&self, policy: Policy, ways: &Ways) -> Vec<UplinkId> {
        let families = Family::ROUTED.into_iter();
        self.in_order(
            policy,
            families.flat_map(|family| self.carriers_of(family, ways)),
        )
    }

    /// Uplinks in the order in which they are shown, each once: the leader first, or under `balance`, where it is one
    /// among equals, in the order of the configuration. Without any the leader, with which the traffic stays.
    pub fn in_order(
        &self,
        policy: Policy,
        uplinks: impl Iterator<Item = UplinkId>,
    ) -> Vec<UplinkId> {
        let mut ordered: Vec<UplinkId> = Vec::new();
        for uplink in uplinks {
            if !ordered.contains(&uplink) {
                ordered.push(uplink);
            }
        }
        match (policy, self.leader()) {
            (_, Some(leader)) if ordered.is_empty() => ordered.push(leader),
            (Policy::Balance, _) => ordered.sort_unstable(),
            (Policy::Failover | Policy::Best, leader) => {
                ordered.sort_by_key(|uplink| Some(*uplink) != leader);
            }
        }
        ordered
    }

    /// Uplinks have other places now, or none: those carry no more.
    #[must_use]
    pub fn renumbered(self, vacant: Lead, new_id: impl Fn(UplinkId) -> Option<UplinkId>) -> Self {
        let lead = match self.lead {
            Lead::By {
                uplink,
                since,
                is_adopted,
            } => new_id(uplink).map_or(vacant, |uplink| Lead::By {
                uplink,
                since,
                is_adopted,
            }),
            Lead::Vacant | Lead::WithDefault => self.lead,
        };
        let apart = self.apart.into_iter().filter_map(|(family, carrier)| {
            let uplink = new_id(carrier.uplink)?;
            Some((family, CarrierApart { uplink, ..carrier }))
        });
        let sharers = self.sharers.into_iter();
        Self {
            lead,
            apart: apart.collect(),
            sharers: sharers
                .map(|(family, sharers)| {
                    (family, sharers.into_iter().filter_map(&new_id).collect())
                })
                .collect(),
        }
    }
}
