//! Sockets of this machine: `linux/sock_diag.h` and `linux/inet_diag.h`.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};

use super::parse::ip_of;
use crate::routing::Family;

pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;

/// `TCPF_ESTABLISHED`, `TCPF_SYN_SENT` and the states of a close that the far end has yet to confirm
/// (`net/tcp_states.h`). A connected UDP socket counts as established.
const CONNECTED: u32 = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 8 | 1 << 9;
/// `TCPF_LISTEN`
const LISTENING: u32 = 1 << 10;
/// `struct inet_diag_sockid` in `struct inet_diag_msg`.
const ID: std::ops::Range<usize> = 4..52;

/// What can be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel) enum Transport {
    Tcp,
    Udp,
}

/// A connected socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kernel) struct SocketEntry {
    /// Its own address.
    pub(in crate::kernel) local: IpAddr,
    /// Its own port.
    pub(in crate::kernel) port: u16,
    /// It may use one interface only.
    pub(in crate::kernel) is_bound_to_interface: bool,
    family: Family,
    transport: Transport,
    /// What the kernel knows it by.
    id: Vec<u8>,
}

/// The request for the connected sockets of a family.
pub(in crate::kernel) fn connected_sockets(
    family: Family,
    transport: Transport,
    sequence: u32,
) -> Vec<u8> {
    let anybody = [0; ID.end - ID.start];
    let query = SocketQuery {
        family,
        transport,
        states: CONNECTED,
        id: &anybody,
    };
    query.request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sequence)
}

/// The request for the TCP sockets of a family that listen.
pub(in crate::kernel) fn listening_sockets(family: Family, sequence: u32) -> Vec<u8> {
    let anybody = [0; ID.end - ID.start];
    let query = SocketQuery {
        family,
        transport: Transport::Tcp,
        states: LISTENING,
        id: &anybody,
    };
    query.request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sequence)
}

/// The request to end a socket: its owner sees `ECONNABORTED`, the far end of a TCP connection a
/// reset. Answered in any case.
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
    const INTERFACE: std::ops::Range<usize> = 36..40;
    let family = match i32::from(*body.first()?) {
        libc::AF_INET => Family::Ipv4,
        libc::AF_INET6 => Family::Ipv6,
        _ => return None,
    };
    let octets = match family {
        Family::Ipv4 => 4,
        Family::Ipv6 => 16,
    };
    let id = body.get(ID)?;
    Some(SocketEntry {
        local: ip_of(&id[LOCAL..LOCAL + octets])?.to_canonical(),
        port: u16::from_be_bytes([id[0], id[1]]),
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
        const LENGTH: u32 = 16 + 8 + 48;
        let family = match self.family {
            Family::Ipv4 => libc::AF_INET,
            Family::Ipv6 => libc::AF_INET6,
        };
        let transport = match self.transport {
            Transport::Tcp => libc::IPPROTO_TCP,
            Transport::Udp => libc::IPPROTO_UDP,
        };
        let mut bytes = LENGTH.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend([family.to_le_bytes()[0], transport.to_le_bytes()[0], 0, 0]);
        bytes.extend(self.states.to_ne_bytes());
        bytes.extend(self.id);
        bytes
    }
}
