//! The client's meter: a steady stream of UDP packets to the echo service, one every 5 ms.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl;

use crate::lab::clock;
use crate::lab::error::{Doing, LabError};
use crate::lab::event::LabEvent;
use crate::lab::family::LabFamily;
use crate::lab::internet::{ECHO, ECHO_PORT, ECHO6};
use crate::lab::namespace::Namespace;
use crate::lab::shutdown::{self, Shutdown, ShutdownHandle};
use crate::lab::stream::{PACE, PacketEvent};

/// A pause of the whole machine is not made up for with a burst.
const LATEST: Duration = Duration::from_millis(100);

/// Streams until the handle is dropped, but for the times when it is paused.
pub(super) fn start(
    client: &Namespace,
    family: LabFamily,
    sink: Sender<LabEvent>,
    is_paused: Arc<AtomicBool>,
) -> Result<ShutdownHandle, LabError> {
    let start = || {
        let (handle, shutdown) = shutdown::pair()?;
        let socket = client.run(|| {
            let (any, echo): (IpAddr, IpAddr) = match family {
                LabFamily::Ipv4 => (Ipv4Addr::UNSPECIFIED.into(), ECHO.into()),
                LabFamily::Ipv6 => (Ipv6Addr::UNSPECIFIED.into(), ECHO6.into()),
            };
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect((echo, ECHO_PORT))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })?;
        let meter = StreamMeter {
            family,
            socket,
            sink,
            is_paused,
        };
        client.spawn("meter", move || meter.run(&shutdown))?;
        Ok::<_, io::Error>(handle)
    };
    start().doing(|| "start the stream of the client".to_owned())
}

struct StreamMeter {
    family: LabFamily,
    socket: UdpSocket,
    sink: Sender<LabEvent>,
    is_paused: Arc<AtomicBool>,
}

impl StreamMeter {
    fn run(&self, shutdown: &Shutdown) {
        // Without it the stream is up to 50 us less even.
        prctl::set_timerslack(1).unwrap_or(());
        let mut number: u64 = 0;
        let mut due = clock::now();
        while !shutdown.is_requested() {
            let now = clock::now();
            if self.is_paused.load(Ordering::Relaxed) {
                due = now + PACE;
            } else if now >= due {
                // A packet that cannot be sent is as lost as one that does not arrive.
                drop(self.socket.send(&number.to_be_bytes()));
                number += 1;
                due = (due + PACE).max(now - LATEST);
                if self.tell(PacketEvent::Sent(now)).is_err() {
                    return;
                }
            }
            let is_delivered = self.receive();
            let polled = self.wait(shutdown, due.since(clock::now()));
            if is_delivered.is_err() || !matches!(polled, Ok(()) | Err(Errno::EINTR)) {
                return;
            }
        }
    }

    /// Takes in all answers; fails when the receiver is gone.
    fn receive(&self) -> Result<(), ()> {
        let mut answer = [0; 8];
        loop {
            match self.socket.recv(&mut answer) {
                Ok(_) => {
                    let number = u64::from_be_bytes(answer);
                    let number = usize::try_from(number).map_err(drop)?;
                    self.tell(PacketEvent::Answered(number))?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // An ICMP error that came back for an earlier packet: taken off the socket by this.
                Err(_) => {}
            }
        }
    }

    fn tell(&self, pulse: PacketEvent) -> Result<(), ()> {
        self.sink
            .send(LabEvent::Packet(self.family, pulse))
            .map_err(drop)
    }

    fn wait(&self, shutdown: &Shutdown, at_most: Duration) -> nix::Result<()> {
        let mut watched = [
            PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(shutdown.as_fd(), PollFlags::POLLIN),
        ];
        ppoll(&mut watched, Some(at_most.into()), None).map(drop)
    }
}
