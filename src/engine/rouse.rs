//! Which cold uplinks are needed.
//!
//! A cold uplink is called when the traffic may come to it: when none of the uplinks that go before it
//! is well, because of their state or because probes of the one that carries go unanswered; or when a
//! person has chosen it. An uplink goes before it that is of its own or a lower tier, that a person has
//! chosen, or that carries the traffic and is left only by hand. One of which nothing is known yet, or
//! that answers and is not trusted yet, is waited for.

use super::{BOOT, Engine};
use crate::engine::election::Fitness;
use crate::engine::schedule::Doubt;
use crate::engine::settings::Failback;
use crate::engine::status::State;
use crate::engine::uplink::{StandbyCall, Uplink};
use crate::units::Moment;

impl Engine {
    /// Tells each cold uplink whether it is needed.
    pub(super) fn rouse(&mut self, now: Moment) {
        for place in 0..self.uplinks.len() {
            if self.uplinks[place].is_cold() {
                let call = self.call_of(&self.uplinks[place], now);
                self.uplinks[place].rouse(&call, now, &mut self.outbox);
            }
        }
    }

    fn call_of(&self, uplink: &Uplink, now: Moment) -> StandbyCall {
        let name = &uplink.settings().name;
        let others = || (self.uplinks.iter()).filter(|other| other.settings().name != *name);
        let before = || others().filter(|other| self.goes_before(other, uplink));
        let may_rest = others().any(|other| self.is_well(other));
        let is_chosen = self.chosen.as_ref() == Some(name);
        // While a machine boots its links come one after another.
        let booted = self.started + BOOT;
        let is_open = |other: &Uplink| match other.state() {
            State::Unknown => !other.is_cold() && !other.attachment().paths.is_empty(),
            State::Recovering => true,
            State::Up
            | State::Degraded
            | State::Down
            | State::Disabled
            | State::Absent
            | State::Cold => false,
        };
        let why = if is_chosen {
            Some("chosen by hand".to_owned())
        } else if before().any(|other| self.is_well(other) || is_open(other)) {
            None
        } else {
            Some(self.explain_call(before()))
        };
        let is_booting = now < booted && self.active.is_none() && !is_chosen;
        StandbyCall {
            why: why.filter(|_| uplink.can_be_called() && !is_booting),
            may_rest,
            look_again: is_booting.then_some(booted),
        }
    }

    fn goes_before(&self, other: &Uplink, uplink: &Uplink) -> bool {
        let is_chosen = self.chosen.as_ref() == Some(&other.settings().name);
        let is_left_by_hand =
            other.is_carrying() && self.settings.failover.failback == Failback::Manual;
        let is_preferred = other.settings().tier <= uplink.settings().tier;
        is_chosen || is_left_by_hand || is_preferred
    }

    fn is_well(&self, uplink: &Uplink) -> bool {
        self.candidate(uplink).fitness() == Fitness::Good && uplink.doubt() < Doubt::Grave
    }

    /// Whoever carries is to blame first.
    fn explain_call<'a>(&self, before: impl Iterator<Item = &'a Uplink>) -> String {
        let Some(other) = before.max_by_key(|other| other.is_carrying()) else {
            return "no other uplink goes before it".to_owned();
        };
        let name = &other.settings().name;
        if self.candidate(other).fitness() == Fitness::Good {
            return format!("{name} may be dead: it does not answer just now");
        }
        format!("{name} {}: {}", other.state(), other.reason())
    }
}
