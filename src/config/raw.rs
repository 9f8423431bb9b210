//! A configuration file as a tree of values that know their lines, whatever syntax it came in.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Fault, Problem};

/// A value and the line it begins on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

/// The keys of a section with their values. A node's line here is that of its key.
pub(super) type Entries = BTreeMap<String, Node>;

/// A value as the file writes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    /// A text of UCI, which has no other values: whoever asks for a number reads one from it.
    Word(String),
    Integer(i64),
    Float(f64),
    /// Something that no key takes: a date, a number beyond 64 bits.
    Other(String),
    Boolean(bool),
    List(Vec<Node>),
    Table(Entries),
}

impl Node {
    /// The tree of a TOML file, or the first things that are wrong with its syntax, one a line.
    pub(super) fn from_toml(text: &str) -> Result<Self, Vec<Problem>> {
        let lines = Lines::of(text);
        let (document, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            let value = Value::Table(lines.entries(document.into_inner()));
            return Ok(Self { line: 1, value });
        }
        let mut problems: Vec<_> = errors.iter().map(|error| lines.problem(error)).collect();
        Problem::put_in_order(&mut problems);
        problems.dedup_by_key(|problem| problem.line);
        problems.truncate(MAX_SYNTAX_PROBLEMS);
        Err(problems)
    }
}

/// What comes after so many is most likely the echo of what came before.
pub(super) const MAX_SYNTAX_PROBLEMS: usize = 10;

impl Value {
    pub(super) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) | Self::Word(text) = self {
            Some(text)
        } else {
            None
        }
    }

    pub(super) fn as_integer(&self) -> Option<i64> {
        if let Self::Word(text) = self {
            return integer(text);
        }
        if let Self::Integer(number) = self {
            Some(*number)
        } else {
            None
        }
    }

    /// Whole or not. A whole number that is too large for this is too large for every key.
    pub(super) fn as_number(&self) -> Option<f64> {
        if let Self::Word(text) = self {
            return text.parse().ok();
        }
        if let Self::Float(number) = self {
            return Some(*number);
        }
        let whole = self.as_integer()?;
        Some(i32::try_from(whole).map_or(f64::INFINITY, f64::from))
    }

    /// Of a word as OpenWrt's scripts read it (`get_bool` in `lib/functions.sh`).
    pub(super) fn as_boolean(&self) -> Option<bool> {
        if let Self::Boolean(truth) = self {
            return Some(*truth);
        }
        let Self::Word(text) = self else {
            return None;
        };
        boolean(text)
    }

    /// The items of a list. An option of UCI is the list of its words, as libuci has it (`blob.c`), and
    /// `none` is the empty one, which it could not write otherwise.
    pub(super) fn as_items(&self, line: usize) -> Option<Cow<'_, [Node]>> {
        let Self::Word(text) = self else {
            return self.as_list().map(Cow::Borrowed);
        };
        let words = text.split_whitespace().filter(|_| text != "none");
        let items = words.map(|word| Node {
            line,
            value: Self::Word(word.to_owned()),
        });
        Some(items.collect())
    }

    pub(super) fn as_list(&self) -> Option<&[Node]> {
        if let Self::List(items) = self {
            Some(items)
        } else {
            None
        }
    }

    pub(super) fn as_table(&self) -> Option<&Entries> {
        if let Self::Table(entries) = self {
            Some(entries)
        } else {
            None
        }
    }
}

impl fmt::Display for Value {
    /// As in the file; what is long is cut, what is nested is named.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_SHOWN: usize = 60;
        match self {
            Self::Text(text) | Self::Word(text) if text.chars().count() > MAX_SHOWN => {
                let shown: String = text.chars().take(MAX_SHOWN).collect();
                write!(f, "{shown:?}…")
            }
            Self::Text(text) | Self::Word(text) => write!(f, "{text:?}"),
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Other(text) => f.write_str(text),
            Self::Boolean(truth) => truth.fmt(f),
            Self::List(_) => f.write_str("a list"),
            Self::Table(_) => f.write_str("a table"),
        }
    }
}

/// A whole number of UCI: decimal, or hexadecimal with `0x`.
fn integer(text: &str) -> Option<i64> {
    if text.contains('+') {
        return None;
    }
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok().map(i64::from),
        None => text.parse().ok(),
    }
}

/// Yes or no as UCI has it.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "on" | "yes" | "true" | "enabled" => Some(true),
        "0" | "off" | "no" | "false" | "disabled" => Some(false),
        _ => None,
    }
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(after_breaks).collect())
    }

    fn line(&self, span: &Range<usize>) -> usize {
        self.0.partition_point(|&start| start <= span.start)
    }

    fn problem(&self, error: &toml::de::Error) -> Problem {
        Problem {
            line: error.span().map_or(1, |span| self.line(&span)),
            section: String::new(),
            key: String::new(),
            fault: Fault::Syntax {
                form: "TOML",
                what: error.message().trim().replace('\n', ", "),
            },
        }
    }

    fn entries(&self, table: DeTable<'_>) -> Entries {
        let entry = |(key, value): (Spanned<_>, Spanned<DeValue<'_>>)| {
            let line = self.line(&key.span());
            let value = self.value(value.into_inner());
            (String::from(key.into_inner()), Node { line, value })
        };
        table.into_iter().map(entry).collect()
    }

    fn value(&self, value: DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| Value::Other(number.to_string()), Value::Integer),
            DeValue::Float(number) => (number.as_str().parse())
                .map_or_else(|_| Value::Other(number.to_string()), Value::Float),
            DeValue::Boolean(truth) => Value::Boolean(truth),
            DeValue::Datetime(date) => Value::Other(date.to_string()),
            DeValue::Array(items) => Value::List(
                items
                    .into_iter()
                    .map(|item| Node {
                        line: self.line(&item.span()),
                        value: self.value(item.into_inner()),
                    })
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(self.entries(table)),
        }
    }
}
