//! Changes to netfilter, each batch as a whole: all of it or nothing.

use std::io;

use netlink_sys::protocols::NETLINK_NETFILTER;

use super::exchange::Exchange;
use super::message::{self, ListItem};
pub use super::message::{
    MarkField, NetfilterBatch, NetfilterChain, NetfilterFamily, NetfilterStep, NetfilterTable,
    PacketField, PacketHook,
};
use crate::units::sorted::SortedSet;

/// Our tables have such names.
const OWN_TABLES: &str = "uplinkd";

/// Makes these changes in the network namespace of this thread.
///
/// # Errors
/// If the kernel refuses one of them; then it makes none.
pub fn commit(batch: &NetfilterBatch) -> io::Result<()> {
    let mut exchange = Exchange::open(NETLINK_NETFILTER)?;
    submit(&mut exchange, &batch.to_commit())
}

/// The chains and rules of all tables in the network namespace of this thread, in words; none where the kernel has no
/// nf_tables.
///
/// # Errors
/// If they cannot be listed.
pub fn inventory() -> io::Result<Vec<String>> {
    let mut exchange = Exchange::open(NETLINK_NETFILTER)?;
    let mut lines = Vec::new();
    for family in NetfilterFamily::ALL {
        let chains = |number| message::all_chains(family, number);
        let chains = match exchange.list(chains, message::chains) {
            Ok(chains) => chains.entries,
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(lines),
            Err(error) => return Err(error),
        };
        let rules = |number| message::every_rule(family, number);
        let rules = exchange.list(rules, message::commented_rules)?.entries;
        lines.extend(chains.iter().map(|chain| format!("{family:?} {chain:?}")));
        lines.extend(rules.iter().map(|rule| format!("{family:?} {rule:?}")));
    }
    Ok(lines)
}

/// The names of all flow tables, which carry flows past routes and chains; none where the kernel has no nf_tables.
///
/// # Errors
/// If there is no netlink socket.
pub fn flow_tables() -> io::Result<Vec<String>> {
    let mut exchange = Exchange::open(NETLINK_NETFILTER)?;
    let mut names = Vec::new();
    for family in NetfilterFamily::ALL {
        let request = |number| message::all_flow_tables(family, number);
        let listed = exchange.list(request, message::flow_tables);
        names.extend(listed.map(|listed| listed.entries).unwrap_or_default());
    }
    Ok(names)
}

/// Chains of other tables with rules that write the marks of packets, and those that write marks of connections; none
/// where the kernel has no nf_tables.
///
/// # Errors
/// If there is no netlink socket.
pub fn mark_writers() -> io::Result<MarkWriters> {
    let mut exchange = Exchange::open(NETLINK_NETFILTER)?;
    let mut writers = MarkWriters::default();
    for family in NetfilterFamily::ALL {
        let request = |number| message::every_rule(family, number);
        let listed = exchange.list(request, message::mark_rules);
        let rules = listed.map(|listed| listed.entries).unwrap_or_default();
        for rule in rules {
            if rule.table.starts_with(OWN_TABLES) {
                continue;
            }
            let name = format!("{} {}", rule.table, rule.chain);
            if rule.is_of_connections {
                writers.of_connections.insert(name);
            } else {
                writers.of_packets.insert(name);
            }
        }
    }
    Ok(writers)
}

/// Chains of other tables, each by the name of its table and its own, with rules that write marks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarkWriters {
    /// Of packets.
    pub of_packets: SortedSet<String>,
    /// Of connections.
    pub of_connections: SortedSet<String>,
}

/// Whether a table of this name with a chain is there.
///
/// # Errors
/// If there is no netlink socket.
pub fn has_table(name: &str) -> io::Result<bool> {
    let mut exchange = Exchange::open(NETLINK_NETFILTER)?;
    Ok(!families_of(name, &mut exchange).is_empty())
}

/// The families with such a table. A kernel that lists none has none.
pub(super) fn families_of(name: &str, exchange: &mut Exchange) -> Vec<NetfilterFamily> {
    let mut families = NetfilterFamily::ALL.to_vec();
    families.retain(|family| {
        let chains = |number| message::all_chains(*family, number);
        let listed = exchange.list(chains, message::chains);
        listed.is_ok_and(|listed| listed.entries.iter().any(|chain| chain.table == name))
    });
    families
}

/// Sends a batch; the error is that of its first change that the kernel refuses. The kernel has answered when the
/// system call returns.
pub(super) fn submit(exchange: &mut Exchange, batch: &[u8]) -> io::Result<()> {
    exchange.send(batch)?;
    let mut first = None;
    let mut is_answered = false;
    loop {
        let answers = match exchange.receive() {
            Ok(datagram) => message::netfilter_answers(datagram),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        };
        for answer in answers {
            is_answered = true;
            if let ListItem::Failed(errno) = answer.item {
                first.get_or_insert(errno);
            }
        }
    }
    match first {
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        None if is_answered => Ok(()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
