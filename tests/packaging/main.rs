//! What is installed beside the program.

#[path = "../support/machine.rs"]
mod machine;

mod collector;
mod dashboard;
mod hooks;
mod luci;
mod metrics;
mod openwrt;
