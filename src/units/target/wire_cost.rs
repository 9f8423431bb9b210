//! What a probe puts on the wire at most, as its target tells.

use std::net::IpAddr;

/// The largest cost of a probe, in the bytes that its transport carries. Link and IP headers, and the
/// segments that open and close a connection, come on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireCost {
    /// It is carried by a TCP connection of its own; else it is one packet each way.
    pub is_connection: bool,
    /// Bytes sent; over a connection they may be sent again.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
}

impl WireCost {
    /// A connection without payload.
    pub(super) const CONNECTION: Self = Self {
        is_connection: true,
        sent: 0,
        received: 0,
    };

    /// An ICMP echo. The answer may be an ICMP error, which quotes the request with its IP header.
    pub(super) fn echo(address: IpAddr) -> Self {
        const HEADER: u64 = 8;
        const PAYLOAD: u64 = 32;
        let quoted = Self::ip_header(address) + HEADER + PAYLOAD;
        Self {
            is_connection: false,
            sent: HEADER + PAYLOAD,
            received: HEADER + quoted,
        }
    }

    /// The bytes of an IP header.
    pub fn ip_header(address: IpAddr) -> u64 {
        match address {
            IpAddr::V4(_) => 20,
            IpAddr::V6(_) => 40,
        }
    }
}
