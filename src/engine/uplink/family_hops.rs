//! The next hops of a family that has several, and what is known of each by probes of its own.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use super::places::Places;
use crate::engine::input::ProbeOutcome;
use crate::engine::schedule::Doubt;
use crate::engine::settings::{Failback, SharedSettings};
use crate::routing::{Family, Path, RoutingMode};
use crate::units::{HopPlace, Moment, ProbeId};

/// How often a preferred next hop is asked that was left.
pub(super) const ASK_EVERY: Duration = Duration::from_secs(5);
/// The longest that it has to win its trust back, unless `failback_after` is longer.
const LONGEST_TRIAL: Duration = Duration::from_secs(3_600);
/// After so long without an answer a probe is missed.
const MISSED_AFTER: Duration = Duration::from_secs(1);
/// A next hop that cannot be asked apart is tried for so long.
const TRY_FOR: Duration = Duration::from_secs(2);
/// An answer vouches for a next hop for so long.
pub(super) const VOUCHES_FOR: Duration = Duration::from_secs(2);

/// On what terms an uplink changes its next hop.
#[derive(Clone, Copy, Debug, Default)]
pub struct HopTerms {
    /// After so long without a miss a preferred next hop is trusted again; none: when an operator says so.
    return_after: Option<Duration>,
    /// No rules lead probes to one that is not in use.
    pub(super) lacks_rules: bool,
}

impl HopTerms {
    /// What the settings say.
    pub fn of(settings: &SharedSettings) -> Self {
        let failover = settings.failover;
        Self {
            return_after: match failover.failback {
                Failback::Auto | Failback::Closed | Failback::OpenSince(_) => {
                    Some(failover.failback_after)
                }
                Failback::Manual => None,
            },
            lacks_rules: settings.numbering.mode == RoutingMode::Main,
        }
    }

    /// For how long one has to answer that was left so often.
    fn trial(self, times: u32) -> Option<Duration> {
        let first = self.return_after?;
        let Some(further) = times.checked_sub(2) else {
            return Some(first);
        };
        let doubled = first.max(ASK_EVERY) * 2 * 2_u32.saturating_pow(further);
        Some(doubled.min(LONGEST_TRIAL.max(first)))
    }
}

/// A family goes on by another next hop.
#[derive(Clone, Debug)]
pub(super) struct HopMove {
    pub(super) family: Family,
    pub(super) from: Path,
    pub(super) to: Path,
    /// When a probe was sent by it that was answered; none: it is tried.
    pub(super) answered: Option<Moment>,
}

/// The next hops of a family that has several.
#[derive(Clone, Debug)]
pub(super) struct FamilyHops {
    /// Best first.
    pub(super) hops: Vec<HopTrack>,
    /// The one by which the traffic goes.
    pub(super) in_use: usize,
    /// Others are tried: the one that was in use before, and since when the present one is.
    pub(super) tried: Option<(Path, Moment)>,
}

/// What is known of one next hop by probes of its own.
#[derive(Clone, Debug)]
pub(super) struct HopTrack {
    pub(super) path: Path,
    pub(super) sight: HopSight,
    /// Probes that are not answered, and when they were sent.
    unanswered: VecDeque<(ProbeId, Moment)>,
    /// How many probes there were: targets take turns.
    asked: usize,
    pub(super) ask_at: Moment,
    /// How often it was left of late, and when last.
    pub(super) left: Option<(u32, Moment)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HopSight {
    Unknown,
    /// `last`: when the last probe was sent that was answered.
    Answers {
        since: Moment,
        last: Moment,
    },
    Silent,
}

impl FamilyHops {
    /// `path`: the one in use, where nothing is known.
    pub(super) fn new(
        (known, gone): (Option<&Self>, Option<&HopTrack>),
        paths: &[Path],
        path: &Path,
        now: Moment,
    ) -> Self {
        let known_hops = || known.into_iter().flat_map(|known| &known.hops).chain(gone);
        let hops: Vec<_> = paths
            .iter()
            .map(|path| {
                let before = known_hops().find(|hop| hop.is_by(path));
                HopTrack::new(path.clone(), before, now)
            })
            .collect();
        let place_of = |path: &Path| hops.iter().position(|hop| hop.is_by(path));
        let before = known.and_then(|known| place_of(known.path()));
        let in_use = before.or_else(|| place_of(path)).unwrap_or(0);
        let tried = known.and_then(|known| known.tried.clone());
        Self {
            hops,
            in_use,
            tried,
        }
    }

    /// What is better than the one in use and was used before was left, and may have been where nothing is known.
    pub(super) fn doubt_better(&mut self, last: Option<IpAddr>, now: Moment) {
        for better in &mut self.hops[..self.in_use] {
            if last.is_none_or(|last| better.path.gateway == Some(last)) {
                better.left.get_or_insert((1, now));
            }
        }
    }

    /// How often each was left is forgotten: one that is preferred to that in use was left for the first time.
    pub(super) fn forget(&mut self) {
        let in_use = self.in_use;
        for (place, hop) in self.hops.iter_mut().enumerate() {
            let left = hop.left.filter(|_| place < in_use);
            hop.left = left.map(|(_, last)| (1, last));
        }
    }

    pub(super) fn take_in_use(&mut self) -> Option<HopTrack> {
        let is_there = self.in_use < self.hops.len();
        is_there.then(|| self.hops.swap_remove(self.in_use))
    }

    pub(super) fn path(&self) -> &Path {
        &self.hops[self.in_use].path
    }

    pub(super) fn ask(
        &mut self,
        doubt: Doubt,
        targets: Places,
        (now, every): (Moment, Duration),
        terms: HopTerms,
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
                hop.ask(id, now, every, terms);
            }
        }
    }

    /// Takes what became of a probe; the place of the next hop by which it was sent.
    pub(super) fn take(
        &mut self,
        id: ProbeId,
        outcome: &ProbeOutcome,
        now: Moment,
    ) -> Option<usize> {
        let mut hops = self.hops.iter_mut();
        hops.position(|hop| hop.take(id, outcome, now))
    }

    /// The best of the others that has answered a probe from since then, lately.
    pub(super) fn working_since(&self, since: Moment, now: Moment) -> Option<usize> {
        let mut hops = self.hops.iter().enumerate();
        let works = |(place, hop): &(usize, &HopTrack)| match hop.sight {
            HopSight::Answers { last, .. } => {
                *place != self.in_use && last >= since && now.since(last) <= VOUCHES_FOR
            }
            HopSight::Unknown | HopSight::Silent => false,
        };
        hops.find(works).map(|(place, _)| place)
    }

    /// Another one that is not known to be silent is yet to be asked from since then, or may still answer what it was
    /// asked: no round that was sent after that is missed.
    pub(super) fn may_answer(&self, since: Moment, last_missed: Moment) -> bool {
        let others = self.hops.iter().enumerate();
        let mut others = others.filter(|(place, _)| *place != self.in_use);
        others.any(|(_, hop)| {
            let mut asked = hop.unanswered.iter().map(|(_, sent)| *sent);
            let first = asked.find(|sent| *sent >= since);
            hop.sight != HopSight::Silent && first.is_none_or(|first| first >= last_missed)
        })
    }

    /// It is preferred to the one in use and has won its trust back.
    pub(super) fn is_trusted(&self, place: usize, terms: HopTerms, now: Moment) -> bool {
        place < self.in_use && self.hops[place].is_trusted(terms, now)
    }

    /// The one in use is silent.
    pub(super) fn leave(&mut self, now: Moment) {
        let hop = &mut self.hops[self.in_use];
        *hop = hop.clone().left(now);
    }

    /// Tries the next one in turn, unless the present one is still tried.
    pub(super) fn try_next(&mut self, family: Family, now: Moment) -> Option<HopMove> {
        let is_still_tried = |(_, since): &(Path, Moment)| now.since(*since) < TRY_FOR;
        if self.tried.as_ref().is_some_and(is_still_tried) {
            return None;
        }
        let before = self.tried.take();
        let from = before.map_or_else(|| self.path().clone(), |(from, _)| from);
        self.tried = Some((from, now));
        self.hops[self.in_use].sight = HopSight::Silent;
        let moved = self.go(family, (self.in_use + 1) % self.hops.len(), now);
        Some(HopMove {
            answered: None,
            ..moved
        })
    }

    /// Goes back to the one that was in use before others were tried.
    pub(super) fn end_trial(&mut self, family: Family, now: Moment) -> Option<HopMove> {
        let (before, _) = self.tried.take()?;
        let place = self.hops.iter().position(|hop| hop.is_by(&before))?;
        let moved = (place != self.in_use).then(|| self.go(family, place, now))?;
        Some(HopMove {
            answered: None,
            ..moved
        })
    }

    pub(super) fn go(&mut self, family: Family, place: usize, now: Moment) -> HopMove {
        let from = self.path().clone();
        self.hops[self.in_use].ask_at = now + ASK_EVERY;
        self.in_use = place;
        let hop = &mut self.hops[place];
        hop.unanswered.clear();
        HopMove {
            family,
            from,
            to: hop.path.clone(),
            answered: Some(match hop.sight {
                HopSight::Answers { last, .. } => last,
                HopSight::Unknown | HopSight::Silent => now,
            }),
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

    pub(super) fn is_by(&self, path: &Path) -> bool {
        is_same(&self.path, path)
    }

    /// It was in use, and is not any more.
    pub(super) fn left(self, now: Moment) -> Self {
        let lately = (self.left).filter(|(_, last)| now.since(*last) <= LONGEST_TRIAL);
        let times = lately.map_or(0, |(times, _)| times);
        Self {
            left: Some((times + 1, now)),
            sight: HopSight::Silent,
            ..self
        }
    }

    fn ask(&mut self, id: ProbeId, now: Moment, every: Duration, terms: HopTerms) {
        while let Some((_, sent)) = self.unanswered.front()
            && now.since(*sent) >= MISSED_AFTER
        {
            self.missed(*sent, now);
            self.unanswered.pop_front();
        }
        self.unanswered.push_back((id, now));
        self.asked = self.asked.wrapping_add(1);
        let trusted_at = self.trusted_at(terms).filter(|at| *at > now);
        self.ask_at = (now + every).min(trusted_at.unwrap_or(now + every));
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

    fn is_trusted(&self, terms: HopTerms, now: Moment) -> bool {
        self.trusted_at(terms).is_some_and(|at| at <= now)
    }

    /// From then on it is trusted, if it goes on to answer.
    fn trusted_at(&self, terms: HopTerms) -> Option<Moment> {
        match (self.sight, self.left) {
            (HopSight::Answers { since, .. }, None) => Some(since),
            (HopSight::Answers { since, .. }, Some((times, _))) => {
                Some(since + terms.trial(times)?)
            }
            (HopSight::Unknown | HopSight::Silent, _) => None,
        }
    }
}

pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    (one.index, one.gateway) == (other.index, other.gateway)
}
