//! Looking at what others have where we want to be, for `uplinkd check`. The agent itself never
//! asks.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::KernelError;
use super::message::{Dump, DumpEntry, LinkDetails, RouteEntry};
use super::observe::Observer;
use crate::routing::desired::MAIN;
use crate::routing::{Family, Numbering, Rule};
use crate::units::{IfIndex, Metric, NextHopId, Protocol, TableId};

/// What others have in our way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignObjects {
    /// The kernel knows policy rules at all (`CONFIG_IP_MULTIPLE_TABLES`).
    pub are_rules_known: bool,
    /// Every rule that does not carry our protocol number.
    pub rules: Vec<ForeignRule>,
    /// Every route in our tables that does not carry it.
    pub routes: Vec<ForeignRoute>,
    /// Every default route in the main table that does not carry it.
    pub defaults: Vec<ForeignRoute>,
    /// Every nexthop object with a number of ours that does not carry our protocol number, and whose
    /// it is.
    pub next_hops: BTreeMap<NextHopId, Protocol>,
    /// What the interfaces are made of.
    pub link_details: BTreeMap<IfIndex, LinkDetails>,
}

/// Somebody else's rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignRule {
    /// Whose it is.
    pub protocol: Protocol,
    /// What it says, as far as a [`Rule`] can.
    pub rule: Rule,
    /// Which bits of the mark it looks at.
    pub mask: u32,
    /// It holds for everything but what it says.
    pub is_inverted: bool,
    /// It holds for some of what its source, mark and interface say only: to some place, for some port,
    /// by some bits of a mark, or whatever else a rule can say.
    pub says_more: bool,
}

/// Somebody else's route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignRoute {
    /// Whose it is.
    pub protocol: Protocol,
    /// The table it stands in.
    pub table: TableId,
    /// Where it leads.
    pub destination: IpNet,
    /// Its metric.
    pub metric: Metric,
    /// The interface it goes through, the first if there are several; none if it leads nowhere
    /// (`blackhole`, `unreachable` and their like).
    pub through: Option<IfIndex>,
}

impl From<RouteEntry> for ForeignRoute {
    fn from(entry: RouteEntry) -> Self {
        let route = entry.route;
        Self {
            protocol: entry.protocol,
            table: route.table,
            destination: route.destination,
            metric: route.metric,
            through: route.paths.first().map(|path| path.index),
        }
    }
}

/// Looks once for what others have at our priorities and in our tables, with so many uplinks and
/// groups.
///
/// # Errors
/// If the kernel cannot be asked.
pub fn foreign_objects(
    numbering: &Numbering,
    uplinks: u32,
    groups: u32,
) -> Result<ForeignObjects, KernelError> {
    let mut observer = Observer::open()?;
    let mut foreign = ForeignObjects {
        next_hops: observer.foreign_next_hops(numbering.protocol)?,
        ..ForeignObjects::default()
    };
    let is_ours = |id: &NextHopId| {
        Family::ROUTED.into_iter().any(|family| {
            let mut paths = (0..uplinks).map(|place| numbering.path_object(place, family));
            let mut shared = (0..=groups).map(|place| numbering.group_object(place, family));
            paths.any(|path| path == *id) || shared.any(|group| group == *id)
        })
    };
    foreign.next_hops.retain(|id, _| is_ours(id));
    for entry in observer.list(Dump::Links)? {
        if let DumpEntry::Link(link) = entry {
            foreign.link_details.insert(link.index, link.details);
        }
    }
    for family in Family::ROUTED {
        for entry in observer.list(Dump::Rules(family))? {
            let DumpEntry::Rule(entry) = entry else {
                continue;
            };
            foreign.are_rules_known = true;
            if entry.protocol != numbering.protocol {
                let Rule {
                    to,
                    iif,
                    protocol,
                    sport,
                    dport,
                    ..
                } = &entry.rule;
                let names_ports = protocol.is_some() || sport.is_some() || dport.is_some();
                let names_more = to.is_some() || iif.is_some() || names_ports;
                let says_more = names_more || entry.rule.mask.is_some() || entry.listed.is_some();
                foreign.rules.push(ForeignRule {
                    protocol: entry.protocol,
                    rule: entry.rule,
                    mask: entry.mask,
                    is_inverted: entry.is_inverted,
                    says_more,
                });
            }
        }
        let mut routes_of_others = |dump, table| -> Result<Vec<ForeignRoute>, KernelError> {
            let entries = observer.list(dump)?.into_iter();
            let routes = entries.filter_map(|entry| match entry {
                DumpEntry::Route(entry) | DumpEntry::DeadEnd(entry) => {
                    Some(ForeignRoute::from(entry))
                }
                DumpEntry::Link(_) | DumpEntry::Address(_) | DumpEntry::Rule(_) => None,
            });
            // A kernel before 4.20 does not filter, and one without IPv6 lists IPv4 instead.
            let is_asked_for = |foreign: &ForeignRoute| {
                foreign.protocol != numbering.protocol
                    && foreign.table == table
                    && Family::of(foreign.destination.addr()) == family
            };
            Ok(routes.filter(is_asked_for).collect())
        };
        foreign
            .defaults
            .extend(routes_of_others(Dump::MainDefaults(family), MAIN)?);
        let own = (0..uplinks).map(|position| numbering.uplink_table(position));
        let groups = (0..groups).map(|group| numbering.group_place(group).table);
        for table in own.chain(groups).chain([numbering.table]) {
            foreign
                .routes
                .extend(routes_of_others(Dump::RoutesIn(family, table), table)?);
        }
    }
    Ok(foreign)
}
