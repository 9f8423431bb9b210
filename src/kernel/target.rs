//! What the kernel is to hold: what is desired, in the form that this kernel supports, and beside what other programs
//! have in main.

use super::refused_options::RefusedOptions;
use super::report::Wanted;
use crate::routing::{Desired, Observed};

/// What the kernel is to hold.
pub(super) struct KernelTarget {
    groups: ResilientGroups,
    pub(super) refused_options: RefusedOptions,
    /// The same at the last look.
    last: Desired,
}

/// Whether this kernel has resilient groups of nexthop objects, by which several uplinks share a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResilientGroups {
    /// It has them.
    Available,
    /// It has none, or refused one: the paths stand in their routes.
    Missing { is_logged: bool },
}

impl ResilientGroups {
    fn new(are_available: bool) -> Self {
        if are_available {
            Self::Available
        } else {
            Self::Missing { is_logged: false }
        }
    }
}

impl KernelTarget {
    pub(super) fn new(has_groups: bool) -> Self {
        Self {
            groups: ResilientGroups::new(has_groups),
            refused_options: RefusedOptions::default(),
            last: Desired::default(),
        }
    }

    /// The same at the last look.
    pub(super) fn last(&self) -> &Desired {
        &self.last
    }

    /// Takes what it is now; returns what it was at the last look.
    pub(super) fn replace(&mut self, now: Desired) -> Desired {
        std::mem::replace(&mut self.last, now)
    }

    /// What it is now; none before the first decision.
    pub(super) fn now(&mut self, wanted: &Wanted, observed: &Observed) -> Option<Desired> {
        let desired = wanted.desired.as_ref()?;
        let mut now = match &mut self.groups {
            ResilientGroups::Missing { is_logged } if !desired.nexthops.is_empty() => {
                if !std::mem::replace(is_logged, true) {
                    tracing::info!(
                        "this kernel has no resilient groups of nexthop objects (Linux 5.13): flows \
                         may move when the uplinks that share the traffic change"
                    );
                }
                desired.flattened()
            }
            ResilientGroups::Missing { .. } | ResilientGroups::Available => desired.clone(),
        };
        now.pass_dead_ends(observed);
        now.keep_networks_apart(observed, &wanted.numbering);
        self.refused_options.leave_out(&mut now, observed);
        Some(now)
    }

    /// The kernel refuses nexthop objects.
    pub(super) fn do_without_groups(&mut self, operation: &str, why: &str) {
        tracing::warn!(
            operation,
            why,
            "the kernel refuses nexthop objects: routes get their paths instead, and flows may move when \
             the uplinks that share the traffic change"
        );
        self.groups = ResilientGroups::Missing { is_logged: true };
    }
}
