//! Finds an event or an exchange inside an object of another program, so that a message says where it is.

use serde_json::value::RawValue;

use super::members::{Members, unquoted};
use super::rest_v2::decode_base64;

/// How many objects and lists are searched, one inside the other.
const DEPTH_MAX: usize = 8;
/// The member by which an event is recognised and, in three spellings, that of an exchange; in lower case.
const STARTS: [&str; 4] = ["occurred_at", "started_at", "startedat", "started-at"];
/// The names that log drivers and exports give to what they wrap, also with `json`, `text` or `log` before the name. A
/// message about a line that may have secrets shows no other name.
const KNOWN: [&str; 27] = [
    "message",
    "@message",
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
    "content",
    "raw",
    "_raw",
    "result",
    "detail",
    "hits",
    "before",
    "after",
    "streams",
    "values",
    "kinesis",
    "data_base64",
    "value",
];

/// Where an event or an exchange is.
#[derive(Default)]
struct Place {
    is_exchange: bool,
    is_text: bool,
    /// Whether the text is Base64.
    is_base64: bool,
    /// Whether the object is a change of a row, as Debezium writes it: `before`, `after`, and `op` for the kind of change.
    is_change: bool,
    /// The names of the members around the event or exchange, the innermost first, with `[]` behind the name of a list.
    names: Vec<String>,
}

/// Says where a line of another program has an event or an exchange, and how to take it out; `None` if it has none.
pub(crate) fn wrapped(line: &str, has_secrets: bool) -> Option<String> {
    let Place { is_exchange, is_text, is_base64, is_change, mut names } = inside(line, DEPTH_MAX)?;
    names.reverse();
    let (what, format) = if is_exchange { ("exchange", " --format rest-v2") } else { ("event", "") };
    let (place, option) = match (is_base64, is_text) {
        (true, _) => ("as Base64 in", 'r'),
        (false, true) => ("as text in", 'r'),
        (false, false) => ("inside", 'c'),
    };
    let start = format!("holds its {what} {place}");
    let advice = match is_change {
        true => {
            "in a change log of a database, where a changed or deleted row is no new event; take the new rows out first"
        }
        false => "as a log driver or an export wraps it; take it out first",
    };
    if names.is_empty() || has_secrets && !names.iter().all(|name| is_known(name)) {
        return (!names.is_empty()).then(|| format!("{start} a member, {advice}"));
    }
    let shown: String = names.join(".").replace("[]", "").chars().take(64).collect();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_@[]".contains(letter);
    // A name with other letters could be a command of the shell.
    if !names.iter().all(|name| name.chars().all(is_plain)) {
        return Some(format!("{start} {shown:?}, {advice}"));
    }
    let step = |name: &String| {
        let (bare, list) = name.split_at(name.find('[').unwrap_or(name.len()));
        match bare.as_bytes() {
            // A number as a name is the key of one event among others, so all members are taken.
            digits if digits.iter().all(u8::is_ascii_digit) => format!(".[]{list}"),
            [b'@' | b'0'..=b'9', ..] => format!(".\"{bare}\"{list}"),
            b"after" if is_change => format!("|select(.op==\"c\" or .op==\"r\").{name}"),
            _ => format!(".{name}"),
        }
    };
    let path: String = names.iter().map(step).collect();
    let path = path.strip_prefix('|').unwrap_or(&path).to_owned() + if is_base64 { "|@base64d" } else { "" };
    let command = format!("jq -{option} '{path}' FILE | passbridge ingest{format} -");
    Some(format!("{start} {shown:?}, {advice}, as {command} does"))
}

fn is_known(name: &str) -> bool {
    let small = name.split('[').next().unwrap_or_default().to_ascii_lowercase();
    let behind = ["json", "text", "log"].iter().find_map(|kind| small.strip_prefix(kind));
    KNOWN.contains(&&*small) || behind.is_some_and(|name| KNOWN.contains(&name))
}

/// The place in an object; without names if the object itself is an event or an exchange.
fn inside(object: &str, depth: usize) -> Option<Place> {
    let Members(members) = serde_json::from_str(object).ok()?;
    let plain = |json: &str| unquoted(json).unwrap_or_default().into_owned();
    if let Some(start) = start_in(object)
        && members.iter().any(|(name, _)| plain(name).eq_ignore_ascii_case(start))
    {
        return Some(Place { is_exchange: start != STARTS[0], ..Place::default() });
    }
    let has = |wanted: &&str| members.iter().any(|(name, _)| plain(name) == *wanted);
    let is_change = ["before", "after", "op"].iter().all(has);
    members.iter().find_map(|(name, value)| {
        let (mut place, list) = match value.as_bytes()[0] {
            b'"' => (in_text(&plain(value))?, String::new()),
            b'{' if depth > 0 => (inside(value, depth - 1)?, String::new()),
            b'[' if depth > 0 => in_list(value, depth - 1)?,
            _ => return None,
        };
        place.is_change |= is_change;
        // A deleted row is only in `before`; new rows are always in `after`.
        let name = Some(plain(name)).filter(|name| !is_change || name != "before");
        place.names.push(name.unwrap_or_else(|| "after".to_owned()) + &list);
        Some(place)
    })
}

/// The place in a text that is an object, or Base64 of one.
fn in_text(text: &str) -> Option<Place> {
    let is_object = |text: &str| text.trim_start().starts_with('{');
    let of = |text: &str| Some(start_in(text).filter(|_| is_object(text))? != STARTS[0]);
    if let Some(is_exchange) = of(text) {
        return Some(Place { is_exchange, is_text: true, ..Place::default() });
    }
    let is_exchange = of(&String::from_utf8(decode_base64(text)?).ok()?)?;
    Some(Place { is_exchange, is_text: true, is_base64: true, ..Place::default() })
}

/// The place in a list, and the list as jq writes it. An item may be an object, or a pair of a time and a line (Loki).
fn in_list(list: &str, depth: usize) -> Option<(Place, String)> {
    let items: Vec<&RawValue> = serde_json::from_str(list).ok()?;
    let first = items.first()?.get();
    if !first.starts_with('[') {
        return Some((inside(first, depth)?, "[]".to_owned()));
    }
    let parts: Vec<&RawValue> = serde_json::from_str(first).ok()?;
    let place = |part: &&RawValue| in_text(&unquoted(part.get()).ok()?);
    let (at, place) = parts.iter().enumerate().find_map(|(at, part)| Some((at, place(part)?)))?;
    Some((place, format!("[][{at}]")))
}

fn start_in(text: &str) -> Option<&'static str> {
    let small = text.to_ascii_lowercase();
    STARTS.into_iter().find(|start| small.contains(start))
}
