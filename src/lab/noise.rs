//! The noise of a provider's network: broadcast and multicast that comes in from it whether there is
//! an internet behind it or not.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};

use crate::lab::clock;
use crate::lab::error::{Doing, LabError};
use crate::lab::network::{ACCESS, LabNetwork};
use crate::lab::scenario::Noise;
use crate::lab::shutdown::{self, Shutdown, ShutdownHandle};

/// Limited broadcast, and the group of multicast DNS (RFC 6762); the discard port (RFC 863).
const LISTENERS: [SocketAddrV4; 2] = [
    SocketAddrV4::new(Ipv4Addr::BROADCAST, 9),
    SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 251), 9),
];
/// As long as what a neighbour asks about.
const PACKET: [u8; 64] = [0; 64];
/// A pause of the whole machine is not made up for with a burst.
const LATEST: Duration = Duration::from_millis(100);

/// Lets a provider make noise on its access line until the handle is dropped.
pub(super) fn make(network: &LabNetwork, noise: &Noise) -> Result<ShutdownHandle, LabError> {
    let provider = network.provider(&noise.uplink);
    let provider = provider.ok_or_else(|| LabError::Wire(noise.uplink.clone()))?;
    let make = || {
        let (handle, shutdown) = shutdown::pair()?;
        let socket = provider.run(|| speaker(ACCESS))?;
        let pace = Duration::from_secs(1) / noise.per_second.max(1);
        provider.spawn("noise", move || speak(&socket, pace, &shutdown))?;
        Ok::<_, io::Error>(handle)
    };
    make().doing(|| format!("make noise at {}", provider.name()))
}

fn speaker(interface: &str) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_broadcast(true)?;
    socket2::SockRef::from(&socket).bind_device(Some(interface.as_bytes()))?;
    Ok(socket)
}

fn speak(socket: &UdpSocket, pace: Duration, shutdown: &Shutdown) {
    let mut listeners = LISTENERS.iter().cycle();
    let mut due = clock::now();
    while !shutdown.is_requested() {
        let now = clock::now();
        if now >= due
            && let Some(listener) = listeners.next()
        {
            // Noise that is not made is none.
            drop(socket.send_to(&PACKET, listener));
            due = (due + pace).max(now - LATEST);
        }
        let mut watched = [PollFd::new(shutdown.as_fd(), PollFlags::POLLIN)];
        let rest = due.since(clock::now());
        if !matches!(
            ppoll(&mut watched, Some(rest.into()), None),
            Ok(_) | Err(Errno::EINTR)
        ) {
            return;
        }
    }
}
