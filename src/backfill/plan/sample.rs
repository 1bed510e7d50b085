//! Compresses the first rows of a plan as a bulk file, to estimate the compression ratio.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::backfill::bulk::LEVEL;
use crate::encode::bulk_header;

/// How many rows are compressed: as many as the first file would have.
pub(super) const SAMPLE_ROWS: u64 = 40_000;

/// The first rows as a bulk file, to see how they pack.
pub(super) struct Sample {
    packed: GzEncoder<Vec<u8>>,
    rows: u64,
    raw_bytes: u64,
    pub(super) header_bytes: u64,
}

impl Sample {
    pub(super) fn new() -> Sample {
        let mut header = Vec::new();
        bulk_header(&mut header);
        let mut sample = Sample {
            packed: GzEncoder::new(Vec::new(), Compression::new(LEVEL)),
            rows: 0,
            raw_bytes: 0,
            header_bytes: header.len() as u64,
        };
        sample.take(&header, 0);
        sample
    }

    pub(super) fn take(&mut self, text: &[u8], rows: u64) {
        if self.rows >= SAMPLE_ROWS {
            return;
        }
        self.rows += rows;
        self.raw_bytes += text.len() as u64;
        self.packed.write_all(text).expect("memory takes every write");
    }

    /// How many rows were compressed, and the ratio of compressed to raw bytes.
    pub(super) fn finish(self) -> (u64, f64) {
        let packed = self.packed.finish().expect("memory takes every write");
        (self.rows, packed.len() as f64 / self.raw_bytes.max(1) as f64)
    }
}
