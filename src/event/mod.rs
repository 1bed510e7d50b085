//! The canonical Pass event: one thing that Adobe Pass Authentication did for a viewer, valid by construction.
//!
//! - In: the keys and values of one source line, as a [`Draft`]. Out: a [`PassEvent`], or why there is none.
//! - Guarantees: a `PassEvent` has a kind, a requestor, an instant between the year 2000 and the clock plus a skew, and a
//!   count of 1 to 1,000,000; its [`EventId`] never changes between releases.
//! - Does not know: formats, files, report suites, what Adobe does with it.
//! - Rules: sections 3 and 4 of the design; `schemas/pass-event.schema.json` publishes them.

mod identity;
mod instant;
mod properties;
mod stored;
mod table;
mod viewer;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

pub use identity::{ContentDigest, EventId};
pub use instant::Instant;
pub use properties::Properties;
pub use stored::StoredColumns;
pub use table::{DefaultValue, EventKind, Property};
pub use viewer::{NOBODY, VisitorRules};

/// The most times that one event can say it happened. Aggregated sources report an hour or a minute; more than this in one
/// line is a wrong column.
pub const COUNT_MAX: u32 = 1_000_000;
/// The longest `event_id`, in characters.
pub const EVENT_ID_CHARS_MAX: usize = 128;
/// The longest `requestor_id`, in bytes: what an eVar can report whole.
pub const REQUESTOR_ID_BYTES_MAX: usize = 255;
/// The earliest event, 2000-01-01T00:00:00Z: before it lies a wrong unit, not a Pass event.
pub const EARLIEST_UNIX_SECONDS: i64 = 946_684_800;

/// Whose entitlement an event is about. Not empty, no control characters, no white space at its ends.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestorId(Arc<str>);

impl RequestorId {
    pub fn new(text: &str) -> Result<RequestorId, EventError> {
        if text.is_empty()
            || text.len() > REQUESTOR_ID_BYTES_MAX
            || text.trim() != text
            || text.chars().any(char::is_control)
        {
            return Err(EventError::BadRequestor(clip(text)));
        }
        Ok(RequestorId(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestorId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for RequestorId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", &self.0)
    }
}

impl serde::Serialize for RequestorId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// One canonical event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassEvent {
    occurred_at: Instant,
    kind: EventKind,
    requestor_id: RequestorId,
    event_id: Option<Box<str>>,
    count: u32,
    /// Without `requestor_id`, which stands above.
    properties: Properties,
}

impl PassEvent {
    pub fn occurred_at(&self) -> Instant {
        self.occurred_at
    }

    /// Which of the eighteen kinds it is.
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    pub fn requestor_id(&self) -> &RequestorId {
        &self.requestor_id
    }

    /// The identifier that its source gave it, if any.
    pub fn event_id(&self) -> Option<&str> {
        self.event_id.as_deref()
    }

    /// How many times it happened, 1 to 1,000,000.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// A property's value, never empty; the requestor ID among them.
    pub fn property(&self, property: Property) -> Option<&str> {
        if property == Property::RequestorId {
            Some(self.requestor_id.as_str())
        } else {
            self.properties.get(property)
        }
    }
}

/// What the clock allows for `occurred_at`.
#[derive(Debug, Clone, Copy)]
pub struct TimeBounds {
    /// The latest acceptable instant: now plus the skew.
    pub latest: Instant,
    /// The clock that `latest` was made from, for the message.
    pub now: Instant,
}

/// A value as its source wrote it.
#[derive(Debug, Clone, PartialEq)]
pub enum RawValue<'a> {
    /// `null`; an empty text means the same.
    Absent,
    Text(Cow<'a, str>),
    /// A number, in the digits of the source.
    Number(&'a str),
    Flag(bool),
    /// An object or a list, which no property takes.
    Nested,
}

/// Whether a key of the source belongs to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// It does, and its value was taken.
    Known,
    /// It does not; sources grow, so it is kept out and counted, never an error.
    Unknown,
}

/// Why a line is no event. The texts are lower-case fragments that name the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is given twice")]
    Twice(String),
    #[error("{0} must be text, a number or a boolean, not an object or a list")]
    Nested(String),
    #[error("event {0:?} is unknown; the nearest is {1:?}")]
    UnknownKind(String, &'static str),
    #[error("event {0:?} is Analytics' number of an event: write {1:?}")]
    KindByNumber(String, &'static str),
    #[error("occurred_at {0}")]
    BadInstant(String),
    #[error("occurred_at {0} is before the year 2000; seconds and milliseconds may be mixed up")]
    TooEarly(Instant),
    #[error(
        "occurred_at {at} is ahead of this host's clock ({now}) by more than ingest.future_skew_seconds; check the clock of the source and of this host"
    )]
    TooLate { at: Instant, now: Instant },
    #[error(
        "requestor_id {0:?} must be 1 to 255 bytes without control characters or white space at its ends"
    )]
    BadRequestor(String),
    #[error("event_id must be text or a number of 1 to 128 characters")]
    BadEventId,
    #[error("count {0} must be a whole number from 1 to 1,000,000")]
    BadCount(String),
}

/// An event being read: keys in any order, then [`Draft::finish`].
#[derive(Debug, Default)]
pub struct Draft {
    occurred_at: Option<Instant>,
    kind: Option<EventKind>,
    requestor_id: Option<RequestorId>,
    event_id: Option<Box<str>>,
    count: Option<u32>,
    properties: Properties,
    /// A bit for each key seen: the properties by their number, then the four below.
    seen: u64,
}

const SEEN_OCCURRED_AT: u32 = 60;
const SEEN_EVENT: u32 = 61;
const SEEN_EVENT_ID: u32 = 62;
const SEEN_COUNT: u32 = 63;

/// The longest key of an event, `normalized_clientless_device_type`, in bytes.
const KEY_BYTES_MAX: usize = 33;

/// The key of an event that a name stands for, in any case of its letters: warehouses export names in capitals.
pub fn key_named(name: &str) -> Option<&'static str> {
    let bit = bit_of(name).or_else(|| in_lower_case(name, bit_of))?;
    Some(match bit {
        SEEN_OCCURRED_AT => "occurred_at",
        SEEN_EVENT => "event",
        SEEN_EVENT_ID => "event_id",
        SEEN_COUNT => "count",
        _ => Property::ALL[bit as usize].name(),
    })
}

fn bit_of(key: &str) -> Option<u32> {
    Some(match key {
        "occurred_at" => SEEN_OCCURRED_AT,
        "event" => SEEN_EVENT,
        "event_id" => SEEN_EVENT_ID,
        "count" => SEEN_COUNT,
        _ => Property::from_name(key)? as u32,
    })
}

/// Looks a key with capitals up. Allocates nothing.
fn in_lower_case<T>(key: &str, look_up: impl Fn(&str) -> Option<T>) -> Option<T> {
    if key.len() > KEY_BYTES_MAX || !key.bytes().any(|letter| letter.is_ascii_uppercase()) {
        return None;
    }
    let mut lower = [0; KEY_BYTES_MAX];
    let lower = &mut lower[..key.len()];
    lower.copy_from_slice(key.as_bytes());
    lower.make_ascii_lowercase();
    look_up(std::str::from_utf8(lower).ok()?)
}

impl Draft {
    /// A draft of an event that a reader derives, instead of finding it in a line.
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

    /// Says how many times a derived event happened: 1 to [`COUNT_MAX`].
    pub fn count(&mut self, count: u32) {
        self.count = Some(count);
    }

    /// Sets a property of a derived event; an empty value makes it absent.
    pub fn put(&mut self, property: Property, value: &str) {
        self.properties.set(property, value);
    }

    /// Takes one key and its value.
    pub fn set(&mut self, key: &str, value: RawValue<'_>) -> Result<KeyKind, EventError> {
        let Some(bit) = bit_of(key).or_else(|| in_lower_case(key, bit_of)) else {
            return Ok(KeyKind::Unknown);
        };
        if self.seen & (1 << bit) != 0 {
            return Err(EventError::Twice(key.to_owned()));
        }
        self.seen |= 1 << bit;
        let value = match value {
            RawValue::Absent => return Ok(KeyKind::Known),
            RawValue::Text(text) if text.is_empty() => return Ok(KeyKind::Known),
            RawValue::Nested => return Err(EventError::Nested(key.to_owned())),
            value => value,
        };
        match bit {
            SEEN_OCCURRED_AT => self.occurred_at = Some(read_instant(&value)?),
            SEEN_EVENT => self.kind = Some(read_kind(&value)?),
            SEEN_EVENT_ID => self.event_id = Some(read_event_id(&value)?),
            SEEN_COUNT => self.count = Some(read_count(&value)?),
            _ => self.set_property(Property::ALL[bit as usize], &value)?,
        }
        Ok(KeyKind::Known)
    }

    fn set_property(&mut self, property: Property, value: &RawValue<'_>) -> Result<(), EventError> {
        let text = plain_text(value);
        if property == Property::RequestorId {
            self.requestor_id = Some(RequestorId::new(text)?);
        } else {
            self.properties.set(property, text);
        }
        Ok(())
    }

    /// The event, once every key was taken.
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

/// The text that a value is rendered as, as JSON would render it.
fn plain_text<'a>(value: &'a RawValue<'_>) -> &'a str {
    match value {
        RawValue::Text(text) => text,
        RawValue::Number(number) => number,
        RawValue::Flag(true) => "true",
        RawValue::Flag(false) => "false",
        RawValue::Absent | RawValue::Nested => "",
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
        let name = clip(name);
        // Adobe's own labels, such as "AuthZ OK", are near to their kinds.
        let plain = |text: &str| text.trim().to_ascii_lowercase().replace(' ', "_");
        let distance = |known: &str| strsim::damerau_levenshtein(&plain(known), &plain(&name));
        let nearest = EventKind::ALL
            .into_iter()
            .min_by_key(|kind| distance(kind.name()).min(distance(kind.label())))
            .map_or("", EventKind::name);
        EventError::UnknownKind(name, nearest)
    })
}

fn read_event_id(value: &RawValue<'_>) -> Result<Box<str>, EventError> {
    match value {
        RawValue::Text(_) | RawValue::Number(_)
            if plain_text(value).chars().count() <= EVENT_ID_CHARS_MAX =>
        {
            Ok(plain_text(value).into())
        }
        _ => Err(EventError::BadEventId),
    }
}

fn read_count(value: &RawValue<'_>) -> Result<u32, EventError> {
    let refuse = || EventError::BadCount(clip(plain_text(value)));
    let number = match value {
        RawValue::Number(number) => number,
        RawValue::Text(text) if text.starts_with(|letter: char| letter.is_ascii_digit()) => text.as_ref(),
        _ => return Err(refuse()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let count: u32 = whole.parse().map_err(|_| refuse())?;
    let is_whole = fraction.bytes().all(|digit| digit == b'0');
    if is_whole && (1..=COUNT_MAX).contains(&count) { Ok(count) } else { Err(refuse()) }
}

/// The start of a hostile text, short enough for a message.
fn clip(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    if text.chars().nth(CHARS_MAX).is_none() {
        return text.to_owned();
    }
    text.chars().take(CHARS_MAX).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
