//! How a drill ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::{InterfaceName, UplinkName};

/// What a drill has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrillResult {
    /// The traffic recovered within `[drill] rto`.
    Passed,
    /// It recovered later, or not at all.
    Failed,
    /// It was ended early: nothing is proven.
    Aborted,
    /// It was due, and did not begin.
    Skipped,
}

impl DrillResult {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Passed, Self::Failed, Self::Aborted, Self::Skipped];

    /// The word for it, in JSON and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Display for DrillResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a drill has come to, and what its stream measured. Spans are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillFindings {
    /// How it ended.
    pub result: DrillResult,
    /// The longest recovery that passes.
    pub rto_ms: u32,
    /// How long all traffic took to recover: the longer of the two that follow; none if one of them is missing.
    pub recovery_ms: Option<u32>,
    /// For how long nothing of its stream was answered, whose packets go where new connections go; none if nothing was
    /// until the failure ended.
    #[serde(default)]
    pub stream_ms: Option<u32>,
    /// The recovery time of the switch, which moved established connections too; none if there was no switch.
    #[serde(default)]
    pub established_ms: Option<u32>,
    /// For how long the path failed.
    pub failed_ms: u32,
    /// Packets of its stream that were sent while the path failed, until shortly after the recovery.
    pub sent: u32,
    /// Those that were not answered.
    pub lost: u32,
}

/// A failover test that is over, or was due and did not begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillChange {
    /// Of which uplink.
    pub uplink: UplinkName,
    /// Its interface.
    pub interface: InterfaceName,
    /// What carried its traffic meanwhile.
    pub carried_by: Vec<UplinkName>,
    /// What it has come to.
    pub findings: DrillFindings,
}
