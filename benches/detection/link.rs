//! How links lose and delay packets. The state of a link depends on time only; independent losses and
//! jitter are drawn for each packet.

use uplinkd::recording::Track;

use crate::chance::Chance;

/// How a link without an outage behaves. Times in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Process {
    /// Each packet is lost by itself.
    Independent { loss: f64 },
    /// Gilbert-Elliott: everything is lost in bursts of exponential length, nothing between them.
    Bursts { mean: f64, share: f64 },
    /// In the evening up to 3 % loss and 60 ms more (a shared cable segment or cell).
    Diurnal,
    /// A moving LTE terminal: once a minute another cell, gone for 30 to 150 ms; one handover in
    /// fifty fails and takes 0.5 s and an exponential 0.7 s.
    Handover,
    /// Starlink: every 15 s another satellite and another round trip; every second time 20 to 150 ms
    /// are lost, one time in a hundred 0.2 s and an exponential 0.4 s.
    Starlink,
    /// A recording, repeated.
    Recorded(&'static Track),
}

/// A trouble on top of the process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Trouble {
    None,
    /// Nothing comes back.
    Dead,
    /// Each packet is lost by itself with this probability.
    Loses(f64),
    /// Round trips are so many times as long.
    Slow(f64),
}

/// One link.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    process: Process,
    /// The usual round trip to the nearest target, in seconds.
    rtt: f64,
    interruption: (f64, f64),
    /// What the present cell or satellite adds to a round trip, in seconds.
    level: f64,
    /// Where the next search begins, for each target of a recording.
    places: Vec<usize>,
    chance: Chance,
    pub(crate) trouble: Trouble,
}

impl Link {
    pub(crate) fn new(process: Process, rtt: f64, seed: u64) -> Self {
        let mut link = Self {
            process,
            rtt,
            interruption: (0.0, 0.0),
            level: 0.0,
            places: match process {
                Process::Recorded(track) => vec![0; track.targets.len()],
                Process::Independent { .. }
                | Process::Bursts { .. }
                | Process::Diurnal
                | Process::Handover
                | Process::Starlink => Vec::new(),
            },
            chance: Chance::new(seed),
            trouble: Trouble::None,
        };
        link.next_interruption();
        link
    }

    /// The round trip of a packet sent `at` to the target at `place`; none if it is lost. Packets
    /// come in the order of time.
    pub(crate) fn answer(&mut self, place: u8, at: f64) -> Option<f64> {
        if let Process::Recorded(track) = self.process {
            return self.recorded(track, place, at);
        }
        while at >= self.interruption.1 {
            self.next_interruption();
        }
        let is_interrupted = at >= self.interruption.0;
        let (loss, delay) = self.load(at);
        let is_lost = loss > 0.0 && self.chance.unit() < loss;
        let (is_lost_too, factor) = self.trouble();
        if is_interrupted || is_lost || is_lost_too {
            return None;
        }
        let path = self.rtt * (1.0 + 0.5 * f64::from(place));
        let jitter = self.chance.exponential(0.0005 + 0.02 * delay);
        Some((path + self.level + delay) * factor + jitter)
    }

    /// The share of packets that get through at a moment; moments come in the order of time.
    pub(crate) fn passes(&mut self, at: f64) -> f64 {
        while at >= self.interruption.1 {
            self.next_interruption();
        }
        let is_interrupted = at >= self.interruption.0 || self.trouble == Trouble::Dead;
        let share = 1.0 - self.load(at).0;
        if is_interrupted { 0.0 } else { share }
    }

    /// Whether the trouble takes a packet, and by what factor it slows it.
    fn trouble(&mut self) -> (bool, f64) {
        match self.trouble {
            Trouble::None => (false, 1.0),
            Trouble::Dead => (true, 1.0),
            Trouble::Loses(loss) => (self.chance.unit() < loss, 1.0),
            Trouble::Slow(factor) => (false, factor),
        }
    }

    fn recorded(&mut self, track: &Track, place: u8, at: f64) -> Option<f64> {
        let place = usize::from(place) % track.targets.len();
        let (_, samples) = &track.targets[place];
        let (from, to) = samples.span()?;
        let at = from + at.rem_euclid((to - from).max(1.0));
        let rtt = samples.nearest(at, &mut self.places[place])?;
        let (is_lost, factor) = self.trouble();
        (!is_lost).then_some(rtt.as_secs_f64() * factor)
    }

    /// Independent loss, and what queues add to the round trip.
    fn load(&self, at: f64) -> (f64, f64) {
        const HOUR: f64 = 3600.0;
        match self.process {
            Process::Independent { loss } => (loss, 0.0),
            Process::Bursts { .. } | Process::Recorded(_) => (0.0, 0.0),
            Process::Handover | Process::Starlink => (0.002, 0.0),
            Process::Diurnal => {
                let from_evening = (at / HOUR - 21.0) / 24.0 * std::f64::consts::TAU;
                let busy = f64::midpoint(1.0, from_evening.cos()).powi(3);
                (0.001 + 0.03 * busy, 0.06 * busy)
            }
        }
    }

    fn next_interruption(&mut self) {
        let after = self.interruption.1;
        let chance = &mut self.chance;
        self.interruption = match self.process {
            Process::Independent { .. } | Process::Diurnal | Process::Recorded(_) => {
                (f64::INFINITY, f64::INFINITY)
            }
            Process::Bursts { mean, share } => {
                let from = after + chance.exponential(mean * (1.0 - share) / share);
                (from, from + chance.exponential(mean))
            }
            Process::Handover => {
                let from = after + chance.exponential(60.0);
                self.level = chance.between(0.02, 0.05);
                let fails = chance.unit() < 0.02;
                let length = if fails {
                    0.5 + chance.exponential(0.7)
                } else {
                    chance.between(0.03, 0.15)
                };
                (from, from + length)
            }
            Process::Starlink => {
                let from = ((after / 15.0).floor() + 1.0) * 15.0;
                self.level = chance.between(0.01, 0.04);
                let luck = chance.unit();
                let length = if luck < 0.01 {
                    0.2 + chance.exponential(0.4)
                } else if luck < 0.5 {
                    chance.between(0.02, 0.15)
                } else {
                    1e-9
                };
                (from, from + length)
            }
        };
    }
}
