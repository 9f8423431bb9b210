//! Calm as the user asks: flap damping, the policy `best`, and what counts as evidence for a way back.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::extent::extent;
use crate::lossy::{RTT, lossy, shown, state, switches};
use crate::support::{at, brief, name, settings, when};
use uplinkd::engine::Engine;
use uplinkd::engine::action::{Action, ProbeOrder};
use uplinkd::engine::command::Command;
use uplinkd::engine::event::Event;
use uplinkd::engine::input::{Input, ProbeOutcome};
use uplinkd::engine::schedule::Spread;
use uplinkd::engine::settings::{Failback, Policy, Settings};
use uplinkd::engine::state::State;
use uplinkd::engine::status::{WaitReason, Waits};
use uplinkd::replay::{Replay, World};
use uplinkd::units::{Counters, Moment, Tier, UplinkName};

const HOUR: f64 = 3_600.0;

/// Fiber dies for ten seconds every three minutes, for so long.
fn keeps_dying(until: f64) -> impl FnMut(&ProbeOrder, f64) -> f64 {
    move |order, now| {
        let is_dead = (60.0..until).contains(&now) && now.rem_euclid(180.0) < 10.0;
        f64::from(order.uplink == name("fiber") && is_dead)
    }
}

/// A video call as heavy as any before it, in broadcast noise that is as heavy, on a link that falls
/// silent for half a second now and then.
struct FullInBursts;

impl FullInBursts {
    fn is_silent(now: f64) -> bool {
        now.rem_euclid(20.3) < 0.5
    }
}

impl World for FullInBursts {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        let is_silent = Self::is_silent(now.since_start().as_secs_f64());
        (order.uplink != name("fiber") || !is_silent).then_some(RTT)
    }

    fn counters(&mut self, _: &UplinkName, now: Moment) -> Option<Counters> {
        let passed = now.since_start().as_secs_f64();
        let silent = (passed / 20.3).floor() * 0.5 + passed.rem_euclid(20.3).min(0.5);
        let packets = |seconds: f64| Duration::from_secs_f64(seconds * 100.0).as_secs();
        let received = packets(passed - silent / 2.0);
        Some(Counters {
            rx_packets: received,
            tx_packets: packets(passed / 2.0),
            rx_bytes: received * 800,
            tx_bytes: packets(passed / 2.0) * 200,
        })
    }
}

#[test]
fn a_full_link_that_loses_in_bursts_is_no_worse_than_an_empty_one() {
    let mut replay = Replay::new(settings(&["fiber", "lte"]), FullInBursts);
    replay.run_until(at(HOUR));
    let events = replay.run_until(at(4.0 * HOUR));
    assert!(events.is_empty(), "{}", lines(&events));
}

fn lines(events: &[Event]) -> String {
    let line = |event: &Event| format!("{} {:?} {}\n", event.at, event.change, event.reason);
    events.iter().map(line).collect()
}

#[test]
fn an_uplink_that_keeps_dying_carries_no_more_until_it_has_been_calm() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 1, keeps_dying(HOUR));
    let flapping = replay.run_until(at(HOUR));
    assert!(switches(&flapping) <= 11, "{}", lines(&flapping));
    let fiber = shown(&replay, "fiber");
    assert!(fiber.suppressed_until.is_some());
    let waits = Waits {
        reason: WaitReason::Damping,
        until: fiber.suppressed_until,
    };
    assert_eq!(fiber.waits, Some(waits));
    let calm = replay.run_until(at(5.5 * HOUR));
    assert_eq!(
        brief(&calm),
        ["flap.reuse fiber", "switch lte -> fiber"],
        "{}",
        lines(&calm)
    );
    let back = when(&calm, "switch lte -> fiber").expect("a failback");
    assert!((3.5 * HOUR..5.2 * HOUR).contains(&back), "{back}");
}

#[test]
fn without_damping_the_same_uplink_moves_the_traffic_with_every_death() {
    let mut undamped = settings(&["fiber", "lte"]);
    undamped.failover.damping.longest = Duration::ZERO;
    let mut replay = lossy(undamped, 1, keeps_dying(4.0 * HOUR));
    let events = replay.run_until(at(4.0 * HOUR));
    assert!(switches(&events) > 100, "{}", switches(&events));
}

#[test]
fn an_uplink_that_keeps_dying_is_left_at_once_and_used_where_there_is_no_other() {
    let mut flapping = keeps_dying(HOUR);
    let mut replay = lossy(settings(&["fiber", "lte"]), 1, move |order, now| {
        let is_lte_dead = order.uplink == name("lte") && (HOUR + 20.0..HOUR + 60.0).contains(&now);
        let is_fiber_dead = order.uplink == name("fiber") && now >= HOUR + 100.0;
        flapping(order, now).max(f64::from(is_lte_dead || is_fiber_dead))
    });
    replay.run_until(at(HOUR + 15.0));
    assert!(shown(&replay, "fiber").suppressed_until.is_some());
    let events = replay.run_until(at(HOUR + 50.0));
    let moved = when(&events, "switch lte -> fiber").expect("the only one left");
    assert!(moved < HOUR + 22.0, "{}", lines(&events));
    // As soon as LTE is steady it is preferred to an uplink that is not.
    let events = replay.run_until(at(HOUR + 99.0));
    let moved = when(&events, "switch fiber -> lte").expect("the steady one");
    assert!(moved < HOUR + 70.0, "{}", lines(&events));
}

#[test]
fn an_uplink_that_keeps_dying_does_not_take_turns_with_a_degraded_one() {
    let mut flapping = keeps_dying(4.0 * HOUR);
    let world = move |order: &ProbeOrder, now: Moment| {
        let is_lost = flapping(order, now.since_start().as_secs_f64()) > 0.0;
        let is_slow = order.uplink == name("lte");
        let rtt = if is_slow {
            Duration::from_millis(700)
        } else {
            RTT
        };
        (!is_lost).then_some(rtt)
    };
    let mut replay = Replay::new(settings(&["fiber", "lte"]), world);
    let events = replay.run_until(at(4.0 * HOUR));
    assert_eq!(state(&replay, "lte"), State::Degraded);
    assert!(switches(&events) <= 11, "{}", lines(&events));
}

#[test]
fn whom_a_person_chooses_is_pardoned_and_keeps_the_traffic_when_the_agent_chooses_again() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 1, keeps_dying(HOUR));
    replay.run_until(at(HOUR + 15.0));
    // `auto` waives the wait, not the penalty.
    assert_eq!(
        brief(&replay.input(Input::Command(Command::Auto.into()))),
        [""; 0]
    );
    let fiber = Command::switch(name("fiber"));
    assert_eq!(
        brief(&replay.input(Input::Command(fiber.into()))),
        ["switch lte -> fiber"]
    );
    assert_eq!(shown(&replay, "fiber").suppressed_until, None);
    assert_eq!(
        brief(&replay.input(Input::Command(Command::Auto.into()))),
        [""; 0]
    );
    assert_eq!(brief(&replay.run_until(at(2.0 * HOUR))), [""; 0]);
}

#[test]
fn where_only_a_person_says_when_to_go_back_a_penalty_does_not_object() {
    let mut by_hand = settings(&["fiber", "lte"]);
    by_hand.failover.failback = Failback::Manual;
    // So that each of its deaths is seen although it is a standby.
    for uplink in &mut by_hand.uplinks {
        uplink.probe.standby_interval = uplink.probe.interval;
    }
    let mut replay = lossy(by_hand, 1, keeps_dying(HOUR));
    let events = replay.run_until(at(HOUR + 15.0));
    assert_eq!(switches(&events), 2, "{}", lines(&events));
    assert!(shown(&replay, "fiber").suppressed_until.is_some());
    assert_eq!(
        brief(&replay.input(Input::Command(Command::Auto.into()))),
        ["switch lte -> fiber"]
    );
}

#[test]
fn a_person_s_choice_that_died_comes_back_as_slowly_as_a_preferred_uplink() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 5, |order, now| {
        f64::from(order.uplink == name("lte") && (100.0..110.0).contains(&now))
    });
    replay.run_until(at(10.0));
    replay.input(Input::Command(Command::switch(name("lte")).into()));
    let events = replay.run_until(at(300.0));
    let back = when(&events, "switch fiber -> lte").expect("the choice holds");
    assert!((170.0..172.0).contains(&back), "{}", lines(&events));
}

#[test]
fn nothing_fails_back_to_an_uplink_that_has_just_fallen_silent() {
    for step in 0..60 {
        // It is well again from 40 s on, so a failback is due at about 100 s.
        let dies = 98.0 + f64::from(step) * 0.1;
        let mut replay = lossy(settings(&["fiber", "lte"]), 5, move |order, now| {
            let is_dead = (20.0..40.0).contains(&now) || now >= dies;
            f64::from(order.uplink == name("fiber") && is_dead)
        });
        let events = replay.run_until(at(90.0));
        assert_eq!(switches(&events), 2);
        let events = replay.run_until(at(200.0));
        if let Some(back) = when(&events, "switch lte -> fiber") {
            // It cannot be known before the next probe.
            assert!(back < dies + 1.2, "dies {dies}: {}", lines(&events));
        }
    }
}

#[test]
fn one_answer_is_no_trial() {
    let mut slow = settings(&["fiber", "lte"]);
    for uplink in &mut slow.uplinks {
        uplink.probe.interval = Duration::from_secs(30);
    }
    let mut replay = lossy(slow, 5, |order, now| {
        f64::from(order.uplink == name("fiber") && (100.0..300.0).contains(&now))
    });
    replay.run_until(at(200.0));
    let events = replay.run_until(at(600.0));
    let answers = when(&events, "uplink.recovering fiber").expect("answers again");
    let up = when(&events, "uplink.up fiber").expect("up again");
    assert!(up - answers >= 10.0, "{}", lines(&events));
}

/// Lets a bare engine live, every probe answered.
fn live(engine: &mut Engine, from: Moment, until: Moment) -> Vec<Event> {
    let mut events = Vec::new();
    let mut now = from;
    while let Some(due) = engine.poll_timeout().filter(|due| *due <= until) {
        now = now.max(due);
        engine.handle_timeout(now);
        events.extend(answer_all(engine, now));
    }
    events
}

fn answer_all(engine: &mut Engine, now: Moment) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(action) = engine.poll_action() {
        match action {
            Action::Probe(ProbeOrder { id, uplink, .. }) => engine.handle_input(
                now,
                Input::Probe {
                    uplink,
                    id,
                    outcome: ProbeOutcome::Reply(RTT),
                },
            ),
            Action::Event(event) => events.push(event),
            Action::Route(_)
            | Action::Count(_)
            | Action::Leave(_)
            | Action::Drain(..)
            | Action::Drill(_)
            | Action::Trace(_) => {}
        }
    }
    events
}

/// Fiber was dead from 20 to 40 s, LTE carries.
fn after_an_outage(until: f64) -> Replay<impl World> {
    let mut replay = lossy(settings(&["fiber", "lte"]), 5, |order, now| {
        f64::from(order.uplink == name("fiber") && (20.0..40.0).contains(&now))
    });
    replay.run_until(at(until));
    assert_eq!(replay.engine().carrier(), Some(&name("lte")));
    replay
}

#[test]
fn hours_without_a_probe_are_no_evidence_for_a_failback() {
    for millis in 0..300_u32 {
        let slept_at = 40.0 + f64::from(millis) * 0.05;
        let mut engine = after_an_outage(slept_at).engine().clone();
        let woke = at(slept_at) + Duration::from_secs(7_200);
        engine.handle_timeout(woke);
        assert!(switches(&answer_all(&mut engine, woke)) == 0);
        let soon = live(&mut engine, woke, woke + Duration::from_secs(58));
        assert_eq!(switches(&soon), 0, "{}", lines(&soon));
        let later = live(&mut engine, woke, woke + Duration::from_secs(70));
        assert_eq!(switches(&later), 1, "{}", lines(&later));
    }
}

#[test]
fn hours_without_a_probe_teach_nothing_about_the_link() {
    for millis in 0..40_u32 {
        // Fiber dies at 20 s: within the second before the verdict its probes are missed.
        let mut replay = lossy(settings(&["fiber", "lte"]), 5, |order, now| {
            f64::from(order.uplink == name("fiber") && now >= 20.0)
        });
        let slept_at = at(20.0 + f64::from(millis) * 0.05);
        replay.run_until(slept_at);
        let mut engine = replay.engine().clone();
        let before = engine.learnt()[&name("fiber")].process();
        let woke = slept_at + Duration::from_secs(7_200);
        engine.handle_timeout(woke);
        answer_all(&mut engine, woke);
        live(&mut engine, woke, woke + Duration::from_secs(5));
        let after = engine.learnt()[&name("fiber")].process();
        assert!(
            after.tail.seconds < before.tail.seconds * 1.2,
            "slept at {slept_at}: {before:?} became {after:?}"
        );
    }
}

#[test]
fn an_uplink_that_may_be_trusted_at_once_does_not_make_the_engine_spin() {
    let mut trusting = settings(&["fiber", "lte"]);
    for uplink in &mut trusting.uplinks {
        uplink.health.recover_after = Duration::ZERO;
    }
    let mut calls = 0_u32;
    let world = |order: &ProbeOrder, now: Moment| {
        calls += 1;
        let second = now.since_start().as_secs();
        let is_dead = order.uplink == name("fiber") && (second / 7) % 2 == 1;
        (!is_dead && !order.id.0.is_multiple_of(3)).then_some(RTT)
    };
    let mut replay = Replay::new(trusting, world);
    replay.run_until(at(300.0));
    drop(replay);
    assert!(calls < 60_000, "{calls} probes");
}

fn best(uplinks: &[&str]) -> Settings {
    let mut settings = settings(uplinks);
    settings.failover.policy = Policy::Best;
    for uplink in &mut settings.uplinks {
        uplink.tier = Tier(1);
    }
    settings
}

/// Fiber loses 6 %, which are about 20 points of score.
fn fiber_lossy_in(span: std::ops::Range<f64>) -> impl FnMut(&ProbeOrder, f64) -> f64 {
    move |order, now| {
        let is_lossy = order.uplink == name("fiber") && span.contains(&now);
        if is_lossy { 0.06 } else { 0.0 }
    }
}

#[test]
fn the_traffic_moves_to_the_better_uplink_of_a_tier_when_that_has_been_better_for_long() {
    let mut replay = lossy(best(&["fiber", "cable"]), 1, fiber_lossy_in(100.0..1e9));
    let events = replay.run_until(at(HOUR));
    let moved = when(&events, "switch fiber -> cable").expect("a switch");
    assert!((200.0..1_200.0).contains(&moved), "{}", lines(&events));
    assert_eq!(switches(&events), 2, "{}", lines(&events));
}

#[test]
fn an_advantage_that_counted_under_best_is_nothing_to_a_policy_that_does_not_ask_for_it() {
    let mut settings = best(&["fiber", "cable"]);
    settings.failover.best.after = Duration::from_hours(5);
    let mut replay = lossy(settings.clone(), 1, fiber_lossy_in(100.0..1e9));
    replay.run_until(at(HOUR));
    settings.failover.policy = Policy::Failover;
    settings.failover.best.after = Duration::from_secs(10);
    let mut events = replay.input(Input::Settings(Box::new(settings)));
    events.extend(replay.run_until(at(2.0 * HOUR)));
    assert_eq!(switches(&events), 0, "{}", lines(&events));
}

#[test]
fn an_advantage_that_does_not_last_moves_nothing() {
    let mut replay = lossy(best(&["fiber", "cable"]), 1, fiber_lossy_in(100.0..220.0));
    let events = replay.run_until(at(HOUR));
    assert_eq!(switches(&events), 1, "{}", lines(&events));
}

#[test]
fn the_best_uplink_is_left_at_once_when_it_dies_and_the_next_best_takes_over() {
    let world = |order: &ProbeOrder, now: Moment| {
        let is_dead = order.uplink == name("fiber") && now >= at(60.0);
        let slow = Duration::from_millis(200);
        let rtt = if order.uplink == name("cable") {
            slow
        } else {
            RTT
        };
        (!is_dead).then_some(rtt)
    };
    let mut replay = Replay::new(best(&["fiber", "cable", "dsl"]), world);
    let events = replay.run_until(at(70.0));
    let moved = when(&events, "switch fiber -> dsl").expect("the next best");
    assert!(moved < 62.0, "{}", lines(&events));
}

#[test]
fn a_better_tier_goes_before_a_better_score() {
    let mut settings = best(&["fiber", "lte"]);
    settings.uplinks[1].tier = Tier(2);
    let mut replay = lossy(settings, 1, fiber_lossy_in(0.0..1e9));
    let events = replay.run_until(at(HOUR));
    assert_eq!(switches(&events), 1, "{}", lines(&events));
    assert_eq!(replay.engine().carrier(), Some(&name("fiber")));
}

/// Bursts in which everything is lost, each uplink its own.
fn bursts(seed: u64, share: f64, seconds: f64) -> impl FnMut(&ProbeOrder, f64) -> f64 {
    let mut random = Spread::new(seed);
    let mut links = BTreeMap::new();
    move |order, now| {
        let mut span = |mean: f64| -mean * (1.0 - random.unit() * 0.9999).ln();
        let (begins, ends) = links.entry(order.uplink.clone()).or_insert((0.0, 0.0));
        while *ends <= now {
            *begins = *ends + span(seconds / share);
            *ends = *begins + span(seconds);
        }
        f64::from(now >= *begins)
    }
}

#[test]
fn two_equal_links_however_noisy_move_the_traffic_at_most_once_a_day() {
    let noises = [(3, 0.12), (2, 0.05), (1, 0.01)];
    let day = f64::from(extent(4, 24)) * 3_600.0;
    for (seed, loss) in &noises[..extent(1, noises.len())] {
        let mut replay = lossy(best(&["fiber", "cable"]), *seed, move |_, _| *loss);
        replay.run_until(at(60.0));
        let events = replay.run_until(at(day));
        assert!(switches(&events) <= 1, "loss {loss}: {}", lines(&events));
    }
    let mut replay = lossy(best(&["fiber", "cable"]), 3, bursts(9, 0.02, 0.6));
    replay.run_until(at(60.0));
    let events = replay.run_until(at(day));
    assert!(switches(&events) <= 1, "bursts: {}", lines(&events));
}
