//! The class of the reason of a switch, for machines.

use crate::lossy::lossy;
use crate::support::{self, at, name, settings};
use uplinkd::engine::command::Command;
use uplinkd::engine::event::cause::SwitchCause;
use uplinkd::engine::event::{Change, Event};
use uplinkd::engine::input::Input;
use uplinkd::engine::settings::{Policy, Settings};
use uplinkd::routing::traffic::Selector;
use uplinkd::units::{IpProtocol, Tier};

fn causes(events: &[Event]) -> Vec<SwitchCause> {
    let cause = |event: &Event| {
        if let Change::Switch { cause, .. } = event.change {
            return Some(cause);
        }
        None
    };
    events.iter().filter_map(cause).collect()
}

fn command(command: Command) -> Input {
    Input::Command(command.into())
}

#[test]
fn a_start_an_outage_and_its_end_are_told_apart() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 1, |order, now| {
        f64::from(order.uplink == name("fiber") && (30.0..60.0).contains(&now))
    });
    let events = replay.run_until(at(200.0));
    let expected = [SwitchCause::Start, SwitchCause::Down, SwitchCause::Failback];
    assert_eq!(causes(&events), expected);
}

#[test]
fn loss_is_no_outage() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 1, |order, now| {
        let is_bad = order.uplink == name("fiber") && now >= 60.0;
        if is_bad { 0.4 } else { 0.0 }
    });
    let events = replay.run_until(at(300.0));
    let expected = [SwitchCause::Start, SwitchCause::Degraded];
    assert_eq!(causes(&events), expected);
}

#[test]
fn what_operators_and_reloads_move_is_told_from_what_uplinks_do() {
    let three = settings(&["fiber", "lte", "dsl"]);
    let mut replay = lossy(three.clone(), 1, |_, _| 0.0);
    replay.run_until(at(10.0));
    let by_hand = replay.input(command(Command::switch(name("lte"))));
    assert_eq!(causes(&by_hand), [SwitchCause::Manual]);
    let back = replay.input(command(Command::Auto));
    assert_eq!(causes(&back), [SwitchCause::Failback]);
    let disabled = replay.input(command(Command::disable(name("fiber"))));
    assert_eq!(causes(&disabled), [SwitchCause::Manual]);
    let mut without = three;
    without.uplinks.remove(1);
    let mut events = replay.input(Input::Settings(Box::new(without)));
    events.extend(replay.run_until(at(20.0)));
    assert_eq!(causes(&events), [SwitchCause::Config]);
}

#[test]
fn a_group_that_comes_back_from_the_default_group_fails_back() {
    let mut settings = settings(&["fiber", "lte"]);
    let group = support::group("voice", Policy::Failover, vec![name("lte")]);
    settings.groups.push(group);
    let traffic = Selector {
        protocol: Some(IpProtocol(17)),
        ..Selector::default()
    };
    settings.rules.push(support::rule("voice", traffic));
    let mut replay = lossy(settings, 1, |order, now| {
        f64::from(order.uplink == name("lte") && (30.0..60.0).contains(&now))
    });
    replay.run_until(at(20.0));
    let events = replay.run_until(at(200.0));
    let expected = [SwitchCause::Down, SwitchCause::Failback];
    assert_eq!(causes(&events), expected);
}

#[test]
fn under_balance_a_member_that_leaves_and_one_that_comes_back_are_told_apart() {
    let mut balanced: Settings = settings(&["fiber", "lte"]);
    balanced.failover.policy = Policy::Balance;
    for uplink in &mut balanced.uplinks {
        uplink.tier = Tier(1);
    }
    let mut replay = lossy(balanced, 1, |order, now| {
        f64::from(order.uplink == name("lte") && (30.0..60.0).contains(&now))
    });
    replay.run_until(at(20.0));
    let events = replay.run_until(at(200.0));
    let expected = [SwitchCause::Down, SwitchCause::Failback];
    assert_eq!(causes(&events), expected);
}
