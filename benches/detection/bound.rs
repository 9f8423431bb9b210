//! The delay of an oracle: a rule that probes a silent link without pause and knows how long each
//! silence lasts. An estimate, from other days than those of our figures: where long silences are rare,
//! one of them more or less changes it by a tenth.

use std::time::Duration;

use crate::link::{Link, Process};
use crate::peers::PEERS_SEED;

/// The pause between two probes of a silent link, in seconds.
const LOOK: f64 = 0.05;

/// Targets that are probed in turn.
const TARGETS: u8 = 3;

/// The median delay of the verdict on a blackhole at one steady interval, with no more false verdicts
/// in so many days than are allowed.
///
/// A silence begins with the first missed steady probe. A rule that is wrong `allowed` times outlasts all
/// silences but so many of the longest, and meets an outage half an interval after its beginning.
pub(crate) fn blackhole(process: Process, steady: Duration, allowed: u32, days: u32) -> f64 {
    let steady = steady.as_secs_f64();
    let mut silences = silences(process, steady, days);
    silences.sort_by(|one, other| other.total_cmp(one));
    let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
    let borne = silences.get(allowed).copied().unwrap_or(0.0);
    borne + steady / 2.0
}

fn silences(process: Process, steady: f64, days: u32) -> Vec<f64> {
    let mut link = Link::new(process, 0.012, PEERS_SEED);
    let end = f64::from(days) * 86_400.0;
    let mut silences = Vec::new();
    let (mut at, mut turn) = (0.0, 0);
    while at < end {
        let begin = at;
        turn = (turn + 1) % TARGETS;
        if link.answer(turn, at).is_none() {
            while !is_alive(&mut link, at) {
                at += LOOK;
            }
            silences.push(at - begin);
        }
        at += steady;
    }
    silences
}

fn is_alive(link: &mut Link, at: f64) -> bool {
    (0..TARGETS).any(|target| link.answer(target, at).is_some())
}
