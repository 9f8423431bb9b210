//! The history for clients: read beside the loop, one reader at a time.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::task::{spawn, spawn_blocking};

use crate::control::{Call, Response};
use crate::engine::event::record::EventRecord;
use crate::history::{self, CorruptLine, HistoryError, MOST_WAITING};
use crate::units::Timestamp;
use crate::units::sorted::SortedSet;

/// One reader for all clients: memory is scarce. It ends when this value is dropped.
#[derive(Debug)]
pub(super) struct HistoryReader(mpsc::UnboundedSender<HistoryQuery>);

/// A query, and what it is answered from.
#[derive(Debug)]
struct HistoryQuery {
    call: Call,
    directory: PathBuf,
    waiting: Vec<EventRecord>,
    range: HistoryRange,
}

/// A query of the history.
#[derive(Clone, Copy, Debug)]
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

impl HistoryReader {
    /// Starts the reader. `known`: damaged lines that are logged already.
    pub(super) fn start(known: SortedSet<CorruptLine>) -> Self {
        let (queries, inbox) = mpsc::unbounded_channel();
        spawn(answer_all(inbox, known));
        Self(queries)
    }

    /// Answers a query when its turn comes.
    pub(super) fn answer(
        &self,
        call: Call,
        directory: PathBuf,
        waiting: Vec<EventRecord>,
        range: HistoryRange,
    ) {
        // A dropped answer ends the connection of its client.
        drop(self.0.send(HistoryQuery {
            call,
            directory,
            waiting,
            range,
        }));
    }
}

async fn answer_all(
    mut inbox: mpsc::UnboundedReceiver<HistoryQuery>,
    mut known: SortedSet<CorruptLine>,
) {
    while let Some(query) = inbox.recv().await {
        let answer = move || {
            let HistoryQuery {
                call,
                directory,
                waiting,
                range,
            } = query;
            call.answer(stored_and_waiting(&directory, waiting, range, &mut known));
            known
        };
        let Ok(now_known) = spawn_blocking(answer).await else {
            return;
        };
        known = now_known;
    }
}

/// Logs damaged lines that were not logged before.
fn complain(corrupt: Vec<CorruptLine>, known: &mut SortedSet<CorruptLine>) {
    let mut news = corrupt;
    news.retain(|line| known.insert(line.clone()));
    if !news.is_empty() {
        let why = HistoryError::Damaged(news).to_string();
        tracing::warn!(why, "the history is damaged");
    }
}

fn stored_and_waiting(
    directory: &Path,
    waiting: Vec<EventRecord>,
    range: HistoryRange,
    known: &mut SortedSet<CorruptLine>,
) -> Response {
    let mut events = match history::read(directory) {
        Ok(stored) => {
            complain(stored.corrupt, known);
            stored.events
        }
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
            let mut known = SortedSet::new();
            let response = stored_and_waiting(directory.path(), waiting.clone(), range, &mut known);
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
