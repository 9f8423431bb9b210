//! The command line.

pub mod check;
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
mod wish;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::alert::InitError;
use crate::config::{Config, ConfigError, defaults};
use crate::control::Request;
use crate::control::client::{Client, ClientError};
use crate::control::socket::BindError;
#[cfg(feature = "replay")]
use crate::recording::RecordingError;
use crate::units::UplinkName;

/// Keeps a router online when an internet uplink fails.
#[derive(Debug, Parser)]
#[command(version, disable_help_subcommand = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent in the foreground
    Run(run::Arguments),
    /// Look for mistakes in the configuration and in the machine it would run on
    Check(check::CheckArguments),
    /// Show what is active, how each uplink is, since when and why
    Status(status::Arguments),
    /// Show what happened, also before a restart
    History(history::Arguments),
    /// Send the traffic through one uplink until `auto`
    Switch(Switch),
    /// Let the agent choose again
    Auto(Connection),
    /// Take an uplink out for maintenance: no traffic, still probed
    Disable(Disable),
    /// End the maintenance of an uplink
    Enable(OneUplink),
    /// Take over a changed configuration; a bad one is refused and the old one stays
    Reload(Connection),
    /// Make a configuration from that of another program, and say what has no counterpart
    Import(import::ImportArguments),
    /// Run the decisions on a recorded trace: when would it have switched, and why
    #[cfg(feature = "replay")]
    Replay(replay::ReplayArguments),
    /// Print the completions for a shell
    #[cfg(feature = "packaging")]
    Completions(packaging::CompletionsArguments),
    /// Print a manual page
    #[cfg(feature = "packaging")]
    Man(packaging::PageArguments),
    /// Break and mend a whole network in throw-away namespaces and see what the agent does
    #[cfg(feature = "lab")]
    Lab(Box<lab::LabArguments>),
}

#[derive(Debug, Args)]
struct Switch {
    /// Stay there even if it fails; without this a failed choice is overridden
    #[arg(long)]
    pin: bool,
    #[command(flatten)]
    uplink: OneUplink,
}

#[derive(Debug, Args)]
struct Disable {
    /// Let established flows go on through it until they end, or for so long
    #[arg(long, value_name = "LIMIT", num_args = 0..=1, require_equals = true, default_missing_value = "10m")]
    drain: Option<humantime::Duration>,
    #[command(flatten)]
    uplink: OneUplink,
}

#[derive(Debug, Args)]
struct OneUplink {
    /// The name of the uplink
    name: UplinkName,
    #[command(flatten)]
    connection: Connection,
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
    /// The agent's control socket [default: the one that the configuration names]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(flatten)]
    file: ConfigFile,
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
        let is_named = self.file.config.as_os_str() != Config::default_path();
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
    /// Does what the command line asks for.
    pub fn run(self) -> Result<ExitCode> {
        use crate::engine::command::Command as Wish;
        match self.command {
            Command::Run(arguments) => run::run(&arguments),
            Command::Check(arguments) => check::run(&arguments),
            Command::Status(arguments) => status::run(&arguments),
            Command::History(arguments) => history::run(&arguments),
            Command::Switch(Switch { pin, uplink }) => {
                let OneUplink { name, connection } = uplink;
                wish::send(&connection, &Wish::Switch { uplink: name, pin }.into())
            }
            Command::Auto(connection) => wish::send(&connection, &Wish::Auto {}.into()),
            Command::Disable(Disable { drain, uplink }) => {
                let OneUplink { name, connection } = uplink;
                let wish = Wish::Disable {
                    uplink: name,
                    drain: drain.map(Into::into),
                };
                wish::send(&connection, &wish.into())
            }
            Command::Enable(OneUplink { name, connection }) => {
                wish::send(&connection, &Wish::enable(name).into())
            }
            Command::Reload(connection) => wish::send(&connection, &Request::Reload),
            Command::Import(arguments) => import::run(&arguments),
            #[cfg(feature = "replay")]
            Command::Replay(arguments) => replay::run(&arguments),
            #[cfg(feature = "packaging")]
            Command::Completions(arguments) => packaging::completions(&arguments),
            #[cfg(feature = "packaging")]
            Command::Man(arguments) => packaging::man(&arguments),
            #[cfg(feature = "lab")]
            Command::Lab(arguments) => lab::run(&arguments),
        }
    }
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 the agent does not answer";

/// The whole chain of an error, as a person reads it.
pub fn explain(error: &anyhow::Error) -> String {
    #[cfg(feature = "replay")]
    if let Some(lines @ RecordingError::Lines { .. }) = error.downcast_ref() {
        return lines.to_string();
    }
    match error.downcast_ref() {
        // Each line begins with a file and a line, as editors and people expect.
        Some(ConfigError::Refused { .. }) => error.to_string(),
        Some(
            ConfigError::NoFile { .. }
            | ConfigError::Read { .. }
            | ConfigError::TooLarge(_)
            | ConfigError::NotText(_),
        )
        | None => format!("uplinkd: {error:#}"),
    }
}

/// What the contract says a failure of this kind ends with.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let is_configuration = error.is::<ConfigError>()
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
