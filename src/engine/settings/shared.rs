//! The settings that all uplinks share.

use super::{
    DrillSettings, FailbackFlows, FailoverSettings, GroupSettings, RuleSettings, Settings,
    UplinkSettings,
};
use crate::routing::Numbering;
use crate::units::WeeklyHours;

/// The settings of the engine but for those of its uplinks, which keep their own.
#[derive(Clone, Debug)]
pub struct SharedSettings {
    /// How the active uplink is chosen.
    pub failover: FailoverSettings,
    /// When a failback may be.
    pub failback_window: WeeklyHours,
    /// The groups of traffic.
    pub groups: Vec<GroupSettings>,
    /// Which traffic belongs to which group.
    pub rules: Vec<RuleSettings>,
    /// What becomes of flows when a healthy uplink is left.
    pub failback_flows: FailbackFlows,
    /// Failover tests.
    pub drill: DrillSettings,
    /// The numbers of our routes and rules.
    pub numbering: Numbering,
    /// The seed of the spread of probe times.
    pub seed: u64,
}

impl Settings {
    /// Something is to happen at a time of the wall clock.
    pub fn needs_time(&self) -> bool {
        let has_allowance = |uplink: &UplinkSettings| uplink.allowance.is_some();
        self.drill.schedule.is_some() || self.has_hours() || self.uplinks.iter().any(has_allowance)
    }

    /// A rule or the failback has hours.
    pub fn has_hours(&self) -> bool {
        has_hours(&self.failback_window, &self.rules)
    }

    /// Those of the uplinks, and the others.
    pub fn split(self) -> (Vec<UplinkSettings>, SharedSettings) {
        let common = SharedSettings {
            failover: self.failover,
            failback_window: self.failback_window,
            groups: self.groups,
            rules: self.rules,
            failback_flows: self.failback_flows,
            drill: self.drill,
            numbering: self.numbering,
            seed: self.seed,
        };
        (self.uplinks, common)
    }
}

impl SharedSettings {
    /// A rule or the failback has hours.
    pub fn has_hours(&self) -> bool {
        has_hours(&self.failback_window, &self.rules)
    }
}

fn has_hours(failback: &WeeklyHours, rules: &[RuleSettings]) -> bool {
    !failback.are_always() || rules.iter().any(|rule| !rule.when.are_always())
}
