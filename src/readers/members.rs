//! Reads the members of a JSON object, in the order and the spelling of the source. A name may occur twice.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::event::RawValue as Value;

/// The members of an object: the JSON text of each name and value.
#[derive(Default)]
pub(super) struct Members<'a>(pub(super) Vec<(&'a str, &'a str)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'a>, D::Error> {
        deserializer.deserialize_map(Members::default())
    }
}

impl<'de: 'a, 'a> Visitor<'de> for Members<'a> {
    type Value = Members<'a>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Members<'a>, A::Error> {
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            self.0.push((key.get(), value.get()));
        }
        Ok(self)
    }
}

/// The text of a JSON string, without escapes. It is an error if the string has half a surrogate pair (a lone
/// `\ud800` to `\udfff`), which programs write if they cut a text in the middle of a pair.
pub(super) fn unquoted(json: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    if memchr::memchr(b'\\', json.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(&json[1..json.len() - 1]));
    }
    serde_json::from_str(json).map(Cow::Owned)
}

/// The value that a JSON text writes.
pub(super) fn raw_value(json: &str) -> Value<'_> {
    match json.as_bytes().first() {
        Some(b'"') => unquoted(json).map_or(Value::Half, Value::Text),
        Some(b'{' | b'[') => Value::Nested,
        Some(b't') => Value::Flag(true),
        Some(b'f') => Value::Flag(false),
        Some(b'n') | None => Value::Absent,
        Some(_) => Value::Number(json),
    }
}
