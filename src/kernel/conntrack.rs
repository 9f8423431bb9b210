//! The flows of an uplink that was left: found and ended.
//!
//! A flow that was translated to an address of the old uplink cannot go on through another one: its
//! answers would come back to where nobody sends from any more. With masquerading the kernel drops
//! such a flow by itself when it sees a packet of it leave elsewhere; with a fixed source address, or
//! with marks that pin flows to an uplink, it hangs for good until its entry is gone. Then the next
//! packet makes a new flow through the new uplink, or draws a reset that makes the client begin anew.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use netlink_sys::protocols::NETLINK_NETFILTER;

use super::KernelError;
use super::exchange::Exchange;
use super::message::{self, FlowEntry, ListItem};
use crate::routing::traffic::Flow;

/// So many flows are ended with one system call, which takes about a millisecond.
const BATCH: usize = 128;

/// Ends the flows that are translated to one of these addresses. Flows of this machine itself, whose
/// own address that is, stay: their sockets would only make them again. Returns how many were ended.
///
/// The kernel does it within the calls, and tens of thousands of flows take it a tenth of a second:
/// not for the thread of a loop.
///
/// # Errors
/// If the kernel does not track connections, or this process may not reach them.
pub fn end_flows(addresses: &BTreeSet<IpAddr>) -> Result<usize, KernelError> {
    end_all(addresses).map_err(KernelError::Flows)
}

/// The established flows that are translated to one of these addresses, as far as a rule can tell them
/// from others: those of protocols with ports. Not for the thread of a loop, either.
///
/// # Errors
/// If the kernel does not track connections, or this process may not reach them.
pub fn established_flows(addresses: &BTreeSet<IpAddr>) -> Result<BTreeSet<Flow>, KernelError> {
    let list = || -> io::Result<BTreeSet<Flow>> {
        let mut exchange = Exchange::open(NETLINK_NETFILTER)?;
        let mut flows = BTreeSet::new();
        for address in addresses {
            let entries = translated_to(*address, &mut exchange)?;
            flows.extend(entries.into_iter().filter_map(|entry| entry.established));
        }
        Ok(flows)
    };
    list().map_err(KernelError::Flows)
}

fn end_all(addresses: &BTreeSet<IpAddr>) -> io::Result<usize> {
    let mut exchange = Exchange::open(NETLINK_NETFILTER)?;
    let mut ended = 0;
    for address in addresses {
        for batch in translated_to(*address, &mut exchange)?.chunks(BATCH) {
            ended += end_batch(batch, &mut exchange)?;
        }
    }
    Ok(ended)
}

fn translated_to(address: IpAddr, exchange: &mut Exchange) -> io::Result<Vec<FlowEntry>> {
    let request = |sequence| message::flows_answered_to(address, sequence);
    let mut flows = exchange.list(request, message::flows)?;
    flows.retain(|flow| flow.answers_to == address && flow.origin != address);
    Ok(flows)
}

/// Whatever fails has ended by itself, or has become another flow, which is as good.
fn end_batch(flows: &[FlowEntry], exchange: &mut Exchange) -> io::Result<usize> {
    let mut last = 0;
    let requests: Vec<_> = (1..)
        .zip(flows)
        .flat_map(|(place, flow)| {
            last = exchange.next_number();
            message::end_of_flow(flow, place == flows.len(), last)
        })
        .collect();
    exchange.send(&requests)?;
    let mut failed = 0;
    loop {
        let datagram = exchange.receive()?;
        for (sequence, answer) in message::flows(datagram) {
            match answer {
                ListItem::Failed(libc::EPERM) => {
                    return Err(io::Error::from_raw_os_error(libc::EPERM));
                }
                ListItem::Failed(_) => failed += 1,
                ListItem::Done | ListItem::Entry(_) => {}
            }
            if sequence == last {
                return Ok(flows.len() - failed);
            }
        }
    }
}
