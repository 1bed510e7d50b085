//! Online copies of a live buffer.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::connection::{SIDE_FILES, open_reader};
use super::{Buffer, BufferError, runs};
use crate::event::Instant;
use crate::whole_file::{Readers, WholeFile, beside};

/// Pages per step: 4 MiB, between which a stop is heard.
const PAGES_A_STEP: i32 = 1_000;

/// The fact that marks a copy: outcomes recorded in the original since then are not in it.
pub(super) const COPIED_AT: &str = "copied_at";

impl Buffer {
    /// Copies the buffer to a new file while it is in use, for as long as `goes_on` says. The copy knows that it is one: what
    /// was delivered after it looks pending in it.
    pub fn backup(&self, to: &Path, goes_on: &dyn Fn() -> bool) -> Result<(), BufferError> {
        if to.exists() {
            return Err(BufferError::Exists(to.to_owned()));
        }
        let source = open_reader(self.path())?;
        let copied_at = self.clock.now();
        // Until it is whole and marked it has another name, so that a crash leaves no copy that passes for the original.
        let copy = copy(&source, to, goes_on)?;
        finish(copy.partial(), |target| {
            runs::set_fact(target, COPIED_AT, copied_at.nanos())?;
            Ok(target.pragma_update(None, "journal_mode", "DELETE")?)
        })?;
        copy.place_new().map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => BufferError::Exists(to.to_owned()),
            _ => BufferError::File { path: to.to_owned(), source },
        })
    }

    /// When this buffer was copied from another, if no drain has accepted that yet.
    pub fn copied_at(&self) -> Result<Option<Instant>, BufferError> {
        self.call(|connection| Ok(runs::fact(connection, COPIED_AT)?.map(Instant::from_nanos)))
    }

    /// Accepts that this buffer is a copy, and that what the original delivered since may be sent again.
    pub fn accept_copy(&self) -> Result<(), BufferError> {
        self.call(|connection| {
            connection.execute("DELETE FROM facts WHERE name = ?1", [COPIED_AT])?;
            Ok(())
        })
    }
}

/// Copies every page into a new file that is still to be placed.
pub(super) fn copy(
    source: &Connection,
    to: &Path,
    goes_on: &dyn Fn() -> bool,
) -> Result<WholeFile, BufferError> {
    let made = WholeFile::create(to, Readers::Owner);
    let made = made.map_err(|source| BufferError::File { path: to.to_owned(), source })?;
    // One snapshot for the whole copy: a step that opens its own begins anew whenever another connection commits.
    let snapshot = source.unchecked_transaction()?;
    snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    finish(made.partial(), |target| {
        let backup = Backup::new(&snapshot, target)?;
        while backup.step(PAGES_A_STEP)? != StepResult::Done {
            if !goes_on() {
                return Err(BufferError::Stopped);
            }
        }
        Ok(())
    })?;
    Ok(made)
}

/// Does something to a copy that nobody else has open, and leaves nothing beside it.
pub(super) fn finish<T>(
    partial: &Path,
    work: impl FnOnce(&mut Connection) -> Result<T, BufferError>,
) -> Result<T, BufferError> {
    let worked = Connection::open(partial).map_err(BufferError::from).and_then(|mut target| {
        target.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        work(&mut target)
    });
    if worked.is_err() {
        let side_files = SIDE_FILES.iter().map(|ending| beside(partial, ending));
        side_files.for_each(|path: PathBuf| fs::remove_file(path).unwrap_or_default());
    }
    worked
}
