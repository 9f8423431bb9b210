//! A group of traffic, and which of its uplinks carry it.
//!
//! What no rule claims is a group too, the *rest*: it has all uplinks, in the order of their tiers. Each
//! group of the configuration has the uplinks that it lists: under `failover` in the order of the list,
//! under `best` and `balance` all of equal rank.
//!
//! In a group one uplink leads ([`crate::engine::election`]). It carries each family that is not
//! carried apart, and under `balance` shares it with others.
//!
//! A group none of whose uplinks is usable goes with the rest, if that has one that is, and takes up
//! its own again by the rules of failback: nobody is cut off for want of a favourite. If nobody has any,
//! the traffic stays where it is.

mod families;
mod sharing;

use std::collections::{BTreeMap, BTreeSet};

use super::common_outage::as_silent_as;
use super::contest::Contest;
use super::damping::Flaps;
use super::election::{Candidate, Choice, Fitness, Terms, elect};
use super::settings::{FailoverSettings, GroupSettings, Policy};
use super::status::{GroupStatus, LastSwitch};
use super::uplink::Uplink;
use crate::routing::Family;
use crate::routing::desired::Carrying;
use crate::units::{GroupName, Moment, Tier, UplinkName, Wall};
use families::Apart;

/// A group and who carries it.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// None: the rest.
    name: Option<GroupName>,
    policy: Policy,
    /// None: all uplinks, by their tiers.
    members: Option<Vec<UplinkName>>,
    active: Option<Active>,
    apart: Apart,
    /// Who carries a family beside the one that it is led to.
    sharers: BTreeMap<Family, BTreeSet<UplinkName>>,
    contest: Contest,
    /// What an uplink that a reload removed still carries, until there is a successor.
    leaving: Carrying,
    chosen: Option<UplinkName>,
    /// What was chosen is not left even when it is of no use.
    is_pinned: bool,
    last_switch: Option<Switch>,
    look_again: Option<Moment>,
    /// Some that look better than the carrier have been as silent as it since it died.
    is_undecided: bool,
}

/// Who leads.
#[derive(Clone, Debug)]
struct Active {
    uplink: UplinkName,
    since: Moment,
    is_adopted: bool,
}

/// The traffic went another way.
#[derive(Clone, Debug)]
pub(super) struct Switch {
    pub(super) at: Moment,
    pub(super) from: Vec<UplinkName>,
    pub(super) to: Vec<UplinkName>,
    pub(super) reason: String,
}

/// For which traffic a person asks for the best choice there is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    None,
    Rest,
    All,
}

/// What a group decides by, beside what it remembers.
pub(super) struct Around<'a> {
    pub(super) uplinks: &'a mut [Uplink],
    pub(super) flaps: &'a Flaps,
    pub(super) failover: FailoverSettings,
    pub(super) is_asked: bool,
    /// For a group of the configuration, who carries the rest, if they are usable.
    pub(super) refuge: Option<Vec<UplinkName>>,
}

/// What an election came to.
#[derive(Default)]
pub(super) struct Outcome {
    /// The traffic moved, in whole or in part.
    pub(super) switch: Option<Switch>,
    /// Whether any uplink is usable; none while nobody can tell.
    pub(super) is_usable: Option<bool>,
}

impl Group {
    /// The rest of the traffic.
    pub(super) fn rest(policy: Policy) -> Self {
        Self {
            name: None,
            policy,
            members: None,
            active: None,
            apart: Apart::new(),
            sharers: BTreeMap::new(),
            contest: Contest::default(),
            leaving: Carrying::new(),
            chosen: None,
            is_pinned: false,
            last_switch: None,
            look_again: None,
            is_undecided: false,
        }
    }

    pub(super) fn new(settings: &GroupSettings) -> Self {
        Self {
            name: Some(settings.name.clone()),
            members: Some(settings.uplinks.clone()),
            ..Self::rest(settings.policy)
        }
    }

    pub(super) fn name(&self) -> Option<&GroupName> {
        self.name.as_ref()
    }

    pub(super) fn policy(&self) -> Policy {
        self.policy
    }

    /// Who leads; none while a group goes with the rest.
    pub(super) fn leader(&self) -> Option<&UplinkName> {
        self.active.as_ref().map(|active| &active.uplink)
    }

    pub(super) fn since(&self) -> Option<Moment> {
        self.active.as_ref().map(|active| active.since)
    }

    pub(super) fn chosen(&self) -> Option<&UplinkName> {
        self.chosen.as_ref()
    }

    pub(super) fn choose_by_hand(&mut self, uplink: UplinkName, is_pinned: bool) {
        self.chosen = Some(uplink);
        self.is_pinned = is_pinned;
    }

    pub(super) fn choose_by_itself(&mut self) {
        self.chosen = None;
        self.is_pinned = false;
    }

    /// The traffic is where it was pinned.
    pub(super) fn is_held_by_pin(&self) -> bool {
        self.is_pinned && self.chosen.is_some() && self.chosen.as_ref() == self.leader()
    }

    pub(super) fn is_pinned(&self) -> bool {
        self.is_pinned
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
        self.last_switch.as_ref().map(|switch| LastSwitch {
            at: wall.at(switch.at),
            from: switch.from.clone(),
            to: switch.to.clone(),
            reason: switch.reason.clone(),
        })
    }

    /// The read model; `active` is who carries it, be it with the rest. None of the rest itself.
    pub(super) fn status(&self, active: Vec<UplinkName>, wall: Wall) -> Option<GroupStatus> {
        Some(GroupStatus {
            name: self.name.clone()?,
            policy: self.policy,
            active,
            with_rest: self.active.is_none(),
            since: self.since().map(|since| wall.at(since)),
            uplinks: self.members.clone().unwrap_or_default(),
        })
    }

    /// The rank of an uplink in the order of preference; none if it does not belong here.
    pub(super) fn tier_of(&self, uplink: &Uplink) -> Option<Tier> {
        let settings = uplink.settings();
        let Some(members) = &self.members else {
            return Some(settings.tier);
        };
        let place = members.iter().position(|name| *name == settings.name)?;
        match self.policy {
            Policy::Failover => Some(Tier(u16::try_from(place + 1).unwrap_or(u16::MAX))),
            Policy::Best | Policy::Balance => Some(Tier(1)),
        }
    }

    /// Goes on as an earlier run left the traffic.
    pub(super) fn adopt(&mut self, uplink: &Uplink, now: Moment) {
        if self.active.is_none() && self.tier_of(uplink).is_some() {
            self.active = Some(Active {
                uplink: uplink.settings().name.clone(),
                since: now,
                is_adopted: true,
            });
        }
    }

    /// Uplinks have other names now, or are gone; a group has other settings.
    pub(super) fn adapt(
        &mut self,
        policy: Policy,
        members: Option<Vec<UplinkName>>,
        carrying: Carrying,
        new_name: impl Fn(&UplinkName) -> Option<UplinkName>,
    ) {
        if policy != self.policy {
            self.contest = Contest::default();
        }
        self.policy = policy;
        self.members = members;
        let is_member = |uplink: &UplinkName| {
            let members = self.members.as_ref();
            members.is_none_or(|members| members.contains(uplink))
        };
        let new_name = |old: &UplinkName| new_name(old).filter(is_member);
        self.chosen = self.chosen.as_ref().and_then(new_name);
        self.is_pinned &= self.chosen.is_some();
        let active = self.active.take().and_then(|active| {
            let uplink = new_name(&active.uplink)?;
            Some(Active { uplink, ..active })
        });
        if active.is_none() {
            self.leaving = carrying;
        }
        self.active = active;
        self.apart = families::renamed(std::mem::take(&mut self.apart), new_name);
        for sharers in self.sharers.values_mut() {
            *sharers = sharers.iter().filter_map(new_name).collect();
        }
    }

    pub(super) fn candidates<'a>(&self, around: &'a Around<'_>) -> Vec<Candidate<'a>> {
        let uplinks = around.uplinks.iter();
        uplinks
            .filter_map(|uplink| self.candidate(uplink, around.flaps))
            .collect()
    }

    /// How it sees an uplink; none that does not belong here.
    pub(super) fn candidate<'a>(&self, uplink: &'a Uplink, flaps: &Flaps) -> Option<Candidate<'a>> {
        let candidate = uplink.candidate();
        let score = match self.policy {
            Policy::Best => uplink.lasting_score(),
            Policy::Failover | Policy::Balance => None,
        };
        let suppressed_until = flaps.suppressed_until(candidate.name);
        Some(Candidate {
            tier: self.tier_of(uplink)?,
            score,
            role: self.role(candidate.name),
            ..candidate.suppressed_by(suppressed_until)
        })
    }

    /// Whether a rival of the uplink that leads has proven to be better.
    pub(super) fn is_contest_won(&mut self, around: &Around<'_>, now: Moment) -> bool {
        let is_due = self.contest.is_due(now);
        match (self.policy, &self.active) {
            (Policy::Best, Some(active)) if is_due => {
                let mut contest = std::mem::take(&mut self.contest);
                let candidates = self.candidates(around);
                let best = around.failover.best;
                let is_won = contest.observe(&candidates, &active.uplink, best, now);
                self.contest = contest;
                is_won
            }
            (Policy::Best | Policy::Failover | Policy::Balance, _) => false,
        }
    }

    /// Decides who carries the traffic.
    pub(super) fn elect(&mut self, around: &mut Around<'_>, now: Moment) -> Outcome {
        let before = self.carriers(around.uplinks);
        let shares =
            Family::ROUTED.map(|family| (family, self.carriers_of(family, around.uplinks)));
        let (choice, is_undecided) = self.choose(around, now);
        self.is_undecided = is_undecided;
        self.look_again = None;
        let mut reasons = Vec::new();
        let is_usable = choice != Choice::Nobody;
        match choice {
            Choice::Stay { until } => self.look_again = until,
            Choice::Move { to, reason } => {
                self.pass_over(&to, around, now);
                self.lead(to, now);
                reasons.push(reason);
                // Another that is preferred to the new leader may fall due later.
                let asked = std::mem::replace(&mut around.is_asked, false);
                self.look_again = self.choose(around, now).0.due();
                around.is_asked = asked;
            }
            Choice::Nobody => {
                if let Some(refuge) = self.refuge(around) {
                    return Outcome {
                        switch: Some(self.go_with_the_rest(before, refuge, around, now)),
                        is_usable: Some(false),
                    };
                }
                if is_undecided {
                    return Outcome::default();
                }
            }
        }
        reasons.extend(self.elect_apart(around, now));
        for reason in self.share(&shares, around, now) {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        let switch = (!reasons.is_empty()).then(|| Switch {
            at: now,
            from: match &around.refuge {
                Some(refuge) if before.is_empty() => refuge.clone(),
                Some(_) | None => before,
            },
            to: self.carriers(around.uplinks),
            reason: reasons.join("; "),
        });
        self.last_switch = switch.clone().or_else(|| self.last_switch.take());
        Outcome {
            switch,
            is_usable: Some(is_usable),
        }
    }

    /// The choice, and whether some were left out because they are as silent as the carrier.
    fn choose(&self, around: &Around<'_>, now: Moment) -> (Choice, bool) {
        let terms = self.terms(around);
        let mut candidates = self.candidates(around);
        let carrier = self.leader().and_then(|name| find(around.uplinks, name));
        let silent_too = as_silent_as(carrier, around.uplinks);
        candidates.retain(|candidate| !silent_too.contains(candidate.name));
        if self.active.is_none() && around.refuge.is_some() {
            return (come_back(candidates, terms, now), false);
        }
        (elect(&candidates, terms, now), !silent_too.is_empty())
    }

    fn terms<'a>(&'a self, around: &Around<'_>) -> Terms<'a> {
        Terms {
            active: self.leader(),
            is_adopted: self.active.as_ref().is_some_and(|active| active.is_adopted),
            chosen: self.chosen.as_ref(),
            is_pinned: self.is_pinned,
            is_asked: around.is_asked,
            failover: FailoverSettings {
                policy: self.policy,
                ..around.failover
            },
            contest: &self.contest,
        }
    }

    fn lead(&mut self, uplink: UplinkName, now: Moment) {
        self.leaving.clear();
        self.active = Some(Active {
            uplink,
            since: now,
            is_adopted: false,
        });
    }

    /// With whom a group can go that leads itself; not with those that are as silent as its leader.
    fn refuge(&self, around: &Around<'_>) -> Option<Vec<UplinkName>> {
        let leader = find(around.uplinks, self.leader()?);
        let silent_too = as_silent_as(leader, around.uplinks);
        let refuge = around.refuge.as_ref()?;
        let is_heard = refuge.iter().any(|name| !silent_too.contains(name));
        is_heard.then(|| refuge.clone())
    }

    /// None of its uplinks is usable, and those of the rest are.
    fn go_with_the_rest(
        &mut self,
        from: Vec<UplinkName>,
        to: Vec<UplinkName>,
        around: &Around<'_>,
        now: Moment,
    ) -> Switch {
        let leader = self.leader().and_then(|name| find(around.uplinks, name));
        let complaint = leader.map_or_else(String::new, |uplink| {
            let name = &uplink.settings().name;
            format!("{name} {}: {}; ", uplink.state(), uplink.reason())
        });
        self.active = None;
        self.apart.clear();
        self.sharers.clear();
        let switch = Switch {
            at: now,
            from,
            to,
            reason: format!("{complaint}no uplink of the group is usable, it goes with the rest"),
        };
        self.last_switch = Some(switch.clone());
        switch
    }

    /// The preferred uplinks that are not chosen because they miss probes at the moment must win
    /// their way back like those that were down.
    fn pass_over(&self, to: &UplinkName, around: &mut Around<'_>, now: Moment) {
        let candidates = self.candidates(around);
        let Some(chosen) = candidates.iter().find(|candidate| candidate.name == to) else {
            return;
        };
        let passed_over = candidates.iter();
        let passed_over = passed_over.filter(|candidate| candidate.is_passed_over_for(chosen));
        let passed_over: BTreeSet<_> = passed_over
            .map(|candidate| candidate.name.clone())
            .collect();
        for uplink in &mut *around.uplinks {
            if passed_over.contains(&uplink.settings().name) {
                uplink.pass_over(now);
            }
        }
    }
}

/// A group that goes with the rest takes up an uplink of its own that is well and has been for as
/// long as it must.
fn come_back(mut candidates: Vec<Candidate<'_>>, terms: Terms<'_>, now: Moment) -> Choice {
    let ready: Vec<_> = candidates
        .iter()
        .map(|candidate| {
            let is_well = candidate.fitness() == Fitness::Good;
            terms.ready(candidate, now).filter(|_| is_well)
        })
        .collect();
    let later = ready.iter().flatten().filter(|ready| **ready > now).min();
    let mut ready = ready.iter();
    candidates.retain(|candidate| {
        let is_ready = ready.next().copied().flatten().is_some_and(|at| at <= now);
        is_ready || candidate.judged_by(now).is_some()
    });
    match elect(&candidates, terms, now) {
        Choice::Move { to, reason } => Choice::Move { to, reason },
        Choice::Stay { until } => Choice::Stay {
            until: later.copied().into_iter().chain(until).min(),
        },
        Choice::Nobody => Choice::Stay {
            until: later.copied(),
        },
    }
}

/// The uplink of a name.
pub(super) fn find<'a>(uplinks: &'a [Uplink], name: &UplinkName) -> Option<&'a Uplink> {
    uplinks
        .iter()
        .find(|uplink| uplink.settings().name == *name)
}
