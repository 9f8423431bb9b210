//! The loop that makes the kernel hold what is desired, and reads it back.
//!
//! ```text
//!  watch<Wanted> (1, the latest wins) ─┐              ┌─> mpsc<KernelReport> (bounded) ─> daemon
//!  multicast socket ─ "look again" ────┼─> Reconciler ┤
//!  ticks, only while something waits ──┤   (1 task)   ├─> socket for lists   ─> kernel, which
//!  surveys of main ────────────────────┘       │      └─> socket for changes ─> answers at once
//!        └───────── Surveyor (1 thread) <──────┘
//! ```
//! Level-triggered: an event only causes another look and another survey.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, Sleep, interval, sleep};

use super::backoff::Backoff;
use super::connection::KernelSockets;
use super::error::KernelError;
use super::flow_keeper::FlowMemoryOrder;
use super::monitor::{LookReason, OwnChanges};
use super::report::{KernelAccess, KernelReport, RefusedOperation, Wanted};
use super::survey::SurveyReport;
use super::target::KernelTarget;
use super::unwritten::UnwrittenOperations;
use super::view::KernelView;
use super::write::WriteOutcome;
use crate::routing::plan::{Operation, plan};
use crate::routing::{Desired, Observed};
use crate::units::NextHopId;
use crate::units::sorted::SortedSet;

/// The shortest pause between two looks that events cause. The first event of a burst causes a look
/// at once, the others one more.
const SHORTEST_PAUSE: Duration = Duration::from_millis(15);
/// The pause doubles up to this with every look without news: a look is expensive where others have
/// many routes. It is the longest delay before a change of a link is seen.
const LONGEST_PAUSE: Duration = Duration::from_millis(150);
/// The unit of the pauses in [`Backoff`].
const TICK: Duration = Duration::from_millis(100);
/// The kernel counts the lifetime of a route in ticks of its own.
const AFTER_EXPIRY: Duration = Duration::from_millis(20);
/// Turns of the runtime in which the daemon answers a report.
const TURNS: u32 = 3;
/// How often plan, apply and look are repeated before an outstanding operation counts as refused.
const ROUNDS: u32 = 4;
/// After so many failed sessions in a row the kernel counts as lost.
const FAILURES: u32 = 5;

/// The task that owns our routes and rules in the kernel.
pub(super) struct Reconciler {
    wanted: watch::Receiver<Arc<Wanted>>,
    reports: mpsc::Sender<KernelReport>,
    /// What to remember of flows, by the routes that are in place.
    flow_memory: watch::Sender<FlowMemoryOrder>,
    /// Of an agent that only observes.
    unwritten: Option<UnwrittenOperations>,
    overruns: Arc<AtomicU32>,
    sockets: KernelSockets,
    target: KernelTarget,
    view: KernelView,
    /// The running pause after a look.
    pausing: Option<Pin<Box<Sleep>>>,
    /// The pause after the next look.
    pause: Duration,
    /// Until the first advertised route expires.
    expiry: Option<Pin<Box<Sleep>>>,
    ticks: Interval,
    backoff: Backoff,
    /// The revision that was last applied, and what the kernel refused of it.
    applied: Option<(u64, Vec<RefusedOperation>)>,
    failures: u32,
}

/// Why the next look is due.
enum WakeReason {
    Wanted,
    Event(LookReason),
    Tick,
    Expiry,
    Survey(SurveyReport),
    /// The daemon has dropped its end.
    Closed,
}

/// The receiver of the reports is gone.
struct ReportsClosed;

/// How a session ends.
enum SessionEnd {
    Closed,
    Failed(KernelError),
}

impl From<ReportsClosed> for SessionEnd {
    fn from(ReportsClosed: ReportsClosed) -> Self {
        Self::Closed
    }
}

impl From<KernelError> for SessionEnd {
    fn from(error: KernelError) -> Self {
        Self::Failed(error)
    }
}

impl Reconciler {
    pub(super) fn open(
        wanted: watch::Receiver<Arc<Wanted>>,
        (reports, flow_memory): (mpsc::Sender<KernelReport>, watch::Sender<FlowMemoryOrder>),
        access: KernelAccess,
        overruns: Arc<AtomicU32>,
    ) -> Result<Self, KernelError> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sockets = KernelSockets::open()?;
        Ok(Self {
            wanted,
            reports,
            flow_memory,
            unwritten: match access {
                KernelAccess::Write => None,
                KernelAccess::Observe => Some(UnwrittenOperations::default()),
            },
            overruns,
            target: KernelTarget::new(sockets.writer.has_groups()),
            view: KernelView::default(),
            sockets,
            pausing: None,
            pause: SHORTEST_PAUSE,
            expiry: None,
            ticks,
            backoff: Backoff::default(),
            applied: None,
            failures: 0,
        })
    }

    /// Runs until the daemon has dropped its end, or the kernel cannot be reached.
    pub(super) async fn run(mut self) {
        loop {
            let mut error = match self.session().await {
                SessionEnd::Closed => return,
                SessionEnd::Failed(error) => error,
            };
            loop {
                self.failures += 1;
                if error.is_final() || self.failures >= FAILURES {
                    // Fails only if the daemon has gone, too.
                    let _ = self.reports.send(KernelReport::Lost(error)).await;
                    return;
                }
                let cause = error.source().map(ToString::to_string);
                tracing::warn!(%error, cause, "lost the connection to the kernel; connecting again");
                sleep(TICK * self.failures).await;
                match KernelSockets::open() {
                    Ok(sockets) => break self.sockets = sockets,
                    Err(another) => error = another,
                }
            }
        }
    }

    async fn session(&mut self) -> SessionEnd {
        self.order_survey();
        match self.sockets.surveyor.report().await {
            Ok(report) => self.is_news(report),
            Err(error) => return SessionEnd::Failed(error),
        };
        let mut settled = self.settle().await;
        loop {
            if let Err(end) = settled {
                return end;
            }
            settled = match self.cause().await {
                Ok(WakeReason::Closed) => return SessionEnd::Closed,
                Ok(WakeReason::Wanted | WakeReason::Tick) => self.settle().await,
                Ok(WakeReason::Expiry) => {
                    self.order_survey();
                    Ok(())
                }
                Ok(WakeReason::Survey(report)) => {
                    if self.is_news(report) {
                        self.settle().await
                    } else {
                        Ok(())
                    }
                }
                Ok(WakeReason::Event(reason)) => {
                    self.count(reason);
                    self.order_survey();
                    // A look with news shortens it again.
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                    let settled = self.settle().await;
                    self.pausing = Some(Box::pin(sleep(self.pause)));
                    settled
                }
                Err(error) => return SessionEnd::Failed(error),
            };
            if settled.is_ok() {
                self.failures = 0;
            }
        }
    }

    fn count(&mut self, reason: LookReason) {
        if reason == LookReason::Overrun {
            self.overruns.fetch_add(1, Ordering::Relaxed);
            tracing::debug!("the kernel's event buffer overran; looking at everything");
        }
    }

    async fn cause(&mut self) -> Result<WakeReason, KernelError> {
        loop {
            let is_pausing = self.pausing.is_some();
            let own = OwnChanges {
                numbering: self.wanted.borrow().numbering,
                port: self.sockets.writer.port(),
            };
            tokio::select! {
                biased;
                changed = self.wanted.changed() => {
                    return Ok(if changed.is_ok() { WakeReason::Wanted } else { WakeReason::Closed });
                }
                () = self.reports.closed() => return Ok(WakeReason::Closed),
                () = over(&mut self.pausing) => self.pausing = None,
                () = over(&mut self.expiry) => {
                    self.expiry = None;
                    return Ok(WakeReason::Expiry);
                }
                reason = self.sockets.monitor.reason(own), if !is_pausing => {
                    return Ok(WakeReason::Event(reason?));
                }
                report = self.sockets.surveyor.report() => return Ok(WakeReason::Survey(report?)),
                _ = self.ticks.tick(), if !self.backoff.is_idle() => {
                    let is_due = self.backoff.tick();
                    if let Some(restored) = self.backoff.restored()
                        && self.report(KernelReport::Reasserted(restored)).await.is_err()
                    {
                        return Ok(WakeReason::Closed);
                    }
                    if is_due {
                        return Ok(WakeReason::Tick);
                    }
                }
            }
        }
    }

    /// Makes the kernel hold what is desired, reads it back, and reports.
    async fn settle(&mut self) -> Result<(), SessionEnd> {
        let wanted = self.wanted.borrow_and_update().clone();
        let is_new = self.is_new(&wanted);
        let was_idle = self.backoff.is_idle();
        let mut operations = 0;
        if is_new {
            self.backoff.reset();
            // Acts on the last look without delay; the next look corrects it.
            if let Some(observed) = self.view.observed() {
                operations += self.round(&wanted, &observed, is_new)?;
            }
        }
        for _ in 0..ROUNDS {
            let observed = self.look(&wanted).await?;
            if self.is_superseded(&wanted).await {
                return Ok(());
            }
            let done = self.round(&wanted, &observed, is_new)?;
            operations += done;
            if done == 0 {
                break;
            }
        }
        if was_idle {
            self.ticks.reset();
        }
        self.conclude(&wanted, operations, is_new).await
    }

    /// Whether this revision has not been applied yet.
    fn is_new(&self, wanted: &Wanted) -> bool {
        let applied = self.applied.as_ref();
        applied.is_none_or(|(revision, _)| *revision != wanted.revision)
    }

    /// Lets the daemon decide by the last report. True if it now wants something else, so that the
    /// present revision is not worth writing.
    async fn is_superseded(&mut self, wanted: &Wanted) -> bool {
        if self.is_new(wanted) {
            return false;
        }
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        self.wanted.has_changed().unwrap_or(false)
    }

    /// The survey is to be repeated.
    fn order_survey(&mut self) {
        let protocol = self.wanted.borrow().numbering.protocol;
        self.sockets.surveyor.order(protocol);
    }

    /// Takes a survey; whether it found anything else than the last one.
    fn is_news(&mut self, report: SurveyReport) -> bool {
        let expiry = report.next_expiry;
        self.expiry = expiry.map(|left| Box::pin(sleep(left + AFTER_EXPIRY)));
        self.view.take(report, self.target.last())
    }

    async fn look(&mut self, wanted: &Wanted) -> Result<Arc<Observed>, SessionEnd> {
        let look = self.view.look(&mut self.sockets.observer, wanted)?;
        if look.have_links_changed {
            self.backoff.links_changed();
        }
        if look.is_news {
            self.pause = SHORTEST_PAUSE;
            let observed = look.observed.clone();
            self.report(KernelReport::Observed(observed)).await?;
        }
        Ok(look.observed)
    }

    /// Does the outstanding operations that may be tried now. Returns how many were done.
    fn round(
        &mut self,
        wanted: &Wanted,
        observed: &Observed,
        is_new: bool,
    ) -> Result<usize, SessionEnd> {
        let mut done = 0;
        let mut missing = SortedSet::new();
        let Some(target) = self.target.now(wanted, observed) else {
            return Ok(0);
        };
        let operations = self.outstanding(&target, observed);
        self.view.expect(&target);
        let before = self.target.replace(target);
        for operation in operations {
            if !self.backoff.allows(&operation) {
                missing.extend(operation.makes());
                continue;
            }
            let line = operation.line(&observed.links, wanted.numbering.protocol);
            let line = line.to_string();
            match self.write(&operation, &missing, wanted)? {
                WriteOutcome::Done => {
                    tracing::debug!(operation = line, "done");
                    done += 1;
                    let is_put_back = !is_new
                        && before.asks_for(&operation)
                        && !self.backoff.is_refused(&operation);
                    if is_put_back {
                        self.backoff.put_back(&operation, line);
                    }
                }
                WriteOutcome::Refused {
                    reason,
                    is_permanent: true,
                } if operation.makes().is_some() => {
                    self.target.do_without_groups(&line, &reason);
                    // The next round plans without them.
                    return Ok(done + 1);
                }
                WriteOutcome::Refused {
                    reason,
                    is_permanent,
                } => {
                    let refusal = RefusedOperation {
                        operation: line,
                        reason,
                        is_permanent,
                    };
                    if let Some((route, bare)) = operation.without_options()
                        && self.write(&bare, &missing, wanted)? == WriteOutcome::Done
                    {
                        (self.target.refused_options).note(route, refusal, observed);
                        done += 1;
                        continue;
                    }
                    missing.extend(operation.makes());
                    self.backoff.refused(&operation, refusal);
                }
            }
        }
        Ok(done)
    }

    /// Does an operation, unless it refers to a nexthop object that is `missing`: that number may be
    /// another program's.
    fn write(
        &mut self,
        operation: &Operation,
        missing: &SortedSet<NextHopId>,
        wanted: &Wanted,
    ) -> Result<WriteOutcome, KernelError> {
        if operation.needs(missing) {
            return Ok(WriteOutcome::Refused {
                reason: WITHOUT_NEXT_HOP.to_owned(),
                is_permanent: false,
            });
        }
        self.sockets
            .writer
            .apply(operation, wanted.numbering.protocol)
    }

    /// The operations between what the kernel holds and what it should hold; none without write access.
    fn outstanding(&self, target: &Desired, observed: &Observed) -> Vec<Operation> {
        match self.unwritten {
            None => plan(target, observed),
            Some(_) => Vec::new(),
        }
    }

    /// Counts operations as refused that were done and are still outstanding; then reports, if the
    /// result is new.
    async fn conclude(
        &mut self,
        wanted: &Wanted,
        operations: usize,
        is_new: bool,
    ) -> Result<(), SessionEnd> {
        let observed = self.view.observed().unwrap_or_default();
        let Some(target) = self.target.now(wanted, &observed) else {
            return Ok(());
        };
        let outstanding = self.outstanding(&target, &observed);
        for operation in &outstanding {
            if self.backoff.allows(operation) {
                let refusal = RefusedOperation {
                    operation: operation
                        .line(&observed.links, wanted.numbering.protocol)
                        .to_string(),
                    reason: DOES_NOT_STAY.to_owned(),
                    is_permanent: true,
                };
                self.backoff.refused(operation, refusal);
            }
        }
        self.backoff
            .keep(&outstanding.iter().collect::<SortedSet<_>>());
        if is_new && self.unwritten.is_some() {
            let operations = plan(&target, &observed);
            let unwritten = self.unwritten.get_or_insert_default();
            unwritten.log(operations, &observed, wanted);
        }
        self.order_flow_memory(wanted);
        let mut refused = self.backoff.refusals();
        refused.extend(self.target.refused_options.refusals());
        let applied = Some((wanted.revision, refused.clone()));
        if self.applied == applied {
            return Ok(());
        }
        self.applied = applied;
        let report = KernelReport::Applied {
            revision: wanted.revision,
            operations,
            refused,
        };
        Ok(self.report(report).await?)
    }

    /// The marks of flows lead to the tables that are in place now.
    fn order_flow_memory(&self, wanted: &Wanted) {
        let revision = wanted.revision;
        self.flow_memory.send_if_modified(|ordered| {
            let is_new = ordered.revision != revision;
            if is_new {
                let memory = wanted.flow_memory.clone();
                *ordered = FlowMemoryOrder { revision, memory };
            }
            is_new
        });
    }

    async fn report(&self, report: KernelReport) -> Result<(), ReportsClosed> {
        self.reports.send(report).await.map_err(|_| ReportsClosed)
    }
}

const DOES_NOT_STAY: &str = "the kernel accepts it and does not list it as ours: an object of another \
    program stands in its place";

const WITHOUT_NEXT_HOP: &str = "a nexthop object that it needs is missing";

async fn over(sleep: &mut Option<Pin<Box<Sleep>>>) {
    match sleep {
        Some(sleep) => sleep.await,
        None => std::future::pending().await,
    }
}
