//! The flows of an uplink that was left: ended once the kernel holds the new routes, counted, and
//! looked for again.
//!
//! ```text
//!  daemon ── what was left ─────────────> task (1 for each switch, the newest only)
//!     ^                                     └─> a thread of the runtime's pool: tens of thousands of
//!     └──────── counts <────────────────────┘   flows take longer than the loop may stand still
//! ```

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::task::{AbortHandle, spawn, spawn_blocking};
use tokio::time::sleep;

use super::tasks::{FlowMoverNews, FlowMoverReport, TaskOutbox, TaskReport};
use crate::kernel::{
    KernelError, UnansweredFlows, end_flows, end_own_datagrams, end_sockets, end_unanswered,
    forget_flows,
};
use crate::routing::Family;
use crate::routing::flows::TrafficOf;
use crate::routing::traffic::Marks;
use crate::units::sorted::SortedSet;

/// When the flows are listed again, in case ended ones came back.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
/// Then what this machine itself sends is looked for once more: a tunnel that is idle sends something each 25 s.
const LOOK_LAST: Duration = Duration::from_secs(30);

/// The flows of uplinks that were left.
#[derive(Clone, Debug)]
pub(super) struct LeftFlows {
    /// Of this traffic.
    pub(super) of: TrafficOf,
    /// Those that are translated to these addresses are ended.
    pub(super) addresses: SortedSet<IpAddr>,
    /// The others are remembered by these marks, and not any more.
    pub(super) marks: SortedSet<(Family, Marks)>,
    /// The connections of the machine itself by these addresses are ended, too.
    pub(super) sockets: SortedSet<IpAddr>,
}

/// Ends flows, those of one switch at a time.
#[derive(Debug)]
pub(super) struct FlowMover {
    outbox: TaskOutbox,
    running: Option<AbortHandle>,
}

impl FlowMover {
    pub(super) fn new(outbox: TaskOutbox) -> Self {
        Self {
            outbox,
            running: None,
        }
    }

    /// Ends these flows. Flows of an earlier switch are no longer looked for: the traffic
    /// may be back there.
    pub(super) fn start(&mut self, revision: u64, left: Vec<LeftFlows>) {
        let outbox = self.outbox.clone();
        let work = async move {
            let (count, failed) = end(left.clone()).await;
            let report = |news| outbox.send(TaskReport::Flows(FlowMoverReport { revision, news }));
            // It is lost only when the agent ends.
            let _ = report(FlowMoverNews::Ended { count, failed }).await;
            own_datagrams(&left).await;
            for pause in LOOK_AGAIN {
                sleep(pause).await;
                if let (again @ 1.., _) = end(left.clone()).await {
                    let _ = report(FlowMoverNews::CameBack(again)).await;
                }
            }
            let mut own = own_datagrams(&left).await;
            if own.is_empty() {
                sleep(LOOK_LAST).await;
                own = own_datagrams(&left).await;
            }
            if !own.is_empty() {
                let _ = report(FlowMoverNews::Clings(own)).await;
            }
        };
        self.stop();
        self.running = Some(spawn(work).abort_handle());
    }

    /// Stops looking for flows.
    pub(super) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }
}

/// Ends what has begun on an uplink in doubt and has seen no answer. Nothing waits for that.
pub(super) fn retry_elsewhere(left: UnansweredFlows) {
    let work = move || match end_unanswered(&left) {
        Ok(count) => tracing::debug!(count, "connections without an answer are to begin anew"),
        Err(error) => tracing::debug!(%error, "connections without an answer stay where they are"),
    };
    drop(spawn_blocking(work));
}

/// What this machine itself sends by addresses that were left, and has sent since the last look.
async fn own_datagrams(left: &[LeftFlows]) -> Vec<(IpAddr, SocketAddr)> {
    let left = left.to_vec();
    let of_one =
        |left: &LeftFlows| end_own_datagrams(&left.addresses, &left.of).unwrap_or_default();
    let look = move || left.iter().flat_map(of_one).collect();
    spawn_blocking(look).await.unwrap_or_default()
}

/// On a thread that may block. Flows and sockets do not wait for each other.
async fn end(left: Vec<LeftFlows>) -> (usize, Option<KernelError>) {
    let work = move || {
        let ends = left.iter().map(end_all_of);
        ends.fold((0, None), |(count, failed), (more, error)| {
            (count + more, failed.or(error))
        })
    };
    spawn_blocking(work).await.unwrap_or((0, None))
}

fn end_all_of(left: &LeftFlows) -> (usize, Option<KernelError>) {
    let flows = end_flows(&left.addresses, &left.of);
    let forgotten = forget_flows(&left.marks, &left.addresses, &left.of);
    let sockets = if left.sockets.is_empty() {
        Ok(0)
    } else {
        end_sockets(&left.sockets, &left.of)
    };
    let count = [&flows, &sockets].into_iter().flatten().sum();
    let failed = flows.err().or(forgotten.err()).or(sockets.err());
    (count, failed)
}
