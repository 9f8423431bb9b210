//! The sinks of events: the log, netifd, hooks, the history, metrics, and watchers, ubus among them.

use std::path::Path;
use std::time::Duration;

use tokio::sync::oneshot;

use super::history_query::{HistoryRange, HistoryReader};
use super::metrics::AgentMetrics;
use super::networks::Netifd;
use crate::alert::{self, Hooks, Repeats};
use crate::config::Config;
use crate::control::Call;
use crate::control::socket::Watchers;
use crate::engine::event::record::EventRecord;
use crate::engine::status::Status;
use crate::history::{CorruptLine, History, HistoryError};
use crate::units::sorted::SortedSet;
use crate::units::{Moment, Timestamp};

/// The one announcer of events. It only passes them on: a record is complete when it arrives.
pub(super) struct Announcer {
    /// Events that the log counts instead of repeating.
    repeats: Repeats,
    /// None for an agent that only observes: hooks act.
    hooks: Option<Hooks>,
    /// None for an agent that only observes: another agent may write it.
    history: Option<History>,
    reader: HistoryReader,
    /// Logged once: flash that cannot be written stays so.
    has_complained_of_history: bool,
    watchers: Watchers,
    pub(super) metrics: AgentMetrics,
}

impl Announcer {
    /// # Errors
    /// If there is no way out for the metrics.
    pub(super) fn start(config: &Config, is_observing: bool, now: Moment) -> anyhow::Result<Self> {
        let acts = !is_observing;
        let mut known = SortedSet::new();
        Ok(Self {
            metrics: AgentMetrics::start(config, now)?,
            repeats: Repeats::default(),
            hooks: acts.then(|| Hooks::start(&config.agent.hooks)),
            history: acts.then(|| history(&config.agent.state_dir, &mut known)),
            reader: HistoryReader::start(known),
            has_complained_of_history: false,
            watchers: Watchers::default(),
        })
    }

    /// Passes on an event, with the status after it.
    pub(super) fn announce(
        &mut self,
        record: &EventRecord,
        status: &Status,
        netifd: &Netifd,
        now: Moment,
    ) {
        if let Some(line) = self.repeats.line(record, now) {
            alert::tell(&line);
        }
        if let Some(hooks) = &self.hooks {
            netifd.order(record);
            hooks.tell(record);
        }
        if let Some(history) = &mut self.history {
            let noted = history.note(record);
            self.note_history(noted);
        }
        self.metrics.announced(record, now);
        self.watchers.publish(record, status);
    }

    /// Lets hooks know of what is about to happen; closed when all have ended. None: there are none.
    pub(super) fn announce_before(&self, record: &EventRecord) -> Option<oneshot::Receiver<()>> {
        let hooks = self.hooks.as_ref()?;
        Some(hooks.tell_before(record))
    }

    /// Logs the events that were counted so far and are due.
    pub(super) fn sum_up_repeats(&mut self, now: Moment) {
        for record in self.repeats.due(now) {
            alert::tell(&record);
        }
    }

    /// Logs all counted events and writes the pending history, at the end.
    pub(super) fn finish(&mut self, now: Moment) {
        for record in std::mem::take(&mut self.repeats).rest(now) {
            alert::tell(&record);
        }
        self.write_history();
    }

    /// Lets hooks take what they were told, for a moment.
    pub(super) async fn finish_hooks(&mut self) {
        if let Some(hooks) = self.hooks.take() {
            hooks.finish().await;
        }
    }

    /// Adds a watcher.
    pub(super) fn watch(&mut self, call: Call, status: &Status) {
        self.watchers.add(call, status);
    }

    /// Writes the pending history.
    pub(super) fn write_history(&mut self) {
        if let Some(history) = &mut self.history {
            let written = history.write();
            self.note_history(written);
        }
    }

    /// Events that are not written yet.
    pub(super) fn unwritten(&self) -> &[EventRecord] {
        self.history
            .as_ref()
            .map(History::waiting)
            .unwrap_or_default()
    }

    /// Answers a query of the history when its turn comes.
    pub(super) fn answer_history(
        &self,
        call: Call,
        directory: &Path,
        range: (Option<Duration>, Option<usize>),
        now: Timestamp,
    ) {
        let range = HistoryRange::new(range.0, range.1, now);
        let waiting = self.unwritten().to_vec();
        self.reader
            .answer(call, directory.to_owned(), waiting, range);
    }

    /// Runs the programs of another directory from now on.
    pub(super) fn move_hooks(&mut self, directory: &Path) {
        if let Some(hooks) = &mut self.hooks {
            hooks.move_to(directory);
        }
    }

    fn note_history(&mut self, outcome: Result<(), HistoryError>) {
        if let Err(error) = outcome
            && !std::mem::replace(&mut self.has_complained_of_history, true)
        {
            let why = format!("{:#}", anyhow::Error::from(error));
            tracing::warn!(why, "the history is not kept");
        }
    }
}

/// The history in a directory; `known` takes the damaged lines in it, which are logged.
fn history(directory: &Path, known: &mut SortedSet<CorruptLine>) -> History {
    let (history, complaints) = History::open(directory);
    for error in complaints {
        if let HistoryError::Damaged(lines) = &error {
            known.extend(lines.iter().cloned());
        }
        let why = format!("{:#}", anyhow::Error::from(error));
        tracing::warn!(why, "the history is damaged");
    }
    history
}
