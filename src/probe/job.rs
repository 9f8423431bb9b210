//! What goes in and out of the prober thread.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::action::{ProbeOrder, TraceOrder};
use crate::engine::input::{ProbeOutcome, TracedPath};
use crate::units::{IfIndex, InterfaceName, Mark, ProbeId, UplinkName};

/// A probe to send, and its way out.
#[derive(Clone, Debug)]
pub struct ProbeJob {
    /// The engine's order.
    pub probe: ProbeOrder,
    /// The way it leaves the machine.
    pub exit: ProbeExit,
    /// The resolvers for names through this uplink; empty: those of this machine.
    pub resolvers: Vec<IpAddr>,
}

/// The way a probe leaves the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeExit {
    /// The uplink's interface.
    pub interface: InterfaceName,
    /// Its index now; another index means another interface of the same name.
    pub index: IfIndex,
    /// The mark whose rule leads to the uplink's table, also where two uplinks share an interface.
    pub mark: Mark,
}

/// A path to trace, and the way out to it.
#[derive(Clone, Debug)]
pub struct TraceJob {
    /// The engine's order.
    pub trace: TraceOrder,
    /// The way its echoes leave the machine.
    pub exit: ProbeExit,
}

/// What comes out of the prober thread.
#[derive(Clone, Debug)]
pub enum ProberReport {
    /// What became of a probe.
    Outcome(ProbeReport),
    /// A probe left so much later than it was ordered.
    SentLate {
        /// Its uplink.
        uplink: UplinkName,
        /// Its number.
        id: ProbeId,
        /// By how much.
        by: Duration,
    },
    /// Who answered at the first hops of a path.
    Traced(TracedPath),
    /// All answers that had come by then are reported.
    AnswersRead(Instant),
}

/// The outcome of a probe.
#[derive(Clone, Debug)]
pub struct ProbeReport {
    /// Its uplink.
    pub uplink: UplinkName,
    /// Its number.
    pub id: ProbeId,
    /// Its outcome. A probe without an answer is not reported.
    pub outcome: ProbeOutcome,
}

impl ProbeJob {
    /// The report of a probe that was not sent.
    pub(super) fn report(&self, outcome: ProbeOutcome) -> ProbeReport {
        ProbeReport {
            uplink: self.probe.uplink.clone(),
            id: self.probe.id,
            outcome,
        }
    }
}
