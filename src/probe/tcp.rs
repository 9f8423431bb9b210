//! A TCP connection, accepted or refused: both are answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use super::job::ProbeExit;
use super::socket::{self, now};
use crate::engine::input::ProbeOutcome;

/// Connects through the interface; none if there is no answer in time.
pub(super) async fn probe(
    address: SocketAddr,
    exit: &ProbeExit,
    listen_for: Duration,
) -> Option<ProbeOutcome> {
    let socket = match socket::tcp(address, exit) {
        Ok(socket) => socket,
        Err(error) => return Some(socket::none(exit, &error)),
    };
    let begun = now();
    let result = timeout(listen_for, socket::connect(socket, address))
        .await
        .ok()?;
    Some(match result {
        Ok(_) => ProbeOutcome::Reply(begun.elapsed()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            ProbeOutcome::Reply(begun.elapsed())
        }
        Err(error) => socket::read(address, &error),
    })
}
