//! What one direction of a wire does to a frame. Pure: told the time, draws from a seed.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::lab::chance::Chance;
use crate::lab::family::LabFamily;
use crate::units::{Loss, Moment};

/// Which way along a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Towards {
    /// From the client towards the internet.
    Internet,
    /// From the internet towards the client.
    Client,
}

impl Towards {
    /// Both exits.
    pub const BOTH: [Self; 2] = [Self::Internet, Self::Client];

    /// The other way.
    pub(super) const fn opposite(self) -> Self {
        match self {
            Self::Internet => Self::Client,
            Self::Client => Self::Internet,
        }
    }
}

impl fmt::Display for Towards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Internet => "internet",
            Self::Client => "client",
        })
    }
}

/// What a direction of a wire does to its frames. The default is a perfect wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Impairment {
    /// Every frame takes at least this long.
    #[serde(with = "crate::lab::span")]
    pub delay: Duration,
    /// On top of it, each frame takes a time drawn evenly from zero to this. Frames stay in order.
    #[serde(with = "crate::lab::span")]
    pub jitter: Duration,
    /// Frames lost, each independent of the others.
    pub loss: Loss,
    /// Frames lost in bursts, on top of `loss`.
    pub bursts: Option<Bursts>,
    /// A bottleneck with its queue.
    pub rate: Option<Rate>,
    /// The share of frames that arrive twice.
    pub duplicate: Loss,
    /// The share of frames that overtake the others: they take neither delay nor jitter.
    pub reorder: Loss,
    /// Nothing arrives, while the carrier stays.
    pub blackhole: bool,
    /// Nothing of this family arrives.
    pub without: Option<LabFamily>,
    /// Nothing arrives that is addressed to this host.
    pub filter: Option<Ipv4Addr>,
}

/// Loss in bursts: the Gilbert-Elliott model (Gilbert 1960, Elliott 1963) in continuous time, so
/// that a burst lasts as long for one probe a second as for a download.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bursts {
    /// The mean length of a burst; lengths are distributed exponentially.
    #[serde(with = "crate::lab::span")]
    pub mean: Duration,
    /// The share of time that lies in bursts, 0.0 to below 1.0.
    pub share: Loss,
    /// The share of frames lost within a burst.
    #[serde(default = "everything")]
    pub loss: Loss,
}

/// A bottleneck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Bits a second, at least 1.
    pub bits_per_second: u64,
    /// A frame that would have to wait longer than this is lost.
    #[serde(with = "crate::lab::span")]
    pub queue: Duration,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameOutcome {
    /// It never arrives.
    Lost,
    /// It arrives at `at`, and once more if `twice`.
    Arrives {
        /// When.
        at: Moment,
        /// A second copy follows the first.
        twice: bool,
    },
}

/// One direction of a wire: its settings, its weather, and what is still under way.
#[derive(Clone, Debug)]
pub struct WireLane {
    impairment: Impairment,
    chance: Chance,
    weather: BurstState,
    bottleneck_free_at: Moment,
    last_arrival: Moment,
}

/// Inside or outside of a burst, when last looked at.
#[derive(Clone, Copy, Debug)]
struct BurstState {
    is_burst: bool,
    seen_at: Option<Moment>,
}

impl WireLane {
    /// A perfect wire; all chance to come follows from `chance`.
    pub fn new(chance: Chance) -> Self {
        Self {
            impairment: Impairment::default(),
            chance,
            weather: BurstState {
                is_burst: false,
                seen_at: None,
            },
            bottleneck_free_at: Moment::START,
            last_arrival: Moment::START,
        }
    }

    /// From now on the lane is like this. Frames under way are not called back.
    pub fn set(&mut self, impairment: Impairment) {
        self.impairment = impairment;
    }

    /// Decides about a frame that enters the lane `now`. Calls must not go back in time.
    pub fn handle_frame(&mut self, now: Moment, frame: &[u8]) -> FrameOutcome {
        let Impairment {
            delay,
            jitter,
            loss,
            bursts,
            rate,
            duplicate,
            reorder,
            blackhole,
            without,
            filter,
        } = self.impairment;
        let is_lost = self.chance.happens(loss.ratio());
        let is_in_burst = bursts.is_some_and(|bursts| self.is_lost_in_burst(now, bursts));
        let is_filtered = filter.is_some_and(|host| destination(frame) == Some(host));
        let is_without = without.is_some() && family(frame) == without;
        if blackhole || is_without || is_filtered || is_lost || is_in_burst {
            return FrameOutcome::Lost;
        }
        let Some(departure) = self.pass_bottleneck(now, rate, frame.len()) else {
            return FrameOutcome::Lost;
        };
        let twice = self.chance.happens(duplicate.ratio());
        let extra = jitter.mul_f64(self.chance.unit());
        if self.chance.happens(reorder.ratio()) {
            let at = departure;
            return FrameOutcome::Arrives { at, twice };
        }
        let at = self.last_arrival.max(departure + delay + extra);
        self.last_arrival = at;
        FrameOutcome::Arrives { at, twice }
    }

    fn is_lost_in_burst(&mut self, now: Moment, bursts: Bursts) -> bool {
        let share = bursts.share.ratio();
        // With burst length B and share s, good times last B (1 - s) / s; the chain forgets its
        // state at the sum of both rates, 1/B + s / (B (1 - s)) = 1 / (B (1 - s)).
        let memory = bursts.mean.as_secs_f64() * (1.0 - share);
        let kept = match self.weather.seen_at {
            Some(then) if memory > 0.0 => (-now.since(then).as_secs_f64() / memory).exp(),
            Some(_) | None => 0.0,
        };
        let was = f64::from(u8::from(self.weather.is_burst));
        self.weather = BurstState {
            is_burst: self.chance.happens(share + (was - share) * kept),
            seen_at: Some(now),
        };
        let is_hit = self.chance.happens(bursts.loss.ratio());
        self.weather.is_burst && is_hit
    }

    /// When the last bit of the frame has left the bottleneck; none if its queue is full.
    fn pass_bottleneck(&mut self, now: Moment, rate: Option<Rate>, bytes: usize) -> Option<Moment> {
        let Some(Rate {
            bits_per_second,
            queue,
        }) = rate
        else {
            return Some(now);
        };
        let start = self.bottleneck_free_at.max(now);
        if start.since(now) > queue {
            return None;
        }
        let nanoseconds = bytes as u128 * 8 * 1_000_000_000 / u128::from(bits_per_second.max(1));
        let sending = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        self.bottleneck_free_at = start + sending;
        Some(self.bottleneck_free_at)
    }
}

/// The IPv4 destination of an Ethernet frame, if it carries IPv4.
fn destination(frame: &[u8]) -> Option<Ipv4Addr> {
    const DESTINATION: std::ops::Range<usize> = 30..34;
    family(frame).filter(|family| *family == LabFamily::Ipv4)?;
    let octets: [u8; 4] = frame.get(DESTINATION)?.try_into().ok()?;
    Some(octets.into())
}

fn family(frame: &[u8]) -> Option<LabFamily> {
    const ETHERTYPE: std::ops::Range<usize> = 12..14;
    match frame.get(ETHERTYPE)? {
        [0x08, 0x00] => Some(LabFamily::Ipv4),
        [0x86, 0xdd] => Some(LabFamily::Ipv6),
        _ => None,
    }
}

fn everything() -> Loss {
    Loss::from_ratio(1.0)
}

impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.blackhole {
            return f.write_str("nothing arrives");
        }
        let span = |what: &str, span: Duration| {
            let is_set = !span.is_zero();
            is_set.then(|| format!("{what} {}", humantime::format_duration(span)))
        };
        let share =
            |what: &str, share: Loss| (share > Loss::NONE).then(|| format!("{what} {share}"));
        let parts = [
            span("delay", self.delay),
            span("jitter up to", self.jitter),
            share("loss", self.loss),
            self.bursts.map(|b| format!("loss in bursts {}", b.share)),
            self.rate.map(|r| format!("{} bit/s", r.bits_per_second)),
            share("duplicated", self.duplicate),
            share("reordered", self.reorder),
            self.without
                .map(|family| format!("nothing of {family} arrives")),
            self.filter.map(|host| format!("nothing arrives at {host}")),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        if parts.is_empty() {
            return f.write_str("perfect");
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests;
