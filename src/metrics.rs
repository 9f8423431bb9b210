//! Metrics: what the agent counts, and the text that Prometheus reads of it.
//!
//! [`Meters`] counts what the loop hands it; [`text`] writes that and the status in the text format,
//! version 0.0.4. Both are pure. A value that is not known has no sample.

mod exposition;
mod histogram;
mod meters;

use std::time::SystemTime;

use crate::engine::event::EventKind;
use crate::engine::event::drill::DrillResult;
use crate::engine::state::State;
use crate::engine::status::{RoutesState, Status, UplinkStatus};
use crate::units::sorted::SortedMap;
use crate::units::{Bytes, Counters, Moment, Timestamp, UplinkName, Wall};
use exposition::{Exposition, Labels, MetricKind, MetricSamples};
pub use meters::{Meters, ProbeCounts};
use meters::{ProbeResult, TargetMeters};

/// All that metrics are written of.
#[derive(Clone, Debug)]
pub struct MetricsSnapshot {
    /// The status.
    pub status: Status,
    /// What was counted.
    pub meters: Meters,
    /// The traffic of the interfaces of uplinks, as far as it is known.
    pub traffic: SortedMap<UplinkName, Counters>,
    /// How often the kernel had more events than its buffer holds.
    pub overruns: u32,
    /// Translates times.
    pub wall: Wall,
}

/// The media type of the text.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The text of all metrics.
pub fn text(snapshot: &MetricsSnapshot) -> String {
    let mut text = Exposition::default();
    agent(&mut text, snapshot);
    uplinks(&mut text, &snapshot.status);
    traffic(&mut text, &snapshot.traffic);
    probes(&mut text, &snapshot.meters);
    switches(&mut text, snapshot);
    drills(&mut text, snapshot);
    text.into_text()
}

fn agent(text: &mut Exposition, snapshot: &MetricsSnapshot) {
    let MetricsSnapshot { status, meters, .. } = snapshot;
    text.metric(
        MetricKind::Gauge,
        "uplinkd_build_info",
        "The version of the agent; always 1.",
        |samples| samples.add(&[("version", &status.version)], 1),
    );
    text.metric(
        MetricKind::Gauge,
        "uplinkd_start_timestamp_seconds",
        "When the agent started.",
        |samples| samples.add(&[], seconds(snapshot.wall.at(Moment::START))),
    );
    text.metric(
        MetricKind::Gauge,
        "uplinkd_config_last_reload_successful",
        "Whether the last reload of the configuration was accepted.",
        |samples| samples.add(&[], u8::from(!meters.is_reload_refused)),
    );
    text.metric(
        MetricKind::Gauge,
        "uplinkd_config_last_reload_success_timestamp_seconds",
        "Since when the configuration in force has been.",
        |samples| samples.add(&[], seconds(snapshot.wall.at(meters.configured))),
    );
    text.metric(
        MetricKind::Gauge,
        "uplinkd_routes_state",
        "Whether the kernel holds what was decided: 1 for the state that it is in.",
        |samples| {
            for state in ROUTES_STATES {
                let is_in = u8::from(state == status.routes);
                samples.add(&[("state", routes_word(state))], is_in);
            }
        },
    );
    text.metric(
        MetricKind::Counter,
        "uplinkd_netlink_overruns_total",
        "How often the kernel had more events than its buffer holds; a full look follows each.",
        |samples| samples.add(&[], snapshot.overruns),
    );
    text.metric(
        MetricKind::Counter,
        "uplinkd_events_total",
        "Events by name.",
        |samples| {
            for kind in EventKind::ALL {
                let count = meters.events(*kind);
                samples.add(&[("event", kind.name())], count);
            }
        },
    );
}

/// A metric of which each uplink has a sample at most.
type OfUplink = (&'static str, &'static str, fn(&UplinkStatus) -> Option<f64>);

const OF_UPLINKS: &[OfUplink] = &[
    (
        "uplinkd_uplink_up",
        "Whether the uplink is usable: up or degraded. Without a sample while that is not known.",
        |uplink| is_up(uplink.state).map(|is_up| f64::from(u8::from(is_up))),
    ),
    (
        "uplinkd_uplink_active",
        "Whether the uplink carries traffic.",
        |uplink| Some(f64::from(u8::from(uplink.active))),
    ),
    (
        "uplinkd_uplink_score",
        "How good the uplink is, from 0 to 100.",
        |uplink| uplink.score.map(|score| f64::from(score.0)),
    ),
    (
        "uplinkd_uplink_loss_ratio",
        "The share of lost probes in the window.",
        |uplink| uplink.loss_percent.map(|percent| rounded(percent / 100.0)),
    ),
    (
        "uplinkd_uplink_jitter_seconds",
        "The jitter (RFC 3550) in the window.",
        |uplink| uplink.jitter_ms.map(|millis| rounded(millis / 1000.0)),
    ),
    (
        "uplinkd_uplink_since_timestamp_seconds",
        "Since when the uplink is in its state.",
        |uplink| Some(seconds(uplink.since)),
    ),
    (
        "uplinkd_uplink_suppressed",
        "Whether the uplink keeps falling and does not take traffic back for a while.",
        |uplink| Some(f64::from(u8::from(uplink.suppressed_until.is_some()))),
    ),
    (
        "uplinkd_uplink_allowance_bytes",
        "What may go through the uplink in a period, if that is limited.",
        |uplink| Some(bytes(uplink.allowance?.limit_bytes)),
    ),
    (
        "uplinkd_uplink_allowance_used_bytes",
        "What of it has.",
        |uplink| Some(bytes(uplink.allowance?.used_bytes)),
    ),
];

fn uplinks(text: &mut Exposition, status: &Status) {
    text.metric(
        MetricKind::Gauge,
        "uplinkd_uplink_info",
        "The interface and the tier of the uplink; always 1.",
        |samples| {
            for uplink in &status.uplinks {
                let tier = uplink.tier.to_string();
                let labels: Labels<'_> = &[
                    ("uplink", uplink.name.as_str()),
                    ("interface", uplink.interface.as_str()),
                    ("tier", &tier),
                ];
                samples.add(labels, 1);
            }
        },
    );
    text.metric(
        MetricKind::Gauge,
        "uplinkd_uplink_state",
        "The state of the uplink: 1 for the state that it is in.",
        |samples| {
            for uplink in &status.uplinks {
                for state in State::ALL {
                    let is_in = u8::from(state == uplink.state);
                    let uplink = ("uplink", uplink.name.as_str());
                    samples.add(&[uplink, ("state", state.as_str())], is_in);
                }
            }
        },
    );
    for (name, help, value) in OF_UPLINKS {
        text.metric(MetricKind::Gauge, name, help, |samples| {
            for uplink in &status.uplinks {
                samples.add_known(&[("uplink", uplink.name.as_str())], value(uplink));
            }
        });
    }
}

fn traffic(text: &mut Exposition, traffic: &SortedMap<UplinkName, Counters>) {
    let add = |samples: &mut MetricSamples<'_>, bytes: fn(&Counters) -> u64| {
        for (uplink, counters) in traffic {
            samples.add(&[("uplink", uplink.as_str())], bytes(counters));
        }
    };
    text.metric(
        MetricKind::Counter,
        "uplinkd_uplink_receive_bytes_total",
        "Bytes that the interface of the uplink has received.",
        |samples| add(samples, |counters| counters.rx_bytes),
    );
    text.metric(
        MetricKind::Counter,
        "uplinkd_uplink_transmit_bytes_total",
        "Bytes that the interface of the uplink has sent.",
        |samples| add(samples, |counters| counters.tx_bytes),
    );
}

fn probes(text: &mut Exposition, meters: &Meters) {
    let of_targets = |samples: &mut MetricSamples<'_>, count: fn(&TargetMeters) -> u64| {
        for (uplink, of_uplink) in &meters.uplinks {
            for (target, of_target) in &of_uplink.targets {
                let target = target.to_string();
                let labels: Labels<'_> = &[("uplink", uplink.as_str()), ("target", &target)];
                samples.add(labels, count(of_target));
            }
        }
    };
    text.metric(
        MetricKind::Counter,
        "uplinkd_probes_sent_total",
        "Probes that left this machine and whose result is known.",
        |samples| of_targets(samples, TargetMeters::sent),
    );
    text.metric(
        MetricKind::Counter,
        "uplinkd_probes_answered_total",
        "Probes that were answered as they should be.",
        |samples| of_targets(samples, |target| target.of(ProbeResult::Reply)),
    );
    text.metric(
        MetricKind::Counter,
        "uplinkd_probes_total",
        "Probes by their result.",
        |samples| {
            for (uplink, of_uplink) in &meters.uplinks {
                for (target, of_target) in &of_uplink.targets {
                    add_results(samples, uplink, &target.to_string(), of_target);
                }
            }
        },
    );
    text.metric(
        MetricKind::Counter,
        "uplinkd_probe_bytes_total",
        "Bytes that the probes of the uplink, and the streams of drills, put on the wire at most, both ways.",
        |samples| {
            for (uplink, of_uplink) in &meters.uplinks {
                samples.add(&[("uplink", uplink.as_str())], of_uplink.probe_bytes);
            }
        },
    );
    text.metric(
        MetricKind::Histogram,
        "uplinkd_uplink_rtt_seconds",
        "Round trips of the probes of the uplink.",
        |samples| {
            for (uplink, of_uplink) in &meters.uplinks {
                samples.add_histogram(&[("uplink", uplink.as_str())], &of_uplink.rtt);
            }
        },
    );
}

/// The results that a target has had, and the two that each may have.
fn add_results(
    samples: &mut MetricSamples<'_>,
    uplink: &UplinkName,
    target: &str,
    of_target: &TargetMeters,
) {
    for result in ProbeResult::ALL {
        let is_usual = matches!(result, ProbeResult::Reply | ProbeResult::Lost);
        let count = of_target.of(result);
        if is_usual || count > 0 {
            let labels: Labels<'_> = &[
                ("uplink", uplink.as_str()),
                ("target", target),
                ("result", result.as_str()),
            ];
            samples.add(labels, count);
        }
    }
}

fn switches(text: &mut Exposition, snapshot: &MetricsSnapshot) {
    let MetricsSnapshot { status, meters, .. } = snapshot;
    text.metric(
        MetricKind::Counter,
        "uplinkd_switches_total",
        "Switches by the uplinks that carried the traffic and that carry it, and the class of the reason.",
        |samples| {
            for (series, count) in &meters.switches {
                let labels = [
                    ("from", &*series.from),
                    ("to", &*series.to),
                    ("reason", series.cause.as_str()),
                ];
                let group = series.group.as_ref();
                let group = group.map(|group| ("group", group.as_str()));
                let labels: Vec<_> = labels.into_iter().chain(group).collect();
                samples.add(&labels, count);
            }
        },
    );
    text.metric(
        MetricKind::Counter,
        "uplinkd_soft_switches_total",
        "How often new connections left an uplink in doubt; not counted as switches.",
        |samples| samples.add(&[], meters.soft_switches),
    );
    text.metric(
        MetricKind::Histogram,
        "uplinkd_switch_duration_seconds",
        "From the decision to switch until the routes were read back from the kernel.",
        |samples| samples.add_histogram(&[], &meters.switch_duration),
    );
    text.metric(
        MetricKind::Histogram,
        "uplinkd_switch_recovery_seconds",
        "Of switches from an uplink that is down: from the first probe that was not answered until the routes were read back.",
        |samples| samples.add_histogram(&[], &meters.switch_recovery),
    );
    text.metric(
        MetricKind::Gauge,
        "uplinkd_last_switch_timestamp_seconds",
        "When traffic of the default group last moved.",
        |samples| {
            let switch = status.last_switch.as_ref();
            samples.add_known(&[], switch.map(|switch| seconds(switch.at)));
        },
    );
}

fn drills(text: &mut Exposition, snapshot: &MetricsSnapshot) {
    let uplinks = || {
        let uplinks = snapshot.meters.uplinks.iter();
        uplinks.map(|(uplink, meters)| (uplink.as_str(), &meters.drills))
    };
    text.metric(
        MetricKind::Counter,
        "uplinkd_drills_total",
        "Failover tests by their result.",
        |samples| {
            for (uplink, drills) in uplinks() {
                for (result, count) in DrillResult::ALL.iter().zip(drills.results) {
                    samples.add(&[("uplink", uplink), ("result", result.as_str())], count);
                }
            }
        },
    );
    text.metric(
        MetricKind::Gauge,
        "uplinkd_last_drill_timestamp_seconds",
        "When the last failover test was over that passed or failed.",
        |samples| {
            for (uplink, drills) in uplinks() {
                samples.add_known(&[("uplink", uplink)], drills.last.map(seconds));
            }
        },
    );
    text.metric(
        MetricKind::Gauge,
        "uplinkd_next_drill_timestamp_seconds",
        "When the next failover test by schedule is due; without a sample where none is.",
        |samples| samples.add_known(&[], snapshot.status.drill.next.map(seconds)),
    );
    text.metric(
        MetricKind::Gauge,
        "uplinkd_last_drill_recovery_seconds",
        "The recovery time of that test.",
        |samples| {
            for (uplink, drills) in uplinks() {
                let recovery = drills.recovery_ms.map(|ms| f64::from(ms) / 1000.0);
                samples.add_known(&[("uplink", uplink)], recovery);
            }
        },
    );
}

/// Whether an uplink of this state is usable, if that is known.
const fn is_up(state: State) -> Option<bool> {
    match state {
        State::Up | State::Degraded => Some(true),
        State::Down | State::Recovering | State::Disabled | State::Absent => Some(false),
        State::Unknown | State::Cold => None,
    }
}

const ROUTES_STATES: [RoutesState; 6] = [
    RoutesState::InPlace,
    RoutesState::Pending,
    RoutesState::Refused,
    RoutesState::Contested,
    RoutesState::Overruled,
    RoutesState::Observing,
];

/// The word of the status.
const fn routes_word(state: RoutesState) -> &'static str {
    match state {
        RoutesState::InPlace => "in_place",
        RoutesState::Pending => "pending",
        RoutesState::Refused => "refused",
        RoutesState::Contested => "contested",
        RoutesState::Overruled => "overruled",
        RoutesState::Observing => "observing",
    }
}

/// Seconds since 1970, whole: clocks that are read twice differ by less.
fn seconds(time: Timestamp) -> f64 {
    let since = time.0.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64().floor()
}

#[expect(clippy::cast_precision_loss, reason = "petabytes are exact")]
fn bytes(bytes: Bytes) -> f64 {
    bytes.0 as f64
}

/// Without the noise of a division.
fn rounded(value: f64) -> f64 {
    (value * 1e7).round() / 1e7
}
