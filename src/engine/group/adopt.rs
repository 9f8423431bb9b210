//! A group goes on as an earlier run left its traffic.

use super::Group;
use super::allocation::{CarrierApart, Lead};
use super::carriers::GroupCarriers;
use crate::engine::settings::Policy;
use crate::engine::uplink::Uplink;
use crate::routing::Family;
use crate::units::Moment;

impl Group {
    /// Goes on as an earlier run left the traffic.
    pub(crate) fn adopt(&mut self, uplink: &Uplink, now: Moment) {
        if self.leader().is_none() && self.tier_of(uplink).is_some() {
            self.allocation.lead = Lead::By {
                uplink: uplink.id(),
                since: now,
                is_adopted: true,
            };
        }
    }

    /// Goes on as an earlier run left a family.
    pub(crate) fn adopt_apart(&mut self, family: Family, uplink: &Uplink) {
        let is_led_elsewhere = self.leader().is_some_and(|leader| leader != uplink.id());
        let is_adopted = self.allocation.is_adopted();
        if is_adopted && is_led_elsewhere && self.tier_of(uplink).is_some() {
            let carrier = CarrierApart {
                uplink: uplink.id(),
                is_adopted,
            };
            self.allocation.apart.entry(family).or_insert(carrier);
        }
    }

    /// Goes on as an earlier run left a family that these carried; of the default group it is known already to which
    /// uplink that was led.
    pub(crate) fn adopt_shared(&mut self, family: Family, uplinks: &[&Uplink], now: Moment) {
        let members = uplinks
            .iter()
            .filter(|uplink| self.tier_of(uplink).is_some());
        let members: Vec<_> = members.copied().collect();
        if let Some(first) = members.first().filter(|_| self.name.is_some()) {
            self.adopt(first, now);
            self.adopt_apart(family, first);
        }
        if self.allocation.is_adopted() && self.policy == Policy::Balance {
            let sharers = self.allocation.sharers.entry(family).or_default();
            sharers.extend(members.into_iter().map(Uplink::id));
        }
    }

    /// What carries it now is what an earlier run left. `default_group`: what carries that, for a group of the
    /// configuration.
    pub(crate) fn take_up(&mut self, uplinks: &[Uplink], default_group: Option<&GroupCarriers>) {
        self.carriers = self.carriers_by(uplinks, default_group);
    }
}
