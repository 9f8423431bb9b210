//! What an agent that only observes would write.

use super::report::Wanted;
use crate::routing::Observed;
use crate::routing::plan::Operation;

/// The operations that were outstanding at the last look: each is logged once. After the first plan the decisions are
/// what is of interest, which are logged as events, and each operation only for debugging.
#[derive(Default)]
pub(super) struct UnwrittenOperations {
    last: Vec<Operation>,
    has_plan: bool,
}

impl UnwrittenOperations {
    /// Logs what is outstanding now, as far as it was not before.
    pub(super) fn log(
        &mut self,
        outstanding: Vec<Operation>,
        observed: &Observed,
        wanted: &Wanted,
    ) {
        let is_first = !self.has_plan;
        self.has_plan |= !outstanding.is_empty();
        for operation in self.replace(outstanding) {
            let operation = operation.line(&observed.links, wanted.numbering.protocol);
            if is_first {
                tracing::info!(%operation, "not written: the agent only observes");
            } else {
                tracing::debug!(%operation, "not written: the agent only observes");
            }
        }
    }

    /// What was not outstanding before.
    fn replace(&mut self, outstanding: Vec<Operation>) -> impl Iterator<Item = &Operation> {
        let earlier = std::mem::replace(&mut self.last, outstanding);
        self.last.iter().filter(move |one| !earlier.contains(one))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::{Family, Rule};
    use crate::units::{RulePriority, TableId};

    #[test]
    fn what_would_be_written_is_logged_once_for_as_long_as_it_is_outstanding() {
        let operation = |priority| {
            let rule = Rule::lookup(RulePriority(priority), Family::Ipv4, TableId(1));
            Operation::AddRule(rule)
        };
        let mut unwritten = UnwrittenOperations::default();
        let mut logged = |outstanding: &[u32]| {
            let outstanding = outstanding.iter().map(|&priority| operation(priority));
            let logged = unwritten.replace(outstanding.collect());
            logged.cloned().collect::<Vec<_>>()
        };
        assert_eq!(logged(&[1, 2]), [operation(1), operation(2)]);
        assert_eq!(logged(&[1, 2]), []);
        assert_eq!(logged(&[3, 2]), [operation(3)]);
        assert_eq!(logged(&[1, 2]), [operation(1)]);
    }
}
