//! What the kernel should hold, for the uplinks that carry the traffic.

use super::drain::Drains;
use super::flow_memory::{RememberedFlows, RememberedUplinks};
use super::ids::{GroupId, UplinkId};
use super::soft_moves::SoftMoves;
use super::view::EngineView;
use crate::routing::desired::{TrafficRoutes, UplinkRoutes, desired};
use crate::routing::{Desired, Family};
use crate::units::sorted::SortedSet;
use crate::units::{GroupName, UplinkName};

/// The routes and rules that were decided last.
#[derive(Clone, Debug, Default)]
pub(super) struct DesiredRoutes {
    last: Option<Desired>,
    /// They are not taken yet.
    are_pending: bool,
    remembered: RememberedFlows,
}

impl DesiredRoutes {
    /// An earlier run has left the flows of these uplinks to them.
    pub(super) fn adopt(&mut self, earlier: SortedSet<(UplinkName, Family)>) {
        self.remembered.adopt(earlier);
    }

    /// Decides what is desired now; returns the uplinks that have their remembered flows.
    pub(super) fn decide(
        &mut self,
        view: EngineView<'_>,
        soft: &SoftMoves,
        drains: &Drains,
    ) -> RememberedUplinks {
        let remembered = self.remembered.decide(view, drains);
        let desired = desired_routes(view, soft, &remembered);
        if self.last.as_ref() != Some(&desired) {
            self.last = Some(desired);
            self.are_pending = true;
        }
        remembered
    }

    /// What is to be written, if it is not what was taken last.
    pub(super) fn take(&mut self) -> Option<Desired> {
        let last = self.last.as_ref();
        let pending = last.filter(|_| self.are_pending).cloned();
        self.are_pending = false;
        pending
    }
}

/// What the kernel should hold.
fn desired_routes(
    view: EngineView<'_>,
    soft: &SoftMoves,
    remembered: &[(UplinkId, Family)],
) -> Desired {
    let routes: Vec<_> = (0_u32..)
        .zip(view.uplinks)
        .map(|(position, uplink)| UplinkRoutes {
            position,
            interface: &uplink.settings().interface,
            attachment: uplink.attachment(),
        })
        .collect();
    let carrying = |group| {
        let followed = view.groups.followed_by(group);
        let mut carrying = followed.carrying(view.uplinks);
        soft.lead(followed, view.uplinks, &mut carrying);
        carrying
    };
    let place_of = |name: &GroupName| {
        let mut groups = (0_u32..).zip(&view.settings.groups);
        groups.find_map(|(place, group)| (group.name == *name).then_some(place))
    };
    let rules = view.settings.rules.iter();
    let rules = rules.filter(|rule| view.clock.is_within(&rule.when));
    let rules = rules.filter_map(|rule| Some((place_of(&rule.group)?, &rule.traffic)));
    let groups = view.groups.ids().filter(|group| *group != GroupId::DEFAULT);
    let refusing = (0_u32..).zip(view.groups.iter().skip(1));
    let refusing = refusing.filter(|(_, group)| group.refuses());
    let refused = Family::ROUTED.into_iter().filter(|family| {
        let mut uplinks = view.uplinks.iter();
        uplinks.any(|uplink| uplink.is_off() && uplink.attachment().paths.contains_key(family))
    });
    let traffic = TrafficRoutes {
        default_group: carrying(GroupId::DEFAULT),
        refused: refused.collect(),
        groups: groups.map(carrying).collect(),
        refusing: refusing.map(|(place, _)| place).collect(),
        rules: rules.collect(),
        remembered: remembered
            .iter()
            .filter_map(|(id, family)| Some((u32::try_from(id.index()).ok()?, *family)))
            .collect(),
    };
    desired(&view.settings.numbering, &routes, &traffic)
}
