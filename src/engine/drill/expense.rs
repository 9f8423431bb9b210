//! What the stream of a drill costs the uplink that takes over, if that is metered.

use std::time::Duration;

use crate::engine::candidate::Fitness;
use crate::engine::ids::UplinkId;
use crate::engine::uplink::Uplink;
use crate::units::Moment;

/// A packet of the stream and its answer, as they are on the wire: Ethernet with a VLAN tag, IPv6, and 24 bytes.
const EXCHANGE: u64 = 2 * (22 + 40 + 24);
/// The stream sends so many a second for so long, and fewer when nothing is answered.
const DENSE: u64 = 100;
const DENSE_FOR: Duration = Duration::from_secs(5);
const SPARSE: u64 = 20;

/// What so many packets of the stream cost at most.
pub fn stream_cost(packets: u32) -> u64 {
    u64::from(packets) * EXCHANGE
}

/// What the stream of a drill costs at most that lasts so long.
fn most(lasts: Duration) -> u64 {
    let dense = lasts.min(DENSE_FOR).as_secs();
    let sparse = lasts.saturating_sub(DENSE_FOR).as_secs();
    (dense * DENSE + sparse * SPARSE) * EXCHANGE
}

/// Why the uplink that would take over cannot pay for a drill of another one by schedule.
pub(super) fn cannot_pay(
    uplinks: &[Uplink],
    drilled: UplinkId,
    lasts: Duration,
    now: Moment,
) -> Option<String> {
    let others = uplinks.iter().filter(|other| other.id() != drilled);
    let takes_over =
        |other: &&Uplink| other.candidate().fitness() > Fitness::Unusable || other.may_be_woken();
    let next = others
        .filter(takes_over)
        .min_by_key(|other| other.settings().tier)?;
    let cost = most(lasts);
    let is_too_much = next.purse().is_some_and(|purse| !purse.spares(cost, now));
    is_too_much.then(|| {
        let name = &next.settings().name;
        format!("`probe_budget` of {name} has less to spare than the {cost} bytes that it may cost")
    })
}
