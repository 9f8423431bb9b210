//! The output of `ping -D` of iputils, with or without `-O`: one run or several, whole or in part.
//!
//! A reply has its time and its round trip, and so the time of its request. A request without a reply is
//! missing in the sequence, and was sent between its neighbours. The sequence has 16 bits; where it turned
//! over unseen, the time of the line says how often.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::time::Duration;

use super::content::Recording;
use super::csv::{milliseconds, time};
use super::error::{LineFault, Quoted, RecordingError};
use super::lines::RecordingLines;
use crate::units::UplinkName;

/// The sequence has 16 bits and turns over.
const SEQUENCES: u64 = 1 << 16;

/// A longer silence, in numbers, is no silence but a clock that was set.
const LONGEST_SILENCE: f64 = 128.0 * 65_536.0;

/// By so much, in seconds, a reply of a new run is later than all before.
const LATER_REPLY: f64 = 0.5;
/// The same of a loss, which the kernel may report late.
const LATER_LOSS: f64 = 10.0;

/// A file with so many strange lines and nothing else is none of ping.
const MOST_STRANGE: usize = 1000;

/// Reads all of a file into the samples of the targets of one uplink.
pub(super) fn read<R: BufRead>(
    lines: &mut RecordingLines<R>,
    uplink: Option<&UplinkName>,
    recording: &mut Recording,
) -> Result<(), RecordingError> {
    let mut log = PingLog::default();
    let mut strange = 0;
    while lines.advance()? && (strange < MOST_STRANGE || log.has_times()) {
        let is_torn = lines.is_torn();
        let taken = lines.line().and_then(|line| match line {
            "" => Ok(()),
            line if is_torn && !is_whole(line) => Err(stray(line)),
            line => log.line(line),
        });
        if let Err(fault) = taken {
            strange += 1;
            lines.note(fault);
        }
    }
    if !log.has_times() {
        return if log.runs.is_empty() && strange > 0 {
            Err(lines.no_recording())
        } else {
            lines.finish()
        };
    }
    let uplink = uplink.ok_or_else(|| RecordingError::Nameless(lines.path().to_owned()))?;
    recording.remarks.extend(lines.skipped());
    if log.without_round_trip > 0 {
        recording.remarks.push(format!(
            "{}: no `time=` in {} answers: they count as immediate",
            lines.path().display(),
            log.without_round_trip
        ));
    }
    let placed = log.runs.iter().try_for_each(|run| {
        let Some(target) = run.target.as_deref().filter(|_| !run.requests.is_empty()) else {
            return Ok(());
        };
        let target = recording.target(target)?;
        let samples = recording.samples(uplink, &target)?;
        run.place(|sent, rtt| samples.push(sent, rtt));
        Ok(())
    });
    placed.map_err(|fault| {
        lines.note(fault);
        lines.faults()
    })
}

/// All runs of a file.
#[derive(Debug, Default)]
struct PingLog {
    runs: Vec<PingRun>,
    /// Replies of packets that are too short for a time.
    without_round_trip: usize,
}

impl PingLog {
    fn has_times(&self) -> bool {
        self.runs.iter().any(|run| !run.requests.is_empty())
    }

    fn line(&mut self, line: &str) -> Result<(), LineFault> {
        let mut line = line;
        if let Some(rest) = line.strip_prefix('[') {
            let (at, rest) = rest.split_once(']').ok_or_else(|| stray(line))?;
            line = rest.trim_start();
            if is_event(line) {
                return self.event(time(at)?, line);
            }
        }
        if let Some(rest) = line.strip_prefix("PING ") {
            let target = target_of(rest).ok_or_else(|| stray(line))?;
            self.runs.push(PingRun {
                target: Some(target),
                is_from_its_start: true,
                ..PingRun::default()
            });
        } else if line.contains(" packets transmitted") {
            let count = line.split(' ').next().and_then(|count| count.parse().ok());
            let count = count.ok_or_else(|| stray(line))?;
            match self.runs.last_mut() {
                Some(run) if !run.requests.is_empty() => run.transmitted = count,
                Some(_) | None if count > 0 => return Err(LineFault::Unplaced(count)),
                Some(_) | None => {}
            }
        } else if is_event(line) {
            return Err(LineFault::Timeless);
        } else if !is_remark(line) {
            return Err(stray(line));
        }
        Ok(())
    }

    fn event(&mut self, at: f64, what: &str) -> Result<(), LineFault> {
        let sequence = value_of(what, "seq=").or_else(|| value_of(what, "req="));
        let sequence = sequence.and_then(|text| text.parse().ok());
        let sequence: u64 = sequence.ok_or_else(|| stray(what))?;
        let (request, target) = if let Some((_, from)) = what.split_once("bytes from ") {
            let text = value_of(what, "time=").or_else(|| value_of(what, "time<"));
            let rtt = match text {
                Some(text) => milliseconds(text).ok_or_else(|| stray(what))?,
                None => Duration::ZERO,
            };
            self.without_round_trip += usize::from(text.is_none());
            let sent = at - rtt.as_secs_f64();
            (PingRequest::Answered(sent, rtt), target_of(from))
        } else {
            (PingRequest::Lost(at), None)
        };
        let sequence = sequence % SEQUENCES;
        let is_double = what.contains("(DUP!)");
        let is_known = |run: &mut PingRun| is_double || run.continues(sequence, &request);
        if !self.runs.last_mut().is_some_and(is_known) {
            self.runs.push(PingRun::default());
        }
        if let Some(run) = self.runs.last_mut().filter(|_| !is_double) {
            run.target = run.target.take().or(target);
            run.add(sequence, request);
        }
        Ok(())
    }
}

/// One run of ping.
#[derive(Debug, Default)]
struct PingRun {
    target: Option<String>,
    /// Its first lines are there.
    is_from_its_start: bool,
    /// Requests by number.
    requests: BTreeMap<u64, PingRequest>,
    /// The number and the time of its first line.
    first: Option<(u64, f64)>,
    /// The highest number so far, and the latest time.
    last: (u64, f64),
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

impl PingRequest {
    fn at(&self) -> f64 {
        match self {
            Self::Answered(at, _) | Self::Lost(at) => *at,
        }
    }
}

impl PingRun {
    /// Whether a request may be of this run, in which numbers and times rise together.
    fn continues(&self, sequence: u64, request: &PingRequest) -> bool {
        let later = match request {
            PingRequest::Answered(..) => LATER_REPLY,
            PingRequest::Lost(_) => LATER_LOSS,
        };
        let (last, latest) = self.last;
        self.first.is_none()
            || self.number(sequence, request.at()) > last
            || request.at() < latest + later
    }

    fn add(&mut self, sequence: u64, request: PingRequest) {
        let at = request.at();
        let number = self.number(sequence, at);
        if self.first.is_none() {
            self.first = Some((number, at));
            self.last = (number, at);
        }
        self.last = (self.last.0.max(number), self.last.1.max(at));
        let known = self.requests.entry(number).or_insert(request);
        if let PingRequest::Lost(_) = known {
            *known = match request {
                PingRequest::Answered(..) => request,
                PingRequest::Lost(_) => *known,
            };
        }
    }

    /// The number of a request from its 16 bits: the one nearest to the last, unless the time says that the
    /// sequence has turned over in between.
    fn number(&self, sequence: u64, at: f64) -> u64 {
        let Some((first, from)) = self.first else {
            return sequence;
        };
        let (last, latest) = self.last;
        let near = nearest(sequence, last);
        let passed = float(last - first) * (at - latest) / (latest - from);
        if !(float(SEQUENCES / 2)..LONGEST_SILENCE).contains(&passed) {
            return near;
        }
        let expected = last + whole(passed);
        let far = nearest(sequence, expected);
        // A machine that slept, or whose clock was set, goes on with the next number.
        let exact = if near == last + 1 { 512 } else { 16 };
        let fits = far.abs_diff(expected) <= (expected - last) / exact;
        if fits { far } else { near }
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
        for number in self.start(first)..first {
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

    /// The number of the first request, which is 1 with iputils, and 0 with others.
    fn start(&self, first: u64) -> u64 {
        if self.is_from_its_start {
            return first.min(1);
        }
        self.requests.keys().next().copied().unwrap_or(first)
    }

    /// The number of the last request. Of a run without its start the count in the statistics has turns of
    /// the sequence more; one that differs by more than a turn is of another run.
    fn end(&self, last: u64) -> u64 {
        let noticed = self.requests.keys().next_back().copied().unwrap_or(last);
        let mut more = self.transmitted.saturating_sub(last);
        if !self.is_from_its_start {
            more %= SEQUENCES;
        }
        noticed.max(last + more.min(SEQUENCES))
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

/// The number with these 16 bits that is nearest to another.
fn nearest(sequence: u64, other: u64) -> u64 {
    let turn = other / SEQUENCES;
    let candidates = [turn.saturating_sub(1), turn, turn + 1];
    let numbers = candidates.map(|turn| turn * SEQUENCES + sequence);
    let nearest = numbers
        .into_iter()
        .min_by_key(|number| number.abs_diff(other));
    nearest.unwrap_or(sequence)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to LONGEST_SILENCE"
)]
fn whole(count: f64) -> u64 {
    count.round() as u64
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

/// Whether a line is about one request.
fn is_event(line: &str) -> bool {
    line.contains("bytes from ") || line.starts_with("From ") || line.starts_with("no answer yet")
}

/// Whether the line is one that was not cut.
fn is_whole(line: &str) -> bool {
    [" ms", ")", "bytes of data.", "data bytes"]
        .iter()
        .any(|end| line.ends_with(end))
        || !line.starts_with('[')
}

/// Whether a line of ping is neither a reply nor a loss.
fn is_remark(line: &str) -> bool {
    [
        "---",
        "rtt ",
        "round-trip ",
        "pipe ",
        "^C",
        "ping: ",
        "ping6: ",
    ]
    .iter()
    .any(|start| line.starts_with(start))
}
