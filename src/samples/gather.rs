//! The gatherer: takes in the figures and the counters of uplinks, and makes a sample of each uplink in each slot.
//!
//! Slots are kept by the monotonic clock until they are filed, as a router may learn the time long after it has
//! started; a slot ends where one of the wall clock ends, as far as that is known.

use std::time::Duration;

use super::{
    Account, BYTES, CARRIED, Figure, Level, MOST_AHEAD, SampleBook, SlotSample, WHOLE, ranked,
    score_of, whole,
};
use crate::engine::status::UplinkFigures;
use crate::metrics::ProbeCounts;
use crate::units::sorted::SortedMap;
use crate::units::{Counters, Moment, UplinkName, Wall};

/// How often they are read.
const READ_EVERY: Duration = Duration::from_secs(30);
/// How often samples are written: flash wears.
const WRITE_EVERY: Duration = Duration::from_secs(6 * 3_600);
/// Slots that wait for a clock that is set, at most.
const MOST_WAITING: usize = 2 * 86_400 / 300;

/// A clock that contradicts the samples of an earlier time is believed after so many slots, which wait until then: a
/// router without a battery may start with the time of its firmware, or with one of years ahead, and what it files under
/// such a time drops what it knows.
const DOUBTED: usize = 12 * 3_600 / 300;
/// A clock that was set back by less contradicts nothing.
const MOST_BACK: Duration = Duration::from_secs(3_600);

/// Takes in what is measured.
#[derive(Clone, Debug)]
pub struct SampleGatherer {
    book: SampleBook,
    /// Slots that are over and not filed yet.
    waiting: Vec<WaitingSlot>,
    open: Vec<OpenSample>,
    begun: Moment,
    /// When the open slot ends.
    until: Moment,
    /// Until when the open slot is accounted for.
    accounted: Moment,
    read: Option<Moment>,
    written: Moment,
}

/// A slot that is over.
#[derive(Clone, Debug)]
struct WaitingSlot {
    /// In its middle.
    at: Moment,
    samples: Vec<(UplinkName, SlotSample)>,
}

/// An uplink in the slot that goes on.
#[derive(Clone, Debug)]
struct OpenSample {
    uplink: UplinkName,
    account: Account,
    carries: bool,
    seconds: [f64; CARRIED + 1],
    /// Each reading of round trip, its 95 %, jitter and score.
    readings: [Vec<f64>; 4],
    probes: [u64; 2],
    bytes: [f64; BYTES],
    before: CountsBefore,
}

/// The counters at the last reading.
#[derive(Clone, Copy, Debug, Default)]
struct CountsBefore {
    traffic: Option<Counters>,
    probes: Option<ProbeCounts>,
}

impl OpenSample {
    fn new(uplink: UplinkName) -> Self {
        Self {
            uplink,
            account: Account::Idle,
            carries: false,
            seconds: [0.0; CARRIED + 1],
            readings: Default::default(),
            probes: [0; 2],
            bytes: [0.0; BYTES],
            before: CountsBefore::default(),
        }
    }

    /// Time has passed in the state that it was in.
    fn lasted(&mut self, span: Duration) {
        self.seconds[self.account as usize] += span.as_secs_f64();
        if self.carries {
            self.seconds[CARRIED] += span.as_secs_f64();
        }
    }

    fn follow(&mut self, uplink: &UplinkFigures) {
        self.account = if uplink.in_drill {
            Account::Planned
        } else {
            Account::of(uplink.state)
        };
        self.carries = uplink.is_carrying;
    }

    fn read(&mut self, uplink: &UplinkFigures, traffic: Option<Counters>, probes: ProbeCounts) {
        let score = uplink.score.map(|score| f64::from(score.0));
        let values = [uplink.rtt_ms, uplink.rtt_p95_ms, uplink.jitter_ms, score];
        for (readings, value) in self.readings.iter_mut().zip(values) {
            readings.extend(value);
        }
        if let Some(before) = self.before.probes {
            self.probes[0] += probes.sent.saturating_sub(before.sent);
            self.probes[1] += probes.answered.saturating_sub(before.answered);
            self.add_bytes(2, probes.bytes, before.bytes);
        }
        self.before.probes = Some(probes);
        if let Some(now) = traffic {
            if let Some(before) = self.before.traffic {
                self.add_bytes(0, now.rx_bytes, before.rx_bytes);
                self.add_bytes(1, now.tx_bytes, before.tx_bytes);
            }
            self.before.traffic = Some(now);
        }
    }

    /// A counter that is lower than before has begun anew.
    #[expect(
        clippy::cast_precision_loss,
        reason = "bytes of some minutes, for a picture"
    )]
    fn add_bytes(&mut self, place: usize, now: u64, before: u64) {
        self.bytes[place] += now.checked_sub(before).unwrap_or(now) as f64;
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "probes and bytes of some minutes"
    )]
    fn sample(&self) -> SlotSample {
        let mut sample = SlotSample::NOTHING;
        let slot = f64::from(Level::Fine.seconds());
        for (share, seconds) in sample.shares.iter_mut().zip(self.seconds) {
            *share = whole(seconds / slot * f64::from(WHOLE), WHOLE);
        }
        let [rtt, p95, jitter, score] = &self.readings;
        sample.set(Figure::Rtt, ranked(rtt.clone(), 50));
        sample.set(Figure::RttP95, ranked(p95.clone(), 95));
        sample.set(Figure::Jitter, ranked(jitter.clone(), 50));
        if let Some(score) = ranked(score.clone(), 50) {
            sample.score = score_of(score);
        }
        let [sent, answered] = self.probes;
        let lost = sent.saturating_sub(answered) as f64 / sent as f64 * 100.0;
        sample.set(Figure::Loss, (sent > 0).then_some(lost));
        sample.bytes = self.bytes.map(|bytes| bytes as f32);
        sample
    }

    /// The next slot begins; what goes on goes on.
    fn clear(&mut self) {
        *self = Self {
            account: self.account,
            carries: self.carries,
            before: self.before,
            ..Self::new(self.uplink.clone())
        };
    }
}

impl SampleGatherer {
    /// Goes on with a book.
    pub fn new(book: SampleBook, wall: Wall) -> Self {
        let now = wall.now();
        Self {
            book,
            waiting: Vec::new(),
            open: Vec::new(),
            begun: now,
            until: slot_end(wall, now),
            accounted: now,
            read: None,
            written: now,
        }
    }

    /// When it wants the figures again.
    pub fn due(&self) -> Moment {
        let read = self.read.map_or(Moment::START, |read| read + READ_EVERY);
        read.min(self.until)
    }

    /// The states may have changed.
    pub fn follow(&mut self, uplinks: &[UplinkFigures], wall: Wall) {
        self.advance(wall);
        self.open
            .retain(|open| uplinks.iter().any(|uplink| uplink.name == open.uplink));
        for uplink in uplinks {
            self.open_sample(&uplink.name).follow(uplink);
        }
    }

    /// Takes in what is measured now.
    pub fn read(
        &mut self,
        uplinks: &[UplinkFigures],
        traffic: &SortedMap<UplinkName, Counters>,
        probes: impl Fn(&UplinkName) -> ProbeCounts,
        wall: Wall,
    ) {
        self.follow(uplinks, wall);
        self.read = Some(wall.now());
        for uplink in uplinks {
            let traffic = traffic.get(&uplink.name).copied();
            let probes = probes(&uplink.name);
            self.open_sample(&uplink.name).read(uplink, traffic, probes);
        }
    }

    /// It is time to write what waits, and that can be filed.
    pub fn is_due_to_write(&self, wall: Wall) -> bool {
        wall.now().since(self.written) >= WRITE_EVERY && wall.at(wall.now()).is_set()
    }

    /// All samples until now, the open slot included.
    pub fn book(&self, wall: Wall) -> SampleBook {
        let mut copy = self.clone();
        copy.advance(wall);
        copy.close();
        copy.file_all(wall);
        copy.book
    }

    /// Files what waits. Returns the book, to be written.
    pub fn to_write(&mut self, wall: Wall) -> SampleBook {
        self.written = wall.now();
        self.advance(wall);
        self.close();
        self.file(wall);
        self.book.clone()
    }

    /// How much memory it takes, in bytes.
    pub fn memory(&self) -> usize {
        let of_slot =
            |slot: &WaitingSlot| slot.samples.capacity() * size_of::<(UplinkName, SlotSample)>();
        let waiting: usize = self.waiting.iter().map(of_slot).sum();
        self.book.memory() + waiting + self.waiting.capacity() * size_of::<WaitingSlot>()
    }

    fn open_sample(&mut self, uplink: &UplinkName) -> &mut OpenSample {
        let known = self.open.iter().position(|open| open.uplink == *uplink);
        let place = known.unwrap_or(self.open.len());
        if known.is_none() {
            self.open.push(OpenSample::new(uplink.clone()));
        }
        &mut self.open[place]
    }

    /// Accounts for the time until now, slot by slot.
    fn advance(&mut self, wall: Wall) {
        let now = wall.now();
        while self.until <= now {
            self.account_until(self.until);
            self.close();
            self.until = slot_end(wall, self.begun);
        }
        self.account_until(now);
    }

    fn account_until(&mut self, until: Moment) {
        let span = until.since(self.accounted);
        self.open.iter_mut().for_each(|open| open.lasted(span));
        self.accounted = until.max(self.accounted);
    }

    /// The open slot is over as far as it is accounted for.
    fn close(&mut self) {
        let middle = self.begun + self.accounted.since(self.begun) / 2;
        self.begun = self.accounted;
        if self.open.is_empty() {
            return;
        }
        if self.waiting.len() >= MOST_WAITING {
            self.waiting.remove(0);
        }
        let samples = self.open.iter();
        self.waiting.push(WaitingSlot {
            at: middle,
            samples: samples
                .map(|open| (open.uplink.clone(), open.sample()))
                .collect(),
        });
        self.open.iter_mut().for_each(OpenSample::clear);
    }

    /// Files what waits, as soon as the clock can be believed.
    fn file(&mut self, wall: Wall) {
        let now = wall.at(wall.now()).0;
        let contradicts = |end| end > now + MOST_BACK || now > end + MOST_AHEAD;
        let is_doubted = self.waiting.len() < DOUBTED && self.book.end().is_some_and(contradicts);
        if !is_doubted {
            self.file_all(wall);
        }
    }

    /// The same, as soon as the clock is set.
    fn file_all(&mut self, wall: Wall) {
        let now = wall.at(wall.now());
        if !now.is_set() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        let samples = waiting.into_iter().flat_map(|slot| {
            let at = wall.at(slot.at).0;
            let samples = slot.samples.into_iter();
            samples.map(move |(uplink, sample)| (uplink, at, sample))
        });
        self.book.file(samples, now);
    }
}

/// The end of the slot that a moment lies in, as far as the clock tells it.
fn slot_end(wall: Wall, begin: Moment) -> Moment {
    let slot = u64::from(Level::Fine.seconds());
    let at = wall
        .at(begin)
        .0
        .duration_since(std::time::SystemTime::UNIX_EPOCH);
    let at = at.unwrap_or_default();
    let past =
        Duration::from_secs(at.as_secs() % slot) + Duration::from_nanos(at.subsec_nanos().into());
    begin + Duration::from_secs(slot).saturating_sub(past)
}
