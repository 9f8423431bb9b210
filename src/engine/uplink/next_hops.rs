//! The next hops of an uplink that has several: two routers on one segment, or two default routes of
//! different metrics.
//!
//! The traffic goes by the preferred one. Where it is in doubt whether that works, each round asks by the
//! others as well, a target each, so that a verdict finds out which of them answers: the uplink goes on by
//! that one and stays up. A preferred next hop that was left is asked every `ASK_EVERY`. The traffic goes
//! back to it when it has answered without a miss for `TRUSTED_AFTER`, twice as long after each further time
//! that it is left, up to `LONGEST_TRIAL`; what it did more than `LONGEST_TRIAL` ago is forgotten.

use std::collections::VecDeque;
use std::time::Duration;

use super::evidence::Evidence;
use super::health::Phase;
use super::pacer::Situation;
use super::places::Places;
use super::purse::Purse;
use super::targets::Targets;
use crate::engine::input::ProbeOutcome;
use crate::engine::schedule::Doubt;
use crate::engine::settings::ProbeSettings;
use crate::engine::status::{NextHopState, NextHopStatus};
use crate::engine::wording::seconds;
use crate::routing::{Attachment, Family, Path};
use crate::units::{HopPlace, Moment, ProbeId, Target};

/// How often a preferred next hop is asked that was left.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// After so long without a miss it is trusted again.
const TRUSTED_AFTER: Duration = Duration::from_secs(60);
/// The longest that it has to win its trust back.
const LONGEST_TRIAL: Duration = Duration::from_secs(3_600);
/// After so long without an answer a probe is missed.
const MISSED_AFTER: Duration = Duration::from_secs(1);
/// An answer vouches for a next hop for so long.
const VOUCHES_FOR: Duration = Duration::from_secs(2);

/// The next hops of one uplink.
#[derive(Clone, Debug, Default)]
pub(super) struct NextHops {
    of: [Option<Box<FamilyHops>>; Family::ROUTED.len()],
    turn: Option<Box<HopTurn>>,
}

/// The next hops of a family that has several.
#[derive(Clone, Debug)]
struct FamilyHops {
    /// Best first.
    hops: Vec<HopTrack>,
    /// The one by which the traffic goes.
    in_use: usize,
}

/// What is known of one next hop by probes of its own.
#[derive(Clone, Debug)]
struct HopTrack {
    path: Path,
    sight: HopSight,
    /// Probes that are not answered, and when they were sent.
    unanswered: VecDeque<(ProbeId, Moment)>,
    /// How many probes there were: targets take turns.
    asked: usize,
    ask_at: Moment,
    /// How often it was left of late, and when last.
    left: Option<(u32, Moment)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HopSight {
    Unknown,
    /// `last`: when the last probe was sent that was answered.
    Answers {
        since: Moment,
        last: Moment,
    },
    Silent,
}

/// The uplink goes on by other next hops.
#[derive(Clone, Debug)]
pub(super) struct HopTurn {
    pub(super) moved: Vec<HopMove>,
    /// Why; none: a preferred one is trusted again.
    pub(super) cause: Option<HopSilence>,
}

/// A family goes on by another next hop.
#[derive(Clone, Debug)]
pub(super) struct HopMove {
    pub(super) family: Family,
    from: Path,
    pub(super) to: Path,
    /// When a probe was sent by it that was answered.
    pub(super) answered: Moment,
}

/// What a next hop is left for.
#[derive(Clone, Copy, Debug)]
pub(super) enum HopSilence {
    /// The uplink is silent for so long.
    OfUplink(Duration),
    /// One family of it is.
    OfFamily,
}

impl NextHops {
    /// The link is like this: its paths go by the next hops in use. Where there are several at first sight, the
    /// path is in use; one that is better has to be trusted first.
    pub(super) fn attach(&mut self, found: &mut Attachment, now: Moment) {
        for (family, path) in &mut found.paths {
            let paths = found.next_hops.get(family).map_or(&[][..], Vec::as_slice);
            let known = self.of[*family as usize].take();
            if paths.len() > 1 {
                let hops = FamilyHops::new(known.as_deref(), paths, path, now);
                *path = hops.path().clone();
                self.of[*family as usize] = Some(Box::new(hops));
            }
        }
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
            hops.ask(doubt, places, (situation.now, every), at_hop);
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
            self.take_over(HopSilence::OfFamily, Some(family), now - VOUCHES_FOR, now);
        } else if let Some(hops) = &mut self.of[family as usize]
            && hops.is_trusted(place, now)
            && self.turn.is_none()
        {
            let moved = vec![hops.go(family, place, now)];
            self.turn = Some(Box::new(HopTurn { moved, cause: None }));
        }
        true
    }

    /// Nothing answers by the next hops in use, of one family or of any: whether the uplink goes on by others
    /// that have answered a probe from since then.
    pub(super) fn take_over(
        &mut self,
        cause: HopSilence,
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
            let cause = Some(cause);
            self.turn = Some(Box::new(HopTurn { moved, cause }));
        }
        has_moved
    }

    /// The uplink is to go on by other next hops; told once.
    pub(super) fn take_turn(&mut self) -> Option<HopTurn> {
        self.turn.take().map(|turn| *turn)
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

impl FamilyHops {
    /// `path`: the one in use, where nothing is known.
    fn new(known: Option<&Self>, paths: &[Path], path: &Path, now: Moment) -> Self {
        let known_hops = || known.into_iter().flat_map(|known| &known.hops);
        let hops: Vec<_> = paths
            .iter()
            .map(|path| {
                let before = known_hops().find(|hop| is_same(&hop.path, path));
                HopTrack::new(path.clone(), before, now)
            })
            .collect();
        let place_of = |path: &Path| hops.iter().position(|hop| is_same(&hop.path, path));
        let before = known.and_then(|known| place_of(known.path()));
        let in_use = before.or_else(|| place_of(path)).unwrap_or(0);
        let mut new = Self { hops, in_use };
        for better in &mut new.hops[..in_use] {
            better.left.get_or_insert((1, now));
        }
        new
    }

    fn path(&self) -> &Path {
        &self.hops[self.in_use].path
    }

    fn ask(
        &mut self,
        doubt: Doubt,
        targets: Places,
        (now, every): (Moment, Duration),
        mut order: impl FnMut(usize, HopPlace) -> ProbeId,
    ) {
        let in_use = self.in_use;
        for (place, hop) in (0..).zip(&mut self.hops) {
            let is_to_be_asked = match doubt {
                Doubt::Grave => true,
                Doubt::Slight => hop.ask_at <= now,
                Doubt::None => usize::from(place) < in_use && hop.ask_at <= now,
            };
            let mut turn = targets.in_turn(1, hop.asked);
            if usize::from(place) != in_use
                && is_to_be_asked
                && let Some(target) = turn.next()
            {
                let id = order(target, HopPlace(place));
                hop.ask(id, now, every);
            }
        }
    }

    /// Takes what became of a probe; the place of the next hop by which it was sent.
    fn take(&mut self, id: ProbeId, outcome: &ProbeOutcome, now: Moment) -> Option<usize> {
        let mut hops = self.hops.iter_mut();
        hops.position(|hop| hop.take(id, outcome, now))
    }

    /// The best of the others that has answered a probe from since then, lately.
    fn working_since(&self, since: Moment, now: Moment) -> Option<usize> {
        let mut hops = self.hops.iter().enumerate();
        let works = |(place, hop): &(usize, &HopTrack)| match hop.sight {
            HopSight::Answers { last, .. } => {
                *place != self.in_use && last >= since && now.since(last) <= VOUCHES_FOR
            }
            HopSight::Unknown | HopSight::Silent => false,
        };
        hops.find(works).map(|(place, _)| place)
    }

    /// It is preferred to the one in use and has won its trust back.
    fn is_trusted(&self, place: usize, now: Moment) -> bool {
        place < self.in_use && self.hops[place].is_trusted(now)
    }

    /// The one in use is silent.
    fn leave(&mut self, now: Moment) {
        let hop = &mut self.hops[self.in_use];
        let lately = (hop.left).filter(|(_, last)| now.since(*last) <= LONGEST_TRIAL);
        let times = lately.map_or(0, |(times, _)| times);
        hop.left = Some((times + 1, now));
        hop.sight = HopSight::Silent;
    }

    fn go(&mut self, family: Family, place: usize, now: Moment) -> HopMove {
        let from = self.path().clone();
        self.hops[self.in_use].ask_at = now + ASK_EVERY;
        self.in_use = place;
        let hop = &mut self.hops[place];
        hop.unanswered.clear();
        HopMove {
            family,
            from,
            to: hop.path.clone(),
            answered: match hop.sight {
                HopSight::Answers { last, .. } => last,
                HopSight::Unknown | HopSight::Silent => now,
            },
        }
    }
}

impl HopTrack {
    /// Probes that are under way may have gone by another one.
    fn new(path: Path, before: Option<&Self>, now: Moment) -> Self {
        Self {
            path,
            sight: before.map_or(HopSight::Unknown, |before| before.sight),
            unanswered: VecDeque::new(),
            asked: 0,
            ask_at: before.map_or(now, |before| before.ask_at),
            left: before.and_then(|before| before.left),
        }
    }

    fn ask(&mut self, id: ProbeId, now: Moment, every: Duration) {
        while let Some((_, sent)) = self.unanswered.front()
            && now.since(*sent) >= MISSED_AFTER
        {
            self.missed(*sent, now);
            self.unanswered.pop_front();
        }
        self.unanswered.push_back((id, now));
        self.asked = self.asked.wrapping_add(1);
        self.ask_at = now + every;
    }

    fn take(&mut self, id: ProbeId, outcome: &ProbeOutcome, now: Moment) -> bool {
        let mut unanswered = self.unanswered.iter();
        let Some(place) = unanswered.position(|(asked, _)| *asked == id) else {
            return false;
        };
        let Some((_, sent)) = self.unanswered.remove(place) else {
            return false;
        };
        match outcome {
            ProbeOutcome::Reply(_) => self.answered(sent, now),
            ProbeOutcome::Unreachable(_) | ProbeOutcome::Wrong(_) | ProbeOutcome::Captive(_) => {
                self.missed(sent, now);
            }
            ProbeOutcome::NotSent(_) | ProbeOutcome::Refused(_) => {}
        }
        true
    }

    fn answered(&mut self, sent: Moment, now: Moment) {
        self.sight = match self.sight {
            HopSight::Answers { since, last } => HopSight::Answers {
                since,
                last: last.max(sent),
            },
            HopSight::Unknown | HopSight::Silent => HopSight::Answers {
                since: now,
                last: sent,
            },
        };
    }

    /// A probe is lost; whether others are answered is seen by what was sent later.
    fn missed(&mut self, sent: Moment, now: Moment) {
        self.sight = match self.sight {
            HopSight::Answers { last, .. } if last > sent => HopSight::Answers { since: now, last },
            HopSight::Answers { .. } | HopSight::Unknown | HopSight::Silent => HopSight::Silent,
        };
    }

    fn is_trusted(&self, now: Moment) -> bool {
        let times = self.left.map_or(1, |(times, _)| times);
        let trial = TRUSTED_AFTER * 2_u32.saturating_pow(times.saturating_sub(1));
        match self.sight {
            HopSight::Answers { since, .. } => now.since(since) >= trial.min(LONGEST_TRIAL),
            HopSight::Unknown | HopSight::Silent => false,
        }
    }
}

impl HopTurn {
    /// Why, in words.
    pub(super) fn reason(&self) -> String {
        let moves: Vec<_> = self
            .moved
            .iter()
            .map(|moved| moved.explain(self.cause))
            .collect();
        moves.join(", ")
    }
}

impl HopMove {
    fn explain(&self, cause: Option<HopSilence>) -> String {
        let Self {
            family, from, to, ..
        } = self;
        let hop = |path: &Path| path.gateway.map_or_else(String::new, |hop| hop.to_string());
        let (from, to) = (hop(from), hop(to));
        match cause {
            None => {
                format!("{family} goes by {to} again, which is preferred to {from} and answers")
            }
            Some(HopSilence::OfFamily) => {
                format!("{family} goes on by {to}: nothing answers by {from}")
            }
            Some(HopSilence::OfUplink(lasts)) => {
                let lasts = seconds(lasts);
                format!("{family} goes on by {to}: nothing answers by {from} for {lasts}")
            }
        }
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    (one.index, one.gateway) == (other.index, other.gateway)
}
