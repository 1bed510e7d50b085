//! Guesses the format of a source from its start. A line or a document must have several keys of a format.
//! One key is not enough: events may have unknown keys, and a log may begin with lines of another program.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::lines::{BYTE_ORDER_MARK, fillers_at_start};
use super::members::{Members, unquoted};
use super::rejected::RejectedLine;
use super::rest_v2::is_same;
use super::{esm, format::Format};
use crate::event::EventKind;

const EVENT: [&str; 3] = ["occurred_at", "event", "requestor_id"];
/// Members by which the `log` of an archive is recognised if the archive is cut (HAR 1.2).
const ARCHIVE: [&[u8]; 2] = [b"\"entries\"", b"\"creator\""];
/// Members by which an ESM report in JSON is recognised if it is cut.
const REPORT: [&[u8]; 2] = [b"\"report\"", b"\"year\""];

/// A guess, and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guess {
    pub format: Format,
    /// The reason, as it follows "because" in a sentence.
    pub because: String,
}

/// The format of a source with this start, if the start shows it. `is_all`: the start is the whole source.
pub fn guess(start: &[u8], is_all: bool) -> Option<Guess> {
    let whole = start;
    let start = bare(whole);
    let passed = &whole[..whole.len() - start.len()];
    if start.first() != Some(&b'{') && esm::starts_like_esm(start) {
        let because = "it begins as a report of ESM does".to_owned();
        return Some(Guess { format: Format::Esm, because });
    }
    let first_line = 1 + memchr::memchr_iter(b'\n', passed).count();
    if is_header_of_events(start) {
        let because = "its first line names the columns occurred_at, event and requestor_id".to_owned();
        return Some(Guess { format: Format::Csv, because });
    }
    if let Some(line) = esm::header_below(start).filter(|_| !matches!(start.first(), Some(b'{' | b'['))) {
        let because = format!("line {} is the header of a report of ESM", first_line + line - 1);
        return Some(Guess { format: Format::Esm, because });
    }
    document(start).or_else(|| line(start, first_line, is_all))
}

fn is_header_of_events(start: &[u8]) -> bool {
    let mut lines = start.split(|byte| *byte == b'\n');
    let is_separator = |line: &&[u8]| line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"sep="));
    let line = lines.find(|line| !is_separator(line)).unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let names: Vec<&str> = line.split(',').map(|name| name.trim().trim_matches('"')).collect();
    EVENT.iter().all(|name| names.iter().any(|column| column.eq_ignore_ascii_case(name)))
}

/// The start without a byte order mark, white space, and the zero bytes and record separators of some writers.
fn bare(start: &[u8]) -> &[u8] {
    let start = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start);
    let is_filler = |byte: &u8| byte.is_ascii_whitespace() || fillers_at_start(&[*byte]) > 0;
    &start[start.iter().take_while(|byte| is_filler(byte)).count()..]
}

/// Guesses a format in which the whole source is one document.
fn document(start: &[u8]) -> Option<Guess> {
    let guess = |format, because: &str| Some(Guess { format, because: because.to_owned() });
    let mut values = serde_json::Deserializer::from_slice(start).into_iter::<Members<'_>>();
    let has = |name: &[u8]| memchr::memmem::find(start, name).is_some();
    match values.next()? {
        Ok(members) if members.is_archive() => guess(Format::Har, "its log has a list of entries"),
        Ok(members) if members.is_report() => guess(Format::Esm, "its report is a list of records"),
        Ok(_) => None,
        Err(_) if has(b"\"occurred_at\"") => None,
        // The document may be cut at the end of this start, or have a wrong byte, which its reader will report.
        Err(_) if first_key(start) == Some(b"log") && ARCHIVE.iter().any(|name| has(name)) => {
            guess(Format::Har, "it begins with a log that has a creator or entries")
        }
        Err(_) if esm::starts_like_esm(start) && REPORT.iter().all(|name| has(name)) => {
            guess(Format::Esm, "it has a report of records by year")
        }
        Err(_) => None,
    }
}

/// The first key of an object, if the value of that key is an object too.
fn first_key(start: &[u8]) -> Option<&[u8]> {
    let key = start.strip_prefix(b"{")?.trim_ascii_start().strip_prefix(b"\"")?;
    let (key, behind) = key.split_at(memchr::memchr(b'"', key)?);
    let value = behind[1..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    value.starts_with(b"{").then_some(key)
}

/// Guesses a format of lines. The first line that is an event, a reject or an exchange decides.
fn line(start: &[u8], first_line: usize, is_all: bool) -> Option<Guess> {
    let mut lines = (first_line..).zip(start.split_inclusive(|byte| *byte == b'\n'));
    lines.find_map(|(number, line)| {
        let is_whole = is_all || line.ends_with(b"\n");
        let line = bare(line);
        if line.first() != Some(&b'{') {
            return None;
        }
        let (format, what) = if is_whole { form_of(line)? } else { form_of_part(line)? };
        Some(Guess { format, because: format!("line {number} has {what}") })
    })
}

fn form_of(line: &[u8]) -> Option<(Format, &'static str)> {
    let mut values = serde_json::Deserializer::from_slice(line).into_iter::<Members<'_>>();
    let members = values.next()?.ok()?;
    // An event may carry the exchange that it was made of. A line of a gateway's log names no kind of event.
    let kind = members.member::<String>("event").and_then(|kind| EventKind::from_name(&kind));
    if EVENT.iter().all(|name| members.has(name)) && (kind.is_some() || !members.is_exchange()) {
        return Some((Format::Ndjson, "occurred_at, event and requestor_id"));
    }
    if members.is_exchange() {
        return Some((Format::RestV2, "started_at, and a request with method and url"));
    }
    let is_rejected = serde_json::from_slice::<RejectedLine<'_>>(line).is_ok();
    is_rejected.then_some((Format::Ndjson, "what a line of a rejects file has"))
}

/// The format of a line that is cut off, and what shows the format.
fn form_of_part(line: &[u8]) -> Option<(Format, &'static str)> {
    let small = line.to_ascii_lowercase();
    let has = |name: &str| memchr::memmem::find(&small, format!("\"{name}\"").as_bytes()).is_some();
    let has_start = ["started_at", "startedat", "started-at"].into_iter().any(has);
    if has_start && ["request", "method", "url"].into_iter().all(has) {
        return Some((Format::RestV2, "started_at, and a request with method and url"));
    }
    EVENT.into_iter().all(has).then_some((Format::Ndjson, "occurred_at, event and requestor_id"))
}

impl Members<'_> {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| unquoted(key).is_ok_and(|key| key.eq_ignore_ascii_case(name)))
    }

    /// Whether these are members of an event, perhaps without one that every event needs.
    pub(super) fn is_event(&self) -> bool {
        EVENT.iter().filter(|name| self.has(name)).count() > 1
    }

    fn member<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Option<T> {
        let (_, value) = self.0.iter().find(|(key, _)| unquoted(key).is_ok_and(|key| key == name))?;
        serde_json::from_str(value).ok()
    }

    /// The value of a member of an exchange, in any spelling of its name.
    fn of_exchange(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(key, _)| unquoted(key).is_ok_and(|key| is_same(&key, name)))?;
        Some(value)
    }

    fn is_exchange(&self) -> bool {
        let request =
            self.of_exchange("request").and_then(|json| serde_json::from_str::<Members<'_>>(json).ok());
        let is_whole = |it: Members<'_>| it.of_exchange("method").and(it.of_exchange("url")).is_some();
        self.of_exchange("started_at").is_some() && request.is_some_and(is_whole)
    }

    fn is_archive(&self) -> bool {
        let log: Option<Members<'_>> = self.member("log");
        let has_entries = log.is_some_and(|log| log.member::<Vec<IgnoredAny>>("entries").is_some());
        has_entries && !self.has("occurred_at") && !self.is_exchange()
    }

    fn is_report(&self) -> bool {
        let records: Option<Vec<BTreeMap<String, IgnoredAny>>> = self.member("report");
        let is_year = |name: &String| name.eq_ignore_ascii_case("year");
        let is_dated = |record: &BTreeMap<String, IgnoredAny>| record.keys().any(is_year);
        records.is_some_and(|records| records.iter().all(is_dated)) && !self.has("occurred_at")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXCHANGE: &str = r#"{"started_at":"2026-11-10T08:00:01Z","request":{"method":"GET","url":"https://x/"},"response":null}"#;
    const AN_EVENT: &str = r#"{"occurred_at":1,"event":"authz_ok","requestor_id":"R","report":"x"}"#;

    fn found(start: &str) -> Option<(Format, String)> {
        guess(start.as_bytes(), true).map(|guess| (guess.format, guess.because))
    }

    #[test]
    fn a_whole_form_tells_the_format_and_one_key_does_not() {
        let har = |rest: &str| format!("{{\"log\":{{\"version\":\"1.2\",{rest}");
        for (start, expected) in [
            (AN_EVENT.to_owned(), Some(Format::Ndjson)),
            (AN_EVENT.replace("occurred_at", "OCCURRED_AT"), Some(Format::Ndjson)),
            (format!("\u{feff}\n\u{1e}{AN_EVENT}"), Some(Format::Ndjson)),
            (AN_EVENT.replace('{', r#"{"log":"raw text","#), Some(Format::Ndjson)),
            (AN_EVENT.replace('{', r#"{"_links":{"self":{"href":"x"}},"#), Some(Format::Ndjson)),
            (AN_EVENT.replace('{', r#"{"log":{"version":"1","creator":"x"},"#), Some(Format::Ndjson)),
            (AN_EVENT.replace('{', r#"{"log":{"entries":[]},"#), Some(Format::Ndjson)),
            (
                EXCHANGE.replace(r#"{"started_at""#, r#"{"log":{"entries":[]},"started_at""#),
                Some(Format::RestV2),
            ),
            (AN_EVENT.replace('{', r#"{"started_at":1,"request":"GET","#), Some(Format::Ndjson)),
            (AN_EVENT.replace(r#""x""#, r#"[{"a":1}]"#), Some(Format::Ndjson)),
            (EXCHANGE.to_owned(), Some(Format::RestV2)),
            (EXCHANGE.replace("started_at", "StartedAt").replace("request", "Request"), Some(Format::RestV2)),
            (EXCHANGE.replace("method", "Method").replace("url", "URL"), Some(Format::RestV2)),
            (format!("{{\"level\":\"info\"}}\ngateway started\n{EXCHANGE}"), Some(Format::RestV2)),
            (format!("gateway started\n{AN_EVENT}\n{EXCHANGE}"), Some(Format::Ndjson)),
            (format!("{{\"log\":{EXCHANGE}}}"), None),
            (r#"{"started_at":1,"request":{"method":"GET"}}"#.to_owned(), None),
            (r#"{"path":"a","line":1,"reason":"r","text":"{}"}"#.to_owned(), Some(Format::Ndjson)),
            (har(r#""entries":[]}}"#), Some(Format::Har)),
            (har("\n\"creator\":{},\"entries\":["), Some(Format::Har)),
            (har("\n\"creator\":{},\"entries\":[{\"text\":\"a\u{1}\"}]}}"), Some(Format::Har)),
            (har(r#""pages":[]}}"#), None),
            (har("\"lines\":["), None),
            ("{\n \"_links\": {}, \"report\" : [ { \"year\": 2026,".to_owned(), Some(Format::Esm)),
            ("{\"report\":[]}".to_owned(), Some(Format::Esm)),
            ("{\n \"_links\" : {".to_owned(), None),
            ("Year,Month,day,hour\n".to_owned(), Some(Format::Esm)),
            ("<?xml version=\"1.0\"?>\n<resource href".to_owned(), Some(Format::Esm)),
            ("occurred_at,event,requestor_id,year,month".to_owned(), Some(Format::Csv)),
            ("{".to_owned(), None),
            ("sep=,\r\nOCCURRED_AT,EVENT,REQUESTOR_ID\r\n".to_owned(), Some(Format::Csv)),
            (String::new(), None),
        ] {
            assert_eq!(found(&start).map(|(format, _)| format), expected, "{start}");
        }
        let (_, because) = found(&format!("{{}}\n\n{EXCHANGE}")).expect("a guess");
        assert_eq!(because, "line 3 has started_at, and a request with method and url");
    }

    #[test]
    fn a_line_that_is_cut_is_told_by_the_names_in_it() {
        let long = AN_EVENT.replace('{', r#"{"log":{"creator":"x"},"#);
        let found = guess(&long.as_bytes()[..long.len() - 1], false).map(|guess| guess.format);
        assert_eq!(found, Some(Format::Ndjson), "{long}");
        let capitals = EXCHANGE.replace("started_at", "startedAt").replace("request", "Request");
        for (start, expected) in
            [(EXCHANGE, Format::RestV2), (&capitals, Format::RestV2), (AN_EVENT, Format::Ndjson)]
        {
            let cut = format!("{{\"level\":1}}\n{}", &start[..start.len() - 1]);
            assert_eq!(guess(cut.as_bytes(), false).map(|guess| guess.format), Some(expected), "{cut}");
        }
    }
}
