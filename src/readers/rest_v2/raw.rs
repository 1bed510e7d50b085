//! An exchange as its source wrote it, before anything is removed. Reads such an exchange from a line of a log.

use std::borrow::Cow;

use super::bad_exchange::{BadExchange, HAS_HALF, required};
use super::headers::Headers;
use super::json::{Text, number};
use super::members;
use crate::event::Instant;
use crate::readers::members::unquoted;

/// The longest duration of an exchange, in milliseconds: a day. A longer duration was written in a wrong unit.
const DURATION_MS_MAX: f64 = 86_400_000.0;
/// The statuses of HTTP (RFC 9110, section 15).
const STATUSES: std::ops::RangeInclusive<f64> = 100.0..=599.0;
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
    /// Whether it is an entry of an archive.
    pub(super) is_entry: bool,
}

/// Why a body cannot be read: a sentence that names the member and quotes nothing of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unread(pub(super) &'static str);

impl<'a> RawExchange<'a> {
    pub(super) fn from_line(line: &'a str) -> Result<RawExchange<'a>, BadExchange> {
        let names = ["started_at", "duration_ms", "request", "response"];
        let [started_at, duration_ms, request, response] = members::of(Some(line), "exchange", names)?;
        let request = Some(required(request, "request")?);
        let [its_method, url, headers, its_body] =
            members::of(request, "request", ["method", "url", "headers", "body"])?;
        let [its_status, status_code, answered, answer] =
            members::of(response, "response", ["status", "status_code", "headers", "body"])?;
        let answered = Headers::of(answered, "response.headers")?;
        let answer = body(answer, "response.body")?.unwrap_or_default();
        Ok(RawExchange {
            started_at: instant(started_at, "started_at")?,
            duration_ms: duration(duration_ms, "duration_ms")?,
            method: method(its_method)?,
            url: required(text(url, "request.url")?, "request.url")?,
            headers: Headers::of(headers, "request.headers")?.redirected(answered, None),
            body: body(its_body, "request.body")?.ok_or(Unread("request.body is missing")),
            status: status([its_status, status_code], &answer)?,
            answer,
            was_answer_unread: false,
            is_entry: false,
        })
    }
}

pub(super) fn text<'a>(json: Option<&'a str>, member: &str) -> Result<Option<Cow<'a, str>>, BadExchange> {
    let text = json.map_or(Ok(Text(None)), Text::of);
    text.map(|Text(text)| text).map_err(|what| BadExchange::Member(member.to_owned(), what))
}

/// A method of HTTP, such as GET. Any other text is refused, because the endpoint depends on the method.
pub(super) fn method(json: Option<&str>) -> Result<Cow<'_, str>, BadExchange> {
    let (member, what) = ("request.method", "is no method of HTTP, such as GET or POST");
    let method = required(text(json, member)?, member)?;
    if is_method(&method) { Ok(method) } else { Err(BadExchange::Member(member.to_owned(), what)) }
}

pub(super) fn is_method(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|letter| letter.is_ascii_alphabetic() || letter == b'-')
}

/// The text of a body, if it has one.
pub(super) fn body<'a>(json: Option<&'a str>, member: &str) -> Result<Option<Cow<'a, str>>, BadExchange> {
    let Some(json) = json.filter(|json| *json != "[]") else { return Ok(None) };
    let text = json.starts_with('"').then(|| unquoted(json).map_err(|_| HAS_HALF));
    let text = text.unwrap_or(Err("is no text; write the body as it was sent, in one JSON string"));
    text.map(Some).map_err(|what| BadExchange::Member(member.to_owned(), what))
}

pub(super) fn instant(json: Option<&str>, member: &str) -> Result<Instant, BadExchange> {
    let wrong = |what| BadExchange::Member(member.to_owned(), what);
    let json = required(json, member)?;
    // A number is rounded to a float as in every earlier release: the instant is part of an exchange's identity.
    let text = match json.parse::<f64>() {
        Ok(number) => number.to_string().into(),
        Err(_) => required(text(Some(json), member)?, member)?,
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
pub(super) fn duration(json: Option<&str>, member: &str) -> Result<f64, BadExchange> {
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
pub(super) fn status(both: [Option<&str>; 2], answer: &str) -> Result<u16, BadExchange> {
    let wrong = |what| Err(BadExchange::Member("response.status".to_owned(), what));
    let first = |json: &str| json.trim_matches('"').split_whitespace().next()?.parse::<f64>().ok();
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
