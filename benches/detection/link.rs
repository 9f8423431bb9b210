//! How links lose and delay packets. The state of a link depends on time only; independent losses and
//! jitter are drawn for each packet.

use uplinkd::recording::Track;

use crate::chance::Chance;
use crate::silences::Silence;

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
    /// Silences of several kinds.
    Mixed(&'static Mixture),
    /// A recording, repeated.
    Recorded(&'static Track),
}

/// Silences of several kinds on one link, independent losses, and an outage a day.
#[derive(Debug)]
pub(crate) struct Mixture {
    /// The share of packets that are lost one by one, outside the evening and at its height.
    pub(crate) loss: [f64; 2],
    /// Silences that come at random.
    pub(crate) kinds: &'static [Kind],
    /// Silences that come at a regular phase.
    pub(crate) slots: Option<Slots>,
}

/// Silences that come at random, on average so many seconds apart.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) every: f64,
    pub(crate) lasts: Lasts,
}

/// A silence in each slot of a satellite or a scheduler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots {
    pub(crate) every: f64,
    pub(crate) first: f64,
    pub(crate) lasts: Lasts,
    /// The share of slots in which it lasts otherwise, and how.
    pub(crate) fails: (f64, Lasts),
}

/// How long silences last.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lasts {
    Exponential(f64),
    Between(f64, f64),
    /// Log-normal: the median, and the deviation of the logarithm.
    Around(f64, f64),
}

impl Lasts {
    fn draw(self, chance: &mut Chance) -> f64 {
        match self {
            Self::Exponential(mean) => chance.exponential(mean),
            Self::Between(low, high) => chance.between(low, high),
            Self::Around(median, deviation) => median * (deviation * chance.normal()).exp(),
        }
    }
}

/// Outages come once a day and last for minutes.
const OUTAGES_EVERY: f64 = 86_400.0;
const OUTAGES_LAST: Lasts = Lasts::Around(120.0, 1.0);

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
    /// The silences so far, where they are kept.
    silences: Option<Vec<Silence>>,
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
                | Process::Mixed(_)
                | Process::Starlink => Vec::new(),
            },
            chance: Chance::new(seed),
            trouble: Trouble::None,
            silences: None,
        };
        link.next_interruption();
        link
    }

    /// The silences that are over since they were last taken; they are kept from the first time on.
    pub(crate) fn take_silences(&mut self, now: f64) -> Vec<Silence> {
        let silences = self.silences.get_or_insert_default();
        let over = silences.partition_point(|silence| silence.ended <= now);
        silences.drain(..over).collect()
    }

    /// The silence at a moment was declared an outage; whether there is one.
    pub(crate) fn leave(&mut self, at: f64) -> bool {
        let mut silences = self.silences.iter_mut().flatten();
        let silence = silences.find(|silence| (silence.began..silence.ended).contains(&at));
        silence
            .map(|silence| silence.left.get_or_insert(at))
            .is_some()
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
        let present = self
            .silences
            .as_mut()
            .and_then(|silences| silences.last_mut());
        if let Some(silence) = present.filter(|_| is_interrupted) {
            silence.met.get_or_insert(at);
        }
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
        match self.process {
            Process::Independent { loss } => (loss, 0.0),
            Process::Bursts { .. } | Process::Recorded(_) => (0.0, 0.0),
            Process::Handover | Process::Starlink => (0.002, 0.0),
            Process::Diurnal => {
                let busy = evening(at);
                (0.001 + 0.03 * busy, 0.06 * busy)
            }
            Process::Mixed(Mixture { loss, .. }) => {
                (loss[0] + (loss[1] - loss[0]) * evening(at), 0.0)
            }
        }
    }

    fn next_interruption(&mut self) {
        self.draw_interruption();
        if let Some(silences) = &mut self.silences {
            let (began, ended) = self.interruption;
            silences.push(Silence {
                began,
                ended,
                met: None,
                left: None,
            });
        }
    }

    fn draw_interruption(&mut self) {
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
            Process::Mixed(mixture) => mixture.next(after, chance),
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

impl Mixture {
    /// The first silence that begins after a moment.
    fn next(&self, after: f64, chance: &mut Chance) -> (f64, f64) {
        let outages = [(OUTAGES_EVERY, OUTAGES_LAST)];
        let kinds = self.kinds.iter().map(|kind| (kind.every, kind.lasts));
        let (mut from, mut lasts) = (f64::INFINITY, OUTAGES_LAST);
        for (every, how) in kinds.chain(outages) {
            let at = after + chance.exponential(every);
            if at < from {
                (from, lasts) = (at, how);
            }
        }
        if let Some(slots) = self.slots {
            let slot = ((after - slots.first) / slots.every).floor() + 1.0;
            let at = slots.first + slot * slots.every;
            if at < from {
                let (share, failing) = slots.fails;
                from = at;
                lasts = if chance.unit() < share {
                    failing
                } else {
                    slots.lasts
                };
            }
        }
        (from, from + lasts.draw(chance))
    }
}

/// How busy a shared segment is, 0 in the morning and 1 in the evening.
fn evening(at: f64) -> f64 {
    const HOUR: f64 = 3600.0;
    let from_evening = (at / HOUR - 21.0) / 24.0 * std::f64::consts::TAU;
    f64::midpoint(1.0, from_evening.cos()).powi(3)
}
