//! Finds an event or an exchange inside an object of another program, so that a message says where it is.

use std::fmt;

use serde_json::value::RawValue;

use super::members::{Members, unquoted};

/// How many objects and lists are searched, one inside the other.
const DEPTH_MAX: usize = 8;
/// How many characters of the names a message shows.
const CHARS_MAX: usize = 64;
/// The names, in lower case, of the first member of an event and, in its spellings, of an exchange.
const STARTS: [&str; 4] = ["occurred_at", "started_at", "startedat", "started-at"];
/// The names that log drivers and exports give to what they wrap. A message about a line that may have secrets shows
/// no other name.
const KNOWN: [&str; 26] = [
    "message",
    "msg",
    "log",
    "line",
    "_source",
    "fields",
    "data",
    "body",
    "payload",
    "record",
    "records",
    "event",
    "events",
    "logevents",
    "jsonpayload",
    "textpayload",
    "@message",
    "json",
    "content",
    "text",
    "raw",
    "_raw",
    "result",
    "detail",
    "hits",
    "_msg",
];

/// Where another program put an event or an exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wrapper {
    is_exchange: bool,
    /// Whether the event or the exchange is a text.
    is_text: bool,
    /// The names of the members down to it, each with `[]` behind it if it is a list.
    names: Vec<String>,
    /// Whether the names may be secrets.
    is_hidden: bool,
}

/// The wrapper in a line, if it has one. Of a line that may have secrets only known names are shown.
pub(crate) fn wrapper(line: &str, has_secrets: bool) -> Option<Wrapper> {
    let mut found = inside(line, DEPTH_MAX)?;
    found.names.reverse();
    let is_known = |name: &String| KNOWN.contains(&&*name.trim_end_matches("[]").to_ascii_lowercase());
    found.is_hidden = has_secrets && !found.names.iter().all(is_known);
    (!found.names.is_empty()).then_some(found)
}

/// The wrapper with its names in reverse; they are empty if the object itself is an event or an exchange.
fn inside(object: &str, depth: usize) -> Option<Wrapper> {
    let start = start_in(object)?;
    let members: Members<'_> = serde_json::from_str(object).ok()?;
    let names: Vec<_> = members.0.iter().map(|(key, _)| unquoted(key).unwrap_or_default()).collect();
    if names.iter().any(|name| name.eq_ignore_ascii_case(start)) {
        return Some(Wrapper { is_exchange: start != STARTS[0], ..Wrapper::default() });
    }
    let mut values = names.iter().zip(&members.0);
    values.find_map(|(name, (_, value))| {
        let (found, list) = match value.as_bytes()[0] {
            b'"' => {
                let text = unquoted(value).ok().filter(|text| text.trim_start().starts_with('{'))?;
                let is_exchange = start_in(&text)? != STARTS[0];
                (Wrapper { is_exchange, is_text: true, ..Wrapper::default() }, "")
            }
            b'{' if depth > 0 => (inside(value, depth - 1)?, ""),
            b'[' if depth > 0 => {
                let items: Vec<&RawValue> = serde_json::from_str(value).ok()?;
                (inside(items.first()?.get(), depth - 1)?, "[]")
            }
            _ => return None,
        };
        let names = [found.names, vec![format!("{name}{list}")]].concat();
        Some(Wrapper { names, ..found })
    })
}

fn start_in(text: &str) -> Option<&'static str> {
    let small = text.to_ascii_lowercase();
    STARTS.into_iter().find(|start| small.contains(start))
}

impl fmt::Display for Wrapper {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, format) = if self.is_exchange { ("exchange", " --format rest-v2") } else { ("event", "") };
        let (place, option) = if self.is_text { ("as text in", 'r') } else { ("inside", 'c') };
        write!(out, "holds its {what} {place} ")?;
        if self.is_hidden {
            out.write_str("a member")?;
        } else {
            let names: String = self.names.join(".").replace("[]", "").chars().take(CHARS_MAX).collect();
            write!(out, "{names:?}")?;
        }
        write!(out, ", as a log driver or an export wraps it; take it out first")?;
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_@[]".contains(letter);
        // A name with other letters could be a command of the shell.
        if self.is_hidden || !self.names.iter().all(|name| name.chars().all(is_plain)) {
            return Ok(());
        }
        let steps = self.names.iter().map(|name| match name.strip_prefix('@') {
            Some(_) => format!(".\"{name}\""),
            None => format!(".{name}"),
        });
        let path: String = steps.collect();
        write!(out, ", as jq -{option} '{path}' FILE | passbridge ingest{format} - does")
    }
}
