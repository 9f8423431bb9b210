//! A whole network in throw-away namespaces, to watch the real agent at work.

pub mod chance;
pub mod clock;
mod error;
pub mod internet;
pub mod lane;
mod lifeline;
mod namespace;
mod nat;
mod netlink;
mod network;
mod pump;
mod span;
mod sys;
mod tap;

pub use error::LabError;
pub use namespace::{Namespace, isolate, run_test_isolated};
pub use network::{CLIENT, LAN, Network, UPLINKS, Wire};
pub use pump::Towards;
