//! `reload`, `switch`, `auto`, `disable`, `enable`, `forget`: one request to the agent, one answer.

use std::process::ExitCode;

use anyhow::Result;

use super::connection::{CONNECTION, Connection};
use super::failure::UsageError;
use super::output;
use super::syntax::{CommandForm, CommandRow, Given};
use crate::control::{Request, Response};
use crate::engine::command::Command;
use crate::units::json;

pub(super) const RELOAD: CommandRow = CommandRow {
    form: CommandForm {
        name: "reload",
        about: "Take over a changed configuration unless it has a mistake",
        arguments: &[],
    },
    connection: CONNECTION,
    run: |given| ask(given, Request::Reload),
};

/// A command to the engine, by its form.
pub(super) const fn row(form: CommandForm) -> CommandRow {
    CommandRow {
        form,
        connection: CONNECTION,
        run: |given| ask(given, json::typed::<Command>(&given.request()?)?),
    }
}

fn ask(given: &Given, request: impl Into<Request>) -> Result<ExitCode> {
    let mut agent = Connection::read(given)?.open()?;
    match agent.request(&request.into())? {
        Response::Done(meaning) => output::print(&output::fitted(&meaning))?,
        other @ (Response::Status(_)
        | Response::Event(_)
        | Response::Refused(_)
        | Response::NotFound(_)
        | Response::History(_)
        | Response::Samples(_)
        | Response::Mwan3(_)) => return Err(unexpected(other)),
    }
    Ok(ExitCode::SUCCESS)
}

/// The error that an answer is where another one was expected.
pub(super) fn unexpected(response: Response) -> anyhow::Error {
    match response {
        Response::NotFound(why) => UsageError(why).into(),
        Response::Refused(why) => anyhow::anyhow!(why),
        Response::Status(_)
        | Response::Event(_)
        | Response::Done(_)
        | Response::History(_)
        | Response::Samples(_)
        | Response::Mwan3(_) => anyhow::anyhow!("the agent answered something else"),
    }
}
