//! Takes events in: files, standard input and the inbox, through one validation, into the buffer.
//!
//! - In: inputs, plain or compressed, in any format of [`readers`](crate::readers); or the rows that other programs put into
//!   the inbox. Out: an [`IngestSummary`], and a file of the lines that are no event,
//!   or that lost against another of their `event_id`.
//! - Guarantees: what a summary counts as stored is durable. The rest of an input goes in behind a bad line, and the rest of
//!   the inputs behind a broken one. Of an input that breaks off, every whole line is stored and the one in the break is
//!   neither stored nor rejected. Memory is bounded by three portions of some 8 MiB, whatever an input holds.
//! - Does not know: report suites, hits, when a drain runs.
//! - Rules: sections 3 and 7 of the design; sections 3 and 6 of its measures for the two threads and the size of a batch.

mod erasure;
mod inbox;
mod input;
mod intake;
mod memory;
mod portions;
mod rejects;
mod summary;
mod unpack;

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

pub use erasure::forget_rejects;
pub use inbox::take_inbox;
pub use input::{InputPath, read_whole};
pub use intake::{
    Intake, LineError, PlainSubmission, Receipt, Submission, SubmissionError, UNPACKED_BYTES_MAX,
};
pub use rejects::retain_rejects;
pub use summary::{Counts, FirstLine, IngestSummary, InputFailure, InputSummary, Warning};

use crate::buffer::{Batch, Buffer, BufferError, InputId, JobKey, NewEvent, StoreReport};
use crate::clock::Clock;
use crate::config::{EsmConfig, IngestConfig, RestV2Config};
use crate::event::{Instant, PassEvent, StoredColumns, TimeBounds};
use crate::readers::memory::Keyring;
use crate::readers::rest_v2::ServiceKeys;
use crate::readers::{Excerpt, Format, Guess, ReadError, ReaderOptions, RejectReason};
use portions::{InputEnd, Portion, Reject};
use rejects::{Kept, Rejects};
use summary::{Tally, conflict_reason};

/// How often a stop is looked for while an input gives nothing: a person who stops it waits no longer.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Which format the inputs have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FormatChoice {
    /// Found by the extension of each, then by its content.
    #[default]
    Auto,
    Is(Format),
}

/// How to ingest.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// The format of the inputs. The inbox is always NDJSON.
    pub format: FormatChoice,
    /// Section `[ingest]` of the configuration, its paths resolved.
    pub config: IngestConfig,
    /// Section `[rest_v2]`.
    pub rest_v2: RestV2Config,
    /// Section `[esm]`.
    pub esm: EsmConfig,
    /// What codes and devices are digested with; `None`: the buffer keeps one of its own.
    pub secret: Option<Vec<u8>>,
    /// The keys that service tokens are checked with.
    pub service_keys: ServiceKeys,
    /// What brings the events: nothing for live ones, else a backfill.
    pub job: JobKey,
    /// What tells whether an event is ahead of its time.
    pub clock: Clock,
}

impl IngestOptions {
    /// What the clock allows now.
    fn bounds(&self) -> TimeBounds {
        let now = self.clock.now();
        let skew_nanos = i64::from(self.config.future_skew_seconds) * 1_000_000_000;
        TimeBounds { latest: Instant::from_nanos(now.nanos().saturating_add(skew_nanos)), now }
    }
}

/// How far an ingest has come.
#[derive(Debug)]
pub struct Progress<'a> {
    pub path: &'a str,
    /// How far it was read, in bytes as it lies on disk.
    pub input_bytes_read: u64,
    /// How long it is on disk; `None` where nobody knows, as of standard input.
    pub input_bytes: Option<u64>,
    pub input: &'a Counts,
    /// The counts of all inputs so far.
    pub total: &'a Counts,
}

/// Watches long work.
pub trait Observer {
    /// A portion of lines was taken in, and is durable.
    fn progress(&mut self, progress: &Progress<'_>);

    /// Whether the next portion is taken in. May wait before it says so.
    fn goes_on(&mut self) -> bool {
        true
    }
}

impl Observer for () {
    fn progress(&mut self, _: &Progress<'_>) {}
}

/// Why one input could not be read to its end. The texts continue a sentence that begins with its name.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("cannot be opened")]
    Open(#[source] io::Error),
    #[error("is a directory; name the files in it")]
    Directory,
    #[error("has no byte, so it is no whole {0} file")]
    NoFrame(&'static str),
    /// It is compressed in a way that is not read here.
    #[error("is compressed as {0}; only gzip and Zstandard are unpacked here")]
    Compression(&'static str),
    #[error(
        "is packed twice: what is inside is {0} again; unpack it once, as gzip -dc FILE | passbridge ingest - does"
    )]
    PackedTwice(&'static str),
    #[error("is UTF-16; save it as UTF-8")]
    Utf16,
    #[error("is one JSON list; passbridge reads one object per line, as jq -c '.[]' writes them")]
    JsonList,
    #[error("is named as {named}, but {}: say --format {}", guess.because, guess.format.name())]
    Misnamed {
        /// The format of the name.
        named: &'static str,
        guess: Guess,
    },
    #[error("was taken for {}, because {}; if it is none, say --format", guess.format.name(), guess.because)]
    Guessed {
        /// What it was taken for.
        guess: Guess,
        source: ReadError,
    },
    #[error("was not read to its end, because the ingest was stopped")]
    Stopped,
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why an ingest stopped. What was stored before stays stored.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error(
        "the disk of the buffer has {free_bytes} bytes free, and ingest.min_free_bytes keeps {min_free_bytes} for the drain; {stored} events were stored before"
    )]
    DiskFloor {
        free_bytes: u64,
        min_free_bytes: u64,
        /// What this ingest had stored.
        stored: u64,
    },
    #[error(transparent)]
    Buffer(#[from] BufferError),
    /// The disk of the rejects is too full to keep more.
    #[error(
        "the disk of {path:?} has {free_bytes} bytes free, and ingest.min_free_bytes keeps {min_free_bytes}; no more rejected lines can be kept"
    )]
    RejectsDiskFloor { path: PathBuf, free_bytes: u64, min_free_bytes: u64 },
    #[error("cannot keep rejected lines in {path:?}")]
    Rejects {
        /// The file, or its folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Stores the events of the inputs. An input that fails is in the summary's failures; the others go in. Ends early where the
/// observer says so: every portion before is stored.
pub fn load(
    buffer: &Buffer,
    inputs: &[InputPath],
    options: &IngestOptions,
    observer: &mut dyn Observer,
) -> Result<IngestSummary, IngestError> {
    let mut load = Load {
        buffer,
        options,
        tally: Tally::new(inputs.iter().map(|input| input.name().into_owned())),
        rejects: Rejects::new(options),
        keyring: Keyring::new(&buffer.source_secret()?),
        files: inputs.iter().map(|input| matches!(input, InputPath::File(_))).collect(),
        kept: Kept::default(),
        open: None,
    };
    let source = memory::Source::of(buffer, options)?;
    let mut is_stopped = false;
    // The first input that is not at its end.
    let mut open = 0;
    let (portions, reading) = portions::start(inputs, options, source);
    loop {
        let portion = match portions.recv_timeout(LOOK_EVERY) {
            Ok(portion) => Some(portion),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        is_stopped = !observer.goes_on();
        if is_stopped {
            (open..inputs.len()).for_each(|input| load.tally.failed(input, InputError::Stopped));
            break;
        }
        let Some(portion) = portion else { continue };
        open = portion.input + usize::from(portion.end.is_some());
        if let Err(error) = load.take(portion, observer) {
            load.rejects.sync()?;
            return Err(error);
        }
    }
    // Who stopped does not wait for a reader that waits for its source.
    if !is_stopped && let Err(panic) = reading.join() {
        std::panic::resume_unwind(panic);
    }
    load.rejects.sync()?;
    let path = load.rejects.path().map(PathBuf::from);
    Ok(load.tally.finish(path))
}

/// Reads the inputs as [`load`] would into an empty buffer, and stores nothing: hands each event over, with where it comes
/// from, until told to stop. Rejected lines are counted and named in the warnings only; nothing is written.
pub fn preview(
    inputs: &[InputPath],
    options: &IngestOptions,
    on_event: &mut dyn FnMut(&PassEvent, Origin) -> ControlFlow<()>,
) -> IngestSummary {
    let mut tally = Tally::new(inputs.iter().map(|input| input.name().into_owned()));
    let rest_v2 = memory::passing(options);
    for (number, path) in inputs.iter().enumerate() {
        match preview_input(number, path, options, &rest_v2, &mut tally, on_event) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => break,
            Err(error) => tally.failed(number, error),
        }
    }
    tally.finish(None)
}

/// Where an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The line of its input, from 1.
    pub line: u64,
    /// The row of the derivation table that made it, where the line is an exchange.
    pub rule: Option<u8>,
}

fn preview_input(
    number: usize,
    path: &InputPath,
    options: &IngestOptions,
    readers: &ReaderOptions,
    tally: &mut Tally,
    on_event: &mut dyn FnMut(&PassEvent, Origin) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, InputError> {
    let Some(mut open) = input::open(path, options.format, readers)? else {
        tally.empty(number);
        return Ok(ControlFlow::Continue(()));
    };
    let flow = loop {
        let line = match open.reader.next_line(options.bounds()) {
            Ok(Some(line)) => line,
            Ok(None) => break Ok(ControlFlow::Continue(())),
            Err(error) => break Err(error.into()),
        };
        match line.result {
            Ok(event) => {
                tally.seen(number);
                let origin = Origin { line: line.number, rule: line.rule.map(|rule| rule.number) };
                if on_event(&event, origin).is_break() {
                    break Ok(ControlFlow::Break(()));
                }
            }
            Err(reason) => {
                let reject = Reject::new(&path.name(), line.number, &line.excerpt, reason.to_string());
                tally.rejected(number, reject.line, reject.reason);
            }
        }
    };
    tally.unknown(open.reader.unknown_keys());
    tally.guessed(number, open.guess.as_ref());
    if let Some(exchanges) = open.reader.exchanges() {
        tally.exchanges(number, exchanges);
    }
    if let Some(esm) = open.reader.esm() {
        tally.esm(number, esm);
    }
    tally.ended(number, open.reader.exchanges());
    flow
}

struct Load<'a> {
    buffer: &'a Buffer,
    options: &'a IngestOptions,
    tally: Tally,
    rejects: Rejects,
    /// What rejects are known again by.
    keyring: Keyring,
    /// Which inputs are files, which may be read again.
    files: Vec<bool>,
    /// What became of the rejects of the input at work.
    kept: Kept,
    /// The input at work, as the buffer knows it, once it had an event.
    open: Option<(usize, InputId)>,
}

impl Load<'_> {
    fn take(&mut self, portion: Portion, observer: &mut dyn Observer) -> Result<(), IngestError> {
        let input = portion.input;
        if !portion.is_empty() {
            check_free_disk(self.buffer, self.options, &self.tally)?;
        }
        self.keep(input, &portion.rejects)?;
        if portion.has_rows() {
            let id = self.input_id(input)?;
            let memory = memory::rows(&portion.changes);
            // Only the buffer finds a conflict, and then the rejects keep the event that lost.
            let events = portion.events.clone();
            let report = self.buffer.store(Batch {
                input: id,
                feed: portion.feed,
                job: self.options.job,
                events,
                memory,
                stated: portion.stated.clone(),
            })?;
            self.keep_mixed(input, &portion.events, &report)?;
            self.tally.stored(input, &report);
            self.keep_conflicts(input, &portion.events, &report)?;
        }
        for Reject { line, reason, .. } in portion.rejects {
            self.tally.rejected(input, line, reason);
        }
        if portion.end.is_some() {
            self.rejects.end_input(&mut self.kept, self.buffer)?;
            self.tally.kept(input, &std::mem::take(&mut self.kept));
        }
        match portion.end {
            None => {}
            Some(InputEnd::Empty) => self.tally.empty(input),
            Some(InputEnd::Read { result, guess, unknown, exchanges, esm }) => {
                self.tally.unknown(&unknown);
                self.tally.guessed(input, guess.as_ref());
                if let Some(exchanges) = &exchanges {
                    self.tally.exchanges(input, exchanges);
                }
                if let Some(esm) = &esm {
                    self.tally.esm(input, esm);
                }
                self.tally.ended(input, exchanges.as_deref());
                result.unwrap_or_else(|error| self.tally.failed(input, error));
            }
        }
        observer.progress(&Progress {
            path: self.tally.path(input),
            input_bytes_read: portion.input_bytes_read,
            input_bytes: portion.input_bytes,
            input: self.tally.counts(input),
            total: self.tally.total(),
        });
        Ok(())
    }

    /// Keeps the events whose requestor has another kind of feed.
    fn keep_mixed(
        &mut self,
        input: usize,
        events: &[NewEvent],
        report: &StoreReport,
    ) -> Result<(), IngestError> {
        for index in &report.mixed {
            let event = &events[*index];
            let text = canonical_text(event);
            let reject = Reject::new(
                self.tally.path(input),
                event.line,
                &Excerpt::of(text.as_bytes()),
                RejectReason::MixedFeeds(event.requestor_id.as_str().to_owned()).to_string(),
            );
            self.keep(input, std::slice::from_ref(&reject))?;
            self.tally.rejected(input, reject.line, reject.reason);
        }
        Ok(())
    }

    fn keep(&mut self, input: usize, rejects: &[Reject]) -> Result<(), IngestError> {
        if self.files[input] {
            self.rejects.write_once(&mut self.kept, rejects, self.buffer, &self.keyring)
        } else {
            self.rejects.write(&mut self.kept, rejects.iter())
        }
    }

    /// Keeps the events that lost against another of their `event_id`, in their canonical form, whatever the input's was.
    fn keep_conflicts(
        &mut self,
        input: usize,
        events: &[NewEvent],
        report: &StoreReport,
    ) -> Result<(), IngestError> {
        for conflict in &report.conflicts {
            let reason = conflict_reason(&FirstLine::of(conflict));
            let text = canonical_text(&events[conflict.index]);
            let excerpt = Excerpt::of(text.as_bytes());
            let reject = Reject::new(self.tally.path(input), conflict.line, &excerpt, reason);
            self.keep(input, std::slice::from_ref(&reject))?;
        }
        Ok(())
    }

    fn input_id(&mut self, input: usize) -> Result<InputId, IngestError> {
        match self.open {
            Some((number, id)) if number == input => Ok(id),
            _ => {
                let id = self.buffer.open_input(self.tally.path(input))?;
                self.open = Some((input, id));
                Ok(id)
            }
        }
    }
}

/// The event as a line of NDJSON.
fn canonical_text(event: &NewEvent) -> String {
    let columns = StoredColumns {
        occurred_at: event.occurred_at,
        kind: event.kind,
        requestor_id: event.requestor_id.clone(),
        count: event.count,
    };
    let event = PassEvent::from_stored(columns, &event.body).expect("the body was made of an event");
    serde_json::to_string(&event).expect("text and numbers always serialise")
}

fn check_free_disk(buffer: &Buffer, options: &IngestOptions, tally: &Tally) -> Result<(), IngestError> {
    let free_bytes = buffer.free_bytes()?;
    let min_free_bytes = options.config.min_free_bytes;
    if free_bytes < min_free_bytes {
        let stored = tally.total().stored;
        return Err(IngestError::DiskFloor { free_bytes, min_free_bytes, stored });
    }
    Ok(())
}
