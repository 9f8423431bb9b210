//! The engine's guarantees, in virtual time.

use std::time::Duration;

use crate::earlier::{carrying, restored};
use crate::extent::extent;
use crate::lossy::{RTT, lossy, state, switches};
use crate::support::{at, brief, name, settings, when};
use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::command::Command;
use uplinkd::engine::input::Input;
use uplinkd::engine::settings::{Failback, Settings};
use uplinkd::engine::state::State;
use uplinkd::engine::status::{Chosen, UplinkStatus};
use uplinkd::replay::{Replay, World, attached};
use uplinkd::routing::{Family, Gateway, Trouble};
use uplinkd::units::{Bytes, Counters, InterfaceName, Moment, UplinkName, Wall};

fn status_of(replay: &Replay<impl World>, uplink: &str) -> UplinkStatus {
    let wall = Wall::reading(std::time::UNIX_EPOCH, Moment::START);
    let mut uplinks = replay.engine().status(wall).uplinks.into_iter();
    let found = uplinks.find(|status| status.name == name(uplink));
    found.expect("the uplink")
}

fn fiber_dead_after(seconds: f64) -> impl FnMut(&ProbeOrder, f64) -> f64 {
    move |order, now| f64::from(order.uplink == name("fiber") && now >= seconds)
}

#[test]
fn all_uplinks_are_up_and_the_preferred_one_carries_within_a_second_of_the_start() {
    let mut replay = lossy(settings(&["fiber", "lte", "backup"]), 1, |_, _| 0.0);
    let events = replay.run_until(at(1.0));
    assert_eq!(switches(&events), 1, "{:?}", brief(&events));
    assert!(
        when(&events, "switch  -> fiber").is_some(),
        "{:?}",
        brief(&events)
    );
    for uplink in ["fiber", "lte", "backup"] {
        assert_eq!(state(&replay, uplink), State::Up);
    }
}

#[test]
fn a_blackhole_is_left_in_about_a_second_and_at_most_two() {
    let mut delays: Vec<f64> = (0..200_u32)
        .map(|run| {
            let dies = 30.0 + f64::from(run) * 0.037;
            let mut replay = lossy(
                settings(&["fiber", "lte"]),
                u64::from(run),
                fiber_dead_after(dies),
            );
            let events = replay.run_until(at(dies + 5.0));
            when(&events, "switch fiber -> lte").expect("a switch") - dies
        })
        .collect();
    delays.sort_by(f64::total_cmp);
    assert!(delays[100] <= 1.1, "median {}", delays[100]);
    assert!(delays[199] <= 1.8, "worst {}", delays[199]);
}

/// Of deaths at many phases of the probing, the median; and what the status promised before.
fn promised_and_taken(mut settings: Settings, victim: &str, loss: f64) -> (f64, f64) {
    let (mut promised, mut taken) = (Vec::new(), Vec::new());
    for run in 0..extent(24, 40_u32) {
        settings.seed = run.into();
        let dies = 250.0 + f64::from(run) * 0.618;
        let mut replay = lossy(settings.clone(), run.into(), |order, now| {
            let is_dead = order.uplink == name(victim) && now >= dies;
            if is_dead { 1.0 } else { loss }
        });
        replay.run_until(at(dies));
        let learnt = status_of(&replay, victim).learnt.expect("learnt");
        promised.push(learnt.dead_in_ms / 1e3);
        let events = replay.run_until(at(dies + 60.0));
        let down = format!("uplink.down {victim}");
        taken.push(when(&events, &down).expect("a verdict") - dies);
    }
    for delays in [&mut promised, &mut taken] {
        delays.sort_by(f64::total_cmp);
    }
    let median = taken.len() / 2;
    (promised[median], taken[median])
}

#[test]
fn the_delay_that_the_status_promises_is_what_a_blackhole_takes_to_a_quarter() {
    let at_defaults = settings(&["fiber", "lte"]);
    let mut dense = at_defaults.clone();
    let mut slow = at_defaults.clone();
    let mut with_quorum = at_defaults.clone();
    let mut metered = at_defaults.clone();
    metered.uplinks[0].probe_budget = Some(Bytes(50_000_000));
    for place in 0..2 {
        dense.uplinks[place].probe.interval = Duration::from_millis(200);
        slow.uplinks[place].probe.interval = Duration::from_secs(5);
        with_quorum.uplinks[place].probe.quorum = 2;
    }
    for (settings, victim, loss) in [
        (&at_defaults, "fiber", 0.0),
        (&at_defaults, "fiber", 0.05),
        (&at_defaults, "fiber", 0.1),
        (&at_defaults, "lte", 0.01),
        (&dense, "fiber", 0.01),
        (&slow, "fiber", 0.01),
        (&with_quorum, "fiber", 0.01),
        (&metered, "fiber", 0.01),
    ] {
        let (promised, taken) = promised_and_taken(settings.clone(), victim, loss);
        let share = promised / taken;
        assert!(
            (0.75..=1.25).contains(&share),
            "{victim}, loss {loss}: promised {promised} s, took {taken} s"
        );
    }
}

#[test]
fn steady_loss_of_five_percent_moves_nothing_for_a_day() {
    for seed in 0..extent(1, 8) {
        let mut replay = lossy(settings(&["fiber", "lte", "backup"]), seed, |_, _| 0.05);
        replay.run_until(at(10.0));
        let events = replay.run_until(at(3_600.0 * f64::from(extent(10, 24))));
        assert!(events.is_empty(), "seed {seed}: {events:#?}");
    }
}

#[test]
fn a_filtered_target_is_set_aside_once_and_moves_nothing() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 3, |order, now| {
        let is_filtered = order.uplink == name("fiber")
            && order.target.to_string() == "198.51.100.1"
            && now > 20.0;
        if is_filtered { 1.0 } else { 0.01 }
    });
    replay.run_until(at(10.0));
    let events = replay.run_until(at(3600.0));
    assert_eq!(brief(&events), ["target.down fiber"]);
}

#[test]
fn a_target_that_answers_again_counts_again() {
    let mut replay = lossy(settings(&["fiber"]), 3, |order, now| {
        let is_filtered =
            order.target.to_string() == "198.51.100.1" && (20.0..100.0).contains(&now);
        f64::from(is_filtered)
    });
    replay.run_until(at(10.0));
    let events = replay.run_until(at(200.0));
    assert_eq!(brief(&events), ["target.down fiber", "target.up fiber"]);
}

#[test]
fn failback_waits_until_the_preferred_uplink_has_been_well_for_long_enough() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 5, |order, now| {
        f64::from(order.uplink == name("fiber") && (20.0..40.0).contains(&now))
    });
    let events = replay.run_until(at(300.0));
    let up = when(&events, "uplink.recovering fiber").expect("answers again");
    let back = when(&events, "switch lte -> fiber").expect("a failback");
    assert!((back - up - 60.0).abs() < 1.5, "up {up}, back {back}");
    assert_eq!(switches(&events), 3);
}

#[test]
fn a_failback_to_the_second_choice_does_not_forget_the_first() {
    let tiers = settings(&["fiber", "dsl", "lte"]);
    let mut replay = lossy(tiers, 1, |order, now| {
        let is_fiber_dead = order.uplink == name("fiber") && (100.0..130.0).contains(&now);
        let is_dsl_dead = order.uplink == name("dsl") && (100.0..115.0).contains(&now);
        f64::from(is_fiber_dead || is_dsl_dead)
    });
    let events = replay.run_until(at(300.0));
    let second = when(&events, "switch lte -> dsl").expect("the second choice");
    let first = when(&events, "switch dsl -> fiber").expect("the first choice");
    assert!((175.0..178.0).contains(&second), "{second}");
    assert!((190.0..193.0).contains(&first), "{first}");
}

#[test]
fn failback_by_hand_waits_for_the_person() {
    let mut settings = settings(&["fiber", "lte"]);
    settings.failover.failback = Failback::Manual;
    let mut replay = lossy(settings, 5, |order, now| {
        f64::from(order.uplink == name("fiber") && (20.0..40.0).contains(&now))
    });
    let events = replay.run_until(at(1000.0));
    assert_eq!(switches(&events), 2, "{:?}", brief(&events));
    let events = replay.input(Input::Command(Command::Auto.into()));
    assert_eq!(brief(&events), ["switch lte -> fiber"]);
}

fn fiber_loses_a_third_for_a_minute() -> impl FnMut(&ProbeOrder, f64) -> f64 {
    move |order, now| {
        let is_bad = order.uplink == name("fiber") && (30.0..90.0).contains(&now);
        if is_bad { 0.35 } else { 0.0 }
    }
}

#[test]
fn failback_waits_after_a_mere_degradation_too() {
    let loss = fiber_loses_a_third_for_a_minute();
    let mut replay = lossy(settings(&["fiber", "lte"]), 1, loss);
    replay.run_until(at(60.0));
    let events = replay.run_until(at(600.0));
    let well = when(&events, "uplink.up fiber").expect("well again");
    let back = when(&events, "switch lte -> fiber").expect("a failback");
    assert!(back - well >= 60.0, "{:?}", brief(&events));
}

#[test]
fn failback_by_hand_waits_for_the_person_after_a_mere_degradation_too() {
    let mut by_hand = settings(&["fiber", "lte"]);
    by_hand.failover.failback = Failback::Manual;
    let mut replay = lossy(by_hand, 1, fiber_loses_a_third_for_a_minute());
    let events = replay.run_until(at(600.0));
    assert!(when(&events, "switch fiber -> lte").is_some());
    assert_eq!(when(&events, "switch lte -> fiber"), None);
}

#[test]
fn an_uplink_that_flaps_each_second_is_left_once_and_stays_left() {
    for seed in 0..50 {
        let mut settings = settings(&["fiber", "lte"]);
        settings.seed = seed;
        let mut replay = lossy(settings, seed, |order, now| {
            let is_flapping = order.uplink == name("fiber") && (20.0..60.0).contains(&now);
            f64::from(is_flapping && now.rem_euclid(2.0) >= 1.0)
        });
        replay.run_until(at(15.0));
        let events = replay.run_until(at(61.0));
        assert_eq!(switches(&events), 1, "seed {seed}: {:?}", brief(&events));
    }
}

#[test]
fn when_all_are_down_the_traffic_stays_and_the_first_to_answer_takes_it() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 5, |order, now| {
        let lte_is_back = order.uplink == name("lte") && now >= 60.0;
        f64::from(now >= 20.0 && !lte_is_back)
    });
    replay.run_until(at(10.0));
    let events = replay.run_until(at(59.0));
    let lines = brief(&events);
    let last = lines.last().map(String::as_str);
    assert_eq!(last, Some("no_usable_uplink"), "{lines:?}");
    assert!(switches(&events) <= 1);
    let events = replay.run_until(at(63.0));
    let back = when(&events, "uplink.recovering lte").expect("answers");
    assert!(back < 62.5, "{back}");
    if switches(&events) == 1 {
        assert_eq!(when(&events, "switch fiber -> lte"), Some(back));
    }
}

#[test]
fn carrier_loss_moves_the_traffic_at_once() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 5, |_, _| 0.0);
    replay.run_until(at(10.0));
    let mut attachment = attached(1);
    attachment.trouble = Some(Trouble::NoCarrier);
    let uplink = name("fiber");
    let events = replay.input(Input::Attachment { uplink, attachment });
    assert_eq!(brief(&events), ["uplink.down fiber", "switch fiber -> lte"]);
    assert_eq!(events[0].at, replay.now());
}

#[test]
fn an_interface_that_comes_back_with_another_index_is_picked_up() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 5, |_, _| 0.0);
    replay.run_until(at(10.0));
    let uplink = name("fiber");
    let gone = uplinkd::routing::Attachment {
        trouble: Some(Trouble::Absent),
        ..Default::default()
    };
    replay.input(Input::Attachment {
        uplink: uplink.clone(),
        attachment: gone,
    });
    assert_eq!(state(&replay, "fiber"), State::Absent);
    replay.run_until(at(20.0));
    replay.input(Input::Attachment {
        uplink,
        attachment: attached(9),
    });
    let events = replay.run_until(at(120.0));
    assert_eq!(
        brief(&events),
        [
            "uplink.recovering fiber",
            "uplink.up fiber",
            "switch lte -> fiber"
        ]
    );
}

#[test]
fn heavy_loss_makes_it_degraded_and_a_better_uplink_takes_over() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 5, |order, now| {
        if order.uplink == name("fiber") && now >= 600.0 {
            0.3
        } else {
            0.01
        }
    });
    replay.run_until(at(599.0));
    let events = replay.run_until(at(660.0));
    let switched = when(&events, "switch fiber -> lte").expect("a switch");
    assert!(switched < 615.0, "{:?} at {switched}", brief(&events));
}

/// When an uplink became degraded or well again whose round trip is slow for half of every period.
fn turns(period: f64, dwell: Duration) -> Vec<f64> {
    let mut settings = settings(&["fiber"]);
    settings.uplinks[0].health.dwell = dwell;
    settings.uplinks[0].health.jitter.enter = Duration::from_secs(10);
    let world = move |_: &ProbeOrder, now: Moment| {
        let is_slow = now.since_start().as_secs_f64() % period < period / 2.0;
        Some(Duration::from_millis(if is_slow { 600 } else { 100 }))
    };
    let mut replay = Replay::new(settings, world);
    replay.run_until(at(60.0));
    let events = replay.run_until(at(1_260.0));
    let turns = events.iter().zip(brief(&events));
    let turns = turns.filter(|(_, line)| line.starts_with("uplink."));
    let times = turns.map(|(event, _)| event.at.since_start().as_secs_f64());
    times.collect()
}

#[test]
fn quality_stays_what_it_has_become_for_as_long_as_it_must() {
    let hasty = turns(8.0, Duration::ZERO);
    assert!(
        hasty.len() > 150,
        "it would turn all the time: {}",
        hasty.len()
    );
    for seconds in [10, 60] {
        let turns = turns(8.0, Duration::from_secs(seconds));
        assert!(turns.len() > 3, "it still turns: {turns:?}");
        let least = turns.windows(2).map(|pair| pair[1] - pair[0]);
        let least = least.min_by(f64::total_cmp).expect("a pair");
        let dwell = Duration::from_secs(seconds).as_secs_f64();
        assert!(least >= dwell, "{least} s after {dwell} s");
    }
}

#[test]
fn the_reason_of_a_degraded_uplink_is_what_is_bad_now() {
    let world = |order: &ProbeOrder, now: Moment| {
        let second = now.since_start().as_secs_f64();
        let swing = if (order.id.0 / 3).is_multiple_of(2) {
            270
        } else {
            0
        };
        Some(Duration::from_millis(match () {
            () if second < 20.0 => 20,
            () if second < 60.0 => 600,
            () => 20 + swing,
        }))
    };
    let mut replay = Replay::new(settings(&["fiber"]), world);
    replay.run_until(at(59.0));
    assert!(status_of(&replay, "fiber").reason.starts_with("latency"));
    replay.run_until(at(120.0));
    let status = status_of(&replay, "fiber");
    assert_eq!(status.state, State::Degraded);
    assert!(status.reason.starts_with("jitter"), "{}", status.reason);
}

#[test]
fn a_quorum_of_two_fails_when_two_of_three_targets_fall_silent() {
    let mut settings = settings(&["fiber", "lte"]);
    settings.uplinks[0].probe.quorum = 2;
    let mut replay = lossy(settings, 5, |order, now| {
        let answers = order.target.to_string() == "192.0.2.1" || order.uplink == name("lte");
        f64::from(now >= 20.0 && !answers)
    });
    replay.run_until(at(15.0));
    let events = replay.run_until(at(30.0));
    assert!(
        when(&events, "switch fiber -> lte").is_some(),
        "{:?}",
        brief(&events)
    );
}

#[test]
fn a_late_reply_undoes_a_miss_and_a_slow_link_is_not_dead() {
    let mut replay = Replay::new(
        settings(&["fiber", "lte"]),
        |order: &ProbeOrder, now: Moment| {
            let is_slow = order.uplink == name("fiber") && now >= at(20.0);
            Some(if is_slow {
                Duration::from_millis(250)
            } else {
                RTT
            })
        },
    );
    replay.run_until(at(10.0));
    let events = replay.run_until(at(300.0));
    assert_eq!(brief(&events), Vec::<String>::new());
}

/// Fiber, which has become slow while the traffic filled it, or not.
fn slow_after_traffic(is_filled: bool) -> Replay<impl World> {
    let mut patient = settings(&["fiber", "lte"]);
    for uplink in &mut patient.uplinks {
        uplink.probe.timeout = Duration::from_secs(3);
    }
    let mut replay = Replay::new(patient, |order: &ProbeOrder, now: Moment| {
        let is_slow = order.uplink == name("fiber") && now >= at(60.0);
        Some(Duration::from_millis(if is_slow { 800 } else { 12 }))
    });
    let mut counters = Counters::default();
    for tenth in 0..200 {
        replay.run_until(at(1.0 + f64::from(tenth) * 0.1));
        if is_filled {
            counters.rx_packets += 100;
            counters.rx_bytes += 140_000;
            counters.tx_packets += 50;
            counters.tx_bytes += 5_000;
        }
        let uplink = name("fiber");
        replay.input(Input::Counters { uplink, counters });
    }
    replay
}

#[test]
fn traffic_that_has_moved_away_excuses_no_slowness_any_more() {
    for is_filled in [false, true] {
        let mut replay = slow_after_traffic(is_filled);
        replay.input(Input::Command(Command::switch(name("lte")).into()));
        replay.run_until(at(120.0));
        assert_eq!(state(&replay, "fiber"), State::Degraded, "{is_filled}");
    }
}

#[test]
fn traffic_of_another_address_excuses_no_slowness_any_more() {
    let mut replay = slow_after_traffic(true);
    let uplink = name("fiber");
    let attachment = attached(7);
    replay.input(Input::Attachment { uplink, attachment });
    replay.run_until(at(120.0));
    assert_eq!(state(&replay, "fiber"), State::Degraded);
}

#[test]
fn a_person_s_choice_holds_until_it_dies() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 5, |order, now| {
        f64::from(order.uplink == name("lte") && now >= 100.0)
    });
    replay.run_until(at(10.0));
    let events = replay.input(Input::Command(Command::switch(name("lte")).into()));
    assert_eq!(brief(&events), ["switch fiber -> lte"]);
    let events = replay.run_until(at(99.0));
    assert_eq!(brief(&events), Vec::<String>::new());
    let events = replay.run_until(at(110.0));
    assert_eq!(brief(&events), ["uplink.down lte", "switch lte -> fiber"]);
}

#[test]
fn a_person_s_choice_that_died_says_that_it_was_one_and_comes_back() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 5, |order, now| {
        f64::from(order.uplink == name("lte") && (100.0..130.0).contains(&now))
    });
    replay.run_until(at(10.0));
    replay.input(Input::Command(Command::switch(name("lte")).into()));
    let events = replay.run_until(at(110.0));
    let reason = &events.last().expect("a switch").reason;
    assert!(reason.ends_with("; it had been chosen by hand"), "{reason}");
    assert!(chosen(&replay).is_some_and(|chosen| !chosen.pinned));
    let events = replay.run_until(at(240.0));
    assert_eq!(
        brief(&events).last().map(String::as_str),
        Some("switch fiber -> lte")
    );
}

fn chosen(replay: &Replay<impl World>) -> Option<Chosen> {
    replay.engine().choices().switch
}

#[test]
fn a_pinned_uplink_is_not_left_when_it_dies_and_that_is_said_once() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 5, |order, now| {
        f64::from(order.uplink == name("lte") && (100.0..130.0).contains(&now))
    });
    replay.run_until(at(10.0));
    let events = replay.input(Input::Command(Command::pin(name("lte")).into()));
    assert_eq!(brief(&events), ["switch fiber -> lte"]);
    let events = replay.run_until(at(129.0));
    assert_eq!(brief(&events), ["uplink.down lte", "switch.stranded lte"]);
    let reason = &events[1].reason;
    assert!(
        reason.contains("until `auto`, though fiber is usable"),
        "{reason}"
    );
    let events = replay.run_until(at(200.0));
    assert_eq!(switches(&events), 0, "{:?}", brief(&events));
    let events = replay.input(Input::Command(Command::Auto.into()));
    assert_eq!(brief(&events), ["switch lte -> fiber"]);
    assert_eq!(chosen(&replay), None);
}

#[test]
fn a_pinned_uplink_that_is_dead_after_a_boot_does_not_keep_the_others_from_carrying() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 5, |order, now| {
        f64::from(order.uplink == name("lte") && now < 60.0)
    });
    replay.input(restored(Command::pin(name("lte"))));
    let events = replay.run_until(at(20.0));
    assert!(
        when(&events, "switch  -> fiber").is_some(),
        "{:?}",
        brief(&events)
    );
    let events = replay.run_until(at(90.0));
    let back = when(&events, "switch fiber -> lte").expect("a switch");
    assert!(back < 80.0, "{back}");
}

#[test]
fn what_was_chosen_before_a_restart_is_in_force_after_it() {
    let mut replay = lossy(settings(&["fiber", "lte", "backup"]), 5, |_, _| 0.0);
    replay.input(restored(Command::switch(name("backup"))));
    replay.input(restored(Command::disable(name("lte"))));
    replay.input(restored(Command::switch(name("gone"))));
    let events = replay.run_until(at(30.0));
    assert!(
        when(&events, "switch  -> backup").is_some(),
        "{:?}",
        brief(&events)
    );
    assert_eq!(state(&replay, "lte"), State::Disabled);
    assert_eq!(switches(&events), 1);
}

#[test]
fn the_last_usable_uplink_cannot_be_disabled() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 5, fiber_dead_after(20.0));
    replay.run_until(at(30.0));
    let disable = Command::disable(name("lte"));
    assert!(replay.engine().check(&disable).is_err());
    let events = replay.input(Input::Command(disable.into()));
    assert_eq!(brief(&events), Vec::<String>::new());
}

#[test]
fn what_an_earlier_run_left_is_adopted_without_a_switch() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 5, |_, _| 0.0);
    replay.input(carrying("lte"));
    let events = replay.run_until(at(30.0));
    assert_eq!(switches(&events), 0, "{:?}", brief(&events));
    let events = replay.run_until(at(70.0));
    assert_eq!(brief(&events), ["switch lte -> fiber"]);
}

/// A world in which fiber dies at some time while a client streams through it, if it does.
struct Streaming {
    begins_at: f64,
    dies_at: f64,
    packets_a_second: f64,
    probed_at: Vec<Moment>,
    counted_at: Vec<Moment>,
}

impl Streaming {
    fn new(packets_a_second: f64, begins_at: f64, dies_at: f64) -> Self {
        Self {
            begins_at,
            dies_at,
            packets_a_second,
            probed_at: Vec::new(),
            counted_at: Vec::new(),
        }
    }
}

impl World for Streaming {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        self.probed_at.push(now);
        let is_dead = order.uplink == name("fiber") && now >= at(self.dies_at);
        (!is_dead).then_some(RTT)
    }

    fn counters(&mut self, _: &UplinkName, now: Moment) -> Option<Counters> {
        self.counted_at.push(now);
        let packets = |until: f64| {
            let seconds = (until - self.begins_at).max(0.0);
            Duration::from_secs_f64((seconds * self.packets_a_second).trunc()).as_secs()
        };
        let passed = now.since_start().as_secs_f64();
        Some(Counters {
            rx_packets: packets(passed.min(self.dies_at)),
            tx_packets: packets(passed),
            ..Counters::default()
        })
    }
}

/// The longest time to the verdict when fiber dies under traffic that is so old.
fn found_under_traffic(packets_a_second: f64, old: f64) -> f64 {
    let delays = (0..10_u32).map(|tenth| {
        let dies_at = 60.0 + f64::from(tenth) / 10.0;
        let world = Streaming::new(packets_a_second, dies_at - old, dies_at);
        let mut replay = Replay::new(settings(&["fiber", "lte"]), world);
        let events = replay.run_until(at(dies_at + 5.0));
        when(&events, "uplink.down fiber").expect("found") - dies_at
    });
    delays.fold(0.0, f64::max)
}

#[test]
fn an_outage_under_traffic_is_found_sooner_than_the_next_steady_probe_would() {
    let (busy, idle) = (
        found_under_traffic(100.0, 60.0),
        found_under_traffic(0.0, 0.0),
    );
    assert!(busy < 0.6, "{busy}");
    assert!(idle > 0.8, "{idle}");
}

#[test]
fn an_outage_under_traffic_that_has_just_begun_is_found_as_soon() {
    for old in [2.5, 3.0, 4.0, 6.0] {
        let found = found_under_traffic(50.0, old);
        assert!(found < 0.6, "{old} s: {found}");
    }
}

#[test]
fn the_counters_of_an_idle_uplink_are_read_with_its_steady_probes_and_at_no_other_time() {
    let world = Streaming::new(0.0, 0.0, 1e6);
    let mut replay = Replay::new(settings(&["fiber", "lte"]), world);
    replay.run_until(at(60.0));
    let looks = replay.world().counted_at.len();
    replay.run_until(at(660.0));
    let world = replay.world();
    assert!((500..750).contains(&(world.counted_at.len() - looks)));
    assert!(
        world
            .counted_at
            .iter()
            .all(|at| world.probed_at.contains(at))
    );
}

#[test]
fn another_gateway_after_a_reload_moves_no_traffic() {
    let mut changed = settings(&["fiber", "lte"]);
    let mut replay = lossy(changed.clone(), 1, |_, _| 0.0);
    replay.run_until(at(100.0));
    changed.uplinks[0].gateway = Gateway::Address([10, 0, 1, 99].into());
    let mut events = replay.input(Input::Settings(Box::new(changed)));
    let mut attachment = attached(1);
    let path = attachment.paths.get_mut(&Family::Ipv4).expect("a way out");
    path.gateway = Some([10, 0, 1, 99].into());
    let uplink = name("fiber");
    events.extend(replay.input(Input::Attachment { uplink, attachment }));
    events.extend(replay.run_until(at(300.0)));
    assert_eq!(brief(&events), ["config.reloaded"]);
    assert_eq!(replay.engine().carrier(), Some(&name("fiber")));
}

#[test]
fn maintenance_outlasts_another_gateway() {
    let mut changed = settings(&["fiber", "lte"]);
    let mut replay = lossy(changed.clone(), 1, |_, _| 0.0);
    replay.run_until(at(100.0));
    replay.input(Input::Command(Command::disable(name("fiber")).into()));
    changed.uplinks[0].gateway = Gateway::Address([10, 0, 1, 99].into());
    replay.input(Input::Settings(Box::new(changed)));
    assert_eq!(state(&replay, "fiber"), State::Disabled);
}

#[test]
fn an_uplink_whose_network_gets_another_device_goes_on_there() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 1, |_, _| 0.0);
    replay.run_until(at(100.0));
    let mut events = replay.input(Input::Moved {
        uplink: name("fiber"),
        interface: "pppoe-wan".parse().expect("a name"),
        gateway: Gateway::Auto,
        gateway6: Gateway::Auto,
    });
    events.extend(replay.run_until(at(300.0)));
    assert_eq!(brief(&events), [""; 0], "the configuration was not read");
    assert_eq!(replay.engine().carrier(), Some(&name("fiber")));
    assert_eq!(status_of(&replay, "fiber").interface.as_str(), "pppoe-wan");
}

#[test]
fn every_event_of_an_uplink_whose_network_has_moved_names_its_present_device() {
    let mut two = settings(&["fiber", "lte"]);
    two.failover.failback_after = Duration::from_secs(5);
    // Dead for 20 s of each minute, from 200 s on.
    let mut replay = lossy(two, 1, |order, now| {
        f64::from(order.uplink == name("fiber") && now >= 200.0 && now % 60.0 < 20.0)
    });
    replay.run_until(at(100.0));
    replay.input(Input::Moved {
        uplink: name("fiber"),
        interface: "pppoe-wan".parse().expect("a name"),
        gateway: Gateway::Auto,
        gateway6: Gateway::Auto,
    });
    let mut events = replay.run_until(at(900.0));
    events.extend(replay.input(Input::Command(Command::disable(name("fiber")).into())));
    events.extend(replay.input(Input::Command(Command::enable(name("fiber")).into())));
    let wall = Wall::reading(std::time::UNIX_EPOCH, Moment::START);
    let records = events.iter().map(|event| event.record(wall));
    let of_fiber: Vec<_> = records
        .filter(|record| record.uplink == Some(name("fiber")))
        .map(|record| (record.event.to_string(), record.interface))
        .collect();
    let has = |kind: &str| of_fiber.iter().any(|(event, _)| event == kind);
    for kind in [
        "uplink.down",
        "uplink.up",
        "flap.penalty",
        "uplink.disabled",
    ] {
        assert!(has(kind), "no {kind} in {of_fiber:?}");
    }
    let device: InterfaceName = "pppoe-wan".parse().expect("a name");
    for (event, interface) in &of_fiber {
        assert_eq!(interface.as_ref(), Some(&device), "{event}");
    }
}

#[test]
fn maintenance_outlasts_another_device_of_the_network() {
    let mut replay = lossy(settings(&["fiber", "lte"]), 1, |_, _| 0.0);
    replay.run_until(at(100.0));
    replay.input(Input::Command(Command::disable(name("fiber")).into()));
    replay.input(Input::Moved {
        uplink: name("fiber"),
        interface: "wwan1".parse().expect("a name"),
        gateway: Gateway::Auto,
        gateway6: Gateway::Auto,
    });
    replay.run_until(at(200.0));
    assert_eq!(state(&replay, "fiber"), State::Disabled);
}

#[test]
fn of_uplinks_that_share_an_interface_the_gateway_tells_which_is_which() {
    let via = |last: u8| Gateway::Address([10, 0, 1, last].into());
    let mut changed = settings(&["fiber", "dsl"]);
    changed.uplinks[1].interface = changed.uplinks[0].interface.clone();
    changed.uplinks[0].gateway = via(1);
    changed.uplinks[1].gateway = via(2);
    let mut replay = lossy(changed.clone(), 1, |_, _| 0.0);
    replay.run_until(at(100.0));
    changed.uplinks[0].gateway = via(3);
    replay.input(Input::Settings(Box::new(changed)));
    assert_eq!(state(&replay, "fiber"), State::Unknown);
    assert_eq!(state(&replay, "dsl"), State::Up);
}
