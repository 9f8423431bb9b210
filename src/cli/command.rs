//! `switch`, `auto`, `disable`, `enable`, `reload`: one request to the agent, one answer.

use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgMatches, Args, FromArgMatches, Subcommand};

use super::connection::Connection;
use super::failure::UsageError;
use super::output;
use crate::control::{Request, Response};

/// A request of [`Request`] as a subcommand, with where the agent is.
#[derive(Debug)]
pub(super) struct AgentCommand {
    request: Request,
    connection: Connection,
}

impl AgentCommand {
    pub(super) fn run(&self) -> Result<ExitCode> {
        match self.connection.open()?.request(&self.request)? {
            Response::Done(meaning) => output::print(&output::fitted(&meaning))?,
            other @ (Response::Status(_)
            | Response::Event(_)
            | Response::Refused(_)
            | Response::NotFound(_)
            | Response::History(_)) => return Err(unexpected(other)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The error that an answer is where another one was expected.
pub(super) fn unexpected(response: Response) -> anyhow::Error {
    match response {
        Response::NotFound(why) => UsageError(why).into(),
        Response::Refused(why) => anyhow::anyhow!(why),
        Response::Status(_) | Response::Event(_) | Response::Done(_) | Response::History(_) => {
            anyhow::anyhow!("the agent answered something else")
        }
    }
}

impl FromArgMatches for AgentCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let request = Request::from_arg_matches(matches)?;
        let (_, arguments) = matches
            .subcommand()
            .ok_or_else(|| clap::Error::new(clap::error::ErrorKind::MissingSubcommand))?;
        let connection = Connection::from_arg_matches(arguments)?;
        Ok(Self {
            request,
            connection,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for AgentCommand {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        let requests = Request::augment_subcommands(clap::Command::new("requests"));
        // The connection brings an about of its own, and the requests an order among themselves.
        let subcommand = |request: &clap::Command| {
            let about = request.get_about().cloned().unwrap_or_default();
            let request = Connection::augment_args(request.clone());
            request.about(about).display_order(None)
        };
        command.subcommands(requests.get_subcommands().map(subcommand))
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        Request::has_subcommand(name)
    }
}

/// What is right where clap would only name what is too much.
pub(super) fn hint(arguments: &[String]) -> Option<String> {
    let drain = arguments
        .iter()
        .position(|argument| argument == "--drain")?;
    let limit = arguments.get(drain + 1)?;
    humantime::parse_duration(limit).ok()?;
    Some(format!(
        "the limit of a drain follows an equals sign: --drain={limit}"
    ))
}
