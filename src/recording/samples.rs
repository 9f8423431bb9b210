//! The fate of every probe to one target, small enough for a month of them.

use std::time::Duration;

/// Stands for a probe that was not answered.
const LOST: u32 = u32::MAX;

/// The longest round trip that counts as one.
pub(super) const LONGEST: Duration = Duration::from_secs(3600);

/// Times and round trips, 12 bytes a probe.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Seconds of the recording.
    sent: Vec<f64>,
    /// Microseconds, or [`LOST`].
    rtts: Vec<u32>,
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

    /// What became of the probe that was sent nearest to `at`; of two, the later. `from` is where the
    /// search begins, and is moved: whoever asks in the order of time is answered at once.
    pub fn nearest(&self, at: f64, from: &mut usize) -> Option<Duration> {
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
        let rtt = self.rtts[place + usize::from(is_next_nearer)];
        (rtt != LOST).then(|| Duration::from_micros(u64::from(rtt)))
    }

    /// One more probe, sent `at`, and its round trip if it was answered.
    pub(super) fn push(&mut self, at: f64, rtt: Option<Duration>) {
        let micros = rtt.map(|rtt| u32::try_from(rtt.as_micros()).unwrap_or(LOST - 1));
        self.sent.push(at);
        self.rtts
            .push(micros.map_or(LOST, |micros| micros.min(LOST - 1)));
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
