//! From what the kernel says about an interface to the way out through it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Attachment, Family, Gateway, Link, Path, Trouble};
use crate::units::Weight;

/// How an uplink is attached: its trouble, its addresses and a path for each family.
///
/// The next hop is the configured one, else that of the best default route which someone else wrote
/// through this interface, else the one our own table still holds (`own`), as long as it is on the
/// link: a DHCP client that takes its default route out of main, or a restart, loses nothing.
/// A point-to-point interface needs none. Without carrier the paths are kept, as the kernel keeps
/// the routes; an interface that is down has none.
pub fn attach(link: Option<&Link>, gateway: Gateway, own: &BTreeMap<Family, Path>) -> Attachment {
    let Some(link) = link else {
        return Attachment {
            trouble: Some(Trouble::Absent),
            ..Attachment::default()
        };
    };
    let paths = if link.is_up {
        paths(link, gateway, own)
    } else {
        BTreeMap::new()
    };
    let addresses = addresses(link);
    Attachment {
        trouble: trouble(link, &addresses, &paths),
        index: Some(link.index),
        addresses,
        paths,
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
    } else if addresses.is_empty() {
        Some(Trouble::NoAddress)
    } else if paths.is_empty() {
        Some(Trouble::NoNextHop)
    } else {
        None
    }
}

fn addresses(link: &Link) -> BTreeSet<IpAddr> {
    link.addresses
        .iter()
        .map(ipnet::IpNet::addr)
        .filter(|address| Family::ROUTED.contains(&Family::of(*address)))
        .filter(|address| !address.is_loopback())
        .collect()
}

fn paths(link: &Link, gateway: Gateway, own: &BTreeMap<Family, Path>) -> BTreeMap<Family, Path> {
    Family::ROUTED
        .into_iter()
        .filter(|family| has_address(link, *family))
        .filter_map(|family| Some((family, path(link, family, gateway, own.get(&family))?)))
        .collect()
}

fn path(link: &Link, family: Family, gateway: Gateway, own: Option<&Path>) -> Option<Path> {
    match gateway {
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
        .min_by_key(|default| default.metric)?;
    let path = through(link, best.gateway);
    let onlink = path.onlink || (best.onlink && best.gateway.is_some());
    Some(Path { onlink, ..path })
}

fn still_holds(link: &Link, own: Path) -> bool {
    let is_reachable = own
        .gateway
        .is_some_and(|gateway| own.onlink || is_on_link(link, gateway));
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
    let is_link_local = matches!(gateway, IpAddr::V6(address) if address.is_unicast_link_local());
    let mut prefixes = link.addresses.iter().chain(&link.peers);
    is_link_local || prefixes.any(|prefix| prefix.contains(&gateway))
}

fn has_address(link: &Link, family: Family) -> bool {
    addresses(link)
        .into_iter()
        .any(|address| Family::of(address) == family)
}
