//! What holds by the hours of the local clock: rules, and the failback.
//!
//! Hours hold by what the clock shows, and by nothing that it showed before: a clock that is set, or goes to summer
//! time, changes at once what holds. While it is not set no hours hold: a rule that has some does not apply, and there
//! is no failback. What leaves an uplink of no use is no failback, and waits for no hours.

use super::settings::{Failback, FailoverSettings, SharedSettings};
use crate::units::{LocalMinute, Moment, WeeklyHours, ZonedTime};

/// What the local clock shows, where anything has hours.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LocalClock {
    /// None while it is not set.
    shown: Option<ZonedTime>,
    /// Since when `failback_window` is open.
    open_since: Option<Moment>,
}

impl LocalClock {
    /// Takes what the wall clock shows.
    pub(super) fn take(&mut self, time: ZonedTime, settings: &SharedSettings, now: Moment) {
        self.shown = Some(time).filter(|time| time.utc.is_set());
        self.adapt(settings, now);
    }

    /// The settings are others now.
    pub(super) fn adapt(&mut self, settings: &SharedSettings, now: Moment) {
        if !settings.has_hours() {
            // It is not told the time any more.
            self.shown = None;
        }
        let is_open = self.is_within(&settings.failback_window);
        self.open_since = is_open.then(|| self.open_since.unwrap_or(now));
    }

    /// Whether these hours hold now.
    pub(super) fn is_within(self, hours: &WeeklyHours) -> bool {
        let now = self.minute();
        hours.are_always() || now.is_some_and(|now| hours.contain(now))
    }

    /// When that changes; none while the clock is not set, and where it never does.
    pub(super) fn next_change(self, hours: &WeeklyHours) -> Option<LocalMinute> {
        hours.next_change(self.minute()?)
    }

    /// How the active uplink is chosen at this hour.
    pub(super) fn failover(self, settings: &SharedSettings) -> FailoverSettings {
        let failback = match (settings.failover.failback, self.open_since) {
            (Failback::Auto, _) if settings.failback_window.are_always() => Failback::Auto,
            (Failback::Auto, Some(since)) => Failback::OpenSince(since),
            (Failback::Auto, None) => Failback::Closed,
            (other @ (Failback::Manual | Failback::Closed | Failback::OpenSince(_)), _) => other,
        };
        FailoverSettings {
            failback,
            ..settings.failover
        }
    }

    /// How far it is ahead of UTC, in seconds.
    pub(super) fn offset(self) -> i32 {
        self.shown.map_or(0, |time| time.offset)
    }

    fn minute(self) -> Option<LocalMinute> {
        self.shown?.local()
    }
}
