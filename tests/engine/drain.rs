//! Maintenance that lets established flows end, in virtual time.

use std::time::Duration;

use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::command::{Command, CommandRefusal};
use uplinkd::engine::event::Event;
use uplinkd::engine::input::Input;
use uplinkd::engine::settings::Settings;
use uplinkd::engine::state::State;
use uplinkd::replay::{Replay, World, attached};
use uplinkd::routing::RoutingMode;
use uplinkd::routing::traffic::Flow;
use uplinkd::units::sorted::{SortedMap, SortedSet};
use uplinkd::units::{IpProtocol, Moment, UplinkName};

use crate::lossy::state;
use crate::support::{at, brief, name, settings, when};

/// The established flows of each uplink, and the uplinks that are dead.
#[derive(Default)]
struct FlowWorld {
    flows: SortedMap<UplinkName, SortedSet<Flow>>,
    dead: SortedSet<UplinkName>,
    are_hidden: bool,
}

impl World for FlowWorld {
    fn answer(&mut self, order: &ProbeOrder, _: Moment) -> Option<Duration> {
        (!self.dead.contains(&order.uplink)).then_some(Duration::from_millis(10))
    }

    fn flows(&mut self, uplink: &UplinkName, _: Moment) -> Result<SortedSet<Flow>, String> {
        if self.are_hidden {
            return Err("no conntrack".to_owned());
        }
        Ok(self.flows.get(uplink).cloned().unwrap_or_default())
    }
}

fn flows(count: u16) -> SortedSet<Flow> {
    let flow = |port| Flow {
        from: [10, 0, 0, 7].into(),
        to: [203, 0, 113, 80].into(),
        protocol: IpProtocol(6),
        sport: port,
        dport: 443,
    };
    (0..count).map(flow).collect()
}

/// Ten seconds old, with so many flows through fiber.
fn site(settings: Settings, count: u16) -> Replay<FlowWorld> {
    let mut world = FlowWorld::default();
    world.flows.insert(name("fiber"), flows(count));
    let mut replay = Replay::new(settings, world);
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

fn held(replay: &Replay<FlowWorld>) -> Option<usize> {
    replay
        .engine()
        .draining(&name("fiber"))
        .map(|(held, _)| held)
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
    assert_eq!(held(&replay), Some(3));
    replay.world().flows.insert(name("fiber"), flows(1));
    assert_eq!(brief(&replay.run_until(at(30.0))), Vec::<String>::new());
    assert_eq!(held(&replay), Some(1));
    replay.world().flows.clear();
    assert_eq!(brief(&replay.run_until(at(40.0))), ["uplink.drained fiber"]);
    assert_eq!(held(&replay), None);
    assert_eq!(state(&replay, "fiber"), State::Disabled);
}

#[test]
fn of_more_flows_than_512_the_others_move_at_once() {
    let mut replay = site(two(), 600);
    drained(&mut replay, "10m");
    assert_eq!(held(&replay), Some(512));
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
        assert_eq!(held(&replay), None);
    }
}

#[test]
fn an_uplink_that_is_enabled_again_is_drained_no_more() {
    let mut replay = site(two(), 3);
    drained(&mut replay, "10m");
    replay.input(Input::Command(Command::enable(name("fiber")).into()));
    assert_eq!(held(&replay), None);
    assert_eq!(state(&replay, "fiber"), State::Up);
}

#[test]
fn an_uplink_whose_flows_cannot_be_listed_stays_in_service() {
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
fn what_cannot_be_held_is_not_drained() {
    let mut main = two();
    main.numbering.mode = RoutingMode::Main;
    let replay = site(main, 3);
    assert_eq!(
        replay.engine().check(&drain("10m")),
        Err(CommandRefusal::NoRules)
    );
    let mut replay = site(two(), 3);
    replay.input(Input::Attachment {
        uplink: name("lte"),
        attachment: attached(1),
    });
    let refusal = replay.engine().check(&drain("10m"));
    assert_eq!(refusal, Err(CommandRefusal::SharedAddress(name("lte"))));
    let mut replay = site(two(), 3);
    drained(&mut replay, "10m");
    let refusal = replay.engine().check(&drain("10m"));
    assert_eq!(refusal, Err(CommandRefusal::Drained(name("fiber"))));
}
