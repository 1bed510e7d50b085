//! How a run recognises a file that was planned: by its size and its digest.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ingest::InputPath;

/// How much is read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// The size of a file and the digest of its content, both before unpacking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    pub bytes: u64,
    /// SHA-256, in hexadecimal digits.
    pub sha256: String,
}

impl fmt::Display for FileState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} bytes (SHA-256 {:.12}...)", self.bytes, self.sha256)
    }
}

impl FileState {
    pub fn of(path: &Path) -> io::Result<FileState> {
        let (mut digest, mut bytes) = (Sha256::new(), 0);
        let mut source = BufReader::with_capacity(CHUNK_BYTES, File::open(path)?);
        while let chunk @ [_, ..] = source.fill_buf()? {
            digest.update(chunk);
            let taken = chunk.len();
            bytes += taken as u64;
            source.consume(taken);
        }
        Ok(FileState { bytes, sha256: digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect() })
    }

    pub(super) fn of_input(input: &InputPath) -> Option<FileState> {
        match input {
            InputPath::File(path) if path.is_file() => FileState::of(path).ok(),
            InputPath::File(_) | InputPath::StandardInput(_) => None,
        }
    }
}
