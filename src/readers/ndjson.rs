//! NDJSON: one canonical event as a JSON object per line, or a mended line of a rejects file.

use std::borrow::Cow;
use std::fmt;
use std::io::BufRead;
use std::sync::{Arc, LazyLock};

use memchr::memmem::Finder;
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};

use super::cause::cause;
use super::csv;
use super::line::{
    EXCERPT_BYTES_MAX, Excerpt, LINE_BYTES_MAX, Line, ReadResult, Reader, RejectReason, SourceSummary,
};
use super::lines::{Lines, fillers_at_start};
use super::map::Map;
use super::members::{Members, raw_value, unquoted};
use super::memory::Recollection;
use super::parts;
use super::rejected::RejectedLine;
use super::remarks::Remarks;
use super::unknown::UnknownKeys;
use super::wrapper::wrapped;
use crate::event::{Draft, EventError, PassEvent, TimeBounds, key_named};

/// Every line of a rejects file contains this text. Other lines are not tried as lines of such a file.
static MARK_OF_REJECTS: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"reason\""));

/// Reads NDJSON. Blank lines are skipped; a byte order mark and CR LF are accepted.
pub struct NdjsonReader<R> {
    lines: Lines<R>,
    /// Where the object that was returned last begins in the current line, in bytes.
    next: usize,
    parser: LineParser,
}

impl<R: BufRead> NdjsonReader<R> {
    pub fn new(source: R, map: Option<Arc<Map>>) -> NdjsonReader<R> {
        NdjsonReader { lines: Lines::new(source), next: 0, parser: LineParser::with(map) }
    }
}

impl<R: BufRead> Reader for NdjsonReader<R> {
    fn next_line(&mut self, bounds: TimeBounds, _memory: &mut Recollection) -> ReadResult<Option<Line<'_>>> {
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
        let bytes = &self.lines.bytes()[self.next..];
        Ok(Some(self.parser.parse(self.lines.number(), bytes, line_bytes, bounds)))
    }

    fn summary(&self) -> SourceSummary {
        self.parser.summary()
    }
}

/// What a line said, and the event or the reason of its reject.
type Parsed<'a> = (Excerpt<'a>, Result<PassEvent, RejectReason>);

/// Parses single lines: lines of a source, rows of the inbox, or elements of a submission.
#[derive(Default)]
pub struct LineParser {
    remarks: Remarks,
    rest: Option<usize>,
    map: Option<Arc<Map>>,
}

impl LineParser {
    pub fn with(map: Option<Arc<Map>>) -> LineParser {
        LineParser { map, ..LineParser::default() }
    }

    /// Parses a line that was sent alone. An empty line is a reject.
    pub fn parse_alone<'a>(&mut self, number: u64, bytes: &'a [u8], bounds: TimeBounds) -> Line<'a> {
        self.remarks.is_packed = false;
        self.parse(number, bytes, bytes.len() as u64, bounds)
    }

    /// Where the second object begins in the text that was parsed last. Each object is an event.
    pub fn rest(&self) -> Option<usize> {
        self.rest
    }

    pub fn summary(&self) -> SourceSummary {
        let mut summary = SourceSummary::from(&self.remarks);
        let unmet = self.map.as_ref().map_or_else(Vec::new, |map| map.unmet(&self.remarks.unknown));
        summary.remarks.unmet = unmet.join(", ");
        summary
    }

    fn parse<'a>(&mut self, number: u64, bytes: &'a [u8], line_bytes: u64, bounds: TimeBounds) -> Line<'a> {
        let is_behind_another = self.rest.take().is_some();
        let (excerpt, result) = match is_behind_another.then(|| end_of_first(bytes)).flatten() {
            // Only this object is looked at. A look at all that follows would take a time that grows with the square of
            // the number of objects.
            Some((end, next)) => {
                self.rest = Some(next);
                self.parse_line(&bytes[..end], end as u64, bounds)
            }
            None => self.parse_line(bytes, line_bytes, bounds),
        };
        if excerpt.map.is_some() && result.is_ok() {
            self.remarks.mapped.note(number);
        }
        parts::line(&mut self.remarks, number, excerpt, result)
    }

    fn parse_line<'a>(&mut self, bytes: &'a [u8], line_bytes: u64, bounds: TimeBounds) -> Parsed<'a> {
        let mark = self.map.as_ref().map(|map| map.name());
        let excerpt = |kept: &'a [u8]| Excerpt { map: mark.clone(), ..Excerpt::part(kept, line_bytes) };
        if line_bytes > LINE_BYTES_MAX as u64 {
            let kept = &bytes[..bytes.len().min(EXCERPT_BYTES_MAX)];
            return (excerpt(kept), Err(RejectReason::TooLong(line_bytes)));
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let not_utf8 = RejectReason::NotUtf8(error.valid_up_to() + 1);
                return (excerpt(bytes), Err(cause(bytes).map_or(not_utf8, RejectReason::Recognised)));
            }
        };
        if MARK_OF_REJECTS.find(bytes).is_some()
            && let Ok(rejected) = serde_json::from_str::<RejectedLine<'_>>(text)
        {
            return self.parse_mended(rejected, bounds);
        }
        let map = self.map.as_deref();
        let result = parse_object(text, map, bounds, &mut self.remarks.unknown);
        if result.is_err()
            && let Some((end, next)) = end_of_first(bytes)
        {
            self.rest = Some(next);
            // The first attempt has already counted the unknown keys of this object.
            let result = parse_object(&text[..end], map, bounds, &mut UnknownKeys::default());
            return (Excerpt { line_bytes: end as u64, ..excerpt(&bytes[..end]) }, result);
        }
        (excerpt(bytes), result)
    }

    fn parse_mended(&mut self, rejected: RejectedLine<'_>, bounds: TimeBounds) -> Parsed<'static> {
        let result = if rejected.is_lossy && rejected.text.contains(char::REPLACEMENT_CHARACTER) {
            Err(RejectReason::NotMended)
        } else {
            let map = self.map.as_deref().filter(|map| Some(&*map.name()) == rejected.map.as_deref());
            let unknown = &mut self.remarks.unknown;
            match (&rejected.map, &rejected.header) {
                _ if rejected.text.is_empty() => Err(RejectReason::Recognised(
                    "was kept without its text, because it may hold a secret or is a part of a report: mend its source, and ingest that again",
                )),
                (Some(name), _) if map.is_none() => Err(RejectReason::OtherMap(name.to_string())),
                (_, Some(header)) => csv::parse_row(header, &rejected.text, map, bounds, unknown),
                (_, None) => parse_object(&rejected.text, map, bounds, unknown),
            }
        };
        let map = rejected.map.map(|name| name.into());
        let header = rejected.header.map(|header| Cow::Owned(header.into_owned()));
        let excerpt = Excerpt::of_text(rejected.text.into_owned());
        (Excerpt { header, map, is_lossy: rejected.is_lossy, ..excerpt }, result)
    }
}

fn parse_object(
    text: &str,
    map: Option<&Map>,
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
    json.deserialize_map(Keys { draft: &mut draft, map, unknown, refused: &mut refused })
        .and_then(|()| json.end())
        .map_err(|error| refused.map_or_else(|| syntax_reason(text, &error), |why| refusal(text, why)))?;
    let Some(map) = map else { return draft.finish(bounds).map_err(|why| refusal(text, why)) };
    map.complete(&mut draft, unknown)?;
    draft.finish(bounds).map_err(|why| match why {
        EventError::Missing(name) => map.why_missing(name).map_or(why.into(), RejectReason::Misplaced),
        _ => why.into(),
    })
}

/// Where the first object ends and the second begins; `None` if a text has no second object. Reads nothing behind that.
fn end_of_first(text: &[u8]) -> Option<(usize, usize)> {
    let start = fillers_at_start(text);
    let mut values = serde_json::Deserializer::from_slice(&text[start..]).into_iter::<Members<'_>>();
    values.next()?.ok()?;
    let end = start + values.byte_offset();
    let is_filler = |byte: &&u8| matches!(**byte, 0 | 0x1E | b' ' | b'\t' | b'\r' | b'\n');
    let next = end + text[end..].iter().take_while(is_filler).count();
    (text.get(next) == Some(&b'{')).then_some((end, next))
}

/// Why an object is no event. Reads the object again to find the place or the cause.
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
        EventError::Missing(_) if is_of_esm(&members) => RejectReason::Recognised(
            "is a record of an ESM report: ingest the whole report, with its list \"report\" (jq -s '{report: flatten}' FILE makes it of records), and mend it there if it is to be mended",
        ),
        EventError::Missing(_) | EventError::Nested(_) => {
            wrapped(text, false).map_or_else(|| why.into(), RejectReason::Misplaced)
        }
        _ => why.into(),
    }
}

/// Whether an object has the parts of the time that each record of an ESM report has.
fn is_of_esm(members: &Members<'_>) -> bool {
    ["year", "month", "requestor-id"]
        .iter()
        .all(|name| members.0.iter().any(|(found, _)| plain(found) == *name))
}

/// The text of a JSON string that was parsed before; empty if it has half a character.
fn plain(json: &str) -> Cow<'_, str> {
    unquoted(json).unwrap_or_default()
}

fn syntax_reason(text: &str, error: &serde_json::Error) -> RejectReason {
    if let Some(cause) = cause(text.as_bytes()) {
        return RejectReason::Recognised(cause);
    }
    if let Some(filler) = RejectReason::of_filler(text.as_bytes()) {
        return filler;
    }
    if !text.trim_start().starts_with(['{', '[', '"'])
        && let Some(object) = text.find("{\"")
    {
        return RejectReason::Prefixed(object + 1);
    }
    if error.is_data() {
        return RejectReason::NotObject;
    }
    if error.is_eof() {
        return RejectReason::BreaksOff(error.column());
    }
    // The parser's column is that of the value or, if the value has a minus, that of the letter after the minus.
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
    map: Option<&'a Map>,
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
            // A name with half a character is the name of no key.
            let key = unquoted(key.get()).unwrap_or(Cow::Borrowed(key.get()));
            let (json, raw) = (value.get(), raw_value(value.get()));
            let taken = match self.map {
                None => match self.draft.set(&key, raw) {
                    Ok(true) => Ok(()),
                    Ok(false) => self.unknown.take(&key, &raw_value(json), json),
                    Err(error) => Err(error),
                },
                Some(map) => map.take((self.draft, self.unknown), &key, raw, json),
            };
            if let Err(error) = taken {
                *self.refused = Some(error);
                return Err(serde::de::Error::custom("refused"));
            }
        }
        Ok(())
    }
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
        parse_object(&format!("{START}{rest}"), None, bounds(), &mut UnknownKeys::default())
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
    fn an_identifier_that_is_a_number_with_an_exponent_is_rejected_however_it_is_written() {
        for key in ["event_id", "mvpd_user_id", "visitor_id", "device_id", "session_id"] {
            for number in ["1e22", "1e+22", "1.5E22", "1.2345678901234568e+22"] {
                let reason = with(&format!(r#","{key}":{number}}}"#)).expect_err(number).to_string();
                assert!(reason.starts_with(&format!("{key} {number}")), "{reason}");
            }
        }
    }

    #[test]
    fn half_a_character_rejects_its_event_and_names_the_key() {
        for key in ["event_id", "mvpd_user_id", "device_id", "mvpd", "resource_id"] {
            for json in
                [r"\ud83d", r"a\ude00b", r"\ud83d\ud83d\ude00", r"\uD83Dx\u00ed\u0020", r"\ud7ff\ud800"]
            {
                let reason = with(&format!(r#","{key}":"{json}"}}"#)).expect_err(json).to_string();
                assert!(reason.starts_with(&format!("{key} has half a character")), "{key} {json}: {reason}");
            }
        }
        let event = with(r#","event_id":"\ud83d\ude00 \\ud83d","region":"\ud83d","\udc00":1}"#)
            .expect("no key of an event");
        assert_eq!(event.event_id(), Some(r"😀 \ud83d"));
    }

    #[test]
    fn a_broken_line_says_what_broke() {
        for (line, expected) in [
            ("[1]", "is not a JSON object"),
            ("\"text\"", "is not a JSON object"),
            ("1", "is not a JSON object"),
            ("null", "is not a JSON object"),
            ("{\"event\":", "breaks off at column 9, inside its object; get the whole line from its source"),
            (
                "{\"mvpd\":\"a\tb\"}",
                "is not JSON: control character (\\u0000-\\u001F) found while parsing a string at column 10",
            ),
            ("{\"mvpd\":01}", "is not JSON: invalid number at column 10"),
            ("{} {}", "is not JSON: trailing characters at column 4"),
            ("{}\0\0", "ends with 2 zero bytes; take them off, and see that nothing is cut off before them"),
            (
                "{\"mvpd\":\"a\0",
                "ends with 1 zero bytes; take them off, and see that nothing is cut off before them",
            ),
            ("{\"mvpd\":\"a\0\"}", "has a zero byte at byte 11; a part may be lost there"),
            ("\u{1a}", "ends with DOS's mark of the end of a file (byte 0x1A); take it off"),
            ("{}", "occurred_at is missing"),
            ("{\"mvpd\":{\"a\":1}}", "mvpd must be text, a number or a boolean, not an object or a list"),
            ("{\"mvpd\":null,\"mvpd\":\"a\"}", "mvpd is given twice, at columns 2 and 14"),
            ("{\"mvpd\":1, \"MVPD\":2}", "MVPD is given twice, at columns 2 and 12"),
            ("{\"count\":1,\"Count\":2}", "Count is given twice, at columns 2 and 12"),
            (
                r#"{"log":"{\"occurred_at\":1}\n","time":"x"}"#,
                "holds its event as text in \"log\", as a log driver or an export wraps it; take it out first, as jq -r '.log' FILE | passbridge ingest - does",
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
            let reason = parse_object(line, None, bounds(), &mut UnknownKeys::default()).expect_err(line);
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
        let mut reader = NdjsonReader::new(source.as_bytes(), None);
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
        let kind = "event \"1\" is unknown";
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
    fn many_objects_on_a_line_take_about_the_time_that_they_take_on_lines_of_their_own() {
        const EVENTS: usize = 20_000;
        let time_of = |separator: &str| {
            let source = vec![format!("{START}}}"); EVENTS].join(separator);
            let began_at = std::time::Instant::now();
            let mut reader = NdjsonReader::new(source.as_bytes(), None);
            let mut events = 0;
            while let Some(line) = reader.next_line(bounds(), &mut Recollection::new(None)).expect("memory") {
                events += usize::from(line.result.is_ok());
            }
            assert_eq!(events, EVENTS);
            began_at.elapsed()
        };
        let (lines, line) = (time_of("\n"), time_of(""));
        assert!(line < lines * 10 + std::time::Duration::from_secs(2), "{line:?}, on lines {lines:?}");
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = "[".repeat(1_000_000);
        assert!(matches!(with(&format!(",\"zone\":{deep}")), Err(RejectReason::BreaksOff(_))));
        let closed = format!(",\"zone\":{deep}{}}}", "]".repeat(1_000_000));
        assert!(with(&closed).is_ok());
    }

    #[test]
    fn unknown_keys_are_counted_and_kept_out() {
        let mut reader =
            NdjsonReader::new("{\"zone\":1}\n\n{\"zone\":[],\"z\\u006fne\":{}}".as_bytes(), None);
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
            let excerpt =
                Excerpt { header: header.map(Cow::Borrowed), is_lossy, ..Excerpt::of(text.as_bytes()) };
            let rejected = RejectedLine::new("a", 3, "was bad", &excerpt);
            serde_json::to_string(&rejected).expect("text")
        };
        let header = Some("occurred_at,event,requestor_id");
        for (line, expected) in [
            (kept(&event, None, false), None),
            (kept(&event, None, true), None),
            (kept(row, header, false), None),
            (kept("{}", None, false), Some("occurred_at is missing")),
            (
                kept("", None, false),
                Some(
                    "was kept without its text, because it may hold a secret or is a part of a report: mend its source, and ingest that again",
                ),
            ),
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
        let own =
            format!("{START},\"path\":\"/x\",\"line\":3,\"reason\":\"expired\",\"text\":\"session ended\"}}");
        assert!(LineParser::default().parse_alone(9, own.as_bytes(), bounds()).result.is_ok());
    }
}
