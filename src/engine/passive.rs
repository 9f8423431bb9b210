//! Passive evidence: what the uplink's own traffic says about it.
//!
//! Packets that go out while none come in any more are the earliest sign of an outage there is. They
//! raise suspicion and say since when, but never decide: a far end may be dead, a flow one-way.
//! Traffic near the most that the link has ever carried explains a long round trip.

use std::time::Duration;

use crate::units::{Counters, Moment};

/// While traffic flows at this rate or more both ways, in packets a second, its silence says
/// something soon, and the counters are worth reading often.
const BUSY_RATE: f64 = 20.0;
/// How often that is.
pub const BUSY_EVERY: Duration = Duration::from_millis(100);
/// Where inbound may just have fallen still, a look so soon after the last adds what has come since.
const LOOK_BETWEEN: Duration = Duration::from_millis(30);
/// Below this rate either way next to nothing flows but probes, and a look along with each steady
/// probe shows when that changes: a look costs a small router a tenth of a probe.
const IDLE_RATE: f64 = 5.0;
/// So many packets must have gone out unanswered, and so many must be missing.
const LEAST_PACKETS: f64 = 5.0;
/// Inbound is still when it falls below this share of what it was.
const STILL_SHARE: f64 = 0.1;
/// Broadcast and other noise of the link goes on when the internet is gone, and may be as much as the
/// traffic. So inbound has fallen silent, too, when it falls below this share while outbound keeps
/// that share at least: what the far end slows down, slows down both ways.
const NOISY_SHARE: f64 = 0.6;
/// Of so much noise this many packets must be missing, or chance would do.
const LEAST_MISSING_IN_NOISE: f64 = 20.0;
/// The silence must last for so many round trips.
const ROUND_TRIPS: u32 = 3;
/// When next to nothing has gone out for so long either, the traffic has simply ended.
const ENDED_AFTER: Duration = Duration::from_secs(1);
/// What flowed so long ago says nothing about now.
const FLOWS_FOR: Duration = Duration::from_secs(2);
/// After a false alarm there is no other for so long.
const HOLD_OFF: Duration = Duration::from_secs(5);
/// The time over which the rates are smoothed.
const SMOOTHING_SECONDS: f64 = 1.0;
/// A link is full at this share of the most it has carried, if that was at least [`LEAST_FULL`].
const FULL_SHARE: f64 = 0.7;
/// In bytes a second; less fills no link that is worth the name.
const LEAST_FULL: f64 = 50_000.0;
/// In this time, in seconds, the most that a link has carried is half forgotten.
const CAPACITY_HALF_LIFE: f64 = 3_600.0;

/// What the counters of one uplink have shown.
#[derive(Clone, Debug, Default)]
pub struct Passive {
    last: Option<(Moment, Counters)>,
    rx_rate: f64,
    tx_rate: f64,
    rx_load: Load,
    tx_load: Load,
    still: Option<Still>,
    /// The same with what a look between two regular ones has added.
    still_between: Option<Still>,
    held_off_until: Moment,
}

/// What passed between two looks.
#[derive(Clone, Copy, Debug)]
struct PassedPackets {
    seconds: f64,
    sent: f64,
    received: f64,
    /// What would have come in at the rate so far.
    expected: f64,
}

impl PassedPackets {
    /// Inbound was silent, or as good as that while outbound kept its rate.
    fn is_silence(self, tx_rate: f64) -> bool {
        let is_silent = self.received <= self.expected * STILL_SHARE;
        let goes_on = self.sent >= tx_rate * self.seconds * NOISY_SHARE;
        let is_silent_but_for_noise = self.received <= self.expected * NOISY_SHARE && goes_on;
        self.expected >= 1.0 && (is_silent || is_silent_but_for_noise)
    }
}

/// Inbound has been still while so many packets went out.
#[derive(Clone, Copy, Debug)]
struct Still {
    since: Moment,
    sent: f64,
    received: f64,
    expected: f64,
}

impl Still {
    fn new(since: Moment) -> Self {
        Self {
            since,
            sent: 0.0,
            received: 0.0,
            expected: 0.0,
        }
    }

    fn and(self, passed: PassedPackets) -> Self {
        Self {
            since: self.since,
            sent: self.sent + passed.sent,
            received: self.received + passed.received,
            expected: self.expected + passed.expected,
        }
    }

    /// Something came in nevertheless.
    fn is_noisy(self) -> bool {
        self.received > self.expected * STILL_SHARE
    }

    fn is_plenty(self) -> bool {
        let missing = self.expected - self.received;
        let least = if self.is_noisy() {
            LEAST_MISSING_IN_NOISE
        } else {
            LEAST_PACKETS
        };
        self.sent >= LEAST_PACKETS && missing >= least
    }
}

impl Passive {
    /// Takes the counters as they are now.
    pub fn observe(&mut self, counters: Counters, now: Moment) {
        self.still_between = None;
        let Some((then, before)) = self.last.filter(|(then, _)| *then < now) else {
            self.last = Some((now, counters));
            return;
        };
        let elapsed = now.since(then);
        let passed = PassedPackets {
            seconds: elapsed.as_secs_f64(),
            received: difference(counters.rx_packets, before.rx_packets),
            sent: difference(counters.tx_packets, before.tx_packets),
            expected: self.rx_rate * elapsed.as_secs_f64(),
        };
        if let Some(still) = self.still.filter(|_| elapsed + LOOK_BETWEEN < BUSY_EVERY) {
            let still = still.and(passed);
            self.still_between = (still.received <= still.expected * NOISY_SHARE).then_some(still);
            return;
        }
        self.last = Some((now, counters));
        let bytes = difference(counters.rx_bytes, before.rx_bytes);
        self.rx_load.observe(bytes, passed.seconds);
        let bytes = difference(counters.tx_bytes, before.tx_bytes);
        self.tx_load.observe(bytes, passed.seconds);
        if passed.is_silence(self.tx_rate) {
            self.fall_still(passed, then, now);
        } else {
            self.flow(passed);
        }
    }

    /// Inbound was silent since `then`.
    fn fall_still(&mut self, passed: PassedPackets, then: Moment, now: Moment) {
        let latest = Still::new(then).and(passed);
        let whole = self.still.map_or(latest, |still| still.and(passed));
        // What was under way when the outage began is no noise of the link.
        let still = if whole.is_noisy() && !latest.is_noisy() {
            latest
        } else {
            whole
        };
        let has_ended = still.sent < LEAST_PACKETS && now.since(still.since) >= ENDED_AFTER;
        self.still = Some(still).filter(|_| !has_ended);
        if has_ended {
            self.rx_rate = 0.0;
            self.tx_rate = 0.0;
        }
    }

    fn flow(&mut self, passed: PassedPackets) {
        self.still = None;
        let share = 1.0 - (-passed.seconds / SMOOTHING_SECONDS).exp();
        self.rx_rate += (passed.received / passed.seconds - self.rx_rate) * share;
        self.tx_rate += (passed.sent / passed.seconds - self.tx_rate) * share;
    }

    /// Since when packets have gone out and none have come in, if that is suspicious by now on a
    /// link with this round trip, which is asked for where it matters.
    pub fn silent_since(&self, rtt: impl FnOnce() -> Duration, now: Moment) -> Option<Moment> {
        let still = self.still_between.or(self.still);
        let still = still.filter(|still| now >= self.held_off_until && still.is_plenty())?;
        let lasts = now.since(still.since);
        (lasts >= BUSY_EVERY.max(rtt() * ROUND_TRIPS)).then_some(still.since)
    }

    /// The suspicion was unfounded: the link answers.
    pub fn disprove(&mut self, now: Moment) {
        self.still_between = None;
        if self.still.take().is_some() {
            self.rx_rate = 0.0;
            self.held_off_until = now + HOLD_OFF;
        }
    }

    /// Another interface: other counters.
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    /// Our own traffic fills the link.
    pub fn is_full(&self) -> bool {
        self.rx_load.is_full() || self.tx_load.is_full()
    }

    /// Our own traffic fills the link and has come in until just now: what is overdue waits in its
    /// queue.
    pub fn is_full_and_flows(&self, now: Moment) -> bool {
        let has_looked = |(last, _): (Moment, _)| now.since(last) <= BUSY_EVERY * 2;
        self.is_full() && self.still.is_none() && self.last.is_some_and(has_looked)
    }

    /// Whether the counters are worth reading along with the dense probes of a verdict.
    pub fn is_worth_a_look(&self) -> bool {
        let is_idle = self.rx_rate < IDLE_RATE || self.tx_rate < IDLE_RATE;
        self.last.is_none() || !is_idle || self.still.is_some()
    }

    /// Traffic flows both ways: the link works, and a probe would say nothing new.
    pub fn is_flowing(&self, now: Moment) -> bool {
        let is_fresh = (self.last).is_some_and(|(last, _)| now.since(last) <= FLOWS_FOR);
        let is_busy = self.rx_rate >= IDLE_RATE && self.tx_rate >= IDLE_RATE;
        is_fresh && is_busy && self.still.is_none()
    }

    /// When the counters are worth reading again, if that is sooner than the next probe.
    pub fn look_again(&self, now: Moment) -> Option<Moment> {
        let is_busy = self.rx_rate >= BUSY_RATE && self.tx_rate >= BUSY_RATE;
        let (last, _) = self.last.filter(|_| is_busy)?;
        let is_open = |still: Still| {
            let is_recent = (still.since..still.since + BUSY_EVERY * 2).contains(&now);
            is_recent && !still.is_plenty()
        };
        let is_open = self.still_between.or(self.still).is_some_and(is_open);
        let soon = now + LOOK_BETWEEN;
        Some(if is_open {
            soon
        } else {
            soon.max(last + BUSY_EVERY)
        })
    }
}

/// Bytes a second now, and the most there were.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    rate: f64,
    capacity: f64,
}

impl Load {
    fn observe(&mut self, bytes: f64, seconds: f64) {
        let share = 1.0 - (-seconds / SMOOTHING_SECONDS).exp();
        self.rate += (bytes / seconds - self.rate) * share;
        let kept = self.capacity * 0.5_f64.powf(seconds / CAPACITY_HALF_LIFE);
        self.capacity = kept.max(self.rate);
    }

    fn is_full(self) -> bool {
        self.capacity >= LEAST_FULL && self.rate >= self.capacity * FULL_SHARE
    }
}

#[expect(clippy::cast_precision_loss, reason = "a difference of a second or so")]
fn difference(now: u64, before: u64) -> f64 {
    now.saturating_sub(before) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(10);

    /// Looks ten times a second; each time so many packets have gone in and out.
    struct Traffic {
        passive: Passive,
        now: Moment,
        counters: Counters,
    }

    impl Traffic {
        fn new() -> Self {
            Self {
                passive: Passive::default(),
                now: Moment::START,
                counters: Counters::default(),
            }
        }

        fn flows(&mut self, tenths: u32, rx: u64, tx: u64) -> Option<Moment> {
            for _ in 0..tenths {
                self.now = self.now + Duration::from_millis(100);
                self.counters.rx_packets += rx;
                self.counters.tx_packets += tx;
                self.counters.rx_bytes += rx * 1_000;
                self.counters.tx_bytes += tx * 100;
                self.passive.observe(self.counters, self.now);
            }
            self.passive.silent_since(|| RTT, self.now)
        }
    }

    #[test]
    fn packets_that_go_out_while_none_come_in_are_suspicious_within_two_looks() {
        let mut traffic = Traffic::new();
        assert_eq!(traffic.flows(50, 20, 20), None);
        let silent = traffic.flows(1, 0, 20);
        assert_eq!(silent, Some(traffic.now - Duration::from_millis(100)));
    }

    #[test]
    fn a_look_between_shows_what_the_look_that_an_outage_began_before_left_open() {
        let mut traffic = Traffic::new();
        traffic.flows(50, 20, 20);
        assert_eq!(traffic.flows(1, 8, 20), None, "the outage is 60 ms old");
        let began = traffic.now - Duration::from_millis(100);
        let mut looks = Vec::new();
        while traffic.passive.silent_since(|| RTT, traffic.now).is_none() {
            let next = traffic.passive.look_again(traffic.now).expect("is busy");
            traffic.counters.tx_packets += 6;
            looks.push(next.since(traffic.now).as_millis());
            traffic.now = next;
            traffic.passive.observe(traffic.counters, next);
        }
        assert_eq!(looks, [30, 30]);
        assert_eq!(
            traffic.passive.silent_since(|| RTT, traffic.now),
            Some(began)
        );
    }

    #[test]
    fn an_answer_that_was_under_way_when_the_outage_began_is_no_noise() {
        let mut traffic = Traffic::new();
        assert_eq!(traffic.flows(50, 5, 5), None);
        assert_eq!(traffic.flows(1, 1, 5), None);
        let silent = traffic.flows(2, 0, 5);
        assert_eq!(silent, Some(traffic.now - Duration::from_millis(200)));
    }

    #[test]
    fn noise_of_the_link_does_not_hide_it() {
        let mut traffic = Traffic::new();
        traffic.flows(50, 30, 30);
        assert!(traffic.flows(2, 2, 30).is_some());
    }

    #[test]
    fn noise_as_strong_as_the_traffic_does_not_hide_it_either() {
        let mut traffic = Traffic::new();
        traffic.flows(50, 40, 20);
        assert!(traffic.flows(2, 20, 20).is_some());
    }

    #[test]
    fn traffic_that_slows_down_both_ways_is_not_suspicious() {
        let mut traffic = Traffic::new();
        traffic.flows(50, 60, 30);
        assert_eq!(traffic.flows(20, 20, 10), None);
    }

    #[test]
    fn traffic_that_ends_is_not_suspicious_and_no_longer_watched() {
        let mut traffic = Traffic::new();
        traffic.flows(50, 30, 25);
        assert!(traffic.passive.look_again(traffic.now).is_some());
        assert_eq!(traffic.flows(20, 0, 0), None);
        assert_eq!(traffic.passive.look_again(traffic.now), None);
    }

    #[test]
    fn dense_probes_look_at_the_counters_only_where_something_flows() {
        let mut traffic = Traffic::new();
        assert!(traffic.passive.is_worth_a_look(), "nothing is known");
        traffic.flows(10, 0, 0);
        assert!(!traffic.passive.is_worth_a_look());
        traffic.flows(10, 1, 1);
        assert!(traffic.passive.is_worth_a_look());
    }

    #[test]
    fn a_false_alarm_is_not_repeated_at_once() {
        let mut traffic = Traffic::new();
        traffic.flows(50, 20, 20);
        assert!(traffic.flows(3, 0, 20).is_some());
        let now = traffic.now;
        traffic.passive.disprove(now);
        assert_eq!(traffic.flows(30, 0, 20), None);
    }

    #[test]
    fn a_link_is_full_near_the_most_it_has_carried() {
        let mut traffic = Traffic::new();
        traffic.flows(50, 500, 20);
        assert!(traffic.passive.is_full());
        assert!(traffic.passive.is_full_and_flows(traffic.now));
        let later = traffic.now + Duration::from_secs(1);
        assert!(
            !traffic.passive.is_full_and_flows(later),
            "the counters were not read"
        );
        traffic.flows(1, 0, 20);
        assert!(
            !traffic.passive.is_full_and_flows(traffic.now),
            "nothing comes in"
        );
        traffic.flows(50, 100, 20);
        assert!(!traffic.passive.is_full());
    }
}
