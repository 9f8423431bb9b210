//! Policy rules.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::route::Family;
use crate::units::{InterfaceName, IpProtocol, Mark, RulePriority, TableId};

/// A policy rule that looks up a table, or goes on at a later rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rule {
    /// Lower is looked up first.
    pub priority: RulePriority,
    /// The family it applies to.
    pub family: Family,
    /// Matches the source address.
    pub from: Option<IpNet>,
    /// Matches the destination address.
    #[serde(default)]
    pub to: Option<IpNet>,
    /// Matches the input interface.
    #[serde(default)]
    pub iif: Option<InterfaceName>,
    /// Matches the protocol.
    #[serde(default)]
    pub protocol: Option<IpProtocol>,
    /// Matches the source port.
    #[serde(default)]
    pub sport: Option<Ports>,
    /// Matches the destination port.
    #[serde(default)]
    pub dport: Option<Ports>,
    /// Matches the packet mark.
    pub mark: Option<Mark>,
    /// The bits of the mark that are compared; none: all.
    #[serde(default)]
    pub mask: Option<Mark>,
    /// Matches packets of sockets bound to this interface.
    pub oif: Option<InterfaceName>,
    /// The table to look up; 0 of a rule that goes on at a later one.
    pub table: TableId,
    /// Goes on at the first rule of this priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goto: Option<RulePriority>,
    /// Ignores a result whose prefix is at most this long.
    pub suppress_prefix_length: Option<u32>,
}

impl Rule {
    /// A rule that sends every packet of a family to a table.
    pub fn lookup(priority: RulePriority, family: Family, table: TableId) -> Self {
        Self {
            priority,
            family,
            from: None,
            to: None,
            iif: None,
            protocol: None,
            sport: None,
            dport: None,
            mark: None,
            mask: None,
            oif: None,
            table,
            goto: None,
            suppress_prefix_length: None,
        }
    }
}

/// A rule that says more than a [`Rule`] can. It can only be deleted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OddRule {
    /// The part that a [`Rule`] can say.
    pub rule: Rule,
    /// The kernel's message about it, which identifies it.
    pub listed: Vec<u8>,
}

/// A range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ports {
    /// The lowest; not 0.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl Ports {
    /// Whether a port is in this range.
    pub(super) fn has(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// Whether all ports of `other` are in this range.
    pub(super) fn covers(self, other: Self) -> bool {
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
