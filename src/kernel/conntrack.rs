//! The flows of an uplink that was left: found and ended.
//!
//! A flow that was translated to an address of the old uplink cannot go on through another one: its
//! answers would come back to where nobody sends from any more. With masquerading the kernel drops
//! such a flow by itself when it sees a packet of it leave elsewhere; with a fixed source address, or
//! with marks that pin flows to an uplink, it hangs for good until its entry is gone. Then the next
//! packet makes a new flow through the new uplink, or draws a reset that makes the client begin anew.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

use super::KernelError;
use super::message::{self, FlowAnswer, FlowEntry};

/// Large enough for the kernel's largest piece of a list.
const DATAGRAM: usize = 64 * 1024;
/// So many flows are ended with one system call, which takes about a millisecond.
const BATCH: usize = 128;

/// Reaches the flows, on a socket of its own; the kernel answers within the call that asks, so that
/// this neither waits nor needs a task. Tens of thousands of flows take a tenth of a second: not for
/// the thread of a loop.
pub struct Flows {
    socket: Socket,
    sequence: u32,
    datagram: Vec<u8>,
}

impl std::fmt::Debug for Flows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flows").finish_non_exhaustive()
    }
}

impl Flows {
    /// Opens the socket.
    ///
    /// # Errors
    /// If there is none to be had.
    pub fn open() -> Result<Self, KernelError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_NETFILTER)?;
            socket.set_non_blocking(true)?;
            socket.set_cap_ack(true)?;
            socket.bind_auto()?;
            Ok(socket)
        };
        Ok(Self {
            socket: open().map_err(KernelError::Flows)?,
            sequence: 0,
            datagram: Vec::with_capacity(DATAGRAM),
        })
    }

    /// Ends the flows that are translated to one of these addresses. Flows of this machine itself,
    /// whose own address that is, stay: their sockets would only make them again. Returns how many
    /// were ended.
    ///
    /// # Errors
    /// If the kernel does not track connections, or this process may not reach them.
    pub fn end(&mut self, addresses: &BTreeSet<IpAddr>) -> Result<usize, KernelError> {
        let mut ended = 0;
        for address in addresses {
            let flows = self.translated_to(*address).map_err(KernelError::Flows)?;
            for batch in flows.chunks(BATCH) {
                ended += self.end_batch(batch).map_err(KernelError::Flows)?;
            }
        }
        Ok(ended)
    }

    fn translated_to(&mut self, address: IpAddr) -> io::Result<Vec<FlowEntry>> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = message::flows_answered_to(address, self.sequence);
        self.send(&request)?;
        let mut flows = Vec::new();
        loop {
            self.receive()?;
            for (sequence, answer) in message::flow_answers(&self.datagram) {
                match answer {
                    _ if sequence != self.sequence => {}
                    FlowAnswer::Flow(flow) => {
                        let is_translated = flow.answers_to == address && flow.origin != address;
                        flows.extend(is_translated.then_some(flow));
                    }
                    FlowAnswer::Done => return Ok(flows),
                    FlowAnswer::Failed(errno) => return Err(io::Error::from_raw_os_error(errno)),
                }
            }
        }
    }

    /// Whatever fails has ended by itself, or has become another flow, which is as good.
    fn end_batch(&mut self, flows: &[FlowEntry]) -> io::Result<usize> {
        let mut requests = Vec::new();
        for (place, flow) in (1..).zip(flows) {
            self.sequence = self.sequence.wrapping_add(1);
            requests.extend(message::end_of(flow, place == flows.len(), self.sequence));
        }
        self.send(&requests)?;
        let mut failed = 0;
        loop {
            self.receive()?;
            for (sequence, answer) in message::flow_answers(&self.datagram) {
                match answer {
                    FlowAnswer::Failed(libc::EPERM) => {
                        return Err(io::Error::from_raw_os_error(libc::EPERM));
                    }
                    FlowAnswer::Failed(_) => failed += 1,
                    FlowAnswer::Done | FlowAnswer::Flow(_) => {}
                }
                if sequence == self.sequence {
                    return Ok(flows.len() - failed);
                }
            }
        }
    }

    fn send(&self, requests: &[u8]) -> io::Result<()> {
        self.socket
            .send_to(requests, &SocketAddr::new(0, 0), 0)
            .map(drop)
    }

    fn receive(&mut self) -> io::Result<()> {
        self.datagram.clear();
        self.socket.recv(&mut self.datagram, 0).map(drop)
    }
}
