//! Times of the week by the local clock: what a schedule is written in.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{LocalDay, Timestamp};

/// The minutes of a day.
pub(super) const DAY: u16 = 24 * 60;
const WEEK: u32 = 7 * DAY as u32;
/// 1970 began on a Thursday.
const FIRST_WEEKDAY: u32 = 3;
/// The days of the week.
pub const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A time of the wall clock, with how far the local clock is ahead of UTC then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZonedTime {
    /// The time, in whole seconds.
    pub utc: Timestamp,
    /// The local time less UTC, in seconds.
    pub offset: i32,
}

impl ZonedTime {
    /// The minute that the local clock shows; none before 1970 and after the year 10000.
    pub fn local(self) -> Option<LocalMinute> {
        let since = self.utc.0.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let seconds = since.as_secs().checked_add_signed(self.offset.into())?;
        u32::try_from(seconds / 60).ok().map(LocalMinute)
    }
}

/// A minute of the local clock: the minutes since 1970 as if its zone were UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalMinute(u32);

impl LocalMinute {
    /// The time at which a clock shows it that is `offset` seconds ahead of UTC.
    pub fn at_offset(self, offset: i32) -> Timestamp {
        let seconds = (u64::from(self.0) * 60).saturating_add_signed(-i64::from(offset));
        Timestamp(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
    }

    /// The day that it is of.
    pub fn day(self) -> LocalDay {
        LocalDay(self.0 / u32::from(DAY))
    }

    /// The first of a day.
    pub fn midnight(day: LocalDay) -> Self {
        Self(day.0.saturating_mul(DAY.into()))
    }

    /// From 0 on Monday at 00:00.
    fn of_week(self) -> u32 {
        (self.0 + FIRST_WEEKDAY * u32::from(DAY)) % WEEK
    }

    /// The day of the week, from 0 on Monday, and the minute of that day.
    pub(super) fn weekday_and_time(self) -> (u32, u32) {
        let (now, day) = (self.of_week(), u32::from(DAY));
        (now / day, now % day)
    }

    /// So many days after its own, so many minutes after midnight.
    pub(super) fn at_day(self, days: u32, minutes: u16) -> Option<Self> {
        let day = u32::from(DAY);
        let midnight = (self.0 / day + days).checked_mul(day)?;
        Some(Self(midnight.checked_add(minutes.into())?))
    }
}

/// `sat 03:30`
impl fmt::Display for LocalMinute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, time) = self.weekday_and_time();
        write_days(1 << day, f)?;
        write!(f, " {:02}:{:02}", time / 60, time % 60)
    }
}

/// A time of day on some days of the week, such as `sun 03:30`, `mon-fri 04:00`, `mon,thu 04:00` or `04:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WeeklyTime {
    /// A bit for each day, Monday first; at least one.
    days: u8,
    /// From midnight on.
    minute: u16,
}

impl WeeklyTime {
    /// The first such minute after this one.
    pub fn next_after(self, minute: LocalMinute) -> LocalMinute {
        let (now, day_long) = (minute.of_week(), u32::from(DAY));
        let today = now / day_long;
        let ahead = (today..=today + 7).filter(|day| self.days >> (day % 7) & 1 == 1);
        let mut ahead = ahead.map(|day| day * day_long + u32::from(self.minute));
        let next = ahead.find(|at| *at > now).unwrap_or(now + WEEK);
        LocalMinute(minute.0 + (next - now))
    }
}

/// What is no time of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no time such as `sun 03:30`, `mon-fri 04:00` or `04:00`")]
pub struct InvalidWeeklyTime;

impl FromStr for WeeklyTime {
    type Err = InvalidWeeklyTime;

    fn from_str(text: &str) -> Result<Self, InvalidWeeklyTime> {
        let mut words = text.split_whitespace().rev();
        let minute = words.next().and_then(minute_of_day);
        let days = words.next().map_or(Some(0x7f), days);
        match (minute, days, words.next()) {
            (Some(minute), Some(days), None) => Ok(Self { days, minute }),
            (Some(_) | None, Some(_) | None, _) => Err(InvalidWeeklyTime),
        }
    }
}

/// `03:30`
pub(super) fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, most: u16| {
        let is_two_digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<u16>().ok().filter(|_| is_two_digits);
        number.filter(|number| *number <= most)
    };
    Some(number(hour, 23)? * 60 + number(minute, 59)?)
}

/// `sun`, `mon-fri`, `fri-mon`, or several of them with commas.
pub(super) fn days(text: &str) -> Option<u8> {
    let day = |name: &str| { WEEKDAYS.iter() }.position(|day| name.eq_ignore_ascii_case(day));
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let count = (last + 7 - first) % 7;
        for ahead in 0..=count {
            days |= 1 << ((first + ahead) % 7);
        }
    }
    Some(days)
}

/// `mon,tue`, or `mon-fri` where at least three follow each other.
pub(super) fn write_days(days: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let is_in = |place: usize| days >> place & 1 == 1;
    let (mut mark, mut place) = ("", 0);
    while let Some(first) = (place..WEEKDAYS.len()).find(|place| is_in(*place)) {
        let next = (first..WEEKDAYS.len()).find(|place| !is_in(*place));
        let next = next.unwrap_or(WEEKDAYS.len());
        let last = if next - first > 2 { next - 1 } else { first };
        write!(f, "{mark}{}", WEEKDAYS[first])?;
        if last > first {
            write!(f, "-{}", WEEKDAYS[last])?;
        }
        (mark, place) = (",", last + 1);
    }
    Ok(())
}

impl fmt::Display for WeeklyTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != 0x7f {
            write_days(self.days, f)?;
            f.write_str(" ")?;
        }
        write!(f, "{:02}:{:02}", self.minute / 60, self.minute % 60)
    }
}

impl TryFrom<String> for WeeklyTime {
    type Error = InvalidWeeklyTime;

    fn try_from(text: String) -> Result<Self, InvalidWeeklyTime> {
        text.parse()
    }
}

impl From<WeeklyTime> for String {
    fn from(time: WeeklyTime) -> Self {
        time.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(utc: &str) -> LocalMinute {
        let utc = Timestamp(humantime::parse_rfc3339(utc).expect("a time"));
        { ZonedTime { utc, offset: 0 } }.local().expect("a minute")
    }

    #[test]
    fn the_next_time_of_a_schedule_is_found_over_the_end_of_a_week() {
        // 2026-11-29 is a Sunday.
        for (schedule, after, next) in [
            ("sun 03:30", "2026-11-28T09:00:00Z", "2026-11-29T03:30:00Z"),
            ("sun 03:30", "2026-11-29T03:29:59Z", "2026-11-29T03:30:00Z"),
            ("sun 03:30", "2026-11-29T03:30:00Z", "2026-12-06T03:30:00Z"),
            ("03:30", "2026-11-29T03:30:00Z", "2026-11-30T03:30:00Z"),
            (
                "fri-mon 00:00",
                "2026-11-30T00:00:00Z",
                "2026-12-04T00:00:00Z",
            ),
            (
                "mon,thu 23:59",
                "2026-12-31T23:59:00Z",
                "2027-01-04T23:59:00Z",
            ),
        ] {
            let schedule: WeeklyTime = schedule.parse().expect("a schedule");
            assert_eq!(schedule.next_after(local(after)), local(next), "{schedule}");
        }
    }

    #[test]
    fn a_schedule_is_written_as_it_is_read_and_what_is_none_is_refused() {
        for text in ["sun 03:30", "mon,tue,thu-sun 00:00", "23:59"] {
            let schedule: WeeklyTime = text.parse().expect("a schedule");
            assert_eq!(schedule.to_string(), text);
        }
        let every: WeeklyTime = " Mon-SUN  04:00 ".parse().expect("a schedule");
        assert_eq!(every.to_string(), "04:00");
        for text in [
            "",
            "sun",
            "sun 3:30",
            "sun 24:00",
            "sun 03:60",
            "san 03:30",
            "sun- 03:30",
            "sun,, 03:30",
            "03:30 sun",
            "a sun 03:30",
            "sun +3:30",
            "sun 03:30:00",
        ] {
            assert!(text.parse::<WeeklyTime>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_minute_of_the_local_clock_is_found_again_by_its_offset() {
        let utc = Timestamp(humantime::parse_rfc3339("2026-11-29T02:30:00Z").expect("a time"));
        for offset in [3_600, -12_600, 0] {
            let minute = ZonedTime { utc, offset }.local().expect("a minute");
            assert_eq!(minute.at_offset(offset), utc);
        }
    }
}
