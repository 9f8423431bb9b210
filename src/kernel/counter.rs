//! The counters of an interface.

use netlink_sys::protocols::NETLINK_ROUTE;

use super::error::KernelError;
use super::exchange::Exchange;
use super::message;
use crate::units::{Counters, IfIndex};

/// Reads counters, on a socket of its own; the kernel answers within the system call.
pub struct CounterReader {
    exchange: Exchange,
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
    /// If there is no netlink socket.
    pub fn open() -> Result<Self, KernelError> {
        let exchange = Exchange::open(NETLINK_ROUTE).map_err(KernelError::Socket)?;
        Ok(Self { exchange })
    }

    /// The counters of an interface now; none if there is no such interface.
    pub fn read(&mut self, index: IfIndex) -> Option<Counters> {
        let number = self.exchange.next_number();
        let request = message::counters_of(index, number);
        self.exchange.send(&request).ok()?;
        message::counters(self.exchange.receive().ok()?, number)
    }
}
