//! What people and machines may ask of a running agent, whatever way they come.
//!
//! On the socket each message is one line of JSON: a [`Request`] in, a [`Response`] out. On ubus a
//! request is a method, and the response its data.

pub mod client;
mod conversation;
pub mod socket;
pub mod ubus;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tracing::debug;

use crate::engine::input::Command;
use crate::engine::status::{EventRecord, Status};
use crate::units::UplinkName;

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
    /// Maintenance of an uplink whose established flows may go on until they end, or for so long.
    Drain {
        /// Which uplink.
        uplink: UplinkName,
        /// How long they may take.
        limit: Duration,
    },
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

/// Who made a request, as people know them: a user of this machine, or the bus it came by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller(String);

impl Caller {
    /// Somebody of this name.
    pub fn named(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The user of this number: by name if `passwd`, a text in the form of passwd(5), has one.
    pub fn user(uid: u32, passwd: &str) -> Self {
        let name = passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, _, number) = (fields.next()?, fields.next()?, fields.next()?);
            (number.parse() == Ok(uid) && !name.is_empty()).then_some(name)
        });
        name.map_or_else(|| Self(format!("uid {uid}")), Self::named)
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_known_by_name_or_else_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/ash\nbroken\n:x:7:7::/:\nanna:x:1000:100::/:\n";
        let user = |uid| Caller::user(uid, passwd).to_string();
        assert_eq!(user(0), "root");
        assert_eq!(user(1000), "anna");
        assert_eq!(user(7), "uid 7");
        assert_eq!(user(1), "uid 1");
        assert_eq!(Caller::user(0, "").to_string(), "uid 0");
    }
}
