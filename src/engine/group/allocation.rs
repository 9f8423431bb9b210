//! Which uplinks carry the traffic of a group.

use std::collections::{BTreeMap, BTreeSet};

use super::member::Ways;
use crate::engine::ids::UplinkId;
use crate::engine::settings::Policy;
use crate::routing::Family;
use crate::units::Moment;

/// Which uplinks carry the traffic of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Which one leads.
    pub lead: Lead,
    /// The families that others carry than the leader.
    pub apart: BTreeMap<Family, CarrierApart>,
    /// The uplinks that carry a family beside the one that it is led to.
    pub sharers: BTreeMap<Family, BTreeSet<UplinkId>>,
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
            apart: BTreeMap::new(),
            sharers: BTreeMap::new(),
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
        let apart = self.apart.get(&family).map(|carrier| carrier.uplink);
        let mut carriers = apart.into_iter().chain(self.leader());
        carriers.find(|id| ways.has(family, *id))
    }

    /// The uplinks that carry a family: the one that it is led to, then those that share it.
    pub fn carriers_of(&self, family: Family, ways: &Ways) -> Vec<UplinkId> {
        let Some(led_to) = self.carrier_of(family, ways) else {
            return Vec::new();
        };
        let sharers = self.sharers.get(&family).into_iter().flatten().copied();
        let others = sharers.filter(|id| *id != led_to && ways.has(family, *id));
        [led_to].into_iter().chain(others).collect()
    }

    /// The uplinks that carry anything: the leader first, or under `balance`, where it is one among equals, in the
    /// order of the configuration.
    pub fn carriers(&self, policy: Policy, ways: &Ways) -> Vec<UplinkId> {
        let families = Family::ROUTED.into_iter();
        let of_families = families.flat_map(|family| self.carriers_of(family, ways));
        let mut carriers: Vec<UplinkId> = Vec::new();
        for uplink in self.leader().into_iter().chain(of_families) {
            if !carriers.contains(&uplink) {
                carriers.push(uplink);
            }
        }
        if policy == Policy::Balance {
            carriers.sort_unstable();
        }
        carriers
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
