//! What carries each family of a group.
//!
//! A switch is a change of this value, and nothing else is one. A family that has no way out stays with the uplink
//! that it is led to: neither the loss of the last way out nor its return there is a switch.

use super::allocation::Allocation;
use super::member::Ways;
use crate::engine::ids::UplinkId;
use crate::engine::settings::Policy;
use crate::engine::state::State;
use crate::engine::uplink::Uplink;
use crate::routing::{Family, Path};
use crate::units::UplinkName;
use crate::units::sorted::SortedSet;

/// What carries each family of a group. By name, since reloads change ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupCarriers {
    /// All, in the order in which they are shown.
    all: Vec<UplinkName>,
    families: [FamilyCarriers; Family::ROUTED.len()],
}

/// What carries one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct FamilyCarriers {
    /// In the order of their names.
    uplinks: Vec<UplinkName>,
    /// The family has a way out there.
    has_way: bool,
}

/// Traffic that goes from one set of uplinks to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficMove {
    /// The family, where the other one stays; none: all traffic of the group.
    pub family: Option<Family>,
    /// What carried it; empty where nothing did.
    pub from: Vec<UplinkName>,
    /// What carries it.
    pub to: Vec<UplinkName>,
}

impl GroupCarriers {
    /// Of a group that leads itself.
    pub(super) fn of(allocation: &Allocation, policy: Policy, uplinks: &[Uplink]) -> Self {
        let ways = &Ways::of(uplinks);
        let name = |id: UplinkId| Some(uplinks.get(id.index())?.settings().name.clone());
        let is_unheard = |id: UplinkId| {
            let uplink = uplinks.get(id.index());
            uplink.is_some_and(|uplink| {
                uplink.state() == State::Unknown && uplink.attachment().trouble.is_some()
            })
        };
        let families = Family::ROUTED.map(|family| {
            let has_way = !allocation.carriers_of(family, ways).is_empty();
            (allocation.keepers_of(family, ways, is_unheard), has_way)
        });
        let is_any = families.iter().any(|(_, has_way)| *has_way);
        let shown = families.iter().filter(|(_, has_way)| *has_way == is_any);
        let shown = shown.flat_map(|(ids, _)| ids.iter().copied());
        let shown = allocation.in_order(policy, shown).into_iter();
        let mut all: Vec<_> = shown.filter_map(name).collect();
        all.shrink_to_fit();
        Self {
            all,
            families: families.map(|(ids, has_way)| {
                let mut uplinks: Vec<_> = ids.into_iter().filter_map(name).collect();
                uplinks.sort_unstable();
                uplinks.shrink_to_fit();
                FamilyCarriers { uplinks, has_way }
            }),
        }
    }

    /// Of traffic that is refused: nothing carries it, and it has left what did.
    pub(super) fn refusal() -> Self {
        let refused = || FamilyCarriers {
            uplinks: Vec::new(),
            has_way: true,
        };
        Self {
            all: Vec::new(),
            families: [refused(), refused()],
        }
    }

    /// All, in the order in which they are shown.
    pub fn all(&self) -> &[UplinkName] {
        &self.all
    }

    /// These uplinks have other names now.
    pub(super) fn rename(&mut self, renamed: &[(UplinkName, UplinkName)]) {
        let today = |name: &UplinkName| {
            let renamed = renamed.iter().find(|(before, _)| before == name);
            renamed.map_or(name, |(_, now)| now).clone()
        };
        self.all = self.all.iter().map(today).collect();
        for family in &mut self.families {
            family.uplinks = family.uplinks.iter().map(today).collect();
            family.uplinks.sort_unstable();
        }
    }

    /// What moves where this value becomes `after`.
    pub(super) fn moves_to(&self, after: &Self) -> Vec<TrafficMove> {
        let sides = |family: &Family| (self.family(*family), after.family(*family));
        let has_moved = |family: &Family| {
            let (from, to) = sides(family);
            to.has_way && from.uplinks != to.uplinks
        };
        let stays = |family: &Family| {
            let (from, to) = sides(family);
            !has_moved(family) && from.has_way && to.has_way
        };
        let families = || Family::ROUTED.into_iter().filter(has_moved);
        let are_exchanged = || {
            let [from, to] =
                [&self.all, &after.all].map(|all| all.iter().collect::<SortedSet<_>>());
            from == to
        };
        if Family::ROUTED.iter().any(stays) || are_exchanged() {
            let moves = families().map(|family| TrafficMove {
                family: Some(family),
                from: self.all_of(family),
                to: after.all_of(family),
            });
            return moves.collect();
        }
        let whole = families().next().map(|_| TrafficMove {
            family: None,
            from: self.all.clone(),
            to: after.all.clone(),
        });
        whole.into_iter().collect()
    }

    fn family(&self, family: Family) -> &FamilyCarriers {
        &self.families[family as usize]
    }

    /// Those that carry a family; none where it has no way out.
    fn all_of(&self, family: Family) -> Vec<UplinkName> {
        let FamilyCarriers { uplinks, has_way } = self.family(family);
        let shown = self.all.iter();
        let shown = shown.filter(|name| *has_way && uplinks.contains(*name));
        shown.cloned().collect()
    }
}

/// The paths of a family by these uplinks. Of several each has its weight.
pub fn paths(carriers: &[UplinkId], family: Family, uplinks: &[Uplink]) -> Vec<Path> {
    let paths = carriers.iter().filter_map(|id| {
        let uplink = uplinks.get(id.index())?;
        let path = uplink.attachment().paths.get(&family)?;
        let weight = if carriers.len() > 1 {
            uplink.settings().weight
        } else {
            path.weight
        };
        Some(Path {
            weight,
            ..path.clone()
        })
    });
    paths.collect()
}

/// The names of uplinks.
pub fn names(ids: &[UplinkId], uplinks: &[Uplink]) -> Vec<UplinkName> {
    let found = ids.iter().filter_map(|id| uplinks.get(id.index()));
    found.map(|uplink| uplink.settings().name.clone()).collect()
}
