//! The next hops of an uplink that has several: two routers on one segment, or two default routes of
//! different metrics.
//!
//! The traffic goes by the preferred one. Where it is in doubt whether that works, each round asks by the
//! others as well, a target each, so that a verdict finds out which of them answers: the uplink goes on by
//! that one and stays up. A preferred next hop that was left is asked every `ASK_EVERY`. The traffic goes
//! back to it on the terms of a failback: when it has answered without a miss for `failback_after`, twice as
//! long after each further time that it is left, up to `LONGEST_TRIAL`; what it did more than `LONGEST_TRIAL`
//! ago is forgotten. One that was never left is taken as soon as it answers.
//!
//! In the mode "main" no rule leads a probe to a next hop that is not in use. There another one is tried by the
//! traffic itself: while nothing answers and the uplink carries the traffic all the same, each in turn for
//! `TRY_FOR`. What answers stays in use.

use std::net::IpAddr;
use std::time::Duration;

use super::evidence::Evidence;
use super::family_hops::{
    ASK_EVERY, FamilyHops, HopMove, HopSight, HopTerms, HopTrack, VOUCHES_FOR, is_same,
};
use super::health::Phase;
use super::pacer::Situation;
use super::purse::Purse;
use super::targets::Targets;
use crate::engine::input::ProbeOutcome;
use crate::engine::schedule::Doubt;
use crate::engine::settings::ProbeSettings;
use crate::engine::status::{NextHopState, NextHopStatus};
use crate::engine::wording::seconds;
use crate::routing::{Attachment, Family, Path};
use crate::units::{HopPlace, Moment, ProbeId, Target};

/// The next hops of one uplink.
#[derive(Clone, Debug, Default)]
pub(super) struct NextHops {
    terms: HopTerms,
    of: [Option<Box<FamilyHops>>; Family::ROUTED.len()],
    /// The next hop that was in use when the link was last looked at.
    last: [Option<IpAddr>; Family::ROUTED.len()],
    /// What was in use and is not there any more.
    gone: [Option<Box<HopTrack>>; Family::ROUTED.len()],
    turn: Option<Box<HopTurn>>,
}

/// The uplink goes on by other next hops.
#[derive(Clone, Debug)]
pub(super) struct HopTurn {
    pub(super) moved: Vec<HopMove>,
    pub(super) cause: HopCause,
}

/// What a next hop is left for.
#[derive(Clone, Copy, Debug)]
pub(super) enum HopCause {
    /// The uplink is silent for so long.
    SilentUplink(Duration),
    /// One family of it is.
    SilentFamily,
    /// Nothing answers, and another one may work.
    Trial,
    /// A preferred one is trusted again.
    Return,
}

impl NextHops {
    /// Other terms hold from now on.
    pub(super) fn adapt(&mut self, terms: HopTerms) {
        self.terms = terms;
    }

    /// The link is like this: its paths go by the next hops in use. Where there are several when the agent
    /// begins, the path is in use; an earlier run may have left one that is better.
    pub(super) fn attach(&mut self, found: &mut Attachment, now: Moment) {
        for (family, path) in &mut found.paths {
            let place = *family as usize;
            let paths = found.next_hops.get(family).map_or(&[][..], Vec::as_slice);
            let known = self.of[place].take();
            if paths.len() > 1 {
                let gone =
                    self.gone[place].take_if(|gone| paths.iter().any(|path| gone.is_by(path)));
                let known = (known.as_deref(), gone.as_deref());
                let mut hops = FamilyHops::new(known, paths, path, now);
                hops.doubt_better(self.last[place], now);
                *path = hops.path().clone();
                self.of[place] = Some(Box::new(hops));
            }
            let has_left =
                |hop: &HopTrack| paths.iter().all(|path| !hop.is_by(path)) && !hop.is_by(path);
            if let Some(gone) = known.and_then(|mut known| known.take_in_use().filter(has_left)) {
                self.gone[place] = Some(Box::new(gone.left(now)));
            }
            self.last[place] = path.gateway;
        }
    }

    /// An operator sends the traffic back: preferred next hops are taken as soon as they answer.
    pub(super) fn send_back(&mut self, now: Moment) {
        for hops in self.of.iter_mut().flatten() {
            for better in &mut hops.hops[..hops.in_use] {
                (better.left, better.ask_at) = (None, now);
            }
        }
    }

    /// How often each was left is forgotten.
    pub(super) fn forget(&mut self) {
        self.of.iter_mut().flatten().for_each(|hops| hops.forget());
        self.gone = Default::default();
    }

    /// Asks by next hops that are not in use, at the expense of the budget. `order` orders a probe.
    pub(super) fn ask(
        &mut self,
        situation: &Situation,
        evidence: &Evidence,
        targets: &Targets,
        mut purse: Option<(&mut Purse, &ProbeSettings)>,
        mut order: impl FnMut(&Target, HopPlace) -> ProbeId,
    ) {
        if self.terms.lacks_rules {
            return self.try_others(situation, evidence);
        }
        let is_lost = situation.phase.is_lost() || situation.phase == Phase::Unknown;
        let is_in_doubt = is_lost || situation.may_be_dead();
        let every = purse
            .as_ref()
            .map_or(ASK_EVERY, |(purse, _)| purse.every().max(ASK_EVERY));
        for (family, hops) in Family::ROUTED.into_iter().zip(&mut self.of) {
            let Some(hops) = hops else { continue };
            let doubt = if is_in_doubt {
                Doubt::Grave
            } else if evidence.families.is_broken(family) {
                Doubt::Slight
            } else {
                Doubt::None
            };
            let at_hop = |place: usize, hop| {
                let target = targets.at(place).target();
                if let Some((purse, probe)) = &mut purse {
                    purse.charge(target, probe);
                }
                order(target, hop)
            };
            let places = targets.standing_of(family);
            let terms = self.terms;
            hops.ask(doubt, places, (situation.now, every), terms, at_hop);
        }
    }

    /// Goes on by another next hop of what is silent, although it is not known whether that one works. Without
    /// traffic its probes follow the routes of others.
    fn try_others(&mut self, situation: &Situation, evidence: &Evidence) {
        if self.turn.is_some() {
            return;
        }
        let is_lost = situation.phase.is_lost();
        let families = Family::ROUTED.into_iter().zip(&mut self.of);
        let moved = families.filter_map(|(family, hops)| {
            let hops = hops.as_mut()?;
            let is_silent = is_lost || evidence.families.is_broken(family);
            if !situation.is_carrying {
                hops.end_trial(family, situation.now)
            } else if is_silent {
                hops.try_next(family, situation.now)
            } else {
                None
            }
        });
        let moved: Vec<_> = moved.collect();
        if !moved.is_empty() {
            let cause = HopCause::Trial;
            self.turn = Some(Box::new(HopTurn { moved, cause }));
        }
    }

    /// A family answers: whether a next hop that was tried is the one that works.
    pub(super) fn answered(&mut self, family: Family) {
        let Some(hops) = &mut self.of[family as usize] else {
            return;
        };
        let Some((from, _)) = hops.tried.take() else {
            return;
        };
        let to = hops.path().clone();
        if !is_same(&from, &to) && self.turn.is_none() {
            let moved = HopMove {
                family,
                from,
                to,
                answered: None,
            };
            let cause = HopCause::SilentFamily;
            self.turn = Some(Box::new(HopTurn {
                moved: vec![moved],
                cause,
            }));
        }
    }

    /// Takes what became of a probe; whether it is one of these.
    pub(super) fn probed(
        &mut self,
        id: ProbeId,
        outcome: &ProbeOutcome,
        evidence: &Evidence,
        now: Moment,
    ) -> bool {
        let families = Family::ROUTED.into_iter();
        let Some((family, place)) = families.zip(&mut self.of).find_map(|(family, hops)| {
            let place = hops.as_mut()?.take(id, outcome, now)?;
            Some((family, place))
        }) else {
            return false;
        };
        if evidence.families.is_broken(family) {
            self.take_over(HopCause::SilentFamily, Some(family), now - VOUCHES_FOR, now);
        } else if let Some(hops) = &mut self.of[family as usize]
            && hops.is_trusted(place, self.terms, now)
            && self.turn.is_none()
        {
            let moved = vec![hops.go(family, place, now)];
            let cause = HopCause::Return;
            self.turn = Some(Box::new(HopTurn { moved, cause }));
        }
        true
    }

    /// Nothing answers by the next hops in use, of one family or of any: whether the uplink goes on by others
    /// that have answered a probe from since then.
    pub(super) fn take_over(
        &mut self,
        cause: HopCause,
        only: Option<Family>,
        since: Moment,
        now: Moment,
    ) -> bool {
        if self.turn.is_some() {
            return true;
        }
        let families = Family::ROUTED.into_iter().zip(&mut self.of);
        let families = families.filter(|(family, _)| only.is_none_or(|only| only == *family));
        let moved = families.filter_map(|(family, hops)| {
            let hops = hops.as_mut()?;
            let place = hops.working_since(since, now)?;
            hops.leave(now);
            Some(hops.go(family, place, now))
        });
        let moved: Vec<_> = moved.collect();
        let has_moved = !moved.is_empty();
        if has_moved {
            self.turn = Some(Box::new(HopTurn { moved, cause }));
        }
        has_moved
    }

    /// Another next hop, of one family or of any, has answered a probe from since then, or may still do so: a verdict
    /// takes it.
    pub(super) fn has_other(
        &self,
        only: Option<Family>,
        since: Moment,
        last_missed: Moment,
    ) -> bool {
        let families = Family::ROUTED.into_iter().zip(&self.of);
        let families = families.filter(|(family, _)| only.is_none_or(|only| only == *family));
        let mut several = families.filter_map(|(_, hops)| hops.as_deref());
        several.any(|hops| {
            let may_answer = !self.terms.lacks_rules && hops.may_answer(since, last_missed);
            may_answer || hops.working_since(since, since).is_some()
        })
    }

    /// The uplink is to go on by other next hops; told once.
    pub(super) fn take_turn(&mut self) -> Option<HopTurn> {
        let turn = self.turn.take()?;
        for moved in &turn.moved {
            self.last[moved.family as usize] = moved.to.gateway;
        }
        Some(*turn)
    }

    /// The read model.
    pub(super) fn status(&self) -> Vec<NextHopStatus> {
        let families = Family::ROUTED.into_iter().zip(&self.of);
        let families = families.filter_map(|(family, hops)| Some((family, hops.as_deref()?)));
        let all = families.flat_map(|(family, of)| {
            let hops = of.hops.iter().enumerate();
            hops.map(move |(place, hop)| NextHopStatus {
                family,
                next_hop: hop.path.gateway,
                state: match hop.sight {
                    _ if place == of.in_use => NextHopState::InUse,
                    HopSight::Unknown => NextHopState::Unknown,
                    HopSight::Answers { .. } => NextHopState::Answers,
                    HopSight::Silent => NextHopState::Silent,
                },
            })
        });
        all.collect()
    }
}

impl HopTurn {
    /// Why, in words.
    pub(super) fn reason(&self) -> String {
        let moves: Vec<_> = self.moved.iter().map(|moved| self.explain(moved)).collect();
        moves.join(", ")
    }

    fn explain(&self, moved: &HopMove) -> String {
        let HopMove {
            family, from, to, ..
        } = moved;
        let hop = |path: &Path| path.gateway.map_or_else(String::new, |hop| hop.to_string());
        let (from, to) = (hop(from), hop(to));
        match self.cause {
            HopCause::Return => {
                format!("{family} goes by {to}, which is preferred to {from} and answers")
            }
            HopCause::SilentFamily | HopCause::Trial => {
                format!("{family} goes on by {to}: nothing answers by {from}")
            }
            HopCause::SilentUplink(lasts) => {
                let lasts = seconds(lasts);
                format!("{family} goes on by {to}: nothing answers by {from} for {lasts}")
            }
        }
    }
}
