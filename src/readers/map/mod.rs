//! A map: how the keys and values of another program become those of an event.
//!
//! Readers of NDJSON and CSV hand each key and value to [`Map::take`] instead of to the draft, so a map means the same
//! in every format. Keys and words are compared without case. A property that a map gives is taken from nowhere else.

mod time;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::time::TimeForm;
use super::members::{Members, raw_value, unquoted};
use super::unknown::{UnknownKeys, event_key};
use crate::config::MapConfig;
use crate::event::{Draft, EventError, EventKind, Property, RawValue, key_named};

/// Words of a source, in lower case, each with its value in an event.
type Words = BTreeMap<String, String>;

/// A map whose names and words are checked.
#[derive(Debug)]
pub struct Map {
    /// The name of the map, which a rejected line keeps.
    name: Arc<str>,
    /// The properties that each key gives. A key inside objects begins with their names, as in `viewer.id`.
    sources: BTreeMap<String, Vec<&'static str>>,
    /// These keys as the map writes them, for messages.
    spelt: BTreeMap<String, String>,
    /// The objects to look into.
    prefixes: BTreeSet<String>,
    constants: Vec<(&'static str, String)>,
    values: BTreeMap<&'static str, Words>,
    null_words: BTreeSet<String>,
    time: TimeForm,
    separator: Option<u8>,
}

impl Map {
    /// Checks a section `[map.NAME]`. The error names the key and says what it may be.
    pub fn new(config: &MapConfig) -> Result<Map, String> {
        let mut map = Map {
            name: "".into(),
            sources: BTreeMap::new(),
            spelt: BTreeMap::new(),
            prefixes: BTreeSet::new(),
            constants: Vec::new(),
            values: BTreeMap::new(),
            null_words: config.null_words.iter().map(|word| word.trim().to_lowercase()).collect(),
            time: TimeForm::new(&config.time_format, config.timezone)?,
            separator: separator(&config.separator)?,
        };
        for (name, source) in &config.keys {
            let (spelt, source) = (source.trim(), source.trim().to_lowercase());
            if source.is_empty() {
                return Err(format!("keys.{name} names no key of the source"));
            }
            map.prefixes.extend(source.match_indices('.').map(|(at, _)| source[..at].to_owned()));
            map.spelt.insert(source.clone(), spelt.to_owned());
            map.sources.entry(source).or_default().push(event_key(name)?);
        }
        for (name, value) in &config.constants {
            let name = event_key(name)?;
            if map.source_of(name).is_some() {
                return Err(format!("{name} is in keys and in constants: take it out of one of them"));
            }
            let set = Draft::default().set(name, RawValue::Text(value.as_str().into()));
            set.map_err(|error| format!("constants: {error}"))?;
            map.constants.push((name, value.clone()));
        }
        for (name, words) in &config.values {
            let name = event_key(name)?;
            for value in words.values() {
                let set = Draft::default().set(name, RawValue::Text(value.as_str().into()));
                set.map_err(|error| format!("values: {error}"))?;
            }
            let words = words.iter().map(|(word, value)| (word.trim().to_lowercase(), value.clone()));
            map.values.insert(name, words.collect());
        }
        Ok(map)
    }

    /// The map with its name: that of its section, or of its file.
    pub fn named(self, name: &str) -> Map {
        Map { name: name.into(), ..self }
    }

    pub fn name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// The properties that the map takes from keys that no line had, each with its key.
    pub(super) fn unmet(&self, keys: &UnknownKeys) -> Vec<String> {
        let unmet = self.sources.iter().filter(|(path, _)| !keys.has_met(path));
        unmet
            .map(|(path, names)| format!("{} from {path:?}", names.join(" and "), path = self.spelt[path]))
            .collect()
    }

    /// Whether a cell is a time in the form of the map.
    pub(super) fn is_time(&self, cell: &str) -> bool {
        matches!(self.time.read(cell), Some(Ok(_)))
    }

    pub(super) fn separator(&self) -> Option<u8> {
        self.separator
    }

    /// Whether a column of this name is used, so that a header can be recognised.
    pub(super) fn knows(&self, column: &str) -> bool {
        let column = column.to_lowercase();
        self.sources.contains_key(&column) || self.prefixes.contains(&column) || self.own(&column).is_some()
    }

    /// Whether this property is taken from a column of this name.
    pub(super) fn takes(&self, name: &'static str, column: &str) -> bool {
        let column = column.to_lowercase();
        let names = self.sources.get(&column);
        names.map_or_else(|| self.own(&column) == Some(name), |names| names.contains(&name))
    }

    /// The first missing column of a header, and its property: a property of `required`, or one that the map takes from
    /// a column.
    pub(super) fn missing(
        &self,
        header: &[&str],
        required: &[&'static str],
    ) -> Option<(String, &'static str)> {
        let has = |path: &str| {
            header.iter().any(|name| {
                let rest = path.strip_prefix(&*name.trim().to_lowercase());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') && !name.is_empty())
            })
        };
        let of_map = self.sources.iter().map(|(path, names)| (path.as_str(), names[0]));
        let own = required.iter().filter(|name| !self.gives(name)).map(|name| (*name, *name));
        let (path, name) = of_map.chain(own).find(|(path, _)| !has(path))?;
        Some((self.spelt.get(path).map_or(path, String::as_str).to_owned(), name))
    }

    /// Why an object is no event, if it lacks a property that the map takes from a key.
    pub(super) fn why_missing(&self, name: &'static str) -> Option<String> {
        let source = &self.spelt[self.source_of(name)?];
        Some(format!("{name} is missing: the map takes it from {source:?}, which has no value"))
    }

    /// Takes one key and its value; `json` has the text of an object. Unknown keys are counted by their whole path.
    pub(super) fn take(
        &self,
        (draft, unknown): (&mut Draft, &mut UnknownKeys),
        path: &str,
        value: RawValue<'_>,
        json: &str,
    ) -> Result<(), EventError> {
        let small = path.to_lowercase();
        let inside = match &value {
            RawValue::Text(text) => text,
            _ => json,
        };
        if self.prefixes.contains(&small) {
            if let Ok(Members(members)) = serde_json::from_str(inside) {
                for (key, json) in members {
                    let key = unquoted(key).unwrap_or(Cow::Borrowed(key));
                    self.take((draft, unknown), &format!("{path}.{key}"), raw_value(json), json)?;
                }
                return Ok(());
            }
            if !self.sources.contains_key(&small) && self.own(&small).is_none() {
                let word = inside.trim().to_lowercase();
                let is_nothing = matches!(value, RawValue::Absent)
                    || matches!(&*word, "" | "null")
                    || self.null_words.contains(&word);
                if !is_nothing {
                    unknown.miss_object(path);
                }
                return Ok(());
            }
        }
        if let Some(names) = self.sources.get(&small) {
            unknown.meet(&small);
            return names.iter().try_for_each(|name| self.set(draft, name, value.clone()));
        }
        match self.own(&small) {
            Some(name) => self.set(draft, name, value),
            None => unknown.take(path, &value, json),
        }
    }

    /// Adds the constants to a draft that has all of its keys. Refuses a line whose object is none, unless each key inside
    /// that object stands in the line as a key of its own, such as `user.id`.
    pub(super) fn complete(&self, draft: &mut Draft, unknown: &mut UnknownKeys) -> Result<(), EventError> {
        if let Some(path) = unknown.take_missed_object() {
            let inside = format!("{}.", path.to_lowercase());
            let mut sources = self.sources.iter().filter(|(source, _)| source.starts_with(&inside));
            if sources.any(|(_, names)| !names.iter().all(|name| draft.is_given(name))) {
                return Err(EventError::NoObject(path));
            }
        }
        self.constants
            .iter()
            .try_for_each(|(name, value)| draft.set(name, RawValue::Text(value.as_str().into())).map(drop))
    }

    /// A property of the event that a line becomes; `None` if it is absent or given twice, or if the line is no object.
    pub fn property(&self, property: Property, line: &str) -> Option<String> {
        let Members(members) = serde_json::from_str(line).ok()?;
        let mut draft = Draft::default();
        let unknown = &mut UnknownKeys::default();
        for (key, json) in members {
            let key = unquoted(key).ok()?;
            // If a key has two values, nobody knows which is right. Other reasons for a reject do not matter here.
            if let Err(EventError::Twice(_)) =
                self.take((&mut draft, &mut *unknown), &key, raw_value(json), json)
            {
                return None;
            }
        }
        self.complete(&mut draft, unknown).ok()?;
        draft.property(property).map(str::to_owned)
    }

    fn set(&self, draft: &mut Draft, name: &'static str, value: RawValue<'_>) -> Result<(), EventError> {
        let text = match &value {
            RawValue::Text(text) => text,
            RawValue::Number(digits) => *digits,
            RawValue::Flag(true) => "true",
            RawValue::Flag(false) => "false",
            RawValue::Absent | RawValue::Nested | RawValue::Half => return draft.set(name, value).map(drop),
        };
        let small = text.trim().to_lowercase();
        let known = self.values.get(name).and_then(|words| words.get(&small));
        let value = match (known, name) {
            (Some(word), _) => RawValue::Text(word.as_str().into()),
            (None, _) if self.null_words.contains(&small) || small.is_empty() => RawValue::Absent,
            (None, "event") => {
                let kind = kind_labelled(text).map(|kind| RawValue::Text(kind.name().into()));
                kind.unwrap_or(value)
            }
            (None, "occurred_at") => match self.time.read(text) {
                Some(at) => RawValue::Text(at.map_err(EventError::BadInstant)?.to_string().into()),
                None => value,
            },
            (None, _) => value,
        };
        draft.set(name, value).map(drop)
    }

    fn source_of(&self, name: &str) -> Option<&str> {
        let (source, _) = self.sources.iter().find(|(_, names)| names.contains(&name))?;
        Some(source)
    }

    fn gives(&self, name: &str) -> bool {
        self.source_of(name).is_some() || self.constants.iter().any(|(constant, _)| *constant == name)
    }

    /// The property with this name, unless the map gives it.
    fn own(&self, small: &str) -> Option<&'static str> {
        key_named(small).filter(|name| !self.gives(name))
    }
}

/// The event that Adobe's label names, such as `AuthZ OK`, or the event's own name in another spelling.
fn kind_labelled(text: &str) -> Option<EventKind> {
    let plain = |text: &str| text.to_lowercase().replace(['_', '-', ' '], "");
    let wanted = plain(text);
    EventKind::ALL.into_iter().find(|kind| [kind.name(), kind.label()].map(plain).contains(&wanted))
}

fn separator(text: &str) -> Result<Option<u8>, String> {
    match text.as_bytes() {
        [] => Ok(None),
        [b'"' | b'\r' | b'\n'] | [_, _, ..] => {
            Err(format!("separator {text:?} must be one character, such as \";\" or \"\\t\""))
        }
        [byte] => Ok(Some(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::LineParser;
    use super::*;
    use crate::event::{Instant, TimeBounds};
    use std::sync::Arc;

    fn map(toml: &str) -> Result<Map, String> {
        Map::new(&toml::from_str(toml).expect("TOML"))
    }

    /// The event of a line as canonical JSON, or the reason why it is none; and the unknown keys.
    fn read(toml: &str, line: &str) -> (String, String) {
        let now = Instant::from_nanos(1_795_176_000_000_000_000);
        let mut parser = LineParser::with(Some(Arc::new(map(toml).expect("a map"))));
        let line = parser.parse_alone(1, line.as_bytes(), TimeBounds { latest: now, now });
        let result = line
            .result
            .map_or_else(|reason| reason.to_string(), |event| serde_json::to_string(&event).expect("JSON"));
        (result, parser.summary().remarks.unknown.to_string())
    }

    const WAREHOUSE: &str = r#"
        time_format = "%d.%m.%Y %H:%M:%S"
        timezone = "Europe/Berlin"
        null_words = ["N/V"]
        keys = { occurred_at = "Event_Time", event = "type", mvpd = "payload.provider.id", resource_id = "payload.res" }
        constants = { requestor_id = "REF30" }
        values = { mvpd = { "cc" = "Cableco", "none" = "" } }
    "#;

    #[test]
    fn keys_paths_constants_words_and_times_become_those_of_an_event() {
        let event = |rest: &str| {
            format!(
                r#"{{"occurred_at":"2026-11-10T08:00:00Z","event":"authz_ok","requestor_id":"REF30"{rest}}}"#
            )
        };
        let line =
            r#"{"EVENT_TIME":"10.11.2026 09:00:00","Type":"AuthZ OK","requestor_id":"other","payload":"#;
        for (payload, rest, unknown) in [
            (
                r#"{"provider":{"ID":"CC","x":1},"res":"n/v"}"#,
                r#","mvpd":"Cableco""#,
                "\"payload.provider.x\" (1 times), \"requestor_id\" (1 times)",
            ),
            (
                r#""{\"res\":\"a\",\"provider\":{\"id\":\"None\"}}""#,
                r#","resource_id":"a""#,
                "\"requestor_id\" (1 times)",
            ),
            ("null", "", "\"requestor_id\" (1 times)"),
        ] {
            assert_eq!(
                read(WAREHOUSE, &format!("{line}{payload}}}")),
                (event(rest), unknown.to_owned()),
                "{payload}"
            );
        }
    }

    #[test]
    fn what_a_map_cannot_settle_is_refused_with_the_reason() {
        let line = |at: &str, kind: &str| format!(r#"{{"event_time":"{at}","type":"{kind}"}}"#);
        for (line, expected) in [
            (line("25.10.2026 02:30:00", "authz_ok"), "shows twice"),
            (line("29.03.2026 02:30:00", "authz_ok"), "never shows"),
            (line("2026-11-10T08:00:00Z", "authz_ok"), "does not have the form"),
            (line("10.11.2026 09:00:00", "AuthZ maybe"), "event \"AuthZ maybe\" is unknown"),
            (
                line("10.11.2026 09:00:00", "authz_ok").replace('}', r#","payload":"{\"res\":"}"#),
                "the map looks into \"payload\", which is no object",
            ),
            (
                line("10.11.2026 09:00:00", "authz_ok").replace('}', r#","payload":[{"res":1}]}"#),
                "the map looks into \"payload\", which is no object",
            ),
            (line("", "authz_ok"), "occurred_at is missing: the map takes it from \"Event_Time\""),
            (line("10.11.26 09:00:00", "authz_ok"), "%Y is a year of four digits, %y one of two"),
            (line("10.11.2026 09:00:00", "authz_ok").replace('}', r#","Type":"x"}"#), "event is given twice"),
        ] {
            let (found, _) = read(WAREHOUSE, &line);
            assert!(found.contains(expected), "{line}: {found}");
        }
        for (toml, expected) in [
            ("keys = { mvpd_user_Idd = \"a\" }", "the nearest is \"mvpd_user_id\""),
            ("keys = { mvpd = \"a\" }\nconstants = { mvpd = \"b\" }", "in keys and in constants"),
            ("constants = { event = \"authz\" }", "constants: event \"authz\" is unknown"),
            ("values = { event = { a = \"authz\" } }", "values: event \"authz\" is unknown"),
            ("time_format = \"%Q\"", "no time format"),
            (
                "time_format = \"%H:%M %Z\"",
                "leave %Z out, export the times without it, and name the timezone",
            ),
            ("time_format = \"%H:%M %Z\"\ntimezone = \"UTC\"", "export the times without it"),
            ("time_format = \"%Y-%m-%d\"", "has no time of day"),
            ("time_format = \"%Y-%m-%d %I:%M\"", "has no time of day"),
            ("time_format = \"%H:%M:%S\"", "has no whole date"),
            ("time_format = \"%H:%M:%S.%f\"", "write %.f"),
            ("time_format = \"%F %H:%M:%SZ\"\ntimezone = \"Europe/Berlin\"", "ends with a written Z, and"),
            (
                "time_format = \"%F %H:%M:%S UTC\"\ntimezone = \"Europe/Berlin\"",
                "ends with a written UTC, and",
            ),
            (
                "time_format = \"%F %H:%M:%S GMT\"\ntimezone = \"Europe/Berlin\"",
                "ends with a written GMT, and",
            ),
            (
                "time_format = \"%F %T+00:00\"\ntimezone = \"Europe/Berlin\"",
                "ends with a written +00:00, and",
            ),
            (
                "time_format = \"%F %T.000+0000\"\ntimezone = \"Europe/Berlin\"",
                "ends with a written +0000, and",
            ),
            (
                "time_format = \"%F %H:%M:%S%.f EST\"\ntimezone = \"America/Chicago\"",
                "ends with a written EST, and",
            ),
            ("time_format = \"%d %b %Y %T CET\"\ntimezone = \"UTC\"", "ends with a written CET, and"),
            ("time_format = \"%F %T.000Z\"\ntimezone = \"Europe/Berlin\"", "ends with a written Z, and"),
            ("separator = \"ab\"", "one character"),
        ] {
            let error = map(toml).expect_err(toml);
            assert!(error.contains(expected), "{toml}: {error}");
        }
    }

    #[test]
    fn a_key_with_a_point_gives_its_value_although_another_key_is_no_object() {
        let toml = "keys = { mvpd_user_id = \"user.id\" }";
        let event = r#"{"occurred_at":"2026-11-10T08:00:00Z","event":"authz_ok","requestor_id":"R""#;
        for line in [r#","user":"ann","user.id":"u1"}"#, r#","user.id":"u1","user":"ann"}"#] {
            let (found, _) = read(toml, &format!("{event}{line}"));
            assert!(found.contains(r#""mvpd_user_id":"u1""#), "{found}");
        }
        let (found, _) = read(toml, &format!("{event},\"user\":\"ann\"}}"));
        assert!(found.contains("looks into \"user\", which is no object"), "{found}");
    }

    #[test]
    fn times_are_read_by_their_form_and_zone() {
        for (toml, text, expected) in [
            ("time_format = \"unix_microseconds\"", "1794297600250000", "2026-11-10T08:00:00.250Z"),
            ("time_format = \"unix_nanoseconds\"", "1794297600000000001", "2026-11-10T08:00:00.000000001Z"),
            ("time_format = \"%Y%m%d %H%M%S %z\"", "20261110 000000 -0800", "2026-11-10T08:00:00Z"),
            ("timezone = \"America/Los_Angeles\"", "2026-11-10 00:00:00.5", "2026-11-10T08:00:00.500Z"),
            ("timezone = \"America/Los_Angeles\"", "2026-11-10 08:00:00 UTC", "2026-11-10T08:00:00Z"),
            (
                "time_format = \"%Y%m%dT%H%M%SZ\"\ntimezone = \"UTC\"",
                "20261110T080000Z",
                "2026-11-10T08:00:00Z",
            ),
            (
                "time_format = \"%Y%m%d %H%M%S,%3f %z\"",
                "20261110 000000,250 -0800",
                "2026-11-10T08:00:00.250Z",
            ),
            ("timezone = \"Etc/GMT-1\"", "2026-11-10T09:00", "2026-11-10T08:00:00Z"),
            ("time_format = \"%d.%m.%y %H:%M %z\"", "10.11.26 08:00 +0000", "2026-11-10T08:00:00Z"),
        ] {
            let line = format!(r#"{{"occurred_at":"{text}","event":"authz_ok","requestor_id":"R"}}"#);
            let (found, _) = read(toml, &line);
            assert!(found.contains(&format!("\"occurred_at\":\"{expected}\"")), "{toml} {text}: {found}");
        }
    }
}
