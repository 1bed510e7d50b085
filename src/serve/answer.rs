//! Answers a request: finds its place, lets its sender in or not, and says what became of what it sent.
//!
//! ```text
//! GET  /healthz          200 {"status":"ok"}, or 503 where the buffer does not answer
//! POST /v1/events        202 with a receipt; 400 where nothing was used
//! POST /v1/exchanges     the same of exchanges
//! otherwise              401 404 405 408 413 415 429 503 {"error":"..."}, 429 and 503 with Retry-After
//! ```

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
use tokio::sync::Semaphore;

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

const EVENTS: &str = "/v1/events";
const EXCHANGES: &str = "/v1/exchanges";
const HEALTH: &str = "/healthz";

pub(super) type Reply = Response<Full<Bytes>>;

/// What answers need.
pub(super) struct Desk {
    buffer: Arc<Buffer>,
    intake: Option<(Arc<Tokens>, Counter)>,
    request_timeout: Duration,
    /// What bodies may have waiting.
    room: Arc<Semaphore>,
    health: Mutex<Option<(Instant, bool)>>,
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
        Desk { buffer, intake, request_timeout, room, health: Mutex::new(None) }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Reply {
        let (path, format) = match request.uri().path() {
            HEALTH => return self.answer_health(request.method()).await,
            EVENTS => ("POST /v1/events", Format::Ndjson),
            EXCHANGES => ("POST /v1/exchanges", Format::RestV2),
            _ => return refuse(StatusCode::NOT_FOUND, "there is /v1/events, /v1/exchanges and /healthz"),
        };
        let Some((tokens, counter)) = &self.intake else {
            return refuse(StatusCode::NOT_FOUND, "serve.ingest is off in the configuration");
        };
        if !bearer(&request).is_some_and(|token| tokens.has(token)) {
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
        match counter.hand_in(submission, received.share).await {
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

    /// Whether the buffer answers.
    async fn is_healthy(&self) -> bool {
        let known = *self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, is_healthy)) = known
            && at.elapsed() < HEALTH_GOOD_FOR
        {
            return is_healthy;
        }
        let buffer = Arc::clone(&self.buffer);
        let is_healthy = match tokio::task::spawn_blocking(move || buffer.pending()).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the buffer does not answer");
                false
            }
            Err(error) => {
                tracing::error!(%error, "the buffer does not answer");
                false
            }
        };
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), is_healthy));
        is_healthy
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
