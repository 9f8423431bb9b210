//! The values of a change, as events of all kinds have them.

use std::num::NonZeroU32;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::EventKind;
use super::broken_at::BrokenAt;
use super::cause::SwitchCause;
use super::drill::{DrillChange, DrillFindings};
use crate::engine::state::State;
use crate::routing::Family;
use crate::units::sorted::SortedSet;
use crate::units::{GroupName, InterfaceName, UplinkName};

/// The values of a change, each where it has its place in a record.
pub(super) struct ChangeValues<'a> {
    pub(super) kind: EventKind,
    pub(super) group: Option<&'a GroupName>,
    pub(super) family: Option<Family>,
    pub(super) uplink: Option<&'a UplinkName>,
    pub(super) interface: Option<&'a InterfaceName>,
    pub(super) sides: Option<(Side, Side)>,
    /// What carries the traffic, where nothing has changed that.
    pub(super) carriers: Option<Side>,
    pub(super) prefixes: Option<&'a SortedSet<IpNet>>,
    pub(super) cause: Option<SwitchCause>,
    pub(super) outage_ms: Option<NonZeroU32>,
    pub(super) drill: Option<DrillFindings>,
    pub(super) broken_at: Option<BrokenAt>,
}

impl<'a> ChangeValues<'a> {
    pub(super) fn of(kind: EventKind) -> Self {
        Self {
            kind,
            group: None,
            family: None,
            uplink: None,
            interface: None,
            sides: None,
            carriers: None,
            prefixes: None,
            cause: None,
            outage_ms: None,
            drill: None,
            broken_at: None,
        }
    }

    pub(super) fn of_uplink(
        kind: EventKind,
        uplink: &'a UplinkName,
        interface: &'a InterfaceName,
    ) -> Self {
        Self {
            uplink: Some(uplink),
            interface: Some(interface),
            ..Self::of(kind)
        }
    }

    /// Of a start of the agent.
    pub(super) fn of_start(carriers: &[UplinkName]) -> Self {
        Self {
            carriers: (!carriers.is_empty()).then(|| Side::Uplinks(carriers.to_vec())),
            ..Self::of(EventKind::AgentStarted)
        }
    }

    /// Of a switch.
    pub(super) fn of_switch(
        (group, family): (Option<&'a GroupName>, Option<Family>),
        (from, to): (&[UplinkName], &[UplinkName]),
        (cause, outage_ms): (SwitchCause, Option<NonZeroU32>),
    ) -> Self {
        let [from, to] = [from, to].map(|side| Side::Uplinks(side.to_vec()));
        Self {
            group,
            family,
            sides: Some((from, to)),
            cause: Some(cause),
            outage_ms,
            ..Self::of(EventKind::Switch)
        }
    }

    /// Of a drill.
    pub(super) fn of_drill(drill: &'a DrillChange) -> Self {
        let from = Side::Uplinks(vec![drill.uplink.clone()]);
        let to = Side::Uplinks(drill.carried_by.clone());
        Self {
            sides: (!drill.carried_by.is_empty()).then_some((from, to)),
            drill: Some(drill.findings),
            ..Self::of_uplink(EventKind::Drill, &drill.uplink, &drill.interface)
        }
    }
}

/// Before or after: a state, or those who carry the traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Side {
    /// The state of an uplink.
    State(State),
    /// Uplinks.
    Uplinks(Vec<UplinkName>),
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::State(state) => state.fmt(f),
            Self::Uplinks(names) if names.is_empty() => f.pad("none"),
            Self::Uplinks(names) => {
                let names: Vec<_> = names.iter().map(UplinkName::as_str).collect();
                f.pad(&names.join(","))
            }
        }
    }
}
