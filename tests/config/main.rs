//! What becomes a configuration, from each of its forms, and what is refused.

#[path = "../support/cases.rs"]
mod cases;

mod import;
mod messages;
mod reading;
mod sample;
mod uci;
