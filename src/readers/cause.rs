//! Recognises input of other programs that is no event, so that a message says what the input is and what to do.

use super::lines::BYTE_ORDER_MARK;

/// Whether a line, or the start of a source, is of this kind.
type Recogniser = fn(&[u8]) -> bool;

/// Input that no reader can read. Each text continues a sentence that begins with the name of the source or line.
const CAUSES: [(Recogniser, &str); 11] = [
    (is_packed, "is compressed data among plain text; unpack it first, as gzip -dc or zstd -dc do"),
    (
        |line| wide_encoding(line) == Some("UTF-32"),
        "is UTF-32; save it as UTF-8, as iconv -f UTF-32 -t UTF-8 FILE does",
    ),
    (
        |line| wide_encoding(line) == Some("UTF-16"),
        "is UTF-16; save it as UTF-8, as iconv -f UTF-16 -t UTF-8 FILE does",
    ),
    (is_tar, "is a tar archive; unpack it first, as tar -xO does"),
    (
        is_part_of_list,
        "is a JSON list or a part of one; passbridge reads one object per line, as jq -c '.[]' FILE | passbridge ingest - does",
    ),
    (
        is_part_of_object,
        "is a part of a JSON object on several lines; passbridge reads one object per line, as jq -c . FILE | passbridge ingest - does",
    ),
    (
        has_comma_behind,
        "has a comma behind its object; take it off first, as sed 's/,[[:space:]]*$//' FILE | passbridge ingest - does",
    ),
    (is_quoted_object, "is JSON as a text; unwrap it first, as jq -r . FILE | passbridge ingest - does"),
    (
        has_single_quotes,
        "has single quotes, as Python prints an object; JSON has double ones, as json.dumps writes them",
    ),
    (is_markup, "is XML or HTML"),
    (is_base64, "is Base64; decode it first, as base64 -d FILE | passbridge ingest - does"),
];

/// Sources that are no text of events in any format, whatever format is said.
const STRANGERS: [(Recogniser, &str); 4] = [
    (is_ebcdic, "is EBCDIC; convert it, as iconv -f IBM-1047 -t UTF-8 FILE does"),
    (is_multipart, "is a multipart form; send what is in its part alone, as curl --data-binary @FILE does"),
    (
        |start| is_recording(start, &["<?charles", "<charles-session", "\"protocolVersion\":\"HTTP"]),
        "is a session of Charles; export it as an HTTP archive (HAR) there",
    ),
    (
        |start| is_recording(start, &["http_interactions:", "\"http_interactions\""]),
        "is a recording of VCR; write its exchanges as lines of a log, as docs/sources.md describes them, or record an HTTP archive (HAR)",
    ),
];
/// Where the words that show a recording stand at the latest, in bytes.
const WORDS_WITHIN: usize = 1024;

/// What a source with this start is, if no format fits it.
pub fn stranger(start: &[u8]) -> Option<&'static str> {
    let start = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start).trim_ascii_start();
    let start = &start[..start.len().min(WORDS_WITHIN)];
    STRANGERS.into_iter().find(|(is_it, _)| is_it(start)).map(|(_, stranger)| stranger)
}

/// Whether one of these words stands there. An event may have any of them in its values.
fn is_recording(start: &[u8], words: &[&str]) -> bool {
    let has = |word: &str| memchr::memmem::find(start, word.as_bytes()).is_some();
    !has("occurred_at") && words.iter().any(|word| has(word))
}

/// Whether a text has mostly letters and digits of EBCDIC, and few capitals and digits of ASCII.
fn is_ebcdic(start: &[u8]) -> bool {
    const LETTERS: [std::ops::RangeInclusive<u8>; 7] =
        [0x81..=0x89, 0x91..=0x99, 0xA2..=0xA9, 0xC1..=0xC9, 0xD1..=0xD9, 0xE2..=0xE9, 0xF0..=0xF9];
    let letters = start.iter().filter(|byte| LETTERS.iter().any(|range| range.contains(*byte))).count();
    // The start of a text may end within a letter of UTF-8.
    let is_foreign = std::str::from_utf8(start).is_err_and(|error| error.error_len().is_some());
    let ascii = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_uppercase() || *byte == b'e';
    is_foreign
        && start.len() > 16
        && letters * 2 > start.len()
        && start.iter().filter(|byte| ascii(byte)).count() * 4 < start.len()
}

/// Whether the first line is a boundary, and a part follows (RFC 7578).
fn is_multipart(start: &[u8]) -> bool {
    let mut lines = start.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let is_boundary = lines.next().is_some_and(|line| line.starts_with(b"--") && line.len() > 2);
    let is_header = |line: &[u8]| line.get(..8).is_some_and(|name| name.eq_ignore_ascii_case(b"content-"));
    is_boundary && lines.next().is_some_and(is_header)
}

/// The text of the first cause that fits a source or a line with this start.
pub(super) fn cause(start: &[u8]) -> Option<&'static str> {
    let start = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start);
    let line = start.trim_ascii_start().split(|byte| *byte == b'\n').next()?.trim_ascii_end();
    CAUSES.into_iter().find(|(is_it, _)| is_it(line)).map(|(_, cause)| cause)
}

fn is_packed(line: &[u8]) -> bool {
    [&[0x1F, 0x8B][..], &[0x28, 0xB5, 0x2F, 0xFD], b"PK\x03\x04"].iter().any(|magic| line.starts_with(magic))
}

/// The encoding of a text with two or four bytes a letter. Such a text has a byte order mark, or zero bytes
/// next to its first letters. The caller may have removed zero bytes at the start.
pub fn wide_encoding(start: &[u8]) -> Option<&'static str> {
    match start {
        [0xFF, 0xFE, 0, 0, ..] | [0xFE, 0xFF, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => Some("UTF-32"),
        [1..=255, 0, 0, 0, 1..=255, ..] | [0, 0, 0, 1..=255, 0, ..] => Some("UTF-32"),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Some("UTF-16"),
        [1..=255, 0, 1..=255, 0, ..] | [0, 1..=255, 0, 1..=255, ..] => Some("UTF-16"),
        _ => None,
    }
}

/// A tar archive has this word at a fixed place in the header of its first file.
fn is_tar(line: &[u8]) -> bool {
    line.get(257..).is_some_and(|rest| rest.starts_with(b"ustar"))
}

fn is_part_of_list(line: &[u8]) -> bool {
    let inside = line.strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
    let is_start = inside.is_some_and(|inside| matches!(inside, [] | [b'{', ..]));
    let is_last = line.starts_with(b"{") && line.strip_suffix(b"]").is_some_and(is_object);
    is_start || is_last || matches!(line, b"]" | b"],")
}

pub(super) fn is_part_of_object(line: &[u8]) -> bool {
    let name_behind = line.strip_prefix(b"\"").and_then(|rest| rest.splitn(2, |byte| *byte == b'"').nth(1));
    let is_member = name_behind.is_some_and(|behind| behind.trim_ascii_start().starts_with(b":"));
    is_member || matches!(line, b"{" | b"}" | b"},")
}

/// Whether a rejected line is a part of a JSON object on several lines: a member, a bracket, or a text in a list.
pub(super) fn is_in_parts(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let value = line.strip_suffix(b",").unwrap_or(line);
    is_part_of_object(line) || serde_json::from_slice::<String>(value).is_ok() && !is_quoted_object(value)
}

fn has_comma_behind(line: &[u8]) -> bool {
    line.strip_suffix(b",").is_some_and(is_object)
}

fn is_object(text: &[u8]) -> bool {
    text.starts_with(b"{") && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}

fn is_quoted_object(line: &[u8]) -> bool {
    line.starts_with(b"\"")
        && serde_json::from_slice::<String>(line).is_ok_and(|text| text.trim_start().starts_with('{'))
}

fn has_single_quotes(line: &[u8]) -> bool {
    line.strip_prefix(b"{").is_some_and(|inside| inside.trim_ascii_start().starts_with(b"'"))
}

/// Whether a line is an object, a list of objects, or gzip in Base64.
fn is_base64(line: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    [b"eyJ", b"W3s", b"H4s"].iter().any(|start| line.starts_with(*start))
        && line.len() > 16
        && line.iter().all(is_letter)
}

fn is_markup(line: &[u8]) -> bool {
    let name = line.strip_prefix(b"<").and_then(|rest| rest.first());
    name.is_some_and(|first| first.is_ascii_alphabetic() || b"/!?".contains(first))
        && !line.starts_with(b"<nil>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_encodings_are_told_from_each_other_from_text_and_from_the_hole_of_a_log() {
        for start in [&b"\xFF\xFE{\0"[..], b"\xFE\xFF\0{", b"{\0\"\0e\0", b"\0{\0\"\0e"] {
            assert_eq!(wide_encoding(start), Some("UTF-16"), "{start:?}");
        }
        for start in [
            &b"\xFF\xFE\0\0{\0\0\0"[..],
            b"\0\0\xFE\xFF\0\0\0{",
            b"\xFE\xFF\0\0\0{",
            b"{\0\0\0\"\0\0\0",
            b"\0\0\0{\0\0\0\"",
        ] {
            assert_eq!(wide_encoding(start), Some("UTF-32"), "{start:?}");
        }
        for start in [&b""[..], b"{", b"{\"", b"\0\0\0\0{\"", b"\0{\"a\"", b"{\0\0\0", b"\xEF\xBB\xBF{"] {
            assert_eq!(wide_encoding(start), None, "{start:?}");
        }
    }

    #[test]
    fn what_other_programs_write_is_called_by_its_name() {
        let event = r#"{"event":"authn_ok","mvpd":"a, b"}"#;
        let wide: Vec<u8> = event.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let packed = b"\x1F\x8B\x08\0\0\0\0\0";
        for (start, expected) in [
            (&packed[..], Some("compressed data")),
            (b"\x28\xB5\x2F\xFD\x04", Some("compressed data")),
            (&wide, Some("UTF-16")),
            (&wide[1..], Some("UTF-16")),
            (b"\xFF\xFE{\0", Some("UTF-16")),
            (&[&b"e.ndjson"[..], &[0; 249], b"ustar  ", &[0; 80]].concat(), Some("a tar archive")),
            (b"{\"event\":\"a\0\0b\"}", None),
            (b"<14>1 2026-11-20T08:30:00Z host app - - {}", None),
            (format!("\u{feff} [{event},").as_bytes(), Some("a JSON list")),
            (b"[\n", Some("a JSON list")),
            (format!("{event}]").as_bytes(), Some("a JSON list")),
            (b"{\n  \"event\": \"authn_ok\"\n}", Some("on several lines")),
            (b"  \"event\" : \"authn_ok\",", Some("on several lines")),
            (b"},", Some("on several lines")),
            (format!("{event}, ").as_bytes(), Some("a comma behind")),
            (br#""{\"event\":\"authn_ok\"}""#, Some("JSON as a text")),
            (b"{'event': 'authn_ok'}", Some("single quotes")),
            (b"<html>", Some("XML or HTML")),
            (b"eyJvY2N1cnJlZF9hdCI6IjIwMjYt", Some("is Base64")),
            (b"eyJvY2N1cnJlZF9hdCI6IjIw,event", None),
            (event.as_bytes(), None),
            (b"[1]", None),
            (b"\"text\"", None),
            (b"occurred_at,event", None),
            (b"", None),
        ] {
            let found = cause(start);
            let is_right = match (found, expected) {
                (Some(found), Some(expected)) => found.contains(expected),
                (found, expected) => found == expected,
            };
            assert!(is_right, "{:?}: {found:?}", String::from_utf8_lossy(start));
        }
    }
}
