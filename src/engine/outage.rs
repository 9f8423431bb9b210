//! Is it dead? A sequential test of "dead" against "alive, with this link's own loss process".
//!
//! CUSUM on the log-likelihood ratio (Page 1954). A dead link answers nothing, so any reply takes
//! the evidence back to nothing, and each round that is not answered adds the surprise that an alive
//! link would cause by it. The threshold follows from the accepted time between false verdicts:
//! with one run of misses possible at each steady probe, ln(time / interval) keeps the rate of runs
//! that reach it below one in that time.
//!
//! More probes refute isolated losses; against a burst only time speaks. Once isolated losses are
//! refuted it is known when a silence will have lasted too long for a burst, and until then a
//! few probes do, to see it end.
//!
//! Where silences begin at a regular phase, what was learnt of all of them is for one that begins there. What begins
//! elsewhere is judged by what was learnt of such silences alone.

use std::time::Duration;

use crate::engine::loss::{Learner, LossProcess, MissedRun, Tally, independent};
use crate::engine::phase::{Cycle, SilencePhase};
use crate::engine::settings::UplinkSettings;
use crate::units::Moment;

/// A quarter of the accepted rate of false verdicts is aimed at. What comes once a month on average
/// comes four times in every third quarter; at a quarter of that, in one of 140.
const RESERVE: f64 = 4.0;

/// Fewer missed rounds than this never make an outage by the limit on patience alone.
const LEAST_ROUNDS: usize = 3;

/// Of the limit on patience, the most that time before the first miss may use up. Where probes are
/// further apart than the limit, every burst that one of them meets would be an outage otherwise.
const UNASKED_SHARE: u32 = 2;

/// A moment that was computed is not late by a rounding error.
const ROUNDING: Duration = Duration::from_micros(1);

/// A run keeps at most so many rounds; the evidence of any more is not needed.
const LONGEST_RUN: usize = 512;

/// The accepted mean time between false verdicts on a link that loses packets one by one.
const FALSE_ALARM_EVERY: Duration = Duration::from_secs(30 * 86_400);

/// The accepted mean time between two moves of new connections that are taken back, on such a link.
const FALSE_DOUBT_EVERY: Duration = Duration::from_secs(3_600);

/// What was learnt fades in steps of so long.
const FADE_EVERY: Duration = Duration::from_secs(600);

/// How much is asked of the evidence.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// What a switch costs, in seconds without traffic.
    pub switch_cost: Duration,
    /// The time between two steady probes.
    pub interval: Duration,
    /// The longest silence that is borne, whatever the history says.
    pub outage_within: Duration,
}

impl Demand {
    /// What the settings of an uplink ask.
    pub fn of(settings: &UplinkSettings) -> Self {
        Self {
            switch_cost: settings.health.switch_cost,
            interval: settings.probe.interval,
            outage_within: settings.health.outage_within,
        }
    }

    /// Since when a silence counts whose first round was sent at `first`. Where probes are rare, most of the time
    /// since the last answer nothing was asked.
    pub fn counted_from(&self, answered: Option<Moment>, first: Moment) -> Moment {
        let watched = first - self.interval.min(self.outage_within / UNASKED_SHARE);
        answered.unwrap_or(first).max(watched)
    }

    /// The log-likelihood ratio to reach, in nats.
    pub fn threshold(&self) -> f64 {
        let chances = FALSE_ALARM_EVERY.as_secs_f64() / self.interval.as_secs_f64();
        (chances * RESERVE).ln().max(1.0)
    }

    /// The same for a doubt by which new connections go elsewhere.
    fn doubt_threshold(&self) -> f64 {
        let chances = FALSE_DOUBT_EVERY.as_secs_f64() / self.interval.as_secs_f64();
        chances.ln().max(1.0)
    }
}

/// The detector of one uplink.
#[derive(Clone, Debug, Default)]
pub struct Outage {
    learner: Learner,
    phase: Option<Box<SilencePhase>>,
    /// Where silences have a phase, what is known of those that begin elsewhere.
    apart: Option<Box<Learner>>,
    answered: Option<Moment>,
    /// When what was learnt last faded.
    faded: Option<Moment>,
    run: Vec<Failure>,
    /// The last answer was to a round that had been missed.
    is_late: bool,
    losses: u32,
    /// Since when the uplink's own traffic has gone out without anything coming in.
    silent_since: Option<Moment>,
    /// When the present silence became an outage.
    declared: Option<Moment>,
}

#[derive(Clone, Copy, Debug)]
struct Failure {
    sent: Moment,
    losses: u32,
}

impl Outage {
    /// The detector of a link of which this is known.
    pub fn with(learner: Learner) -> Self {
        Self {
            learner,
            ..Self::default()
        }
    }

    /// A round sent at `sent` was answered by enough targets.
    pub fn answered(&mut self, sent: Moment, demand: Demand) {
        self.fade(sent);
        let newer = self.run.partition_point(|failure| failure.sent <= sent);
        if newer == 0 && self.run.is_empty() {
            self.teach(Learner::answered);
        }
        self.end(newer, sent, demand);
        self.answered = self.answered.max(Some(sent));
        self.is_late = false;
    }

    /// A round sent at `sent` that had been missed is answered after all: answers were held, and the silence is over
    /// for all rounds that were sent meanwhile. `until`: when a round was sent whose answer would come now if it took
    /// no longer than usual.
    pub fn delivered(&mut self, sent: Moment, demand: Demand, until: Moment) {
        let is_of_the_run = self.run.first().is_some_and(|first| first.sent <= sent);
        if let Some(last) = self.run.last().filter(|_| is_of_the_run) {
            self.answered = self.answered.max(Some(last.sent));
            if self.is_late {
                // On a link all of whose answers are late, only the first of them ends a silence.
                self.teach(Learner::answered);
                self.drop_run(self.run.len());
            } else {
                self.end(self.run.len(), until.max(sent), demand);
            }
        }
        self.answered = self.answered.max(Some(sent));
        self.is_late = true;
    }

    /// The silence of so many rounds ended with an answer, at the latest with one to what was sent at `until`.
    fn end(&mut self, rounds: usize, until: Moment, demand: Demand) {
        if let Some(last) = rounds.checked_sub(1) {
            self.learn(last, until, demand);
        }
        self.drop_run(rounds);
    }

    fn drop_run(&mut self, rounds: usize) {
        self.declared = self.declared.filter(|_| rounds < self.run.len());
        let disproved = self.run.drain(..rounds).map(|failure| failure.losses);
        self.losses -= disproved.sum::<u32>();
    }

    /// What was learnt counts for less as time passes.
    fn fade(&mut self, now: Moment) {
        let elapsed = now.since(*self.faded.get_or_insert(now));
        if elapsed >= FADE_EVERY {
            self.teach(|learner| learner.fade(elapsed));
            self.faded = Some(now);
        }
    }

    /// All is known of an answered round with more than one probe.
    pub fn closed(&mut self, tally: Tally) {
        if tally.sent > 1 {
            self.teach(|learner| learner.disagreed(tally));
        }
    }

    /// A round sent at `sent` was not answered by enough targets; without a burst it would take
    /// `losses` independent losses to explain that.
    pub fn failed(&mut self, sent: Moment, losses: u32) {
        let is_disproved = self.answered.is_some_and(|answered| sent <= answered);
        if is_disproved || self.run.len() == LONGEST_RUN {
            return;
        }
        let place = self.run.partition_point(|failure| failure.sent <= sent);
        self.run.insert(place, Failure { sent, losses });
        self.losses += losses;
    }

    /// The silence that has become an outage, if it has.
    pub fn verdict(&mut self, now: Moment, demand: Demand) -> Option<Silence> {
        let first = self.run.first()?.sent;
        let is_proven = self.evidence(demand) >= demand.threshold();
        let counts_from = demand.counted_from(self.answered, first);
        let is_too_long =
            now.since(counts_from) >= demand.outage_within && self.run.len() >= LEAST_ROUNDS;
        (is_proven || is_too_long).then(|| {
            self.declared.get_or_insert(now);
            Silence {
                lasts: now.since(first),
                rounds: self.run.len(),
            }
        })
    }

    /// When the last answer was sent for before the present silence, if this link lets a silence like it be expected
    /// less than once in an hour.
    pub fn founded_doubt(&self, demand: Demand) -> Option<Moment> {
        let first = self.run.first()?.sent;
        let is_founded = self.evidence(demand) >= demand.doubt_threshold();
        is_founded.then(|| self.answered.unwrap_or_else(|| self.began(first)))
    }

    /// The surprise, in nats, that the run would be on a link that is alive: a burst that lasts
    /// from its first round to its last, or as many isolated losses. A burst for which it does not pay to wait
    /// is none.
    fn evidence(&self, demand: Demand) -> f64 {
        let (Some(first), Some(last)) = (self.run.first(), self.run.last()) else {
            return 0.0;
        };
        let learner = self.learner_of(first.sent);
        let process = learner.process();
        let lasts = last.sent.since(self.began(first.sent));
        let burst = if learner.is_worth_leaving(lasts, demand.switch_cost) {
            0.0
        } else {
            let as_probed = process.burst_of(last.sent.since(first.sent));
            let by_traffic = self.silent_traffic(first.sent).map(|since| {
                process.burst_of(last.sent.since(since)) * traffic_chances(&process, demand)
            });
            by_traffic.map_or(as_probed, |by_traffic| by_traffic.min(as_probed))
        };
        -(burst + self.as_isolated(&process)).ln()
    }

    /// When the silence will be an outage if it lasts, whatever else is probed until then; none
    /// while more missed probes would say more.
    pub fn decided_at(&self, demand: Demand) -> Option<Moment> {
        if self.run.len() < LEAST_ROUNDS {
            return None;
        }
        let first = self.run.first()?.sent;
        let learner = self.learner_of(first);
        let process = learner.process();
        let probability = (-demand.threshold()).exp() - self.as_isolated(&process);
        if probability <= 0.0 {
            return None;
        }
        let as_probed = first + process.patience(probability);
        let by_traffic = self
            .silent_traffic(first)
            .map(|since| since + process.patience(probability / traffic_chances(&process, demand)));
        let proven = by_traffic.map_or(as_probed, |by_traffic| by_traffic.min(as_probed));
        let waits_until = self.began(first) + learner.worth_waiting(demand.switch_cost);
        let too_long = demand.counted_from(self.answered, first) + demand.outage_within;
        Some((proven.min(waits_until) + ROUNDING).min(too_long))
    }

    /// When the silence began whose first round was sent at `first`.
    fn began(&self, first: Moment) -> Moment {
        self.silent_traffic(first).unwrap_or(first)
    }

    /// How long a silence is waited for, whatever probes say: until it is more improbable than false verdicts may be,
    /// or until it no longer pays.
    pub fn patience(&self, demand: Demand) -> Duration {
        patience(&self.learner, demand)
    }

    /// In seconds, with what period silences begin, and how long one is waited for that begins at another time.
    pub fn cycle(&self, demand: Demand) -> Option<(f64, Duration)> {
        let cycle = self.known_cycle(self.answered?)?;
        Some((cycle.period, patience(self.apart.as_ref()?, demand)))
    }

    fn known_cycle(&self, now: Moment) -> Option<Cycle> {
        self.phase.as_ref()?.cycle(now)
    }

    /// What is known of silences like the one whose first round was sent at `first`.
    fn learner_of(&self, first: Moment) -> &Learner {
        self.apart_at(first).unwrap_or(&self.learner)
    }

    /// The same, if silences have a phase and this one does not begin there.
    fn apart_at(&self, first: Moment) -> Option<&Learner> {
        let began = self.began(first);
        let cycle = self.known_cycle(first)?;
        let is_there = cycle.meets(self.answered.unwrap_or(began).min(began), began);
        self.apart.as_deref().filter(|_| !is_there)
    }

    /// Teaches what says nothing of the length of silences.
    fn teach(&mut self, lesson: impl Fn(&mut Learner)) {
        lesson(&mut self.learner);
        if let Some(apart) = &mut self.apart {
            lesson(apart);
        }
    }

    /// Traffic that went silent before the first probe was missed dates the burst back.
    fn silent_traffic(&self, first: Moment) -> Option<Moment> {
        self.silent_since.filter(|since| *since < first)
    }

    fn as_isolated(&self, process: &LossProcess) -> f64 {
        let all_lost = Tally {
            sent: self.losses,
            lost: self.losses,
        };
        (1.0 - process.burst_share) * independent(process.isolated, all_lost)
    }

    /// Since when the uplink's own traffic has gone out without anything coming in.
    pub fn traffic_is_silent(&mut self, since: Option<Moment>) {
        self.silent_since = since;
    }

    /// Whether that is so now.
    pub fn is_traffic_silent(&self) -> bool {
        self.silent_since.is_some()
    }

    /// Whether some round is unanswered and no later one is answered.
    pub fn is_suspected(&self) -> bool {
        !self.run.is_empty()
    }

    /// When the last of the rounds was sent that are missed now.
    pub fn last_missed(&self) -> Option<Moment> {
        Some(self.run.last()?.sent)
    }

    /// When the first of these rounds was sent.
    pub fn suspected_since(&self) -> Option<Moment> {
        self.run.first().map(|failure| failure.sent)
    }

    /// When the last round was sent that was answered.
    pub fn last_answer(&self) -> Option<Moment> {
        self.answered
    }

    /// How many rounds are unanswered since the last answer.
    pub fn unanswered(&self) -> usize {
        self.run.len()
    }

    /// The loss process of the link while it is alive, as learnt.
    pub fn process(&self) -> LossProcess {
        self.learner.process()
    }

    /// What an earlier run learnt.
    pub fn recall(&mut self, learner: Learner) {
        self.learner = learner;
        (self.phase, self.apart) = (None, None);
    }

    /// What was learnt.
    pub fn learnt(&self) -> Learner {
        self.learner
    }

    /// The link itself went away or came back: what was going on is over, and teaches nothing.
    pub fn interrupt(&mut self) {
        self.run.clear();
        self.losses = 0;
        self.silent_since = None;
        self.answered = None;
        self.declared = None;
    }

    /// Rounds that were sent before then are no evidence any more: what they went by is gone.
    pub fn withdraw_before(&mut self, sent: Moment) {
        let older = self.run.partition_point(|failure| failure.sent < sent);
        let withdrawn = self.run.drain(..older).map(|failure| failure.losses);
        self.losses -= withdrawn.sum::<u32>();
        self.declared = self.declared.filter(|_| !self.run.is_empty());
    }

    /// No round of the present silence is evidence any more.
    pub fn withdraw_all(&mut self) {
        self.run.clear();
        self.losses = 0;
        self.declared = None;
    }

    /// A silence ended with an answer to what was sent at `answered`. Where it had been declared, or was seen to last,
    /// beyond the present patience by what a switch costs, it was an outage and teaches no patience. Where probes are
    /// rare the verdict comes later than the link was given.
    fn learn(&mut self, last: usize, answered: Moment, demand: Demand) {
        let first = self.run[0].sent;
        let is_apart = self.apart_at(first).is_some();
        let longest = patience(self.learner_of(first), demand) + demand.switch_cost;
        let began = self.began(first);
        let seen_until = self.run[last].sent.min(answered);
        let known_until = if self.declared.is_some() {
            answered
        } else {
            seen_until
        };
        let losses = self.run[..=last].iter().map(|f| f.losses).sum();
        let lesson = |learner: &mut Learner| {
            if known_until.since(first) > longest {
                learner.outlasted(longest);
            } else if answered.since(first) > longest {
                // So few and rare probes say nothing about a silence.
                learner.scattered(losses);
            } else {
                learner.ended(MissedRun {
                    at_least: seen_until.since(first),
                    at_most: answered.since(first),
                    losses,
                    begun_before: first.since(began),
                });
            }
        };
        lesson(&mut self.learner);
        if let Some(apart) = self.apart.as_mut().filter(|_| is_apart) {
            lesson(apart);
        }
        if last > 0 {
            self.learn_phase(began);
        }
    }

    /// A silence began that was no loss of one round.
    fn learn_phase(&mut self, began: Moment) {
        let phase = self.phase.get_or_insert_default();
        phase.began(began);
        if phase.cycle(began).is_none() {
            self.apart = None;
        } else if self.apart.is_none() {
            self.apart = Some(Box::new(self.learner.without_lengths()));
        }
    }
}

/// How long a silence is waited for of a link of which this is known.
fn patience(learner: &Learner, demand: Demand) -> Duration {
    let improbable = learner.process().patience((-demand.threshold()).exp());
    let pays = learner.worth_waiting(demand.switch_cost);
    improbable.min(pays).min(demand.outage_within)
}

/// Probes meet only some of the bursts, and traffic meets them all: so many more may mislead.
fn traffic_chances(process: &LossProcess, demand: Demand) -> f64 {
    (demand.interval.as_secs_f64() / process.burst_seconds).max(1.0)
}

/// A silence that is an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Since the first round was sent that was not answered.
    pub lasts: Duration,
    /// How many rounds were not answered.
    pub rounds: usize,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cases::cases;
    use crate::engine::schedule::Spread;

    const SWITCH_COST: Duration = Duration::from_secs(2);

    const DEMAND: Demand = Demand {
        switch_cost: SWITCH_COST,
        interval: Duration::from_secs(1),
        outage_within: Duration::from_secs(10),
    };

    fn at(millis: u64) -> Moment {
        Moment::after_start(Duration::from_millis(millis))
    }

    /// When a link that has answered `outage` so far is given up, if it falls silent at 100,000 s.
    fn patience(outage: &mut Outage) -> Duration {
        outage.answered(at(99_999_000), DEMAND);
        for millis in (0..20_000).step_by(50) {
            let now = at(100_000_000 + millis);
            outage.failed(now, 1);
            if let Some(silence) = outage.verdict(now, DEMAND) {
                return silence.lasts;
            }
        }
        panic!("never given up");
    }

    /// A link with a burst every so many seconds, of lengths that `length` gives for a number
    /// between 0 and 1.
    fn bursty(every: u64, length: impl Fn(f64) -> f64) -> Outage {
        let mut outage = Outage::default();
        let mut random = Spread::new(1);
        let mut now = at(0);
        for second in 0..9_000_u64 {
            if second % every == 0 {
                let end = now + Duration::from_secs_f64(length(random.unit()));
                let mut sent = now;
                while sent < end {
                    outage.failed(sent, 1);
                    sent = sent + Duration::from_millis(50);
                }
                outage.answered(sent, DEMAND);
                now = sent;
            } else {
                outage.answered(now, DEMAND);
            }
            now = now + Duration::from_secs(1);
        }
        outage
    }

    fn exponential(mean: f64) -> impl Fn(f64) -> f64 {
        move |unit| -mean * (1.0 - unit * 0.9999).ln()
    }

    #[test]
    fn a_new_link_is_given_up_in_about_half_a_second_of_silence() {
        let patience = patience(&mut Outage::default());
        assert!((200..=600).contains(&patience.as_millis()), "{patience:?}");
    }

    #[test]
    fn a_link_that_loses_in_bursts_gets_the_patience_its_history_asks_for() {
        let short = patience(&mut bursty(50, exponential(0.15)));
        let long = patience(&mut bursty(36, exponential(0.6)));
        assert!((900..2_400).contains(&short.as_millis()), "{short:?}");
        assert!((3_000..8_500).contains(&long.as_millis()), "{long:?}");
    }

    #[test]
    fn bursts_that_always_end_in_time_are_borne_for_less_than_those_that_may_not() {
        let patience = patience(&mut bursty(36, |_| 0.6));
        assert!((700..5_500).contains(&patience.as_millis()), "{patience:?}");
    }

    /// The verdict is sought on a silence of so many milliseconds, probed that often, and an answer ends it.
    fn silence(
        outage: &mut Outage,
        began: Moment,
        (lasts, every): (u64, usize),
        demand: Demand,
    ) -> Moment {
        for millis in (0..lasts).step_by(every) {
            let sent = began + Duration::from_millis(millis);
            outage.failed(sent, 1);
            outage.verdict(sent, demand);
        }
        let end = began + Duration::from_millis(lasts);
        outage.answered(end, demand);
        end
    }

    proptest! {
        #![proptest_config(cases(256))]

        /// What the link has shown: in turn for how long it answers, for how long it is silent, and how densely it
        /// is probed meanwhile.
        #[test]
        fn a_silence_that_a_switch_would_have_paid_for_never_makes_more_patient(
            history in prop::collection::vec((1_u64..3_000, 0_u64..9_000, 20_usize..900), 0..40),
            beyond in 1_u64..60_000,
            every in 20_usize..900,
            switch_cost in prop::sample::select(vec![500_u64, 2_000, 10_000]),
        ) {
            let switch_cost = Duration::from_millis(switch_cost);
            let demand = Demand { switch_cost, ..DEMAND };
            let mut outage = Outage::default();
            let mut now = at(0);
            for (seconds, lasts, every) in history {
                for _ in 0..seconds {
                    now = now + Duration::from_secs(1);
                    outage.answered(now, demand);
                }
                now = silence(&mut outage, now + Duration::from_secs(1), (lasts, every), demand);
            }
            let given = outage.patience(demand) + switch_cost + Duration::from_millis(beyond);
            let lasts = u64::try_from(given.as_millis()).unwrap_or(u64::MAX);
            let mut after = outage.clone();
            let end = silence(&mut after, now + Duration::from_secs(1), (lasts, every), demand);
            // Time passes for both.
            outage.fade(end);
            prop_assert!(after.patience(demand) <= outage.patience(demand));
        }
    }

    #[test]
    fn ten_silences_that_end_before_a_switch_would_have_paid_are_waited_for() {
        for lasts in [1_000, 2_000] {
            let mut outage = Outage::default();
            let mut now = at(0);
            for _ in 0..9 {
                for _ in 0..600 {
                    now = now + Duration::from_secs(1);
                    outage.answered(now, DEMAND);
                }
                now = silence(&mut outage, now, (lasts, 50), DEMAND);
            }
            let known = outage.patience(DEMAND);
            assert!(known >= Duration::from_millis(lasts), "{lasts} {known:?}");
        }
    }

    #[test]
    fn an_outage_a_day_and_one_a_minute_make_nothing_slower() {
        for apart in [60, 86_400] {
            let mut outage = Outage::default();
            let mut now = at(0);
            let first = outage.patience(DEMAND);
            for lasts in [3_000, 4_000, 8_000, 15_000, 4_000, 300_000] {
                now = silence(&mut outage, now, (lasts, 50), DEMAND);
                now = now + Duration::from_secs(apart);
                outage.answered(now, DEMAND);
                assert!(outage.patience(DEMAND) <= first, "{apart} {lasts}");
            }
        }
    }

    #[test]
    fn answers_that_are_held_and_then_delivered_are_a_silence_that_ended() {
        let mut outage = Outage::default();
        let before = outage.patience(DEMAND);
        for second in 0..5 {
            let began = at(second * 60_000);
            for millis in (0..600).step_by(50) {
                let sent = began + Duration::from_millis(millis);
                outage.failed(sent, 1);
                outage.verdict(sent, DEMAND);
            }
            let now = began + Duration::from_millis(650);
            outage.delivered(began, DEMAND, now);
            assert!(!outage.is_suspected());
        }
        let known = outage.patience(DEMAND);
        assert!(
            known > before && known >= Duration::from_millis(560),
            "{before:?} {known:?}"
        );
    }

    /// Silences of 1.5 s at each fourth boundary of 15 s, from one moment on; when they end.
    fn regular(outage: &mut Outage, from: Moment) -> Moment {
        let mut now = from;
        for _ in 0..120 {
            for second in 0..59 {
                outage.answered(now + Duration::from_secs(second), DEMAND);
            }
            now = now + Duration::from_secs(60);
            silence(outage, now, (1_500, 50), DEMAND);
        }
        now + Duration::from_secs(2)
    }

    #[test]
    fn the_phase_of_silences_is_void_after_a_restart_until_it_is_seen_again() {
        let mut outage = Outage::default();
        let end = regular(&mut outage, at(0));
        outage.answered(end, DEMAND);
        assert!(outage.cycle(DEMAND).is_some());
        // The clock begins anew, at another phase.
        let mut restarted = Outage::with(outage.learnt());
        restarted.answered(at(7_000), DEMAND);
        assert_eq!(restarted.cycle(DEMAND), None);
        assert_eq!(restarted.patience(DEMAND), outage.patience(DEMAND));
        let end = regular(&mut restarted, at(8_000));
        restarted.answered(end, DEMAND);
        assert!(restarted.cycle(DEMAND).is_some());
    }

    #[test]
    fn no_history_makes_it_blind() {
        let patience = patience(&mut bursty(20, |_| 8.0));
        assert!(patience <= Duration::from_secs(10), "{patience:?}");
    }

    #[test]
    fn the_limit_on_patience_does_not_count_time_without_a_probe() {
        let mut outage = bursty(36, exponential(2.0));
        let begin = at(100_000_000);
        outage.answered(begin, DEMAND);
        let first = begin + Duration::from_secs(15);
        for millis in [0, 100, 200, 300] {
            let sent = first + Duration::from_millis(millis);
            outage.failed(sent, 1);
            assert_eq!(outage.verdict(sent, DEMAND), None, "{millis} ms");
        }
    }

    #[test]
    fn any_later_reply_disproves_the_silence_before_it() {
        let mut outage = Outage::default();
        for millis in (0..400).step_by(50) {
            outage.failed(at(millis), 3);
        }
        outage.answered(at(375), DEMAND);
        assert!(!outage.is_suspected());
        outage.failed(at(100), 3);
        assert!(!outage.is_suspected(), "a miss from before the reply");
    }
}
