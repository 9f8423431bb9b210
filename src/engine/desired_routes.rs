//! What the kernel should hold, for the uplinks that carry the traffic.

use super::drain::Drains;
use super::ids::GroupId;
use super::view::EngineView;
use crate::routing::Desired;
use crate::routing::desired::{TrafficRoutes, UplinkRoutes, desired};
use crate::units::GroupName;

/// The routes and rules that were decided last.
#[derive(Clone, Debug, Default)]
pub(super) struct DesiredRoutes {
    last: Option<Desired>,
    /// Not taken yet: only the last ones matter.
    pending: Option<Desired>,
}

impl DesiredRoutes {
    /// These are desired now.
    pub(super) fn set(&mut self, desired: Desired) {
        if self.last.as_ref() != Some(&desired) {
            self.last = Some(desired.clone());
            self.pending = Some(desired);
        }
    }

    /// What is to be written, if it is not what was taken last.
    pub(super) fn take(&mut self) -> Option<Desired> {
        self.pending.take()
    }
}

/// What the kernel should hold.
pub(super) fn desired_routes(view: EngineView<'_>, drains: &Drains) -> Desired {
    let routes: Vec<_> = (0_u32..)
        .zip(view.uplinks)
        .map(|(position, uplink)| UplinkRoutes {
            position,
            interface: &uplink.settings().interface,
            attachment: uplink.attachment(),
        })
        .collect();
    let carrying = |group| view.groups.followed_by(group).carrying(view.uplinks);
    let place_of = |name: &GroupName| {
        let mut groups = (0_u32..).zip(&view.settings.groups);
        groups.find_map(|(place, group)| (group.name == *name).then_some(place))
    };
    let rules = view.settings.rules.iter();
    let rules = rules.filter_map(|rule| Some((place_of(&rule.group)?, &rule.traffic)));
    let groups = view.groups.ids().filter(|group| *group != GroupId::DEFAULT);
    let traffic = TrafficRoutes {
        default_group: carrying(GroupId::DEFAULT),
        groups: groups.map(carrying).collect(),
        rules: rules.collect(),
        held: drains.held_by_living(view.uplinks).collect(),
    };
    desired(&view.settings.numbering, &routes, &traffic)
}
