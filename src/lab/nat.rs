//! Source NAT, as providers and many routers have it: nftables objects written by hand over nfnetlink.
//! In IPv6 it is rare; here it lets the client's stream go on through another provider, as in IPv4.
//!
//! Formats: `linux/netfilter/nfnetlink.h` and `linux/netfilter/nf_tables.h`.

use std::io;
use std::net::Ipv4Addr;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use serde::Deserialize;

/// How the router translates the client's address.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nat {
    /// To whatever address the uplink has: the kernel drops what changes its way.
    Masquerade,
    /// To a fixed address for each uplink: the kernel knows no better than to keep it.
    Fixed,
}

const TABLE: &str = "lab";
const CHAIN: &str = "postrouting";

/// Masquerades all connections that are opened through this thread's namespace. No host behind the
/// node is a server, so that the direction needs no match.
pub(super) fn masquerade() -> io::Result<()> {
    [libc::AF_INET, libc::AF_INET6]
        .into_iter()
        .try_for_each(masquerade_family)
}

fn masquerade_family(family: i32) -> io::Result<()> {
    submit(&batch(
        family,
        &[&|list| {
            list.expression("masq", |_| ());
        }],
    ))
}

/// Translates the source of all IPv4 connections that leave by an interface to one address for good,
/// as routers with static addresses do.
pub(super) fn translate(exits: &[(&str, Ipv4Addr)]) -> io::Result<()> {
    let rules: Vec<_> = exits
        .iter()
        .map(|(interface, address)| fixed(interface, *address))
        .collect();
    let rules: Vec<&dyn Fn(&mut NftAttributes<'_>)> = rules.iter().map(|rule| rule as _).collect();
    submit(&batch(libc::AF_INET, &rules))
}

fn fixed(interface: &str, address: Ipv4Addr) -> impl Fn(&mut NftAttributes<'_>) {
    let mut name = [0; libc::IFNAMSIZ];
    name[..interface.len()].copy_from_slice(interface.as_bytes());
    move |list| {
        list.expression("meta", |meta| {
            meta.number(attribute::META_REGISTER, REGISTER);
            meta.number(attribute::META_KEY, attribute::META_OUT_INTERFACE);
        });
        list.expression("cmp", |cmp| {
            cmp.number(attribute::CMP_REGISTER, REGISTER);
            cmp.number(attribute::CMP_OPERATION, attribute::CMP_EQUAL);
            cmp.nest(attribute::CMP_DATA, |data| {
                data.octets(attribute::DATA_VALUE, &name);
            });
        });
        list.expression("immediate", |immediate| {
            immediate.number(attribute::IMMEDIATE_REGISTER, REGISTER);
            immediate.nest(attribute::IMMEDIATE_DATA, |data| {
                data.octets(attribute::DATA_VALUE, &address.octets());
            });
        });
        list.expression("nat", |nat| {
            nat.number(attribute::NAT_TYPE, attribute::NAT_SOURCE);
            nat.number(attribute::NAT_FAMILY, libc::AF_INET.unsigned_abs());
            nat.number(attribute::NAT_LEAST_ADDRESS, REGISTER);
        });
    }
}

fn submit(batch: &NftBatch) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&batch.bytes, 0)?;
    for _ in 0..batch.wants_answers {
        let (answer, _) = socket.recv_from_full()?;
        check(&answer)?;
    }
    Ok(())
}

fn batch(family: i32, rules: &[&dyn Fn(&mut NftAttributes<'_>)]) -> NftBatch {
    let mut batch = NftBatch {
        family,
        ..NftBatch::default()
    };
    batch.edge(message::BATCH_BEGIN);
    batch.create(message::NEW_TABLE, |m| m.text(attribute::TABLE_NAME, TABLE));
    batch.create(message::NEW_CHAIN, |m| {
        m.text(attribute::CHAIN_TABLE, TABLE);
        m.text(attribute::CHAIN_NAME, CHAIN);
        m.nest(attribute::CHAIN_HOOK, |hook| {
            hook.number(attribute::HOOK_NUMBER, hook::POST_ROUTING);
            hook.number(attribute::HOOK_PRIORITY, hook::PRIORITY_NAT_SOURCE);
        });
        m.text(attribute::CHAIN_TYPE, "nat");
    });
    for rule in rules {
        batch.create(message::NEW_RULE, |m| {
            m.text(attribute::RULE_TABLE, TABLE);
            m.text(attribute::RULE_CHAIN, CHAIN);
            m.nest(attribute::RULE_EXPRESSIONS, rule);
        });
    }
    batch.edge(message::BATCH_END);
    batch
}

/// The answer to a request is an `nlmsgerr`: after the header of 16 bytes a negative errno, or 0.
fn check(answer: &[u8]) -> io::Result<()> {
    let code = answer.get(16..20).and_then(|bytes| bytes.try_into().ok());
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

mod message {
    const NFTABLES: u16 = 10 << 8;
    pub(super) const BATCH_BEGIN: u16 = 0x10;
    pub(super) const BATCH_END: u16 = 0x11;
    pub(super) const NEW_TABLE: u16 = NFTABLES;
    pub(super) const NEW_CHAIN: u16 = NFTABLES | 3;
    pub(super) const NEW_RULE: u16 = NFTABLES | 6;
}

mod attribute {
    pub(super) const TABLE_NAME: u16 = 1;
    pub(super) const CHAIN_TABLE: u16 = 1;
    pub(super) const CHAIN_NAME: u16 = 3;
    pub(super) const CHAIN_HOOK: u16 = 4;
    pub(super) const CHAIN_TYPE: u16 = 7;
    pub(super) const HOOK_NUMBER: u16 = 1;
    pub(super) const HOOK_PRIORITY: u16 = 2;
    pub(super) const RULE_TABLE: u16 = 1;
    pub(super) const RULE_CHAIN: u16 = 2;
    pub(super) const RULE_EXPRESSIONS: u16 = 4;
    pub(super) const LIST_ELEMENT: u16 = 1;
    pub(super) const EXPRESSION_NAME: u16 = 1;
    pub(super) const EXPRESSION_DATA: u16 = 2;
    pub(super) const DATA_VALUE: u16 = 1;
    pub(super) const META_REGISTER: u16 = 1;
    pub(super) const META_KEY: u16 = 2;
    pub(super) const META_OUT_INTERFACE: u32 = 7;
    pub(super) const CMP_REGISTER: u16 = 1;
    pub(super) const CMP_OPERATION: u16 = 2;
    pub(super) const CMP_EQUAL: u32 = 0;
    pub(super) const CMP_DATA: u16 = 3;
    pub(super) const IMMEDIATE_REGISTER: u16 = 1;
    pub(super) const IMMEDIATE_DATA: u16 = 2;
    pub(super) const NAT_TYPE: u16 = 1;
    pub(super) const NAT_SOURCE: u32 = 0;
    pub(super) const NAT_FAMILY: u16 = 2;
    pub(super) const NAT_LEAST_ADDRESS: u16 = 3;
}

/// `NFT_REG_1`
const REGISTER: u32 = 1;

mod hook {
    pub(super) const POST_ROUTING: u32 = 4;
    pub(super) const PRIORITY_NAT_SOURCE: u32 = 100;
}

/// Netlink messages that hold together: all or none.
#[derive(Default)]
struct NftBatch {
    family: i32,
    bytes: Vec<u8>,
    sequence: u32,
    wants_answers: u32,
}

impl NftBatch {
    /// The first and the last message of a batch.
    fn edge(&mut self, kind: u16) {
        const SUBSYSTEM_NFTABLES: u16 = 10;
        let flags = libc::NLM_F_REQUEST;
        self.message(kind, flags, libc::AF_UNSPEC, SUBSYSTEM_NFTABLES, |_| ());
    }

    fn create(&mut self, kind: u16, content: impl FnOnce(&mut NftAttributes<'_>)) {
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE;
        self.message(kind, flags, self.family, 0, content);
        self.wants_answers += 1;
    }

    fn message(
        &mut self,
        kind: u16,
        flags: i32,
        family: i32,
        resource: u16,
        content: impl FnOnce(&mut NftAttributes<'_>),
    ) {
        let start = self.bytes.len();
        self.sequence += 1;
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(low_u16(flags).to_ne_bytes());
        self.bytes.extend(self.sequence.to_ne_bytes());
        self.bytes.extend([0; 4]);
        let [family, version] = [family, libc::NFNETLINK_V0].map(|c| c.to_le_bytes()[0]);
        self.bytes.extend([family, version]);
        self.bytes.extend(resource.to_be_bytes());
        content(&mut NftAttributes(&mut self.bytes));
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }
}

struct NftAttributes<'b>(&'b mut Vec<u8>);

impl NftAttributes<'_> {
    /// A step of a rule.
    fn expression(&mut self, name: &str, data: impl FnOnce(&mut NftAttributes<'_>)) {
        self.nest(attribute::LIST_ELEMENT, |expression| {
            expression.text(attribute::EXPRESSION_NAME, name);
            expression.nest(attribute::EXPRESSION_DATA, data);
        });
    }

    fn octets(&mut self, kind: u16, octets: &[u8]) {
        self.raw(kind, |bytes| bytes.extend(octets));
    }

    fn text(&mut self, kind: u16, text: &str) {
        self.raw(kind, |bytes| {
            bytes.extend(text.as_bytes());
            bytes.push(0);
        });
    }

    fn number(&mut self, kind: u16, number: u32) {
        self.raw(kind, |bytes| bytes.extend(number.to_be_bytes()));
    }

    fn nest(&mut self, kind: u16, content: impl FnOnce(&mut NftAttributes<'_>)) {
        let nested = kind | low_u16(libc::NLA_F_NESTED);
        self.raw(nested, |bytes| content(&mut NftAttributes(bytes)));
    }

    fn raw(&mut self, kind: u16, content: impl FnOnce(&mut Vec<u8>)) {
        let start = self.0.len();
        self.0.extend([0; 2]);
        self.0.extend(kind.to_ne_bytes());
        content(self.0);
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        let padded = self.0.len().next_multiple_of(4);
        self.0.resize(padded, 0);
    }
}

/// The kernel's constants come as `int` and fit their 16-bit fields.
fn low_u16(constant: i32) -> u16 {
    let [low, high, ..] = constant.to_le_bytes();
    u16::from_le_bytes([low, high])
}
