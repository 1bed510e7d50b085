//! Reads inputs on a separate thread and sends their lines in portions, while the previous portion is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant as Timer;

use super::error::InputError;
use super::input::{self, InputPath};
use super::options::IngestOptions;
use super::portion::Portion;
use super::summary::{InputEnd, NAMED_MAX};
use crate::readers::ReaderOptions;
use crate::readers::memory::Recollection;

/// Portions that wait between the two threads. In addition, one portion is being read and one is being stored.
const PORTIONS_WAITING_MAX: usize = 1;
/// A portion is surely stored once this many later portions exist: one in storage, one waiting, one sent.
const STORED_AFTER: u32 = 3;

/// A portion of one of several inputs.
#[derive(Default)]
pub(super) struct Read {
    /// The index of the input, in the order of the arguments.
    pub(super) input: usize,
    pub(super) portion: Portion,
    /// The bytes of the input read so far, and its size if it is known; both before unpacking.
    pub(super) input_bytes_read: u64,
    pub(super) input_bytes: Option<u64>,
    /// Whether events so far are of days that ended long ago, so that the input may be kept out. The thread then ends
    /// with this input: the readers' memory of an input that is kept out must not affect the next input.
    pub(super) is_late: bool,
    /// How the input ended; set in its last portion.
    pub(super) end: Option<InputEnd>,
}

/// Starts the reading thread at the input `first`. The thread ends after the last input, after an input that may be
/// kept out (see `Read::is_late`), or when the receiver is gone. A stop ends each input.
pub(super) fn start(
    inputs: &[InputPath],
    first: usize,
    options: &IngestOptions,
    readers: ReaderOptions,
    mut memory: Recollection,
    stop: Arc<AtomicBool>,
) -> (Receiver<Read>, JoinHandle<()>) {
    let (sender, receiver) = sync_channel(PORTIONS_WAITING_MAX);
    let inputs = inputs.to_vec();
    let options = options.clone();
    let reading = thread::spawn(move || {
        for (number, input) in inputs.iter().enumerate().skip(first) {
            let is_file = |path: &InputPath| matches!(path, InputPath::File(path) if path.is_file());
            // What was read of a pipe is lost if the input before it is kept out, so the thread ends before a pipe.
            if read_input(number, input, &options, (&readers, &stop), &mut memory, &sender).is_none()
                || !inputs.get(number + 1).is_none_or(is_file)
            {
                return;
            }
        }
    });
    (receiver, reading)
}

/// Reads one input; returns `None` if the thread must end.
fn read_input(
    input: usize,
    path: &InputPath,
    options: &IngestOptions,
    (readers, stop): (&ReaderOptions, &Arc<AtomicBool>),
    memory: &mut Recollection,
    sender: &SyncSender<Read>,
) -> Option<()> {
    let send = |read| sender.send(read).ok();
    let unread = |end| send(Read { input, end: Some(end), ..Read::default() });
    let is_stopped = || stop.load(Ordering::SeqCst);
    let mut open = match input::open(path, options, readers, stop) {
        Ok(Some(open)) => open,
        Ok(None) | Err(_) if is_stopped() => return unread(InputEnd::Unopened(InputError::Stopped)),
        Ok(None) => return unread(InputEnd::Empty),
        Err(error) => return unread(InputEnd::Unopened(error)),
    };
    let (mut is_late, mut rejects_left) =
        (false, (options.config.rejects_max as usize).max(NAMED_MAX as usize));
    loop {
        // Of rejected lines that are neither kept nor named, not even the text is looked at.
        let mut portion = Portion { rejects_max: Some(rejects_left), ..Portion::new(&path.name(), options) };
        let stream_since = open.bytes.is_none().then(Timer::now);
        let filled = portion.fill(&mut *open.reader, memory, &|| options.bounds(), stream_since);
        let end = match filled {
            Ok(true) => None,
            Ok(false) => Some(open.end(Ok(()))),
            Err(_) if is_stopped() => Some(open.end(Err(InputError::Stopped))),
            Err(error) => Some(open.end(Err(error.into()))),
        };
        let is_end = end.is_some();
        rejects_left -= portion.rejects.len();
        is_late |= options.has_settled(&portion.events);
        let (input_bytes_read, input_bytes) = (open.position.load(Ordering::Relaxed), open.bytes);
        send(Read { input, portion, input_bytes_read, input_bytes, end, is_late })?;
        memory.let_go(STORED_AFTER);
        if is_end {
            return (!is_late).then_some(());
        }
    }
}
