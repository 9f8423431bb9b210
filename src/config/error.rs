//! What can be wrong with a configuration, in words that help to correct it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::document::ConfigValue;
use crate::units::{NameError, TargetError};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such file.
    #[error(
        "there is no configuration {}: copy the sample there, {SAMPLE}, and name the uplinks in it",
        printable(path.display())
    )]
    NoFile {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read the configuration {}", printable(path.display()))]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is a megabyte or more.
    #[error("{}: larger than 1 MiB, the most that a configuration may have", printable(.0.display()))]
    TooLarge(PathBuf),
    /// The file was read and says something that cannot be.
    #[error("{}", lines(file, problems))]
    Refused {
        /// The name of the file.
        file: String,
        /// All that is wrong, by line.
        problems: Vec<Problem>,
    },
}

/// Where the sample is.
const SAMPLE: &str =
    "/usr/share/doc/uplinkd/examples/uplinkd.toml (config/uplinkd.toml in the source)";

fn lines(file: &str, problems: &[Problem]) -> String {
    let file = printable(file);
    let lines: Vec<_> = problems
        .iter()
        .map(|problem| format!("{file}:{problem}"))
        .collect();
    lines.join("\n")
}

/// The text without what a terminal would obey: control characters, and those that turn the direction
/// of writing, are escaped.
pub fn printable(text: impl fmt::Display) -> String {
    let is_obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::new();
    for c in text.to_string().chars() {
        if is_obeyed(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The section, such as `[probe]` or `[[uplink]] fiber`; empty at the top of the file.
    pub section: String,
    /// The key within the section; empty where the section as a whole is wrong.
    pub key: String,
    /// What is wrong.
    pub fault: Fault,
}

impl Problem {
    /// After so many the rest is most likely the echo of what came before.
    pub(super) const MAX_OF_SYNTAX: usize = 10;

    /// A problem of the syntax: `form` is TOML, UCI or UTF-8.
    pub(super) fn of_syntax(line: usize, form: &'static str, what: impl Into<String>) -> Self {
        let what = what.into();
        Self {
            line,
            section: String::new(),
            key: String::new(),
            fault: Fault::Syntax { form, what },
        }
    }

    /// By line; those of one line stay as they are.
    pub(super) fn put_in_order(problems: &mut [Self]) {
        problems.sort_by_key(|problem| problem.line);
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.line)?;
        for place in [&self.section, &self.key] {
            if !place.is_empty() {
                write!(f, "{}: ", printable(place))?;
            }
        }
        f.write_str(&printable(&self.fault))
    }
}

/// What is wrong with a key or its value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The file is not what it should be here.
    #[error("not valid {form}: {what}")]
    Syntax {
        /// TOML, UCI or UTF-8.
        form: &'static str,
        /// What is there, and what to write.
        what: String,
    },
    /// There is no such kind of section.
    #[error("unknown section{0}")]
    UnknownSection(Hint),
    /// There is no such key.
    #[error("unknown key{0}")]
    UnknownKey(Hint),
    /// The contract knows it; this version does not act on it.
    #[error("not supported by this version")]
    NotSupported,
    /// A key without a default is not there.
    #[error("missing: {0}")]
    Missing(&'static str),
    /// The value cannot be.
    #[error("{value}: must be {bound}{hint}")]
    Value {
        /// What is there.
        value: String,
        /// What would be right.
        bound: String,
        /// What was probably meant.
        hint: Hint,
    },
    /// Not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not a target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A target that shows nothing about an uplink.
    #[error("target `{target}` {reason}")]
    UselessTarget {
        /// The target.
        target: String,
        /// Why it is of no use, and what would be.
        reason: String,
    },
    /// A table that says more than a target takes.
    #[error("unknown key `{key}` of a target; known are `url`, `status` and `text`{hint}")]
    TargetKey {
        /// The key.
        key: String,
        /// The nearest of them.
        hint: Hint,
    },
    /// The same thing twice.
    #[error("{value}: already on line {first}")]
    Duplicate {
        /// What is there twice.
        value: String,
        /// Where it is for the first time.
        first: usize,
    },
    /// Two uplinks that cannot be distinguished.
    #[error(
        "{interface}: also the interface of the uplink on line {first}; two uplinks on one interface \
         need {needs}"
    )]
    SharedInterface {
        /// The interface.
        interface: String,
        /// Where the other uplink is.
        first: usize,
        /// What would distinguish them.
        needs: &'static str,
    },
}

impl Fault {
    /// A value that must be something else.
    pub(super) fn value(value: impl fmt::Display, bound: impl Into<String>) -> Self {
        Self::Value {
            value: value.to_string(),
            bound: bound.into(),
            hint: Hint::None,
        }
    }

    /// The same, and what was probably meant.
    pub(super) fn value_or(value: impl fmt::Display, bound: impl Into<String>, hint: Hint) -> Self {
        Self::Value {
            value: value.to_string(),
            bound: bound.into(),
            hint,
        }
    }

    /// A value where a list of values must be.
    pub(super) fn no_list(value: &ConfigValue) -> Self {
        let hint = if let ConfigValue::Text(text) = value {
            let items = text.split([',', ';', ' ']).filter(|item| !item.is_empty());
            let items: Vec<_> = items.map(|item| format!("{item:?}")).collect();
            Hint::write(format_args!("[{}]", items.join(", ")))
        } else {
            Hint::None
        };
        Self::value_or(value, "a list", hint)
    }
}

/// What was probably meant by something wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Hint {
    /// There is nothing like it.
    #[default]
    None,
    /// A word like it.
    Nearest(String),
    /// The same word in these sections.
    Elsewhere(String),
    /// What to write, or what else helps.
    Advice(String),
}

impl Hint {
    /// The nearest of the words that are possible, if any is like this one.
    pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        nearest(word, known).map_or(Self::None, |word| Self::Nearest(word.to_owned()))
    }

    /// `write TEXT`
    pub(super) fn write(text: impl fmt::Display) -> Self {
        Self::Advice(format!("write {text}"))
    }
}

/// The word most like another one, if any is like it.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Jaro-Winkler 0.8 takes a swapped, a missing and a doubled letter for the word that was meant,
    // and keeps words apart that merely share letters.
    const ALIKE: f64 = 0.8;
    let alike = known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > ALIKE);
    let nearest = alike.max_by(|(one, _), (other, _)| one.total_cmp(other));
    nearest.map(|(_, word)| word)
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Nearest(word) => write!(f, "; did you mean `{word}`?"),
            Self::Elsewhere(sections) => write!(f, "; it belongs under {sections}"),
            Self::Advice(advice) => write!(f, "; {advice}"),
        }
    }
}
