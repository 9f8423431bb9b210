//! What the probers report, in the loop.

use super::Daemon;
use crate::engine::input::Input;
use crate::probe::{ProbeReport, ProberReport};

impl Daemon {
    /// The engine's timeout has come. A probe is judged after all that has arrived was read, however late
    /// the probers or this loop were called.
    pub(super) fn time_has_passed(&mut self) {
        let now = self.clock.now();
        if self.decisions.lateness.is_reading() {
            return;
        }
        let awaits_answers = self.decisions.engine.awaits_answers(now);
        if awaits_answers || self.decisions.lateness.is_stall(now) {
            self.decisions.lateness.read_answers(now);
            self.probers.read_answers();
        } else {
            self.decisions.handle_timeout(now);
        }
    }

    /// Takes a report and those that wait behind it: what follows from all of them is done once.
    pub(super) fn prober_reports(&mut self, first: ProberReport) {
        let waiting = self.probers.waiting();
        self.prober_reported(first);
        for _ in 0..waiting {
            if let Some(report) = self.probers.next_waiting() {
                self.prober_reported(report);
            }
        }
    }

    fn prober_reported(&mut self, report: ProberReport) {
        match report {
            ProberReport::Outcome(report) => self.probed(report),
            ProberReport::SentLate { uplink, id, by } => {
                self.decisions.tell(Input::SentLate { uplink, id, by });
            }
            ProberReport::Traced(path) => self.decisions.tell(Input::Traced(path)),
            ProberReport::AnswersRead(at) => {
                let until = self.clock.at(at);
                self.decisions.tell(Input::AnswersRead { until });
                if let Some(lasts) = self.decisions.lateness.answers_are_read(self.clock.now()) {
                    self.decisions.tell(Input::Stalled { lasts });
                }
                self.decisions.handle_timeout(self.clock.now());
            }
        }
    }

    pub(super) fn probed(&mut self, report: ProbeReport) {
        tracing::debug!(uplink = %report.uplink, id = %report.id, outcome = ?report.outcome, "probe");
        self.announcer.metrics.reported(&report);
        self.decisions.tell(Input::Probe {
            uplink: report.uplink,
            id: report.id,
            outcome: report.outcome,
        });
    }
}
