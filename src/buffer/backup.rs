//! Online copies of a live buffer.

use std::path::{Path, PathBuf};
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
        let source = super::connection::open_reader(self.path())?;
        let copied_at = self.clock.now().nanos();
        // Until it is whole and marked it has another name, so that a crash leaves no copy that passes for the original.
        let mut name = to.as_os_str().to_owned();
        name.push(".partial");
        let partial = PathBuf::from(name);
        copy(&source, &partial)?;
        let target = Connection::open(&partial)?;
        target
            .execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?1, ?2)", (COPIED_AT, copied_at))?;
        target.pragma_update(None, "journal_mode", "DELETE")?;
        drop(target);
        let failed = |source| BufferError::File { path: to.to_owned(), source };
        std::fs::hard_link(&partial, to).map_err(failed)?;
        std::fs::remove_file(&partial).map_err(failed)
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

/// Copies every page into a new file, or over an old one.
pub(super) fn copy(source: &Connection, to: &Path) -> Result<(), BufferError> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(to)
        .map_err(|source| BufferError::File { path: to.to_owned(), source })?;
    // One snapshot for the whole copy: a step that opens its own begins anew whenever another connection commits.
    let snapshot = source.unchecked_transaction()?;
    snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let mut target = Connection::open(to)?;
    Backup::new(&snapshot, &mut target)?.run_to_completion(PAGES_A_STEP, Duration::ZERO, None)?;
    Ok(())
}
