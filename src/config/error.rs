//! What can be wrong with a configuration, in words that help to mend it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::units::{NameError, TargetError};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is a megabyte or more.
    #[error("{}: larger than 1 MiB, no configuration is", .0.display())]
    TooLarge(PathBuf),
    /// The file is not UTF-8.
    #[error("{}: not a text in UTF-8", .0.display())]
    NotText(PathBuf),
    /// The file was read and says something that cannot be.
    #[error("{}", lines(file, problems))]
    Refused {
        /// The name of the file.
        file: String,
        /// All that is wrong, by line.
        problems: Vec<Problem>,
    },
}

fn lines(file: &str, problems: &[Problem]) -> String {
    let lines: Vec<_> = problems
        .iter()
        .map(|problem| format!("{file}:{problem}"))
        .collect();
    lines.join("\n")
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The section, such as `[probe]` or `[[uplink]] fiber`; empty at the top of the file.
    pub section: String,
    /// The key within the section; empty where it is about the section as a whole.
    pub key: String,
    /// What is wrong.
    pub fault: Fault,
}

impl Problem {
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
                write!(f, "{place}: ")?;
            }
        }
        self.fault.fmt(f)
    }
}

/// What is wrong with a key or its value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The file is not what it should be here.
    #[error("not valid {form}: {what}")]
    Syntax {
        /// TOML or UCI.
        form: &'static str,
        /// What is there.
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
    /// The value is of another kind.
    #[error("{found}: must be {expected}")]
    Kind {
        /// What would be right.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// The value is out of bounds.
    #[error("{value}: must be {bound}")]
    Bound {
        /// What is there.
        value: String,
        /// What would be right.
        bound: String,
    },
    /// The word is none of those that are possible.
    #[error("{value}: must be {choices}{hint}")]
    Choice {
        /// What is there.
        value: String,
        /// What would be right.
        choices: String,
        /// The nearest of them.
        hint: Hint,
    },
    /// Not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not a target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A well-formed target that cannot tell anything about an uplink.
    #[error("target `{target}` {reason}")]
    UselessTarget {
        /// The target.
        target: String,
        /// Why it is of no use.
        reason: &'static str,
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
    /// Two uplinks cannot be told apart.
    #[error(
        "{interface}: also the interface of the uplink on line {first}; two uplinks on one interface \
         need two different addresses as `gateway`"
    )]
    SharedInterface {
        /// The interface.
        interface: String,
        /// Where the other uplink is.
        first: usize,
    },
    /// Two uplinks cannot be told apart without rules.
    #[error(
        "{interface}: also the interface of the uplink on line {first}; two uplinks on one interface \
         need `routing.mode` \"table\""
    )]
    SharedInterfaceInMain {
        /// The interface.
        interface: String,
        /// Where the other uplink is.
        first: usize,
    },
}

/// Where the writer of a wrong word may have wanted to go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Hint {
    /// Nobody knows.
    #[default]
    None,
    /// A word like it.
    Nearest(String),
    /// The same word in another section.
    Elsewhere(&'static str),
}

impl Hint {
    /// The nearest of the words that are possible, if any is like this one.
    pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        // Jaro-Winkler 0.8 takes a swapped, a missing and a doubled letter for the word that was
        // meant, and keeps words apart that merely share letters.
        const ALIKE: f64 = 0.8;
        let alike = known
            .into_iter()
            .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
            .filter(|(likeness, _)| *likeness > ALIKE);
        let nearest = alike.max_by(|(one, _), (other, _)| one.total_cmp(other));
        nearest.map_or(Self::None, |(_, word)| Self::Nearest(word.to_owned()))
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Nearest(word) => write!(f, "; did you mean `{word}`?"),
            Self::Elsewhere(section) => write!(f, "; it belongs under {section}"),
        }
    }
}
