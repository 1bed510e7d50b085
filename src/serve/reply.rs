//! Replies: JSON documents, and refusals with the reason and the time to wait before a retry.

use std::borrow::Cow;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Response, StatusCode};
use serde::Serialize;

use crate::ingest::SubmissionError;

/// Retry-After for a full disk or a full backlog, in seconds: first a drain or a person must make room.
const WHEN_FULL_SECONDS: u16 = 60;
/// Retry-After if too many requests wait, in seconds.
pub(super) const WHEN_BUSY_SECONDS: u16 = 1;
/// Retry-After if the buffer failed, in seconds.
pub(super) const WHEN_FAILED_SECONDS: u16 = 10;

pub(super) type Reply = Response<Full<Bytes>>;

/// A refused request. Its JSON form is the reply to the sender.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Refusal {
    #[serde(skip)]
    status: StatusCode,
    error: Cow<'static, str>,
    #[serde(skip)]
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, why: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { status, error: why.into(), header: None }
    }

    pub(super) fn with(self, name: HeaderName, value: &'static str) -> Refusal {
        Refusal { header: Some((name, HeaderValue::from_static(value))), ..self }
    }

    /// Refuses a request because the disk or the backlog is full.
    pub(super) fn full(why: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, why).again(WHEN_FULL_SECONDS)
    }

    /// Refuses a request because too many others wait.
    pub(super) fn busy(why: &'static str) -> Refusal {
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, why).again(WHEN_BUSY_SECONDS)
    }

    /// Refuses a request that may succeed later, for example because the buffer failed or will soon be closed.
    pub(super) fn failed(why: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why).again(WHEN_FAILED_SECONDS)
    }

    pub(super) fn again(self, after_seconds: u16) -> Refusal {
        Refusal { header: Some((RETRY_AFTER, HeaderValue::from(after_seconds))), ..self }
    }

    pub(super) fn reply(self) -> Reply {
        let mut reply = document(self.status, &self);
        reply.headers_mut().extend(self.header);
        reply
    }
}

impl From<SubmissionError> for Refusal {
    fn from(error: SubmissionError) -> Refusal {
        match error {
            SubmissionError::Unreadable(why) => {
                Refusal::new(StatusCode::BAD_REQUEST, format!("the body {why}"))
            }
            SubmissionError::TooLong => {
                Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body {error}"))
            }
            SubmissionError::DiskFull => Refusal::full(error.to_string()),
            SubmissionError::Failed | SubmissionError::Ingest(_) => {
                Refusal::failed(SubmissionError::Failed.to_string())
            }
        }
    }
}

/// Refuses any method other than GET and HEAD.
pub(super) fn get_only(method: &Method) -> Result<(), Refusal> {
    match *method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "takes GET").with(ALLOW, "GET, HEAD")),
    }
}

pub(super) const JSON: &str = "application/json";

pub(super) fn document(status: StatusCode, value: &impl Serialize) -> Reply {
    reply(status, JSON, serde_json::to_string(value).expect("text and numbers always serialise"))
}

pub(super) fn reply(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(text.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}
