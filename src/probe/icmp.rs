//! ICMP echo, by surge-ping.
//!
//! An answer carries the identifier, the sequence and the nonce of its request and comes from the address
//! that was asked. surge-ping compares address, identifier and sequence; identifier and nonce are compared
//! in the kernel ([`filter`]), so that an unsolicited reply wakes nothing. Its time is that of its
//! arrival in the kernel: the agent may not have run since.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use surge_ping::{
    AsyncSocket, Client, Config, ICMP, IcmpPacket, PingIdentifier, PingSequence, SurgeError,
};

use super::job::ProbeExit;
use super::socket;
use crate::engine::input::ProbeOutcome;
use crate::routing::Family;
use crate::units::InterfaceName;

/// Follows the nonce: an echo request has 60 bytes with its IP header, and 82 with that of Ethernet.
const PAYLOAD: [u8; 24] = *b"uplinkd probes this path";

/// A client bound to one interface.
pub(super) struct Icmp {
    client: Client,
    exit: ProbeExit,
    identifier: PingIdentifier,
    sequence: u16,
    nonce: Nonce,
}

/// What an answer must repeat: it shows that its sender has seen a request.
type Nonce = [u32; 2];

impl Icmp {
    /// Opens a raw socket on the interface.
    pub(super) fn open(family: Family, exit: &ProbeExit) -> io::Result<Self> {
        let interface = &exit.interface;
        let kind = match family {
            Family::Ipv4 => ICMP::V4,
            Family::Ipv6 => ICMP::V6,
        };
        let config = Config::builder()
            .kind(kind)
            .interface(interface.as_str())
            .sock_type_hint(socket2::Type::RAW)
            .build();
        let client = Client::new(&config).map_err(|error| explain(&error, interface))?;
        let nonce = [u32::from_be_bytes(random()?), u32::from_be_bytes(random()?)];
        let identifier = u16::from_be_bytes(random()?);
        let socket = client.get_socket();
        with_socket(&socket, |socket| socket::leave_by(socket, exit))?;
        if socket.get_type() != socket2::Type::RAW {
            // A datagram socket does not receive ICMP errors, and the kernel chooses its identifier.
            tracing::debug!(%interface, "no raw socket for ICMP, using a datagram socket");
        } else if let Err(error) = filter::only_answers(&socket, family, identifier, nonce) {
            tracing::debug!(%interface, %error, "no ICMP filter");
        }
        // The first question has the kernel stamp what arrives from now on.
        arrival::of_last(&socket);
        Ok(Self {
            client,
            exit: exit.clone(),
            identifier: PingIdentifier(identifier),
            sequence: u16::from_be_bytes(random()?),
            nonce,
        })
    }

    pub(super) fn is_bound_to(&self, exit: &ProbeExit) -> bool {
        self.exit == *exit
    }

    /// Sends one echo request; none if there is no answer in time.
    pub(super) fn ping(
        &mut self,
        address: IpAddr,
        listen_for: Duration,
    ) -> impl Future<Output = Option<ProbeOutcome>> + use<> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = PingSequence(self.sequence);
        let client = self.client.clone();
        let identifier = self.identifier;
        let mut payload = [0; 32];
        let nonce = self.nonce.map(u32::to_be_bytes);
        payload[..8].copy_from_slice(nonce.as_flattened());
        payload[8..].copy_from_slice(&PAYLOAD);
        async move {
            let mut pinger = client.pinger(address, identifier).await;
            pinger.timeout(listen_for);
            let begun = socket::now();
            let answered = pinger.ping(sequence, &payload).await;
            let unread = arrival::of_last(&client.get_socket());
            let at_most = begun.elapsed().checked_sub(unread);
            understand(answered, at_most)
        }
    }

    /// What has arrived is read.
    pub(super) fn is_read(&self) -> bool {
        let is_read = |socket: &SockRef<'_>| {
            let mut interest = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
            Ok(poll(&mut interest, PollTimeout::ZERO)? == 0)
        };
        with_socket(&self.client.get_socket(), is_read).unwrap_or(true)
    }
}

/// Whether this process may send ICMP.
pub(super) fn check() -> io::Result<()> {
    let open = |kind| Socket::new(Domain::IPV4, kind, Some(Protocol::ICMPV4)).map(drop);
    match open(Type::RAW).or_else(|_| open(Type::DGRAM)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(io::Error::new(
            error.kind(),
            "may not send ICMP: the capability CAP_NET_RAW is missing (run as root, or grant it)",
        )),
        _ => Ok(()),
    }
}

/// The outcome of a probe. `at_most`: the round trip until the arrival in the kernel of what was read last.
fn understand(
    answered: Result<(IcmpPacket, Duration), SurgeError>,
    at_most: Option<Duration>,
) -> Option<ProbeOutcome> {
    match answered {
        Ok((packet, rtt)) => Some(read(&packet, at_most.map_or(rtt, |most| rtt.min(most)))),
        Err(SurgeError::Timeout { .. }) => None,
        Err(SurgeError::IOError(error)) if error.kind() == io::ErrorKind::HostUnreachable => Some(
            ProbeOutcome::Unreachable("the next hop does not answer".to_owned()),
        ),
        Err(SurgeError::IOError(error)) => Some(socket::not_sent(&error, error.to_string())),
        Err(error) => Some(ProbeOutcome::NotSent(error.to_string())),
    }
}

/// A raw socket also receives the ICMP errors about our request.
fn read(packet: &IcmpPacket, rtt: Duration) -> ProbeOutcome {
    const ECHO_REPLY: u8 = 0;
    const ECHO_REPLY_V6: u8 = 129;
    let (kind, from): (u8, IpAddr) = match packet {
        IcmpPacket::V4(packet) => (packet.get_icmp_type().0, packet.get_source().into()),
        IcmpPacket::V6(packet) => (packet.get_icmpv6_type().0, packet.get_source().into()),
    };
    match (packet, kind) {
        (IcmpPacket::V4(_), ECHO_REPLY) | (IcmpPacket::V6(_), ECHO_REPLY_V6) => {
            ProbeOutcome::Reply(rtt)
        }
        (IcmpPacket::V4(_) | IcmpPacket::V6(_), kind) => {
            ProbeOutcome::Unreachable(format!("{from} answers with ICMP type {kind}"))
        }
    }
}

/// From the kernel's random source.
pub(super) fn random<const BYTES: usize>() -> io::Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[expect(
    unsafe_code,
    reason = "surge-ping hands out its descriptor as a number"
)]
fn with_socket<T>(
    socket: &AsyncSocket,
    use_it: impl FnOnce(&SockRef<'_>) -> io::Result<T>,
) -> io::Result<T> {
    // SAFETY: the descriptor is open for as long as `socket` is, which outlives the borrow.
    let descriptor = unsafe { BorrowedFd::borrow_raw(socket.get_native_sock()) };
    use_it(&SockRef::from(&descriptor))
}

fn explain(error: &io::Error, interface: &InterfaceName) -> io::Error {
    let what = if error.kind() == io::ErrorKind::PermissionDenied {
        format!("no ICMP socket on {interface}: the capability CAP_NET_RAW is missing")
    } else {
        format!("no ICMP socket on {interface}: {error}")
    };
    io::Error::new(error.kind(), what)
}

/// When packets arrived. Unlike SO_TIMESTAMPNS the request needs no receive call of its own: it tells
/// the time of the packet that was read last. Of several that were read at once that is the last: the round
/// trips of the others come out too long by what lay between them.
mod arrival {
    use std::time::Duration;

    use surge_ping::AsyncSocket;

    use crate::probe::socket::wall;

    /// SIOCGSTAMPNS_NEW (asm-generic/ioctl.h, linux/sockios.h): two 64-bit numbers on every machine.
    const REQUEST: libc::Ioctl = ((2_u32 << 30) | (16 << 16) | 0x8907) as libc::Ioctl;

    /// How long ago the packet that was read last arrived; nothing where the kernel does not tell.
    #[expect(unsafe_code, reason = "no crate in the tree wraps SIOCGSTAMPNS")]
    pub(super) fn of_last(socket: &AsyncSocket) -> Duration {
        let mut stamp = [0_i64; 2];
        // SAFETY: the descriptor is open for as long as `socket` is, and the kernel writes two 64-bit
        // numbers, for which there is room.
        let result = unsafe { libc::ioctl(socket.get_native_sock(), REQUEST, stamp.as_mut_ptr()) };
        let [Ok(seconds), Ok(nanos)] = [u64::try_from(stamp[0]), u64::try_from(stamp[1])] else {
            return Duration::ZERO;
        };
        if result != 0 {
            return Duration::ZERO;
        }
        wall().saturating_sub(Duration::from_secs(seconds) + Duration::from_nanos(nanos))
    }
}

/// Without a filter a raw ICMP socket is woken by every ICMP packet of its interface: an inbound ping
/// flood costs a third of a core.
mod filter {
    use std::io;

    use socket2::SockFilter;
    use surge_ping::AsyncSocket;

    use super::{Nonce, with_socket};
    use crate::routing::Family;

    const ICMP_FILTER: libc::c_int = 1;
    const ICMPV6_FILTER: libc::c_int = 1;

    /// Passes what answers our requests, and the errors about them: unreachable, time exceeded,
    /// parameter problem, packet too big.
    pub(super) fn only_answers(
        socket: &AsyncSocket,
        family: Family,
        identifier: u16,
        nonce: Nonce,
    ) -> io::Result<()> {
        with_socket(socket, |socket| {
            socket.attach_filter(&program(family, identifier, nonce))
        })?;
        // Cheaper: what this blocks is not even copied.
        match family {
            Family::Ipv4 => {
                let passed: u32 = [0, 3, 11, 12].iter().fold(0, |mask, kind| mask | 1 << kind);
                set(socket, libc::SOL_RAW, ICMP_FILTER, &[!passed])
            }
            Family::Ipv6 => {
                let mut blocked = [u32::MAX; 8];
                for kind in [1_usize, 2, 3, 4, 129] {
                    blocked[kind / 32] &= !(1 << (kind % 32));
                }
                set(socket, libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &blocked)
            }
        }
    }

    // The instructions of the classic packet filter (linux/bpf_common.h) that are used here: X is the
    // index register, A the accumulator. A load beyond the packet drops it.
    const X_IS_IPV4_HEADER: u16 = 0xb1;
    const X_IS: u16 = 0x01;
    const A_IS_BYTE: u16 = 0x50;
    const A_IS_HALF: u16 = 0x48;
    const A_IS_WORD: u16 = 0x40;
    const A_AND: u16 = 0x54;
    const A_SHIFT_LEFT: u16 = 0x64;
    const A_PLUS_X: u16 = 0x0c;
    const X_IS_A: u16 = 0x07;
    const IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;

    /// An IPv4 socket receives packets with their IP header, an IPv6 socket without.
    fn program(family: Family, identifier: u16, nonce: Nonce) -> Vec<SockFilter> {
        let [first, second] = nonce;
        let step = |code, value| (code, value, 0);
        let unless_equal = |value, skipped| (IF_EQUAL, value, skipped);
        let (begin, echo_reply, quoted) = match family {
            Family::Ipv4 => {
                let length = [step(A_IS_BYTE, 8), step(A_AND, 0xf), step(A_SHIFT_LEFT, 2)];
                let behind_both = [step(A_PLUS_X, 0), step(X_IS_A, 0)];
                let quoted = [&length[..], &behind_both].concat();
                (step(X_IS_IPV4_HEADER, 0), 0, quoted)
            }
            Family::Ipv6 => (step(X_IS, 0), 129, vec![step(X_IS, 40)]),
        };
        let reply = [
            begin,
            step(A_IS_BYTE, 0),
            unless_equal(echo_reply, 8),
            step(A_IS_HALF, 4),
            unless_equal(identifier.into(), 5),
            step(A_IS_WORD, 8),
            unless_equal(first, 3),
            step(A_IS_WORD, 12),
            unless_equal(second, 1),
            step(RETURN, u32::MAX),
            step(RETURN, 0),
        ];
        // An error quotes the request behind 8 bytes of its own.
        let error = [
            step(A_IS_HALF, 8 + 4),
            unless_equal(identifier.into(), 1),
            step(RETURN, u32::MAX),
            step(RETURN, 0),
        ];
        let steps = reply.iter().chain(&quoted).chain(&error);
        steps
            .map(|(code, value, skipped)| SockFilter::new(*code, 0, *skipped, *value))
            .collect()
    }

    #[expect(
        unsafe_code,
        reason = "no crate in the tree wraps the ICMP filter options"
    )]
    fn set(socket: &AsyncSocket, level: i32, option: i32, words: &[u32]) -> io::Result<()> {
        let length = libc::socklen_t::try_from(size_of_val(words))
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: the descriptor is open for as long as `socket` is, and the kernel reads `length`
        // bytes from `words`, which are there.
        let result = unsafe {
            libc::setsockopt(
                socket.get_native_sock(),
                level,
                option,
                words.as_ptr().cast(),
                length,
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}
