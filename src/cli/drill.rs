//! `drill`: a question first, then one request, whose answer comes when the drill is over.

use std::env;
use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Result;

use super::command::unexpected;
use super::connection::{CONFIG, Connection, SOCKET};
use super::failure::UsageError;
use super::output;
use super::syntax::{Argument, CommandForm, CommandRow, Given};
use crate::control::Response;
use crate::engine::command::Command;
use crate::engine::event::drill::DrillResult;
use crate::engine::event::record::EventRecord;
use crate::units::json;

/// The name of its form.
pub(super) const NAME: &str = "drill";

const YES: Argument = Argument {
    help: "Without a question; needed where there is no terminal",
    ..Argument::named("yes")
};
const JSON: Argument = Argument {
    help: "As JSON",
    ..Argument::named("json")
};

/// By its form among the commands to the engine.
pub(super) const fn row(form: CommandForm) -> CommandRow {
    CommandRow {
        form,
        connection: &[YES, JSON, SOCKET, CONFIG],
        run,
    }
}

fn run(given: &Given) -> Result<ExitCode> {
    let command = json::typed::<Command>(&given.request()?)?;
    if !given.has(&YES) && !confirm(&command)? {
        output::remark("no drill: nothing was done");
        return Ok(ExitCode::FAILURE);
    }
    let mut agent = Connection::read(given)?.open()?;
    let record = match agent.request_at_length(&command.into())? {
        Response::Event(record) => record,
        other @ (Response::Status(_)
        | Response::Done(_)
        | Response::Refused(_)
        | Response::NotFound(_)
        | Response::History(_)
        | Response::Samples(_)
        | Response::Mwan3(_)) => return Err(unexpected(other)),
    };
    if given.has(&JSON) {
        output::print(&format!("{}\n", serde_json::to_string(&record)?))?;
    } else {
        output::print(&output::fitted(&text(&record)))?;
    }
    let is_passed = { record.drill }.is_some_and(|drill| drill.result == DrillResult::Passed);
    Ok(if is_passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What a drill has come to, in a line.
pub(super) fn text(record: &EventRecord) -> String {
    let sides = record.sides().map(|sides| format!("{sides}: "));
    format!("{}{}", sides.unwrap_or_default(), record.reason)
}

/// Asks whether it may begin, at a terminal.
fn confirm(command: &Command) -> Result<bool> {
    if !io::stdin().is_terminal() {
        let why =
            "drill: standard input is no terminal to ask at: --yes says that the path may fail";
        return Err(UsageError(why.to_owned()).into());
    }
    let mut question = format!("{}: what arrives there is dropped. ", command.outcome(None));
    if let Ok(session) = env::var("SSH_CONNECTION") {
        let from = session.split(' ').next().unwrap_or_default();
        question = format!(
            "{question}You are logged in from {from}: a session by that uplink stands still meanwhile. "
        );
    }
    let asked = output::folded(&format!("{question}Go on? [y/N]"));
    write!(io::stderr(), "{asked} ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
