//! Chains and rules of nf_tables as the kernel lists them, and its events of changes to them.

use netlink_packet_core::NLM_F_DUMP;

use super::nftables::{
    CHAIN_HOOK, CHAIN_NAME, CHAIN_TYPE, COMMENT, CT_MARK, DELETE_RULE, EXPRESSION_DATA,
    EXPRESSION_NAME, FLOW_TABLE_NAME, HEADER, HOOK_NUMBER, HOOK_PRIORITY, LIST_CHAINS,
    LIST_FLOW_TABLES, LIST_RULES, META_MARK, NEW_TABLE, NetfilterFamily, NetfilterTable,
    RULE_CHAIN, RULE_EXPRESSIONS, RULE_USERDATA, TABLE_NAME, append_text, header,
};
use super::wire::{attributes, messages, request};

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

/// A rule that writes a mark, as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kernel) struct MarkRule {
    pub(in crate::kernel) table: String,
    pub(in crate::kernel) chain: String,
    /// It writes that of connections.
    pub(in crate::kernel) is_of_connections: bool,
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

/// The request for all flow tables of a family.
pub(in crate::kernel) fn all_flow_tables(family: NetfilterFamily, sequence: u32) -> Vec<u8> {
    request((LIST_FLOW_TABLES, NLM_F_DUMP), &header(family), sequence)
}

/// The name of a flow table, behind that of its table.
pub(super) fn flow_table(body: &[u8]) -> Option<String> {
    let text = |kind| {
        let attribute = attributes(body, HEADER).find(|one| one.kind() == kind)?;
        text_of(attribute.value())
    };
    Some(format!("{} {}", text(TABLE_NAME)?, text(FLOW_TABLE_NAME)?))
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

/// A rule that writes a mark of packets or of connections: by itself, or by a target of xtables.
pub(super) fn mark_rule(body: &[u8]) -> Option<MarkRule> {
    let CommentedRule { table, chain, .. } = rule(body)?;
    let expressions = attributes(body, HEADER).find(|one| one.kind() == RULE_EXPRESSIONS)?;
    let mut written = attributes(expressions.value(), 0).filter_map(|one| writes(one.value()));
    let first = written.next()?;
    let is_of_connections = first || written.any(|is_of_connections| is_of_connections);
    Some(MarkRule {
        table,
        chain,
        is_of_connections,
    })
}

/// Whether the mark is that of connections which an expression writes; none if it writes none.
fn writes(expression: &[u8]) -> Option<bool> {
    const KEY: u16 = 2;
    const META_SOURCE: u16 = 3;
    const CT_SOURCE: u16 = 4;
    const TARGET_NAME: u16 = 1;
    let part = |kind| attributes(expression, 0).find(|one| one.kind() == kind);
    let name = text_of(part(EXPRESSION_NAME)?.value())?;
    let data = part(EXPRESSION_DATA)?;
    let field = |kind| attributes(data.value(), 0).find(|one| one.kind() == kind);
    let key = || Some(u32::from_be_bytes(*field(KEY)?.value().first_chunk()?));
    match name.as_str() {
        "meta" => (field(META_SOURCE).is_some() && key() == Some(META_MARK)).then_some(false),
        "ct" => (field(CT_SOURCE).is_some() && key() == Some(CT_MARK)).then_some(true),
        "target" => match text_of(field(TARGET_NAME)?.value())?.as_str() {
            "MARK" => Some(false),
            "CONNMARK" => Some(true),
            _ => None,
        },
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    use super::super::nftables::{NetfilterBatch, user_data};
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
