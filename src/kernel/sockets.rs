//! Connections of this machine itself from an address of an uplink that the traffic has left.
//!
//! A client on the router, such as MQTT or SSH, keeps its source address, and with it the old uplink,
//! until it times out. When the kernel ends the connection, the client reconnects at once.

use std::io;
use std::net::IpAddr;

use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use super::error::KernelError;
use super::exchange::Exchange;
use super::message::{self, Acknowledgement, SocketEntry, Transport};
use crate::routing::Family;
use crate::routing::flows::TrafficOf;
use crate::units::sorted::SortedSet;

/// Ends the connected TCP and UDP sockets that use one of these addresses for this traffic, and returns their number.
/// Sockets that are bound to an interface, that listen, or that were accepted stay: the first are meant
/// for that uplink, and the far end of the last expects replies from that address.
///
/// # Errors
/// If none could be ended, because the kernel lacks `CONFIG_INET_DIAG_DESTROY` or this process lacks
/// the capability.
pub fn end_sockets(addresses: &SortedSet<IpAddr>, of: &TrafficOf) -> Result<usize, KernelError> {
    let mut exchange = Exchange::open(NETLINK_SOCK_DIAG).map_err(KernelError::Sockets)?;
    let services = services(&mut exchange).map_err(KernelError::Sockets)?;
    let (mut ended, mut failed) = (0, None);
    for family in Family::ROUTED {
        for transport in [Transport::Tcp, Transport::Udp] {
            let is_left = |socket: &SocketEntry| {
                let tuple = &socket.tuple;
                let is_inbound = transport == Transport::Tcp && services.contains(&socket.port);
                let is_left = addresses.contains(&tuple.source) && of.has(tuple);
                is_left && !is_inbound && !socket.is_bound_to_interface
            };
            // A kernel may support one transport and not the other.
            match end_those((family, transport), is_left, &mut exchange) {
                Ok(count) => ended += count,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
    }
    match failed.filter(|_| ended == 0) {
        Some(error) => Err(KernelError::Sockets(error)),
        None => Ok(ended),
    }
}

/// The ports on which this machine accepts connections.
fn services(exchange: &mut Exchange) -> io::Result<SortedSet<u16>> {
    let mut ports = SortedSet::new();
    for family in Family::ROUTED {
        let request = |number| message::listening_sockets(family, number);
        let answers = |datagram: &[u8]| message::sockets(Transport::Tcp, datagram);
        let listeners = exchange.list(request, answers)?.entries;
        ports.extend(listeners.iter().map(|socket| socket.port));
    }
    Ok(ports)
}

fn end_those(
    (family, transport): (Family, Transport),
    is_left: impl Fn(&SocketEntry) -> bool,
    exchange: &mut Exchange,
) -> io::Result<usize> {
    let request = |number| message::connected_sockets(family, transport, number);
    let answers = |datagram: &[u8]| message::sockets(transport, datagram);
    let sockets = exchange.list(request, answers)?.entries;
    let mut ended = 0;
    for socket in sockets.iter().filter(|socket| is_left(socket)) {
        ended += usize::from(end(socket, exchange)?);
    }
    Ok(ended)
}

/// False if the socket no longer exists.
fn end(socket: &SocketEntry, exchange: &mut Exchange) -> io::Result<bool> {
    match exchange.change(|number| message::end_of_socket(socket, number))? {
        Acknowledgement::Done => Ok(true),
        Acknowledgement::Refused { number, .. } if number == libc::ENOENT => Ok(false),
        Acknowledgement::Refused { number, .. } => Err(io::Error::from_raw_os_error(number)),
    }
}
