//! Flows that stay on a healthy uplink which the traffic has left, in virtual time.

use std::num::NonZeroU32;
use std::time::UNIX_EPOCH;

use uplinkd::engine::action::Departure;
use uplinkd::engine::action::DepartureCause::{Chosen, Failed, Limit};
use uplinkd::engine::command::Command;
use uplinkd::engine::input::{EarlierRun, Input};
use uplinkd::engine::settings::{FailbackFlows, Flows, Settings};
use uplinkd::engine::status::UplinkStatus;
use uplinkd::routing::{Attachment, Family, Trouble};
use uplinkd::units::sorted::SortedSet;
use uplinkd::units::{Bytes, UplinkName, Wall};

use crate::stale_flows::{FIBER, LTE, Site, departure, with};
use crate::support::{name, settings};

const HOUR: u64 = 3_600;

fn two() -> Settings {
    settings(&["fiber", "lte"])
}

fn limited(seconds: u32) -> Settings {
    let mut settings = two();
    settings.failback_flows.limit_ms = NonZeroU32::new(seconds * 1_000);
    settings
}

pub(crate) fn remembered(uplinks: &[&str]) -> Input {
    Input::FlowsRemembered(keys(uplinks))
}

fn keys(uplinks: &[&str]) -> SortedSet<(UplinkName, Family)> {
    let families = |uplink: &&str| Family::ROUTED.map(|family| (name(uplink), family));
    uplinks.iter().flat_map(families).collect()
}

/// Fiber carries the traffic, and the kernel remembers flows.
fn site(settings: Settings) -> Site {
    let mut site = Site::bare(settings);
    site.attach("fiber", with(1, &[FIBER]));
    site.attach("lte", with(2, &[LTE]));
    site.tell(remembered(&["fiber", "lte"]));
    site.runs(5);
    assert_eq!(site.left, []);
    site
}

/// The traffic has just come back from lte.
fn after_failback(settings: Settings) -> Site {
    let mut site = site(settings);
    site.dead.insert("fiber");
    site.runs(10);
    assert_eq!(site.engine.carrier(), Some(&name("lte")));
    assert_eq!(taken(&mut site), [departure(&[FIBER], Failed)]);
    site.dead.clear();
    while site.engine.carrier() == Some(&name("lte")) {
        site.runs(1);
    }
    site
}

fn taken(site: &mut Site) -> Vec<Departure> {
    std::mem::take(&mut site.left)
}

fn status(site: &Site, uplink: &str) -> UplinkStatus {
    let wall = Wall::reading(UNIX_EPOCH + site.now.since_start(), site.now);
    let mut uplinks = site.engine.status(wall).uplinks.into_iter();
    uplinks.find(|one| one.name == name(uplink)).expect("it")
}

/// How many seconds of the limit are left.
fn left(site: &Site, uplink: &str) -> Option<u64> {
    let until = status(site, uplink).flows_until?.0;
    let until = until.duration_since(UNIX_EPOCH).expect("a time");
    Some(until.saturating_sub(site.now.since_start()).as_secs())
}

#[test]
fn after_a_failback_flows_stay_until_the_limit_and_are_ended_then() {
    let mut site = after_failback(two());
    assert!(left(&site, "lte").is_some_and(|left| left + 2 >= 2 * HOUR));
    site.runs(2 * HOUR - 2);
    assert_eq!(site.left, []);
    site.runs(4);
    assert_eq!(site.left, [departure(&[LTE], Limit)]);
    assert_eq!(site.forgotten.last().map(String::as_str), Some("lte IPv4"));
    assert_eq!(left(&site, "lte"), None);
    site.runs(3 * HOUR);
    assert_eq!(site.left.len(), 1, "once");
}

#[test]
fn a_switch_by_hand_leaves_flows_where_they_are() {
    let mut site = site(two());
    site.tell(Input::Command(Command::switch(name("lte")).into()));
    assert_eq!(site.engine.carrier(), Some(&name("lte")));
    assert_eq!(site.left, []);
    assert!(left(&site, "fiber").is_some());
    assert_eq!(left(&site, "lte"), None);
}

#[test]
fn on_a_metered_uplink_flows_stay_for_a_minute() {
    let mut settings = two();
    settings.uplinks[1].probe_budget = Some(Bytes(50_000_000));
    let mut site = after_failback(settings);
    site.runs(57);
    assert_eq!(site.left, []);
    site.runs(5);
    assert_eq!(site.left, [departure(&[LTE], Limit)]);
}

#[test]
fn where_flows_are_not_remembered_they_move() {
    let mut site = site(two());
    site.tell(remembered(&["lte"]));
    assert_eq!(status(&site, "fiber").flows_on_failback, Flows::Move);
    assert_eq!(status(&site, "lte").flows_on_failback, Flows::Keep);
    site.tell(Input::Command(Command::switch(name("lte")).into()));
    assert_eq!(taken(&mut site), [departure(&[FIBER], Chosen)]);
    site.tell(Input::Command(Command::switch(name("fiber")).into()));
    assert_eq!(site.left, [], "those of lte stay");
}

#[test]
fn what_the_configuration_says_goes_before_what_the_kernel_can() {
    for (fate, memory, moved) in [
        (Flows::Move, ["fiber", "lte"].as_slice(), 1),
        (Flows::Keep, &[], 0),
    ] {
        let mut settings = two();
        settings.failback_flows.fate = Some(fate);
        let mut site = site(settings);
        site.tell(remembered(memory));
        assert_eq!(status(&site, "fiber").flows_on_failback, fate);
        site.tell(Input::Command(Command::switch(name("lte")).into()));
        assert_eq!(site.left.len(), moved);
    }
}

#[test]
fn when_the_uplink_that_was_left_fails_its_flows_are_left_behind_at_once() {
    let mut site = after_failback(two());
    site.dead.insert("lte");
    site.runs(60);
    assert_eq!(site.left, [departure(&[LTE], Failed)]);
    assert_eq!(left(&site, "lte"), None);
    site.dead.clear();
    site.runs(3 * HOUR);
    assert_eq!(site.left.len(), 1, "the limit is over with it");
}

#[test]
fn so_they_are_when_an_operator_takes_it_out_of_use() {
    let mut site = after_failback(two());
    site.tell(Input::Command(Command::disable(name("lte")).into()));
    assert_eq!(site.left, [departure(&[LTE], Failed)]);
}

#[test]
fn when_the_traffic_comes_back_there_is_no_limit_any_more() {
    let mut site = after_failback(limited(600));
    site.runs(300);
    site.dead.insert("fiber");
    site.runs(10);
    assert_eq!(site.engine.carrier(), Some(&name("lte")));
    assert_eq!(taken(&mut site), [departure(&[FIBER], Failed)]);
    assert_eq!(left(&site, "lte"), None);
    site.runs(HOUR);
    assert_eq!(site.left, []);
    // The next failback has a limit of its own.
    site.dead.clear();
    while site.engine.carrier() == Some(&name("lte")) {
        site.runs(1);
    }
    assert!(left(&site, "lte").is_some_and(|left| left >= 598));
}

#[test]
fn flows_of_the_uplink_that_carries_the_traffic_are_never_left_behind_by_the_limit() {
    let mut site = after_failback(limited(60));
    site.runs(24 * HOUR);
    assert_eq!(site.left, [departure(&[LTE], Limit)]);
    assert!(
        !site
            .forgotten
            .iter()
            .skip(1)
            .any(|one| one.starts_with("fiber"))
    );
}

#[test]
fn a_reload_with_another_limit_counts_from_the_same_moment() {
    let mut site = after_failback(two());
    site.runs(100);
    site.tell(Input::Settings(Box::new(limited(300))));
    assert!(left(&site, "lte").is_some_and(|left| (197..=200).contains(&left)));
    assert_eq!(site.left, []);
    site.tell(Input::Settings(Box::new(limited(90))));
    assert_eq!(site.left, [departure(&[LTE], Limit)], "it is over");
}

#[test]
fn a_reload_that_moves_flows_moves_those_that_stay() {
    let mut site = after_failback(two());
    let mut settings = two();
    settings.failback_flows = FailbackFlows {
        fate: Some(Flows::Move),
        limit_ms: None,
    };
    site.tell(Input::Settings(Box::new(settings)));
    assert_eq!(site.left, [departure(&[LTE], Chosen)]);
}

#[test]
fn an_uplink_that_the_configuration_drops_leaves_its_flows_and_a_new_name_does_not() {
    let mut site = after_failback(two());
    let mut renamed = two();
    renamed.uplinks[1].name = name("mobile");
    site.tell(Input::Settings(Box::new(renamed)));
    site.tell(remembered(&["fiber", "mobile"]));
    assert_eq!(site.left, []);
    assert!(left(&site, "mobile").is_some());
    site.tell(Input::Settings(Box::new(settings(&["fiber"]))));
    assert_eq!(site.left, [departure(&[LTE], Failed)]);
}

#[test]
fn a_restart_goes_on_with_the_limit() {
    let mut before = after_failback(two());
    before.runs(HOUR);
    let kept = before.engine.kept_flows(before.now);
    assert_eq!(kept.len(), 1, "{kept:?}");
    let mut site = Site::bare(two());
    site.tell(Input::Resume(Box::new(EarlierRun {
        carrying: Some(name("fiber")),
        remembered: keys(&["fiber", "lte"]),
        kept,
        ..EarlierRun::default()
    })));
    site.attach("fiber", with(1, &[FIBER]));
    site.attach("lte", with(2, &[LTE]));
    site.runs(5);
    site.tell(remembered(&["fiber", "lte"]));
    assert_eq!(site.left, []);
    site.runs(HOUR - 10);
    assert_eq!(site.left, []);
    site.runs(10);
    assert_eq!(site.left, [departure(&[LTE], Limit)]);
}

#[test]
fn flows_by_an_address_that_the_uplink_loses_are_left_behind_and_the_others_stay() {
    const OTHER: &str = "198.51.100.11";
    let mut site = Site::bare(two());
    site.attach("fiber", with(1, &[FIBER]));
    site.attach("lte", with(2, &[LTE, OTHER]));
    site.tell(remembered(&["fiber", "lte"]));
    site.runs(5);
    site.tell(Input::Command(Command::switch(name("lte")).into()));
    site.tell(Input::Command(Command::switch(name("fiber")).into()));
    assert_eq!(site.left, []);
    site.attach("lte", with(2, &[OTHER]));
    assert_eq!(taken(&mut site), [departure(&[LTE], Failed)]);
    assert_eq!(site.forgotten, [""; 0]);
    site.runs(3 * HOUR);
    assert_eq!(site.left, [departure(&[OTHER], Limit)]);
}

#[test]
fn an_interface_that_vanishes_leaves_the_flows_that_stayed() {
    let mut site = after_failback(two());
    let gone = Attachment {
        trouble: Some(Trouble::Absent),
        ..Attachment::default()
    };
    site.attach("lte", gone);
    site.runs(5);
    assert_eq!(site.left, [departure(&[LTE], Failed)]);
}
