//! The report as one file of HTML that needs no network, to be shown to a provider or printed.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use super::ledger::Ledger;
use super::picture::{Axis, PictureSource, UplinkLimits, escaped, form};
use super::{
    DrillReport, METHOD, OutageReport, Period, PlannedReport, RecoveryTime, Report, Subject,
    UplinkReport,
};
use crate::engine::event::broken_at::BrokenAt;
use crate::engine::status::Status;
use crate::samples::Account;
use crate::units::counting::plural;
use crate::units::{Bytes, Timestamp, UplinkName};

/// The style of the report, and of the status page.
pub const STYLE: &str = include_str!("style.css");

const DAY: u64 = 86_400;

/// The times of which a report has pictures, with a title.
const SPANS: [(&str, u64); 3] = [
    ("24 hours", DAY),
    ("30 days", 30 * DAY),
    ("A year", 365 * DAY),
];

/// The whole file.
pub fn file(subject: &Subject<'_>, limits: &[UplinkLimits], status: Option<&Status>) -> String {
    let ledger = Ledger::of_subject(subject, Duration::from_secs(SPANS[2].1));
    let mut report = Report::of_ledger(subject, &ledger);
    report.add_allowances(status);
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>Availability of the uplinks</title><style>{STYLE}</style></head><body>\n\
         <h1>Availability of the uplinks</h1>\n"
    );
    let [from, to] = [report.from, report.to].map(utc);
    let _ = write!(
        html,
        "<p class=\"n\">{from} to {to}. Watched {:.1} % of that time. All times are UTC.",
        report.coverage_percent
    );
    if let Some(from) = report.events_from.map(utc) {
        let _ = write!(
            html,
            " Events are kept since {from}: before it, outages are in the times, not in their number and the list."
        );
    }
    html.push_str("</p>\n");
    summary(&mut html, &report);
    html.push_str(&pictures(subject, &ledger, limits, &SPANS));
    outages(&mut html, &report.outages);
    planned(&mut html, &report.planned);
    drills(&mut html, &report.drills);
    let _ = writeln!(
        html,
        "<h2>How it is counted</h2>\n<p>{METHOD} Traffic is that of the interface while the agent ran, and is \
         rounded.</p>\n<p class=\"n\">Made by uplinkd {}</p></body></html>",
        env!("CARGO_PKG_VERSION")
    );
    html
}

/// The pictures of the last day, as the status page shows them. Of a subject that is about that day they are soon made.
pub fn day_pictures(subject: &Subject<'_>, limits: &[UplinkLimits]) -> String {
    let spans = &SPANS[..1];
    let ledger = Ledger::of_subject(subject, Duration::from_secs(DAY));
    pictures(subject, &ledger, limits, spans)
}

fn pictures(
    subject: &Subject<'_>,
    ledger: &Ledger,
    limits: &[UplinkLimits],
    spans: &[(&str, u64)],
) -> String {
    let (now, samples) = (subject.period.to, subject.samples);
    let source = PictureSource { ledger, samples };
    let mut html = key();
    for (title, seconds) in spans {
        let from = now.checked_sub(Duration::from_secs(*seconds));
        let from = from.unwrap_or(SystemTime::UNIX_EPOCH);
        let period = Period { from, to: now };
        let _ = writeln!(html, "<h2>{title}</h2>");
        for uplink in &ledger.names(subject.running.unwrap_or_default(), period) {
            let limits = limits.iter().find(|limits| limits.uplink == *uplink);
            of_uplink(&mut html, &source, uplink, limits, period);
        }
    }
    html
}

/// An uplink in a time.
fn of_uplink(
    html: &mut String,
    source: &PictureSource<'_>,
    uplink: &UplinkName,
    limits: Option<&UplinkLimits>,
    period: Period,
) {
    let report = source.ledger.uplink(uplink.clone(), period, source.samples);
    let availability = report.availability;
    let text = format!(
        "{} available; outages {}, in all {}; carried {}",
        share_text(availability.available_percent),
        availability.outages,
        lasts(availability.outage_s),
        lasts(report.carried_s)
    );
    let axis = Axis(period);
    let title = format!("{uplink}: {text}");
    let _ = write!(
        html,
        "<div class=\"u\"><h3>{} <small>{text}</small></h3>{}",
        escaped(uplink),
        source.bar(uplink, axis, &title)
    );
    let (plot, measured) = source.plot(uplink, limits, axis).unwrap_or_default();
    html.push_str(&plot);
    html.push_str("<p class=\"x\">");
    for quarter in 0..=4 {
        let at = period.from + period.lasts() * quarter / 4;
        let text = Timestamp(at).to_string();
        let text = if period.lasts() > Duration::from_secs(2 * DAY) {
            text[..10].to_owned()
        } else {
            text[11..16].to_owned()
        };
        let _ = write!(html, "<span>{text}</span>");
    }
    html.push_str("</p>");
    if !measured.is_empty() {
        let _ = write!(html, "<p class=\"n\">{measured}</p>");
    }
    html.push_str("</div>\n");
}

/// What the marks mean, in words.
fn key() -> String {
    let mut html = "<svg width=\"0\" height=\"0\" aria-hidden=\"true\"><defs><pattern id=\"hatch\" width=\"6\" height=\"6\" \
                    patternUnits=\"userSpaceOnUse\"><rect class=\"mid\" width=\"6\" height=\"6\"/>\
                    <path class=\"ink\" d=\"M-1 7L7 -1\"/></pattern></defs></svg><p class=\"key\">"
        .to_owned();
    let words = [
        (Account::Up, "available"),
        (Account::Degraded, "available, degraded"),
        (Account::Outage, "outage"),
        (Account::Planned, "planned: maintenance or a drill"),
        (Account::Idle, "at rest or not known"),
    ];
    for (account, word) in words {
        let (class, y, height) = form(account);
        let _ = write!(
            html,
            "<span><svg viewBox=\"0 0 26 20\" aria-hidden=\"true\"><rect class=\"{class}\" y=\"{y}\" width=\"26\" \
             height=\"{height}\"/></svg>{word}</span>"
        );
    }
    html + "<span><svg viewBox=\"0 0 26 20\" aria-hidden=\"true\"><rect class=\"carried\" y=\"9\" width=\"26\" height=\"3\"/>\
            </svg>carried the traffic</span></p><p class=\"n\">Lines: median of the round trips, and above it what 19 of 20 \
            did not exceed. Below: lost probes. Dashed: limits. Dotted: the traffic moved. A blank was not watched.</p>\n"
}

/// The figures of each uplink.
fn summary(html: &mut String, report: &Report) {
    html.push_str(
        "<div class=\"wide\"><table><caption>Availability</caption><thead><tr><th scope=\"col\">Uplink</th>",
    );
    let titles = [
        "Available",
        "Outages",
        "Longest",
        "In all",
        "Degraded",
        "Planned",
        "Carried",
        "Received",
        "Sent",
        "Probes",
    ];
    for title in titles {
        let _ = write!(html, "<th scope=\"col\" class=\"r\">{title}</th>");
    }
    html.push_str("</tr></thead><tbody>");
    for uplink in &report.uplinks {
        let UplinkReport {
            name,
            availability,
            degraded_s,
            planned_s,
            carried_s,
            receive_bytes,
            transmit_bytes,
            probe_bytes,
            // It is of the present period of the plan, and stands below.
            allowance: _,
        } = uplink;
        let bytes = [receive_bytes, transmit_bytes, probe_bytes];
        let bytes = bytes
            .map(|bytes| bytes.map_or_else(|| "–".to_owned(), |bytes| Bytes(bytes).to_string()));
        let [received, sent, probes] = bytes;
        let cells = [
            share_text(availability.available_percent),
            availability.outages.to_string(),
            lasts(availability.longest_outage_s),
            lasts(availability.outage_s),
            lasts(*degraded_s),
            lasts(*planned_s),
            lasts(*carried_s),
            received,
            sent,
            probes,
        ];
        row(html, &escaped(name), &cells);
    }
    let whole = &report.whole;
    let cells = [
        share_text(whole.available_percent),
        whole.outages.to_string(),
        lasts(whole.longest_outage_s),
        lasts(whole.outage_s),
    ];
    row(html, "at least one", &cells);
    html.push_str("</tbody></table></div>\n");
    let Report {
        switches,
        planned_switches,
        ..
    } = report;
    let moved = plural(*switches, "time");
    let _ = writeln!(
        html,
        "<p>The traffic moved {moved}, {planned_switches} of these as planned.{}</p>",
        recovered(&report.recovery).unwrap_or_default()
    );
    for uplink in &report.uplinks {
        if let Some(allowance) = &uplink.allowance {
            let (name, words) = (escaped(&uplink.name), allowance.words());
            let _ = writeln!(html, "<p>Allowance of {name}: {words}</p>");
        }
    }
}

/// How soon the traffic was back.
fn recovered(recovery: &RecoveryTime) -> Option<String> {
    let RecoveryTime {
        switches,
        median_ms,
        p95_ms,
        worst_ms,
        rto_ms,
        within_rto,
    } = *recovery;
    let [median, p95, worst] = [median_ms?, p95_ms?, worst_ms?].map(seconds);
    let failures = plural(switches, "failure");
    let mut text = format!(
        " Recovery time after {failures} of what carried it: median {median}, 95 % within {p95}, \
         worst {worst}."
    );
    if let Some((rto, within)) = rto_ms.zip(within_rto) {
        let rto = seconds(rto);
        let _ = write!(
            text,
            " The objective is {rto}: {within} of {switches} met it."
        );
    }
    Some(text)
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03} s", millis / 1_000, millis % 1_000)
}

fn row(html: &mut String, head: &str, cells: &[String]) {
    let _ = write!(html, "<tr><th scope=\"row\">{head}</th>");
    for cell in cells {
        let _ = write!(html, "<td class=\"r\">{cell}</td>");
    }
    html.push_str("</tr>");
}

fn outages(html: &mut String, outages: &[OutageReport]) {
    html.push_str("<h2>Outages</h2>\n");
    if outages.is_empty() {
        html.push_str("<p>None.</p>\n");
        return;
    }
    let titles = [
        "Begin",
        "Uplink",
        "Lasted",
        "End",
        "Recovery",
        "Carried meanwhile",
        "Broke",
        "Reason",
    ];
    table(html, "Each outage, the latest first", &titles);
    for outage in outages.iter().rev() {
        let OutageReport {
            uplink,
            begin,
            end,
            lasts_s,
            reason,
            broken_at,
            carried,
            recovery_ms,
        } = outage;
        let carried: Vec<_> = carried.iter().map(UplinkName::as_str).collect();
        let carried = if carried.is_empty() {
            "none".to_owned()
        } else {
            carried.join(", ")
        };
        let cells = [
            utc(*begin),
            uplink.as_ref().map_or("all", UplinkName::as_str).to_owned(),
            lasts(*lasts_s),
            end_text(*end),
            recovery_ms.map_or_else(|| "–".to_owned(), seconds),
            carried,
            broken_at.map_or("–", BrokenAt::words).to_owned(),
        ];
        line(html, &cells, reason);
    }
    html.push_str("</tbody></table></div>\n");
}

fn planned(html: &mut String, planned: &[PlannedReport]) {
    if planned.is_empty() {
        return;
    }
    html.push_str("<h2>Maintenance</h2>\n");
    let titles = ["Begin", "Uplink", "Lasted", "End", "Reason"];
    table(html, "Taken out of use by hand, the latest first", &titles);
    for one in planned.iter().rev() {
        let PlannedReport {
            uplink,
            begin,
            end,
            lasts_s,
            reason,
        } = one;
        let cells = [
            utc(*begin),
            uplink.to_string(),
            lasts(*lasts_s),
            end_text(*end),
        ];
        line(html, &cells, reason);
    }
    html.push_str("</tbody></table></div>\n");
}

fn drills(html: &mut String, drills: &[DrillReport]) {
    if drills.is_empty() {
        return;
    }
    html.push_str("<h2>Drills</h2>\n");
    let titles = [
        "End",
        "Uplink",
        "Failed for",
        "Recovery",
        "Result",
        "Reason",
    ];
    table(html, "Each failover test, the latest first", &titles);
    for drill in drills.iter().rev() {
        let DrillReport {
            at,
            uplink,
            findings,
            reason,
        } = drill;
        let recovery = findings.recovery_ms.map(u64::from).map(seconds);
        let cells = [
            utc(*at),
            uplink.to_string(),
            seconds(findings.failed_ms.into()),
            recovery.unwrap_or_else(|| "–".to_owned()),
            findings.result.to_string(),
        ];
        line(html, &cells, reason);
    }
    html.push_str("</tbody></table></div>\n");
}

fn table(html: &mut String, caption: &str, titles: &[&str]) {
    let _ = write!(
        html,
        "<div class=\"wide\"><table><caption>{caption}</caption><thead><tr>"
    );
    for title in titles {
        let _ = write!(html, "<th scope=\"col\">{title}</th>");
    }
    html.push_str("</tr></thead><tbody>");
}

/// A line of a list.
fn line(html: &mut String, cells: &[String], reason: &str) {
    html.push_str("<tr>");
    for cell in cells {
        let _ = write!(html, "<td>{}</td>", escaped(cell));
    }
    let _ = writeln!(html, "<td class=\"why\">{}</td></tr>", escaped(reason));
}

fn end_text(end: Option<Timestamp>) -> String {
    end.map_or_else(|| "goes on".to_owned(), utc)
}

/// A time as people write it. The page says that all are UTC.
fn utc(at: Timestamp) -> String {
    let text = at.to_string();
    text.trim_end_matches('Z').replace('T', " ")
}

/// To three decimals, and never rounded up: only what had no outage is 100 %.
fn share_text(percent: Option<f64>) -> String {
    percent.map_or_else(
        || "–".to_owned(),
        |percent| format!("{:.3} %", (percent * 1000.0).floor() / 1000.0),
    )
}

fn lasts(seconds: u64) -> String {
    let [days, hours, minutes] = [seconds / DAY, seconds / 3_600 % 24, seconds / 60 % 60];
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}
