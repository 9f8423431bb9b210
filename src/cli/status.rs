//! `uplinkd status`

pub(super) mod allowance;
pub(super) mod drill;
mod flows;
mod hours;
pub(super) mod table;
pub(super) mod waits;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use super::command::unexpected;
use super::connection::{CONNECTION, Connection, LastingConnection};
use super::failure::UsageError;
use super::history::now;
use super::output;
use super::syntax::{Argument, ArgumentForm, CommandForm, CommandRow, Given, text};
use crate::control::client::Client;
use crate::control::{Request, Response};
use crate::engine::event::record::EventRecord;
use crate::engine::status::Status;
use crate::units::{Timestamp, UplinkName};

pub(super) const COMMAND: CommandRow = CommandRow {
    form: CommandForm {
        name: "status",
        about: "Show what is active, how each uplink is, since when and why",
        arguments: &[NAME, JSON, WATCH],
    },
    connection: CONNECTION,
    run: |given| run(&StatusArguments::read(given)?),
};

const NAME: Argument = Argument {
    form: ArgumentForm::OptionalWord("NAME"),
    help: "Only this uplink, with its targets",
    ..Argument::named("name")
};
const JSON: Argument = Argument {
    help: "For machines; with --watch, one line for each change",
    ..Argument::named("json")
};
const WATCH: Argument = Argument {
    help: "Go on showing it",
    ..Argument::named("watch")
};

#[derive(Debug)]
struct StatusArguments {
    name: Option<UplinkName>,
    json: bool,
    watch: bool,
    connection: Connection,
}

impl StatusArguments {
    fn read(given: &Given) -> Result<Self> {
        Ok(Self {
            name: given.value(&NAME, text(str::parse))?,
            json: given.has(&JSON),
            watch: given.has(&WATCH),
            connection: Connection::read(given)?,
        })
    }
}

fn run(arguments: &StatusArguments) -> Result<ExitCode> {
    let mut agent = arguments.connection.lasting()?;
    let is_for_a_person = !arguments.json && output::is_terminal();
    match (arguments.watch, is_for_a_person) {
        (false, _) => show_once(&mut agent, arguments)?,
        (true, true) => redraw(&mut agent, arguments)?,
        (true, false) => stream(&mut agent, arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show_once(agent: &mut LastingConnection, arguments: &StatusArguments) -> Result<()> {
    let status = only(ask(agent)?, arguments.name.as_ref())?;
    if arguments.json {
        output::print(&format!("{}\n", serde_json::to_string_pretty(&status)?))?;
    } else {
        output::print(&draw(&status, arguments))?;
    }
    Ok(())
}

/// Draws the status anew each second until the operator interrupts it; while the agent is away, the last one.
fn redraw(agent: &mut LastingConnection, arguments: &StatusArguments) -> Result<()> {
    const HOME_AND_CLEAR: &str = "\x1b[H\x1b[2J";
    let mut drawn = String::new();
    loop {
        let text = match ask(agent) {
            Ok(status) => {
                drawn = draw(&only(status, arguments.name.as_ref())?, arguments);
                drawn.clone()
            }
            Err(error) => format!("{error:#}; this is what was known last\n\n{drawn}"),
        };
        output::print(&format!("{HOME_AND_CLEAR}{text}"))?;
        pause();
    }
}

/// Prints the status and what happens from then on: for machines one status a line, for people one
/// event a line. Goes on with the next agent when one ends; ends with the reader.
fn stream(agent: &mut LastingConnection, arguments: &StatusArguments) -> Result<()> {
    let mut response = agent.with(Client::watch);
    let mut is_first = true;
    loop {
        match response {
            Ok(Response::Status(status)) if arguments.json => {
                let status = only(*status, arguments.name.as_ref())?;
                output::print(&format!("{}\n", serde_json::to_string(&status)?))?;
            }
            Ok(Response::Status(status)) if is_first => {
                let status = only(*status, arguments.name.as_ref())?;
                output::print(&draw(&status, arguments))?;
            }
            Ok(Response::Event(event)) if !arguments.json && concerns(&event, arguments) => {
                output::print(&table::event(&event))?;
            }
            Ok(Response::Status(_) | Response::Event(_)) => {}
            Ok(
                other @ (Response::Done(_)
                | Response::Refused(_)
                | Response::NotFound(_)
                | Response::History(_)
                | Response::Samples(_)
                | Response::Mwan3(_)),
            ) => return Err(unexpected(other)),
            Err(error) => {
                output::remark(&format!("{error:#}"));
                response = watch_again(agent);
                is_first = true;
                continue;
            }
        }
        is_first = false;
        response = agent.with(Client::next_event);
    }
}

/// Waits for an agent.
fn watch_again(agent: &mut LastingConnection) -> Result<Response> {
    loop {
        pause();
        let response = agent.with(Client::watch);
        if response.is_ok() {
            return response;
        }
    }
}

/// Between two looks. Ends the program when nothing reads it any more.
fn pause() {
    output::wait_for_reader(Duration::from_secs(1));
}

pub(super) fn ask(agent: &mut LastingConnection) -> Result<Status> {
    match agent.request(&Request::Status)? {
        Response::Status(status) => Ok(*status),
        other @ (Response::Event(_)
        | Response::Done(_)
        | Response::Refused(_)
        | Response::NotFound(_)
        | Response::History(_)
        | Response::Samples(_)
        | Response::Mwan3(_)) => Err(unexpected(other)),
    }
}

/// The status with the uplink `name` alone; the schema stays the same.
fn only(mut status: Status, name: Option<&UplinkName>) -> Result<Status> {
    let Some(name) = name else {
        return Ok(status);
    };
    let names: Vec<_> = status.uplinks.iter().map(|u| u.name.to_string()).collect();
    status.uplinks.retain(|uplink| uplink.name == *name);
    if status.uplinks.is_empty() {
        let why = format!("no uplink `{name}`; there are {}", names.join(", "));
        return Err(UsageError(why).into());
    }
    Ok(status)
}

fn concerns(event: &EventRecord, arguments: &StatusArguments) -> bool {
    let is_of_another = |name| event.uplink.as_ref().is_some_and(|uplink| uplink != name);
    !arguments.name.as_ref().is_some_and(is_of_another)
}

fn draw(status: &Status, arguments: &StatusArguments) -> String {
    let now = Timestamp(now());
    let palette = output::Palette::of_stdout();
    let width = output::width();
    let table = table::Table {
        now,
        palette,
        width,
    };
    table.draw(status, arguments.name.is_some())
}
