//! Which flows the traffic leaves behind when it goes another way.
//!
//! A flow knows the address by which it leaves. When a family of traffic no longer leaves by an address that carried
//! it, because another uplink carries it or because its uplink has another address now, the flows by the old address
//! are of no use. An address that is deprecated still serves established flows, and a temporary one is an address
//! like any other.
//!
//! A flow that is remembered goes by its uplink although the traffic does not. When that uplink cannot carry it any
//! more, its flows are left behind, too. Those of a healthy uplink may stay there for a while.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::action::{Departure, DepartureCause};
use super::event::Event;
use super::ids::UplinkId;
use super::kept_flows::{KeptFlows, UplinkFamily, addresses};
use super::settings::Flows;
use super::soft_moves::SoftMoves;
use super::state::State;
use super::uplink::Uplink;
use super::view::EngineView;
use crate::routing::Family;
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{GroupName, Moment, UplinkName};

/// By which addresses the traffic leaves.
#[derive(Clone, Debug, Default)]
pub(super) struct StaleFlows {
    /// For each family of each group of traffic the addresses from which packets went through its uplinks when they
    /// last had any. By name, since reloads change ids.
    exits: Exits,
    /// The uplinks that had their remembered flows, with their addresses at that time.
    remembered: Box<[RememberedExit]>,
    /// Those whose flows stay.
    pub(super) kept: KeptFlows,
    /// Where new ones go.
    pub(super) soft: SoftMoves,
    /// What was left behind and is not taken yet.
    departures: Option<Box<DepartureQueue>>,
}

/// Small where it is empty, which is nearly always.
#[derive(Clone, Debug, Default)]
struct DepartureQueue(VecDeque<Departure>);

/// An uplink that had its remembered flows of a family, and one of their addresses.
#[derive(Clone, Debug)]
struct RememberedExit {
    uplink: UplinkName,
    address: IpAddr,
}

impl RememberedExit {
    fn key(&self) -> UplinkFamily {
        (self.uplink.clone(), Family::of(self.address))
    }
}

type Exits = SortedMap<(Option<GroupName>, Family), Exit>;
type Exit = SortedMap<UplinkName, SortedSet<IpAddr>>;

/// Why it is left behind, and of which groups if not of all.
type Cause = (DepartureCause, SortedSet<Option<GroupName>>);

/// What is left behind of each uplink.
type LeftExits = SortedMap<UplinkFamily, LeftExit>;

/// Addresses of an uplink that are left.
struct LeftExit {
    addresses: SortedSet<IpAddr>,
    /// Whose traffic has left them.
    groups: SortedSet<Option<GroupName>>,
    /// The uplink is well: a failback, or an operator's choice. An uplink that lost an address and kept the traffic
    /// did not choose to.
    is_voluntary: bool,
}

impl StaleFlows {
    /// Decides where new flows go, where all groups have their carriers; what is to be told of it.
    pub(super) fn lead_new_ones(&mut self, view: EngineView<'_>, now: Moment) -> Vec<Event> {
        let (news, unanswered) = self.soft.follow(view, &self.kept, now);
        for departure in unanswered {
            self.leave(departure);
        }
        news
    }

    /// Takes note of where the traffic leaves now. `held`: the flows by these addresses stay on purpose.
    pub(super) fn note(
        &mut self,
        view: EngineView<'_>,
        held: &SortedSet<IpAddr>,
        remembered: &[(UplinkId, Family)],
        now: Moment,
    ) {
        let mut left = self.left_behind(view);
        self.add_lost(view, remembered, &mut left);
        let Self { exits, kept, .. } = self;
        let spare = |(key, addresses): (&UplinkFamily, &mut SortedSet<IpAddr>)| {
            addresses.retain(|one| !is_carried(exits, key.1, *one) && !held.contains(one));
            !addresses.is_empty()
        };
        let mut departures = SortedMap::new();
        for (key, mut exit) in left {
            let cause = if exit.is_voluntary {
                DepartureCause::Chosen
            } else {
                DepartureCause::Failed
            };
            let stays = exit.is_voluntary && kept.fate(view, &key) == Some(Flows::Keep);
            exit.addresses.retain(|one| !held.contains(one));
            let by_others = { exit.addresses.iter() }.filter(|one| is_carried(exits, key.1, **one));
            let shared: SortedSet<_> = by_others.copied().collect();
            if !shared.is_empty() && !exit.groups.is_empty() && !stays {
                add(
                    &mut departures,
                    (key.clone(), true),
                    shared,
                    (cause, exit.groups),
                );
            }
            if !spare((&key, &mut exit.addresses)) {
                continue;
            }
            let is_whole = !is_carrying(exits, &key);
            if is_whole && stays {
                kept.keep(key, exit.addresses, now);
            } else {
                let all = (cause, SortedSet::new());
                add(&mut departures, (key, is_whole), exit.addresses, all);
            }
        }
        let is_carrying = |key: &UplinkFamily| is_carrying(exits, key);
        let mut ends = kept.review(view, is_carrying, now);
        ends.retain_mut(|end| spare((&end.key, &mut end.addresses)));
        for end in ends {
            let key = (end.key, end.is_whole);
            add(
                &mut departures,
                key,
                end.addresses,
                (end.cause, SortedSet::new()),
            );
        }
        for departure in departures.into_values() {
            self.leave(departure);
        }
    }

    /// The flows of an uplink that was drained by these addresses are left behind as well.
    pub(super) fn leave_drained(&mut self, uplink: &Uplink, mut addresses: SortedSet<IpAddr>) {
        let name = &uplink.settings().name;
        addresses.retain(|one| !is_carried(&self.exits, Family::of(*one), *one));
        let others = { self.remembered.iter() }.filter(|exit| exit.uplink != *name);
        self.remembered = others.cloned().collect();
        self.leave(Departure {
            addresses,
            uplinks: Family::ROUTED.map(|family| (name.clone(), family)).into(),
            groups: SortedSet::new(),
            cause: if uplink.is_dead() {
                DepartureCause::Failed
            } else {
                DepartureCause::Chosen
            },
        });
    }

    /// What was left behind next.
    pub(super) fn take(&mut self) -> Option<Departure> {
        let mut queue = self.departures.take()?;
        let departure = queue.0.pop_front();
        self.departures = (!queue.0.is_empty()).then_some(queue);
        departure
    }

    fn leave(&mut self, departure: Departure) {
        self.departures
            .get_or_insert_default()
            .0
            .push_back(departure);
    }

    /// Uplinks have other names, each that it had with the one that it has.
    pub(super) fn rename(&mut self, renamed: &[(UplinkName, UplinkName)]) {
        let renew = |name: UplinkName| {
            let known = renamed.iter().find(|(old, _)| *old == name);
            known.map_or(name, |(_, new)| new.clone())
        };
        for exit in &mut self.remembered {
            exit.uplink = renew(exit.uplink.clone());
        }
        self.kept.rename(renew);
        self.soft.rename(renew);
    }

    /// A stay that is over is to be noted, or new flows are to go another way.
    pub(super) fn is_due(&self, view: EngineView<'_>, now: Moment) -> bool {
        let is_over = self.kept.next_timeout(view).is_some_and(|at| at <= now);
        is_over || self.soft.is_outdated(view, &self.kept, now)
    }

    /// What the traffic of the groups leaves.
    fn left_behind(&mut self, view: EngineView<'_>) -> LeftExits {
        let now = exits(view, &self.soft);
        let mut all = LeftExits::new();
        for (traffic, exit) in &now {
            let Some(before) = self.exits.get(traffic) else {
                continue;
            };
            let still: SortedSet<_> = exit.values().flatten().collect();
            for (name, had) in before {
                let left: Vec<_> = had.iter().filter(|one| !still.contains(one)).collect();
                if !left.is_empty() {
                    let mut uplinks = view.uplinks.iter();
                    let uplink = uplinks.find(|uplink| uplink.settings().name == *name);
                    let is_healthy = uplink.is_some_and(|uplink| {
                        let has_way = uplink.attachment().paths.contains_key(&traffic.1);
                        has_way && uplink.state() == State::Up && !uplink.candidate().is_spent()
                    });
                    let has_lost_it = exit.contains_key(name);
                    let entry = all.entry((name.clone(), traffic.1));
                    let known = entry.or_insert_with(|| LeftExit {
                        addresses: SortedSet::new(),
                        groups: SortedSet::new(),
                        is_voluntary: true,
                    });
                    known.groups.insert(traffic.0.clone());
                    known.addresses.extend(left.into_iter().copied());
                    known.is_voluntary &= is_healthy && !has_lost_it;
                }
            }
        }
        let groups: Vec<_> = view
            .groups
            .iter()
            .map(|group| group.name().cloned())
            .collect();
        self.exits.retain(|(group, _), _| groups.contains(group));
        self.exits.extend(now);
        all
    }

    /// What the flows that are remembered leave, beside what is left anyway.
    fn add_lost(
        &mut self,
        view: EngineView<'_>,
        remembered: &[(UplinkId, Family)],
        left: &mut LeftExits,
    ) {
        let mut now = Vec::new();
        for (id, family) in remembered {
            if let Some(uplink) = view.uplink(*id) {
                let name = &uplink.settings().name;
                let addresses = addresses(uplink, *family).into_iter();
                now.extend(addresses.map(|address| RememberedExit {
                    uplink: name.clone(),
                    address,
                }));
            }
        }
        let still: SortedSet<_> = now.iter().map(RememberedExit::key).collect();
        let known: SortedSet<_> = left.keys().cloned().collect();
        let before = std::mem::replace(&mut self.remembered, now.into()).into_iter();
        for exit in before {
            let key = exit.key();
            if !known.contains(&key) && !still.contains(&key) {
                let lost = left.entry(key).or_insert_with(|| LeftExit {
                    addresses: SortedSet::new(),
                    groups: SortedSet::new(),
                    is_voluntary: false,
                });
                lost.addresses.insert(exit.address);
            }
        }
    }
}

/// Adds what is left to the departure of its cause. The flows of an uplink that still carries some are not forgotten.
fn add(
    departures: &mut SortedMap<Cause, Departure>,
    (key, is_whole): (UplinkFamily, bool),
    addresses: SortedSet<IpAddr>,
    cause: Cause,
) {
    let departure = departures
        .entry(cause.clone())
        .or_insert_with(|| Departure {
            addresses: SortedSet::new(),
            uplinks: SortedSet::new(),
            groups: cause.1,
            cause: cause.0,
        });
    departure.addresses.extend(addresses);
    departure.uplinks.extend(is_whole.then_some(key));
}

/// Some traffic goes there.
fn is_carrying(exits: &Exits, (name, family): &UplinkFamily) -> bool {
    let mut exits = exits.iter().filter(|((_, of), _)| of == family);
    exits.any(|(_, exit)| exit.contains_key(name))
}

/// The same by an address, which two uplinks may share.
fn is_carried(exits: &Exits, family: Family, address: IpAddr) -> bool {
    let exits = exits.iter().filter(|((_, of), _)| *of == family);
    let mut carried = exits.flat_map(|(_, exit)| exit.values().flatten());
    carried.any(|one| *one == address)
}

/// None for traffic whose uplinks have no address: those that they had are not left until there are others. Those that
/// take only new connections count.
fn exits(view: EngineView<'_>, soft: &SoftMoves) -> Exits {
    let mut exits = SortedMap::new();
    for group in view.groups.ids() {
        for family in Family::ROUTED {
            let followed = view.groups.followed_by(group);
            let carriers = followed.carriers_of(family, view.uplinks).into_iter();
            let taking = soft.ids_of(followed, family, view.uplinks);
            let carriers = carriers.chain(taking.into_iter().flatten());
            let carriers = carriers.filter_map(|id| view.uplink(id));
            let with_addresses = carriers.filter_map(|uplink| {
                let addresses = addresses(uplink, family);
                let name = uplink.settings().name.clone();
                (!addresses.is_empty()).then_some((name, addresses))
            });
            let exit: Exit = with_addresses.collect();
            if !exit.is_empty() {
                exits.insert((view.groups.get(group).name().cloned(), family), exit);
            }
        }
    }
    exits
}
