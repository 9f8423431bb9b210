//! A client that sends more than a link can carry: UDP to the echo service, so both exits.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};

use crate::lab::clock;
use crate::lab::error::{Doing, LabError};
use crate::lab::internet::{ECHO, ECHO_PORT};
use crate::lab::namespace::Namespace;
use crate::lab::shutdown::{self, Shutdown, ShutdownHandle};

/// Of each packet.
const PAYLOAD: [u8; 1200] = [0; 1200];
/// A pause of the whole machine is not made up for with a burst.
const LATEST: Duration = Duration::from_millis(20);

/// Floods until the handle is dropped.
pub(super) fn start(client: &Namespace, bits_per_second: u64) -> Result<ShutdownHandle, LabError> {
    let start = || {
        let (handle, shutdown) = shutdown::pair()?;
        let socket = client.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
        socket.connect((ECHO, ECHO_PORT))?;
        socket.set_nonblocking(true)?;
        let bits = PAYLOAD.len() as u64 * 8;
        let pace = Duration::from_secs(bits) / u32::try_from(bits_per_second).unwrap_or(u32::MAX);
        client.spawn("flood", move || flood(&socket, pace, &shutdown))?;
        Ok::<_, io::Error>(handle)
    };
    start().doing(|| "start the flood of the client".to_owned())
}

fn flood(socket: &UdpSocket, pace: Duration, shutdown: &Shutdown) {
    let mut due = clock::now();
    let mut answer = [0; PAYLOAD.len()];
    while !shutdown.is_requested() {
        let now = clock::now();
        if now >= due {
            // A packet that cannot be sent is as lost as one that does not arrive.
            drop(socket.send(&PAYLOAD));
            due = (due + pace).max(now - LATEST);
        }
        while socket.recv(&mut answer).is_ok() {}
        let mut watched = [PollFd::new(shutdown.as_fd(), PollFlags::POLLIN)];
        let waited = ppoll(&mut watched, Some(due.since(clock::now()).into()), None);
        if !matches!(waited, Ok(_) | Err(Errno::EINTR)) {
            return;
        }
    }
}
