//! The command line.

pub mod check;
mod command;
mod connection;
mod failure;
pub mod history;
pub mod import;
#[cfg(feature = "lab")]
pub mod lab;
mod output;
#[cfg(feature = "packaging")]
mod packaging;
#[cfg(feature = "replay")]
pub mod replay;
pub mod report;
pub mod run;
pub mod status;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
#[cfg(feature = "packaging")]
use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue};
use clap::{Parser, Subcommand};

pub use failure::{exit_code, explain};

/// Keeps a router online when an internet uplink fails.
#[derive(Debug, Parser)]
#[command(version, disable_help_subcommand = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Run the agent in the foreground
    Run(run::Arguments),
    /// Look for mistakes in the configuration and on this machine
    Check(check::CheckArguments),
    /// Show what is active, how each uplink is, since when and why
    Status(status::StatusArguments),
    /// Show what happened, also before a restart
    History(history::HistoryArguments),
    /// Show availability, outages, and who carried the traffic
    Report(report::ReportArguments),
    #[command(flatten)]
    Agent(command::AgentCommand),
    /// Make a configuration from that of mwan3
    Import(import::ImportArguments),
    /// Run the decisions on a recorded trace in virtual time
    #[cfg(feature = "replay")]
    Replay(replay::ReplayArguments),
    /// Print the completions for a shell
    #[cfg(feature = "packaging")]
    Completions(packaging::CompletionsArguments),
    /// Print a manual page
    #[cfg(feature = "packaging")]
    Man(packaging::PageArguments),
    /// Run the agent in a network of throw-away namespaces that breaks
    #[cfg(feature = "lab")]
    Lab(Box<lab::LabArguments>),
}

impl Cli {
    /// Reads the command line of this process; ends it where that is wrong.
    pub fn read() -> Self {
        Self::try_parse().unwrap_or_else(|mut error| {
            let arguments = std::env::args_os().map(|text| text.to_string_lossy().into_owned());
            if let Some(hint) = command::hint(&arguments.collect::<Vec<_>>()) {
                let hint = ContextValue::StyledStrs(vec![hint.into()]);
                error.insert(ContextKind::Suggested, hint);
            }
            if !error.use_stderr() {
                error.exit()
            }
            drop(writeln!(
                std::io::stderr(),
                "{}",
                output::folded(&error.to_string())
            ));
            std::process::exit(error.exit_code())
        })
    }

    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        match self.command {
            CliCommand::Run(arguments) => run::run(&arguments),
            CliCommand::Check(arguments) => check::run(&arguments),
            CliCommand::Status(arguments) => status::run(&arguments),
            CliCommand::History(arguments) => history::run(&arguments),
            CliCommand::Report(arguments) => report::run(&arguments),
            CliCommand::Agent(command) => command.run(),
            CliCommand::Import(arguments) => import::run(&arguments),
            #[cfg(feature = "replay")]
            CliCommand::Replay(arguments) => replay::run(&arguments),
            #[cfg(feature = "packaging")]
            CliCommand::Completions(arguments) => {
                packaging::completions(&arguments, Self::command())
            }
            #[cfg(feature = "packaging")]
            CliCommand::Man(arguments) => packaging::man(&arguments),
            #[cfg(feature = "lab")]
            CliCommand::Lab(arguments) => lab::run(&arguments),
        }
    }
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 no answer";
