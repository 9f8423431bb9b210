//! Is it the uplink or the target? What all uplinks together know, in virtual time.

use std::time::Duration;

use crate::support::{at, brief, name, probe, settings, when};
use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::event::Event;
use uplinkd::engine::input::{Input, ProbeOutcome};
use uplinkd::engine::settings::Settings;
use uplinkd::engine::state::State;
use uplinkd::engine::status::Status;
use uplinkd::replay::{Replay, World};
use uplinkd::units::{Counters, Moment, Wall};

const PAGE: &str = "http://192.0.2.80/generate_204";
const OTHER_PAGE: &str = "http://198.51.100.80/generate_204";
const PORTAL: &str = "captive portal: http://192.0.2.80/generate_204 answered 302 to http://login/";
const ALL: [&str; 3] = ["fiber", "lte", "backup"];

/// A world where the function says what is answered, if anything.
struct Telling<F>(F);

impl<F: FnMut(&Asked<'_>) -> Said> World for Telling<F> {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        self.outcome(order, now).map(|(rtt, _)| rtt)
    }

    fn outcome(&mut self, order: &ProbeOrder, now: Moment) -> Option<(Duration, ProbeOutcome)> {
        let target = order.target.to_string();
        let asked = Asked {
            uplink: order.uplink.as_str(),
            target: &target,
            now: now.since_start().as_secs_f64(),
        };
        let rtt = Duration::from_millis(match asked.uplink {
            "fiber" => 10,
            "lte" => 50,
            _ => 120,
        });
        Some(match (self.0)(&asked) {
            Said::Right => (rtt, ProbeOutcome::Reply(rtt)),
            Said::Nothing => return None,
            Said::Error => (rtt, ProbeOutcome::Wrong(format!("{PAGE} answered 503"))),
            Said::Portal => (rtt, ProbeOutcome::Captive(PORTAL.to_owned())),
        })
    }
}

struct Asked<'a> {
    uplink: &'a str,
    target: &'a str,
    now: f64,
}

enum Said {
    Right,
    Nothing,
    Error,
    Portal,
}

impl Said {
    fn right_unless(is_wrong: bool, wrong: Self) -> Self {
        if is_wrong { wrong } else { Self::Right }
    }
}

fn with(uplinks: &[&str], targets: &[&str], quorum: usize) -> Settings {
    let mut settings = settings(uplinks);
    for uplink in &mut settings.uplinks {
        uplink.probe = probe(targets);
        uplink.probe.quorum = quorum;
    }
    settings
}

/// Every uplink works for the first ten seconds, whose events are left out.
fn settled<F: FnMut(&Asked<'_>) -> Said>(settings: Settings, world: F) -> Replay<Telling<F>> {
    let mut replay = Replay::new(settings, Telling(world));
    replay.run_until(at(10.0));
    replay
}

fn status(replay: &Replay<impl World>) -> Status {
    let wall = Wall::reading(std::time::UNIX_EPOCH, Moment::START);
    replay.engine().status(wall)
}

/// Events as lines, for a test that fails.
fn told(events: &[Event]) -> String {
    let lines = events.iter().zip(brief(events)).map(|(event, line)| {
        let at = event.at.since_start().as_secs_f64();
        format!("{at:9.3} {line}: {}\n", event.reason)
    });
    lines.collect()
}

fn reason_of(events: &[Event], what: &str) -> String {
    let found = events
        .iter()
        .find(|event| brief(&[(*event).clone()]) == [what]);
    found.map_or_else(String::new, |event| event.reason.clone())
}

#[test]
fn a_target_that_dies_everywhere_is_said_once_and_moves_nothing() {
    let targets = ["192.0.2.1", "198.51.100.1", "203.0.113.1"];
    for seed in 0..20 {
        let mut settings = with(&ALL, &targets, 1);
        settings.seed = seed;
        let mut replay = settled(settings, |asked| {
            let is_dead = asked.target == "192.0.2.1" && (20.3..100.0).contains(&asked.now);
            Said::right_unless(is_dead, Said::Nothing)
        });
        let events = replay.run_until(at(90.0));
        assert_eq!(
            brief(&events),
            ["target.down"],
            "seed {seed}: {}",
            told(&events)
        );
        for uplink in status(&replay).uplinks {
            let aside = &uplink.targets[0].set_aside;
            assert_eq!(aside.as_deref(), Some("answers rightly on no uplink"));
        }
        let events = replay.run_until(at(200.0));
        assert_eq!(brief(&events), ["target.up"], "seed {seed}");
        assert!(
            status(&replay)
                .uplinks
                .iter()
                .all(|u| u.targets[0].set_aside.is_none())
        );
    }
}

#[test]
fn a_target_that_dies_on_one_uplink_is_said_of_that_one() {
    let targets = ["192.0.2.1", "198.51.100.1", "203.0.113.1"];
    let mut replay = settled(with(&ALL, &targets, 1), |asked| {
        let is_dead = asked.uplink == "lte" && asked.target == "192.0.2.1" && asked.now > 20.0;
        Said::right_unless(is_dead, Said::Nothing)
    });
    assert_eq!(brief(&replay.run_until(at(300.0))), ["target.down lte"]);
}

#[test]
fn targets_that_the_quorum_needs_may_die_everywhere() {
    let targets = ["192.0.2.1", "198.51.100.1", "203.0.113.1"];
    for quorum in 2..=3 {
        for seed in 0..20 {
            let mut settings = with(&ALL, &targets, quorum);
            settings.seed = seed;
            let mut replay = settled(settings, |asked| {
                let is_dead = match asked.target {
                    "192.0.2.1" => asked.now > 20.3,
                    "198.51.100.1" => asked.now > 60.3,
                    _ => false,
                };
                Said::right_unless(is_dead, Said::Nothing)
            });
            let events = replay.run_until(at(300.0));
            let what = format!("quorum {quorum}, seed {seed}: {}", told(&events));
            assert_eq!(brief(&events), ["target.down"; 2], "{what}");
        }
    }
}

#[test]
fn a_quorum_that_fails_on_one_uplink_is_that_uplink_s_fault_at_once() {
    let targets = ["192.0.2.1", "198.51.100.1"];
    for seed in 0..20 {
        let mut settings = with(&ALL, &targets, 2);
        settings.seed = seed;
        let mut replay = settled(settings, |asked| {
            let is_lost = asked.uplink == "fiber" && asked.target == "192.0.2.1";
            Said::right_unless(is_lost && asked.now > 20.3, Said::Nothing)
        });
        let events = replay.run_until(at(60.0));
        let switched = when(&events, "switch fiber -> lte").expect("a switch");
        assert!(switched < 22.5, "seed {seed}: {switched}");
        assert_eq!(brief(&events).len(), 2, "{}", told(&events));
    }
}

#[test]
fn the_only_target_there_is_may_die_and_the_traffic_stays() {
    for seed in 0..20 {
        let mut settings = with(&ALL, &["192.0.2.1"], 1);
        settings.seed = seed;
        let mut replay = settled(settings, |asked| {
            let is_dead = (20.3..100.0).contains(&asked.now);
            Said::right_unless(is_dead, Said::Nothing)
        });
        let events = replay.run_until(at(90.0));
        assert_eq!(
            status(&replay).active,
            [name("fiber")],
            "seed {seed}: {}",
            told(&events)
        );
        let said = reason_of(&events, "no_usable_uplink");
        assert!(
            said.contains("192.0.2.1 alone, which may itself be at fault"),
            "{said}"
        );
        assert!(
            brief(&events)
                .iter()
                .all(|line| !line.starts_with("switch")),
            "{}",
            told(&events)
        );
    }
}

#[test]
fn a_failback_that_falls_due_while_no_uplink_answers_is_looked_at_once() {
    // The slow one is preferred, so that the verdict about it comes last.
    let uplinks = ["backup", "fiber"];
    let dies = 102.3;
    for step in 0..100_u32 {
        // The failback falls due around the verdicts.
        let mut settings = with(&uplinks, &["192.0.2.1"], 1);
        settings.failover.failback_after = Duration::from_millis((58_800 + step * 10).into());
        let mut replay = settled(settings, |asked| {
            let is_out = asked.uplink == "backup" && (20.3..43.0).contains(&asked.now);
            Said::right_unless(is_out || asked.now > dies, Said::Nothing)
        });
        replay.run_until(at(dies));
        // One that looks again and again at one moment never gets there.
        let events = replay.run_until(at(dies + 5.0));
        assert!(when(&events, "no_usable_uplink").is_some());
    }
}

#[test]
fn an_uplink_that_dies_together_with_the_carrier_is_not_tried() {
    let targets = ["192.0.2.1", "198.51.100.1", "203.0.113.1"];
    for seed in 0..20 {
        let mut settings = with(&ALL, &targets, 1);
        settings.seed = seed;
        let mut replay = settled(settings, |asked| {
            let is_dead = asked.uplink != "backup" && asked.now > 20.3;
            Said::right_unless(is_dead, Said::Nothing)
        });
        let events = replay.run_until(at(60.0));
        let switched = when(&events, "switch fiber -> backup").expect("a switch");
        assert!(switched < 22.5, "seed {seed}: {switched}");
        assert_eq!(when(&events, "switch fiber -> lte"), None, "seed {seed}");
    }
}

#[test]
fn a_landing_page_is_down_though_pings_pass_and_up_when_it_is_gone() {
    for seed in 0..20 {
        let mut settings = with(&ALL, &["192.0.2.1", PAGE, "203.0.113.1"], 1);
        settings.seed = seed;
        let mut replay = settled(settings, |asked| {
            let is_caught = asked.uplink == "fiber" && asked.target == PAGE;
            let is_now = (20.3..60.0).contains(&asked.now);
            Said::right_unless(is_caught && is_now, Said::Portal)
        });
        let events = replay.run_until(at(59.0));
        assert_eq!(
            brief(&events),
            ["uplink.down fiber", "switch fiber -> lte"],
            "seed {seed}"
        );
        assert_eq!(reason_of(&events, "uplink.down fiber"), PORTAL);
        let switched = when(&events, "switch fiber -> lte").expect("a switch");
        assert!(switched < 20.3 + 5.0, "seed {seed}: {switched}");
        let events = replay.run_until(at(130.0));
        let back = when(&events, "uplink.recovering fiber").expect("recovers");
        // A dead uplink is asked at a tenth of the time for which it has been dead.
        assert!(back < 70.0, "seed {seed}: {back}");
        assert!(
            when(&events, "switch lte -> fiber").is_some(),
            "{}",
            told(&events)
        );
    }
}

#[test]
fn one_landing_page_alone_moves_nothing() {
    let mut shown = 0;
    let mut replay = settled(
        with(&["fiber", "lte"], &["192.0.2.1", PAGE], 1),
        move |asked| {
            let is_caught = asked.uplink == "fiber" && asked.target == PAGE && asked.now > 20.0;
            shown += u32::from(is_caught);
            Said::right_unless(is_caught && shown == 1, Said::Portal)
        },
    );
    assert_eq!(brief(&replay.run_until(at(100.0))), Vec::<String>::new());
}

#[test]
fn a_page_that_has_changed_for_everybody_is_its_own_fault() {
    for (wrong, targets) in [
        (false, &["192.0.2.1", PAGE][..]),
        (true, &["192.0.2.1", PAGE]),
        (false, &[PAGE]),
        (true, &[PAGE]),
    ] {
        for seed in 0..10 {
            let mut settings = with(&ALL, targets, 1);
            settings.seed = seed;
            let mut replay = settled(settings, |asked| {
                let has_changed = asked.target == PAGE && asked.now > 20.3;
                let said = if wrong { Said::Error } else { Said::Portal };
                Said::right_unless(has_changed, said)
            });
            let events = replay.run_until(at(300.0));
            assert_eq!(
                brief(&events),
                ["target.down"],
                "{targets:?}, {wrong}: {}",
                told(&events)
            );
        }
    }
}

#[test]
fn two_pages_that_are_replaced_on_every_uplink_are_landing_pages() {
    let mut replay = settled(
        with(&["fiber", "lte"], &["192.0.2.1", PAGE, OTHER_PAGE], 1),
        |asked| {
            let is_caught = asked.target != "192.0.2.1" && asked.now > 20.0;
            Said::right_unless(is_caught, Said::Portal)
        },
    );
    let events = replay.run_until(at(100.0));
    let status = status(&replay);
    assert!(
        status
            .uplinks
            .iter()
            .all(|uplink| uplink.state == State::Down),
        "{}",
        told(&events)
    );
    assert!(reason_of(&events, "no_usable_uplink").contains("the routes stay as they are"));
}

#[test]
fn a_page_that_is_wrong_beside_one_that_is_right_is_set_aside() {
    let mut replay = settled(with(&["fiber", "lte"], &[PAGE, OTHER_PAGE], 1), |asked| {
        let is_wrong = asked.uplink == "fiber" && asked.target == PAGE && asked.now > 20.0;
        Said::right_unless(is_wrong, Said::Portal)
    });
    let events = replay.run_until(at(100.0));
    assert_eq!(brief(&events), ["target.down fiber"], "{}", told(&events));
}

#[test]
fn the_only_uplink_is_believed_of_a_landing_page_and_not_of_an_error() {
    let life = |wrong: fn() -> Said| {
        let mut replay = settled(with(&["fiber"], &["192.0.2.1", PAGE], 1), move |asked| {
            let is_wrong = asked.target == PAGE && asked.now > 20.0;
            Said::right_unless(is_wrong, wrong())
        });
        let events = replay.run_until(at(100.0));
        assert_eq!(status(&replay).active, [name("fiber")]);
        events
    };
    let landing = life(|| Said::Portal);
    assert_eq!(brief(&landing), ["uplink.down fiber", "no_usable_uplink"]);
    assert_eq!(brief(&life(|| Said::Error)), ["target.down fiber"]);
}

#[test]
fn a_dead_uplink_is_no_witness_against_a_target() {
    let mut replay = settled(with(&["fiber", "lte"], &["192.0.2.1", PAGE], 1), |asked| {
        let is_dead = asked.uplink == "lte" && asked.now > 15.0;
        let is_caught = asked.uplink == "fiber" && asked.target == PAGE && asked.now > 30.0;
        match (is_dead, is_caught) {
            (true, _) => Said::Nothing,
            (false, true) => Said::Portal,
            (false, false) => Said::Right,
        }
    });
    let events = replay.run_until(at(60.0));
    assert_eq!(
        reason_of(&events, "uplink.down fiber"),
        PORTAL,
        "{}",
        told(&events)
    );
    assert_eq!(status(&replay).active, [name("fiber")]);
}

/// A client fills fiber from 20 s on, and its queue grows to most of a second within one; from `dies`
/// on nothing comes in any more.
struct Filled {
    dies: f64,
    ticks: u64,
    counters: Counters,
}

impl Filled {
    fn next_tick(&self) -> Moment {
        Moment::after_start(Duration::from_millis(100 * (self.ticks + 1)))
    }
}

impl World for Filled {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        let now = now.since_start().as_secs_f64();
        if order.uplink != name("fiber") {
            return Some(Duration::from_millis(20));
        }
        let queue = ((now - 20.0) * 0.9).clamp(0.0, 0.85);
        (now < self.dies).then(|| Duration::from_secs_f64(0.01 + queue))
    }

    fn next_input_at(&self) -> Option<Moment> {
        Some(self.next_tick())
    }

    fn next_input(&mut self, now: Moment) -> Option<Input> {
        if self.next_tick() > now {
            return None;
        }
        self.ticks += 1;
        let second = now.since_start().as_secs_f64();
        let packets = if second < 20.0 { 3 } else { 45 };
        self.counters.tx_packets += packets;
        self.counters.tx_bytes += packets * 1_200;
        if second < self.dies {
            self.counters.rx_packets += packets;
            self.counters.rx_bytes += packets * 1_200;
        }
        Some(Input::Counters {
            uplink: name("fiber"),
            counters: self.counters,
        })
    }
}

fn filled(dies: f64, seed: u64) -> Replay<Filled> {
    let mut settings = settings(&["fiber", "lte"]);
    settings.seed = seed;
    let counters = Counters::default();
    let mut replay = Replay::new(
        settings,
        Filled {
            dies,
            ticks: 0,
            counters,
        },
    );
    replay.run_until(at(10.0));
    replay
}

#[test]
fn a_link_that_our_own_traffic_fills_is_neither_dead_nor_bad() {
    for seed in 0..20 {
        let events = filled(f64::INFINITY, seed).run_until(at(120.0));
        assert!(events.is_empty(), "seed {seed}: {}", told(&events));
    }
}

#[test]
fn a_link_that_dies_while_it_is_full_is_left_within_four_seconds() {
    for seed in 0..20 {
        let events = filled(60.0, seed).run_until(at(90.0));
        let switched = when(&events, "switch fiber -> lte").expect("a switch");
        assert!((60.0..64.0).contains(&switched), "{}", told(&events));
    }
}
