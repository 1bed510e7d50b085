//! The files of backfills by bulk: which events are in which, and what became of them.
//!
//! A file is on record before its first byte is sent, and its events wait with it. Once its answer is known the file is
//! `received`, and its rows are settled some thousands a transaction, so that live recording never waits long.

use std::collections::HashSet;
use std::path::PathBuf;

use rusqlite::{OptionalExtension, Row, Transaction, TransactionBehavior};

use super::ledger::Postings;
use super::outcomes::{self, Delivered};
use super::suites::FormKey;
use super::{Buffer, BufferError, JobKey, RunId, events};
use crate::delivery::{DeadReason, Doubt, Sequence};
use crate::event::Instant;
use crate::hit::VisitorKey;

/// Events settled in one transaction: some 20 milliseconds.
const SETTLED_A_TRANSACTION: i64 = 2_000;

/// The number of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BulkFileId(i64);

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBulkFile {
    pub job: JobKey,
    /// The visitor group that it goes to.
    pub visitor_group: String,
    /// The digest of its rows.
    pub key: String,
    pub path: PathBuf,
    /// Its rows, without the header.
    pub rows: u64,
    pub bytes: u64,
}

/// An event of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FiledEvent {
    pub sequence: Sequence,
    /// How many rows it has.
    pub rows: u32,
    /// The form of its rows.
    pub form: FormKey,
    pub visitor: VisitorKey,
}

/// A file on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkFile {
    pub id: BulkFileId,
    pub file: NewBulkFile,
}

/// How far a file is that is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkFileState {
    Written,
    /// Its answer is not known.
    Sent,
    /// It is in, but nobody can name this many of the rows that were refused.
    Stuck {
        unnamed: u64,
    },
    /// It is in, and its rows are being settled.
    Received,
}

/// What the answer to a file says: it is in, save some rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The rows that were refused, as far as they are named.
    pub refused: Vec<RefusedRow>,
    pub unnamed: u64,
    /// Whether a person has to decide about those.
    pub is_stuck: bool,
    /// Whether only a look-up says that it is in: then nobody knows whether rows were refused.
    pub is_looked_up: bool,
}

/// A row that Adobe refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// Its number in the file, from 1.
    pub row: u64,
    pub reason: DeadReason,
}

impl Buffer {
    /// Puts a file on record, with its events in the order of their rows.
    pub fn file_written(
        &self,
        file: NewBulkFile,
        events: Vec<FiledEvent>,
    ) -> Result<BulkFileId, BufferError> {
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute(
                "INSERT INTO bulk_files (job, visitor_group, key, path, rows, bytes, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'written')",
                (
                    file.job.number(),
                    &file.visitor_group,
                    &file.key,
                    file.path.to_string_lossy(),
                    file.rows as i64,
                    file.bytes as i64,
                ),
            )?;
            let id = transaction.last_insert_rowid();
            let mut row = 1;
            for event in &events {
                transaction
                    .prepare_cached(
                        "INSERT INTO bulk_rows (seq, file, row, rows, form, visitor) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    )?
                    .execute((event.sequence.0, id, row, event.rows, event.form.0, event.visitor.0 as i64))?;
                row += i64::from(event.rows);
            }
            transaction.commit()?;
            Ok(BulkFileId(id))
        })
    }

    /// Remembers that a file is about to be sent. Durable before its first byte.
    pub fn file_sent(&self, file: BulkFileId) -> Result<(), BufferError> {
        let now = self.clock.now();
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute(
                "UPDATE bulk_files SET state = 'sent', sent_at = ?2 WHERE file = ?1",
                (file.0, now.nanos()),
            )?;
            transaction.execute(
                "INSERT OR REPLACE INTO bulk_groups (visitor_group, sent_at, rows)
                 SELECT visitor_group, sent_at, rows FROM bulk_files WHERE file = ?1",
                [file.0],
            )?;
            Ok(transaction.commit()?)
        })
    }

    /// Records the answer to a file.
    pub fn file_received(&self, file: BulkFileId, received: Received) -> Result<(), BufferError> {
        self.call(move |connection| {
            let Received { refused, unnamed, is_stuck, is_looked_up } = received;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for refused in &refused {
                transaction
                    .prepare_cached(
                        "UPDATE bulk_rows SET reason = ?3, refused = refused + 1
                         WHERE file = ?1 AND row <= ?2 AND row + rows > ?2",
                    )?
                    .execute((file.0, refused.row as i64, refused.reason.code()))?;
            }
            transaction.execute(
                "UPDATE bulk_files SET state = ?2, invalid_rows = ?3, unnamed_rows = ?4, is_looked_up = ?5 WHERE file = ?1",
                (
                    file.0,
                    if is_stuck { "stuck" } else { "received" },
                    refused.len() as i64 + unnamed as i64,
                    unnamed as i64,
                    is_looked_up,
                ),
            )?;
            Ok(transaction.commit()?)
        })
    }

    /// Gives the events of a received file their outcome; does the rest where that was cut off before. Gives how many were
    /// delivered, and how many are dead. The file stays open until [`Buffer::file_done`].
    pub fn settle_file(&self, run: RunId, file: BulkFileId) -> Result<(u64, u64), BufferError> {
        let now = self.clock.now();
        let (mut delivered, mut dead) = (0, 0);
        loop {
            let (rows, refused) = self.call(move |connection| {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let settled = settle(&transaction, run, file, now)?;
                transaction.commit()?;
                Ok(settled)
            })?;
            if rows == 0 {
                return Ok((delivered, dead));
            }
            delivered += rows - refused;
            dead += refused;
        }
    }

    /// Closes a file whose events have their outcome, once it is gone from its folder, or is to stay there.
    pub fn file_done(&self, file: BulkFileId) -> Result<(), BufferError> {
        self.call(move |connection| {
            connection.execute("UPDATE bulk_files SET state = 'done' WHERE file = ?1", [file.0])?;
            Ok(())
        })
    }

    /// Strikes a file off the record of which nothing went in; its events wait as before.
    pub fn release_file(&self, file: BulkFileId) -> Result<(), BufferError> {
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute("DELETE FROM bulk_rows WHERE file = ?1", [file.0])?;
            transaction.execute("DELETE FROM bulk_files WHERE file = ?1", [file.0])?;
            Ok(transaction.commit()?)
        })
    }

    /// The files of all backfills that are not done, in the order of writing, and how far each is.
    pub fn open_files(&self) -> Result<Vec<(BulkFile, BulkFileState)>, BufferError> {
        self.call(move |connection| {
            let mut statement = connection.prepare(
                "SELECT file, visitor_group, key, path, rows, bytes, state, unnamed_rows, job FROM bulk_files
                 WHERE state <> 'done' ORDER BY file",
            )?;
            let rows = statement.query_map([], bulk_file)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Where the files of a backfill lie, or lay.
    pub fn bulk_paths(&self, job: JobKey) -> Result<HashSet<PathBuf>, BufferError> {
        self.call(move |connection| {
            let mut statement = connection.prepare("SELECT path FROM bulk_files WHERE job = ?1")?;
            let rows =
                statement.query_map([job.number()], |row| row.get::<_, String>(0).map(PathBuf::from))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Takes files back that were never sent, and deletes them. Refuses where one was sent whose rows are not settled.
    pub(super) fn withdraw_files(&self) -> Result<(), BufferError> {
        let open = self.call(|connection| {
            let mut statement = connection.prepare(
                "SELECT f.file, f.path, f.state <> 'written', j.name FROM bulk_files f JOIN jobs j ON j.job = f.job
                 WHERE f.state <> 'done'",
            )?;
            let rows = statement.query_map([], |row| {
                Ok((BulkFileId(row.get(0)?), row.get::<_, String>(1)?, row.get::<_, bool>(2)?, row.get::<_, String>(3)?))
            })?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })?;
        if let Some((_, _, _, name)) = open.iter().find(|(_, _, is_sent, _)| *is_sent) {
            return Err(BufferError::FilesUnderWay(name.clone()));
        }
        for (file, path, ..) in open {
            let path = PathBuf::from(path);
            match std::fs::remove_file(&path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(BufferError::File { path, source });
                }
                Ok(()) | Err(_) => {}
            }
            self.release_file(file)?;
        }
        Ok(())
    }

    /// When an upload of a visitor group last began, by any backfill, and of how many rows.
    pub fn group_sent_at(&self, visitor_group: &str) -> Result<Option<(Instant, u64)>, BufferError> {
        let visitor_group = visitor_group.to_owned();
        self.call(move |connection| {
            let found: Option<(i64, i64)> = connection
                .query_row(
                    "SELECT sent_at, rows FROM bulk_groups WHERE visitor_group = ?1",
                    [visitor_group],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            Ok(found.map(|(sent_at, rows)| (Instant::from_nanos(sent_at), rows as u64)))
        })
    }

    /// How many events a file holds, and whether its suite may be sent to.
    pub fn file_events(&self, file: BulkFileId) -> Result<(u64, bool), BufferError> {
        self.call(move |connection| {
            let found: (i64, Option<bool>) = connection.query_row(
                "SELECT count(*), max(s.state = 'active' AND s.blocked IS NULL) FROM bulk_rows b JOIN forms f ON f.form = b.form
                 LEFT JOIN suites s ON s.rsid = f.rsid WHERE b.file = ?1",
                [file.0],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            Ok((found.0 as u64, found.1.unwrap_or(false)))
        })
    }
}

fn bulk_file(row: &Row<'_>) -> rusqlite::Result<(BulkFile, BulkFileState)> {
    let state: String = row.get(6)?;
    let file = NewBulkFile {
        job: JobKey(row.get(8)?),
        visitor_group: row.get(1)?,
        key: row.get(2)?,
        path: PathBuf::from(row.get::<_, String>(3)?),
        rows: row.get::<_, i64>(4)? as u64,
        bytes: row.get::<_, i64>(5)? as u64,
    };
    let state = match state.as_str() {
        "written" => BulkFileState::Written,
        "received" => BulkFileState::Received,
        "stuck" => BulkFileState::Stuck { unnamed: row.get::<_, i64>(7)? as u64 },
        _ => BulkFileState::Sent,
    };
    Ok((BulkFile { id: BulkFileId(row.get(0)?), file }, state))
}

/// Settles some events of a file: how many, and how many of them are dead.
fn settle(
    transaction: &Transaction<'_>,
    run: RunId,
    file: BulkFileId,
    at: Instant,
) -> Result<(u64, u64), BufferError> {
    let rows = transaction
        .prepare_cached(
            "SELECT seq, form, visitor, reason, refused, rows FROM bulk_rows WHERE file = ?1 ORDER BY row LIMIT ?2",
        )?
        .query_map((file.0, SETTLED_A_TRANSACTION), |row| {
            let visitor = VisitorKey(row.get::<_, i64>(2)? as u64);
            let reason = row.get::<_, Option<String>>(3)?.map(|code| DeadReason::from_code(&code));
            let rows = (row.get::<_, u32>(4)?, row.get::<_, u32>(5)?);
            Ok((Sequence(row.get(0)?), FormKey(row.get(1)?), visitor, reason, rows))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let mut postings = Postings::default();
    let mut refused = 0;
    for (sequence, form, visitor, reason, (refused_rows, all_rows)) in &rows {
        transaction.prepare_cached("DELETE FROM bulk_rows WHERE seq = ?1")?.execute([sequence.0])?;
        let Some(event) = events::reference(transaction, *sequence)? else { continue };
        match reason {
            None => {
                let delivered = Delivered { event, visitor: *visitor, at };
                outcomes::record_delivered(transaction, run, &delivered, &mut postings)?;
            }
            Some(reason) => {
                if refused_rows < all_rows {
                    // The others counted, and a requeue would repeat them.
                    let (counted, of) = ((all_rows - refused_rows) as usize, *all_rows as usize);
                    outcomes::record_doubt(
                        transaction,
                        &event,
                        *form,
                        &Doubt::SomeCounted { counted, of },
                        at,
                    )?;
                }
                outcomes::record_dead(transaction, run, &event, *form, reason, at, &mut postings)?;
                refused += 1;
            }
        }
    }
    postings.apply(transaction)?;
    Ok((rows.len() as u64, refused))
}
