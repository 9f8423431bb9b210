//! A small server of pages by HTTP/1.1, for programs that read what this machine says of itself.
//!
//! ```text
//!  client ──connect──> accept (1 task) ──spawns──> conversation (1 task a client, at most 16)
//!                                                     │  ^
//!                                   PageRequest (queue) │  │ WebPage (once)
//!                                                     v  │
//!                                              the owner of the pages
//! ```
//! A connection carries one request. A client is bounded in bytes and in time, and gets a page that is
//! complete; what it does with its connection delays no other. When all places are taken, a new client
//! takes that of the oldest: one that asks and reads at once is never that for long.

mod conversation;
mod page;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdTcpListener};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tracing::warn;

pub use conversation::PageRequest;
pub use page::{PageStatus, WebPage};

use crate::unix_socket::{PathOccupant, listen, occupant};

/// Clients at a time.
const MOST_CLIENTS: usize = 16;
/// After each client that takes the place of another: a flood of them costs no more than this lets through.
const PAUSE_WHEN_FULL: Duration = Duration::from_millis(1);
/// After a connection that cannot be accepted, most likely for want of descriptors.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A listening socket. The file of a Unix socket goes with it.
#[derive(Debug)]
pub struct WebListener(ListeningSocket);

#[derive(Debug)]
enum ListeningSocket {
    Tcp(StdTcpListener),
    Unix(StdUnixListener, SocketFile),
}

/// The file of a socket, which is removed when this is dropped.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "a socket was gone already");
        }
    }
}

/// Why no pages are served.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The operating system refuses.
    #[error("cannot listen at {place}")]
    Io {
        /// The address or the path.
        place: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A program listens at the path.
    #[error("cannot listen at {}: another program listens there", .0.display())]
    PathTaken(PathBuf),
    /// Something that is no socket is at the path.
    #[error("cannot listen at {}: there is a file that is no socket", .0.display())]
    NoSocket(PathBuf),
}

impl WebError {
    fn at(place: impl ToString) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            place: place.to_string(),
            source,
        }
    }
}

impl WebListener {
    /// Listens at an address.
    ///
    /// # Errors
    /// If it cannot be bound.
    pub fn tcp(address: SocketAddr) -> Result<Self, WebError> {
        let listener = StdTcpListener::bind(address).map_err(WebError::at(address))?;
        let unblocked = listener.set_nonblocking(true);
        unblocked.map_err(WebError::at(address))?;
        Ok(Self(ListeningSocket::Tcp(listener)))
    }

    /// Listens at a path, whose directory is made if it is missing. A socket of a program that died is replaced.
    ///
    /// # Errors
    /// If it cannot be bound.
    pub fn unix(path: &Path) -> Result<Self, WebError> {
        let failed = || WebError::at(path.display());
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed())?;
        }
        match occupant(path).map_err(failed())? {
            PathOccupant::None => {}
            PathOccupant::Listener => return Err(WebError::PathTaken(path.to_owned())),
            PathOccupant::OtherFile => return Err(WebError::NoSocket(path.to_owned())),
            PathOccupant::StaleSocket => fs::remove_file(path).map_err(failed())?,
        }
        let listener = listen(path).map_err(failed())?;
        let file = SocketFile(path.to_owned());
        Ok(Self(ListeningSocket::Unix(listener, file)))
    }

    /// Serves clients until this is dropped; their requests go to `requests`.
    ///
    /// # Errors
    /// If the socket does not fit this runtime.
    pub async fn serve(self, requests: mpsc::Sender<PageRequest>) -> io::Result<()> {
        match self.0 {
            ListeningSocket::Tcp(listener) => {
                let listener = TcpListener::from_std(listener)?;
                let accept = async || {
                    let (stream, peer) = listener.accept().await?;
                    Ok((stream, Some(peer.ip().to_canonical())))
                };
                serve(accept, requests).await;
            }
            ListeningSocket::Unix(listener, file) => {
                let listener = UnixListener::from_std(listener)?;
                // Gone before the listener is: the next one at this path removes no file of another.
                let _file = file;
                let accept = async || listener.accept().await.map(|(stream, _)| (stream, None));
                serve(accept, requests).await;
            }
        }
        Ok(())
    }
}

async fn serve<S>(
    accept: impl AsyncFn() -> io::Result<(S, Option<IpAddr>)>,
    requests: mpsc::Sender<PageRequest>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut clients = JoinSet::new();
    let mut by_age: VecDeque<AbortHandle> = VecDeque::new();
    let mut is_failing = false;
    loop {
        let accepted = tokio::select! {
            // The places of those that left are free before the next one is looked at.
            biased;
            Some(_) = clients.join_next() => {
                by_age.retain(|client| !client.is_finished());
                continue;
            }
            accepted = accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                is_failing = false;
                if by_age.len() >= MOST_CLIENTS
                    && let Some(oldest) = by_age.pop_front()
                {
                    oldest.abort();
                    sleep(PAUSE_WHEN_FULL).await;
                }
                by_age.push_back(clients.spawn(conversation::hold(stream, peer, requests.clone())));
            }
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    warn!(%error, "cannot accept web clients");
                }
                sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}
