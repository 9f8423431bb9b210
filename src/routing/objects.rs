//! What the kernel should hold of ours, and the forms that it can take.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::attach::UplinkRoutes;
use super::nexthop::{NextHop, paths_of};
use super::numbering::Numbering;
use super::route::{Family, Path, Route};
use super::rule::Rule;
use crate::units::{NextHopId, Weight};

/// All objects of ours that the kernel should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// Our routes.
    pub routes: BTreeSet<Route>,
    /// Our rules.
    pub rules: BTreeSet<Rule>,
    /// Our nexthop objects.
    #[serde(default)]
    pub nexthops: BTreeMap<NextHopId, NextHop>,
}

impl Desired {
    /// Adds a route, with nexthop objects if it has several paths and each is an uplink's.
    pub(super) fn add(
        &mut self,
        mut route: Route,
        group: u32,
        numbering: &Numbering,
        uplinks: &[UplinkRoutes<'_>],
    ) {
        let family = Family::of(route.destination.addr());
        let position_of = |path: &Path| {
            let mut uplinks = uplinks.iter();
            let is_there = |own: &Path| (own.index, own.gateway) == (path.index, path.gateway);
            uplinks
                .find(|uplink| uplink.attachment.paths.get(&family).is_some_and(is_there))
                .map(|uplink| uplink.position)
        };
        let positions: Option<BTreeMap<_, _>> = route
            .paths
            .iter()
            .map(|path| Some((position_of(path)?, path.clone())))
            .collect();
        let all = positions.filter(|all| all.len() > 1 && all.len() == route.paths.len());
        if let Some(members) = all {
            let id = numbering.group_object(group, family);
            let mut weights = BTreeMap::new();
            for (position, path) in members {
                let member = numbering.path_object(position, family);
                weights.insert(member, path.weight);
                self.nexthops.insert(member, path_object(&path, family));
            }
            self.nexthops.insert(id, NextHop::Group(weights));
            route.group = Some(id);
        }
        self.routes.insert(route.canonical());
    }

    /// Adds a route without nexthop objects.
    pub(super) fn add_plain(&mut self, mut route: Route) {
        let paths = in_one_route(std::mem::take(&mut route.paths), &route);
        self.routes.insert(Route { paths, ..route }.canonical());
    }

    /// The same with the numbers under which the kernel already holds these paths: their uplinks may have
    /// had other places in the configuration, and an object that gets another path takes the flows of its
    /// group along.
    pub(super) fn by_numbers_of(&self, observed: &BTreeMap<NextHopId, NextHop>) -> Cow<'_, Self> {
        let is_path = |hop: &NextHop| matches!(hop, NextHop::Path { .. });
        let paths = || self.nexthops.iter().filter(|(_, hop)| is_path(hop));
        let is_kept = |(id, hop): (&NextHopId, &NextHop)| observed.get(id) == Some(hop);
        if paths().all(is_kept) {
            return Cow::Borrowed(self);
        }
        let mut numbers: BTreeMap<NextHopId, NextHopId> = paths()
            .filter(|(id, hop)| is_kept((*id, *hop)))
            .map(|(id, _)| (*id, *id))
            .collect();
        let mut taken: BTreeSet<NextHopId> = numbers.keys().copied().collect();
        let is_group = |id: &NextHopId| self.nexthops.get(id).is_some_and(|hop| !is_path(hop));
        for (id, hop) in paths() {
            let mut same = observed.iter().filter(|(_, held)| *held == hop);
            if !numbers.contains_key(id)
                && let Some((known, _)) =
                    same.find(|(known, _)| !taken.contains(known) && !is_group(known))
            {
                numbers.insert(*id, *known);
                taken.insert(*known);
            }
        }
        for (id, _) in paths() {
            if !numbers.contains_key(id) {
                let mut free = [id].into_iter().chain(paths().map(|(id, _)| id));
                let number = *free.find(|id| !taken.contains(id)).unwrap_or(id);
                numbers.insert(*id, number);
                taken.insert(number);
            }
        }
        let number = |id: &NextHopId| numbers.get(id).copied().unwrap_or(*id);
        let nexthops = self.nexthops.iter().map(|(id, hop)| {
            let hop = match hop {
                NextHop::Group(members) => {
                    let members = members.iter().map(|(id, weight)| (number(id), *weight));
                    NextHop::Group(members.collect())
                }
                NextHop::Path { .. } | NextHop::Odd => hop.clone(),
            };
            (number(id), hop)
        });
        Cow::Owned(Self {
            nexthops: nexthops.collect(),
            ..self.clone()
        })
    }

    /// The same for a kernel without resilient groups: the paths stand in the routes.
    #[must_use]
    pub fn flattened(&self) -> Self {
        let routes = self.routes.iter().map(|route| Route {
            paths: in_one_route(paths_of(route, &self.nexthops), route),
            group: None,
            ..route.clone()
        });
        Self {
            routes: routes.map(Route::canonical).collect(),
            rules: self.rules.clone(),
            nexthops: BTreeMap::new(),
        }
    }
}

fn path_object(path: &Path, family: Family) -> NextHop {
    NextHop::Path {
        family: path.gateway.map_or(family, Family::of),
        path: Path {
            weight: Weight(1),
            onlink: path.onlink && path.gateway.is_some(),
            options: None,
            ..path.clone()
        },
    }
}

/// Drops what the kernel refuses: of several IPv6 paths those without a next hop
/// (`ip6_route_multipath_add`).
fn in_one_route(mut paths: Vec<Path>, route: &Route) -> Vec<Path> {
    let is_ipv6 = Family::of(route.destination.addr()) == Family::Ipv6;
    if is_ipv6 && paths.len() > 1 {
        let first = paths[0].clone();
        paths.retain(|path| path.gateway.is_some());
        if paths.is_empty() {
            paths.push(first);
        }
    }
    paths
}
