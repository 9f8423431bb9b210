//! Failover tests in the status.

use crate::cli::output::short;
use crate::engine::status::{DrillStatus, Status};
use crate::units::Timestamp;

/// The one that goes on, or when the next one begins by itself.
pub(in crate::cli) fn drill(status: &Status, now: Timestamp) -> Option<String> {
    let DrillStatus {
        running,
        schedule,
        next,
    } = &status.drill;
    if let Some(uplink) = running {
        return Some(format!("a drill: the path of {uplink} fails on purpose"));
    }
    let schedule = (*schedule)?;
    let when = match next {
        Some(next) => {
            let left = next.0.duration_since(now.0).unwrap_or_default();
            format!("in {}", short(left))
        }
        None => "once the clock is set".to_owned(),
    };
    Some(format!("next drill {when} (`{schedule}`)"))
}
