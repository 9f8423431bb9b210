//! What the status says of an allowance.

use crate::engine::status::UplinkStatus;

/// From this share on it is shown with each status.
const NEAR_PERCENT: f64 = 75.0;

/// What is used of the allowance of an uplink. `is_alone`: all is shown of this uplink.
pub(super) fn allowance(uplink: &UplinkStatus, is_alone: bool) -> Option<String> {
    let allowance = uplink.allowance.as_ref()?;
    let is_near = allowance.used_percent >= NEAR_PERCENT;
    (is_alone || is_near).then(|| format!("allowance: {}", allowance.words()))
}
