//! Which uplink carries which family.
//!
//! One uplink leads: it is elected as a whole, and carries both families as long as both work there.
//! A family that does not, or that has no way out there, is carried apart by the best other uplink
//! by which it works, and comes back to the leader by the rules of failback. Where it works nowhere
//! it stays where it is.

use std::collections::BTreeMap;

use super::{Active, Engine, Switch, Waits};
use crate::engine::contest::Contest;
use crate::engine::election::{Candidate, Choice, Fitness, Terms, elect};
use crate::engine::input::{Change, Event};
use crate::engine::settings::{FailoverSettings, Policy};
use crate::engine::uplink::Uplink;
use crate::routing::Family;
use crate::routing::desired::Carrying;
use crate::units::{Moment, UplinkName};

/// The families that others carry than the leader.
pub(super) type Apart = BTreeMap<Family, Carrier>;

/// Who carries a family apart.
#[derive(Clone, Debug)]
pub(super) struct Carrier {
    uplink: UplinkName,
    /// The traffic was found there at the start.
    is_adopted: bool,
}

impl Engine {
    /// Who carries traffic, the leader first.
    pub(super) fn carriers(&self) -> Vec<UplinkName> {
        let families = Family::ROUTED.into_iter();
        let of_families = families.filter_map(|family| self.carrier_of(family));
        let mut carriers: Vec<UplinkName> = Vec::new();
        for uplink in self.carrier().into_iter().chain(of_families) {
            if !carriers.contains(uplink) {
                carriers.push(uplink.clone());
            }
        }
        carriers
    }

    /// Goes on as an earlier run left a family.
    pub(super) fn adopt_apart(&mut self, family: Family, uplink: UplinkName) {
        let is_known = self.place(&uplink).is_some();
        let is_free = !self.apart.contains_key(&family);
        let leader = self.active.as_ref().filter(|leader| leader.is_adopted);
        if leader.is_some_and(|leader| leader.uplink != uplink) && is_known && is_free {
            let is_adopted = true;
            self.apart.insert(family, Carrier { uplink, is_adopted });
        }
    }

    /// Elects who carries each family, and says why those move that do.
    pub(super) fn elect_apart(&mut self, waits: Waits, now: Moment) -> Vec<String> {
        let Some(leader) = self.carrier().cloned() else {
            self.apart.clear();
            return Vec::new();
        };
        self.apart.retain(|_, carrier| carrier.uplink != leader);
        let families = Family::ROUTED.into_iter();
        families
            .filter_map(|family| self.elect_for(family, &leader, waits, now))
            .collect()
    }

    fn elect_for(
        &mut self,
        family: Family,
        leader: &UplinkName,
        waits: Waits,
        now: Moment,
    ) -> Option<String> {
        let candidates = self.candidates_for(family, leader);
        if !candidates.iter().any(|candidate| candidate.has_path) {
            return None;
        }
        let carrier = self.carrier_beside(family, leader);
        let is_carrier = |candidate: &&Candidate<'_>| candidate.name == carrier;
        let before = candidates.iter().find(is_carrier);
        let has_way = before.is_some_and(|carrier| carrier.has_path);
        match self.choose_for(family, leader, waits, now) {
            Choice::Stay { until } => {
                self.look_again = self.look_again.into_iter().chain(until).min();
                None
            }
            Choice::Nobody => None,
            Choice::Move { to, reason } => {
                let is_left = before.is_none_or(|before| before.fitness() == Fitness::Unusable);
                let fault = self.find(carrier).ok().filter(|_| is_left);
                let complaint = fault.and_then(|carrier| carrier.complaint_of(family));
                let reason = match complaint {
                    Some(complaint) => format!("{carrier}: {complaint}"),
                    None if is_left && !has_way => format!("{carrier}: {family} has no way out"),
                    None => format!("{family}: {reason}"),
                };
                self.carry_apart(family, to, leader);
                let due = self.choose_for(family, leader, Waits::InForce, now).due();
                self.look_again = self.look_again.into_iter().chain(due).min();
                Some(reason)
            }
        }
    }

    fn choose_for(&self, family: Family, leader: &UplinkName, waits: Waits, now: Moment) -> Choice {
        let apart = self.apart.get(&family);
        let terms = Terms {
            active: Some(self.carrier_beside(family, leader)),
            is_adopted: apart.is_some_and(|carrier| carrier.is_adopted),
            chosen: None,
            is_asked: waits == Waits::Waived,
            // A family comes back to the leader, however good another is.
            failover: FailoverSettings {
                policy: Policy::Failover,
                ..self.settings.failover
            },
            contest: &Contest::default(),
        };
        elect(&self.candidates_for(family, leader), terms, now)
    }

    /// Who is to carry a family, whether or not it has a way out there.
    fn carrier_beside<'a>(&'a self, family: Family, leader: &'a UplinkName) -> &'a UplinkName {
        let apart = self.apart.get(&family);
        apart.map_or(leader, |carrier| &carrier.uplink)
    }

    fn candidates_for(&self, family: Family, leader: &UplinkName) -> Vec<Candidate<'_>> {
        let uplinks = self.uplinks.iter();
        uplinks
            .map(|uplink| self.candidate_for(uplink, family, leader))
            .collect()
    }

    /// That the leader keeps falling is a matter of who leads.
    fn candidate_for<'a>(
        &self,
        uplink: &'a Uplink,
        family: Family,
        leader: &UplinkName,
    ) -> Candidate<'a> {
        let is_leader = uplink.settings().name == *leader;
        let candidate = uplink.candidate_for(family, is_leader);
        let suppressed_until = self.flaps.suppressed_until(candidate.name);
        Candidate {
            suppressed_until: suppressed_until.filter(|_| !is_leader),
            ..candidate
        }
    }

    fn carry_apart(&mut self, family: Family, uplink: UplinkName, leader: &UplinkName) {
        if uplink == *leader {
            self.apart.remove(&family);
        } else {
            let is_adopted = false;
            self.apart.insert(family, Carrier { uplink, is_adopted });
        }
    }

    /// The traffic goes another way, in whole or in part.
    pub(super) fn tell_of_switch(&mut self, from: Vec<UplinkName>, reason: String, now: Moment) {
        let to = self.carriers();
        self.outbox.events.push(Event {
            at: now,
            change: Change::Switch {
                from: from.clone(),
                to: to.clone(),
            },
            reason: reason.clone(),
        });
        self.last_switch = Some(Switch {
            at: now,
            from,
            to,
            reason,
        });
    }

    pub(super) fn lead(&mut self, uplink: UplinkName, now: Moment) {
        self.leaving.clear();
        self.active = Some(Active {
            uplink,
            since: now,
            is_adopted: false,
        });
    }

    /// The families of which an uplink carries the traffic.
    pub(super) fn carried_by(&self, uplink: &UplinkName) -> Vec<Family> {
        let families = Family::ROUTED.into_iter();
        let carries = |family: &Family| self.carrier_of(*family) == Some(uplink);
        families.filter(carries).collect()
    }

    /// What the kernel is to hold of all this.
    pub(super) fn carrying(&self) -> Carrying {
        if self.active.is_none() {
            return self.leaving.clone();
        }
        let paths = Family::ROUTED.into_iter().filter_map(|family| {
            let uplink = self.find(self.carrier_of(family)?).ok()?;
            let path = uplink.attachment().paths.get(&family)?;
            Some((family, vec![*path]))
        });
        paths.collect()
    }

    /// Who carries a family, if that has a way out there.
    pub(super) fn carrier_of(&self, family: Family) -> Option<&UplinkName> {
        let has_way = |name: &&UplinkName| {
            let has = |uplink: &Uplink| uplink.attachment().paths.contains_key(&family);
            self.find(name).is_ok_and(has)
        };
        let apart = self.apart.get(&family).map(|carrier| &carrier.uplink);
        apart.into_iter().chain(self.carrier()).find(has_way)
    }
}

/// The same carriers under their new names; those without one carry no more.
pub(super) fn renamed(apart: Apart, new_name: impl Fn(&UplinkName) -> Option<UplinkName>) -> Apart {
    let carriers = apart.into_iter().filter_map(|(family, carrier)| {
        let uplink = new_name(&carrier.uplink)?;
        Some((family, Carrier { uplink, ..carrier }))
    });
    carriers.collect()
}
