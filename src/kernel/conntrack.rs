//! The flows of an uplink that the traffic has left.
//!
//! A flow that is translated to an address of the old uplink cannot continue through another uplink:
//! its replies go to the old address. A masqueraded flow is dropped by the kernel when one of its
//! packets leaves by another interface. With a fixed source address, or with marks that pin flows to an
//! uplink, a flow hangs until its entry is deleted. The next packet then makes a new flow through the
//! new uplink, or draws a reset that makes the client reconnect.

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_sys::protocols::NETLINK_NETFILTER;

use super::error::KernelError;
use super::exchange::Exchange;
use super::message::{self, FlowEntry, ListItem};
use crate::routing::Family;
use crate::routing::flows::TrafficOf;
use crate::routing::traffic::Marks;
use crate::units::sorted::SortedSet;

/// Flows that are ended with one system call, which takes about a millisecond.
const BATCH: usize = 128;

/// The port of name servers.
const NAME_SERVER: u16 = 53;

/// A flood of packets that are never answered, as of a scan, is not worth more.
const MOST_UNANSWERED: usize = 4_096;

/// Ends the flows of this traffic that are translated to one of these addresses, and returns their number. Flows of
/// this machine itself, which has such an address, stay: their sockets would make them again.
///
/// Blocks: tens of thousands of flows take a tenth of a second.
///
/// # Errors
/// If the kernel does not track connections, or this process may not access them.
pub fn end_flows(addresses: &SortedSet<IpAddr>, of: &TrafficOf) -> Result<usize, KernelError> {
    end_all(addresses, of).map_err(KernelError::Flows)
}

/// Ends the flows of datagrams that this machine itself sends by one of these addresses, and returns them: those that
/// are there again later are sent by a socket that holds to the address, as that of a VPN may. What asks a name server
/// is none. Blocks, too.
///
/// # Errors
/// If the kernel does not track connections, or this process may not access them.
pub fn end_own_datagrams(
    addresses: &SortedSet<IpAddr>,
    of: &TrafficOf,
) -> Result<Vec<(IpAddr, SocketAddr)>, KernelError> {
    let end = || -> io::Result<_> {
        let mut exchange = Exchange::open(NETLINK_NETFILTER)?;
        let mut ended = Vec::new();
        for address in addresses {
            let request = |sequence| message::flows_answered_to(*address, sequence);
            let mut flows = exchange.list(request, message::flows)?.entries;
            let is_own = |flow: &FlowEntry| flow.tuple.source == *address && of.has(&flow.tuple);
            flows.retain(|flow| flow.udp_port().is_some() && is_own(flow));
            for batch in flows.chunks(BATCH) {
                change_batch(batch, &mut exchange, message::end_of_flow)?;
            }
            let sent_to = |flow: &FlowEntry| {
                let port = flow.udp_port().filter(|port| *port != NAME_SERVER)?;
                Some((*address, SocketAddr::new(flow.tuple.destination, port)))
            };
            ended.extend(flows.iter().filter_map(sent_to));
        }
        Ok(ended)
    };
    end().map_err(KernelError::Flows)
}

/// How many established flows of these families have one of these marks. Blocks, too.
///
/// # Errors
/// If the kernel does not track connections, or this process may not access them.
pub fn count_flows(marks: &SortedSet<(Family, Marks)>) -> Result<usize, KernelError> {
    let count = || -> io::Result<usize> {
        let mut exchange = Exchange::open(NETLINK_NETFILTER)?;
        let mut count = 0;
        for marks in marks {
            let flows = marked(*marks, &mut exchange)?.into_iter();
            count += flows.filter(|flow| flow.is_established).count();
        }
        Ok(count)
    };
    count().map_err(KernelError::Flows)
}

/// Clears these marks from the flows of this traffic that have one of them, and leaves all other bits of their
/// marks. Flows that came in to one of `addresses` keep theirs: only there can they be answered. Blocks, too.
///
/// # Errors
/// If the kernel does not track connections, or this process may not access them.
pub fn forget_flows(
    marks: &SortedSet<(Family, Marks)>,
    addresses: &SortedSet<IpAddr>,
    of: &TrafficOf,
) -> Result<(), KernelError> {
    forget_all(marks, addresses, of).map_err(KernelError::Flows)
}

/// Flows that have begun on uplinks since they fell silent.
#[derive(Clone, Debug, Default)]
pub struct UnansweredFlows {
    /// They are remembered by these marks.
    pub marks: SortedSet<(Family, Marks)>,
    /// The addresses of the uplinks: what came in there, and what this machine sent itself, is left alone.
    pub addresses: SortedSet<IpAddr>,
    /// They began then or later, in nanoseconds since 1970. Of what the kernel does not say when it began, all count.
    pub since: u64,
}

/// Ends those of these flows that have seen no answer, and returns their number: what is sent again begins anew, by
/// another uplink. At most `MOST_UNANSWERED`. Blocks, too.
///
/// # Errors
/// If the kernel does not track connections, or this process may not access them.
pub fn end_unanswered(left: &UnansweredFlows) -> Result<usize, KernelError> {
    let end = || -> io::Result<usize> {
        let mut exchange = Exchange::open(NETLINK_NETFILTER)?;
        let mut ended = 0;
        for (family, marks) in &left.marks {
            let request = |sequence| message::flows_marked(*family, *marks, sequence);
            let mut flows = exchange.list(request, message::flows)?.entries;
            let is_own = |address: &IpAddr| left.addresses.contains(address);
            flows.retain(|flow| {
                let is_of_it = Family::of(flow.tuple.source) == *family
                    && flow.mark.0 & marks.mask.0 == marks.mark.0
                    && !is_own(&flow.tuple.destination)
                    && !is_own(&flow.tuple.source);
                is_of_it && !flow.is_answered && flow.began.is_none_or(|began| began >= left.since)
            });
            flows.truncate(MOST_UNANSWERED);
            for batch in flows.chunks(BATCH) {
                ended += change_batch(batch, &mut exchange, message::end_of_flow)?;
            }
        }
        Ok(ended)
    };
    end().map_err(KernelError::Flows)
}

fn forget_all(
    marks: &SortedSet<(Family, Marks)>,
    addresses: &SortedSet<IpAddr>,
    of: &TrafficOf,
) -> io::Result<()> {
    if marks.is_empty() {
        return Ok(());
    }
    let mut exchange = Exchange::open(NETLINK_NETFILTER)?;
    for (family, marks) in marks {
        let mut flows = marked((*family, *marks), &mut exchange)?;
        flows.retain(|flow| !addresses.contains(&flow.tuple.destination) && of.has(&flow.tuple));
        for batch in flows.chunks(BATCH) {
            change_batch(batch, &mut exchange, |flow, is_last, number| {
                message::forgotten_flow((*family, flow), marks.mask, is_last, number)
            })?;
        }
    }
    Ok(())
}

fn marked((family, marks): (Family, Marks), exchange: &mut Exchange) -> io::Result<Vec<FlowEntry>> {
    let request = |sequence| message::flows_marked(family, marks, sequence);
    let mut flows = exchange.list(request, message::flows)?.entries;
    let is_marked = |flow: &FlowEntry| flow.mark.0 & marks.mask.0 == marks.mark.0;
    flows.retain(|flow| Family::of(flow.tuple.source) == family && is_marked(flow));
    Ok(flows)
}

fn end_all(addresses: &SortedSet<IpAddr>, of: &TrafficOf) -> io::Result<usize> {
    let mut exchange = Exchange::open(NETLINK_NETFILTER)?;
    let mut ended = 0;
    for address in addresses {
        let mut flows = translated_to(*address, &mut exchange)?;
        flows.retain(|flow| of.has(&flow.tuple));
        for batch in flows.chunks(BATCH) {
            ended += change_batch(batch, &mut exchange, message::end_of_flow)?;
        }
    }
    Ok(ended)
}

fn translated_to(address: IpAddr, exchange: &mut Exchange) -> io::Result<Vec<FlowEntry>> {
    let request = |sequence| message::flows_answered_to(address, sequence);
    let mut flows = exchange.list(request, message::flows)?.entries;
    flows.retain(|flow| flow.answers_to == address && flow.tuple.source != address);
    Ok(flows)
}

/// Returns how many were changed. A flow whose change fails has ended by itself, or has been replaced by another.
/// `request`: for a flow, with whether it is the last, and its number.
fn change_batch(
    flows: &[FlowEntry],
    exchange: &mut Exchange,
    request: impl Fn(&FlowEntry, bool, u32) -> Vec<u8>,
) -> io::Result<usize> {
    let mut last = 0;
    let requests: Vec<_> = (1..)
        .zip(flows)
        .flat_map(|(place, flow)| {
            last = exchange.next_number();
            request(flow, place == flows.len(), last)
        })
        .collect();
    exchange.send(&requests)?;
    let mut failed = 0;
    loop {
        let datagram = exchange.receive()?;
        for reply in message::flows(datagram) {
            match reply.item {
                ListItem::Failed(libc::EPERM) => {
                    return Err(io::Error::from_raw_os_error(libc::EPERM));
                }
                ListItem::Failed(_) => failed += 1,
                ListItem::Done | ListItem::Entry(_) => {}
            }
            if reply.sequence == last {
                return Ok(flows.len() - failed);
            }
        }
    }
}
