//! The one reader and the one writer of JSON. Each further kind of either that serde_json has, for slices, for files
//! and for values, is another copy of what reads or writes every type: 60 kB of a router's binary.

use serde::Serialize;
use serde::de::{DeserializeOwned, Error};
use serde_json::Value;

/// Reads a value from the bytes of a file or a socket.
///
/// # Errors
/// If they are not UTF-8, or no such value.
pub fn read<T: DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    let text = std::str::from_utf8(text).map_err(serde_json::Error::custom)?;
    serde_json::from_str(text)
}

/// What a value of no type is as one of a type.
///
/// # Errors
/// If it is none.
pub fn typed<T: DeserializeOwned>(value: &Value) -> serde_json::Result<T> {
    serde_json::from_str(&serde_json::to_string(value)?)
}

/// A value as one of no type.
///
/// # Errors
/// If it has keys that are no text, or fails to be written.
pub fn untyped(value: &impl Serialize) -> serde_json::Result<Value> {
    serde_json::from_str(&serde_json::to_string(value)?)
}
