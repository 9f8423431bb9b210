//! When whom is probed, in virtual time.

#![cfg(feature = "replay")]

mod support;

use std::time::Duration;

use support::{at, brief, name, settings, when};
use uplinkd::engine::input::{Input, ProbeOrder};
use uplinkd::engine::settings::Settings;
use uplinkd::replay::{Replay, World, attached};
use uplinkd::routing::Trouble;
use uplinkd::units::Moment;

const RTT: Duration = Duration::from_millis(10);

/// A world that notes when each probe is sent.
struct Noted<F> {
    is_answered: F,
    sent: Vec<(String, f64)>,
}

impl<F: FnMut(&str, f64) -> bool> World for Noted<F> {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        let now = now.since_start().as_secs_f64();
        let uplink = order.uplink.to_string();
        let is_answered = (self.is_answered)(&uplink, now);
        self.sent.push((uplink, now));
        is_answered.then_some(RTT)
    }
}

fn noted<F: FnMut(&str, f64) -> bool>(settings: Settings, is_answered: F) -> Replay<Noted<F>> {
    let sent = Vec::new();
    Replay::new(settings, Noted { is_answered, sent })
}

/// When an uplink was probed between two times.
fn sent<F: FnMut(&str, f64) -> bool>(
    replay: &mut Replay<Noted<F>>,
    uplink: &str,
    between: std::ops::Range<f64>,
) -> Vec<f64> {
    let sent = replay.world().sent.iter();
    sent.filter(|(name, at)| name == uplink && between.contains(at))
        .map(|(_, at)| *at)
        .collect()
}

fn longest_gap(times: &[f64]) -> f64 {
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.fold(0.0, f64::max)
}

#[test]
fn a_standby_is_probed_a_fifth_as_often_and_wakes_nobody() {
    let mut replay = noted(settings(&["fiber", "lte", "backup"]), |_, _| true);
    replay.run_until(at(3_660.0));
    let fiber = sent(&mut replay, "fiber", 60.0..3_660.0);
    assert!((3_500..=3_700).contains(&fiber.len()), "{}", fiber.len());
    for standby in ["lte", "backup"] {
        let probes = sent(&mut replay, standby, 60.0..3_660.0);
        assert!((650..=790).contains(&probes.len()), "{}", probes.len());
        assert!(longest_gap(&probes) <= 7.0, "{}", longest_gap(&probes));
        let alone = probes.iter().filter(|at| !fiber.contains(at)).count();
        assert!(alone * 50 <= probes.len(), "{alone} wake-ups of its own");
    }
}

#[test]
fn all_standbys_are_asked_at_once_when_the_carrier_misses_a_probe() {
    let mut replay = noted(settings(&["fiber", "lte", "backup"]), |uplink, now| {
        uplink != "fiber" || now < 100.0
    });
    replay.run_until(at(110.0));
    let first_miss = sent(&mut replay, "fiber", 100.0..110.0)[0];
    for standby in ["lte", "backup"] {
        let asked = sent(&mut replay, standby, first_miss + 0.001..first_miss + 0.1);
        assert!(asked.len() >= 3, "{standby}: {asked:?} after {first_miss}");
    }
}

#[test]
fn a_single_miss_of_the_carrier_costs_one_round_of_each_standby() {
    let mut is_lost = false;
    let mut replay = noted(settings(&["fiber", "lte"]), move |uplink, now| {
        let is_the_one = uplink == "fiber" && now >= 100.0 && !is_lost;
        is_lost |= is_the_one;
        !is_the_one
    });
    let events = replay.run_until(at(90.0));
    assert!(when(&events, "switch  -> fiber").is_some());
    let calm = sent(&mut replay, "lte", 60.0..90.0).len();
    replay.run_until(at(130.0));
    let disturbed = sent(&mut replay, "lte", 100.0..130.0).len();
    assert!(disturbed <= calm + 5, "{disturbed} instead of {calm}");
}

#[test]
fn the_traffic_never_goes_to_a_standby_that_died_since_it_was_last_probed() {
    for run in 0..40_u32 {
        let lte_dies = 95.0 + f64::from(run) * 0.113;
        let mut replay = noted(settings(&["fiber", "lte", "backup"]), |uplink, now| {
            let is_dead = match uplink {
                "fiber" => now >= 100.0,
                "lte" => now >= lte_dies,
                _ => false,
            };
            !is_dead
        });
        replay.run_until(at(90.0));
        let events = replay.run_until(at(130.0));
        let lines = brief(&events);
        assert!(
            when(&events, "switch fiber -> backup").is_some(),
            "{run}: {lines:?}"
        );
        assert_eq!(
            lines
                .iter()
                .filter(|line| line.starts_with("switch"))
                .count(),
            1
        );
    }
}

#[test]
fn the_way_from_a_dead_uplink_is_not_delayed_by_asking_the_standbys() {
    let delay = |standby: Duration| {
        let mut settings = settings(&["fiber", "lte"]);
        settings.uplinks[1].probe.standby_interval = standby;
        let mut replay = noted(settings, |uplink, now| uplink != "fiber" || now < 100.0);
        let events = replay.run_until(at(110.0));
        when(&events, "switch fiber -> lte").expect("a switch")
    };
    let (rare, often) = (
        delay(Duration::from_secs(30)),
        delay(Duration::from_secs(1)),
    );
    assert!((rare - often).abs() < 1e-9, "{rare} and {often}");
}

#[test]
fn a_dead_standby_that_gets_the_traffic_of_a_pulled_cable_is_left_within_a_second() {
    let mut replay = noted(settings(&["fiber", "lte", "backup"]), |uplink, now| {
        uplink != "lte" || now < 100.0
    });
    let calm = replay.run_until(at(90.0));
    assert!(when(&calm, "switch  -> fiber").is_some());
    // Just after a probe of the standby has been answered.
    let last = sent(&mut replay, "lte", 80.0..90.0)
        .last()
        .copied()
        .expect("a probe");
    let mut attachment = attached(1);
    attachment.trouble = Some(Trouble::NoCarrier);
    replay.run_until(at(100.0_f64.max(last) + 0.001));
    let mut events = replay.input(Input::Attachment {
        uplink: name("fiber"),
        attachment,
    });
    events.extend(replay.run_until(at(110.0)));
    let away = when(&events, "switch lte -> backup").or(when(&events, "switch fiber -> backup"));
    assert!(away.expect("a way out") < 101.001, "{:?}", brief(&events));
}

#[test]
fn whoever_was_passed_over_comes_back_by_a_failback() {
    let mut replay = noted(
        settings(&["fiber", "lte", "backup"]),
        |uplink, now| match uplink {
            "fiber" => now < 100.0,
            // A short silence, just when it matters.
            "lte" => !(99.9..101.3).contains(&now),
            _ => true,
        },
    );
    let events = replay.run_until(at(300.0));
    let left = when(&events, "switch fiber -> backup").expect("a switch");
    let back = when(&events, "switch backup -> lte").expect("a failback");
    assert!(back - left >= 60.0, "{:?}", brief(&events));
}

#[test]
fn a_preferred_uplink_that_waits_to_come_back_is_probed_at_the_interval() {
    let mut replay = noted(settings(&["fiber", "lte"]), |uplink, now| {
        uplink != "fiber" || !(100.0..120.0).contains(&now)
    });
    replay.run_until(at(120.0));
    let events = replay.run_until(at(200.0));
    let up = when(&events, "uplink.up fiber").expect("well again");
    let back = when(&events, "switch lte -> fiber").expect("a failback");
    let probes = sent(&mut replay, "fiber", up..back);
    assert!(longest_gap(&probes) <= 1.3, "{}", longest_gap(&probes));
}

#[test]
fn the_return_of_an_uplink_is_noticed_within_a_tenth_of_its_outage_and_twelve_seconds() {
    for lasts in [5.0, 30.0, 90.0, 600.0, 20_000.0] {
        let mends = 100.0 + lasts;
        let mut replay = noted(settings(&["fiber", "lte"]), |uplink, now| {
            uplink != "fiber" || !(100.0..mends).contains(&now)
        });
        let events = replay.run_until(at(mends + 30.0));
        let noticed = when(&events, "uplink.recovering fiber").expect("noticed") - mends;
        let most = (lasts * 0.1 * 1.2).clamp(1.3, 12.1);
        assert!(noticed <= most, "{noticed} s after {lasts} s");
    }
}

#[test]
fn an_uplink_that_has_long_been_dead_is_asked_rarely() {
    let mut replay = noted(settings(&["fiber", "lte"]), |uplink, now| {
        uplink != "fiber" || now < 100.0
    });
    replay.run_until(at(7_200.0));
    let probes = sent(&mut replay, "fiber", 3_600.0..7_200.0).len();
    assert!((300..=450).contains(&probes), "{probes}");
}

#[test]
fn nobody_backs_off_while_nothing_works() {
    let mut replay = noted(settings(&["fiber", "lte"]), |_, now| now < 100.0);
    replay.run_until(at(7_200.0));
    for uplink in ["fiber", "lte"] {
        let probes = sent(&mut replay, uplink, 3_600.0..7_200.0);
        assert!(longest_gap(&probes) <= 1.3, "{}", longest_gap(&probes));
    }
}

#[test]
fn a_link_that_comes_back_is_probed_at_once_however_long_it_was_away() {
    let mut replay = noted(settings(&["fiber", "lte"]), |uplink, now| {
        uplink != "fiber" || !(100.0..3_602.0).contains(&now)
    });
    replay.run_until(at(3_600.0));
    let attach = |replay: &mut Replay<_>, trouble| {
        let mut attachment = attached(1);
        attachment.trouble = trouble;
        let uplink = name("fiber");
        replay.input(Input::Attachment { uplink, attachment })
    };
    attach(&mut replay, Some(Trouble::NoCarrier));
    replay.run_until(at(3_600.5));
    attach(&mut replay, None);
    let events = replay.run_until(at(3_610.0));
    let noticed = when(&events, "uplink.recovering fiber").expect("noticed");
    assert!(noticed <= 3_603.3, "{noticed}");
}
