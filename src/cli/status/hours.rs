//! Rules that apply at some hours only.

use crate::cli::output::short;
use crate::engine::status::RuleStatus;
use crate::units::Timestamp;

/// Whether a rule applies now, and for how long that is so.
pub(super) fn rule(rule: &RuleStatus, now: Timestamp) -> String {
    let RuleStatus {
        rule,
        group,
        when,
        applies,
        until,
    } = rule;
    let state = if *applies {
        "applies"
    } else {
        "does not apply"
    };
    let rest = match until {
        Some(until) => {
            let left = until.0.duration_since(now.0).unwrap_or_default();
            format!(" for another {}", short(left))
        }
        None if *applies => String::new(),
        None => ": the clock is not set".to_owned(),
    };
    format!("rule {rule} for {group}: {state}{rest} (`{when}`)")
}
