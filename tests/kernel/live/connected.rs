//! Networks that are connected on uplinks.

use super::netns::{self, World};
use super::*;
use uplinkd::routing::Gateway;

const LAN: &str = "lan";

/// The way of a packet from this address.
async fn way(world: &World, from: Option<&str>, to: &str) -> (String, Option<IpAddr>) {
    let packet = Packet {
        from: from.map(ip),
        to: ip(to),
        ..Packet::ANY
    };
    world.way_of(packet).await.expect("a way")
}

fn on_link(interface: &str) -> (String, Option<IpAddr>) {
    (interface.to_owned(), None)
}

fn by(interface: &str, next_hop: &str) -> (String, Option<IpAddr>) {
    (interface.to_owned(), Some(ip(next_hop).into()))
}

/// The agent, and a LAN beside the uplinks.
async fn with_lan(world: &World, address: &str) -> Agent {
    two_uplinks(world).await;
    world.wire(LAN).await;
    world.add_address(LAN, net(address)).await;
    let mut agent = Agent::start().await;
    assert_eq!(agent.carry(LTE).await, []);
    agent
}

#[test]
fn what_comes_from_an_uplinks_address_leaves_by_it_also_to_the_network_of_another() {
    netns::run(async |world| {
        let _agent = with_lan(&world, "10.9.0.1/24").await;
        let fibers = Some("10.1.0.2");
        let ltes = Some("10.2.0.2");
        assert_eq!(
            way(&world, fibers, "10.2.0.50").await,
            by(FIBER, "10.1.0.1")
        );
        assert_eq!(way(&world, ltes, "10.1.0.50").await, by(LTE, "10.2.0.1"));
        for (own, neighbour, uplink) in [(fibers, "10.1.0.50", FIBER), (ltes, "10.2.0.50", LTE)] {
            assert_eq!(way(&world, own, neighbour).await, on_link(uplink));
            assert_eq!(way(&world, None, neighbour).await, on_link(uplink));
            assert_eq!(
                way(&world, Some("10.9.0.1"), neighbour).await,
                on_link(uplink)
            );
            assert_eq!(way(&world, own, "10.9.0.7").await, on_link(LAN));
        }
    });
}

#[test]
fn ipv6_from_an_uplinks_address_leaves_by_it_also_to_the_network_of_another() {
    netns::run(async |world| {
        world.speak_ipv6();
        let index = |name| nix::net::if_::if_nametoindex(name).expect("an interface");
        two_uplinks(&world).await;
        world.wire(LAN).await;
        let uplinks = [(FIBER, 1), (LTE, 2)].map(|(uplink, number)| {
            let next_hop = Ipv6Addr::new(0x2001, 0xdb8, number, 0, 0, 0, 0, 1);
            let hints = Hints {
                gateway6: Gateway::Address(next_hop.into()),
                ..Hints::default()
            };
            (uplink, hints)
        });
        for (uplink, own) in [(FIBER, "2001:db8:1::2/64"), (LTE, "2001:db8:2::2/64")] {
            world
                .add_address6(uplink, own.parse().expect("a prefix"))
                .await;
        }
        let lan = "2001:db8:9::1/64".parse().expect("a prefix");
        world.add_address6(LAN, lan).await;
        for address in ["2001:db8:1::2", "2001:db8:2::2", "2001:db8:9::1"] {
            usable(address).await;
        }
        let numbering = Numbering::default();
        let mut agent = Agent::start_with(KernelAccess::Write, numbering, &uplinks).await;
        assert_eq!(agent.carry(LTE).await, []);
        let there = ["2001:db8:1::50", "2001:db8:2::50", "2001:db8:9::50"];
        let there = there.map(|text| text.parse().expect("an address"));
        let ways = async |from: &str| {
            let from = from.parse().expect("an address");
            world.forwarded(LAN, from, &there).await
        };
        let [fiber, lte, lan] = [FIBER, LTE, LAN].map(index);
        assert_eq!(ways("2001:db8:1::2").await, [fiber, fiber, lan]);
        assert_eq!(ways("2001:db8:2::2").await, [lte, lte, lan]);
        assert_eq!(ways("2001:db8:9::7").await, [fiber, lte, lan]);
    });
}

#[test]
fn a_local_network_inside_that_of_an_uplink_stays_local() {
    netns::run(async |world| {
        let _agent = with_lan(&world, "10.2.0.129/25").await;
        for from in [None, Some("10.1.0.2"), Some("10.2.0.2"), Some("10.2.0.129")] {
            assert_eq!(
                way(&world, from, "10.2.0.200").await,
                on_link(LAN),
                "{from:?}"
            );
        }
        let ways = way(&world, Some("10.1.0.2"), "10.2.0.50").await;
        assert_eq!(ways, by(FIBER, "10.1.0.1"));
    });
}

#[test]
fn networks_that_come_and_go_are_followed_and_are_not_taken_for_a_change_of_ours() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let before = world.everything().await;
        let mut agent = Agent::start().await;
        assert_eq!(agent.carry(FIBER).await, []);
        let third = net("10.3.0.2/24");
        for _ in 0..2 {
            world.add_address(LTE, third).await;
            let leaves_by_fiber = by(FIBER, "10.1.0.1");
            while way(&world, Some("10.1.0.2"), "10.3.0.50").await != leaves_by_fiber
                || world.of_protocol(117).await.len() != 3 + 8 + 3 * 3
            {
                agent.report().await;
            }
            world.remove_address(LTE, third).await;
            while world.of_protocol(117).await.len() != 3 + 8 + 2 * 3 {
                agent.report().await;
            }
        }
        assert_eq!(agent.carry(FIBER).await, []);
        assert!(agent.put_back.is_empty(), "{:?}", agent.put_back);
        agent.want(Desired::default());
        assert_eq!(agent.applied().await, []);
        assert_eq!(world.everything().await, before);
    });
}
