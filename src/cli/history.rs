//! `uplinkd history`: what happened, from the store that survives restarts.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use clap::Args;

use super::status::table;
use super::{Connection, output};
use crate::config::Config;
use crate::control::{Request, Response};
use crate::engine::event::EventRecord;
use crate::history;

/// What to show.
#[derive(Debug, Args)]
pub struct Arguments {
    /// As a list in JSON, of what hooks get
    #[arg(long)]
    json: bool,
    /// Only what happened within this time, such as 24h or 7d
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
    #[command(flatten)]
    connection: Connection,
}

/// Prints it. Without an agent what it wrote is still there.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let config = Config::load(&arguments.connection.file.config)?;
    let past = history::read(&config.agent.state_dir)?;
    if past.unreadable > 0 {
        output::remark(&format!("{} lines are no events", past.unreadable));
    }
    let mut events = past.events;
    match waiting(&arguments.connection) {
        Ok(waiting) => events.extend(waiting),
        Err(error) => output::remark(&format!("{error:#}: the latest events may be missing")),
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "a person asks how long ago it was; nothing is decided by it"
    )]
    let now = SystemTime::now();
    let begin = arguments.since.and_then(|since| now.checked_sub(since));
    events.retain(|event| begin.is_none_or(|begin| event.at.0 >= begin));
    let text = if arguments.json {
        format!("{}\n", serde_json::to_string_pretty(&events)?)
    } else {
        events.iter().map(table::event).collect()
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn waiting(connection: &Connection) -> Result<Vec<EventRecord>> {
    match connection.open()?.request(&Request::Waiting)? {
        Response::Waiting(events) => Ok(events),
        Response::Refused(why) | Response::NotFound(why) => bail!("{why}"),
        Response::Status(_) | Response::Event(_) | Response::Done(_) | Response::History(_) => {
            bail!("the agent answered something else")
        }
    }
}
