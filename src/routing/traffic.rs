//! The traffic of a group, in the terms of the kernel's rules. Pure.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::route::Family;
pub use super::rule::Ports;
use super::rule::Rule;
use crate::units::{InterfaceName, IpProtocol, Mark};

/// The marks that equal `mark` in the bits of `mask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Marks {
    /// The value of these bits.
    pub mark: Mark,
    /// The bits that are compared.
    pub mask: Mark,
}

impl Marks {
    fn covers(self, other: Self) -> bool {
        self.mask.0 & other.mask.0 == self.mask.0 && other.mark.0 & self.mask.0 == self.mark.0
    }
}

/// A selection of traffic. A selector that is not given matches everything; of several prefixes one must
/// match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    /// Source prefixes.
    pub from: Vec<IpNet>,
    /// Destination prefixes.
    pub to: Vec<IpNet>,
    /// The input interface.
    pub iif: Option<InterfaceName>,
    /// The protocol.
    pub protocol: Option<IpProtocol>,
    /// Source ports.
    pub sport: Option<Ports>,
    /// Destination ports.
    pub dport: Option<Ports>,
    /// The packet marks.
    pub fwmark: Option<Marks>,
}

impl Selector {
    /// Whether it can match packets of a family.
    pub fn is_of(&self, family: Family) -> bool {
        let has = |nets: &[IpNet]| {
            nets.is_empty() || nets.iter().any(|net| Family::of(net.addr()) == family)
        };
        has(&self.from) && has(&self.to)
    }

    /// Whether it matches everything that `other` matches.
    pub fn covers(&self, other: &Self) -> bool {
        covers_nets(&self.from, &other.from)
            && covers_nets(&self.to, &other.to)
            && covers(self.iif.as_ref(), other.iif.as_ref(), |a, b| a == b)
            && covers(self.protocol, other.protocol, |a, b| a == b)
            && covers(self.sport, other.sport, Ports::covers)
            && covers(self.dport, other.dport, Ports::covers)
            && covers(self.fwmark, other.fwmark, Marks::covers)
    }

    /// The kernel's rules for a family: `lookup`, for this traffic only. One for each pair of
    /// prefixes.
    pub fn rules(&self, lookup: &Rule) -> Vec<Rule> {
        let family = lookup.family;
        if !self.is_of(family) {
            return Vec::new();
        }
        let of_family = |nets: &[IpNet]| -> Vec<Option<IpNet>> {
            let own = nets.iter().filter(|net| Family::of(net.addr()) == family);
            let own: Vec<_> = own.copied().map(Some).collect();
            if own.is_empty() { vec![None] } else { own }
        };
        let (sources, destinations) = (of_family(&self.from), of_family(&self.to));
        let pairs = sources
            .iter()
            .flat_map(|from| destinations.iter().map(move |to| (*from, *to)));
        pairs
            .map(|(from, to)| Rule {
                from,
                to,
                iif: self.iif.clone(),
                protocol: self.protocol,
                sport: self.sport,
                dport: self.dport,
                mark: self.fwmark.map(|marks| marks.mark),
                mask: self
                    .fwmark
                    .map(|marks| marks.mask)
                    .filter(|mask| *mask != Mark(u32::MAX)),
                ..lookup.clone()
            })
            .collect()
    }
}

fn covers<T>(own: Option<T>, other: Option<T>, is_within: impl Fn(T, T) -> bool) -> bool {
    match (own, other) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(own), Some(other)) => is_within(own, other),
    }
}

fn covers_nets(own: &[IpNet], others: &[IpNet]) -> bool {
    let is_within = |other: &IpNet| own.iter().any(|net| net.contains(other));
    own.is_empty() || (!others.is_empty() && others.iter().all(is_within))
}
