//! Reads JSON values as logs, archives and servers write them, which is not always as documented.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;

use super::bad_exchange::{HAS_EXPONENT, HAS_HALF, HAS_LISTS, IS_FLOAT, IS_TWICE};
use super::members::is_empty_list;
use crate::readers::members::{Members, unquoted};

/// A text, borrowed if possible. A number keeps its digits as written, a flag becomes a text, a list is joined as
/// HTTP joins repeated headers, and null and objects count as absent.
#[derive(Debug, Default)]
pub(super) struct Text<'a>(pub Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::of(<&'de RawValue>::deserialize(deserializer)?.get()).map_err(D::Error::custom)
    }
}

impl<'a> Text<'a> {
    /// The text of a JSON value, or one of `bad_exchange::WRONG_TEXTS`.
    pub(super) fn of(json: &'a str) -> Result<Text<'a>, &'static str> {
        if !json.starts_with('[') {
            return item(json).map(Text);
        }
        let texts = items(json)?;
        Ok(Text((!texts.is_empty()).then(|| texts.join(", ").into())))
    }

    /// A text that goes into a fingerprint. Refuses a list of different values, and a number with a fraction or of more
    /// than 64 bits: earlier releases read it as a float, so with its own digits the exchange would count once more.
    pub(super) fn of_fingerprint(json: &'a str) -> Result<Text<'a>, &'static str> {
        let is_float =
            json.parse::<f64>().is_ok() && json.parse::<u64>().is_err() && json.parse::<i64>().is_err();
        if !is_float && json.starts_with('[') {
            let mut texts = items(json)?;
            texts.dedup();
            // Go writes a header as the list of its values. Of two values, either may be right.
            return if texts.len() > 1 { Err(IS_TWICE) } else { Ok(Text(texts.pop())) };
        }
        if is_float { Err(IS_FLOAT) } else { Text::of(json) }
    }
}

fn items(json: &str) -> Result<Vec<Cow<'_, str>>, &'static str> {
    let items: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
    items.into_iter().filter_map(|it| item(it.get()).transpose()).collect()
}

fn item(json: &str) -> Result<Option<Cow<'_, str>>, &'static str> {
    match json.as_bytes() {
        [b'"', ..] => unquoted(json).map(Some).map_err(|_| HAS_HALF),
        [b'{' | b'n', ..] => Ok(None),
        [b'[', ..] => Err(HAS_LISTS),
        [b'0'..=b'9' | b'-', ..] if json.contains(['e', 'E']) => Err(HAS_EXPONENT),
        _ => Ok(Some(json.into())),
    }
}

/// Reads a text without white space around it. An empty text becomes `None`.
pub(super) fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let Text(text) = Text::deserialize(deserializer)?;
    Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
}

/// Reads one text as it is, as a key of an event is read. Nobody knows which text of a list is meant, so a list of several
/// becomes `None`, like a blank text.
pub(super) fn one_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let json = <&'de RawValue>::deserialize(deserializer)?.get();
    let texts =
        if json.starts_with('[') { items(json) } else { item(json).map(|text| text.into_iter().collect()) };
    let mut texts = texts.map_err(D::Error::custom)?;
    texts.dedup();
    let one = texts.pop().filter(|text| texts.is_empty() && !text.trim().is_empty());
    Ok(one.map(Cow::into_owned))
}

/// A number, which JSON may have as a text.
pub(super) fn number(json: &str) -> Option<f64> {
    json.trim_matches('"').trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// Reads milliseconds since the Unix epoch, from a number or a text. Anything else becomes `None`.
pub(super) fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(millis_of(<&'de RawValue>::deserialize(deserializer)?.get()))
}

pub(super) fn millis_of(json: &str) -> Option<i64> {
    // From 2000, because seconds that are read as milliseconds give an earlier year, to 2262, the last of `Instant`.
    let known = 946_684_800_000.0..=(i64::MAX / 1_000_000) as f64;
    number(json).filter(|ms| ms.fract() == 0.0 && known.contains(ms)).map(|ms| ms as i64)
}

/// The members of an object, in their order. An empty list counts as an empty object. Anything else is an error, and so
/// is a member that occurs twice, because either value may be right.
pub(super) struct Entries<'a>(pub Vec<(String, &'a str)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&'de RawValue>::deserialize(deserializer)?.get();
        let json = if is_empty_list(json) { "{}" } else { json };
        let Members(members) = serde_json::from_str(json).map_err(D::Error::custom)?;
        let mut names = HashSet::new();
        let entry = |(name, value)| {
            let name = unquoted(name)?.into_owned();
            if !names.insert(name.clone()) {
                return Err(Error::custom(IS_TWICE));
            }
            Ok((name, value))
        };
        let entries: serde_json::Result<_> = members.into_iter().map(entry).collect();
        entries.map(Entries).map_err(D::Error::custom)
    }
}
