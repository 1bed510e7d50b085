//! What the readers of sources remember between runs. It is stored in the same transaction as the events.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rusqlite::{Connection, Transaction};

use super::database::Buffer;
use super::error::{BufferError, Result};
use super::facts::{NEWEST_EXCHANGES, fact, make_secret, set_fact};
use super::forget::Forget;
use super::keys::InputId;
use super::rows::{all, changed, each, first, only, run};
use super::sqlite::open_reader;
use crate::event::{Instant, KindSet};
use crate::readers::esm;
use crate::readers::memory::{CountedMvpd, Feed, Memory, MemoryError, MemoryKey, MemoryRow};

/// A row stays at least a week after it was stored, even if its events are old: an old log may arrive over several
/// days, and its later parts need the rows of its earlier parts.
const STAYS_NANOS: i64 = 7 * 86_400_000_000_000;
/// How long an input of ESM reports can be taken back: as long as ESM's totals stay by default (`esm.dedup_days`).
const BEFORE_STAYS_NANOS: i64 = 400 * 86_400_000_000_000;
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

    fn feed(&mut self, requestor_id: &str) -> std::result::Result<Option<(Feed, String)>, MemoryError> {
        Ok(MemoryReader::feed(self, requestor_id)?)
    }

    fn counted(&mut self, hour: i64) -> std::result::Result<Vec<CountedMvpd>, MemoryError> {
        let select = "SELECT requestor_id, mvpd, sum(units_00 + units_15 + units_30 + units_45), sum(DISTINCT 1 << (slot - 1))
             FROM metric_counts JOIN metric_groups USING (metric_group) JOIN requestors USING (requestor)
             WHERE hour = ?1 GROUP BY requestor_id, mvpd ORDER BY requestor_id, mvpd";
        Ok(all(self.connection()?, select, [hour], |row| {
            let (requestor_id, mvpd, units) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(CountedMvpd { requestor_id, mvpd, units, kinds: KindSet(row.get(3)?) })
        })?)
    }
}

impl MemoryReader {
    /// The kind of feed of a requestor, and how its ID is spelled there; `None` before its first event.
    pub fn feed(&mut self, requestor_id: &str) -> Result<Option<(Feed, String)>> {
        feed_of(self.connection()?, requestor_id)
    }

    fn connection(&mut self) -> Result<&Connection> {
        Ok(match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(open_reader(&self.path)?),
        })
    }
}

/// The kind of feed of a requestor and the spelling of its ID: the given one, or else one with other capitals.
pub(super) fn feed_of(connection: &Connection, requestor_id: &str) -> Result<Option<(Feed, String)>> {
    let exact =
        "SELECT feed, requestor_id FROM feeds JOIN requestors USING (requestor) WHERE requestor_id = ?1";
    let any = "SELECT feed, requestor_id FROM requestors CROSS JOIN feeds USING (requestor)
         WHERE requestor_id = ?1 COLLATE NOCASE LIMIT 1";
    let ask = |select| first(connection, select, [requestor_id], |row| Ok((row.get(0)?, row.get(1)?)));
    ask(exact)?.map_or_else(|| ask(any), |found| Ok(Some(found)))
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

/// Stores what the reader of an input remembers, and keeps the old texts that are needed to take the input back.
pub(super) fn store(
    transaction: &Transaction<'_>,
    rows: &[MemoryRow],
    input: InputId,
    now: Instant,
) -> Result<()> {
    let earliest = now.nanos().saturating_add(STAYS_NANOS);
    let is_of_esm = |row: &MemoryRow| row.body.as_ref().is_some_and(|body| body.starts_with(esm::ROW_PREFIX));
    if !rows.iter().all(is_of_esm) {
        begin_exchanges(transaction, input)?;
    }
    let mut keep = transaction.prepare_cached(
        "INSERT OR IGNORE INTO source_memory_before (key, drops_at, body, input)
         SELECT key, drops_at, body, input FROM source_memory WHERE key = ?1 AND input IS NOT ?2",
    )?;
    let mut set = transaction.prepare_cached(
        "INSERT INTO source_memory (key, drops_at, body, input) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (key) DO UPDATE SET drops_at = excluded.drops_at, body = excluded.body, input = iif(?5, input, excluded.input)",
    )?;
    let mut forget = transaction.prepare_cached("DELETE FROM source_memory WHERE key = ?1")?;
    for row in rows {
        if let Some(body) = row.body.as_deref().filter(|body| body.starts_with(esm::ROW_PREFIX)) {
            let was = refuse_counted_meanwhile(transaction, &row.key.0, body)?;
            if let Some(was) = was.filter(|_| body[esm::ROW_PREFIX.len()..].starts_with(esm::LACKING)) {
                keep_before(transaction, (row.key, row.key), input, &was, now)?;
            }
        }
        // A row with an empty text is set only once, so it had no text before.
        if !is_of_esm(row) && row.body.as_deref() != Some("") {
            keep.execute((row.key.0, input))?;
        }
        let drops_at = row.drops_at.nanos().max(earliest);
        match &row.body {
            Some(body) => set.execute((row.key.0, drops_at, body, input, is_of_esm(row)))?,
            None => forget.execute([row.key.0])?,
        };
    }
    Ok(())
}

/// Forgets the rows that were kept for an earlier input. If inputs store rows alternately, none can be taken back.
fn begin_exchanges(transaction: &Transaction<'_>, input: InputId) -> Result<()> {
    let newest = fact(transaction, NEWEST_EXCHANGES)?.unwrap_or(0);
    if newest == input.0 {
        return Ok(());
    }
    run(transaction, "DELETE FROM source_memory_before", [])?;
    let is_newer = input.0 > newest.abs();
    set_fact(transaction, NEWEST_EXCHANGES, if is_newer { input.0 } else { -newest.abs() })
}

/// Lowers the total of an ESM count from `to` to `from`. Returns false if the total has grown since.
pub(super) fn lower_total(connection: &Connection, (key, from, to): (MemoryKey, u64, u64)) -> Result<bool> {
    let select = "SELECT body FROM source_memory WHERE key = ?1";
    let known: Option<String> = first(connection, select, [key.0], only)?;
    match known.as_deref().map(esm::counted_total) {
        // The total was dropped, because its time was over.
        None => return Ok(true),
        Some(total) if total != Some(to) => return Ok(false),
        Some(_) if from == 0 => run(connection, "DELETE FROM source_memory WHERE key = ?1", [key.0])?,
        Some(_) => {
            let update = "UPDATE source_memory SET body = ?2 WHERE key = ?1";
            run(connection, update, (key.0, format!("{}{from} {from}", esm::ROW_PREFIX)))?;
        }
    }
    Ok(true)
}

/// The stored row. Fails if another ingest has changed it since this ingest read the earlier counts of these reports.
fn refuse_counted_meanwhile(connection: &Connection, key: &[u8; 16], row: &str) -> Result<Option<String>> {
    let select = "SELECT body FROM source_memory WHERE key = ?1";
    let stored: Option<String> = first(connection, select, [key], only)?;
    if esm::follows_from(row, stored.as_deref()) { Ok(stored) } else { Err(BufferError::CountedMeanwhile) }
}

/// The key for the text that the row of `key` had before `input` changed it. Keys for later inputs sort behind.
fn before_key(key: MemoryKey, input: i64) -> [u8; 16] {
    let mut of_input = [0; 16];
    of_input[..8].copy_from_slice(&key.0[8..]);
    of_input[8..].copy_from_slice(&input.to_be_bytes());
    of_input
}

/// Whether this input was the first to store a row of ESM.
fn is_first(connection: &Connection, row: MemoryKey, input: InputId) -> Result<bool> {
    let select = "SELECT 1 FROM source_memory WHERE key = ?1 AND input = ?2";
    Ok(first::<i64>(connection, select, (row.0, input), only)?.is_some())
}

/// Keeps what ESM had stated before an input changes it; an empty text if ESM had stated nothing. Keeps nothing for the
/// input that first stored `row`, because before it, ESM had stated nothing.
pub(super) fn keep_before(
    connection: &Connection,
    (key, row): (MemoryKey, MemoryKey),
    input: InputId,
    was: &str,
    now: Instant,
) -> Result<()> {
    if is_first(connection, row, input)? {
        return Ok(());
    }
    let insert = "INSERT OR IGNORE INTO source_memory (key, drops_at, body, input) VALUES (?1, ?2, ?3, ?4)";
    let drops_at = now.nanos().saturating_add(BEFORE_STAYS_NANOS);
    run(connection, insert, (before_key(key, input.0), drops_at, format!("{}{was}", esm::BEFORE), input))
}

/// What ESM stated, without an input's change; `None` if the input changed nothing. `undo` takes the change out of a
/// text: it gets this text, and the texts before and after the change.
pub(super) fn without(
    connection: &Connection,
    (key, row): (MemoryKey, MemoryKey),
    input: InputId,
    stated: String,
    undo: impl Fn(&str, &str, &str) -> String,
) -> Result<Option<String>> {
    let own = before_key(key, input.0);
    let select = "SELECT key, substr(body, length(?3) + 1) AS was FROM source_memory WHERE key BETWEEN ?1 AND ?2 ORDER BY key";
    let changes: Vec<([u8; 16], String)> =
        all(connection, select, (own, before_key(key, i64::MAX), esm::BEFORE), |row| {
            Ok((row.get("key")?, row.get("was")?))
        })?;
    let (before, later) = match changes.split_first() {
        Some(((of_input, was), later)) if *of_input == own => (was.as_str(), later),
        _ if is_first(connection, row, input)? => ("", &changes[..]),
        _ => return Ok(None),
    };
    run(connection, "DELETE FROM source_memory WHERE key = ?1", [own])?;
    let after = later.first().map_or(&stated, |(_, was)| was);
    for (key, was) in later {
        let was = format!("{}{}", esm::BEFORE, undo(was, before, after));
        run(connection, "UPDATE source_memory SET body = ?2 WHERE key = ?1", (key, was))?;
    }
    Ok(Some(undo(&stated, before, after)))
}

/// Takes back an input's change of the row that says which columns the records of an hour lack.
pub(super) fn take_back_lacking(connection: &Connection, key: MemoryKey, input: InputId) -> Result<()> {
    let stated = first(connection, "SELECT body FROM source_memory WHERE key = ?1", [key.0], only)?;
    let Some(stated) = stated else { return Ok(()) };
    match without(connection, (key, key), input, stated, esm::lacking_without)? {
        None => Ok(()),
        Some(was) if esm::lacking(Some(&was)).is_empty() => {
            run(connection, "DELETE FROM source_memory WHERE key = ?1", [key.0])
        }
        Some(was) => run(connection, "UPDATE source_memory SET body = ?2 WHERE key = ?1", (key.0, was)),
    }
}

/// Deletes some of the rows whose time is over. Returns how many.
pub(super) fn drop_past(connection: &Connection, now: Instant) -> Result<u64> {
    let delete = "DELETE FROM source_memory WHERE key IN
             (SELECT key FROM source_memory WHERE drops_at < ?1 ORDER BY drops_at LIMIT ?2)";
    changed(connection, delete, (now, DROPPED_A_TRANSACTION))
}

/// Deletes the rows that are about a person. Returns how many.
pub(super) fn erase(transaction: &Transaction<'_>, forget: &Forget) -> Result<u64> {
    let found = rows_of(transaction, forget)?;
    for key in found.keys() {
        run(transaction, "DELETE FROM source_memory WHERE key = ?1", [key])?;
        run(transaction, "DELETE FROM source_memory_before WHERE key = ?1", [key])?;
    }
    Ok(found.len() as u64)
}

/// The rows that are about a person, by their keys.
pub(super) fn rows_of(connection: &Connection, whom: &Forget) -> Result<BTreeMap<[u8; 16], String>> {
    // The totals of ESM reports are about no person, but a number in them may look like an ID.
    let select = "SELECT key, body FROM source_memory WHERE body <> '' AND substr(body, 1, length(?1)) <> ?1
         UNION ALL SELECT key, body FROM source_memory_before WHERE body <> ''";
    let mut found = BTreeMap::new();
    each(connection, select, [esm::ROW_PREFIX], |row| {
        let body: String = row.get("body")?;
        if whom.concerns(&body) {
            found.insert(row.get("key")?, body);
        }
        Ok(())
    })?;
    Ok(found)
}
