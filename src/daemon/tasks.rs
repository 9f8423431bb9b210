//! What the daemon's own tasks report: by one queue, as each queue that the loop looks at costs an idle agent.

use std::net::{IpAddr, SocketAddr};

use tokio::sync::mpsc;

use crate::config::OnStop;
use crate::engine::input::DrillNews;
use crate::kernel::KernelError;
use crate::units::UplinkName;

/// Reports that may wait.
const QUEUE: usize = 32;

/// What a task reports.
pub(super) enum TaskReport {
    /// What became of the flows of a switch.
    Flows(FlowMoverReport),
    /// How many flows an uplink has that is drained.
    Counted(FlowCount),
    /// What has become of a drill.
    Drill(DrillNews),
    /// A signal has come.
    Signal(SignalRequest),
}

/// Where tasks report.
pub(super) type TaskOutbox = mpsc::Sender<TaskReport>;

/// The queue.
pub(super) fn queue() -> (TaskOutbox, mpsc::Receiver<TaskReport>) {
    mpsc::channel(QUEUE)
}

/// What became of the flows.
#[derive(Debug)]
pub(super) struct FlowMoverReport {
    /// The revision of the routes that left them behind.
    pub(super) revision: u64,
    pub(super) news: FlowMoverNews,
}

#[derive(Debug)]
pub(super) enum FlowMoverNews {
    /// The number that was ended, and the error if not all could be.
    Ended {
        count: usize,
        failed: Option<KernelError>,
    },
    /// The number that came back and was ended again.
    CameBack(usize),
    /// This machine itself still sends by an address that was left.
    Clings(Vec<(IpAddr, SocketAddr)>),
}

/// How many flows an uplink has now.
#[derive(Debug)]
pub(super) struct FlowCount {
    pub(super) uplink: UplinkName,
    pub(super) flows: Result<usize, KernelError>,
}

/// The meaning of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalRequest {
    /// Another agent takes over at once, after a restart or with a new version: what the kernel holds
    /// stays.
    HandOver,
    /// The end, as the configuration has it.
    Stop,
    /// The configuration is read again.
    Reload,
}

impl SignalRequest {
    /// The fate of the routes, for a signal that ends the agent.
    pub(super) fn on_stop(self, configured: OnStop) -> Option<OnStop> {
        match self {
            Self::HandOver => Some(OnStop::Keep),
            Self::Stop => Some(configured),
            Self::Reload => None,
        }
    }
}
