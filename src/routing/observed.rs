//! What the kernel holds, as far as it concerns us.

use std::net::IpAddr;

use ipnet::IpNet;

use super::nexthop::{NextHop, paths_of};
use super::numbering::{Numbering, RoutingMode};
use super::options::RouteOptions;
use super::route::{Family, Path, Route, RoutePlace};
use super::rule::{OddRule, Rule};
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{IfIndex, InterfaceName, Metric, NextHopId};

/// What the kernel holds, as far as it concerns us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The interfaces of this network namespace.
    pub links: SortedMap<IfIndex, Link>,
    /// The default routes of other programs in main that lead nowhere.
    pub dead_ends: Vec<DeadEnd>,
    /// The routes with our protocol number.
    pub routes: Vec<Route>,
    /// The rules with our protocol number.
    pub rules: Vec<Rule>,
    /// The rules with our protocol number that say more than a [`Rule`] can, of another version of this
    /// program.
    pub odd_rules: Vec<OddRule>,
    /// The nexthop objects with our protocol number.
    pub nexthops: SortedMap<NextHopId, NextHop>,
    /// The numbers of ours that nexthop objects of other programs have.
    pub taken_nexthops: SortedSet<NextHopId>,
}

impl Observed {
    /// The interface of this name.
    pub fn link(&self, name: &InterfaceName) -> Option<&Link> {
        self.links.values().find(|link| link.name == *name)
    }

    /// The paths through an interface in our default routes for the uplink at this position. Routes of
    /// the other mode count too, as the mode may just have been changed.
    pub fn held_paths(
        &self,
        numbering: &Numbering,
        position: u32,
        index: IfIndex,
    ) -> SortedMap<Family, Path> {
        let (now, before) = match numbering.mode {
            RoutingMode::Table => (RoutingMode::Table, RoutingMode::Main),
            RoutingMode::Main => (RoutingMode::Main, RoutingMode::Table),
        };
        let of = |mode| {
            let numbering = Numbering { mode, ..*numbering };
            self.own_paths(numbering.uplink_place(position))
        };
        let mut held = of(before);
        held.extend(of(now));
        held.retain(|_, path| path.index == index);
        for path in held.values_mut() {
            let mut options = path.options().clone();
            options.source = options.source.filter(|source| self.has_address(*source));
            path.options = options.boxed();
        }
        held
    }

    /// Whether an interface of this machine has this address. The kernel removes a route of the main table
    /// with its source address, and leaves those of other tables as they are (`fib_sync_down_addr`).
    pub fn has_address(&self, address: IpAddr) -> bool {
        let addresses = self.links.values().flat_map(|link| &link.addresses);
        addresses
            .map(|own| own.net.addr())
            .any(|own| own == address)
    }

    /// In [`RoutingMode::Main`], the uplink interface of a default route of another program that takes
    /// precedence over ours.
    pub fn rival(&self, numbering: &Numbering) -> Option<&InterfaceName> {
        let goes_first = |link: &&Link| {
            let mut defaults = link.defaults.iter();
            defaults.any(|default| default.source.is_none() && default.metric < numbering.metric)
        };
        match numbering.mode {
            RoutingMode::Table => None,
            RoutingMode::Main => Some(&self.links.values().find(goes_first)?.name),
        }
    }

    /// The path of our default route of each family in a place; the first of several.
    pub fn own_paths(&self, place: RoutePlace) -> SortedMap<Family, Path> {
        let shares = self.own_shares(place).into_iter();
        shares
            .filter_map(|(family, paths)| Some((family, paths.into_iter().next()?)))
            .collect()
    }

    /// All paths of our default route of each family in a place, each with the options of the route.
    pub fn own_shares(&self, place: RoutePlace) -> SortedMap<Family, Vec<Path>> {
        let routes = self.routes.iter().filter(|route| place.holds(route));
        routes
            .map(|route| {
                let family = Family::of(route.destination.addr());
                let paths = paths_of(route, &self.nexthops).into_iter();
                let paths = paths.map(|path| Path {
                    options: route.options.boxed(),
                    ..path
                });
                (family, paths.collect())
            })
            .collect()
    }
}

/// An interface and the kernel's routes through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: IfIndex,
    /// Its name.
    pub name: InterfaceName,
    /// It is administratively up (`IFF_UP`).
    pub is_up: bool,
    /// It has a carrier (`IFF_LOWER_UP`).
    pub has_carrier: bool,
    /// It has one far end and needs no next hop (`IFF_POINTOPOINT`).
    pub is_point_to_point: bool,
    /// Its addresses in the kernel's order (primary first), without tentative ones and those that failed
    /// duplicate address detection.
    pub addresses: Vec<LinkAddress>,
    /// Those that duplicate address detection has not yet shown to be its own (RFC 4862, 5.4).
    pub tentative: SortedSet<IpAddr>,
    /// The far ends of its point-to-point addresses.
    pub peers: Vec<IpNet>,
    /// The networks that it is connected to, by the kernel's routes in main.
    pub connected: Vec<IpNet>,
    /// The unexpired default routes of other programs through it, best first.
    pub defaults: Vec<LearnedDefault>,
}

impl Link {
    /// Its networks of a family.
    pub(super) fn connected_of(&self, family: Family) -> impl Iterator<Item = IpNet> {
        let networks = self.connected.iter().copied();
        networks.filter(move |network| Family::of(network.addr()) == family)
    }
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkAddress {
    /// The address with the length of its prefix.
    pub net: IpNet,
    /// For existing flows only (RFC 4862, 5.5.4).
    pub is_deprecated: bool,
    /// It is replaced within a day or so (RFC 8981).
    pub is_temporary: bool,
}

impl From<IpNet> for LinkAddress {
    fn from(net: IpNet) -> Self {
        Self {
            net,
            is_deprecated: false,
            is_temporary: false,
        }
    }
}

/// A default route of another program: the kernel for a router advertisement, a DHCP client, netifd, an
/// operator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LearnedDefault {
    /// Its family.
    pub family: Family,
    /// Its metric.
    pub metric: Metric,
    /// The preference that its router advertises.
    pub preference: Preference,
    /// Its next hop, if it has one.
    pub gateway: Option<IpAddr>,
    /// It has the `onlink` flag.
    pub onlink: bool,
    /// Its source prefix: the route holds for packets from there only. It is a prefix that the provider
    /// has delegated.
    pub source: Option<IpNet>,
    /// What it says beyond its path.
    pub options: RouteOptions,
}

/// A default route of another program in main that leads nowhere: `blackhole`, `unreachable` or `prohibit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadEnd {
    /// Its family.
    pub family: Family,
    /// Its metric.
    pub metric: Metric,
}

/// A router's preference among those of its link (RFC 4191), best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preference {
    /// Before the other routers.
    High,
    /// The default, and all of IPv4.
    #[default]
    Medium,
    /// After the other routers.
    Low,
}
