//! Nexthop objects: the paths of a route that several uplinks share, under numbers of their own. Pure.
//!
//! Only a route of two paths or more needs them. Each path is an object, and the route leads to a
//! *resilient* group of these (`Documentation/networking/nexthop-group-resilient.rst`): the group
//! remembers where each flow goes, so that a member which leaves takes along its own flows only, and
//! one which joins gets those that pause or are new. A kernel without resilient groups gets the same
//! route with its paths in it ([`Desired::flattened`]).
//!
//! The kernel itself takes an object away when its interface goes down or loses its carrier, out of
//! its group too; and with the last member the group goes, and with the group its routes.
//!
//! From [`Numbering::nexthop`] on come two objects for each uplink, its IPv4 and its IPv6 path, and
//! after [`GROUPS`] two groups for each group of traffic, the rest first.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::desired::UplinkRoutes;
use super::{Desired, Family, Numbering, Path, Route};
use crate::units::{NextHopId, Weight};

/// So many numbers after the first come those of the groups.
pub const GROUPS: u32 = 256;

/// So many numbers are ours.
pub const NUMBERS: u32 = 512;

/// How finely a group divides flows; all flows of one bucket go the same way.
pub const BUCKETS: u16 = 512;

/// In seconds: a bucket without a packet for so long may go to another member when one has joined.
pub const IDLE: u32 = 120;

/// In seconds: when the shares have been uneven for so long because the flows never pause, buckets
/// go to the member that joined although they are in use.
pub const UNEVEN: u32 = 3600;

/// A nexthop object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NextHop {
    /// One way out.
    Path {
        /// Of its next hop, or of the route that has none.
        family: Family,
        /// The way.
        path: Path,
    },
    /// A resilient group, by members and weights.
    Group(BTreeMap<NextHopId, Weight>),
    /// Anything else that carries our protocol number: of another version of this program.
    Odd,
}

impl Numbering {
    /// The object for the path of a family of the uplink at this place in the configuration.
    pub fn path_object(&self, position: u32, family: Family) -> NextHopId {
        NextHopId(self.nexthop.0 + 2 * position + family as u32)
    }

    /// The group of a family for the rest (0) or for a group of the configuration (from 1 on).
    pub fn group_object(&self, group: u32, family: Family) -> NextHopId {
        NextHopId(self.nexthop.0 + GROUPS + 2 * group + family as u32)
    }
}

impl Desired {
    /// Lets a route have its paths, in nexthop objects if it has several and each is known to be an
    /// uplink's.
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
            .map(|path| Some((position_of(path)?, *path)))
            .collect();
        let all = positions.filter(|all| all.len() > 1 && all.len() == route.paths.len());
        if let Some(members) = all {
            let id = numbering.group_object(group, family);
            let mut weights = BTreeMap::new();
            for (position, path) in members {
                let member = numbering.path_object(position, family);
                weights.insert(member, path.weight);
                self.nexthops.insert(member, path_object(path, family));
            }
            self.nexthops.insert(id, NextHop::Group(weights));
            route.group = Some(id);
        }
        self.routes.insert(route.canonical());
    }

    /// Lets a route have its paths in itself.
    pub(super) fn add_plain(&mut self, mut route: Route) {
        let paths = in_one_route(std::mem::take(&mut route.paths), &route);
        self.routes.insert(Route { paths, ..route }.canonical());
    }

    /// The same by the numbers under which the kernel has these paths, though their uplinks may have
    /// had other places in the configuration: an object that is given another path takes the flows
    /// along that a group sends by it.
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

    /// The same for a kernel without resilient groups: with the paths in the routes.
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

fn path_object(path: Path, family: Family) -> NextHop {
    NextHop::Path {
        family: path.gateway.map_or(family, Family::of),
        path: Path {
            weight: Weight(1),
            onlink: path.onlink && path.gateway.is_some(),
            ..path
        },
    }
}

/// An IPv6 route with several paths takes none without a next hop (`ip6_route_multipath_add`).
fn in_one_route(mut paths: Vec<Path>, route: &Route) -> Vec<Path> {
    let is_ipv6 = Family::of(route.destination.addr()) == Family::Ipv6;
    if is_ipv6 && paths.len() > 1 {
        let first = paths[0];
        paths.retain(|path| path.gateway.is_some());
        if paths.is_empty() {
            paths.push(first);
        }
    }
    paths
}

/// The paths of a route, wherever they are kept.
pub fn paths_of(route: &Route, nexthops: &BTreeMap<NextHopId, NextHop>) -> Vec<Path> {
    let Some(group) = route.group else {
        return route.paths.clone();
    };
    let members = match nexthops.get(&group) {
        Some(NextHop::Group(members)) => members,
        Some(NextHop::Path { path, .. }) => return vec![*path],
        Some(NextHop::Odd) | None => return Vec::new(),
    };
    let paths = members
        .iter()
        .filter_map(|(member, weight)| match nexthops.get(member)? {
            NextHop::Path { path, .. } => Some(Path {
                weight: *weight,
                ..*path
            }),
            NextHop::Group(_) | NextHop::Odd => None,
        });
    paths.collect()
}

/// Whether two routes lead the same way, wherever their paths are kept; weights aside.
pub fn leads_alike(
    one: (&Route, &BTreeMap<NextHopId, NextHop>),
    other: (&Route, &BTreeMap<NextHopId, NextHop>),
) -> bool {
    let ways = |(route, nexthops)| -> BTreeSet<_> {
        let paths = paths_of(route, nexthops).into_iter();
        paths.map(|path| (path.index, path.gateway)).collect()
    };
    ways(one) == ways(other)
}
