//! What the traffic leaves behind when it goes another way.
//!
//! A flow knows the address by which it leaves. When a family of traffic no longer leaves by an
//! address that carried it, because another uplink carries it or because its uplink has another
//! address now, the flows by the old address are of no use. An address that is deprecated still serves
//! what is under way, and a temporary one is an address like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::Engine;
use super::action::Departure;
use super::group::find;
use super::state::State;
use crate::routing::Family;
use crate::units::{GroupName, UplinkName};

/// By what each family of each group of traffic leaves: the addresses from which packets went through
/// its uplinks when they last had any.
pub(super) type Exits = BTreeMap<(Option<GroupName>, Family), Exit>;

type Exit = BTreeMap<UplinkName, BTreeSet<IpAddr>>;

impl Engine {
    /// Takes note of where the traffic leaves now; returns what it left behind.
    pub(super) fn depart(&mut self) -> Option<Departure> {
        let now = self.exits_now();
        let mut addresses = BTreeSet::new();
        let mut is_voluntary = true;
        for (traffic, exit) in &now {
            let Some(before) = self.exits.get(traffic) else {
                continue;
            };
            let still: BTreeSet<_> = exit.values().flatten().collect();
            for (name, had) in before {
                let left: Vec<_> = had.iter().filter(|one| !still.contains(one)).collect();
                if !left.is_empty() {
                    let uplink = self.find(name);
                    let is_well = uplink.is_ok_and(|uplink| uplink.state() == State::Up);
                    let has_lost_it = exit.contains_key(name);
                    is_voluntary &= is_well && !has_lost_it;
                    addresses.extend(left);
                }
            }
        }
        let groups: Vec<_> = self
            .groups
            .iter()
            .map(|group| group.name().cloned())
            .collect();
        self.exits.retain(|(group, _), _| groups.contains(group));
        self.exits.extend(now);
        // Two families may have changed places, two uplinks may share an interface, and another group
        // may still go there: which flows are whose nobody can tell.
        for address in self.exits.values().flat_map(BTreeMap::values).flatten() {
            addresses.remove(address);
        }
        (!addresses.is_empty()).then_some(Departure {
            addresses,
            is_voluntary,
        })
    }

    /// None while nobody who carries it has an address: those that they had are not left until there
    /// are others.
    fn exits_now(&self) -> Exits {
        let mut exits = Exits::new();
        for place in 0..self.groups.len() {
            for family in Family::ROUTED {
                let carriers = self
                    .carrying_group(place)
                    .carriers_of(family, &self.uplinks);
                let with_addresses = carriers.into_iter().filter_map(|name| {
                    let addresses = self.addresses(&name, family);
                    (!addresses.is_empty()).then_some((name, addresses))
                });
                let exit: Exit = with_addresses.collect();
                if !exit.is_empty() {
                    exits.insert((self.groups[place].name().cloned(), family), exit);
                }
            }
        }
        exits
    }

    fn addresses(&self, uplink: &UplinkName, family: Family) -> BTreeSet<IpAddr> {
        let uplink = find(&self.uplinks, uplink).into_iter();
        let sources = uplink.flat_map(|uplink| &uplink.attachment().sources);
        sources
            .map(IpNet::addr)
            .filter(|address| Family::of(*address) == family)
            .collect()
    }
}
