//! The `[[group]]` and `[[rule]]` sections, each on its own and all together.

use super::raw::Node;
use super::section::{Problems, Section};
use super::{Fault, defaults, read, schema, values};
use crate::engine::settings::{GroupSettings, Policy, RuleSettings, UplinkSettings};
use crate::routing::traffic::Selector;
use crate::routing::{Family, RoutingMode};
use crate::units::{GroupName, IpProtocol};

/// What groups are made of and where they stand.
pub(super) struct Common<'a> {
    pub(super) mode: RoutingMode,
    pub(super) policy: Policy,
    pub(super) uplinks: &'a [UplinkSettings],
}

const UPLINKS: &str = "the uplinks that may carry it, as in [\"fiber\", \"lte\"]";

/// Every group that could be read, in the order of the file.
pub(super) fn groups(
    top: &Section<'_>,
    common: &Common<'_>,
    problems: &Problems,
) -> Vec<GroupSettings> {
    if common.mode == RoutingMode::Main && top.has("group") {
        let value = "groups".to_owned();
        let bound = "left out with `routing.mode` \"main\": they need rules".to_owned();
        top.refuse("group", Fault::Bound { value, bound });
        return Vec::new();
    }
    let nodes = nodes(top, "group", defaults::MAX_GROUPS);
    let mut earlier: Vec<(GroupSettings, Section<'_>)> = Vec::new();
    for (node, number) in nodes.iter().zip(1..) {
        let title = problems.title("group", node, number);
        let section = Section::new(node, title, &schema::GROUP, problems);
        let Some(group) = group(&section, common) else {
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
pub(super) fn rules(
    top: &Section<'_>,
    groups: &[GroupSettings],
    problems: &Problems,
) -> Vec<RuleSettings> {
    let nodes = nodes(top, "rule", defaults::MAX_RULES);
    let mut earlier: Vec<(RuleSettings, Section<'_>)> = Vec::new();
    for (node, number) in nodes.iter().zip(1..) {
        let title = problems.title("rule", node, number);
        let section = Section::new(node, title, &schema::RULE, problems);
        let Some(rule) = rule(&section, groups) else {
            continue;
        };
        let mut covering = earlier.iter();
        if let Some((_, first)) = covering.find(|(other, _)| other.traffic.covers(&rule.traffic)) {
            let value = "this rule is never reached".to_owned();
            let line = first.line_of("group");
            let bound = format!("before the rule on line {line}, which matches all of it");
            section.refuse("group", Fault::Bound { value, bound });
        }
        earlier.push((rule, section));
    }
    earlier.into_iter().map(|(rule, _)| rule).collect()
}

/// The sections of a list of them, unless there are too many.
fn nodes<'a>(top: &Section<'a>, key: &str, most: usize) -> &'a [Node] {
    let Some(node) = top.node(key) else {
        return &[];
    };
    let Some(nodes) = node.value.as_list() else {
        let expected = "a list of sections, each under a title in double brackets";
        let found = node.value.to_string();
        top.refuse(key, Fault::Kind { expected, found });
        return &[];
    };
    if nodes.len() > most {
        let value = format!("{} of them", nodes.len());
        let bound = format!("at most {most}");
        top.refuse(key, Fault::Bound { value, bound });
        return &[];
    }
    nodes
}

fn group(section: &Section<'_>, common: &Common<'_>) -> Option<GroupSettings> {
    section.require("name", "the name by which rules and people know the group");
    section.require("uplinks", UPLINKS);
    let name = section.get("name", values::name);
    let policy = section.get("policy", values::word(read::POLICIES));
    let mut uplinks = Vec::new();
    let known = common.uplinks.iter().map(|uplink| &uplink.name);
    let known: Vec<_> = known.collect();
    section.set_list("uplinks", values::one_of(&known), &mut uplinks);
    if uplinks.is_empty() {
        if section.node("uplinks").is_some_and(is_empty_list) {
            section.refuse("uplinks", Fault::Missing(UPLINKS));
        }
        return None;
    }
    Some(GroupSettings {
        name: name?,
        policy: policy.unwrap_or(common.policy),
        uplinks,
    })
}

fn is_empty_list(node: &Node) -> bool {
    (node.value.as_items(node.line)).is_some_and(|items| items.is_empty())
}

fn rule(section: &Section<'_>, groups: &[GroupSettings]) -> Option<RuleSettings> {
    const WHAT: &str = "what belongs to the group: at least one of `from`, `to`, `iif`, `protocol`, \
                        `sport`, `dport` and `fwmark`";
    section.require(
        "group",
        "the name of the group that this traffic belongs to",
    );
    let names: Vec<&GroupName> = groups.iter().map(|group| &group.name).collect();
    let group = section.get("group", values::one_of(&names));
    let traffic = Selector {
        from: section.get("from", values::nets).unwrap_or_default(),
        to: section.get("to", values::nets).unwrap_or_default(),
        iif: section.get("iif", values::name),
        protocol: section.get("protocol", values::protocol),
        sport: section.get("sport", values::ports),
        dport: section.get("dport", values::ports),
        fwmark: section.get("fwmark", values::marks),
    };
    let keys = schema::RULE.keys.iter().skip(1);
    if !{ keys }.any(|key| section.has(key)) {
        section.refuse("group", Fault::Missing(WHAT));
    }
    check_ports(section, &traffic);
    check_families(section, &traffic);
    Some(RuleSettings {
        group: group?,
        traffic,
    })
}

fn check_ports(section: &Section<'_>, traffic: &Selector) {
    let with_ports = values::WITH_PORTS.map(IpProtocol);
    let has_ports = traffic
        .protocol
        .is_some_and(|one| with_ports.contains(&one));
    for (key, ports) in [("sport", traffic.sport), ("dport", traffic.dport)] {
        if let Some(ports) = ports.filter(|_| !has_ports) {
            let value = ports.to_string();
            let bound =
                "beside a `protocol` that has ports: \"tcp\", \"udp\", \"sctp\" or \"dccp\"";
            let bound = bound.to_owned();
            section.refuse(key, Fault::Bound { value, bound });
        }
    }
}

/// Nothing is of two families.
fn check_families(section: &Section<'_>, traffic: &Selector) {
    let is_of_any = Family::ROUTED.iter().any(|family| traffic.is_of(*family));
    if !is_of_any {
        let value = "the prefixes".to_owned();
        let bound =
            "of the family of those in `from`: nothing goes from one to the other".to_owned();
        section.refuse("to", Fault::Bound { value, bound });
    }
}
