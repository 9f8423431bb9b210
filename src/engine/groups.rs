//! All groups of traffic: the default group first, then those of the configuration.

use super::event::Event;
use super::group::Group;
use super::ids::{GroupId, UplinkId};
use super::input::EarlierRun;
use super::reload::Renumbering;
use super::settings::{GroupSettings, SharedSettings};
use super::uplink::Uplink;
use crate::routing::Family;
use crate::routing::desired::Carrying;
use crate::units::sorted::SortedSet;
use crate::units::{Moment, UplinkName};

/// All groups; a [`GroupId`] is a place among them.
#[derive(Clone, Debug)]
pub(super) struct Groups(Vec<Group>);

impl Groups {
    /// As the configuration has them; nothing carries any of them yet.
    pub(super) fn new(settings: &SharedSettings, uplinks: &[Uplink]) -> Self {
        let own = settings.groups.iter();
        let default_group = Group::default_group(settings.failover.policy);
        let carriers = default_group.last_carriers();
        let own = own.map(|group| Group::new(group, members(group, uplinks), carriers.clone()));
        let own: Vec<_> = own.collect();
        Self([default_group].into_iter().chain(own).collect())
    }

    /// Takes up the uplinks by which an earlier run left the traffic.
    pub(super) fn adopt(&mut self, earlier: &EarlierRun, uplinks: &[Uplink], now: Moment) {
        let named = |name: &UplinkName| {
            let mut uplinks = uplinks.iter();
            uplinks.find(|uplink| uplink.settings().name == *name)
        };
        let default_group = self.default_group_mut();
        if let Some(uplink) = earlier.carrying.as_ref().and_then(named) {
            default_group.adopt(uplink, now);
        }
        for (family, name) in &earlier.apart {
            if let Some(uplink) = named(name) {
                default_group.adopt_apart(*family, uplink);
            }
        }
        for shared in &earlier.shared {
            let mut groups = self.iter_mut();
            if let Some(group) = groups.find(|group| group.name() == shared.group.as_ref()) {
                let uplinks: Vec<_> = shared.uplinks.iter().filter_map(named).collect();
                group.adopt_shared(shared.family, &uplinks, now);
            }
        }
        let default_group = self.default_group_mut();
        default_group.take_up(uplinks, None);
        let carriers = default_group.last_carriers().clone();
        for group in self.iter_mut().skip(1) {
            group.take_up(uplinks, Some(&carriers));
        }
    }

    /// The group of what no rule claims.
    pub(super) fn default_group(&self) -> &Group {
        &self.0[GroupId::DEFAULT.index()]
    }

    /// The same, to change it.
    pub(super) fn default_group_mut(&mut self) -> &mut Group {
        &mut self.0[GroupId::DEFAULT.index()]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.0.iter_mut()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = GroupId> + use<> {
        (0..self.0.len()).map(GroupId::new)
    }

    /// A group.
    pub(super) fn get(&self, id: GroupId) -> &Group {
        &self.0[id.index()]
    }

    /// A group, to change it.
    pub(super) fn get_mut(&mut self, id: GroupId) -> &mut Group {
        &mut self.0[id.index()]
    }

    /// The group by whose uplinks a group goes: itself or the default group.
    pub(super) fn followed_by(&self, id: GroupId) -> &Group {
        let own = self.get(id);
        if own.leader().is_some() || own.is_refused() {
            own
        } else {
            self.default_group()
        }
    }

    /// The uplinks that carry a group, be it with the default group.
    pub(super) fn carriers(&self, id: GroupId, uplinks: &[Uplink]) -> Vec<UplinkId> {
        self.followed_by(id).carriers(uplinks)
    }

    /// The uplinks that carry any traffic.
    pub(super) fn all_carriers(&self, uplinks: &[Uplink]) -> SortedSet<UplinkId> {
        let groups = self.0.iter();
        groups.flat_map(|group| group.carriers(uplinks)).collect()
    }

    /// The families of which an uplink carries any traffic.
    pub(super) fn carried_by(&self, id: UplinkId, uplinks: &[Uplink]) -> Vec<Family> {
        let carries = |family: &Family| {
            let mut groups = self.0.iter();
            groups.any(|group| group.carriers_of(*family, uplinks).contains(&id))
        };
        Family::ROUTED.into_iter().filter(carries).collect()
    }

    /// The settings are others now, and uplinks have other places and names; what was removed moves. `carrying`: what
    /// the default group still carries until there is a successor, if its leader is gone.
    pub(super) fn adapt(
        &mut self,
        settings: &SharedSettings,
        uplinks: &[Uplink],
        carrying: Carrying,
        renumbering: &Renumbering,
        now: Moment,
    ) -> Vec<Event> {
        let new_id = |old| renumbering.new_id(old);
        for group in &mut self.0 {
            group.rename(&renumbering.renamed);
        }
        let mut old = self.0.split_off(GroupId::DEFAULT.index() + 1);
        let default_group = self.default_group_mut();
        default_group.adapt(None, settings.failover.policy, None, carrying, new_id);
        let carriers = default_group.last_carriers().clone();
        for group in &settings.groups {
            let members = members(group, uplinks);
            let known = old.iter().position(|old| old.name() == Some(&group.name));
            self.0.push(match known {
                Some(place) => {
                    let mut known = old.swap_remove(place);
                    let carrying = Carrying::new();
                    known.adapt(Some(group), group.policy, Some(members), carrying, new_id);
                    known
                }
                None => Group::new(group, members, carriers.clone()),
            });
        }
        let removed = old.into_iter();
        removed
            .flat_map(|group| group.dissolve(&carriers, now))
            .collect()
    }
}

/// The uplinks that a group lists.
fn members(group: &GroupSettings, uplinks: &[Uplink]) -> Vec<UplinkId> {
    let id = |name: &UplinkName| {
        let mut uplinks = uplinks.iter();
        let uplink = uplinks.find(|uplink| uplink.settings().name == *name);
        uplink.map(Uplink::id)
    };
    group.uplinks.iter().filter_map(id).collect()
}
