//! Routes and rules as this program wants them and as the kernel has them. Pure.
//!
//! What is ours is what carries our route protocol number, in rules as in routes; everything else
//! belongs to others and is only ever read.

pub mod attach;
pub mod desired;
pub mod nexthop;
pub mod plan;
pub mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::routing::nexthop::NextHop;
use crate::routing::traffic::Ports;
use crate::units::{
    IfIndex, InterfaceName, IpProtocol, Mark, Metric, NextHopId, Protocol, RulePriority, TableId,
    Weight,
};

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

/// One way out: an interface and, unless it is point to point, the router behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Path {
    /// The interface.
    pub index: IfIndex,
    /// The next hop; none on point-to-point and raw-ip links.
    pub gateway: Option<IpAddr>,
    /// The next hop is on the link although no address of ours says so.
    pub onlink: bool,
    /// The share among several paths of one route.
    pub weight: Weight,
}

/// A unicast route. The kernel's key for replacing it is (table, destination, metric).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    /// The table it stands in.
    pub table: TableId,
    /// Where it leads.
    pub destination: IpNet,
    /// Its metric.
    pub metric: Metric,
    /// One path, or several that share the traffic by weight. Empty if a group has them.
    pub paths: Vec<Path>,
    /// The nexthop object that has the paths.
    #[serde(default)]
    pub group: Option<NextHopId>,
}

/// Where a default route of ours stands. No two of ours of one family stand in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutePlace {
    /// In which table.
    pub table: TableId,
    /// With which metric, as it is asked for.
    pub metric: Metric,
}

impl RoutePlace {
    /// Whether this is the default route that stands here.
    pub fn holds(self, route: &Route) -> bool {
        let family = Family::of(route.destination.addr());
        route.destination.prefix_len() == 0
            && route.table == self.table
            && route.metric == as_listed(self.metric, family)
    }
}

/// What the kernel makes of a metric: an IPv6 route that asks for 0 gets `IP6_RT_PRIO_USER`.
fn as_listed(metric: Metric, family: Family) -> Metric {
    const IP6_RT_PRIO_USER: Metric = Metric(1024);
    match (family, metric) {
        (Family::Ipv6, Metric(0)) => IP6_RT_PRIO_USER,
        (Family::Ipv4 | Family::Ipv6, metric) => metric,
    }
}

impl Route {
    /// Only one of the two can stand.
    pub fn is_in_the_place_of(&self, other: &Self) -> bool {
        (self.table, self.destination, self.metric)
            == (other.table, other.destination, other.metric)
    }

    /// The route as the kernel reads it back: a path alone has no weight, a path without a next hop
    /// no `onlink`, several paths no order; those of a group are the group's.
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

/// A policy rule that looks up a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rule {
    /// Lower is looked at first.
    pub priority: RulePriority,
    /// The family it applies to.
    pub family: Family,
    /// Matches packets from here.
    pub from: Option<IpNet>,
    /// Matches packets to there.
    #[serde(default)]
    pub to: Option<IpNet>,
    /// Matches packets that came in by this interface.
    #[serde(default)]
    pub iif: Option<InterfaceName>,
    /// Matches packets of this protocol.
    #[serde(default)]
    pub protocol: Option<IpProtocol>,
    /// Matches packets from these ports.
    #[serde(default)]
    pub sport: Option<Ports>,
    /// Matches packets to these ports.
    #[serde(default)]
    pub dport: Option<Ports>,
    /// Matches packets with this mark.
    pub mark: Option<Mark>,
    /// The bits of the mark that count; none: all.
    #[serde(default)]
    pub mask: Option<Mark>,
    /// Matches sockets bound to this interface.
    pub oif: Option<InterfaceName>,
    /// The table to look up.
    pub table: TableId,
    /// Ignores what the lookup found if its prefix is this short or shorter.
    pub suppress_prefix_length: Option<u32>,
}

impl Rule {
    /// A rule that sends every packet of a family to a table.
    pub fn lookup(priority: RulePriority, family: Family, table: TableId) -> Self {
        Self {
            priority,
            family,
            from: None,
            to: None,
            iif: None,
            protocol: None,
            sport: None,
            dport: None,
            mark: None,
            mask: None,
            oif: None,
            table,
            suppress_prefix_length: None,
        }
    }
}

/// Everything of ours that the kernel should hold, and nothing else of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// Our routes.
    pub routes: BTreeSet<Route>,
    /// Our rules.
    pub rules: BTreeSet<Rule>,
    /// Our nexthop objects.
    #[serde(default)]
    pub nexthops: BTreeMap<NextHopId, NextHop>,
}

/// What the kernel holds, as far as it concerns us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The interfaces of this network namespace.
    pub links: BTreeMap<IfIndex, Link>,
    /// The routes that carry our protocol number.
    pub routes: Vec<Route>,
    /// The rules that carry our protocol number.
    pub rules: Vec<Rule>,
    /// The rules that carry our protocol number and say more than a [`Rule`] can: left by another
    /// version of this program.
    pub odd_rules: Vec<OddRule>,
    /// The nexthop objects that carry our protocol number.
    pub nexthops: BTreeMap<NextHopId, NextHop>,
}

/// A rule that says more than a [`Rule`] can. It can be deleted, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OddRule {
    /// It, without what it says more.
    pub rule: Rule,
    /// The kernel's words for it, by which it is told from others that say less.
    pub listed: Vec<u8>,
}

impl Observed {
    /// The interface of this name.
    pub fn link(&self, name: &InterfaceName) -> Option<&Link> {
        self.links.values().find(|link| link.name == *name)
    }

    /// The ways out through an interface that our own default routes for the uplink at this position
    /// hold. Those of the other mode count too: it may have been changed a moment ago.
    pub fn held_paths(
        &self,
        numbering: &Numbering,
        position: u32,
        index: IfIndex,
    ) -> BTreeMap<Family, Path> {
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
        held
    }

    /// In [`RoutingMode::Main`], an uplink's interface through which a default route of others goes before
    /// ours, so that the traffic does not follow us.
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

    /// The way out that our own default route of each family takes from a place; the first if it
    /// has several.
    pub fn own_paths(&self, place: RoutePlace) -> BTreeMap<Family, Path> {
        let shares = self.own_shares(place).into_iter();
        shares
            .filter_map(|(family, paths)| Some((family, *paths.first()?)))
            .collect()
    }

    /// All ways out that our own default route of each family takes from a place.
    pub fn own_shares(&self, place: RoutePlace) -> BTreeMap<Family, Vec<Path>> {
        let routes = self.routes.iter().filter(|route| place.holds(route));
        routes
            .map(|route| {
                let family = Family::of(route.destination.addr());
                (family, nexthop::paths_of(route, &self.nexthops))
            })
            .collect()
    }
}

/// An interface and what the kernel knows about the way through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: IfIndex,
    /// Its name.
    pub name: InterfaceName,
    /// Someone set it up (`IFF_UP`).
    pub is_up: bool,
    /// It has a carrier (`IFF_LOWER_UP`).
    pub has_carrier: bool,
    /// It has one far end and needs no next hop (`IFF_POINTOPOINT`).
    pub is_point_to_point: bool,
    /// Its addresses, those that are tentative or failed DAD left out, in the kernel's order
    /// (primary first).
    pub addresses: Vec<LinkAddress>,
    /// What its point-to-point addresses say is at the far end.
    pub peers: Vec<IpNet>,
    /// The default routes through it that others wrote and that have not expired, best first.
    pub defaults: Vec<LearnedDefault>,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkAddress {
    /// The address with the length of its prefix.
    pub net: IpNet,
    /// Only what is under way may use it (RFC 4862, 5.5.4).
    pub is_deprecated: bool,
    /// It gives way to another one within a day or so (RFC 8981).
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

/// A default route that someone else wrote: the kernel itself when a router advertised it, a DHCP
/// client, netifd, a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LearnedDefault {
    /// Its family.
    pub family: Family,
    /// Its metric.
    pub metric: Metric,
    /// What its router thinks of itself.
    pub preference: Preference,
    /// Its next hop, if it has one.
    pub gateway: Option<IpAddr>,
    /// It carries the `onlink` flag.
    pub onlink: bool,
    /// It holds for packets from here only. Such a route tells which prefix the provider behind it
    /// has delegated.
    pub source: Option<IpNet>,
}

/// A router's preference among those of its link (RFC 4191), best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preference {
    /// Before the others.
    High,
    /// As any other, and all of IPv4.
    #[default]
    Medium,
    /// After the others.
    Low,
}

/// What the configuration says about the ways through an uplink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Where its IPv4 next hop comes from.
    pub gateway: Gateway,
    /// Where its IPv6 next hop comes from.
    pub gateway6: Gateway,
    /// What its provider delegates.
    pub prefixes: Prefixes,
}

impl Hints {
    fn gateway_of(&self, family: Family) -> Gateway {
        match family {
            Family::Ipv4 => self.gateway,
            Family::Ipv6 => self.gateway6,
        }
    }
}

/// The IPv6 prefixes that a provider delegates for the networks behind this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prefixes {
    /// From the kernel's default routes that hold for one source only, as netifd writes them.
    #[default]
    Auto,
    /// From the configuration.
    Listed(Vec<Ipv6Net>),
}

/// Where an uplink's next hop comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gateway {
    /// From the kernel's routes.
    #[default]
    Auto,
    /// From the configuration.
    Address(IpAddr),
    /// There is none: point to point, raw-ip.
    None,
}

/// Where our routes stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoutingMode {
    /// In tables of our own, to which rules of our own lead.
    #[default]
    Table,
    /// In the main table, beside the default routes of others, and without any rule: for machines
    /// without policy routing and for software that reads the main table.
    Main,
}

/// Where our routes stand, and the numbers by which they and our rules are known. All in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Numbering {
    /// Where our routes stand.
    pub mode: RoutingMode,
    /// The protocol number of all our routes and rules.
    pub protocol: Protocol,
    /// The table for all traffic that no group claims; the uplinks' tables follow it in the order
    /// of the configuration.
    pub table: TableId,
    /// The table of the first group; those of the others follow it.
    pub group_table: TableId,
    /// The priority of the first of our rules: main without its default, then `fwmark MARK`, then
    /// `from ADDRESS`, then `oif DEVICE`, then those of groups, one after the other.
    pub rule: RulePriority,
    /// The priority of our last rule, which sends everything else to [`Numbering::table`]. It must
    /// stand before main (32766) and after the rules of VPNs.
    pub default_rule: RulePriority,
    /// The mark of the first uplink's probes; those of the others follow it in the order of the
    /// configuration.
    pub mark: Mark,
    /// In [`RoutingMode::Main`], the metric of the default route that carries the traffic.
    pub metric: Metric,
    /// The number of our first nexthop object; see [`nexthop`].
    pub nexthop: NextHopId,
}

impl Default for Numbering {
    fn default() -> Self {
        Self {
            mode: RoutingMode::default(),
            protocol: Protocol(117),
            table: TableId(11_700),
            group_table: TableId(11_800),
            rule: RulePriority(32_000),
            // `wg-quick` takes the highest free priorities below main, 32765 and 32764, and the
            // kernel puts a rule behind those of its own priority that are already there.
            default_rule: RulePriority(32_765),
            // "up"; none of its bits are among those that mwan3 (0x3f00) and Tailscale (0xff0000,
            // of which it takes 0x40000 and 0x80000) look at.
            mark: Mark(0x7570_0000),
            // NetworkManager gives VPNs 50, which go before us, and wired links 100; networkd and
            // routers that advertise themselves 1024.
            metric: Metric(60),
            nexthop: NextHopId(11_700_000),
        }
    }
}

/// How an uplink is attached to the machine right now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Why nothing can go through it, if that is plain from the link alone.
    pub trouble: Option<Trouble>,
    /// The index of its interface, if that exists.
    pub index: Option<IfIndex>,
    /// The addresses of its interface by which it is known: those of link-local scope, deprecated
    /// and temporary ones left out.
    pub addresses: BTreeSet<IpAddr>,
    /// All addresses from which packets go through it, each with its prefix.
    #[serde(default)]
    pub sources: BTreeSet<IpNet>,
    /// The prefixes that are delegated through it.
    #[serde(default)]
    pub prefixes: BTreeSet<IpNet>,
    /// The way out for each family that has one; kept without carrier, as the kernel does.
    pub paths: BTreeMap<Family, Path>,
    /// The way out for each family of which all addresses are deprecated: for what is under way,
    /// and nothing new.
    #[serde(default)]
    pub retiring: BTreeMap<Family, Path>,
}

/// What is wrong with a link before any probe is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// There is no such interface.
    Absent,
    /// It is administratively down.
    Down,
    /// It has no carrier.
    NoCarrier,
    /// It has no address.
    NoAddress,
    /// No next hop is known for it.
    NoNextHop,
}
