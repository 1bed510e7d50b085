//! Splits CSV into records. Memory is bounded: what a record has above a limit is only counted.

use std::io::BufRead;

use csv_core::ReadRecordResult;
use memchr::{memchr, memchr_iter};

use super::line::{COLUMNS_MAX, LINE_BYTES_MAX, ReadError, RejectReason};
use super::lines::{BYTE_ORDER_MARK, Kept, fill};

/// The records of a source, one at a time. Blank lines and byte order marks between records are skipped.
pub(super) struct Records<R> {
    source: R,
    machine: csv_core::Reader,
    /// The cells of the current record, one after the other, without their quotes.
    pub(super) cells: Vec<u8>,
    /// Where each cell ends in `cells`.
    ends: Vec<usize>,
    /// How many cells the current record has. It may be more than [`COLUMNS_MAX`].
    pub(super) found: usize,
    /// The current record as the source wrote it, without its line ending.
    pub(super) raw: Kept,
    /// How many line feeds the source had so far.
    lines_passed: u64,
    /// The line that the current record starts in, from 1.
    pub(super) start_line: u64,
    /// Whether the source ended inside a quote of the current record.
    is_open: bool,
    /// How many bytes of `cells` the current record has so far.
    written: usize,
    /// Whether the source stopped within the current record, and may go on.
    is_waiting: bool,
    /// The byte between two cells.
    pub(super) separator: u8,
    /// Whether the source ended with the current record, without a line end.
    is_last: bool,
    /// The last byte of the first record. If it is CR, the next byte decides about `has_cr_rows`; then LF is set here.
    first_end: Option<u8>,
    /// Whether a carriage return alone ends a row, and so a line. In other sources it may be a part of a value.
    has_cr_rows: bool,
}

impl<R: BufRead> Records<R> {
    pub(super) fn new(source: R) -> Records<R> {
        Records {
            source,
            machine: csv_core::Reader::new(),
            cells: vec![0; 4096],
            ends: vec![0; COLUMNS_MAX],
            found: 0,
            raw: Kept::default(),
            lines_passed: 0,
            start_line: 1,
            is_open: false,
            written: 0,
            is_waiting: false,
            separator: b',',
            is_last: false,
            first_end: None,
            has_cr_rows: false,
        }
    }

    /// Splits the current record, and those after it, at this byte.
    pub(super) fn separate_by(&mut self, separator: u8) -> Result<(), ReadError> {
        let machine = || csv_core::ReaderBuilder::new().delimiter(separator).build();
        if separator != self.separator {
            let mut again = Records { machine: machine(), ..Records::new(&self.raw.bytes[..]) };
            again.advance()?;
            (self.cells, self.ends, self.found, self.is_open) =
                (again.cells, again.ends, again.found, again.is_open);
            (self.machine, self.separator) = (machine(), separator);
        }
        Ok(())
    }

    /// Moves to the next record; false at the end of the source.
    pub(super) fn advance(&mut self) -> Result<bool, ReadError> {
        if !std::mem::take(&mut self.is_waiting) {
            self.raw.clear();
            (self.found, self.written) = (0, 0);
        }
        let mut tail: &[u8] = b"\n";
        loop {
            let line = self.lines_passed + 1;
            let chunk = fill(&mut self.source, line).inspect_err(|_| self.is_waiting = true)?;
            let passed = if self.raw.whole_bytes == 0 { passed_at_start(chunk) } else { 0 };
            if self.raw.whole_bytes == 0 && self.first_end == Some(b'\r') {
                // A line may also end with CR CR LF, as Windows writes a text that has CR LF already.
                self.has_cr_rows = chunk.iter().find(|byte| **byte != b'\r') != Some(&b'\n');
                self.lines_passed += u64::from(self.has_cr_rows);
                self.first_end = Some(b'\n');
            }
            if passed > 0 {
                self.lines_passed += line_ends(&chunk[..passed], self.has_cr_rows);
                self.source.consume(passed);
                continue;
            }
            // At the end of the source, the machine gets a last line feed, then empty input. If only the empty input
            // ends the record, a quote is open.
            let at_end = chunk.is_empty();
            self.is_last = at_end;
            let input = if at_end { tail } else { chunk };
            let mut overflow = [0; 64];
            let ends =
                if self.found < COLUMNS_MAX { &mut self.ends[self.found..] } else { &mut overflow[..] };
            let (state, read, cell_bytes, cell_count) =
                self.machine.read_record(input, &mut self.cells[self.written..], ends);
            self.found += cell_count;
            self.written += cell_bytes;
            if at_end {
                tail = &tail[read..];
                self.is_open = input.is_empty() && state == ReadRecordResult::Record;
            } else {
                if self.raw.whole_bytes == 0 {
                    self.start_line = self.lines_passed + 1;
                }
                let part = &chunk[..read];
                self.lines_passed += line_ends(part, self.has_cr_rows);
                self.raw.push(part);
                self.source.consume(read);
            }
            match state {
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(false),
                ReadRecordResult::OutputFull if self.written >= LINE_BYTES_MAX => self.written = 0,
                ReadRecordResult::OutputFull => self.cells.resize(self.cells.len() * 2, 0),
                ReadRecordResult::InputEmpty | ReadRecordResult::OutputEndsFull => {}
            }
        }
        self.first_end = self.first_end.or(self.raw.bytes.last().copied());
        if self.raw.is_whole() && self.raw.bytes.starts_with(BYTE_ORDER_MARK) {
            // The byte order mark came in several chunks. `cells` removes it from the first cell.
            self.raw.bytes.drain(..BYTE_ORDER_MARK.len());
            self.raw.whole_bytes = self.raw.bytes.len() as u64;
        }
        while self.raw.is_whole() && self.raw.bytes.last().is_some_and(|byte| is_line_end(*byte)) {
            self.raw.pop();
        }
        Ok(true)
    }

    /// Whether a source that breaks off may have cut the current record: it has neither a line end nor a closing quote.
    pub(super) fn may_be_cut(&self) -> bool {
        self.is_last && self.raw.bytes.last() != Some(&b'"')
    }

    /// Whether no cell of the current record has a value.
    pub(super) fn is_blank(&self) -> bool {
        let bytes = self.ends[..self.found.min(COLUMNS_MAX)].last().copied().unwrap_or(0);
        let is_whole = !self.is_open && self.raw.is_whole();
        is_whole && bytes <= self.found && self.cells[..bytes].trim_ascii().is_empty()
    }

    /// Refuses a record in which a stray quote swallowed rows. A line inside its quotes counts as a row if it has as
    /// many separators as the header and, in the column `key`, a time or a value that begins with a digit.
    pub(super) fn refuse_rows_inside(
        &self,
        columns: usize,
        key: Option<usize>,
        is_time: impl Fn(&str) -> bool,
    ) -> Result<(), RejectReason> {
        let is_row = |line: &[u8]| {
            let cell = line.split(|byte| *byte == self.separator).nth(key.unwrap_or(0)).unwrap_or_default();
            let begins = cell.iter().find(|byte| !matches!(byte, b' ' | b'"'));
            let is_time = || is_time(String::from_utf8_lossy(cell).trim_matches([' ', '"']));
            memchr_iter(self.separator, line).count() + 1 == columns
                && (begins.is_some_and(u8::is_ascii_digit) || is_time())
        };
        let (mut number, mut rows) = (self.start_line, None);
        for line in self.raw.bytes.split_inclusive(|byte| is_line_end(*byte)) {
            if number > self.start_line && is_row(line) {
                rows = Some((rows.map_or(number, |(first, _)| first), number));
            }
            number += line_ends(line, self.has_cr_rows);
        }
        rows.map_or(Ok(()), |(first, last)| Err(RejectReason::RowsInside(first, last)))
    }

    /// The cells of the current record. If it has more than `COLUMNS_MAX`, only the first of them.
    pub(super) fn cells(&self) -> Result<Vec<&str>, RejectReason> {
        if !self.raw.is_whole() {
            return Err(RejectReason::TooLong(self.raw.whole_bytes));
        }
        if self.is_open {
            return Err(RejectReason::OpenQuote);
        }
        if let Some(filler) = RejectReason::of_filler(&self.raw.bytes) {
            return Err(filler);
        }
        if let Some(reason) = misplaced_quote(&self.raw.bytes, self.separator) {
            return Err(reason);
        }
        let ends = &self.ends[..self.found.min(COLUMNS_MAX)];
        let bytes = &self.cells[..ends.last().copied().unwrap_or(0)];
        // If a character is split between two cells, each cell alone is not UTF-8.
        let refuse = || RejectReason::NotUtf8(valid_bytes(&self.raw.bytes) + 1);
        let text = std::str::from_utf8(bytes).map_err(|_| refuse())?;
        let mut start = if text.starts_with('\u{feff}') { BYTE_ORDER_MARK.len() } else { 0 };
        let mut cells = Vec::with_capacity(ends.len());
        for end in ends {
            cells.push(text.get(start..*end).ok_or_else(refuse)?);
            start = *end;
        }
        Ok(cells)
    }
}

/// The reason to refuse a record: a field has text after its closing quote, or only blanks before its opening quote.
/// Its value would be wrong, because it is not quoted as RFC 4180 says. Blanks after a closing quote do no harm.
fn misplaced_quote(raw: &[u8], separator: u8) -> Option<RejectReason> {
    #[derive(Clone, Copy)]
    enum At {
        Start,
        Blank,
        Plain,
        Quoted,
        Closed,
    }
    memchr(b'"', raw)?;
    let (mut at, mut field) = (At::Start, 1);
    for byte in raw {
        at = match (at, *byte) {
            (At::Start | At::Closed, b'"') => At::Quoted,
            (At::Blank, b'"') => return Some(RejectReason::BeforeQuote(field)),
            (At::Quoted, b'"') => At::Closed,
            (At::Quoted, _) => At::Quoted,
            (At::Start | At::Blank | At::Plain | At::Closed, byte) if byte == separator => {
                field += 1;
                At::Start
            }
            (At::Start | At::Blank, b' ' | b'\t') => At::Blank,
            (At::Closed, b' ' | b'\t') => At::Closed,
            (At::Closed, _) => return Some(RejectReason::BehindQuote(field)),
            (At::Start | At::Blank | At::Plain, _) => At::Plain,
        };
    }
    None
}

/// The number of bytes at the start that are valid UTF-8.
fn valid_bytes(raw: &[u8]) -> usize {
    std::str::from_utf8(raw).map_or_else(|error| error.valid_up_to(), str::len)
}

/// The number of bytes in front of a record that are not part of it: line ends, zero bytes, a byte order mark.
fn passed_at_start(chunk: &[u8]) -> usize {
    let blank = chunk.iter().take_while(|byte| is_line_end(**byte) || **byte == 0).count();
    if chunk[blank..].starts_with(BYTE_ORDER_MARK) { blank + BYTE_ORDER_MARK.len() } else { blank }
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

fn line_ends(part: &[u8], has_cr_rows: bool) -> u64 {
    let returns = if has_cr_rows { memchr_iter(b'\r', part).count() } else { 0 };
    (memchr_iter(b'\n', part).count() + returns) as u64
}

/// The first cell with a sign that other systems write between lines, and that ends no line here.
pub(super) fn beyond_a_line<'a>(cells: &[&'a str]) -> Option<&'a str> {
    const SIGNS: [char; 6] = ['\u{b}', '\u{c}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];
    cells.iter().find(|cell| cell.contains(SIGNS) || cell.contains("\\n")).copied()
}
