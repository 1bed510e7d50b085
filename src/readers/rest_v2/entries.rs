//! Reads an HTTP archive and returns its entries one at a time, so that it holds only one entry in memory.

use std::io::{self, BufRead};

use memchr::{memchr_iter, memchr2};

use crate::readers::line::{LINE_BYTES_MAX, ReadError};
use crate::readers::lines::{BYTE_ORDER_MARK, fill};

const ENDS_TOO_SOON: &str = "it ends too soon";

pub(super) struct Entries<R> {
    source: R,
    line: u64,
    /// The current entry, or its start if it is above [`LINE_BYTES_MAX`].
    pub(super) entry: Vec<u8>,
    /// The length of the whole entry.
    pub(super) entry_bytes: u64,
    /// The number of the current entry, from 1.
    pub(super) number: u64,
    is_ended: bool,
}

impl<R: BufRead> Entries<R> {
    pub(super) fn open(source: R) -> Result<Entries<R>, ReadError> {
        let mut entries =
            Entries { source, line: 1, entry: Vec::new(), entry_bytes: 0, number: 0, is_ended: false };
        if entries.peek()? == Some(BYTE_ORDER_MARK[0]) {
            BYTE_ORDER_MARK.iter().try_for_each(|byte| entries.expect(*byte))?;
        }
        entries.expect(b'{')?;
        entries.enter("log", b'{')?;
        entries.enter("entries", b'[')?;
        Ok(entries)
    }

    /// Moves to the next entry; false at the end of a complete archive.
    pub(super) fn advance(&mut self) -> Result<bool, ReadError> {
        if self.is_ended {
            return Ok(false);
        }
        let is_last = self.peek()? == Some(b']');
        if is_last {
            self.expect(b']')?;
            self.is_ended = true;
            self.leave()?;
            self.leave()?;
            // A power loss may leave zero bytes after an archive. They are counted where the input is opened.
            while self.peek()? == Some(0) {
                self.source.consume(1);
            }
            return match self.peek()? {
                None => Ok(false),
                Some(_) => Err(self.broken("something follows its end; if that is a second archive, ingest each as a file of its own")),
            };
        }
        if self.number > 0 {
            self.expect(b',')?;
        }
        self.number += 1;
        self.entry.clear();
        self.entry_bytes = 0;
        self.value(true)?;
        Ok(true)
    }

    /// Skips the members of an object before the member `name`, and the opening bracket of its value.
    fn enter(&mut self, name: &str, opener: u8) -> Result<(), ReadError> {
        while self.peek()? != Some(b'}') {
            let is_it = self.name()? == name.as_bytes();
            self.expect(b':')?;
            if is_it && self.peek()? == Some(opener) {
                return self.expect(opener);
            } else if is_it {
                return Err(self.broken(&format!("{name} is of another type")));
            }
            self.value(false)?;
            if self.peek()? == Some(b',') {
                self.expect(b',')?;
            }
        }
        // Some programs keep the list of entries, or the object around it, without the archive.
        let advice = " (if it has the entries all the same, jq '{log: {entries: (.entries? // .)}}' FILE makes an archive of it)";
        Err(self.broken(&format!("{name} is missing{}", if name == "log" { advice } else { "" })))
    }

    /// Skips the remaining members of an object and its closing bracket.
    fn leave(&mut self) -> Result<(), ReadError> {
        while self.peek()? == Some(b',') {
            self.expect(b',')?;
            if matches!(self.name()?.as_slice(), b"log" | b"entries") {
                return Err(self.broken("log or entries is given twice"));
            }
            self.expect(b':')?;
            self.value(false)?;
        }
        self.expect(b'}')
    }

    /// The next byte that is not white space; `None` at the end of the source.
    fn peek(&mut self) -> Result<Option<u8>, ReadError> {
        loop {
            let chunk = fill(&mut self.source, self.line)?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let space = chunk.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let found = chunk.get(space).copied();
            self.line += memchr_iter(b'\n', &chunk[..space]).count() as u64;
            self.source.consume(space);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), ReadError> {
        match self.peek()? {
            Some(found) if found == byte => {
                self.source.consume(1);
                Ok(())
            }
            Some(_) => Err(self.broken("it is not JSON of the form of an archive")),
            None => Err(self.broken(ENDS_TOO_SOON)),
        }
    }

    /// Reads the name of a member. Returns it without its quotes.
    fn name(&mut self) -> Result<Vec<u8>, ReadError> {
        if self.peek()? != Some(b'"') {
            return Err(self.broken("it is not JSON of the form of an archive"));
        }
        self.entry.clear();
        self.entry_bytes = 0;
        self.value(true)?;
        let name = self.entry.as_slice();
        Ok(name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\"")).unwrap_or(name).to_vec())
    }

    /// Reads to the end of a value. If `is_kept`, the value becomes the entry.
    fn value(&mut self, is_kept: bool) -> Result<(), ReadError> {
        self.peek()?;
        let mut scan = Scan::default();
        loop {
            let chunk = fill(&mut self.source, self.line)?;
            if chunk.is_empty() {
                return Err(self.broken(ENDS_TOO_SOON));
            }
            let end = scan.end(chunk);
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let room = LINE_BYTES_MAX.saturating_sub(self.entry.len());
            if is_kept {
                self.entry_bytes += part.len() as u64;
                self.entry.extend_from_slice(&part[..part.len().min(room)]);
            }
            self.line += memchr_iter(b'\n', part).count() as u64;
            let taken = part.len();
            self.source.consume(taken);
            if end.is_some() {
                return Ok(());
            }
        }
    }

    fn broken(&self, what: &str) -> ReadError {
        let entry = match (self.number, self.is_ended) {
            (1.., false) => format!(" in entry {}", self.number),
            _ => String::new(),
        };
        let source = io::Error::other(format!("no HTTP archive: {what}{entry}"));
        let is_archive = self.number > 0 || self.is_ended || what == ENDS_TOO_SOON;
        if is_archive { ReadError::Broken { line: self.line, source } } else { ReadError::Foreign(source) }
    }
}

/// Finds the end of a JSON value, chunk by chunk. It only counts brackets: the parser of the entry checks the rest.
#[derive(Default)]
struct Scan {
    depth: u64,
    is_text: bool,
    is_escaped: bool,
}

impl Scan {
    /// The index in a chunk after the end of the value; `None` if the value does not end in the chunk.
    fn end(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = chunk.get(at) {
            if self.is_escaped {
                self.is_escaped = false;
            } else if self.is_text {
                at += memchr2(b'"', b'\\', &chunk[at..]).unwrap_or(chunk.len() - at);
                self.is_escaped = chunk.get(at) == Some(&b'\\');
                self.is_text = chunk.get(at) != Some(&b'"');
                if !self.is_text && self.depth == 0 {
                    return Some(at + 1);
                }
            } else {
                match byte {
                    b'"' => self.is_text = true,
                    b'{' | b'[' => self.depth += 1,
                    b',' | b'}' | b']' if self.depth == 0 => return Some(at),
                    b'}' | b']' => self.depth -= 1,
                    _ => {}
                }
                if self.depth == 0 && matches!(byte, b'}' | b']') {
                    return Some(at + 1);
                }
            }
            at += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn entries(archive: &str, capacity: usize) -> Result<Vec<String>, String> {
        let failed = |error: ReadError| std::error::Error::source(&error).expect("a cause").to_string();
        let mut entries =
            Entries::open(BufReader::with_capacity(capacity, archive.as_bytes())).map_err(failed)?;
        let mut found = Vec::new();
        while entries.advance().map_err(failed)? {
            found.push(String::from_utf8_lossy(&entries.entry).trim_end().to_owned());
        }
        Ok(found)
    }

    #[test]
    fn entries_are_handed_out_whole_however_the_source_comes() {
        for (archive, expected) in [
            (r#"{"log":{"entries":[]}}"#, Ok(vec![])),
            (
                "\u{feff} {\"a\":[{\"log\":1}], \"log\" : {\"version\":\"1.2\",\"x\":{\"entries\":[7]},\n \"entries\" : [ {\"a\":\"}]\\\\\\\"\"} , null,[1] ] , \"b\":\"]}\" } , \"c\":1 }\n",
                Ok(vec!["{\"a\":\"}]\\\\\\\"\"}", "null", "[1]"]),
            ),
            ("{\"log\":{\"entries\":[{}", Err("no HTTP archive: it ends too soon in entry 1")),
            ("{\"log\":{\"entries\":[{},{\"a\":\"", Err("no HTTP archive: it ends too soon in entry 2")),
            (
                "{\"log\":{\"entries\":[{} {}]}}",
                Err("no HTTP archive: it is not JSON of the form of an archive in entry 1"),
            ),
            ("{\"log\":{\"entries\":{}}}", Err("no HTTP archive: entries is of another type")),
            ("{\"log\":{}}", Err("no HTTP archive: entries is missing")),
            ("{\"log\":[]}", Err("no HTTP archive: log is of another type")),
            (
                "{\"entries\":[]}",
                Err(
                    "no HTTP archive: log is missing (if it has the entries all the same, jq '{log: {entries: (.entries? // .)}}' FILE makes an archive of it)",
                ),
            ),
            (
                "{\"log\":{\"entries\":[],\"entries\":[]}}",
                Err("no HTTP archive: log or entries is given twice"),
            ),
            (
                "{\"log\":{\"entries\":[]}} {}",
                Err(
                    "no HTTP archive: something follows its end; if that is a second archive, ingest each as a file of its own",
                ),
            ),
            ("{\"log\":{\"entries\":[]}", Err("no HTTP archive: it ends too soon")),
            ("[]", Err("no HTTP archive: it is not JSON of the form of an archive")),
            ("", Err("no HTTP archive: it ends too soon")),
        ] {
            for capacity in [1, 2, 7, 4096] {
                let found = entries(archive, capacity);
                let found = found.as_ref().map(|found| found.iter().map(String::as_str).collect());
                assert_eq!(found.map_err(String::as_str), expected, "{archive} by {capacity}");
            }
        }
    }
}
