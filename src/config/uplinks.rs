//! The `[[uplink]]` sections, each on its own and all together.

use std::time::Duration;

use ipnet::Ipv6Net;

use super::addresses::{GATEWAY, GATEWAY6, PREFIXES};
use super::error::Fault;
use super::kinds::{
    ByteRange, ByteRangeOrOff, DurationRange, Own, Words, YesNo, name, own, show, text, whole,
};
use super::section::Section;
use super::times::{DAY, HOUR, secs};
use super::{health, probe};
use crate::engine::budget;
use crate::engine::settings::{
    AllowanceAction, AllowanceSettings, ColdSettings, HealthSettings, ProbeSettings, Standby,
    UplinkSettings,
};
use crate::routing::{Gateway, Prefixes, RoutingMode};
use crate::units::sorted::SortedMap;
use crate::units::{BillingDay, Bytes, InterfaceName, Tier, UplinkName, Weight};

/// An uplink that follows a network of netifd, and what the file says where netifd says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The name of the network.
    pub network: InterfaceName,
    /// The IPv4 next hop.
    pub gateway: Gateway,
    /// The IPv6 next hop.
    pub gateway6: Gateway,
}

/// What holds for every uplink that does not say otherwise.
pub(super) struct CommonSettings {
    pub(super) mode: RoutingMode,
    pub(super) has_ubus: bool,
    pub(super) probe: ProbeSettings,
    pub(super) health: HealthSettings,
}

/// More than any router has ports and modems for.
pub(super) const MAX_UPLINKS: usize = 64;

/// The default of `weight`.
pub const WEIGHT: Weight = Weight(1);

/// The default of `probe_budget`, for 30 days: some percent of the smallest plans, and a ping every 16
/// seconds.
pub const PROBE_BUDGET: Bytes = Bytes(50_000_000);
/// Steady probes of a metered uplink must not be rarer.
const RAREST: Duration = HOUR;

/// The default of `probe.standby_interval` of a warm standby, sixty times that of a hot one.
const WARM_INTERVAL: Duration = secs(300);

/// The defaults of a cold uplink: it is still up after a failback that does not hold; a modem takes up
/// to a minute.
pub const COLD: ColdSettings = ColdSettings {
    linger: secs(300),
    ready_within: secs(60),
    exercise_every: None,
};

const NETWORK: Own<Option<InterfaceName>> =
    own("the name of a network", |value| match text(value)? {
        "" => Ok(None),
        network => Ok(Some(network.parse()?)),
    });

/// Every uplink that could be read, in the order of the file, and those that follow netifd.
pub(super) fn read(
    top: &Section<'_>,
    common: &CommonSettings,
) -> (Vec<UplinkSettings>, SortedMap<UplinkName, Followed>) {
    const AT_LEAST_ONE: &str = "at least one uplink with name, interface and tier";
    let has_none = top
        .node("uplink")
        .is_none_or(|node| node.value.as_list().is_some_and(<[_]>::is_empty));
    if has_none && !top.is_misspelt("uplink") {
        top.refuse("uplink", Fault::Missing(AT_LEAST_ONE));
    }
    let mut networks = SortedMap::new();
    let mut earlier = Vec::new();
    let mut names = SortedMap::new();
    for section in top.sections("uplink", MAX_UPLINKS) {
        check_name(&section, &mut names);
        if let Some((uplink, network)) = uplink(&section, common) {
            check_interface(&section, &uplink, &earlier, common.mode);
            check_counters(&section, &uplink, &earlier);
            check_prefixes(&section, &uplink, &earlier);
            if let Some(network) = network {
                let followed = followed(&section, &uplink, network, common, &networks);
                networks.insert(uplink.name.clone(), followed);
            }
            earlier.push((uplink, section));
        }
    }
    let uplinks = earlier.into_iter().map(|(uplink, _)| uplink);
    (uplinks.collect(), networks)
}

/// The network that an uplink follows.
fn followed(
    section: &Section<'_>,
    uplink: &UplinkSettings,
    network: InterfaceName,
    common: &CommonSettings,
    others: &SortedMap<UplinkName, Followed>,
) -> Followed {
    let refuse = |bound| section.refuse("network", Fault::value(format!("\"{network}\""), bound));
    if !common.has_ubus {
        refuse("left out while [agent] `ubus` is \"off\": netifd reports its networks there");
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
    common: &CommonSettings,
) -> Option<(UplinkSettings, Option<InterfaceName>)> {
    section.require("name", "the name by which the uplink is known");
    let name = section.find("name", &name("1 to 32 letters, digits, `_`, `-` or `.`"));
    let (interface, network) = interface(section);
    section.require("tier", "the order of preference, 1 is the most preferred");
    let tier = section.find("tier", &whole(&[(1, 1000)], Tier));
    let weight = section.read("weight", &whole(&[(1, 255)], Weight), WEIGHT);
    let gateway = section.read("gateway", &GATEWAY, Gateway::Auto);
    let gateway6 = section.read("gateway6", &GATEWAY6, Gateway::Auto);
    let prefixes = section.read("prefixes", &PREFIXES, Prefixes::Auto);
    let is_metered = section.read("metered", &YesNo, false);
    let budgets = ByteRange(Bytes(1_000_000)..=Bytes(1_000_000_000_000));
    let budget = section.read("probe_budget", &budgets, PROBE_BUDGET);
    let allowance = allowance(section);
    let standby = standby(section);
    let (probe, health) = judgement(section, common, standby);
    let uplink = UplinkSettings {
        name: name?,
        interface: interface?,
        tier: tier?,
        weight,
        gateway,
        gateway6,
        prefixes,
        probe_budget: is_metered.then_some(budget),
        allowance,
        standby,
        probe,
        health,
    };
    check_budget(section, &uplink);
    Some((uplink, network))
}

/// The interface, and the network of netifd that it follows. Until netifd reports it, an interface of
/// the network's name stands for it, which most likely does not exist.
fn interface(section: &Section<'_>) -> (Option<InterfaceName>, Option<InterfaceName>) {
    let takes = "the name of a network interface";
    let interface = section.find("interface", &name(takes));
    let network = section.read("network", &NETWORK, None);
    if network.is_none() {
        section.require("interface", "the network interface, such as \"eth1\"");
    }
    (interface.or(network.clone()), network)
}

fn judgement(
    section: &Section<'_>,
    common: &CommonSettings,
    standby: Standby,
) -> (ProbeSettings, HealthSettings) {
    let (of_probe, of_health) = (section.section("probe"), section.section("health"));
    let mut inherited = common.probe.clone();
    if standby == Standby::Warm {
        inherited.standby_interval = WARM_INTERVAL;
    }
    let mut probe = probe::read(&of_probe, Some(&inherited));
    let health = health::read(&of_health, Some(&common.health));
    check_window(&of_probe, &mut probe, &health, standby);
    (probe, health)
}

fn allowance(section: &Section<'_>) -> Option<Box<AllowanceSettings>> {
    const ACTIONS: Words<AllowanceAction> = Words(&[
        ("warn", AllowanceAction::Warn),
        ("last_resort", AllowanceAction::LastResort),
        ("off", AllowanceAction::Off),
    ]);
    let limits = ByteRangeOrOff(ByteRange(Bytes(1_000_000)..=Bytes(1_000_000_000_000_000)));
    let limit = section.read("allowance", &limits, None);
    let days = whole(&[(1, 31)], BillingDay);
    let day = section.read("allowance_day", &days, BillingDay(1));
    let action = section.read("allowance_action", &ACTIONS, AllowanceAction::Warn);
    let settings = |limit| AllowanceSettings { limit, day, action };
    limit.map(settings).map(Box::new)
}

#[derive(Clone, Copy)]
enum StandbyWord {
    Hot,
    Warm,
    Cold,
}

fn standby(section: &Section<'_>) -> Standby {
    const STANDBYS: Words<StandbyWord> = Words(&[
        ("hot", StandbyWord::Hot),
        ("warm", StandbyWord::Warm),
        ("cold", StandbyWord::Cold),
    ]);
    let standby = section.read("standby", &STANDBYS, StandbyWord::Hot);
    let lingers = DurationRange(Duration::ZERO..=DAY);
    let exercises = DurationRange(Duration::ZERO..=secs(30 * 24 * 3600));
    let linger = section.read("standby_linger", &lingers, COLD.linger);
    let ready_within = section.read(
        "ready_within",
        &DurationRange(secs(1)..=HOUR),
        COLD.ready_within,
    );
    let every = section.read("exercise_every", &exercises, Duration::ZERO);
    match standby {
        StandbyWord::Hot | StandbyWord::Warm if !every.is_zero() => {
            let bound = "0s, never, unless `standby` is \"cold\"";
            section.refuse("exercise_every", Fault::value(show(every), bound));
            Standby::default()
        }
        StandbyWord::Hot => Standby::Hot,
        StandbyWord::Warm => Standby::Warm,
        StandbyWord::Cold => Standby::Cold(ColdSettings {
            linger,
            ready_within,
            exercise_every: Some(every).filter(|every| !every.is_zero()),
        }),
    }
}

/// A budget that buys next to nothing is a mistake, or meant for cheaper targets.
fn check_budget(section: &Section<'_>, uplink: &UplinkSettings) {
    let (Some(budget), Some(plan)) = (uplink.probe_budget, budget::plan(uplink)) else {
        return;
    };
    if plan.every > RAREST {
        let has_own = section.has("probe_budget");
        let key = if has_own { "probe_budget" } else { "metered" };
        let bound = format!(
            "enough for a probe every {}: a round to these targets costs up to {}, and a ping the \
             least",
            show(RAREST),
            plan.round
        );
        section.refuse(key, Fault::value(budget, bound));
    }
}

/// A window without a probe in it measures nothing, which is accepted of a warm standby. A shorter
/// window shortens the standby interval with it.
fn check_window(
    section: &Section<'_>,
    probe: &mut ProbeSettings,
    health: &HealthSettings,
    standby: Standby,
) {
    let refuse = |key, interval| {
        let bound = format!("at most `health.window`, {}", show(health.window));
        section.refuse(key, Fault::value(show(interval), bound));
    };
    if probe.interval > health.window {
        refuse("interval", probe.interval);
    } else if standby == Standby::Warm {
        return;
    } else if probe.standby_interval > health.window && section.has("standby_interval") {
        refuse("standby_interval", probe.standby_interval);
    }
    probe.standby_interval = probe.standby_interval.min(health.window);
}

type Earlier<'a> = [(UplinkSettings, Section<'a>)];

/// A name is of one uplink, whatever else is wrong with either.
fn check_name(section: &Section<'_>, lines: &mut SortedMap<UplinkName, usize>) {
    let name = section.node("name").and_then(|node| node.value.as_text());
    let Some(Ok(name)) = name.map(str::parse::<UplinkName>) else {
        return;
    };
    match lines.get(&name) {
        Some(first) => {
            let (value, first) = (format!("\"{name}\""), *first);
            section.refuse("name", Fault::Duplicate { value, first });
        }
        None => drop(lines.insert(name, section.line_of("name"))),
    }
}

/// Uplinks on one interface are distinguished by their next hops, which takes rules.
fn check_interface(
    section: &Section<'_>,
    uplink: &UplinkSettings,
    earlier: &Earlier<'_>,
    mode: RoutingMode,
) {
    let mut others = earlier.iter();
    let Some((_, same)) = others.find(|(other, _)| {
        let may_share = mode == RoutingMode::Table && are_apart(other, uplink);
        other.interface == uplink.interface && !may_share
    }) else {
        return;
    };
    let needs = match mode {
        RoutingMode::Table => "two different addresses as `gateway`",
        RoutingMode::Main => "`routing.mode` \"table\"",
    };
    let fault = Fault::SharedInterface {
        interface: format!("\"{}\"", uplink.interface),
        first: same.line_of("interface"),
        needs,
    };
    section.refuse("interface", fault);
}

/// An interface does not tell apart the traffic of two uplinks.
fn check_counters(section: &Section<'_>, uplink: &UplinkSettings, earlier: &Earlier<'_>) {
    let mut others = earlier.iter().map(|(other, _)| other);
    let same = others.find(|other| other.interface == uplink.interface);
    let is_counted =
        |other: &UplinkSettings| uplink.allowance.is_some() || other.allowance.is_some();
    if let Some(other) = same.filter(|other| is_counted(other)) {
        let value = format!("\"{}\"", uplink.interface);
        let bound = format!(
            "another interface than that of {}: the traffic of an `allowance` is counted by its interface",
            other.name
        );
        section.refuse("interface", Fault::value(value, bound));
    }
}

/// A prefix belongs to one provider.
fn check_prefixes(section: &Section<'_>, uplink: &UplinkSettings, earlier: &Earlier<'_>) {
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
