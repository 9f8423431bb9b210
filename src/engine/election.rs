//! Which uplink carries the traffic.
//!
//! Leaving an uplink that is of no use is immediate; so is leaving a lesser one for one that answers better, where
//! that promises more than the switch costs: a degraded one is left if its loss and latency of the last minutes,
//! compared with those of the other one, would cost more within another window than the switch. The
//! way back to a preferred uplink is slow: it must have been up for `failback_after`, in the hours of
//! `failback_window`, and not be suspected at the moment; one that keeps falling counts as a lesser one until it is steady again ([`crate::engine::damping`]). A
//! choice by hand is preferred to any tier, takes effect at once, and holds while the uplink is usable; once the
//! uplink has failed it comes back as any preferred uplink does. A pinned uplink is never left once it carries,
//! whatever becomes of it, and gets the traffic as soon as it is usable. Within a tier the order is that of the
//! configuration, or under `best` that of the score, and then only a lasting advantage moves traffic that is well
//! where it is ([`crate::engine::best_policy`]); under `balance` uplinks that share the traffic already go before
//! others. Of two that are equally fit, one that misses probes at the moment yields to one that answers.
//!
//! An uplink whose allowance is used up is the last resort or of no use, as its `allowance_action` says; a choice by hand
//! does not make it the last resort.
//!
//! Where no uplink is usable none is elected and the traffic stays where it is, so that the last usable uplink is
//! never left for nothing. From an uplink that is off by its allowance it goes to another link even then.

use std::cmp::Reverse;
use std::time::Duration;

use crate::engine::allowance::AllowanceStanding;
use crate::engine::best_policy::BestPolicy;
use crate::engine::candidate::{Candidate, Fitness};
use crate::engine::event::cause::{SwitchCause, SwitchReason};
use crate::engine::ids::UplinkId;
use crate::engine::settings::{Failback, FailoverSettings, Policy};
use crate::engine::state::State;
use crate::engine::status::WaitReason;
use crate::engine::wording::seconds;
use crate::units::{Moment, Tier};

/// A failback that a suspicion holds up is considered again after this.
const SUSPICION_HOLDS_FOR: Duration = Duration::from_secs(1);

/// How often a degraded uplink is compared with a better one.
const COMPARE_EVERY: Duration = Duration::from_secs(1);

/// What an election decides by, beside the candidates.
#[derive(Clone, Copy, Debug)]
pub struct ElectionTerms<'a> {
    /// The uplink that carries the traffic.
    pub active: Option<UplinkId>,
    /// The traffic was found there at the start, so every way to another is a failback.
    pub is_adopted: bool,
    /// The uplink that an operator chose.
    pub chosen: Option<UplinkId>,
    /// That choice is held even when it is of no use.
    pub is_pinned: bool,
    /// An operator asks for the best uplink there is now, without any wait.
    pub is_asked: bool,
    /// The policy and its waits.
    pub failover: FailoverSettings,
    /// Who has been better for long.
    pub best: &'a BestPolicy,
}

/// The outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elected {
    /// The traffic stays where it is; perhaps look again then.
    Stay {
        /// When a failback falls due.
        until: Option<Moment>,
    },
    /// It moves.
    Move {
        /// To this uplink.
        to: UplinkId,
        /// Why.
        reason: SwitchReason,
    },
    /// No uplink is usable.
    NoneUsable,
}

impl Elected {
    /// When the traffic that stays is to be looked at again.
    pub(super) fn due(self) -> Option<Moment> {
        match self {
            Self::Stay { until } => until,
            Self::Move { .. } | Self::NoneUsable => None,
        }
    }
}

impl ElectionTerms<'_> {
    fn is_chosen(&self, candidate: &Candidate<'_>) -> bool {
        Some(candidate.id) == self.chosen
    }

    /// Less is preferred.
    fn preference(&self, candidate: &Candidate<'_>) -> (bool, Tier) {
        (Some(candidate.id) != self.chosen, candidate.tier)
    }

    fn is_best_wanted(&self) -> bool {
        match self.failover.policy {
            Policy::Best => true,
            Policy::Failover | Policy::Balance => false,
        }
    }

    /// At the start it is worth a moment to hear of the preferred uplinks first.
    fn is_worth_the_wait(&self, candidate: &Candidate<'_>, best: &Candidate<'_>) -> bool {
        let is_preferred = self.preference(candidate) < self.preference(best);
        let may_be_better = self.is_best_wanted() && candidate.tier == best.tier;
        is_preferred || may_be_better
    }

    /// Traffic that is well with `active` is to go to `candidate` as soon as that is ready.
    fn is_preferred(&self, candidate: &Candidate<'_>, active: &Candidate<'_>) -> bool {
        let (wanted, held) = (self.preference(candidate), self.preference(active));
        let best = self.failover.best;
        let is_better = match (candidate.score, active.score) {
            (Some(score), Some(other)) if self.is_asked => {
                score.0 >= other.0.saturating_add(best.margin.0)
            }
            (Some(_) | None, _) => self.best.is_won_by(candidate.id, best),
        };
        wanted < held || (wanted == held && is_better)
    }

    /// When a preferred uplink may take the traffic; none: when an operator says so.
    pub(super) fn ready(&self, candidate: &Candidate<'_>, now: Moment) -> Option<Moment> {
        if self.is_asked {
            return Some(now);
        }
        let ready = if self.is_failback(candidate) {
            match self.failover.failback {
                Failback::Auto | Failback::OpenSince(_) => {
                    candidate.well_since + self.failover.failback_after
                }
                Failback::Manual | Failback::Closed => return None,
            }
        } else {
            candidate.well_since
        };
        let held_up = candidate.is_suspected.then(|| now + SUSPICION_HOLDS_FOR);
        Some(ready.max(held_up.unwrap_or(ready)))
    }

    /// Why `candidate` does not carry although it is well and preferred to `active`, and until when.
    pub(super) fn wait_of(
        &self,
        candidate: &Candidate<'_>,
        active: &Candidate<'_>,
        now: Moment,
    ) -> Option<(WaitReason, Option<Moment>)> {
        let is_well = candidate.has_path && candidate.state == State::Up;
        if !is_well || candidate.id == active.id {
            return None;
        }
        if candidate.is_spent() {
            let wanted = self.preference(candidate) < self.preference(active);
            return wanted.then_some((WaitReason::Allowance, None));
        }
        if self.is_chosen(active) {
            return (candidate.tier < active.tier).then_some((WaitReason::Choice, None));
        }
        if !self.is_preferred(candidate, active) {
            return None;
        }
        if candidate.suppressed_until.is_some() {
            return Some((WaitReason::Damping, candidate.suppressed_until));
        }
        match self.ready(candidate, now) {
            None if self.failover.failback == Failback::Closed => {
                Some((WaitReason::FailbackWindow, None))
            }
            None => Some((WaitReason::FailbackManual, None)),
            Some(ready) if ready <= now => None,
            Some(ready) if candidate.is_suspected && ready <= now + SUSPICION_HOLDS_FOR => {
                Some((WaitReason::Doubt, None))
            }
            Some(ready) => Some((WaitReason::FailbackAfter, Some(ready))),
        }
    }

    /// It was ready to take the traffic back before `failback_window` was open, and no operator asks for it.
    fn has_waited_for_window(&self, candidate: &Candidate<'_>) -> bool {
        match self.failover.failback {
            Failback::OpenSince(since) if !self.is_asked => {
                candidate.well_since + self.failover.failback_after < since
            }
            Failback::Auto | Failback::Manual | Failback::Closed | Failback::OpenSince(_) => false,
        }
    }

    /// The way to it is one back.
    pub(super) fn is_failback(&self, candidate: &Candidate<'_>) -> bool {
        candidate.has_failed || self.is_adopted
    }
}

/// Elects one of `candidates`, which stand in the order of the configuration.
pub fn elect(candidates: &[Candidate<'_>], terms: ElectionTerms<'_>, now: Moment) -> Elected {
    let usable = || {
        candidates
            .iter()
            .filter(|candidate| candidate.fitness() > Fitness::Unusable)
    };
    let active = candidates
        .iter()
        .find(|candidate| Some(candidate.id) == terms.active);
    let chosen = usable()
        .filter(|candidate| candidate.fitness() >= Fitness::Poor)
        .find(|candidate| Some(candidate.id) == terms.chosen);
    if let Some(chosen) = chosen {
        let is_held = active.is_none_or(|active| active.id == chosen.id);
        if is_held || terms.is_asked || terms.is_pinned {
            let reason = SwitchReason::new(SwitchCause::Manual, "chosen by hand");
            return stay_or_move(chosen, terms, reason);
        }
    }
    let is_pinned_here = terms.is_pinned && active.is_some_and(|active| terms.is_chosen(active));
    if is_pinned_here && usable().next().is_some() {
        return Elected::Stay { until: None };
    }
    let best = usable().min_by_key(|candidate| {
        let fitness = Reverse(candidate.fitness());
        (
            fitness,
            candidate.is_suspected,
            terms.preference(candidate),
            Reverse(candidate.role),
            Reverse(candidate.score),
        )
    });
    let Some(best) = best else {
        return leave_what_is_off(candidates, active, terms);
    };
    let Some(active) = active else {
        let others = candidates.iter();
        let awaited = others.filter(|other| terms.is_worth_the_wait(other, best));
        if let Some(until) = awaited.filter_map(|other| other.judged_by(now)).min() {
            return Elected::Stay { until: Some(until) };
        }
        let text = format!("{} is the first that is usable", best.name);
        let reason = SwitchReason::new(SwitchCause::Start, text);
        return stay_or_move(best, terms, reason);
    };
    if let Some(until) = active.judged_by(now) {
        return Elected::Stay { until: Some(until) };
    }
    let margin = terms.failover.best.margin;
    let is_for_too_little = active.is_not_worth_leaving_for(best, margin);
    if best.fitness() > active.fitness() && !is_for_too_little {
        let mut reason = active.explain_leaving(best);
        if terms.is_chosen(active) {
            reason.text.push_str("; it had been chosen by hand");
        }
        return stay_or_move(best, terms, reason);
    }
    match fail_back(candidates, active, terms, now) {
        Elected::Stay { until } if is_for_too_little => {
            let soon = now + COMPARE_EVERY;
            Elected::Stay {
                until: Some(until.map_or(soon, |until| until.min(soon))),
            }
        }
        elected @ (Elected::Stay { .. } | Elected::Move { .. } | Elected::NoneUsable) => elected,
    }
}

/// Nothing is usable. The traffic stays, but not where the allowance is used up and nothing more may go: it leaves for
/// another link, whether that works or not.
fn leave_what_is_off(
    candidates: &[Candidate<'_>],
    active: Option<&Candidate<'_>>,
    terms: ElectionTerms<'_>,
) -> Elected {
    let may_carry = |one: &&Candidate<'_>| {
        one.has_path && one.state != State::Disabled && one.allowance != AllowanceStanding::Off
    };
    let others = candidates.iter().filter(may_carry);
    let best = others.min_by_key(|candidate| terms.preference(candidate));
    let off = active.filter(|active| active.allowance == AllowanceStanding::Off);
    match (off, best) {
        (Some(off), Some(best)) => stay_or_move(best, terms, off.explain_leaving(best)),
        (Some(_) | None, _) => Elected::NoneUsable,
    }
}

/// The traffic is as well off as it can be where it is; a preferred uplink may take it back.
fn fail_back(
    candidates: &[Candidate<'_>],
    active: &Candidate<'_>,
    terms: ElectionTerms<'_>,
    now: Moment,
) -> Elected {
    let preferred = candidates
        .iter()
        .filter(|candidate| candidate.fitness() == Fitness::Good)
        .filter(|candidate| terms.is_preferred(candidate, active));
    let ready = preferred.filter_map(|candidate| Some((candidate, terms.ready(candidate, now)?)));
    let (due, later): (Vec<_>, Vec<_>) = ready.partition(|(_, ready)| *ready <= now);
    let best = due
        .iter()
        .min_by_key(|(candidate, _)| (terms.preference(candidate), Reverse(candidate.score)));
    match best {
        Some((best, _)) => Elected::Move {
            to: best.id,
            reason: explain_coming(best, active, terms, now),
        },
        None => Elected::Stay {
            until: later.iter().map(|(_, ready)| *ready).min(),
        },
    }
}

fn explain_coming(
    best: &Candidate<'_>,
    active: &Candidate<'_>,
    terms: ElectionTerms<'_>,
    now: Moment,
) -> SwitchReason {
    let is_preferred = terms.preference(best) < terms.preference(active);
    match (best.score, active.score) {
        (Some(score), Some(other)) if !is_preferred => {
            let text = format!(
                "{} is better: score {score}, {} {other}",
                best.name, active.name
            );
            SwitchReason::new(SwitchCause::Best, text)
        }
        (Some(_) | None, _) if terms.is_failback(best) => {
            let healthy_for = seconds(now.since(best.well_since));
            let mut text = format!("failback: {} healthy for {healthy_for}", best.name);
            if terms.has_waited_for_window(best) {
                text.push_str(", and `failback_window` is open");
                return SwitchReason::new(SwitchCause::Schedule, text);
            }
            SwitchReason::new(SwitchCause::Failback, text)
        }
        (Some(_) | None, _) => {
            let text = format!("{} is preferred", best.name);
            SwitchReason::new(SwitchCause::Failback, text)
        }
    }
}

fn stay_or_move(
    candidate: &Candidate<'_>,
    terms: ElectionTerms<'_>,
    reason: SwitchReason,
) -> Elected {
    if terms.active == Some(candidate.id) {
        Elected::Stay { until: None }
    } else {
        Elected::Move {
            to: candidate.id,
            reason,
        }
    }
}
