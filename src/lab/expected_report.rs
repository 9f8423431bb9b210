//! What the agent is expected to report in a phase.

use std::fmt;

use crate::engine::event::EventKind;
use crate::lab::scenario::PhaseExpectation;

/// What the agent is expected to report.
#[derive(Clone, Copy, Debug)]
pub(super) enum ExpectedReport<'a> {
    /// An event of this kind.
    Event(EventKind),
    /// An event with these words in its reason.
    Reason(&'a str),
}

impl fmt::Display for ExpectedReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(kind) => f.write_str(kind.name()),
            Self::Reason(words) => write!(f, "`{words}`"),
        }
    }
}

impl PhaseExpectation {
    /// What the agent is expected to report.
    pub(super) fn reports(&self) -> impl Iterator<Item = ExpectedReport<'_>> {
        let event = self.says.map(ExpectedReport::Event);
        let reason = self.reason.as_deref().map(ExpectedReport::Reason);
        event.into_iter().chain(reason)
    }
}
