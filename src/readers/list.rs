//! Reads a JSON list as lines: each element becomes a line, so that the number of a line is that of its element.

use std::io::{self, BufRead, ErrorKind, Read};

use super::lines::BYTE_ORDER_MARK;

/// Whether a source with this start is a list of objects, not a line of another program that begins with a bracket.
pub fn starts_as_list(start: &[u8]) -> bool {
    let start = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start).trim_ascii_start();
    let inside = start.strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
    inside.is_some_and(|inside| matches!(inside, [] | [b'{' | b']', ..]))
}

/// The elements of one list, or of several lists in a row, as lines. Only the current chunk is in memory.
pub struct ListElements<R> {
    source: R,
    lines: Vec<u8>,
    given: usize,
    /// How many lists and objects are open.
    depth: u32,
    is_in_text: bool,
    is_escaped: bool,
}

impl<R: BufRead> ListElements<R> {
    pub fn new(source: R) -> ListElements<R> {
        ListElements { source, lines: Vec::new(), given: 0, depth: 0, is_in_text: false, is_escaped: false }
    }

    /// The byte that a byte of the list becomes in the lines, if any.
    fn step(&mut self, byte: u8) -> Option<u8> {
        if self.is_in_text {
            self.is_in_text = self.is_escaped || byte != b'"';
            self.is_escaped = !self.is_escaped && byte == b'\\';
            return Some(byte);
        }
        match (byte, self.depth) {
            (b'"', _) => self.is_in_text = true,
            (b'[', 0) => {
                self.depth = 1;
                return None;
            }
            (b'[' | b'{', _) => self.depth += 1,
            (b']', 1) => {
                self.depth = 0;
                return Some(b'\n');
            }
            (b']' | b'}', 2..) => self.depth -= 1,
            (b',', 1) => return Some(b'\n'),
            (b'\r' | b'\n', 1..) => return Some(b' '),
            (b'\r' | b'\n', 0) => return None,
            _ => {}
        }
        Some(byte)
    }
}

impl<R: BufRead> BufRead for ListElements<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.given == self.lines.len() {
            (self.given, self.lines) = (0, Vec::new());
            let chunk = self.source.fill_buf()?.to_vec();
            if chunk.is_empty() {
                let why = "the JSON list is not closed: it is cut off, or still being written";
                return if self.depth > 0 {
                    Err(io::Error::new(ErrorKind::UnexpectedEof, why))
                } else {
                    Ok(&[])
                };
            }
            self.source.consume(chunk.len());
            self.lines = chunk.into_iter().filter_map(|byte| self.step(byte)).collect();
        }
        Ok(&self.lines[self.given..])
    }

    fn consume(&mut self, bytes: usize) {
        self.given += bytes;
    }
}

impl<R: BufRead> Read for ListElements<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn each_element_is_a_line_whatever_is_inside_it() {
        for (list, lines, is_cut) in [
            (
                "[{\"a\":[1,{\"b\":\"],\\\"\"}]},\r\n {\n\"c\":2\n}\n]\n",
                "{\"a\":[1,{\"b\":\"],\\\"\"}]}\n   { \"c\":2 } \n",
                false,
            ),
            ("[]", "\n", false),
            ("[{}][{}]", "{}\n{}\n", false),
            ("[{},{\"a\":", "{}\n{\"a\":", true),
        ] {
            for capacity in [1, 3, 4096] {
                let mut found = String::new();
                let source = BufReader::with_capacity(capacity, list.as_bytes());
                let read = ListElements::new(source).read_to_string(&mut found);
                assert_eq!(read.is_err(), is_cut, "{list}");
                assert!(is_cut || found == lines, "{list}: {found:?}");
            }
        }
        for (start, expected) in
            [("\u{feff} [\n{", true), ("[", true), ("[]", true), ("[INFO] x", false), ("{", false)]
        {
            assert_eq!(starts_as_list(start.as_bytes()), expected, "{start}");
        }
    }
}
