//! Hours of rules and of the failback, in virtual time: boundaries, midnight, summer time, a clock that is not set.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use crate::cases::cases;
use crate::lossy::{shown, state};
use crate::support::{at, brief, group, name, rule, settings};
use uplinkd::engine::Engine;
use uplinkd::engine::action::{Action, ProbeOrder};
use uplinkd::engine::command::Command;
use uplinkd::engine::event::cause::SwitchCause;
use uplinkd::engine::event::{Change, Event};
use uplinkd::engine::input::Input;
use uplinkd::engine::settings::{Policy, Settings};
use uplinkd::engine::state::State;
use uplinkd::engine::status::{RuleStatus, WaitReason, Waits};
use uplinkd::replay::{Replay, World, attached};
use uplinkd::routing::traffic::Selector;
use uplinkd::routing::{Desired, Rule};
use uplinkd::units::weekly::WEEKDAYS;
use uplinkd::units::{Moment, RulePriority, Timestamp, Wall, WeeklyHours, WeeklySpan, ZonedTime};

const HOUR: i32 = 3_600;
const WINTER: i32 = HOUR;
const SUMMER: i32 = 2 * HOUR;
const MINUTE: Duration = Duration::from_secs(60);

/// Uplinks that answer in ten milliseconds but for these; and what the kernel was to hold, each time.
#[derive(Default)]
struct HoursWorld {
    dead: Vec<&'static str>,
    held: Vec<Desired>,
}

impl World for HoursWorld {
    fn answer(&mut self, order: &ProbeOrder, _: Moment) -> Option<Duration> {
        let is_dead = self.dead.contains(&order.uplink.as_str());
        (!is_dead).then_some(Duration::from_millis(10))
    }

    fn routed(&mut self, desired: &Desired) {
        self.held.push(desired.clone());
    }
}

/// An engine that is told the time each minute.
struct Site {
    replay: Replay<HoursWorld>,
    utc: SystemTime,
    offset: i32,
}

impl Site {
    fn new(settings: Settings, utc: &str, offset: i32) -> Self {
        let mut site = Self {
            replay: Replay::new(settings, HoursWorld::default()),
            utc: utc_of(utc),
            offset,
        };
        site.tell();
        site
    }

    fn tell(&mut self) -> Vec<Event> {
        let (utc, offset) = (Timestamp(self.utc), self.offset);
        self.replay.input(Input::Time(ZonedTime { utc, offset }))
    }

    /// So many minutes, each of which ends with what the clock shows.
    fn run(&mut self, minutes: u32) -> Vec<Event> {
        let mut events = Vec::new();
        for _ in 0..minutes {
            let next = self.replay.now() + MINUTE;
            events.extend(self.replay.run_until(next));
            self.utc += MINUTE;
            events.extend(self.tell());
        }
        events
    }

    /// The clock is set.
    fn set(&mut self, utc: &str, offset: i32) -> Vec<Event> {
        (self.utc, self.offset) = (utc_of(utc), offset);
        self.tell()
    }

    fn follow(&mut self, command: Command) -> Vec<String> {
        brief(&self.replay.input(Input::Command(command.into())))
    }

    fn dead(&mut self, uplinks: &[&'static str]) {
        self.replay.world().dead = uplinks.to_vec();
    }

    /// What an uplink waits for, and until when.
    fn waits(&self, uplink: &str) -> Option<(WaitReason, Option<String>)> {
        let Waits { reason, until } = shown(&self.replay, uplink).waits?;
        Some((reason, until.map(|until| until.to_string())))
    }

    fn rule(&self) -> RuleStatus {
        let wall = Wall::reading(self.utc, self.replay.now());
        self.replay.engine().status(wall).rules.remove(0)
    }

    /// Whether the rule applies, and until when.
    fn applies(&self) -> (bool, Option<String>) {
        let RuleStatus { applies, until, .. } = self.rule();
        (applies, until.map(|until| until.to_string()))
    }
}

fn utc_of(text: &str) -> SystemTime {
    humantime::parse_rfc3339(text).expect("a time")
}

fn hours(text: &str) -> WeeklyHours {
    WeeklyHours::of(WeeklySpan::all_in(text).expect("hours"))
}

fn window(text: &str) -> Settings {
    let mut settings = settings(&["fiber", "lte"]);
    settings.failback_window = hours(text);
    settings
}

/// A group by LTE, of what comes from one host at some hours.
fn hosts(text: &str) -> Settings {
    let mut settings = settings(&["fiber", "lte"]);
    settings.groups = vec![group("voice", Policy::Failover, vec![name("lte")])];
    let from = Selector {
        from: vec!["192.168.1.20/32".parse().expect("a prefix")],
        ..Selector::default()
    };
    let mut rule = rule("voice", from);
    rule.when = hours(text);
    settings.rules = vec![rule];
    settings
}

/// The rules of groups.
fn group_rules(desired: &Desired) -> Vec<Rule> {
    let host = Some("192.168.1.20/32".parse().expect("a prefix"));
    let rules = desired.rules.iter().filter(|rule| rule.from == host);
    rules.cloned().collect()
}

fn causes(events: &[Event]) -> Vec<SwitchCause> {
    let causes = events.iter().filter_map(|event| {
        let Change::Switch { cause, .. } = &event.change else {
            return None;
        };
        Some(*cause)
    });
    causes.collect()
}

fn switches(events: &[Event]) -> Vec<String> {
    let lines = brief(events).into_iter();
    lines.filter(|line| line.starts_with("switch")).collect()
}

/// Fiber fails for some minutes, so that the traffic is on LTE and fiber is healthy again.
fn fail_over(site: &mut Site) {
    site.dead(&["fiber"]);
    assert_eq!(switches(&site.run(2)), ["switch fiber -> lte"]);
    site.dead(&[]);
}

#[test]
fn a_failback_waits_for_its_hours_and_comes_in_their_first_minute() {
    let mut site = Site::new(window("02:00-05:00"), "2026-11-27T19:00:00Z", WINTER);
    site.run(5);
    fail_over(&mut site);
    assert_eq!(switches(&site.run(352)), [""; 0], "until 01:59");
    let opens = Some("2026-11-28T01:00:00Z".to_owned());
    assert_eq!(
        site.waits("fiber"),
        Some((WaitReason::FailbackWindow, opens))
    );
    let events = site.run(1);
    assert_eq!(switches(&events), ["switch lte -> fiber"]);
    assert_eq!(causes(&events), [SwitchCause::Schedule]);
    let reason = &events.last().expect("a switch").reason;
    assert!(
        reason.ends_with("and `failback_window` is open"),
        "{reason}"
    );
    assert_eq!(site.waits("fiber"), None);
}

#[test]
fn within_its_hours_a_failback_is_one_as_ever_and_past_them_it_waits_for_the_next() {
    let mut site = Site::new(window("02:00-05:00"), "2026-11-28T01:30:00Z", WINTER);
    site.run(5);
    fail_over(&mut site);
    assert_eq!(causes(&site.run(3)), [SwitchCause::Failback]);
    site.run(145);
    fail_over(&mut site);
    let mut settings = window("02:00-05:00");
    settings.failover.failback_after = Duration::from_secs(3_600);
    site.replay.input(Input::Settings(Box::new(settings)));
    assert_eq!(switches(&site.run(1_000)), [""; 0]);
    let opens = Some("2026-11-29T01:00:00Z".to_owned());
    assert_eq!(
        site.waits("fiber"),
        Some((WaitReason::FailbackWindow, opens))
    );
}

#[test]
fn what_fails_is_left_at_any_hour_for_a_preferred_uplink_too() {
    let mut site = Site::new(window("02:00-05:00"), "2026-11-28T09:00:00Z", WINTER);
    site.run(5);
    fail_over(&mut site);
    assert_eq!(switches(&site.run(60)), [""; 0]);
    site.dead(&["lte"]);
    let events = site.run(1);
    assert_eq!(switches(&events), ["switch lte -> fiber"]);
    assert_eq!(causes(&events), [SwitchCause::Down]);
}

#[test]
fn an_operator_moves_the_traffic_back_at_any_hour() {
    for command in [Command::Auto, Command::switch(name("fiber"))] {
        let mut site = Site::new(window("02:00-05:00"), "2026-11-28T09:00:00Z", WINTER);
        site.run(5);
        fail_over(&mut site);
        site.run(60);
        assert_eq!(site.follow(command), ["switch lte -> fiber"]);
    }
    // Within the hours it is a switch by hand as well, and none of the schedule.
    let mut site = Site::new(window("02:00-05:00"), "2026-11-28T00:50:00Z", WINTER);
    site.run(5);
    fail_over(&mut site);
    assert_eq!(causes(&site.run(10)), [SwitchCause::Schedule]);
    site.follow(Command::switch(name("lte")));
    let back = site.replay.input(Input::Command(Command::Auto.into()));
    assert_eq!(causes(&back), [SwitchCause::Failback]);
}

#[test]
fn a_clock_that_is_not_set_closes_the_hours_until_it_is_set() {
    let mut site = Site::new(window("00:00-24:00"), "1970-01-01T00:00:00Z", 0);
    site.run(5);
    fail_over(&mut site);
    assert_eq!(switches(&site.run(60)), [""; 0]);
    assert_eq!(
        site.waits("fiber"),
        Some((WaitReason::FailbackWindow, None))
    );
    let events = site.set("2026-11-28T09:00:00Z", 0);
    assert_eq!(switches(&events), ["switch lte -> fiber"]);
    // And lost again.
    fail_over(&mut site);
    site.set("1970-01-01T00:00:00Z", 0);
    assert_eq!(switches(&site.run(60)), [""; 0]);
    assert_eq!(site.follow(Command::Auto), ["switch lte -> fiber"]);
}

/// On 2026-03-29 at 02:00 the clock goes to 03:00, on 2026-10-25 at 03:00 to 02:00.
#[test]
fn hours_that_the_clock_leaps_over_are_not_there_and_those_that_it_shows_twice_hold_twice() {
    for (from, zones, expected) in [
        ("2026-03-29T00:00:00Z", [WINTER, SUMMER], [""; 0].as_slice()),
        (
            "2026-10-25T00:00:00Z",
            [SUMMER, WINTER],
            &[
                "2026-10-25T00:15:00Z true",
                "2026-10-25T00:45:00Z false",
                "2026-10-25T01:15:00Z true",
                "2026-10-25T01:45:00Z false",
            ],
        ),
    ] {
        let mut site = Site::new(hosts("02:15-02:45"), from, zones[0]);
        let (mut seen, mut before) = (Vec::new(), false);
        for minute in 1..=180 {
            if minute == 60 {
                site.offset = zones[1];
            }
            site.run(1);
            let (applies, _) = site.applies();
            if applies != before {
                seen.push(format!("{} {applies}", Timestamp(site.utc)));
            }
            before = applies;
        }
        assert_eq!(seen, expected);
    }
    // What begins in the gap begins after it.
    let mut site = Site::new(window("02:30-04:00"), "2026-03-29T00:00:00Z", WINTER);
    site.run(5);
    fail_over(&mut site);
    assert_eq!(switches(&site.run(52)), [""; 0], "until 01:59");
    site.offset = SUMMER;
    assert_eq!(switches(&site.run(1)), ["switch lte -> fiber"]);
}

#[test]
fn a_rule_comes_and_goes_with_its_hours_and_nothing_else_is_written() {
    // 2026-11-27 is a Friday.
    let settings = hosts("mon-fri 22:00-06:00");
    let mut site = Site::new(settings, "2026-11-27T20:50:00Z", WINTER);
    site.run(9);
    let until = |time: &str| Some(time.to_owned());
    assert_eq!(site.applies(), (false, until("2026-11-27T21:00:00Z")));
    let held = &mut site.replay.world().held;
    held.drain(..held.len() - 1);
    site.run(1);
    assert_eq!(site.applies(), (true, until("2026-11-28T05:00:00Z")));
    site.run(479);
    assert_eq!(site.applies(), (true, until("2026-11-28T05:00:00Z")));
    site.run(1);
    assert_eq!(site.applies(), (false, until("2026-11-30T21:00:00Z")));
    let held = std::mem::take(&mut site.replay.world().held);
    let [before, within, after] = &*held else {
        panic!("{} writes, not one for each change", held.len() - 1);
    };
    assert_eq!(before, after);
    assert_eq!(before.routes, within.routes);
    let own = group_rules(within);
    assert_eq!((group_rules(before).len(), own.len()), (0, 1));
    let others = within.rules.iter().filter(|rule| !own.contains(rule));
    assert!(others.eq(before.rules.iter()));
}

#[test]
fn the_next_rule_that_matches_takes_over_at_other_hours() {
    let mut settings = hosts("08:00-18:00");
    let mut always = settings.rules[0].clone();
    always.when = WeeklyHours::default();
    settings.rules.push(always);
    let mut site = Site::new(settings, "2026-11-28T07:58:00Z", 0);
    site.run(1);
    let priorities = |site: &mut Site| -> Vec<RulePriority> {
        let held = site.replay.world().held.last().cloned();
        let rules = group_rules(&held.expect("routes"));
        rules.iter().map(|rule| rule.priority).collect()
    };
    assert_eq!(priorities(&mut site).len(), 1);
    site.run(1);
    assert_eq!(priorities(&mut site).len(), 2);
}

#[test]
fn a_clock_that_jumps_changes_at_once_what_holds() {
    let mut site = Site::new(hosts("08:00-18:00"), "1970-01-01T12:00:00Z", 0);
    assert_eq!(site.applies(), (false, None));
    for (time, applies) in [
        ("2026-11-28T12:00:00Z", true),
        ("2026-11-28T19:00:00Z", false),
        ("2026-11-27T17:59:00Z", true),
        ("2031-01-01T03:00:00Z", false),
        ("1980-01-01T12:00:00Z", false),
    ] {
        site.set(time, 0);
        assert_eq!(site.applies().0, applies, "{time}");
    }
}

#[test]
fn a_reload_changes_hours_at_once() {
    let mut site = Site::new(hosts("08:00-18:00"), "2026-11-28T12:00:00Z", 0);
    site.run(1);
    assert!(site.applies().0);
    let reload = |site: &mut Site, settings: Settings| {
        site.replay.input(Input::Settings(Box::new(settings)));
    };
    reload(&mut site, hosts("18:00-08:00"));
    assert!(!site.applies().0);
    // Meanwhile it is told no time, so that later it knows none.
    reload(&mut site, settings(&["fiber", "lte"]));
    reload(&mut site, hosts("08:00-18:00"));
    assert_eq!(site.applies(), (false, None));
    site.run(1);
    assert!(site.applies().0);
}

#[derive(Clone, Debug)]
enum Step {
    /// The clock is set to a minute of a year, in this zone.
    Set(u32, i32),
    /// These uplinks answer.
    Alive([bool; 3]),
    Pass(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let minute = prop_oneof![4 => 1_000_000..1_500_000_u32, 1 => 0..10_000_u32];
    let set = (minute, -14..=14_i32).prop_map(|(minute, zone)| Step::Set(minute, zone * HOUR));
    let alive = prop::array::uniform3(any::<bool>()).prop_map(Step::Alive);
    let pass = (1..90_u32).prop_map(Step::Pass);
    prop::collection::vec(prop_oneof![1 => set, 3 => alive, 3 => pass], 1..25)
}

fn some_hours() -> impl Strategy<Value = WeeklyHours> {
    let span = (0..7_usize, 0..7_usize, 0..24_u32, 1..24_u32);
    let span = span.prop_map(|(first, last, from, lasts)| {
        let to = (from + lasts) % 24;
        format!(
            "{}-{} {from:02}:00-{to:02}:30",
            WEEKDAYS[first], WEEKDAYS[last]
        )
    });
    prop::collection::vec(span, 1..4).prop_map(|spans| hours(&spans.join(" ")))
}

/// 2026-01-01, or 1970 for small ones.
fn minute_at(minute: u32) -> SystemTime {
    let base = if minute < 10_000 {
        0
    } else {
        1_767_225_600 - 60 * 1_000_000
    };
    SystemTime::UNIX_EPOCH + Duration::from_secs(base + u64::from(minute) * 60)
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn no_hours_keep_the_traffic_on_a_dead_uplink_while_another_works(
        failback in some_hours(),
        rule in some_hours(),
        steps in steps(),
    ) {
        let mut settings = hosts("mon");
        settings.uplinks = crate::support::settings(&["fiber", "lte", "dsl"]).uplinks;
        settings.groups[0].uplinks = vec![name("lte"), name("dsl")];
        settings.rules[0].when = rule.clone();
        settings.failback_window = failback;
        let mut site = Site::new(settings, "2026-11-28T12:00:00Z", 0);
        site.run(3);
        for step in steps {
            match step {
                Step::Set(minute, offset) => {
                    (site.utc, site.offset) = (minute_at(minute), offset);
                    site.tell();
                }
                Step::Alive(alive) => {
                    let uplinks = ["fiber", "lte", "dsl"].into_iter().zip(alive);
                    let dead = uplinks.filter(|(_, alive)| !alive).map(|(name, _)| name);
                    site.dead(&dead.collect::<Vec<_>>());
                    site.run(2);
                }
                Step::Pass(minutes) => drop(site.run(minutes)),
            }
            let works = |uplink: &str| state(&site.replay, uplink) == State::Up;
            let carriers = site.replay.engine().carriers();
            let is_well = carriers.iter().any(|uplink| works(uplink.as_str()));
            let could_be = ["fiber", "lte", "dsl"].into_iter().any(works);
            prop_assert!(is_well || !could_be, "{carriers:?} at {}", Timestamp(site.utc));
        }
    }

    #[test]
    fn whether_a_rule_applies_depends_on_the_local_time_alone(
        hours in some_hours(),
        times in prop::collection::vec((1_000_000..1_500_000_u32, -14..=14_i32), 1..20),
    ) {
        let mut settings = hosts("mon");
        settings.rules[0].when = hours.clone();
        let mut site = Site::new(settings.clone(), "2026-11-28T12:00:00Z", 0);
        for (minute, zone) in times {
            let time = ZonedTime { utc: Timestamp(minute_at(minute)), offset: zone * HOUR };
            site.replay.input(Input::Time(time));
            let mut fresh = Engine::new(settings.clone(), Moment::START);
            fresh.handle_input(Moment::START, Input::Time(time));
            let wall = Wall::reading(SystemTime::UNIX_EPOCH, Moment::START);
            let fresh = fresh.status(wall).rules.remove(0);
            prop_assert_eq!(fresh.applies, hours.contain(time.local().expect("a minute")));
            prop_assert_eq!(site.rule(), fresh);
        }
    }
}

/// Also in the first routes that an agent writes.
#[test]
fn an_engine_that_is_told_the_time_at_its_start_writes_the_rules_of_the_hour_first() {
    let mut engine = Engine::new(hosts("08:00-18:00"), Moment::START);
    let uplink = name("fiber");
    let attachment = attached(1);
    engine.handle_input(Moment::START, Input::Attachment { uplink, attachment });
    let utc = Timestamp(utc_of("2026-11-28T12:00:00Z"));
    engine.handle_input(at(0.0), Input::Time(ZonedTime { utc, offset: 0 }));
    let mut actions = std::iter::from_fn(|| engine.poll_action());
    let first = actions.find_map(|action| {
        let Action::Route(desired) = action else {
            return None;
        };
        Some(desired)
    });
    assert_eq!(group_rules(&first.expect("routes")).len(), 1);
}
