//! Days of the local calendar, and the day of the month on which a period begins.

use std::fmt;
use std::time::SystemTime;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::LocalMinute;

/// A day of the local clock: the days since 1970 as if its zone were UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalDay(pub u32);

/// `2026-11-01`
impl fmt::Display for LocalDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = LocalMinute::midnight(*self).at_offset(0).to_string();
        f.pad(text.split('T').next().unwrap_or_default())
    }
}

impl Serialize for LocalDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LocalDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let begin = humantime::parse_rfc3339(&format!("{text}T00:00:00Z"));
        let begin = begin.map_err(D::Error::custom)?;
        let since = begin.duration_since(SystemTime::UNIX_EPOCH);
        let days = since.map_err(D::Error::custom)?.as_secs() / 86_400;
        u32::try_from(days).map(Self).map_err(D::Error::custom)
    }
}

/// The day of the month on which a period begins, 1 to 31; in a shorter month its last day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BillingDay(pub u8);

impl BillingDay {
    /// The first day of the period that a day lies in, and that of the next.
    pub fn period_of(self, day: LocalDay) -> [LocalDay; 2] {
        let (mut first, mut begin) = (0, 0);
        let mut months = 0..;
        loop {
            let length = days_of(months.next().unwrap_or_default());
            let next = first + length.min(self.0.into()).max(1) - 1;
            if next > day.0 {
                return [begin, next].map(LocalDay);
            }
            (begin, first) = (next, first + length);
        }
    }
}

/// How long a month is; the first is January of 1970.
fn days_of(month: u32) -> u32 {
    let year = 1970 + month / 12;
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month % 12 {
        1 => 28 + u32::from(is_leap),
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_begins_on_its_day_or_on_the_last_of_a_shorter_month() {
        let day = |text: &str| -> LocalDay {
            serde_json::from_str(&format!("\"{text}\"")).expect("a day")
        };
        for (billing, today, begin, end) in [
            (1, "2026-11-28", "2026-11-01", "2026-12-01"),
            (1, "2026-12-01", "2026-12-01", "2027-01-01"),
            (15, "2027-01-14", "2026-12-15", "2027-01-15"),
            (31, "2027-03-01", "2027-02-28", "2027-03-31"),
            (31, "2028-02-28", "2028-01-31", "2028-02-29"),
            (30, "2028-02-29", "2028-02-29", "2028-03-30"),
            (31, "2100-03-30", "2100-02-28", "2100-03-31"),
            (29, "2000-03-01", "2000-02-29", "2000-03-29"),
        ] {
            let period = BillingDay(billing).period_of(day(today));
            assert_eq!(period, [begin, end].map(day), "{billing} {today}");
            assert_eq!(period.map(|day| day.to_string()), [begin, end]);
        }
        assert_eq!(BillingDay(1).period_of(LocalDay(0)), [0, 31].map(LocalDay));
    }
}
