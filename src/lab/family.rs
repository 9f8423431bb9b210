//! The families of the client's traffic.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabFamily {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// Something for each family.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PerFamily<T> {
    /// Of IPv4.
    pub(super) v4: T,
    /// Of IPv6.
    pub(super) v6: T,
}

impl<T> PerFamily<T> {
    /// That of one family.
    pub(super) fn of(&mut self, family: LabFamily) -> &mut T {
        match family {
            LabFamily::Ipv4 => &mut self.v4,
            LabFamily::Ipv6 => &mut self.v6,
        }
    }
}

impl fmt::Display for LabFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}
