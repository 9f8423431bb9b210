//! ICMP echo, by surge-ping.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use surge_ping::{
    Client, Config, ICMP, IcmpPacket, PingIdentifier, PingSequence, Pinger, SurgeError,
};

use super::job::ProbeExit;
use super::socket;
use crate::engine::input::ProbeOutcome;
use crate::routing::Family;
use crate::units::InterfaceName;

/// An echo request has 60 bytes with its IP header, and 82 with that of Ethernet.
const PAYLOAD: [u8; 32] = *b"uplinkd probes this path, sorry.";

/// A client bound to one interface.
pub(super) struct Icmp {
    client: Client,
    exit: ProbeExit,
    identifier: PingIdentifier,
    sequence: u16,
}

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
        mark(&client, exit)?;
        if client.get_socket().get_type() != socket2::Type::RAW {
            // A datagram socket does not receive ICMP errors.
            tracing::debug!(%interface, "no raw socket for ICMP, using a datagram socket");
        } else if let Err(error) = filter::only_answers(&client, family) {
            tracing::debug!(%interface, %error, "no ICMP filter");
        }
        let random = RandomState::new().hash_one(exit.index);
        Ok(Self {
            client,
            exit: exit.clone(),
            identifier: PingIdentifier((random & 0xffff) as u16),
            sequence: 0,
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
        async move {
            let mut pinger = client.pinger(address, identifier).await;
            pinger.timeout(listen_for);
            ask(&mut pinger, sequence).await
        }
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

async fn ask(pinger: &mut Pinger, sequence: PingSequence) -> Option<ProbeOutcome> {
    match pinger.ping(sequence, &PAYLOAD).await {
        Ok((packet, rtt)) => Some(read(&packet, rtt)),
        Err(SurgeError::Timeout { .. }) => None,
        Err(SurgeError::IOError(error)) if error.kind() == io::ErrorKind::HostUnreachable => Some(
            ProbeOutcome::Unreachable("the next hop does not answer".to_owned()),
        ),
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

#[expect(
    unsafe_code,
    reason = "surge-ping hands out its descriptor as a number"
)]
fn mark(client: &Client, exit: &ProbeExit) -> io::Result<()> {
    let socket = client.get_socket();
    // SAFETY: the descriptor is open for as long as `socket` is, which outlives the borrow.
    let descriptor = unsafe { BorrowedFd::borrow_raw(socket.get_native_sock()) };
    socket::leave_by(&SockRef::from(&descriptor), exit)
}

fn explain(error: &io::Error, interface: &InterfaceName) -> io::Error {
    let what = if error.kind() == io::ErrorKind::PermissionDenied {
        format!("no ICMP socket on {interface}: the capability CAP_NET_RAW is missing")
    } else {
        format!("no ICMP socket on {interface}: {error}")
    };
    io::Error::new(error.kind(), what)
}

/// Without a filter a raw ICMP socket is woken by every ICMP packet of its interface: an inbound ping
/// flood costs a third of a core.
mod filter {
    use std::io;

    use surge_ping::Client;

    use crate::routing::Family;

    const ICMP_FILTER: libc::c_int = 1;
    const ICMPV6_FILTER: libc::c_int = 1;

    /// Passes echo replies, unreachables, time exceeded and parameter problems.
    pub(super) fn only_answers(client: &Client, family: Family) -> io::Result<()> {
        match family {
            Family::Ipv4 => {
                let passed: u32 = [0, 3, 11, 12].iter().fold(0, |mask, kind| mask | 1 << kind);
                set(client, libc::SOL_RAW, ICMP_FILTER, &[!passed])
            }
            Family::Ipv6 => {
                let mut blocked = [u32::MAX; 8];
                for kind in [1_usize, 2, 3, 4, 129] {
                    blocked[kind / 32] &= !(1 << (kind % 32));
                }
                set(client, libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &blocked)
            }
        }
    }

    #[expect(
        unsafe_code,
        reason = "no crate in the tree wraps the ICMP filter options"
    )]
    fn set(client: &Client, level: i32, option: i32, words: &[u32]) -> io::Result<()> {
        let length = libc::socklen_t::try_from(size_of_val(words))
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: the descriptor is open for as long as `client` is, and the kernel reads `length`
        // bytes from `words`, which are there.
        let result = unsafe {
            libc::setsockopt(
                client.get_socket().get_native_sock(),
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
