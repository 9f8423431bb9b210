//! `uplinkd report`: availability, outages, and who carried the traffic.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use super::command::unexpected;
use super::connection::{CONNECTION, Connection};
use super::history;
use super::output::{self, list, paragraph, short};
use super::syntax::{self, Argument, ArgumentForm, CommandForm, CommandRow, Given};
use crate::config::{Config, ConfigError, printable};
use crate::control::{Request, Response};
use crate::engine::event::broken_at::BrokenAt;
use crate::engine::status::Status;
use crate::report::{
    Availability, DrillReport, OutageReport, Period, PlannedReport, RecoveryTime, Report, Subject,
    UplinkLimits, UplinkReport, html,
};
use crate::samples::{SampleBook, file};
use crate::units::{Bytes, UplinkName};

pub(super) const COMMAND: CommandRow = CommandRow {
    form: CommandForm {
        name: "report",
        about: "Show availability, outages, and who carried the traffic",
        arguments: &[JSON, CSV, CSV_UPLINKS, HTML, SINCE],
    },
    connection: CONNECTION,
    run: |given| run(&ReportArguments::read(given)?),
};

const JSON: Argument = Argument {
    help: "For machines",
    excludes: &["csv"],
    ..Argument::named("json")
};
const CSV: Argument = Argument {
    help: "The outages, as values separated by commas",
    ..Argument::named("csv")
};
const CSV_UPLINKS: Argument = Argument {
    help: "The uplinks with their traffic, as values separated by commas",
    excludes: &["json", "csv"],
    ..Argument::named("csv-uplinks")
};
const HTML: Argument = Argument {
    form: ArgumentForm::Valued("FILE"),
    help: "As one file of HTML with pictures; `-` is the standard output",
    excludes: &["json", "csv", "csv-uplinks"],
    ..Argument::named("html")
};
const SINCE: Argument = Argument {
    form: ArgumentForm::Dashed("SPAN"),
    help: "Over this time until now",
    default: Some(|| "30d"),
    ..Argument::named("since")
};

#[derive(Debug)]
struct ReportArguments {
    json: bool,
    csv: bool,
    csv_uplinks: bool,
    html: Option<PathBuf>,
    since: Duration,
    connection: Connection,
}

impl ReportArguments {
    fn read(given: &Given) -> Result<Self> {
        Ok(Self {
            json: given.has(&JSON),
            csv: given.has(&CSV),
            csv_uplinks: given.has(&CSV_UPLINKS),
            html: given.value(&HTML, syntax::path)?,
            since: given.need(&SINCE, syntax::text(history::span))?,
            connection: Connection::read(given)?,
        })
    }
}

/// Prints it.
fn run(arguments: &ReportArguments) -> Result<ExitCode> {
    let status = running(&arguments.connection)?;
    let running = status.as_ref().map(|status| {
        let uplinks = status.uplinks.iter();
        uplinks
            .map(|uplink| uplink.name.clone())
            .collect::<Vec<_>>()
    });
    let events = history::events(&arguments.connection, None)?;
    let samples = samples(&arguments.connection, running.is_some())?;
    let now = history::now();
    let from = now.checked_sub(arguments.since);
    // As far as the configuration can be read.
    let config = Config::load(&arguments.connection.file.config).ok();
    let subject = Subject {
        events: &events,
        period: Period {
            from: from.unwrap_or(SystemTime::UNIX_EPOCH),
            to: now,
        },
        running: running.as_deref(),
        samples: &samples,
        rto: config.as_ref().map(|config| config.engine.drill.rto),
    };
    if let Some(path) = &arguments.html {
        let uplinks = config.iter().flat_map(|config| &config.engine.uplinks);
        let limits: Vec<_> = uplinks.map(UplinkLimits::of).collect();
        let page = html::file(&subject, &limits, status.as_deref());
        if path.as_os_str() == "-" {
            output::print(&page)?;
        } else {
            std::fs::write(path, page)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = Report::of(&subject);
    report.add_allowances(status.as_deref());
    output::print(&if arguments.json {
        format!("{}\n", serde_json::to_string_pretty(&report)?)
    } else if arguments.csv_uplinks {
        uplinks_csv(&report.uplinks)
    } else if arguments.csv {
        csv(&report.outages)
    } else {
        text(&report, output::width())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The status of the agent, if it runs.
fn running(connection: &Connection) -> Result<Option<Box<Status>>> {
    let status = || match connection.open()?.request(&Request::Status)? {
        Response::Status(status) => Ok(status),
        other @ (Response::History(_)
        | Response::Samples(_)
        | Response::Mwan3(_)
        | Response::Event(_)
        | Response::Done(_)
        | Response::Refused(_)
        | Response::NotFound(_)) => Err(unexpected(other)),
    };
    match status() {
        Ok(status) => Ok(Some(status)),
        Err(error) if error.is::<ConfigError>() => Err(error),
        Err(_) => Ok(None),
    }
}

/// The samples of the agent, or of its file.
fn samples(connection: &Connection, is_running: bool) -> Result<SampleBook> {
    if is_running
        && let Response::Samples(text) = connection.open()?.request(&Request::Samples)?
        && let Some(book) = file::from_text(&text)
    {
        return Ok(book);
    }
    let book = file::read(&history::state_dir(connection)?)?;
    Ok(book.unwrap_or_else(|| {
        output::remark("the file of samples is damaged: traffic is not known");
        SampleBook::default()
    }))
}

fn text(report: &Report, width: usize) -> String {
    let Report {
        from,
        to,
        coverage_percent,
        events_from,
        whole,
        uplinks,
        outages,
        planned,
        drills,
        switches,
        planned_switches,
        recovery,
        method,
    } = report;
    let lasts = to.0.duration_since(from.0).unwrap_or_default();
    let head = format!(
        "{from} to {to} ({}), watched {coverage_percent:.1} %",
        short(lasts)
    );
    let mut text = paragraph(&head, 0, width) + "\n" + &table(whole, uplinks, width) + "\n";
    if let Some(from) = events_from {
        let why = format!(
            "events are kept since {from}: before it, outages are in the times, not in their number and the list"
        );
        text.push_str(&paragraph(&why, 0, width));
    }
    let _ = writeln!(
        text,
        "switches: {switches}, {planned_switches} of these planned"
    );
    text.extend(recovery_line(recovery));
    for uplink in uplinks {
        text.extend(traffic_line(uplink));
        text.extend(allowance_line(uplink));
    }
    if !outages.is_empty() {
        text.push_str("outages:\n");
    }
    for outage in outages {
        text.push_str(&paragraph(&line(outage), 2, width));
    }
    if !planned.is_empty() {
        text.push_str("maintenance:\n");
    }
    for one in planned {
        text.push_str(&paragraph(&planned_line(one), 2, width));
    }
    if !drills.is_empty() {
        text.push_str("drills:\n");
    }
    for drill in drills {
        let DrillReport {
            at,
            uplink,
            findings: _,
            reason,
        } = drill;
        let line = printable(format!("{at}  {uplink}  {reason}"));
        text.push_str(&paragraph(&line, 2, width));
    }
    text + "\n" + &paragraph(method, 0, width)
}

const GAP: &str = "  ";
const TITLES: [&str; 8] = [
    "UPLINK",
    "AVAILABLE",
    "OUTAGES",
    "LONGEST",
    "IN ALL",
    "DEGRADED",
    "PLANNED",
    "CARRIED",
];

/// The columns that go first where there is no room for all.
const LEAST_WANTED: [usize; 4] = [6, 5, 3, 4];

fn table(whole: &Availability, uplinks: &[UplinkReport], room: usize) -> String {
    let rows = uplinks.iter().map(|uplink| {
        let own = [uplink.degraded_s, uplink.planned_s, uplink.carried_s].map(Some);
        row(uplink.name.as_str(), &uplink.availability, own)
    });
    let whole = row("(at least one)", whole, [None; 3]);
    let titles = TITLES.map(str::to_owned);
    let rows: Vec<_> = [titles].into_iter().chain(rows).chain([whole]).collect();
    let widths: [usize; TITLES.len()] = std::array::from_fn(|column| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or_default()
    });
    let mut shown: Vec<_> = (0..TITLES.len()).collect();
    for least in LEAST_WANTED {
        let all: usize = shown.iter().map(|column| widths[*column] + GAP.len()).sum();
        if all <= room + GAP.len() {
            break;
        }
        shown.retain(|column| *column != least);
    }
    let mut text = String::new();
    for row in &rows {
        let cells = shown.iter().map(|&column| {
            let (cell, width) = (&row[column], widths[column]);
            if column == 0 {
                format!("{cell:width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        let line = cells.collect::<Vec<_>>().join(GAP);
        text.extend([line.trim_end(), "\n"]);
    }
    text
}

fn row(name: &str, availability: &Availability, own: [Option<u64>; 3]) -> [String; 8] {
    let Availability {
        available_percent,
        available_s: _,
        outage_s,
        outages,
        longest_outage_s,
    } = *availability;
    let lasts = |seconds| short(Duration::from_secs(seconds));
    let [degraded, planned, carried] = own.map(|own| own.map(lasts).unwrap_or_default());
    [
        printable(name),
        available_percent.map_or_else(|| "-".to_owned(), share),
        outages.to_string(),
        lasts(longest_outage_s),
        lasts(outage_s),
        degraded,
        planned,
        carried,
    ]
}

/// How soon the traffic was back.
fn recovery_line(recovery: &RecoveryTime) -> Option<String> {
    let RecoveryTime {
        switches,
        median_ms,
        p95_ms,
        worst_ms,
        rto_ms,
        within_rto,
    } = *recovery;
    let [median, p95, worst] = [median_ms?, p95_ms?, worst_ms?].map(precise);
    let mut line =
        format!("recovery time of {switches}: median {median}, 95 % {p95}, worst {worst}\n");
    if let Some((rto, within)) = rto_ms.zip(within_rto) {
        let rto = precise(rto);
        let _ = writeln!(line, "within `drill.rto` ({rto}): {within} of {switches}");
    }
    Some(line)
}

fn precise(millis: u64) -> String {
    format!("{}.{:03} s", millis / 1_000, millis % 1_000)
}

fn planned_line(planned: &PlannedReport) -> String {
    let PlannedReport {
        uplink,
        begin,
        end,
        lasts_s,
        reason,
    } = planned;
    let lasts = short(Duration::from_secs(*lasts_s));
    let so_far = if end.is_none() { " so far" } else { "" };
    printable(format!("{begin}  {uplink}  {lasts}{so_far}: {reason}"))
}

/// What an uplink carried, if that is known.
fn traffic_line(uplink: &UplinkReport) -> Option<String> {
    let UplinkReport {
        name,
        receive_bytes,
        transmit_bytes,
        probe_bytes,
        ..
    } = uplink;
    let [received, sent, probes] =
        [*receive_bytes, *transmit_bytes, *probe_bytes].map(|bytes| bytes.map(Bytes));
    let (received, sent, probes) = (received?, sent?, probes?);
    let line = format!("traffic of {name}: {received} in, {sent} out; probes at most {probes}\n");
    Some(line)
}

/// What is used of its allowance, if that is known.
fn allowance_line(uplink: &UplinkReport) -> Option<String> {
    let words = uplink.allowance.as_ref()?.words();
    Some(format!("allowance of {}: {words}\n", uplink.name))
}

/// To three decimals, and never rounded up: only what had no outage is 100 %.
fn share(percent: f64) -> String {
    let floor = (percent * 1000.0).floor() / 1000.0;
    format!("{floor:.3} %")
}

fn line(outage: &OutageReport) -> String {
    let OutageReport {
        uplink,
        begin,
        end,
        lasts_s,
        reason,
        // The reason says it in words.
        broken_at: _,
        carried,
        recovery_ms,
    } = outage;
    let who = uplink.as_ref().map_or("all", UplinkName::as_str);
    let lasts = short(Duration::from_secs(*lasts_s));
    let so_far = if end.is_none() { " so far" } else { "" };
    let carried = match carried.as_slice() {
        [] => String::new(),
        names => format!(", carried by {}", list(names)),
    };
    let recovered = recovery_ms.map(|time| format!(" after {}", precise(time)));
    let recovered = recovered.unwrap_or_default();
    printable(format!(
        "{begin}  {who}  {lasts}{so_far}{carried}{recovered}: {reason}"
    ))
}

/// RFC 4180. What is not known is empty.
fn uplinks_csv(uplinks: &[UplinkReport]) -> String {
    let mut text = "uplink,available_percent,available_s,outage_s,outages,longest_outage_s,degraded_s,planned_s,\
                    carried_s,receive_bytes,transmit_bytes,probe_bytes,allowance_bytes,allowance_used_bytes\r\n"
        .to_owned();
    for uplink in uplinks {
        let Availability {
            available_percent,
            available_s,
            outage_s,
            outages,
            longest_outage_s,
        } = uplink.availability;
        let count = |count: usize| Some(count as u64);
        let allowance = uplink.allowance.as_ref();
        let _ = write!(text, "{},", uplink.name);
        text.extend(available_percent.map(|percent| format!("{percent:.4}")));
        let numbers = [
            Some(available_s),
            Some(outage_s),
            count(outages),
            Some(longest_outage_s),
            Some(uplink.degraded_s),
            Some(uplink.planned_s),
            Some(uplink.carried_s),
            uplink.receive_bytes,
            uplink.transmit_bytes,
            uplink.probe_bytes,
            allowance.map(|allowance| allowance.limit_bytes.0),
            allowance.map(|allowance| allowance.used_bytes.0),
        ];
        for number in numbers {
            text.push(',');
            text.extend(number.map(|number| number.to_string()));
        }
        text.push_str("\r\n");
    }
    text
}

/// RFC 4180. The uplink is empty where it is an outage of all, and the end while it goes on.
fn csv(outages: &[OutageReport]) -> String {
    let mut text = "uplink,begin,end,seconds,carried,recovery_ms,broken_at,reason\r\n".to_owned();
    for outage in outages {
        let text_of = |value: Option<String>| value.unwrap_or_default();
        let carried: Vec<_> = outage.carried.iter().map(UplinkName::as_str).collect();
        let fields = [
            text_of(outage.uplink.as_ref().map(ToString::to_string)),
            outage.begin.to_string(),
            text_of(outage.end.map(|end| end.to_string())),
            outage.lasts_s.to_string(),
            carried.join(" "),
            text_of(outage.recovery_ms.map(|time| time.to_string())),
            outage.broken_at.map_or("", BrokenAt::key).to_owned(),
            printable(&outage.reason),
        ];
        text.push_str(&fields.map(quoted).join(","));
        text.push_str("\r\n");
    }
    text
}

fn quoted(field: String) -> String {
    if field.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::METHOD;
    use crate::units::Timestamp;

    fn at(second: u64) -> Timestamp {
        Timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_132_800 + second))
    }

    fn name(name: &str) -> UplinkName {
        name.parse().expect("a name")
    }

    fn report() -> Report {
        let down = Availability {
            available_percent: Some(99.999_9),
            available_s: 2_591_988,
            outage_s: 12,
            outages: 2,
            longest_outage_s: 9,
        };
        let uplink = |name: &str, availability| UplinkReport {
            name: name.parse().expect("a name"),
            availability,
            degraded_s: 90,
            planned_s: 3_600,
            carried_s: 2_500_000,
            receive_bytes: Some(12_300_000_000),
            transmit_bytes: Some(456_000),
            probe_bytes: None,
            allowance: None,
        };
        Report {
            from: at(0),
            to: at(30 * 86_400),
            coverage_percent: 100.0,
            events_from: Some(at(500)),
            whole: Availability::default(),
            uplinks: vec![
                uplink("fiber", down),
                uplink("a-name-of-a-good-length", Availability::default()),
            ],
            outages: vec![
                OutageReport {
                    uplink: Some(name("fiber")),
                    begin: at(1_000),
                    end: Some(at(1_009)),
                    lasts_s: 9,
                    reason: "no answer for 0.4 s, in 8 rounds of probes to 4 targets".to_owned(),
                    broken_at: Some(BrokenAt::AccessLine),
                    carried: vec![name("lte"), name("backup")],
                    recovery_ms: Some(431),
                },
                OutageReport {
                    uplink: None,
                    begin: at(2_000),
                    end: None,
                    lasts_s: 3,
                    reason: "a page says \"no\"\u{1b}[31m".to_owned(),
                    broken_at: None,
                    carried: vec![],
                    recovery_ms: None,
                },
            ],
            planned: vec![PlannedReport {
                uplink: name("fiber"),
                begin: at(3_000),
                end: Some(at(6_600)),
                lasts_s: 3_600,
                reason: "by hand, and for a reason that takes more than one line of eighty columns"
                    .to_owned(),
            }],
            drills: vec![],
            switches: 4,
            planned_switches: 1,
            recovery: RecoveryTime {
                switches: 2,
                median_ms: Some(431),
                p95_ms: Some(12_007),
                worst_ms: Some(12_007),
                rto_ms: Some(2_000),
                within_rto: Some(1),
            },
            method: METHOD,
        }
    }

    #[test]
    fn the_report_fits_eighty_columns_and_obeys_no_text() {
        let shown = text(&report(), 80);
        let widest = shown.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        assert!(shown.contains("(30d 0h), watched 100.0 %"), "{shown}");
        assert!(
            shown.contains("99.999 %"),
            "an outage is not rounded away: {shown}"
        );
        let recovery = "recovery time of 2: median 0.431 s, 95 % 12.007 s, worst 12.007 s\n";
        assert!(shown.contains(recovery), "{shown}");
        let objective = "within `drill.rto` (2.000 s): 1 of 2\n";
        assert!(shown.contains(objective), "{shown}");
        assert!(shown.contains("switches: 4, 1 of these planned\n"));
        assert!(shown.contains("fiber  1h 0m: by hand"), "{shown}");
        assert!(shown.contains("events are kept since"), "{shown}");
        assert!(shown.contains("all  3s so far"), "{shown}");
        assert!(
            shown.contains("fiber  9s, carried by lte, backup after 0.431 s: no"),
            "{shown}"
        );
    }

    #[test]
    fn what_probes_cost_at_most_is_said_to_be_no_part_of_what_was_counted() {
        let mut uplink = report().uplinks.remove(0);
        [uplink.receive_bytes, uplink.transmit_bytes] = [Some(21_000); 2];
        uplink.probe_bytes = Some(58_900);
        let line = traffic_line(&uplink).expect("a line");
        assert_eq!(
            line,
            "traffic of fiber: 21 kB in, 21 kB out; probes at most 58.9 kB\n"
        );
    }

    #[test]
    fn the_table_for_other_programs_is_that_of_rfc_4180() {
        let table = csv(&report().outages);
        let lines: Vec<_> = table.split("\r\n").collect();
        assert_eq!(
            lines,
            [
                "uplink,begin,end,seconds,carried,recovery_ms,broken_at,reason",
                "fiber,2026-11-20T00:16:40Z,2026-11-20T00:16:49Z,9,lte backup,431,access_line,\"no answer for 0.4 s, in 8 \
                 rounds of probes to 4 targets\"",
                ",2026-11-20T00:33:20Z,,3,,,,\"a page says \"\"no\"\"\\u{1b}[31m\"",
                "",
            ]
        );
    }
}
