//! Maintenance that lets established flows end: `disable NAME --drain`.
//!
//! ```text
//!  daemon ── addresses of the uplink ──> task (1 for each drain)
//!     ^                                     └─> a thread of the runtime's pool lists its flows, at
//!     └──────── its flows <─────────────────┘   once and then every two seconds
//! ```
//! A forwarded packet is routed before it is translated, so a flow stays with its uplink if a rule
//! names it by what it is before: address, port and protocol of both ends. These rules come first; when
//! the kernel holds them the uplink is disabled, and everything new goes another way. The rules of
//! flows that have ended go. When none is left, when the time is over, or when the uplink dies, the
//! drain is over, and what is still open is ended as after any departure.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, spawn, spawn_blocking};
use tokio::time::sleep;

use super::{Daemon, flows};
use crate::control::{Call, Response};
use crate::engine::action::Departure;
use crate::engine::command::Command;
use crate::engine::event::{Change, Event};
use crate::engine::input::Input;
use crate::kernel::{KernelError, established_flows};
use crate::routing::traffic::Flow;
use crate::routing::{Attachment, RoutingMode};
use crate::units::{Moment, UplinkName};

/// How often it is looked which flows have ended.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// So many flows are held: the kernel compares every packet that it routes with each of the rules.
const MOST: usize = 512;
/// By then the rules of a drain that is over are gone.
const LET_GO_WITHIN: Duration = Duration::from_millis(200);
/// How many lists may wait for the daemon.
pub(super) const REPORTS: usize = 16;

/// The drain of one uplink.
#[derive(Debug)]
pub(super) struct Drain {
    stage: Stage,
    /// Whom to tell when the uplink is out of service.
    call: Option<Call>,
    addresses: BTreeSet<IpAddr>,
    limit: Duration,
    lister: AbortHandle,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Its flows are not known yet.
    Listing,
    /// Of so many, the rules are being written; with this revision, once it has one.
    Holding { found: usize, revision: Option<u64> },
    /// It takes no new flows.
    Open { until: Moment },
}

/// The flows of an uplink, as they are now.
#[derive(Debug)]
pub(super) struct Report {
    uplink: UplinkName,
    flows: Result<BTreeSet<Flow>, KernelError>,
}

impl Drain {
    /// When it is over at the latest, once it has begun.
    pub(super) fn until(&self) -> Option<Moment> {
        match self.stage {
            Stage::Open { until } => Some(until),
            Stage::Listing | Stage::Holding { .. } => None,
        }
    }

    fn answer(&mut self, response: &Response) {
        if let Some(call) = self.call.take() {
            call.answer(response);
        }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.lister.abort();
    }
}

impl Daemon {
    /// Begins a drain; the call is answered when the uplink is out of service.
    pub(super) fn drain(&mut self, call: Call, uplink: UplinkName, limit: Duration) {
        if let Some(why) = self.why_no_drain(&uplink) {
            call.answer(&Response::Refused(why));
            return;
        }
        let sources = self.attachments.get(&uplink).map(|link| &link.sources);
        let addresses: BTreeSet<_> = sources.into_iter().flatten().map(IpNet::addr).collect();
        let work = list(uplink.clone(), addresses.clone(), self.flow_lists.0.clone());
        let drain = Drain {
            stage: Stage::Listing,
            call: Some(call),
            addresses,
            limit,
            lister: spawn(work).abort_handle(),
        };
        self.drains.insert(uplink, drain);
    }

    fn why_no_drain(&self, uplink: &UplinkName) -> Option<String> {
        if let Err(refusal) = self.engine.check(&Command::disable(uplink.clone())) {
            return Some(refusal.to_string());
        }
        let advice = "`disable` without --drain moves them";
        let is_without_rules = self.config.engine.numbering.mode == RoutingMode::Main;
        if self.drains.contains_key(uplink) {
            Some(format!("{uplink} is being drained already"))
        } else if is_without_rules {
            Some(format!(
                "routing.mode = \"main\" cannot hold flows: {advice}"
            ))
        } else if let Some(other) = self.shares_an_address(uplink) {
            Some(format!(
                "{other} has the same address: whose flows are whose is not known, {advice}"
            ))
        } else if self.options.observe {
            Some("this agent only observes: it cannot hold flows".to_owned())
        } else {
            None
        }
    }

    fn shares_an_address(&self, uplink: &UplinkName) -> Option<&UplinkName> {
        let own = &self.attachments.get(uplink)?.sources;
        let has_one = |(other, link): &(&UplinkName, &Attachment)| {
            let mut sources = link.sources.iter();
            *other != uplink && sources.any(|source| own.iter().any(|o| o.addr() == source.addr()))
        };
        self.attachments
            .iter()
            .find(has_one)
            .map(|(other, _)| other)
    }

    /// Takes the flows of an uplink that is drained. None comes to those that are held: what is new
    /// goes another way.
    pub(super) fn flows_listed(&mut self, report: Report) {
        let Report { uplink, flows } = report;
        let Some(drain) = self.drains.get_mut(&uplink) else {
            return;
        };
        let flows = match (flows, drain.stage) {
            (Ok(flows), Stage::Listing | Stage::Holding { .. }) => {
                drain.stage = Stage::Holding {
                    found: flows.len(),
                    revision: None,
                };
                flows.into_iter().take(MOST).collect()
            }
            (Ok(flows), Stage::Open { .. }) => {
                let held = self.engine.held(&uplink).into_iter().flatten();
                held.filter(|flow| flows.contains(flow)).copied().collect()
            }
            (Err(error), stage) => {
                let why = format!("{:#}", anyhow::Error::from(error));
                match stage {
                    Stage::Listing | Stage::Holding { .. } => self.give_up_drain(&uplink, &why),
                    Stage::Open { .. } => {
                        tracing::debug!(%uplink, why, "cannot look which flows have ended");
                    }
                }
                return;
            }
        };
        self.tell(Input::Held { uplink, flows });
    }

    /// Takes each drain as far as it can go by now; says whether the engine was told anything.
    pub(super) fn advance_drains(&mut self) -> bool {
        let mut has_told = false;
        for uplink in self.drains.keys().cloned().collect::<Vec<_>>() {
            let newest = self.wanted.borrow().revision;
            let Some(drain) = self.drains.get_mut(&uplink) else {
                continue;
            };
            let is_held = match &mut drain.stage {
                Stage::Holding { revision, .. } => *revision.get_or_insert(newest) <= self.applied,
                Stage::Listing | Stage::Open { .. } => false,
            };
            if is_held {
                has_told = true;
                self.open_drain(&uplink);
            }
            if let Some(why) = self.end_of_drain(&uplink) {
                has_told = true;
                self.close_drain(&uplink, why);
            }
        }
        has_told
    }

    /// The kernel holds its flows: the uplink takes no new ones from now on.
    fn open_drain(&mut self, uplink: &UplinkName) {
        let command = Command::disable(uplink.clone());
        if let Err(refusal) = self.engine.check(&command) {
            self.give_up_drain(uplink, &refusal.to_string());
            return;
        }
        self.tell(Input::Command(command.clone().into()));
        let held = self.engine.held(uplink).map_or(0, BTreeSet::len);
        let until = self.clock.now();
        let Some(drain) = self.drains.get_mut(uplink) else {
            return;
        };
        let mut done = format!(
            "{uplink} takes no new flows until `enable`; {held} established ones go on for {} at most",
            humantime::format_duration(drain.limit)
        );
        if let Stage::Holding { found, .. } = drain.stage
            && found > held
        {
            let _ = write!(done, ", {} are too many and move", found - held);
        }
        drain.stage = Stage::Open {
            until: until + drain.limit,
        };
        let call = drain.call.take();
        if let Some(call) = call {
            let done = self.chosen_by(&call.by, &command, done);
            call.answer(&Response::Done(done));
        }
    }

    fn give_up_drain(&mut self, uplink: &UplinkName, why: &str) {
        if let Some(mut drain) = self.drains.remove(uplink) {
            let uplink = uplink.clone();
            drain.answer(&Response::Refused(format!(
                "{uplink} is not drained: {why}"
            )));
            let flows = BTreeSet::new();
            self.tell(Input::Held { uplink, flows });
        }
    }

    fn end_of_drain(&self, uplink: &UplinkName) -> Option<String> {
        let until = self.drains.get(uplink)?.until()?;
        let open = self.engine.held(uplink).map_or(0, BTreeSet::len);
        if open == 0 {
            Some("every established flow has ended".to_owned())
        } else if self.engine.is_dead(uplink) {
            Some(format!("it is dead: {open} flows that were open are ended"))
        } else if self.clock.now() >= until {
            Some(format!(
                "the time is over: {open} flows that were still open are ended"
            ))
        } else {
            None
        }
    }

    /// Ends a drain because a person wants something else: the flows move, or stay where they are
    /// anyway.
    pub(super) fn end_drain(&mut self, uplink: &UplinkName, moves: bool) {
        if moves {
            self.close_drain(uplink, "its flows are to move after all".to_owned());
        } else if self.drains.contains_key(uplink) {
            self.give_up_drain(uplink, "it was enabled");
        }
    }

    /// Ends all of them: without rules nothing is held any more.
    pub(super) fn end_drains(&mut self) {
        let drained: Vec<_> = self.drains.keys().cloned().collect();
        for uplink in drained {
            self.close_drain(&uplink, "routing.mode is \"main\" now".to_owned());
        }
    }

    fn close_drain(&mut self, uplink: &UplinkName, why: String) {
        let (Some(drain), at) = (self.drains.remove(uplink), self.clock.now()) else {
            return;
        };
        self.tell(Input::Held {
            uplink: uplink.clone(),
            flows: BTreeSet::new(),
        });
        let mut uplinks = self.config.engine.uplinks.iter();
        let Some(settings) = uplinks.find(|known| known.name == *uplink) else {
            return;
        };
        let change = Change::Drained {
            uplink: uplink.clone(),
            interface: settings.interface.clone(),
        };
        let event = Event {
            at,
            change,
            reason: why,
        };
        self.announce(&event.record(self.clock.wall()));
        let left = Departure {
            addresses: drain.addresses.clone(),
            is_voluntary: !self.engine.is_dead(uplink),
        };
        let is_out = self.engine.choices().disabled.contains_key(uplink);
        if is_out && self.moves_flows(&left) {
            let sockets = self.config.flows.local_sockets;
            spawn(async move {
                sleep(LET_GO_WITHIN).await;
                let (count, _) = flows::end(left.addresses, sockets).await;
                tracing::debug!(count, "ended what was still open after a drain");
            });
        }
    }

    /// What is left behind by a departure and is not held on purpose.
    pub(super) fn without_held(&self, mut departure: Departure) -> Option<Departure> {
        let held = self.drains.values().flat_map(|drain| &drain.addresses);
        for address in held {
            departure.addresses.remove(address);
        }
        (!departure.addresses.is_empty()).then_some(departure)
    }
}

/// Lists the flows of an uplink again and again, on a thread that may take its time.
async fn list(uplink: UplinkName, addresses: BTreeSet<IpAddr>, lists: mpsc::Sender<Report>) {
    loop {
        let own = addresses.clone();
        let Ok(flows) = spawn_blocking(move || established_flows(&own)).await else {
            return;
        };
        let uplink = uplink.clone();
        if lists.send(Report { uplink, flows }).await.is_err() {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}
