//! The object `uplinkd`: its methods, and what they answer.

use super::blob::{Malformed, Writer};
use super::blobmsg::{Fields, Value, kind};
use super::frame::Code;
use crate::control::Request;
use crate::engine::command::Command;
use crate::units::UplinkName;

/// Where the object is found.
pub(super) const PATH: &str = "uplinkd";

/// Each method with its arguments and their types.
const METHODS: &[(&str, &[(&str, u8)])] = &[
    ("status", &[]),
    ("history", &[("since", kind::TEXT)]),
    ("switch", &[("uplink", kind::TEXT)]),
    ("auto", &[]),
    ("disable", &[("uplink", kind::TEXT)]),
    ("enable", &[("uplink", kind::TEXT)]),
    ("reload", &[]),
];

/// The methods as they are registered, for `ubus -v list`.
pub(super) fn write_signature(writer: &mut Writer) {
    for (method, arguments) in METHODS {
        writer.named(kind::TABLE, method, |writer| {
            for (name, kind) in *arguments {
                let kind = u32::from(*kind);
                writer.named(kind::INT32, name, |writer| writer.raw(&kind.to_be_bytes()));
            }
        });
    }
}

/// What a call asks for. Arguments that no method has are left alone: rpcd adds its own.
///
/// # Errors
/// With the status that says what is wrong with the call.
pub(super) fn request(method: &str, data: &[u8]) -> Result<Request, Code> {
    let arguments = Fields::of(data);
    let uplink = || uplink(&arguments);
    Ok(match method {
        "status" => Request::Status,
        "history" => Request::History {
            seconds: since(&arguments)?,
        },
        "switch" => Command::switch(uplink()?).into(),
        "auto" => Command::Auto {}.into(),
        "disable" => Command::disable(uplink()?).into(),
        "enable" => Command::enable(uplink()?).into(),
        "reload" => Request::Reload,
        _ => return Err(Code::MethodNotFound),
    })
}

impl From<Malformed> for Code {
    fn from(_: Malformed) -> Self {
        Self::InvalidArgument
    }
}

fn uplink(arguments: &Fields<'_>) -> Result<UplinkName, Code> {
    let name = arguments.get("uplink")?.and_then(Value::as_text);
    let name = name.and_then(|name| name.parse().ok());
    name.ok_or(Code::InvalidArgument)
}

/// A span such as `24h`, in seconds.
fn since(arguments: &Fields<'_>) -> Result<Option<u64>, Code> {
    let Some(value) = arguments.get("since")? else {
        return Ok(None);
    };
    let text = value.as_text().ok_or(Code::InvalidArgument)?;
    let span = humantime::parse_duration(text).map_err(|_| Code::InvalidArgument)?;
    Ok(Some(span.as_secs()))
}
