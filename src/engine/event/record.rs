//! An event as it leaves the agent, with the outcome of its switch.

use std::fmt::Display;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::engine::event::broken_at::BrokenAt;
use crate::engine::event::cause::SwitchCause;
use crate::engine::event::drill::DrillFindings;
use crate::engine::event::{Event, EventKind, Side};
use crate::routing::Family;
use crate::units::sorted::SortedSet;
use crate::units::{GroupName, InterfaceName, Timestamp, UplinkName, Wall};

/// What happened to the routes of a switch by the time it is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchOutcome {
    /// The kernel holds them.
    Applied {
        /// From the decision until they were read back.
        took: Duration,
        /// How many flows of the uplink that was left were ended, if that is known.
        flows_moved: Option<usize>,
    },
    /// The kernel refuses them.
    Refused,
}

/// What the agent knows of an event beside the event itself.
#[derive(Clone, Debug, Default)]
pub struct EventContext {
    /// The network of netifd that the uplink is named by.
    pub network: Option<InterfaceName>,
    /// For a switch.
    pub outcome: Option<SwitchOutcome>,
    /// For a changed configuration: what has changed in it.
    pub changes: Option<String>,
}

impl Event {
    /// The event as it leaves the agent. `wall` translates times.
    pub fn record(&self, wall: Wall) -> EventRecord {
        self.record_in(wall, EventContext::default())
    }

    /// The same, with what the agent knows beside.
    pub fn record_in(&self, wall: Wall, context: EventContext) -> EventRecord {
        let values = self.change.values();
        let (from, to) = values.sides.unzip();
        let (mut reason, mut took_us, mut flows_moved) = (self.reason.clone(), None, None);
        let mut recovery_ms = None;
        match context.outcome {
            Some(SwitchOutcome::Applied {
                took,
                flows_moved: moved,
            }) => {
                took_us = u64::try_from(took.as_micros()).ok();
                flows_moved = moved;
                let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                let outage = values.outage_ms.map(|lasted| u64::from(lasted.get()));
                recovery_ms = outage.map(|lasted| lasted.saturating_add(took));
            }
            Some(SwitchOutcome::Refused) => reason.push_str("; the kernel refuses the new route"),
            None => {}
        }
        if let Some(changes) = context.changes {
            reason = format!("{reason}: {changes}");
        }
        EventRecord {
            at: wall.at(self.at).as_written(),
            event: values.kind,
            group: values.group.cloned(),
            family: values.family,
            uplink: values.uplink.cloned(),
            interface: values.interface.cloned(),
            network: context.network,
            from,
            to: to.or(values.carriers),
            reason,
            cause: values.cause,
            prefixes: values.prefixes.cloned().unwrap_or_default(),
            took_us,
            recovery_ms,
            flows_moved,
            drill: values.drill,
            broken_at: values.broken_at,
        }
    }
}

/// An event as it leaves the agent: log, history, hooks, ubus and `status --watch`.
///
/// Large: it has a field for each key of the JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// When.
    pub at: Timestamp,
    /// What happened, such as `uplink.down` or `switch`.
    pub event: EventKind,
    /// Which group of traffic, where it concerns one of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// Which family, where a switch concerns one and the other stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// Which uplink, where it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink: Option<UplinkName>,
    /// The interface of that uplink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<InterfaceName>,
    /// The network of netifd that the uplink is named by, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<InterfaceName>,
    /// What was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Side>,
    /// What is now. For a start of the agent: what carries the traffic since before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Side>,
    /// Why, in words.
    pub reason: String,
    /// For a switch: the class of the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<SwitchCause>,
    /// The delegated prefixes that it is about.
    #[serde(default, skip_serializing_if = "SortedSet::is_empty")]
    pub prefixes: SortedSet<IpNet>,
    /// For a switch: from the decision until the kernel held the routes and they were read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    /// For a switch from an uplink that is down: from the first probe that was not answered, or the failure of its
    /// link, until the kernel held the routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_ms: Option<u64>,
    /// For a switch: how many flows of the uplink that was left were ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows_moved: Option<usize>,
    /// For a drill: what it has come to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<DrillFindings>,
    /// For an uplink that is down: where its path broke, if that was known by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_at: Option<BrokenAt>,
}

impl EventRecord {
    /// What was before and what is now, such as `fiber -> lte`.
    pub fn sides(&self) -> Option<String> {
        let (from, to) = self.from.as_ref().zip(self.to.as_ref())?;
        Some(sides(self.family, from, to))
    }
    /// Its family as keys and hooks write it.
    pub fn family_key(&self) -> Option<&'static str> {
        self.family.map(Family::key)
    }
}

/// What was before and what is now, of one family or of everything.
pub fn sides(family: Option<Family>, from: impl Display, to: impl Display) -> String {
    let family = family.map(|family| format!("{family}: "));
    format!("{}{from} -> {to}", family.unwrap_or_default())
}
