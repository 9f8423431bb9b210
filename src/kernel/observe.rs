//! Looking: the kernel's lists become one [`Observed`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use netlink_sys::protocols::NETLINK_ROUTE;

use super::errno;
use super::error::KernelError;
use super::exchange::Exchange;
use super::message::{self, Dump, DumpEntry, NextHopEntry};
use crate::routing::desired::MAIN;
use crate::routing::{DeadEnd, Family, LearnedDefault, Link, Observed, OddRule};
use crate::units::{IfIndex, InterfaceName, NextHopId, Protocol};

/// How often a list that changes while it is read is read at most. The change also sends an event, so
/// the last attempt counts as it is.
const ATTEMPTS: u32 = 5;

/// Reads the kernel's lists, on a socket of its own.
pub(super) struct Observer {
    exchange: Exchange,
    next_expiry: Option<Duration>,
    /// False once the kernel has refused to list nexthop objects.
    has_next_hops: bool,
}

/// What a look is about.
#[derive(Clone, Copy)]
pub(super) struct LookScope<'a> {
    pub(super) protocol: Protocol,
    pub(super) interfaces: &'a BTreeSet<InterfaceName>,
}

impl Observer {
    pub(super) fn open() -> Result<Self, KernelError> {
        Ok(Self {
            exchange: Exchange::open(NETLINK_ROUTE).map_err(KernelError::Socket)?,
            next_expiry: None,
            has_next_hops: true,
        })
    }

    /// How long after the last look the first of the observed default routes expires. The kernel stops
    /// using such a route then, but removes it, with an event, up to half a minute later
    /// (`net.ipv6.route.gc_interval`).
    pub(super) fn next_expiry(&self) -> Option<Duration> {
        self.next_expiry
    }

    /// Observes everything that concerns us.
    pub(super) fn look(&mut self, scope: LookScope<'_>) -> Result<Observed, KernelError> {
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
            self.dead_ends(family, scope.protocol, &mut observed)?;
            self.rules(family, scope.protocol, &mut observed)?;
        }
        for link in observed.links.values_mut() {
            // A stable sort: equals keep the kernel's order.
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
            // A kernel without IPv6 lists the addresses of its other families.
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
            // Of what leads nowhere, only a `throw` is ours.
            if let DumpEntry::Route(entry) | DumpEntry::DeadEnd(entry) = entry
                && Family::of(entry.route.destination.addr()) == family
                && entry.source.is_none()
            {
                observed.routes.push(entry.route);
            }
        }
        Ok(())
    }

    fn dead_ends(
        &mut self,
        family: Family,
        protocol: Protocol,
        observed: &mut Observed,
    ) -> Result<(), KernelError> {
        for kind in message::DEAD_ENDS {
            for entry in self.list(Dump::MainDeadEnds(family, kind))? {
                if let DumpEntry::DeadEnd(entry) = entry
                    && entry.protocol != protocol
                    && entry.route.table == MAIN
                    && entry.route.destination == family.default_destination()
                    && entry.source.is_none()
                {
                    let metric = entry.route.metric;
                    observed.dead_ends.push(DeadEnd { family, metric });
                }
            }
        }
        observed.dead_ends.sort_unstable();
        Ok(())
    }

    fn defaults(
        &mut self,
        family: Family,
        scope: LookScope<'_>,
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
                        options: entry.options_of(path),
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

    /// The nexthop objects of others, with their protocol numbers.
    pub(super) fn foreign_next_hops(
        &mut self,
        protocol: Protocol,
    ) -> Result<BTreeMap<NextHopId, Protocol>, KernelError> {
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
