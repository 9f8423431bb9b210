//! From what the kernel says about an interface to the way out through it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Attachment, Family, Gateway, Hints, Link, LinkAddress, Path, Prefixes, Trouble};
use crate::units::Weight;

/// How an uplink is attached: its trouble, where its packets come from and a path for each family.
///
/// The next hop is the configured one, else that of the best default route which someone else wrote
/// through this interface, else the one our own table still holds (`own`), as long as it is on the
/// link: a DHCP client that takes its default route out of main, or a restart, loses nothing. A
/// link-local next hop is not remembered like that: it was advertised, and is gone when its lifetime
/// has passed or its router says so (RFC 4861, 6.3.4). A point-to-point interface needs none.
/// Without carrier the paths are kept, as the kernel keeps the routes; an interface that is down has
/// none.
///
/// A family has a way out only if there is something to come from: an address of more than
/// link-local scope or a delegated prefix. If all such addresses are deprecated, the path is there
/// for what is under way, and nothing new is sent along it.
pub fn attach(link: Option<&Link>, hints: &Hints, own: &BTreeMap<Family, Path>) -> Attachment {
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
    let (paths, retiring) = ways.partition(|(family, _)| serves(*family, is_preferred));
    let addresses = lasting_addresses(link);
    Attachment {
        trouble: trouble(link, &addresses, &paths),
        index: Some(link.index),
        addresses,
        sources: sources(link),
        prefixes,
        paths,
        retiring,
    }
}

fn trouble(
    link: &Link,
    addresses: &BTreeSet<IpAddr>,
    paths: &BTreeMap<Family, Path>,
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

/// The addresses of a family that mean something beyond the link, or did in IPv4's early days.
fn addresses(link: &Link, family: Family) -> impl Iterator<Item = &LinkAddress> {
    link.addresses.iter().filter(move |address| {
        let address = address.net.addr();
        Family::of(address) == family && !address.is_loopback() && !is_link_local6(address)
    })
}

fn is_preferred(address: &LinkAddress) -> bool {
    !address.is_deprecated
}

fn lasting_addresses(link: &Link) -> BTreeSet<IpAddr> {
    Family::ROUTED
        .into_iter()
        .flat_map(|family| addresses(link, family))
        .filter(|address| !address.is_deprecated && !address.is_temporary)
        .map(|address| address.net.addr())
        .collect()
}

fn sources(link: &Link) -> BTreeSet<IpNet> {
    Family::ROUTED
        .into_iter()
        .flat_map(|family| addresses(link, family))
        .map(|address| address.net)
        .collect()
}

fn prefixes(link: &Link, prefixes: &Prefixes) -> BTreeSet<IpNet> {
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
        Gateway::None => Some(through(link, None)),
        Gateway::Address(address) => {
            (Family::of(address) == family).then(|| through(link, Some(address)))
        }
        Gateway::Auto => learned(link, family)
            .or_else(|| own.copied().filter(|own| still_holds(link, *own)))
            .or_else(|| link.is_point_to_point.then(|| through(link, None))),
    }
}

fn learned(link: &Link, family: Family) -> Option<Path> {
    let best = link
        .defaults
        .iter()
        .filter(|default| default.family == family)
        .min_by_key(|default| (default.metric, default.preference))?;
    let path = through(link, best.gateway);
    let onlink = path.onlink || (best.onlink && best.gateway.is_some());
    Some(Path { onlink, ..path })
}

fn still_holds(link: &Link, own: Path) -> bool {
    let is_reachable = own.gateway.is_some_and(|gateway| {
        !is_link_local6(gateway) && (own.onlink || is_on_link(link, gateway))
    });
    own.index == link.index && is_reachable
}

/// A next hop outside every prefix of the link is taken at its word: it is `onlink`.
fn through(link: &Link, gateway: Option<IpAddr>) -> Path {
    Path {
        index: link.index,
        gateway,
        onlink: gateway.is_some_and(|gateway| !is_on_link(link, gateway)),
        weight: Weight(1),
    }
}

fn is_on_link(link: &Link, gateway: IpAddr) -> bool {
    let own = link.addresses.iter().map(|address| &address.net);
    let mut prefixes = own.chain(&link.peers);
    is_link_local6(gateway) || prefixes.any(|prefix| prefix.contains(&gateway))
}

fn is_link_local6(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}
