//! What the agent says: its status and its latest events, again after it was away.

use std::sync::mpsc::Sender;
use std::thread;

use anyhow::Result;

use super::dashboard::Dashboard;
use crate::cli::command::unexpected;
use crate::cli::connection::LastingConnection;
use crate::cli::drill;
use crate::cli::history;
use crate::cli::status;
use crate::control::{Request, Response};
use crate::engine::command::Command;
use crate::engine::event::record::EventRecord;

/// So many events are asked for: more than the tallest screen shows.
const NEWEST: usize = 100;

/// Shows what is so now, or why that is not known.
pub(super) fn refresh(agent: &mut LastingConnection, dashboard: &mut Dashboard) {
    let status = status::ask(agent);
    match status.and_then(|status| Ok((status, events(agent)?))) {
        Ok((status, events)) => dashboard.take(status, events),
        Err(error) => dashboard.problem = Some(format!("{error:#}")),
    }
}

fn events(agent: &mut LastingConnection) -> Result<Vec<EventRecord>> {
    let request = Request::History {
        since: None,
        newest: Some(NEWEST),
    };
    history::taken(agent.request(&request)?)
}

/// Gives a command; what the agent says to it. What is known of a drill only when it is over goes to `results`.
pub(super) fn order(
    agent: &mut LastingConnection,
    command: Command,
    results: &Sender<String>,
) -> String {
    if let Command::Drill { .. } = command {
        return drill(agent, command, results.clone());
    }
    match agent.request(&command.into()) {
        Ok(Response::Done(meaning)) => meaning,
        Ok(other) => said(other),
        Err(error) => format!("{error:#}"),
    }
}

/// A drill is asked for on a connection of its own, whose end ends it. It is over when the screen is left.
fn drill(agent: &LastingConnection, command: Command, results: Sender<String>) -> String {
    let begun = command.outcome(None);
    let mut client = match agent.another() {
        Ok(client) => client,
        Err(error) => return format!("{error:#}"),
    };
    thread::spawn(move || {
        let result = match client.request_at_length(&command.into()) {
            Ok(Response::Event(record)) => drill::text(&record),
            Ok(other) => said(other),
            Err(error) => format!("{:#}", anyhow::Error::from(error)),
        };
        // No reader: the screen was left.
        drop(results.send(result));
    });
    begun
}

fn said(other: Response) -> String {
    format!("{:#}", unexpected(other))
}
