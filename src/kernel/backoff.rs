//! When an operation is tried again that was undone or refused. Pure: it counts ticks.

use super::report::{RefusedOperation, Restored};
use crate::routing::plan::Operation;
use crate::units::sorted::{SortedMap, SortedSet};

/// The longest pause before an undone operation is done again, in ticks.
const LONGEST_PAUSE: u32 = 100;
/// An operation that was not undone for so many ticks is forgotten.
const QUIET: u32 = 300;
/// So many ticks after the last object was put back, what was is reported.
const SETTLED: u32 = 2;
/// In so many reports an object may have been before it is one that another program keeps changing: a restart of
/// netifd removes all rules, and then all routes of each link, within seconds.
const BORNE: u32 = 2;
/// The first and the longest pause after a refusal, in ticks.
const RETRY: (u32, u32) = (10, 300);

/// Keeps this program from a loop of changes with another program, and from endless requests that the
/// kernel refuses.
///
/// An object of ours that another program removes is put back at once. Removed again, it is put back
/// after one tick, then two, four and so on up to [`LONGEST_PAUSE`]; after [`QUIET`] ticks without a
/// removal the count starts anew. What the kernel refuses is tried again after a pause ([`RETRY`]), and
/// at once when a link has changed.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    undone: SortedMap<Operation, Undone>,
    refused: SortedMap<Operation, Refused>,
    restored: Option<Unreported>,
}

/// What was put back and is not reported yet.
#[derive(Debug, Default)]
struct Unreported {
    restored: Restored,
    quiet: u32,
}

#[derive(Debug, Default)]
struct Undone {
    times: u32,
    pause: u32,
    quiet: u32,
    /// It was put back since the last report.
    is_open: bool,
    /// So many reports are of it.
    reports: u32,
}

#[derive(Debug)]
struct Refused {
    times: u32,
    pause: u32,
    refusal: RefusedOperation,
}

impl Backoff {
    /// Whether an operation may be tried now.
    pub(super) fn allows(&self, operation: &Operation) -> bool {
        let undone = self.undone.get(operation).map(|undone| undone.pause);
        let refused = self.refused.get(operation).map(|refused| refused.pause);
        undone.is_none_or(|pause| pause == 0) && refused.is_none_or(|pause| pause == 0)
    }

    /// An operation that was undone has been done again; `line` says it.
    pub(super) fn put_back(&mut self, operation: &Operation, line: String) {
        let undone = self.undone.entry(operation.clone()).or_default();
        undone.pause = doubled(1, undone.times).min(LONGEST_PAUSE);
        undone.quiet = QUIET;
        undone.times += 1;
        undone.is_open = true;
        let unreported = self.restored.get_or_insert_default();
        unreported.quiet = 0;
        unreported.restored.is_again |= undone.reports >= BORNE;
        if undone.times == 1 {
            unreported.restored.what.push(line);
        }
    }

    /// What was put back, once that is over for the moment: another program that removes all rules is one report.
    pub(super) fn restored(&mut self) -> Option<Restored> {
        let is_over = |unreported: &mut Unreported| unreported.quiet >= SETTLED;
        let unreported = self.restored.take_if(is_over)?;
        for undone in self.undone.values_mut() {
            undone.reports += u32::from(std::mem::take(&mut undone.is_open));
        }
        Some(unreported.restored)
    }

    /// The kernel refused an operation.
    pub(super) fn refused(&mut self, operation: &Operation, refusal: RefusedOperation) {
        let times = self
            .refused
            .get(operation)
            .map_or(0, |refused| refused.times);
        let refused = Refused {
            times: times + 1,
            pause: doubled(RETRY.0, times).min(RETRY.1),
            refusal,
        };
        self.refused.insert(operation.clone(), refused);
    }

    /// Whether the kernel refused this operation the last time.
    pub(super) fn is_refused(&self, operation: &Operation) -> bool {
        self.refused.contains_key(operation)
    }

    /// A link has changed: refusals that are not permanent are tried again at once.
    pub(super) fn links_changed(&mut self) {
        for refused in self.refused.values_mut() {
            if !refused.refusal.is_permanent {
                refused.pause = 0;
                refused.times = 0;
            }
        }
    }

    /// Forgets the refusals of all operations but these, which are still outstanding.
    pub(super) fn keep(&mut self, outstanding: &SortedSet<&Operation>) {
        self.refused
            .retain(|operation, _| outstanding.contains(operation));
    }

    /// The present refusals.
    pub(super) fn refusals(&self) -> Vec<RefusedOperation> {
        let refused = self.refused.values();
        refused.map(|refused| refused.refusal.clone()).collect()
    }

    /// The desired state has changed: everything may be tried.
    pub(super) fn reset(&mut self) {
        *self = Self {
            restored: self.restored.take(),
            ..Self::default()
        };
    }

    /// Whether no tick is needed.
    pub(super) fn is_idle(&self) -> bool {
        self.undone.is_empty() && self.refused.is_empty() && self.restored.is_none()
    }

    /// A tick passes. True if an operation may be tried again.
    pub(super) fn tick(&mut self) -> bool {
        let mut is_due = false;
        if let Some(unreported) = &mut self.restored {
            unreported.quiet += 1;
        }
        for undone in self.undone.values_mut() {
            is_due |= undone.pause == 1;
            undone.pause = undone.pause.saturating_sub(1);
            undone.quiet = undone.quiet.saturating_sub(1);
        }
        for refused in self.refused.values_mut() {
            is_due |= refused.pause == 1;
            refused.pause = refused.pause.saturating_sub(1);
        }
        self.undone.retain(|_, undone| undone.quiet > 0);
        is_due
    }
}

/// `first`, doubled this many times.
fn doubled(first: u32, times: u32) -> u32 {
    first.saturating_mul(2_u32.saturating_pow(times))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::{Family, Rule};
    use crate::units::{RulePriority, TableId};

    fn operation() -> Operation {
        let rule = Rule::lookup(RulePriority(1), Family::Ipv4, TableId(1));
        Operation::AddRule(rule)
    }

    fn refusal(is_permanent: bool) -> RefusedOperation {
        RefusedOperation {
            operation: String::new(),
            reason: String::new(),
            is_permanent,
        }
    }

    /// The ticks until the operation may be tried.
    fn pause(backoff: &mut Backoff) -> u32 {
        let mut ticks = 0;
        while !backoff.allows(&operation()) {
            backoff.tick();
            ticks += 1;
        }
        ticks
    }

    #[test]
    fn an_undone_operation_is_repeated_ever_more_slowly_and_said_once() {
        let mut backoff = Backoff::default();
        let mut pauses = Vec::new();
        let mut reports = Vec::new();
        for _ in 0..10 {
            backoff.put_back(&operation(), String::from("it"));
            pauses.push(pause(&mut backoff));
            reports.extend(backoff.restored());
        }
        let what: Vec<_> = reports.iter().flat_map(|report| &report.what).collect();
        assert_eq!(what, ["it"]);
        assert!(reports.last().is_some_and(|last| last.is_again));
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 100, 100, 100]);
    }

    #[test]
    fn what_is_removed_several_times_in_a_restart_of_other_software_is_not_contested() {
        let mut backoff = Backoff::default();
        // It flushes rules while it lists them, and goes on with the links a second later; twice in a minute.
        for _ in 0..2 {
            for _ in 0..3 {
                backoff.put_back(&operation(), String::from("it"));
            }
            for _ in 0..10 {
                backoff.tick();
                let restored = backoff.restored().unwrap_or_default();
                assert!(!restored.is_again);
            }
        }
        backoff.put_back(&operation(), String::from("it"));
        backoff.tick();
        backoff.tick();
        assert!(backoff.restored().is_some_and(|restored| restored.is_again));
    }

    #[test]
    fn an_operation_that_stays_is_forgotten() {
        let mut backoff = Backoff::default();
        backoff.put_back(&operation(), String::from("it"));
        for _ in 0..QUIET {
            assert!(!backoff.is_idle());
            backoff.tick();
        }
        assert!(backoff.restored().is_some());
        assert!(backoff.is_idle());
        backoff.put_back(&operation(), String::from("it"));
        backoff.tick();
        assert_eq!(backoff.restored(), None, "more may follow");
        backoff.tick();
        let again = backoff.restored().expect("a report");
        assert_eq!((again.what.len(), again.is_again), (1, false));
    }

    #[test]
    fn a_changed_link_ends_the_pause_after_a_refusal_that_is_not_permanent() {
        for is_permanent in [false, true] {
            let mut backoff = Backoff::default();
            backoff.refused(&operation(), refusal(is_permanent));
            assert!(!backoff.allows(&operation()));
            backoff.links_changed();
            assert_eq!(backoff.allows(&operation()), !is_permanent);
        }
    }

    #[test]
    fn a_refused_operation_is_tried_again_ever_less_often() {
        let mut backoff = Backoff::default();
        let mut pauses = Vec::new();
        for _ in 0..7 {
            backoff.refused(&operation(), refusal(true));
            pauses.push(pause(&mut backoff));
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300]);
    }
}
