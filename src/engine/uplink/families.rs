//! What the families of an uplink mean for it: whom to ask, what people are told, and who may carry
//! which traffic.
//!
//! An uplink of which one family is broken is usable, and what works of it keeps its traffic: only
//! that of the broken family moves. It is shown as `degraded`, because somebody should look at it,
//! but unlike one that loses too much it yields nothing else to a better uplink.

use super::places::Places;
use super::{Outbox, Phase, Uplink};
use crate::engine::election::Candidate;
use crate::engine::family::{Outlook, Turn};
use crate::engine::round::RoundResult;
use crate::engine::state::State;
use crate::routing::Family;
use crate::units::Moment;

/// Why a family without a way out is of no use.
const NO_WAY: &str = "has no way out";

impl Uplink {
    /// How the election of who carries a family sees it. `is_leader`: it carries the rest.
    pub fn candidate_for(&self, family: Family, is_leader: bool) -> Candidate<'_> {
        let Outlook {
            state: apart,
            well_since,
            way_since,
            has_failed,
            complaint,
        } = self.families.outlook(family);
        let whole = self.candidate();
        let since = well_since.unwrap_or(whole.well_since);
        let reason = match way_since {
            Some(_) => complaint.unwrap_or(whole.reason),
            None => NO_WAY,
        };
        Candidate {
            state: together(whole.state, apart, is_leader),
            well_since: way_since.map_or(since, |way| way.max(since)),
            has_path: way_since.is_some(),
            has_failed: has_failed || (apart.is_none() && whole.has_failed),
            reason,
            ..whole
        }
    }

    /// What is wrong with a family of it and not with the rest.
    pub fn complaint_of(&self, family: Family) -> Option<&str> {
        self.families.outlook(family).complaint
    }

    /// Why it is in the state that people see.
    pub(super) fn words(&self) -> String {
        let complaint = self.families.complaint().filter(|_| !self.is_disabled);
        match (self.standing, complaint) {
            (Phase::Up, Some(complaint)) => complaint.to_owned(),
            (Phase::Degraded, Some(complaint)) => format!("{}; {complaint}", self.reason),
            (
                Phase::Unknown
                | Phase::Up
                | Phase::Degraded
                | Phase::Recovering { .. }
                | Phase::Down
                | Phase::Absent
                | Phase::Cold,
                _,
            ) => self.reason.clone(),
        }
    }

    /// The families with a way out, those that work and those that are broken.
    pub(super) fn families_by_health(&self) -> (Vec<Family>, Vec<Family>) {
        let families = self.attachment.paths.keys().copied();
        families.partition(|family| !self.families.is_broken(*family))
    }

    /// The family by which a target is asked.
    pub(super) fn family_of(&self, target: usize) -> Family {
        if self.asked_by[Family::Ipv6 as usize].contains(target) {
            Family::Ipv6
        } else {
            Family::Ipv4
        }
    }

    /// The targets that are asked by a family.
    pub(super) fn asked_by(&self, family: Family) -> Places {
        self.asked_by[family as usize]
    }

    /// The ways out or the targets are others now.
    pub(super) fn sort_families(&mut self, now: Moment) {
        self.sort_targets();
        self.families.attach(
            &self.attachment.paths,
            |family| !self.asked_by[family as usize].is_empty(),
            self.outage.learnt(),
            now,
        );
    }

    /// A name is resolved to an IPv4 address if it has one.
    pub(super) fn sort_targets(&mut self) {
        let paths = &self.attachment.paths;
        let names_by = if paths.is_empty() || paths.contains_key(&Family::Ipv4) {
            Family::Ipv4
        } else {
            Family::Ipv6
        };
        self.asked_by = Family::ROUTED.map(|family| {
            let is_asked_by = |place: &usize| {
                let address = self.targets[*place].target().address();
                address.map_or(names_by, Family::of) == family
            };
            (0..self.targets.len()).filter(is_asked_by).collect()
        });
    }

    /// The targets that can be asked, family by family; the broken one is left out.
    pub(super) fn askable(&self) -> [Places; Family::ROUTED.len()] {
        let broken = self.families.broken();
        let mut groups = Family::ROUTED.map(|family| {
            let has_way = self.attachment.paths.contains_key(&family);
            if has_way && Some(family) != broken {
                self.standing_of(family)
            } else {
                Places::default()
            }
        });
        if groups.iter().all(|group| group.is_empty()) {
            groups[0] = (0..self.targets.len()).collect();
        }
        groups
    }

    /// The targets of a family that stand; all of them where too few do.
    pub(super) fn standing_of(&self, family: Family) -> Places {
        let of_family = self.asked_by(family);
        let standing: Places = of_family
            .iter()
            .filter(|place| self.targets[*place].is_standing())
            .collect();
        if standing.len() < self.quorum_of(family) {
            return of_family;
        }
        standing
    }

    /// What a round says about each family.
    pub(super) fn judge_families(&mut self, place: usize, now: Moment, out: &mut Outbox) {
        if !self.families.are_apart() {
            return;
        }
        let demand = self.demand();
        let trust_after = self.settings.health.recover_after;
        for family in Family::ROUTED {
            let round = &mut self.rounds[place];
            let result = round.judge_family(family);
            let before = std::mem::replace(&mut round.of_families[family as usize], result);
            if before == result {
                continue;
            }
            let (sent, losses) = (round.sent, round.losses_of(family));
            let turn = match result {
                RoundResult::Open => None,
                RoundResult::Wrong if !self.hears_whatever(family) => None,
                RoundResult::Answered | RoundResult::Wrong => {
                    self.families
                        .answered(family, sent, now, demand, trust_after)
                }
                RoundResult::Failed => self.families.failed(family, (sent, losses), now, demand),
            };
            self.take_turn(family, turn, now, out);
        }
    }

    /// A probe by this family could not be sent.
    pub(super) fn family_not_sent(
        &mut self,
        family: Family,
        why: &str,
        now: Moment,
        out: &mut Outbox,
    ) {
        let demand = self.demand();
        let turn = self.families.not_sent(family, why, now, demand);
        self.take_turn(family, turn, now, out);
    }

    fn take_turn(&mut self, family: Family, turn: Option<Turn>, now: Moment, out: &mut Outbox) {
        let Some(turn) = turn else {
            return;
        };
        out.is_changed = true;
        let reason = match (turn, self.standing) {
            (Turn::Healed, Phase::Up) => format!("{family} answers again"),
            (
                Turn::Healed | Turn::Broke | Turn::Quiet,
                Phase::Unknown
                | Phase::Up
                | Phase::Degraded
                | Phase::Recovering { .. }
                | Phase::Down
                | Phase::Absent
                | Phase::Cold,
            ) => self.reason.clone(),
        };
        self.tell(now, reason, out);
    }
}

/// The state in which an uplink is for a family that is judged apart, or not. Whoever carries the
/// rest is left for what is wrong with the family alone.
fn together(whole: State, apart: Option<State>, is_leader: bool) -> State {
    match whole {
        State::Up | State::Degraded | State::Recovering => match apart {
            Some(State::Up) | None if is_leader => State::Up,
            Some(State::Up) | None => whole,
            Some(apart) => apart,
        },
        State::Unknown | State::Down | State::Disabled | State::Absent | State::Cold => whole,
    }
}
