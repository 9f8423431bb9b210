//! A stream of echo requests that goes as the traffic goes: by which it is measured how long that is without answers.
//!
//! Its socket is bound to nothing, so that the kernel looks up the way of each packet anew, by the rules and the table
//! that a new flow of the default group follows on its way through the router. A packet carries the time at which it
//! was sent, and its answer brings that back.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::Instant;

use super::icmp::random;
use super::socket::now;
use crate::engine::input::StreamMeasure;

/// Between two packets.
const PACE: Duration = Duration::from_millis(10);
/// The same when nothing has been answered for [`PATIENCE`]: to the hundredth of a second is of no use then.
const SLOW_PACE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(5);
/// The stream goes on for so long after the first answer.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// The last packets may take so long to be answered.
const GRACE: Duration = Duration::from_millis(500);
/// The type and the checksum, the number of the stream, the nonce and the time.
const PACKET: usize = 24;

/// The stream.
pub struct EchoStream {
    /// One for each family, and whether that is IPv6.
    sockets: Vec<(Socket, bool)>,
    targets: Vec<EchoTarget>,
    identifier: [u8; 2],
    nonce: [u8; 8],
    begun: Instant,
    next: Duration,
    turn: usize,
    cut: Option<Duration>,
    /// When the last packet before the cut was sent that was answered.
    last: Duration,
    /// When the first one after it was.
    first: Option<Duration>,
    /// All packets, and those since the cut.
    all_sent: u32,
    sent: u32,
    received: u32,
}

/// Where packets of the stream go.
#[derive(Clone, Copy)]
struct EchoTarget {
    address: IpAddr,
    /// The place of its socket.
    socket: usize,
    /// It has answered before the cut.
    answers: bool,
}

impl EchoStream {
    /// A stream to these targets in turn.
    ///
    /// # Errors
    /// If there is no raw socket.
    pub fn open(targets: &[IpAddr]) -> io::Result<Self> {
        let mut stream = Self {
            sockets: Vec::new(),
            targets: Vec::new(),
            identifier: random()?,
            nonce: random()?,
            begun: now(),
            next: Duration::ZERO,
            turn: 0,
            cut: None,
            last: Duration::ZERO,
            first: None,
            all_sent: 0,
            sent: 0,
            received: 0,
        };
        for is_ipv6 in [false, true] {
            let mut of_family = targets.iter().filter(|target| target.is_ipv6() == is_ipv6);
            let socket = stream.sockets.len();
            let target = |address: &IpAddr| EchoTarget {
                address: *address,
                socket,
                answers: false,
            };
            stream.targets.extend(of_family.by_ref().map(target));
            if stream.targets.iter().any(|target| target.socket == socket) {
                stream.sockets.push((open(is_ipv6)?, is_ipv6));
            }
        }
        Ok(stream)
    }

    /// Sends what is due and takes what has arrived; waits for no longer than the pace.
    pub fn step(&mut self) {
        let now = self.begun.elapsed();
        let is_over = self.first.is_some_and(|first| now >= first + AFTERWARDS);
        if !is_over && now >= self.next {
            self.send(now);
            let is_slow = self.cut.is_some_and(|cut| now >= cut + PATIENCE);
            let pace = if is_slow { SLOW_PACE } else { PACE };
            // What this machine did not send in time is not made up for.
            self.next = (self.next + pace).max(now);
        }
        let wait = self.next.saturating_sub(self.begun.elapsed()).min(PACE);
        let wait = if is_over { PACE } else { wait };
        let wait = u8::try_from(wait.as_millis() + 1).unwrap_or(u8::MAX);
        let sockets = self.sockets.iter();
        let polled = sockets.map(|(socket, _)| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        let mut polled: Vec<_> = polled.collect();
        // An error of a socket shows when it is read.
        let _ = poll(&mut polled, PollTimeout::from(wait));
        self.receive();
    }

    /// So long it has lasted.
    pub fn lasts(&self) -> Duration {
        self.begun.elapsed()
    }

    /// So many packets were sent, before the cut as well.
    pub fn packets(&self) -> u32 {
        self.all_sent
    }

    /// Whether a target answers.
    pub fn is_answered(&self) -> bool {
        self.targets.iter().any(|target| target.answers)
    }

    /// The path has just been cut. From now on only targets are asked that have answered.
    pub fn note_cut(&mut self) {
        self.cut = Some(self.begun.elapsed());
    }

    /// What it has measured.
    pub fn measure(mut self) -> StreamMeasure {
        let until = self.begun.elapsed() + GRACE;
        self.next = until + PACE;
        while self.begun.elapsed() < until && self.received < self.sent {
            self.step();
        }
        let recovery = self
            .first
            .map(|first| first.saturating_sub(self.last + PACE));
        StreamMeasure {
            recovery_ms: recovery.map(|span| u32::try_from(span.as_millis()).unwrap_or(u32::MAX)),
            established_ms: None,
            sent: self.sent,
            lost: self.sent.saturating_sub(self.received),
        }
    }

    fn send(&mut self, now: Duration) {
        let count = self.targets.len();
        let is_asked = |turn: &usize| self.cut.is_none() || self.targets[*turn].answers;
        let mut turns = (self.turn..self.turn + count).map(|turn| turn % count);
        let Some(turn) = turns.find(is_asked) else {
            return;
        };
        self.turn = turn + 1;
        let EchoTarget {
            address, socket, ..
        } = self.targets[turn];
        let (socket, is_ipv6) = &self.sockets[socket];
        let packet = self.packet(*is_ipv6, turn, now);
        // What cannot be sent is as lost as what is not answered.
        drop(socket.send_to(&packet, &SocketAddr::new(address, 0).into()));
        self.all_sent += 1;
        self.sent += u32::from(self.cut.is_some());
    }

    fn packet(&self, is_ipv6: bool, target: usize, now: Duration) -> [u8; PACKET] {
        const ECHO: u8 = 8;
        const ECHO_V6: u8 = 128;
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let mut packet = [0; PACKET];
        packet[0] = if is_ipv6 { ECHO_V6 } else { ECHO };
        packet[4..6].copy_from_slice(&self.identifier);
        let target = u16::try_from(target).unwrap_or(u16::MAX);
        packet[6..8].copy_from_slice(&target.to_be_bytes());
        packet[8..16].copy_from_slice(&self.nonce);
        packet[16..].copy_from_slice(&nanos.to_be_bytes());
        if !is_ipv6 {
            // That of ICMPv6 is the kernel's business (RFC 3542, 3.1).
            let sum = checksum(&packet);
            packet[2..4].copy_from_slice(&sum);
        }
        packet
    }

    fn receive(&mut self) {
        let mut buffer = [0; 128];
        for place in 0..self.sockets.len() {
            loop {
                let (socket, is_ipv6) = &self.sockets[place];
                let mut reader = socket;
                let Ok(length) = reader.read(&mut buffer) else {
                    break;
                };
                if let Some((sent, target)) = self.answer(&buffer[..length], *is_ipv6) {
                    self.note(sent, target);
                }
            }
        }
    }

    /// When the packet was sent that this answers, and to which target.
    fn answer(&self, bytes: &[u8], is_ipv6: bool) -> Option<(Duration, usize)> {
        const ECHO_REPLY: u8 = 0;
        const ECHO_REPLY_V6: u8 = 129;
        let (header, kind) = if is_ipv6 {
            (0, ECHO_REPLY_V6)
        } else {
            (usize::from(bytes.first()? & 0xf) * 4, ECHO_REPLY)
        };
        let packet: &[u8; PACKET] = bytes.get(header..)?.first_chunk()?;
        let is_ours =
            packet[0] == kind && packet[4..6] == self.identifier && packet[8..16] == self.nonce;
        let nanos = u64::from_be_bytes(*packet.last_chunk()?);
        let target = usize::from(u16::from_be_bytes([packet[6], packet[7]]));
        is_ours.then(|| (Duration::from_nanos(nanos), target))
    }

    fn note(&mut self, sent: Duration, target: usize) {
        match self.cut {
            Some(cut) if sent >= cut => {
                self.received += 1;
                self.first = Some(self.first.map_or(sent, |first| first.min(sent)));
            }
            Some(_) | None => {
                self.last = self.last.max(sent);
                if let Some(target) = self.targets.get_mut(target) {
                    target.answers = true;
                }
            }
        }
    }
}

/// A raw socket for echoes.
pub(super) fn open(is_ipv6: bool) -> io::Result<Socket> {
    let (domain, protocol) = if is_ipv6 {
        (Domain::IPV6, Protocol::ICMPV6)
    } else {
        (Domain::IPV4, Protocol::ICMPV4)
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// RFC 1071.
pub(super) fn checksum(packet: &[u8]) -> [u8; 2] {
    let words = packet.chunks_exact(2);
    let sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let [.., high, low] = (!folded).to_be_bytes();
    [high, low]
}
