//! The fate of every probe to one target, small enough for a month of them.

use std::time::Duration;

use crate::engine::input::ProbeOutcome;

/// Stands for a probe that was not answered.
const LOST: u32 = u32::MAX;

/// The longest round trip that counts as one.
pub(super) const LONGEST: Duration = Duration::from_secs(3600);

/// From here on a number stands for one of the wrong answers: no round trip is that long.
const WRONG: u32 = 4_000_000_000;

/// A probe is answered wrongly in a few ways at most.
const MOST_WRONGS: usize = 64;

/// Times and round trips, 12 bytes a probe.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Seconds of the recording.
    sent: Vec<f64>,
    /// Microseconds, or [`LOST`], or [`WRONG`] and the place of a wrong answer.
    rtts: Vec<u32>,
    /// Each kind of wrong answer, and after how long it first came.
    wrongs: Vec<(Duration, ProbeOutcome)>,
}

impl Samples {
    /// How many.
    pub fn len(&self) -> usize {
        self.sent.len()
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// The first and the last time.
    pub fn span(&self) -> Option<(f64, f64)> {
        Some((*self.sent.first()?, *self.sent.last()?))
    }

    /// The longest time without a probe, from one to the next.
    pub(super) fn longest_gap(&self) -> Option<(f64, f64)> {
        let gaps = self.sent.windows(2).map(|pair| (pair[0], pair[1]));
        gaps.max_by(|one, other| (one.1 - one.0).total_cmp(&(other.1 - other.0)))
    }

    /// The round trip of the probe that was sent nearest to `at`; of two, the later. `from` is where
    /// the search begins, and is moved: whoever asks in the order of time is answered at once.
    pub fn nearest(&self, at: f64, from: &mut usize) -> Option<Duration> {
        let rtt = self.nearest_number(at, from)?;
        (rtt < WRONG).then(|| Duration::from_micros(u64::from(rtt)))
    }

    /// The same with what was answered, right or wrong.
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

    /// One more probe, sent `at`, and its round trip if it was answered.
    pub(super) fn push(&mut self, at: f64, rtt: Option<Duration>) {
        let micros = rtt.map(|rtt| u32::try_from(rtt.as_micros()).unwrap_or(WRONG));
        self.sent.push(at);
        self.rtts
            .push(micros.map_or(LOST, |micros| micros.min(WRONG - 1)));
    }

    /// One more probe, sent `at`, and how it was answered wrongly. Of too many kinds the last counts
    /// as lost.
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

    /// Puts them in the order of time, which most recordings have.
    pub(super) fn sort(&mut self) {
        if self.sent.is_sorted() {
            return;
        }
        let mut both: Vec<_> = self.sent.drain(..).zip(self.rtts.drain(..)).collect();
        both.sort_by(|one, other| one.0.total_cmp(&other.0));
        (self.sent, self.rtts) = both.into_iter().unzip();
    }
}
