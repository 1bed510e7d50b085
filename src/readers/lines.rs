//! Splits a source into lines. Memory is bounded for every source.

use std::io::{BufRead, ErrorKind};

use memchr::memchr;

use super::line::{EXCERPT_BYTES_MAX, LINE_BYTES_MAX, ReadError};

/// Some editors put these bytes before the first line. Parsers do not accept them.
pub const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A line or a record. If it is above the limit, only its start is kept.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) bytes: Vec<u8>,
    /// The length of the whole line or record, even if only its start is kept.
    pub(super) whole_bytes: u64,
}

impl Kept {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.whole_bytes = 0;
    }

    pub(super) fn is_whole(&self) -> bool {
        self.whole_bytes <= LINE_BYTES_MAX as u64
    }

    pub(super) fn push(&mut self, part: &[u8]) {
        self.whole_bytes += part.len() as u64;
        if self.is_whole() {
            self.bytes.extend_from_slice(part);
        } else {
            self.bytes.extend_from_slice(&part[..part.len().min(EXCERPT_BYTES_MAX)]);
            self.bytes.truncate(EXCERPT_BYTES_MAX);
        }
    }

    /// Removes the last byte. The line or record must be whole.
    pub(super) fn pop(&mut self) {
        self.bytes.pop();
        self.whole_bytes = self.bytes.len() as u64;
    }
}

/// The lines of a source, one at a time.
pub(super) struct Lines<R> {
    source: R,
    /// The current line without its ending.
    line: Kept,
    number: u64,
    /// Whether the source stopped within the current line, and may go on.
    is_waiting: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(source: R) -> Lines<R> {
        Lines { source, line: Kept::default(), number: 0, is_waiting: false }
    }

    /// Moves to the next line; false at the end of the source.
    pub(super) fn advance(&mut self) -> Result<bool, ReadError> {
        if !std::mem::take(&mut self.is_waiting) {
            self.line.clear();
            self.number += 1;
        }
        loop {
            let chunk = fill(&mut self.source, self.number).inspect_err(|_| self.is_waiting = true)?;
            let filler = if self.line.whole_bytes == 0 { fillers_at_start(chunk) } else { 0 };
            if filler > 0 {
                self.source.consume(filler);
                continue;
            }
            let end = memchr(b'\n', chunk);
            let is_last = end.is_some() || chunk.is_empty();
            let is_line = end.is_some() || self.line.whole_bytes > 0;
            self.line.push(&chunk[..end.unwrap_or(chunk.len())]);
            let taken = end.map_or(chunk.len(), |end| end + 1);
            self.source.consume(taken);
            if is_last {
                if self.line.is_whole() && self.line.bytes.last() == Some(&b'\r') {
                    self.line.pop();
                }
                return Ok(is_line);
            }
        }
    }

    /// The current line without its ending and byte order mark. In a joined file, any line may have a mark.
    pub(super) fn bytes(&self) -> &[u8] {
        let line = &self.line.bytes;
        line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)
    }

    /// The length of the whole line in bytes, without a byte order mark.
    pub(super) fn line_bytes(&self) -> u64 {
        self.line.whole_bytes - (self.line.bytes.len() - self.bytes().len()) as u64
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

/// The number of filler bytes at the start. Fillers are zero bytes, which a log has if it was truncated while its
/// writer went on, and the record separators of JSON text sequences (RFC 7464).
pub(super) fn fillers_at_start(chunk: &[u8]) -> usize {
    chunk.iter().take_while(|byte| matches!(**byte, 0 | 0x1E)).count()
}

/// The next bytes of the source; empty at its end. `line` is the line that an error names.
pub(super) fn fill<R: BufRead>(source: &mut R, line: u64) -> Result<&[u8], ReadError> {
    // The loop only waits for bytes. The borrow checker accepts no loop that also returns them.
    loop {
        match source.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(source) => return Err(ReadError::Broken { line, source }),
        }
    }
    source.fill_buf().map_err(|source| ReadError::Broken { line, source })
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::*;

    fn split(source: impl BufRead) -> Vec<(u64, String, u64)> {
        let mut lines = Lines::new(source);
        let mut all = Vec::new();
        while lines.advance().expect("a source in memory") {
            let text = String::from_utf8_lossy(lines.bytes()).into_owned();
            all.push((lines.number(), text, lines.line_bytes()));
        }
        all
    }

    #[test]
    fn lines_end_with_lf_or_crlf_or_the_source() {
        for (source, expected) in [
            ("", vec![]),
            ("\n", vec![(1, "")]),
            ("a\r\nb\n\nc", vec![(1, "a"), (2, "b"), (3, ""), (4, "c")]),
            ("\u{feff}a\n\u{feff}b", vec![(1, "a"), (2, "b")]),
            ("a\rb\n\r", vec![(1, "a\rb"), (2, "")]),
            ("\0\0a\0\n\u{1e}b\n\0\0\n\0", vec![(1, "a\0"), (2, "b"), (3, "")]),
        ] {
            for capacity in [1, 2, 64] {
                let found = split(BufReader::with_capacity(capacity, source.as_bytes()));
                let found: Vec<_> = found.iter().map(|(number, text, _)| (*number, text.as_str())).collect();
                assert_eq!(found, expected, "{source:?} by {capacity}");
            }
        }
    }

    #[test]
    fn a_line_above_the_limit_is_cut_and_the_next_one_is_whole() {
        let exact = LINE_BYTES_MAX as u64;
        for (length, kept) in
            [(exact - 1, exact as usize - 1), (exact, exact as usize), (exact + 1, EXCERPT_BYTES_MAX)]
        {
            let source = std::io::repeat(b'x').take(length).chain(&b"\nnext\n"[..]);
            let mut lines = Lines::new(BufReader::with_capacity(1000, source));
            assert!(lines.advance().expect("memory"));
            assert_eq!((lines.bytes().len(), lines.line_bytes()), (kept, length));
            assert!(lines.line.bytes.capacity() <= 2 * LINE_BYTES_MAX);
            assert!(lines.advance().expect("memory"));
            assert_eq!(lines.bytes(), b"next");
        }
    }
}
