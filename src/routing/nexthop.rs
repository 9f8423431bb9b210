//! Nexthop objects: the paths of a route that several uplinks share. Pure.
//!
//! Only a route with two paths or more needs them. Each path is an object, and the route leads to a
//! *resilient* group of these (`Documentation/networking/nexthop-group-resilient.rst`): the group keeps
//! the member of each flow, so that a member that leaves takes only its own flows along, and one that
//! joins gets new and pausing flows. A kernel without resilient groups gets the route with its paths
//! ([`Desired::flattened`](super::Desired::flattened)).
//!
//! The kernel removes an object when its interface goes down or loses its carrier, a group with its
//! last member, and a route with its group.
//!
//! The numbers start at [`Numbering::nexthop`](super::Numbering::nexthop): two objects for each uplink,
//! its IPv4 and its IPv6 path, then two groups for each group of traffic, the default group first.

use serde::{Deserialize, Serialize};

pub use super::numbering::NUMBERS;
use super::route::{Family, Path, Route};
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{NextHopId, Weight};

/// The buckets of a group; all flows of a bucket take the same member.
pub const BUCKETS: u16 = 512;

/// In seconds: a bucket without packets for so long may move to a member that has joined.
pub const IDLE: u32 = 120;

/// In seconds: after so long with uneven shares, buckets in use move to the member that joined, too.
pub const UNEVEN: u32 = 3600;

/// A nexthop object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NextHop {
    /// One path.
    Path {
        /// The family of its next hop, or of its route if it has none.
        family: Family,
        /// The path.
        path: Path,
    },
    /// A resilient group, by members and weights.
    Group(SortedMap<NextHopId, Weight>),
    /// Another object with our protocol number, of another version of this program.
    Odd,
}

/// The paths of a route, its own or those of its group.
pub fn paths_of(route: &Route, nexthops: &SortedMap<NextHopId, NextHop>) -> Vec<Path> {
    let Some(group) = route.group else {
        return route.paths.clone();
    };
    let members = match nexthops.get(&group) {
        Some(NextHop::Group(members)) => members,
        Some(NextHop::Path { path, .. }) => return vec![path.clone()],
        Some(NextHop::Odd) | None => return Vec::new(),
    };
    let paths = members
        .iter()
        .filter_map(|(member, weight)| match nexthops.get(member)? {
            NextHop::Path { path, .. } => Some(Path {
                weight: *weight,
                ..path.clone()
            }),
            NextHop::Group(_) | NextHop::Odd => None,
        });
    paths.collect()
}

/// Whether two routes have the same paths, weights aside.
pub fn leads_alike(
    one: (&Route, &SortedMap<NextHopId, NextHop>),
    other: (&Route, &SortedMap<NextHopId, NextHop>),
) -> bool {
    let ways = |(route, nexthops)| -> SortedSet<_> {
        let paths = paths_of(route, nexthops).into_iter();
        paths.map(|path| (path.index, path.gateway)).collect()
    };
    ways(one) == ways(other)
}
