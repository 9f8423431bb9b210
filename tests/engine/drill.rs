//! Drills, in virtual time: a failure that is made on purpose, and what it leaves behind.

use std::time::{Duration, SystemTime};

use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::command::Command;
use uplinkd::engine::event::cause::SwitchCause;
use uplinkd::engine::event::drill::DrillResult;
use uplinkd::engine::event::{Change, Event};
use uplinkd::engine::input::{DrillNews, EarlierDrill, EarlierRun, Input, StreamMeasure};
use uplinkd::engine::settings::{AllowanceAction, AllowanceSettings, Failback, Settings};
use uplinkd::engine::state::State;
use uplinkd::replay::{Replay, World, attached};
use uplinkd::units::{BillingDay, Bytes, Moment, Timestamp, Wall, ZonedTime};

use crate::lossy::{shown, state};
use crate::support::{at, brief, name, settings, when};

/// Uplinks that answer in ten milliseconds, but for these.
#[derive(Default)]
struct DrillWorld {
    dead: Vec<&'static str>,
}

impl World for DrillWorld {
    fn answer(&mut self, order: &ProbeOrder, _: Moment) -> Option<Duration> {
        let is_dead = self.dead.contains(&order.uplink.as_str());
        (!is_dead).then_some(Duration::from_millis(10))
    }
}

fn command(lasts: &str) -> Command {
    Command::Drill {
        uplink: name("fiber"),
        lasts: lasts.parse().expect("a span"),
    }
}

/// Ten minutes old.
fn site(settings: Settings) -> Replay<DrillWorld> {
    let mut replay = Replay::new(settings, DrillWorld::default());
    replay.run_until(at(600.0));
    replay
}

fn two() -> Settings {
    settings(&["fiber", "lte"])
}

/// The path is cut at 601 s.
fn cut(replay: &mut Replay<DrillWorld>, lasts: &str) -> Vec<Event> {
    cut_at(replay, 601.0, lasts)
}

fn cut_at(replay: &mut Replay<DrillWorld>, seconds: f64, lasts: &str) -> Vec<Event> {
    let mut events = replay.input(Input::Command(command(lasts).into()));
    events.extend(replay.run_until(at(seconds)));
    replay.world().dead.push("fiber");
    events.extend(replay.input(Input::Drill(DrillNews::Cut)));
    events
}

/// The path is whole again, after a recovery of so long.
fn mend(replay: &mut Replay<DrillWorld>, recovery_ms: Option<u32>) -> Vec<Event> {
    mend_after(replay, recovery_ms, recovery_ms)
}

/// The same, where new and established connections recover one after the other.
fn mend_after(
    replay: &mut Replay<DrillWorld>,
    recovery_ms: Option<u32>,
    established_ms: Option<u32>,
) -> Vec<Event> {
    replay.world().dead.retain(|uplink| *uplink != "fiber");
    let measured = StreamMeasure {
        recovery_ms,
        established_ms,
        sent: 300,
        lost: 90,
    };
    replay.input(Input::Drill(DrillNews::Whole(measured)))
}

#[test]
fn samples_take_of_a_drill_what_the_status_shows() {
    let mut replay = site(two());
    let figures = |replay: &Replay<DrillWorld>| {
        let wall = Wall::reading(SystemTime::UNIX_EPOCH, replay.now());
        let figures = replay.engine().figures();
        assert_eq!(figures, replay.engine().status(wall).figures());
        figures
            .into_iter()
            .map(|one| (one.in_drill, one.is_carrying))
    };
    assert!(figures(&replay).eq([(false, true), (false, false)]));
    cut(&mut replay, "5s");
    replay.run_until(at(604.0));
    assert!(figures(&replay).eq([(true, false), (false, true)]));
    mend(&mut replay, Some(400));
    replay.run_until(at(620.0));
    assert!(figures(&replay).eq([(false, true), (false, false)]));
}

fn result(events: &[Event]) -> Option<(DrillResult, &str)> {
    events.iter().find_map(|event| {
        let Change::Drill(drill) = &event.change else {
            return None;
        };
        Some((drill.findings.result, &*event.reason))
    })
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

fn refusal(replay: &Replay<DrillWorld>) -> Option<String> {
    let refusal = replay.engine().check_at(&command("30s"), replay.now());
    refusal.err().map(|why| why.to_string())
}

#[test]
fn a_drill_moves_the_traffic_like_an_outage_and_back_at_once_and_is_announced_as_neither() {
    let mut replay = site(two());
    let mut events = cut(&mut replay, "30s");
    events.extend(replay.run_until(at(631.5)));
    assert_eq!(brief(&events), ["switch fiber -> lte"]);
    assert_eq!(state(&replay, "fiber"), State::Down);
    assert!(shown(&replay, "fiber").in_drill);
    assert!(!shown(&replay, "lte").in_drill);
    let reason = shown(&replay, "fiber").reason;
    assert!(reason.starts_with("in a drill: "), "{reason}");
    let back = [mend(&mut replay, Some(900)), replay.run_until(at(640.0))].concat();
    assert_eq!(brief(&back)[0], "switch lte -> fiber");
    assert_eq!(back.len(), 2, "{:?}", brief(&back));
    assert!(when(&back, "switch lte -> fiber") < Some(633.0));
    // It was cut for half a minute of the time since it was last down.
    assert_eq!(back[0].reason, "drill: over, fiber answers again");
    assert!(!shown(&replay, "fiber").in_drill);
    events.extend(back);
    assert_eq!(causes(&events), [SwitchCause::Drill; 2]);
    let (result, reason) = result(&events).expect("a result");
    assert_eq!(result, DrillResult::Passed, "{reason}");
}

#[test]
fn a_drill_teaches_nothing() {
    let mut drilled = site(two());
    for _ in 0..3 {
        let began = drilled.now();
        drilled.input(Input::Command(command("20s").into()));
        drilled.world().dead.push("fiber");
        let before = drilled.engine().learnt();
        drilled.input(Input::Drill(DrillNews::Cut));
        drilled.run_until(began + Duration::from_secs(21));
        assert_eq!(state(&drilled, "fiber"), State::Down);
        mend(&mut drilled, Some(900));
        while state(&drilled, "fiber") != State::Up {
            let soon = drilled.now() + Duration::from_millis(1);
            drilled.run_until(soon);
            assert!(
                soon.since(began) < Duration::from_secs(25),
                "it does not return"
            );
        }
        let fiber = name("fiber");
        assert_eq!(drilled.engine().learnt()[&fiber], before[&fiber]);
        drilled.run_until(began + Duration::from_secs(60));
    }
    let end = drilled.now();
    // No penalty: one outage that is none of ours is followed by a failback after the usual time.
    drilled.world().dead.push("fiber");
    let mut events = drilled.run_until(end + Duration::from_secs(20));
    drilled.world().dead.clear();
    events.extend(drilled.run_until(end + Duration::from_secs(120)));
    assert!(
        when(&events, "flap.penalty fiber").is_none(),
        "{:?}",
        brief(&events)
    );
    assert!(when(&events, "switch lte -> fiber").is_some());
}

#[test]
fn traffic_that_a_drill_has_moved_goes_back_even_where_only_an_operator_fails_back() {
    let mut settings = two();
    settings.failover.failback = Failback::Manual;
    let mut replay = site(settings);
    cut(&mut replay, "10s");
    replay.run_until(at(612.0));
    let back = [mend(&mut replay, Some(900)), replay.run_until(at(620.0))].concat();
    assert!(
        when(&back, "switch lte -> fiber").is_some(),
        "{:?}",
        brief(&back)
    );
}

#[test]
fn a_recovery_that_is_late_or_does_not_come_fails() {
    for recovery in [Some(2_001), None] {
        let mut replay = site(two());
        cut(&mut replay, "10s");
        replay.run_until(at(612.0));
        let events = [mend(&mut replay, recovery), replay.run_until(at(620.0))].concat();
        let result = result(&events).map(|(result, _)| result);
        assert_eq!(result, Some(DrillResult::Failed), "{recovery:?}");
    }
}

#[test]
fn a_drill_passes_only_if_established_connections_recover_in_time_as_well() {
    let came_to = |stream, established| {
        let mut replay = site(two());
        cut(&mut replay, "12s");
        replay.run_until(at(614.0));
        let mut events = mend_after(&mut replay, Some(stream), established);
        events.extend(replay.run_until(at(620.0)));
        let (result, reason) = result(&events).expect("a result");
        (result, reason.to_owned())
    };
    let packets = "`drill.rto` is 2000 ms; 90 of 300 packets lost";
    let (result, reason) = came_to(1_639, Some(4_667));
    assert_eq!(result, DrillResult::Failed);
    let words = "failed: traffic recovered in 4667 ms, that of new connections in 1639 ms";
    assert_eq!(reason, format!("{words}, {packets}"));
    let (result, reason) = came_to(330, Some(310));
    assert_eq!(result, DrillResult::Passed);
    let words = "passed: traffic recovered in 330 ms, that of established connections in 310 ms";
    assert_eq!(reason, format!("{words}, {packets}"));
    let (result, reason) = came_to(1_639, None);
    assert_eq!(result, DrillResult::Failed);
    let words =
        "established connections stayed in the 12 s of the failure; new ones recovered in 1639 ms";
    assert!(reason.contains(words), "{reason}");
}

#[test]
fn a_drill_ends_at_once_when_the_standby_fails() {
    let mut replay = site(two());
    cut(&mut replay, "5m");
    replay.run_until(at(620.0));
    replay.world().dead.push("lte");
    replay.run_until(at(625.0));
    // The order to mend is out: had it not been, this report would mean nothing.
    let events = [mend(&mut replay, Some(900)), replay.run_until(at(640.0))].concat();
    let (result, reason) = result(&events).expect("a result");
    assert_eq!(result, DrillResult::Aborted);
    assert!(
        reason.contains("no other uplink is usable: lte"),
        "{reason}"
    );
    // A real fault: no planned switch, though the traffic goes where the drill would have led it.
    assert_eq!(causes(&events), [SwitchCause::Down]);
    assert_eq!(replay.engine().carrier(), Some(&name("fiber")));
}

#[test]
fn an_uplink_that_does_not_answer_after_a_drill_has_an_outage_of_its_own() {
    let mut replay = site(two());
    cut(&mut replay, "10s");
    let mut events = replay.run_until(at(611.5));
    mend(&mut replay, Some(900));
    replay.world().dead.push("fiber");
    events.extend(replay.run_until(at(640.0)));
    assert!(
        when(&events, "uplink.down fiber").is_some(),
        "{:?}",
        brief(&events)
    );
    assert_eq!(replay.engine().carrier(), Some(&name("lte")));
    assert!(result(&events).is_some());
}

#[test]
fn an_outage_after_a_drill_begins_in_the_status_when_it_begins_in_the_history() {
    let mut replay = site(two());
    cut(&mut replay, "10s");
    let mut events = replay.run_until(at(611.5));
    mend(&mut replay, Some(900));
    replay.world().dead.push("fiber");
    events.extend(replay.run_until(at(640.0)));
    let down = when(&events, "uplink.down fiber").expect("an outage");
    let began = Timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(down));
    let fiber = |replay: &Replay<DrillWorld>| {
        let now = replay.now();
        let wall = Wall::reading(SystemTime::UNIX_EPOCH + now.since_start(), now);
        replay.engine().status(wall).uplinks.remove(0)
    };
    assert_eq!(fiber(&replay).since, began);
    replay.world().dead.clear();
    replay.run_until(at(660.0));
    let outage = fiber(&replay).last_outage.expect("it is over");
    assert_eq!(outage.began, began);
}

#[test]
fn what_does_not_concern_a_drill_does_not_end_it() {
    let mut settings = two();
    settings.uplinks[1].allowance = Some(Box::new(AllowanceSettings {
        limit: Bytes(100_000_000_000),
        day: BillingDay(1),
        action: AllowanceAction::Warn,
    }));
    let mut replay = site(settings);
    cut(&mut replay, "30s");
    replay.run_until(at(620.0));
    let used = "1GB".parse().expect("an amount");
    let mut events = Vec::new();
    for command in [
        Command::Forget {
            uplink: name("lte"),
        },
        Command::Allowance {
            uplink: name("lte"),
            used,
        },
    ] {
        events.extend(replay.input(Input::Command(command.into())));
    }
    assert!(shown(&replay, "fiber").in_drill);
    events.extend(replay.run_until(at(631.5)));
    events.extend(mend(&mut replay, Some(900)));
    events.extend(replay.run_until(at(640.0)));
    let result = result(&events).map(|(result, _)| result);
    assert_eq!(result, Some(DrillResult::Passed), "{:?}", brief(&events));
}

#[test]
fn another_command_or_a_reload_ends_a_drill_at_once() {
    let inputs = [
        Input::Command(Command::switch(name("lte")).into()),
        Input::Command(
            Command::Forget {
                uplink: name("fiber"),
            }
            .into(),
        ),
        Input::Settings(Box::new(two())),
    ];
    for input in inputs {
        let mut replay = site(two());
        cut(&mut replay, "5m");
        replay.run_until(at(620.0));
        let mut events = replay.input(input);
        assert_eq!(state(&replay, "fiber"), State::Up, "it is what it was");
        events.extend(mend(&mut replay, Some(900)));
        events.extend(replay.run_until(at(640.0)));
        let result = result(&events).map(|(result, _)| result);
        assert_eq!(result, Some(DrillResult::Aborted));
    }
}

#[test]
fn a_path_that_cannot_be_cut_leaves_everything_as_it_is() {
    let mut replay = site(two());
    replay.input(Input::Command(command("30s").into()));
    let why = "no target answers pings".to_owned();
    let mut events = replay.input(Input::Drill(DrillNews::Abort(why)));
    let nothing = DrillNews::Whole(StreamMeasure::default());
    events.extend(replay.input(Input::Drill(nothing)));
    assert_eq!(brief(&events), ["drill fiber"]);
    assert_eq!(replay.engine().carrier(), Some(&name("fiber")));
    assert_eq!(refusal(&replay), None, "another one may begin");
}

#[test]
fn a_drill_is_refused_where_it_would_be_an_outage_or_prove_nothing() {
    let says = |replay: &Replay<DrillWorld>, words: &str| {
        let why = refusal(replay).expect("a refusal");
        assert!(why.contains(words), "{why}");
    };
    let mut young = Replay::new(two(), DrillWorld::default());
    young.run_until(at(60.0));
    says(&young, "the agent has only just started; in 60 s");
    let mut replay = site(two());
    assert_eq!(refusal(&replay), None);
    replay.world().dead.push("lte");
    replay.run_until(at(620.0));
    says(&replay, "no other uplink is usable: lte down: ");
    replay.world().dead.clear();
    replay.run_until(at(700.0));
    replay.input(Input::Command(Command::switch(name("lte")).into()));
    says(&replay, "switched by hand: `auto` first");
    replay.input(Input::Command(Command::Auto.into()));
    replay.run_until(at(710.0));
    assert_eq!(refusal(&replay), None);
    replay.input(Input::Command(command("30s").into()));
    says(&replay, "a drill of fiber is going on");
    let mut alone = site(settings(&["fiber"]));
    says(&alone, "no other uplink is usable");
    alone.world().dead.push("fiber");
    alone.run_until(at(620.0));
    says(&alone, "it does not work as it is (down: ");
    let mut behind = two();
    (behind.uplinks[0].tier, behind.uplinks[1].tier) =
        (behind.uplinks[1].tier, behind.uplinks[0].tier);
    says(&site(behind), "the traffic goes by lte");
    let mut beside = two();
    beside.uplinks[1].interface = beside.uplinks[0].interface.clone();
    says(&site(beside), "lte goes by eth1 as well");
}

#[test]
fn a_link_that_changes_in_a_drill_ends_it() {
    let mut replay = site(two());
    cut(&mut replay, "5m");
    replay.run_until(at(620.0));
    let (uplink, attachment) = (name("fiber"), attached(7));
    let mut events = replay.input(Input::Attachment { uplink, attachment });
    events.extend(mend(&mut replay, Some(900)));
    events.extend(replay.run_until(at(640.0)));
    let (result, reason) = result(&events).expect("a result");
    assert_eq!(
        (result, reason),
        (DrillResult::Aborted, "aborted: its link has changed")
    );
}

/// What the local clock shows from a moment on, each minute; `offset` ahead of UTC.
struct LocalClock {
    shown: SystemTime,
    offset: i32,
}

impl LocalClock {
    fn at(utc: &str, offset: i32) -> Self {
        let shown = humantime::parse_rfc3339(utc).expect("a time");
        Self { shown, offset }
    }

    /// Tells the engine the time for so many minutes; the moments at which the path was to be cut, and the reasons
    /// for which it was not.
    fn run(&mut self, replay: &mut Replay<DrillWorld>, minutes: u32) -> Vec<String> {
        let mut seen = Vec::new();
        for _ in 0..minutes {
            let (utc, offset) = (Timestamp(self.shown), self.offset);
            let is_running =
                |replay: &Replay<DrillWorld>| replay.engine().drills().running().is_some();
            let before = is_running(replay);
            let events = replay.input(Input::Time(ZonedTime { utc, offset }));
            seen.extend(result(&events).map(|(_, reason)| reason.to_owned()));
            if !before && is_running(replay) {
                seen.push(format!("begins at {utc}"));
            }
            // One that begins is given up after a quarter of a minute: here is no path to cut.
            self.shown += Duration::from_secs(60);
            let next = replay.now() + Duration::from_secs(60);
            replay.run_until(next);
        }
        seen
    }
}

fn scheduled(schedule: &str) -> Settings {
    let mut settings = two();
    settings.drill.schedule = Some(schedule.parse().expect("a schedule"));
    settings
}

const SUMMER: i32 = 7_200;
const WINTER: i32 = 3_600;

#[test]
fn a_drill_by_schedule_begins_in_its_minute_and_on_the_next_of_its_days_again() {
    let mut replay = site(scheduled("sat-sun 03:30"));
    let mut clock = LocalClock::at("2026-11-28T02:00:00Z", WINTER);
    let begun = clock.run(&mut replay, 25 * 60);
    assert_eq!(
        begun,
        [
            "begins at 2026-11-28T02:30:00Z",
            "begins at 2026-11-29T02:30:00Z"
        ]
    );
    let settings = scheduled("sat-sun 03:30").drill;
    let next = replay.engine().drills().next(settings);
    let next = next.expect("the next one").at_offset(WINTER);
    assert_eq!(next.to_string(), "2026-12-05T02:30:00Z");
}

#[test]
fn a_time_that_does_not_exist_is_the_next_minute_and_one_that_comes_twice_counts_once() {
    // On 2026-03-29 at 02:00 the clock goes to 03:00, on 2026-10-25 at 03:00 to 02:00.
    for (from, zones, begins) in [
        (
            "2026-03-28T23:00:00Z",
            [WINTER, SUMMER],
            "2026-03-29T01:00:00Z",
        ),
        (
            "2026-10-24T23:00:00Z",
            [SUMMER, WINTER],
            "2026-10-25T00:30:00Z",
        ),
    ] {
        let mut replay = site(scheduled("sun 02:30"));
        let mut clock = LocalClock::at(from, zones[0]);
        let mut begun = clock.run(&mut replay, 120);
        clock.offset = zones[1];
        begun.extend(clock.run(&mut replay, 180));
        assert_eq!(begun, [format!("begins at {begins}")]);
    }
}

#[test]
fn a_clock_that_is_not_set_or_set_anew_makes_no_drill_due() {
    let mut replay = site(scheduled("03:30"));
    let mut clock = LocalClock::at("1970-01-01T03:00:00Z", 0);
    assert_eq!(clock.run(&mut replay, 60), [""; 0]);
    let next = replay.engine().drills().next(scheduled("03:30").drill);
    assert_eq!(next, None);
    // Set after the boot, over the time; and by an operator into another zone, and back a day.
    clock = LocalClock::at("2026-11-28T03:29:00Z", 0);
    clock.run(&mut replay, 1);
    clock = LocalClock::at("2026-11-28T04:29:00Z", 0);
    assert_eq!(clock.run(&mut replay, 60), [""; 0]);
    clock.offset = -6 * 3_600;
    assert_eq!(clock.run(&mut replay, 60), [""; 0], "23:29 to 00:29 there");
    clock.offset = -2 * 3_600;
    assert_eq!(clock.run(&mut replay, 60), [""; 0], "it goes over 03:30");
    clock = LocalClock::at("2026-11-29T03:00:00Z", 0);
    assert_eq!(
        clock.run(&mut replay, 60),
        ["begins at 2026-11-29T03:30:00Z"]
    );
    clock = LocalClock::at("2026-11-29T03:00:00Z", 0);
    assert_eq!(
        clock.run(&mut replay, 60),
        [""; 0],
        "it was due an hour ago"
    );
}

#[test]
fn a_drill_by_schedule_that_cannot_begin_is_skipped_and_says_why() {
    let mut young = Replay::new(scheduled("03:30"), DrillWorld::default());
    let mut clock = LocalClock::at("2026-11-28T03:29:30Z", 0);
    let skipped = clock.run(&mut young, 2);
    let why = "skipped: the agent has only just started; in 60 s";
    assert_eq!(skipped, [why]);
    let mut alone = site(scheduled("03:30"));
    alone.world().dead.push("lte");
    alone.run_until(at(660.0));
    clock = LocalClock::at("2026-11-28T03:29:30Z", 0);
    let skipped = clock.run(&mut alone, 2);
    assert_eq!(skipped.len(), 1, "{skipped:?}");
    assert!(skipped[0].starts_with("skipped: no other uplink is usable: lte down: "));
}

#[test]
fn what_a_drill_sends_by_a_metered_standby_is_of_its_budget_and_one_by_schedule_needs_it_to_spare()
{
    let mut settings = scheduled("03:30");
    settings.uplinks[1].probe_budget = Some(Bytes(50_000_000));
    let mut replay = site(settings.clone());
    let mut clock = LocalClock::at("2026-11-28T03:29:30Z", 0);
    let skipped = clock.run(&mut replay, 2);
    assert_eq!(skipped.len(), 1, "{skipped:?}");
    assert!(skipped[0].contains("`probe_budget` of lte"), "{skipped:?}");
    let spent = |replay: &Replay<DrillWorld>| {
        let wall = Wall::reading(SystemTime::UNIX_EPOCH, Moment::START);
        let status = replay.engine().status(wall);
        let budget = status.uplinks[1].probe_budget.as_ref();
        budget.expect("a budget").spent_bytes.0
    };
    cut_at(&mut replay, 721.0, "10s");
    replay.run_until(at(732.0));
    let before = spent(&replay);
    mend(&mut replay, Some(900));
    assert_eq!(spent(&replay) - before, 300 * 172);
    // Weeks later there is enough.
    let earlier = EarlierRun {
        unspent: [(name("lte"), Bytes(5_000_000))].into_iter().collect(),
        ..EarlierRun::default()
    };
    let mut rich = Replay::new(settings, DrillWorld::default());
    rich.input(Input::Resume(Box::new(earlier)));
    rich.run_until(at(600.0));
    clock = LocalClock::at("2026-11-28T03:29:30Z", 0);
    assert_eq!(clock.run(&mut rich, 2), ["begins at 2026-11-28T03:30:30Z"]);
}

#[test]
fn an_uplink_that_is_disabled_in_its_drill_is_announced_as_that_once_and_as_nothing_else() {
    let mut replay = site(two());
    cut(&mut replay, "5m");
    replay.run_until(at(620.0));
    let disable = Command::Disable {
        uplink: name("fiber"),
        drain: None,
        force: false,
    };
    let mut events = replay.input(Input::Command(disable.into()));
    events.extend(mend(&mut replay, Some(900)));
    events.extend(replay.run_until(at(660.0)));
    assert_eq!(
        brief(&events),
        ["uplink.disabled fiber", "drill fiberfiber -> lte"]
    );
}

#[test]
fn a_schedule_that_is_set_after_its_time_waits_for_the_next_one() {
    let mut replay = site(scheduled("03:30"));
    let mut clock = LocalClock::at("2026-11-28T03:00:00Z", 0);
    clock.run(&mut replay, 1);
    // It is taken away, so that the agent tells no time, and comes back.
    let hour = Duration::from_secs(3_600);
    clock.shown += hour;
    let later = replay.now() + hour;
    replay.run_until(later);
    assert_eq!(clock.run(&mut replay, 60), [""; 0]);
}

#[test]
fn a_drill_in_which_the_agent_was_killed_has_its_end_and_its_switch_back_after_the_next_start() {
    let after_start = |carried_by: &[&str], is_announced| {
        let drill = EarlierDrill {
            uplink: name("fiber"),
            carried_by: carried_by.iter().map(|uplink| name(uplink)).collect(),
            is_announced,
        };
        let earlier = EarlierRun {
            carrying: Some(name("fiber")),
            drill: Some(drill),
            ..EarlierRun::default()
        };
        let mut replay = Replay::new(two(), DrillWorld::default());
        let mut events = replay.input(Input::Resume(Box::new(earlier)));
        events.extend(replay.run_until(at(60.0)));
        assert_eq!(replay.engine().carrier(), Some(&name("fiber")));
        events.retain(|event| !brief(std::slice::from_ref(event))[0].starts_with("uplink."));
        events
    };
    let killed = after_start(&["lte"], false);
    let (back, drill) = ("switch lte -> fiber", "drill fiberfiber -> lte");
    assert_eq!(brief(&killed), [back, drill]);
    assert_eq!(causes(&killed), [SwitchCause::Drill]);
    let aborted = (DrillResult::Aborted, "aborted: the agent was killed");
    assert_eq!(result(&killed), Some(aborted));
    let rebooted = after_start(&[], false);
    assert_eq!(
        brief(&rebooted),
        ["drill fiber"],
        "nothing is led elsewhere"
    );
    let stopped = after_start(&["lte"], true);
    assert_eq!(brief(&stopped), [back], "its end was announced");
}
