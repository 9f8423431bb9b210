//! The kinds of values: what a key may be, and from a value in the file to the type that stands for it.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::document::ConfigValue;
use super::error::{Fault, Hint};
use crate::routing::traffic::{Marks, Ports};
use crate::units::{Bytes, IpProtocol, Loss, Mark};

/// What a key may be.
pub(super) trait ValueKind {
    /// What its value becomes.
    type Parsed;

    /// The value, or what is wrong with it.
    fn parse(&self, value: &ConfigValue) -> Result<Self::Parsed, Fault>;

    /// What it may be, as it follows on "must be".
    fn takes(&self) -> String;
}

/// A text.
pub(super) fn text(value: &ConfigValue) -> Result<&str, Fault> {
    let hint = match value {
        ConfigValue::Integer(_)
        | ConfigValue::Float(_)
        | ConfigValue::Boolean(_)
        | ConfigValue::Other(_) => Hint::write(format_args!("\"{value}\"")),
        ConfigValue::Text(_)
        | ConfigValue::Word(_)
        | ConfigValue::List(_)
        | ConfigValue::Table(_) => Hint::None,
    };
    let text = value.as_text();
    text.ok_or_else(|| Fault::value_or(value, "a text in quotes", hint))
}

/// The same of a text that is not any: without quotes a value is none, and with them it may be a wrong one.
fn text_such_as<'a>(
    value: &'a ConfigValue,
    takes: &str,
    is_one: impl Fn(&str) -> bool,
) -> Result<&'a str, Fault> {
    text(value).map_err(|fault| {
        if is_one(&value.to_string()) {
            fault
        } else {
            Fault::value(value, takes)
        }
    })
}

/// A text in quotes of which only the inside counts in TOML.
fn without_quotes(value: &ConfigValue, meant: impl Fn(&str) -> Option<String>) -> Hint {
    if let ConfigValue::Text(text) = value
        && let Some(meant) = meant(text)
    {
        return Hint::Advice(format!("write {meant}, without quotes"));
    }
    Hint::None
}

/// A number in quotes, with a percent sign or a comma.
fn plain_number<N: FromStr>(value: &ConfigValue) -> Hint {
    let number = value.as_text().map(|text| text.replace(',', "."));
    let number = number.unwrap_or_default();
    let number = number.trim_end_matches('%').trim_end();
    if number.parse::<N>().is_err() {
        Hint::None
    } else if let ConfigValue::Word(_) = value {
        Hint::write(number)
    } else {
        without_quotes(value, |_| Some(number.to_owned()))
    }
}

/// What is read by a function of its own.
pub(super) struct Own<T> {
    takes: &'static str,
    parse: fn(&ConfigValue) -> Result<T, Fault>,
}

/// What `parse` reads.
pub(super) const fn own<T>(
    takes: &'static str,
    parse: fn(&ConfigValue) -> Result<T, Fault>,
) -> Own<T> {
    Own { takes, parse }
}

impl<T> ValueKind for Own<T> {
    type Parsed = T;

    fn parse(&self, value: &ConfigValue) -> Result<T, Fault> {
        (self.parse)(value)
    }

    fn takes(&self) -> String {
        self.takes.to_owned()
    }
}

/// A text that `parse` takes.
pub(super) struct Text<T> {
    takes: &'static str,
    parse: fn(&str) -> Option<T>,
}

/// A text that `parse` takes.
pub(super) const fn text_of<T>(takes: &'static str, parse: fn(&str) -> Option<T>) -> Text<T> {
    Text { takes, parse }
}

impl<T> ValueKind for Text<T> {
    type Parsed = T;

    fn parse(&self, value: &ConfigValue) -> Result<T, Fault> {
        let given = text_such_as(value, self.takes, |text| (self.parse)(text).is_some())?;
        (self.parse)(given).ok_or_else(|| Fault::value(value, self.takes))
    }

    fn takes(&self) -> String {
        self.takes.to_owned()
    }
}

/// A name, with what it may be.
pub(super) const fn name<T>(takes: &'static str) -> Own<T>
where
    T: FromStr,
    Fault: From<T::Err>,
{
    own(takes, |value| Ok(text(value)?.parse()?))
}

/// A whole number within bounds, each of them included.
pub(super) struct WholeNumber<N, T> {
    bounds: &'static [(i64, i64)],
    make: fn(N) -> T,
}

/// A whole number, of which `make` makes something.
pub(super) const fn whole<N, T>(
    bounds: &'static [(i64, i64)],
    make: fn(N) -> T,
) -> WholeNumber<N, T> {
    WholeNumber { bounds, make }
}

impl<N: TryFrom<i64>, T> ValueKind for WholeNumber<N, T> {
    type Parsed = T;

    fn parse(&self, value: &ConfigValue) -> Result<T, Fault> {
        let number = value.as_integer().ok_or_else(|| {
            let hint = match value.as_number() {
                Some(number) if number.fract() == 0.0 => Hint::write(number),
                Some(_) | None => plain_number::<i64>(value),
            };
            Fault::value_or(value, "a whole number", hint)
        })?;
        let mut bounds = self.bounds.iter();
        let is_within = bounds.any(|(least, most)| (*least..=*most).contains(&number));
        let number = N::try_from(number).ok().filter(|_| is_within);
        let number = number.ok_or_else(|| Fault::value(value, self.takes()))?;
        Ok((self.make)(number))
    }

    fn takes(&self) -> String {
        let ranges = self.bounds.iter();
        let ranges = ranges.map(|(least, most)| format!("{least} to {most}"));
        ranges.collect::<Vec<_>>().join(" or ")
    }
}

/// A duration with a unit, within bounds.
pub(super) struct DurationRange(pub(super) RangeInclusive<Duration>);

impl ValueKind for DurationRange {
    type Parsed = Duration;

    fn parse(&self, value: &ConfigValue) -> Result<Duration, Fault> {
        const TAKES: &str = "a duration with a unit, such as \"1s\" or \"250ms\"";
        let duration = value
            .as_text()
            .and_then(|text| humantime::parse_duration(text).ok());
        let duration = duration.ok_or_else(|| {
            let shown = value.to_string();
            let number = shown.trim_matches('"');
            let hint = number.parse::<u32>().map_or(Hint::None, |number| {
                Hint::write(format_args!("\"{number}s\""))
            });
            Fault::value_or(value, TAKES, hint)
        })?;
        if self.0.contains(&duration) {
            return Ok(duration);
        }
        Err(Fault::value(value, self.takes()))
    }

    fn takes(&self) -> String {
        format!("{} to {}", show(*self.0.start()), show(*self.0.end()))
    }
}

/// A duration as the file writes it.
pub(super) fn show(duration: Duration) -> String {
    let shown = humantime::format_duration(duration).to_string();
    shown.replace("days", "d").replace("day", "d")
}

/// An amount of data with a unit, within bounds.
pub(super) struct ByteRange(pub(super) RangeInclusive<Bytes>);

impl ValueKind for ByteRange {
    type Parsed = Bytes;

    fn parse(&self, value: &ConfigValue) -> Result<Bytes, Fault> {
        const TAKES: &str = "an amount of data with a unit, such as \"50MB\"";
        let bytes = value.as_text().and_then(|text| text.parse().ok());
        let bytes = bytes.ok_or_else(|| Fault::value(value, TAKES))?;
        if self.0.contains(&bytes) {
            return Ok(bytes);
        }
        Err(Fault::value(value, self.takes()))
    }

    fn takes(&self) -> String {
        format!("{} to {}", self.0.start(), self.0.end())
    }
}

/// The same, or `off`.
pub(super) struct ByteRangeOrOff(pub(super) ByteRange);

impl ValueKind for ByteRangeOrOff {
    type Parsed = Option<Bytes>;

    fn parse(&self, value: &ConfigValue) -> Result<Option<Bytes>, Fault> {
        match value.as_text() {
            Some("off") => Ok(None),
            Some(_) | None => self.0.parse(value).map(Some),
        }
    }

    fn takes(&self) -> String {
        format!("\"off\" or {}", self.0.takes())
    }
}

/// `true` or `false`.
pub(super) struct YesNo;

impl ValueKind for YesNo {
    type Parsed = bool;

    fn parse(&self, value: &ConfigValue) -> Result<bool, Fault> {
        let meant = |text: &str| super::document::boolean(text).map(|truth| truth.to_string());
        let hint = without_quotes(value, meant);
        let truth = value.as_boolean();
        truth.ok_or_else(|| Fault::value_or(value, self.takes(), hint))
    }

    fn takes(&self) -> String {
        "true or false".to_owned()
    }
}

/// A number, whole or not, within bounds.
pub(super) struct NumberRange(pub(super) RangeInclusive<f64>);

impl ValueKind for NumberRange {
    type Parsed = f64;

    fn parse(&self, value: &ConfigValue) -> Result<f64, Fault> {
        let number = value.as_number().ok_or_else(|| {
            let hint = plain_number::<f64>(value);
            Fault::value_or(value, "a number", hint)
        })?;
        if self.0.contains(&number) {
            return Ok(number);
        }
        Err(Fault::value(value, self.takes()))
    }

    fn takes(&self) -> String {
        format!("{} to {}", self.0.start(), self.0.end())
    }
}

/// A share in percent, this much at least.
pub(super) struct Percent {
    pub(super) least: f64,
}

impl ValueKind for Percent {
    type Parsed = Loss;

    fn parse(&self, value: &ConfigValue) -> Result<Loss, Fault> {
        let number = value.as_number().ok_or_else(|| {
            let hint = plain_number::<f64>(value);
            Fault::value_or(value, "a number of percent", hint)
        })?;
        if (self.least..=100.0).contains(&number) {
            return Ok(Loss::from_percent(number));
        }
        let hint = if number > 0.0 && number < self.least {
            let percent = Loss::from_ratio(number).percent();
            Hint::Advice(format!(
                "the unit is percent: write {percent:.1} for {percent:.1} %"
            ))
        } else {
            Hint::None
        };
        Err(Fault::value_or(value, self.takes(), hint))
    }

    fn takes(&self) -> String {
        format!("{} to 100 percent", self.least)
    }
}

/// One of several words, each with its meaning.
pub(super) struct Words<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy> ValueKind for Words<T> {
    type Parsed = T;

    fn parse(&self, value: &ConfigValue) -> Result<T, Fault> {
        let is_one = |text: &str| self.0.iter().any(|(word, _)| *word == text);
        let given = text_such_as(value, &self.takes(), is_one)?;
        let mut words = self.0.iter();
        let meaning = words.find(|(word, _)| *word == given);
        meaning.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let hint = Hint::nearest(given, self.0.iter().map(|(word, _)| *word));
            Fault::value_or(value, self.takes(), hint)
        })
    }

    fn takes(&self) -> String {
        quoted(self.0.iter().map(|(word, _)| word))
    }
}

/// The name of something that stands in the file.
pub(super) struct NameOf<'a, T> {
    pub(super) known: &'a [&'a T],
    /// `an uplink` or `a group`.
    pub(super) what: &'static str,
}

impl<T: FromStr + PartialEq + Display> ValueKind for NameOf<'_, T>
where
    Fault: From<T::Err>,
{
    type Parsed = T;

    fn parse(&self, value: &ConfigValue) -> Result<T, Fault> {
        let name: T = text(value)?.parse()?;
        if self.known.contains(&&name) {
            return Ok(name);
        }
        let bound = match self.known {
            [] => format!("{}, and there is none", self.takes()),
            known => quoted(known.iter()),
        };
        Err(Fault::value(value, bound))
    }

    fn takes(&self) -> String {
        format!("the name of {}", self.what)
    }
}

fn quoted(words: impl Iterator<Item = impl Display>) -> String {
    let quoted = words.map(|word| format!("\"{word}\""));
    quoted.collect::<Vec<_>>().join(" or ")
}

/// The protocols whose packets have ports: TCP, UDP, DCCP and SCTP.
pub(super) const WITH_PORTS: [u8; 4] = [6, 17, 33, 132];

/// A transport protocol by its name or number.
pub(super) const PROTOCOL: Own<IpProtocol> = own("a name such as \"udp\", or 1 to 255", |value| {
    match value.as_integer() {
        Some(_) => whole(&[(1, 255)], IpProtocol).parse(value),
        None => PROTOCOL_NAMES.parse(value),
    }
});

const PROTOCOL_NAMES: Words<IpProtocol> = Words(&[
    ("tcp", IpProtocol(6)),
    ("udp", IpProtocol(17)),
    ("icmp", IpProtocol(1)),
    ("icmpv6", IpProtocol(58)),
    ("sctp", IpProtocol(132)),
    ("dccp", IpProtocol(33)),
    ("gre", IpProtocol(47)),
    ("esp", IpProtocol(50)),
    ("ah", IpProtocol(51)),
]);

/// `443`, `"443"` or `"5060-5080"`.
pub(super) const PORTS: Own<Ports> = own(
    "a port from 1 to 65535, or a range such as \"5060-5080\"",
    |value| {
        let refused = || Fault::value(value, PORTS.takes);
        let text = number_or_text(value).ok_or_else(refused)?;
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        let port = |text: &str| text.trim().parse().ok().filter(|port: &u16| *port > 0);
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Ports { first, last }),
            (_, _) => Err(refused()),
        }
    },
);

/// `"0x10"`, or with the bits that count: `"0x10/0xff"`.
pub(super) const MARKS: Own<Marks> = own(
    "a mark such as \"0x10\", or \"0x10/0xff\" with all its bits in the mask",
    |value| {
        let refused = || Fault::value(value, MARKS.takes);
        let given = number_or_text(value).ok_or_else(refused)?;
        let (mark, bits) = given.split_once('/').unwrap_or((&given, "0xffffffff"));
        match (mark_in(mark), mark_in(bits)) {
            (Some(mark), Some(bits)) if mark != 0 && mark & bits == mark => Ok(Marks {
                mark: Mark(mark),
                mask: Mark(bits),
            }),
            (_, _) => Err(refused()),
        }
    },
);

/// `"0xff000000"`: bits of a mark.
pub(super) const MARK_BITS: Own<Mark> = own(
    "two bits or more in a row, such as \"0xff000000\"",
    |value| {
        let given = number_or_text(value).and_then(|text| mark_in(&text));
        let bits = given.filter(|bits| {
            let lowest = bits.checked_shr(bits.trailing_zeros()).unwrap_or(0);
            bits.count_ones() > 1 && lowest.count_ones() == lowest.trailing_ones()
        });
        let refused = || Fault::value(value, MARK_BITS.takes);
        bits.map(Mark).ok_or_else(refused)
    },
);

fn mark_in(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// What may be written either way.
fn number_or_text(value: &ConfigValue) -> Option<String> {
    match value.as_text() {
        Some(text) => Some(text.to_owned()),
        None => value.as_integer().map(|number| number.to_string()),
    }
}

/// An absolute path that a Unix socket can be bound to.
pub(super) const SOCKET: Text<PathBuf> = text_of("an absolute path of at most 107 bytes", |path| {
    // `sun_path` (unix(7)) holds 108 bytes with the final zero.
    const MAX_BYTES: usize = 107;
    let is_good = is_absolute(path) && !path.ends_with('/') && path.len() <= MAX_BYTES;
    is_good.then(|| PathBuf::from(path))
});

/// An absolute path of a directory.
pub(super) const DIRECTORY: Text<PathBuf> = text_of("an absolute path", |path| {
    is_absolute(path).then(|| PathBuf::from(path))
});

/// The absolute path of a file, or none.
pub(super) const FILE_OR_OFF: Text<Option<PathBuf>> =
    text_of("\"off\" or the absolute path of a file", |text| {
        let is_file = is_absolute(text) && !text.ends_with('/');
        (text == "off" || is_file).then(|| Some(text.into()).filter(|_| is_file))
    });

fn is_absolute(path: &str) -> bool {
    path.starts_with('/') && !path.contains('\0')
}
