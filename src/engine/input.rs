//! What the engine takes in.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::allowance::AllowanceCount;
use crate::engine::command::IssuedCommand;
use crate::engine::loss::Learner;
use crate::engine::settings::Settings;
use crate::routing::{Attachment, Family, Gateway};
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{
    Bytes, Counters, GroupName, InterfaceName, InterfaceReading, Moment, ProbeId, UplinkName,
    ZonedTime,
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
    /// An earlier run left this; the first input of an engine that goes on with it.
    Resume(Box<EarlierRun>),
    /// What became of a probe. A probe that is never heard of is missed by the engine's own clock.
    Probe {
        /// Through which uplink.
        uplink: UplinkName,
        /// Which probe.
        id: ProbeId,
        /// Its outcome.
        outcome: ProbeOutcome,
    },
    /// A probe left this machine later than it was ordered, and is under way.
    SentLate {
        /// Through which uplink.
        uplink: UplinkName,
        /// Which probe.
        id: ProbeId,
        /// By how much.
        by: Duration,
    },
    /// What has gone through an uplink's interface, as [`Action::Count`](crate::engine::action::Action::Count) asked.
    Counters {
        /// Which uplink.
        uplink: UplinkName,
        /// Its counters.
        counters: Counters,
    },
    /// What has gone through the interface of an uplink that has an allowance, about every half minute.
    Traffic {
        /// Which uplink.
        uplink: UplinkName,
        /// What its interface has counted.
        reading: InterfaceReading,
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
    /// What the wall clock shows, once a minute where something is to happen by it
    /// ([`Settings::needs_time`]).
    Time(ZonedTime),
    /// Who answered at the first hops of a path, as [`Action::Trace`](crate::engine::action::Action::Trace) asked.
    Traced(TracedPath),
    /// What has become of a drill, as [`crate::engine::action::DrillOrder`] asked.
    Drill(DrillNews),
    /// A command of an operator.
    Command(IssuedCommand),
    /// How many established flows an uplink has that is drained, as
    /// [`crate::engine::action::DrainOrder::CountFlows`] asked.
    FlowsCounted {
        /// Which uplink.
        uplink: UplinkName,
        /// So many.
        flows: usize,
    },
    /// They cannot be counted.
    FlowsUnknown {
        /// Which uplink.
        uplink: UplinkName,
        /// Why not.
        why: String,
    },
    /// The kernel remembers the flows of these uplinks, and of no others: they may stay there when the traffic leaves.
    FlowsRemembered(SortedSet<(UplinkName, Family)>),
    /// All answers that had come by then are taken in, as [`crate::engine::Engine::awaits_answers`] asked.
    /// From the first such input on no later deadline is judged.
    AnswersRead {
        /// When the sockets were read.
        until: Moment,
    },
    /// The agent was kept from running for so long, until now. What this changes of its probes' answers
    /// is no evidence about a path.
    Stalled {
        /// For how long.
        lasts: Duration,
    },
}

impl Input {
    /// It says up to when an answer is waited for, and nothing of an uplink: nothing is decided by it.
    pub(super) fn is_of_deadlines(&self) -> bool {
        matches!(self, Self::SentLate { .. } | Self::AnswersRead { .. })
    }

    /// It comes all the time, and changes nothing by itself that the choice depends on.
    pub fn is_routine(&self) -> bool {
        matches!(
            self,
            Self::Probe { .. }
                | Self::SentLate { .. }
                | Self::AnswersRead { .. }
                | Self::Stalled { .. }
                | Self::Counters { .. }
                | Self::Traffic { .. }
                | Self::Time(_)
                | Self::Traced(_)
        )
    }
}

/// The path of an uplink, as far as it answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedPath {
    /// Of which uplink.
    pub uplink: UplinkName,
    /// It was asked in doubt.
    pub in_doubt: bool,
    /// Who answered.
    pub hops: TracedHops,
}

/// Who answered at the first hops of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedHops {
    /// Each distance from one hop on: who answered there, if any did.
    pub hops: Vec<Option<IpAddr>>,
    /// The slowest of these answers.
    pub slowest: Duration,
    /// The last is the target itself.
    pub has_arrived: bool,
}

impl TracedHops {
    /// Those before the target.
    pub fn between(&self) -> &[Option<IpAddr>] {
        let count = self.hops.len() - usize::from(self.has_arrived && !self.hops.is_empty());
        &self.hops[..count]
    }
}

/// What has become of a drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillNews {
    /// The path is cut.
    Cut,
    /// It has to end early.
    Abort(String),
    /// The path is whole again, or was never cut; what its stream measured.
    Whole(StreamMeasure),
}

/// What the stream of a drill measured, and the switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamMeasure {
    /// For how long nothing of it was answered; none if nothing was until its end.
    pub recovery_ms: Option<u32>,
    /// The recovery time of the switch, which moved established connections too; none if there was no switch.
    #[serde(default)]
    pub established_ms: Option<u32>,
    /// Packets sent since the path failed.
    pub sent: u32,
    /// Those that were not answered.
    pub lost: u32,
}

/// What an earlier run left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EarlierRun {
    /// The uplink that leads the default group: the kernel already sends its traffic there.
    pub carrying: Option<UplinkName>,
    /// The drill in which it ended.
    pub drill: Option<EarlierDrill>,
    /// The families of it that another uplink carries.
    pub apart: SortedMap<Family, UplinkName>,
    /// The families that several uplinks carry, and all those of the groups of the configuration.
    pub shared: Vec<SharedFamily>,
    /// What operators had chosen; whether it could be followed now does not matter.
    pub chosen: Vec<IssuedCommand>,
    /// How each uplink loses packets.
    pub learnt: SortedMap<UplinkName, Learner>,
    /// What is left of the budgets of metered uplinks.
    pub unspent: SortedMap<UplinkName, Bytes>,
    /// What was counted of the allowances.
    pub allowances: SortedMap<UplinkName, AllowanceCount>,
    /// The uplinks that the kernel leads their remembered flows to.
    pub remembered: SortedSet<(UplinkName, Family)>,
    /// The uplinks that the traffic had left, and that kept their flows.
    pub kept: Vec<KeptSpan>,
}

/// A drill in which an earlier run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlierDrill {
    /// Of which uplink.
    pub uplink: UplinkName,
    /// Where the kernel leads its traffic since then; empty if that is not known.
    pub carried_by: Vec<UplinkName>,
    /// The run was stopped, and has announced what came of the drill.
    pub is_announced: bool,
}

/// For how long flows have stayed on an uplink that the traffic has left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSpan {
    /// Which uplink.
    pub uplink: UplinkName,
    /// The flows of which family.
    pub family: Family,
    /// For how long.
    pub lasted: Duration,
}

/// A family of a group, and the uplinks that carry it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SharedFamily {
    /// Which group; none: the default group.
    pub group: Option<GroupName>,
    /// Which family.
    pub family: Family,
    /// Which uplinks; the family was led to the first.
    pub uplinks: Vec<UplinkName>,
}

/// What became of a probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeOutcome {
    /// The target answered after this time.
    Reply(Duration),
    /// A router on the path says that the target cannot be reached.
    Unreachable(String),
    /// It was answered, but not as it should be: a server in trouble, a resolver that does not
    /// resolve.
    Wrong(String),
    /// A host on the path answers in its place, as a captive portal does.
    Captive(String),
    /// The probe never left this machine; says nothing about the path.
    NotSent(String),
    /// The same, because this machine refuses to send it: by its firewall, for want of buffers, or because
    /// the target is an address of its own. What it refuses on all uplinks says nothing about any.
    Refused(String),
}
