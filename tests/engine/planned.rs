//! Planned switches, which hooks are told of before they take place.

use std::time::{Duration, SystemTime};

use crate::lossy::{Lossy, lossy};
use crate::support::{at, line, name, settings};
use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::command::{Command, DrillSpan};
use uplinkd::engine::input::Input;
use uplinkd::engine::settings::Settings;
use uplinkd::replay::Replay;
use uplinkd::units::{Timestamp, WeeklyHours, WeeklySpan, ZonedTime};

type Loss = fn(&ProbeOrder, f64) -> f64;

/// Fiber is dead for ten seconds.
fn with_outage(order: &ProbeOrder, now: f64) -> f64 {
    f64::from(u8::from(
        order.uplink.as_str() == "fiber" && (200.0..210.0).contains(&now),
    ))
}

fn site(settings: Settings) -> Replay<Lossy<Loss>> {
    let mut site = lossy(settings, 1, with_outage as Loss);
    site.run_until(at(150.0));
    site
}

/// The planned switch that a command would bring about now.
fn by(site: &Replay<Lossy<Loss>>, command: &Command) -> Option<String> {
    let planned = site.engine().planned_by(command, site.now())?;
    Some(format!("{}: {}", line(&planned), planned.reason))
}

fn drill(uplink: &str) -> Command {
    Command::Drill {
        uplink: name(uplink),
        lasts: DrillSpan::default(),
    }
}

fn time(utc: &str) -> ZonedTime {
    let utc = Timestamp(humantime::parse_rfc3339(utc).expect("a time"));
    ZonedTime { utc, offset: 0 }
}

fn hours(text: &str) -> WeeklyHours {
    WeeklyHours::of(WeeklySpan::all_in(text).expect("hours"))
}

#[test]
fn a_command_that_moves_healthy_traffic_is_a_planned_switch_and_one_that_does_not_is_none() {
    let mut settings = settings(&["fiber", "lte"]);
    settings.drill.after_start = Duration::ZERO;
    let mut site = site(settings);
    let to_lte = |command: &str| Some(format!("switch.planned fiber -> lte: `{command}`"));
    assert_eq!(
        by(&site, &Command::switch(name("lte"))),
        to_lte("switch lte")
    );
    assert_eq!(
        by(&site, &Command::pin(name("lte"))),
        to_lte("switch lte --pin")
    );
    assert_eq!(
        by(&site, &Command::disable(name("fiber"))),
        to_lte("disable fiber")
    );
    assert_eq!(by(&site, &drill("fiber")), to_lte("drill fiber --for 30s"));
    for command in [
        Command::switch(name("fiber")),
        Command::Auto,
        Command::disable(name("lte")),
        Command::enable(name("lte")),
        // Refused: the path of a standby carries nothing that could fail.
        drill("lte"),
        Command::switch(name("dsl")),
    ] {
        assert_eq!(by(&site, &command), None, "{command}");
    }
    site.input(Input::Command(Command::switch(name("lte")).into()));
    let back = Some("switch.planned lte -> fiber: `auto`".to_owned());
    assert_eq!(by(&site, &Command::Auto), back);
}

#[test]
fn traffic_that_is_not_well_where_it_is_waits_for_nothing() {
    let mut site = site(settings(&["fiber", "lte"]));
    let switch = Command::switch(name("lte"));
    assert!(by(&site, &switch).is_some());
    // Its first probe is missed, and no verdict is there yet.
    while !site
        .engine()
        .status(uplinkd::units::Wall::reading(
            SystemTime::UNIX_EPOCH,
            site.now(),
        ))
        .uplinks[0]
        .in_doubt
    {
        let next = site.now() + Duration::from_millis(100);
        site.run_until(next);
        assert!(site.now() < at(203.0), "it is in doubt");
    }
    assert_eq!(by(&site, &switch), None);
}

#[test]
fn the_opening_of_hours_and_a_drill_by_schedule_are_planned_and_looking_ahead_changes_nothing() {
    let mut settings = settings(&["fiber", "lte"]);
    settings.failback_window = hours("02:00-05:00");
    settings.drill.schedule = Some("04:00".parse().expect("a time"));
    let mut site = site(settings);
    site.input(Input::Time(time("2026-11-28T01:58:00Z")));
    site.run_until(at(400.0));
    site.input(Input::Time(time("2026-11-28T01:59:00Z")));
    site.run_until(at(460.0));
    let planned = |site: &Replay<Lossy<Loss>>, utc: &str| {
        let planned = site.engine().planned_at(time(utc), site.now())?;
        Some(format!("{}: {}", line(&planned), planned.reason))
    };
    let back = Some("switch.planned lte -> fiber: `failback_window`".to_owned());
    assert_eq!(planned(&site, "2026-11-28T01:59:30Z"), None);
    for _ in 0..2 {
        assert_eq!(planned(&site, "2026-11-28T02:00:00Z"), back);
    }
    let events = site.input(Input::Time(time("2026-11-28T02:00:00Z")));
    assert_eq!(
        line(events.last().expect("a switch")),
        "switch lte -> fiber"
    );
    assert_eq!(planned(&site, "2026-11-28T02:01:00Z"), None);
    site.input(Input::Time(time("2026-11-28T03:59:00Z")));
    site.run_until(at(520.0));
    site.input(Input::Time(time("2026-11-28T03:59:30Z")));
    let drill = Some("switch.planned fiber -> lte: `drill.schedule`".to_owned());
    assert_eq!(planned(&site, "2026-11-28T04:00:00Z"), drill);
    site.input(Input::Time(time("2026-11-28T04:00:00Z")));
    assert!(site.engine().drills().running().is_some());
}
