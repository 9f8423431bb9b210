//! Who carries the traffic.
//!
//! Leaving an uplink that is of no use is immediate; so is leaving a lesser one for one that answers
//! better. Coming back to a preferred uplink is slow: it must have been up for `failback_after`.
//! Where nothing is usable nobody is elected and the traffic stays where it is, so that the last
//! usable uplink is never left for nothing.

use std::cmp::Reverse;
use std::time::Duration;

use crate::engine::settings::Failback;
use crate::engine::status::State;
use crate::engine::uplink::seconds;
use crate::units::{Moment, Tier, UplinkName};

/// How fit an uplink is to carry traffic; more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fitness {
    /// Not at all.
    Unusable,
    /// Better than nothing.
    Trial,
    /// With complaints.
    Poor,
    /// Fully.
    Good,
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
    /// Who decides on the way back.
    pub failback: Failback,
    /// How long a preferred uplink must have been up.
    pub failback_after: Duration,
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

impl Candidate<'_> {
    /// The first verdict about it is under way.
    fn is_unjudged(&self) -> bool {
        self.has_path && self.state == State::Unknown
    }

    /// At the start it is worth a moment to hear of the preferred uplinks first.
    fn may_yet_beat(&self, best: &Self) -> bool {
        self.is_unjudged() && self.tier < best.tier
    }

    /// How fit it is.
    pub fn fitness(&self) -> Fitness {
        if !self.has_path {
            return Fitness::Unusable;
        }
        match self.state {
            State::Up => Fitness::Good,
            State::Degraded => Fitness::Poor,
            State::Recovering => Fitness::Trial,
            State::Unknown | State::Down | State::Disabled | State::Absent | State::Cold => {
                Fitness::Unusable
            }
        }
    }
}

/// Elects one of `candidates`, which stand in the order of the configuration.
pub fn elect(candidates: &[Candidate<'_>], terms: Terms<'_>, now: Moment) -> Choice {
    let usable = || {
        candidates
            .iter()
            .filter(|candidate| candidate.fitness() > Fitness::Unusable)
    };
    let chosen = usable()
        .filter(|candidate| candidate.fitness() >= Fitness::Poor)
        .find(|candidate| Some(candidate.name) == terms.chosen);
    if let Some(chosen) = chosen {
        return stay_or_move(chosen, terms, "chosen by hand".to_owned());
    }
    let best = usable().min_by_key(|candidate| (Reverse(candidate.fitness()), candidate.tier));
    let Some(best) = best else {
        return Choice::Nobody;
    };
    let active = candidates
        .iter()
        .find(|candidate| Some(candidate.name) == terms.active);
    let Some(active) = active else {
        if candidates.iter().any(|other| other.may_yet_beat(best)) {
            return Choice::Stay { until: None };
        }
        let reason = format!("{} is the first that is usable", best.name);
        return stay_or_move(best, terms, reason);
    };
    if active.is_unjudged() {
        return Choice::Stay { until: None };
    }
    if best.fitness() > active.fitness() {
        let reason = format!("{} {}: {}", active.name, active.state, active.reason);
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
        .filter(|candidate| candidate.tier < active.tier)
        .filter(|candidate| candidate.fitness() == Fitness::Good);
    let mut until = None;
    let mut due: Vec<_> = Vec::new();
    for candidate in preferred {
        let is_first_choice = !candidate.has_failed && !terms.is_adopted;
        let ready = match terms.failback {
            _ if is_first_choice => candidate.well_since,
            Failback::Auto => candidate.well_since + terms.failback_after,
            Failback::Manual => continue,
        };
        if ready <= now {
            due.push(candidate);
        } else {
            until = until.map_or(Some(ready), |earlier: Moment| Some(earlier.min(ready)));
        }
    }
    match due.iter().min_by_key(|candidate| candidate.tier) {
        Some(best) if best.has_failed || terms.is_adopted => Choice::Move {
            to: best.name.clone(),
            reason: format!(
                "failback: {} well for {}",
                best.name,
                seconds(now.since(best.well_since))
            ),
        },
        Some(best) => Choice::Move {
            to: best.name.clone(),
            reason: format!("{} is preferred", best.name),
        },
        None => Choice::Stay { until },
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
