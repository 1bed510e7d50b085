//! How the buffer stores an event: a few columns, and a JSON object for everything else.

use memchr::memchr2;
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

/// Writes the canonical event with the keys and values of a line of NDJSON.
impl Serialize for PassEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("occurred_at", &self.occurred_at)?;
        map.serialize_entry("event", self.kind.name())?;
        map.serialize_entry("requestor_id", &self.requestor_id)?;
        if self.count > 1 {
            map.serialize_entry("count", &self.count)?;
        }
        self.body().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}

impl PassEvent {
    /// `event_id` and every property except `requestor_id`, in the order of the table.
    fn body(&self) -> impl Iterator<Item = (&str, &str)> {
        let properties = self.properties.iter().map(|(property, value)| (property.name(), value));
        self.event_id().map(|event_id| ("event_id", event_id)).into_iter().chain(properties)
    }

    /// The JSON object that the buffer stores in addition to the columns.
    pub fn stored_body(&self) -> String {
        let bytes: usize = self.body().map(|(name, value)| name.len() + value.len() + 6).sum();
        let mut json = String::with_capacity(bytes + 2);
        for (name, value) in self.body() {
            json.push_str(if json.is_empty() { "{\"" } else { ",\"" });
            json.push_str(name);
            // Nearly every value needs no escape. Then it is copied as it is.
            if value.bytes().fold(false, |found, byte| found | matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
                json.push_str("\":");
                json.push_str(&serde_json::to_string(value).expect("text always serialises"));
            } else {
                json.extend(["\":\"", value, "\""]);
            }
        }
        json.push_str(if json.is_empty() { "{}" } else { "}" });
        json
    }

    /// Reads a stored event; `None` if [`PassEvent::stored_body`] cannot have made its text: the buffer is damaged.
    pub fn from_stored(columns: StoredColumns, body: &str) -> Option<PassEvent> {
        let StoredColumns { occurred_at, kind, requestor_id, count } = columns;
        let properties = Properties::within(body.to_owned());
        let mut event = PassEvent { occurred_at, kind, requestor_id, event_id: None, count, properties };
        let (mut at, mut expected) = (usize::from(body == "{}"), 0);
        while body.as_bytes().get(at) != Some(&b'}') {
            let key = Text::behind(body, at, if at == 0 { b'{' } else { b',' })?;
            let value = Text::behind(body, key.end + 1, b':')?;
            at = value.end + 1;
            let name = &body[key.start..key.end];
            // The properties are usually in the order of the table, so the search begins behind the last one found.
            let next = Property::ALL[expected..].iter().find(|property| property.name() == name).copied();
            match next.or_else(|| Property::from_name(name)) {
                Some(property) if value.has_escapes => event.properties.set(property, &value.read(body)?),
                Some(property) => event.properties.place(property, value.start, value.end),
                None => event.event_id = Some((name == "event_id").then(|| value.read(body))??.into()),
            }
            expected = next.map_or(expected, |property| property as usize + 1);
        }
        (at + 1 == body.len()).then_some(event)
    }
}

/// Where a text of a stored body stands, without its quotes. A general JSON reader would take three times as long.
struct Text {
    start: usize,
    end: usize,
    has_escapes: bool,
}

impl Text {
    /// The text behind a mark at this place; `None` if something else is there.
    fn behind(body: &str, at: usize, mark: u8) -> Option<Text> {
        let bytes = body.as_bytes();
        let mut text = Text { start: at + 2, end: at + 2, has_escapes: false };
        loop {
            text.end += memchr2(b'"', b'\\', bytes.get(text.end..)?)?;
            if bytes[text.end] == b'"' {
                return (bytes[at..text.start] == [mark, b'"']).then_some(text);
            }
            text.has_escapes = true;
            text.end += 2;
        }
    }

    fn read(&self, body: &str) -> Option<String> {
        serde_json::from_str(&body[self.start - 1..=self.end]).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> StoredColumns {
        let requestor_id = RequestorId::new("REF30").expect("a requestor");
        StoredColumns {
            occurred_at: Instant::from_nanos(0),
            kind: EventKind::AuthnOk,
            requestor_id,
            count: 1,
        }
    }

    #[test]
    fn a_stored_event_reads_back_whatever_its_values_hold() {
        let odd =
            ["a", "a\"b", "\\", "\\\"", "\u{1}\n\t\u{7f}", "é\u{2028}😀", r#"","mvpd":"b"}"#, "\\u0041", ""];
        for value in odd {
            for event_id in [None, Some(value)] {
                let mut event = PassEvent::from_stored(columns(), "{}").expect("an event without properties");
                event.event_id = event_id.map(Box::from);
                event.properties.set(Property::SessionId, "last");
                event.properties.set(Property::Mvpd, value);
                event.properties.set(Property::ResourceId, value);
                let body = event.stored_body();
                let read = PassEvent::from_stored(columns(), &body).expect("as it was stored");
                assert!(read.body().eq(event.body()), "{body}");
                // Earlier releases wrote the same text with serde.
                let texts = |(name, value): (&str, &str)| [name, value].map(|text| serde_json::json!(text));
                let texts: Vec<_> =
                    event.body().map(texts).map(|[name, value]| format!("{name}:{value}")).collect();
                assert_eq!(body, format!("{{{}}}", texts.join(",")));
            }
        }
    }

    #[test]
    fn properties_may_be_stored_in_any_order() {
        let event = PassEvent::from_stored(columns(), r#"{"ttl":"1","mvpd":"a","event_id":"b","proxy":"c"}"#);
        let event = event.expect("an event");
        let found = [Property::Ttl, Property::Mvpd, Property::Proxy].map(|property| event.property(property));
        assert_eq!((found, event.event_id()), ([Some("1"), Some("a"), Some("c")], Some("b")));
    }

    #[test]
    fn a_text_that_was_never_stored_is_damage() {
        let whole = r#"{"event_id":"a","mvpd":"b\\"}"#;
        assert!(PassEvent::from_stored(columns(), whole).is_some());
        let parts = (0..whole.len()).map(|end| &whole[..end]);
        let others = [
            "[]",
            "{}}",
            "{},",
            "{}{}",
            r#"{ "mvpd":"a"}"#,
            r#"{"mvpd":"a",}"#,
            r#"{"mvpd":"a"}x"#,
            r#"{"mvpd":1}"#,
            r#"{"mvpd":null}"#,
            r#"{"mvpd":["a"]}"#,
            r#"{"zone":"a"}"#,
            r#"{"mvpd""a"}"#,
            r#"{"mvpd":"\x"}"#,
            r#"{,"mvpd":"a"}"#,
            r#"{"mvpd":"\é"}"#,
            r#"{"mvpd":"a" ,"ttl":"1"}"#,
        ];
        for body in parts.chain(others) {
            assert!(PassEvent::from_stored(columns(), body).is_none(), "{body}");
        }
    }
}
