//! What decisions about all uplinks look at.

use super::candidate::Fitness;
use super::damping::Flaps;
use super::group::GroupView;
use super::groups::Groups;
use super::ids::UplinkId;
use super::local_clock::LocalClock;
use super::settings::{FailoverSettings, SharedSettings};
use super::uplink::Uplink;
use crate::units::Moment;

/// The engine's state, to read.
#[derive(Clone, Copy)]
pub(super) struct EngineView<'a> {
    pub(super) clock: LocalClock,
    pub(super) settings: &'a SharedSettings,
    /// In the order of the configuration.
    pub(super) uplinks: &'a [Uplink],
    pub(super) groups: &'a Groups,
    pub(super) flaps: &'a Flaps,
}

impl<'a> EngineView<'a> {
    pub(super) fn of(
        clock: LocalClock,
        settings: &'a SharedSettings,
        uplinks: &'a [Uplink],
        groups: &'a Groups,
        flaps: &'a Flaps,
    ) -> Self {
        Self {
            clock,
            settings,
            uplinks,
            groups,
            flaps,
        }
    }

    /// As a group sees it.
    pub(super) fn of_groups(self, now: Moment) -> GroupView<'a> {
        GroupView {
            uplinks: self.uplinks,
            flaps: self.flaps,
            failover: self.failover(),
            drilled: None,
            now,
        }
    }

    /// How the active uplink is chosen at this hour.
    pub(super) fn failover(self) -> FailoverSettings {
        self.clock.failover(self.settings)
    }

    pub(super) fn uplink(self, id: UplinkId) -> Option<&'a Uplink> {
        self.uplinks.get(id.index())
    }

    /// How fit an uplink is to carry traffic, damping included.
    pub(super) fn fitness(self, uplink: &Uplink) -> Fitness {
        let until = self.flaps.suppressed_until(uplink.id());
        uplink.candidate().suppressed_by(until).fitness()
    }
}
