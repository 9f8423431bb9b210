//! What an uplink was before a drill: a failure that was made on purpose teaches nothing.

use super::evidence::Evidence;
use super::health::Health;
use super::monitor::UplinkMonitor;
use super::targets::Targets;
use crate::engine::loss::Learner;
use crate::engine::timer::UplinkTimer;
use crate::units::Moment;

/// The state of an uplink and all that is known of it, as it was before its path was cut.
#[derive(Clone, Debug)]
pub struct BeforeDrill {
    health: Health,
    evidence: Evidence,
    targets: Targets,
}

impl BeforeDrill {
    /// That of an uplink now.
    pub(super) fn of(monitor: &UplinkMonitor) -> Self {
        Self {
            health: monitor.health.clone(),
            evidence: monitor.evidence.clone(),
            targets: monitor.targets.clone(),
        }
    }

    /// The uplink is again what it was. What is under way says nothing.
    pub(super) fn restore(self, monitor: &mut UplinkMonitor, now: Moment) {
        monitor.health = self.health;
        monitor.evidence = self.evidence;
        monitor.targets = self.targets;
        monitor.forget_rounds();
        monitor.evidence.forget_traffic();
        monitor.timers.stop(UplinkTimer::Recover);
        monitor.timers.stop(UplinkTimer::Silence);
        monitor.reports.changed();
        monitor.probe_soon(now);
    }

    /// What was learnt of its losses.
    pub fn learnt(&self) -> Learner {
        self.evidence.outage.learnt()
    }
}
