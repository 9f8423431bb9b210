//! What speaks for and against an uplink, by source: silence, quality, families, its own traffic, and
//! other servers that answer in the place of its targets.

mod lasting_silence;

use std::time::Duration;

use lasting_silence::LastingSilence;

use super::health::{Phase, Trial};
use super::portal::Portal;
use super::refusals::{RefusalScope, Refusals};
use super::rounds::Settled;
use super::targets::Targets;
use crate::engine::family::{Families, FamilyTurn};
use crate::engine::input::ProbeOutcome;
use crate::engine::loss::{Learner, LossProcess};
use crate::engine::outage::{Demand, Outage, Silence};
use crate::engine::passive::Passive;
use crate::engine::quality::{ClosedRound, Quality};
use crate::engine::round::{Fate, Round, RoundProbe, RoundResult};
use crate::engine::schedule::{Doubt, Wait};
use crate::engine::settings::{HealthSettings, ProbeSettings};
use crate::engine::target::TargetTrack;
use crate::engine::wording::seconds;
use crate::routing::Family;
use crate::units::counting::plural;
use crate::units::{Counters, Loss, Moment};

/// The evidence about one uplink.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    pub(super) outage: Outage,
    pub(super) families: Families,
    pub(super) quality: Quality,
    pub(super) passive: Passive,
    pub(super) portal: Portal,
    /// Since when no probe could be sent.
    mute_since: Option<Moment>,
    pub(super) refusals: Refusals,
    /// What was answered in place of a target, since the last true answer.
    wrong_answer: Option<String>,
    /// When an answer last came that had been given up, and was slower than latency may be.
    late_answer: Option<Moment>,
    /// When the last probe was sent that was answered by some way.
    last_heard: Option<Moment>,
    /// The present silence, whatever has changed since it began.
    silence: Option<LastingSilence>,
}

/// What a round says about the uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoundFinding {
    Nothing,
    /// A probe from before the outage was answered after it, so late.
    Disproof(Duration),
    Answered,
    /// Too few targets answer; perhaps for too long.
    Missed(Option<Silence>),
}

impl Evidence {
    /// Nothing is known.
    pub(super) fn new(health: &HealthSettings) -> Self {
        Self {
            outage: Outage::default(),
            families: Families::default(),
            quality: Quality::new(health),
            passive: Passive::default(),
            portal: Portal::default(),
            mute_since: None,
            refusals: Refusals::default(),
            wrong_answer: None,
            late_answer: None,
            last_heard: None,
            silence: None,
        }
    }

    /// What an earlier run learnt about its loss.
    pub(super) fn recall(&mut self, learner: Learner) {
        self.outage.recall(learner);
        self.families.recall(learner);
    }

    /// What was going on is over, and teaches nothing.
    pub(super) fn interrupt(&mut self) {
        self.outage.interrupt();
        self.families.interrupt();
        self.silence = None;
    }

    /// The probes by a family go another way now: what they said is of the old one. `is_only`: no other
    /// family has a way out.
    pub(super) fn withdraw(&mut self, family: Family, is_only: bool) {
        self.families.withdraw(family);
        if is_only {
            self.outage.interrupt();
            return;
        }
        let silence = self.silence.as_mut();
        match silence.and_then(|silence| silence.withdraw(family)) {
            Some(by_other) => self.outage.withdraw_before(by_other),
            None => self.outage.withdraw_all(),
        }
    }

    /// A probe that was sent at `sent` will not be answered, because the link was changed.
    pub(super) fn voided(&mut self, sent: Moment, demand: Demand) {
        self.silent_since(sent, demand);
    }

    /// What was sent then was answered by some way.
    pub(super) fn heard(&mut self, sent: Moment) {
        self.last_heard = self.last_heard.max(Some(sent));
        self.silence = None;
    }

    /// Something that was sent from `since` on was answered by some way.
    pub(super) fn has_heard_since(&self, since: Moment) -> bool {
        self.last_heard >= Some(since)
    }

    /// Nothing has answered lately, and all that was asked a change made void.
    pub(super) fn is_all_void(&self) -> bool {
        self.silence.is_some() && !self.is_suspected()
    }

    fn silent_since(&mut self, sent: Moment, demand: Demand) -> &mut LastingSilence {
        let silence = LastingSilence::with(self.silence, sent, self.last_heard, demand);
        self.silence.insert(silence)
    }

    /// The silence that has become an outage, if it has.
    pub(super) fn outage_verdict(&mut self, now: Moment, demand: Demand) -> Option<Silence> {
        let proven = self.outage.verdict(now, demand);
        proven.or_else(|| self.lasting_silence(now, demand))
    }

    /// The silence that has lasted for too long, if it has, whatever changed meanwhile.
    pub(super) fn lasting_silence(&self, now: Moment, demand: Demand) -> Option<Silence> {
        self.silence?.verdict(now, demand)
    }

    /// When the present silence is to be judged that way.
    pub(super) fn lasting_silence_at(&self, demand: Demand) -> Option<Moment> {
        Some(self.silence?.judged_at(demand))
    }

    /// What the counters showed is of another time or place.
    pub(super) fn forget_traffic(&mut self) {
        self.passive.restart();
        self.quality.set_full(false);
    }

    /// It is of no use for now: each family has to prove itself anew.
    pub(super) fn lost(&mut self) {
        self.families.restart();
    }

    /// How much speaks against it, beyond what it has been judged for.
    pub(super) fn doubt(&self) -> Doubt {
        let is_grave = self.outage.unanswered() > 1 || self.outage.is_traffic_silent();
        if is_grave {
            Doubt::Grave
        } else if self.is_suspected() || self.quality.is_suspected() {
            Doubt::Slight
        } else {
            Doubt::None
        }
    }

    /// Rounds of probes are missed now, of all or of a family.
    #[inline]
    pub(super) fn has_missed(&self) -> bool {
        let of_family = |family| {
            self.families
                .outage_of(family)
                .is_some_and(Outage::is_suspected)
        };
        self.outage.is_suspected() || Family::ROUTED.into_iter().any(of_family)
    }

    /// It misses probes, or a family of it does.
    pub(super) fn is_suspected(&self) -> bool {
        self.outage.is_suspected() || self.families.are_in_doubt() || self.portal.is_suspected()
    }

    /// The present silence, if more probes say nothing more about it.
    pub(super) fn wait(&self, demand: Demand) -> Option<Wait> {
        let began = self.outage.suspected_since()?;
        let decided = self.outage.decided_at(demand)?;
        Some(Wait { began, decided })
    }

    /// Takes the counters of its interface; whether its own traffic gets no answers, and did so far.
    pub(super) fn counted(
        &mut self,
        counters: Counters,
        rtt: impl FnOnce() -> Duration,
        now: Moment,
    ) -> bool {
        self.passive.observe(counters, now);
        self.quality.set_full(self.passive.is_full());
        let silent = self.passive.silent_since(rtt, now);
        let is_news = silent.is_some() && !self.outage.is_traffic_silent();
        self.outage.traffic_is_silent(silent);
        is_news
    }

    /// A probe left the machine and says something about the uplink.
    pub(super) fn sent(&mut self) {
        self.mute_since = None;
    }

    /// What the refusals of a family's probes say. Whether that is news.
    pub(super) fn set_refusal_scope(&mut self, family: Family, scope: RefusalScope) -> bool {
        let is_news = self.refusals.set_scope(family, scope);
        if is_news && scope != RefusalScope::Own {
            self.mute_since = None;
            self.families.may_be_sent(family);
        }
        is_news
    }

    /// A probe could not be sent. That says nothing about the path; but an uplink through which nothing
    /// can be sent for long is of no use, and to call it up would be a lie.
    pub(super) fn is_mute(&mut self, now: Moment, outage_within: Duration) -> bool {
        let since = *self.mute_since.get_or_insert(now);
        now.since(since) >= outage_within
    }

    /// What an outcome means for a probe. An answer after `most` counts as one after that time.
    pub(super) fn understand(
        &mut self,
        outcome: ProbeOutcome,
        RoundProbe { target, family, .. }: RoundProbe,
        sent: Moment,
        targets: &mut Targets,
        most: Duration,
    ) -> Fate {
        match outcome {
            ProbeOutcome::Reply(rtt) => {
                self.wrong_answer = None;
                self.portal.answered(target, targets.at(target).is_page());
                Fate::Answered(rtt.min(most))
            }
            ProbeOutcome::Unreachable(_) => Fate::Missed,
            ProbeOutcome::Wrong(what) => {
                self.families.wrongly_answered(family, &what);
                self.wrong_answer = Some(what);
                targets.at_mut(target).answered_wrongly(sent);
                if targets.takes_any_answer(family) {
                    Fate::Wrong
                } else {
                    Fate::Missed
                }
            }
            ProbeOutcome::Captive(what) => {
                let track = targets.at_mut(target);
                track.answered_wrongly(sent);
                if track.is_standing() {
                    self.portal.answered_wrongly(target, sent, what);
                }
                Fate::Wrong
            }
            ProbeOutcome::NotSent(_) | ProbeOutcome::Refused(_) => Fate::Void,
        }
    }

    /// A probe is answered after `rtt`, in time or late.
    pub(super) fn answered(
        &mut self,
        settled: &Settled,
        rtt: Duration,
        targets: &Targets,
        health: &HealthSettings,
        now: Moment,
    ) {
        if settled.undoes_a_miss && settled.was_closed {
            let process = self.outage.process();
            self.quality.undo_miss(&process);
        }
        if settled.undoes_a_miss && rtt >= health.latency.enter {
            self.late_answer = Some(now);
        }
        let target = settled.probe.target;
        if targets.at(target).is_standing() {
            let of_link = targets.rtt_of_link(target, rtt, now - health.window);
            self.quality.reply(of_link);
        }
    }

    /// A trial is over: what is wrong with the uplink otherwise.
    pub(super) fn judge_trial(&mut self, trial: Trial, limit: Loss) -> Option<String> {
        let loss = Loss::from_ratio(f64::from(trial.lost) / f64::from(trial.rounds.max(1)));
        if loss >= limit {
            self.quality.blame_loss(loss);
        }
        self.quality.complaint()
    }

    /// A target is at fault on all uplinks.
    pub(super) fn excuse(&mut self, place: usize) {
        self.portal.excuse(place);
        self.wrong_answer = None;
    }

    /// A probe from before the verdict was answered after it: slow is not dead, and what seemed lost was late. What
    /// is wrong with so slow a link.
    pub(super) fn disproved(
        &mut self,
        rtt: Duration,
        health: &HealthSettings,
        now: Moment,
    ) -> Option<String> {
        self.quality = Quality::from(health, now);
        (rtt >= health.latency.enter).then(|| {
            self.quality.blame_latency(rtt);
            self.quality.complaint().unwrap_or_default()
        })
    }

    /// It is degraded, and answers keep coming that are given up before they come: as long as they
    /// do, it is alive. Each vouches for the time in which another was to come.
    pub(super) fn is_known_to_be_slow(
        &self,
        phase: Phase,
        probe: &ProbeSettings,
        now: Moment,
    ) -> bool {
        let vouches_for = probe.timeout.max(probe.interval) * 2;
        let is_recent = |late| now.since(late) < vouches_for;
        phase == Phase::Degraded && self.late_answer.is_some_and(is_recent)
    }

    /// Only the pings come through.
    pub(super) fn is_captive(&self, phase: Phase) -> bool {
        phase == Phase::Down && self.portal.is_certain()
    }

    /// Probes of this round by the family are lost: a later one is answered. Whether the round fails.
    pub(super) fn overtaken(&mut self, round: &mut Round, family: Family) -> bool {
        if round.take_family_result(family) == Some(RoundResult::Failed) {
            let losses = round.losses_of(family);
            self.families.overtaken(family, round.sent, losses);
        }
        let has_failed = matches!(round.take_result(), Some([_, RoundResult::Failed]));
        if has_failed {
            self.outage.failed(round.sent, round.losses());
        }
        has_failed
    }

    /// What a round says about the uplink. `down_since`: it is down since then.
    pub(super) fn judge_round(
        &mut self,
        round: &mut Round,
        targets: &Targets,
        down_since: Option<Moment>,
        demand: Demand,
        now: Moment,
    ) -> RoundFinding {
        let Some([before, result]) = round.take_result() else {
            return RoundFinding::Nothing;
        };
        let sent = round.sent;
        let is_late = before == RoundResult::Failed && result == RoundResult::Answered;
        let is_disproof = is_late && down_since.is_some_and(|since| sent < since);
        if let Some(rtt) = round.slowest_answer().filter(|_| is_disproof) {
            self.heard(sent);
            self.outage
                .delivered(sent, demand, now - usual_rtt(targets));
            return RoundFinding::Disproof(rtt);
        }
        match result {
            RoundResult::Open => RoundFinding::Nothing,
            RoundResult::Answered | RoundResult::Wrong => {
                if is_late {
                    self.outage
                        .delivered(sent, demand, now - usual_rtt(targets));
                } else {
                    self.outage.answered(sent, demand);
                }
                if self.outage.is_traffic_silent() {
                    self.passive.disprove(now);
                    self.outage.traffic_is_silent(None);
                }
                self.heard(sent);
                let is_right = result == RoundResult::Answered || targets.take_any_answer(round);
                if is_right {
                    RoundFinding::Answered
                } else {
                    RoundFinding::Nothing
                }
            }
            RoundResult::Failed => {
                self.outage.failed(sent, round.losses());
                self.silent_since(sent, demand).missed(round);
                RoundFinding::Missed(self.outage_verdict(now, demand))
            }
        }
    }

    /// A round is complete: what it says about the quality of the link. `process`: the loss that was
    /// known before.
    pub(super) fn closed(
        &mut self,
        round: &Round,
        targets: &Targets,
        process: &LossProcess,
        demand: Demand,
    ) {
        let tally = round.tally(|probe| {
            targets.at(probe.target).is_doubtful() || self.families.is_at_fault(probe.family, round)
        });
        if round.result == RoundResult::Answered {
            self.outage.closed(tally);
        }
        let sent = round.sent;
        (self.quality).round(ClosedRound { sent, tally }, process, &demand);
        if let Some(jitter) = targets.jitter() {
            self.quality.jitter(jitter);
        }
    }

    /// What a round says about each family. A probe speaks for its own, so one turns at the most.
    pub(super) fn judge_families(
        &mut self,
        round: &mut Round,
        targets: &Targets,
        demand: Demand,
        trust_after: Duration,
        now: Moment,
    ) -> Option<(Family, FamilyTurn)> {
        let mut turned = None;
        for family in Family::ROUTED {
            let Some(result) = round.take_family_result(family) else {
                continue;
            };
            let turn = match result {
                RoundResult::Open => None,
                RoundResult::Wrong if !targets.takes_any_answer(family) => None,
                RoundResult::Answered | RoundResult::Wrong => {
                    let sent = round.sent;
                    self.families
                        .answered(family, sent, now, demand, trust_after)
                }
                RoundResult::Failed => {
                    let failed = (round.sent, round.losses_of(family));
                    self.families.failed(family, failed, now, demand)
                }
            };
            turned = turn.map(|turn| (family, turn)).or(turned);
        }
        turned
    }

    /// A silence in words.
    pub(super) fn explain_silence(
        &self,
        silence: Silence,
        targets: &Targets,
        quorum: usize,
    ) -> String {
        if let Some(what) = &self.wrong_answer {
            return what.clone();
        }
        let lasts = seconds(silence.lasts);
        let rounds = silence.rounds;
        let count = targets.len();
        if count == 1 {
            let target = targets.at(0).target();
            let probes = plural(rounds, "probe");
            format!("no answer for {lasts}, in {probes} to the only target, {target}")
        } else if quorum == 1 {
            let rounds = plural(rounds, "round");
            format!("no answer for {lasts}, in {rounds} of probes to {count} targets")
        } else {
            let rounds = plural(rounds, "round");
            format!("fewer than {quorum} of {count} targets answer for {lasts}, {rounds}")
        }
    }
}

/// How long answers usually take.
fn usual_rtt(targets: &Targets) -> Duration {
    let usual = targets.iter().filter_map(TargetTrack::usual_rtt);
    usual.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::settings::usual::health;
    use crate::units::ProbeId;

    const DEMAND: Demand = Demand {
        switch_cost: Duration::from_secs(2),
        interval: Duration::from_secs(1),
        outage_within: Duration::from_secs(10),
    };

    fn at(millis: u64) -> Moment {
        Moment::after_start(Duration::from_millis(millis))
    }

    fn targets() -> Targets {
        let target = "192.0.2.1".parse().expect("a target");
        Targets::new(&[target], 1, Duration::from_secs(30))
    }

    fn round(sent: Moment, fate: Fate) -> Round {
        let probe = RoundProbe {
            id: ProbeId(0),
            target: 0,
            family: Family::Ipv4,
            counts: true,
            deadline: sent,
            fate,
        };
        Round::new(sent, 1, vec![probe])
    }

    /// What a round of one probe says of an uplink that is not down.
    fn judge(evidence: &mut Evidence, sent: Moment, fate: Fate) -> RoundFinding {
        evidence.judge_round(&mut round(sent, fate), &targets(), None, DEMAND, sent)
    }

    #[test]
    fn misses_raise_doubt_until_they_are_an_outage_and_an_answer_ends_it() {
        let mut evidence = Evidence::new(&health());
        judge(&mut evidence, at(0), Fate::Answered(Duration::ZERO));
        assert_eq!(evidence.doubt(), Doubt::None);
        let first = judge(&mut evidence, at(1_000), Fate::Missed);
        assert_eq!(first, RoundFinding::Missed(None));
        assert_eq!(evidence.doubt(), Doubt::Slight);
        let mut found = None;
        for millis in (1_050..3_000).step_by(50) {
            if let RoundFinding::Missed(Some(silence)) =
                judge(&mut evidence, at(millis), Fate::Missed)
            {
                found = found.or(Some(silence));
            }
        }
        assert_eq!(evidence.doubt(), Doubt::Grave);
        let lasts = found.expect("is an outage").lasts;
        assert!(lasts < Duration::from_millis(700), "{lasts:?}");
        let answered = Fate::Answered(Duration::ZERO);
        assert_eq!(
            judge(&mut evidence, at(3_000), answered),
            RoundFinding::Answered
        );
        assert_eq!(evidence.doubt(), Doubt::None);
    }

    #[test]
    fn an_answer_from_before_the_outage_disproves_it_and_one_from_after_does_not() {
        let rtt = Duration::from_secs(2);
        for (sent, finding) in [
            (at(500), RoundFinding::Disproof(rtt)),
            (at(1_500), RoundFinding::Answered),
        ] {
            let mut evidence = Evidence::new(&health());
            let mut late = round(sent, Fate::Missed);
            evidence.judge_round(&mut late, &targets(), None, DEMAND, at(1_000));
            late.probes[0].fate = Fate::Answered(rtt);
            let down_since = Some(at(1_000));
            let judged = evidence.judge_round(&mut late, &targets(), down_since, DEMAND, at(2_500));
            assert_eq!(judged, finding);
        }
    }

    #[test]
    fn an_uplink_is_mute_after_nothing_could_be_sent_for_long() {
        let mut evidence = Evidence::new(&health());
        let limit = DEMAND.outage_within;
        assert!(!evidence.is_mute(at(0), limit));
        assert!(evidence.is_mute(at(10_000), limit));
        evidence.sent();
        assert!(!evidence.is_mute(at(20_000), limit));
    }
}
