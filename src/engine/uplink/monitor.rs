//! Whether an uplink is alive and good: what is asked, what the answers and their lack mean, and the
//! state that follows.
//!
//! The parts hold the state and return outcomes; the monitor applies them, one after another: a probe
//! settles its round, the round speaks about families, silence and quality, and what follows is a
//! [`Signal`] to the state machine.

use std::time::Duration;

use super::absence::AwayFamilies;
use super::basis::{BasisChange, ProbeBasis};
use super::evidence::Evidence;
use super::health::{Health, Phase, Signal};
use super::judge::UplinkJudge;
use super::next_hops::NextHops;
use super::outbox::{Outbox, ProbeIds};
use super::pacer::{Pacer, Situation};
use super::places::Places;
use super::purse::{Purse, RoundTargets};
use super::reports::Reports;
use super::rounds::{ProbePlace, Rounds};
use super::targets::Targets;
use crate::engine::family::FamilyTurn;
use crate::engine::ids::UplinkId;
use crate::engine::input::ProbeOutcome;
use crate::engine::outage::Demand;
use crate::engine::passive::BUSY_EVERY;
use crate::engine::quality::Quality;
use crate::engine::round::{Fate, RoundProbe};
use crate::engine::schedule::{Breadth, Pace, Spread};
use crate::engine::settings::{Standby, UplinkSettings};
use crate::engine::suspicion::SuspectedFault;
use crate::engine::target::TargetTrack;
use crate::engine::timer::{Timers, UplinkTimer, sooner};
use crate::routing::{Attachment, Family, Path};
use crate::units::sorted::SortedMap;
use crate::units::{Counters, Moment, ProbeId, Target};

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
    pub(super) next_hops: NextHops,
    pub(super) pacer: Pacer,
    pub(super) is_carrying: bool,
    /// Its link is in order.
    pub(super) is_attached: bool,
    /// Nothing is asked by these.
    away: AwayFamilies,
    /// It is a cold standby that was called, and may still become usable in time.
    pub(super) is_coming_up: bool,
    basis: ProbeBasis,
    pub(super) rounds: Rounds,
    pub(super) timers: Timers,
    pub(super) reports: Reports,
}

impl UplinkMonitor {
    pub(super) fn new(id: UplinkId, settings: UplinkSettings, now: Moment, spread: Spread) -> Self {
        let (probe, health) = (&settings.probe, &settings.health);
        Self {
            health: Health::new(now),
            targets: Targets::new(&probe.targets, probe.quorum, health.window),
            evidence: Evidence::new(health),
            next_hops: NextHops::default(),
            pacer: Pacer::new(spread, Purse::of(&settings, now), now),
            reports: Reports::new(id, &settings),
            settings,
            is_carrying: false,
            is_attached: false,
            away: AwayFamilies::default(),
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
        paths: &SortedMap<Family, Path>,
        now: Moment,
    ) {
        let (probe, health) = (&settings.probe, &settings.health);
        self.targets
            .adapt(&probe.targets, probe.quorum, health.window);
        self.evidence.portal.forget();
        self.evidence.quality.adapt(health);
        self.evidence.refusals.forget();
        self.rounds.clear();
        let purse = self.pacer.purse_mut();
        *purse = Purse::adapted(purse.take(), &settings, now);
        self.reports.adapt(&settings);
        self.settings = settings;
        self.set_paths(paths, now);
        self.probe_soon(now);
    }

    /// The next hops or the targets are others now.
    fn set_paths(&mut self, paths: &SortedMap<Family, Path>, now: Moment) {
        self.targets.sort(paths);
        let learnt = self.evidence.outage.learnt();
        let is_asked = |family| !self.targets.asked_by(family).is_empty();
        let last_answer = self.evidence.outage.last_answer();
        (self.evidence.families).attach(paths, is_asked, learnt, last_answer, now);
    }

    /// The link is now like this; whether it is to be asked anew.
    pub(super) fn attach(&mut self, attachment: &Attachment, now: Moment) -> bool {
        let before = Family::ROUTED.map(|family| self.basis.path(family));
        let changes = self.basis.take(attachment);
        let mut is_open = false;
        for (family, change) in Family::ROUTED.into_iter().zip(changes) {
            if change != BasisChange::Stands {
                is_open |= self.void_unanswered(family, now);
            }
        }
        self.is_attached = attachment.trouble.is_none();
        self.away = AwayFamilies::default();
        self.set_paths(&attachment.paths, now);
        let is_elsewhere = |family: &Family| changes[*family as usize] == BasisChange::Elsewhere;
        for family in Family::ROUTED.into_iter().filter(is_elsewhere) {
            let mut others = attachment.paths.keys().filter(|other| **other != family);
            self.evidence.withdraw(family, others.next().is_none());
            let path = attachment.paths.get(&family).cloned();
            self.targets
                .restart(family, [before[family as usize].clone(), path], now);
        }
        let has_moved = Family::ROUTED.iter().any(is_elsewhere);
        if has_moved && attachment.paths.keys().all(is_elsewhere) {
            self.evidence.forget_traffic();
            self.evidence.portal.forget();
        }
        self.judge_lasting_silence(now);
        has_moved || is_open
    }

    /// An answer to a probe by this family that is under way may no longer arrive; whether one is.
    fn void_unanswered(&mut self, family: Family, now: Moment) -> bool {
        let mut counted = None;
        for place in self.rounds.unanswered_by(family) {
            let (probe, sent) = self.rounds.probe(place);
            if probe.fate == Fate::Pending && counted < Some(sent) {
                self.evidence.voided(sent, Demand::of(&self.settings));
                counted = Some(sent);
            }
            self.settle(place, Fate::Void, now);
        }
        self.arm_deadline();
        counted.is_some()
    }

    /// Paths are away for a moment: nothing is asked by them meanwhile.
    pub(super) fn pause(&mut self, away: AwayFamilies, now: Moment, out: &mut Outbox) {
        for family in away.iter() {
            self.void_unanswered(family, now);
        }
        self.away = away;
        self.probe_soon(now);
        self.judge_lasting_silence(now);
        self.reports.collect(out);
    }

    /// It is back as it was.
    pub(super) fn resume(&mut self, now: Moment) {
        self.away = AwayFamilies::default();
        self.probe_soon(now);
    }

    /// Nothing can be asked when a round is due, as it may be each time.
    fn skip_round(&mut self, now: Moment) {
        self.evidence.voided(now, Demand::of(&self.settings));
        self.probe_soon(now);
        self.judge_lasting_silence(now);
    }

    /// Judges a silence that has lasted for too long, or will have.
    fn judge_lasting_silence(&mut self, now: Moment) {
        let signal = self.judge(now, |judge, _| judge.judge_lasting_silence());
        self.take_verdict(signal, now);
        let due = self.evidence.lasting_silence_at(Demand::of(&self.settings));
        let due = due.filter(|due| *due > now);
        self.timers.set_or_stop(UplinkTimer::Silence, due);
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
        sooner(self.timers.next(), self.pacer.next_round())
    }

    /// Takes what became of a probe.
    pub(super) fn probed(&mut self, id: ProbeId, outcome: ProbeOutcome, now: Moment) {
        if (self.next_hops).probed(id, &outcome, &self.evidence, now) {
            return;
        }
        let Some((place, probe, sent)) = self.rounds.find_unanswered(id) else {
            if matches!(outcome, ProbeOutcome::Reply(_))
                && let Some(sent) = self.rounds.sent_void(id)
            {
                self.evidence.heard(sent);
            }
            return;
        };
        if let ProbeOutcome::NotSent(why) = &outcome {
            self.not_sent(probe.family, why, now);
        }
        if let ProbeOutcome::Refused(why) = &outcome {
            let counting = self.targets.standing_of(probe.family);
            if (self.evidence.refusals).refused(probe, counting, why, now) {
                self.not_sent(probe.family, why, now);
            }
        }
        let (most, targets) = (self.settings.probe.listen_for(), &mut self.targets);
        let fate = (self.evidence).understand(outcome, probe, sent, targets, most);
        let answer = match fate {
            Fate::Answered(rtt) => Some(now.min(sent + rtt)),
            Fate::Pending | Fate::Missed | Fate::Wrong | Fate::Void => None,
        };
        let is_news = probe.fate == Fate::Pending || answer.is_some() || fate == Fate::Wrong;
        if let Some(came) = answer {
            self.overtake(sent, probe.family, came, now);
        }
        if is_news {
            self.settle(place, fate, now);
        }
        self.arm_deadline();
    }

    /// A probe by this family could not be sent.
    fn not_sent(&mut self, family: Family, why: &str, now: Moment) {
        let demand = Demand::of(&self.settings);
        let turn = self.evidence.families.not_sent(family, why, now, demand);
        self.take_family_turn(turn.map(|turn| (family, turn)), now);
        if (self.evidence).is_mute(now, self.settings.health.outage_within) {
            self.signal(Signal::Mute(why.to_owned()), now);
        }
    }

    /// A probe left this machine so much later than it was ordered.
    pub(super) fn sent_late(&mut self, id: ProbeId, by: Duration) {
        self.rounds.sent_late(id, by);
        self.arm_deadline();
    }

    /// The agent did not run for so long: probes whose time ran out meanwhile say nothing.
    pub(super) fn stalled(&mut self, lasts: Duration, now: Moment) {
        for place in self.rounds.excused(now - lasts, now) {
            self.settle(place, Fate::Void, now);
        }
        self.arm_deadline();
    }

    /// Takes the counters of its interface.
    pub(super) fn counted(&mut self, counters: Counters, now: Moment) {
        let rtt = || self.targets.rtt().unwrap_or(self.settings.probe.timeout);
        let has_fallen_silent = self.evidence.counted(counters, rtt, now);
        // What is metered is probed too rarely for its counters to be read along with the probes.
        let now_and_then = (self.pacer.is_metered()).then_some(now + self.settings.probe.interval);
        let look_again = self.evidence.passive.look_again(now).or(now_and_then);
        let look_again = look_again.filter(|_| self.is_carrying);
        self.timers.set_or_stop(UplinkTimer::Count, look_again);
        if has_fallen_silent {
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
        if self.timers.take_due(UplinkTimer::Silence, now) {
            self.judge_lasting_silence(now);
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
                self.send_round(&situation, ids);
            }
        }
        if self.is_carrying && is_time_to_look {
            self.reports.count();
        }
        self.arm_deadline();
    }

    fn send_round(&mut self, situation: &Situation, ids: &mut ProbeIds) {
        let now = situation.now;
        if !self.is_attached {
            return;
        }
        let broken = self.evidence.families.broken();
        let is_left_out = |family| Some(family) == broken || self.away.contains(family);
        let can_ask = |family| !is_left_out(family) && self.targets.can_ask(family);
        if self.away.is_any() && !Family::ROUTED.into_iter().any(can_ask) {
            return self.skip_round(now);
        }
        if let Some(unasked) = self.judge(now, |judge, _| judge.judge_ways()) {
            self.signal(unasked, now);
            return self.pacer.stop();
        }
        (self.rounds).forget_old(self.settings.probe.listen_for(), now);
        self.targets.expire(now);
        let pace = self.pacer.pace(situation);
        // What a change made void is asked again at once, of whatever still answers.
        let is_void = self.evidence.is_all_void() && !self.pacer.is_metered();
        let breadth = if self.is_captive() || is_void {
            // Only the web pages show when it is over, and only all of them whether it is.
            Breadth::All
        } else {
            let has_asked_all =
                |since| (self.rounds).has_asked_all_since(since, self.settings.probe.quorum);
            self.pacer.breadth(pace, situation, has_asked_all)
        };
        let Some(chosen) = self.choose(breadth, broken, pace, situation) else {
            return;
        };
        let (probe, reports) = (&self.settings.probe, &mut self.reports);
        let mut order = |target: &Target, hop| {
            let id = ids.take();
            reports.probe(id, target, hop, probe.listen_for());
            id
        };
        let to_hop = |target: &Target, hop| order(target, Some(hop));
        let purse = self.pacer.purse_mut().as_deref_mut();
        let purse = purse.map(|purse| (purse, probe));
        (self.next_hops).ask(situation, &self.evidence, &self.targets, purse, to_hop);
        let order = |track: &TargetTrack| {
            let patience = situation.patience(track, probe.timeout);
            (order(track.target(), None), patience)
        };
        self.rounds
            .send(chosen, &self.targets, probe.quorum, broken, now, order);
        self.pacer.sent();
        self.pacer.await_next_round(situation, &self.settings.probe);
    }

    /// The targets that are asked now, as far as there is money for them. Those that were set aside are
    /// asked now and then, without their answers counting.
    fn choose(
        &mut self,
        breadth: Breadth,
        broken: Option<Family>,
        pace: Pace,
        now: &Situation,
    ) -> Option<RoundTargets> {
        let probe = &self.settings.probe;
        let away = self.away;
        let groups = (self.targets).askable(|of| Some(of) == broken || away.contains(of));
        let broken = self.evidence.families.take_retry(now.now);
        let broken = broken.map_or_else(Places::default, |of| self.targets.standing_of(of));
        let counting = self.rounds.choose(breadth, &groups, broken, probe.quorum);
        let retried = self.targets.take_retries(counting, now.now);
        let chosen = RoundTargets { counting, retried };
        let paid = self.pacer.pay(chosen, pace, now, probe)?;
        (!paid.is_empty()).then_some(paid)
    }

    /// What was under way is over.
    pub(super) fn forget_rounds(&mut self) {
        self.rounds.clear();
        self.evidence.interrupt();
        self.timers.stop(UplinkTimer::Deadline);
    }

    fn arm_deadline(&mut self) {
        (self.timers).set_or_stop(UplinkTimer::Deadline, self.rounds.next_deadline());
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
    /// was lost. That is how the link loses packets, and no silence any more. The answer `came` before
    /// it was read, perhaps together with those of earlier probes.
    fn overtake(&mut self, answered: Moment, family: Family, came: Moment, now: Moment) {
        let (most, took) = (self.settings.probe.timeout, came.since(answered));
        let patience = |place| self.targets.at(place).deadline_beside(took, most);
        for overtaken in (self.rounds).overtaken(family, answered, patience, came) {
            let place = overtaken.round;
            let round = self.rounds.lose(overtaken, &mut self.targets);
            if self.evidence.overtaken(round, family) {
                self.health.count_round(true);
            }
            if round.is_closed() {
                self.close(place, now);
            }
        }
    }

    fn settle(&mut self, place: ProbePlace, fate: Fate, now: Moment) {
        let settled = self.rounds.settle(place, fate);
        if fate != Fate::Void {
            (self.evidence.refusals).sent(settled.probe, settled.sent);
        }
        if fate != Fate::Void && settled.speaks_for_all {
            self.evidence.sent();
        }
        let RoundProbe { id, target, .. } = settled.probe;
        if let Fate::Answered(rtt) = fate {
            self.next_hops.answered(settled.probe.family);
            let health = &self.settings.health;
            (self.evidence).answered(&settled, rtt, &self.targets, health, now);
            if let Some(standing) = (self.targets).answered(settled.probe, settled.sent, rtt) {
                let target = self.targets.at(target).target();
                self.reports.standing(target, standing, now);
            }
        }
        if fate == Fate::Missed {
            self.targets.at_mut(target).missed(id, settled.sent);
        }
        let round = place.round;
        let turn = self.judge(now, |judge, all| judge.judge_families(all.at_mut(round)));
        self.take_family_turn(turn, now);
        let signal = self.judge(now, |judge, all| judge.judge_round(all.at_mut(round)));
        self.take_verdict(signal, now);
        if !settled.was_closed && self.rounds.at(round).is_closed() {
            self.close(round, now);
        }
        self.hurry(now);
    }

    /// A round is complete.
    fn close(&mut self, place: usize, now: Moment) {
        let signal = self.judge(now, |judge, rounds| judge.judge_targets(rounds.at(place)));
        self.take_verdict(signal, now);
        let signal = self.judge(now, |judge, rounds| judge.judge_quality(rounds.at(place)));
        self.take_verdict(signal, now);
    }

    /// The uplink is to blame, and not its targets.
    pub(super) fn found_at_fault(&mut self, fault: SuspectedFault, now: Moment) {
        let signal = self.judge(now, |judge, _| judge.judge_fault(fault));
        self.take_verdict(signal, now);
    }

    /// Judges the uplink by its rounds.
    fn judge<T>(&mut self, now: Moment, by: impl FnOnce(UplinkJudge<'_>, &mut Rounds) -> T) -> T {
        let judge = UplinkJudge {
            settings: &self.settings,
            health: &mut self.health,
            targets: &mut self.targets,
            evidence: &mut self.evidence,
            next_hops: &mut self.next_hops,
            reports: &mut self.reports,
            now,
        };
        by(judge, &mut self.rounds)
    }

    /// Takes what was judged.
    pub(super) fn take_verdict(&mut self, signal: Option<Signal>, now: Moment) {
        if let Some(signal) = signal {
            self.signal(signal, now);
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
        self.evidence.is_captive(self.health.phase())
    }

    fn try_to_trust(&mut self, now: Moment) {
        let recover_after = self.settings.health.recover_after;
        let rounds = self.health.trial().map_or(0, |trial| trial.rounds);
        let is_too_early = rounds < LEAST_ROUNDS && !recover_after.is_zero();
        if self.evidence.outage.is_suspected() || is_too_early {
            let soon = (recover_after / 4).max(self.settings.probe.confirm_interval);
            self.timers.set(UplinkTimer::Recover, now + soon);
        } else {
            let signal = self.judge(now, |judge, _| judge.judge_trial());
            self.take_verdict(signal, now);
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
        (self.health).note_outage(&step, self.evidence.outage.suspected_since(), now);
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
