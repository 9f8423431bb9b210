//! What people and machines may ask of a running agent, whatever way they come.
//!
//! On the socket each message is one line of JSON: a [`Request`] in, a [`Response`] out.

use serde::{Deserialize, Serialize};

use crate::engine::input::Command;
use crate::engine::status::{EventRecord, Status};

/// A question or a wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// The status, once.
    Status,
    /// The status now, then every event as it happens, each followed by the status after it.
    Watch,
    /// A person's wish.
    Command(Command),
    /// Read the configuration again.
    Reload,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// The status.
    Status(Box<Status>),
    /// Something happened.
    Event(Box<EventRecord>),
    /// The wish is granted; the text says what that means now.
    Done(String),
    /// It is not, and why.
    Refused(String),
}
