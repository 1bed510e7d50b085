//! Why a backfill cannot go on.

use std::path::PathBuf;

use crate::buffer::BufferError;
use crate::drain::DrainError;
use crate::ingest::IngestError;
use crate::job::{JobName, JobState};
use crate::web::ApiError;

/// Why a backfill stopped. `resume` continues where it stopped.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    #[error(transparent)]
    Buffer(#[from] BufferError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error("{0}")]
    Input(String),
    #[error(transparent)]
    Drain(#[from] DrainError),
    /// Adobe accepts no uploads from us, or does not answer.
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("cannot use {path:?}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The job uses the bulk route, but no credential is configured.
    #[error("the bulk route needs an OAuth server-to-server credential")]
    NotConfigured,
    /// Adobe took no row of a file, and would reject the same file again.
    #[error("Adobe rejects the file {path:?}: {why}")]
    Rejected { path: PathBuf, why: String },
    #[error("Adobe does not find the first file valid: {0}")]
    NotValid(String),
    /// No upload of a file was answered, and no look-up found the file.
    #[error("no upload of the file {path:?} was answered: {why}")]
    Unanswered { path: PathBuf, why: String },
    #[error("Adobe finds the file {0:?} of one event too large")]
    TooLarge(PathBuf),
    /// Adobe took a file without some rows, and it is unknown which rows.
    #[error("Adobe has taken the file {path:?} but for {rows} rows that it does not name{}", said(log))]
    Unnamed { path: PathBuf, rows: u64, log: String },
    #[error("backfill {name} is {}", state)]
    State { name: JobName, state: JobState },
    #[error("cannot start a thread to write files")]
    Thread(#[source] std::io::Error),
}

fn said(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!(" ({log})") }
}
