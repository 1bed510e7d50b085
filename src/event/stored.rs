//! How the buffer stores an event: a few columns, and a JSON object for everything else.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{EventKind, Instant, PassEvent, Properties, Property, RequestorId};

/// The part of a stored event that has its own columns.
#[derive(Debug, Clone)]
pub struct StoredColumns {
    pub occurred_at: Instant,
    pub kind: EventKind,
    pub requestor_id: RequestorId,
    pub count: u32,
}

/// The JSON object: `event_id` and every property except `requestor_id`, in the order of the table.
struct Body<'a>(&'a PassEvent);

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        serialize_body(self.0, &mut map)?;
        map.end()
    }
}

fn serialize_body<M: SerializeMap>(event: &PassEvent, map: &mut M) -> Result<(), M::Error> {
    if let Some(event_id) = event.event_id() {
        map.serialize_entry("event_id", event_id)?;
    }
    event.properties.iter().try_for_each(|(property, value)| map.serialize_entry(property.name(), value))
}

/// Writes the canonical event as one line of NDJSON would have it.
impl Serialize for PassEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("occurred_at", &self.occurred_at)?;
        map.serialize_entry("event", self.kind.name())?;
        map.serialize_entry("requestor_id", &self.requestor_id)?;
        if self.count > 1 {
            map.serialize_entry("count", &self.count)?;
        }
        serialize_body(self, &mut map)?;
        map.end()
    }
}

impl PassEvent {
    /// The JSON text that the buffer stores in addition to the columns.
    pub fn stored_body(&self) -> String {
        serde_json::to_string(&Body(self)).expect("text and numbers always serialise")
    }

    /// Reads a stored event. `Err` if the stored text is no such JSON, because the buffer is damaged.
    pub fn from_stored(columns: StoredColumns, body: &str) -> Result<PassEvent, serde_json::Error> {
        let mut event = PassEvent {
            occurred_at: columns.occurred_at,
            kind: columns.kind,
            requestor_id: columns.requestor_id,
            event_id: None,
            count: columns.count,
            properties: Properties::default(),
        };
        let mut deserializer = serde_json::Deserializer::from_str(body);
        deserializer.deserialize_map(BodyInto(&mut event))?;
        deserializer.end()?;
        Ok(event)
    }
}

/// Reads the JSON object directly into the event, without a copy of each value in between.
struct BodyInto<'a>(&'a mut PassEvent);

/// A text, borrowed if it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for BodyInto<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the stored body of an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<&str>()? {
            match Property::from_name(key) {
                Some(property) => self.0.properties.set(property, &map.next_value::<Text<'de>>()?.0),
                None if key == "event_id" => self.0.event_id = Some(map.next_value()?),
                None => return Err(serde::de::Error::custom(format_args!("unknown key {key:?}"))),
            }
        }
        Ok(())
    }
}
