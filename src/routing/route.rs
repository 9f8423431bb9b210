//! Routes and the paths that they lead by.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::options::RouteOptions;
use crate::units::{IfIndex, Metric, NextHopId, TableId, Weight};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// The families that are routed.
    pub const ROUTED: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// As keys and hooks write it.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }

    /// The default destination of the family.
    pub fn default_destination(self) -> IpNet {
        match self {
            Self::Ipv4 => IpNet::V4(Ipv4Net::default()),
            Self::Ipv6 => IpNet::V6(Ipv6Net::default()),
        }
    }

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// A path out of this machine: an interface and, unless it is point to point, a next hop.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Path {
    /// The interface.
    pub index: IfIndex,
    /// The next hop; none on point-to-point and raw-ip links.
    pub gateway: Option<IpAddr>,
    /// The next hop is on the link although it is in no prefix of our addresses.
    pub onlink: bool,
    /// The share among several paths of one route.
    pub weight: Weight,
    /// What else a route by it alone says. Empty in a [`Route`], which says it for all of its paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Box<RouteOptions>>,
}

impl Path {
    /// What else a route by it alone says.
    pub fn options(&self) -> &RouteOptions {
        static NONE: RouteOptions = RouteOptions::none();
        self.options.as_deref().unwrap_or(&NONE)
    }

    /// Whether a probe takes the same way by both, or by neither: by the same next hop, from the same address.
    pub fn is_same_way(one: Option<&Self>, other: Option<&Self>) -> bool {
        let way = |path: &Self| (path.index, path.gateway, path.onlink, path.options().source);
        one.map(way) == other.map(way)
    }
}

/// A unicast route, or without paths and group a `throw` route, or an `unreachable` one by its metric.
/// The kernel's key for replacing it is (table,
/// destination, metric).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    /// Its table.
    pub table: TableId,
    /// Its destination.
    pub destination: IpNet,
    /// Its metric.
    pub metric: Metric,
    /// One path, or several that share the traffic by weight. Empty if `group` has them.
    pub paths: Vec<Path>,
    /// The nexthop object that has the paths.
    #[serde(default)]
    pub group: Option<NextHopId>,
    /// What it says beyond its paths.
    #[serde(default, skip_serializing_if = "RouteOptions::is_empty")]
    pub options: RouteOptions,
}

/// The place of a default route of ours. Each holds one route of a family at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutePlace {
    /// Its table.
    pub table: TableId,
    /// Its metric, as it is requested.
    pub metric: Metric,
}

impl RoutePlace {
    /// Whether this is the default route in this place.
    pub fn holds(self, route: &Route) -> bool {
        let family = Family::of(route.destination.addr());
        route.destination.prefix_len() == 0
            && route.table == self.table
            && route.metric == as_listed(self.metric, family)
    }
}

/// The metric that the kernel lists: an IPv6 route that requests 0 gets `IP6_RT_PRIO_USER`.
fn as_listed(metric: Metric, family: Family) -> Metric {
    const IP6_RT_PRIO_USER: Metric = Metric(1024);
    match (family, metric) {
        (Family::Ipv6, Metric(0)) => IP6_RT_PRIO_USER,
        (Family::Ipv4 | Family::Ipv6, metric) => metric,
    }
}

/// Of routes without a path that of this metric refuses packets.
const REFUSAL: Metric = Metric(u32::MAX);

impl Route {
    /// The last route of a table, by which packets are refused.
    pub(super) fn refusal(table: TableId, family: Family) -> Self {
        Self {
            table,
            destination: family.default_destination(),
            metric: REFUSAL,
            paths: Vec::new(),
            group: None,
            options: RouteOptions::default(),
        }
    }

    /// Whether it ends a lookup with an error (`unreachable`).
    pub fn is_refusal(&self) -> bool {
        self.is_dead_end() && self.metric == REFUSAL
    }

    /// Whether it sends a lookup on to the next rule.
    pub fn is_throw(&self) -> bool {
        self.is_dead_end() && self.metric != REFUSAL
    }

    fn is_dead_end(&self) -> bool {
        self.paths.is_empty() && self.group.is_none()
    }

    /// The same, saying nothing beyond its path.
    #[must_use]
    pub fn without_options(self) -> Self {
        Self {
            options: RouteOptions::none(),
            ..self
        }
    }

    /// Whether only one of the two can exist.
    pub fn is_in_the_place_of(&self, other: &Self) -> bool {
        (self.table, self.destination, self.metric)
            == (other.table, other.destination, other.metric)
    }

    /// The route as the kernel lists it: a single path without weight, a path without next hop not
    /// `onlink`, several paths sorted, those of a group not in the route.
    #[must_use]
    pub fn canonical(mut self) -> Self {
        if self.group.is_some() {
            self.paths.clear();
        }
        if let [only] = self.paths.as_mut_slice() {
            only.weight = Weight(1);
        }
        for path in &mut self.paths {
            path.onlink &= path.gateway.is_some();
        }
        self.paths.sort_unstable();
        self.destination = self.destination.trunc();
        self.metric = as_listed(self.metric, Family::of(self.destination.addr()));
        self
    }
}
