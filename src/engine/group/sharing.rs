//! Which uplinks share the traffic: the policy `balance`.
//!
//! Each family is led to one uplink, and shared by all others of its tier that are as fit for it, by their weights.
//! An uplink that becomes less fit than the one that the family is led to is left at once: a dead one, and a
//! degraded one while another is healthy. A healthy one joins by the rules of failback: at once if it has not failed,
//! and after `failback_after` if it has; that nothing else shared what an earlier run left does not matter, since none
//! is left for it. Where all of them are equally unfit none is left. What an operator chose carries everything alone.

use super::draft::Draft;
use super::member::Member;
use crate::engine::candidate::{Candidate, Fitness, Role};
use crate::engine::election::ElectionTerms;
use crate::engine::event::cause::{SwitchCause, SwitchReason};
use crate::engine::ids::UplinkId;
use crate::engine::settings::Policy;
use crate::engine::state::State;
use crate::engine::wording::seconds;
use crate::routing::Family;
use crate::units::Moment;
use crate::units::sorted::SortedSet;

/// What becomes of an uplink that might share a family.
enum Sharing {
    Joins(SwitchReason),
    Stays,
    /// It is dead, and the uplink that the family is led to has been as silent since: to leave one for the other
    /// would be to guess.
    StaysUndecided,
    Leaves(SwitchReason),
    /// Not now; perhaps then.
    Aside(Option<Moment>),
}

/// Decides which uplinks share each family, which was carried by those in `carried`; says why that changes.
pub(super) fn choose_sharers(
    draft: &mut Draft<'_, '_>,
    carried: &[(Family, Vec<UplinkId>)],
) -> Vec<SwitchReason> {
    let is_shared = draft.terms.failover.policy == Policy::Balance;
    let is_by_hand = draft.is_led_by_hand();
    if !is_shared || is_by_hand {
        let were_shared = std::mem::take(&mut draft.allocation.sharers).into_values();
        // Without a leader, after a reload, nothing was shared any more.
        let has_left =
            draft.allocation.leader().is_some() && were_shared.flatten().next().is_some();
        let reason = if is_by_hand {
            SwitchReason::new(SwitchCause::Manual, "chosen by hand")
        } else {
            SwitchReason::new(SwitchCause::Config, "the traffic is not shared any more")
        };
        return has_left.then_some(reason).into_iter().collect();
    }
    let families = carried.iter();
    families
        .flat_map(|(family, carriers)| share_family(draft, *family, carriers))
        .collect()
}

fn share_family(
    draft: &mut Draft<'_, '_>,
    family: Family,
    before: &[UplinkId],
) -> Vec<SwitchReason> {
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
    let (mut sharers, mut reasons) = (SortedSet::new(), Vec::new());
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
                let text = format!("failback: {} healthy for {healthy_for}", candidate.name);
                Sharing::Joins(SwitchReason::new(SwitchCause::Failback, text))
            }
            Some(ready) if ready <= now => {
                let text = format!("{} shares the traffic", candidate.name);
                Sharing::Joins(SwitchReason::new(SwitchCause::Sharing, text))
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
) -> SwitchReason {
    let name = candidate.name;
    match member.complaint_of(family) {
        Some(complaint) => {
            let text = format!("{name}: {complaint}");
            SwitchReason::new(candidate.cause_of_leaving(), text)
        }
        None if !member.whole.has_path => member.whole.explain_leaving(held),
        None if !candidate.has_path => {
            let text = format!("{name}: {family} has no way out");
            SwitchReason::new(SwitchCause::Down, text)
        }
        None if candidate.tier != held.tier => {
            let text = format!("{name} is not of the tier of {}", held.name);
            SwitchReason::new(SwitchCause::Config, text)
        }
        None => candidate.explain_leaving(held),
    }
}
