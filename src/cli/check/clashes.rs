//! Where other software on the machine stands in the agent's way, and what to do about it. Pure.

use super::facts::Facts;
use super::finding::FindingSeverity::{Error, Note, Warning};
use super::finding::{Finding, finding, shares};
use crate::config::Config;
use crate::engine::settings::UplinkSettings;
use crate::kernel::{ForeignRoute, ForeignRule, LinkKind};
use crate::routing::{DeadEnd, Link, Numbering, RoutingMode, Rule, RuleStage};
use crate::units::IfIndex;
use crate::units::sorted::SortedSet;

/// The priority of the kernel's rule for the main table.
const MAIN_RULE: u32 = 32_766;

/// Every clash with other software, whatever the uplink.
pub(super) fn clashes(config: &Config, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    match config.engine.numbering.mode {
        RoutingMode::Table => findings.extend(on_routes_in_our_tables(facts)),
        RoutingMode::Main => findings.extend(on_defaults_in_main(config, facts)),
    }
    findings.extend(on_barrier(config, facts));
    findings.extend(on_next_hops(config, facts));
    findings.extend(on_rules(config, facts));
    findings.extend(on_networkd(config, facts));
    findings.extend(on_network_manager(config, facts));
    findings.extend(on_tunnels(config, facts));
    let mut said = SortedSet::new();
    // What holds for both families is said once.
    findings.retain(|one| said.insert((one.object.clone(), one.what.clone())));
    findings
}

/// A foreign route in one of the agent's tables carries traffic past its decisions.
fn on_routes_in_our_tables(facts: &Facts) -> Vec<Finding> {
    let routes = facts.foreign.routes.iter();
    let finding = |route: &ForeignRoute| {
        let ForeignRoute {
            protocol,
            table,
            destination,
            ..
        } = route;
        finding(
            Error,
            &format!("table {table}"),
            format!(
                "holds a route to {destination} of protocol {protocol}, which is not the agent's"
            ),
            format!(
                "remove it (ip route del {destination} table {table} proto {protocol}), or set another \
                 `routing.table`"
            ),
        )
    };
    routes.map(finding).collect()
}

/// A default route that leads nowhere ends each lookup that finds no other before it; a probe finds its own
/// uplink's only.
fn on_barrier(config: &Config, facts: &Facts) -> Option<Finding> {
    let numbering = &config.engine.numbering;
    let barrier = facts.observed.barrier(numbering)?;
    let stopped = match numbering.mode {
        RoutingMode::Table => {
            "before one of an uplink: it stops the probes of those behind it, and all traffic that finds no \
             default route before it"
        }
        // The finding about defaults in main names it.
        RoutingMode::Main if barrier.metric <= numbering.metric => return None,
        RoutingMode::Main => {
            "before the routes of the uplinks that do not carry: it stops their probes"
        }
    };
    let DeadEnd { family, metric } = barrier;
    Some(finding(
        Error,
        "main table",
        format!("an {family} default route of metric {metric} leads nowhere and goes {stopped}"),
        match numbering.mode {
            RoutingMode::Table => {
                "remove it, or give it a metric above those of the default routes"
            }
            RoutingMode::Main => "remove it, or set `routing.mode` to \"table\"",
        },
    ))
}

/// Uplinks that share traffic stand in nexthop objects, whose numbers other software may use.
fn on_next_hops(config: &Config, facts: &Facts) -> Vec<Finding> {
    let finding = |(id, protocol)| {
        finding(
            Note,
            &format!("nexthop object {id}"),
            format!("is of protocol {protocol}: the agent takes another number"),
            "nothing to do; `routing.nexthop` sets another range",
        )
    };
    let next_hops = facts.foreign.next_hops.iter();
    let next_hops = next_hops.filter(|_| shares(config));
    next_hops.map(finding).collect()
}

/// In main the lowest metric decides, and one metric holds one default route.
fn on_defaults_in_main(config: &Config, facts: &Facts) -> Vec<Finding> {
    let ours = config.engine.numbering.metric;
    let is_uplink = |index: IfIndex| {
        let link = facts.observed.links.get(&index);
        link.is_some_and(|link| {
            let mut uplinks = config.engine.uplinks.iter();
            uplinks.any(|uplink| uplink.interface == link.name)
        })
    };
    let defaults = facts.foreign.defaults.iter();
    let finding = |foreign: &ForeignRoute| {
        let metric = foreign.metric;
        let Some(through) = foreign.through else {
            return (metric <= ours).then(|| dead_end(foreign));
        };
        let name = facts.observed.links.get(&through);
        let name = name.map_or_else(|| through.to_string(), |link| link.name.to_string());
        let object = "main table";
        if metric == ours {
            let what = format!(
                "a foreign default route through {name} has the agent's metric, {ours}: the agent's \
                 cannot be added"
            );
            let remedy = "set another `routing.metric`";
            Some(finding(Error, object, what, remedy))
        } else if metric < ours && is_uplink(through) {
            let what = format!(
                "the default route through {name} has metric {metric}, before the agent's {ours}: it \
                 carries the traffic in any case"
            );
            let remedy = format!(
                "raise its metric (`metric` in OpenWrt, `RouteMetric=` in systemd-networkd, \
                 `ipv4.route-metric` in NetworkManager), or set `routing.metric` below {metric}"
            );
            Some(finding(Error, object, what, remedy))
        } else if metric < ours {
            let what = format!(
                "the default route through {name}, which is no uplink, has metric {metric}, before \
                 the agent's {ours}: it carries the traffic"
            );
            Some(finding(
                Note,
                object,
                what,
                "nothing to do if it is a VPN's",
            ))
        } else {
            None
        }
    };
    defaults.filter_map(finding).collect()
}

/// A dead end before the agent's route takes all traffic.
fn dead_end(foreign: &ForeignRoute) -> Finding {
    let ForeignRoute {
        protocol,
        destination,
        metric,
        ..
    } = foreign;
    finding(
        Error,
        "main table",
        format!(
            "a route to {destination} of metric {metric} leads nowhere and goes before the agent's"
        ),
        format!("remove it, or raise its metric; its protocol is {protocol}"),
    )
}

/// Software that is known by its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RuleOwner {
    Mwan3,
    Tailscale,
    WgQuick,
}

impl RuleOwner {
    fn of(foreign: &ForeignRule) -> Option<Self> {
        let Rule {
            priority,
            table,
            mark,
            ..
        } = &foreign.rule;
        let (priority, table) = (priority.0, table.0);
        // mwan3: `iif` at 1000, marks at 2000, each followed by the number of the interface, which is
        // its table as well.
        let is_numbered = |base: u32| (1..=250).contains(&table) && priority == base + table;
        if is_numbered(2_000) && mark.is_some() && foreign.mask != u32::MAX {
            Some(Self::Mwan3)
        } else if table == 52 && priority % 100 == 70 {
            // Of 5210, 5230, 5250 and 5270 (beside mwan3: 1310 and so on) the one for its table.
            Some(Self::Tailscale)
        } else if foreign.is_inverted && mark.is_some_and(|mark| mark.0 == table) {
            // wg-quick: `not fwmark 51820 lookup 51820`.
            Some(Self::WgQuick)
        } else {
            None
        }
    }

    fn finding(self, foreign: &ForeignRule, numbering: &Numbering) -> Option<Finding> {
        match (self, numbering.mode) {
            (Self::Mwan3, RoutingMode::Table | RoutingMode::Main) => Some(finding(
                Error,
                "mwan3",
                "runs on this machine: its rules go first, and both decide",
                "stop one of the two: /etc/init.d/mwan3 stop; /etc/init.d/mwan3 disable",
            )),
            (Self::Tailscale, RoutingMode::Table) => Some(finding(
                Warning,
                "Tailscale",
                "sends its own packets by the default route of the main table: they stay there when \
                 the traffic moves",
                format!(
                    "ip rule add pref {} fwmark 0x80000/0xff0000 lookup {} (and the same with ip \
                     -6), or set `routing.mode` to \"main\"",
                    foreign.rule.priority.0 - 70,
                    numbering.table,
                ),
            )),
            (Self::Tailscale, RoutingMode::Main) => None,
            (Self::WgQuick, RoutingMode::Table | RoutingMode::Main) => Some(finding(
                Note,
                "WireGuard",
                format!(
                    "sends all traffic into its tunnel (wg-quick, table {}); the uplinks carry the \
                     tunnel",
                    foreign.rule.table
                ),
                "nothing to do if that is intended; else set `Table = off` or narrower `AllowedIPs`",
            )),
        }
    }
}

fn on_rules(config: &Config, facts: &Facts) -> Vec<Finding> {
    let numbering = &config.engine.numbering;
    let rules = facts.foreign.rules.iter();
    rules
        .filter_map(|foreign| match (RuleOwner::of(foreign), numbering.mode) {
            (Some(owner), RoutingMode::Table | RoutingMode::Main) => {
                owner.finding(foreign, numbering)
            }
            (None, RoutingMode::Main) => before_main(foreign),
            (None, RoutingMode::Table) => on_probes(config, foreign)
                .or_else(|| on_source(config, facts, foreign))
                .or_else(|| beside_ours(config, foreign)),
        })
        .collect()
}

fn object(foreign: &ForeignRule) -> String {
    format!("rule {}", foreign.rule.priority)
}

/// A foreign rule that looks at some of the bits of the agent's marks takes its probes.
fn on_probes(config: &Config, foreign: &ForeignRule) -> Option<Finding> {
    let numbering = &config.engine.numbering;
    let mark = foreign.rule.mark?;
    let is_before = foreign.rule.priority <= numbering.priority_of(RuleStage::Mark);
    let positions = (0..).zip(&config.engine.uplinks);
    let mut marks = positions.flat_map(|(position, _)| numbering.marks(position));
    let matches = marks.any(|ours| (ours.0 & foreign.mask == mark.0) != foreign.is_inverted);
    let is_bound = foreign.rule.oif.is_some() || foreign.is_inverted;
    (matches && is_before && !is_bound).then(|| {
        finding(
            Warning,
            &object(foreign),
            format!(
                "takes the agent's probes, whose mark it matches, to table {}",
                foreign.rule.table
            ),
            "set another `routing.mark`",
        )
    })
}

/// netifd (`ip4table`) and operators send what comes from an uplink to a table of its own.
fn on_source(config: &Config, facts: &Facts, foreign: &ForeignRule) -> Option<Finding> {
    let from = foreign.rule.from?;
    let is_before = foreign.rule.priority < config.engine.numbering.priority_of(RuleStage::Source);
    let mut uplinks = config.engine.uplinks.iter();
    let uplink = uplinks.find(|uplink| {
        let link = facts.observed.link(&uplink.interface);
        let addresses = link.into_iter().flat_map(|link| &link.addresses);
        { addresses }.any(|address| from.contains(&address.net.addr()))
    })?;
    (is_before && from.prefix_len() > 0).then(|| {
        finding(
            Note,
            &object(foreign),
            format!(
                "sends packets from {from}, an address of {}, to table {} before the agent's rules",
                uplink.name, foreign.rule.table
            ),
            "nothing to do if that table leads through the same uplink, as netifd's `ip4table` does; \
             else remove the rule",
        )
    })
}

/// In main mode a foreign rule for all traffic hides the main table.
fn before_main(foreign: &ForeignRule) -> Option<Finding> {
    let priority = foreign.rule.priority.0;
    let is_before = priority > 0 && priority < MAIN_RULE;
    (is_before && catches_all(foreign)).then(|| {
        finding(
            Warning,
            &object(foreign),
            format!(
                "sends all traffic to table {} before the main table",
                foreign.rule.table
            ),
            "remove it unless it is a VPN's",
        )
    })
}

fn beside_ours(config: &Config, foreign: &ForeignRule) -> Option<Finding> {
    let numbering = &config.engine.numbering;
    let groups = u32::try_from(config.engine.rules.len()).unwrap_or(0);
    let priority = foreign.rule.priority.0;
    let last = numbering.default_rule.0;
    let object = object(foreign);
    let table = foreign.rule.table;
    let own = numbering.rule..numbering.group_rule(groups);
    let is_at_ours = own.contains(&foreign.rule.priority) || priority == last;
    if is_at_ours {
        let what = format!(
            "(lookup {table}) has a priority of the agent's: the older of the two goes first"
        );
        let remedy = "set another `routing.rule` or `routing.default_rule`";
        Some(finding(Warning, &object, what, remedy))
    } else if priority > last && priority < MAIN_RULE {
        let what = format!(
            "(lookup {table}) stands behind the agent's last rule, {last}: it is reached only while \
             no uplink is active"
        );
        let remedy = format!("set `routing.default_rule` behind {priority}");
        Some(finding(Warning, &object, what, remedy))
    } else if priority < numbering.rule.0 && priority > 0 && catches_all(foreign) {
        let what = format!("sends all traffic to table {table} before the agent's rules");
        let remedy = format!("set `routing.rule` before {priority}, unless it is a VPN's");
        Some(finding(Warning, &object, what, remedy))
    } else {
        None
    }
}

/// Rules of VPNs name a mark, or let default routes pass.
fn catches_all(foreign: &ForeignRule) -> bool {
    let Rule {
        from,
        mark,
        oif,
        suppress_prefix_length,
        ..
    } = &foreign.rule;
    let names_nothing = from.is_none() && mark.is_none() && oif.is_none();
    !foreign.says_more && names_nothing && suppress_prefix_length.is_none()
}

/// systemd-networkd removes what it did not write when it starts and when it looks at a link anew.
fn on_networkd(config: &Config, facts: &Facts) -> Option<Finding> {
    let networkd = facts.networkd;
    let writes_rules = config.engine.numbering.mode == RoutingMode::Table;
    let what = match (
        networkd.removes_routes,
        networkd.removes_rules && writes_rules,
    ) {
        (false, false) => return None,
        (true, false) => "routes",
        (false, true) => "rules",
        (true, true) => "routes and rules",
    };
    Some(finding(
        Warning,
        "systemd-networkd",
        format!("removes the agent's {what} when it restarts; the agent restores them after a gap"),
        "in /etc/systemd/networkd.conf.d/uplinkd.conf: [Network], ManageForeignRoutes=no, \
         ManageForeignRoutingPolicyRules=no; then systemctl restart systemd-networkd",
    ))
}

/// NetworkManager adds 20,000 to the metric of a link that it cannot check.
fn on_network_manager(config: &Config, facts: &Facts) -> Vec<Finding> {
    const PENALTY: u32 = 20_000;
    let links = config.engine.uplinks.iter().filter_map(|uplink| {
        let link = facts.observed.link(&uplink.interface)?;
        let mut metrics = link.defaults.iter().map(|default| default.metric.0);
        let is_put_back = metrics.any(|metric| (PENALTY..2 * PENALTY).contains(&metric));
        (is_put_back && facts.has_network_manager).then_some(link)
    });
    let finding = |link: &Link| {
        finding(
            Note,
            "NetworkManager",
            format!(
                "has moved the default route of {} back by its own connectivity check: it judges \
                 the uplinks too, and decides while the agent is stopped",
                link.name
            ),
            "if its verdict is wrong: nmcli general connectivity check, or [connectivity] enabled=false",
        )
    };
    links.map(finding).collect()
}

/// The packets that carry a tunnel need an uplink that is none.
fn on_tunnels(config: &Config, facts: &Facts) -> Vec<Finding> {
    let numbering = &config.engine.numbering;
    let kind = |uplink: &UplinkSettings| {
        let link = facts.observed.link(&uplink.interface)?;
        facts
            .foreign
            .link_details
            .get(&link.index)
            .map(|details| details.kind)
    };
    let uplinks = || (0..).zip(&config.engine.uplinks);
    let is_tunnel = |uplink: &UplinkSettings| kind(uplink) == Some(LinkKind::Tunnel);
    let below = uplinks().find(|(_, uplink)| !is_tunnel(uplink));
    let remedy = |interface| match (numbering.mode, below) {
        (RoutingMode::Table, Some((position, below))) => {
            let mark = numbering.uplink_mark(position).0;
            format!(
                "mark its packets for another uplink, {mark:#x} for {} (wg set {interface} fwmark \
                 {mark:#x}, `FwMark`, or --mark of OpenVPN), or bind them to its interface, {}",
                below.name, below.interface
            )
        }
        (RoutingMode::Main, Some((_, below))) => format!(
            "route its far end through another uplink: ip route add FAR-END dev {}",
            below.interface
        ),
        (RoutingMode::Table | RoutingMode::Main, None) => {
            "add the uplink that carries them".to_owned()
        }
    };
    uplinks()
        .filter(|(_, uplink)| is_tunnel(uplink))
        .map(|(_, uplink)| {
            finding(
                Note,
                &format!("uplink {}", uplink.name),
                format!(
                    "{} is a tunnel: while it is active its own packets must not enter it",
                    uplink.interface
                ),
                remedy(&uplink.interface),
            )
        })
        .collect()
}

/// IP does not go through an interface that is a port of another one, and goes its own ways in one
/// that belongs to a VRF.
pub(super) fn on_master(
    uplink: &UplinkSettings,
    object: &str,
    link: Option<&Link>,
    facts: &Facts,
) -> Option<Finding> {
    let link_details = &facts.foreign.link_details;
    let master = link_details.get(&link?.index)?.master?;
    let name = facts.observed.links.get(&master);
    let name = name.map_or_else(|| master.to_string(), |link| link.name.to_string());
    let interface = &uplink.interface;
    let kind = link_details.get(&master).map(|details| details.kind);
    Some(match kind {
        Some(LinkKind::Vrf) => finding(
            Error,
            object,
            format!(
                "{interface} belongs to the VRF {name}: the VRF's table goes before the agent's"
            ),
            format!("take it out: ip link set {interface} nomaster"),
        ),
        Some(LinkKind::Tunnel | LinkKind::Other) | None => finding(
            Error,
            object,
            format!("{interface} is a port of {name}: addresses and routes belong to {name}"),
            format!("set `interface` to {name}"),
        ),
    })
}
