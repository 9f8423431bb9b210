//! How a thread of the lab learns that its owner no longer needs it.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};

/// The owner's end: when it is dropped, the thread at the other end stops.
#[derive(Debug)]
pub(super) struct ShutdownHandle(UnixStream);

/// The thread's end; readable when there is something to look at.
#[derive(Debug)]
pub(super) struct Shutdown(UnixStream);

/// A pair of ends.
pub(super) fn pair() -> io::Result<(ShutdownHandle, Shutdown)> {
    let (owner, thread) = UnixStream::pair()?;
    thread.set_nonblocking(true)?;
    Ok((ShutdownHandle(owner), Shutdown(thread)))
}

impl ShutdownHandle {
    /// Drops it, and waits until the thread has ended.
    pub(super) fn end(mut self) {
        // The thread's end is closed as soon as it returns, however it does.
        drop(self.0.shutdown(std::net::Shutdown::Write));
        drop(self.0.read_to_end(&mut Vec::new()));
    }

    /// Wakes the thread from its poll.
    pub(super) fn wake(&self) -> io::Result<()> {
        (&self.0).write_all(&[1])
    }
}

impl Shutdown {
    /// The owner has dropped its end. Takes in what woke the thread.
    pub(super) fn is_requested(&self) -> bool {
        let mut wakes = [0; 64];
        match (&self.0).read(&mut wakes) {
            Ok(count) => count == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Waits for so long at most, and returns whether the owner has dropped its end meanwhile.
    pub(super) fn is_requested_within(&self, span: Duration) -> bool {
        let mut watched = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        ppoll(&mut watched, Some(span.into()), None).is_err() || self.is_requested()
    }
}

impl AsFd for Shutdown {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
