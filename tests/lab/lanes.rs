//! A direction of a wire does to its frames what it is set to: the lane of the pump, in virtual time.
#![expect(
    clippy::cast_precision_loss,
    reason = "counts in these tests are far below 2^52"
)]

use std::time::Duration;

use crate::quantile;
use uplinkd::lab::chance::Chance;
use uplinkd::lab::lane::{Bursts, FrameOutcome, Impairment, Rate, WireLane};
use uplinkd::units::{Loss, Moment};

const SEED: u64 = 20_261_121;
const FRAMES: u32 = 20_000;
/// Frames every 2.5 ms are as dense as the traffic of the lab's client.
const PACE: Duration = Duration::from_micros(2500);
/// With its Ethernet header.
const FRAME: [u8; 106] = [0; 106];

/// What the far end sees of a stream.
struct LaneStream {
    /// Number and time under way of each frame that arrives, in the order in which they enter.
    arrivals: Vec<(u32, Duration)>,
    twice: usize,
}

fn stream(pace: Duration, impairment: Impairment) -> LaneStream {
    let mut lane = WireLane::new(Chance::from_seed(SEED));
    lane.set(impairment);
    let mut seen = LaneStream {
        arrivals: Vec::new(),
        twice: 0,
    };
    for number in 0..FRAMES {
        let now = Moment::START + pace * number;
        if let FrameOutcome::Arrives { at, twice } = lane.handle_frame(now, &FRAME) {
            seen.arrivals.push((number, at.since(now)));
            seen.twice += usize::from(twice);
        }
    }
    seen
}

impl LaneStream {
    fn share_lost(&self) -> f64 {
        1.0 - self.arrivals.len() as f64 / f64::from(FRAMES)
    }

    fn share_twice(&self) -> f64 {
        self.twice as f64 / self.arrivals.len() as f64
    }

    /// Of the frames, those that arrive before one that entered before them.
    fn share_overtaking(&self, pace: Duration) -> f64 {
        let arrival = |&(number, under_way): &(u32, Duration)| pace * number + under_way;
        let overtakes = |pair: &&[(u32, Duration)]| arrival(&pair[1]) < arrival(&pair[0]);
        self.arrivals.windows(2).filter(overtakes).count() as f64 / self.arrivals.len() as f64
    }

    /// The time under way that this share of the frames stays below, in milliseconds.
    fn quantile(&self, share: f64) -> f64 {
        quantile(self.arrivals.iter().map(|(_, time)| *time), share)
    }
}

#[track_caller]
fn assert_near(what: &str, measured: f64, wanted: f64, within: f64) {
    let is_near = (measured - wanted).abs() <= within;
    assert!(
        is_near,
        "{what}: {measured}, asked for {wanted} +- {within}"
    );
}

#[test]
fn jitter_spreads_the_delay_evenly_over_its_span_and_keeps_the_order() {
    // Not above the pace, so that keeping the order does not bend the distribution.
    let jitter = Duration::from_millis(10);
    let impairment = Impairment {
        delay: Duration::from_millis(10),
        jitter,
        ..Impairment::default()
    };
    let seen = stream(jitter, impairment);
    // Four standard deviations of a quantile of 20,000.
    assert_near("first decile", seen.quantile(0.1), 11.0, 0.1);
    assert_near("median", seen.quantile(0.5), 15.0, 0.15);
    assert_near("last decile", seen.quantile(0.9), 19.0, 0.1);
    let dense = stream(PACE, impairment);
    assert_near("overtaking", dense.share_overtaking(PACE), 0.0, 0.0);
}

#[test]
fn independent_loss_and_duplication_happen_as_often_as_asked() {
    let seen = stream(
        PACE,
        Impairment {
            loss: Loss::from_percent(30.0),
            duplicate: Loss::from_percent(10.0),
            ..Impairment::default()
        },
    );
    // Four standard deviations.
    assert_near("lost", seen.share_lost(), 0.3, 0.013);
    assert_near("twice", seen.share_twice(), 0.1, 0.011);
}

#[test]
fn bursts_lose_their_share_of_time() {
    let seen = stream(
        PACE,
        Impairment {
            bursts: Some(Bursts {
                mean: Duration::from_millis(10),
                share: Loss::from_percent(20.0),
                loss: Loss::from_percent(100.0),
            }),
            ..Impairment::default()
        },
    );
    // 50 s hold 1,000 bursts.
    assert_near("lost", seen.share_lost(), 0.2, 0.03);
    let follows_a_loss = |pair: &&[(u32, Duration)]| pair[1].0 != pair[0].0 + 1;
    let bursts = seen.arrivals.windows(2).filter(follows_a_loss).count();
    let length = seen.share_lost() * f64::from(FRAMES) / bursts as f64;
    // Independent loss of 20 % would give 1.25 frames; 10 ms are 4.
    assert_near("frames a burst", length, 4.5, 0.6);
}

#[test]
fn a_bottleneck_fills_its_queue_and_drops_the_rest() {
    // 106 bytes, 400 times a second, are 339 kbit/s: half of it fits.
    let seen = stream(
        PACE,
        Impairment {
            rate: Some(Rate {
                bits_per_second: 169_600,
                queue: Duration::from_millis(50),
            }),
            ..Impairment::default()
        },
    );
    assert_near("lost", seen.share_lost(), 0.5, 0.01);
    // The queue, and the 5 ms that the frame itself takes.
    assert_near("median", seen.quantile(0.5), 54.0, 2.0);
}

#[test]
fn reordered_frames_overtake_as_often_as_asked() {
    let seen = stream(
        PACE,
        Impairment {
            delay: Duration::from_millis(4),
            reorder: Loss::from_percent(10.0),
            ..Impairment::default()
        },
    );
    assert_near("lost", seen.share_lost(), 0.0, 0.0);
    // Each that overtakes follows one that it overtakes, unless that overtakes as well.
    assert_near("overtaking", seen.share_overtaking(PACE), 0.09, 0.01);
}
