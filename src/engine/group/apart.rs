//! Which uplink carries which family.
//!
//! The leader is elected as a whole, and carries both families as long as both work there. A family that does not,
//! or that has no way out there, is carried apart by the best other uplink by which it works, and comes back to the
//! leader by the rules of failback. Where it works nowhere it stays where it is. Where an operator has pinned the
//! traffic, a family goes apart only if the uplink has no way out for it.

use super::allocation::CarrierApart;
use super::draft::Draft;
use crate::engine::best_policy::BestPolicy;
use crate::engine::candidate::{Candidate, Fitness};
use crate::engine::election::{Elected, ElectionTerms, elect};
use crate::engine::event::cause::{SwitchCause, SwitchReason};
use crate::engine::ids::UplinkId;
use crate::engine::settings::{FailoverSettings, Policy};
use crate::routing::Family;
use crate::units::Tier;

/// In the election of one family, the uplink that carries the other is preferred to all others.
const TOGETHER: Tier = Tier(0);

/// Chooses the carrier of each family, and says why those move that do.
pub(super) fn choose_carriers(draft: &mut Draft<'_, '_>) -> Vec<SwitchReason> {
    let Some(leader) = draft.allocation.leader() else {
        draft.allocation.apart.clear();
        return Vec::new();
    };
    draft
        .allocation
        .apart
        .retain(|_, carrier| carrier.uplink != leader);
    let pinned = draft.member(leader).filter(|_| draft.is_held_by_pin());
    if pinned.is_some_and(|lead| lead.whole.fitness() == Fitness::Unusable) {
        return Vec::new();
    }
    let families = Family::ROUTED.into_iter();
    families
        .filter_map(|family| choose_for(draft, family, leader))
        .collect()
}

fn choose_for(draft: &mut Draft<'_, '_>, family: Family, leader: UplinkId) -> Option<SwitchReason> {
    let candidates = candidates_for(draft, family, leader);
    if !candidates.iter().any(|candidate| candidate.has_path) {
        return None;
    }
    if draft.is_held_by_pin() && draft.terms.ways.has(family, leader) {
        let apart = draft.allocation.apart.remove(&family);
        let reason = || {
            let text = format!("{family}: chosen by hand");
            SwitchReason::new(SwitchCause::Manual, text)
        };
        return apart.map(|_| reason());
    }
    let carrier = carrier_beside(draft, family, leader);
    let before = candidates.iter().find(|candidate| candidate.id == carrier);
    let has_way = before.is_some_and(|carrier| carrier.has_path);
    match elect_for(draft, family, leader, draft.terms.is_asked) {
        Elected::Stay { until } => {
            draft.look_again_at(until);
            None
        }
        Elected::NoneUsable => {
            // Without a way out there it went to the leader, and stays there.
            let apart = draft.allocation.apart.get(&family);
            let is_left = apart.is_some_and(|carrier| !carrier.is_adopted) && !has_way;
            if is_left && draft.terms.ways.has(family, leader) {
                draft.allocation.apart.remove(&family);
            }
            None
        }
        Elected::Move { to, reason } => {
            let reason = SwitchReason {
                text: explain_move(draft, family, carrier, before, &reason.text),
                ..reason
            };
            carry_apart(draft, family, to, leader);
            let due = elect_for(draft, family, leader, false).due();
            draft.look_again_at(due);
            Some(reason)
        }
    }
}

fn explain_move(
    draft: &Draft<'_, '_>,
    family: Family,
    carrier: UplinkId,
    before: Option<&Candidate<'_>>,
    reason: &str,
) -> String {
    let is_left = before.is_none_or(|before| before.fitness() == Fitness::Unusable);
    let has_way = before.is_some_and(|before| before.has_path);
    let left = draft.member(carrier).filter(|_| is_left);
    match left.map(|left| (left.whole.name, left.complaint_of(family))) {
        Some((name, Some(complaint))) => format!("{name}: {complaint}"),
        Some((name, None)) if !has_way => format!("{name}: {family} has no way out"),
        Some(_) | None => format!("{family}: {reason}"),
    }
}

fn elect_for(draft: &Draft<'_, '_>, family: Family, leader: UplinkId, is_asked: bool) -> Elected {
    let apart = draft.allocation.apart.get(&family);
    let terms = ElectionTerms {
        active: Some(carrier_beside(draft, family, leader)),
        is_adopted: apart.is_some_and(|carrier| carrier.is_adopted),
        chosen: None,
        is_pinned: false,
        is_asked,
        // A family comes back to the leader, however good another is.
        failover: FailoverSettings {
            policy: Policy::Failover,
            ..draft.terms.failover
        },
        best: &BestPolicy::default(),
    };
    elect(
        &candidates_for(draft, family, leader),
        terms,
        draft.terms.now,
    )
}

/// The uplink that is to carry a family, whether or not that has a way out there.
fn carrier_beside(draft: &Draft<'_, '_>, family: Family, leader: UplinkId) -> UplinkId {
    let apart = draft.allocation.apart.get(&family);
    apart.map_or(leader, |carrier| carrier.uplink)
}

fn candidates_for<'b>(
    draft: &Draft<'_, 'b>,
    family: Family,
    leader: UplinkId,
) -> Vec<Candidate<'b>> {
    let members = draft.members.iter();
    let candidates = members.map(|member| {
        let is_leader = member.id() == leader;
        let candidate = draft.candidate_for(family, member, is_leader);
        let tier = if is_leader { TOGETHER } else { candidate.tier };
        Candidate { tier, ..candidate }
    });
    candidates.collect()
}

fn carry_apart(draft: &mut Draft<'_, '_>, family: Family, uplink: UplinkId, leader: UplinkId) {
    if uplink == leader {
        draft.allocation.apart.remove(&family);
    } else {
        let is_adopted = false;
        let carrier = CarrierApart { uplink, is_adopted };
        draft.allocation.apart.insert(family, carrier);
    }
}
