//! What becomes a configuration, from each of its forms, and what is refused.

#[path = "../support/cases.rs"]
mod cases;
#[path = "../support/extent.rs"]
mod extent;

mod import;
mod messages;
mod reading;
mod sample;
mod uci;
