//! The time of the wall clock, which the engine is told at each full minute if anything happens by it: drills, the
//! periods of allowances, the hours of rules and of the failback.

use std::time::{Duration, SystemTime};

use super::Daemon;
use super::clock::Clock;
use super::planned::SwitchOccasion;
use crate::engine::input::Input;
use crate::engine::status::RuleStatus;
use crate::units::Moment;

/// When the engine is told the time, and what was logged of it.
#[derive(Default)]
pub(super) struct ToldTime {
    due: Option<Moment>,
    /// That the clock is not set was logged.
    is_unset_logged: bool,
    /// The rules that have hours, as they were logged.
    rules: Vec<RuleStatus>,
}

impl ToldTime {
    /// The settings are others: the time may count for more than before.
    pub(super) fn tell_at(&mut self, now: Moment) {
        self.due = self.due.map(|due| due.min(now));
    }
}

impl Daemon {
    /// When the engine is to be told the time; none while that waits for hooks.
    pub(super) fn time_due(&self) -> Option<Moment> {
        let needs_time = self.config.engine.needs_time();
        let is_waited_for = needs_time && !self.planned.holds_time();
        is_waited_for.then(|| self.told_time.due.unwrap_or(Moment::START))
    }

    /// Tells it when that is due.
    pub(super) fn tell_time(&mut self, now: Moment) {
        if self.time_due().is_none_or(|due| now < due) {
            return;
        }
        let planned = self.planned_at(Clock::zoned());
        if self.hold(SwitchOccasion::Time, planned).is_some() {
            self.tell_time_now(now);
        }
    }

    /// Tells it now.
    pub(super) fn tell_time_now(&mut self, now: Moment) {
        if self.told_time.due.is_some() {
            // What has gone through until now is of the period until now.
            let traffic = self.kernel.all_counters();
            self.count_traffic(&traffic);
        }
        let time = Clock::zoned();
        let seconds = time.utc.0.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = seconds.map_or(0, |since| since.as_secs() % 60);
        self.told_time.due = Some(now + Duration::from_secs(60 - seconds));
        let is_late = now.since_start() >= self.config.engine.drill.after_start;
        if !time.utc.is_set() && is_late && !self.told_time.is_unset_logged {
            self.told_time.is_unset_logged = true;
            let clock = time.utc;
            tracing::warn!(
                %clock,
                "the clock is not set: `drill.schedule`, the periods of `allowance`, `failback_window` and rules with \
                 `when` wait for it"
            );
        }
        self.decisions.tell(Input::Time(time));
        if self.config.engine.has_hours() {
            self.log_rules();
        }
    }

    /// Logs which rules begin or cease to apply.
    fn log_rules(&mut self) {
        let rules = self.status().rules;
        let before = std::mem::take(&mut self.told_time.rules);
        let applied = |rule: &RuleStatus| {
            let mut before = before.iter();
            before.any(|known| known.rule == rule.rule && known.applies)
        };
        for one in rules.iter().filter(|one| one.applies != applied(one)) {
            let RuleStatus {
                rule, group, when, ..
            } = one;
            let what = if one.applies {
                "a rule begins to apply"
            } else {
                "a rule no longer applies"
            };
            tracing::info!(rule, %group, %when, "{what}");
        }
        self.told_time.rules = rules;
    }
}
