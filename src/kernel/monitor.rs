//! The kernel's events. Each means "look again" and nothing more.

use std::future::poll_fn;
use std::io;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket, SocketAddr, TokioSocket};
use nix::sys::socket::{setsockopt, sockopt};

use super::error::KernelError;
use super::message;
use crate::routing::{Family, Numbering};

/// Holds some 5,000 unread events.
const RECEIVE_BUFFER: usize = 2 * 1024 * 1024;

/// Only the beginning of an event is read.
const HEAD: usize = 8 * 1024;

/// Events that are read before other tasks run.
const BATCH: u32 = 1_000;

/// Why to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LookReason {
    /// An object that may concern us has changed.
    Changed,
    /// Events were lost.
    Overrun,
}

/// The multicast groups of links, addresses, routes, rules and nexthop objects.
pub(super) struct EventMonitor {
    socket: TokioSocket,
    head: Vec<u8>,
}

/// What marks our own changes among the events.
#[derive(Clone, Copy)]
pub(super) struct OwnChanges {
    pub(super) numbering: Numbering,
    /// The port of the socket by which we write.
    pub(super) port: u32,
}

impl EventMonitor {
    pub(super) fn open() -> Result<Self, KernelError> {
        Ok(Self {
            socket: open().map_err(KernelError::Socket)?,
            head: Vec::with_capacity(HEAD),
        })
    }

    /// Waits until there is a reason to look again. All events that have arrived by then are one
    /// reason. Cancel safe.
    pub(super) async fn reason(&mut self, own: OwnChanges) -> Result<LookReason, KernelError> {
        loop {
            self.head.clear();
            let first = poll_fn(|context| self.socket.poll_recv(context, &mut self.head)).await;
            let first = self.reason_in(first, own)?;
            if let Some(reason) = self.rest(first, own)? {
                return Ok(reason);
            }
        }
    }

    /// Reads the other events that have arrived.
    fn rest(
        &mut self,
        first: Option<LookReason>,
        own: OwnChanges,
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
            strongest = strongest.max(self.reason_in(received.map(drop), own)?);
        }
        Ok(strongest)
    }

    fn reason_in(
        &self,
        received: io::Result<()>,
        own: OwnChanges,
    ) -> Result<Option<LookReason>, KernelError> {
        match received {
            Ok(()) if message::concerns_us(&self.head, &own.numbering, own.port) => {
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
    // Beyond `net.core.rmem_max` with CAP_NET_ADMIN, else up to it.
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

/// Groups without an `RTMGRP_` constant.
const RTNLGRP_IPV6_RULE: u32 = 19;
const RTNLGRP_NEXTHOP: u32 = 32;
