//! The `[[group]]` and `[[rule]]` sections, each on its own and all together.

use super::addresses::NETS;
use super::error::Fault;
use super::failover::POLICIES;
use super::hours::HOURS;
use super::kinds::{MARKS, NameOf, PORTS, PROTOCOL, WITH_PORTS, Words, name};
use super::section::Section;
use crate::engine::settings::{GroupSettings, Policy, RuleSettings, UplinkSettings, WhenNone};
use crate::routing::traffic::Selector;
use crate::routing::{Family, RoutingMode};
use crate::units::{GroupName, IpProtocol, UplinkName, WeeklyHours};

/// Each has a table.
pub(super) const MAX_GROUPS: usize = 64;
/// The kernel looks at them one after the other.
pub(super) const MAX_RULES: usize = 256;

/// What holds for every group.
pub(super) struct GroupContext<'a> {
    pub(super) mode: RoutingMode,
    pub(super) policy: Policy,
    pub(super) uplinks: &'a [UplinkSettings],
}

const WHEN_NONE: Words<WhenNone> = Words(&[("rest", WhenNone::Rest), ("drop", WhenNone::Drop)]);

const UPLINKS: &str = "the uplinks that may carry it, as in [\"fiber\", \"lte\"]";

/// Every group that could be read, in the order of the file.
pub(super) fn groups(top: &Section<'_>, context: &GroupContext<'_>) -> Vec<GroupSettings> {
    if context.mode == RoutingMode::Main && top.has("group") {
        let bound = "left out with `routing.mode` \"main\": they need rules";
        top.refuse("group", Fault::value("groups", bound));
        return Vec::new();
    }
    let mut earlier: Vec<(GroupSettings, Section<'_>)> = Vec::new();
    for section in top.sections("group", MAX_GROUPS) {
        let Some(group) = group(&section, context) else {
            continue;
        };
        if let Some((_, same)) = earlier.iter().find(|(other, _)| other.name == group.name) {
            let value = format!("\"{}\"", group.name);
            let first = same.line_of("name");
            section.refuse("name", Fault::Duplicate { value, first });
        }
        earlier.push((group, section));
    }
    earlier.into_iter().map(|(group, _)| group).collect()
}

/// Every rule that could be read, in the order of the file.
pub(super) fn rules(top: &Section<'_>, groups: &[GroupSettings]) -> Vec<RuleSettings> {
    let mut earlier: Vec<(RuleSettings, Section<'_>)> = Vec::new();
    for section in top.sections("rule", MAX_RULES) {
        let Some(rule) = rule(&section, groups) else {
            continue;
        };
        let mut covering = earlier.iter();
        let is_covered = |(other, _): &&(RuleSettings, Section<'_>)| {
            let covers_hours = other.when.are_always() || other.when == rule.when;
            covers_hours && other.traffic.covers(&rule.traffic)
        };
        if let Some((_, first)) = covering.find(is_covered) {
            let line = first.line_of("group");
            let bound = format!("before the rule on line {line}, which matches all of it");
            section.refuse("group", Fault::value("this rule is never reached", bound));
        }
        earlier.push((rule, section));
    }
    earlier.into_iter().map(|(rule, _)| rule).collect()
}

fn group(section: &Section<'_>, context: &GroupContext<'_>) -> Option<GroupSettings> {
    section.require(
        "name",
        "the name by which rules and operators know the group",
    );
    section.require("uplinks", UPLINKS);
    let name = section.find("name", &name("1 to 32 letters, digits, `_`, `-` or `.`"));
    let policy = section.read("policy", &POLICIES, context.policy);
    let known: Vec<&UplinkName> = context.uplinks.iter().map(|uplink| &uplink.name).collect();
    let of_uplinks = NameOf {
        known: &known,
        what: "an uplink",
    };
    let uplinks = section.list("uplinks", &of_uplinks, Vec::new());
    let is_empty = section.node("uplinks").is_some_and(|node| {
        let items = node.value.as_items(node.line);
        items.is_some_and(|items| items.is_empty())
    });
    if is_empty {
        section.refuse("uplinks", Fault::Missing(UPLINKS));
    }
    let when_none = section.read("when_none", &WHEN_NONE, WhenNone::Rest);
    Some(GroupSettings {
        name: name?,
        policy,
        when_none,
        uplinks: Some(uplinks).filter(|uplinks| !uplinks.is_empty())?,
    })
}

fn rule(section: &Section<'_>, groups: &[GroupSettings]) -> Option<RuleSettings> {
    const WHAT: &str = "at least one of `from`, `to`, `iif`, `protocol`, \
                        `sport`, `dport` and `fwmark`";
    section.require(
        "group",
        "the name of the group that this traffic belongs to",
    );
    let names: Vec<&GroupName> = groups.iter().map(|group| &group.name).collect();
    let of_groups = NameOf {
        known: &names,
        what: "a group",
    };
    let group = section.find("group", &of_groups);
    let traffic = Selector {
        from: section.read("from", &NETS, Vec::new()),
        to: section.read("to", &NETS, Vec::new()),
        iif: section.find("iif", &name("the name of a network interface")),
        protocol: section.find("protocol", &PROTOCOL),
        sport: section.find("sport", &PORTS),
        dport: section.find("dport", &PORTS),
        fwmark: section.find("fwmark", &MARKS),
    };
    let when = section.read("when", &HOURS, WeeklyHours::default());
    if section.is_nothing_but(&["group", "when"]) {
        section.refuse("from", Fault::Missing(WHAT));
    }
    check_ports(section, &traffic);
    check_families(section, &traffic);
    Some(RuleSettings {
        group: group?,
        traffic,
        when,
    })
}

fn check_ports(section: &Section<'_>, traffic: &Selector) {
    let with_ports = WITH_PORTS.map(IpProtocol);
    let has_ports = traffic
        .protocol
        .is_some_and(|one| with_ports.contains(&one));
    for (key, ports) in [("sport", traffic.sport), ("dport", traffic.dport)] {
        if let Some(ports) = ports.filter(|_| !has_ports) {
            let bound =
                "beside a `protocol` that has ports: \"tcp\", \"udp\", \"sctp\" or \"dccp\"";
            section.refuse(key, Fault::value(ports, bound));
        }
    }
}

/// No packet is of two families.
fn check_families(section: &Section<'_>, traffic: &Selector) {
    let is_of_any = Family::ROUTED.iter().any(|family| traffic.is_of(*family));
    if !is_of_any {
        let bound = "of the family of those in `from`: no packet goes from one to the other";
        section.refuse("to", Fault::value("the prefixes", bound));
    }
}
