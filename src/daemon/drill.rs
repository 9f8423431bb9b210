//! The agent's part in a drill, which the engine decides on: it cuts the path, lets a stream measure, and answers the
//! operator.
//!
//! ```text
//!  daemon ── the order, its end ──> stream thread (0..1) ──> cutter thread (0..1)
//!     ^                                     │                  asks the kernel again and again: the path is whole
//!     └──── what has become of it <─────────┘                  soon after it does not
//! ```

use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Daemon;
use super::tasks::{TaskOutbox, TaskReport};
use crate::control::{Call, Response};
use crate::engine::action::DrillOrder;
use crate::engine::command::Command;
use crate::engine::event::cause::SwitchCause;
use crate::engine::event::drill::DrillResult;
use crate::engine::event::record::{EventContext, EventRecord};
use crate::engine::event::{EventKind, Side};
use crate::engine::input::{DrillNews, Input, StreamMeasure};
use crate::kernel::{PathCut, remove_path_cut};
use crate::probe::EchoStream;
use crate::units::{InterfaceName, UplinkName};

/// The stream flows for so long before the path is cut: which targets answer it?
const LEAD: Duration = Duration::from_secs(1);
/// The kernel is asked again after this.
const PROLONG_EVERY: Duration = Duration::from_millis(300);

/// The drill in progress, if one is.
pub(super) struct DrillTask {
    /// The caller that waits for its result.
    call: Option<Call>,
    stream: Option<StreamThread>,
    /// The recovery time of its switch, if that has come.
    established_ms: Option<u32>,
    outbox: TaskOutbox,
}

/// The thread of the stream. The path is whole soon after `end` is dropped.
struct StreamThread {
    end: Sender<()>,
    thread: JoinHandle<()>,
    /// The uplink by which its packets go.
    uplink: UplinkName,
    /// So many it has sent, and those that were counted.
    sent: Arc<AtomicU32>,
    counted: u32,
}

impl DrillTask {
    pub(super) fn new(outbox: TaskOutbox) -> Self {
        Self {
            call: None,
            stream: None,
            established_ms: None,
            outbox,
        }
    }

    /// Waits until the caller that waits for its result is gone: its end. Cancel safe.
    pub(super) async fn caller_gone(&mut self) -> DrillNews {
        match &self.call {
            Some(call) => call.gone().await,
            None => pending().await,
        }
        self.call = None;
        DrillNews::Abort("the command was ended".to_owned())
    }

    /// Does what the engine orders.
    pub(super) fn follow(&mut self, order: DrillOrder) {
        match order {
            DrillOrder::Cut {
                uplink,
                interface,
                targets,
            } => {
                tracing::info!(%uplink, "a drill begins: its path fails on purpose");
                self.established_ms = None;
                let (end, ended) = channel();
                let outbox = self.outbox.clone();
                let sent = Arc::new(AtomicU32::new(0));
                let count = Arc::clone(&sent);
                let work = move || drill(&interface, &targets, &ended, &outbox, &count);
                match thread::Builder::new().name("drill".to_owned()).spawn(work) {
                    Ok(thread) => {
                        self.stream = Some(StreamThread {
                            end,
                            thread,
                            uplink,
                            sent,
                            counted: 0,
                        });
                    }
                    Err(error) => give_up(&self.outbox, format!("no thread for it: {error}")),
                }
            }
            DrillOrder::Mend => {
                if let Some(stream) = &self.stream {
                    // A thread that has ended has reported it.
                    let _ = stream.end.send(());
                }
            }
        }
    }

    /// Makes the path whole at the end of the agent.
    pub(super) fn finish(&mut self) {
        if let Some(StreamThread { end, thread, .. }) = self.stream.take() {
            drop(end);
            drop(thread.join());
        }
    }

    /// By which uplink its stream has gone, and how many packets of it that were not counted yet.
    fn uncounted(&mut self) -> Option<(&mut UplinkName, u32)> {
        let stream = self.stream.as_mut()?;
        let sent = stream.sent.load(Ordering::Relaxed);
        let counted = std::mem::replace(&mut stream.counted, sent);
        Some((&mut stream.uplink, sent.saturating_sub(counted)))
    }

    /// What its threads report, with what its switch has shown: the stream sees no established connection.
    fn complete(&self, news: DrillNews) -> DrillNews {
        match news {
            DrillNews::Cut | DrillNews::Abort(_) => news,
            DrillNews::Whole(measured) => DrillNews::Whole(StreamMeasure {
                established_ms: self.established_ms,
                ..measured
            }),
        }
    }

    /// Takes the recovery time of its switch, and answers the operator when it is over.
    fn follow_event(&mut self, record: &EventRecord) {
        if record.cause == Some(SwitchCause::Drill) {
            let recovery = record.recovery_ms.and_then(|ms| u32::try_from(ms).ok());
            // Families and groups may move one by one.
            self.established_ms = self.established_ms.max(recovery);
        }
        // One of the schedule that was skipped meanwhile is another.
        let result = record.drill.as_ref().map(|drill| drill.result);
        if record.event == EventKind::Drill
            && result != Some(DrillResult::Skipped)
            && let Some(call) = self.call.take()
        {
            call.answer(Response::Event(Box::new(record.clone())));
        }
    }
}

impl Daemon {
    /// Begins a drill; the call is answered when it is over.
    pub(super) fn drill(&mut self, call: Call, command: &Command) {
        let now = self.clock.now();
        if self.options.observe {
            let why = "this agent only observes: it cannot cut a path".to_owned();
            call.answer(Response::Refused(why));
        } else if let Err(refusal) = self.decisions.engine.check_at(command, now) {
            call.answer(refusal.into());
        } else {
            let issued = self.issued(&call.by, command.clone());
            tracing::info!(command = %issued.command, by = %call.by, "by hand");
            self.decisions.tell(Input::Command(issued));
            if self.decisions.engine.drills().running().is_some() {
                self.drill.call = Some(call);
            } else {
                call.answer(Response::Refused("no drill: try again".to_owned()));
            }
        }
    }

    /// Ends a drill at the end of the agent. The next one goes on with the uplink that carried the traffic before.
    pub(super) fn stop_drill(&mut self) {
        self.drill.finish();
        self.state.is_stopping = true;
        let (settings, now) = (self.config.engine.drill, self.clock.now());
        if let Some(event) = self.decisions.engine.drills().at_stop(settings, now) {
            self.announce(&event, EventContext::default());
        }
    }

    /// Takes what the threads of a drill report.
    pub(super) fn drill_reports(&mut self, news: DrillNews) {
        if let Some((uplink, packets)) = self.drill.uncounted() {
            self.announcer.metrics.streamed(uplink, packets);
        }
        let news = self.drill.complete(news);
        self.decisions.tell(Input::Drill(news));
    }

    /// Takes from an event what a drill needs of it: its stream goes as new connections do.
    pub(super) fn note_drill(&mut self, record: &EventRecord) {
        let is_move = matches!(record.event, EventKind::Switch | EventKind::SwitchSoft);
        if let Some(Side::Uplinks(to)) = record
            .to
            .as_ref()
            .filter(|_| is_move && record.group.is_none())
            && let Some(next) = to.first()
            && let Some((uplink, packets)) = self.drill.uncounted()
        {
            self.announcer.metrics.streamed(uplink, packets);
            uplink.clone_from(next);
        }
        self.drill.follow_event(record);
    }
}

/// Removes what an agent that was killed in a drill has left.
pub(super) fn clean_up() {
    if let Err(error) = remove_path_cut() {
        tracing::debug!(%error, "cannot look for the rules of an earlier drill");
    }
}

fn give_up(outbox: &TaskOutbox, why: String) {
    for one in [
        DrillNews::Abort(why),
        DrillNews::Whole(StreamMeasure::default()),
    ] {
        // It is lost only when the agent ends.
        drop(outbox.blocking_send(TaskReport::Drill(one)));
    }
}

/// On a thread of its own: a stream, and a path that fails until `ended`.
fn drill(
    interface: &InterfaceName,
    targets: &[IpAddr],
    ended: &Receiver<()>,
    outbox: &TaskOutbox,
    sent: &AtomicU32,
) {
    let mut stream = match EchoStream::open(targets) {
        Ok(stream) => stream,
        Err(error) => return give_up(outbox, format!("no socket for its stream: {error}")),
    };
    let is_ended = || !matches!(ended.try_recv(), Err(TryRecvError::Empty));
    while stream.lasts() < LEAD {
        stream.step();
        sent.store(stream.packets(), Ordering::Relaxed);
        if is_ended() {
            return give_up(outbox, "ended before it began".to_owned());
        }
    }
    if !stream.is_answered() {
        let why = "no target answers pings: one that does is needed to measure".to_owned();
        return give_up(outbox, why);
    }
    let cutter = Cutter::start(interface.clone());
    let (mut is_cut, mut failed) = (false, None);
    loop {
        stream.step();
        sent.store(stream.packets(), Ordering::Relaxed);
        match cutter.reports.try_recv() {
            Ok(Ok(())) => {
                is_cut = true;
                stream.note_cut();
                drop(outbox.blocking_send(TaskReport::Drill(DrillNews::Cut)));
            }
            Ok(Err(error)) => {
                failed = Some(if is_cut {
                    format!(
                        "the path was whole again by itself, or other software made it so: {error}"
                    )
                } else {
                    format!("the kernel does not cut the path: {error}")
                });
                break;
            }
            Err(TryRecvError::Empty) if is_ended() => break,
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => break,
        }
    }
    cutter.end();
    if let Some(why) = failed {
        drop(outbox.blocking_send(TaskReport::Drill(DrillNews::Abort(why))));
    }
    let whole = DrillNews::Whole(stream.measure());
    drop(outbox.blocking_send(TaskReport::Drill(whole)));
}

/// The thread that keeps the path cut. The kernel may wait for all its processors, and the stream for nothing.
struct Cutter {
    end: Sender<()>,
    /// That the path is cut, and why it is no longer.
    reports: Receiver<io::Result<()>>,
    thread: JoinHandle<()>,
}

impl Cutter {
    fn start(interface: InterfaceName) -> Self {
        let (end, ended) = channel();
        let (report, reports) = channel();
        let thread = thread::spawn(move || {
            if let Err(error) = keep_cut(&interface, &ended, &report) {
                drop(report.send(Err(error)));
            }
        });
        Self {
            end,
            reports,
            thread,
        }
    }

    fn end(self) {
        drop(self.end);
        drop(self.thread.join());
    }
}

fn keep_cut(
    interface: &InterfaceName,
    ended: &Receiver<()>,
    report: &Sender<io::Result<()>>,
) -> io::Result<()> {
    let mut cut = PathCut::begin(interface)?;
    drop(report.send(Ok(())));
    loop {
        match ended.recv_timeout(PROLONG_EVERY) {
            Err(RecvTimeoutError::Timeout) => cut.prolong()?,
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
