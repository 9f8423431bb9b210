//! Default routes of other programs that lead nowhere.

use std::net::Ipv6Addr;
use std::process::Command;

use netlink_packet_route::route::RouteType;
use rtnetlink::RouteMessageBuilder;

use super::netns::{self, World};
use super::*;
use crate::machine::not_run;

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

/// Has `ip` make something in the namespace of this thread; false where there is no `ip` or it cannot.
fn made_by_ip(words: &str) -> bool {
    let made = Command::new("ip").args(words.split(' ')).status();
    made.is_ok_and(|status| status.success())
}

#[test]
fn what_leads_by_nexthop_objects_of_a_routing_daemon_is_learnt_and_passed_as_other_routes_are() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        world.remove_default(FIBER, VIA_FIBER).await;
        let objects = ["via 10.1.0.1 dev fiber", "blackhole"];
        for (id, object) in (5..).zip(objects) {
            if !made_by_ip(&format!("nexthop add id {id} {object} proto zebra")) {
                let why = "`ip` or the kernel lacks nexthop objects";
                return not_run("routes by nexthop objects", &why);
            }
        }
        for route in ["nhid 5 metric 100 mtu 1400", "nhid 6 metric 9999"] {
            assert!(made_by_ip(&format!("route add default {route}")), "{route}");
        }
        let mut agent = Agent::start().await;
        let path = agent.attachment(FIBER, 0).paths[&Family::Ipv4].clone();
        assert_eq!(path.gateway, Some(VIA_FIBER.via.into()));
        assert_eq!(path.options().metrics, [(2, 1400)].into());
        assert_eq!(agent.carry(FIBER).await, []);
        assert!(made_by_ip("route del default nhid 5 metric 100"));
        world.remove_default(LTE, VIA_LTE).await;
        agent.observed(|observed| !has_default(observed, LTE)).await;
        assert_eq!(agent.carry(FIBER).await, []);
        let (way, _) = world.way_of(Packet::ANY).await.expect("a way");
        assert_eq!(way, FIBER);
        assert_eq!(agent.observed.barrier(&agent.numbering), None);
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

#[test]
fn a_way_past_a_dead_end_that_another_program_removes_comes_back_ever_more_slowly() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        world.add_blackhole(MAIN, 9_999).await;
        let mut agent = Agent::start().await;
        assert_eq!(agent.carry(FIBER).await, []);
        let throw = async || {
            let mut routes = world.routes().await.into_iter();
            routes.find(|route| route.header.kind == RouteType::Throw)
        };
        let mut removed = 0;
        let remove = async {
            loop {
                match throw().await {
                    Some(route) => {
                        world.remove_route(route).await;
                        removed += 1;
                    }
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let reported = agent.put_back(1);
        let _ = tokio::join!(timeout(Duration::from_secs(2), remove), reported);
        assert!((2..10).contains(&removed), "{removed}");
        assert!(agent.put_back[0].contains("throw"), "{:?}", agent.put_back);
    });
}
