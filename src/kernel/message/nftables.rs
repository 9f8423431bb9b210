//! Changes to tables, chains, rules and sets of nf_tables: `linux/netfilter/nfnetlink.h` and `linux/netfilter/nf_tables.h`.

use netlink_packet_core::{NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE};

use crate::units::InterfaceName;

use super::wire::{append, append_nested, request};

const NFTABLES: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
pub(super) const NEW_TABLE: u16 = NFTABLES << 8;
const DELETE_TABLE: u16 = NFTABLES << 8 | 2;
pub(super) const NEW_CHAIN: u16 = NFTABLES << 8 | 3;
pub(super) const LIST_CHAINS: u16 = NFTABLES << 8 | 4;
pub(super) const NEW_RULE: u16 = NFTABLES << 8 | 6;
pub(super) const LIST_RULES: u16 = NFTABLES << 8 | 7;
pub(super) const DELETE_RULE: u16 = NFTABLES << 8 | 8;
pub(super) const NEW_FLOW_TABLE: u16 = NFTABLES << 8 | 0x16;
pub(super) const LIST_FLOW_TABLES: u16 = NFTABLES << 8 | 0x17;
const NEW_SET: u16 = NFTABLES << 8 | 9;
const NEW_ELEMENT: u16 = NFTABLES << 8 | 0xc;
const DELETE_ELEMENT: u16 = NFTABLES << 8 | 0xe;

/// `struct nfgenmsg`.
pub(super) const HEADER: usize = 4;
/// The table, in messages about tables, chains and rules alike.
pub(super) const TABLE_NAME: u16 = 1;
pub(super) const CHAIN_NAME: u16 = 3;
pub(super) const CHAIN_HOOK: u16 = 4;
pub(super) const CHAIN_TYPE: u16 = 7;
pub(super) const HOOK_NUMBER: u16 = 1;
pub(super) const HOOK_PRIORITY: u16 = 2;
pub(super) const RULE_CHAIN: u16 = 2;
pub(super) const RULE_EXPRESSIONS: u16 = 4;
pub(super) const RULE_USERDATA: u16 = 7;
/// A comment among the user data of a rule, as `nft` writes and shows it: type, length, text, 0.
pub(super) const COMMENT: u8 = 0;
const LIST_ELEMENT: u16 = 1;
pub(super) const EXPRESSION_NAME: u16 = 1;
pub(super) const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
pub(super) const FLOW_TABLE_NAME: u16 = 2;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LENGTH: u16 = 5;
const SET_ID: u16 = 10;
const SET_USERDATA: u16 = 13;
/// Among the user data of a set: the keys have the byte order of this machine. Without it `nft` shows an empty name.
const KEYS_OF_THIS_MACHINE: (u8, u32) = (0, 1);
/// `NFT_SET_TIMEOUT`: its elements may end by themselves.
const HAS_TIMEOUTS: u32 = 0x10;
/// The name of an interface, as `nft` shows keys of this kind.
const TYPE_INTERFACE_NAME: u32 = 41;
/// One set in a batch needs no other number.
const ONLY_SET: u32 = 1;
/// In messages about the elements of a set; its name has the place that it has in those about sets.
const ELEMENTS: u16 = 3;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_TIMEOUT: u16 = 4;
/// Where a verdict is put, and where steps put a value for each other.
const VERDICT_REGISTER: u32 = 0;
const REGISTER: u32 = 1;
pub(super) const META_MARK: u32 = 3;
const META_FAMILY: u32 = 15;
const META_PROTOCOL: u32 = 16;
const META_INPUT_NAME: u32 = 6;
const META_OUTPUT_NAME: u32 = 7;
const CT_DIRECTION: u32 = 1;
pub(super) const CT_MARK: u32 = 3;

/// The packets that a table of netfilter sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetfilterFamily {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl NetfilterFamily {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Inet, Self::Ipv4, Self::Ipv6];

    /// `NFPROTO_*` (`linux/netfilter.h`).
    pub(in crate::kernel) const fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ipv4 => 2,
            Self::Ipv6 => 10,
        }
    }
}

/// A table of netfilter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetfilterTable {
    /// Its packets.
    pub family: NetfilterFamily,
    /// Its name.
    pub name: &'static str,
}

/// A chain of netfilter, and where packets come to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetfilterChain {
    /// Its name.
    pub name: &'static str,
    /// Its type: `filter`, `route` or `nat`.
    pub kind: &'static str,
    /// When packets come to it.
    pub hook: PacketHook,
    /// Lower comes first among the chains of a hook.
    pub priority: i32,
}

/// When packets come to a chain (`NF_INET_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketHook {
    /// On arrival, before they are routed.
    PreRouting = 0,
    /// On the way out of this machine itself.
    Output = 3,
    /// On the way out, after they are routed.
    PostRouting = 4,
}

/// A step of a rule. Steps pass a value to each other; one that does not hold ends the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetfilterStep {
    /// Takes a field of the packet as the value.
    Load(PacketField),
    /// The value is this.
    Is(Vec<u8>),
    /// The value is anything else.
    IsNot(Vec<u8>),
    /// Keeps these bits of the value, and flips those.
    Bits {
        /// The bits that stay as they are.
        keep: u32,
        /// The bits that are flipped then.
        flip: u32,
    },
    /// Takes this as the value.
    Put(Vec<u8>),
    /// Writes the value to a mark.
    Store(MarkField),
    /// The value is an element of this set of the table.
    InSet(&'static str),
    /// The packet has passed this chain.
    Accept,
    /// The packet goes no further.
    Drop,
    /// Translates the source to the address of the interface by which the packet leaves.
    Masquerade,
    /// Translates the source to the value, an IPv4 address.
    SourceNat,
    /// Translates the destination to the value, an IPv4 address.
    DestinationNat,
}

/// What a step takes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketField {
    /// A mark.
    Mark(MarkField),
    /// Its direction in its connection, 0 as the first packet: one byte.
    Direction,
    /// The name of the interface by which it came in.
    InputName,
    /// The name of the interface by which it leaves.
    OutputName,
    /// Its family, `NFPROTO_*`: one byte.
    Family,
    /// The protocol that it carries, as IP numbers it: one byte.
    Protocol,
    /// Two bytes at this place of its IP header.
    Network(u32),
    /// Two bytes at this place of the header behind.
    Transport(u32),
}

/// The marks of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkField {
    /// Its own.
    Packet,
    /// That of its connection.
    Connection,
}

/// Changes to one or several tables that hold together: all or none.
#[derive(Clone, Debug)]
pub struct NetfilterBatch {
    pub(super) bytes: Vec<u8>,
    sequence: u32,
}

impl Default for NetfilterBatch {
    fn default() -> Self {
        let mut batch = Self {
            bytes: Vec::new(),
            sequence: 0,
        };
        batch.edge(BATCH_BEGIN);
        batch
    }
}

impl NetfilterBatch {
    /// Makes a table, unless it is there.
    pub fn add_table(&mut self, table: NetfilterTable) {
        let kind = (NEW_TABLE, NLM_F_ACK | NLM_F_CREATE);
        self.message(kind, table, |_| ());
    }

    /// Removes a table with all that it holds.
    pub fn delete_table(&mut self, table: NetfilterTable) {
        self.message((DELETE_TABLE, NLM_F_ACK), table, |_| ());
    }

    /// Makes a chain of a table.
    pub fn add_chain(&mut self, table: NetfilterTable, chain: &NetfilterChain) {
        let kind = (NEW_CHAIN, NLM_F_ACK | NLM_F_CREATE);
        self.message(kind, table, |message| {
            append_text(message, CHAIN_NAME, chain.name);
            append_nested(message, CHAIN_HOOK, |hook| {
                append_number(hook, HOOK_NUMBER, chain.hook as u32);
                append_number(hook, HOOK_PRIORITY, chain.priority.cast_unsigned());
            });
            append_text(message, CHAIN_TYPE, chain.kind);
        });
    }

    /// Adds a rule at the end of a chain.
    pub fn add_rule(
        &mut self,
        table: NetfilterTable,
        chain: &NetfilterChain,
        comment: &str,
        steps: &[NetfilterStep],
    ) {
        let kind = (NEW_RULE, NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND);
        self.message(kind, table, |message| {
            append_text(message, RULE_CHAIN, chain.name);
            append_nested(message, RULE_EXPRESSIONS, |list| {
                for step in steps {
                    step.append_to(list);
                }
            });
            append(message, RULE_USERDATA, &user_data(comment));
        });
    }

    /// Makes a set of names of interfaces that may end by themselves.
    pub fn add_interface_set(&mut self, table: NetfilterTable, name: &str) {
        let kind = (NEW_SET, NLM_F_ACK | NLM_F_CREATE);
        self.message(kind, table, |message| {
            append_text(message, SET_NAME, name);
            append_number(message, SET_FLAGS, HAS_TIMEOUTS);
            append_number(message, SET_KEY_TYPE, TYPE_INTERFACE_NAME);
            append_number(message, SET_KEY_LENGTH, INTERFACE_NAME);
            append_number(message, SET_ID, ONLY_SET);
            let (what, order) = KEYS_OF_THIS_MACHINE;
            let order = [&[what, 4][..], &order.to_ne_bytes()].concat();
            append(message, SET_USERDATA, &order);
        });
    }

    /// Adds an interface to such a set, for so many milliseconds.
    pub fn add_interface(
        &mut self,
        table: NetfilterTable,
        set: &str,
        interface: &InterfaceName,
        lasts: u64,
    ) {
        let kind = (NEW_ELEMENT, NLM_F_ACK | NLM_F_CREATE);
        self.message(kind, table, |message| {
            append_text(message, SET_NAME, set);
            append_nested(message, ELEMENTS, |list| {
                append_nested(list, LIST_ELEMENT, |element| {
                    append_value(element, ELEMENT_KEY, &interface_name(interface));
                    append(element, ELEMENT_TIMEOUT, &lasts.to_be_bytes());
                });
            });
        });
    }

    /// Takes an interface out of such a set, where it still is.
    pub fn remove_interface(
        &mut self,
        table: NetfilterTable,
        set: &str,
        interface: &InterfaceName,
    ) {
        self.message((DELETE_ELEMENT, NLM_F_ACK), table, |message| {
            append_text(message, SET_NAME, set);
            append_nested(message, ELEMENTS, |list| {
                append_nested(list, LIST_ELEMENT, |element| {
                    append_value(element, ELEMENT_KEY, &interface_name(interface));
                });
            });
        });
    }

    /// What is sent for these changes to be made.
    pub(in crate::kernel) fn to_commit(&self) -> Vec<u8> {
        let mut whole = self.clone();
        whole.edge(BATCH_END);
        whole.bytes
    }

    /// What is sent to see whether they could be made: the kernel undoes a batch that does not end.
    pub(in crate::kernel) fn to_try(&self) -> &[u8] {
        &self.bytes
    }

    fn edge(&mut self, kind: u16) {
        let [high, low] = NFTABLES.to_be_bytes();
        self.sequence += 1;
        let edge = request((kind, 0), &[0, 0, high, low], self.sequence);
        self.bytes.extend(edge);
    }

    fn message(
        &mut self,
        kind: (u16, u16),
        table: NetfilterTable,
        content: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut body = header(table.family);
        append_text(&mut body, TABLE_NAME, table.name);
        content(&mut body);
        self.sequence += 1;
        self.bytes.extend(request(kind, &body, self.sequence));
    }
}

impl NetfilterStep {
    fn append_to(&self, list: &mut Vec<u8>) {
        match self {
            Self::Load(field) => field.append_to(list, 1),
            Self::Store(mark) => PacketField::Mark(*mark).append_to(list, mark.source_register()),
            Self::Is(value) => compare(list, 0, value),
            Self::IsNot(value) => compare(list, 1, value),
            Self::Bits { keep, flip } => expression(list, "bitwise", |bitwise| {
                append_number(bitwise, 1, REGISTER);
                append_number(bitwise, 2, REGISTER);
                append_number(bitwise, 3, 4);
                append_value(bitwise, 4, &keep.to_ne_bytes());
                append_value(bitwise, 5, &flip.to_ne_bytes());
            }),
            Self::Put(value) => expression(list, "immediate", |immediate| {
                append_number(immediate, 1, REGISTER);
                append_value(immediate, 2, value);
            }),
            Self::InSet(set) => expression(list, "lookup", |lookup| {
                append_text(lookup, 1, set);
                append_number(lookup, 2, REGISTER);
            }),
            Self::Accept => decide(list, NF_ACCEPT),
            Self::Drop => decide(list, NF_DROP),
            Self::Masquerade => expression(list, "masq", |_| ()),
            Self::SourceNat => translate(list, 0),
            Self::DestinationNat => translate(list, 1),
        }
    }
}

/// `kind`: `NFT_NAT_SNAT` or `NFT_NAT_DNAT`.
fn translate(list: &mut Vec<u8>, kind: u32) {
    expression(list, "nat", |nat| {
        append_number(nat, 1, kind);
        append_number(nat, 2, u32::from(NetfilterFamily::Ipv4.number()));
        append_number(nat, 3, REGISTER);
    });
}

impl MarkField {
    /// The attribute of the register from which it is written.
    fn source_register(self) -> u16 {
        match self {
            Self::Packet => 3,
            Self::Connection => 4,
        }
    }
}

impl PacketField {
    /// `register`: the attribute that names the register, by which the kernel knows whether to read or to write.
    fn append_to(self, list: &mut Vec<u8>, register: u16) {
        let (name, key) = match self {
            Self::Mark(MarkField::Packet) => ("meta", META_MARK),
            Self::Mark(MarkField::Connection) => ("ct", CT_MARK),
            Self::Direction => ("ct", CT_DIRECTION),
            Self::InputName => ("meta", META_INPUT_NAME),
            Self::OutputName => ("meta", META_OUTPUT_NAME),
            Self::Family => ("meta", META_FAMILY),
            Self::Protocol => ("meta", META_PROTOCOL),
            Self::Network(offset) => return header_field(list, NETWORK_HEADER, offset),
            Self::Transport(offset) => return header_field(list, TRANSPORT_HEADER, offset),
        };
        expression(list, name, |field| {
            append_number(field, register, REGISTER);
            append_number(field, 2, key);
        });
    }
}

/// `NFT_PAYLOAD_*_HEADER`.
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

fn header_field(list: &mut Vec<u8>, header: u32, offset: u32) {
    expression(list, "payload", |payload| {
        append_number(payload, 1, REGISTER);
        append_number(payload, 2, header);
        append_number(payload, 3, offset);
        append_number(payload, 4, 2);
    });
}

/// Ends the way of a packet through a chain.
fn decide(list: &mut Vec<u8>, code: u32) {
    expression(list, "immediate", |immediate| {
        append_number(immediate, 1, VERDICT_REGISTER);
        append_nested(immediate, 2, |data| {
            append_nested(data, DATA_VERDICT, |verdict| {
                append_number(verdict, VERDICT_CODE, code);
            });
        });
    });
}

fn compare(list: &mut Vec<u8>, operation: u32, value: &[u8]) {
    expression(list, "cmp", |cmp| {
        append_number(cmp, 1, REGISTER);
        append_number(cmp, 2, operation);
        append_value(cmp, 3, value);
    });
}

fn expression(list: &mut Vec<u8>, name: &str, data: impl FnOnce(&mut Vec<u8>)) {
    append_nested(list, LIST_ELEMENT, |expression| {
        append_text(expression, EXPRESSION_NAME, name);
        append_nested(expression, EXPRESSION_DATA, data);
    });
}

fn append_value(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    append_nested(bytes, kind, |data| append(data, DATA_VALUE, value));
}

pub(super) fn append_text(bytes: &mut Vec<u8>, kind: u16, text: &str) {
    append(bytes, kind, &[text.as_bytes(), b"\0"].concat());
}

/// The bytes of an interface's name in a key.
const INTERFACE_NAME: u32 = 16;

/// An interface's name as keys and comparisons have it.
pub(in crate::kernel) fn interface_name(interface: &InterfaceName) -> Vec<u8> {
    let mut name = interface.as_str().as_bytes().to_vec();
    name.resize(INTERFACE_NAME as usize, 0);
    name
}

fn append_number(bytes: &mut Vec<u8>, kind: u16, number: u32) {
    append(bytes, kind, &number.to_be_bytes());
}

pub(super) fn user_data(comment: &str) -> Vec<u8> {
    let length = u8::try_from(comment.len() + 1).unwrap_or(u8::MAX);
    let mut data = vec![COMMENT, length];
    data.extend(comment.bytes().take(usize::from(length) - 1));
    data.push(0);
    data
}

/// `struct nfgenmsg`: family, version, resource.
pub(super) fn header(family: NetfilterFamily) -> Vec<u8> {
    vec![family.number(), 0, 0, 0]
}
