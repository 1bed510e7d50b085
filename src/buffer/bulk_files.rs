//! The files of backfills by bulk: which events are in which, and what became of them.
//!
//! A file is on record before its first byte is sent, and its events wait with it. Once its answer is known the file is
//! `received`, and its rows are settled some thousands a transaction, so that live recording never waits long.

use std::collections::HashSet;
use std::path::PathBuf;

use rusqlite::{Row, Transaction};

use super::database::Buffer;
use super::error::{BufferError, Result};
use super::keys::{BulkFileId, FormKey, JobKey, RunId};
use super::ledger::Term;
use super::rows::{all, from_row, reference, run};
use super::sqlite::remove_if_there;
use super::states::{Moves, To, doubt, release};
use crate::delivery::{DeadReason, Doubt, Sequence};
use crate::event::Instant;
use crate::hit::VisitorKey;

/// Events settled in one transaction: some 20 milliseconds.
const SETTLED_A_TRANSACTION: usize = 2_000;

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBulkFile {
    pub job: JobKey,
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
    pub rows: u32,
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
    pub fn file_written(&self, file: NewBulkFile, events: Vec<FiledEvent>) -> Result<BulkFileId> {
        self.write(move |transaction| {
            let NewBulkFile { job, visitor_group, key, path, rows, bytes } = file;
            let change = "INSERT INTO bulk_files (job, visitor_group, key, path, rows, bytes, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'written')";
            run(transaction, change, (job, visitor_group, key, path.to_string_lossy(), rows, bytes))?;
            let id = BulkFileId(transaction.last_insert_rowid());
            let mut number = 1;
            for FiledEvent { sequence, rows, form, visitor } in events {
                run(
                    transaction,
                    "INSERT INTO bulk_rows (seq, file, row, rows, form, visitor) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    (sequence, id, number, rows, form, visitor),
                )?;
                number += i64::from(rows);
            }
            Ok(id)
        })
    }

    /// Remembers that a file is about to be sent. Durable before its first byte.
    pub fn file_sent(&self, file: BulkFileId) -> Result<()> {
        let now = self.now();
        self.write(move |transaction| {
            let update = "UPDATE bulk_files SET state = 'sent', sent_at = ?2 WHERE file = ?1";
            run(transaction, update, (file, now))?;
            let change = "INSERT OR REPLACE INTO bulk_groups (visitor_group, sent_at, rows)
                 SELECT visitor_group, sent_at, rows FROM bulk_files WHERE file = ?1";
            run(transaction, change, [file])
        })
    }

    pub fn file_received(&self, file: BulkFileId, received: Received) -> Result<()> {
        self.write(move |transaction| {
            let Received { refused, unnamed, is_stuck, is_looked_up } = received;
            for RefusedRow { row, reason } in &refused {
                let change = "UPDATE bulk_rows SET reason = ?3, refused = refused + 1
                     WHERE file = ?1 AND row <= ?2 AND row + rows > ?2";
                run(transaction, change, (file, row, reason))?;
            }
            let state = if is_stuck { "stuck" } else { "received" };
            let invalid = refused.len() as u64 + unnamed;
            run(
                transaction,
                "UPDATE bulk_files SET state = ?2, invalid_rows = ?3, unnamed_rows = ?4, is_looked_up = ?5 WHERE file = ?1",
                (file, state, invalid, unnamed, is_looked_up),
            )
        })
    }

    /// Gives the events of a received file their outcome; does the rest where that was cut off before. Gives how many were
    /// delivered, and how many are dead. The file stays open until [`Buffer::file_done`].
    pub fn settle_file(&self, run: RunId, file: BulkFileId) -> Result<(u64, u64)> {
        let now = self.now();
        let (mut delivered, mut dead) = (0, 0);
        loop {
            let (rows, refused) = self.write(move |transaction| settle(transaction, run, file, now))?;
            if rows == 0 {
                return Ok((delivered, dead));
            }
            delivered += rows - refused;
            dead += refused;
        }
    }

    /// Closes a file whose events have their outcome, once it is gone from its folder, or is to stay there.
    pub fn file_done(&self, file: BulkFileId) -> Result<()> {
        self.change("UPDATE bulk_files SET state = 'done' WHERE file = ?1", [file])
    }

    /// Strikes a file off the record of which nothing went in; its events wait as before.
    pub fn release_file(&self, file: BulkFileId) -> Result<()> {
        self.write(move |transaction| {
            run(transaction, "DELETE FROM bulk_rows WHERE file = ?1", [file])?;
            run(transaction, "DELETE FROM bulk_files WHERE file = ?1", [file])
        })
    }

    /// The files of all backfills that are not done, in the order of writing, and how far each is.
    pub fn open_files(&self) -> Result<Vec<(BulkFile, BulkFileState)>> {
        let select =
            "SELECT file, visitor_group, key, path, rows, bytes, state, unnamed_rows, job FROM bulk_files
             WHERE state <> 'done' ORDER BY file";
        self.all(select, [], bulk_file)
    }

    /// Where the files of a backfill lie, or lay.
    pub fn bulk_paths(&self, job: JobKey) -> Result<HashSet<PathBuf>> {
        let select = "SELECT path FROM bulk_files WHERE job = ?1";
        self.all(select, [job], |row| Ok(row.get::<_, String>("path")?.into()))
    }

    /// Takes files back that were never sent, and deletes them. Refuses where one was sent whose rows are not settled.
    pub(super) fn withdraw_files(&self) -> Result<()> {
        let open = self.open_files()?;
        if let Some((sent, _)) = open.iter().find(|(_, state)| *state != BulkFileState::Written) {
            let name = "SELECT name FROM jobs WHERE job = ?1";
            return Err(BufferError::FilesUnderWay(self.value(name, [sent.file.job])?));
        }
        for (BulkFile { id, file }, _) in open {
            remove_if_there(&file.path).map_err(BufferError::file(&file.path))?;
            self.release_file(id)?;
        }
        Ok(())
    }

    /// When an upload of a visitor group last began, by any backfill, and of how many rows.
    pub fn group_sent_at(&self, visitor_group: &str) -> Result<Option<(Instant, u64)>> {
        let select = "SELECT sent_at, rows FROM bulk_groups WHERE visitor_group = ?1";
        self.first(select, [visitor_group], |row| Ok((row.get("sent_at")?, row.get("rows")?)))
    }

    /// How many events a file holds, and whether its suite may be sent to.
    pub fn file_events(&self, file: BulkFileId) -> Result<(u64, bool)> {
        let select = "SELECT count(*) AS events, coalesce(max(s.state = 'active' AND s.blocked IS NULL), 0) AS flows
             FROM bulk_rows b JOIN forms f ON f.form = b.form LEFT JOIN suites s ON s.rsid = f.rsid WHERE b.file = ?1";
        let found = self.first(select, [file], |row| Ok((row.get("events")?, row.get("flows")?)))?;
        Ok(found.unwrap_or_default())
    }
}

fn bulk_file(row: &Row<'_>) -> Result<(BulkFile, BulkFileState)> {
    let path = PathBuf::from(row.get::<_, String>("path")?);
    let file = from_row!(row, NewBulkFile { job, visitor_group, key, rows, bytes }, path: path);
    let state = match row.get_ref("state")?.as_str().unwrap_or_default() {
        "written" => BulkFileState::Written,
        "received" => BulkFileState::Received,
        "stuck" => BulkFileState::Stuck { unnamed: row.get("unnamed_rows")? },
        _ => BulkFileState::Sent,
    };
    Ok((BulkFile { id: row.get("file")?, file }, state))
}

/// An event of a file, and what became of its rows.
struct FiledRow {
    event: FiledEvent,
    reason: Option<DeadReason>,
    refused: u32,
}

/// Settles some events of a file: how many, and how many of them are dead.
fn settle(transaction: &Transaction<'_>, run_id: RunId, file: BulkFileId, at: Instant) -> Result<(u64, u64)> {
    let filed: Vec<FiledRow> = all(
        transaction,
        "SELECT seq, form, visitor, reason, refused, rows FROM bulk_rows WHERE file = ?1 ORDER BY row LIMIT ?2",
        (file, SETTLED_A_TRANSACTION),
        |row| {
            let event = from_row!(row, FiledEvent { rows, form, visitor }, sequence: row.get("seq")?);
            Ok(from_row!(row, FiledRow { reason, refused }, event: event))
        },
    )?;
    let mut moves = Moves::new(transaction);
    let mut dead = 0;
    for FiledRow { event: FiledEvent { sequence, rows, form, visitor }, reason, refused } in &filed {
        run(transaction, "DELETE FROM bulk_rows WHERE seq = ?1", [sequence])?;
        let Some(event) = reference(transaction, *sequence)? else { continue };
        release(transaction, *sequence)?;
        let Some(reason) = reason else {
            moves.shift(&event, Term::Pending, To::Delivered { visitor: *visitor, at, run: run_id })?;
            continue;
        };
        if refused < rows {
            // The others counted, and a requeue would repeat them.
            let some = Doubt::SomeCounted { counted: (rows - refused) as usize, of: *rows as usize };
            doubt(transaction, *sequence, *form, &some, at)?;
        }
        moves.shift(&event, Term::Pending, To::Dead { reason, form: *form, at, run: run_id })?;
        dead += 1;
    }
    moves.account()?;
    Ok((filed.len() as u64, dead))
}
