//! IPv6, with the advertisements of real routers at the far ends.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};
use tokio::time::timeout;
use uplinkd::routing::{Attachment, Gateway, Hints, Observed, Prefixes, RouteOptions};

use super::netns::{self, World, far, sysctl};
use super::*;
use crate::router::Advertisement;

const FIBER_PREFIX: &str = "2001:db8:1::/64";
const LTE_PREFIX: &str = "2001:db8:2::/64";
/// Far longer than it takes on any machine, and far below the half minute after which the kernel removes an
/// expired route.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(5);

pub(super) fn ip6(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

pub(super) fn net6(text: &str) -> Ipv6Net {
    text.parse().expect("a prefix")
}

/// A router that will be one for half an hour, with this prefix on its link.
pub(super) fn advertising(prefix: &str) -> Advertisement {
    Advertisement {
        lifetime: 1800,
        prefixes: vec![(net6(prefix), 3600)],
        ..Advertisement::default()
    }
}

/// Two uplinks with both families, whose IPv6 routers advertise themselves.
pub(super) async fn two_dual_uplinks(world: &World) {
    world.speak_ipv6();
    two_uplinks(world).await;
    for (uplink, prefix) in [(FIBER, FIBER_PREFIX), (LTE, LTE_PREFIX)] {
        advertise(uplink, &advertising(prefix)).await;
    }
}

/// Advertises until it can be heard: the wire may have no carrier yet, or the router no address.
pub(super) async fn advertise(uplink: &str, advertisement: &Advertisement) {
    sysctl(&format!("ipv6/conf/{}/accept_ra", far(uplink)), "0");
    let is_heard = async || {
        while kernel_default(uplink).is_none() {
            advertisement.send(&far(uplink));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, is_heard()).await.expect("it is heard");
}

/// The next hop of an IPv6 default route through an uplink, as the kernel has it.
fn kernel_default(uplink: &str) -> Option<IpAddr> {
    let numbering = Numbering::default();
    let observed = kernel::look(&numbering, &[name(uplink)].into());
    let observed = observed.expect("the kernel's answer");
    default6(&observed, uplink)
}

pub(super) fn default6(observed: &Observed, uplink: &str) -> Option<IpAddr> {
    let mut defaults = observed.link(&name(uplink))?.defaults.iter();
    let default = defaults.find(|default| default.family == Family::Ipv6)?;
    default.gateway
}

/// The addresses of an uplink that lie in this prefix.
fn addresses_in(observed: &Observed, uplink: &str, prefix: &str) -> Vec<IpAddr> {
    let prefix = IpNet::V6(net6(prefix));
    let addresses = observed.link(&name(uplink)).into_iter();
    let addresses = addresses.flat_map(|link| &link.addresses);
    let addresses = addresses.map(|address| address.net.addr());
    addresses
        .filter(|address| prefix.contains(address))
        .collect()
}

fn way6(attachment: &Attachment) -> Option<IpAddr> {
    attachment.paths.get(&Family::Ipv6)?.gateway
}

fn froms(desired: &Desired) -> Vec<IpNet> {
    let sources = desired.rules.iter().filter_map(|rule| rule.from);
    sources.filter(|net| matches!(net, IpNet::V6(_))).collect()
}

#[test]
fn both_families_go_where_it_is_wanted_and_a_clean_up_leaves_nothing() {
    netns::run(async |world| {
        two_dual_uplinks(&world).await;
        let mut agent = Agent::start().await;
        let before = world.everything().await;
        let base = agent.numbering.table.0;
        for uplink in [FIBER, LTE, FIBER] {
            assert_eq!(agent.carry(uplink).await, []);
            let attachment = agent.attachment(uplink, u32::from(uplink == LTE));
            let router = way6(&attachment).expect("an advertised router");
            assert!(router.to_string().starts_with("fe80::"), "{router}");
            assert_eq!(world.default6_in(base).await, Some(router));
            assert_eq!(agent.outstanding(uplink), []);
            assert_eq!(world.of_protocol(117).await.len(), 2 * (3 + 8 + 6));
        }
        agent.want(Desired::default());
        assert_eq!(agent.applied().await, []);
        assert_eq!(world.everything().await, before);
        assert!(agent.put_back.is_empty());
    });
}

#[test]
fn no_lookup_fails_in_either_family_while_the_routes_are_replaced_two_thousand_times() {
    netns::run(async |world| {
        two_dual_uplinks(&world).await;
        let mut agent = Agent::start().await;
        agent.carry(LTE).await;
        let (to_fiber, to_lte) = (agent.desired(FIBER), agent.desired(LTE));
        world.remove_default(FIBER, VIA_FIBER).await;
        world.remove_default(LTE, VIA_LTE).await;
        for uplink in [FIBER, LTE] {
            // Else the default routes of main would hide what we do.
            Advertisement::default().send(&far(uplink));
            agent
                .observed(|observed| default6(observed, uplink).is_none())
                .await;
        }
        let ends = Arc::new(AtomicBool::new(false));
        let lookups = ["0.0.0.0:0 192.0.2.1:9", "[::]:0 [2001:db8:f::1]:9"].map(|packet| {
            let ends = ends.clone();
            std::thread::spawn(move || look_up(packet, &ends))
        });
        for _ in 0..1_000 {
            for desired in [&to_fiber, &to_lte] {
                agent.want(desired.clone());
                agent.applied().await;
            }
        }
        ends.store(true, Ordering::Relaxed);
        for lookups in lookups {
            let (looked_up, failed) = lookups.join().expect("the lookups end");
            super::assert_no_gap((looked_up, failed), 2_000);
        }
    });
}

#[test]
fn one_family_goes_another_way_a_thousand_times_and_no_lookup_of_the_other_fails() {
    netns::run(async |world| {
        two_dual_uplinks(&world).await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        let base = agent.numbering.table.0;
        let router = |uplink, position| way6(&agent.attachment(uplink, position));
        let (fiber6, lte6) = (router(FIBER, 0), router(LTE, 1));
        assert!(fiber6.is_some() && lte6.is_some() && fiber6 != lte6);
        let together = agent.desired(FIBER);
        let apart = agent.desired_apart([FIBER, LTE]);
        let ends = Arc::new(AtomicBool::new(false));
        let lookups = {
            let ends = ends.clone();
            std::thread::spawn(move || look_up("0.0.0.0:0 192.0.2.1:9", &ends))
        };
        for _ in 0..500 {
            for (desired, router) in [(&apart, lte6), (&together, fiber6)] {
                agent.want(desired.clone());
                assert_eq!(agent.applied().await, []);
                assert_eq!(agent.outstanding_of(desired.clone()), []);
                assert_eq!(world.default6_in(base).await, router);
                assert_eq!(world.default_in(base).await, Some(ip("10.1.0.1").into()));
            }
        }
        ends.store(true, Ordering::Relaxed);
        let (looked_up, failed) = lookups.join().expect("the lookups end");
        super::assert_no_gap((looked_up, failed), 1_000);
    });
}

/// Looks up the route of a packet, written `from to`, again and again: the number of lookups, and of
/// those without a route.
fn look_up(packet: &str, end: &AtomicBool) -> (u64, u64) {
    let (from, to) = packet.split_once(' ').expect("from and to");
    let (mut looked_up, mut failed) = (0, 0);
    while !end.load(Ordering::Relaxed) {
        let socket = UdpSocket::bind(from).expect("a socket");
        looked_up += 1;
        failed += u64::from(socket.connect(to).is_err());
    }
    (looked_up, failed)
}

#[test]
fn a_new_prefix_is_followed_and_the_old_one_serves_existing_flows_only() {
    netns::run(async |world| {
        two_dual_uplinks(&world).await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        let renumbered = Advertisement {
            lifetime: 1800,
            prefixes: vec![(net6(FIBER_PREFIX), 0), (net6("2001:db8:9::/64"), 3600)],
            ..Advertisement::default()
        };
        renumbered.send(&far(FIBER));
        let in_new = |observed: &Observed| addresses_in(observed, FIBER, "2001:db8:9::/64");
        let old = addresses_in(&agent.observed, FIBER, FIBER_PREFIX);
        // The kernel reports the new address at once and deprecates the old one on a timer.
        let is_renumbered = |observed: &Observed| {
            let link = observed.link(&name(FIBER));
            let is_over = link.is_some_and(|link| {
                let mut addresses = link.addresses.iter();
                addresses.any(|one| one.is_deprecated && one.net.addr() == old[0])
            });
            is_over && !in_new(observed).is_empty()
        };
        let seen = agent.observed(is_renumbered);
        timeout(FOLLOWS_WITHIN, seen).await.expect("in time");
        let new = in_new(&agent.observed);
        let attachment = agent.attachment(FIBER, 0);
        assert!(!attachment.addresses.contains(&old[0]), "it is deprecated");
        assert!(attachment.addresses.contains(&new[0]));
        let rules = froms(&agent.desired(FIBER));
        assert!(rules.contains(&old[0].into()), "what is under way goes on");
        assert!(rules.contains(&new[0].into()));
        assert_eq!(agent.carry(FIBER).await, []);
    });
}

#[test]
fn a_router_that_withdraws_is_left_at_once_although_our_table_still_names_it() {
    netns::run(async |world| {
        two_dual_uplinks(&world).await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        assert!(way6(&agent.attachment(FIBER, 0)).is_some());
        Advertisement::default().send(&far(FIBER));
        let seen = agent.observed(|observed| default6(observed, FIBER).is_none());
        timeout(FOLLOWS_WITHIN, seen).await.expect("in time");
        assert_eq!(way6(&agent.attachment(FIBER, 0)), None);
        assert_eq!(agent.carry(FIBER).await, []);
        assert_eq!(world.default6_in(agent.numbering.table.0 + 1).await, None);
        assert_eq!(agent.attachment(FIBER, 0).trouble, None, "IPv4 goes on");
    });
}

#[test]
fn a_router_is_left_when_its_lifetime_is_over_and_not_when_the_kernel_tidies_up() {
    netns::run(async |world| {
        world.speak_ipv6();
        two_uplinks(&world).await;
        let short = Advertisement {
            lifetime: 1,
            ..advertising(FIBER_PREFIX)
        };
        advertise(FIBER, &short).await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        assert!(way6(&agent.attachment(FIBER, 0)).is_some());
        let seen = agent.observed(|observed| default6(observed, FIBER).is_none());
        timeout(Duration::from_secs(1) + FOLLOWS_WITHIN, seen)
            .await
            .expect("in time");
        assert_eq!(way6(&agent.attachment(FIBER, 0)), None);
    });
}

#[test]
fn of_two_routers_on_a_link_the_preferred_one_is_the_next_hop() {
    netns::run(async |world| {
        two_dual_uplinks(&world).await;
        let mut agent = Agent::start().await;
        let second = ip6("fe80::2");
        world.take_address6(&far(FIBER), net6("fe80::2/64")).await;
        let first = way6(&agent.attachment(FIBER, 0)).expect("a router");
        let preferred = Advertisement {
            preference: 1,
            ..advertising(FIBER_PREFIX)
        };
        preferred.send_from(&far(FIBER), second);
        agent
            .observed(|observed| default6(observed, FIBER) != Some(first))
            .await;
        assert_eq!(way6(&agent.attachment(FIBER, 0)), Some(second.into()));
    });
}

#[test]
fn a_tentative_address_is_not_used_and_one_that_is_taken_never() {
    netns::run(async |world| {
        two_dual_uplinks(&world).await;
        world
            .take_address6(&far(FIBER), net6("2001:db8:1::bad/64"))
            .await;
        for of in [FIBER, "all"] {
            sysctl(&format!("ipv6/conf/{of}/accept_dad"), "1");
        }
        let mut agent = Agent::start().await;
        for address in ["2001:db8:1::bad/64", "2001:db8:1::900d/64"] {
            world.add_address6(FIBER, net6(address)).await;
        }
        let (taken, free) = (ip6("2001:db8:1::bad"), ip6("2001:db8:1::900d"));
        let has = |observed: &Observed, address: Ipv6Addr| {
            addresses_in(observed, FIBER, FIBER_PREFIX).contains(&address.into())
        };
        let now = kernel::look(&agent.numbering, &[name(FIBER)].into());
        let now = now.expect("the kernel's answer");
        assert!(!has(&now, taken) && !has(&now, free), "both are tentative");
        agent.observed(|observed| has(observed, free)).await;
        assert!(!has(&agent.observed, taken));
        assert!(froms(&agent.desired(FIBER)).contains(&IpAddr::V6(free).into()));
        assert!(!froms(&agent.desired(FIBER)).contains(&IpAddr::V6(taken).into()));
    });
}

#[test]
fn a_prefix_that_is_delegated_is_learnt_from_the_default_route_for_it() {
    netns::run(async |world| {
        world.speak_ipv6();
        two_uplinks(&world).await;
        let delegated = net6("2001:db8:1000::/48");
        world
            .add_default6(FIBER, ip6("fe80::1"), Some(delegated))
            .await;
        let mut agent = Agent::start().await;
        let attachment = agent.attachment(FIBER, 0);
        assert_eq!(attachment.prefixes, [IpNet::V6(delegated)].into());
        assert_eq!(way6(&attachment), Some(ip6("fe80::1").into()));
        assert_eq!(agent.carry(FIBER).await, []);
        assert_eq!(froms(&agent.desired(FIBER)), [IpNet::V6(delegated)]);
        assert_eq!(agent.outstanding(FIBER), []);
    });
}

#[test]
fn ipv6_routes_of_every_shape_replace_each_other_and_read_back_as_written() {
    netns::run(async |world| {
        two_dual_uplinks(&world).await;
        let mut agent = Agent::start().await;
        let base = agent.desired(FIBER);
        let path =
            |uplink, position| agent.attachment(uplink, position).paths[&Family::Ipv6].clone();
        let (fiber, lte) = (path(FIBER, 0), path(LTE, 1));
        let direct = Path {
            gateway: None,
            ..lte.clone()
        };
        let heavy = Path {
            weight: Weight(3),
            ..fiber.clone()
        };
        let far_off = Path {
            gateway: Some(ip6("2001:db8:77::1").into()),
            onlink: true,
            ..lte.clone()
        };
        let shapes = [
            vec![fiber.clone()],
            vec![direct.clone()],
            vec![heavy, lte.clone()],
            vec![lte.clone()],
            vec![fiber, lte],
            vec![direct],
            vec![far_off],
        ];
        let table = TableId(agent.numbering.table.0 + 9);
        let before = world.of_protocol(117).await.len();
        assert_eq!(before, 0);
        for mut paths in shapes {
            let options = RouteOptions::common(paths.iter().map(Path::options));
            for path in &mut paths {
                path.options = None;
            }
            let mut desired = base.clone();
            desired.routes.insert(Route {
                table,
                destination: Family::Ipv6.default_destination(),
                metric: Metric(0),
                paths: paths.clone(),
                group: None,
                options,
            });
            agent.want(desired.clone());
            assert_eq!(agent.applied().await, [], "{paths:?}");
            let in_table = agent.observed.routes.iter();
            let in_table = in_table.filter(|route| route.table == table).count();
            assert_eq!(in_table, 1, "{paths:?}");
            assert_eq!(agent.outstanding_of(desired), [], "{paths:?}");
        }
    });
}

#[test]
fn an_interface_without_ipv6_keeps_ipv4_going_and_is_tried_again_when_it_has_it() {
    netns::run(async |world| {
        world.speak_ipv6();
        two_uplinks(&world).await;
        sysctl(&format!("ipv6/conf/{FIBER}/disable_ipv6"), "1");
        let hints = Hints {
            gateway6: Gateway::Address(ip6("fe80::1").into()),
            prefixes: Prefixes::Listed(vec![net6("2001:db8:1000::/48")]),
            ..Hints::default()
        };
        let uplinks = [(FIBER, hints.clone()), (LTE, hints)];
        let mut agent =
            Agent::start_with(KernelAccess::Write, Numbering::default(), &uplinks).await;
        let refused = agent.carry(FIBER).await;
        let operations: Vec<_> = refused.iter().map(|one| &one.operation).collect();
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert!(
            operations.iter().all(|line| line.starts_with("ip -6 ")),
            "{operations:?}"
        );
        assert!(refused.iter().all(|one| !one.is_permanent), "{refused:?}");
        let base = agent.numbering.table.0;
        assert_eq!(world.default_in(base).await, Some(ip("10.1.0.1").into()));
        sysctl(&format!("ipv6/conf/{FIBER}/disable_ipv6"), "0");
        assert_eq!(agent.applied().await, []);
        assert_eq!(world.default6_in(base).await, Some(ip6("fe80::1").into()));
    });
}
