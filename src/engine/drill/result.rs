//! What a drill has come to, as it is announced.

use std::time::Duration;

use super::Drill;
use crate::engine::event::drill::{DrillChange, DrillFindings, DrillResult};
use crate::engine::event::{Change, Event};
use crate::engine::settings::DrillSettings;
use crate::engine::wording::seconds;
use crate::units::Moment;

impl Drill {
    /// The event of its end, or that it did not begin.
    pub(super) fn event(self, settings: DrillSettings, now: Moment) -> Event {
        let measured = self.measured.unwrap_or_default();
        let rto_ms = millis(settings.rto);
        let findings = DrillFindings {
            result: match (&self.skipped, &self.aborted, measured.recovery_ms) {
                (Some(_), _, _) => DrillResult::Skipped,
                (None, Some(_), _) => DrillResult::Aborted,
                (None, None, Some(recovery)) if recovery <= rto_ms => DrillResult::Passed,
                (None, None, Some(_) | None) => DrillResult::Failed,
            },
            rto_ms,
            recovery_ms: measured.recovery_ms,
            failed_ms: millis(self.failed_for),
            sent: measured.sent,
            lost: measured.lost,
        };
        let ended_early = self.skipped.or(self.aborted);
        let reason = match (ended_early, measured.recovery_ms) {
            (Some(why), _) => format!("{}: {why}", findings.result),
            (None, Some(recovery)) => format!(
                "{}: traffic recovered in {} ms, `drill.rto` is {rto_ms} ms; {} of {} packets lost",
                findings.result, recovery, measured.lost, measured.sent
            ),
            (None, None) => format!(
                "failed: no traffic in the {} of the failure",
                seconds(self.failed_for)
            ),
        };
        Event {
            at: now,
            change: Change::Drill(Box::new(DrillChange {
                uplink: self.uplink,
                interface: self.interface,
                carried_by: self.carried_by,
                findings,
            })),
            reason,
        }
    }
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
