//! Interfaces, which become uplinks: one of IPv4 with its twin of IPv6, or one alone.

use super::network;
use super::order::{NO_POLICY, PolicyOrder};
use super::source::{Mwan3File, join, note, plain, show, text};
use super::tracking;
use crate::config::document::ConfigValue;
use crate::config::error::printable;
use crate::config::kinds::ValueKind;
use crate::config::probe::{DEFAULT_TARGETS, MAX_TARGETS};
use crate::config::targets::TARGET;
use crate::config::uci_text::UciSection;
use crate::config::uplinks::MAX_UPLINKS;
use crate::config::write::{self, Setting};

/// An uplink and the interfaces that it stands for.
pub(super) struct Mwan3Link<'a> {
    /// Its name, and that of its first interface.
    pub(super) name: String,
    device: Option<String>,
    interfaces: Vec<&'a UciSection>,
}

/// The uplinks that enabled interfaces make, and remarks on the others.
pub(super) fn links<'a>(
    source: &'a Mwan3File,
    network: Option<&Mwan3File>,
    remarks: &mut Vec<String>,
) -> Vec<Mwan3Link<'a>> {
    let mut links: Vec<Mwan3Link<'a>> = Vec::new();
    let named = source.all("interface").filter_map(|section| {
        let name = section.name.as_deref()?;
        Some((section, name))
    });
    // Those of IPv4 first, so that each of IPv6 finds its twin.
    let (later, first): (Vec<_>, Vec<_>) = named.partition(|(section, _)| is_ipv6(section));
    for (section, name) in first.into_iter().chain(later) {
        let title = section.title();
        if !section.is_set("enabled") {
            note(
                remarks,
                format_args!("{title}: not enabled, left out, and its members with it."),
            );
            continue;
        }
        let device = network.and_then(|network| network::device(network, name));
        let twin = links
            .iter_mut()
            .find(|link| link.is_twin(section, name, device.as_ref()));
        if let Some(link) = twin {
            link.interfaces.push(section);
            continue;
        }
        let mut known = links.iter().filter_map(|link| link.device.as_ref());
        if device.is_some() && known.any(|known| Some(known) == device.as_ref()) {
            note(
                remarks,
                format_args!(
                    "{title}: left out: its device has an uplink already, and two on one device need \
                 a `gateway` each."
                ),
            );
        } else if links.len() == MAX_UPLINKS {
            note(
                remarks,
                format_args!("{title}: left out, one more than {MAX_UPLINKS}."),
            );
        } else {
            links.push(Mwan3Link {
                name: plain_name(name, &links),
                device,
                interfaces: vec![section],
            });
        }
    }
    links
}

fn is_ipv6(section: &UciSection) -> bool {
    section.get("family") == Some("ipv6")
}

/// A name of UCI as that of an uplink, which begins with a letter or a digit and is shorter.
fn plain_name(name: &str, links: &[Mwan3Link<'_>]) -> String {
    let mut plain: String = name.trim_start_matches('_').chars().take(28).collect();
    if plain.is_empty() || links.iter().any(|link| link.name == plain) {
        plain = format!("{plain}{}", links.len());
    }
    plain
}

impl Mwan3Link<'_> {
    /// It stands for this interface.
    pub(super) fn is_of(&self, interface: &str) -> bool {
        let mut names = self.interfaces.iter();
        names.any(|section| section.name.as_deref() == Some(interface))
    }

    /// An interface of IPv6 that has the device of this one, or its name with a 6 as far as devices
    /// are not known.
    fn is_twin(&self, section: &UciSection, name: &str, device: Option<&String>) -> bool {
        let [own] = self.interfaces.as_slice() else {
            return false;
        };
        if is_ipv6(own) || !is_ipv6(section) {
            return false;
        }
        if let (Some(own), Some(device)) = (&self.device, device) {
            return own == device;
        }
        let own = own.name.as_deref().unwrap_or_default();
        let own = own.strip_suffix("_4").unwrap_or(own);
        let bare = name.strip_suffix('6').unwrap_or(name);
        own == name || own == bare || own == bare.strip_suffix('_').unwrap_or(bare)
    }

    /// What the first of its interfaces that says it says.
    fn get(&self, option: &str) -> Option<&str> {
        self.interfaces
            .iter()
            .find_map(|section| section.get(option))
    }

    fn number(&self, option: &str) -> Option<u32> {
        self.get(option)?.parse().ok()
    }

    fn cite(&self, option: &str) -> String {
        let mut sections = self.interfaces.iter();
        let section = sections.find(|section| section.get(option).is_some());
        section.map_or_else(|| option.to_owned(), |section| section.cite(option))
    }

    /// The section of the uplink.
    pub(super) fn section(
        &self,
        at: usize,
        order: &PolicyOrder,
        weight: Option<(u32, &str)>,
    ) -> write::DraftSection {
        let mut section = write::DraftSection::new("uplink", Some(self.name.clone()));
        let names: Vec<_> = self
            .interfaces
            .iter()
            .filter_map(|one| one.name.as_deref())
            .collect();
        let mut about = format!("mwan3: interface {}", join(&names));
        if names.len() > 1 {
            about += ", which are one uplink of both families";
        }
        section.remarks.push(about + ".");
        for interface in &self.interfaces {
            interface.remark(&NOTES, &MAPPED, &mut section.remarks);
        }
        section.remarks.dedup();
        self.differences(&mut section.remarks);
        self.place(&mut section, at, order);
        if let Some((weight, policy)) = weight.filter(|(weight, _)| *weight != 1) {
            let remark = format!("its weight in {policy}.");
            section.set("weight", plain(weight), &remark);
        }
        self.targets(&mut section);
        self.times(&mut section);
        self.quality(&mut section);
        section
    }

    fn differences(&self, remarks: &mut Vec<String>) {
        let [first, second] = self.interfaces.as_slice() else {
            return;
        };
        let differing = MAPPED.iter().skip(NOT_SHARED).filter(|option| {
            let (one, other) = (first.get(option), second.get(option));
            other.is_some() && one.is_some() && one != other
        });
        for option in differing {
            let (cite, title) = (second.cite(option), second.title());
            note(
                remarks,
                format_args!("{title}: {cite}: that of {} holds for both.", first.title()),
            );
        }
    }

    fn place(&self, section: &mut write::DraftSection, at: usize, order: &PolicyOrder) {
        if let Some(device) = &self.device {
            section.set("interface", text(device.clone()), "");
        } else {
            // Where netifd has it is not known here, and may change.
            let name = self.interfaces.first().and_then(|one| one.name.as_deref());
            let name = name.unwrap_or_default().chars().take(15);
            let remark = "the interface's name in netifd, which gives its device and next hops";
            section.set("network", text(name.collect::<String>()), remark);
        }
        let name = &order.name;
        // 0 is a metric and no tier.
        let lowest = order.places.first().map_or(1, |place| place.metric);
        let first = u32::from(lowest == 0);
        let last = order.places.last().map_or(0, |place| place.metric) + first;
        let later = u32::try_from(at).unwrap_or_default() + 1;
        let Some((metric, _)) = order.tier(at) else {
            let remark = format!(
                "no member of {name}: mwan3 never gives it the traffic of the default group, uplinkd does \
                 where nothing else works."
            );
            return section.set("tier", plain(last + later), &remark);
        };
        let remark = match name.as_str() {
            NO_POLICY => "by the order of the interfaces.".to_owned(),
            name => format!("its metric in {name}."),
        };
        section.set("tier", plain(metric + first), &remark);
    }

    fn targets(&self, section: &mut write::DraftSection) {
        let mut targets: Vec<String> = Vec::new();
        // The most that one interface tracks, and of those the targets here.
        let (mut tracked, mut left) = (0, 0);
        let mut remarks = Vec::new();
        for interface in &self.interfaces {
            let method = tracking::method(interface, &mut remarks);
            let mut own = 0;
            for address in interface.list("track_ip") {
                let target = method.target(address);
                let reason = match TARGET.parse(&ConfigValue::Text(target.clone())) {
                    Err(fault) => fault.to_string(),
                    Ok(_) if targets.contains(&target) => String::new(),
                    Ok(_) if targets.len() == MAX_TARGETS => format!("more than {MAX_TARGETS}"),
                    Ok(_) => {
                        targets.push(target);
                        String::new()
                    }
                };
                if reason.is_empty() {
                    own += 1;
                } else {
                    // What stands in backquotes is the path of a key.
                    let reason = printable(reason).replace('`', "'");
                    let address = show(address);
                    note(
                        &mut remarks,
                        format_args!("track_ip '{address}': left out: {reason}."),
                    );
                }
            }
            tracked = tracked.max(interface.list("track_ip").count());
            left = left.max(own);
        }
        if targets.is_empty() {
            let remark = if tracked == 0 {
                "without track_ip mwan3 takes it to be always online; here it is probed, with the \
                 default targets."
            } else {
                "none of its track_ip is a target here: it is probed with the default targets."
            };
            section.remarks.push(remark.to_owned());
            section.remarks.append(&mut remarks);
            left = DEFAULT_TARGETS.len();
        } else {
            section.set("probe.targets", Setting::List(targets), &remarks.join("\n"));
        }
        if tracked > 0 {
            self.quorum(section, tracked, left);
        }
    }

    /// How many targets must answer, of so many that were tracked and are left.
    fn quorum(&self, section: &mut write::DraftSection, tracked: usize, left: usize) {
        let Some(reliability) = self.number("reliability") else {
            return;
        };
        let reliability = usize::try_from(reliability).unwrap_or(usize::MAX);
        let mut remark = self.cite("reliability");
        if self.interfaces.len() > 1 {
            remark += ", of each family";
        }
        remark += if reliability == 0 {
            ": at least 1 here."
        } else if reliability > tracked {
            ": more than its track_ip, so that mwan3 never takes it to be online; here all of them."
        } else if reliability > left {
            ": as many as are left."
        } else {
            "."
        };
        let quorum = reliability.clamp(1, left.max(1)).to_string();
        section.set("probe.quorum", Setting::Plain(quorum), &remark);
    }

    fn times(&self, section: &mut write::DraftSection) {
        let seconds = |option, most| self.number(option).map(|number: u32| number.clamp(1, most));
        if let Some(interval) = seconds("interval", 3600) {
            let remark = format!(
                "{}: of a round in mwan3, of a single probe here; the targets take turns.",
                self.cite("interval")
            );
            section.set("probe.interval", text(format!("{interval}s")), &remark);
            if interval > 30 {
                let window = (interval * 5).min(3600);
                let remark = "over which loss and latency are measured: several probes.";
                let window = text(format!("{window}s"));
                section.set("health.window", window, remark);
            }
        }
        if let Some(timeout) = seconds("timeout", 60) {
            let remark = format!(
                "{}: at most; the working time limit adapts to the link.",
                self.cite("timeout")
            );
            section.set("probe.timeout", text(format!("{timeout}s")), &remark);
        }
    }

    /// Loss and latency, which call an uplink offline in mwan3 and degraded here.
    fn quality(&self, section: &mut write::DraftSection) {
        let is_checked = self
            .interfaces
            .iter()
            .any(|one| one.is_set("check_quality"));
        if !is_checked {
            let set = QUALITY.iter().filter(|option| self.get(option).is_some());
            let set: Vec<_> = set.copied().collect();
            if !set.is_empty() {
                let names = join(&set);
                let remark = format!("{names}: without check_quality of no effect, left out.");
                section.remarks.push(remark);
            }
            return;
        }
        let remark = "check_quality '1': an uplink beyond these is offline in mwan3; here it is degraded, \
                      yields to a better one and is used where there is none.";
        section.remarks.push(remark.to_owned());
        let [latency, latency_exit, loss, loss_exit] = QUALITY;
        let enter = self.number(latency).unwrap_or(1000).clamp(2, 60_000);
        let exit = self.number(latency_exit).unwrap_or(500).min(enter - 1);
        let cite = |option| self.cite(option) + ".";
        let millis = |number: u32| text(format!("{number}ms"));
        section.set("health.latency.enter", millis(enter), &cite(latency));
        section.set("health.latency.exit", millis(exit), &cite(latency_exit));
        let enter = self.number(loss).unwrap_or(40).clamp(1, 100);
        let exit = self.number(loss_exit).unwrap_or(10).min(enter - 1);
        section.set("health.loss.enter", plain(enter), &cite(loss));
        section.set("health.loss.exit", plain(exit), &cite(loss_exit));
    }
}

const QUALITY: [&str; 4] = [
    "failure_latency",
    "recovery_latency",
    "failure_loss",
    "recovery_loss",
];

/// Options that have a setting, or a remark of their own; the first are each interface's own.
const MAPPED: [&str; 17] = [
    "enabled",
    "family",
    "track_ip",
    "track_method",
    "httping_ssl",
    "flush_conntrack",
    "reliability",
    "timeout",
    "interval",
    "up",
    "recovery_interval",
    "check_quality",
    "failure_latency",
    "recovery_latency",
    "failure_loss",
    "recovery_loss",
    "down",
];
const NOT_SHARED: usize = 6;

/// The others.
const NOTES: [(&str, &str); 6] = [
    (
        "initial_state",
        "no counterpart: after a start the routes go on as before until uplinks have answered, which \
         takes a second",
    ),
    (
        "count",
        "no counterpart: a probe is one packet, and how many misses are too many is weighed",
    ),
    ("size", "no counterpart: pings are small"),
    (
        "max_ttl",
        "no counterpart: probes have the system's usual limit",
    ),
    (
        "failure_interval",
        "differently: in doubt all targets are probed at once, every `probe.confirm_interval` (50ms)",
    ),
    (
        "keep_failure_interval",
        "no counterpart: an uplink that is down is probed after each tenth of the time for which it is down",
    ),
];

/// What becomes of flows, for all interfaces at once.
pub(super) fn flushes(links: &[Mwan3Link<'_>], remarks: &mut Vec<String>) {
    let flushing = links.iter().flat_map(|link| &link.interfaces);
    let flushing: Vec<_> = flushing
        .filter(|one| one.list("flush_conntrack").any(|action| action != "never"))
        .collect();
    let remark = match flushing.as_slice() {
        [] => {
            "flush_conntrack is not set, so mwan3 leaves flows on the interface where they began; \
             here those of an uplink that fails are ended, so that they begin anew elsewhere, unless \
             `routing.flows` is \"keep\"."
                .to_owned()
        }
        [first, ..] => {
            let names: Vec<_> = flushing.iter().filter_map(|one| one.name.as_deref()).collect();
            format!(
                "{} ({}): differently: only the flows of the uplink that is left are ended \
                 (`routing.flows`), never all.",
                first.cite("flush_conntrack"),
                join(&names)
            )
        }
    };
    remarks.push(remark);
}

/// How long an interface must have answered to be used again, which is a property of the choice here,
/// and how long it must not have.
pub(super) fn verdicts(
    links: &[Mwan3Link<'_>],
    globals: &mut write::DraftSection,
    remarks: &mut Vec<String>,
) {
    let interfaces = || links.iter().flat_map(|link| &link.interfaces);
    let says_up = |one: &&&UciSection| {
        ["up", "recovery_interval"]
            .iter()
            .any(|name| one.get(name).is_some())
    };
    let wait = |one: &UciSection| {
        let interval = one.number("interval").unwrap_or(10);
        let interval = one.number("recovery_interval").unwrap_or(interval);
        one.number("up").unwrap_or(5).saturating_mul(interval)
    };
    let longest = interfaces().filter(says_up).map(|one| wait(one)).max();
    if let Some(seconds) = longest {
        let remark = "up times recovery_interval, the most of any interface: after that much mwan3 sends \
                      traffic there again.";
        let seconds = text(format!("{}s", seconds.min(24 * 3600)));
        globals.set("failover.failback_after", seconds, remark);
    }
    let counting: Vec<_> = interfaces()
        .filter(|one| one.get("down").is_some())
        .collect();
    if let [first, ..] = counting.as_slice() {
        note(
            remarks,
            format_args!(
                "{}: differently: an outage is not counted out but weighed against how the link usually \
             loses, `health.sensitivity`, and never lasts longer than `health.outage_within`.",
                first.cite("down")
            ),
        );
    }
}
