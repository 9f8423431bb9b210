//! uplinkd keeps a router online when an internet uplink fails.
//!
//! ```text
//!  kernel events ─┐                                    ┌─> desired routes ─> reconcile ─> kernel
//!  probe outcomes ┼─> daemon: one loop, the only clock ┼─> probes to send ─> probers
//!  commands ──────┘        │            ^              └─> events ─────────> log, watchers
//!                          v            │
//!        engine: handle_input, handle_timeout, poll_action, poll_timeout
//! ```
//! Data flows one way. Everything that is measured becomes an [`engine::input::Input`]; the engine
//! turns inputs and time into a verdict on each uplink, a choice, and what the kernel should hold;
//! everything that happens is an [`engine::action::Action`]. The engine knows no clock, no socket and
//! no task: a month runs in a second, and what the lab and the tests run is what the router runs.
//!
//! Which module may import which; `tests/house/architecture.rs` holds the source to it:
//!
//! ```text
//!  main ──> cli ──> daemon ──> kernel ───> routing ──> units
//!            │        ├──────> probe ────> engine::{action, input}
//!            │        ├──────> control ──> engine::{command, event, status}, unix_socket
//!            │        ├──────> metrics ──> engine::{action, event, input, state, status}
//!            │        ├──────> web ──────> unix_socket
//!            │        ├──────> engine ───> routing
//!            │        └──────> config ───> engine::{budget, settings}, routing
//!            ├──> control (as a client), config, kernel (`check` looks at the machine)
//!            ├──> alert ────> config (where the log goes)
//!            └──> lab ──────> the program itself, in a network of its own; engine::score, kernel::netfilter
//! ```
//! - [`units`]: numbers with a unit, names with an identity.
//! - [`routing`]: routes and rules as they should be and as they are, and the way from one to the
//!   other. Pure.
//! - [`memory`], [`history`], [`choices`], [`allowances`], [`samples`]: what outlives a restart. [`state_file`]: how it is
//!   kept.
//! - [`report`]: what a history and samples amount to. Pure.
//! - [`engine`]: the decisions. Pure. [`replay`]: the same in virtual time.
//! - [`config`]: the only way to an engine's settings, from TOML, from UCI, or from mwan3's.
//! - [`kernel`], [`probe`]: the two sides of the machine, each unknown to the other.
//! - [`control`]: the requests that a running agent answers. [`web`]: a server of pages.
//!   [`unix_socket`]: a listener at a path, for both.
//! - [`metrics`]: what is counted, and its text for Prometheus. Pure.
//! - [`alert`]: the log.
//! - [`replay`]: the engine in virtual time; [`recorder`] keeps its inputs, and [`recording`]
//!   is the world that a file remembers.
//! - [`daemon`]: the loop.
//! - [`cli`]: the command line; `lab`: a whole network in throw-away namespaces.

pub mod alert;
pub mod allowances;
#[cfg(test)]
#[path = "../tests/support/cases.rs"]
mod cases;
pub mod choices;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod engine;
pub mod history;
pub mod kernel;
#[cfg(feature = "lab")]
pub mod lab;
pub mod memory;
pub mod metrics;
pub mod probe;
pub mod recorder;
#[cfg(feature = "replay")]
pub mod recording;
#[cfg(feature = "replay")]
pub mod replay;
pub mod report;
pub mod routing;
pub mod samples;
pub mod state_file;
pub mod units;
pub mod unix_socket;
pub mod web;
