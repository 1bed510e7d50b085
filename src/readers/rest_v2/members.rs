//! Reads the objects of an exchange. Loggers spell the names of members in different ways: `started_at`,
//! `startedAt`, `StartedAt`. A member that occurs twice, in any spelling, is an error.

use serde::de::value::StrDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::json::Text;

/// Parses a document whose outermost object may spell its names in any way.
pub(super) fn parse<'de, T: Deserialize<'de>>(text: &'de str) -> serde_json::Result<T> {
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = in_any_spelling(&mut json)?;
    json.end()?;
    Ok(parsed)
}

/// Reads an object, or null, whose names may be spelled in any way.
pub(super) fn in_any_spelling<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    T::deserialize(AnySpelling(deserializer))
}

struct AnySpelling<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for AnySpelling<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_option(Members { names: &[], visitor })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, names, Members { names, visitor })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Passes an object to its visitor. Each name gets the spelling that the visitor knows.
struct Members<V> {
    names: &'static [&'static str],
    visitor: V,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Members<V> {
    type Value = V::Value;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.visitor.expecting(out)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(AnySpelling(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_seq(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(KnownNames { names: self.names, map })
    }
}

struct KnownNames<A> {
    names: &'static [&'static str],
    map: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for KnownNames<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some(Text(name)) = self.map.next_key()? else { return Ok(None) };
        let name = name.unwrap_or_default();
        let exactly = self.names.iter().find(|known| name == **known);
        let known = exactly.or_else(|| self.names.iter().find(|known| is_same(&name, known)));
        seed.deserialize(StrDeserializer::<A::Error>::new(known.copied().unwrap_or(&name))).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// Whether this name means the known member, whatever its spelling. Go writes `Header` for the headers.
pub(in crate::readers) fn is_same(name: &str, known: &str) -> bool {
    letters(name).eq(letters(known)) || known == "headers" && letters(name).eq(*b"header")
}

/// The letters of a name in lower case, without the characters that join its words.
fn letters(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(|byte| !matches!(byte, b'_' | b'-')).map(|byte| byte.to_ascii_lowercase())
}
