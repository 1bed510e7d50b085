//! What every surface reads of a request: its headers, its whole body, the fields of its query or form. A request
//! that collects hits also knows its connection.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::reply::Broken;
use super::rules::{Finding, Rule};
use super::wire::Line;
use super::world::{Origin, Shared};

/// A request that collects hits, without its body.
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
    pub(super) line: Arc<Line>,
    /// The numbers of the request and of its connection, for the record of broken rules.
    pub(super) origin: Origin,
    /// When the head of the request came.
    pub(super) at: Instant,
    pub(super) head: Parts,
}

impl Call {
    pub(super) fn header(&self, name: &str) -> &str {
        header(&self.head.headers, name)
    }

    pub(super) fn violated(&self, rsid: &str, findings: Vec<Finding>) {
        self.shared.world().violate(self.origin, rsid, findings);
    }

    pub(super) fn found(&self, rsid: &str, rule: Rule, detail: impl Into<String>) {
        self.violated(rsid, vec![Finding::new(rule, detail)]);
    }
}

/// The text of a header; empty where it is missing.
pub(super) fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// The whole body (`None` if it is larger than `bytes_max`) and its length. A body that is too large is also read to
/// its end. Otherwise a client that is still sending would see a broken connection instead of the reply.
pub(super) async fn read(body: &mut Incoming, bytes_max: u64) -> Result<(Option<Bytes>, u64), Broken> {
    let mut whole = BytesMut::new();
    let mut length = 0_u64;
    while let Some(frame) = body.frame().await {
        // An error means that the client went away in the middle of its request.
        let Ok(data) = frame.map_err(|_| Broken)?.into_data() else { continue };
        length += data.len() as u64;
        if length <= bytes_max {
            whole.extend_from_slice(&data);
        }
    }
    Ok(((length <= bytes_max).then(|| whole.freeze()), length))
}

/// The fields of a query or a form, in their order.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(super) fn of(encoded: &[u8]) -> Fields {
        Fields(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// The value of a field; empty where it is missing.
    pub(super) fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or("")
    }

    /// The values of a field that may stand several times.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn number(&self, name: &str, default: usize) -> Result<usize, String> {
        match self.get(name) {
            "" => Ok(default),
            text => text.parse().map_err(|_| format!("{name} {text:?} is no number")),
        }
    }

    /// The name of a field that is not in `known`.
    pub(super) fn unknown(&self, known: &[&str]) -> Option<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).find(|name| !known.contains(name))
    }
}
