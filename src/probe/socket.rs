//! Sockets that send through one uplink, and the meaning of their errors.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::Instant;

use super::job::ProbeExit;
use crate::engine::input::ProbeOutcome;

/// A TCP socket of the family of `address`.
pub(super) fn tcp(address: SocketAddr, exit: &ProbeExit) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    leave_by(&SockRef::from(&socket), exit)?;
    Ok(socket)
}

/// A UDP socket that receives from `peer` only, on a random port.
pub(super) async fn udp(peer: SocketAddr, exit: &ProbeExit) -> io::Result<UdpSocket> {
    let any: SocketAddr = match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    leave_by(&SockRef::from(&socket), exit)?;
    socket.connect(peer).await?;
    Ok(socket)
}

/// Binds a socket to its way out. A mark needs CAP_NET_ADMIN: without it the agent only observes, and no
/// rules for marks exist.
pub(super) fn leave_by(socket: &SockRef<'_>, exit: &ProbeExit) -> io::Result<()> {
    socket.bind_device(Some(exit.interface.as_str().as_bytes()))?;
    match socket.set_mark(exit.mark.0) {
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(error),
        _ => Ok(()),
    }
}

/// Connects. What this machine refuses, it refuses at once: a later error is [`of_the_path`].
pub(super) async fn connect(socket: TcpSocket, address: SocketAddr) -> io::Result<TcpStream> {
    let mut connecting = pin!(socket.connect(address));
    let begun = poll_fn(|context| Poll::Ready(connecting.as_mut().poll(context))).await;
    match begun {
        Poll::Ready(result) => result,
        Poll::Pending => connecting.await.map_err(of_the_path),
    }
}

/// The error of a packet that has left: a refusal by its destination, or an ICMP message of a router. Those of a
/// router without a route or with a filter have the numbers of errors of this machine (`icmp_err_convert`,
/// `icmpv6_err_convert`).
pub(super) fn of_the_path(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return error;
    }
    io::Error::new(io::ErrorKind::HostUnreachable, error)
}

/// The outcome of an error: of the path, or of this machine. `what` is the target.
pub(super) fn read(what: impl std::fmt::Display, error: &io::Error) -> ProbeOutcome {
    let is_of_the_path = matches!(
        error.kind(),
        io::ErrorKind::HostUnreachable
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
    );
    let why = format!("{what}: {error}");
    if is_of_the_path {
        ProbeOutcome::Unreachable(why)
    } else {
        not_sent(error, why)
    }
}

/// The outcome of an error of this machine. EPERM is what a packet filter answers in the output chain,
/// EACCES a route of type `prohibit`, EINVAL one of type `blackhole`; ENOBUFS and ENOMEM say that there
/// are no buffers. Anything else is of the uplink: its interface, its address, its route.
pub(super) fn not_sent(error: &io::Error, why: String) -> ProbeOutcome {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES | libc::EINVAL | libc::ENOBUFS | libc::ENOMEM) => {
            ProbeOutcome::Refused(why)
        }
        _ => ProbeOutcome::NotSent(why),
    }
}

/// The outcome of a socket that could not be opened.
pub(super) fn none(exit: &ProbeExit, error: &io::Error) -> ProbeOutcome {
    ProbeOutcome::NotSent(format!("no socket on {}: {error}", exit.interface))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a round trip is measured where it happens"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// The wall clock, by which the kernel stamps what arrives: the time since the epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "a round trip is measured where it happens"
)]
pub(super) fn wall() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}
