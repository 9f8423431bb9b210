//! The history for clients: read beside the loop, one reader at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;
use tokio::task::{spawn, spawn_blocking};

use crate::control::{Call, Response};
use crate::engine::event::record::EventRecord;
use crate::history::{self, MOST_WAITING};
use crate::units::Timestamp;

/// One reader at a time: memory is scarce.
#[derive(Debug)]
pub(super) struct HistoryReaders(Arc<Semaphore>);

impl Default for HistoryReaders {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// A query of the history.
#[derive(Clone, Copy)]
pub(super) struct HistoryRange {
    begin: Option<SystemTime>,
    newest: Option<usize>,
}

impl HistoryRange {
    /// Those of a span until `now`, and at most so many.
    pub(super) fn new(since: Option<Duration>, newest: Option<usize>, now: Timestamp) -> Self {
        let begin = |span| now.0.checked_sub(span).unwrap_or(SystemTime::UNIX_EPOCH);
        Self {
            begin: since.map(begin),
            newest,
        }
    }
}

impl HistoryReaders {
    /// Answers a query when its turn comes.
    pub(super) fn answer(
        &self,
        call: Call,
        directory: PathBuf,
        waiting: Vec<EventRecord>,
        range: HistoryRange,
    ) {
        let turns = Arc::clone(&self.0);
        spawn(async move {
            if let Ok(_turn) = turns.acquire().await {
                let answer = move || call.answer(stored_and_waiting(&directory, waiting, range));
                // A dropped answer ends the connection of its client.
                let _ = spawn_blocking(answer).await;
            }
        });
    }
}

fn stored_and_waiting(
    directory: &Path,
    waiting: Vec<EventRecord>,
    range: HistoryRange,
) -> Response {
    let mut events = match history::read(directory) {
        Ok(stored) => stored.events,
        Err(error) => return Response::Refused(format!("{:#}", anyhow::Error::from(error))),
    };
    // Pending events are written all at once, which may have happened since.
    let newest = events.len().saturating_sub(2 * MOST_WAITING);
    let length = waiting.len().max(1);
    let mut written = events[newest..].windows(length);
    if !written.any(|written| written == waiting) {
        events.extend(waiting);
    }
    events.retain(|event| range.begin.is_none_or(|begin| event.at.0 >= begin));
    let most = range.newest.unwrap_or(usize::MAX);
    events.drain(..events.len().saturating_sub(most));
    Response::History(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::{Change, Event};
    use crate::history::History;
    use crate::units::{Moment, Wall};

    #[test]
    fn pending_events_are_answered_once_whether_they_were_written_meanwhile_or_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut history, _) = History::open(directory.path());
        // Within a second, at a time that is no whole one; the first two are alike.
        let clock = SystemTime::UNIX_EPOCH + Duration::from_millis(1_763_700_000_250);
        let wall = Wall::reading(clock, Moment::START);
        let events = ["again", "again", "and again"].map(|reason| {
            let event = Event {
                at: Moment::START,
                change: Change::ConfigReloaded,
                reason: reason.to_owned(),
            };
            event.record(wall)
        });
        for event in &events {
            history.note(event).expect("it waits");
        }
        let waiting = history.waiting().to_vec();
        assert_eq!(waiting, events);
        let answer = || {
            let range = HistoryRange::new(None, None, Timestamp(clock));
            let response = stored_and_waiting(directory.path(), waiting.clone(), range);
            let Response::History(events) = response else {
                panic!("{response:?}")
            };
            events
        };
        assert_eq!(answer(), events);
        history.write().expect("written");
        assert_eq!(answer(), events);
    }
}
