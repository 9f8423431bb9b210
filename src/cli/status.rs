//! `uplinkd status`

mod flows;
pub(super) mod table;
mod waits;

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::Result;

use super::command::unexpected;
use super::connection::{CONNECTION, Connection};
use super::failure::UsageError;
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
    let mut client = arguments.connection.open()?;
    let is_for_a_person = !arguments.json && output::is_terminal();
    match (arguments.watch, is_for_a_person) {
        (false, _) => show_once(&mut client, arguments)?,
        (true, true) => redraw(&mut client, arguments)?,
        (true, false) => stream(&mut client, arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show_once(client: &mut Client, arguments: &StatusArguments) -> Result<()> {
    let status = only(ask(client)?, arguments.name.as_ref())?;
    if arguments.json {
        output::print(&format!("{}\n", serde_json::to_string_pretty(&status)?))?;
    } else {
        output::print(&draw(&status, arguments))?;
    }
    Ok(())
}

/// Draws the status anew each second, until the agent ends or the operator interrupts it.
fn redraw(client: &mut Client, arguments: &StatusArguments) -> Result<()> {
    const HOME_AND_CLEAR: &str = "\x1b[H\x1b[2J";
    loop {
        let status = only(ask(client)?, arguments.name.as_ref())?;
        output::print(&format!("{HOME_AND_CLEAR}{}", draw(&status, arguments)))?;
        #[expect(clippy::disallowed_methods, reason = "only a terminal waits for it")]
        thread::sleep(Duration::from_secs(1));
    }
}

/// Prints the status and what happens from then on: for machines one status a line, for people one
/// event a line. Ends with the agent or the reader.
fn stream(client: &mut Client, arguments: &StatusArguments) -> Result<()> {
    let mut response = client.watch()?;
    let mut is_first = true;
    loop {
        match response {
            Response::Status(status) if arguments.json => {
                let status = only(*status, arguments.name.as_ref())?;
                output::print(&format!("{}\n", serde_json::to_string(&status)?))?;
            }
            Response::Status(status) if is_first => {
                let status = only(*status, arguments.name.as_ref())?;
                output::print(&draw(&status, arguments))?;
            }
            Response::Event(event) if !arguments.json && concerns(&event, arguments) => {
                output::print(&table::event(&event))?;
            }
            Response::Status(_) | Response::Event(_) => {}
            other @ (Response::Done(_)
            | Response::Refused(_)
            | Response::NotFound(_)
            | Response::History(_)) => return Err(unexpected(other)),
        }
        is_first = false;
        response = client.next_event()?;
    }
}

fn ask(client: &mut Client) -> Result<Status> {
    match client.request(&Request::Status)? {
        Response::Status(status) => Ok(*status),
        other @ (Response::Event(_)
        | Response::Done(_)
        | Response::Refused(_)
        | Response::NotFound(_)
        | Response::History(_)) => Err(unexpected(other)),
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
    #[expect(
        clippy::disallowed_methods,
        reason = "an age for display; nothing is decided by it"
    )]
    let now = Timestamp(SystemTime::now());
    let palette = output::Palette::of_stdout();
    let width = output::width();
    let table = table::Table {
        now,
        palette,
        width,
    };
    table.draw(status, arguments.name.is_some())
}
