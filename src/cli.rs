//! The command line.

pub mod check;
mod command;
pub mod history;
pub mod import;
#[cfg(feature = "lab")]
pub mod lab;
mod output;
#[cfg(feature = "packaging")]
mod packaging;
#[cfg(feature = "replay")]
pub mod replay;
pub mod run;
pub mod status;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand};

use crate::alert::InitError;
use crate::config::{Config, ConfigError, defaults};
use crate::control::client::{Client, ClientError};
use crate::control::socket::BindError;
#[cfg(feature = "replay")]
use crate::recording::RecordingError;

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

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = Config::default_path())]
    config: PathBuf,
}

/// Where the agent is.
#[derive(Debug, Args)]
struct Connection {
    /// The agent's control socket [default: as configured]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(flatten)]
    file: ConfigFile,
}

impl ConfigFile {
    /// It is not the one at the usual place.
    fn is_named(&self) -> bool {
        self.config.as_os_str() != Config::default_path()
    }
}

impl Connection {
    fn open(&self) -> Result<Client> {
        Ok(Client::connect(&self.path()?)?)
    }

    /// Where nothing is configured the agent, if there is one, is at the default place.
    fn path(&self) -> Result<PathBuf> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        let is_named = self.file.is_named();
        match Config::load(&self.file.config) {
            Ok(config) => Ok(config.agent.control),
            Err(ConfigError::NoFile { .. }) if !is_named => Ok(defaults::CONTROL.into()),
            // Whatever is wrong with the file, an agent may run that has read a better one.
            Err(_) if !is_named && Path::new(defaults::CONTROL).exists() => {
                Ok(defaults::CONTROL.into())
            }
            Err(error) => Err(error.into()),
        }
    }
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

    /// Does what the command line asks for.
    pub fn run(self) -> Result<ExitCode> {
        match self.command {
            CliCommand::Run(arguments) => run::run(&arguments),
            CliCommand::Check(arguments) => check::run(&arguments),
            CliCommand::Status(arguments) => status::run(&arguments),
            CliCommand::History(arguments) => history::run(&arguments),
            CliCommand::Agent(command) => command.run(),
            CliCommand::Import(arguments) => import::run(&arguments),
            #[cfg(feature = "replay")]
            CliCommand::Replay(arguments) => replay::run(&arguments),
            #[cfg(feature = "packaging")]
            CliCommand::Completions(arguments) => packaging::completions(&arguments),
            #[cfg(feature = "packaging")]
            CliCommand::Man(arguments) => packaging::man(&arguments),
            #[cfg(feature = "lab")]
            CliCommand::Lab(arguments) => lab::run(&arguments),
        }
    }
}

/// What is wrong with the command line is known only now, such as the name of an uplink.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 no answer";

/// The whole chain of an error, as a person reads it.
pub fn explain(error: &anyhow::Error) -> String {
    #[cfg(feature = "replay")]
    if let Some(lines @ RecordingError::Lines { .. }) = error.downcast_ref() {
        return lines.to_string();
    }
    let text = match error.downcast_ref() {
        // Each line begins with a file and a line, as editors expect.
        Some(ConfigError::Refused { .. }) => error.to_string(),
        Some(
            ConfigError::NoFile { .. }
            | ConfigError::Read { .. }
            | ConfigError::TooLarge(_)
            | ConfigError::NotText(_),
        )
        | None => format!("uplinkd: {error:#}"),
    };
    output::folded(&text)
}

/// What the contract says a failure of this kind ends with.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let is_configuration = error.is::<ConfigError>()
        || error.is::<UsageError>()
        || error.is::<InitError>()
        || matches!(
            error.downcast_ref(),
            Some(BindError::AlreadyRunning(_) | BindError::NotAlone(_))
        );
    if is_configuration {
        ExitCode::from(2)
    } else if error.is::<ClientError>() {
        ExitCode::from(3)
    } else {
        ExitCode::FAILURE
    }
}
