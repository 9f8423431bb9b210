//! What several tests need: settings at their defaults and a small world.

use std::time::{Duration, UNIX_EPOCH};

use uplinkd::config::{Config, defaults};
use uplinkd::engine::event::{Event, Side};
use uplinkd::engine::settings::{GroupSettings, Policy, ProbeSettings, RuleSettings, Settings};
use uplinkd::routing::traffic::Selector;
use uplinkd::units::{Moment, UplinkName, Wall};

pub(crate) fn name(text: &str) -> UplinkName {
    text.parse().expect("a name")
}

pub(crate) fn at(seconds: f64) -> Moment {
    Moment::after_start(Duration::from_secs_f64(seconds))
}

/// So many uplinks, each of a tier of its own, as a configuration at its defaults makes them.
pub(crate) fn settings(uplinks: &[&str]) -> Settings {
    let targets = "probe.targets = [\"192.0.2.1\", \"198.51.100.1\", \"203.0.113.1\"]\n";
    let uplinks = (1..).zip(uplinks).map(|(tier, uplink)| {
        format!("[[uplink]]\nname = \"{uplink}\"\ninterface = \"eth{tier}\"\ntier = {tier}\n")
    });
    let text: String = [targets.to_owned()].into_iter().chain(uplinks).collect();
    let config = Config::parse(&text, "uplinkd.toml").expect("a configuration");
    Settings {
        seed: 1,
        ..config.engine
    }
}

/// A group and its rule, as a configuration at its defaults makes them.
fn voice() -> (GroupSettings, RuleSettings) {
    let text = "[[uplink]]\nname = \"a\"\ninterface = \"eth1\"\ntier = 1\n\
                [[group]]\nname = \"voice\"\nuplinks = [\"a\"]\n\
                [[rule]]\ngroup = \"voice\"\nprotocol = \"udp\"\n";
    let config = Config::parse(text, "uplinkd.toml").expect("a configuration");
    let (mut groups, mut rules) = (config.engine.groups, config.engine.rules);
    (groups.remove(0), rules.remove(0))
}

pub(crate) fn group(group: &str, policy: Policy, uplinks: Vec<UplinkName>) -> GroupSettings {
    let (mut settings, _) = voice();
    settings.name = group.parse().expect("a name");
    settings.policy = policy;
    settings.uplinks = uplinks;
    settings
}

pub(crate) fn rule(group: &str, traffic: Selector) -> RuleSettings {
    let (_, mut settings) = voice();
    settings.group = group.parse().expect("a name");
    settings.traffic = traffic;
    settings
}

pub(crate) fn probe(targets: &[&str]) -> ProbeSettings {
    let targets = targets.iter().map(|target| target.parse());
    ProbeSettings {
        targets: targets.collect::<Result<_, _>>().expect("targets"),
        ..defaults::probe()
    }
}

/// Events in short: `uplink.down fiber`, `switch fiber -> lte` or `switch voice: IPv6: fiber -> lte`.
pub(crate) fn brief(events: &[Event]) -> Vec<String> {
    events.iter().map(line).collect()
}

pub(crate) fn line(event: &Event) -> String {
    let record = event.record(Wall::reading(UNIX_EPOCH, event.at));
    let group = record.group.map(|group| format!("{group}: "));
    let family = record.family.map(|family| format!("{family}: "));
    let uplink = record.uplink.map(|uplink| uplink.to_string());
    let uplinks = match (record.from, record.to) {
        (Some(Side::Uplinks(from)), Some(Side::Uplinks(to))) => {
            Some(format!("{} -> {}", names(&from), names(&to)))
        }
        _ => None,
    };
    let what: String = [group, family, uplink, uplinks]
        .into_iter()
        .flatten()
        .collect();
    format!("{} {what}", record.event).trim_end().to_owned()
}

pub(crate) fn names(names: &[UplinkName]) -> String {
    let names: Vec<_> = names.iter().map(UplinkName::as_str).collect();
    names.join(",")
}

/// When the first event of that short form happened.
pub(crate) fn when(events: &[Event], brief: &str) -> Option<f64> {
    events
        .iter()
        .find(|event| line(event) == brief)
        .map(|event| event.at.since_start().as_secs_f64())
}
