//! The options of learnt routes are in ours as well.

use std::collections::BTreeSet;

use netlink_packet_route::route::{RouteAddress, RouteMetric};
use uplinkd::routing::Encapsulation;

use super::main_mode::agent_in_main;
use super::netns::{self, World, route_table};
use super::*;

/// The addresses of fiber that its provider accepts; its other ones come first.
const ACCEPTED: [&str; 2] = ["203.0.113.9", "2001:db8:9::9"];
const REMOTE: [&str; 2] = ["192.0.2.80:9", "[2001:db8:ffff::80]:9"];

/// Two uplinks with both families; the provider of fiber takes packets of one address, in small pieces.
async fn fiber_of_one_address(world: &World) {
    world.speak_ipv6();
    two_uplinks(world).await;
    let [accepted, accepted6] = ACCEPTED;
    world
        .add_address(FIBER, net(&format!("{accepted}/32")))
        .await;
    let address = |text: &str| text.parse().expect("an address");
    world
        .add_address6(FIBER, "2001:db8:1::2/64".parse().expect("a prefix"))
        .await;
    world
        .add_default6(FIBER, address("2001:db8:1::1"), None)
        .await;
    let accepted6 = format!("{accepted6}/128").parse().expect("an address");
    world.add_address6(FIBER, accepted6).await;
    usable(ACCEPTED[1]).await;
    for mut route in learnt(world).await {
        let source = ACCEPTED[usize::from(is_ipv6(&route))]
            .parse()
            .expect("an address");
        let source = match source {
            IpAddr::V4(address) => RouteAddress::Inet(address),
            IpAddr::V6(address) => RouteAddress::Inet6(address),
        };
        route.attributes.push(RouteAttribute::PrefSource(source));
        route.attributes.push(RouteAttribute::Metrics(vec![
            RouteMetric::Mtu(1400),
            RouteMetric::Window(60_000),
            RouteMetric::Advmss(1300),
            RouteMetric::Hoplimit(61),
            RouteMetric::InitCwnd(20),
            RouteMetric::RtoMin(300),
            RouteMetric::InitRwnd(30),
            RouteMetric::QuickAck(1),
        ]));
        world.replace_route(route).await;
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn is_ipv6(route: &RouteMessage) -> bool {
    route.header.address_family == AddressFamily::Inet6
}

/// The default routes of others in main through fiber.
async fn learnt(world: &World) -> Vec<RouteMessage> {
    let fiber = nix::net::if_::if_nametoindex(FIBER).expect("fiber");
    let mut routes = world.routes().await;
    routes.retain(|route| {
        route.header.destination_prefix_length == 0
            && route.header.protocol != RouteProtocol::Other(117)
            && route.attributes.contains(&RouteAttribute::Oif(fiber))
    });
    routes
}

/// What our routes through fiber say beyond their paths, by family and table.
async fn said(world: &World) -> BTreeSet<(bool, u32, String)> {
    let fiber = nix::net::if_::if_nametoindex(FIBER).expect("fiber");
    let routes = world.routes().await.into_iter();
    let ours = routes.filter(|route| {
        route.header.protocol == RouteProtocol::Other(117)
            && route.attributes.contains(&RouteAttribute::Oif(fiber))
    });
    let said = ours.map(|route| {
        let options = route.attributes.iter().filter(|attribute| {
            matches!(
                attribute,
                RouteAttribute::PrefSource(_) | RouteAttribute::Metrics(_)
            )
        });
        let options: Vec<_> = options.collect();
        (is_ipv6(&route), route_table(&route), format!("{options:?}"))
    });
    said.collect()
}

#[test]
fn routes_in_tables_of_our_own_say_what_the_learnt_ones_say_and_no_source_that_is_gone() {
    netns::run(async |world| {
        fiber_of_one_address(&world).await;
        let before = world.everything().await;
        let mut agent = Agent::start().await;
        let base = agent.numbering.table.0;
        assert_eq!(agent.carry(FIBER).await, []);
        let mut ours = said(&world).await;
        // The networks of the uplinks stand there too.
        ours.retain(|(_, _, options)| options != "[]");
        assert_eq!(ours.len(), 4, "{ours:?}");
        for (is_ipv6, table, said) in &ours {
            assert!([base, base + 1].contains(table));
            let accepted = ACCEPTED[usize::from(*is_ipv6)];
            for option in [
                accepted,
                "Mtu(1400)",
                "Window(60000)",
                "Advmss(1300)",
                "Hoplimit(61)",
                "InitCwnd(20)",
                "RtoMin(300)",
                "InitRwnd(30)",
                "QuickAck(1)",
            ] {
                assert!(said.contains(option), "{option}: {said}");
            }
        }
        for (remote, accepted) in REMOTE.into_iter().zip(ACCEPTED) {
            assert_eq!(source_to(remote), Some(address(accepted)));
        }
        assert_eq!(agent.carry(LTE).await, []);
        assert_eq!(source_to(REMOTE[0]), Some(address("10.2.0.2")));
        assert_eq!(agent.carry(FIBER).await, []);

        world.remove_address(FIBER, net("203.0.113.9/32")).await;
        agent
            .observed(|observed| !has_default_of(observed, Family::Ipv4))
            .await;
        assert_eq!(agent.carry(FIBER).await, []);
        assert_eq!(source_to(REMOTE[0]), Some(address("10.1.0.2")));
        let ours = said(&world).await.into_iter();
        let of_ipv4 = ours.filter(|(is_ipv6, _, options)| !is_ipv6 && options != "[]");
        let ipv4: Vec<_> = of_ipv4.collect();
        assert_eq!(ipv4.len(), 2, "{ipv4:?}");
        let keeps = |said: &str| said.contains("Mtu(1400)") && !said.contains("PrefSource");
        assert!(ipv4.iter().all(|(_, _, said)| keeps(said)), "{ipv4:?}");
        agent.want(Desired::default());
        assert_eq!(agent.applied().await, []);
        let left = world.everything().await;
        assert!(
            left.iter().all(|object| before.contains(object)),
            "{left:?}"
        );
    });
}

fn has_default_of(observed: &Observed, family: Family) -> bool {
    let link = observed.link(&name(FIBER)).expect("fiber");
    { link.defaults.iter() }.any(|default| default.family == family)
}

#[test]
fn routes_in_main_say_what_the_learnt_ones_say() {
    netns::run(async |world| {
        fiber_of_one_address(&world).await;
        let mut agent = agent_in_main().await;
        assert_eq!(agent.carry(FIBER).await, []);
        let ours = said(&world).await;
        // The active route of each family; the one for probes has the same key in IPv6 but its metric.
        assert_eq!(ours.len(), 2, "{ours:?}");
        for (is_ipv6, _, said) in &ours {
            assert!(said.contains(ACCEPTED[usize::from(*is_ipv6)]), "{said}");
            assert!(said.contains("Mtu(1400)"), "{said}");
        }
        for (remote, accepted) in REMOTE.into_iter().zip(ACCEPTED) {
            assert_eq!(source_to(remote), Some(address(accepted)));
        }
    });
}

/// The desired state with this uplink active, in which the routes by fiber say this.
fn saying(agent: &Agent, carrying: &str, options: &RouteOptions) -> Desired {
    let fiber = agent.observed.link(&name(FIBER)).expect("fiber").index;
    let mut desired = agent.desired(carrying);
    let routes = std::mem::take(&mut desired.routes).into_iter();
    let routes = routes.map(|route| match route.paths.as_slice() {
        [path] if path.index == fiber => Route {
            options: options.clone(),
            ..route
        },
        _ => route,
    });
    desired.routes = routes.collect();
    desired
}

#[test]
fn a_route_whose_options_the_kernel_refuses_stands_without_them_until_the_learnt_one_is_another() {
    let control = |name: &str| RouteOptions {
        congestion_control: Some(name.to_owned()),
        metrics: [(2, 1400)].into(),
        ..RouteOptions::default()
    };
    let tunnel = RouteOptions {
        encapsulation: Some(Encapsulation {
            kind: 999,
            attributes: Vec::new(),
        }),
        ..RouteOptions::default()
    };
    netns::run(async move |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        let base = agent.numbering.table.0;
        for options in [control("nonesuch"), tunnel] {
            for (carrying, hop) in [(FIBER, "10.1.0.1"), (LTE, "10.2.0.1"), (FIBER, "10.1.0.1")] {
                agent.want(saying(&agent, carrying, &options));
                let refused = agent.applied().await;
                let [refused] = refused.as_slice() else {
                    panic!("{refused:?}");
                };
                let is_bare = refused.reason.contains("without its options");
                assert!(is_bare, "{refused:?}");
                let tables = [(base, hop), (base + 1, "10.1.0.1")];
                for (table, hop) in tables {
                    assert_eq!(world.default_in(table).await, Some(ip(hop).into()));
                }
            }
            let whole = saying(&agent, FIBER, &control("reno"));
            agent.want(whole.clone());
            assert_eq!(agent.applied().await, []);
            assert_eq!(agent.outstanding_of(whole), []);
        }
        assert_eq!(agent.put_back, [""; 0]);
    });
}

#[test]
fn a_source_that_is_not_there_yet_is_in_the_route_as_soon_as_it_is() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        let options = RouteOptions {
            source: Some(address("10.1.0.77")),
            ..RouteOptions::default()
        };
        agent.want(saying(&agent, FIBER, &options));
        assert_eq!(agent.applied().await.len(), 1);
        assert_eq!(source_to(REMOTE[0]), Some(address("10.1.0.2")));
        world.add_address(FIBER, net("10.1.0.77/32")).await;
        assert_eq!(agent.applied().await, []);
        assert_eq!(source_to(REMOTE[0]), Some(address("10.1.0.77")));
    });
}
