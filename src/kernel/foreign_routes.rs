//! Routes, rules and nexthop objects of other programs that may conflict with ours, for `uplinkd
//! check`. The agent itself does not read them.

use ipnet::IpNet;

use super::error::KernelError;
use super::message::{Dump, DumpEntry, LinkDetails, RouteEntry, RuleEntry};
use super::netfilter::{MarkWriters, flow_tables, mark_writers};
use super::observe::Observer;
use crate::routing::desired::MAIN;
use crate::routing::{Family, Numbering, Rule};
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{IfIndex, Metric, NextHopId, Protocol, TableId};

/// The objects of other programs that may conflict with ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignObjects {
    /// The kernel supports policy rules (`CONFIG_IP_MULTIPLE_TABLES`).
    pub are_rules_known: bool,
    /// Every rule without our protocol number.
    pub rules: Vec<ForeignRule>,
    /// Every route in our tables without it.
    pub routes: Vec<ForeignRoute>,
    /// Every default route in the main table without it.
    pub defaults: Vec<ForeignRoute>,
    /// Every nexthop object with a number of ours but without our protocol number, and its protocol
    /// number.
    pub next_hops: SortedMap<NextHopId, Protocol>,
    /// The kind and the master of each interface.
    pub link_details: SortedMap<IfIndex, LinkDetails>,
    /// Flow tables, each by the name of its table of netfilter and its own.
    pub flow_tables: Vec<String>,
    /// Rules of netfilter that write marks.
    pub mark_writers: MarkWriters,
}

/// A rule of another program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignRule {
    /// Its protocol number.
    pub protocol: Protocol,
    /// What it says, as far as a [`Rule`] can.
    pub rule: Rule,
    /// The bits of the mark that it compares.
    pub mask: u32,
    /// It matches what its selectors do not.
    pub is_inverted: bool,
    /// It has selectors beside its source, mark and output interface, or a mask.
    pub says_more: bool,
}

/// A route of another program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignRoute {
    /// Its protocol number.
    pub protocol: Protocol,
    /// Its table.
    pub table: TableId,
    /// Its destination.
    pub destination: IpNet,
    /// Its metric.
    pub metric: Metric,
    /// Its interface, the first if there are several; none of a dead end (`blackhole`, `unreachable`,
    /// `prohibit`, `throw`).
    pub through: Option<IfIndex>,
}

impl From<RuleEntry> for ForeignRule {
    fn from(entry: RuleEntry) -> Self {
        let rule = &entry.rule;
        let has_ports = rule.protocol.is_some() || rule.sport.is_some() || rule.dport.is_some();
        let has_more = rule.to.is_some() || rule.iif.is_some() || has_ports;
        let says_more = has_more || rule.mask.is_some() || entry.listed.is_some();
        Self {
            protocol: entry.protocol,
            rule: entry.rule,
            mask: entry.mask,
            is_inverted: entry.is_inverted,
            says_more,
        }
    }
}

impl From<RouteEntry> for ForeignRoute {
    fn from(entry: RouteEntry) -> Self {
        let through = entry.paths().first().map(|path| path.index);
        let route = entry.route;
        Self {
            protocol: entry.protocol,
            table: route.table,
            destination: route.destination,
            metric: route.metric,
            through,
        }
    }
}

/// Looks once for objects of others at our numbers, for this many uplinks and groups.
///
/// # Errors
/// If the kernel's lists cannot be read.
pub fn foreign_objects(
    numbering: &Numbering,
    uplinks: u32,
    groups: u32,
) -> Result<ForeignObjects, KernelError> {
    let mut observer = Observer::open()?;
    let mut foreign = ForeignObjects {
        flow_tables: flow_tables().map_err(KernelError::Socket)?,
        mark_writers: mark_writers().map_err(KernelError::Socket)?,
        ..ForeignObjects::default()
    };
    let numbers = own_numbers(numbering, uplinks, groups);
    let next_hops = observer.foreign_next_hops(numbering.protocol)?.into_iter();
    foreign.next_hops = next_hops.filter(|(id, _)| numbers.contains(id)).collect();
    for entry in observer.list(Dump::Links)? {
        if let DumpEntry::Link(link) = entry {
            foreign.link_details.insert(link.index, link.details);
        }
    }
    let own = (0..uplinks).map(|position| numbering.uplink_table(position));
    let groups = (0..groups).map(|group| numbering.group_place(group).table);
    let tables: Vec<_> = own.chain(groups).chain([numbering.table]).collect();
    for family in Family::ROUTED {
        for entry in observer.list(Dump::Rules(family))? {
            let DumpEntry::Rule(entry) = entry else {
                continue;
            };
            foreign.are_rules_known = true;
            if entry.protocol != numbering.protocol {
                foreign.rules.push(entry.into());
            }
        }
        let mut foreign_routes = |dump, table| -> Result<Vec<ForeignRoute>, KernelError> {
            let routes = observer.list(dump)?.into_iter().filter_map(route_of);
            // A kernel before 4.20 does not filter, and one without IPv6 lists IPv4 instead.
            let is_foreign = |route: &ForeignRoute| {
                route.protocol != numbering.protocol
                    && route.table == table
                    && Family::of(route.destination.addr()) == family
            };
            Ok(routes.filter(is_foreign).collect())
        };
        let mut defaults = foreign_routes(Dump::Main(family), MAIN)?;
        defaults.retain(|route| route.destination == family.default_destination());
        foreign.defaults.extend(defaults);
        for table in &tables {
            let routes = foreign_routes(Dump::RoutesIn(family, *table), *table)?;
            foreign.routes.extend(routes);
        }
    }
    Ok(foreign)
}

/// The numbers of our nexthop objects.
fn own_numbers(numbering: &Numbering, uplinks: u32, groups: u32) -> SortedSet<NextHopId> {
    let of_family = |family| {
        let paths = (0..uplinks).map(move |place| numbering.path_object(place, family));
        let shared = (0..=groups).map(move |place| numbering.group_object(place, family));
        paths.chain(shared)
    };
    Family::ROUTED.into_iter().flat_map(of_family).collect()
}

fn route_of(entry: DumpEntry) -> Option<ForeignRoute> {
    match entry {
        DumpEntry::Route(entry) | DumpEntry::DeadEnd(entry) => Some(entry.into()),
        DumpEntry::Link(_) | DumpEntry::Address(_) | DumpEntry::Rule(_) => None,
    }
}
