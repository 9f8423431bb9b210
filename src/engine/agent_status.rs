//! The status of the agent: the read model of all uplinks and groups, built once.

use super::group::names;
use super::status::{AgentState, SelectionMode, Status, UplinkStatus};
use super::uplink::{Uplink, UplinkPart};
use super::view::EngineView;
use crate::units::Wall;

/// The status. `wall` translates times.
pub(super) fn agent_status(view: EngineView<'_>, agent: AgentState, wall: Wall) -> Status {
    let (groups, uplinks) = (view.groups, view.uplinks);
    let default_group = groups.default_group();
    let group_status = groups.ids().filter_map(|id| {
        let active = names(&groups.carriers(id, uplinks), uplinks);
        groups.get(id).status(active, uplinks, wall)
    });
    let mode = if default_group.by_hand().is_some() {
        SelectionMode::Manual
    } else {
        SelectionMode::Auto
    };
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mode,
        choices: agent.choices,
        policy: view.settings.failover.policy,
        since: default_group.since().map(|since| wall.at(since)),
        uplinks: uplink_status(view, wall),
        active: names(&default_group.carriers(uplinks), uplinks),
        groups: group_status.collect(),
        routes: agent.routes,
        flow_memory: agent.flow_memory,
        last_switch: default_group.last_switch(wall),
    }
}

fn uplink_status(view: EngineView<'_>, wall: Wall) -> Vec<UplinkStatus> {
    let active = view.groups.all_carriers(view.uplinks);
    let damping = view.settings.failover.damping;
    let status = |uplink: &Uplink| {
        let id = uplink.id();
        let part = UplinkPart {
            carries: view.groups.carried_by(id, view.uplinks),
            is_active: active.contains(&id),
            penalty: view.flaps.penalty(id, damping, wall.now()),
            suppressed_until: view.flaps.suppressed_until(id),
        };
        uplink.status(part, wall)
    };
    view.uplinks.iter().map(status).collect()
}
