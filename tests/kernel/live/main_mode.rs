//! Main mode: default routes in the main table, beside foreign ones.

use super::netns::{self, World};
use super::*;

const IN_MAIN: Numbering = Numbering {
    mode: uplinkd::routing::RoutingMode::Main,
    protocol: uplinkd::units::Protocol(117),
    table: TableId(11_700),
    group_table: TableId(11_800),
    nexthop: uplinkd::units::NextHopId(11_700_000),
    rule: uplinkd::units::RulePriority(32_000),
    default_rule: uplinkd::units::RulePriority(32_765),
    mark: uplinkd::units::Mark(0x7570_0000),
    flow_mask: None,
    metric: Metric(60),
};

pub(super) async fn agent_in_main() -> Agent {
    let uplinks = [FIBER, LTE].map(|uplink| (uplink, Hints::default()));
    Agent::start_with(KernelAccess::Write, IN_MAIN, &uplinks).await
}

async fn interface_of(world: &World, packet: Packet<'_>) -> Option<String> {
    Some(world.way_of(packet).await?.0)
}

#[test]
fn traffic_takes_the_active_uplink_and_each_probe_its_own_without_rules() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let before = world.everything().await;
        let mut agent = agent_in_main().await;
        agent.want(agent.desired_by(None));
        assert_eq!(agent.applied().await, []);
        let theirs = interface_of(&world, Packet::ANY).await;
        assert_eq!(
            theirs.as_deref(),
            Some(FIBER),
            "theirs goes first as before"
        );
        for uplink in [LTE, FIBER, LTE] {
            assert_eq!(agent.carry(uplink).await, []);
            let way = interface_of(&world, Packet::ANY).await;
            assert_eq!(way.as_deref(), Some(uplink));
            for probed in [FIBER, LTE] {
                let probe = Packet {
                    out_of: Some(probed),
                    ..Packet::ANY
                };
                let way = interface_of(&world, probe).await;
                assert_eq!(way.as_deref(), Some(probed));
            }
            let now = world.everything().await;
            let (theirs, ours): (Vec<_>, Vec<_>) =
                now.into_iter().partition(|object| before.contains(object));
            assert_eq!(theirs, before);
            assert_eq!(ours.len(), 3);
            assert_eq!(plan(&agent.desired(uplink), &agent.observed), []);
        }
        agent.want(Desired::default());
        assert_eq!(agent.applied().await, []);
        assert_eq!(world.everything().await, before);
        assert!(agent.put_back.is_empty());
    });
}

#[test]
fn probes_find_their_uplink_without_a_default_route_of_others() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = agent_in_main().await;
        agent.carry(FIBER).await;
        world.remove_default(LTE, VIA_LTE).await;
        agent.observed(|observed| !has_default(observed, LTE)).await;
        assert!(!agent.attachment(LTE, 1).paths.is_empty(), "remembered");
        assert_eq!(agent.carry(FIBER).await, []);
        let probe = Packet {
            out_of: Some(LTE),
            ..Packet::ANY
        };
        let way = world.way_of(probe).await;
        assert_eq!(way, Some((LTE.to_owned(), Some(ip("10.2.0.1").into()))));
    });
}

#[test]
fn a_foreign_route_with_our_metric_is_kept_and_reported_until_it_is_removed() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let theirs = ForeignDefault {
            via: ip("10.2.0.1"),
            metric: 60,
        };
        world.add_default(LTE, theirs).await;
        let before = world.everything().await;
        let mut agent = agent_in_main().await;
        let refused = agent.carry(FIBER).await;
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(
            refused[0]
                .reason
                .contains("choose another `routing.metric`"),
            "{refused:?}"
        );
        let now = world.everything().await;
        assert!(before.iter().all(|object| now.contains(object)));
        world.remove_default(LTE, theirs).await;
        assert_eq!(agent.applied().await, []);
        let way = interface_of(&world, Packet::ANY).await;
        assert_eq!(way.as_deref(), Some(FIBER));
    });
}

#[test]
fn a_route_that_replaces_ours_is_not_replaced_in_turn() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = agent_in_main().await;
        agent.carry(FIBER).await;
        let routes = world.routes().await.into_iter();
        let ours = routes.filter(|route| route.header.protocol == RouteProtocol::Other(117));
        let metric = |route: &RouteMessage| {
            let mut attributes = route.attributes.iter();
            attributes.any(|attribute| *attribute == RouteAttribute::Priority(60))
        };
        let mut theirs = { ours }.find(metric).expect("the carrier's route");
        theirs.header.protocol = RouteProtocol::Static;
        world.replace_route(theirs.clone()).await;
        let refused = agent.applied().await;
        assert_eq!(refused.len(), 1, "{refused:?}");
        let routes = world.routes().await;
        assert!(routes.contains(&theirs), "{routes:?}");
    });
}

#[test]
fn the_mode_changes_without_a_gap_and_leaves_nothing_behind() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        agent.carry(LTE).await;
        let by_table = agent.desired(LTE);
        let of_table = world.of_protocol(117).await;
        let ends = Arc::new(AtomicBool::new(false));
        let lookups = std::thread::spawn({
            let ends = ends.clone();
            move || look_up_until(&ends)
        });
        for (uplink, default) in [(FIBER, VIA_FIBER), (LTE, VIA_LTE)] {
            world.remove_default(uplink, default).await;
            let is_gone = |observed: &Observed| !has_default(observed, uplink);
            agent.observed(is_gone).await;
        }
        agent.numbering = IN_MAIN;
        let by_main = agent.desired(LTE);
        assert_eq!(by_main.routes.len(), 3, "the next hops are remembered");
        for _ in 0..100 {
            for desired in [&by_main, &by_table] {
                agent.want(desired.clone());
                assert_eq!(agent.applied().await, []);
            }
        }
        ends.store(true, Ordering::Relaxed);
        let (looked_up, failed) = lookups.join().expect("the lookups end");
        super::assert_no_gap((looked_up, failed), 200);
        assert_eq!(world.of_protocol(117).await, of_table);
    });
}
