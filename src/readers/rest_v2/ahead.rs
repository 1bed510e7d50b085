//! Parses the lines of a log on a second thread, while the caller derives events from earlier lines. The two tasks
//! take about equally long, and share no data.

use std::io::BufRead;
use std::panic;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::vec;

use super::bad_exchange::BadExchange;
use super::exchange::{Parsed, Read, Redactor, Spent};
use super::likeness::why_unreadable;
use super::raw::RawExchange;
use crate::readers::line::{LINE_BYTES_MAX, ReadError, RejectReason};
use crate::readers::lines::Lines;
use crate::readers::options::ReaderOptions;
use crate::readers::wrapper::wrapped;

/// The worker hands over lines in batches of about this many bytes, because each hand-over costs time.
const BATCH_BYTES: u64 = 512 << 10;
const BATCHES_AHEAD: usize = 4;

/// The lines of a source as exchanges, in their order.
pub(super) struct Ahead {
    batches: Receiver<Vec<Parsed>>,
    parsed: vec::IntoIter<Parsed>,
    /// Sends exchanges back to the worker, which frees them: otherwise each thread would wait for the other's heap.
    spent: Sender<Spent>,
    /// The worker, which returns how the source ended; `None` after `next` has returned this result.
    worker: Option<JoinHandle<Result<(), ReadError>>>,
}

impl Ahead {
    pub(super) fn start(source: impl BufRead + Send + 'static, options: &ReaderOptions) -> Ahead {
        let (sender, batches) = sync_channel(BATCHES_AHEAD);
        let (spent, freed) = channel();
        let mut redactor = Redactor::new(options);
        let worker = thread::spawn(move || {
            let mut lines = Lines::new(source);
            loop {
                let mut batch = Vec::new();
                let end = read_batch(&mut lines, &mut redactor, &mut batch);
                freed.try_iter().for_each(drop::<Spent>);
                // If nobody receives batches any more, the rest of the source is not read.
                if sender.send(batch).is_err() || !matches!(end, Ok(true)) {
                    return end.map(drop);
                }
            }
        });
        Ahead { batches, parsed: Vec::new().into_iter(), spent, worker: Some(worker) }
    }

    /// The next line that is not blank; `None` at the end. Sends spent exchanges back before it takes a new batch.
    pub(super) fn next(&mut self, spent: &mut Spent) -> Result<Option<Parsed>, ReadError> {
        loop {
            if let Some(parsed) = self.parsed.next() {
                return Ok(Some(parsed));
            }
            // If the worker has ended, sending fails, and the exchanges are freed here.
            drop(self.spent.send(std::mem::take(spent)));
            let Ok(batch) = self.batches.recv() else {
                let ended = self.worker.take().map_or(Ok(Ok(())), JoinHandle::join);
                return ended.unwrap_or_else(|panicked| panic::resume_unwind(panicked)).map(|()| None);
            };
            self.parsed = batch.into_iter();
        }
    }
}

/// Reads one batch of lines. Returns false at the end of the source.
fn read_batch(
    lines: &mut Lines<impl BufRead>,
    redactor: &mut Redactor,
    batch: &mut Vec<Parsed>,
) -> Result<bool, ReadError> {
    let mut bytes = 0;
    while bytes < BATCH_BYTES {
        if !lines.advance()? {
            return Ok(false);
        }
        if !lines.bytes().trim_ascii().is_empty() {
            let (number, line_bytes) = (lines.number(), lines.line_bytes());
            bytes += line_bytes;
            let read = exchange(redactor, lines.bytes(), line_bytes);
            batch.push(Parsed::new(number, lines.bytes(), line_bytes, read));
        }
    }
    Ok(true)
}

fn exchange(redactor: &mut Redactor, bytes: &[u8], line_bytes: u64) -> Read {
    if line_bytes > LINE_BYTES_MAX as u64 {
        return Err(RejectReason::TooLong(line_bytes));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| RejectReason::NotUtf8(error.valid_up_to() + 1))?;
    let raw = RawExchange::from_line(text).map_err(|bad| {
        let is_other = matches!(&bad, BadExchange::Member(member, _) if member == "request");
        let inside = || wrapped(text, true).filter(|_| is_other).map(RejectReason::Misplaced);
        let is_mark = text.contains("\\x22") || text.trim_start().starts_with('%');
        let is_escaped = is_mark && matches!(bad, BadExchange::Json(..));
        let escaped = || is_escaped.then(|| RejectReason::Recognised(why_unreadable(bytes)));
        let known = RejectReason::of_filler(bytes).or_else(inside).or_else(escaped);
        known.unwrap_or_else(|| RejectReason::Exchange(bad.to_string()))
    })?;
    Ok(redactor.redacted(&raw))
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor, Error, Read};

    use super::*;

    fn line(number: usize) -> String {
        format!(
            "{{\"started_at\":\"2026-11-10T08:00:00Z\",\"request\":{{\"method\":\"GET\",\"url\":\"/api/v2/REF30/profiles\"}},\
             \"response\":{{\"status\":500,\"body\":\"{number}\"}}}}\n"
        )
    }

    #[test]
    fn lines_come_in_their_order_however_many_there_are() {
        let per_batch = BATCH_BYTES as usize / line(0).len();
        for count in [0, 1, per_batch, 3 * BATCHES_AHEAD * per_batch + 5] {
            let text: String = (0..count).map(|number| line(number) + "\n").collect();
            let mut ahead = Ahead::start(Cursor::new(text), &ReaderOptions::unused());
            let mut expected = 1;
            while let Some(parsed) = ahead.next(&mut Spent::new()).expect("memory") {
                assert_eq!(parsed.number, expected);
                assert!(matches!(parsed.result, Ok(Ok(_))));
                expected += 2;
            }
            assert_eq!(expected, 1 + 2 * count as u64);
            assert!(ahead.next(&mut Spent::new()).expect("memory").is_none(), "the end stays the end");
        }
    }

    #[test]
    fn a_break_is_told_after_the_whole_lines_before_it() {
        struct Breaks;
        impl Read for Breaks {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(Error::other("unplugged"))
            }
        }
        let text: String = (0..5000).map(line).collect();
        let mut ahead = Ahead::start(
            BufReader::new(Cursor::new(text + "{\"half\"").chain(Breaks)),
            &ReaderOptions::unused(),
        );
        for number in 1..=5000 {
            assert_eq!(ahead.next(&mut Spent::new()).expect("a whole line").expect("a line").number, number);
        }
        assert!(matches!(ahead.next(&mut Spent::new()), Err(ReadError::Broken { line: 5001, .. })));
    }
}
