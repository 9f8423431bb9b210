//! The history for clients: read beside the loop, one reader at a time.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;
use tokio::task::{spawn, spawn_blocking};

use super::Daemon;
use crate::control::{Call, Response};
use crate::engine::event::EventRecord;
use crate::history::{self, MOST_WAITING};

/// The most that one answer tells: a message of ubus has a megabyte at most, and memory is scarce.
const MOST_TOLD: usize = 1_000;

/// The turn of those who want the history.
#[derive(Debug)]
pub(super) struct Readers(Arc<Semaphore>);

impl Default for Readers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Daemon {
    /// Answers with what happened within a span, when it is the caller's turn.
    pub(super) fn tell_history(&self, call: Call, span: Option<Duration>) {
        let waiting = self.history.waiting().to_vec();
        let directory = self.config.agent.state_dir.clone();
        let now = self.clock.wall().at(self.clock.now()).0;
        let begin = span.map(|span| now.checked_sub(span).unwrap_or(SystemTime::UNIX_EPOCH));
        let turns = Arc::clone(&self.readers.0);
        spawn(async move {
            if let Ok(_turn) = turns.acquire().await {
                let told = spawn_blocking(move || call.answer(&past(&directory, waiting, begin)));
                // An answer that was not given ends the conversation of its client.
                let _ = told.await;
            }
        });
    }
}

fn past(directory: &Path, waiting: Vec<EventRecord>, begin: Option<SystemTime>) -> Response {
    let mut events = match history::read(directory) {
        Ok(past) => past.events,
        Err(error) => return Response::Refused(format!("{:#}", anyhow::Error::from(error))),
    };
    // They may have been written since they were counted as waiting.
    let newest = events.len().saturating_sub(2 * MOST_WAITING);
    for event in waiting {
        if !events[newest..].contains(&event) {
            events.push(event);
        }
    }
    events.retain(|event| begin.is_none_or(|begin| event.at.0 >= begin));
    events.drain(..events.len().saturating_sub(MOST_TOLD));
    Response::History(events)
}
