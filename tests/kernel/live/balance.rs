//! Shared traffic: which flows move when an uplink leaves or joins, and that none is without a route
//! meanwhile.
#![expect(clippy::print_stderr, reason = "figures")]

use std::net::IpAddr;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr as NetlinkAddress};

use super::netns::{self, World, sysctl};
use super::*;
use crate::extent::extent;
use uplinkd::routing::Gateway;
use uplinkd::routing::nexthop::NextHop;
use uplinkd::units::NextHopId;

const NAMES: [&str; 3] = ["one", "two", "three"];

/// Three uplinks with both families, and an agent that knows their next hops.
async fn three_uplinks(world: &World) -> Agent {
    world.speak_ipv6();
    lan(world).await;
    for (place, uplink) in (1..).zip(NAMES) {
        world.wire(uplink).await;
        let own = Ipv4Net::new(Ipv4Addr::new(10, place, 0, 2), 24).expect("a prefix");
        world.add_address(uplink, own).await;
        let own = format!("2001:db8:{place}::2/64").parse().expect("a prefix");
        world.take_address6(uplink, own).await;
    }
    another_agent().await
}

/// An agent for the uplinks that are there.
async fn another_agent() -> Agent {
    let hints = |place: u8| Hints {
        gateway: Gateway::Address(Ipv4Addr::new(10, place, 0, 1).into()),
        gateway6: Gateway::Address(format!("2001:db8:{place}::1").parse().expect("an address")),
        ..Hints::default()
    };
    let uplinks = (1..).zip(NAMES).map(|(place, name)| (name, hints(place)));
    let uplinks: Vec<_> = uplinks.collect();
    let mut agent = Agent::start_with(KernelAccess::Write, Numbering::default(), &uplinks).await;
    let has_all = |observed: &Observed| {
        let links = NAMES
            .iter()
            .filter_map(|uplink| observed.link(&name(uplink)));
        { links }.all(|link| link.addresses.len() >= 2 && link.has_carrier)
    };
    if !has_all(&agent.observed) {
        agent.observed(has_all).await;
    }
    agent
}

/// The desired state in which these share all traffic, each with its weight.
fn shared(agent: &Agent, members: &[(usize, u8)]) -> Desired {
    agent.desired_with(|attachments| TrafficRoutes::from(carrying(attachments, members)))
}

pub(super) fn carrying(attachments: &[Attachment], members: &[(usize, u8)]) -> Carrying {
    let families = Family::ROUTED.into_iter().filter_map(|family| {
        let paths = members.iter().filter_map(|(place, weight)| {
            let path = attachments[*place].paths.get(&family)?.clone();
            let weight = Weight(*weight);
            Some(Path { weight, ..path })
        });
        let paths: Vec<_> = paths.collect();
        (!paths.is_empty()).then_some((family, paths))
    });
    families.collect()
}

/// A LAN whose hosts' flows are forwarded.
async fn lan(world: &World) {
    sysctl("ipv4/ip_forward", "1");
    world.wire("lan").await;
    world.add_address("lan", net("10.9.0.1/24")).await;
    let own = "2001:db8:9::1/64".parse().expect("a prefix");
    world.take_address6("lan", own).await;
}

/// By which interface a flow of a LAN host to each of these hosts leaves.
async fn ways(world: &World, hosts: &[IpAddr]) -> Vec<u32> {
    let from = if hosts[0].is_ipv4() {
        "10.9.0.7"
    } else {
        "2001:db8:9::7"
    };
    let from = from.parse().expect("an address");
    world.forwarded("lan", from, hosts).await
}

/// The same of flows that go on: each bucket they hash to is in use. The kernel moves unused buckets in its
/// own time, and a bucket's first packet may come just then.
async fn lasting_ways(world: &World, hosts: &[IpAddr]) -> Vec<u32> {
    ways(world, hosts).await;
    ways(world, hosts).await
}

fn hosts(count: u16) -> [Vec<IpAddr>; 2] {
    let v4 = (0..count).map(|n| Ipv4Addr::from(0xc612_0000 + u32::from(n)).into());
    let v6 = (0..count).map(|n| format!("2001:db8:ffff::{n:x}").parse().expect("an address"));
    [v4.collect(), v6.collect()]
}

fn three() -> u32 {
    nix::net::if_::if_nametoindex("three").expect("the interface")
}

/// The share of flows that leave by an interface.
fn share(ways: &[u32], index: u32) -> f64 {
    let own = ways.iter().filter(|way| **way == index).count();
    number(own) / number(ways.len())
}

fn number(count: usize) -> f64 {
    u32::try_from(count).expect("a small number").into()
}

/// How many flows that did not leave by an interface go elsewhere now.
fn moved(before: &[u32], after: &[u32], index: u32) -> usize {
    let both = before.iter().zip(after);
    both.filter(|(before, after)| **before != index && before != after)
        .count()
}

const EVEN: [(usize, u8); 3] = [(0, 1), (1, 1), (2, 1)];

#[test]
fn when_one_of_three_leaves_or_joins_no_flow_of_the_other_two_moves() {
    netns::run(async |world| {
        let mut agent = three_uplinks(&world).await;
        assert!(
            kernel::has_resilient_groups().expect("an answer"),
            "this kernel is too old"
        );
        for hosts in hosts(3_000) {
            agent.want(shared(&agent, &EVEN));
            assert_eq!(agent.applied().await, []);
            let before = lasting_ways(&world, &hosts).await;
            for uplink in NAMES {
                let index = nix::net::if_::if_nametoindex(uplink).expect("the interface");
                let share = share(&before, index);
                assert!((0.28..0.39).contains(&share), "{uplink} has {share}");
            }
            agent.want(shared(&agent, &EVEN[..2]));
            assert_eq!(agent.applied().await, []);
            let without = lasting_ways(&world, &hosts).await;
            assert_eq!(moved(&before, &without, three()), 0, "when it leaves");
            assert_eq!(share(&without, three()).to_bits(), 0.0_f64.to_bits());
            agent.want(shared(&agent, &EVEN));
            assert_eq!(agent.applied().await, []);
            let again = ways(&world, &hosts).await;
            assert_eq!(moved(&without, &again, three()), 0, "when it joins");
        }
        assert!(agent.put_back.is_empty());
    });
}

#[test]
fn a_member_that_loses_its_carrier_takes_its_own_flows_along_and_no_others() {
    netns::run(async |world| {
        let mut agent = three_uplinks(&world).await;
        agent.want(shared(&agent, &EVEN));
        assert_eq!(agent.applied().await, []);
        let [hosts, _] = hosts(2_000);
        let before = ways(&world, &hosts).await;
        world.set_carrier("three", false).await;
        let lost = |observed: &Observed| {
            let link = observed.link(&name("three"));
            link.is_some_and(|link| !link.has_carrier)
        };
        agent.observed(lost).await;
        agent.want(shared(&agent, &EVEN[..2]));
        assert_eq!(agent.applied().await, []);
        let after = ways(&world, &hosts).await;
        assert_eq!(moved(&before, &after, three()), 0);
        assert_eq!(share(&after, three()).to_bits(), 0.0_f64.to_bits());
        // The last but one goes the same way: a plain route is left.
        agent.want(shared(&agent, &EVEN[..1]));
        assert_eq!(agent.applied().await, []);
        assert!(agent.observed.nexthops.is_empty());
    });
}

#[test]
fn with_plain_multipath_some_flows_of_the_others_move() {
    netns::run(async |world| {
        let mut agent = three_uplinks(&world).await;
        for hosts in hosts(3_000) {
            agent.want(shared(&agent, &EVEN).flattened());
            assert_eq!(agent.applied().await, []);
            assert!(agent.observed.nexthops.is_empty());
            let before = ways(&world, &hosts).await;
            agent.want(shared(&agent, &EVEN[..2]).flattened());
            assert_eq!(agent.applied().await, []);
            let after = ways(&world, &hosts).await;
            let others = number(before.len()) * (1.0 - share(&before, three()));
            let moved = number(moved(&before, &after, three())) / others;
            eprintln!(
                "plain multipath: {:.1} % of the flows of the others moved",
                moved * 100.0
            );
            assert!((0.05..0.6).contains(&moved), "{moved}");
        }
    });
}

#[test]
fn the_traffic_is_shared_by_weight() {
    netns::run(async |world| {
        let mut agent = three_uplinks(&world).await;
        let weighted = [(0, 1), (1, 1), (2, 2)];
        for plain in [false, true] {
            let desired = shared(&agent, &weighted);
            agent.want(if plain { desired.flattened() } else { desired });
            assert_eq!(agent.applied().await, []);
            for hosts in hosts(4_000) {
                let share = share(&ways(&world, &hosts).await, three());
                assert!((0.45..0.55).contains(&share), "plain: {plain}, {share}");
            }
        }
    });
}

#[test]
fn a_second_run_finds_all_as_it_should_be_and_a_clean_up_leaves_nothing() {
    netns::run(async |world| {
        let mut agent = three_uplinks(&world).await;
        let before = world.everything().await;
        agent.want(shared(&agent, &EVEN));
        assert_eq!(agent.applied().await, []);
        let groups = agent.observed.nexthops.values();
        let groups = groups
            .filter(|hop| matches!(hop, NextHop::Group(_)))
            .count();
        assert_eq!((agent.observed.nexthops.len(), groups), (8, 2));
        drop(agent);
        let mut next = another_agent().await;
        assert_eq!(next.outstanding_of(shared(&next, &EVEN)), []);
        next.want(Desired::default());
        assert_eq!(next.applied().await, []);
        assert!(next.observed.nexthops.is_empty());
        assert_eq!(world.everything().await, before);
    });
}

/// Another program makes an object of its own, in place of what has this number.
fn take_number(id: NextHopId, index: u32) {
    const RTM_NEWNEXTHOP: u16 = 104;
    const FLAGS: u16 = 0x505; // Request, acknowledge, replace, create.
    const ID: u16 = 1;
    const OIF: u16 = 5;
    let mut message = Vec::new();
    for (kind, value) in [(ID, id.0), (OIF, index)] {
        message.extend(8_u16.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(value.to_ne_bytes());
    }
    let [family, scope, protocol] = [2, 0, 11];
    let header = [family, scope, protocol, 0, 0, 0, 0, 0];
    let length = u32::try_from(16 + header.len() + message.len()).expect("it is short");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(RTM_NEWNEXTHOP.to_ne_bytes());
    bytes.extend(FLAGS.to_ne_bytes());
    bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(header);
    bytes.extend(message);
    let mut socket = Socket::new(NETLINK_ROUTE).expect("a socket");
    socket.bind_auto().expect("an address");
    socket
        .send_to(&bytes, &NetlinkAddress::new(0, 0), 0)
        .expect("sent");
    let (answer, _) = socket.recv_from_full().expect("an answer");
    assert_eq!(answer[16..20], [0; 4], "the kernel refuses it");
}

#[test]
fn objects_of_another_program_keep_their_numbers_and_ours_take_others_and_the_traffic_is_shared_on()
{
    netns::run(async |world| {
        let mut agent = three_uplinks(&world).await;
        let index = three();
        let first = agent.numbering.nexthop;
        take_number(first, index);
        take_number(NextHopId(first.0 + 256), index);
        agent.want(shared(&agent, &EVEN));
        assert_eq!(agent.applied().await, []);
        assert_eq!(agent.observed.nexthops.len(), 8);
        let [hosts, _] = hosts(600);
        let before = ways(&world, &hosts).await;
        // A path of ours, while it is in use.
        let is_path = |hop: &NextHop| {
            matches!(
                hop,
                NextHop::Path {
                    family: Family::Ipv4,
                    ..
                }
            )
        };
        let held = &agent.observed.nexthops;
        let path = held.iter().find(|(_, hop)| is_path(hop));
        let taken = *path.expect("a path").0;
        take_number(taken, index);
        let is_whole = |observed: &Observed| {
            observed.nexthops.len() == 8 && !observed.nexthops.contains_key(&taken)
        };
        agent.observed(is_whole).await;
        let after = ways(&world, &hosts).await;
        assert!(
            share(&after, three()) < 0.5,
            "the flows of the path that was taken come back"
        );
        assert_eq!(before.len(), after.len());
        agent.want(Desired::default());
        assert_eq!(agent.applied().await, []);
        assert!(agent.observed.nexthops.is_empty());
        assert_eq!(agent.observed.taken_nexthops.len(), 3, "theirs stay");
    });
}

#[test]
fn no_lookup_fails_in_either_family_while_thousands_of_switches_go_from_one_to_several_and_back() {
    netns::run(async |world| {
        let mut agent = three_uplinks(&world).await;
        let shapes: [&[(usize, u8)]; 5] = [&EVEN, &EVEN[..1], &EVEN[1..], &EVEN[2..], &EVEN[..2]];
        agent.want(shared(&agent, &EVEN));
        assert_eq!(agent.applied().await, []);
        sysctl("ipv4/fib_multipath_hash_policy", "1");
        let ends = Arc::new(AtomicBool::new(false));
        let lookups = ["192.0.2.1:9", "[2001:db8:ffff::1]:9"].map(|to| {
            let ends = ends.clone();
            std::thread::spawn(move || look_up_until(&ends, to))
        });
        let desired = shapes.map(|members| shared(&agent, members));
        let switches = extent(2_500, 10_000);
        for switch in 0..switches {
            let desired = &desired[switch % desired.len()];
            // Half of them as a kernel without nexthop groups has them.
            let is_plain = (switch / desired.routes.len()) % 2 == 1;
            agent.want(if is_plain {
                desired.flattened()
            } else {
                desired.clone()
            });
            let refused = agent.applied().await;
            assert_eq!(refused, [], "switch {switch}");
        }
        ends.store(true, Ordering::Relaxed);
        for lookups in lookups {
            let (looked_up, failed) = lookups.join().expect("the lookups end");
            eprintln!("{switches} switches: {failed} of {looked_up} lookups without a route");
            super::assert_no_gap((looked_up, failed), 2_000);
        }
    });
}

fn look_up_until(end: &AtomicBool, to: &str) -> (u64, u64) {
    let (mut looked_up, mut failed) = (0, 0);
    let any = if to.starts_with('[') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    while !end.load(Ordering::Relaxed) {
        let socket = UdpSocket::bind(any).expect("a socket");
        looked_up += 1;
        if let Err(error) = socket.connect(to) {
            eprintln!("{to}: {error}");
            failed += 1;
        }
    }
    (looked_up, failed)
}
