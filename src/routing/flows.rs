//! Which flows are of which traffic, by what is known of a flow. Pure.

use std::net::IpAddr;

use ipnet::IpNet;

use super::observed::Observed;
use super::route::Family;
use super::traffic::{Ports, Selector};
use crate::units::{InterfaceName, IpProtocol};

/// What connection tracking, or a socket, says of the packets of a flow in the direction in which it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowTuple {
    /// The address that began it.
    pub source: IpAddr,
    /// The address that it was sent to.
    pub destination: IpAddr,
    /// The protocol.
    pub protocol: IpProtocol,
    /// The ports that it was sent from and to, of a protocol that has them.
    pub ports: Option<(u16, u16)>,
}

/// The traffic of some groups, as far as a [`FlowTuple`] tells it from that of the others.
#[derive(Clone, Debug)]
pub struct TrafficOf {
    /// In their order.
    rules: Vec<FlowRule>,
    /// What no rule selects is.
    rest: bool,
    /// By which interfaces packets come in, by their source.
    networks: Vec<(InterfaceName, IpNet)>,
}

/// A rule that puts flows into a group.
#[derive(Clone, Debug)]
pub struct FlowRule {
    /// What it selects.
    pub traffic: Selector,
    /// That is of the traffic.
    pub is_of_it: bool,
    /// It applies at some hours only: flows that it selects may have begun without it.
    pub has_hours: bool,
}

impl TrafficOf {
    /// All traffic.
    pub fn all() -> Self {
        Self {
            rules: Vec::new(),
            rest: true,
            networks: Vec::new(),
        }
    }

    /// What these rules say, and with `rest` what none selects.
    pub fn selected(rules: Vec<FlowRule>, rest: bool, observed: Option<&Observed>) -> Self {
        let links = observed
            .into_iter()
            .flat_map(|observed| observed.links.values());
        let networks = links.flat_map(|link| {
            let networks = link.connected.iter();
            networks.map(|network| (link.name.clone(), *network))
        });
        Self {
            rules,
            rest,
            networks: networks.collect(),
        }
    }

    /// Whether a flow is of it for certain. The mark that a packet had is not known of a flow, and the interface by
    /// which it came in only where its source is in a network of the router.
    pub fn has(&self, flow: &FlowTuple) -> bool {
        for rule in &self.rules {
            match self.selects(&rule.traffic, flow) {
                Some(true) if !rule.has_hours => return rule.is_of_it,
                Some(true) | None if !rule.is_of_it => return false,
                Some(_) | None => {}
            }
        }
        self.rest
    }

    /// Nothing where that is not known.
    fn selects(&self, selector: &Selector, flow: &FlowTuple) -> Option<bool> {
        let Selector {
            from,
            to,
            iif,
            protocol,
            sport,
            dport,
            fwmark,
        } = selector;
        let is_in = |nets: &[IpNet], address| {
            nets.is_empty() || nets.iter().any(|net| net.contains(&address))
        };
        let has_port = |wanted: Option<Ports>, port: Option<u16>| {
            wanted.is_none_or(|ports| port.is_some_and(|port| ports.has(port)))
        };
        let is_alike = selector.is_of(Family::of(flow.source))
            && is_in(from, flow.source)
            && is_in(to, flow.destination)
            && protocol.is_none_or(|protocol| protocol == flow.protocol)
            && has_port(*sport, flow.ports.map(|(source, _)| source))
            && has_port(*dport, flow.ports.map(|(_, destination)| destination));
        if !is_alike {
            return Some(false);
        }
        let has_come_in = iif
            .as_ref()
            .map_or(Some(true), |iif| self.is_from(iif, flow.source));
        match has_come_in {
            Some(true) if fwmark.is_some() => None,
            known => known,
        }
    }

    fn is_from(&self, interface: &InterfaceName, source: IpAddr) -> Option<bool> {
        let near = { self.networks.iter() }.filter(|(_, network)| network.contains(&source));
        let nearest = near.max_by_key(|(_, network)| network.prefix_len());
        nearest.map(|(name, _)| name == interface)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::routing::observed::Link;
    use crate::routing::traffic::Marks;
    use crate::units::sorted::SortedSet;
    use crate::units::{IfIndex, Mark};

    fn interface(text: &str) -> InterfaceName {
        text.parse().expect("a name")
    }

    fn link(index: u32, name: &str, network: &str) -> (IfIndex, Link) {
        let link = Link {
            index: IfIndex(NonZeroU32::new(index).expect("not 0")),
            name: interface(name),
            is_up: true,
            has_carrier: true,
            is_point_to_point: false,
            addresses: Vec::new(),
            tentative: SortedSet::new(),
            peers: Vec::new(),
            connected: vec![network.parse().expect("a network")],
            defaults: Vec::new(),
        };
        (link.index, link)
    }

    fn flow(source: &str, port: u16) -> FlowTuple {
        FlowTuple {
            source: source.parse().expect("an address"),
            destination: "203.0.113.80".parse().expect("an address"),
            protocol: IpProtocol(17),
            ports: Some((40_000, port)),
        }
    }

    /// Guests come in by an interface of their own, voice is a mark or a port; what is left is of these.
    fn left(guests: bool, voice: bool, rest: bool) -> TrafficOf {
        let observed = Observed {
            links: [
                link(1, "guests0", "10.0.9.0/24"),
                link(2, "lan0", "10.0.0.0/16"),
            ]
            .into(),
            ..Observed::default()
        };
        let by_guests = Selector {
            iif: Some(interface("guests0")),
            ..Selector::default()
        };
        let by_mark = Selector {
            to: vec!["203.0.113.0/24".parse().expect("a network")],
            fwmark: Some(Marks {
                mark: Mark(1),
                mask: Mark(1),
            }),
            dport: Some(Ports { first: 1, last: 99 }),
            ..Selector::default()
        };
        let rules = [(by_guests, guests), (by_mark, voice)].map(|(traffic, is_of_it)| FlowRule {
            traffic,
            is_of_it,
            has_hours: false,
        });
        TrafficOf::selected(rules.into(), rest, Some(&observed))
    }

    #[test]
    fn a_flow_is_of_the_group_that_its_source_comes_in_by() {
        let guests = left(true, false, false);
        assert!(guests.has(&flow("10.0.9.7", 443)));
        assert!(!guests.has(&flow("10.0.0.7", 443)));
        let rest = left(false, false, true);
        assert!(!rest.has(&flow("10.0.9.7", 443)));
        assert!(rest.has(&flow("10.0.0.7", 443)));
    }

    #[test]
    fn a_flow_whose_group_is_not_known_for_certain_is_of_none_that_has_left_alone() {
        // A network behind another router of the LAN, or a mark that packets had.
        for unknown in [flow("172.16.0.7", 443), flow("10.0.0.7", 50)] {
            assert!(!left(true, false, false).has(&unknown));
            assert!(!left(false, true, false).has(&unknown));
            assert!(!left(false, false, true).has(&unknown));
        }
        let mut by_hours = left(true, false, false);
        by_hours.rules[0].has_hours = true;
        assert!(
            !by_hours.has(&flow("10.0.9.7", 443)),
            "it may have begun before"
        );
        by_hours.rest = true;
        assert!(by_hours.has(&flow("10.0.9.7", 443)));
        assert!(left(true, true, true).has(&flow("172.16.0.7", 50)));
        assert!(left(false, true, true).has(&flow("10.0.0.7", 50)));
        assert!(left(true, false, true).has(&flow("172.16.0.7", 443)));
    }
}
