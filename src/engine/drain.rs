//! Maintenance that lets established flows end: `disable NAME --drain`.
//!
//! ```text
//!  Listing ── its flows are listed ──> Holding ── the kernel holds their rules ──> Open ──> over
//! ```
//! A forwarded packet is routed before it is translated, so a flow stays with its uplink if a rule names it by what
//! it is before: address, port and protocol of both ends. These rules come first; when the kernel holds them the
//! uplink is disabled, and everything new goes another way. The rules of flows that have ended go. When none is
//! left, when the time is over, or when the uplink dies, the drain is over, and what is still open is left behind as
//! after any switch.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::action::{Action, DrainOrder};
use super::command::CommandRefusal;
use super::uplink::Uplink;
use super::view::EngineView;
use crate::routing::RoutingMode;
use crate::routing::traffic::Flow;
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{Moment, UplinkName};

/// So many flows are held: the kernel compares every packet that it routes with each of the rules.
const MOST_HELD: usize = 512;

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
    addresses: SortedSet<IpAddr>,
    limit: Duration,
    /// An operator takes its uplink out of service although others are only recovering.
    is_forced: bool,
    held: SortedSet<Flow>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DrainStage {
    /// Its flows are not known yet.
    Listing,
    /// The rules of its flows are being written, of which so many were found.
    Holding { found: usize },
    /// It takes no new flows.
    Open { until: Moment },
}

impl Drains {
    /// Whether an uplink that may be disabled can be drained.
    pub(super) fn check(
        &self,
        view: EngineView<'_>,
        name: &UplinkName,
    ) -> Result<(), CommandRefusal> {
        if self.running.contains_key(name) {
            return Err(CommandRefusal::Drained(name.clone()));
        }
        if view.settings.numbering.mode == RoutingMode::Main {
            return Err(CommandRefusal::NoRules);
        }
        let (own, others): (Vec<_>, Vec<_>) =
            (view.uplinks.iter()).partition(|uplink| uplink.settings().name == *name);
        let own: SortedSet<_> = own.into_iter().flat_map(addresses).collect();
        let mut others = others.into_iter();
        match others.find(|other| addresses(other).any(|address| own.contains(&address))) {
            Some(other) => Err(CommandRefusal::SharedAddress(other.settings().name.clone())),
            None => Ok(()),
        }
    }

    /// Begins a drain.
    pub(super) fn begin(&mut self, uplink: &Uplink, limit: Duration, is_forced: bool) {
        let name = &uplink.settings().name;
        let addresses: SortedSet<_> = addresses(uplink).collect();
        self.order(name, DrainOrder::List(addresses.clone()));
        let drain = Drain {
            stage: DrainStage::Listing,
            addresses,
            limit,
            is_forced,
            held: SortedSet::new(),
        };
        self.running.insert(name.clone(), drain);
    }

    /// Takes the flows of an uplink that is drained. None comes to those that are held: what is new goes another
    /// way.
    pub(super) fn listed(&mut self, name: &UplinkName, flows: SortedSet<Flow>) {
        let Some(drain) = self.running.get_mut(name) else {
            return;
        };
        match drain.stage {
            DrainStage::Listing | DrainStage::Holding { .. } => {
                drain.stage = DrainStage::Holding { found: flows.len() };
                drain.held = flows.into_iter().take(MOST_HELD).collect();
            }
            DrainStage::Open { .. } => drain.held.retain(|flow| flows.contains(flow)),
        }
    }

    /// The flows of an uplink cannot be listed: those that are held already stay so.
    pub(super) fn unlisted(&mut self, name: &UplinkName, why: &str) {
        let stage = self.running.get(name).map(|drain| drain.stage);
        match stage {
            Some(DrainStage::Listing | DrainStage::Holding { .. }) => self.give_up(name, why),
            Some(DrainStage::Open { .. }) | None => {}
        }
    }

    /// The uplinks that are disabled once the kernel holds the rules of their flows, and whether by force.
    pub(super) fn held_by_rules(&self) -> Vec<(UplinkName, bool)> {
        let running = self.running.iter();
        let holding =
            running.filter(|(_, drain)| matches!(drain.stage, DrainStage::Holding { .. }));
        let holding = holding.map(|(name, drain)| (name.clone(), drain.is_forced));
        holding.collect()
    }

    /// The uplink takes no new flows from now on.
    pub(super) fn open(&mut self, name: &UplinkName, now: Moment) {
        let Some(drain) = self.running.get_mut(name) else {
            return;
        };
        if let DrainStage::Holding { found } = drain.stage {
            let (held, limit) = (drain.held.len(), drain.limit);
            drain.stage = DrainStage::Open { until: now + limit };
            let moved = found.saturating_sub(held);
            self.order(name, DrainOrder::Begun { held, moved, limit });
        }
    }

    /// Ends a drain whose flows need not move.
    pub(super) fn give_up(&mut self, name: &UplinkName, why: &str) {
        if self.running.remove(name).is_some() {
            let why = format!("{name} is not drained: {why}");
            self.order(name, DrainOrder::Failed(why));
        }
    }

    /// The drains that are over, and why.
    pub(super) fn over(&self, view: EngineView<'_>, now: Moment) -> Vec<(UplinkName, String)> {
        let running = self.running.iter();
        let over = running.filter_map(|(name, drain)| {
            let DrainStage::Open { until } = drain.stage else {
                return None;
            };
            let mut uplinks = view.uplinks.iter();
            let uplink = uplinks.find(|uplink| uplink.settings().name == *name);
            let open = drain.held.len();
            let why = if open == 0 {
                "every established flow has ended".to_owned()
            } else if uplink.is_none_or(Uplink::is_dead) {
                format!("it is dead: {open} flows that were open are ended")
            } else if now >= until {
                format!("the time is over: {open} flows that were still open are ended")
            } else {
                return None;
            };
            Some((name.clone(), why))
        });
        over.collect()
    }

    /// Ends a drain; returns the addresses by which its flows left.
    pub(super) fn close(&mut self, name: &UplinkName) -> Option<SortedSet<IpAddr>> {
        let drain = self.running.remove(name)?;
        self.order(
            name,
            match drain.stage {
                DrainStage::Open { .. } => DrainOrder::Over,
                DrainStage::Listing | DrainStage::Holding { .. } => {
                    DrainOrder::Failed(format!("{name} is not drained: another command came"))
                }
            },
        );
        Some(drain.addresses)
    }

    /// The uplinks that are drained.
    pub(super) fn uplinks(&self) -> Vec<UplinkName> {
        self.running.keys().cloned().collect()
    }

    /// The addresses by which flows leave that stay on purpose.
    pub(super) fn addresses(&self) -> SortedSet<IpAddr> {
        let running = self.running.values();
        running
            .flat_map(|drain| &drain.addresses)
            .copied()
            .collect()
    }

    /// How many flows an uplink in maintenance still holds, and until when at most.
    pub(super) fn progress(&self, name: &UplinkName) -> Option<(usize, Moment)> {
        let drain = self.running.get(name)?;
        match drain.stage {
            DrainStage::Open { until } => Some((drain.held.len(), until)),
            DrainStage::Listing | DrainStage::Holding { .. } => None,
        }
    }

    /// The flows that are held, with the places of their uplinks in the configuration. A dead uplink holds nothing.
    pub(super) fn held_by_living<'a>(
        &'a self,
        uplinks: &'a [Uplink],
    ) -> impl Iterator<Item = (u32, &'a Flow)> {
        let uplinks = (0_u32..).zip(uplinks);
        let living = uplinks.filter(|(_, uplink)| !uplink.is_dead());
        living.flat_map(|(position, uplink)| {
            let drain = self.running.get(&uplink.settings().name);
            let flows = drain.into_iter().flat_map(|drain| &drain.held);
            flows.map(move |flow| (position, flow))
        })
    }

    /// When a drain is over at the latest.
    pub(super) fn next_timeout(&self) -> Option<Moment> {
        let running = self.running.values();
        let limits = running.filter_map(|drain| match drain.stage {
            DrainStage::Open { until } => Some(until),
            DrainStage::Listing | DrainStage::Holding { .. } => None,
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

fn addresses(uplink: &Uplink) -> impl Iterator<Item = IpAddr> {
    uplink.attachment().sources.iter().map(IpNet::addr)
}
