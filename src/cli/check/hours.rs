//! The clock by which rules, the failback and drills go.

use super::facts::Facts;
use super::finding::FindingSeverity::{Note, Warning};
use super::finding::{Finding, finding};
use crate::config::Config;

/// What the local clock shows, where anything goes by it.
pub(super) fn findings(config: &Config, facts: &Facts) -> Option<Finding> {
    let engine = &config.engine;
    let clock = facts.clock?;
    let object = "clock";
    let local = clock.local().filter(|_| clock.utc.is_set());
    match local {
        Some(now) if engine.has_hours() || engine.drill.schedule.is_some() => {
            let what =
                format!("shows {now}: `when`, `failback_window` and `drill.schedule` go by it");
            let remedy = "nothing to do if that is the local time; otherwise set the time zone, and restart the agent";
            Some(finding(Note, object, what, remedy))
        }
        None if engine.has_hours() => {
            let what = format!(
                "is not set ({}): until it is, rules with `when` do not apply, and `failback_window` is closed",
                clock.utc
            );
            let remedy = "let NTP set it; by hand: `uplinkd auto` sends the traffic back";
            Some(finding(Warning, object, what, remedy))
        }
        Some(_) | None => None,
    }
}
