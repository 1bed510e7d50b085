//! Replies: JSON and text of every surface, and those of the Data Insertion API as they are published and as the fault plan
//! spoils them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use hyper::Response;
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;
use tokio::time::Sleep;

use super::xml::DECLARATION;

/// How long an idle connection is kept, as the published sample reply says it.
const KEEP_ALIVE: HeaderValue = HeaderValue::from_static("timeout=15");
const XML: &str = "application/xml";
/// The one reason that is missing from the headers (Data Insertion API, "Response types").
const NO_ACCOUNT: &str = "NO account";
/// How large the pieces of a slow or chunked reply are, in bytes, over and over.
const PIECES: [usize; 7] = [1, 2, 3, 5, 8, 13, 21];
/// A transparent image of one pixel, which response type 1 is.
const GIF: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// What the collector thinks of a hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Success,
    /// With its reason, if one is given.
    Failure(Option<String>),
}

/// The connection breaks instead of a reply: the client has gone, or the fault plan wants it.
#[derive(Debug, thiserror::Error)]
#[error("the connection is broken")]
pub(super) struct Broken;

/// How the bytes of a reply come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Shape {
    #[default]
    Whole,
    /// A few bytes at a time, this long apart.
    Slow(Duration),
    Chunked,
    TwoDeclarations,
}

/// A reply of this media type.
pub(super) fn whole(status: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response.headers_mut().insert("keep-alive", KEEP_ALIVE);
    response
}

/// A reply without a body.
pub(super) fn bare(status: StatusCode) -> Response<ReplyBody> {
    whole(status, XML, "")
}

/// A reply as JSON. None of them has a key that is no string, which is all that can fail.
pub(super) fn json(status: StatusCode, answer: &impl Serialize) -> Response<ReplyBody> {
    match serde_json::to_vec(answer) {
        Ok(body) => whole(status, "application/json", body),
        Err(error) => whole(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", error.to_string()),
    }
}

/// JSON that says what is wrong.
pub(super) fn error(status: StatusCode, error: impl ToString) -> Response<ReplyBody> {
    json(status, &serde_json::json!({ "error": error.to_string() }))
}

/// The reply with the header Retry-After, where that is given.
pub(super) fn retry_after(mut response: Response<ReplyBody>, seconds: Option<u32>) -> Response<ReplyBody> {
    response.headers_mut().extend(seconds.map(|seconds| (header::RETRY_AFTER, seconds.into())));
    response
}

/// The reply of response type 6.
pub(super) fn xml(verdict: &Verdict, shape: Shape) -> Response<ReplyBody> {
    let text = xml_text(verdict, shape);
    let mut response = bare(StatusCode::OK);
    *response.body_mut() = match shape {
        Shape::Whole | Shape::TwoDeclarations => ReplyBody::whole(text.into()),
        Shape::Slow(pause) => ReplyBody { pause: Some(pause), ..ReplyBody::in_pieces(text.into()) },
        Shape::Chunked => ReplyBody { is_chunked: true, ..ReplyBody::in_pieces(text.into()) },
    };
    let headers = response.headers_mut();
    // The headers repeat the verdict.
    match verdict {
        Verdict::Success => {
            headers.insert("status", HeaderValue::from_static("SUCCESS"));
        }
        Verdict::Failure(Some(reason)) if reason == NO_ACCOUNT => {}
        Verdict::Failure(reason) => {
            headers.insert("status", HeaderValue::from_static("FAILURE"));
            if let Some(reason) = reason.as_deref().and_then(|reason| HeaderValue::from_str(reason).ok()) {
                headers.insert("reason", reason);
            }
        }
    }
    response
}

fn xml_text(verdict: &Verdict, shape: Shape) -> String {
    let second = if shape == Shape::TwoDeclarations { format!("{DECLARATION}\n") } else { String::new() };
    match verdict {
        Verdict::Success => format!("{DECLARATION}\n{second}<status>SUCCESS</status>"),
        Verdict::Failure(None) => format!("{DECLARATION}\n{second}<status>FAILURE</status>"),
        Verdict::Failure(Some(reason)) => format!(
            "{DECLARATION}\n<status>FAILURE</status>\n{second}<reason>{}</reason>",
            reason.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
        ),
    }
}

/// 200 with a body that breaks off in its status: a reader that looks for the word alone is caught.
pub(super) fn malformed() -> Response<ReplyBody> {
    whole(StatusCode::OK, XML, format!("{DECLARATION}\n<status>SUCCESS</sta"))
}

/// A status of the fault plan: a redirect gets the place of a cookie check, which is the published one.
pub(super) fn faulty(status: StatusCode, retry_after_seconds: Option<u32>) -> Response<ReplyBody> {
    let mut response = retry_after(bare(status), retry_after_seconds);
    if status.is_redirection() {
        let place = HeaderValue::from_static("/b/ss//6?pccr=true&vidn=0000000000000000-0000000000000000");
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

/// The reply of any other response type to a hit that holds nothing it could read; `None` for types that do not exist.
pub(super) fn unread(response_type: u8, is_post: bool) -> Option<Response<ReplyBody>> {
    let (media, body): (_, &'static [u8]) = match response_type {
        0 => ("text/html", b" "),
        1 | 4 => ("image/gif", GIF),
        2 => ("text/plain", b""),
        3 => ("application/javascript", b""),
        5 => ("image/wbmp", b"\0\0\x01\x01\x80"),
        6 => return Some(xml(&Verdict::Failure(None), Shape::Whole)),
        10 => ("application/json", b"{\"status\":\"FAILURE\"}"),
        11 => (XML, b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<visitor></visitor>"),
        _ => return None,
    };
    let status = if response_type == 2 { StatusCode::NO_CONTENT } else { StatusCode::OK };
    let mut response = whole(status, media, body);
    if matches!((response_type, is_post), (0 | 2, _) | (1 | 3, true)) {
        response.headers_mut().insert("status", HeaderValue::from_static("FAILURE"));
    }
    Some(response)
}

/// The body of a reply, in one or more pieces.
#[derive(Debug, Default)]
pub(super) struct ReplyBody {
    left: VecDeque<Bytes>,
    /// Chunked: without its length told before.
    is_chunked: bool,
    /// Between the pieces.
    pause: Option<Duration>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl ReplyBody {
    fn whole(body: Bytes) -> ReplyBody {
        let left = Some(body).filter(|body| !body.is_empty()).into_iter().collect();
        ReplyBody { left, ..ReplyBody::default() }
    }

    fn in_pieces(mut body: Bytes) -> ReplyBody {
        let (mut left, mut sizes) = (VecDeque::new(), PIECES.into_iter().cycle());
        while !body.is_empty() {
            let size = sizes.next().unwrap_or(1).min(body.len());
            left.push_back(body.split_to(size));
        }
        ReplyBody { left, ..ReplyBody::default() }
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
        self.sleep = self.pause.map(|pause| Box::pin(tokio::time::sleep(pause)));
        Poll::Ready(self.left.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_chunked {
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
        let failure = Verdict::Failure(Some("Syntax Error".to_owned()));
        assert_eq!(
            xml_text(&failure, Shape::Whole),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<status>FAILURE</status>\n<reason>Syntax Error</reason>"
        );
        assert_eq!(xml_text(&failure, Shape::TwoDeclarations).matches("<?xml").count(), 2);
        let success = format!("{DECLARATION}\n<status>SUCCESS</status>");
        assert_eq!(xml_text(&Verdict::Success, Shape::Whole), success);
    }

    #[test]
    fn headers_mirror_every_reason_but_no_account() {
        let headers = |verdict| xml(&verdict, Shape::Whole).headers().clone();
        let text = |reason: &str| Verdict::Failure(Some(reason.to_owned()));
        assert_eq!(headers(Verdict::Success)["status"], "SUCCESS");
        assert_eq!(headers(text("Syntax Error"))["reason"], "Syntax Error");
        assert!(!headers(text("NO account")).contains_key("reason"));
        assert!(!headers(text("NO account")).contains_key("status"));
        assert!(!headers(Verdict::Failure(None)).contains_key("reason"));
    }
}
