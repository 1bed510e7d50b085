//! Unpacks gzip and Zstandard, with any number of members or frames. Skips and counts the zero bytes around them.

use std::io::{self, BufRead, Read};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::bufread::GzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

/// The packing of bytes, as far as their start shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstandard,
    /// Another packing, or a file that is no text, in words that can follow "is" in a sentence.
    Other(&'static str),
}

impl Packing {
    pub(super) const MAGIC_BYTES: usize = 16;

    /// The packing of bytes that start like this; `None` if they are not packed.
    pub(super) fn of(magic: &[u8]) -> Option<Packing> {
        Some(match magic {
            [0x1F, 0x8B, ..] => Packing::Gzip,
            // A Zstandard frame, or the skippable frame that parallel compressors write first (RFC 8878, 3.1).
            [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Packing::Zstandard,
            [b'P', b'K', 3, 4, ..] => Packing::Other("packed as zip"),
            [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Packing::Other("packed as xz"),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => Packing::Other("packed as bzip2"),
            [0x1F, 0x9D, ..] => Packing::Other("packed as compress (.Z)"),
            [b'7', b'z', 0xBC, 0xAF, ..] => Packing::Other("packed as 7z"),
            [b'R', b'a', b'r', b'!', 0x1A, 7, ..] => Packing::Other("packed as rar"),
            [4, 0x22, 0x4D, 0x18, ..] => Packing::Other("packed as lz4"),
            // RFC 1950, 2.2. A text may also begin with `x^`, but then none of these bytes follows.
            [b'x', 1 | 0x9C | 0xDA, ..] | [b'x', b'^', 0..=8 | 14..=31 | 0x80.., ..] => {
                Packing::Other("packed as zlib")
            }
            [b'P', b'A', b'R', b'1', 0x15, ..] => Packing::Other("a Parquet file"),
            [b'O', b'b', b'j', 1, ..] => Packing::Other("an Avro file"),
            [b'O', b'R', b'C', 0..=8 | 14..=31 | 0x80.., ..] => Packing::Other("an ORC file"),
            [0xD0, 0xCF, 0x11, 0xE0, ..] => Packing::Other("an .xls workbook or another file of Office"),
            _ if magic.starts_with(b"SQLite format 3\0") => Packing::Other("a SQLite database"),
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Packing::Gzip => "packed as gzip",
            Packing::Zstandard => "packed as Zstandard",
            Packing::Other(name) => name,
        }
    }
}

/// The zero bytes of an input. A power loss leaves them, and so does truncating a log that a process still writes to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Zeros {
    /// Zero bytes at the end of what was read. `inside` counts those before other bytes, from line `first_line` on.
    pub(super) at_end: u64,
    inside: u64,
    first_line: u64,
    line_ends: u64,
}

/// The zero bytes that were found so far; the thread that reads counts them.
pub(super) type FoundZeros = Arc<Mutex<Zeros>>;

/// Changes or reads what was found.
pub(super) fn with<T>(zeros: &FoundZeros, act: impl FnOnce(&mut Zeros) -> T) -> T {
    act(&mut zeros.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Zeros {
    /// Counts the zero bytes among the next bytes of the input.
    pub(super) fn look(&mut self, bytes: &[u8]) {
        let line_ends = |bytes: &[u8]| memchr::memchr_iter(b'\n', bytes).count() as u64;
        let Some(last) = bytes.iter().rposition(|byte| *byte != 0) else {
            self.at_end += bytes.len() as u64;
            return;
        };
        let inside = self.at_end + memchr::memchr_iter(0, &bytes[..last]).count() as u64;
        if inside > 0 && self.inside == 0 {
            let first = if self.at_end > 0 { 0 } else { memchr::memchr(0, bytes).unwrap_or(last) };
            self.first_line = self.line_ends + line_ends(&bytes[..first]) + 1;
        }
        self.inside += inside;
        self.line_ends += line_ends(bytes);
        self.at_end = (bytes.len() - last - 1) as u64;
    }

    /// The notes about the zero bytes, with the line of the first if they are not at the end.
    pub(super) fn notes(self) -> impl Iterator<Item = (Option<u64>, String)> {
        let why = "as a power loss leaves them: lines may be missing there; compare it with its source";
        let at_end = format!("ends with {} zero bytes, {why}", self.at_end);
        let inside = format!("has {} zero bytes from here on, {why}", self.inside);
        let all = [(self.inside, Some(self.first_line), inside), (self.at_end, None, at_end)];
        all.into_iter().filter(|(count, ..)| *count > 0).map(|(_, line, note)| (line, note))
    }
}

/// Reads the content of packed bytes, one member after the other.
pub(super) struct Unpacked<R: BufRead> {
    member: Member<R>,
    /// Grows by the zero bytes before, between and after the members.
    zeros: FoundZeros,
}

enum Member<R: BufRead> {
    Gzip(Box<GzDecoder<R>>),
    Zstandard(Box<ZstdDecoder<'static, R>>),
    /// Before the first member, between two members, or after the last.
    Between(R),
    Ended,
}

impl<R: BufRead> Unpacked<R> {
    pub(super) fn new(source: R, zeros: &FoundZeros) -> Unpacked<R> {
        Unpacked { member: Member::Between(source), zeros: Arc::clone(zeros) }
    }
}

impl<R: BufRead> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.member {
                Member::Gzip(decoder) => decoder.read(buffer).map_err(damage)?,
                Member::Zstandard(decoder) => decoder.read(buffer).map_err(damage)?,
                Member::Between(_) => 0,
                Member::Ended => return Ok(0),
            };
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.member = match std::mem::replace(&mut self.member, Member::Ended) {
                Member::Gzip(decoder) => Member::Between(decoder.into_inner()),
                Member::Zstandard(decoder) => Member::Between(decoder.finish()),
                Member::Between(mut source) => {
                    let skipped = skip_zeros(&mut source)?;
                    with(&self.zeros, |zeros| zeros.at_end += skipped);
                    next_member(source)?
                }
                Member::Ended => Member::Ended,
            };
        }
    }
}

/// Marks an error of the decoder as damage. What was unpacked before may be wrong, too: its checksum comes last.
fn damage(error: io::Error) -> io::Error {
    use io::ErrorKind::{InvalidData, InvalidInput, Other};
    let is_of_decoder = matches!(error.kind(), InvalidData | InvalidInput | Other);
    if error.to_string().contains("too much memory") {
        let what = "packed with a longer window than 128 MB: unpack it first, as zstd -dc --long=31 FILE | passbridge ingest - does";
        return io::Error::new(io::ErrorKind::Unsupported, what);
    }
    match is_of_decoder && error.raw_os_error().is_none() {
        true => io::Error::new(InvalidData, error),
        false => error,
    }
}

fn next_member<R: BufRead>(mut source: R) -> io::Result<Member<R>> {
    Ok(match source.fill_buf()?.first() {
        None => Member::Ended,
        Some(0x28 | 0x50..=0x5F) => {
            Member::Zstandard(Box::new(ZstdDecoder::with_buffer(source)?.single_frame()))
        }
        // If the bytes are not gzip, the decoder fails with a message.
        Some(_) => Member::Gzip(Box::new(GzDecoder::new(source))),
    })
}

/// Skips the zero bytes at the start and returns their number.
pub(super) fn skip_zeros(source: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let chunk = match source.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            chunk => chunk?,
        };
        let zeros = chunk.iter().take_while(|byte| **byte == 0).count();
        if zeros == 0 {
            return Ok(skipped);
        }
        skipped += zeros as u64;
        source.consume(zeros);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn zero_bytes_are_counted_with_the_line_of_the_first_however_the_bytes_come() {
        let bytes = b"a\nb\0\0c\n\0\0\0d\n\0\0";
        for portion in [1, 2, 3, 100] {
            let mut zeros = Zeros::default();
            bytes.chunks(portion).for_each(|bytes| zeros.look(bytes));
            assert_eq!((zeros.inside, zeros.first_line, zeros.at_end), (5, 2, 2), "{portion}");
        }
    }

    #[test]
    fn members_and_frames_are_read_to_the_last_and_zeros_around_them_are_padding() {
        let zstd = |content: &[u8]| zstd::encode_all(content, 1).expect("memory");
        let zeros = vec![0; 1000];
        for (packed, expected) in [
            ([gzip(b"a"), gzip(b""), gzip(b"b")].concat(), "ab"),
            ([zstd(b"a"), zstd(b""), zstd(b"b")].concat(), "ab"),
            ([gzip(b"a"), zeros.clone()].concat(), "a"),
            ([zstd(b"a"), zeros.clone(), zstd(b"b"), zeros.clone()].concat(), "ab"),
            ([vec![0x50, 0x2A, 0x4D, 0x18, 2, 0, 0, 0, 9, 9], zstd(b"a")].concat(), "a"),
        ] {
            for capacity in [1, 7, 4096] {
                let mut text = String::new();
                let packed = BufReader::with_capacity(capacity, packed.as_slice());
                let mut source = Unpacked::new(packed, &Arc::default());
                source.read_to_string(&mut text).expect("whole members");
                assert_eq!(text, expected);
            }
        }
        for broken in
            [[gzip(b"a"), b"junk".to_vec()].concat(), gzip(b"abc")[..12].to_vec(), zstd(b"abc")[..8].to_vec()]
        {
            assert!(Unpacked::new(broken.as_slice(), &Arc::default()).read_to_end(&mut Vec::new()).is_err());
        }
    }
}
