//! Requests to the kernel that it answers within the system call: no waiting, no task.

use std::io;

use netlink_sys::{Socket, SocketAddr};

use super::message::{Acknowledgement, ListItem, ListReply, acknowledgement};

/// Holds the kernel's largest part of a list.
const DATAGRAM: usize = 64 * 1024;

/// A netlink socket, and the number of the last request on it.
pub(super) struct Exchange {
    socket: Socket,
    port: u32,
    sequence: u32,
    datagram: Vec<u8>,
}

/// The entries of a list.
pub(super) struct List<T> {
    pub(super) entries: Vec<T>,
    /// The list changed while it was read.
    pub(super) is_torn: bool,
}

impl Exchange {
    pub(super) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.set_non_blocking(true)?;
        let port = socket.bind_auto()?.port_number();
        // Error texts of the kernel, without a copy of the request (since 4.12).
        if let Err(error) = socket
            .set_ext_ack(true)
            .and_then(|()| socket.set_cap_ack(true))
        {
            tracing::debug!(%error, "the kernel does not explain its errors");
        }
        // Lists that the kernel filters (since 4.20); otherwise they are longer.
        if let Err(error) = socket.set_netlink_get_strict_chk(true) {
            tracing::debug!(%error, "the kernel does not filter its lists");
        }
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

    /// The entries that the kernel lists on this request.
    pub(super) fn list<T, Replies: IntoIterator<Item = ListReply<T>>>(
        &mut self,
        request: impl Fn(u32) -> Vec<u8>,
        replies: impl Fn(&[u8]) -> Replies,
    ) -> io::Result<List<T>> {
        let number = self.next_number();
        self.send(&request(number))?;
        let mut entries = Vec::new();
        let mut is_torn = false;
        loop {
            let replies = replies(self.receive()?).into_iter();
            for reply in replies.filter(|reply| reply.sequence == number) {
                is_torn |= reply.is_torn;
                match reply.item {
                    ListItem::Entry(entry) => entries.push(entry),
                    ListItem::Done => return Ok(List { entries, is_torn }),
                    ListItem::Failed(errno) => return Err(io::Error::from_raw_os_error(errno)),
                }
            }
        }
    }

    /// Requests a change and returns the kernel's acknowledgement.
    pub(super) fn change(
        &mut self,
        request: impl FnOnce(u32) -> Vec<u8>,
    ) -> io::Result<Acknowledgement> {
        let number = self.next_number();
        self.send(&request(number))?;
        loop {
            if let Some(answer) = acknowledgement(self.receive()?, number) {
                return Ok(answer);
            }
        }
    }

    /// The address of this socket in the kernel's answers.
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
