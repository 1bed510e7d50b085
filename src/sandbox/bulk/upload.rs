//! One upload: let in, judged, counted and answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use hyper::Response;
use hyper::body::Incoming;
use serde::Serialize;

use super::super::digest::digest;
use super::super::hits::Arrival;
use super::super::reply::{self, ReplyBody};
use super::super::rules::{Finding, Rule};
use super::super::settings::{BulkFault, BulkSettings};
use super::super::traffic::{Admission, BulkFile, Gate, Sender, Step};
use super::super::world::{Judge, Origin, Shared};
use super::call::{Call, Ending, on_a_thread, refused, too_large};
use super::file::{FileFindings, Inspection, Rows, inspect};
use super::form::FilePart;
use super::records::FileFault;
use crate::event::Instant;

/// The reply to an upload.
#[derive(Serialize)]
struct UploadReply<'a> {
    file_id: &'a str,
    visitor_group_id: &'a str,
    size: usize,
    received_date: i64,
    rows: u64,
    invalid_rows: u64,
    upload_name: &'a str,
    status: &'static str,
    status_code: &'static str,
    processing_log: &'a str,
    idempotency_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

/// An upload that was let in. While it lives, it is under way in its group.
struct Upload {
    shared: Arc<Shared>,
    origin: Origin,
    sender: Sender,
    admission: Admission,
    settings: BulkSettings,
    file_id: String,
    received_at: Instant,
    is_answered: AtomicBool,
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.shared.world().bulk.ended(&self.sender, self.is_answered.load(Ordering::Relaxed));
    }
}

/// What the client is told.
struct Told {
    status: StatusCode,
    rows: u64,
    invalid_rows: u64,
    log: String,
    error: Option<&'static str>,
}

impl Told {
    fn rejected(status: StatusCode, rows: u64, log: String) -> Told {
        let error = match rows {
            0 => "No hits were found in the file.",
            _ => "No valid rows were found in the file.",
        };
        Told { status, rows, invalid_rows: rows, log, error: Some(error) }
    }
}

pub(super) async fn upload(call: &Call<'_>, body: Incoming) -> Result<Response<ReplyBody>, Ending> {
    let (_, body) = call.authorize_file(body).await?;
    let sender = Sender {
        group: call.header("x-adobe-vgid").to_owned(),
        key: call.header("x-adobe-idempotency-key").to_owned(),
    };
    let (gate, findings) = call.shared.world().bulk.admit(&sender, call.at);
    call.violated("", findings);
    let admission = match gate {
        Gate::Open(admission) => admission,
        Gate::Busy(seconds) => {
            call.turn_away(body).await?;
            let response = reply::error(StatusCode::TOO_MANY_REQUESTS, "Too many requests");
            return Ok(reply::retry_after(response, Some(seconds)));
        }
        Gate::TooLarge => {
            call.turn_away(body).await?;
            return Err(too_large());
        }
    };
    let settings = {
        let mut world = call.shared.world();
        if admission.ends_tokens {
            world.tokens.forget();
        }
        world.bulk.settings.clone()
    };
    let upload = Arc::new(Upload {
        shared: Arc::clone(call.shared),
        origin: call.origin,
        sender,
        settings,
        file_id: format!("00000000-0000-4000-8000-{:012}", admission.upload),
        admission,
        received_at: call.shared.clock.now(),
        is_answered: AtomicBool::new(false),
    });
    let outcome = match call.file(body).await {
        Ok(file) => {
            let taken = Arc::clone(&upload);
            // Once begun it goes on to its end, even where the client has gone.
            on_a_thread(move || taken.take(&file)).await.and_then(|outcome| outcome)
        }
        Err(ending) => Err(ending),
    };
    upload.is_answered.store(!matches!(outcome, Err(Ending::Broken)), Ordering::Relaxed);
    outcome
}

impl Upload {
    fn violated(&self, rsid: &str, findings: impl IntoIterator<Item = Finding>) {
        self.shared.world().violate(self.origin, rsid, findings);
    }

    fn take(&self, file: &FilePart) -> Result<Response<ReplyBody>, Ending> {
        let content = digest(&file.bytes);
        let (is_repeat, findings) = self.shared.world().bulk.identify(&self.sender, content);
        self.violated("", findings);
        let internal_error = || refused(StatusCode::INTERNAL_SERVER_ERROR, "Internal error");
        match self.admission.fault {
            Some(BulkFault::BreakBefore) => return Err(Ending::Broken),
            Some(BulkFault::ServerError) => return Err(internal_error()),
            _ => {}
        }
        let told = self.told(&file.bytes, is_repeat)?;
        match self.admission.fault {
            Some(BulkFault::LoseAnswer) => return Err(Ending::Broken),
            Some(BulkFault::ServerErrorAfter) => return Err(internal_error()),
            _ => {}
        }
        let is_taken = told.error.is_none();
        let answer = UploadReply {
            file_id: &self.file_id,
            visitor_group_id: &self.sender.group,
            size: file.bytes.len(),
            received_date: self.received_at.unix_seconds(),
            rows: told.rows,
            invalid_rows: told.invalid_rows,
            upload_name: &file.name,
            status: if is_taken { "Ingest completed" } else { "File Error" },
            status_code: if is_taken { "UPLOADED" } else { "REJECTED" },
            processing_log: &told.log,
            idempotency_key: self.key(),
            error: told.error,
        };
        Ok(reply::json(told.status, &answer))
    }

    /// The key that the reply names: one of Adobe's own where the client has sent none.
    fn key(&self) -> &str {
        if self.sender.key.is_empty() { &self.file_id } else { &self.sender.key }
    }

    /// Inspects a file, and counts it where it is one.
    fn told(&self, file: &[u8], is_repeat: bool) -> Result<Told, Ending> {
        let inspection = match inspect(file, &self.settings) {
            Ok(inspection) => inspection,
            Err(FileFault::NotGzip) => {
                self.violated("", [Finding::new(Rule::BulkSize, "not gzip, or broken off")]);
                let log = "An error occurred: Not in GZIP format".to_owned();
                return Ok(Told::rejected(StatusCode::BAD_REQUEST, 0, log));
            }
            Err(FileFault::TooLarge) => {
                let detail = format!("more than {} bytes unpacked", self.settings.raw_bytes_max);
                self.violated("", [Finding::new(Rule::BulkSize, detail)]);
                return Err(too_large());
            }
        };
        // The first suite of the file, for the record of broken rules.
        let rsid = inspection.suites.first().cloned().unwrap_or_default();
        let (rows, invalid_rows) = (inspection.rows, inspection.invalid_rows());
        let log = inspection.log.text(rows);
        if let Some((status, log)) = self.rejection(inspection, &rsid) {
            return Ok(Told::rejected(status, rows, log));
        }
        let findings = self.count_rows(file, is_repeat);
        self.violated(&rsid, findings);
        let (key, group) = (self.key().to_owned(), self.sender.group.clone());
        let entry = BulkFile { key, group, rows, invalid_rows, received_at: self.received_at };
        self.shared.world().bulk.receive(self.file_id.clone(), file.len() as u64, entry);
        let rows = rows.saturating_sub(self.settings.rows_untold);
        Ok(Told { status: StatusCode::OK, rows, invalid_rows, log, error: None })
    }

    /// Records what is wrong with a file; the status and the log where nothing of it is taken.
    fn rejection(&self, inspection: Inspection, rsid: &str) -> Option<(StatusCode, String)> {
        let suites = inspection.suites.iter().map(String::as_str);
        let mut findings =
            self.shared.world().bulk.judge_file(&self.sender, &self.admission, inspection.rows, suites);
        let is_worthless = inspection.invalid_rows() == inspection.rows;
        let log = inspection.log.text(inspection.rows);
        findings.extend(inspection.findings.into_findings());
        let strict = findings.first().filter(|_| self.shared.judge == Judge::Strict);
        let strict = strict.map(|finding| format!("{}: {}", finding.rule, finding.detail));
        self.violated(rsid, findings);
        if let Some(refusal) = inspection.refusal.or(strict) {
            return Some((StatusCode::BAD_REQUEST, refusal));
        }
        if self.admission.fault == Some(BulkFault::Reject) {
            return Some((StatusCode::OK, "An error occurred: the file could not be processed".to_owned()));
        }
        is_worthless.then_some((StatusCode::OK, log))
    }

    /// Counts the valid rows, and says which rules they break beside what came before. The lock is taken anew for each
    /// row, so that other connections are served in between.
    fn count_rows(&self, file: &[u8], is_repeat: bool) -> Vec<Finding> {
        let mut findings = FileFindings::default();
        let Ok(mut rows) = Rows::open(file, &self.settings, &mut FileFindings::default()) else {
            return Vec::new();
        };
        let (upload, group) = (self.admission.upload, digest(&self.sender.group));
        let loses_answer =
            matches!(self.admission.fault, Some(BulkFault::LoseAnswer | BulkFault::ServerErrorAfter));
        let arrival = Arrival {
            received_at: self.received_at,
            connection: self.origin.connection,
            is_answered: !loses_answer,
        };
        while let Ok(Some(row)) = rows.next() {
            let Ok(hit) = row.hit() else { continue };
            let (visitor, timestamp) = (hit.visitor_of_suite(), hit.seconds().unwrap_or_default());
            let mut world = self.shared.world();
            let followed = world.bulk.follow(Step { visitor, timestamp, upload, group, is_repeat });
            world.received(hit.rsid);
            let broken = world.accept(&hit, hit.content_hash(), arrival);
            drop(world);
            self.shared.tell();
            let is_explained = followed.unwrap_or_else(|(rule, detail)| {
                findings.note(rule, || format!("row {}: {detail}", row.number));
                true
            });
            for Finding { rule, detail } in broken {
                let rule = match rule {
                    Rule::VisitorOrder if is_explained => continue,
                    Rule::VisitorOrder => Rule::BehindLive,
                    rule => rule,
                };
                findings.note(rule, || format!("row {}: {detail}", row.number));
            }
        }
        findings.into_findings()
    }
}
