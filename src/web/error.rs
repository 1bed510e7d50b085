//! The error type of all clients of Adobe's APIs: what was asked for, the address, the cause, and the key to check.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDateTime;
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use crate::harmless::is_harmful;

/// How much of a server's text a message repeats, in characters.
pub(super) const WORDS_CHARS_MAX: usize = 300;
/// How much of an address a message repeats, in characters.
pub(super) const PLACE_CHARS_MAX: usize = 200;
const COMPANIES_NAMED_MAX: usize = 20;

/// An address of an API, and what is asked for there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub what: &'static str,
    /// The configuration key to check when something is wrong, such as `analytics.url`.
    pub key: &'static str,
    /// Whether the answer is a secret. Then a refusal shows only the published error code: other text may be secret.
    pub gives_credentials: bool,
    /// Host and path, without the query and without parameters of the path (`;name=value`).
    pub place: String,
}

impl Endpoint {
    /// An endpoint that answers with data.
    pub fn new(what: &'static str, key: &'static str, url: &Url) -> Endpoint {
        let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
        let path = url.path().split(';').next().unwrap_or_default();
        let place = format!("{}{port}{path}", url.host_str().unwrap_or_default());
        Endpoint { what, key, gives_credentials: false, place: words(&place, PLACE_CHARS_MAX) }
    }

    /// An endpoint that answers with a secret.
    pub fn of_credentials(what: &'static str, key: &'static str, url: &Url) -> Endpoint {
        Endpoint { gives_credentials: true, ..Endpoint::new(what, key, url) }
    }

    /// The section of the configuration file that has the key.
    pub fn section(&self) -> &'static str {
        self.key.split('.').next().unwrap_or(self.key)
    }

    pub fn error(&self, cause: Cause) -> ApiError {
        ApiError { endpoint: Box::new(self.clone()), cause }
    }

    pub fn unreadable(&self, why: impl Into<String>) -> ApiError {
        self.error(Cause::Unreadable(why.into()))
    }

    /// The error for a refusal, with the answer's text; for an endpoint of credentials only with the published code.
    pub fn refused(&self, status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> ApiError {
        let why = if self.gives_credentials { published_code(body) } else { refusal(body) };
        self.error(Cause::Refused { status: status.as_u16(), why, retry_after })
    }
}

/// Why an API of Adobe did not give what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub endpoint: Box<Endpoint>,
    pub cause: Cause,
}

/// What went wrong. None of these texts contains a token or a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The server could not be reached, so nothing of the request arrived.
    NotReached(String),
    /// The proxy, which this text names, gave no connection, so nothing of the request arrived.
    Proxy(String),
    /// No answer came, or the answer broke off.
    NoAnswer(String),
    /// The token or a configured value cannot be sent in a header.
    NotSendable(String),
    /// The server refused the request: for a while if the status is 408, 429 or 5xx, otherwise for good.
    Refused {
        status: u16,
        /// The text of the answer; for an endpoint of credentials only the published error code.
        why: String,
        retry_after: Option<Duration>,
    },
    /// The answer is longer than this many bytes, the most that is read.
    TooLong(usize),
    /// The answer does not have the documented form.
    Unreadable(String),
    /// A file that holds a secret cannot be used. The text quotes nothing of its content.
    File { path: PathBuf, kind: ErrorKind, why: String },
    /// The report of one hour or minute has as many rows as its limit allows, so rows may be missing.
    Full { start: NaiveDateTime, limit: u64 },
    /// The credentials belong to no company in Adobe Analytics.
    NoCompany,
    /// The credentials belong to several companies, and the configuration names none of them.
    SeveralCompanies(Vec<String>),
}

impl ApiError {
    /// Whether the same request may succeed later.
    pub fn is_for_the_moment(&self) -> bool {
        let is_busy = |status| StatusCode::from_u16(status).is_ok_and(is_for_the_moment);
        matches!(self.cause, Cause::NotReached(_) | Cause::Proxy(_) | Cause::NoAnswer(_))
            || self.status().is_some_and(is_busy)
    }

    pub fn retry_after(&self) -> Option<Duration> {
        if let Cause::Refused { retry_after, .. } = &self.cause { *retry_after } else { None }
    }

    /// What a person should check: a key of the configuration, or the variables of the proxy.
    pub fn to_check(&self) -> &'static str {
        if let Cause::Proxy(_) = self.cause { "HTTPS_PROXY and ALL_PROXY" } else { self.endpoint.key }
    }

    pub fn status(&self) -> Option<u16> {
        if let Cause::Refused { status, .. } = &self.cause { Some(*status) } else { None }
    }
}

impl std::error::Error for ApiError {}

impl fmt::Display for ApiError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Endpoint { what, place, key, .. } = &*self.endpoint;
        match &self.cause {
            Cause::NotReached(why) | Cause::Proxy(why) | Cause::NoAnswer(why) => {
                write!(out, "{what} cannot be had from {place}: {why}")
            }
            Cause::NotSendable(why) => write!(out, "{what} cannot be asked for at {place}: {why}"),
            Cause::Refused { status, why, retry_after } => {
                let throttles = if *status == 429 { " throttles: it" } else { "" };
                write!(out, "{place}{throttles} refuses {what} with status {status}: {why}")?;
                let asks = |asked: &Duration| write!(out, "; it asks for a rest of {} s", asked.as_secs());
                retry_after.iter().try_for_each(asks)
            }
            Cause::TooLong(bytes_max) => {
                write!(out, "the answer of {place} about {what} is longer than {bytes_max} bytes")
            }
            Cause::Unreadable(why) => write!(out, "the answer of {place} about {what} cannot be read: {why}"),
            Cause::File { path, why, .. } if path.as_os_str().is_empty() => {
                write!(out, "{key} is not set: {why}")
            }
            Cause::File { path, why, .. } => write!(out, "cannot use {key} in {path:?}: {why}"),
            Cause::Full { start, limit } => write!(
                out,
                "the report of {start} has all {limit} rows that it may have, so others are missing; nothing of it was taken"
            ),
            Cause::NoCompany => write!(out, "these credentials have no company in Adobe Analytics"),
            Cause::SeveralCompanies(companies) => {
                let named = companies[..COMPANIES_NAMED_MAX.min(companies.len())].join(", ");
                let number = companies.len();
                write!(
                    out,
                    "these credentials have {number} companies in Adobe Analytics, among them {named}"
                )
            }
        }
    }
}

/// Whether a status means that the server is overloaded or unavailable for a while.
pub(super) fn is_for_the_moment(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) || status.is_server_error()
}

/// The text of an answer, short, on one line, and harmless to a terminal.
pub fn words(text: &str, chars_max: usize) -> String {
    let harmless = |letter| if is_harmful(letter) { char::REPLACEMENT_CHARACTER } else { letter };
    // One space for each run of white space. U+2028 counts as white space.
    let words = text.split_whitespace().flat_map(|word| [" ", word]).skip(1);
    words.flat_map(str::chars).map(harmless).take(chars_max).collect()
}

/// The published error code in an answer about credentials. Its other text may repeat a secret that was sent.
fn published_code(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(default)]
        error: String,
    }
    const CODE_CHARS_MAX: usize = 64;
    let code = serde_json::from_slice::<Refusal>(body).map(|refusal| refusal.error).unwrap_or_default();
    let is_code = (1..=CODE_CHARS_MAX).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_code { code } else { "without a published error code".to_owned() }
}

/// The text of a refusal, in any of the JSON forms that Adobe uses.
fn refusal(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(alias = "errorCode")]
        error_code: Option<String>,
        #[serde(alias = "errorDescription", alias = "error_description", alias = "error")]
        message: Option<String>,
    }
    let text = match serde_json::from_slice::<Refusal>(body) {
        Ok(Refusal { error_code: Some(code), message: Some(message) }) => format!("{code}, {message}"),
        Ok(Refusal { error_code: Some(text), message: None } | Refusal { message: Some(text), .. }) => text,
        _ => String::from_utf8_lossy(body).into_owned(),
    };
    match words(&text, WORDS_CHARS_MAX) {
        text if text.is_empty() => "without a word".to_owned(),
        text => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_host_endpoint_and_cause() {
        let url = Url::parse("https://ims.example:8443/ims/token/v3?secret=1").expect("a URL");
        let endpoint = Endpoint::of_credentials("an access token", "bulk.ims_url", &url);
        assert_eq!(endpoint.section(), "bulk");
        let refused = endpoint.refused(StatusCode::BAD_REQUEST, None, br#"{"error":"invalid_client"}"#);
        assert_eq!(
            refused.to_string(),
            "ims.example:8443/ims/token/v3 refuses an access token with status 400: invalid_client"
        );
        let gone = endpoint.error(Cause::NotReached("connection refused".to_owned()));
        let text = "an access token cannot be had from ims.example:8443/ims/token/v3: connection refused";
        assert_eq!((gone.to_string().as_str(), gone.is_for_the_moment()), (text, true));
    }

    #[test]
    fn of_a_refusal_about_credentials_only_a_code_is_told() {
        assert_eq!(published_code(br#"{"error":"invalid_client"}"#), "invalid_client");
        let long = format!("{{\"error\":\"{}\"}}", "a".repeat(65));
        for body in [r#"{"error":"secret-of-1 is wrong"}"#, "secret", "{}", &long] {
            assert_eq!(published_code(body.as_bytes()), "without a published error code", "{body}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_its_own_words_short_and_harmless() {
        for (body, expected) in [
            (r#"{"error_code":"429050","message":"Too many requests"}"#, "429050, Too many requests"),
            (r#"{"errorCode":"unauthorized","errorDescription":"no\n access"}"#, "unauthorized, no access"),
            (r#"{"message":"no"}"#, "no"),
            (r#"{"error":"Invalid token (1)"}"#, "Invalid token (1)"),
            ("<html>bad  gateway", "<html>bad gateway"),
            ("", "without a word"),
        ] {
            assert_eq!(refusal(body.as_bytes()), expected, "{body}");
        }
        let hostile = "a\x1b[31m red\u{202e} one \u{9b}2J\u{2028}";
        assert_eq!(refusal(hostile.as_bytes()), "a\u{FFFD}[31m red\u{FFFD} one \u{FFFD}2J");
        assert_eq!(refusal("é".repeat(5_000).as_bytes()).chars().count(), WORDS_CHARS_MAX);
    }
}
