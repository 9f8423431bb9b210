//! Nexthop objects: `linux/nexthop.h`, which the crates do not know.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE};

use super::entry::WriteMode;
use super::wire::{
    address_family, append, append_nested, attributes, family_of, ip_of, request, u16_of, u32_of,
};
use crate::routing::nexthop::{BUCKETS, IDLE, NextHop, UNEVEN};
use crate::routing::{Numbering, Path};
use crate::units::sorted::SortedMap;
use crate::units::{IfIndex, NextHopId, Protocol, Weight};

pub(super) const RTM_NEWNEXTHOP: u16 = 104;
pub(super) const RTM_DELNEXTHOP: u16 = 105;
const RTM_GETNEXTHOP: u16 = 106;
pub(super) const RTM_NEWNEXTHOPBUCKET: u16 = 116;
pub(super) const RTM_DELNEXTHOPBUCKET: u16 = 117;
const RTM_GETNEXTHOPBUCKET: u16 = 118;

/// `struct nhmsg`: family, scope, protocol, reserved, flags (4).
const HEADER: usize = 8;
const PROTOCOL: usize = 2;

const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
const NHA_GROUP_TYPE: u16 = 3;
const NHA_OIF: u16 = 5;
const NHA_GATEWAY: u16 = 6;
const NHA_RES_GROUP: u16 = 12;
const NHA_RES_GROUP_BUCKETS: u16 = 1;
const NHA_RES_GROUP_IDLE_TIMER: u16 = 2;
const NHA_RES_GROUP_UNBALANCED_TIMER: u16 = 3;
const NEXTHOP_GRP_TYPE_RES: u16 = 1;
const RTNH_F_ONLINK: u32 = 4;
/// `struct nexthop_grp`: number (4), weight - 1 (1), reserved (3).
const MEMBER: usize = 8;
/// The kernel's timers count hundredths of a second (`clock_t`).
const HUNDREDTHS: u32 = 100;

/// A nexthop object as the kernel lists it.
pub(in crate::kernel) struct NextHopEntry {
    pub(in crate::kernel) id: NextHopId,
    pub(in crate::kernel) protocol: Protocol,
    pub(in crate::kernel) hop: NextHop,
}

/// The request for all nexthop objects.
pub(in crate::kernel) fn all_next_hops(sequence: u32) -> Vec<u8> {
    request((RTM_GETNEXTHOP, NLM_F_DUMP), &[0; HEADER], sequence)
}

/// The request for the buckets of all resilient groups. A kernel without such groups refuses it.
pub(in crate::kernel) fn all_buckets(sequence: u32) -> Vec<u8> {
    request((RTM_GETNEXTHOPBUCKET, NLM_F_DUMP), &[0; HEADER], sequence)
}

/// The request to add a nexthop object; always acknowledged.
pub(in crate::kernel) fn next_hop(
    id: NextHopId,
    hop: &NextHop,
    mode: WriteMode,
    protocol: Protocol,
    sequence: u32,
) -> Vec<u8> {
    let flags = match mode {
        WriteMode::Create => NLM_F_CREATE | NLM_F_EXCL,
        WriteMode::Replace => NLM_F_REPLACE,
    };
    let mut body = vec![0; HEADER];
    body[PROTOCOL] = protocol.0;
    append(&mut body, NHA_ID, &id.0.to_ne_bytes());
    match hop {
        NextHop::Path { family, path } => {
            body[0] = address_family(*family);
            if path.onlink {
                body[4..HEADER].copy_from_slice(&RTNH_F_ONLINK.to_ne_bytes());
            }
            append(&mut body, NHA_OIF, &path.index.get().to_ne_bytes());
            match path.gateway {
                Some(IpAddr::V4(address)) => append(&mut body, NHA_GATEWAY, &address.octets()),
                Some(IpAddr::V6(address)) => append(&mut body, NHA_GATEWAY, &address.octets()),
                None => {}
            }
        }
        NextHop::Group(members) => resilient_group(&mut body, members),
        // Only observed, never written.
        NextHop::Odd => {}
    }
    request((RTM_NEWNEXTHOP, NLM_F_ACK | flags), &body, sequence)
}

fn resilient_group(body: &mut Vec<u8>, members: &SortedMap<NextHopId, Weight>) {
    let member = |(id, weight): (&NextHopId, &Weight)| {
        let [a, b, c, d] = id.0.to_ne_bytes();
        [a, b, c, d, weight.0.saturating_sub(1), 0, 0, 0]
    };
    let members: Vec<_> = members.iter().flat_map(member).collect();
    append(body, NHA_GROUP, &members);
    append(body, NHA_GROUP_TYPE, &NEXTHOP_GRP_TYPE_RES.to_ne_bytes());
    append_nested(body, NHA_RES_GROUP, |group| {
        append(group, NHA_RES_GROUP_BUCKETS, &BUCKETS.to_ne_bytes());
        for (kind, seconds) in [
            (NHA_RES_GROUP_IDLE_TIMER, IDLE),
            (NHA_RES_GROUP_UNBALANCED_TIMER, UNEVEN),
        ] {
            append(group, kind, &(seconds * HUNDREDTHS).to_ne_bytes());
        }
    });
}

/// The request to remove a nexthop object; always acknowledged.
pub(in crate::kernel) fn no_next_hop(id: NextHopId, sequence: u32) -> Vec<u8> {
    let mut body = vec![0; HEADER];
    append(&mut body, NHA_ID, &id.0.to_ne_bytes());
    request((RTM_DELNEXTHOP, NLM_F_ACK), &body, sequence)
}

/// Whether an object is ours or has one of our numbers; so may one that cannot be read.
pub(super) fn concerns(body: &[u8], numbering: &Numbering) -> bool {
    let mut attributes = attributes(body, HEADER);
    let id = attributes.find(|attribute| attribute.kind() == NHA_ID);
    let id = id.and_then(|id| u32_of(id.value())).map(NextHopId);
    owner(body).is_none_or(|owner| owner == numbering.protocol)
        || id.is_none_or(|id| numbering.has_object(id))
}

/// The protocol number of the nexthop object in a message.
fn owner(body: &[u8]) -> Option<Protocol> {
    body.get(PROTOCOL).copied().map(Protocol)
}

pub(super) fn entry(body: &[u8]) -> Option<NextHopEntry> {
    let family = family_of(*body.first()?);
    let flags = u32_of(body.get(4..HEADER)?)?;
    let (mut id, mut index, mut gateway) = (None, None, None);
    let (mut members, mut kind, mut buckets) = (None, 0, 0);
    let mut is_plain = true;
    for attribute in attributes(body, HEADER) {
        let value = attribute.value();
        match attribute.kind() {
            NHA_ID => id = Some(NextHopId(u32_of(value)?)),
            NHA_OIF => index = IfIndex::new(u32_of(value)?),
            NHA_GATEWAY => gateway = Some(ip_of(value)?),
            NHA_GROUP => members = Some(members_of(value)?),
            NHA_GROUP_TYPE => kind = u16_of(value)?,
            NHA_RES_GROUP => {
                let mut inside = attributes(value, 0);
                let found = inside.find(|one| one.kind() == NHA_RES_GROUP_BUCKETS);
                buckets = found.and_then(|one| u16_of(one.value())).unwrap_or(0);
            }
            _ => is_plain = false,
        }
    }
    let is_our_group = kind == NEXTHOP_GRP_TYPE_RES && buckets == BUCKETS;
    let hop = match (members, family, index) {
        (Some(members), _, _) if is_our_group => NextHop::Group(members),
        (None, Some(family), Some(index)) if is_plain => NextHop::Path {
            family,
            path: Path {
                index,
                gateway,
                onlink: flags & RTNH_F_ONLINK != 0,
                weight: Weight(1),
                options: None,
            },
        },
        (Some(_) | None, _, _) => NextHop::Odd,
    };
    Some(NextHopEntry {
        id: id?,
        protocol: owner(body)?,
        hop,
    })
}

fn members_of(value: &[u8]) -> Option<SortedMap<NextHopId, Weight>> {
    let members = value.chunks_exact(MEMBER).map(|member| {
        let (id, rest) = member.split_at(4);
        Some((NextHopId(u32_of(id)?), Weight(rest[0].saturating_add(1))))
    });
    members.collect()
}
