//! Takes in what senders hand over and wait for: several submissions in one transaction, each with a receipt of its own.

use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant as Timer};

use serde::Serialize;
use serde_json::value::RawValue;

use super::error::IngestError;
use super::memory;
use super::misplaced;
use super::options::IngestOptions;
use super::portion::{Portion, Reject, canonical_text};
use super::rejects::{Again, Kept, Rejects};
use super::summary::{Counts, is_zero, unused};
use super::unpack::{Packing, Unpacked};
use crate::buffer::{Buffer, InputId, JobKey, StoreReport};
use crate::readers::esm::EsmSummary;
use crate::readers::memory::Recollection;
use crate::readers::ndjson::LineParser;
use crate::readers::rest_v2::ExchangeSummary;
use crate::readers::{Format, ReadError, ReaderOptions, SourceSummary};

/// The longest submission once it is unpacked, in bytes: some 60,000 events. It is in memory as a whole.
pub const UNPACKED_BYTES_MAX: u64 = 32 << 20;
/// How many lines a submission may have. An event has at least 65 bytes, so no submission that is nothing but events has more; a
/// small body of short lines would keep every other sender waiting for minutes.
const LINES_MAX: usize = 520_000;
/// How much of a submission of which nothing could be read is looked at to tell what it is, in bytes.
const LOOKED_AT_BYTES: usize = 64 << 10;
/// How many lines a receipt names. It counts the others, and the rejects have them.
const ERRORS_NAMED_MAX: usize = 100;
/// How many rejected lines of a submission are held in memory, and may be kept; the others are counted. Each takes some 400
/// bytes, and 32 KB of gzip may hold eleven million lines that are no event.
const REJECTS_HELD_MAX: usize = 10_000;
/// How long a file of rejects stays open for more of them. An erasure waits for it.
const REJECTS_OPEN: Duration = Duration::from_secs(5);

/// How often the log tells that a disk is full: senders try again and again.
const TELL_FULL_EVERY: Duration = Duration::from_secs(60);

/// What a sender hands over.
#[derive(Debug)]
pub struct Submission {
    /// What it is named where a conflict or a reject leads back to it.
    pub path: String,
    /// Its format; NDJSON may be one JSON array too.
    pub format: Format,
    pub body: Vec<u8>,
}

/// A submission whose body is plain, and within its limit.
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

/// What became of a submission: its events are durable. Serialises as the sender reads it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Receipt {
    #[serde(flatten)]
    pub counts: Counts,
    /// The first lines that were rejected or lost against another event.
    pub errors: Vec<LineError>,
    /// Rejected lines above `ingest.rejects_max`, or beyond what a submission may hold in memory: they are kept nowhere here.
    #[serde(skip_serializing_if = "is_zero")]
    pub rejects_not_kept: u64,
    /// What became of its exchanges, where it held them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchanges: Option<ExchangeSummary>,
    /// Why nothing of it was used, where it held something and none of that is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused: Option<String>,
    /// What it held beside its events, where it was a report of ESM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub esm: Option<EsmSummary>,
    /// The file that has its rejected lines, where they are kept: the sender cannot see it.
    #[serde(skip)]
    pub rejects_path: Option<PathBuf>,
    /// The keys that no event has; empty: none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unknown_keys: String,
    /// What else was passed over, or is not what it seems, each with its line where it has one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A line that was not stored.
#[derive(Debug, Clone, Serialize)]
pub struct LineError {
    /// Its number, from 1; in an array the element's.
    pub line: u64,
    pub reason: String,
}

/// Why nothing of a submission was stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SubmissionError {
    /// It cannot be read. The text may quote a name that stands in it.
    #[error("{0}")]
    Unreadable(String),
    #[error("is longer than {UNPACKED_BYTES_MAX} bytes once unpacked; send it in parts")]
    TooLong,
    /// There is no room for more: the disk is at its floor, or the database refused for want of it.
    #[error("the disk of the buffer is full")]
    DiskFull,
    /// The buffer failed, or rejects cannot be kept; the log says more than a sender should know.
    #[error("the buffer failed; it may work again later")]
    Failed,
}

/// A counter where submissions are handed in, one group after the other.
pub struct Intake {
    buffer: Arc<Buffer>,
    options: IngestOptions,
    readers: ReaderOptions,
    memory: Recollection,
    inputs: Vec<(String, InputId)>,
    rejects: Option<(Rejects, Timer)>,
    told_full_at: Option<Timer>,
}

/// A submission that was read.
struct Sorted {
    portion: Portion,
    of_source: SourceSummary,
    kept: Kept,
}

impl Intake {
    /// Over this buffer. Stays on its thread: what readers remember is not shared.
    pub fn new(buffer: Arc<Buffer>, options: IngestOptions) -> Result<Intake, IngestError> {
        let (readers, memory) = memory::stored(&buffer, &options)?;
        Ok(Intake { buffer, options, readers, memory, inputs: Vec::new(), rejects: None, told_full_at: None })
    }

    /// Stores the events of a group in one transaction and gives each submission its receipt, in their order. What a
    /// receipt counts as stored is durable; where there is an error, nothing of that submission was stored.
    pub fn take(&mut self, group: Vec<PlainSubmission>) -> Vec<Result<Receipt, SubmissionError>> {
        let count = group.len();
        match self.buffer.free_bytes() {
            Ok(free_bytes) if free_bytes >= self.options.config.min_free_bytes => {}
            Ok(free_bytes) => {
                self.tell_full(free_bytes);
                return vec![Err(SubmissionError::DiskFull); count];
            }
            Err(error) => return vec![Err(refusal_of(&error.into())); count],
        }
        let sorted: Vec<_> = group.into_iter().map(|submission| self.read(submission)).collect();
        let taken = if sorted.iter().any(|sorted| matches!(sorted, Err(SubmissionError::Failed))) {
            Err(SubmissionError::Failed)
        } else {
            self.store(sorted).map_err(|error| refusal_of(&error))
        };
        taken.unwrap_or_else(|refusal| {
            // Nothing was stored, so what the readers remember of these submissions is dropped.
            self.forget_changes();
            vec![Err(refusal); count]
        })
    }

    /// Reads a submission as [`take`](Intake::take) would, and stores nothing: the receipt says what would be stored, but for
    /// events that the buffer would find to be duplicates.
    pub fn preview(&mut self, submission: Submission) -> Result<Receipt, SubmissionError> {
        let sorted = submission.unpack().and_then(|submission| self.read(submission));
        self.forget_changes();
        sorted.map(|sorted| {
            let stored = sorted.portion.events.len() as u64;
            sorted.receipt(&StoreReport { stored, ..StoreReport::default() }, Default::default())
        })
    }

    /// Closes the file of rejects that has been open for its time.
    pub fn rest(&mut self) {
        if self.rejects.as_ref().is_some_and(|(_, opened_at)| opened_at.elapsed() >= REJECTS_OPEN) {
            self.rejects = None;
        }
    }

    /// Tells the log that the disk of the buffer is at its floor: senders only learn that it is full.
    fn tell_full(&mut self, free_bytes: u64) {
        if self.told_full_at.is_some_and(|at| at.elapsed() < TELL_FULL_EVERY) {
            return;
        }
        self.told_full_at = Some(Timer::now());
        let path = self.buffer.path().display();
        let min_free_bytes = self.options.config.min_free_bytes;
        tracing::warn!(%path, free_bytes, min_free_bytes, "what is posted is refused: the disk of the buffer has less free than ingest.min_free_bytes keeps for the drain; make room on it, or lower that key");
    }

    fn forget_changes(&mut self) {
        match memory::stored(&self.buffer, &self.options) {
            Ok((readers, memory)) => (self.readers, self.memory) = (readers, memory),
            // The secret was read before, so it is in memory or configured; a buffer that fails now fails the next group too.
            Err(error) => tracing::error!(%error, "what sources remember cannot be read again"),
        }
    }

    fn read(&mut self, PlainSubmission(submission): PlainSubmission) -> Result<Sorted, SubmissionError> {
        let Submission { path, format, body } = submission;
        check_lines(memchr::memchr_iter(b'\n', &body).count())?;
        let is_lines = matches!(format, Format::Ndjson | Format::RestV2);
        if let Some(why) = misplaced::why_no_text(&body).filter(|_| is_lines) {
            return Err(SubmissionError::Unreadable(why));
        }
        let mut portion = Portion { rejects_max: Some(REJECTS_HELD_MAX), ..Portion::new(&path) };
        let of_source = match (format, misplaced::first_letter(&body)) {
            (Format::Ndjson, Some(b'[')) => self.read_array(&mut portion, misplaced::without_mark(&body))?,
            _ => {
                let start = body[..body.len().min(LOOKED_AT_BYTES)].to_vec();
                let is_all = start.len() == body.len();
                let mut reader = format.open(Cursor::new(body), &self.readers).map_err(refusal)?;
                // The clock is asked once: a submission may have millions of lines.
                let bounds = self.options.bounds();
                while portion.fill(&mut *reader, &mut self.memory, &|| bounds).map_err(refusal)? {}
                let is_nothing = is_lines && portion.events.is_empty() && !portion.rejects.is_empty();
                if let Some(why) = is_nothing.then(|| misplaced::why_no_lines(&start, is_all)).flatten() {
                    return Err(SubmissionError::Unreadable(why));
                }
                reader.summary()
            }
        };
        Ok(Sorted { portion, of_source, kept: Kept::of(Again::Sent) })
    }

    /// Reads the elements of a JSON array, each as a line that stands alone.
    fn read_array(&self, portion: &mut Portion, body: &[u8]) -> Result<SourceSummary, SubmissionError> {
        let elements: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            SubmissionError::Unreadable(format!(
                "is no JSON array: it breaks at line {line}, column {column}"
            ))
        })?;
        check_lines(elements.len())?;
        let (mut parser, bounds) = (LineParser::default(), self.options.bounds());
        for (number, element) in (1..).zip(elements) {
            portion.take(&parser.parse_alone(number, element.get().as_bytes(), bounds));
        }
        Ok(parser.summary())
    }

    fn store(
        &mut self,
        mut sorted: Vec<Result<Sorted, SubmissionError>>,
    ) -> Result<Vec<Result<Receipt, SubmissionError>>, IngestError> {
        let mut batches = Vec::new();
        for Sorted { portion, kept, .. } in sorted.iter_mut().flatten() {
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
                    let left_out = sorted.portion.left_out(&report, &canonical_text);
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
        let kept = rejects.keep(of_input, lines, &self.buffer);
        if kept.is_err() {
            // A file that failed once is not written to again.
            self.rejects = None;
        }
        kept
    }

    /// The input that submissions of this path are one of, made once.
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
        let Sorted { portion, of_source, kept } = self;
        let rejected = (portion.rejects.len() + mixed.len()) as u64 + portion.rejects_not_held;
        let counts = Counts::of(report, rejected);
        let lines = portion.rejects.into_iter().chain(mixed).chain(lost);
        let errors = lines.map(|Reject { line, reason, .. }| LineError { line, reason });
        let SourceSummary { remarks, exchanges, esm } = of_source;
        let unknown = &remarks.unknown;
        let of_lines = remarks.notes().into_iter().map(|(line, what)| (Some(line), what));
        let of_exchanges = exchanges.iter().flat_map(ExchangeSummary::notes);
        let in_words = |(line, what): (Option<u64>, String)| match line {
            Some(line) => format!("line {line}: {what}"),
            None => what,
        };
        let notes = of_lines.chain(of_exchanges).map(in_words).collect();
        Receipt {
            unused: unused(&counts, exchanges.as_ref()),
            counts,
            errors: errors.take(ERRORS_NAMED_MAX).collect(),
            rejects_not_kept: kept.left_out + portion.rejects_not_held,
            exchanges,
            esm,
            rejects_path: None,
            unknown_keys: if unknown.is_empty() { String::new() } else { unknown.to_string() },
            notes,
        }
    }
}

/// Unpacks what begins as gzip does.
fn unpacked(body: Vec<u8>) -> Result<Vec<u8>, SubmissionError> {
    if Packing::of(&body) != Some(Packing::Gzip) {
        return if body.len() as u64 > UNPACKED_BYTES_MAX { Err(SubmissionError::TooLong) } else { Ok(body) };
    }
    let mut plain = Vec::new();
    let mut decoder = Unpacked::Between(body.as_slice()).take(UNPACKED_BYTES_MAX + 1);
    decoder.read_to_end(&mut plain).map_err(|error: io::Error| {
        SubmissionError::Unreadable(format!("breaks off as gzip after {} bytes: {error}", plain.len()))
    })?;
    if let Some(inner) = Packing::of(&plain) {
        let name = inner.name();
        return Err(SubmissionError::Unreadable(format!("is packed twice: what is inside is {name} again")));
    }
    if plain.len() as u64 > UNPACKED_BYTES_MAX { Err(SubmissionError::TooLong) } else { Ok(plain) }
}

fn refusal(error: ReadError) -> SubmissionError {
    match error {
        ReadError::Memory { .. } => {
            tracing::error!(error = &error as &dyn std::error::Error, "a submission cannot be taken");
            SubmissionError::Failed
        }
        // Its own text says only in which line.
        ReadError::Broken { ref source, .. } => SubmissionError::Unreadable(format!("{error}: {source}")),
        ReadError::Header(_) | ReadError::OtherHeader { .. } | ReadError::NewestFirst(_) => {
            SubmissionError::Unreadable(error.to_string())
        }
    }
}

/// What a sender is told of an error that the log tells in full.
fn refusal_of(error: &IngestError) -> SubmissionError {
    tracing::error!(error = error as &dyn std::error::Error, "submissions are refused");
    let is_full = match error {
        IngestError::DiskFloor { .. } | IngestError::RejectsDiskFloor { .. } => true,
        IngestError::Buffer(error) => error.is_disk_full(),
        IngestError::Rejects { source, .. } => source.kind() == io::ErrorKind::StorageFull,
    };
    if is_full { SubmissionError::DiskFull } else { SubmissionError::Failed }
}

fn check_lines(lines: usize) -> Result<(), SubmissionError> {
    if lines <= LINES_MAX {
        return Ok(());
    }
    let why = format!("has {lines} lines, and {LINES_MAX} are taken at once: send it in parts");
    Err(SubmissionError::Unreadable(why))
}
