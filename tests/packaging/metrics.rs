//! The text of the metrics, and the alerts on them, against the tool of Prometheus.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::event::EventKind;
use uplinkd::engine::event::record::EventRecord;
use uplinkd::engine::input::ProbeOutcome;
use uplinkd::engine::status::Status;
use uplinkd::metrics::{self, Meters, MetricsSnapshot};
use uplinkd::units::{Counters, Moment, ProbeId, Target, UplinkName, Wall};

use crate::machine;

pub(super) fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn at(seconds: u64) -> Moment {
    Moment::after_start(Duration::from_secs(seconds))
}

fn name(text: &str) -> UplinkName {
    text.parse().expect("a name")
}

fn target(text: &str) -> Target {
    text.parse().expect("a target")
}

/// An agent whose fibre is down, and of whose LTE nothing is known yet.
fn status() -> Status {
    let uplink = |name: &str, interface: &str, state: &str| {
        json!({
            "name": name, "interface": interface, "tier": 1, "weight": 1, "state": state, "active": false,
            "score": null, "loss_percent": null, "rtt_ms": null, "jitter_ms": null,
            "since": "2026-11-20T10:00:00Z", "reason": "no answer", "families": ["ipv4"], "targets": [],
        })
    };
    let mut dsl = uplink("dsl", "ppp\"0\\", "up");
    dsl["active"] = json!(true);
    dsl["score"] = json!(92);
    dsl["loss_percent"] = json!(1.1);
    dsl["jitter_ms"] = json!(0.8);
    let mut fiber = uplink("fiber", "eth1", "down");
    fiber["loss_percent"] = json!(100.0);
    fiber["suppressed_until"] = json!("2026-11-20T10:05:00Z");
    let mut lte = uplink("lte", "wwan0", "unknown");
    lte["allowance"] = json!({
        "limit_bytes": 50_000_000_000_u64, "used_bytes": 38_123_456_789_u64, "used_percent": 76.2, "action": "warn",
        "begins": "2026-11-01", "ends": "2026-12-01",
    });
    let status: Value = json!({
        "version": "1.2.3", "mode": "auto", "policy": "failover", "active": ["dsl"],
        "since": "2026-11-20T10:00:00Z", "uplinks": [fiber, dsl, lte],
        "last_switch": {
            "at": "2026-11-20T10:00:00Z", "from": ["fiber"], "to": ["dsl"], "reason": "fiber down: no answer",
        },
        "drill": { "running": null, "schedule": "sun 03:30", "next": "2026-11-22T02:30:00Z" },
    });
    serde_json::from_value(status).expect("the contract's schema")
}

fn switch(from: &[&str], to: &[&str], more: &Value) -> EventRecord {
    let mut record = json!({
        "at": "2026-11-20T10:00:00Z", "event": "switch", "from": from, "to": to, "reason": "words",
    });
    for (key, value) in more.as_object().expect("keys") {
        record[key] = value.clone();
    }
    serde_json::from_value(record).expect("a record")
}

fn event(kind: EventKind) -> EventRecord {
    let record = json!({ "at": "2026-11-20T10:00:00Z", "event": kind, "reason": "words" });
    serde_json::from_value(record).expect("a record")
}

fn drill(result: &str, recovery_ms: Option<u32>) -> EventRecord {
    let findings = json!({
        "result": result, "rto_ms": 2_000, "recovery_ms": recovery_ms, "failed_ms": 30_000, "sent": 300, "lost": 90,
    });
    let record = json!({
        "at": "2026-11-20T10:00:00Z", "event": "drill", "uplink": "fiber", "reason": "words", "drill": findings,
    });
    serde_json::from_value(record).expect("a record")
}

struct Desk {
    meters: Meters,
    probes: u64,
}

impl Desk {
    fn new() -> Self {
        let mut desk = Self {
            meters: Meters::new(at(0)),
            probes: 0,
        };
        desk.configure(&[("fiber", "192.0.2.1"), ("dsl", "tcp://192.0.2.1:53")]);
        desk
    }

    fn configure(&mut self, uplinks: &[(&str, &str)]) {
        let uplinks = uplinks.iter();
        let uplinks: Vec<_> = uplinks
            .map(|(uplink, of)| (name(uplink), [target(of)]))
            .collect();
        let uplinks = uplinks.iter();
        self.meters
            .configure(uplinks.map(|(uplink, targets)| (uplink, &targets[..])));
    }

    /// Orders a probe of 100 bytes, whose answer is listened for during two seconds.
    fn order(&mut self, uplink: &str, of: &str, now: Moment) -> ProbeId {
        self.probes += 1;
        let order = ProbeOrder {
            id: ProbeId(self.probes),
            uplink: name(uplink),
            target: target(of),
            hop: None,
            listen_for: Duration::from_secs(2),
        };
        self.meters.ordered(&order, 100, now);
        order.id
    }

    fn probe(&mut self, uplink: &str, of: &str, outcome: &ProbeOutcome) {
        let id = self.order(uplink, of, at(1));
        self.meters.reported(id, outcome);
    }

    fn text(self) -> String {
        let counters = |rx_bytes, tx_bytes| Counters {
            rx_bytes,
            tx_bytes,
            ..Counters::default()
        };
        let traffic = [
            (name("dsl"), counters(5_000, 300)),
            (name("fiber"), counters(7, 0)),
        ];
        metrics::text(&MetricsSnapshot {
            status: status(),
            meters: self.meters,
            traffic: traffic.into(),
            overruns: 3,
            wall: Wall::reading(
                SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000),
                at(0),
            ),
        })
    }
}

/// A run in which everything happened that has a sample of its own.
pub(super) fn eventful() -> String {
    let mut desk = Desk::new();
    let (icmp, tcp) = ("192.0.2.1", "tcp://192.0.2.1:53");
    for millis in [9, 12, 700] {
        let reply = ProbeOutcome::Reply(Duration::from_millis(millis));
        desk.probe("dsl", tcp, &reply);
    }
    let why = String::new;
    for outcome in [
        ProbeOutcome::Unreachable(why()),
        ProbeOutcome::Wrong(why()),
        ProbeOutcome::Captive(why()),
        ProbeOutcome::NotSent(why()),
        ProbeOutcome::Refused(why()),
    ] {
        desk.probe("fiber", icmp, &outcome);
    }
    desk.order("fiber", icmp, at(1));
    desk.order("fiber", icmp, at(9));
    desk.meters.settle(at(10));
    let took = json!({ "cause": "down", "took_us": 1_200, "recovery_ms": 430 });
    let soft = |cause: &str| json!({ "event": "switch.soft", "cause": cause });
    let voice = json!({ "cause": "failback", "took_us": 80_000, "group": "voice" });
    for record in [
        switch(&[], &["fiber"], &json!({ "cause": "start" })),
        switch(&["fiber"], &["dsl"], &took),
        switch(&["fiber"], &["dsl"], &took),
        switch(&["fiber"], &["dsl", "fiber"], &voice),
        switch(&["removed"], &["dsl"], &json!({ "cause": "config" })),
        // Of an earlier version.
        switch(&["dsl"], &["fiber"], &json!({})),
        switch(&["fiber"], &["dsl"], &soft("doubt")),
        switch(&["dsl"], &["fiber"], &soft("failback")),
        event(EventKind::NoUsableUplink),
        event(EventKind::ConfigReloaded),
        event(EventKind::ConfigRefused),
        drill("passed", Some(930)),
        drill("failed", Some(2_400)),
        drill("aborted", None),
    ] {
        desk.meters.announced(&record, at(60));
    }
    desk.text()
}

const GOLDEN: &str = "tests/packaging/metrics.prom";

/// `GOLDEN=write` writes it anew. Events that did not happen are left out: there may be more of them.
#[test]
fn the_text_of_an_eventful_run_is_the_one_that_is_kept() {
    let is_kept =
        |line: &&str| !(line.starts_with("uplinkd_events_total") && line.ends_with(" 0\n"));
    let whole = eventful();
    let text: String = whole.split_inclusive('\n').filter(is_kept).collect();
    if std::env::var_os("GOLDEN").is_some() {
        fs::write(root(GOLDEN), &text).expect("it is written");
    }
    let kept = fs::read_to_string(root(GOLDEN)).expect("the text");
    assert_eq!(text, kept);
}

#[test]
fn an_event_that_has_not_happened_has_a_sample_too() {
    let text = Desk::new().text();
    for kind in EventKind::ALL {
        let sample = format!("uplinkd_events_total{{event=\"{kind}\"}} 0\n");
        assert!(text.contains(&sample), "{kind}");
    }
}

#[test]
fn a_sample_stands_once_and_every_value_is_a_number() {
    let text = eventful();
    let mut samples = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (sample, value) = line.rsplit_once(' ').expect("a value");
        assert!(samples.insert(sample), "{line}");
        let value: f64 = value.parse().expect("a number");
        assert!(value.is_finite(), "{line}");
    }
}

#[test]
fn a_probe_without_an_answer_is_lost_once_and_a_late_report_changes_nothing() {
    let mut desk = Desk::new();
    let late = desk.order("fiber", "192.0.2.1", at(0));
    desk.meters.settle(at(2));
    desk.meters.settle(at(3));
    let reply = ProbeOutcome::Reply(Duration::from_secs(3));
    desk.meters.reported(late, &reply);
    let text = desk.text();
    for (result, count) in [("lost", 1), ("reply", 0)] {
        let line = format!(
            "uplinkd_probes_total{{uplink=\"fiber\",target=\"192.0.2.1\",result=\"{result}\"}} {count}\n"
        );
        assert!(text.contains(&line), "{text}");
    }
}

#[test]
fn a_removed_uplink_has_no_series_any_more_and_the_others_go_on() {
    let mut desk = Desk::new();
    let reply = ProbeOutcome::Reply(Duration::from_millis(10));
    desk.probe("dsl", "tcp://192.0.2.1:53", &reply);
    let record = switch(&["fiber"], &["dsl"], &json!({ "cause": "down" }));
    desk.meters.announced(&record, at(1));
    let flying = desk.order("fiber", "192.0.2.1", at(1));
    desk.configure(&[("dsl", "tcp://192.0.2.1:53")]);
    desk.meters.reported(flying, &reply);
    let text = desk.text();
    let probes = "uplinkd_probes_answered_total{uplink=\"dsl\",target=\"tcp://192.0.2.1:53\"} 1\n";
    assert!(text.contains(probes), "{text}");
    let of_fiber = |name: &str| text.contains(&format!("{name}{{uplink=\"fiber\""));
    assert!(!of_fiber("uplinkd_probes_sent_total"), "{text}");
    assert!(!of_fiber("uplinkd_uplink_rtt_seconds_count"), "{text}");
    assert!(!text.contains("from=\"fiber\""), "{text}");
    assert!(
        text.contains("uplinkd_events_total{event=\"switch\"} 1\n"),
        "{text}"
    );
}

#[test]
fn however_many_uplinks_traffic_moves_between_the_series_of_switches_are_bounded() {
    let names: Vec<_> = (0..64).map(|number| format!("uplink{number}")).collect();
    let uplinks: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), "192.0.2.1"))
        .collect();
    let mut desk = Desk::new();
    desk.configure(&uplinks);
    for from in &names {
        for to in &names {
            let record = switch(&[from], &[to], &json!({ "cause": "best" }));
            desk.meters.announced(&record, at(1));
        }
    }
    let text = desk.text();
    let series = text
        .lines()
        .filter(|line| line.starts_with("uplinkd_switches_total"));
    assert_eq!(series.count(), 513);
    let rest = "uplinkd_switches_total{from=\"other\",to=\"other\",reason=\"unknown\"} 3584\n";
    assert!(text.contains(rest), "{text}");
}

/// The names and kinds of a text.
pub(super) fn kinds(text: &str) -> BTreeSet<(String, String)> {
    let heads = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let pair = |head: &str| {
        let (name, kind) = head.split_once(' ').expect("a kind");
        (name.to_owned(), kind.to_owned())
    };
    heads.map(pair).collect()
}

#[test]
fn every_metric_is_described_with_its_kind() {
    let operations = fs::read_to_string(root("docs/operations.md")).expect("the document");
    let rows = operations
        .lines()
        .filter(|line| line.starts_with("| `uplinkd_"));
    let described = rows.map(|row| {
        let mut cells = row.trim_matches(['|', ' ']).split(" | ");
        let mut cell = || {
            cells
                .next()
                .unwrap_or_default()
                .trim_matches('`')
                .to_owned()
        };
        (cell(), cell())
    });
    assert_eq!(described.collect::<BTreeSet<_>>(), kinds(&eventful()));
}

/// What every version has: dashboards and alerts of operators rest on it.
const PROMISED: [&str; 18] = [
    "uplinkd_build_info",
    "uplinkd_drills_total",
    "uplinkd_config_last_reload_successful",
    "uplinkd_netlink_overruns_total",
    "uplinkd_probe_bytes_total",
    "uplinkd_probes_answered_total",
    "uplinkd_probes_sent_total",
    "uplinkd_probes_total",
    "uplinkd_switch_duration_seconds",
    "uplinkd_switches_total",
    "uplinkd_uplink_active",
    "uplinkd_uplink_jitter_seconds",
    "uplinkd_uplink_loss_ratio",
    "uplinkd_uplink_receive_bytes_total",
    "uplinkd_uplink_rtt_seconds",
    "uplinkd_uplink_score",
    "uplinkd_uplink_state",
    "uplinkd_uplink_up",
];

#[test]
fn every_metric_that_is_promised_is_there() {
    let text = eventful();
    for name in PROMISED {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name}");
    }
}

#[test]
fn the_tool_of_prometheus_has_nothing_to_say_about_the_text() {
    if !machine::has("promtool", &["--version"]) {
        return;
    }
    let text = fs::File::open(root(GOLDEN)).expect("the text");
    let mut promtool = Command::new("promtool");
    let told = promtool.args(["check", "metrics"]).stdin(Stdio::from(text));
    let told = told.output().expect("promtool");
    let words = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success() && words.is_empty(), "{words}");
}

#[test]
fn every_alert_fires_when_it_should_and_only_then() {
    if !machine::has("promtool", &["--version"]) {
        return;
    }
    for words in [
        ["check", "rules", "uplinkd.rules.yml"],
        ["test", "rules", "uplinkd.rules.test.yml"],
    ] {
        let mut promtool = Command::new("promtool");
        let told = promtool.args(words).current_dir(root("config/prometheus"));
        let told = told.output().expect("promtool");
        let words = String::from_utf8_lossy(&told.stdout);
        assert!(told.status.success(), "{words}");
    }
}

#[test]
fn alerts_name_metrics_that_there_are_and_each_has_a_test_and_a_description() {
    let rules = fs::read_to_string(root("config/prometheus/uplinkd.rules.yml")).expect("the rules");
    let tests = fs::read_to_string(root("config/prometheus/uplinkd.rules.test.yml"));
    let tests = tests.expect("the tests");
    let known: BTreeSet<_> = kinds(&eventful())
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = rules.split(|c| !is_of_name(c));
    let mut named = words.filter(|word| word.starts_with("uplinkd_"));
    let unknown: Vec<_> = named
        .by_ref()
        .filter(|name| !known.contains(*name))
        .collect();
    assert_eq!(unknown, [""; 0]);
    let alerts = rules.lines();
    let alerts = alerts.filter_map(|line| line.trim().strip_prefix("- alert: "));
    let operations = fs::read_to_string(root("docs/operations.md")).expect("the document");
    let rows = operations.lines();
    let described: Vec<_> = rows
        .filter_map(|line| line.strip_prefix("| `Uplinkd")?.split_once("` | "))
        .map(|(alert, _)| format!("Uplinkd{alert}"))
        .collect();
    assert!(alerts.clone().eq(&described), "{described:?}");
    for alert in alerts {
        let tested = format!("alertname: {alert}\n        exp_alerts:");
        assert!(tests.contains(&tested), "{alert}");
    }
}
