//! Well-founded doubt: a silence so rare on this link while it is alive that new connections are better off elsewhere,
//! though it is no outage yet.

use std::time::Duration;

use super::monitor::UplinkMonitor;
use crate::engine::outage::Demand;
use crate::engine::state::State;
use crate::routing::Family;
use crate::units::Moment;

/// When the last answer was sent for before the silence by which a family is in well-founded doubt. An uplink some of
/// whose targets answer is in none: the others may be at fault. Nor is one that has another next hop which answers:
/// the verdict goes on by that. A doubt that began `before` lasts until something is answered that was sent later,
/// whatever changed meanwhile.
pub(super) fn founded(
    monitor: &UplinkMonitor,
    family: Family,
    before: Option<Moment>,
) -> Option<Moment> {
    if monitor.health.state() != State::Up {
        return None;
    }
    let before = before.filter(|since| is_silent_since(monitor, family, *since));
    let whole = before.or_else(|| of_whole(monitor));
    whole.or_else(|| of_family(monitor, family))
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

/// Nothing that was sent after `since` has been answered by the uplink, or nothing by the family.
fn is_silent_since(monitor: &UplinkMonitor, family: Family, since: Moment) -> bool {
    let (evidence, targets) = (&monitor.evidence, &monitor.targets);
    let later = since + Duration::from_nanos(1);
    let is_whole = !evidence.has_heard_since(later) && !targets.has_spoken_since(later);
    let of_family = evidence.families.outage_of(family);
    is_whole || of_family.is_some_and(|outage| outage.last_answer() < Some(later))
}
