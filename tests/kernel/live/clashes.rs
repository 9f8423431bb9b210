//! `uplinkd check` on a machine with rules of other software, as the kernel lists them.

use std::process::Command;

use netlink_packet_route::rule::RuleAction;
use serde_json::Value;

use super::netns::{self, World};
use super::*;

const CONFIG: &str = r#"
[[uplink]]
name = "fiber"
interface = "fiber"
tier = 1
[[uplink]]
name = "lte"
interface = "lte"
tier = 2
"#;

/// The findings of `uplinkd check`, as `severity object`, without those on this machine's capabilities,
/// services and sysctls.
pub(super) fn check(routing: &str) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("uplinkd.toml");
    std::fs::write(&file, format!("{routing}\n{CONFIG}")).expect("a file");
    let mut check = Command::new(env!("CARGO_BIN_EXE_uplinkd"));
    let output = check
        .args(["check", "--json", "--config"])
        .arg(&file)
        .output();
    let output = output.expect("uplinkd check");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |finding: &Value, key: &str| finding[key].as_str().expect("a text").to_owned();
    let findings = report["findings"].as_array().expect("findings").iter();
    let lines = findings.map(|one| format!("{} {}", text(one, "severity"), text(one, "object")));
    let of_the_machine = [
        "permissions",
        "kernel",
        "systemd-networkd",
        "NetworkManager",
    ];
    lines
        .filter(|line| !of_the_machine.iter().any(|object| line.ends_with(object)))
        .collect()
}

fn marked(priority: u32, table: u32, mark: u32, bits: u32) -> RuleMessage {
    let mut rule = foreign_rule(priority, table);
    rule.attributes.push(RuleAttribute::FwMark(mark));
    rule.attributes.push(RuleAttribute::FwMask(bits));
    rule
}

#[test]
fn a_machine_of_our_own_is_not_complained_about_in_either_mode() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        assert_eq!(check(""), [""; 0]);
        assert_eq!(check("[routing]\nmode = \"main\""), ["note routing.mode"]);
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        assert_eq!(check(""), [""; 0]);
    });
}

#[test]
fn a_packet_filter_that_drops_the_probes_of_an_uplink_is_found() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        crate::targets::refuse_output(FIBER);
        assert_eq!(check(""), ["error uplink fiber"]);
        crate::targets::refuse_output("lte");
        assert_eq!(check(""), ["error uplink fiber", "error uplink lte"]);
    });
}

#[test]
fn the_rules_of_mwan3_are_known() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        for table in [1, 2] {
            let mut inbound = foreign_rule(1_000 + table, table);
            let interface = RuleAttribute::Iifname("fiber".to_owned());
            inbound.attributes.push(interface);
            world.add_rule(inbound).await;
            world
                .add_rule(marked(2_000 + table, table, table << 8, 0x3f00))
                .await;
            let mut dead = marked(3_000 + table, 0, table << 8, 0x3f00);
            dead.header.action = RuleAction::Unreachable;
            dead.attributes
                .retain(|one| !matches!(one, RuleAttribute::Table(_)));
            world.add_rule(dead).await;
        }
        assert_eq!(check(""), ["error mwan3"]);
        let in_main = check("[routing]\nmode = \"main\"");
        assert!(in_main.contains(&"error mwan3".to_owned()), "{in_main:?}");
    });
}

#[test]
fn the_rules_of_tailscale_are_known_and_the_remedy_moves_its_packets() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        world
            .add_rule(marked(5_210, 254, 0x8_0000, 0xff_0000))
            .await;
        world
            .add_rule(marked(5_230, 253, 0x8_0000, 0xff_0000))
            .await;
        let mut dead = marked(5_250, 0, 0x8_0000, 0xff_0000);
        dead.header.action = RuleAction::Unreachable;
        dead.attributes
            .retain(|one| !matches!(one, RuleAttribute::Table(_)));
        world.add_rule(dead).await;
        world.add_rule(foreign_rule(5_270, 52)).await;
        assert_eq!(check(""), ["warning Tailscale"]);
        let mut agent = Agent::start().await;
        agent.carry(LTE).await;
        let its_own = Packet {
            mark: Some(0x8_0000),
            ..Packet::ANY
        };
        let interface = async || world.way_of(its_own).await.expect("a way").0;
        assert_eq!(interface().await, FIBER, "main's default");
        world
            .add_rule(marked(5_200, 11_700, 0x8_0000, 0xff_0000))
            .await;
        assert_eq!(interface().await, LTE, "the active uplink");
    });
}

#[test]
fn the_rules_of_wg_quick_are_known_and_its_tunnel_follows_the_uplinks() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut all = marked(32_764, 51_820, 51_820, u32::MAX);
        all.header.flags = RuleFlags::Invert;
        world.add_rule(all).await;
        let mut main = foreign_rule(32_763, 254);
        main.attributes.push(RuleAttribute::SuppressPrefixLen(0));
        world.add_rule(main).await;
        assert_eq!(check(""), ["note WireGuard"]);
        let mut agent = Agent::start().await;
        agent.carry(LTE).await;
        let its_own = Packet {
            mark: Some(51_820),
            ..Packet::ANY
        };
        assert_eq!(world.way_of(its_own).await.expect("a way").0, LTE);
    });
}

#[test]
fn in_main_mode_the_metrics_of_others_are_weighed() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let early = ForeignDefault {
            metric: 5,
            ..VIA_FIBER
        };
        let same = ForeignDefault {
            metric: 60,
            ..VIA_LTE
        };
        world.add_default(FIBER, early).await;
        world.add_default(LTE, same).await;
        let expected = ["note routing.mode", "error main table", "error main table"];
        assert_eq!(check("[routing]\nmode = \"main\""), expected);
        let lower = "[routing]\nmode = \"main\"\nmetric = 4";
        assert_eq!(check(lower), ["note routing.mode"]);
    });
}

#[test]
fn a_port_of_a_bridge_is_told_from_the_bridge() {
    netns::run(async |world: World| {
        two_uplinks(&world).await;
        world.bridge("br-wan", FIBER).await;
        assert!(check("").contains(&"error uplink fiber".to_owned()));
    });
}
