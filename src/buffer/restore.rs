//! Replaces the buffer, which may be damaged or missing, with a copy.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use serde::Serialize;

use super::database::Buffer;
use super::error::{BufferError, Result};
use super::facts::{COPIED_AT, CURSOR_SERIES, fact, random, set_fact};
use super::sqlite::{self, BufferOptions, MIGRATION_COPY, SIDE_FILES, open_reader, remove_if_there};
use crate::event::Instant;
use crate::whole_file::{PARTIAL, WholeFile, beside, entries, folder, share_owner, sync_folder};

/// A replaced buffer is kept under its name with this text and the time added.
const REPLACED: &str = ".replaced-";

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    pub path: PathBuf,
    pub from: PathBuf,
    /// The schema version of the copy.
    pub schema: i64,
    /// Where the next command copies the buffer before it migrates an old schema; `None` if the schema is not old.
    pub upgrade_copy: Option<PathBuf>,
    /// When the copy was made, by its own mark; without a mark, when its file was last changed.
    pub copied_at: Instant,
    /// The write-ahead log beside the copy, which SQLite reads as a part of it; `None` if there is none.
    pub log: Option<PathBuf>,
    /// Where the replaced buffer is now, with its write-ahead log beside it; `None` if there was none.
    pub kept: Option<PathBuf>,
}

impl Buffer {
    /// Replaces the buffer with a copy. Changes nothing before the copy is checked. The old buffer is kept beside the
    /// new one, which is marked as a copy for the next drain.
    pub fn restore(options: &BufferOptions, from: &Path, goes_on: &dyn Fn() -> bool) -> Result<Restored> {
        let path = resolve(&options.path)?;
        let failed = BufferError::file;
        let from = fs::canonicalize(from).map_err(no_copy(from))?;
        if from == path {
            return Err(no_copy(&from)(io::Error::other("it is the buffer itself")));
        }
        if !fs::metadata(&from).map_err(no_copy(&from))?.is_file() {
            return Err(no_copy(&from)(io::Error::other("it is no regular file")));
        }
        File::open(&from).map_err(no_copy(&from))?;
        sqlite::refuse_network_filesystem(options, folder(&path))?;
        let _lock = sqlite::whole(&path)?;
        let old = hold_alone(&path)?;
        let log = beside(&from, "-wal");
        let log = fs::metadata(&log).is_ok_and(|found| found.len() > 0).then_some(log);
        let (copy, schema) = copy_in(&from, log.as_deref(), &path, goes_on)
            .map_err(|error| with_log(error, log.as_deref()))?;
        let changed_at = fs::metadata(&from).and_then(|found| found.modified()).map_err(failed(&from))?;
        let copied_at =
            check(&from, &copy, changed_at.into()).map_err(|error| with_log(error, log.as_deref()))?;
        let owner = if old.is_some() { &path } else { folder(&path) };
        share_owner(copy.file(), owner).map_err(failed(&path))?;
        let kept = match old {
            Some(_) => Some(put_aside(&path, options.clock.now()).map_err(failed(&path))?),
            None => None,
        };
        // SQLite would read an old write-ahead log into the copy.
        for ending in SIDE_FILES {
            remove_if_there(&beside(&path, ending)).map_err(failed(&path))?;
        }
        copy.place_new().map_err(failed(&path))?;
        let upgrade_copy = sqlite::migration_copy(&path, schema);
        Ok(Restored { path, from, schema, upgrade_copy, copied_at, log, kept })
    }

    /// Whether a migration or a restore gives this name to a copy of a buffer, even to an unfinished one.
    pub fn is_copy_name(buffer: &Path, name: &Path) -> bool {
        let (buffer, name) = (buffer.as_os_str().as_encoded_bytes(), name.as_os_str().as_encoded_bytes());
        let ending = String::from_utf8_lossy(name.strip_prefix(buffer).unwrap_or_default());
        let is_of_migration = ending.starts_with(".schema-") && ending.contains(MIGRATION_COPY);
        is_of_migration || ending.starts_with(REPLACED) || ending.starts_with(PARTIAL)
    }
}

fn no_copy(path: &Path) -> impl Fn(io::Error) -> BufferError {
    move |why| BufferError::NoCopy { path: path.to_owned(), why }
}

/// The path that `open` would use, even if there is no file yet.
fn resolve(path: &Path) -> Result<PathBuf> {
    let resolved = fs::canonicalize(path).or_else(|error| match (error.kind(), path.file_name()) {
        (io::ErrorKind::NotFound, Some(name)) => Ok(fs::canonicalize(folder(path))?.join(name)),
        _ => Err(error),
    });
    resolved.map_err(BufferError::file(path))
}

/// Locks the whole file, so that nobody reads or writes it; `None` if there is no file. Fails if another process has
/// the buffer open, because each SQLite connection holds a lock on part of the file.
fn hold_alone(path: &Path) -> Result<Option<File>> {
    let failed = BufferError::file(path);
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::AGAIN | Errno::ACCESS) => Err(BufferError::InUse(path.to_owned())),
        Err(error) => Err(failed(error.into())),
    }
}

/// Copies `from`, and what its write-ahead log holds, to a file beside the buffer. Returns the file and its schema.
fn copy_in(
    from: &Path,
    log: Option<&Path>,
    path: &Path,
    goes_on: &dyn Fn() -> bool,
) -> Result<(WholeFile, i64)> {
    let source = match sqlite::open_immutable(from)? {
        // SQLite makes no files beside an immutable database, whose folder may be read-only.
        Some(source) if log.is_none() => source,
        Some(_) | None => open_reader(from)?,
    };
    let found = sqlite::schema_version(&source, from).map_err(|error| damaged(from, error))?;
    let copy = sqlite::copy(&source, path, goes_on).map_err(|error| damaged(from, error))?;
    Ok((copy, found))
}

/// Checks every page of the copy and marks it as a copy. Returns when it was made.
fn check(from: &Path, copy: &WholeFile, changed_at: Instant) -> Result<Instant> {
    let checked = sqlite::finish(copy.partial(), |target| {
        sqlite::check(target)?;
        let copied_at = match fact(target, COPIED_AT)? {
            Some(copied_at) => copied_at,
            None => {
                set_fact(target, COPIED_AT, changed_at.nanos())?;
                changed_at.nanos()
            }
        };
        if fact(target, CURSOR_SERIES)?.is_some() {
            // Cursors of the replaced buffer are invalid: the copy gives out again numbers that they have passed.
            set_fact(target, CURSOR_SERIES, u32::from_be_bytes(random()).into())?;
        }
        target.pragma_update(None, "journal_mode", "WAL")?;
        Ok(Instant::from_nanos(copied_at))
    });
    checked.map_err(|error| damaged(from, error))
}

/// Names the write-ahead log in an error about a damaged copy: the log of another database damages the copy.
fn with_log(error: BufferError, log: Option<&Path>) -> BufferError {
    let Some(log) = log else { return error };
    let (path, why) = match error {
        BufferError::DamagedCopy { path, why } => (path, why),
        BufferError::ForeignCopy(path) => (path, "it is no buffer".to_owned()),
        error => return error,
    };
    let why = format!(
        "{why}; SQLite reads {log:?} as a part of it: if that belongs to another file, move it and the -shm away"
    );
    BufferError::DamagedCopy { path, why }
}

/// Turns errors about a damaged or foreign file into errors that name it as the copy. Other errors stay as they are.
fn damaged(from: &Path, error: BufferError) -> BufferError {
    match error {
        BufferError::Sqlite(source) if error.is_damage() => {
            BufferError::DamagedCopy { path: from.to_owned(), why: source.to_string() }
        }
        BufferError::NotABuffer(path) => BufferError::ForeignCopy(path),
        error => error,
    }
}

/// Renames the buffer and its write-ahead log, because they are complete only together.
fn put_aside(path: &Path, now: Instant) -> io::Result<PathBuf> {
    let at = DateTime::<Utc>::from(now).format("%Y%m%dT%H%M%S%.3fZ");
    let kept = beside(path, &format!("{REPLACED}{at}"));
    fs::rename(path, &kept)?;
    match fs::rename(beside(path, "-wal"), beside(&kept, "-wal")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    sync_folder(path)?;
    Ok(kept)
}

/// Deletes the copies of a buffer, even unfinished ones, that migrations and restores made. Returns how many.
pub(super) fn remove_copies(path: &Path) -> Result<u64> {
    let mut removed = 0;
    for entry in entries(folder(path)).map_err(BufferError::file(path))? {
        if Buffer::is_copy_name(path, &entry) {
            fs::remove_file(&entry).map_err(BufferError::file(&entry))?;
            // The side files of a copy do not count as copies.
            let is_side = |side: &&str| entry.as_os_str().as_encoded_bytes().ends_with(side.as_bytes());
            removed += u64::from(!SIDE_FILES.iter().any(is_side));
        }
    }
    sync_folder(path).map_err(BufferError::file(path))?;
    Ok(removed)
}
