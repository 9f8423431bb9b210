//! Hours of the week by the local clock: when a rule applies, and when a failback may be.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::weekly::{DAY, LocalMinute, days, minute_of_day, write_days};

const ALL_DAYS: u8 = 0x7f;

/// Some hours of the week, as spans of which each may be within another; none stand for all time.
///
/// They hold by what the local clock shows and by nothing else: what it leaps over at the beginning of summer time is
/// not there on that day, and what it shows twice at its end holds twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WeeklyHours(Vec<WeeklySpan>);

impl WeeklyHours {
    /// These, one after the other.
    pub fn of(spans: Vec<WeeklySpan>) -> Self {
        Self(spans)
    }

    /// They are no limit.
    pub fn are_always(&self) -> bool {
        self.0.is_empty()
    }

    /// The spans, in the order in which they were given.
    pub fn spans(&self) -> &[WeeklySpan] {
        &self.0
    }

    /// Whether a minute is one of them.
    pub fn contain(&self, minute: LocalMinute) -> bool {
        self.are_always() || self.0.iter().any(|span| span.contains(minute))
    }

    /// The first minute after this one at which they begin or end; none where they never do.
    pub fn next_change(&self, minute: LocalMinute) -> Option<LocalMinute> {
        let is_within = self.contain(minute);
        let bounds = self.0.iter().flat_map(|span| [span.from, span.to]);
        let ahead = bounds.flat_map(|bound| (0..=7).map(move |day| (day, bound)));
        let ahead = ahead.filter_map(|(day, bound)| minute.at_day(day, bound));
        let changes = ahead.filter(|at| *at > minute && self.contain(*at) != is_within);
        changes.min()
    }
}

impl fmt::Display for WeeklyHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut mark = "";
        for span in &self.0 {
            write!(f, "{mark}{span}")?;
            mark = ", ";
        }
        Ok(())
    }
}

/// From one time of day to another on some days of the week, such as `mon-fri 08:00-18:00`, `02:00-05:00` or `sat,sun`.
/// What goes over midnight, such as `fri 22:00-06:00`, is of the day on which it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WeeklySpan {
    /// A bit for each day, Monday first; at least one.
    days: u8,
    /// From midnight on.
    from: u16,
    /// The first minute that is not of it any more, up to midnight; not `from`.
    to: u16,
}

impl WeeklySpan {
    fn contains(self, minute: LocalMinute) -> bool {
        let (today, time) = minute.weekday_and_time();
        let is_on = |day: u32| self.days >> (day % 7) & 1 == 1;
        let (from, to) = (u32::from(self.from), u32::from(self.to));
        if from < to {
            is_on(today) && (from..to).contains(&time)
        } else {
            (is_on(today) && time >= from) || (is_on(today + 6) && time < to)
        }
    }

    /// All spans of a text, one after the other.
    ///
    /// # Errors
    /// If a word is neither days nor a span of time, or stands where it has no meaning.
    pub fn all_in(text: &str) -> Result<Vec<Self>, InvalidWeeklySpan> {
        let mut spans = Vec::new();
        let mut on = None;
        let whole = |days| Self {
            days,
            from: 0,
            to: DAY,
        };
        for word in text.split_whitespace() {
            let ends = word.ends_with(',');
            let word = word.trim_end_matches(',');
            if let Some((from, to)) = times(word) {
                let days = on.take().unwrap_or(ALL_DAYS);
                spans.push(Self { days, from, to });
            } else {
                let days = days(word).ok_or(InvalidWeeklySpan)?;
                spans.extend(on.replace(days).map(whole));
            }
            if ends {
                spans.extend(on.take().map(whole));
            }
        }
        spans.extend(on.map(whole));
        Some(spans)
            .filter(|spans| !spans.is_empty())
            .ok_or(InvalidWeeklySpan)
    }
}

/// `08:00-18:00`, `22:00-06:00` or `18:00-24:00`.
fn times(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-')?;
    let from = minute_of_day(from)?;
    let to = match to {
        "24:00" => DAY,
        to => minute_of_day(to)?,
    };
    (from != to).then_some((from, to))
}

/// What is no span of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no hours such as `mon-fri 08:00-18:00`, `02:00-05:00` or `sat,sun`")]
pub struct InvalidWeeklySpan;

impl FromStr for WeeklySpan {
    type Err = InvalidWeeklySpan;

    fn from_str(text: &str) -> Result<Self, InvalidWeeklySpan> {
        match *Self::all_in(text)? {
            [span] => Ok(span),
            _ => Err(InvalidWeeklySpan),
        }
    }
}

impl fmt::Display for WeeklySpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { days, from, to } = *self;
        let is_whole = (from, to) == (0, DAY);
        if days != ALL_DAYS {
            write_days(days, f)?;
            f.write_str(if is_whole { "" } else { " " })?;
        }
        if is_whole && days != ALL_DAYS {
            return Ok(());
        }
        let clock = |minute: u16| (minute / 60, minute % 60);
        let ((hour, minute), (to_hour, to_minute)) = (clock(from), clock(to));
        write!(f, "{hour:02}:{minute:02}-{to_hour:02}:{to_minute:02}")
    }
}

impl TryFrom<String> for WeeklySpan {
    type Error = InvalidWeeklySpan;

    fn try_from(text: String) -> Result<Self, InvalidWeeklySpan> {
        text.parse()
    }
}

impl From<WeeklySpan> for String {
    fn from(span: WeeklySpan) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Timestamp, ZonedTime};
    use super::*;

    fn hours(text: &str) -> WeeklyHours {
        WeeklyHours::of(WeeklySpan::all_in(text).expect("hours"))
    }

    /// 2026-11-28 is a Saturday.
    fn local(time: &str) -> LocalMinute {
        let utc = Timestamp(humantime::parse_rfc3339(&format!("2026-{time}:00Z")).expect("a time"));
        { ZonedTime { utc, offset: 0 } }.local().expect("a minute")
    }

    #[test]
    fn hours_hold_from_their_first_minute_until_before_their_last() {
        for (text, inside, outside) in [
            (
                "mon-fri 08:00-18:00",
                ["11-27T08:00", "11-27T17:59"],
                ["11-27T07:59", "11-27T18:00", "11-28T12:00"],
            ),
            // Over midnight it is of the day on which it begins.
            (
                "fri 22:00-06:00",
                ["11-27T22:00", "11-28T05:59"],
                ["11-27T05:00", "11-28T06:00", "11-28T22:00"],
            ),
            (
                "sun 22:00-06:00",
                ["11-29T23:00", "11-30T00:00"],
                ["11-29T01:00", "11-30T06:00", "11-30T22:00"],
            ),
            (
                "18:00-24:00",
                ["11-28T18:00", "11-29T23:59"],
                ["11-28T00:00", "11-28T17:59", "11-29T00:00"],
            ),
            (
                "sat,sun",
                ["11-28T00:00", "11-29T23:59"],
                ["11-27T23:59", "11-30T00:00", "11-25T12:00"],
            ),
            (
                "mon-fri 08:00-12:00, 13:00-14:00 sat",
                ["11-27T11:00", "11-28T20:00"],
                ["11-29T12:30", "11-27T12:00", "11-29T14:00"],
            ),
        ] {
            let hours = hours(text);
            for time in inside {
                assert!(hours.contain(local(time)), "{text} at {time}");
            }
            for time in outside {
                assert!(!hours.contain(local(time)), "{text} at {time}");
            }
        }
    }

    /// By looking at each minute.
    #[test]
    fn the_next_change_is_the_first_minute_at_which_the_hours_begin_or_end() {
        for text in [
            "mon-fri 08:00-18:00",
            "22:00-06:00",
            "sat,sun",
            "mon 08:00-12:00 mon 12:00-13:00",
            "wed 23:30-00:10 thu 00:10-00:20",
            "mon-sun 00:00-24:00",
            "mon 10:00-09:59",
        ] {
            let hours = hours(text);
            let first = local("11-26T03:07");
            let within = |ahead| hours.contain(first.at_day(0, 187 + ahead).expect("a minute"));
            let change = (1..10_200_u16).find(|ahead| within(*ahead) != within(0));
            let change = change.and_then(|ahead| first.at_day(0, 187 + ahead));
            assert_eq!(hours.next_change(first), change, "{text}");
        }
    }

    #[test]
    fn hours_are_written_as_they_are_read_and_what_is_none_is_refused() {
        for text in [
            "02:00-05:00",
            "sat,sun",
            "mon,tue 22:00-06:00",
            "mon-fri 18:00-24:00",
            "00:00-24:00",
        ] {
            assert_eq!(hours(text).to_string(), text);
        }
        let several = hours("FRI-mon  02:00-05:00 wed, 22:00-24:00").to_string();
        assert_eq!(several, "mon,fri-sun 02:00-05:00, wed, 22:00-24:00");
        assert_eq!(hours(&several).to_string(), several);
        for text in [
            "",
            ",",
            "02:00",
            "02:00-02:00",
            "02:00-25:00",
            "2:00-5:00",
            "24:00-02:00",
            "monday 02:00-05:00",
            "mon 02:00 - 05:00",
            "sat- 02:00-05:00",
        ] {
            assert!(WeeklySpan::all_in(text).is_err(), "{text}");
        }
    }
}
