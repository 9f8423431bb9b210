//! Which uplinks carry the traffic of a group: one pure decision.
//!
//! One uplink leads (`lead`). It carries each family that is not carried apart (`apart`), and under
//! `balance` shares it with others (`sharing`).

use super::allocation::Allocation;
use super::draft::{AllocationTerms, Draft};
use super::lead::{LeadOutcome, choose_lead};
use super::member::Member;
use super::{apart, sharing};
use crate::engine::ids::UplinkId;
use crate::routing::Family;
use crate::units::Moment;

/// An allocation, and what was found on the way to it.
#[derive(Clone, Debug)]
pub struct AllocationDecision {
    /// Which uplinks carry the traffic from now on.
    pub allocation: Allocation,
    /// Why that is another allocation than before; empty if it is the same.
    pub reasons: Vec<String>,
    /// Whether any uplink of the group is usable; none while that cannot be known.
    pub is_usable: Option<bool>,
    /// When to decide again at the latest.
    pub look_again: Option<Moment>,
    /// Uplinks that look better than a carrier have been as silent as it since it died.
    pub is_undecided: bool,
    /// Preferred uplinks that were not chosen because they miss probes at the moment.
    pub passed_over: Vec<UplinkId>,
}

/// Decides which of `members`, which stand in the order of the configuration, carry the traffic that is carried as
/// in `before`.
pub fn allocate(
    before: &Allocation,
    terms: AllocationTerms<'_>,
    members: Vec<Member<'_>>,
) -> AllocationDecision {
    let mut draft = Draft {
        allocation: before.clone(),
        terms,
        members,
        look_again: None,
        is_undecided: false,
        passed_over: Vec::new(),
    };
    let (mut reasons, is_usable) = match choose_lead(&mut draft) {
        LeadOutcome::Undecided => return decided(draft, Vec::new(), None),
        LeadOutcome::GoesWithDefault(reason) => return decided(draft, vec![reason], Some(false)),
        LeadOutcome::NoneUsable => (Vec::new(), false),
        LeadOutcome::Led { reason } => (reason.into_iter().collect(), true),
    };
    reasons.extend(apart::choose_carriers(&mut draft));
    let carried = Family::ROUTED.map(|family| (family, before.carriers_of(family, terms.ways)));
    for reason in sharing::choose_sharers(&mut draft, &carried) {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    decided(draft, reasons, Some(is_usable))
}

fn decided(
    draft: Draft<'_, '_>,
    reasons: Vec<String>,
    is_usable: Option<bool>,
) -> AllocationDecision {
    AllocationDecision {
        allocation: draft.allocation,
        reasons,
        is_usable,
        look_again: draft.look_again,
        is_undecided: draft.is_undecided,
        passed_over: draft.passed_over,
    }
}
