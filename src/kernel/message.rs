//! The kernel's messages and our types for them. The only module that knows their layout.
//!
//! Messages are read attribute by attribute, and unknown attributes are skipped: an interface must not
//! look absent because a newer kernel adds an attribute. Routes and rules are written with the types of
//! the netlink crates.

mod build;
mod codes;
mod entry;
mod flow;
mod nexthop;
mod nftables;
mod nftables_list;
mod parse;
mod socket;
mod wire;

use netlink_packet_core::{NLM_F_DUMP_INTR, NetlinkBuffer};
use netlink_packet_route::route::{RouteHeader, RouteProtocol, RouteType};

use crate::routing::Numbering;
use crate::routing::desired::MAIN;
use codes::{
    NLMSG_DONE, NLMSG_ERROR, RTM_DELROUTE, RTM_NEWADDR, RTM_NEWLINK, RTM_NEWROUTE, RTM_NEWRULE,
};
use wire::{attributes, messages};

pub(super) use build::{add_route, add_rule, delete_odd_rule, delete_route, delete_rule, dump};
pub(super) use entry::{Dump, DumpEntry, RouteEntry, RuleEntry, WriteMode};
pub use entry::{LinkDetails, LinkKind};
pub(super) use flow::{FlowEntry, end_of_flow, flows_answered_to, flows_marked, forgotten_flow};
pub(super) use nexthop::{NextHopEntry, all_buckets, all_next_hops, next_hop, no_next_hop};
pub(super) use nftables::interface_name;
pub use nftables::{
    MarkField, NetfilterBatch, NetfilterChain, NetfilterFamily, NetfilterStep, NetfilterTable,
    PacketField, PacketHook,
};
pub(super) use nftables_list::{
    ChainEntry, CommentedRule, MarkRule, all_chains, all_flow_tables, all_rules, concerns_table,
    every_rule,
};
pub(super) use socket::{
    SocketEntry, Transport, connected_sockets, end_of_socket, listening_sockets,
};

/// One message of the answer to a request for a list, or for a change.
pub(super) struct ListReply<T> {
    /// The number of the request that it answers.
    pub(super) sequence: u32,
    /// The list changed while it was read.
    pub(super) is_torn: bool,
    pub(super) item: ListItem<T>,
}

/// What such a message says.
pub(super) enum ListItem<T> {
    /// An entry of the list.
    Entry(T),
    /// The list is complete, or the change is done.
    Done,
    /// The request failed; a positive error number.
    Failed(i32),
}

/// Reads a datagram with entries of a list of rtnetlink.
pub(super) fn entries(what: Dump, datagram: &[u8]) -> Vec<ListReply<DumpEntry>> {
    replies(datagram, |kind, body| match kind {
        RTM_NEWLINK => parse::link(body).map(DumpEntry::Link),
        RTM_NEWADDR => parse::address(body).map(DumpEntry::Address),
        RTM_NEWROUTE if is_of_list(what, body) => parse::route(body),
        RTM_NEWRULE => parse::rule(body).map(DumpEntry::Rule),
        _ => None,
    })
}

/// The same for connection tracking.
pub(super) fn flows(datagram: &[u8]) -> Vec<ListReply<FlowEntry>> {
    replies(datagram, |kind, body| {
        (kind == flow::NEW_FLOW).then(|| flow::flow(body))?
    })
}

/// The same for sockets.
pub(super) fn sockets(transport: Transport, datagram: &[u8]) -> Vec<ListReply<SocketEntry>> {
    replies(datagram, |kind, body| {
        (kind == socket::SOCK_DIAG_BY_FAMILY).then(|| socket::socket(transport, body))?
    })
}

/// The same for nexthop objects.
pub(super) fn next_hops(datagram: &[u8]) -> Vec<ListReply<NextHopEntry>> {
    replies(datagram, |kind, body| {
        (kind == nexthop::RTM_NEWNEXTHOP).then(|| nexthop::entry(body))?
    })
}

/// The same for the chains of netfilter.
pub(super) fn chains(datagram: &[u8]) -> Vec<ListReply<ChainEntry>> {
    replies(datagram, |kind, body| {
        (kind == nftables::NEW_CHAIN).then(|| nftables_list::chain(body))?
    })
}

/// The same for the rules of netfilter.
pub(super) fn commented_rules(datagram: &[u8]) -> Vec<ListReply<CommentedRule>> {
    replies(datagram, |kind, body| {
        (kind == nftables::NEW_RULE).then(|| nftables_list::rule(body))?
    })
}

/// The same for the rules of netfilter that write marks.
pub(super) fn mark_rules(datagram: &[u8]) -> Vec<ListReply<MarkRule>> {
    replies(datagram, |kind, body| {
        (kind == nftables::NEW_RULE).then(|| nftables_list::mark_rule(body))?
    })
}

/// The same for the names of flow tables.
pub(super) fn flow_tables(datagram: &[u8]) -> Vec<ListReply<String>> {
    replies(datagram, |kind, body| {
        (kind == nftables::NEW_FLOW_TABLE).then(|| nftables_list::flow_table(body))?
    })
}

/// The answers to the changes of a batch of netfilter.
pub(super) fn netfilter_answers(datagram: &[u8]) -> Vec<ListReply<()>> {
    replies(datagram, |_, _| None)
}

/// The messages of a datagram; entries that `parse` passes over are left out.
fn replies<T>(datagram: &[u8], parse: impl Fn(u16, &[u8]) -> Option<T>) -> Vec<ListReply<T>> {
    let replies = messages(datagram).filter_map(|message| {
        let item = match message.message_type() {
            NLMSG_DONE | NLMSG_ERROR => match error_code(message.payload()) {
                0 => ListItem::Done,
                code => ListItem::Failed(code),
            },
            kind => ListItem::Entry(parse(kind, message.payload())?),
        };
        Some(ListReply {
            sequence: message.sequence_number(),
            is_torn: message.flags() & NLM_F_DUMP_INTR != 0,
            item,
        })
    });
    replies.collect()
}

/// The kernel cannot filter for default routes, and before 4.20 not at all. Lists of routes may be
/// long, so the header of a route decides before its attributes are read.
fn is_of_list(what: Dump, body: &[u8]) -> bool {
    RouteHeader::parse(body).is_ok_and(|header| match what {
        Dump::RoutesOf(_, protocol) => u8::from(header.protocol) == protocol.0,
        Dump::Main(_) => {
            let is_default = header.destination_prefix_length == 0;
            let is_throw = header.kind == RouteType::Throw;
            is_in_main(&header) && (is_connected(&header) || (is_default && !is_throw))
        }
        Dump::RoutesIn(..) => true,
        Dump::Links | Dump::Addresses(_) | Dump::Rules(_) => false,
    })
}

fn is_in_main(header: &RouteHeader) -> bool {
    u32::from(header.table) == MAIN.0
}

/// Whether the kernel wrote a route itself, when an interface got an address.
fn is_connected(header: &RouteHeader) -> bool {
    header.protocol == RouteProtocol::Kernel
}

/// The positive error number of a message that ends an answer; 0 if there is none.
fn error_code(body: &[u8]) -> i32 {
    let code = body.first_chunk();
    code.map_or(0, |code| i32::from_ne_bytes(*code).saturating_neg())
}

/// Whether a datagram of a multicast group may concern us. `own_port` is the port of the socket by
/// which we write: our own changes are no news. Of the routes of others only default routes count; the
/// rest may be tens of thousands. A datagram that cannot be read may concern us.
pub(super) fn concerns_us(datagram: &[u8], numbering: &Numbering, own_port: u32) -> bool {
    let mut seen = messages(datagram).peekable();
    let is_unreadable = seen.peek().is_none();
    is_unreadable
        || seen.any(|message| {
            let is_own_echo = message.port_number() == own_port;
            !is_own_echo && is_news(&message, numbering)
        })
}

fn is_news(message: &NetlinkBuffer<&[u8]>, numbering: &Numbering) -> bool {
    let body = message.payload();
    match message.message_type() {
        nexthop::RTM_NEWNEXTHOP | nexthop::RTM_DELNEXTHOP => nexthop::concerns(body, numbering),
        // The kernel assigns flows to the members of a group.
        nexthop::RTM_NEWNEXTHOPBUCKET | nexthop::RTM_DELNEXTHOPBUCKET => false,
        RTM_NEWROUTE | RTM_DELROUTE => RouteHeader::parse(body).map_or(true, |header| {
            let is_default = header.destination_prefix_length == 0;
            is_default
                || (is_in_main(&header) && is_connected(&header))
                || u8::from(header.protocol) == numbering.protocol.0
        }),
        _ => true,
    }
}

/// The kernel's answer to a request for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Acknowledgement {
    /// The change is done.
    Done,
    /// It is not; a positive error number and the kernel's text.
    Refused { number: i32, text: Option<String> },
}

/// The answer to the request of this number, if it is in this datagram.
pub(super) fn acknowledgement(datagram: &[u8], sequence: u32) -> Option<Acknowledgement> {
    let answer = messages(datagram).find(|message| {
        message.sequence_number() == sequence && message.message_type() == NLMSG_ERROR
    })?;
    let (_, rest) = answer.payload().split_first_chunk::<4>()?;
    Some(match error_code(answer.payload()) {
        0 => Acknowledgement::Done,
        number => Acknowledgement::Refused {
            number,
            text: error_text(rest),
        },
    })
}

/// The kernel's text for an error, which follows the header of the request (`NLMSGERR_ATTR_MSG`).
fn error_text(after_code: &[u8]) -> Option<String> {
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

    use ipnet::IpNet;
    use proptest::prelude::*;

    use super::*;
    use crate::cases::cases;
    use crate::routing::nexthop::NextHop;
    use crate::routing::traffic::Ports;
    use crate::routing::{Encapsulation, Family, Path, Route, RouteOptions, Rule};
    use crate::units::{
        IfIndex, IpProtocol, Mark, Metric, NextHopId, Protocol, RulePriority, TableId, Weight,
    };

    const OURS: Dump = Dump::RoutesOf(Family::Ipv4, Protocol(117));

    fn only_entry(datagram: &[u8]) -> Option<DumpEntry> {
        match entries(OURS, datagram).pop()?.item {
            ListItem::Entry(entry) => Some(entry),
            ListItem::Done | ListItem::Failed(_) => None,
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
                options: None,
            },
        )
    }

    fn some_options(family: Family) -> impl Strategy<Value = RouteOptions> {
        let source = proptest::option::of(some_address(family));
        // Without RTAX_CC_ALGO, which is a name.
        let metrics = proptest::collection::btree_map(1..16_u16, any::<u32>(), 0..4);
        let name = proptest::option::of("[a-z]{1,15}");
        let bytes = proptest::collection::vec(any::<u8>(), 0..9);
        let encapsulation = proptest::option::of((any::<u16>(), bytes));
        (source, metrics, name, encapsulation).prop_map(
            |(source, metrics, congestion_control, encapsulation)| RouteOptions {
                source,
                metrics: metrics.into_iter().collect(),
                congestion_control,
                encapsulation: encapsulation
                    .map(|(kind, attributes)| Encapsulation { kind, attributes }),
            },
        )
    }

    fn some_route() -> impl Strategy<Value = Route> {
        some_family().prop_flat_map(|family| {
            let paths = proptest::collection::vec(some_path(family), 1..4);
            let group = proptest::option::of(any::<u32>().prop_map(NextHopId));
            let place = (1..u32::MAX, some_net(family, 0), any::<u32>());
            (place, paths, group, some_options(family)).prop_map(
                |((table, destination, metric), paths, group, options)| {
                    let (table, metric) = (TableId(table), Metric(metric));
                    let route = Route {
                        table,
                        destination,
                        metric,
                        paths,
                        group,
                        options,
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
        let group = members.prop_map(|members| NextHop::Group(members.into_iter().collect()));
        prop_oneof![path, group]
    }

    proptest! {
        #![proptest_config(cases(256))]

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
            let reply = next_hops(&bytes).pop().expect("a message");
            let ListItem::Entry(entry) = reply.item else { panic!("no object") };
            prop_assert_eq!(entry.hop, hop);
            prop_assert_eq!((entry.id, entry.protocol), (NextHopId(id), Protocol(117)));
        }

        #[test]
        fn malformed_messages_do_not_panic(
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
            entries(OURS, &bytes);
            next_hops(&bytes);
            concerns_us(&bytes, &Numbering::default(), 1);
            acknowledgement(&bytes, 1);
            error_text(&bytes);
        }
    }
}
