//! A client's traffic as evidence: how soon an outage under it is left, and that it never decides alone.

use std::time::Duration;

use crate::support::{at, brief, name, settings, when};
use uplinkd::engine::Engine;
use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::loss::Learner;
use uplinkd::engine::schedule::Spread;
use uplinkd::replay::{Replay, World};
use uplinkd::units::{Counters, Moment, UplinkName};

/// A round trip of the link, in seconds.
const RTT: f64 = 0.01;
/// Packets a second each way.
const PACE: f64 = 200.0;

/// A client whose stream through fiber is echoed at once.
struct EchoedStream {
    began: f64,
    /// From then on fiber answers nothing.
    dead_from: f64,
    /// Each 7 s no echo comes for so long, though the link is well.
    pauses: f64,
    /// What a round trip may take longer, in seconds.
    jitter: f64,
    random: Spread,
}

impl EchoedStream {
    /// The packets sent by then whose echoes are not paused.
    fn echoed(&self, until: f64) -> f64 {
        let lasts = (until - self.began).max(0.0);
        let (turns, rest) = ((lasts / 7.0).floor(), lasts % 7.0);
        let echoing = turns * (7.0 - self.pauses) + rest.min(7.0 - self.pauses);
        (echoing * PACE).floor()
    }
}

impl World for EchoedStream {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        let is_dead = now.since_start().as_secs_f64() + RTT / 2.0 > self.dead_from;
        let is_lost = is_dead && order.uplink == name("fiber");
        (!is_lost).then(|| Duration::from_secs_f64(RTT + self.jitter * self.random.unit()))
    }

    fn counters(&mut self, uplink: &UplinkName, now: Moment) -> Option<Counters> {
        let now = now.since_start().as_secs_f64();
        let sent = ((now - self.began).max(0.0) * PACE).floor();
        let heard_until = now.min(self.dead_from + RTT / 2.0) - RTT;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "thousands of packets"
        )]
        let [tx_packets, rx_packets] = [sent, self.echoed(heard_until)].map(|count| count as u64);
        (*uplink == name("fiber")).then_some(Counters {
            rx_packets,
            tx_packets,
            rx_bytes: rx_packets * 50,
            tx_bytes: tx_packets * 50,
        })
    }
}

fn stream(began: f64, dead_from: f64) -> Replay<EchoedStream> {
    let world = EchoedStream {
        began,
        dead_from,
        pauses: 0.0,
        jitter: 0.001,
        random: Spread::new(1),
    };
    Replay::new(settings(&["fiber", "lte"]), world)
}

#[test]
fn a_blackhole_under_a_stream_is_left_within_half_a_second_at_whatever_moment_it_begins() {
    let mut delays = Vec::new();
    for place in 0..40 {
        let dead_from = 5.0 + f64::from(place) * 0.0251;
        let mut replay = stream(2.0, dead_from);
        let events = replay.run_until(at(dead_from + 5.0));
        let left = when(&events, "switch fiber -> lte").expect("it is left");
        delays.push(left - dead_from);
    }
    delays.sort_by(f64::total_cmp);
    assert!(delays[delays.len() / 2] <= 0.45, "{delays:.3?}");
    assert!(delays[delays.len() - 1] <= 0.5, "{delays:.3?}");
}

#[test]
fn a_stream_whose_echo_pauses_while_the_link_answers_moves_nothing_and_teaches_no_loss() {
    let mut replay = stream(2.0, f64::MAX);
    replay.world().pauses = 0.4;
    replay.world().jitter = 0.009;
    let events = replay.run_until(at(140.0));
    let moves: Vec<_> = brief(&events).into_iter().skip(3).collect();
    assert_eq!(moves, [""; 0]);
    assert!(
        replay.probes()[&name("fiber")] > 150 + 20,
        "each pause is a doubt: {:?}",
        replay.probes()
    );
    let loss = |engine: &Engine| engine.learnt()[&name("fiber")].process().mean();
    assert!(loss(replay.engine()) < Learner::default().process().mean());
}
