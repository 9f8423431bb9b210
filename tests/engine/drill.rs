//! Drills, in virtual time: a failure that is made on purpose, and what it leaves behind.

use std::time::Duration;

use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::command::Command;
use uplinkd::engine::event::cause::SwitchCause;
use uplinkd::engine::event::drill::DrillResult;
use uplinkd::engine::event::{Change, Event};
use uplinkd::engine::input::{DrillNews, Input, StreamMeasure};
use uplinkd::engine::settings::{Failback, Settings};
use uplinkd::engine::state::State;
use uplinkd::replay::{Replay, World, attached};
use uplinkd::units::Moment;

use crate::lossy::state;
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
    let mut events = replay.input(Input::Command(command(lasts).into()));
    events.extend(replay.run_until(at(601.0)));
    replay.world().dead.push("fiber");
    events.extend(replay.input(Input::Drill(DrillNews::Cut)));
    events
}

/// The path is whole again, after a recovery of so long.
fn mend(replay: &mut Replay<DrillWorld>, recovery_ms: Option<u32>) -> Vec<Event> {
    replay.world().dead.retain(|uplink| *uplink != "fiber");
    let measured = StreamMeasure {
        recovery_ms,
        sent: 300,
        lost: 90,
    };
    replay.input(Input::Drill(DrillNews::Whole(measured)))
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
    let back = [mend(&mut replay, Some(900)), replay.run_until(at(640.0))].concat();
    assert_eq!(brief(&back)[0], "switch lte -> fiber");
    assert_eq!(back.len(), 2, "{:?}", brief(&back));
    assert!(when(&back, "switch lte -> fiber") < Some(633.0));
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
fn another_command_or_a_reload_ends_a_drill_at_once() {
    let inputs = [
        Input::Command(Command::switch(name("lte")).into()),
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
