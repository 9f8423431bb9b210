//! Next hops that come and go, as a real kernel reports them, while the engine watches a link that dies.

use std::collections::VecDeque;
use std::net::IpAddr;

use uplinkd::config::Config;
use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::event::Change;
use uplinkd::engine::input::Input;
use uplinkd::replay::{Replay, World as ReplayWorld};
use uplinkd::units::{Moment, Wall};

use super::ipv6::{advertise, advertising, default6, ip6, net6, two_dual_uplinks};
use super::netns::{self, World, far, sysctl};
use super::*;
use crate::router::Advertisement;

/// Fiber answers nothing from then on.
const DIES: Duration = Duration::from_secs(20);
/// A host of the segment.
const ROGUE: &str = "fe80::bad";

const CONFIG: &str = r#"
probe.targets = ["192.0.2.1", "198.51.100.1", "2001:db8:a::1", "2001:db8:b::1"]
[[uplink]]
name = "fiber"
interface = "fiber"
tier = 1
[[uplink]]
name = "lte"
interface = "lte"
tier = 2
"#;

/// Fiber is attached otherwise at given times. By a host of the segment nothing is forwarded.
struct ChangingLink {
    changes: VecDeque<(Moment, Attachment)>,
    now: Attachment,
}

impl ChangingLink {
    /// By the next hop of the order, or by that of the routes. A packet for a rogue router is lost.
    fn is_misled(&self, order: &ProbeOrder) -> bool {
        let family = order.target.address().map_or(Family::Ipv4, Family::of);
        let hop = order.hop.map(|hop| usize::from(hop.0));
        let several = self.now.next_hops.get(&family);
        let asked = hop.and_then(|hop| several?.get(hop));
        let path = asked.or_else(|| self.now.paths.get(&family));
        path.is_none_or(|path| path.gateway == Some(ip6(ROGUE).into()))
    }
}

/// Fiber has it from a DHCPv6 client.
const LEASED: &str = "2001:db8:1::77/64";
/// What is followed begins so long after the start of a replay.
const FOLLOWED_AT: Duration = Duration::from_secs(10);

/// Two uplinks, fiber with an IPv6 address of a DHCPv6 client, of which duplicate address detection follows.
async fn leased(world: &World) -> Agent {
    world.speak_ipv6();
    two_uplinks(world).await;
    let router = Advertisement {
        lifetime: 1800,
        ..Advertisement::default()
    };
    advertise(FIBER, &router).await;
    world.take_address6(FIBER, net6(LEASED)).await;
    for of in [FIBER, "all"] {
        sysctl(&format!("ipv6/conf/{of}/accept_dad"), "1");
    }
    Agent::start().await
}

/// Fiber flushes its IPv6 address and adds it again: how it is attached after what time, until `is_over`.
#[expect(clippy::disallowed_methods, reason = "the kernel takes its time")]
async fn flush_and_add(
    (world, agent): (&World, &mut Agent),
    mut is_over: impl FnMut(&Attachment) -> bool,
) -> Vec<(Duration, Attachment)> {
    let begun = tokio::time::Instant::now();
    let mut ways = vec![(Duration::ZERO, agent.attachment(FIBER, 0))];
    world.remove_address(FIBER, net6(LEASED)).await;
    world.add_address6(FIBER, net6(LEASED)).await;
    while ways.len() == 1 || !is_over(&ways[ways.len() - 1].1) {
        if let KernelReport::Observed(_) = agent.report().await {
            ways.push((begun.elapsed(), agent.attachment(FIBER, 0)));
        }
    }
    assert!(ways.iter().any(|(_, way)| !way.tentative.is_empty()));
    ways
}

/// An engine whose fiber is attached in these ways after these times.
fn follow(ways: &[(Duration, Attachment)]) -> Replay<ChangingLink> {
    let config = Config::parse(CONFIG, "uplinkd.toml").expect("a configuration");
    let now = ways[0].1.clone();
    let changes = ways.iter().enumerate().map(|(place, (at, way))| {
        let from = if place == 0 {
            Duration::from_secs(1)
        } else {
            FOLLOWED_AT
        };
        (Moment::after_start(from + *at), way.clone())
    });
    let changes = changes.collect();
    Replay::new(config.engine, ChangingLink { changes, now })
}

impl ReplayWorld for ChangingLink {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        let is_fiber = order.uplink.as_str() == "fiber";
        let is_lost = is_fiber && (now.since_start() >= DIES || self.is_misled(order));
        (!is_lost).then_some(Duration::from_millis(10))
    }

    fn next_input(&mut self, now: Moment) -> Option<Input> {
        self.changes.front().filter(|(at, _)| *at <= now)?;
        let (_, attachment) = self.changes.pop_front()?;
        self.now = attachment.clone();
        let uplink = "fiber".parse().expect("a name");
        Some(Input::Attachment { uplink, attachment })
    }

    fn next_input_at(&self) -> Option<Moment> {
        self.changes.front().map(|(at, _)| *at)
    }
}

/// How long after its death fiber is left, attached in these ways in turn, for so long each.
fn left_after(ways: &[Attachment], span: Duration) -> Duration {
    let config = Config::parse(CONFIG, "uplinkd.toml").expect("a configuration");
    let end = DIES + Duration::from_secs(20);
    let mut changes = VecDeque::new();
    let mut at = Duration::from_secs(1);
    for way in ways.iter().cycle() {
        changes.push_back((Moment::after_start(at), way.clone()));
        at += span;
        if at > end {
            break;
        }
    }
    let now = ways[0].clone();
    let mut replay = Replay::new(config.engine, ChangingLink { changes, now });
    let mut departures = |until| {
        let events = replay.run_until(Moment::after_start(until)).into_iter();
        let leaves = |change: &Change| match change {
            Change::Switch { active, .. } => active.iter().all(|name| name.as_str() == "lte"),
            _ => false,
        };
        let departures = events.filter(|event| leaves(&event.change));
        departures.collect::<Vec<_>>()
    };
    // IPv6 alone may go by lte while fiber has no router.
    assert_eq!(departures(DIES), []);
    let after = departures(end);
    let left = after.first().expect("it is left").at;
    left.since(Moment::after_start(DIES))
}

#[test]
fn advertisements_of_a_host_of_the_segment_do_not_hide_an_outage() {
    netns::run(async |world| {
        two_dual_uplinks(&world).await;
        world.take_address6(&far(FIBER), net6("fe80::bad/64")).await;
        let mut agent = Agent::start().await;
        let whole = agent.attachment(FIBER, 0);
        let router = default6(&agent.observed, FIBER).expect("a router");
        let rogue = |lifetime| Advertisement {
            lifetime,
            preference: 1,
            ..Advertisement::default()
        };
        let mut ways = vec![whole];
        for (lifetime, default) in [(1800, ip6(ROGUE).into()), (0, router)] {
            rogue(lifetime).send_from(&far(FIBER), ip6(ROGUE));
            let is_so = |observed: &Observed| default6(observed, FIBER) == Some(default);
            agent.observed(is_so).await;
            ways.push(agent.attachment(FIBER, 0));
        }
        assert_ne!(ways[0].paths, ways[1].paths);
        let after = left_after(&ways, Duration::from_millis(700));
        assert!(after <= Duration::from_millis(1_900), "{after:?}");
    });
}

#[test]
fn a_router_that_withdraws_and_advertises_itself_in_turn_does_not_hide_an_outage() {
    netns::run(async |world| {
        two_dual_uplinks(&world).await;
        let mut agent = Agent::start().await;
        let whole = agent.attachment(FIBER, 0);
        Advertisement::default().send(&far(FIBER));
        agent
            .observed(|observed| default6(observed, FIBER).is_none())
            .await;
        let withdrawn = agent.attachment(FIBER, 0);
        advertise(FIBER, &advertising("2001:db8:1::/64")).await;
        agent
            .observed(|observed| default6(observed, FIBER).is_some())
            .await;
        let back = agent.attachment(FIBER, 0);
        assert_eq!(back.paths, whole.paths);
        assert!(!withdrawn.paths.contains_key(&Family::Ipv6));
        let after = left_after(&[whole, withdrawn], Duration::from_millis(700));
        assert!(after <= Duration::from_millis(1_900), "{after:?}");
    });
}

#[test]
fn a_default_route_that_alternates_between_two_routers_does_not_hide_an_outage() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        let whole = agent.attachment(FIBER, 0);
        let other = ForeignDefault {
            via: Ipv4Addr::new(10, 1, 0, 254),
            metric: 99,
        };
        world.add_default(FIBER, other).await;
        world.remove_default(FIBER, VIA_FIBER).await;
        let is_other = |observed: &Observed| {
            let link = observed.link(&name(FIBER)).expect("fiber");
            let gateways = link.defaults.iter().filter_map(|default| default.gateway);
            gateways.eq([IpAddr::from(other.via)])
        };
        agent.observed(is_other).await;
        let moved = agent.attachment(FIBER, 0);
        assert_ne!(moved.paths, whole.paths);
        for millis in [400, 700, 1_000] {
            let after = left_after(
                &[whole.clone(), moved.clone()],
                Duration::from_millis(millis),
            );
            assert!(after <= Duration::from_secs(10), "{millis} ms: {after:?}");
        }
    });
}

#[test]
fn an_ipv6_address_that_is_flushed_and_added_again_moves_nothing_until_the_kernel_trusts_it() {
    netns::run(async |world| {
        let mut agent = leased(&world).await;
        let whole = agent.attachment(FIBER, 0);
        assert!(whole.paths.contains_key(&Family::Ipv6));
        let ways = flush_and_add((&world, &mut agent), |way| *way == whole).await;
        let lasts = ways[ways.len() - 1].0;
        assert!(lasts > Duration::from_millis(900), "{lasts:?}");
        let mut replay = follow(&ways);
        replay.run_until(Moment::after_start(FOLLOWED_AT));
        let events = replay.run_until(Moment::after_start(DIES));
        assert_eq!(events, []);
    });
}

#[test]
fn an_ipv6_address_that_is_taken_when_it_is_added_again_is_left_as_soon_as_the_kernel_knows() {
    netns::run(async |world| {
        let mut agent = leased(&world).await;
        world.take_address6(&far(FIBER), net6(LEASED)).await;
        let mut was_tentative = false;
        let has_failed = |way: &Attachment| {
            let is_tentative = !way.tentative.is_empty();
            std::mem::replace(&mut was_tentative, is_tentative) && !is_tentative
        };
        let ways = flush_and_add((&world, &mut agent), has_failed).await;
        let (known, last) = &ways[ways.len() - 1];
        assert!(!last.paths.contains_key(&Family::Ipv6));
        let mut replay = follow(&ways);
        let known = Moment::after_start(FOLLOWED_AT + *known);
        for (until, families) in [(known - Duration::from_millis(1), 2), (known, 1)] {
            replay.run_until(until);
            let wall = Wall::reading(std::time::UNIX_EPOCH, replay.now());
            let carries = &replay.engine().status(wall).uplinks[0].carries;
            assert_eq!(carries.len(), families, "{until:?} of {known:?}");
        }
    });
}
