//! What a probe costs a program that does nothing else: a wake-up, a packet sent, a packet received.
//!
//! The agent's cost for a probe is held against this, measured in the same time at the same pace: it
//! says how well the agent is made, and nothing of how fast the machine is.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::time::{ClockId, clock_gettime};

use crate::lab::error::{Doing, LabError};
use crate::lab::namespace::Namespace;
use crate::lab::shutdown::{self, Shutdown, ShutdownHandle};

/// Three uplinks, each probed once a second.
const PACE: Duration = Duration::from_millis(333);
const PACKET: [u8; 64] = [0; 64];

/// A thread that probes itself.
#[derive(Debug)]
pub(super) struct BareProbe {
    handle: ShutdownHandle,
    result: Receiver<(Duration, u32)>,
}

impl BareProbe {
    /// Begins, on the loopback of `node`.
    pub(super) fn start(node: &Namespace) -> Result<Self, LabError> {
        let start = || {
            let (handle, shutdown) = shutdown::pair()?;
            let (done, result) = channel();
            let socket = node.run(|| {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
                socket.connect(socket.local_addr()?)?;
                Ok(socket)
            })?;
            node.spawn("bare-probe", move || {
                // Its owner waits for the result.
                done.send(probe(&socket, &shutdown)).unwrap_or(());
            })?;
            Ok::<_, io::Error>(Self { handle, result })
        };
        start().doing(|| "start the bare probes".to_owned())
    }

    /// Ends, and returns the time on a processor that each took; none if there was no time for one.
    pub(super) fn end(self) -> Result<Option<Duration>, LabError> {
        drop(self.handle);
        let result = self.result.recv().map_err(io::Error::other);
        let (cpu, probes) = result.doing(|| "end the bare probes".to_owned())?;
        Ok(cpu.checked_div(probes))
    }
}

fn probe(socket: &UdpSocket, shutdown: &Shutdown) -> (Duration, u32) {
    let begin = on_a_processor();
    let mut probes = 0;
    let mut answer = [0; PACKET.len()];
    while !shutdown.is_requested() {
        let exchanged = socket.send(&PACKET).and_then(|_| socket.recv(&mut answer));
        probes += u32::from(exchanged.is_ok());
        let mut watched = [PollFd::new(shutdown.as_fd(), PollFlags::POLLIN)];
        if ppoll(&mut watched, Some(PACE.into()), None).is_err() {
            break;
        }
    }
    (on_a_processor().saturating_sub(begin), probes)
}

/// The time that this thread was on a processor.
fn on_a_processor() -> Duration {
    // The kernel knows this clock since 2.6.12.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Into::into)
}
