//! Answers a request: finds its place, lets its sender in or not, and says what became of what it sent.
//!
//! ```text
//! GET  /healthz          200 {"status":"ok"}, or 503 where the buffer does not answer
//! POST /v1/events        202 with a receipt; 400 where nothing was used
//! POST /v1/exchanges     the same of exchanges
//! otherwise              401 404 405 408 413 415 429 503 {"error":"..."}, 429 and 503 with Retry-After
//! ```

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::body::{self, BODY_BYTES_MAX, BodyError, WAITING_BYTES_MAX};
use super::counter::{Counter, CounterError};
use super::tokens::Tokens;
use crate::buffer::Buffer;
use crate::ingest::{Receipt, Submission, SubmissionError};
use crate::readers::Format;

/// When to come again where a disk or a backlog is full, in seconds: a drain or a person has to come first.
const RETRY_WHEN_FULL_SECONDS: u16 = 60;
/// When to come again where the moment is crowded, in seconds.
const RETRY_WHEN_BUSY_SECONDS: u16 = 1;
/// When to come again where the buffer failed, in seconds.
const RETRY_WHEN_FAILED_SECONDS: u16 = 10;
/// How long an answer about health is good for: whoever asks, however often, costs one look a second.
const HEALTH_GOOD_FOR: Duration = Duration::from_secs(1);

/// How long the buffer may take to say that it lives: less than the time-out of any monitor.
const HEALTH_WITHIN: Duration = Duration::from_secs(4);
/// How often the log tells of refused tokens: whoever guesses writes no log full.
const TELL_REFUSED_EVERY: Duration = Duration::from_secs(60);

const EVENTS: &str = "/v1/events";
const EXCHANGES: &str = "/v1/exchanges";
const HEALTH: &str = "/healthz";

pub(super) type Reply = Response<Full<Bytes>>;

pub(super) struct Desk {
    buffer: Arc<Buffer>,
    intake: Option<(Arc<Tokens>, Counter)>,
    request_timeout: Duration,
    /// What bodies may have waiting.
    room: Arc<Semaphore>,
    health: AsyncMutex<Look>,
    refused: Mutex<Refused>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Guest {
    /// On a connection that may post.
    Seated(IpAddr),
    /// On one beyond those that are served: it may ask for the health.
    Standing,
}

/// What is known of the buffer's health.
#[derive(Default)]
struct Look {
    known: Option<(Instant, bool)>,
    /// A look that is under way. It may hang, so there is one at a time.
    under_way: Option<JoinHandle<bool>>,
}

/// Requests without a token that is known, since the log told of them.
#[derive(Default)]
struct Refused {
    requests: u64,
    told_at: Option<Instant>,
}

#[derive(Serialize)]
struct Refusal<'a> {
    error: &'a str,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

impl Desk {
    pub(super) fn new(
        buffer: Arc<Buffer>,
        intake: Option<(Arc<Tokens>, Counter)>,
        request_timeout: Duration,
    ) -> Desk {
        let room = Arc::new(Semaphore::new(WAITING_BYTES_MAX));
        let (health, refused) = (AsyncMutex::default(), Mutex::default());
        Desk { buffer, intake, request_timeout, room, health, refused }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>, guest: Guest) -> Reply {
        let (path, format) = match request.uri().path() {
            HEALTH => return self.answer_health(request.method()).await,
            EVENTS => ("POST /v1/events", Format::Ndjson),
            EXCHANGES => ("POST /v1/exchanges", Format::RestV2),
            _ => return refuse(StatusCode::NOT_FOUND, "there is /v1/events, /v1/exchanges and /healthz"),
        };
        let Guest::Seated(sender) = guest else {
            let reply = refuse(StatusCode::SERVICE_UNAVAILABLE, "too many connections are open");
            return retry(reply, RETRY_WHEN_BUSY_SECONDS);
        };
        let Some((tokens, counter)) = &self.intake else {
            return refuse(StatusCode::NOT_FOUND, "serve.ingest is off in the configuration");
        };
        if !bearer(&request).is_some_and(|token| tokens.has(token)) {
            self.tell_refused(sender);
            let reply = refuse(StatusCode::UNAUTHORIZED, "needs a bearer token of serve.tokens_file");
            return with(reply, WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if request.method() != Method::POST {
            let reply = refuse(StatusCode::METHOD_NOT_ALLOWED, "takes POST");
            return with(reply, ALLOW, HeaderValue::from_static("POST"));
        }
        let Some(is_packed) = is_packed(&request) else {
            return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Encoding may be gzip, or absent");
        };
        let received = match body::receive(request.into_body(), &self.room, self.request_timeout).await {
            Ok(received) => received,
            Err(error) => return refuse_body(error),
        };
        if is_packed && !received.bytes.starts_with(&[0x1F, 0x8B]) {
            return refuse(StatusCode::BAD_REQUEST, "Content-Encoding says gzip, and the body is none");
        }
        let submission = Submission { path: path.to_owned(), format, body: received.bytes };
        let stored = timeout(self.request_timeout, counter.hand_in(submission, received.share)).await;
        match stored.unwrap_or(Err(CounterError::Slow)) {
            Ok(receipt) => acknowledge(&receipt),
            Err(error) => refuse_submission(error),
        }
    }

    async fn answer_health(&self, method: &Method) -> Reply {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let reply = refuse(StatusCode::METHOD_NOT_ALLOWED, "takes GET");
            return with(reply, ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        if self.is_healthy().await {
            json(StatusCode::OK, &Health { status: "ok" })
        } else {
            let reply =
                json(StatusCode::SERVICE_UNAVAILABLE, &Health { status: "the buffer does not answer" });
            retry(reply, RETRY_WHEN_FAILED_SECONDS)
        }
    }

    /// Whether the buffer answers, in time.
    async fn is_healthy(&self) -> bool {
        timeout(HEALTH_WITHIN, self.look()).await.unwrap_or(false)
    }

    async fn look(&self) -> bool {
        let mut look = self.health.lock().await;
        if let Some((at, is_healthy)) = look.known
            && at.elapsed() < HEALTH_GOOD_FOR
        {
            return is_healthy;
        }
        let under_way = look.under_way.get_or_insert_with(|| {
            let buffer = Arc::clone(&self.buffer);
            tokio::task::spawn_blocking(move || match buffer.pending() {
                Ok(_) => true,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the buffer does not answer");
                    false
                }
            })
        });
        // A panic of the look was printed by its own hook.
        let is_healthy = under_way.await.unwrap_or(false);
        *look = Look { known: Some((Instant::now(), is_healthy)), under_way: None };
        is_healthy
    }

    /// Tells the log of a request without a token that is known; never the token.
    fn tell_refused(&self, sender: IpAddr) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.requests += 1;
        if refused.told_at.is_none_or(|at| at.elapsed() >= TELL_REFUSED_EVERY) {
            tracing::warn!(requests = refused.requests, %sender, "requests without a token of serve.tokens_file were refused");
            *refused = Refused { requests: 0, told_at: Some(Instant::now()) };
        }
    }
}

/// The token of `Authorization: Bearer`.
fn bearer(request: &Request<Incoming>) -> Option<&[u8]> {
    let value = request.headers().get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii())
}

/// Whether the body is gzip; `None`: packed in another way.
fn is_packed(request: &Request<Incoming>) -> Option<bool> {
    let Some(encoding) = request.headers().get(CONTENT_ENCODING) else { return Some(false) };
    match encoding.as_bytes().to_ascii_lowercase().as_slice() {
        b"gzip" | b"x-gzip" => Some(true),
        b"identity" | b"" => Some(false),
        _ => None,
    }
}

/// 202, or 400 where nothing was used: a sender that looks at nothing but the status must notice.
fn acknowledge(receipt: &Receipt) -> Reply {
    let is_all_rejected = receipt.counts.rejected > 0 && receipt.counts.rejected == receipt.counts.read;
    let is_unused = is_all_rejected || receipt.unused.is_some();
    json(if is_unused { StatusCode::BAD_REQUEST } else { StatusCode::ACCEPTED }, receipt)
}

fn refuse_body(error: BodyError) -> Reply {
    match error {
        BodyError::TooLong => refuse(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("a body has at most {BODY_BYTES_MAX} bytes as it is sent; send it in parts"),
        ),
        BodyError::NoRoom => retry(
            refuse(StatusCode::TOO_MANY_REQUESTS, "too many bodies wait already"),
            RETRY_WHEN_BUSY_SECONDS,
        ),
        BodyError::TooSlow => refuse(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
        BodyError::Broken => refuse(StatusCode::BAD_REQUEST, "the body broke off"),
    }
}

fn refuse_submission(error: CounterError) -> Reply {
    match error {
        CounterError::Refused(SubmissionError::Unreadable(why)) => {
            refuse(StatusCode::BAD_REQUEST, &format!("the body {why}"))
        }
        CounterError::Refused(error @ SubmissionError::TooLong) => {
            refuse(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body {error}"))
        }
        CounterError::Refused(error @ SubmissionError::DiskFull) => {
            retry(refuse(StatusCode::TOO_MANY_REQUESTS, &error.to_string()), RETRY_WHEN_FULL_SECONDS)
        }
        CounterError::Refused(error @ SubmissionError::Failed) => {
            retry(refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()), RETRY_WHEN_FAILED_SECONDS)
        }
        CounterError::BacklogFull => retry(
            refuse(StatusCode::TOO_MANY_REQUESTS, "as many events wait as serve.backlog_max_events allows"),
            RETRY_WHEN_FULL_SECONDS,
        ),
        CounterError::Busy => retry(
            refuse(StatusCode::TOO_MANY_REQUESTS, "too many requests wait already"),
            RETRY_WHEN_BUSY_SECONDS,
        ),
        CounterError::Slow => retry(
            refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "not stored in time; it may be yet: send it again, nothing is stored twice",
            ),
            RETRY_WHEN_FAILED_SECONDS,
        ),
        CounterError::Closed => retry(
            refuse(StatusCode::SERVICE_UNAVAILABLE, "passbridge is stopping"),
            RETRY_WHEN_FAILED_SECONDS,
        ),
    }
}

fn refuse(status: StatusCode, why: &str) -> Reply {
    json(status, &Refusal { error: why })
}

fn json(status: StatusCode, document: &impl Serialize) -> Reply {
    let text = serde_json::to_string(document).expect("text and numbers always serialise");
    let mut reply = Response::new(Full::new(Bytes::from(text)));
    *reply.status_mut() = status;
    with(reply, CONTENT_TYPE, HeaderValue::from_static("application/json"))
}

fn retry(reply: Reply, after_seconds: u16) -> Reply {
    with(reply, RETRY_AFTER, HeaderValue::from(after_seconds))
}

fn with(mut reply: Reply, name: hyper::header::HeaderName, value: HeaderValue) -> Reply {
    reply.headers_mut().insert(name, value);
    reply
}
