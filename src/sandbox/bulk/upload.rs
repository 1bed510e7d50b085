//! One upload: let in, judged, counted and answered.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use hyper::Response;
use hyper::body::Incoming;
use serde::Serialize;

use super::super::Judge;
use super::super::collector::Collector;
use super::super::incoming::timestamp_seconds;
use super::super::reply::ReplyBody;
use super::super::rules::{Finding, Rule};
use super::super::store::Arrival;
use super::file::{FileFindings, Inspection, Rows, inspect, visitor_of_suite};
use super::form::FilePart;
use super::records::FileFault;
use super::settings::{BulkFault, BulkSettings};
use super::traffic::{Admission, BulkFile, Gate, Sender, Step};
use super::{Call, Ending, complaint, json, on_a_thread, refused};
use crate::event::Instant as Receipt;

/// The reply to an upload.
#[derive(Serialize)]
struct UploadReply<'a> {
    file_id: &'a str,
    visitor_group_id: &'a str,
    size: u64,
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
    collector: Arc<Collector>,
    sender: Sender,
    admission: Admission,
    is_answered: bool,
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.collector.bulk().ended(&self.sender, self.is_answered);
    }
}

/// What the client is told.
struct Told {
    status: StatusCode,
    status_code: &'static str,
    rows: u64,
    invalid_rows: u64,
    log: String,
    error: Option<&'static str>,
}

impl Told {
    fn rejected(status: StatusCode, rows: u64, log: String) -> Told {
        let error = if rows > 0 {
            "No valid rows were found in the file."
        } else {
            "No hits were found in the file."
        };
        Told { status, status_code: "REJECTED", rows, invalid_rows: rows, log, error: Some(error) }
    }
}

impl Call<'_> {
    pub(super) async fn upload(&mut self, body: Incoming) -> Result<Response<ReplyBody>, Ending> {
        if let Err(ending) = self.authorize(true) {
            self.turn_away(body).await?;
            return Err(ending);
        }
        let sender = Sender {
            group: self.header("x-adobe-vgid").to_owned(),
            key: self.header("x-adobe-idempotency-key").to_owned(),
        };
        let (gate, findings) = self.collector.bulk().admit(&sender, self.at);
        self.violated("", findings);
        let admission = match gate {
            Gate::Open(admission) => admission,
            Gate::Busy(seconds) => {
                self.turn_away(body).await?;
                let mut response = complaint(StatusCode::TOO_MANY_REQUESTS, "Too many requests");
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                return Ok(response);
            }
            Gate::TooLarge => {
                self.turn_away(body).await?;
                return Err(refused(StatusCode::PAYLOAD_TOO_LARGE, "File is too large"));
            }
        };
        let collector = Arc::clone(self.collector);
        let mut upload = Upload { collector, sender, admission, is_answered: false };
        let file = match self.read(body).await {
            Ok(file) => file,
            Err(ending) => {
                upload.is_answered = matches!(ending, Ending::Refused(..));
                return Err(ending);
            }
        };
        let outcome = self.take(&upload, &file).await;
        upload.is_answered = !matches!(outcome, Err(Ending::Broken));
        outcome
    }

    async fn take(&self, upload: &Upload, file: &FilePart) -> Result<Response<ReplyBody>, Ending> {
        let Upload { sender, admission, .. } = upload;
        let (is_repeat, findings) = self.collector.bulk().identify(sender, content_of(file));
        self.violated("", findings);
        let fault = admission.fault;
        match fault {
            Some(BulkFault::BreakBefore) => return Err(Ending::Broken),
            Some(BulkFault::ServerError) => {
                return Err(refused(StatusCode::INTERNAL_SERVER_ERROR, "Internal error"));
            }
            _ => {}
        }
        let received_at = self.collector.clock.now();
        let file_id = format!("00000000-0000-4000-8000-{:012}", admission.upload);
        let told = self.told(upload, file, &file_id, received_at, is_repeat).await?;
        match fault {
            Some(BulkFault::LoseAnswer) => return Err(Ending::Broken),
            Some(BulkFault::ServerErrorAfter) => {
                return Err(refused(StatusCode::INTERNAL_SERVER_ERROR, "Internal error"));
            }
            _ => {}
        }
        let answer = UploadReply {
            file_id: &file_id,
            visitor_group_id: &sender.group,
            size: file.bytes.len() as u64,
            received_date: received_at.unix_seconds(),
            rows: told.rows,
            invalid_rows: told.invalid_rows,
            upload_name: &file.name,
            status: if told.error.is_none() { "Ingest completed" } else { "File Error" },
            status_code: told.status_code,
            processing_log: &told.log,
            idempotency_key: key_of(sender, &file_id),
            error: told.error,
        };
        Ok(json(told.status, &answer))
    }

    /// Inspects a file, and counts it where it is one.
    async fn told(
        &self,
        upload: &Upload,
        file: &FilePart,
        file_id: &str,
        received_at: Receipt,
        is_repeat: bool,
    ) -> Result<Told, Ending> {
        let Upload { sender, admission, .. } = upload;
        let settings = self.collector.bulk().settings.clone();
        let (bytes, is_judged, read_with) = (file.bytes.clone(), self.is_judged(), settings.clone());
        let mut inspection = match on_a_thread(move || inspect(&bytes, &read_with, is_judged)).await? {
            Ok(inspection) => inspection,
            Err(FileFault::NotGzip) => {
                self.violated("", vec![Finding::new(Rule::BulkSize, "not gzip, or broken off")]);
                let log = "An error occurred: Not in GZIP format".to_owned();
                return Ok(Told::rejected(StatusCode::BAD_REQUEST, 0, log));
            }
            Err(FileFault::TooLarge) => {
                let detail = format!("more than {} bytes unpacked", settings.raw_bytes_max);
                self.violated("", vec![Finding::new(Rule::BulkSize, detail)]);
                return Err(refused(StatusCode::PAYLOAD_TOO_LARGE, "File is too large"));
            }
        };
        let suites = inspection.suites.iter().map(String::as_str);
        let mut findings = self.collector.bulk().judge_file(sender, admission, inspection.rows, suites);
        findings.extend(std::mem::take(&mut inspection.findings).into_findings());
        let rsid = inspection.suites.first().cloned().unwrap_or_default();
        let strict = findings.first().filter(|_| self.collector.judge == Judge::Strict);
        let strict = strict.map(|finding| format!("{}: {}", finding.rule, finding.detail));
        self.violated(&rsid, findings);
        let (rows, invalid_rows) = (inspection.rows, inspection.invalid_rows());
        if let Some(refusal) = inspection.refusal.take().or(strict) {
            return Ok(Told::rejected(StatusCode::BAD_REQUEST, rows, refusal));
        }
        if admission.fault == Some(BulkFault::Reject) {
            let log = "An error occurred: the file could not be processed".to_owned();
            return Ok(Told::rejected(StatusCode::OK, rows, log));
        }
        if invalid_rows == rows {
            return Ok(Told::rejected(StatusCode::OK, rows, log_of(&inspection)));
        }
        let entry = BulkFile {
            key: key_of(sender, file_id).to_owned(),
            group: sender.group.clone(),
            rows,
            invalid_rows,
            received_at,
        };
        let counting = self.counting(upload, entry, file_id, is_repeat, rsid);
        let (bytes, counted_with) = (file.bytes.clone(), settings.clone());
        on_a_thread(move || counting.count(&bytes, &counted_with)).await?;
        let log = log_of(&inspection);
        let rows = rows.saturating_sub(settings.rows_untold);
        Ok(Told { status: StatusCode::OK, status_code: "UPLOADED", rows, invalid_rows, log, error: None })
    }

    fn counting(
        &self,
        upload: &Upload,
        entry: BulkFile,
        file_id: &str,
        is_repeat: bool,
        rsid: String,
    ) -> Counting {
        let loses_answer =
            matches!(upload.admission.fault, Some(BulkFault::LoseAnswer | BulkFault::ServerErrorAfter));
        let arrival = Arrival {
            received_at: entry.received_at,
            connection: self.line.number,
            is_answered: !loses_answer,
            content_hash: 0,
        };
        Counting {
            collector: Arc::clone(self.collector),
            arrival,
            request: self.request,
            upload: upload.admission.upload,
            group: self.collector.bulk().group_number(&upload.sender.group),
            is_repeat,
            rsid,
            file_id: file_id.to_owned(),
            entry,
        }
    }
}

/// The counting of one file. It goes on to its end even where the client has gone.
struct Counting {
    collector: Arc<Collector>,
    arrival: Arrival,
    request: u64,
    upload: u64,
    group: u32,
    is_repeat: bool,
    /// The first suite of the file, for the record of broken rules.
    rsid: String,
    file_id: String,
    entry: BulkFile,
}

impl Counting {
    /// Counts the valid rows, and notes the file as received.
    fn count(self, file: &[u8], settings: &BulkSettings) {
        let findings = self.count_rows(file, settings);
        if self.collector.judge != Judge::Off {
            self.collector.store().violate_in(self.request, findings, &self.rsid, self.arrival.connection);
        }
        self.collector.bulk().receive(self.file_id, file.len() as u64, self.entry);
    }

    /// Counts the valid rows, and says which rules they break beside what came before. The locks are taken anew for each
    /// row, so that other connections are served in between.
    fn count_rows(&self, file: &[u8], settings: &BulkSettings) -> Vec<Finding> {
        let mut findings = FileFindings::default();
        let Ok(mut rows) = Rows::open(file, settings, &mut FileFindings::default()) else {
            return Vec::new();
        };
        let is_judged = self.collector.judge != Judge::Off;
        while let Ok(Some(row)) = rows.next() {
            let Ok(hit) = row.hit() else { continue };
            let mut explains = self.is_repeat;
            if is_judged {
                let step = Step {
                    visitor: visitor_of_suite(&hit),
                    timestamp: hit.timestamp.and_then(timestamp_seconds).unwrap_or_default(),
                    upload: self.upload,
                    group: self.group,
                    is_repeat: self.is_repeat,
                };
                let followed = self.collector.bulk().follow(step);
                explains = followed.unwrap_or_else(|(rule, detail)| {
                    findings.note(rule, || format!("row {}: {detail}", row.number));
                    true
                });
            }
            let content_hash = if is_judged { hit.content_hash() } else { 0 };
            let mut store = self.collector.store();
            store.received(hit.rsid);
            let more = store.accept(&hit, Arrival { content_hash, ..self.arrival });
            self.collector.accepted_one(&store);
            drop(store);
            for Finding { rule, detail } in more {
                match rule {
                    Rule::VisitorOrder if explains => {}
                    Rule::VisitorOrder => {
                        findings.note(Rule::BehindLive, || format!("row {}: {detail}", row.number));
                    }
                    _ => findings.note(rule, || format!("row {}: {detail}", row.number)),
                }
            }
        }
        findings.into_findings()
    }
}

fn log_of(inspection: &Inspection) -> String {
    inspection.log.text(inspection.rows)
}

/// The key that the reply names: one of Adobe's own where the client has sent none.
fn key_of<'k>(sender: &'k Sender, file_id: &'k str) -> &'k str {
    if sender.key.is_empty() { file_id } else { &sender.key }
}

/// A digest of a file as it was sent.
fn content_of(file: &FilePart) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(&file.bytes);
    hasher.finish()
}
