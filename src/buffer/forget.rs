//! The person to forget, and whether an event or a line is about that person.

use std::collections::BTreeMap;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::event::{Property, VisitorRules, identifier, is_no_value, key_named};
use crate::readers::Map;

/// The person to forget: the subscriber whom an MVPD knows by this ID, the visitor whom the programmer knows by it, or
/// whoever used this device, session or address.
#[derive(Debug, Clone)]
pub struct Forget {
    /// The property that has the ID.
    pub property: Property,
    pub id: String,
    /// The MVPD of the ID. `None` if the ID alone is enough.
    pub mvpd: Option<String>,
    /// The maps that may have read rejected lines or inbox rows. Only a line's own map knows what the line's keys mean.
    pub maps: BTreeMap<String, Arc<Map>>,
}

impl Forget {
    /// The property to search, the ID that it must have, and the MVPD of the ID.
    pub(super) fn wanted(&self) -> (Property, &str, Option<&str>) {
        (self.property, identifier(&self.id), self.mvpd.as_deref().map(identifier))
    }

    /// Whether an event with this ID and this MVPD belongs to the person. For an event without an MVPD, the ID is
    /// enough. Ignores white space, letters without a width, what a spreadsheet puts around an ID, the form of an
    /// IP address, and, as Analytics does, the case of an MVPD.
    pub fn is_of(&self, id: &str, mvpd: Option<&str>) -> bool {
        let (property, wanted_id, wanted_mvpd) = self.wanted();
        let is_other = |mvpd: &str| wanted_mvpd.is_some_and(|wanted| folded(mvpd) != folded(wanted));
        let address =
            |text| VisitorRules::default().address(text).filter(|_| property == Property::IpAddress);
        let is_same =
            identifier(id) == wanted_id || address(wanted_id).is_some_and(|one| address(id) == Some(one));
        is_same && !mvpd.is_some_and(|mvpd| !is_no_value(mvpd) && is_other(mvpd))
    }

    /// A text that every spelling of the ID contains; empty if there is none.
    pub fn needle(&self) -> &str {
        let (property, id, _) = self.wanted();
        if property == Property::IpAddress { "" } else { id }
    }

    /// Whether a rejected line that the map `map` read is about the person. If the map finds no MVPD, the ID is enough.
    pub fn concerns_by(&self, map: &str, text: &str) -> bool {
        let value = |property| self.maps.get(map).and_then(|map| map.property(property, text));
        let has_id = || value(self.property).is_some_and(|id| self.by_id_alone().is_of(&id, None));
        (self.by_id_alone().concerns(text) || has_id())
            && self.is_of(&self.id, value(Property::Mvpd).as_deref())
    }

    fn by_id_alone(&self) -> Forget {
        Forget { mvpd: None, maps: BTreeMap::new(), ..self.clone() }
    }

    /// Whether an inbox row is about the person. If a map finds the person's MVPD in it, the ID is enough. If the
    /// row lacks the property, or JSON readers round its number, searches the text of the row with `concerns`.
    pub(super) fn is_of_row(&self, row: &str) -> bool {
        let fields: Value = serde_json::from_str(row).unwrap_or_default();
        let text = |property: Property| match fields.get(property.name())? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) if !number.is_f64() => Some(number.to_string()),
            _ => None,
        };
        let mvpd = text(Property::Mvpd).filter(|mvpd| !mvpd.is_empty());
        let mut named = self.maps.values().filter_map(|map| map.property(Property::Mvpd, row));
        if self.mvpd.as_ref().is_some_and(|mvpd| named.any(|named| folded(&named) == folded(mvpd))) {
            return self.by_id_alone().is_of_row(row);
        }
        match text(self.wanted().0) {
            Some(id) => self.is_of(&id, mvpd.as_deref()),
            None => self.concerns(row),
        }
    }

    /// Whether a line that is not stored as an event is about the person. The line may be malformed, so in
    /// doubt the answer is yes: the ID anywhere in the line is enough, unless the line names another MVPD.
    pub fn concerns(&self, text: &str) -> bool {
        let (_, id, mvpd) = self.wanted();
        if text.contains(char::REPLACEMENT_CHARACTER) {
            // Letters of the ID or of the MVPD may be lost, so only the ID's ASCII letters are compared.
            return without_other_letters(&text.replace('\\', "")).contains(&without_other_letters(id));
        }
        let (mut values, mut lines) = (Vec::new(), Vec::new());
        let collect = |json: Value| {
            collect_values(&json, &mut values);
            collect_lines(&json, &mut lines);
        };
        let is_json = serde_json::from_str(text).map(collect).is_ok();
        // JSON inside other JSON, or JSON that is cut off, has backslashes before characters. CSV doubles its quotes.
        let plain = with_small_digits(text).replace('\\', "");
        let has = |value: &str| {
            let bare = value.replace('\\', "");
            let escaped = |unit: u16| match char::from_u32(unit.into()) {
                Some(character) if character.is_ascii() => character.to_string(),
                _ => format!("u{unit:04x}"),
            };
            let escaped: String = bare.encode_utf16().map(escaped).collect();
            // A JSON reader may round a long number, so the text is searched for its digits, too, in any spelling.
            let number = digits(value);
            let is_end = |letter: char| !letter.is_ascii_alphanumeric() && !".+-".contains(letter);
            values.iter().any(|found| identifier(found) == value)
                || number.is_some() && plain.split(is_end).any(|part| digits(part) == number)
                || lines.iter().any(|line| has_word(line, &bare))
                || plain.contains(&format!("\"{bare}\""))
                || plain.contains(&format!("\"{escaped}\""))
                || (!is_json && (plain.contains(&bare) || plain.contains(&bare.replace('"', "\"\""))))
        };
        let folded_plain = plain.to_lowercase();
        let has_mvpd = |mvpd: &str| {
            has(mvpd)
                || values.iter().any(|found| folded(found) == folded(mvpd))
                || folded_plain.contains(&format!("\"{}\"", folded(mvpd)))
        };
        let names_one = |(at, key): (usize, &str)| {
            let value = folded_plain[at + key.len()..].trim_start().strip_prefix(':').map(str::trim_start);
            let value = value.map(|value| value.trim_start_matches('"').split(['"', ',', '}']).next());
            value.flatten().is_some_and(|value| !value.trim().is_empty() && !is_no_value(value))
        };
        let names_another =
            mvpd.is_some_and(|mvpd| !has_mvpd(mvpd) && folded_plain.match_indices("\"mvpd\"").any(names_one));
        has(id) && !names_another
    }
}

/// The digits of a whole number, which may have an exponent or a fraction of zeros: `12e3`, `1.20E+4`, `12000.0`.
fn digits(number: &str) -> Option<String> {
    let (digits, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let exponent = exponent.strip_prefix('+').unwrap_or(exponent).parse::<usize>().ok()?;
    let fraction = fraction.trim_end_matches('0');
    // No ID has more than 128 digits.
    let zeros = exponent.checked_sub(fraction.len()).filter(|zeros| *zeros <= 128)?;
    let is_number =
        !whole.is_empty() && [whole, fraction].concat().bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| [whole, fraction, &"0".repeat(zeros)].concat())
}

/// An MVPD for comparison: spellings that differ in case are one, as in Analytics.
fn folded(mvpd: &str) -> String {
    identifier(mvpd).to_lowercase()
}

/// The text with one mark in place of each run of letters that are not ASCII.
fn without_other_letters(text: &str) -> String {
    let mut left = String::new();
    for letter in text.chars() {
        if letter.is_ascii() {
            left.push(letter);
        } else if !left.ends_with(char::REPLACEMENT_CHARACTER) {
            left.push(char::REPLACEMENT_CHARACTER);
        }
    }
    left
}

/// The text with lower-case hexadecimal digits in its escapes, as in `\u00e9`.
fn with_small_digits(text: &str) -> String {
    let mut parts = text.split("\\u");
    let mut small = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(4).unwrap_or(("", part));
        small.push_str("\\u");
        small.push_str(&digits.to_ascii_lowercase());
        small.push_str(rest);
    }
    small
}

/// Collects the texts of members that are no keys of an event, if they look like lines of a program: with pairs of names
/// and values, in any spelling. Escapes of URLs are undone.
fn collect_lines(json: &Value, lines: &mut Vec<String>) {
    match json {
        Value::String(text) if text.contains([':', '=', '\'']) => {
            let plain = text.replace('\\', "");
            lines.push(percent_decode_str(&plain).decode_utf8_lossy().into_owned());
            lines.push(plain);
        }
        Value::Array(items) => items.iter().for_each(|item| collect_lines(item, lines)),
        Value::Object(fields) => {
            let others = fields.iter().filter(|(name, _)| key_named(name).is_none());
            others.for_each(|(_, field)| collect_lines(field, lines));
        }
        _ => {}
    }
}

/// Whether a text has this word, with no letter or digit right beside it.
fn has_word(text: &str, word: &str) -> bool {
    let is_end = |letter: Option<char>| letter.is_none_or(|letter| !letter.is_alphanumeric());
    text.match_indices(word).any(|(at, _)| {
        is_end(text[..at].chars().next_back()) && is_end(text[at + word.len()..].chars().next())
    })
}

/// Collects the texts and numbers of a JSON value, also of JSON inside its texts (bodies, wrapped lines).
fn collect_values(json: &Value, values: &mut Vec<String>) {
    match json {
        Value::String(text) => {
            values.push(text.clone());
            if text.trim_start().starts_with(['{', '['])
                && let Ok(inside) = serde_json::from_str(text)
            {
                collect_values(&inside, values);
            }
        }
        Value::Number(number) => values.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| collect_values(item, values)),
        Value::Object(fields) => fields.values().for_each(|field| collect_values(field, values)),
        Value::Null | Value::Bool(_) => {}
    }
}
