//! Reads the keys and values of a line, in any format, into an event.

use std::borrow::Cow;

use super::error::EventError;
use super::viewer::{IDENTIFIERS_OF_VIEWER, is_no_value, is_spoilt_text};
use super::{EventKind, Instant, PassEvent, Properties, Property, RequestorId};
use crate::harmless::clip;

/// The largest count of one event. A source may sum up an hour; a larger number is from a wrong column.
pub const COUNT_MAX: u32 = 1_000_000;
/// The longest `event_id`, in characters.
pub const EVENT_ID_CHARS_MAX: usize = 128;
/// The earliest event, 2000-01-01T00:00:00Z. An earlier instant was written in a wrong unit.
pub const EARLIEST_UNIX_SECONDS: i64 = 946_684_800;

/// The latest `occurred_at` that is accepted.
#[derive(Debug, Clone, Copy)]
pub struct TimeBounds {
    /// `now` plus the allowed skew.
    pub latest: Instant,
    /// The current time, which messages show.
    pub now: Instant,
}

/// A value as its source wrote it.
#[derive(Debug, Clone, PartialEq)]
pub enum RawValue<'a> {
    /// `null`, or an empty text.
    Absent,
    Text(Cow<'a, str>),
    /// A number, in the digits of the source.
    Number(&'a str),
    Flag(bool),
    /// An object or a list. No property takes these.
    Nested,
    /// A text with half a surrogate pair. No key of an event takes it, as different texts would become the same one.
    Half,
}

/// An event while it is read: `set` takes its keys in any order, then [`Draft::finish`] makes the event.
#[derive(Debug, Default)]
pub struct Draft {
    occurred_at: Option<Instant>,
    kind: Option<EventKind>,
    requestor_id: Option<RequestorId>,
    event_id: Option<Box<str>>,
    count: Option<u32>,
    properties: Properties,
    /// A bit for each key that was set: a property's number, or one of the four bits below.
    seen: u64,
}

const SEEN_OCCURRED_AT: u32 = 60;
const SEEN_EVENT: u32 = 61;
const SEEN_EVENT_ID: u32 = 62;
const SEEN_COUNT: u32 = 63;

/// The longest key of an event, `normalized_clientless_device_type`, in bytes.
const KEY_BYTES_MAX: usize = 33;

/// The key of an event with this name, in upper or lower case: data warehouses export names in capitals.
pub fn key_named(name: &str) -> Option<&'static str> {
    Some(match bit_of(name)? {
        SEEN_OCCURRED_AT => "occurred_at",
        SEEN_EVENT => "event",
        SEEN_EVENT_ID => "event_id",
        SEEN_COUNT => "count",
        property => Property::ALL[property as usize].name(),
    })
}

fn bit_of(key: &str) -> Option<u32> {
    let has_capitals = || key.len() <= KEY_BYTES_MAX && key.bytes().any(|it| it.is_ascii_uppercase());
    bit_of_lower(key).or_else(|| bit_of_lower(&has_capitals().then(|| key.to_ascii_lowercase())?))
}

fn bit_of_lower(key: &str) -> Option<u32> {
    Some(match key {
        "occurred_at" => SEEN_OCCURRED_AT,
        "event" => SEEN_EVENT,
        "event_id" => SEEN_EVENT_ID,
        "count" => SEEN_COUNT,
        _ => Property::from_name(key)? as u32,
    })
}

impl Draft {
    /// A draft of an event that is derived from other data, such as an exchange or a report.
    pub fn derived(
        kind: EventKind,
        occurred_at: Instant,
        requestor_id: RequestorId,
        event_id: Box<str>,
    ) -> Draft {
        Draft {
            occurred_at: Some(occurred_at),
            kind: Some(kind),
            requestor_id: Some(requestor_id),
            event_id: Some(event_id),
            ..Draft::default()
        }
    }

    /// Sets how many times a derived event happened: 1 to [`COUNT_MAX`].
    pub fn count(&mut self, count: u32) {
        self.count = Some(count);
    }

    /// Sets a property of a derived event; an empty value makes it absent.
    pub fn put(&mut self, property: Property, value: &str) {
        self.properties.set(property, value);
    }

    /// Whether a key was set, also to no value.
    pub fn is_given(&self, key: &str) -> bool {
        bit_of(key).is_some_and(|bit| self.seen & (1 << bit) != 0)
    }

    pub fn property(&self, property: Property) -> Option<&str> {
        self.properties.get(property)
    }

    /// Takes one key and its value. Returns false for an unknown key, because sources may get new fields.
    pub fn set(&mut self, key: &str, value: RawValue<'_>) -> Result<bool, EventError> {
        let Some(bit) = bit_of(key) else { return Ok(false) };
        if self.seen & (1 << bit) != 0 {
            return Err(EventError::Twice(key.to_owned()));
        }
        self.seen |= 1 << bit;
        let value = match value {
            RawValue::Absent => return Ok(true),
            RawValue::Text(text) if text.is_empty() => return Ok(true),
            // Properties keep a database's text for no value: it is part of the event's identity. Hits leave it out.
            RawValue::Text(text) if matches!(bit, SEEN_EVENT_ID | SEEN_COUNT) && is_no_value(&text) => {
                return Ok(true);
            }
            RawValue::Nested => return Err(EventError::Nested(key.to_owned())),
            RawValue::Half => return Err(EventError::Half(key.to_owned())),
            value => value,
        };
        match bit {
            SEEN_OCCURRED_AT => self.occurred_at = Some(read_instant(&value)?),
            SEEN_EVENT => self.kind = Some(read_kind(&value)?),
            SEEN_EVENT_ID => self.event_id = Some(read_event_id(&value)?),
            SEEN_COUNT => self.count = Some(read_count(&value)?),
            _ => self.set_property(Property::ALL[bit as usize], &value)?,
        }
        Ok(true)
    }

    fn set_property(&mut self, property: Property, value: &RawValue<'_>) -> Result<(), EventError> {
        let text = plain_text(value);
        // A viewer's identifier that a spreadsheet spoilt stays text here. Later it counts as unknown, with a warning.
        if property == Property::RequestorId || IDENTIFIERS_OF_VIEWER.contains(&property) {
            refuse_exponent(property.name(), value)?;
        }
        if property == Property::RequestorId {
            self.requestor_id = Some(RequestorId::of_source(text)?);
        } else {
            self.properties.set(property, text);
        }
        Ok(())
    }

    pub fn finish(self, bounds: TimeBounds) -> Result<PassEvent, EventError> {
        let occurred_at = self.occurred_at.ok_or(EventError::Missing("occurred_at"))?;
        let kind = self.kind.ok_or(EventError::Missing("event"))?;
        let requestor_id = self.requestor_id.ok_or(EventError::Missing("requestor_id"))?;
        if occurred_at.unix_seconds() < EARLIEST_UNIX_SECONDS {
            return Err(EventError::TooEarly(occurred_at));
        }
        if occurred_at > bounds.latest {
            return Err(EventError::TooLate { at: occurred_at, now: bounds.now });
        }
        Ok(PassEvent {
            occurred_at,
            kind,
            requestor_id,
            event_id: self.event_id,
            count: self.count.unwrap_or(1),
            properties: self.properties,
        })
    }
}

/// A value as text, as JSON would write it.
fn plain_text<'a>(value: &'a RawValue<'_>) -> &'a str {
    match value {
        RawValue::Text(text) => text,
        RawValue::Number(number) => number,
        RawValue::Flag(true) => "true",
        RawValue::Flag(false) => "false",
        RawValue::Absent | RawValue::Nested | RawValue::Half => "",
    }
}

fn read_instant(value: &RawValue<'_>) -> Result<Instant, EventError> {
    match value {
        RawValue::Number(number) => Instant::parse_number(number),
        other => Instant::of_source(&clip(plain_text(other))),
    }
    .map_err(EventError::BadInstant)
}

fn read_kind(value: &RawValue<'_>) -> Result<EventKind, EventError> {
    let name = plain_text(value);
    EventKind::from_name(name).ok_or_else(|| {
        let slot = name.strip_prefix("event").and_then(|number| number.parse().ok());
        if let Some(kind) = slot.and_then(EventKind::from_slot) {
            return EventError::KindByNumber(name.to_owned(), kind.name());
        }
        EventError::UnknownKind(clip(name))
    })
}

/// Refuses a number with an exponent as an identifier: many different IDs may have become the same `1e22`.
fn refuse_exponent(key: &'static str, value: &RawValue<'_>) -> Result<(), EventError> {
    let is_marked = matches!(value, RawValue::Number(number) if number.contains(['e', 'E']));
    if is_marked { Err(EventError::Exponent(key, clip(plain_text(value)))) } else { Ok(()) }
}

fn read_event_id(value: &RawValue<'_>) -> Result<Box<str>, EventError> {
    refuse_exponent("event_id", value)?;
    let text = plain_text(value);
    match value {
        RawValue::Text(_) if is_spoilt_text(text) => Err(EventError::SpoiltEventId(clip(text))),
        RawValue::Text(_) | RawValue::Number(_) if text.chars().count() <= EVENT_ID_CHARS_MAX => {
            Ok(text.into())
        }
        _ => Err(EventError::BadEventId),
    }
}

fn read_count(value: &RawValue<'_>) -> Result<u32, EventError> {
    let text = plain_text(value);
    let count = whole_number(text).and_then(|count| u32::try_from(count).ok());
    count.filter(|count| (1..=COUNT_MAX).contains(count)).ok_or_else(|| EventError::BadCount(clip(text)))
}

/// A whole number, perhaps with a fraction of zeros. `5.000` is refused: in many countries it means five thousand.
pub fn whole_number(text: &str) -> Option<u64> {
    let (digits, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() == 3 && digits.len() <= 3 {
        return None;
    }
    let is_plain = digits.bytes().all(|digit| digit.is_ascii_digit());
    let is_whole = fraction.bytes().all(|digit| digit == b'0');
    digits.parse().ok().filter(|_| is_plain && is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_with_a_separator_of_thousands_is_no_number() {
        for (text, number) in [
            ("5", Some(5)),
            ("5.0", Some(5)),
            ("5.00", Some(5)),
            ("5.0000", Some(5)),
            ("2026.000", Some(2026)),
            ("5.000", None),
            ("205.000", None),
            ("1.5", None),
            ("5,000", None),
        ] {
            assert_eq!(whole_number(text), number, "{text}");
        }
    }
    #[test]
    fn a_key_is_known_in_any_case_of_its_letters() {
        for property in Property::ALL {
            assert!(property.name().len() <= KEY_BYTES_MAX);
            assert_eq!(key_named(&property.name().to_uppercase()), Some(property.name()));
        }
        assert_eq!(key_named("Occurred_At"), Some("occurred_at"));
        assert_eq!(key_named(&"A".repeat(40)), None);
        assert_eq!(key_named("OCCURRED-AT"), None);
        let mut draft = Draft::default();
        draft.set("MVPD", RawValue::Text("a".into())).expect("a property");
        let twice = draft.set("mvpd", RawValue::Text("b".into()));
        assert_eq!(twice, Err(EventError::Twice("mvpd".to_owned())));
    }
    #[test]
    fn an_unknown_kind_is_told_the_nearest_one_by_name_or_label() {
        let told = |name: &str| read_kind(&RawValue::Text(name.into())).map_err(|error| error.to_string());
        for kind in EventKind::ALL {
            let label = kind.label();
            let expected = format!("event {label:?} is unknown; the nearest is {:?}", kind.name());
            assert_eq!(told(label), Err(expected));
        }
        for name in ["AUTHZ_OK", "authzok", "AuthZ_OK "] {
            let expected = format!("event {name:?} is unknown; the nearest is \"authz_ok\"");
            assert_eq!(told(name), Err(expected));
        }
    }
}
