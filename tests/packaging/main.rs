//! What is installed beside the program.

#[path = "../support/machine.rs"]
mod machine;

mod dashboard;
mod hooks;
mod metrics;
mod openwrt;
