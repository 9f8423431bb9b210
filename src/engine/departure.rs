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
use super::input::Departure;
use super::status::State;
use crate::routing::Family;
use crate::units::UplinkName;

/// By what each family leaves.
pub(super) type Exits = BTreeMap<Family, Exit>;

/// An uplink, and all addresses from which packets went through it when it last had any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exit {
    uplink: UplinkName,
    addresses: BTreeSet<IpAddr>,
}

impl Engine {
    /// Takes note of where the traffic leaves now; returns what it left behind.
    pub(super) fn depart(&mut self) -> Option<Departure> {
        let now: Vec<_> = Family::ROUTED
            .into_iter()
            .filter_map(|family| Some((family, self.exit(family)?)))
            .collect();
        let mut addresses = BTreeSet::new();
        let mut is_voluntary = true;
        for (family, exit) in now {
            let Some(before) = self.exits.insert(family, exit.clone()) else {
                continue;
            };
            let left: BTreeSet<_> = &before.addresses - &exit.addresses;
            if !left.is_empty() {
                let uplink = self.find(&before.uplink);
                let is_well = uplink.is_ok_and(|uplink| uplink.state() == State::Up);
                let has_lost_it = before.uplink == exit.uplink;
                is_voluntary &= is_well && !has_lost_it;
                addresses.extend(left);
            }
        }
        // Two families may have changed places, and two uplinks may share an interface.
        for exit in self.exits.values() {
            addresses.retain(|address| !exit.addresses.contains(address));
        }
        (!addresses.is_empty()).then_some(Departure {
            addresses,
            is_voluntary,
        })
    }

    /// None while it has no address: those that it had are not left until there are others.
    fn exit(&self, family: Family) -> Option<Exit> {
        let uplink = self.find(self.carrier_of(family)?).ok()?;
        let sources = uplink.attachment().sources.iter();
        let addresses: BTreeSet<_> = sources
            .map(IpNet::addr)
            .filter(|address| Family::of(*address) == family)
            .collect();
        let uplink = uplink.settings().name.clone();
        (!addresses.is_empty()).then_some(Exit { uplink, addresses })
    }
}
