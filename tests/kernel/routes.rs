//! Routing decisions: golden plans as `ip` lines, and properties that hold from any state.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;
use uplinkd::routing::attach::attach;
use uplinkd::routing::desired::{
    Carrying, MAIN, TrafficRoutes, UplinkRoutes, desired as desired_of,
};
use uplinkd::routing::nexthop::{NextHop, leads_alike};
use uplinkd::routing::plan::{Operation, plan};
use uplinkd::routing::traffic::{Marks, Ports, Selector};
use uplinkd::routing::{
    Attachment, DeadEnd, Desired, Family, Gateway, Hints, LearnedDefault, Link, LinkAddress,
    Numbering, Observed, Path, Preference, Prefixes, Route, RouteOptions, RoutingMode, Rule,
    Trouble,
};
use uplinkd::units::sorted::{SortedMap, SortedSet};
use uplinkd::units::{
    IfIndex, InterfaceName, IpProtocol, Mark, Metric, NextHopId, Protocol, RulePriority, TableId,
    Weight,
};

fn index(number: u32) -> IfIndex {
    IfIndex::new(number).expect("not 0")
}

fn name(text: &str) -> InterfaceName {
    text.parse().expect("a name")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

/// A working interface with this address.
fn link(number: u32, called: &str, address: &str) -> Link {
    Link {
        index: index(number),
        name: name(called),
        is_up: true,
        has_carrier: true,
        is_point_to_point: false,
        addresses: vec![net(address).into()],
        tentative: [].into(),
        peers: Vec::new(),
        connected: Vec::new(),
        defaults: Vec::new(),
    }
}

fn default(via: Option<&str>, metric: u32) -> LearnedDefault {
    let via = via.map(ip);
    LearnedDefault {
        family: via.map_or(Family::Ipv4, Family::of),
        metric: Metric(metric),
        preference: Preference::Medium,
        gateway: via,
        onlink: false,
        source: None,
        options: RouteOptions::default(),
    }
}

fn fiber() -> Link {
    Link {
        defaults: vec![default(Some("192.0.2.1"), 100)],
        ..link(2, "eth1", "192.0.2.2/24")
    }
}

/// Raw-ip LTE: one far end, no next hop.
fn lte() -> Link {
    Link {
        is_point_to_point: true,
        defaults: vec![default(None, 700)],
        ..link(3, "wwan0", "100.64.0.9/32")
    }
}

fn path(number: u32, via: &str) -> Path {
    Path {
        index: index(number),
        gateway: Some(ip(via)),
        onlink: false,
        weight: Weight(1),
        options: None,
    }
}

/// The next hop is configured.
fn by_hand(gateway: &str) -> Hints {
    let address = ip(gateway);
    let (gateway, gateway6) = match Family::of(address) {
        Family::Ipv4 => (Gateway::Address(address), Gateway::Auto),
        Family::Ipv6 => (Gateway::Auto, Gateway::Address(address)),
    };
    Hints {
        gateway,
        gateway6,
        ..Hints::default()
    }
}

fn attached(link: &Link) -> Attachment {
    attach(Some(link), &Hints::default(), &SortedMap::new())
}

/// Table mode for these uplinks, of which the one at `carrying` is active.
fn desired(links: &[Link], carrying: usize) -> Desired {
    desired_in(RoutingMode::Table, links, Some(carrying))
}

/// The same in any mode, with an active uplink or none.
fn desired_in(mode: RoutingMode, links: &[Link], carrying: Option<usize>) -> Desired {
    let attachments: Vec<Attachment> = links.iter().map(attached).collect();
    let uplinks: Vec<UplinkRoutes<'_>> = (0..)
        .zip(links)
        .zip(&attachments)
        .map(|((position, link), attachment)| UplinkRoutes {
            position,
            interface: &link.name,
            attachment,
        })
        .collect();
    let carrying = carrying.and_then(|place| attachments.get(place));
    let carrying = carrying.map(|uplink| uplink.paths.clone());
    let carrying: Carrying = carrying
        .unwrap_or_default()
        .into_iter()
        .map(|(family, path)| (family, vec![path]))
        .collect();
    let numbering = Numbering {
        mode,
        ..Numbering::default()
    };
    desired_of(&numbering, &uplinks, &TrafficRoutes::from(carrying))
}

/// A kernel that holds exactly what is desired.
fn holding(desired: &Desired, links: &[Link]) -> Observed {
    Observed {
        links: links
            .iter()
            .map(|link| (link.index, link.clone()))
            .collect(),
        routes: desired.routes.iter().cloned().collect(),
        rules: desired.rules.iter().cloned().collect(),
        odd_rules: Vec::new(),
        dead_ends: Vec::new(),
        nexthops: desired.nexthops.clone(),
        taken_nexthops: SortedSet::new(),
    }
}

fn lines(desired: &Desired, observed: &Observed) -> Vec<String> {
    plan(desired, observed)
        .iter()
        .map(|operation| {
            operation
                .line(&observed.links, Numbering::default().protocol)
                .to_string()
        })
        .collect()
}

#[test]
fn a_flow_that_is_remembered_goes_by_its_uplink_before_addresses_and_groups_are_looked_at() {
    let links = [fiber(), lte()];
    let held = holding(&desired(&links, 0), &links);
    let attachments = links.each_ref().map(attached);
    let uplinks: Vec<_> = (0..)
        .zip(attachments.iter().zip(&links))
        .map(|(position, (attachment, link))| UplinkRoutes {
            position,
            interface: &link.name,
            attachment,
        })
        .collect();
    let by_fiber = vec![attachments[0].paths[&Family::Ipv4].clone()];
    let with = |mask| {
        let numbering = Numbering {
            flow_mask: mask,
            ..Numbering::default()
        };
        let traffic = TrafficRoutes {
            refused: [].into(),
            remembered: [(1, Family::Ipv4), (0, Family::Ipv6)].into(),
            ..TrafficRoutes::from(Carrying::from([(Family::Ipv4, by_fiber.clone())]))
        };
        lines(&desired_of(&numbering, &uplinks, &traffic), &held)
    };
    assert_eq!(
        with(Some(Mark(0xff00_0000))),
        ["ip rule add pref 32004 fwmark 0x2000000/0xff000000 lookup 11702 protocol 117"]
    );
    assert_eq!(
        with(Some(Mark(0x30))),
        ["ip rule add pref 32004 fwmark 0x20/0x30 lookup 11702 protocol 117"]
    );
    assert_eq!(with(None), [""; 0]);
}

#[test]
fn the_first_plan_puts_routes_before_the_rules_that_lead_to_them() {
    let links = [fiber(), lte()];
    let nothing = holding(&Desired::default(), &links);
    assert_eq!(
        lines(&desired(&links, 0), &nothing),
        [
            "ip route replace default via 192.0.2.1 dev eth1 proto 117 table 11700",
            "ip route replace default via 192.0.2.1 dev eth1 proto 117 table 11701",
            "ip route replace default dev wwan0 proto 117 table 11702",
            "ip rule add pref 32002 lookup main suppress_prefixlength 0 protocol 117",
            "ip rule add pref 32003 fwmark 0x75700000 lookup 11701 protocol 117",
            "ip rule add pref 32003 fwmark 0x75700001 lookup 11702 protocol 117",
            "ip rule add pref 32005 from 100.64.0.9 lookup 11702 protocol 117",
            "ip rule add pref 32005 from 192.0.2.2 lookup 11701 protocol 117",
            "ip rule add pref 32006 oif eth1 lookup 11701 protocol 117",
            "ip rule add pref 32006 oif wwan0 lookup 11702 protocol 117",
            "ip rule add pref 32765 lookup 11700 protocol 117",
        ]
    );
}

#[test]
fn in_main_mode_the_active_default_precedes_those_of_others_and_the_uplinks_follow() {
    let links = [fiber(), lte()];
    let nothing = holding(&Desired::default(), &links);
    let in_main = |carrying| desired_in(RoutingMode::Main, &links, carrying);
    let behind = [
        "ip route add default via 192.0.2.1 dev eth1 proto 117 table main metric 1000060",
        "ip route add default dev wwan0 proto 117 table main metric 1000061",
    ];
    assert_eq!(lines(&in_main(None), &nothing), behind);
    let carrier = "ip route add default via 192.0.2.1 dev eth1 proto 117 table main metric 60";
    let [first, second] = behind;
    assert_eq!(lines(&in_main(Some(0)), &nothing), [carrier, first, second]);
    assert_eq!(
        lines(&in_main(Some(1)), &holding(&in_main(Some(0)), &links)),
        ["ip route replace default dev wwan0 proto 117 table main metric 60"]
    );
}

#[test]
fn in_main_mode_both_families_have_routes_and_none_a_rule() {
    let links = [dual_fiber(), dual_lte()];
    let desired = desired_in(RoutingMode::Main, &links, Some(0));
    let nothing = holding(&Desired::default(), &links);
    let planned = lines(&desired, &nothing);
    let of_ipv6: Vec<_> = planned
        .iter()
        .filter_map(|line| line.strip_prefix("ip -6 route add default via "))
        .collect();
    assert_eq!(
        of_ipv6,
        [
            "fe80::1 dev eth1 proto 117 table main metric 60",
            "fe80::1 dev eth1 proto 117 table main metric 1000060",
            "2001:db8:2::1 dev wwan0 proto 117 table main metric 1000061",
        ]
    );
    assert_eq!(desired.routes.len(), 6);
    assert_eq!(desired.rules, SortedSet::new());
}

#[test]
fn in_main_mode_a_default_route_with_a_lower_metric_is_reported_as_a_rival() {
    let rival = |mode, metric| {
        let with_metric = Link {
            defaults: vec![default(Some("192.0.2.1"), metric)],
            ..fiber()
        };
        let observed = holding(&Desired::default(), &[with_metric, lte()]);
        let numbering = Numbering {
            mode,
            ..Numbering::default()
        };
        observed.rival(&numbering).cloned()
    };
    assert_eq!(rival(RoutingMode::Main, 59), Some(name("eth1")));
    assert_eq!(rival(RoutingMode::Main, 61), None);
    assert_eq!(rival(RoutingMode::Table, 0), None);
}

#[test]
fn a_change_of_mode_adds_the_new_routes_before_it_deletes_the_old() {
    let links = [fiber()];
    let of = |mode| desired_in(mode, &links, Some(0));
    for (from, to) in [
        (RoutingMode::Table, RoutingMode::Main),
        (RoutingMode::Main, RoutingMode::Table),
    ] {
        let planned = lines(&of(to), &holding(&of(from), &links));
        let is_loss = |line: &String| line.contains(" del ");
        let first_loss = planned.iter().position(is_loss).expect("what was goes");
        let (gains, losses) = planned.split_at(first_loss);
        assert_eq!(gains.len(), of(to).routes.len() + of(to).rules.len());
        assert!(losses.iter().all(is_loss), "{planned:?}");
        assert_eq!(losses.len(), of(from).routes.len() + of(from).rules.len());
    }
}

#[test]
fn own_paths_are_found_in_the_tables_of_the_mode() {
    let links = [dual_fiber(), dual_lte()];
    for mode in [RoutingMode::Table, RoutingMode::Main] {
        let observed = holding(&desired_in(mode, &links, Some(1)), &links);
        let numbering = Numbering {
            mode,
            ..Numbering::default()
        };
        let own = |place| observed.own_paths(place);
        assert_eq!(own(numbering.carrier_place()), attached(&links[1]).paths);
        assert_eq!(own(numbering.uplink_place(0)), attached(&links[0]).paths);
        assert_eq!(own(numbering.uplink_place(2)), SortedMap::new());
        for mode in [RoutingMode::Table, RoutingMode::Main] {
            let numbering = Numbering { mode, ..numbering };
            let held = |place, number| observed.held_paths(&numbering, place, index(number));
            assert_eq!(held(0, 2), attached(&links[0]).paths);
            assert_eq!(held(1, 3), attached(&links[1]).paths);
            assert_eq!(held(0, 9), SortedMap::new());
        }
    }
}

/// A fiber with both families: a router that advertised itself, an address of its prefix.
fn dual_fiber() -> Link {
    let mut link = fiber();
    link.addresses.push(net("fe80::2/64").into());
    link.addresses.push(net("2001:db8:1::2/64").into());
    link.defaults.push(default(Some("fe80::1"), 1024));
    link
}

/// LTE with both families, its IPv6 next hop from DHCPv6.
fn dual_lte() -> Link {
    let mut link = lte();
    link.addresses.push(net("2001:db8:2::9/64").into());
    link.defaults.push(default(Some("2001:db8:2::1"), 512));
    link
}

#[test]
fn both_families_get_the_same_plan() {
    let links = [dual_fiber(), dual_lte()];
    let nothing = holding(&Desired::default(), &links);
    let planned = lines(&desired(&links, 0), &nothing);
    let of_ipv6: Vec<_> = planned
        .iter()
        .filter_map(|line| line.strip_prefix("ip -6 "))
        .collect();
    assert_eq!(
        of_ipv6,
        [
            "route replace default via fe80::1 dev eth1 proto 117 table 11700 metric 1024",
            "route replace default via fe80::1 dev eth1 proto 117 table 11701 metric 1024",
            "route replace default via 2001:db8:2::1 dev wwan0 proto 117 table 11702 metric 1024",
            "rule add pref 32002 lookup main suppress_prefixlength 0 protocol 117",
            "rule add pref 32003 fwmark 0x75700000 lookup 11701 protocol 117",
            "rule add pref 32003 fwmark 0x75700001 lookup 11702 protocol 117",
            "rule add pref 32005 from 2001:db8:1::2 lookup 11701 protocol 117",
            "rule add pref 32005 from 2001:db8:2::9 lookup 11702 protocol 117",
            "rule add pref 32006 oif eth1 lookup 11701 protocol 117",
            "rule add pref 32006 oif wwan0 lookup 11702 protocol 117",
            "rule add pref 32765 lookup 11700 protocol 117",
        ]
    );
    assert_eq!(planned.len(), 2 * of_ipv6.len());
}

#[test]
fn both_families_switch_in_two_operations_in_a_row() {
    let links = [dual_fiber(), dual_lte()];
    let before = holding(&desired(&links, 0), &links);
    assert_eq!(
        lines(&desired(&links, 1), &before),
        [
            "ip route replace default dev wwan0 proto 117 table 11700",
            "ip -6 route replace default via 2001:db8:2::1 dev wwan0 proto 117 table 11700 \
             metric 1024",
        ]
    );
}

/// The sources of the IPv6 `from` rules that lead to the table of the uplink at a place.
fn froms(desired: &Desired, place: u32) -> Vec<String> {
    let table = Numbering::default().uplink_table(place);
    let rules = desired.rules.iter().filter(|rule| rule.table == table);
    rules
        .filter(|rule| rule.family == Family::Ipv6)
        .filter_map(|rule| Some(rule.from?.to_string()))
        .collect()
}

#[test]
fn many_addresses_of_one_prefix_share_a_rule_unless_another_uplink_has_some_there() {
    let mut many = dual_fiber();
    for host in 1..=4 {
        let net = net(&format!("2001:db8:1::aaaa:{host}/64"));
        many.addresses.push(LinkAddress {
            is_temporary: true,
            ..net.into()
        });
    }
    let alone = [many.clone(), dual_lte()];
    assert_eq!(froms(&desired(&alone, 0), 0), ["2001:db8:1::/64"]);
    let mut neighbour = dual_lte();
    neighbour.addresses.push(net("2001:db8:1::3/64").into());
    let shared = desired(&[many.clone(), neighbour], 0);
    assert_eq!(froms(&shared, 0).len(), 5);
    assert!(froms(&shared, 1).contains(&"2001:db8:1::3/128".to_owned()));
    let by_name = attached(&many).addresses;
    assert!(by_name.contains(&ip("2001:db8:1::2")));
    assert_eq!(by_name.len(), 2, "temporary ones come and go unnoticed");
}

#[test]
fn packets_from_a_delegated_prefix_leave_by_its_uplink() {
    let delegated = LearnedDefault {
        source: Some(net("2001:db8:1000::/48")),
        ..default(Some("fe80::1"), 512)
    };
    // A provider may delegate a prefix without an address for the link.
    let mut link = fiber();
    link.addresses.push(net("fe80::2/64").into());
    link.defaults.push(delegated);
    let learnt = attached(&link);
    assert_eq!(learnt.paths[&Family::Ipv6], path(2, "fe80::1"));
    let learnt = desired(&[link.clone(), dual_lte()], 1);
    assert_eq!(froms(&learnt, 0), ["2001:db8:1000::/48"]);
    let listed = |prefixes: &[&str]| Hints {
        prefixes: Prefixes::Listed(
            prefixes
                .iter()
                .map(|text| text.parse().expect("it"))
                .collect(),
        ),
        ..Hints::default()
    };
    let by_hand = attach(
        Some(&link),
        &listed(&["2001:db8:7::/56"]),
        &SortedMap::new(),
    );
    assert_eq!(by_hand.prefixes, [net("2001:db8:7::/56")].into());
    let none = attach(Some(&link), &listed(&[]), &SortedMap::new());
    assert_eq!(none.paths.get(&Family::Ipv6), None, "nothing to come from");
}

#[test]
fn a_link_local_address_alone_gives_no_path() {
    let mut link = dual_fiber();
    link.addresses
        .retain(|address| address.net != net("2001:db8:1::2/64"));
    let attachment = attached(&link);
    assert_eq!(attachment.paths.keys().collect::<Vec<_>>(), [&Family::Ipv4]);
    assert_eq!(attachment.addresses, [ip("192.0.2.2")].into());
}

#[test]
fn a_family_with_deprecated_addresses_alone_keeps_its_table_and_carries_nothing_new() {
    let mut link = dual_fiber();
    for address in &mut link.addresses {
        address.is_deprecated = matches!(address.net, IpNet::V6(_));
    }
    let attachment = attached(&link);
    assert_eq!(attachment.paths.get(&Family::Ipv6), None);
    assert_eq!(attachment.retiring[&Family::Ipv6], path(2, "fe80::1"));
    let before = holding(&desired(&[dual_fiber()], 0), &[dual_fiber()]);
    assert_eq!(
        lines(&desired(&[link], 0), &before),
        [
            "ip -6 rule del pref 32765 lookup 11700 protocol 117",
            "ip -6 route del default via fe80::1 dev eth1 proto 117 table 11700 metric 1024",
        ]
    );
}

#[test]
fn an_advertised_next_hop_is_not_kept_and_one_of_dhcp_is() {
    for (gateway, is_kept) in [("fe80::1", false), ("2001:db8:1::1", true)] {
        let own = SortedMap::from([(Family::Ipv6, path(2, gateway))]);
        let mut bare = dual_fiber();
        bare.defaults.clear();
        let attachment = attach(Some(&bare), &Hints::default(), &own);
        assert_eq!(
            attachment.paths.contains_key(&Family::Ipv6),
            is_kept,
            "{gateway}"
        );
    }
}

#[test]
fn the_preference_of_routers_decides_between_equal_metrics_only() {
    let mut link = dual_fiber();
    link.defaults.push(LearnedDefault {
        preference: Preference::High,
        ..default(Some("fe80::2"), 1024)
    });
    assert_eq!(attached(&link).paths[&Family::Ipv6], path(2, "fe80::2"));
    link.defaults.push(default(Some("fe80::3"), 100));
    assert_eq!(attached(&link).paths[&Family::Ipv6], path(2, "fe80::3"));
}

#[test]
fn each_family_has_a_next_hop_of_its_own_in_the_configuration() {
    let attachment = attach(Some(&dual_fiber()), &by_hand("fe80::77"), &SortedMap::new());
    assert_eq!(attachment.paths[&Family::Ipv4], path(2, "192.0.2.1"));
    assert_eq!(attachment.paths[&Family::Ipv6], path(2, "fe80::77"));
}

#[test]
fn a_switch_is_one_replaced_route() {
    let links = [fiber(), lte()];
    let before = holding(&desired(&links, 0), &links);
    assert_eq!(
        lines(&desired(&links, 1), &before),
        ["ip route replace default dev wwan0 proto 117 table 11700"]
    );
}

#[test]
fn a_new_address_gets_its_rule_before_the_old_one_loses_its_own() {
    let before = holding(&desired(&[fiber()], 0), &[fiber()]);
    let moved = Link {
        addresses: vec![net("192.0.2.77/24").into()],
        ..fiber()
    };
    assert_eq!(
        lines(&desired(&[moved], 0), &before),
        [
            "ip rule add pref 32005 from 192.0.2.77 lookup 11701 protocol 117",
            "ip rule del pref 32005 from 192.0.2.2 lookup 11701 protocol 117",
        ]
    );
}

#[test]
fn a_clean_stop_deletes_the_rules_before_the_routes() {
    let before = holding(&desired(&[fiber()], 0), &[fiber()]);
    let lines = lines(&Desired::default(), &before);
    let (rules, routes) = lines.split_at(5);
    assert!(rules.iter().all(|line| line.starts_with("ip rule del ")));
    assert_eq!(
        routes,
        [
            "ip route del default via 192.0.2.1 dev eth1 proto 117 table 11700",
            "ip route del default via 192.0.2.1 dev eth1 proto 117 table 11701",
        ]
    );
}

#[test]
fn several_paths_and_unknown_interfaces_are_printed_as_ip_commands() {
    let mut balanced = path(2, "192.0.2.1");
    balanced.weight = Weight(3);
    let mut far = path(7, "203.0.113.1");
    far.onlink = true;
    let route = Route {
        table: MAIN,
        destination: net("198.51.100.0/24"),
        metric: Metric(20),
        paths: vec![balanced, far],
        group: None,
        options: RouteOptions::default(),
    };
    let desired = Desired {
        routes: [route].into(),
        ..Desired::default()
    };
    let observed = holding(&Desired::default(), &[fiber()]);
    assert_eq!(
        lines(&desired, &observed),
        [
            "ip route add 198.51.100.0/24 proto 117 table main metric 20 \
          nexthop via 192.0.2.1 dev eth1 weight 3 \
          nexthop via 203.0.113.1 dev if7 onlink weight 1"
        ]
    );
}

#[test]
fn rules_stay_while_an_uplink_has_no_path() {
    let links = [fiber(), lte()];
    let before = holding(&desired(&links, 0), &links);
    let lost = Link {
        defaults: Vec::new(),
        is_point_to_point: false,
        ..lte()
    };
    assert_eq!(
        lines(&desired(&[fiber(), lost], 0), &before),
        ["ip route del default dev wwan0 proto 117 table 11702"]
    );
}

#[test]
fn scoped_addresses_get_no_rule() {
    let mut scoped = fiber();
    scoped.addresses.push(net("169.254.7.7/16").into());
    assert_eq!(desired(&[scoped], 0), desired(&[fiber()], 0));
}

#[test]
fn the_next_hop_is_that_of_the_best_default_of_others() {
    let mut link = fiber();
    link.defaults = vec![
        default(Some("192.0.2.253"), 300),
        default(Some("192.0.2.254"), 50),
    ];
    let attachment = attached(&link);
    assert_eq!(attachment.trouble, None);
    assert_eq!(attachment.paths[&Family::Ipv4], path(2, "192.0.2.254"));
}

#[test]
fn several_defaults_are_next_hops_best_first_and_the_one_that_our_route_has_is_gone_on_with() {
    let mut link = fiber();
    link.defaults = vec![
        default(Some("192.0.2.254"), 101),
        default(Some("192.0.2.1"), 100),
        default(Some("192.0.2.1"), 200),
        LearnedDefault {
            source: Some(net("198.51.100.0/24")),
            ..default(Some("192.0.2.9"), 300)
        },
    ];
    let [first, second] = ["192.0.2.1", "192.0.2.254"].map(|via| path(2, via));
    let attachment = attached(&link);
    assert_eq!(
        attachment.next_hops[&Family::Ipv4],
        [first.clone(), second.clone()]
    );
    assert_eq!(attachment.paths[&Family::Ipv4], first);
    let own = SortedMap::from([(Family::Ipv4, second.clone())]);
    let resumed = attach(Some(&link), &Hints::default(), &own);
    assert_eq!(resumed.paths[&Family::Ipv4], second);
    let by_hand = attach(Some(&link), &by_hand("192.0.2.7"), &own);
    assert_eq!(by_hand.next_hops, SortedMap::new());
    assert_eq!(attached(&fiber()).next_hops, SortedMap::new());
}

#[test]
fn each_of_several_next_hops_has_a_table_and_a_mark_that_leads_there() {
    let mut two = fiber();
    two.defaults.push(default(Some("192.0.2.254"), 101));
    let links = [fiber()];
    let before = holding(&desired(&links, 0), &links);
    assert_eq!(
        lines(&desired(&[two], 0), &before),
        [
            "ip route replace default via 192.0.2.1 dev eth1 proto 117 table 12800",
            "ip route replace default via 192.0.2.254 dev eth1 proto 117 table 12864",
            "ip rule add pref 32003 fwmark 0x75700040 lookup 12800 protocol 117",
            "ip rule add pref 32003 fwmark 0x75700080 lookup 12864 protocol 117",
        ]
    );
}

#[test]
fn a_configured_next_hop_outside_every_prefix_is_onlink() {
    let inside = attach(Some(&fiber()), &by_hand("192.0.2.9"), &SortedMap::new());
    assert_eq!(inside.paths[&Family::Ipv4], path(2, "192.0.2.9"));
    let outside = attach(Some(&fiber()), &by_hand("10.0.0.1"), &SortedMap::new());
    assert!(outside.paths[&Family::Ipv4].onlink);
    let mut peered = fiber();
    peered.peers.push(net("10.0.0.1/32"));
    let peer = attach(Some(&peered), &by_hand("10.0.0.1"), &SortedMap::new());
    assert!(!peer.paths[&Family::Ipv4].onlink);
}

#[test]
fn the_next_hop_that_our_table_holds_outlives_the_default_in_main_while_it_is_on_the_link() {
    let own = SortedMap::from([(Family::Ipv4, path(2, "192.0.2.1"))]);
    let bare = Link {
        defaults: Vec::new(),
        ..fiber()
    };
    let kept = attach(Some(&bare), &Hints::default(), &own);
    assert_eq!(kept.paths, own);
    let moved = Link {
        addresses: vec![net("198.51.100.2/24").into()],
        ..bare.clone()
    };
    let lost = attach(Some(&moved), &Hints::default(), &own);
    assert_eq!(lost.trouble, Some(Trouble::NoNextHop));
    let returned = Link {
        index: index(9),
        ..bare
    };
    let other = attach(Some(&returned), &Hints::default(), &own);
    assert_eq!(other.trouble, Some(Trouble::NoNextHop));
}

/// What a provider of one address and a small MTU needs.
fn options(source: &str, mtu: u32) -> RouteOptions {
    RouteOptions {
        source: Some(ip(source)),
        metrics: [(2, mtu), (8, 1300)].into(),
        congestion_control: Some("cubic".to_owned()),
        encapsulation: None,
    }
}

/// [`fiber`] with two addresses, and a default route with options.
fn fiber_of_one_address() -> Link {
    let mut link = fiber();
    link.addresses.push(net("198.51.100.2/32").into());
    link.defaults[0].options = options("198.51.100.2", 1400);
    link
}

#[test]
fn the_options_of_a_learnt_route_are_in_every_route_by_its_next_hop() {
    let link = fiber_of_one_address();
    let said = "src 198.51.100.2 mtu 1400 advmss 1300 congctl cubic";
    for mode in [RoutingMode::Table, RoutingMode::Main] {
        let desired = desired_in(mode, std::slice::from_ref(&link), Some(0));
        let routes = lines(&desired, &Observed::default()).into_iter();
        let routes: Vec<_> = routes.filter(|line| line.contains(" route ")).collect();
        assert_eq!(routes.len(), 2, "{routes:?}");
        assert!(routes.iter().all(|line| line.ends_with(said)), "{routes:?}");
    }
    let by_its_next_hop = attach(Some(&link), &by_hand("192.0.2.1"), &SortedMap::new());
    let by_another = attach(Some(&link), &by_hand("192.0.2.9"), &SortedMap::new());
    let options_of = |attachment: Attachment| attachment.paths[&Family::Ipv4].options().clone();
    assert_eq!(options_of(by_its_next_hop), options("198.51.100.2", 1400));
    assert_eq!(options_of(by_another), RouteOptions::default());
}

#[test]
fn the_options_outlive_the_learnt_route_and_its_source_only_while_the_address_exists() {
    let mut link = fiber_of_one_address();
    let desired = desired(std::slice::from_ref(&link), 0);
    link.defaults.clear();
    let kept = |link: &Link| {
        let observed = holding(&desired, std::slice::from_ref(link));
        let held = observed.held_paths(&Numbering::default(), 0, link.index);
        let attachment = attach(Some(link), &Hints::default(), &held);
        attachment.paths[&Family::Ipv4].options().clone()
    };
    assert_eq!(kept(&link), options("198.51.100.2", 1400));
    link.addresses.pop();
    let without_source = RouteOptions {
        source: None,
        ..options("198.51.100.2", 1400)
    };
    assert_eq!(kept(&link), without_source);
}

#[test]
fn a_route_that_several_share_has_the_options_on_which_they_agree() {
    let (one, other) = (options("192.0.2.2", 1400), options("198.51.100.2", 1480));
    let common = RouteOptions::common([&one, &other].into_iter());
    assert_eq!(common.source, None);
    assert_eq!(common.metrics, [(8, 1300)].into());
    assert_eq!(common.congestion_control.as_deref(), Some("cubic"));
    assert_eq!(RouteOptions::common([&one, &one].into_iter()), one);
    assert!(RouteOptions::common(std::iter::empty()).is_empty());
}

/// [`fiber`] beside dead ends of these metrics.
fn beside_dead_ends(metrics: &[u32]) -> Observed {
    let dead_ends = metrics.iter().map(|metric| DeadEnd {
        family: Family::Ipv4,
        metric: Metric(*metric),
    });
    Observed {
        links: [(index(2), fiber())].into(),
        dead_ends: dead_ends.collect(),
        ..Observed::default()
    }
}

#[test]
fn a_throw_just_before_the_first_dead_end_sends_our_lookups_on() {
    let throws = |observed: &Observed| {
        let mut desired = desired(&[fiber()], 0);
        desired.pass_dead_ends(observed);
        let lines = lines(&desired, observed).into_iter();
        lines
            .filter(|line| line.contains("throw"))
            .collect::<Vec<_>>()
    };
    let one = "ip route add throw default proto 117 table main metric 9998";
    assert_eq!(throws(&beside_dead_ends(&[9_999, 20_000])), [one]);
    assert_eq!(throws(&beside_dead_ends(&[])), [""; 0]);
    // Just behind the default route of fiber, with 100.
    let adjacent = beside_dead_ends(&[101]);
    assert_eq!(throws(&adjacent), [""; 0]);
    assert_eq!(adjacent.barrier(&Numbering::default()), None);
    // Before it: it is meant.
    for before in [99, 1, 0] {
        let observed = beside_dead_ends(&[before]);
        assert_eq!(throws(&observed), [""; 0]);
        let barrier = observed
            .barrier(&Numbering::default())
            .expect("it stops us");
        assert_eq!(barrier.metric, Metric(before));
    }
    assert_eq!(
        beside_dead_ends(&[9_999]).barrier(&Numbering::default()),
        None
    );
    let mut unused = Desired::default();
    unused.pass_dead_ends(&beside_dead_ends(&[9_999]));
    assert_eq!(unused, Desired::default());
}

#[test]
fn in_main_a_dead_end_before_our_last_route_is_a_barrier() {
    let numbering = Numbering {
        mode: RoutingMode::Main,
        ..Numbering::default()
    };
    let barrier = |metric| beside_dead_ends(&[metric]).barrier(&numbering).is_some();
    assert!(barrier(9_999) && barrier(1));
    assert!(!barrier(u32::MAX));
    let desired = desired_in(RoutingMode::Main, &[fiber()], Some(0));
    let mut past = desired.clone();
    past.pass_dead_ends(&beside_dead_ends(&[9_999]));
    assert_eq!(past, desired);
}

#[test]
fn a_point_to_point_interface_needs_no_next_hop() {
    let ppp = Link {
        defaults: Vec::new(),
        ..lte()
    };
    let attachment = attached(&ppp);
    assert_eq!(attachment.trouble, None);
    assert_eq!(attachment.paths[&Family::Ipv4].gateway, None);
}

#[test]
fn a_link_in_trouble_says_which_and_keeps_its_paths_only_without_carrier() {
    assert_eq!(
        attach(None, &Hints::default(), &SortedMap::new()).trouble,
        Some(Trouble::Absent)
    );
    let cases = [
        (
            Trouble::Down,
            Link {
                is_up: false,
                has_carrier: false,
                ..fiber()
            },
        ),
        (
            Trouble::NoCarrier,
            Link {
                has_carrier: false,
                ..fiber()
            },
        ),
        (
            Trouble::NoAddress,
            Link {
                addresses: Vec::new(),
                ..fiber()
            },
        ),
        (
            Trouble::NoNextHop,
            Link {
                defaults: Vec::new(),
                ..fiber()
            },
        ),
    ];
    for (trouble, link) in cases {
        let attachment = attached(&link);
        assert_eq!(attachment.trouble, Some(trouble));
        let keeps_paths = trouble == Trouble::NoCarrier;
        assert_eq!(!attachment.paths.is_empty(), keeps_paths, "{trouble:?}");
    }
}

/// The default group on both uplinks, and a group on the second.
fn shared_with_a_group(links: &[Link; 2]) -> Desired {
    let attachments: Vec<Attachment> = links.iter().map(attached).collect();
    let uplinks: Vec<_> = (0..)
        .zip(links)
        .zip(&attachments)
        .map(|((position, link), attachment)| UplinkRoutes {
            position,
            interface: &link.name,
            attachment,
        })
        .collect();
    let path = |place: usize, weight| Path {
        weight: Weight(weight),
        ..attachments[place].paths[&Family::Ipv4].clone()
    };
    let selector = Selector {
        from: vec![net("192.168.1.20/32"), net("2001:db8:9::/48")],
        iif: Some(name("lan")),
        protocol: Some(IpProtocol(17)),
        dport: Some(Ports {
            first: 5060,
            last: 5080,
        }),
        fwmark: Some(Marks {
            mark: Mark(0x10),
            mask: Mark(0xf0),
        }),
        ..Selector::default()
    };
    let traffic = TrafficRoutes {
        refused: [].into(),
        default_group: [(Family::Ipv4, vec![path(0, 1), path(1, 3)])].into(),
        groups: vec![[(Family::Ipv4, vec![path(1, 1)])].into()],
        rules: vec![(0, &selector)],
        refusing: [].into(),
        remembered: [].into(),
    };
    desired_of(&Numbering::default(), &uplinks, &traffic)
}

#[test]
fn a_shared_route_has_a_resilient_group_that_is_added_first() {
    let links = [fiber(), lte()];
    let before = holding(&desired(&links, 0), &links);
    let shared = shared_with_a_group(&links);
    let planned = lines(&shared, &before);
    let expected = [
        "ip nexthop add id 11700000 via 192.0.2.1 dev eth1 proto 117",
        "ip nexthop add id 11700002 dev wwan0 proto 117",
        "ip nexthop add id 11700256 group 11700000/11700002,3 type resilient buckets 512 idle_timer 120 \
         unbalanced_timer 3600 proto 117",
        "ip route replace default nhid 11700256 proto 117 table 11700",
        "ip route replace default dev wwan0 proto 117 table 11800",
        "ip rule add pref 32008 from 192.168.1.20 iif lan ipproto 17 dport 5060-5080 fwmark 0x10/0xf0 \
         lookup 11800 protocol 117",
    ];
    assert_eq!(planned, expected);
    let back = lines(&desired(&links, 0), &holding(&shared, &links));
    assert_eq!(
        back,
        [
            "ip route replace default via 192.0.2.1 dev eth1 proto 117 table 11700",
            expected[5].replace(" add ", " del ").as_str(),
            expected[4].replace("replace", "del").as_str(),
            "ip nexthop del id 11700256",
            "ip nexthop del id 11700000",
            "ip nexthop del id 11700002",
        ]
    );
}

#[test]
fn uplinks_that_change_places_in_the_configuration_keep_the_nexthop_objects_of_their_flows() {
    let shared = shared_with_a_group(&[fiber(), lte()]);
    let swapped = shared_with_a_group(&[lte(), fiber()]);
    let before = holding(&shared, &[fiber(), lte()]);
    let mut planned = lines(&swapped, &before);
    planned.retain(|line| line.starts_with("ip nexthop"));
    assert_eq!(
        planned,
        [
            "ip nexthop replace id 11700256 group 11700000,3/11700002 type resilient buckets 512 \
          idle_timer 120 unbalanced_timer 3600 proto 117"
        ]
    );
}

#[test]
fn numbers_of_other_programs_are_passed_by_and_objects_of_ours_keep_the_numbers_that_they_got() {
    let links = [fiber(), lte()];
    let shared = shared_with_a_group(&links);
    let mut observed = holding(&desired(&links, 0), &links);
    observed.taken_nexthops = [11_700_000, 11_700_256].map(NextHopId).into();
    let planned = lines(&shared, &observed);
    let made: Vec<_> = planned
        .iter()
        .filter(|line| line.contains("nexthop add"))
        .collect();
    assert_eq!(made.len(), 3, "{planned:#?}");
    assert!(
        made.iter()
            .all(|line| !line.contains("id 11700000 ") && !line.contains("id 11700256 "))
    );
    let mut held = observed.clone();
    for operation in plan(&shared, &observed) {
        match operation {
            Operation::AddNextHop(id, hop) => drop(held.nexthops.insert(id, hop)),
            Operation::ReplaceRoute(route) => {
                held.routes
                    .retain(|other| !other.is_in_the_place_of(&route));
                held.routes.push(route);
            }
            Operation::AddRule(rule) => held.rules.push(rule),
            other @ (Operation::AddRoute(_)
            | Operation::DeleteRoute(_)
            | Operation::DeleteRule(_)
            | Operation::DeleteOddRule(_)
            | Operation::ReplaceNextHop(..)
            | Operation::DeleteNextHop(_)) => panic!("{other:?}"),
        }
    }
    assert_eq!(lines(&shared, &held), [""; 0]);
    held.taken_nexthops.clear();
    assert_eq!(
        lines(&shared, &held),
        [""; 0],
        "it is no reason to move that a number is free again"
    );
}

#[test]
fn without_nexthop_groups_the_paths_stand_in_the_route_and_ipv6_takes_none_without_a_next_hop() {
    let links = [fiber(), lte()];
    let flat = shared_with_a_group(&links).flattened();
    let planned = lines(&flat, &holding(&desired(&links, 0), &links));
    assert_eq!(
        planned[0],
        "ip route replace default proto 117 table 11700 nexthop via 192.0.2.1 dev eth1 weight 1 nexthop \
         dev wwan0 weight 3"
    );
    assert!(flat.nexthops.is_empty());
    let (direct, via) = (path(3, "2001:db8::1"), path(4, "2001:db8:1::1"));
    let direct = Path {
        gateway: None,
        ..direct
    };
    let route = Route {
        table: TableId(1),
        destination: net("::/0"),
        metric: Metric(0),
        paths: vec![direct, via.clone()],
        group: None,
        options: RouteOptions::default(),
    };
    let desired = Desired {
        routes: [route].into(),
        ..Desired::default()
    };
    let flat = desired.flattened();
    assert_eq!(flat.routes.len(), 1);
    assert!(flat.routes.iter().all(|route| route.paths == [via.clone()]));
}

const OURS: Protocol = Protocol(117);
const THEIRS: Protocol = Protocol(4);

/// A model of the kernel: `fib_table_insert`, `fib6_add_rt2node`,
/// `fib_nl_newrule`, `rtm_new_nexthop` and `remove_nexthop`. A refused operation changes nothing.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    routes: Vec<(Protocol, Route)>,
    rules: Vec<(Protocol, Rule)>,
    nexthops: SortedMap<NextHopId, (Protocol, NextHop)>,
}

impl Model {
    fn observed(&self) -> Observed {
        Observed {
            routes: of(OURS, &self.routes),
            rules: of(OURS, &self.rules),
            nexthops: self.nexthops_of(OURS),
            taken_nexthops: self.nexthops_of(THEIRS).keys().copied().collect(),
            ..Observed::default()
        }
    }

    fn nexthops_of(&self, owner: Protocol) -> SortedMap<NextHopId, NextHop> {
        let all = self.nexthops.iter().filter(|(_, (by, _))| *by == owner);
        all.map(|(id, (_, hop))| (*id, hop.clone())).collect()
    }

    fn has_all(&self, hop: &NextHop) -> bool {
        match hop {
            NextHop::Group(members) => members.keys().all(|id| self.nexthops.contains_key(id)),
            NextHop::Path { .. } | NextHop::Odd => true,
        }
    }

    fn leads_somewhere(&self, route: &Route) -> bool {
        route
            .group
            .is_none_or(|group| self.nexthops.contains_key(&group))
    }

    fn remove_next_hop(&mut self, id: NextHopId) {
        self.nexthops.remove(&id);
        self.routes.retain(|(_, route)| route.group != Some(id));
        let mut emptied = Vec::new();
        for (group, (_, hop)) in &mut self.nexthops {
            if let NextHop::Group(members) = hop
                && members.remove(&id).is_some()
                && members.is_empty()
            {
                emptied.push(*group);
            }
        }
        for group in emptied {
            self.remove_next_hop(group);
        }
    }

    fn apply(&mut self, operation: &Operation) {
        match operation.clone() {
            Operation::AddNextHop(id, hop) => {
                if self.has_all(&hop) {
                    self.nexthops.entry(id).or_insert((OURS, hop));
                }
            }
            Operation::ReplaceNextHop(id, hop) => {
                if self.has_all(&hop)
                    && let Some(held) = self.nexthops.get_mut(&id)
                    && held.1 != NextHop::Odd
                {
                    *held = (OURS, hop);
                }
            }
            Operation::DeleteNextHop(id) => self.remove_next_hop(id),
            Operation::AddRoute(route) | Operation::ReplaceRoute(route)
                if !self.leads_somewhere(&route) => {}
            Operation::AddRoute(route) => {
                if !self
                    .routes
                    .iter()
                    .any(|(_, other)| key(other) == key(&route))
                {
                    self.routes.push((OURS, route));
                }
            }
            Operation::ReplaceRoute(route) => {
                // IPv6 prefers a route of the same kind, with or without next hops.
                let same = |other: &Route| key(other) == key(&route);
                let alike = |other: &Route| same(other) && is_direct(other) == is_direct(&route);
                let place = |fits: &dyn Fn(&Route) -> bool| {
                    self.routes.iter().position(|(_, other)| fits(other))
                };
                let is_ipv6 = matches!(route.destination, IpNet::V6(_));
                let alike = is_ipv6.then(|| place(&alike)).flatten();
                match alike.or_else(|| place(&same)) {
                    Some(place) => self.routes[place] = (OURS, route),
                    None => self.routes.push((OURS, route)),
                }
            }
            Operation::DeleteRoute(route) => remove_one(&mut self.routes, &(OURS, route)),
            Operation::AddRule(rule) => {
                let rule = (OURS, rule);
                if !self.rules.contains(&rule) {
                    self.rules.push(rule);
                }
            }
            Operation::DeleteRule(rule) => remove_one(&mut self.rules, &(OURS, rule)),
            Operation::DeleteOddRule(_) => panic!("none was shown"),
        }
    }
}

/// With its paths in nexthop objects, as far as it has several; the group has this number.
fn grouped(mut route: Route, group: u32) -> (Route, SortedMap<NextHopId, NextHop>) {
    let family = Family::of(route.destination.addr());
    let number = |path: &Path| {
        let last = path.gateway.map_or(0, |gateway| match gateway {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[15],
        });
        let is_onlink = path.onlink && path.gateway.is_some();
        NextHopId(
            64 * family as u32 + 16 * path.index.get() + 2 * u32::from(last) + u32::from(is_onlink),
        )
    };
    let mut nexthops = SortedMap::new();
    let mut members = SortedMap::new();
    for path in std::mem::take(&mut route.paths) {
        members.insert(number(&path), path.weight);
        let path = Path {
            weight: Weight(1),
            onlink: path.onlink && path.gateway.is_some(),
            ..path
        };
        nexthops.insert(number(&path), NextHop::Path { family, path });
    }
    route.group = Some(NextHopId(group));
    nexthops.insert(NextHopId(group), NextHop::Group(members));
    (route, nexthops)
}

/// Routes some of which have groups from 1000 on; those of one key have one.
fn some_grouped(
    routes: impl IntoIterator<Item = (Route, bool)>,
) -> (Vec<Route>, SortedMap<NextHopId, NextHop>) {
    let mut nexthops = SortedMap::new();
    let routes = (1000..).zip(routes).map(|(group, (route, is_grouped))| {
        if !is_grouped || route.paths.len() < 2 {
            return route;
        }
        let (route, own) = grouped(route, group);
        nexthops.extend(own);
        route
    });
    let routes = routes.map(Route::canonical).collect();
    (routes, nexthops)
}

fn is_direct(route: &Route) -> bool {
    route.group.is_some() || route.paths.iter().any(|path| path.gateway.is_none())
}

fn key(route: &Route) -> (TableId, IpNet, Metric) {
    (route.table, route.destination, route.metric)
}

fn of<T: Clone>(protocol: Protocol, objects: &[(Protocol, T)]) -> Vec<T> {
    let objects = objects.iter().filter(|(owner, _)| *owner == protocol);
    objects.map(|(_, object)| object.clone()).collect()
}

fn remove_one<T: PartialEq>(objects: &mut Vec<T>, object: &T) {
    if let Some(place) = objects.iter().position(|other| other == object) {
        objects.remove(place);
    }
}

fn some_family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)]
}

fn some_path(family: Family) -> impl Strategy<Value = Path> {
    let gateway = proptest::option::of((1..4_u8).prop_map(move |d| address(family, d)));
    (1..4_u32, gateway, any::<bool>(), 1..4_u8).prop_map(|(number, gateway, onlink, weight)| Path {
        index: index(number),
        gateway,
        onlink,
        weight: Weight(weight),
        options: None,
    })
}

fn address(family: Family, last: u8) -> IpAddr {
    match family {
        Family::Ipv4 => [10, 0, 0, last].into(),
        Family::Ipv6 => [0xfe80, 0, 0, 0, 0, 0, 0, u16::from(last)].into(),
    }
}

/// A route in one of these tables or in main.
fn some_route(tables: std::ops::Range<u32>) -> impl Strategy<Value = Route> {
    some_family().prop_flat_map(move |family| {
        let destination = (0..3_u8, any::<bool>()).prop_map(move |(c, is_default)| {
            if is_default || c == 0 {
                return family.default_destination();
            }
            match family {
                Family::Ipv4 => net(&format!("172.16.{c}.0/24")),
                Family::Ipv6 => net(&format!("2001:db8:{c}::/48")),
            }
        });
        // 1024 is what the kernel makes of an IPv6 metric of 0.
        let metric = prop_oneof![Just(0), Just(1024)];
        let paths = proptest::collection::vec(some_path(family), 1..3);
        let table = prop_oneof![3 => tables.clone(), 1 => Just(MAIN.0)];
        (table, destination, metric, paths).prop_map(|(table, destination, metric, paths)| Route {
            table: TableId(table),
            destination,
            metric: Metric(metric),
            paths,
            group: None,
            options: RouteOptions::default(),
        })
    })
}

fn some_rule() -> impl Strategy<Value = Rule> {
    let oif = proptest::option::of(prop_oneof![Just(name("a")), Just(name("b"))]);
    let from = proptest::option::of(1..4_u8);
    let mark = proptest::option::of((1..3_u32).prop_map(Mark));
    let dport = proptest::option::of((1..3_u16).prop_map(|port| Ports {
        first: port,
        last: port,
    }));
    (some_family(), 0..3_u32, from, mark, oif, 0..3_u32, dport).prop_map(
        |(family, priority, from, mark, oif, table, dport)| Rule {
            from: from.map(|last| IpNet::from(address(family, last))),
            mark,
            oif,
            dport,
            suppress_prefix_length: (table == 0).then_some(0),
            ..Rule::lookup(RulePriority(priority), family, TableId(table))
        },
    )
}

/// Any kernel: routes of ours, even several of one key, in tables 1 to 3 and main, some with nexthop
/// objects; those of others in 4, 5 and main under other keys; rules of both, even doubled; objects
/// without routes.
fn some_kernel() -> impl Strategy<Value = Model> {
    let ours = proptest::collection::vec((some_route(1..4), any::<bool>()), 0..6);
    let theirs = proptest::collection::vec(some_route(4..6), 0..4);
    let rules = proptest::collection::vec((any::<bool>(), some_rule()), 0..8);
    let idle = proptest::collection::btree_set((1100..1103_u32).prop_map(NextHopId), 0..3);
    // Paths of the tests have numbers up to 120.
    let number = prop_oneof![16..120_u32, 1000..1003_u32].prop_map(NextHopId);
    let strange = proptest::collection::btree_set(number, 0..6);
    (ours, theirs, rules, idle, strange).prop_map(|(ours, theirs, rules, idle, strange)| {
        let theirs: Vec<_> = theirs.into_iter().map(Route::canonical).collect();
        let taken: SortedSet<_> = theirs.iter().map(key).collect();
        let (ours, nexthops) = some_grouped(ours);
        let idle = idle.into_iter().map(|id| (id, NextHop::Odd));
        let ours = ours
            .into_iter()
            .filter(|route| !taken.contains(&key(route)));
        let ours: Vec<_> = ours.map(|route| (OURS, route)).collect();
        let theirs = theirs.into_iter().map(|route| (THEIRS, route));
        let owner = |is_ours| if is_ours { OURS } else { THEIRS };
        Model {
            routes: ours.into_iter().chain(theirs).collect(),
            rules: rules
                .into_iter()
                .map(|(is_ours, rule)| (owner(is_ours), rule))
                .collect(),
            nexthops: strange
                .into_iter()
                .map(|id| (id, (THEIRS, NextHop::Odd)))
                .chain({ nexthops.into_iter().chain(idle) }.map(|(id, hop)| (id, (OURS, hop))))
                .collect(),
        }
    })
}

fn some_desired() -> impl Strategy<Value = Desired> {
    let routes = proptest::collection::btree_map(some_route(1..4), any::<bool>(), 0..6);
    let rules = proptest::collection::btree_set(some_rule(), 0..6);
    (routes, rules).prop_map(|(routes, rules)| {
        let mut keys = SortedSet::new();
        let routes = routes
            .into_iter()
            .filter(|(route, _)| keys.insert(key(&route.clone().canonical())));
        let (routes, nexthops) = some_grouped(routes);
        Desired {
            routes: routes.into_iter().collect(),
            rules: rules.into_iter().collect(),
            nexthops,
        }
    })
}

proptest! {
    #[test]
    fn one_plan_suffices_from_any_state(before in some_kernel(), desired in some_desired()) {
        let mut kernel = before.clone();
        for operation in plan(&desired, &kernel.observed()) {
            kernel.apply(&operation);
        }
        let taken: SortedSet<_> = of(THEIRS, &before.routes).iter().map(key).collect();
        for operation in plan(&desired, &kernel.observed()) {
            let is_taken = matches!(&operation, Operation::AddRoute(r) if taken.contains(&key(r)));
            prop_assert!(is_taken, "{operation:?}");
        }
        let rules: SortedSet<Rule> = of(OURS, &kernel.rules).into_iter().collect();
        prop_assert_eq!(rules, desired.rules);
        let paths = |nexthops: &SortedMap<NextHopId, NextHop>| -> Vec<NextHop> {
            let mut paths: Vec<_> = nexthops.values().cloned().collect();
            paths.retain(|hop| matches!(hop, NextHop::Path { .. }));
            paths.sort();
            paths
        };
        let held = kernel.observed().nexthops;
        prop_assert_eq!(paths(&held), paths(&desired.nexthops));
        prop_assert_eq!(held.len(), desired.nexthops.len());
        let held = kernel.observed();
        for route in desired.routes.iter().filter(|route| !taken.contains(&key(&{ *route }.clone().canonical()))) {
            let route = route.clone().canonical();
            let mut alike = held.routes.iter().filter(|other| key(other) == key(&route));
            let leads = |other: &Route| leads_alike((other, &held.nexthops), (&route, &desired.nexthops));
            prop_assert!(alike.any(leads), "{route:?}");
        }
        prop_assert_eq!(kernel.nexthops_of(THEIRS), before.nexthops_of(THEIRS));
        prop_assert_eq!(of(THEIRS, &kernel.routes), of(THEIRS, &before.routes));
        prop_assert_eq!(of(THEIRS, &kernel.rules), of(THEIRS, &before.rules));
    }

    #[test]
    fn no_object_of_before_and_after_is_missing_in_between(
        before in some_kernel(),
        desired in some_desired(),
    ) {
        let wanted: SortedSet<_> = desired.routes.iter().map(key).collect();
        let held: SortedSet<_> = of(OURS, &before.routes).iter().map(key).collect();
        let kept_rules: Vec<Rule> = of(OURS, &before.rules)
            .into_iter()
            .filter(|rule| desired.rules.contains(rule))
            .collect();
        let mut kernel = before;
        for operation in plan(&desired, &kernel.observed()) {
            kernel.apply(&operation);
            let now: SortedSet<_> = of(OURS, &kernel.routes).iter().map(key).collect();
            prop_assert!(wanted.iter().filter(|key| held.contains(*key)).all(|key| now.contains(key)));
            let rules = of(OURS, &kernel.rules);
            prop_assert!(kept_rules.iter().all(|rule| rules.contains(rule)));
        }
    }
}

/// What the kernel should hold where these networks are connected.
fn kept_apart(links: &[Link]) -> Desired {
    let mut desired = desired(links, 0);
    let observed = holding(&Desired::default(), links);
    desired.keep_networks_apart(&observed, &Numbering::default());
    desired
}

/// Two uplinks and a LAN, each with a network.
fn connected_links() -> [Link; 3] {
    let connected = |link, network| Link {
        connected: vec![net(network)],
        ..link
    };
    [
        connected(fiber(), "192.0.2.0/24"),
        connected(lte(), "100.64.0.0/10"),
        connected(link(4, "lan", "100.65.0.1/24"), "100.65.0.0/24"),
    ]
}

#[test]
fn a_network_of_an_uplink_is_in_its_table_and_has_a_rule_before_main_and_one_after_the_uplinks() {
    let [fiber, lte, lan] = connected_links();
    let without = desired(&[fiber.clone(), lte.clone()], 0);
    let links = [fiber, lte, lan];
    let mut with = without.clone();
    let observed = holding(&without, &links);
    with.keep_networks_apart(&observed, &Numbering::default());
    let added = [
        "ip route replace 192.0.2.0/24 dev eth1 proto 117 table 11701",
        "ip route replace 100.64.0.0/10 dev wwan0 proto 117 table 11702",
        "ip rule add pref 32000 to 100.65.0.0/24 lookup main suppress_prefixlength 0 protocol 117",
        "ip rule add pref 32007 to 100.64.0.0/10 lookup main suppress_prefixlength 0 protocol 117",
        "ip rule add pref 32007 to 192.0.2.0/24 lookup main suppress_prefixlength 0 protocol 117",
        "ip rule add pref 32001 to 100.64.0.0/10 goto 32003 protocol 117",
        "ip rule add pref 32001 to 192.0.2.0/24 goto 32003 protocol 117",
    ];
    assert_eq!(lines(&with, &observed), added);
    let removed = lines(&without, &holding(&with, &links));
    assert!(
        removed[..2].iter().all(|line| line.contains("goto")),
        "{removed:#?}"
    );
    assert_eq!(removed.len(), added.len());
}

#[test]
fn the_only_uplink_needs_no_rules_for_its_network() {
    let [fiber, ..] = connected_links();
    let links = [fiber];
    assert_eq!(kept_apart(&links), desired(&links, 0));
}

#[test]
fn each_further_uplink_adds_as_many_rules_as_the_one_before() {
    let rules_of = |count: u32| {
        let links = (0..count).map(|place| Link {
            connected: vec![net(&format!("10.{place}.0.0/24"))],
            defaults: vec![default(Some(&format!("10.{place}.0.1")), 100)],
            ..link(
                2 + place,
                &format!("eth{place}"),
                &format!("10.{place}.0.2/24"),
            )
        });
        kept_apart(&links.collect::<Vec<_>>()).rules.len()
    };
    assert_eq!(
        [2, 3, 20, 64].map(rules_of),
        [2, 3, 20, 64].map(|count| 2 + 5 * count)
    );
}
