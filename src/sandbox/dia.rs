//! The Data Insertion API: receives one request, judges and counts its hit, and replies.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode, header};
use hyper::body::{Body, Incoming};

use super::faults::{Fate, FaultKind, Shape};
use super::hits::Arrival;
use super::incoming::{IncomingHit, Refusal, suite_of};
use super::judge::judge;
use super::reply::{self, Broken, Reply, Verdict};
use super::request::{Call, read};
use super::rules::{Finding, Rule};
use super::tags::is_digits;
use super::world::Shared;
use super::xml;

const PREFIX: &str = "/b/ss/";
/// The response type at which an XML body is parsed.
const XML_TYPE: u8 = 6;
/// The longest body, in bytes. A longer body is a mistake, not a hit.
const BODY_BYTES_MAX: u64 = 4 << 20;
/// How long an idle connection is kept (`Keep-Alive: timeout=15` of the published sample reply).
pub(super) const IDLE_MAX: Duration = Duration::from_secs(15);
/// A reply has at least this many bytes besides its body.
const HEAD_BYTES_MIN: u32 = 100;

/// Where a request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Address<'p> {
    /// Empty if only the body names the suite.
    rsid: &'p str,
    response_type: u8,
    /// Whether the path ends with a part that keeps caches from answering, such as `/s123`.
    has_tail: bool,
}

impl<'p> Address<'p> {
    /// Reads a path of the form `/b/ss/{rsid}/{response type}`. After it there may be `/`, or `/s` and a number.
    fn of(path: &'p str) -> Option<Address<'p>> {
        let mut parts = path.strip_prefix(PREFIX)?.split('/');
        let (rsid, response_type, tail) = (parts.next()?, parts.next()?, parts.next());
        let is_tail = |tail: &str| tail.is_empty() || tail.strip_prefix('s').is_some_and(is_digits);
        if parts.next().is_some() || !tail.is_none_or(is_tail) || !is_digits(response_type) {
            return None;
        }
        Some(Address { rsid, response_type: response_type.parse().ok()?, has_tail: tail.is_some() })
    }
}

pub(super) async fn answer(call: &Call, body: Incoming) -> Result<Reply, Broken> {
    match Address::of(call.head.uri.path()) {
        Some(address) if call.head.method == Method::POST && address.response_type == XML_TYPE => {
            call.post(address, body).await
        }
        address => Ok(call.misaddressed(address)),
    }
}

/// The decisions about a request. The request's hit, if it has one, counts as under way until this value is dropped.
struct Decision {
    fate: Fate,
    verdict: Verdict,
    shared: Arc<Shared>,
    flight: Option<u64>,
}

impl Drop for Decision {
    fn drop(&mut self) {
        self.flight.iter().for_each(|key| self.shared.world().landed(*key));
    }
}

impl Call {
    /// Answers a request that cannot hold a hit: not by POST, to another response type, or to an unknown path.
    fn misaddressed(&self, address: Option<Address<'_>>) -> Reply {
        let method = &self.head.method;
        let rule = if method == Method::GET { Rule::NoGet } else { Rule::Address };
        let response = match (address, method) {
            (Some(address), &Method::GET | &Method::POST) => reply::unread(address.response_type),
            (Some(_), _) => Some(reply::bare(StatusCode::METHOD_NOT_ALLOWED)),
            (None, _) => None,
        };
        let rsid = address.map_or("", |address| address.rsid);
        self.found(rsid, rule, format!("{method} {}", self.head.uri.path()));
        response.unwrap_or_else(|| reply::bare(StatusCode::NOT_FOUND))
    }

    async fn post(&self, address: Address<'_>, mut body: Incoming) -> Result<Reply, Broken> {
        if self.head.headers.contains_key(header::EXPECT) {
            // The reply comes before the body is read, because reading would make the server ask for the body.
            self.found(address.rsid, Rule::Expect, "the header is present");
            return Ok(reply::bare(StatusCode::EXPECTATION_FAILED));
        }
        let (Some(body), _) = read(&mut body, BODY_BYTES_MAX).await? else {
            self.found(address.rsid, Rule::Size, "more than 4 MiB");
            return Ok(reply::bare(StatusCode::PAYLOAD_TOO_LARGE));
        };
        let decision = self.decide(address, &body);
        if !decision.fate.latency.is_zero() {
            tokio::time::sleep(decision.fate.latency).await;
        }
        self.reply(&decision.fate, &decision.verdict).await
    }

    /// Judges a request, lets the fault plan decide about it, and counts its hit.
    fn decide(&self, address: Address<'_>, body: &[u8]) -> Decision {
        let (shared, line) = (&self.shared, &self.line);
        let document = xml::read(body);
        let mut findings = judge(&self.head.headers, address.rsid, body, &document);
        if address.has_tail {
            findings.push(Finding::new(Rule::Address, "the path has a tail"));
        }
        let mut hit = IncomingHit::of(&document, address.rsid);
        if let Some(finding) = findings.first().filter(|_| shared.is_strict) {
            hit = Err(Refusal::Strict(format!("{}: {}", finding.rule, finding.detail)));
        }
        let rsid = suite_of(&document, address.rsid).unwrap_or("");

        let mut world = shared.world();
        let carried = world.requests_per_connection[line.number as usize];
        findings.extend(self.idled(carried));
        let is_last = world.faults.requests_per_connection_max().is_some_and(|max| carried >= max);
        world.received(rsid);
        let fate = world.faults.decide(rsid, &document);
        let mut flight = None;
        if let Ok(hit) = &hit {
            let (key, finding) = world.flies(hit);
            flight = Some(key);
            findings.extend(finding);
            let strike = fate.strike.as_ref();
            if strike.is_none_or(|(_, accepts)| *accepts) {
                let arrival = Arrival {
                    received_at: shared.clock.now(),
                    connection: line.number,
                    is_answered: strike.is_none_or(|(kind, _)| kind.leaves_reply_whole()),
                };
                findings.extend(world.accept(hit, arrival));
                shared.tell();
            }
        }
        world.violate(self.origin, rsid, findings);
        drop(world);

        let verdict = hit.map(|_| ()).map_err(|refusal| Some(refusal.to_string()));
        if is_last {
            line.close_after_reply();
        }
        Decision { fate, verdict, shared: Arc::clone(shared), flight }
    }

    /// The reply, changed by the fault that strikes the request, if any.
    async fn reply(&self, fate: &Fate, verdict: &Verdict) -> Result<Reply, Broken> {
        let line = &self.line;
        let Some((kind, _)) = &fate.strike else { return Ok(reply::xml(verdict, Shape::Whole)) };
        Ok(match kind {
            FaultKind::Reset => {
                line.reset();
                return Err(Broken);
            }
            // This waits until the client closes the connection, which drops this future.
            FaultKind::Timeout => pending().await,
            FaultKind::Status { code, retry_after_seconds } => {
                let status = StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                reply::faulty(status, *retry_after_seconds)
            }
            FaultKind::Failure(reason) => reply::xml(&Err(reason.clone()), Shape::Whole),
            FaultKind::Malformed => reply::malformed(),
            FaultKind::Empty => reply::bare(StatusCode::OK),
            FaultKind::Shaped(shape) => reply::xml(verdict, *shape),
            FaultKind::ResetMidReply => {
                let response = reply::xml(verdict, Shape::Whole);
                let length = response.body().size_hint().lower() as u32 + HEAD_BYTES_MIN;
                // At least one byte is sent, and never the last one.
                line.reset_after_bytes(1 + (fate.dice % length) as usize);
                response
            }
            FaultKind::Close => {
                line.close_after_reply();
                reply::xml(verdict, Shape::Whole)
            }
            FaultKind::Refuse | FaultKind::Latency(_) | FaultKind::MaxRequestsPerConnection(_) => {
                reply::xml(verdict, Shape::Whole)
            }
        })
    }

    /// Checks how long the connection was idle. `carried` counts its requests, including this one.
    fn idled(&self, carried: u32) -> Option<Finding> {
        let idle = self.line.idle_before_request();
        let detail = || format!("the connection was idle for {} s", idle.as_secs());
        (carried > 1 && idle > IDLE_MAX).then(|| Finding::new(Rule::IdleConnection, detail()))
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
