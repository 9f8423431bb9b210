//! Source NAT, as providers and many routers have it, and forwarded ports. In IPv6 it is rare; here it lets the client's stream go on
//! through another provider, as in IPv4.

use std::io;
use std::net::Ipv4Addr;

use serde::Deserialize;

use crate::kernel::netfilter::{
    NetfilterBatch, NetfilterChain, NetfilterFamily, NetfilterStep, NetfilterTable, PacketField,
    PacketHook, commit,
};

/// How the router translates the client's address.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nat {
    /// To whatever address the uplink has: the kernel drops what changes its way.
    Masquerade,
    /// To a fixed address for each uplink: the kernel knows no better than to keep it.
    Fixed,
}

const CHAIN: NetfilterChain = NetfilterChain {
    name: "postrouting",
    kind: "nat",
    hook: PacketHook::PostRouting,
    priority: 100,
};

const ENTRY_CHAIN: NetfilterChain = NetfilterChain {
    name: "prerouting",
    kind: "nat",
    hook: PacketHook::PreRouting,
    priority: -100,
};

/// Masquerades all connections that leave this thread's namespace by one of these interfaces.
pub(super) fn masquerade(exits: &[&str]) -> io::Result<()> {
    let rule = |exit: &&str| {
        let mut steps = named(PacketField::OutputName, exit).to_vec();
        steps.push(NetfilterStep::Masquerade);
        steps
    };
    let rules: Vec<_> = exits.iter().map(rule).collect();
    [NetfilterFamily::Ipv4, NetfilterFamily::Ipv6]
        .into_iter()
        .try_for_each(|family| commit(&batch(family, &CHAIN, &rules)))
}

/// Translates the source of all IPv4 connections that leave by an interface to one address for good,
/// as routers with static addresses do.
pub(super) fn translate(exits: &[(&str, Ipv4Addr)]) -> io::Result<()> {
    let rules: Vec<_> = exits
        .iter()
        .map(|(interface, address)| fixed(interface, *address))
        .collect();
    commit(&batch(NetfilterFamily::Ipv4, &CHAIN, &rules))
}

/// Forwards a port to a host, for what comes in by these interfaces.
pub(super) fn forward(port: u16, to: Ipv4Addr, entries: &[&str]) -> io::Result<()> {
    let rule = |entry: &&str| {
        let mut steps = named(PacketField::InputName, entry).to_vec();
        steps.extend([
            NetfilterStep::Load(PacketField::Transport(2)),
            NetfilterStep::Is(port.to_be_bytes().to_vec()),
            NetfilterStep::Put(to.octets().to_vec()),
            NetfilterStep::DestinationNat,
        ]);
        steps
    };
    let rules: Vec<_> = entries.iter().map(rule).collect();
    commit(&batch(NetfilterFamily::Ipv4, &ENTRY_CHAIN, &rules))
}

fn fixed(interface: &str, address: Ipv4Addr) -> Vec<NetfilterStep> {
    let mut steps = named(PacketField::OutputName, interface).to_vec();
    steps.extend([
        NetfilterStep::Put(address.octets().to_vec()),
        NetfilterStep::SourceNat,
    ]);
    steps
}

fn named(field: PacketField, interface: &str) -> [NetfilterStep; 2] {
    let mut name = vec![0; libc::IFNAMSIZ];
    name[..interface.len()].copy_from_slice(interface.as_bytes());
    [NetfilterStep::Load(field), NetfilterStep::Is(name)]
}

fn batch(
    family: NetfilterFamily,
    chain: &NetfilterChain,
    rules: &[Vec<NetfilterStep>],
) -> NetfilterBatch {
    let table = NetfilterTable {
        family,
        name: "lab",
    };
    let mut batch = NetfilterBatch::default();
    batch.add_table(table);
    batch.add_chain(table, chain);
    for rule in rules {
        batch.add_rule(table, chain, "lab", rule);
    }
    batch
}
