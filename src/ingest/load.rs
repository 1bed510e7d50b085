//! Stores the events of files and of standard input, portion by portion; a preview only reads them.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use serde_json::value::{RawValue, to_raw_value};

use super::door::Door;
use super::error::{IngestError, InputError};
use super::gate::Gate;
use super::input::{self, InputPath};
use super::memory;
use super::options::IngestOptions;
use super::portion::{self, Portion, Reject, canonical_text};
use super::reading::{self, Read};
use super::rejects::{Kept, Rejects};
use super::summary::{Counts, IngestSummary, InputEnd, InputSummary};
use crate::buffer::{Buffer, InputId, StoreReport};
use crate::event::{FilledKeys, PassEvent};
use crate::readers::ReaderOptions;
use crate::readers::memory::Recollection;
use crate::readers::rest_v2::Rule;

/// How often to check for a stop while an input gives no lines, so that a stop takes effect soon.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The progress of an ingest.
#[derive(Debug)]
pub struct Progress<'a> {
    pub path: &'a str,
    /// The bytes of the input read so far, counted before unpacking.
    pub input_bytes_read: u64,
    /// The size on disk in bytes; `None` if it is unknown, as for standard input.
    pub input_bytes: Option<u64>,
    pub input: &'a Counts,
    pub total: &'a Counts,
}

/// Receives the progress of long work, and can stop it.
pub trait Observer {
    /// Called after a portion of lines was stored and is durable.
    fn progress(&mut self, progress: &Progress<'_>);

    /// The most lines to reject. The portion that goes beyond it is not stored, nor is anything after it.
    fn rejects_limit(&self) -> Option<RejectsLimit> {
        None
    }

    /// Returns false to stop before the next portion. May block.
    fn goes_on(&mut self) -> bool {
        true
    }
}

/// How many lines of an ingest may be rejected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RejectsLimit {
    Lines(u64),
    /// A share of the lines read. This limit applies from 1,000 read lines on, and at the end of each input.
    Percent(f64),
}

impl RejectsLimit {
    const LINES_MIN: u64 = 1_000;

    fn is_broken(self, rejected: u64, read: u64, is_end: bool) -> bool {
        match self {
            RejectsLimit::Lines(lines) => rejected > lines,
            RejectsLimit::Percent(percent) => {
                (is_end || read >= RejectsLimit::LINES_MIN) && rejected as f64 * 100.0 > percent * read as f64
            }
        }
    }
}

impl Observer for () {
    fn progress(&mut self, _: &Progress<'_>) {}
}

/// Stores the events of the inputs. If an input fails, the error is in `failures` and the next inputs are read. Ends
/// early if the observer says so; all portions before are stored, and the whole lines that a pipe gave.
pub fn load(
    buffer: &dyn Door,
    inputs: &[InputPath],
    options: &IngestOptions,
    observer: &mut dyn Observer,
) -> Result<IngestSummary, IngestError> {
    let mut load = Load {
        buffer,
        inputs,
        options,
        summary: summary_of(inputs),
        rejects: Rejects::new(options),
        kept: inputs.iter().map(kept_of).collect(),
        open: None,
        gate: Gate::default(),
        passed: None,
    };
    let mut place = buffer.watch()?;
    let mut taken = Ok(0);
    while let Ok(first) = taken
        && first < inputs.len()
    {
        taken = load.run(first, observer);
    }
    load.rejects.sync()?;
    taken?;
    buffer.look(&mut place)?;
    load.summary.finish(load.rejects.path());
    Ok(load.summary)
}

/// Reads the inputs as [`load`] does with an empty buffer, and stores nothing. Passes each event, with its origin, to
/// the caller until the caller says to stop. Rejected lines are only counted and named in the warnings.
pub fn preview(
    inputs: &[InputPath],
    options: &IngestOptions,
    on_event: &mut dyn FnMut(&PassEvent, Origin) -> ControlFlow<()>,
) -> IngestSummary {
    preview_after(FilledKeys::default(), None, inputs, options, on_event)
}

/// A preview that names the keys which earlier events had and an input lacks. With a buffer, the counts of ESM reports go
/// on from what it has.
pub fn preview_after(
    mut keys: FilledKeys,
    buffer: Option<&Buffer>,
    inputs: &[InputPath],
    options: &IngestOptions,
    on_event: &mut dyn FnMut(&PassEvent, Origin) -> ControlFlow<()>,
) -> IngestSummary {
    let mut summary = summary_of(inputs);
    let (readers, mut memory) = memory::passing(options, buffer);
    for (number, path) in inputs.iter().enumerate() {
        let mut now = FilledKeys::default();
        let on_event = &mut |event: &PassEvent, origin| {
            now.add(event);
            on_event(event, origin)
        };
        let (end, flow) =
            preview_input(number, path, options, (&readers, &mut memory), &mut summary, on_event);
        summary.ended(number, end);
        match keys.lost(&now, &[]) {
            lost if lost.is_empty() => keys.absorb(now),
            lost => summary.lost(number, lost),
        }
        if flow.is_break() {
            break;
        }
    }
    summary.finish(None);
    summary
}

/// The line of an event, and the rule that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The line in its input, from 1.
    pub line: u64,
    /// The row of the derivation table that made the event, if the line is an exchange.
    pub rule: Option<Rule>,
}

fn preview_input(
    number: usize,
    path: &InputPath,
    options: &IngestOptions,
    (readers, memory): (&ReaderOptions, &mut Recollection),
    summary: &mut IngestSummary,
    on_event: &mut dyn FnMut(&PassEvent, Origin) -> ControlFlow<()>,
) -> (InputEnd, ControlFlow<()>) {
    let mut open = match input::open(path, options, readers, &Arc::default()) {
        Ok(Some(open)) => open,
        Ok(None) => return (InputEnd::Empty, ControlFlow::Continue(())),
        Err(error) => return (InputEnd::Unopened(error), ControlFlow::Continue(())),
    };
    let contracts = options.contracts_of(&path.name());
    let (result, flow) = loop {
        let mut line = match open.reader.next_line(options.bounds(), memory) {
            Ok(Some(line)) => line,
            Ok(None) => break (Ok(()), ControlFlow::Continue(())),
            Err(error) if error.is_pause() => continue,
            Err(error) => break (Err(error.into()), ControlFlow::Continue(())),
        };
        if line.result.as_mut().is_ok_and(|event| !options.slice.takes(event)) {
            summary.inputs[number].outside_slice += 1;
            continue;
        }
        let breach = match &line.result {
            Ok(event) => portion::breach(&contracts, &line, event),
            Err(reason) => Some(reason.to_string()),
        };
        match line.result {
            Ok(event) if breach.is_none() => {
                summary.seen(number);
                let rule = line.rule.as_ref().map(|applied| applied.rule);
                if on_event(&event, Origin { line: line.number, rule }).is_break() {
                    break (Ok(()), ControlFlow::Break(()));
                }
            }
            Ok(_) | Err(_) => {
                let reason = breach.unwrap_or_default();
                let reject = Reject::new(&path.name(), line.number, &line.excerpt, reason);
                summary.rejected(number, &reject);
            }
        }
    };
    (open.end(result), flow)
}

fn summary_of(inputs: &[InputPath]) -> IngestSummary {
    IngestSummary::of(inputs.iter().map(|input| input.name().into_owned()))
}

fn kept_of(input: &InputPath) -> Kept {
    match input {
        InputPath::StandardInput(_) => Kept::of_sender(&input.name()),
        InputPath::File(path) => Kept::of_file(path),
    }
}

struct Load<'a> {
    buffer: &'a dyn Door,
    inputs: &'a [InputPath],
    options: &'a IngestOptions,
    summary: IngestSummary,
    rejects: Rejects,
    kept: Vec<Kept>,
    /// The current input and its ID in the buffer; set before the first rows of the input are stored.
    open: Option<(usize, InputId)>,
    gate: Gate,
    /// The input that was let in, although it has events of days that ended long ago.
    passed: Option<usize>,
}

impl Load<'_> {
    /// Stores inputs from the number `first` on, up to one that may be kept out. Returns the number of the next input.
    fn run(&mut self, first: usize, observer: &mut dyn Observer) -> Result<usize, IngestError> {
        let (readers, memory) = self.buffer.readers(self.options)?;
        let stop = Arc::<AtomicBool>::default();
        let (portions, reading) =
            reading::start(self.inputs, first, self.options, readers, memory, Arc::clone(&stop));
        // The first input that is not read to its end, and how often nothing came from it after a stop.
        let (mut open, mut looks) = (first, 0);
        loop {
            let read = match portions.recv_timeout(LOOK_EVERY) {
                Ok(read) => Some(read),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => {
                    reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                    return Ok(open);
                }
            };
            let is_stopped = !observer.goes_on();
            stop.store(is_stopped, Ordering::SeqCst);
            looks += u32::from(is_stopped && read.is_none());
            // A stop waits, at most 5 s, for what a pipe gave. A file, whose size is known, can be ingested again.
            let is_of_file = read.as_ref().is_some_and(|read| read.input_bytes.is_some());
            if is_stopped && (is_of_file || looks > 50) {
                (open..self.inputs.len()).for_each(|input| self.summary.failed(input, InputError::Stopped));
                return Ok(self.inputs.len());
            }
            let Some(mut read) = read else { continue };
            open = read.input + usize::from(read.end.is_some());
            if self.is_out(&mut read)? {
                return Ok(read.input + 1);
            }
            self.take(read, observer)?;
        }
    }

    /// Keeps the input of a portion out, if it is a live file that looks wrong. Only warns if it is a pipe, which
    /// cannot be read twice, or if the options keep no file out.
    fn is_out(&mut self, read: &mut Read) -> Result<bool, IngestError> {
        let input = read.input;
        // On PostgreSQL, many processes ingest at the same time, and one of them does not see all that a day gains.
        let Some(buffer) = self.buffer.as_file() else { return Ok(false) };
        let is_file = matches!(self.inputs[input], InputPath::File(_)) && read.input_bytes.is_some();
        if !is_file || self.options.accept_days.is_none() {
            let told = self.gate.tell(buffer, self.options, &mut read.portion)?;
            self.summary.note_of(input, told);
            return Ok(false);
        }
        let is_end = read.end.is_some();
        let lost = self.gate.lost_keys(buffer, self.options, &mut read.portion, is_end)?;
        let Some(why) = lost.map_or_else(|| self.raised(buffer, read), |why| Ok(Some(why)))? else {
            return Ok(false);
        };
        self.rejects.end_input(&mut self.kept[input], self.buffer)?;
        let id = self.input_id(input)?;
        self.summary.kept_out(input, why, id);
        self.buffer.end_input(id, &as_document(&self.summary.inputs[input]), false)?;
        Ok(true)
    }

    /// The reason to keep a file out, if it raises days far above what was delivered of them.
    fn raised(&mut self, buffer: &Buffer, read: &Read) -> Result<Option<String>, IngestError> {
        let (input, before) = (read.input, self.options.settled_before());
        if !read.is_late || self.passed == Some(input) {
            return Ok(None);
        }
        if buffer.planning()?.has_delivered_before(before)? {
            match read.end {
                Some(_) => self.gate.add(buffer, self.options, &read.portion.events)?,
                None => self.read_ahead(buffer, input)?,
            }
            if let Some(why) = self.gate.why_out() {
                return Ok(Some(why));
            }
        }
        self.passed = Some(input);
        Ok(None)
    }

    /// Counts what a whole file adds, and stores nothing. Ignores errors of the file: the caller meets them again.
    fn read_ahead(&mut self, buffer: &Buffer, input: usize) -> Result<(), IngestError> {
        let (path, options) = (&self.inputs[input], self.options);
        let (readers, mut memory) = self.buffer.readers(options)?;
        let Ok(Some(mut open)) = input::open(path, options, &readers, &Arc::default()) else { return Ok(()) };
        let mut has_more = true;
        while has_more {
            let mut portion = Portion::new(&path.name(), options);
            let filled = portion.fill(&mut *open.reader, &mut memory, &|| options.bounds(), None);
            has_more = filled.unwrap_or(false);
            self.gate.add(buffer, options, &portion.events)?;
        }
        Ok(())
    }

    /// Stores a portion, keeps its rejected lines, and counts both.
    fn take(&mut self, read: Read, observer: &mut dyn Observer) -> Result<(), IngestError> {
        let Read { input, mut portion, input_bytes_read, input_bytes, end, .. } = read;
        if portion.has_rows() {
            self.buffer.has_room(self.options, self.summary.total.stored)?;
        }
        self.rejects.keep(&mut self.kept[input], &portion.rejects, self.buffer)?;
        if portion.rejects_not_held > 0 {
            self.kept[input].left_out += portion.rejects_not_held;
            self.buffer.count_unkept_rejects(portion.rejects_not_held)?;
        }
        let Counts { read, rejected, stored, .. } = self.summary.total;
        let more = portion.rejects.len() as u64 + portion.rejects_not_held;
        let (read, rejected) = (read + portion.events.len() as u64 + more, rejected + more);
        let limit = observer.rejects_limit();
        if limit.is_some_and(|limit| limit.is_broken(rejected, read, end.is_some())) {
            self.rejects.end_input(&mut self.kept[input], self.buffer)?;
            let path = self.inputs[input].name().into_owned();
            return Err(IngestError::TooManyRejects { path, rejected, read, stored });
        }
        let report = if portion.has_rows() {
            let batch = portion.batch(self.input_id(input)?, self.options.job);
            self.buffer.store(batch)?
        } else {
            StoreReport::default()
        };
        let left_out = portion.left_out(&report, &canonical_text, None);
        for rejects in &left_out {
            self.rejects.keep(&mut self.kept[input], rejects, self.buffer)?;
        }
        self.summary.stored(input, &portion, &report, &left_out);
        if let Some(end) = end {
            self.rejects.end_input(&mut self.kept[input], self.buffer)?;
            self.summary.kept(input, std::mem::take(&mut self.kept[input]));
            let is_whole = matches!(end, InputEnd::Read { result: Ok(()), .. });
            self.summary.ended(input, end);
            let of_input = &self.summary.inputs[input];
            if is_whole || of_input.counts.read > 0 {
                let id = self.input_id(input)?;
                self.buffer.end_input(id, &as_document(&self.summary.inputs[input]), is_whole)?;
            }
        }
        let (of_input, total) = (&self.summary.inputs[input], &self.summary.total);
        let (path, input) = (of_input.path.as_str(), &of_input.counts);
        observer.progress(&Progress { path, input_bytes_read, input_bytes, input, total });
        Ok(())
    }

    fn input_id(&mut self, input: usize) -> Result<InputId, IngestError> {
        match self.open {
            Some((number, id)) if number == input => Ok(id),
            _ => {
                let id = self.buffer.open_input(&self.inputs[input].name())?;
                self.open = Some((input, id));
                Ok(id)
            }
        }
    }
}

/// What `ingest --json` prints of an input, as it is stored.
fn as_document(summary: &InputSummary) -> Box<RawValue> {
    to_raw_value(summary).expect("numbers and names always serialise")
}
