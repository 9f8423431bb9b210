//! The real agent in the lab's network: what must hold when uplinks break.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::turn;

const UPLINKD: &str = env!("CARGO_BIN_EXE_uplinkd");

/// Plays a scenario and holds it against its expectations; none where the machine forbids
/// namespaces or TAP devices, which is said loudly and, with `CI` in the environment, a failure.
#[expect(clippy::print_stderr, reason = "a test that could not run must say so")]
#[track_caller]
fn assert_plays(arguments: &[&str]) -> Option<Value> {
    let _turn = turn();
    let mut lab = Command::new(UPLINKD);
    let output = lab.arg("lab").args(arguments).arg("--json").output();
    let output = output.expect("run the lab");
    let diagnosis = String::from_utf8_lossy(&output.stderr);
    if diagnosis.contains("FORBIDDEN") {
        assert!(std::env::var_os("CI").is_none(), "{diagnosis}");
        eprintln!("NOT RUN: lab {arguments:?}: {diagnosis}");
        return None;
    }
    let report: Value = serde_json::from_slice(&output.stdout).expect(&diagnosis);
    let passed = output.status.success() && report["passed"] == true;
    assert!(
        passed,
        "{}",
        serde_json::to_string_pretty(&report["runs"]).expect("it is JSON")
    );
    Some(report)
}

#[test]
fn a_blackhole_moves_the_traffic_within_two_seconds() {
    assert_plays(&["blackhole"]);
}

#[test]
fn answers_that_do_not_come_back_move_the_traffic_as_a_blackhole_does() {
    assert_plays(&["one-way"]);
}

#[test]
fn a_dead_gateway_moves_the_traffic_within_two_seconds() {
    assert_plays(&["gateway-dead"]);
}

#[test]
fn a_pulled_cable_moves_the_traffic_at_once() {
    // One run may wait for the kernel, see scenarios.toml: not the median.
    let Some(report) = assert_plays(&["carrier", "--runs", "3"]) else {
        return;
    };
    let median = &report["figures"][0]["without_traffic_ms"]["median"];
    assert!(median.as_f64() <= Some(20.0), "{median} ms");
}

#[test]
fn failback_waits_until_the_preferred_uplink_has_been_well_and_loses_nothing() {
    assert_plays(&["failback"]);
}

#[test]
fn when_all_uplinks_are_down_the_routes_stay_and_the_first_to_answer_is_used() {
    assert_plays(&["all-down"]);
}

#[test]
fn noise_of_the_providers_network_does_not_hide_an_outage() {
    assert_plays(&["broadcast-noise"]);
}

#[test]
fn a_dead_far_end_of_the_clients_traffic_changes_nothing() {
    assert_plays(&["far-end-dead", "--for", "10s"]);
}

#[test]
fn a_target_that_is_filtered_changes_nothing() {
    assert_plays(&["target-filtered", "--for", "10s"]);
}

#[test]
fn an_uplink_behind_a_captive_portal_is_left_although_it_answers_pings() {
    assert_plays(&["captive-portal"]);
}

#[test]
fn a_steady_loss_of_five_percent_changes_nothing() {
    assert_plays(&["lossy-5", "--for", "15s"]);
}

#[test]
fn both_families_leave_and_come_back_together() {
    assert_plays(&["dual-stack"]);
}

#[test]
fn when_only_ipv6_breaks_ipv4_is_not_disturbed() {
    assert_plays(&["v6-broken"]);
}

#[test]
fn in_the_main_table_the_traffic_moves_as_it_does_in_tables_of_our_own() {
    assert_plays(&["main-mode"]);
}

#[test]
fn a_switch_that_the_kernel_refuses_is_not_told_as_one() {
    assert_plays(&["stranger"]);
}

#[test]
fn a_flow_with_a_fixed_source_address_goes_on_through_the_new_uplink() {
    assert_plays(&["flows-fixed"]);
}

#[test]
fn a_masqueraded_flow_goes_on_through_the_new_uplink() {
    assert_plays(&["flows-masquerade"]);
}

#[test]
fn a_flow_with_a_fixed_source_address_hangs_where_flows_are_kept() {
    assert_plays(&["flows-kept"]);
}

#[test]
fn masqueraded_long_flows_go_on_or_are_reset_within_a_second_of_each_switch() {
    assert_plays(&["long-flows-masquerade"]);
}

#[test]
fn long_flows_with_a_fixed_source_address_go_on_or_are_reset_within_a_second_of_each_switch() {
    assert_plays(&["long-flows-fixed"]);
}

#[test]
fn masqueraded_long_flows_do_not_hang_after_a_failback_that_keeps_flows() {
    assert_plays(&["long-flows-masquerade-keep"]);
}

#[test]
fn long_flows_with_a_fixed_source_address_hang_after_a_failback_that_keeps_flows() {
    assert_plays(&["long-flows-fixed-keep"]);
}

#[test]
fn masqueraded_flows_go_on_through_an_uplink_that_is_drained_until_it_dies() {
    assert_plays(&["drain-masquerade"]);
}

#[test]
fn flows_with_a_fixed_source_address_go_on_through_an_uplink_that_is_drained_until_the_limit() {
    assert_plays(&["drain-fixed"]);
}

#[test]
fn a_cold_standby_is_brought_up_by_its_hook_and_taken_down_after_the_failback() {
    assert_plays(&["cold-standby"]);
}

#[test]
fn a_dead_sim_is_told_by_an_exercise_before_anybody_needs_it() {
    assert_plays(&["standby-unready"]);
}

#[test]
fn a_restart_of_the_agent_loses_no_packet() {
    assert_plays(&["restart"]);
}

#[test]
fn an_agent_that_is_killed_a_hundred_times_loses_no_packet_and_leaves_nothing() {
    assert_plays(&["killed"]);
}

#[test]
fn an_agent_that_is_killed_a_hundred_times_leaves_nothing_in_the_main_table() {
    assert_plays(&["killed-main"]);
}

#[test]
fn an_agent_that_is_killed_a_hundred_times_while_uplinks_share_leaves_nothing() {
    assert_plays(&["killed-balance"]);
}

#[test]
fn two_thousand_switches_never_leave_the_kernel_without_a_route() {
    assert_plays(&["switch"]);
}

#[test]
fn a_lab_that_is_killed_leaves_no_agent_and_no_file_behind() {
    let mut lab = Command::new(UPLINKD);
    let lab = lab.args(["lab", "idle", "--json"]).stdout(Stdio::null());
    let mut lab = lab.spawn().expect("run the lab");
    let Some(agent) = wait_for(|| child_of(lab.id())) else {
        drop(lab.kill());
        let is_forbidden = lab.wait().expect("it ends").code() == Some(1);
        assert!(is_forbidden && std::env::var_os("CI").is_none(), "no agent");
        return;
    };
    lab.kill().expect("SIGKILL");
    lab.wait().expect("it ends");
    let is_gone = || (!is_alive(agent)).then_some(());
    assert!(wait_for(is_gone).is_some(), "the agent {agent} lives on");
    assert!(!Path::new("/run/uplinkd/uplinkd.toml").exists());
}

/// A process whose parent is `parent`.
fn child_of(parent: u32) -> Option<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(path).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Runs, or is yet to be reaped by whoever adopted it.
fn is_alive(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "other processes come and go without an event"
)]
fn wait_for<T>(mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    (0..1000).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        condition()
    })
}

#[test]
fn a_scenario_that_does_not_exist_is_a_usage_error_that_names_those_that_do() {
    let output = Command::new(UPLINKD).args(["lab", "blakhole"]).output();
    let output = output.expect("run the lab");
    assert_eq!(output.status.code(), Some(2));
    let diagnosis = String::from_utf8_lossy(&output.stderr);
    assert!(diagnosis.contains("blackhole"), "{diagnosis}");
}
