//! Requests, built with the types of the netlink crates.

use ipnet::IpNet;
use netlink_packet_core::{DefaultNla, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteMessage, RouteNextHop, RouteNextHopFlags, RouteProtocol,
    RouteScope, RouteType,
};
use netlink_packet_route::rule::{
    RuleAction, RuleAttribute, RuleHeader, RuleMessage, RulePortRange,
};
use netlink_packet_route::{AddressFamily, IpProtocol, RouteNetlinkMessage};

use super::{Dump, attributes};
use crate::routing::desired::MAIN;
use crate::routing::traffic::Ports;
use crate::routing::{Family, OddRule, Path, Route, Rule};
use crate::units::{IfIndex, Metric, NextHopId, Protocol};

/// The request for a list.
pub(in crate::kernel) fn dump(what: Dump, sequence: u32) -> Vec<u8> {
    let mut request = NetlinkMessage::from(match what {
        Dump::Links => RouteNetlinkMessage::GetLink(link_dump()),
        Dump::Addresses(family) => RouteNetlinkMessage::GetAddress(address_dump(family)),
        Dump::RoutesOf(family, protocol) => {
            let mut message = route_dump(family);
            message.header.protocol = RouteProtocol::from(protocol.0);
            RouteNetlinkMessage::GetRoute(message)
        }
        Dump::MainDefaultsThrough(family, index) => {
            let mut message = route_dump(family);
            message.attributes.push(RouteAttribute::Table(MAIN.0));
            message.attributes.push(RouteAttribute::Oif(index.get()));
            RouteNetlinkMessage::GetRoute(message)
        }
        Dump::MainDefaults(family) => {
            let mut message = route_dump(family);
            message.attributes.push(RouteAttribute::Table(MAIN.0));
            RouteNetlinkMessage::GetRoute(message)
        }
        Dump::RoutesIn(family, table) => {
            let mut message = route_dump(family);
            message.attributes.push(RouteAttribute::Table(table.0));
            RouteNetlinkMessage::GetRoute(message)
        }
        Dump::Rules(family) => RouteNetlinkMessage::GetRule(rule_dump(family)),
    });
    request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    serialize(request, sequence)
}

/// The request for the counters of one interface: `struct if_stats_msg` (`linux/if_link.h`), which
/// the crates do not know. An interface as a whole would be twenty times as much to read.
pub(in crate::kernel) fn counters_of(index: IfIndex, sequence: u32) -> Vec<u8> {
    const RTM_GETSTATS: u16 = 94;
    const IFLA_STATS_LINK_64: u32 = 1;
    const LENGTH: u32 = 28;
    let mut request = Vec::with_capacity(LENGTH as usize);
    request.extend(LENGTH.to_ne_bytes());
    request.extend(RTM_GETSTATS.to_ne_bytes());
    request.extend(NLM_F_REQUEST.to_ne_bytes());
    request.extend(sequence.to_ne_bytes());
    request.extend(0_u32.to_ne_bytes());
    // Family and padding, index, what is asked for.
    request.extend(0_u32.to_ne_bytes());
    request.extend(index.get().to_ne_bytes());
    request.extend((1_u32 << (IFLA_STATS_LINK_64 - 1)).to_ne_bytes());
    request
}

fn serialize(mut request: NetlinkMessage<RouteNetlinkMessage>, sequence: u32) -> Vec<u8> {
    request.header.sequence_number = sequence;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    bytes
}

fn link_dump() -> LinkMessage {
    let mut message = LinkMessage::default();
    let no_statistics = LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]);
    message.attributes.push(no_statistics);
    message
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

/// A route of ours as a message to add or delete it.
pub(in crate::kernel) fn route_message(route: &Route, protocol: Protocol) -> RouteMessage {
    let mut message = route_dump(Family::of(route.destination.addr()));
    message.header.kind = RouteType::Unicast;
    message.header.protocol = RouteProtocol::from(protocol.0);
    message.header.destination_prefix_length = route.destination.prefix_len();
    let attributes = &mut message.attributes;
    attributes.push(RouteAttribute::Table(route.table.0));
    if route.destination.prefix_len() > 0 {
        let destination = route.destination.addr().into();
        attributes.push(RouteAttribute::Destination(destination));
    }
    if route.metric != Metric(0) {
        attributes.push(RouteAttribute::Priority(route.metric.0));
    }
    match route.paths.as_slice() {
        _ if route.group.is_some() => attributes.extend(route.group.map(group)),
        [path] => {
            attributes.extend(gateway(route, *path));
            attributes.push(RouteAttribute::Oif(path.index.get()));
            if path.onlink {
                message.header.flags.insert(RouteFlags::Onlink);
            }
        }
        several => {
            let hops = several.iter().map(|path| hop(route, *path)).collect();
            attributes.push(RouteAttribute::MultiPath(hops));
        }
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

/// The nexthop object that a route leads to, which the crates do not know.
fn group(id: NextHopId) -> RouteAttribute {
    const RTA_NH_ID: u16 = 30;
    RouteAttribute::Other(DefaultNla::new(RTA_NH_ID, id.0.to_ne_bytes().to_vec()))
}

fn gateway(route: &Route, path: Path) -> Option<RouteAttribute> {
    let gateway = path.gateway?;
    let is_of_the_family = Family::of(gateway) == Family::of(route.destination.addr());
    Some(if is_of_the_family {
        RouteAttribute::Gateway(gateway.into())
    } else {
        RouteAttribute::Via(gateway.into())
    })
}

fn hop(route: &Route, path: Path) -> RouteNextHop {
    let mut hop = RouteNextHop::default();
    hop.interface_index = path.index.get();
    hop.hops = path.weight.0.saturating_sub(1);
    hop.attributes.extend(gateway(route, path));
    if path.onlink {
        hop.flags.insert(RouteNextHopFlags::Onlink);
    }
    hop
}

/// A rule of ours as a message to add or delete it.
pub(in crate::kernel) fn rule_message(rule: &Rule, protocol: Protocol) -> RuleMessage {
    let mut message = rule_dump(rule.family);
    message.header.action = RuleAction::ToTable;
    let attributes = &mut message.attributes;
    attributes.push(RuleAttribute::Priority(rule.priority.0));
    attributes.push(RuleAttribute::Table(rule.table.0));
    attributes.push(RuleAttribute::Protocol(RouteProtocol::from(protocol.0)));
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

/// A rule as the kernel listed it, word for word, as a message to delete it.
pub(in crate::kernel) fn odd_rule_message(odd: &OddRule) -> RuleMessage {
    let mut message = RuleMessage::default();
    // What was listed can be read.
    if let Ok(header) = RuleHeader::parse(&odd.listed) {
        message.header = header;
    }
    let listed = attributes(&odd.listed, 12);
    let said = listed.map(|one| DefaultNla::new(one.kind(), one.value().to_vec()));
    message.attributes.extend(said.map(RuleAttribute::Other));
    message
}

fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    }
}
