//! A recording as the world that the engine probes.

use std::time::Duration;

use super::content::Recording;
use crate::engine::action::{Departure, ProbeOrder};
use crate::engine::input::{Input, ProbeOutcome};
use crate::replay::World;
use crate::units::{Counters, Moment, UplinkName};

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
        }
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
        let (time, input) = self.recording.inputs.get(self.inputs)?;
        if self.moment(*time) > now {
            return None;
        }
        self.inputs += 1;
        Some(input.clone())
    }

    fn next_input_at(&self) -> Option<Moment> {
        let (time, _) = self.recording.inputs.get(self.inputs)?;
        Some(self.moment(*time))
    }
}
