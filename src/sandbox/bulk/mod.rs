//! The Bulk Data Insertion API: files of hits, which are counted for the same suites as single hits.
//!
//! ```text
//! POST /aa/collect/v1/events             multipart/form-data with the field file, a packed CSV -> what became of its rows
//! POST /aa/collect/v1/events/validate    the same form -> whether the file is valid; nothing is counted
//! GET  /aa/collect/v1/events/key/{key}   whether the file of an idempotency key was received
//! ```
//!
//! A file is read twice, on a thread of its own: once to check it as a whole (`file`), and once to count its rows. So
//! a file that breaks off counts nothing, and no file is unpacked as a whole in memory.
//!
//! Where Adobe's pages are silent: a file that is invalid as a whole gets 400; a file whose rows are all invalid gets
//! 200; both get REJECTED. A repeated key is accepted. A look-up finds only files that were counted to the end.

mod call;
mod file;
mod records;
mod upload;

use std::sync::Arc;

use http::header::EXPECT;
use http::{Method, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use self::call::{Ending, FILE_HEADERS, on_a_thread, refused, too_large};
use self::file::inspect;
use self::records::FileFault;
use super::reply::{self, Broken, Reply};
use super::request::{Call, read};
use super::rules::Rule;

pub(super) const PREFIX: &str = "/aa/collect/";
const EVENTS: &str = "/aa/collect/v1/events";
const VALIDATE: &str = "/aa/collect/v1/events/validate";
const KEY: &str = "/aa/collect/v1/events/key/";

pub(super) async fn answer(call: Arc<Call>, mut body: Incoming) -> Result<Reply, Broken> {
    let path = call.head.uri.path();
    let method = &call.head.method;
    let outcome = match (method, path.strip_prefix(KEY)) {
        (&Method::GET, Some(key)) if !key.is_empty() => look_up(&call, key),
        (&Method::POST, _) if path == EVENTS => upload::upload(&call, &mut body).await,
        (&Method::POST, _) if path == VALIDATE => validate(&call, &mut body).await,
        _ => {
            call.found("", Rule::BulkAddress, format!("{method} {path}"));
            Err(refused(StatusCode::NOT_FOUND, format!("there is no {method} {path}")))
        }
    };
    let response = match outcome {
        Ok(response) => response,
        Err(Ending::Refused(status, error)) => reply::error(status, error),
        Err(Ending::Broken) => {
            call.line.reset();
            return Err(Broken);
        }
    };
    // A client that is still sending would see a broken connection, not the reply. So the body is read to its end.
    if !call.head.headers.contains_key(EXPECT) {
        read(&mut body, 0).await?;
    }
    Ok(response)
}

fn look_up(call: &Call, key: &str) -> Result<Reply, Ending> {
    call.authorize(&["authorization", "x-api-key"])?;
    let found = call.shared.world().bulk.look_up(key);
    let found = found.ok_or_else(|| refused(StatusCode::NOT_FOUND, "File not found"))?;
    let answer = json!({
        "file_id": found.file_id, "size": found.size_bytes, "received_date": found.received_at.unix_seconds(),
        "rows": found.rows, "idempotency_key": found.key,
    });
    Ok(reply::json(StatusCode::OK, &answer))
}

async fn validate(call: &Call, body: &mut Incoming) -> Result<Reply, Ending> {
    let client_id = call.authorize(&FILE_HEADERS)?;
    let file = call.file(body).await?;
    let settings = call.shared.world().bulk.settings.clone();
    let bad = |error: String| refused(StatusCode::BAD_REQUEST, error);
    let inspection = match on_a_thread(move || inspect(&file.bytes, &settings)).await? {
        Ok(inspection) => inspection,
        Err(FileFault::NotGzip) => return Err(bad("Not in GZIP format".to_owned())),
        Err(FileFault::TooLarge) => return Err(too_large()),
    };
    if let Some(refusal) = inspection.refusal {
        return Err(bad(refusal));
    }
    if let Some(row) = inspection.log.first_row {
        let what = "rows that do not conform to the required CSV format!";
        return Err(bad(format!("File has {} {what} (Ex: row #{row})", inspection.log.invalid_rows())));
    }
    if call.shared.world().bulk.validates_again(&client_id, call.group()) {
        call.found("", Rule::ValidateOnce, "a file of its format was validated before");
    }
    Ok(reply::json(StatusCode::OK, &json!({ "success": "File is valid" })))
}
