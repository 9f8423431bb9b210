//! The kernel's links, routes and rules: seen, and made as they should be.
//!
//! [`start`] is given what is wanted on a watch channel and reports what it sees and does. What is
//! ours carries our protocol number; everything else is only ever read.

mod backoff;
mod conntrack;
mod counter;
mod errno;
mod exchange;
mod foreign_routes;
mod message;
mod monitor;
mod observe;
mod reconcile;
mod sockets;
mod write;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use netlink_sys::protocols::NETLINK_ROUTE;
use tokio::sync::{mpsc, watch};

use crate::routing::{Desired, Observed};
use crate::units::{InterfaceName, Protocol};
pub use conntrack::{end_flows, established_flows};
pub use counter::CounterReader;
use exchange::Exchange;
pub use foreign_routes::{ForeignObjects, ForeignRoute, ForeignRule, foreign_objects};
pub use message::{LinkDetails, LinkKind};
use observe::{Observer, Scope};
use reconcile::Reconciler;
pub use sockets::end_sockets;

/// How many reports may wait for the daemon.
const REPORTS: usize = 64;

/// What the daemon wants of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Rises with every change; comes back in [`KernelReport::Applied`].
    pub revision: u64,
    /// What the kernel should hold. None until there is a decision: then whatever an earlier run
    /// left stays as it is. Empty: nothing of ours.
    pub desired: Option<Desired>,
    /// The interfaces whose default routes are worth knowing.
    pub interfaces: BTreeSet<InterfaceName>,
    /// What marks routes and rules as ours.
    pub protocol: Protocol,
}

/// Whether the kernel may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelAccess {
    /// What is wanted is brought about.
    Write,
    /// The kernel is only looked at.
    Observe,
}

/// What the kernel's side has to say.
#[derive(Debug)]
pub enum KernelReport {
    /// The kernel now looks like this; comes first, and then with every difference.
    Observed(Arc<Observed>),
    /// What was wanted at this revision is so, but for what the kernel refused. Read back, not
    /// merely asked for. Comes again when the refusals change.
    Applied {
        /// The revision of [`Wanted`].
        revision: u64,
        /// How many operations that took.
        operations: usize,
        /// What the kernel would not do.
        refused: Vec<RefusedOperation>,
    },
    /// Someone removed or changed something of ours, and it was put back. Said once, until it has
    /// been left alone for a while.
    Reasserted {
        /// The operation that put it back.
        what: String,
    },
    /// The kernel cannot be reached or will not be written to. The last report.
    Lost(KernelError),
}

/// An operation that the kernel would not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedOperation {
    /// The operation as an `ip` command.
    pub operation: String,
    /// The kernel's reason.
    pub reason: String,
    /// It will not succeed when a link changes.
    pub is_permanent: bool,
}

/// Why the kernel cannot be reached or written to.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// No netlink socket to be had.
    #[error("cannot open a netlink socket")]
    Socket(#[source] io::Error),
    /// Links, addresses, routes or rules cannot be listed.
    #[error("cannot list the kernel's links, addresses, routes and rules")]
    Look(#[source] io::Error),
    /// The flows cannot be listed or ended.
    #[error(
        "cannot reach the kernel's connection tracking (`nf_conntrack_netlink`; OpenWrt: \
         kmod-nf-conntrack-netlink)"
    )]
    Flows(#[source] io::Error),
    /// Connections of this machine cannot be ended.
    #[error("cannot end connections of this machine (the kernel needs `CONFIG_INET_DIAG_DESTROY`)")]
    Sockets(#[source] io::Error),
    /// No events.
    #[error("cannot listen to the kernel's events")]
    Listen(#[source] io::Error),
    /// No answer to a request.
    #[error("the kernel did not answer a request to change a route or a rule")]
    Change(#[source] io::Error),
    /// Not allowed.
    #[error(
        "may not change routes and rules: the capability CAP_NET_ADMIN is missing (run as root, or \
         grant it, as with `AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW` in a systemd unit)"
    )]
    Forbidden(#[source] io::Error),
}

impl KernelError {
    /// Whether trying again is of no use.
    fn is_final(&self) -> bool {
        match self {
            Self::Forbidden(_) => true,
            Self::Socket(_)
            | Self::Look(_)
            | Self::Flows(_)
            | Self::Sockets(_)
            | Self::Listen(_)
            | Self::Change(_) => false,
        }
    }
}

/// The running kernel side. It ends when this is dropped, or the sender of [`Wanted`].
#[derive(Debug)]
pub struct Kernel {
    /// What it has to say. To be read without delay: it stops when many wait.
    pub reports: mpsc::Receiver<KernelReport>,
    overruns: Arc<AtomicU32>,
}

impl Kernel {
    /// How often the kernel had more events than fit its buffer, each time followed by a full look.
    pub fn overruns(&self) -> u32 {
        self.overruns.load(Ordering::Relaxed)
    }
}

/// Looks once: at the interfaces, at the default routes which others have through `interfaces`, and
/// at what carries `protocol`. Changes nothing and needs no runtime.
///
/// # Errors
/// If the kernel cannot be asked.
pub fn look(
    protocol: Protocol,
    interfaces: &BTreeSet<InterfaceName>,
) -> Result<Observed, KernelError> {
    Observer::open()?.look(Scope {
        protocol,
        interfaces,
    })
}

/// Whether this kernel has resilient groups of nexthop objects. Changes nothing.
///
/// # Errors
/// If the kernel cannot be asked.
pub fn has_resilient_groups() -> Result<bool, KernelError> {
    let mut exchange = Exchange::open(NETLINK_ROUTE).map_err(KernelError::Socket)?;
    Ok(write::has_groups(&mut exchange))
}

/// Connects to the kernel and starts to look, and to write in [`KernelAccess::Write`], on the current
/// runtime and in its network namespace.
///
/// To stop cleanly, want an empty [`Desired`] and wait for its [`KernelReport::Applied`].
///
/// # Errors
/// If there are no netlink sockets to be had.
pub fn start(
    wanted: watch::Receiver<Arc<Wanted>>,
    mode: KernelAccess,
) -> Result<Kernel, KernelError> {
    let (sender, reports) = mpsc::channel(REPORTS);
    let overruns = Arc::new(AtomicU32::new(0));
    let reconciler = Reconciler::open(wanted, sender, mode, overruns.clone())?;
    tokio::spawn(reconciler.run());
    Ok(Kernel { reports, overruns })
}
