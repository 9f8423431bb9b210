//! What was measured of each uplink: how it was in each slot of time, finely for two days, coarsely for a year.
//!
//! ```text
//!  status, counters ──> SampleGatherer: a slot of 5 minutes at a time, kept by the monotonic clock
//!                            │ every 6 hours and at a stop, when the wall clock is known
//!                            v
//!                       SampleBook: 2 days of 5 minutes ──> a month of hours ──> a year of days ──> one file
//! ```
//! A coarse sample is made of the finer ones, which last until it is complete, so that a restart loses none. The
//! book has a bound in records, which is that of its file; memory and file hold the same. Pure but for
//! [`mod@file`].

pub mod file;
pub mod gather;
pub mod lines;

use std::time::{Duration, SystemTime};

use crate::engine::state::State;
use crate::units::{Timestamp, UplinkName};

/// For so many uplinks each level reaches back as far as it should; for more it reaches less far.
const FULL_FOR: usize = 8;
/// So far ahead of the clock a sample may be: a router without a battery starts with an old time, and is not to
/// forget what it knows. What is further ahead was taken by a clock that was wrong.
const MOST_AHEAD: Duration = Duration::from_secs(30 * 86_400);
/// Growth of a level: what it takes of memory is what it holds.
const GROWTH: usize = 16;

/// What the time of an uplink counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    /// Nothing is known, or nothing is to be: a cold standby at rest.
    Idle,
    /// It was available.
    Up,
    /// It was available, and was not good.
    Degraded,
    /// It was in maintenance.
    Planned,
    /// It was not available.
    Outage,
}

impl Account {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [
        Self::Idle,
        Self::Up,
        Self::Degraded,
        Self::Planned,
        Self::Outage,
    ];

    /// What a state counts as.
    pub const fn of(state: State) -> Self {
        match state {
            State::Up | State::Recovering => Self::Up,
            State::Degraded => Self::Degraded,
            State::Down | State::Absent => Self::Outage,
            State::Disabled => Self::Planned,
            State::Unknown | State::Cold => Self::Idle,
        }
    }
}

/// How long a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Five minutes, for two days.
    Fine,
    /// For a month.
    Hour,
    /// For a year.
    Day,
}

impl Level {
    /// All of them, the finest first.
    pub const ALL: [Self; 3] = [Self::Fine, Self::Hour, Self::Day];

    /// How long a slot is, in seconds.
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Fine => 300,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// How many slots are kept.
    const fn kept(self) -> u32 {
        match self {
            Self::Fine => 2 * 86_400 / 300,
            Self::Hour => 31 * 24,
            Self::Day => 372,
        }
    }

    /// How many slots make one of the next level.
    const fn in_coarser(self) -> u32 {
        match self {
            Self::Fine => 12,
            Self::Hour => 24,
            Self::Day => 1,
        }
    }

    /// The slot that a time lies in.
    fn slot(self, at: SystemTime) -> u32 {
        let since = at.duration_since(SystemTime::UNIX_EPOCH);
        let number = since.unwrap_or_default().as_secs() / u64::from(self.seconds());
        u32::try_from(number).unwrap_or(u32::MAX)
    }
}

/// An uplink in a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlotSample {
    /// The number of the slot since 1970.
    slot: u32,
    /// The place of the uplink in [`SampleBook::names`].
    uplink: u8,
    score: u8,
    figures: [u16; FIGURES],
    /// Of the slot, in parts of [`WHOLE`]: of each account, and that in which it carried traffic.
    shares: [u16; SHARES],
    bytes: [f32; BYTES],
}

const FIGURES: usize = 4;
const SHARES: usize = 6;
const BYTES: usize = 3;
/// The place of the share in which it carried traffic, after those of the accounts.
const CARRIED: usize = 5;
const WHOLE: u16 = u16::MAX;
/// A value that is not known.
const NO_FIGURE: u16 = u16::MAX;
const NO_SCORE: u8 = u8::MAX;

/// A figure of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// The median round trip, in milliseconds.
    Rtt,
    /// The round trip that 19 of 20 did not exceed, in milliseconds.
    RttP95,
    /// The jitter, in milliseconds.
    Jitter,
    /// Lost probes, in percent.
    Loss,
}

impl Figure {
    /// How many units of the record make one of the figure's own.
    const fn scale(self) -> f64 {
        match self {
            Self::Rtt | Self::RttP95 | Self::Jitter => 10.0,
            Self::Loss => 100.0,
        }
    }
}

/// Bytes of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// What the interface received.
    Received,
    /// What it sent.
    Sent,
    /// What probes put on the wire at most, both ways.
    Probes,
}

impl SlotSample {
    const NOTHING: Self = Self {
        slot: 0,
        uplink: 0,
        score: NO_SCORE,
        figures: [NO_FIGURE; FIGURES],
        shares: [0; SHARES],
        bytes: [0.0; BYTES],
    };

    /// A figure, if it is known.
    pub fn figure(&self, figure: Figure) -> Option<f64> {
        let value = self.figures[figure as usize];
        (value != NO_FIGURE).then(|| f64::from(value) / figure.scale())
    }

    /// How good the uplink was, from 0 to 100, if that is known.
    pub fn score(&self) -> Option<u8> {
        (self.score != NO_SCORE).then_some(self.score)
    }

    /// The share of the slot that counts as this, from 0 to 1.
    pub fn share(&self, account: Account) -> f64 {
        f64::from(self.shares[account as usize]) / f64::from(WHOLE)
    }

    /// The share of the slot in which the uplink carried traffic of the default group.
    pub fn carried(&self) -> f64 {
        f64::from(self.shares[CARRIED]) / f64::from(WHOLE)
    }

    /// Bytes in the slot.
    pub fn bytes(&self, traffic: Traffic) -> f64 {
        f64::from(self.bytes[traffic as usize])
    }

    /// How much of the slot was watched.
    fn watched(&self) -> u32 {
        self.shares[..CARRIED].iter().copied().map(u32::from).sum()
    }

    fn key(&self) -> (u32, u8) {
        (self.slot, self.uplink)
    }

    fn set(&mut self, figure: Figure, value: Option<f64>) {
        let units = |value: f64| whole(value * figure.scale(), NO_FIGURE - 1);
        self.figures[figure as usize] = value.map_or(NO_FIGURE, units);
    }

    /// One of parts, each of which lasts for `part` of what it lasts for.
    fn of_parts(parts: &[&Self], part: f64, key: (u32, u8)) -> Self {
        let mut whole_of = Self {
            slot: key.0,
            uplink: key.1,
            ..Self::NOTHING
        };
        for (place, share) in whole_of.shares.iter_mut().enumerate() {
            let sum: f64 = parts.iter().map(|one| f64::from(one.shares[place])).sum();
            *share = whole(sum * part, WHOLE);
        }
        for (place, bytes) in whole_of.bytes.iter_mut().enumerate() {
            *bytes = parts.iter().map(|one| one.bytes[place]).sum();
        }
        let known = |figure: Figure| parts.iter().filter_map(move |one| one.figure(figure));
        whole_of.set(Figure::Rtt, ranked(known(Figure::Rtt).collect(), 50));
        whole_of.set(Figure::RttP95, ranked(known(Figure::RttP95).collect(), 95));
        whole_of.set(Figure::Jitter, ranked(known(Figure::Jitter).collect(), 50));
        let watched = parts.iter().filter_map(|one| {
            let weight = f64::from(one.watched().max(1));
            Some((one.figure(Figure::Loss)?, weight))
        });
        let sum = |of: fn((f64, f64)) -> f64| watched.clone().map(of).sum::<f64>();
        let weights = sum(|(_, weight)| weight);
        let loss = sum(|(loss, weight)| loss * weight) / weights;
        whole_of.set(Figure::Loss, (weights > 0.0).then_some(loss));
        let scores = parts.iter().filter_map(|one| one.score().map(f64::from));
        let score = ranked(scores.collect(), 50);
        whole_of.score = score.map_or(NO_SCORE, score_of);
        whole_of
    }
}

/// The nearest rank of so many percent.
fn ranked(mut values: Vec<f64>, percent: usize) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(rank).copied()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates"
)]
fn whole(value: f64, most: u16) -> u16 {
    (value.round() as u16).min(most)
}

fn score_of(value: f64) -> u8 {
    u8::try_from(whole(value, 100)).unwrap_or(NO_SCORE)
}

/// A sample with the time and the uplink that it is of.
#[derive(Clone, Copy, Debug)]
pub struct PlacedSample<'a> {
    /// When its slot begins.
    pub from: SystemTime,
    /// How long its slot is.
    pub lasts: Duration,
    /// Of which uplink it is.
    pub uplink: &'a UplinkName,
    /// What was measured.
    pub sample: &'a SlotSample,
}

/// The samples of all levels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleBook {
    names: Vec<UplinkName>,
    /// Each in the order of slots.
    levels: [Vec<SlotSample>; 3],
}

impl SampleBook {
    /// The samples that overlap a time, oldest first: of each part of it those of the finest level that has it.
    pub fn within(
        &self,
        from: SystemTime,
        to: SystemTime,
    ) -> impl Iterator<Item = PlacedSample<'_>> {
        let begins = Level::ALL.map(|level| {
            let first = self.levels[level as usize].first();
            first.map_or(u64::MAX, |first| begin(level, first.slot))
        });
        let coarse_first = Level::ALL.into_iter().rev();
        coarse_first.flat_map(move |level| {
            let finer = begins[..level as usize].iter().min();
            let until = finer.copied().unwrap_or(u64::MAX);
            let samples = &self.levels[level as usize];
            let first = samples.partition_point(|sample| end_of(level, sample.slot) <= from);
            let samples = samples[first..].iter();
            // A coarse slot in which the finer ones begin is left out: they hold all of it.
            let samples = samples.take_while(move |sample| {
                begin(level, sample.slot) + u64::from(level.seconds()) <= until
                    && time(begin(level, sample.slot)) < to
            });
            samples.filter_map(move |sample| {
                Some(PlacedSample {
                    from: time(begin(level, sample.slot)),
                    lasts: Duration::from_secs(u64::from(level.seconds())),
                    uplink: self.names.get(usize::from(sample.uplink))?,
                    sample,
                })
            })
        })
    }

    /// The uplinks that it has samples of.
    pub fn names(&self) -> &[UplinkName] {
        &self.names
    }

    /// Bytes of an uplink in a time; none where no sample of it is known.
    pub fn bytes(
        &self,
        uplink: &UplinkName,
        [from, to]: [SystemTime; 2],
        traffic: Traffic,
    ) -> Option<u64> {
        let of_uplink = self.within(from, to).filter(|one| one.uplink == uplink);
        let sum = of_uplink
            .map(|one| one.sample.bytes(traffic))
            .reduce(|sum, bytes| sum + bytes);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast of a float saturates"
        )]
        sum.map(|sum| sum.round() as u64)
    }

    /// The end of the latest sample.
    fn end(&self) -> Option<SystemTime> {
        let latest = self.levels[Level::Fine as usize].last();
        latest.map(|sample| end_of(Level::Fine, sample.slot))
    }

    /// How much memory it takes, in bytes.
    pub fn memory(&self) -> usize {
        let records: usize = self.levels.iter().map(Vec::capacity).sum();
        records * size_of::<SlotSample>() + self.names.capacity() * size_of::<UplinkName>()
    }

    /// Takes samples of the finest level, whose slot is that of their time, and makes the coarse ones that are
    /// complete by `now`.
    fn file(
        &mut self,
        samples: impl Iterator<Item = (UplinkName, SystemTime, SlotSample)>,
        now: Timestamp,
    ) {
        self.forget(now);
        for (uplink, at, mut sample) in samples {
            let known = self.names.iter().position(|name| *name == uplink);
            let place = known.unwrap_or(self.names.len());
            // The file has a byte for the number of names, too.
            let Some(number) = u8::try_from(place).ok().filter(|number| *number < u8::MAX) else {
                continue;
            };
            if known.is_none() {
                self.names.push(uplink);
            }
            (sample.slot, sample.uplink) = (Level::Fine.slot(at.min(now.0)), number);
            self.put(Level::Fine, sample);
        }
        self.sum_up(Level::Fine, Level::Hour, now);
        self.sum_up(Level::Hour, Level::Day, now);
        self.forget(now);
    }

    /// Puts a sample in its place. One of the same slot is completed, or replaced where both cannot be true.
    fn put(&mut self, level: Level, sample: SlotSample) {
        let samples = &mut self.levels[level as usize];
        let place = samples.binary_search_by_key(&sample.key(), SlotSample::key);
        match place {
            Ok(place) => {
                let known = samples[place];
                let fits =
                    known.watched() + sample.watched() <= u32::from(WHOLE) + u32::from(WHOLE) / 50;
                samples[place] = if fits {
                    SlotSample::of_parts(&[&known, &sample], 1.0, sample.key())
                } else {
                    sample
                };
            }
            Err(place) => {
                if samples.len() == samples.capacity() {
                    samples.reserve_exact(GROWTH);
                }
                samples.insert(place, sample);
            }
        }
    }

    /// Makes the coarse samples of which all parts are past and that are not made yet.
    fn sum_up(&mut self, fine: Level, coarse: Level, now: Timestamp) {
        let ratio = fine.in_coarser();
        let present = coarse.slot(now.0);
        let known = self.levels[coarse as usize].iter().rev();
        let last = known.map(|sample| sample.slot).find(|slot| *slot < present);
        let parts = &self.levels[fine as usize];
        let mut keys: Vec<_> = parts
            .iter()
            .map(|part| (part.slot / ratio, part.uplink))
            .filter(|(slot, _)| *slot < present && last.is_none_or(|last| *slot > last))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        for (slot, uplink) in keys {
            let samples = &self.levels[fine as usize];
            let first = samples.partition_point(|part| part.slot / ratio < slot);
            let of_slot = samples[first..].iter();
            let of_slot = of_slot.take_while(|part| part.slot / ratio == slot);
            let of_slot = of_slot.filter(|part| (part.slot / ratio, part.uplink) == (slot, uplink));
            let of_slot: Vec<_> = of_slot.collect();
            let sum = SlotSample::of_parts(&of_slot, 1.0 / f64::from(ratio), (slot, uplink));
            self.put(coarse, sum);
        }
    }

    /// Drops what is too old, what a wrong clock took, and the oldest of what is too much.
    fn forget(&mut self, now: Timestamp) {
        for level in Level::ALL {
            let (present, last) = (level.slot(now.0), level.slot(now.0 + MOST_AHEAD));
            let samples = &mut self.levels[level as usize];
            samples.retain(|sample| {
                // Up to the begin of a coarser slot, so that nothing is missing between two levels.
                let first = sample.slot - sample.slot % level.in_coarser();
                first.saturating_add(level.kept()) > present && sample.slot <= last
            });
            let surplus = samples
                .len()
                .saturating_sub(level.kept() as usize * FULL_FOR);
            samples.drain(..surplus);
        }
        let mut is_used = [false; u8::MAX as usize + 1];
        for sample in self.levels.iter().flatten() {
            is_used[usize::from(sample.uplink)] = true;
        }
        let used = self.names.iter().zip(is_used);
        let used: Vec<_> = used
            .filter(|(_, is_used)| *is_used)
            .map(|(name, _)| name.clone())
            .collect();
        if used.len() == self.names.len() {
            return;
        }
        for sample in self.levels.iter_mut().flatten() {
            let name = &self.names[usize::from(sample.uplink)];
            let place = used.iter().position(|known| known == name);
            sample.uplink = place
                .and_then(|place| u8::try_from(place).ok())
                .unwrap_or(0);
        }
        self.names = used;
        // A name that goes leaves a hole in the order of the others.
        for samples in &mut self.levels {
            samples.sort_unstable_by_key(SlotSample::key);
        }
    }
}

/// When a slot begins, in seconds since 1970.
fn begin(level: Level, slot: u32) -> u64 {
    u64::from(slot) * u64::from(level.seconds())
}

fn end_of(level: Level, slot: u32) -> SystemTime {
    time(begin(level, slot) + u64::from(level.seconds()))
}

fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
pub(super) mod tests;
