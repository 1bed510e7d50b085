//! Reads the lines of a log into exchanges on a thread of its own, while the caller derives events from those before.
//!
//! Parsing and redacting take about as long as deriving, and share nothing with it.

use std::collections::VecDeque;
use std::io::BufRead;
use std::panic;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::exchange::{Elsewhere, Exchange, RawExchange, Redactor, Spent};
use crate::readers::lines::Lines;
use crate::readers::{LINE_BYTES_MAX, ReadError, RejectReason, surrogates};

/// Bytes of lines that are handed over at once: large enough that handing over costs nothing.
const BATCH_BYTES: usize = 512 << 10;
const BATCHES_AHEAD: usize = 4;

/// A line that was read.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) number: u64,
    pub(super) line_bytes: u64,
    pub(super) result: Result<Result<Box<Exchange>, Elsewhere>, RejectReason>,
}

/// The lines of a source as exchanges, in their order.
pub(super) struct Ahead<R> {
    lines: Lines<R>,
    redactor: Redactor,
    worker: Option<Worker>,
    parsed: VecDeque<Parsed>,
    on_their_way: usize,
    /// How the source ended, once it did; kept until every line before the end was taken.
    end: Option<Result<(), ReadError>>,
}

struct Worker {
    batches: SyncSender<Batch>,
    parsed: Receiver<Vec<Parsed>>,
    thread: JoinHandle<()>,
}

/// Some lines, one behind the other.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    lines: Vec<LineOfBatch>,
    /// Exchanges to be freed where they were made: freed elsewhere, both threads would wait for one heap.
    spent: Spent,
}

struct LineOfBatch {
    number: u64,
    line_bytes: u64,
    /// Where it ends in the bytes of its batch.
    end: usize,
}

impl<R: BufRead> Ahead<R> {
    pub(super) fn new(source: R, redactor: Redactor) -> Ahead<R> {
        Ahead {
            lines: Lines::new(source),
            redactor,
            worker: None,
            parsed: VecDeque::new(),
            on_their_way: 0,
            end: None,
        }
    }

    /// The next line that is not blank; `None` at the end of the source. Takes spent exchanges away.
    pub(super) fn next(&mut self, spent: &mut Spent) -> Result<Option<Parsed>, ReadError> {
        loop {
            if let Some(parsed) = self.parsed.pop_front() {
                return Ok(Some(parsed));
            }
            while self.end.is_none() && self.on_their_way < BATCHES_AHEAD {
                let batch = self.batch();
                if self.end.is_some() && self.worker.is_none() {
                    // A source of one batch is not worth a thread.
                    self.parsed = parse(&mut self.redactor, &batch).into();
                } else {
                    self.send(Batch { spent: std::mem::take(spent), ..batch });
                }
            }
            if self.on_their_way > 0 {
                self.receive();
            } else if self.parsed.is_empty() {
                return self.end.take().unwrap_or(Ok(())).map(|()| {
                    self.end = Some(Ok(()));
                    None
                });
            }
        }
    }

    /// The next lines, and whether the source has ended behind them.
    fn batch(&mut self) -> Batch {
        let mut batch = Batch::default();
        while batch.bytes.len() < BATCH_BYTES {
            match self.lines.advance() {
                Ok(true) => batch.push(&self.lines),
                Ok(false) => {
                    self.end = Some(Ok(()));
                    break;
                }
                Err(error) => {
                    self.end = Some(Err(error));
                    break;
                }
            }
        }
        batch
    }

    fn send(&mut self, batch: Batch) {
        let worker = self.worker.get_or_insert_with(|| Worker::start(self.redactor.clone()));
        if worker.batches.send(batch).is_err() {
            self.fail();
        }
        self.on_their_way += 1;
    }

    fn receive(&mut self) {
        match self.worker.as_ref().map(|worker| worker.parsed.recv()) {
            Some(Ok(parsed)) => self.parsed = parsed.into(),
            _ => self.fail(),
        }
        self.on_their_way -= 1;
    }

    /// The worker ends before its sender only by a panic, which goes on here.
    fn fail(&mut self) -> ! {
        let panicked = self.worker.take().and_then(|worker| worker.thread.join().err());
        panic::resume_unwind(panicked.unwrap_or_else(|| Box::new("the parsing thread ended")))
    }
}

impl Worker {
    fn start(mut redactor: Redactor) -> Worker {
        let (batches, waiting) = sync_channel::<Batch>(BATCHES_AHEAD);
        let (done, parsed) = sync_channel(BATCHES_AHEAD);
        let thread = thread::spawn(move || {
            for mut batch in waiting {
                batch.spent.clear();
                // Nobody wants the rest.
                if done.send(parse(&mut redactor, &batch)).is_err() {
                    return;
                }
            }
        });
        Worker { batches, parsed, thread }
    }
}

impl Batch {
    fn push<R: BufRead>(&mut self, lines: &Lines<R>) {
        if lines.bytes().trim_ascii().is_empty() {
            return;
        }
        self.bytes.extend_from_slice(lines.bytes());
        let (number, line_bytes) = (lines.number(), lines.line_bytes());
        self.lines.push(LineOfBatch { number, line_bytes, end: self.bytes.len() });
    }
}

fn parse(redactor: &mut Redactor, batch: &Batch) -> Vec<Parsed> {
    let mut start = 0;
    let parse = |line: &LineOfBatch| {
        let bytes = &batch.bytes[start..line.end];
        start = line.end;
        Parsed {
            number: line.number,
            line_bytes: line.line_bytes,
            result: exchange(redactor, bytes, line.line_bytes),
        }
    };
    batch.lines.iter().map(parse).collect()
}

fn exchange(
    redactor: &mut Redactor,
    bytes: &[u8],
    line_bytes: u64,
) -> Result<Result<Box<Exchange>, Elsewhere>, RejectReason> {
    if line_bytes > LINE_BYTES_MAX as u64 {
        return Err(RejectReason::TooLong(line_bytes));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| RejectReason::NotUtf8(error.valid_up_to() + 1))?;
    let text = surrogates::mended(text);
    let raw = RawExchange::from_line(&text).map_err(|bad| RejectReason::Exchange(bad.to_string()))?;
    Ok(redactor.redacted(&raw))
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor, Error, Read};

    use super::super::RestV2Options;
    use super::*;

    fn redactor() -> Redactor {
        Redactor::of(&RestV2Options::unused())
    }

    fn line(number: usize) -> String {
        format!(
            "{{\"started_at\":\"2026-11-10T08:00:00Z\",\"request\":{{\"method\":\"GET\",\"url\":\"/api/v2/REF30/profiles\"}},\
             \"response\":{{\"status\":500,\"body\":\"{number}\"}}}}\n"
        )
    }

    #[test]
    fn lines_come_in_their_order_however_many_there_are() {
        let per_batch = BATCH_BYTES / line(0).len();
        for count in [0, 1, per_batch, 3 * BATCHES_AHEAD * per_batch + 5] {
            let text: String = (0..count).map(|number| line(number) + "\n").collect();
            let mut ahead = Ahead::new(Cursor::new(text), redactor());
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
        let mut ahead = Ahead::new(BufReader::new(Cursor::new(text + "{\"half\"").chain(Breaks)), redactor());
        for number in 1..=5000 {
            assert_eq!(ahead.next(&mut Spent::new()).expect("a whole line").expect("a line").number, number);
        }
        assert!(matches!(ahead.next(&mut Spent::new()), Err(ReadError::Broken { line: 5001, .. })));
    }
}
