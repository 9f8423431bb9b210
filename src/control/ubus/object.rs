//! The object `uplinkd`: its methods, and what they answer.
//!
//! A call is a [`Request`] of the method's name, with the arguments as its fields.

use serde_json::{Map, json};

use super::blob::{Malformed, Writer};
use super::blobmsg::{Fields, Value, kind};
use super::frame::Code;
use crate::control::Request;
use crate::engine::command::FORMS;
use crate::engine::command::form::{Argument, ArgumentForm};
use crate::units::json;

/// Where the object is found.
pub(super) const PATH: &str = "uplinkd";

/// Where the status in the form of mwan3 is found.
pub(super) const MWAN3_PATH: &str = "mwan3";

/// The most events that one answer has: a message of ubus has a megabyte at most.
const MOST_EVENTS: usize = 1_000;

/// The methods that are no commands to the engine, with their arguments.
const OTHERS: &[(&str, &[(&str, u8)])] = &[
    ("status", &[]),
    ("history", &[("since", kind::TEXT)]),
    ("day", &[]),
    ("reload", &[]),
];

/// The one method of mwan3's object.
const MWAN3_STATUS: &str = "status";
const MWAN3_ARGUMENTS: &[(&str, u8)] = &[("section", kind::TEXT), ("interface", kind::TEXT)];

/// All methods with their arguments and the types of these.
fn methods() -> impl Iterator<Item = (&'static str, Vec<(&'static str, u8)>)> {
    let others = OTHERS
        .iter()
        .map(|(name, arguments)| (*name, arguments.to_vec()));
    let commands = FORMS.iter().map(|form| {
        let arguments = form.arguments.iter();
        (
            form.name,
            arguments
                .map(|argument| (argument.name, type_of(argument)))
                .collect(),
        )
    });
    others.chain(commands)
}

fn type_of(argument: &Argument) -> u8 {
    match argument.form {
        ArgumentForm::Switch => kind::INT8,
        ArgumentForm::Valued(_)
        | ArgumentForm::Dashed(_)
        | ArgumentForm::Optional { .. }
        | ArgumentForm::Word(_)
        | ArgumentForm::OptionalWord(_) => kind::TEXT,
    }
}

/// The methods as they are registered, for `ubus -v list`.
pub(super) fn write_signature(writer: &mut Writer) {
    for (method, arguments) in methods() {
        write_method(writer, method, &arguments);
    }
}

/// The same of mwan3's object.
pub(super) fn write_mwan3_signature(writer: &mut Writer) {
    write_method(writer, MWAN3_STATUS, MWAN3_ARGUMENTS);
}

fn write_method(writer: &mut Writer, method: &str, arguments: &[(&'static str, u8)]) {
    writer.named(kind::TABLE, method, |writer| {
        for (name, kind) in arguments {
            let kind = u32::from(*kind);
            writer.named(kind::INT32, name, |writer| writer.raw(&kind.to_be_bytes()));
        }
    });
}

/// The request of a call. Arguments that no method has are left alone: rpcd adds its own.
///
/// # Errors
/// With the status that says what is wrong with the call.
pub(super) fn request(method: &str, data: &[u8]) -> Result<Request, Code> {
    let known = methods().find(|(name, _)| *name == method);
    let (_, known) = known.ok_or(Code::MethodNotFound)?;
    let arguments = arguments(data)?;
    let request = if known.is_empty() {
        json!(method)
    } else {
        json!({ method: arguments })
    };
    let request = json::typed(&request);
    let mut request = request.map_err(|_| Code::InvalidArgument)?;
    if let Request::History { newest, .. } = &mut request {
        *newest = Some(MOST_EVENTS);
    }
    Ok(request)
}

/// The request of a call to mwan3's object.
///
/// # Errors
/// With the status that says what is wrong with the call.
pub(super) fn mwan3_request(method: &str, data: &[u8]) -> Result<Request, Code> {
    if method != MWAN3_STATUS {
        return Err(Code::MethodNotFound);
    }
    let request = json::typed(&json!({ "mwan3": arguments(data)? }));
    request.map_err(|_| Code::InvalidArgument)
}

fn arguments(data: &[u8]) -> Result<Map<String, serde_json::Value>, Code> {
    let mut arguments = Map::new();
    for field in Fields::of(data) {
        let (name, value) = field?;
        // The first of several counts.
        arguments.entry(name).or_insert_with(|| json(&value));
    }
    Ok(arguments)
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
