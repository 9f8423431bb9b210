//! From what should be and what is to the operations between them. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::IpNet;

use super::desired::MAIN;
use super::nexthop::{BUCKETS, IDLE, NextHop, UNEVEN};
use super::{Desired, Family, Link, Observed, OddRule, Path, Route, Rule};
use crate::units::{IfIndex, Metric, NextHopId, Protocol, TableId, Weight};

/// One change to the kernel's routes or rules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Add this route, unless there is one of its table, destination and metric.
    AddRoute(Route),
    /// Put this route in the place of whatever has its table, destination and metric.
    ReplaceRoute(Route),
    /// Remove this route of ours.
    DeleteRoute(Route),
    /// Add this rule.
    AddRule(Rule),
    /// Remove one rule of ours that is exactly this.
    DeleteRule(Rule),
    /// Remove this rule of ours, of which another version of this program knows what it is for.
    DeleteOddRule(OddRule),
    /// Add this nexthop object, unless there is one of its number.
    AddNextHop(NextHopId, NextHop),
    /// Put this nexthop object in the place of ours that has its number.
    ReplaceNextHop(NextHopId, NextHop),
    /// Remove this nexthop object of ours, and all routes that lead to it.
    DeleteNextHop(NextHopId),
}

/// What must be done so that the kernel holds all of `desired` and nothing else of ours.
///
/// Main belongs to everybody: there only a route of ours is replaced, and where we have none one is
/// added, which the kernel refuses if somebody else's stands in its place.
///
/// Make before break: nexthop objects are made, then routes added and replaced, then rules added, then
/// rules deleted, then routes deleted, then nexthop objects, so that at no point in between a packet
/// finds less than before or after. Nothing is
/// planned where nothing differs, and nothing that is not ours is ever deleted. The last rule is
/// deleted first: while it stands, main without its default must stand before it, or packets to the
/// LAN would leave through an uplink.
pub fn plan(desired: &Desired, observed: &Observed) -> Vec<Operation> {
    let desired = &*desired.by_numbers_of(&observed.nexthops);
    let (set, deleted) = plan_routes(desired, observed);
    let (added, removed) = plan_rules(desired, observed);
    let added = added.into_iter().map(Operation::AddRule);
    let deleted = deleted.into_iter().map(Operation::DeleteRoute);
    made_next_hops(desired, observed)
        .into_iter()
        .chain(set)
        .chain(added)
        .chain(removed)
        .chain(deleted)
        .chain(unmade_next_hops(desired, observed))
        .collect()
}

/// Paths before the groups that they belong to. An object that is of another version of this program
/// has to go before ours can have its number, and its routes are gone until they are written anew.
fn made_next_hops(desired: &Desired, observed: &Observed) -> Vec<Operation> {
    let is_in_the_way = |id: &&NextHopId| observed.nexthops.get(id) == Some(&NextHop::Odd);
    let odd = desired.nexthops.keys().filter(is_in_the_way);
    let odd = odd.map(|id| Operation::DeleteNextHop(*id));
    let is_group = |hop: &NextHop| matches!(hop, NextHop::Group(_));
    let (groups, paths): (Vec<_>, Vec<_>) =
        { desired.nexthops.iter() }.partition(|(_, hop)| is_group(hop));
    let made =
        paths
            .into_iter()
            .chain(groups)
            .filter_map(|(id, hop)| match observed.nexthops.get(id) {
                Some(held) if held == hop => None,
                Some(NextHop::Odd) | None => Some(Operation::AddNextHop(*id, hop.clone())),
                Some(_) => Some(Operation::ReplaceNextHop(*id, hop.clone())),
            });
    odd.chain(made).collect()
}

/// Groups before the paths that belong to them.
fn unmade_next_hops(desired: &Desired, observed: &Observed) -> Vec<Operation> {
    let unwanted =
        { observed.nexthops.iter() }.filter(|(id, _)| !desired.nexthops.contains_key(id));
    let (paths, others): (Vec<_>, Vec<_>) =
        unwanted.partition(|(_, hop)| matches!(hop, NextHop::Path { .. }));
    let all = others.into_iter().chain(paths);
    all.map(|(id, _)| Operation::DeleteNextHop(*id)).collect()
}

/// What the kernel tells routes apart by when it replaces one.
type RouteKey = (TableId, IpNet, Metric);

fn key(route: &Route) -> RouteKey {
    (route.table, route.destination, route.metric)
}

fn plan_routes(desired: &Desired, observed: &Observed) -> (Vec<Operation>, Vec<Route>) {
    let wanted: BTreeMap<RouteKey, Route> = desired
        .routes
        .iter()
        .map(|route| route.clone().canonical())
        .map(|route| (key(&route), route))
        .collect();
    let mut held: BTreeMap<RouteKey, Vec<Route>> = BTreeMap::new();
    for route in &observed.routes {
        let route = route.clone().canonical();
        held.entry(key(&route)).or_default().push(route);
    }
    let mut set = Vec::new();
    for (key, route) in wanted {
        let others = held.entry(key).or_default();
        if let Some(place) = others.iter().position(|other| *other == route) {
            others.remove(place);
        } else if others.is_empty() && route.table == MAIN {
            set.push(Operation::AddRoute(route));
        } else {
            let place = replaced_by(&route, others);
            others.drain(place..others.len().min(place + 1));
            set.push(Operation::ReplaceRoute(route));
        }
    }
    (set, held.into_values().flatten().collect())
}

/// In whose place among those of its key the kernel puts a route: the first, and in IPv6 the first
/// that has next hops if this one has, or has none if this one has none (`fib6_add_rt2node`).
fn replaced_by(route: &Route, others: &[Route]) -> usize {
    let is_ipv6 = Family::of(route.destination.addr()) == Family::Ipv6;
    let is_alike = |other: &Route| is_ipv6 && has_next_hops(other) == has_next_hops(route);
    others.iter().position(is_alike).unwrap_or(0)
}

fn has_next_hops(route: &Route) -> bool {
    route.group.is_none() && route.paths.iter().all(|path| path.gateway.is_some())
}

fn plan_rules(desired: &Desired, observed: &Observed) -> (Vec<Rule>, Vec<Operation>) {
    let held: BTreeSet<&Rule> = observed.rules.iter().collect();
    let added = desired
        .rules
        .iter()
        .filter(|rule| !held.contains(rule))
        .cloned()
        .collect();
    let mut kept = BTreeSet::new();
    let plain = observed.rules.iter();
    let plain = plain.filter(|rule| !(desired.rules.contains(rule) && kept.insert(*rule)));
    let plain = plain.map(|rule| (rule.priority, Operation::DeleteRule(rule.clone())));
    let odd = observed.odd_rules.iter();
    let odd = odd.map(|odd| (odd.rule.priority, Operation::DeleteOddRule(odd.clone())));
    let mut removed: Vec<_> = plain.chain(odd).collect();
    removed.sort_by_key(|(priority, _)| Reverse(*priority));
    let removed = removed.into_iter().map(|(_, operation)| operation);
    (added, removed.collect())
}

impl Operation {
    /// The nexthop object that this brings about.
    pub fn makes(&self) -> Option<NextHopId> {
        match self {
            Self::AddNextHop(id, _) | Self::ReplaceNextHop(id, _) => Some(*id),
            Self::AddRoute(_)
            | Self::ReplaceRoute(_)
            | Self::DeleteRoute(_)
            | Self::AddRule(_)
            | Self::DeleteRule(_)
            | Self::DeleteOddRule(_)
            | Self::DeleteNextHop(_) => None,
        }
    }

    /// Whether this leads to one of these nexthop objects.
    pub fn needs(&self, nexthops: &BTreeSet<NextHopId>) -> bool {
        match self {
            Self::AddRoute(route) | Self::ReplaceRoute(route) => {
                route.group.is_some_and(|group| nexthops.contains(&group))
            }
            Self::AddNextHop(_, NextHop::Group(members))
            | Self::ReplaceNextHop(_, NextHop::Group(members)) => {
                members.keys().any(|member| nexthops.contains(member))
            }
            Self::AddNextHop(..)
            | Self::ReplaceNextHop(..)
            | Self::DeleteRoute(_)
            | Self::AddRule(_)
            | Self::DeleteRule(_)
            | Self::DeleteOddRule(_)
            | Self::DeleteNextHop(_) => false,
        }
    }

    /// The operation as a line a person could type: `ip route replace …`. An interface whose name
    /// is not among `links` is shown as `if` and its index.
    pub fn line<'a>(
        &'a self,
        links: &'a BTreeMap<IfIndex, Link>,
        protocol: Protocol,
    ) -> impl fmt::Display + 'a {
        OperationLine {
            operation: self,
            links,
            protocol,
        }
    }
}

struct OperationLine<'a> {
    operation: &'a Operation,
    links: &'a BTreeMap<IfIndex, Link>,
    protocol: Protocol,
}

impl fmt::Display for OperationLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation {
            Operation::AddRoute(route) => self.route(f, "add", route),
            Operation::ReplaceRoute(route) => self.route(f, "replace", route),
            Operation::DeleteRoute(route) => self.route(f, "del", route),
            Operation::AddRule(rule) => self.rule(f, "add", rule),
            Operation::DeleteRule(rule) => self.rule(f, "del", rule),
            Operation::DeleteOddRule(odd) => self.rule(f, "del", &odd.rule),
            Operation::AddNextHop(id, hop) => self.next_hop(f, "add", *id, hop),
            Operation::ReplaceNextHop(id, hop) => self.next_hop(f, "replace", *id, hop),
            Operation::DeleteNextHop(id) => write!(f, "ip nexthop del id {id}"),
        }
    }
}

impl OperationLine<'_> {
    fn route(&self, f: &mut fmt::Formatter<'_>, verb: &str, route: &Route) -> fmt::Result {
        let family = Family::of(route.destination.addr());
        write!(f, "{} route {verb} ", ip(family))?;
        if route.destination.prefix_len() == 0 {
            f.write_str("default")?;
        } else {
            write!(f, "{}", route.destination)?;
        }
        if let [path] = route.paths.as_slice() {
            self.path(f, *path)?;
        }
        if let Some(group) = route.group {
            write!(f, " nhid {group}")?;
        }
        write!(
            f,
            " proto {} table {}",
            self.protocol,
            TableName(route.table)
        )?;
        if route.metric != Metric(0) {
            write!(f, " metric {}", route.metric)?;
        }
        if let [_, _, ..] = route.paths.as_slice() {
            for path in &route.paths {
                f.write_str(" nexthop")?;
                self.path(f, *path)?;
                write!(f, " weight {}", path.weight)?;
            }
        }
        Ok(())
    }

    fn path(&self, f: &mut fmt::Formatter<'_>, path: Path) -> fmt::Result {
        if let Some(gateway) = path.gateway {
            write!(f, " via {gateway}")?;
        }
        match self.links.get(&path.index) {
            Some(link) => write!(f, " dev {}", link.name)?,
            None => write!(f, " dev if{}", path.index)?,
        }
        if path.onlink {
            f.write_str(" onlink")?;
        }
        Ok(())
    }

    fn next_hop(
        &self,
        f: &mut fmt::Formatter<'_>,
        verb: &str,
        id: NextHopId,
        hop: &NextHop,
    ) -> fmt::Result {
        match hop {
            NextHop::Path { family, path } => {
                write!(f, "{} nexthop {verb} id {id}", ip(*family))?;
                self.path(f, *path)?;
            }
            NextHop::Group(members) => {
                write!(f, "ip nexthop {verb} id {id} group ")?;
                for (place, (member, weight)) in members.iter().enumerate() {
                    let before = if place == 0 { "" } else { "/" };
                    write!(f, "{before}{member}")?;
                    if *weight != Weight(1) {
                        write!(f, ",{weight}")?;
                    }
                }
                write!(
                    f,
                    " type resilient buckets {BUCKETS} idle_timer {IDLE} unbalanced_timer {UNEVEN}"
                )?;
            }
            NextHop::Odd => write!(f, "ip nexthop {verb} id {id}")?,
        }
        write!(f, " proto {}", self.protocol)
    }

    fn rule(&self, f: &mut fmt::Formatter<'_>, verb: &str, rule: &Rule) -> fmt::Result {
        write!(f, "{} rule {verb} pref {}", ip(rule.family), rule.priority)?;
        for (word, net) in [("from", rule.from), ("to", rule.to)] {
            match net {
                Some(net) if net.prefix_len() == net.max_prefix_len() => {
                    write!(f, " {word} {}", net.addr())?;
                }
                Some(net) => write!(f, " {word} {net}")?,
                None => {}
            }
        }
        if let Some(iif) = &rule.iif {
            write!(f, " iif {iif}")?;
        }
        if let Some(protocol) = rule.protocol {
            write!(f, " ipproto {protocol}")?;
        }
        for (word, ports) in [("sport", rule.sport), ("dport", rule.dport)] {
            if let Some(ports) = ports {
                write!(f, " {word} {ports}")?;
            }
        }
        if let Some(mark) = rule.mark {
            write!(f, " fwmark {:#x}", mark.0)?;
        }
        if let Some(mask) = rule.mask {
            write!(f, "/{:#x}", mask.0)?;
        }
        if let Some(oif) = &rule.oif {
            write!(f, " oif {oif}")?;
        }
        write!(f, " lookup {}", TableName(rule.table))?;
        if let Some(length) = rule.suppress_prefix_length {
            write!(f, " suppress_prefixlength {length}")?;
        }
        write!(f, " protocol {}", self.protocol)
    }
}

fn ip(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ip",
        Family::Ipv6 => "ip -6",
    }
}

struct TableName(TableId);

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == MAIN {
            f.write_str("main")
        } else {
            self.0.fmt(f)
        }
    }
}
