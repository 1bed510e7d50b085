//! The Data Insertion API: one request in, its hit judged and counted, its reply out.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header, request};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};

use super::Judge;
use super::collector::{Collector, Line};
use super::document::{self, Document};
use super::faults::{Fate, FaultKind, FaultTarget};
use super::incoming::{IncomingHit, Refusal, suite_of, visitor_of};
use super::judge::judge;
use super::reply::{self, ReplyBody, Shape, Verdict};
use super::rules::{Finding, Rule};
use super::store::{Arrival, Store};
use crate::event::Instant;

/// Where every request of this interface begins.
pub(super) const PREFIX: &str = "/b/ss/";
/// The response type at which an XML body is parsed.
const XML_TYPE: u8 = 6;
/// More than this of a body is not read: a mistake, not a hit.
const BODY_BYTES_MAX: usize = 4 << 20;
/// How long an idle connection is kept (`Keep-Alive: timeout=15` of the published sample reply).
pub(super) const IDLE_MAX: Duration = Duration::from_secs(15);
/// A reply has at least this many bytes besides its body.
const HEAD_BYTES_MIN: u32 = 100;

#[derive(Debug, thiserror::Error)]
#[error("the fault plan broke the connection")]
pub(super) struct Broken;

/// Where a request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Address<'p> {
    /// Empty where the suite is left to the body.
    rsid: &'p str,
    response_type: u8,
    /// Whether the tail that defeats caches follows.
    has_tail: bool,
}

impl<'p> Address<'p> {
    /// `/b/ss/{rsid}/{response type}`, then perhaps `/s` and a number.
    fn of(path: &'p str) -> Option<Address<'p>> {
        let mut parts = path.strip_prefix(PREFIX)?.split('/');
        let (rsid, response_type, tail) = (parts.next()?, parts.next()?, parts.next());
        let is_tail = |tail: &str| {
            tail.is_empty()
                || tail.strip_prefix('s').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
        };
        if parts.next().is_some() || !tail.is_none_or(is_tail) {
            return None;
        }
        if !response_type.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(Address { rsid, response_type: response_type.parse().ok()?, has_tail: tail.is_some() })
    }
}

enum Ending {
    Reply(Response<ReplyBody>),
    Reset,
    Never,
}

pub(super) async fn answer(
    collector: &Arc<Collector>,
    line: &Line,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Broken> {
    let (head, body) = request.into_parts();
    let is_post = head.method == Method::POST;
    match Address::of(head.uri.path()) {
        Some(address) if is_post && address.response_type == XML_TYPE => {
            post(collector, line, &head, address, body).await
        }
        address => Ok(misaddressed(collector, line, &head, address)),
    }
}

/// A request that can hold no hit of ours: by GET, to another response type, or to no address at all.
fn misaddressed(
    collector: &Collector,
    line: &Line,
    head: &request::Parts,
    address: Option<Address<'_>>,
) -> Response<ReplyBody> {
    let request_line = format!("{} {}", head.method, head.uri.path());
    let rule = if head.method == Method::GET { Rule::NoGet } else { Rule::Address };
    let rsid = address.map_or("", |address| address.rsid);
    collector.violated_alone(line, rsid, Finding::new(rule, request_line));
    match (address, &head.method) {
        (Some(address), &Method::GET | &Method::POST) => {
            let is_post = head.method == Method::POST;
            reply::unread(address.response_type, is_post)
                .unwrap_or_else(|| reply::bare(StatusCode::NOT_FOUND))
        }
        (Some(_), _) => reply::bare(StatusCode::METHOD_NOT_ALLOWED),
        (None, _) => reply::bare(StatusCode::NOT_FOUND),
    }
}

async fn post(
    collector: &Arc<Collector>,
    line: &Line,
    head: &request::Parts,
    address: Address<'_>,
    body: Incoming,
) -> Result<Response<ReplyBody>, Broken> {
    if head.headers.contains_key(header::EXPECT) {
        // Rejected before the body is read, which would make the server ask for it.
        collector.violated_alone(line, address.rsid, Finding::new(Rule::Expect, "the header is present"));
        return Ok(reply::bare(StatusCode::EXPECTATION_FAILED));
    }
    let Some(body) = read_whole(body).await? else {
        collector.violated_alone(line, address.rsid, Finding::new(Rule::Size, "more than 4 MiB"));
        return Ok(reply::bare(StatusCode::PAYLOAD_TOO_LARGE));
    };
    let decision = decide(collector, line, &head.headers, address, &body);
    if !decision.latency.is_zero() {
        tokio::time::sleep(decision.latency).await;
    }
    match decision.ending {
        Ending::Reply(response) => Ok(response),
        Ending::Reset => {
            line.wire.reset();
            Err(Broken)
        }
        // Until the client gives up and closes, which drops this.
        Ending::Never => pending().await,
    }
}

/// The whole body; `None` where it is too large.
async fn read_whole(mut body: Incoming) -> Result<Option<Bytes>, Broken> {
    let mut whole = Bytes::new();
    while let Some(frame) = body.frame().await {
        // The client went away in the middle of its request.
        let Ok(data) = frame.map_err(|_| Broken)?.into_data() else { continue };
        if whole.is_empty() {
            // The common case: the body came with its head, and is not copied.
            whole = data;
        } else {
            let mut joined = BytesMut::from(whole);
            joined.extend_from_slice(&data);
            whole = joined.freeze();
        }
        if whole.len() > BODY_BYTES_MAX {
            return Ok(None);
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok(Some(whole))
}

/// What will become of a request. While it lives its hit is under way.
struct Decision {
    latency: Duration,
    ending: Ending,
    _flight: Option<Flight>,
}

struct Flight {
    collector: Arc<Collector>,
    key: u64,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.collector.store().landed(self.key);
    }
}

/// Judges a request, draws its fault, counts its hit.
fn decide(
    collector: &Arc<Collector>,
    line: &Line,
    headers: &HeaderMap,
    address: Address<'_>,
    body: &[u8],
) -> Decision {
    let document = document::read(body);
    let is_judged = collector.judge != Judge::Off;
    let mut findings = if is_judged { judge(headers, address.rsid, body, &document) } else { Vec::new() };
    if is_judged && address.has_tail {
        findings.push(Finding::new(Rule::Address, "the path has a tail"));
    }
    let mut hit = IncomingHit::of(&document, address.rsid);
    if let (Judge::Strict, Some(finding)) = (collector.judge, findings.first()) {
        hit = Err(Refusal::Strict(format!("{}: {}", finding.rule, finding.detail)));
    }
    let received_at = collector.received_at();
    let content_hash = match &hit {
        Ok(hit) if is_judged => hit.content_hash(),
        _ => 0,
    };

    let mut store = collector.store();
    let is_last = carry(&mut store, line, is_judged.then_some(&mut findings));
    let rsid = suite_of(&document, address.rsid).unwrap_or("");
    store.received(rsid);
    let fate = draw(&mut store, rsid, &document);
    let accepts = fate.strike.as_ref().is_none_or(|(_, accepts)| *accepts);
    let mut flight = None;
    if let (Ok(hit), true) = (&hit, is_judged) {
        let (key, finding) = store.flies(hit, content_hash);
        flight = Some(Flight { collector: Arc::clone(collector), key });
        findings.extend(finding);
    }
    if let (Ok(hit), true) = (&hit, accepts) {
        let is_answered = fate.strike.as_ref().is_none_or(|(kind, _)| leaves_reply_whole(kind));
        let arrival = Arrival { received_at, connection: line.number, is_answered, content_hash };
        let more = store.accept(hit, arrival);
        if is_judged {
            findings.extend(more);
        }
        collector.accepted_one(&store);
    }
    store.violate(findings, rsid, line.number);
    drop(store);

    let verdict = match &hit {
        Ok(_) => Verdict::Success,
        Err(refusal) => Verdict::Failure(Some(refusal.to_string())),
    };
    let latency = fate.latency;
    if is_last {
        line.wire.close_after_reply();
    }
    Decision { latency, ending: ending(fate, &verdict, line), _flight: flight }
}

/// Counts the request on its connection; says whether it is the last that the plan allows there.
fn carry(store: &mut Store, line: &Line, findings: Option<&mut Vec<Finding>>) -> bool {
    let carried = store.requested(line.number);
    if let Some(findings) = findings
        && carried > 1
        && line.idle_before_request() > IDLE_MAX
    {
        let seconds = line.idle_before_request().as_secs();
        findings.push(Finding::new(Rule::IdleConnection, format!("the connection was idle for {seconds} s")));
    }
    store.dice.plan().requests_per_connection_max().is_some_and(|max| line.carried_one() >= max)
}

fn draw(store: &mut Store, rsid: &str, document: &Document<'_>) -> Fate {
    if store.dice.is_empty() {
        return Fate::default();
    }
    let visitor = visitor_of(document).map(|(_, visitor)| visitor).unwrap_or_default();
    let evars: Vec<(u16, &str)> = document.evars().collect();
    store.dice.decide(&FaultTarget { rsid, visitor: &visitor, evars: &evars })
}

/// Whether a client that waits gets the collector's own verdict.
fn leaves_reply_whole(kind: &FaultKind) -> bool {
    match kind {
        FaultKind::SlowReply(_)
        | FaultKind::Chunked
        | FaultKind::TwoDeclarations
        | FaultKind::Close
        | FaultKind::Latency(_)
        | FaultKind::MaxRequestsPerConnection(_) => true,
        FaultKind::Refuse
        | FaultKind::ResetBefore
        | FaultKind::ResetAfter
        | FaultKind::ResetMidReply
        | FaultKind::TimeoutBefore
        | FaultKind::TimeoutAfter
        | FaultKind::Status { .. }
        | FaultKind::BareFailure
        | FaultKind::Failure(_)
        | FaultKind::Malformed
        | FaultKind::Empty => false,
    }
}

fn ending(fate: Fate, verdict: &Verdict, line: &Line) -> Ending {
    let Some((kind, _)) = fate.strike else { return Ending::Reply(reply::xml(verdict, Shape::Whole)) };
    Ending::Reply(match kind {
        FaultKind::ResetBefore | FaultKind::ResetAfter => return Ending::Reset,
        FaultKind::TimeoutBefore | FaultKind::TimeoutAfter => return Ending::Never,
        FaultKind::Status { code, retry_after_seconds } => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            reply::faulty(status, retry_after_seconds)
        }
        FaultKind::BareFailure => reply::xml(&Verdict::Failure(None), Shape::Whole),
        FaultKind::Failure(reason) => reply::xml(&Verdict::Failure(Some(reason)), Shape::Whole),
        FaultKind::Malformed => reply::malformed(),
        FaultKind::Empty => reply::bare(StatusCode::OK),
        FaultKind::SlowReply(pause) => reply::xml(verdict, Shape::Slow(pause)),
        FaultKind::Chunked => reply::xml(verdict, Shape::Chunked),
        FaultKind::TwoDeclarations => reply::xml(verdict, Shape::TwoDeclarations),
        FaultKind::ResetMidReply => {
            let response = reply::xml(verdict, Shape::Whole);
            let length = response.body().size_hint().lower() as u32 + HEAD_BYTES_MIN;
            // At least one byte, and never the last one.
            line.wire.reset_after_bytes(1 + (fate.dice % length) as usize);
            response
        }
        FaultKind::Close => {
            line.wire.close_after_reply();
            reply::xml(verdict, Shape::Whole)
        }
        FaultKind::Refuse | FaultKind::Latency(_) | FaultKind::MaxRequestsPerConnection(_) => {
            reply::xml(verdict, Shape::Whole)
        }
    })
}

impl Collector {
    /// Records a request that breaks a rule and holds no hit.
    fn violated_alone(&self, line: &Line, rsid: &str, finding: Finding) {
        let mut store = self.store();
        store.requested(line.number);
        if self.judge != Judge::Off {
            store.violate(vec![finding], rsid, line.number);
        }
    }

    /// Now, where anyone will ask.
    fn received_at(&self) -> Instant {
        if self.keeps_hits { self.clock.now() } else { Instant::from_nanos(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_suite_and_response_type() {
        let address = |rsid, response_type, has_tail| Some(Address { rsid, response_type, has_tail });
        for (path, expected) in [
            ("/b/ss//6", address("", 6, false)),
            ("/b/ss/examplersid/6", address("examplersid", 6, false)),
            ("/b/ss//6/s1234", address("", 6, true)),
            ("/b/ss//6/", address("", 6, true)),
            ("/b/ss/a/1", address("a", 1, false)),
            ("/b/ss/6", None),
            ("/b/ss//six", None),
            ("/b/ss///6", None),
            ("/b/ss//6/x", None),
            ("/b/ss//6/s1/s2", None),
            ("/b/ss//", None),
            ("/b/s//6", None),
        ] {
            assert_eq!(Address::of(path), expected, "{path}");
        }
    }
}
