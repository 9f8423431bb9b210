//! A whole network in throw-away namespaces, with the real agent in it.
//!
//! [`isolate`] first, while the process has one thread; then [`run_scenario`], or [`LabNetwork::build`]
//! and own tests on it. Integration tests do so in [`run_test_isolated`].
//!
//! Each file uses only files below it:
//!
//! ```text
//!   shell   run ── checks   svg                  a scenario, phase by phase; what came of it, and a picture
//!     └──────┼───────┐
//!            │   kill_test  drill_test  switch_test   acts that are tests of their own
//!            └───────┼──────────┘
//!                 testbed                        the network, the agent, and what is observed of both
//!                    │
//!   address_changes  agent  modem  meter  route_watch  machine_delay  bare_probe  long_flow_ends  incoming  flood  noise  portal
//!   quota  stalls
//!                    │                           threads and processes in the nodes
//!                 network ── pump ── tap ── flapping
//!                    │                           nodes and wires
//!   namespace  netlink  nat  output_filter  internet  inventory  sys  shutdown
//!                    │                           what a node is made of
//!   output ── report ── scenario                 what is configured, measured and shown
//!                    │
//!   event  stream  long_flow  lane               pure: measured values, impairments
//!                    │
//!   error  files  family  span  chance  clock
//! ```

mod address_changes;
mod agent;
mod bare_probe;
mod call;
pub mod chance;
mod checks;
pub mod clock;
mod download;
mod drill_test;
mod error;
mod event;
mod expected_report;
pub mod family;
mod files;
mod flapping;
mod flood;
mod incoming;
pub mod internet;
mod inventory;
mod kill_test;
pub mod lane;
mod long_flow;
mod long_flow_ends;
mod machine_delay;
mod meter;
mod modem;
mod namespace;
mod nat;
mod netlink;
mod network;
mod new_flows;
mod noise;
mod other_traffic;
mod output;
mod output_filter;
mod portal;
mod pump;
mod quota;
pub mod report;
mod route_watch;
mod run;
pub mod scenario;
mod shell;
mod shutdown;
mod span;
mod stalls;
mod stream;
mod svg;
mod switch_test;
mod sys;
mod tap;
mod testbed;

pub use agent::this_program;
pub use error::LabError;
pub use lane::Towards;
pub use long_flow::{FlowOutcome, LongFlow};
pub use namespace::{Namespace, isolate, run_test_isolated};
pub use network::{CLIENT, LAN, LabNetwork, UPLINKS, Wire};
pub use output::{LabOutput, Wrap, list, machine_readable};
pub use run::{LabOptions, run_scenario};
pub use shell::open as open_shell;
pub use stream::{ClientTraffic, PACE};
pub use svg::draw;
