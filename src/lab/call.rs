//! How a call sounds to the client. Pure.
//!
//! The call is the QUIC-like flow: both ends send a packet every 20 ms, as RTP does with G.711 (RFC 3551), and the far
//! end sends to where it last heard from (symmetric RTP, RFC 4961).

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::engine::score::score;
use crate::units::{Loss, Moment, Score};

/// Between two packets of each end.
pub(super) const PACE: Duration = Duration::from_millis(20);

/// What the client hears of the far end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CallQuality {
    /// Packets that the far end sent.
    pub sent: usize,
    /// Those of them that were not heard.
    pub lost: usize,
    /// The mean opinion score, from 1 to 4.4.
    pub mos: f64,
}

impl CallQuality {
    /// Of a call that lasted for so long: when each packet was heard, and when its answer had been asked for.
    pub(super) fn of(heard: &[(Moment, Moment)], lasted: Duration) -> Self {
        let sent = usize::try_from(lasted.as_nanos() / PACE.as_nanos()).unwrap_or(usize::MAX);
        let lost = sent.saturating_sub(heard.len());
        let round_trips = heard.iter().map(|(at, asked)| at.since(*asked));
        let spacings = heard.windows(2).map(|pair| pair[1].0.since(pair[0].0));
        // What is lost is no jitter.
        let steady = spacings.filter(|spacing| *spacing < 2 * PACE);
        let (rtt, jitter) = (
            mean(round_trips),
            mean(steady.map(|spacing| spacing.abs_diff(PACE))),
        );
        #[expect(clippy::cast_precision_loss, reason = "packets of a few hours")]
        let ratio = lost as f64 / sent.max(1) as f64;
        Self {
            sent,
            lost,
            mos: opinion(score(Loss::from_ratio(ratio), rtt, jitter)),
        }
    }
}

impl fmt::Display for CallQuality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, lost, mos } = self;
        write!(f, "MOS {mos:.2}, {lost} of {sent} packets not heard")
    }
}

/// The mean opinion score of a rating R (ITU-T G.107, Annex B), which the score has in hundredths of 93.2.
fn opinion(score: Score) -> f64 {
    let rating = f64::from(score.0) * 0.932;
    1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6
}

fn mean(spans: impl Iterator<Item = Duration>) -> Duration {
    let (sum, count) = spans.fold((Duration::ZERO, 0_u32), |(sum, count), span| {
        (sum + span, count + 1)
    });
    sum.checked_div(count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Moment {
        Moment::after_start(Duration::from_millis(milliseconds))
    }

    fn call(is_heard: impl Fn(u64) -> bool) -> CallQuality {
        let packets = (0..500).filter(|number| is_heard(*number));
        let heard: Vec<_> = packets
            .map(|number| (at(number * 20 + 30), at(number * 20)))
            .collect();
        CallQuality::of(&heard, Duration::from_secs(10))
    }

    #[test]
    fn a_call_that_loses_nothing_sounds_good_and_one_that_loses_a_tenth_sounds_poor() {
        let whole = call(|_| true);
        assert_eq!((whole.sent, whole.lost), (500, 0));
        assert!((4.3..4.42).contains(&whole.mos), "{whole}");
        let holed = call(|number| number % 10 != 0);
        assert_eq!(holed.lost, 50);
        assert!((3.0..3.6).contains(&holed.mos), "{holed}");
        assert!((1.0..1.3).contains(&call(|_| false).mos));
    }
}
