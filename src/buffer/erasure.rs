//! Erasure at a person's request: deletes the person's events, inbox rows and rows of readers' memory. Tombstones of
//! the events stay. The metrics keep the units, and a random digest replaces the person's digest.

use std::collections::BTreeSet;

use rusqlite::{Connection, Transaction};
use serde::Serialize;

use super::database::Buffer;
use super::error::{BufferError, Result};
use super::forget::Forget;
use super::ledger::{Postings, Term, count_in_job};
use super::memory;
use super::metrics::{self, Withdrawals};
use super::restore::remove_copies;
use super::rows::{each, json_list, read_event, run};
use super::sqlite::WholeLock;
use super::states::take;
use super::tombstones::{bury, day_of_burial, remember_over_counts};
use crate::delivery::Sequence;
use crate::event::{Instant, MeasureOf};

/// Events erased in one transaction.
const ERASED_A_TRANSACTION: usize = 1_000;

/// The kind of a text that the buffer holds of a person, and the text.
type HeldText = (&'static str, String);

/// What was erased.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Forgotten {
    pub events: u64,
    pub inbox_rows: u64,
    /// Rows that readers of sources had remembered: profiles, and logins under way.
    pub memory_rows: u64,
    /// The person's digests that were replaced in the metrics.
    pub metric_digests: u64,
    /// The MVPDs of the events, as the events spell them.
    pub mvpds: BTreeSet<String>,
}

impl Buffer {
    /// Erases the person from the database file and its log. Withdraws unsent bulk files; fails if a sent file is open.
    /// Needs as much free disk space as the database file has, there and again in SQLite's folder of temporary files.
    /// The lock proves that no drain or backfill runs.
    pub fn forget(&self, forget: &Forget, _lock: &WholeLock) -> Result<Forgotten> {
        self.withdraw_files()?;
        let (found, mvpds) = self.read(|connection| find(connection, forget))?;
        let mut forgotten = Forgotten { mvpds, ..Forgotten::default() };
        // The metrics come first, because only the events tell whose digests to replace. After an interruption the
        // next try still finds the events.
        let people = self.read(|connection| metrics::people_of(connection, forget, &found, self.measure))?;
        forgotten.metric_digests = self.write(move |transaction| metrics::forget(transaction, &people))?;
        let (now, measure) = (self.now(), self.measure);
        for chunk in found.chunks(ERASED_A_TRANSACTION) {
            let chunk = chunk.to_vec();
            forgotten.events += self.write(move |transaction| erase(transaction, &chunk, now, measure))?;
        }
        let whom = forget.clone();
        (forgotten.inbox_rows, forgotten.memory_rows) = self.write(move |transaction| {
            Ok((erase_inbox(transaction, &whom)?, memory::erase(transaction, &whom)?))
        })?;
        self.on_thread(|connection| rewrite(connection))?;
        Ok(forgotten)
    }

    /// What [`Buffer::forget`] would erase. Erases in a transaction, and rolls it back.
    pub fn count_to_forget(&self, forget: &Forget) -> Result<Forgotten> {
        let (found, mvpds) = self.read(|connection| find(connection, forget))?;
        let people = self.read(|connection| metrics::people_of(connection, forget, &found, self.measure))?;
        let (now, measure, whom) = (self.now(), self.measure, forget.clone());
        self.on_thread(move |connection| {
            let transaction = connection.transaction()?;
            let metric_digests = metrics::forget(&transaction, &people)?;
            let events = erase(&transaction, &found, now, measure)?;
            let (inbox_rows, memory_rows) =
                (erase_inbox(&transaction, &whom)?, memory::erase(&transaction, &whom)?);
            transaction.rollback()?;
            Ok(Forgotten { events, inbox_rows, memory_rows, metric_digests, mvpds })
        })
    }

    /// What the buffer holds of a person, as [`Buffer::forget`] finds it: events, and texts of other rows, by kind.
    pub fn held_of(&self, whom: &Forget) -> Result<(Vec<Sequence>, Vec<HeldText>)> {
        self.read(|connection| {
            let inbox = inbox_of(connection, whom)?.into_iter().map(|(_, body)| ("inbox_row", body));
            let memory = memory::rows_of(connection, whom)?.into_values().map(|body| ("memory_row", body));
            Ok((find(connection, whom)?.0, inbox.chain(memory).collect()))
        })
    }

    /// Deletes the copies that upgrades and restores made: they hold everybody's events. Returns how many.
    pub fn forget_copies(&self, _lock: &WholeLock) -> Result<u64> {
        remove_copies(self.path())
    }
}

/// Rewrites the file and empties the log. Until then, deleted bytes stay in free pages and in the log.
fn rewrite(connection: &Connection) -> Result<()> {
    // VACUUM makes a copy as large as the buffer, so the copy is made on disk and not in memory.
    connection.execute_batch("PRAGMA temp_store = FILE; VACUUM; PRAGMA temp_store = MEMORY;")?;
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy == 0 {
        return Ok(());
    }
    let why = "the write-ahead log is in use by another process: run the same command again";
    let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    Err(BufferError::Sqlite(rusqlite::Error::SqliteFailure(busy, Some(why.to_owned()))))
}

/// The events of the person, and the MVPDs that they name.
fn find(connection: &Connection, forget: &Forget) -> Result<(Vec<Sequence>, BTreeSet<String>)> {
    let (property, ..) = forget.wanted();
    // Other characters may enclose an ID. So this searches for a part of the text and finds too much; `is_of` decides.
    let select =
        "SELECT seq, body ->> ?1 AS id, body ->> 'mvpd' AS mvpd FROM events WHERE instr(body ->> ?1, ?2) > 0";
    let (mut found, mut mvpds) = (Vec::new(), BTreeSet::new());
    each(connection, select, (property.name(), forget.needle()), |row| {
        let mvpd: Option<String> = row.get("mvpd")?;
        if forget.is_of(&row.get::<_, String>("id")?, mvpd.as_deref()) {
            found.push(row.get("seq")?);
            mvpds.extend(mvpd);
        }
        Ok(())
    })?;
    Ok((found, mvpds))
}

fn erase(connection: &Connection, sequences: &[Sequence], now: Instant, measure: MeasureOf) -> Result<u64> {
    let mut postings = Postings::default();
    let mut withdrawals = Withdrawals::new(measure);
    let mut delivered = Vec::new();
    remember_over_counts(connection, sequences)?;
    for sequence in sequences {
        let stored = read_event(connection, *sequence)?;
        let reference = stored.reference;
        let mut from = Term::Delivered;
        for term in [Term::Pending, Term::Dead, Term::Held, Term::Discarded] {
            if take(connection, &reference, term)? {
                from = term;
                break;
            }
        }
        if from == Term::Delivered {
            delivered.push(*sequence);
        } else {
            withdrawals.add(connection, &stored)?;
        }
        count_in_job(connection, reference.job, -1)?;
        postings.shift(&reference, from, Term::Erased);
    }
    let silence = "UPDATE identities SET content = NULL
         WHERE id IN (SELECT id FROM events WHERE seq IN (SELECT value FROM json_each(?1)))";
    run(connection, silence, [json_list(sequences)])?;
    bury(connection, sequences, day_of_burial(connection, now)?)?;
    // To find a delivery, SQLite reads all deliveries. So one statement deletes the deliveries of all these events.
    let list = json_list(&delivered);
    run(connection, "DELETE FROM delivered WHERE seq IN (SELECT value FROM json_each(?1))", [list])?;
    postings.apply(connection)?;
    withdrawals.apply(connection)?;
    Ok(sequences.len() as u64)
}

fn erase_inbox(transaction: &Transaction<'_>, forget: &Forget) -> Result<u64> {
    let found = inbox_of(transaction, forget)?;
    for (rowid, _) in &found {
        run(transaction, "DELETE FROM inbox WHERE rowid = ?1", [rowid])?;
    }
    Ok(found.len() as u64)
}

fn inbox_of(connection: &Connection, whom: &Forget) -> Result<Vec<(i64, String)>> {
    let select = "SELECT rowid, CAST(coalesce(body, '') AS BLOB) AS body FROM inbox";
    let mut found = Vec::new();
    each(connection, select, [], |row| {
        let body = String::from_utf8_lossy(row.get_ref("body")?.as_blob().map_err(rusqlite::Error::from)?);
        if whom.is_of_row(&body) {
            found.push((row.get("rowid")?, body.into_owned()));
        }
        Ok(())
    })?;
    Ok(found)
}
