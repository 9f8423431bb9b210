//! Kinds of values that are addresses: prefixes, next hops, name servers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

use super::document::ConfigValue;
use super::error::{Fault, Hint};
use super::kinds::{Own, Text, ValueKind, own, text, text_of};
use crate::routing::{Gateway, Prefixes};

/// A prefix or an address, or a list of them.
pub(super) const NETS: Own<Vec<IpNet>> = own(
    "a prefix such as \"192.168.1.0/24\", an address, or a list of them",
    |value| match value.as_items(0).as_deref() {
        Some([]) => Err(Fault::value(value, "a prefix or a list of them")),
        Some(nodes) => nodes.iter().map(|node| NET.parse(&node.value)).collect(),
        None => Ok(vec![NET.parse(value)?]),
    },
);

pub(super) const NET: Text<IpNet> = text_of(
    "a prefix such as \"192.168.1.0/24\", or an address",
    |text| {
        let address = text.parse::<IpAddr>().ok().map(IpNet::from);
        // One of no length is everything, which the kernel does not list as a prefix.
        let is_whole = |net: &IpNet| net.addr() == net.network() && net.prefix_len() > 0;
        text.parse().ok().or(address).filter(is_whole)
    },
);

/// An IPv4 next hop, or where it comes from.
pub(super) const GATEWAY: Own<Gateway> = own(
    "\"auto\", \"none\" or the IPv4 address of a router",
    |value| gateway(value, &GATEWAY.takes(), "gateway6"),
);

/// An IPv6 next hop, or where it comes from.
pub(super) const GATEWAY6: Own<Gateway> = own(
    "\"auto\", \"none\" or the IPv6 address of a router",
    |value| gateway(value, &GATEWAY6.takes(), "gateway"),
);

/// A next hop of the family that is not that of the key `other`.
fn gateway(value: &ConfigValue, takes: &str, other: &str) -> Result<Gateway, Fault> {
    let text = text(value)?;
    let is_other_family = |address: &IpAddr| address.is_ipv6() == (other == "gateway6");
    let is_router = |address: &IpAddr| match address {
        IpAddr::V4(address) => is_host(*address),
        IpAddr::V6(address) => is_router(*address),
    };
    match (text, text.parse::<IpAddr>()) {
        ("auto", _) => Ok(Gateway::Auto),
        ("none", _) => Ok(Gateway::None),
        (_, Ok(address)) if is_other_family(&address) && is_router(&address) => {
            let family = if address.is_ipv6() { "IPv6" } else { "IPv4" };
            let hint = format!("an {family} next hop belongs in `{other}`");
            Err(Fault::value_or(value, takes, Hint::Advice(hint)))
        }
        (_, Ok(address)) if is_router(&address) => Ok(Gateway::Address(address)),
        (_, Ok(_) | Err(_)) => Err(Fault::value(value, takes)),
    }
}

fn is_router(address: Ipv6Addr) -> bool {
    let is_no_host = address.is_unspecified() || address.is_multicast() || address.is_loopback();
    !is_no_host && address.to_ipv4_mapped().is_none()
}

/// The IPv6 prefixes that a provider delegates, or where they are learnt.
pub(super) const PREFIXES: Own<Prefixes> = own("\"auto\" or a list of IPv6 prefixes", |value| {
    if value.as_text() == Some("auto") {
        return Ok(Prefixes::Auto);
    }
    let nodes = value.as_items(0);
    let nodes = nodes.ok_or_else(|| Fault::value(value, PREFIXES.takes()))?;
    let prefixes = nodes.iter().map(|node| PREFIX.parse(&node.value));
    Ok(Prefixes::Listed(prefixes.collect::<Result<_, _>>()?))
});

const PREFIX: Text<Ipv6Net> = text_of(
    "the prefix of a network, such as \"2001:db8:1::/48\"",
    |text| {
        let is_delegated = |net: &Ipv6Net| {
            let is_whole = net.addr() == net.network() && net.prefix_len() > 0;
            is_whole && is_router(net.addr()) && !net.addr().is_unicast_link_local()
        };
        text.parse().ok().filter(is_delegated)
    },
);

/// The address of a name server.
pub(super) const RESOLVER: Text<IpAddr> =
    text_of("the address of a name server beyond this machine", |text| {
        text.parse().ok().filter(|address| is_global_host(*address))
    });

/// The address of one host that is not on the link alone.
pub(super) fn is_global_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_host(address),
        IpAddr::V6(address) => is_router(address) && !address.is_unicast_link_local(),
    }
}

fn is_host(address: Ipv4Addr) -> bool {
    let is_no_host = address.octets()[0] == 0;
    !(is_no_host || address.is_multicast() || address.is_broadcast() || address.is_loopback())
}
