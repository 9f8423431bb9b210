//! The decisions. Pure: no clock, no socket, no task.

pub mod input;
pub mod settings;
pub mod status;
