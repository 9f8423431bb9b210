//! What learnt routes say beyond their paths, and this kernel refuses: a congestion control or an encapsulation
//! whose module is missing, a source address that is not there.
//!
//! Such a route stands without all of it. The whole is tried again when its source address has come, or when the
//! learnt route is another one.

use super::report::RefusedOperation;
use crate::routing::{Desired, Family, Observed, Route, RouteOptions};
use crate::units::sorted::SortedMap;

/// The options that the kernel refused, of routes that it took without them.
#[derive(Debug, Default)]
pub(super) struct RefusedOptions(SortedMap<(Family, RouteOptions), OptionsRefusal>);

#[derive(Debug)]
struct OptionsRefusal {
    refusal: RefusedOperation,
    /// The source address was not one of this machine.
    lacks_source: bool,
}

impl RefusedOptions {
    /// The kernel refused a route, and took it without its options.
    pub(super) fn note(&mut self, route: &Route, refusal: RefusedOperation, observed: &Observed) {
        let RefusedOperation { reason, .. } = refusal;
        let refusal = RefusedOperation {
            reason: format!("{reason}; the route stands without its options"),
            ..refusal
        };
        let refusal = OptionsRefusal {
            refusal,
            lacks_source: lacks_source(&route.options, observed),
        };
        self.0.entry(key(route)).or_insert(refusal);
    }

    /// Leaves them out; those that no route has any more are forgotten.
    pub(super) fn leave_out(&mut self, desired: &mut Desired, observed: &Observed) {
        if self.0.is_empty() {
            return;
        }
        self.0.retain(|known, refused| {
            let has_come = refused.lacks_source && !lacks_source(&known.1, observed);
            !has_come && desired.routes.iter().any(|route| key(route) == *known)
        });
        let routes = std::mem::take(&mut desired.routes).into_iter();
        let routes = routes.map(|route| match self.0.get(&key(&route)) {
            Some(_) => route.without_options(),
            None => route,
        });
        desired.routes = routes.collect();
    }

    /// The refusals.
    pub(super) fn refusals(&self) -> impl Iterator<Item = RefusedOperation> {
        self.0.values().map(|refused| refused.refusal.clone())
    }
}

fn key(route: &Route) -> (Family, RouteOptions) {
    (Family::of(route.destination.addr()), route.options.clone())
}

fn lacks_source(options: &RouteOptions, observed: &Observed) -> bool {
    options
        .source
        .is_some_and(|source| !observed.has_address(source))
}
