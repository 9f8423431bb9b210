//! What connections feel in a replay: time in which what carries them does not answer, and what a move costs.

use std::fmt::{self, Display};

use serde::Serialize;

use crate::recording::Track;
use crate::units::UplinkName;

/// What a switch costs established connections that it moves, in seconds without an answer: the same for all
/// configurations, whatever they hold a switch to cost. That of `sensitivity = "balanced"`.
pub(super) const SWITCH_COST: f64 = 2.0;

/// In seconds. A new connection has nothing to lose by a move.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct FeltCost {
    /// With the cost of each switch that moves them.
    pub(super) established_seconds: f64,
    pub(super) new_seconds: f64,
}

impl Display for FeltCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "felt by established connections {:.1} s (without an answer, and what switches cost), by new ones {:.1} s",
            self.established_seconds, self.new_seconds
        )
    }
}

/// By which uplinks connections go, and from when on.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionCourse(Vec<(f64, Vec<UplinkName>)>);

impl ConnectionCourse {
    pub(super) fn go_by(&mut self, at: f64, uplinks: &[UplinkName]) {
        self.0.push((at, uplinks.to_vec()));
    }

    /// For how long they have no answer until the end. Of several uplinks each has its share.
    pub(super) fn unanswered(&self, tracks: &[Track], end: f64) -> f64 {
        let silences: Vec<_> = { tracks.iter() }
            .map(|track| (&track.uplink, track.silences()))
            .collect();
        let ends = self.0.iter().skip(1).map(|(at, _)| *at).chain([end]);
        let mut unanswered = 0.0;
        for ((from, uplinks), to) in self.0.iter().zip(ends) {
            let mut silent = 0.0;
            let mut shares = 0.0;
            for uplink in uplinks {
                let known = silences.iter().find(|(name, _)| *name == uplink);
                let spans = known.map_or(&[][..], |(_, spans)| spans);
                let within = spans
                    .iter()
                    .map(|(began, ended)| ended.min(to) - began.max(*from));
                silent += within.map(|span| span.max(0.0)).sum::<f64>();
                shares += 1.0;
            }
            unanswered += if shares > 0.0 { silent / shares } else { 0.0 };
        }
        unanswered
    }
}
