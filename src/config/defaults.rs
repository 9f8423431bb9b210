//! What holds where a configuration says nothing: what is read from an empty one.

use super::section::{Reading, Section};
use super::{agent, failover, health, probe};
use crate::engine::settings::{FailoverSettings, HealthSettings, ProbeSettings};

pub use super::agent::CONTROL;
pub use super::uplinks::{COLD, PROBE_BUDGET, WEIGHT};

/// `[agent]`
pub fn agent() -> agent::AgentSettings {
    of_nothing("agent", agent::read)
}

/// `[probe]`
pub fn probe() -> ProbeSettings {
    of_nothing("probe", |section| probe::read(section, None))
}

/// `[health]`
pub fn health() -> HealthSettings {
    of_nothing("health", |section| health::read(section, None))
}

/// `[failover]`
pub fn failover() -> FailoverSettings {
    of_nothing("failover", failover::read)
}

fn of_nothing<T>(name: &'static str, read: impl Fn(&Section<'_>) -> T) -> T {
    read(&Reading::of_nothing().top(None).section(name))
}
