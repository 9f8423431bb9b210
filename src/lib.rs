//! uplinkd keeps a router online when an internet uplink fails.

pub mod cli;
pub mod config;
pub mod control;
pub mod engine;
pub mod routing;
pub mod units;
