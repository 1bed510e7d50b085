//! The records of a packed CSV file, one after the other, and what its bytes make of RFC 4180.

use std::io::Read;

use csv_core::ReadRecordResult;
use flate2::bufread::MultiGzDecoder;

/// How much is unpacked at a time, in bytes.
const BUFFER_BYTES: usize = 64 << 10;

/// Why a file cannot be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileFault {
    /// It is no gzip, or breaks off.
    NotGzip,
    /// It is larger than it may be when it is unpacked.
    TooLarge,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'r> {
    /// The cells, without anything between them.
    bytes: &'r [u8],
    ends: &'r [usize],
    /// Whether the file ended within a quoted cell of it.
    is_open: bool,
}

impl<'r> Record<'r> {
    /// How many cells it has.
    pub(super) fn width(&self) -> usize {
        self.ends.len()
    }

    /// Its cells, one after the other.
    pub(super) fn bytes(&self) -> &'r [u8] {
        self.bytes
    }

    /// Its cells; `None` where one of them is not UTF-8, or is not closed.
    pub(super) fn cells(&self) -> Option<impl Iterator<Item = &'r str>> {
        let text = str::from_utf8(self.bytes).ok().filter(|_| !self.is_open)?;
        let starts = std::iter::once(&0).chain(self.ends);
        // Two halves of a letter in neighbouring cells would be one letter together.
        self.ends.iter().all(|end| text.is_char_boundary(*end)).then(|| {
            let ranges = starts.zip(self.ends);
            ranges.map(move |(start, end)| &text[*start..*end])
        })
    }
}

/// Reads records. Empty lines are none of them, as Adobe has it.
pub(super) struct Records<'f> {
    source: MultiGzDecoder<&'f [u8]>,
    raw_bytes_left: u64,
    buffer: Vec<u8>,
    /// What of the buffer is not read yet.
    start: usize,
    end: usize,
    machine: csv_core::Reader,
    cells: Vec<u8>,
    ends: Vec<usize>,
    /// Watches every byte; `None` where nobody asks.
    pub(super) syntax: Option<Syntax>,
}

impl<'f> Records<'f> {
    pub(super) fn new(file: &'f [u8], raw_bytes_max: u64, syntax: Option<Syntax>) -> Records<'f> {
        Records {
            source: MultiGzDecoder::new(file),
            raw_bytes_left: raw_bytes_max,
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
            machine: csv_core::Reader::new(),
            cells: vec![0; BUFFER_BYTES],
            ends: vec![0; 256],
            syntax,
        }
    }

    /// The next record; `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, FileFault> {
        let (mut cells_length, mut width) = (0, 0);
        let mut is_ended = false;
        loop {
            if self.start == self.end && !is_ended {
                is_ended = !self.fill()?;
            }
            let input = &self.buffer[self.start..self.end];
            let (result, read, written, ended) =
                self.machine.read_record(input, &mut self.cells[cells_length..], &mut self.ends[width..]);
            if let Some(syntax) = &mut self.syntax {
                syntax.watch(&input[..read]);
            }
            self.start += read;
            cells_length += written;
            width += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.cells.resize(2 * self.cells.len(), 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(2 * self.ends.len(), 0),
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::Record => break,
            }
        }
        let is_open = is_ended && self.syntax.as_ref().is_some_and(Syntax::is_open);
        Ok(Some(Record { bytes: &self.cells[..cells_length], ends: &self.ends[..width], is_open }))
    }

    /// Unpacks more; false behind the end.
    fn fill(&mut self) -> Result<bool, FileFault> {
        self.start = 0;
        self.end = self.source.read(&mut self.buffer).map_err(|_| FileFault::NotGzip)?;
        let left = self.raw_bytes_left.checked_sub(self.end as u64);
        self.raw_bytes_left = left.ok_or(FileFault::TooLarge)?;
        Ok(self.end > 0)
    }
}

/// Where in the grammar of RFC 4180 a byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    CellStart,
    Bare,
    Quoted,
    /// Behind a quote within quotes: the end of the cell, or half of a doubled quote.
    AfterQuote,
    AfterCr,
}

/// What csv-core forgives and RFC 4180 does not.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Syntax {
    place: Place,
    line: u64,
    lf: bool,
    crlf: bool,
    /// The first thing wrong, and its line.
    wrong: Option<(u64, &'static str)>,
}

impl Syntax {
    fn watch(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.place = self.step(*byte);
        }
    }

    fn step(&mut self, byte: u8) -> Place {
        match (self.place, byte) {
            (Place::Quoted, b'"') => Place::AfterQuote,
            (Place::Quoted, _) => Place::Quoted,
            (Place::AfterQuote | Place::CellStart, b'"') => Place::Quoted,
            (Place::AfterCr, b'\n') => {
                self.crlf = true;
                self.ended_line()
            }
            (Place::AfterCr, _) => {
                self.is_wrong("a CR without an LF");
                self.place = Place::CellStart;
                self.step(byte)
            }
            (Place::Bare | Place::CellStart | Place::AfterQuote, b',') => Place::CellStart,
            (Place::Bare | Place::CellStart | Place::AfterQuote, b'\r') => Place::AfterCr,
            (Place::Bare | Place::CellStart | Place::AfterQuote, b'\n') => {
                self.lf = true;
                self.ended_line()
            }
            (Place::Bare, b'"') => {
                self.is_wrong("a quote in a cell that is not quoted");
                Place::Bare
            }
            (Place::AfterQuote, _) => {
                self.is_wrong("text behind a closing quote");
                Place::Bare
            }
            (Place::Bare | Place::CellStart, _) => Place::Bare,
        }
    }

    fn ended_line(&mut self) -> Place {
        if self.lf && self.crlf {
            self.is_wrong("LF and CRLF in one file");
        }
        self.line += 1;
        Place::CellStart
    }

    fn is_wrong(&mut self, what: &'static str) {
        self.wrong.get_or_insert((self.line + 1, what));
    }

    /// Whether a quote is open.
    fn is_open(&self) -> bool {
        self.place == Place::Quoted
    }

    /// The first thing wrong, at the end of the file. Lines are counted without those inside quotes.
    pub(super) fn verdict(&self) -> Option<String> {
        let open = self.is_open().then_some((self.line + 1, "a quote that is not closed"));
        self.wrong.or(open).map(|(line, what)| format!("line {line}: {what}"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).expect("memory takes every write");
        encoder.finish().expect("memory takes every write")
    }

    /// The records of a text, with `|` between cells, and what is wrong with it.
    fn read(text: &str) -> (Vec<String>, Option<String>) {
        let file = packed(text.as_bytes());
        let mut records = Records::new(&file, u64::MAX, Some(Syntax::default()));
        let mut found = Vec::new();
        while let Some(record) = records.next().expect("a whole file") {
            found.push(record.cells().map_or("open".to_owned(), |cells| cells.collect::<Vec<_>>().join("|")));
        }
        (found, records.syntax.expect("it was watched").verdict())
    }

    #[test]
    fn what_rfc_4180_allows_is_read_without_a_complaint() {
        let (records, wrong) = read("a,b\r\n\"1,\"\"2\r\n3\"\"\",\r\n\r\n,\"\"\r\n");
        assert_eq!(records, ["a|b", "1,\"2\r\n3\"|", "|"]);
        assert_eq!(wrong, None);
        assert_eq!(read("a\nb"), (vec!["a".to_owned(), "b".to_owned()], None));
    }

    #[test]
    fn what_csv_core_forgives_is_told_with_its_line() {
        for (text, expected) in [
            ("a\nb\"c\n", "line 2: a quote in a cell that is not quoted"),
            ("a\n\"b\"c\n", "line 2: text behind a closing quote"),
            ("a\nb\r\n", "line 2: LF and CRLF in one file"),
            ("a\rb\r", "line 1: a CR without an LF"),
            ("a\n\"b\n", "line 2: a quote that is not closed"),
        ] {
            assert_eq!(read(text).1.as_deref(), Some(expected), "{text:?}");
        }
        assert_eq!(read("a\n\"b\n").0, ["a", "open"]);
    }

    #[test]
    fn cells_and_rows_may_be_larger_than_the_buffers() {
        let long = "x".repeat(3 * BUFFER_BYTES);
        let wide = "y,".repeat(1000);
        assert_eq!(read(&format!("{long},z\n{wide}\n")).0, [format!("{long}|z"), wide.replace(',', "|")]);
    }

    #[test]
    fn files_that_are_broken_or_too_large_are_told_apart() {
        let outcome = |file: &[u8], max: u64| {
            let mut records = Records::new(file, max, None);
            loop {
                match records.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => return Ok(()),
                    Err(fault) => return Err(fault),
                }
            }
        };
        let file = packed(b"a,b\n1,2\n");
        assert_eq!(outcome(&file, 8), Ok(()));
        assert_eq!(outcome(&file, 7), Err(FileFault::TooLarge));
        assert_eq!(outcome(&file[..file.len() - 3], 8), Err(FileFault::NotGzip));
        assert_eq!(outcome(b"a,b\n1,2\n", 8), Err(FileFault::NotGzip));
        assert_eq!(outcome(b"", 8), Err(FileFault::NotGzip));
    }

    #[test]
    fn halves_of_a_letter_in_two_cells_are_not_utf_8() {
        let file = packed(b"\xc3,\xa9\n");
        let mut records = Records::new(&file, 100, None);
        assert!(records.next().expect("a file").expect("a record").cells().is_none());
    }
}
