//! Looking: lists of the kernel become one [`Observed`].

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::KernelError;
use super::errno;
use super::exchange::Exchange;
use super::message::{self, Dump, DumpAnswer, DumpEntry, NextHopEntry};
use crate::routing::desired::MAIN;
use crate::routing::{Family, LearnedDefault, Link, Observed, OddRule};
use crate::units::{IfIndex, InterfaceName, NextHopId, Protocol};

/// How often a list that changes while it is being read is read again. Whatever changed it has also
/// sent an event, so the last attempt is taken as it is.
const ATTEMPTS: u32 = 5;

/// Large enough for the kernel's largest piece of a list.
const DATAGRAM: usize = 64 * 1024;

/// Reads the kernel's lists, on a socket of its own.
///
/// The kernel answers within the system call that asks, so this neither waits nor needs a task.
pub(super) struct Observer {
    socket: Socket,
    sequence: u32,
    datagram: Vec<u8>,
    next_expiry: Option<Duration>,
    /// For nexthop objects; none once the kernel turned out not to have any.
    next_hops: Option<Exchange>,
}

/// What to look for.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) protocol: Protocol,
    pub(super) interfaces: &'a BTreeSet<InterfaceName>,
}

impl Observer {
    pub(super) fn open() -> Result<Self, KernelError> {
        let socket = open().map_err(KernelError::Socket)?;
        Ok(Self {
            socket,
            sequence: 0,
            datagram: Vec::with_capacity(DATAGRAM),
            next_expiry: None,
            next_hops: Some(Exchange::open(NETLINK_ROUTE).map_err(KernelError::Socket)?),
        })
    }

    /// How long after the last look the first of the default routes that it saw is over. The kernel
    /// stops using such a route at that moment but takes it away, and tells, up to half a minute
    /// later (`net.ipv6.route.gc_interval`).
    pub(super) fn next_expiry(&self) -> Option<Duration> {
        self.next_expiry
    }

    /// Looks at everything that concerns us.
    pub(super) fn look(&mut self, scope: Scope<'_>) -> Result<Observed, KernelError> {
        self.next_expiry = None;
        let mut observed = Observed {
            links: self.links()?,
            ..Observed::default()
        };
        self.next_hops(scope.protocol, &mut observed)?;
        for family in Family::ROUTED {
            self.addresses(family, &mut observed)?;
            self.own_routes(family, scope.protocol, &mut observed)?;
            self.defaults(family, scope, &mut observed)?;
            self.rules(family, scope.protocol, &mut observed)?;
        }
        for link in observed.links.values_mut() {
            // Stable: among equals the kernel's order counts.
            link.defaults
                .sort_by_key(|default| (default.metric, default.preference));
        }
        Ok(observed)
    }

    fn links(&mut self) -> Result<BTreeMap<IfIndex, Link>, KernelError> {
        let entries = self.list(Dump::Links)?;
        let links = entries.into_iter().filter_map(|entry| match entry {
            DumpEntry::Link(link) => Some(link),
            DumpEntry::Address(_)
            | DumpEntry::Route(_)
            | DumpEntry::DeadEnd(_)
            | DumpEntry::Rule(_) => None,
        });
        Ok(links
            .map(|link| Link {
                index: link.index,
                name: link.name,
                is_up: link.is_up,
                has_carrier: link.has_carrier,
                is_point_to_point: link.is_point_to_point,
                addresses: Vec::new(),
                peers: Vec::new(),
                defaults: Vec::new(),
            })
            .map(|link| (link.index, link))
            .collect())
    }

    fn addresses(&mut self, family: Family, observed: &mut Observed) -> Result<(), KernelError> {
        for entry in self.list(Dump::Addresses(family))? {
            // A kernel without IPv6 answers with the addresses of the families that it has.
            if let DumpEntry::Address(entry) = entry
                && Family::of(entry.address.net.addr()) == family
                && let Some(link) = observed.links.get_mut(&entry.index)
            {
                link.addresses.push(entry.address);
                link.peers.extend(entry.peer);
            }
        }
        Ok(())
    }

    fn own_routes(
        &mut self,
        family: Family,
        protocol: Protocol,
        observed: &mut Observed,
    ) -> Result<(), KernelError> {
        for entry in self.list(Dump::RoutesOf(family, protocol))? {
            if let DumpEntry::Route(entry) = entry
                && Family::of(entry.route.destination.addr()) == family
                && entry.source.is_none()
            {
                observed.routes.push(entry.route);
            }
        }
        Ok(())
    }

    fn defaults(
        &mut self,
        family: Family,
        scope: Scope<'_>,
        observed: &mut Observed,
    ) -> Result<(), KernelError> {
        let links = observed.links.values_mut();
        for link in links.filter(|link| scope.interfaces.contains(&link.name)) {
            for entry in self.list(Dump::MainDefaultsThrough(family, link.index))? {
                let DumpEntry::Route(entry) = entry else {
                    continue;
                };
                let is_foreign = entry.protocol != scope.protocol;
                let is_of_family = entry.route.destination == family.default_destination();
                let is_over = entry.expires_in.is_some_and(|left| left.is_zero());
                if is_foreign && is_of_family && !is_over && entry.route.table == MAIN {
                    let expiries = self.next_expiry.into_iter().chain(entry.expires_in);
                    self.next_expiry = expiries.min();
                    let paths = entry.route.paths.iter();
                    let through = paths.filter(|path| path.index == link.index);
                    link.defaults.extend(through.map(|path| LearnedDefault {
                        family,
                        metric: entry.route.metric,
                        preference: entry.preference,
                        gateway: path.gateway,
                        onlink: path.onlink,
                        source: entry.source,
                    }));
                }
            }
        }
        Ok(())
    }

    fn rules(
        &mut self,
        family: Family,
        protocol: Protocol,
        observed: &mut Observed,
    ) -> Result<(), KernelError> {
        for entry in self.list(Dump::Rules(family))? {
            if let DumpEntry::Rule(entry) = entry
                && entry.protocol == protocol
                && entry.rule.family == family
            {
                match entry.listed {
                    None => observed.rules.push(entry.rule),
                    Some(listed) => observed.odd_rules.push(OddRule {
                        rule: entry.rule,
                        listed,
                    }),
                }
            }
        }
        Ok(())
    }

    fn next_hops(
        &mut self,
        protocol: Protocol,
        observed: &mut Observed,
    ) -> Result<(), KernelError> {
        let listed = self.list_next_hops()?.into_iter();
        let ours = listed.filter(|entry| entry.protocol == protocol);
        observed.nexthops = ours.map(|entry| (entry.id, entry.hop)).collect();
        Ok(())
    }

    /// The nexthop objects of others, and whose they are.
    pub(super) fn foreign_next_hops(
        &mut self,
        protocol: Protocol,
    ) -> Result<BTreeMap<NextHopId, Protocol>, KernelError> {
        let listed = self.list_next_hops()?.into_iter();
        let foreign = listed.filter(|entry| entry.protocol != protocol);
        Ok(foreign.map(|entry| (entry.id, entry.protocol)).collect())
    }

    fn list_next_hops(&mut self) -> Result<Vec<NextHopEntry>, KernelError> {
        let Some(exchange) = &mut self.next_hops else {
            return Ok(Vec::new());
        };
        match exchange.list(message::all_next_hops, message::next_hops) {
            Ok(entries) => Ok(entries),
            Err(error) if error.raw_os_error().is_some_and(errno::means_nothing_there) => {
                self.next_hops = None;
                Ok(Vec::new())
            }
            Err(error) => Err(KernelError::Look(error)),
        }
    }

    pub(super) fn list(&mut self, what: Dump) -> Result<Vec<DumpEntry>, KernelError> {
        let mut attempt = 1;
        loop {
            let (entries, is_torn) = self.list_once(what)?;
            if !is_torn || attempt == ATTEMPTS {
                return Ok(entries);
            }
            attempt += 1;
        }
    }

    fn list_once(&mut self, what: Dump) -> Result<(Vec<DumpEntry>, bool), KernelError> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = message::dump(what, self.sequence);
        let kernel = SocketAddr::new(0, 0);
        self.socket
            .send_to(&request, &kernel, 0)
            .map_err(KernelError::Look)?;
        let mut entries = Vec::new();
        let mut is_torn = false;
        loop {
            self.datagram.clear();
            self.socket
                .recv(&mut self.datagram, 0)
                .map_err(KernelError::Look)?;
            for reply in message::replies(what, &self.datagram) {
                if reply.sequence != self.sequence {
                    continue;
                }
                is_torn |= reply.is_torn;
                match reply.answer {
                    DumpAnswer::DumpEntry(entry) => entries.extend(entry),
                    DumpAnswer::Done => return Ok((entries, is_torn)),
                    DumpAnswer::Failed(errno) if errno::means_nothing_there(errno) => {
                        return Ok((entries, is_torn));
                    }
                    DumpAnswer::Failed(errno) => {
                        return Err(KernelError::Look(io::Error::from_raw_os_error(errno)));
                    }
                }
            }
        }
    }
}

pub(super) fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.set_non_blocking(true)?;
    socket.bind_auto()?;
    // Lists that the kernel filters; before 4.20 it lists everything, which is only slower.
    if let Err(error) = socket.set_netlink_get_strict_chk(true) {
        tracing::debug!(%error, "the kernel does not filter its lists");
    }
    Ok(socket)
}
