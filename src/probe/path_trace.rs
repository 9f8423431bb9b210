//! Asks the first hops of a path: by echoes whose time to live ends there, which each of them answers.
//!
//! A socket of its own sends them, as a time to live is that of a socket; its answers are read on a thread of its own,
//! which ends with the trace.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{SockaddrStorage, recvfrom};
use socket2::{SockRef, Socket};

use super::echo_stream::{checksum, open};
use super::icmp::random;
use super::job::ProbeExit;
use super::socket::{self, now};
use crate::engine::input::TracedHops;

/// A path is asked so far.
const MOST_HOPS: u8 = 6;
/// Each hop is asked so often: a lost packet is no broken path.
const ROUNDS: u8 = 2;
/// The type and the checksum, the number of the trace, the hop and the round, the nonce.
const PACKET: usize = 16;

/// A trace that is under way.
struct PathTrace {
    socket: Socket,
    target: IpAddr,
    identifier: [u8; 2],
    nonce: [u8; 8],
    answers: [Option<IpAddr>; MOST_HOPS as usize],
    /// How far the target is.
    arrived: Option<u8>,
}

/// What answers a packet of a trace.
struct HopAnswer {
    hop: u8,
    round: u8,
    from: IpAddr,
    /// It is the target.
    is_reply: bool,
}

/// Who answers on the way to a target. Takes `listen_for` at most.
///
/// # Errors
/// If there is no raw socket.
pub(super) fn trace(
    target: IpAddr,
    exit: &ProbeExit,
    listen_for: Duration,
) -> io::Result<TracedHops> {
    let socket = open(target.is_ipv6())?;
    socket::leave_by(&SockRef::from(&socket), exit)?;
    let mut trace = PathTrace {
        socket,
        target,
        identifier: random()?,
        nonce: random()?,
        answers: [None; MOST_HOPS as usize],
        arrived: None,
    };
    let begun = now();
    let (mut sent, mut slowest) = ([Duration::ZERO; ROUNDS as usize], Duration::ZERO);
    let mut round = 0;
    loop {
        let elapsed = begun.elapsed();
        if elapsed >= listen_for || trace.is_complete() {
            break;
        }
        if round < ROUNDS && elapsed >= listen_for / 3 * u32::from(round) {
            trace.send(round);
            sent[usize::from(round)] = elapsed;
            round += 1;
        }
        let wait = listen_for.saturating_sub(elapsed).min(listen_for / 12);
        let wait = u16::try_from(wait.as_millis() + 1).unwrap_or(u16::MAX);
        let mut polled = [PollFd::new(trace.socket.as_fd(), PollFlags::POLLIN)];
        // An error of the socket shows when it is read.
        let _ = poll(&mut polled, PollTimeout::from(wait));
        while let Some(answer) = trace.receive() {
            let since = sent.get(usize::from(answer.round)).copied();
            let took = begun.elapsed().saturating_sub(since.unwrap_or_default());
            slowest = slowest.max(took);
            trace.note(&answer);
        }
    }
    Ok(trace.result(slowest))
}

impl PathTrace {
    /// To each hop that has not answered.
    fn send(&self, round: u8) {
        let to = SocketAddr::new(self.target, 0).into();
        for hop in (1..=self.last()).filter(|hop| !self.has_answered(*hop)) {
            let lives = if self.target.is_ipv6() {
                self.socket.set_unicast_hops_v6(hop.into())
            } else {
                self.socket.set_ttl_v4(hop.into())
            };
            if lives.is_ok() {
                // What cannot be sent is not answered.
                drop(self.socket.send_to(&self.packet(hop, round), &to));
            }
        }
    }

    fn packet(&self, hop: u8, round: u8) -> [u8; PACKET] {
        let mut packet = [0; PACKET];
        packet[0] = self.request();
        packet[4..6].copy_from_slice(&self.identifier);
        (packet[6], packet[7]) = (round, hop);
        packet[8..].copy_from_slice(&self.nonce);
        if !self.target.is_ipv6() {
            // That of ICMPv6 is the kernel's business (RFC 3542, 3.1).
            let sum = checksum(&packet);
            packet[2..4].copy_from_slice(&sum);
        }
        packet
    }

    /// The type of an echo request.
    fn request(&self) -> u8 {
        if self.target.is_ipv6() { 128 } else { 8 }
    }

    /// The next answer that has come.
    fn receive(&self) -> Option<HopAnswer> {
        let mut buffer = [0; 256];
        loop {
            let received = recvfrom::<SockaddrStorage>(self.socket.as_raw_fd(), &mut buffer);
            let (length, from) = received.ok()?;
            let from = from?;
            let from: IpAddr = match (from.as_sockaddr_in(), from.as_sockaddr_in6()) {
                (Some(from), _) => from.ip().into(),
                (None, Some(from)) => from.ip().into(),
                (None, None) => continue,
            };
            if let Some(answer) = self.understand(&buffer[..length], from) {
                return Some(answer);
            }
        }
    }

    /// An IPv4 socket receives packets with their IP header, an IPv6 socket without.
    fn understand(&self, bytes: &[u8], from: IpAddr) -> Option<HopAnswer> {
        const REPLY: [u8; 2] = [0, 129];
        /// Time exceeded, unreachable.
        const ERRORS: [[u8; 2]; 2] = [[11, 3], [3, 1]];
        let family = usize::from(self.target.is_ipv6());
        let behind_header = |bytes: &[u8]| match family {
            0 => usize::from(bytes.first().copied().unwrap_or_default() & 0xf) * 4,
            _ => 40,
        };
        let message = match family {
            0 => bytes.get(behind_header(bytes)..)?,
            _ => bytes,
        };
        let kind = *message.first()?;
        let is_reply = kind == REPLY[family] && from == self.target;
        let request = if is_reply {
            let is_ours = message.get(8..PACKET)? == self.nonce;
            Some(message).filter(|_| is_ours)?
        } else if ERRORS[family].contains(&kind) {
            // An error quotes the request behind 8 bytes of its own.
            let quoted = message.get(8..)?;
            let request = quoted.get(behind_header(quoted)..)?;
            Some(request).filter(|request| request.first() == Some(&self.request()))?
        } else {
            return None;
        };
        let is_ours = request.get(4..6)? == self.identifier;
        let (round, hop) = (*request.get(6)?, *request.get(7)?);
        let is_asked = is_ours && (1..=MOST_HOPS).contains(&hop);
        is_asked.then_some(HopAnswer {
            hop,
            round,
            from,
            is_reply,
        })
    }

    fn note(&mut self, answer: &HopAnswer) {
        self.answers[usize::from(answer.hop - 1)].get_or_insert(answer.from);
        if answer.is_reply {
            self.arrived = Some(self.last().min(answer.hop));
        }
    }

    /// Up to which hop it is asked: what is behind the target does not exist.
    fn last(&self) -> u8 {
        self.arrived.unwrap_or(MOST_HOPS)
    }

    fn has_answered(&self, hop: u8) -> bool {
        self.answers[usize::from(hop - 1)].is_some()
    }

    fn is_complete(&self) -> bool {
        (1..=self.last()).all(|hop| self.has_answered(hop))
    }

    fn result(&self, slowest: Duration) -> TracedHops {
        let mut hops = self.answers[..usize::from(self.last())].to_vec();
        // A router that has no way on answers for all that is behind it as well.
        for place in 1..hops.len() {
            if hops[..place].contains(&hops[place]) {
                hops[place] = None;
            }
        }
        TracedHops {
            hops,
            slowest,
            has_arrived: self.arrived.is_some(),
        }
    }
}
