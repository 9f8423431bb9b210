//! A configuration file as a tree of values that know their lines, whatever syntax it came in.

use crate::units::sorted::SortedMap;
use std::borrow::Cow;
use std::fmt;

/// A value and the line it begins on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: ConfigValue,
}

/// The keys of a section with their values. A node's line here is that of its key.
pub(super) type Entries = SortedMap<String, Node>;

/// A value as the file writes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ConfigValue {
    Text(String),
    /// A text of UCI, which has no other values: where a number is expected, it is read as one.
    Word(String),
    Integer(i64),
    Float(f64),
    /// Something that no key takes: a date, a number beyond 64 bits.
    Other(String),
    Boolean(bool),
    List(Vec<Node>),
    Table(Entries),
}

impl ConfigValue {
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

    /// WholeNumber or not. A whole number that is too large for this is too large for every key.
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

impl fmt::Display for ConfigValue {
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
