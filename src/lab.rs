//! A whole network in throw-away namespaces, to watch the real agent at work.
//!
//! [`isolate`] first, while the process has one thread; then [`play`] a scenario, or [`Network::build`]
//! one and do with it what you like. Integration tests do so in [`run_test_isolated`].

mod agent;
pub mod chance;
pub mod clock;
mod compass;
mod deaths;
mod error;
pub mod family;
mod flood;
mod flow;
mod happening;
pub mod internet;
mod judge;
pub mod lane;
mod leftovers;
mod lifeline;
mod lookups;
mod meter;
mod modem;
mod namespace;
mod nat;
mod netlink;
mod network;
mod noise;
mod play;
mod portal;
mod pump;
pub mod report;
pub mod scenario;
mod screen;
mod shell;
mod span;
mod stage;
mod stream;
mod sys;
mod talk;
mod tap;

pub use agent::this_program;
pub use deaths::Deaths;
pub use error::LabError;
pub use flow::{Fate, Flow};
pub use lookups::Lookups;
pub use namespace::{Namespace, isolate, run_test_isolated};
pub use network::{CLIENT, LAN, Network, UPLINKS, Wire};
pub use play::{Options, play};
pub use pump::Towards;
pub use screen::{Screen, list, machine_readable};
pub use shell::open as open_shell;
pub use stream::{Felt, PACE};
