//! Replies of the Data Insertion API, as they are published and as the fault plan spoils them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use hyper::Response;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::document::DECLARATION;

/// How long an idle connection is kept, as the published sample reply says it.
const KEEP_ALIVE: HeaderValue = HeaderValue::from_static("timeout=15");
const KEEP_ALIVE_HEADER: HeaderName = HeaderName::from_static("keep-alive");
const STATUS_HEADER: HeaderName = HeaderName::from_static("status");
const REASON_HEADER: HeaderName = HeaderName::from_static("reason");
const APPLICATION_XML: HeaderValue = HeaderValue::from_static("application/xml");
const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");
const SUCCESS: HeaderValue = HeaderValue::from_static("SUCCESS");
const FAILURE: HeaderValue = HeaderValue::from_static("FAILURE");
const SUCCESS_XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<status>SUCCESS</status>";
/// A body that breaks off in its status: a reader that looks for the word alone is caught.
const MALFORMED_XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<status>SUCCESS</sta";
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

/// The reply of response type 6.
pub(super) fn xml(verdict: &Verdict, shape: Shape) -> Response<ReplyBody> {
    let body = match verdict {
        Verdict::Success if shape != Shape::TwoDeclarations => Bytes::from_static(SUCCESS_XML.as_bytes()),
        _ => Bytes::from(xml_text(verdict, shape)),
    };
    let body = match shape {
        Shape::Whole | Shape::TwoDeclarations => ReplyBody::Whole(body),
        Shape::Slow(pause) => ReplyBody::Pieces(Pieces::new(&body, Some(pause))),
        Shape::Chunked => ReplyBody::Pieces(Pieces::new(&body, None)),
    };
    let mut response = reply(StatusCode::OK, APPLICATION_XML, body);
    mirror(response.headers_mut(), verdict);
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

/// Repeats the verdict in the headers.
fn mirror(headers: &mut HeaderMap, verdict: &Verdict) {
    match verdict {
        Verdict::Success => {
            headers.insert(STATUS_HEADER, SUCCESS);
        }
        Verdict::Failure(Some(reason)) if reason == NO_ACCOUNT => {}
        Verdict::Failure(reason) => {
            headers.insert(STATUS_HEADER, FAILURE);
            if let Some(reason) = reason.as_deref().and_then(|reason| HeaderValue::from_str(reason).ok()) {
                headers.insert(REASON_HEADER, reason);
            }
        }
    }
}

/// 200 with a body that breaks off.
pub(super) fn malformed() -> Response<ReplyBody> {
    reply(StatusCode::OK, APPLICATION_XML, ReplyBody::Whole(Bytes::from_static(MALFORMED_XML.as_bytes())))
}

/// This status without a body.
pub(super) fn bare(status: StatusCode) -> Response<ReplyBody> {
    reply(status, APPLICATION_XML, ReplyBody::Whole(Bytes::new()))
}

/// A status of the fault plan: a redirect gets the place of a cookie check, which is the published one.
pub(super) fn faulty(status: StatusCode, retry_after_seconds: Option<u32>) -> Response<ReplyBody> {
    let mut response = bare(status);
    if status.is_redirection() {
        let place = HeaderValue::from_static("/b/ss//6?pccr=true&vidn=0000000000000000-0000000000000000");
        response.headers_mut().insert(header::LOCATION, place);
    }
    if let Some(seconds) = retry_after_seconds {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// The reply of any other response type to a hit that holds nothing it could read; `None` for types that do not exist.
pub(super) fn unread(response_type: u8, is_post: bool) -> Option<Response<ReplyBody>> {
    let (status, media, body): (_, _, &'static [u8]) = match response_type {
        0 => (StatusCode::OK, "text/html", b" "),
        1 | 4 => (StatusCode::OK, "image/gif", GIF),
        2 => (StatusCode::NO_CONTENT, "text/plain", b""),
        3 => (StatusCode::OK, "application/javascript", b""),
        5 => (StatusCode::OK, "image/wbmp", b"\0\0\x01\x01\x80"),
        6 => return Some(xml(&Verdict::Failure(None), Shape::Whole)),
        10 => (StatusCode::OK, "application/json", b"{\"status\":\"FAILURE\"}"),
        11 => (
            StatusCode::OK,
            "application/xml",
            b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<visitor></visitor>",
        ),
        _ => return None,
    };
    let mut response =
        reply(status, HeaderValue::from_static(media), ReplyBody::Whole(Bytes::from_static(body)));
    let has_status = matches!((response_type, is_post), (0 | 2, _) | (1 | 3, true));
    if has_status {
        response.headers_mut().insert(STATUS_HEADER, FAILURE);
    }
    Some(response)
}

/// A document of this media type, perhaps packed.
pub(super) fn document(media: &'static str, body: Vec<u8>, is_gzip: bool) -> Response<ReplyBody> {
    let mut response =
        reply(StatusCode::OK, HeaderValue::from_static(media), ReplyBody::Whole(Bytes::from(body)));
    if is_gzip {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// A text that says why.
pub(super) fn plain(
    status: StatusCode,
    why: String,
    retry_after_seconds: Option<u32>,
) -> Response<ReplyBody> {
    let mut response =
        reply(status, HeaderValue::from_static("text/plain"), ReplyBody::Whole(Bytes::from(why)));
    if let Some(seconds) = retry_after_seconds {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// JSON of the sandbox's own interface.
pub(super) fn json(status: StatusCode, body: String) -> Response<ReplyBody> {
    reply(status, APPLICATION_JSON, ReplyBody::Whole(Bytes::from(body)))
}

fn reply(status: StatusCode, media: HeaderValue, body: ReplyBody) -> Response<ReplyBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response.headers_mut().insert(KEEP_ALIVE_HEADER, KEEP_ALIVE);
    response
}

/// The body of a reply.
#[derive(Debug)]
pub(super) enum ReplyBody {
    /// In one go, with its length.
    Whole(Bytes),
    Pieces(Pieces),
}

/// A body in pieces: with a pause its length is told before, else it is chunked.
#[derive(Debug)]
pub(super) struct Pieces {
    left: VecDeque<Bytes>,
    pause: Option<Duration>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Pieces {
    fn new(body: &Bytes, pause: Option<Duration>) -> Pieces {
        let mut left = VecDeque::new();
        let mut start = 0;
        for size in PIECES.into_iter().cycle() {
            if start >= body.len() {
                break;
            }
            let end = (start + size).min(body.len());
            left.push_back(body.slice(start..end));
            start = end;
        }
        Pieces { left, pause, sleep: None }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            ReplyBody::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            ReplyBody::Pieces(pieces) => {
                if let Some(sleep) = &mut pieces.sleep {
                    std::task::ready!(sleep.as_mut().poll(cx));
                }
                pieces.sleep = pieces.pause.map(|pause| Box::pin(tokio::time::sleep(pause)));
                Poll::Ready(pieces.left.pop_front().map(|piece| Ok(Frame::data(piece))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ReplyBody::Whole(bytes) => bytes.is_empty(),
            ReplyBody::Pieces(pieces) => pieces.left.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            ReplyBody::Pieces(Pieces { left, pause: Some(_), .. }) => {
                SizeHint::with_exact(left.iter().map(|piece| piece.len() as u64).sum())
            }
            ReplyBody::Pieces(_) => SizeHint::default(),
        }
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
        assert_eq!(xml_text(&Verdict::Success, Shape::Whole), SUCCESS_XML);
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
