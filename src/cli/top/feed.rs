//! What the agent says: its status and its latest events, again after it was away.

use anyhow::Result;

use super::dashboard::Dashboard;
use crate::cli::command::unexpected;
use crate::cli::connection::LastingConnection;
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
    match agent.request(&request)? {
        Response::History(events) => Ok(events),
        other @ (Response::Status(_)
        | Response::Event(_)
        | Response::Done(_)
        | Response::Refused(_)
        | Response::NotFound(_)
        | Response::Samples(_)) => Err(unexpected(other)),
    }
}

/// Gives a command; what the agent says to it.
pub(super) fn order(agent: &mut LastingConnection, command: Command) -> String {
    match agent.request(&command.into()) {
        Ok(Response::Done(meaning)) => meaning,
        Ok(
            other @ (Response::Status(_)
            | Response::Event(_)
            | Response::Refused(_)
            | Response::NotFound(_)
            | Response::History(_)
            | Response::Samples(_)),
        ) => format!("{:#}", unexpected(other)),
        Err(error) => format!("{error:#}"),
    }
}
