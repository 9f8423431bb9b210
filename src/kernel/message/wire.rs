//! The layout that all netlink families share: message headers and attributes (netlink(7)).

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkBuffer, NlaBuffer, NlasIterator};

use crate::routing::Family;

/// The bit of an attribute's type that says that it holds attributes itself.
pub(super) const NESTED: u16 = 1 << 15;

/// A request of this type, with these flags beside `NLM_F_REQUEST`. The crates' own message type would
/// bring in the writers and readers of every kind of message.
pub(super) fn request((kind, flags): (u16, u16), body: &[u8], sequence: u32) -> Vec<u8> {
    const HEADER: usize = 16;
    // Far below 4 GiB: an interface name is the longest part.
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut request = Vec::with_capacity(HEADER + body.len());
    request.extend(length.to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    request.extend(sequence.to_ne_bytes());
    // The port: the kernel fills it in.
    request.extend(0_u32.to_ne_bytes());
    request.extend(body);
    request
}

/// Appends an attribute.
pub(super) fn append(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Appends an attribute that holds attributes.
pub(super) fn append_nested(bytes: &mut Vec<u8>, kind: u16, content: impl FnOnce(&mut Vec<u8>)) {
    let mut inside = Vec::new();
    content(&mut inside);
    append(bytes, kind | NESTED, &inside);
}

/// The messages of a datagram, up to the first that is malformed.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(rest).ok()?;
        let length = (message.length() as usize).next_multiple_of(4);
        rest = rest.get(length..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes behind the header of a body, up to the first that is malformed.
pub(super) fn attributes(body: &[u8], header: usize) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(body.get(header..).unwrap_or_default()).map_while(Result::ok)
}

pub(super) fn u16_of(value: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(value.try_into().ok()?))
}

pub(super) fn u32_of(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.try_into().ok()?))
}

pub(super) fn ip_of(value: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        Some(IpAddr::from(octets))
    } else {
        Some(IpAddr::from(<[u8; 16]>::try_from(value).ok()?))
    }
}

/// `AF_INET` or `AF_INET6`.
pub(super) fn address_family(family: Family) -> u8 {
    let number = match family {
        Family::Ipv4 => libc::AF_INET,
        Family::Ipv6 => libc::AF_INET6,
    };
    u8::try_from(number).unwrap_or_default()
}

/// The reverse of [`address_family`].
pub(super) fn family_of(number: u8) -> Option<Family> {
    Family::ROUTED
        .into_iter()
        .find(|family| address_family(*family) == number)
}
