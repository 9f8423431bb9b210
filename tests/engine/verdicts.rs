//! Worlds that ask more of the verdicts than most links do.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::earlier::{carrying, unspent};
use crate::support::{at, brief, name, probe, settings, when};
use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::command::Command;
use uplinkd::engine::event::Event;
use uplinkd::engine::input::{Input, ProbeOutcome};
use uplinkd::engine::settings::Settings;
use uplinkd::engine::state::State;
use uplinkd::engine::status::UplinkStatus;
use uplinkd::replay::{Replay, World};
use uplinkd::units::{Bytes, Moment, Wall};

const HOUR: f64 = 3_600.0;
const RTT: f64 = 0.02;

/// After how many seconds a probe is answered, if at all.
struct Answering<F>(F);

impl<F: FnMut(&ProbeOrder, f64) -> Option<f64>> World for Answering<F> {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        (self.0)(order, now.since_start().as_secs_f64()).map(Duration::from_secs_f64)
    }
}

fn answering<F>(settings: Settings, answer: F) -> Replay<Answering<F>>
where
    F: FnMut(&ProbeOrder, f64) -> Option<f64>,
{
    Replay::new(settings, Answering(answer))
}

fn fiber(replay: &Replay<impl World>) -> UplinkStatus {
    let wall = Wall::reading(std::time::UNIX_EPOCH, replay.now());
    let uplinks = replay.engine().status(wall).uplinks;
    let mut uplinks = uplinks.into_iter();
    uplinks.find(|u| u.name == name("fiber")).expect("fiber")
}

fn is_fiber(order: &ProbeOrder) -> bool {
    order.uplink == name("fiber")
}

fn lines(events: &[Event]) -> String {
    let line = |event: &Event| format!("{} {:?} {}\n", event.at, event.change, event.reason);
    events.iter().take(40).map(line).collect()
}

/// How many events there are of a kind.
fn count(events: &[Event], kind: &str) -> usize {
    let lines = brief(events);
    lines.iter().filter(|line| line.starts_with(kind)).count()
}

#[test]
fn a_burst_is_no_outage_where_probes_are_further_apart_than_patience_lasts() {
    let mut rare = settings(&["fiber", "lte"]);
    for uplink in &mut rare.uplinks {
        uplink.probe.interval = Duration::from_secs(10);
        uplink.probe.standby_interval = Duration::from_secs(10);
    }
    let mut replay = answering(rare, |order, now| {
        let is_burst = is_fiber(order) && now > 10.0 && now.rem_euclid(30.7) < 0.4;
        (!is_burst).then_some(RTT)
    });
    // It takes the first of them to learn.
    replay.run_until(at(HOUR));
    let events = replay.run_until(at(25.0 * HOUR));
    assert_eq!(count(&events, "switch"), 0, "{}", lines(&events));
}

/// The third target is ten times as far away; for 40 s fiber has a long queue.
fn with_a_far_target(far: f64) -> Replay<impl World> {
    answering(settings(&["fiber", "lte"]), move |order, now| {
        let is_far = order.target.to_string().starts_with("203");
        let queue = if is_fiber(order) && (HOUR..HOUR + 40.0).contains(&now) {
            0.65
        } else {
            0.0
        };
        Some(queue + if is_far { far } else { far / 10.0 })
    })
}

#[test]
fn a_far_target_does_not_keep_a_link_degraded_that_is_well_again() {
    let mut replay = with_a_far_target(0.4);
    replay.run_until(at(HOUR + 30.0));
    assert_eq!(fiber(&replay).state, State::Degraded);
    replay.run_until(at(HOUR + 120.0));
    let fiber = fiber(&replay);
    assert_eq!(fiber.state, State::Up, "{}", fiber.reason);
}

#[test]
fn a_target_that_is_further_away_than_the_limit_is_no_reason_to_probe_densely() {
    let mut replay = with_a_far_target(0.6);
    replay.run_until(at(HOUR));
    let [fiber, lte] = ["fiber", "lte"].map(|uplink| replay.probes()[&name(uplink)]);
    assert!(fiber <= 4_300, "{fiber}");
    assert!(lte <= 1_000, "{lte}");
}

#[test]
fn a_link_that_answers_later_than_probes_may_take_is_degraded_until_it_dies() {
    for slow in [1.3, 1.6, 2.5] {
        let dies = 900.0;
        let mut replay = answering(settings(&["fiber"]), move |_, now| {
            (now < dies).then_some(if now > 300.0 { slow } else { RTT })
        });
        let events = replay.run_until(at(dies));
        assert!(count(&events, "uplink.") <= 6, "{slow}: {}", lines(&events));
        assert_eq!(fiber(&replay).state, State::Degraded, "{slow}");
        let events = replay.run_until(at(dies + 60.0));
        let left = when(&events, "uplink.down fiber").expect("it is dead");
        assert!(left <= dies + slow + 3.0, "{slow}: {left}");
    }
}

#[test]
fn a_link_that_held_its_answers_is_slow_and_loses_nothing() {
    let mut replay = answering(settings(&["fiber", "lte"]), move |order, now| {
        let is_held = is_fiber(order) && (100.0..102.0).contains(&now);
        Some(if is_held { 102.0 - now + RTT } else { RTT })
    });
    let events = replay.run_until(at(102.5));
    assert!(when(&events, "uplink.down fiber").is_some());
    let fiber = fiber(&replay);
    assert_eq!(fiber.state, State::Degraded, "{}", fiber.reason);
    assert!(fiber.reason.starts_with("latency"), "{}", fiber.reason);
}

#[test]
fn what_is_lost_before_the_first_answer_is_no_loss_of_the_link() {
    for first in [0.1, 0.5, 0.9] {
        let mut replay = answering(settings(&["fiber", "lte"]), move |order, now| {
            (!is_fiber(order) || now >= first).then_some(RTT)
        });
        let events = replay.run_until(at(60.0));
        let degraded = brief(&events).contains(&"uplink.degraded fiber".to_owned());
        assert!(!degraded, "{first}: {}", lines(&events));
    }
}

/// Nothing is left to probe LTE with, which is dead.
fn without_a_budget(uplinks: &[&str]) -> Replay<impl World> {
    let mut poor = settings(uplinks);
    let lte = name("lte");
    let of_lte = poor.uplinks.iter_mut().find(|uplink| uplink.name == lte);
    let of_lte = of_lte.expect("lte");
    of_lte.probe_budget = Some(Bytes(1_000_000));
    of_lte.probe = probe(&["192.0.2.1"]);
    let mut replay = answering(poor, |order, _| is_fiber(order).then_some(RTT));
    let left = Bytes(0);
    replay.input(unspent(lte, left));
    replay
}

#[test]
fn an_uplink_that_cannot_pay_for_a_verdict_does_not_keep_the_traffic_it_was_found_with() {
    let mut replay = without_a_budget(&["fiber", "lte"]);
    replay.input(carrying("lte"));
    let events = replay.run_until(at(60.0));
    let moved = when(&events, "switch lte -> fiber");
    assert!(moved.is_some_and(|at| at < 11.0), "{}", lines(&events));
}

#[test]
fn an_uplink_that_cannot_pay_for_a_verdict_does_not_keep_the_others_waiting() {
    let mut replay = without_a_budget(&["lte", "fiber"]);
    let events = replay.run_until(at(60.0));
    let moved = when(&events, "switch  -> fiber");
    assert!(moved.is_some_and(|at| at < 11.0), "{}", lines(&events));
}

/// Answers pages in place of their servers on fiber, and lets a ping target die everywhere.
struct Portal;

impl World for Portal {
    fn answer(&mut self, _: &ProbeOrder, _: Moment) -> Option<Duration> {
        None
    }

    fn outcome(&mut self, order: &ProbeOrder, now: Moment) -> Option<(Duration, ProbeOutcome)> {
        let rtt = Duration::from_millis(20);
        let (target, now) = (order.target.to_string(), now.since_start().as_secs_f64());
        let is_dead = target.starts_with("198") && now > 300.0;
        let is_captive = target.starts_with("http") && is_fiber(order) && now > 100.0;
        let outcome = if is_captive {
            ProbeOutcome::Captive("captive portal: answered 302".to_owned())
        } else {
            ProbeOutcome::Reply(rtt)
        };
        (!is_dead).then_some((rtt, outcome))
    }
}

#[test]
fn a_ping_target_that_fails_everywhere_frees_no_uplink_from_a_captive_portal() {
    let mut asked = settings(&["fiber", "lte"]);
    for uplink in &mut asked.uplinks {
        let targets = [
            "192.0.2.1",
            "198.51.100.1",
            "http://203.0.113.1/generate_204",
        ];
        uplink.probe = probe(&targets);
    }
    let mut replay = Replay::new(asked, Portal);
    replay.run_until(at(300.0));
    assert_eq!(fiber(&replay).state, State::Down);
    let events = replay.run_until(at(600.0));
    assert_eq!(count(&events, "uplink."), 0, "{}", lines(&events));
    assert!(count(&events, "target.down") > 0, "{}", lines(&events));
}

/// Fiber, alone, which dies with the first probe after each of these moments, for so long.
fn dying(outages: Vec<f64>, lasts: f64) -> (Replay<impl World>, Rc<RefCell<Vec<f64>>>) {
    let began = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&began);
    let replay = answering(settings(&["fiber"]), move |_, now| {
        let mut began = seen.borrow_mut();
        if outages.get(began.len()).is_some_and(|next| *next <= now) {
            began.push(now);
        }
        let is_dead = began.last().is_some_and(|began| now - began < lasts);
        (!is_dead).then_some(RTT)
    });
    (replay, began)
}

#[test]
fn an_outage_is_found_as_fast_as_the_first_however_many_there_were_before() {
    let gaps = [60.0; 9]
        .into_iter()
        .chain([600.0, 6.0 * HOUR, 24.0 * HOUR]);
    let mut outages = vec![600.0];
    for gap in gaps {
        outages.push(outages[outages.len() - 1] + gap);
    }
    let (count, last) = (outages.len(), outages[outages.len() - 1]);
    let (mut replay, began) = dying(outages, 4.0);
    let events = replay.run_until(at(last + 60.0));
    let is_down = |event: &&Event| brief(&[(*event).clone()]) == ["uplink.down fiber"];
    let downs = events.iter().filter(is_down);
    let downs: Vec<_> = downs
        .map(|event| event.at.since_start().as_secs_f64())
        .collect();
    let began = began.borrow();
    assert_eq!([downs.len(), began.len()], [count; 2], "{}", lines(&events));
    let found: Vec<_> = downs
        .iter()
        .zip(&*began)
        .map(|(down, began)| down - began)
        .collect();
    assert!(found[0] < 0.5, "{found:?}");
    assert!(
        found.iter().all(|after| *after <= found[0] + 0.1),
        "{found:?}"
    );
}

#[test]
fn a_burst_that_ends_before_a_switch_would_have_paid_is_learnt() {
    let bursts = (1..40)
        .map(|number| 600.0 + 30.0 * f64::from(number))
        .collect();
    let (mut replay, _) = dying(bursts, 1.5);
    replay.run_until(at(600.0));
    let new = fiber(&replay).learnt.expect("learnt").dead_in_ms;
    let events = replay.run_until(at(1_000.0));
    assert!(count(&events, "uplink.down") > 0, "{}", lines(&events));
    let events = replay.run_until(at(1_850.0));
    assert_eq!(count(&events, "uplink.down"), 0, "{}", lines(&events));
    let known = fiber(&replay).learnt.expect("learnt").dead_in_ms;
    assert!(known > new + 1_000.0, "{new} {known}");
}

#[test]
fn what_was_learnt_of_an_uplink_is_forgotten_at_a_command() {
    let bursts = (1..40).map(|number| 600.0 + 30.0 * f64::from(number));
    let (mut replay, _) = dying(bursts.collect(), 1.5);
    replay.run_until(at(600.0));
    let new = fiber(&replay).learnt.expect("learnt");
    replay.run_until(at(1_850.0));
    let known = fiber(&replay).learnt.expect("learnt");
    assert!(known.patience_ms > new.patience_ms && known.silences > 10.0);
    let uplink = name("fiber");
    replay.input(Input::Command(Command::Forget { uplink }.into()));
    let forgotten = fiber(&replay).learnt.expect("learnt");
    assert!(forgotten.patience_ms < 460.0 && forgotten.silences < 0.1);
}

#[test]
fn where_silences_come_in_slots_an_outage_between_them_is_found_as_on_a_clean_link() {
    const SLOT: f64 = 15.000_3;
    let dies = 12.0 + 2_880.0 * SLOT + 7.0;
    let mut replay = answering(settings(&["fiber"]), move |_, now| {
        let since = (now - 12.0).rem_euclid(SLOT);
        let slot = ((now - 12.0) / SLOT).floor();
        let lasts = if slot.rem_euclid(20.0) < 1.0 {
            2.0
        } else {
            0.25
        };
        let is_dead = now > dies;
        (since >= lasts && !is_dead).then_some(RTT)
    });
    replay.run_until(at(dies));
    let learnt = fiber(&replay).learnt.expect("learnt");
    let (period, apart) = learnt
        .period_ms
        .zip(learnt.patience_apart_ms)
        .expect("a period");
    assert!((period - SLOT * 1e3).abs() < 1.0, "{learnt:?}");
    assert!(learnt.patience_ms > 1_500.0 && apart < 600.0, "{learnt:?}");
    let events = replay.run_until(at(dies + 60.0));
    let found = when(&events, "uplink.down fiber").expect("it is dead") - dies;
    assert!(found < 1.9, "{found}");
    let uplink = name("fiber");
    replay.input(Input::Command(Command::Forget { uplink }.into()));
    assert_eq!(fiber(&replay).learnt.expect("learnt").period_ms, None);
}
