//! The command line.

mod check;
mod command;
mod connection;
mod drill;
mod failure;
mod history;
mod import;
#[cfg(feature = "lab")]
mod lab;
mod output;
#[cfg(feature = "packaging")]
mod packaging;
#[cfg(feature = "replay")]
mod replay;
mod report;
mod run;
mod status;
mod syntax;
mod top;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::LazyLock;

use anyhow::Result;
use lexopt::{Arg, Parser};

use crate::engine::command::FORMS;
use failure::UsageError;
use syntax::{CommandRow, Given, misuse, of_command, of_program, unknown};

pub use failure::{exit_code, explain};
#[cfg(feature = "packaging")]
pub use packaging::program;

/// The commands, in the order of the help.
static COMMANDS: LazyLock<Vec<CommandRow>> = LazyLock::new(|| {
    let mut rows = vec![
        run::COMMAND,
        check::COMMAND,
        status::COMMAND,
        top::COMMAND,
        history::COMMAND,
        report::COMMAND,
        command::RELOAD,
    ];
    rows.extend(FORMS.iter().copied().map(|form| match form.name {
        drill::NAME => drill::row(form),
        _ => command::row(form),
    }));
    rows.push(import::COMMAND);
    #[cfg(feature = "replay")]
    rows.push(replay::COMMAND);
    #[cfg(feature = "packaging")]
    rows.extend([packaging::COMPLETIONS, packaging::MAN]);
    #[cfg(feature = "lab")]
    rows.push(lab::COMMAND);
    rows
});

/// Runs the command that these words are, without the name of the program before them.
///
/// # Errors
/// They are no command, or it failed; [`explain`] and [`exit_code`] tell these apart.
pub fn run(words: impl IntoIterator<Item = OsString> + 'static) -> Result<ExitCode> {
    let mut line = Parser::from_args(words);
    let name = match line.next()? {
        Some(Arg::Value(name)) => name,
        Some(Arg::Short('h') | Arg::Long("help")) => {
            return show(&of_program(&COMMANDS, output::width()));
        }
        Some(Arg::Short('V') | Arg::Long("version")) => {
            return show(concat!("uplinkd ", env!("CARGO_PKG_VERSION"), "\n"));
        }
        Some(Arg::Short(letter)) => {
            return Err(misuse(&format!("before a command there is no option `-{letter}`")).into());
        }
        Some(Arg::Long(option)) => {
            let unknown = unknown("--", option, ["help", "version"]);
            return Err(misuse(&format!("before a command there is no option {unknown}")).into());
        }
        None => {
            let help = of_program(&COMMANDS, output::width());
            return Err(UsageError(format!("a command is missing\n\n{help}")).into());
        }
    };
    let Some(command) = COMMANDS.iter().find(|command| name == command.form.name) else {
        let known = COMMANDS.iter().map(|command| command.form.name);
        let unknown = unknown("", &name.to_string_lossy(), known);
        return Err(misuse(&format!("there is no command {unknown}")).into());
    };
    match Given::read(*command, &mut line)? {
        Some(given) => (command.run)(&given),
        None => show(&of_command(command, output::width())),
    }
}

fn show(text: &str) -> Result<ExitCode> {
    output::print(text)?;
    Ok(ExitCode::SUCCESS)
}
