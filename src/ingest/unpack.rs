//! Unpacks gzip and Zstandard, also several members or frames. Skips and counts the zero bytes after each.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::GzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

/// The packing of bytes, as far as their start shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstandard,
    Other(&'static str),
}

impl Packing {
    pub(super) const MAGIC_BYTES: usize = 6;

    /// The packing of bytes that start like this; `None` if they are not packed.
    pub(super) fn of(magic: &[u8]) -> Option<Packing> {
        Some(match magic {
            [0x1F, 0x8B, ..] => Packing::Gzip,
            // A Zstandard frame, or the skippable frame that parallel compressors write first (RFC 8878, 3.1).
            [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Packing::Zstandard,
            [b'P', b'K', 3, 4, ..] => Packing::Other("zip"),
            [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Packing::Other("xz"),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => Packing::Other("bzip2"),
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Packing::Gzip => "gzip",
            Packing::Zstandard => "Zstandard",
            Packing::Other(name) => name,
        }
    }
}

/// Reads the content of packed bytes, one member after the other.
pub(super) struct Unpacked<R: BufRead> {
    member: Member<R>,
    /// Grows by the zero bytes behind each member.
    zeros: Arc<AtomicU64>,
}

enum Member<R: BufRead> {
    Gzip(Box<GzDecoder<R>>),
    Zstandard(Box<ZstdDecoder<'static, R>>),
    /// Between two members, or after the last.
    Between(R),
    Ended,
}

impl<R: BufRead> Unpacked<R> {
    pub(super) fn new(source: R, zeros: &Arc<AtomicU64>) -> Unpacked<R> {
        Unpacked { member: Member::Between(source), zeros: Arc::clone(zeros) }
    }
}

impl<R: BufRead> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.member {
                Member::Gzip(decoder) => decoder.read(buffer)?,
                Member::Zstandard(decoder) => decoder.read(buffer)?,
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
                    self.zeros.fetch_add(skip_zeros(&mut source)?, Ordering::Relaxed);
                    next_member(source)?
                }
                Member::Ended => Member::Ended,
            };
        }
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
