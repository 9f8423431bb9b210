//! The read model: what the CLI, ubus and the metrics show.

mod allowance;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::engine::detection_time::Learnt;
use crate::engine::event::broken_at::BrokenAt;
use crate::engine::settings::{Flows, Policy};
use crate::engine::state::State;
use crate::routing::Family;
use crate::units::sorted::SortedMap;
use crate::units::{
    Bytes, GroupName, InterfaceName, LocalMinute, Score, Target, Tier, Timestamp, UplinkName,
    WeeklyHours, WeeklyTime, Weight,
};

pub use crate::engine::status::allowance::AllowanceStatus;

/// Who chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SelectionMode {
    /// The agent.
    Auto,
    /// An operator.
    Manual,
}

/// Everything at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The version of the agent.
    pub version: String,
    /// Who chooses.
    pub mode: SelectionMode,
    /// What people chose.
    #[serde(default)]
    pub choices: Choices,
    /// How.
    pub policy: Policy,
    /// Who carries the traffic.
    pub active: Vec<UplinkName>,
    /// Where new connections go, if not by what carries the traffic: that is in doubt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new_connections: Vec<NewConnections>,
    /// Since when; `null` before anyone did.
    pub since: Option<Timestamp>,
    /// Each uplink, in the order of the configuration.
    pub uplinks: Vec<UplinkStatus>,
    /// Each group of the configuration, in its order.
    #[serde(default)]
    pub groups: Vec<GroupStatus>,
    /// Whether the kernel holds what was decided.
    #[serde(default)]
    pub routes: RoutesState,
    /// Whether flows are remembered.
    #[serde(default)]
    pub flow_memory: FlowMemoryStatus,
    /// The last switch, if there was one.
    pub last_switch: Option<LastSwitch>,
    /// Failover tests.
    #[serde(default)]
    pub drill: DrillStatus,
    /// Each rule that has hours, in the order of the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleStatus>,
}

/// A rule that applies at some hours only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleStatus {
    /// Its place among all rules of the configuration, from 1 on.
    pub rule: usize,
    /// The group of its traffic.
    pub group: GroupName,
    /// Its hours, by the local clock.
    pub when: WeeklyHours,
    /// It applies now. While the clock is not set it does not.
    pub applies: bool,
    /// Until when that is so; `null` while the clock is not set.
    pub until: Option<Timestamp>,
}

/// Failover tests: the one that goes on, and the next one by schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DrillStatus {
    /// The uplink whose path fails on purpose, or is about to; `null` if none does.
    pub running: Option<UplinkName>,
    /// `drill.schedule`; `null` if it is off.
    pub schedule: Option<WeeklyTime>,
    /// When the next one by schedule is due; `null` if it is off, or while the clock is not set.
    pub next: Option<Timestamp>,
}

/// New connections that leave an uplink in doubt, while its established ones stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewConnections {
    /// Of which group; absent: of all traffic that no group claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// Of which family.
    pub family: Family,
    /// What carries the traffic.
    pub from: Vec<UplinkName>,
    /// Where they go.
    pub to: Vec<UplinkName>,
}

/// What the agent knows beside the engine.
#[derive(Clone, Debug, Default)]
pub struct AgentState {
    /// Whether the kernel holds what was decided.
    pub routes: RoutesState,
    /// What operators chose, with who and when.
    pub choices: Choices,
    /// Whether flows are remembered.
    pub flow_memory: FlowMemoryStatus,
    /// When the local clock will show a minute; none: as if its zone had no summer time.
    pub when: Option<fn(LocalMinute) -> Timestamp>,
}

impl From<Choices> for AgentState {
    fn from(choices: Choices) -> Self {
        Self {
            choices,
            ..Self::default()
        }
    }
}

/// Whether flows are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowMemoryStatus {
    /// In a word.
    pub state: FlowMemoryWord,
    /// Why not, or why not all of them; `null` if all are.
    pub reason: Option<String>,
}

/// Whether flows are remembered, in a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowMemoryWord {
    /// They are.
    On,
    /// They are not to be.
    #[default]
    Off,
    /// They should be, and this kernel cannot.
    Without,
}

/// The choices of operators that are in force, with caller and time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    /// The uplink that the traffic was sent to; `null` while the agent chooses.
    pub switch: Option<Chosen>,
    /// The uplinks in maintenance.
    pub disabled: SortedMap<UplinkName, Maintenance>,
}

/// An uplink that the traffic was sent to by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// Which.
    pub uplink: UplinkName,
    /// The traffic stays there even when it dies.
    pub pinned: bool,
    /// Who chose it, if that is known.
    pub by: Option<String>,
    /// When.
    pub at: Option<Timestamp>,
}

/// The maintenance of an uplink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Who began it, if that is known.
    pub by: Option<String>,
    /// When.
    pub at: Option<Timestamp>,
    /// Its established flows, while they are held there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<Draining>,
}

/// Established flows that go on through an uplink in maintenance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// How many.
    pub flows: usize,
    /// How long the last of them may take.
    pub until: Timestamp,
}

/// Whether the kernel holds what was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutesState {
    /// It does; it was read back.
    #[default]
    InPlace,
    /// It is about to.
    Pending,
    /// It refuses a part of it; the log says which.
    Refused,
    /// Other software keeps changing it, and it is put back again and again.
    Contested,
    /// A default route of another program in main goes before ours: in the mode `main` one with a lower metric,
    /// or one that leads nowhere.
    Overruled,
    /// The agent only observes and writes nothing.
    Observing,
}

/// One group of traffic at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Its name.
    pub name: GroupName,
    /// How its uplinks share it.
    pub policy: Policy,
    /// The uplinks that carry it.
    pub active: Vec<UplinkName>,
    /// None of its uplinks is usable: it goes with the default group.
    pub with_rest: bool,
    /// None of its uplinks is usable: its traffic is refused (`when_none = "drop"`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
    /// Since when; `null` while it goes with the default group.
    pub since: Option<Timestamp>,
    /// The uplinks that it may use.
    pub uplinks: Vec<UplinkName>,
}

/// One uplink at a glance. Numbers that are not known are `null`.
///
/// Large: it has the fields of the JSON, which are public.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UplinkStatus {
    /// Its name.
    pub name: UplinkName,
    /// Its interface.
    pub interface: InterfaceName,
    /// Its tier.
    pub tier: Tier,
    /// Its weight.
    pub weight: Weight,
    /// Its state.
    pub state: State,
    /// It carries traffic.
    pub active: bool,
    /// How good it is.
    pub score: Option<Score>,
    /// Lost probes in the window, in percent.
    pub loss_percent: Option<f64>,
    /// Median round trip in the window, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// The round trip that 19 of 20 in the window do not exceed, in milliseconds.
    #[serde(default)]
    pub rtt_p95_ms: Option<f64>,
    /// Jitter (RFC 3550) in milliseconds.
    pub jitter_ms: Option<f64>,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// Why it is in this state.
    pub reason: String,
    /// Its last outage that is over; `null` if there was none since the agent started. The figures are of
    /// the time since.
    #[serde(default)]
    pub last_outage: Option<PastOutage>,
    /// The last round of probes was not answered: the verdict is open.
    #[serde(default)]
    pub in_doubt: bool,
    /// Its path fails on purpose, in a drill, or did just now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_drill: bool,
    /// Where its path broke, while it does not work and that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_at: Option<BrokenAt>,
    /// For its falls of late; see `[failover.damping]`.
    #[serde(default)]
    pub penalty: f64,
    /// Until when it does not take the traffic back because it keeps falling; `null` if it does not.
    #[serde(default)]
    pub suppressed_until: Option<Timestamp>,
    /// Why it does not carry although it is well and preferred to what does; `null` if nothing holds it up.
    #[serde(default)]
    pub waits: Option<Waits>,
    /// What becomes of its established flows when it is left while it is healthy, as at a failback.
    #[serde(default)]
    pub flows_on_failback: Flows,
    /// Until when at most flows stay there that the traffic has left there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows_until: Option<Timestamp>,
    /// The families that have a way out through it and are not known to be broken.
    pub families: Vec<Family>,
    /// The families that have a way out through it and do not answer, while the others do.
    #[serde(default)]
    pub broken: Vec<Family>,
    /// The families of which it carries the traffic.
    #[serde(default)]
    pub carries: Vec<Family>,
    /// How it loses packets while it is alive, and how soon it would be declared dead.
    #[serde(default)]
    pub learnt: Option<Learnt>,
    /// Each target.
    pub targets: Vec<TargetStatus>,
    /// The next hops of the families that have several, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next_hops: Vec<NextHopStatus>,
    /// What its probes may cost, if it is metered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_budget: Option<BudgetStatus>,
    /// What may go through it in a period, and what has, if that is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowance: Option<AllowanceStatus>,
}

/// What samples take of an uplink: the part of its status that changes all the time.
#[derive(Clone, Debug, PartialEq)]
pub struct UplinkFigures {
    /// Its name.
    pub name: UplinkName,
    /// Its state.
    pub state: State,
    /// Its path fails on purpose, in a drill, or did just now.
    pub in_drill: bool,
    /// It carries the default group.
    pub is_carrying: bool,
    /// How good it is.
    pub score: Option<Score>,
    /// Median round trip in the window, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// The round trip that 19 of 20 in the window do not exceed, in milliseconds.
    pub rtt_p95_ms: Option<f64>,
    /// Jitter (RFC 3550) in milliseconds.
    pub jitter_ms: Option<f64>,
}

impl Status {
    /// What samples take of it.
    pub fn figures(&self) -> Vec<UplinkFigures> {
        let figures = self.uplinks.iter().map(|uplink| UplinkFigures {
            name: uplink.name.clone(),
            state: uplink.state,
            in_drill: uplink.in_drill,
            is_carrying: self.active.contains(&uplink.name),
            score: uplink.score,
            rtt_ms: uplink.rtt_ms,
            rtt_p95_ms: uplink.rtt_p95_ms,
            jitter_ms: uplink.jitter_ms,
        });
        figures.collect()
    }
}

/// Why a healthy uplink that is preferred to the one that carries does not carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// For what.
    #[serde(rename = "for")]
    pub reason: WaitReason,
    /// Until when at the latest, if nothing happens meanwhile; `null` where no clock ends it.
    pub until: Option<Timestamp>,
}

/// What a healthy uplink that is preferred waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// `failback_after`: it has not been well for so long.
    FailbackAfter,
    /// A word of an operator: `failback = "manual"`.
    FailbackManual,
    /// The hours of `failback_window`; or the clock, while that is not set.
    FailbackWindow,
    /// The end of its suppression, because it kept falling.
    Damping,
    /// The operator who sent the traffic elsewhere.
    Choice,
    /// An answer: the last round of probes had none.
    Doubt,
    /// The next period of its allowance, which is used up.
    Allowance,
}

/// An outage that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastOutage {
    /// When it stopped to answer, or its link failed.
    pub began: Timestamp,
    /// When it answered again.
    pub ended: Timestamp,
}

/// One of several next hops of an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextHopStatus {
    /// Of which family.
    pub family: Family,
    /// Its address.
    pub next_hop: Option<IpAddr>,
    /// What is known of it.
    pub state: NextHopState,
}

/// What is known of one of several next hops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextHopState {
    /// The traffic goes by it.
    InUse,
    /// It answered when it was last asked.
    Answers,
    /// It did not.
    Silent,
    /// It was not asked.
    Unknown,
}

/// What the probes of a metered uplink may cost, and what that buys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// In any 30 days.
    pub limit_bytes: Bytes,
    /// What may be spent at once; it fills again.
    pub left_bytes: Bytes,
    /// What has been spent since the agent started.
    pub spent_bytes: Bytes,
    /// Between two probes while all is well.
    pub interval_seconds: f64,
    /// An outage is suspected so long after it began, at the latest, while no traffic tells sooner.
    pub suspected_within_seconds: f64,
}

/// One target of an uplink at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// The target.
    pub target: Target,
    /// `up`, `down` or `unknown`.
    pub state: State,
    /// Median round trip in the window, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Lost probes in the window, in percent.
    pub loss_percent: Option<f64>,
    /// Why its answers do not count at present, if it is set aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<String>,
}

/// The last time the traffic moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastSwitch {
    /// When.
    pub at: Timestamp,
    /// The one family that moved, where the other stayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// The uplink before; empty at the start.
    pub from: Vec<UplinkName>,
    /// The uplink after.
    pub to: Vec<UplinkName>,
    /// Why.
    pub reason: String,
}
