//! What people and machines may ask of a running agent, whatever way they come.
//!
//! On the socket each message is one line of JSON: a [`Request`] in, a [`Response`] out. On ubus a
//! request is a method, and the response its data.

pub mod client;
mod conversation;
pub mod socket;
pub mod ubus;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tracing::debug;

use crate::engine::command::{Caller, Command};
use crate::engine::event::EventRecord;
use crate::engine::status::Status;

/// A question or a wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// The status, once.
    Status,
    /// The status now, then every event as it happens, each followed by the status after it.
    Watch,
    /// A command of an operator.
    Command(Command),
    /// Read the configuration again.
    Reload,
    /// The events that happened and are not in the history's files yet.
    Waiting,
    /// What happened, as far as it is kept.
    History {
        /// Only of so many seconds until now.
        seconds: Option<u64>,
    },
}

impl From<Command> for Request {
    fn from(command: Command) -> Self {
        Self::Command(command)
    }
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
    /// It is not, since there is nothing of that name.
    NotFound(String),
    /// Events that are not written yet, oldest first.
    Waiting(Vec<EventRecord>),
    /// The newest events, oldest first.
    History(Vec<EventRecord>),
}

impl Response {
    fn to_line(&self) -> Arc<str> {
        let mut line = serde_json::to_string(self).unwrap_or_else(|error| {
            // Only a map whose keys are no texts or a failing `Serialize` could bring us here.
            format!("{{\"refused\":\"the answer cannot be written: {error}\"}}")
        });
        line.push('\n');
        line.into()
    }
}

/// A request and the way back to whoever made it.
#[derive(Debug)]
pub struct Call {
    /// What is wanted.
    pub request: Request,
    /// Who wants it.
    pub by: Caller,
    lines: mpsc::Sender<Arc<str>>,
}

impl Call {
    /// Answers. Never waits; a client that is gone is no error.
    pub fn answer(self, response: &Response) {
        if self.lines.try_send(response.to_line()).is_err() {
            debug!(request = ?self.request, "control client left before its answer");
        }
    }
}
