//! Answers a request: finds its route, checks the token of its sender, and reports what became of its body.
//!
//! ```text
//! GET  /healthz          200 {"status":"ok"}, or 503 if the buffer does not answer
//! GET  /readyz           200, or 503 with the reason if this process cannot take events in
//! GET  /version          the version of the program, its commit and its schema
//! GET  /openapi.json     all of this, for programs
//! GET  /check /status /metrics / /event    the views of the buffer, where this listener shows them
//! POST /v1/events        a receipt: with 202, or with 400 if nothing was used
//! POST /v1/exchanges     the same for exchanges
//! otherwise              400 401 403 404 405 408 413 415 421 429 503 {"error":"..."}, 429 and 503 with Retry-After
//! ```

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_ENCODING, DATE, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, StatusCode};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::body::{self, WAITING_BYTES_MAX};
use super::counter::Counter;
use super::door::Door;
use super::looks::Health;
use super::reply::{JSON, Refusal, Reply, WHEN_BUSY_SECONDS, WHEN_FAILED_SECONDS, document, get_only, reply};
use super::tokens::{Tokens, sender_of};
use super::version::Version;
use super::views::View;
use crate::clock::Clock;
use crate::ingest::{Receipt, Submission};
use crate::meter::METER;
use crate::readers::Format;

/// The paths and replies of the listener, for programs; a test compares them with the real replies.
const OPENAPI: &str = include_str!("../../schemas/listener.openapi.json");
/// The shortest time between two log lines about refused tokens, so that guessing cannot fill the log.
const TELL_REFUSED_EVERY: Duration = Duration::from_secs(60);

pub(super) struct Desk {
    intake: Option<(Arc<Tokens>, Counter)>,
    request_timeout: Duration,
    /// The memory for bodies that wait, of all senders together.
    room: Arc<Semaphore>,
    health: Health,
    /// The views of the buffer, if this listener shows them.
    door: Option<Door>,
    refused: Mutex<Refused>,
    clock: Clock,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Guest {
    /// A sender on a connection that may post.
    Seated(IpAddr),
    /// A client on a connection above the limit, which may neither post nor see views of the buffer.
    Standing,
}

/// Requests without a known token since the last log line about them.
#[derive(Default)]
struct Refused {
    requests: u64,
    told_at: Option<Instant>,
}

impl Desk {
    pub(super) fn new(
        health: Health,
        door: Option<Door>,
        intake: Option<(Arc<Tokens>, Counter)>,
        request_timeout: Duration,
        clock: Clock,
    ) -> Desk {
        let room = Arc::new(Semaphore::new(WAITING_BYTES_MAX));
        Desk { intake, request_timeout, room, health, door, refused: Mutex::default(), clock }
    }

    /// Answers a request. While the clock shows a time that no event can have, the only answer is 503, without a date.
    pub(super) async fn answer(&self, request: Request<Incoming>, guest: Guest) -> Reply {
        let answered = match self.clock.check() {
            Ok(()) => self.route(request, guest).await,
            Err(error) => Err(Refusal::failed(error.to_string())),
        };
        let mut reply = answered.unwrap_or_else(Refusal::reply);
        let date = self.clock.check().map(|()| httpdate::fmt_http_date(self.clock.system_time()));
        let date = date.ok().and_then(|date| HeaderValue::try_from(date).ok());
        reply.headers_mut().extend(date.map(|date| (DATE, date)));
        reply
    }

    async fn route(&self, request: Request<Incoming>, guest: Guest) -> Result<Reply, Refusal> {
        match request.uri().path() {
            "/healthz" => self.answer_health(request.method()).await,
            "/v1/events" => self.take(request, guest, Format::Ndjson).await,
            "/v1/exchanges" => self.take(request, guest, Format::RestV2).await,
            "/readyz" => self.show(&request, guest, View::Ready).await,
            "/version" => get_only(request.method()).map(|()| document(StatusCode::OK, &Version::current())),
            "/check" => self.show(&request, guest, View::Check).await,
            "/status" => self.show(&request, guest, View::Status).await,
            "/metrics" => self.show(&request, guest, View::Metrics).await,
            "/" => self.show(&request, guest, View::Page).await,
            "/event" => self.show(&request, guest, event_asked(&request)?).await,
            "/openapi.json" => get_only(request.method()).map(|()| reply(StatusCode::OK, JSON, OPENAPI)),
            _ => Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "there is /v1/events and /v1/exchanges; /openapi.json has all paths",
            )),
        }
    }

    async fn show(&self, request: &Request<Incoming>, guest: Guest, view: View) -> Result<Reply, Refusal> {
        let Guest::Seated(_) = guest else { return Err(too_many_connections()) };
        match &self.door {
            Some(door) => door.answer(request, view).await,
            None => Err(Refusal::new(StatusCode::NOT_FOUND, "this listener shows nothing of the buffer")),
        }
    }

    async fn answer_health(&self, method: &Method) -> Result<Reply, Refusal> {
        get_only(method)?;
        if self.health.is_good().await {
            return Ok(document(StatusCode::OK, &json!({ "status": "ok" })));
        }
        let state = json!({ "status": "the buffer does not answer" });
        let mut reply = document(StatusCode::SERVICE_UNAVAILABLE, &state);
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(WHEN_FAILED_SECONDS));
        Ok(reply)
    }

    async fn take(&self, request: Request<Incoming>, guest: Guest, format: Format) -> Result<Reply, Refusal> {
        let path = request.uri().path().to_owned();
        let reply = self.store(request, guest, format).await.unwrap_or_else(Refusal::reply);
        let labels = vec![("path", path), ("status", reply.status().as_str().to_owned())];
        METER.collector_requests.get_or_create(&labels).inc();
        Ok(reply)
    }

    async fn store(
        &self,
        request: Request<Incoming>,
        guest: Guest,
        format: Format,
    ) -> Result<Reply, Refusal> {
        let Guest::Seated(sender) = guest else { return Err(too_many_connections()) };
        let Some((tokens, counter)) = &self.intake else {
            return Err(Refusal::new(StatusCode::NOT_FOUND, "serve.ingest is off in the configuration"));
        };
        let map = sender_of(&request, tokens).inspect_err(|_| self.tell_refused(sender))?;
        if request.method() != Method::POST {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "takes POST").with(ALLOW, "POST"));
        }
        let Some(is_packed) = is_packed(&request) else {
            let why = "Content-Encoding may be gzip, or absent";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
        };
        let path = format!("POST {}", request.uri().path());
        let received = body::receive(request.into_body(), &self.room, self.request_timeout).await?;
        if is_packed && !received.bytes.starts_with(&[0x1F, 0x8B]) {
            let why = "Content-Encoding says gzip, and the body is none";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, why));
        }
        let submission = Submission { path, format, body: received.bytes, map };
        match timeout(self.request_timeout, counter.hand_in(submission, received.share)).await {
            Ok(outcome) => outcome.map(|receipt| acknowledge(&receipt)),
            Err(_) => {
                let why = "not stored in time; it may be yet: send it again, nothing is stored twice";
                Err(Refusal::failed(why))
            }
        }
    }

    /// Logs a request without a known token, but never the token.
    fn tell_refused(&self, sender: IpAddr) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.requests += 1;
        if refused.told_at.is_none_or(|at| at.elapsed() >= TELL_REFUSED_EVERY) {
            tracing::warn!(requests = refused.requests, %sender, "requests without a token of serve.tokens_file were refused");
            *refused = Refused { requests: 0, told_at: Some(Instant::now()) };
        }
    }
}

fn event_asked(request: &Request<Incoming>) -> Result<View, Refusal> {
    get_only(request.method())?;
    let query = request.uri().query().unwrap_or_default();
    let (number, is_whole) = query.strip_suffix("&personal").map_or((query, false), |rest| (rest, true));
    let sequence = number.strip_prefix("seq=").and_then(|number| number.parse().ok());
    let why = "takes the number of an event, as /event?seq=12, and &personal to show its personal values";
    let sequence = sequence.ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, why))?;
    Ok(View::Event { sequence, is_whole })
}

fn too_many_connections() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many connections are open").again(WHEN_BUSY_SECONDS)
}

/// Tells if the body is gzip; `None`: it has an unsupported encoding.
fn is_packed(request: &Request<Incoming>) -> Option<bool> {
    let Some(encoding) = request.headers().get(CONTENT_ENCODING) else { return Some(false) };
    match encoding.as_bytes().to_ascii_lowercase().as_slice() {
        b"gzip" | b"x-gzip" => Some(true),
        b"identity" | b"" => Some(false),
        _ => None,
    }
}

/// 202, or 400 if nothing was used, so that even a sender that looks only at the status notices the problem.
fn acknowledge(receipt: &Receipt) -> Reply {
    let is_all_rejected = receipt.counts.rejected > 0 && receipt.counts.rejected == receipt.counts.read;
    let is_unused = is_all_rejected || receipt.unused.is_some();
    document(if is_unused { StatusCode::BAD_REQUEST } else { StatusCode::ACCEPTED }, receipt)
}
