//! Listening: the kernel's events, each of which says "look again" and nothing more.

use std::future::poll_fn;
use std::io;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket, SocketAddr, TokioSocket};
use nix::sys::socket::{setsockopt, sockopt};

use super::KernelError;
use super::message;
use crate::routing::Family;
use crate::units::Protocol;

/// Room for some 5,000 events that nobody has read yet.
const RECEIVE_BUFFER: usize = 2 * 1024 * 1024;

/// The head of an event is all that is read of it.
const HEAD: usize = 8 * 1024;

/// How many events are read at once before the rest of the program gets its turn.
const BATCH: u32 = 1_000;

/// Why to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LookReason {
    /// Something that may concern us has changed.
    Changed,
    /// Events were lost.
    Overrun,
}

/// The multicast groups of links, addresses, routes, rules and nexthop objects.
pub(super) struct Monitor {
    socket: TokioSocket,
    head: Vec<u8>,
}

/// By what our own doings are known among the events.
#[derive(Clone, Copy)]
pub(super) struct Ours {
    pub(super) protocol: Protocol,
    /// The port of the socket by which we write.
    pub(super) port: u32,
}

impl Monitor {
    pub(super) fn open() -> Result<Self, KernelError> {
        Ok(Self {
            socket: open().map_err(KernelError::Socket)?,
            head: Vec::with_capacity(HEAD),
        })
    }

    /// Waits until there is a reason to look again. Everything that has arrived by then is one
    /// reason. Nothing is lost if this is dropped while it waits.
    pub(super) async fn reason(&mut self, ours: Ours) -> Result<LookReason, KernelError> {
        loop {
            self.head.clear();
            let first = poll_fn(|context| self.socket.poll_recv(context, &mut self.head)).await;
            let first = self.reason_in(first, ours)?;
            if let Some(reason) = self.rest(first, ours)? {
                return Ok(reason);
            }
        }
    }

    /// Reads what else has arrived.
    fn rest(
        &mut self,
        first: Option<LookReason>,
        ours: Ours,
    ) -> Result<Option<LookReason>, KernelError> {
        let mut strongest = first;
        for _ in 0..BATCH {
            self.head.clear();
            let received = self.socket.socket_ref().recv(&mut self.head, 0);
            if received
                .as_ref()
                .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            {
                break;
            }
            strongest = strongest.max(self.reason_in(received.map(drop), ours)?);
        }
        Ok(strongest)
    }

    fn reason_in(
        &self,
        received: io::Result<()>,
        ours: Ours,
    ) -> Result<Option<LookReason>, KernelError> {
        match received {
            Ok(()) if message::concerns_us(&self.head, ours.protocol, ours.port) => {
                Ok(Some(LookReason::Changed))
            }
            Ok(()) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                Ok(Some(LookReason::Overrun))
            }
            Err(error) => Err(KernelError::Listen(error)),
        }
    }
}

fn open() -> io::Result<TokioSocket> {
    let mut monitor = TokioSocket::new(NETLINK_ROUTE)?;
    let socket = monitor.socket_mut();
    // Beyond the limit of the system if we may, up to it if not.
    setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)
        .or_else(|_| setsockopt(socket, sockopt::RcvBuf, &RECEIVE_BUFFER))?;
    socket.bind(&SocketAddr::new(0, groups()))?;
    Ok(monitor)
}

fn groups() -> u32 {
    let families = Family::ROUTED.iter().map(|family| match family {
        Family::Ipv4 => libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV4_ROUTE | libc::RTMGRP_IPV4_RULE,
        Family::Ipv6 => {
            libc::RTMGRP_IPV6_IFADDR | libc::RTMGRP_IPV6_ROUTE | (1 << (RTNLGRP_IPV6_RULE - 1))
        }
    });
    let all = families.fold(libc::RTMGRP_LINK, |all, groups| all | groups);
    all.cast_unsigned() | (1 << (RTNLGRP_NEXTHOP - 1))
}

/// Those that have no `RTMGRP_` constant.
const RTNLGRP_IPV6_RULE: u32 = 19;
const RTNLGRP_NEXTHOP: u32 = 32;
