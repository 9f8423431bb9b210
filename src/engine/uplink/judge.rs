//! What the rounds of an uplink mean for its state. Each judgement ends in a [`Signal`] to the state
//! machine, or in none.

use super::evidence::{Evidence, RoundFinding};
use super::health::{Health, Phase, Signal};
use super::next_hops::{HopCause, NextHops};
use super::portal::PortalFinding;
use super::reports::Reports;
use super::targets::Targets;
use crate::engine::family::{Families, FamilyTurn};
use crate::engine::outage::{Demand, Silence};
use crate::engine::round::Round;
use crate::engine::settings::{HealthSettings, UplinkSettings};
use crate::engine::state::State;
use crate::engine::suspicion::SuspectedFault;
use crate::routing::Family;
use crate::units::Moment;

/// The parts of an uplink that its judgement reads and changes.
pub(super) struct UplinkJudge<'a> {
    pub(super) settings: &'a UplinkSettings,
    pub(super) health: &'a mut Health,
    pub(super) targets: &'a mut Targets,
    pub(super) evidence: &'a mut Evidence,
    pub(super) next_hops: &'a mut NextHops,
    pub(super) reports: &'a mut Reports,
    pub(super) now: Moment,
}

impl UplinkJudge<'_> {
    /// Judges the uplink by a round whose probes have new fates.
    pub(super) fn judge_round(mut self, round: &mut Round) -> Option<Signal> {
        let phase = self.health.phase();
        let is_silent = phase == Phase::Unknown || phase.is_lost();
        let down_since = (phase == Phase::Down).then_some(self.health.since());
        let is_captive = self.evidence.is_captive(phase);
        let demand = Demand::of(self.settings);
        let evidence = &mut *self.evidence;
        match evidence.judge_round(round, self.targets, down_since, demand, self.now) {
            RoundFinding::Nothing => None,
            RoundFinding::Disproof(rtt) => {
                let health = &self.settings.health;
                Some(Signal::Disproved(evidence.disproved(rtt, health, self.now)))
            }
            RoundFinding::Answered if is_captive => None,
            RoundFinding::Answered => {
                if is_silent {
                    self.targets.begin(round.sent);
                }
                self.health.count_round(false);
                Some(Signal::Answered)
            }
            RoundFinding::Missed(silence) => {
                self.health.count_round(true);
                self.judge_silence(silence?)
            }
        }
    }

    /// Judges the families by a round whose probes have new fates.
    pub(super) fn judge_families(self, round: &mut Round) -> Option<(Family, FamilyTurn)> {
        let (demand, trust_after) = (
            Demand::of(self.settings),
            self.settings.health.recover_after,
        );
        let evidence = self.evidence;
        if !evidence.families.are_apart() {
            return None;
        }
        let answer = |families: &Families| {
            let states = Family::ROUTED.map(|family| families.outlook(family).state);
            states.map(|state| matches!(state, Some(State::Up | State::Recovering)))
        };
        let before = answer(&evidence.families);
        let turn = evidence.judge_families(round, self.targets, demand, trust_after, self.now);
        let after = answer(&evidence.families);
        for family in Family::ROUTED {
            if after[family as usize] && !before[family as usize] {
                self.targets.begin_family(family, round.sent);
            }
        }
        turn.filter(|(family, turn)| {
            let silence = HopCause::SilentFamily;
            let has_broken = *turn == FamilyTurn::Broke;
            let since = round.sent;
            !has_broken || !(self.next_hops).take_over(silence, Some(*family), since, self.now)
        })
    }

    /// It has a way out by one family only, and no target of it: its link or its targets have to change.
    pub(super) fn judge_ways(self) -> Option<Signal> {
        let family = self.targets.way_without_target()?;
        let interface = &self.settings.interface;
        Some(Signal::Unasked(format!(
            "cannot be probed: {interface} has {family} only, and no target does; add one to `probe.targets`"
        )))
    }

    /// A trial has lasted long enough.
    pub(super) fn judge_trial(self) -> Option<Signal> {
        let trial = self.health.trial()?;
        let HealthSettings {
            recover_after,
            ref loss,
            ..
        } = self.settings.health;
        let complaint = self.evidence.judge_trial(trial, loss.enter);
        Some(Signal::Trusted(recover_after, complaint))
    }

    /// Judges the targets of a round that is complete.
    pub(super) fn judge_targets(self, round: &Round) -> Option<Signal> {
        self.evidence.families.closed(round);
        let Evidence {
            outage, quality, ..
        } = &*self.evidence;
        let usual_loss = || outage.process().mean();
        let blamed = (self.targets).blame(round, quality.overflows(), usual_loss, self.now);
        for (target, standing) in blamed {
            let target = self.targets.at(target).target();
            self.reports.standing(target, standing, self.now);
        }
        self.judge_portal()
    }

    fn judge_portal(self) -> Option<Signal> {
        let counts = |place: usize| self.targets.at(place).is_standing();
        match self.evidence.portal.judge(counts)? {
            PortalFinding::Captive(what) => self.judge_fault(SuspectedFault::Captive(what)),
            PortalFinding::Suspected { place, since, what } => {
                let target = self.targets.at(place).target().clone();
                let fault = SuspectedFault::Captive(what);
                self.reports.suspect(target, fault, since);
                None
            }
        }
    }

    /// Judges the quality of the link by a round that is complete.
    pub(super) fn judge_quality(self, round: &Round) -> Option<Signal> {
        let (evidence, demand) = (self.evidence, Demand::of(self.settings));
        let process = evidence.outage.process();
        evidence.closed(round, self.targets, &process, demand);
        let has_dwelt = (self.health).has_dwelt(self.settings.health.dwell, self.now);
        let complaint = has_dwelt.then(|| evidence.quality.complaint())?;
        Some(complaint.map_or(Signal::Better, Signal::Worse))
    }

    /// Judges a silence that has lasted for too long whatever changed meanwhile.
    pub(super) fn judge_lasting_silence(mut self) -> Option<Signal> {
        let demand = Demand::of(self.settings);
        let silence = self.evidence.lasting_silence(self.now, demand)?;
        self.judge_silence(silence)
    }

    /// Too few targets answered for too long. If some said anything at all, the others may be to
    /// blame.
    fn judge_silence(&mut self, silence: Silence) -> Option<Signal> {
        let (evidence, phase) = (&*self.evidence, self.health.phase());
        if evidence.is_known_to_be_slow(phase, &self.settings.probe, self.now) {
            return None;
        }
        let since = evidence.outage.suspected_since().unwrap_or(self.now);
        if !self.targets.has_spoken_since(since) {
            return self.silent(silence);
        }
        for target in self.targets.silent_since(since) {
            let fault = SuspectedFault::Outage(silence);
            self.reports.suspect(target.clone(), fault, since);
        }
        None
    }

    /// The uplink is silent, unless it goes on by another next hop.
    fn silent(&mut self, silence: Silence) -> Option<Signal> {
        let since = self.evidence.outage.suspected_since();
        let since = since.unwrap_or(self.now - silence.lasts);
        let cause = HopCause::SilentUplink(silence.lasts);
        if self.next_hops.take_over(cause, None, since, self.now) {
            return None;
        }
        let quorum = self.settings.probe.quorum;
        Some(Signal::Silent((self.evidence).explain_silence(
            silence,
            self.targets,
            quorum,
        )))
    }

    /// The uplink is to blame, and not its targets. A right page since then ends a portal before it
    /// begins.
    pub(super) fn judge_fault(mut self, fault: SuspectedFault) -> Option<Signal> {
        match fault {
            SuspectedFault::SetAside(_) => None,
            SuspectedFault::Outage(_) => {
                let demand = Demand::of(self.settings);
                let silence = self.evidence.outage_verdict(self.now, demand)?;
                self.silent(silence)
            }
            SuspectedFault::Captive(what) => {
                let is_confirmed = self.evidence.portal.confirm();
                is_confirmed.then_some(Signal::Captive(what))
            }
        }
    }
}
