//! How good is it, in one number?

use std::time::Duration;

use crate::engine::settings::ScoreBand;
use crate::units::{Loss, Score};

/// The score from loss, round trip and jitter: the transmission rating factor R of ITU-T G.107
/// (E-model) for G.711 with packet loss concealment (G.113 Appendix I: Ie = 0, Bpl = 25.1), scaled
/// so that a link without loss or delay has 100.
///
/// R = 93.2 - Id - Ie,eff, with Id = 0.024 d + 0.11 (d - 177.3) H(d - 177.3) for the one-way delay d
/// in ms (Cole and Rosenbluth 2001), here half the round trip and a jitter buffer of twice the
/// jitter; Ie,eff = 95 Ppl / (Ppl + Bpl) for the loss Ppl in percent (G.107 eq. 7-29, BurstR = 1).
pub fn score(loss: Loss, rtt: Duration, jitter: Duration) -> Score {
    const BEST: f64 = 93.2;
    let delay = rtt.as_secs_f64() * 500.0 + jitter.as_secs_f64() * 2_000.0;
    let delay_impairment = 0.024 * delay + 0.11 * (delay - 177.3).max(0.0);
    let percent = loss.percent();
    let loss_impairment = 95.0 * percent / (percent + 25.1);
    let rating = (BEST - delay_impairment - loss_impairment).clamp(0.0, BEST);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 100"
    )]
    Score((rating / BEST * 100.0).round() as u8)
}

/// A new round counts for so much of the loss, which makes it the loss of about the last minute of
/// steady probes.
const LOSS_SHARE: f64 = 1.0 / 32.0;

/// How good an uplink has been for the last minutes.
#[derive(Clone, Copy, Debug)]
pub struct LastingScore {
    /// By loss, round trip and jitter.
    pub whole: Score,
    /// By what is lost, or proven to be lost now, and the round trip: one late answer raises jitter for long.
    pub delivery: Score,
}

/// Whether the score is bad: a link may be good enough in loss, in latency and in jitter, and still be
/// no good in all of them together.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScoreJudge {
    loss: f64,
    bad: Option<Score>,
}

impl ScoreJudge {
    /// Takes a round at the steady pace.
    pub fn round(&mut self, is_lost: bool) {
        self.loss += (f64::from(u8::from(is_lost)) - self.loss) * LOSS_SHARE;
    }

    /// Whether there is anything to judge: the score is bad, or the slowest round trip of all would make
    /// it so.
    pub fn may_change(&self, slowest: Duration, jitter: Duration, band: ScoreBand) -> bool {
        let worst = || score(Loss::from_ratio(self.loss), slowest, jitter);
        self.bad.is_some() || worst() < band.enter
    }

    /// Judges by the loss so far and the present delay.
    pub fn judge(&mut self, rtt: Duration, jitter: Duration, band: ScoreBand) {
        let score = score(Loss::from_ratio(self.loss), rtt, jitter);
        let is_bad = match self.bad {
            Some(_) => score < band.exit,
            None => score < band.enter,
        };
        self.bad = is_bad.then_some(score);
    }

    /// The score, if it is bad.
    pub fn bad(&self) -> Option<Score> {
        self.bad
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cases::cases;

    const BAND: ScoreBand = ScoreBand {
        enter: Score(30),
        exit: Score(50),
    };
    const MANY: u32 = 2_000;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A judge that has seen this loss for long.
    fn after(percent: u32, rtt: u64, jitter: u64) -> ScoreJudge {
        let mut judge = ScoreJudge::default();
        for round in 0..MANY {
            judge.round(round * percent / 100 != (round + 1) * percent / 100);
            judge.judge(millis(rtt), millis(jitter), BAND);
        }
        judge
    }

    #[test]
    fn the_score_follows_the_e_model() {
        assert_eq!(score(Loss::NONE, millis(0), millis(0)), Score(100));
        assert_eq!(score(Loss::NONE, millis(100), millis(0)), Score(99));
        assert_eq!(
            score(Loss::from_percent(5.0), millis(40), millis(5)),
            Score(82)
        );
        assert_eq!(
            score(Loss::from_percent(100.0), millis(2000), millis(500)),
            Score(0)
        );
    }

    #[test]
    fn what_is_borne_one_by_one_may_be_too_much_together() {
        assert_eq!(after(15, 20, 2).bad(), None);
        assert_eq!(after(0, 480, 2).bad(), None);
        assert_eq!(after(0, 20, 95).bad(), None);
        assert!(after(15, 480, 95).bad().is_some());
    }

    #[test]
    fn a_score_of_nothing_turns_it_off() {
        let off = ScoreBand {
            enter: Score(0),
            exit: Score(1),
        };
        let mut judge = ScoreJudge::default();
        for _ in 0..MANY {
            judge.round(true);
            judge.judge(millis(60_000), millis(60_000), off);
        }
        assert_eq!(judge.bad(), None);
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn a_score_between_the_thresholds_changes_nothing_in_either_direction(
            delays in prop::collection::vec((0..20_000_u64, 0..2_000_u64), 1..200),
            was_bad in any::<bool>(),
        ) {
            let mut judge = ScoreJudge { loss: 0.0, bad: was_bad.then_some(Score(0)) };
            for (rtt, jitter) in delays {
                let now = score(Loss::NONE, millis(rtt), millis(jitter));
                if (BAND.enter..BAND.exit).contains(&now) {
                    judge.judge(millis(rtt), millis(jitter), BAND);
                }
            }
            prop_assert_eq!(judge.bad().is_some(), was_bad);
        }
    }
}
