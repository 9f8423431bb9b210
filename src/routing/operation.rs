//! One change to the kernel's routes, rules or nexthop objects, and its line as an `ip` command.

use std::fmt;

use super::nexthop::{BUCKETS, IDLE, NextHop, UNEVEN};
use super::numbering::MAIN;
use super::observed::Link;
use super::route::{Family, Path, Route};
use super::rule::{OddRule, Rule};
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{IfIndex, Metric, NextHopId, Protocol, TableId, Weight};

/// One change to the kernel's routes or rules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Add a route, unless there is one with its table, destination and metric.
    AddRoute(Route),
    /// Add a route in place of one with its table, destination and metric.
    ReplaceRoute(Route),
    /// Remove a route of ours.
    DeleteRoute(Route),
    /// Add a rule.
    AddRule(Rule),
    /// Remove one rule of ours that equals this.
    DeleteRule(Rule),
    /// Remove a rule of another version of this program.
    DeleteOddRule(OddRule),
    /// Add a nexthop object, unless there is one with its number.
    AddNextHop(NextHopId, NextHop),
    /// Replace our nexthop object with this number.
    ReplaceNextHop(NextHopId, NextHop),
    /// Remove a nexthop object of ours, and with it the routes that lead to it.
    DeleteNextHop(NextHopId),
}

impl Operation {
    /// The nexthop object that this writes.
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

    /// The route that this writes and that says something beyond its path, and the same operation without that.
    pub fn without_options(&self) -> Option<(&Route, Self)> {
        let (route, bare): (_, fn(Route) -> Self) = match self {
            Self::AddRoute(route) => (route, Self::AddRoute),
            Self::ReplaceRoute(route) => (route, Self::ReplaceRoute),
            Self::DeleteRoute(_)
            | Self::AddRule(_)
            | Self::DeleteRule(_)
            | Self::DeleteOddRule(_)
            | Self::AddNextHop(..)
            | Self::ReplaceNextHop(..)
            | Self::DeleteNextHop(_) => return None,
        };
        let has_any = !route.options.is_empty();
        has_any.then(|| (route, bare(route.clone().without_options())))
    }

    /// Whether this refers to one of these nexthop objects.
    pub fn needs(&self, nexthops: &SortedSet<NextHopId>) -> bool {
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

    /// The operation as an `ip` command: `ip route replace …`. An interface that is not among `links`
    /// is shown as `if` and its index.
    pub fn line<'a>(
        &'a self,
        links: &'a SortedMap<IfIndex, Link>,
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
    links: &'a SortedMap<IfIndex, Link>,
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
        if route.is_throw() {
            f.write_str("throw ")?;
        } else if route.is_refusal() {
            f.write_str("unreachable ")?;
        }
        if route.destination.prefix_len() == 0 {
            f.write_str("default")?;
        } else {
            write!(f, "{}", route.destination)?;
        }
        if let [path] = route.paths.as_slice() {
            self.path(f, path)?;
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
        write!(f, "{}", route.options)?;
        if let [_, _, ..] = route.paths.as_slice() {
            for path in &route.paths {
                f.write_str(" nexthop")?;
                self.path(f, path)?;
                write!(f, " weight {}", path.weight)?;
            }
        }
        Ok(())
    }

    fn path(&self, f: &mut fmt::Formatter<'_>, path: &Path) -> fmt::Result {
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
                self.path(f, path)?;
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
        match rule.goto {
            Some(priority) => write!(f, " goto {priority}")?,
            None => write!(f, " lookup {}", TableName(rule.table))?,
        }
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
