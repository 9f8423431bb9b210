//! Rules, which become rules that lead to groups, and the one that becomes the default group.

use std::net::IpAddr;

use ipnet::IpNet;

use super::network;
use super::order::{NO_POLICY, PolicyOrder, weights};
use super::policies::{MAX_NAME, Policies};
use super::source::{Mwan3File, note};
use crate::config::document::ConfigValue;
use crate::config::groups::MAX_RULES;
use crate::config::kinds::{PORTS, PROTOCOL, ValueKind};
use crate::config::uci_text::UciSection;
use crate::routing::Family;
use crate::routing::traffic::{Ports, Selector};
use crate::units::IpProtocol;

/// A rule of mwan3, which may be several here.
pub(super) struct Mwan3Rule {
    pub(super) remarks: Vec<String>,
    pub(super) selectors: Vec<Selector>,
    pub(super) order: PolicyOrder,
}

/// What the rules come to.
pub(super) struct RuleWalk {
    /// The uplinks that carry what no rule takes.
    pub(super) default_order: PolicyOrder,
    pub(super) rules: Vec<Mwan3Rule>,
}

impl RuleWalk {
    /// The weight of an uplink, and the policy whose it is: the first by which the uplink shares, or else that
    /// of the default group.
    pub(super) fn weight(&self, link: usize) -> Option<(u32, &str)> {
        let orders = self.rules.iter().map(|rule| &rule.order);
        let flat = orders.filter(|order| order.is_flat());
        let mut sharing = std::iter::once(&self.default_order).chain(flat);
        let found = sharing.find_map(|order| Some((order.shared_weight(link)?, order)));
        let (weight, order) = found.or_else(|| {
            let (_, weight) = self.default_order.tier(link)?;
            Some((weight, &self.default_order))
        })?;
        Some((weight, order.name.as_str()))
    }
}

/// Goes through the rules as a packet does.
pub(super) fn walk(
    source: &Mwan3File,
    policies: &Policies,
    network: Option<&Mwan3File>,
    remarks: &mut Vec<String>,
) -> RuleWalk {
    let mut open: Vec<Family> = Family::ROUTED.to_vec();
    let mut defaults: Vec<(Family, PolicyOrder)> = Vec::new();
    let mut rules: Vec<Mwan3Rule> = Vec::new();
    for section in source.all("rule") {
        let title = section.title();
        let mut own = Vec::new();
        let left_out = |reason: String| format!("{title}: left out: {reason}.");
        let traffic = match traffic(section, &open, network, &mut own) {
            Ok(traffic) => traffic,
            Err(reason) => {
                remarks.push(left_out(reason));
                continue;
            }
        };
        let order = match way(section, policies) {
            Ok(order) => order,
            Err(reason) => {
                remarks.push(left_out(reason));
                if traffic.is_all && is_refusal(section) {
                    open.retain(|family| !traffic.families.contains(family));
                }
                continue;
            }
        };
        section.remark(&NOTES, &MAPPED, &mut own);
        if section.get("use_policy") == Some(NO_POLICY) {
            own.push(
                "use_policy 'default': differently: mwan3 leaves it to the main table; here the uplinks \
                 carry it in the order of the interfaces."
                    .to_owned(),
            );
        }
        if traffic.is_all {
            open.retain(|family| !traffic.families.contains(family));
            let families = traffic.families.into_iter();
            defaults.extend(families.map(|family| (family, order.clone())));
            let name = order.name;
            note(
                remarks,
                format_args!("{title}: is the default group, by {name}."),
            );
            remarks.append(&mut own);
            continue;
        }
        own.insert(0, format!("mwan3: {title}, use_policy '{}'.", order.name));
        match add(&mut rules, traffic.selectors, own, order) {
            Ok(()) => {}
            Err(reason) => remarks.push(left_out(reason)),
        }
    }
    let default_order = defaults.first().map(|(_, order)| order.clone());
    let default_order = default_order.unwrap_or_else(|| order_of_interfaces(policies, remarks));
    for (family, order) in defaults
        .into_iter()
        .filter(|(_, order)| !order.is_as(&default_order))
    {
        let about = format!(
            "mwan3: {family:?} of the default group goes another way, {}.",
            order.name
        );
        let selector = Selector {
            to: whole(family),
            ..Selector::default()
        };
        remarks.extend(add(&mut rules, vec![selector], vec![about], order).err());
    }
    leave_out_last(&mut rules, &default_order, remarks);
    RuleWalk {
        default_order,
        rules,
    }
}

/// The last rules do nothing if they do what the default group does.
fn leave_out_last(
    rules: &mut Vec<Mwan3Rule>,
    default_order: &PolicyOrder,
    remarks: &mut Vec<String>,
) {
    while let Some(rule) = rules.pop_if(|rule| rule.order.is_as(default_order)) {
        let order = &rule.order;
        let as_default = |link| default_order.tier(link).map_or(1, |(_, weight)| weight);
        let but = if order.is_weighed(as_default) {
            String::new()
        } else {
            let weights = weights(&order.places);
            format!(" but for its weights, {weights}, which have no counterpart")
        };
        for remark in rule.remarks {
            note(
                remarks,
                format_args!("{remark} As the default group{but}, left out."),
            );
        }
    }
}

/// The default group, where no rule takes everything.
fn order_of_interfaces(policies: &Policies, remarks: &mut Vec<String>) -> PolicyOrder {
    let remark = "no rule takes everything, so mwan3 leaves other traffic to the main table; here the \
                  default group carries it in the order of the interfaces.";
    remarks.push(remark.to_owned());
    policies.all.clone()
}

/// Adds a rule, but for what earlier ones take.
fn add(
    rules: &mut Vec<Mwan3Rule>,
    selectors: Vec<Selector>,
    mut remarks: Vec<String>,
    order: PolicyOrder,
) -> Result<(), String> {
    let count = selectors.len();
    let mut kept: Vec<Selector> = Vec::new();
    for selector in selectors {
        let mut earlier = rules.iter().flat_map(|rule| &rule.selectors).chain(&kept);
        if !earlier.any(|other| other.covers(&selector)) {
            kept.push(selector);
        }
    }
    let earlier: usize = rules.iter().map(|rule| rule.selectors.len()).sum();
    if kept.is_empty() {
        return Err("an earlier rule takes all of it".to_owned());
    }
    if earlier + kept.len() > MAX_RULES {
        return Err(format!("more than {MAX_RULES} rules"));
    }
    if kept.len() < count {
        remarks.push("an earlier rule takes some of it, which is not repeated.".to_owned());
    }
    rules.push(Mwan3Rule {
        remarks,
        selectors: kept,
        order,
    });
    Ok(())
}

/// Options that are in the result or have a remark of their own.
const MAPPED: [&str; 9] = [
    "src_ip",
    "src_port",
    "src_iface",
    "dest_ip",
    "dest_port",
    "proto",
    "family",
    "use_policy",
    "ipset",
];

const NOTES: [(&str, &str); 3] = [
    (
        "sticky",
        "differently: under \"balance\" all traffic between two hosts takes one uplink as long as that \
         works; to other hosts it may take another",
    ),
    ("timeout", "no counterpart, as of sticky"),
    ("logging", "no counterpart: no packets are logged"),
];

/// No uplink carries what the rule takes.
fn is_refusal(section: &UciSection) -> bool {
    matches!(section.get("use_policy"), Some("unreachable" | "blackhole"))
}

/// The uplinks that carry what a rule takes.
fn way(section: &UciSection, policies: &Policies) -> Result<PolicyOrder, String> {
    let is_long = section
        .name
        .as_ref()
        .is_some_and(|name| name.len() > MAX_NAME);
    if is_long {
        return Err("mwan3 ignores names of more than 15 letters".to_owned());
    }
    if is_refusal(section) {
        let cite = section.cite("use_policy");
        return Err(format!(
            "{cite}: NO LONGER REFUSED: what it refuses goes with the default group unless the firewall refuses it"
        ));
    }
    match section.get("use_policy") {
        None => Err("without use_policy mwan3 ignores it".to_owned()),
        Some(NO_POLICY) => Ok(policies.all.clone()),
        Some(name) => policies.find(name).cloned().ok_or_else(|| {
            let cite = section.cite("use_policy");
            format!("{cite}: no policy with an enabled interface")
        }),
    }
}

/// What a rule takes.
struct RuleTraffic {
    selectors: Vec<Selector>,
    /// Everything of these families.
    is_all: bool,
    families: Vec<Family>,
}

fn traffic(
    section: &UciSection,
    open: &[Family],
    network: Option<&Mwan3File>,
    remarks: &mut Vec<String>,
) -> Result<RuleTraffic, String> {
    if section.get("ipset").is_some() {
        let cite = section.cite("ipset");
        return Err(format!(
            "{cite}: no counterpart. Let the firewall mark what is in the set and take a rule with \
             `fwmark`"
        ));
    }
    let mut families = open.to_vec();
    match section.get("family") {
        Some("ipv4") => families.retain(|family| *family == Family::Ipv4),
        Some("ipv6") => families.retain(|family| *family == Family::Ipv6),
        Some(_) | None => {}
    }
    let from = nets(section, "src_ip", &mut families)?;
    let to = nets(section, "dest_ip", &mut families)?;
    if families.is_empty() {
        return Err(
            "earlier rules take everything, or its addresses are of another family".to_owned(),
        );
    }
    let protocol = protocol(section)?;
    let has_ports = protocol.is_some_and(|protocol| [6, 17].contains(&protocol.0));
    let mut ports = |option: &'static str| {
        if section.get(option).is_some() && !has_ports {
            let cite = section.cite(option);
            note(
                remarks,
                format_args!("{cite}: without tcp or udp of no effect, left out."),
            );
            return Ok(vec![None]);
        }
        ports(section, option, remarks)
    };
    let (sports, dports) = (ports("src_port")?, ports("dest_port")?);
    if sports.len().saturating_mul(dports.len()) > MAX_RULES {
        return Err(format!("more than {MAX_RULES} rules"));
    }
    let mut base = Selector {
        from,
        to,
        protocol,
        ..Selector::default()
    };
    if let Some(name) = section.get("src_iface") {
        let device = network.and_then(|network| network::device(network, name));
        if device.is_none() {
            let cite = section.cite("src_iface");
            note(
                remarks,
                format_args!("{cite}: check that its device is the one of `iif` (`ifstatus`)."),
            );
        }
        let usual = if name == "lan" { "br-lan" } else { name };
        let device = device.unwrap_or_else(|| usual.to_owned());
        base.iif = Some(device.parse().map_err(|_| section.cite("src_iface"))?);
    }
    let is_bare = base == Selector::default() && sports == [None] && dports == [None];
    let is_of_one = base.from.is_empty() && base.to.is_empty() && families.len() == 1;
    if let Some(family) = families.first().filter(|_| is_of_one) {
        base.to = whole(*family);
    }
    let mut selectors = Vec::new();
    for sport in &sports {
        for dport in &dports {
            selectors.push(Selector {
                sport: *sport,
                dport: *dport,
                ..base.clone()
            });
        }
    }
    if !families.iter().any(|family| base.is_of(*family)) {
        return Err("its addresses are of two families".to_owned());
    }
    Ok(RuleTraffic {
        selectors,
        is_all: is_bare,
        families,
    })
}

/// Everything of a family, as prefixes.
fn whole(family: Family) -> Vec<IpNet> {
    let halves = match family {
        Family::Ipv4 => ["0.0.0.0/1", "128.0.0.0/1"],
        Family::Ipv6 => ["::/1", "8000::/1"],
    };
    halves.iter().filter_map(|half| half.parse().ok()).collect()
}

/// The prefixes of an option, of these families only; everything of a family is no prefix but leaves
/// one family.
fn nets(
    section: &UciSection,
    option: &'static str,
    families: &mut Vec<Family>,
) -> Result<Vec<IpNet>, String> {
    if section.get(option).is_none() {
        return Ok(Vec::new());
    }
    let mut nets = Vec::new();
    let mut whole = None;
    for word in words(section, option) {
        let net = net(word).ok_or_else(|| format!("{}: no address", section.cite(option)))?;
        if net.prefix_len() == 0 {
            whole = Some(Family::of(net.addr()));
        } else if !nets.contains(&net) {
            nets.push(net);
        }
    }
    if let Some(whole) = whole {
        families.retain(|family| *family == whole);
        return Ok(Vec::new());
    }
    nets.retain(|net| families.contains(&Family::of(net.addr())));
    families.retain(|family| nets.iter().any(|net| Family::of(net.addr()) == *family));
    Ok(nets)
}

/// What an option enumerates.
fn words<'a>(section: &'a UciSection, option: &str) -> impl Iterator<Item = &'a str> {
    let items = section.list(option);
    items.flat_map(|item| item.split(',').filter(|word| !word.is_empty()))
}

/// An address, a prefix, or an address and a mask, with bits of a host that do not count.
fn net(word: &str) -> Option<IpNet> {
    if let Ok(address) = word.parse::<IpAddr>() {
        return Some(address.into());
    }
    let net = word.parse::<IpNet>().ok().or_else(|| {
        let (address, mask) = word.split_once('/')?;
        IpNet::with_netmask(address.parse().ok()?, mask.parse().ok()?).ok()
    });
    net.map(|net| net.trunc())
}

fn protocol(section: &UciSection) -> Result<Option<IpProtocol>, String> {
    let word = section.get("proto").unwrap_or("all").to_ascii_lowercase();
    let word = match word.as_str() {
        "all" | "any" | "0" => return Ok(None),
        "ipv6-icmp" => "icmpv6",
        word => word,
    };
    let protocol = PROTOCOL.parse(&ConfigValue::Word(word.to_owned()));
    let protocol = protocol.map_err(|_| format!("{}: unknown here", section.cite("proto")))?;
    Ok(Some(protocol))
}

/// As many as iptables takes (`multiport`); a range counts as two.
const MOST_PORTS: usize = 15;

/// The ports of an option, each a rule of its own; nothing is any port.
fn ports(
    section: &UciSection,
    option: &'static str,
    remarks: &mut Vec<String>,
) -> Result<Vec<Option<Ports>>, String> {
    if section.get(option).is_none() {
        return Ok(vec![None]);
    }
    let ports = words(section, option)
        .map(|word| PORTS.parse(&ConfigValue::Text(word.replace(':', "-"))).ok());
    let ports: Vec<_> = ports.collect();
    if ports.is_empty() || ports.contains(&None) {
        return Err(format!("{}: no numbers of ports", section.cite(option)));
    }
    if words(section, option)
        .flat_map(|word| word.split(':'))
        .count()
        > MOST_PORTS
    {
        note(
            remarks,
            format_args!(
                "{option}: mwan3 takes up to {MOST_PORTS} ports, and ignores a rule with more; here all \
                 of them count."
            ),
        );
    }
    Ok(ports)
}
