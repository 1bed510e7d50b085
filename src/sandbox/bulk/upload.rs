//! Handles one upload: admits it, judges its file, counts its rows and answers it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use http::StatusCode;
use hyper::body::Incoming;
use serde_json::json;

use super::super::hits::Arrival;
use super::super::incoming::digest;
use super::super::reply::{self, Reply};
use super::super::request::Call;
use super::super::rules::{Finding, Rule};
use super::super::settings::{BulkFault, BulkSettings, take_last};
use super::super::traffic::{Admission, BulkFile, Gate, Step};
use super::call::{Ending, FILE_HEADERS, FilePart, on_a_thread, refused, too_large};
use super::file::{FileFindings, Inspection, Rows, inspect};
use super::records::FileFault;
use crate::event::Instant as Receipt;

/// An upload that was admitted. Until this value is dropped, its group has an upload under way.
struct Upload {
    call: Arc<Call>,
    admission: Admission,
    settings: BulkSettings,
    file_id: String,
    received_at: Receipt,
    is_answered: AtomicBool,
}

impl Drop for Upload {
    fn drop(&mut self) {
        let call = &self.call;
        call.shared.world().bulk.ended(call.group(), call.key(), self.is_answered.load(Ordering::Relaxed));
    }
}

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

pub(super) async fn upload(call: &Arc<Call>, body: &mut Incoming) -> Result<Reply, Ending> {
    call.authorize(&FILE_HEADERS)?;
    let (gate, findings) = call.shared.world().bulk.admit(call.group(), call.key(), call.at);
    call.violated("", findings);
    let admission = match gate {
        Gate::Open(admission) => admission,
        Gate::Busy(seconds) => {
            let response = reply::error(StatusCode::TOO_MANY_REQUESTS, "Too many requests");
            return Ok(reply::retry_after(response, Some(seconds)));
        }
        Gate::TooLarge => return Err(too_large()),
    };
    let settings = {
        let mut world = call.shared.world();
        if take_last(&mut world.bulk.settings.forget_tokens_after) {
            world.tokens.forget();
        }
        world.bulk.settings.clone()
    };
    let upload = Arc::new(Upload {
        call: Arc::clone(call),
        settings,
        file_id: format!("00000000-0000-4000-8000-{:012}", admission.upload),
        admission,
        received_at: call.shared.clock.now(),
        is_answered: AtomicBool::new(false),
    });
    let outcome = match call.file(body).await {
        Ok(file) => {
            let taken = Arc::clone(&upload);
            // The work goes on to its end, also if the client has gone.
            on_a_thread(move || taken.take(&file)).await.and_then(|outcome| outcome)
        }
        Err(ending) => Err(ending),
    };
    upload.is_answered.store(!matches!(outcome, Err(Ending::Broken)), Ordering::Relaxed);
    outcome
}

impl Upload {
    fn take(&self, file: &FilePart) -> Result<Reply, Ending> {
        let content = digest(&file.bytes);
        let (is_repeat, findings) = self.call.shared.world().bulk.identify(self.call.key(), content);
        self.call.violated("", findings);
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
        let (status, code) = match told.error {
            None => ("Ingest completed", "UPLOADED"),
            Some(_) => ("File Error", "REJECTED"),
        };
        let mut answer = json!({
            "file_id": self.file_id, "visitor_group_id": self.call.group(), "size": file.bytes.len(),
            "received_date": self.received_at.unix_seconds(), "rows": told.rows, "invalid_rows": told.invalid_rows,
            "upload_name": file.name, "status": status, "status_code": code, "processing_log": told.log,
            "idempotency_key": self.key(),
        });
        if let Some(error) = told.error {
            answer["error"] = error.into();
        }
        Ok(reply::json(told.status, &answer))
    }

    /// The key that the reply names; the file ID if the client sent no key.
    fn key(&self) -> &str {
        if self.call.key().is_empty() { &self.file_id } else { self.call.key() }
    }

    /// Inspects a file, and counts its rows unless the whole file is refused.
    fn told(&self, file: &[u8], is_repeat: bool) -> Result<Told, Ending> {
        let inspection = match inspect(file, &self.settings) {
            Ok(inspection) => inspection,
            Err(FileFault::NotGzip) => {
                self.call.found("", Rule::BulkSize, "not gzip, or broken off");
                let log = "An error occurred: Not in GZIP format".to_owned();
                return Ok(Told::rejected(StatusCode::BAD_REQUEST, 0, log));
            }
            Err(FileFault::TooLarge) => {
                let bytes_max = self.settings.raw_bytes_max;
                self.call.found("", Rule::BulkSize, format!("more than {bytes_max} bytes unpacked"));
                return Err(too_large());
            }
        };
        // The first suite of the file, for the record of broken rules.
        let rsid = inspection.suites.first().cloned().unwrap_or_default();
        let (rows, invalid_rows) = (inspection.rows, inspection.invalid_rows());
        let log = inspection.log.text(rows);
        if let Some((status, log)) = self.rejection(inspection, &rsid, &log) {
            return Ok(Told::rejected(status, rows, log));
        }
        let findings = self.count_rows(file, is_repeat);
        self.call.violated(&rsid, findings);
        self.call.shared.world().bulk.receive(BulkFile {
            key: self.key().to_owned(),
            group: self.call.group().to_owned(),
            rows,
            invalid_rows,
            received_at: self.received_at,
            file_id: self.file_id.clone(),
            size_bytes: file.len(),
            at: Instant::now(),
        });
        let rows = rows.saturating_sub(self.settings.rows_untold);
        Ok(Told { status: StatusCode::OK, rows, invalid_rows, log, error: None })
    }

    /// Records the rules that a file breaks; returns the status and the log if the whole file is refused.
    fn rejection(&self, inspection: Inspection, rsid: &str, log: &str) -> Option<(StatusCode, String)> {
        let (rows, is_worthless) = (inspection.rows, inspection.invalid_rows() == inspection.rows);
        let suites = inspection.suites.iter().map(String::as_str);
        let (call, since) = (&self.call, self.admission.since_previous);
        let mut findings = call.shared.world().bulk.judge_file(call.group(), since, rows, suites);
        findings.extend(inspection.findings.into_findings());
        let strict = findings.first().filter(|_| call.shared.is_strict);
        let strict = strict.map(|finding| format!("{}: {}", finding.rule, finding.detail));
        call.violated(rsid, findings);
        if let Some(refusal) = inspection.refusal.or(strict) {
            return Some((StatusCode::BAD_REQUEST, refusal));
        }
        if self.admission.fault == Some(BulkFault::Reject) {
            return Some((StatusCode::OK, "An error occurred: the file could not be processed".to_owned()));
        }
        is_worthless.then(|| (StatusCode::OK, log.to_owned()))
    }

    /// Counts the valid rows, and returns the rules that they break together with earlier hits. The lock is taken
    /// anew for each row, so that other connections are served in between.
    fn count_rows(&self, file: &[u8], is_repeat: bool) -> Vec<Finding> {
        let mut findings = FileFindings::default();
        let Ok(mut rows) = Rows::open(file, &self.settings, &mut FileFindings::default()) else {
            return Vec::new();
        };
        let (upload, group, fault) = (self.admission.upload, digest(self.call.group()), self.admission.fault);
        let arrival = Arrival {
            received_at: self.received_at,
            connection: self.call.origin.connection,
            is_answered: !matches!(fault, Some(BulkFault::LoseAnswer | BulkFault::ServerErrorAfter)),
        };
        while let Ok(Some(row)) = rows.next() {
            let Ok(hit) = row.hit() else { continue };
            let (visitor, timestamp) = (hit.visitor_of_suite(), hit.seconds().unwrap_or_default());
            let mut world = self.call.shared.world();
            let followed = world.bulk.follow(Step { visitor, timestamp, upload, group, is_repeat });
            world.received(hit.rsid);
            let broken = world.accept(&hit, arrival);
            drop(world);
            self.call.shared.tell();
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
