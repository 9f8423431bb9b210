//! Looking: the kernel's lists become one [`Observed`].

use netlink_sys::protocols::NETLINK_ROUTE;

use super::errno;
use super::error::KernelError;
use super::exchange::Exchange;
use super::message::{self, Dump, DumpEntry, NextHopEntry};
use crate::routing::desired::MAIN;
use crate::routing::{Family, Link, Numbering, Observed, OddRule};
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{IfIndex, NextHopId, Protocol, TableId};

/// How often a list that changes while it is read is read at most. The change also sends an event, so
/// the last attempt counts as it is.
const ATTEMPTS: u32 = 5;

/// Reads the kernel's lists, on a socket of its own.
pub(super) struct Observer {
    exchange: Exchange,
    /// False once the kernel has refused to list nexthop objects.
    has_next_hops: bool,
}

impl Observer {
    pub(super) fn open() -> Result<Self, KernelError> {
        Ok(Self {
            exchange: Exchange::open(NETLINK_ROUTE).map_err(KernelError::Socket)?,
            has_next_hops: true,
        })
    }

    /// Observes what is ours, and the interfaces; of our routes those in these tables. These lists are short.
    pub(super) fn look(
        &mut self,
        numbering: &Numbering,
        tables: &SortedSet<TableId>,
    ) -> Result<Observed, KernelError> {
        let protocol = numbering.protocol;
        let mut observed = Observed {
            links: self.links()?,
            ..Observed::default()
        };
        self.next_hops(numbering, &mut observed)?;
        for family in Family::ROUTED {
            self.addresses(family, &mut observed)?;
            self.rules(family, protocol, &mut observed)?;
            if tables.contains(&MAIN) {
                self.own_routes(
                    Dump::RoutesOf(family, protocol),
                    (family, protocol),
                    &mut observed,
                )?;
                continue;
            }
            for table in tables {
                self.own_routes(
                    Dump::RoutesIn(family, *table),
                    (family, protocol),
                    &mut observed,
                )?;
            }
        }
        Ok(observed)
    }

    fn links(&mut self) -> Result<SortedMap<IfIndex, Link>, KernelError> {
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
                tentative: SortedSet::new(),
                peers: Vec::new(),
                connected: Vec::new(),
                defaults: Vec::new(),
            })
            .map(|link| (link.index, link))
            .collect())
    }

    fn addresses(&mut self, family: Family, observed: &mut Observed) -> Result<(), KernelError> {
        for entry in self.list(Dump::Addresses(family))? {
            // A kernel without IPv6 lists the addresses of its other families.
            if let DumpEntry::Address(entry) = entry
                && Family::of(entry.address.net.addr()) == family
                && let Some(link) = observed.links.get_mut(&entry.index)
            {
                if entry.is_tentative {
                    link.tentative.insert(entry.address.net.addr());
                } else {
                    link.addresses.push(entry.address);
                    link.peers.extend(entry.peer);
                }
            }
        }
        Ok(())
    }

    fn own_routes(
        &mut self,
        dump: Dump,
        (family, protocol): (Family, Protocol),
        observed: &mut Observed,
    ) -> Result<(), KernelError> {
        for entry in self.list(dump)? {
            // Of what leads nowhere, only a `throw` is ours.
            if let DumpEntry::Route(entry) | DumpEntry::DeadEnd(entry) = entry
                && entry.protocol == protocol
                && Family::of(entry.route.destination.addr()) == family
                && entry.source.is_none()
            {
                observed.routes.push(entry.route);
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
        numbering: &Numbering,
        observed: &mut Observed,
    ) -> Result<(), KernelError> {
        for entry in self.list_next_hops()? {
            if entry.protocol == numbering.protocol {
                observed.nexthops.insert(entry.id, entry.hop);
            } else if numbering.has_object(entry.id) {
                observed.taken_nexthops.insert(entry.id);
            }
        }
        Ok(())
    }

    /// The nexthop objects of others, with their protocol numbers.
    pub(super) fn foreign_next_hops(
        &mut self,
        protocol: Protocol,
    ) -> Result<SortedMap<NextHopId, Protocol>, KernelError> {
        let listed = self.list_next_hops()?.into_iter();
        let foreign = listed.filter(|entry| entry.protocol != protocol);
        Ok(foreign.map(|entry| (entry.id, entry.protocol)).collect())
    }

    fn list_next_hops(&mut self) -> Result<Vec<NextHopEntry>, KernelError> {
        if !self.has_next_hops {
            return Ok(Vec::new());
        }
        let listed = self
            .exchange
            .list(message::all_next_hops, message::next_hops);
        match listed {
            Ok(list) => Ok(list.entries),
            Err(error) if error.raw_os_error().is_some_and(errno::means_nothing_there) => {
                self.has_next_hops = false;
                Ok(Vec::new())
            }
            Err(error) => Err(KernelError::Look(error)),
        }
    }

    pub(super) fn list(&mut self, what: Dump) -> Result<Vec<DumpEntry>, KernelError> {
        let request = |number| message::dump(what, number);
        let entries = |datagram: &[u8]| message::entries(what, datagram);
        let mut attempt = 1;
        loop {
            match self.exchange.list(request, entries) {
                Ok(list) if list.is_torn && attempt < ATTEMPTS => attempt += 1,
                Ok(list) => return Ok(list.entries),
                Err(error) if error.raw_os_error().is_some_and(errno::means_nothing_there) => {
                    return Ok(Vec::new());
                }
                Err(error) => return Err(KernelError::Look(error)),
            }
        }
    }
}
