//! An allocation on its way: what it is decided by, and how its uplinks look while it is.

use super::allocation::Allocation;
use super::member::{Member, Ways};
use crate::engine::best_policy::BestPolicy;
use crate::engine::candidate::{Candidate, Role};
use crate::engine::election::ElectionTerms;
use crate::engine::ids::UplinkId;
use crate::engine::settings::FailoverSettings;
use crate::routing::Family;
use crate::units::Moment;

/// What an allocation is decided by, beside the uplinks.
#[derive(Clone, Copy, Debug)]
pub struct AllocationTerms<'a> {
    /// The policy of the group, and the waits of all.
    pub failover: FailoverSettings,
    /// The uplink that an operator chose.
    pub by_hand: Option<ManualChoice>,
    /// An operator orders the best uplinks there are now, without any wait.
    pub is_asked: bool,
    /// Which uplinks have been better for long.
    pub best: &'a BestPolicy,
    /// The uplinks of the default group, for a group of the configuration, if they are usable.
    pub refuge: Option<&'a [UplinkId]>,
    /// The traffic of the group is refused while none of its uplinks is usable.
    pub refuses: bool,
    /// By which families each uplink has a way out.
    pub ways: &'a Ways,
    /// The present.
    pub now: Moment,
}

/// The uplink that an operator sent the traffic to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManualChoice {
    /// Which uplink.
    pub uplink: UplinkId,
    /// It is not left even when it is of no use.
    pub is_pinned: bool,
}

/// An allocation on its way.
pub(super) struct Draft<'a, 'b> {
    pub(super) allocation: Allocation,
    pub(super) terms: AllocationTerms<'a>,
    pub(super) members: Vec<Member<'b>>,
    pub(super) look_again: Option<Moment>,
    pub(super) is_undecided: bool,
    pub(super) passed_over: Vec<UplinkId>,
}

impl<'b> Draft<'_, 'b> {
    pub(super) fn member(&self, id: UplinkId) -> Option<&Member<'b>> {
        self.members.iter().find(|member| member.id() == id)
    }

    pub(super) fn candidate(&self, member: &Member<'b>) -> Candidate<'b> {
        let sharers = self.allocation.sharers.values().flatten().copied();
        let apart = self.allocation.apart.values().map(|carrier| carrier.uplink);
        Candidate {
            role: role(sharers.chain(apart).any(|carries| carries == member.id())),
            ..member.candidate().chosen_by_hand(self.is_chosen(member))
        }
    }

    pub(super) fn candidate_for(
        &self,
        family: Family,
        member: &Member<'b>,
        is_leader: bool,
    ) -> Candidate<'b> {
        let sharers = self.allocation.sharers.get(&family);
        Candidate {
            role: role(sharers.is_some_and(|sharers| sharers.contains(&member.id()))),
            ..{ member.candidate_for(family, is_leader) }.chosen_by_hand(self.is_chosen(member))
        }
    }

    fn is_chosen(&self, member: &Member<'b>) -> bool {
        self.terms
            .by_hand
            .is_some_and(|choice| choice.uplink == member.id())
    }

    /// What the leader is elected by.
    pub(super) fn election(&self) -> ElectionTerms<'_> {
        let AllocationTerms {
            failover,
            by_hand,
            is_asked,
            best,
            ..
        } = self.terms;
        ElectionTerms {
            is_asked,
            ..election_terms(&self.allocation, by_hand, failover, best)
        }
    }

    /// The uplink that an operator chose leads.
    pub(super) fn is_led_by_hand(&self) -> bool {
        let chosen = self.terms.by_hand.map(|choice| choice.uplink);
        chosen.is_some() && chosen == self.allocation.leader()
    }

    /// The traffic is where an operator pinned it.
    pub(super) fn is_held_by_pin(&self) -> bool {
        self.is_led_by_hand() && self.terms.by_hand.is_some_and(|choice| choice.is_pinned)
    }

    /// Decide again then at the latest.
    pub(super) fn look_again_at(&mut self, then: Option<Moment>) {
        self.look_again = self.look_again.into_iter().chain(then).min();
    }
}

/// What the leader is elected by, while no operator asks for the best uplink.
pub(super) fn election_terms<'a>(
    allocation: &Allocation,
    by_hand: Option<ManualChoice>,
    failover: FailoverSettings,
    best: &'a BestPolicy,
) -> ElectionTerms<'a> {
    ElectionTerms {
        active: allocation.leader(),
        is_adopted: allocation.is_adopted(),
        chosen: by_hand.map(|choice| choice.uplink),
        is_pinned: by_hand.is_some_and(|choice| choice.is_pinned),
        is_asked: false,
        failover,
        best,
    }
}

fn role(carries: bool) -> Role {
    if carries { Role::Sharing } else { Role::Aside }
}
