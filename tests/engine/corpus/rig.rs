//! Plays a case: an engine, a world that answers its probes by chance from a seed, and the clock between them.
//! All arithmetic is on integers, so that the same happens everywhere.

use std::collections::BTreeMap;

use super::adapter::{self, Answer, Asked, Engine, Moment};
use super::cases::{Act, Case, Link, Process, Reply, Wire};

/// A call of the engine that was answered.
pub(super) struct Step {
    pub(super) at: String,
    pub(super) digest: String,
    /// What is kept in words; nothing where it answered with probes and counts only.
    pub(super) lines: Vec<String>,
    /// Everything in words.
    pub(super) full: String,
}

/// A splitmix64 sequence (Steele, Lea and Flood 2014).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of 0 to `most`, `most` excluded.
    pub(super) fn below(&mut self, most: u64) -> u64 {
        self.next() % most.max(1)
    }
}

/// What is due.
enum Pending {
    Act(Act),
    Answer(Asked, Reply),
}

struct Rig<'a> {
    case: &'a Case,
    engine: Engine,
    /// In nanoseconds since the start.
    now: u64,
    wires: Vec<Wire>,
    /// Packets a second, and thousandths of packets sent and received so far.
    traffic: Vec<(u64, u64, u64)>,
    counted: u64,
    chance: Chance,
    pending: BTreeMap<(u64, u64), Pending>,
    number: u64,
    /// The last probes that were asked for.
    asked: Vec<Asked>,
    steps: Vec<Step>,
}

const MILLI: u64 = 1_000_000;

/// Everything that the engine answers in a case.
pub(super) fn play(case: &Case) -> Vec<Step> {
    let mut rig = Rig {
        case,
        engine: adapter::engine(&case.setup),
        now: 0,
        wires: vec![Wire::default(); case.setup.uplinks.len()],
        traffic: vec![(0, 0, 0); case.setup.uplinks.len()],
        counted: 0,
        chance: Chance(case.seed),
        pending: BTreeMap::new(),
        number: 0,
        asked: Vec::new(),
        steps: Vec::new(),
    };
    for (at, act) in &case.script {
        rig.later(at * MILLI, Pending::Act(act.clone()));
    }
    rig.run();
    rig.steps
}

impl Rig<'_> {
    fn later(&mut self, at: u64, what: Pending) {
        self.number += 1;
        self.pending.insert((at, self.number), what);
    }

    fn run(&mut self) {
        let end = self.case.until * MILLI;
        loop {
            let pending = self.pending.first_key_value().map(|((at, _), _)| *at);
            let timeout = adapter::next_timeout(&self.engine);
            let Some(next) = pending.into_iter().chain(timeout).min() else {
                break;
            };
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if pending.is_some_and(|at| at <= self.now) {
                if let Some((_, what)) = self.pending.pop_first() {
                    self.happen(what);
                }
            } else {
                adapter::timeout(&mut self.engine, Moment(self.now));
                self.note();
            }
        }
        let lines = adapter::end(&self.engine);
        self.push(&lines.join("\n"), lines.clone());
    }

    fn happen(&mut self, what: Pending) {
        match what {
            Pending::Answer(asked, reply) => self.answer(&asked, reply),
            Pending::Act(act) => self.act(act),
        }
    }

    fn answer(&mut self, asked: &Asked, reply: Reply) {
        adapter::answer(&mut self.engine, Moment(self.now), asked, reply);
        self.note();
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Wire(uplink, wire) => {
                self.count();
                self.wires[uplink] = wire;
                return;
            }
            Act::Traffic(uplink, packets) => {
                self.count();
                self.traffic[uplink].0 = packets;
                return;
            }
            Act::Sleep(millis) => {
                self.now += millis * MILLI;
                return;
            }
            Act::Back(millis) => {
                self.now = self.now.saturating_sub(millis * MILLI);
                return;
            }
            Act::Late(back, reply) => {
                let place = self.asked.len().checked_sub(back + 1);
                if let Some(asked) = place.map(|place| self.asked[place].clone()) {
                    self.answer(&asked, reply);
                }
                return;
            }
            Act::Restart => {
                self.engine =
                    adapter::restarted(&mut self.engine, &self.case.setup, Moment(self.now));
                self.asked.clear();
                self.pending
                    .retain(|_, what| matches!(what, Pending::Act(_)));
            }
            Act::Link(..)
            | Act::Moved(..)
            | Act::Order(_)
            | Act::Reload(_)
            | Act::Stray(..)
            | Act::Counters(..)
            | Act::Flows(..)
            | Act::Remembered(_) => {
                adapter::tell(&mut self.engine, Moment(self.now), &act);
            }
        }
        self.note();
    }

    /// Takes what the engine wants, and does it.
    fn note(&mut self) {
        let answers = adapter::answers(&mut self.engine);
        if answers.is_empty() {
            return;
        }
        let mut counts = Vec::new();
        let (mut full, mut lines) = (Vec::new(), Vec::new());
        let is_quiet = answers.iter().all(Answer::is_quiet);
        for answer in answers {
            full.push(answer.full());
            if !is_quiet {
                lines.extend(answer.lines());
            }
            match answer {
                Answer::Probe(asked) => self.send(asked),
                Answer::Count(uplink) => counts.push(uplink),
                Answer::Dial(uplink, is_up) => self.dial(uplink, is_up),
                Answer::Other { .. } => {}
            }
        }
        self.push(&full.join("\n"), lines);
        for uplink in counts {
            self.count();
            let (_, sent, received) = self.traffic[uplink];
            let counters = [received / 1_000, sent / 1_000].map(|packets| [packets, packets * 500]);
            let [[rx_packets, rx_bytes], [tx_packets, tx_bytes]] = counters;
            let act = Act::Counters(uplink, [rx_packets, tx_packets, rx_bytes, tx_bytes]);
            adapter::tell(&mut self.engine, Moment(self.now), &act);
            self.note();
        }
    }

    fn push(&mut self, full: &str, lines: Vec<String>) {
        let without_reasons = full
            .lines()
            .filter(|line| !line.starts_with(adapter::REASON));
        let without_reasons: Vec<_> = without_reasons.collect();
        let text = format!("{}\n{}", self.now, without_reasons.join("\n"));
        let millis = self.now / MILLI;
        let at = format!("{}.{:03}", millis / 1_000, millis % 1_000);
        self.steps.push(Step {
            full: format!("{at} ({} ns)\n{full}", self.now),
            at,
            digest: digest(&text),
            lines,
        });
    }

    /// What has passed by now.
    fn count(&mut self) {
        let millis = (self.now / MILLI).saturating_sub(self.counted);
        self.counted = self.counted.max(self.now / MILLI);
        for (traffic, wire) in self.traffic.iter_mut().zip(&self.wires) {
            traffic.1 += traffic.0 * millis;
            if wire.loss < [1_000; 2] {
                traffic.2 += traffic.0 * millis;
            }
        }
    }

    fn dial(&mut self, uplink: usize, is_up: bool) {
        let after = if is_up {
            self.case.dials_for
        } else {
            Some(1_000)
        };
        let link = if is_up { Link::up() } else { Link::absent() };
        if let Some(after) = after {
            let at = self.now + after * MILLI;
            self.later(at, Pending::Act(Act::Link(uplink, link)));
        }
    }

    fn send(&mut self, asked: Asked) {
        if self.asked.len() == 100 {
            self.asked.remove(0);
        }
        self.asked.push(asked.clone());
        let Some(uplink) = asked.uplink else {
            return;
        };
        let wire = self.wires[uplink].clone();
        let luck = self.chance.below(1_000);
        let jitter = self.chance.below(wire.jitter);
        let (is_interrupted, level) = wire.process.at(self.case.seed, self.now / 1_000);
        let is_deaf = wire.deaf_to == Some(asked.place);
        if is_interrupted || is_deaf || luck < u64::from(wire.loss[usize::from(asked.is_ipv6)]) {
            return;
        }
        let rtt = wire.rtt + wire.rtt * asked.place as u64 / 4 + jitter + level;
        let at = self.now + rtt * 1_000;
        if rtt <= asked.listen_micros {
            let reply = match wire.reply {
                Reply::Right(_) => Reply::Right(rtt),
                other @ (Reply::Unreachable | Reply::Wrong | Reply::Captive | Reply::NotSent) => {
                    other
                }
            };
            self.later(at, Pending::Answer(asked, reply));
        }
    }
}

impl Process {
    /// Whether it loses everything at a moment in microseconds, and what it adds to a round trip.
    fn at(self, seed: u64, now: u64) -> (bool, u64) {
        let slot = |length: u64| {
            let mut chance = Chance(seed ^ (now / length).wrapping_mul(0x2545_f491_4f6c_dd1d));
            chance.next();
            (chance, now % length)
        };
        match self {
            Self::Calm => (false, 0),
            Self::Bursts { every, mean } => {
                let (mut chance, at) = slot(every * 1_000);
                let length = chance.below(2_000 * mean);
                let from = chance.below(every * 1_000);
                ((from..from + length).contains(&at), 0)
            }
            Self::Handover => {
                let (mut chance, at) = slot(60_000_000);
                let from = chance.below(40_000_000);
                let length = if chance.below(8) == 0 {
                    500_000 + chance.below(1_400_000)
                } else {
                    30_000 + chance.below(120_000)
                };
                let level = 20_000 + chance.below(30_000);
                ((from..from + length).contains(&at), level)
            }
            Self::Starlink => {
                let (mut chance, at) = slot(15_000_000);
                let length = match chance.below(20) {
                    0 => 200_000 + chance.below(800_000),
                    1..10 => 20_000 + chance.below(130_000),
                    _ => 0,
                };
                (at < length, 10_000 + chance.below(30_000))
            }
            Self::Evening => {
                // Up and down in ten minutes.
                let at = now / 1_000 % 600_000;
                let busy = if at < 300_000 { at } else { 600_000 - at };
                (
                    Chance(seed ^ now).below(1_000) * 10_000_000 < busy * 1_000,
                    busy / 5,
                )
            }
        }
    }
}

/// 18 bits of FNV-1a (Fowler, Noll and Vo).
fn digest(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = hash ^ (hash >> 32);
    [hash >> 12, hash >> 6, hash]
        .map(|bits| char::from(DIGITS[usize::try_from(bits & 63).expect("6 bits")]))
        .iter()
        .collect()
}
