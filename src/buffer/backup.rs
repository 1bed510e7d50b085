//! Online copies of a live buffer.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::Backup;

use super::{Buffer, BufferError};

/// Pages per step: 4 MiB, between which other processes write.
const PAGES_A_STEP: i32 = 1_000;

/// The fact that marks a copy: outcomes recorded in the original since then are not in it.
pub(super) const COPIED_AT: &str = "copied_at";

impl Buffer {
    /// Copies the buffer to a new file while it is in use. The copy knows that it is one: what was delivered after it
    /// looks pending in it.
    pub fn backup(&self, to: &Path) -> Result<(), BufferError> {
        if to.exists() {
            return Err(BufferError::Exists(to.to_owned()));
        }
        let source = super::connection::open_reader(self)?;
        copy(&source, to)?;
        let copied_at = self.clock.now().nanos();
        let target = Connection::open(to)?;
        target
            .execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?1, ?2)", (COPIED_AT, copied_at))?;
        target.pragma_update(None, "journal_mode", "DELETE")?;
        Ok(())
    }

    /// When this buffer was copied from another, if no drain has accepted that yet.
    pub fn copied_at(&self) -> Result<Option<crate::event::Instant>, BufferError> {
        self.call(|connection| {
            Ok(super::runs::fact(connection, COPIED_AT)?.map(crate::event::Instant::from_nanos))
        })
    }

    /// Accepts that this buffer is a copy, and that what the original delivered since may be sent again.
    pub fn accept_copy(&self) -> Result<(), BufferError> {
        self.call(|connection| {
            connection.execute("DELETE FROM facts WHERE name = ?1", [COPIED_AT])?;
            Ok(())
        })
    }
}

/// Copies every page; fails where the target exists with content.
pub(super) fn copy(source: &Connection, to: &Path) -> Result<(), BufferError> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(to)
        .map_err(|source| BufferError::File { path: to.to_owned(), source })?;
    let mut target = Connection::open(to)?;
    Backup::new(source, &mut target)?.run_to_completion(PAGES_A_STEP, Duration::ZERO, None)?;
    Ok(())
}
