//! `ingest --spool`: ingests the files of a folder, and moves each to `done` or `rejected` in that folder.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Failure;
use crate::ingest::{IngestSummary, InputError, InputPath, InputSummary};
use crate::whole_file::{beside, make_folder};

const DONE: &str = "done";
const REJECTED: &str = "rejected";
/// The most files of one name in a folder: a supplier that reuses a name daily needs decades for that many.
const SAME_NAME_MAX: u32 = 10_000;

/// The files of a folder, as they were before they were read.
pub(super) struct Spool {
    folder: PathBuf,
    files: Vec<(PathBuf, Stamp)>,
}

/// Values that change when somebody writes to a file or replaces it.
#[derive(PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

/// Where the files of a spool are now.
#[derive(Debug, Default, Serialize)]
pub(super) struct Moved {
    done: Vec<PathBuf>,
    /// Files of which a part was not used: lines were rejected, or reading failed.
    rejected: Vec<PathBuf>,
    /// Files that changed while they were read, or were not reached before a stop. The next ingest takes them.
    stays: Vec<PathBuf>,
}

impl Spool {
    /// Lists the files whose names show that they are complete. Fails if they could not be moved later.
    pub(super) fn open(folder: &Path) -> Result<Spool, Failure> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(Failure::reading(folder))? {
            let path = entry.map_err(Failure::reading(folder))?.path();
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            if name.starts_with(b".") || name.ends_with(b".part") {
                continue;
            }
            // If the file is gone, another process has taken it.
            let Ok(metadata) = path.symlink_metadata() else { continue };
            if metadata.is_file() {
                files.push((path, Stamp::of(&metadata)));
            } else if !metadata.is_dir() {
                tracing::warn!(path = %path.display(), "what stands in the spool is no file: it is not read, and stays");
            }
        }
        files.sort_by(|one, other| one.0.cmp(&other.0));
        for place in [DONE, REJECTED].map(|place| folder.join(place)) {
            make_folder(&place, folder).map_err(Failure::writing(&place))?;
        }
        Ok(Spool { folder: folder.to_owned(), files })
    }

    pub(super) fn inputs(&self) -> Vec<InputPath> {
        self.files.iter().map(|(path, _)| InputPath::File(path.clone())).collect()
    }

    /// Moves the files that an ingest has read.
    pub(super) fn clear(&self, summary: &IngestSummary) -> Result<Moved, Failure> {
        let mut moved = Moved::default();
        for ((path, before), input) in self.files.iter().zip(&summary.inputs) {
            let Ok(metadata) = path.symlink_metadata() else { continue };
            let stamp = Stamp::of(&metadata);
            let is_used = is_used(input, summary, stamp.bytes).filter(|_| stamp == *before);
            let (place, list) = match is_used {
                Some(true) => (DONE, &mut moved.done),
                Some(false) => (REJECTED, &mut moved.rejected),
                None => {
                    moved.stays.push(path.clone());
                    continue;
                }
            };
            list.push(move_to(path, &self.folder.join(place)).map_err(Failure::writing(path))?);
        }
        Ok(moved)
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// True if all of an input was used; `None` if a stop came before its end.
fn is_used(input: &InputSummary, summary: &IngestSummary, bytes: u64) -> Option<bool> {
    match summary.failures.iter().find(|failure| failure.path == input.path) {
        Some(failure) if matches!(failure.error, InputError::Stopped) => None,
        Some(_) => Some(false),
        None if input.unused.is_some() || input.counts.rejected + input.counts.conflicts > 0 => Some(false),
        // An input has a digest only if it was read to its end. An empty file never has one.
        None => (input.digest.is_some() || bytes == 0).then_some(true),
    }
}

/// Moves a file into a folder on the same disk. Earlier files of the same name stay beside it.
fn move_to(path: &Path, folder: &Path) -> io::Result<PathBuf> {
    let wanted = folder.join(path.file_name().unwrap_or_default());
    let numbered = (2..=SAME_NAME_MAX).map(|number| beside(&wanted, &format!(".{number}")));
    let free = [wanted.clone()].into_iter().chain(numbered).find(|place| place.symlink_metadata().is_err());
    let free = free.ok_or(io::ErrorKind::AlreadyExists)?;
    fs::rename(path, &free)?;
    Ok(free)
}
