//! The decisions. Pure: no clock, no socket, no task.

pub mod deadline;
pub mod input;
pub mod loss;
pub mod outage;
pub mod quality;
pub mod round;
pub mod schedule;
pub mod settings;
pub mod status;
pub mod target;
pub mod timer;
pub mod uplink;
pub mod window;
