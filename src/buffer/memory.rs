//! What the readers of sources remember between runs. It is stored in the same transaction as the events.

use std::path::PathBuf;

use rusqlite::{Connection, Transaction};

use super::database::Buffer;
use super::error::{BufferError, Result};
use super::facts::make_secret;
use super::forget::Forget;
use super::rows::{changed, each, first, only, run};
use super::sqlite::open_reader;
use crate::event::Instant;
use crate::readers::esm;
use crate::readers::memory::{Feed, Memory, MemoryError, MemoryKey, MemoryRow};

/// A row stays at least a week after it was stored. An old log may arrive over several days, and its rows
/// must not be dropped at once because its events are old.
const STAYS_NANOS: i64 = 7 * 86_400_000_000_000;
/// Rows dropped in one transaction of retention.
const DROPPED_A_TRANSACTION: u64 = 10_000;

/// Looks up rows on its own connection, which is opened at the first look-up: most sources remember nothing.
#[derive(Debug)]
pub struct MemoryReader {
    path: PathBuf,
    connection: Option<Connection>,
}

impl Memory for MemoryReader {
    fn recall(&mut self, key: MemoryKey) -> std::result::Result<Option<String>, MemoryError> {
        Ok(first(self.connection()?, "SELECT body FROM source_memory WHERE key = ?1", [key.0], only)?)
    }

    fn feed(&mut self, requestor_id: &str) -> std::result::Result<Option<Feed>, MemoryError> {
        Ok(MemoryReader::feed(self, requestor_id)?)
    }
}

impl MemoryReader {
    /// The kind of feed of a requestor; `None` before its first event.
    pub fn feed(&mut self, requestor_id: &str) -> Result<Option<Feed>> {
        let select = "SELECT feed FROM feeds JOIN requestors USING (requestor) WHERE requestor_id = ?1";
        first(self.connection()?, select, [requestor_id], only)
    }

    fn connection(&mut self) -> Result<&Connection> {
        Ok(match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(open_reader(&self.path)?),
        })
    }
}

impl Buffer {
    pub fn memory(&self) -> MemoryReader {
        MemoryReader { path: self.path().to_owned(), connection: None }
    }

    /// The key for the digests that readers and rejects use. It is made at the first call and never changes.
    pub fn source_secret(&self) -> Result<[u8; 32]> {
        self.write(|transaction| {
            let select = "SELECT value FROM secrets WHERE name = 'source'";
            let known = first(transaction, select, [], only)?;
            known.map_or_else(|| make_secret(transaction, "source"), Ok)
        })
    }
}

pub(super) fn store(transaction: &Transaction<'_>, rows: &[MemoryRow], now: Instant) -> Result<()> {
    let earliest = now.nanos().saturating_add(STAYS_NANOS);
    let mut set = transaction.prepare_cached(
        "INSERT INTO source_memory (key, drops_at, body) VALUES (?1, ?2, ?3)
         ON CONFLICT (key) DO UPDATE SET drops_at = excluded.drops_at, body = excluded.body",
    )?;
    let mut forget = transaction.prepare_cached("DELETE FROM source_memory WHERE key = ?1")?;
    for row in rows {
        if let Some(body) = row.body.as_deref().filter(|body| body.starts_with(esm::ROW_PREFIX)) {
            refuse_counted_meanwhile(transaction, &row.key.0, body)?;
        }
        match &row.body {
            Some(body) => set.execute((row.key.0, row.drops_at.nanos().max(earliest), body))?,
            None => forget.execute([row.key.0])?,
        };
    }
    Ok(())
}

/// Fails if another ingest has stored counts of the same ESM reports since this ingest read the earlier counts.
fn refuse_counted_meanwhile(connection: &Connection, key: &[u8; 16], row: &str) -> Result<()> {
    let select = "SELECT body FROM source_memory WHERE key = ?1";
    let stored: Option<String> = first(connection, select, [key], only)?;
    if esm::follows_from(row, stored.as_deref()) { Ok(()) } else { Err(BufferError::CountedMeanwhile) }
}

/// Deletes some of the rows whose time is over. Returns how many.
pub(super) fn drop_past(connection: &Connection, now: Instant) -> Result<u64> {
    let delete = "DELETE FROM source_memory WHERE key IN
             (SELECT key FROM source_memory WHERE drops_at < ?1 ORDER BY drops_at LIMIT ?2)";
    changed(connection, delete, (now, DROPPED_A_TRANSACTION))
}

/// Deletes the rows that are about a person. Returns how many.
pub(super) fn erase(transaction: &Transaction<'_>, forget: &Forget) -> Result<u64> {
    // The totals of ESM reports are about no person, but a number in them may look like an ID.
    let select = "SELECT key, body FROM source_memory WHERE body <> '' AND substr(body, 1, length(?1)) <> ?1";
    let mut found: Vec<[u8; 16]> = Vec::new();
    each(transaction, select, [esm::ROW_PREFIX], |row| {
        if forget.concerns(&row.get::<_, String>("body")?) {
            found.push(row.get("key")?);
        }
        Ok(())
    })?;
    for key in &found {
        run(transaction, "DELETE FROM source_memory WHERE key = ?1", [key])?;
    }
    Ok(found.len() as u64)
}
