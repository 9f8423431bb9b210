//! The other end of the control socket, for the CLI: blocking, with time limits, without a runtime.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::{Request, Response, running};
use crate::units::json;

/// A connection to a running agent.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

/// Why the agent did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No agent listens there, or we may not talk to it.
    #[error("cannot reach the agent at {} ({})", path.display(), advice(path, source))]
    Connect {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The conversation broke off.
    #[error("the agent at {} does not answer", path.display())]
    Broken {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The answer is none.
    #[error("the agent at {} answers in a way this version does not understand", path.display())]
    Garbled {
        /// Where.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

fn advice(path: &Path, source: &io::Error) -> String {
    if source.kind() == io::ErrorKind::PermissionDenied {
        return "only root and the socket's group may talk to it".to_owned();
    }
    let others = running::sockets().into_iter().filter(|other| other != path);
    let others: Vec<_> = others.map(|other| other.display().to_string()).collect();
    if others.is_empty() {
        "is it running?".to_owned()
    } else {
        let others = others.join(" and at ");
        format!(
            "an agent is running at {others}: restart it for another agent.control, or name it by --socket"
        )
    }
}

impl Client {
    /// Connects to the agent whose control socket is at `path`.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = connect(path).map_err(|source| ClientError::Connect {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            stream: BufReader::new(stream),
        })
    }

    /// Asks one thing and waits for the answer.
    pub fn request(&mut self, request: &Request) -> Result<Response, ClientError> {
        match self.send(request) {
            Ok(()) => self.receive(),
            // An agent that will not listen closes first, and has said why.
            Err(source) => self.receive().map_err(|_| self.broken(source)),
        }
    }

    /// The same for what takes its time: waits for as long as the agent is there.
    pub fn request_at_length(&mut self, request: &Request) -> Result<Response, ClientError> {
        (self.stream.get_ref().set_read_timeout(None)).map_err(|source| self.broken(source))?;
        self.request(request)
    }

    /// Asks for the status and every event; each further response comes from [`Self::next_event`].
    pub fn watch(&mut self) -> Result<Response, ClientError> {
        let first = self.request(&Request::Watch)?;
        (self.stream.get_ref().set_read_timeout(None)).map_err(|source| self.broken(source))?;
        Ok(first)
    }

    /// What a watch says next; waits for as long as nothing happens.
    pub fn next_event(&mut self) -> Result<Response, ClientError> {
        self.receive()
    }

    fn send(&mut self, request: &Request) -> io::Result<()> {
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes())
    }

    fn receive(&mut self) -> Result<Response, ClientError> {
        let mut line = String::new();
        let read = (&mut self.stream)
            .take(MAX_ANSWER)
            .read_line(&mut line)
            .map_err(|source| self.broken(source))?;
        if read == 0 {
            return Err(self.broken(io::ErrorKind::UnexpectedEof.into()));
        }
        json::read(line.as_bytes()).map_err(|source| ClientError::Garbled {
            path: self.path.clone(),
            source,
        })
    }

    fn broken(&self, source: io::Error) -> ClientError {
        let source = if source.kind() == io::ErrorKind::WouldBlock {
            let what = format!("nothing came within {} s", PATIENCE.as_secs());
            io::Error::new(io::ErrorKind::TimedOut, what)
        } else {
            source
        };
        ClientError::Broken {
            path: self.path.clone(),
            source,
        }
    }
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // The time limit of writing is also that of waiting for a place in the agent's queue
    // (`unix_stream_connect` in the kernel's `net/unix/af_unix.c`).
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(UnixStream::from(OwnedFd::from(socket)))
}

/// An agent that is well answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
const MAX_ANSWER: u64 = 16 << 20;
