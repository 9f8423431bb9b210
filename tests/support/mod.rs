//! What several tests need: settings at their defaults and a small world.

use std::time::Duration;

use uplinkd::engine::event::{Change, Event};
use uplinkd::engine::settings::{
    Band, BestSettings, DampingSettings, Failback, FailoverSettings, HealthSettings, Policy,
    ProbeSettings, ScoreBand, Settings, Standby, UplinkSettings,
};
use uplinkd::routing::{Gateway, Numbering, Prefixes};
use uplinkd::units::{Loss, Moment, Tier, UplinkName, Weight};

pub(crate) fn name(text: &str) -> UplinkName {
    text.parse().expect("a name")
}

pub(crate) fn at(seconds: f64) -> Moment {
    Moment::after_start(Duration::from_secs_f64(seconds))
}

pub(crate) fn settings(uplinks: &[&str]) -> Settings {
    Settings {
        uplinks: (1..)
            .zip(uplinks)
            .map(|(tier, uplink)| UplinkSettings {
                name: name(uplink),
                interface: format!("eth{tier}").parse().expect("a name"),
                tier: Tier(tier),
                weight: Weight(1),
                gateway: Gateway::Auto,
                gateway6: Gateway::Auto,
                prefixes: Prefixes::Auto,
                probe_budget: None,
                standby: Standby::default(),
                probe: probe(&["192.0.2.1", "198.51.100.1", "203.0.113.1"]),
                health: health(),
            })
            .collect(),
        failover: FailoverSettings {
            policy: Policy::Failover,
            failback: Failback::Auto,
            failback_after: Duration::from_secs(60),
            best: BestSettings::default(),
            damping: DampingSettings::default(),
        },
        groups: Vec::new(),
        rules: Vec::new(),
        numbering: Numbering::default(),
        seed: 1,
    }
}

pub(crate) fn probe(targets: &[&str]) -> ProbeSettings {
    ProbeSettings {
        targets: targets
            .iter()
            .map(|target| target.parse().expect("a target"))
            .collect(),
        resolvers: Vec::new(),
        quorum: 1,
        interval: Duration::from_secs(1),
        standby_interval: Duration::from_secs(5),
        confirm_interval: Duration::from_millis(50),
        timeout: Duration::from_secs(1),
    }
}

pub(crate) fn health() -> HealthSettings {
    HealthSettings {
        switch_cost: Duration::from_secs(2),
        outage_within: Duration::from_secs(10),
        recover_after: Duration::from_secs(3),
        window: Duration::from_secs(30),
        loss: Band {
            enter: Loss::from_percent(20.0),
            exit: Loss::from_percent(5.0),
        },
        latency: Band {
            enter: Duration::from_millis(500),
            exit: Duration::from_millis(300),
        },
        jitter: Band {
            enter: Duration::from_millis(100),
            exit: Duration::from_millis(50),
        },
        score: ScoreBand::default(),
        dwell: Duration::from_secs(10),
    }
}

/// Events in short: `12.345 uplink.down fiber` or `12.345 switch fiber -> lte`.
pub(crate) fn brief(events: &[Event]) -> Vec<String> {
    events.iter().map(line).collect()
}

pub(crate) fn line(event: &Event) -> String {
    let what = match &event.change {
        Change::Uplink { uplink, .. }
        | Change::Flap { uplink, .. }
        | Change::Standby { uplink, .. }
        | Change::Prefix { uplink, .. }
        | Change::Stranded { uplink, .. }
        | Change::Drained { uplink, .. } => uplink.to_string(),
        Change::Target { uplink, .. } => uplink
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        Change::Switch { group, from, to } => {
            let group = group.as_ref().map(|group| format!("{group}: "));
            let group = group.unwrap_or_default();
            format!("{group}{} -> {}", names(from), names(to))
        }
        Change::NoUsableUplink
        | Change::MachineStalled
        | Change::MachineRefuses { .. }
        | Change::ConfigReloaded
        | Change::ConfigRefused => String::new(),
    };
    format!("{} {what}", event.change.kind())
        .trim_end()
        .to_owned()
}

fn names(names: &[UplinkName]) -> String {
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
