//! What the kernel should hold of ours, and the forms that it can take.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::attach::UplinkRoutes;
use super::nexthop::{NUMBERS, NextHop, paths_of};
use super::numbering::Numbering;
use super::observed::Observed;
use super::operation::Operation;
use super::route::{Family, Path, Route};
use super::rule::Rule;
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{NextHopId, TableId, Weight};

/// All objects of ours that the kernel should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// Our routes.
    pub routes: SortedSet<Route>,
    /// Our rules.
    pub rules: SortedSet<Rule>,
    /// Our nexthop objects.
    #[serde(default)]
    pub nexthops: SortedMap<NextHopId, NextHop>,
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
        let positions: Option<SortedMap<_, _>> = route
            .paths
            .iter()
            .map(|path| Some((position_of(path)?, path.clone())))
            .collect();
        let all = positions.filter(|all| all.len() > 1 && all.len() == route.paths.len());
        if let Some(members) = all {
            let id = numbering.group_object(group, family);
            let mut weights = SortedMap::new();
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

    /// The same with the numbers under which the kernel already holds these objects, and without those that another
    /// program has taken: the uplinks may have had other places in the configuration, an object that gets another
    /// path takes the flows of its group along, and `zebra` numbers its own onwards from the highest that it finds.
    pub(super) fn by_numbers_of(&self, observed: &Observed) -> Cow<'_, Self> {
        let is_kept = |(id, hop): (&NextHopId, &NextHop)| observed.nexthops.get(id) == Some(hop);
        if self.nexthops.iter().all(is_kept) {
            return Cow::Borrowed(self);
        }
        let mut numbers = Numbers::new(observed, &self.nexthops);
        let is_path = |(_, hop): &(&NextHopId, &NextHop)| matches!(hop, NextHop::Path { .. });
        let (paths, groups): (Vec<_>, Vec<_>) = self.nexthops.iter().partition(is_path);
        let mut nexthops = numbers.assign(paths.into_iter().map(|(id, hop)| (*id, hop.clone())));
        let groups = groups
            .into_iter()
            .map(|(id, hop)| (*id, numbers.of_members(hop)));
        let groups: Vec<_> = groups.collect();
        nexthops.extend(numbers.assign(groups.into_iter()));
        let routes = self.routes.iter().map(|route| Route {
            group: route.group.map(|group| numbers.of(group)),
            ..route.clone()
        });
        Cow::Owned(Self {
            routes: routes.collect(),
            rules: self.rules.clone(),
            nexthops,
        })
    }

    /// The tables of our routes.
    pub fn tables(&self) -> impl Iterator<Item = TableId> {
        self.routes.iter().map(|route| route.table)
    }

    /// Whether an operation leads to this, and not from it.
    pub fn asks_for(&self, operation: &Operation) -> bool {
        match operation {
            Operation::AddRoute(route) | Operation::ReplaceRoute(route) => {
                self.routes.contains(route)
            }
            Operation::DeleteRoute(route) => !self.routes.contains(route),
            Operation::AddRule(rule) => self.rules.contains(rule),
            Operation::DeleteRule(rule) => !self.rules.contains(rule),
            Operation::DeleteOddRule(_)
            | Operation::AddNextHop(..)
            | Operation::ReplaceNextHop(..)
            | Operation::DeleteNextHop(_) => true,
        }
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
            nexthops: SortedMap::new(),
        }
    }
}

/// Which number of the kernel's each object gets.
struct Numbers<'a> {
    observed: &'a Observed,
    /// The lowest that is wanted: those in use go on from it.
    first: NextHopId,
    assigned: SortedMap<NextHopId, NextHopId>,
}

impl<'a> Numbers<'a> {
    fn new(observed: &'a Observed, wanted: &SortedMap<NextHopId, NextHop>) -> Self {
        Self {
            observed,
            first: wanted.keys().next().copied().unwrap_or(NextHopId(0)),
            assigned: SortedMap::new(),
        }
    }

    fn of(&self, wanted: NextHopId) -> NextHopId {
        self.assigned.get(&wanted).copied().unwrap_or(wanted)
    }

    fn of_members(&self, hop: &NextHop) -> NextHop {
        match hop {
            NextHop::Group(members) => {
                let members = members.iter();
                NextHop::Group(
                    members
                        .map(|(id, weight)| (self.of(*id), *weight))
                        .collect(),
                )
            }
            NextHop::Path { .. } | NextHop::Odd => hop.clone(),
        }
    }

    /// An object that is there keeps its number; then each other gets its own, or one that is free.
    fn assign(
        &mut self,
        objects: impl Iterator<Item = (NextHopId, NextHop)> + Clone,
    ) -> SortedMap<NextHopId, NextHop> {
        for (id, hop) in objects.clone() {
            if let Some(held) = self.held(id, &hop) {
                self.assigned.insert(id, held);
            }
        }
        for (id, hop) in objects.clone() {
            if !self.assigned.contains_key(&id) {
                let free = self.free(id, &hop);
                self.assigned.insert(id, free);
            }
        }
        objects.map(|(id, hop)| (self.of(id), hop)).collect()
    }

    fn is_assigned(&self, number: NextHopId) -> bool {
        self.assigned.values().any(|taken| *taken == number)
    }

    fn held(&self, wanted: NextHopId, hop: &NextHop) -> Option<NextHopId> {
        let held = |id: &NextHopId| self.observed.nexthops.get(id) == Some(hop);
        let others = self.observed.nexthops.keys().copied();
        let mut candidates = [wanted].into_iter().chain(others).filter(held);
        candidates.find(|id| !self.is_assigned(*id))
    }

    /// Its own number, one that no object has, or one of an object of the same kind that is not wanted any more.
    fn free(&self, wanted: NextHopId, hop: &NextHop) -> NextHopId {
        let is_group = |hop: &NextHop| matches!(hop, NextHop::Group(_));
        let is_free = |id: &NextHopId| {
            let may_hold = match self.observed.nexthops.get(id) {
                Some(NextHop::Odd) | None => true,
                Some(held) => is_group(held) == is_group(hop),
            };
            may_hold && !self.observed.taken_nexthops.contains(id) && !self.is_assigned(*id)
        };
        let all = (self.first.0..self.first.0.saturating_add(NUMBERS)).map(NextHopId);
        let is_unused = |id: &NextHopId| !self.observed.nexthops.contains_key(id);
        let unused = all.clone().filter(is_unused);
        let mut candidates = [wanted].into_iter().chain(unused).chain(all);
        candidates.find(is_free).unwrap_or(wanted)
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
