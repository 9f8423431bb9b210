//! The counters of an interface.

use netlink_sys::{Socket, SocketAddr};

use super::{KernelError, message, observe};
use crate::units::{Counters, IfIndex};

/// One interface fits into this with all its attributes.
const DATAGRAM: usize = 16 * 1024;

/// Reads counters, on a socket of its own; the kernel answers within the call that asks.
pub struct CounterReader {
    socket: Socket,
    sequence: u32,
    datagram: Vec<u8>,
}

impl std::fmt::Debug for CounterReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CounterReader").finish_non_exhaustive()
    }
}

impl CounterReader {
    /// Opens the socket.
    ///
    /// # Errors
    /// If there is none to be had.
    pub fn open() -> Result<Self, KernelError> {
        Ok(Self {
            socket: observe::open().map_err(KernelError::Socket)?,
            sequence: 0,
            datagram: Vec::with_capacity(DATAGRAM),
        })
    }

    /// The counters of an interface now; none if there is no such interface.
    pub fn read(&mut self, index: IfIndex) -> Option<Counters> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = message::counters_of(index, self.sequence);
        let kernel = SocketAddr::new(0, 0);
        self.socket.send_to(&request, &kernel, 0).ok()?;
        self.datagram.clear();
        self.socket.recv(&mut self.datagram, 0).ok()?;
        message::counters(&self.datagram, self.sequence)
    }
}
