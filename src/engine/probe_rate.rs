//! How closely each uplink is probed, and with which wake-ups of the machine.

use super::candidate::Fitness;
use super::drain::Drains;
use super::group::Group;
use super::ids::UplinkId;
use super::schedule::{Doubt, Need, Pace};
use super::settings::{Failback, Policy};
use super::uplink::Uplink;
use super::view::EngineView;
use crate::units::{Moment, Tier};

/// How much speaks against the uplinks that carry the traffic: standbys are probed closely then.
#[derive(Clone, Debug)]
pub(super) struct ProbeRate {
    doubt: Doubt,
}

impl Default for ProbeRate {
    fn default() -> Self {
        Self { doubt: Doubt::None }
    }
}

impl ProbeRate {
    /// How much depends on each uplink, if that may have changed.
    pub(super) fn needs(
        &mut self,
        view: EngineView<'_>,
        drains: &Drains,
        is_stale: bool,
    ) -> Option<Vec<Need>> {
        let carrying = view.uplinks.iter().filter(|uplink| uplink.is_carrying());
        let doubt = carrying.map(Uplink::doubt).max().unwrap_or(Doubt::None);
        let has_changed = doubt != std::mem::replace(&mut self.doubt, doubt);
        let need = |uplink: &Uplink| {
            if uplink.is_carrying() || drains.progress(&uplink.settings().name).is_some() {
                Need::Watched
            } else {
                self.need(view, uplink)
            }
        };
        (is_stale || has_changed).then(|| view.uplinks.iter().map(need).collect())
    }

    /// The most that any group needs an uplink that neither carries traffic nor holds flows of a drain.
    fn need(&self, view: EngineView<'_>, uplink: &Uplink) -> Need {
        let own = view.groups.iter().filter_map(|group| {
            let tier = group.tier_of(uplink)?;
            Some(self.need_of(view, group, uplink, tier))
        });
        own.max().unwrap_or_default()
    }

    fn need_of(&self, view: EngineView<'_>, group: &Group, uplink: &Uplink, tier: Tier) -> Need {
        // A group that goes with the default group is as well off as that, and wants its own uplinks back.
        let leader = group
            .leader()
            .or_else(|| view.groups.default_group().leader());
        let Some(leader) = leader.and_then(|id| view.uplink(id)) else {
            return Need::Watched;
        };
        let leader_tier = group.tier_of(leader).filter(|_| group.leader().is_some());
        if view.fitness(leader) != Fitness::Good {
            Need::Watched
        } else if self.doubt >= worth_a_call(uplink) {
            Need::Called
        } else if may_take_over(view, group, uplink, tier, leader_tier) {
            Need::Watched
        } else {
            Need::Standby
        }
    }
}

/// The traffic may go there although its leader, of another group or of this tier, is healthy.
fn may_take_over(
    view: EngineView<'_>,
    group: &Group,
    uplink: &Uplink,
    tier: Tier,
    leader_tier: Option<Tier>,
) -> bool {
    let is_usable = uplink.candidate().fitness() > Fitness::Unusable;
    let is_preferred =
        leader_tier.is_none_or(|leader| tier < leader) || group.is_chosen(uplink.id());
    let is_equal = leader_tier == Some(tier);
    let is_rival = match group.policy() {
        Policy::Best | Policy::Balance => is_equal,
        Policy::Failover => false,
    };
    let may_come = match view.failover().failback {
        Failback::Auto | Failback::OpenSince(_) => true,
        Failback::Manual | Failback::Closed => false,
    };
    is_usable && may_come && (is_preferred || is_rival)
}

/// Most slight doubts are over with the next answer, and a probe costs money where it is metered.
fn worth_a_call(uplink: &Uplink) -> Doubt {
    if uplink.settings().probe_budget.is_some() {
        Doubt::Grave
    } else {
        Doubt::Slight
    }
}

/// On a small router a wake-up costs more than a probe: when one uplink's steady round is due, those of the others
/// that are due soon go along. Returns the one that leads.
pub(super) fn share_wake_up(uplinks: &mut [Uplink], now: Moment) -> Option<UplinkId> {
    let leader = uplinks
        .iter()
        .find(|uplink| uplink.pace_of_round(now) == Some(Pace::Steady))?
        .id();
    let intervals = uplinks
        .iter()
        .map(|uplink| uplink.settings().probe.interval);
    let soon = now + intervals.min().unwrap_or_default() / 2;
    for uplink in uplinks {
        let is_due = uplink.next_round().is_some_and(|at| at <= now);
        if !is_due && uplink.pace_of_round(soon) == Some(Pace::Steady) {
            uplink.probe_at(now);
        }
    }
    Some(leader)
}

/// Uplinks of one interval go along from then on, and a slow round goes with the steady one that is nearest to it.
pub(super) fn keep_step(uplinks: &mut [Uplink], leader: Option<UplinkId>) {
    let Some(leader) = leader.and_then(|id| uplinks.get(id.index())) else {
        return;
    };
    let interval = leader.settings().probe.interval;
    let Some(next) = leader.next_round() else {
        return;
    };
    for uplink in uplinks {
        let is_alike = uplink.settings().probe.interval == interval;
        let goes_along = (is_alike && uplink.pace_of_round(next + interval) == Some(Pace::Steady))
            || uplink
                .pace_of_round(next + interval / 2)
                .is_some_and(Pace::is_slow);
        if goes_along {
            uplink.probe_at(next);
        }
    }
}
