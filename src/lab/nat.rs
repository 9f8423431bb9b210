//! Source NAT, as providers and many routers have it. In IPv6 it is rare; here it lets the client's stream go on
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

/// Masquerades all connections that are opened through this thread's namespace. No host behind the
/// node is a server, so that the direction needs no match.
pub(super) fn masquerade() -> io::Result<()> {
    [NetfilterFamily::Ipv4, NetfilterFamily::Ipv6]
        .into_iter()
        .try_for_each(|family| commit(&batch(family, &[vec![NetfilterStep::Masquerade]])))
}

/// Translates the source of all IPv4 connections that leave by an interface to one address for good,
/// as routers with static addresses do.
pub(super) fn translate(exits: &[(&str, Ipv4Addr)]) -> io::Result<()> {
    let rules: Vec<_> = exits
        .iter()
        .map(|(interface, address)| fixed(interface, *address))
        .collect();
    commit(&batch(NetfilterFamily::Ipv4, &rules))
}

fn fixed(interface: &str, address: Ipv4Addr) -> Vec<NetfilterStep> {
    let mut name = vec![0; libc::IFNAMSIZ];
    name[..interface.len()].copy_from_slice(interface.as_bytes());
    vec![
        NetfilterStep::Load(PacketField::OutputName),
        NetfilterStep::Is(name),
        NetfilterStep::Put(address.octets().to_vec()),
        NetfilterStep::SourceNat,
    ]
}

fn batch(family: NetfilterFamily, rules: &[Vec<NetfilterStep>]) -> NetfilterBatch {
    let table = NetfilterTable {
        family,
        name: "lab",
    };
    let mut batch = NetfilterBatch::default();
    batch.add_table(table);
    batch.add_chain(table, &CHAIN);
    for rule in rules {
        batch.add_rule(table, &CHAIN, "lab", rule);
    }
    batch
}
