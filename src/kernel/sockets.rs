//! Connections of this machine itself that hold on to an address of an uplink that was left.
//!
//! A client on the router, as of WireGuard, MQTT or SSH, keeps the address it began with, and with it
//! the old uplink, until it notices by itself. Ended by the kernel, it connects again at once.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use super::KernelError;
use super::exchange::Exchange;
use super::message::{self, Listed, SocketEntry, Transport};
use crate::routing::Family;

/// Ends the connected TCP and UDP sockets that use one of these addresses. Sockets that are bound to
/// an interface chose it on purpose and stay, as do those that only listen. Returns how many were
/// ended.
///
/// # Errors
/// If the kernel cannot do it (`CONFIG_INET_DIAG_DESTROY`), or this process may not.
pub fn end_sockets(addresses: &BTreeSet<IpAddr>) -> Result<usize, KernelError> {
    end_all(addresses).map_err(KernelError::Sockets)
}

fn end_all(addresses: &BTreeSet<IpAddr>) -> io::Result<usize> {
    let mut exchange = Exchange::open(NETLINK_SOCK_DIAG)?;
    let mut ended = 0;
    for family in Family::ROUTED {
        for transport in [Transport::Tcp, Transport::Udp] {
            let request = |number| message::connected_sockets(family, transport, number);
            let answers = |datagram: &[u8]| message::sockets(transport, datagram);
            let sockets = exchange.list(request, answers)?;
            let left = sockets.iter().filter(|socket| {
                !socket.is_bound_to_interface && addresses.contains(&socket.local)
            });
            for socket in left {
                ended += usize::from(end(socket, &mut exchange)?);
            }
        }
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
                Listed::Done | Listed::Item(_) => return Ok(true),
                Listed::Failed(libc::ENOENT) => return Ok(false),
                Listed::Failed(errno) => return Err(io::Error::from_raw_os_error(errno)),
            }
        }
    }
}
