//! The client's stream of packets, and how long it was without traffic. Pure.

use std::time::Duration;

use serde::Serialize;

use crate::lab::scenario::Span;
use crate::units::Moment;

/// Between two packets of the client's stream.
pub const PACE: Duration = Duration::from_millis(5);

/// Multiples of the golden ratio lie evenly between 0 and 1, however many there are (Weyl 1916).
const EVENLY: f64 = 0.618_033_988_749_895;
/// A single run has the age that all runs would have where the stream flows from the beginning.
const FIRST_PLACE: f64 = 0.6;

/// A packet of the client left or was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PacketEvent {
    /// The next packet was sent now.
    Sent(Moment),
    /// The packet of this number, counted from 0, was answered.
    Answered(usize),
}

/// All packets of the client so far.
#[derive(Clone, Debug, Default)]
pub(super) struct PacketStream {
    packets: Vec<StreamPacket>,
}

#[derive(Clone, Copy, Debug)]
struct StreamPacket {
    sent: Moment,
    is_answered: bool,
}

/// The client's traffic in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ClientTraffic {
    /// Packets sent.
    pub sent: usize,
    /// Packets never answered.
    pub lost: usize,
    /// The longest time without traffic.
    #[serde(
        rename = "without_traffic_ms",
        serialize_with = "crate::lab::span::milliseconds"
    )]
    pub gap: Duration,
    /// When it began.
    #[serde(skip)]
    pub(super) gap_start: Moment,
    /// How much of it the machine took, which woke its threads late.
    #[serde(
        rename = "machine_delay_ms",
        serialize_with = "crate::lab::span::milliseconds"
    )]
    pub machine_delay: Duration,
    /// There was no traffic at the end.
    pub is_cut_off: bool,
}

/// From one moment to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TimeRange {
    /// The beginning, inside.
    pub(super) from: Moment,
    /// The end, outside.
    pub(super) to: Moment,
}

impl PacketStream {
    /// Takes in what the meter saw.
    pub(super) fn handle_pulse(&mut self, pulse: PacketEvent) {
        match pulse {
            PacketEvent::Sent(sent) => self.packets.push(StreamPacket {
                sent,
                is_answered: false,
            }),
            PacketEvent::Answered(number) => {
                if let Some(packet) = self.packets.get_mut(number) {
                    packet.is_answered = true;
                }
            }
        }
    }

    /// The packets sent in `range`, and which of them were answered.
    pub(super) fn packets(&self, range: TimeRange) -> Vec<(Moment, bool)> {
        let begin = self
            .packets
            .partition_point(|packet| packet.sent < range.from);
        let end = self
            .packets
            .partition_point(|packet| packet.sent < range.to);
        let inside = self.packets[begin..end].iter();
        inside
            .map(|packet| (packet.sent, packet.is_answered))
            .collect()
    }

    /// Of the packets sent in `interval`, once their answers have had the time to come.
    ///
    /// A gap reaches from one answered packet to the next, or to the edges of the interval; the
    /// pace of the stream is taken off, so that a stream without loss has no gap.
    pub(super) fn traffic(&self, interval: TimeRange) -> ClientTraffic {
        let TimeRange { from, to } = interval;
        let begin = self.packets.partition_point(|packet| packet.sent < from);
        let end = self.packets.partition_point(|packet| packet.sent < to);
        let inside = &self.packets[begin..end];
        let answered = inside.iter().filter(|packet| packet.is_answered);
        let mut last = from;
        let mut longest = TimeRange { from, to: from };
        let ends = answered.clone().map(|packet| packet.sent);
        for end in ends.chain([to]) {
            if end.since(last) > longest.to.since(longest.from) {
                longest = TimeRange {
                    from: last,
                    to: end,
                };
            }
            last = end;
        }
        let last = answered
            .clone()
            .next_back()
            .map_or(from, |packet| packet.sent);
        let silence = to.since(last);
        ClientTraffic {
            sent: inside.len(),
            lost: inside.len() - answered.count(),
            gap: longest.to.since(longest.from).saturating_sub(PACE),
            gap_start: longest.from,
            machine_delay: Duration::ZERO,
            is_cut_off: silence > 20 * PACE,
        }
    }
}

/// How old the stream is in the run of this number, between these ages.
pub(super) fn age([youngest, oldest]: [Span; 2], number: u16) -> Duration {
    let place = (f64::from(number) * EVENLY + FIRST_PLACE).fract();
    youngest.0 + oldest.0.saturating_sub(youngest.0).mul_f64(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Moment {
        Moment::after_start(Duration::from_millis(milliseconds))
    }

    fn traffic(answered: impl Fn(u64) -> bool, from: u64, to: u64) -> ClientTraffic {
        let mut stream = PacketStream::default();
        for number in 0..400 {
            stream.handle_pulse(PacketEvent::Sent(at(number * 5)));
        }
        for number in (0..400).filter(|number| answered(*number)) {
            let number = usize::try_from(number).expect("fits");
            stream.handle_pulse(PacketEvent::Answered(number));
        }
        let interval = TimeRange {
            from: at(from),
            to: at(to),
        };
        stream.traffic(interval)
    }

    #[test]
    fn a_stream_without_loss_has_no_gap() {
        let traffic = traffic(|_| true, 100, 1000);
        assert_eq!((traffic.sent, traffic.lost), (180, 0));
        assert_eq!(traffic.gap, Duration::ZERO);
    }

    #[test]
    fn a_gap_lasts_from_the_last_answered_packet_to_the_next() {
        let traffic = traffic(|n| !(40..60).contains(&n), 100, 1000);
        assert_eq!(traffic.lost, 20);
        assert_eq!(traffic.gap, Duration::from_millis(100));
        assert!(!traffic.is_cut_off);
    }

    #[test]
    fn a_gap_ends_with_the_interval_and_one_begun_before_counts_from_its_start() {
        let cut = traffic(|n| n < 100, 300, 1000);
        assert_eq!(cut.gap, Duration::from_millis(500));
        assert!(cut.is_cut_off);
        let mended = traffic(|n| n >= 100, 300, 1000);
        assert_eq!(mended.gap, Duration::from_millis(195));
        assert!(!mended.is_cut_off);
    }

    #[test]
    fn nothing_answered_is_a_gap_as_long_as_the_interval() {
        let traffic = traffic(|_| false, 0, 1000);
        assert_eq!(traffic.gap, Duration::from_millis(995));
        assert_eq!(traffic.lost, traffic.sent);
    }

    #[test]
    fn the_ages_of_the_stream_lie_evenly_however_many_runs_there_are() {
        let ages = [1, 11].map(|seconds| Span(Duration::from_secs(seconds)));
        for runs in [5, 20, 40] {
            let seen = (1..=runs).map(|run| age(ages, run).as_secs_f64());
            let mut seen: Vec<_> = [1.0, 11.0].into_iter().chain(seen).collect();
            seen.sort_by(f64::total_cmp);
            let widest = seen.windows(2).map(|pair| pair[1] - pair[0]);
            let widest = widest.fold(0.0, f64::max);
            assert!(
                widest <= 20.0 / f64::from(runs),
                "{widest} s of {runs} runs"
            );
        }
    }
}
