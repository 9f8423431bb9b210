//! The choice of the uplinks of all groups, that of the default group first.

use super::candidate::Fitness;
use super::damping::Flaps;
use super::event::Event;
use super::group::switch::{DefaultGroupState, Switch};
use super::group::{AskedFor, GroupView};
use super::groups::Groups;
use super::ids::{GroupId, UplinkId};
use super::no_usable::{NoUsableNews, NoUsableUplink};
use super::settings::FailoverSettings;
use super::uplink::Uplink;
use crate::units::Moment;

/// The parts of the engine that the choice reads and changes.
pub(super) struct GroupChoice<'a> {
    pub(super) groups: &'a mut Groups,
    pub(super) uplinks: &'a mut [Uplink],
    pub(super) flaps: &'a Flaps,
    pub(super) failover: FailoverSettings,
    /// The uplink whose path fails on purpose.
    pub(super) drilled: Option<UplinkId>,
    pub(super) no_usable: &'a mut NoUsableUplink,
    pub(super) events: &'a mut Vec<Event>,
    pub(super) now: Moment,
}

impl GroupChoice<'_> {
    /// Whether an uplink has proven to be better than one that leads.
    pub(super) fn has_better_rival(&mut self) -> bool {
        let view = GroupView {
            uplinks: self.uplinks,
            flaps: self.flaps,
            failover: self.failover,
            drilled: self.drilled,
            now: self.now,
        };
        let mut is_better = false;
        for group in self.groups.iter_mut() {
            is_better |= group.has_better_rival(view);
        }
        is_better
    }

    /// Decides which uplinks carry the traffic, that of the default group first.
    pub(super) fn elect(&mut self, asked_for: AskedFor) {
        let mut default_group = None;
        for id in self.groups.ids() {
            let is_default = id == GroupId::DEFAULT;
            let is_asked = match asked_for {
                AskedFor::Nothing => false,
                AskedFor::Default => is_default,
                AskedFor::Everything => true,
            };
            let view = GroupView {
                uplinks: self.uplinks,
                flaps: self.flaps,
                failover: self.failover,
                drilled: self.drilled,
                now: self.now,
            };
            let group = self.groups.get_mut(id);
            let outcome = group.decide(view, is_asked, default_group.as_ref());
            for passed_over in outcome.passed_over {
                self.uplinks[passed_over.index()].pass_over(self.now);
            }
            if is_default {
                self.note_usable(outcome.is_usable);
                default_group = Some(self.default_group(&outcome.switches));
            }
            let group = self.groups.get(id).name();
            let switches = outcome.switches.into_iter();
            self.events
                .extend(switches.map(|switch| switch.event(group.cloned())));
        }
    }

    /// The default group after its decision, which came to these switches.
    fn default_group(&self, switches: &[Switch]) -> DefaultGroupState {
        DefaultGroupState {
            carriers: self.groups.default_group().last_carriers().clone(),
            refuge: self.refuge(),
            moved: switches.first().map(|switch| switch.reason.clone()),
            is_refusal: false,
        }
    }

    /// The uplinks of the default group, if one of them is usable.
    fn refuge(&self) -> Option<Vec<UplinkId>> {
        let carriers = self.groups.default_group().carriers(self.uplinks);
        let is_usable = |id: &UplinkId| {
            let uplink = &self.uplinks[id.index()];
            uplink.candidate().fitness() > Fitness::Unusable
        };
        carriers.iter().any(is_usable).then_some(carriers)
    }

    fn note_usable(&mut self, is_usable: Option<bool>) {
        match is_usable {
            Some(true) => self.no_usable.usable(),
            Some(false) => {
                let default_group = self.groups.default_group_mut();
                let has_switched = default_group.has_switched();
                match self
                    .no_usable
                    .none_usable(self.uplinks, has_switched, self.now)
                {
                    NoUsableNews::None => {}
                    NoUsableNews::LookAgain(then) => default_group.look_again_at(then),
                    NoUsableNews::Event(event) => self.events.push(event),
                }
            }
            None => {}
        }
    }
}
