//! The output of `ping -D` of iputils, with or without `-O`.
//!
//! A reply has its time and its round trip, and so the time of its request. A request without a reply is
//! missing in the sequence, and was sent between its neighbours.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::time::Duration;

use super::content::Recording;
use super::csv::{milliseconds, time};
use super::error::{LineFault, Quoted, RecordingError};
use super::lines::RecordingLines;
use crate::units::UplinkName;

/// The sequence has 16 bits and wraps.
const SEQUENCES: u64 = 1 << 16;

/// Whether this is the first line of a ping.
pub(super) fn is_head(line: &str) -> bool {
    line.starts_with("PING ") || line.starts_with('[')
}

/// Reads all of a file into the samples of one target of one uplink.
pub(super) fn read<R: BufRead>(
    lines: &mut RecordingLines<R>,
    uplink: &UplinkName,
    recording: &mut Recording,
) -> Result<(), RecordingError> {
    let mut run = PingRun::default();
    lines.each(|line| run.line(line))?;
    lines.finish()?;
    let Some(target) = run.target.take() else {
        return Ok(());
    };
    let placed = recording.target(&target).and_then(|target| {
        let samples = recording.samples(uplink, &target)?;
        run.place(|sent, rtt| samples.push(sent, rtt));
        Ok(())
    });
    placed.map_err(|fault| {
        lines.note(fault);
        lines.faults()
    })
}

/// One run of ping.
#[derive(Debug, Default)]
struct PingRun {
    target: Option<String>,
    /// Requests by number.
    requests: BTreeMap<u64, PingRequest>,
    /// The highest number so far.
    last: u64,
    /// The number of requests in its statistics.
    transmitted: u64,
}

#[derive(Clone, Copy, Debug)]
enum PingRequest {
    /// When it was sent, and its round trip.
    Answered(f64, Duration),
    /// When ping reported it as lost.
    Lost(f64),
}

impl PingRun {
    fn line(&mut self, line: &str) -> Result<(), LineFault> {
        if let Some(rest) = line.strip_prefix('[') {
            let (at, rest) = rest.split_once(']').ok_or_else(|| stray(line))?;
            return self.event(time(at)?, rest.trim_start());
        }
        if let Some(rest) = line.strip_prefix("PING ") {
            self.target = Some(target_of(rest).ok_or_else(|| stray(line))?);
        } else if line.contains(" packets transmitted") {
            let count = line.split(' ').next().and_then(|count| count.parse().ok());
            self.transmitted = count.ok_or_else(|| stray(line))?;
        } else if line.contains("bytes from ") || line.contains("no answer yet") {
            return Err(LineFault::Timeless);
        } else if !is_remark(line) {
            return Err(stray(line));
        }
        Ok(())
    }

    fn event(&mut self, at: f64, what: &str) -> Result<(), LineFault> {
        let number = value_of(what, "seq=").and_then(|text| text.parse().ok());
        let number = self.count(number.ok_or_else(|| stray(what))?);
        if what.contains("bytes from ") {
            let text = value_of(what, "time=").or_else(|| value_of(what, "time<"));
            let rtt = text.and_then(milliseconds).ok_or_else(|| stray(what))?;
            if self.target.is_none() {
                self.target = what
                    .split_once("bytes from ")
                    .and_then(|(_, rest)| target_of(rest));
            }
            let is_again = matches!(self.requests.get(&number), Some(PingRequest::Answered(..)));
            if !is_again {
                let sent = at - rtt.as_secs_f64();
                self.requests
                    .insert(number, PingRequest::Answered(sent, rtt));
            }
        } else if what.starts_with("From ") || what.starts_with("no answer yet") {
            self.requests.entry(number).or_insert(PingRequest::Lost(at));
        } else {
            return Err(stray(what));
        }
        Ok(())
    }

    /// The number of a request from its 16 bits: the candidate nearest to the last.
    fn count(&mut self, sequence: u64) -> u64 {
        let sequence = sequence % SEQUENCES;
        let turn = self.last / SEQUENCES;
        let candidates =
            [turn.saturating_sub(1), turn, turn + 1].map(|turn| turn * SEQUENCES + sequence);
        let nearest = candidates
            .into_iter()
            .min_by_key(|number| number.abs_diff(self.last))
            .unwrap_or(sequence);
        self.last = self.last.max(nearest);
        nearest
    }

    /// Passes every request in order to `push`, missing ones included.
    fn place(&self, mut push: impl FnMut(f64, Option<Duration>)) {
        let answered = || {
            let requests = self.requests.iter();
            requests.filter_map(|(number, request)| match request {
                PingRequest::Answered(sent, rtt) => Some((*number, *sent, *rtt)),
                PingRequest::Lost(_) => None,
            })
        };
        let (Some((first, from, _)), Some((last, to, _))) =
            (answered().next(), answered().next_back())
        else {
            return self.place_lost(push);
        };
        let spacing = if last > first {
            ((to - from) / float(last - first)).max(1e-3)
        } else {
            1.0
        };
        // The first request of iputils is number 1, and of others number 0.
        for number in first.min(1)..first {
            push(from - float(first - number) * spacing, None);
        }
        let mut before: Option<(u64, f64)> = None;
        for (number, sent, rtt) in answered() {
            if let Some((earlier, at)) = before {
                let step = (sent - at) / float(number - earlier);
                for missing in earlier + 1..number {
                    push(at + float(missing - earlier) * step, None);
                }
            }
            push(sent, Some(rtt));
            before = Some((number, sent));
        }
        for number in last + 1..=self.end(last) {
            push(to + float(number - last) * spacing, None);
        }
    }

    /// The number of the last request. A count in the statistics that differs by more than a wrap of the
    /// sequence is of another run.
    fn end(&self, last: u64) -> u64 {
        let noticed = self.requests.keys().next_back().copied().unwrap_or(last);
        let counted = self.transmitted.min(last + SEQUENCES);
        last.max(noticed).max(counted)
    }

    /// Without any reply the times of the reported losses count.
    fn place_lost(&self, mut push: impl FnMut(f64, Option<Duration>)) {
        for request in self.requests.values() {
            match request {
                PingRequest::Lost(at) | PingRequest::Answered(at, _) => push(*at, None),
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

fn stray(line: &str) -> LineFault {
    LineFault::Ping(Quoted::new(line))
}

/// What follows `key`, up to a space or a colon.
fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(key)?;
    rest.split([' ', ':']).next()
}

/// `host (address)…`, `address: …` or `host(address)`: the address.
fn target_of(text: &str) -> Option<String> {
    let mut brackets = text.splitn(2, '(').skip(1);
    let bracketed = brackets.next().and_then(|rest| rest.split(')').next());
    let first = text
        .split(' ')
        .next()
        .map(|word| word.trim_end_matches(':'));
    let is_address = |text: &&str| text.parse::<std::net::IpAddr>().is_ok();
    bracketed
        .filter(is_address)
        .or(first)
        .filter(|target| !target.is_empty())
        .map(str::to_owned)
}

/// Whether a line of ping is neither a reply nor a loss.
fn is_remark(line: &str) -> bool {
    [
        "---",
        "rtt ",
        "round-trip ",
        "ping: ",
        "ping6: ",
        "pipe ",
        "^C",
        "Warning: ",
    ]
    .iter()
    .any(|start| line.starts_with(start))
}
