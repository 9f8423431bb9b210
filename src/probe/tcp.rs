//! A TCP connection, accepted or refused: both are answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::time::{Instant, timeout};

use crate::engine::input::Outcome;
use crate::units::InterfaceName;

/// Connects through the interface; nothing comes of it if nobody answers.
pub(super) async fn connect(
    address: SocketAddr,
    interface: &InterfaceName,
    listen_for: Duration,
) -> Option<Outcome> {
    let socket = match open(address, interface) {
        Ok(socket) => socket,
        Err(error) => {
            return Some(Outcome::NotSent(format!(
                "no socket on {interface}: {error}"
            )));
        }
    };
    let begun = now();
    let result = timeout(listen_for, socket.connect(address)).await.ok()?;
    Some(match result {
        Ok(_) => Outcome::Reply(begun.elapsed()),
        Err(error) => read(&error, begun.elapsed()),
    })
}

fn open(address: SocketAddr, interface: &InterfaceName) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind_device(Some(interface.as_str().as_bytes()))?;
    Ok(socket)
}

fn read(error: &io::Error, rtt: Duration) -> Outcome {
    let kind = error.kind();
    if kind == io::ErrorKind::ConnectionRefused {
        Outcome::Reply(rtt)
    } else if matches!(
        kind,
        io::ErrorKind::HostUnreachable | io::ErrorKind::ConnectionReset
    ) {
        Outcome::Unreachable(error.to_string())
    } else {
        Outcome::NotSent(error.to_string())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a round trip is measured where it happens"
)]
fn now() -> Instant {
    Instant::now()
}
