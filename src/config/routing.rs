//! `[routing]`: routes, rules, flows, and the numbers by which they are known.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::document::ConfigValue;
use super::error::Fault;
use super::kinds::{DurationRange, MARK_BITS, Own, ValueKind, Words, own, whole};
use super::section::Section;
use super::times::{DAY, secs};
use crate::engine::settings::{FailbackFlows, Flows};
use crate::routing::nexthop::NUMBERS;
use crate::routing::{Numbering, RoutingMode, RuleStage};
use crate::units::{Mark, Metric, NextHopId, Protocol, RulePriority, TableId};

/// What becomes of the flows of an uplink that no longer carries traffic as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowSettings {
    /// Of those that are forwarded.
    pub on_failover: Flows,
    /// Of the connections of the machine itself.
    pub local_sockets: LocalSockets,
}

/// What becomes of connections of the machine itself by an address that is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LocalSockets {
    /// They go on by their uplink, for as long as that works.
    #[default]
    Keep,
    /// They are ended together with the flows.
    End,
}

/// What becomes of the agent's routes and rules at a clean stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnStop {
    /// They are removed, and the machine's own default route takes over.
    #[default]
    Remove,
    /// They stay as they are.
    Keep,
}

const MODES: Words<RoutingMode> =
    Words(&[("table", RoutingMode::Table), ("main", RoutingMode::Main)]);
const ON_STOP: Words<OnStop> = Words(&[("remove", OnStop::Remove), ("keep", OnStop::Keep)]);
const FLOWS: Words<Flows> = Words(&[("move", Flows::Move), ("keep", Flows::Keep)]);
const FLOWS_ON_FAILBACK: Words<Option<Flows>> = Words(&[
    ("auto", None),
    ("keep", Some(Flows::Keep)),
    ("move", Some(Flows::Move)),
]);
const FLOW_MEMORY: Words<bool> = Words(&[("auto", true), ("off", false)]);
const SOCKETS: Words<LocalSockets> =
    Words(&[("keep", LocalSockets::Keep), ("end", LocalSockets::End)]);

/// 0 to 4 are the kernel's own (`include/uapi/linux/rtnetlink.h`: unspec, redirect, kernel, boot,
/// static).
const PROTOCOLS: &[(i64, i64)] = &[(5, 255)];
/// 0 is unspec and 253 to 255 are default, main and local.
const TABLES: &[(i64, i64)] = &[(1, LAST_LOW_TABLE as i64), (256, LAST_TABLE as i64)];
const LAST_LOW_TABLE: u32 = 252;
const LAST_TABLE: u32 = 0xffff_fffe;
/// A rule of priority 0 looks up the local table, 32766 main and 32767 default.
const PRIORITIES: &[(i64, i64)] = &[(1, 32_765)];
/// Any that is not 0.
const MARKS: &[(i64, i64)] = &[(1, 0xffff_ffff)];
/// 0 goes before all others. The uplinks' own metrics follow it at a distance.
const METRICS: &[(i64, i64)] = &[(1, 1_000_000_000)];
/// As many numbers from it on are the agent's.
const NEXT_HOPS: &[(i64, i64)] = &[(1, 0xffff_ffff - NUMBERS as i64)];

/// The numbers, which hold for the uplinks, groups and rules that are read later.
pub(super) fn numbering(section: &Section<'_>) -> Numbering {
    let default = Numbering::default();
    let table = whole(TABLES, TableId);
    let priority = whole(PRIORITIES, RulePriority);
    Numbering {
        mode: section.read("mode", &MODES, default.mode),
        protocol: section.read("protocol", &whole(PROTOCOLS, Protocol), default.protocol),
        table: section.read("table", &table, default.table),
        group_table: section.read("group_table", &table, default.group_table),
        rule: section.read("rule", &priority, default.rule),
        default_rule: section.read("default_rule", &priority, default.default_rule),
        mark: section.read("mark", &whole(MARKS, Mark), default.mark),
        flow_mask: flow_mask(section, default.flow_mask),
        metric: section.read("metric", &whole(METRICS, Metric), default.metric),
        nexthop: section.read("nexthop", &whole(NEXT_HOPS, NextHopId), default.nexthop),
    }
}

fn flow_mask(section: &Section<'_>, default: Option<Mark>) -> Option<Mark> {
    let is_on = section.read("flow_memory", &FLOW_MEMORY, true);
    let mask = section.find("flow_mark", &MARK_BITS).or(default);
    mask.filter(|_| is_on)
}

pub(super) fn flows(section: &Section<'_>) -> FlowSettings {
    FlowSettings {
        on_failover: section.read("flows", &FLOWS, Flows::Move),
        local_sockets: section.read("local_sockets", &SOCKETS, LocalSockets::Keep),
    }
}

pub(super) fn failback_flows(section: &Section<'_>) -> FailbackFlows {
    FailbackFlows {
        fate: section.read("flows_on_failback", &FLOWS_ON_FAILBACK, None),
        limit_ms: section.read("flows_on_failback_limit", &FLOW_LIMIT, None),
    }
}

const FLOW_LIMITS: DurationRange = DurationRange(secs(1)..=DAY.saturating_mul(7));
const FLOW_LIMIT: Own<Option<NonZeroU32>> =
    own("\"auto\" or a duration, 1s to 7d", |value: &ConfigValue| {
        if value.as_text() == Some("auto") {
            return Ok(None);
        }
        let limit = FLOW_LIMITS.parse(value)?.as_millis();
        Ok(u32::try_from(limit).ok().and_then(NonZeroU32::new))
    });

pub(super) fn on_stop(section: &Section<'_>) -> OnStop {
    section.read("on_stop", &ON_STOP, OnStop::Remove)
}

/// How many of each there are.
pub(super) struct SectionCounts {
    pub(super) uplinks: usize,
    pub(super) groups: usize,
    pub(super) rules: usize,
}

/// The numbers have room for as many.
pub(super) fn check(section: &Section<'_>, numbers: &Numbering, counts: &SectionCounts) {
    check_tables(section, numbers.table, counts.uplinks);
    check_group_tables(section, numbers, counts);
    check_rules(section, numbers, counts.rules);
    check_flow_marks(section, numbers, counts.uplinks);
}

/// The last table that a run of them from `first` on may reach.
fn end_of_tables(first: TableId) -> u64 {
    let is_low = first.0 <= LAST_LOW_TABLE;
    u64::from(if is_low { LAST_LOW_TABLE } else { LAST_TABLE })
}

/// The first table is followed by one for each uplink; none of them may be one of the kernel's.
fn check_tables(section: &Section<'_>, first: TableId, uplinks: usize) {
    let last = u64::from(first.0) + uplinks as u64;
    let end = end_of_tables(first);
    if last > end {
        let bound = format!(
            "at most {}: it is followed by one for each of {uplinks} uplinks, and the last of them \
             may be {end}",
            end.saturating_sub(uplinks as u64)
        );
        section.refuse("table", Fault::value(first, bound));
    }
}

/// The groups have tables of their own, none of which is one of the kernel's or of those above.
fn check_group_tables(section: &Section<'_>, numbers: &Numbering, counts: &SectionCounts) {
    let groups = counts.groups;
    let first = u64::from(numbers.group_table.0);
    let last = first + (groups as u64).saturating_sub(1);
    let other = u64::from(numbers.table.0);
    let other_last = other + counts.uplinks as u64;
    let end = end_of_tables(numbers.group_table);
    let is_clash = first <= other_last && other <= last;
    if groups > 0 && (last > end || is_clash) {
        let bound = format!(
            "the first of {groups} tables in a row, none beyond {end} and none of {other} to \
             {other_last}, which are those of `table`"
        );
        section.refuse("group_table", Fault::value(numbers.group_table, bound));
    }
}

/// The rules stand at `rule` and the numbers after it, one of each [`RuleStage`], then those of groups, the last
/// at `default_rule`.
fn check_rules(section: &Section<'_>, numbers: &Numbering, rules: usize) {
    let own = RuleStage::COUNT - 1 + u32::try_from(rules).unwrap_or(u32::MAX);
    let first_free = numbers.rule.0.saturating_add(own).saturating_add(1);
    if numbers.default_rule.0 >= first_free {
        return;
    }
    if section.has("default_rule") {
        let bound = format!("more than `rule` + {own}, {}", first_free - 1);
        section.refuse("default_rule", Fault::value(numbers.default_rule, bound));
    } else {
        let most = numbers.default_rule.0.saturating_sub(own);
        let bound = format!("less than `default_rule` - {own}, {most}");
        section.refuse("rule", Fault::value(numbers.rule, bound));
    }
}

/// The bits have a value for each uplink, and none of these is the mark of a probe: a rule for probes would take its
/// flows.
fn check_flow_marks(section: &Section<'_>, numbers: &Numbering, uplinks: usize) {
    let Some(mask) = numbers.flow_mask else {
        return;
    };
    let numbers = Numbering {
        mode: RoutingMode::Table,
        ..*numbers
    };
    let shown = format!("\"{:#x}\"", mask.0);
    let places = 0..u32::try_from(uplinks).unwrap_or(u32::MAX);
    let flows = places.clone().map_while(|place| numbers.flow_mark(place));
    let flows: Vec<_> = flows.map(|marks| marks.mark).collect();
    let mut probes = places.flat_map(|place| numbers.marks(place));
    if flows.len() < uplinks {
        let bits = usize::BITS - uplinks.leading_zeros();
        let bound = format!("{bits} bits or more in a row: a value for each of {uplinks} uplinks");
        section.refuse("flow_mark", Fault::value(shown, bound));
    } else if probes.any(|mark| flows.contains(&mark)) {
        let first = numbers.mark.0;
        let bound =
            format!("bits whose values are no marks of probes, which begin at `mark`, {first:#x}");
        section.refuse("flow_mark", Fault::value(shown, bound));
    }
}
