//! Sockets that send through one uplink, and what their errors say.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::SockRef;
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::Instant;

use crate::engine::input::ProbeOutcome;
use crate::probe::ProbeExit;

/// A socket of the family of `address`.
pub(super) fn tcp(address: SocketAddr, exit: &ProbeExit) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    leave_by(&SockRef::from(&socket), exit)?;
    Ok(socket)
}

/// A socket that hears nobody but `peer`, on a port that nobody can guess.
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

/// Binds a socket to the way out. A mark needs CAP_NET_ADMIN: without it the agent only observes, and
/// there are no rules that look at marks.
pub(super) fn leave_by(socket: &SockRef<'_>, exit: &ProbeExit) -> io::Result<()> {
    socket.bind_device(Some(exit.interface.as_str().as_bytes()))?;
    match socket.set_mark(exit.mark.0) {
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(error),
        _ => Ok(()),
    }
}

/// An error on the way, or one of this machine. `what` failed, as in `tcp://192.0.2.1:443`.
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
        ProbeOutcome::NotSent(why)
    }
}

/// The socket could not even be made.
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
