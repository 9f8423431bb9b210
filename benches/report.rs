//! The time that a report takes: a year of four uplinks and 2,000 outages, with samples of all levels.
//!
//! `cargo bench --bench report`

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};
use serde_json::json;
use uplinkd::engine::event::record::EventRecord;
use uplinkd::engine::status::Status;
use uplinkd::metrics::ProbeCounts;
use uplinkd::report::{Period, Report, Subject, html};
use uplinkd::samples::SampleBook;
use uplinkd::samples::gather::SampleGatherer;
use uplinkd::units::sorted::SortedMap;
use uplinkd::units::{Counters, Moment, Timestamp, UplinkName, Wall};

const UPLINKS: [&str; 4] = ["fiber", "dsl", "lte", "sat"];
const OUTAGES: u32 = 2_000;
const SLOT: Duration = Duration::from_secs(300);
const DAY: Duration = Duration::from_secs(86_400);
/// 2026-11-20, midnight.
const BEGIN: u64 = 1_795_132_800;
/// Of so many runs the median is shown.
const RUNS: usize = 21;

fn begin() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(BEGIN)
}

fn main() -> io::Result<()> {
    let (events, samples) = (events(), samples());
    let running = UPLINKS.map(name);
    let subject = Subject {
        events: &events,
        period: Period {
            from: begin(),
            to: begin() + DAY * 365,
        },
        running: Some(&running),
        samples: &samples,
        rto: Some(Duration::from_secs(2)),
    };
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "a year of {} uplinks: {} events, {OUTAGES} outages",
        UPLINKS.len(),
        events.len()
    )?;
    writeln!(
        out,
        "report  {:?}",
        median(|| Report::of(&subject).outages.len())
    )?;
    writeln!(
        out,
        "HTML    {:?}",
        median(|| html::file(&subject, &[], None).len())
    )?;
    writeln!(
        out,
        "a day   {:?}, for the status page",
        median(|| html::day_pictures(&subject, &[]).len())
    )
}

fn median(run: impl Fn() -> usize) -> Duration {
    let mut spans: Vec<_> = (0..RUNS)
        .map(|_| {
            let begin = processor_time();
            std::hint::black_box(run());
            processor_time().saturating_sub(begin)
        })
        .collect();
    spans.sort_unstable();
    spans[RUNS / 2]
}

/// Of this thread: what else the machine does is not in it.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    time.expect("a clock").into()
}

fn name(name: &str) -> UplinkName {
    name.parse().expect("a name")
}

fn events() -> Vec<EventRecord> {
    let mut events = vec![event(0, json!({ "event": "agent.started" }))];
    let state = |second, uplink, kind, from, to| {
        let text = json!({ "event": kind, "uplink": uplink, "from": from, "to": to });
        event(second, text)
    };
    let switch = |second, from: &[&str], to| {
        let text = json!({ "event": "switch", "from": from, "to": [to], "recovery_ms": 431 });
        event(second, text)
    };
    for uplink in UPLINKS {
        events.push(state(0, uplink, "uplink.up", "unknown", "up"));
    }
    events.push(switch(0, &[], "fiber"));
    for outage in 0..OUTAGES {
        let second = (outage + 1) * (364 * 86_400 / OUTAGES);
        let uplink = UPLINKS[outage as usize % UPLINKS.len()];
        events.push(state(second, uplink, "uplink.down", "up", "down"));
        events.push(switch(second, &["fiber"], "dsl"));
        events.push(state(
            second + 60,
            uplink,
            "uplink.recovering",
            "down",
            "recovering",
        ));
        events.push(state(second + 90, uplink, "uplink.up", "recovering", "up"));
        events.push(switch(second + 90, &["dsl"], "fiber"));
    }
    events
}

fn event(second: u32, mut text: serde_json::Value) -> EventRecord {
    let at = Timestamp(begin() + Duration::from_secs(second.into()));
    text["at"] = json!(at.to_string());
    text["reason"] = json!("no answer for 0.43 s, in 8 rounds of probes to 4 targets");
    serde_json::from_value(text).expect("an event")
}

fn samples() -> SampleBook {
    let of_uplink = |name: &&str| {
        json!({
            "name": name, "interface": "eth1", "tier": 1, "weight": 1, "state": "up", "active": false, "score": 90,
            "loss_percent": 0.0, "rtt_ms": 12.34, "rtt_p95_ms": 20.0, "jitter_ms": 1.0,
            "since": "2026-11-20T10:00:00Z", "reason": "answers", "families": ["ipv4"], "targets": [],
        })
    };
    let mut status: Status = serde_json::from_value(json!({
        "version": "1", "mode": "auto", "policy": "failover", "active": ["fiber"], "since": null,
        "uplinks": UPLINKS.iter().map(of_uplink).collect::<Vec<_>>(), "last_switch": null,
    }))
    .expect("a status");
    let wall = |now: Moment| Wall::reading(begin() + now.since_start(), now);
    let mut now = Moment::START;
    let mut gatherer = SampleGatherer::new(SampleBook::default(), wall(now));
    let mut probes = ProbeCounts::default();
    let mut rtt = [8.0, 22.0, 45.0, 600.0];
    for slot in 0_u32..365 * 288 {
        now = now + SLOT;
        for (uplink, rtt) in status.uplinks.iter_mut().zip(&mut rtt) {
            *rtt += f64::from(slot % 7) / 10.0 - 0.3;
            uplink.rtt_ms = Some(*rtt);
            uplink.rtt_p95_ms = Some(*rtt * 1.8);
        }
        probes.sent += 300;
        probes.answered += if slot % 11 == 0 { 290 } else { 300 };
        let traffic = SortedMap::<UplinkName, Counters>::new();
        gatherer.read(&status.figures(), &traffic, |_| probes, wall(now));
        if gatherer.is_due_to_write(wall(now)) {
            drop(gatherer.to_write(wall(now)));
        }
    }
    gatherer.book(wall(now))
}
