//! An uplink goes on by another of its next hops.

use super::link::UplinkLink;
use super::monitor::UplinkMonitor;
use super::next_hops::HopCause;
use crate::engine::event::Change;
use crate::engine::outage::Demand;
use crate::engine::quality::Quality;
use crate::units::Moment;

/// Goes on by the next hops that were found to answer, if any were: the routes follow, what the one before did
/// not answer is no evidence any more, and what the new one has answered is. One that is tried has answered
/// nothing yet.
pub(super) fn follow(link: &mut UplinkLink, monitor: &mut UplinkMonitor, now: Moment) {
    let Some(turn) = monitor.next_hops.take_turn() else {
        return;
    };
    for moved in &turn.moved {
        if let Some(path) = link.attachment.paths.get_mut(&moved.family) {
            *path = moved.to.clone();
        }
    }
    monitor.attach(&link.attachment, now);
    monitor.reports.changed();
    if matches!(turn.cause, HopCause::Trial) {
        return monitor.probe_soon(now);
    }
    let (settings, evidence) = (&monitor.settings, &mut monitor.evidence);
    evidence.forget_traffic();
    for answered in turn.moved.iter().filter_map(|moved| moved.answered) {
        evidence.heard(answered);
    }
    let is_whole = matches!(turn.cause, HopCause::SilentUplink(_));
    if is_whole {
        evidence.outage.interrupt();
        evidence.quality = Quality::from(&settings.health, now);
    }
    let (demand, trust_after) = (Demand::of(settings), settings.health.recover_after);
    for moved in &turn.moved {
        let Some(answered) = moved.answered else {
            continue;
        };
        if is_whole {
            evidence.outage.answered(answered, demand);
        }
        (evidence.families).answered(moved.family, answered, now, demand, trust_after);
    }
    let change = Change::NextHop {
        uplink: settings.name.clone(),
        interface: settings.interface.clone(),
    };
    monitor.reports.event(change, turn.reason(), now);
    monitor.probe_soon(now);
}
