//! The whole vocabulary: what the engine is told, and what it asks for.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::engine::loss::Learner;
use crate::engine::settings::Settings;
use crate::engine::status::{EventRecord, Side, State};
use crate::routing::traffic::Flow;
use crate::routing::{Attachment, Desired, Family, Gateway};
use crate::units::{
    Bytes, Counters, GroupName, InterfaceName, Moment, ProbeId, Target, UplinkName, Wall,
};

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
        outcome: Outcome,
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
    /// A person's wish.
    Command(Command),
    /// A person's wish of before a restart; whether it could be granted now does not matter.
    Restored(Command),
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
pub enum Outcome {
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

/// A person's wish about who carries the traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Manual failover to this uplink, for as long as it is usable.
    Switch(UplinkName),
    /// The same, and the traffic stays there even when it dies.
    Pin(UplinkName),
    /// Back to automatic.
    Auto,
    /// Maintenance: no traffic, still probed.
    Disable(UplinkName),
    /// The end of maintenance.
    Enable(UplinkName),
}

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
    /// Tell the world.
    Event(Event),
}

/// What flows are left behind by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    /// The addresses of the uplinks that were left, of the families that moved.
    pub addresses: BTreeSet<IpAddr>,
    /// Those uplinks are well: a failback, or a person's choice. An uplink that lost an address and
    /// kept the traffic did not choose to.
    pub is_voluntary: bool,
}

/// A probe to send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeOrder {
    /// Its number.
    pub id: ProbeId,
    /// Through which uplink.
    pub uplink: UplinkName,
    /// To whom.
    pub target: Target,
    /// When to stop listening for the answer. Later than the engine's own deadline, so that a late
    /// answer is still seen.
    pub listen_for: Duration,
}

/// Something that a person, a hook or a log may want to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Moment,
    /// What.
    pub change: Change,
    /// Why, in words.
    pub reason: String,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// An uplink changed its state.
    Uplink {
        /// Which.
        uplink: UplinkName,
        /// Its interface.
        interface: InterfaceName,
        /// Before.
        from: State,
        /// After.
        to: State,
    },
    /// A target of an uplink no longer counts, or counts again.
    Target {
        /// Which uplink; none: all of them.
        uplink: Option<UplinkName>,
        /// Its interface.
        interface: Option<InterfaceName>,
        /// Which target.
        target: Target,
        /// Before.
        from: State,
        /// After.
        to: State,
    },
    /// An uplink keeps falling and has to wait for its way back, or no longer has to.
    Flap {
        /// Which uplink.
        uplink: UplinkName,
        /// Its interface.
        interface: InterfaceName,
        /// It has to wait.
        is_suppressed: bool,
    },
    /// A cold uplink has to be brought up or taken down, or was found to be of no use.
    Standby {
        /// Which uplink.
        uplink: UplinkName,
        /// Its interface.
        interface: InterfaceName,
        /// Which of these.
        errand: Errand,
    },
    /// The hosts behind this machine should leave the addresses of these prefixes, or may use them
    /// again.
    Prefix {
        /// Through which uplink they are delegated.
        uplink: UplinkName,
        /// Its interface.
        interface: InterfaceName,
        /// The prefixes.
        prefixes: BTreeSet<IpNet>,
        /// They may use them.
        is_preferred: bool,
    },
    /// The traffic goes another way.
    Switch {
        /// The traffic of this group; none: of all that no group claims.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<GroupName>,
        /// Who carried it; empty at the start.
        from: Vec<UplinkName>,
        /// Who carries it.
        to: Vec<UplinkName>,
    },
    /// The traffic was pinned by hand to an uplink that is of no use, and stays there although another
    /// one is usable.
    Stranded {
        /// To which.
        uplink: UplinkName,
        /// Its interface.
        interface: InterfaceName,
    },
    /// No established flow is held on an uplink in maintenance any more.
    Drained {
        /// Which uplink.
        uplink: UplinkName,
        /// Its interface.
        interface: InterfaceName,
    },
    /// No uplink is usable; the routes stay as they are.
    NoUsableUplink,
    /// A changed configuration is in force.
    ConfigReloaded,
    /// A changed configuration was refused; the old one stays.
    ConfigRefused,
}

/// What becomes of a cold uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Errand {
    /// Bring its interface up.
    Up,
    /// Take it down.
    Down,
    /// It was called, and was not usable in time.
    Unready,
}

impl Change {
    /// The name of the event in logs, hooks, history and ubus.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Uplink { to, .. } => match to {
                State::Up => "uplink.up",
                State::Degraded => "uplink.degraded",
                State::Recovering => "uplink.recovering",
                State::Down | State::Absent | State::Unknown | State::Disabled | State::Cold => {
                    "uplink.down"
                }
            },
            Self::Target { to, .. } if *to == State::Up => "target.up",
            Self::Target { .. } => "target.down",
            Self::Flap { is_suppressed, .. } if *is_suppressed => "flap.penalty",
            Self::Flap { .. } => "flap.reuse",
            Self::Standby { errand, .. } => match errand {
                Errand::Up => "standby.up",
                Errand::Down => "standby.down",
                Errand::Unready => "standby.unready",
            },
            Self::Prefix { is_preferred, .. } if *is_preferred => "prefix.preferred",
            Self::Prefix { .. } => "prefix.deprecated",
            Self::Switch { .. } => "switch",
            Self::Stranded { .. } => "switch.stranded",
            Self::Drained { .. } => "uplink.drained",
            Self::NoUsableUplink => "no_usable_uplink",
            Self::ConfigReloaded => "config.reloaded",
            Self::ConfigRefused => "config.refused",
        }
    }

    /// The group of traffic that it concerns, where that is one of the configuration.
    fn group(&self) -> Option<&GroupName> {
        match self {
            Self::Switch { group, .. } => group.as_ref(),
            Self::Uplink { .. }
            | Self::Target { .. }
            | Self::Flap { .. }
            | Self::Standby { .. }
            | Self::Prefix { .. }
            | Self::Stranded { .. }
            | Self::Drained { .. }
            | Self::NoUsableUplink
            | Self::ConfigReloaded
            | Self::ConfigRefused => None,
        }
    }
}

impl Event {
    /// The event as it leaves the agent. `wall` translates times.
    pub fn record(&self, wall: Wall) -> EventRecord {
        let (uplink, interface) = match &self.change {
            Change::Uplink {
                uplink, interface, ..
            }
            | Change::Flap {
                uplink, interface, ..
            }
            | Change::Standby {
                uplink, interface, ..
            }
            | Change::Prefix {
                uplink, interface, ..
            }
            | Change::Stranded { uplink, interface }
            | Change::Drained { uplink, interface } => {
                (Some(uplink.clone()), Some(interface.clone()))
            }
            Change::Target {
                uplink, interface, ..
            } => (uplink.clone(), interface.clone()),
            Change::Switch { .. }
            | Change::NoUsableUplink
            | Change::ConfigReloaded
            | Change::ConfigRefused => (None, None),
        };
        let (from, to) = match &self.change {
            Change::Uplink { from, to, .. } | Change::Target { from, to, .. } => {
                (Some(Side::State(*from)), Some(Side::State(*to)))
            }
            Change::Switch { from, to, .. } => (
                Some(Side::Uplinks(from.clone())),
                Some(Side::Uplinks(to.clone())),
            ),
            Change::Flap { .. }
            | Change::Standby { .. }
            | Change::Prefix { .. }
            | Change::Stranded { .. }
            | Change::Drained { .. }
            | Change::NoUsableUplink
            | Change::ConfigReloaded
            | Change::ConfigRefused => (None, None),
        };
        let prefixes = match &self.change {
            Change::Prefix { prefixes, .. } => prefixes.clone(),
            Change::Uplink { .. }
            | Change::Target { .. }
            | Change::Flap { .. }
            | Change::Standby { .. }
            | Change::Switch { .. }
            | Change::Stranded { .. }
            | Change::Drained { .. }
            | Change::NoUsableUplink
            | Change::ConfigReloaded
            | Change::ConfigRefused => BTreeSet::new(),
        };
        EventRecord {
            at: wall.at(self.at),
            event: self.change.name().to_owned(),
            group: self.change.group().cloned(),
            uplink,
            interface,
            network: None,
            from,
            to,
            reason: self.reason.clone(),
            prefixes,
            took_us: None,
            flows_moved: None,
        }
    }
}
