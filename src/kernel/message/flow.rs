//! Entries of the connection tracking table: `linux/netfilter/nfnetlink_conntrack.h`.
//!
//! The attributes that identify an entry are returned to the kernel as they came, so that no transport
//! protocol is interpreted here.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NlaBuffer};

use super::wire::{NESTED, address_family, append, append_nested, attributes, ip_of, request};
use crate::routing::Family;
use crate::routing::flows::FlowTuple;
use crate::routing::traffic::Marks;
use crate::units::{IpProtocol, Mark};

const CTNETLINK: u16 = 1 << 8;
pub(super) const NEW_FLOW: u16 = CTNETLINK;
const GET_FLOW: u16 = CTNETLINK | 1;
const DELETE_FLOW: u16 = CTNETLINK | 2;

/// `struct nfgenmsg`.
const HEADER: usize = 4;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_MARK: u16 = 8;
const CTA_MARK_MASK: u16 = 21;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_TIMESTAMP: u16 = 20;
const CTA_TIMESTAMP_START: u16 = 1;
const CTA_FILTER: u16 = 25;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
/// `CTA_FILTER_F_CTA_IP_DST` (`net/netfilter/nf_internals.h`).
const BY_DESTINATION: u32 = 1 << 1;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;
/// `IPS_SEEN_REPLY`.
const ANSWERED: u32 = 1 << 1;
/// `IPS_ASSURED` (`linux/netfilter/nf_conntrack_common.h`): packets went both ways, and for TCP the
/// connection stands.
const ASSURED: u32 = 1 << 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;

/// A flow whose replies come back to an address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kernel) struct FlowEntry {
    /// How it began.
    pub(in crate::kernel) tuple: FlowTuple,
    /// The destination of its replies.
    pub(in crate::kernel) answers_to: IpAddr,
    /// Packets went both ways.
    pub(in crate::kernel) is_established: bool,
    /// Its connection mark.
    pub(in crate::kernel) mark: Mark,
    /// A packet has come back.
    pub(in crate::kernel) is_answered: bool,
    /// When it began, in nanoseconds since 1970, where the kernel notes that (`nf_conntrack_timestamp`).
    pub(in crate::kernel) began: Option<u64>,
    /// The attributes that identify it.
    identity: Vec<u8>,
}

impl FlowEntry {
    /// Of UDP: the port that it was sent to.
    pub(in crate::kernel) fn udp_port(&self) -> Option<u16> {
        let is_udp = i32::from(self.tuple.protocol.0) == libc::IPPROTO_UDP;
        let (_, port) = self.tuple.ports.filter(|_| is_udp)?;
        Some(port)
    }
}

/// The request for the flows of the family of `address`; in IPv4 only those whose replies go to it,
/// unless the kernel is older than 5.8 and does not filter. The kernel's IPv6 filter is inverted, up to
/// 6.18 at least: `ctnetlink_filter_match_tuple` passes what differs.
pub(in crate::kernel) fn flows_answered_to(address: IpAddr, sequence: u32) -> Vec<u8> {
    let mut body = header(Family::of(address));
    if let IpAddr::V4(address) = address {
        append_nested(&mut body, CTA_TUPLE_REPLY, |tuple| {
            append_nested(tuple, CTA_TUPLE_IP, |ip| {
                append(ip, CTA_IP_V4_DST, &address.octets());
            });
        });
        append_nested(&mut body, CTA_FILTER, |filter| {
            append(filter, CTA_FILTER_ORIG_FLAGS, &0_u32.to_ne_bytes());
            append(
                filter,
                CTA_FILTER_REPLY_FLAGS,
                &BY_DESTINATION.to_ne_bytes(),
            );
        });
    }
    request((GET_FLOW, NLM_F_DUMP), &body, sequence)
}

/// The request to end a flow; acknowledged if it fails, or if `is_last`.
pub(in crate::kernel) fn end_of_flow(flow: &FlowEntry, is_last: bool, sequence: u32) -> Vec<u8> {
    let flags = if is_last { NLM_F_ACK } else { 0 };
    let mut body = header(Family::of(flow.answers_to));
    body.extend(&flow.identity);
    request((DELETE_FLOW, flags), &body, sequence)
}

/// The request for the flows of a family with one of these marks.
pub(in crate::kernel) fn flows_marked(family: Family, marks: Marks, sequence: u32) -> Vec<u8> {
    let mut body = header(family);
    append(&mut body, CTA_MARK, &marks.mark.0.to_be_bytes());
    append(&mut body, CTA_MARK_MASK, &marks.mask.0.to_be_bytes());
    request((GET_FLOW, NLM_F_DUMP), &body, sequence)
}

/// The request to clear these bits of the mark of a flow; acknowledged if it fails, or if `is_last`.
pub(in crate::kernel) fn forgotten_flow(
    (family, flow): (Family, &FlowEntry),
    bits: Mark,
    is_last: bool,
    sequence: u32,
) -> Vec<u8> {
    let flags = if is_last { NLM_F_ACK } else { 0 };
    let mut body = header(family);
    body.extend(&flow.identity);
    append(&mut body, CTA_MARK, &0_u32.to_be_bytes());
    append(&mut body, CTA_MARK_MASK, &bits.0.to_be_bytes());
    request((NEW_FLOW, flags), &body, sequence)
}

pub(super) fn flow(body: &[u8]) -> Option<FlowEntry> {
    let mut identity = Vec::new();
    let (mut tuple, mut answers_to) = (None, None);
    let (mut status, mut began) = (0, None);
    let mut mark = Mark(0);
    for attribute in attributes(body, HEADER) {
        match attribute.kind() {
            CTA_TUPLE_ORIG => {
                tuple = tuple_in(&attribute);
                keep(&mut identity, &attribute);
            }
            CTA_TUPLE_REPLY => answers_to = address_in(&attribute, [CTA_IP_V4_DST, CTA_IP_V6_DST]),
            CTA_STATUS => {
                let value = attribute.value().first_chunk().copied();
                status = u32::from_be_bytes(value.unwrap_or_default());
            }
            CTA_TIMESTAMP => began = start_in(&attribute),
            CTA_MARK => {
                let value = attribute.value().first_chunk().copied();
                mark = Mark(u32::from_be_bytes(value.unwrap_or_default()));
            }
            CTA_ID | CTA_ZONE => keep(&mut identity, &attribute),
            _ => {}
        }
    }
    Some(FlowEntry {
        tuple: tuple?,
        answers_to: answers_to?,
        is_established: status & ASSURED != 0,
        mark,
        is_answered: status & ANSWERED != 0,
        began,
        identity,
    })
}

fn start_in(times: &NlaBuffer<&[u8]>) -> Option<u64> {
    let mut times = attributes(times.value(), 0);
    let start = times.find(|attribute| attribute.kind() == CTA_TIMESTAMP_START)?;
    start.value().first_chunk().copied().map(u64::from_be_bytes)
}

fn tuple_in(tuple: &NlaBuffer<&[u8]>) -> Option<FlowTuple> {
    let of = |kind| move |attribute: &NlaBuffer<&[u8]>| attribute.kind() == kind;
    let transport = attributes(tuple.value(), 0).find(of(CTA_TUPLE_PROTO))?;
    let field = |kind| attributes(transport.value(), 0).find(of(kind));
    let port = |kind| {
        let port = field(kind)?.value().first_chunk().copied();
        port.map(u16::from_be_bytes)
    };
    Some(FlowTuple {
        source: address_in(tuple, [CTA_IP_V4_SRC, CTA_IP_V6_SRC])?,
        destination: address_in(tuple, [CTA_IP_V4_DST, CTA_IP_V6_DST])?,
        protocol: IpProtocol(*field(CTA_PROTO_NUM)?.value().first()?),
        ports: port(CTA_PROTO_SRC_PORT).zip(port(CTA_PROTO_DST_PORT)),
    })
}

fn keep(identity: &mut Vec<u8>, attribute: &NlaBuffer<&[u8]>) {
    let nested = if attribute.nested_flag() { NESTED } else { 0 };
    append(identity, attribute.kind() | nested, attribute.value());
}

fn address_in(tuple: &NlaBuffer<&[u8]>, kinds: [u16; 2]) -> Option<IpAddr> {
    let ip = attributes(tuple.value(), 0).find(|attribute| attribute.kind() == CTA_TUPLE_IP)?;
    let address = attributes(ip.value(), 0).find(|attribute| kinds.contains(&attribute.kind()))?;
    ip_of(address.value())
}

/// `struct nfgenmsg`: family, version, resource.
fn header(family: Family) -> Vec<u8> {
    vec![address_family(family), 0, 0, 0]
}
