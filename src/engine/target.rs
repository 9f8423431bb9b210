//! One target of an uplink: its answers, and whether a silence is its own fault.

use std::time::Duration;

use crate::engine::deadline::RoundTrip;
use crate::engine::state::State;
use crate::engine::status::TargetStatus;
use crate::engine::suspicion::Observation;
use crate::engine::window::Window;
use crate::engine::wording::{millis, tenths};
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
    unshared_since: Option<Moment>,
    answers_in_a_row: u32,
    /// When the first of these was asked for.
    answers_since: Moment,
    /// When the last probes were sent that it answered, that were answered wrongly,
    /// and that were not answered: the last of these first.
    heard: Option<Moment>,
    wronged: Option<Moment>,
    unheard: [Option<Moment>; 2],
    aside: Option<Box<Aside>>,
}

/// A target that was set aside, and when it is asked again.
#[derive(Clone, Debug)]
struct Aside {
    retry_at: Moment,
    /// It is at fault on every uplink, and why that is known.
    excuse: Option<String>,
}

/// A change of a target's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It no longer counts, for what it has done since then.
    SetAside {
        /// When the first probe was sent that it alone did not answer.
        since: Moment,
    },
    /// It counts again.
    Reinstated,
    /// It was at fault on every uplink, and answers again.
    AnswersEverywhere,
}

impl TargetTrack {
    /// A target of which nothing is known.
    pub fn new(target: Target, window: Duration) -> Self {
        Self {
            target,
            window: Window::new(window),
            round_trip: RoundTrip::default(),
            unshared_misses: 0,
            unshared_since: None,
            answers_in_a_row: 0,
            answers_since: Moment::START,
            heard: None,
            wronged: None,
            unheard: [None; 2],
            aside: None,
        }
    }

    /// The target.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// It is a web page.
    pub fn is_page(&self) -> bool {
        matches!(self.target, Target::Http(_))
    }

    /// The recent outcomes.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Its outcomes count for the uplink.
    pub fn is_standing(&self) -> bool {
        self.aside.is_none()
    }

    /// It is at fault on every uplink.
    pub fn is_excused(&self) -> bool {
        self.aside.as_ref().is_some_and(|a| a.excuse.is_some())
    }

    /// What it has shown by probes sent from `since` on.
    pub fn observation(&self, since: Moment) -> Observation {
        let is_after = |sent: Option<Moment>| sent.is_some_and(|sent| sent >= since);
        if is_after(self.heard) {
            Observation::Answers
        } else if is_after(self.wronged) {
            Observation::Wrong
        } else if self.aside.is_some() || is_after(self.unheard[1]) {
            Observation::Silent
        } else {
            Observation::Open
        }
    }

    /// It answered something, right or wrong, that was asked from `since` on.
    pub fn has_spoken_since(&self, since: Moment) -> bool {
        self.heard
            .max(self.wronged)
            .is_some_and(|sent| sent >= since)
    }

    /// It is at fault on every uplink.
    pub fn excuse(&mut self, why: String, now: Moment) {
        self.aside = Some(Box::new(Aside {
            retry_at: now + RETRY_EVERY,
            excuse: Some(why),
        }));
    }

    /// It counts again if it was at fault on every uplink.
    pub fn reinstate(&mut self) -> bool {
        let was_excused = self.is_excused();
        if was_excused {
            self.aside = None;
            self.unshared_misses = 0;
        }
        was_excused
    }

    /// Its misses may be its own fault.
    pub fn is_doubtful(&self) -> bool {
        self.unshared_misses >= DOUBT || self.aside.is_some()
    }

    /// How long to wait for its answer.
    pub fn deadline(&self, most: Duration) -> Duration {
        self.round_trip.deadline(most)
    }

    /// The same beside another target's answer, after so long, which stands for its own while it has not answered.
    pub fn deadline_beside(&self, rtt: Duration, most: Duration) -> Duration {
        self.round_trip.or(RoundTrip::of(rtt)).deadline(most)
    }

    /// The same while the link's own traffic is silent, too.
    pub fn deadline_in_silence(&self, most: Duration) -> Duration {
        self.round_trip.deadline_in_silence(most)
    }

    /// How long its answers usually take; none while nothing is known.
    pub fn usual_rtt(&self) -> Option<Duration> {
        self.round_trip.usual()
    }

    /// How long its answers take.
    pub fn round_trip(&self) -> RoundTrip {
        self.round_trip
    }

    /// By the way that it is asked by now, they take so long.
    pub fn take_round_trip(&mut self, known: RoundTrip) {
        self.round_trip = known;
    }

    /// It is set aside and due to be asked again.
    pub fn take_retry(&mut self, now: Moment) -> bool {
        let due = self.aside.as_mut().filter(|aside| aside.retry_at <= now);
        due.map(|aside| aside.retry_at = now + RETRY_EVERY)
            .is_some()
    }

    /// It answered. `is_steady`: the round trip tells how successive ones differ.
    pub fn answered(
        &mut self,
        id: ProbeId,
        sent: Moment,
        rtt: Duration,
        is_steady: bool,
    ) -> Option<Standing> {
        self.window.answered(id, sent, rtt);
        if is_steady {
            self.window.follow(rtt);
        } else {
            self.window.interrupt_jitter();
        }
        self.round_trip.observe(rtt);
        self.unshared_misses = 0;
        if self.answers_in_a_row == 0 {
            self.answers_since = sent;
        }
        self.answers_in_a_row += 1;
        self.heard = self.heard.max(Some(sent));
        let aside = self.aside.as_mut()?;
        if self.answers_in_a_row < BACK_AFTER {
            aside.retry_at = sent;
            return None;
        }
        self.window.begin(self.answers_since);
        if aside.excuse.is_some() {
            return Some(Standing::AnswersEverywhere);
        }
        self.aside = None;
        Some(Standing::Reinstated)
    }

    /// It answered wrongly, or another server answered in its place.
    pub fn answered_wrongly(&mut self, sent: Moment) {
        self.wronged = self.wronged.max(Some(sent));
        self.answers_in_a_row = 0;
    }

    /// It did not answer in time.
    pub fn missed(&mut self, id: ProbeId, sent: Moment) {
        self.window.missed(id, sent);
        self.answers_in_a_row = 0;
        self.unheard = [Some(sent), self.unheard[0]];
    }

    /// It did not answer a probe of `sent` that others answered. `may_set_aside`: enough others stand.
    pub fn missed_alone(
        &mut self,
        now: Moment,
        sent: Moment,
        usual_loss: f64,
        may_set_aside: bool,
    ) -> Option<Standing> {
        if self.unshared_misses == 0 {
            self.unshared_since = Some(sent);
        }
        self.unshared_misses += 1;
        let surprise = -usual_loss.max(0.01).ln() * f64::from(self.unshared_misses);
        let is_its_fault = self.unshared_misses >= ASIDE_LEAST && surprise >= ASIDE_EVIDENCE;
        (is_its_fault && may_set_aside && self.aside.is_none()).then(|| {
            self.aside = Some(Box::new(Aside {
                retry_at: now + RETRY_EVERY,
                excuse: None,
            }));
            Standing::SetAside {
                since: self.unshared_since.unwrap_or(sent),
            }
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
        self.heard = None;
        self.wronged = None;
        self.unheard = [None; 2];
    }

    /// What was sent before `since` is of an outage, and not in its figures.
    pub fn begin(&mut self, since: Moment) {
        self.window.begin(since);
    }

    /// Forgets what is too old.
    pub fn expire(&mut self, now: Moment) {
        self.window.expire(now);
    }

    /// The read model.
    pub fn status(&self) -> TargetStatus {
        let (all, missed) = self.window.counts();
        let is_silent = (all > 0 && missed == all) || self.window.ends_in_misses(SILENT);
        let is_wrong = self.wronged > self.heard;
        let state = if self.aside.is_some() || is_silent || is_wrong {
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
            set_aside: self.aside.as_ref().map(|aside| {
                let here = "does not answer while others do".to_owned();
                aside.excuse.clone().unwrap_or(here)
            }),
        }
    }
}
