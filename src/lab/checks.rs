//! Whether a phase was what was expected of it. Pure.

use std::fmt::Display;
use std::time::Duration;

use crate::engine::event::EventKind;
use crate::lab::download::DownloadTraffic;
use crate::lab::event::TrafficExit;
use crate::lab::expected_report::ExpectedReport;
use crate::lab::family::{LabFamily, PerFamily};
use crate::lab::incoming::IncomingCounts;
use crate::lab::inventory::InventoryDifference;
use crate::lab::long_flow::FlowOutcome;
use crate::lab::other_traffic::OtherTraffic;
use crate::lab::report::{
    DrillCounts, ExpectationCheck, LookupCounts, PhaseCost, TimelineEntry, TimelineNote,
    exit_in_words,
};
use crate::lab::scenario::{PhaseExpectation, Span};
use crate::lab::stream::ClientTraffic;

/// What was seen of a phase.
pub(super) struct PhaseObservations<'p> {
    /// By the client.
    pub(super) traffic: ClientTraffic,
    /// By the client, of its IPv6 traffic, if it had any.
    pub(super) traffic6: Option<ClientTraffic>,
    /// By the client, beside its stream.
    pub(super) other: OtherTraffic,
    /// By the client, in each outage of a wire that was broken again and again.
    pub(super) outages: Vec<ClientTraffic>,
    /// How much of the phase the machine took, which woke its threads late.
    pub(super) delay: Duration,
    /// The way of each family at the end.
    pub(super) active: &'p PerFamily<TrafficExit>,
    /// Before the first phase.
    pub(super) warm_up: &'p [TimelineEntry],
    /// In order.
    pub(super) timeline: &'p [TimelineEntry],
    /// By the clients of the long flows, if there were any and the traffic moved.
    pub(super) flows: Vec<FlowOutcome>,
    /// Of connections from the internet.
    pub(super) incoming: Option<IncomingCounts>,
    /// By the one who looked up the way.
    pub(super) lookups: Option<LookupCounts>,
    /// Of drills.
    pub(super) drills: Option<DrillCounts>,
    /// In the router, against what stood there before the first agent.
    pub(super) left: Option<InventoryDifference>,
    /// Of the agent.
    pub(super) cost: Option<PhaseCost>,
    /// By the agent, the most of all uplinks, in percent.
    pub(super) learnt_loss: Option<f64>,
}

impl PhaseObservations<'_> {
    /// How often the way of the traffic changed.
    pub(super) fn switches(&self) -> usize {
        self.switches_of(LabFamily::Ipv4)
    }

    fn switches_of(&self, family: LabFamily) -> usize {
        let is_switch = |entry: &&TimelineEntry| matches!(&entry.note, TimelineNote::Kernel { family: of, .. } if *of == family);
        self.timeline.iter().filter(is_switch).count()
    }

    /// When the traffic first went through `uplink`, or at all another way.
    pub(super) fn moved(&self, uplink: Option<&str>) -> Option<Duration> {
        let is_there = |entry: &&TimelineEntry| match &entry.note {
            TimelineNote::Kernel { family, to, .. } => {
                *family == LabFamily::Ipv4 && (uplink.is_none() || to.as_deref() == uplink)
            }
            TimelineNote::Lab { .. }
            | TimelineNote::Agent(_)
            | TimelineNote::AgentSilent
            | TimelineNote::Client(_)
            | TimelineNote::Client6(_) => false,
        };
        let entry = self.timeline.iter().find(is_there)?;
        Some(entry.after)
    }

    fn downs(&self) -> usize {
        let is_down = |entry: &&TimelineEntry| matches!(&entry.note, TimelineNote::Agent(record) if record.event == EventKind::UplinkDown);
        self.timeline.iter().filter(is_down).count()
    }

    fn says(&self, expected: ExpectedReport<'_>) -> bool {
        let mut all = self.warm_up.iter().chain(self.timeline);
        all.any(|entry| entry.note.says(expected))
    }
}

/// One check for each thing that was expected.
pub(super) fn checks(
    expect: &PhaseExpectation,
    seen: &PhaseObservations<'_>,
) -> Vec<ExpectationCheck> {
    let PhaseExpectation {
        active,
        switches,
        gap,
        new_gap: _,
        new_moved: _,
        mos: _,
        download_pause: _,
        download_broken: _,
        median_gap,
        lost,
        active6,
        switches6,
        gap6,
        moved,
        hangs: _,
        flows_within: _,
        flows_reset: _,
        flows_hang: _,
        unanswered: _,
        says: _,
        reason: _,
        downs,
        learnt_loss,
        without_a_route,
        switch_within,
        drill_differs: _,
        restored_within: _,
        leaves_nothing,
        times_bare_probe,
        memory_kib,
    } = expect;
    let cost = seen.cost;
    [
        active
            .as_deref()
            .map(|uplink| through("traffic", uplink, &seen.active.v4)),
        switches.map(|most| at_most("switches", most, Some(seen.switches()))),
        gap.map(|most| gap_at_most("without traffic", most, Some(seen.traffic))),
        median_gap.map(|most| median_gap_at_most(most, &seen.outages)),
        lost.map(|most| at_most("packets lost", most, Some(seen.traffic.lost))),
        active6
            .as_deref()
            .map(|uplink| through("IPv6 traffic", uplink, &seen.active.v6)),
        switches6.map(|most| {
            at_most(
                "switches of IPv6",
                most,
                Some(seen.switches_of(LabFamily::Ipv6)),
            )
        }),
        gap6.map(|most| gap_at_most("without IPv6 traffic", most, seen.traffic6)),
        moved.map(|span| moved_within(span, seen.moved(active.as_deref()), seen.delay)),
        downs.map(|most| at_most("uplinks that go down", most, Some(seen.downs()))),
        learnt_loss.map(|most| at_most("% of loss learnt", most, seen.learnt_loss)),
        without_a_route.map(|most| {
            let without = seen.lookups.map(|lookups| lookups.without_a_route);
            at_most("lookups without a route", most, without)
        }),
        switch_within.map(|most| {
            let times = seen.lookups.as_ref().map(LookupCounts::per_status);
            at_most("times an answer, from a command to its route", most, times)
        }),
        leaves_nothing.then(|| is_as_before(seen.left.as_ref())),
        times_bare_probe.map(|most| {
            let times = cost.and_then(|cost| Some(cost.us_per_probe / cost.us_per_bare_probe?));
            at_most("times the cost of a bare probe", most, times.map(rounded))
        }),
        memory_kib.map(|most| at_most("KiB of memory", most, cost.map(|c| c.memory_kib))),
    ]
    .into_iter()
    .chain(other_checks(expect, seen))
    .chain(drill_checks(expect, seen))
    .chain(flow_checks(expect, seen))
    .flatten()
    .chain(expect.reports().map(|report| said(report, seen)))
    .collect()
}

/// What is expected of the client's traffic beside its stream.
fn other_checks(
    expect: &PhaseExpectation,
    seen: &PhaseObservations<'_>,
) -> [Option<ExpectationCheck>; 5] {
    let OtherTraffic {
        new,
        new_moved_ms,
        call,
        download,
    } = seen.other;
    let download_of = |what: &str, passes: &dyn Fn(DownloadTraffic) -> bool| ExpectationCheck {
        expected: format!("download: {what}"),
        measured: download.map_or_else(|| "unknown".to_owned(), |found| found.to_string()),
        passed: download.is_some_and(passes),
    };
    [
        (expect.new_gap).map(|most| gap_at_most("without new connections", most, new)),
        expect.new_moved.map(|most| {
            let what = "ms from the change of the route to new connections by it alone";
            let most = most.0.as_secs_f64() * 1000.0;
            at_most(what, rounded(most), new_moved_ms.map(rounded))
        }),
        expect.mos.map(|least| ExpectationCheck {
            expected: format!("the call has a MOS of at least {least}"),
            measured: call.map_or_else(|| "unknown".to_owned(), |call| call.to_string()),
            passed: call.is_some_and(|call| call.mos >= least),
        }),
        expect.download_pause.map(|most| {
            let most = most.0 + seen.delay;
            let what = format!("pauses <= {} ms", most.as_millis());
            download_of(&what, &|found| found.pause <= most)
        }),
        expect.download_broken.map(|most| {
            let what = format!("connections that end before their time <= {most}");
            download_of(&what, &|found| found.broken <= most)
        }),
    ]
}

/// What is expected of drills.
fn drill_checks(
    expect: &PhaseExpectation,
    seen: &PhaseObservations<'_>,
) -> [Option<ExpectationCheck>; 4] {
    let millis = |most: Span| u64::try_from(most.0.as_millis()).unwrap_or(u64::MAX);
    let drills = seen.drills;
    [
        expect.drill_differs.map(|most| {
            let differs = drills.map(|drills| drills.differs_by_ms);
            let what = "ms between a drill and what the client felt";
            at_most(what, millis(most), differs)
        }),
        expect.drill_differs.map(|_| {
            let others = drills.map(|drills| drills.drills - drills.passed);
            at_most("drills not passed", 0, others)
        }),
        expect.restored_within.map(|most| {
            let after = drills.map(|drills| drills.restored_after_ms);
            at_most("ms from a kill to a whole path", millis(most), after)
        }),
        expect.restored_within.map(|_| {
            let left = drills.map(|drills| drills.left_something);
            at_most("drills that left something", 0, left)
        }),
    ]
}

/// What is expected of the client's flows that are open when the traffic moves, and of connections from the internet.
fn flow_checks(
    expect: &PhaseExpectation,
    seen: &PhaseObservations<'_>,
) -> [Option<ExpectationCheck>; 5] {
    let hangs = expect.hangs.then(|| {
        let is_cut_off = seen.traffic.is_cut_off;
        let measured = if is_cut_off { "it hangs" } else { "it goes on" };
        ExpectationCheck {
            expected: "the client's flow hangs".to_owned(),
            measured: measured.to_owned(),
            passed: is_cut_off,
        }
    });
    let within = expect.flows_within.map(|most| {
        let what = format!("goes on or is reset within {most}");
        let is_in_time =
            |fate: &FlowOutcome| fate.after.is_some_and(|after| after <= most.0 + seen.delay);
        flows(&what, seen, is_in_time)
    });
    let hang = expect
        .flows_hang
        .then(|| flows("hangs", seen, |fate| fate.after.is_none()));
    let reset = expect.flows_reset.map(|most| {
        let fates = seen.flows.iter().filter(|fate| fate.is_reset);
        at_most("long flows that are reset", most, Some(fates.count()))
    });
    let unanswered = expect.unanswered.map(|most| {
        let unanswered = seen.incoming.map(IncomingCounts::unanswered);
        let what = "connections from the internet without an answer";
        at_most(what, most, unanswered)
    });
    [hangs, within, hang, reset, unanswered]
}

fn is_as_before(left: Option<&InventoryDifference>) -> ExpectationCheck {
    ExpectationCheck {
        expected: "the agent leaves the router as it was".to_owned(),
        measured: left.map_or_else(|| "unknown".to_owned(), InventoryDifference::to_string),
        passed: left.is_some_and(InventoryDifference::is_nothing),
    }
}

fn through(what: &str, uplink: &str, way: &TrafficExit) -> ExpectationCheck {
    ExpectationCheck {
        expected: format!("{what} goes through {uplink}"),
        measured: exit_in_words(way).to_owned(),
        passed: way.as_deref() == Some(uplink),
    }
}

fn at_most<T: PartialOrd + Display + Copy>(
    what: &str,
    most: T,
    measured: Option<T>,
) -> ExpectationCheck {
    ExpectationCheck {
        expected: format!("{what} <= {most}"),
        measured: measured.map_or_else(|| "unknown".to_owned(), |value| value.to_string()),
        passed: measured.is_some_and(|value| value <= most),
    }
}

fn gap_at_most(what: &str, most: Span, traffic: Option<ClientTraffic>) -> ExpectationCheck {
    ExpectationCheck {
        expected: format!("{what} <= {most}"),
        measured: traffic.map_or_else(|| "unknown".to_owned(), |traffic| gap_in_words(&traffic)),
        passed: traffic.is_some_and(|traffic| own_gap(&traffic) <= most.0),
    }
}

fn median_gap_at_most(most: Span, outages: &[ClientTraffic]) -> ExpectationCheck {
    let mut outages = outages.to_vec();
    outages.sort_by_key(own_gap);
    let median = outages.get(outages.len() / 2);
    ExpectationCheck {
        expected: format!("median of {} outages <= {most}", outages.len()),
        measured: median.map_or_else(|| "unknown".to_owned(), gap_in_words),
        passed: median.is_some_and(|traffic| own_gap(traffic) <= most.0),
    }
}

/// What the agent took of the time without traffic.
fn own_gap(traffic: &ClientTraffic) -> Duration {
    traffic.gap.saturating_sub(traffic.machine_delay)
}

fn gap_in_words(traffic: &ClientTraffic) -> String {
    let gap = traffic.gap.as_millis();
    match traffic.machine_delay.as_millis() {
        0 => format!("{gap} ms"),
        delay => format!("{gap} ms, {delay} ms of it the machine's"),
    }
}

/// What every long flow does.
fn flows(
    what: &str,
    seen: &PhaseObservations<'_>,
    does: impl Fn(&FlowOutcome) -> bool,
) -> ExpectationCheck {
    let fates: Vec<_> = seen.flows.iter().map(ToString::to_string).collect();
    ExpectationCheck {
        expected: format!("every long flow {what}"),
        measured: fates.join(", "),
        passed: !seen.flows.is_empty() && seen.flows.iter().all(does),
    }
}

fn moved_within(
    [earliest, latest]: [Span; 2],
    moved: Option<Duration>,
    delay: Duration,
) -> ExpectationCheck {
    ExpectationCheck {
        expected: format!("moves after {earliest} to {latest}"),
        measured: moved.map_or_else(
            || "never".to_owned(),
            |span| format!("{:.3} s", span.as_secs_f64()),
        ),
        passed: moved.is_some_and(|span| (earliest.0..=latest.0 + delay).contains(&span)),
    }
}

fn said(expected: ExpectedReport<'_>, seen: &PhaseObservations<'_>) -> ExpectationCheck {
    let passed = seen.says(expected);
    ExpectationCheck {
        expected: format!("the agent says {expected}"),
        measured: if passed { "it does" } else { "it does not" }.to_owned(),
        passed,
    }
}

/// To three decimals, as people read it.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Moment;

    fn traffic(gap: u64, lost: usize) -> ClientTraffic {
        ClientTraffic {
            sent: 1000,
            lost,
            gap: Duration::from_millis(gap),
            gap_start: Moment::START,
            machine_delay: Duration::ZERO,
            is_cut_off: false,
        }
    }

    fn moves(after: u64, to: &str) -> TimelineEntry {
        let note = TimelineNote::Kernel {
            family: LabFamily::Ipv4,
            from: Some("fiber".to_owned()),
            to: Some(to.to_owned()),
        };
        TimelineEntry {
            after: Duration::from_millis(after),
            note,
        }
    }

    #[test]
    fn each_expectation_is_checked_on_its_own() {
        let expect: PhaseExpectation = toml::from_str(
            r#"active = "lte"
               switches = 1
               gap = "1s"
               lost = 10
               moved = ["200ms", "2s"]
               says = "switch"
               times_bare_probe = 9.0"#,
        )
        .expect("it parses");
        let active = PerFamily {
            v4: Some("lte".to_owned()),
            v6: None,
        };
        let timeline = [moves(100, "backup"), moves(300, "lte")];
        let seen = PhaseObservations {
            traffic: traffic(900, 11),
            traffic6: None,
            other: OtherTraffic::default(),
            outages: Vec::new(),
            delay: Duration::ZERO,
            active: &active,
            warm_up: &[],
            timeline: &timeline,
            flows: Vec::new(),
            incoming: None,
            lookups: None,
            drills: None,
            left: None,
            cost: None,
            learnt_loss: None,
        };
        let passed: Vec<_> = checks(&expect, &seen).iter().map(|c| c.passed).collect();
        assert_eq!(passed, [true, false, true, false, true, false, false]);
    }

    #[test]
    fn nothing_expected_is_nothing_checked() {
        let seen = PhaseObservations {
            traffic: traffic(0, 0),
            traffic6: None,
            other: OtherTraffic::default(),
            outages: Vec::new(),
            delay: Duration::ZERO,
            active: &PerFamily::default(),
            warm_up: &[],
            timeline: &[],
            flows: Vec::new(),
            incoming: None,
            lookups: None,
            drills: None,
            left: None,
            cost: None,
            learnt_loss: None,
        };
        assert!(checks(&PhaseExpectation::default(), &seen).is_empty());
    }
}
