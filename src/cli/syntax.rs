//! The form of the command line. A command is a row: how it is called, what it is for, what it takes and what
//! it does. Parsing, help, usage, errors and completions follow the rows.

mod given;
mod help;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use anyhow::Result;

use super::failure::UsageError;
use crate::config::{nearest, printable};

pub(super) use crate::engine::command::form::{Argument, ArgumentForm, CommandForm};

pub(super) use given::{Given, path, text};
#[cfg(feature = "packaging")]
pub(super) use help::ABOUT;
pub(super) use help::{of_command, of_program};

/// A command of the command line.
#[derive(Clone, Copy)]
pub(super) struct CommandRow {
    pub(super) form: CommandForm,
    /// What it takes behind its own arguments, to find the agent.
    pub(super) connection: &'static [Argument],
    /// Does it.
    pub(super) run: fn(&Given) -> Result<ExitCode>,
}

impl CommandRow {
    /// All that it takes.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &'static Argument> + Clone + use<> {
        self.form.arguments.iter().chain(self.connection)
    }

    /// `Usage: uplinkd status [OPTIONS] [NAME]`
    fn usage(&self) -> String {
        let mut usage = format!("Usage: uplinkd {}", self.form.name);
        if self.arguments().any(|argument| !argument.is_word()) {
            usage.push_str(" [OPTIONS]");
        }
        for word in self.arguments().filter(|argument| argument.is_word()) {
            usage = format!("{usage} {word}");
        }
        usage
    }

    /// The error that the command is not written so.
    fn misuse(&self, what: &str) -> UsageError {
        let (name, usage) = (self.form.name, self.usage());
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
