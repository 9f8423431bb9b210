//! Whether a phase was what was expected of it. Pure.

use std::fmt::Display;
use std::time::Duration;

use crate::lab::family::Family;
use crate::lab::flow::Fate;
use crate::lab::happening::Way;
use crate::lab::leftovers::Difference;
use crate::lab::lookups::Lookups;
use crate::lab::report::{Check, Entry, Note, PhaseCost, way_in_words};
use crate::lab::scenario::{Expectation, Span};
use crate::lab::stream::Felt;

/// What was seen of a phase.
pub(super) struct Seen<'p> {
    /// By the client.
    pub(super) felt: Felt,
    /// By the client, of its IPv6 traffic, if it had any.
    pub(super) felt6: Option<Felt>,
    /// The way at the end.
    pub(super) active: &'p Way,
    /// The way of IPv6 at the end.
    pub(super) active6: &'p Way,
    /// In order.
    pub(super) timeline: &'p [Entry],
    /// By the clients of the long flows, if there were any and the traffic moved.
    pub(super) flows: Vec<Fate>,
    /// By the one who looked up the way.
    pub(super) lookups: Option<Lookups>,
    /// In the router, against what stood there before the first agent.
    pub(super) left: Option<Difference>,
    /// Of the agent.
    pub(super) cost: Option<PhaseCost>,
}

impl Seen<'_> {
    /// How often the way of the traffic changed.
    pub(super) fn switches(&self) -> usize {
        self.switches_of(Family::Ipv4)
    }

    fn switches_of(&self, family: Family) -> usize {
        let is_switch = |entry: &&Entry| matches!(&entry.note, Note::Kernel { family: of, .. } if *of == family);
        self.timeline.iter().filter(is_switch).count()
    }

    /// When the traffic first went through `uplink`, or at all another way.
    pub(super) fn moved(&self, uplink: Option<&str>) -> Option<Duration> {
        let is_there = |entry: &&Entry| match &entry.note {
            Note::Kernel { family, to, .. } => {
                *family == Family::Ipv4 && (uplink.is_none() || to.as_deref() == uplink)
            }
            Note::Lab { .. }
            | Note::Agent(_)
            | Note::AgentSilent
            | Note::Client(_)
            | Note::Client6(_) => false,
        };
        let entry = self.timeline.iter().find(is_there)?;
        Some(entry.after)
    }

    fn says(&self, event: &str) -> bool {
        let is_said = |entry: &Entry| match &entry.note {
            Note::Agent(record) => record.event.name() == event || record.reason.contains(event),
            Note::Lab { .. }
            | Note::AgentSilent
            | Note::Kernel { .. }
            | Note::Client(_)
            | Note::Client6(_) => false,
        };
        self.timeline.iter().any(is_said)
    }
}

/// One check for each thing that was expected.
pub(super) fn checks(expect: &Expectation, seen: &Seen<'_>) -> Vec<Check> {
    let Expectation {
        active,
        switches,
        gap,
        lost,
        active6,
        switches6,
        gap6,
        moved,
        hangs: _,
        flows_within: _,
        flows_reset: _,
        flows_hang: _,
        says,
        without_a_route,
        switch_within,
        leaves_nothing,
        cpu_percent,
        us_per_probe,
        memory_kib,
    } = expect;
    let cost = seen.cost;
    [
        active
            .as_deref()
            .map(|uplink| through("traffic", uplink, seen.active)),
        switches.map(|most| at_most("switches", most, Some(seen.switches()))),
        gap.map(|most| gap_at_most("without traffic", most, Some(seen.felt))),
        lost.map(|most| at_most("packets lost", most, Some(seen.felt.lost))),
        active6
            .as_deref()
            .map(|uplink| through("IPv6 traffic", uplink, seen.active6)),
        switches6.map(|most| {
            at_most(
                "switches of IPv6",
                most,
                Some(seen.switches_of(Family::Ipv6)),
            )
        }),
        gap6.map(|most| gap_at_most("without IPv6 traffic", most, seen.felt6)),
        moved.map(|span| moved_within(span, seen.moved(active.as_deref()))),
        says.as_deref().map(|event| said(event, seen)),
        without_a_route.map(|most| {
            let without = seen.lookups.map(|lookups| lookups.without_a_route);
            at_most("lookups without a route", most, without)
        }),
        switch_within.map(|most| {
            let times = seen.lookups.as_ref().map(Lookups::per_status);
            at_most("times an answer, from a command to its route", most, times)
        }),
        leaves_nothing.then(|| Check {
            expected: "the agent leaves the router as it was".to_owned(),
            measured: { seen.left.as_ref() }
                .map_or_else(|| "unknown".to_owned(), Difference::to_string),
            passed: seen.left.as_ref().is_some_and(Difference::is_nothing),
        }),
        cpu_percent.map(|most| {
            at_most(
                "percent of a processor",
                most,
                cost.map(|c| rounded(c.cpu_percent)),
            )
        }),
        us_per_probe.map(|most| {
            at_most(
                "us of it for a probe",
                most,
                cost.map(|c| rounded(c.us_per_probe)),
            )
        }),
        memory_kib.map(|most| at_most("KiB of memory", most, cost.map(|c| c.memory_kib))),
    ]
    .into_iter()
    .chain(flow_checks(expect, seen))
    .flatten()
    .collect()
}

/// What is expected of the client's flows that are open when the traffic moves.
fn flow_checks(expect: &Expectation, seen: &Seen<'_>) -> [Option<Check>; 4] {
    let hangs = expect.hangs.then(|| {
        let is_cut_off = seen.felt.is_cut_off;
        let measured = if is_cut_off { "it hangs" } else { "it goes on" };
        Check {
            expected: "the client's flow hangs".to_owned(),
            measured: measured.to_owned(),
            passed: is_cut_off,
        }
    });
    let within = expect.flows_within.map(|most| {
        let what = format!("goes on or is reset within {most}");
        let is_in_time = |fate: &Fate| fate.after.is_some_and(|after| after <= most.0);
        flows(&what, seen, is_in_time)
    });
    let hang = expect
        .flows_hang
        .then(|| flows("hangs", seen, |fate| fate.after.is_none()));
    let reset = expect.flows_reset.map(|most| {
        let fates = seen.flows.iter().filter(|fate| fate.is_reset);
        at_most("long flows that are reset", most, Some(fates.count()))
    });
    [hangs, within, hang, reset]
}

fn through(what: &str, uplink: &str, way: &Way) -> Check {
    Check {
        expected: format!("{what} goes through {uplink}"),
        measured: way_in_words(way).to_owned(),
        passed: way.as_deref() == Some(uplink),
    }
}

fn at_most<T: PartialOrd + Display + Copy>(what: &str, most: T, measured: Option<T>) -> Check {
    Check {
        expected: format!("{what} <= {most}"),
        measured: measured.map_or_else(|| "unknown".to_owned(), |value| value.to_string()),
        passed: measured.is_some_and(|value| value <= most),
    }
}

fn gap_at_most(what: &str, most: Span, felt: Option<Felt>) -> Check {
    let gap = felt.map(|felt| felt.gap);
    let in_words = |gap: Duration| format!("{} ms", gap.as_millis());
    Check {
        expected: format!("{what} <= {most}"),
        measured: gap.map_or_else(|| "unknown".to_owned(), in_words),
        passed: gap.is_some_and(|gap| gap <= most.0),
    }
}

/// What every long flow does.
fn flows(what: &str, seen: &Seen<'_>, does: impl Fn(&Fate) -> bool) -> Check {
    let fates: Vec<_> = seen.flows.iter().map(ToString::to_string).collect();
    Check {
        expected: format!("every long flow {what}"),
        measured: fates.join(", "),
        passed: !seen.flows.is_empty() && seen.flows.iter().all(does),
    }
}

fn moved_within([earliest, latest]: [Span; 2], moved: Option<Duration>) -> Check {
    Check {
        expected: format!("moves after {earliest} to {latest}"),
        measured: moved.map_or_else(
            || "never".to_owned(),
            |span| format!("{:.3} s", span.as_secs_f64()),
        ),
        passed: moved.is_some_and(|span| (earliest.0..=latest.0).contains(&span)),
    }
}

fn said(event: &str, seen: &Seen<'_>) -> Check {
    let passed = seen.says(event);
    Check {
        expected: format!("the agent says {event}"),
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

    fn felt(gap: u64, lost: usize) -> Felt {
        Felt {
            sent: 1000,
            lost,
            gap: Duration::from_millis(gap),
            is_cut_off: false,
        }
    }

    fn moves(after: u64, to: &str) -> Entry {
        let note = Note::Kernel {
            family: Family::Ipv4,
            from: Some("fiber".to_owned()),
            to: Some(to.to_owned()),
        };
        Entry {
            after: Duration::from_millis(after),
            note,
        }
    }

    #[test]
    fn each_expectation_is_checked_on_its_own() {
        let expect: Expectation = toml::from_str(
            r#"active = "lte"
               switches = 1
               gap = "1s"
               lost = 10
               moved = ["200ms", "2s"]
               says = "switch"
               cpu_percent = 0.5"#,
        )
        .expect("it parses");
        let active = Some("lte".to_owned());
        let timeline = [moves(100, "backup"), moves(300, "lte")];
        let seen = Seen {
            felt: felt(900, 11),
            felt6: None,
            active: &active,
            active6: &None,
            timeline: &timeline,
            flows: Vec::new(),
            lookups: None,
            left: None,
            cost: None,
        };
        let passed: Vec<_> = checks(&expect, &seen).iter().map(|c| c.passed).collect();
        assert_eq!(passed, [true, false, true, false, true, false, false]);
    }

    #[test]
    fn nothing_expected_is_nothing_checked() {
        let seen = Seen {
            felt: felt(0, 0),
            felt6: None,
            active: &None,
            active6: &None,
            timeline: &[],
            flows: Vec::new(),
            lookups: None,
            left: None,
            cost: None,
        };
        assert!(checks(&Expectation::default(), &seen).is_empty());
    }
}
