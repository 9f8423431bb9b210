//! The actions of the engine.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::event::Event;
use crate::routing::{Desired, Family};
use crate::units::sorted::SortedSet;
use crate::units::{GroupName, HopPlace, InterfaceName, Moment, ProbeId, Target, UplinkName};

/// Something that the engine wants done outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Send a probe.
    Probe(ProbeOrder),
    /// Read the counters of this uplink's interface.
    Count(UplinkName),
    /// Make the kernel hold this.
    Route(Desired),
    /// The traffic no longer leaves by these addresses: end the flows that do.
    Leave(Departure),
    /// Do this for the drain of an uplink.
    Drain(UplinkName, DrainOrder),
    /// Do this for a drill.
    Drill(DrillOrder),
    /// Ask the first hops of a path.
    Trace(TraceOrder),
    /// Tell the world.
    Event(Event),
}

/// What the drain of an uplink needs, or has come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainOrder {
    /// Count its established flows of these families, now and every few seconds.
    CountFlows(SortedSet<Family>),
    /// The uplink takes no new flows; the operator's command is done.
    Begun {
        /// So many established flows go on.
        flows: usize,
        /// For so long at most.
        limit: Duration,
    },
    /// The command failed, or another one took its place: no counts are needed any more.
    Failed(String),
    /// It is over: no counts are needed any more.
    Over,
}

/// What a drill needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillOrder {
    /// Send a stream to these addresses and let the path of this uplink fail.
    Cut {
        /// Which uplink.
        uplink: UplinkName,
        /// Its interface.
        interface: InterfaceName,
        /// Those of its targets that are addresses.
        targets: Vec<IpAddr>,
    },
    /// Make the path whole again, and end the stream.
    Mend,
}

/// What flows are left behind by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    /// The addresses of the uplinks that were left, of the families that moved.
    pub addresses: SortedSet<IpAddr>,
    /// Those uplinks with these families, where none of it is carried there any more: their flows are not to come
    /// back by themselves.
    #[serde(default)]
    pub uplinks: SortedSet<(UplinkName, Family)>,
    /// The groups of traffic whose flows these are, `None` for the rest, where other groups still leave by these
    /// addresses; otherwise nothing, and all flows are left.
    #[serde(default, skip_serializing_if = "SortedSet::is_empty")]
    pub groups: SortedSet<Option<GroupName>>,
    /// Why they are left behind.
    pub cause: DepartureCause,
}

/// Why flows are left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DepartureCause {
    /// Their uplink no longer carries traffic as it should, or has lost their address.
    Failed,
    /// Their uplink is healthy, and they are not to stay there: a failback, an operator's choice, the end of a drain.
    Chosen,
    /// They stayed on a healthy uplink for as long as they may.
    Limit,
    /// Their uplink is in doubt, and new connections go elsewhere: only those that began since then and have seen no
    /// answer.
    Doubt(Moment),
}

/// Echoes to send, whose time to live ends at the first hops of the path of an uplink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceOrder {
    /// Of which uplink.
    pub uplink: UplinkName,
    /// The path to this address.
    pub target: IpAddr,
    /// For so long answers are awaited.
    pub listen_for: Duration,
    /// It is not known whether the path works: what is silent may have broken.
    pub in_doubt: bool,
}

/// A probe to send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeOrder {
    /// Its number.
    pub id: ProbeId,
    /// Through which uplink.
    pub uplink: UplinkName,
    /// The target.
    pub target: Target,
    /// By which of several next hops; none: as the traffic goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hop: Option<HopPlace>,
    /// When to stop listening for the answer. Later than the engine's own deadline, so that a late
    /// answer is still seen.
    pub listen_for: Duration,
}
