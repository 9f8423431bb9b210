//! A client's traffic on the observed uplink, as the counters of its interface show it.

use uplinkd::units::Counters;

use crate::chance::Chance;
use crate::link::Link;

/// Counters move in steps of so many seconds.
const STEP: f64 = 0.02;

/// What the client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// No traffic.
    Idle,
    /// A call: packets both ways all the time.
    Stream,
    /// The same, while broadcast as strong as the call comes in from the provider's network.
    StreamInNoise,
    /// Pages: seconds of traffic, and many seconds without.
    Pages,
    /// Calls whose far end stops now and then, while the client sends on for a while.
    DeadFarEnds,
    /// Calls, and between them one-way telemetry.
    OneWay,
}

impl Habit {
    /// All habits with traffic.
    pub(crate) const BUSY: [Self; 5] = [
        Self::Stream,
        Self::StreamInNoise,
        Self::Pages,
        Self::DeadFarEnds,
        Self::OneWay,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Idle => "no traffic",
            Self::Stream => "a call",
            Self::StreamInNoise => "a call in noise",
            Self::Pages => "pages",
            Self::DeadFarEnds => "dead far ends",
            Self::OneWay => "one-way flows",
        }
    }

    /// Noise of the link, in packets a second.
    fn noise(self) -> f64 {
        match self {
            Self::StreamInNoise => 50.0,
            Self::Idle | Self::Stream | Self::Pages | Self::DeadFarEnds | Self::OneWay => 0.0,
        }
    }

    /// The next flow, and for how many seconds.
    fn next(self, flow: Flow, chance: &mut Chance) -> (Flow, f64) {
        match (self, flow) {
            (Self::Idle, _) => (Flow::None, f64::INFINITY),
            (Self::Stream | Self::StreamInNoise, _) => (Flow::Call, f64::INFINITY),
            (Self::Pages, Flow::None) => (Flow::Page, chance.between(0.3, 5.0)),
            (Self::Pages, _) => (Flow::None, chance.exponential(15.0)),
            (Self::DeadFarEnds, Flow::Call) => (Flow::Unheard, chance.between(2.0, 30.0)),
            (Self::OneWay, Flow::Call) => (Flow::Unheard, chance.exponential(60.0)),
            (Self::DeadFarEnds | Self::OneWay, _) => (Flow::Call, chance.exponential(120.0)),
        }
    }
}

/// The present flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    None,
    Call,
    Page,
    Unheard,
}

impl Flow {
    /// Packets a second out and in.
    fn rates(self) -> (f64, f64) {
        match self {
            Self::None => (0.0, 0.0),
            Self::Call => (50.0, 50.0),
            Self::Page => (150.0, 300.0),
            Self::Unheard => (50.0, 0.0),
        }
    }
}

/// The client's traffic and the counters so far.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    habit: Habit,
    chance: Chance,
    flow: Flow,
    until: f64,
    at: f64,
    sent: f64,
    received: f64,
}

impl Traffic {
    pub(crate) fn new(habit: Habit, seed: u64) -> Self {
        Self {
            habit,
            chance: Chance::new(seed),
            flow: Flow::None,
            until: 0.0,
            at: 0.0,
            sent: 0.0,
            received: 0.0,
        }
    }

    /// The client does this from now on.
    pub(crate) fn take_up(&mut self, habit: Habit, now: f64) {
        (self.habit, self.flow, self.at, self.until) = (habit, Flow::None, now, now);
    }

    /// Passes the traffic through the link up to a moment, before the link is used at a later one.
    pub(crate) fn pass(&mut self, until: f64, link: &mut Link) {
        if self.habit == Habit::Idle {
            return;
        }
        while self.at + STEP <= until {
            self.at += STEP;
            if self.at >= self.until {
                let (flow, lasts) = self.habit.next(self.flow, &mut self.chance);
                self.flow = flow;
                self.until = self.at + lasts;
            }
            let (out, back) = self.flow.rates();
            self.sent += out * STEP;
            self.received += (back * link.passes(self.at) + self.habit.noise()) * STEP;
        }
    }

    /// The counters of the interface.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "packets of some months"
    )]
    pub(crate) fn counters(&self) -> Counters {
        let (sent, received) = (self.sent as u64, self.received as u64);
        Counters {
            rx_packets: received,
            tx_packets: sent,
            rx_bytes: received * 800,
            tx_bytes: sent * 200,
        }
    }
}
