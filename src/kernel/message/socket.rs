//! Sockets of this machine: `linux/sock_diag.h` and `linux/inet_diag.h`.

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};

use super::wire::{address_family, family_of, ip_of, request};
use crate::routing::Family;
use crate::routing::flows::FlowTuple;
use crate::units::IpProtocol;

pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;

/// `TCPF_ESTABLISHED`, `TCPF_SYN_SENT` and the states of a close that the far end has yet to confirm
/// (`net/tcp_states.h`). A connected UDP socket counts as established.
const CONNECTED: u32 = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 8 | 1 << 9;
/// `TCPF_LISTEN`
const LISTENING: u32 = 1 << 10;
/// `struct inet_diag_sockid` in `struct inet_diag_msg`.
const ID: std::ops::Range<usize> = 4..52;
/// Matches every socket.
const ANY: [u8; ID.end - ID.start] = [0; ID.end - ID.start];

/// The transport of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel) enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    fn protocol(self) -> IpProtocol {
        let number = match self {
            Self::Tcp => libc::IPPROTO_TCP,
            Self::Udp => libc::IPPROTO_UDP,
        };
        IpProtocol(number.to_le_bytes()[0])
    }
}

/// A connected socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kernel) struct SocketEntry {
    /// Its own address and port, and the far end's.
    pub(in crate::kernel) tuple: FlowTuple,
    /// Its own port.
    pub(in crate::kernel) port: u16,
    /// It is bound to an interface.
    pub(in crate::kernel) is_bound_to_interface: bool,
    family: Family,
    transport: Transport,
    /// `struct inet_diag_sockid`, which identifies it.
    id: Vec<u8>,
}

/// The request for the connected sockets of a family.
pub(in crate::kernel) fn connected_sockets(
    family: Family,
    transport: Transport,
    sequence: u32,
) -> Vec<u8> {
    let query = SocketQuery {
        family,
        transport,
        states: CONNECTED,
        id: &ANY,
    };
    query.request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sequence)
}

/// The request for the TCP sockets of a family that listen.
pub(in crate::kernel) fn listening_sockets(family: Family, sequence: u32) -> Vec<u8> {
    let query = SocketQuery {
        family,
        transport: Transport::Tcp,
        states: LISTENING,
        id: &ANY,
    };
    query.request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sequence)
}

/// The request to end a socket: its owner sees `ECONNABORTED`, the far end of a TCP connection a
/// reset. Always acknowledged.
pub(in crate::kernel) fn end_of_socket(socket: &SocketEntry, sequence: u32) -> Vec<u8> {
    let query = SocketQuery {
        family: socket.family,
        transport: socket.transport,
        states: u32::MAX,
        id: &socket.id,
    };
    query.request(SOCK_DESTROY, NLM_F_ACK, sequence)
}

pub(super) fn socket(transport: Transport, body: &[u8]) -> Option<SocketEntry> {
    const LOCAL: usize = 4;
    const REMOTE: usize = 20;
    const INTERFACE: std::ops::Range<usize> = 36..40;
    let family = family_of(*body.first()?)?;
    let octets = match family {
        Family::Ipv4 => 4,
        Family::Ipv6 => 16,
    };
    let id = body.get(ID)?;
    let address = |at| ip_of(&id[at..at + octets]).map(|address| address.to_canonical());
    let ports = [id[0..2].first_chunk(), id[2..4].first_chunk()];
    let [port, remote_port] = ports.map(|port| port.map_or(0, |port| u16::from_be_bytes(*port)));
    Some(SocketEntry {
        tuple: FlowTuple {
            source: address(LOCAL)?,
            destination: address(REMOTE)?,
            protocol: transport.protocol(),
            ports: Some((port, remote_port)),
        },
        port,
        is_bound_to_interface: id[INTERFACE] != [0; 4],
        family,
        transport,
        id: id.to_vec(),
    })
}

/// `struct inet_diag_req_v2`.
struct SocketQuery<'a> {
    family: Family,
    transport: Transport,
    states: u32,
    id: &'a [u8],
}

impl SocketQuery<'_> {
    fn request(&self, kind: u16, flags: u16, sequence: u32) -> Vec<u8> {
        let family = address_family(self.family);
        let mut body = vec![family, self.transport.protocol().0, 0, 0];
        body.extend(self.states.to_ne_bytes());
        body.extend(self.id);
        request((kind, flags), &body, sequence)
    }
}
