//! The kernel's links, routes and rules: observed, and made to match what is desired.
//!
//! [`start`] takes what is desired on a watch channel and reports what it observes and writes. Routes
//! and rules with our protocol number are ours; all others are only read.

mod backoff;
mod connection;
mod conntrack;
mod counter;
mod errno;
mod error;
mod exchange;
mod flow_keeper;
mod flow_table;
mod foreign_routes;
mod message;
mod monitor;
pub mod netfilter;
mod observe;
mod path_cut;
mod reconcile;
mod refused_options;
mod report;
mod reverse_path;
mod sockets;
mod survey;
mod target;
mod unwritten;
mod view;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use netlink_sys::protocols::NETLINK_ROUTE;
use tokio::sync::{mpsc, watch};

use crate::routing::{FlowMemory, Numbering, Observed};
use crate::units::InterfaceName;
use crate::units::sorted::SortedSet;
pub use conntrack::{
    UnansweredFlows, count_flows, end_flows, end_own_datagrams, end_unanswered, forget_flows,
};
pub use counter::{CounterReader, boot_id};
pub use error::KernelError;
use exchange::Exchange;
use flow_keeper::{FlowKeeper, FlowMemoryOrder};
pub use foreign_routes::{ForeignObjects, ForeignRoute, ForeignRule, foreign_objects};
pub use message::{LinkDetails, LinkKind};
use observe::Observer;
pub use path_cut::{LASTS as PATH_CUT_LASTS, PathCut, remove_path_cut};
use reconcile::Reconciler;
pub use report::{
    FlowMemoryLack, FlowMemoryReport, FlowMemoryState, KernelAccess, KernelReport,
    RefusedOperation, Restored, Wanted,
};
pub use reverse_path::{ReversePathFilter, looks_at_marks, reverse_path_filter};
pub use sockets::end_sockets;

/// Reports that may wait for the daemon.
const REPORT_QUEUE: usize = 64;

/// The running kernel side. It ends when this or the sender of [`Wanted`] is dropped.
#[derive(Debug)]
pub struct Kernel {
    /// The reports. The receiver must not fall behind: the kernel side stops while the queue is full.
    pub reports: mpsc::Receiver<KernelReport>,
    overruns: Arc<AtomicU32>,
    flow_memory: watch::Receiver<FlowMemoryReport>,
}

impl Kernel {
    /// Whether flows are remembered.
    pub fn flow_memory(&self) -> FlowMemoryState {
        self.flow_memory.borrow().state.clone()
    }

    /// The same, once nothing is left to do for this revision.
    pub async fn flow_memory_at(&mut self, revision: u64) -> FlowMemoryState {
        let is_done = |report: &FlowMemoryReport| report.revision >= revision;
        // It fails only if the task has ended, which changes nothing any more.
        drop(self.flow_memory.wait_for(is_done).await);
        self.flow_memory()
    }

    /// How often the kernel had more events than its buffer holds. A full look follows each overrun.
    pub fn overruns(&self) -> u32 {
        self.overruns.load(Ordering::Relaxed)
    }
}

/// Looks once at the interfaces, at the default routes of others through `interfaces`, and at the
/// objects of these numbers. Changes nothing and needs no runtime.
///
/// # Errors
/// If the kernel's lists cannot be read.
pub fn look(
    numbering: &Numbering,
    interfaces: &SortedSet<InterfaceName>,
) -> Result<Observed, KernelError> {
    let mut observer = Observer::open()?;
    let report = observer.survey(numbering.protocol)?;
    let mut seen = observer.look(numbering, &report.tables)?;
    report.survey.add_to(&mut seen, interfaces);
    Ok(seen)
}

/// Whether this kernel has resilient groups of nexthop objects. Changes nothing.
///
/// # Errors
/// If there is no netlink socket.
pub fn has_resilient_groups() -> Result<bool, KernelError> {
    let mut exchange = Exchange::open(NETLINK_ROUTE).map_err(KernelError::Socket)?;
    Ok(write::has_groups(&mut exchange))
}

/// Whether this kernel can remember flows like this. Changes nothing.
pub fn try_flow_memory(memory: &FlowMemory) -> FlowMemoryState {
    flow_keeper::try_out(memory)
}

/// Connects to the kernel and starts to observe, and with [`KernelAccess::Write`] to write, on the
/// current runtime and in its network namespace.
///
/// For a clean stop, send an empty [`Desired`](crate::routing::Desired) and wait for its
/// [`KernelReport::Applied`].
///
/// # Errors
/// If there are no netlink sockets.
pub fn start(
    wanted: watch::Receiver<Arc<Wanted>>,
    access: KernelAccess,
) -> Result<Kernel, KernelError> {
    let (sender, reports) = mpsc::channel(REPORT_QUEUE);
    let overruns = Arc::new(AtomicU32::new(0));
    let (orders, ordered) = watch::channel(FlowMemoryOrder::default());
    let (report, flow_memory) = watch::channel(FlowMemoryReport::default());
    if access == KernelAccess::Write {
        tokio::spawn(FlowKeeper::new(ordered, report, sender.clone()).run());
    }
    let reconciler = Reconciler::open(wanted, (sender, orders), access, overruns.clone())?;
    tokio::spawn(reconciler.run());
    Ok(Kernel {
        reports,
        overruns,
        flow_memory,
    })
}
