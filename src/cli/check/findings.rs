//! From facts about a machine to what an operator should know and do. Pure.

use std::net::IpAddr;

use super::facts::{Facts, hash_policy};
use super::finding::FindingSeverity::{Error, Note, Warning};
use super::finding::{Finding, finding, shares};
use super::{clashes, flow_memory, hooks, hours};
use crate::config::Config;
use crate::engine::budget;
use crate::engine::settings::{Standby, UplinkSettings, WhenNone};
use crate::routing::attach::attach;
use crate::routing::desired::MAIN;
use crate::routing::{Attachment, Family, Gateway, Link, Numbering, RoutingMode, Trouble};
use crate::units::sorted::SortedMap;
use crate::units::{GroupName, Host, InterfaceName, TableId, Target};

/// All findings, on the machine first, then uplink by uplink.
pub(super) fn findings(config: &Config, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(on_capabilities(facts));
    findings.extend(on_refused_pings(facts));
    findings.extend(on_policy_routing(config, facts));
    findings.extend(on_forwarding(facts));
    findings.extend(on_count(config));
    findings.extend(on_sharing(config, facts));
    findings.extend(on_idle_groups(config));
    findings.extend(on_refusing_groups(config));
    findings.extend(hours::findings(config, facts));
    findings.extend(clashes::clashes(config, facts));
    findings.extend(flow_memory::findings(config, facts));
    findings.extend(on_own_routes(config, facts));
    findings.extend(on_pinned_tunnels(facts));
    findings.extend(hooks::on_files(facts));
    for uplink in &config.engine.uplinks {
        findings.extend(on_only_target(uplink));
        findings.extend(on_near_targets(uplink, facts));
        findings.extend(on_budget(uplink));
        findings.extend(on_uplink(uplink, config, facts));
    }
    findings.extend(on_missing_family(config, facts));
    findings
}

fn on_capabilities(facts: &Facts) -> Vec<Finding> {
    const REMEDY: &str = "run as root, or grant it: AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW \
                          in a systemd unit";
    let mut findings = Vec::new();
    if !facts.capabilities.net_admin {
        let what = "CAP_NET_ADMIN is missing: routes and rules cannot be changed";
        findings.push(finding(Error, "permissions", what, REMEDY));
    }
    if !facts.capabilities.net_raw {
        let what = "CAP_NET_RAW is missing: no probes can be sent";
        findings.push(finding(Error, "permissions", what, REMEDY));
    } else if let Some(why) = &facts.no_raw_socket {
        let what = format!("no raw socket for ICMP: {why}");
        let remedy = "allow raw sockets, or use tcp:// targets only";
        findings.push(finding(Error, "permissions", what, remedy));
    }
    findings
}

fn on_refused_pings(facts: &Facts) -> impl Iterator<Item = Finding> {
    facts.refused_pings.iter().map(|(uplink, why)| {
        let what = format!("this machine refuses to send a ping to {why}");
        let remedy = "allow echo requests in the output chain of its firewall: what is not sent says nothing";
        finding(Error, &format!("uplink {uplink}"), what, remedy)
    })
}

/// Which mode is the right one.
fn on_policy_routing(config: &Config, facts: &Facts) -> Option<Finding> {
    match (config.engine.numbering.mode, facts.foreign.are_rules_known) {
        (RoutingMode::Table, true) | (RoutingMode::Main, false) => None,
        (RoutingMode::Table, false) => Some(finding(
            Error,
            "kernel",
            "has no policy routing (CONFIG_IP_MULTIPLE_TABLES)",
            "set `routing.mode` to \"main\", or use a kernel built with it",
        )),
        (RoutingMode::Main, true) => Some(finding(
            Note,
            "routing.mode",
            "is \"main\" although this kernel has policy routing: replies from the address of an \
             uplink leave by the active one, and flows are not remembered",
            "set it to \"table\", unless other software must see the route in the main table",
        )),
    }
}

fn on_forwarding(facts: &Facts) -> Option<Finding> {
    let what = "forwards no packets: only the traffic of this machine itself uses the uplinks";
    let remedy = "on a router: sysctl -w net.ipv4.ip_forward=1";
    let is_missing = !facts.is_forwarding;
    is_missing.then(|| finding(Note, "kernel", what, remedy))
}

fn on_count(config: &Config) -> Option<Finding> {
    let what = "has one uplink: there is no failover";
    let remedy = "add a second [[uplink]]";
    let is_alone = config.engine.uplinks.len() == 1;
    is_alone.then(|| finding(Note, "configuration", what, remedy))
}

/// How several uplinks share the traffic on this kernel.
fn on_sharing(config: &Config, facts: &Facts) -> Vec<Finding> {
    if !shares(config) {
        return Vec::new();
    }
    let object = "balance";
    let mut findings = vec![if facts.has_resilient_groups {
        let what = "established flows stay on their uplink when another one leaves or joins (resilient \
                    nexthop groups)";
        finding(Note, object, what, "nothing to do")
    } else {
        let what = "some established flows move when another uplink leaves or joins: this kernel has no \
                    resilient nexthop groups";
        finding(Warning, object, what, "use Linux 5.13 or later")
    }];
    for family in &facts.hosts_are_flows {
        let key = hash_policy(*family).replace('/', ".");
        let what = format!("all {family} traffic between two hosts takes one uplink ({key} is 0)");
        let remedy = format!("to share by connection: sysctl -w {key}=1");
        findings.push(finding(Warning, object, what, remedy));
    }
    findings
}

fn on_refusing_groups(config: &Config) -> impl Iterator<Item = Finding> {
    let groups = config.engine.groups.iter();
    let refusing = groups.filter(|group| group.when_none == WhenNone::Drop);
    refusing.map(|group| {
        let what = "is refused while none of its uplinks is usable, as `when_none` wants it";
        let remedy =
            "nothing to do if it must not use other uplinks; otherwise when_none = \"rest\"";
        finding(Note, &format!("group {}", group.name), what, remedy)
    })
}

fn on_pinned_tunnels(facts: &Facts) -> impl Iterator<Item = Finding> {
    facts.pinned_tunnels.iter().map(|network| {
        let what = "has no `nohostroute`: netifd gives its endpoint a route by the uplink that is active when it comes up, \
                    and the tunnel stays there when that uplink fails";
        let remedy = format!("uci set network.{network}.nohostroute=1; uci commit network; ifup {network}");
        finding(Warning, &format!("WireGuard {network}"), what, remedy)
    })
}

fn on_idle_groups(config: &Config) -> Vec<Finding> {
    let rules = &config.engine.rules;
    let is_idle = |name: &GroupName| !rules.iter().any(|rule| rule.group == *name);
    let names = config.engine.groups.iter().map(|group| &group.name);
    names
        .filter(|name| is_idle(name))
        .map(|name| {
            let what = "has no [[rule]], and so no traffic";
            let remedy = format!("add a [[rule]] with group = \"{name}\"");
            finding(Note, &format!("group {name}"), what, remedy)
        })
        .collect()
}

fn on_only_target(uplink: &UplinkSettings) -> Option<Finding> {
    let [only] = &*uplink.probe.targets else {
        return None;
    };
    let object = format!("uplink {}", uplink.name);
    let what =
        format!("has one target, {only}: an outage of the target looks like one of the uplink");
    let remedy = "add targets that do not fail together";
    Some(finding(Warning, &object, what, remedy))
}

/// Targets that answer although nothing beyond the links of this machine does.
fn on_near_targets(uplink: &UplinkSettings, facts: &Facts) -> Vec<Finding> {
    let object = format!("uplink {}", uplink.name);
    let remedy = "take a target beyond the provider";
    let near = |target: &Target| {
        let Host::Address(address) = target.host() else {
            return None;
        };
        let mut links = facts.observed.links.values();
        links.find_map(|link| {
            let own = link
                .addresses
                .iter()
                .find(|own| own.net.contains(&address))?;
            let what = if own.net.addr() == address {
                format!(
                    "{target} is an address of this machine, which answers while the uplink is dead"
                )
            } else {
                format!(
                    "{target} is on the link {}: it answers while nothing beyond does",
                    link.name
                )
            };
            Some(finding(Warning, &object, what, remedy))
        })
    };
    uplink.probe.targets.iter().filter_map(near).collect()
}

/// What a metered uplink's budget buys.
fn on_budget(uplink: &UplinkSettings) -> Option<Finding> {
    let (limit, plan) = (uplink.probe_budget?, budget::plan(uplink)?);
    let what = format!(
        "is metered: {limit} in 30 days buy a probe every {:.0} s; an outage without traffic is \
         suspected within {:.0} s",
        plan.every.as_secs_f64(),
        plan.suspected_within.as_secs_f64(),
    );
    let remedy = "raise `probe_budget` for more probes; pings are the cheapest targets";
    Some(finding(
        Note,
        &format!("uplink {}", uplink.name),
        what,
        remedy,
    ))
}

/// The agent removes what carries its number and is not wanted: `check` reports it before.
fn on_own_routes(config: &Config, facts: &Facts) -> Option<Finding> {
    let Numbering {
        protocol,
        table,
        group_table,
        mode,
        ..
    } = config.engine.numbering;
    let last = TableId(table.0 + u32::try_from(config.engine.uplinks.len()).unwrap_or(0));
    let groups = u32::try_from(config.engine.groups.len()).unwrap_or(0);
    let of_groups = group_table.0..group_table.0 + groups;
    let (ours, where_ours) = match (mode, groups) {
        (RoutingMode::Table, 0) => (table..=last, format!("its tables ({table} to {last})")),
        (RoutingMode::Table, _) => {
            let last_group = of_groups.end - 1;
            let tables = format!("its tables ({table} to {last}, {group_table} to {last_group})");
            (table..=last, tables)
        }
        (RoutingMode::Main, _) => (MAIN..=MAIN, "the main table".to_owned()),
    };
    let is_of_hop = |id| mode == RoutingMode::Table && config.engine.numbering.is_hop_table(id);
    let is_ours = |id: TableId| ours.contains(&id) || of_groups.contains(&id.0) || is_of_hop(id);
    let routes = facts.observed.routes.iter();
    let strange = routes.filter(|route| !is_ours(route.table) && !route.is_throw());
    let strange = strange.count();
    let what = format!(
        "is the agent's, and {strange} of its routes stand outside {where_ours}: the agent removes them"
    );
    let remedy = "set another `routing.protocol`, unless an earlier configuration left them";
    let object = format!("protocol {protocol}");
    (strange > 0).then(|| finding(Warning, &object, what, remedy))
}

fn on_uplink(uplink: &UplinkSettings, config: &Config, facts: &Facts) -> Vec<Finding> {
    let object = format!("uplink {}", uplink.name);
    let link = facts.observed.link(&uplink.interface);
    let attachment = attach(link, &uplink.hints(), &SortedMap::new());
    let mut findings = Vec::new();
    let is_brought_up_by_netifd = config.networks.contains_key(&uplink.name);
    if is_cold(uplink) && is_brought_up_by_netifd {
        // There is nothing to find before it is.
    } else if is_cold(uplink) {
        findings.extend(hooks::on_cold(uplink, &object, facts));
    } else {
        let network = config.networks.get(&uplink.name);
        let network = network.map(|followed| &followed.network);
        findings.extend(on_trouble(uplink, network, &object, &attachment, facts));
    }
    findings.extend(clashes::on_master(uplink, &object, link, facts));
    findings.extend(on_next_hop(uplink, &object, link, &attachment));
    findings.extend(on_several_next_hops(&object, &attachment, config));
    findings.extend(on_targets(uplink, &object, &attachment));
    findings.extend(flow_memory::on_reverse_path_filter(
        uplink, &object, config, facts,
    ));
    findings.extend(on_advertisements(uplink, &object, &attachment, facts));
    findings
}

fn is_cold(uplink: &UplinkSettings) -> bool {
    matches!(uplink.standby, Standby::Cold(_))
}

/// A machine that forwards ignores router advertisements by default (`accept_ra` is 1).
fn on_advertisements(
    uplink: &UplinkSettings,
    object: &str,
    attachment: &Attachment,
    facts: &Facts,
) -> Option<Finding> {
    let interface = &uplink.interface;
    let is_deaf = facts.deaf_to_routers.contains(interface);
    let has_way = attachment.paths.contains_key(&Family::Ipv6);
    (is_deaf && !has_way).then(|| {
        finding(
            Warning,
            object,
            format!(
                "has no IPv6: {interface} ignores router advertisements, because this machine \
                 forwards"
            ),
            format!("if its provider has IPv6: sysctl -w net.ipv6.conf.{interface}.accept_ra=2"),
        )
    })
}

/// An uplink without IPv6 carries none: it goes through another, while that works.
fn on_missing_family(config: &Config, facts: &Facts) -> Vec<Finding> {
    let attached = config.engine.uplinks.iter().map(|uplink| {
        let link = facts.observed.link(&uplink.interface);
        (uplink, attach(link, &uplink.hints(), &SortedMap::new()))
    });
    let works = attached.filter(|(_, attachment)| attachment.trouble.is_none());
    let (with, without): (Vec<_>, Vec<_>) =
        works.partition(|(_, attachment)| attachment.paths.contains_key(&Family::Ipv6));
    let Some((other, _)) = with.first() else {
        return Vec::new();
    };
    let finding = |(uplink, _): &(&UplinkSettings, Attachment)| {
        let object = format!("uplink {}", uplink.name);
        let what = format!(
            "has no IPv6, while {0} has: while it is active, IPv6 goes through {0}, and while that is \
             down by the default route of the main table or not at all",
            other.name
        );
        let remedy = "nothing to do if its provider has no IPv6: hosts fall back to IPv4";
        finding(Note, &object, what, remedy)
    };
    without.iter().map(finding).collect()
}

fn on_trouble(
    uplink: &UplinkSettings,
    network: Option<&InterfaceName>,
    object: &str,
    attachment: &Attachment,
    facts: &Facts,
) -> Option<Finding> {
    let interface = &uplink.interface;
    let (severity, what, remedy) = match attachment.trouble? {
        Trouble::Absent if let Some(network) = network => (
            Error,
            if network == interface {
                format!("netifd has no network {network}, or no device for it")
            } else {
                format!("interface {interface}, the device of network {network}, does not exist")
            },
            format!(
                "set `network` to one that netifd has (ubus list 'network.interface.*'), or bring it up \
                 (ifup {network}): the agent notices"
            ),
        ),
        Trouble::Absent => (
            Error,
            format!("interface {interface} does not exist"),
            format!(
                "set `interface` to one that exists ({}), or plug it in: the agent notices",
                interfaces(facts)
            ),
        ),
        Trouble::Down => (
            Error,
            format!("interface {interface} is down"),
            format!("ip link set {interface} up, or let the network configuration do it"),
        ),
        Trouble::NoCarrier => (
            Warning,
            format!("interface {interface} has no carrier"),
            "check the cable, the modem and the far end".to_owned(),
        ),
        Trouble::NoAddress => (
            Error,
            format!("interface {interface} has no address"),
            "run a DHCP client on it, or add an address".to_owned(),
        ),
        Trouble::NoNextHop => (
            Error,
            format!("has no next hop through {interface}"),
            "let its DHCP client add a default route with a metric of its own, or set `gateway`"
                .to_owned(),
        ),
    };
    Some(finding(severity, object, what, remedy))
}

fn interfaces(facts: &Facts) -> String {
    let links = facts.observed.links.values();
    let names: Vec<_> = links
        .map(|link| link.name.as_str())
        .filter(|name| *name != "lo")
        .collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

fn on_next_hop(
    uplink: &UplinkSettings,
    object: &str,
    link: Option<&Link>,
    attachment: &Attachment,
) -> Option<Finding> {
    let link = link?;
    let interface = &uplink.interface;
    match uplink.gateway {
        Gateway::None if !link.is_point_to_point => Some(finding(
            Warning,
            object,
            format!(
                "has `gateway = \"none\"`, but {interface} is not point to point: every address is \
                 looked for on the link"
            ),
            "set `gateway` to \"auto\" or to the address of the router",
        )),
        Gateway::Address(address) if attachment.addresses.contains(&address) => Some(finding(
            Error,
            object,
            format!("next hop {address} is this machine itself"),
            "set `gateway` to the address of the provider's router",
        )),
        Gateway::Address(address) if is_off_link(attachment, address) => Some(finding(
            Warning,
            object,
            format!("next hop {address} is in no network of {interface}"),
            "correct `gateway` or the prefix of the address; the agent looks for it on the link \
             anyway",
        )),
        Gateway::Auto | Gateway::None | Gateway::Address(_) => None,
    }
}

/// Without rules no probe takes another next hop than the traffic.
fn on_several_next_hops(object: &str, attachment: &Attachment, config: &Config) -> Option<Finding> {
    let families: Vec<_> = attachment
        .next_hops
        .keys()
        .map(ToString::to_string)
        .collect();
    let is_blind = config.engine.numbering.mode == RoutingMode::Main && !families.is_empty();
    is_blind.then(|| {
        let families = families.join(" and ");
        finding(
            Note,
            object,
            format!(
                "has several {families} next hops, which cannot be probed apart as `routing.mode` is \"main\": \
                 another one is tried only when the uplink is down and no other is usable"
            ),
            "set `routing.mode` to \"table\" if one of them is to stand in for the other at once",
        )
    })
}

fn is_off_link(attachment: &Attachment, next_hop: IpAddr) -> bool {
    let path = attachment.paths.get(&Family::of(next_hop));
    path.is_some_and(|path| path.onlink)
}

/// Targets of a family that an uplink does not have cannot be probed through it.
fn on_targets(uplink: &UplinkSettings, object: &str, attachment: &Attachment) -> Option<Finding> {
    let mut targets = uplink.probe.targets.iter();
    let can_be_asked = |target: &Target| {
        let family = target.address().map(Family::of);
        family.is_none_or(|family| attachment.paths.contains_key(&family))
    };
    if attachment.paths.is_empty() || targets.any(can_be_asked) {
        return None;
    }
    let families: Vec<_> = attachment.paths.keys().map(ToString::to_string).collect();
    Some(finding(
        Error,
        object,
        format!(
            "has {} only, and no target of it: it is always down",
            families.join(" and ")
        ),
        "add targets of that family, such as 2606:4700:4700::1111 and 2620:fe::fe for IPv6",
    ))
}

#[cfg(test)]
mod tests;
