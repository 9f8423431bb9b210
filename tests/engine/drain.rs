//! Maintenance that lets established flows end, in virtual time.

use std::time::Duration;

use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::command::{Command, CommandRefusal};
use uplinkd::engine::event::Event;
use uplinkd::engine::input::Input;
use uplinkd::engine::settings::Settings;
use uplinkd::engine::state::State;
use uplinkd::replay::{Replay, World};
use uplinkd::routing::{Desired, Family, Numbering};
use uplinkd::units::sorted::{SortedMap, SortedSet};
use uplinkd::units::{Moment, UplinkName};

use crate::kept_flows::remembered;
use crate::lossy::state;
use crate::support::{at, brief, name, settings, when};

/// The established flows of each uplink, and the uplinks that are dead.
#[derive(Default)]
struct FlowWorld {
    flows: SortedMap<UplinkName, usize>,
    dead: SortedSet<UplinkName>,
    are_hidden: bool,
    desired: Desired,
}

impl World for FlowWorld {
    fn answer(&mut self, order: &ProbeOrder, _: Moment) -> Option<Duration> {
        (!self.dead.contains(&order.uplink)).then_some(Duration::from_millis(10))
    }

    fn flows(&mut self, uplink: &UplinkName, _: Moment) -> Result<usize, String> {
        if self.are_hidden {
            return Err("no conntrack".to_owned());
        }
        Ok(self.flows.get(uplink).copied().unwrap_or_default())
    }

    fn routed(&mut self, desired: &Desired) {
        self.desired = desired.clone();
    }
}

/// Ten seconds old, with so many flows through fiber.
fn site(settings: Settings, flows: usize) -> Replay<FlowWorld> {
    let mut world = FlowWorld::default();
    world.flows.insert(name("fiber"), flows);
    let mut replay = Replay::new(settings, world);
    replay.input(remembered(&["fiber", "lte"]));
    replay.run_until(at(10.0));
    replay
}

fn two() -> Settings {
    settings(&["fiber", "lte"])
}

fn drain(limit: &str) -> Command {
    Command::Disable {
        uplink: name("fiber"),
        drain: Some(limit.parse().expect("a limit")),
        force: false,
    }
}

fn drained(replay: &mut Replay<FlowWorld>, limit: &str) -> Vec<Event> {
    let mut events = replay.input(Input::Command(drain(limit).into()));
    events.extend(replay.run_until(at(11.0)));
    events
}

fn left(replay: &Replay<FlowWorld>) -> Option<usize> {
    replay
        .engine()
        .draining(&name("fiber"))
        .map(|(flows, _)| flows)
}

#[test]
fn new_traffic_leaves_a_drained_uplink_and_its_flows_are_held_until_they_end() {
    let mut replay = site(two(), 3);
    let events = drained(&mut replay, "10m");
    assert!(
        when(&events, "switch fiber -> lte").is_some(),
        "{:?}",
        brief(&events)
    );
    assert_eq!(state(&replay, "fiber"), State::Disabled);
    assert_eq!(left(&replay), Some(3));
    replay.world().flows.insert(name("fiber"), 1);
    assert_eq!(brief(&replay.run_until(at(30.0))), Vec::<String>::new());
    assert_eq!(left(&replay), Some(1));
    replay.world().flows.clear();
    assert_eq!(brief(&replay.run_until(at(40.0))), ["uplink.drained fiber"]);
    assert_eq!(left(&replay), None);
    assert_eq!(state(&replay, "fiber"), State::Disabled);
}

/// The families of fiber whose flows have the rule that leads them there.
fn led(replay: &mut Replay<FlowWorld>) -> Vec<Family> {
    let numbering = Numbering::default();
    let table = numbering.uplink_table(0);
    let rules = replay.world().desired.rules.iter();
    let led = rules.filter(|rule| rule.mask == numbering.flow_mask && rule.table == table);
    led.map(|rule| rule.family).collect()
}

#[test]
fn flows_of_a_drained_uplink_have_their_rule_until_the_drain_is_over() {
    for end in [
        Command::disable(name("fiber")),
        Command::enable(name("fiber")),
    ] {
        let mut replay = site(two(), 70_000);
        let rules = |replay: &mut Replay<FlowWorld>| replay.world().desired.rules.len();
        let before = rules(&mut replay);
        drained(&mut replay, "10m");
        assert_eq!(left(&replay), Some(70_000));
        assert_eq!(rules(&mut replay), before, "no rule for each flow");
        assert_eq!(led(&mut replay), [Family::Ipv4]);
        let is_disabled = end == Command::disable(name("fiber"));
        replay.input(Input::Command(end.into()));
        assert_eq!(led(&mut replay).is_empty(), is_disabled);
    }
}

#[test]
fn a_drain_is_over_when_flows_are_not_remembered_any_more() {
    let mut replay = site(two(), 3);
    drained(&mut replay, "10m");
    let events = replay.input(remembered(&["lte"]));
    assert_eq!(brief(&events), ["uplink.drained fiber"]);
    assert!(
        events[0].reason.contains("not remembered"),
        "{}",
        events[0].reason
    );
    assert_eq!(led(&mut replay), []);
}

#[test]
fn an_uplink_without_flows_is_drained_at_once() {
    let mut replay = site(two(), 0);
    let events = drained(&mut replay, "10m");
    assert!(
        when(&events, "uplink.drained fiber").is_some(),
        "{:?}",
        brief(&events)
    );
    assert_eq!(state(&replay, "fiber"), State::Disabled);
}

#[test]
fn a_drain_is_over_when_its_time_is() {
    let mut replay = site(two(), 3);
    drained(&mut replay, "60s");
    let events = replay.run_until(at(100.0));
    let over = when(&events, "uplink.drained fiber").expect("its end");
    assert!((69.9..71.0).contains(&over), "{over}");
    assert!(events[0].reason.contains("3 flows"), "{}", events[0].reason);
}

#[test]
fn a_drain_is_over_as_soon_as_its_uplink_dies_as_if_it_carried() {
    // At each phase of a standby's interval.
    for tenths in (0..60).step_by(3) {
        let mut replay = site(two(), 3);
        drained(&mut replay, "10m");
        let dies_at = 12.0 + f64::from(tenths) / 10.0;
        replay.run_until(at(dies_at));
        replay.world().dead.insert(name("fiber"));
        let events = replay.run_until(at(60.0));
        let over = when(&events, "uplink.drained fiber").expect("its end");
        assert!(over - dies_at < 2.0, "{dies_at} {over}");
        assert_eq!(left(&replay), None);
    }
}

#[test]
fn an_uplink_that_is_enabled_again_is_drained_no_more() {
    let mut replay = site(two(), 3);
    drained(&mut replay, "10m");
    replay.input(Input::Command(Command::enable(name("fiber")).into()));
    assert_eq!(left(&replay), None);
    assert_eq!(state(&replay, "fiber"), State::Up);
}

#[test]
fn an_uplink_whose_flows_cannot_be_counted_stays_in_service() {
    let mut replay = site(two(), 3);
    replay.world().are_hidden = true;
    let events = drained(&mut replay, "10m");
    assert_eq!(brief(&events), Vec::<String>::new());
    assert_eq!(state(&replay, "fiber"), State::Up);
}

#[test]
fn the_last_usable_uplink_is_not_drained_even_if_it_becomes_so_meanwhile() {
    let mut replay = site(two(), 3);
    replay.world().dead.insert(name("lte"));
    replay.run_until(at(60.0));
    let refusal = replay.engine().check(&drain("10m")).expect_err("a refusal");
    assert_eq!(refusal, CommandRefusal::Last(name("fiber")));
    replay.input(Input::Command(drain("10m").into()));
    replay.run_until(at(70.0));
    assert_eq!(state(&replay, "fiber"), State::Up);
}

#[test]
fn what_is_not_remembered_is_not_drained() {
    let mut replay = site(two(), 3);
    replay.input(remembered(&["lte"]));
    let refusal = replay.engine().check(&drain("10m"));
    assert_eq!(refusal, Err(CommandRefusal::NotRemembered(name("fiber"))));
    let mut replay = site(two(), 3);
    drained(&mut replay, "10m");
    let refusal = replay.engine().check(&drain("10m"));
    assert_eq!(refusal, Err(CommandRefusal::Drained(name("fiber"))));
}
