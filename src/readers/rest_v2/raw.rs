//! An exchange as its source wrote it, before anything is removed, and the line of a log from which it is read.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::headers::{self, Headers};
use super::json::{BodyText, Text};
use super::members;
use crate::event::Instant;

/// The longest duration of an exchange, in milliseconds: a day. A longer one was written in a wrong unit.
const DURATION_MS_MAX: f64 = 86_400_000.0;
/// The highest status that HTTP can have.
const STATUS_MAX: f64 = 999.0;
/// The members that messages may name. The errors of their objects end in these words.
const MEMBERS: [&str; 10] = [
    "exchange",
    "entry",
    "request",
    "request.headers",
    "request.postData",
    "request.postData.params",
    "response",
    "response.headers",
    "response.content",
    "name and value",
];

/// An exchange as its source wrote it, before anything is removed.
#[derive(Debug)]
pub(super) struct RawExchange<'a> {
    pub(super) started_at: Instant,
    /// The time until the answer was complete; below 0 if unknown.
    pub(super) duration_ms: f64,
    pub(super) method: Cow<'a, str>,
    pub(super) url: Cow<'a, str>,
    pub(super) headers: Headers<'a>,
    pub(super) body: Result<Cow<'a, str>, Unread>,
    pub(super) status: u16,
    pub(super) location: Option<Cow<'a, str>>,
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
    /// The line is not JSON from this column on.
    NotJson(usize),
    /// A member has another form than documented; the error is at or before this column.
    Form(&'static str, usize),
    /// A member that cannot be used, and why.
    Member(String, &'static str),
}

#[derive(Deserialize)]
#[serde(expecting = "exchange")]
struct LogLine<'a> {
    #[serde(borrow)]
    started_at: Text<'a>,
    #[serde(borrow, default)]
    duration_ms: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "members::in_any_spelling")]
    request: LogRequest<'a>,
    #[serde(borrow, default, deserialize_with = "members::in_any_spelling")]
    response: Option<LogResponse<'a>>,
}

#[derive(Deserialize)]
#[serde(expecting = "request")]
struct LogRequest<'a> {
    #[serde(borrow)]
    method: Text<'a>,
    #[serde(borrow)]
    url: Text<'a>,
    #[serde(borrow, default, deserialize_with = "headers::of_request")]
    headers: Headers<'a>,
    #[serde(borrow, default)]
    body: BodyText<'a>,
}

#[derive(Default, Deserialize)]
#[serde(expecting = "response", default)]
struct LogResponse<'a> {
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "headers::of_response")]
    headers: Headers<'a>,
    #[serde(borrow)]
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
            method: required(request.method, "request.method")?,
            url: required(request.url, "request.url")?,
            headers: request.headers,
            body: body(request.body, "request.body")?.ok_or(Unread("request.body is missing")),
            status: status(response.status, &answer)?,
            location: response.headers.location,
            answer,
            was_answer_unread: false,
        })
    }
}

impl fmt::Display for BadExchange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadExchange::NotJson(column) => write!(out, "it is not JSON at column {column}"),
            BadExchange::Form(member, column) => {
                write!(out, "its {member} is not of the documented form at column {column}")
            }
            BadExchange::Member(member, what) => write!(out, "{member} {what}"),
        }
    }
}

/// What is wrong, without a word of the line. Errors of serde may quote values, but they end in our own words.
pub(super) fn bad_form(error: &serde_json::Error) -> BadExchange {
    let text = error.to_string();
    for (start, what) in [("missing field `", "is missing"), ("duplicate field `", "is given twice")] {
        if let Some(field) = text.strip_prefix(start).and_then(|rest| rest.split('`').next()) {
            let request = if matches!(field, "method" | "url") { "request." } else { "" };
            return BadExchange::Member(format!("{request}{field}"), what);
        }
    }
    if !error.is_data() {
        return BadExchange::NotJson(error.column());
    }
    let expected = text.rsplit(", expected ").next().and_then(|rest| rest.split(" at line ").next());
    let member = MEMBERS.into_iter().find(|member| Some(*member) == expected);
    BadExchange::Form(member.unwrap_or("JSON"), error.column())
}

pub(super) fn required<'a>(text: Text<'a>, member: &str) -> Result<Cow<'a, str>, BadExchange> {
    text.0.ok_or_else(|| BadExchange::Member(member.to_owned(), "is missing"))
}

/// The text of a body, if it has one.
pub(super) fn body<'a>(body: BodyText<'a>, member: &str) -> Result<Option<Cow<'a, str>>, BadExchange> {
    match body {
        BodyText::Absent => Ok(None),
        BodyText::Text(text) => Ok(Some(text)),
        BodyText::Other => {
            let what = "is no text; write the body as it was sent, in one JSON string";
            Err(BadExchange::Member(member.to_owned(), what))
        }
    }
}

pub(super) fn instant(text: Text<'_>, member: &str) -> Result<Instant, BadExchange> {
    let text = required(text, member)?;
    let what = if text.bytes().any(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'-' | b' ')) {
        "is no RFC 3339 instant with an offset, such as 2026-11-20T08:30:00.125Z"
    } else {
        "is no Unix time in seconds or milliseconds (it may be micro- or nanoseconds): write milliseconds, or RFC 3339"
    };
    match chrono::DateTime::parse_from_rfc3339(text.trim()) {
        Ok(at) => Ok(Instant::from(at.to_utc())),
        Err(_) => Instant::of_source(text.trim()).map_err(|_| BadExchange::Member(member.to_owned(), what)),
    }
}

/// A number as JSON writes it, or as text.
pub(super) fn number(json: &RawValue) -> Option<f64> {
    json.get().trim_matches('"').trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// Milliseconds; below 0 if unknown.
pub(super) fn duration(json: Option<&RawValue>, member: &str) -> Result<f64, BadExchange> {
    let wrong = |what| BadExchange::Member(member.to_owned(), what);
    let Some(json) = json else { return Ok(-1.0) };
    match number(json) {
        Some(ms) if ms > DURATION_MS_MAX => Err(wrong("is more than a day; it counts milliseconds")),
        Some(ms) => Ok(ms),
        None => Err(wrong("is no number")),
    }
}

/// A status; 0 if no answer came, for which some loggers write null or a number below 0.
pub(super) fn status(json: Option<&RawValue>, answer: &str) -> Result<u16, BadExchange> {
    let wrong = |what| Err(BadExchange::Member("response.status".to_owned(), what));
    match json.map(number) {
        None if answer.is_empty() => Ok(0),
        None => wrong("is missing, though the response has a body"),
        Some(Some(status)) if status <= STATUS_MAX && status.fract() == 0.0 => Ok(status.max(0.0) as u16),
        Some(_) => wrong("is no status of HTTP"),
    }
}
