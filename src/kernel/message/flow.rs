//! Entries of the connection tracking table: `linux/netfilter/nfnetlink_conntrack.h`.
//!
//! The attributes by which the kernel finds an entry again are handed back as they came, so that no
//! protocol needs to be understood here.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NlaBuffer, NlasIterator};

use crate::routing::Family;
use crate::routing::traffic::Flow;
use crate::units::IpProtocol;

const CTNETLINK: u16 = 1 << 8;
pub(super) const NEW_FLOW: u16 = CTNETLINK;
const GET_FLOW: u16 = CTNETLINK | 1;
const DELETE_FLOW: u16 = CTNETLINK | 2;

/// `struct nfgenmsg`.
const HEADER: usize = 4;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
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
/// `IPS_ASSURED` (`linux/netfilter/nf_conntrack_common.h`): packets went both ways, and for TCP the
/// connection stands.
const ASSURED: u32 = 1 << 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;

/// A flow whose answers come back to an address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kernel) struct FlowEntry {
    /// Who began it.
    pub(in crate::kernel) origin: IpAddr,
    /// Where its answers go to.
    pub(in crate::kernel) answers_to: IpAddr,
    /// How its packets are before they are translated, if it is established and its protocol has ports.
    pub(in crate::kernel) established: Option<Flow>,
    /// What the kernel knows it by.
    identity: Vec<u8>,
}

/// The request for the flows of the family of `address`; in IPv4 only those whose answers go to it,
/// unless the kernel is older than 5.8 and does not filter. In IPv6 the kernel's filter is upside
/// down up to 6.18 at least: `ctnetlink_filter_match_tuple` passes what differs.
pub(in crate::kernel) fn flows_answered_to(address: IpAddr, sequence: u32) -> Vec<u8> {
    let mut request = ConntrackRequest::new(GET_FLOW, NLM_F_DUMP, Family::of(address), sequence);
    if let IpAddr::V4(address) = address {
        request.nest(CTA_TUPLE_REPLY, |tuple| {
            tuple.nest(CTA_TUPLE_IP, |ip| {
                ip.attribute(CTA_IP_V4_DST, &address.octets());
            });
        });
        request.nest(CTA_FILTER, |filter| {
            filter.attribute(CTA_FILTER_ORIG_FLAGS, &0_u32.to_ne_bytes());
            filter.attribute(CTA_FILTER_REPLY_FLAGS, &BY_DESTINATION.to_ne_bytes());
        });
    }
    request.finish()
}

/// The request to end a flow; it is answered if it fails, or if `is_last`.
pub(in crate::kernel) fn end_of_flow(flow: &FlowEntry, is_last: bool, sequence: u32) -> Vec<u8> {
    let flags = if is_last { NLM_F_ACK } else { 0 };
    let family = Family::of(flow.answers_to);
    let mut request = ConntrackRequest::new(DELETE_FLOW, flags, family, sequence);
    request.bytes.extend(&flow.identity);
    request.finish()
}

pub(super) fn flow(body: &[u8]) -> Option<FlowEntry> {
    let mut identity = Vec::new();
    let (mut origin, mut answers_to) = (None, None);
    let (mut flow, mut is_assured) = (None, false);
    for attribute in super::attributes(body, HEADER) {
        match attribute.kind() {
            CTA_TUPLE_ORIG => {
                origin = address_in(&attribute, [CTA_IP_V4_SRC, CTA_IP_V6_SRC]);
                flow = flow_in(&attribute);
                keep(&mut identity, &attribute);
            }
            CTA_TUPLE_REPLY => answers_to = address_in(&attribute, [CTA_IP_V4_DST, CTA_IP_V6_DST]),
            CTA_STATUS => {
                let status = attribute.value().first_chunk().copied();
                is_assured = u32::from_be_bytes(status.unwrap_or_default()) & ASSURED != 0;
            }
            CTA_ID | CTA_ZONE => keep(&mut identity, &attribute),
            _ => {}
        }
    }
    Some(FlowEntry {
        origin: origin?,
        answers_to: answers_to?,
        established: flow.filter(|_| is_assured),
        identity,
    })
}

fn keep(identity: &mut Vec<u8>, attribute: &NlaBuffer<&[u8]>) {
    let nested = if attribute.nested_flag() { NESTED } else { 0 };
    append(identity, attribute.kind() | nested, attribute.value());
}

/// The flow of a tuple, if its protocol has ports.
fn flow_in(tuple: &NlaBuffer<&[u8]>) -> Option<Flow> {
    let (mut number, mut sport, mut dport) = (None, None, None);
    let protocol = inside(tuple.value()).find(|attribute| attribute.kind() == CTA_TUPLE_PROTO)?;
    for attribute in inside(protocol.value()) {
        let port = attribute.value().first_chunk();
        let port = port.map(|port| u16::from_be_bytes(*port));
        match attribute.kind() {
            CTA_PROTO_NUM => number = attribute.value().first().copied(),
            CTA_PROTO_SRC_PORT => sport = port,
            CTA_PROTO_DST_PORT => dport = port,
            _ => {}
        }
    }
    Some(Flow {
        from: address_in(tuple, [CTA_IP_V4_SRC, CTA_IP_V6_SRC])?,
        to: address_in(tuple, [CTA_IP_V4_DST, CTA_IP_V6_DST])?,
        protocol: IpProtocol(number?),
        sport: sport?,
        dport: dport?,
    })
}

fn inside(bytes: &[u8]) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(bytes).map_while(Result::ok)
}

fn address_in(tuple: &NlaBuffer<&[u8]>, kinds: [u16; 2]) -> Option<IpAddr> {
    let ip = inside(tuple.value()).find(|attribute| attribute.kind() == CTA_TUPLE_IP)?;
    let address = inside(ip.value()).find(|attribute| kinds.contains(&attribute.kind()))?;
    super::parse::ip_of(address.value())
}

pub(super) const NESTED: u16 = 1 << 15;

pub(super) fn append(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// A request to connection tracking while it is put together.
struct ConntrackRequest {
    bytes: Vec<u8>,
}

impl ConntrackRequest {
    fn new(kind: u16, flags: u16, family: Family, sequence: u32) -> Self {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend([0; 4]);
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        let family = match family {
            Family::Ipv4 => libc::AF_INET,
            Family::Ipv6 => libc::AF_INET6,
        };
        bytes.push(u8::try_from(family).unwrap_or_default());
        bytes.extend([0; 3]);
        Self { bytes }
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        append(&mut self.bytes, kind, value);
    }

    fn nest(&mut self, kind: u16, content: impl FnOnce(&mut Self)) {
        let mut inside = Self { bytes: Vec::new() };
        content(&mut inside);
        append(&mut self.bytes, kind | NESTED, &inside.bytes);
    }

    fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes
    }
}
