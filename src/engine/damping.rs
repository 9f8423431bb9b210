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
//! An uplink that was steady through most of its suppression, and fails again sooner after it than outages are borne
//! for ever, was given back too early: it is suppressed at once, for twice as long as it had been steady, up to
//! `longest`. After a suppression of `longest` it is suppressed for half of that: failures as far apart as the
//! suppression is long would look like its consequence for ever, and do not at another length. An uplink that failed
//! throughout its suppression, or fails long after it, is judged by its penalty alone.
//!
//! Damping never keeps the traffic on an unusable uplink, nor away from the only usable one. When an
//! operator chooses an uplink or ends its maintenance, its penalty is cleared.

use std::time::Duration;

use crate::engine::event::{Change, Event};
use crate::engine::ids::UplinkId;
use crate::engine::settings::{DampingSettings, UplinkSettings};
use crate::engine::state::State;
use crate::engine::wording::seconds;
use crate::units::Moment;
use crate::units::sorted::SortedMap;

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
    uplinks: SortedMap<UplinkId, Penalty>,
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
    suppression: Option<Suppression>,
    /// The last suppression, where it was steady through most of it and has not failed since.
    release: Option<Release>,
}

/// A suppression that goes on.
#[derive(Clone, Copy, Debug)]
struct Suppression {
    since: Moment,
    until: Moment,
}

/// The end of a suppression of an uplink that was steady before for so long.
#[derive(Clone, Copy, Debug)]
struct Release {
    at: Moment,
    steady: Duration,
}

impl FlapChange {
    /// Its event.
    pub(super) fn event(self, uplink: &UplinkSettings, now: Moment) -> Event {
        let change = Change::Flap {
            uplink: uplink.name.clone(),
            interface: uplink.interface.clone(),
            is_suppressed: self.is_suppressed,
        };
        Event::new(now, change, self.reason)
    }
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
            if let Some(over) = penalty.suppression.take_if(|one| one.until <= now) {
                penalty.release = over.release(penalty.last);
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
            let was_suppressed = penalty.suppression.is_some();
            penalty.add(weight, settings, now);
            if !was_suppressed && let Some(suppression) = penalty.suppression {
                changes.push(FlapChange {
                    uplink: turn.uplink,
                    is_suppressed: true,
                    reason: penalty.explain(suppression.until, now),
                });
            }
        }
        changes
    }

    /// When the next suppression ends.
    pub fn next_timeout(&self) -> Option<Moment> {
        let penalties = self.uplinks.values();
        penalties.filter_map(Penalty::suppressed_until).min()
    }

    /// Until when an uplink is suppressed, if it is.
    pub fn suppressed_until(&self, uplink: UplinkId) -> Option<Moment> {
        self.uplinks.get(&uplink)?.suppressed_until()
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
            if let Some(suppression) = &mut penalty.suppression {
                suppression.until = suppression.until.min(latest);
            }
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
            suppression: None,
            release: None,
        }
    }

    fn suppressed_until(&self) -> Option<Moment> {
        Some(self.suppression?.until)
    }

    fn add(&mut self, weight: f64, settings: DampingSettings, now: Moment) {
        let faded = self.faded(settings, now);
        if faded < SERIES_ENDS_AT && self.suppression.is_none() {
            (self.first, self.falls) = (now, 0);
        }
        self.falls += 1;
        self.sum = (faded + weight).min(settings.ceiling());
        self.last = now;
        let soon = settings.borne_apart();
        let release = self.release.take();
        let setback = release.filter(|release| now.since(release.at) < soon);
        if self.suppression.is_some() || setback.is_some() || self.sum >= settings.suppress {
            let least = setback.map(|release| settings.after_setback(release.steady));
            let wait = self.time_to_reuse(settings).max(least.unwrap_or_default());
            self.suppress_until(now + wait.min(settings.longest), now);
        }
    }

    fn suppress_until(&mut self, until: Moment, now: Moment) {
        if let Some(suppression) = &mut self.suppression {
            suppression.until = suppression.until.max(until);
        } else if until > now {
            self.suppression = Some(Suppression { since: now, until });
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

impl Suppression {
    /// Its end, if the uplink that fell last at `last` was steady through most of it.
    fn release(self, last: Moment) -> Option<Release> {
        let steady = self.until.since(last);
        let is_steady = steady * 2 > self.until.since(self.since);
        let at = self.until;
        is_steady.then_some(Release { at, steady })
    }
}

impl DampingSettings {
    /// Outages of a trusted uplink that are so far apart never add up to `suppress`. Where each of them is enough,
    /// there is no such time.
    fn borne_apart(self) -> Duration {
        // The sum of the geometric series, 1 / (1 - kept).
        let kept = 1.0 - OUTAGE_PENALTY / self.suppress;
        let seconds = -kept.max(0.0).log2() * self.half_life.as_secs_f64();
        Duration::try_from_secs_f64(seconds).unwrap_or(self.longest)
    }

    /// For how long an uplink is suppressed that was steady for so long in its suppression, and failed soon after it.
    fn after_setback(self, steady: Duration) -> Duration {
        if steady >= self.longest {
            self.longest / 2
        } else {
            (steady * 2).min(self.longest)
        }
    }

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

    /// Time passes until then, and each suppression ends when that is due.
    fn pass(flaps: &mut Flaps, until: f64) {
        while let Some(due) = flaps.next_timeout().filter(|due| *due <= at(until)) {
            flaps.observe(SETTINGS, due, []);
        }
    }

    /// It falls at these moments, in seconds. When it fell last.
    fn fall_at(flaps: &mut Flaps, moments: impl IntoIterator<Item = f64>) -> f64 {
        let mut last = 0.0;
        for now in moments {
            pass(flaps, now);
            fall(flaps, now);
            last = now;
        }
        last
    }

    /// So many falls, so many seconds apart.
    fn apart(seconds: f64, falls: u32) -> impl Iterator<Item = f64> {
        (0..falls).map(move |fall| f64::from(fall) * seconds)
    }

    /// For how long it is suppressed from its last fall on, if it falls a minute after each suppression.
    fn setbacks(flaps: &mut Flaps, mut last: f64, count: u32) -> Vec<f64> {
        let mut spans = Vec::new();
        for _ in 0..count {
            let until = flaps.suppressed_until(FIBER).expect("suppressed");
            spans.push(until.since(at(last)).as_secs_f64() / 3_600.0);
            last = until.since_start().as_secs_f64() + 60.0;
            fall_at(flaps, [last]);
        }
        spans
    }

    #[test]
    fn one_that_falls_soon_after_a_steady_suppression_is_suppressed_for_twice_as_long() {
        let mut flaps = Flaps::default();
        let last = fall_at(&mut flaps, apart(1.0, 4));
        let spans = setbacks(&mut flaps, last, 6);
        let expected = [2.0, 4.0, 6.0, 3.0, 6.0, 3.0];
        for (span, expected) in spans.iter().zip(expected) {
            assert!((span - expected).abs() < 0.01, "{spans:?}");
        }
    }

    #[test]
    fn one_that_fell_throughout_its_suppression_is_judged_by_its_penalty_alone() {
        let mut flaps = Flaps::default();
        fall_at(&mut flaps, apart(1.0, 4).chain([4_200.0, 8_400.0]));
        let until = flaps.suppressed_until(FIBER).expect("suppressed");
        fall_at(&mut flaps, [until.since_start().as_secs_f64() + 60.0]);
        assert_eq!(flaps.suppressed_until(FIBER), None);
    }

    #[test]
    fn one_that_falls_long_after_its_suppression_is_judged_by_its_penalty_alone() {
        for (minutes, is_soon) in [(34.0, true), (36.0, false)] {
            let mut flaps = Flaps::default();
            fall_at(&mut flaps, apart(1.0, 4));
            let until = flaps.suppressed_until(FIBER).expect("suppressed");
            let later = until.since_start().as_secs_f64() + minutes * 60.0;
            fall_at(&mut flaps, [later]);
            let is_suppressed = flaps.suppressed_until(FIBER).is_some();
            assert_eq!(is_suppressed, is_soon, "{minutes} min");
        }
    }

    #[test]
    fn one_failure_a_period_of_an_hour_to_a_day_is_borne_in_the_end_whatever_was_before() {
        let histories: [Vec<f64>; 9] = [
            vec![],
            vec![0.0],
            apart(180.0, 3).collect(),
            apart(1.0, 4).collect(),
            apart(1.0, 1_000).collect(),
            apart(60.0, 6 * 60).collect(),
            apart(60.0, 2 * 1_440).collect(),
            apart(1_200.0, 9).collect(),
            apart(1_800.0, 48).collect(),
        ];
        let mut histories: Vec<_> = (histories.into_iter())
            .map(|falls| {
                let mut flaps = Flaps::default();
                let last = fall_at(&mut flaps, falls);
                (flaps, last)
            })
            .collect();
        let mut given_back_early = Flaps::default();
        let last = fall_at(&mut given_back_early, apart(1.0, 4));
        let hours: f64 = setbacks(&mut given_back_early, last, 5).iter().sum();
        histories.push((given_back_early, last + hours * 3_600.0 + 5.0 * 60.0));
        for (number, (flaps, last)) in histories.iter().enumerate() {
            for minutes in 61..=1_440_u32 {
                let mut flaps = flaps.clone();
                let period = f64::from(minutes) * 60.0;
                for turn in 1..=40_u32 {
                    fall_at(&mut flaps, [last + f64::from(turn) * period]);
                    let is_trusted = flaps.suppressed_until(FIBER).is_none();
                    assert!(is_trusted || turn <= 20, "{number}: {minutes} min");
                }
            }
        }
    }

    #[test]
    fn one_that_falls_each_minute_or_each_half_hour_is_suppressed_for_good() {
        for every in [60.0, 1_800.0] {
            let mut flaps = Flaps::default();
            for now in apart(every, 3_000) {
                pass(&mut flaps, now);
                let is_suppressed = flaps.suppressed_until(FIBER).is_some();
                assert!(is_suppressed || now < every * 7.0, "{every} s: {now} s");
                fall(&mut flaps, now);
            }
        }
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
