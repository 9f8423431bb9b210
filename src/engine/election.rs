//! Who carries the traffic.
//!
//! Leaving an uplink that is of no use is immediate; so is leaving a lesser one for one that answers
//! better. Coming back to a preferred uplink is slow: it must have been up for `failback_after`, and
//! not be suspected just now; one that keeps falling counts as a lesser one until it is steady again
//! ([`crate::engine::damping`]). A person's choice is preferred to any tier, is obeyed at once, and is
//! held while it is usable; once it has failed it comes back as any preferred uplink does. One that is
//! pinned is never left once it carries, whatever becomes of it, and gets the traffic as soon as it is
//! usable. Within a
//! tier the order is that of the configuration, or under `best` that of the score, and then only a
//! lasting advantage moves traffic that is well where it is ([`crate::engine::contest`]); under
//! `balance` whoever shares the traffic already goes before others. Of two that
//! are equally fit, one that misses probes at the moment yields to one that answers.
//!
//! Where nothing is usable nobody is elected and the traffic stays where it is, so that the last
//! usable uplink is never left for nothing.

use std::cmp::Reverse;
use std::time::Duration;

use crate::engine::contest::Contest;
use crate::engine::settings::{Failback, FailoverSettings, Policy};
use crate::engine::state::State;
use crate::engine::wording::seconds;
use crate::units::{Moment, Score, Tier, UplinkName};

/// A failback that a suspicion holds up is looked at again so soon.
const SOON: Duration = Duration::from_secs(1);

/// For so long a first verdict is waited for. It may never come where no probe can be paid for.
const FIRST_VERDICT: Duration = Duration::from_secs(10);

/// How fit an uplink is to carry traffic; more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fitness {
    /// Not at all.
    Unusable,
    /// Better than nothing.
    Trial,
    /// With complaints, or well but not for long, as often before.
    Poor,
    /// Fully.
    Good,
}

/// What an uplink does for the traffic, beside leading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Nothing.
    Aside,
    /// It shares what another one leads.
    Sharing,
}

/// An uplink as the election sees it.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// Its name.
    pub name: &'a UplinkName,
    /// Its tier.
    pub tier: Tier,
    /// Its state.
    pub state: State,
    /// Since when nothing has spoken against it.
    pub well_since: Moment,
    /// It has a way out.
    pub has_path: bool,
    /// It was down or degraded at some time in this run, so that the way to it is a failback.
    pub has_failed: bool,
    /// Something is unanswered just now.
    pub is_suspected: bool,
    /// It keeps falling and has to wait until then.
    pub suppressed_until: Option<Moment>,
    /// It shares the traffic that another one leads.
    pub role: Role,
    /// How good it has been of late, where that decides; none if that is not known, or if our own
    /// traffic fills it.
    pub score: Option<Score>,
    /// Why it is in its state.
    pub reason: &'a str,
}

/// What the election decides by, beside the candidates.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Who carries the traffic.
    pub active: Option<&'a UplinkName>,
    /// The traffic was found there at the start, so every way to another is a failback.
    pub is_adopted: bool,
    /// A person's choice.
    pub chosen: Option<&'a UplinkName>,
    /// That choice is held even when it is of no use.
    pub is_pinned: bool,
    /// A person asks for the best choice there is now, without any wait.
    pub is_asked: bool,
    /// The policy and its waits.
    pub failover: FailoverSettings,
    /// Who has been better for long.
    pub contest: &'a Contest,
}

/// The outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The traffic stays where it is; perhaps look again then.
    Stay {
        /// When a failback falls due.
        until: Option<Moment>,
    },
    /// It moves.
    Move {
        /// To whom.
        to: UplinkName,
        /// Why, in words.
        reason: String,
    },
    /// No uplink is usable.
    Nobody,
}

impl Choice {
    /// When the traffic that stays is to be looked at again.
    pub(super) fn due(self) -> Option<Moment> {
        match self {
            Self::Stay { until } => until,
            Self::Move { .. } | Self::Nobody => None,
        }
    }
}

impl Candidate<'_> {
    /// The same, if it has to wait until then.
    #[must_use]
    pub fn suppressed_by(self, suppressed_until: Option<Moment>) -> Self {
        Self {
            suppressed_until,
            ..self
        }
    }

    /// The first verdict about it is under way, and waited for until then.
    pub(super) fn judged_by(&self, now: Moment) -> Option<Moment> {
        let by = self.well_since + FIRST_VERDICT;
        let is_unjudged = self.has_path && self.state == State::Unknown;
        (is_unjudged && now < by).then_some(by)
    }

    /// It was passed over for `other`, or would have been, because it does not answer just now.
    pub fn is_passed_over_for(&self, other: &Self) -> bool {
        let is_equal = self.fitness() == other.fitness();
        is_equal && self.is_suspected && !other.is_suspected
    }

    /// How fit it is.
    pub fn fitness(&self) -> Fitness {
        if !self.has_path {
            return Fitness::Unusable;
        }
        match self.state {
            State::Up if self.suppressed_until.is_some() => Fitness::Poor,
            State::Up => Fitness::Good,
            State::Degraded => Fitness::Poor,
            State::Recovering => Fitness::Trial,
            State::Unknown | State::Down | State::Disabled | State::Absent | State::Cold => {
                Fitness::Unusable
            }
        }
    }

    /// Why it is left for another one.
    pub(super) fn explain_leaving(&self, other: &Self) -> String {
        if self.state == State::Up {
            return format!("{} keeps falling, {} does not", self.name, other.name);
        }
        format!("{} {}: {}", self.name, self.state, self.reason)
    }
}

impl Terms<'_> {
    fn is_chosen(&self, candidate: &Candidate<'_>) -> bool {
        Some(candidate.name) == self.chosen
    }

    /// Less is preferred.
    fn preference(&self, candidate: &Candidate<'_>) -> (bool, Tier) {
        (Some(candidate.name) != self.chosen, candidate.tier)
    }

    fn is_best_wanted(&self) -> bool {
        match self.failover.policy {
            Policy::Best => true,
            Policy::Failover | Policy::Balance => false,
        }
    }

    /// At the start it is worth a moment to hear of the preferred uplinks first.
    fn is_worth_the_wait(&self, candidate: &Candidate<'_>, best: &Candidate<'_>) -> bool {
        let is_preferred = self.preference(candidate) < self.preference(best);
        let may_be_better = self.is_best_wanted() && candidate.tier == best.tier;
        is_preferred || may_be_better
    }

    /// Traffic that is well with `active` is to go to `candidate` as soon as that is ready.
    fn is_preferred(&self, candidate: &Candidate<'_>, active: &Candidate<'_>) -> bool {
        let (wanted, held) = (self.preference(candidate), self.preference(active));
        let best = self.failover.best;
        let is_better = match (candidate.score, active.score) {
            (Some(score), Some(other)) if self.is_asked => {
                score.0 >= other.0.saturating_add(best.margin.0)
            }
            (Some(_) | None, _) => self.contest.is_won_by(candidate.name, best),
        };
        wanted < held || (wanted == held && is_better)
    }

    /// When a preferred uplink may take the traffic; none: when a person says so.
    pub(super) fn ready(&self, candidate: &Candidate<'_>, now: Moment) -> Option<Moment> {
        if self.is_asked {
            return Some(now);
        }
        let ready = if self.is_failback(candidate) {
            match self.failover.failback {
                Failback::Auto => candidate.well_since + self.failover.failback_after,
                Failback::Manual => return None,
            }
        } else {
            candidate.well_since
        };
        let held_up = candidate.is_suspected.then(|| now + SOON);
        Some(ready.max(held_up.unwrap_or(ready)))
    }

    /// The way to it is one back.
    pub(super) fn is_failback(&self, candidate: &Candidate<'_>) -> bool {
        candidate.has_failed || self.is_adopted
    }
}

/// Elects one of `candidates`, which stand in the order of the configuration.
pub fn elect(candidates: &[Candidate<'_>], terms: Terms<'_>, now: Moment) -> Choice {
    let usable = || {
        candidates
            .iter()
            .filter(|candidate| candidate.fitness() > Fitness::Unusable)
    };
    let active = candidates
        .iter()
        .find(|candidate| Some(candidate.name) == terms.active);
    let chosen = usable()
        .filter(|candidate| candidate.fitness() >= Fitness::Poor)
        .find(|candidate| Some(candidate.name) == terms.chosen);
    if let Some(chosen) = chosen {
        let is_held = active.is_none_or(|active| active.name == chosen.name);
        if is_held || terms.is_asked || terms.is_pinned {
            return stay_or_move(chosen, terms, "chosen by hand".to_owned());
        }
    }
    let is_pinned_here = terms.is_pinned && active.is_some_and(|active| terms.is_chosen(active));
    if is_pinned_here && usable().next().is_some() {
        return Choice::Stay { until: None };
    }
    let best = usable().min_by_key(|candidate| {
        let fitness = Reverse(candidate.fitness());
        (
            fitness,
            candidate.is_suspected,
            terms.preference(candidate),
            Reverse(candidate.role),
            Reverse(candidate.score),
        )
    });
    let Some(best) = best else {
        return Choice::Nobody;
    };
    let Some(active) = active else {
        let others = candidates.iter();
        let awaited = others.filter(|other| terms.is_worth_the_wait(other, best));
        if let Some(until) = awaited.filter_map(|other| other.judged_by(now)).min() {
            return Choice::Stay { until: Some(until) };
        }
        let reason = format!("{} is the first that is usable", best.name);
        return stay_or_move(best, terms, reason);
    };
    if let Some(until) = active.judged_by(now) {
        return Choice::Stay { until: Some(until) };
    }
    if best.fitness() > active.fitness() {
        let mut reason = active.explain_leaving(best);
        if terms.is_chosen(active) {
            reason.push_str("; it had been chosen by hand");
        }
        return stay_or_move(best, terms, reason);
    }
    fail_back(candidates, active, terms, now)
}

/// The traffic is as well off as it can be where it is; a preferred uplink may take it back.
fn fail_back(
    candidates: &[Candidate<'_>],
    active: &Candidate<'_>,
    terms: Terms<'_>,
    now: Moment,
) -> Choice {
    let preferred = candidates
        .iter()
        .filter(|candidate| candidate.fitness() == Fitness::Good)
        .filter(|candidate| terms.is_preferred(candidate, active));
    let ready = preferred.filter_map(|candidate| Some((candidate, terms.ready(candidate, now)?)));
    let (due, later): (Vec<_>, Vec<_>) = ready.partition(|(_, ready)| *ready <= now);
    let best = due
        .iter()
        .min_by_key(|(candidate, _)| (terms.preference(candidate), Reverse(candidate.score)));
    match best {
        Some((best, _)) => Choice::Move {
            to: best.name.clone(),
            reason: explain_coming(best, active, terms, now),
        },
        None => Choice::Stay {
            until: later.iter().map(|(_, ready)| *ready).min(),
        },
    }
}

fn explain_coming(
    best: &Candidate<'_>,
    active: &Candidate<'_>,
    terms: Terms<'_>,
    now: Moment,
) -> String {
    let is_preferred = terms.preference(best) < terms.preference(active);
    match (best.score, active.score) {
        (Some(score), Some(other)) if !is_preferred => {
            format!(
                "{} is better: score {score}, {} {other}",
                best.name, active.name
            )
        }
        (Some(_) | None, _) if terms.is_failback(best) => {
            let well_for = seconds(now.since(best.well_since));
            format!("failback: {} well for {well_for}", best.name)
        }
        (Some(_) | None, _) => format!("{} is preferred", best.name),
    }
}

fn stay_or_move(candidate: &Candidate<'_>, terms: Terms<'_>, reason: String) -> Choice {
    if terms.active == Some(candidate.name) {
        Choice::Stay { until: None }
    } else {
        Choice::Move {
            to: candidate.name.clone(),
            reason,
        }
    }
}
