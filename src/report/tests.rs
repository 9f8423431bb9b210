use std::time::SystemTime;

use super::*;
use crate::engine::event::cause::SwitchCause;
use crate::engine::event::drill::DrillResult;
use crate::engine::event::{EventKind, Side};
use crate::engine::state::State;
use crate::units::InterfaceName;
use crate::units::sorted::SortedSet;

const DAY: u32 = 86_400;
/// 2026-11-20, midnight.
const BEGIN: u64 = 1_795_132_800;

fn at(second: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(BEGIN + u64::from(second))
}

fn name(name: &str) -> UplinkName {
    name.parse().expect("a name")
}

fn event(second: u32, kind: EventKind) -> EventRecord {
    EventRecord {
        at: Timestamp(at(second)),
        event: kind,
        group: None,
        family: None,
        uplink: None,
        interface: None,
        network: None,
        from: None,
        to: None,
        reason: String::new(),
        cause: None,
        prefixes: SortedSet::new(),
        took_us: None,
        recovery_ms: None,
        flows_moved: None,
        drill: None,
        broken_at: None,
    }
}

fn turn(second: u32, uplink: &str, state: State) -> EventRecord {
    let kind = match state {
        State::Up => EventKind::UplinkUp,
        State::Degraded => EventKind::UplinkDegraded,
        State::Recovering => EventKind::UplinkRecovering,
        State::Disabled => EventKind::UplinkDisabled,
        State::Down | State::Absent | State::Unknown | State::Cold => EventKind::UplinkDown,
    };
    EventRecord {
        uplink: Some(name(uplink)),
        interface: Some("eth1".parse::<InterfaceName>().expect("a name")),
        from: Some(Side::State(State::Unknown)),
        to: Some(Side::State(state)),
        reason: format!("is {state}"),
        ..event(second, kind)
    }
}

fn switch(second: u32, from: &[&str], to: &[&str]) -> EventRecord {
    let side = |names: &[&str]| Side::Uplinks(names.iter().map(|uplink| name(uplink)).collect());
    EventRecord {
        from: Some(side(from)),
        to: Some(side(to)),
        ..event(second, EventKind::Switch)
    }
}

fn started(second: u32) -> EventRecord {
    event(second, EventKind::AgentStarted)
}

fn stopped(second: u32) -> EventRecord {
    event(second, EventKind::AgentStopped)
}

/// The report of a day, at the end of which the agent runs or not.
fn day(events: &[EventRecord], is_running: bool) -> Report {
    let running = [name("fiber"), name("lte")];
    Report::of(&Subject {
        events,
        period: Period {
            from: at(0),
            to: at(DAY),
        },
        running: is_running.then_some(&running),
        samples: &SampleBook::default(),
        rto: Some(Duration::from_secs(2)),
    })
}

/// So many seconds of the day.
#[track_caller]
fn assert_is_share(percent: f64, seconds: u32) {
    let expected = f64::from(seconds) / f64::from(DAY) * 100.0;
    assert!((percent - expected).abs() < 1e-9, "{percent}");
}

fn of<'a>(report: &'a Report, uplink: &str) -> &'a UplinkReport {
    let mut uplinks = report.uplinks.iter();
    uplinks.find(|one| one.name == name(uplink)).expect("known")
}

/// A day with one outage of fiber, which lte carries through.
fn one_outage() -> Vec<EventRecord> {
    vec![
        started(0),
        turn(0, "fiber", State::Up),
        turn(0, "lte", State::Up),
        switch(0, &[], &["fiber"]),
        turn(40_000, "fiber", State::Down),
        switch(40_000, &["fiber"], &["lte"]),
        turn(40_600, "fiber", State::Recovering),
        turn(40_603, "fiber", State::Up),
        switch(40_663, &["lte"], &["fiber"]),
    ]
}

#[test]
fn an_outage_counts_from_its_verdict_to_the_first_answer_and_names_who_carried() {
    let report = day(&one_outage(), true);
    let fiber = of(&report, "fiber");
    assert_eq!(fiber.availability.outage_s, 600);
    assert_eq!(fiber.availability.available_s, u64::from(DAY - 600));
    let percent = fiber.availability.available_percent.expect("known");
    assert_is_share(percent, DAY - 600);
    assert_eq!(fiber.carried_s, u64::from(DAY - 663));
    assert_eq!(of(&report, "lte").carried_s, 663);
    let [outage] = &report.outages[..] else {
        panic!("{:?}", report.outages);
    };
    assert_eq!(outage.uplink, Some(name("fiber")));
    assert_eq!(outage.begin, Timestamp(at(40_000)));
    assert_eq!(outage.end, Some(Timestamp(at(40_600))));
    assert_eq!(outage.reason, "is down");
    assert_eq!(outage.carried, [name("lte")]);
    assert_eq!(report.switches, 2, "the first choice is no switch");
    assert_eq!(report.whole.outages, 0);
    assert_eq!(report.whole.available_percent, Some(100.0));
    assert_is_share(report.coverage_percent, DAY);
}

#[test]
fn the_whole_is_out_only_while_no_uplink_is_available() {
    let mut events = one_outage();
    events.insert(6, turn(40_100, "lte", State::Absent));
    events.insert(7, turn(40_200, "lte", State::Down));
    events.insert(8, turn(40_400, "lte", State::Up));
    let report = day(&events, true);
    assert_eq!(report.whole.outages, 1);
    assert_eq!(report.whole.outage_s, 300);
    assert_eq!(report.whole.longest_outage_s, 300);
    let lte = of(&report, "lte").availability;
    assert_eq!((lte.outages, lte.outage_s), (1, 300), "absent, then down");
    let whole: Vec<_> = { report.outages.iter() }
        .filter(|outage| outage.uplink.is_none())
        .collect();
    assert_eq!(whole.len(), 1);
    assert_eq!(whole[0].lasts_s, 300);
    assert_eq!(report.outages.len(), 3);
}

#[test]
fn maintenance_and_a_standby_at_rest_are_no_outage() {
    let events = [
        started(0),
        turn(0, "fiber", State::Up),
        turn(0, "lte", State::Cold),
        turn(1_000, "fiber", State::Disabled),
        turn(4_600, "fiber", State::Degraded),
        turn(5_000, "fiber", State::Up),
    ];
    let report = day(&events, true);
    let fiber = of(&report, "fiber");
    assert_eq!(fiber.planned_s, 3_600);
    assert_eq!(fiber.degraded_s, 400);
    assert_eq!(fiber.availability.available_percent, Some(100.0));
    assert_eq!(fiber.availability.available_s, u64::from(DAY - 3_600));
    assert_eq!(of(&report, "lte").availability.available_percent, None);
    assert_eq!(report.whole.outages, 0);
}

#[test]
fn an_outage_that_goes_on_has_no_end_and_counts_so_far() {
    let events = &one_outage()[..6];
    let report = day(events, true);
    let [outage] = &report.outages[..] else {
        panic!("{:?}", report.outages);
    };
    assert_eq!(outage.end, None);
    assert_eq!(outage.lasts_s, u64::from(DAY - 40_000));
}

#[test]
fn after_a_crash_nothing_is_known_until_the_next_start() {
    // The power goes during an outage, and the machine is off for an hour.
    let mut events = one_outage();
    events.truncate(6);
    events.push(started(43_600));
    events.push(turn(43_601, "fiber", State::Up));
    let report = day(&events, true);
    let fiber = of(&report, "fiber").availability;
    assert_eq!(fiber.outage_s, 0, "the outage is the last event before");
    assert_eq!(fiber.available_s, u64::from(40_000 + DAY - 43_601));
    assert_is_share(report.coverage_percent, DAY - 3_600);
    // A clean stop is as good as it gets: what was before it is known.
    events.insert(6, stopped(40_300));
    let fiber = of(&day(&events, true), "fiber").availability;
    assert_eq!((fiber.outages, fiber.outage_s), (1, 300));
    let end = day(&events, true).outages[0].end;
    assert_eq!(end, Some(Timestamp(at(40_300))));
}

#[test]
fn after_a_restart_the_report_knows_who_carries_before_the_next_switch() {
    let mut events = one_outage();
    events.push(stopped(50_000));
    events.push(EventRecord {
        to: Some(Side::Uplinks(vec![name("fiber")])),
        ..started(50_010)
    });
    let report = day(&events, true);
    let carried = u64::from(DAY - 663 - 10);
    assert_eq!(of(&report, "fiber").carried_s, carried);
    assert_eq!(report.switches, 2, "a start is none");
    // It ends with the next one, as does what a switch names.
    events.extend([stopped(60_000), started(60_010)]);
    let carried = 60_000 - 663 - 10;
    assert_eq!(of(&day(&events, true), "fiber").carried_s, carried);
}

#[test]
fn without_a_running_agent_the_last_event_is_the_end_of_what_is_known() {
    let report = day(&one_outage(), false);
    assert_is_share(report.coverage_percent, 40_663);
    assert_eq!(of(&report, "fiber").availability.outage_s, 600);
}

#[test]
fn the_state_at_the_begin_of_the_period_is_that_of_the_events_before_it() {
    let events = one_outage();
    let report = Report::of(&Subject {
        events: &events,
        period: Period {
            from: at(40_300),
            to: at(50_000),
        },
        running: Some(&[name("fiber"), name("lte")]),
        samples: &SampleBook::default(),
        rto: Some(Duration::from_secs(2)),
    });
    assert_eq!(of(&report, "fiber").availability.outage_s, 300);
    assert_eq!(report.outages[0].begin, Timestamp(at(40_000)));
    assert_eq!(report.outages[0].lasts_s, 300);
    assert_eq!(report.switches, 1);
}

#[test]
fn a_clock_that_is_set_late_or_jumps_makes_no_time_up() {
    let decades_ago = |event: EventRecord| EventRecord {
        at: Timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(12)),
        ..event
    };
    // Booted with the clock of 1970, which is set with the first event after 1,000 s.
    let mut events = vec![
        decades_ago(started(0)),
        decades_ago(turn(0, "fiber", State::Up)),
        decades_ago(switch(0, &[], &["fiber"])),
        turn(1_000, "fiber", State::Degraded),
        turn(2_000, "fiber", State::Up),
    ];
    let report = day(&events, true);
    assert_eq!(
        of(&report, "fiber").availability.available_s,
        u64::from(DAY - 1_000)
    );
    assert_eq!(of(&report, "fiber").carried_s, u64::from(DAY - 1_000));
    // Set back by an hour, and to a time that has not come.
    events.push(turn(6_000, "fiber", State::Degraded));
    events.push(turn(2_400, "fiber", State::Up));
    events.push(turn(40 * DAY, "fiber", State::Down));
    events.push(turn(7_000, "fiber", State::Up));
    let report = day(&events, true);
    let fiber = of(&report, "fiber");
    assert_eq!(
        fiber.availability.available_s + fiber.availability.outage_s,
        u64::from(DAY - 1_000)
    );
    assert_eq!(fiber.availability.outage_s, 1_000, "from 6,000 to 7,000");
}

#[test]
fn an_uplink_that_is_no_longer_configured_is_reported_as_long_as_it_is_known() {
    let mut events = one_outage();
    events.insert(3, turn(0, "old", State::Up));
    events.insert(4, turn(100, "old", State::Down));
    let report = day(&events, true);
    let names: Vec<_> = report.uplinks.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["fiber", "lte", "old"]);
    let old = of(&report, "old").availability;
    assert_eq!((old.available_s, old.outages), (100, 0));
}

#[test]
fn the_recovery_time_is_that_of_the_switches_from_what_was_down_by_itself() {
    let mut events = one_outage();
    events.push(EventRecord {
        recovery_ms: Some(60_000),
        cause: Some(SwitchCause::Drill),
        ..switch(49_000, &["fiber"], &["lte"])
    });
    for (second, recovery_ms) in (50_000..).zip(1..=20) {
        let down = switch(second, &["fiber"], &["lte"]);
        events.push(EventRecord {
            recovery_ms: Some(recovery_ms * 100),
            ..down
        });
    }
    let recovery = day(&events, true).recovery;
    assert_eq!(recovery.switches, 20);
    assert_eq!(recovery.median_ms, Some(1_050));
    assert_eq!(recovery.p95_ms, Some(1_900));
    assert_eq!(recovery.worst_ms, Some(2_000));
    assert_eq!(
        (recovery.rto_ms, recovery.within_rto),
        (Some(2_000), Some(20))
    );
    assert_eq!(day(&one_outage(), true).recovery.switches, 0);
}

#[test]
fn an_outage_names_the_recovery_of_the_traffic_that_it_carried_and_no_other() {
    let mut events = one_outage();
    events[5].recovery_ms = Some(2_431);
    // Later, the standby fails, which carries nothing.
    events.push(turn(50_000, "lte", State::Down));
    events.push(turn(50_100, "lte", State::Up));
    let report = day(&events, true);
    let times: Vec<_> = report.outages.iter().map(|one| one.recovery_ms).collect();
    assert_eq!(times, [Some(2_431), None]);
    assert_eq!(report.recovery.within_rto, Some(0), "the objective is 2 s");
}

/// A day with a drill of 30 s, which ends at `second`.
fn drilled(second: u32, failed_ms: u32) -> Vec<EventRecord> {
    let of_drill = |second, from: &str, to: &str| EventRecord {
        recovery_ms: Some(410),
        cause: Some(SwitchCause::Drill),
        ..switch(second, &[from], &[to])
    };
    let findings = DrillFindings {
        result: DrillResult::Passed,
        rto_ms: 2_000,
        recovery_ms: Some(410),
        stream_ms: Some(300),
        established_ms: Some(410),
        failed_ms,
        sent: 600,
        lost: 8,
    };
    let drill = EventRecord {
        uplink: Some(name("fiber")),
        reason: "passed".to_owned(),
        drill: Some(findings),
        ..event(second, EventKind::Drill)
    };
    let mut events = one_outage();
    events.extend([
        of_drill(second - 30, "fiber", "lte"),
        drill,
        of_drill(second + 1, "lte", "fiber"),
    ]);
    events
}

#[test]
fn a_drill_and_a_maintenance_are_planned_and_no_part_of_availability_or_recovery() {
    let mut events = drilled(60_000, 30_000);
    events.push(turn(70_000, "lte", State::Disabled));
    events.push(turn(73_600, "lte", State::Up));
    let report = day(&events, true);
    let fiber = of(&report, "fiber");
    assert_eq!(fiber.planned_s, 30);
    assert_eq!(fiber.availability.outage_s, 600);
    assert_eq!(fiber.availability.available_s, u64::from(DAY - 630));
    assert_eq!(of(&report, "lte").planned_s, 3_600);
    assert_eq!((report.switches, report.planned_switches), (4, 2));
    assert_eq!(report.recovery.switches, 0);
    let [planned] = &report.planned[..] else {
        panic!("{:?}", report.planned);
    };
    assert_eq!(planned.uplink, name("lte"));
    assert_eq!(planned.begin, Timestamp(at(70_000)));
    assert_eq!(planned.end, Some(Timestamp(at(73_600))));
    let [drill] = &report.drills[..] else {
        panic!("{:?}", report.drills);
    };
    assert_eq!(drill.at, Timestamp(at(60_000)));
    assert_eq!(drill.findings.result, DrillResult::Passed);
    assert_eq!(report.whole.outages, 0);
    // One that was due and did not begin takes no time.
    let skipped = day(&drilled(60_000, 0), true);
    assert_eq!(of(&skipped, "fiber").planned_s, 0);
    assert_eq!(skipped.drills.len(), 1);
}

#[test]
fn a_standby_that_fails_in_a_drill_is_its_own_outage_and_its_switch_not_planned() {
    let mut events = drilled(60_000, 30_000);
    events.pop();
    // The standby fails two seconds before the drilled uplink is whole again.
    let place = events.len() - 1;
    events.insert(place, turn(59_998, "lte", State::Down));
    events.push(EventRecord {
        recovery_ms: Some(252),
        cause: Some(SwitchCause::Down),
        ..switch(60_000, &["lte"], &["fiber"])
    });
    events.push(turn(60_010, "lte", State::Up));
    let report = day(&events, true);
    assert_eq!(report.whole.outages, 0, "the path of fiber was only cut");
    assert_eq!(of(&report, "fiber").planned_s, 30);
    assert_eq!(of(&report, "lte").availability.outage_s, 12);
    assert_eq!((report.switches, report.planned_switches), (4, 1));
    assert_eq!(report.recovery.switches, 1);
}

#[test]
fn what_a_full_history_has_dropped_is_told_by_samples_and_is_watched() {
    let (_, samples) = year();
    // Of a year, the history holds the last ten days; no event names `sat`, which is well.
    let begin = 355 * DAY;
    let events = [
        turn(begin, "lte", State::Up),
        turn(begin + 100, "fiber", State::Down),
        switch(begin + 100, &["fiber"], &["lte"]),
        turn(begin + 160, "fiber", State::Up),
        switch(begin + 220, &["lte"], &["fiber"]),
    ];
    let running = ["fiber", "dsl", "lte", "sat"].map(name);
    let report = Report::of(&Subject {
        events: &events,
        period: Period {
            from: at(0),
            to: at(365 * DAY),
        },
        running: Some(&running),
        samples: &samples,
        rto: None,
    });
    assert!(
        report.coverage_percent > 99.7,
        "{}",
        report.coverage_percent
    );
    assert_eq!(report.events_from, Some(Timestamp(at(begin))));
    for uplink in &report.uplinks {
        let known = uplink.availability.available_s + uplink.availability.outage_s;
        let days = Duration::from_secs(known).as_secs_f64() / 86_400.0;
        assert!((363.9..=365.1).contains(&days), "{}: {days}", uplink.name);
    }
    let fiber = of(&report, "fiber");
    assert_eq!(
        (fiber.availability.outages, fiber.availability.outage_s),
        (1, 60)
    );
    assert!(fiber.carried_s > 363 * 86_400, "{}", fiber.carried_s);
    assert_eq!(report.whole.outages, 0, "dsl and sat are known to be well");
    assert_eq!(report.outages.len(), 1);
}

#[test]
fn after_a_power_cut_samples_tell_what_was_watched_after_the_last_event() {
    let (_, samples) = year();
    let begin = 364 * DAY;
    let events = [
        started(begin),
        turn(begin, "fiber", State::Up),
        switch(begin, &[], &["fiber"]),
    ];
    let report = Report::of(&Subject {
        events: &events,
        period: Period {
            from: at(begin),
            to: at(365 * DAY),
        },
        running: None,
        samples: &samples,
        rto: None,
    });
    assert!(
        report.coverage_percent > 99.6,
        "{}",
        report.coverage_percent
    );
    assert!(of(&report, "fiber").availability.available_s > u64::from(DAY - 600));
    assert_eq!(report.events_from, None);
}

fn state(second: u32, uplink: &str, state: State, reason: &str) -> EventRecord {
    EventRecord {
        reason: reason.to_owned(),
        ..turn(second, uplink, state)
    }
}

/// A year of four uplinks and 2,000 outages.
fn year() -> (Vec<EventRecord>, SampleBook) {
    const UPLINKS: [&str; 4] = ["fiber", "dsl", "lte", "sat"];
    let mut events = vec![started(0)];
    for uplink in UPLINKS {
        events.push(state(0, uplink, State::Up, "answers"));
    }
    events.push(switch(0, &[], &["fiber"]));
    for outage in 0..2_000 {
        let begin = (outage + 1) * (364 * DAY / 2_000);
        let uplink = UPLINKS[outage as usize % 4];
        events.push(state(
            begin,
            uplink,
            State::Down,
            "no answer <script>alert(1)</script>",
        ));
        events.push(switch(begin, &["fiber"], &["dsl"]));
        events.push(state(begin + 60, uplink, State::Recovering, "answers"));
        events.push(state(begin + 90, uplink, State::Up, "answers"));
        events.push(switch(begin + 90, &["dsl"], &["fiber"]));
    }
    (
        events,
        crate::samples::tests::a_year(at(365 * DAY), &UPLINKS),
    )
}

/// Of this thread.
fn processor_time() -> Duration {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID);
    time.expect("a clock").into()
}

#[test]
#[expect(clippy::print_stdout, reason = "the figure")]
fn the_html_of_a_year_of_four_uplinks_and_2000_outages_is_one_file_and_soon_made() {
    let (events, samples) = year();
    let running = ["fiber", "dsl", "lte", "sat"].map(name);
    let subject = Subject {
        events: &events,
        period: Period {
            from: at(0),
            to: at(365 * DAY),
        },
        running: Some(&running),
        samples: &samples,
        rto: None,
    };
    let limits = running.iter().map(|uplink| UplinkLimits {
        uplink: uplink.clone(),
        rtt_ms: [500.0, 300.0],
        loss_percent: [20.0, 5.0],
    });
    let limits: Vec<_> = limits.collect();
    let begin = processor_time();
    let page = html::file(&subject, &limits, None);
    let lasted = processor_time().saturating_sub(begin);
    println!(
        "{} kB of HTML in {lasted:?}, without optimization",
        page.len() / 1_000
    );
    assert!(lasted < Duration::from_secs(5), "{lasted:?}");
    assert_eq!(page.matches("<tr><td").count(), 2_000);
    assert!(!page.contains("<script"), "a reason is shown, not obeyed");
    for outside in ["http", "src=", "@import", "url(/", "<link"] {
        assert!(!page.contains(outside), "{outside}");
    }
    let pictures = page.matches("<svg class").count();
    assert_eq!(
        pictures,
        3 * 4 * 2,
        "a bar and a plot of each uplink and time"
    );
    assert_eq!(page.matches("role=\"img\"><title>").count(), pictures);
    for opened in ["svg", "table", "tr", "td", "p", "div", "span", "h2", "h3"] {
        let open = page.matches(&format!("<{opened}>")).count()
            + page.matches(&format!("<{opened} ")).count();
        assert_eq!(
            open,
            page.matches(&format!("</{opened}>")).count(),
            "{opened}"
        );
    }
}

#[test]
fn a_picture_shows_an_outage_however_short_and_who_carried_and_samples_where_events_are_gone() {
    let (_, samples) = year();
    let end = 365 * DAY;
    let events = [
        started(end - 3_000),
        state(end - 3_000, "fiber", State::Up, "answers"),
        switch(end - 3_000, &[], &["fiber"]),
        state(end - 2_000, "fiber", State::Down, "no answer"),
        switch(end - 2_000, &["fiber"], &["lte"]),
        state(end - 1_997, "fiber", State::Up, "answers"),
    ];
    let running = [name("fiber"), name("lte")];
    let subject = Subject {
        events: &events,
        period: Period {
            from: at(0),
            to: at(end),
        },
        running: Some(&running),
        samples: &samples,
        rto: None,
    };
    let page = html::file(&subject, &[], None);
    let bars: Vec<_> = page.split("<svg class=\"bar\"").skip(1).collect();
    assert_eq!(
        bars.len(),
        3 * 4,
        "those that run, and those of which something is known"
    );
    let of_day = bars[0].split("</svg>").next().expect("a bar");
    assert!(
        of_day.contains("class=\"outage\""),
        "3 s in a day: {of_day}"
    );
    assert_eq!(of_day.matches("class=\"carried\"").count(), 1, "{of_day}");
    let of_year = bars[8].split("</svg>").next().expect("a bar");
    assert!(
        of_year.contains("class=\"up\" x=\"0\""),
        "samples: {of_year}"
    );
}
