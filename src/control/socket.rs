//! The control socket: one line of JSON in, one or more out.
//!
//! ```text
//!  client ──connect──> accept (1 task) ──spawns──> conversation (1 task a client, at most 64)
//!                                                     │  ^
//!                                         Call (queue) │  │ lines (bounded queue of each call)
//!                                                     v  │
//!                                                   daemon's loop
//! ```
//! Nothing here waits inside the daemon's loop: an answer is put into the queue of its call, and a
//! client that does not empty its queue loses its place.

use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdUnixListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::geteuid;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{debug, warn};

use super::conversation::{self, refuse};
use super::{Answer, Call, Response, running};
use crate::engine::event::record::EventRecord;
use crate::engine::status::Status;
use crate::units::Protocol;
use crate::unix_socket::{PathOccupant, listen, occupant};

/// The listening socket, as long as it lives. Its file goes with it.
#[derive(Debug)]
pub struct Server {
    /// What clients want, one after the other.
    pub calls: mpsc::Receiver<Call>,
    /// For those who come another way; does not keep the line open.
    pub caller: mpsc::WeakSender<Call>,
    accepting: AbortHandle,
    path: PathBuf,
    _lock: Flock<fs::File>,
}

/// Claims the routes and rules of a protocol number in this network namespace, for as long as what is
/// returned lives: two agents would take away each other's. An abstract name (unix(7)) is a network
/// namespace's own, and free again when its owner is killed. Everybody may take one, though: who is
/// not trusted to run an agent keeps none from running, without a claim.
///
/// # Errors
/// If another agent has claimed them.
pub fn claim(protocol: Protocol) -> Result<Option<StdUnixListener>, BindError> {
    let name = format!("uplinkd.{protocol}");
    let failed = |source| BindError::Io {
        operation: "claim the routes as",
        path: name.clone().into(),
        source,
    };
    let address = SocketAddr::from_abstract_name(&name).map_err(failed)?;
    match StdUnixListener::bind_addr(&address) {
        Ok(claim) => Ok(Some(claim)),
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => Err(failed(error)),
        Err(_) if is_trusted(&name) => Err(BindError::NotAlone(protocol)),
        Err(_) => {
            warn!(
                name,
                "another process holds the name by which two agents would know of each other"
            );
            Ok(None)
        }
    }
}

/// Whether root or the agent's own user listens at an abstract name.
fn is_trusted(name: &str) -> bool {
    let owner = || -> io::Result<u32> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(format!("\0{name}"))?)?;
        Ok(getsockopt(&socket, sockopt::PeerCredentials)?.uid())
    };
    owner().is_ok_and(|uid| uid == 0 || uid == geteuid().as_raw())
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another agent is at work.
    #[error("another agent is running: it answers at {}", .0.display())]
    AlreadyRunning(PathBuf),
    /// Another agent writes routes and rules with our protocol number, wherever it listens.
    #[error("another agent is running here: it steers with routing.protocol {0} as well")]
    NotAlone(Protocol),
    /// Something that is no socket is in the way.
    #[error("cannot listen at {}: there is a file that is no socket", .0.display())]
    InTheWay(PathBuf),
    /// This user may not.
    #[error(
        "cannot {operation} {}: permission denied; start the agent as root, or set `agent.control` to a path \
         that this user may write to",
        path.display()
    )]
    Denied {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
    },
    /// The operating system refuses.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl Server {
    /// Listens at `path`, whose directory is made if it is missing. To be called within a runtime.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed("create the directory", directory))?;
        }
        let lock = lock(path)?;
        remove_stale(path)?;
        let listener = listen(path).map_err(failed("listen at", path))?;
        let group = fs::metadata(path).map_err(failed("look at", path))?.gid();
        let listener = UnixListener::from_std(listener).map_err(failed("listen at", path))?;
        let (sender, calls) = mpsc::channel(MAX_CLIENTS);
        let caller = sender.downgrade();
        let accepting = tokio::spawn(accept(listener, Trusted { group }, sender)).abort_handle();
        Ok(Self {
            calls,
            caller,
            accepting,
            path: path.to_owned(),
            _lock: lock,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
        if let Err(error) = fs::remove_file(&self.path) {
            debug!(path = %self.path.display(), %error, "control socket was gone already");
        }
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BindError {
    move |source| {
        let path = path.to_owned();
        if source.kind() == io::ErrorKind::PermissionDenied {
            BindError::Denied { operation, path }
        } else {
            BindError::Io {
                operation,
                path,
                source,
            }
        }
    }
}

/// Holds the place beside the socket for as long as this process lives, so that of two agents that
/// start together only one takes the socket of a third that died.
fn lock(path: &Path) -> Result<Flock<fs::File>, BindError> {
    let lock_path = running::lock_path(path);
    let file = fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&lock_path)
        .map_err(failed("open", &lock_path))?;
    let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
    let mut lock = locked.map_err(|(_, errno)| {
        if errno == Errno::EAGAIN {
            BindError::AlreadyRunning(path.to_owned())
        } else {
            failed("lock", &lock_path)(errno.into())
        }
    })?;
    running::mark(&mut lock);
    Ok(lock)
}

/// Removes the socket of an agent that died. One at which an agent answers stays.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    match occupant(path).map_err(failed("look at", path))? {
        PathOccupant::None => Ok(()),
        PathOccupant::Listener => Err(BindError::AlreadyRunning(path.to_owned())),
        PathOccupant::OtherFile => Err(BindError::InTheWay(path.to_owned())),
        PathOccupant::StaleSocket => {
            fs::remove_file(path).map_err(failed("remove the stale socket", path))
        }
    }
}

/// Who may talk: root, the agent's own user, and the group of the socket.
#[derive(Clone, Copy)]
struct Trusted {
    group: u32,
}

impl Trusted {
    fn includes(self, stream: &UnixStream) -> bool {
        stream.peer_cred().is_ok_and(|peer| {
            let is_owner = peer.uid() == 0 || peer.uid() == geteuid().as_raw();
            is_owner || peer.gid() == self.group
        })
    }
}

async fn accept(listener: UnixListener, trusted: Trusted, calls: mpsc::Sender<Call>) {
    let mut conversations = JoinSet::new();
    let watches = Arc::new(Semaphore::new(MAX_WATCHERS));
    let mut is_failing = false;
    loop {
        let accepted = tokio::select! {
            // The places of those that left are free before the next one is looked at.
            biased;
            Some(_) = conversations.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if !trusted.includes(&stream) => {
                refuse(
                    &stream,
                    "only root and the socket's group may talk to the agent",
                );
            }
            Ok((stream, _)) if conversations.len() >= MAX_CLIENTS => {
                refuse(&stream, "too many clients");
            }
            Ok((stream, _)) => {
                is_failing = false;
                conversations.spawn(conversation::hold(
                    stream,
                    calls.clone(),
                    Arc::clone(&watches),
                ));
            }
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    warn!(%error, "cannot accept control clients");
                }
                // Out of descriptors, most likely, and the next attempt fails as well.
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

/// Everybody who wants to hear of each event.
#[derive(Debug, Default)]
pub struct Watchers(Vec<mpsc::Sender<Arc<Answer>>>);

impl Watchers {
    /// Takes in the sender of a [`Request::Watch`](super::Request::Watch) and tells it the status.
    pub fn add(&mut self, call: Call, status: &Status) {
        self.0.retain(|watcher| !watcher.is_closed());
        let answer = Answer::new(Response::Status(Box::new(status.clone())));
        if call.answers.try_send(answer).is_ok() {
            self.0.push(call.answers);
        }
    }

    /// Tells all of them what happened and the status after it.
    pub fn publish(&mut self, event: &EventRecord, status: &Status) {
        self.0.retain(|watcher| !watcher.is_closed());
        if self.0.is_empty() {
            return;
        }
        let event = Answer::new(Response::Event(Box::new(event.clone())));
        let status = Answer::new(Response::Status(Box::new(status.clone())));
        self.0.retain(|watcher| {
            let has_room = watcher.capacity() > 2;
            let is_told = has_room
                && watcher.try_send(Arc::clone(&event)).is_ok()
                && watcher.try_send(Arc::clone(&status)).is_ok();
            if !is_told {
                // Whether this last line still fits or not, the queue ends here.
                let farewell = Answer::new(Response::Refused(TOO_SLOW.to_owned()));
                drop(watcher.try_send(farewell));
            }
            is_told
        });
    }
}

const TOO_SLOW: &str = "no longer watching: this client reads too slowly";
const MAX_CLIENTS: usize = 64;
/// Watchers leave room for clients with requests.
const MAX_WATCHERS: usize = MAX_CLIENTS / 2;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_agent_listens_at_keeps_none_from_running() {
        let protocol = Protocol(250);
        let squatter = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        let name = format!("\0uplinkd.{protocol}");
        squatter
            .bind(&SockAddr::unix(name).expect("a name"))
            .expect("it is free");
        assert!(claim(protocol).expect("no agent").is_none());
        drop(squatter);
        let ours = claim(protocol).expect("no agent");
        assert!(ours.is_some());
        let refusal = claim(protocol).expect_err("an agent");
        assert!(matches!(refusal, BindError::NotAlone(_)), "{refusal}");
    }
}
