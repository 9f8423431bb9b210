//! Flows that are remembered: a LAN host, the router, and an internet that drops what comes by the wrong uplink.
#![expect(clippy::print_stderr, reason = "figures")]

mod flow_table;
mod soft;
mod tunnel;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use netlink_packet_core::NetlinkBuffer;
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr as NetlinkAddress};
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use serde_json::Value;
use uplinkd::kernel::netfilter::{
    MarkField, MarkWriters, NetfilterBatch, NetfilterChain, NetfilterFamily, NetfilterStep,
    NetfilterTable, PacketField, PacketHook, commit, mark_writers,
};
use uplinkd::kernel::{FlowMemoryState, end_flows, forget_flows};
use uplinkd::routing::desired::TrafficRoutes;
use uplinkd::routing::flows::TrafficOf;
use uplinkd::routing::traffic::{Marks, Selector};
use uplinkd::routing::{Desired, Family, FlowMemory, Gateway, Hints, Numbering};
use uplinkd::units::Mark;
use uplinkd::units::sorted::SortedSet;

use super::balance::carrying;
use super::by_hand::Site as Running;
use super::ipv6::{ip6, net6};
use super::{Agent, FIBER, LTE, VIA_FIBER, VIA_LTE, name, net};
use crate::extent::extent;
use crate::host::Host;
use crate::netns::{self, World, sysctl};
use crate::tracked::Tracking;

const LAN: &str = "lan";
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
const BY_FIBER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const BY_LTE: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 2);
const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 80);
/// Long enough on any machine; only what never comes takes it.
const NEVER: Duration = Duration::from_millis(300);
const SOON: Duration = Duration::from_secs(5);

const OURS: NetfilterTable = NetfilterTable {
    family: NetfilterFamily::Inet,
    name: "uplinkd",
};
const THEIRS: NetfilterTable = NetfilterTable {
    family: NetfilterFamily::Ipv4,
    name: "theirs",
};
const POSTROUTING: NetfilterChain = NetfilterChain {
    name: "postrouting",
    kind: "nat",
    hook: PacketHook::PostRouting,
    priority: 100,
};
const PREROUTING: NetfilterChain = NetfilterChain {
    name: "prerouting",
    kind: "filter",
    hook: PacketHook::PreRouting,
    priority: -150,
};

/// The network around the router, which is the namespace of the test.
struct Site {
    world: World,
    agent: Agent,
    client: Host,
    internet: Host,
}

/// How the router translates what leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nat {
    None,
    Masquerade,
    Fixed,
}

/// A LAN with a client, the router, which is the namespace of the test, and the internet behind both of its uplinks.
async fn network(world: &World, nat: Nat) -> (Host, Host) {
    let (client, internet) = (Host::new(), Host::new());
    world.wire_to(LAN, "eth0", client.descriptor()).await;
    world
        .wire_to(FIBER, "to-fiber", internet.descriptor())
        .await;
    world.wire_to(LTE, "to-lte", internet.descriptor()).await;
    client.set_up(|world| async move {
        world.set_up("eth0", true).await;
        world.add_address("eth0", net("10.0.0.7/24")).await;
        world
            .add_default(
                "eth0",
                super::ForeignDefault {
                    via: ROUTER,
                    metric: 0,
                },
            )
            .await;
    });
    internet.set_up(|world| async move {
        for (interface, address) in [("to-fiber", "10.1.0.1/24"), ("to-lte", "10.2.0.1/24")] {
            world.set_up(interface, true).await;
            world.add_address(interface, net(address)).await;
        }
        world.add_address("lo", net("203.0.113.80/32")).await;
    });
    sysctl("ipv4/ip_forward", "1");
    for of in ["all", "default", FIBER, LTE] {
        sysctl(&format!("ipv4/conf/{of}/rp_filter"), "0");
    }
    world.add_address(LAN, net("10.0.0.1/24")).await;
    world.add_address(FIBER, net("10.1.0.2/24")).await;
    world.add_address(LTE, net("10.2.0.2/24")).await;
    world.add_default(FIBER, VIA_FIBER).await;
    world.add_default(LTE, VIA_LTE).await;
    translate(nat);
    (client, internet)
}

impl Site {
    async fn new(world: World, nat: Nat) -> Self {
        let (client, internet) = network(&world, nat).await;
        Self {
            agent: Agent::start().await,
            world,
            client,
            internet,
        }
    }

    /// The internet drops what comes from an address of another provider (RFC 2827).
    fn drop_what_comes_by_another_uplink(&self) {
        self.internet.run(|| {
            for of in ["all", "to-fiber", "to-lte"] {
                sysctl(&format!("ipv4/conf/{of}/rp_filter"), "1");
            }
        });
    }

    /// What came by an uplink is to be answered by it: the internet drops other answers (RFC 2827).
    fn ask_by_lte(&self) {
        self.drop_what_comes_by_another_uplink();
        self.internet.set_up(|world| async move {
            let lan = super::ForeignDefault {
                via: BY_LTE,
                metric: 0,
            };
            world.add_default("to-lte", lan).await;
        });
    }

    /// One uplink carries the traffic, and these have their flows.
    async fn carry(&mut self, carrying: &str, remembered: &[&str]) {
        let places = [FIBER, LTE].into_iter().zip(0..);
        let places = places.filter(|(uplink, _)| remembered.contains(uplink));
        let places = places.flat_map(|(_, place)| Family::ROUTED.map(|family| (place, family)));
        let remembered: SortedSet<_> = places.collect();
        let traffic = usize::from(carrying == LTE);
        let desired = self.agent.desired_with(|attachments| TrafficRoutes {
            refused: [].into(),
            remembered,
            ..carried_by(&attachments[traffic]).into()
        });
        let memory = FlowMemory::new(&Numbering::default(), &[&name(FIBER), &name(LTE)]);
        self.want(desired, memory).await;
    }

    async fn want(&mut self, desired: Desired, memory: Option<FlowMemory>) -> FlowMemoryState {
        self.agent.wanted.send_modify(|wanted| {
            let mut next = super::Wanted::clone(wanted);
            next.flow_memory = memory;
            *wanted = next.into();
        });
        self.agent.want(desired);
        assert_eq!(self.agent.applied().await, []);
        let revision = self.agent.wanted.borrow().revision;
        self.agent.kernel.flow_memory_at(revision).await
    }
}

fn carried_by(attachment: &super::Attachment) -> super::Carrying {
    let paths = attachment.paths.iter();
    paths
        .map(|(family, path)| (*family, vec![path.clone()]))
        .collect()
}

fn padded(interface: &str) -> Vec<u8> {
    let mut name = interface.as_bytes().to_vec();
    name.resize(libc::IFNAMSIZ, 0);
    name
}

fn translate(nat: Nat) {
    let mut batch = NetfilterBatch::default();
    batch.add_table(THEIRS);
    batch.add_chain(THEIRS, &POSTROUTING);
    for (interface, address) in [(FIBER, BY_FIBER), (LTE, BY_LTE)] {
        let leaves = [
            NetfilterStep::Load(PacketField::OutputName),
            NetfilterStep::Is(padded(interface)),
        ];
        let steps: Vec<_> = match nat {
            Nat::None => continue,
            Nat::Masquerade => { leaves.into_iter() }
                .chain([NetfilterStep::Masquerade])
                .collect(),
            Nat::Fixed => { leaves.into_iter() }
                .chain([
                    NetfilterStep::Put(address.octets().to_vec()),
                    NetfilterStep::SourceNat,
                ])
                .collect(),
        };
        batch.add_rule(THEIRS, &POSTROUTING, "nat", &steps);
    }
    commit(&batch).expect("the kernel translates");
}

/// Answers each datagram with the address that it came from.
fn answer(udp: UdpSocket) {
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = udp.recv_from(&mut buffer) {
            // An answer that has no way is lost.
            drop(udp.send_to(from.ip().to_string().as_bytes(), from));
        }
    });
}

/// A server that answers each datagram and each line with the address that it came from.
fn serve(host: &Host) -> SocketAddr {
    let (udp, tcp) = host.run(|| {
        let udp = UdpSocket::bind((SERVER, 7000)).expect("a socket");
        let tcp = TcpListener::bind((SERVER, 7000)).expect("a listener");
        (udp, tcp)
    });
    answer(udp);
    thread::spawn(move || {
        while let Ok((mut connection, from)) = tcp.accept() {
            thread::spawn(move || {
                let mut byte = [0];
                while connection.read_exact(&mut byte).is_ok() {
                    let from = format!("{}\n", from.ip());
                    if connection.write_all(from.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    SocketAddr::new(SERVER.into(), 7000)
}

/// A flow of datagrams.
struct Udp(UdpSocket);

impl Udp {
    fn open(host: &Host, to: SocketAddr) -> Self {
        Self::open_from(host, Ipv4Addr::UNSPECIFIED, to)
    }

    fn open_from(host: &Host, from: Ipv4Addr, to: SocketAddr) -> Self {
        host.run(|| {
            let socket = UdpSocket::bind((from, 0)).expect("a socket");
            socket.connect(to).expect("a way");
            socket.set_read_timeout(Some(SOON)).expect("a timeout");
            Self(socket)
        })
    }

    /// The address that the far end sees; none if no answer comes.
    fn ask(&self) -> Option<Ipv4Addr> {
        self.0.send(b"?").ok()?;
        let mut buffer = [0; 64];
        let length = self.0.recv(&mut buffer).ok()?;
        std::str::from_utf8(&buffer[..length]).ok()?.parse().ok()
    }

    fn waits(self, limit: Duration) -> Self {
        self.0.set_read_timeout(Some(limit)).expect("a timeout");
        self
    }
}

/// A connection.
struct Tcp(TcpStream);

impl Tcp {
    fn open(host: &Host, to: SocketAddr) -> Self {
        host.run(|| Self::here(to))
    }

    /// Of the namespace of this thread.
    fn here(to: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&to, SOON).expect("a connection");
        stream.set_read_timeout(Some(SOON)).expect("a timeout");
        Self(stream)
    }

    fn ask(&mut self) -> Option<Ipv4Addr> {
        self.0.write_all(b"?").ok()?;
        let mut line = Vec::new();
        let mut byte = [0];
        while byte != *b"\n" {
            self.0.read_exact(&mut byte).ok()?;
            line.extend(byte);
        }
        std::str::from_utf8(&line).ok()?.trim().parse().ok()
    }
}

/// Established flows over a switch and back: none is lost, and each stays where it began.
async fn stays(site: &mut Site) {
    let to = serve(&site.internet);
    site.carry(FIBER, &[FIBER, LTE]).await;
    let (old, mut connection) = (Udp::open(&site.client, to), Tcp::open(&site.client, to));
    for carrying in [FIBER, LTE, FIBER, LTE] {
        site.carry(carrying, &[FIBER, LTE]).await;
        let by = if carrying == FIBER { BY_FIBER } else { BY_LTE };
        let new = Udp::open(&site.client, to);
        for _ in 0..100 {
            assert_eq!(old.ask(), Some(BY_FIBER), "while {carrying} carries");
            assert_eq!(new.ask(), Some(by), "a new one while {carrying} carries");
        }
        for _ in 0..20 {
            assert_eq!(connection.ask(), Some(BY_FIBER), "while {carrying} carries");
        }
        assert_eq!(Tcp::open(&site.client, to).ask(), Some(by));
    }
}

#[test]
fn masqueraded_flows_stay_on_a_healthy_uplink_that_is_left_and_lose_nothing() {
    netns::run(async |world| stays(&mut Site::new(world, Nat::Masquerade).await).await);
}

#[test]
fn flows_with_a_fixed_address_stay_on_a_healthy_uplink_that_is_left_and_lose_nothing() {
    netns::run(async |world| stays(&mut Site::new(world, Nat::Fixed).await).await);
}

#[test]
fn flows_stay_under_a_strict_reverse_path_filter_that_looks_at_marks() {
    netns::run(async |world| {
        let mut site = Site::new(world, Nat::Masquerade).await;
        for interface in [FIBER, LTE, LAN] {
            sysctl(&format!("ipv4/conf/{interface}/rp_filter"), "1");
            sysctl(&format!("ipv4/conf/{interface}/src_valid_mark"), "1");
        }
        stays(&mut site).await;
    });
}

#[test]
fn what_comes_in_by_a_standby_is_answered_by_it() {
    netns::run(async |world| {
        let mut site = Site::new(world, Nat::None).await;
        site.ask_by_lte();
        let behind = Host::run(&site.client, || {
            UdpSocket::bind((CLIENT, 7001)).expect("a socket")
        });
        let own = UdpSocket::bind((ROUTER, 7001)).expect("a socket");
        [behind, own].into_iter().for_each(answer);
        let ask = |site: &Site, address: Ipv4Addr| {
            let to = SocketAddr::new(address.into(), 7001);
            let asker = Udp::open_from(&site.internet, SERVER, to);
            asker.waits(NEVER).ask().is_some()
        };
        site.agent.carry(FIBER).await;
        assert!(!ask(&site, CLIENT), "a host behind, without a memory");
        assert!(!ask(&site, ROUTER), "the router itself, without a memory");
        site.carry(FIBER, &[FIBER, LTE]).await;
        let answers = |address: Ipv4Addr| {
            let to = SocketAddr::new(address.into(), 7001);
            Udp::open_from(&site.internet, SERVER, to).ask().is_some()
        };
        assert!(answers(CLIENT), "a host behind the router");
        assert!(answers(ROUTER), "the router itself");
    });
}

/// What carries the traffic.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Failover,
    Balance,
    /// The default group goes by fiber, and a group of what the client sends by lte.
    Groups,
}

impl Site {
    async fn carry_as(&mut self, shape: Shape, weights: [u8; 2], is_remembered: bool) {
        let client = Selector {
            from: vec![IpAddr::from(CLIENT).into()],
            ..Selector::default()
        };
        let desired = self.agent.desired_with(|attachments| {
            let by = |members: &[(usize, u8)]| carrying(attachments, members);
            let mut traffic = TrafficRoutes::from(match shape {
                Shape::Failover | Shape::Groups => by(&[(0, 1)]),
                Shape::Balance => by(&[(0, weights[0]), (1, weights[1])]),
            });
            if let Shape::Groups = shape {
                traffic.groups = vec![by(&[(1, 1)])];
                traffic.rules = vec![(0, &client)];
            }
            if is_remembered {
                let places = [0, 1].into_iter();
                let both = places.flat_map(|place| Family::ROUTED.map(|family| (place, family)));
                traffic.remembered = both.collect();
            }
            traffic
        });
        let memory = FlowMemory::new(&Numbering::default(), &[&name(FIBER), &name(LTE)]);
        self.want(desired.flattened(), memory.filter(|_| is_remembered))
            .await;
    }
}

/// Forwards a port of the router to the client.
fn forward(port: u16) {
    let chain = NetfilterChain {
        kind: "nat",
        priority: -100,
        ..PREROUTING
    };
    let mut batch = NetfilterBatch::default();
    batch.add_table(THEIRS);
    batch.add_chain(THEIRS, &chain);
    let steps = [
        NetfilterStep::Load(PacketField::Transport(2)),
        NetfilterStep::Is(port.to_be_bytes().to_vec()),
        NetfilterStep::Put(CLIENT.octets().to_vec()),
        NetfilterStep::DestinationNat,
    ];
    batch.add_rule(THEIRS, &chain, "forwarded", &steps);
    commit(&batch).expect("the kernel forwards");
}

#[test]
fn rules_that_write_marks_are_found_and_those_of_the_agent_are_not() {
    netns::run(async |world| {
        let mut site = Site::new(world, Nat::None).await;
        site.carry(FIBER, &[FIBER, LTE]).await;
        assert_eq!(mark_writers().expect("listed"), MarkWriters::default());
        let chain = |name| NetfilterChain { name, ..PREROUTING };
        let mut batch = NetfilterBatch::default();
        batch.add_table(THEIRS);
        for (name, written) in [
            ("of-packets", Some(MarkField::Packet)),
            ("of-connections", Some(MarkField::Connection)),
            ("none", None),
        ] {
            batch.add_chain(THEIRS, &chain(name));
            let mark = NetfilterStep::Put(0x10_u32.to_ne_bytes().to_vec());
            let last = written.map_or(NetfilterStep::Accept, NetfilterStep::Store);
            batch.add_rule(THEIRS, &chain(name), "", &[mark, last]);
        }
        commit(&batch).expect("the kernel takes rules");
        let found = mark_writers().expect("listed");
        assert_eq!(found.of_packets, ["theirs of-packets".to_owned()].into());
        assert_eq!(
            found.of_connections,
            ["theirs of-connections".to_owned()].into()
        );
    });
}

#[test]
fn a_forwarded_port_and_the_router_answer_by_the_uplink_that_they_are_asked_by_whatever_carries() {
    const FORWARDED: u16 = 7001;
    const OWN: u16 = 7002;
    netns::run(async |world| {
        let mut site = Site::new(world, Nat::Masquerade).await;
        site.drop_what_comes_by_another_uplink();
        forward(FORWARDED);
        answer(Host::run(&site.client, || {
            UdpSocket::bind((CLIENT, FORWARDED)).expect("a socket")
        }));
        for own in [BY_FIBER, BY_LTE] {
            answer(UdpSocket::bind((own, OWN)).expect("a socket"));
        }
        for shape in [Shape::Failover, Shape::Balance, Shape::Groups] {
            for is_remembered in [false, true] {
                site.carry_as(shape, [1, 1], is_remembered).await;
                let limit = if is_remembered { SOON } else { NEVER };
                let is_answered = |to: &(Ipv4Addr, u16)| {
                    let asker = Udp::open_from(&site.internet, SERVER, (*to).into());
                    asker.waits(limit).ask().is_some()
                };
                let asked = [
                    (BY_FIBER, FORWARDED),
                    (BY_LTE, FORWARDED),
                    (BY_FIBER, OWN),
                    (BY_LTE, OWN),
                ];
                let answered = asked.iter().filter(|to| is_answered(to)).count();
                assert_eq!(
                    answered == asked.len(),
                    is_remembered,
                    "{shape:?}: {answered}"
                );
            }
        }
    });
}

#[test]
fn under_balance_flows_stay_on_their_uplink_without_nexthop_groups_too() {
    netns::run(async |world| {
        let mut site = Site::new(world, Nat::Masquerade).await;
        // By ports as well.
        sysctl("ipv4/fib_multipath_hash_policy", "1");
        let to = serve(&site.internet);
        for is_remembered in [false, true] {
            site.carry_as(Shape::Balance, [1, 1], is_remembered).await;
            let flows: Vec<_> = (0..32).map(|_| Udp::open(&site.client, to)).collect();
            let before: Vec<_> = flows.iter().map(Udp::ask).collect();
            for by in [BY_FIBER, BY_LTE] {
                assert!(before.contains(&Some(by)), "{before:?}");
            }
            site.carry_as(Shape::Balance, [1, 15], is_remembered).await;
            let limit = if is_remembered { SOON } else { NEVER };
            let flows = flows.into_iter().map(|flow| flow.waits(limit));
            let after: Vec<_> = flows.map(|flow| flow.ask()).collect();
            assert_eq!(before == after, is_remembered, "{after:?}");
        }
    });
}

/// The same network in IPv6, masqueraded.
async fn speak_ipv6(site: &Site) {
    const THEIRS6: NetfilterTable = NetfilterTable {
        family: NetfilterFamily::Ipv6,
        name: "theirs6",
    };
    for (interface, own) in [
        (LAN, "fd00::1/64"),
        (FIBER, "2001:db8:1::2/64"),
        (LTE, "2001:db8:2::2/64"),
    ] {
        site.world.take_address6(interface, net6(own)).await;
    }
    site.client.set_up(|world| async move {
        world.take_address6("eth0", net6("fd00::7/64")).await;
        world.add_default6("eth0", ip6("fd00::1"), None).await;
    });
    site.internet.set_up(|world| async move {
        for (interface, own) in [
            ("to-fiber", "2001:db8:1::1/64"),
            ("to-lte", "2001:db8:2::1/64"),
            ("lo", "2001:db8:ffff::80/128"),
        ] {
            world.take_address6(interface, net6(own)).await;
        }
    });
    let mut batch = NetfilterBatch::default();
    batch.add_table(THEIRS6);
    batch.add_chain(THEIRS6, &POSTROUTING);
    for interface in [FIBER, LTE] {
        let steps = [
            NetfilterStep::Load(PacketField::OutputName),
            NetfilterStep::Is(padded(interface)),
            NetfilterStep::Masquerade,
        ];
        batch.add_rule(THEIRS6, &POSTROUTING, "nat", &steps);
    }
    commit(&batch).expect("the kernel translates");
}

#[test]
fn ipv6_flows_stay_on_a_healthy_uplink_that_is_left_and_lose_nothing() {
    netns::run(async |world| {
        world.speak_ipv6();
        let mut site = Site::new(world, Nat::Masquerade).await;
        speak_ipv6(&site).await;
        let hints = |hop| Hints {
            gateway6: Gateway::Address(IpAddr::from(ip6(hop))),
            ..Hints::default()
        };
        let uplinks = [
            (FIBER, hints("2001:db8:1::1")),
            (LTE, hints("2001:db8:2::1")),
        ];
        site.agent =
            Agent::start_with(super::KernelAccess::Write, Numbering::default(), &uplinks).await;

        let server = SocketAddr::from((ip6("2001:db8:ffff::80"), 7000));
        answer(Host::run(&site.internet, || {
            UdpSocket::bind(server).expect("a socket")
        }));
        let open = |site: &Site| {
            site.client.run(|| {
                let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("a socket");
                socket.connect(server).expect("a way");
                socket.set_read_timeout(Some(SOON)).expect("a timeout");
                socket
            })
        };
        let ask = |socket: &UdpSocket| -> Option<Ipv6Addr> {
            socket.send(b"?").ok()?;
            let mut buffer = [0; 64];
            let length = socket.recv(&mut buffer).ok()?;
            std::str::from_utf8(&buffer[..length]).ok()?.parse().ok()
        };
        let by = |uplink| {
            ip6(if uplink == FIBER {
                "2001:db8:1::2"
            } else {
                "2001:db8:2::2"
            })
        };
        site.carry(FIBER, &[FIBER, LTE]).await;
        let old = open(&site);
        assert_eq!(ask(&old), Some(by(FIBER)));
        for carrying in [LTE, FIBER, LTE] {
            site.carry(carrying, &[FIBER, LTE]).await;
            let new = open(&site);
            for _ in 0..50 {
                assert_eq!(ask(&old), Some(by(FIBER)), "while {carrying} carries");
                assert_eq!(ask(&new), Some(by(carrying)), "a new one");
            }
        }
    });
}

/// An agent that probes the server of the internet.
const PROBED: &str = "[probe]\ntargets = [\"203.0.113.80\"]\n";

/// All is well, and this uplink carries the traffic.
fn carries(uplink: &'static str) -> impl Fn(&Value) -> bool {
    move |status| {
        let is_up = |place: usize| status["uplinks"][place]["state"] == "up";
        let is_remembered = status["flow_memory"]["state"] == "on";
        let is_carrying = status["active"] == serde_json::json!([uplink]);
        is_up(0) && is_up(1) && is_remembered && is_carrying && status["routes"] == "in_place"
    }
}

#[test]
fn at_the_limit_connections_are_ended_and_those_of_the_router_too() {
    netns::run(async |world| {
        let (client, internet) = network(&world, Nat::Masquerade).await;
        let to = serve(&internet);
        let limit = format!("{PROBED}[routing]\nflows_on_failback_limit = \"4s\"\n");
        let agent = Running::with("state", "", &limit);
        agent.status(carries(FIBER)).await;
        let mut connections = [Tcp::here(to), Tcp::open(&client, to)];
        let asked = connections.each_mut().map(Tcp::ask);
        assert_eq!(asked, [Some(BY_FIBER); 2]);
        agent.say(&["switch", "lte"]);
        agent.status(carries(LTE)).await;
        let asked = connections.each_mut().map(Tcp::ask);
        assert_eq!(asked, [Some(BY_FIBER); 2], "they stay");
        let are_ended = async {
            while connections.each_mut().map(Tcp::ask) != [None; 2] {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let ended = tokio::time::timeout(super::PATIENCE, are_ended).await;
        assert!(ended.is_ok(), "{}", agent.log());
        assert_eq!(Tcp::here(to).ask(), Some(BY_LTE), "a new one");
    });
}

#[test]
fn an_agent_that_is_killed_again_and_again_leaves_flows_on_their_way_and_nothing_when_it_stops() {
    netns::run(async |world| {
        let (client, internet) = network(&world, Nat::Masquerade).await;
        let to = serve(&internet);
        let before = world.everything().await;
        let mut agent = Running::with("state", "", PROBED);
        agent.status(carries(FIBER)).await;
        let old = Udp::open(&client, to);
        assert_eq!(old.ask(), Some(BY_FIBER));
        agent.say(&["switch", "lte"]);
        agent.status(carries(LTE)).await;
        for round in 1..=extent(6, 100_u64) {
            agent.kill();
            assert_eq!(old.ask(), Some(BY_FIBER), "without an agent, {round}");
            agent.start();
            if round % 2 == 0 {
                tokio::time::sleep(Duration::from_millis(round * 37 % 250)).await;
            } else {
                agent.status(carries(LTE)).await;
                assert_eq!(rules().len(), RULES);
            }
            assert_eq!(old.ask(), Some(BY_FIBER), "with the next one, {round}");
        }
        agent.status(carries(LTE)).await;
        assert_eq!(Udp::open(&client, to).ask(), Some(BY_LTE), "a new one");
        agent.end(Signal::SIGTERM);
        assert_eq!(rules().len(), 0);
        assert_eq!(world.everything().await, before);
        let marks = Tracking::open().marks();
        assert!(marks.iter().all(|mark| *mark == 0), "{marks:x?}");
    });
}

/// What this process has used of the processors: other programs take none of it, and the kernel forwards in the threads
/// that send.
fn cpu_time() -> Duration {
    let used = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID);
    used.expect("the clock").into()
}

/// For so long each rate is measured.
const MEASURED_FOR: Duration = Duration::from_millis(500);

/// Packets of 64 bytes, the frame check sequence among them, that the router forwards in a second of a processor.
fn small_packets(site: &Site) -> f64 {
    let received = || -> u64 {
        let counters = std::fs::read_to_string("/proc/thread-self/net/dev").expect("counters");
        let line = counters
            .lines()
            .find_map(|line| line.trim().strip_prefix("to-fiber:"));
        let packets = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        packets.expect("a count")
    };
    // A port of its own each time: a process that another test begins holds it for a moment.
    let sink = site
        .internet
        .run(|| UdpSocket::bind((SERVER, 0)).expect("a socket"));
    let to = sink.local_addr().expect("an address");
    let before = site.internet.run(received);
    let took = site.client.run(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
        socket.connect(to).expect("a way");
        let begin = cpu_time();
        while cpu_time() < begin + MEASURED_FOR {
            for _ in 0..100 {
                drop(socket.send(&[0; 18]));
            }
        }
        cpu_time().saturating_sub(begin)
    });
    let packets = site.internet.run(received) - before;
    drop(sink);
    f64::from(u32::try_from(packets).expect("fits")) / took.as_secs_f64()
}

/// Bytes that a TCP connection through the router transfers in a second of a processor.
fn bulk(site: &Site) -> f64 {
    let listener = site
        .internet
        .run(|| TcpListener::bind((SERVER, 0)).expect("a listener"));
    let to = listener.local_addr().expect("an address");
    let sink = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        std::io::copy(&mut stream, &mut std::io::sink()).expect("all of it")
    });
    let took = site.client.run(|| {
        let mut stream = TcpStream::connect(to).expect("a connection");
        let block = vec![0; 65_536];
        let begin = cpu_time();
        while cpu_time() < begin + MEASURED_FOR {
            stream.write_all(&block).expect("it is sent");
        }
        cpu_time().saturating_sub(begin)
    });
    let bytes = sink.join().expect("it is counted");
    f64::from(u32::try_from(bytes / 1_024).expect("fits")) * 1_024.0 / took.as_secs_f64()
}

#[test]
fn the_table_costs_forwarding_little() {
    netns::run(async |world| {
        let mut site = Site::new(world, Nat::Masquerade).await;
        for (what, rate) in [
            ("64-byte packets", small_packets as fn(&Site) -> f64),
            ("bytes of TCP", bulk),
        ] {
            let mut shares = Vec::new();
            let mut rates = [Vec::new(), Vec::new()];
            for pair in 0..extent(3, 10) {
                let mut measured = [0.0; 2];
                for turn in 0..2 {
                    let is_remembered = (pair + turn) % 2 == 0;
                    site.carry_as(Shape::Failover, [1, 1], is_remembered).await;
                    measured[usize::from(is_remembered)] = rate(&site);
                }
                shares.push(measured[1] / measured[0]);
                rates[0].push(measured[0]);
                rates[1].push(measured[1]);
            }
            let median = |list: &mut Vec<f64>| {
                list.sort_by(f64::total_cmp);
                list[list.len() / 2]
            };
            let share = median(&mut shares);
            eprintln!(
                "{what} a second of a processor, medians: {:.0} without the table, {:.0} with it; of each pair {:.1} %, {:.1} to {:.1} %",
                median(&mut rates[0]),
                median(&mut rates[1]),
                share * 100.0,
                shares[0] * 100.0,
                shares[shares.len() - 1] * 100.0,
            );
            assert!(share > 0.5, "{share}");
        }
    });
}

#[test]
fn the_flows_of_a_dead_uplink_move() {
    netns::run(async |world| {
        let mut site = Site::new(world, Nat::Fixed).await;
        let to = serve(&site.internet);
        site.carry(FIBER, &[FIBER, LTE]).await;
        let old = Udp::open(&site.client, to);
        assert_eq!(old.ask(), Some(BY_FIBER));
        site.carry(LTE, &[LTE]).await;
        end_flows(
            &SortedSet::from([IpAddr::from(BY_FIBER)]),
            &TrafficOf::all(),
        )
        .expect("ended");
        assert_eq!(old.ask(), Some(BY_LTE));
        site.carry(LTE, &[FIBER, LTE]).await;
        assert_eq!(old.ask(), Some(BY_LTE), "fiber is back");
    });
}

/// Sends a packet that nothing answers.
fn send(socket: &UdpSocket) {
    socket.send(b"?").expect("it is sent");
}

fn open(site: &Site) -> UdpSocket {
    Udp::open(&site.client, SocketAddr::new(SERVER.into(), 7000)).0
}

/// Waits until the flows have these marks.
async fn has_marks(tracking: &mut Tracking, expected: &[u32]) {
    let is_so = async {
        while tracking.marks() != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let came = tokio::time::timeout(super::PATIENCE, is_so).await;
    assert!(
        came.is_ok(),
        "{:x?} and not {expected:x?}",
        tracking.marks()
    );
}

fn marks_of(place: u32) -> Marks {
    Numbering::default().flow_mark(place).expect("a mark")
}

fn forget(marks: Marks, came_in_to: &[IpAddr]) {
    let marks = SortedSet::from([(Family::Ipv4, marks)]);
    let addresses = came_in_to.iter().copied().collect();
    forget_flows(&marks, &addresses, &TrafficOf::all()).expect("forgotten");
}

#[test]
fn a_flow_that_is_not_translated_does_not_come_back_to_an_uplink_that_was_dead() {
    netns::run(async |world| {
        let mut site = Site::new(world, Nat::None).await;
        let mut tracking = Tracking::open();
        let flow = open(&site);
        let (fiber, lte) = (marks_of(0), marks_of(1));
        site.carry(FIBER, &[FIBER, LTE]).await;
        send(&flow);
        has_marks(&mut tracking, &[fiber.mark.0]).await;
        site.carry(LTE, &[LTE]).await;
        forget(fiber, &[]);
        assert_eq!(tracking.marks(), [0]);
        send(&flow);
        has_marks(&mut tracking, &[lte.mark.0]).await;
        site.carry(FIBER, &[FIBER, LTE]).await;
        send(&flow);
        has_marks(&mut tracking, &[lte.mark.0]).await;
    });
}

#[test]
fn an_answer_that_is_late_does_not_bring_a_flow_back_to_the_uplink_that_it_left() {
    netns::run(async |world| {
        let mut site = Site::new(world, Nat::None).await;
        site.internet.set_up(|world| async move {
            let lan = super::ForeignDefault {
                via: BY_FIBER,
                metric: 0,
            };
            world.add_default("to-fiber", lan).await;
        });
        let server = site.internet.run(|| {
            let server = UdpSocket::bind((SERVER, 7000)).expect("a socket");
            server.set_read_timeout(Some(SOON)).expect("a timeout");
            server
        });
        let mut tracking = Tracking::open();
        let (flow, fiber, lte) = (open(&site), marks_of(0), marks_of(1));
        site.carry(FIBER, &[FIBER, LTE]).await;
        send(&flow);
        has_marks(&mut tracking, &[fiber.mark.0]).await;
        site.carry(LTE, &[FIBER, LTE]).await;
        forget(fiber, &[]);
        let mut byte = [0];
        let (_, client) = server.recv_from(&mut byte).expect("it is asked");
        server.send_to(b"!", client).expect("it answers");
        assert_eq!(flow.recv(&mut byte).ok(), Some(1), "the client has it");
        send(&flow);
        has_marks(&mut tracking, &[lte.mark.0]).await;
    });
}

#[test]
fn other_bits_of_marks_are_left_alone_and_so_are_packets_with_a_mark_of_others() {
    const OTHER: u32 = 0x42;
    netns::run(async |world| {
        let mut site = Site::new(world, Nat::None).await;
        let mut batch = NetfilterBatch::default();
        let theirs = NetfilterTable {
            name: "more",
            ..THEIRS
        };
        batch.add_table(theirs);
        batch.add_chain(theirs, &PREROUTING);
        let comes_in = || {
            [
                NetfilterStep::Load(PacketField::InputName),
                NetfilterStep::Is(padded(LAN)),
            ]
        };
        let connection = [
            NetfilterStep::Load(PacketField::Mark(MarkField::Connection)),
            NetfilterStep::Bits {
                keep: !OTHER,
                flip: OTHER,
            },
            NetfilterStep::Store(MarkField::Connection),
        ];
        let steps: Vec<_> = comes_in().into_iter().chain(connection).collect();
        batch.add_rule(theirs, &PREROUTING, "theirs", &steps);
        commit(&batch).expect("written");
        let mut tracking = Tracking::open();
        let fiber = marks_of(0);
        site.carry(FIBER, &[FIBER, LTE]).await;
        send(&open(&site));
        has_marks(&mut tracking, &[fiber.mark.0 | OTHER]).await;
        forget(fiber, &[]);
        assert_eq!(tracking.marks(), [OTHER]);

        let packet = [
            NetfilterStep::Put(OTHER.to_ne_bytes().to_vec()),
            NetfilterStep::Store(MarkField::Packet),
        ];
        let steps: Vec<_> = comes_in().into_iter().chain(packet).collect();
        let mut batch = NetfilterBatch::default();
        batch.add_rule(theirs, &PREROUTING, "theirs", &steps);
        commit(&batch).expect("written");
        send(&open(&site));
        has_marks(&mut tracking, &[OTHER, OTHER]).await;
    });
}

/// The rules of our table as the kernel lists them, handles and all.
fn rules() -> Vec<Vec<u8>> {
    const GET_RULE: u16 = 10 << 8 | 7;
    const REQUEST_DUMP: u16 = 0x301;
    const NLMSG_DONE: u16 = 3;
    const INET: u8 = 1;
    let mut socket = Socket::new(NETLINK_NETFILTER).expect("a netlink socket");
    socket.bind_auto().expect("an address");
    let name = b"uplinkd\0";
    let mut request = Vec::from(32_u32.to_ne_bytes());
    request.extend(GET_RULE.to_ne_bytes());
    request.extend(REQUEST_DUMP.to_ne_bytes());
    request.extend([0; 8]);
    request.extend([INET, 0, 0, 0]);
    request.extend(12_u16.to_ne_bytes());
    request.extend(1_u16.to_ne_bytes());
    request.extend(name);
    let kernel = NetlinkAddress::new(0, 0);
    socket.send_to(&request, &kernel, 0).expect("it is sent");
    let mut rules = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full().expect("an answer");
        let mut rest = datagram.as_slice();
        while let Ok(message) = NetlinkBuffer::new_checked(rest) {
            if message.message_type() == NLMSG_DONE {
                return rules;
            }
            rules.push(message.payload().to_vec());
            rest = &rest[(message.length() as usize).next_multiple_of(4)..];
        }
    }
}

/// Waits until the table has so many rules.
async fn has_rules(count: usize) {
    let is_so = async {
        while rules().len() != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(super::PATIENCE, is_so)
        .await
        .expect("it is whole");
}

/// Of two uplinks: two in prerouting and output each, one in postrouting, and two for each uplink.
const RULES: usize = 9;

#[test]
fn a_table_that_other_software_removes_or_changes_is_put_back_at_once() {
    netns::run(async |world| {
        let mut site = Site::new(world, Nat::None).await;
        site.carry(FIBER, &[FIBER, LTE]).await;
        assert_eq!(rules().len(), RULES);
        let mut batch = NetfilterBatch::default();
        batch.delete_table(OURS);
        commit(&batch).expect("removed");
        assert_eq!(rules().len(), 0);
        has_rules(RULES).await;
        let mut batch = NetfilterBatch::default();
        let chain = NetfilterChain {
            name: "output",
            ..PREROUTING
        };
        batch.add_rule(OURS, &chain, "theirs", &[NetfilterStep::Accept]);
        commit(&batch).expect("added");
        assert_eq!(rules().len(), RULES + 1);
        has_rules(RULES).await;
        assert!(
            site.agent.put_back.is_empty(),
            "routes and rules were not touched"
        );
    });
}

#[test]
fn a_table_that_fits_is_adopted_and_a_switch_does_not_touch_it() {
    netns::run(async |world| {
        let mut site = Site::new(world, Nat::None).await;
        site.carry(FIBER, &[FIBER, LTE]).await;
        let written = rules();
        assert_eq!(written.len(), RULES);
        site.carry(LTE, &[LTE]).await;
        assert_eq!(rules(), written, "after a switch");
        site.agent = Agent::start().await;
        assert_eq!(rules(), written, "after the end of the agent");
        site.carry(LTE, &[LTE]).await;
        assert_eq!(rules(), written, "after the next start");
    });
}

#[test]
fn other_uplinks_get_another_table_and_marks_that_meant_one_are_cleared() {
    netns::run(async |world| {
        let mut site = Site::new(world, Nat::None).await;
        let mut tracking = Tracking::open();
        site.carry(FIBER, &[FIBER, LTE]).await;
        send(&open(&site));
        has_marks(&mut tracking, &[marks_of(0).mark.0]).await;
        let memory = FlowMemory::new(&Numbering::default(), &[&name(LTE), &name(FIBER)]);
        let state = site.want(site.agent.desired(FIBER), memory).await;
        assert_eq!(state, FlowMemoryState::On { lacks: None });
        assert_eq!(rules().len(), RULES);
        assert_eq!(tracking.marks(), [0]);
    });
}

#[test]
fn nothing_is_left_in_netfilter_after_a_clean_stop() {
    netns::run(async |world| {
        let mut site = Site::new(world, Nat::None).await;
        let mut tracking = Tracking::open();
        site.carry(FIBER, &[FIBER, LTE]).await;
        send(&open(&site));
        has_marks(&mut tracking, &[marks_of(0).mark.0]).await;
        let state = site.want(Desired::default(), None).await;
        assert_eq!(state, FlowMemoryState::Off);
        let mut batch = NetfilterBatch::default();
        batch.delete_table(OURS);
        assert!(commit(&batch).is_err(), "it is not there");
        assert_eq!(tracking.marks(), [0]);
        assert_eq!(site.world.of_protocol(117).await, [""; 0]);
    });
}

#[test]
fn whether_the_kernel_could_remember_flows_is_found_out_without_a_change() {
    netns::run(async |_| {
        let memory = FlowMemory::new(&Numbering::default(), &[&name(FIBER)]);
        let state = uplinkd::kernel::try_flow_memory(&memory.expect("a memory"));
        assert_eq!(state, FlowMemoryState::On { lacks: None });
        assert_eq!(rules().len(), 0);
        netns::drop_capabilities();
        let memory = FlowMemory {
            mask: Mark(3),
            uplinks: Vec::new(),
        };
        let state = uplinkd::kernel::try_flow_memory(&memory);
        assert!(matches!(state, FlowMemoryState::Without(_)), "{state:?}");
    });
}
