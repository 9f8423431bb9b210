//! Why traffic moves: a class for machines, and words for people.

use serde::{Deserialize, Serialize};

use crate::units::UplinkName;

/// The class of the reason of a switch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum SwitchCause {
    /// An earlier version recorded the switch, without a class.
    #[default]
    Unknown,
    /// Nothing carried the traffic before.
    Start,
    /// The uplink that is left does not work, or has no way out.
    Down,
    /// The uplink that is left answers, but loses or delays too much, or keeps falling.
    Degraded,
    /// A preferred uplink is healthy again, or for the first time.
    Failback,
    /// Under `best`: another uplink has proven to be better.
    Best,
    /// An operator chose it, or took the uplink that is left out of use.
    Manual,
    /// The path of the uplink that is left fails on purpose, or did.
    Drill,
    /// Under `balance`: an uplink joins those that share the traffic.
    Sharing,
    /// The allowance of the uplink that is left is used up.
    Allowance,
    /// A preferred uplink was healthy again, and waited for its hours.
    Schedule,
    /// The configuration has changed.
    Config,
    /// New connections only: the uplink that they leave is in doubt.
    Doubt,
}

impl SwitchCause {
    /// The word for it, in JSON and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Start => "start",
            Self::Down => "down",
            Self::Degraded => "degraded",
            Self::Failback => "failback",
            Self::Best => "best",
            Self::Manual => "manual",
            Self::Drill => "drill",
            Self::Sharing => "sharing",
            Self::Allowance => "allowance",
            Self::Schedule => "schedule",
            Self::Config => "config",
            Self::Doubt => "doubt",
        }
    }
}

/// Why traffic moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchReason {
    /// Its class.
    pub cause: SwitchCause,
    /// The same in words.
    pub text: String,
}

impl SwitchReason {
    /// A reason of this class.
    pub fn new(cause: SwitchCause, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { cause, text }
    }

    /// The same for traffic that these carried: where a choice seems to be the first, a reload has changed what is
    /// chosen from.
    #[must_use]
    pub fn of_move_from(mut self, from: &[UplinkName]) -> Self {
        if self.cause == SwitchCause::Start && !from.is_empty() {
            self.cause = SwitchCause::Config;
        }
        self
    }

    /// The same while an uplink is drilled: its path fails on purpose, and the traffic comes back when that is over.
    /// What leaves another uplink for a fault is no part of it.
    #[must_use]
    pub fn in_drill(self, drilled: &UplinkName, from: &[UplinkName], to: &[UplinkName]) -> Self {
        let text = match (from.contains(drilled), to.contains(drilled), self.cause) {
            (true, true, _)
            | (false, false, _)
            | (false, true, SwitchCause::Down | SwitchCause::Degraded) => return self,
            (false, true, SwitchCause::Failback | SwitchCause::Schedule) => {
                format!("drill: over, {drilled} answers again")
            }
            (true, false, _) | (false, true, _) => format!("drill: {}", self.text),
        };
        Self::new(SwitchCause::Drill, text)
    }

    /// Several reasons for one decision as one, of the class of the first.
    pub fn joined(reasons: &[Self]) -> Option<Self> {
        let cause = reasons.first()?.cause;
        let texts: Vec<_> = reasons.iter().map(|reason| &*reason.text).collect();
        Some(Self::new(cause, texts.join("; ")))
    }
}
