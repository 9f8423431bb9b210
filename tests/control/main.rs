//! The command line, the control socket and ubus, as their clients meet them.

#[path = "../support/agent.rs"]
mod agent;
#[path = "../support/bare_exchange.rs"]
mod bare_exchange;
#[path = "../support/bus.rs"]
mod bus;
#[path = "../support/extent.rs"]
mod extent;

mod cli;
mod mwan3;
mod socket;
mod top;
mod ubus;
mod ubus_wire;
