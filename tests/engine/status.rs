//! What the status and the answers to commands say agrees with what is so, in virtual time.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::command::{Command, CommandRefusal};
use uplinkd::engine::event::Severity;
use uplinkd::engine::input::Input;
use uplinkd::engine::settings::Failback;
use uplinkd::engine::state::State;
use uplinkd::engine::status::{WaitReason, Waits};
use uplinkd::replay::{Replay, World, attached_by_both};
use uplinkd::routing::{Attachment, Family};
use uplinkd::units::{Moment, Score, Timestamp, UplinkName};

use crate::lossy::{lossy, shown, state};
use crate::support::{at, brief, line, name, probe, settings, when};

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

/// What the uplink waits for, and how many seconds more.
fn waits(replay: &Replay<impl World>, uplink: &str) -> Option<(WaitReason, Option<u64>)> {
    let Waits { reason, until } = shown(replay, uplink).waits?;
    let left = |until: Timestamp| until.0.duration_since(UNIX_EPOCH).expect("a time to come");
    Some((reason, until.map(|until| left(until).as_secs())))
}

#[test]
fn a_preferred_uplink_that_is_well_says_what_it_waits_for_and_until_when() {
    let loss = dead(&[("fiber", 30.0, 40.0)]);
    let mut replay = lossy(settings(&["fiber", "lte"]), 1, loss);
    replay.run_until(at(35.0));
    for uplink in ["fiber", "lte"] {
        assert_eq!(waits(&replay, uplink), None, "{uplink}");
    }
    replay.run_until(at(50.0));
    let (reason, left) = waits(&replay, "fiber").expect("a wait");
    assert_eq!(reason, WaitReason::FailbackAfter);
    let left = left.expect("an end");
    assert!((48..55).contains(&left), "{left}");
    assert_eq!(waits(&replay, "lte"), None);
    let left = u32::try_from(left).expect("seconds");
    let events = replay.run_until(at(50.0 + f64::from(left) + 1.5));
    assert!(when(&events, "switch lte -> fiber").is_some());
    assert_eq!(waits(&replay, "fiber"), None);
}

#[test]
fn an_uplink_that_an_operator_keeps_waiting_says_so() {
    let mut by_hand = settings(&["fiber", "lte"]);
    by_hand.failover.failback = Failback::Manual;
    let mut replay = lossy(by_hand, 1, dead(&[("fiber", 30.0, 40.0)]));
    replay.run_until(at(500.0));
    let manual = Some((WaitReason::FailbackManual, None));
    assert_eq!(waits(&replay, "fiber"), manual);
    replay.input(Input::Command(Command::Auto.into()));
    assert_eq!(waits(&replay, "fiber"), None);
    replay.input(Input::Command(Command::switch(name("lte")).into()));
    assert_eq!(waits(&replay, "fiber"), Some((WaitReason::Choice, None)));
    assert_eq!(waits(&replay, "lte"), None);
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
        let next = replay.now() + Duration::from_millis(10);
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
fn an_uplink_that_is_disabled_and_enabled_by_hand_is_never_reported_as_down() {
    // The standby is dead when it is enabled again.
    let loss = dead(&[("lte", 20.0, 90.0)]);
    let mut replay = lossy(settings(&["fiber", "lte"]), 1, loss);
    replay.run_until(at(10.0));
    let disabled = replay.input(Input::Command(disable("lte", false).into()));
    assert_eq!(brief(&disabled), ["uplink.disabled lte"]);
    replay.run_until(at(40.0));
    let enable = Command::Enable {
        uplink: name("lte"),
    };
    let enabled = replay.input(Input::Command(enable.into()));
    assert_eq!(brief(&enabled), ["uplink.enabled lte"]);
    for event in disabled.iter().chain(&enabled) {
        let delivery = event.change.kind().delivery();
        assert_eq!(delivery.severity, Severity::Info, "{}", delivery.name);
    }
    assert_eq!(state(&replay, "lte"), State::Down);
}

#[test]
fn a_reason_names_a_state_once() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 1, |_, _| 0.0);
    replay.run_until(at(10.0));
    let events = replay.input(Input::Command(disable("fiber", false).into()));
    let switch = events
        .iter()
        .find(|event| line(event) == "switch fiber -> lte");
    let why = &switch.expect("a switch").reason;
    assert_eq!(why, "fiber disabled by hand");
    assert_eq!(
        refusal(&replay, &Command::switch(name("fiber"))).to_string(),
        "fiber cannot carry the traffic: disabled by hand"
    );
}

#[test]
fn an_uplink_that_is_up_has_figures_of_what_it_did_since_and_its_outage_apart() {
    let loss = dead(&[("fiber", 30.0, 42.0)]);
    let mut replay = lossy(settings(&["fiber", "lte"]), 1, loss);
    replay.run_until(at(29.0));
    assert_eq!(shown(&replay, "fiber").last_outage, None);
    replay.run_until(at(41.0));
    assert_eq!(shown(&replay, "fiber").loss_percent, Some(100.0));
    while replay.now() < at(80.0) {
        let next = replay.now() + Duration::from_millis(100);
        replay.run_until(next);
        let fiber = shown(&replay, "fiber");
        match fiber.state {
            State::Down => assert_eq!(fiber.score, Some(Score(0))),
            State::Recovering | State::Up => {
                assert_eq!(fiber.loss_percent, Some(0.0), "{next:?}");
                assert!(fiber.score >= Some(Score(90)), "{fiber:?}");
                assert!(
                    fiber
                        .targets
                        .iter()
                        .all(|of| of.loss_percent != Some(100.0))
                );
            }
            State::Unknown | State::Degraded | State::Disabled | State::Absent | State::Cold => {
                panic!("{fiber:?}")
            }
        }
    }
    let outage = shown(&replay, "fiber").last_outage.expect("an outage");
    // The clock of the wall reads its epoch now.
    let seconds = |at: Timestamp| {
        let age = UNIX_EPOCH.duration_since(at.0).expect("earlier");
        (replay.now() - age).since_start().as_secs_f64()
    };
    let (began, ended) = (seconds(outage.began), seconds(outage.ended));
    assert!((30.0..31.1).contains(&began), "{began}");
    assert!((42.0..44.0).contains(&ended), "{ended}");
}

#[test]
fn loss_that_is_no_outage_stays_in_the_figures() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 1, |_, _| 0.1);
    replay.run_until(at(300.0));
    let fiber = shown(&replay, "fiber");
    assert_eq!((fiber.state, fiber.last_outage), (State::Up, None));
    assert!(fiber.loss_percent > Some(0.0), "{fiber:?}");
}

#[test]
fn a_family_and_a_target_that_answer_again_take_no_loss_of_before_into_the_figures() {
    let mut both = settings(&["fiber", "lte"]);
    let targets = [
        "192.0.2.1",
        "198.51.100.1",
        "2001:db8:a::1",
        "2001:db8:b::1",
    ];
    for uplink in &mut both.uplinks {
        uplink.probe = probe(&targets);
    }
    let mut replay = lossy(both, 1, |order, now| {
        let target = order.target.to_string();
        let is_silent = target.contains(':') || target == "198.51.100.1";
        f64::from(order.uplink == name("fiber") && is_silent && (30.0..60.0).contains(&now))
    });
    replay.run_until(at(59.0));
    let fiber = shown(&replay, "fiber");
    assert_eq!(
        (fiber.state, fiber.loss_percent),
        (State::Degraded, Some(0.0))
    );
    replay.run_until(at(85.0));
    let fiber = shown(&replay, "fiber");
    assert_eq!((fiber.state, fiber.loss_percent), (State::Up, Some(0.0)));
    for target in fiber.targets {
        assert_eq!(
            (target.state, target.loss_percent),
            (State::Up, Some(0.0)),
            "{}",
            target.target
        );
    }
}

/// An attachment by this family alone.
fn attached_by(family: Family) -> Attachment {
    let mut attachment = attached_by_both(1);
    attachment.paths.retain(|of, _| *of == family);
    attachment
}

#[test]
fn an_uplink_of_one_family_with_targets_of_the_other_says_so_until_it_has_one() {
    for (family, other, target) in [
        (Family::Ipv6, "192.0.2.1", "2001:db8:a::1"),
        (Family::Ipv4, "2001:db8:a::1", "192.0.2.1"),
    ] {
        let mut odd = settings(&["fiber", "lte"]);
        odd.uplinks[0].probe = probe(&[other]);
        let mut replay = lossy(odd.clone(), 1, |_, _| 0.0);
        let (uplink, attachment) = (name("fiber"), attached_by(family));
        replay.input(Input::Attachment { uplink, attachment });
        let events = replay.run_until(at(20.0));
        let why = format!(
            "cannot be probed: eth1 has {family} only, and no target does; add one to `probe.targets`"
        );
        let down = events
            .iter()
            .find(|event| line(event) == "uplink.down fiber");
        assert_eq!(down.map(|event| &event.reason), Some(&why), "{events:?}");
        assert_eq!(shown(&replay, "fiber").reason, why);
        odd.uplinks[0].probe = probe(&[other, target]);
        replay.input(Input::Settings(Box::new(odd)));
        replay.run_until(at(40.0));
        assert_eq!(state(&replay, "fiber"), State::Up);
    }
}

#[test]
fn an_uplink_of_one_family_is_probed_as_soon_as_it_has_the_family_of_its_targets() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 1, |_, _| 0.0);
    let (uplink, attachment) = (name("fiber"), attached_by(Family::Ipv6));
    replay.input(Input::Attachment { uplink, attachment });
    replay.run_until(at(20.0));
    assert_eq!(state(&replay, "fiber"), State::Down);
    let (uplink, attachment) = (name("fiber"), attached_by_both(1));
    replay.input(Input::Attachment { uplink, attachment });
    replay.run_until(at(21.0));
    assert_eq!(state(&replay, "fiber"), State::Recovering);
}

#[test]
fn a_family_that_never_answered_is_named_while_the_other_one_is_up() {
    for silent in [Family::Ipv4, Family::Ipv6] {
        let mut both = settings(&["fiber", "lte"]);
        both.uplinks[0].probe = probe(&["192.0.2.1", "2001:db8:a::1"]);
        let mut replay = lossy(both, 1, |order, _| {
            let family = order.target.address().map(Family::of);
            f64::from(order.uplink == name("fiber") && family == Some(silent))
        });
        replay.run_until(at(60.0));
        let fiber = shown(&replay, "fiber");
        let works = fiber.families[0];
        let why = format!("answers; {silent} has not answered yet, {works} does");
        assert_eq!((fiber.state, fiber.reason), (State::Up, why));
        assert_eq!(
            (fiber.loss_percent, fiber.broken),
            (Some(0.0), vec![silent])
        );
    }
}

/// A link whose first answer after a silence waits for the address of its next hop.
struct Resolving {
    /// When fiber is dead.
    dead: std::ops::Range<f64>,
    heard: BTreeMap<UplinkName, Moment>,
}

impl World for Resolving {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        let is_dead = self.dead.contains(&now.since_start().as_secs_f64());
        if is_dead && order.uplink == name("fiber") {
            self.heard.remove(&order.uplink);
            return None;
        }
        let known = self.heard.get(&order.uplink);
        let is_resolved = known.is_some_and(|heard| now.since(*heard) < Duration::from_secs(60));
        let rtt = Duration::from_millis(if is_resolved { 10 } else { 400 });
        self.heard.entry(order.uplink.clone()).or_insert(now + rtt);
        if is_resolved {
            self.heard.insert(order.uplink.clone(), now);
        }
        Some(rtt)
    }
}

#[test]
fn an_answer_that_waits_for_the_address_of_the_next_hop_degrades_no_uplink() {
    let mut one = settings(&["fiber", "lte"]);
    one.uplinks[0].probe = probe(&["192.0.2.1"]);
    one.uplinks[1].probe = probe(&["192.0.2.1"]);
    one.uplinks[1].probe.standby_interval = Duration::from_secs(120);
    let (dead, heard) = (300.0..320.0, BTreeMap::new());
    let mut replay = Replay::new(one, Resolving { dead, heard });
    let events = replay.run_until(at(1_800.0));
    let degraded = events
        .iter()
        .filter(|event| line(event).starts_with("uplink.degraded"));
    assert_eq!(degraded.count(), 0, "{events:#?}");
    assert!(when(&events, "uplink.recovering fiber").is_some());
    assert!(shown(&replay, "fiber").jitter_ms < Some(1.0));
}

#[test]
fn jitter_of_answers_that_follow_one_another_degrades_an_uplink() {
    let mut one = settings(&["fiber", "lte"]);
    one.uplinks[0].probe = probe(&["192.0.2.1"]);
    let world = |order: &ProbeOrder, now: Moment| {
        let is_odd = now.since_start().as_millis() / 1_000 % 2 == 1;
        let is_slow = order.uplink == name("fiber") && is_odd;
        Some(Duration::from_millis(if is_slow { 400 } else { 10 }))
    };
    let mut replay = Replay::new(one, Steady(world));
    let events = replay.run_until(at(120.0));
    assert!(
        when(&events, "uplink.degraded fiber").is_some(),
        "{events:#?}"
    );
}

struct Steady<F>(F);

impl<F: FnMut(&ProbeOrder, Moment) -> Option<Duration>> World for Steady<F> {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        (self.0)(order, now)
    }
}
