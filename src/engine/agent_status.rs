//! The status of the agent: the read model of all uplinks and groups, built once.

use super::drill::Drills;
use super::group::carriers::names;
use super::kept_flows::KeptFlows;
use super::settings::Flows;
use super::stale_flows::StaleFlows;
use super::status::{
    AgentState, DrillStatus, RuleStatus, SelectionMode, Status, UplinkFigures, UplinkStatus,
    WaitReason, Waits,
};
use super::uplink::{Uplink, UplinkPart};
use super::view::EngineView;
use crate::routing::Family;
use crate::units::{LocalMinute, Timestamp, Wall};

/// The status. `wall` translates times.
pub(super) fn agent_status(
    view: EngineView<'_>,
    flows: &StaleFlows,
    drills: &Drills,
    agent: AgentState,
    wall: Wall,
) -> Status {
    let (groups, uplinks) = (view.groups, view.uplinks);
    let default_group = groups.default_group();
    let when = |minute: LocalMinute| match agent.when {
        Some(when) => when(minute),
        None => minute.at_offset(view.clock.offset()),
    };
    let settings = view.settings;
    let opens = view.clock.next_change(&settings.failback_window).map(when);
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
        uplinks: uplink_status(view, &flows.kept, opens, wall),
        new_connections: flows.soft.status(),
        active: names(&default_group.carriers(uplinks), uplinks),
        groups: group_status.collect(),
        routes: agent.routes,
        flow_memory: agent.flow_memory,
        last_switch: default_group.last_switch(wall),
        drill: DrillStatus {
            running: drills.running().cloned(),
            schedule: settings.drill.schedule,
            next: drills.next(settings.drill).map(when),
        },
        rules: rules_with_hours(view, when),
    }
}

/// The part of it that samples take.
pub(super) fn figures(view: EngineView<'_>, drills: &Drills) -> Vec<UplinkFigures> {
    let active = view.groups.default_group().carriers(view.uplinks);
    let figures = view.uplinks.iter().map(|uplink| UplinkFigures {
        in_drill: drills.failing() == Some(uplink.id()),
        ..uplink.figures(active.contains(&uplink.id()))
    });
    figures.collect()
}

fn rules_with_hours(
    view: EngineView<'_>,
    when: impl Fn(LocalMinute) -> Timestamp,
) -> Vec<RuleStatus> {
    let rules = (1..).zip(&view.settings.rules);
    let rules = rules.filter(|(_, rule)| !rule.when.are_always());
    let status = rules.map(|(place, rule)| RuleStatus {
        rule: place,
        group: rule.group.clone(),
        when: rule.when.clone(),
        applies: view.clock.is_within(&rule.when),
        until: view.clock.next_change(&rule.when).map(&when),
    });
    status.collect()
}

/// `opens`: when `failback_window` does, if it is closed.
fn uplink_status(
    view: EngineView<'_>,
    kept: &KeptFlows,
    opens: Option<Timestamp>,
    wall: Wall,
) -> Vec<UplinkStatus> {
    let active = view.groups.all_carriers(view.uplinks);
    let damping = view.settings.failover.damping;
    let default_group = view.groups.default_group();
    let waits = default_group.waits(view.of_groups(wall.now()));
    let status = |uplink: &Uplink| {
        let id = uplink.id();
        let part = UplinkPart {
            carries: view.groups.carried_by(id, view.uplinks),
            is_active: active.contains(&id),
            penalty: view.flaps.penalty(id, damping, wall.now()),
            suppressed_until: view.flaps.suppressed_until(id),
            waits: { waits.iter() }.find(|one| one.id == id).map(|one| Waits {
                reason: one.reason,
                until: match one.reason {
                    WaitReason::FailbackWindow => opens,
                    WaitReason::FailbackAfter
                    | WaitReason::FailbackManual
                    | WaitReason::Damping
                    | WaitReason::Choice
                    | WaitReason::Doubt
                    | WaitReason::Allowance => one.until.map(|until| wall.at(until)),
                },
            }),
            flows_on_failback: flows_on_failback(view, kept, uplink),
            flows_until: kept.until(view, uplink),
            allowance: uplink.allowance_status(),
        };
        uplink.status(part, wall)
    };
    view.uplinks.iter().map(status).collect()
}

/// They stay if those of all families do by which it has a way out.
fn flows_on_failback(view: EngineView<'_>, kept: &KeptFlows, uplink: &Uplink) -> Flows {
    let paths = &uplink.attachment().paths;
    let has_way = |family: &Family| paths.is_empty() || paths.contains_key(family);
    let is_kept = |family: Family| {
        let key = (uplink.settings().name.clone(), family);
        kept.fate(view, &key) == Some(Flows::Keep)
    };
    let mut families = Family::ROUTED.into_iter().filter(has_way);
    if families.all(is_kept) {
        Flows::Keep
    } else {
        Flows::Move
    }
}
