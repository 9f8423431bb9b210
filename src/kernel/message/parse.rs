//! The kernel's lists, attribute by attribute.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use netlink_packet_core::NlaBuffer;
use netlink_packet_route::address::AddressHeader;
use netlink_packet_route::link::{LinkFlags, LinkHeader};
use netlink_packet_route::route::{RouteFlags, RouteHeader, RouteNextHopFlags, RouteType};
use netlink_packet_route::rule::{RuleAction, RuleFlags, RuleHeader};

use super::codes::{RTA_ENCAP, RTA_ENCAP_TYPE, RTA_METRICS, RTA_PREFSRC, RTAX_CC_ALGO};
use super::entry::{
    AddressEntry, DEAD_ENDS, DumpEntry, LinkDetails, LinkEntry, LinkKind, RouteEntry, RuleEntry,
};
use super::wire::{attributes, family_of, ip_of, u16_of, u32_of};
use crate::routing::traffic::Ports;
use crate::routing::{Encapsulation, LinkAddress, Path, Preference, Route, RouteOptions, Rule};
use crate::units::{
    IfIndex, InterfaceName, IpProtocol, Mark, Metric, NextHopId, Protocol, RulePriority, TableId,
    Weight,
};

const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
/// The tunnels of routers and VPNs; `tun` is that of OpenVPN and Tailscale.
const TUNNELS: [&[u8]; 13] = [
    b"wireguard",
    b"tun",
    b"ipip",
    b"sit",
    b"gre",
    b"gretap",
    b"ip6tnl",
    b"ip6gre",
    b"vti",
    b"vti6",
    b"xfrm",
    b"vxlan",
    b"geneve",
];

pub(super) fn link(body: &[u8]) -> Option<LinkEntry> {
    let header = LinkHeader::parse(body).ok()?;
    let name = attributes(body, 16).find(|attribute| attribute.kind() == IFLA_IFNAME)?;
    Some(LinkEntry {
        index: IfIndex::new(header.index)?,
        name: name_of(name.value())?,
        is_up: header.flags.contains(LinkFlags::Up),
        has_carrier: header.flags.contains(LinkFlags::LowerUp),
        is_point_to_point: header.flags.contains(LinkFlags::Pointopoint),
        details: details(body),
    })
}

fn details(body: &[u8]) -> LinkDetails {
    let mut details = LinkDetails::default();
    for attribute in attributes(body, 16) {
        match attribute.kind() {
            IFLA_MASTER => details.master = u32_of(attribute.value()).and_then(IfIndex::new),
            IFLA_LINKINFO => {
                let mut info = attributes(attribute.value(), 0);
                let kind = info.find(|one| one.kind() == IFLA_INFO_KIND);
                details.kind = kind.map_or(LinkKind::Other, |kind| kind_of(kind.value()));
            }
            _ => {}
        }
    }
    details
}

fn kind_of(value: &[u8]) -> LinkKind {
    match value.strip_suffix(b"\0").unwrap_or(value) {
        b"vrf" => LinkKind::Vrf,
        tunnel if TUNNELS.contains(&tunnel) => LinkKind::Tunnel,
        _ => LinkKind::Other,
    }
}

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
/// In IPv4 the same bit means `IFA_F_SECONDARY`.
const IFA_F_TEMPORARY: u32 = 0x01;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_DEPRECATED: u32 = 0x20;
const IFA_F_TENTATIVE: u32 = 0x40;

pub(super) fn address(body: &[u8]) -> Option<AddressEntry> {
    let header = AddressHeader::parse(body).ok()?;
    let mut flags = u32::from(header.flags.bits());
    let (mut near, mut far) = (None, None);
    for attribute in attributes(body, 8) {
        match attribute.kind() {
            IFA_LOCAL => near = ip_of(attribute.value()),
            IFA_ADDRESS => far = ip_of(attribute.value()),
            IFA_FLAGS => flags = u32_of(attribute.value())?,
            _ => {}
        }
    }
    // One that failed duplicate address detection stays tentative.
    let has_failed = flags & IFA_F_DADFAILED != 0;
    let index = IfIndex::new(header.index).filter(|_| !has_failed)?;
    let prefix = |address| IpNet::new(address, header.prefix_len).ok();
    let (net, peer) = match (near, far) {
        (Some(near), Some(far)) if near != far => (IpNet::from(near), prefix(far)),
        (near, far) => (prefix(near.or(far)?)?, None),
    };
    Some(AddressEntry {
        index,
        address: LinkAddress {
            net,
            is_deprecated: flags & IFA_F_DEPRECATED != 0,
            is_temporary: flags & IFA_F_TEMPORARY != 0 && matches!(net, IpNet::V6(_)),
        },
        is_tentative: flags & IFA_F_TENTATIVE != 0,
        peer,
    })
}

const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_MULTIPATH: u16 = 9;
const RTA_CACHEINFO: u16 = 12;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTA_PREF: u16 = 20;
const RTA_NH_ID: u16 = 30;
const RTM_F_CLONED: u32 = 0x200;
const ROUTE_HEADER: usize = 12;

pub(super) fn route(body: &[u8]) -> Option<DumpEntry> {
    let header = RouteHeader::parse(body).ok()?;
    let is_cloned = header.flags.bits() & RTM_F_CLONED != 0;
    let is_dead_end = header.kind == RouteType::Throw || DEAD_ENDS.contains(&header.kind);
    let is_routed = is_dead_end || header.kind == RouteType::Unicast;
    if is_cloned || !is_routed || header.tos != 0 {
        return None;
    }
    let mut entry = route_entry(&header, body)?;
    let paths = &mut entry.route.paths;
    if is_dead_end {
        // The kernel lists IPv6 ones with the loopback interface.
        paths.clear();
    } else if paths.is_empty() {
        let onlink = header.flags.contains(RouteFlags::Onlink);
        let single = single_path(attributes(body, ROUTE_HEADER), onlink);
        // That of a nexthop object is not always listed (`net.ipv4.nexthop_compat_mode`).
        if single.is_none() && entry.route.group.is_none() {
            return None;
        }
        paths.extend(single);
    }
    if entry.route.group.is_some() {
        entry.through = std::mem::take(&mut entry.route.paths);
    }
    entry.route = entry.route.canonical();
    Some(if is_dead_end {
        DumpEntry::DeadEnd(entry)
    } else {
        DumpEntry::Route(entry)
    })
}

/// A route; the path of one that has no list of paths is left out.
fn route_entry(header: &RouteHeader, body: &[u8]) -> Option<RouteEntry> {
    let family = family_of(u8::from(header.address_family))?;
    let mut destination = family.default_destination().addr();
    let mut entry = RouteEntry {
        protocol: Protocol(header.protocol.into()),
        route: Route {
            table: TableId(header.table.into()),
            destination: family.default_destination(),
            metric: Metric(0),
            paths: Vec::new(),
            group: None,
            options: options(attributes(body, ROUTE_HEADER)),
        },
        through: Vec::new(),
        source: None,
        preference: Preference::default(),
        expires_in: None,
    };
    let route = &mut entry.route;
    for attribute in attributes(body, ROUTE_HEADER) {
        let value = attribute.value();
        match attribute.kind() {
            RTA_NH_ID => route.group = Some(NextHopId(u32_of(value)?)),
            RTA_TABLE => route.table = TableId(u32_of(value)?),
            RTA_PRIORITY => route.metric = Metric(u32_of(value)?),
            RTA_DST => destination = ip_of(value)?,
            RTA_MULTIPATH => route.paths = next_hops(value)?,
            RTA_SRC => {
                entry.source = IpNet::new(ip_of(value)?, header.source_prefix_length).ok();
            }
            RTA_PREF => entry.preference = preference_of(*value.first()?),
            RTA_CACHEINFO => entry.expires_in = lifetime(value),
            _ => {}
        }
    }
    route.destination = IpNet::new(destination, header.destination_prefix_length).ok()?;
    Some(entry)
}

/// What a route, or one of its paths, says beyond the path.
fn options<'a>(attributes: impl Iterator<Item = NlaBuffer<&'a [u8]>>) -> RouteOptions {
    let mut options = RouteOptions::default();
    let (mut kind, mut inside) = (None, None);
    for attribute in attributes {
        let value = attribute.value();
        match attribute.kind() {
            RTA_PREFSRC => options.source = ip_of(value),
            RTA_METRICS => metrics(value, &mut options),
            RTA_ENCAP_TYPE => kind = u16_of(value),
            RTA_ENCAP => inside = Some(value.to_vec()),
            _ => {}
        }
    }
    let encapsulation = kind.zip(inside);
    options.encapsulation =
        encapsulation.map(|(kind, attributes)| Encapsulation { kind, attributes });
    options
}

fn metrics(value: &[u8], options: &mut RouteOptions) {
    for metric in attributes(value, 0) {
        let value = metric.value();
        if metric.kind() == RTAX_CC_ALGO {
            let name = value.strip_suffix(b"\0").unwrap_or(value);
            options.congestion_control = std::str::from_utf8(name).ok().map(str::to_owned);
        } else if let Some(value) = u32_of(value) {
            options.metrics.insert(metric.kind(), value);
        }
    }
}

/// `ICMPV6_ROUTER_PREF_*` (`linux/icmpv6.h`), as on the wire (RFC 4191, 2.1).
fn preference_of(code: u8) -> Preference {
    match code {
        1 => Preference::High,
        3 => Preference::Low,
        _ => Preference::Medium,
    }
}

/// The third field of `struct rta_cacheinfo` (`linux/rtnetlink.h`), in hundredths of a second: 0 for
/// an unlimited lifetime, negative once it is over.
fn lifetime(value: &[u8]) -> Option<Duration> {
    const EXPIRES: std::ops::Range<usize> = 8..12;
    let ticks = i32::from_ne_bytes(value.get(EXPIRES)?.try_into().ok()?);
    let left = u64::try_from(ticks).unwrap_or(0);
    (ticks != 0).then(|| Duration::from_millis(left * 10))
}

fn single_path<'a>(
    attributes: impl Iterator<Item = NlaBuffer<&'a [u8]>>,
    onlink: bool,
) -> Option<Path> {
    let (mut index, mut gateway) = (None, None);
    for attribute in attributes {
        match attribute.kind() {
            RTA_OIF => index = u32_of(attribute.value()),
            kind => gateway = next_hop(kind, attribute.value()).or(gateway),
        }
    }
    Some(Path {
        index: IfIndex::new(index?)?,
        gateway,
        onlink,
        weight: Weight(1),
        options: None,
    })
}

/// A next hop of the route's family, or of the other one (`struct rtvia`: family, address).
fn next_hop(kind: u16, value: &[u8]) -> Option<IpAddr> {
    match kind {
        RTA_GATEWAY => ip_of(value),
        RTA_VIA => ip_of(value.get(2..)?),
        _ => None,
    }
}

/// `struct rtnexthop`: length (2), flags (1), weight - 1 (1), interface (4), attributes.
fn next_hops(mut rest: &[u8]) -> Option<Vec<Path>> {
    let mut paths = Vec::new();
    while let Some([low, high, flags, hops, index @ ..]) = rest.first_chunk::<8>() {
        let length = usize::from(u16::from_ne_bytes([*low, *high]));
        let one = rest.get(..length).filter(|_| length >= 8)?;
        let gateway =
            attributes(one, 8).find_map(|attribute| next_hop(attribute.kind(), attribute.value()));
        paths.push(Path {
            index: IfIndex::new(u32_of(index)?)?,
            gateway,
            onlink: RouteNextHopFlags::from_bits_retain(*flags).contains(RouteNextHopFlags::Onlink),
            weight: Weight(hops.saturating_add(1)),
            options: options(attributes(one, 8)).boxed(),
        });
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(paths)
}

const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_GOTO: u16 = 4;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_FWMASK: u16 = 16;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_OIFNAME: u16 = 17;
const FRA_PAD: u16 = 18;
const FRA_PROTOCOL: u16 = 21;
const FRA_IP_PROTO: u16 = 22;
const FRA_SPORT_RANGE: u16 = 23;
const FRA_DPORT_RANGE: u16 = 24;
/// The compared bits of a port, since Linux 6.15, which lists all bits for a single port.
const FRA_SPORT_MASK: u16 = 28;
const FRA_DPORT_MASK: u16 = 29;
/// How the kernel lists a rule that suppresses nothing.
const NO_SUPPRESSION: u32 = u32::MAX;

pub(super) fn rule(body: &[u8]) -> Option<RuleEntry> {
    let header = RuleHeader::parse(body).ok()?;
    let table = TableId(header.table.into());
    let mut rule = Rule::lookup(RulePriority(0), family_of(u8::from(header.family))?, table);
    let mut protocol = Protocol(0);
    let mut mask = u32::MAX;
    let is_inverted = header.flags.contains(RuleFlags::Invert);
    let mut is_plain = !is_inverted && header.tos == 0;
    for attribute in attributes(body, 12) {
        let value = attribute.value();
        match attribute.kind() {
            FRA_PRIORITY => rule.priority = RulePriority(u32_of(value)?),
            FRA_SRC => rule.from = IpNet::new(ip_of(value)?, header.src_len).ok(),
            FRA_DST => rule.to = IpNet::new(ip_of(value)?, header.dst_len).ok(),
            FRA_IIFNAME => rule.iif = Some(name_of(value)?),
            FRA_IP_PROTO => rule.protocol = Some(IpProtocol(*value.first()?)),
            FRA_SPORT_RANGE => rule.sport = Some(ports(value)?),
            FRA_DPORT_RANGE => rule.dport = Some(ports(value)?),
            FRA_GOTO => rule.goto = Some(RulePriority(u32_of(value)?)),
            FRA_FWMARK => rule.mark = Some(Mark(u32_of(value)?)),
            FRA_FWMASK => mask = u32_of(value)?,
            FRA_OIFNAME => rule.oif = Some(name_of(value)?),
            FRA_TABLE => rule.table = TableId(u32_of(value)?),
            FRA_SUPPRESS_PREFIXLEN => {
                rule.suppress_prefix_length =
                    Some(u32_of(value)?).filter(|length| *length != NO_SUPPRESSION);
            }
            FRA_PROTOCOL => protocol = Protocol(*value.first()?),
            FRA_SPORT_MASK | FRA_DPORT_MASK if value == [0xff; 2] => {}
            FRA_PAD => {}
            _ => is_plain = false,
        }
    }
    rule.mask = Some(Mark(mask)).filter(|_| mask != u32::MAX && rule.mark.is_some());
    is_plain &= header.action
        == match rule.goto {
            Some(_) => RuleAction::Goto,
            None => RuleAction::ToTable,
        };
    // A mask without a mark matches what has none.
    is_plain &= mask == u32::MAX || rule.mark.is_some();
    Some(RuleEntry {
        protocol,
        rule,
        mask,
        is_inverted,
        listed: (!is_plain).then(|| body.to_vec()),
    })
}

/// `struct fib_rule_port_range`
fn ports(value: &[u8]) -> Option<Ports> {
    let [first, first_too, last, last_too] = *value.first_chunk()?;
    Some(Ports {
        first: u16::from_ne_bytes([first, first_too]),
        last: u16::from_ne_bytes([last, last_too]),
    })
}

fn name_of(value: &[u8]) -> Option<InterfaceName> {
    let text = value.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(text).ok()?.parse().ok()
}
