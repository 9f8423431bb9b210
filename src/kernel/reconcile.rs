//! Making it so: what is wanted against what is seen, until they agree.
//!
//! ```text
//!  watch<Wanted> (1, the latest wins) ─┐              ┌─> mpsc<KernelReport> (bounded) ─> daemon
//!  multicast socket ─ "look again" ────┼─> Reconciler ┤
//!  ticks, only while something waits ──┘   (1 task)   ├─> socket for lists   ─> kernel, which
//!                                                     └─> socket for changes ─> answers at once
//! ```
//! Level-triggered: nothing is remembered of an event but that it happened.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, Sleep, interval, sleep};

use super::backoff::Backoff;
use super::monitor::{LookReason, Monitor, Ours};
use super::observe::{Observer, Scope};
use super::write::{RouteWriter, WriteOutcome};
use super::{KernelAccess, KernelError, KernelReport, RefusedOperation, Wanted};
use crate::routing::plan::{Operation, plan};
use crate::routing::{Desired, Observed};
use crate::units::InterfaceName;

/// The shortest time between two looks that events ask for. The first event of a burst is
/// answered at once, the rest of it together.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// Looks that find nothing new follow each other ever more slowly: in a long list of others' routes
/// each costs much. What happens to a link may wait for this long.
const LONGEST_REST: Duration = Duration::from_millis(150);
/// The unit of all waiting in [`Backoff`].
const TICK: Duration = Duration::from_millis(100);
/// The kernel counts the lifetime of a route in ticks of its own.
const AFTER_EXPIRY: Duration = Duration::from_millis(20);
/// So many turns of the runtime the daemon needs at most to answer a report.
const TURNS: u32 = 3;
/// How often plan, apply and look follow each other before what is still open is called refused.
const ROUNDS: u32 = 4;
/// How many sessions in a row may fail before this program gives up loudly.
const FAILURES: u32 = 5;

/// The task that owns the kernel's routes and rules, as far as they are ours.
pub(super) struct Reconciler {
    wanted: watch::Receiver<Arc<Wanted>>,
    reports: mpsc::Sender<KernelReport>,
    mode: KernelAccess,
    overruns: Arc<AtomicU32>,
    sockets: KernelSockets,
    /// What resilient groups this kernel has, as far as is known.
    groups: ResilientGroups,
    cooling: Option<Pin<Box<Sleep>>>,
    /// How long nobody looks after the next event.
    rest: Duration,
    /// Until a route that a router advertised is over.
    expiry: Option<Pin<Box<Sleep>>>,
    ticks: Interval,
    backoff: Backoff,
    observed: Option<Arc<Observed>>,
    /// The interfaces that the last look was about.
    scope: BTreeSet<InterfaceName>,
    /// The revision that was last brought about, and what the kernel refused of it.
    applied: Option<(u64, Vec<RefusedOperation>)>,
    failures: u32,
}

/// The three ways to the kernel.
struct KernelSockets {
    observer: Observer,
    monitor: Monitor,
    writer: RouteWriter,
}

impl KernelSockets {
    fn open() -> Result<Self, KernelError> {
        Ok(Self {
            // First, so that nothing which happens after the first look is missed.
            monitor: Monitor::open()?,
            observer: Observer::open()?,
            writer: RouteWriter::open()?,
        })
    }
}

/// Resilient groups of nexthop objects, by which several uplinks share a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResilientGroups {
    /// This kernel has them.
    Available,
    /// It has none, or refused one: paths stand in their routes.
    Missing { is_said: bool },
}

impl ResilientGroups {
    fn of(are_there: bool) -> Self {
        if are_there {
            Self::Available
        } else {
            Self::Missing { is_said: false }
        }
    }
}

/// Why it is time to look again.
enum WakeReason {
    Wanted,
    Event(LookReason),
    Tick,
    Expiry,
    /// Nobody wants anything any more.
    Closed,
}

/// The other end of the reports is gone.
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
        reports: mpsc::Sender<KernelReport>,
        mode: KernelAccess,
        overruns: Arc<AtomicU32>,
    ) -> Result<Self, KernelError> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sockets = KernelSockets::open()?;
        Ok(Self {
            wanted,
            reports,
            mode,
            overruns,
            groups: ResilientGroups::of(sockets.writer.has_groups()),
            sockets,
            cooling: None,
            rest: BETWEEN_LOOKS,
            expiry: None,
            ticks,
            backoff: Backoff::default(),
            observed: None,
            scope: BTreeSet::new(),
            applied: None,
            failures: 0,
        })
    }

    /// Runs until nobody listens any more, or until the kernel cannot be reached.
    pub(super) async fn run(mut self) {
        loop {
            let mut error = match self.session().await {
                SessionEnd::Closed => return,
                SessionEnd::Failed(error) => error,
            };
            loop {
                self.failures += 1;
                if error.is_final() || self.failures >= FAILURES {
                    // If nobody hears it, nobody depends on it.
                    let _ = self.reports.send(KernelReport::Lost(error)).await;
                    return;
                }
                let cause = error.source().map(ToString::to_string);
                tracing::warn!(%error, cause, "lost the kernel; connecting again");
                sleep(TICK * self.failures).await;
                match KernelSockets::open() {
                    Ok(sockets) => break self.sockets = sockets,
                    Err(another) => error = another,
                }
            }
        }
    }

    async fn session(&mut self) -> SessionEnd {
        let mut settled = self.settle().await;
        loop {
            if let Err(end) = settled {
                return end;
            }
            settled = match self.cause().await {
                Ok(WakeReason::Closed) => return SessionEnd::Closed,
                Ok(WakeReason::Wanted | WakeReason::Tick | WakeReason::Expiry) => {
                    self.settle().await
                }
                Ok(WakeReason::Event(reason)) => {
                    self.count(reason);
                    // Unless the look finds news.
                    self.rest = (self.rest * 2).min(LONGEST_REST);
                    let settled = self.settle().await;
                    self.cooling = Some(Box::pin(sleep(self.rest)));
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
            tracing::debug!("the kernel had more events than fit; looking at everything");
        }
    }

    async fn cause(&mut self) -> Result<WakeReason, KernelError> {
        loop {
            let is_cooling = self.cooling.is_some();
            let ours = Ours {
                protocol: self.wanted.borrow().protocol,
                port: self.sockets.writer.port(),
            };
            tokio::select! {
                biased;
                changed = self.wanted.changed() => {
                    return Ok(if changed.is_ok() { WakeReason::Wanted } else { WakeReason::Closed });
                }
                () = self.reports.closed() => return Ok(WakeReason::Closed),
                () = over(&mut self.cooling) => self.cooling = None,
                () = over(&mut self.expiry) => {
                    self.expiry = None;
                    return Ok(WakeReason::Expiry);
                }
                reason = self.sockets.monitor.reason(ours), if !is_cooling => {
                    return Ok(WakeReason::Event(reason?));
                }
                _ = self.ticks.tick(), if !self.backoff.is_idle() => {
                    if self.backoff.tick() {
                        return Ok(WakeReason::Tick);
                    }
                }
            }
        }
    }

    /// Brings the kernel and what is wanted together, and reports.
    async fn settle(&mut self) -> Result<(), SessionEnd> {
        let wanted = self.wanted.borrow_and_update().clone();
        let is_new = self
            .applied
            .as_ref()
            .is_none_or(|(revision, _)| *revision != wanted.revision);
        let was_idle = self.backoff.is_idle();
        let mut operations = 0;
        if is_new {
            self.backoff.forget();
            // The last look is good enough to act on; the next one tells whether it was.
            if let Some(observed) = self.observed.clone() {
                operations += self.round(&wanted, &observed, is_new).await?;
            }
        }
        for _ in 0..ROUNDS {
            let observed = self.look(&wanted).await?;
            if self.hears_otherwise(&wanted).await {
                // What is wanted has changed by what was seen: no use in doing what was wanted.
                return Ok(());
            }
            let done = self.round(&wanted, &observed, is_new).await?;
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

    /// Lets the daemon draw its conclusions from what was just reported, and says whether it did.
    async fn hears_otherwise(&mut self, wanted: &Wanted) -> bool {
        if self
            .applied
            .as_ref()
            .is_none_or(|(revision, _)| *revision != wanted.revision)
        {
            return false;
        }
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        self.wanted.has_changed().unwrap_or(false)
    }

    async fn look(&mut self, wanted: &Wanted) -> Result<Arc<Observed>, SessionEnd> {
        let scope = Scope {
            protocol: wanted.protocol,
            interfaces: &wanted.interfaces,
        };
        let now = Arc::new(self.sockets.observer.look(scope)?);
        let expiry = self.sockets.observer.next_expiry();
        self.expiry = expiry.map(|left| Box::pin(sleep(left + AFTER_EXPIRY)));
        let before = self.observed.replace(now.clone());
        if before
            .as_ref()
            .is_none_or(|before| before.links != now.links)
        {
            self.backoff.links_changed();
        }
        let is_other_scope = self.scope != wanted.interfaces;
        if is_other_scope {
            self.scope.clone_from(&wanted.interfaces);
        }
        if is_other_scope || before.as_ref() != Some(&now) {
            self.rest = BETWEEN_LOOKS;
            self.report(KernelReport::Observed(now.clone())).await?;
        }
        Ok(now)
    }

    /// Does what is to be done and may be tried now. Returns how many operations were done.
    async fn round(
        &mut self,
        wanted: &Wanted,
        observed: &Observed,
        is_new: bool,
    ) -> Result<usize, SessionEnd> {
        let mut done = 0;
        let mut missing = BTreeSet::new();
        for operation in self.outstanding(wanted, observed) {
            if !self.backoff.allows(&operation) {
                missing.extend(operation.makes());
                continue;
            }
            let line = operation.line(&observed.links, wanted.protocol).to_string();
            let outcome = if operation.needs(&missing) {
                // Whatever has the number of a missing object now is somebody else's.
                WriteOutcome::Refused {
                    reason: WITHOUT_NEXT_HOP.to_owned(),
                    is_permanent: false,
                }
            } else {
                let writer = &mut self.sockets.writer;
                writer.apply(&operation, wanted.protocol)?
            };
            match outcome {
                WriteOutcome::Done => {
                    tracing::debug!(operation = line, "done");
                    done += 1;
                    let is_put_back = !is_new && !self.backoff.is_refused(&operation);
                    if is_put_back && self.backoff.put_back(&operation) {
                        self.report(KernelReport::Reasserted { what: line }).await?;
                    }
                }
                WriteOutcome::Refused {
                    reason,
                    is_permanent,
                } => {
                    if is_permanent && operation.makes().is_some() {
                        tracing::warn!(
                            operation = line,
                            why = reason,
                            "refused by the kernel: does without nexthop objects, flows may move \
                             when the uplinks that share the traffic change"
                        );
                        self.groups = ResilientGroups::Missing { is_said: true };
                        // Planned anew without them.
                        return Ok(done + 1);
                    }
                    missing.extend(operation.makes());
                    let refusal = RefusedOperation {
                        operation: line,
                        reason,
                        is_permanent,
                    };
                    self.backoff.refused(&operation, refusal);
                }
            }
        }
        Ok(done)
    }

    /// What still lies between the kernel and what is wanted, if anything may be written.
    fn outstanding(&mut self, wanted: &Wanted, observed: &Observed) -> Vec<Operation> {
        match (self.mode, &wanted.desired) {
            (KernelAccess::Write, Some(desired)) => plan(&self.feasible(desired), observed),
            (KernelAccess::Write, None) | (KernelAccess::Observe, _) => Vec::new(),
        }
    }

    /// What is wanted, as this kernel can hold it.
    fn feasible<'a>(&mut self, desired: &'a Desired) -> Cow<'a, Desired> {
        match &mut self.groups {
            ResilientGroups::Missing { is_said } if !desired.nexthops.is_empty() => {
                if !std::mem::replace(is_said, true) {
                    tracing::info!(
                        "this kernel has no resilient groups of nexthop objects (Linux 5.13): flows \
                         may move when the uplinks that share the traffic change"
                    );
                }
                Cow::Owned(desired.flattened())
            }
            ResilientGroups::Missing { .. } | ResilientGroups::Available => Cow::Borrowed(desired),
        }
    }

    /// Whatever was done and is still open does not stay; then reports, if there is news.
    async fn conclude(
        &mut self,
        wanted: &Wanted,
        operations: usize,
        is_new: bool,
    ) -> Result<(), SessionEnd> {
        let Some(desired) = &wanted.desired else {
            return Ok(());
        };
        let observed = self.observed.clone().unwrap_or_default();
        let outstanding = self.outstanding(wanted, &observed);
        for operation in &outstanding {
            if self.backoff.allows(operation) {
                let refusal = RefusedOperation {
                    operation: operation.line(&observed.links, wanted.protocol).to_string(),
                    reason: DOES_NOT_STAY.to_owned(),
                    is_permanent: true,
                };
                self.backoff.refused(operation, refusal);
            }
        }
        self.backoff
            .keep(&outstanding.iter().collect::<BTreeSet<_>>());
        if is_new && self.mode == KernelAccess::Observe {
            say_what_would_be_done(&self.feasible(desired), &observed, wanted);
        }
        let refused = self.backoff.refusals();
        let applied = Some((wanted.revision, refused.clone()));
        if self.applied == applied {
            return Ok(());
        }
        self.applied = applied;
        let revision = wanted.revision;
        let report = KernelReport::Applied {
            revision,
            operations,
            refused,
        };
        Ok(self.report(report).await?)
    }

    async fn report(&self, report: KernelReport) -> Result<(), ReportsClosed> {
        self.reports.send(report).await.map_err(|_| ReportsClosed)
    }
}

const DOES_NOT_STAY: &str = "the kernel accepts it and yet does not list it as ours: \
    something of someone else stands in its place";

const WITHOUT_NEXT_HOP: &str = "a nexthop object that it needs is missing";

async fn over(sleep: &mut Option<Pin<Box<Sleep>>>) {
    match sleep {
        Some(sleep) => sleep.await,
        None => std::future::pending().await,
    }
}

fn say_what_would_be_done(desired: &Desired, observed: &Observed, wanted: &Wanted) {
    for operation in plan(desired, observed) {
        let operation = operation.line(&observed.links, wanted.protocol);
        tracing::info!(%operation, "would be done, but this only observes");
    }
}
