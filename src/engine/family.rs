//! The families of one uplink, each judged by answers of its own.
//!
//! IPv4 and IPv6 go over one wire but not over one network: a provider may lose either alone. Where
//! an uplink has a way out for both and a target of each, each is a link of its own to an outage
//! test: all its targets silent while the other family answers is the family's fault and not its
//! targets'. Where both fall silent the uplink itself is down, which is not decided here; and a
//! family of which no target is asked is as the uplink is.
//!
//! A family that is broken is asked beside the other every `RETRY_EVERY`, and is on trial from its
//! first answer until it has answered for as long as an uplink must. One that has never answered
//! since its link came up is broken without an event, and only shown as such: not every provider has both.

use std::time::Duration;

use crate::engine::loss::Learner;
use crate::engine::outage::{Demand, Outage, Silence};
use crate::engine::round::{Round, RoundResult};
use crate::engine::state::State;
use crate::engine::wording::seconds;
use crate::routing::{Family, Path};
use crate::units::Moment;
use crate::units::sorted::SortedMap;

/// How often a family that is broken is asked again.
const RETRY_EVERY: Duration = Duration::from_secs(10);
/// So many rounds that only the other family answers, and its losses no longer speak against the
/// link.
const DOUBT: u32 = 2;

/// Both families of an uplink.
#[derive(Clone, Debug, Default)]
pub struct Families {
    of: [FamilyTrack; Family::ROUTED.len()],
    /// Each is judged by itself: both have a way out and targets.
    are_apart: bool,
    /// When they last ceased to be.
    joined: Option<Moment>,
}

/// One family of an uplink.
#[derive(Clone, Debug, Default)]
struct FamilyTrack {
    /// The way out, and since when there is one.
    way: Option<(Path, Moment)>,
    /// It was broken or lost its way out at some time in this run.
    has_failed: bool,
    /// Since both families had targets to be judged by. At rest while the other has no way out.
    judge: Option<Box<FamilyJudge>>,
}

#[derive(Clone, Debug)]
struct FamilyJudge {
    verdict: FamilyVerdict,
    /// Since when nothing has spoken against it, trial time included.
    well_since: Moment,
    has_worked: bool,
    outage: Outage,
    /// Rounds in a row that only the other family answered.
    unshared: u32,
    mute_since: Option<Moment>,
    /// What another server answered in place of a target, since the last true answer.
    wrong_answer: Option<String>,
    retry_at: Moment,
    complaint: String,
}

/// What is held of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FamilyVerdict {
    Unheard,
    Works,
    Broken,
    Trial,
}

/// What a round said about a family has changed what is held of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyTurn {
    /// Operators need not know.
    Quiet,
    /// It does not work any more.
    Broke,
    /// It works again.
    Healed,
}

/// How the election of who carries a family sees the family of an uplink.
#[derive(Clone, Copy, Debug)]
pub struct FamilyOutlook<'a> {
    /// Its state as far as it is judged apart; none: it is as the uplink is.
    pub state: Option<State>,
    /// Since when nothing has spoken against it; none: as long as the uplink.
    pub well_since: Option<Moment>,
    /// It has a way out, since then.
    pub way_since: Option<Moment>,
    /// It failed at some time in this run while the uplink perhaps did not.
    pub has_failed: bool,
    /// What is wrong with it and not with the uplink.
    pub complaint: Option<&'a str>,
}

impl Families {
    /// The ways out are these now; `is_asked`: the family has a target; `last_answer`: of the uplink.
    /// A family whose own way is the same goes on where it was, unless the uplink has answered by it
    /// since the other one lost its way.
    pub fn attach(
        &mut self,
        paths: &SortedMap<Family, Path>,
        is_asked: impl Fn(Family) -> bool,
        learner: Learner,
        last_answer: Option<Moment>,
        now: Moment,
    ) {
        let can_be_judged = |family: &Family| paths.contains_key(family) && is_asked(*family);
        let are_apart = Family::ROUTED.iter().all(can_be_judged);
        let were_apart = std::mem::replace(&mut self.are_apart, are_apart);
        if were_apart && !are_apart {
            self.joined = Some(now);
        }
        let is_outdated = !were_apart && last_answer >= self.joined;
        for family in Family::ROUTED {
            let track = self.track_mut(family);
            let path = paths.get(&family);
            let before = track.way.as_ref().map(|(path, _)| path);
            if !Path::is_same_way(before, path) {
                let was_of_use = track.judge.as_ref().is_none_or(|judge| judge.has_worked);
                let is_lost = before.is_some() && path.is_none();
                track.has_failed |= is_lost && was_of_use;
                track.way = path.map(|path| (path.clone(), now));
                track.judge = None;
            }
            if !is_asked(family) || is_outdated {
                track.judge = None;
            }
            if are_apart && track.judge.is_none() {
                track.judge = Some(Box::new(FamilyJudge::new(learner, now)));
            }
        }
    }

    /// The uplink is down or gone: each has to prove itself anew when it comes back.
    pub fn restart(&mut self) {
        let are_apart = self.are_apart;
        for track in &mut self.of {
            if let Some(judge) = track.judge.as_mut().filter(|_| are_apart) {
                track.has_failed |= judge.verdict != FamilyVerdict::Unheard;
                judge.verdict = FamilyVerdict::Unheard;
                judge.complaint.clear();
                judge.interrupt();
            }
        }
    }

    /// What was going on is over, and teaches nothing.
    pub fn interrupt(&mut self) {
        self.judges_mut().for_each(FamilyJudge::interrupt);
    }

    /// What was going on with this family was by another way.
    pub fn withdraw(&mut self, family: Family) {
        if let Some(judge) = &mut self.track_mut(family).judge {
            judge.interrupt();
        }
    }

    /// What an earlier run learnt about the uplink holds for both.
    pub fn recall(&mut self, learner: Learner) {
        self.judges_mut()
            .for_each(|judge| judge.outage.recall(learner));
    }

    /// Each is judged by itself.
    pub fn are_apart(&self) -> bool {
        self.are_apart
    }

    /// The one that is broken, so that its answers say nothing about the uplink.
    pub fn broken(&self) -> Option<Family> {
        let mut families = Family::ROUTED.into_iter();
        families.find(|family| self.is_broken(*family))
    }

    /// It does not work although it has a way out.
    pub fn is_broken(&self, family: Family) -> bool {
        self.has(family, FamilyVerdict::Broken)
    }

    /// What is wrong, in words, if one is broken that has worked on this link.
    pub fn complaint(&self) -> Option<&str> {
        self.complaint_where(true)
    }

    /// The same of one that has never worked: it is no news, and changes no state.
    pub fn remark(&self) -> Option<&str> {
        self.complaint_where(false)
    }

    fn complaint_where(&self, has_worked: bool) -> Option<&str> {
        let mut judges = self.judges().filter(|of| of.has_worked == has_worked);
        let judge = judges.find(|judge| !judge.complaint.is_empty())?;
        Some(&judge.complaint)
    }

    /// It is open whether one of them works.
    pub fn are_in_doubt(&self) -> bool {
        let is_in_doubt = |judge: &FamilyJudge| match judge.verdict {
            FamilyVerdict::Unheard => true,
            FamilyVerdict::Works | FamilyVerdict::Trial => judge.outage.is_suspected(),
            FamilyVerdict::Broken => false,
        };
        self.judges().any(is_in_doubt)
    }

    /// One of them has to win its trust back.
    pub fn are_on_trial(&self) -> bool {
        let mut families = Family::ROUTED.into_iter();
        families.any(|family| self.has(family, FamilyVerdict::Trial))
    }

    /// The broken one, if it is due to be asked again.
    pub fn take_retry(&mut self, now: Moment) -> Option<Family> {
        let family = self.broken()?;
        let judge = self.judge_mut(family)?;
        let is_due = judge.retry_at <= now;
        is_due.then(|| {
            judge.retry_at = now + RETRY_EVERY;
            family
        })
    }

    /// Enough targets of the family answered a round.
    pub fn answered(
        &mut self,
        family: Family,
        sent: Moment,
        now: Moment,
        demand: Demand,
        trust_after: Duration,
    ) -> Option<FamilyTurn> {
        let judge = self.judge_mut(family)?;
        judge.outage.answered(sent, demand);
        judge.unshared = 0;
        judge.mute_since = None;
        judge.wrong_answer = None;
        match judge.verdict {
            FamilyVerdict::Unheard => {
                judge.verdict = FamilyVerdict::Works;
                judge.well_since = now;
                judge.has_worked = true;
                Some(FamilyTurn::Quiet)
            }
            FamilyVerdict::Works => None,
            FamilyVerdict::Broken => {
                judge.verdict = FamilyVerdict::Trial;
                judge.well_since = now;
                Some(FamilyTurn::Quiet)
            }
            FamilyVerdict::Trial => {
                let is_trusted = now.since(judge.well_since) >= trust_after;
                (is_trusted && !judge.outage.is_suspected()).then(|| judge.heal())
            }
        }
    }

    /// Too few targets of the family answered a round; it would take `losses` to explain that.
    pub fn failed(
        &mut self,
        family: Family,
        round: (Moment, u32),
        now: Moment,
        demand: Demand,
    ) -> Option<FamilyTurn> {
        let (sent, losses) = round;
        let other = self.outage_of(other(family));
        let other_answered = other.and_then(Outage::last_answer);
        self.judge_mut(family)?;
        let track = self.track_mut(family);
        let judge = track.judge.as_mut()?;
        judge.mute_since = None;
        if judge.verdict == FamilyVerdict::Broken {
            return None;
        }
        judge.outage.failed(sent, losses);
        let is_alone = other_answered >= judge.outage.suspected_since();
        let silence = judge.outage.verdict(now, demand).filter(|_| is_alone)?;
        let complaint = judge.explain(family, silence);
        Some(track.break_down(complaint, now))
    }

    /// The same of a round that is followed by one that is answered.
    pub fn overtaken(&mut self, family: Family, sent: Moment, losses: u32) {
        if let Some(judge) = self.judge_mut(family) {
            judge.outage.failed(sent, losses);
        }
    }

    /// Another server answered in place of a target of the family.
    pub fn wrongly_answered(&mut self, family: Family, what: &str) {
        if let Some(judge) = self.judge_mut(family) {
            judge.wrong_answer = Some(what.to_owned());
        }
    }

    /// Nothing can be sent to the family's targets.
    pub fn not_sent(
        &mut self,
        family: Family,
        why: &str,
        now: Moment,
        demand: Demand,
    ) -> Option<FamilyTurn> {
        // Where neither can be asked it is the uplink's own trouble.
        if self.is_broken(other(family)) {
            return None;
        }
        self.judge_mut(family)?;
        let track = self.track_mut(family);
        let judge = track.judge.as_mut()?;
        let since = *judge.mute_since.get_or_insert(now);
        let is_long = now.since(since) >= demand.outage_within;
        if !is_long || judge.verdict == FamilyVerdict::Broken {
            return None;
        }
        Some(track.break_down(format!("{family} cannot be probed: {why}"), now))
    }

    /// That a family's probes were not sent says nothing about it.
    pub fn may_be_sent(&mut self, family: Family) {
        if let Some(judge) = &mut self.track_mut(family).judge {
            judge.mute_since = None;
        }
    }

    /// A round is complete: whether it was all of one family that the losses befell.
    pub fn closed(&mut self, round: &Round) {
        for (family, other) in PAIRS {
            if let Some(judge) = self.judge_mut(family)
                && round.is_answered_only_by(other)
            {
                judge.unshared += 1;
            }
        }
    }

    /// The losses of this family in that round are its own and not the link's. Of several targets
    /// of a family that are silent while the other family answers, that is plain at once.
    pub fn is_at_fault(&self, family: Family, round: &Round) -> bool {
        let other = other(family);
        let Some(judge) = self.judge(family) else {
            return false;
        };
        let is_plain = round.asked_of(family) > 1 || judge.unshared >= DOUBT;
        judge.verdict == FamilyVerdict::Broken || (is_plain && round.is_answered_only_by(other))
    }

    /// The outage test of a family that is judged by itself.
    pub fn outage_of(&self, family: Family) -> Option<&Outage> {
        Some(&self.judge(family)?.outage)
    }

    /// How the election sees the family.
    pub fn outlook(&self, family: Family) -> FamilyOutlook<'_> {
        let track = self.track(family);
        let judge = self.judge(family);
        FamilyOutlook {
            state: judge.map(|judge| match judge.verdict {
                FamilyVerdict::Unheard => State::Unknown,
                FamilyVerdict::Works => State::Up,
                FamilyVerdict::Broken => State::Down,
                FamilyVerdict::Trial => State::Recovering,
            }),
            well_since: judge.map(|judge| judge.well_since),
            way_since: track.way.as_ref().map(|(_, since)| *since),
            has_failed: track.has_failed,
            complaint: judge
                .map(|judge| judge.complaint.as_str())
                .filter(|complaint| !complaint.is_empty()),
        }
    }

    fn has(&self, family: Family, verdict: FamilyVerdict) -> bool {
        let judge = self.judge(family);
        judge.is_some_and(|judge| judge.verdict == verdict)
    }

    fn judge(&self, family: Family) -> Option<&FamilyJudge> {
        let judge = self.track(family).judge.as_deref();
        judge.filter(|_| self.are_apart)
    }

    fn judge_mut(&mut self, family: Family) -> Option<&mut FamilyJudge> {
        let are_apart = self.are_apart;
        let judge = self.track_mut(family).judge.as_deref_mut();
        judge.filter(|_| are_apart)
    }

    fn judges(&self) -> impl Iterator<Item = &FamilyJudge> {
        let families = Family::ROUTED.into_iter();
        families.filter_map(|family| self.judge(family))
    }

    fn track(&self, family: Family) -> &FamilyTrack {
        &self.of[family as usize]
    }

    fn track_mut(&mut self, family: Family) -> &mut FamilyTrack {
        &mut self.of[family as usize]
    }

    fn judges_mut(&mut self) -> impl Iterator<Item = &mut FamilyJudge> {
        self.of
            .iter_mut()
            .filter_map(|track| track.judge.as_deref_mut())
    }
}

impl FamilyTrack {
    fn break_down(&mut self, complaint: String, now: Moment) -> FamilyTurn {
        let Some(judge) = &mut self.judge else {
            return FamilyTurn::Quiet;
        };
        let was_on_trial = judge.verdict == FamilyVerdict::Trial;
        judge.verdict = FamilyVerdict::Broken;
        judge.well_since = now;
        judge.retry_at = now + RETRY_EVERY;
        judge.interrupt();
        if !was_on_trial {
            judge.complaint = complaint;
        }
        self.has_failed |= judge.has_worked;
        if judge.has_worked && !was_on_trial {
            FamilyTurn::Broke
        } else {
            FamilyTurn::Quiet
        }
    }
}

impl FamilyJudge {
    fn new(learner: Learner, now: Moment) -> Self {
        let mut outage = Outage::default();
        outage.recall(learner);
        Self {
            verdict: FamilyVerdict::Unheard,
            well_since: now,
            has_worked: false,
            outage,
            unshared: 0,
            mute_since: None,
            wrong_answer: None,
            retry_at: now,
            complaint: String::new(),
        }
    }

    fn heal(&mut self) -> FamilyTurn {
        self.verdict = FamilyVerdict::Works;
        self.complaint.clear();
        let has_worked = std::mem::replace(&mut self.has_worked, true);
        if has_worked {
            FamilyTurn::Healed
        } else {
            FamilyTurn::Quiet
        }
    }

    fn interrupt(&mut self) {
        self.outage.interrupt();
        self.unshared = 0;
        self.mute_since = None;
    }

    fn explain(&self, family: Family, silence: Silence) -> String {
        let other = other(family);
        if let Some(what) = &self.wrong_answer {
            format!("{family}: {what}")
        } else if self.has_worked {
            let lasts = seconds(silence.lasts);
            format!("{family} does not answer for {lasts}, {other} does")
        } else {
            format!("{family} has not answered yet, {other} does")
        }
    }
}

impl Round {
    fn is_answered_only_by(&self, family: Family) -> bool {
        let result = |family| self.result_of(family);
        result(family) == RoundResult::Answered && result(other(family)) == RoundResult::Failed
    }
}

const PAIRS: [(Family, Family); 2] = [(Family::Ipv4, Family::Ipv6), (Family::Ipv6, Family::Ipv4)];

fn other(family: Family) -> Family {
    match family {
        Family::Ipv4 => Family::Ipv6,
        Family::Ipv6 => Family::Ipv4,
    }
}
