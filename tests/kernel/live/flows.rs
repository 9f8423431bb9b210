//! The flows of an uplink that the traffic leaves, as entries of connection tracking.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use ipnet::IpNet;
use socket2::{Domain, Socket, Type};

use uplinkd::kernel::{count_flows, end_flows, end_own_datagrams, end_sockets};
use uplinkd::routing::Family;
use uplinkd::routing::flows::{FlowRule, TrafficOf};
use uplinkd::routing::traffic::{Marks, Ports, Selector};
use uplinkd::units::sorted::SortedSet;
use uplinkd::units::{IpProtocol, Mark};

use crate::netns;
use crate::tracked::{Tracked, Tracking};

const FIBER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
const LTE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10));
const FIBER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 10));
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 80));
const SERVER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 80));
const LAPTOP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));
const LAPTOP6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 7));

/// A flow of the laptop that leaves by an address of the router.
fn translated(by: IpAddr, port: u16) -> Tracked {
    let (from, to) = match by {
        IpAddr::V4(_) => (LAPTOP, SERVER),
        IpAddr::V6(_) => (LAPTOP6, SERVER6),
    };
    Tracked {
        from,
        to,
        translated_to: by,
        port,
        mark: 0,
    }
}

fn end(addresses: &[IpAddr]) -> usize {
    let addresses: SortedSet<_> = addresses.iter().copied().collect();
    end_flows(&addresses, &TrafficOf::all()).expect("the kernel tracks connections")
}

#[test]
fn only_the_flows_of_the_uplink_that_is_left_are_ended() {
    netns::run(|_| async {
        let mut tracking = Tracking::open();
        for port in 1..=300 {
            tracking.add(translated(FIBER, port));
            tracking.add(translated(LTE, 1000 + port));
            tracking.add(translated(FIBER6, port));
        }
        assert_eq!(end(&[FIBER, FIBER6]), 600);
        assert_eq!(tracking.answered_to(FIBER), 0);
        assert_eq!(tracking.answered_to(FIBER6), 0);
        assert_eq!(tracking.answered_to(LTE), 300);
        assert_eq!(end(&[FIBER, FIBER6]), 0);
    });
}

#[test]
fn a_group_that_leaves_an_uplink_to_others_ends_its_own_flows_there() {
    netns::run(|_| async {
        let mut tracking = Tracking::open();
        for port in 5_000..5_100 {
            tracking.add(translated(FIBER, port));
            tracking.add(translated(FIBER6, port));
        }
        let first_ten = Selector {
            protocol: Some(IpProtocol(17)),
            sport: Some(Ports {
                first: 5_000,
                last: 5_009,
            }),
            ..Selector::default()
        };
        let in_ipv4 = Selector {
            to: vec![IpNet::from(SERVER)],
            ..first_ten.clone()
        };
        let rule = |traffic, is_of_it| FlowRule {
            traffic,
            is_of_it,
            has_hours: false,
        };
        let addresses = SortedSet::from([FIBER, FIBER6]);
        let voice = TrafficOf::selected(vec![rule(in_ipv4, true)], false, None);
        assert_eq!(end_flows(&addresses, &voice).expect("ended"), 10);
        assert_eq!(tracking.answered_to(FIBER), 90);
        assert_eq!(tracking.answered_to(FIBER6), 100);
        let rest = TrafficOf::selected(vec![rule(first_ten, false)], true, None);
        assert_eq!(end_flows(&addresses, &rest).expect("ended"), 180);
        assert_eq!(tracking.answered_to(FIBER6), 10);
    });
}

#[test]
fn flows_are_counted_by_the_marks_of_their_uplink() {
    const IN_V4: (Family, Marks) = (Family::Ipv4, MARKS);
    const MARKS: Marks = Marks {
        mark: Mark(0x0200_0000),
        mask: Mark(0xff00_0000),
    };
    netns::run(|_| async {
        let mut tracking = Tracking::open();
        for (port, mark) in [(1, 0x0200_0000), (2, 0x0200_0042), (3, 0x0300_0000), (4, 0)] {
            for by in [FIBER, FIBER6] {
                tracking.add(Tracked {
                    mark,
                    ..translated(by, port)
                });
            }
        }
        let count = |marks: &[(Family, Marks)]| {
            let marks = marks.iter().copied().collect();
            count_flows(&marks).expect("the kernel tracks connections")
        };
        assert_eq!(count(&[IN_V4]), 2);
        assert_eq!(count(&[IN_V4, (Family::Ipv6, MARKS)]), 4);
        assert_eq!(count(&[]), 0);
    });
}

#[test]
fn flows_of_the_router_itself_and_of_port_forwards_stay() {
    netns::run(|_| async {
        let mut tracking = Tracking::open();
        tracking.add(Tracked {
            from: FIBER,
            to: SERVER,
            translated_to: FIBER,
            port: 1,
            mark: 0,
        });
        // A port forward: a client outside reached the laptop by the router's address.
        tracking.add(Tracked {
            from: SERVER,
            to: FIBER,
            translated_to: SERVER,
            port: 2,
            mark: 0,
        });
        assert_eq!(end(&[FIBER]), 0);
        assert_eq!(tracking.answered_to(FIBER), 1);
        assert_eq!(tracking.answered_to(SERVER), 1);
    });
}

#[test]
fn without_the_capability_the_kernel_refuses_and_the_error_says_what_was_tried() {
    netns::run(|_| async {
        netns::drop_capabilities();
        let error = end_flows(&SortedSet::from([FIBER]), &TrafficOf::all())
            .expect_err("no capability, no flows");
        assert!(error.to_string().contains("connection tracking"), "{error}");
    });
}

#[test]
fn a_thousand_flows_of_fifty_thousand_are_ended_and_no_other() {
    netns::run(|_| async {
        let mut tracking = Tracking::open();
        let server = |block: u8| IpAddr::V4(Ipv4Addr::new(203, 0, 113, block));
        let flows: Vec<_> = (0..50_u8)
            .flat_map(|block| (0..1_000).map(move |port| (block, port)))
            .map(|(block, port)| Tracked {
                to: server(block),
                ..translated(if block == 0 { FIBER } else { LTE }, port)
            })
            .collect();
        tracking.add_all(&flows);
        assert_eq!(end(&[FIBER]), 1_000);
        assert_eq!(tracking.answered_to(LTE), 49_000);
    });
}

#[test]
fn connections_of_the_router_by_the_address_that_is_left_are_ended_and_no_others() {
    netns::run(|world| async move {
        world.wire("fiber").await;
        world.wire("lte").await;
        for (interface, net) in [("fiber", "192.0.2.10/24"), ("lte", "198.51.100.10/24")] {
            let net = net.parse().expect("a net");
            world.add_address(interface, net).await;
        }
        let listener = TcpListener::bind((LTE, 0)).expect("a listener");
        let far = listener.local_addr().expect("its address");
        let client = |from: IpAddr| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.bind(&SocketAddr::new(from, 0).into()).expect("bind");
            socket.connect(&far.into()).expect("connect");
            TcpStream::from(socket)
        };
        let (by_fiber, by_lte) = (client(FIBER), client(LTE));
        let udp = UdpSocket::bind((FIBER, 0)).expect("bind");
        udp.connect(far).expect("connect");
        let far_ends = [listener.accept(), listener.accept()].map(|far| far.expect("accept").0);

        let fiber = SortedSet::from([FIBER]);
        let of_udp = Selector {
            to: vec![IpNet::from(LTE)],
            protocol: Some(IpProtocol(17)),
            ..Selector::default()
        };
        let of_udp = FlowRule {
            traffic: of_udp,
            is_of_it: true,
            has_hours: false,
        };
        let of_udp = TrafficOf::selected(vec![of_udp], false, None);
        assert_eq!(end_sockets(&fiber, &of_udp).expect("ended"), 1);
        assert_eq!(end_sockets(&fiber, &TrafficOf::all()).expect("ended"), 1);

        let is_aborted = |result: io::Result<usize>| {
            result.is_err_and(|error| error.kind() == ErrorKind::ConnectionAborted)
        };
        assert!(
            is_aborted((&by_fiber).read(&mut [0; 8])),
            "the client by fiber"
        );
        assert!(is_aborted(udp.recv(&mut [0; 8])), "the UDP client by fiber");
        (&far_ends[1]).write_all(b"hello").expect("write");
        assert_eq!((&by_lte).read(&mut [0; 8]).expect("read"), 5);
        assert_eq!(end_sockets(&fiber, &TrafficOf::all()).expect("ended"), 0);
    });
}

#[test]
fn a_socket_that_holds_to_an_address_is_told_by_what_it_sends_after_its_flows_were_ended() {
    netns::run(|_| async {
        let mut tracking = Tracking::open();
        let own = |port| Tracked {
            from: FIBER,
            ..translated(FIBER, port)
        };
        let look = || {
            end_own_datagrams(&SortedSet::from([FIBER, FIBER6]), &TrafficOf::all()).expect("looked")
        };
        tracking.add(own(51_820));
        tracking.add(translated(FIBER, 1_000));
        let tunnel = (FIBER, SocketAddr::new(SERVER, 443));
        assert_eq!(look(), [tunnel]);
        assert_eq!(tracking.answered_to(FIBER), 1, "what is forwarded stays");
        assert_eq!(look(), []);
        tracking.add(own(51_820));
        assert_eq!(look(), [tunnel]);
    });
}

#[test]
fn connections_that_were_opened_from_outside_stay() {
    netns::run(|world| async move {
        world.wire("fiber").await;
        let net = "192.0.2.10/24".parse().expect("a net");
        world.add_address("fiber", net).await;
        let service = TcpListener::bind((FIBER, 0)).expect("a listener");
        let address = service.local_addr().expect("its address");
        let caller = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let elsewhere = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        caller.bind(&elsewhere.into()).expect("bind");
        caller.connect(&address.into()).expect("connect");
        let (mut answer, _) = service.accept().expect("accept");
        assert_eq!(
            end_sockets(&SortedSet::from([FIBER]), &TrafficOf::all()).expect("none"),
            0
        );
        answer.write_all(b"hello").expect("write");
        let mut caller = TcpStream::from(caller);
        assert_eq!(caller.read(&mut [0; 8]).expect("read"), 5);
    });
}
