//! Reads inputs on a thread of its own and hands their events over in portions, while the buffer makes the last one durable.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use sha2::{Digest, Sha256};

use super::input::{self, OpenInput};
use super::memory::Source;
use super::{IngestOptions, InputError, InputPath};
use crate::buffer::{Feed, NewEvent};
use crate::event::PassEvent;
use crate::readers::esm::{EsmSummary, StatedAccounts};
use crate::readers::memory::MemoryChange;
use crate::readers::rest_v2::{ExchangeSummary, is_like_exchange};
use crate::readers::{Excerpt, Guess, Line, ReaderOptions, RejectedLine, UnknownKeys};

/// The lines of a portion. A transaction of 10,000 events costs half of what ten of 1,000 do; more gains nothing.
const PORTION_LINES_MAX: usize = 10_000;
/// The size of a portion, in bytes of event bodies and rejected lines: bounds memory where events are large.
const PORTION_BYTES_MAX: usize = 8 << 20;
/// Portions that wait between the threads, besides the one being read and the one being stored.
const PORTIONS_WAITING_MAX: usize = 1;
/// After how many more portions one is surely stored: one may be stored just now, one waits, and one was just sent.
const STORED_AFTER: u32 = 3;

/// Some lines of one input.
#[derive(Default)]
pub(super) struct Portion {
    /// The number of the input, in the order given.
    pub(super) input: usize,
    pub(super) events: Vec<NewEvent>,
    pub(super) rejects: Vec<Reject>,
    /// Whether they are sums of ESM.
    pub(super) feed: Feed,
    /// What later runs must know of the lines of these events.
    pub(super) changes: Vec<MemoryChange>,
    /// What ESM stated beside them.
    pub(super) stated: Vec<StatedAccounts>,
    /// How far its input was read, and how long it is where that is known, in bytes as it lies on disk.
    pub(super) input_bytes_read: u64,
    pub(super) input_bytes: Option<u64>,
    /// How its input ended, in its last portion.
    pub(super) end: Option<InputEnd>,
    bytes: usize,
}

/// Why a line is rejected that looks like an exchange, in a source of another format.
const EXCHANGE_AMONG_OTHERS: &str = "looks like an exchange with the Pass REST API V2, or a part of one, so nothing of it is kept: \
     ingest exchanges with --format rest-v2 (or har), out of a log driver's wrapper first, such as with jq -r .log";

pub(super) struct Reject {
    pub(super) line: u64,
    pub(super) reason: String,
    /// The line of the rejects file.
    pub(super) kept: String,
    /// What tells it from every other rejected line: path, line and text.
    pub(super) digest: [u8; 32],
}

impl Reject {
    /// The one way by which a rejected line comes to be kept or told. What looks like an exchange is not kept, in whatever it
    /// stands, and nothing of it is quoted: any byte of it may be a secret.
    pub(super) fn new(path: &str, line: u64, excerpt: &Excerpt<'_>, reason: String) -> Reject {
        let nothing = Excerpt {
            bytes: (&b""[..]).into(),
            line_bytes: excerpt.line_bytes,
            header: None,
            is_lossy: false,
        };
        let (excerpt, reason) = match is_like_exchange(&excerpt.bytes) {
            true => (&nothing, EXCHANGE_AMONG_OTHERS.to_owned()),
            false => (excerpt, reason),
        };
        let kept = RejectedLine::new(path, line, &reason, excerpt);
        let kept = serde_json::to_string(&kept).expect("text and numbers always serialise");
        let mut digest = Sha256::new();
        for part in [path.as_bytes(), &line.to_be_bytes(), &excerpt.line_bytes.to_be_bytes(), &excerpt.bytes]
        {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Reject { line, reason, kept, digest: digest.finalize().into() }
    }
}

/// The event of a line, with the identity that an earlier release gave it.
pub(super) fn new_event(line: &Line<'_>, event: &PassEvent) -> NewEvent {
    let former_id = line.rule.and_then(|rule| rule.former_id);
    NewEvent { former_id, ..NewEvent::new(line.number, event) }
}

pub(super) enum InputEnd {
    Empty,
    /// It was read as far as it goes.
    Read {
        result: Result<(), InputError>,
        /// What its format was taken to be and why, where nobody said it.
        guess: Option<Guess>,
        /// Its keys that belong to no event.
        unknown: UnknownKeys,
        /// What became of its exchanges, where it holds them.
        exchanges: Option<Box<ExchangeSummary>>,
        /// What it held beside its events, where it is a report.
        esm: Option<Box<EsmSummary>>,
    },
}

/// Starts to read. The thread ends with the last input, or when nobody receives any more; one that waits for standard input
/// then ends with the program.
pub(super) fn start(
    inputs: &[InputPath],
    options: &IngestOptions,
    source: Source,
) -> (Receiver<Portion>, JoinHandle<()>) {
    let (sender, receiver) = sync_channel(PORTIONS_WAITING_MAX);
    let inputs = inputs.to_vec();
    let options = options.clone();
    let reading = thread::spawn(move || {
        let readers = source.into_options();
        for (number, input) in inputs.iter().enumerate() {
            if read_input(number, input, &options, &readers, &sender).is_err() {
                return;
            }
        }
    });
    (receiver, reading)
}

struct Unwanted;

fn read_input(
    number: usize,
    path: &InputPath,
    options: &IngestOptions,
    readers: &ReaderOptions,
    sender: &SyncSender<Portion>,
) -> Result<(), Unwanted> {
    let send = |portion| {
        sender.send(portion).map_err(|_| Unwanted)?;
        readers.rest_v2.memory.borrow_mut().let_go(STORED_AFTER);
        Ok(())
    };
    let mut portion = Portion { input: number, ..Portion::default() };
    let mut open = match input::open(path, options.format, readers) {
        Ok(Some(open)) => open,
        Ok(None) => return send(Portion { end: Some(InputEnd::Empty), ..portion }),
        Err(error) => {
            let end = InputEnd::Read {
                result: Err(error),
                guess: None,
                unknown: UnknownKeys::default(),
                exchanges: None,
                esm: None,
            };
            return send(Portion { end: Some(end), ..portion });
        }
    };
    let name = path.name();
    let result = loop {
        let is_line = match open.reader.next_line(options.bounds()) {
            Ok(Some(line)) => {
                portion.take(&name, &line);
                true
            }
            Ok(None) => false,
            Err(error) => break Err(InputError::from(error)),
        };
        let is_paused = open.reader.is_paused();
        if !is_line && !is_paused {
            break Ok(());
        }
        if is_paused || (portion.is_full() && !open.reader.is_inside_line()) {
            portion.feed = if open.reader.esm().is_some() { Feed::Esm } else { Feed::Events };
            portion.changes = open.reader.take_changes();
            portion.stated = open.reader.take_stated();
            portion.note_position(&open);
            send(std::mem::replace(&mut portion, Portion { input: number, ..Portion::default() }))?;
        }
    };
    portion.changes = open.reader.take_changes();
    portion.stated = open.reader.take_stated();
    portion.note_position(&open);
    let unknown = open.reader.unknown_keys().clone();
    let exchanges = open.reader.exchanges().cloned().map(Box::new);
    let esm = open.reader.esm().cloned().map(Box::new);
    portion.feed = if esm.is_some() { Feed::Esm } else { Feed::Events };
    let guess = open.guess.clone();
    portion.end = Some(InputEnd::Read { result, guess, unknown, exchanges, esm });
    send(portion)
}

impl Portion {
    /// Whether it has anything for the buffer.
    pub(super) fn has_rows(&self) -> bool {
        !self.events.is_empty() || !self.changes.is_empty() || !self.stated.is_empty()
    }

    /// Whether it has nothing to store or keep.
    pub(super) fn is_empty(&self) -> bool {
        self.rejects.is_empty() && !self.has_rows()
    }

    fn take(&mut self, path: &str, line: &Line<'_>) {
        match &line.result {
            Ok(event) => {
                let event = new_event(line, event);
                self.bytes += event.body.len();
                self.events.push(event);
            }
            Err(reason) => {
                let reject = Reject::new(path, line.number, &line.excerpt, reason.to_string());
                self.bytes += reject.kept.len();
                self.rejects.push(reject);
            }
        }
    }

    fn is_full(&self) -> bool {
        self.events.len() + self.rejects.len() >= PORTION_LINES_MAX || self.bytes >= PORTION_BYTES_MAX
    }

    fn note_position(&mut self, open: &OpenInput) {
        self.input_bytes_read = open.position.get();
        self.input_bytes = open.bytes;
    }
}
