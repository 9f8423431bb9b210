//! An uplink as an election sees it.

use std::time::Duration;

use crate::engine::allowance::AllowanceStanding;
use crate::engine::event::cause::{SwitchCause, SwitchReason};
use crate::engine::family::FamilyOutlook;
use crate::engine::ids::UplinkId;
use crate::engine::state::State;
use crate::engine::wording::in_state;
use crate::units::{Moment, Score, Tier, UplinkName};

/// For so long a first verdict is waited for. It may never come where no probe can be paid for.
const FIRST_VERDICT: Duration = Duration::from_secs(10);

/// Why a family without a way out is of no use.
const NO_WAY: &str = "has no way out";
/// Why an uplink that works is left, or not taken.
pub const SPENT: &str = "its allowance is used up";

/// How fit an uplink is to carry traffic; more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fitness {
    /// Not at all.
    Unusable,
    /// Better than nothing.
    Trial,
    /// Its allowance is used up: only where nothing else is usable.
    LastResort,
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
    /// It carries a part of what another one leads: a share, or a family.
    Sharing,
}

/// An uplink as the election sees it.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// Which uplink.
    pub id: UplinkId,
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
    /// The same without its jitter, while the carrying uplink is degraded.
    pub delivery: Option<Score>,
    /// By how many points another one must deliver better to pay for the switch.
    pub switch_points: f64,
    /// How it stands to its allowance.
    pub allowance: AllowanceStanding,
    /// Why it is in its state.
    pub reason: &'a str,
}

impl<'a> Candidate<'a> {
    /// The same, if it has to wait until then.
    #[must_use]
    pub fn suppressed_by(self, suppressed_until: Option<Moment>) -> Self {
        Self {
            suppressed_until,
            ..self
        }
    }

    /// The same, if an operator has chosen it: it need not be the last resort.
    #[must_use]
    pub fn chosen_by_hand(mut self, is_chosen: bool) -> Self {
        if is_chosen && self.allowance == AllowanceStanding::LastResort {
            self.allowance = AllowanceStanding::Free;
        }
        self
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
        match self.allowance {
            AllowanceStanding::Free => self.condition(),
            AllowanceStanding::LastResort => self.condition().min(Fitness::LastResort),
            AllowanceStanding::Off => Fitness::Unusable,
        }
    }

    /// How fit it is but for its allowance.
    pub fn condition(&self) -> Fitness {
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

    /// It is degraded, and `other` does not promise to make up for what a switch costs. Scores differ by up to
    /// `margin` by chance.
    pub(super) fn is_not_worth_leaving_for(&self, other: &Self, margin: Score) -> bool {
        let is_only_degraded = self.has_path && self.state == State::Degraded && !self.is_spent();
        match (self.delivery, other.delivery) {
            (Some(own), Some(others)) if is_only_degraded => {
                f64::from(others.0) < f64::from(own.0) + f64::from(margin.0) + self.switch_points
            }
            (Some(_) | None, _) => false,
        }
    }

    /// Why it is left for another one.
    pub(super) fn explain_leaving(&self, other: &Self) -> SwitchReason {
        let text = if self.is_spent() {
            format!("{}: {SPENT}", self.name)
        } else if self.state == State::Up {
            format!("{} keeps falling, {} does not", self.name, other.name)
        } else {
            format!("{} {}", self.name, in_state(self.state, ": ", self.reason))
        };
        SwitchReason::new(self.cause_of_leaving(), text)
    }

    /// It could carry traffic but for its allowance.
    pub(super) fn is_spent(&self) -> bool {
        self.fitness() < self.condition()
    }

    /// The class of the reason for which it is left.
    pub(super) fn cause_of_leaving(&self) -> SwitchCause {
        match self.state {
            _ if self.is_spent() => SwitchCause::Allowance,
            State::Disabled => SwitchCause::Manual,
            State::Up | State::Degraded if self.has_path => SwitchCause::Degraded,
            State::Up
            | State::Degraded
            | State::Recovering
            | State::Unknown
            | State::Down
            | State::Absent
            | State::Cold => SwitchCause::Down,
        }
    }

    /// The same for one family of it. `is_leader`: it carries the other one, and is left for what is wrong with
    /// this family alone.
    #[must_use]
    pub fn of_family(self, outlook: FamilyOutlook<'a>, is_leader: bool) -> Self {
        let since = outlook.well_since.unwrap_or(self.well_since);
        let reason = match outlook.way_since {
            Some(_) => outlook.complaint.unwrap_or(self.reason),
            None => NO_WAY,
        };
        Self {
            state: together(self.state, outlook.state, is_leader),
            well_since: outlook.way_since.map_or(since, |way| way.max(since)),
            has_path: outlook.way_since.is_some(),
            has_failed: outlook.has_failed || (outlook.state.is_none() && self.has_failed),
            reason,
            ..self
        }
    }
}

/// The state in which an uplink is for a family that is judged apart, or not.
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
