//! Dead ends of other programs in main, and the way past them. Pure.
//!
//! Our first rule looks main up without its default routes. A default route that leads nowhere ends such a
//! lookup all the same: the kernel suppresses what it has found, and a dead end is an error
//! (`fib4_rule_suppress`). A `throw` route just before it sends the lookup on to the next rule.

use super::numbering::{BEHIND, MAIN, Numbering, RoutingMode};
use super::objects::Desired;
use super::observed::{DeadEnd, LearnedDefault, Observed};
use super::options::RouteOptions;
use super::route::{Family, Route};
use crate::units::Metric;

impl Observed {
    /// The dead end that our lookups end in, where there is no way past it: it goes before a default route of
    /// another program, as a guard that is meant, or before all; in [`RoutingMode::Main`] before one of ours.
    pub fn barrier(&self, numbering: &Numbering) -> Option<DeadEnd> {
        let mut dead_ends = self.dead_ends.iter().copied();
        dead_ends.find(|dead_end| match numbering.mode {
            RoutingMode::Table => self.throw_before(*dead_end).is_none(),
            RoutingMode::Main => dead_end.metric.0 <= numbering.metric.0.saturating_add(BEHIND),
        })
    }

    /// The first dead end of a family.
    fn dead_end(&self, family: Family) -> Option<DeadEnd> {
        let dead_ends = self.dead_ends.iter().copied();
        { dead_ends }
            .filter(|dead_end| dead_end.family == family)
            .min()
    }

    /// Another program has a default route of this metric.
    fn is_taken(&self, family: Family, metric: Metric) -> bool {
        let mut defaults = self.links.values().flat_map(|link| &link.defaults);
        let is_there =
            |default: &LearnedDefault| default.source.is_none() && default.metric == metric;
        defaults.any(|default| default.family == family && is_there(default))
    }

    /// The metric of the route past a dead end, if there may be one.
    fn throw_before(&self, dead_end: DeadEnd) -> Option<Metric> {
        let mut defaults = self.links.values().flat_map(|link| &link.defaults);
        let is_meant = defaults.any(|default| {
            default.family == dead_end.family
                && default.source.is_none()
                && default.metric > dead_end.metric
        });
        let before = dead_end
            .metric
            .0
            .checked_sub(1)
            .filter(|metric| *metric > 0);
        before.filter(|_| !is_meant).map(Metric)
    }
}

impl Desired {
    /// Adds a route past the first dead end of each family in which rules of ours look main up. Where another program
    /// has a default route just before it, lookups end there.
    pub fn pass_dead_ends(&mut self, observed: &Observed) {
        let looks_main_up = |family: &Family| {
            let mut rules = self.rules.iter();
            rules.any(|rule| rule.family == *family && rule.table == MAIN)
        };
        let families = Family::ROUTED.into_iter().filter(looks_main_up);
        let throws = families.filter_map(|family| {
            let metric = observed.throw_before(observed.dead_end(family)?)?;
            (!observed.is_taken(family, metric)).then(|| throw(family, metric))
        });
        let throws: Vec<_> = throws.collect();
        self.routes.extend(throws);
    }
}

/// A route without paths sends the lookup on to the next rule.
fn throw(family: Family, metric: Metric) -> Route {
    Route {
        table: MAIN,
        destination: family.default_destination(),
        metric,
        paths: Vec::new(),
        group: None,
        options: RouteOptions::default(),
    }
}
