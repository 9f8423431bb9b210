//! The agent's part in a drain, which the engine decides on: it counts the flows of the uplink, and answers the
//! operator.
//!
//! ```text
//!  daemon ── marks of its flows ──> task (1 for each drain)
//!     ^                                └─> a thread of the runtime's pool counts them, at once
//!     └──────── how many <─────────────┘   and then every two seconds
//! ```

use std::time::Duration;

use tokio::task::{AbortHandle, spawn, spawn_blocking};
use tokio::time::sleep;

use super::Daemon;
use super::tasks::{FlowCount, TaskOutbox, TaskReport};
use crate::control::{Call, Request, Response};
use crate::engine::action::DrainOrder;
use crate::engine::command::Command;
use crate::engine::input::Input;
use crate::kernel::count_flows;
use crate::routing::Family;
use crate::routing::traffic::Marks;
use crate::units::UplinkName;
use crate::units::sorted::{SortedMap, SortedSet};

/// How often the flows are counted.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The drains in progress: one task each.
#[derive(Debug)]
pub(super) struct DrainTasks {
    /// The callers that wait for an uplink to be out of service.
    calls: SortedMap<UplinkName, Call>,
    counters: SortedMap<UplinkName, FlowCounter>,
    outbox: TaskOutbox,
}

/// A task that counts flows until it is dropped.
#[derive(Debug)]
struct FlowCounter {
    families: SortedSet<Family>,
    task: AbortHandle,
}

impl Drop for FlowCounter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl DrainTasks {
    pub(super) fn new(outbox: TaskOutbox) -> Self {
        Self {
            calls: SortedMap::new(),
            counters: SortedMap::new(),
            outbox,
        }
    }

    fn end(&mut self, uplink: &UplinkName) -> Option<Call> {
        self.counters.remove(uplink);
        self.calls.remove(uplink)
    }
}

impl Daemon {
    /// Begins a drain; the call is answered when the uplink is out of service.
    pub(super) fn drain(&mut self, call: Call, command: &Command, uplink: UplinkName) {
        if self.options.observe {
            let why = "this agent only observes: it cannot keep flows".to_owned();
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
            DrainOrder::CountFlows(families) => self.count_flows(uplink, families),
            DrainOrder::Begun { flows, limit } => {
                if let Some(call) = self.drains.calls.remove(&uplink) {
                    let limit = humantime::format_duration(limit).to_string();
                    let limit = limit.replace(' ', "");
                    let mut done = match flows {
                        0 => format!(
                            "{uplink} carries no traffic until `enable`: no flow was established"
                        ),
                        1 => format!(
                            "{uplink} takes no new flows until `enable`; 1 established flow goes on for {limit} at most"
                        ),
                        _ => format!(
                            "{uplink} takes no new flows until `enable`; {flows} established ones go on for {limit} at most"
                        ),
                    };
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

    /// The uplinks may have other marks than before a reload.
    pub(super) fn count_flows_anew(&mut self) {
        let counters = std::mem::take(&mut self.drains.counters);
        for (uplink, counter) in counters {
            self.count_flows(uplink, counter.families.clone());
        }
    }

    fn count_flows(&mut self, uplink: UplinkName, families: SortedSet<Family>) {
        let settings = &self.config.engine;
        let mut places = (0..).zip(&settings.uplinks);
        let place = places.find_map(|(place, one)| (one.name == uplink).then_some(place));
        let marks = place.and_then(|place| settings.numbering.flow_mark(place));
        let marks = families.iter().filter_map(|family| Some((*family, marks?)));
        let work = count(uplink.clone(), marks.collect(), self.drains.outbox.clone());
        let task = spawn(work).abort_handle();
        let counter = FlowCounter { families, task };
        self.drains.counters.insert(uplink, counter);
    }

    /// Takes the number of flows of an uplink that is drained.
    pub(super) fn flows_counted(&mut self, count: FlowCount) {
        let FlowCount { uplink, flows } = count;
        if let Some(call) = self.drains.calls.get(&uplink)
            && let Request::Command(command) = &call.request
        {
            let issued = self.issued(&call.by, command.clone());
            self.pending.note_command(&issued);
        }
        self.decisions.tell(match flows {
            Ok(flows) => Input::FlowsCounted { uplink, flows },
            Err(error) => {
                let why = format!("{:#}", anyhow::Error::from(error));
                tracing::debug!(%uplink, why, "cannot count the flows of an uplink that is drained");
                Input::FlowsUnknown { uplink, why }
            }
        });
    }
}

/// Counts the flows of an uplink again and again, on a thread that may block.
async fn count(uplink: UplinkName, marks: SortedSet<(Family, Marks)>, outbox: TaskOutbox) {
    loop {
        let own = marks.clone();
        let Ok(flows) = spawn_blocking(move || count_flows(&own)).await else {
            return;
        };
        let uplink = uplink.clone();
        let count = TaskReport::Counted(FlowCount { uplink, flows });
        if outbox.send(count).await.is_err() {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}
