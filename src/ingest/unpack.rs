//! Unpacks gzip and Zstandard: several members or frames, and zero bytes after each (tapes and block devices pad).

use std::io::{self, BufRead, Read};

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

    /// The packing of bytes that start so; `None`: they are not packed.
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
pub(super) enum Unpacked<R: BufRead> {
    Gzip(Box<GzDecoder<R>>),
    Zstandard(Box<ZstdDecoder<'static, R>>),
    /// Between two members, or after the last.
    Between(R),
    Ended,
}

impl<R: BufRead> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Unpacked::Gzip(decoder) => decoder.read(buffer)?,
                Unpacked::Zstandard(decoder) => decoder.read(buffer)?,
                Unpacked::Between(_) => 0,
                Unpacked::Ended => return Ok(0),
            };
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            *self = match std::mem::replace(self, Unpacked::Ended) {
                Unpacked::Gzip(decoder) => Unpacked::Between(decoder.into_inner()),
                Unpacked::Zstandard(decoder) => Unpacked::Between(decoder.finish()),
                Unpacked::Between(source) => next_member(source)?,
                Unpacked::Ended => Unpacked::Ended,
            };
        }
    }
}

fn next_member<R: BufRead>(mut source: R) -> io::Result<Unpacked<R>> {
    skip_zeros(&mut source)?;
    Ok(match source.fill_buf()?.first() {
        None => Unpacked::Ended,
        Some(0x28 | 0x50..=0x5F) => {
            Unpacked::Zstandard(Box::new(ZstdDecoder::with_buffer(source)?.single_frame()))
        }
        // If the bytes are not gzip, the decoder fails with a message.
        Some(_) => Unpacked::Gzip(Box::new(GzDecoder::new(source))),
    })
}

/// Skips zero bytes.
pub(super) fn skip_zeros(source: &mut impl BufRead) -> io::Result<()> {
    loop {
        let chunk = match source.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            chunk => chunk?,
        };
        let zeros = chunk.iter().take_while(|byte| **byte == 0).count();
        if zeros == 0 {
            return Ok(());
        }
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
                let mut source = Unpacked::Between(BufReader::with_capacity(capacity, packed.as_slice()));
                source.read_to_string(&mut text).expect("whole members");
                assert_eq!(text, expected);
            }
        }
        for broken in
            [[gzip(b"a"), b"junk".to_vec()].concat(), gzip(b"abc")[..12].to_vec(), zstd(b"abc")[..8].to_vec()]
        {
            assert!(Unpacked::Between(broken.as_slice()).read_to_end(&mut Vec::new()).is_err());
        }
    }
}
