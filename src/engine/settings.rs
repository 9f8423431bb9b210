//! The part of the configuration that the engine decides by. Only the configuration builds it.

mod shared;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::routing::traffic::Selector;
use crate::routing::{Gateway, Hints, Numbering, Prefixes};
use crate::units::{
    BillingDay, Bytes, GroupName, InterfaceName, Loss, Moment, Score, Target, Tier, UplinkName,
    WeeklyHours, WeeklyTime, Weight,
};
pub use shared::SharedSettings;

/// The settings of the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The uplinks in the order of the configuration; their names are unique.
    pub uplinks: Vec<UplinkSettings>,
    /// How the active uplink is chosen.
    pub failover: FailoverSettings,
    /// When a preferred uplink that is healthy again may take the traffic back by itself.
    #[serde(default, skip_serializing_if = "WeeklyHours::are_always")]
    pub failback_window: WeeklyHours,
    /// The groups of traffic, in the order of the configuration; their names are unique.
    #[serde(default)]
    pub groups: Vec<GroupSettings>,
    /// Which traffic belongs to which group: the first match decides. Traffic that no rule matches belongs to
    /// the default group.
    #[serde(default)]
    pub rules: Vec<RuleSettings>,
    /// What becomes of flows when a healthy uplink is left.
    #[serde(default)]
    pub failback_flows: FailbackFlows,
    /// Failover tests.
    #[serde(default)]
    pub drill: DrillSettings,
    /// The numbers of our routes and rules.
    pub numbering: Numbering,
    /// The seed of the spread of probe times, so that a fleet of agents does not probe in step.
    pub seed: u64,
}

/// How the failover is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillSettings {
    /// The longest recovery that passes.
    pub rto: Duration,
    /// So long after its start the agent begins none.
    pub after_start: Duration,
    /// When the agent begins one by itself; none: never.
    #[serde(default)]
    pub schedule: Option<WeeklyTime>,
}

impl Default for DrillSettings {
    fn default() -> Self {
        Self {
            rto: Duration::from_secs(2),
            after_start: Duration::from_secs(120),
            schedule: None,
        }
    }
}

/// What becomes of flows whose uplink is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flows {
    /// They are ended, so that they begin anew through the uplink that is active now.
    #[default]
    Move,
    /// They are left where they are.
    Keep,
}

impl std::fmt::Display for Flows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Move => "move",
            Self::Keep => "keep",
        })
    }
}

/// What becomes of flows whose uplink is left although it is healthy, as at a failback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailbackFlows {
    /// None: they are kept where they are remembered, and moved elsewhere.
    pub fate: Option<Flows>,
    /// For how many milliseconds they are kept; none: by what the uplink costs.
    pub limit_ms: Option<NonZeroU32>,
}

impl FailbackFlows {
    /// That of an uplink that is not metered. VPNs and QUIC never end by themselves.
    pub const LIMIT: Duration = Duration::from_secs(2 * 3_600);
    /// That of a metered uplink.
    pub const METERED_LIMIT: Duration = Duration::from_secs(60);

    /// For how long flows are kept on an uplink.
    pub fn limit_of(self, uplink: &UplinkSettings) -> Duration {
        let is_metered = uplink.probe_budget.is_some();
        let usual = if is_metered {
            Self::METERED_LIMIT
        } else {
            Self::LIMIT
        };
        let limit = self
            .limit_ms
            .map(|limit| Duration::from_millis(limit.get().into()));
        limit.unwrap_or(usual)
    }
}

/// Traffic with an order of uplinks of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSettings {
    /// Its name.
    pub name: GroupName,
    /// How its uplinks share it.
    pub policy: Policy,
    /// The uplinks that may carry it, in the order of preference if the policy has one; never empty.
    pub uplinks: Vec<UplinkName>,
    /// What becomes of it while none of them is usable.
    #[serde(default)]
    pub when_none: WhenNone,
}

/// What becomes of a group's traffic while none of its uplinks is usable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenNone {
    /// It goes with the default group.
    #[default]
    Rest,
    /// It is refused: the sender is told that the destination is unreachable.
    Drop,
}

/// A rule that puts traffic into a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSettings {
    /// The group.
    pub group: GroupName,
    /// The traffic.
    pub traffic: Selector,
    /// When it applies.
    #[serde(default, skip_serializing_if = "WeeklyHours::are_always")]
    pub when: WeeklyHours,
}

/// One uplink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UplinkSettings {
    /// Its name.
    pub name: UplinkName,
    /// The interface it goes through.
    pub interface: InterfaceName,
    /// Its place in the order of preference.
    pub tier: Tier,
    /// Its share among those of its tier.
    pub weight: Weight,
    /// Its IPv4 next hop.
    pub gateway: Gateway,
    /// Its IPv6 next hop.
    #[serde(default)]
    pub gateway6: Gateway,
    /// The IPv6 prefixes that are delegated through it.
    #[serde(default)]
    pub prefixes: Prefixes,
    /// Metered: the bytes that its probes may cost in 30 days.
    #[serde(default)]
    pub probe_budget: Option<Bytes>,
    /// What may go through it in a period, if that is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowance: Option<Box<AllowanceSettings>>,
    /// How it is kept while another carries the traffic.
    #[serde(default)]
    pub standby: Standby,
    /// How it is probed.
    pub probe: ProbeSettings,
    /// How it is judged.
    pub health: HealthSettings,
}

impl UplinkSettings {
    /// The configured part of its paths.
    pub fn hints(&self) -> Hints {
        Hints {
            gateway: self.gateway,
            gateway6: self.gateway6,
            prefixes: self.prefixes.clone(),
        }
    }

    /// It is a cold standby.
    pub fn is_cold(&self) -> bool {
        matches!(self.standby, Standby::Cold(_))
    }
}

/// What may go through an uplink in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowanceSettings {
    /// So much, both ways; more than 0.
    pub limit: Bytes,
    /// The day on which a period begins.
    pub day: BillingDay,
    /// What follows when it is used up.
    pub action: AllowanceAction,
}

/// What follows when the allowance of an uplink is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllowanceAction {
    /// It is announced.
    #[default]
    Warn,
    /// Traffic goes there only where no other uplink is usable.
    LastResort,
    /// No traffic goes there.
    Off,
}

/// How an uplink is kept while another carries the traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standby {
    /// Up, and probed every `standby_interval`.
    #[default]
    Hot,
    /// The same, and a complaint about its quality does not raise the rate of probes.
    Warm,
    /// Brought up when it is needed, and taken down again.
    Cold(ColdSettings),
}

/// How a cold uplink is brought up and taken down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColdSettings {
    /// How long it stays up when it is no longer needed.
    pub linger: Duration,
    /// How long it may take from bringing it up until it is usable.
    pub ready_within: Duration,
    /// How often it is brought up as an exercise; none: never.
    pub exercise_every: Option<Duration>,
}

/// How an uplink is probed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeSettings {
    /// The targets of the probes; never empty.
    pub targets: Vec<Target>,
    /// The resolvers of target names through this uplink; empty: those of the machine. The engine itself
    /// resolves nothing.
    #[serde(default)]
    pub resolvers: Vec<IpAddr>,
    /// How many targets must answer, 1 to the number of targets.
    pub quorum: usize,
    /// Between two probes of a healthy uplink.
    pub interval: Duration,
    /// Between two probes of a healthy uplink while another is active; `interval` if that is longer.
    #[serde(default)]
    pub standby_interval: Duration,
    /// Between two rounds of probes to all targets while in doubt.
    pub confirm_interval: Duration,
    /// The most a probe may take. The working deadline adapts to the link below it.
    pub timeout: Duration,
}

impl ProbeSettings {
    /// How long an answer is waited for: long after the deadline, so that a late one still undoes a
    /// miss.
    pub fn listen_for(&self) -> Duration {
        self.timeout * 2 + Duration::from_secs(1)
    }
}

/// How an uplink is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthSettings {
    /// What a switch costs, in seconds without traffic.
    #[serde(default = "usual_switch_cost")]
    pub switch_cost: Duration,
    /// The longest silence before a verdict, whatever the history of the link says.
    pub outage_within: Duration,
    /// How long an uplink that was down must answer before it is up.
    pub recover_after: Duration,
    /// Over how long loss, latency and jitter are measured.
    pub window: Duration,
    /// Loss that makes it degraded, and healthy again.
    pub loss: Band<Loss>,
    /// Latency that makes it degraded, and healthy again.
    pub latency: Band<Duration>,
    /// Jitter that makes it degraded, and healthy again.
    pub jitter: Band<Duration>,
    /// The score that makes it degraded, and healthy again.
    #[serde(default)]
    pub score: ScoreBand,
    /// The least time between two changes of state because of quality.
    #[serde(default)]
    pub dwell: Duration,
}

impl HealthSettings {
    /// By how many points of its score another uplink must be better, for as long as quality is measured over, to
    /// make up for what a switch costs.
    pub fn switch_points(&self) -> f64 {
        100.0 * self.switch_cost.as_secs_f64() / self.window.as_secs_f64()
    }
}

/// That of recordings from before it was a setting.
fn usual_switch_cost() -> Duration {
    Duration::from_secs(2)
}

/// Two scores; what lies between them changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreBand {
    /// Below: bad. 0 is never reached.
    pub enter: Score,
    /// At or above: good. More than `enter`.
    pub exit: Score,
}

/// Lower than what any of loss, latency and jitter costs within its own default limits: a loss of
/// 20 % alone leaves 55, a latency of 500 ms alone 85.
impl Default for ScoreBand {
    fn default() -> Self {
        Self {
            enter: Score(30),
            exit: Score(50),
        }
    }
}

/// Two thresholds; what lies between them changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Band<T> {
    /// At or above: bad.
    pub enter: T,
    /// At or below: good. Less than `enter`.
    pub exit: T,
}

/// How the active uplink is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailoverSettings {
    /// The order within a tier.
    pub policy: Policy,
    /// Whether a preferred uplink that is healthy again takes the traffic back by itself.
    pub failback: Failback,
    /// For how long it must have been healthy.
    pub failback_after: Duration,
    /// When the traffic moves to a better uplink, under [`Policy::Best`].
    #[serde(default)]
    pub best: BestSettings,
    /// How failback to an uplink that keeps failing is suppressed.
    #[serde(default)]
    pub damping: DampingSettings,
    /// Whether new connections leave an uplink before the verdict.
    #[serde(default)]
    pub soft: SoftFailover,
}

/// Whether new connections leave an uplink that is in well-founded doubt, before the verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SoftFailover {
    /// To a standby that is neither metered nor cold.
    #[default]
    Auto,
    /// To these, too.
    Always,
    /// They do not.
    Off,
}

/// When an uplink of the same tier is so much better that the traffic moves to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BestSettings {
    /// By how many points of score it must be better; at least 1.
    pub margin: Score,
    /// For how long if it is better by twice the margin; a greater advantage needs less.
    pub after: Duration,
}

impl Default for BestSettings {
    fn default() -> Self {
        Self {
            margin: Score(10),
            after: Duration::from_secs(300),
        }
    }
}

/// Flap damping; see [`crate::engine::damping`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DampingSettings {
    /// The time in which a penalty halves; more than 0.
    pub half_life: Duration,
    /// The penalty from which on an uplink is suppressed.
    pub suppress: f64,
    /// The penalty at which it no longer is: more than 0, less than `suppress`.
    pub reuse: f64,
    /// How long after its last failure it is suppressed at most; 0 turns damping off.
    pub longest: Duration,
}

impl Default for DampingSettings {
    fn default() -> Self {
        Self {
            half_life: Duration::from_secs(3_600),
            suppress: 3.0,
            reuse: 1.0,
            longest: Duration::from_secs(6 * 3_600),
        }
    }
}

/// How the uplinks of the best usable tier share the traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// The first usable uplink carries all traffic.
    #[default]
    Failover,
    /// The uplink with the highest score carries all traffic.
    Best,
    /// Each healthy uplink carries a share.
    Balance,
}

/// How failback is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Failback {
    /// By the agent, after `failback_after`.
    #[default]
    Auto,
    /// By an operator, with `uplinkd auto`.
    Manual,
    /// By the agent, but not at this hour; no configuration says so.
    #[serde(skip)]
    Closed,
    /// By the agent, and at this hour, which began then; no configuration says so.
    #[serde(skip)]
    OpenSince(Moment),
}

/// Settings for the tests of the engine's parts.
#[cfg(test)]
pub(super) mod usual {
    use super::*;

    pub(in crate::engine) fn probe() -> ProbeSettings {
        ProbeSettings {
            targets: Vec::new(),
            resolvers: Vec::new(),
            quorum: 1,
            interval: Duration::from_secs(1),
            standby_interval: Duration::from_secs(5),
            confirm_interval: Duration::from_millis(50),
            timeout: Duration::from_secs(1),
        }
    }

    pub(in crate::engine) fn failover() -> FailoverSettings {
        FailoverSettings {
            policy: Policy::Failover,
            failback: Failback::Auto,
            failback_after: Duration::from_secs(60),
            best: BestSettings::default(),
            damping: DampingSettings::default(),
            soft: SoftFailover::Auto,
        }
    }

    /// Without a dwell.
    pub(in crate::engine) fn health() -> HealthSettings {
        HealthSettings {
            switch_cost: Duration::from_secs(2),
            outage_within: Duration::from_secs(10),
            recover_after: Duration::from_secs(3),
            window: Duration::from_secs(30),
            loss: Band {
                enter: Loss::from_percent(20.0),
                exit: Loss::from_percent(5.0),
            },
            latency: Band {
                enter: Duration::from_millis(500),
                exit: Duration::from_millis(300),
            },
            jitter: Band {
                enter: Duration::from_millis(100),
                exit: Duration::from_millis(50),
            },
            score: ScoreBand::default(),
            dwell: Duration::ZERO,
        }
    }
}
