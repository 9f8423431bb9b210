//! The kernel's part of a switch: one request, sent and waited for, without a program around it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rtnetlink::RouteMessageBuilder;

use crate::spans::Spans;

/// Where nobody else writes.
const TABLE: u32 = 998;

/// The next hops of both uplinks.
pub(crate) const VIA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1)),
    IpAddr::V4(Ipv4Addr::new(10, 2, 0, 1)),
];
/// The same of IPv6.
pub(crate) const VIA6: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1)),
];

/// A default route that is replaced again and again.
pub(crate) struct Replaced {
    socket: Socket,
    requests: [Vec<u8>; 2],
}

impl Replaced {
    /// Through these interfaces and next hops in turn.
    pub(crate) fn new(indices: [u32; 2], via: [IpAddr; 2]) -> Self {
        let request = |place: usize| {
            let route = RouteMessageBuilder::<IpAddr>::new();
            let any = match via[place] {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let route = route.destination_prefix(any, 0).expect("a default route");
            let route = route.gateway(via[place]).expect("of its family");
            let route = route.output_interface(indices[place]).table_id(TABLE);
            let mut message = NetlinkMessage::from(RouteNetlinkMessage::NewRoute(route.build()));
            message.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
            message.finalize();
            let mut bytes = vec![0; message.buffer_len()];
            message.serialize(&mut bytes);
            bytes
        };
        let mut socket = Socket::new(NETLINK_ROUTE).expect("a netlink socket");
        socket.bind_auto().expect("an address");
        Self {
            socket,
            requests: [request(0), request(1)],
        }
    }

    /// So many times, the one and the other in turn.
    pub(crate) fn replace(&self, times: usize) -> Spans {
        let kernel = SocketAddr::new(0, 0);
        let mut spans = Spans::default();
        for number in 0..times {
            let start = Instant::now();
            let sent = self.socket.send_to(&self.requests[number % 2], &kernel, 0);
            sent.expect("it is sent");
            let (answer, _) = self.socket.recv_from_full().expect("an answer");
            spans.push(start.elapsed());
            let code = answer.get(16..20);
            assert_eq!(code, Some(&[0; 4][..]), "the kernel takes the route");
        }
        spans
    }
}

/// A rule that sends all IPv6 there.
pub(crate) fn rule6() -> RuleMessage {
    let mut rule = RuleMessage::default();
    rule.header.family = AddressFamily::Inet6;
    rule.header.action = RuleAction::ToTable;
    rule.attributes.push(RuleAttribute::Priority(100));
    rule.attributes.push(RuleAttribute::Table(TABLE));
    rule
}
