//! The help of the program and of each command.

use super::{Argument, CommandRow};
use crate::cli::output::{paragraph, wrapped};

/// What the program is for.
pub(in crate::cli) const ABOUT: &str = "Keeps a router online when an internet uplink fails";

/// How it is called.
pub(super) const USAGE: &str = "Usage: uplinkd <COMMAND>";

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 no answer";

/// `uplinkd --help`, in lines of at most `width` columns.
pub(in crate::cli) fn of_program(commands: &[CommandRow], width: usize) -> String {
    let commands = commands.iter();
    let commands = commands.map(|row| (format!("  {}", row.form.name), row.form.about.to_owned()));
    let options = [
        help(),
        ("  -V, --version".to_owned(), "Print version".to_owned()),
    ];
    [
        paragraph(ABOUT, 0, width),
        paragraph(USAGE, 0, width),
        section("Commands", &commands.collect::<Vec<_>>(), width),
        section("Options", &options, width),
        paragraph(EXIT_CODES, 0, width),
    ]
    .join("\n")
}

/// `uplinkd COMMAND --help`
pub(in crate::cli) fn of_command(command: &CommandRow, width: usize) -> String {
    let (words, options): (Vec<_>, Vec<_>) =
        command.arguments().partition(|argument| argument.is_word());
    let words = words
        .into_iter()
        .map(|word| (format!("  {word}"), meaning(word)));
    let options = options
        .into_iter()
        .map(|option| (format!("      {option}"), meaning(option)));
    let mut parts = vec![
        paragraph(command.form.about, 0, width),
        paragraph(&command.usage(), 0, width),
        section("Arguments", &words.collect::<Vec<_>>(), width),
        section(
            "Options",
            &options.chain([help()]).collect::<Vec<_>>(),
            width,
        ),
    ];
    parts.retain(|part| !part.is_empty());
    parts.join("\n")
}

fn help() -> (String, String) {
    ("  -h, --help".to_owned(), "Print help".to_owned())
}

fn meaning(argument: &Argument) -> String {
    let mut meaning = argument.help.to_owned();
    if let Some(default) = argument.default {
        meaning = format!("{meaning} [default: {}]", default());
    }
    if !argument.choices.is_empty() {
        let choices = argument.choices.join(", ");
        meaning = format!("{meaning} [possible values: {choices}]");
    }
    meaning
}

/// A list in two columns. Where the second would be narrow, it stands below the first.
fn section(title: &str, entries: &[(String, String)], width: usize) -> String {
    const GAP: usize = 2;
    const INDENT_BELOW: usize = 10;
    const LEAST_ROOM: usize = 22;
    let Some(first) = entries.iter().map(|(entry, _)| entry.len()).max() else {
        return String::new();
    };
    let is_beside = first + GAP + LEAST_ROOM <= width;
    let indent = if is_beside { first + GAP } else { INDENT_BELOW };
    let mut section = format!("{title}:\n");
    for (entry, meaning) in entries {
        let entry = if is_beside {
            format!("{entry:indent$}")
        } else {
            format!("{entry}\n{:indent$}", "")
        };
        let meaning = wrapped(meaning, width.saturating_sub(indent));
        section += &(entry + &meaning.join(&format!("\n{:indent$}", "")) + "\n");
    }
    section
}
