//! Where the path of an uplink broke.

use serde::{Deserialize, Serialize};

/// The part of a path that broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokenAt {
    /// Between this router and a modem or router of the same site, or that one itself.
    OwnSide,
    /// Between the site and the first router of the provider.
    AccessLine,
    /// Within the provider's network.
    Provider,
    /// Beyond the first hops, all of which answer.
    Beyond,
}

impl BrokenAt {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::OwnSide => "on the own side",
            Self::AccessLine => "on the access line",
            Self::Provider => "at the provider",
            Self::Beyond => "beyond the first hops",
        }
    }

    /// As JSON has it.
    pub const fn key(self) -> &'static str {
        match self {
            Self::OwnSide => "own_side",
            Self::AccessLine => "access_line",
            Self::Provider => "provider",
            Self::Beyond => "beyond",
        }
    }
}
