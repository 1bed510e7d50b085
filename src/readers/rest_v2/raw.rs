//! An exchange as its source wrote it, before anything is removed. Reads such an exchange from a line of a log.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::headers::{self, Headers};
use super::json::{BodyText, HAS_HALF, Text, WRONG_TEXTS, number};
use super::members;
use crate::event::Instant;

/// The longest duration of an exchange, in milliseconds: a day. A longer duration was written in a wrong unit.
const DURATION_MS_MAX: f64 = 86_400_000.0;
/// The statuses of HTTP (RFC 9110, section 15).
const STATUSES: std::ops::RangeInclusive<f64> = 100.0..=599.0;
/// The members that messages may name. Each is the `expecting` text of an object; errors of serde end in it.
const MEMBERS: &str = "exchange|entry|request|request.headers|request.postData|request.postData.params|response|\
     response.headers|response.content|name and value";

pub(super) const IS_TWICE: &str = "is given twice";
const HAS_MORE: &str = "is one exchange, and more follows on its line (put each on a line of its own, as jq -c . FILE | \
     passbridge ingest --format rest-v2 - does)";

#[derive(Debug)]
pub(super) struct RawExchange<'a> {
    pub(super) started_at: Instant,
    /// The milliseconds until the answer was complete; below 0 if unknown.
    pub(super) duration_ms: f64,
    pub(super) method: Cow<'a, str>,
    pub(super) url: Cow<'a, str>,
    /// The headers of the request, with the `Location` of the answer.
    pub(super) headers: Headers<'a>,
    pub(super) body: Result<Cow<'a, str>, Unread>,
    pub(super) status: u16,
    pub(super) answer: Cow<'a, str>,
    /// Whether an earlier release could not decode the answer and took it for empty.
    pub(super) was_answer_unread: bool,
}

/// Why a body cannot be read: a sentence that names the member and quotes nothing of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unread(pub(super) &'static str);

/// Why a line is no exchange. It quotes nothing of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BadExchange {
    /// What is wrong with the JSON of the line, and the column.
    Json(&'static str, usize),
    /// A member has another form than documented; the error is at or before this column.
    Form(&'static str, usize),
    /// A member that cannot be used, and why.
    Member(String, &'static str),
}

#[derive(Deserialize)]
#[serde(expecting = "exchange", bound(deserialize = "'de: 'a"))]
struct LogLine<'a> {
    started_at: Option<&'a RawValue>,
    #[serde(default)]
    duration_ms: Option<&'a RawValue>,
    #[serde(deserialize_with = "members::in_any_spelling")]
    request: LogRequest<'a>,
    #[serde(default, deserialize_with = "members::in_any_spelling")]
    response: Option<LogResponse<'a>>,
}

#[derive(Deserialize)]
#[serde(expecting = "request", bound(deserialize = "'de: 'a"))]
struct LogRequest<'a> {
    method: Text<'a>,
    url: Text<'a>,
    #[serde(default, deserialize_with = "headers::of_request")]
    headers: Headers<'a>,
    #[serde(default)]
    body: BodyText<'a>,
}

#[derive(Default, Deserialize)]
#[serde(expecting = "response", default, bound(deserialize = "'de: 'a"))]
struct LogResponse<'a> {
    status: Option<&'a RawValue>,
    status_code: Option<&'a RawValue>,
    #[serde(deserialize_with = "headers::of_response")]
    headers: Headers<'a>,
    body: BodyText<'a>,
}

impl<'a> RawExchange<'a> {
    pub(super) fn from_line(line: &'a str) -> Result<RawExchange<'a>, BadExchange> {
        let LogLine { started_at, duration_ms, request, response } =
            members::parse(line).map_err(|error| bad_form(&error))?;
        let response = response.unwrap_or_default();
        let answer = body(response.body, "response.body")?.unwrap_or_default();
        Ok(RawExchange {
            started_at: instant(started_at, "started_at")?,
            duration_ms: duration(duration_ms, "duration_ms")?,
            method: method(request.method)?,
            url: required(request.url, "request.url")?,
            headers: request.headers.redirected(response.headers, None),
            body: body(request.body, "request.body")?.ok_or(Unread("request.body is missing")),
            status: status([response.status, response.status_code], &answer)?,
            answer,
            was_answer_unread: false,
        })
    }
}

impl fmt::Display for BadExchange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadExchange::Json(what, column) => write!(out, "it {what} at column {column}"),
            BadExchange::Form(member, column) => {
                write!(out, "its {member} is not of the documented form at column {column}")
            }
            BadExchange::Member(member, what) => write!(out, "{member} {what}"),
        }
    }
}

/// What is wrong, without any text of the line. serde's own texts are not shown: they may quote values.
pub(super) fn bad_form(error: &serde_json::Error) -> BadExchange {
    let text = error.to_string();
    let known =
        [("missing field", "is missing"), ("duplicate field", IS_TWICE), ("trailing characters", HAS_MORE)];
    for (start, what) in known.into_iter().chain(WRONG_TEXTS.map(|what| (what, what))) {
        let Some(rest) = text.strip_prefix(start) else { continue };
        let Some(field) = rest.split('`').nth(1) else {
            return BadExchange::Json(what, error.column());
        };
        let request = if matches!(field, "method" | "url") { "request." } else { "" };
        return BadExchange::Member(format!("{request}{field}"), what);
    }
    if !error.is_data() {
        return BadExchange::Json("is not JSON", error.column());
    }
    let expected = text.rsplit(", expected ").next().and_then(|rest| rest.split(" at line ").next());
    let member = MEMBERS.split('|').find(|member| Some(*member) == expected);
    BadExchange::Form(member.unwrap_or("JSON"), error.column())
}

pub(super) fn required<'a>(text: Text<'a>, member: &str) -> Result<Cow<'a, str>, BadExchange> {
    text.0.ok_or_else(|| BadExchange::Member(member.to_owned(), "is missing"))
}

/// A method of HTTP, such as GET. Any other text is refused, because the endpoint depends on the method.
pub(super) fn method(text: Text<'_>) -> Result<Cow<'_, str>, BadExchange> {
    let (member, what) = ("request.method", "is no method of HTTP, such as GET or POST");
    let method = required(text, member)?;
    if is_method(&method) { Ok(method) } else { Err(BadExchange::Member(member.to_owned(), what)) }
}

pub(super) fn is_method(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|letter| letter.is_ascii_alphabetic() || letter == b'-')
}

/// The text of a body, if it has one.
pub(super) fn body<'a>(body: BodyText<'a>, member: &str) -> Result<Option<Cow<'a, str>>, BadExchange> {
    match body {
        BodyText::Absent => Ok(None),
        BodyText::Text(text) => Ok(Some(text)),
        BodyText::Half => Err(BadExchange::Member(member.to_owned(), HAS_HALF)),
        BodyText::Other => {
            let what = "is no text; write the body as it was sent, in one JSON string";
            Err(BadExchange::Member(member.to_owned(), what))
        }
    }
}

pub(super) fn instant(json: Option<&RawValue>, member: &str) -> Result<Instant, BadExchange> {
    let wrong = |what| BadExchange::Member(member.to_owned(), what);
    let json = json.map_or("null", RawValue::get);
    // A number is rounded to a float, as it always was: the instant is a part of the exchange's identity.
    let text = match json.parse::<f64>() {
        Ok(number) => number.to_string().into(),
        Err(_) => required(Text::of(json).map_err(wrong)?, member)?,
    };
    let what = if text.bytes().any(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'-' | b' ')) {
        "is no RFC 3339 instant with an offset, such as 2026-11-20T08:30:00.125Z"
    } else {
        "is no Unix time in seconds or milliseconds (it may be micro- or nanoseconds): write milliseconds, or RFC 3339"
    };
    match chrono::DateTime::parse_from_rfc3339(text.trim()) {
        Ok(at) => Ok(Instant::from(at.to_utc())),
        Err(_) => Instant::of_source(text.trim()).map_err(|_| wrong(what)),
    }
}

/// A duration in milliseconds; below 0 if unknown.
pub(super) fn duration(json: Option<&RawValue>, member: &str) -> Result<f64, BadExchange> {
    let wrong = |what| BadExchange::Member(member.to_owned(), what);
    let Some(json) = json else { return Ok(-1.0) };
    match number(json) {
        Some(ms) if ms > DURATION_MS_MAX => Err(wrong("is more than a day; it counts milliseconds")),
        Some(ms) => Ok(ms),
        None => Err(wrong("is no number")),
    }
}

/// A status of HTTP. It is 0 if no answer came; some loggers then write null or a number below 0. Go writes both
/// `"Status":"200 OK"` and `"StatusCode":200`.
pub(super) fn status(both: [Option<&RawValue>; 2], answer: &str) -> Result<u16, BadExchange> {
    let wrong = |what| Err(BadExchange::Member("response.status".to_owned(), what));
    let first = |json: &RawValue| json.get().trim_matches('"').split_whitespace().next()?.parse::<f64>().ok();
    let [status, code] = both.map(|json| json.map(first));
    if status.is_some() && code.is_some() && status != code {
        return wrong("and response.statusCode say different things");
    }
    match status.or(code) {
        None if answer.is_empty() => Ok(0),
        None => wrong("is missing, though the response has a body"),
        Some(Some(status)) if status.fract() == 0.0 && (status <= 0.0 || STATUSES.contains(&status)) => {
            Ok(status.max(0.0) as u16)
        }
        Some(_) => wrong("is no status of HTTP"),
    }
}
