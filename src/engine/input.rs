//! What the engine takes in.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::command::IssuedCommand;
use crate::engine::loss::Learner;
use crate::engine::settings::Settings;
use crate::routing::traffic::Flow;
use crate::routing::{Attachment, Family, Gateway};
use crate::units::{Bytes, Counters, GroupName, InterfaceName, ProbeId, UplinkName};

/// Something that happened outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// An uplink's link is now like this.
    Attachment {
        /// Which uplink.
        uplink: UplinkName,
        /// How it is attached.
        attachment: Attachment,
    },
    /// The kernel already sends the traffic through this uplink: an earlier run left it so.
    Carrying(UplinkName),
    /// And this family through another one.
    CarryingApart {
        /// Which family.
        family: Family,
        /// Through whom.
        uplink: UplinkName,
    },
    /// And this family of a group's traffic, or of the rest, through all of these together.
    Sharing {
        /// Which group; none: the rest.
        group: Option<GroupName>,
        /// Which family.
        family: Family,
        /// Through whom; the first is the one that it was led to.
        uplinks: Vec<UplinkName>,
    },
    /// What an earlier run learnt about how this uplink loses packets.
    Learnt {
        /// Which uplink.
        uplink: UplinkName,
        /// What was learnt.
        learner: Learner,
    },
    /// What an earlier run left of a metered uplink's budget.
    Unspent {
        /// Which uplink.
        uplink: UplinkName,
        /// So much may be spent.
        left: Bytes,
    },
    /// What became of a probe. A probe that is never heard of is missed by the engine's own clock.
    Probe {
        /// Through which uplink.
        uplink: UplinkName,
        /// Which probe.
        id: ProbeId,
        /// Its outcome.
        outcome: ProbeOutcome,
    },
    /// What has gone through an uplink's interface, as [`Action::Count`] asked.
    Counters {
        /// Which uplink.
        uplink: UplinkName,
        /// Its counters.
        counters: Counters,
    },
    /// The configuration was changed.
    Settings(Box<Settings>),
    /// An uplink goes through another interface, or by other next hops, than it did.
    Moved {
        /// Which uplink.
        uplink: UplinkName,
        /// The interface.
        interface: InterfaceName,
        /// The IPv4 next hop.
        gateway: Gateway,
        /// The IPv6 next hop.
        gateway6: Gateway,
    },
    /// A command of an operator.
    Command(IssuedCommand),
    /// A command of before a restart; whether it could be followed now does not matter.
    Restored(IssuedCommand),
    /// These flows stay with this uplink although it no longer carries the traffic; none: no more.
    Held {
        /// Which uplink.
        uplink: UplinkName,
        /// All of its flows that stay.
        flows: BTreeSet<Flow>,
    },
}

/// What became of a probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeOutcome {
    /// The target answered after this time.
    Reply(Duration),
    /// Somebody on the way said that the target cannot be reached.
    Unreachable(String),
    /// It was answered, but not as it should be: a server in trouble, a resolver that does not
    /// resolve.
    Wrong(String),
    /// Somebody on the way answered in its place, as a captive portal does.
    Captive(String),
    /// The probe never left this machine; says nothing about the path.
    NotSent(String),
}
