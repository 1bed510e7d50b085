//! Replies: JSON and text for every surface, and those of the Data Insertion API, which faults may change.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use hyper::Response;
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;
use tokio::time::Sleep;

use super::faults::Shape;
use super::xml::DECLARATION;

/// How long an idle connection is kept, as the published sample reply says it.
const KEEP_ALIVE: HeaderValue = HeaderValue::from_static("timeout=15");
const XML: &str = "application/xml";
/// The only reason of a failure that the headers do not repeat (Data Insertion API, "Response types").
const NO_ACCOUNT: &str = "NO account";
/// The sizes of the pieces of a slow or chunked reply, in bytes. They repeat.
const PIECES: [usize; 7] = [1, 2, 3, 5, 8, 13, 21];

/// What the collector decides about a hit: success, or failure with its reason, if one is given.
pub(super) type Verdict = Result<(), Option<String>>;

pub(super) type Reply = Response<ReplyBody>;

/// There is no reply because the connection breaks: the client has gone, or the fault plan says so.
#[derive(Debug, thiserror::Error)]
#[error("the connection is broken")]
pub(super) struct Broken;

pub(super) fn whole(status: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut response = Response::new(ReplyBody::new(body, Shape::Whole));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response.headers_mut().insert("keep-alive", KEEP_ALIVE);
    response
}

pub(super) fn bare(status: StatusCode) -> Reply {
    whole(status, XML, "")
}

/// A reply as JSON. Only a key that is not a string could make this fail, and no reply has one.
pub(super) fn json(status: StatusCode, answer: &impl Serialize) -> Reply {
    match serde_json::to_vec(answer) {
        Ok(body) => whole(status, "application/json", body),
        Err(error) => whole(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", error.to_string()),
    }
}

/// Why a request is refused: the status, and what is wrong with it.
pub(super) type Complaint = (StatusCode, String);

/// The complaint about a request that cannot be understood.
pub(super) fn bad(why: impl ToString) -> Complaint {
    (StatusCode::BAD_REQUEST, why.to_string())
}

pub(super) fn error(status: StatusCode, error: impl ToString) -> Reply {
    json(status, &serde_json::json!({ "error": error.to_string() }))
}

/// The reply with the header Retry-After, if `seconds` are given.
pub(super) fn retry_after(mut response: Reply, seconds: Option<u32>) -> Reply {
    response.headers_mut().extend(seconds.map(|seconds| (header::RETRY_AFTER, seconds.into())));
    response
}

/// The reply of response type 6.
pub(super) fn xml(verdict: &Verdict, shape: Shape) -> Reply {
    let mut response = bare(StatusCode::OK);
    *response.body_mut() = ReplyBody::new(xml_text(verdict, shape), shape);
    // The headers repeat the verdict.
    let (status, reason) = match verdict {
        Ok(()) => ("SUCCESS", None),
        Err(Some(reason)) if reason == NO_ACCOUNT => return response,
        Err(reason) => ("FAILURE", reason.as_deref()),
    };
    let headers = response.headers_mut();
    headers.insert("status", HeaderValue::from_static(status));
    if let Some(Ok(reason)) = reason.map(HeaderValue::from_str) {
        headers.insert("reason", reason);
    }
    response
}

fn xml_text(verdict: &Verdict, shape: Shape) -> String {
    let second = if shape == Shape::TwoDeclarations { format!("{DECLARATION}\n") } else { String::new() };
    match verdict {
        Ok(()) => format!("{DECLARATION}\n{second}<status>SUCCESS</status>"),
        Err(None) => format!("{DECLARATION}\n{second}<status>FAILURE</status>"),
        Err(Some(reason)) => format!(
            "{DECLARATION}\n<status>FAILURE</status>\n{second}<reason>{}</reason>",
            reason.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
        ),
    }
}

/// HTTP 200 with a body that ends inside its `<status>` element, to catch a reader that only looks for SUCCESS.
pub(super) fn malformed() -> Reply {
    whole(StatusCode::OK, XML, format!("{DECLARATION}\n<status>SUCCESS</sta"))
}

/// A reply with a status of the fault plan. A redirect gets the published location of Adobe's cookie check.
pub(super) fn faulty(status: StatusCode, retry_after_seconds: Option<u32>) -> Reply {
    let mut response = retry_after(bare(status), retry_after_seconds);
    if status.is_redirection() {
        let place = HeaderValue::from_static("/b/ss//6?pccr=true&vidn=0000000000000000-0000000000000000");
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

/// A reply without image or script, for a response type whose requests are not read; `None` for an unknown type.
pub(super) fn unread(response_type: u8) -> Option<Reply> {
    match response_type {
        2 => Some(bare(StatusCode::NO_CONTENT)),
        0..=6 | 10 | 11 => Some(bare(StatusCode::OK)),
        _ => None,
    }
}

#[derive(Debug)]
pub(super) struct ReplyBody {
    left: VecDeque<Bytes>,
    shape: Shape,
    /// The pause before the next piece.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl ReplyBody {
    fn new(body: impl Into<Bytes>, shape: Shape) -> ReplyBody {
        let (mut body, mut left, mut sizes) = (body.into(), VecDeque::new(), PIECES.into_iter().cycle());
        let is_whole = matches!(shape, Shape::Whole | Shape::TwoDeclarations);
        while !body.is_empty() {
            let size = sizes.next().filter(|_| !is_whole).unwrap_or(body.len());
            left.push_back(body.split_to(size.min(body.len())));
        }
        ReplyBody { left, shape, sleep: None }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(sleep) = &mut self.sleep {
            std::task::ready!(sleep.as_mut().poll(cx));
        }
        if let Shape::Slow(pause) = self.shape {
            self.sleep = Some(Box::pin(tokio::time::sleep(pause)));
        }
        Poll::Ready(self.left.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.shape == Shape::Chunked {
            return SizeHint::default();
        }
        SizeHint::with_exact(self.left.iter().map(|piece| piece.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_its_reason_as_a_second_root() {
        let failure = Err(Some("Syntax Error".to_owned()));
        assert_eq!(
            xml_text(&failure, Shape::Whole),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<status>FAILURE</status>\n<reason>Syntax Error</reason>"
        );
        assert_eq!(xml_text(&failure, Shape::TwoDeclarations).matches("<?xml").count(), 2);
        let success = format!("{DECLARATION}\n<status>SUCCESS</status>");
        assert_eq!(xml_text(&Ok(()), Shape::Whole), success);
    }

    #[test]
    fn headers_mirror_every_reason_but_no_account() {
        let headers = |verdict| xml(&verdict, Shape::Whole).headers().clone();
        let text = |reason: &str| Err(Some(reason.to_owned()));
        assert_eq!(headers(Ok(()))["status"], "SUCCESS");
        assert_eq!(headers(text("Syntax Error"))["reason"], "Syntax Error");
        assert!(!headers(text("NO account")).contains_key("reason"));
        assert!(!headers(text("NO account")).contains_key("status"));
        assert!(!headers(Err(None)).contains_key("reason"));
    }
}
