//! Requests of rtnetlink, built with the types of the netlink crates.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{
    DefaultNla, Emitable, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE,
};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteMessage, RouteNextHop, RouteNextHopFlags, RouteProtocol,
    RouteScope, RouteType,
};
use netlink_packet_route::rule::{
    RuleAction, RuleAttribute, RuleHeader, RuleMessage, RulePortRange,
};
use netlink_packet_route::{AddressFamily, IpProtocol};
use rtnetlink::RouteMessageBuilder;

use super::codes::{
    RTA_ENCAP, RTA_ENCAP_TYPE, RTA_METRICS, RTA_PREFSRC, RTAX_CC_ALGO, RTM_DELROUTE, RTM_DELRULE,
    RTM_GETADDR, RTM_GETLINK, RTM_GETROUTE, RTM_GETRULE, RTM_NEWROUTE, RTM_NEWRULE,
};
use super::entry::{Dump, WriteMode};
use super::wire::{append, attributes, request};
use crate::routing::desired::MAIN;
use crate::routing::traffic::Ports;
use crate::routing::{Family, OddRule, Path, Route, RouteOptions, Rule};
use crate::units::{Metric, NextHopId, Protocol};

/// The request for a list.
pub(in crate::kernel) fn dump(what: Dump, sequence: u32) -> Vec<u8> {
    let route = |family, attributes| {
        let mut message = route_dump(family);
        message.attributes = attributes;
        (RTM_GETROUTE, bytes_of(&message))
    };
    let (kind, body) = match what {
        Dump::Links => (RTM_GETLINK, link_dump()),
        Dump::Addresses(family) => (RTM_GETADDR, bytes_of(&address_dump(family))),
        Dump::RoutesOf(family, protocol) => {
            let mut message = route_dump(family);
            message.header.protocol = RouteProtocol::from(protocol.0);
            (RTM_GETROUTE, bytes_of(&message))
        }
        Dump::Main(family) => route(family, vec![RouteAttribute::Table(MAIN.0)]),
        Dump::RoutesIn(family, table) => route(family, vec![RouteAttribute::Table(table.0)]),
        Dump::Rules(family) => (RTM_GETRULE, bytes_of(&rule_dump(family))),
    };
    request((kind, NLM_F_DUMP), &body, sequence)
}

/// The request to add a route of ours; always acknowledged.
pub(in crate::kernel) fn add_route(
    route: &Route,
    mode: WriteMode,
    protocol: Protocol,
    sequence: u32,
) -> Vec<u8> {
    let flags = match mode {
        WriteMode::Create => NLM_F_EXCL,
        WriteMode::Replace => NLM_F_REPLACE,
    };
    let body = bytes_of(&route_message(route, protocol));
    let kind = (RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | flags);
    request(kind, &body, sequence)
}

/// The request to delete a route of ours; always acknowledged.
pub(in crate::kernel) fn delete_route(route: &Route, protocol: Protocol, sequence: u32) -> Vec<u8> {
    let body = bytes_of(&route_message(route, protocol));
    request((RTM_DELROUTE, NLM_F_ACK), &body, sequence)
}

/// The request to add a rule of ours; always acknowledged. Without EXCL the kernel adds an equal rule
/// a second time.
pub(in crate::kernel) fn add_rule(rule: &Rule, protocol: Protocol, sequence: u32) -> Vec<u8> {
    let body = bytes_of(&rule_message(rule, protocol));
    let kind = (RTM_NEWRULE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
    request(kind, &body, sequence)
}

/// The request to delete a rule of ours; always acknowledged.
pub(in crate::kernel) fn delete_rule(rule: &Rule, protocol: Protocol, sequence: u32) -> Vec<u8> {
    let body = bytes_of(&rule_message(rule, protocol));
    request((RTM_DELRULE, NLM_F_ACK), &body, sequence)
}

/// The request to delete a rule as the kernel listed it; always acknowledged.
pub(in crate::kernel) fn delete_odd_rule(odd: &OddRule, sequence: u32) -> Vec<u8> {
    let body = bytes_of(&odd_rule_message(odd));
    request((RTM_DELRULE, NLM_F_ACK), &body, sequence)
}

fn bytes_of(message: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

/// All interfaces without their counters: `struct ifinfomsg`, and a mask of what to leave out
/// (`linux/rtnetlink.h`).
fn link_dump() -> Vec<u8> {
    const IFLA_EXT_MASK: u16 = 29;
    const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
    let mut body = vec![0; 16];
    append(
        &mut body,
        IFLA_EXT_MASK,
        &RTEXT_FILTER_SKIP_STATS.to_ne_bytes(),
    );
    body
}

fn address_dump(family: Family) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = address_family(family);
    message
}

fn route_dump(family: Family) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = address_family(family);
    message.header.kind = RouteType::Unspec;
    message
}

fn rule_dump(family: Family) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = address_family(family);
    message
}

/// The body of a request about a route of ours.
fn route_message(route: &Route, protocol: Protocol) -> RouteMessage {
    let mut builder = RouteMessageBuilder::<IpAddr>::new()
        .protocol(RouteProtocol::from(protocol.0))
        .table_id(route.table.0);
    if route.metric != Metric(0) {
        builder = builder.priority(route.metric.0);
    }
    let mut message = builder.build();
    message.header.address_family = address_family(Family::of(route.destination.addr()));
    message.header.destination_prefix_length = route.destination.prefix_len();
    let attributes = &mut message.attributes;
    if route.destination.prefix_len() > 0 {
        let destination = route.destination.addr().into();
        attributes.push(RouteAttribute::Destination(destination));
    }
    attributes.extend(options(&route.options));
    match route.paths.as_slice() {
        _ if route.group.is_some() => attributes.extend(route.group.map(group)),
        [path] => {
            attributes.extend(gateway(route, path));
            attributes.push(RouteAttribute::Oif(path.index.get()));
            if path.onlink {
                message.header.flags.insert(RouteFlags::Onlink);
            }
        }
        [] => {}
        several => {
            let hops = several.iter().map(|path| hop(route, path)).collect();
            attributes.push(RouteAttribute::MultiPath(hops));
        }
    }
    if route.is_throw() || route.is_refusal() {
        message.header.kind = if route.is_refusal() {
            RouteType::Unreachable
        } else {
            RouteType::Throw
        };
        return message;
    }
    let is_direct = route.group.is_none() && route.paths.iter().all(|path| path.gateway.is_none());
    let is_ipv4 = matches!(route.destination, IpNet::V4(_));
    message.header.scope = if is_direct && is_ipv4 {
        RouteScope::Link
    } else {
        RouteScope::Universe
    };
    message
}

/// The options of a route, as bytes: the crates do not know all metrics.
fn options(options: &RouteOptions) -> impl Iterator<Item = RouteAttribute> {
    let source = options.source.map(|source| match source {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    });
    let mut metrics = Vec::new();
    for (number, value) in &options.metrics {
        append(&mut metrics, *number, &value.to_ne_bytes());
    }
    if let Some(name) = &options.congestion_control {
        append(
            &mut metrics,
            RTAX_CC_ALGO,
            &[name.as_bytes(), b"\0"].concat(),
        );
    }
    let metrics = Some(metrics).filter(|metrics| !metrics.is_empty());
    let encapsulation = options.encapsulation.as_ref();
    let kind = encapsulation.map(|encapsulation| encapsulation.kind.to_ne_bytes().to_vec());
    let inside = encapsulation.map(|encapsulation| encapsulation.attributes.clone());
    let attributes = [
        (RTA_PREFSRC, source),
        (RTA_METRICS, metrics),
        (RTA_ENCAP_TYPE, kind),
        (RTA_ENCAP, inside),
    ];
    let said = { attributes.into_iter() }.filter_map(|(kind, value)| Some((kind, value?)));
    said.map(|(kind, value)| RouteAttribute::Other(DefaultNla::new(kind, value)))
}

/// The nexthop object of a route, which the crates do not know.
fn group(id: NextHopId) -> RouteAttribute {
    const RTA_NH_ID: u16 = 30;
    RouteAttribute::Other(DefaultNla::new(RTA_NH_ID, id.0.to_ne_bytes().to_vec()))
}

fn gateway(route: &Route, path: &Path) -> Option<RouteAttribute> {
    let gateway = path.gateway?;
    let is_of_the_family = Family::of(gateway) == Family::of(route.destination.addr());
    Some(if is_of_the_family {
        RouteAttribute::Gateway(gateway.into())
    } else {
        RouteAttribute::Via(gateway.into())
    })
}

fn hop(route: &Route, path: &Path) -> RouteNextHop {
    let mut hop = RouteNextHop::default();
    hop.interface_index = path.index.get();
    hop.hops = path.weight.0.saturating_sub(1);
    hop.attributes.extend(gateway(route, path));
    if path.onlink {
        hop.flags.insert(RouteNextHopFlags::Onlink);
    }
    hop
}

/// The body of a request about a rule of ours.
fn rule_message(rule: &Rule, protocol: Protocol) -> RuleMessage {
    let mut message = rule_dump(rule.family);
    message.header.action = match rule.goto {
        Some(_) => RuleAction::Goto,
        None => RuleAction::ToTable,
    };
    let attributes = &mut message.attributes;
    attributes.push(RuleAttribute::Priority(rule.priority.0));
    attributes.push(RuleAttribute::Table(rule.table.0));
    attributes.push(RuleAttribute::Protocol(RouteProtocol::from(protocol.0)));
    attributes.extend(rule.goto.map(|priority| RuleAttribute::Goto(priority.0)));
    if let Some(from) = rule.from {
        message.header.src_len = from.prefix_len();
        attributes.push(RuleAttribute::Source(from.addr()));
    }
    if let Some(to) = rule.to {
        message.header.dst_len = to.prefix_len();
        attributes.push(RuleAttribute::Destination(to.addr()));
    }
    if let Some(iif) = &rule.iif {
        attributes.push(RuleAttribute::Iifname(iif.as_str().to_owned()));
    }
    if let Some(protocol) = rule.protocol {
        let protocol = IpProtocol::from(protocol.0);
        attributes.push(RuleAttribute::IpProtocol(protocol));
    }
    let range = |ports: Ports| RulePortRange {
        start: ports.first,
        end: ports.last,
    };
    let sport = rule.sport.map(range).map(RuleAttribute::SourcePortRange);
    let dport = rule.dport.map(range);
    let dport = dport.map(RuleAttribute::DestinationPortRange);
    attributes.extend(sport.into_iter().chain(dport));
    if let Some(mark) = rule.mark {
        let mask = rule.mask.map_or(u32::MAX, |mask| mask.0);
        attributes.push(RuleAttribute::FwMark(mark.0));
        attributes.push(RuleAttribute::FwMask(mask));
    }
    if let Some(oif) = &rule.oif {
        attributes.push(RuleAttribute::Oifname(oif.as_str().to_owned()));
    }
    if let Some(length) = rule.suppress_prefix_length {
        attributes.push(RuleAttribute::SuppressPrefixLen(length));
    }
    message
}

/// The body of a request about a rule as the kernel listed it.
fn odd_rule_message(odd: &OddRule) -> RuleMessage {
    let mut message = RuleMessage::default();
    // The kernel listed it, so the header is well-formed.
    if let Ok(header) = RuleHeader::parse(&odd.listed) {
        message.header = header;
    }
    let listed = attributes(&odd.listed, 12);
    let listed = listed.map(|one| DefaultNla::new(one.kind(), one.value().to_vec()));
    message.attributes.extend(listed.map(RuleAttribute::Other));
    message
}

fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    }
}
