//! Maintenance that lets established flows end: `disable NAME --drain`.
//!
//! ```text
//!  Counting ── its flows are counted ──> Open ──> over
//! ```
//! The flows that are remembered as an uplink's keep the rule that leads them there, and everything new goes another
//! way. When none is left, when the time is over, or when the uplink dies, the drain is over, and what is still open
//! is left behind as after any switch.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use super::action::{Action, DrainOrder};
use super::command::{Command, CommandRefusal};
use super::kept_flows::{KeptFlows, addresses};
use super::uplink::Uplink;
use super::view::EngineView;
use crate::routing::Family;
use crate::units::counting::plural;
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{Moment, UplinkName};

/// The drains that go on. By name, since reloads change ids.
#[derive(Clone, Debug, Default)]
pub(super) struct Drains {
    running: SortedMap<UplinkName, Drain>,
    /// Not taken yet.
    orders: VecDeque<(UplinkName, DrainOrder)>,
}

/// The drain of one uplink.
#[derive(Clone, Debug)]
struct Drain {
    stage: DrainStage,
    /// Those whose flows stay, with the addresses by which they leave.
    families: SortedSet<Family>,
    addresses: SortedSet<IpAddr>,
    limit: Duration,
    /// An operator takes its uplink out of service although others are only recovering.
    is_forced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DrainStage {
    /// It is not known yet how many flows there are.
    Counting,
    /// It takes no new flows, and so many are left.
    Open { flows: usize, until: Moment },
}

impl Drains {
    /// Whether an uplink that may be disabled can be drained, if that is the command.
    pub(super) fn check(&self, kept: &KeptFlows, command: &Command) -> Result<(), CommandRefusal> {
        let Command::Disable {
            uplink,
            drain: Some(_),
            force: _,
        } = command
        else {
            return Ok(());
        };
        if self.running.contains_key(uplink) {
            Err(CommandRefusal::Drained(uplink.clone()))
        } else if kept.remembered_families(uplink).is_empty() {
            Err(CommandRefusal::NotRemembered(uplink.clone()))
        } else {
            Ok(())
        }
    }

    /// Begins a drain of the flows that are remembered.
    pub(super) fn begin(
        &mut self,
        uplink: &Uplink,
        kept: &KeptFlows,
        limit: Duration,
        is_forced: bool,
    ) {
        let name = &uplink.settings().name;
        let families = kept.remembered_families(name);
        self.order(name, DrainOrder::CountFlows(families.clone()));
        let own = families
            .iter()
            .flat_map(|family| addresses(uplink, *family));
        let drain = Drain {
            stage: DrainStage::Counting,
            addresses: own.collect(),
            families,
            limit,
            is_forced,
        };
        self.running.insert(name.clone(), drain);
    }

    /// Takes the number of flows of an uplink. Some: it may take no new ones from now on; whether by force.
    pub(super) fn counted(&mut self, name: &UplinkName, count: usize) -> Option<bool> {
        let drain = self.running.get_mut(name)?;
        match &mut drain.stage {
            DrainStage::Counting => Some(drain.is_forced),
            DrainStage::Open { flows, .. } => {
                *flows = count;
                None
            }
        }
    }

    /// The flows of an uplink cannot be counted: a drain that has begun goes on.
    pub(super) fn uncounted(&mut self, name: &UplinkName, why: &str) {
        let stage = self.running.get(name).map(|drain| drain.stage);
        match stage {
            Some(DrainStage::Counting) => self.give_up(name, why),
            Some(DrainStage::Open { .. }) | None => {}
        }
    }

    /// The uplink takes no new flows from now on, and has so many.
    pub(super) fn open(&mut self, name: &UplinkName, flows: usize, now: Moment) {
        let Some(drain) = self.running.get_mut(name) else {
            return;
        };
        let limit = drain.limit;
        let until = now + limit;
        drain.stage = DrainStage::Open { flows, until };
        self.order(name, DrainOrder::Begun { flows, limit });
    }

    /// Ends a drain whose flows need not move.
    pub(super) fn give_up(&mut self, name: &UplinkName, why: &str) {
        if self.running.remove(name).is_some() {
            let why = format!("{name} is not drained: {why}");
            self.order(name, DrainOrder::Failed(why));
        }
    }

    /// The drains that are over, and why.
    pub(super) fn over(
        &self,
        view: EngineView<'_>,
        kept: &KeptFlows,
        now: Moment,
    ) -> Vec<(UplinkName, String)> {
        let running = self.running.iter();
        let over = running.filter_map(|(name, drain)| {
            let DrainStage::Open { flows, until } = drain.stage else {
                return None;
            };
            let mut uplinks = view.uplinks.iter();
            let uplink = uplinks.find(|uplink| uplink.settings().name == *name);
            let is_remembered = || drain.families.is_subset(&kept.remembered_families(name));
            let why = if flows == 0 {
                return Some((name.clone(), "every established flow has ended".to_owned()));
            } else if uplink.is_none_or(Uplink::is_dead) {
                "it is dead"
            } else if now >= until {
                "the time is over"
            } else if !is_remembered() {
                "its flows are not remembered any more"
            } else {
                return None;
            };
            let why = format!(
                "{why}: what was still open is ended, {}",
                plural(flows, "flow")
            );
            Some((name.clone(), why))
        });
        over.collect()
    }

    /// Ends a drain; returns the addresses by which flows left that it has kept.
    pub(super) fn close(&mut self, name: &UplinkName) -> Option<SortedSet<IpAddr>> {
        let drain = self.running.remove(name)?;
        let (order, kept) = match drain.stage {
            DrainStage::Open { .. } => (DrainOrder::Over, drain.addresses),
            DrainStage::Counting => {
                let why = format!("{name} is not drained: another command came");
                (DrainOrder::Failed(why), SortedSet::new())
            }
        };
        self.order(name, order);
        Some(kept)
    }

    /// The addresses by which flows leave that stay on purpose.
    pub(super) fn addresses(&self) -> SortedSet<IpAddr> {
        let running = self.running.values();
        running
            .flat_map(|drain| &drain.addresses)
            .copied()
            .collect()
    }

    /// How many flows an uplink in maintenance still has, and until when at most.
    pub(super) fn progress(&self, name: &UplinkName) -> Option<(usize, Moment)> {
        let drain = self.running.get(name)?;
        match drain.stage {
            DrainStage::Open { flows, until } => Some((flows, until)),
            DrainStage::Counting => None,
        }
    }

    /// The flows of an uplink stay there although it takes no new ones. A dead one keeps none.
    pub(super) fn keeps_flows(&self, uplink: &Uplink, family: Family) -> bool {
        let drain = self.running.get(&uplink.settings().name);
        drain.is_some_and(|drain| drain.families.contains(&family)) && !uplink.is_dead()
    }

    /// When a drain is over at the latest.
    pub(super) fn next_timeout(&self) -> Option<Moment> {
        let running = self.running.values();
        let limits = running.filter_map(|drain| match drain.stage {
            DrainStage::Open { until, .. } => Some(until),
            DrainStage::Counting => None,
        });
        limits.min()
    }

    /// What is to be done next.
    pub(super) fn take_order(&mut self) -> Option<Action> {
        let (uplink, order) = self.orders.pop_front()?;
        Some(Action::Drain(uplink, order))
    }

    fn order(&mut self, name: &UplinkName, order: DrainOrder) {
        self.orders.push_back((name.clone(), order));
    }
}
