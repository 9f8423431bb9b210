//! When drills begin by themselves.
//!
//! A drill is due in the minute in which the local clock reaches the time of `drill.schedule` for the first time. Where
//! the clock goes over that time, as at the beginning of summer time, it is due in the next minute that exists; a time
//! that comes twice, as at its end, counts once. A clock that is not set, or is set anew, makes nothing due: what lies
//! between its two times has not passed. So no drill is made up for that fell due while the agent did not run.

use std::time::Duration;

use crate::units::{LocalMinute, Moment, WeeklyTime, ZonedTime};

/// A clock that differs by more from the time that has passed was set anew, and so was its zone. One that was not
/// looked at for longer is looked at anew: there was no schedule, or the agent did not run.
const SET_ANEW: Duration = Duration::from_secs(5 * 60);
/// The local clock is put forward or back by no more than this in a year.
const SEASON: u32 = 2 * 3_600;
/// Two drills by schedule are at least so far apart, also where the clock is set back between them.
const APART: Duration = Duration::from_secs(12 * 3_600);

/// What is known of the wall clock, and when the last drill was due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DrillSchedule {
    last: Option<ClockReading>,
    due: Option<Moment>,
}

#[derive(Clone, Copy, Debug)]
struct ClockReading {
    at: Moment,
    time: ZonedTime,
    /// The latest minute that it has shown since it was set.
    latest: LocalMinute,
}

impl DrillSchedule {
    /// Takes what the clock shows; whether a drill is due.
    pub(super) fn is_due(
        &mut self,
        schedule: Option<WeeklyTime>,
        time: ZonedTime,
        now: Moment,
    ) -> bool {
        let Some(local) = time.local().filter(|_| time.utc.is_set()) else {
            self.last = None;
            return false;
        };
        let before = self.last.filter(|last| last.goes_on(time, now));
        let latest = before.map_or(local, |before| before.latest.max(local));
        self.last = Some(ClockReading {
            at: now,
            time,
            latest,
        });
        let (Some(before), Some(schedule)) = (before, schedule) else {
            return false;
        };
        let is_reached = schedule.next_after(before.latest) <= latest;
        let is_apart = self.due.is_none_or(|due| now.since(due) >= APART);
        if is_reached && is_apart {
            self.due = Some(now);
        }
        is_reached && is_apart
    }

    /// When the next one is due; none while the clock is not known.
    pub(super) fn next(&self, schedule: Option<WeeklyTime>) -> Option<LocalMinute> {
        Some(schedule?.next_after(self.last?.latest))
    }
}

impl ClockReading {
    /// The clock shows what it should show now: it was not set anew.
    fn goes_on(&self, time: ZonedTime, now: Moment) -> bool {
        let passed = now.since(self.at);
        let shown = time.utc.0.duration_since(self.time.utc.0);
        let differs = shown.map_or_else(
            |back| passed + back.duration(),
            |shown| shown.abs_diff(passed),
        );
        passed.max(differs) <= SET_ANEW && time.offset.abs_diff(self.time.offset) <= SEASON
    }
}
