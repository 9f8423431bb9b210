//! Between our types and the kernel's messages. The only module that knows their layout.
//!
//! What is read is taken apart here attribute by attribute, and what this program does not need is
//! passed over: an interface must not look absent because of an attribute that some newer kernel
//! adds to it. What is written is built with the types of the netlink crates.

mod build;
mod flow;
mod nexthop;
mod parse;
mod socket;

use std::time::Duration;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_DUMP_INTR, NetlinkBuffer, NlaBuffer, NlasIterator};
use netlink_packet_route::route::RouteHeader;

use crate::routing::{Family, LinkAddress, Preference, Route, Rule};
use crate::units::{Counters, IfIndex, InterfaceName, Protocol, TableId};

pub(super) use build::{
    add_route, add_rule, counters_of, delete_odd_rule, delete_route, delete_rule, dump,
};
pub(super) use flow::{FlowEntry, end_of_flow, flows_answered_to};
pub(super) use nexthop::{NextHopEntry, all_buckets, all_next_hops, next_hop, no_next_hop};
pub(super) use socket::{
    SocketEntry, Transport, connected_sockets, end_of_socket, listening_sockets,
};

/// Whether what is added takes the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteMode {
    /// There must be none in its place.
    Create,
    /// It replaces what is there.
    Replace,
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
    /// The default routes of a family in the main table through an interface.
    MainDefaultsThrough(Family, IfIndex),
    /// The default routes of a family in the main table.
    MainDefaults(Family),
    /// All routes of a family in a table.
    RoutesIn(Family, TableId),
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
    pub(super) details: LinkDetails,
}

/// What an interface is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkDetails {
    /// What kind of interface it is.
    pub kind: LinkKind,
    /// The interface that it is a port of, or whose VRF it belongs to.
    pub master: Option<IfIndex>,
}

/// Kinds of interfaces that are more than a way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkKind {
    /// A domain of its own, with a table of its own (VRF).
    Vrf,
    /// What it carries travels in packets that need a way themselves.
    Tunnel,
    /// Any other.
    #[default]
    Other,
}

/// An address as the kernel lists it, fit for use.
pub(super) struct AddressEntry {
    pub(super) index: IfIndex,
    pub(super) address: LinkAddress,
    pub(super) peer: Option<IpNet>,
}

/// A route as the kernel lists it.
pub(super) struct RouteEntry {
    pub(super) protocol: Protocol,
    pub(super) route: Route,
    /// It holds for packets from here only.
    pub(super) source: Option<IpNet>,
    pub(super) preference: Preference,
    /// How long it will last; zero if that time is over and the kernel has yet to take it away.
    pub(super) expires_in: Option<Duration>,
}

/// A rule as the kernel lists it.
pub(super) struct RuleEntry {
    pub(super) protocol: Protocol,
    pub(super) rule: Rule,
    /// Which bits of the mark it looks at.
    pub(super) mask: u32,
    /// It holds for everything but what it says.
    pub(super) is_inverted: bool,
    /// The whole message, if it says more than a [`Rule`] can.
    pub(super) listed: Option<Vec<u8>>,
}

/// One entry of a list.
pub(super) enum DumpEntry {
    Link(LinkEntry),
    Address(AddressEntry),
    Route(RouteEntry),
    /// A route that leads nowhere, without a path.
    DeadEnd(RouteEntry),
    Rule(RuleEntry),
}

/// One message of an answer.
pub(super) enum DumpAnswer {
    /// An entry; none if it is of a kind that does not matter here.
    DumpEntry(Option<DumpEntry>),
    /// The list is complete.
    Done,
    /// The kernel could not do it; a positive error number.
    Failed(i32),
}

/// A message of an answer with what its header says about the whole.
pub(super) struct DumpReply {
    pub(super) answer: DumpAnswer,
    /// The number of the request it answers.
    pub(super) sequence: u32,
    /// The list changed while it was being read.
    pub(super) is_torn: bool,
}

/// Takes a datagram apart that the kernel sent when it was asked for this list.
pub(super) fn replies(what: Dump, datagram: &[u8]) -> impl Iterator<Item = DumpReply> {
    messages(datagram).map(move |message| DumpReply {
        answer: answer(what, &message),
        sequence: message.sequence_number(),
        is_torn: message.flags() & NLM_F_DUMP_INTR != 0,
    })
}

/// The counters in the answer to [`counters_of`]; none if there is no such interface.
pub(super) fn counters(datagram: &[u8], sequence: u32) -> Option<Counters> {
    messages(datagram)
        .filter(|message| message.sequence_number() == sequence)
        .filter(|message| message.message_type() == RTM_NEWSTATS)
        .find_map(|message| parse::counters(message.payload()))
}

/// What the kernel says to a request for a list, or for a change.
pub(super) enum ListItem<T> {
    /// One of those asked for.
    Entry(T),
    /// It is done, or the list is complete.
    Done,
    /// The kernel could not do it; a positive error number.
    Failed(i32),
}

/// Takes an answer of connection tracking apart; each with the number of the request it answers.
pub(super) fn flows(datagram: &[u8]) -> Vec<(u32, ListItem<FlowEntry>)> {
    listed(datagram, flow::NEW_FLOW, flow::flow)
}

/// The same of a list of sockets.
pub(super) fn sockets(transport: Transport, datagram: &[u8]) -> Vec<(u32, ListItem<SocketEntry>)> {
    listed(datagram, socket::SOCK_DIAG_BY_FAMILY, move |body| {
        socket::socket(transport, body)
    })
}

/// The same of a list of nexthop objects, or of the answer to a request to change one.
pub(super) fn next_hops(datagram: &[u8]) -> Vec<(u32, ListItem<NextHopEntry>)> {
    listed(datagram, nexthop::RTM_NEWNEXTHOP, nexthop::entry)
}

fn listed<T>(
    datagram: &[u8],
    kind: u16,
    parse: impl Fn(&[u8]) -> Option<T>,
) -> Vec<(u32, ListItem<T>)> {
    let answers = messages(datagram).filter_map(|message| {
        let answer = match message.message_type() {
            NLMSG_DONE | NLMSG_ERROR => match ended(message.payload()) {
                DumpAnswer::Failed(errno) => ListItem::Failed(errno),
                DumpAnswer::Done | DumpAnswer::DumpEntry(_) => ListItem::Done,
            },
            other if other == kind => ListItem::Entry(parse(message.payload())?),
            _ => return None,
        };
        Some((message.sequence_number(), answer))
    });
    answers.collect()
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWRULE: u16 = 32;
const RTM_DELRULE: u16 = 33;
const RTM_GETRULE: u16 = 34;
const RTM_NEWSTATS: u16 = 92;

fn messages(datagram: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(rest).ok()?;
        let length = (message.length() as usize).next_multiple_of(4);
        rest = rest.get(length..).unwrap_or_default();
        Some(message)
    })
}

fn answer(what: Dump, message: &NetlinkBuffer<&[u8]>) -> DumpAnswer {
    let body = message.payload();
    match message.message_type() {
        NLMSG_DONE => ended(body),
        NLMSG_ERROR => match ended(body) {
            DumpAnswer::Failed(errno) => DumpAnswer::Failed(errno),
            DumpAnswer::Done | DumpAnswer::DumpEntry(_) => DumpAnswer::DumpEntry(None),
        },
        RTM_NEWLINK => DumpAnswer::DumpEntry(parse::link(body).map(DumpEntry::Link)),
        RTM_NEWADDR => DumpAnswer::DumpEntry(parse::address(body).map(DumpEntry::Address)),
        RTM_NEWROUTE if is_asked_for(what, body) => DumpAnswer::DumpEntry(parse::route(body)),
        RTM_NEWRULE => DumpAnswer::DumpEntry(parse::rule(body).map(DumpEntry::Rule)),
        _ => DumpAnswer::DumpEntry(None),
    }
}

/// The kernel cannot filter for default routes, and before 4.20 for nothing at all. Most of what it
/// lists may be of no interest, so the head of a route decides before the rest is read.
fn is_asked_for(what: Dump, body: &[u8]) -> bool {
    RouteHeader::parse(body).is_ok_and(|header| match what {
        Dump::RoutesOf(_, protocol) => u8::from(header.protocol) == protocol.0,
        Dump::MainDefaultsThrough(..) | Dump::MainDefaults(_) => {
            header.destination_prefix_length == 0
        }
        Dump::RoutesIn(..) => true,
        Dump::Links | Dump::Addresses(_) | Dump::Rules(_) => false,
    })
}

fn ended(body: &[u8]) -> DumpAnswer {
    let code = body
        .first_chunk()
        .map_or(0, |code| i32::from_ne_bytes(*code));
    if code == 0 {
        DumpAnswer::Done
    } else {
        DumpAnswer::Failed(-code)
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
    let body = message.payload();
    match message.message_type() {
        nexthop::RTM_NEWNEXTHOP | nexthop::RTM_DELNEXTHOP => {
            return nexthop::owner(body).is_none_or(|owner| owner == protocol);
        }
        // Which flow goes where is the kernel's business.
        nexthop::RTM_NEWNEXTHOPBUCKET | nexthop::RTM_DELNEXTHOPBUCKET => return false,
        _ => {}
    }
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

/// What the kernel said to a request for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Acknowledgement {
    /// It is done.
    Done,
    /// It is not; a positive error number, and what the kernel says about it.
    Refused { number: i32, words: Option<String> },
}

/// The answer to the request of this number, if it is in this datagram.
pub(super) fn acknowledgement(datagram: &[u8], sequence: u32) -> Option<Acknowledgement> {
    let answer = messages(datagram).find(|message| {
        message.sequence_number() == sequence && message.message_type() == NLMSG_ERROR
    })?;
    let (code, rest) = answer.payload().split_first_chunk()?;
    Some(match i32::from_ne_bytes(*code) {
        0 => Acknowledgement::Done,
        code => Acknowledgement::Refused {
            number: code.saturating_neg(),
            words: words(rest),
        },
    })
}

/// The kernel's own words about an error, which follow the header of the request in an
/// acknowledgement (`NLMSGERR_ATTR_MSG`).
fn words(after_code: &[u8]) -> Option<String> {
    const NETLINK_HEADER: usize = 16;
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let text = attributes(after_code, NETLINK_HEADER)
        .find(|attribute| attribute.kind() == NLMSGERR_ATTR_MSG)?;
    let text = text.value().split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::routing::Path;
    use crate::routing::nexthop::NextHop;
    use crate::routing::traffic::Ports;
    use crate::units::{IpProtocol, Mark, Metric, NextHopId, RulePriority, TableId, Weight};

    const OURS: Dump = Dump::RoutesOf(Family::Ipv4, Protocol(117));

    fn only_entry(datagram: &[u8]) -> Option<DumpEntry> {
        match replies(OURS, datagram).next()?.answer {
            DumpAnswer::DumpEntry(entry) => entry,
            DumpAnswer::Done | DumpAnswer::Failed(_) => None,
        }
    }

    fn some_family() -> impl Strategy<Value = Family> {
        prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)]
    }

    fn some_address(family: Family) -> BoxedStrategy<IpAddr> {
        match family {
            Family::Ipv4 => any::<[u8; 4]>().prop_map(IpAddr::from).boxed(),
            Family::Ipv6 => any::<[u8; 16]>().prop_map(IpAddr::from).boxed(),
        }
    }

    fn some_net(family: Family, shortest: u8) -> impl Strategy<Value = IpNet> {
        let longest = family.default_destination().max_prefix_len();
        (some_address(family), shortest..=longest)
            .prop_map(|(address, length)| IpNet::new(address, length).expect("a prefix"))
    }

    fn some_path(family: Family) -> impl Strategy<Value = Path> {
        let gateway = proptest::option::of(some_address(family));
        (1..u32::MAX, gateway, any::<bool>(), 1..=u8::MAX).prop_map(
            |(index, gateway, onlink, weight)| Path {
                index: IfIndex::new(index).expect("not 0"),
                gateway,
                onlink,
                weight: Weight(weight),
            },
        )
    }

    fn some_route() -> impl Strategy<Value = Route> {
        some_family().prop_flat_map(|family| {
            let paths = proptest::collection::vec(some_path(family), 1..4);
            let group = proptest::option::of(any::<u32>().prop_map(NextHopId));
            (1..u32::MAX, some_net(family, 0), any::<u32>(), paths, group).prop_map(
                |(table, destination, metric, paths, group)| {
                    let (table, metric) = (TableId(table), Metric(metric));
                    let route = Route {
                        table,
                        destination,
                        metric,
                        paths,
                        group,
                    };
                    route.canonical()
                },
            )
        })
    }

    fn some_rule() -> impl Strategy<Value = Rule> {
        some_family().prop_flat_map(|family| {
            let some_nets = || proptest::option::of(some_net(family, 1));
            let some_name = || proptest::option::of("[a-z][a-z0-9.-]{0,14}");
            let name = |text: Option<String>| text.map(|text| text.parse().expect("a name"));
            let ports = || {
                let ports = any::<(u16, u16)>();
                proptest::option::of(ports.prop_map(|(first, last)| Ports { first, last }))
            };
            let mark = proptest::option::of((1..u32::MAX, proptest::option::of(1..u32::MAX)));
            let whom = (some_nets(), some_nets(), some_name(), some_name());
            let what = (mark, proptest::option::of(any::<u8>()), ports(), ports());
            let suppress = proptest::option::of(0..33_u32);
            (any::<u32>(), whom, what, 1..u32::MAX, suppress).prop_map(
                move |(priority, (from, to, iif, oif), what, table, suppress_prefix_length)| {
                    let (mark, protocol, sport, dport) = what;
                    Rule {
                        from,
                        to,
                        iif: name(iif),
                        oif: name(oif),
                        protocol: protocol.map(IpProtocol),
                        sport,
                        dport,
                        mark: mark.map(|(mark, _)| Mark(mark)),
                        mask: mark.and_then(|(_, mask)| mask.map(Mark)),
                        suppress_prefix_length,
                        ..Rule::lookup(RulePriority(priority), family, TableId(table))
                    }
                },
            )
        })
    }

    fn some_next_hop() -> impl Strategy<Value = NextHop> {
        let path = some_family().prop_flat_map(|family| {
            some_path(family).prop_map(move |path| NextHop::Path {
                family,
                path: Path {
                    weight: Weight(1),
                    ..path
                },
            })
        });
        let weight = (1..=u8::MAX).prop_map(Weight);
        let members =
            proptest::collection::btree_map(any::<u32>().prop_map(NextHopId), weight, 1..5);
        prop_oneof![path, members.prop_map(NextHop::Group)]
    }

    proptest! {
        #[test]
        fn a_route_reads_as_it_was_written(route in some_route()) {
            let entry = only_entry(&add_route(&route, WriteMode::Create, Protocol(117), 1));
            let Some(DumpEntry::Route(entry)) = entry else { panic!("no route") };
            prop_assert_eq!((entry.route, entry.protocol), (route, Protocol(117)));
        }

        #[test]
        fn a_rule_reads_as_it_was_written(rule in some_rule()) {
            let entry = only_entry(&add_rule(&rule, Protocol(117), 1));
            let Some(DumpEntry::Rule(entry)) = entry else { panic!("no rule") };
            prop_assert_eq!(entry.listed, None);
            prop_assert_eq!((entry.rule, entry.protocol), (rule, Protocol(117)));
        }

        #[test]
        fn a_nexthop_object_reads_as_it_was_written(hop in some_next_hop(), id in any::<u32>()) {
            let bytes = next_hop(NextHopId(id), &hop, WriteMode::Create, Protocol(117), 1);
            let Some((1, ListItem::Entry(entry))) = next_hops(&bytes).pop() else { panic!("no object") };
            prop_assert_eq!(entry.hop, hop);
            prop_assert_eq!((entry.id, entry.protocol), (NextHopId(id), Protocol(117)));
        }

        #[test]
        fn no_bytes_at_all_are_more_than_passed_over(
            route in some_route(),
            noise in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = add_route(&route, WriteMode::Create, Protocol(117), 1);
            for (place, byte) in noise {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            bytes.truncate(cut.index(bytes.len()));
            replies(OURS, &bytes).for_each(drop);
            next_hops(&bytes);
            concerns_us(&bytes, Protocol(117), 1);
            acknowledgement(&bytes, 1);
            words(&bytes);
        }
    }
}
