//! Between our types and the kernel's messages. The only file that knows their layout.
//!
//! What is read is taken apart here attribute by attribute, and what this program does not need is
//! passed over: an interface must not look absent because of an attribute that some newer kernel
//! adds to it. What is written is built with the types of the netlink crates.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage, NlaBuffer,
    NlasIterator,
};
use netlink_packet_route::address::{AddressHeader, AddressMessage};
use netlink_packet_route::link::{
    LinkAttribute, LinkExtentMask, LinkFlags, LinkHeader, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteNextHop, RouteNextHopFlags,
    RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleHeader, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::routing::desired::MAIN;
use crate::routing::{Family, Path, Route, Rule};
use crate::units::{IfIndex, InterfaceName, Metric, Protocol, RulePriority, TableId, Weight};

/// What can be asked of the kernel; each may fail in ways of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// `ip route replace`
    ReplaceRoute,
    /// `ip route del`
    DeleteRoute,
    /// `ip rule add`
    AddRule,
    /// `ip rule del`
    DeleteRule,
}

/// A list to ask the kernel for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Dump {
    /// All interfaces.
    Links,
    /// All addresses of a family.
    Addresses(Family),
    /// All routes of a family with a protocol number.
    RoutesOf(Family, Protocol),
    /// The routes of a family in the main table through an interface.
    MainRoutesThrough(Family, IfIndex),
    /// All rules of a family.
    Rules(Family),
}

/// An interface as the kernel lists it.
pub(super) struct LinkEntry {
    pub(super) index: IfIndex,
    pub(super) name: InterfaceName,
    pub(super) is_up: bool,
    pub(super) has_carrier: bool,
    pub(super) is_point_to_point: bool,
}

/// An address as the kernel lists it, fit for use.
pub(super) struct AddressEntry {
    pub(super) index: IfIndex,
    pub(super) address: IpNet,
    pub(super) peer: Option<IpNet>,
}

/// A unicast route as the kernel lists it.
pub(super) struct RouteEntry {
    pub(super) protocol: Protocol,
    pub(super) route: Route,
}

/// A rule as the kernel lists it.
pub(super) struct RuleEntry {
    pub(super) protocol: Protocol,
    pub(super) rule: Rule,
    /// It says nothing that a [`Rule`] cannot.
    pub(super) is_plain: bool,
}

/// One entry of a list.
pub(super) enum Entry {
    Link(LinkEntry),
    Address(AddressEntry),
    Route(RouteEntry),
    Rule(RuleEntry),
}

/// One message of an answer.
pub(super) enum Answer {
    /// An entry; none if it is of a kind that does not matter here.
    Entry(Option<Entry>),
    /// The list is complete.
    Done,
    /// The kernel could not do it; a positive error number.
    Failed(i32),
}

/// A message of an answer with what its header says about the whole.
pub(super) struct Reply {
    pub(super) answer: Answer,
    /// The number of the request it answers.
    pub(super) sequence: u32,
    /// The list changed while it was being read.
    pub(super) is_torn: bool,
}

/// Takes a datagram of the kernel apart.
pub(super) fn replies(datagram: &[u8]) -> impl Iterator<Item = Reply> {
    messages(datagram).map(|message| Reply {
        answer: answer(&message),
        sequence: message.sequence_number(),
        is_torn: message.flags() & NLM_F_DUMP_INTR != 0,
    })
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_NEWRULE: u16 = 32;

fn messages(datagram: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(rest).ok()?;
        let length = (message.length() as usize).next_multiple_of(4);
        rest = rest.get(length..).unwrap_or_default();
        Some(message)
    })
}

fn answer(message: &NetlinkBuffer<&[u8]>) -> Answer {
    let body = message.payload();
    match message.message_type() {
        NLMSG_DONE => ended(body),
        NLMSG_ERROR => match ended(body) {
            Answer::Failed(errno) => Answer::Failed(errno),
            Answer::Done | Answer::Entry(_) => Answer::Entry(None),
        },
        RTM_NEWLINK => Answer::Entry(link(body).map(Entry::Link)),
        RTM_NEWADDR => Answer::Entry(address(body).map(Entry::Address)),
        RTM_NEWROUTE => Answer::Entry(route(body).map(Entry::Route)),
        RTM_NEWRULE => Answer::Entry(rule(body).map(Entry::Rule)),
        _ => Answer::Entry(None),
    }
}

fn ended(body: &[u8]) -> Answer {
    let code = body
        .first_chunk()
        .map_or(0, |code| i32::from_ne_bytes(*code));
    if code == 0 {
        Answer::Done
    } else {
        Answer::Failed(-code)
    }
}

/// Whether a message of a multicast group may concern us. `ours` is the port of the socket by which
/// we write: what we did ourselves is no news. Of the routes of others only default routes matter;
/// the rest may be tens of thousands. What cannot be read may concern us.
pub(super) fn concerns_us(datagram: &[u8], protocol: Protocol, ours: u32) -> bool {
    let mut seen = messages(datagram).peekable();
    let is_unreadable = seen.peek().is_none();
    is_unreadable
        || seen.any(|message| {
            let is_our_echo = message.port_number() == ours;
            !is_our_echo && is_news(&message, protocol)
        })
}

fn is_news(message: &NetlinkBuffer<&[u8]>, protocol: Protocol) -> bool {
    let is_about_a_route = matches!(message.message_type(), RTM_NEWROUTE | RTM_DELROUTE);
    !is_about_a_route
        || RouteHeader::parse(message.payload()).map_or(true, |header| {
            let is_default = header.destination_prefix_length == 0;
            is_default || u8::from(header.protocol) == protocol.0
        })
}

fn attributes(body: &[u8], header: usize) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(body.get(header..).unwrap_or_default()).map_while(Result::ok)
}

fn u32_of(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.try_into().ok()?))
}

fn ip_of(value: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        Some(IpAddr::from(octets))
    } else {
        Some(IpAddr::from(<[u8; 16]>::try_from(value).ok()?))
    }
}

fn name_of(value: &[u8]) -> Option<InterfaceName> {
    let text = value.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn family_of(family: AddressFamily) -> Option<Family> {
    if family == AddressFamily::Inet {
        Some(Family::Ipv4)
    } else if family == AddressFamily::Inet6 {
        Some(Family::Ipv6)
    } else {
        None
    }
}

fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    }
}

const IFLA_IFNAME: u16 = 3;

fn link(body: &[u8]) -> Option<LinkEntry> {
    let header = LinkHeader::parse(body).ok()?;
    let name = attributes(body, 16).find(|attribute| attribute.kind() == IFLA_IFNAME)?;
    Some(LinkEntry {
        index: IfIndex::new(header.index)?,
        name: name_of(name.value())?,
        is_up: header.flags.contains(LinkFlags::Up),
        has_carrier: header.flags.contains(LinkFlags::LowerUp),
        is_point_to_point: header.flags.contains(LinkFlags::Pointopoint),
    })
}

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_TENTATIVE: u32 = 0x40;

fn address(body: &[u8]) -> Option<AddressEntry> {
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
    let is_fit = flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) == 0;
    let index = IfIndex::new(header.index).filter(|_| is_fit)?;
    let prefix = |address| IpNet::new(address, header.prefix_len).ok();
    match (near, far) {
        (Some(near), Some(far)) if near != far => Some(AddressEntry {
            index,
            address: IpNet::from(near),
            peer: prefix(far),
        }),
        (near, far) => Some(AddressEntry {
            index,
            address: prefix(near.or(far)?)?,
            peer: None,
        }),
    }
}

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTM_F_CLONED: u32 = 0x200;
const ROUTE_HEADER: usize = 12;

fn route(body: &[u8]) -> Option<RouteEntry> {
    let header = RouteHeader::parse(body).ok()?;
    let is_cloned = header.flags.bits() & RTM_F_CLONED != 0;
    let is_plain = header.kind == RouteType::Unicast && header.tos == 0 && !is_cloned;
    let family = family_of(header.address_family).filter(|_| is_plain)?;
    let mut table = TableId(header.table.into());
    let mut metric = Metric(0);
    let mut destination = family.default_destination().addr();
    let mut paths = Vec::new();
    for attribute in attributes(body, ROUTE_HEADER) {
        match attribute.kind() {
            RTA_TABLE => table = TableId(u32_of(attribute.value())?),
            RTA_PRIORITY => metric = Metric(u32_of(attribute.value())?),
            RTA_DST => destination = ip_of(attribute.value())?,
            RTA_MULTIPATH => paths = next_hops(attribute.value())?,
            _ => {}
        }
    }
    if paths.is_empty() {
        let onlink = header.flags.contains(RouteFlags::Onlink);
        paths.push(single_path(attributes(body, ROUTE_HEADER), onlink)?);
    }
    let route = Route {
        table,
        destination: IpNet::new(destination, header.destination_prefix_length).ok()?,
        metric,
        paths,
    };
    Some(RouteEntry {
        protocol: Protocol(header.protocol.into()),
        route: route.canonical(),
    })
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
        });
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(paths)
}

const FRA_SRC: u16 = 2;
const FRA_PRIORITY: u16 = 6;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_OIFNAME: u16 = 17;
const FRA_PAD: u16 = 18;
const FRA_PROTOCOL: u16 = 21;
/// The kernel's way of saying that a rule suppresses nothing.
const NO_SUPPRESSION: u32 = u32::MAX;

fn rule(body: &[u8]) -> Option<RuleEntry> {
    let header = RuleHeader::parse(body).ok()?;
    let mut rule = Rule {
        priority: RulePriority(0),
        family: family_of(header.family)?,
        from: None,
        oif: None,
        table: TableId(header.table.into()),
        suppress_prefix_length: None,
    };
    let mut protocol = Protocol(0);
    let mut is_plain = header.action == RuleAction::ToTable
        && !header.flags.contains(RuleFlags::Invert)
        && header.tos == 0;
    for attribute in attributes(body, 12) {
        let value = attribute.value();
        match attribute.kind() {
            FRA_PRIORITY => rule.priority = RulePriority(u32_of(value)?),
            FRA_SRC => rule.from = IpNet::new(ip_of(value)?, header.src_len).ok(),
            FRA_OIFNAME => rule.oif = Some(name_of(value)?),
            FRA_TABLE => rule.table = TableId(u32_of(value)?),
            FRA_SUPPRESS_PREFIXLEN => {
                rule.suppress_prefix_length =
                    Some(u32_of(value)?).filter(|length| *length != NO_SUPPRESSION);
            }
            FRA_PROTOCOL => protocol = Protocol(*value.first()?),
            FRA_PAD => {}
            _ => is_plain = false,
        }
    }
    Some(RuleEntry {
        protocol,
        rule,
        is_plain,
    })
}

/// The request for a list.
pub(super) fn dump(what: Dump, sequence: u32) -> Vec<u8> {
    let mut request = NetlinkMessage::from(match what {
        Dump::Links => RouteNetlinkMessage::GetLink(link_dump()),
        Dump::Addresses(family) => RouteNetlinkMessage::GetAddress(address_dump(family)),
        Dump::RoutesOf(family, protocol) => {
            let mut message = route_dump(family);
            message.header.protocol = RouteProtocol::from(protocol.0);
            RouteNetlinkMessage::GetRoute(message)
        }
        Dump::MainRoutesThrough(family, index) => {
            let mut message = route_dump(family);
            message.attributes.push(RouteAttribute::Table(MAIN.0));
            message.attributes.push(RouteAttribute::Oif(index.get()));
            RouteNetlinkMessage::GetRoute(message)
        }
        Dump::Rules(family) => RouteNetlinkMessage::GetRule(rule_dump(family)),
    });
    request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
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
pub(super) fn route_message(route: &Route, protocol: Protocol) -> RouteMessage {
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
    let is_direct = route.paths.iter().all(|path| path.gateway.is_none());
    let is_ipv4 = matches!(route.destination, IpNet::V4(_));
    message.header.scope = if is_direct && is_ipv4 {
        RouteScope::Link
    } else {
        RouteScope::Universe
    };
    message
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
pub(super) fn rule_message(rule: &Rule, protocol: Protocol) -> RuleMessage {
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
    if let Some(oif) = &rule.oif {
        attributes.push(RuleAttribute::Oifname(oif.as_str().to_owned()));
    }
    if let Some(length) = rule.suppress_prefix_length {
        attributes.push(RuleAttribute::SuppressPrefixLen(length));
    }
    message
}

/// The kernel's own words about an error, which follow the header of the request in an
/// acknowledgement (`NLMSGERR_ATTR_MSG`).
pub(super) fn words(after_code: &[u8]) -> Option<String> {
    const NETLINK_HEADER: usize = 16;
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let text = attributes(after_code, NETLINK_HEADER)
        .find(|attribute| attribute.kind() == NLMSGERR_ATTR_MSG)?;
    let text = text.value().split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}
