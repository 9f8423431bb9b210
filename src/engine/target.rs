//! One target of an uplink: its answers, and whether a silence is its own fault.

use std::time::Duration;

use crate::engine::deadline::RoundTrip;
use crate::engine::loss::LossProcess;
use crate::engine::status::{State, TargetStatus};
use crate::engine::window::Window;
use crate::units::{Moment, ProbeId, Target};

/// The surprise, in nats, by which misses that no other target shares become the target's own fault.
const ASIDE_EVIDENCE: f64 = 16.0;
/// And at least so many of them.
const ASIDE_LEAST: u32 = 3;
/// From here on its misses no longer speak against the link.
const DOUBT: u32 = 2;
/// After so many misses in a row it is shown as down.
const SILENT: usize = 3;
/// How often a target that was set aside is asked again.
const RETRY_EVERY: Duration = Duration::from_secs(10);
/// So many answers in a row bring it back.
const BACK_AFTER: u32 = 3;

/// The track record of one target.
#[derive(Clone, Debug)]
pub struct TargetTrack {
    target: Target,
    window: Window,
    round_trip: RoundTrip,
    unshared_misses: u32,
    answers_in_a_row: u32,
    aside: Option<Aside>,
}

/// A target that was set aside, and when it is asked again.
#[derive(Clone, Copy, Debug)]
struct Aside {
    retry_at: Moment,
}

/// A change of a target's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It no longer counts.
    SetAside,
    /// It counts again.
    Reinstated,
}

impl TargetTrack {
    /// A target of which nothing is known.
    pub fn new(target: Target, window: Duration) -> Self {
        Self {
            target,
            window: Window::new(window),
            round_trip: RoundTrip::default(),
            unshared_misses: 0,
            answers_in_a_row: 0,
            aside: None,
        }
    }

    /// Whom it tracks.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The recent outcomes.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Its outcomes count for the uplink.
    pub fn is_standing(&self) -> bool {
        self.aside.is_none()
    }

    /// Its misses may be its own fault.
    pub fn is_doubtful(&self) -> bool {
        self.unshared_misses >= DOUBT || self.aside.is_some()
    }

    /// How long to wait for its answer.
    pub fn deadline(&self, most: Duration) -> Duration {
        self.round_trip.deadline(most)
    }

    /// It is set aside and due to be asked again.
    pub fn take_retry(&mut self, now: Moment) -> bool {
        let is_due = self.aside.is_some_and(|aside| aside.retry_at <= now);
        if is_due {
            self.aside = Some(Aside {
                retry_at: now + RETRY_EVERY,
            });
        }
        is_due
    }

    /// It answered.
    pub fn answered(
        &mut self,
        now: Moment,
        id: ProbeId,
        sent: Moment,
        rtt: Duration,
    ) -> Option<Standing> {
        self.window.answered(id, sent, rtt);
        self.round_trip.observe(rtt);
        self.unshared_misses = 0;
        self.answers_in_a_row += 1;
        self.aside?;
        if self.answers_in_a_row >= BACK_AFTER {
            self.aside = None;
            return Some(Standing::Reinstated);
        }
        self.aside = Some(Aside { retry_at: now });
        None
    }

    /// It did not answer in time.
    pub fn missed(&mut self, id: ProbeId, sent: Moment) {
        self.window.missed(id, sent);
        self.answers_in_a_row = 0;
    }

    /// It did not answer in a round that others answered. `may_set_aside`: enough others stand.
    pub fn missed_alone(
        &mut self,
        now: Moment,
        process: &LossProcess,
        may_set_aside: bool,
    ) -> Option<Standing> {
        self.unshared_misses += 1;
        let surprise = -process.mean().max(0.01).ln() * f64::from(self.unshared_misses);
        let is_its_fault = self.unshared_misses >= ASIDE_LEAST && surprise >= ASIDE_EVIDENCE;
        (is_its_fault && may_set_aside && self.aside.is_none()).then(|| {
            self.aside = Some(Aside {
                retry_at: now + RETRY_EVERY,
            });
            Standing::SetAside
        })
    }

    /// The window is to be this long.
    pub fn set_window(&mut self, length: Duration) {
        self.window.set_length(length);
    }

    /// The link is another one now: what was measured does not count.
    pub fn restart(&mut self) {
        self.window.clear();
        self.round_trip = RoundTrip::default();
        self.unshared_misses = 0;
        self.answers_in_a_row = 0;
    }

    /// Forgets what is too old.
    pub fn expire(&mut self, now: Moment) {
        self.window.expire(now);
    }

    /// The read model.
    pub fn status(&self) -> TargetStatus {
        let (all, missed) = self.window.counts();
        let is_silent = (all > 0 && missed == all) || self.window.ends_in_misses(SILENT);
        let state = if self.aside.is_some() || is_silent {
            State::Down
        } else if all == 0 {
            State::Unknown
        } else {
            State::Up
        };
        TargetStatus {
            target: self.target.clone(),
            state,
            rtt_ms: self.window.median_rtt().map(millis),
            loss_percent: self.window.loss().map(|loss| tenths(loss.percent())),
            set_aside: None,
        }
    }
}

/// A duration in milliseconds, to the hundredth.
pub fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 100.0
}

/// A number to the tenth.
pub fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
