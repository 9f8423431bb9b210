//! The engine's guarantees, in virtual time.

#![cfg(feature = "replay")]

#[path = "../support/cases.rs"]
mod cases;
#[path = "../support/extent.rs"]
mod extent;
#[path = "../support/lossy.rs"]
mod lossy;
#[path = "../support/mod.rs"]
mod support;

mod allowance;
mod blame;
mod causes;
mod changes;
mod corpus;
mod drain;
mod drill;
mod earlier;
mod failover;
mod families;
mod groups;
mod hours;
mod kept_flows;
mod machine;
mod memory;
mod next_hops;
mod path_trace;
mod planned;
mod prefixes;
mod properties;
mod replay;
mod schedule;
mod soft;
mod stability;
mod stale_flows;
mod standby;
mod status;
mod traces;
mod traffic;
mod verdicts;
