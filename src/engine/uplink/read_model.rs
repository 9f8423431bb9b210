//! An uplink in figures: what people see of it.

use std::time::Duration;

use super::{Phase, Uplink};
use crate::engine::detection_time::Learnt;
use crate::engine::score::score;
use crate::engine::status::UplinkStatus;
use crate::engine::target::TargetTrack;
use crate::engine::window::{Window, loss_of};
use crate::engine::wording::{millis, tenths};
use crate::routing::Family;
use crate::units::{Loss, Moment, Score, Wall};

impl Uplink {
    /// The read model. `wall` translates times.
    pub fn status(&self, carries: Vec<Family>, is_active: bool, wall: Wall) -> UplinkStatus {
        let (families, broken) = self.families_by_health();
        let (loss, rtt, jitter) = match self.standing {
            Phase::Down if self.is_captive() => (self.loss(), self.rtt(), self.jitter()),
            // What was measured before it died says nothing about it now.
            Phase::Down if self.attachment.trouble.is_none() => {
                (Some(Loss::from_ratio(1.0)), None, None)
            }
            Phase::Down | Phase::Absent | Phase::Cold => (None, None, None),
            Phase::Unknown | Phase::Up | Phase::Degraded | Phase::Recovering { .. } => {
                (self.loss(), self.rtt(), self.jitter())
            }
        };
        let score = match (self.standing, loss, rtt) {
            (Phase::Down | Phase::Absent, _, _) => Some(Score(0)),
            (_, Some(loss), Some(rtt)) => Some(score(loss, rtt, jitter.unwrap_or_default())),
            (_, Some(_) | None, _) => None,
        };
        UplinkStatus {
            name: self.settings.name.clone(),
            interface: self.settings.interface.clone(),
            tier: self.settings.tier,
            weight: self.settings.weight,
            state: self.state(),
            active: is_active,
            score,
            loss_percent: loss.map(|loss| tenths(loss.percent())),
            rtt_ms: rtt.map(millis),
            rtt_p95_ms: rtt.and_then(|_| self.rtt_p95()).map(millis),
            jitter_ms: jitter.map(millis),
            since: wall.at(self.since),
            reason: self.words(),
            in_doubt: self.outage.is_suspected(),
            penalty: 0.0,
            suppressed_until: None,
            families,
            broken,
            carries,
            learnt: Some(Learnt::new(self.learnt(), self.demand(), &self.rhythm())),
            targets: self.targets.iter().map(TargetTrack::status).collect(),
            probe_budget: self.budget.as_ref().map(|metered| metered.status()),
        }
    }

    pub(super) fn loss(&self) -> Option<Loss> {
        let standing = self.targets.iter().filter(|target| target.is_standing());
        let total = standing.fold((0, 0), |(all, lost), target| {
            let (sent, missed) = target.window().counts();
            (all + sent, lost + missed)
        });
        loss_of(total)
    }

    /// The link's own latency is in every round trip, the target's only in its own: the least of
    /// the targets' medians is nearest to the link's.
    pub(super) fn rtt(&self) -> Option<Duration> {
        let medians = self.targets.iter().map(TargetTrack::window);
        medians.filter_map(Window::median_rtt).min()
    }

    /// What of a round trip to a target is the link's: how much further away than the nearest one a
    /// target usually is says nothing about the link. Those that have not answered for long are not
    /// compared with.
    pub(super) fn rtt_of_link(&self, target: usize, rtt: Duration, now: Moment) -> Duration {
        let since = now - self.settings.health.window;
        let standing = self.targets.iter().filter(|track| track.is_standing());
        let lately = standing.filter(|track| track.has_spoken_since(since));
        let nearest = lately.filter_map(TargetTrack::usual_rtt).min();
        match (self.targets[target].usual_rtt(), nearest) {
            (Some(usual), Some(nearest)) => {
                let beyond = usual.saturating_sub(nearest);
                rtt.saturating_sub(beyond).max(rtt.min(nearest))
            }
            (_, _) => rtt,
        }
    }

    /// Of the target whose median is that of the uplink.
    fn rtt_p95(&self) -> Option<Duration> {
        let windows = self.targets.iter().map(TargetTrack::window);
        let nearest = windows.min_by_key(|window| window.median_rtt().unwrap_or(Duration::MAX))?;
        nearest.p95_rtt()
    }

    pub(super) fn jitter(&self) -> Option<Duration> {
        let windows = self.targets.iter().map(TargetTrack::window);
        windows.filter_map(Window::jitter).min()
    }
}
