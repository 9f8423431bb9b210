//! What the status says of an uplink that could carry the traffic and does not.

use crate::cli::output::{list, short};
use crate::engine::status::{Status, UplinkStatus, WaitReason, Waits};
use crate::units::Timestamp;

/// What a healthy uplink that is preferred waits for. Of damping its penalty tells.
pub(in crate::cli) fn waits(
    status: &Status,
    uplink: &UplinkStatus,
    now: Timestamp,
) -> Option<String> {
    let Waits { reason, until } = uplink.waits?;
    let left = until.map(|until| until.0.duration_since(now.0).unwrap_or_default());
    let left = left.map(short).unwrap_or_default();
    match reason {
        WaitReason::FailbackAfter => Some(format!(
            "carries the traffic again in {left} if it stays well (`failback_after`)"
        )),
        WaitReason::FailbackManual => {
            Some("ready; `failback` is manual: `uplinkd auto` sends the traffic back".to_owned())
        }
        WaitReason::FailbackWindow if until.is_some() => Some(format!(
            "ready; `failback_window` opens in {left}, `uplinkd auto` sends the traffic back at once"
        )),
        WaitReason::FailbackWindow => Some(
            "ready; `failback_window` is closed while the clock is not set, `uplinkd auto` sends the traffic back at \
             once"
                .to_owned(),
        ),
        WaitReason::Choice => Some(format!(
            "ready; the traffic was sent to {} by hand, until `uplinkd auto`",
            list(&status.active)
        )),
        WaitReason::Doubt => {
            Some("waits for an answer: the last round of probes had none".to_owned())
        }
        WaitReason::Allowance => Some("ready; its allowance is used up".to_owned()),
        WaitReason::Damping => None,
    }
}
