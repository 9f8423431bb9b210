//! Events: what they are, and how each is delivered.
//!
//! A new event has a row in the table of [`EventKind`], and a [`Change`] that carries its values; its form
//! outside the agent, in [`record`], follows from these.
//! Everything that delivers events follows the table; none of it looks at a name.

mod allowance;
pub mod broken_at;
pub mod cause;
mod delivery;
pub mod drill;
mod planned_switch;
pub mod record;
mod soft_switch;
mod values;

use std::num::NonZeroU32;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use self::allowance::AllowanceChange;
use self::broken_at::BrokenAt;
use self::cause::SwitchCause;
pub use self::delivery::{Delivery, Lane, Repetition, Severity, StandbyOrder, Urgency};
use self::drill::DrillChange;
pub use self::planned_switch::PlannedSwitch;
pub use self::soft_switch::SoftSwitch;
use self::values::ChangeValues;
pub use self::values::Side;
use crate::engine::state::State;
use crate::routing::Family;
use crate::units::sorted::SortedSet;
use crate::units::{GroupName, InterfaceName, Moment, Target, UplinkName};

/// Declares the kinds, and the row of each.
macro_rules! event_kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal $severity:ident $urgency:ident $lane:expr, $repeats:ident;)*) => {
        /// The kinds of events.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum EventKind {
            $($(#[$doc])* #[serde(rename = $name)] $kind,)*
        }

        impl EventKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// Its name, and how it is delivered.
            pub const fn delivery(self) -> Delivery {
                match self {
                    $(Self::$kind => Delivery {
                        name: $name,
                        severity: Severity::$severity,
                        urgency: Urgency::$urgency,
                        lane: $lane,
                        repeats: Repetition::$repeats,
                    },)*
                }
            }
        }
    };
}

event_kinds! {
    // kind, name, severity, urgency, lane, how repeats count
    /// An uplink answers and is good.
    UplinkUp "uplink.up" Info Batched Lane::News, CountedPerUplink;
    /// An uplink loses or delays too much, or one family of it is broken.
    UplinkDegraded "uplink.degraded" Info Batched Lane::News, CountedPerUplink;
    /// An uplink does not work: it does not answer, or is not there.
    UplinkDown "uplink.down" Warning Batched Lane::News, CountedPerUplink;
    /// An uplink is taken out of use by hand.
    UplinkDisabled "uplink.disabled" Info Batched Lane::News, Each;
    /// It may be used again.
    UplinkEnabled "uplink.enabled" Info Batched Lane::News, Each;
    /// An uplink goes on by another of its next hops.
    UplinkNextHop "uplink.next_hop" Warning Batched Lane::News, Each;
    /// An uplink answers again, but not for long enough.
    UplinkRecovering "uplink.recovering" Info Batched Lane::News, CountedPerUplink;
    /// The drain of an uplink is over.
    UplinkDrained "uplink.drained" Info Batched Lane::News, Each;
    /// A target counts again.
    TargetUp "target.up" Info Batched Lane::News, CountedPerTargets;
    /// A target does not count.
    TargetDown "target.down" Info Batched Lane::News, CountedPerTargets;
    /// An uplink fails so often that it has to wait for its failback.
    FlapPenalty "flap.penalty" Warning Batched Lane::News, Each;
    /// It no longer has to wait.
    FlapReuse "flap.reuse" Info Batched Lane::News, Each;
    /// A cold uplink is to be brought up.
    StandbyUp "standby.up" Info Batched Lane::Standby(StandbyOrder::Up), Each;
    /// A cold uplink is to be taken down.
    StandbyDown "standby.down" Info Batched Lane::Standby(StandbyOrder::Down), Each;
    /// A cold uplink was not usable in time.
    StandbyUnready "standby.unready" Warning Batched Lane::News, Each;
    /// Hosts may use the addresses of these prefixes again.
    PrefixPreferred "prefix.preferred" Info Batched Lane::News, Each;
    /// Hosts should leave the addresses of these prefixes.
    PrefixDeprecated "prefix.deprecated" Info Batched Lane::News, Each;
    /// A part of the allowance of an uplink is used, or all of it.
    AllowanceReached "allowance.reached" Warning Batched Lane::News, Each;
    /// Other uplinks carry the traffic.
    Switch "switch" Info AtOnce Lane::News, Each;
    /// An operator or a schedule is about to move the traffic: for hooks alone.
    SwitchPlanned "switch.planned" Info Batched Lane::News, Each;
    /// New connections go by other uplinks, or by those again that carry the traffic.
    SwitchSoft "switch.soft" Info Batched Lane::News, Each;
    /// The traffic is pinned to an uplink that is not usable.
    SwitchStranded "switch.stranded" Error AtOnce Lane::News, Each;
    /// No uplink is usable.
    NoUsableUplink "no_usable_uplink" Error AtOnce Lane::News, Each;
    /// A failover test is over.
    Drill "drill" Info AtOnce Lane::News, Each;
    /// The agent was kept from running.
    MachineStalled "machine.stalled" Warning Batched Lane::News, Each;
    /// This machine refuses to send probes on all uplinks.
    MachineRefuses "machine.refuses" Error Batched Lane::News, Each;
    /// Probes can be sent again.
    MachineSends "machine.sends" Info Batched Lane::News, Each;
    /// The agent runs.
    AgentStarted "agent.started" Info AtOnce Lane::News, Each;
    /// The agent ends as it was told to.
    AgentStopped "agent.stopped" Info Batched Lane::News, Each;
    /// A changed configuration is in force.
    ConfigReloaded "config.reloaded" Info Batched Lane::News, Each;
    /// A changed configuration was refused.
    ConfigRefused "config.refused" Error Batched Lane::News, Each;
}

impl EventKind {
    /// The name in the log, the history, hooks and ubus.
    pub const fn name(self) -> &'static str {
        self.delivery().name
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// The kind of a change of an uplink's state. What is done by hand is no failure.
    const fn of_states(from: State, to: State) -> Self {
        match (from, to) {
            (_, State::Disabled) => Self::UplinkDisabled,
            (State::Disabled, _) => Self::UplinkEnabled,
            (_, State::Up) => Self::UplinkUp,
            (_, State::Degraded) => Self::UplinkDegraded,
            (_, State::Recovering) => Self::UplinkRecovering,
            (_, State::Down | State::Absent | State::Unknown | State::Cold) => Self::UplinkDown,
        }
    }

    /// The kind of an uplink's falls, for which it has to wait or no longer has to.
    const fn of_flaps(is_suppressed: bool) -> Self {
        if is_suppressed {
            Self::FlapPenalty
        } else {
            Self::FlapReuse
        }
    }

    /// The kind of a state that a target entered.
    const fn of_target(state: State) -> Self {
        match state {
            State::Up => Self::TargetUp,
            State::Degraded
            | State::Recovering
            | State::Down
            | State::Absent
            | State::Unknown
            | State::Disabled
            | State::Cold => Self::TargetDown,
        }
    }
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Moment,
    /// What.
    pub change: Change,
    /// Why, in words.
    pub reason: String,
}

impl Event {
    pub(super) fn new(at: Moment, change: Change, reason: String) -> Self {
        Self { at, change, reason }
    }
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
        /// Where its path broke, if that was known by then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        broken_at: Option<BrokenAt>,
    },
    /// An uplink goes on by another of its next hops.
    NextHop {
        /// Which uplink.
        uplink: UplinkName,
        /// Its interface.
        interface: InterfaceName,
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
    /// Hosts should leave the addresses of these prefixes, or may use them again.
    Prefix {
        /// Through which uplink they are delegated.
        uplink: UplinkName,
        /// Its interface.
        interface: InterfaceName,
        /// The prefixes.
        prefixes: SortedSet<IpNet>,
        /// They may use them.
        is_preferred: bool,
    },
    /// The traffic goes another way.
    Switch {
        /// The traffic of this group; none: of all that no group claims.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<GroupName>,
        /// The one family that moved, where the other stays; none: all traffic of the group.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        family: Option<Family>,
        /// What carried it; empty at the start.
        from: Vec<UplinkName>,
        /// What carries it.
        to: Vec<UplinkName>,
        /// All uplinks that carry the group from then on.
        #[serde(default)]
        active: Vec<UplinkName>,
        /// The class of the reason.
        #[serde(default)]
        cause: SwitchCause,
        /// For how many milliseconds the outage of the uplink that it left had lasted, if it left one that is down.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outage_ms: Option<NonZeroU32>,
    },
    /// The traffic is about to go another way, as planned.
    PlannedSwitch(PlannedSwitch),
    /// New connections go another way, established ones stay; or they come back.
    SoftSwitch(SoftSwitch),
    /// The traffic stays pinned to an uplink that is of no use, although another one is usable.
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
    /// A part of the allowance of an uplink is used, or all of it.
    Allowance(AllowanceChange),
    /// A failover test is over, or was due and did not begin.
    Drill(Box<DrillChange>),
    /// No uplink is usable; the routes stay as they are.
    NoUsableUplink,
    /// The agent was kept from running.
    MachineStalled,
    /// This machine refuses to send probes on all uplinks, or no longer does.
    MachineRefuses {
        /// It no longer does.
        is_over: bool,
    },
    /// The agent runs.
    AgentStarted {
        /// What carries the default group since before its start.
        carriers: Vec<UplinkName>,
    },
    /// The agent ends as it was told to.
    AgentStopped,
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

impl Errand {
    const fn kind(self) -> EventKind {
        match self {
            Self::Up => EventKind::StandbyUp,
            Self::Down => EventKind::StandbyDown,
            Self::Unready => EventKind::StandbyUnready,
        }
    }
}

impl Change {
    /// The kind of event that tells of it.
    pub fn kind(&self) -> EventKind {
        self.values().kind
    }

    /// The uplink that it concerns, where that is one.
    pub fn uplink(&self) -> Option<&UplinkName> {
        self.values().uplink
    }

    fn values(&self) -> ChangeValues<'_> {
        match self {
            Self::Uplink {
                uplink,
                interface,
                from,
                to,
                broken_at,
            } => ChangeValues {
                sides: Some((Side::State(*from), Side::State(*to))),
                broken_at: *broken_at,
                ..ChangeValues::of_uplink(EventKind::of_states(*from, *to), uplink, interface)
            },
            Self::Target {
                uplink,
                interface,
                target: _,
                from,
                to,
            } => ChangeValues {
                uplink: uplink.as_ref(),
                interface: interface.as_ref(),
                sides: Some((Side::State(*from), Side::State(*to))),
                ..ChangeValues::of(EventKind::of_target(*to))
            },
            Self::Flap {
                uplink,
                interface,
                is_suppressed,
            } => ChangeValues::of_uplink(EventKind::of_flaps(*is_suppressed), uplink, interface),
            Self::Standby {
                uplink,
                interface,
                errand,
            } => ChangeValues::of_uplink(errand.kind(), uplink, interface),
            Self::Prefix {
                uplink,
                interface,
                prefixes,
                is_preferred,
            } => {
                let kinds = [EventKind::PrefixDeprecated, EventKind::PrefixPreferred];
                let kind = kinds[usize::from(*is_preferred)];
                ChangeValues {
                    prefixes: Some(prefixes),
                    ..ChangeValues::of_uplink(kind, uplink, interface)
                }
            }
            Self::Switch {
                group,
                family,
                from,
                to,
                active: _,
                cause,
                outage_ms,
            } => {
                ChangeValues::of_switch((group.as_ref(), *family), (from, to), (*cause, *outage_ms))
            }
            Self::PlannedSwitch(switch) => switch.values(),
            Self::SoftSwitch(switch) => switch.values(),
            Self::Stranded { uplink, interface } => {
                ChangeValues::of_uplink(EventKind::SwitchStranded, uplink, interface)
            }
            Self::Drained { uplink, interface } => {
                ChangeValues::of_uplink(EventKind::UplinkDrained, uplink, interface)
            }
            Self::NextHop { uplink, interface } => {
                ChangeValues::of_uplink(EventKind::UplinkNextHop, uplink, interface)
            }
            Self::Allowance(change) => change.values(),
            Self::Drill(drill) => ChangeValues::of_drill(drill),
            Self::NoUsableUplink => ChangeValues::of(EventKind::NoUsableUplink),
            Self::MachineStalled => ChangeValues::of(EventKind::MachineStalled),
            Self::MachineRefuses { is_over: false } => ChangeValues::of(EventKind::MachineRefuses),
            Self::MachineRefuses { is_over: true } => ChangeValues::of(EventKind::MachineSends),
            Self::AgentStarted { carriers } => ChangeValues::of_start(carriers),
            Self::AgentStopped => ChangeValues::of(EventKind::AgentStopped),
            Self::ConfigReloaded => ChangeValues::of(EventKind::ConfigReloaded),
            Self::ConfigRefused => ChangeValues::of(EventKind::ConfigRefused),
        }
    }
}
