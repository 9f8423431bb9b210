//! Which traffic belongs to a group: what a rule of the configuration may name, in the words of the
//! kernel's own rules. Pure.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Family, Rule};
use crate::units::{InterfaceName, IpProtocol, Mark};

/// Some ports, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ports {
    /// The lowest; not 0.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl Ports {
    fn covers(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// Some marks: those that are `mark` in the bits of `mask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Marks {
    /// What the bits are.
    pub mark: Mark,
    /// Which bits count.
    pub mask: Mark,
}

impl Marks {
    fn covers(self, other: Self) -> bool {
        self.mask.0 & other.mask.0 == self.mask.0 && other.mark.0 & self.mask.0 == self.mark.0
    }
}

/// An established flow, as its packets are when they come to be routed: before any translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Flow {
    /// Who began it.
    pub from: IpAddr,
    /// With whom.
    pub to: IpAddr,
    /// By which protocol, one that has ports.
    pub protocol: IpProtocol,
    /// The port it comes from.
    pub sport: u16,
    /// The port it goes to.
    pub dport: u16,
}

impl Flow {
    /// The kernel's rule for it in a family: `lookup`, for this flow only; none if it is of the other.
    pub fn rule(&self, lookup: &Rule) -> Option<Rule> {
        let port = |port| {
            Some(Ports {
                first: port,
                last: port,
            })
        };
        (Family::of(self.from) == lookup.family).then(|| Rule {
            from: Some(self.from.into()),
            to: Some(self.to.into()),
            protocol: Some(self.protocol),
            sport: port(self.sport),
            dport: port(self.dport),
            ..lookup.clone()
        })
    }
}

/// Some traffic. What is not named is anything; of several prefixes one must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    /// Where it comes from.
    pub from: Vec<IpNet>,
    /// Where it goes to.
    pub to: Vec<IpNet>,
    /// By which interface it came in.
    pub iif: Option<InterfaceName>,
    /// Its protocol.
    pub protocol: Option<IpProtocol>,
    /// The ports it comes from.
    pub sport: Option<Ports>,
    /// The ports it goes to.
    pub dport: Option<Ports>,
    /// The marks that somebody gave it.
    pub fwmark: Option<Marks>,
}

impl Selector {
    /// Whether it can match anything of a family.
    pub fn is_of(&self, family: Family) -> bool {
        let has = |nets: &[IpNet]| {
            nets.is_empty() || nets.iter().any(|net| Family::of(net.addr()) == family)
        };
        has(&self.from) && has(&self.to)
    }

    /// Whether everything that `other` matches is matched here too.
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
