//! Keeps the table that remembers flows, apart from routes and rules: a change of either does not wait for the other.
//!
//! ```text
//!  watch<FlowMemoryOrder> ── what the routes in place are ready for ─┐
//!  multicast socket ──────── our table was changed ─────────────────┼─> FlowKeeper ─> a thread of the runtime's pool
//!  a pause, after other software has changed it ────────────────────┘   (1 task)      reads and writes the table
//!                                                      watch<FlowMemoryReport>, mpsc<KernelReport> <─┘ ─> daemon
//! ```
//! The table is written when the uplinks change or when it is not whole, and never for a switch.

use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::time::Duration;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{AsyncSocket, SocketAddr, TokioSocket};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Sleep, sleep};

use super::conntrack::forget_flows;
use super::exchange::Exchange;
use super::flow_table::{self, HeldTable, TableForm};
use super::message;
use super::report::{FlowMemoryReport, FlowMemoryState, KernelReport};
use crate::routing::flows::TrafficOf;
use crate::routing::traffic::Marks;
use crate::routing::{Family, FlowMemory};
use crate::units::sorted::SortedSet;

/// The pause after other software has changed the table, which doubles each time up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// After so long without such a change the pause is short again.
const CALM_AFTER: Duration = Duration::from_secs(60);
/// So often what failed is tried again, after a pause each.
const TRIES: u32 = 3;
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Only the beginning of an event is read.
const HEAD: usize = 8 * 1024;
/// `NFNLGRP_NFTABLES` (`linux/netfilter/nfnetlink.h`).
const GROUP: u32 = 7;

/// What is to be remembered, once the kernel holds the routes of a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FlowMemoryOrder {
    pub(super) revision: u64,
    /// None: no table of ours.
    pub(super) memory: Option<FlowMemory>,
}

/// The task that keeps the table.
pub(super) struct FlowKeeper {
    orders: watch::Receiver<FlowMemoryOrder>,
    report: watch::Sender<FlowMemoryReport>,
    /// Told that there is another report.
    reports: mpsc::Sender<KernelReport>,
    /// Taken by a thread while it is at work; none as long as there is no netlink socket.
    writer: Option<TableWriter>,
    monitor: Option<TokioSocket>,
    /// The order that the table is known to follow.
    settled: Option<FlowMemoryOrder>,
    tries: u32,
    pause: Duration,
    pausing: Option<Pin<Box<Sleep>>>,
    calming: Option<Pin<Box<Sleep>>>,
    head: Vec<u8>,
}

impl FlowKeeper {
    pub(super) fn new(
        orders: watch::Receiver<FlowMemoryOrder>,
        report: watch::Sender<FlowMemoryReport>,
        reports: mpsc::Sender<KernelReport>,
    ) -> Self {
        Self {
            orders,
            report,
            reports,
            writer: None,
            monitor: None,
            settled: None,
            tries: 0,
            pause: PAUSE.0,
            pausing: None,
            calming: None,
            head: Vec::with_capacity(HEAD),
        }
    }

    /// Runs until the reconciler has dropped its end.
    pub(super) async fn run(mut self) {
        // Nothing is touched before the first order.
        while self.orders.changed().await.is_ok() {
            let order = self.orders.borrow_and_update().clone();
            self.settle(&order).await;
            if !self.keep(&order).await {
                return;
            }
            self.orders.mark_changed();
        }
    }

    /// Keeps the table as ordered until there is another order; false if there will be none.
    async fn keep(&mut self, order: &FlowMemoryOrder) -> bool {
        loop {
            let is_pausing = self.pausing.is_some();
            let own_port = self
                .writer
                .as_ref()
                .map_or(0, |writer| writer.exchange.port());
            tokio::select! {
                biased;
                changed = self.orders.changed() => return changed.is_ok(),
                () = over(&mut self.calming) => {
                    self.calming = None;
                    self.pause = PAUSE.0;
                }
                () = over(&mut self.pausing) => {
                    self.pausing = None;
                    self.settle(order).await;
                }
                event = event(&mut self.monitor, &mut self.head, own_port), if !is_pausing => {
                    if let Err(error) = event {
                        tracing::debug!(%error, "changes of netfilter by other software are not noticed any more");
                        self.monitor = None;
                    }
                    self.settled = None;
                    self.settle(order).await;
                }
            }
        }
    }

    /// Makes the kernel hold what is ordered, and reports.
    async fn settle(&mut self, order: &FlowMemoryOrder) {
        let is_same = |settled: &FlowMemoryOrder| settled.memory == order.memory;
        if self.settled.as_ref().is_some_and(is_same) {
            let revision = order.revision;
            self.report.send_modify(|report| report.revision = revision);
            return;
        }
        let outcome = self.write(order.memory.clone()).await;
        let is_done = outcome.is_ok();
        self.settled = is_done.then(|| order.clone());
        self.tries = if is_done { 0 } else { self.tries + 1 };
        let state = match outcome {
            Ok(None) => FlowMemoryState::Off,
            Ok(Some(written)) => {
                if written.is_repair {
                    self.calm_down();
                }
                let lacks = written.form.lacks();
                FlowMemoryState::On { lacks }
            }
            Err(error) => {
                if self.tries < TRIES {
                    self.pausing = Some(Box::pin(sleep(TRY_AGAIN_AFTER)));
                }
                FlowMemoryState::Without(format!("the kernel refuses the table: {error}"))
            }
        };
        self.say(&state);
        let revision = order.revision;
        let is_off = state == FlowMemoryState::Off;
        let report = FlowMemoryReport { revision, state };
        let was_off = self.report.send_replace(report).state == FlowMemoryState::Off;
        if !(is_off && was_off) {
            // It is lost only when the agent ends.
            let _ = self.reports.send(KernelReport::FlowMemory).await;
        }
    }

    /// The table was removed or changed by other software, and is whole again.
    fn calm_down(&mut self) {
        if self.calming.is_none() {
            tracing::info!(
                table = flow_table::NAME,
                "other software removed or changed the table that remembers flows; written again"
            );
        }
        self.pausing = Some(Box::pin(sleep(self.pause)));
        self.pause = (self.pause * 2).min(PAUSE.1);
        self.calming = Some(Box::pin(sleep(CALM_AFTER)));
    }

    fn say(&self, state: &FlowMemoryState) {
        if self.report.borrow().state == *state {
            return;
        }
        match state {
            FlowMemoryState::Off | FlowMemoryState::On { lacks: None } => {
                tracing::debug!(?state, "flow memory");
            }
            FlowMemoryState::On { lacks: Some(why) } => {
                tracing::warn!(%why, "some flows are not remembered");
            }
            FlowMemoryState::Without(why) => {
                tracing::warn!(
                    why,
                    "flows are not remembered: what comes in by a standby is answered by the active uplink, and flows \
                     that should stay on an uplink move (nf_tables with `ct` and `meta`; OpenWrt: kmod-nft-core)"
                );
            }
        }
    }

    async fn write(&mut self, memory: Option<FlowMemory>) -> io::Result<Option<WrittenTable>> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => TableWriter::open()?,
        };
        if self.monitor.is_none() && memory.is_some() {
            // Before the first look, so that no change after it is missed.
            self.monitor = listen()
                .inspect_err(
                    |error| tracing::debug!(%error, "changes of netfilter are not noticed"),
                )
                .ok();
        }
        let work = move || {
            let outcome = writer.apply(memory);
            (writer, outcome)
        };
        let (writer, outcome) = spawn_blocking(work).await.map_err(io::Error::other)?;
        self.writer = Some(writer);
        outcome
    }
}

/// The table in the kernel, as it was written or found.
struct WrittenTable {
    form: TableForm,
    /// It was whole before, and is again.
    is_repair: bool,
}

/// Reads and writes the table. Blocks: the kernel may wait for all its processors.
struct TableWriter {
    exchange: Exchange,
    /// What was written or found last.
    last: Option<FlowMemory>,
}

impl TableWriter {
    fn open() -> io::Result<Self> {
        Ok(Self {
            exchange: Exchange::open(NETLINK_NETFILTER)?,
            last: None,
        })
    }

    /// Makes the kernel hold this table, or none.
    fn apply(&mut self, memory: Option<FlowMemory>) -> io::Result<Option<WrittenTable>> {
        let held = HeldTable::look(&mut self.exchange);
        let Some(memory) = memory else {
            // A kernel that lists none has none.
            let held = held.unwrap_or_default();
            flow_table::remove(&held, &mut self.exchange)?;
            forget(
                &self
                    .last
                    .take()
                    .map_or_else(Vec::new, |last| marks_of(&last)),
            );
            return Ok(None);
        };
        let held = held?;
        if let Some(form) = held.form_of(&memory) {
            self.last = Some(memory);
            let is_repair = false;
            return Ok(Some(WrittenTable { form, is_repair }));
        }
        let form = flow_table::write(&memory, &held, &mut self.exchange)?;
        let outdated = match &self.last {
            Some(last) => memory.outdated(last),
            // Its marks may have meant other uplinks.
            None if !held.is_empty() => marks_of(&memory),
            None => Vec::new(),
        };
        forget(&outdated);
        let is_repair = self.last.as_ref() == Some(&memory);
        self.last = Some(memory);
        Ok(Some(WrittenTable { form, is_repair }))
    }
}

fn marks_of(memory: &FlowMemory) -> Vec<Marks> {
    let marks = memory.uplinks.iter().map(|(_, mark)| Marks {
        mark: *mark,
        mask: memory.mask,
    });
    marks.collect()
}

fn forget(marks: &[Marks]) {
    let of_families = |marks: &Marks| Family::ROUTED.map(|family| (family, *marks));
    let all = marks.iter().flat_map(of_families).collect();
    if let Err(error) = forget_flows(&all, &SortedSet::new(), &TrafficOf::all()) {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::debug!(%error, cause, "the marks of earlier flows stay");
    }
}

fn listen() -> io::Result<TokioSocket> {
    let mut monitor = TokioSocket::new(NETLINK_NETFILTER)?;
    let groups = SocketAddr::new(0, 1 << (GROUP - 1));
    monitor.socket_mut().bind(&groups)?;
    Ok(monitor)
}

/// Waits until our table may have been changed. Cancel safe.
async fn event(
    monitor: &mut Option<TokioSocket>,
    head: &mut Vec<u8>,
    own_port: u32,
) -> io::Result<()> {
    let Some(monitor) = monitor else {
        return pending().await;
    };
    loop {
        head.clear();
        match poll_fn(|context| monitor.poll_recv(context, head)).await {
            Ok(()) if message::concerns_table(head, flow_table::NAME, own_port) => return Ok(()),
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Events were lost.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

async fn over(sleep: &mut Option<Pin<Box<Sleep>>>) {
    match sleep {
        Some(sleep) => sleep.await,
        None => pending().await,
    }
}

/// The state that flow memory would have on this machine. Changes nothing; blocks.
pub(super) fn try_out(memory: &FlowMemory) -> FlowMemoryState {
    let tried = Exchange::open(NETLINK_NETFILTER)
        .and_then(|mut exchange| flow_table::try_out(memory, &mut exchange));
    match tried {
        Ok(form) => FlowMemoryState::On {
            lacks: form.lacks(),
        },
        Err(error) => FlowMemoryState::Without(format!("the kernel refuses the table: {error}")),
    }
}
