//! The families of the client's traffic.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// Something for each family.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dual<T> {
    /// Of IPv4.
    pub(super) v4: T,
    /// Of IPv6.
    pub(super) v6: T,
}

impl<T> Dual<T> {
    /// That of one family.
    pub(super) fn of(&mut self, family: Family) -> &mut T {
        match family {
            Family::Ipv4 => &mut self.v4,
            Family::Ipv6 => &mut self.v6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}
