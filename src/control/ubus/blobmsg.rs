//! Data: what calls, answers and events of ubus carry.
//!
//! Attributes whose identity is their type, and that have names within a table. They say what JSON
//! says: a truth value is a number of 8 bits, and `null` one without a type.

use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::units::json;

use super::blob::{Attribute, Attributes, Malformed, Writer, padded, text};

/// The types of data, as signatures name them.
pub(super) mod kind {
    pub(in super::super) const NOTHING: u8 = 0;
    pub(in super::super) const LIST: u8 = 1;
    pub(in super::super) const TABLE: u8 = 2;
    pub(in super::super) const TEXT: u8 = 3;
    pub(in super::super) const INT64: u8 = 4;
    pub(in super::super) const INT32: u8 = 5;
    pub(in super::super) const INT16: u8 = 6;
    pub(in super::super) const INT8: u8 = 7;
    pub(in super::super) const DOUBLE: u8 = 8;
}

/// A value.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// `null`
    Nothing,
    /// Values without names.
    List(Fields<'a>),
    /// Values with names.
    Table(Fields<'a>),
    /// A text.
    Text(&'a str),
    /// A truth value; on the wire a number of 8 bits is the same.
    Truth(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Real(f64),
}

impl<'a> Value<'a> {
    /// The text that it is, if it is one.
    pub fn as_text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Nothing
            | Self::List(_)
            | Self::Table(_)
            | Self::Truth(_)
            | Self::Integer(_)
            | Self::Real(_) => None,
        }
    }
}

/// The values of a table with their names, or those of a list. What they hold in turn is looked at
/// when it is read.
#[derive(Clone, Debug)]
pub struct Fields<'a>(Attributes<'a>);

impl<'a> Fields<'a> {
    /// What an attribute holds.
    pub fn of(payload: &'a [u8]) -> Self {
        Self(Attributes(payload))
    }

    /// The same, to be sent on.
    pub fn bytes(&self) -> &'a [u8] {
        self.0.0
    }

    /// The value of this name, the first of several.
    pub fn get(&self, wanted: &str) -> Result<Option<Value<'a>>, Malformed> {
        for field in self.clone() {
            let (name, value) = field?;
            if name == wanted {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(&'a str, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.and_then(field))
    }
}

fn field(attribute: Attribute<'_>) -> Result<(&str, Value<'_>), Malformed> {
    let (name, payload) = if attribute.has_name {
        split_name(attribute.payload)?
    } else {
        ("", attribute.payload)
    };
    Ok((name, value(attribute.id, payload)?))
}

fn split_name(payload: &[u8]) -> Result<(&str, &[u8]), Malformed> {
    const CUT_OFF: Malformed = Malformed("a name is cut off");
    let (length, _) = payload.split_first_chunk().ok_or(CUT_OFF)?;
    let end = 2 + usize::from(u16::from_be_bytes(*length)) + 1;
    let name = payload.get(2..end).ok_or(CUT_OFF)?;
    let rest = payload.get(padded(end)..).ok_or(CUT_OFF)?;
    Ok((text(name)?, rest))
}

fn value(id: u8, payload: &[u8]) -> Result<Value<'_>, Malformed> {
    Ok(match id {
        kind::NOTHING => Value::Nothing,
        kind::LIST => Value::List(Fields::of(payload)),
        kind::TABLE => Value::Table(Fields::of(payload)),
        kind::TEXT => Value::Text(text(payload)?),
        kind::INT64 => Value::Integer(i64::from_be_bytes(exact(payload)?)),
        kind::INT32 => Value::Integer(i32::from_be_bytes(exact(payload)?).into()),
        kind::INT16 => Value::Integer(i16::from_be_bytes(exact(payload)?).into()),
        kind::INT8 => Value::Truth(exact(payload)? != [0]),
        kind::DOUBLE => Value::Real(f64::from_be_bytes(exact(payload)?)),
        _ => return Err(Malformed("there is no such type")),
    })
}

fn exact<const N: usize>(payload: &[u8]) -> Result<[u8; N], Malformed> {
    let bytes = payload.try_into();
    bytes.map_err(|_| Malformed("a number has another length than its type"))
}

/// The fields of a value as those of a table, in the order of their names.
///
/// # Errors
/// If it has no fields.
pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut writer = Writer::default();
    json::untyped(value)?.deserialize_map(Inside(&mut writer))?;
    Ok(writer.into_bytes())
}

/// Writes the next value of a reader under a name.
struct Named<'a> {
    writer: &'a mut Writer,
    name: &'a str,
}

impl Named<'_> {
    fn put<T>(self, kind: u8, fill: impl FnOnce(&mut Writer) -> T) -> T {
        self.writer.named(kind, self.name, fill)
    }
}

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Named<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.put(kind::NOTHING, |_| ());
        Ok(())
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<(), E> {
        self.put(kind::INT8, |writer| writer.raw(&[truth.into()]));
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        match i32::try_from(number) {
            Ok(number) => self.put(kind::INT32, |writer| writer.raw(&number.to_be_bytes())),
            Err(_) => self.put(kind::INT64, |writer| writer.raw(&number.to_be_bytes())),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        // What is beyond the signed numbers is none that anything here counts.
        self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.put(kind::DOUBLE, |writer| writer.raw(&number.to_be_bytes()));
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.put(kind::TEXT, |writer| writer.raw_text(text));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        self.put(kind::LIST, |writer| Inside(writer).visit_seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<(), A::Error> {
        self.put(kind::TABLE, |writer| Inside(writer).visit_map(entries))
    }
}

/// Writes what a list or a table holds.
struct Inside<'a>(&'a mut Writer);

impl<'de> Visitor<'de> for Inside<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self(writer) = self;
        while let Some(()) = items.next_element_seed(Named { writer, name: "" })? {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Self(writer) = self;
        while let Some(name) = entries.next_key::<String>()? {
            let name = &name;
            entries.next_value_seed(Named { writer, name })?;
        }
        Ok(())
    }
}
