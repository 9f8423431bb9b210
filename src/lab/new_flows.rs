//! The client's new connections: every 10 ms a UDP packet from a port of its own, to a service that answers with the
//! address by which it came.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::mpsc::Sender;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl;

use crate::lab::clock;
use crate::lab::error::{Doing, LabError};
use crate::lab::event::LabEvent;
use crate::lab::internet::{ECHO, wait};
use crate::lab::namespace::Namespace;
use crate::lab::network::UPLINKS;
use crate::lab::shutdown::{self, Shutdown, ShutdownHandle};
use crate::lab::stream::PacketEvent;
use crate::units::Moment;

/// Between two of them.
const PACE: Duration = Duration::from_millis(10);
/// So many wait for their answer; what is answered later is not.
const WAITING: usize = 30;

/// The service.
const PORT: u16 = 7_007;
/// Their ports, one after the other: one that comes again sooner than connection tracking forgets it is no new
/// connection.
const OWN_PORTS: Range<u16> = 10_000..32_000;
/// The address of a provider to the internet, to which it translates: its second byte is this and the place of the
/// uplink.
const FIRST_PROVIDER: u8 = 101;

/// Begins one after the other until the handles are dropped.
pub(super) fn start(
    client: &Namespace,
    internet: &Namespace,
    sink: Sender<LabEvent>,
) -> Result<[ShutdownHandle; 2], LabError> {
    let start = || {
        let service = internet.run(|| UdpSocket::bind((ECHO, PORT)))?;
        service.set_nonblocking(true)?;
        let (server, server_shutdown) = shutdown::pair()?;
        let (handle, shutdown) = shutdown::pair()?;
        internet.spawn("new-flows", move || serve(&service, &server_shutdown))?;
        client.spawn("new-flows", move || run(&sink, &shutdown))?;
        Ok::<_, io::Error>([server, handle])
    };
    start().doing(|| "start the new connections of the client".to_owned())
}

/// The uplink whose provider has this address.
fn uplink_of(address: Ipv4Addr) -> Option<&'static str> {
    let place = address.octets()[1].checked_sub(FIRST_PROVIDER)?;
    UPLINKS.get(usize::from(place)).copied()
}

fn serve(service: &UdpSocket, shutdown: &Shutdown) {
    while wait(&[service], shutdown) {
        while let Ok((_, SocketAddr::V4(client))) = service.recv_from(&mut [0; 8]) {
            // An answer that cannot be sent is a lost packet.
            drop(service.send_to(&client.ip().octets(), client));
        }
    }
}

/// One that waits for its answer.
struct NewFlow {
    number: usize,
    sent: Moment,
    socket: UdpSocket,
}

impl NewFlow {
    /// The uplink by which it was answered, if it was.
    fn answered_by(&self) -> Option<&'static str> {
        let mut address = [0; 4];
        self.socket.recv(&mut address).ok()?;
        uplink_of(address.into())
    }
}

fn run(sink: &Sender<LabEvent>, shutdown: &Shutdown) {
    // Without it they are up to 50 us less even.
    prctl::set_timerslack(1).unwrap_or(());
    let mut waiting: VecDeque<NewFlow> = VecDeque::new();
    let (mut number, mut due) = (0, clock::now());
    let tell = |event| sink.send(event).is_ok();
    while !shutdown.is_requested() {
        let now = clock::now();
        if now >= due {
            due = now + PACE;
            if !tell(LabEvent::NewFlow(PacketEvent::Sent(now))) {
                return;
            }
            // One that cannot be begun is as lost as one that is not answered.
            let begun = begin(number).ok();
            waiting.extend(begun.map(|socket| NewFlow {
                number,
                sent: now,
                socket,
            }));
            number += 1;
            if waiting.len() > WAITING {
                waiting.pop_front();
            }
        }
        waiting.retain(|flow| {
            let Some(by) = flow.answered_by() else {
                return true;
            };
            // Where the receiver is gone the next packet ends it.
            let _ = tell(LabEvent::NewFlow(PacketEvent::Answered(flow.number)))
                && tell(LabEvent::NewFlowBy(flow.sent, by));
            false
        });
        let mut watched = [PollFd::new(shutdown.as_fd(), PollFlags::POLLIN)];
        let rest = due.since(clock::now());
        if ppoll(&mut watched, Some(rest.into()), None).is_err() {
            return;
        }
    }
}

fn begin(number: usize) -> io::Result<UdpSocket> {
    let place = number % OWN_PORTS.len();
    let port = OWN_PORTS.clone().nth(place).unwrap_or_default();
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
    socket.connect((ECHO, PORT))?;
    socket.set_nonblocking(true)?;
    socket.send(&[0; 8])?;
    Ok(socket)
}
