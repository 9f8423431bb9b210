//! CSV: `time,uplink,target,rtt_ms` with `lost` for a miss, and `truth,uplink,from,to` for a true
//! outage.

use std::io::BufRead;
use std::time::Duration;

use super::content::{MarkedOutage, Recording};
use super::error::{LineFault, Quoted, RecordingError};
use super::lines::RecordingLines;
use super::samples;

const HEADER: [&str; 4] = ["time", "uplink", "target", "rtt_ms"];
const TRUTH_HEADER: [&str; 3] = ["uplink", "from", "to"];
const TRUTH: &str = "truth";

/// Whether a CSV recording begins with this line.
pub(super) fn is_header(line: &str) -> bool {
    is_row(line, &HEADER)
}

fn is_row(line: &str, row: &[&str]) -> bool {
    fields(line).eq(row.iter().copied())
}

fn fields(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').map(|field| {
        let field = field.trim();
        let quoted = field
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        quoted.unwrap_or(field)
    })
}

/// Reads the lines below the header.
pub(super) fn read<R: BufRead>(
    lines: &mut RecordingLines<R>,
    recording: &mut Recording,
) -> Result<(), RecordingError> {
    lines.each(|line| {
        let mut row = fields(line);
        match (row.next(), row.next(), row.next(), row.next(), row.next()) {
            (Some(TRUTH), Some(uplink), Some(from), Some(to), None) => {
                recording.truth.push(outage(uplink, from, to)?);
                Ok(())
            }
            (Some(sent), Some(uplink), Some(target), Some(rtt), None) => {
                if is_header(line) {
                    return Ok(());
                }
                let sent = time(sent)?;
                let rtt = round_trip(rtt)?;
                let uplink = uplink.parse()?;
                let target = recording.target(target)?;
                recording.samples(&uplink, &target)?.push(sent, rtt);
                Ok(())
            }
            (..) => Err(LineFault::Fields {
                found: fields(line).count(),
                expected: "time,uplink,target,rtt_ms or truth,uplink,from,to",
            }),
        }
    })
}

/// Reads a file of true outages: `uplink,from,to`, with or without a header or a leading `truth`.
pub(super) fn read_truth<R: BufRead>(
    lines: &mut RecordingLines<R>,
    truth: &mut Vec<MarkedOutage>,
) -> Result<(), RecordingError> {
    lines.each(|line| {
        let rest = line.strip_prefix(TRUTH).map(str::trim_start);
        let line = rest.and_then(|rest| rest.strip_prefix(',')).unwrap_or(line);
        if is_row(line, &TRUTH_HEADER) {
            return Ok(());
        }
        let mut row = fields(line);
        match (row.next(), row.next(), row.next(), row.next()) {
            (Some(uplink), Some(from), Some(to), None) => {
                truth.push(outage(uplink, from, to)?);
                Ok(())
            }
            (..) => Err(LineFault::Fields {
                found: fields(line).count(),
                expected: "uplink,from,to",
            }),
        }
    })
}

fn outage(uplink: &str, from: &str, to: &str) -> Result<MarkedOutage, LineFault> {
    let (from, to) = (time(from)?, time(to)?);
    if from < to {
        let uplink = uplink.parse()?;
        Ok(MarkedOutage { uplink, from, to })
    } else {
        Err(LineFault::Outage { from, to })
    }
}

/// The largest distance of a time from 1970, in seconds.
const FARTHEST: f64 = 1e11;

/// A time in seconds.
pub(super) fn time(text: &str) -> Result<f64, LineFault> {
    let time = text.parse::<f64>().ok();
    time.filter(|time| time.abs() <= FARTHEST)
        .ok_or_else(|| LineFault::Time(Quoted::new(text)))
}

fn round_trip(text: &str) -> Result<Option<Duration>, LineFault> {
    if text.eq_ignore_ascii_case("lost") {
        return Ok(None);
    }
    milliseconds(text)
        .map(Some)
        .ok_or_else(|| LineFault::Rtt(Quoted::new(text)))
}

/// A round trip in milliseconds, if it is one.
pub(super) fn milliseconds(text: &str) -> Option<Duration> {
    let millis = text.parse::<f64>().ok()?;
    let rtt = Duration::try_from_secs_f64(millis / 1e3).ok()?;
    (rtt <= samples::LONGEST).then_some(rtt)
}
