//! What the kernel's lists consist of, in our types.

use std::time::Duration;

use ipnet::IpNet;
use netlink_packet_route::route::RouteType;

use crate::routing::{Family, LinkAddress, Path, Preference, Route, RouteOptions, Rule};
use crate::units::{IfIndex, InterfaceName, Protocol, TableId};

/// Whether a new object may replace one with the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel) enum WriteMode {
    /// Refused if there is one.
    Create,
    /// Replaces it.
    Replace,
}

/// The types of routes that end a lookup.
pub(in crate::kernel) const DEAD_ENDS: [RouteType; 3] = [
    RouteType::BlackHole,
    RouteType::Unreachable,
    RouteType::Prohibit,
];

/// A list of the kernel.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) enum Dump {
    /// All interfaces.
    Links,
    /// All addresses of a family.
    Addresses(Family),
    /// All routes of a family with a protocol number.
    RoutesOf(Family, Protocol),
    /// Of a family in the main table, the default routes and the kernel's own, which lead to the networks that
    /// it is connected to.
    Main(Family),
    /// All routes of a family in a table.
    RoutesIn(Family, TableId),
    /// All rules of a family.
    Rules(Family),
}

/// An interface.
pub(in crate::kernel) struct LinkEntry {
    pub(in crate::kernel) index: IfIndex,
    pub(in crate::kernel) name: InterfaceName,
    pub(in crate::kernel) is_up: bool,
    pub(in crate::kernel) has_carrier: bool,
    pub(in crate::kernel) is_point_to_point: bool,
    pub(in crate::kernel) details: LinkDetails,
}

/// What an interface is, beyond its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkDetails {
    /// Its kind.
    pub kind: LinkKind,
    /// The interface that it is a port of, or the VRF that it belongs to.
    pub master: Option<IfIndex>,
}

/// The kinds of interfaces that matter to routing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkKind {
    /// A VRF: a routing domain with a table of its own.
    Vrf,
    /// A tunnel: its packets travel inside packets that need a route themselves.
    Tunnel,
    /// Any other.
    #[default]
    Other,
}

/// An address that may be used, or is tentative.
pub(in crate::kernel) struct AddressEntry {
    pub(in crate::kernel) index: IfIndex,
    pub(in crate::kernel) address: LinkAddress,
    pub(in crate::kernel) is_tentative: bool,
    pub(in crate::kernel) peer: Option<IpNet>,
}

/// A route.
pub(in crate::kernel) struct RouteEntry {
    pub(in crate::kernel) protocol: Protocol,
    pub(in crate::kernel) route: Route,
    /// The paths of its nexthop object, if it leads by one.
    pub(in crate::kernel) through: Vec<Path>,
    /// It holds only for packets from here.
    pub(in crate::kernel) source: Option<IpNet>,
    pub(in crate::kernel) preference: Preference,
    /// Its remaining lifetime; zero if it has expired and the kernel has not removed it yet.
    pub(in crate::kernel) expires_in: Option<Duration>,
}

impl RouteEntry {
    /// Its paths, wherever they stand.
    pub(in crate::kernel) fn paths(&self) -> &[Path] {
        match self.route.group {
            Some(_) => &self.through,
            None => &self.route.paths,
        }
    }

    /// What a route by one of its paths alone would say.
    pub(in crate::kernel) fn options_of(&self, path: &Path) -> RouteOptions {
        let encapsulation = path.options().encapsulation.as_ref();
        let encapsulation = encapsulation.or(self.route.options.encapsulation.as_ref());
        RouteOptions {
            encapsulation: encapsulation.cloned(),
            ..self.route.options.clone()
        }
    }
}

/// A rule.
pub(in crate::kernel) struct RuleEntry {
    pub(in crate::kernel) protocol: Protocol,
    pub(in crate::kernel) rule: Rule,
    /// The bits of the mark that it compares.
    pub(in crate::kernel) mask: u32,
    /// It matches what its selectors do not.
    pub(in crate::kernel) is_inverted: bool,
    /// The whole message, if it says more than a [`Rule`] can.
    pub(in crate::kernel) listed: Option<Vec<u8>>,
}

/// One entry of a list.
pub(in crate::kernel) enum DumpEntry {
    Link(LinkEntry),
    Address(AddressEntry),
    Route(RouteEntry),
    /// A route that leads nowhere or, if it is a `throw`, to the next rule; without a path.
    DeadEnd(RouteEntry),
    Rule(RuleEntry),
}
