//! Whether the uplink or a target is at fault, as fault isolation finds.

use super::health::Phase;
use super::{Outbox, Uplink};
use crate::engine::state::State;
use crate::engine::suspicion::{Observation, SuspectedFault};
use crate::engine::target::TargetTrack;
use crate::units::{Moment, Target};

impl Uplink {
    /// What it knows of a target by probes sent from `since` on; nothing if it cannot know.
    pub fn observation(&self, target: &Target, since: Moment) -> Option<Observation> {
        let is_whole = self.link.attachment.trouble.is_none();
        let is_down = self.monitor.health.phase() == Phase::Down;
        let seen = self.monitor.targets.observation(target, since, is_down);
        seen.filter(|_| is_whole)
    }

    /// Asks all its targets, now and densely for a moment.
    pub fn probe_now(&mut self, now: Moment) {
        self.monitor.pacer.probe_for_others(now);
    }

    /// The uplink is to blame, and not the target in question.
    pub fn found_at_fault(
        &mut self,
        target: Target,
        fault: SuspectedFault,
        now: Moment,
        out: &mut Outbox,
    ) {
        if let SuspectedFault::SetAside(why) = &fault {
            let reason = format!("{target} {why}: set aside, asked again later");
            let reports = &mut self.monitor.reports;
            reports.target(target, [State::Up, State::Down], reason, now);
        }
        self.monitor.found_at_fault(fault, now);
        self.settle(now, out);
    }

    /// The target is at fault on all uplinks: it is no reason to call this one anything.
    pub fn excuse(&mut self, target: &Target, why: &str, now: Moment) {
        if let Some(place) = self.monitor.targets.find(target) {
            self.monitor.excuse(place, why, now);
        }
    }

    /// A target that was set aside for all uplinks counts again.
    pub fn reinstate(&mut self, target: &Target) -> bool {
        let targets = &mut self.monitor.targets;
        let place = targets.find(target);
        place.is_some_and(|place| TargetTrack::reinstate(targets.at_mut(place)))
    }
}
