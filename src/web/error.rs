//! The one error of Adobe's interfaces: what was asked for, where, why it was not had, and which key leads there.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDateTime;
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use crate::html;

/// How much of a server's text a message repeats, in characters.
pub(super) const WORDS_CHARS_MAX: usize = 300;
/// How much of an address a message repeats, in characters.
const PLACE_CHARS_MAX: usize = 200;
/// How many companies a message names.
const COMPANIES_NAMED_MAX: usize = 20;

/// What is asked for, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub what: &'static str,
    /// The key to check when something is wrong, such as `analytics.url`.
    pub key: &'static str,
    /// Whether the answer is a token or credentials. Then a refusal shows only its published code: its other text may be a secret.
    pub gives_credentials: bool,
    /// Host and path, without the query.
    pub place: String,
}

impl Endpoint {
    /// An endpoint that answers with data.
    pub fn new(what: &'static str, key: &'static str, url: &Url) -> Endpoint {
        let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
        let place = format!("{}{port}{}", url.host_str().unwrap_or_default(), url.path());
        Endpoint { what, key, gives_credentials: false, place: words(&place, PLACE_CHARS_MAX) }
    }

    /// An endpoint that answers with a secret.
    pub fn of_credentials(what: &'static str, key: &'static str, url: &Url) -> Endpoint {
        Endpoint { gives_credentials: true, ..Endpoint::new(what, key, url) }
    }

    /// The section of the configuration that its key stands in.
    pub fn section(&self) -> &'static str {
        self.key.split('.').next().unwrap_or(self.key)
    }

    pub fn error(&self, cause: Cause) -> ApiError {
        ApiError { endpoint: Box::new(self.clone()), cause }
    }

    /// An answer that is not what is documented.
    pub fn unreadable(&self, why: impl Into<String>) -> ApiError {
        self.error(Cause::Unreadable(why.into()))
    }

    /// A refusal, in the words of its answer.
    pub fn refused(&self, status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> ApiError {
        let why = if self.gives_credentials { published_code(body) } else { refusal(body) };
        self.error(Cause::Refused { status: status.as_u16(), why, retry_after })
    }
}

/// Why something could not be had from an interface of Adobe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub endpoint: Box<Endpoint>,
    pub cause: Cause,
}

/// What went wrong. No text of it holds a token or a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// There was no way to the server: nothing of the request arrived.
    NotReached(String),
    /// There was no way through the proxy, which this text names: nothing of the request arrived.
    Proxy(String),
    /// No answer came, or it broke off.
    NoAnswer(String),
    /// A configured value or the token cannot stand in a request.
    NotSendable(String),
    /// It was refused: for good, or for the moment (408, 429 and from 500 on).
    Refused {
        status: u16,
        /// What the answer says; about credentials only the published error code.
        why: String,
        retry_after: Option<Duration>,
    },
    /// An answer is longer than this many bytes, which is all that is taken in.
    TooLong(usize),
    /// An answer is not what is documented.
    Unreadable(String),
    /// A file that holds a secret cannot be used. The text quotes nothing of its content.
    File { path: PathBuf, why: String },
    /// The report of an hour or a minute has as many rows as it may have, so others are missing.
    Full { start: NaiveDateTime, limit: u64 },
    /// The credentials have none of Analytics' companies.
    NoCompany,
    /// The credentials have several, and it was not said which.
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
            Cause::Refused { status, why, .. } => {
                write!(out, "{place} refuses {what} with status {status}: {why}")
            }
            Cause::TooLong(bytes_max) => {
                write!(out, "the answer of {place} about {what} is longer than {bytes_max} bytes")
            }
            Cause::Unreadable(why) => write!(out, "the answer of {place} about {what} cannot be read: {why}"),
            Cause::File { path, why } => write!(out, "cannot use {key} in {path:?}: {why}"),
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

/// Whether a server is overloaded or gone for the moment.
pub(super) fn is_for_the_moment(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) || status.is_server_error()
}

/// The text of an answer, short, on one line, and harmless to a terminal.
pub fn words(text: &str, chars_max: usize) -> String {
    let is_harmful = |letter: char| letter.is_control() || html::turns_direction(letter);
    let harmless = |letter| if is_harmful(letter) { char::REPLACEMENT_CHARACTER } else { letter };
    // A blank for each run of white space, of which U+2028 is some.
    let words = text.split_whitespace().flat_map(|word| [" ", word]).skip(1);
    words.flat_map(str::chars).map(harmless).take(chars_max).collect()
}

/// What an answer about credentials says: its published code. Anything else may repeat what was sent.
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

/// What a refusal says, whichever of Adobe's forms it has.
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
