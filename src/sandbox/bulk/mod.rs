//! The Bulk Data Insertion API: files of hits, which are counted in the same store as single ones.
//!
//! ```text
//! POST /aa/collect/v1/events             multipart/form-data with the field file, a packed CSV -> what became of its rows
//! POST /aa/collect/v1/events/validate    the same form -> whether the file is valid; nothing is counted
//! GET  /aa/collect/v1/events/key/{key}   whether the file of an idempotency key was received
//! ```
//!
//! A file is read twice: once to see whether it is one (`file`), and again to count its rows, so that a file that breaks off
//! at its end has counted nothing and no file stands unpacked in memory. Both happen on threads of their own.
//!
//! Where Adobe's pages are silent: a file that is worthless as a whole is answered with 400, one whose rows are all invalid
//! with 200, both REJECTED; a repeated key is taken again; the look-up knows a file only when all of it was counted.

mod file;
mod form;
mod log;
mod records;
mod settings;
mod traffic;
mod upload;

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header, request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde::Serialize;

use self::file::inspect;
use self::form::FilePart;
use self::records::FileFault;
use super::Judge;
use super::collector::{Collector, Line};
use super::dia::Broken;
use super::reply::{self, ReplyBody};
use super::rules::{Finding, Rule};

pub use settings::BulkSettings;
pub use traffic::BulkFile;
pub(super) use traffic::BulkState;

/// Where every request of this interface begins.
pub(super) const PREFIX: &str = "/aa/collect/";
const EVENTS: &str = "/aa/collect/v1/events";
const VALIDATE: &str = "/aa/collect/v1/events/validate";
const KEY: &str = "/aa/collect/v1/events/key/";
/// What a form may have besides its file, in bytes.
const FORM_BYTES_MAX: u64 = 64 << 10;

/// Why a request ends without a reply of its own surface.
enum Ending {
    Refused(StatusCode, String),
    Broken,
}

impl From<Broken> for Ending {
    fn from(_: Broken) -> Ending {
        Ending::Broken
    }
}

fn refused(status: StatusCode, error: impl ToString) -> Ending {
    Ending::Refused(status, error.to_string())
}

fn complaint(status: StatusCode, error: impl ToString) -> Response<ReplyBody> {
    reply::json(status, serde_json::json!({ "error": error.to_string() }).to_string())
}

/// One request: where it came in, and by whom.
struct Call<'c> {
    collector: &'c Arc<Collector>,
    line: &'c Line,
    /// Its number, for the record of broken rules.
    request: u64,
    /// When its head came.
    at: Instant,
    head: request::Parts,
    /// Whose token it has; empty before that is known.
    client_id: String,
}

pub(super) async fn answer(
    collector: &Arc<Collector>,
    line: &Line,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Broken> {
    let at = Instant::now();
    let (head, body) = request.into_parts();
    let request = {
        let mut store = collector.store();
        store.requested(line.number);
        store.requests()
    };
    let mut call = Call { collector, line, request, at, head, client_id: String::new() };
    let path = call.head.uri.path().to_owned();
    let is_post = call.head.method == Method::POST;
    let is_get = call.head.method == Method::GET;
    let outcome = match path.strip_prefix(KEY) {
        Some(key) if is_get && !key.is_empty() => call.look_up(key),
        _ if is_post && path == EVENTS => call.upload(body).await,
        _ if is_post && path == VALIDATE => call.validate(body).await,
        _ => {
            call.violated("", vec![Finding::new(Rule::BulkAddress, format!("{} {path}", call.head.method))]);
            Err(refused(StatusCode::NOT_FOUND, format!("there is no {} {path}", call.head.method)))
        }
    };
    match outcome {
        Ok(response) => Ok(response),
        Err(Ending::Refused(status, error)) => Ok(complaint(status, error)),
        Err(Ending::Broken) => {
            line.wire.reset();
            Err(Broken)
        }
    }
}

impl Call<'_> {
    fn is_judged(&self) -> bool {
        self.collector.judge != Judge::Off
    }

    fn violated(&self, rsid: &str, findings: Vec<Finding>) {
        if self.is_judged() && !findings.is_empty() {
            self.collector.store().violate_in(self.request, findings, rsid, self.line.number);
        }
    }

    fn header(&self, name: &str) -> &str {
        text_of(&self.head.headers, name)
    }

    /// Looks at token and headers. Which headers a look-up needs besides is not published.
    fn authorize(&mut self, needs_group: bool) -> Result<(), Ending> {
        let needed: &[&str] = if needs_group {
            &["authorization", "x-api-key", "x-adobe-vgid"]
        } else {
            &["authorization", "x-api-key"]
        };
        if let Some(missing) = needed.iter().find(|name| self.header(name).is_empty()) {
            self.violated("", vec![Finding::new(Rule::BulkHeaders, format!("no {missing}"))]);
        }
        let authorization = self.header("authorization");
        let token = authorization.strip_prefix("Bearer ").unwrap_or("");
        let client_id = self.collector.bulk().tokens.client_of(token).map(str::to_owned);
        let invalid = || refused(StatusCode::UNAUTHORIZED, "Invalid token (1)");
        self.client_id = client_id.ok_or_else(invalid)?;
        let lacks = |name: &&&str| self.header(name).is_empty();
        if let Some(missing) = needed.iter().find(lacks) {
            let error = format!("Request is missing required header '{missing}'");
            return Err(refused(StatusCode::BAD_REQUEST, error));
        }
        if self.header("x-api-key") != self.client_id {
            let detail = "x-api-key is not the client ID of the token";
            self.violated("", vec![Finding::new(Rule::BulkHeaders, detail)]);
            return Err(refused(StatusCode::UNAUTHORIZED, "Invalid API key"));
        }
        Ok(())
    }

    fn look_up(&mut self, key: &str) -> Result<Response<ReplyBody>, Ending> {
        #[derive(Serialize)]
        struct LookUp<'a> {
            file_id: &'a str,
            size: u64,
            received_date: i64,
            rows: u64,
            idempotency_key: &'a str,
        }
        self.authorize(false)?;
        let found = self.collector.bulk().look_up(key);
        let found = found.ok_or_else(|| refused(StatusCode::NOT_FOUND, "File not found"))?;
        let answer = LookUp {
            file_id: &found.file_id,
            size: found.size_bytes,
            received_date: found.file.received_at.unix_seconds(),
            rows: found.file.rows,
            idempotency_key: &found.file.key,
        };
        Ok(json(StatusCode::OK, &answer))
    }

    async fn validate(&mut self, body: Incoming) -> Result<Response<ReplyBody>, Ending> {
        if let Err(ending) = self.authorize(true) {
            self.turn_away(body).await?;
            return Err(ending);
        }
        let file = self.read(body).await?;
        let settings = self.collector.bulk().settings.clone();
        let inspection = on_a_thread(move || inspect(&file.bytes, &settings, false)).await?;
        let bad = |error: &str| refused(StatusCode::BAD_REQUEST, error);
        let inspection = inspection.map_err(|fault| match fault {
            FileFault::NotGzip => bad("Not in GZIP format"),
            FileFault::TooLarge => refused(StatusCode::PAYLOAD_TOO_LARGE, "File is too large"),
        })?;
        if let Some(refusal) = &inspection.refusal {
            return Err(bad(refusal));
        }
        if let Some(row) = inspection.log.first_row() {
            let invalid = inspection.log.invalid_rows();
            let error = format!(
                "File has {invalid} rows that do not conform to the required CSV format! (Ex: row #{row})"
            );
            return Err(bad(&error));
        }
        let finding = self.collector.bulk().validated(&self.client_id, self.header("x-adobe-vgid"));
        self.violated("", finding.into_iter().collect());
        Ok(json(StatusCode::OK, &serde_json::json!({ "success": "File is valid" })))
    }

    /// The file of the form in a body.
    async fn read(&self, body: Incoming) -> Result<FilePart, Ending> {
        let bytes_max = self.collector.bulk().settings.compressed_bytes_max;
        let too_large = |bytes: u64| {
            self.violated("", vec![Finding::new(Rule::BulkSize, format!("{bytes} bytes packed"))]);
            refused(StatusCode::PAYLOAD_TOO_LARGE, "File is too large")
        };
        let (bytes, received) = read_up_to(body, bytes_max.saturating_add(FORM_BYTES_MAX)).await?;
        let bytes = bytes.ok_or_else(|| too_large(received))?;
        let file = form::file_of(self.header("content-type"), &bytes).map_err(|error| {
            self.violated("", vec![Finding::new(Rule::BulkAddress, error.to_string())]);
            refused(StatusCode::BAD_REQUEST, error)
        })?;
        if file.bytes.len() as u64 > bytes_max {
            return Err(too_large(file.bytes.len() as u64));
        }
        Ok(file)
    }

    /// Leaves the body to a client that waits to be asked for it, and takes it from one that does not: that one would see a
    /// broken connection instead of the reply.
    async fn turn_away(&self, body: Incoming) -> Result<(), Broken> {
        if self.head.headers.contains_key(header::EXPECT) {
            return Ok(());
        }
        read_up_to(body, 0).await.map(|_| ())
    }
}

fn text_of<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// The whole body, `None` where it is larger than that; and its length.
async fn read_up_to(mut body: Incoming, bytes_max: u64) -> Result<(Option<Bytes>, u64), Broken> {
    let mut whole = BytesMut::new();
    let mut length = 0_u64;
    while let Some(frame) = body.frame().await {
        // The client went away in the middle of its request.
        let Ok(data) = frame.map_err(|_| Broken)?.into_data() else { continue };
        length += data.len() as u64;
        if length <= bytes_max {
            whole.extend_from_slice(&data);
        }
    }
    Ok(((length <= bytes_max).then(|| whole.freeze()), length))
}

/// Does what takes longer than other connections should wait.
async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Ending> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "reading a file has failed");
        refused(StatusCode::INTERNAL_SERVER_ERROR, "Internal error")
    })
}

/// A reply as JSON. None of them has a key that is no string, which is all that can fail.
fn json(status: StatusCode, answer: &impl Serialize) -> Response<ReplyBody> {
    match serde_json::to_string(answer) {
        Ok(text) => reply::json(status, text),
        Err(error) => complaint(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}
