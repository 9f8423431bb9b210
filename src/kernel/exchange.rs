//! Questions to the kernel that it answers within the call that asks: nothing waits, nothing needs a
//! task.

use std::io;

use netlink_sys::{Socket, SocketAddr};

use super::message::{Acknowledgement, ListItem, acknowledgement};

/// Large enough for the kernel's largest piece of a list.
const DATAGRAM: usize = 64 * 1024;

/// A netlink socket, and the number of the last request on it.
pub(super) struct Exchange {
    socket: Socket,
    port: u32,
    sequence: u32,
    datagram: Vec<u8>,
}

impl Exchange {
    pub(super) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.set_non_blocking(true)?;
        // The kernel's own words in errors, and not the request repeated in front of them. A kernel
        // before 4.12 has none, and the number alone must do.
        if let Err(error) = socket
            .set_ext_ack(true)
            .and_then(|()| socket.set_cap_ack(true))
        {
            tracing::debug!(%error, "the kernel does not explain its errors");
        }
        let port = socket.bind_auto()?.port_number();
        Ok(Self {
            socket,
            port,
            sequence: 0,
            datagram: Vec::with_capacity(DATAGRAM),
        })
    }

    /// The number for the next request.
    pub(super) fn next_number(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// All that the kernel lists when it is asked this.
    pub(super) fn list<T>(
        &mut self,
        request: impl Fn(u32) -> Vec<u8>,
        answers: impl Fn(&[u8]) -> Vec<(u32, ListItem<T>)>,
    ) -> io::Result<Vec<T>> {
        let asked = self.next_number();
        self.send(&request(asked))?;
        let mut items = Vec::new();
        loop {
            for (sequence, answer) in answers(self.receive()?) {
                match answer {
                    _ if sequence != asked => {}
                    ListItem::Entry(item) => items.push(item),
                    ListItem::Done => return Ok(items),
                    ListItem::Failed(errno) => return Err(io::Error::from_raw_os_error(errno)),
                }
            }
        }
    }

    /// Asks for a change, and returns what became of it.
    pub(super) fn change(
        &mut self,
        request: impl FnOnce(u32) -> Vec<u8>,
    ) -> io::Result<Acknowledgement> {
        let asked = self.next_number();
        self.send(&request(asked))?;
        loop {
            if let Some(answer) = acknowledgement(self.receive()?, asked) {
                return Ok(answer);
            }
        }
    }

    /// What the kernel's answers to this socket are addressed to.
    pub(super) fn port(&self) -> u32 {
        self.port
    }

    pub(super) fn send(&self, requests: &[u8]) -> io::Result<()> {
        let kernel = SocketAddr::new(0, 0);
        self.socket.send_to(requests, &kernel, 0).map(drop)
    }

    /// The next datagram of an answer.
    pub(super) fn receive(&mut self) -> io::Result<&[u8]> {
        self.datagram.clear();
        self.socket.recv(&mut self.datagram, 0)?;
        Ok(&self.datagram)
    }
}
