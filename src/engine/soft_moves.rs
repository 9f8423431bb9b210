//! Soft failover: where new connections go while the uplink that carries them is in well-founded doubt.
//!
//! ```text
//!  the carrier is in doubt ──> new connections go by a standby ──┬── the carrier answers ──> they come back
//!                              established ones stay             └── the verdict: down ────> all traffic follows
//! ```
//! They go where the verdict would send all traffic: the same decision is made on the supposition that the uplinks in
//! doubt are down, and that every other one is which may not take them. No state of an uplink, no carrier and no timer
//! changes by that, so it is no switch. It is decided anew with everything that happens, so it never outlasts its doubt;
//! and a doubt by which they left lasts until an answer or the verdict, also where a change of the link makes void what
//! it was founded on: a way that has not answered yet is no better than the one before.

use super::action::{Departure, DepartureCause};
use super::candidate::Fitness;
use super::event::cause::SwitchCause;
use super::event::{Change, Event, SoftSwitch};
use super::group::carriers::{names, paths};
use super::group::{Group, GroupView};
use super::ids::UplinkId;
use super::kept_flows::{KeptFlows, addresses};
use super::settings::SoftFailover;
use super::status::NewConnections;
use super::uplink::Uplink;
use super::view::EngineView;
use super::wording::seconds;
use crate::routing::Family;
use crate::routing::desired::Carrying;
use crate::units::sorted::SortedSet;
use crate::units::{GroupName, Moment, UplinkName};

/// Where new connections go besides the uplinks that carry. By name, since reloads change ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SoftMoves(Option<Box<PlannedMoves>>);

/// Small where there is none, which is nearly always.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PlannedMoves {
    doubts: Doubts,
    moves: Vec<SoftMove>,
}

/// The uplinks in doubt by a family, with the moment after which nothing that was sent by it has been answered.
type Doubts = Vec<(UplinkName, Family, Moment)>;

/// One family of a group that leads itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SoftMove {
    group: Option<GroupName>,
    family: Family,
    /// What carries the family, and its established flows.
    from: Vec<UplinkName>,
    /// What takes its new connections.
    to: Vec<UplinkName>,
}

impl SoftMoves {
    /// Decides them anew, where all groups have their carriers; what is to be told, and what is left behind.
    pub(super) fn follow(
        &mut self,
        view: EngineView<'_>,
        kept: &KeptFlows,
        now: Moment,
    ) -> (Vec<Event>, Vec<Departure>) {
        let plan = self.plan(view, kept, now);
        if plan == *self {
            return (Vec::new(), Vec::new());
        }
        let before = std::mem::replace(self, plan);
        let unanswered = self.unanswered(&before, view.uplinks);
        (self.news(&before, view, now), unanswered)
    }

    /// They would be others now.
    pub(super) fn is_outdated(&self, view: EngineView<'_>, kept: &KeptFlows, now: Moment) -> bool {
        let may_be_any = self.0.is_some() || view.uplinks.iter().any(Uplink::has_missed);
        may_be_any && self.plan(view, kept, now) != *self
    }

    /// What is best now. `kept`: knows which flows are remembered.
    fn plan(&self, view: EngineView<'_>, kept: &KeptFlows, now: Moment) -> Self {
        if view.settings.failover.soft == SoftFailover::Off {
            return Self::default();
        }
        let doubts = self.doubts(view.uplinks);
        let may_leave = |(name, family, _): &(_, _, _)| {
            let mut uplinks = view.uplinks.iter();
            let uplink = uplinks.find(|uplink| uplink.settings().name == *name);
            uplink.is_some_and(|uplink| kept.is_remembered(uplink, *family))
        };
        if !doubts.iter().any(may_leave) {
            return Self::default();
        }
        let moves = view.groups.iter().flat_map(|group| {
            let plan = GroupPlan {
                view: view.of_groups(now),
                group,
                kept,
                doubts: &doubts,
                carriers: Family::ROUTED.map(|family| group.carriers_of(family, view.uplinks)),
            };
            plan.moves()
        });
        let moves: Vec<_> = moves.collect();
        Self((!moves.is_empty()).then(|| Box::new(PlannedMoves { doubts, moves })))
    }

    /// Those that are founded now, and those by which new connections have left and which no answer has ended.
    fn doubts(&self, uplinks: &[Uplink]) -> Doubts {
        let of_uplinks = uplinks.iter().flat_map(|uplink| {
            Family::ROUTED.into_iter().filter_map(|family| {
                let since = uplink.founded_doubt(family, self.doubt_of(uplink, family))?;
                Some((uplink.settings().name.clone(), family, since))
            })
        });
        of_uplinks.collect()
    }

    fn doubt_of(&self, uplink: &Uplink, family: Family) -> Option<Moment> {
        doubt_of(&self.0.as_ref()?.doubts, uplink, family)
    }

    /// Uplinks have other names.
    pub(super) fn rename(&mut self, renew: impl Fn(UplinkName) -> UplinkName) {
        let Some(plan) = &mut self.0 else { return };
        let moves = plan.moves.iter_mut();
        let sides = moves.flat_map(|one| [&mut one.from, &mut one.to]).flatten();
        for name in sides.chain(plan.doubts.iter_mut().map(|(name, ..)| name)) {
            *name = renew(name.clone());
        }
    }

    /// Leads the new connections of a group there.
    pub(super) fn lead(&self, group: &Group, uplinks: &[Uplink], carrying: &mut Carrying) {
        for family in Family::ROUTED {
            if let Some(ids) = self.ids_of(group, family, uplinks) {
                carrying.insert(family, paths(&ids, family, uplinks));
            }
        }
    }

    /// The uplinks that take the new connections of a family of a group, if these are not those that carry it.
    pub(super) fn ids_of(
        &self,
        group: &Group,
        family: Family,
        uplinks: &[Uplink],
    ) -> Option<Vec<UplinkId>> {
        let mut moves = self.iter();
        let own = moves.find(|one| one.family == family && one.group.as_ref() == group.name())?;
        let known = uplinks.iter();
        let taking = known.filter(|uplink| own.to.contains(&uplink.settings().name));
        Some(taking.map(Uplink::id).collect())
    }

    /// The read model.
    pub(super) fn status(&self) -> Vec<NewConnections> {
        let moves = self.iter().map(|one| NewConnections {
            group: one.group.clone(),
            family: one.family,
            from: one.from.clone(),
            to: one.to.clone(),
        });
        moves.collect()
    }

    /// What is to be told where this follows `before`: new connections that go another way now, and those that come
    /// back. Where all traffic of the group has moved since, that is told as a switch.
    fn news(&self, before: &Self, view: EngineView<'_>, now: Moment) -> Vec<Event> {
        let mut news: Vec<Event> = Vec::new();
        let mut tell = |one: &SoftMove, from: &[UplinkName], to: &[UplinkName], cause| {
            let change = Change::SoftSwitch(SoftSwitch {
                group: one.group.clone(),
                family: Some(one.family).filter(|_| one.has_other_family(view)),
                from: from.to_vec(),
                to: to.to_vec(),
                cause,
            });
            let reason = self.explain(one, cause, view.uplinks, now);
            news.push(Event {
                at: now,
                change,
                reason,
            });
        };
        for one in before.iter().filter(|one| !self.has(one)) {
            if one.carriers(view) == one.from {
                tell(one, &one.to, &one.from, SwitchCause::Failback);
            }
        }
        for one in self
            .iter()
            .filter(|one| !before.iter().any(|other| other == *one))
        {
            let earlier = before.iter().find(|other| other.is_of_same(one));
            let from = earlier.map_or(&one.from, |earlier| &earlier.to);
            tell(one, from, &one.to, SwitchCause::Doubt);
        }
        join_families(&mut news);
        news
    }

    /// What of the uplinks in doubt has begun since and has seen no answer: where new connections go there now.
    fn unanswered(&self, before: &Self, uplinks: &[Uplink]) -> Vec<Departure> {
        let begun = self.iter().filter(|one| !before.has(one));
        let left = begun.flat_map(|one| {
            one.left(uplinks).filter_map(|uplink| {
                Some(Departure {
                    addresses: addresses(uplink, one.family),
                    uplinks: [(uplink.settings().name.clone(), one.family)].into(),
                    groups: SortedSet::new(),
                    cause: DepartureCause::Doubt(self.doubt_of(uplink, one.family)?),
                })
            })
        });
        left.collect()
    }

    fn explain(
        &self,
        one: &SoftMove,
        cause: SwitchCause,
        uplinks: &[Uplink],
        now: Moment,
    ) -> String {
        let silent = one.left(uplinks).find_map(|uplink| {
            let since = uplink.founded_doubt(one.family, self.doubt_of(uplink, one.family))?;
            // The first probe that was not answered was sent after the last one that was.
            let since = uplink.silent_since_round().unwrap_or(since).max(since);
            Some((&uplink.settings().name, seconds(now.since(since))))
        });
        match (silent, cause == SwitchCause::Doubt) {
            (Some((name, lasts)), true) => {
                format!(
                    "{name} in doubt, no answer for {lasts}: established connections stay there"
                )
            }
            (Some((name, _)), false) => format!("{name} in doubt, and no other may take them"),
            (None, _) => {
                let left: Vec<_> = one
                    .left(uplinks)
                    .map(|uplink| uplink.settings().name.as_str())
                    .collect();
                format!("{} no longer in doubt", left.join(", "))
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = &SoftMove> {
        self.0.iter().flat_map(|plan| &plan.moves)
    }

    fn has(&self, wanted: &SoftMove) -> bool {
        self.iter().any(|one| one.is_of_same(wanted))
    }
}

impl SoftMove {
    fn is_of_same(&self, other: &Self) -> bool {
        (&self.group, self.family) == (&other.group, other.family)
    }

    /// What carries it now.
    fn carriers(&self, view: EngineView<'_>) -> Vec<UplinkName> {
        let mut groups = view.groups.iter();
        let group = groups.find(|group| group.name() == self.group.as_ref());
        let carriers = group.map(|group| group.carriers_of(self.family, view.uplinks));
        names(&carriers.unwrap_or_default(), view.uplinks)
    }

    /// The uplinks carry the other family as well.
    fn has_other_family(&self, view: EngineView<'_>) -> bool {
        let mut uplinks = view.uplinks.iter();
        uplinks.any(|uplink| {
            let mut families = uplink.attachment().paths.keys();
            let is_of_it = self.from.contains(&uplink.settings().name);
            is_of_it && families.any(|family| *family != self.family)
        })
    }

    /// The uplinks in doubt.
    fn left<'a>(&self, uplinks: &'a [Uplink]) -> impl Iterator<Item = &'a Uplink> {
        uplinks.iter().filter(|uplink| {
            let name = &uplink.settings().name;
            self.from.contains(name) && !self.to.contains(name)
        })
    }
}

/// What both families do alike is told once.
fn join_families(news: &mut Vec<Event>) {
    let mut place = 0;
    while place < news.len() {
        let mut alike = news[place].clone();
        if let Change::SoftSwitch(SoftSwitch { family, .. }) = &mut alike.change {
            *family = family.map(|_| Family::Ipv6);
        }
        let other = (place + 1..news.len()).find(|other| news[*other] == alike);
        if let Some(other) = other {
            news.remove(other);
            if let Change::SoftSwitch(SoftSwitch { family, .. }) = &mut news[place].change {
                *family = None;
            }
        }
        place += 1;
    }
}

/// The new connections of one group.
struct GroupPlan<'a> {
    view: GroupView<'a>,
    group: &'a Group,
    kept: &'a KeptFlows,
    doubts: &'a Doubts,
    carriers: [Vec<UplinkId>; Family::ROUTED.len()],
}

impl GroupPlan<'_> {
    fn moves(&self) -> Vec<SoftMove> {
        let is_concerned = |family: &Family| {
            let carriers = self.carriers[*family as usize].iter();
            let mut carriers = carriers.map(|id| &self.view.uplinks[id.index()]);
            carriers.any(|uplink| {
                // Its established connections stay by its marks.
                self.is_in_doubt(uplink, *family) && self.kept.is_remembered(uplink, *family)
            })
        };
        let concerned: Vec<_> = Family::ROUTED.into_iter().filter(is_concerned).collect();
        if concerned.is_empty() {
            return Vec::new();
        }
        let is_out = |uplink: &Uplink, family| !self.may_take(uplink, family);
        let supposed = self.group.carriers_without(self.view, is_out);
        let moves = concerned.into_iter().filter_map(|family| {
            let (from, to) = (&self.carriers[family as usize], &supposed[family as usize]);
            let may_take = |id: &UplinkId| self.may_take(&self.view.uplinks[id.index()], family);
            (!to.is_empty() && to.iter().all(may_take)).then(|| SoftMove {
                group: self.group.name().cloned(),
                family,
                from: names(from, self.view.uplinks),
                to: names(to, self.view.uplinks),
            })
        });
        moves.collect()
    }

    /// An uplink may take new connections of a family, or keep those that it carries anyway.
    fn may_take(&self, uplink: &Uplink, family: Family) -> bool {
        let settings = uplink.settings();
        let is_carrying = self.carriers[family as usize].contains(&uplink.id());
        let is_cheap = settings.probe_budget.is_none() && !settings.is_cold();
        let is_allowed = is_carrying || is_cheap || self.view.failover.soft == SoftFailover::Always;
        let suppressed_until = self.view.flaps.suppressed_until(uplink.id());
        let whole = uplink.candidate().suppressed_by(suppressed_until);
        let candidate = whole.of_family(uplink.outlook(family), false);
        let is_healthy = candidate.fitness() == Fitness::Good && !candidate.is_suspected;
        let is_in_doubt = self.is_in_doubt(uplink, family);
        is_allowed && is_healthy && !is_in_doubt && self.kept.is_remembered(uplink, family)
    }

    fn is_in_doubt(&self, uplink: &Uplink, family: Family) -> bool {
        doubt_of(self.doubts, uplink, family).is_some()
    }
}

fn doubt_of(doubts: &Doubts, uplink: &Uplink, family: Family) -> Option<Moment> {
    let mut doubts = doubts.iter();
    let is_of_it = |(name, of, _): &&(UplinkName, Family, Moment)| {
        *of == family && *name == uplink.settings().name
    };
    doubts.find(is_of_it).map(|(.., since)| *since)
}
