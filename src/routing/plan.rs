//! The operations between what the kernel holds and what it should hold. Pure.

use std::cmp::Reverse;

use ipnet::IpNet;

use super::nexthop::NextHop;
use super::numbering::MAIN;
use super::objects::Desired;
use super::observed::Observed;
pub use super::operation::Operation;
use super::route::{Family, Route};
use super::rule::Rule;
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{Metric, NextHopId, TableId};

/// The operations after which the kernel holds all of `desired` and nothing else of ours.
///
/// In main, a route of ours is replaced only by ours; where there is none one is added, which the
/// kernel refuses if a route of another program stands in its place.
///
/// Make before break: nexthop objects are added, then routes added and replaced, rules added, rules
/// deleted, routes deleted, nexthop objects deleted, so that a packet in between finds no less than
/// before or after. Objects of others are never deleted. The last rule is deleted first: while it
/// exists, the rule for main without its default must precede it, or packets to the LAN would leave
/// through an uplink. A rule that passes main by is there only while the rules behind it are.
pub fn plan(desired: &Desired, observed: &Observed) -> Vec<Operation> {
    let desired = &*desired.by_numbers_of(observed);
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

/// Paths before their groups. An object of another version of this program is deleted first, to free
/// its number, and its routes are gone until they are written again.
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

/// Groups before their paths.
fn unmade_next_hops(desired: &Desired, observed: &Observed) -> Vec<Operation> {
    let unwanted =
        { observed.nexthops.iter() }.filter(|(id, _)| !desired.nexthops.contains_key(id));
    let (paths, others): (Vec<_>, Vec<_>) =
        unwanted.partition(|(_, hop)| matches!(hop, NextHop::Path { .. }));
    let all = others.into_iter().chain(paths);
    all.map(|(id, _)| Operation::DeleteNextHop(*id)).collect()
}

/// The kernel's key for replacing a route.
type RouteKey = (TableId, IpNet, Metric);

fn key(route: &Route) -> RouteKey {
    (route.table, route.destination, route.metric)
}

fn plan_routes(desired: &Desired, observed: &Observed) -> (Vec<Operation>, Vec<Route>) {
    let wanted: SortedMap<RouteKey, Route> = desired
        .routes
        .iter()
        .map(|route| route.clone().canonical())
        .map(|route| (key(&route), route))
        .collect();
    let mut held: SortedMap<RouteKey, Vec<Route>> = SortedMap::new();
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

/// The route of the same key that the kernel replaces: the first, and in IPv6 the first that has next
/// hops like this one, or none like this one (`fib6_add_rt2node`).
fn replaced_by(route: &Route, others: &[Route]) -> usize {
    let is_ipv6 = Family::of(route.destination.addr()) == Family::Ipv6;
    let is_alike = |other: &Route| is_ipv6 && has_next_hops(other) == has_next_hops(route);
    others.iter().position(is_alike).unwrap_or(0)
}

fn has_next_hops(route: &Route) -> bool {
    route.group.is_none()
        && !route.paths.is_empty()
        && route.paths.iter().all(|path| path.gateway.is_some())
}

fn plan_rules(desired: &Desired, observed: &Observed) -> (Vec<Rule>, Vec<Operation>) {
    let held: SortedSet<&Rule> = observed.rules.iter().collect();
    let missing = desired.rules.iter().filter(|rule| !held.contains(rule));
    let mut added: Vec<_> = missing.cloned().collect();
    added.sort_by_key(|rule| rule.goto.is_some());
    let place = |rule: &Rule| (rule.goto.is_some(), rule.priority);
    let mut kept = SortedSet::new();
    let plain = observed.rules.iter();
    let plain = plain.filter(|rule| !(desired.rules.contains(rule) && kept.insert(*rule)));
    let plain = plain.map(|rule| (place(rule), Operation::DeleteRule(rule.clone())));
    let odd = observed.odd_rules.iter();
    let odd = odd.map(|odd| (place(&odd.rule), Operation::DeleteOddRule(odd.clone())));
    let mut removed: Vec<_> = plain.chain(odd).collect();
    removed.sort_by_key(|(place, _)| Reverse(*place));
    let removed = removed.into_iter().map(|(_, operation)| operation);
    (added, removed.collect())
}
