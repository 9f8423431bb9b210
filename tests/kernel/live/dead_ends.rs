//! Default routes of other programs that lead nowhere.

use std::net::Ipv6Addr;

use netlink_packet_route::route::RouteType;
use rtnetlink::RouteMessageBuilder;

use super::netns::{self, World};
use super::*;

const MAIN: u32 = 254;
const REMOTE6: &str = "[2001:db8:ffff::80]:9";

/// A guard, as people keep it behind all default routes.
async fn add_guard6(world: &World, metric: u32) {
    let guard = RouteMessageBuilder::<Ipv6Addr>::new()
        .table_id(MAIN)
        .priority(metric)
        .kind(RouteType::Unreachable)
        .build();
    world.add_route(guard).await;
}

#[test]
fn a_guard_behind_the_default_routes_of_others_stops_nothing_when_these_go() {
    netns::run(async |world| {
        world.speak_ipv6();
        two_uplinks(&world).await;
        let address = |text: &str| text.parse().expect("an address");
        world
            .add_address6(FIBER, "2001:db8:1::2/64".parse().expect("a prefix"))
            .await;
        world
            .add_default6(FIBER, address("2001:db8:1::1"), None)
            .await;
        usable("2001:db8:1::2").await;
        world.add_blackhole(MAIN, 9_999).await;
        add_guard6(&world, 9_999).await;
        let before = world.everything().await;
        let mut agent = Agent::start().await;
        assert_eq!(agent.carry(FIBER).await, []);
        for (uplink, default) in [(FIBER, VIA_FIBER), (LTE, VIA_LTE)] {
            world.remove_default(uplink, default).await;
        }
        for mut route in world.routes().await {
            let is_default = route.header.destination_prefix_length == 0;
            let is_ipv6 = route.header.address_family == AddressFamily::Inet6;
            if is_default && is_ipv6 && route.header.protocol == RouteProtocol::Static {
                route
                    .attributes
                    .retain(|one| !matches!(one, RouteAttribute::Preference(_)));
                if route.header.kind == RouteType::Unicast {
                    world.remove_route(route).await;
                }
            }
        }
        agent.observed(|observed| !has_default(observed, LTE)).await;
        assert_eq!(agent.carry(FIBER).await, []);
        let (way, _) = world.way_of(Packet::ANY).await.expect("a way");
        assert_eq!(way, FIBER);
        let probe = Packet {
            out_of: Some(LTE),
            ..Packet::ANY
        };
        let (way, _) = world.way_of(probe).await.expect("a way");
        assert_eq!(way, LTE);
        assert!(source_to(REMOTE6).is_some());
        assert_eq!(agent.observed.barrier(&agent.numbering), None);
        assert!(agent.put_back.is_empty(), "{:?}", agent.put_back);
        agent.want(Desired::default());
        assert_eq!(agent.applied().await, []);
        let left = world.everything().await;
        assert!(
            left.iter().all(|object| before.contains(object)),
            "{left:?}"
        );
        assert_eq!(source_to(REMOTE6), None, "the guard is there as before");
    });
}

#[test]
fn a_guard_that_comes_later_is_passed_and_one_before_the_defaults_of_others_is_told() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        assert_eq!(agent.carry(FIBER).await, []);
        for (uplink, default) in [(FIBER, VIA_FIBER), (LTE, VIA_LTE)] {
            world.remove_default(uplink, default).await;
        }
        world.add_blackhole(MAIN, 5_000).await;
        let mut goes_by_fiber = async || {
            while world
                .way_of(Packet::ANY)
                .await
                .is_none_or(|(way, _)| way != FIBER)
            {
                agent.report().await;
            }
        };
        timeout(PATIENCE, goes_by_fiber()).await.expect("a way");
        world.add_default(LTE, VIA_LTE).await;
        world.add_blackhole(MAIN, 150).await;
        agent
            .observed(|observed| observed.dead_ends.len() == 2 && has_default(observed, LTE))
            .await;
        assert!(agent.put_back.is_empty(), "{:?}", agent.put_back);
        let barrier = agent.observed.barrier(&agent.numbering);
        assert_eq!(barrier.expect("it stops us").metric, Metric(150));
    });
}
