//! Which uplinks carry the traffic of a group: one pure decision.
//!
//! One uplink leads (`lead`). It carries each family that is not carried apart (`apart`), and under
//! `balance` shares it with others (`sharing`).

use super::allocation::Allocation;
use super::draft::{AllocationTerms, Draft};
use super::lead::{LeadOutcome, choose_lead};
use super::member::Member;
use super::{apart, sharing};
use crate::engine::event::cause::SwitchReason;
use crate::engine::ids::UplinkId;
use crate::routing::Family;
use crate::units::Moment;

/// An allocation, and what was found on the way to it.
#[derive(Clone, Debug)]
pub struct AllocationDecision {
    /// Which uplinks carry the traffic from now on.
    pub allocation: Allocation,
    /// Why that is another allocation than before; empty if it is the same.
    pub reasons: Vec<SwitchReason>,
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
        LeadOutcome::Led { reason, is_usable } => (reason.into_iter().collect(), is_usable),
    };
    reasons.extend(apart::choose_carriers(&mut draft));
    let carried = Family::ROUTED.map(|family| (family, before.holders_of(family)));
    for reason in sharing::choose_sharers(&mut draft, &carried) {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    decided(draft, reasons, Some(is_usable))
}

fn decided(
    draft: Draft<'_, '_>,
    reasons: Vec<SwitchReason>,
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::allowance::AllowanceStanding;
    use crate::engine::best_policy::BestPolicy;
    use crate::engine::candidate::{Candidate, Role};
    use crate::engine::event::cause::SwitchCause;
    use crate::engine::family::FamilyOutlook;
    use crate::engine::group::allocation::Lead;
    use crate::engine::group::draft::ManualChoice;
    use crate::engine::group::member::Ways;
    use crate::engine::settings::{FailoverSettings, Policy, usual};
    use crate::engine::state::State;
    use crate::units::{Tier, UplinkName};

    const FIBER: UplinkId = UplinkId::new(0);
    const LTE: UplinkId = UplinkId::new(1);
    const DSL: UplinkId = UplinkId::new(2);

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    fn names() -> [UplinkName; 3] {
        ["fiber", "lte", "dsl"].map(|name| name.parse().expect("a name"))
    }

    /// Uplinks of tiers in this order, in these states for a minute, with both families.
    fn members<'a>(names: &'a [UplinkName], states: &[State]) -> Vec<Member<'a>> {
        let outlook = FamilyOutlook {
            state: None,
            well_since: None,
            way_since: Some(at(0)),
            has_failed: false,
            complaint: None,
        };
        let member = |(place, (name, state)): (usize, (&'a UplinkName, &State))| Member {
            whole: Candidate {
                id: UplinkId::new(place),
                name,
                tier: Tier(1),
                state: *state,
                well_since: at(0),
                has_path: true,
                has_failed: *state != State::Up,
                is_suspected: false,
                suppressed_until: None,
                role: Role::Aside,
                score: None,
                delivery: None,
                switch_points: 0.0,
                allowance: AllowanceStanding::Free,
                reason: "no answer",
            },
            outlooks: [outlook; Family::ROUTED.len()],
            tier: Tier(u16::try_from(place + 1).expect("a tier")),
            score: None,
            suppressed_until: None,
            silent_with: Vec::new(),
        };
        let states = names.iter().zip(states);
        states.enumerate().map(member).collect()
    }

    fn failover(policy: Policy) -> FailoverSettings {
        FailoverSettings {
            policy,
            failback_after: Duration::from_secs(100),
            ..usual::failover()
        }
    }

    /// The decision of a group that is led by `leader`, a minute after the start.
    fn decide(
        leader: Option<UplinkId>,
        members: Vec<Member<'_>>,
        by_hand: Option<ManualChoice>,
        refuge: Option<&[UplinkId]>,
        policy: Policy,
    ) -> AllocationDecision {
        let lead = leader.map_or(Lead::Vacant, |uplink| Lead::By {
            uplink,
            since: at(1),
            is_adopted: false,
        });
        let ways: Ways = [[true; Family::ROUTED.len()]; 3].into_iter().collect();
        let terms = AllocationTerms {
            failover: failover(policy),
            by_hand,
            is_asked: false,
            best: &BestPolicy::default(),
            refuge,
            refuses: false,
            ways: &ways,
            now: at(60),
        };
        allocate(&Allocation::of(lead), terms, members)
    }

    #[test]
    fn the_traffic_leaves_an_uplink_that_is_down_for_the_next_tier_and_says_why() {
        let names = names();
        let members = members(&names, &[State::Down, State::Up, State::Up]);
        let decision = decide(Some(FIBER), members, None, None, Policy::Failover);
        assert_eq!(decision.allocation.leader(), Some(LTE));
        assert_eq!(decision.allocation.since(), Some(at(60)));
        assert_eq!(decision.is_usable, Some(true));
        let reason = SwitchReason::new(SwitchCause::Down, "fiber down: no answer");
        assert_eq!(decision.reasons, [reason]);
    }

    #[test]
    fn a_preferred_uplink_that_failed_is_waited_for_until_failback_after() {
        let names = names();
        let mut members = members(&names, &[State::Up, State::Up]);
        members[0].whole.has_failed = true;
        let decision = decide(Some(LTE), members, None, None, Policy::Failover);
        assert_eq!(decision.allocation.leader(), Some(LTE));
        assert!(decision.reasons.is_empty(), "{:?}", decision.reasons);
        assert_eq!(decision.look_again, Some(at(100)));
    }

    #[test]
    fn where_no_uplink_is_usable_the_traffic_stays_or_goes_with_a_usable_default_group() {
        let names = names();
        let down = || members(&names, &[State::Down, State::Down]);
        let stays = decide(Some(FIBER), down(), None, None, Policy::Failover);
        assert_eq!(stays.allocation.leader(), Some(FIBER));
        assert_eq!(stays.is_usable, Some(false));
        let goes = decide(Some(FIBER), down(), None, Some(&[DSL]), Policy::Failover);
        assert_eq!(goes.allocation, Allocation::of(Lead::WithDefault));
        assert_eq!(goes.reasons.len(), 1);
    }

    #[test]
    fn nothing_is_decided_while_all_usable_uplinks_are_as_silent_as_the_dead_leader() {
        let names = names();
        let mut members = members(&names, &[State::Down, State::Up]);
        members[0].silent_with = vec![LTE];
        let decision = decide(Some(FIBER), members, None, None, Policy::Failover);
        assert!(decision.is_undecided);
        assert_eq!(decision.allocation.leader(), Some(FIBER));
        assert_eq!(decision.is_usable, None);
    }

    #[test]
    fn a_pinned_uplink_leads_even_when_it_is_down_and_a_chosen_one_only_while_it_is_usable() {
        let names = names();
        for (is_pinned, leader) in [(true, LTE), (false, FIBER)] {
            let members = members(&names, &[State::Up, State::Down]);
            let by_hand = Some(ManualChoice {
                uplink: LTE,
                is_pinned,
            });
            let decision = decide(Some(LTE), members, by_hand, None, Policy::Failover);
            assert_eq!(decision.allocation.leader(), Some(leader));
        }
    }

    #[test]
    fn under_balance_the_healthy_uplinks_of_the_best_tier_share_each_family() {
        let names = names();
        let mut members = members(&names, &[State::Up, State::Up, State::Down]);
        for member in &mut members {
            member.tier = Tier(1);
        }
        let decision = decide(Some(FIBER), members, None, None, Policy::Balance);
        let ways: Ways = [[true; Family::ROUTED.len()]; 3].into_iter().collect();
        for family in Family::ROUTED {
            let carriers = decision.allocation.carriers_of(family, &ways);
            assert_eq!(carriers, [FIBER, LTE]);
        }
    }

    #[test]
    fn a_broken_family_is_carried_apart_and_the_leader_keeps_the_other() {
        let names = names();
        let mut members = members(&names, &[State::Up, State::Up]);
        let outlook = &mut members[0].outlooks[Family::Ipv6 as usize];
        outlook.state = Some(State::Down);
        outlook.complaint = Some("ipv6 does not answer");
        let decision = decide(Some(FIBER), members, None, None, Policy::Failover);
        assert_eq!(decision.allocation.leader(), Some(FIBER));
        let apart = decision.allocation.apart.get(&Family::Ipv6);
        assert_eq!(apart.map(|carrier| carrier.uplink), Some(LTE));
        assert!(!decision.allocation.apart.contains_key(&Family::Ipv4));
    }
}
