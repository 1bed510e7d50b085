//! Stores submissions whose senders wait for a receipt: several submissions in one transaction, one receipt for each.

use std::io::{self, BufReader, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant as Timer};

use serde::Serialize;

use super::door::Door;
use super::error::IngestError;
use super::gate::Gate;
use super::input::{feed_lines, has_lone_returns};
use super::misplaced;
use super::options::IngestOptions;
use super::portion::{Portion, Reject, canonical_text};
use super::rejects::{Kept, Rejects};
use super::summary::{Counts, is_zero, unused};
use super::unpack::{Packing, Unpacked, Zeros, with};
use crate::buffer::{InputId, JobKey, StoreReport, Watch};
use crate::readers::esm::EsmSummary;
use crate::readers::memory::Recollection;
use crate::readers::rest_v2::ExchangeSummary;
use crate::readers::{
    Format, ListElements, Map, ReadError, ReaderOptions, SourceSummary, UnknownKeys, starts_as_list,
};

/// The longest submission after unpacking, in bytes: about 60,000 events. All of it is in memory.
pub const UNPACKED_BYTES_MAX: u64 = 32 << 20;
/// The most lines of a submission. An event has at least 65 bytes, so a submission that has only events stays below
/// this limit. Without a limit, a small packed body of short lines would make all other senders wait for minutes.
const LINES_MAX: usize = 520_000;
/// If no line of a submission can be read, this many of its first bytes are examined to find out what the body is.
const LOOKED_AT_BYTES: usize = 64 << 10;
/// The most rejected lines that a receipt names. The receipt counts all of them.
const ERRORS_NAMED_MAX: usize = 100;
/// The most rejected lines of a submission that memory holds, about 400 bytes each. Others are only counted.
const REJECTS_HELD_MAX: u32 = 10_000;
/// The time after which an open file of rejects is closed. `forget` waits until it is closed.
const REJECTS_OPEN: Duration = Duration::from_secs(5);

/// The shortest time between two log lines about a full disk, because senders retry again and again.
const TELL_FULL_EVERY: Duration = Duration::from_secs(60);

/// Names the limit on the kept rejects, for people. Requests and ESM reports are also limited by `REJECTS_HELD_MAX`.
pub fn rejects_limit(rejects_max: u32) -> String {
    let posted = format!("ingest.rejects_max for a file, {REJECTS_HELD_MAX} for a request or an ESM report");
    if rejects_max < REJECTS_HELD_MAX { "ingest.rejects_max".to_owned() } else { posted }
}

/// The body of one request, and its format.
#[derive(Debug)]
pub struct Submission {
    /// The name by which a conflict or a reject refers to the submission.
    pub path: String,
    /// Lines may also be the elements of a JSON list.
    pub format: Format,
    pub body: Vec<u8>,
    /// The map of the sender; `None` for the map of the options.
    pub map: Option<Arc<Map>>,
}

/// A submission that is unpacked and not longer than `UNPACKED_BYTES_MAX`.
#[derive(Debug)]
pub struct PlainSubmission(Submission);

impl Submission {
    pub fn unpack(self) -> Result<PlainSubmission, SubmissionError> {
        Ok(PlainSubmission(Submission { body: unpacked(self.body)?, ..self }))
    }
}

impl PlainSubmission {
    pub fn bytes(&self) -> usize {
        self.0.body.len()
    }
}

/// The result for a submission whose events are durable. Its JSON form is the reply to the sender.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Receipt {
    #[serde(flatten)]
    pub counts: Counts,
    /// The first lines that were rejected, and events whose `event_id` the buffer already has with other content.
    pub errors: Vec<LineError>,
    /// Rejected lines above `ingest.rejects_max` or above the limit in memory. They are only counted.
    #[serde(skip_serializing_if = "is_zero")]
    pub rejects_not_kept: u64,
    /// What happened to the exchanges, as counts; `None` for other formats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchanges: Option<ExchangeSummary>,
    /// The reason why nothing of the submission was used; `None` if something was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused: Option<String>,
    /// What an ESM report contains besides events; `None` for other formats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub esm: Option<EsmSummary>,
    /// The file with its rejected lines, if there is one. The sender cannot see it.
    #[serde(skip)]
    pub rejects_path: Option<PathBuf>,
    /// Keys of lines that are no key of an event, and how often each was met.
    #[serde(skip_serializing_if = "UnknownKeys::is_empty")]
    pub unknown_keys: UnknownKeys,
    /// Remarks on other content that was ignored or looks wrong, each with its line number if there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A line that was not stored.
#[derive(Debug, Clone, Serialize)]
pub struct LineError {
    /// The line number, from 1; for an array, the number of the element.
    pub line: u64,
    pub reason: String,
}

/// The reason why a submission gets no receipt.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SubmissionError {
    /// The submission cannot be read. The text may quote a name from it.
    #[error("{0}")]
    Unreadable(String),
    #[error("is longer than {UNPACKED_BYTES_MAX} bytes once unpacked; send it in parts")]
    TooLong,
    /// Free disk space is below `ingest.min_free_bytes`, or there was no space to write the events or the rejects.
    #[error("the disk of the buffer is full")]
    DiskFull,
    /// The buffer could not be read. The log has the cause, which a sender should not learn.
    #[error("the buffer failed; it may work again later")]
    Failed,
    /// The events or the rejects could not be stored. A sender should not learn this cause either.
    #[error(transparent)]
    Ingest(Arc<IngestError>),
}

/// Stores submissions, one group after the other.
pub struct Intake {
    buffer: Arc<dyn Door + Send + Sync>,
    options: IngestOptions,
    readers: ReaderOptions,
    memory: Recollection,
    place: Option<Watch>,
    inputs: Vec<(String, InputId)>,
    rejects: Option<(Rejects, Timer)>,
    told_full_at: Option<Timer>,
    gate: Gate,
}

struct Sorted {
    portion: Portion,
    of_source: SourceSummary,
    kept: Kept,
    zeros: Zeros,
    told: Vec<String>,
}

impl Intake {
    /// An intake for this buffer. Make only one: an intake does not see what another has not stored yet.
    pub fn new(buffer: Arc<dyn Door + Send + Sync>, options: IngestOptions) -> Result<Intake, IngestError> {
        let (readers, memory) = buffer.readers(&options)?;
        let (place, inputs) = (buffer.watch()?, Vec::new());
        Ok(Intake {
            buffer,
            options,
            readers,
            memory,
            place,
            inputs,
            rejects: None,
            told_full_at: None,
            gate: Gate::default(),
        })
    }

    /// Stores the events of a group in one transaction and returns a receipt for each submission, in the same order.
    /// Events that a receipt counts as stored are durable. After an error, perhaps nothing of a submission is stored.
    pub fn take(&mut self, group: Vec<PlainSubmission>) -> Vec<Result<Receipt, SubmissionError>> {
        let count = group.len();
        match self.buffer.has_room(&self.options, 0) {
            Ok(()) => {}
            Err(IngestError::DiskFloor { free_bytes, .. }) => {
                self.tell_full(free_bytes);
                return vec![Err(SubmissionError::DiskFull); count];
            }
            Err(error) => return vec![Err(refusal_of(error)); count],
        }
        let sorted: Vec<_> = group.into_iter().map(|submission| self.read(submission)).collect();
        let taken = if sorted.iter().any(|sorted| matches!(sorted, Err(SubmissionError::Failed))) {
            Err(SubmissionError::Failed)
        } else {
            // What was stored in a file that somebody overwrote meanwhile may be lost, so nobody gets a receipt.
            let stored = self.store(sorted);
            stored.and_then(|all| self.buffer.look(&mut self.place).map(|()| all)).map_err(refusal_of)
        };
        taken.unwrap_or_else(|refusal| {
            // Perhaps nothing was stored, so the readers must forget these submissions.
            self.forget_changes();
            vec![Err(refusal); count]
        })
    }

    /// Reads a submission as [`take`](Intake::take) does, and stores nothing. The receipt counts an event as stored
    /// even if the buffer already has it.
    pub fn preview(&mut self, submission: Submission) -> Result<Receipt, SubmissionError> {
        let sorted = submission.unpack().and_then(|submission| self.read(submission));
        self.forget_changes();
        sorted.map(|sorted| {
            let stored = sorted.portion.events.len() as u64;
            sorted.receipt(&StoreReport { stored, ..StoreReport::default() }, Default::default())
        })
    }

    /// Closes the file of rejects if it has been open for `REJECTS_OPEN`.
    pub fn rest(&mut self) {
        if self.rejects.as_ref().is_some_and(|(_, opened_at)| opened_at.elapsed() >= REJECTS_OPEN) {
            self.rejects = None;
        }
    }

    /// Logs that the disk of the buffer has too little free space: the reply to a sender does not give the numbers.
    fn tell_full(&mut self, free_bytes: u64) {
        if self.told_full_at.is_some_and(|at| at.elapsed() < TELL_FULL_EVERY) {
            return;
        }
        self.told_full_at = Some(Timer::now());
        let path = self.buffer.path().display();
        let min_free_bytes = self.options.config.min_free_bytes;
        tracing::warn!(%path, free_bytes, min_free_bytes, "what is posted is refused: the disk of the buffer has less free than ingest.min_free_bytes keeps for the drain; make room on it, or lower that key");
    }

    /// Makes the readers forget what was not stored: a new `Recollection` is empty, and reads the buffer's rows anew.
    fn forget_changes(&mut self) {
        self.memory = self.buffer.recollection();
    }

    fn read(&mut self, PlainSubmission(submission): PlainSubmission) -> Result<Sorted, SubmissionError> {
        let Submission { path, format, mut body, map } = submission;
        if self.readers.takes_events_only && format != Format::Ndjson {
            return Err(SubmissionError::Unreadable(
                "is no list of events, and a buffer on PostgreSQL takes events alone, so far".to_owned(),
            ));
        }
        if has_lone_returns(&body) {
            feed_lines(&mut body);
        }
        self.readers.map = map.or_else(|| self.options.maps.chosen.clone());
        let is_lines = matches!(format, Format::Ndjson | Format::RestV2);
        if is_lines && starts_as_list(&body) {
            // The same elements are taken as from a file.
            let (mut elements, mut lines) = (ListElements::new(BufReader::new(&*body)), Vec::new());
            let read = elements.read_to_end(&mut lines);
            read.map_err(|error| SubmissionError::Unreadable(format!("breaks off: {error}")))?;
            body = lines;
        }
        check_lines(memchr::memchr_iter(b'\n', &body).count())?;
        if let Some(why) = misplaced::why_no_text(&body).filter(|_| is_lines) {
            return Err(SubmissionError::Unreadable(why));
        }
        let mut zeros = Zeros::default();
        zeros.look(&body);
        let rejects_max = Some(REJECTS_HELD_MAX as usize);
        let only_by = self.readers.map.as_ref().filter(|_| format == Format::Ndjson).map(|map| map.name());
        let mut portion = Portion { rejects_max, only_by, ..Portion::new(&path, &self.options) };
        let start = body[..body.len().min(LOOKED_AT_BYTES)].to_vec();
        let is_all = start.len() == body.len();
        let mut reader = format.open(Cursor::new(body), &self.readers).map_err(refusal)?;
        // The clock is read once, because a submission may have many lines.
        let bounds = self.options.bounds();
        while portion.fill(&mut *reader, &mut self.memory, &|| bounds, None).map_err(refusal)? {}
        let is_nothing = is_lines && portion.events.is_empty() && !portion.rejects.is_empty();
        if let Some(why) = is_nothing.then(|| misplaced::why_no_lines(&start, is_all)).flatten() {
            return Err(SubmissionError::Unreadable(why));
        }
        let of_source = reader.summary();
        Ok(Sorted { portion, of_source, kept: Kept::of_sender(&path), zeros, told: Vec::new() })
    }

    fn store(
        &mut self,
        mut sorted: Vec<Result<Sorted, SubmissionError>>,
    ) -> Result<Vec<Result<Receipt, SubmissionError>>, IngestError> {
        let mut batches = Vec::new();
        for Sorted { portion, kept, told, .. } in sorted.iter_mut().flatten() {
            if let Some(file) = self.buffer.as_file() {
                *told = self.gate.tell(file, &self.options, portion)?;
            }
            told.iter().for_each(|what| tracing::warn!(path = portion.path, "{what}"));
            let input = self.input(&portion.path)?;
            self.keep(kept, &portion.rejects)?;
            if portion.rejects_not_held > 0 {
                self.buffer.count_unkept_rejects(portion.rejects_not_held)?;
            }
            batches.push(portion.batch(input, JobKey::LIVE));
        }
        let mut reports = self.buffer.store_together(batches)?.into_iter();
        self.memory.let_go(0);
        let mut receipts = Vec::with_capacity(sorted.len());
        for sorted in sorted {
            receipts.push(match sorted {
                Err(error) => Err(error),
                Ok(mut sorted) => {
                    let report = reports.next().expect("a report for each batch");
                    let left_out = sorted.portion.left_out(&report, &canonical_text, None);
                    for rejects in &left_out {
                        self.keep(&mut sorted.kept, rejects)?;
                    }
                    let rejects = self.rejects.as_ref().and_then(|(rejects, _)| rejects.path());
                    let rejects_path = sorted.kept.path(rejects);
                    Ok(Receipt { rejects_path, ..sorted.receipt(&report, left_out) })
                }
            });
        }
        Ok(receipts)
    }

    fn keep(&mut self, of_input: &mut Kept, lines: &[Reject]) -> Result<(), IngestError> {
        if lines.is_empty() {
            return Ok(());
        }
        let options = &self.options;
        let (rejects, _) = self.rejects.get_or_insert_with(|| (Rejects::new(options), Timer::now()));
        let kept = rejects.keep(of_input, lines, &*self.buffer);
        if kept.is_err() {
            // After a failed write the file may end within a line, so nothing more is written to it.
            self.rejects = None;
        }
        kept
    }

    /// Returns the input for submissions of this path, and creates it at the first call.
    fn input(&mut self, path: &str) -> Result<InputId, IngestError> {
        if let Some((_, input)) = self.inputs.iter().find(|(known, _)| *known == path) {
            return Ok(*input);
        }
        let input = self.buffer.open_input(path)?;
        self.inputs.push((path.to_owned(), input));
        Ok(input)
    }
}

impl Sorted {
    fn receipt(self, report: &StoreReport, [mixed, lost]: [Vec<Reject>; 2]) -> Receipt {
        let Sorted { portion, of_source, kept, zeros, told } = self;
        let rejected = (portion.rejects.len() + mixed.len()) as u64 + portion.rejects_not_held;
        let counts = Counts::of(report, rejected);
        let lines = portion.rejects.into_iter().chain(mixed).chain(lost);
        let errors = lines.map(|Reject { line, reason, .. }| LineError { line, reason });
        let unused = unused(&counts, &of_source);
        let SourceSummary { remarks, exchanges, esm } = of_source;
        let of_lines = remarks.notes().into_iter().map(|(line, what)| (Some(line), what));
        let of_exchanges = exchanges.iter().flat_map(ExchangeSummary::notes);
        let unit = if esm.is_some() { "record" } else { "line" };
        let in_words = |(line, what): (Option<u64>, String)| match line {
            Some(line) => format!("{unit} {line}: {what}"),
            None => what,
        };
        let notes = of_lines.chain(of_exchanges).chain(zeros.notes()).map(in_words).chain(told).collect();
        Receipt {
            unused,
            counts,
            errors: errors.take(ERRORS_NAMED_MAX).collect(),
            rejects_not_kept: kept.left_out + portion.rejects_not_held,
            exchanges,
            esm,
            rejects_path: None,
            unknown_keys: remarks.unknown,
            notes,
        }
    }
}

/// Unpacks a body that starts with the magic number of gzip. Returns any other body as it is.
fn unpacked(body: Vec<u8>) -> Result<Vec<u8>, SubmissionError> {
    if Packing::of(&body) != Some(Packing::Gzip) {
        return if body.len() as u64 > UNPACKED_BYTES_MAX { Err(SubmissionError::TooLong) } else { Ok(body) };
    }
    let mut plain = Vec::new();
    let zeros = Arc::default();
    let mut decoder = Unpacked::new(body.as_slice(), &zeros).take(UNPACKED_BYTES_MAX + 1);
    decoder.read_to_end(&mut plain).map_err(|error: io::Error| {
        SubmissionError::Unreadable(format!("breaks off as gzip after {} bytes: {error}", plain.len()))
    })?;
    if let Some(inner) = Packing::of(&plain) {
        let name = inner.name();
        return Err(SubmissionError::Unreadable(format!(
            "is packed as gzip, and what is inside is {name}, not events"
        )));
    }
    // Zero bytes after the packed data are appended: a remark names them like zero bytes inside the data.
    plain.resize(plain.len() + with(&zeros, |zeros| zeros.at_end) as usize, 0);
    if plain.len() as u64 > UNPACKED_BYTES_MAX { Err(SubmissionError::TooLong) } else { Ok(plain) }
}

fn refusal(error: ReadError) -> SubmissionError {
    match error {
        ReadError::Memory { .. } => {
            tracing::error!(error = &error as &dyn std::error::Error, "a submission cannot be taken");
            SubmissionError::Failed
        }
        // The error's own text names only the line; `source` says what is wrong there.
        ReadError::Broken { ref source, .. } | ReadError::Foreign(ref source) => {
            SubmissionError::Unreadable(format!("{error}: {source}"))
        }
        ReadError::Header(_) | ReadError::OtherHeader { .. } | ReadError::NewestFirst(_) => {
            SubmissionError::Unreadable(error.to_string())
        }
    }
}

/// Logs an error in full and returns it as the reason why submissions are refused.
fn refusal_of(error: IngestError) -> SubmissionError {
    tracing::error!(error = &error as &dyn std::error::Error, "submissions are refused");
    let is_full = match &error {
        IngestError::DiskFloor { .. } | IngestError::RejectsDiskFloor { .. } => true,
        IngestError::TooManyRejects { .. } | IngestError::Postgres(_) => false,
        IngestError::Buffer(error) => error.is_disk_full(),
        IngestError::Rejects { source, .. } => source.kind() == io::ErrorKind::StorageFull,
    };
    if is_full { SubmissionError::DiskFull } else { SubmissionError::Ingest(Arc::new(error)) }
}

fn check_lines(lines: usize) -> Result<(), SubmissionError> {
    if lines <= LINES_MAX {
        return Ok(());
    }
    let why = format!("has {lines} lines, and {LINES_MAX} are taken at once: send it in parts");
    Err(SubmissionError::Unreadable(why))
}
