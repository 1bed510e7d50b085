//! Reads the records of a packed CSV file, one after the other, and notes where its bytes break RFC 4180.

use std::io::{BufRead, BufReader};

use flate2::bufread::MultiGzDecoder;

/// How much is unpacked at a time, in bytes.
const BUFFER_BYTES: usize = 64 << 10;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Why a file cannot be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileFault {
    /// The file is no gzip, or breaks off.
    NotGzip,
    TooLarge,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'r> {
    /// The cells, without anything between them.
    pub(super) bytes: &'r [u8],
    /// Where each cell ends in `bytes`.
    pub(super) ends: &'r [usize],
    /// Whether the file ended within a quoted cell of this record.
    is_open: bool,
}

impl<'r> Record<'r> {
    /// The cells; `None` if one of them is not UTF-8 or its quotes are not closed.
    pub(super) fn cells(&self) -> Option<impl Iterator<Item = &'r str>> {
        let text = str::from_utf8(self.bytes).ok().filter(|_| !self.is_open)?;
        let starts = std::iter::once(&0).chain(self.ends);
        // Two halves of a letter in neighbouring cells are valid UTF-8 only together.
        self.ends.iter().all(|end| text.is_char_boundary(*end)).then(|| {
            let ranges = starts.zip(self.ends);
            ranges.map(move |(start, end)| &text[*start..*end])
        })
    }
}

/// Reads records. Empty lines are skipped, as at Adobe.
pub(super) struct Records<'f> {
    source: BufReader<MultiGzDecoder<&'f [u8]>>,
    raw_bytes: u64,
    raw_bytes_max: u64,
    grammar: Grammar,
}

impl<'f> Records<'f> {
    pub(super) fn new(file: &'f [u8], raw_bytes_max: u64) -> Records<'f> {
        let source = BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(file));
        Records { source, raw_bytes: 0, raw_bytes_max, grammar: Grammar::default() }
    }

    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, FileFault> {
        let grammar = &mut self.grammar;
        grammar.cells.clear();
        grammar.ends.clear();
        let mut is_open = false;
        loop {
            let bytes = self.source.fill_buf().map_err(|_| FileFault::NotGzip)?;
            if self.raw_bytes + bytes.len() as u64 > self.raw_bytes_max {
                return Err(FileFault::TooLarge);
            }
            if bytes.is_empty() {
                is_open = grammar.place == Place::Quoted;
                if !grammar.end() {
                    return Ok(None);
                }
                break;
            }
            let start = if self.raw_bytes == 0 && bytes.starts_with(BYTE_ORDER_MARK) { 3 } else { 0 };
            let end = bytes[start..].iter().position(|byte| grammar.takes_last(*byte));
            let read = end.map_or(bytes.len(), |end| start + end + 1);
            self.source.consume(read);
            self.raw_bytes += read as u64;
            if end.is_some() {
                break;
            }
        }
        Ok(Some(Record { bytes: &grammar.cells, ends: &grammar.ends, is_open }))
    }

    /// The first breach of RFC 4180 so far, with its line. A line end inside quotes begins no new line.
    pub(super) fn verdict(&self) -> Option<String> {
        self.grammar.wrong.map(|(line, what)| format!("line {line}: {what}"))
    }
}

/// The place of the next byte in the grammar of RFC 4180.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    CellStart,
    Bare,
    Quoted,
    /// The place after a quote within quotes: the cell ends here, or this is half of a doubled quote.
    AfterQuote,
    AfterCr,
}

/// Reads a file byte by byte, and also accepts what RFC 4180 forbids.
#[derive(Debug, Default)]
struct Grammar {
    place: Place,
    /// The cells of the record, without anything between them. `ends` tells where each cell ends.
    cells: Vec<u8>,
    ends: Vec<usize>,
    line: u64,
    lf: bool,
    crlf: bool,
    /// The first breach of RFC 4180, and its line.
    wrong: Option<(u64, &'static str)>,
}

impl Grammar {
    /// Takes a byte; true if it is the last of a record.
    fn takes_last(&mut self, byte: u8) -> bool {
        use Place::{AfterCr, AfterQuote, Bare, CellStart, Quoted};
        match (self.place, byte) {
            (AfterCr, b'\n') => {
                self.crlf = true;
                self.end_line();
            }
            (AfterCr, _) => {
                self.find("a CR without an LF");
                self.place = CellStart;
                return self.takes_last(byte);
            }
            (Quoted, b'"') => self.place = AfterQuote,
            (CellStart, b'"') => self.place = Quoted,
            (Bare | CellStart | AfterQuote, b',') => {
                self.ends.push(self.cells.len());
                self.place = CellStart;
            }
            (Bare | CellStart | AfterQuote, b'\r') => {
                let is_record = self.end();
                self.place = AfterCr;
                return is_record;
            }
            (Bare | CellStart | AfterQuote, b'\n') => {
                self.lf = true;
                let is_record = self.end();
                self.end_line();
                return is_record;
            }
            (AfterQuote, b'"') => self.take(byte, Quoted),
            (Quoted, _) => self.take(byte, Quoted),
            (Bare, b'"') => {
                self.find("a quote in a cell that is not quoted");
                self.take(byte, Bare);
            }
            (AfterQuote, _) => {
                self.find("text behind a closing quote");
                self.take(byte, Bare);
            }
            (Bare | CellStart, _) => self.take(byte, Bare),
        }
        false
    }

    fn take(&mut self, byte: u8, place: Place) {
        self.cells.push(byte);
        self.place = place;
    }

    /// Ends the record; true if a record had begun.
    fn end(&mut self) -> bool {
        if self.place == Place::Quoted {
            self.find("a quote that is not closed");
        }
        let is_blank = matches!(self.place, Place::CellStart | Place::AfterCr) && self.ends.is_empty();
        self.place = Place::CellStart;
        if !is_blank {
            self.ends.push(self.cells.len());
        }
        !is_blank
    }

    fn end_line(&mut self) {
        if self.lf && self.crlf {
            self.find("LF and CRLF in one file");
        }
        self.line += 1;
        self.place = Place::CellStart;
    }

    fn find(&mut self, what: &'static str) {
        self.wrong.get_or_insert((self.line + 1, what));
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
        let mut records = Records::new(&file, u64::MAX);
        let mut found = Vec::new();
        while let Some(record) = records.next().expect("a whole file") {
            found.push(record.cells().map_or("open".to_owned(), |cells| cells.collect::<Vec<_>>().join("|")));
        }
        (found, records.verdict())
    }

    #[test]
    fn what_rfc_4180_allows_is_read_without_a_complaint() {
        let (records, wrong) = read("a,b\r\n\"1,\"\"2\r\n3\"\"\",\r\n\r\n,\"\"\r\n");
        assert_eq!(records, ["a|b", "1,\"2\r\n3\"|", "|"]);
        assert_eq!(wrong, None);
        assert_eq!(read("a\nb"), (vec!["a".to_owned(), "b".to_owned()], None));
    }

    #[test]
    fn what_is_forgiven_is_told_with_its_line() {
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
            let mut records = Records::new(file, max);
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
        let mut records = Records::new(&file, 100);
        assert!(records.next().expect("a file").expect("a record").cells().is_none());
    }
}
