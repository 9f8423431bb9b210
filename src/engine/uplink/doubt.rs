//! Well-founded doubt: a silence so rare on this link while it is alive that new connections are better off elsewhere,
//! though it is no outage yet.

use super::monitor::UplinkMonitor;
use crate::engine::outage::Demand;
use crate::engine::state::State;
use crate::routing::Family;
use crate::units::Moment;

/// When the last answer was sent for before the silence by which a family is in well-founded doubt. An uplink some of
/// whose targets answer is in none: the others may be at fault. Nor is one that has another next hop which answers:
/// the verdict goes on by that.
pub(super) fn founded(monitor: &UplinkMonitor, family: Family) -> Option<Moment> {
    if monitor.health.state() != State::Up {
        return None;
    }
    of_whole(monitor).or_else(|| of_family(monitor, family))
}

fn of_whole(monitor: &UplinkMonitor) -> Option<Moment> {
    let outage = &monitor.evidence.outage;
    let first = outage.suspected_since()?;
    let doubt = outage.founded_doubt(Demand::of(&monitor.settings))?;
    let has_other = monitor
        .next_hops
        .has_other(None, first, outage.last_missed()?);
    (!has_other && !monitor.targets.has_spoken_since(first)).then_some(doubt)
}

/// The same of a family that is silent while the other answers.
fn of_family(monitor: &UplinkMonitor, family: Family) -> Option<Moment> {
    let families = &monitor.evidence.families;
    let outage = families.outage_of(family)?;
    let first = outage.suspected_since()?;
    let doubt = outage.founded_doubt(Demand::of(&monitor.settings))?;
    let mut others = Family::ROUTED.into_iter().filter(|other| *other != family);
    let answered = others.find_map(|other| families.outage_of(other)?.last_answer());
    let is_alone = answered >= Some(first);
    let is_judged = families.outlook(family).state == Some(State::Up);
    let last = outage.last_missed()?;
    let has_other = monitor.next_hops.has_other(Some(family), first, last);
    (is_alone && is_judged && !has_other).then_some(doubt)
}
