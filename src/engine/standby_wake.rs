//! Which cold uplinks are needed.
//!
//! A cold uplink is called when the traffic may come to it: when none of the uplinks that go before it is healthy,
//! because of their state, because probes of the active one go unanswered, or because this machine refuses to send
//! theirs ([`super::refused_sends`]); or when an operator has chosen it. An
//! uplink of the same group of traffic goes before it that is of its own or a lower tier there, that an operator has
//! chosen, or that carries the traffic and is left only by hand. One of which nothing is known yet, or that answers
//! and is not trusted yet, is waited for.

use super::candidate::Fitness;
use super::group::Group;
use super::schedule::Doubt;
use super::settings::Failback;
use super::state::State;
use super::uplink::{StandbyCall, Uplink};
use super::view::EngineView;
use crate::units::{Moment, Tier};

/// Whether a cold uplink is needed. Until `booted` links come one after another.
pub(super) fn call_of(
    view: EngineView<'_>,
    uplink: &Uplink,
    booted: Moment,
    now: Moment,
) -> StandbyCall {
    let default_group = view.groups.default_group();
    let mut others = view.uplinks.iter();
    let may_rest = others.any(|other| other.id() != uplink.id() && is_healthy(view, other));
    let is_chosen = default_group.is_chosen(uplink.id());
    let why = if is_chosen {
        Some("chosen by hand".to_owned())
    } else {
        let mut groups = view.groups.iter();
        groups.find_map(|group| why_needed(view, group, uplink))
    };
    let is_cold = uplink.settings().is_cold();
    let may_carry = uplink.state() != State::Disabled && !uplink.is_off();
    let is_booting = now < booted && default_group.leader().is_none() && !is_chosen;
    StandbyCall {
        why: why.filter(|_| is_cold && may_carry && !is_booting),
        may_rest,
        look_again: is_booting.then_some(booted),
    }
}

/// Why a group needs it, if it does.
fn why_needed(view: EngineView<'_>, group: &Group, uplink: &Uplink) -> Option<String> {
    let tier = group.tier_of(uplink)?;
    let before = || {
        view.uplinks
            .iter()
            .filter(|other| other.id() != uplink.id() && goes_before(view, other, tier, group))
    };
    let is_open = |other: &Uplink| match other.state() {
        State::Unknown => !other.settings().is_cold() && !other.attachment().paths.is_empty(),
        State::Recovering => true,
        State::Up
        | State::Degraded
        | State::Down
        | State::Disabled
        | State::Absent
        | State::Cold => false,
    };
    let is_spared = before().any(|other| {
        let is_probed = !other.refusals().are_open();
        is_probed && (is_healthy(view, other) || is_open(other))
    });
    (!is_spared).then(|| explain(view, before()))
}

fn goes_before(view: EngineView<'_>, other: &Uplink, tier: Tier, group: &Group) -> bool {
    let is_chosen = group.is_chosen(other.id());
    let stays_there = match view.failover().failback {
        Failback::Manual | Failback::Closed => other.is_carrying(),
        Failback::Auto | Failback::OpenSince(_) => false,
    };
    let rank = group.tier_of(other);
    rank.is_some_and(|rank| is_chosen || stays_there || rank <= tier)
}

fn is_healthy(view: EngineView<'_>, uplink: &Uplink) -> bool {
    let is_open = uplink.refusals().are_open();
    view.fitness(uplink) == Fitness::Good && uplink.doubt() < Doubt::Grave && !is_open
}

/// The active uplink is the first cause.
fn explain<'a>(view: EngineView<'_>, before: impl Iterator<Item = &'a Uplink>) -> String {
    let Some(other) = before.max_by_key(|other| other.is_carrying()) else {
        return "no other uplink goes before it".to_owned();
    };
    let name = &other.settings().name;
    if let Some(why) = other.refusals().reason() {
        return format!("{name} cannot be probed: {why}; this one shows whether any can be");
    }
    if view.fitness(other) == Fitness::Good {
        return format!("{name} may be dead: it does not answer just now");
    }
    format!("{name} {}: {}", other.state(), other.reason())
}
