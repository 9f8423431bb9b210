//! The agent's part in a drain, which the engine decides on: it lists the flows of the uplink, and answers the
//! operator.
//!
//! ```text
//!  daemon ── addresses of the uplink ──> task (1 for each drain)
//!     ^                                     └─> a thread of the runtime's pool lists its flows, at
//!     └──────── its flows <─────────────────┘   once and then every two seconds
//! ```

use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, spawn, spawn_blocking};
use tokio::time::sleep;

use super::Daemon;
use crate::control::{Call, Request, Response};
use crate::engine::action::DrainOrder;
use crate::engine::command::Command;
use crate::engine::input::Input;
use crate::kernel::{KernelError, established_flows};
use crate::routing::traffic::Flow;
use crate::units::UplinkName;
use crate::units::sorted::{SortedMap, SortedSet};

/// How often the flows are listed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How many lists may wait for the daemon.
const LISTS: usize = 16;

/// The flows of an uplink, as they are now.
#[derive(Debug)]
pub(super) struct FlowList {
    uplink: UplinkName,
    flows: Result<SortedSet<Flow>, KernelError>,
}

/// The drains in progress: one task each.
#[derive(Debug)]
pub(super) struct DrainTasks {
    /// The callers that wait for an uplink to be out of service.
    calls: SortedMap<UplinkName, Call>,
    listers: SortedMap<UplinkName, Lister>,
    lists: (mpsc::Sender<FlowList>, mpsc::Receiver<FlowList>),
}

/// A task that lists flows until it is dropped.
#[derive(Debug)]
struct Lister(AbortHandle);

impl Drop for Lister {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl DrainTasks {
    pub(super) fn new() -> Self {
        Self {
            calls: SortedMap::new(),
            listers: SortedMap::new(),
            lists: mpsc::channel(LISTS),
        }
    }

    /// The next list of flows.
    pub(super) async fn list(&mut self) -> Option<FlowList> {
        self.lists.1.recv().await
    }

    fn end(&mut self, uplink: &UplinkName) -> Option<Call> {
        self.listers.remove(uplink);
        self.calls.remove(uplink)
    }
}

impl Daemon {
    /// Begins a drain; the call is answered when the uplink is out of service.
    pub(super) fn drain(&mut self, call: Call, command: &Command, uplink: UplinkName) {
        if self.options.observe {
            let why = "this agent only observes: it cannot hold flows".to_owned();
            call.answer(Response::Refused(why));
        } else if let Err(refusal) = self.decisions.engine.check(command) {
            call.answer(refusal.into());
        } else {
            let issued = self.issued(&call.by, command.clone());
            self.drains.calls.insert(uplink, call);
            self.decisions.tell(Input::Command(issued));
        }
    }

    /// Carries out a step of a drain, and answers the operator.
    pub(super) fn advance_drain(&mut self, uplink: UplinkName, order: DrainOrder) {
        match order {
            DrainOrder::List(addresses) => {
                let work = list(uplink.clone(), addresses, self.drains.lists.0.clone());
                let lister = Lister(spawn(work).abort_handle());
                self.drains.listers.insert(uplink, lister);
            }
            DrainOrder::Begun { held, moved, limit } => {
                if let Some(call) = self.drains.calls.remove(&uplink) {
                    let limit = humantime::format_duration(limit).to_string();
                    let limit = limit.replace(' ', "");
                    let mut done = match held {
                        0 => format!(
                            "{uplink} carries no traffic until `enable`: no flow was established"
                        ),
                        1 => format!(
                            "{uplink} takes no new flows until `enable`; 1 established flow goes on for {limit} at most"
                        ),
                        _ => format!(
                            "{uplink} takes no new flows until `enable`; {held} established ones go on for {limit} at most"
                        ),
                    };
                    if moved > 0 {
                        let _ = write!(done, ", {moved} are too many and move");
                    }
                    if let Request::Command(command) = &call.request {
                        let issued = self.issued(&call.by, command.clone());
                        done = self.followed(&issued, done);
                    }
                    call.answer(Response::Done(done));
                }
            }
            DrainOrder::Failed(why) => {
                if let Some(call) = self.drains.end(&uplink) {
                    call.answer(Response::Refused(why));
                }
            }
            DrainOrder::Over => drop(self.drains.end(&uplink)),
        }
    }

    /// Takes the flows of an uplink that is drained.
    pub(super) fn flows_listed(&mut self, list: FlowList) {
        let FlowList { uplink, flows } = list;
        self.decisions.tell(match flows {
            Ok(flows) => Input::FlowsListed { uplink, flows },
            Err(error) => {
                let why = format!("{:#}", anyhow::Error::from(error));
                tracing::debug!(%uplink, why, "cannot list the flows of an uplink that is drained");
                Input::FlowsUnknown { uplink, why }
            }
        });
    }

    /// Notifies the engine that the kernel holds its routes, if a drain waits for that.
    pub(super) fn report_held_routes(&mut self) -> bool {
        let are_held = self.kernel.held_revision() >= self.kernel.revision();
        let is_due = self.decisions.engine.awaits_routes() && are_held;
        if is_due {
            self.decisions.tell(Input::RoutesHeld);
        }
        is_due
    }
}

/// Lists the flows of an uplink again and again, on a thread that may block.
async fn list(uplink: UplinkName, addresses: SortedSet<IpAddr>, lists: mpsc::Sender<FlowList>) {
    loop {
        let own = addresses.clone();
        let Ok(flows) = spawn_blocking(move || established_flows(&own)).await else {
            return;
        };
        let uplink = uplink.clone();
        if lists.send(FlowList { uplink, flows }).await.is_err() {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}
