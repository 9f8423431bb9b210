//! Addresses that this machine answers itself: a probe to one says nothing about a path.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::time::Instant;

use super::job::ProbeJob;
use super::socket::now;
use crate::units::sorted::SortedMap;

/// What no look at the kernel shows may change as well: each is looked at again so soon.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Through this interface every address is this machine's.
const LOOPBACK: &str = "lo";
/// Any: nothing is sent.
const DISCARD: u16 = 9;

/// What is known of the addresses that are asked.
#[derive(Default)]
pub(super) struct OwnAddresses {
    known: SortedMap<IpAddr, KnownAddress>,
    changes: AddressChanges,
}

/// How many times the addresses of this machine may have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct AddressChanges(pub(super) u64);

/// What a look at an address showed.
#[derive(Clone, Copy)]
struct KnownAddress {
    is_own: bool,
    looked: Instant,
    changes: AddressChanges,
}

impl OwnAddresses {
    /// After so many changes, what was known of an address no longer holds.
    pub(super) fn changed(&mut self, changes: AddressChanges) {
        self.changes = changes;
    }

    /// Why this address cannot show whether the uplink works, if it cannot.
    pub(super) fn refusal(&mut self, job: &ProbeJob, address: IpAddr) -> Option<String> {
        if job.exit.interface.as_str() == LOOPBACK {
            return None;
        }
        let now = now();
        let before = self.known.get(&address).copied();
        let holds =
            |known: &KnownAddress| known.changes == self.changes && now - known.looked < LOOK_AGAIN;
        let is_own = match before.filter(holds) {
            Some(known) => known.is_own,
            None => self.look_at(address, now),
        };
        let (uplink, target) = (&job.probe.uplink, &job.probe.target);
        if is_own && before.is_none_or(|before| !before.is_own) {
            tracing::warn!(%uplink, %target, %address, "this machine answers itself: not probed");
        }
        is_own.then(|| {
            format!(
                "target {target}: {address} is this machine itself or a broadcast address: give {uplink} \
                 another target"
            )
        })
    }

    /// Whether this machine answers for an address now.
    fn look_at(&mut self, address: IpAddr, now: Instant) -> bool {
        let known = KnownAddress {
            is_own: is_answered_here(address),
            looked: now,
            changes: self.changes,
        };
        self.known
            .retain(|_, known| now - known.looked < LOOK_AGAIN * 2);
        self.known.insert(address, known);
        known.is_own
    }
}

/// An address of this machine, of several hosts, or of none. The kernel reaches its own addresses from
/// themselves, and a broadcast address from a socket that asked for it only; what a route or a rule
/// prohibits, from neither. It takes an address of IPv4 that is written in IPv6 for what it is.
fn is_answered_here(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() || is_broadcast {
        return true;
    }
    let any = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let Ok(socket) = UdpSocket::bind(SocketAddr::new(any, 0)) else {
        return false;
    };
    let connect = || socket.connect(SocketAddr::new(address, DISCARD));
    match connect() {
        Ok(()) => socket
            .local_addr()
            .is_ok_and(|source| source.ip() == address),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            socket.set_broadcast(true).and_then(|()| connect()).is_ok()
        }
        Err(_) => false,
    }
}
