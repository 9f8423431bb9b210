//! uplinkd keeps a router online when an internet uplink fails.

pub mod control;
pub mod engine;
#[cfg(feature = "lab")]
pub mod lab;
pub mod routing;
pub mod units;
