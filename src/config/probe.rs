//! `[probe]` and `[uplink.probe]`: how an uplink is probed.

use std::net::Ipv4Addr;

use super::addresses::RESOLVER;
use super::error::Fault;
use super::kinds::{DurationRange, show, whole};
use super::section::Section;
use super::targets::TARGET;
use super::times::{HOUR, ms, secs};
use crate::engine::settings::ProbeSettings;
use crate::units::Target;

/// All targets are probed at once in doubt.
pub(super) const MAX_TARGETS: usize = 16;
/// They are queried one after the other.
const MAX_RESOLVERS: usize = 8;

/// What the section says; the rest as in `common`, or else the defaults.
pub(super) fn read(section: &Section<'_>, common: Option<&ProbeSettings>) -> ProbeSettings {
    let or = |own, of: fn(&ProbeSettings) -> _| common.map_or(own, of);
    let mut probe = ProbeSettings {
        targets: section.list(
            "targets",
            &TARGET,
            common.map_or_else(targets, |common| common.targets.clone()),
        ),
        resolvers: section.list(
            "resolvers",
            &RESOLVER,
            common.map_or_else(Vec::new, |common| common.resolvers.clone()),
        ),
        quorum: section.read(
            "quorum",
            &whole(&[(1, 16)], |count: usize| count),
            common.map_or(1, |common| common.quorum),
        ),
        interval: section.read(
            "interval",
            &DurationRange(ms(50)..=HOUR),
            or(secs(1), |common| common.interval),
        ),
        // A fifth of the probes, and an outage is still known within seconds before the uplink is
        // needed; what happens between two probes is found when the traffic may move there.
        standby_interval: section.read(
            "standby_interval",
            &DurationRange(ms(50)..=HOUR),
            or(secs(5), |common| common.standby_interval),
        ),
        confirm_interval: section.read(
            "confirm_interval",
            &DurationRange(ms(20)..=secs(60)),
            or(ms(50), |common| common.confirm_interval),
        ),
        timeout: section.read(
            "timeout",
            &DurationRange(ms(10)..=secs(60)),
            or(secs(1), |common| common.timeout),
        ),
    };
    check_counts(section, &probe);
    check_confirm_interval(section, &mut probe);
    check_standby_interval(section, &mut probe);
    probe
}

/// Three resolvers of three operators, each reached by anycast: no single failure among them looks like
/// one of the uplink. With one of them enough, a filtered target changes nothing.
pub(super) const DEFAULT_TARGETS: [[u8; 4]; 3] = [[1, 1, 1, 1], [8, 8, 8, 8], [9, 9, 9, 9]];

fn targets() -> Vec<Target> {
    let targets = DEFAULT_TARGETS.map(|octets| Target::Icmp(Ipv4Addr::from(octets).into()));
    targets.into()
}

fn check_counts(section: &Section<'_>, probe: &ProbeSettings) {
    let count = probe.targets.len();
    let is_countable = (1..=MAX_TARGETS).contains(&count);
    let targets = || format!("{count} targets");
    if !is_countable && section.has("targets") {
        let bound = format!("1 to {MAX_TARGETS}");
        section.refuse("targets", Fault::value(targets(), bound));
    } else if probe.quorum > count && section.has("quorum") {
        let bound = format!("1 to the number of targets, {count}");
        section.refuse("quorum", Fault::value(probe.quorum, bound));
    } else if probe.quorum > count && section.has("targets") {
        let bound = format!("at least the quorum of {}", probe.quorum);
        section.refuse("targets", Fault::value(targets(), bound));
    }
    let count = probe.resolvers.len();
    if count > MAX_RESOLVERS && section.has("resolvers") {
        let bound = format!("at most {MAX_RESOLVERS}");
        section.refuse(
            "resolvers",
            Fault::value(format!("{count} resolvers"), bound),
        );
    }
}

/// In doubt probes are never rarer than otherwise. A shorter interval shortens this one with it.
fn check_confirm_interval(section: &Section<'_>, probe: &mut ProbeSettings) {
    if probe.confirm_interval > probe.interval && section.has("confirm_interval") {
        let bound = format!("at most `interval`, {}", show(probe.interval));
        let fault = Fault::value(show(probe.confirm_interval), bound);
        section.refuse("confirm_interval", fault);
    }
    probe.confirm_interval = probe.confirm_interval.min(probe.interval);
}

/// A standby is never probed faster than the active uplink. A longer interval lengthens this one with
/// it.
fn check_standby_interval(section: &Section<'_>, probe: &mut ProbeSettings) {
    if probe.standby_interval < probe.interval && section.has("standby_interval") {
        let bound = format!("at least `interval`, {}", show(probe.interval));
        let fault = Fault::value(show(probe.standby_interval), bound);
        section.refuse("standby_interval", fault);
    }
    probe.standby_interval = probe.standby_interval.max(probe.interval);
}
