//! A router on the far side of a wire that advertises itself (RFC 4861).

use std::io;
use std::net::{Ipv6Addr, SocketAddrV6};

use ipnet::Ipv6Net;
use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, Socket, Type};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// What a router says about itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Advertisement {
    /// For how many seconds it is a default router; 0: it is none.
    pub(crate) lifetime: u16,
    /// Its preference (RFC 4191): 1 high, 0 medium, 3 low.
    pub(crate) preference: u8,
    /// Prefixes on its link, and for how many seconds addresses of theirs are preferred.
    pub(crate) prefixes: Vec<(Ipv6Net, u32)>,
}

impl Advertisement {
    /// Sends it out of this interface to all nodes of its link.
    pub(crate) fn send(&self, interface: &str) {
        self.send_from(interface, Ipv6Addr::UNSPECIFIED);
    }

    /// Sends it from this address of the interface.
    pub(crate) fn send_from(&self, interface: &str, source: Ipv6Addr) {
        let index = if_nametoindex(interface).expect("the interface exists");
        let send = || -> io::Result<usize> {
            let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
            socket.bind_device(Some(interface.as_bytes()))?;
            socket.set_multicast_if_v6(index)?;
            socket.bind(&SocketAddrV6::new(source, 0, 0, index).into())?;
            // A router of another link could not send it.
            socket.set_multicast_hops_v6(255)?;
            let to = SocketAddrV6::new(ALL_NODES, 0, 0, index);
            socket.send_to(&self.bytes(), &to.into())
        };
        let is_early = |error: &io::Error| {
            let (no_carrier, no_address) = (
                io::ErrorKind::NetworkUnreachable,
                io::ErrorKind::AddrNotAvailable,
            );
            error.kind() == no_carrier || error.kind() == no_address
        };
        match send() {
            Err(error) if is_early(&error) => {}
            result => drop(result.expect("the advertisement is sent")),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        const ROUTER_ADVERTISEMENT: u8 = 134;
        const HOP_LIMIT: u8 = 64;
        // The kernel fills in the checksum.
        let mut bytes = vec![
            ROUTER_ADVERTISEMENT,
            0,
            0,
            0,
            HOP_LIMIT,
            self.preference << 3,
        ];
        bytes.extend(self.lifetime.to_be_bytes());
        bytes.extend([0; 8]);
        for (prefix, preferred) in &self.prefixes {
            const PREFIX_INFORMATION: u8 = 3;
            const ON_LINK_AND_AUTONOMOUS: u8 = 0xc0;
            const VALID: u32 = 86_400;
            bytes.extend([
                PREFIX_INFORMATION,
                4,
                prefix.prefix_len(),
                ON_LINK_AND_AUTONOMOUS,
            ]);
            bytes.extend(VALID.to_be_bytes());
            bytes.extend(preferred.to_be_bytes());
            bytes.extend([0; 4]);
            bytes.extend(prefix.addr().octets());
        }
        bytes
    }
}
