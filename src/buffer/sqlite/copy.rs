//! Copies a database page by page into a new file, to which the caller then gives its final name.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ffi};

use super::super::error::{BufferError, Result};
use super::super::rows::value;
use super::place::SIDE_FILES;
use crate::whole_file::{Readers, WholeFile, beside};

/// Pages per step (4 MiB). The copy can be stopped between two steps.
const PAGES_A_STEP: i32 = 1_000;

const FULL: [i32; 2] = [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_WRITE];

/// Copies every page into a new file. Fails as soon as `goes_on` returns false.
pub(in super::super) fn copy(from: &Connection, to: &Path, goes_on: &dyn Fn() -> bool) -> Result<WholeFile> {
    let made = WholeFile::create(to, Readers::Owner).map_err(BufferError::file(to))?;
    // One snapshot for the whole copy. Without it, SQLite begins anew whenever another connection commits.
    let snapshot = from.unchecked_transaction()?;
    snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    finish(made.partial(), |target| {
        let backup = Backup::new(&snapshot, target)?;
        while backup.step(PAGES_A_STEP)? != StepResult::Done {
            if !goes_on() {
                return Err(BufferError::Stopped);
            }
        }
        Ok(())
    })
    .map_err(|error| match &error {
        // The buffer is only read, so the disk of the copy is the full one.
        BufferError::Sqlite(source)
            if FULL.contains(&source.sqlite_error().map_or(0, |of| of.extended_code)) =>
        {
            BufferError::file(to)(ErrorKind::StorageFull.into())
        }
        _ => error,
    })?;
    Ok(made)
}

/// Checks every page and every index. A backup checks as a restore does, so that a restore accepts every backup.
pub(in super::super) fn check(copy: &Connection) -> Result<()> {
    let found: String = value(copy, "PRAGMA integrity_check(1)", [])?;
    if found == "ok" {
        return Ok(());
    }
    Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(found)).into())
}

/// Opens a copy exclusively for `work`, and leaves no side files beside it.
pub(in super::super) fn finish<T>(
    partial: &Path,
    work: impl FnOnce(&mut Connection) -> Result<T>,
) -> Result<T> {
    let worked = Connection::open(partial).map_err(BufferError::from).and_then(|mut target| {
        target.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        work(&mut target)
    });
    if worked.is_err() {
        SIDE_FILES.iter().for_each(|ending| fs::remove_file(beside(partial, ending)).unwrap_or_default());
    }
    worked
}
