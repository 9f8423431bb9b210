//! Tables, chains and rules of nf_tables: `linux/netfilter/nfnetlink.h` and `linux/netfilter/nf_tables.h`.

use netlink_packet_core::{NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP};

use super::wire::{append, append_nested, attributes, messages, request};

const NFTABLES: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = NFTABLES << 8;
const DELETE_TABLE: u16 = NFTABLES << 8 | 2;
pub(super) const NEW_CHAIN: u16 = NFTABLES << 8 | 3;
const LIST_CHAINS: u16 = NFTABLES << 8 | 4;
pub(super) const NEW_RULE: u16 = NFTABLES << 8 | 6;
const LIST_RULES: u16 = NFTABLES << 8 | 7;
const DELETE_RULE: u16 = NFTABLES << 8 | 8;

/// `struct nfgenmsg`.
const HEADER: usize = 4;
/// The table, in messages about tables, chains and rules alike.
const TABLE_NAME: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USERDATA: u16 = 7;
/// A comment among the user data of a rule, as `nft` writes and shows it: type, length, text, 0.
const COMMENT: u8 = 0;
const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
/// Where a verdict is put, and where steps put a value for each other.
const VERDICT_REGISTER: u32 = 0;
const REGISTER: u32 = 1;
const META_MARK: u32 = 3;
const META_INPUT_NAME: u32 = 6;
const META_OUTPUT_NAME: u32 = 7;
const CT_MARK: u32 = 3;
/// `NFT_PAYLOAD_TRANSPORT_HEADER`: a port is two bytes from its second.
const TRANSPORT_HEADER: u32 = 2;

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
    /// `NFPROTO_*` (`linux/netfilter.h`).
    fn number(self) -> u8 {
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
    /// The name of the interface by which it came in.
    InputName,
    /// The name of the interface by which it leaves.
    OutputName,
    /// The port that it goes to.
    DestinationPort,
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
    bytes: Vec<u8>,
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
            Self::InputName => ("meta", META_INPUT_NAME),
            Self::OutputName => ("meta", META_OUTPUT_NAME),
            Self::DestinationPort => ("payload", TRANSPORT_HEADER),
        };
        expression(list, name, |field| {
            append_number(field, register, REGISTER);
            append_number(field, 2, key);
            if self == Self::DestinationPort {
                append_number(field, 3, 2);
                append_number(field, 4, 2);
            }
        });
    }
}

fn compare(list: &mut Vec<u8>, operation: u32, value: &[u8]) {
    expression(list, "cmp", |cmp| {
        append_number(cmp, 1, REGISTER);
        append_number(cmp, 2, operation);
        append_value(cmp, 3, value);
    });
}

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

fn expression(list: &mut Vec<u8>, name: &str, data: impl FnOnce(&mut Vec<u8>)) {
    append_nested(list, LIST_ELEMENT, |expression| {
        append_text(expression, EXPRESSION_NAME, name);
        append_nested(expression, EXPRESSION_DATA, data);
    });
}

fn append_value(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    append_nested(bytes, kind, |data| append(data, DATA_VALUE, value));
}

fn append_text(bytes: &mut Vec<u8>, kind: u16, text: &str) {
    append(bytes, kind, &[text.as_bytes(), b"\0"].concat());
}

fn append_number(bytes: &mut Vec<u8>, kind: u16, number: u32) {
    append(bytes, kind, &number.to_be_bytes());
}

fn user_data(comment: &str) -> Vec<u8> {
    let length = u8::try_from(comment.len() + 1).unwrap_or(u8::MAX);
    let mut data = vec![COMMENT, length];
    data.extend(comment.bytes().take(usize::from(length) - 1));
    data.push(0);
    data
}

/// A chain as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kernel) struct ChainEntry {
    pub(in crate::kernel) table: String,
    pub(in crate::kernel) name: String,
    /// None of a chain to which only other chains lead.
    pub(in crate::kernel) kind: Option<String>,
    pub(in crate::kernel) hook: Option<(u32, i32)>,
}

/// A rule as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kernel) struct CommentedRule {
    pub(in crate::kernel) table: String,
    pub(in crate::kernel) chain: String,
    pub(in crate::kernel) comment: String,
}

/// The request for all chains of a family.
pub(in crate::kernel) fn all_chains(family: NetfilterFamily, sequence: u32) -> Vec<u8> {
    request((LIST_CHAINS, NLM_F_DUMP), &header(family), sequence)
}

/// The request for all rules of a family.
pub(in crate::kernel) fn every_rule(family: NetfilterFamily, sequence: u32) -> Vec<u8> {
    request((LIST_RULES, NLM_F_DUMP), &header(family), sequence)
}

/// The request for the rules of a table.
pub(in crate::kernel) fn all_rules(table: NetfilterTable, sequence: u32) -> Vec<u8> {
    let mut body = header(table.family);
    append_text(&mut body, TABLE_NAME, table.name);
    request((LIST_RULES, NLM_F_DUMP), &body, sequence)
}

pub(super) fn chain(body: &[u8]) -> Option<ChainEntry> {
    let (mut table, mut name, mut kind, mut hook) = (None, None, None, None);
    for attribute in attributes(body, HEADER) {
        match attribute.kind() {
            TABLE_NAME => table = text_of(attribute.value()),
            CHAIN_NAME => name = text_of(attribute.value()),
            CHAIN_TYPE => kind = text_of(attribute.value()),
            CHAIN_HOOK => hook = hook_of(attribute.value()),
            _ => {}
        }
    }
    Some(ChainEntry {
        table: table?,
        name: name?,
        kind,
        hook,
    })
}

fn hook_of(value: &[u8]) -> Option<(u32, i32)> {
    let number = |wanted| {
        let attribute = attributes(value, 0).find(|one| one.kind() == wanted)?;
        Some(u32::from_be_bytes(*attribute.value().first_chunk()?))
    };
    Some((number(HOOK_NUMBER)?, number(HOOK_PRIORITY)?.cast_signed()))
}

pub(super) fn rule(body: &[u8]) -> Option<CommentedRule> {
    let (mut table, mut chain, mut comment) = (None, None, String::new());
    for attribute in attributes(body, HEADER) {
        match attribute.kind() {
            TABLE_NAME => table = text_of(attribute.value()),
            RULE_CHAIN => chain = text_of(attribute.value()),
            RULE_USERDATA => comment = comment_in(attribute.value()).unwrap_or_default(),
            _ => {}
        }
    }
    Some(CommentedRule {
        table: table?,
        chain: chain?,
        comment,
    })
}

fn comment_in(mut data: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = data {
        let (value, others) = rest.split_at_checked(usize::from(*length))?;
        if *kind == COMMENT {
            return text_of(value);
        }
        data = others;
    }
    None
}

fn text_of(value: &[u8]) -> Option<String> {
    let text = value.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Whether an event is about a table of this name and not by our own doing. One that cannot be read may be.
pub(in crate::kernel) fn concerns_table(datagram: &[u8], name: &str, own_port: u32) -> bool {
    let mut seen = messages(datagram).peekable();
    let is_unreadable = seen.peek().is_none();
    is_unreadable
        || seen.any(|message| {
            let is_of_kind = (NEW_TABLE..=DELETE_RULE).contains(&message.message_type());
            let mut attributes = attributes(message.payload(), HEADER);
            let table = attributes.find(|one| one.kind() == TABLE_NAME);
            let table = table.and_then(|table| text_of(table.value()));
            is_of_kind && message.port_number() != own_port && table.as_deref() == Some(name)
        })
}

/// `struct nfgenmsg`: family, version, resource.
fn header(family: NetfilterFamily) -> Vec<u8> {
    vec![family.number(), 0, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: NetfilterTable = NetfilterTable {
        family: NetfilterFamily::Inet,
        name: "ours",
    };

    #[test]
    fn an_event_of_another_table_or_of_our_own_doing_is_no_news() {
        let mut batch = NetfilterBatch::default();
        batch.delete_table(TABLE);
        let event = messages(&batch.bytes).nth(1).expect("a message");
        let length = event.length() as usize;
        let event = &batch.bytes[batch.bytes.len() - length..];
        assert!(concerns_table(event, "ours", 7));
        assert!(!concerns_table(event, "ours", 0), "by our port");
        assert!(!concerns_table(event, "theirs", 7));
        assert!(concerns_table(&[1, 2, 3], "ours", 7), "unreadable");
    }

    #[test]
    fn a_comment_is_read_as_it_was_written() {
        let data = user_data("came in by wan");
        assert_eq!(comment_in(&data).as_deref(), Some("came in by wan"));
        assert_eq!(comment_in(&[1, 9, 0]), None, "damaged");
    }
}
