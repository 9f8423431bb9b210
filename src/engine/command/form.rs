//! How commands are written, on the command line and on ubus.

use std::fmt::{self, Display};
use std::str::FromStr;

/// A command, what it is for and what it takes.
#[derive(Clone, Copy, Debug)]
pub struct CommandForm {
    /// Its name.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// Words in their order, and options in that of the help.
    pub arguments: &'static [Argument],
}

/// What a command takes: an option, or a word.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// An option without its dashes, a word as the field of its request. Unique in its command.
    pub name: &'static str,
    /// How it is written.
    pub form: ArgumentForm,
    /// What it is for.
    pub help: &'static str,
    /// What is wrong with a value of it, where that can be told before the command is run.
    pub check: fn(&str) -> Result<(), String>,
    /// What counts if it is not given.
    pub default: Option<fn() -> &'static str>,
    /// All that it may be, where these are words.
    pub choices: &'static [&'static str],
    /// The names of those that it cannot stand beside.
    pub excludes: &'static [&'static str],
    /// An option that must be there.
    pub is_required: bool,
    /// It may be given more than once.
    pub is_repeatable: bool,
}

/// How an argument is written.
#[derive(Clone, Copy, Debug)]
pub enum ArgumentForm {
    /// `--json`
    Switch,
    /// `--config FILE` or `--config=FILE`
    Valued(&'static str),
    /// Such an option whose value may begin with a dash even behind a space.
    Dashed(&'static str),
    /// `--drain=LIMIT`, or `--drain` for the usual one
    Optional {
        /// What it is, in capitals.
        value: &'static str,
        /// What `--drain` means.
        usual: &'static str,
    },
    /// A word that must be there, and what it is, in capitals.
    Word(&'static str),
    /// A word that may be there.
    OptionalWord(&'static str),
}

impl Argument {
    /// A switch that nothing is known of but its name.
    pub const fn named(name: &'static str) -> Self {
        Self {
            name,
            form: ArgumentForm::Switch,
            help: "",
            check: |_| Ok(()),
            default: None,
            choices: &[],
            excludes: &[],
            is_required: false,
            is_repeatable: false,
        }
    }

    /// It has no dashes.
    pub const fn is_word(&self) -> bool {
        matches!(
            self.form,
            ArgumentForm::Word(_) | ArgumentForm::OptionalWord(_)
        )
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
            ArgumentForm::Word(word) => write!(f, "<{word}>"),
            ArgumentForm::OptionalWord(word) => write!(f, "[{word}]"),
        }?;
        f.write_str(if self.is_repeatable { "..." } else { "" })
    }
}

/// What is wrong with a text that is not one of these.
pub fn parses<T: FromStr<Err: Display>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(drop).map_err(|why| why.to_string())
}
