//! What an oracle would take: a rule that asks a link that may be dead without pause, and is told
//! beforehand how long each of its silences will last. An estimate, from other days than those that
//! ours is counted on: where few silences are long, one of them more or less moves it by a tenth.

use std::time::Duration;

use crate::link::{Link, Process};
use crate::peers::PEERS_SEED;

/// Between two looks at a silent link, in seconds.
const LOOK: f64 = 0.05;

/// Targets that are asked in turn.
const TARGETS: u8 = 3;

/// The median delay of the verdict on a blackhole at one steady interval, with no more false verdicts
/// in so many days than are allowed.
///
/// Silences are those that steady probes meet, from the first missed probe on. To be wrong `allowed`
/// times is to bear every silence but so many of the longest; and a dead link is first met half an
/// interval after it died.
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
