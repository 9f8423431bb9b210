//! Whether an uplink is alive and good: what is asked, what the answers and their lack mean, and the
//! state that follows.
//!
//! The parts hold the state and return outcomes; the monitor applies them, one after another: a probe
//! settles its round, the round speaks about families, silence and quality, and what follows is a
//! [`Signal`] to the state machine.

use std::collections::BTreeMap;
use std::time::Duration;

use super::basis::{BasisChange, ProbeBasis};
use super::evidence::{Evidence, RoundFinding};
use super::health::{Health, Phase, Signal};
use super::outbox::ProbeIds;
use super::pacer::{Pacer, Situation};
use super::places::Places;
use super::portal::PortalFinding;
use super::purse::{Chosen, Purse};
use super::reports::Reports;
use super::rounds::{Overtaken, ProbePlace, Rounds};
use super::targets::Targets;
use crate::engine::family::FamilyTurn;
use crate::engine::input::ProbeOutcome;
use crate::engine::outage::{Demand, Silence};
use crate::engine::passive::BUSY_EVERY;
use crate::engine::quality::Quality;
use crate::engine::round::{Fate, Round, RoundProbe, RoundResult};
use crate::engine::schedule::{Breadth, Pace, Spread};
use crate::engine::settings::{Standby, UplinkSettings};
use crate::engine::suspicion::{Observation, SuspectedFault};
use crate::engine::timer::{Timers, UplinkTimer};
use crate::routing::{Attachment, Family, Path};
use crate::units::{Counters, Loss, Moment, ProbeId};

/// So many rounds must have been answered or not before an uplink on trial is trusted.
const LEAST_ROUNDS: u32 = 3;

/// In multiples of the timeout.
const LONGEST_QUEUE: u32 = 2;

/// The monitor of one uplink.
#[derive(Clone, Debug)]
pub(super) struct UplinkMonitor {
    pub(super) settings: UplinkSettings,
    pub(super) health: Health,
    pub(super) targets: Targets,
    pub(super) evidence: Evidence,
    pub(super) pacer: Pacer,
    pub(super) is_carrying: bool,
    /// Its link is in order.
    pub(super) is_attached: bool,
    /// A path of it is away for a moment.
    is_paused: bool,
    /// It is a cold standby that was called, and may still become usable in time.
    pub(super) is_coming_up: bool,
    basis: ProbeBasis,
    rounds: Rounds,
    timers: Timers,
    pub(super) reports: Reports,
}

impl UplinkMonitor {
    pub(super) fn new(settings: UplinkSettings, now: Moment, spread: Spread) -> Self {
        let (probe, health) = (&settings.probe, &settings.health);
        Self {
            health: Health::new(now),
            targets: Targets::new(&probe.targets, probe.quorum, health.window),
            evidence: Evidence::new(health),
            pacer: Pacer::new(spread, Purse::of(&settings, now), now),
            reports: Reports::new(&settings),
            settings,
            is_carrying: false,
            is_attached: false,
            is_paused: false,
            is_coming_up: false,
            basis: ProbeBasis::default(),
            rounds: Rounds::default(),
            timers: Timers::default(),
        }
    }

    /// Takes changed settings. What was learnt stays; what was measured stays for targets that do.
    pub(super) fn adapt(
        &mut self,
        settings: UplinkSettings,
        paths: &BTreeMap<Family, Path>,
        now: Moment,
    ) {
        let (probe, health) = (&settings.probe, &settings.health);
        self.targets
            .adapt(&probe.targets, probe.quorum, health.window);
        self.evidence.portal.forget();
        self.evidence.quality.adapt(health);
        self.rounds.clear();
        let purse = self.pacer.purse_mut();
        *purse = Purse::adapted(purse.take(), &settings, now);
        self.reports.adapt(&settings);
        self.settings = settings;
        self.set_paths(paths, now);
        self.probe_soon(now);
    }

    /// The next hops or the targets are others now.
    fn set_paths(&mut self, paths: &BTreeMap<Family, Path>, now: Moment) {
        self.targets.sort(paths);
        let learnt = self.evidence.outage.learnt();
        let is_asked = |family| !self.targets.asked_by(family).is_empty();
        let last_answer = self.evidence.outage.last_answer();
        (self.evidence.families).attach(paths, is_asked, learnt, last_answer, now);
    }

    /// The link is now like this; whether it is to be asked anew.
    pub(super) fn attach(&mut self, attachment: &Attachment, now: Moment) -> bool {
        let changes = self.basis.take(attachment);
        let mut is_open = false;
        for (family, change) in Family::ROUTED.into_iter().zip(changes) {
            if change != BasisChange::Stands {
                is_open |= self.void_unanswered(family, now);
            }
        }
        self.is_attached = attachment.trouble.is_none();
        self.is_paused = false;
        self.set_paths(&attachment.paths, now);
        let is_elsewhere = |family: &Family| changes[*family as usize] == BasisChange::Elsewhere;
        for family in Family::ROUTED.into_iter().filter(is_elsewhere) {
            let mut others = attachment.paths.keys().filter(|other| **other != family);
            self.evidence.withdraw(family, others.next().is_none());
            self.targets.restart(family);
        }
        let has_moved = Family::ROUTED.iter().any(is_elsewhere);
        if has_moved && attachment.paths.keys().all(|family| is_elsewhere(family)) {
            self.evidence.forget_traffic();
            self.evidence.portal.forget();
        }
        self.judge_lasting_silence(Demand::of(&self.settings), now);
        has_moved || is_open
    }

    /// An answer to a probe by this family that is under way may no longer arrive; whether one is.
    fn void_unanswered(&mut self, family: Family, now: Moment) -> bool {
        let outage_within = self.settings.health.outage_within;
        let mut counted = None;
        for place in self.rounds.unanswered_by(family) {
            let (probe, sent) = self.rounds.probe(place);
            if probe.fate == Fate::Pending && counted < Some(sent) {
                self.evidence.voided(sent, outage_within);
                counted = Some(sent);
            }
            self.settle(place, Fate::Void, now);
        }
        self.arm_deadline();
        counted.is_some()
    }

    /// A path is away for a moment: nothing is asked meanwhile.
    pub(super) fn pause(&mut self, away: impl Iterator<Item = Family>, now: Moment) {
        for family in away {
            self.void_unanswered(family, now);
        }
        self.is_paused = true;
        self.probe_soon(now);
    }

    /// It is back as it was.
    pub(super) fn resume(&mut self, now: Moment) {
        self.is_paused = false;
        self.probe_soon(now);
    }

    /// It is paused when a round is due, as it may be each time.
    fn skip_round(&mut self, now: Moment) {
        let demand = Demand::of(&self.settings);
        self.evidence.voided(now, demand.outage_within);
        self.probe_soon(now);
        self.judge_lasting_silence(demand, now);
    }

    fn judge_lasting_silence(&mut self, demand: Demand, now: Moment) {
        if let Some(silence) = self.evidence.lasting_silence(now, demand) {
            self.judge_silence(silence, now);
        }
    }

    /// The link is not in order.
    pub(super) fn lose_link(&mut self, signal: Signal, now: Moment) {
        self.forget_rounds();
        self.timers = Timers::default();
        self.pacer.stop();
        self.signal(signal, now);
    }

    /// It carries the traffic, or no longer does. One that takes over is asked at once.
    pub(super) fn set_carrying(&mut self, is_carrying: bool, now: Moment) {
        if is_carrying != self.is_carrying {
            self.is_carrying = is_carrying;
            self.evidence.forget_traffic();
            self.timers.stop(UplinkTimer::Count);
            if is_carrying {
                self.pacer.check_takeover(now);
                self.hurry(now);
            }
        }
    }

    /// What was under way says nothing, and whatever has lasted begins anew.
    pub(super) fn wake(&mut self, now: Moment) {
        self.forget_rounds();
        if self.health.restart(now) {
            let trust_at = now + self.settings.health.recover_after;
            self.timers.set(UplinkTimer::Recover, trust_at);
        }
        self.probe_soon(now);
    }

    /// When it wants to be looked at again.
    pub(super) fn next_timeout(&self) -> Option<Moment> {
        let timers = self.timers.next().into_iter();
        timers.chain(self.pacer.next_round()).min()
    }

    /// Takes what became of a probe.
    pub(super) fn probed(&mut self, id: ProbeId, outcome: ProbeOutcome, now: Moment) {
        let Some(place) = self.rounds.find(id) else {
            return;
        };
        let (probe, sent) = self.rounds.probe(place);
        match probe.fate {
            Fate::Pending | Fate::Missed => {}
            Fate::Void if matches!(outcome, ProbeOutcome::Reply(_)) => {
                self.evidence.heard();
                return;
            }
            Fate::Answered(_) | Fate::Wrong | Fate::Void => return,
        }
        let fate = self.understand(probe, sent, outcome, now);
        let is_answered = matches!(fate, Fate::Answered(_));
        let is_news = probe.fate == Fate::Pending || is_answered || fate == Fate::Wrong;
        if is_news && is_answered {
            self.overtake(sent, probe.family, now);
        }
        if is_news {
            self.settle(place, fate, now);
        }
        self.arm_deadline();
    }

    /// What an outcome means for the probe to this target, and what it says beside.
    fn understand(
        &mut self,
        RoundProbe { target, family, .. }: RoundProbe,
        sent: Moment,
        outcome: ProbeOutcome,
        now: Moment,
    ) -> Fate {
        match outcome {
            ProbeOutcome::Reply(rtt) => {
                let is_page = self.targets.at(target).is_page();
                self.evidence.answered_rightly(target, is_page);
                Fate::Answered(rtt.min(listen_for(self.settings.probe.timeout)))
            }
            ProbeOutcome::Unreachable(_) => Fate::Missed,
            ProbeOutcome::Wrong(what) => {
                self.evidence.answered_wrongly(family, what);
                self.targets.at_mut(target).answered_wrongly(sent);
                if self.targets.takes_any_answer(family) {
                    Fate::Wrong
                } else {
                    Fate::Missed
                }
            }
            ProbeOutcome::Captive(what) => {
                let track = self.targets.at_mut(target);
                track.answered_wrongly(sent);
                if track.is_standing() {
                    self.evidence.portal.answered_wrongly(target, sent, what);
                }
                Fate::Wrong
            }
            ProbeOutcome::NotSent(why) => {
                let demand = Demand::of(&self.settings);
                let turn = self.evidence.families.not_sent(family, &why, now, demand);
                self.take_family_turn(turn.map(|turn| (family, turn)), now);
                let outage_within = self.settings.health.outage_within;
                if self.evidence.is_mute(now, outage_within) {
                    self.signal(Signal::Mute(why), now);
                }
                Fate::Void
            }
        }
    }

    /// Takes the counters of its interface.
    pub(super) fn counted(&mut self, counters: Counters, now: Moment) {
        let rtt = self.targets.rtt().unwrap_or(self.settings.probe.timeout);
        let is_silent = self.evidence.counted(counters, rtt, now);
        // What is metered is probed too rarely for its counters to be read along with the probes.
        let is_metered = self.pacer.is_metered();
        let now_and_then = is_metered.then_some(now + self.settings.probe.interval);
        let look_again = self.evidence.passive.look_again(now).or(now_and_then);
        let look_again = look_again.filter(|_| self.is_carrying);
        self.timers.set_or_stop(UplinkTimer::Count, look_again);
        if is_silent {
            self.hurry(now);
        }
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Moment, ids: &mut ProbeIds) {
        if self.timers.take_due(UplinkTimer::Deadline, now) {
            self.miss_overdue(now);
        }
        if self.timers.take_due(UplinkTimer::Recover, now) {
            self.try_to_trust(now);
        }
        let is_time_to_probe = self.pacer.take_due(now);
        let mut is_time_to_look = self.timers.take_due(UplinkTimer::Count, now);
        if is_time_to_probe {
            let situation = self.situation(now);
            // The machine is awake for the probe anyway.
            is_time_to_look |= self.pacer.pace(&situation) != Pace::Confirm
                || self.evidence.passive.is_worth_a_look();
            let is_flowing = self.evidence.passive.is_flowing(now);
            if self.pacer.saves_a_probe(&situation, is_flowing) {
                self.pacer
                    .await_next_round(&situation, &self.settings.probe);
            } else {
                self.send_round(now, ids);
            }
        }
        if self.is_carrying && is_time_to_look {
            self.reports.count();
        }
        self.arm_deadline();
    }

    fn send_round(&mut self, now: Moment, ids: &mut ProbeIds) {
        if !self.is_attached {
            return;
        }
        if self.is_paused {
            self.skip_round(now);
            return;
        }
        let probe = &self.settings.probe;
        self.rounds.forget_old(listen_for(probe.timeout), now);
        self.targets.expire(now);
        let situation = self.situation(now);
        let pace = self.pacer.pace(&situation);
        let breadth = if self.is_captive() {
            // Only the web pages show when it is over, and only all of them whether it is.
            Breadth::All
        } else {
            let has_asked_all =
                |since| (self.rounds).has_asked_all_since(since, self.settings.probe.quorum);
            self.pacer.breadth(pace, &situation, has_asked_all)
        };
        let Some(chosen) = self.choose(breadth, pace, &situation) else {
            return;
        };
        let mut probes = self.rounds.take_room();
        probes.reserve_exact(chosen.counting.len() + chosen.retried.len());
        let timeout = self.settings.probe.timeout;
        for (places, counts) in [(chosen.counting, true), (chosen.retried, false)] {
            for place in places.iter() {
                let id = ids.take();
                let track = self.targets.at(place);
                self.reports.probe(id, track.target(), listen_for(timeout));
                probes.push(RoundProbe {
                    id,
                    target: place,
                    family: self.targets.family_of(place),
                    counts,
                    deadline: now + track.deadline(timeout),
                    fate: Fate::Pending,
                });
            }
        }
        self.pacer.sent();
        let mut round = Round::new(now, self.settings.probe.quorum, probes);
        round.without = self.evidence.families.broken();
        self.rounds.push(round);
        let situation = self.situation(now);
        self.pacer
            .await_next_round(&situation, &self.settings.probe);
    }

    /// The targets that are asked now, as far as there is money for them. Those that were set aside are
    /// asked now and then, without their answers counting.
    fn choose(&mut self, breadth: Breadth, pace: Pace, now: &Situation) -> Option<Chosen> {
        let probe = &self.settings.probe;
        let groups = self.targets.askable(self.evidence.families.broken());
        let broken = self.evidence.families.take_retry(now.now);
        let broken = broken.map_or_else(Places::default, |of| self.targets.standing_of(of));
        let counting = self.rounds.choose(breadth, &groups, broken, probe.quorum);
        let retried = self.targets.take_retries(counting, now.now);
        let chosen = Chosen { counting, retried };
        let paid = self.pacer.pay(chosen, pace, now, probe)?;
        let is_any = !paid.counting.is_empty() || !paid.retried.is_empty();
        is_any.then_some(paid)
    }

    /// What was under way is over.
    pub(super) fn forget_rounds(&mut self) {
        self.rounds.clear();
        self.evidence.interrupt();
        self.timers.stop(UplinkTimer::Deadline);
    }

    fn arm_deadline(&mut self) {
        let next = self.rounds.next_deadline();
        self.timers.set_or_stop(UplinkTimer::Deadline, next);
    }

    /// On a link that our own traffic fills a probe waits in the queue of that, for as long as the
    /// traffic comes in; when that ends it is overdue at once.
    fn miss_overdue(&mut self, now: Moment) {
        let longest = self.settings.probe.timeout * LONGEST_QUEUE;
        while let Some(place) = self.rounds.first_overdue(now) {
            let (_, sent) = self.rounds.probe(place);
            let may_be_queued = now.since(sent) < longest
                && self.is_carrying
                && self.evidence.passive.is_full_and_flows(now);
            if may_be_queued {
                self.rounds.wait_until(place, now + BUSY_EVERY);
                self.reports.count();
            } else {
                self.settle(place, Fate::Missed, now);
            }
        }
    }

    /// A later probe is answered: a queue keeps its order, so that what is still thought to wait in it
    /// was lost. That is how the link loses packets, and no silence any more.
    fn overtake(&mut self, answered: Moment, family: Family, now: Moment) {
        let most = self.settings.probe.timeout;
        let patience = |target| self.targets.at(target).deadline(most);
        let overtaken = self.rounds.overtaken(family, answered, patience, now);
        for Overtaken {
            round: place,
            probes,
        } in overtaken
        {
            let round = self.rounds.at_mut(place);
            for at in probes.iter() {
                let probe = &mut round.probes[at];
                probe.fate = Fate::Missed;
                self.targets
                    .at_mut(probe.target)
                    .missed(probe.id, round.sent);
            }
            if round.take_family_result(family) == Some(RoundResult::Failed) {
                let losses = round.losses_of(family);
                self.evidence.families.overtaken(family, round.sent, losses);
            }
            if let Some([_, RoundResult::Failed]) = round.take_result() {
                self.evidence.outage.failed(round.sent, round.losses());
                self.health.count_round(true);
            }
            if round.is_closed() {
                self.close(place, now);
            }
        }
    }

    fn settle(&mut self, place: ProbePlace, fate: Fate, now: Moment) {
        let settled = self.rounds.settle(place, fate);
        let RoundProbe { id, target, .. } = settled.probe;
        if fate != Fate::Void && settled.speaks_for_all {
            self.evidence.sent();
        }
        match fate {
            Fate::Answered(rtt) => {
                if settled.undoes_a_miss && settled.was_closed {
                    let process = self.evidence.outage.process();
                    self.evidence.quality.undo_miss(&process);
                }
                if settled.undoes_a_miss && rtt >= self.settings.health.latency.enter {
                    self.evidence.answered_late(now);
                }
                if self.targets.at(target).is_standing() {
                    let since = now - self.settings.health.window;
                    let of_link = self.targets.rtt_of_link(target, rtt, since);
                    self.evidence.quality.reply(of_link);
                }
                let track = self.targets.at_mut(target);
                let standing = track.answered(now, id, settled.sent, rtt);
                if let Some(standing) = standing {
                    self.reports.standing(track.target(), standing, now);
                }
            }
            Fate::Missed => self.targets.at_mut(target).missed(id, settled.sent),
            Fate::Pending | Fate::Wrong | Fate::Void => {}
        }
        let (demand, trust_after) = (
            Demand::of(&self.settings),
            self.settings.health.recover_after,
        );
        let round = self.rounds.at_mut(place.round);
        let turn = (self.evidence).judge_families(round, &self.targets, demand, trust_after, now);
        self.take_family_turn(turn, now);
        self.judge_round(place.round, demand, now);
        if !settled.was_closed && self.rounds.at(place.round).is_closed() {
            self.close(place.round, now);
        }
        self.hurry(now);
    }

    /// What a round says about the uplink.
    fn judge_round(&mut self, place: usize, demand: Demand, now: Moment) {
        let phase = self.health.phase();
        let down_since = (phase == Phase::Down).then_some(self.health.since());
        let is_captive = self.is_captive();
        let round = self.rounds.at_mut(place);
        let finding = (self.evidence).judge_round(round, &self.targets, down_since, demand, now);
        match finding {
            RoundFinding::Nothing => {}
            RoundFinding::Disproof(rtt) => {
                let limit = self.settings.health.latency.enter;
                let complaint = self.evidence.disproved(rtt, limit);
                self.signal(Signal::Disproved(complaint), now);
            }
            RoundFinding::Answered if is_captive => {}
            RoundFinding::Answered => {
                self.health.count_round(false);
                self.signal(Signal::Answered, now);
            }
            RoundFinding::Missed(silence) => {
                self.health.count_round(true);
                if let Some(silence) = silence {
                    self.judge_silence(silence, now);
                }
            }
        }
    }

    /// A round is complete: what it says about its targets and about the quality of the link.
    fn close(&mut self, place: usize, now: Moment) {
        let process = self.evidence.outage.process();
        let round = self.rounds.at(place);
        self.evidence.families.closed(round);
        let overflows = self.evidence.quality.overflows();
        for (target, standing) in self.targets.blame(round, overflows, &process, now) {
            let target = self.targets.at(target).target();
            self.reports.standing(target, standing, now);
        }
        self.judge_portal(now);
        let demand = Demand::of(&self.settings);
        let round = self.rounds.at(place);
        (self.evidence).closed(round, &self.targets, &process, demand);
        if self.health.has_dwelt(self.settings.health.dwell, now) {
            let complaint = self.evidence.quality.complaint();
            self.signal(complaint.map_or(Signal::Better, Signal::Worse), now);
        }
    }

    fn judge_portal(&mut self, now: Moment) {
        let counts = |place: usize| self.targets.at(place).is_standing();
        match self.evidence.portal.judge(counts) {
            None => {}
            Some(PortalFinding::Captive(what)) => {
                self.found_at_fault(SuspectedFault::Captive(what), now);
            }
            Some(PortalFinding::Suspected { place, since, what }) => {
                let target = self.targets.at(place).target().clone();
                self.reports
                    .suspect(target, SuspectedFault::Captive(what), since);
            }
        }
    }

    /// Too few targets answered for too long. If some said anything at all, the others may be to
    /// blame.
    fn judge_silence(&mut self, silence: Silence, now: Moment) {
        let phase = self.health.phase();
        let evidence = &self.evidence;
        if evidence.is_known_to_be_slow(phase, &self.settings.probe, now) {
            return;
        }
        let since = evidence.outage.suspected_since().unwrap_or(now);
        if !self.targets.has_spoken_since(since) {
            self.fall_silent(silence, now);
            return;
        }
        let standing = self.targets.iter().filter(|track| track.is_standing());
        let silent = standing.filter(|track| track.observation(since) != Observation::Answers);
        let targets: Vec<_> = silent.map(|track| track.target().clone()).collect();
        for target in targets {
            self.reports
                .suspect(target, SuspectedFault::Outage(silence), since);
        }
    }

    fn fall_silent(&mut self, silence: Silence, now: Moment) {
        let quorum = self.settings.probe.quorum;
        let why = self
            .evidence
            .explain_silence(silence, &self.targets, quorum);
        self.signal(Signal::Silent(why), now);
    }

    /// The uplink is to blame, and not its targets. A right page since then ends a portal before it
    /// begins.
    pub(super) fn found_at_fault(&mut self, fault: SuspectedFault, now: Moment) {
        match fault {
            SuspectedFault::SetAside(_) => {}
            SuspectedFault::Outage(_) => {
                let demand = Demand::of(&self.settings);
                if let Some(silence) = self.evidence.outage_verdict(now, demand) {
                    self.fall_silent(silence, now);
                }
            }
            SuspectedFault::Captive(what) => {
                if self.evidence.portal.confirm() {
                    self.signal(Signal::Captive(what), now);
                }
            }
        }
    }

    /// The target at this place is at fault on all uplinks: that says nothing against this one.
    pub(super) fn excuse(&mut self, place: usize, why: &str, now: Moment) {
        self.targets.at_mut(place).excuse(why.to_owned(), now);
        self.evidence.excuse(place);
        self.forget_rounds();
        self.probe_soon(now);
    }

    /// Only the pings come through.
    pub(super) fn is_captive(&self) -> bool {
        self.health.phase() == Phase::Down && self.evidence.portal.is_certain()
    }

    fn try_to_trust(&mut self, now: Moment) {
        let recover_after = self.settings.health.recover_after;
        let trial = match self.health.phase() {
            Phase::Recovering(trial) => Some(trial),
            Phase::Unknown
            | Phase::Up
            | Phase::Degraded
            | Phase::Down
            | Phase::Absent
            | Phase::Cold => None,
        };
        let rounds = trial.map_or(0, |trial| trial.rounds);
        let is_too_early = rounds < LEAST_ROUNDS && !recover_after.is_zero();
        if self.evidence.outage.is_suspected() || is_too_early {
            let soon = (recover_after / 4).max(self.settings.probe.confirm_interval);
            self.timers.set(UplinkTimer::Recover, now + soon);
        } else if let Some(trial) = trial {
            let loss = f64::from(trial.lost) / f64::from(trial.rounds.max(1));
            let loss = Loss::from_ratio(loss);
            let quality = &mut self.evidence.quality;
            if loss >= self.settings.health.loss.enter {
                quality.blame_loss(loss);
            }
            let complaint = quality.complaint();
            self.signal(Signal::Trusted(recover_after, complaint), now);
        }
    }

    /// Takes a signal to the state machine, and does what the step asks for.
    pub(super) fn signal(&mut self, signal: Signal, now: Moment) {
        let is_no_news = self.is_coming_up && self.health.phase() == Phase::Unknown;
        if is_no_news && matches!(signal, Signal::Silent(_) | Signal::Mute(_)) {
            return;
        }
        let Some(step) = self.health.apply(signal, now) else {
            return;
        };
        self.reports.changed();
        if step.to == Phase::Down && step.from != Phase::Down {
            self.pacer.await_return(now);
        }
        if step.to.is_lost() {
            self.evidence.lost();
        }
        let is_recovering = matches!(step.to, Phase::Recovering(_));
        let trust_at = now + self.settings.health.recover_after;
        self.timers
            .set_or_stop(UplinkTimer::Recover, is_recovering.then_some(trust_at));
        if is_recovering || (step.from, step.to) == (Phase::Unknown, Phase::Up) {
            self.evidence.quality = Quality::from(&self.settings.health, now);
        }
        self.hurry(now);
        self.report(step.reason, now);
    }

    /// Reports the state as a whole, and the one that is shown, if it is another than before.
    pub(super) fn report(&mut self, reason: String, now: Moment) {
        let complaint = self.evidence.families.complaint();
        let report = self.health.report(reason, complaint, now);
        let reason = || self.health.shown_reason(complaint);
        self.reports.state(report, reason, now);
    }

    fn take_family_turn(&mut self, turn: Option<(Family, FamilyTurn)>, now: Moment) {
        let Some((family, turn)) = turn else {
            return;
        };
        self.reports.changed();
        let is_healed = turn == FamilyTurn::Healed && self.health.phase() == Phase::Up;
        let reason = if is_healed {
            format!("{family} answers again")
        } else {
            self.health.reason().to_owned()
        };
        self.report(reason, now);
    }

    /// It may be asked soon.
    pub(super) fn probe_soon(&mut self, now: Moment) {
        self.pacer.await_return(now);
        if self.is_attached {
            self.pacer.probe_soon(now);
        }
    }

    /// Moves the next round nearer if what is known now asks for it.
    pub(super) fn hurry(&mut self, now: Moment) {
        let situation = self.situation(now);
        self.pacer.hurry(&situation, &self.settings.probe);
    }

    /// The uplink as its pacer sees it.
    pub(super) fn situation(&self, now: Moment) -> Situation {
        let evidence = &self.evidence;
        Situation {
            now,
            phase: self.health.phase(),
            doubt: evidence.doubt(),
            is_suspected: evidence.is_suspected(),
            is_traffic_silent: evidence.outage.is_traffic_silent(),
            has_family_on_trial: evidence.families.are_on_trial(),
            is_carrying: self.is_carrying,
            is_coming_up: self.is_coming_up,
            is_warm: self.settings.standby == Standby::Warm,
            silent_from: evidence.outage.suspected_since(),
            wait: evidence.wait(Demand::of(&self.settings)),
            last_round: self.rounds.last_sent(),
        }
    }
}

/// Long after the deadline, so that a late answer still undoes a miss.
fn listen_for(timeout: Duration) -> Duration {
    timeout * 2 + Duration::from_secs(1)
}
