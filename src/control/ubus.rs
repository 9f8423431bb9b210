//! The object `uplinkd` on ubus, the bus of OpenWrt: what the control socket answers, and an event for
//! each change.
//!
//! ```text
//!  ubusd ──frames──> reader (1 task) ──queue, 16──> session (1 task) ──Call──> daemon's loop
//!    ^                                                 │  ^  ^                     │
//!    └──────────────── answers, events ────────────────┘  │  └── answer of a call ─┤
//!                                                         └── watcher's queue ─────┘
//! ```
//! To the loop it is one more client: its calls wait side by side, and it hears of changes as any watcher
//! does, from a queue that ends when it is not emptied. Then it watches anew, and tells the status as it
//! is by then. A frame is read by a task of its own, since half a frame cannot be put back.
//!
//! The other way round it follows the networks of netifd: whatever netifd or ubusd says of them means
//! that it asks for all of them again. They are on a `watch` channel, and stay there when netifd goes.
//!
//! ubusd may be missing, or come and go: it is looked for again, at most every half minute, and that it
//! cannot be had is said once.

pub mod blob;
pub mod blobmsg;
pub mod frame;
pub mod netifd;
mod object;
pub mod session;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet, spawn, spawn_blocking};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::conversation::WATCH_BACKLOG;
use super::{Answer, Call, Request, Response};
use crate::engine::command::Caller;
use frame::{Code, Frame, Kind};
use netifd::{Networks, Order};
use session::{Broken, Invocation, Offer, Session, UbusOutcome};

/// Where ubusd listens on OpenWrt, and where it did before 21.02.
const USUAL: [&str; 2] = ["/var/run/ubus/ubus.sock", "/var/run/ubus.sock"];

/// The presence on ubus, as long as it lives.
#[derive(Debug)]
pub struct Ubus {
    networks: watch::Receiver<Networks>,
    orders: mpsc::Sender<Order>,
    task: AbortHandle,
}

impl Ubus {
    /// Looks for ubusd at `path`, or where it usually is, from now on. To be called within a runtime.
    pub fn start(path: Option<PathBuf>, offer: Offer, calls: mpsc::WeakSender<Call>) -> Self {
        let (reported, networks) = watch::channel(Networks::new());
        let (orders, inbox) = mpsc::channel(ORDERS);
        let line = Line {
            calls: Agent(calls),
            networks: reported,
            orders: inbox,
            offer,
        };
        Self {
            networks,
            orders,
            task: spawn(attend(path, line)).abort_handle(),
        }
    }

    /// The networks of netifd, when they are others than last time.
    pub async fn networks(&mut self) -> Networks {
        if self.networks.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.networks.borrow_and_update().clone()
    }

    /// Asks netifd for something, as soon as it is there; false if it has been away for too long.
    pub fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }
}

impl Drop for Ubus {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The ways to and from the daemon's loop.
struct Line {
    calls: Agent,
    networks: watch::Sender<Networks>,
    orders: mpsc::Receiver<Order>,
    offer: Offer,
}

/// Why there is no conversation.
#[derive(Debug, thiserror::Error)]
enum UbusEnd {
    #[error("the agent has ended")]
    Agent,
    #[error("no ubusd here")]
    Missing,
    #[error("cannot reach ubusd at {}: {source}", path.display())]
    Unreachable { path: PathBuf, source: io::Error },
    #[error("ubusd does not answer")]
    Silent,
    #[error("the connection to ubusd is lost: {0}")]
    Lost(#[from] io::Error),
    #[error("{0}")]
    Broken(#[from] Broken),
}

async fn attend(path: Option<PathBuf>, mut line: Line) {
    let mut pause = FIRST_PAUSE;
    let mut said = String::new();
    loop {
        let mut is_registered = false;
        let Err(ended) = converse(path.as_deref(), &mut line, &mut is_registered).await;
        if is_registered {
            pause = FIRST_PAUSE;
            said.clear();
        }
        let why = ended.to_string();
        let is_worth_saying = match ended {
            UbusEnd::Agent => return,
            UbusEnd::Missing => false,
            // One of them leads to the other while ubusd is away.
            UbusEnd::Unreachable { .. } | UbusEnd::Silent | UbusEnd::Lost(_) => said.is_empty(),
            UbusEnd::Broken(_) => said != why,
        };
        if is_worth_saying {
            warn!(why, "not on ubus; tries again");
            said = why;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Talks to ubusd for as long as that works.
async fn converse(
    path: Option<&Path>,
    line: &mut Line,
    is_registered: &mut bool,
) -> Result<std::convert::Infallible, UbusEnd> {
    let (mut frames, mut writer) = meet(path).await?;
    let mut session = Session::default();
    session.register(line.offer)?;
    let agent = &line.calls;
    let mut news = agent.watch().await?;
    // What ends with the conversation, as a drill does.
    let mut calls = JoinSet::new();
    loop {
        send(&mut writer, session.take_outgoing()).await?;
        let outcome = tokio::select! {
            frame = frames.next(), if calls.len() < MOST_CALLS => session.handle(&frame?)?,
            Some(answered) = calls.join_next() => {
                if let Ok((invocation, answer)) = answered {
                    finish(&mut session, &invocation, answer)?;
                }
                None
            }
            Some(order) = line.orders.recv(), if session.has_netifd() => {
                session.order(&order)?;
                None
            }
            event = news.recv() => {
                if let Some(event) = event {
                    tell(&mut session, &event);
                } else {
                    news = agent.watch().await?;
                    let status = news.recv().await.ok_or(UbusEnd::Agent)?;
                    tell_status(&mut session, &status);
                }
                None
            }
        };
        match outcome {
            Some(UbusOutcome::Registered) => {
                *is_registered = true;
                info!("on ubus as {}", object::PATH);
            }
            Some(UbusOutcome::Ask(invocation)) => {
                let mut answers = agent.ask(invocation.request.clone(), 1).await?;
                calls.spawn(async move { (invocation, answer(&mut answers).await) });
            }
            Some(UbusOutcome::Follow(networks)) => {
                line.networks.send_if_modified(|known| {
                    let is_new = *known != networks;
                    *known = networks;
                    is_new
                });
            }
            Some(UbusOutcome::Unheard(status)) => debug!(status, "ubusd does not pass on an event"),
            Some(UbusOutcome::NotDone(status)) => {
                warn!(status, "netifd does not bring a network up or down");
            }
            None => {}
        }
    }
}

/// Connects, and hears the greeting.
async fn meet(path: Option<&Path>) -> Result<(Frames, OwnedWriteHalf), UbusEnd> {
    let (reader, writer) = connect(path).await?.into_split();
    let mut frames = Frames::of(reader);
    let hello = timeout(ANSWER_WITHIN, frames.next()).await;
    if hello.map_err(|_| UbusEnd::Silent)??.kind != Some(Kind::Hello) {
        return Err(UbusEnd::Silent);
    }
    Ok((frames, writer))
}

/// The networks as netifd tells them now, where there is no agent; waits for a second at most.
pub fn networks(path: Option<&Path>) -> Option<Networks> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let asked = async { timeout(LOOK_WITHIN, look(path)).await.ok()?.ok() };
    runtime.ok()?.block_on(asked)
}

async fn look(path: Option<&Path>) -> Result<Networks, UbusEnd> {
    let (mut frames, mut writer) = meet(path).await?;
    let mut session = Session::default();
    session.follow()?;
    loop {
        send(&mut writer, session.take_outgoing()).await?;
        if let Some(UbusOutcome::Follow(networks)) = session.handle(&frames.next().await?)? {
            return Ok(networks);
        }
    }
}

async fn connect(path: Option<&Path>) -> Result<UnixStream, UbusEnd> {
    let usual = || USUAL.iter().map(Path::new).find(|path| path.exists());
    let path = path.or_else(usual).ok_or(UbusEnd::Missing)?;
    let connected = timeout(ANSWER_WITHIN, UnixStream::connect(path)).await;
    let unreachable = |source| UbusEnd::Unreachable {
        path: path.to_owned(),
        source,
    };
    connected.map_err(|_| UbusEnd::Silent)?.map_err(unreachable)
}

async fn send(writer: &mut OwnedWriteHalf, bytes: Vec<u8>) -> Result<(), UbusEnd> {
    if bytes.is_empty() {
        return Ok(());
    }
    let written = timeout(ANSWER_WITHIN, writer.write_all(&bytes)).await;
    Ok(written.map_err(|_| UbusEnd::Silent)??)
}

/// The answer of the agent as data, and how the call ended.
async fn answer(answers: &mut mpsc::Receiver<Arc<Answer>>) -> Option<(Vec<u8>, Code)> {
    let answer = answers.recv().await?;
    Some((data(&answer).await?, code(&answer.response)))
}

fn finish(
    session: &mut Session,
    invocation: &Invocation,
    answer: Option<(Vec<u8>, Code)>,
) -> Result<(), UbusEnd> {
    match answer {
        Some((data, code)) => session.answer(invocation, &data, code)?,
        None => session.fail(invocation)?,
    }
    Ok(())
}

/// A response as data: the status as it is, everything else with its name. A long history is not for the
/// thread of the loop.
async fn data(answer: &Arc<Answer>) -> Option<Vec<u8>> {
    match &answer.response {
        Response::Status(status) => blobmsg::encode(status).ok(),
        Response::Mwan3(status) => blobmsg::encode(status).ok(),
        Response::History(_) => {
            let answer = Arc::clone(answer);
            let encoding = spawn_blocking(move || blobmsg::encode(&answer.response).ok());
            encoding.await.ok().flatten()
        }
        other @ (Response::Event(_)
        | Response::Done(_)
        | Response::Refused(_)
        | Response::NotFound(_)
        | Response::Samples(_)) => blobmsg::encode(other).ok(),
    }
}

/// How a call ended.
fn code(response: &Response) -> Code {
    match response {
        Response::NotFound(_) => Code::NotFound,
        Response::Refused(_) => Code::UnknownError,
        Response::Status(_)
        | Response::Event(_)
        | Response::Done(_)
        | Response::History(_)
        | Response::Samples(_)
        | Response::Mwan3(_) => Code::Ok,
    }
}

/// Passes on an event; the status after it is for other watchers.
fn tell(session: &mut Session, answer: &Answer) {
    if let Response::Event(record) = &answer.response {
        tell_of(session, record.event.name(), record);
    }
}

/// Tells where things stand after events were passed over.
fn tell_status(session: &mut Session, answer: &Answer) {
    debug!("ubus is too slow: events were passed over");
    if let Response::Status(status) = &answer.response {
        tell_of(session, "status", status);
    }
}

fn tell_of(session: &mut Session, name: &str, content: &impl Serialize) {
    let encoded = blobmsg::encode(content).map(|data| session.tell(name, &data));
    match encoded {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "too much for a message of ubus"),
        Err(error) => debug!(%error, "an event has no form of ubus"),
    }
}

/// The daemon's loop, as it is for its clients. It may end before us.
struct Agent(mpsc::WeakSender<Call>);

impl Agent {
    async fn ask(
        &self,
        request: Request,
        room: usize,
    ) -> Result<mpsc::Receiver<Arc<Answer>>, UbusEnd> {
        let (sender, answers) = mpsc::channel(room);
        let calls = self.0.upgrade().ok_or(UbusEnd::Agent)?;
        let asked = calls
            .send(Call {
                request,
                by: Caller::named("ubus"),
                answers: sender,
            })
            .await;
        asked.map(|()| answers).map_err(|_| UbusEnd::Agent)
    }

    async fn watch(&self) -> Result<mpsc::Receiver<Arc<Answer>>, UbusEnd> {
        self.ask(Request::Watch, WATCH_BACKLOG).await
    }
}

/// What ubusd says.
struct Frames {
    queue: mpsc::Receiver<io::Result<Frame>>,
    reader: JoinHandle<()>,
}

impl Frames {
    fn of(mut half: OwnedReadHalf) -> Self {
        let (sender, queue) = mpsc::channel(FRAMES);
        let reader = spawn(async move {
            loop {
                let frame = Frame::read(&mut half).await;
                let is_last = frame.is_err();
                if sender.send(frame).await.is_err() || is_last {
                    return;
                }
            }
        });
        Self { queue, reader }
    }

    async fn next(&mut self) -> io::Result<Frame> {
        let gone = || Err(io::ErrorKind::UnexpectedEof.into());
        self.queue.recv().await.unwrap_or_else(gone)
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

const FRAMES: usize = 16;
/// So many calls wait for their answers side by side: a drill takes minutes, and the status is asked for meanwhile.
const MOST_CALLS: usize = 8;
const ORDERS: usize = 16;
/// procd starts ubusd anew within seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A healthy ubusd takes each message at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const LOOK_WITHIN: Duration = Duration::from_secs(1);
