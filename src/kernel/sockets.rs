//! Connections of this machine itself that hold on to an address of an uplink that was left.
//!
//! A client on the router, as of MQTT or SSH, keeps the address it began with, and with it
//! the old uplink, until it notices by itself. Ended by the kernel, it connects again at once.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use super::KernelError;
use super::exchange::Exchange;
use super::message::{self, ListItem, SocketEntry, Transport};
use crate::routing::Family;

/// Ends the connected TCP and UDP sockets that use one of these addresses. Sockets that are bound to
/// an interface chose it on purpose and stay, as do those that only listen, and those that somebody
/// outside opened by that address, who expects the answers there. Returns how many were ended.
///
/// # Errors
/// If none could be ended, because the kernel cannot do it (`CONFIG_INET_DIAG_DESTROY`) or this
/// process may not.
pub fn end_sockets(addresses: &BTreeSet<IpAddr>) -> Result<usize, KernelError> {
    let mut exchange = Exchange::open(NETLINK_SOCK_DIAG).map_err(KernelError::Sockets)?;
    let services = services(&mut exchange).map_err(KernelError::Sockets)?;
    let (mut ended, mut failed) = (0, None);
    for family in Family::ROUTED {
        for transport in [Transport::Tcp, Transport::Udp] {
            let is_left = |socket: &SocketEntry| {
                let is_inbound = transport == Transport::Tcp && services.contains(&socket.port);
                !is_inbound && !socket.is_bound_to_interface && addresses.contains(&socket.local)
            };
            // A kernel may know one kind of sockets and not the other.
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

/// The ports at which this machine takes connections.
fn services(exchange: &mut Exchange) -> io::Result<BTreeSet<u16>> {
    let mut ports = BTreeSet::new();
    for family in Family::ROUTED {
        let request = |number| message::listening_sockets(family, number);
        let answers = |datagram: &[u8]| message::sockets(Transport::Tcp, datagram);
        let listeners = exchange.list(request, answers)?;
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
    let sockets = exchange.list(request, answers)?;
    let mut ended = 0;
    for socket in sockets.iter().filter(|socket| is_left(socket)) {
        ended += usize::from(end(socket, exchange)?);
    }
    Ok(ended)
}

/// False if it was gone already.
fn end(socket: &SocketEntry, exchange: &mut Exchange) -> io::Result<bool> {
    let asked = exchange.next_number();
    exchange.send(&message::end_of_socket(socket, asked))?;
    loop {
        for (sequence, answer) in message::flows(exchange.receive()?) {
            match answer {
                _ if sequence != asked => {}
                ListItem::Done | ListItem::Entry(_) => return Ok(true),
                ListItem::Failed(libc::ENOENT) => return Ok(false),
                ListItem::Failed(errno) => return Err(io::Error::from_raw_os_error(errno)),
            }
        }
    }
}
