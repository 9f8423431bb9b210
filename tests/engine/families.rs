//! IPv4 and IPv6 of an uplink, judged apart: the engine's guarantees, in virtual time.

use std::time::Duration;

use crate::earlier::carrying_apart;
use crate::extent::extent;
use crate::support::{at, brief, name, probe, settings, when};
use uplinkd::engine::Engine;
use uplinkd::engine::action::{Action, ProbeOrder};
use uplinkd::engine::command::Command;
use uplinkd::engine::event::Event;
use uplinkd::engine::input::{Input, ProbeOutcome};
use uplinkd::engine::schedule::Spread;
use uplinkd::engine::settings::{Failback, Settings};
use uplinkd::engine::state::State;
use uplinkd::engine::status::{Status, UplinkStatus};
use uplinkd::replay::{Replay, World, attached, attached_by_both};
use uplinkd::routing::Family::{self, Ipv4, Ipv6};
use uplinkd::routing::Trouble;
use uplinkd::units::{Moment, Tier, Wall};

const TARGETS: [&str; 6] = [
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "2001:db8:a::1",
    "2001:db8:b::1",
    "2001:db8:c::1",
];

/// A world where each family of each uplink loses at random what the function says for that time.
struct Lossy<F> {
    loss: F,
    random: Spread,
    /// Since they were last taken.
    asked: Vec<ProbeOrder>,
}

impl<F: FnMut(&ProbeOrder, Family, f64) -> f64> World for Lossy<F> {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        self.asked.push(order.clone());
        let family = family(order);
        let loss = (self.loss)(order, family, now.since_start().as_secs_f64());
        let extra = Duration::from_millis(2).mul_f64(self.random.unit());
        (self.random.unit() >= loss).then(|| Duration::from_millis(10) + extra)
    }
}

fn family(order: &ProbeOrder) -> Family {
    Family::of(order.target.address().expect("an address"))
}

fn dual(uplinks: &[&str]) -> Settings {
    let mut settings = settings(uplinks);
    for uplink in &mut settings.uplinks {
        uplink.probe = probe(&TARGETS);
    }
    settings
}

fn world<F: FnMut(&ProbeOrder, Family, f64) -> f64>(
    settings: Settings,
    seed: u64,
    loss: F,
) -> Replay<Lossy<F>> {
    let random = Spread::new(seed);
    let asked = Vec::new();
    Replay::new(
        settings,
        Lossy {
            loss,
            random,
            asked,
        },
    )
}

/// Fiber loses all of a family between two times.
fn fiber_without(
    family: Family,
    from: f64,
    to: f64,
) -> impl FnMut(&ProbeOrder, Family, f64) -> f64 {
    move |order, of, now| {
        f64::from(order.uplink == name("fiber") && of == family && (from..to).contains(&now))
    }
}

fn status(replay: &Replay<impl World>) -> Status {
    let wall = Wall::reading(std::time::UNIX_EPOCH, Moment::START);
    replay.engine().status(wall)
}

fn uplink(replay: &Replay<impl World>, uplink: &str) -> UplinkStatus {
    let mut uplinks = status(replay).uplinks.into_iter();
    uplinks
        .find(|u| u.name == name(uplink))
        .expect("the uplink")
}

/// Who carries IPv4, and who IPv6.
fn carriers(replay: &Replay<impl World>) -> [Option<String>; 2] {
    let status = status(replay);
    [Ipv4, Ipv6].map(|family| {
        let mut carriers = status
            .uplinks
            .iter()
            .filter(|u| u.carries.contains(&family));
        let carrier = carriers.next().map(|u| u.name.to_string());
        assert_eq!(carriers.next(), None, "{status:#?}");
        carrier
    })
}

fn by(ipv4: &str, ipv6: &str) -> [Option<String>; 2] {
    [Some(ipv4.to_owned()), Some(ipv6.to_owned())]
}

fn reason<'e>(events: &'e [Event], of: &str) -> &'e str {
    let mut events = events.iter();
    let event = events.find(|event| brief(&[(*event).clone()]) == [of]);
    &event.expect("the event").reason
}

/// What is heard of two uplinks that are well.
const START: [&str; 3] = ["switch  -> fiber", "uplink.up fiber", "uplink.up lte"];

fn sorted(events: &[Event]) -> Vec<String> {
    let mut lines = brief(events);
    lines.sort();
    lines
}

fn sorted_delays(of: impl Fn(u32, f64) -> f64) -> Vec<f64> {
    let mut delays: Vec<_> = (0..200_u32)
        .map(|run| {
            let dies = 30.0 + f64::from(run) * 0.037;
            of(run, dies) - dies
        })
        .collect();
    delays.sort_by(f64::total_cmp);
    delays
}

#[test]
fn both_families_of_a_good_uplink_go_together_from_the_start() {
    let mut replay = world(dual(&["fiber", "lte"]), 1, |_, _, _| 0.0);
    let events = replay.run_until(at(3600.0));
    assert_eq!(sorted(&events), START);
    assert_eq!(carriers(&replay), by("fiber", "fiber"));
    assert_eq!(uplink(&replay, "fiber").families, [Ipv4, Ipv6]);
}

#[test]
fn when_one_family_breaks_it_moves_within_2_6_seconds_and_the_other_stays() {
    for broken in [Ipv4, Ipv6] {
        let delays = sorted_delays(|run, dies| {
            let loss = fiber_without(broken, dies, 1e9);
            let mut replay = world(dual(&["fiber", "lte"]), u64::from(run), loss);
            replay.run_until(at(dies));
            let events = replay.run_until(at(60.0));
            let switch = format!("switch {broken}: fiber -> lte");
            assert_eq!(brief(&events), ["uplink.degraded fiber", &switch]);
            let way = match broken {
                Ipv4 => by("lte", "fiber"),
                Ipv6 => by("fiber", "lte"),
            };
            assert_eq!(carriers(&replay), way);
            when(&events, &switch).expect("a switch")
        });
        assert!(delays[100] <= 1.5, "{broken}: median {}", delays[100]);
        assert!(delays[199] <= 2.6, "{broken}: worst {}", delays[199]);
    }
}

#[test]
fn people_are_told_which_family_is_broken() {
    let loss = fiber_without(Ipv6, 30.0, 40.0);
    let mut replay = world(dual(&["fiber", "lte"]), 1, loss);
    replay.run_until(at(29.0));
    let events = replay.run_until(at(39.0));
    let why = reason(&events, "uplink.degraded fiber");
    assert!(why.starts_with("IPv6 does not answer for "), "{why}");
    assert!(why.ends_with(" s, IPv4 does"), "{why}");
    let switch = reason(&events, "switch IPv6: fiber -> lte");
    assert_eq!(switch, format!("fiber: {why}"));
    let fiber = uplink(&replay, "fiber");
    assert_eq!((fiber.state, &*fiber.reason), (State::Degraded, why));
    assert_eq!((fiber.families, fiber.broken), (vec![Ipv4], vec![Ipv6]));
    assert_eq!(status(&replay).active, [name("fiber"), name("lte")]);
    let events = replay.run_until(at(300.0));
    assert_eq!(
        reason(&events, "uplink.up fiber"),
        "IPv6 answers again",
        "{:?}",
        brief(&events)
    );
    let back = reason(&events, "switch IPv6: lte -> fiber");
    assert_eq!(back, "IPv6: failback: fiber healthy for 60 s");
}

#[test]
fn a_switch_of_one_family_names_it_in_the_event_and_in_the_status() {
    let mut replay = world(dual(&["fiber", "lte"]), 1, fiber_without(Ipv6, 30.0, 1e9));
    replay.run_until(at(29.0));
    let events = replay.run_until(at(39.0));
    let switch = events.last().expect("a switch");
    let record = switch.record(Wall::reading(std::time::UNIX_EPOCH, Moment::START));
    assert_eq!(record.sides().as_deref(), Some("IPv6: fiber -> lte"));
    let record = serde_json::to_value(&record).expect("JSON");
    assert_eq!(record["family"], "ipv6");
    assert_eq!(record["from"], serde_json::json!(["fiber"]));
    assert_eq!(record["to"], serde_json::json!(["lte"]));
    let last = status(&replay).last_switch.expect("a switch");
    assert_eq!(last.family, Some(Ipv6));
    assert_eq!(
        (last.from, last.to),
        (vec![name("fiber")], vec![name("lte")])
    );
}

#[test]
fn a_family_that_nothing_carries_meanwhile_comes_back_from_nowhere() {
    let mut settings = dual(&["fiber", "lte"]);
    settings.uplinks[1].probe = probe(&TARGETS[..3]);
    let mut replay = world(settings, 1, |order, _, now| {
        f64::from(order.uplink == name("fiber") && (30.0..60.0).contains(&now))
    });
    let events = replay.run_until(at(300.0));
    let lines = brief(&events);
    let switches = lines.iter().filter(|line| line.starts_with("switch "));
    let expected = [
        "switch  -> fiber",
        "switch fiber -> lte",
        "switch IPv6:  -> fiber",
        "switch IPv4: lte -> fiber",
    ];
    assert_eq!(switches.collect::<Vec<_>>(), expected);
}

#[test]
fn the_loss_of_a_family_that_has_no_way_elsewhere_is_no_switch() {
    let mut replay = world(dual(&["fiber"]), 1, |_, _, _| 0.0);
    replay.run_until(at(10.0));
    let mut events = Vec::new();
    for attachment in [attached(1), attached_by_both(1)] {
        let uplink = name("fiber");
        events.extend(replay.input(Input::Attachment { uplink, attachment }));
        let soon = replay.now() + Duration::from_secs(10);
        events.extend(replay.run_until(soon));
    }
    assert_eq!(brief(&events), [""; 0]);
}

#[test]
fn when_both_families_break_they_move_together_as_fast_as_one() {
    let delays = sorted_delays(|run, dies| {
        let mut replay = world(dual(&["fiber", "lte"]), u64::from(run), |order, _, now| {
            f64::from(order.uplink == name("fiber") && now >= dies)
        });
        replay.run_until(at(dies));
        let events = replay.run_until(at(60.0));
        assert_eq!(brief(&events), ["uplink.down fiber", "switch fiber -> lte"]);
        assert_eq!(carriers(&replay), by("lte", "lte"));
        when(&events, "switch fiber -> lte").expect("a switch")
    });
    assert!(delays[100] <= 1.1, "median {}", delays[100]);
    assert!(delays[199] <= 1.8, "worst {}", delays[199]);
}

#[test]
fn when_the_second_family_breaks_as_well_the_uplink_is_down() {
    let mut replay = world(dual(&["fiber", "lte"]), 2, |order, of, now| {
        let dies = match of {
            Ipv4 => 60.0,
            Ipv6 => 30.0,
        };
        f64::from(order.uplink == name("fiber") && now >= dies)
    });
    replay.run_until(at(59.0));
    assert_eq!(carriers(&replay), by("fiber", "lte"));
    let events = replay.run_until(at(62.0));
    assert_eq!(
        brief(&events),
        ["uplink.down fiber", "switch IPv4: fiber -> lte"]
    );
    assert_eq!(carriers(&replay), by("lte", "lte"));
}

#[test]
fn a_family_comes_back_when_it_has_answered_for_as_long_as_failback_asks() {
    for family in [Ipv4, Ipv6] {
        let loss = fiber_without(family, 30.0, 95.0);
        let mut replay = world(dual(&["fiber", "lte"]), 3, loss);
        let events = replay.run_until(at(400.0));
        let up = when(&events[3..], "uplink.up fiber").expect("well again");
        let back = format!("switch {family}: lte -> fiber");
        let back = when(&events, &back).expect("a failback");
        assert!((98.0..110.0).contains(&up), "{:?}", brief(&events));
        // It answered for 3 s before it was called well.
        assert!((56.0..58.0).contains(&(back - up)), "up {up}, back {back}");
        assert_eq!(carriers(&replay), by("fiber", "fiber"));
        assert_eq!(events.len(), 7, "{:?}", brief(&events));
    }
}

#[test]
fn failback_by_hand_holds_for_one_family_too() {
    let mut settings = dual(&["fiber", "lte"]);
    settings.failover.failback = Failback::Manual;
    let mut replay = world(settings, 3, fiber_without(Ipv6, 30.0, 60.0));
    replay.run_until(at(1000.0));
    assert_eq!(carriers(&replay), by("fiber", "lte"));
    let events = replay.input(Input::Command(Command::Auto.into()));
    assert_eq!(brief(&events), ["switch IPv6: lte -> fiber"]);
}

#[test]
fn a_family_that_breaks_everywhere_stays_where_it_is_and_the_first_to_answer_takes_it() {
    let mut replay = world(dual(&["fiber", "lte"]), 4, |order, of, now| {
        let lte_is_back = order.uplink == name("lte") && now >= 90.0;
        f64::from(of == Ipv6 && now >= 30.0 && !lte_is_back)
    });
    replay.run_until(at(29.0));
    let events = replay.run_until(at(89.0));
    let lines = brief(&events);
    assert!(
        lines.contains(&"uplink.degraded fiber".to_owned()),
        "{lines:?}"
    );
    assert!(
        lines.contains(&"uplink.degraded lte".to_owned()),
        "{lines:?}"
    );
    let [ipv4, before] = carriers(&replay);
    assert_eq!(ipv4.as_deref(), Some("fiber"));
    let events = replay.run_until(at(105.0));
    assert_eq!(carriers(&replay), by("fiber", "lte"));
    let has_moved = brief(&events).contains(&"switch IPv6: fiber -> lte".to_owned());
    assert_eq!(has_moved, before.as_deref() == Some("fiber"), "{events:#?}");
}

#[test]
fn a_family_that_never_worked_makes_no_noise_and_costs_the_other_nothing() {
    let dead = |_: &ProbeOrder, of: Family, _: f64| f64::from(of == Ipv6);
    let mut settings = dual(&["fiber", "lte"]);
    settings.uplinks[1].probe.standby_interval = Duration::from_secs(1);
    let mut replay = world(settings, 5, dead);
    let events = replay.run_until(at(3600.0));
    assert_eq!(sorted(&events), START);
    let fiber = uplink(&replay, "fiber");
    let why = "answers; IPv6 has not answered yet, IPv4 does";
    assert_eq!((fiber.state, &*fiber.reason), (State::Up, why));
    assert_eq!((fiber.families, fiber.broken), (vec![Ipv4], vec![Ipv6]));
    for probes in replay.probes().values() {
        assert!((3_600..=4_300).contains(probes), "{probes}");
    }
    assert_eq!(replay.probes().len(), 2);
    let delays = sorted_delays(|run, dies| {
        let mut replay = world(dual(&["fiber", "lte"]), u64::from(run), |order, of, now| {
            f64::from(of == Ipv6 || (order.uplink == name("fiber") && now >= dies))
        });
        let events = replay.run_until(at(60.0));
        when(&events, "switch fiber -> lte").expect("a switch")
    });
    assert!(delays[100] <= 1.1, "median {}", delays[100]);
    assert!(delays[199] <= 1.8, "worst {}", delays[199]);
}

#[test]
fn a_family_that_never_worked_here_goes_where_it_does() {
    let mut replay = world(dual(&["fiber", "lte"]), 5, fiber_without(Ipv6, 0.0, 3600.0));
    let events = replay.run_until(at(60.0));
    assert_eq!(brief(&events)[3..], ["switch IPv6: fiber -> lte"]);
    let why = "fiber: IPv6 has not answered yet, IPv4 does";
    assert_eq!(events[3].reason, why);
    assert_eq!(carriers(&replay), by("fiber", "lte"));
    let events = replay.run_until(at(4000.0));
    assert_eq!(brief(&events), ["switch IPv6: lte -> fiber"]);
}

#[test]
fn two_families_that_are_well_cost_no_more_probes_than_one() {
    let mut replay = world(dual(&["fiber", "lte", "backup"]), 6, |_, _, _| 0.01);
    let hours = extent(6, 24_u32);
    replay.run_until(at(f64::from(hours) * 3600.0));
    let most = u64::from(hours) * 4_300;
    for probes in replay.probes().values() {
        assert!((1..=most).contains(probes), "{probes}");
    }
    assert_eq!(replay.probes().len(), 3);
}

#[test]
fn steady_loss_of_five_percent_moves_neither_family_for_a_day() {
    for seed in 0..extent(1, 8) {
        let mut replay = world(dual(&["fiber", "lte"]), seed, |_, _, _| 0.05);
        replay.run_until(at(10.0));
        let events = replay.run_until(at(3_600.0 * f64::from(extent(10, 24))));
        assert!(events.is_empty(), "seed {seed}: {events:#?}");
    }
}

#[test]
fn heavy_loss_of_both_families_is_found_as_fast_as_of_one() {
    let mut replay = world(dual(&["fiber", "lte"]), 5, |order, _, now| {
        let is_bad = order.uplink == name("fiber") && now >= 600.0;
        if is_bad { 0.3 } else { 0.01 }
    });
    replay.run_until(at(599.0));
    let events = replay.run_until(at(660.0));
    let switched = when(&events, "switch fiber -> lte").expect("a switch");
    assert!(switched < 615.0, "{:?} at {switched}", brief(&events));
    assert_eq!(carriers(&replay), by("lte", "lte"));
}

#[test]
fn a_target_that_others_of_its_family_outlive_is_set_aside_and_moves_nothing() {
    let mut replay = world(dual(&["fiber", "lte"]), 7, |order, _, now| {
        let is_filtered = order.target.to_string() == "2001:db8:b::1";
        f64::from(is_filtered && order.uplink == name("fiber") && now >= 30.0)
    });
    replay.run_until(at(29.0));
    let events = replay.run_until(at(600.0));
    assert_eq!(brief(&events), ["target.down fiber"]);
}

#[test]
fn outages_of_one_family_do_not_make_the_link_look_lossy() {
    let mut replay = world(dual(&["fiber", "lte"]), 8, |order, of, now| {
        let is_broken = of == Ipv6 && now.rem_euclid(300.0) >= 200.0;
        f64::from(order.uplink == name("fiber") && is_broken)
    });
    let events = replay.run_until(at(6000.0));
    assert!(when(&events, "uplink.down fiber").is_none());
    let degraded = events.iter().filter(|event| event.reason.contains("loses"));
    assert_eq!(degraded.count(), 0, "{events:#?}");
    let process = replay.engine().learnt()[&name("fiber")].process();
    assert!(process.mean() < 0.02, "{process:?}");
}

#[test]
fn an_uplink_with_a_broken_family_leads_again_after_an_outage_and_carries_what_works() {
    let mut replay = world(dual(&["fiber", "lte"]), 9, |order, of, now| {
        let is_dead = (60.0..90.0).contains(&now) || (of == Ipv6 && now >= 60.0);
        f64::from(order.uplink == name("fiber") && is_dead)
    });
    replay.run_until(at(59.0));
    let events = replay.run_until(at(600.0));
    let back = when(&events, "switch IPv4: lte -> fiber").expect("a failback");
    assert!((150.0..160.0).contains(&back), "{:?}", brief(&events));
    assert_eq!(carriers(&replay), by("fiber", "lte"));
    assert_eq!(uplink(&replay, "fiber").state, State::Degraded);
}

#[test]
fn a_family_without_targets_follows_the_uplink() {
    let mut settings = settings(&["fiber", "lte"]);
    settings.uplinks[1].probe = probe(&TARGETS);
    let mut replay = world(settings, 1, |order, _, now| {
        f64::from(order.uplink == name("fiber") && now >= 30.0)
    });
    let (uplink, attachment) = (name("fiber"), attached_by_both(1));
    replay.input(Input::Attachment { uplink, attachment });
    replay.run_until(at(29.0));
    assert_eq!(carriers(&replay), by("fiber", "fiber"));
    let events = replay.run_until(at(40.0));
    assert_eq!(brief(&events), ["uplink.down fiber", "switch fiber -> lte"]);
    assert_eq!(carriers(&replay), by("lte", "lte"));
}

#[test]
fn a_carrier_of_one_family_leaves_the_other_to_the_best_that_has_it() {
    let mut replay = world(dual(&["fiber", "lte", "backup"]), 1, |_, _, _| 0.0);
    for (place, uplink) in (1..).zip(["fiber", "lte"]) {
        let (uplink, attachment) = (name(uplink), attached(place));
        replay.input(Input::Attachment { uplink, attachment });
    }
    replay.run_until(at(10.0));
    assert_eq!(carriers(&replay), by("fiber", "backup"));
    // Fiber's IPv6 router advertises itself for the first time: that is no failback.
    let (uplink, attachment) = (name("fiber"), attached_by_both(1));
    replay.input(Input::Attachment { uplink, attachment });
    let events = replay.run_until(at(11.0));
    assert_eq!(brief(&events), ["switch IPv6: backup -> fiber"]);
    // And falls silent again: it is gone after a short grace, and its return is one.
    let (uplink, attachment) = (name("fiber"), attached(1));
    replay.input(Input::Attachment { uplink, attachment });
    let events = replay.run_until(at(11.5));
    assert_eq!(brief(&events), ["switch IPv6: fiber -> backup"]);
    assert_eq!(events[0].reason, "fiber: IPv6 has no way out");
    let (uplink, attachment) = (name("fiber"), attached_by_both(1));
    replay.input(Input::Attachment { uplink, attachment });
    let events = replay.run_until(at(100.0));
    let back = when(&events, "switch IPv6: backup -> fiber").expect("a failback");
    assert!((71.0..72.0).contains(&back), "{:?}", brief(&events));
}

#[test]
fn where_a_reload_takes_the_leader_away_the_carrier_of_a_family_leads_before_its_equals() {
    let mut settings = dual(&["fiber", "lte", "backup"]);
    for uplink in &mut settings.uplinks {
        uplink.tier = Tier(1);
    }
    let mut replay = world(settings.clone(), 1, |_, _, _| 0.0);
    replay.input(carrying_apart("backup", Ipv6, "lte"));
    replay.run_until(at(10.0));
    assert_eq!(carriers(&replay), by("backup", "lte"));
    settings.uplinks.pop();
    replay.input(Input::Settings(Box::new(settings)));
    replay.run_until(at(12.0));
    assert_eq!(carriers(&replay), by("lte", "lte"));
}

#[test]
fn a_family_leaves_a_carrier_of_its_own_that_dies_and_moves_to_the_next() {
    let mut replay = world(dual(&["fiber", "lte", "backup"]), 1, |order, of, now| {
        let fiber_lost_ipv6 = order.uplink == name("fiber") && of == Ipv6 && now >= 30.0;
        f64::from(fiber_lost_ipv6)
    });
    replay.run_until(at(40.0));
    let (uplink, mut attachment) = (name("lte"), attached_by_both(2));
    attachment.trouble = Some(Trouble::NoCarrier);
    let events = replay.input(Input::Attachment { uplink, attachment });
    assert_eq!(
        brief(&events),
        ["uplink.down lte", "switch IPv6: lte -> backup"]
    );
    assert_eq!(
        events[1].reason,
        "IPv6: lte down: lte has no carrier".replace("lte has", "eth2 has")
    );
}

#[test]
fn what_an_earlier_run_left_apart_is_adopted_without_a_switch() {
    let settings = dual(&["fiber", "lte"]);
    let mut replay = world(settings, 5, fiber_without(Ipv6, 0.0, 100.0));
    replay.input(carrying_apart("fiber", Ipv6, "lte"));
    let events = replay.run_until(at(90.0));
    assert_eq!(sorted(&events), START[1..]);
    assert_eq!(carriers(&replay), by("fiber", "lte"));
    let events = replay.run_until(at(300.0));
    let back = when(&events, "switch IPv6: lte -> fiber").expect("a failback");
    assert!(back > 160.0, "{back}");
}

#[test]
fn a_restart_that_hears_of_its_links_one_by_one_leaves_a_family_apart_where_it_was() {
    for uplinks in [[("fiber", 1), ("lte", 2)], [("lte", 2), ("fiber", 1)]] {
        let mut engine = Engine::new(dual(&["fiber", "lte"]), Moment::START);
        engine.handle_input(Moment::START, carrying_apart("fiber", Ipv6, "lte"));
        for (uplink, place) in uplinks {
            let (uplink, attachment) = (name(uplink), attached_by_both(place));
            engine.handle_input(Moment::START, Input::Attachment { uplink, attachment });
        }
        let mut events = Vec::new();
        while let Some(action) = engine.poll_action() {
            if let Action::Event(event) = action {
                events.push(event);
            }
        }
        assert_eq!(brief(&events), [""; 0]);
    }
}

#[test]
fn a_person_s_choice_moves_both_families_but_not_one_that_is_broken_there() {
    let mut replay = world(dual(&["fiber", "lte"]), 5, |order, of, now| {
        f64::from(order.uplink == name("lte") && of == Ipv6 && now >= 30.0)
    });
    replay.run_until(at(60.0));
    let events = replay.input(Input::Command(Command::switch(name("lte")).into()));
    assert_eq!(brief(&events), ["switch IPv4: fiber -> lte"]);
    assert_eq!(carriers(&replay), by("lte", "fiber"));
    let events = replay.input(Input::Command(Command::Auto.into()));
    assert_eq!(brief(&events), ["switch IPv4: lte -> fiber"]);
}

#[test]
fn a_landing_page_in_one_family_is_called_so() {
    let mut replay = world(dual(&["fiber", "lte"]), 5, fiber_without(Ipv4, 30.0, 1e9));
    replay.run_until(at(29.0));
    let mut events = Vec::new();
    while replay.now() < at(34.0) {
        let next = replay.now() + Duration::from_millis(1);
        events.extend(replay.run_until(next));
        let asked = std::mem::take(&mut replay.world().asked);
        for order in asked.iter().filter(|order| family(order) == Ipv4) {
            if order.uplink == name("fiber") && next > at(30.0) {
                events.extend(replay.input(Input::Probe {
                    uplink: order.uplink.clone(),
                    id: order.id,
                    outcome: ProbeOutcome::Wrong("captive portal".to_owned()),
                }));
            }
        }
    }
    let why = reason(&events, "uplink.degraded fiber");
    assert_eq!(why, "IPv4: captive portal");
    assert_eq!(carriers(&replay), by("lte", "fiber"));
}

#[test]
fn a_family_that_comes_back_to_the_second_choice_does_not_forget_the_leader() {
    let mut replay = world(dual(&["fiber", "dsl", "lte"]), 1, |order, family, now| {
        let is_fiber_dead = order.uplink == name("fiber") && (100.0..130.0).contains(&now);
        let is_dsl_dead = order.uplink == name("dsl") && (100.0..115.0).contains(&now);
        f64::from(family == Ipv6 && (is_fiber_dead || is_dsl_dead))
    });
    replay.run_until(at(110.0));
    assert_eq!(carriers(&replay), by("fiber", "lte"));
    replay.run_until(at(185.0));
    assert_eq!(carriers(&replay), by("fiber", "dsl"));
    replay.run_until(at(200.0));
    assert_eq!(carriers(&replay), by("fiber", "fiber"));
}

#[test]
fn a_family_that_keeps_failing_takes_nothing_else_off_its_uplink() {
    let mut replay = world(dual(&["fiber", "lte"]), 1, |order, family, now| {
        let is_dead = (60.0..1_800.0).contains(&now) && now.rem_euclid(60.0) < 8.0;
        f64::from(order.uplink == name("fiber") && family == Ipv6 && is_dead)
    });
    for second in (10..2_400).step_by(5) {
        let events = replay.run_until(at(f64::from(second)));
        assert_eq!(when(&events, "flap.penalty fiber"), None);
        assert_eq!(carriers(&replay)[0].as_deref(), Some("fiber"), "{second}");
    }
    assert_eq!(carriers(&replay), by("fiber", "fiber"));
    assert!(uplink(&replay, "fiber").penalty < 0.1);
}
