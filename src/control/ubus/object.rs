//! The object `uplinkd`: its methods, and what they answer.
//!
//! Commands are the subcommands of the command line with the arguments of these, so that a command is
//! defined once ([`Request`]); the queries stand here.

use clap::{ArgAction, Subcommand};
use serde_json::{Map, json};

use super::blob::{Malformed, Writer};
use super::blobmsg::{Fields, Value, kind};
use super::frame::Code;
use crate::control::Request;

/// Where the object is found.
pub(super) const PATH: &str = "uplinkd";

/// The most events that one answer has: a message of ubus has a megabyte at most.
const MOST_EVENTS: usize = 1_000;

/// A method with its arguments and their types.
type Method = (String, Vec<(String, u8)>);

/// The queries, and then the commands as clap knows them.
fn methods() -> Vec<Method> {
    let queries = [
        ("status".to_owned(), vec![]),
        ("history".to_owned(), vec![("since".to_owned(), kind::TEXT)]),
    ];
    let commands = Request::augment_subcommands(clap::Command::new(PATH));
    let commands = commands.get_subcommands().map(|command| {
        let arguments = command.get_arguments().map(|argument| {
            let is_switch = matches!(argument.get_action(), ArgAction::SetTrue);
            let kind = if is_switch { kind::INT8 } else { kind::TEXT };
            (argument.get_id().to_string(), kind)
        });
        (command.get_name().to_owned(), arguments.collect())
    });
    queries.into_iter().chain(commands).collect()
}

/// The methods as they are registered, for `ubus -v list`.
pub(super) fn write_signature(writer: &mut Writer) {
    for (method, arguments) in methods() {
        writer.named(kind::TABLE, &method, |writer| {
            for (name, kind) in arguments {
                let kind = u32::from(kind);
                writer.named(kind::INT32, &name, |writer| writer.raw(&kind.to_be_bytes()));
            }
        });
    }
}

/// The request of a call. Arguments that no method has are left alone: rpcd adds its own.
///
/// # Errors
/// With the status that says what is wrong with the call.
pub(super) fn request(method: &str, data: &[u8]) -> Result<Request, Code> {
    let methods = methods();
    let known = methods.iter().find(|(name, _)| name == method);
    let (_, known) = known.ok_or(Code::MethodNotFound)?;
    let mut arguments = Map::new();
    for field in Fields::of(data) {
        let (name, value) = field?;
        // The first of several counts.
        arguments.entry(name).or_insert_with(|| json(&value));
    }
    let request = if known.is_empty() {
        json!(method)
    } else {
        json!({ method: arguments })
    };
    let request = serde_json::from_value(request);
    let mut request = request.map_err(|_| Code::InvalidArgument)?;
    if let Request::History { newest, .. } = &mut request {
        *newest = Some(MOST_EVENTS);
    }
    Ok(request)
}

/// A value as JSON. No argument is a list or a table, so what is in one is left out.
fn json(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::Nothing => serde_json::Value::Null,
        Value::List(_) | Value::Table(_) => json!([]),
        Value::Text(text) => json!(text),
        Value::Truth(truth) => json!(truth),
        Value::Integer(number) => json!(number),
        Value::Real(number) => json!(number),
    }
}

impl From<Malformed> for Code {
    fn from(_: Malformed) -> Self {
        Self::InvalidArgument
    }
}
