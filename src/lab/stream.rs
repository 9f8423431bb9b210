//! What the client felt, from the times of its packets. Pure.

use std::time::Duration;

use serde::Serialize;

use crate::units::Moment;

/// Between two packets of the client's stream.
pub const PACE: Duration = Duration::from_millis(5);

/// A packet of the client left or was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulse {
    /// The next packet was sent now.
    Sent(Moment),
    /// The packet of this number, counted from 0, was answered.
    Answered(usize),
}

/// All packets of the client so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    packets: Vec<Packet>,
}

#[derive(Clone, Copy, Debug)]
struct Packet {
    sent: Moment,
    is_answered: bool,
}

/// What the client felt in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Felt {
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
    /// There was no traffic at the end.
    pub is_cut_off: bool,
}

/// From one moment to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    /// The beginning, inside.
    pub(super) from: Moment,
    /// The end, outside.
    pub(super) to: Moment,
}

impl Stream {
    /// Takes in what the meter saw.
    pub(super) fn handle_pulse(&mut self, pulse: Pulse) {
        match pulse {
            Pulse::Sent(sent) => self.packets.push(Packet {
                sent,
                is_answered: false,
            }),
            Pulse::Answered(number) => {
                if let Some(packet) = self.packets.get_mut(number) {
                    packet.is_answered = true;
                }
            }
        }
    }

    /// What was felt of the packets sent in `interval`. Ask when their answers have had the time to
    /// come.
    ///
    /// A gap reaches from one answered packet to the next, or to the edges of the interval; the
    /// pace of the stream is taken off, so that a stream without loss has no gap.
    pub(super) fn felt(&self, interval: Interval) -> Felt {
        let Interval { from, to } = interval;
        let begin = self.packets.partition_point(|packet| packet.sent < from);
        let end = self.packets.partition_point(|packet| packet.sent < to);
        let inside = &self.packets[begin..end];
        let answered = inside.iter().filter(|packet| packet.is_answered);
        let mut last = from;
        let mut gap = Duration::ZERO;
        for packet in answered.clone() {
            gap = gap.max(packet.sent.since(last));
            last = packet.sent;
        }
        let silence = to.since(last);
        Felt {
            sent: inside.len(),
            lost: inside.len() - answered.count(),
            gap: gap.max(silence).saturating_sub(PACE),
            is_cut_off: silence > 20 * PACE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Moment {
        Moment::after_start(Duration::from_millis(milliseconds))
    }

    fn felt(answered: impl Fn(u64) -> bool, from: u64, to: u64) -> Felt {
        let mut stream = Stream::default();
        for number in 0..400 {
            stream.handle_pulse(Pulse::Sent(at(number * 5)));
        }
        for number in (0..400).filter(|number| answered(*number)) {
            let number = usize::try_from(number).expect("fits");
            stream.handle_pulse(Pulse::Answered(number));
        }
        let interval = Interval {
            from: at(from),
            to: at(to),
        };
        stream.felt(interval)
    }

    #[test]
    fn a_stream_without_loss_has_no_gap() {
        let felt = felt(|_| true, 100, 1000);
        assert_eq!((felt.sent, felt.lost), (180, 0));
        assert_eq!(felt.gap, Duration::ZERO);
    }

    #[test]
    fn a_gap_lasts_from_the_last_answered_packet_to_the_next() {
        let felt = felt(|n| !(40..60).contains(&n), 100, 1000);
        assert_eq!(felt.lost, 20);
        assert_eq!(felt.gap, Duration::from_millis(100));
        assert!(!felt.is_cut_off);
    }

    #[test]
    fn a_gap_ends_with_the_interval_and_one_begun_before_counts_from_its_start() {
        let cut = felt(|n| n < 100, 300, 1000);
        assert_eq!(cut.gap, Duration::from_millis(500));
        assert!(cut.is_cut_off);
        let mended = felt(|n| n >= 100, 300, 1000);
        assert_eq!(mended.gap, Duration::from_millis(195));
        assert!(!mended.is_cut_off);
    }

    #[test]
    fn nothing_answered_is_a_gap_as_long_as_the_interval() {
        let felt = felt(|_| false, 0, 1000);
        assert_eq!(felt.gap, Duration::from_millis(995));
        assert_eq!(felt.lost, felt.sent);
    }
}
