//! uplinkd keeps a router online when an internet uplink fails.

pub mod alert;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod engine;
pub mod kernel;
#[cfg(feature = "lab")]
pub mod lab;
pub mod probe;
pub mod replay;
pub mod routing;
pub mod units;
