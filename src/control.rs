//! The requests that a running agent answers, by socket and by ubus.
//!
//! On the socket each message is one line of JSON: a [`Request`] in, a [`Response`] out. On ubus a
//! request is a method, and the response its data.

pub mod client;
mod conversation;
mod running;
pub mod socket;
pub mod ubus;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tracing::debug;

use crate::engine::command::{Caller, Command, CommandRefusal};
use crate::engine::event::record::EventRecord;
use crate::engine::status::Status;

/// A question or a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// The status, once.
    Status,
    /// The status now, then every event as it happens, each followed by the status after it.
    Watch,
    /// What happened, as far as it is kept.
    History {
        /// Only within this time until now.
        #[serde(default, with = "span_text")]
        since: Option<Duration>,
        /// At most so many, the newest.
        #[serde(default)]
        newest: Option<usize>,
    },
    /// What was measured, as far as it is kept.
    Samples,
    /// What was measured in the last day, as lines of text.
    Day,
    /// The status in the form of mwan3.
    Mwan3 {
        /// Only this part of it: `interfaces`, `connected` or `policies`.
        #[serde(default)]
        section: Option<String>,
        /// Only this uplink.
        #[serde(default)]
        interface: Option<String>,
    },
    /// Take over a changed configuration unless it has a mistake
    Reload,
    /// What an operator chooses by hand.
    #[serde(untagged)]
    Command(Command),
}

/// A span such as `24h`.
mod span_text {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "the form that serde asks for")]
    pub(super) fn serialize<S: Serializer>(
        span: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = span.map(|span| humantime::format_duration(span).to_string());
        text.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        source: D,
    ) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(source)?;
        let span = text.as_deref().map(humantime::parse_duration).transpose();
        span.map_err(D::Error::custom)
    }
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
    /// The command is followed; the text says what that means now.
    Done(String),
    /// It is not, and why.
    Refused(String),
    /// It is not, since there is nothing of that name.
    NotFound(String),
    /// The newest events, oldest first.
    History(Vec<EventRecord>),
    /// The samples, as `samples::file` writes them as text, or those of a day as `samples::lines` does.
    Samples(String),
    /// The status in the form of mwan3.
    Mwan3(serde_json::Value),
}

impl From<CommandRefusal> for Response {
    fn from(refusal: CommandRefusal) -> Self {
        let why = refusal.to_string();
        match refusal {
            CommandRefusal::NoSuchUplink { .. } => Self::NotFound(why),
            CommandRefusal::Unusable { .. }
            | CommandRefusal::Last(_)
            | CommandRefusal::LastHealthy { .. }
            | CommandRefusal::Pinned(_)
            | CommandRefusal::NoDrill { .. }
            | CommandRefusal::NoAllowance(_)
            | CommandRefusal::Drained(_)
            | CommandRefusal::NotRemembered(_) => Self::Refused(why),
        }
    }
}

/// A response, and its line as soon as one is needed: many watchers get the same.
#[derive(Debug)]
pub struct Answer {
    response: Response,
    line: OnceLock<Arc<str>>,
}

impl Answer {
    fn new(response: Response) -> Arc<Self> {
        Arc::new(Self {
            response,
            line: OnceLock::new(),
        })
    }

    fn line(&self) -> &str {
        self.line.get_or_init(|| self.response.to_line())
    }
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

/// A request and the way back to its client.
#[derive(Debug)]
pub struct Call {
    /// What is wanted.
    pub request: Request,
    /// Who wants it.
    pub by: Caller,
    answers: mpsc::Sender<Arc<Answer>>,
}

impl Call {
    /// Waits until the client has left, where that is looked for: for the result of a drill.
    pub async fn gone(&self) {
        self.answers.closed().await;
    }

    /// Answers. Never waits; a client that is gone is no error.
    pub fn answer(self, response: Response) {
        if self.answers.try_send(Answer::new(response)).is_err() {
            debug!(request = ?self.request, "control client left before its answer");
        }
    }
}
