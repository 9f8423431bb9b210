//! Flap damping (RFC 2439): failback to an uplink that keeps failing is suppressed.
//!
//! An outage of a trusted uplink adds 1 to its penalty, an outage on trial half as much. A failure of one family
//! moves that family alone and adds nothing, nor does the step to degraded, which moves traffic only where that
//! pays. The penalty halves in each half-life. From `suppress` on the uplink is suppressed: it does not take the
//! traffic back, and any healthy uplink that is not suppressed is preferred to it. Suppression ends when the penalty
//! has decayed to `reuse`, and at the latest `longest` after the last failure.
//!
//! The half-life decides how far apart outages are borne for ever: at the default of an hour, 35 minutes. More
//! frequent ones add up, so that an uplink that has kept failing for hours is suppressed for hours.
//!
//! An uplink that fails again sooner after its suppression than that lasted has lost more by its failback than the
//! failback gained: it is suppressed at once, for twice as long as before, up to `longest`.
//!
//! Damping never keeps the traffic on an unusable uplink, nor away from the only usable one. When an
//! operator chooses an uplink or ends its maintenance, its penalty is cleared.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::ids::UplinkId;
use crate::engine::settings::DampingSettings;
use crate::engine::state::State;
use crate::engine::wording::seconds;
use crate::units::Moment;

const OUTAGE_PENALTY: f64 = 1.0;
/// The penalty of an outage on trial.
const TRIAL_PENALTY: f64 = 0.5;

/// A penalty that has decayed to this ends the series of failures.
const SERIES_ENDS_AT: f64 = 0.25;

/// A change of the state of an uplink as a whole; the complaint of one family is not in it.
#[derive(Clone, Debug)]
pub struct StateTurn {
    /// Which.
    pub uplink: UplinkId,
    /// Before.
    pub from: State,
    /// After.
    pub to: State,
}

/// An uplink is suppressed from now on, or no longer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlapChange {
    /// Which.
    pub uplink: UplinkId,
    /// It is suppressed.
    pub is_suppressed: bool,
    /// Why.
    pub reason: String,
}

/// The penalties of the uplinks that have failed.
#[derive(Clone, Debug, Default)]
pub struct Flaps {
    uplinks: BTreeMap<UplinkId, Penalty>,
}

/// The failures of one uplink.
#[derive(Clone, Debug)]
struct Penalty {
    /// As of the last failure.
    sum: f64,
    last: Moment,
    /// When the present series of failures began, and how many there are.
    first: Moment,
    falls: u32,
    suppressed_until: Option<Moment>,
    /// For how long it was suppressed last, from one of its falls on, and when that ended.
    span: Duration,
    released: Option<Moment>,
}

impl Flaps {
    /// Takes the latest changes of state; reports which uplinks are suppressed now and which no longer
    /// are.
    pub fn observe(
        &mut self,
        settings: DampingSettings,
        now: Moment,
        turns: impl IntoIterator<Item = StateTurn>,
    ) -> Vec<FlapChange> {
        let mut changes = Vec::new();
        for (uplink, penalty) in &mut self.uplinks {
            if penalty.suppressed_until.is_some_and(|until| until <= now) {
                penalty.released = penalty.suppressed_until.take();
                changes.push(FlapChange {
                    uplink: *uplink,
                    is_suppressed: false,
                    reason: penalty.explain_reuse(now),
                });
            }
        }
        for turn in turns {
            let Some(weight) = turn.weight() else {
                continue;
            };
            let penalty = self.uplinks.entry(turn.uplink);
            let penalty = penalty.or_insert_with(|| Penalty::new(now));
            let was_suppressed = penalty.suppressed_until.is_some();
            penalty.add(weight, settings, now);
            if !was_suppressed && let Some(until) = penalty.suppressed_until {
                changes.push(FlapChange {
                    uplink: turn.uplink,
                    is_suppressed: true,
                    reason: penalty.explain(until, now),
                });
            }
        }
        changes
    }

    /// When the next suppression ends.
    pub fn next_timeout(&self) -> Option<Moment> {
        let penalties = self.uplinks.values();
        penalties.filter_map(|p| p.suppressed_until).min()
    }

    /// Until when an uplink is suppressed, if it is.
    pub fn suppressed_until(&self, uplink: UplinkId) -> Option<Moment> {
        self.uplinks.get(&uplink)?.suppressed_until
    }

    /// The penalty of an uplink, decayed to now.
    pub fn penalty(&self, uplink: UplinkId, settings: DampingSettings, now: Moment) -> f64 {
        let penalty = self.uplinks.get(&uplink);
        penalty.map_or(0.0, |penalty| penalty.faded(settings, now))
    }

    /// Clears the penalty of an uplink that an operator chose.
    pub fn pardon(&mut self, uplink: UplinkId) {
        self.uplinks.remove(&uplink);
    }

    /// Clears all penalties.
    pub fn pardon_all(&mut self) {
        self.uplinks.clear();
    }

    /// The configuration has changed: uplinks have other ids, some are gone.
    pub fn adapt(
        &mut self,
        settings: DampingSettings,
        new_id: impl Fn(UplinkId) -> Option<UplinkId>,
    ) {
        for (old, mut penalty) in std::mem::take(&mut self.uplinks) {
            let latest = penalty.last + settings.longest;
            penalty.suppressed_until = penalty.suppressed_until.map(|until| until.min(latest));
            if let Some(id) = new_id(old) {
                self.uplinks.insert(id, penalty);
            }
        }
    }
}

impl Penalty {
    fn new(now: Moment) -> Self {
        Self {
            sum: 0.0,
            last: now,
            first: now,
            falls: 0,
            suppressed_until: None,
            span: Duration::ZERO,
            released: None,
        }
    }

    fn add(&mut self, weight: f64, settings: DampingSettings, now: Moment) {
        let faded = self.faded(settings, now);
        if faded < SERIES_ENDS_AT && self.suppressed_until.is_none() {
            (self.first, self.falls) = (now, 0);
        }
        self.falls += 1;
        self.sum = (faded + weight).min(settings.ceiling());
        self.last = now;
        let is_suppressed = self.suppressed_until.is_some();
        let is_setback = self.released.is_some_and(|at| now.since(at) < self.span);
        if is_suppressed || is_setback || self.sum >= settings.suppress {
            let least = if is_setback {
                self.span * 2
            } else {
                Duration::ZERO
            };
            let wait = self
                .time_to_reuse(settings)
                .max(least)
                .min(settings.longest);
            self.span = if is_suppressed {
                self.span.max(wait)
            } else {
                wait
            };
            let until = Some(now + wait).filter(|until| *until > now);
            self.suppressed_until = self.suppressed_until.max(until);
            self.released = None;
        }
    }

    fn faded(&self, settings: DampingSettings, now: Moment) -> f64 {
        let half_lives = now.since(self.last).as_secs_f64() / settings.half_life.as_secs_f64();
        self.sum * (-half_lives).exp2()
    }

    fn time_to_reuse(&self, settings: DampingSettings) -> Duration {
        let half_lives = (self.sum / settings.reuse).log2().max(0.0);
        let seconds = settings.half_life.as_secs_f64() * half_lives;
        // From just above `reuse` it may take less than the resolution of the clock.
        let time = Duration::try_from_secs_f64(seconds).unwrap_or(settings.longest);
        time.min(settings.longest)
    }

    fn explain(&self, until: Moment, now: Moment) -> String {
        let falls = self.falls;
        let times = if falls == 1 {
            "once".to_owned()
        } else {
            format!("{falls} times")
        };
        let within = minutes(now.since(self.first));
        let wait = minutes(until.since(now));
        format!("fell {times} in {within}: no failback for {wait}")
    }

    fn explain_reuse(&self, now: Moment) -> String {
        let calm = minutes(now.since(self.last));
        format!("has not fallen for {calm}: failback is possible again")
    }
}

impl DampingSettings {
    /// The penalty from which it takes `longest` to fade to `reuse` (RFC 2439, section 4.2).
    fn ceiling(self) -> f64 {
        let half_lives = self.longest.as_secs_f64() / self.half_life.as_secs_f64();
        (self.reuse * half_lives.exp2()).max(self.suppress)
    }
}

impl StateTurn {
    /// What it adds to the penalty; none if it is no failure.
    fn weight(&self) -> Option<f64> {
        match (self.from, self.to) {
            (State::Up | State::Degraded, State::Down | State::Absent) => Some(OUTAGE_PENALTY),
            (State::Recovering, State::Down | State::Absent) => Some(TRIAL_PENALTY),
            (
                State::Unknown
                | State::Up
                | State::Degraded
                | State::Down
                | State::Recovering
                | State::Disabled
                | State::Absent
                | State::Cold,
                _,
            ) => None,
        }
    }
}

/// A span in words, in minutes from two minutes on and in hours from two hours on.
fn minutes(span: Duration) -> String {
    let minutes = span.as_secs_f64() / 60.0;
    if minutes < 2.0 {
        seconds(span)
    } else if minutes < 120.0 {
        format!("{minutes:.0} min")
    } else {
        format!("{:.1} h", minutes / 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: DampingSettings = DampingSettings {
        half_life: Duration::from_secs(3_600),
        suppress: 3.0,
        reuse: 1.0,
        longest: Duration::from_secs(6 * 3_600),
    };

    fn at(seconds: f64) -> Moment {
        Moment::after_start(Duration::from_secs_f64(seconds))
    }

    const FIBER: UplinkId = UplinkId::new(0);

    /// The reasons that are reported when an uplink goes from one state to another.
    fn change(flaps: &mut Flaps, now: f64, from: State, to: State) -> Vec<String> {
        let turn = StateTurn {
            uplink: FIBER,
            from,
            to,
        };
        said(&flaps.observe(SETTINGS, at(now), [turn]))
    }

    fn fall(flaps: &mut Flaps, now: f64) -> Vec<String> {
        change(flaps, now, State::Up, State::Down)
    }

    fn said(changes: &[FlapChange]) -> Vec<String> {
        let line = |change: &FlapChange| format!("{}: {}", change.is_suppressed, change.reason);
        changes.iter().map(line).collect()
    }

    #[test]
    fn four_falls_in_half_an_hour_suppress_it_and_it_is_said_once() {
        let mut flaps = Flaps::default();
        for minute in [0.0, 3.0, 6.0] {
            assert!(fall(&mut flaps, minute * 60.0).is_empty());
        }
        assert_eq!(
            fall(&mut flaps, 540.0),
            ["true: fell 4 times in 9 min: no failback for 116 min"]
        );
        assert!(fall(&mut flaps, 600.0).is_empty());
        assert_eq!(flaps.next_timeout(), flaps.suppressed_until(FIBER));
    }

    #[test]
    fn a_fall_a_day_and_one_an_hour_are_borne_for_ever() {
        for every in [3_600.0, 86_400.0] {
            let mut flaps = Flaps::default();
            for turn in 0..1_000 {
                assert!(fall(&mut flaps, f64::from(turn) * every).is_empty());
            }
        }
    }

    #[test]
    fn it_is_suppressed_until_the_penalty_has_faded_and_not_a_moment_longer() {
        let mut flaps = Flaps::default();
        (0..4).for_each(|second| drop(fall(&mut flaps, f64::from(second))));
        let until = flaps.suppressed_until(FIBER).expect("suppressed");
        let penalty = flaps.penalty(FIBER, SETTINGS, until);
        assert!((penalty - SETTINGS.reuse).abs() < 1e-6, "{penalty}");
        let before = flaps.observe(SETTINGS, until - Duration::from_secs(1), []);
        assert_eq!(before, []);
        assert_eq!(
            said(&flaps.observe(SETTINGS, until, [])),
            ["false: has not fallen for 120 min: failback is possible again"]
        );
        assert_eq!(flaps.suppressed_until(FIBER), None);
    }

    #[test]
    fn however_often_it_falls_it_is_suppressed_for_the_longest_time_and_no_more() {
        let mut flaps = Flaps::default();
        (0..100_000).for_each(|second| drop(fall(&mut flaps, f64::from(second))));
        let until = flaps.suppressed_until(FIBER).expect("suppressed");
        assert_eq!(until, at(99_999.0) + SETTINGS.longest);
    }

    #[test]
    fn one_that_falls_again_soon_after_its_suppression_is_suppressed_for_twice_as_long() {
        let mut flaps = Flaps::default();
        (0..4).for_each(|second| drop(fall(&mut flaps, f64::from(second))));
        let mut last = at(3.0);
        let mut span = Duration::ZERO;
        for _ in 0..8 {
            let until = flaps.suppressed_until(FIBER).expect("suppressed");
            assert!(until.since(last) >= (span * 2).min(SETTINGS.longest));
            span = until.since(last);
            assert!(span <= SETTINGS.longest, "{span:?}");
            flaps.observe(SETTINGS, until, []);
            last = until + span / 2;
            fall(&mut flaps, last.since_start().as_secs_f64());
        }
        assert_eq!(span, SETTINGS.longest);
    }

    #[test]
    fn one_that_fell_for_hours_and_falls_every_five_hours_since_is_not_left_for_good() {
        let mut flaps = Flaps::default();
        (0..1_000).for_each(|second| drop(fall(&mut flaps, f64::from(second))));
        let mut carries = 0;
        for hour in 1..1_000 {
            let now = f64::from(hour) * 3_600.0;
            flaps.observe(SETTINGS, at(now), []);
            carries += u32::from(flaps.suppressed_until(FIBER).is_none());
            if hour % 5 == 0 {
                fall(&mut flaps, now);
            }
        }
        assert!(carries > 250, "{carries} h of 1,000");
    }

    #[test]
    fn to_die_on_trial_counts_half_and_to_become_degraded_nothing() {
        let mut flaps = Flaps::default();
        for second in 0..4 {
            let now = f64::from(second);
            assert!(change(&mut flaps, now, State::Up, State::Degraded).is_empty());
            assert!(change(&mut flaps, now, State::Degraded, State::Up).is_empty());
            assert!(change(&mut flaps, now, State::Recovering, State::Down).is_empty());
        }
        assert!(fall(&mut flaps, 4.0).is_empty());
        assert_eq!(
            fall(&mut flaps, 5.0),
            ["true: fell 6 times in 5.0 s: no failback for 120 min"]
        );
    }

    #[test]
    fn maintenance_is_no_fall() {
        let mut flaps = Flaps::default();
        for _ in 0..20 {
            change(&mut flaps, 1.0, State::Up, State::Disabled);
            change(&mut flaps, 1.0, State::Disabled, State::Down);
        }
        assert!(flaps.penalty(FIBER, SETTINGS, at(1.0)).abs() < 1e-9);
    }

    #[test]
    fn a_longest_time_of_nothing_turns_it_off() {
        let settings = DampingSettings {
            longest: Duration::ZERO,
            ..SETTINGS
        };
        let mut flaps = Flaps::default();
        (0..9).for_each(|second| drop(fall(&mut flaps, f64::from(second))));
        flaps.adapt(settings, Some);
        flaps.observe(settings, at(9.0), []);
        assert_eq!(flaps.suppressed_until(FIBER), None);
    }
}
