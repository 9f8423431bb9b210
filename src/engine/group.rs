//! A group of traffic, and which of its uplinks carry it.
//!
//! What no rule claims is a group too, the *default group*: it has all uplinks, in the order of their tiers. Each
//! group of the configuration has the uplinks that it lists: under `failover` in the order of the list, under `best`
//! and `balance` all of equal rank. Which of them carry the traffic is one decision ([`allocate()`]); a group
//! remembers the last one.

mod adopt;
pub mod allocate;
pub mod allocation;
mod apart;
pub mod carriers;
pub mod draft;
mod lead;
pub mod member;
mod sharing;
pub mod switch;
pub mod waits;

use super::best_policy::BestPolicy;
use super::candidate::Candidate;
use super::common_outage::as_silent_as;
use super::damping::Flaps;
use super::event::Event;
use super::event::cause::{SwitchCause, SwitchReason};
use super::ids::UplinkId;
use super::settings::{FailoverSettings, GroupSettings, Policy, WhenNone};
use super::state::State;
use super::status::{GroupStatus, LastSwitch};
use super::uplink::Uplink;
use crate::routing::Family;
use crate::routing::desired::Carrying;
use crate::units::sorted::SortedMap;
use crate::units::{GroupName, Moment, Tier, UplinkName, Wall};
use allocate::allocate;
use allocation::{Allocation, Lead};
use carriers::{GroupCarriers, names, paths};
use draft::{AllocationTerms, ManualChoice, election_terms};
use member::{Member, Ways};
use switch::{DefaultGroupState, Switch, go_with_default};
use waits::{WaitingUplink, waits};

/// A group and what carries it.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// None: the default group.
    name: Option<GroupName>,
    policy: Policy,
    /// None: all uplinks, by their tiers.
    members: Option<Vec<UplinkId>>,
    /// Its traffic is refused while none of its uplinks is usable.
    refuses: bool,
    allocation: Allocation,
    /// What the last decision came to, be it with the default group.
    carriers: GroupCarriers,
    best: BestPolicy,
    by_hand: Option<ManualChoice>,
    /// What an uplink that a reload removed still carries, until there is a successor.
    leaving: Carrying,
    last_switch: Option<Switch>,
    look_again: Option<Moment>,
    /// Uplinks that look better than a carrier have been as silent as it since it died.
    is_undecided: bool,
}

/// The traffic that an operator sends to the best uplinks there are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AskedFor {
    Nothing,
    Default,
    Everything,
}

/// What a group decides by, beside what it remembers.
#[derive(Clone, Copy)]
pub(super) struct GroupView<'a> {
    pub(super) uplinks: &'a [Uplink],
    pub(super) flaps: &'a Flaps,
    pub(super) failover: FailoverSettings,
    /// The uplink whose path fails on purpose.
    pub(super) drilled: Option<UplinkId>,
    pub(super) now: Moment,
}

/// What a decision came to.
pub(super) struct GroupOutcome {
    /// The traffic moved, in whole or in part.
    pub(super) switches: Vec<Switch>,
    /// Whether any uplink is usable; none while that cannot be known.
    pub(super) is_usable: Option<bool>,
    /// Preferred uplinks that were not chosen because they miss probes at the moment.
    pub(super) passed_over: Vec<UplinkId>,
}

impl Group {
    /// The group of what no rule claims.
    pub(super) fn default_group(policy: Policy) -> Self {
        Self {
            name: None,
            policy,
            members: None,
            refuses: false,
            allocation: Allocation::of(Lead::Vacant),
            carriers: GroupCarriers::default(),
            best: BestPolicy::default(),
            by_hand: None,
            leaving: Carrying::new(),
            last_switch: None,
            look_again: None,
            is_undecided: false,
        }
    }

    /// A group of the configuration, with the uplinks that it lists. `carriers`: what carries the default group, with
    /// which its traffic goes.
    pub(super) fn new(
        settings: &GroupSettings,
        members: Vec<UplinkId>,
        carriers: GroupCarriers,
    ) -> Self {
        Self {
            name: Some(settings.name.clone()),
            members: Some(members),
            refuses: settings.when_none == WhenNone::Drop,
            allocation: Allocation::of(Lead::WithDefault),
            carriers,
            ..Self::default_group(settings.policy)
        }
    }

    pub(super) fn name(&self) -> Option<&GroupName> {
        self.name.as_ref()
    }

    pub(super) fn policy(&self) -> Policy {
        self.policy
    }

    /// The uplink that leads; none while the group goes with the default group.
    pub(super) fn leader(&self) -> Option<UplinkId> {
        self.allocation.leader()
    }

    /// Its traffic is refused.
    pub(super) fn is_refused(&self) -> bool {
        self.refuses && self.leader().is_none()
    }

    pub(super) fn refuses(&self) -> bool {
        self.refuses
    }

    pub(super) fn since(&self) -> Option<Moment> {
        self.allocation.since()
    }

    /// The uplink that an operator chose.
    pub(super) fn by_hand(&self) -> Option<ManualChoice> {
        self.by_hand
    }

    pub(super) fn set_by_hand(&mut self, choice: Option<ManualChoice>) {
        self.by_hand = choice;
    }

    pub(super) fn is_chosen(&self, uplink: UplinkId) -> bool {
        self.by_hand.is_some_and(|choice| choice.uplink == uplink)
    }

    pub(super) fn has_switched(&self) -> bool {
        self.last_switch.is_some()
    }

    /// When to decide again at the latest.
    pub(super) fn look_again(&self) -> Option<Moment> {
        self.look_again
    }

    pub(super) fn look_again_at(&mut self, then: Moment) {
        self.look_again = Some(then);
    }

    /// It should decide again, even if nothing has happened.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.is_undecided || self.look_again.is_some_and(|at| at <= now)
    }

    pub(super) fn last_switch(&self, wall: Wall) -> Option<LastSwitch> {
        self.last_switch.as_ref().map(|switch| switch.status(wall))
    }

    /// The read model; `active` is what carries it, be it with the default group. None of that itself.
    pub(super) fn status(
        &self,
        active: Vec<UplinkName>,
        uplinks: &[Uplink],
        wall: Wall,
    ) -> Option<GroupStatus> {
        Some(GroupStatus {
            name: self.name.clone()?,
            policy: self.policy,
            active,
            with_rest: self.leader().is_none() && !self.refuses,
            refused: self.is_refused(),
            since: self.since().map(|since| wall.at(since)),
            uplinks: names(self.members.as_deref().unwrap_or_default(), uplinks),
        })
    }

    /// The rank of an uplink in the order of preference; none if it does not belong here.
    pub(super) fn tier_of(&self, uplink: &Uplink) -> Option<Tier> {
        let Some(members) = &self.members else {
            return Some(uplink.settings().tier);
        };
        let place = members.iter().position(|id| *id == uplink.id())?;
        match self.policy {
            Policy::Failover => Some(Tier(u16::try_from(place + 1).unwrap_or(u16::MAX))),
            Policy::Best | Policy::Balance => Some(Tier(1)),
        }
    }

    /// Uplinks have other names now.
    pub(super) fn rename(&mut self, renamed: &[(UplinkName, UplinkName)]) {
        self.carriers.rename(renamed);
    }

    /// A reload has removed it: its traffic goes with the default group, which these carry.
    pub(super) fn dissolve(self, default_group: &GroupCarriers, now: Moment) -> Vec<Event> {
        let moves = self.carriers.moves_to(default_group).into_iter();
        let switches = moves.map(|moved| Switch {
            at: now,
            moved,
            active: default_group.all().to_vec(),
            reason: SwitchReason::new(
                SwitchCause::Config,
                "the group was removed, its traffic goes with the default group",
            ),
            outage_ms: None,
        });
        let events = switches.map(|switch| switch.event(self.name.clone()));
        events.collect()
    }

    /// Uplinks have other places now, or are gone; the group has other settings. `carrying`: what it still carries
    /// until there is a successor, if its leader is gone.
    pub(super) fn adapt(
        &mut self,
        settings: Option<&GroupSettings>,
        policy: Policy,
        members: Option<Vec<UplinkId>>,
        carrying: Carrying,
        new_id: impl Fn(UplinkId) -> Option<UplinkId>,
    ) {
        let is_member = |id: &UplinkId| {
            let members = members.as_ref();
            members.is_none_or(|members| members.contains(id))
        };
        let new_id = |old: UplinkId| new_id(old).filter(is_member);
        let best = std::mem::take(&mut self.best);
        if policy == self.policy {
            self.best = best.renumbered(new_id);
        }
        self.by_hand = self.by_hand.and_then(|choice| {
            let uplink = new_id(choice.uplink)?;
            Some(ManualChoice { uplink, ..choice })
        });
        let vacant = if self.name.is_some() {
            Lead::WithDefault
        } else {
            Lead::Vacant
        };
        self.allocation = self.allocation.clone().renumbered(vacant, new_id);
        if self.leader().is_none() {
            self.leaving = carrying;
        }
        (self.policy, self.members) = (policy, members);
        self.refuses = settings.is_some_and(|group| group.when_none == WhenNone::Drop);
    }

    fn members<'a>(&self, view: GroupView<'a>) -> Vec<Member<'a>> {
        let leader = self.leader().and_then(|id| view.uplinks.get(id.index()));
        let is_degraded = leader.is_some_and(|leader| leader.state() == State::Degraded);
        let uplinks = view.uplinks.iter();
        uplinks
            .filter_map(|uplink| {
                let is_compared = is_degraded || self.policy == Policy::Best;
                let score = is_compared.then(|| uplink.lasting_score()).flatten();
                Some(Member {
                    tier: self.tier_of(uplink)?,
                    whole: Candidate {
                        delivery: score.filter(|_| is_degraded).map(|score| score.delivery),
                        ..uplink.candidate()
                    },
                    outlooks: Family::ROUTED.map(|family| uplink.outlook(family)),
                    score: match self.policy {
                        Policy::Best => score.map(|score| score.whole),
                        Policy::Failover | Policy::Balance => None,
                    },
                    suppressed_until: view.flaps.suppressed_until(uplink.id()),
                    silent_with: as_silent_as(uplink, view.uplinks),
                })
            })
            .collect()
    }

    /// Why uplinks that are well and preferred to the leader do not carry, and until when.
    pub(super) fn waits(&self, view: GroupView<'_>) -> Vec<WaitingUplink> {
        let failover = self.failover(view);
        let terms = election_terms(&self.allocation, self.by_hand, failover, &self.best);
        let carriers = self.carriers(view.uplinks);
        waits(terms, &self.members(view), &carriers, view.now)
    }

    fn failover(&self, view: GroupView<'_>) -> FailoverSettings {
        FailoverSettings {
            policy: self.policy,
            ..view.failover
        }
    }

    /// Whether a rival of the uplink that leads has proven to be better.
    pub(super) fn has_better_rival(&mut self, view: GroupView<'_>) -> bool {
        match (self.policy, self.leader()) {
            (Policy::Best, Some(leader)) if self.best.is_due(view.now) => {
                let members = self.members(view);
                let candidates: Vec<Candidate<'_>> =
                    members.iter().map(Member::candidate).collect();
                let best = view.failover.best;
                self.best.observe(&candidates, leader, best, view.now)
            }
            (Policy::Best | Policy::Failover | Policy::Balance, _) => false,
        }
    }

    /// Decides which uplinks carry the traffic; `default_group` for a group of the configuration.
    pub(super) fn decide(
        &mut self,
        view: GroupView<'_>,
        is_asked: bool,
        default_group: Option<&DefaultGroupState>,
    ) -> GroupOutcome {
        let refusal = self.refuses.then(DefaultGroupState::refusal);
        let default_group = refusal.as_ref().or(default_group);
        let ways = &Ways::of(view.uplinks);
        let terms = AllocationTerms {
            is_asked,
            refuge: default_group.and_then(|group| group.refuge.as_deref()),
            ..self.terms(view, ways)
        };
        let decision = allocate(&self.allocation, terms, self.members(view));
        self.allocation = decision.allocation;
        self.look_again = decision.look_again;
        self.is_undecided = decision.is_undecided;
        if self.leader().is_some() {
            self.leaving.clear();
        }
        GroupOutcome {
            switches: self.switches(view, &decision.reasons, default_group),
            is_usable: decision.is_usable,
            passed_over: decision.passed_over,
        }
    }

    fn terms<'a>(&'a self, view: GroupView<'_>, ways: &'a Ways) -> AllocationTerms<'a> {
        AllocationTerms {
            failover: self.failover(view),
            by_hand: self.by_hand,
            is_asked: false,
            best: &self.best,
            refuge: None,
            refuses: self.refuses,
            ways,
            now: view.now,
        }
    }

    /// What would carry each family if these families of its uplinks did not work. An operator's pin stays.
    pub(super) fn carriers_without(
        &self,
        view: GroupView<'_>,
        is_out: impl Fn(&Uplink, Family) -> bool,
    ) -> [Vec<UplinkId>; Family::ROUTED.len()] {
        self.carriers_by_choice(view, (self.by_hand, false), is_out)
    }

    /// The same if an operator had chosen this uplink, or asked for the best ones.
    pub(super) fn carriers_by_choice(
        &self,
        view: GroupView<'_>,
        (by_hand, is_asked): (Option<ManualChoice>, bool),
        is_out: impl Fn(&Uplink, Family) -> bool,
    ) -> [Vec<UplinkId>; Family::ROUTED.len()] {
        let ways = &Ways::of(view.uplinks);
        let mut members = self.members(view);
        for member in &mut members {
            let uplink = &view.uplinks[member.id().index()];
            member.suppose(|family| is_out(uplink, family), ways);
        }
        let terms = AllocationTerms {
            by_hand,
            is_asked,
            ..self.terms(view, ways)
        };
        let decision = allocate(&self.allocation, terms, members);
        Family::ROUTED.map(|family| decision.allocation.carriers_of(family, ways))
    }

    /// What has moved since the last decision, by the present one, which may have no reason.
    fn switches(
        &mut self,
        view: GroupView<'_>,
        reasons: &[SwitchReason],
        default_group: Option<&DefaultGroupState>,
    ) -> Vec<Switch> {
        let after = self.carriers_by(view.uplinks, default_group.map(|group| &group.carriers));
        let before = std::mem::replace(&mut self.carriers, after);
        let reason = SwitchReason::joined(reasons);
        let drilled = view
            .drilled
            .map(|id| &view.uplinks[id.index()].settings().name);
        let is_member = |uplink: &Uplink| self.tier_of(uplink).is_some();
        let moves = before.moves_to(&self.carriers).into_iter();
        let switches = moves.map(|moved| Switch {
            at: view.now,
            active: self.carriers.all().to_vec(),
            reason: {
                let reason = match (&reason, self.leader()) {
                    (None, None) => go_with_default(default_group),
                    (None, Some(_)) => moved.explain(view.uplinks, is_member),
                    (Some(reason), _) => reason.clone().of_move_from(&moved.from),
                };
                match drilled {
                    Some(drilled) => reason.in_drill(drilled, &moved.from, &moved.to),
                    None => reason,
                }
            },
            outage_ms: moved.outage_ms(view.uplinks, view.now),
            moved,
        });
        let switches: Vec<_> = switches.collect();
        self.last_switch = switches.last().cloned().or_else(|| self.last_switch.take());
        switches
    }

    /// What carries each family of it, by its allocation: where nothing leads, the default group or what did before.
    fn carriers_by(
        &self,
        uplinks: &[Uplink],
        default_group: Option<&GroupCarriers>,
    ) -> GroupCarriers {
        match self.allocation.lead {
            Lead::By { .. } => GroupCarriers::of(&self.allocation, self.policy, uplinks),
            Lead::Vacant => self.carriers.clone(),
            Lead::WithDefault => default_group.unwrap_or(&self.carriers).clone(),
        }
    }

    /// What carried each family of it at the last decision, be it with the default group.
    pub(super) fn last_carriers(&self) -> &GroupCarriers {
        &self.carriers
    }

    /// The uplinks that carry it; none while it goes with the default group.
    pub(super) fn carriers(&self, uplinks: &[Uplink]) -> Vec<UplinkId> {
        self.allocation.carriers(self.policy, &Ways::of(uplinks))
    }

    /// The uplinks that carry a family of it.
    pub(super) fn carriers_of(&self, family: Family, uplinks: &[Uplink]) -> Vec<UplinkId> {
        self.allocation.carriers_of(family, &Ways::of(uplinks))
    }

    /// What the kernel is to hold of all this. Of several that carry a family each has its weight.
    pub(super) fn carrying(&self, uplinks: &[Uplink]) -> Carrying {
        if self.leader().is_none() {
            return self.leaving.clone();
        }
        let families = Family::ROUTED.into_iter().filter_map(|family| {
            let paths = paths(&self.carriers_of(family, uplinks), family, uplinks);
            (!paths.is_empty()).then_some((family, paths))
        });
        families.collect::<SortedMap<_, _>>()
    }
}
