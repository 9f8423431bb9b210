//! The form of the command line. A command is a row: how it is called, what it is for, what it takes and what
//! it does. Parsing, help, usage, errors and completions follow the rows.

mod given;
mod help;
#[cfg(test)]
mod tests;

use std::fmt;
use std::process::ExitCode;

use anyhow::Result;

use super::failure::UsageError;
use crate::config::{nearest, printable};

pub(super) use given::{Given, path, text};
#[cfg(feature = "packaging")]
pub(super) use help::ABOUT;
pub(super) use help::{of_command, of_program};

/// A command of the command line.
pub(super) struct CommandRow {
    pub(super) name: &'static str,
    /// What it does, in a line.
    pub(super) about: &'static str,
    /// Words in their order, and options in that of the help.
    pub(super) arguments: &'static [Argument],
    /// Does it.
    pub(super) run: fn(&Given) -> Result<ExitCode>,
}

/// What a command takes: an option, or a word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Argument {
    /// An option without its dashes; of a word what it is, in capitals. Unique in its command.
    pub(super) name: &'static str,
    pub(super) form: ArgumentForm,
    pub(super) help: &'static str,
    /// What counts if it is not given.
    pub(super) default: Option<fn() -> &'static str>,
    /// All that it may be, where these are words.
    pub(super) choices: &'static [&'static str],
    /// The names of those that it cannot stand beside.
    pub(super) excludes: &'static [&'static str],
    /// It may be given more than once.
    pub(super) is_repeatable: bool,
}

/// How an argument is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum ArgumentForm {
    /// `--json`
    Switch,
    /// `--config FILE` or `--config=FILE`
    Valued(&'static str),
    /// Such an option whose value may begin with a dash even behind a space.
    Dashed(&'static str),
    /// `--drain=LIMIT`, or `--drain` for the usual one
    Optional {
        value: &'static str,
        usual: &'static str,
    },
    /// A word that must be there.
    Word,
    /// A word that may be there.
    OptionalWord,
}

impl Argument {
    /// A switch that nothing is known of but its name.
    pub(super) const fn named(name: &'static str) -> Self {
        Self {
            name,
            form: ArgumentForm::Switch,
            help: "",
            default: None,
            choices: &[],
            excludes: &[],
            is_repeatable: false,
        }
    }

    pub(super) const fn is_word(&self) -> bool {
        matches!(self.form, ArgumentForm::Word | ArgumentForm::OptionalWord)
    }
}

/// As usage shows it.
impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        match self.form {
            ArgumentForm::Switch => write!(f, "--{name}"),
            ArgumentForm::Valued(value) | ArgumentForm::Dashed(value) => {
                write!(f, "--{name} <{value}>")
            }
            ArgumentForm::Optional { value, .. } => write!(f, "--{name}[=<{value}>]"),
            ArgumentForm::Word => write!(f, "<{name}>"),
            ArgumentForm::OptionalWord => write!(f, "[{name}]"),
        }?;
        f.write_str(if self.is_repeatable { "..." } else { "" })
    }
}

impl CommandRow {
    /// `Usage: uplinkd status [OPTIONS] [NAME]`
    fn usage(&self) -> String {
        let mut usage = format!("Usage: uplinkd {}", self.name);
        if self.arguments.iter().any(|argument| !argument.is_word()) {
            usage.push_str(" [OPTIONS]");
        }
        for word in self.arguments.iter().filter(|argument| argument.is_word()) {
            usage = format!("{usage} {word}");
        }
        usage
    }

    /// The error that the command is not written so.
    fn misuse(&self, what: &str) -> UsageError {
        let (name, usage) = (self.name, self.usage());
        let what = printable(what);
        UsageError(format!(
            "{name}: {what}\n{usage}\nHelp: uplinkd {name} --help"
        ))
    }
}

/// The error that the program is not called so.
pub(super) fn misuse(what: &str) -> UsageError {
    let (what, usage) = (printable(what), help::USAGE);
    UsageError(format!("{what}\n{usage}\nHelp: uplinkd --help"))
}

/// A word that is not known, and what was meant if it is like one that is; `mark` stands before both.
pub(super) fn unknown<'a>(
    mark: &str,
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> String {
    let meant = nearest(word, known).map(|meant| format!("; did you mean `{mark}{meant}`?"));
    format!("`{mark}{word}`{}", meant.unwrap_or_default())
}
