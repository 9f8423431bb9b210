//! Detection time: how soon an outage of a link would be detected, by what was learnt about it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::loss::Learner;
use crate::engine::outage::{Demand, Outage};
use crate::engine::wording::{millis, tenths};
use crate::units::Moment;

/// How the rounds follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm<F> {
    /// Between two rounds as long as all are answered.
    pub steady: Duration,
    /// Between two rounds after so long a silence.
    pub confirm: F,
    /// After so long without an answer a probe is missed.
    pub deadline: Duration,
    /// The independent losses that explain it when a steady round is not answered, and when a round
    /// to all targets is not.
    pub losses: [u32; 2],
}

/// What one link has taught, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learnt {
    /// The share of its probes that it lost while it was alive, in percent.
    pub loss_percent: f64,
    /// From how many probes that is known; old ones count for less.
    #[serde(default)]
    pub probes: f64,
    /// The mean length of its bursts of loss, in milliseconds.
    pub burst_ms: f64,
    /// From its death to the verdict, at the pace at which it is probed now, when the next probe
    /// is half a spacing away and none of its own traffic raises the alarm before, in milliseconds.
    pub dead_in_ms: f64,
    /// How long a silence is waited for, from its first missed probe, in milliseconds.
    #[serde(default)]
    pub patience_ms: f64,
    /// From how many silences of 0.45 s or more that ended by themselves that is known.
    #[serde(default)]
    pub silences: f64,
    /// With what period silences begin, in milliseconds, if they have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_ms: Option<f64>,
    /// How long a silence is waited for then that begins at another time, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience_apart_ms: Option<f64>,
}

impl Learnt {
    /// What follows from what `learner` knows.
    pub fn new<F>(learner: Learner, demand: Demand, rhythm: &Rhythm<F>) -> Self
    where
        F: Fn(Duration) -> Duration,
    {
        let process = learner.process();
        let dead_in = rhythm.steady / 2 + silence(learner, demand, rhythm);
        let (lost, probes) = learner.shown();
        Self {
            loss_percent: tenths(lost * 100.0),
            probes: probes.round(),
            burst_ms: millis(
                Duration::try_from_secs_f64(process.burst_seconds).unwrap_or(Duration::MAX),
            ),
            dead_in_ms: millis(dead_in),
            patience_ms: millis(Outage::with(learner).patience(demand)),
            silences: tenths(learner.hazard().silences()),
            period_ms: None,
            patience_apart_ms: None,
        }
    }

    /// The same where silences begin with a period of so many seconds, and others are waited for so long.
    #[must_use]
    pub fn with_cycle(self, cycle: Option<(f64, Duration)>) -> Self {
        Self {
            period_ms: cycle.map(|(period, _)| tenths(period * 1e3)),
            patience_apart_ms: cycle.map(|(_, patience)| millis(patience)),
            ..self
        }
    }
}

/// From the first probe that is not answered to the verdict: the detector itself is shown a link
/// that has fallen silent.
fn silence<F>(learner: Learner, demand: Demand, rhythm: &Rhythm<F>) -> Duration
where
    F: Fn(Duration) -> Duration,
{
    let mut outage = Outage::with(learner);
    let answered = Moment::START;
    let first = answered + rhythm.steady / 2;
    outage.answered(answered, demand);
    let mut sent = first;
    let [mut losses, all] = rhythm.losses;
    for _ in 0..MOST_ROUNDS {
        let missed = sent + rhythm.deadline;
        outage.failed(sent, losses);
        if outage.verdict(missed, demand).is_some() {
            return missed.since(first);
        }
        // The second round waits until the first is missed; the others follow at their pace.
        let confirm = (rhythm.confirm)(sent.since(first));
        let next = if sent == first {
            confirm.max(rhythm.deadline)
        } else {
            confirm
        };
        sent = sent + next;
        losses = all;
    }
    demand.outage_within
}

/// Ten seconds of the densest probes. By then the limit on patience decides.
const MOST_ROUNDS: u32 = 500;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::loss::MissedRun;

    const DEMAND: Demand = Demand {
        switch_cost: Duration::from_secs(2),
        interval: Duration::from_secs(1),
        outage_within: Duration::from_secs(10),
    };
    const RHYTHM: Rhythm<fn(Duration) -> Duration> = Rhythm {
        steady: Duration::from_secs(1),
        confirm: |_| Duration::from_millis(50),
        deadline: Duration::from_millis(35),
        losses: [1, 3],
    };

    #[test]
    fn a_link_that_has_shown_bursts_takes_longer_and_never_longer_than_the_limit() {
        let clean = Learnt::new(Learner::default(), DEMAND, &RHYTHM);
        assert_eq!(
            (clean.loss_percent, clean.probes),
            (0.0, 0.0),
            "nothing is credited"
        );
        let mut learner = Learner::default();
        for seconds in [0.6, 1.2, 0.3, 1.5, 1.9, 0.6].repeat(50) {
            for _ in 0..30 {
                learner.answered();
            }
            learner.ended(MissedRun {
                at_least: Duration::from_secs_f64(seconds),
                at_most: Duration::from_secs_f64(seconds + 0.05),
                losses: 9,
                begun_before: Duration::ZERO,
            });
        }
        let bursty = Learnt::new(learner, DEMAND, &RHYTHM);
        assert!((500.0..1_100.0).contains(&clean.dead_in_ms), "{clean:?}");
        assert!(bursty.dead_in_ms > 2.0 * clean.dead_in_ms, "{bursty:?}");
        assert!(bursty.dead_in_ms <= 10_600.0, "{bursty:?}");
        let steady = Duration::from_secs(5);
        let rare = Learnt::new(Learner::default(), DEMAND, &Rhythm { steady, ..RHYTHM });
        assert!(rare.dead_in_ms >= clean.dead_in_ms + 1_900.0, "{rare:?}");
        assert!(bursty.burst_ms > clean.burst_ms && bursty.loss_percent > clean.loss_percent);
        assert!(bursty.probes > 8_000.0, "{bursty:?}");
    }
}
