//! How the threads of the lab learn that they are needed no more.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// The owner's end: when it is dropped, the thread at the other end stops.
#[derive(Debug)]
pub(super) struct Lifeline(UnixStream);

/// The thread's end.
#[derive(Debug)]
pub(super) struct Tether(UnixStream);

/// A pair of ends.
pub(super) fn pair() -> io::Result<(Lifeline, Tether)> {
    let (owner, thread) = UnixStream::pair()?;
    thread.set_nonblocking(true)?;
    Ok((Lifeline(owner), Tether(thread)))
}

impl Lifeline {
    /// Wakes the thread from its poll.
    pub(super) fn tug(&self) -> io::Result<()> {
        (&self.0).write_all(&[1])
    }
}

impl Tether {
    /// Whether the owner is still there; takes in what it tugged.
    pub(super) fn holds(&self) -> bool {
        let mut tugs = [0; 64];
        match (&self.0).read(&mut tugs) {
            Ok(count) => count > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

impl AsFd for Tether {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
