use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::*;
use crate::cli::check::facts::Capabilities;
use crate::kernel::{ForeignRoute, Strangers};
use crate::routing::{Family, LearnedDefault, Observed, Path, Preference, Route};
use crate::units::{IfIndex, InterfaceName, Metric, Protocol, RulePriority, Weight};

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
        peers: Vec::new(),
        defaults: vec![LearnedDefault {
            family: Family::Ipv4,
            metric: Metric(100),
            preference: Preference::default(),
            gateway: Some(address(&format!("192.0.{number}.1"))),
            onlink: false,
            source: None,
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
        strangers: Strangers {
            are_rules_known: true,
            rules: vec![rule(0), rule(32_766), rule(32_767)],
            routes: Vec::new(),
        },
        reverse_path_filter: [
            ("eth1", ReversePathFilter::Loose),
            ("eth2", ReversePathFilter::Off),
        ]
        .map(|(interface, filter)| (name(interface), filter))
        .into(),
        deaf_to_routers: BTreeSet::new(),
        is_forwarding: true,
        capabilities: Capabilities {
            net_admin: true,
            net_raw: true,
        },
        no_raw_socket: None,
    }
}

/// Somebody's rule for all traffic.
fn rule(priority: u32) -> ForeignRule {
    ForeignRule {
        protocol: Protocol(2),
        rule: Rule {
            priority: RulePriority(priority),
            family: Family::Ipv4,
            from: None,
            mark: None,
            oif: None,
            table: TableId(100),
            suppress_prefix_length: None,
        },
        says_more: false,
    }
}

fn with_link(change: impl FnOnce(&mut Link)) -> Facts {
    let mut facts = good();
    let eth2 = facts.observed.links.get_mut(&index(2)).expect("eth2");
    change(eth2);
    facts
}

/// What is said, as `severity object: what`.
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
fn nothing_is_said_about_a_good_machine() {
    assert_eq!(said(TWO_UPLINKS, &good()), [""; 0]);
}

#[test]
fn an_uplink_with_nobody_else_to_ask_is_told() {
    let text = format!("{TWO_UPLINKS}[uplink.probe]\ntargets = [\"9.9.9.9\"]\n");
    let says =
        "Warning uplink lte: nobody but 9.9.9.9 is asked: if it dies, the uplink seems to be dead";
    assert_eq!(said(&text, &good()), [says]);
}

#[test]
fn a_missing_interface_is_told_with_those_that_are_there() {
    let facts = with_link(|link| link.name = name("wwan0"));
    let found = findings(&config(TWO_UPLINKS), &facts);
    assert_eq!(found[0].what, "there is no interface eth2");
    assert!(found[0].remedy.contains("(there are eth1, wwan0)"));
    assert_eq!(found[0].severity, Error);
}

#[test]
fn the_first_trouble_of_a_link_is_told() {
    let down = with_link(|link| link.is_up = false);
    assert_eq!(said(TWO_UPLINKS, &down), ["Error uplink lte: eth2 is down"]);
    let dark = with_link(|link| link.has_carrier = false);
    assert_eq!(
        said(TWO_UPLINKS, &dark),
        ["Warning uplink lte: eth2 has no carrier"]
    );
    let bare = with_link(|link| link.addresses.clear());
    assert_eq!(
        said(TWO_UPLINKS, &bare),
        ["Error uplink lte: eth2 has no address"]
    );
    let lost = with_link(|link| link.defaults.clear());
    assert_eq!(
        said(TWO_UPLINKS, &lost),
        ["Error uplink lte: no next hop is known through eth2"]
    );
}

#[test]
fn an_uplink_that_cannot_hear_routers_or_has_no_ipv6_beside_one_that_has_is_told() {
    let mut facts = good();
    facts.deaf_to_routers.insert(name("eth2"));
    let deaf = "Warning uplink lte: no IPv6: this machine forwards, so the kernel does not listen \
                to routers that advertise themselves on eth2";
    assert_eq!(said(TWO_UPLINKS, &facts), [deaf]);
    let eth1 = facts.observed.links.get_mut(&index(1)).expect("eth1");
    eth1.addresses.push(prefix("2001:db8:1::2/64").into());
    eth1.defaults.push(LearnedDefault {
        family: Family::Ipv6,
        gateway: Some(address("fe80::1")),
        ..eth1.defaults[0]
    });
    let missing = "Note uplink lte: has no IPv6, while fiber has: when it carries the traffic, IPv6 \
                   takes the default route of the main table or none";
    assert_eq!(said(TWO_UPLINKS, &facts), [deaf, missing]);
}

#[test]
fn a_configured_next_hop_must_be_on_the_link_and_not_ourselves() {
    let by_gateway = |gateway| said(&format!("{TWO_UPLINKS}gateway = \"{gateway}\"\n"), &good());
    assert_eq!(by_gateway("192.0.2.1"), [""; 0]);
    assert_eq!(
        by_gateway("198.51.100.1"),
        ["Warning uplink lte: the next hop 198.51.100.1 is in no network of eth2"]
    );
    assert_eq!(
        by_gateway("192.0.2.2"),
        ["Error uplink lte: the next hop 192.0.2.2 is this machine itself"]
    );
    let said = by_gateway("none");
    assert!(said[0].starts_with("Warning uplink lte: `gateway = \"none\"`, but eth2 is not point"));
}

#[test]
fn a_strict_reverse_path_filter_is_told() {
    let mut facts = good();
    let strict = ReversePathFilter::Strict;
    facts.reverse_path_filter.insert(name("eth1"), strict);
    let found = findings(&config(TWO_UPLINKS), &facts);
    assert_eq!(found[0].object, "uplink fiber");
    assert!(
        found[0]
            .remedy
            .ends_with("sysctl -w net.ipv4.conf.eth1.rp_filter=2")
    );
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
fn a_kernel_without_rules_and_a_machine_that_does_not_forward_are_told() {
    let facts = Facts {
        strangers: Strangers::default(),
        is_forwarding: false,
        ..good()
    };
    assert_eq!(
        said(TWO_UPLINKS, &facts),
        [
            "Error kernel: no policy routing: this kernel knows no rules",
            "Note kernel: this machine forwards nothing: only its own traffic will use the uplinks",
        ]
    );
}

#[test]
fn rules_of_others_are_told_where_they_meet_ours() {
    let mut facts = good();
    let mut vpn = rule(31_000);
    vpn.says_more = true;
    facts
        .strangers
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

#[test]
fn routes_of_others_in_our_tables_and_ours_in_theirs_are_told() {
    let route = |table| Route {
        table: TableId(table),
        destination: "0.0.0.0/0".parse().expect("a prefix"),
        metric: Metric(0),
        paths: vec![Path {
            index: index(1),
            gateway: None,
            onlink: false,
            weight: Weight(1),
        }],
    };
    let mut facts = good();
    facts.strangers.routes.push(ForeignRoute {
        protocol: Protocol(4),
        route: route(11_701),
    });
    facts.observed.routes = vec![route(11_700), route(11_702), route(11_703)];
    assert_eq!(
        said(TWO_UPLINKS, &facts),
        [
            "Error table 11701: holds a route to 0.0.0.0/0 of protocol 4, which is not ours",
            "Warning protocol 117: routes with our protocol number stand outside our tables (11700 \
             to 11702), 1 in all: the agent will remove them",
        ]
    );
}
