//! Allowances in the loop: the counters that the engine counts by, and the file of what was counted.

use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Daemon;
use crate::allowances::{self, AllowanceCounts};
use crate::engine::input::Input;
use crate::units::sorted::SortedMap;
use crate::units::{Counters, Moment, UplinkName};

/// How often what was counted is written: within the hour after it was, whatever the readings and the disk take.
const KEEP_EVERY: Duration = Duration::from_secs(3_500);

/// What was counted, as it was written last.
pub(super) struct KeptAllowances {
    written: AllowanceCounts,
    at: Moment,
    /// The last writing beside the loop.
    writing: Option<JoinHandle<()>>,
}

impl KeptAllowances {
    pub(super) fn new() -> Self {
        Self {
            written: AllowanceCounts::new(),
            at: Moment::START,
            writing: None,
        }
    }

    /// What an earlier run has counted.
    pub(super) fn recall(&mut self, directory: &Path) -> AllowanceCounts {
        self.written = allowances::recall(directory).unwrap_or_else(|error| {
            let why = format!("{:#}", anyhow::Error::from(error));
            tracing::error!(
                why,
                "what was used of the allowances is not known: `uplinkd allowance NAME --used` sets it right"
            );
            AllowanceCounts::new()
        });
        self.written.clone()
    }

    /// It is to be written: not only bytes have changed, or an hour has passed.
    fn is_due(&self, counts: &AllowanceCounts, now: Moment) -> bool {
        let is_known = |(uplink, count): (&UplinkName, &_)| {
            let known = self.written.get(uplink);
            known.is_some_and(|known| known.is_same_but_for_bytes(count))
        };
        let has_aged = now.since(self.at) >= KEEP_EVERY && *counts != self.written;
        has_aged || !counts.iter().all(is_known)
    }
}

impl Daemon {
    /// Lets the engine count what has gone through the interfaces.
    pub(super) fn count_traffic(&mut self, traffic: &SortedMap<UplinkName, Counters>) {
        for place in 0..self.config.engine.uplinks.len() {
            let uplink = &self.config.engine.uplinks[place];
            let counters = uplink.allowance.as_ref().and(traffic.get(&uplink.name));
            let reading = counters.and_then(|now| self.kernel.reading(&uplink.name, *now));
            if let Some(reading) = reading {
                let uplink = uplink.name.clone();
                self.decisions.tell(Input::Traffic { uplink, reading });
            }
        }
    }

    /// Writes what was counted, beside the loop, if it is due.
    pub(super) fn keep_allowances_in_time(&mut self) {
        let (counts, now) = (self.decisions.engine.allowances(), self.clock.now());
        if self.options.observe || !self.state.allowances.is_due(&counts, now) {
            return;
        }
        let kept = &mut self.state.allowances;
        if kept.writing.as_ref().is_none_or(JoinHandle::is_finished) {
            (kept.written, kept.at) = (counts.clone(), now);
            let directory = self.config.agent.state_dir.clone();
            let writer = thread::Builder::new().name("allowances".to_owned());
            kept.writing = writer.spawn(move || keep(&counts, &directory)).ok();
        }
    }

    /// Writes what was counted, now.
    pub(super) fn keep_allowances(&mut self) {
        if let Some(writing) = self.state.allowances.writing.take() {
            drop(writing.join());
        }
        let mut counts = self.decisions.engine.allowances();
        for (uplink, known) in &self.state.allowances.written {
            if let Some(count) = counts.get_mut(uplink) {
                // What was reached since then, and nothing announces any more, is announced by the next run.
                count.announced = count.announced.min(known.announced);
            }
        }
        if !self.options.observe && counts != self.state.allowances.written {
            keep(&counts, &self.config.agent.state_dir);
            self.state.allowances.written = counts;
        }
    }
}

fn keep(counts: &AllowanceCounts, directory: &Path) {
    if let Err(error) = allowances::keep(counts, directory) {
        let why = format!("{:#}", anyhow::Error::from(error));
        tracing::warn!(
            why,
            "a restart will not know what was used of the allowances"
        );
    }
}
