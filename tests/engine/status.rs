//! What the status and the answers to commands say agrees with what is so, in virtual time.

use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::command::{Command, CommandRefusal};
use uplinkd::engine::input::Input;
use uplinkd::engine::settings::Failback;
use uplinkd::engine::state::State;
use uplinkd::replay::{Replay, World};

use crate::lossy::{lossy, state};
use crate::support::{at, brief, name, settings, when};

/// Each of these uplinks is dead between the times.
fn dead(during: &'static [(&str, f64, f64)]) -> impl FnMut(&ProbeOrder, f64) -> f64 {
    move |order, now| {
        let mut outages = during.iter();
        f64::from(
            outages.any(|(uplink, from, to)| {
                order.uplink == name(uplink) && (*from..*to).contains(&now)
            }),
        )
    }
}

fn disable(uplink: &str, force: bool) -> Command {
    Command::Disable {
        uplink: name(uplink),
        drain: None,
        force,
    }
}

fn refusal(replay: &Replay<impl World>, command: &Command) -> CommandRefusal {
    let checked = replay.engine().check(command);
    checked.expect_err("a refusal")
}

#[test]
fn auto_shortens_no_wait_for_failback_where_the_agent_chooses_already() {
    let loss = dead(&[("fiber", 30.0, 40.0)]);
    let mut replay = lossy(settings(&["fiber", "lte"]), 1, loss);
    replay.run_until(at(50.0));
    assert_eq!(state(&replay, "fiber"), State::Up);
    let events = replay.input(Input::Command(Command::Auto.into()));
    assert_eq!(brief(&events), [""; 0]);
    let events = replay.run_until(at(200.0));
    let back = when(&events, "switch lte -> fiber").expect("a failback");
    assert!((100.0..104.0).contains(&back), "{back}");
}

#[test]
fn auto_ends_a_choice_by_hand_at_once() {
    let loss = dead(&[("fiber", 30.0, 40.0)]);
    let mut replay = lossy(settings(&["fiber", "lte", "dsl"]), 1, loss);
    replay.run_until(at(50.0));
    replay.input(Input::Command(Command::switch(name("dsl")).into()));
    let events = replay.input(Input::Command(Command::Auto.into()));
    assert_eq!(brief(&events), ["switch dsl -> fiber"]);
}

#[test]
fn auto_is_when_to_go_back_where_an_operator_says_when() {
    let mut by_hand = settings(&["fiber", "lte"]);
    by_hand.failover.failback = Failback::Manual;
    let mut replay = lossy(by_hand, 1, dead(&[("fiber", 30.0, 40.0)]));
    replay.run_until(at(500.0));
    let events = replay.input(Input::Command(Command::Auto.into()));
    assert_eq!(brief(&events), ["switch lte -> fiber"]);
}

#[test]
fn the_last_healthy_uplink_is_disabled_by_force_only_while_others_are_recovering() {
    let loss = dead(&[("lte", 20.0, 40.0)]);
    let mut replay = lossy(settings(&["fiber", "lte"]), 1, loss);
    replay.run_until(at(30.0));
    let last = CommandRefusal::Last(name("fiber"));
    assert_eq!(refusal(&replay, &disable("fiber", false)), last);
    assert_eq!(refusal(&replay, &disable("fiber", true)), last);
    while state(&replay, "lte") != State::Recovering {
        let next = replay.now() + std::time::Duration::from_millis(10);
        replay.run_until(next);
        assert!(next < at(60.0));
    }
    let refusal = refusal(&replay, &disable("fiber", false));
    assert_eq!(
        refusal.to_string(),
        "fiber is the last healthy uplink, still recovering: lte; wait, or use --force"
    );
    assert_eq!(replay.engine().check(&disable("lte", false)), Ok(()));
    let events = replay.input(Input::Command(disable("fiber", true).into()));
    assert!(
        when(&events, "switch fiber -> lte").is_some(),
        "{:?}",
        brief(&events)
    );
    assert_eq!(state(&replay, "fiber"), State::Disabled);
    assert_eq!(events[0].reason, "disabled by hand");
}

#[test]
fn the_last_healthy_uplink_needs_no_force_once_another_one_is_trusted() {
    let loss = dead(&[("lte", 20.0, 40.0)]);
    let mut replay = lossy(settings(&["fiber", "lte"]), 1, loss);
    replay.run_until(at(70.0));
    assert_eq!(state(&replay, "lte"), State::Up);
    assert_eq!(replay.engine().check(&disable("fiber", false)), Ok(()));
}

#[test]
fn a_reason_names_a_state_once() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 1, |_, _| 0.0);
    replay.run_until(at(10.0));
    let events = replay.input(Input::Command(disable("fiber", false).into()));
    let switch = events
        .iter()
        .find(|event| crate::support::line(event) == "switch fiber -> lte");
    let why = &switch.expect("a switch").reason;
    assert_eq!(why, "fiber disabled by hand");
    assert_eq!(
        refusal(&replay, &Command::switch(name("fiber"))).to_string(),
        "fiber cannot carry the traffic: disabled by hand"
    );
}
