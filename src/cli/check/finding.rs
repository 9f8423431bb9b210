//! What `check` reports.

use serde::Serialize;

use crate::config::Config;
use crate::engine::settings::Policy;

/// Something worth knowing, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) severity: FindingSeverity,
    /// What it is about.
    pub(super) object: String,
    pub(super) what: String,
    pub(super) remedy: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FindingSeverity {
    /// The agent, or one of its uplinks, cannot work like this.
    Error,
    /// It works, but not as well as it should, or not always.
    Warning,
    /// Good to know.
    Note,
}

/// A finding on an object.
pub(super) fn finding(
    severity: FindingSeverity,
    object: &str,
    what: impl Into<String>,
    remedy: impl Into<String>,
) -> Finding {
    Finding {
        severity,
        object: object.to_owned(),
        what: what.into(),
        remedy: remedy.into(),
    }
}

/// Several uplinks carry some traffic together.
pub(super) fn shares(config: &Config) -> bool {
    let engine = &config.engine;
    let groups = engine.groups.iter().map(|group| group.policy);
    let mut policies = groups.chain([engine.failover.policy]);
    policies.any(|policy| policy == Policy::Balance)
}
