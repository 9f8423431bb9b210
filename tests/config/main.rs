//! What becomes a configuration, from each of its forms, and what is refused.

mod import;
mod messages;
mod reading;
mod sample;
mod uci;
