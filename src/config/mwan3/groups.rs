//! Groups, and the rules that lead to them, as sections of the result.

use super::links::Mwan3Link;
use super::order::{PolicyOrder, weights};
use super::rules::RuleWalk;
use super::source::{note, text};
use crate::config::groups::MAX_GROUPS;
use crate::config::write::{self, Setting};
use crate::routing::traffic::Selector;

/// The groups that rules lead to, and then the rules.
pub(super) fn groups(
    walk: &RuleWalk,
    links: &[Mwan3Link<'_>],
    remarks: &mut Vec<String>,
) -> Vec<write::DraftSection> {
    let mut names: Vec<&str> = Vec::new();
    let mut groups = Vec::new();
    let mut sections = Vec::new();
    for rule in &walk.rules {
        let name = rule.order.name.as_str();
        if !names.contains(&name) && names.len() == MAX_GROUPS {
            note(
                remarks,
                format_args!("{name}: left out, one more than {MAX_GROUPS} groups."),
            );
            continue;
        }
        if !names.contains(&name) {
            names.push(name);
            groups.push(group(&rule.order, links, walk));
        }
        for (at, selector) in rule.selectors.iter().enumerate() {
            let mut section = write::DraftSection::new("rule", None);
            if at == 0 {
                section.remarks.clone_from(&rule.remarks);
            }
            section.set("group", text(group_name(name)), "");
            select(selector, &mut section);
            sections.push(section);
        }
    }
    groups.append(&mut sections);
    groups
}

/// A name of UCI as that of a group, which begins with a letter or a digit.
fn group_name(name: &str) -> String {
    if name.starts_with('_') {
        format!("policy{name}")
    } else {
        name.to_owned()
    }
}

fn group(order: &PolicyOrder, links: &[Mwan3Link<'_>], walk: &RuleWalk) -> write::DraftSection {
    let name = &order.name;
    let mut section = write::DraftSection::new("group", Some(group_name(name)));
    note(&mut section.remarks, format_args!("mwan3: policy {name}."));
    if order.is_flat() {
        let mut remark =
            "members of one metric share the traffic, by the weights of the uplinks".to_owned();
        let weight = |link| walk.weight(link).map_or(1, |(weight, _)| weight);
        if !order.is_weighed(weight) {
            let weights = weights(&order.places);
            remark = format!("{remark}: those of this policy, {weights}, have no counterpart");
        }
        section.set("policy", text("balance"), &(remark + "."));
    } else {
        let remark = if order.is_shared() {
            "differently: members of one metric do not share the traffic of a group that has others as \
             well; they follow one another."
        } else {
            ""
        };
        section.set("policy", text("failover"), remark);
    }
    let uplinks = order
        .places
        .iter()
        .filter_map(|place| links.get(place.link));
    let uplinks = uplinks.map(|link| link.name.clone()).collect();
    section.set("uplinks", Setting::List(uplinks), "");
    if order.refuses {
        section.set("when_none", text("drop"), "its last_resort.");
    }
    section
}

fn select(selector: &Selector, section: &mut write::DraftSection) {
    let mut set = |path, setting| section.set(path, setting, "");
    for (path, nets) in [("from", &selector.from), ("to", &selector.to)] {
        if !nets.is_empty() {
            set(
                path,
                Setting::List(nets.iter().map(ToString::to_string).collect()),
            );
        }
    }
    if let Some(iif) = &selector.iif {
        set("iif", text(iif.as_str()));
    }
    if let Some(protocol) = selector.protocol {
        let name = match protocol.0 {
            6 => Some("tcp"),
            17 => Some("udp"),
            _ => None,
        };
        set(
            "protocol",
            name.map_or_else(|| Setting::Plain(protocol.0.to_string()), text),
        );
    }
    for (path, ports) in [("sport", selector.sport), ("dport", selector.dport)] {
        if let Some(ports) = ports {
            set(path, text(ports.to_string()));
        }
    }
}
