//! The state of an uplink, and what leads from one to another.
//!
//! [`next`] is the whole state machine: the phase and a signal give the next phase and its reason.
//! What an operator has decided (maintenance) lies above the phase and does not change it.

use std::time::Duration;

use crate::engine::state::State;
use crate::engine::wording::seconds;
use crate::routing::Trouble;
use crate::units::{InterfaceName, Moment};

/// What the evidence says, whatever an operator has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Unknown,
    Up,
    Degraded,
    Recovering(Trial),
    Down,
    Absent,
    /// Not up and not needed, or coming up.
    Cold,
}

/// The rounds since an uplink answers again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trial {
    pub(super) rounds: u32,
    pub(super) lost: u32,
}

/// What may move an uplink from one phase to another.
#[derive(Clone, Debug)]
pub(super) enum Signal {
    /// The link is not in order, and why.
    LinkFailed(Trouble, String),
    /// The link of a standby is not in order and need not be: what the standby is meanwhile, and why.
    Rests(Phase, String),
    LinkReady(InterfaceName),
    /// A cold standby was called and is not usable in time: what it is, and why.
    Unready(Phase, String),
    Answered,
    Silent(String),
    Mute(String),
    /// It has no target that could be asked, and why.
    Unasked(String),
    Captive(String),
    /// An answer to a probe from before the outage came after it; what is wrong with so slow a link.
    Disproved(Option<String>),
    /// It has answered for so long; what is wrong with it otherwise.
    Trusted(Duration, Option<String>),
    Worse(String),
    Better,
}

/// A step of the state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PhaseStep {
    pub(super) from: Phase,
    pub(super) to: Phase,
    pub(super) reason: String,
}

/// How the state differs from the one reported before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StateReport {
    /// The state as a whole: before and after.
    pub(super) whole: Option<[State; 2]>,
    /// The state that is shown: before and after.
    pub(super) shown: Option<[State; 2]>,
}

/// The state of one uplink.
#[derive(Clone, Debug)]
pub(super) struct Health {
    phase: Phase,
    /// The state as a whole that was last reported.
    whole: State,
    /// The state that was last shown, and since when it is.
    shown: State,
    since: Moment,
    reason: String,
    /// Since when nothing has spoken against it, trial time included.
    well_since: Moment,
    is_disabled: bool,
    has_failed: bool,
    /// When its quality last changed the state.
    requalified: Option<Moment>,
    /// Its present outage began then.
    outage_since: Option<Moment>,
    last_outage: Option<EndedOutage>,
}

/// An outage that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndedOutage {
    /// The first probe was sent that was not answered, or the link failed.
    pub(super) began: Moment,
    /// It answered again.
    pub(super) ended: Moment,
}

impl Phase {
    /// The state that it is shown as.
    pub(super) fn state(self) -> State {
        match self {
            Self::Unknown => State::Unknown,
            Self::Up => State::Up,
            Self::Degraded => State::Degraded,
            Self::Recovering(_) => State::Recovering,
            Self::Down => State::Down,
            Self::Absent => State::Absent,
            Self::Cold => State::Cold,
        }
    }

    /// It does not answer, or is not there.
    pub(super) fn is_lost(self) -> bool {
        match self {
            Self::Down | Self::Absent | Self::Cold => true,
            Self::Unknown | Self::Up | Self::Degraded | Self::Recovering(_) => false,
        }
    }
}

impl Health {
    /// Nothing is known.
    pub(super) fn new(now: Moment) -> Self {
        Self {
            phase: Phase::Unknown,
            whole: State::Unknown,
            shown: State::Unknown,
            since: now,
            reason: "nothing known yet".to_owned(),
            well_since: now,
            is_disabled: false,
            has_failed: false,
            requalified: None,
            outage_since: None,
            last_outage: None,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// The trial that it is on.
    pub(super) fn trial(&self) -> Option<Trial> {
        match self.phase {
            Phase::Recovering(trial) => Some(trial),
            Phase::Unknown
            | Phase::Up
            | Phase::Degraded
            | Phase::Down
            | Phase::Absent
            | Phase::Cold => None,
        }
    }

    /// The state as a whole, whatever is wrong with one family.
    pub(super) fn state(&self) -> State {
        if self.is_disabled {
            State::Disabled
        } else {
            self.phase.state()
        }
    }

    /// The state that is shown; `complaint`: what is wrong with one family.
    pub(super) fn shown_state(&self, complaint: Option<&str>) -> State {
        match (self.state(), complaint) {
            (State::Up, Some(_)) => State::Degraded,
            (state, _) => state,
        }
    }

    /// Why it is shown in that state.
    pub(super) fn shown_reason(&self, complaint: Option<&str>) -> String {
        match (self.phase, complaint.filter(|_| !self.is_disabled)) {
            (Phase::Up, Some(complaint)) => complaint.to_owned(),
            (Phase::Degraded, Some(complaint)) => format!("{}; {complaint}", self.reason),
            (_, Some(_) | None) => self.reason.clone(),
        }
    }

    /// Why it is in its phase.
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    /// Since when it is shown as it is.
    pub(super) fn since(&self) -> Moment {
        self.since
    }

    /// Since when nothing has spoken against it.
    pub(super) fn well_since(&self) -> Moment {
        self.well_since
    }

    /// It was down or degraded at some time in this run.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    pub(super) fn set_disabled(&mut self, is_disabled: bool) {
        self.is_disabled = is_disabled;
    }

    /// The traffic has left it: the way back is a failback.
    pub(super) fn pass_over(&mut self, now: Moment) {
        self.well_since = now;
        self.has_failed = true;
    }

    /// Its state, and the outage that goes on, began only now.
    pub(super) fn fail_anew(&mut self, now: Moment) {
        self.since = now;
        self.outage_since = self.outage_since.map(|_| now);
    }

    /// Whatever has lasted begins anew; whether that is a trial.
    pub(super) fn restart(&mut self, now: Moment) -> bool {
        self.well_since = now;
        if let Phase::Recovering(trial) = &mut self.phase {
            *trial = Trial::default();
            return true;
        }
        false
    }

    /// What its link is like means something else now.
    pub(super) fn forget(&mut self) {
        self.phase = Phase::Unknown;
        self.outage_since = None;
    }

    /// When the present outage began.
    pub(super) fn outage_since(&self) -> Option<Moment> {
        self.outage_since
    }

    /// The last outage that is over.
    pub(super) fn last_outage(&self) -> Option<EndedOutage> {
        self.last_outage
    }

    /// Keeps the outage that a step begins or ends; `silent_since`: the first probe that is not answered was sent
    /// then. A standby that rests has none, and late answers show that there was none.
    pub(super) fn note_outage(
        &mut self,
        step: &PhaseStep,
        silent_since: Option<Moment>,
        now: Moment,
    ) {
        match step.to {
            Phase::Down | Phase::Absent => {
                self.outage_since.get_or_insert(silent_since.unwrap_or(now));
            }
            Phase::Recovering(_) => {
                let began = self.outage_since.take();
                let ended = began.map(|began| EndedOutage { began, ended: now });
                self.last_outage = ended.or(self.last_outage);
            }
            Phase::Unknown | Phase::Up | Phase::Degraded | Phase::Cold => self.outage_since = None,
        }
    }

    /// A round was answered or missed.
    pub(super) fn count_round(&mut self, is_lost: bool) {
        if let Phase::Recovering(trial) = &mut self.phase {
            trial.rounds += 1;
            trial.lost += u32::from(is_lost);
        }
    }

    /// Its quality may change the state again.
    pub(super) fn has_dwelt(&self, dwell: Duration, now: Moment) -> bool {
        self.requalified.is_none_or(|at| now.since(at) >= dwell)
    }

    /// Takes a signal; the step that follows, if one does.
    pub(super) fn apply(&mut self, signal: Signal, now: Moment) -> Option<PhaseStep> {
        if let (Phase::Degraded, Signal::Worse(complaint)) = (self.phase, &signal)
            && !self.is_disabled
        {
            self.reason.clone_from(complaint);
        }
        let from = self.phase;
        let (to, reason) = next(from, self.has_failed, signal)?;
        let keeps_well = matches!(from, Phase::Recovering(_)) && to == Phase::Up;
        if !keeps_well {
            self.well_since = now;
        }
        let is_by_quality = to == Phase::Degraded || (from, to) == (Phase::Degraded, Phase::Up);
        self.requalified = is_by_quality.then_some(now);
        self.phase = to;
        self.has_failed |= matches!(to, Phase::Down | Phase::Absent | Phase::Degraded);
        // That it was taken down says nothing against it.
        self.has_failed &= to != Phase::Cold;
        Some(PhaseStep { from, to, reason })
    }

    /// The reason is this now; how the state differs from the one reported before.
    pub(super) fn report(
        &mut self,
        reason: String,
        complaint: Option<&str>,
        now: Moment,
    ) -> StateReport {
        self.reason = reason;
        let (whole, shown) = (self.state(), self.shown_state(complaint));
        let before = std::mem::replace(&mut self.whole, whole);
        let shown_before = std::mem::replace(&mut self.shown, shown);
        if shown_before != shown {
            self.since = now;
        }
        StateReport {
            whole: (before != whole).then_some([before, whole]),
            shown: (shown_before != shown).then_some([shown_before, shown]),
        }
    }
}

/// The next phase, and why; none where the signal changes nothing.
fn next(phase: Phase, has_failed: bool, signal: Signal) -> Option<(Phase, String)> {
    let step = match (phase, signal) {
        (_, Signal::Rests(phase, why))
        | (
            Phase::Unknown | Phase::Cold | Phase::Down | Phase::Absent,
            Signal::Unready(phase, why),
        ) => (phase, why),
        (Phase::Cold, Signal::LinkReady(interface)) => {
            (Phase::Unknown, format!("{interface} is up, no answer yet"))
        }
        (_, Signal::LinkFailed(Trouble::Absent, why)) => (Phase::Absent, why),
        (_, Signal::LinkFailed(_, why))
        | (
            Phase::Unknown | Phase::Up | Phase::Degraded | Phase::Recovering(_),
            Signal::Silent(why),
        )
        | (
            Phase::Unknown | Phase::Up | Phase::Degraded | Phase::Recovering(_) | Phase::Down,
            Signal::Captive(why) | Signal::Unasked(why),
        ) => (Phase::Down, why),
        (Phase::Absent | Phase::Down, Signal::LinkReady(interface)) if has_failed => {
            (Phase::Down, format!("{interface} is back, no answer yet"))
        }
        (Phase::Unknown, Signal::Answered) => (Phase::Up, "answers".to_owned()),
        (Phase::Down, Signal::Answered) => {
            let trial = Trial { rounds: 1, lost: 0 };
            (Phase::Recovering(trial), "answers again".to_owned())
        }
        (
            Phase::Unknown | Phase::Up | Phase::Degraded | Phase::Recovering(_),
            Signal::Mute(why),
        ) => (Phase::Down, format!("cannot be probed: {why}")),
        (Phase::Down, Signal::Disproved(None)) => (Phase::Up, "answers came late".to_owned()),
        (Phase::Down, Signal::Disproved(Some(complaint)))
        | (Phase::Recovering(_), Signal::Trusted(_, Some(complaint)))
        | (Phase::Up, Signal::Worse(complaint)) => (Phase::Degraded, complaint),
        (Phase::Recovering(_), Signal::Trusted(lasted, None)) => {
            (Phase::Up, format!("answered for {}", seconds(lasted)))
        }
        (Phase::Degraded, Signal::Better) => (
            Phase::Up,
            "loss, latency and jitter are good again".to_owned(),
        ),
        (
            Phase::Unknown
            | Phase::Up
            | Phase::Degraded
            | Phase::Recovering(_)
            | Phase::Down
            | Phase::Absent
            | Phase::Cold,
            Signal::LinkReady(_)
            | Signal::Unready(..)
            | Signal::Answered
            | Signal::Silent(_)
            | Signal::Mute(_)
            | Signal::Unasked(_)
            | Signal::Captive(_)
            | Signal::Disproved(_)
            | Signal::Trusted(..)
            | Signal::Worse(_)
            | Signal::Better,
        ) => return None,
    };
    Some(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: [Phase; 7] = [
        Phase::Unknown,
        Phase::Up,
        Phase::Degraded,
        Phase::Recovering(Trial { rounds: 3, lost: 1 }),
        Phase::Down,
        Phase::Absent,
        Phase::Cold,
    ];

    fn words() -> String {
        "why".to_owned()
    }

    #[test]
    fn only_a_trial_leads_from_down_to_up_unless_the_outage_is_disproved() {
        for signal in [
            Signal::Answered,
            Signal::Better,
            Signal::Trusted(Duration::ZERO, None),
            Signal::LinkReady("eth0".parse().expect("a name")),
        ] {
            let to = next(Phase::Down, true, signal).map(|(to, _)| to);
            assert_ne!(to, Some(Phase::Up));
        }
        let disproved = next(Phase::Down, true, Signal::Disproved(None));
        assert_eq!(disproved.map(|(to, _)| to), Some(Phase::Up));
    }

    #[test]
    fn a_silence_leads_down_from_every_phase_in_which_it_answers() {
        for phase in PHASES {
            let to = next(phase, false, Signal::Silent(words())).map(|(to, _)| to);
            assert_eq!(to, (!phase.is_lost()).then_some(Phase::Down), "{phase:?}");
        }
    }

    #[test]
    fn a_link_that_fails_is_no_longer_usable_whatever_was_known() {
        for phase in PHASES {
            let gone = next(phase, false, Signal::LinkFailed(Trouble::Absent, words()));
            assert_eq!(gone, Some((Phase::Absent, words())));
            let failed = next(
                phase,
                false,
                Signal::LinkFailed(Trouble::NoCarrier, words()),
            );
            assert_eq!(failed, Some((Phase::Down, words())));
        }
    }

    #[test]
    fn a_quality_that_has_changed_the_state_dwells_and_a_trusted_trial_keeps_its_time() {
        let (begin, later) = (Moment::START, Moment::START + Duration::from_secs(9));
        let dwell = Duration::from_secs(10);
        let mut health = Health::new(begin);
        health.apply(Signal::Answered, begin);
        assert!(health.has_dwelt(dwell, begin));
        health.apply(Signal::Worse(words()), later);
        assert!(!health.has_dwelt(dwell, later + Duration::from_secs(9)));
        assert!(health.has_dwelt(dwell, later + dwell));
        health.apply(Signal::Silent(words()), later);
        health.apply(Signal::Answered, begin);
        health.apply(Signal::Trusted(dwell, None), later);
        assert_eq!((health.phase(), health.well_since()), (Phase::Up, begin));
    }

    #[test]
    fn a_broken_family_shows_as_degraded_while_the_uplink_as_a_whole_is_up() {
        let mut health = Health::new(Moment::START);
        health.apply(Signal::Answered, Moment::START);
        let report = health.report(words(), Some("ipv6 is broken"), Moment::START);
        assert_eq!(report.whole, Some([State::Unknown, State::Up]));
        assert_eq!(report.shown, Some([State::Unknown, State::Degraded]));
        assert_eq!(
            health.shown_reason(Some("ipv6 is broken")),
            "ipv6 is broken"
        );
        let again = health.report(words(), None, Moment::START);
        assert_eq!(
            (again.whole, again.shown),
            (None, Some([State::Degraded, State::Up]))
        );
    }
}
