//! `uplinkd history`: what happened, from the store that survives restarts.
//!
//! A running agent answers it all, with what it has not written yet. Without one its files are read.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Result;

use super::command::unexpected;
use super::connection::{CONNECTION, Connection};
use super::output;
use super::status::table;
use super::syntax::{Argument, ArgumentForm, CommandForm, CommandRow, Given, text};
use crate::config::{Config, ConfigError, defaults};
use crate::control::{Request, Response};
use crate::engine::event::record::EventRecord;
use crate::history;

pub(super) const COMMAND: CommandRow = CommandRow {
    form: CommandForm {
        name: "history",
        about: "Show what happened, also before a restart",
        arguments: &[JSON, SINCE],
    },
    connection: CONNECTION,
    run: |given| run(&HistoryArguments::read(given)?),
};

const JSON: Argument = Argument {
    help: "As a list in JSON, of what hooks get",
    ..Argument::named("json")
};
const SINCE: Argument = Argument {
    form: ArgumentForm::Dashed("SPAN"),
    help: "Only what happened within this time, such as 24h or 7d",
    ..Argument::named("since")
};

#[derive(Debug)]
struct HistoryArguments {
    json: bool,
    since: Option<Duration>,
    connection: Connection,
}

impl HistoryArguments {
    fn read(given: &Given) -> Result<Self> {
        Ok(Self {
            json: given.has(&JSON),
            since: given.value(&SINCE, text(span))?,
            connection: Connection::read(given)?,
        })
    }
}

/// A span of time, as an argument.
pub(super) fn span(text: &str) -> Result<Duration, &'static str> {
    humantime::parse_duration(text).map_err(|_| "write a span such as 24h or 7d")
}

/// Prints it.
fn run(arguments: &HistoryArguments) -> Result<ExitCode> {
    let events = events(&arguments.connection, arguments.since)?;
    let text = if arguments.json {
        format!("{}\n", serde_json::to_string_pretty(&events)?)
    } else {
        events.iter().map(table::event).collect()
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The events within a time until now, or all, of the agent or of its files.
pub(super) fn events(connection: &Connection, since: Option<Duration>) -> Result<Vec<EventRecord>> {
    match asked(connection, since) {
        Err(error) if !error.is::<ConfigError>() => {
            output::remark(&format!(
                "{error:#}; this is what was written, and the latest events may be missing"
            ));
            stored(connection, since)
        }
        answered => answered,
    }
}

fn asked(connection: &Connection, since: Option<Duration>) -> Result<Vec<EventRecord>> {
    let request = Request::History {
        since,
        newest: None,
    };
    taken(connection.open()?.request(&request)?)
}

/// The events in an answer.
pub(super) fn taken(answer: Response) -> Result<Vec<EventRecord>> {
    match answer {
        Response::History(events) => Ok(events),
        other @ (Response::Status(_)
        | Response::Event(_)
        | Response::Done(_)
        | Response::Refused(_)
        | Response::NotFound(_)
        | Response::Samples(_)
        | Response::Mwan3(_)) => Err(unexpected(other)),
    }
}

fn stored(connection: &Connection, since: Option<Duration>) -> Result<Vec<EventRecord>> {
    let stored = history::read(&state_dir(connection)?)?;
    for line in stored.corrupt {
        output::remark(&line.to_string());
    }
    let begin = since.and_then(|since| now().checked_sub(since));
    let mut events = stored.events;
    events.retain(|event| begin.is_none_or(|begin| event.at.0 >= begin));
    Ok(events)
}

/// The end of what is asked for.
pub(super) fn now() -> SystemTime {
    #[expect(
        clippy::disallowed_methods,
        reason = "a span ends when it is asked for; nothing is decided by it"
    )]
    SystemTime::now()
}

pub(super) fn state_dir(connection: &Connection) -> Result<PathBuf> {
    match Config::load(&connection.file.config) {
        Ok(config) => Ok(config.agent.state_dir),
        Err(ConfigError::NoFile { .. }) if !connection.file.is_named() => {
            Ok(defaults::agent().state_dir)
        }
        Err(error) => Err(error.into()),
    }
}
