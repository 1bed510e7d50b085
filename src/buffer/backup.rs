//! Copies of a buffer that is in use, and the mark that a copy carries.

use std::fs;
use std::io;
use std::path::Path;

use rusqlite::Connection;

use super::database::Buffer;
use super::error::{BufferError, Result};
use super::facts::{COPIED_AT, MOVED_AT, fact, forget_fact, set_fact};
use super::rows::{first, only};
use super::sqlite::{WholeLock, check, copy, finish, open_reader};
use crate::event::Instant;
use crate::whole_file::{beside, folder, share_owner};

/// Endings of files that must not exist yet: the copy, SQLite's files beside it, and those beside its partial file.
const STALE: [&str; 7] = ["", "-wal", "-shm", "-journal", ".partial-wal", ".partial-shm", ".partial-journal"];

/// What to do with a buffer that is a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AfterRestore {
    /// Refuse it if a suite sends no event IDs, because repeated events would count twice.
    #[default]
    Ask,
    /// Drain it all the same.
    Accept,
}

impl Buffer {
    /// Copies the buffer to a new file while it is in use; fails once `goes_on` returns false. The copy is marked as
    /// a copy, because events that are delivered later stay pending in it.
    pub fn backup(&self, to: &Path, goes_on: &dyn Fn() -> bool) -> Result<()> {
        let copied_at = self.now();
        self.copy_to(to, goes_on, &|target| set_fact(target, COPIED_AT, copied_at.nanos()))
    }

    /// Moves the buffer into a new file, without the mark of a copy. First marks the original as moved, so that `open`
    /// refuses it; removes this mark if the new file cannot be made. The lock proves that no drain or backfill runs.
    pub fn move_to(&self, to: &Path, goes_on: &dyn Fn() -> bool, _lock: &WholeLock) -> Result<()> {
        let now = self.now().nanos();
        self.write(move |transaction| set_fact(transaction, MOVED_AT, now))?;
        self.copy_to(to, goes_on, &|target| forget_fact(target, MOVED_AT)).inspect_err(|_| {
            // If this fails too, the first error is the one to report.
            self.write(|transaction| forget_fact(transaction, MOVED_AT)).unwrap_or_default();
        })
    }

    fn copy_to(
        &self,
        to: &Path,
        goes_on: &dyn Fn() -> bool,
        mark: &dyn Fn(&Connection) -> Result<()>,
    ) -> Result<()> {
        // SQLite would read an old log or journal beside the copy into the copy.
        let mut stale = STALE.iter().map(|ending| beside(to, ending));
        if let Some(stale) = stale.find(|path| fs::symlink_metadata(path).is_ok()) {
            return Err(BufferError::Exists(stale));
        }
        // Until the copy is complete and marked, it has another name. So a crash leaves no copy without the mark.
        let copy = copy(&open_reader(self.path())?, to, goes_on)?;
        if fs::canonicalize(folder(to)).is_ok_and(|own| own == folder(self.path())) {
            share_owner(copy.file(), self.path()).map_err(BufferError::file(to))?;
        }
        finish(copy.partial(), |target| {
            mark(target)?;
            target.pragma_update(None, "journal_mode", "DELETE")?;
            check(target)
        })?;
        copy.place_new().map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => BufferError::Exists(to.to_owned()),
            _ => BufferError::file(to)(source),
        })
    }

    /// Fails if the buffer is a copy and repeats would count twice; `AfterRestore::Accept` removes the mark instead.
    pub fn accept_restored(&self, after_restore: AfterRestore) -> Result<()> {
        self.write(move |transaction| {
            let Some(copied_at) = fact(transaction, COPIED_AT)? else { return Ok(()) };
            if after_restore == AfterRestore::Accept {
                return forget_fact(transaction, COPIED_AT);
            }
            // Paused suites count too, because they are drained later. The mark stays until a person accepts the
            // copy, because a suite without event IDs may be added later.
            let select = "SELECT s.rsid FROM suites s JOIN forms f ON f.form = s.form
                 WHERE s.state <> 'retired' AND f.event_ids = 'off' ORDER BY s.rsid LIMIT 1";
            match first(transaction, select, [], only)? {
                None => Ok(()),
                Some(rsid) => Err(BufferError::Restored { copied_at: Instant::from_nanos(copied_at), rsid }),
            }
        })
    }
}
