//! What the status says of flows that go elsewhere than the traffic.

use crate::cli::output::short;
use crate::engine::event::Side;
use crate::engine::status::{Draining, NewConnections, UplinkStatus};
use crate::units::Timestamp;
use crate::units::counting::plural;

/// What becomes of the flows of an uplink when it is left while it is healthy.
pub(super) fn on_failback(uplink: &UplinkStatus) -> String {
    format!("flows on failback: {}", uplink.flows_on_failback)
}

/// Flows that the traffic has left on an uplink.
pub(super) fn kept(uplink: &UplinkStatus, now: Timestamp) -> Option<String> {
    let until = uplink.flows_until?;
    Some(format!(
        "flows that began here stay for {} at most",
        left(until, now)
    ))
}

/// New connections that leave an uplink in doubt.
pub(super) fn new_connections(new: &NewConnections) -> String {
    let NewConnections {
        group,
        family,
        from,
        to,
    } = new;
    let group = group.as_ref();
    let group = group.map_or_else(String::new, |group| format!("group {group}, "));
    let sides = [from, to].map(|side| Side::Uplinks(side.clone()));
    let [from, to] = sides;
    format!("in doubt: {group}{family}: new connections go by {to}, established ones by {from}")
}

/// Flows of an uplink that is drained, after what is said of it.
pub(super) fn held(draining: &Draining, now: Timestamp) -> String {
    let Draining { flows, until } = *draining;
    let flows = plural(flows, "established flow");
    format!("; {flows} left, for {} at most", left(until, now))
}

fn left(until: Timestamp, now: Timestamp) -> String {
    short(until.0.duration_since(now.0).unwrap_or_default())
}
