//! A recording as the world that the engine probes.

use std::time::{Duration, SystemTime};

use super::content::Recording;
use crate::engine::action::{Departure, ProbeOrder};
use crate::engine::input::{Input, ProbeOutcome};
use crate::replay::World;
use crate::units::{Counters, Moment, UplinkName, ZonedTime};

/// Answers each probe like the nearest recorded one of the same uplink and target. Counters are
/// interpolated.
#[derive(Clone, Debug)]
pub struct RecordedWorld<'a> {
    recording: &'a Recording,
    /// The time of the recording at which the engine starts.
    begin: f64,
    /// Where the next search begins, for each target of each uplink.
    places: Vec<Vec<usize>>,
    inputs: usize,
    /// What flows were left behind by, and when.
    pub departures: Vec<(Moment, Departure)>,
    clock: Option<RecordedClock>,
}

/// The wall clock of a recording, which the engine is told at each full minute.
#[derive(Clone, Copy, Debug)]
struct RecordedClock {
    /// When next, as a time of the recording.
    next: f64,
    /// How far the local clock is ahead of UTC at a time, in seconds.
    zone: fn(SystemTime) -> i32,
}

impl<'a> RecordedWorld<'a> {
    /// The whole recording, from its first moment.
    pub fn new(recording: &'a Recording) -> Self {
        let tracks = recording.tracks.iter();
        Self {
            begin: recording.span().0,
            places: tracks.map(|track| vec![0; track.targets.len()]).collect(),
            recording,
            inputs: 0,
            departures: Vec::new(),
            clock: None,
        }
    }

    /// The engine is told the time as well, if the recording tells it and holds no such inputs.
    pub fn tell_time(&mut self, zone: fn(SystemTime) -> i32) {
        let mut inputs = self.recording.inputs.iter();
        let is_told = inputs.any(|(_, input)| matches!(input, Input::Time(_)));
        let is_known = self.recording.wall_clock(self.begin).is_some();
        let next = self.begin;
        self.clock = (is_known && !is_told).then_some(RecordedClock { next, zone });
    }

    /// The time of the wall clock, if it is due by `now`.
    fn next_time(&mut self, now: Moment) -> Option<Input> {
        let RecordedClock { next, zone } = self.clock?;
        if self.moment(next) > now {
            return None;
        }
        let utc = self.recording.wall_clock(next)?.as_written();
        let since = utc.0.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let minute = 60 - since.as_secs() % 60;
        let next = next + Duration::from_secs(minute).as_secs_f64();
        self.clock = Some(RecordedClock { next, zone });
        let offset = zone(utc.0);
        Some(Input::Time(ZonedTime { utc, offset }))
    }

    /// A moment of the engine as a time of the recording.
    pub fn time(&self, moment: Moment) -> f64 {
        self.begin + moment.since_start().as_secs_f64()
    }

    /// A time of the recording as a moment of the engine.
    pub fn moment(&self, time: f64) -> Moment {
        let since = Duration::try_from_secs_f64(time - self.begin);
        Moment::after_start(since.unwrap_or_default())
    }
}

impl World for RecordedWorld<'_> {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        let (_, outcome) = self.outcome(order, now)?;
        match outcome {
            ProbeOutcome::Reply(rtt) => Some(rtt),
            ProbeOutcome::Unreachable(_)
            | ProbeOutcome::Wrong(_)
            | ProbeOutcome::Captive(_)
            | ProbeOutcome::NotSent(_)
            | ProbeOutcome::Refused(_) => None,
        }
    }

    fn outcome(&mut self, order: &ProbeOrder, now: Moment) -> Option<(Duration, ProbeOutcome)> {
        if order.hop.is_some() {
            return None;
        }
        let at = self.time(now);
        let mut tracks = self.recording.tracks.iter().zip(&mut self.places);
        let (track, places) = tracks.find(|(track, _)| track.uplink == order.uplink)?;
        let mut targets = track.targets.iter().zip(places);
        let ((_, samples), place) = targets.find(|((target, _), _)| *target == order.target)?;
        samples.nearest_outcome(at, place)
    }

    fn left(&mut self, departure: Departure, now: Moment) {
        self.departures.push((now, departure));
    }

    fn counters(&mut self, uplink: &UplinkName, now: Moment) -> Option<Counters> {
        let at = self.time(now);
        self.recording.counts.get(uplink)?.at(at)
    }

    fn next_input(&mut self, now: Moment) -> Option<Input> {
        if let Some(time) = self.next_time(now) {
            return Some(time);
        }
        let (time, input) = self.recording.inputs.get(self.inputs)?;
        if self.moment(*time) > now {
            return None;
        }
        self.inputs += 1;
        Some(input.clone())
    }

    fn next_input_at(&self) -> Option<Moment> {
        let input = self.recording.inputs.get(self.inputs);
        let input = input.map(|(time, _)| self.moment(*time));
        let clock = self.clock.map(|clock| self.moment(clock.next));
        input.into_iter().chain(clock).min()
    }
}
