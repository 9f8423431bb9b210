//! How an uplink is attached: from the interface that the kernel holds to the paths through it. Pure.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::numbering::MOST_NEXT_HOPS;
use super::observed::{Link, LinkAddress};
use super::route::{Family, Path};
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{HopPlace, IfIndex, InterfaceName, Weight};

/// How an uplink is attached: its trouble, its source addresses and a path for each family.
///
/// The next hop is the configured one, else that of the best default route of another program through
/// this interface, else that of our own route (`own`), as long as it is on the link: so it outlasts a
/// DHCP client that removes its default route from main, and a restart. A link-local next hop is not
/// kept like that: it was advertised, and expires or is withdrawn (RFC 4861, 6.3.4). Where several next
/// hops are known, that of our own route is gone on with, if it is one of them. A point-to-point
/// interface needs no next hop. Without carrier the paths stay, as the kernel keeps the routes; an
/// interface that is down has none.
///
/// A family has a path only with a source address: an address of more than link-local scope or a
/// delegated prefix. If all its addresses are deprecated, the path serves existing flows only.
pub fn attach(link: Option<&Link>, hints: &Hints, own: &SortedMap<Family, Path>) -> Attachment {
    let Some(link) = link else {
        return Attachment {
            trouble: Some(Trouble::Absent),
            ..Attachment::default()
        };
    };
    let prefixes = prefixes(link, &hints.prefixes);
    let serves = |family, is_fit: fn(&LinkAddress) -> bool| {
        let has_prefix = prefixes
            .iter()
            .any(|prefix| Family::of(prefix.addr()) == family);
        has_prefix || addresses(link, family).any(is_fit)
    };
    let ways = Family::ROUTED
        .into_iter()
        .filter(|family| link.is_up && serves(*family, |_| true))
        .filter_map(|family| Some((family, path(link, family, hints, own.get(&family))?)));
    let (paths, retiring): (SortedMap<_, _>, _) =
        ways.partition(|(family, _)| serves(*family, is_preferred));
    let several = paths.keys().filter_map(|family| {
        let hops = learned(link, *family);
        let is_learned = hints.gateway_of(*family) == Gateway::Auto && hops.len() > 1;
        is_learned.then_some((*family, hops))
    });
    let addresses = lasting_addresses(link);
    Attachment {
        trouble: trouble(link, &addresses, &paths),
        index: Some(link.index),
        addresses,
        tentative: tentative(link),
        sources: sources(link),
        prefixes,
        next_hops: several.collect(),
        paths,
        retiring,
    }
}

/// What the configuration says about the paths through an uplink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Where its IPv4 next hop comes from.
    pub gateway: Gateway,
    /// Where its IPv6 next hop comes from.
    pub gateway6: Gateway,
    /// The prefixes that its provider delegates.
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

/// The IPv6 prefixes that a provider delegates for the networks behind this router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prefixes {
    /// From the kernel's source-specific default routes, as netifd writes them.
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

/// How an uplink is attached to this machine now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Why the link alone prevents traffic, if it does.
    pub trouble: Option<Trouble>,
    /// The index of its interface, if that exists.
    pub index: Option<IfIndex>,
    /// The lasting addresses of its interface: without link-local, deprecated and temporary ones.
    pub addresses: SortedSet<IpAddr>,
    /// Its addresses that are tentative: they may be used when duplicate address detection ends.
    #[serde(default, skip_serializing_if = "SortedSet::is_empty")]
    pub tentative: SortedSet<IpAddr>,
    /// All source addresses of packets through it, each with its prefix.
    #[serde(default)]
    pub sources: SortedSet<IpNet>,
    /// The prefixes that are delegated through it.
    #[serde(default)]
    pub prefixes: SortedSet<IpNet>,
    /// The path of each family that has one; kept without carrier.
    pub paths: SortedMap<Family, Path>,
    /// All paths of each family that has several next hops, best first; three at most.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub next_hops: SortedMap<Family, Vec<Path>>,
    /// The path of each family whose addresses are all deprecated: for existing flows only.
    #[serde(default)]
    pub retiring: SortedMap<Family, Path>,
}

/// Why a link cannot carry traffic.
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

impl Attachment {
    /// The path of a family, deprecated or not.
    pub(super) fn way(&self, family: Family) -> Option<&Path> {
        let retiring = || self.retiring.get(&family);
        self.paths.get(&family).or_else(retiring)
    }

    /// The families that have a path.
    pub(super) fn families(&self) -> impl Iterator<Item = &Family> {
        self.paths.keys().chain(self.retiring.keys())
    }

    /// The next hops of a family that has several, by their places.
    pub(super) fn hops(&self, family: Family) -> impl Iterator<Item = (HopPlace, &Path)> {
        let hops = self.next_hops.get(&family).into_iter().flatten();
        (0..).map(HopPlace).zip(hops)
    }

    /// Its addresses of a family that are valid beyond the link, each with its prefix.
    pub(super) fn sources_of(&self, family: Family) -> impl Iterator<Item = IpNet> {
        let sources = self.sources.iter().copied();
        sources.filter(move |net| Family::of(net.addr()) == family && !is_scoped(net.addr()))
    }
}

/// An uplink as routing needs it.
#[derive(Clone, Copy, Debug)]
pub struct UplinkRoutes<'a> {
    /// Its place in the configuration, from 0.
    pub position: u32,
    /// Its interface.
    pub interface: &'a InterfaceName,
    /// How it is attached.
    pub attachment: &'a Attachment,
}

fn trouble(
    link: &Link,
    addresses: &SortedSet<IpAddr>,
    paths: &SortedMap<Family, Path>,
) -> Option<Trouble> {
    if !link.is_up {
        Some(Trouble::Down)
    } else if !link.has_carrier {
        Some(Trouble::NoCarrier)
    } else if !paths.is_empty() {
        None
    } else if addresses.is_empty() {
        Some(Trouble::NoAddress)
    } else {
        Some(Trouble::NoNextHop)
    }
}

/// The addresses of a family that are valid beyond the link; IPv4 link-local ones are included.
fn addresses(link: &Link, family: Family) -> impl Iterator<Item = &LinkAddress> {
    link.addresses.iter().filter(move |address| {
        let address = address.net.addr();
        Family::of(address) == family && !address.is_loopback() && !is_link_local6(address)
    })
}

fn is_preferred(address: &LinkAddress) -> bool {
    !address.is_deprecated
}

fn lasting_addresses(link: &Link) -> SortedSet<IpAddr> {
    Family::ROUTED
        .into_iter()
        .flat_map(|family| addresses(link, family))
        .filter(|address| !address.is_deprecated && !address.is_temporary)
        .map(|address| address.net.addr())
        .collect()
}

fn tentative(link: &Link) -> SortedSet<IpAddr> {
    let tentative = link.tentative.iter().copied();
    tentative
        .filter(|address| !is_link_local6(*address))
        .collect()
}

fn sources(link: &Link) -> SortedSet<IpNet> {
    Family::ROUTED
        .into_iter()
        .flat_map(|family| addresses(link, family))
        .map(|address| address.net)
        .collect()
}

fn prefixes(link: &Link, prefixes: &Prefixes) -> SortedSet<IpNet> {
    match prefixes {
        Prefixes::Listed(listed) => listed.iter().map(|net| IpNet::V6(net.trunc())).collect(),
        Prefixes::Auto => {
            let sources = link.defaults.iter().filter_map(|default| default.source);
            let reaches_beyond = |net: &IpNet| !is_link_local6(net.addr());
            sources
                .filter(reaches_beyond)
                .map(|net| net.trunc())
                .collect()
        }
    }
}

fn path(link: &Link, family: Family, hints: &Hints, own: Option<&Path>) -> Option<Path> {
    match hints.gateway_of(family) {
        Gateway::None => Some(through(link, family, None)),
        Gateway::Address(address) => {
            (Family::of(address) == family).then(|| through(link, family, Some(address)))
        }
        Gateway::Auto => (learned(link, family).into_iter())
            .min_by_key(|path| own.is_none_or(|own| own.gateway != path.gateway))
            .or_else(|| own.filter(|own| still_holds(link, own)).cloned())
            .or_else(|| link.is_point_to_point.then(|| through(link, family, None))),
    }
}

/// By the default routes of other programs, best first. A route for another source prefix than that of the
/// best is for packets of another provider.
fn learned(link: &Link, family: Family) -> Vec<Path> {
    let mut defaults: Vec<_> = link
        .defaults
        .iter()
        .filter(|default| default.family == family)
        .collect();
    defaults.sort_by_key(|default| (default.metric, default.preference));
    let mut paths: Vec<Path> = Vec::new();
    for default in &defaults {
        let is_alike = default.source.is_none() || default.source == defaults[0].source;
        let is_known = paths.iter().any(|path| path.gateway == default.gateway);
        let is_hop = default.gateway.is_some() || paths.is_empty();
        if is_alike && is_hop && !is_known && paths.len() < usize::from(MOST_NEXT_HOPS) {
            let path = through(link, family, default.gateway);
            let onlink = path.onlink || (default.onlink && default.gateway.is_some());
            paths.push(Path { onlink, ..path });
        }
    }
    paths
}

fn still_holds(link: &Link, own: &Path) -> bool {
    let is_reachable = own.gateway.is_some_and(|gateway| {
        !is_link_local6(gateway) && (own.onlink || is_on_link(link, gateway))
    });
    own.index == link.index && is_reachable
}

/// A next hop outside every prefix of the link is used as `onlink`. What the best default route by it says
/// beyond the path is kept: the provider may take packets of one address only, or of one size.
fn through(link: &Link, family: Family, gateway: Option<IpAddr>) -> Path {
    let mut defaults = link.defaults.iter();
    let by_it = defaults.find(|default| (default.family, default.gateway) == (family, gateway));
    Path {
        index: link.index,
        gateway,
        onlink: gateway.is_some_and(|gateway| !is_on_link(link, gateway)),
        weight: Weight(1),
        options: by_it.and_then(|default| default.options.boxed()),
    }
}

fn is_on_link(link: &Link, gateway: IpAddr) -> bool {
    let own = link.addresses.iter().map(|address| &address.net);
    let mut prefixes = own.chain(&link.peers);
    is_link_local6(gateway) || prefixes.any(|prefix| prefix.contains(&gateway))
}

/// An IPv6 address that is on every link.
pub fn is_link_local6(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// An address that is not valid beyond its own link or host.
fn is_scoped(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_loopback(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address.is_loopback(),
    }
}
