//! The form in which rejected lines are kept, so that people can mend them and have them read again.
//!
//! ```text
//! {"path":"a.ndjson","line":3,"reason":"occurred_at is missing","text":"{\"event\":\"authn_ok\"}"}
//!     path, line    where the line came from
//!     reason        why it was rejected, for people
//!     text          the line itself, to be mended
//!     header        the header row of its source if that was CSV: the names of the cells in text
//!     map           the map by which text and header are read; without it, both have the names and values of an event
//!     is_lossy      true if the line was not UTF-8: text has U+FFFD for each bad part, which must be replaced
//!     line_bytes    the length of the whole line, if text is only its start
//! ```

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::line::Excerpt;

/// One rejected line. An object that has other fields too is refused: it may be an event with keys of these names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectedLine<'a> {
    /// The name of the source, `-` for standard input, `inbox` for the table.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// The number of the line in the source, from 1; in the inbox the number of the row.
    pub line: u64,
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    #[serde(borrow)]
    pub text: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub map: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_lossy: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_bytes: Option<u64>,
}

impl<'a> RejectedLine<'a> {
    pub fn new(path: &'a str, line: u64, reason: &'a str, excerpt: &'a Excerpt<'_>) -> RejectedLine<'a> {
        let text = String::from_utf8_lossy(&excerpt.bytes);
        RejectedLine {
            path: path.into(),
            line,
            reason: reason.into(),
            is_lossy: excerpt.is_lossy || matches!(text, Cow::Owned(_)),
            text,
            header: excerpt.header.as_deref().map(Cow::Borrowed),
            map: excerpt.map.as_deref().map(Cow::Borrowed),
            line_bytes: (excerpt.line_bytes > excerpt.bytes.len() as u64).then_some(excerpt.line_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(bytes: &[u8], line_bytes: u64) -> Excerpt<'_> {
        Excerpt { line_bytes, ..Excerpt::of(bytes) }
    }

    #[test]
    fn a_kept_line_says_what_it_lacks_and_nothing_else() {
        for (line, expected) in [
            (excerpt(b"{\"a\"", 4), r#"{"path":"p","line":7,"reason":"r","text":"{\"a\""}"#),
            (
                excerpt(b"a\xFFb", 3),
                "{\"path\":\"p\",\"line\":7,\"reason\":\"r\",\"text\":\"a\u{fffd}b\",\"is_lossy\":true}",
            ),
            (excerpt(b"a", 9), r#"{"path":"p","line":7,"reason":"r","text":"a","line_bytes":9}"#),
        ] {
            let kept = RejectedLine::new("p", 7, "r", &line);
            assert_eq!(serde_json::to_string(&kept).expect("text"), expected);
        }
    }
}
