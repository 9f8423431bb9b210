//! The table of netfilter that remembers by which uplink a flow goes, in connection marks.
//!
//! ```text
//!  prerouting    a mark of other software: left alone
//!                remembered: its bits become the packet's mark
//!                came in by an uplink, and is no answer: it is remembered, and the packet is marked
//!  output        a mark of other software: left alone
//!                remembered: its bits become the packet's mark
//!  postrouting   marked: left alone
//!                leaves by an uplink: it is remembered
//! ```
//! Rules follow the marks of packets to the tables of the uplinks. All is constant while the uplinks are the same: a
//! switch changes rules and routes only. A flow is remembered where our bits of its mark are 0, whatever its state: so
//! flows from before the agent are, too. An answer does not tell where its flow is to go: one that is late would bring
//! back a flow whose uplink was just forgotten. A packet that arrives is marked as well, so that a strict reverse-path
//! filter finds its way back (`src_valid_mark`).
//!
//! The chains come behind those of priority `mangle`, where other software marks packets and restores its marks: wg-quick
//! compares the whole mark of its own packets, and a bit of ours in their connection marks would send them into the
//! tunnel.
//!
//! The comment of each rule says all that the rule does, with the form of the table: by their comments the rules are
//! known as ours.

use std::io;

use super::exchange::Exchange;
use super::message::{self, ChainEntry, CommentedRule};
use super::netfilter::{
    MarkField, NetfilterBatch, NetfilterChain, NetfilterFamily, NetfilterStep, NetfilterTable,
    PacketField, PacketHook, submit,
};
use super::report::FlowMemoryLack;
use crate::routing::FlowMemory;
use crate::routing::traffic::Marks;
use crate::units::{InterfaceName, Mark};

/// The name of our table.
pub(super) const NAME: &str = "uplinkd";
/// Behind `mangle` (-150), before destination NAT (-100).
const PRIORITY: i32 = -149;
/// Changes whenever the same comment would stand for another rule.
const FORM: u32 = 2;

const PREROUTING: NetfilterChain = chain("prerouting", "filter", PacketHook::PreRouting);
const OUTPUT: NetfilterChain = chain("output", "route", PacketHook::Output);
const POSTROUTING: NetfilterChain = chain("postrouting", "filter", PacketHook::PostRouting);

const fn chain(name: &'static str, kind: &'static str, hook: PacketHook) -> NetfilterChain {
    NetfilterChain {
        name,
        kind,
        hook,
        priority: PRIORITY,
    }
}

/// The table as a kernel takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TableForm {
    families: &'static [NetfilterFamily],
    has_output: bool,
}

/// What is tried, in this order.
const FORMS: [TableForm; 6] = [
    form(&[NetfilterFamily::Inet], true),
    form(&[NetfilterFamily::Ipv4, NetfilterFamily::Ipv6], true),
    form(&[NetfilterFamily::Ipv4], true),
    form(&[NetfilterFamily::Inet], false),
    form(&[NetfilterFamily::Ipv4, NetfilterFamily::Ipv6], false),
    form(&[NetfilterFamily::Ipv4], false),
];

const fn form(families: &'static [NetfilterFamily], has_output: bool) -> TableForm {
    TableForm {
        families,
        has_output,
    }
}

impl TableForm {
    /// What is not remembered in this form.
    pub(super) fn lacks(self) -> Option<FlowMemoryLack> {
        let lack = FlowMemoryLack {
            has_no_ipv6: self.families == [NetfilterFamily::Ipv4],
            has_no_output: !self.has_output,
        };
        (lack.has_no_ipv6 || lack.has_no_output).then_some(lack)
    }

    fn chains(self) -> impl Iterator<Item = NetfilterChain> {
        let output = self.has_output.then_some(OUTPUT);
        [PREROUTING, POSTROUTING].into_iter().chain(output)
    }
}

/// A rule, and the comment that says all of it.
#[derive(Debug)]
struct MemoryRule {
    chain: NetfilterChain,
    comment: String,
    steps: Vec<NetfilterStep>,
}

/// What the table of a form holds.
fn rules(memory: &FlowMemory, form: TableForm) -> Vec<MemoryRule> {
    let mut rules = Vec::new();
    let mut add = |chain, comment: String, steps| {
        let comment = format!("{comment} (v{FORM})");
        rules.push(MemoryRule {
            chain,
            comment,
            steps,
        });
    };
    let mask = memory.mask;
    for chain in form.chains() {
        add(chain, "marked: left alone".to_owned(), marked());
        if chain != POSTROUTING {
            add(
                chain,
                format!("remembered in {:#x}", mask.0),
                restored(mask),
            );
        }
    }
    for (interface, mark) in &memory.uplinks {
        let marks = Marks { mark: *mark, mask };
        let shown = format!("{interface}: {:#x}/{:#x}", mark.0, mask.0);
        let steps = arrival(interface, marks);
        add(PREROUTING, format!("came in by {shown}"), steps);
        let steps = departure(interface, marks);
        add(POSTROUTING, format!("leaves by {shown}"), steps);
    }
    rules
}

const PACKET_MARK: NetfilterStep = NetfilterStep::Load(PacketField::Mark(MarkField::Packet));
const CONNECTION_MARK: NetfilterStep =
    NetfilterStep::Load(PacketField::Mark(MarkField::Connection));

fn octets(mark: Mark) -> Vec<u8> {
    mark.0.to_ne_bytes().to_vec()
}

fn marked() -> Vec<NetfilterStep> {
    vec![
        PACKET_MARK,
        NetfilterStep::IsNot(octets(Mark(0))),
        NetfilterStep::Accept,
    ]
}

fn restored(mask: Mark) -> Vec<NetfilterStep> {
    vec![
        CONNECTION_MARK,
        NetfilterStep::Bits {
            keep: mask.0,
            flip: 0,
        },
        NetfilterStep::IsNot(octets(Mark(0))),
        NetfilterStep::Store(MarkField::Packet),
        NetfilterStep::Accept,
    ]
}

/// What was remembered already does not come here.
fn arrival(interface: &InterfaceName, marks: Marks) -> Vec<NetfilterStep> {
    let mut steps = named(PacketField::InputName, interface);
    steps.extend([
        NetfilterStep::Load(PacketField::Direction),
        NetfilterStep::Is(vec![0]),
    ]);
    steps.extend(remember(marks));
    steps.extend([
        NetfilterStep::Put(octets(marks.mark)),
        NetfilterStep::Store(MarkField::Packet),
        NetfilterStep::Accept,
    ]);
    steps
}

/// The mark of a packet is that of its connection only if no rule of this table has passed it by.
fn departure(interface: &InterfaceName, marks: Marks) -> Vec<NetfilterStep> {
    let mut steps = named(PacketField::OutputName, interface);
    steps.extend([
        CONNECTION_MARK,
        NetfilterStep::Bits {
            keep: marks.mask.0,
            flip: 0,
        },
        NetfilterStep::Is(octets(Mark(0))),
    ]);
    steps.extend(remember(marks));
    steps.push(NetfilterStep::Accept);
    steps
}

fn remember(marks: Marks) -> [NetfilterStep; 3] {
    [
        CONNECTION_MARK,
        NetfilterStep::Bits {
            keep: !marks.mask.0,
            flip: marks.mark.0,
        },
        NetfilterStep::Store(MarkField::Connection),
    ]
}

fn named(field: PacketField, interface: &InterfaceName) -> Vec<NetfilterStep> {
    let name = message::interface_name(interface);
    vec![NetfilterStep::Load(field), NetfilterStep::Is(name)]
}

fn table(family: NetfilterFamily) -> NetfilterTable {
    NetfilterTable { family, name: NAME }
}

/// What the kernel holds of our table.
#[derive(Debug, Default)]
pub(super) struct HeldTable {
    chains: Vec<(NetfilterFamily, ChainEntry)>,
    rules: Vec<(NetfilterFamily, CommentedRule)>,
}

impl HeldTable {
    pub(super) fn look(exchange: &mut Exchange) -> io::Result<Self> {
        let mut held = Self::default();
        for family in NetfilterFamily::ALL {
            let chains = |number| message::all_chains(family, number);
            let listed = exchange.list(chains, message::chains)?.entries.into_iter();
            let ours = listed.filter(|chain| chain.table == NAME);
            held.chains.extend(ours.map(|chain| (family, chain)));
            let rules = |number| message::all_rules(table(family), number);
            let listed = exchange
                .list(rules, message::commented_rules)?
                .entries
                .into_iter();
            let ours = listed.filter(|rule| rule.table == NAME);
            held.rules.extend(ours.map(|rule| (family, rule)));
        }
        Ok(held)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chains.is_empty() && self.rules.is_empty()
    }

    /// The form in which it holds this, all of it and nothing else.
    pub(super) fn form_of(&self, memory: &FlowMemory) -> Option<TableForm> {
        FORMS.into_iter().find(|form| self.holds(memory, *form))
    }

    fn holds(&self, memory: &FlowMemory, form: TableForm) -> bool {
        let rules = rules(memory, form);
        let families = form.families;
        let count = (
            form.chains().count() * families.len(),
            rules.len() * families.len(),
        );
        let is_whole = |family: &NetfilterFamily| {
            form.chains().all(|chain| {
                let comments = |one: &(NetfilterFamily, CommentedRule)| {
                    let is_here = one.0 == *family && one.1.chain == chain.name;
                    is_here.then(|| one.1.comment.clone())
                };
                let held = self.rules.iter().filter_map(comments);
                let wanted = rules.iter().filter(|rule| rule.chain == chain);
                let wanted = wanted.map(|rule| rule.comment.clone());
                self.has_chain(*family, &chain) && held.eq(wanted)
            })
        };
        (self.chains.len(), self.rules.len()) == count && families.iter().all(is_whole)
    }

    fn has_chain(&self, family: NetfilterFamily, chain: &NetfilterChain) -> bool {
        let place = (chain.hook as u32, chain.priority);
        self.chains.iter().any(|(of, held)| {
            *of == family
                && held.name == chain.name
                && held.kind.as_deref() == Some(chain.kind)
                && held.hook == Some(place)
        })
    }
}

/// Writes the table in place of what is held of it, in the first form that the kernel takes.
pub(super) fn write(
    memory: &FlowMemory,
    held: &HeldTable,
    exchange: &mut Exchange,
) -> io::Result<TableForm> {
    first_form(|form| {
        let mut batch = removal(held, form.families);
        add(memory, form, &mut batch);
        submit(exchange, &batch.to_commit())
    })
}

/// The first form that the kernel would take. Changes nothing.
pub(super) fn try_out(memory: &FlowMemory, exchange: &mut Exchange) -> io::Result<TableForm> {
    first_form(|form| {
        let mut batch = removal(&HeldTable::default(), form.families);
        add(memory, form, &mut batch);
        submit(exchange, batch.to_try())
    })
}

/// Removes what is held of the table.
pub(super) fn remove(held: &HeldTable, exchange: &mut Exchange) -> io::Result<()> {
    if held.is_empty() {
        return Ok(());
    }
    submit(exchange, &removal(held, &[]).to_commit())
}

/// The error is that of the first form, which a kernel with all its parts takes.
fn first_form(mut submit: impl FnMut(TableForm) -> io::Result<()>) -> io::Result<TableForm> {
    let mut refused = None;
    for form in FORMS {
        match submit(form) {
            Ok(()) => return Ok(form),
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => return Err(error),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.unwrap_or_else(|| io::ErrorKind::Unsupported.into()))
}

/// A table is added before it is deleted: the kernel refuses to delete one that is not there.
fn removal(held: &HeldTable, also: &[NetfilterFamily]) -> NetfilterBatch {
    let mut batch = NetfilterBatch::default();
    for family in NetfilterFamily::ALL {
        let is_held = held.chains.iter().any(|(of, _)| *of == family);
        if is_held || also.contains(&family) {
            batch.add_table(table(family));
            batch.delete_table(table(family));
        }
    }
    batch
}

fn add(memory: &FlowMemory, form: TableForm, batch: &mut NetfilterBatch) {
    for family in form.families {
        let table = table(*family);
        batch.add_table(table);
        for chain in form.chains() {
            batch.add_chain(table, &chain);
        }
        for rule in rules(memory, form) {
            batch.add_rule(table, &rule.chain, &rule.comment, &rule.steps);
        }
    }
}
