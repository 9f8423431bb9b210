use std::net::IpAddr;

use ipnet::IpNet;

use super::*;
use crate::alert::HookFiles;
use crate::cli::check::facts::{Capabilities, Networkd};
use crate::kernel::{
    FlowMemoryState, ForeignObjects, ForeignRoute, ForeignRule, LinkDetails, LinkKind,
    ReversePathFilter,
};
use crate::routing::{
    Family, LearnedDefault, Observed, Path, Preference, Route, RouteOptions, Rule,
};
use crate::units::sorted::SortedSet;
use crate::units::{
    IfIndex, InterfaceName, Mark, Metric, NextHopId, Protocol, RulePriority, Timestamp, Weight,
    ZonedTime,
};

const TWO_UPLINKS: &str = r#"
[[uplink]]
name = "fiber"
interface = "eth1"
tier = 1
[[uplink]]
name = "lte"
interface = "eth2"
tier = 2
"#;

fn config(text: &str) -> Config {
    Config::parse(text, "uplinkd.toml").expect("a good configuration")
}

fn name(text: &str) -> InterfaceName {
    text.parse().expect("a name")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn prefix(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

fn index(number: u32) -> IfIndex {
    IfIndex::new(number).expect("not 0")
}

/// An interface that a DHCP client has set up in the network 192.0.`number`.0/24.
fn link(number: u32) -> Link {
    Link {
        index: index(number),
        name: name(&format!("eth{number}")),
        is_up: true,
        has_carrier: true,
        is_point_to_point: false,
        addresses: vec![prefix(&format!("192.0.{number}.2/24")).into()],
        tentative: [].into(),
        peers: Vec::new(),
        connected: Vec::new(),
        defaults: vec![LearnedDefault {
            family: Family::Ipv4,
            metric: Metric(100),
            preference: Preference::default(),
            gateway: Some(address(&format!("192.0.{number}.1"))),
            onlink: false,
            source: None,
            options: RouteOptions::default(),
        }],
    }
}

/// A router on which nothing is wrong.
fn good() -> Facts {
    let links = [link(1), link(2)];
    Facts {
        observed: Observed {
            links: links.into_iter().map(|link| (link.index, link)).collect(),
            ..Observed::default()
        },
        foreign: ForeignObjects {
            are_rules_known: true,
            rules: vec![rule(0), rule(32_766), rule(32_767)],
            ..ForeignObjects::default()
        },
        reverse_path_filter: [
            ("eth1", ReversePathFilter::Loose),
            ("eth2", ReversePathFilter::Off),
        ]
        .map(|(interface, filter)| (name(interface), filter))
        .into(),
        looks_at_marks: SortedSet::new(),
        flow_memory: FlowMemoryState::On { lacks: None },
        deaf_to_routers: SortedSet::new(),
        networkd: Networkd::default(),
        has_network_manager: false,
        hooks: HookFiles {
            programs: SortedSet::from(["/etc/uplinkd/hooks.d/standby".into()]),
            ..HookFiles::default()
        },
        is_forwarding: true,
        pinned_tunnels: Vec::new(),
        clock: Some(clock("2026-11-28T15:41:00Z")),
        capabilities: Capabilities {
            net_admin: true,
            net_raw: true,
        },
        has_resilient_groups: true,
        hosts_are_flows: Vec::new(),
        no_raw_socket: None,
        refused_pings: SortedMap::new(),
    }
}

/// An hour ahead of UTC.
fn clock(utc: &str) -> ZonedTime {
    ZonedTime {
        utc: Timestamp(humantime::parse_rfc3339(utc).expect("a time")),
        offset: 3_600,
    }
}

/// A foreign rule for all traffic.
fn rule(priority: u32) -> ForeignRule {
    ForeignRule {
        protocol: Protocol(2),
        rule: Rule::lookup(RulePriority(priority), Family::Ipv4, TableId(100)),
        mask: u32::MAX,
        is_inverted: false,
        says_more: false,
    }
}

/// A foreign default route.
fn default_through(number: u32) -> Route {
    Route {
        table: MAIN,
        destination: "0.0.0.0/0".parse().expect("a prefix"),
        metric: Metric(0),
        paths: vec![Path {
            index: index(number),
            gateway: None,
            onlink: false,
            weight: Weight(1),
            options: None,
        }],
        group: None,
        options: RouteOptions::default(),
    }
}

fn with_link(change: impl FnOnce(&mut Link)) -> Facts {
    let mut facts = good();
    let eth2 = facts.observed.links.get_mut(&index(2)).expect("eth2");
    change(eth2);
    facts
}

/// The findings, as `severity object: what`.
fn said(text: &str, facts: &Facts) -> Vec<String> {
    let line = |finding: Finding| {
        assert!(!finding.remedy.is_empty());
        format!(
            "{:?} {}: {}",
            finding.severity, finding.object, finding.what
        )
    };
    let findings = findings(&config(text), facts);
    findings.into_iter().map(line).collect()
}

#[test]
fn nothing_is_reported_of_a_good_machine() {
    assert_eq!(said(TWO_UPLINKS, &good()), [""; 0]);
}

#[test]
fn an_uplink_with_one_target_is_reported() {
    let text = format!("{TWO_UPLINKS}[uplink.probe]\ntargets = [\"9.9.9.9\"]\n");
    let says = "Warning uplink lte: has one target, 9.9.9.9: an outage of the target looks like one of the uplink";
    assert_eq!(said(&text, &good()), [says]);
}

#[test]
fn a_target_that_is_no_farther_than_a_link_of_this_machine_is_reported() {
    let text = format!(
        "{TWO_UPLINKS}[uplink.probe]\ntargets = [\"192.0.1.2\", \"tcp://192.0.2.1:53\", \"192.0.3.1\"]\n"
    );
    assert_eq!(
        said(&text, &good()),
        [
            "Warning uplink lte: 192.0.1.2 is an address of this machine, which answers while the uplink is dead",
            "Warning uplink lte: tcp://192.0.2.1:53 is on the link eth2: it answers while nothing beyond does",
        ]
    );
}

#[test]
fn a_missing_interface_is_reported_with_those_that_are_there() {
    let facts = with_link(|link| link.name = name("wwan0"));
    let found = findings(&config(TWO_UPLINKS), &facts);
    assert_eq!(found[0].what, "interface eth2 does not exist");
    assert!(found[0].remedy.contains("one that exists (eth1, wwan0)"));
    assert_eq!(found[0].severity, Error);
}

#[test]
fn the_first_trouble_of_a_link_is_reported() {
    let down = with_link(|link| link.is_up = false);
    assert_eq!(
        said(TWO_UPLINKS, &down),
        ["Error uplink lte: interface eth2 is down"]
    );
    let dark = with_link(|link| link.has_carrier = false);
    assert_eq!(
        said(TWO_UPLINKS, &dark),
        ["Warning uplink lte: interface eth2 has no carrier"]
    );
    let bare = with_link(|link| link.addresses.clear());
    assert_eq!(
        said(TWO_UPLINKS, &bare),
        ["Error uplink lte: interface eth2 has no address"]
    );
    let lost = with_link(|link| link.defaults.clear());
    assert_eq!(
        said(TWO_UPLINKS, &lost),
        ["Error uplink lte: has no next hop through eth2"]
    );
}

#[test]
fn an_uplink_that_cannot_hear_routers_or_has_no_ipv6_beside_one_that_has_is_reported() {
    let mut facts = good();
    facts.deaf_to_routers.insert(name("eth2"));
    let deaf = "Warning uplink lte: has no IPv6: eth2 ignores router advertisements, because this \
                machine forwards";
    assert_eq!(said(TWO_UPLINKS, &facts), [deaf]);
    let eth1 = facts.observed.links.get_mut(&index(1)).expect("eth1");
    eth1.addresses.push(prefix("2001:db8:1::2/64").into());
    eth1.defaults.push(LearnedDefault {
        family: Family::Ipv6,
        gateway: Some(address("fe80::1")),
        ..eth1.defaults[0].clone()
    });
    let missing = "Note uplink lte: has no IPv6, while fiber has: while it is active, IPv6 goes through \
                   fiber, and while that is down by the default route of the main table or not at all";
    assert_eq!(said(TWO_UPLINKS, &facts), [deaf, missing]);
}

#[test]
fn a_configured_next_hop_must_be_on_the_link_and_not_ourselves() {
    let by_gateway = |gateway| said(&format!("{TWO_UPLINKS}gateway = \"{gateway}\"\n"), &good());
    assert_eq!(by_gateway("192.0.2.1"), [""; 0]);
    assert_eq!(
        by_gateway("198.51.100.1"),
        ["Warning uplink lte: next hop 198.51.100.1 is in no network of eth2"]
    );
    assert_eq!(
        by_gateway("192.0.2.2"),
        ["Error uplink lte: next hop 192.0.2.2 is this machine itself"]
    );
    let said = by_gateway("none");
    assert!(
        said[0].starts_with("Warning uplink lte: has `gateway = \"none\"`, but eth2 is not point")
    );
}

#[test]
fn a_strict_reverse_path_filter_is_reported_unless_it_looks_at_marks() {
    let mut facts = good();
    let strict = ReversePathFilter::Strict;
    facts.reverse_path_filter.insert(name("eth1"), strict);
    let found = findings(&config(TWO_UPLINKS), &facts);
    assert_eq!(found[0].object, "uplink fiber");
    let remedy = &found[0].remedy;
    assert!(remedy.contains("sysctl -w net.ipv4.conf.eth1.src_valid_mark=1"));
    assert!(remedy.ends_with("sysctl -w net.ipv4.conf.eth1.rp_filter=2"));
    facts.looks_at_marks.insert(name("eth1"));
    assert_eq!(said(TWO_UPLINKS, &facts), [""; 0]);
    facts.flow_memory = FlowMemoryState::Off;
    let found = findings(&config(TWO_UPLINKS), &facts);
    assert!(!found[0].remedy.contains("src_valid_mark"));
}

#[test]
fn a_kernel_that_cannot_remember_flows_is_reported_with_what_that_costs() {
    let facts = Facts {
        flow_memory: FlowMemoryState::Without("no table".to_owned()),
        ..good()
    };
    assert_eq!(
        said(TWO_UPLINKS, &facts),
        [
            "Warning flow memory: no table: what comes in by a standby is answered by the active uplink, flows move at \
             a failback, and new connections leave an uplink only when it is down"
        ]
    );
    let always = format!("[failover]\nsoft = \"always\"\n{TWO_UPLINKS}");
    assert_eq!(said(&always, &good()), [""; 0]);
    assert_eq!(
        said(&always, &facts)[1..],
        [
            "Note failover.soft: is \"always\", but new connections leave an uplink only when it is down: flows of \
             fewer than two uplinks are remembered"
        ]
    );
}

#[test]
fn a_rule_of_others_on_bits_that_remember_flows_is_reported_for_what_it_takes() {
    let rule_of = |mark, mask| ForeignRule {
        rule: Rule {
            mark: Some(Mark(mark)),
            ..rule(31_000).rule
        },
        mask,
        says_more: true,
        ..rule(31_000)
    };
    let said = |mark, mask| {
        let mut facts = good();
        facts.foreign.rules.push(rule_of(mark, mask));
        let found = findings(&config(TWO_UPLINKS), &facts);
        let remedies = found.iter().map(|one| one.remedy.clone());
        (said(TWO_UPLINKS, &facts), remedies.collect::<Vec<_>>())
    };
    let (both, remedies) = said(0x7500_0000, 0xff00_0000);
    assert_eq!(
        both,
        [
            "Warning rule 31000: takes the agent's probes, whose mark it matches, to table 100",
            "Warning rule 31000: (fwmark 0x75000000/0xff000000) compares bits of `routing.flow_mark`, 0xff000000: the \
             flows of its owner are not remembered, and may lose its mark",
        ]
    );
    assert!(
        remedies[1].ends_with("such as \"0xff0000\""),
        "{remedies:?}"
    );
    let (taken, _) = said(0x0200_0000, 0xff00_0000);
    assert!(
        taken[0].contains("takes flows that are remembered to table 100"),
        "{taken:?}"
    );
    for (mark, mask) in [
        (0x0008_0000, 0x00ff_0000),
        (0x3e00, 0x3f00),
        (51_820, u32::MAX),
    ] {
        let (none, _) = said(mark, mask);
        assert_eq!(none, [""; 0], "{mark:#x}/{mask:#x}");
    }
}

#[test]
fn missing_capabilities_are_named() {
    let facts = Facts {
        capabilities: Capabilities::default(),
        ..good()
    };
    assert_eq!(
        said(TWO_UPLINKS, &facts),
        [
            "Error permissions: CAP_NET_ADMIN is missing: routes and rules cannot be changed",
            "Error permissions: CAP_NET_RAW is missing: no probes can be sent",
        ]
    );
}

#[test]
fn a_kernel_without_rules_and_a_machine_that_does_not_forward_are_reported() {
    let facts = Facts {
        foreign: ForeignObjects::default(),
        is_forwarding: false,
        ..good()
    };
    assert_eq!(
        said(TWO_UPLINKS, &facts),
        [
            "Error kernel: has no policy routing (CONFIG_IP_MULTIPLE_TABLES)",
            "Note kernel: forwards no packets: only the traffic of this machine itself uses the uplinks",
        ]
    );
}

#[test]
fn rules_of_others_are_reported_where_they_meet_ours() {
    let mut facts = good();
    let mut vpn = rule(31_000);
    vpn.says_more = true;
    facts
        .foreign
        .rules
        .extend([rule(1000), vpn, rule(32_001), rule(32_765), rule(32_500)]);
    let said = said(TWO_UPLINKS, &facts);
    let objects: Vec<_> = said
        .iter()
        .filter_map(|line| line.split(": ").next())
        .collect();
    assert_eq!(
        objects,
        [
            "Warning rule 1000",
            "Warning rule 32001",
            "Warning rule 32765"
        ]
    );

    let early = format!("[routing]\ndefault_rule = 32100\n{TWO_UPLINKS}");
    let found = findings(&config(&early), &facts);
    let behind = |finding: &&Finding| finding.remedy.contains("behind 32500");
    assert!(found.iter().any(|finding| behind(&finding)));
}

/// The configuration with its routes in the main table.
fn in_main() -> String {
    format!("[routing]\nmode = \"main\"\n{TWO_UPLINKS}")
}

/// A machine whose kernel knows no rules.
fn without_rules() -> Facts {
    Facts {
        foreign: ForeignObjects::default(),
        ..good()
    }
}

#[test]
fn the_mode_that_fits_the_kernel_is_recommended() {
    assert_eq!(said(&in_main(), &without_rules()), [""; 0]);
    let found = findings(&config(TWO_UPLINKS), &without_rules());
    assert!(
        found[0]
            .remedy
            .starts_with("set `routing.mode` to \"main\"")
    );
    let found = findings(&config(&in_main()), &good());
    assert_eq!((found.len(), found[0].severity), (1, Note));
    assert!(found[0].remedy.starts_with("set it to \"table\""));
}

#[test]
fn in_main_default_routes_that_go_before_the_agents_or_bar_it_are_reported() {
    let mut facts = without_rules();
    let mut add = |metric, through| {
        facts.foreign.defaults.push(ForeignRoute {
            protocol: Protocol(16),
            table: MAIN,
            destination: prefix("0.0.0.0/0"),
            metric: Metric(metric),
            through,
        });
    };
    add(61, Some(index(1)));
    add(60, Some(index(1)));
    add(0, Some(index(2)));
    add(50, Some(index(9)));
    add(30, None);
    add(4_278_198_272, None);
    assert_eq!(
        said(&in_main(), &facts),
        [
            "Error main table: a foreign default route through eth1 has the agent's metric, 60: the \
             agent's cannot be added",
            "Error main table: the default route through eth2 has metric 0, before the agent's 60: it \
             carries the traffic in any case",
            "Note main table: the default route through 9, which is no uplink, has metric 50, before \
             the agent's 60: it carries the traffic",
            "Error main table: a route to 0.0.0.0/0 of metric 30 leads nowhere and goes before the agent's",
        ]
    );
    assert_eq!(
        said(
            TWO_UPLINKS,
            &Facts {
                foreign: ForeignObjects {
                    are_rules_known: true,
                    ..facts.foreign
                },
                ..good()
            }
        ),
        [""; 0]
    );
}

#[test]
fn in_main_only_rules_for_all_traffic_are_reported() {
    let mut facts = good();
    facts.foreign.rules = vec![rule(0), rule(32_766), rule(32_000)];
    let marked = |mut foreign: ForeignRule| {
        foreign.rule.mark = Some(Mark(1));
        foreign
    };
    facts.foreign.rules.push(marked(rule(100)));
    let said = said(&in_main(), &facts);
    let about_rules: Vec<_> = { said.iter() }
        .filter(|line| line.contains(" rule "))
        .collect();
    assert_eq!(
        about_rules,
        ["Warning rule 32000: sends all traffic to table 100 before the main table"]
    );
}

#[test]
fn a_rule_that_matches_the_mark_of_our_probes_is_reported() {
    let with = |priority, mark, mask| {
        let mut facts = good();
        let mut foreign = rule(priority);
        foreign.rule.mark = Some(Mark(mark));
        (foreign.mask, foreign.says_more) = (mask, mask != u32::MAX);
        facts.foreign.rules.push(foreign);
        let mut said = said(TWO_UPLINKS, &facts);
        // What it does to flows is a finding of its own.
        said.retain(|line| !line.contains("flow_mark"));
        said
    };
    assert_eq!(
        with(500, 0x7500_0000, 0xff00_0000),
        ["Warning rule 500: takes the agent's probes, whose mark it matches, to table 100"]
    );
    assert_eq!(
        with(500, 0x7570_0001, u32::MAX).len(),
        1,
        "that of the second uplink"
    );
    assert_eq!(with(500, 0x7570_0002, u32::MAX), [""; 0]);
    assert_eq!(with(500, 0x0008_0000, 0x00ff_0000), [""; 0]);
    assert_eq!(
        with(32_100, 0x7500_0000, 0xff00_0000),
        [""; 0],
        "behind ours"
    );
}

#[test]
fn a_foreign_table_for_an_uplinks_address_is_reported() {
    let mut facts = good();
    let mut foreign = rule(10_000);
    foreign.rule.from = Some(prefix("192.0.1.2/32"));
    facts.foreign.rules.push(foreign);
    assert_eq!(
        said(TWO_UPLINKS, &facts),
        [
            "Note rule 10000: sends packets from 192.0.1.2/32, an address of fiber, to table 100 before the \
         agent's rules"
        ]
    );
}

#[test]
fn networkd_is_reported_where_it_would_remove_routes_or_rules() {
    let with = |removes_routes, removes_rules| Facts {
        networkd: Networkd {
            removes_routes,
            removes_rules,
        },
        ..good()
    };
    let all = "Warning systemd-networkd: removes the agent's routes and rules when it restarts; the agent \
               restores them after a gap";
    assert_eq!(said(TWO_UPLINKS, &with(true, true)), [all]);
    assert_eq!(
        said(TWO_UPLINKS, &with(false, true)),
        [all.replace("routes and rules", "rules")]
    );
    let in_main = said(&in_main(), &with(true, true));
    assert!(
        in_main.contains(&all.replace("routes and rules", "routes")),
        "{in_main:?}"
    );
}

#[test]
fn network_manager_is_reported_where_it_judges_the_uplinks_too() {
    let mut facts = with_link(|link| link.defaults[0].metric = Metric(20_101));
    assert_eq!(said(TWO_UPLINKS, &facts), [""; 0], "it does not run");
    facts.has_network_manager = true;
    let found = findings(&config(TWO_UPLINKS), &facts);
    assert_eq!(
        (found[0].object.as_str(), found[0].severity),
        ("NetworkManager", Note)
    );
    assert!(
        found[0].what.contains("route of eth2 back"),
        "{}",
        found[0].what
    );
}

fn details(kind: LinkKind, master: Option<u32>) -> LinkDetails {
    LinkDetails {
        kind,
        master: master.map(index),
    }
}

#[test]
fn a_tunnel_is_reported_with_the_mark_that_keeps_its_own_packets_out_of_it() {
    let mut facts = good();
    let link_details = &mut facts.foreign.link_details;
    link_details.insert(index(1), details(LinkKind::Tunnel, None));
    let found = findings(&config(TWO_UPLINKS), &facts);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].object, "uplink fiber");
    assert!(
        found[0].remedy.contains("wg set eth1 fwmark 0x75700001"),
        "{}",
        found[0].remedy
    );
}

#[test]
fn a_port_of_a_bridge_and_a_member_of_a_vrf_are_no_uplinks() {
    let mut facts = good();
    let bridge = Link {
        name: name("br-wan"),
        ..link(5)
    };
    facts.observed.links.insert(index(5), bridge);
    let link_details = &mut facts.foreign.link_details;
    link_details.insert(index(1), details(LinkKind::Other, Some(5)));
    link_details.insert(index(2), details(LinkKind::Other, Some(6)));
    link_details.insert(index(6), details(LinkKind::Vrf, None));
    assert_eq!(
        said(TWO_UPLINKS, &facts),
        [
            "Error uplink fiber: eth1 is a port of br-wan: addresses and routes belong to br-wan",
            "Error uplink lte: eth2 belongs to the VRF 6: the VRF's table goes before the agent's",
        ]
    );
}

#[test]
fn routes_of_others_in_our_tables_and_ours_in_theirs_are_reported() {
    let route = |table| Route {
        table: TableId(table),
        ..default_through(1)
    };
    let mut facts = good();
    facts.foreign.routes.push(ForeignRoute {
        protocol: Protocol(4),
        table: TableId(11_701),
        destination: prefix("0.0.0.0/0"),
        metric: Metric(0),
        through: None,
    });
    facts.observed.routes = vec![route(11_700), route(11_702), route(11_703)];
    assert_eq!(
        said(TWO_UPLINKS, &facts),
        [
            "Error table 11701: holds a route to 0.0.0.0/0 of protocol 4, which is not the agent's",
            "Warning protocol 117: is the agent's, and 1 of its routes stand outside its tables (11700 to \
             11702): the agent removes them",
        ]
    );
}

#[test]
fn a_foreign_nexthop_object_with_a_number_of_the_agents_is_reported_where_uplinks_share() {
    let mut facts = good();
    let object = (NextHopId(11_700_000), Protocol(4));
    facts.foreign.next_hops.extend([object]);
    let about_objects = |text: &str| {
        let said = said(text, &facts).into_iter();
        said.filter(|line| line.contains("nexthop object 11700000"))
            .count()
    };
    assert_eq!(about_objects(TWO_UPLINKS), 0);
    let shared = format!("{TWO_UPLINKS}[failover]\npolicy = \"balance\"\n");
    assert_eq!(about_objects(&shared), 1);
}

#[test]
fn a_metered_uplink_is_reported_with_what_its_budget_buys() {
    let text = format!("{TWO_UPLINKS}metered = true\n");
    let config = config(&text);
    let found: Vec<_> = config.engine.uplinks.iter().filter_map(on_budget).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].object, "uplink lte");
    assert_eq!(
        found[0].what,
        "is metered: 50 MB in 30 days buy a probe every 16 s; an outage without traffic is suspected \
         within 20 s"
    );
}

#[test]
fn soft_failover_that_has_no_free_standby_is_reported_with_the_key_that_allows_others() {
    let on_soft = |text: &str| {
        let said = said(text, &good()).into_iter();
        said.filter(|line| line.contains("failover.soft"))
            .collect::<Vec<_>>()
    };
    let note = "Note failover.soft: new connections leave an uplink only when it is down: fewer than two uplinks are not \
                metered";
    let metered = format!("{TWO_UPLINKS}metered = true\n");
    assert_eq!(on_soft(&metered), [note]);
    for soft in ["always", "off"] {
        let chosen = format!("[failover]\nsoft = \"{soft}\"\n{metered}");
        assert_eq!(on_soft(&chosen), [""; 0]);
    }
}

#[test]
fn rules_of_other_software_that_write_marks_are_reported_with_what_becomes_of_their_flows() {
    let mut facts = good();
    facts.foreign.mark_writers.of_packets = ["qos p".to_owned()].into();
    facts.foreign.mark_writers.of_connections =
        ["theirs a".to_owned(), "theirs b".to_owned()].into();
    assert_eq!(
        said(TWO_UPLINKS, &facts),
        [
            "Note flow memory: rules in qos p mark packets: a flow whose packets carry a mark of other software is not \
             remembered; it moves whenever the traffic does, and at a doubt",
            "Note flow memory: rules in theirs a, theirs b mark connections: where they write the bits 0xff000000, flows \
             are led and ended by them"
        ]
    );
}

#[test]
fn a_flow_table_is_reported_with_what_that_means_for_a_drill() {
    let mut facts = good();
    facts.foreign.flow_tables = vec!["fw4 ft".to_owned()];
    assert_eq!(
        said(TWO_UPLINKS, &facts),
        [
            "Note flow offloading: fw4 ft carries flows past the firewall: they are moved and stay like others, but a \
             drill cuts them only when the traffic has moved"
        ]
    );
}

#[test]
fn a_cold_uplink_may_be_absent_but_needs_a_hook() {
    let config = config(&format!("{TWO_UPLINKS}standby = \"cold\"\n"));
    let mut facts = good();
    facts.observed.links.remove(&index(2));
    assert_eq!(findings(&config, &facts), []);
    facts.hooks.programs.clear();
    let found = findings(&config, &facts);
    let [missing] = &*found else {
        panic!("{found:?}");
    };
    assert_eq!(missing.severity, Error);
    assert!(missing.what.contains("no hook brings eth2 up"));
    let named = format!("{TWO_UPLINKS}standby = \"cold\"\nnetwork = \"wwan\"\n");
    assert_eq!(said(&named, &facts), [""; 0], "netifd brings it up");
}

#[test]
fn what_is_wrong_with_a_network_of_netifd_is_said_of_the_network() {
    let mut facts = good();
    let text = TWO_UPLINKS.replace("interface = \"eth2\"", "network = \"nope\"");
    assert_ne!(text, TWO_UPLINKS);
    let remedy = |config: &Config, facts: &Facts| {
        let found = findings(config, facts);
        let of_lte = found
            .into_iter()
            .find(|finding| finding.what.contains("nope"));
        let of_lte = of_lte.expect("a finding");
        (of_lte.what, of_lte.remedy)
    };
    let mut config = config(&text);
    let (what, advice) = remedy(&config, &facts);
    assert_eq!(what, "netifd has no network nope, or no device for it");
    assert!(
        advice.starts_with("set `network` to one that netifd has"),
        "{advice}"
    );
    assert!(!advice.contains("`interface`"), "{advice}");
    // netifd has told a device that is not there now.
    config.engine.uplinks[1].interface = name("eth2");
    facts.observed.links.remove(&index(2));
    let (what, advice) = remedy(&config, &facts);
    assert_eq!(
        what,
        "interface eth2, the device of network nope, does not exist"
    );
    assert!(
        advice.contains("ifup nope") && !advice.contains("`interface`"),
        "{advice}"
    );
}

#[test]
fn a_file_among_the_hooks_that_is_not_run_is_named_with_the_reason() {
    let mut facts = good();
    let path = "/etc/uplinkd/hooks.d/mail.sh".into();
    let why = "its name has other characters than letters, digits, - and _".to_owned();
    facts.hooks.others.insert(path, why);
    let found = findings(&config(TWO_UPLINKS), &facts);
    let [mail] = &*found else {
        panic!("{found:?}");
    };
    assert_eq!(mail.severity, Warning);
    assert_eq!(mail.object, "hook /etc/uplinkd/hooks.d/mail.sh");
    assert!(mail.what.starts_with("is not run: its name"), "{mail:?}");
}

#[test]
fn sharing_is_reported_with_what_the_kernel_makes_of_flows() {
    let text = format!("{TWO_UPLINKS}\n[failover]\npolicy = \"balance\"\n");
    let mut facts = good();
    let resilient = said(&text, &facts).join("\n");
    assert!(
        resilient.contains("Note balance: established flows stay on their uplink"),
        "{resilient}"
    );
    facts.has_resilient_groups = false;
    facts.hosts_are_flows = vec![Family::Ipv4];
    let plain = said(&text, &facts).join("\n");
    assert!(
        plain.contains("Warning balance: some established flows move"),
        "{plain}"
    );
    assert!(
        plain.contains("takes one uplink (net.ipv4.fib_multipath_hash_policy is 0)"),
        "{plain}"
    );
    assert!(!said(TWO_UPLINKS, &facts).join("\n").contains("balance"));
}

#[test]
fn the_clock_by_which_hours_go_is_shown_and_one_that_is_not_set_is_a_warning() {
    let text = format!("failover.failback_window = \"02:00-05:00\"\n{TWO_UPLINKS}");
    let shows =
        "Note clock: shows sat 16:41: `when`, `failback_window` and `drill.schedule` go by it";
    assert_eq!(said(&text, &good()), [shows]);
    let mut facts = good();
    facts.clock = Some(clock("1970-01-01T00:05:00Z"));
    let warned = said(&text, &facts);
    assert!(
        warned[0].starts_with("Warning clock: is not set (1970-01-01T00:05:00Z)"),
        "{warned:?}"
    );
    assert_eq!(said(TWO_UPLINKS, &facts), [""; 0]);
}

#[test]
fn a_tunnel_whose_endpoint_has_a_route_of_its_own_is_a_warning() {
    let mut facts = good();
    facts.pinned_tunnels = vec!["wg0".to_owned()];
    let warned = said(TWO_UPLINKS, &facts);
    assert_eq!(warned.len(), 1);
    assert!(
        warned[0].starts_with("Warning WireGuard wg0: has no `nohostroute`"),
        "{warned:?}"
    );
}
