//! Whether flows can be remembered on this machine, and what stands in the way. Pure.

use std::net::IpAddr;

use ipnet::IpNet;

use super::facts::Facts;
use super::finding::FindingSeverity::{Error, Note, Warning};
use super::finding::{Finding, finding};
use crate::config::Config;
use crate::engine::settings::{Flows, SoftFailover, UplinkSettings};
use crate::kernel::{FlowMemoryState, ForeignRule, ReversePathFilter};
use crate::routing::attach::attach;
use crate::routing::traffic::Marks;
use crate::routing::{Family, RoutingMode, RuleStage};
use crate::units::UplinkName;
use crate::units::sorted::{SortedMap, SortedSet};

const OBJECT: &str = "flow memory";

/// All that is about the machine and not about one uplink.
pub(super) fn findings(config: &Config, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(on_kernel(facts));
    findings.extend(on_shared_interfaces(config));
    findings.extend(on_mark_writers(config, facts));
    findings.extend(on_flow_tables(facts));
    findings.extend(on_soft_failover(config, facts));
    let mut said = SortedSet::new();
    let rules = facts.foreign.rules.iter();
    for clash in rules.filter_map(|foreign| on_rule(config, facts, foreign)) {
        // What holds for both families is said once.
        if said.insert((clash.object.clone(), clash.what.clone())) {
            findings.push(clash);
        }
    }
    findings
}

/// Without the capability nothing can be found out, which is a finding of its own.
fn on_kernel(facts: &Facts) -> Option<Finding> {
    const COST: &str = "what comes in by a standby is answered by the active uplink, flows move at a failback, and new \
                        connections leave an uplink only when it is down";
    const REMEDY: &str = "install the parts of nf_tables with `ct` and `meta` (OpenWrt: kmod-nft-core), or set \
                          `routing.flow_memory` to \"off\"";
    let (what, remedy) = match &facts.flow_memory {
        FlowMemoryState::Without(why) if facts.capabilities.net_admin => {
            (format!("{why}: {COST}"), REMEDY)
        }
        FlowMemoryState::On { lacks: Some(why) } => (
            why.to_string(),
            "nothing to do, or a kernel with these parts of nf_tables (Linux 5.2)",
        ),
        FlowMemoryState::Without(_)
        | FlowMemoryState::On { lacks: None }
        | FlowMemoryState::Off => {
            return None;
        }
    };
    Some(finding(Warning, OBJECT, what, remedy))
}

/// What becomes of the flows of each uplink when it is left while it is healthy.
pub(super) fn on_failback(config: &Config, facts: &Facts) -> SortedMap<UplinkName, Flows> {
    let uplinks = &config.engine.uplinks;
    let usual = |uplink: &UplinkSettings| {
        if is_remembered(config, facts, uplink) {
            Flows::Keep
        } else {
            Flows::Move
        }
    };
    let fate = |uplink| {
        config
            .engine
            .failback_flows
            .fate
            .unwrap_or_else(|| usual(uplink))
    };
    let fates = uplinks
        .iter()
        .map(|uplink| (uplink.name.clone(), fate(uplink)));
    fates.collect()
}

fn is_remembered(config: &Config, facts: &Facts, uplink: &UplinkSettings) -> bool {
    let interface = &uplink.interface;
    let mut same = { config.engine.uplinks.iter() }.filter(|other| other.interface == *interface);
    let is_alone = same.nth(1).is_none();
    let filter = facts.reverse_path_filter.get(interface);
    let is_blind =
        filter == Some(&ReversePathFilter::Strict) && !facts.looks_at_marks.contains(interface);
    facts.flow_memory.remembers(Family::Ipv4) && is_alone && !is_blind
}

/// Flows whose packets carry marks of other software are not remembered, and its connection marks may meet ours.
fn on_mark_writers(config: &Config, facts: &Facts) -> Vec<Finding> {
    let Some(Marks { mask, .. }) = config.engine.numbering.flow_mark(0) else {
        return Vec::new();
    };
    let writers = &facts.foreign.mark_writers;
    let named = |of: &SortedSet<String>| {
        let names: Vec<_> = of.iter().map(String::as_str).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let packets = named(&writers.of_packets).map(|names| {
        let what = format!(
            "rules in {names} mark packets: a flow whose packets carry a mark of other software is not remembered; it \
             moves whenever the traffic does, and at a doubt"
        );
        finding(Note, OBJECT, what, "set `failover.soft` to \"off\", or let them mark fewer flows")
    });
    let connections = named(&writers.of_connections).map(|names| {
        let what = format!(
            "rules in {names} mark connections: where they write the bits {:#x}, flows are led and ended by them",
            mask.0
        );
        finding(Note, OBJECT, what, "let them keep these bits, or set other bits in `routing.flow_mark`")
    });
    packets.into_iter().chain(connections).collect()
}

/// Flows that bypass the firewall are moved with the others; a drill does not cut them.
fn on_flow_tables(facts: &Facts) -> Option<Finding> {
    let names = &facts.foreign.flow_tables;
    (!names.is_empty()).then(|| {
        finding(
            Note,
            "flow offloading",
            format!(
                "{} carries flows past the firewall: they are moved and stay like others, but a drill cuts them \
                 only when the traffic has moved",
                names.join(", ")
            ),
            "nothing to do",
        )
    })
}

/// New connections wait for the verdict, though there are several uplinks.
fn on_soft_failover(config: &Config, facts: &Facts) -> Option<Finding> {
    let uplinks = &config.engine.uplinks;
    let remembered = |uplink: &&UplinkSettings| is_remembered(config, facts, uplink);
    let is_known = uplinks.iter().filter(remembered).count() >= 2;
    let ready = || uplinks.iter().filter(|uplink| !uplink.is_cold());
    let free = ready().filter(|uplink| uplink.probe_budget.is_none());
    let is_metered_alone = ready().count() >= 2 && free.count() < 2;
    let (why, remedy) = match config.engine.failover.soft {
        _ if uplinks.len() < 2 => return None,
        SoftFailover::Always if !is_known => (
            "is \"always\", but new connections leave an uplink only when it is down: flows of fewer than two uplinks \
             are remembered",
            "see the flow memory, or set it to \"off\"",
        ),
        SoftFailover::Auto if is_known && is_metered_alone => (
            "new connections leave an uplink only when it is down: fewer than two uplinks are not metered",
            "set it to \"always\" if they may go by a metered uplink while one is in doubt",
        ),
        SoftFailover::Always | SoftFailover::Auto | SoftFailover::Off => return None,
    };
    Some(finding(Note, "failover.soft", why, remedy))
}

/// An interface does not tell apart two uplinks that share it.
fn on_shared_interfaces(config: &Config) -> Vec<Finding> {
    if config.engine.numbering.flow_mark(0).is_none() {
        return Vec::new();
    }
    let mut sharing = SortedMap::<_, Vec<_>>::new();
    for uplink in &config.engine.uplinks {
        let names = sharing.entry(&uplink.interface).or_default();
        names.push(uplink.name.to_string());
    }
    sharing.retain(|_, names| names.len() > 1);
    let finding = |(interface, names): (_, Vec<String>)| {
        let names = names.join(" and ");
        finding(
            Note,
            OBJECT,
            format!("flows of {names} are not remembered: both go through {interface}"),
            "give each an interface of its own, such as a VLAN, if answers must leave by the uplink that was asked",
        )
    };
    sharing.into_iter().map(finding).collect()
}

/// A rule of other software that compares bits which remember flows.
fn on_rule(config: &Config, facts: &Facts, foreign: &ForeignRule) -> Option<Finding> {
    let numbering = &config.engine.numbering;
    let ours = numbering.flow_mark(0)?.mask.0;
    let mark = foreign.rule.mark.map_or(0, |mark| mark.0);
    let compares_all = foreign.mask == u32::MAX;
    if foreign.mask & ours == 0 || (compares_all && mark & ours == 0) {
        return None;
    }
    let is_before = foreign.rule.priority <= numbering.priority_of(RuleStage::FlowMark);
    let places = (0..).zip(&config.engine.uplinks);
    let mut marks = places.filter_map(|(place, _)| numbering.flow_mark(place));
    let matches = marks.any(|own| (own.mark.0 & foreign.mask == mark) != foreign.is_inverted);
    let shown = format!("{mark:#x}/{:#x}", foreign.mask);
    let what = if matches && is_before {
        format!(
            "(fwmark {shown}) takes flows that are remembered to table {}: it compares bits of `routing.flow_mark`, \
             {ours:#x}",
            foreign.rule.table
        )
    } else {
        format!(
            "(fwmark {shown}) compares bits of `routing.flow_mark`, {ours:#x}: the flows of its owner are not \
             remembered, and may lose its mark"
        )
    };
    let remedy = match free_bits(facts) {
        Some(bits) => {
            format!("set `routing.flow_mark` to bits of no other software, such as \"{bits:#x}\"")
        }
        None => "set `routing.flow_mark` to bits of no other software".to_owned(),
    };
    let object = format!("rule {}", foreign.rule.priority);
    Some(finding(Warning, &object, what, remedy))
}

/// A byte of marks that no rule of other software compares.
fn free_bits(facts: &Facts) -> Option<u32> {
    const BYTES: [u32; 4] = [0xff00_0000, 0x00ff_0000, 0x0000_ff00, 0x0000_00ff];
    let rules = facts.foreign.rules.iter();
    let marks = rules.filter_map(|foreign| Some((foreign.rule.mark?.0, foreign.mask)));
    let used = marks.map(|(mark, mask)| if mask == u32::MAX { mark } else { mask });
    let used = used.fold(0, |all, bits| all | bits);
    BYTES.into_iter().find(|bits| bits & used == 0)
}

/// Our `from` rules let the filter pass what is addressed to the router itself. A forwarded flow is
/// addressed to a LAN host once its NAT is undone, and is checked against the uplink that carries
/// the traffic now, unless the filter looks at the mark of a flow that is remembered.
///
/// Without such a rule, in main mode and for an address that two uplinks have, the filter drops the
/// answers to probes as well.
pub(super) fn on_reverse_path_filter(
    uplink: &UplinkSettings,
    object: &str,
    config: &Config,
    facts: &Facts,
) -> Option<Finding> {
    let interface = &uplink.interface;
    let loose = format!("make it loose: sysctl -w net.ipv4.conf.{interface}.rp_filter=2");
    let addresses = |uplink: &UplinkSettings| -> SortedSet<IpAddr> {
        let link = facts.observed.link(&uplink.interface);
        let sources = attach(link, &uplink.hints(), &SortedMap::new()).sources;
        sources.iter().map(IpNet::addr).collect()
    };
    let has_rules = config.engine.numbering.mode == RoutingMode::Table && {
        let own = addresses(uplink);
        let mut others = config.engine.uplinks.iter();
        !others.any(|other| other.name != uplink.name && !addresses(other).is_disjoint(&own))
    };
    let is_remembered = matches!(facts.flow_memory, FlowMemoryState::On { .. });
    let (severity, dropped, remedy) = match facts.reverse_path_filter.get(interface)? {
        ReversePathFilter::Off | ReversePathFilter::Loose => return None,
        ReversePathFilter::Strict if !has_rules => (
            Error,
            "replies to probes are dropped while another uplink is active, and this one never becomes usable",
            loose,
        ),
        ReversePathFilter::Strict if is_remembered && facts.looks_at_marks.contains(interface) => {
            return None;
        }
        ReversePathFilter::Strict if is_remembered => (
            Warning,
            "replies of forwarded flows are dropped when they arrive here while another uplink is active",
            format!(
                "let it look at marks: sysctl -w net.ipv4.conf.{interface}.src_valid_mark=1; or {loose}"
            ),
        ),
        ReversePathFilter::Strict => (
            Warning,
            "replies of forwarded flows are dropped when they arrive here while another uplink is active",
            loose,
        ),
    };
    let what = format!("{interface} has a strict reverse-path filter: {dropped}");
    Some(finding(severity, object, what, remedy))
}
