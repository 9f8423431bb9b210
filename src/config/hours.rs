//! Hours of the week, as of a rule or of the failback.

use super::document::{ConfigValue, Node};
use super::error::{Fault, Hint, nearest};
use super::kinds::{Own, ValueKind, own, text};
use crate::units::weekly::WEEKDAYS;
use crate::units::{WeeklyHours, WeeklySpan};

/// All time.
const ALWAYS: &str = "always";

/// One span, several in a row, or a list of them; or all time.
pub(super) const HOURS: Own<WeeklyHours> = own(
    "\"always\", local hours such as \"mon-fri 08:00-18:00\", \"22:00-06:00\" or \"sat,sun\", or a list of them",
    |value| {
        if value.as_text() == Some(ALWAYS) {
            return Ok(WeeklyHours::default());
        }
        let Some(items) = value.as_list() else {
            return spans(value).map(WeeklyHours::of);
        };
        let spans: Result<Vec<_>, _> = items
            .iter()
            .map(|Node { value, .. }| spans(value))
            .collect();
        let spans = spans?.concat();
        if spans.is_empty() {
            return Err(Fault::value(value, HOURS.takes()));
        }
        Ok(WeeklyHours::of(spans))
    },
);

fn spans(value: &ConfigValue) -> Result<Vec<WeeklySpan>, Fault> {
    let given = text(value)?;
    WeeklySpan::all_in(given).map_err(|_| {
        let hint =
            meant(given).map_or(Hint::None, |meant| Hint::write(format_args!("\"{meant}\"")));
        Fault::value_or(value, HOURS.takes(), hint)
    })
}

/// Hours in another form than ours, such as `Monday - Friday 8:00-18`, in ours.
fn meant(given: &str) -> Option<WeeklyHours> {
    let given = given
        .to_lowercase()
        .replace(['–', '—'], "-")
        .replace(" to ", "-");
    let mut text = String::new();
    for (place, part) in given.split('-').map(str::trim).enumerate() {
        text.push_str(if place > 0 { "-" } else { "" });
        let words = part.split_inclusive([' ', ',']);
        text.extend(words.map(|word| {
            let bare = word.trim_end_matches([' ', ',']);
            day(bare)
                .or_else(|| time(bare))
                .unwrap_or_else(|| bare.to_owned())
                + &word[bare.len()..]
        }));
    }
    WeeklySpan::all_in(&text).ok().map(WeeklyHours::of)
}

/// `monday` or `mno` as `mon`.
fn day(word: &str) -> Option<String> {
    let start = word.get(..3)?;
    let is_word = word.chars().all(char::is_alphabetic);
    let exact = WEEKDAYS.iter().find(|day| **day == start).copied();
    let near = || nearest(word, WEEKDAYS.iter().copied());
    exact.or_else(near).filter(|_| is_word).map(str::to_owned)
}

/// `8`, `8:00` or `8.00` as `08:00`.
fn time(word: &str) -> Option<String> {
    let (hour, minute) = word.split_once([':', '.']).unwrap_or((word, "0"));
    let (hour, minute) = (hour.parse::<u8>().ok()?, minute.parse::<u8>().ok()?);
    Some(format!("{hour:02}:{minute:02}"))
}
