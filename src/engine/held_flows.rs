//! Flows that stay with an uplink in maintenance while others go another way.

use std::collections::{BTreeMap, BTreeSet};

use super::uplink::Uplink;
use crate::routing::traffic::Flow;
use crate::units::UplinkName;

/// The flows that each uplink holds.
#[derive(Clone, Debug, Default)]
pub(super) struct HeldFlows(BTreeMap<UplinkName, BTreeSet<Flow>>);

impl HeldFlows {
    /// These flows stay with an uplink; none: no more.
    pub(super) fn set(&mut self, uplink: UplinkName, flows: BTreeSet<Flow>) {
        self.0.insert(uplink, flows);
        self.0.retain(|_, flows| !flows.is_empty());
    }

    /// Those that stay with an uplink, if there are any.
    pub(super) fn of(&self, uplink: &UplinkName) -> Option<&BTreeSet<Flow>> {
        self.0.get(uplink)
    }

    /// With the places of their uplinks in the configuration. A dead uplink holds nothing.
    pub(super) fn of_living<'a>(
        &'a self,
        uplinks: &'a [Uplink],
    ) -> impl Iterator<Item = (u32, &'a Flow)> {
        let uplinks = (0_u32..).zip(uplinks);
        let living = uplinks.filter(|(_, uplink)| !uplink.is_dead());
        living.flat_map(|(position, uplink)| {
            let flows = self.0.get(&uplink.settings().name).into_iter().flatten();
            flows.map(move |flow| (position, flow))
        })
    }
}
