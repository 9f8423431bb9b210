//! The client's new connections: every 10 ms a UDP packet to the echo service from a port of its own.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::mpsc::Sender;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl;

use crate::lab::clock;
use crate::lab::error::{Doing, LabError};
use crate::lab::event::LabEvent;
use crate::lab::internet::{ECHO, ECHO_PORT};
use crate::lab::namespace::Namespace;
use crate::lab::shutdown::{self, Shutdown, ShutdownHandle};
use crate::lab::stream::PacketEvent;

/// Between two of them.
const PACE: Duration = Duration::from_millis(10);
/// So many wait for their answer; what is answered later is not.
const WAITING: usize = 30;

/// Begins one after the other until the handle is dropped.
pub(super) fn start(
    client: &Namespace,
    sink: Sender<LabEvent>,
) -> Result<ShutdownHandle, LabError> {
    let start = || {
        let (handle, shutdown) = shutdown::pair()?;
        client.spawn("new-flows", move || run(&sink, &shutdown))?;
        Ok::<_, io::Error>(handle)
    };
    start().doing(|| "start the new connections of the client".to_owned())
}

fn run(sink: &Sender<LabEvent>, shutdown: &Shutdown) {
    // Without it they are up to 50 us less even.
    prctl::set_timerslack(1).unwrap_or(());
    let mut waiting = VecDeque::new();
    let (mut number, mut due) = (0, clock::now());
    while !shutdown.is_requested() {
        let now = clock::now();
        if now >= due {
            due = now + PACE;
            if sink
                .send(LabEvent::NewFlow(PacketEvent::Sent(now)))
                .is_err()
            {
                return;
            }
            // One that cannot be begun is as lost as one that is not answered.
            waiting.extend(begin().ok().map(|socket| (number, socket)));
            number += 1;
            if waiting.len() > WAITING {
                waiting.pop_front();
            }
        }
        let answered = |(number, socket): &(usize, UdpSocket)| {
            let is_answered = socket.recv(&mut [0; 8]).is_ok();
            is_answered.then_some(*number)
        };
        for number in waiting.iter().filter_map(answered).collect::<Vec<_>>() {
            waiting.retain(|(other, _)| *other != number);
            if sink
                .send(LabEvent::NewFlow(PacketEvent::Answered(number)))
                .is_err()
            {
                return;
            }
        }
        let mut watched = [PollFd::new(shutdown.as_fd(), PollFlags::POLLIN)];
        let rest = due.since(clock::now());
        if ppoll(&mut watched, Some(rest.into()), None).is_err() {
            return;
        }
    }
}

fn begin() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((ECHO, ECHO_PORT))?;
    socket.set_nonblocking(true)?;
    socket.send(&[0; 8])?;
    Ok(socket)
}
