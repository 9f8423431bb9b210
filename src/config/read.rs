//! From the tree of a file to a [`Config`], section by section.

use std::fmt::Display;
use std::time::Duration;

use super::raw::{Node, Value};
use super::section::{Problems, Section};
use super::{
    AgentSettings, Config, Fault, FlowSettings, Flows, LocalSockets, LogSink, OnStop, Problem,
    UbusPlace,
};
use super::{defaults, groups, schema, uplinks, values};
use crate::engine::settings::{
    Band, DampingSettings, Failback, FailoverSettings, HealthSettings, Policy, ProbeSettings,
    ScoreBand, Settings,
};
use crate::routing::{Numbering, RoutingMode};
use crate::units::{Mark, Metric, NextHopId, Protocol, RulePriority, Score, TableId};

/// The configuration that a tree is, unless something was or is wrong with it.
pub(super) fn config(document: &Node, problems: Problems) -> Result<Config, Vec<Problem>> {
    let top = Section::new(document, String::new(), &schema::TOP, &problems);
    let agent = agent(&top.section("agent", &schema::AGENT));
    let routing = top.section("routing", &schema::ROUTING);
    let mode = mode(&routing);
    let common = uplinks::Common {
        mode,
        has_ubus: agent.ubus != UbusPlace::Off,
        probe: probe(&top.section("probe", &schema::PROBE), &defaults::probe()),
        health: health(&top.section("health", &schema::HEALTH), &defaults::health()),
    };
    let failover = failover(&top.section("failover", &schema::FAILOVER));
    let (uplinks, networks) = uplinks::uplinks(&top, &common, &problems);
    let on_stop = on_stop(&routing);
    let flows = flows(&routing);
    let numbering = Numbering {
        mode,
        ..numbering(&routing, uplinks.len())
    };
    let of_groups = groups::Common {
        mode,
        policy: failover.policy,
        uplinks: &uplinks,
    };
    let groups = groups::groups(&top, &of_groups, &problems);
    let rules = groups::rules(&top, &groups, &problems);
    check_group_tables(&routing, &numbering, uplinks.len(), groups.len());
    check_rules(&routing, &numbering, rules.len());
    let engine = Settings {
        uplinks,
        failover,
        groups,
        rules,
        numbering,
        seed: 0,
    };
    let problems = problems.into_inner();
    if problems.is_empty() {
        Ok(Config {
            agent,
            engine,
            networks,
            on_stop,
            flows,
        })
    } else {
        Err(problems)
    }
}

fn agent(section: &Section<'_>) -> AgentSettings {
    const LOGS: &[(&str, LogSink)] = &[
        ("auto", LogSink::Auto),
        ("syslog", LogSink::Syslog),
        ("journald", LogSink::Journald),
        ("stderr", LogSink::Stderr),
    ];
    let mut agent = defaults::agent();
    section.set("control", values::socket_path, &mut agent.control);
    section.set("state_dir", values::directory, &mut agent.state_dir);
    section.set("log", values::word(LOGS), &mut agent.log);
    section.set("hooks", values::directory, &mut agent.hooks);
    section.set("record", values::file_or_off, &mut agent.record);
    section.set("ubus", values::ubus, &mut agent.ubus);
    agent
}

/// How to probe: `inherited`, and what the section says otherwise.
pub(super) fn probe(section: &Section<'_>, inherited: &ProbeSettings) -> ProbeSettings {
    use defaults::{CONFIRM_INTERVAL, INTERVAL, MAX_TARGETS, TIMEOUT};
    let quorums = 1..=i64::try_from(MAX_TARGETS).unwrap_or(i64::MAX);
    let mut probe = inherited.clone();
    section.set_list("targets", values::target, &mut probe.targets);
    section.set_list("resolvers", values::resolver, &mut probe.resolvers);
    section.set("quorum", values::integer(&[quorums]), &mut probe.quorum);
    section.set("interval", values::duration(INTERVAL), &mut probe.interval);
    section.set(
        "standby_interval",
        values::duration(INTERVAL),
        &mut probe.standby_interval,
    );
    section.set(
        "confirm_interval",
        values::duration(CONFIRM_INTERVAL),
        &mut probe.confirm_interval,
    );
    section.set("timeout", values::duration(TIMEOUT), &mut probe.timeout);
    check_targets(section, &probe);
    check_resolvers(section, &probe);
    check_confirm_interval(section, &mut probe);
    check_standby_interval(section, &mut probe);
    probe
}

fn check_targets(section: &Section<'_>, probe: &ProbeSettings) {
    let count = probe.targets.len();
    let is_countable = (1..=defaults::MAX_TARGETS).contains(&count);
    if !is_countable && section.has("targets") {
        let bound = format!("1 to {}", defaults::MAX_TARGETS);
        let value = format!("{count} targets");
        section.refuse("targets", Fault::Bound { value, bound });
    } else if probe.quorum > count && section.has("quorum") {
        let bound = format!("1 to the number of targets, {count}");
        let value = probe.quorum.to_string();
        section.refuse("quorum", Fault::Bound { value, bound });
    } else if probe.quorum > count && section.has("targets") {
        let bound = format!("at least the quorum of {}", probe.quorum);
        let value = format!("{count} targets");
        section.refuse("targets", Fault::Bound { value, bound });
    }
}

fn check_resolvers(section: &Section<'_>, probe: &ProbeSettings) {
    let count = probe.resolvers.len();
    if count > defaults::MAX_RESOLVERS && section.has("resolvers") {
        let bound = format!("at most {}", defaults::MAX_RESOLVERS);
        let value = format!("{count} resolvers");
        section.refuse("resolvers", Fault::Bound { value, bound });
    }
}

/// Doubt never probes more slowly than peace. Whoever shortens only the interval means both.
fn check_confirm_interval(section: &Section<'_>, probe: &mut ProbeSettings) {
    let is_longer = probe.confirm_interval > probe.interval;
    if is_longer && section.has("confirm_interval") {
        let value = values::show(probe.confirm_interval);
        let bound = format!("at most `interval`, {}", values::show(probe.interval));
        section.refuse("confirm_interval", Fault::Bound { value, bound });
    }
    probe.confirm_interval = probe.confirm_interval.min(probe.interval);
}

/// What stands by is never probed faster than what carries the traffic. Whoever lengthens only the
/// interval means both.
fn check_standby_interval(section: &Section<'_>, probe: &mut ProbeSettings) {
    let is_shorter = probe.standby_interval < probe.interval;
    if is_shorter && section.has("standby_interval") {
        let value = values::show(probe.standby_interval);
        let bound = format!("at least `interval`, {}", values::show(probe.interval));
        section.refuse("standby_interval", Fault::Bound { value, bound });
    }
    probe.standby_interval = probe.standby_interval.max(probe.interval);
}

/// How to judge: `inherited`, and what the section says otherwise.
pub(super) fn health(section: &Section<'_>, inherited: &HealthSettings) -> HealthSettings {
    use defaults::{BALANCED, DELAY, DWELL, FAST, OUTAGE_WITHIN, PATIENT, RECOVER_AFTER, WINDOW};
    const SENSITIVITIES: &[(&str, Duration)] =
        &[("fast", FAST), ("balanced", BALANCED), ("patient", PATIENT)];
    let mut health = inherited.clone();
    section.set(
        "sensitivity",
        values::word(SENSITIVITIES),
        &mut health.false_alarm_every,
    );
    section.set(
        "outage_within",
        values::duration(OUTAGE_WITHIN),
        &mut health.outage_within,
    );
    section.set(
        "recover_after",
        values::duration(RECOVER_AFTER),
        &mut health.recover_after,
    );
    section.set("window", values::duration(WINDOW), &mut health.window);
    section.set("dwell", values::duration(DWELL), &mut health.dwell);
    let loss = section.section("loss", &schema::LOSS);
    let latency = section.section("latency", &schema::LATENCY);
    let jitter = section.section("jitter", &schema::JITTER);
    let delay = values::duration(DELAY);
    let show_delay = |delay: &Duration| values::show(*delay);
    band(&loss, &mut health.loss, values::percent, |loss| {
        loss.percent()
    });
    band(&latency, &mut health.latency, &delay, show_delay);
    band(&jitter, &mut health.jitter, &delay, show_delay);
    score_band(&section.section("score", &schema::SCORE), &mut health.score);
    health
}

/// Of scores the lower are worse.
fn score_band(section: &Section<'_>, band: &mut ScoreBand) {
    for (key, score) in [("enter", &mut band.enter), ("exit", &mut band.exit)] {
        if let Some(number) = section.get(key, values::integer(&[defaults::SCORE])) {
            *score = Score(number);
        }
    }
    let (enter, exit) = (band.enter.to_string(), band.exit.to_string());
    if band.exit > band.enter {
        return;
    }
    if section.has("exit") {
        let bound = format!("more than `enter`, {enter}");
        section.refuse("exit", Fault::Bound { value: exit, bound });
    } else if section.has("enter") {
        let bound = format!("less than `exit`, {exit}");
        let value = enter;
        section.refuse("enter", Fault::Bound { value, bound });
    }
}

fn band<T: PartialOrd + Copy, S: Display>(
    section: &Section<'_>,
    band: &mut Band<T>,
    parse: impl Fn(&Value) -> Result<T, Fault>,
    show: impl Fn(&T) -> S,
) {
    section.set("enter", &parse, &mut band.enter);
    section.set("exit", &parse, &mut band.exit);
    let is_ordered = band.exit < band.enter;
    if is_ordered {
        return;
    }
    let (enter, exit) = (show(&band.enter).to_string(), show(&band.exit).to_string());
    if section.has("exit") {
        let bound = format!("less than `enter`, {enter}");
        section.refuse("exit", Fault::Bound { value: exit, bound });
    } else if section.has("enter") {
        let bound = format!("more than `exit`, {exit}");
        let value = enter;
        section.refuse("enter", Fault::Bound { value, bound });
    }
}

/// Each policy by its name.
pub(super) const POLICIES: &[(&str, Policy)] = &[
    ("failover", Policy::Failover),
    ("best", Policy::Best),
    ("balance", Policy::Balance),
];

fn failover(section: &Section<'_>) -> FailoverSettings {
    const FAILBACKS: &[(&str, Failback)] =
        &[("auto", Failback::Auto), ("manual", Failback::Manual)];
    let mut failover = defaults::failover();
    section.set("policy", values::word(POLICIES), &mut failover.policy);
    section.set("failback", values::word(FAILBACKS), &mut failover.failback);
    section.set(
        "failback_after",
        values::duration(defaults::FAILBACK_AFTER),
        &mut failover.failback_after,
    );
    let best = &mut failover.best;
    if let Some(margin) = section.get("best_margin", values::integer(&[defaults::BEST_MARGIN])) {
        best.margin = Score(margin);
    }
    let after = values::duration(defaults::BEST_AFTER);
    section.set("best_after", after, &mut best.after);
    damping(
        &section.section("damping", &schema::DAMPING),
        &mut failover.damping,
    );
    failover
}

fn damping(section: &Section<'_>, damping: &mut DampingSettings) {
    use defaults::{HALF_LIFE, LONGEST, PENALTY};
    let penalty = values::number(PENALTY);
    let half_life = values::duration(HALF_LIFE);
    section.set("half_life", half_life, &mut damping.half_life);
    section.set("suppress", &penalty, &mut damping.suppress);
    section.set("reuse", &penalty, &mut damping.reuse);
    section.set("longest", values::duration(LONGEST), &mut damping.longest);
    if damping.reuse < damping.suppress {
        return;
    }
    let (key, value, bound) = if section.has("reuse") {
        let bound = format!("less than `suppress`, {}", damping.suppress);
        ("reuse", damping.reuse, bound)
    } else {
        let bound = format!("more than `reuse`, {}", damping.reuse);
        ("suppress", damping.suppress, bound)
    };
    let value = value.to_string();
    section.refuse(key, Fault::Bound { value, bound });
}

fn mode(section: &Section<'_>) -> RoutingMode {
    const MODES: &[(&str, RoutingMode)] =
        &[("table", RoutingMode::Table), ("main", RoutingMode::Main)];
    let mode = section.get("mode", values::word(MODES));
    mode.unwrap_or_default()
}

fn on_stop(section: &Section<'_>) -> OnStop {
    const CHOICES: &[(&str, OnStop)] = &[("remove", OnStop::Remove), ("keep", OnStop::Keep)];
    section
        .get("on_stop", values::word(CHOICES))
        .unwrap_or_default()
}

fn flows(section: &Section<'_>) -> FlowSettings {
    const FLOWS: &[(&str, Flows)] = &[("move", Flows::Move), ("keep", Flows::Keep)];
    const SOCKETS: &[(&str, LocalSockets)] =
        &[("keep", LocalSockets::Keep), ("end", LocalSockets::End)];
    let on_failover = section
        .get("flows", values::word(FLOWS))
        .unwrap_or_default();
    FlowSettings {
        on_failover,
        on_failback: section
            .get("flows_on_failback", values::word(FLOWS))
            .unwrap_or(on_failover),
        local_sockets: section
            .get("local_sockets", values::word(SOCKETS))
            .unwrap_or_default(),
    }
}

fn numbering(section: &Section<'_>, uplinks: usize) -> Numbering {
    use defaults::{MARK, METRIC, NEXTHOP, PROTOCOL, RULE, TABLE};
    let mut numbers = Numbering::default();
    let get = |key, bounds: &[_]| section.get(key, values::integer::<u32>(bounds));
    if let Some(protocol) = section.get("protocol", values::integer(&[PROTOCOL])) {
        numbers.protocol = Protocol(protocol);
    }
    if let Some(table) = get("table", &TABLE) {
        numbers.table = TableId(table);
    }
    if let Some(table) = get("group_table", &TABLE) {
        numbers.group_table = TableId(table);
    }
    if let Some(nexthop) = get("nexthop", &[NEXTHOP]) {
        numbers.nexthop = NextHopId(nexthop);
    }
    if let Some(rule) = get("rule", &[RULE]) {
        numbers.rule = RulePriority(rule);
    }
    if let Some(rule) = get("default_rule", &[RULE]) {
        numbers.default_rule = RulePriority(rule);
    }
    if let Some(mark) = get("mark", &[MARK]) {
        numbers.mark = Mark(mark);
    }
    if let Some(metric) = get("metric", &[METRIC]) {
        numbers.metric = Metric(metric);
    }
    check_tables(section, numbers.table, uplinks);
    numbers
}

/// The first table is followed by one for each uplink; none of them may be one of the kernel's.
fn check_tables(section: &Section<'_>, first: TableId, uplinks: usize) {
    let last = u64::from(first.0) + uplinks as u64;
    let end = if first.0 < 253 { 252 } else { 0xffff_fffe };
    if last > end {
        let value = first.to_string();
        let bound = format!(
            "at most {}: it is followed by one for each of {uplinks} uplinks, and the last of them \
             may be {end}",
            end.saturating_sub(uplinks as u64)
        );
        section.refuse("table", Fault::Bound { value, bound });
    }
}

/// The groups have tables of their own, none of which is one of the kernel's or of those above.
fn check_group_tables(section: &Section<'_>, numbers: &Numbering, uplinks: usize, groups: usize) {
    let first = u64::from(numbers.group_table.0);
    let last = first + (groups as u64).saturating_sub(1);
    let (other, other_last) = (
        u64::from(numbers.table.0),
        u64::from(numbers.table.0) + uplinks as u64,
    );
    let end = if first < 253 { 252 } else { 0xffff_fffe };
    let is_clash = first <= other_last && other <= last;
    if groups > 0 && (last > end || is_clash) {
        let value = numbers.group_table.to_string();
        let bound = format!(
            "the first of {groups} tables in a row, none beyond {end} and none of {other} to \
             {other_last}, which are those of `table`"
        );
        section.refuse("group_table", Fault::Bound { value, bound });
    }
}

/// Our rules stand at `rule` and the three numbers after it, then those of groups, the last at
/// `default_rule`.
fn check_rules(section: &Section<'_>, numbers: &Numbering, rules: usize) {
    let own = 3 + u32::try_from(rules).unwrap_or(u32::MAX);
    let first_free = numbers.rule.0.saturating_add(own).saturating_add(1);
    if numbers.default_rule.0 >= first_free {
        return;
    }
    let (key, value, bound) = if section.has("default_rule") {
        let bound = format!("more than `rule` + {own}, {}", first_free - 1);
        ("default_rule", numbers.default_rule, bound)
    } else {
        let bound = format!(
            "less than `default_rule` - {own}, {}",
            numbers.default_rule.0.saturating_sub(own)
        );
        ("rule", numbers.rule, bound)
    };
    let value = value.to_string();
    section.refuse(key, Fault::Bound { value, bound });
}
