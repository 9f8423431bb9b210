//! The command line in the form of clap, for its completions.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, ValueHint};

use crate::cli::COMMANDS;
use crate::cli::syntax::{ABOUT, Argument, ArgumentForm, CommandRow};

/// The program with its commands and what they take.
pub fn program() -> Command {
    Command::new("uplinkd")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .disable_help_subcommand(true)
        .subcommands(COMMANDS.iter().map(command))
}

fn command(row: &CommandRow) -> Command {
    let arguments = row.arguments().map(argument);
    Command::new(row.form.name)
        .about(row.form.about)
        .args(arguments)
}

fn argument(row: &Argument) -> Arg {
    let many = if row.is_repeatable {
        ArgAction::Append
    } else {
        ArgAction::Set
    };
    let argument = Arg::new(row.name)
        .help(row.help)
        .conflicts_with_all(row.excludes)
        .action(many);
    let argument = match row.form {
        ArgumentForm::Switch => argument.long(row.name).action(ArgAction::SetTrue),
        ArgumentForm::Valued(value) | ArgumentForm::Dashed(value) => argument
            .long(row.name)
            .value_name(value)
            .value_hint(hint(value)),
        ArgumentForm::Optional { value, .. } => {
            let argument = argument.long(row.name).value_name(value);
            argument.num_args(0..=1).require_equals(true)
        }
        ArgumentForm::Word(word) => argument
            .required(true)
            .value_name(word)
            .value_hint(hint(word)),
        ArgumentForm::OptionalWord(word) => argument.value_name(word).value_hint(hint(word)),
    };
    if row.choices.is_empty() {
        argument
    } else {
        argument.value_parser(PossibleValuesParser::new(row.choices))
    }
}

/// Paths are completed by the shell; [`super::words`] takes the place of the others.
fn hint(value: &str) -> ValueHint {
    match value {
        "FILE" | "PATH" => ValueHint::AnyPath,
        "NAME" => ValueHint::Hostname,
        "SCENARIO" => ValueHint::Username,
        _ => ValueHint::Unknown,
    }
}
