//! Which uplink leads a group.
//!
//! It is elected ([`crate::engine::election`]). A group none of whose uplinks is usable goes with the default group,
//! if that has a usable uplink, or is refused if the configuration wants that, and takes up one of its own again by
//! the rules of failback. If no uplink is usable
//! at all, the traffic stays where it is; so it does while those that look usable have been as silent as the
//! leader since it died.

use super::allocation::{Allocation, Lead};
use super::draft::Draft;
use super::member::Member;
use super::switch::without_own;
use crate::engine::candidate::{Candidate, Fitness};
use crate::engine::election::{Elected, ElectionTerms, elect};
use crate::engine::event::cause::{SwitchCause, SwitchReason};
use crate::engine::ids::UplinkId;
use crate::units::Moment;

/// What the choice of the leader came to.
pub(super) enum LeadOutcome {
    /// An uplink leads, with the reason if it is another than before. It is usable, unless it only takes over from one
    /// that is off.
    Led {
        reason: Option<SwitchReason>,
        is_usable: bool,
    },
    /// None of the group is usable, and those of the default group are.
    GoesWithDefault(SwitchReason),
    NoneUsable,
    /// Those that look usable are as silent as the leader.
    Undecided,
}

/// Chooses the uplink that leads.
pub(super) fn choose_lead(draft: &mut Draft<'_, '_>) -> LeadOutcome {
    draft.is_undecided = !silent_with_leader(draft).is_empty() && !may_come_back(draft);
    match elect_leader(draft, draft.terms.is_asked) {
        Elected::Stay { until } => {
            draft.look_again = until;
            LeadOutcome::Led {
                reason: None,
                is_usable: true,
            }
        }
        Elected::Move { to, reason } => {
            pass_over_for(draft, to);
            draft.allocation.lead = Lead::By {
                uplink: to,
                since: draft.terms.now,
                is_adopted: false,
            };
            // Another that is preferred to the new leader may fall due later.
            let next = elect_leader(draft, false);
            let is_usable = next != Elected::NoneUsable;
            draft.look_again = next.due();
            LeadOutcome::Led {
                reason: Some(reason),
                is_usable,
            }
        }
        Elected::NoneUsable if has_refuge(draft) => go_with_default(draft),
        Elected::NoneUsable if draft.is_undecided => LeadOutcome::Undecided,
        Elected::NoneUsable if draft.terms.refuses && draft.allocation.leader().is_some() => {
            go_with_default(draft)
        }
        Elected::NoneUsable => LeadOutcome::NoneUsable,
    }
}

fn elect_leader(draft: &Draft<'_, '_>, is_asked: bool) -> Elected {
    let silent_too = silent_with_leader(draft);
    let members = draft
        .members
        .iter()
        .filter(|one| !silent_too.contains(&one.id()));
    let candidates: Vec<_> = members.map(|member| draft.candidate(member)).collect();
    let terms = ElectionTerms {
        is_asked,
        ..draft.election()
    };
    if may_come_back(draft) {
        return come_back(candidates, terms, draft.terms.now);
    }
    elect(&candidates, terms, draft.terms.now)
}

fn may_come_back(draft: &Draft<'_, '_>) -> bool {
    draft.allocation.leader().is_none() && draft.terms.refuge.is_some()
}

/// The uplinks that are as silent as the leader since it died.
fn silent_with_leader<'a>(draft: &'a Draft<'_, '_>) -> &'a [UplinkId] {
    let leader = draft.allocation.leader().and_then(|id| draft.member(id));
    leader.map_or(&[], |leader| &leader.silent_with)
}

/// A group that leads itself can go with the default group, unless that is as silent as its leader.
fn has_refuge(draft: &Draft<'_, '_>) -> bool {
    let silent_too = silent_with_leader(draft);
    let refuge = draft
        .terms
        .refuge
        .filter(|_| draft.allocation.leader().is_some());
    refuge.is_some_and(|refuge| refuge.iter().any(|id| !silent_too.contains(id)))
}

fn go_with_default(draft: &mut Draft<'_, '_>) -> LeadOutcome {
    let leader = draft.allocation.leader().and_then(|id| draft.member(id));
    let complaint = leader.map_or_else(String::new, |member| {
        let Candidate {
            name,
            state,
            reason,
            ..
        } = &member.whole;
        format!("{name} {state}: {reason}; ")
    });
    let what = without_own(draft.terms.refuses);
    let text = format!("{complaint}no uplink of the group is usable, {what}");
    let cause = leader.map_or(SwitchCause::Down, |leader| leader.whole.cause_of_leaving());
    let reason = SwitchReason::new(cause, text);
    draft.allocation = Allocation::of(Lead::WithDefault);
    LeadOutcome::GoesWithDefault(reason)
}

/// The preferred uplinks that are not chosen because they miss probes at the moment must win their way back like
/// those that were down.
fn pass_over_for(draft: &mut Draft<'_, '_>, to: UplinkId) {
    let Some(chosen) = draft.member(to).map(|member| draft.candidate(member)) else {
        return;
    };
    let members = draft.members.iter();
    let passed_over = members.filter(|one| draft.candidate(one).is_passed_over_for(&chosen));
    draft.passed_over = passed_over.map(Member::id).collect();
    for member in &mut draft.members {
        if draft.passed_over.contains(&member.id()) {
            member.pass_over(draft.terms.now);
        }
    }
}

/// A group that goes with the default group takes up an uplink of its own that is healthy and has been for as long
/// as it must.
fn come_back(mut candidates: Vec<Candidate<'_>>, terms: ElectionTerms<'_>, now: Moment) -> Elected {
    let ready: Vec<_> = candidates
        .iter()
        .map(|candidate| {
            let is_healthy = candidate.fitness() == Fitness::Good;
            terms.ready(candidate, now).filter(|_| is_healthy)
        })
        .collect();
    let later = ready.iter().flatten().filter(|ready| **ready > now).min();
    let mut ready = ready.iter();
    candidates.retain(|candidate| {
        let is_ready = ready.next().copied().flatten().is_some_and(|at| at <= now);
        is_ready || candidate.judged_by(now).is_some()
    });
    match elect(&candidates, terms, now) {
        Elected::Move { to, mut reason } => {
            let mut chosen = candidates.iter().filter(|candidate| candidate.id == to);
            let is_back = chosen.any(|candidate| terms.is_failback(candidate));
            if is_back && reason.cause == SwitchCause::Start {
                reason.cause = SwitchCause::Failback;
            }
            Elected::Move { to, reason }
        }
        Elected::Stay { until } => Elected::Stay {
            until: later.copied().into_iter().chain(until).min(),
        },
        Elected::NoneUsable => Elected::Stay {
            until: later.copied(),
        },
    }
}
