//! Errors that stop one input or a whole ingest.

use std::io;
use std::path::PathBuf;

use crate::buffer::BufferError;
use crate::postgres::PostgresError;
use crate::readers::{Guess, ReadError};

/// Why an input could not be read to its end. The text continues a sentence that begins with the input's path.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("cannot be opened")]
    Open(#[source] io::Error),
    #[error("is a folder without a file to read")]
    Directory,
    #[error(
        "is {0}, and a map, a slice (--from, --to, --requestor) and --event-id-from are for events in NDJSON or CSV: leave them out, or say --format"
    )]
    Unfit(&'static str),
    #[error("is {0}, and a buffer on PostgreSQL takes events in NDJSON and CSV alone, so far")]
    NotOnPostgres(&'static str),
    #[error("holds only zero bytes, as a power loss leaves them: get it again from its source")]
    OnlyZeros,
    #[error("has no byte, so it is no whole {0} file")]
    NoFrame(&'static str),
    #[error("is {0}; only gzip and Zstandard are unpacked here, so write its events as NDJSON or CSV first")]
    Compression(&'static str),
    #[error(
        "is packed twice: what is inside is {0} again; unpack it once, as gzip -dc FILE | passbridge ingest - does"
    )]
    PackedTwice(&'static str),
    /// The input has two or four bytes a letter.
    #[error("is {0}; save it as UTF-8, as iconv -f {0} -t UTF-8 FILE does")]
    Encoding(&'static str),
    /// The input is recognised as something that has no format here. The text says what to do.
    #[error("{0}")]
    Stranger(&'static str),
    #[error("is named as {named}, but {}: say --format {}", guess.because, guess.format.as_str())]
    Misnamed { named: &'static str, guess: Guess },
    #[error("was taken for {}, because {}; if it is none, say --format", guess.format.as_str(), guess.because)]
    Guessed { guess: Guess, source: ReadError },
    #[error("was not read to its end, because the ingest was stopped")]
    Stopped,
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The reason why an ingest stopped. Events stored before stay stored.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error(
        "the disk of the buffer has {free_bytes} bytes free, and ingest.min_free_bytes keeps {min_free_bytes} for the drain; {stored} events were stored before"
    )]
    DiskFloor { free_bytes: u64, min_free_bytes: u64, stored: u64 },
    #[error(transparent)]
    Buffer(#[from] BufferError),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(
        "the disk of {path:?} has {free_bytes} bytes free; ingest.min_free_bytes keeps {min_free_bytes}, and {needed_bytes} more are needed for rejected lines, which cannot be kept"
    )]
    RejectsDiskFloor { path: PathBuf, free_bytes: u64, min_free_bytes: u64, needed_bytes: u64 },
    #[error(
        "{path}: {rejected} of the {read} lines read so far are rejected, more than the ingest allows; {stored} events were stored before, nothing behind them"
    )]
    TooManyRejects { path: String, rejected: u64, read: u64, stored: u64 },
    #[error("cannot keep rejected lines in {path:?}")]
    Rejects {
        /// The file or its folder.
        path: PathBuf,
        source: io::Error,
    },
}
