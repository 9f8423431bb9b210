//! What an uplink may carry in a period, and what of it has been used.
//!
//! It is counted by the counters of the interface, both ways, from reading to reading. A period begins
//! on its day by the local clock, when that shows the day for the first time. A clock that is not set, or shows an earlier
//! time, ends none: a router without a battery starts with the time of its firmware. One that shows a time before the
//! period for half a day is believed, and what was used stays. One that has leapt ahead and is set right within half a day
//! has ended none: what was used before the leap and after it is of the period that goes on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::settings::{AllowanceAction, AllowanceSettings, UplinkSettings};
use super::status::AllowanceStatus;
use super::wording::tenths;
use crate::units::{BillingDay, Bytes, InterfaceReading, LocalDay, Moment, ZonedTime};

/// What is announced when it is reached, in percent.
const ANNOUNCED: [u8; 3] = [75, 95, 100];
/// A clock that shows a time before the period is believed after so long, and so is one that has begun a period.
const BELIEVED_AFTER: Duration = Duration::from_secs(12 * 3_600);

/// What was counted, as it outlives a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowanceCount {
    /// What has gone through in the period.
    pub used: Bytes,
    /// The reading until which it is counted.
    pub read: Option<InterfaceReading>,
    /// The period; none while the clock was never set.
    pub period: Option<BillingPeriod>,
    /// The highest share, in percent, that was announced in it; 0: none.
    pub announced: u8,
    /// The period before, while the clock may be set back into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<EndedPeriod>,
}

/// A period that is over, if the clock is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedPeriod {
    /// Which.
    pub period: BillingPeriod,
    /// What has gone through in it.
    pub used: Bytes,
    /// The highest share, in percent, that was announced in it.
    pub announced: u8,
}

impl AllowanceCount {
    /// They differ in no more than what the traffic changes all the time.
    pub fn is_same_but_for_bytes(&self, other: &Self) -> bool {
        (self.period, self.announced) == (other.period, other.announced)
            && self.read.is_some() == other.read.is_some()
    }
}

/// A period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillingPeriod {
    /// The day of the month on which periods begin.
    pub day: BillingDay,
    /// The first day.
    pub begins: LocalDay,
    /// The first day of the next one.
    pub ends: LocalDay,
}

/// How an uplink stands to its allowance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AllowanceStanding {
    /// It may carry traffic.
    #[default]
    Free,
    /// It is used up: traffic goes there only where no other uplink is usable.
    LastResort,
    /// It is used up: no traffic goes there.
    Off,
}

/// What was counted of one uplink.
#[derive(Clone, Debug, Default)]
pub struct AllowanceTrack {
    count: AllowanceCount,
    /// Since when the clock has shown a time before the period.
    behind_since: Option<Moment>,
    /// Since when the clock has shown a time after the period before.
    ahead_since: Option<Moment>,
}

impl AllowanceTrack {
    /// That of an uplink, of which `old` was counted under other settings; none if it has no allowance.
    pub fn adapted(old: Option<Box<Self>>, settings: &UplinkSettings) -> Option<Box<Self>> {
        let allowance = settings.allowance.as_ref();
        allowance.map(|_| old.unwrap_or_default())
    }

    /// What was counted, for a later run.
    pub fn count(&self) -> AllowanceCount {
        self.count
    }

    /// Goes on with what an earlier run counted, unless this one has counted already.
    pub fn recall(&mut self, count: AllowanceCount) {
        if self.count.read.is_none() {
            self.count = count;
        }
    }

    /// Takes what the interface has counted.
    pub fn read(&mut self, reading: InterfaceReading) {
        let before = self.count.read.replace(reading);
        let bytes = before.map_or(0, |before| reading.bytes_since(&before));
        self.count.used.0 = self.count.used.0.saturating_add(bytes);
    }

    /// An operator says how much is used.
    pub fn set_used(&mut self, used: Bytes) {
        (self.count.used, self.count.before) = (used, None);
    }

    /// Takes what the clock shows.
    pub fn take_time(&mut self, day: BillingDay, time: ZonedTime, now: Moment) {
        let Some(today) = time.local().filter(|_| time.utc.is_set()) else {
            (self.behind_since, self.ahead_since) = (None, None);
            return;
        };
        let [begins, ends] = day.period_of(today.day());
        let period = BillingPeriod { day, begins, ends };
        self.go_back_to(period);
        let known = self.count.period.filter(|known| known.day == day);
        let is_behind = known.is_some_and(|known| begins < known.begins);
        let behind_since = is_behind.then(|| self.behind_since.unwrap_or(now));
        self.behind_since = behind_since;
        if behind_since.is_none_or(|since| now.since(since) >= BELIEVED_AFTER) {
            self.count.period = Some(period);
        }
        if let Some(known) = known.filter(|known| begins > known.begins) {
            self.end(known);
        }
        let may_go_back = self.count.before.is_some();
        let ahead_since = may_go_back.then(|| self.ahead_since.unwrap_or(now));
        self.ahead_since = ahead_since;
        if ahead_since.is_some_and(|since| now.since(since) >= BELIEVED_AFTER) {
            self.count.before = None;
        }
    }

    /// A period is over. Where that of before may not be, yet, that is the one that may go on.
    fn end(&mut self, period: BillingPeriod) {
        let used = std::mem::take(&mut self.count.used);
        let ended = EndedPeriod {
            period,
            used: Bytes(0),
            announced: self.count.announced,
        };
        let before = self.count.before.get_or_insert(ended);
        before.used.0 = before.used.0.saturating_add(used.0);
    }

    /// The clock shows a time of the period before, or of one between: it had leapt ahead.
    fn go_back_to(&mut self, shown: BillingPeriod) {
        let is_ahead = |known: BillingPeriod| known.begins > shown.begins;
        let has_leapt = self.count.period.is_some_and(is_ahead);
        let before = self.count.before.take_if(|before| {
            let is_in_reach = shown.begins >= before.period.begins;
            has_leapt && is_in_reach && before.period.day == shown.day
        });
        if let Some(before) = before {
            self.count.period = Some(before.period);
            self.count.announced = before.announced;
            self.count.used.0 = self.count.used.0.saturating_add(before.used.0);
            self.ahead_since = None;
        }
    }

    /// What is to be announced now, in percent of the limit.
    pub fn announce(&mut self, settings: &AllowanceSettings) -> Option<u8> {
        let percent = self.percent(settings);
        let reached = ANNOUNCED
            .into_iter()
            .filter(|one| percent >= f64::from(*one));
        let reached = reached.max().unwrap_or_default();
        let before = std::mem::replace(&mut self.count.announced, reached);
        (reached > before).then_some(reached)
    }

    /// How the uplink stands to it.
    pub fn standing(&self, settings: &AllowanceSettings) -> AllowanceStanding {
        match settings.action {
            AllowanceAction::LastResort if self.is_used_up(settings) => {
                AllowanceStanding::LastResort
            }
            AllowanceAction::Off if self.is_used_up(settings) => AllowanceStanding::Off,
            AllowanceAction::Warn | AllowanceAction::LastResort | AllowanceAction::Off => {
                AllowanceStanding::Free
            }
        }
    }

    fn is_used_up(&self, settings: &AllowanceSettings) -> bool {
        self.count.used >= settings.limit
    }

    #[expect(clippy::cast_precision_loss, reason = "a share, to be shown")]
    fn percent(&self, settings: &AllowanceSettings) -> f64 {
        self.count.used.0 as f64 * 100.0 / settings.limit.0 as f64
    }

    /// What is used, in words.
    pub fn words(&self, settings: &AllowanceSettings) -> String {
        let AllowanceSettings { limit, action, .. } = settings;
        let percent = self.percent(settings).floor();
        let mut words = format!("{} of {limit} are used ({percent} %)", self.count.used);
        if self.is_used_up(settings) {
            words.push_str(match action {
                AllowanceAction::Warn => "",
                AllowanceAction::LastResort => {
                    ": traffic goes there only where no other uplink is usable"
                }
                AllowanceAction::Off => ": no traffic goes there",
            });
        }
        if let Some(period) = self.count.period {
            words = format!("{words}; the next period begins on {}", period.ends);
        }
        words
    }

    /// The read model.
    pub fn status(&self, settings: &AllowanceSettings) -> AllowanceStatus {
        let period = self.count.period;
        AllowanceStatus {
            limit_bytes: settings.limit,
            used_bytes: self.count.used,
            used_percent: tenths(self.percent(settings)),
            action: settings.action,
            begins: period.map(|period| period.begins),
            ends: period.map(|period| period.ends),
        }
    }
}
