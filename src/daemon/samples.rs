//! Samples in the loop: taken of the figures and the counters, and written beside the loop.

use std::path::Path;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::Daemon;
use crate::control::{Call, Request, Response};
use crate::engine::status::UplinkFigures;
use crate::samples::SampleBook;
use crate::samples::gather::SampleGatherer;
use crate::samples::{file, lines};
use crate::units::{Moment, Wall};

/// How long a stop waits for a file that is being written.
const WRITTEN_WITHIN: Duration = Duration::from_secs(2);
const DAY: Duration = Duration::from_secs(86_400);

/// The samples of the agent.
pub(super) struct AgentSamples {
    gatherer: SampleGatherer,
    /// The last writing of the file.
    writing: Option<JoinHandle<()>>,
    /// An agent that only observes writes nothing.
    is_observing: bool,
}

impl AgentSamples {
    /// Goes on with those in a directory.
    pub(super) fn start(directory: &Path, is_observing: bool, wall: Wall) -> Self {
        let known = if is_observing {
            file::read(directory).map(Option::unwrap_or_default)
        } else {
            file::recall(directory)
        };
        let book = known.unwrap_or_else(|error| {
            let why = format!("{:#}", anyhow::Error::from(error));
            tracing::warn!(why, "starts without the samples of an earlier run");
            SampleBook::default()
        });
        Self {
            gatherer: SampleGatherer::new(book, wall),
            writing: None,
            is_observing,
        }
    }

    /// With all of them.
    pub(super) fn gatherer(&self) -> &SampleGatherer {
        &self.gatherer
    }

    /// When they are to be taken again.
    pub(super) fn due(&self) -> Moment {
        self.gatherer.due()
    }

    /// The states may have changed.
    pub(super) fn follow(&mut self, uplinks: &[UplinkFigures], wall: Wall) {
        self.gatherer.follow(uplinks, wall);
    }

    /// Answers a request for them. Beside the loop, as it takes a while on a small machine.
    pub(super) fn answer(&self, call: Call, wall: Wall) {
        let gatherer = self.gatherer.clone();
        spawn_blocking(move || {
            let book = gatherer.book(wall);
            let now = wall.at(wall.now()).0;
            let text = if call.request == Request::Day {
                lines::within(&book, [now.checked_sub(DAY).unwrap_or(now), now])
            } else {
                file::to_text(&book)
            };
            call.answer(Response::Samples(text));
        });
    }

    /// Writes them at the end.
    pub(super) async fn finish(&mut self, directory: &Path, wall: Wall) {
        if let Some(writing) = self.writing.take() {
            drop(timeout(WRITTEN_WITHIN, writing).await);
        }
        if !self.is_observing {
            keep(&self.gatherer.to_write(wall), directory);
        }
    }

    /// Writes them beside the loop.
    fn write(&mut self, directory: &Path, wall: Wall) {
        let book = self.gatherer.to_write(wall);
        if !self.is_observing {
            let directory = directory.to_owned();
            self.writing = Some(spawn_blocking(move || keep(&book, &directory)));
        }
    }
}

impl Daemon {
    /// Takes samples if they are due.
    pub(super) fn take_samples(&mut self, now: Moment) {
        if now < self.state.samples.due() {
            return;
        }
        self.read_samples();
        self.keep_allowances_in_time();
        let wall = self.clock.wall();
        let samples = &mut self.state.samples;
        if samples.gatherer.is_due_to_write(wall) {
            samples.write(&self.config.agent.state_dir, wall);
        }
    }

    /// Takes what is measured now.
    pub(super) fn read_samples(&mut self) {
        let wall = self.clock.wall();
        let (figures, traffic) = (self.decisions.engine.figures(), self.kernel.all_counters());
        self.count_traffic(&traffic);
        let meters = self.announcer.metrics.counted(wall.now());
        let samples = &mut self.state.samples;
        samples
            .gatherer
            .read(&figures, &traffic, |uplink| meters.probes(uplink), wall);
    }
}

fn keep(book: &SampleBook, directory: &Path) {
    if let Err(error) = file::keep(book, directory) {
        let why = format!("{:#}", anyhow::Error::from(error));
        tracing::warn!(why, "samples are not kept");
    }
}
