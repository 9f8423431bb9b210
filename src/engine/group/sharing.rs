//! Which uplinks share the traffic: the policy `balance`.
//!
//! Each family is led to one uplink, and shared by all others of its tier that are as fit for it, by their weights.
//! An uplink that becomes less fit than the one that the family is led to is left at once: a dead one, and a
//! degraded one while another is healthy. A healthy one joins by the rules of failback: at once if it has not failed,
//! and after `failback_after` if it has; that nothing else shared what an earlier run left does not matter, since none
//! is left for it. Where all of them are equally unfit none is left. What an operator chose carries everything alone.

use std::collections::BTreeSet;

use super::draft::Draft;
use super::member::Member;
use crate::engine::candidate::{Candidate, Fitness, Role};
use crate::engine::election::ElectionTerms;
use crate::engine::ids::UplinkId;
use crate::engine::settings::Policy;
use crate::engine::state::State;
use crate::engine::wording::seconds;
use crate::routing::Family;
use crate::units::Moment;

/// What becomes of an uplink that might share a family.
enum Sharing {
    Joins(String),
    Stays,
    /// It is dead, and the uplink that the family is led to has been as silent since: to leave one for the other
    /// would be to guess.
    StaysUndecided,
    Leaves(String),
    /// Not now; perhaps then.
    Aside(Option<Moment>),
}

/// Decides which uplinks share each family, which was carried by those in `carried`; says why that changes.
pub(super) fn choose_sharers(
    draft: &mut Draft<'_, '_>,
    carried: &[(Family, Vec<UplinkId>)],
) -> Vec<String> {
    let is_shared = draft.terms.failover.policy == Policy::Balance;
    let is_by_hand = draft.is_led_by_hand();
    if !is_shared || is_by_hand {
        let were_shared = std::mem::take(&mut draft.allocation.sharers).into_values();
        // Without a leader, after a reload, nothing was shared any more.
        let has_left =
            draft.allocation.leader().is_some() && were_shared.flatten().next().is_some();
        let reason = if is_by_hand {
            "chosen by hand".to_owned()
        } else {
            "the traffic is not shared any more".to_owned()
        };
        return has_left.then_some(reason).into_iter().collect();
    }
    let families = carried.iter();
    families
        .flat_map(|(family, carriers)| share_family(draft, *family, carriers))
        .collect()
}

fn share_family(draft: &mut Draft<'_, '_>, family: Family, before: &[UplinkId]) -> Vec<String> {
    let led_to = draft.allocation.carrier_of(family, draft.terms.ways);
    let Some(led_to) = led_to.and_then(|id| draft.member(id)).cloned() else {
        // The others are as unfit, and by some of them it may have a way out.
        let (allocation, ways) = (&mut draft.allocation, draft.terms.ways);
        let is_kept = allocation.is_adopted();
        if let Some(sharers) = allocation.sharers.get_mut(&family) {
            sharers.retain(|id| is_kept || ways.has(family, *id));
        }
        return Vec::new();
    };
    // The election gives the reason for leaving the one that the family was led to.
    let is_explained = |id| before.first() == Some(&id) && id != led_to.id();
    let (mut sharers, mut reasons) = (BTreeSet::new(), Vec::new());
    for place in 0..draft.members.len() {
        let member = &draft.members[place];
        let id = member.id();
        if id == led_to.id() {
            continue;
        }
        match judge(draft, family, member, &led_to, before) {
            Sharing::Joins(reason) => {
                sharers.insert(id);
                reasons.push(reason);
            }
            Sharing::Stays => {
                sharers.insert(id);
            }
            Sharing::StaysUndecided => {
                draft.is_undecided = true;
                sharers.insert(id);
            }
            Sharing::Leaves(reason) => {
                reasons.extend((!is_explained(id)).then_some(reason));
            }
            Sharing::Aside(until) => draft.look_again_at(until),
        }
    }
    draft.allocation.sharers.insert(family, sharers);
    reasons
}

/// What becomes of an uplink beside the one that a family is led to.
fn judge(
    draft: &Draft<'_, '_>,
    family: Family,
    member: &Member<'_>,
    led_to: &Member<'_>,
    before: &[UplinkId],
) -> Sharing {
    let candidate = draft.candidate_for(family, member, false);
    let held = draft.candidate_for(family, led_to, false);
    let is_in = before.contains(&candidate.id);
    let is_fit = candidate.has_path && candidate.tier == held.tier;
    // What an earlier run left is kept until it is judged.
    let is_unheard = candidate.state == State::Unknown && candidate.role == Role::Sharing;
    let are_healthy = candidate.fitness() == Fitness::Good && held.fitness() == Fitness::Good;
    if is_unheard || (is_in && is_fit && candidate.fitness() >= held.fitness()) {
        Sharing::Stays
    } else if is_in && is_fit && member.silent_with.contains(&led_to.id()) {
        Sharing::StaysUndecided
    } else if is_in {
        Sharing::Leaves(explain_leaving(&candidate, &held, member, family))
    } else if is_fit && are_healthy {
        let terms = ElectionTerms {
            is_adopted: false,
            ..draft.election()
        };
        let now = draft.terms.now;
        match terms.ready(&candidate, now) {
            Some(ready) if ready <= now && terms.is_failback(&candidate) => {
                let healthy_for = seconds(now.since(candidate.well_since));
                Sharing::Joins(format!(
                    "failback: {} healthy for {healthy_for}",
                    candidate.name
                ))
            }
            Some(ready) if ready <= now => {
                Sharing::Joins(format!("{} shares the traffic", candidate.name))
            }
            until => Sharing::Aside(until),
        }
    } else {
        Sharing::Aside(None)
    }
}

fn explain_leaving(
    candidate: &Candidate<'_>,
    held: &Candidate<'_>,
    member: &Member<'_>,
    family: Family,
) -> String {
    match member.complaint_of(family) {
        Some(complaint) => format!("{}: {complaint}", candidate.name),
        None if !member.whole.has_path => member.whole.explain_leaving(held),
        None if !candidate.has_path => format!("{}: {family} has no way out", candidate.name),
        None if candidate.tier != held.tier => {
            format!("{} is not of the tier of {}", candidate.name, held.name)
        }
        None => candidate.explain_leaving(held),
    }
}
