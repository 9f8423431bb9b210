//! Which flows the traffic leaves behind when it goes another way.
//!
//! A flow knows the address by which it leaves. When a family of traffic no longer leaves by an address that carried
//! it, because another uplink carries it or because its uplink has another address now, the flows by the old address
//! are of no use. An address that is deprecated still serves established flows, and a temporary one is an address
//! like any other.
//!
//! A flow that is remembered goes by its uplink although the traffic does not. When that uplink cannot carry it any
//! more, its flows are left behind, too.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::action::Departure;
use super::ids::UplinkId;
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
    /// The uplinks that had their remembered flows, with their addresses at that time.
    remembered: Box<[RememberedExit]>,
    /// What was left behind and is not taken yet.
    departures: Vec<Departure>,
}

/// An uplink that had its remembered flows of a family, and one of their addresses.
#[derive(Clone, Debug)]
struct RememberedExit {
    uplink: UplinkName,
    address: IpAddr,
}

impl RememberedExit {
    fn key(&self) -> (UplinkName, Family) {
        (self.uplink.clone(), Family::of(self.address))
    }
}

type Exit = BTreeMap<UplinkName, BTreeSet<IpAddr>>;

impl StaleFlows {
    /// Takes note of where the traffic leaves now. `held`: the flows by these addresses stay on purpose.
    pub(super) fn note(
        &mut self,
        view: EngineView<'_>,
        held: &BTreeSet<IpAddr>,
        remembered: &[(UplinkId, Family)],
    ) {
        let left = self.left_behind(view);
        let lost = self.lost(view, remembered, &left.uplinks);
        for mut departure in [left, lost] {
            self.spare_carried(&mut departure);
            departure
                .addresses
                .retain(|address| !held.contains(address));
            if !departure.addresses.is_empty() {
                self.departures.push(departure);
            }
        }
    }

    /// The flows of an uplink that was drained by these addresses are left behind as well.
    pub(super) fn leave_drained(&mut self, uplink: &Uplink, addresses: BTreeSet<IpAddr>) {
        let name = &uplink.settings().name;
        self.departures.push(Departure {
            addresses,
            uplinks: Family::ROUTED.map(|family| (name.clone(), family)).into(),
            is_voluntary: !uplink.is_dead(),
        });
    }

    /// What was left behind next.
    pub(super) fn take(&mut self) -> Option<Departure> {
        let departure = (!self.departures.is_empty()).then(|| self.departures.remove(0));
        // Departures are rare.
        self.departures.shrink_to_fit();
        departure
    }

    /// What the traffic of the groups leaves.
    fn left_behind(&mut self, view: EngineView<'_>) -> Departure {
        let now = exits(view);
        let mut departure = Departure {
            addresses: BTreeSet::new(),
            uplinks: BTreeSet::new(),
            is_voluntary: true,
        };
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
                    departure.is_voluntary &= is_healthy && !has_lost_it;
                    departure.addresses.extend(left);
                    departure.uplinks.insert((name.clone(), traffic.1));
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
        departure
    }

    /// What the flows that are remembered leave; `left`: what is left behind anyway.
    fn lost(
        &mut self,
        view: EngineView<'_>,
        remembered: &[(UplinkId, Family)],
        left: &BTreeSet<(UplinkName, Family)>,
    ) -> Departure {
        let mut now = Vec::new();
        for (id, family) in remembered {
            if let Some(uplink) = view.uplink(*id) {
                let name = &uplink.settings().name;
                let addresses = addresses(uplink, *family).into_iter();
                now.extend(addresses.map(|address| RememberedExit {
                    uplink: name.clone(),
                    address,
                }));
            }
        }
        let still: BTreeSet<_> = now.iter().map(RememberedExit::key).collect();
        let before = std::mem::replace(&mut self.remembered, now.into()).into_iter();
        let is_lost =
            |exit: &RememberedExit| !left.contains(&exit.key()) && !still.contains(&exit.key());
        let lost: Vec<_> = before.filter(is_lost).collect();
        Departure {
            addresses: lost.iter().map(|exit| exit.address).collect(),
            uplinks: lost.iter().map(RememberedExit::key).collect(),
            is_voluntary: false,
        }
    }

    /// Two families may have changed places, two uplinks may share an interface, and another group may still go
    /// there: which flows are whose cannot be known.
    fn spare_carried(&self, departure: &mut Departure) {
        for ((_, family), exit) in &self.exits {
            for (name, addresses) in exit {
                departure.uplinks.remove(&(name.clone(), *family));
                departure
                    .addresses
                    .retain(|address| !addresses.contains(address));
            }
        }
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
