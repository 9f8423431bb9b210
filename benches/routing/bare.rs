//! The kernel's part of a switch: one request and its answer.

use std::net::Ipv4Addr;
use std::time::Instant;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rtnetlink::RouteMessageBuilder;

use crate::spans::Spans;

/// A table without other routes.
const TABLE: u32 = 998;

/// Replaces a default route so many times, through one interface and the other in turn.
pub(crate) fn replacements(indices: [u32; 2], times: usize) -> Spans {
    let requests = [(1, indices[0]), (2, indices[1])].map(|(number, index)| {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .gateway(Ipv4Addr::new(10, number, 0, 1))
            .output_interface(index)
            .table_id(TABLE)
            .build();
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::NewRoute(route));
        message.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    });
    let mut socket = Socket::new(NETLINK_ROUTE).expect("a netlink socket");
    socket.bind_auto().expect("an address");
    let kernel = SocketAddr::new(0, 0);
    let mut spans = Spans::default();
    for number in 0..times {
        let start = Instant::now();
        let sent = socket.send_to(&requests[number % 2], &kernel, 0);
        sent.expect("it is sent");
        let (answer, _) = socket.recv_from_full().expect("an answer");
        spans.push(start.elapsed());
        let code = answer.get(16..20);
        assert_eq!(code, Some(&[0; 4][..]), "the kernel takes the route");
    }
    spans
}
