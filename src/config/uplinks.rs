//! The `[[uplink]]` sections, each on its own and all together.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::Ipv6Net;

use super::section::{Problems, Section};
use super::{Fault, Followed, defaults, read, schema, values};
use crate::engine::budget;
use crate::engine::settings::{HealthSettings, ProbeSettings, Standby, UplinkSettings};
use crate::routing::{Gateway, Prefixes, RoutingMode};
use crate::units::{InterfaceName, Tier, UplinkName, Weight};

/// What holds for every uplink that does not say otherwise.
pub(super) struct Common {
    pub(super) mode: RoutingMode,
    pub(super) has_ubus: bool,
    pub(super) probe: ProbeSettings,
    pub(super) health: HealthSettings,
}

const AT_LEAST_ONE: &str = "at least one uplink with name, interface and tier";

/// Every uplink that could be read, in the order of the file, and those that follow netifd.
pub(super) fn uplinks(
    top: &Section<'_>,
    common: &Common,
    problems: &Problems,
) -> (Vec<UplinkSettings>, BTreeMap<UplinkName, Followed>) {
    let mut networks = BTreeMap::new();
    let uplinks = listed_uplinks(top, common, problems, &mut networks);
    (uplinks, networks)
}

fn listed_uplinks(
    top: &Section<'_>,
    common: &Common,
    problems: &Problems,
    networks: &mut BTreeMap<UplinkName, Followed>,
) -> Vec<UplinkSettings> {
    let Some(node) = top.node("uplink") else {
        top.refuse("uplink", Fault::Missing(AT_LEAST_ONE));
        return Vec::new();
    };
    let Some(nodes) = node.value.as_list() else {
        let expected = "a list of sections, each under [[uplink]]";
        let found = node.value.to_string();
        top.refuse("uplink", Fault::Kind { expected, found });
        return Vec::new();
    };
    if nodes.is_empty() {
        top.refuse("uplink", Fault::Missing(AT_LEAST_ONE));
    }
    if nodes.len() > defaults::MAX_UPLINKS {
        let value = format!("{} uplinks", nodes.len());
        let bound = format!("at most {}", defaults::MAX_UPLINKS);
        top.refuse("uplink", Fault::Bound { value, bound });
        return Vec::new();
    }
    let sections = nodes.iter().zip(1..).map(|(node, number)| {
        let title = problems.title("uplink", node, number);
        Section::new(node, title, &schema::UPLINK, problems)
    });
    let mut earlier = Vec::new();
    for section in sections {
        if let Some((uplink, network)) = uplink(&section, common) {
            check_beside(&section, &uplink, &earlier);
            check_interface(&section, &uplink, &earlier, common.mode);
            check_prefixes(&section, &uplink, &earlier);
            if let Some(network) = network {
                let followed = followed(&section, &uplink, network, common, networks);
                networks.insert(uplink.name.clone(), followed);
            }
            earlier.push((uplink, section));
        }
    }
    earlier.into_iter().map(|(uplink, _)| uplink).collect()
}

/// The network that an uplink follows.
fn followed(
    section: &Section<'_>,
    uplink: &UplinkSettings,
    network: InterfaceName,
    common: &Common,
    others: &BTreeMap<UplinkName, Followed>,
) -> Followed {
    let refuse = |bound: &str| {
        let value = format!("\"{network}\"");
        let bound = bound.to_owned();
        section.refuse("network", Fault::Bound { value, bound });
    };
    if !common.has_ubus {
        refuse("left out while [agent] `ubus` is \"off\": netifd tells of its networks there");
    }
    if others.values().any(|other| other.network == network) {
        refuse("another network than that of an uplink above");
    }
    Followed {
        network,
        gateway: uplink.gateway,
        gateway6: uplink.gateway6,
    }
}

fn uplink(
    section: &Section<'_>,
    common: &Common,
) -> Option<(UplinkSettings, Option<InterfaceName>)> {
    section.require("name", "the name by which the uplink is known");
    let network = section.get("network", values::name_or_none).flatten();
    if network.is_none() {
        section.require("interface", "the network interface, such as \"eth1\"");
    }
    section.require("tier", "the order of preference, 1 is the most preferred");
    let name = section.get("name", values::name);
    // Until netifd says where its network is, there most likely is nothing of its name.
    let interface = section.get("interface", values::name).or(network.clone());
    let tier = section.get("tier", values::integer(&[defaults::TIER]));
    let weight = section.get("weight", values::integer(&[defaults::WEIGHTS]));
    let gateway = section.get("gateway", values::gateway);
    let gateway6 = section.get("gateway6", values::gateway6);
    let prefixes = section.get("prefixes", values::prefixes);
    let metered = section.get("metered", values::boolean);
    let budget = section.get("probe_budget", values::bytes(defaults::BUDGET));
    let budget = budget.unwrap_or(defaults::PROBE_BUDGET);
    let standby = standby(section);
    let probe_section = section.section("probe", &schema::PROBE);
    let health_section = section.section("health", &schema::HEALTH);
    let mut inherited = common.probe.clone();
    if standby == Standby::Warm {
        inherited.standby_interval = defaults::WARM_INTERVAL;
    }
    let mut probe = read::probe(&probe_section, &inherited);
    let health = read::health(&health_section, &common.health);
    check_window(&probe_section, &mut probe, &health, standby);
    let uplink = UplinkSettings {
        name: name?,
        interface: interface?,
        tier: Tier(tier?),
        weight: weight.map_or(defaults::WEIGHT, Weight),
        gateway: gateway.unwrap_or_default(),
        gateway6: gateway6.unwrap_or_default(),
        prefixes: prefixes.unwrap_or_default(),
        probe_budget: metered.unwrap_or_default().then_some(budget),
        standby,
        probe,
        health,
    };
    check_budget(section, &uplink);
    Some((uplink, network))
}

fn standby(section: &Section<'_>) -> Standby {
    let mut cold = defaults::COLD;
    let mut exercise_every = Duration::ZERO;
    let spans = [
        ("standby_linger", defaults::LINGER, &mut cold.linger),
        (
            "ready_within",
            defaults::READY_WITHIN,
            &mut cold.ready_within,
        ),
        (
            "exercise_every",
            defaults::EXERCISE_EVERY,
            &mut exercise_every,
        ),
    ];
    for (key, bounds, span) in spans {
        section.set(key, values::duration(bounds), span);
    }
    cold.exercise_every = Some(exercise_every).filter(|every| !every.is_zero());
    let choices = &[
        ("hot", Kept::Hot),
        ("warm", Kept::Warm),
        ("cold", Kept::Cold),
    ];
    let kept = section.get("standby", values::word(choices));
    match kept.unwrap_or(Kept::Hot) {
        Kept::Hot | Kept::Warm if cold.exercise_every.is_some() => {
            let value = values::show(exercise_every);
            let bound = "0s, never, unless `standby` is \"cold\"".to_owned();
            section.refuse("exercise_every", Fault::Bound { value, bound });
            Standby::default()
        }
        Kept::Hot => Standby::Hot,
        Kept::Warm => Standby::Warm,
        Kept::Cold => Standby::Cold(cold),
    }
}

#[derive(Clone, Copy)]
enum Kept {
    Hot,
    Warm,
    Cold,
}

/// A budget that buys next to nothing is a mistake, or meant for cheaper targets.
fn check_budget(section: &Section<'_>, uplink: &UplinkSettings) {
    let (Some(budget), Some(plan)) = (uplink.probe_budget, budget::plan(uplink)) else {
        return;
    };
    if plan.every > defaults::RAREST {
        let key = if section.has("probe_budget") {
            "probe_budget"
        } else {
            "metered"
        };
        let round = plan.round;
        let least = values::show(defaults::RAREST);
        let bound = format!(
            "enough for a probe every {least}: a round to these targets costs up to {round}, and a \
             ping the least"
        );
        let value = budget.to_string();
        section.refuse(key, Fault::Bound { value, bound });
    }
}

/// A window without a probe in it measures nothing, which is borne of a warm standby. Whoever shortens
/// only the window means the standby interval as well.
fn check_window(
    section: &Section<'_>,
    probe: &mut ProbeSettings,
    health: &HealthSettings,
    standby: Standby,
) {
    if probe.interval > health.window {
        let value = values::show(probe.interval);
        let window = values::show(health.window);
        let bound = format!("at most `health.window`, {window}");
        section.refuse("interval", Fault::Bound { value, bound });
    } else if standby == Standby::Warm {
        return;
    } else if probe.standby_interval > health.window && section.has("standby_interval") {
        let value = values::show(probe.standby_interval);
        let window = values::show(health.window);
        let bound = format!("at most `health.window`, {window}");
        section.refuse("standby_interval", Fault::Bound { value, bound });
    }
    probe.standby_interval = probe.standby_interval.min(health.window);
}

fn check_beside(
    section: &Section<'_>,
    uplink: &UplinkSettings,
    earlier: &[(UplinkSettings, Section<'_>)],
) {
    if let Some((_, same)) = earlier.iter().find(|(other, _)| other.name == uplink.name) {
        let value = format!("\"{}\"", uplink.name);
        let first = same.line_of("name");
        section.refuse("name", Fault::Duplicate { value, first });
    }
}

/// Uplinks on one interface are told apart by their next hops, which takes rules.
fn check_interface(
    section: &Section<'_>,
    uplink: &UplinkSettings,
    earlier: &[(UplinkSettings, Section<'_>)],
    mode: RoutingMode,
) {
    let mut others = earlier.iter();
    let Some((_, same)) = others.find(|(other, _)| {
        let may_share = mode == RoutingMode::Table && are_apart(other, uplink);
        other.interface == uplink.interface && !may_share
    }) else {
        return;
    };
    let interface = format!("\"{}\"", uplink.interface);
    let first = same.line_of("interface");
    let fault = match mode {
        RoutingMode::Table => Fault::SharedInterface { interface, first },
        RoutingMode::Main => Fault::SharedInterfaceInMain { interface, first },
    };
    section.refuse("interface", fault);
}

/// A prefix belongs to one provider.
fn check_prefixes(
    section: &Section<'_>,
    uplink: &UplinkSettings,
    earlier: &[(UplinkSettings, Section<'_>)],
) {
    for prefix in listed(uplink) {
        let holds = |other: &Ipv6Net| other.contains(prefix) || prefix.contains(other);
        let mut others = earlier.iter();
        if let Some((_, same)) = others.find(|(other, _)| listed(other).iter().any(holds)) {
            let value = format!("\"{prefix}\"");
            let first = same.line_of("prefixes");
            section.refuse("prefixes", Fault::Duplicate { value, first });
        }
    }
}

fn listed(uplink: &UplinkSettings) -> &[Ipv6Net] {
    match &uplink.prefixes {
        Prefixes::Auto => &[],
        Prefixes::Listed(prefixes) => prefixes,
    }
}

fn are_apart(one: &UplinkSettings, other: &UplinkSettings) -> bool {
    match (one.gateway, other.gateway) {
        (Gateway::Address(one), Gateway::Address(other)) => one != other,
        (Gateway::Auto | Gateway::None | Gateway::Address(_), _) => false,
    }
}
