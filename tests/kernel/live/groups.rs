//! Groups of traffic, routed by rules alone.
#![expect(clippy::disallowed_methods, reason = "figures")]
#![expect(clippy::print_stderr, reason = "figures")]

use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;

use super::balance::carrying;
use super::netns;
use super::*;
use uplinkd::routing::Gateway;
use uplinkd::routing::traffic::{Marks, Ports, Selector};
use uplinkd::units::{IpProtocol, Mark};

const UDP: u8 = 17;

fn to_ports(first: u16, last: u16) -> Selector {
    Selector {
        protocol: Some(IpProtocol(UDP)),
        dport: Some(Ports { first, last }),
        ..Selector::default()
    }
}

/// By which of our addresses a flow to this port leaves.
pub(super) fn way_to(port: u16) -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.connect(("192.0.2.80", port)).expect("a route");
    socket.local_addr().expect("an address").ip()
}

/// Routes of two groups, of every kind.
fn some_rules() -> [(u32, Selector); 5] {
    let any = Selector::default;
    let from = vec![IpNet::from(IpAddr::from(ip("10.9.0.20")))];
    let to = vec!["198.51.100.0/24".parse().expect("a prefix")];
    let fwmark = Some(Marks {
        mark: Mark(0x10),
        mask: Mark(0xf0),
    });
    [
        (0, Selector { from, ..any() }),
        (0, to_ports(5060, 5060)),
        (1, to_ports(5000, 5100)),
        (0, Selector { fwmark, ..any() }),
        (0, Selector { to, ..any() }),
    ]
}

#[test]
fn traffic_goes_where_its_group_goes_by_source_port_and_mark_and_the_first_rule_counts() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        world.wire("lan").await;
        world.add_address("lan", net("10.9.0.20/24")).await;
        let before = world.everything().await;
        let mut agent = Agent::start().await;
        let rules = some_rules();
        let traffic = |groups: [usize; 2]| {
            let rules = rules
                .iter()
                .map(|(group, selector)| (*group, selector))
                .collect();
            move |attachments: &[Attachment]| TrafficRoutes {
                refused: [].into(),
                default_group: carrying(attachments, &[(0, 1)]),
                groups: groups
                    .map(|place| carrying(attachments, &[(place, 1)]))
                    .into(),
                rules,
                refusing: [].into(),
                remembered: [].into(),
            }
        };
        agent.want(agent.desired_with(traffic([1, 0])));
        assert_eq!(agent.applied().await, []);
        let (fiber, lte) = (IpAddr::from(ip("10.1.0.2")), IpAddr::from(ip("10.2.0.2")));
        assert_eq!([5060, 5061, 9].map(way_to), [lte, fiber, fiber]);
        let way = async |packet| world.way_of(packet).await.expect("a route").0;
        let from_phone = Packet {
            from: Some(ip("10.9.0.20")),
            ..Packet::ANY
        };
        let marked = Packet {
            mark: Some(0x1f),
            ..Packet::ANY
        };
        let there = Packet {
            to: ip("198.51.100.7"),
            ..Packet::ANY
        };
        assert_eq!(way(Packet::ANY).await, FIBER);
        assert_eq!(way(from_phone).await, LTE);
        assert_eq!(way(marked).await, LTE);
        assert_eq!(way(there).await, LTE);
        // Its own LAN is nearer than any group.
        assert_eq!(
            way(Packet {
                to: ip("10.9.0.9"),
                ..from_phone
            })
            .await,
            "lan"
        );
        agent.want(agent.desired_with(traffic([0, 1])));
        assert_eq!(agent.applied().await, []);
        assert_eq!([5060, 5061, 9].map(way_to), [fiber, lte, fiber]);
        assert_eq!(way(from_phone).await, FIBER);
        let same = agent.desired_with(traffic([0, 1]));
        assert_eq!(agent.outstanding_of(same), []);
        agent.want(Desired::default());
        assert_eq!(agent.applied().await, []);
        assert_eq!(world.everything().await, before);
    });
}

#[test]
fn the_traffic_of_a_refusing_group_without_a_path_gets_an_unreachable_and_all_other_goes_on() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let before = world.everything().await;
        let mut agent = Agent::start().await;
        let port = to_ports(5060, 5060);
        let traffic = |own: Option<usize>| {
            let rules = vec![(0, &port)];
            move |attachments: &[Attachment]| TrafficRoutes {
                refused: [].into(),
                default_group: carrying(attachments, &[(0, 1)]),
                groups: vec![
                    own.map_or_else(Carrying::new, |own| carrying(attachments, &[(own, 1)])),
                ],
                rules,
                refusing: [0].into(),
                remembered: [].into(),
            }
        };
        let refused = || {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            let sent = socket.connect(("192.0.2.80", 5060));
            sent.expect_err("refused").raw_os_error()
        };
        let (fiber, lte) = (IpAddr::from(ip("10.1.0.2")), IpAddr::from(ip("10.2.0.2")));
        agent.want(agent.desired_with(traffic(Some(1))));
        assert_eq!(agent.applied().await, []);
        assert_eq!([5060, 9].map(way_to), [lte, fiber]);
        agent.want(agent.desired_with(traffic(None)));
        assert_eq!(agent.applied().await, []);
        assert_eq!(refused(), Some(libc::EHOSTUNREACH));
        assert_eq!(way_to(9), fiber);
        // The kernel holds what was asked for, so that nothing is written again.
        let same = agent.desired_with(traffic(None));
        assert_eq!(agent.outstanding_of(same), []);
        agent.want(agent.desired_with(traffic(Some(1))));
        assert_eq!(agent.applied().await, []);
        assert_eq!([5060, 9].map(way_to), [lte, fiber]);
        agent.want(Desired::default());
        assert_eq!(agent.applied().await, []);
        assert_eq!(world.everything().await, before);
    });
}

#[test]
fn a_switch_of_sixty_four_groups_replaces_their_default_routes_and_nothing_else() {
    netns::run(async |world| {
        let names: Vec<_> = (0..64_u8).map(|place| format!("wan{place}")).collect();
        for (place, name) in (0..).zip(&names) {
            world.wire(name).await;
            let own = Ipv4Addr::new(10, 1, place, 2);
            let own = Ipv4Net::new(own, 24).expect("a prefix");
            world.add_address(name, own).await;
        }
        let hints = |place: u8| Hints {
            gateway: Gateway::Address(Ipv4Addr::new(10, 1, place, 1).into()),
            ..Hints::default()
        };
        let uplinks = (0..).zip(&names);
        let uplinks: Vec<_> = uplinks
            .map(|(place, name)| (name.as_str(), hints(place)))
            .collect();
        let mut agent =
            Agent::start_with(KernelAccess::Write, Numbering::default(), &uplinks).await;
        let selectors: Vec<_> = (1..=256).map(|number| to_ports(number, number)).collect();
        let traffic = |offset: usize| {
            let rules = (0..).zip(&selectors);
            let rules = rules
                .map(|(place, selector)| (place % 64, selector))
                .collect();
            move |attachments: &[Attachment]| TrafficRoutes {
                refused: [].into(),
                default_group: carrying(attachments, &[(offset, 1)]),
                groups: (0..64)
                    .map(|group| carrying(attachments, &[((group + offset) % 64, 1)]))
                    .collect(),
                rules,
                refusing: [].into(),
                remembered: [].into(),
            }
        };
        let all = [0, 1].map(|offset| agent.desired_with(traffic(offset)));
        let (routes, rules) = (all[0].routes.len(), all[0].rules.len());
        let start = Instant::now();
        agent.want(all[0].clone());
        assert_eq!(agent.applied().await, []);
        let whole = start.elapsed();
        let replaced = agent.outstanding_of(all[1].clone());
        let mut switches = Vec::new();
        for turn in 1..=20 {
            let start = Instant::now();
            agent.want(all[turn % 2].clone());
            assert_eq!(agent.applied().await, []);
            switches.push(start.elapsed());
        }
        switches.sort_unstable();
        eprintln!(
            "64 uplinks, 64 groups, 256 rules: {routes} routes and {rules} rules in {whole:?}; a \
             switch of all groups in {:?}, the slowest {:?}, read back",
            switches[switches.len() / 2],
            switches[switches.len() - 1],
        );
        assert_eq!(replaced.len(), 65, "{replaced:?}");
        assert!(
            replaced
                .iter()
                .all(|operation| format!("{operation:?}").starts_with("ReplaceRoute")),
            "{replaced:?}"
        );
    });
}
