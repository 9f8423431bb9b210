//! A world where probes are lost at random, and what is asked of an engine in it.

use std::time::Duration;

use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::event::Event;
use uplinkd::engine::schedule::Spread;
use uplinkd::engine::settings::Settings;
use uplinkd::engine::state::State;
use uplinkd::engine::status::UplinkStatus;
use uplinkd::replay::{Replay, World};
use uplinkd::units::{Moment, Wall};

use crate::support::{brief, name};

pub(crate) const RTT: Duration = Duration::from_millis(10);

/// A world where each uplink loses at random what the function says for that time.
pub(crate) struct Lossy<F> {
    loss: F,
    random: Spread,
}

impl<F: FnMut(&ProbeOrder, f64) -> f64> World for Lossy<F> {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        let loss = (self.loss)(order, now.since_start().as_secs_f64());
        (self.random.unit() >= loss)
            .then(|| RTT + Duration::from_millis(2).mul_f64(self.random.unit()))
    }
}

pub(crate) fn lossy<F: FnMut(&ProbeOrder, f64) -> f64>(
    settings: Settings,
    seed: u64,
    loss: F,
) -> Replay<Lossy<F>> {
    let random = Spread::new(seed);
    Replay::new(settings, Lossy { loss, random })
}

pub(crate) fn switches(events: &[Event]) -> usize {
    brief(events)
        .iter()
        .filter(|line| line.starts_with("switch"))
        .count()
}

pub(crate) fn state(replay: &Replay<impl World>, uplink: &str) -> State {
    shown(replay, uplink).state
}

pub(crate) fn shown(replay: &Replay<impl World>, uplink: &str) -> UplinkStatus {
    let wall = Wall::reading(std::time::UNIX_EPOCH, replay.now());
    let uplinks = replay.engine().status(wall).uplinks;
    let mut uplinks = uplinks.into_iter();
    uplinks
        .find(|u| u.name == name(uplink))
        .expect("the uplink")
}
