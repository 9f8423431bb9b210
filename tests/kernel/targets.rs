//! The probers against real servers, each test in a network namespace of its own: good servers, captive
//! portals and hostile ones.

#![cfg(feature = "replay")]

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use ipnet::Ipv4Net;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::rule::{RuleAction, RuleMessage};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::{Instant, timeout};
use uplinkd::engine::Engine;
use uplinkd::engine::action::{Action, ProbeOrder};
use uplinkd::engine::event::Change;
use uplinkd::engine::input::{Input, ProbeOutcome};
use uplinkd::engine::state::State;
use uplinkd::kernel::netfilter::{
    self, NetfilterBatch, NetfilterChain, NetfilterFamily, NetfilterStep, NetfilterTable,
    PacketField, PacketHook,
};
use uplinkd::probe::{ProbeExit, ProbeJob, ProbeReport, ProberReport, Probers};
use uplinkd::replay::attached;
use uplinkd::units::{IfIndex, Mark, Moment, ProbeId};

use crate::netns::{self, World};
use crate::support;
use crate::tun::Tun;

/// Far more than an answer takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long probes without an answer listen.
const BRIEFLY: Duration = Duration::from_millis(300);

const WEB: &str = "192.0.2.80:80";
const WEB_V6: &str = "[2001:db8::80]:80";
const RESOLVER: &str = "192.0.2.53:53";

/// The probers, and an uplink that ends in this machine.
struct Uplink {
    probers: Probers,
    order: ProbeJob,
}

impl Uplink {
    async fn new(world: &World) -> Self {
        for address in [WEB, RESOLVER] {
            let address: SocketAddr = address.parse().expect("an address");
            let network = format!("{}/32", address.ip()).parse().expect("a network");
            world.add_address("lo", network).await;
        }
        Self {
            probers: Probers::start().expect("a thread"),
            order: ProbeJob {
                probe: ProbeOrder {
                    id: ProbeId(0),
                    uplink: support::name("fiber"),
                    target: "192.0.2.80".parse().expect("a target"),
                    hop: None,
                    listen_for: PATIENCE,
                },
                exit: ProbeExit {
                    interface: "lo".parse().expect("a name"),
                    index: IfIndex::new(1).expect("not 0"),
                    mark: Mark(1),
                },
                resolvers: vec![RESOLVER.parse::<SocketAddr>().expect("an address").ip()],
            },
        }
    }

    /// One that leads to a network in which no host answers, from 198.51.100.2.
    async fn on_a_wire(world: &World) -> Self {
        let mut uplink = Self::new(world).await;
        let index = world.wire("lte").await;
        let network = "198.51.100.2/24".parse().expect("a network");
        world.add_address("lte", network).await;
        uplink.order.exit.interface = "lte".parse().expect("a name");
        uplink.order.exit.index = IfIndex::new(index).expect("not 0");
        uplink
    }

    #[expect(clippy::disallowed_methods, reason = "it orders a probe now")]
    fn send(&mut self, target: &str, listen_for: Duration) {
        self.order.probe.id.0 += 1;
        self.order.probe.target = target.parse().expect("a target");
        self.order.probe.listen_for = listen_for;
        self.probers
            .order(vec![self.order.clone()], Instant::now())
            .expect("a free place");
    }

    /// The next outcome of a probe that is reported within this time.
    async fn outcome(&mut self, within: Duration) -> Option<ProbeReport> {
        let outcome = async {
            loop {
                match self.probers.report().await.expect("the thread lives") {
                    ProberReport::Outcome(report) => return report,
                    ProberReport::SentLate { .. }
                    | ProberReport::Traced(..)
                    | ProberReport::AnswersRead(_) => {}
                }
            }
        };
        timeout(within, outcome).await.ok()
    }

    /// The outcome of a probe.
    async fn ask(&mut self, target: &str) -> ProbeOutcome {
        self.send(target, PATIENCE);
        let report = self.outcome(PATIENCE).await;
        let report = report.unwrap_or_else(|| panic!("{target}: no outcome in time"));
        assert_eq!(report.id, self.order.probe.id);
        report.outcome
    }

    /// Sends a probe that is not answered, and expects no outcome.
    async fn expect_no_outcome(&mut self, target: &str) {
        self.send(target, BRIEFLY);
        let report = self.outcome(BRIEFLY * 2).await;
        assert!(report.is_none(), "{target}: {report:?}");
    }

    /// Probes until the name in the target is resolved.
    async fn resolved(&mut self, target: &str) -> ProbeOutcome {
        loop {
            let outcome = self.ask(target).await;
            let ProbeOutcome::NotSent(why) = &outcome else {
                return outcome;
            };
            assert!(why.ends_with("is not resolved yet"), "{why}");
        }
    }
}

fn is_reply(outcome: &ProbeOutcome) -> bool {
    matches!(outcome, ProbeOutcome::Reply(_))
}

/// A web server that serves each client like this after its request.
fn web(address: &str, serve: impl Fn(TcpStream) + Send + Clone + 'static) {
    let listener = TcpListener::bind(address).expect("a free address");
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            thread::spawn(move || {
                let mut client = client;
                let mut request = [0; 1024];
                let length = client.read(&mut request).expect("a request");
                assert!(request[..length].starts_with(b"GET "));
                serve(client);
            });
        }
    });
}

fn says(answer: &'static str) -> impl Fn(TcpStream) + Send + Clone {
    move |mut client| {
        // A client may close the connection early.
        drop(client.write_all(answer.as_bytes()));
    }
}

/// A name server with these answers to each query. Returns the count of queries.
fn dns(
    address: &str,
    answer: impl Fn(&[u8], usize) -> Vec<Vec<u8>> + Send + 'static,
) -> Arc<AtomicUsize> {
    let socket = UdpSocket::bind(address).expect("a free address");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            let number = count.fetch_add(1, Ordering::SeqCst);
            for datagram in answer(&buffer[..length], number) {
                drop(socket.send_to(&datagram, client));
            }
        }
    });
    asked
}

/// The answer to a query, with this code and these records.
fn answer(question: &[u8], code: u8, records: &[&[u8]]) -> Vec<u8> {
    let count = u8::try_from(records.len()).expect("a few");
    let mut answer = question.to_vec();
    answer[2] = 0x81;
    answer[3] = 0x80 | code;
    answer[7] = count;
    answer.extend(records.concat());
    answer
}

const IS_WEB: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x50";
const IS_LOCAL_V6: &[u8] =
    b"\xc0\x0c\0\x1c\0\x01\0\0\0\x3c\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01";

fn asks_for_v6(question: &[u8]) -> bool {
    question.ends_with(&[0, 28, 0, 1])
}

#[test]
fn a_page_is_a_reply_and_a_landing_page_is_not() {
    netns::run(|world| async move {
        let mut uplink = Uplink::new(&world).await;
        web(
            WEB,
            says("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
        );
        web(
            "192.0.2.80:8080",
            says("HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n"),
        );
        let internet = uplink.ask("http://192.0.2.80/generate_204").await;
        assert!(is_reply(&internet), "{internet:?}");
        let portal = uplink.ask("http://192.0.2.80:8080/generate_204").await;
        let says = "captive portal: http://192.0.2.80:8080/generate_204 answered 302 to \
                    http://login.example/";
        assert_eq!(portal, ProbeOutcome::Captive(says.to_owned()));
    });
}

#[test]
fn a_text_is_looked_for_and_an_endless_page_is_not_read() {
    netns::run(|world| async move {
        let mut uplink = Uplink::new(&world).await;
        web(WEB, says("HTTP/1.1 200 OK\r\n\r\nMicrosoft Connect Test"));
        let (ended, end) = channel();
        web("192.0.2.80:8080", move |mut client| {
            drop(client.write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
            while client.write_all(&[b'a'; 4096]).is_ok() {}
            ended.send(()).expect("the test listens");
        });
        let text = "ncsi.txt#text=Microsoft%20Connect%20Test";
        let page = uplink.ask(&format!("http://192.0.2.80/{text}")).await;
        assert!(is_reply(&page), "{page:?}");
        let endless = uplink.ask(&format!("http://192.0.2.80:8080/{text}")).await;
        let says = "captive portal: http://192.0.2.80:8080/ncsi.txt answered 200 without \
                    \"Microsoft Connect Test\"";
        assert_eq!(endless, ProbeOutcome::Captive(says.to_owned()));
        end.recv_timeout(PATIENCE)
            .expect("the client closed the connection");
    });
}

/// Waits until the client has closed the connection.
fn until_hung_up(mut client: &TcpStream) {
    let mut rest = [0; 64];
    while !matches!(client.read(&mut rest), Ok(0) | Err(_)) {}
}

#[test]
fn a_probe_of_a_silent_server_ends_at_the_time_limit() {
    netns::run(|world| async move {
        let mut uplink = Uplink::new(&world).await;
        let (ended, end) = channel();
        web(WEB, move |client| {
            until_hung_up(&client);
            ended.send(()).expect("the test listens");
        });
        uplink.expect_no_outcome("http://192.0.2.80/").await;
        end.recv_timeout(PATIENCE)
            .expect("the client closed the connection");
    });
}

#[test]
fn a_probe_of_a_slow_server_ends_at_the_time_limit() {
    netns::run(|world| async move {
        let mut uplink = Uplink::new(&world).await;
        let (ended, end) = channel();
        web(WEB, move |mut client| {
            let pace = Some(Duration::from_millis(10));
            client.set_read_timeout(pace).expect("set a timeout");
            drop(client.write_all(b"HTTP/1.1 200 OK\r\nX: "));
            let is_there = |client: &mut TcpStream| match client.read(&mut [0; 64]) {
                Ok(count) => count > 0,
                Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            };
            while is_there(&mut client) && client.write_all(b"x").is_ok() {}
            ended.send(()).expect("the test listens");
        });
        uplink
            .expect_no_outcome("http://192.0.2.80/#text=never")
            .await;
        end.recv_timeout(PATIENCE)
            .expect("the client closed the connection");
    });
}

#[test]
fn a_closed_port_answers_a_connection_but_is_no_page() {
    netns::run(|world| async move {
        let mut uplink = Uplink::new(&world).await;
        let connection = uplink.ask("tcp://192.0.2.80:81").await;
        assert!(is_reply(&connection), "{connection:?}");
        let page = uplink.ask("http://192.0.2.80:81/").await;
        assert!(matches!(page, ProbeOutcome::Unreachable(_)), "{page:?}");
        let resolver = uplink.ask("dns://192.0.2.80/example.test").await;
        assert!(
            matches!(resolver, ProbeOutcome::Unreachable(_)),
            "{resolver:?}"
        );
        web(WEB, drop);
        let nothing = uplink.ask("http://192.0.2.80/").await;
        assert!(
            matches!(nothing, ProbeOutcome::Unreachable(_)),
            "{nothing:?}"
        );
    });
}

#[test]
fn the_sockets_of_an_uplink_are_limited() {
    const ORDERED: usize = 400;
    netns::run(|world| async move {
        let mut uplink = Uplink::new(&world).await;
        let listener = TcpListener::bind(WEB).expect("a free address");
        // Room for all connections that are not accepted yet.
        let backlog = socket2::SockRef::from(&listener).listen(1024);
        backlog.expect("a longer backlog");
        for _ in 0..ORDERED {
            uplink.send("http://192.0.2.80/", PATIENCE * 10);
        }
        // The last one is served only after all others have been started.
        web("192.0.2.80:81", says("HTTP/1.1 200 OK\r\n\r\n"));
        assert!(is_reply(&uplink.ask("http://192.0.2.80:81/").await));
        listener.set_nonblocking(true).expect("set a flag");
        let mut held = 0;
        for client in listener.incoming().map_while(Result::ok) {
            client.set_nonblocking(true).expect("set a flag");
            let mut request = [0; 1024];
            // First the request, then no data or the end.
            let ends = [(); 2].map(|()| matches!((&client).read(&mut request), Ok(0)));
            held += usize::from(ends == [false; 2]);
        }
        assert!((1..=256).contains(&held), "{held} connections");
    });
}

#[test]
fn a_resolver_must_answer_this_query_without_an_error() {
    netns::run(|world| async move {
        let mut uplink = Uplink::new(&world).await;
        dns(RESOLVER, |question, _| {
            let mut guess = answer(question, 0, &[IS_WEB]);
            guess[1] ^= 1;
            match question[13] {
                // A guessed id, the query itself, noise; then the true answer.
                b't' => vec![
                    guess,
                    question.to_vec(),
                    vec![0; 3],
                    answer(question, 0, &[]),
                ],
                b'g' => vec![guess],
                b'f' => vec![answer(question, 2, &[])],
                _ => vec![],
            }
        });
        let truth = uplink.ask("dns://192.0.2.53/true.test").await;
        assert!(is_reply(&truth), "{truth:?}");
        let failure = uplink.ask("dns://192.0.2.53/fail.test?type=AAAA").await;
        let says = "dns://192.0.2.53/fail.test?type=AAAA answered SERVFAIL";
        assert_eq!(failure, ProbeOutcome::Wrong(says.to_owned()));
        uplink
            .expect_no_outcome("dns://192.0.2.53/guess.test")
            .await;
        uplink
            .expect_no_outcome("dns://192.0.2.53/silence.test")
            .await;
    });
}

#[test]
fn an_answer_from_another_address_is_ignored() {
    netns::run(|world| async move {
        let mut uplink = Uplink::new(&world).await;
        let server = UdpSocket::bind(RESOLVER).expect("a free address");
        let other = UdpSocket::bind("192.0.2.80:53").expect("a free address");
        thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((length, client)) = server.recv_from(&mut buffer) {
                drop(other.send_to(&answer(&buffer[..length], 0, &[]), client));
            }
        });
        uplink
            .expect_no_outcome("dns://192.0.2.53/example.test")
            .await;
    });
}

#[test]
fn a_name_is_resolved_beside_the_probes_and_kept() {
    netns::run(|world| async move {
        let mut uplink = Uplink::new(&world).await;
        web(WEB, says("HTTP/1.1 200 OK\r\n\r\n"));
        let asked = dns(RESOLVER, |question, _| vec![answer(question, 0, &[IS_WEB])]);
        let target = "http://www.example.test/";
        let first = uplink.ask(target).await;
        let not_yet = "www.example.test is not resolved yet";
        assert_eq!(first, ProbeOutcome::NotSent(not_yet.to_owned()));
        assert!(is_reply(&uplink.resolved(target).await));
        assert!(is_reply(&uplink.ask("tcp://www.example.test:80").await));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        // Another interface of the same name may lead elsewhere.
        uplink.order.exit.index = IfIndex::new(2).expect("not 0");
        assert!(is_reply(&uplink.resolved(target).await));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        // So may another uplink.
        uplink.order.probe.uplink = support::name("lte");
        assert!(is_reply(&uplink.resolved(target).await));
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn a_name_without_an_ipv4_address_is_probed_by_ipv6() {
    netns::run(|world| async move {
        let mut uplink = Uplink::new(&world).await;
        web("[::1]:80", says("HTTP/1.1 200 OK\r\n\r\n"));
        dns(RESOLVER, |question, _| {
            let records: &[&[u8]] = if asks_for_v6(question) {
                &[IS_LOCAL_V6]
            } else {
                &[]
            };
            vec![answer(question, 0, records)]
        });
        let page = uplink.resolved("http://six.example.test/").await;
        assert!(is_reply(&page), "{page:?}");
        for target in ["::1", "tcp://[::1]:80", "http://[::1]/"] {
            let outcome = uplink.ask(target).await;
            assert!(is_reply(&outcome), "{target}: {outcome:?}");
        }
    });
}

#[test]
fn a_silent_resolver_delays_no_other_probe_and_is_named() {
    netns::run(|world| async move {
        let mut uplink = Uplink::new(&world).await;
        uplink
            .order
            .resolvers
            .insert(0, "192.0.2.80".parse().expect("an address"));
        dns(RESOLVER, |question, number| {
            // Refuses at first.
            let code = if number == 0 { 5 } else { 0 };
            vec![answer(question, code, &[IS_WEB])]
        });
        let target = "tcp://www.example.test:80";
        let says = "www.example.test is not resolved: 192.0.2.80: Connection refused";
        loop {
            assert!(is_reply(&uplink.ask("192.0.2.80").await));
            let ProbeOutcome::NotSent(why) = uplink.ask(target).await else {
                panic!("there is no address yet");
            };
            if !why.ends_with("not resolved yet") {
                let is_named = why.starts_with(says) && why.ends_with("192.0.2.53: REFUSED");
                assert!(is_named, "{why}");
                break;
            }
        }
        while !is_reply(&uplink.ask(target).await) {}
    });
}

/// Answers each echo request on `lo` from this address of its family, with its bytes changed by `change`.
fn answer_pings(from: IpAddr, change: impl Fn(&mut [u8]) + Send + 'static) {
    let (domain, protocol, header, request, reply) = match from {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 20, 8, 0),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 0, 128, 129),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol)).expect("a socket");
    socket
        .bind(&SocketAddr::new(from, 0).into())
        .expect("an address");
    let everything = Socket::new(domain, Type::RAW, Some(protocol)).expect("a socket");
    thread::spawn(move || {
        let mut everything = everything;
        let mut packet = [0; 256];
        while let Ok(length) = everything.read(&mut packet) {
            let icmp = &mut packet[header..length];
            if icmp[0] == request {
                icmp[0] = reply;
                change(icmp);
                icmp[2..4].fill(0);
                // The kernel fills in that of IPv6.
                let sum = checksum(icmp).to_be_bytes();
                icmp[2..4].copy_from_slice(&sum);
                let asker = if from.is_ipv4() { WEB } else { WEB_V6 };
                let mut asker: SocketAddr = asker.parse().expect("an address");
                asker.set_port(0);
                drop(socket.send_to(icmp, &asker.into()));
            }
        }
    });
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let add_with_carry = |sum: u16, word| {
        let (sum, carries) = sum.overflowing_add(word);
        sum + u16::from(carries)
    };
    !words.fold(0, add_with_carry)
}

#[test]
fn an_echo_reply_counts_with_identifier_sequence_and_nonce_of_its_request_only() {
    for target in ["192.0.2.80", "2001:db8::80"] {
        for (is_forged, byte) in [(false, 0), (true, 8), (true, 15), (true, 4), (true, 7)] {
            netns::run(move |world| async move {
                let mut uplink = by_both_families(&world).await;
                let from = target.parse().expect("an address");
                answer_pings(from, move |icmp| icmp[byte] ^= u8::from(is_forged));
                if is_forged {
                    uplink.expect_no_outcome(target).await;
                } else {
                    let outcome = uplink.ask(target).await;
                    assert!(is_reply(&outcome), "{target}: {outcome:?}");
                }
            });
        }
    }
}

#[test]
fn an_echo_reply_counts_from_the_address_that_was_asked_only() {
    for (target, other) in [("192.0.2.80", "192.0.2.53"), ("2001:db8::80", "::1")] {
        netns::run(move |world| async move {
            let mut uplink = by_both_families(&world).await;
            answer_pings(other.parse().expect("an address"), |_| {});
            uplink.expect_no_outcome(target).await;
        });
    }
}

/// An uplink that ends in this machine, which answers no ping of itself.
async fn by_both_families(world: &World) -> Uplink {
    let uplink = Uplink::new(world).await;
    let network = "2001:db8::80/128".parse().expect("a network");
    world.take_address6("lo", network).await;
    netns::sysctl("ipv4/icmp_echo_ignore_all", "1");
    netns::sysctl("ipv6/icmp/echo_ignore_all", "1");
    uplink
}

#[test]
fn pings_are_answered_by_both_families() {
    netns::run(|world| async move {
        let mut uplink = Uplink::new(&world).await;
        let network = "2001:db8::80/128".parse().expect("a network");
        world.take_address6("lo", network).await;
        for target in ["192.0.2.80", "2001:db8::80"] {
            let outcome = uplink.ask(target).await;
            assert!(is_reply(&outcome), "{target}: {outcome:?}");
        }
    });
}

/// What this machine answers itself, or no single host does: its own address, another interface's, the broadcast
/// addresses, none, loopback, multicast; and its own as IPv6 writes those of IPv4.
const NO_HOSTS: [&str; 13] = [
    "198.51.100.2",
    "192.0.2.80",
    "198.51.100.255",
    "255.255.255.255",
    "0.0.0.0",
    "127.9.9.9",
    "224.0.0.1",
    "2001:db8:7::2",
    "::",
    "::1",
    "ff02::1",
    "::ffff:198.51.100.2",
    "::ffff:0.0.0.0",
];

#[track_caller]
fn assert_refused_as_own(target: &str, address: &str, outcome: &ProbeOutcome) {
    let ProbeOutcome::Refused(why) = outcome else {
        panic!("{target}: {outcome:?}");
    };
    let is_said = why.contains("this machine itself") && why.contains("fiber");
    assert!(is_said && why.contains(address), "{target}: {why}");
}

#[test]
fn an_address_of_this_machine_is_no_target_of_an_uplink_however_it_is_probed() {
    netns::run(|world| async move {
        world.speak_ipv6();
        let mut uplink = Uplink::on_a_wire(&world).await;
        let network = "2001:db8:7::2/64".parse().expect("a network");
        world.take_address6("lte", network).await;
        for address in NO_HOSTS {
            let is_ipv6 = address.contains(':');
            let host = if is_ipv6 {
                format!("[{address}]")
            } else {
                address.to_owned()
            };
            for target in [
                address.to_owned(),
                format!("tcp://{host}:80"),
                format!("http://{host}/"),
                format!("dns://{host}/example.test"),
            ] {
                let outcome = uplink.ask(&target).await;
                assert_refused_as_own(&target, address, &outcome);
            }
        }
        for other in ["198.51.100.9", "2001:db8:7::9"] {
            let outcome = uplink.ask(other).await;
            assert!(!matches!(outcome, ProbeOutcome::Refused(_)), "{outcome:?}");
        }
    });
}

/// The answer of a resolver that knows one address of each name, of those that stand at the place of the name's first
/// letter.
fn resolved_to(addresses: &[IpAddr], packet: &[u8]) -> Option<Vec<u8>> {
    const HEADERS: usize = 20 + 8;
    let is_query = packet[0] >> 4 == 4 && packet[9] == 17 && packet[22..24] == [0, 53];
    let question = packet.get(HEADERS..).filter(|_| is_query)?;
    let address = addresses[usize::from(question[13] - b'a')];
    let (kind, octets) = match address {
        IpAddr::V4(address) => (1, address.octets().to_vec()),
        IpAddr::V6(address) => (28, address.octets().to_vec()),
    };
    let length = u8::try_from(octets.len()).expect("16 at most");
    let head = [0xc0, 0x0c, 0, kind, 0, 1, 0, 0, 0, 60, 0, length];
    let record = [&head[..], &octets].concat();
    let records = [&record[..]];
    let is_asked = asks_for_v6(question) == address.is_ipv6();
    let datagram = answer(question, 0, &records[..usize::from(is_asked)]);
    let udp = [&packet[22..24], &packet[20..22]].concat();
    let length = u16::try_from(datagram.len() + 8).ok()?;
    let [high, low] = (length + 20).to_be_bytes();
    let mut header = vec![0x45, 0, high, low, 0, 0, 0, 0, 64, 17, 0, 0];
    header.extend([&packet[16..20], &packet[12..16]].concat());
    let sum = checksum(&header).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
    let sizes = [length.to_be_bytes(), [0, 0]].concat();
    Some([header, udp, sizes, datagram].concat())
}

#[test]
fn a_name_that_resolves_to_this_machine_is_no_target_of_an_uplink() {
    netns::run(|world| async move {
        world.speak_ipv6();
        let mut uplink = Uplink::new(&world).await;
        let tun = Tun::make("ppp0");
        world.set_up("ppp0", true).await;
        let network = "198.51.100.2/24".parse().expect("a network");
        world.add_address("ppp0", network).await;
        let network = "2001:db8:7::2/64".parse().expect("a network");
        world.take_address6("ppp0", network).await;
        let addresses = NO_HOSTS.map(|address| address.parse().expect("an address"));
        tun.answer(move |packet| resolved_to(&addresses, packet));
        uplink.order.exit.interface = "ppp0".parse().expect("a name");
        let index = nix::net::if_::if_nametoindex("ppp0").expect("it exists");
        uplink.order.exit.index = IfIndex::new(index).expect("not 0");
        uplink.order.resolvers = vec!["198.51.100.53".parse().expect("an address")];
        for (letter, address) in ('a'..).zip(NO_HOSTS) {
            // A point-to-point interface has no broadcast address of its network.
            if address == "198.51.100.255" {
                continue;
            }
            for target in [
                format!("tcp://{letter}.example.test:80"),
                format!("http://{letter}.example.test/"),
            ] {
                let outcome = uplink.resolved(&target).await;
                assert_refused_as_own(&target, address, &outcome);
            }
        }
    });
}

#[test]
fn a_target_that_becomes_an_address_of_this_machine_is_refused_with_the_look_that_sees_it() {
    netns::run(|world| async move {
        let mut uplink = Uplink::on_a_wire(&world).await;
        let target = "198.51.100.9";
        let is_refused = |outcome: &ProbeOutcome| matches!(outcome, ProbeOutcome::Refused(_));
        uplink.expect_no_outcome(target).await;
        let taken: Ipv4Net = format!("{target}/32").parse().expect("a network");
        for (is_own, name) in [(true, "lo"), (false, "lo"), (true, "lte")] {
            if is_own {
                world.add_address(name, taken).await;
            } else {
                world.remove_address(name, taken).await;
            }
            uplink.probers.addresses_changed();
            uplink.send(target, BRIEFLY);
            let report = uplink.outcome(BRIEFLY * 2).await;
            let outcome = report.map(|report| report.outcome);
            assert_eq!(
                outcome.as_ref().is_some_and(is_refused),
                is_own,
                "{outcome:?}"
            );
        }
    });
}

#[test]
fn an_address_that_a_rule_prohibits_is_not_taken_for_one_of_this_machine() {
    netns::run(|world| async move {
        let mut uplink = Uplink::new(&world).await;
        world.wire("lte").await;
        world
            .add_address("lte", "198.51.100.2/24".parse().expect("a network"))
            .await;
        let mut kill_switch = RuleMessage::default();
        kill_switch.header.family = AddressFamily::Inet;
        kill_switch.header.action = RuleAction::Prohibit;
        world.add_rule(kill_switch).await;
        uplink.order.exit.interface = "lte".parse().expect("a name");
        let outcome = uplink.ask("203.0.113.9").await;
        let text = format!("{outcome:?}");
        assert!(!text.contains("this machine itself"), "{text}");
    });
}

/// The packet filter drops what this machine sends by the interface.
pub(crate) fn refuse_output(interface: &str) {
    let table = NetfilterTable {
        family: NetfilterFamily::Inet,
        name: "test",
    };
    let chain = NetfilterChain {
        name: "output",
        kind: "filter",
        hook: PacketHook::Output,
        priority: 0,
    };
    let mut name = vec![0; libc::IFNAMSIZ];
    name[..interface.len()].copy_from_slice(interface.as_bytes());
    let steps = [
        NetfilterStep::Load(PacketField::OutputName),
        NetfilterStep::Is(name),
        NetfilterStep::Drop,
    ];
    let mut batch = NetfilterBatch::default();
    batch.add_table(table);
    batch.add_chain(table, &chain);
    batch.add_rule(table, &chain, "", &steps);
    netfilter::commit(&batch).expect("a filter");
}

#[test]
fn what_the_packet_filter_of_this_machine_drops_is_a_refusal_and_no_silence_of_the_path() {
    netns::run(|world| async move {
        world.speak_ipv6();
        let mut uplink = Uplink::on_a_wire(&world).await;
        let network = "2001:db8:7::2/64".parse().expect("a network");
        world.take_address6("lte", network).await;
        refuse_output("lte");
        for target in [
            "198.51.100.9",
            "2001:db8:7::9",
            "dns://198.51.100.9/example.test",
            "dns://[2001:db8:7::9]/example.test",
        ] {
            let outcome = uplink.ask(target).await;
            let is_said =
                matches!(&outcome, ProbeOutcome::Refused(why) if why.contains("not permitted"));
            assert!(is_said, "{target}: {outcome:?}");
        }
    });
}

/// The answer of a router that does not forward a packet of TCP or UDP: "destination unreachable", with a code that
/// follows from the last byte of the destination.
fn not_forwarded(packet: &[u8]) -> Option<Vec<u8>> {
    let is_ipv4 = packet[0] >> 4 == 4;
    let (protocol, addresses) = if is_ipv4 { (9, 12..20) } else { (6, 8..40) };
    let is_probe = [6, 17].contains(&packet[protocol]);
    let (from, to) = packet[addresses.clone()].split_at(addresses.len() / 2);
    let code = to.last()?.checked_sub(100).filter(|_| is_probe)?;
    let kind = if is_ipv4 { 3 } else { 1 };
    let mut message = [&[kind, code, 0, 0, 0, 0, 0, 0], packet].concat();
    let length = u16::try_from(message.len()).ok()?;
    let (mut header, pseudo) = if is_ipv4 {
        let [high, low] = (length + 20).to_be_bytes();
        (vec![0x45, 0, high, low, 0, 0, 0, 0, 64, 1, 0, 0], vec![])
    } else {
        let [high, low] = length.to_be_bytes();
        let pseudo = [to, from, &[0, 0, high, low, 0, 0, 0, 58]].concat();
        (vec![0x60, 0, 0, 0, high, low, 58, 64], pseudo)
    };
    header.extend([to, from].concat());
    if is_ipv4 {
        let sum = checksum(&header).to_be_bytes();
        header[10..12].copy_from_slice(&sum);
    }
    let sum = checksum(&[&pseudo[..], &message].concat()).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    Some([header, message].concat())
}

#[test]
fn what_a_router_does_not_forward_is_no_refusal_of_this_machine() {
    netns::run(|world| async move {
        world.speak_ipv6();
        let mut uplink = Uplink::new(&world).await;
        let tun = Tun::make("ppp0");
        world.set_up("ppp0", true).await;
        let network = "198.51.100.2/24".parse().expect("a network");
        world.add_address("ppp0", network).await;
        let network = "2001:db8:7::2/64".parse().expect("a network");
        world.take_address6("ppp0", network).await;
        tun.answer(not_forwarded);
        uplink.order.exit.interface = "ppp0".parse().expect("a name");
        let index = nix::net::if_::if_nametoindex("ppp0").expect("it exists");
        uplink.order.exit.index = IfIndex::new(index).expect("not 0");
        for target in [
            // No route, and prohibited.
            "tcp://198.51.100.100:81",
            "http://198.51.100.100/",
            "dns://198.51.100.109/a.test",
            // No route, prohibited, and a wrong source address.
            "tcp://[2001:db8:7::64]:81",
            "tcp://[2001:db8:7::65]:81",
            "dns://[2001:db8:7::65]/a.test",
            "dns://[2001:db8:7::69]/a.test",
        ] {
            let outcome = uplink.ask(target).await;
            let is_of_the_path = matches!(outcome, ProbeOutcome::Unreachable(_));
            assert!(is_of_the_path, "{target}: {outcome:?}");
        }
    });
}

#[test]
fn nothing_is_sent_through_another_interface() {
    netns::run(|world| async move {
        let mut uplink = Uplink::new(&world).await;
        web(WEB, says("HTTP/1.1 200 OK\r\n\r\n"));
        let asked = dns(RESOLVER, |question, _| vec![answer(question, 0, &[IS_WEB])]);
        let index = world.wire("lte").await;
        uplink.order.exit.interface = "lte".parse().expect("a name");
        uplink.order.exit.index = IfIndex::new(index).expect("not 0");
        for target in [
            "tcp://192.0.2.80:80",
            "http://192.0.2.80/",
            "dns://192.0.2.53/example.test",
            "http://www.example.test/",
        ] {
            uplink.send(target, BRIEFLY);
            let report = uplink.outcome(BRIEFLY * 2).await;
            let is_well = report
                .as_ref()
                .is_some_and(|report| is_reply(&report.outcome));
            assert!(!is_well, "{target}: {report:?}");
        }
        drop(asked);
    });
}

/// The verdict of the engine on an uplink with these answers from `at` on.
fn verdict(at: Duration, answers: impl Fn(&ProbeOrder) -> ProbeOutcome) -> Option<(State, String)> {
    let mut engine = Engine::new(support::settings(&["fiber"]), Moment::START);
    let (uplink, attachment) = (support::name("fiber"), attached(1));
    engine.handle_input(Moment::START, Input::Attachment { uplink, attachment });
    let mut now = Moment::START;
    let mut last = None;
    while now < Moment::after_start(at * 3) {
        while let Some(action) = engine.poll_action() {
            match action {
                Action::Probe(order) => {
                    let outcome = if now < Moment::after_start(at) {
                        ProbeOutcome::Reply(Duration::from_millis(10))
                    } else {
                        answers(&order)
                    };
                    let (uplink, id) = (order.uplink, order.id);
                    engine.handle_input(
                        now,
                        Input::Probe {
                            uplink,
                            id,
                            outcome,
                        },
                    );
                }
                Action::Event(event) => {
                    if let Change::Uplink { to, .. } = event.change {
                        last = Some((to, event.reason));
                    }
                }
                Action::Route(_)
                | Action::Count(_)
                | Action::Leave(_)
                | Action::Drain(..)
                | Action::Drill(_)
                | Action::Trace(_) => {}
            }
        }
        now = engine.poll_timeout().expect("it goes on probing").max(now);
        engine.handle_timeout(now);
    }
    last
}

#[test]
fn an_uplink_behind_a_captive_portal_is_down_and_says_so() {
    let says = "captive portal: http://192.0.2.80/ answered 302 to http://login.example/";
    let at = Duration::from_secs(30);
    let portal = verdict(at, |_| ProbeOutcome::Captive(says.to_owned()));
    assert_eq!(portal, Some((State::Down, says.to_owned())));
    let silence = verdict(at, |_| ProbeOutcome::Unreachable(String::new()));
    let (state, reason) = silence.expect("a verdict");
    assert_eq!(state, State::Down);
    assert!(!reason.contains("captive portal"), "{reason}");
}

#[test]
fn a_target_that_cannot_be_probed_hides_no_outage() {
    let silence = verdict(Duration::from_secs(30), |order| {
        if order.target.to_string() == "192.0.2.1" {
            ProbeOutcome::NotSent("www.example.test is not resolved yet".to_owned())
        } else {
            ProbeOutcome::Unreachable(String::new())
        }
    });
    assert_eq!(silence.expect("a verdict").0, State::Down);
}
