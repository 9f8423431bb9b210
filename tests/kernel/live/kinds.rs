//! Each kind of uplink, as a real interface.

use std::net::IpAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::time::timeout;
use uplinkd::routing::{Family, Gateway};
use uplinkd::units::sorted::SortedMap;

use super::netns::{self, World};
use super::*;
use crate::machine::{not_run, this_test};
use crate::tun::Tun;

/// Far longer than it takes on any machine; how long it takes is printed.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(10);
const PPP: &str = "ppp0";
const LEARNT: Hints = Hints {
    gateway: Gateway::Auto,
    gateway6: Gateway::Auto,
    prefixes: uplinkd::routing::Prefixes::Auto,
};

fn by_hand(gateway: &str) -> Hints {
    Hints {
        gateway: Gateway::Address(ip(gateway).into()),
        ..LEARNT
    }
}

async fn agent_for(uplinks: &[(&str, Hints)]) -> Agent {
    Agent::start_with(KernelAccess::Write, Numbering::default(), uplinks).await
}

/// Waits for what must follow at once, and prints how long it took.
#[expect(clippy::print_stderr, reason = "a figure")]
#[expect(clippy::disallowed_methods, reason = "the figure")]
async fn at_once<T>(what: &str, follows: impl Future<Output = T>) -> T {
    let start = std::time::Instant::now();
    let outcome = timeout(FOLLOWS_WITHIN, follows).await.expect(what);
    eprintln!("{what}: followed after {} us", start.elapsed().as_micros());
    outcome
}

fn way(interface: &str, next_hop: &str) -> (String, Option<IpAddr>) {
    (interface.to_owned(), Some(ip(next_hop).into()))
}

fn direct(interface: &str) -> (String, Option<IpAddr>) {
    (interface.to_owned(), None)
}

/// The route of the probes of the uplink at a place.
async fn way_of_probes(
    world: &World,
    agent: &Agent,
    place: u32,
) -> Option<(String, Option<IpAddr>)> {
    let (interface, _) = &agent.uplinks[place as usize];
    let probe = Packet {
        mark: Some(agent.numbering.uplink_mark(place).0),
        out_of: Some(interface.as_str()),
        ..Packet::ANY
    };
    world.way_of(probe).await
}

/// A point-to-point interface with an address, up, as pppd leaves it.
async fn dial(world: &World, own: &str) -> Tun {
    let tun = Tun::make(PPP);
    world.add_peer(PPP, ip(own), ip("100.64.0.1")).await;
    world.set_up(PPP, true).await;
    tun
}

#[test]
fn a_dialled_link_that_vanishes_and_returns_with_another_index_and_address_is_followed_at_once() {
    netns::run(async |world| {
        world.wire(FIBER).await;
        world.add_address(FIBER, net("10.1.0.2/24")).await;
        world.add_default(FIBER, VIA_FIBER).await;
        let mut tun = dial(&world, "100.64.0.9").await;
        let mut agent = agent_for(&[(FIBER, LEARNT), (PPP, LEARNT)]).await;
        assert_eq!(agent.carry(PPP).await, []);
        assert_eq!(world.way_of(Packet::ANY).await, Some(direct(PPP)));
        for (round, own) in ["100.64.0.10", "100.64.0.11"].into_iter().enumerate() {
            let before = agent.attachment(PPP, 1).index;
            drop(tun);
            let is_gone = |observed: &Observed| observed.link(&name(PPP)).is_none();
            at_once("a dialled link goes", agent.observed(is_gone)).await;
            assert_eq!(agent.carry(FIBER).await, []);
            assert_eq!(
                world.way_of(Packet::ANY).await,
                Some(way(FIBER, "10.1.0.1"))
            );
            world.wire(&format!("other{round}")).await;
            tun = dial(&world, own).await;
            let source = net(&format!("{own}/32"));
            let returns = agent.observed(|observed| {
                let link = observed.link(&name(PPP));
                let attachment = attach(link, &LEARNT, &SortedMap::new());
                let is_there = attachment.sources.contains(&source.into());
                is_there && attachment.trouble.is_none()
            });
            at_once("a dialled link returns", returns).await;
            assert_ne!(agent.attachment(PPP, 1).index, before);
            assert_eq!(at_once("it carries", agent.carry(PPP)).await, []);
            assert_eq!(world.way_of(Packet::ANY).await, Some(direct(PPP)));
            let from_it = Packet {
                from: Some(source.addr()),
                ..Packet::ANY
            };
            agent.carry(FIBER).await;
            assert_eq!(world.way_of(from_it).await, Some(direct(PPP)));
        }
    });
}

#[test]
fn a_raw_ip_modem_needs_no_next_hop_although_its_driver_wrote_one() {
    netns::run(async |world| {
        let _tun = dial(&world, "100.64.0.9").await;
        let raw_ip = Hints {
            gateway: Gateway::None,
            ..LEARNT
        };
        let theirs = ForeignDefault {
            via: ip("100.64.0.1"),
            metric: 700,
        };
        world.add_default(PPP, theirs).await;
        let mut agent = agent_for(&[(PPP, raw_ip)]).await;
        assert_eq!(agent.carry(PPP).await, []);
        assert_eq!(world.way_of(Packet::ANY).await, Some(direct(PPP)));
        assert_eq!(way_of_probes(&world, &agent, 0).await, Some(direct(PPP)));
        assert_eq!(agent.outstanding(PPP), []);
    });
}

#[test]
fn a_next_hop_off_the_subnet_is_used_on_the_link() {
    netns::run(async |world| {
        world.wire(FIBER).await;
        world.add_address(FIBER, net("203.0.113.77/32")).await;
        let mut agent = agent_for(&[(FIBER, by_hand("10.255.0.1"))]).await;
        assert_eq!(agent.carry(FIBER).await, []);
        assert_eq!(
            world.way_of(Packet::ANY).await,
            Some(way(FIBER, "10.255.0.1"))
        );
        assert!(agent.attachment(FIBER, 0).paths[&Family::Ipv4].onlink);
        assert_eq!(agent.outstanding(FIBER), []);
    });
}

#[test]
fn two_identical_modems_with_one_address_and_one_next_hop_are_probed_apart() {
    netns::run(async |world| {
        let twin = ForeignDefault {
            via: ip("192.168.8.1"),
            metric: 100,
        };
        for (modem, metric) in [(FIBER, 100), (LTE, 101)] {
            world.wire(modem).await;
            world.add_address(modem, net("192.168.8.100/24")).await;
            let twin = ForeignDefault { metric, ..twin };
            world.add_default(modem, twin).await;
        }
        let mut agent = agent_for(&[(FIBER, LEARNT), (LTE, LEARNT)]).await;
        for (place, modem) in [FIBER, LTE, FIBER].into_iter().enumerate() {
            assert_eq!(agent.carry(modem).await, [], "switch {place}");
            assert_eq!(
                world.way_of(Packet::ANY).await,
                Some(way(modem, "192.168.8.1"))
            );
            for (place, modem) in [(0, FIBER), (1, LTE)] {
                let probes = way_of_probes(&world, &agent, place).await;
                assert_eq!(probes, Some(way(modem, "192.168.8.1")));
                // Once it has chosen its source, which both have.
                let bound = Packet {
                    from: Some(ip("192.168.8.100")),
                    out_of: Some(modem),
                    ..Packet::ANY
                };
                assert_eq!(world.way_of(bound).await, Some(way(modem, "192.168.8.1")));
            }
        }
        assert_eq!(agent.outstanding(FIBER), []);
    });
}

#[test]
fn two_providers_behind_one_interface_are_probed_apart() {
    netns::run(async |world| {
        world.wire(FIBER).await;
        world.add_address(FIBER, net("192.168.8.2/24")).await;
        let uplinks = [
            (FIBER, by_hand("192.168.8.1")),
            (FIBER, by_hand("192.168.8.254")),
        ];
        let mut agent = agent_for(&uplinks).await;
        for (place, next_hop) in [(0, "192.168.8.1"), (1, "192.168.8.254")] {
            assert_eq!(agent.carry_by(place).await, []);
            assert_eq!(world.way_of(Packet::ANY).await, Some(way(FIBER, next_hop)));
            for (place, next_hop) in [(0, "192.168.8.1"), (1, "192.168.8.254")] {
                let probes = way_of_probes(&world, &agent, place).await;
                assert_eq!(probes, Some(way(FIBER, next_hop)), "uplink {place}");
            }
        }
    });
}

/// An interface upon another one is an uplink like any other, goes with it, and returns.
async fn assert_serves(
    world: &World,
    interface: &str,
    below: &str,
    remake: impl AsyncFn() -> bool,
) {
    let address = net("10.3.0.2/24");
    let default = ForeignDefault {
        via: ip("10.3.0.1"),
        metric: 300,
    };
    let mut agent = agent_for(&[(FIBER, LEARNT), (interface, LEARNT)]).await;
    world.add_address(interface, address).await;
    world.add_default(interface, default).await;
    let is_known = |observed: &Observed| has_default(observed, interface);
    at_once(interface, agent.observed(is_known)).await;
    assert_eq!(agent.carry(interface).await, []);
    assert_eq!(
        world.way_of(Packet::ANY).await,
        Some(way(interface, "10.3.0.1"))
    );
    world.set_up(below, false).await;
    let is_troubled = |observed: &Observed| trouble(observed, interface).is_some();
    agent.observed(is_troubled).await;
    world.set_up(below, true).await;
    world.remove(interface).await;
    let is_gone = |observed: &Observed| observed.link(&name(interface)).is_none();
    at_once(interface, agent.observed(is_gone)).await;
    assert!(remake().await);
    world.add_address(interface, address).await;
    world.add_default(interface, default).await;
    at_once(interface, agent.observed(is_known)).await;
    assert_eq!(agent.carry(interface).await, []);
    assert_eq!(
        world.way_of(Packet::ANY).await,
        Some(way(interface, "10.3.0.1"))
    );
}

#[test]
#[ignore = "needs a kernel with 8021q: tests/vm/run tests"]
fn a_vlan_is_an_uplink() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let make = async || world.vlan("fiber.7", LTE, 7).await;
        assert!(make().await, "this kernel has no VLAN");
        assert_serves(&world, "fiber.7", LTE, make).await;
    });
}

#[test]
fn a_bridge_is_an_uplink() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let make = async || world.bridge("br-wan", LTE).await;
        if make().await {
            assert_serves(&world, "br-wan", LTE, make).await;
        } else {
            not_run(&this_test(), &"this kernel has no bridge");
        }
    });
}

#[test]
fn a_macvlan_is_an_uplink() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let make = async || world.macvlan("mac0", LTE).await;
        if make().await {
            assert_serves(&world, "mac0", LTE, make).await;
        } else {
            not_run(&this_test(), &"this kernel has no macvlan");
        }
    });
}

#[test]
#[ignore = "needs a kernel with wireguard: tests/vm/run tests"]
fn a_wireguard_tunnel_is_an_uplink_without_a_next_hop_and_is_followed_when_it_is_made_again() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let make = async || {
            assert!(world.wireguard("wg0").await, "this kernel has no WireGuard");
            world.add_address("wg0", net("10.8.0.2/32")).await;
        };
        make().await;
        let mut agent = agent_for(&[(FIBER, LEARNT), ("wg0", LEARNT)]).await;
        assert_eq!(agent.carry("wg0").await, []);
        assert_eq!(world.way_of(Packet::ANY).await, Some(direct("wg0")));
        assert_eq!(way_of_probes(&world, &agent, 1).await, Some(direct("wg0")));
        world.remove("wg0").await;
        let is_gone = |observed: &Observed| observed.link(&name("wg0")).is_none();
        at_once("a tunnel goes", agent.observed(is_gone)).await;
        assert_eq!(agent.carry(FIBER).await, []);
        make().await;
        let is_back = |observed: &Observed| {
            let attachment = attach(observed.link(&name("wg0")), &LEARNT, &SortedMap::new());
            attachment.trouble.is_none() && !attachment.paths.is_empty()
        };
        at_once("a tunnel returns", agent.observed(is_back)).await;
        assert_eq!(agent.carry("wg0").await, []);
        assert_eq!(world.way_of(Packet::ANY).await, Some(direct("wg0")));
        assert_eq!(agent.outstanding("wg0"), []);
    });
}

#[test]
#[ignore = "needs a kernel with vrf: tests/vm/run tests"]
fn a_vrf_beside_the_uplinks_keeps_its_rule_and_an_uplink_in_it_is_an_error() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        assert!(world.vrf("red", 1_001).await, "this kernel has no VRF");
        let before = world.everything().await;
        let mut agent = Agent::start().await;
        assert_eq!(agent.carry(LTE).await, []);
        assert_eq!(world.way_of(Packet::ANY).await, Some(way(LTE, "10.2.0.1")));
        assert!(!clashes::check("").iter().any(|line| line.contains("fiber")));
        agent.want(Desired::default());
        assert_eq!(agent.applied().await, []);
        assert_eq!(world.everything().await, before);
        world.join(FIBER, "red").await;
        let findings = clashes::check("");
        assert!(
            findings.contains(&"error uplink fiber".to_owned()),
            "{findings:?}"
        );
    });
}

#[test]
fn another_address_or_next_hop_is_followed_at_once() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        world.remove_address(FIBER, net("10.1.0.2/24")).await;
        world.add_address(FIBER, net("10.7.0.2/24")).await;
        let another = ForeignDefault {
            via: ip("10.7.0.1"),
            metric: 100,
        };
        world.add_default(FIBER, another).await;
        let has_moved = |observed: &Observed| {
            let link = observed.link(&name(FIBER));
            let attachment = attach(link, &LEARNT, &SortedMap::new());
            let path = attachment.paths.get(&Family::Ipv4);
            path.and_then(|path| path.gateway) == Some(ip("10.7.0.1").into())
        };
        at_once("another address", agent.observed(has_moved)).await;
        assert_eq!(at_once("its route", agent.carry(FIBER)).await, []);
        assert_eq!(
            world.way_of(Packet::ANY).await,
            Some(way(FIBER, "10.7.0.1"))
        );
        let from_it = Packet {
            from: Some(ip("10.7.0.2")),
            ..Packet::ANY
        };
        agent.carry(LTE).await;
        assert_eq!(world.way_of(from_it).await, Some(way(FIBER, "10.7.0.1")));
    });
}

#[test]
fn a_tunnel_that_carries_everything_sends_its_own_packets_by_the_uplink_that_they_are_pinned_to() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let _vpn = dial(&world, "100.64.0.9").await;
        let mut agent = agent_for(&[(FIBER, LEARNT), (LTE, LEARNT), (PPP, LEARNT)]).await;
        assert_eq!(agent.carry(PPP).await, []);
        assert_eq!(world.way_of(Packet::ANY).await, Some(direct(PPP)));
        let transport = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        for (place, own) in [(0, "10.1.0.2"), (1, "10.2.0.2")] {
            // As `FwMark` of WireGuard and `--mark` of OpenVPN do.
            let mark = agent.numbering.uplink_mark(place).0;
            let transport = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            SockRef::from(&transport).set_mark(mark).expect("a mark");
            transport.connect("192.0.2.80:51820").expect("a route");
            let address = transport.local_addr().expect("an address");
            assert_eq!(address.ip(), ip(own), "by mark");
        }
        for (interface, own) in [(FIBER, "10.1.0.2"), (LTE, "10.2.0.2")] {
            let transport = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            let bound = SockRef::from(&transport).bind_device(Some(interface.as_bytes()));
            bound.expect("bound");
            transport.connect("192.0.2.80:51820").expect("a route");
            let address = transport.local_addr().expect("an address");
            assert_eq!(address.ip(), ip(own), "by interface");
        }
        // What is not pinned is what `uplinkd check` warns of.
        transport.connect("192.0.2.80:51820").expect("a route");
        let address = transport.local_addr().expect("an address");
        assert_eq!(address.ip(), ip("100.64.0.9"));
    });
}
