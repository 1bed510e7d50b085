//! What the clients of Adobe's HTTPS interfaces have in common.
//!
//! - In: addresses, requests, the credentials of a project. Out: whole answers, access tokens.
//! - Guarantees: secrets go out in clear to this host only; no redirect is followed; an answer is no longer than its caller
//!   takes; a repeat waits as long as the server asks, within bounds; no secret is in any message.
//! - Does not know: what is asked for, or what an answer means.
//! - Rules: section 6 of `reference/adobe-analytics.md`.

mod ims;

use std::future::Future;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use crate::html;
pub use ims::{Ims, ImsError, ImsOptions};

/// Why no client can be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// An address is none.
    #[error("{key} {text:?} is no address: {why}")]
    BadUrl {
        /// The key that holds it.
        key: &'static str,
        /// What it holds.
        text: String,
        /// Why not.
        why: String,
    },
    /// HTTP cannot be spoken at all.
    #[error("cannot set up HTTP")]
    Client(#[source] reqwest::Error),
}

/// An address that secrets may be sent to.
pub fn address(key: &'static str, text: &str) -> Result<Url, SetupError> {
    let refuse = |why: &str| SetupError::BadUrl { key, text: text.to_owned(), why: why.to_owned() };
    let url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(refuse("it would carry secrets in clear; use https")),
        _ => Err(refuse("it begins with neither https nor http")),
    }
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "[::1]" | "localhost"))
}

/// A client for these addresses. A request may take so long, its answer included.
pub fn client(addresses: &[&Url], request_timeout: Duration) -> Result<Client, SetupError> {
    let provider = rustls::crypto::ring::default_provider();
    // Another part of the process may have chosen the same one before.
    drop(provider.install_default());
    // A proxy of the environment is for the way out of this host.
    let is_local = addresses.iter().all(|url| is_loopback(url));
    let builder = if is_local { Client::builder().no_proxy() } else { Client::builder() };
    builder
        .timeout(request_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("passbridge/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(SetupError::Client)
}

/// The host of an address, for messages: the rest may hold what they should not.
pub fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// An answer that is whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// It is longer than it may be.
    TooLong,
    /// Nobody answered, or not to the end. Without the address.
    Broken(reqwest::Error),
}

/// Sends a request and reads its answer to the end.
pub async fn send(request: RequestBuilder, bytes_max: usize) -> Result<Answer, NoAnswer> {
    let broken = |error: reqwest::Error| NoAnswer::Broken(error.without_url());
    let response = request.send().await.map_err(broken)?;
    let (status, retry_after) = (response.status(), retry_after(response.headers()));
    match whole(response, bytes_max).await {
        Ok(Some(body)) => Ok(Answer { status, retry_after, body }),
        Ok(None) => Err(NoAnswer::TooLong),
        Err(error) => Err(broken(error)),
    }
}

/// Reads a body to its end; `None` where it is too long.
pub async fn whole(mut response: Response, bytes_max: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > bytes_max {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// `Retry-After` in seconds.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Whether a server is overloaded or gone for the moment.
pub fn is_for_the_moment(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

/// What an answer about credentials says: its published code. Anything else may repeat what was sent.
pub fn published_code(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(default)]
        error: String,
    }
    let code = serde_json::from_slice::<Refusal>(body).map(|refusal| refusal.error).unwrap_or_default();
    let is_code = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_code { code } else { "without a published error code".to_owned() }
}

/// The text of an answer, short, on one line, and harmless to a terminal.
pub fn words(text: &str, chars_max: usize) -> String {
    let is_harmful = |letter: char| letter.is_control() || html::turns_direction(letter);
    let harmless = |letter| if is_harmful(letter) { char::REPLACEMENT_CHARACTER } else { letter };
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().map(harmless).take(chars_max).collect()
}

/// What an attempt has come to.
#[derive(Debug)]
pub enum Attempt<T> {
    /// This is meant.
    Final(T),
    /// The next attempt may come to something else.
    Passing {
        /// What it has come to now.
        result: T,
        /// The pause that the server asks for before the next one.
        asked: Option<Duration>,
        /// Why, for the log.
        why: String,
    },
}

/// How often something is tried, and how long between.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Attempts at the most.
    pub attempts_max: u32,
    /// The pause before the second one; each further one doubles it.
    pub backoff: Duration,
    /// The longest pause, also where the server asks for more.
    pub backoff_max: Duration,
    /// The shortest pause that a server is taken to ask for.
    pub asked_min: Duration,
}

impl Patience {
    /// Tries until something is meant, or patience ends: then the last that it came to.
    pub async fn insist<T, F: Future<Output = Attempt<T>>>(
        &self,
        what: &str,
        host: &str,
        attempt: impl Fn() -> F,
    ) -> T {
        let mut backoff = self.backoff;
        let mut number = 1;
        loop {
            let (asked, why) = match attempt().await {
                Attempt::Final(result) => return result,
                Attempt::Passing { result, .. } if number >= self.attempts_max => return result,
                Attempt::Passing { asked, why, .. } => (asked.map(|asked| asked.max(self.asked_min)), why),
            };
            let wait = asked.unwrap_or(backoff).min(self.backoff_max);
            let wait_ms = wait.as_millis() as u64;
            tracing::warn!(what, host, why, number, wait_ms, "no whole answer yet; asking again");
            tokio::time::sleep(wait).await;
            backoff = (backoff * 2).min(self.backoff_max);
            number += 1;
        }
    }
}

/// What sending has come to: an answer of a server that is well, or too long an answer, is meant.
pub fn attempt(sent: Result<Answer, NoAnswer>) -> Attempt<Result<Answer, NoAnswer>> {
    match sent {
        Ok(answer) if is_for_the_moment(answer.status) => {
            let (asked, why) = (answer.retry_after, refused(answer.status));
            Attempt::Passing { result: Ok(answer), asked, why }
        }
        Err(NoAnswer::Broken(error)) => {
            let why = root_cause(&error);
            Attempt::Passing { result: Err(NoAnswer::Broken(error)), asked: None, why }
        }
        sent => Attempt::Final(sent),
    }
}

fn refused(status: StatusCode) -> String {
    match status {
        StatusCode::TOO_MANY_REQUESTS => {
            "HTTP 429: too many requests for now, this program's or another's".to_owned()
        }
        status => format!("HTTP {}", status.as_u16()),
    }
}

/// What lies beneath an error: its own text says little.
pub fn root_cause(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers each request with the next of these texts, on a connection of its own.
    pub(super) async fn server(answers: Vec<String>) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/token", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.expect("a client");
                let mut request = [0; 4096];
                assert_ne!(stream.read(&mut request).await.expect("a request"), 0);
                // A client that has heard enough leaves.
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        Url::parse(&url).expect("an address")
    }

    /// An answer with this status and body.
    pub(super) fn answer(status: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    }

    #[tokio::test]
    async fn no_redirect_is_followed_and_no_answer_read_beyond_its_limit() {
        const BYTES_MAX: usize = 100_000;
        let elsewhere = answer("302 Found\r\nlocation: /elsewhere", "");
        let (whole, long) = ("a".repeat(BYTES_MAX), "a".repeat(BYTES_MAX + 1));
        let url = server(vec![elsewhere, answer("200 OK", &whole), answer("200 OK", &long)]).await;
        let client = client(&[&url], Duration::from_secs(10)).expect("HTTP");
        let sent = async || send(client.get(url.clone()), BYTES_MAX).await;
        assert_eq!(sent().await.expect("an answer").status, StatusCode::FOUND);
        assert_eq!(sent().await.expect("an answer").body, whole.as_bytes());
        assert!(matches!(sent().await, Err(NoAnswer::TooLong)));
    }

    #[test]
    fn addresses_carry_no_secrets_in_clear() {
        for text in ["https://analytics-collection.adobe.io/aa", "http://127.0.0.1:8080/aa"] {
            assert!(address("bulk.url", text).is_ok(), "{text}");
        }
        for text in ["", "ftp://adobe.io", "http://adobe.io/aa"] {
            assert!(address("bulk.url", text).is_err(), "{text}");
        }
    }

    #[test]
    fn of_a_refusal_about_credentials_only_a_code_is_told() {
        assert_eq!(published_code(br#"{"error":"invalid_client"}"#), "invalid_client");
        for body in [r#"{"error":"secret-of-1 is wrong"}"#, "secret", "{}"] {
            assert_eq!(published_code(body.as_bytes()), "without a published error code", "{body}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn patience_doubles_its_pauses_and_obeys_the_server_within_bounds() {
        let patience = Patience {
            attempts_max: 5,
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_secs(10),
            asked_min: Duration::from_secs(1),
        };
        for (asked, seconds) in [(None, 1 + 2 + 4 + 8), (Some(3), 4 * 3), (Some(0), 4), (Some(3600), 4 * 10)]
        {
            let began = tokio::time::Instant::now();
            let attempts = std::cell::Cell::new(0);
            let last = patience
                .insist("a thing", "here", || {
                    attempts.set(attempts.get() + 1);
                    let asked = asked.map(Duration::from_secs);
                    std::future::ready(Attempt::Passing { result: attempts.get(), asked, why: String::new() })
                })
                .await;
            assert_eq!((last, began.elapsed().as_secs()), (5, seconds), "{asked:?}");
        }
    }
}
