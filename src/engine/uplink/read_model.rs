//! An uplink in figures, as it is shown.

use std::time::Duration;

use super::evidence::Evidence;
use super::health::Phase;
use super::monitor::UplinkMonitor;
use super::purse::Purse;
use crate::engine::detection_time::{Learnt, Rhythm};
use crate::engine::outage::Demand;
use crate::engine::round::losses_of_a_failure;
use crate::engine::score::score;
use crate::engine::settings::Flows;
use crate::engine::status::{AllowanceStatus, PastOutage, UplinkFigures, UplinkStatus, Waits};
use crate::engine::target::TargetTrack;
use crate::engine::wording::{millis, tenths};
use crate::routing::{Attachment, Family};
use crate::units::{Loss, Moment, Score, Wall};

/// The part of an uplink in the choice: what the status shows of it beside its own state.
#[derive(Clone, Debug)]
pub struct UplinkPart {
    /// The families of which it carries the traffic.
    pub carries: Vec<Family>,
    /// It carries traffic of some group.
    pub is_active: bool,
    /// The penalty of flap damping.
    pub penalty: f64,
    /// Until when it does not take the traffic back.
    pub suppressed_until: Option<Moment>,
    /// Why it does not carry although it is well and preferred.
    pub waits: Option<Waits>,
    /// What becomes of its flows when it is left while it is healthy.
    pub flows_on_failback: Flows,
    /// Until when flows stay there at most, if the traffic has left them there.
    pub flows_until: Option<Moment>,
    /// What is used of its allowance, if it has one.
    pub allowance: Option<AllowanceStatus>,
}

/// The read model. `wall` translates times.
pub(super) fn status(
    monitor: &UplinkMonitor,
    attachment: &Attachment,
    part: UplinkPart,
    wall: Wall,
) -> UplinkStatus {
    let UplinkMonitor {
        settings,
        health,
        targets,
        evidence,
        next_hops,
        pacer,
        ..
    } = monitor;
    let families = attachment.paths.keys().copied();
    let (families, broken) = families.partition(|of| !evidence.families.is_broken(*of));
    let (figures, loss) = figures(monitor, attachment, false);
    let (learner, demand) = (evidence.outage.learnt(), Demand::of(settings));
    UplinkStatus {
        name: settings.name.clone(),
        interface: settings.interface.clone(),
        tier: settings.tier,
        weight: settings.weight,
        state: figures.state,
        active: part.is_active,
        score: figures.score,
        loss_percent: loss.map(|loss| tenths(loss.percent())),
        rtt_ms: figures.rtt_ms,
        rtt_p95_ms: figures.rtt_p95_ms,
        jitter_ms: figures.jitter_ms,
        since: wall.at(health.since()),
        reason: reason(monitor),
        last_outage: health.last_outage().map(|outage| PastOutage {
            began: wall.at(outage.began),
            ended: wall.at(outage.ended),
        }),
        in_doubt: evidence.outage.is_suspected(),
        in_drill: false,
        broken_at: None,
        penalty: tenths(part.penalty),
        suppressed_until: part.suppressed_until.map(|until| wall.at(until)),
        waits: part.waits,
        flows_on_failback: part.flows_on_failback,
        flows_until: part.flows_until.map(|until| wall.at(until)),
        families,
        broken,
        carries: part.carries,
        learnt: Some(
            Learnt::new(learner, demand, &rhythm(monitor))
                .with_cycle(evidence.outage.cycle(demand)),
        ),
        targets: targets.iter().map(TargetTrack::status).collect(),
        next_hops: next_hops.status(),
        probe_budget: pacer.purse().map(Purse::status),
        allowance: part.allowance,
    }
}

/// What samples take, and the loss.
pub(super) fn figures(
    monitor: &UplinkMonitor,
    attachment: &Attachment,
    is_carrying: bool,
) -> (UplinkFigures, Option<Loss>) {
    let UplinkMonitor {
        settings,
        health,
        targets,
        evidence,
        ..
    } = monitor;
    let (loss, rtt, jitter) = delays_and_loss(monitor, attachment);
    let score = match (health.phase(), loss, rtt) {
        (Phase::Down | Phase::Absent, _, _) => Some(Score(0)),
        (_, Some(loss), Some(rtt)) => Some(score(loss, rtt, jitter.unwrap_or_default())),
        (_, Some(_) | None, _) => None,
    };
    let figures = UplinkFigures {
        name: settings.name.clone(),
        state: health.shown_state(evidence.families.complaint()),
        in_drill: false,
        is_carrying,
        score,
        rtt_ms: rtt.map(millis),
        rtt_p95_ms: rtt.and_then(|_| targets.rtt_p95()).map(millis),
        jitter_ms: jitter.map(millis),
    };
    (figures, loss)
}

/// Why it is shown in its state, and what else is wrong with it.
fn reason(monitor: &UplinkMonitor) -> String {
    let Evidence {
        families, refusals, ..
    } = &monitor.evidence;
    let mut reason = monitor.health.shown_reason(families.complaint());
    let unasked = refusals.reason();
    let unasked = unasked.map(|why| format!("cannot be probed: {why}"));
    for also in families
        .remark()
        .map(str::to_owned)
        .into_iter()
        .chain(unasked)
    {
        reason = format!("{reason}; {also}");
    }
    reason
}

/// What was measured before an outage says nothing about the uplink during it.
fn delays_and_loss(
    monitor: &UplinkMonitor,
    attachment: &Attachment,
) -> (Option<Loss>, Option<Duration>, Option<Duration>) {
    let targets = &monitor.targets;
    let broken = monitor.evidence.families.broken();
    let measured = || (targets.loss(broken), targets.rtt(), targets.jitter());
    match monitor.health.phase() {
        Phase::Down if monitor.is_captive() => measured(),
        Phase::Down if attachment.trouble.is_none() => (Some(Loss::from_ratio(1.0)), None, None),
        Phase::Down | Phase::Absent | Phase::Cold => (None, None, None),
        Phase::Unknown | Phase::Up | Phase::Degraded | Phase::Recovering(_) => measured(),
    }
}

/// How its rounds follow each other.
fn rhythm(monitor: &UplinkMonitor) -> Rhythm<impl Fn(Duration) -> Duration> {
    let UplinkMonitor {
        settings,
        targets,
        evidence,
        pacer,
        ..
    } = monitor;
    let probe = &settings.probe;
    let groups = targets.askable(|family| evidence.families.is_broken(family));
    let asked = groups.iter().map(|group| group.len());
    let asked = asked.filter(|asked| *asked > 0);
    let losses = |asked| losses_of_a_failure(asked, probe.quorum);
    let deadlines = groups.iter().flat_map(|group| group.iter());
    let deadlines = deadlines.map(|place| targets.at(place).deadline(probe.timeout));
    Rhythm {
        steady: pacer.routine_spacing(probe),
        confirm: |silence| pacer.confirm_spacing(silence, probe),
        deadline: deadlines.max().unwrap_or(probe.timeout),
        losses: [
            asked
                .clone()
                .map(|asked| losses(asked.min(probe.quorum)))
                .min()
                .unwrap_or(1),
            asked.map(losses).sum(),
        ],
    }
}
