//! Reads inputs on a thread of its own and hands their events over in portions, while the buffer makes the last one durable.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::input::{self, OpenInput};
use super::{IngestOptions, InputError, InputPath};
use crate::buffer::NewEvent;
use crate::readers::{Excerpt, Line, RejectedLine, UnknownKeys};

/// The lines of a portion. A transaction of 10,000 events costs half of what ten of 1,000 do; more gains nothing.
const PORTION_LINES_MAX: usize = 10_000;
/// The size of a portion, in bytes of event bodies and rejected lines: bounds memory where events are large.
const PORTION_BYTES_MAX: usize = 8 << 20;
/// Portions that wait between the threads, besides the one being read and the one being stored.
const PORTIONS_WAITING_MAX: usize = 1;

/// Some lines of one input.
#[derive(Default)]
pub(super) struct Portion {
    /// The number of the input, in the order given.
    pub(super) input: usize,
    pub(super) events: Vec<NewEvent>,
    pub(super) rejects: Vec<Reject>,
    /// How far its input was read, and how long it is where that is known, in bytes as it lies on disk.
    pub(super) input_bytes_read: u64,
    pub(super) input_bytes: Option<u64>,
    /// How its input ended, in its last portion.
    pub(super) end: Option<InputEnd>,
    bytes: usize,
}

/// A rejected line.
pub(super) struct Reject {
    pub(super) line: u64,
    pub(super) reason: String,
    /// The line of the rejects file.
    pub(super) kept: String,
}

impl Reject {
    pub(super) fn new(path: &str, line: u64, excerpt: &Excerpt<'_>, reason: String) -> Reject {
        let kept = RejectedLine::new(path, line, &reason, excerpt);
        let kept = serde_json::to_string(&kept).expect("text and numbers always serialise");
        Reject { line, reason, kept }
    }
}

/// How an input ended.
pub(super) enum InputEnd {
    /// It held nothing.
    Empty,
    /// It was read as far as it goes.
    Read {
        /// What broke it off.
        result: Result<(), InputError>,
        /// Its keys that belong to no event.
        unknown: UnknownKeys,
    },
}

/// Starts to read. The thread ends with the last input, or when nobody receives any more; one that waits for standard input
/// then ends with the program.
pub(super) fn start(inputs: &[InputPath], options: &IngestOptions) -> (Receiver<Portion>, JoinHandle<()>) {
    let (sender, receiver) = sync_channel(PORTIONS_WAITING_MAX);
    let inputs = inputs.to_vec();
    let options = options.clone();
    let reading = thread::spawn(move || {
        for (number, input) in inputs.iter().enumerate() {
            if read_input(number, input, &options, &sender).is_err() {
                return;
            }
        }
    });
    (receiver, reading)
}

/// Nobody receives any more.
struct Unwanted;

fn read_input(
    number: usize,
    path: &InputPath,
    options: &IngestOptions,
    sender: &SyncSender<Portion>,
) -> Result<(), Unwanted> {
    let send = |portion| sender.send(portion).map_err(|_| Unwanted);
    let mut portion = Portion { input: number, ..Portion::default() };
    let mut open = match input::open(path, options.format) {
        Ok(Some(open)) => open,
        Ok(None) => return send(Portion { end: Some(InputEnd::Empty), ..portion }),
        Err(error) => {
            let end = InputEnd::Read { result: Err(error), unknown: UnknownKeys::default() };
            return send(Portion { end: Some(end), ..portion });
        }
    };
    let name = path.name();
    let result = loop {
        let line = match open.reader.next_line(options.bounds()) {
            Ok(Some(line)) => line,
            Ok(None) => break Ok(()),
            Err(error) => break Err(InputError::from(error)),
        };
        portion.take(&name, &line);
        if portion.is_full() {
            portion.note_position(&open);
            send(std::mem::replace(&mut portion, Portion { input: number, ..Portion::default() }))?;
        }
    };
    portion.note_position(&open);
    portion.end = Some(InputEnd::Read { result, unknown: open.reader.unknown_keys().clone() });
    send(portion)
}

impl Portion {
    /// Whether it has nothing to store or keep.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.rejects.is_empty()
    }

    fn take(&mut self, path: &str, line: &Line<'_>) {
        match &line.result {
            Ok(event) => {
                let event = NewEvent::new(line.number, event);
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
