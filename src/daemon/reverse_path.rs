//! The reverse-path filters of the uplinks that stand in the way of answers, as it was with what was observed.

use crate::engine::settings::Settings;
use crate::engine::state::State;
use crate::engine::status::UplinkStatus;
use crate::kernel::{ReversePathFilter, looks_at_marks, reverse_path_filter};
use crate::routing::{Attachment, Family, RoutingMode};
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{InterfaceName, UplinkName};

/// The interfaces whose filter is strict, by what it drops while another uplink is active.
#[derive(Debug, Default)]
pub(super) struct StrictFilters {
    /// Answers to probes: no rule of ours leads back by the address of the uplink.
    probes: SortedSet<InterfaceName>,
    /// Replies of forwarded flows: it does not see which uplink a flow goes by.
    flows: SortedSet<InterfaceName>,
}

impl StrictFilters {
    /// Looks at them, and logs what is new.
    pub(super) fn look(
        &mut self,
        settings: &Settings,
        attachments: &SortedMap<UplinkName, Attachment>,
    ) {
        let mut found = Self::default();
        for uplink in &settings.uplinks {
            let interface = &uplink.interface;
            let is_there = |attachment: &&Attachment| attachment.index.is_some();
            let Some(attachment) = attachments.get(&uplink.name).filter(is_there) else {
                continue;
            };
            if reverse_path_filter(interface) != ReversePathFilter::Strict {
                continue;
            }
            let mut others = attachments
                .iter()
                .filter(|(other, _)| **other != uplink.name);
            let is_shared = others.any(|(_, other)| shares_address(attachment, other));
            if settings.numbering.mode == RoutingMode::Main || is_shared {
                found.probes.insert(interface.clone());
            }
            if !looks_at_marks(interface) {
                found.flows.insert(interface.clone());
            }
        }
        for interface in found.probes.difference(&self.probes) {
            tracing::warn!(
                why = loose(interface),
                "answers to probes are dropped while another uplink is active"
            );
        }
        let is_of_use = settings.numbering.flow_mark(0).is_some();
        let new = found.flows.difference(&self.flows);
        for interface in new.filter(|name| is_of_use && !found.probes.contains(name)) {
            tracing::warn!(
                why = marked(interface),
                "replies of flows may be dropped while another uplink is active"
            );
        }
        *self = found;
    }

    /// Replies of the flows of an interface pass it.
    pub(super) fn passes_flows(&self, interface: &InterfaceName) -> bool {
        !self.flows.contains(interface)
    }

    /// What stands in the way of flows that are remembered, and what helps.
    pub(super) fn remedies(&self) -> impl Iterator<Item = String> {
        let probes = self.probes.iter().map(loose);
        probes.chain(self.flows.difference(&self.probes).map(marked))
    }

    /// Says of an uplink that does not answer that its filter may be why.
    pub(super) fn remark(&self, uplink: &mut UplinkStatus) {
        let is_silent = matches!(uplink.state, State::Down | State::Unknown);
        if is_silent && self.probes.contains(&uplink.interface) {
            let remedy = loose(&uplink.interface);
            uplink.reason = format!("{}; {remedy}", uplink.reason);
        }
    }
}

fn shares_address(one: &Attachment, other: &Attachment) -> bool {
    let addresses = |of: &Attachment| -> SortedSet<_> {
        let sources = of.sources.iter().map(ipnet::IpNet::addr);
        sources
            .filter(|address| Family::of(*address) == Family::Ipv4)
            .collect()
    };
    !addresses(one).is_disjoint(&addresses(other))
}

fn loose(interface: &InterfaceName) -> String {
    format!(
        "{interface} has a strict reverse-path filter, which drops answers while another uplink is active (sysctl -w \
         net.ipv4.conf.{interface}.rp_filter=2)"
    )
}

fn marked(interface: &InterfaceName) -> String {
    format!(
        "{interface} has a strict reverse-path filter that does not look at marks (sysctl -w \
         net.ipv4.conf.{interface}.src_valid_mark=1)"
    )
}
