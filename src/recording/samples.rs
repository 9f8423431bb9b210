//! The outcomes of all probes to one target, small enough for a month.

use std::time::Duration;

use crate::engine::input::ProbeOutcome;

/// A probe without an answer.
const LOST: u32 = u32::MAX;

/// The longest round trip.
pub(super) const LONGEST: Duration = Duration::from_secs(3600);

/// From here on a number is the place of a wrong answer: no round trip is that long.
const WRONG: u32 = 4_000_000_000;

/// Distinct wrong answers that are kept.
const MOST_WRONGS: usize = 64;

/// Times and round trips, 12 bytes a probe.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Seconds of the recording.
    sent: Vec<f64>,
    /// Microseconds, or [`LOST`], or [`WRONG`] and the place of a wrong answer.
    rtts: Vec<u32>,
    /// The distinct wrong answers, and the round trip of the first of each.
    wrongs: Vec<(Duration, ProbeOutcome)>,
}

impl Samples {
    /// The number of probes.
    pub fn len(&self) -> usize {
        self.sent.len()
    }

    /// Whether there are no probes.
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// The times of the first and the last probe.
    pub fn span(&self) -> Option<(f64, f64)> {
        Some((*self.sent.first()?, *self.sent.last()?))
    }

    /// When each probe was sent, and whether it was answered.
    pub fn fates(&self) -> impl Iterator<Item = (f64, bool)> {
        let answered = self.rtts.iter().map(|rtt| *rtt != LOST);
        self.sent.iter().copied().zip(answered)
    }

    /// How soon after a lost probe the next one was sent, mostly, in seconds; after any, if none was lost: then nothing
    /// was asked sooner.
    pub fn spacing_in_doubt(&self) -> Option<f64> {
        let after = |is_meant: fn(u32) -> bool| {
            let pairs = self.sent.windows(2).zip(&self.rtts);
            let meant = pairs.filter(move |(_, rtt)| is_meant(**rtt));
            meant.map(|(pair, _)| pair[1] - pair[0]).collect()
        };
        let mut gaps: Vec<_> = after(|rtt| rtt == LOST);
        if gaps.is_empty() {
            gaps = after(|_| true);
        }
        let middle = gaps.len() / 2;
        (!gaps.is_empty()).then(|| *gaps.select_nth_unstable_by(middle, f64::total_cmp).1)
    }

    /// The longest time between two probes.
    pub(super) fn longest_gap(&self) -> Option<(f64, f64)> {
        let gaps = self.sent.windows(2).map(|pair| (pair[0], pair[1]));
        gaps.max_by(|one, other| (one.1 - one.0).total_cmp(&(other.1 - other.0)))
    }

    /// The round trip of the probe that was sent nearest to `at`; of two, the later. The search begins at
    /// `from`, which is moved: calls in the order of time are quick.
    pub fn nearest(&self, at: f64, from: &mut usize) -> Option<Duration> {
        let rtt = self.nearest_number(at, from)?;
        (rtt < WRONG).then(|| Duration::from_micros(u64::from(rtt)))
    }

    /// The same with its outcome, right or wrong.
    pub(super) fn nearest_outcome(
        &self,
        at: f64,
        from: &mut usize,
    ) -> Option<(Duration, ProbeOutcome)> {
        let rtt = self.nearest_number(at, from)?;
        let wrong = rtt.checked_sub(WRONG).filter(|_| rtt != LOST);
        let Some(wrong) = wrong.and_then(|place| usize::try_from(place).ok()) else {
            let rtt = (rtt < WRONG).then(|| Duration::from_micros(u64::from(rtt)))?;
            return Some((rtt, ProbeOutcome::Reply(rtt)));
        };
        self.wrongs.get(wrong).cloned()
    }

    fn nearest_number(&self, at: f64, from: &mut usize) -> Option<u32> {
        let mut place = (*from).min(self.sent.len().checked_sub(1)?);
        while place > 0 && self.sent[place] > at {
            place -= 1;
        }
        while let Some(next) = self.sent.get(place + 1)
            && *next <= at
        {
            place += 1;
        }
        *from = place;
        let is_next_nearer = self
            .sent
            .get(place + 1)
            .is_some_and(|next| (next - at).abs() <= (at - self.sent[place]).abs());
        Some(self.rtts[place + usize::from(is_next_nearer)])
    }

    /// Adds a probe, sent `at`, with its round trip if it was answered.
    pub(super) fn push(&mut self, at: f64, rtt: Option<Duration>) {
        let micros = rtt.map(|rtt| u32::try_from(rtt.as_micros()).unwrap_or(WRONG));
        self.sent.push(at);
        self.rtts
            .push(micros.map_or(LOST, |micros| micros.min(WRONG - 1)));
    }

    /// Adds a probe, sent `at`, with its wrong answer. Beyond [`MOST_WRONGS`] distinct ones it counts as
    /// lost.
    pub(super) fn push_wrong(&mut self, at: f64, after: Duration, outcome: ProbeOutcome) {
        let known = self.wrongs.iter().position(|(_, known)| *known == outcome);
        let place = known.or_else(|| {
            let has_room = self.wrongs.len() < MOST_WRONGS;
            has_room.then(|| self.wrongs.push((after, outcome)))?;
            Some(self.wrongs.len() - 1)
        });
        let number = place.and_then(|place| u32::try_from(place).ok());
        self.sent.push(at);
        self.rtts.push(number.map_or(LOST, |number| WRONG + number));
    }

    /// Sorts by time; most recordings are sorted already.
    pub(super) fn sort(&mut self) {
        if self.sent.is_sorted() {
            return;
        }
        let mut both: Vec<_> = self.sent.drain(..).zip(self.rtts.drain(..)).collect();
        both.sort_by(|one, other| one.0.total_cmp(&other.0));
        (self.sent, self.rtts) = both.into_iter().unzip();
    }
}
