//! Which flows the traffic leaves behind when it goes another way.
//!
//! A flow knows the address by which it leaves. When a family of traffic no longer leaves by an address that carried
//! it, because another uplink carries it or because its uplink has another address now, the flows by the old address
//! are of no use. An address that is deprecated still serves established flows, and a temporary one is an address
//! like any other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use ipnet::IpNet;

use super::action::Departure;
use super::state::State;
use super::uplink::Uplink;
use super::view::EngineView;
use crate::routing::Family;
use crate::units::{GroupName, UplinkName};

/// By which addresses the traffic leaves.
#[derive(Clone, Debug, Default)]
pub(super) struct StaleFlows {
    /// For each family of each group of traffic the addresses from which packets went through its uplinks when they
    /// last had any. By name, since reloads change ids.
    exits: BTreeMap<(Option<GroupName>, Family), Exit>,
    /// What was left behind and is not taken yet.
    departures: VecDeque<Departure>,
}

type Exit = BTreeMap<UplinkName, BTreeSet<IpAddr>>;

impl StaleFlows {
    /// Takes note of where the traffic leaves now. `held`: the flows by these addresses stay on purpose.
    pub(super) fn note(&mut self, view: EngineView<'_>, held: &BTreeSet<IpAddr>) {
        if let Some(mut departure) = self.left_behind(view) {
            departure
                .addresses
                .retain(|address| !held.contains(address));
            if !departure.addresses.is_empty() {
                self.leave(departure);
            }
        }
    }

    /// These flows are left behind as well.
    pub(super) fn leave(&mut self, departure: Departure) {
        self.departures.push_back(departure);
    }

    /// What was left behind next.
    pub(super) fn take(&mut self) -> Option<Departure> {
        self.departures.pop_front()
    }

    fn left_behind(&mut self, view: EngineView<'_>) -> Option<Departure> {
        let now = exits(view);
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
                    let mut uplinks = view.uplinks.iter();
                    let uplink = uplinks.find(|uplink| uplink.settings().name == *name);
                    let is_healthy = uplink.is_some_and(|uplink| uplink.state() == State::Up);
                    let has_lost_it = exit.contains_key(name);
                    is_voluntary &= is_healthy && !has_lost_it;
                    addresses.extend(left);
                }
            }
        }
        let groups: Vec<_> = view
            .groups
            .iter()
            .map(|group| group.name().cloned())
            .collect();
        self.exits.retain(|(group, _), _| groups.contains(group));
        self.exits.extend(now);
        // Two families may have changed places, two uplinks may share an interface, and another group may still go
        // there: which flows are whose cannot be known.
        for address in self.exits.values().flat_map(BTreeMap::values).flatten() {
            addresses.remove(address);
        }
        (!addresses.is_empty()).then_some(Departure {
            addresses,
            is_voluntary,
        })
    }
}

/// None for traffic whose uplinks have no address: those that they had are not left until there are others.
fn exits(view: EngineView<'_>) -> BTreeMap<(Option<GroupName>, Family), Exit> {
    let mut exits = BTreeMap::new();
    for group in view.groups.ids() {
        for family in Family::ROUTED {
            let carriers = view
                .groups
                .followed_by(group)
                .carriers_of(family, view.uplinks);
            let carriers = carriers.into_iter().filter_map(|id| view.uplink(id));
            let with_addresses = carriers.filter_map(|uplink| {
                let addresses = addresses(uplink, family);
                let name = uplink.settings().name.clone();
                (!addresses.is_empty()).then_some((name, addresses))
            });
            let exit: Exit = with_addresses.collect();
            if !exit.is_empty() {
                exits.insert((view.groups.get(group).name().cloned(), family), exit);
            }
        }
    }
    exits
}

fn addresses(uplink: &Uplink, family: Family) -> BTreeSet<IpAddr> {
    let sources = uplink.attachment().sources.iter();
    let addresses = sources.map(IpNet::addr);
    addresses
        .filter(|address| Family::of(*address) == family)
        .collect()
}
