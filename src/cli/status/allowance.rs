//! What the status says of an allowance.

use crate::engine::settings::AllowanceAction;
use crate::engine::status::{AllowanceStatus, UplinkStatus};

/// From this share on it is shown with each status.
const NEAR_PERCENT: f64 = 75.0;

/// What is used of the allowance of an uplink. `is_alone`: all is shown of this uplink.
pub(super) fn allowance(uplink: &UplinkStatus, is_alone: bool) -> Option<String> {
    let allowance = uplink.allowance.as_ref()?;
    let is_near = allowance.used_percent >= NEAR_PERCENT;
    (is_alone || is_near).then(|| format!("allowance: {}", words(allowance)))
}

/// The same of one that is known.
pub(in crate::cli) fn words(allowance: &AllowanceStatus) -> String {
    let AllowanceStatus {
        limit_bytes: limit,
        used_bytes: used,
        used_percent: percent,
        action,
        begins,
        ends,
    } = allowance;
    let fate = match action {
        _ if !allowance.is_used_up() => "",
        AllowanceAction::Warn => ": used up",
        AllowanceAction::LastResort => ": used up, the last resort",
        AllowanceAction::Off => ": used up, carries no traffic",
    };
    let period = match (begins, ends) {
        (Some(begins), Some(ends)) => format!("since {begins}, until {ends}"),
        (Some(_) | None, _) => "the clock was never set, so no period ends".to_owned(),
    };
    format!("{used} of {limit} ({percent} %){fate}; {period}")
}
