//! When to try again what does not stay or does not succeed. Pure: it counts ticks.

use std::collections::{BTreeMap, BTreeSet};

use super::RefusedOperation;
use crate::routing::plan::Operation;

/// How many ticks a contest rests at most.
const LONGEST_REST: u32 = 100;
/// How many ticks without trouble end a contest.
const QUIET: u32 = 300;
/// How many ticks a refused operation waits at first, and at most.
const RETRY: (u32, u32) = (10, 300);

/// Keeps this program from fighting others over an object, and from asking the kernel for the
/// impossible without end.
///
/// What someone else undid is put back at once. Undone again, it is put back after one tick, then
/// two, four and so on up to [`LONGEST_REST`]; [`QUIET`] ticks of peace forget it. What the kernel
/// refuses is tried again after a while ([`RETRY`]), and at once when a link has changed.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    contested: BTreeMap<Operation, Contest>,
    refusals: BTreeMap<Operation, Refused>,
}

#[derive(Debug, Default)]
struct Contest {
    strikes: u32,
    rest: u32,
    quiet: u32,
}

#[derive(Debug)]
struct Refused {
    times: u32,
    rest: u32,
    refusal: RefusedOperation,
}

impl Backoff {
    /// Whether this may be tried now.
    pub(super) fn allows(&self, operation: &Operation) -> bool {
        let rests = self
            .contested
            .get(operation)
            .is_some_and(|contest| contest.rest > 0);
        let waits = self
            .refusals
            .get(operation)
            .is_some_and(|refused| refused.rest > 0);
        !rests && !waits
    }

    /// It had to be put back. True if that is worth saying: the first time until all is quiet.
    pub(super) fn put_back(&mut self, operation: &Operation) -> bool {
        let contest = self.contested.entry(operation.clone()).or_default();
        contest.rest = doubled(1, contest.strikes).min(LONGEST_REST);
        contest.quiet = QUIET;
        contest.strikes += 1;
        contest.strikes == 1
    }

    /// The kernel refused it.
    pub(super) fn refused(&mut self, operation: &Operation, refusal: RefusedOperation) {
        let times = self
            .refusals
            .get(operation)
            .map_or(0, |refused| refused.times);
        let refused = Refused {
            times: times + 1,
            rest: doubled(RETRY.0, times).min(RETRY.1),
            refusal,
        };
        self.refusals.insert(operation.clone(), refused);
    }

    /// Whether the kernel refused it the last time.
    pub(super) fn is_refused(&self, operation: &Operation) -> bool {
        self.refusals.contains_key(operation)
    }

    /// A link has changed: what waits for that is tried again at once.
    pub(super) fn links_changed(&mut self) {
        for refused in self.refusals.values_mut() {
            if !refused.refusal.is_permanent {
                refused.rest = 0;
                refused.times = 0;
            }
        }
    }

    /// Only these operations are still to be done; forgets the refusals of all others.
    pub(super) fn keep(&mut self, open: &BTreeSet<&Operation>) {
        self.refusals
            .retain(|operation, _| open.contains(operation));
    }

    /// What the kernel refuses at present.
    pub(super) fn refusals(&self) -> Vec<RefusedOperation> {
        let refusals = self.refusals.values();
        refusals.map(|refused| refused.refusal.clone()).collect()
    }

    /// Something else is wanted now: everything is tried anew.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether no tick is needed.
    pub(super) fn is_idle(&self) -> bool {
        self.contested.is_empty() && self.refusals.is_empty()
    }

    /// Time passes. True if something may be tried again.
    pub(super) fn tick(&mut self) -> bool {
        let mut is_due = false;
        for contest in self.contested.values_mut() {
            is_due |= contest.rest == 1;
            contest.rest = contest.rest.saturating_sub(1);
            contest.quiet = contest.quiet.saturating_sub(1);
        }
        for refused in self.refusals.values_mut() {
            is_due |= refused.rest == 1;
            refused.rest = refused.rest.saturating_sub(1);
        }
        self.contested.retain(|_, contest| contest.quiet > 0);
        is_due
    }
}

/// `first` doubled so many times.
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

    /// How many ticks pass until the operation may be tried.
    fn rest(backoff: &mut Backoff) -> u32 {
        let mut ticks = 0;
        while !backoff.allows(&operation()) {
            backoff.tick();
            ticks += 1;
        }
        ticks
    }

    #[test]
    fn a_fight_is_fought_ever_more_slowly_and_said_once() {
        let mut backoff = Backoff::default();
        let mut said = 0;
        let mut rests = Vec::new();
        for _ in 0..10 {
            said += u32::from(backoff.put_back(&operation()));
            rests.push(rest(&mut backoff));
        }
        assert_eq!(said, 1);
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 64, 100, 100, 100]);
    }

    #[test]
    fn peace_ends_a_fight() {
        let mut backoff = Backoff::default();
        backoff.put_back(&operation());
        for _ in 0..QUIET {
            assert!(!backoff.is_idle());
            backoff.tick();
        }
        assert!(backoff.is_idle());
        assert!(backoff.put_back(&operation()), "said again");
    }

    #[test]
    fn a_changed_link_cuts_the_wait_short_unless_it_cannot_help() {
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
        let mut rests = Vec::new();
        for _ in 0..7 {
            backoff.refused(&operation(), refusal(true));
            rests.push(rest(&mut backoff));
        }
        assert_eq!(rests, [10, 20, 40, 80, 160, 300, 300]);
    }
}
