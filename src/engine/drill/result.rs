//! What a drill has come to, as it is announced.

use std::cmp::Ordering;
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
        let (stream_ms, established_ms) = (measured.recovery_ms, measured.established_ms);
        let both = stream_ms.zip(established_ms);
        let recovery_ms = both.map(|(stream, established)| stream.max(established));
        let findings = DrillFindings {
            result: match (&self.skipped, &self.aborted, recovery_ms) {
                (Some(_), _, _) => DrillResult::Skipped,
                (None, Some(_), _) => DrillResult::Aborted,
                (None, None, Some(recovery)) if recovery <= rto_ms => DrillResult::Passed,
                (None, None, Some(_) | None) => DrillResult::Failed,
            },
            rto_ms,
            recovery_ms,
            stream_ms,
            established_ms,
            failed_ms: millis(self.failed_for),
            sent: measured.sent,
            lost: measured.lost,
        };
        let ended_early = self.skipped.or(self.aborted);
        let failed_for = seconds(self.failed_for);
        let reason = match (ended_early, stream_ms, established_ms) {
            (Some(why), ..) => format!("{}: {why}", findings.result),
            (None, Some(stream), Some(established)) => format!(
                "{}: traffic recovered in {}, `drill.rto` is {rto_ms} ms; {} of {} packets lost",
                findings.result,
                recovery(stream, established),
                measured.lost,
                measured.sent
            ),
            (None, Some(stream), None) => format!(
                "failed: established connections stayed in the {failed_for} of the failure; new ones recovered in \
                 {stream} ms"
            ),
            (None, None, _) => format!("failed: no traffic in the {failed_for} of the failure"),
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

/// In words: how long all traffic took to recover, and the part that was sooner back.
fn recovery(stream: u32, established: u32) -> String {
    let whole = stream.max(established);
    let sooner = match stream.cmp(&established) {
        Ordering::Equal => return format!("{whole} ms"),
        Ordering::Less => "new",
        Ordering::Greater => "established",
    };
    let soon = stream.min(established);
    format!("{whole} ms, that of {sooner} connections in {soon} ms")
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
