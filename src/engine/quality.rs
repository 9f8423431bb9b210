//! How good is it? Loss, latency, jitter and the score of all three, against two thresholds each.
//!
//! Between `exit` and `enter` nothing changes in either direction. Loss is judged by sequential
//! tests, because a window that is short enough to be quick is too coarse to be calm: one test
//! compares with the link's own learnt loss and is quick about a change for the worse, one compares
//! with the thresholds themselves and is slow and sure, and one finds the way back.

use std::collections::VecDeque;
use std::time::Duration;

use crate::engine::loss::{Belief, LossProcess, Tally, independent};
use crate::engine::outage::Demand;
use crate::engine::score::ScoreJudge;
use crate::engine::settings::{Band, HealthSettings};
use crate::units::{Loss, Moment};

/// The evidence, in nats, for which loss is believed to be low again.
const EXIT_EVIDENCE: f64 = 10.0;

/// In doubt there are up to e^3 times as many looks at the evidence as at the steady pace, and each
/// may be the one that misleads.
const DENSE_LOOKS: f64 = 3.0;

/// Evidence for more bursts fades only with the time between bursts, which dense probes do not
/// shorten: below this it does not ask for any.
const CLUSTER_SUSPICION: f64 = 8.0;

/// After so many times the mean length of a burst what is lost has little to do with what was lost.
const BURSTS_APART: f64 = 3.0;

/// How many times its limit the latency of a link may be that our own traffic fills.
const FULL_FACTOR: u32 = 4;

/// After so many steady rounds what is usual counts for 1/e of a new one, and as so many good ones it
/// begins: one silence is not what is usual.
const USUAL_ROUNDS: f64 = 300.0;

/// A queue that is shorter, in seconds, is hardly one.
const LEAST_QUEUE: f64 = 0.02;

/// Latency is judged by so many last replies, of which [`LATENCY_VOTES`] must agree.
const LATENCY_REPLIES: usize = 9;
const LATENCY_VOTES: usize = 7;

/// A round of probes whose outcome is known in full.
#[derive(Clone, Copy, Debug)]
pub struct ClosedRound {
    /// When it was sent.
    pub sent: Moment,
    /// Its probes to targets that are not suspected of being the trouble themselves.
    pub tally: Tally,
}

/// The judge of one uplink's quality.
#[derive(Clone, Debug)]
pub struct Quality {
    health: HealthSettings,
    /// What was sent before says something about a link that was not up yet.
    began: Option<Moment>,
    change: LossChange,
    enter: Bernoulli,
    exit: Bernoulli,
    paced: Option<Moment>,
    /// The share of steady rounds that are lost.
    usual: f64,
    loss: Option<Loss>,
    replies: VecDeque<Duration>,
    latency_is_bad: bool,
    jitter: Duration,
    jitter_is_bad: bool,
    score: ScoreJudge,
    is_full: bool,
    /// The round trip while the link is not full of our own traffic, smoothed, in seconds.
    empty_seconds: Option<f64>,
}

impl Quality {
    /// Nothing is known, nothing is bad.
    pub fn new(health: &HealthSettings) -> Self {
        let Band { enter, exit } = health.loss;
        Self {
            health: health.clone(),
            began: None,
            change: LossChange::default(),
            // Without drift at about 0.79 of `enter`, and at 0.9 of `exit`: what lies well between
            // moves neither.
            enter: Bernoulli::between(enter.ratio() * 0.6, enter.ratio()),
            exit: Bernoulli::between(exit.ratio() * 0.2, (exit.ratio() * 2.4).min(0.9)),
            paced: None,
            usual: 0.0,
            loss: None,
            replies: VecDeque::new(),
            latency_is_bad: false,
            jitter: Duration::ZERO,
            jitter_is_bad: false,
            score: ScoreJudge::default(),
            is_full: false,
            empty_seconds: None,
        }
    }

    /// The same of a link that has come up now.
    pub fn from(health: &HealthSettings, now: Moment) -> Self {
        Self {
            began: Some(now),
            ..Self::new(health)
        }
    }

    /// Other limits; what was seen stays.
    pub fn adapt(&mut self, health: &HealthSettings) {
        if *health != self.health {
            *self = Self {
                began: self.began,
                replies: std::mem::take(&mut self.replies),
                empty_seconds: self.empty_seconds,
                ..Self::new(health)
            };
        }
    }

    /// Takes a round whose outcome is known.
    pub fn round(&mut self, round: ClosedRound, process: &LossProcess, demand: &Demand) {
        let is_older = self.began.is_some_and(|began| round.sent < began);
        if round.tally.sent == 0 || is_older || self.overflows() {
            return;
        }
        let enter = self.health.loss.enter;
        self.change.observe(round, process, enter);
        if self.loss.is_none() {
            self.loss = self.change.proven(demand, enter);
        }
        // Rounds are denser while in doubt; for the slow tests they are thinned to the steady pace,
        // and where those of one burst would speak with one voice, to what bursts leave apart.
        let apart = match self.loss {
            None => demand
                .interval
                .as_secs_f64()
                .max(process.burst_seconds * BURSTS_APART),
            Some(_) => demand.interval.as_secs_f64(),
        };
        let is_paced = self
            .paced
            .is_none_or(|paced| round.sent.since(paced).as_secs_f64() >= apart * 0.9);
        if is_paced {
            self.paced = Some(round.sent);
            self.paced_round(round.tally, demand);
        }
    }

    /// Takes back a miss that a late reply undid.
    pub fn undo_miss(&mut self, process: &LossProcess) {
        self.change.undo_miss(process, self.health.loss.enter);
        self.enter.undo_miss();
    }

    /// Takes the round trip of a reply.
    pub fn reply(&mut self, rtt: Duration) {
        if self.replies.len() == LATENCY_REPLIES {
            self.replies.pop_front();
        }
        self.replies.push_back(rtt);
        if !self.is_full {
            let rtt = rtt.as_secs_f64();
            let known = self.empty_seconds.unwrap_or(rtt);
            self.empty_seconds = Some(known + (rtt - known) / 8.0);
        }
        let Band { enter, exit } = self.latency_limits();
        self.latency_is_bad = if self.latency_is_bad {
            self.replies.iter().any(|rtt| *rtt > exit)
        } else {
            rtt >= enter && {
                let slow = self.replies.iter().filter(|rtt| **rtt >= enter);
                slow.count() >= LATENCY_VOTES
            }
        };
    }

    /// Our own traffic fills the link, or no longer does: the queue that it waits in is no fault of
    /// the link's.
    pub fn set_full(&mut self, is_full: bool) {
        self.is_full = is_full;
    }

    /// Takes the present jitter.
    pub fn jitter(&mut self, jitter: Duration) {
        self.jitter = jitter;
        if self.is_full {
            return;
        }
        let Band { enter, exit } = self.health.jitter;
        self.jitter_is_bad = if self.jitter_is_bad {
            jitter > exit
        } else {
            jitter >= enter
        };
    }

    /// So much was lost by another count; it takes the evidence of the thresholds to forget it.
    pub fn blame_loss(&mut self, loss: Loss) {
        self.loss = Some(loss);
        self.exit.evidence = 0.0;
    }

    /// A reply was so late that it took part in a false verdict.
    pub fn blame_latency(&mut self, rtt: Duration) {
        self.replies.clear();
        self.replies.resize(LATENCY_REPLIES, rtt);
        self.latency_is_bad = true;
    }

    /// The loss of the last minutes at the steady pace, which dense probes in doubt do not distort.
    pub fn usual_loss(&self) -> Loss {
        Loss::from_ratio(self.usual)
    }

    /// The same, or what is proven to be lost now.
    pub fn present_loss(&self) -> Loss {
        let proven = self.loss.map_or(0.0, Loss::ratio);
        Loss::from_ratio(proven.max(self.usual))
    }

    /// What is bad, in words; none while all is good.
    pub fn complaint(&self) -> Option<String> {
        if let Some(loss) = self.loss {
            return Some(format!("loses {loss} (limit {})", self.health.loss.enter));
        }
        if self.latency_is_bad {
            return Some(format!(
                "latency {} (limit {})",
                millis(self.latency()),
                millis(self.health.latency.enter)
            ));
        }
        if self.jitter_is_bad {
            let limit = millis(self.health.jitter.enter);
            return Some(format!("jitter above its limit of {limit}"));
        }
        self.score.bad().map(|score| {
            let limit = self.health.score.enter;
            let (latency, jitter) = (millis(self.latency()), millis(self.jitter));
            format!(
                "score {score} (limit {limit}): latency {latency}, jitter {jitter} and its loss"
            )
        })
    }

    /// Whether the next probes should come soon because a change for the worse may have begun.
    pub fn is_suspected(&self) -> bool {
        let loss_may_have_begun = self.loss.is_none() && self.change.is_suspected();
        loss_may_have_begun || (!self.latency_is_bad && self.is_slow())
    }

    fn is_slow(&self) -> bool {
        let last = self.replies.back();
        // The limits of a full link are wider.
        last.is_some_and(|rtt| *rtt >= self.health.latency.enter)
            && last.is_some_and(|rtt| *rtt >= self.latency_limits().enter)
    }

    fn paced_round(&mut self, tally: Tally, demand: &Demand) {
        let one = Tally {
            sent: 1,
            lost: u32::from(tally.lost * 2 > tally.sent),
        };
        self.usual += (f64::from(one.lost) - self.usual) / USUAL_ROUNDS;
        self.enter.observe(one);
        self.score.round(one.lost > 0);
        let slowest = self.replies.iter().max().copied().unwrap_or_default();
        let band = self.health.score;
        if !self.is_full && self.score.may_change(slowest, self.jitter, band) {
            self.score.judge(self.latency(), self.jitter, band);
        }
        match self.loss {
            None if self.enter.proves(demand) => {
                self.loss = Some(self.health.loss.enter);
                self.exit.evidence = 0.0;
            }
            None => {}
            Some(_) => {
                self.exit.observe_reverse(one);
                if self.exit.evidence >= EXIT_EVIDENCE {
                    self.loss = None;
                    self.change = LossChange::default();
                    self.enter.evidence = 0.0;
                    self.exit.evidence = 0.0;
                }
            }
        }
    }

    /// Our own traffic overflows the queue of the link: what is lost there is no fault of the link's
    /// either. The queue shows in the round trip; where that is as ever, losses are the link's own.
    pub fn overflows(&self) -> bool {
        let empty = self.empty_seconds.filter(|_| self.is_full);
        empty.is_some_and(|empty| self.latency().as_secs_f64() >= empty * 2.0 + LEAST_QUEUE)
    }

    fn latency_limits(&self) -> Band<Duration> {
        let Band { enter, exit } = self.health.latency;
        let factor = if self.is_full { FULL_FACTOR } else { 1 };
        Band {
            enter: enter * factor,
            exit: exit * factor,
        }
    }

    fn latency(&self) -> Duration {
        let mut sorted = [Duration::ZERO; LATENCY_REPLIES];
        let known = &mut sorted[..self.replies.len()];
        for (place, rtt) in known.iter_mut().zip(&self.replies) {
            *place = *rtt;
        }
        known.sort_unstable();
        known.get(known.len() / 2).copied().unwrap_or_default()
    }
}

fn millis(duration: Duration) -> String {
    format!("{:.0} ms", duration.as_secs_f64() * 1e3)
}

/// The quick test: "loses clearly more than its history" against "alive as ever", where a burst that
/// the history knows is no surprise. More loss may come scattered or clustered into bursts like
/// those that are known, only more of them; one excursion of evidence is kept for each.
#[derive(Clone, Copy, Debug, Default)]
struct LossChange {
    alive: Belief,
    clustering: Belief,
    last: Option<Moment>,
    scattered: Excursion,
    clustered: Excursion,
}

/// Evidence since it was last nothing, and the probes that it comes from.
#[derive(Clone, Copy, Debug, Default)]
struct Excursion {
    evidence: f64,
    sent: u32,
    lost: u32,
}

impl LossChange {
    fn observe(&mut self, round: ClosedRound, process: &LossProcess, enter: Loss) {
        let elapsed = match self.last {
            Some(last) => round.sent.since(last),
            None => Duration::MAX,
        };
        let worse = worse_loss(process, enter);
        let more_bursts = LossProcess {
            burst_share: worse,
            ..*process
        };
        let belief = process.drift(self.alive, elapsed);
        let (alive, belief) = process.observe(belief, round.tally);
        let clustering = more_bursts.drift(self.clustering, elapsed);
        let (clustered, clustering) = more_bursts.observe(clustering, round.tally);
        let scattered = independent(worse, round.tally);
        self.last = self.last.max(Some(round.sent));
        self.scattered.add(scattered / alive, round.tally);
        self.clustered.add(clustered / alive, round.tally);
        self.alive = belief;
        self.clustering = if self.clustered.evidence > 0.0 {
            clustering
        } else {
            belief
        };
    }

    fn undo_miss(&mut self, process: &LossProcess, enter: Loss) {
        let worse = worse_loss(process, enter);
        let miss = worse / process.mean();
        let reply = (1.0 - worse) / (1.0 - process.mean());
        for excursion in [&mut self.scattered, &mut self.clustered] {
            excursion.lost = excursion.lost.saturating_sub(1);
            excursion.add(reply / miss, Tally { sent: 0, lost: 0 });
        }
    }

    fn is_suspected(&self) -> bool {
        self.scattered.evidence > 0.0 || self.clustered.evidence > CLUSTER_SUSPICION
    }

    /// The loss that is proven to be too much.
    fn proven(&self, demand: &Demand, enter: Loss) -> Option<Loss> {
        if self.scattered.evidence.max(self.clustered.evidence) < DENSE_LOOKS {
            return None;
        }
        let threshold = demand.threshold() + DENSE_LOOKS;
        [self.scattered, self.clustered]
            .iter()
            .filter(|excursion| excursion.evidence >= threshold)
            .map(Excursion::loss)
            .find(|loss| *loss >= enter)
    }
}

impl Excursion {
    /// Takes a likelihood ratio and the probes that it comes from.
    fn add(&mut self, ratio: f64, tally: Tally) {
        let stays_nothing = self.evidence <= 0.0 && ratio <= 1.0;
        if stays_nothing {
            return;
        }
        self.evidence += ratio.ln();
        self.sent += tally.sent;
        self.lost += tally.lost;
        if self.evidence <= 0.0 {
            *self = Self::default();
        }
    }

    fn loss(&self) -> Loss {
        Loss::from_ratio(f64::from(self.lost) / f64::from(self.sent.max(1)))
    }
}

/// The loss that the quick test looks for: half again the limit, and at least twice the usual.
fn worse_loss(process: &LossProcess, enter: Loss) -> f64 {
    (enter.ratio() * 1.5).max(process.mean() * 2.0).min(0.9)
}

/// A CUSUM between two constant loss probabilities.
#[derive(Clone, Copy, Debug)]
struct Bernoulli {
    miss: f64,
    reply: f64,
    evidence: f64,
}

impl Bernoulli {
    fn between(low: f64, high: f64) -> Self {
        let low = low.clamp(1e-4, 0.94);
        let high = high.clamp(low + 1e-4, 0.95);
        Self {
            miss: (high / low).ln(),
            reply: ((1.0 - high) / (1.0 - low)).ln(),
            evidence: 0.0,
        }
    }

    fn observe(&mut self, tally: Tally) {
        self.evidence = (self.evidence + self.ratio(tally)).max(0.0);
    }

    fn observe_reverse(&mut self, tally: Tally) {
        self.evidence = (self.evidence - self.ratio(tally)).max(0.0);
    }

    fn undo_miss(&mut self) {
        self.evidence = (self.evidence + self.reply - self.miss).max(0.0);
    }

    fn proves(&self, demand: &Demand) -> bool {
        self.evidence > 0.0 && self.evidence >= demand.threshold()
    }

    fn ratio(&self, tally: Tally) -> f64 {
        f64::from(tally.lost) * self.miss + f64::from(tally.sent - tally.lost) * self.reply
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cases::cases;
    use crate::engine::loss::Learner;
    use crate::engine::settings::usual::health;

    fn rounds(quality: &mut Quality, from: u64, count: u64, is_lost: impl Fn(u64) -> bool) {
        let process = Learner::default().process();
        for second in from..from + count {
            let round = ClosedRound {
                sent: Moment::after_start(Duration::from_secs(second)),
                tally: Tally {
                    sent: 1,
                    lost: u32::from(is_lost(second)),
                },
            };
            let demand = Demand {
                switch_cost: health().switch_cost,
                interval: Duration::from_secs(1),
                outage_within: health().outage_within,
            };
            quality.round(round, &process, &demand);
        }
    }

    #[test]
    fn heavy_loss_is_noticed_and_forgiven_after_a_long_clean_time() {
        let mut quality = Quality::new(&health());
        rounds(&mut quality, 0, 40, |second| second % 3 == 0);
        assert!(quality.complaint().is_some());
        rounds(&mut quality, 40, 50, |_| false);
        assert!(quality.complaint().is_some(), "not yet");
        rounds(&mut quality, 90, 60, |_| false);
        assert_eq!(quality.complaint(), None);
    }

    #[test]
    fn loss_between_the_thresholds_changes_nothing_in_either_direction() {
        let mut well = Quality::new(&health());
        rounds(&mut well, 0, 100_000, |second| second % 10 == 0);
        assert_eq!(well.complaint(), None);
        let mut degraded = Quality::new(&health());
        rounds(&mut degraded, 0, 60, |second| second % 2 == 0);
        assert!(degraded.complaint().is_some());
        rounds(&mut degraded, 60, 100_000, |second| second % 10 == 0);
        assert!(degraded.complaint().is_some());
    }

    #[test]
    fn latency_needs_a_majority_to_enter_and_all_to_leave() {
        let mut quality = Quality::new(&health());
        for _ in 0..6 {
            quality.reply(Duration::from_millis(600));
        }
        assert_eq!(quality.complaint(), None);
        quality.reply(Duration::from_millis(600));
        assert_eq!(
            quality.complaint().as_deref(),
            Some("latency 600 ms (limit 500 ms)")
        );
        for _ in 0..8 {
            quality.reply(Duration::from_millis(250));
        }
        assert!(quality.complaint().is_some());
        quality.reply(Duration::from_millis(250));
        assert_eq!(quality.complaint(), None);
    }

    #[test]
    fn what_our_own_traffic_loses_in_a_full_queue_is_no_loss_of_the_link() {
        let lossy = |rtt: Duration| {
            let mut quality = Quality::new(&health());
            (0..9).for_each(|_| quality.reply(Duration::from_millis(10)));
            quality.set_full(true);
            (0..9).for_each(|_| quality.reply(rtt));
            rounds(&mut quality, 0, 60, |second| second % 2 == 0);
            quality.complaint()
        };
        assert_eq!(lossy(Duration::from_millis(900)), None);
        assert!(lossy(Duration::from_millis(12)).is_some());
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn delays_between_the_thresholds_change_nothing_in_either_direction(
            round_trips in prop::collection::vec(301..500_u64, 1..100),
            jitters in prop::collection::vec(51..100_u64, 1..100),
            were_bad in any::<bool>(),
        ) {
            let mut quality = Quality::new(&health());
            if were_bad {
                quality.blame_latency(Duration::from_millis(600));
                quality.jitter(Duration::from_millis(100));
            }
            for rtt in round_trips {
                quality.reply(Duration::from_millis(rtt));
                prop_assert_eq!(quality.latency_is_bad, were_bad);
            }
            for jitter in jitters {
                quality.jitter(Duration::from_millis(jitter));
                prop_assert_eq!(quality.jitter_is_bad, were_bad);
            }
        }
    }
}
