//! NDJSON: one canonical event as a JSON object per line, or a mended line of a rejects file.

use std::borrow::Cow;
use std::fmt;
use std::io::BufRead;

use memchr::memmem;
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};

use super::cause::cause;
use super::csv;
use super::line::{Excerpt, LINE_BYTES_MAX, Line, ReadError, Reader, RejectReason, SourceSummary};
use super::lines::{Lines, fillers_at_start};
use super::members::{Members, unquoted};
use super::memory::Recollection;
use super::rejected::RejectedLine;
use super::remarks::Remarks;
use super::unknown::UnknownKeys;
use crate::event::{Draft, EventError, PassEvent, RawValue, TimeBounds, key_named};

/// Every line of a rejects file contains this, and few events do. Only lines that contain it are tried as rejects.
const MARK_OF_REJECTS: &[u8] = b"\"reason\"";
/// How much of a wrapper's key a message shows.
const KEY_CHARS_MAX: usize = 64;

/// Reads NDJSON. Blank lines are skipped; a byte order mark and CR LF are accepted.
pub struct NdjsonReader<R> {
    lines: Lines<R>,
    /// Where the next object of the current line begins; 0 if there is none.
    next: usize,
    parser: LineParser,
}

impl<R: BufRead> NdjsonReader<R> {
    /// A reader at the start of a source.
    pub fn new(source: R) -> NdjsonReader<R> {
        NdjsonReader { lines: Lines::new(source), next: 0, parser: LineParser::default() }
    }
}

impl<R: BufRead> Reader for NdjsonReader<R> {
    fn next_line(
        &mut self,
        bounds: TimeBounds,
        _memory: &mut Recollection,
    ) -> Result<Option<Line<'_>>, ReadError> {
        self.next = self.parser.rest.map_or(0, |rest| self.next + rest);
        if self.next == 0 {
            loop {
                if !self.lines.advance()? {
                    return Ok(None);
                }
                if !self.lines.bytes().trim_ascii().is_empty() {
                    break;
                }
            }
        }
        let line_bytes = self.lines.line_bytes() - self.next as u64;
        let excerpt = Excerpt::part(&self.lines.bytes()[self.next..], line_bytes);
        Ok(Some(self.parser.parse(self.lines.number(), excerpt, bounds)))
    }

    fn summary(&self) -> SourceSummary {
        self.parser.summary()
    }
}

/// Parses single lines: the lines of a source, or the rows of the inbox.
#[derive(Default)]
pub struct LineParser {
    remarks: Remarks,
    rest: Option<usize>,
}

impl LineParser {
    /// Parses a line that was sent alone. An empty line is a reject.
    pub fn parse_alone<'a>(&mut self, number: u64, bytes: &'a [u8], bounds: TimeBounds) -> Line<'a> {
        self.parse(number, Excerpt::of(bytes), bounds)
    }

    /// Where the second object of the last parsed text begins, if it has one: two objects on a line are two events.
    pub fn rest(&self) -> Option<usize> {
        self.rest
    }

    /// What the lines so far contained in addition to their events.
    pub fn summary(&self) -> SourceSummary {
        (&self.remarks).into()
    }

    fn parse<'a>(&mut self, number: u64, excerpt: Excerpt<'a>, bounds: TimeBounds) -> Line<'a> {
        self.rest = None;
        let line = self.parse_line(number, excerpt, bounds);
        if let Ok(event) = &line.result {
            self.remarks.look_at(number, event);
        }
        line
    }

    fn parse_line<'a>(&mut self, number: u64, mut excerpt: Excerpt<'a>, bounds: TimeBounds) -> Line<'a> {
        if excerpt.line_bytes > LINE_BYTES_MAX as u64 {
            let result = Err(RejectReason::TooLong(excerpt.line_bytes));
            return Line { number, excerpt, result, rule: None };
        }
        let text = match std::str::from_utf8(&excerpt.bytes) {
            Ok(text) => text,
            Err(error) => {
                let not_utf8 = RejectReason::NotUtf8(error.valid_up_to() + 1);
                let result = Err(cause(&excerpt.bytes).map_or(not_utf8, RejectReason::Recognised));
                return Line { number, excerpt, result, rule: None };
            }
        };
        if memmem::find(text.as_bytes(), MARK_OF_REJECTS).is_some()
            && let Ok(rejected) = serde_json::from_str::<RejectedLine<'_>>(text)
        {
            return self.parse_mended(number, rejected, bounds);
        }
        let mut result = parse_object(text, bounds, &mut self.remarks.unknown);
        if result.is_err()
            && let Some((end, next)) = end_of_first(text)
        {
            excerpt = excerpt.cut(end);
            self.rest = Some(next);
            let first = std::str::from_utf8(&excerpt.bytes).unwrap_or_default();
            // The unknown keys of this object were counted before.
            result = parse_object(first, bounds, &mut UnknownKeys::default());
        }
        Line { number, excerpt, result, rule: None }
    }

    fn parse_mended(&mut self, number: u64, rejected: RejectedLine<'_>, bounds: TimeBounds) -> Line<'static> {
        let result = if rejected.is_lossy && rejected.text.contains(char::REPLACEMENT_CHARACTER) {
            Err(RejectReason::NotMended)
        } else if let Some(header) = &rejected.header {
            csv::parse_row(header, &rejected.text, bounds, &mut self.remarks.unknown)
        } else {
            parse_object(&rejected.text, bounds, &mut self.remarks.unknown)
        };
        let excerpt = Excerpt {
            header: rejected.header.map(|header| Cow::Owned(header.into_owned())),
            is_lossy: rejected.is_lossy,
            ..Excerpt::of_text(rejected.text.into_owned())
        };
        Line { number, excerpt, result, rule: None }
    }
}

fn parse_object(
    text: &str,
    bounds: TimeBounds,
    unknown: &mut UnknownKeys,
) -> Result<PassEvent, RejectReason> {
    let text = text.trim_start_matches(['\0', '\u{1e}']);
    if text.trim_ascii().is_empty() {
        return Err(RejectReason::Empty);
    }
    let mut draft = Draft::default();
    let mut refused = None;
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(Keys { draft: &mut draft, unknown, refused: &mut refused })
        .and_then(|()| json.end())
        .map_err(|error| refused.map_or_else(|| syntax_reason(text, &error), |why| refusal(text, why)))?;
    draft.finish(bounds).map_err(|why| refusal(text, why))
}

/// Where the first object ends and where a second one begins, if there is one.
fn end_of_first(text: &str) -> Option<(usize, usize)> {
    let start = fillers_at_start(text.as_bytes());
    let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Members<'_>>();
    values.next()?.ok()?;
    let end = start + values.byte_offset();
    let next = text[end..].trim_start_matches(['\0', '\u{1e}', ' ', '\t', '\r', '\n']);
    next.starts_with('{').then_some((end, text.len() - next.len()))
}

/// Why an object is no event. A second look adds the place or the cause, if it finds it.
fn refusal(text: &str, why: EventError) -> RejectReason {
    let members = serde_json::from_str(text).unwrap_or_else(|_| Members::default());
    match &why {
        EventError::Twice(key) => {
            let is_it =
                |found: &Cow<'_, str>| key_named(found).is_some_and(|name| Some(name) == key_named(key));
            let mut places = members
                .0
                .iter()
                .filter(|(found, _)| is_it(&plain(found)))
                .map(|(found, _)| found.as_ptr().addr() - text.as_ptr().addr() + 1);
            match (places.next(), places.next()) {
                (Some(first), Some(second)) => RejectReason::KeyTwice { key: key.clone(), first, second },
                _ => why.into(),
            }
        }
        EventError::Missing(_) => {
            let holds_event = |value: &str| {
                value.trim_start().starts_with('{')
                    && ["\"occurred_at\"", "\"started_at\""].iter().any(|name| value.contains(name))
            };
            let reason = |(key, value): &(&str, &str)| {
                let key = plain(key).chars().take(KEY_CHARS_MAX).collect();
                match value.as_bytes().first()? {
                    b'"' => holds_event(&plain(value)).then_some(RejectReason::Wrapped(key)),
                    b'{' => holds_event(value).then_some(RejectReason::Inside(key, "")),
                    b'[' => holds_event(&value[1..]).then_some(RejectReason::Inside(key, "[]")),
                    _ => None,
                }
            };
            members.0.iter().find_map(reason).unwrap_or_else(|| why.into())
        }
        _ => why.into(),
    }
}

/// The text of a JSON string that was parsed before, so it is valid.
fn plain(json: &str) -> Cow<'_, str> {
    unquoted(json).unwrap_or_default()
}

fn syntax_reason(text: &str, error: &serde_json::Error) -> RejectReason {
    if let Some(cause) = cause(text.as_bytes()) {
        return RejectReason::Recognised(cause);
    }
    if !text.trim_start().starts_with(['{', '[', '"'])
        && let Some(object) = text.find("{\"")
    {
        return RejectReason::Prefixed(object + 1);
    }
    if error.is_data() {
        return RejectReason::NotObject;
    }
    // The column is at the value, or behind a minus and the first wrong letter.
    for start in error.column().saturating_sub(2)..error.column() {
        let found = |name: &&str| text.get(start..).is_some_and(|rest| rest.starts_with(*name));
        if let Some(what) = ["NaN", "Infinity", "-Infinity"].into_iter().find(found) {
            return RejectReason::NoNumber { what, column: start + 1 };
        }
    }
    let message = error.to_string();
    let what = message.split(" at line ").next().unwrap_or(&message);
    RejectReason::NotJson { what: what.to_owned(), column: error.column() }
}

/// Hands the keys of an object to a draft one by one, so that no tree of the line is built.
struct Keys<'a> {
    draft: &'a mut Draft,
    unknown: &'a mut UnknownKeys,
    /// Why the draft refused a key. It is kept here because an error of serde can carry only text.
    refused: &'a mut Option<EventError>,
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // Keys and values are taken as written: a number keeps its digits, and a text without escapes is not copied.
        while let Some(key) = map.next_key::<&serde_json::value::RawValue>()? {
            let value = map.next_value::<&serde_json::value::RawValue>()?;
            let key = unquoted(key.get()).map_err(serde::de::Error::custom)?;
            let value = raw_value(value.get()).map_err(serde::de::Error::custom)?;
            match self.draft.set(&key, value) {
                Ok(true) => {}
                Ok(false) => self.unknown.note(&key),
                Err(error) => {
                    *self.refused = Some(error);
                    return Err(serde::de::Error::custom("refused"));
                }
            }
        }
        Ok(())
    }
}

fn raw_value(json: &str) -> Result<RawValue<'_>, serde_json::Error> {
    Ok(match json.as_bytes().first() {
        Some(b'"') => RawValue::Text(unquoted(json)?),
        Some(b'{' | b'[') => RawValue::Nested,
        Some(b't') => RawValue::Flag(true),
        Some(b'f') => RawValue::Flag(false),
        Some(b'n') | None => RawValue::Absent,
        Some(_) => RawValue::Number(json),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Instant, Property};

    const START: &str = r#"{"occurred_at":"2026-11-10T08:00:00Z","event":"authn_ok","requestor_id":"REF30""#;

    fn bounds() -> TimeBounds {
        let now = Instant::from_nanos(1_795_000_000_000_000_000);
        TimeBounds { latest: now, now }
    }

    fn with(rest: &str) -> Result<PassEvent, RejectReason> {
        parse_object(&format!("{START}{rest}"), bounds(), &mut UnknownKeys::default())
    }

    #[test]
    fn values_are_taken_as_the_source_wrote_them() {
        for (json, expected) in [
            (r#""Cablevision""#, Some("Cablevision")),
            (r#""a\"\\\/\u00e9\n""#, Some("a\"\\/é\n")),
            (r#""\ud83d\ude00""#, Some("😀")),
            ("12.50", Some("12.50")),
            ("-1e+400", Some("-1e+400")),
            ("123456789012345678901234567890", Some("123456789012345678901234567890")),
            ("true", Some("true")),
            ("false", Some("false")),
            ("null", None),
            (r#""""#, None),
        ] {
            let event = with(&format!(",\"mvpd\" : {json} }}")).expect(json);
            assert_eq!(event.property(Property::Mvpd), expected, "{json}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_becomes_one_replacement_character() {
        for (json, expected) in [
            (r"\ud83d", "\u{fffd}"),
            (r"a\ude00b", "a\u{fffd}b"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
            (r"\ud83dx\u00ed\u0020", "\u{fffd}xí "),
            (r"\ud7ff\ud800", "\u{d7ff}\u{fffd}"),
        ] {
            let event = with(&format!(r#","mvpd":"{json}","\udc00":1}}"#)).expect(json);
            assert_eq!(event.property(Property::Mvpd), Some(expected), "{json}");
        }
    }

    #[test]
    fn a_broken_line_says_what_broke() {
        for (line, expected) in [
            ("[1]", "is not a JSON object"),
            ("\"text\"", "is not a JSON object"),
            ("1", "is not a JSON object"),
            ("null", "is not a JSON object"),
            ("{\"event\":", "is not JSON: EOF while parsing a value at column 9"),
            (
                "{\"mvpd\":\"a\tb\"}",
                "is not JSON: control character (\\u0000-\\u001F) found while parsing a string at column 10",
            ),
            ("{\"mvpd\":01}", "is not JSON: invalid number at column 10"),
            ("{} {}", "is not JSON: trailing characters at column 4"),
            ("{}", "occurred_at is missing"),
            ("{\"mvpd\":{\"a\":1}}", "mvpd must be text, a number or a boolean, not an object or a list"),
            ("{\"mvpd\":null,\"mvpd\":\"a\"}", "mvpd is given twice, at columns 2 and 14"),
            ("{\"mvpd\":1, \"MVPD\":2}", "MVPD is given twice, at columns 2 and 12"),
            ("{\"count\":1,\"Count\":2}", "Count is given twice, at columns 2 and 12"),
            (
                r#"{"log":"{\"occurred_at\":1}\n","time":"x"}"#,
                "holds its event as text in \"log\", as a log driver wraps it; unwrap it first, as jq -r .log FILE | passbridge ingest - does",
            ),
            (
                "2026-11-10T08:00:00Z stdout F {\"event\":1}",
                "has other text before its object, which begins at column 31; take that off first, as sed 's/^[^{]*//' FILE | passbridge ingest - does",
            ),
            (
                "{'event':1}",
                "has single quotes, as Python prints an object; JSON has double ones, as json.dumps writes them",
            ),
            ("{\"ttl\":NaN}", "has NaN at column 8, which JSON does not know; write null"),
            ("{\"ttl\": -Infinity}", "has -Infinity at column 9, which JSON does not know; write null"),
            ("{\"ttl\":Infinity}", "has Infinity at column 8, which JSON does not know; write null"),
        ] {
            let reason = parse_object(line, bounds(), &mut UnknownKeys::default()).expect_err(line);
            assert_eq!(reason.to_string(), expected, "{line}");
        }
    }

    #[test]
    fn two_objects_on_a_line_are_two_events_and_a_bad_one_costs_only_itself() {
        let event = |mvpd: &str| format!("{START},\"mvpd\":\"{mvpd}\"}}");
        let source = [
            format!("{}{}", event("a"), event("b")),
            format!("\u{1e}{} \u{1e}{} ", event("c"), event("d")),
            format!("{{}}{}{{\"event\":1}}", event("e")),
            format!("{}]", event("f")),
            event("g"),
        ];
        let source = source.join("\n");
        let mut reader = NdjsonReader::new(source.as_bytes());
        let mut found = Vec::new();
        while let Some(line) = reader.next_line(bounds(), &mut Recollection::new(None)).expect("memory") {
            let told = match line.result {
                Ok(event) => event.property(Property::Mvpd).unwrap_or("-").to_owned(),
                Err(reason) => format!("{reason}: {}", String::from_utf8_lossy(&line.excerpt.bytes)),
            };
            found.push(format!("{} {told}", line.number));
        }
        let bracket = format!(
            "4 is a JSON list or a part of one; passbridge reads one object per line, as jq -c '.[]' FILE | passbridge ingest - \
             does: {}]",
            event("f")
        );
        let kind = "event \"1\" is unknown; the nearest is \"authn_ok\"";
        assert_eq!(
            found,
            [
                "1 a",
                "1 b",
                "2 c",
                "2 d",
                "3 occurred_at is missing: {}",
                "3 e",
                &format!("3 {kind}: {{\"event\":1}}"),
                &bracket,
                "5 g"
            ]
        );
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = "[".repeat(1_000_000);
        assert!(matches!(with(&format!(",\"zone\":{deep}")), Err(RejectReason::NotJson { .. })));
        let closed = format!(",\"zone\":{deep}{}}}", "]".repeat(1_000_000));
        assert!(with(&closed).is_ok());
    }

    #[test]
    fn unknown_keys_are_counted_and_kept_out() {
        let mut reader = NdjsonReader::new("{\"zone\":1}\n\n{\"zone\":[],\"z\\u006fne\":{}}".as_bytes());
        let mut numbers = Vec::new();
        while let Some(line) = reader.next_line(bounds(), &mut Recollection::new(None)).expect("memory") {
            numbers.push(line.number);
        }
        assert_eq!(numbers, [1, 3]);
        assert_eq!(reader.summary().remarks.unknown.to_string(), "\"zone\" (3 times)");
    }

    #[test]
    fn a_rejected_line_is_read_again_once_it_is_mended() {
        let event = format!("{START}}}");
        let row = "2026-11-10T08:00:00Z,authn_ok,REF30";
        let kept = |text: &str, header: Option<&str>, is_lossy: bool| {
            let excerpt = Excerpt {
                bytes: text.as_bytes().into(),
                line_bytes: text.len() as u64,
                header: header.map(Cow::Borrowed),
                is_lossy,
            };
            let rejected = RejectedLine::new("a", 3, "was bad", &excerpt);
            serde_json::to_string(&rejected).expect("text")
        };
        let header = Some("occurred_at,event,requestor_id");
        for (line, expected) in [
            (kept(&event, None, false), None),
            (kept(&event, None, true), None),
            (kept(row, header, false), None),
            (kept("{}", None, false), Some("occurred_at is missing")),
            (kept("", None, false), Some("is empty")),
            (kept("a,b", header, false), Some("has 2 fields; the header has 3")),
            (
                kept("{\"mvpd\":\"\u{fffd}\"}", None, true),
                Some("still holds U+FFFD where its source was not UTF-8; put what belongs there"),
            ),
        ] {
            let mut parser = LineParser::default();
            let read = parser.parse_alone(9, line.as_bytes(), bounds());
            assert_eq!(read.result.err().map(|reason| reason.to_string()).as_deref(), expected, "{line}");
            // A line that is rejected again is kept in the same form, not wrapped twice.
            let again = RejectedLine::new("a", 3, "was bad", &read.excerpt);
            assert_eq!(serde_json::to_string(&again).expect("text"), line);
            assert!(parser.summary().remarks.unknown.is_empty());
        }
    }
}
