//! What goes in and out of the kernel side.

use std::sync::Arc;

use super::error::KernelError;
use crate::routing::{Desired, Family, FlowMemory, Numbering, Observed};
use crate::units::InterfaceName;
use crate::units::sorted::SortedSet;

/// What the daemon wants of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Rises with every change; comes back in [`KernelReport::Applied`].
    pub revision: u64,
    /// What the kernel should hold. None before the first decision: the objects of an earlier run stay
    /// as they are. Empty: nothing of ours.
    pub desired: Option<Desired>,
    /// The interfaces whose default routes are reported.
    pub interfaces: SortedSet<InterfaceName>,
    /// The numbers of our routes and rules.
    pub numbering: Numbering,
    /// The uplinks whose flows are remembered, if any are. Without effect before the first decision.
    pub flow_memory: Option<FlowMemory>,
}

/// Whether flows are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FlowMemoryState {
    /// They are not to be, or not yet.
    #[default]
    Off,
    /// They are.
    On {
        /// What this kernel lacks for all of them.
        lacks: Option<FlowMemoryLack>,
    },
    /// The kernel refuses it; why.
    Without(String),
}

impl FlowMemoryState {
    /// Whether forwarded flows of a family are remembered.
    pub fn remembers(&self, family: Family) -> bool {
        match self {
            Self::On { lacks: None } => true,
            Self::On { lacks: Some(lack) } => !lack.has_no_ipv6 || family == Family::Ipv4,
            Self::Off | Self::Without(_) => false,
        }
    }
}

/// What a kernel's nf_tables lacks to remember all flows; one of the two, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowMemoryLack {
    /// IPv6.
    pub has_no_ipv6: bool,
    /// Chains of type `route`.
    pub has_no_output: bool,
}

impl std::fmt::Display for FlowMemoryLack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match (self.has_no_ipv6, self.has_no_output) {
            (_, false) => "this kernel's nf_tables has no IPv6: flows of IPv6 are not remembered",
            (false, true) => {
                "this kernel's nf_tables has no chains of type `route`: flows of the router itself are not remembered"
            }
            (true, true) => {
                "this kernel's nf_tables has neither IPv6 nor chains of type `route`: only forwarded IPv4 flows are \
                 remembered"
            }
        })
    }
}

/// The state of the flow memory, and the revision of [`Wanted`] that it is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowMemoryReport {
    /// The newest revision for which there is nothing more to do.
    pub revision: u64,
    /// Whether flows are remembered.
    pub state: FlowMemoryState,
}

/// Whether the kernel may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelAccess {
    /// The kernel is made to hold what is desired.
    Write,
    /// The kernel is only read.
    Observe,
}

/// What the kernel side reports.
#[derive(Debug)]
pub enum KernelReport {
    /// What the kernel holds now. The first report, and one for every difference.
    Observed(Arc<Observed>),
    /// The kernel holds what is desired at this revision, except for what it refused. Sent after the
    /// objects are read back, and again when the refusals change.
    Applied {
        /// The revision of [`Wanted`].
        revision: u64,
        /// How many operations were done.
        operations: usize,
        /// What the kernel refused.
        refused: Vec<RefusedOperation>,
    },
    /// Objects of ours were removed or changed by another program, and were put back.
    Reasserted(Restored),
    /// Whether flows are remembered may have changed.
    FlowMemory,
    /// The kernel cannot be reached, or cannot be written to. The last report.
    Lost(KernelError),
}

/// What was put back after another program had removed or changed it, all at about the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// The operations that put it back; each is here once, until its object has stayed for a while.
    pub what: Vec<String>,
    /// Some of it was put back a short time before, and more than once.
    pub is_again: bool,
}

/// An operation that the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedOperation {
    /// The operation as an `ip` command.
    pub operation: String,
    /// The kernel's reason.
    pub reason: String,
    /// A change of a link will not help.
    pub is_permanent: bool,
}
