//! The rejected lines of a run: one NDJSON file, which `ingest` accepts again once its lines are mended.
//!
//! ```text
//! <rejects_dir>/rejected-20261120T083000Z-1.ndjson      the UTC second the run began in, and a number that makes it unique
//! ```
//!
//! The file is made by the first reject, for its owner's eyes only (mode 0600): its lines name viewers. What a line holds is
//! described at [`RejectedLine`](crate::readers::RejectedLine).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::IngestError;
use crate::event::Instant;

/// Runs of one second that can have rejects of their own.
const FILES_PER_SECOND_MAX: u32 = 10_000;

/// Where this run's rejects go.
pub(super) struct Rejects {
    dir: PathBuf,
    began_at: Instant,
    file: Option<RejectsFile>,
}

struct RejectsFile {
    path: PathBuf,
    writer: BufWriter<File>,
}

impl Rejects {
    /// Makes nothing yet.
    pub(super) fn new(dir: &Path, began_at: Instant) -> Rejects {
        Rejects { dir: dir.to_owned(), began_at, file: None }
    }

    /// Adds lines, each of them JSON.
    pub(super) fn write<'a>(&mut self, lines: impl Iterator<Item = &'a str>) -> Result<(), IngestError> {
        for line in lines {
            if self.file.is_none() {
                let made = create(&self.dir, self.began_at);
                self.file = Some(made.map_err(|source| refuse(&self.dir, source))?);
            }
            let Some(file) = &mut self.file else { continue };
            writeln!(file.writer, "{line}").map_err(|source| refuse(&file.path, source))?;
        }
        Ok(())
    }

    /// Makes every line so far durable, with the name of the file.
    pub(super) fn sync(&mut self) -> Result<(), IngestError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.writer
            .flush()
            .and_then(|()| file.writer.get_ref().sync_all())
            .and_then(|()| File::open(&self.dir)?.sync_all())
            .map_err(|source| refuse(&file.path, source))
    }

    /// The file, where there was a reject.
    pub(super) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }
}

fn create(dir: &Path, began_at: Instant) -> io::Result<RejectsFile> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let began_at = DateTime::<Utc>::from(began_at).format("%Y%m%dT%H%M%SZ");
    for number in 1..=FILES_PER_SECOND_MAX {
        let path = dir.join(format!("rejected-{began_at}-{number}.ndjson"));
        // Only one run can create the name: two that begin in one second never write into one file.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => {
                // Held until the run ends: an erasure waits for it.
                file.lock()?;
                return Ok(RejectsFile { path, writer: BufWriter::new(file) });
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(ErrorKind::AlreadyExists, "every name of this second is taken"))
}

fn refuse(path: &Path, source: io::Error) -> IngestError {
    IngestError::Rejects { path: path.to_owned(), source }
}
