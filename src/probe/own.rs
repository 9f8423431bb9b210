//! Addresses that this machine answers itself: a probe to one says nothing about a path.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::time::Instant;

use super::job::ProbeJob;
use super::socket::now;

/// Addresses change: each is looked at again so soon.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Through this interface every address is this machine's.
const LOOPBACK: &str = "lo";
/// Any: nothing is sent.
const DISCARD: u16 = 9;

/// What is known of the addresses that are asked.
#[derive(Default)]
pub(super) struct OwnAddresses {
    known: BTreeMap<IpAddr, (bool, Instant)>,
}

impl OwnAddresses {
    /// Why this address cannot show whether the uplink works, if it cannot.
    pub(super) fn refusal(&mut self, job: &ProbeJob, address: IpAddr) -> Option<String> {
        if job.exit.interface.as_str() == LOOPBACK {
            return None;
        }
        let now = now();
        let is_recent = |(_, at): &&(bool, Instant)| now - *at < LOOK_AGAIN;
        let before = self.known.get(&address).copied();
        let is_own = if let Some((is_own, _)) = before.as_ref().filter(is_recent) {
            *is_own
        } else {
            let is_own = is_answered_here(address);
            self.known.retain(|_, (_, at)| now - *at < LOOK_AGAIN * 2);
            self.known.insert(address, (is_own, now));
            is_own
        };
        let (uplink, target) = (&job.probe.uplink, &job.probe.target);
        if is_own && before.is_none_or(|(was_own, _)| !was_own) {
            tracing::warn!(%uplink, %target, %address, "this machine answers itself: not probed");
        }
        is_own.then(|| {
            format!(
                "target {target}: {address} is this machine itself or a broadcast address: give {uplink} \
                 another target"
            )
        })
    }
}

/// An address of this machine, of several hosts, or of none. The kernel reaches its own addresses from
/// themselves, and a broadcast address from a socket that asked for it only; what a route or a rule
/// prohibits, from neither.
fn is_answered_here(address: IpAddr) -> bool {
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() {
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
