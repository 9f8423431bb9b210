//! What becomes of a configuration of mwan3.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::cases::cases;
use proptest::prelude::*;
use uplinkd::config::mwan3::{Mwan3Files, import};
use uplinkd::config::write::ConfigDraft;
use uplinkd::config::{Config, ConfigError};
use uplinkd::engine::settings::{Policy, WhenNone};

const NETWORK: &str = include_str!("mwan3/network");
const FAILOVER: &str = include_str!("mwan3/failover");
const BALANCED: &str = include_str!("mwan3/balanced");
const OFFICE: &str = include_str!("mwan3/office");
const EVERY_OPTION: &str = include_str!("mwan3/every-option");

fn draft(text: &str, network: Option<&str>) -> Result<ConfigDraft, ConfigError> {
    import(Mwan3Files {
        mwan3: ("mwan3", text),
        network: network.map(|text| ("network", text)),
    })
}

/// The result as text and as what it means, which is the same in both forms.
fn result(text: &str, network: Option<&str>) -> (String, Config) {
    let draft = draft(text, network).unwrap_or_else(|error| panic!("{error}"));
    let (uci, toml) = (draft.to_uci(), draft.to_toml());
    let parsed = |text: &str, name| {
        Config::parse(text, name).unwrap_or_else(|error| panic!("{error}\n{text}"))
    };
    let config = parsed(&uci, "result");
    assert_eq!(config, parsed(&toml, "result.toml"));
    (uci, config)
}

/// Name, interface, tier and weight of each uplink.
fn uplinks(config: &Config) -> Vec<String> {
    let uplinks = config.engine.uplinks.iter();
    let line = |uplink: &uplinkd::engine::settings::UplinkSettings| {
        let (name, interface) = (&uplink.name, &uplink.interface);
        format!("{name} {interface} {} {}", uplink.tier, uplink.weight)
    };
    uplinks.map(line).collect()
}

fn targets(config: &Config, uplink: usize) -> Vec<String> {
    let targets = &config.engine.uplinks[uplink].probe.targets;
    targets.iter().map(ToString::to_string).collect()
}

fn has(text: &str, remark: &str) {
    let flat: Vec<_> = text
        .split_whitespace()
        .filter(|word| *word != "#")
        .collect();
    let flat = flat.join(" ");
    assert!(flat.contains(remark), "no `{remark}` in\n{text}");
}

#[test]
fn members_of_the_policy_for_all_traffic_become_tiers() {
    let (text, config) = result(FAILOVER, None);
    assert_eq!(uplinks(&config), ["wan wan 1 1", "wwan wwan 2 1"]);
    assert_eq!(config.engine.failover.policy, Policy::Failover);
    assert_eq!(
        targets(&config, 0),
        ["198.51.100.53", "203.0.113.53", "192.0.2.53"]
    );
    let [wan, modem] = config.engine.uplinks.as_slice() else {
        panic!("two uplinks");
    };
    assert_eq!(wan.probe.quorum, 2);
    assert_eq!(wan.probe.interval.as_secs(), 5);
    assert_eq!(modem.probe.interval.as_secs(), 60);
    assert_eq!(modem.probe.timeout.as_secs(), 10);
    assert_eq!(modem.health.window.as_secs(), 300);
    assert_eq!(config.engine.failover.failback_after.as_secs(), 15);
    assert!(config.engine.groups.is_empty() && config.engine.rules.is_empty());
    has(
        &text,
        "flush_conntrack 'ifup disconnected' (wwan): differently: only the flows",
    );
    has(&text, "rule all: is the default group, by fibre_then_lte.");
}

#[test]
fn members_of_one_metric_share_and_interfaces_of_both_families_are_one_uplink() {
    let (text, config) = result(BALANCED, None);
    let expected = ["wan wan 1 3", "wanb wanb 1 2", "lte lte 9 1"];
    assert_eq!(uplinks(&config), expected);
    assert_eq!(config.engine.failover.policy, Policy::Balance);
    assert_eq!(
        targets(&config, 0),
        ["198.51.100.53", "203.0.113.53", "2001:db8:53::1"]
    );
    // Of each family, and no more than it has targets.
    assert_eq!(config.engine.uplinks[0].probe.quorum, 2);
    assert!(config.engine.groups.is_empty() && config.engine.rules.is_empty());
    has(
        &text,
        "mwan3: interface wan and wan6, which are one uplink of both families.",
    );
    has(
        &text,
        "interface wanb6: not enabled, left out, and its members with it.",
    );
    has(&text, "sticky '1': differently:");
    has(&text, "flush_conntrack is not set");
}

#[test]
fn rules_become_groups_and_what_has_no_counterpart_is_said() {
    let (text, config) = result(OFFICE, Some(NETWORK));
    let expected = ["isp1 pppoe-isp1 1 1", "isp2 eth2.7 2 1", "sat sat 5 1"];
    assert_eq!(uplinks(&config), expected);
    let groups = config.engine.groups.iter();
    let groups: Vec<_> = groups
        .map(|group| {
            let uplinks: Vec<_> = group.uplinks.iter().map(ToString::to_string).collect();
            assert_eq!(
                group.when_none,
                WhenNone::Drop,
                "as mwan3 without last_resort"
            );
            (group.name.as_str(), group.policy, uplinks.join(" "))
        })
        .collect();
    assert_eq!(
        groups,
        [
            ("two_one_sat", Policy::Failover, "isp2 isp1 sat".to_owned()),
            ("both", Policy::Balance, "isp1 isp2".to_owned()),
            ("one_two", Policy::Failover, "isp1 isp2".to_owned()),
        ]
    );
    let rules = config.engine.rules.iter();
    let rules: Vec<_> = rules
        .map(|rule| {
            let traffic = &rule.traffic;
            let nets =
                |nets: &[_]| -> Vec<String> { nets.iter().map(ToString::to_string).collect() };
            let port = |port: Option<uplinkd::routing::traffic::Ports>| {
                port.map_or_else(String::new, |port| port.to_string())
            };
            format!(
                "{} {:?} {:?} {} {} {} {}",
                rule.group,
                nets(&traffic.from),
                nets(&traffic.to),
                traffic.iif.as_ref().map_or("", |name| name.as_str()),
                traffic.protocol.map_or(0, |protocol| protocol.0),
                port(traffic.sport),
                port(traffic.dport),
            )
        })
        .collect();
    assert_eq!(
        rules,
        [
            "two_one_sat [\"192.168.10.0/24\"] []  17  5060",
            "two_one_sat [\"192.168.10.0/24\"] []  17  10000-20000",
            "both [] [] br-guest 0  ",
            "one_two [] [\"203.0.113.0/24\"]  6  25",
            "two_one_sat [] [\"::/1\", \"8000::/1\"]  17 500 ",
        ]
    );
    for remark in [
        "track_ip 'www.example.com': left out: target 'www.example.com' is a name",
        "no member of one_two: mwan3 never gives it the traffic of the default group",
        "rule media: left out: ipset 'streaming': no counterpart.",
        "rule kept_in: left out: use_policy 'unreachable': NO LONGER REFUSED",
        "rule orphan: left out: use_policy 'no_such': no policy with an enabled interface.",
        "rule too_long_a_name_of_a_rule: left out: mwan3 ignores names of more than 15 letters.",
        "policy a_name_that_is_too_long: mwan3 ignores names of more than 15 letters.",
        "mwan3: rule dns, use_policy 'one_two'. As the default group, left out.",
        "rule guests_again: left out: an earlier rule takes all of it.",
        "rule never: left out: earlier rules take everything",
        "last_resort 'blackhole': `when_none` \"drop\" of a group",
    ] {
        has(&text, remark);
    }
}

#[test]
fn every_option_of_mwan3_is_answered() {
    let (text, config) = result(EVERY_OPTION, None);
    assert_eq!(
        uplinks(&config),
        [
            "wan wan 1 255",
            "lookup lookup 2 1",
            "neighbour neighbour 5 1",
            "blind blind 6 1",
            "knock knock 7 1"
        ]
    );
    assert_eq!(
        targets(&config, 0),
        ["tcp://198.51.100.53:443", "tcp://203.0.113.53:443"]
    );
    assert_eq!(targets(&config, 1), ["dns://198.51.100.53/www.google.com"]);
    assert_eq!(targets(&config, 4), ["tcp://[2001:db8:53::1]:80"]);
    let health = &config.engine.uplinks[0].health;
    assert_eq!(health.latency.enter.as_millis(), 800);
    assert_eq!(health.latency.exit.as_millis(), 400);
    assert_eq!(health.loss.enter.to_string(), "30.0 %");
    assert_eq!(health.loss.exit.to_string(), "29.0 %");
    assert_eq!(config.engine.failover.failback_after.as_secs(), 60);
    assert_eq!(config.engine.rules.len(), 2);
    let options = EVERY_OPTION.lines().map(str::trim);
    let options =
        options.filter_map(|line| line.strip_prefix("option ").or(line.strip_prefix("list ")));
    let options: BTreeSet<_> = options.filter_map(|line| line.split(' ').next()).collect();
    assert!(options.len() > 40, "{options:?}");
    // These are in the result under other names, and in the remarks on where they come from.
    let settings = [
        ("track_ip", "probe_targets"),
        ("family", "one uplink of both families"),
        ("interface", "option network"),
        ("src_ip", "list from '192.168.0.0/16'"),
        ("dest_ip", "list to '198.51.100.0/24'"),
        ("src_port", "option sport '1024-65535'"),
        ("dest_port", "option dport '443'"),
        ("proto", "option protocol 'tcp'"),
        ("enabled", "interface wan"),
        ("use_member", "use_member 'gone': no enabled interface"),
        ("name", "led extra: unknown"),
        ("metric", "its metric in p1"),
        ("weight", "its weight in p1"),
    ];
    for option in options {
        let shown = settings.iter().find(|(other, _)| *other == option);
        if let Some((_, shown)) = shown.filter(|(other, _)| *other != "family") {
            has(&text, shown);
        } else if option != "family" {
            has(&text, option);
        }
    }
    has(&text, "rule r1: shape: unknown to mwan3 2.12, left out.");
    has(
        &text,
        "globals globals: colour: unknown to mwan3 2.12, left out.",
    );
}

#[test]
fn devices_are_those_of_the_network() {
    let two = "config interface 'wan'\n\toption enabled '1'\nconfig interface 'wan6'\n\toption enabled '1'\n\
               \toption family 'ipv6'\nconfig interface 'isp1'\n\toption enabled '1'\n";
    let (text, config) = result(two, Some(NETWORK));
    assert_eq!(uplinks(&config), ["wan eth1 1 1", "isp1 pppoe-isp1 2 1"]);
    has(&text, "no rule takes everything");
    let (text, config) = result(two, None);
    assert_eq!(uplinks(&config), ["wan wan 1 1", "isp1 isp1 2 1"]);
    has(
        &text,
        "the interface's name in netifd, which gives its device",
    );
}

#[test]
fn the_rest_of_ipv6_may_go_another_way() {
    let rules = "config rule 'r4'\n\toption family 'ipv4'\n\toption use_policy 'one_two'\n\
                 config rule 'r6'\n\toption family 'ipv6'\n\toption use_policy 'two_one_sat'\n";
    let head = OFFICE
        .split("config rule")
        .next()
        .expect("sections before the rules");
    let (_, config) = result(&format!("{head}{rules}"), None);
    let [rule] = config.engine.rules.as_slice() else {
        panic!("one rule");
    };
    assert_eq!(rule.group.as_str(), "two_one_sat");
    assert_eq!(rule.traffic.to.len(), 2);
}

#[test]
fn what_mwan3_refuses_or_leaves_to_the_main_table_is_said() {
    let head = OFFICE
        .split("config rule")
        .next()
        .expect("sections before the rules");
    let (text, config) = result(
        &format!(
            "{head}config rule 'some'\n\toption src_ip '192.168.7.0/24'\n\toption use_policy 'both'\n\
             config rule 'main'\n\toption proto 'tcp'\n\toption use_policy 'default'\n\
             config rule 'none'\n\toption use_policy 'blackhole'\n\
             config rule 'late'\n\toption src_ip '192.168.8.8'\n\toption use_policy 'both'\n"
        ),
        None,
    );
    has(
        &text,
        "rule none: left out: use_policy 'blackhole': NO LONGER REFUSED",
    );
    has(&text, "rule late: left out: earlier rules take everything");
    has(&text, "no rule takes everything");
    has(
        &text,
        "use_policy 'default': differently: mwan3 leaves it to the main table",
    );
    assert_eq!(config.engine.rules.len(), 1);
    assert_eq!(
        uplinks(&config),
        ["isp1 isp1 1 1", "isp2 isp2 2 1", "sat sat 3 1"]
    );
}

#[test]
fn what_is_no_configuration_of_mwan3_is_refused_with_its_line() {
    let cases = [
        (
            "package network\n",
            "mwan3:1: package \"network\": must be \"mwan3\"",
        ),
        (
            "config interface 'wan\n",
            "mwan3:1: not valid UCI: the quote that opens on this line does not close on it",
        ),
        (
            "config interface 'wan'\n",
            "mwan3:1: interface: missing: one with `option enabled '1'`: there is nothing to take over",
        ),
    ];
    for (text, told) in cases {
        assert_eq!(draft(text, None).expect_err(text).to_string(), told);
    }
}

fn uplinkd(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uplinkd"));
    command.args(arguments).output().expect("it runs")
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/config/mwan3")
        .join(name)
}

#[test]
fn the_command_prints_a_configuration_and_fails_as_the_contract_says() {
    let office = path("office");
    let office = office.to_str().expect("UTF-8");
    let directory = tempfile::tempdir().expect("a directory");
    for form in [&["--toml"][..], &[]] {
        let printed = uplinkd(&[&["import", "mwan3", office], form].concat());
        assert!(printed.status.success(), "{printed:?}");
        assert_eq!(String::from_utf8_lossy(&printed.stderr), "");
        let path = directory.path().join("uplinkd");
        fs::write(&path, &printed.stdout).expect("a file");
        let config = Config::load(&path).expect("what was printed");
        // The network beside the file told the device.
        assert_eq!(config.engine.uplinks[0].interface.as_str(), "pppoe-isp1");
    }
    let missing = uplinkd(&["import", "mwan3", "/nowhere/mwan3"]);
    assert_eq!(missing.status.code(), Some(2));
    let broken = directory.path().join("mwan3");
    fs::write(&broken, "config interface 'wan\n").expect("a file");
    let broken = uplinkd(&["import", "mwan3", broken.to_str().expect("UTF-8")]);
    assert_eq!(broken.status.code(), Some(2));
    assert!(broken.stdout.is_empty(), "{broken:?}");
    assert!(String::from_utf8_lossy(&broken.stderr).contains("mwan3:1: not valid UCI"));
}

/// An interface, and what stands in it.
fn interface(name: &str, options: &str) -> String {
    format!("config interface '{name}'\n\toption enabled '1'\n{options}")
}

/// A policy of these members, each an interface with its metric and weight.
fn policy(name: &str, members: &[(&str, u32, u32)]) -> String {
    let member = |(interface, metric, weight): &(&str, u32, u32)| {
        format!(
            "config member '{name}_{interface}'\n\toption interface '{interface}'\n\
             \toption metric '{metric}'\n\toption weight '{weight}'\n"
        )
    };
    let used =
        |(interface, ..): &(&str, u32, u32)| format!("\tlist use_member '{name}_{interface}'\n");
    let head = format!("config policy '{name}'\n");
    members
        .iter()
        .map(member)
        .chain([head])
        .chain(members.iter().map(used))
        .collect()
}

fn rule(name: &str, policy: &str, options: &str) -> String {
    format!("config rule '{name}'\n{options}\toption use_policy '{policy}'\n")
}

fn wan_and_lte() -> String {
    interface("wan", "") + &interface("lte", "")
}

#[test]
fn weights_beyond_255_keep_their_proportion_and_the_result_says_so() {
    let members = [("wan", 1, 1000), ("lte", 1, 300)];
    let text = wan_and_lte() + &policy("both", &members) + &rule("all", "both", "");
    let (text, config) = result(&text, None);
    assert_eq!(uplinks(&config), ["wan wan 1 255", "lte lte 1 77"]);
    has(
        &text,
        "policy both: weight 1000 and 300: scaled to 255 and 77",
    );
    // The smallest share is still one.
    let members = [("wan", 1, 4_000_000_000), ("lte", 1, 0)];
    let text = wan_and_lte() + &policy("both", &members) + &rule("all", "both", "");
    let (text, config) = result(&text, None);
    assert_eq!(uplinks(&config), ["wan wan 1 255", "lte lte 1 1"]);
    has(&text, "weight 4000000000 and 0: scaled to 255 and 1");
    // Weights are of one metric: those of another do not count.
    let members = [("wan", 1, 3), ("lte", 1, 2), ("sat", 2, 900)];
    let text =
        wan_and_lte() + &interface("sat", "") + &policy("p", &members) + &rule("all", "p", "");
    let (_, config) = result(&text, None);
    assert_eq!(
        uplinks(&config),
        ["wan wan 1 3", "lte lte 1 2", "sat sat 2 255"]
    );
}

#[test]
fn a_policy_that_differs_in_weights_only_is_not_said_to_be_the_default_group() {
    let voice = rule("voice", "turned", "\toption src_ip '192.168.1.7'\n");
    let policies = policy("both", &[("wan", 1, 3), ("lte", 1, 1)])
        + &policy("turned", &[("wan", 1, 1), ("lte", 1, 3)])
        + &policy("same", &[("wan", 7, 6), ("lte", 7, 2)]);
    let text = wan_and_lte() + &policies + &voice + &rule("all", "both", "");
    let (text, config) = result(&text, None);
    assert_eq!(uplinks(&config), ["wan wan 1 3", "lte lte 1 1"]);
    assert!(config.engine.rules.is_empty());
    has(
        &text,
        "use_policy 'turned'. As the default group but for its weights, 1 and 3, which have no \
         counterpart, left out.",
    );
    let same = rule("voice", "same", "\toption src_ip '192.168.1.7'\n");
    let text = wan_and_lte() + &policies + &same + &rule("all", "both", "");
    has(
        &result(&text, None).0,
        "use_policy 'same'. As the default group, left out.",
    );
}

#[test]
fn uplinks_have_the_weights_of_the_first_policy_in_which_they_share() {
    let policies = policy("one_two", &[("wan", 1, 1), ("lte", 2, 1)])
        + &policy("both", &[("wan", 1, 4), ("lte", 1, 1)])
        + &policy("even", &[("wan", 1, 1), ("lte", 1, 1)]);
    let text = wan_and_lte()
        + &policies
        + &rule("bulk", "both", "\toption src_ip '192.168.1.7'\n")
        + &rule("web", "even", "\toption src_ip '192.168.1.8'\n")
        + &rule("all", "one_two", "");
    let (text, config) = result(&text, None);
    assert_eq!(uplinks(&config), ["wan wan 1 4", "lte lte 2 1"]);
    has(&text, "its weight in both");
    has(
        &text,
        "members of one metric share the traffic, by the weights of the uplinks: those \
         of this policy, 1 and 1, have no counterpart.",
    );
    assert_eq!(text.matches("have no counterpart").count(), 1, "{text}");
}

#[test]
fn every_item_of_a_list_counts() {
    let policies = policy("one_two", &[("wan", 1, 1), ("lte", 2, 1)])
        + &policy("two_one", &[("lte", 1, 1), ("wan", 2, 1)]);
    let options = "\tlist src_ip '192.168.1.0/24'\n\tlist src_ip '192.168.2.0/24'\n\toption proto 'tcp'\n\
                   \tlist dest_port '80'\n\tlist dest_port '443,8080'\n";
    let text =
        wan_and_lte() + &policies + &rule("web", "two_one", options) + &rule("all", "one_two", "");
    let (_, config) = result(&text, None);
    let rules = config.engine.rules.iter().map(|rule| &rule.traffic);
    let rules: Vec<_> = rules
        .map(|traffic| {
            (
                traffic.from.len(),
                traffic.dport.map(|ports| ports.to_string()),
            )
        })
        .collect();
    let expected = ["80", "443", "8080"].map(|port| (2, Some(port.to_owned())));
    assert_eq!(rules, expected);
    // As libuci has it: an option replaces what stands before it, and a list adds to it.
    let options =
        "\toption src_ip '10.0.0.1'\n\toption src_ip '192.168.1.1'\n\tlist src_ip '192.168.1.2'\n";
    let text =
        wan_and_lte() + &policies + &rule("web", "two_one", options) + &rule("all", "one_two", "");
    let (_, config) = result(&text, None);
    let [rule] = config.engine.rules.as_slice() else {
        panic!("one rule");
    };
    let from: Vec<_> = rule.traffic.from.iter().map(ToString::to_string).collect();
    assert_eq!(from, ["192.168.1.1/32", "192.168.1.2/32"]);
}

#[test]
fn an_option_of_one_value_that_is_given_as_a_list_is_said() {
    let policies = policy("one_two", &[("wan", 1, 1), ("lte", 2, 1)])
        + &policy("two_one", &[("lte", 1, 1), ("wan", 2, 1)]);
    let web = rule(
        "web",
        "two_one",
        "\tlist proto 'tcp'\n\tlist proto 'udp'\n\toption dest_port '53'\n",
    );
    let all = "config rule 'all'\n\tlist use_policy 'one_two'\n";
    let (text, config) = result(&(wan_and_lte() + &policies + &web + all), None);
    assert!(config.engine.rules.is_empty());
    has(&text, "rule web: left out: proto 'tcp udp': unknown here.");
}

#[test]
fn targets_that_are_none_here_are_said_and_reliability_stays() {
    let none = interface(
        "wan",
        "\tlist track_ip 'www.example.com'\n\tlist track_ip '0.0.0.0'\n\toption reliability '2'\n",
    );
    let (text, config) = result(&none, None);
    let probe = &config.engine.uplinks[0].probe;
    assert_eq!((probe.targets.len(), probe.quorum), (3, 2));
    assert!(!text.contains("without track_ip"), "{text}");
    has(
        &text,
        "none of its track_ip is a target here: it is probed with the default targets",
    );
    has(
        &text,
        "track_ip 'www.example.com': left out: target 'www.example.com' is a name",
    );
    has(
        &text,
        "track_ip '0.0.0.0': left out: target '0.0.0.0' is not the address of one host on the internet",
    );
    // A twin without a target takes nothing from the other.
    let twins = interface(
        "wan",
        "\tlist track_ip '192.0.2.1'\n\tlist track_ip '192.0.2.2'\n\toption reliability '2'\n",
    ) + &interface(
        "wan6",
        "\toption family 'ipv6'\n\tlist track_ip 'ipv6.example.com'\n\toption reliability '1'\n",
    );
    let (_, config) = result(&twins, None);
    let probe = &config.engine.uplinks[0].probe;
    assert_eq!((probe.targets.len(), probe.quorum), (2, 2));
    // One of two is left.
    let half = interface(
        "wan",
        "\tlist track_ip '192.0.2.1'\n\tlist track_ip 'example.com'\n\toption reliability '2'\n",
    );
    let (text, config) = result(&half, None);
    assert_eq!(config.engine.uplinks[0].probe.quorum, 1);
    has(&text, "reliability '2': as many as are left.");
}

#[test]
fn a_reliability_above_the_number_of_targets_is_said_to_be_met_never() {
    let above = interface(
        "wan",
        "\tlist track_ip '192.0.2.1'\n\toption reliability '3'\n",
    );
    let (text, config) = result(&above, None);
    assert_eq!(config.engine.uplinks[0].probe.quorum, 1);
    has(
        &text,
        "reliability '3': more than its track_ip, so that mwan3 never takes it to be online; here all of \
         them.",
    );
    let always = interface(
        "wan",
        "\tlist track_ip '192.0.2.1'\n\toption reliability '0'\n",
    );
    let (text, config) = result(&always, None);
    assert_eq!(config.engine.uplinks[0].probe.quorum, 1);
    has(&text, "reliability '0': at least 1 here.");
}

#[test]
fn every_port_of_a_rule_counts() {
    let policies = policy("one_two", &[("wan", 1, 1), ("lte", 2, 1)])
        + &policy("two_one", &[("lte", 1, 1), ("wan", 2, 1)]);
    let numbers = |count: u32| (1..=count).map(|port| (port * 10).to_string());
    let ports = |count| numbers(count).collect::<Vec<_>>().join(",");
    let of = |options: &str| {
        let text = wan_and_lte() + &policies + &rule("web", "two_one", options);
        result(&(text + &rule("all", "one_two", "")), None)
    };
    let (text, config) = of(&format!(
        "\toption proto 'udp'\n\toption dest_port '{}'\n",
        ports(20)
    ));
    assert_eq!(config.engine.rules.len(), 20);
    has(
        &text,
        "mwan3 takes up to 15 ports, and ignores a rule with more; here all of them count.",
    );
    let (text, config) = of(&format!(
        "\toption proto 'udp'\n\toption dest_port '{}'\n",
        ports(15)
    ));
    assert_eq!(config.engine.rules.len(), 15);
    assert!(!text.contains("up to 15"), "{text}");
    // Each pair is a rule of its own: too many are left out at once, before they fill the memory.
    let many = "1,".repeat(100_000);
    let both =
        format!("\toption proto 'udp'\n\toption dest_port '{many}'\n\toption src_port '{many}'\n");
    let (text, config) = of(&both);
    assert!(config.engine.rules.is_empty());
    has(&text, "rule web: left out: more than 256 rules.");
}

/// Values of all kinds, of which each option gets any.
const VALUES: [&str; 36] = [
    "0",
    "1",
    "2",
    "5",
    "60",
    "300",
    "4000000000",
    "-1",
    "x",
    "yes",
    "off",
    "ipv4",
    "ipv6",
    "any",
    "all",
    "tcp",
    "udp",
    "icmp",
    "gre",
    "0.0.0.0/0",
    "::/0",
    "192.0.2.1",
    "192.0.2.0/24",
    "2001:db8::/32",
    "198.51.100.7,192.0.2.9",
    "80,443",
    "1024:2048",
    "0:1",
    "wan",
    "wan6",
    "lte",
    "m1",
    "p1",
    "default",
    "unreachable",
    "a\nb'#",
];

const OPTIONS: [&str; 34] = [
    "enabled",
    "family",
    "track_ip",
    "track_method",
    "httping_ssl",
    "reliability",
    "timeout",
    "interval",
    "up",
    "down",
    "recovery_interval",
    "check_quality",
    "failure_latency",
    "recovery_latency",
    "failure_loss",
    "recovery_loss",
    "flush_conntrack",
    "interface",
    "metric",
    "weight",
    "use_member",
    "last_resort",
    "src_ip",
    "dest_ip",
    "src_port",
    "dest_port",
    "src_iface",
    "proto",
    "ipset",
    "sticky",
    "use_policy",
    "logging",
    "size",
    "other",
];

fn section() -> impl Strategy<Value = String> {
    let kind = prop::sample::select(vec![
        ("interface", "wan"),
        ("interface", "wan6"),
        ("interface", "lte"),
        ("interface", "_"),
        ("member", "m1"),
        ("member", "m2"),
        ("policy", "p1"),
        ("policy", "p2"),
        ("policy", "wan"),
        ("rule", "r1"),
        ("rule", ""),
        ("globals", "globals"),
        ("other", ""),
    ]);
    let word = prop::sample::select(vec!["option", "option", "list"]);
    let option = prop::sample::select(OPTIONS.to_vec());
    let value = prop::sample::select(VALUES.to_vec());
    let options = prop::collection::vec((word, option, value), 0..12);
    (kind, options).prop_map(|((kind, name), options)| {
        let mut text = format!("config {kind} {name}\n");
        if kind == "interface" {
            text += "\toption enabled '1'\n";
        }
        for (word, option, value) in options {
            text.extend(["\t", word, " ", option, " \"", value, "\"\n"]);
        }
        text
    })
}

/// Sections that make sense together, before and after which chance has its way.
const SENSE: &str = "config member 'm1'\n\toption interface 'wan'\nconfig member 'm2'\n\toption interface 'lte'\n\
                     config policy 'p1'\n\tlist use_member 'm1'\n\tlist use_member 'm2'\n\
                     config policy 'p2'\n\tlist use_member 'm2'\n";

proptest! {
    #![proptest_config(cases(700))]

    #[test]
    fn whatever_mwan3_is_told_the_result_is_a_good_configuration(
        sections in prop::collection::vec(section(), 1..30),
    ) {
        let text = format!("{SENSE}{}", sections.concat());
        if let Ok(draft) = draft(&text, None) {
            for (result, name) in [(draft.to_uci(), "result"), (draft.to_toml(), "result.toml")] {
                let parsed = Config::parse(&result, name);
                prop_assert!(parsed.is_ok(), "{}\n{}\n{}", parsed.expect_err("refused"), result, text);
            }
        }
    }

    #[test]
    fn no_text_makes_the_import_panic(text in "\\PC{0,200}", other in "\\PC{0,200}") {
        drop(draft(&format!("{FAILOVER}{text}"), Some(&other)));
        drop(draft(&text, None));
    }
}
