//! Which cold uplinks are needed.
//!
//! A cold uplink is called when the traffic may come to it: when none of the uplinks that go before it
//! is well, because of their state or because probes of the one that carries go unanswered; or when a
//! person has chosen it. An uplink of the same group of traffic goes before it that is of its own or a lower
//! tier there, that a person has chosen, or that carries the traffic and is left only by hand. One of which nothing is known yet, or
//! that answers and is not trusted yet, is waited for.

use super::group::Group;
use super::{BOOT, Engine, REST};
use crate::engine::election::Fitness;
use crate::engine::schedule::Doubt;
use crate::engine::settings::Failback;
use crate::engine::state::State;
use crate::engine::uplink::{StandbyCall, Uplink};
use crate::units::{Moment, Tier};

impl Engine {
    /// Tells each cold uplink whether it is needed; whether there are any.
    pub(super) fn rouse(&mut self, now: Moment) -> bool {
        let mut is_any = false;
        for place in 0..self.uplinks.len() {
            if self.uplinks[place].is_cold() {
                let call = self.call_of(&self.uplinks[place], now);
                self.uplinks[place].rouse(&call, now, &mut self.outbox);
                is_any = true;
            }
        }
        is_any
    }

    fn call_of(&self, uplink: &Uplink, now: Moment) -> StandbyCall {
        let name = &uplink.settings().name;
        let rest = &self.groups[REST];
        let mut others = self.uplinks.iter();
        let may_rest = others.any(|other| other.settings().name != *name && self.is_well(other));
        // While a machine boots its links come one after another.
        let booted = self.started + BOOT;
        let is_chosen = rest.chosen() == Some(name);
        let why = if is_chosen {
            Some("chosen by hand".to_owned())
        } else {
            let mut groups = self.groups.iter();
            groups.find_map(|group| self.why_of(group, uplink))
        };
        let is_booting = now < booted && rest.leader().is_none() && !is_chosen;
        StandbyCall {
            why: why.filter(|_| uplink.can_be_called() && !is_booting),
            may_rest,
            look_again: is_booting.then_some(booted),
        }
    }

    /// Why a group needs it, if it does.
    fn why_of(&self, group: &Group, uplink: &Uplink) -> Option<String> {
        let tier = group.tier_of(uplink)?;
        let before = || {
            self.uplinks.iter().filter(|other| {
                other.settings().name != uplink.settings().name
                    && self.goes_before(other, tier, group)
            })
        };
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
        let is_spared = before().any(|other| self.is_well(other) || is_open(other));
        (!is_spared).then(|| self.explain_call(before()))
    }

    fn goes_before(&self, other: &Uplink, tier: Tier, group: &Group) -> bool {
        let is_chosen = group.chosen() == Some(&other.settings().name);
        let is_left_by_hand =
            other.is_carrying() && self.settings.failover.failback == Failback::Manual;
        let rank = group.tier_of(other);
        rank.is_some_and(|rank| is_chosen || is_left_by_hand || rank <= tier)
    }

    fn is_well(&self, uplink: &Uplink) -> bool {
        self.fitness(uplink) == Fitness::Good && uplink.doubt() < Doubt::Grave
    }

    fn fitness(&self, uplink: &Uplink) -> Fitness {
        let until = self.flaps.suppressed_until(&uplink.settings().name);
        uplink.candidate().suppressed_by(until).fitness()
    }

    /// Whoever carries is to blame first.
    fn explain_call<'a>(&self, before: impl Iterator<Item = &'a Uplink>) -> String {
        let Some(other) = before.max_by_key(|other| other.is_carrying()) else {
            return "no other uplink goes before it".to_owned();
        };
        let name = &other.settings().name;
        if self.fitness(other) == Fitness::Good {
            return format!("{name} may be dead: it does not answer just now");
        }
        format!("{name} {}: {}", other.state(), other.reason())
    }
}
