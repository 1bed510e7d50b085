//! The files of a bulk backfill: which events each file holds, and what became of them.
//!
//! A file is recorded before its first byte is sent; its events stay pending. Once Adobe has the file, it is
//! `received`, or `stuck` until a person decides about refused rows. Then its events get their outcome in small
//! transactions, so that live recording never waits long.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;

use rusqlite::{Row, Transaction};

use super::attempts;
use super::database::Buffer;
use super::error::{BufferError, Result};
use super::keys::{BulkFileId, FormKey, JobKey, RunId};
use super::ledger::Term;
use super::rows::{all, from_row, reference, run};
use super::sqlite::remove_if_there;
use super::states::{Delivered, Moves, To, doubt};
use crate::delivery::{DeadReason, Doubt, Sequence};
use crate::event::Instant;
use crate::hit::VisitorKey;
use crate::job::JobName;
use crate::suite::Rsid;

/// Events settled (given their outcome) in one transaction, which takes about 20 milliseconds.
const SETTLED_A_TRANSACTION: usize = 2_000;

/// A bulk file, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBulkFile {
    pub job: JobKey,
    pub visitor_group: String,
    /// The digest of the file's group, of its rows and of the numbers of its events.
    pub key: String,
    pub path: PathBuf,
    /// The number of rows, without the header.
    pub rows: u64,
    /// The size of the file, which is packed.
    pub bytes: u64,
}

/// An event of a bulk file. It has a row for each of its hits that is still to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FiledEvent {
    pub sequence: Sequence,
    pub rows: u32,
    pub form: FormKey,
    pub visitor: VisitorKey,
}

/// A bulk file that is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkFile {
    pub id: BulkFileId,
    pub file: NewBulkFile,
}

/// The state of a bulk file that is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkFileState {
    Written,
    /// The file was sent, and Adobe's answer is not known.
    Sent,
    /// Adobe has the file, but refused this many rows without naming them, so a person must decide.
    Stuck {
        unnamed: u64,
    },
    /// Adobe has the file, and its events are being settled.
    Received,
}

/// Adobe's answer that it has a file, perhaps without some rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The refused rows that the answer names.
    pub refused: Vec<RefusedRow>,
    /// Rows that Adobe refused or did not count, and that the answer does not name.
    pub unnamed: u64,
    /// Whether a person has to decide about the `unnamed` rows.
    pub is_stuck: bool,
    /// Whether only a look-up says that Adobe has the file. A look-up does not say whether rows were refused.
    pub is_looked_up: bool,
}

/// A row that Adobe refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// The row's number in the file, from 1.
    pub row: u64,
    pub reason: DeadReason,
}

impl Buffer {
    /// Records a file, with its events in the order of their rows.
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

    /// Records that a file is about to be sent. This is durable before the file's first byte is sent.
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

    /// Records that Adobe has a file, and which rows it refused. [`Buffer::settle_file`] then decides about the events.
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

    /// Gives the events of a received file their outcome; continues where an earlier call was interrupted. Returns
    /// how many events this call made delivered and dead. The file stays open until [`Buffer::file_done`].
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

    /// Closes a file whose events have their outcome. The caller has deleted the file, unless files are kept. A
    /// standing backfill keeps no records of files, because it never ends.
    pub fn file_done(&self, file: BulkFileId) -> Result<()> {
        let now = self.now();
        self.write(move |transaction| {
            run(transaction, "UPDATE bulk_files SET state = 'done' WHERE file = ?1", [file])?;
            let ended = "UPDATE jobs SET finished_at = ?2
                 WHERE job < 0 AND job = (SELECT job FROM bulk_files WHERE file = ?1)";
            run(transaction, ended, (file, now))?;
            run(transaction, "DELETE FROM bulk_files WHERE file = ?1 AND job < 0", [file])
        })
    }

    /// The files of all backfills that are not done, each with its state, in the order of writing.
    pub fn open_files(&self) -> Result<Vec<(BulkFile, BulkFileState)>> {
        let select =
            "SELECT file, visitor_group, key, path, rows, bytes, state, unnamed_rows, job FROM bulk_files
             WHERE state <> 'done' ORDER BY file";
        self.all(select, [], bulk_file)
    }

    /// The paths of all files of a backfill, also of files that were deleted from their folder.
    pub fn bulk_paths(&self, job: JobKey) -> Result<HashSet<PathBuf>> {
        let select = "SELECT path FROM bulk_files WHERE job = ?1";
        self.all(select, [job], |row| Ok(row.get::<_, String>("path")?.into()))
    }

    /// Deletes the unsent files of some backfills, with their records. Returns the other open files of these backfills.
    pub fn withdraw_unsent(&self, is_meant: impl Fn(JobKey) -> bool) -> Result<Vec<BulkFile>> {
        let open = self.open_files()?.into_iter().filter(|(file, _)| is_meant(file.file.job));
        let (unsent, sent): (Vec<_>, Vec<_>) = open.partition(|(_, state)| *state == BulkFileState::Written);
        unsent.iter().try_for_each(|(file, _)| self.withdraw_file(file))?;
        Ok(sent.into_iter().map(|(file, _)| file).collect())
    }

    /// Deletes the files that were never sent. Fails if a file was sent and is not done yet.
    pub(super) fn withdraw_files(&self) -> Result<()> {
        match self.withdraw_unsent(|_| true)?.first() {
            Some(sent) => Err(BufferError::FilesUnderWay(self.name_of(sent)?)),
            None => Ok(()),
        }
    }

    /// The suites whose live events are in files that were sent and are not done. Deletes the files of live events that
    /// were never sent. The caller holds the lock of drains.
    pub fn suites_in_files(&self) -> Result<BTreeSet<Rsid>> {
        let sent = self.withdraw_unsent(JobKey::is_standing)?;
        let names = sent.iter().map(|file| self.name_of(file)).collect::<Result<Vec<_>>>()?;
        Ok(names.iter().filter_map(JobName::suite).collect())
    }

    fn name_of(&self, file: &BulkFile) -> Result<JobName> {
        self.value("SELECT name FROM jobs WHERE job = ?1", [file.file.job])
    }

    /// Deletes a file of which Adobe took nothing, and its record. The file's events are pending as before.
    pub fn withdraw_file(&self, BulkFile { id, file }: &BulkFile) -> Result<()> {
        remove_if_there(&file.path).map_err(BufferError::file(&file.path))?;
        let id = *id;
        self.write(move |transaction| {
            run(transaction, "DELETE FROM bulk_rows WHERE file = ?1", [id])?;
            run(transaction, "DELETE FROM bulk_files WHERE file = ?1", [id])
        })
    }

    /// When the last upload of a visitor group began, in any backfill, and its number of rows; `None` before the first.
    pub fn group_sent_at(&self, visitor_group: &str) -> Result<Option<(Instant, u64)>> {
        let select = "SELECT sent_at, rows FROM bulk_groups WHERE visitor_group = ?1";
        self.first(select, [visitor_group], |row| Ok((row.get("sent_at")?, row.get("rows")?)))
    }

    /// How many events of a file have no outcome yet, and whether its suite is active and not blocked.
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

/// An event of a file, and how many of its rows Adobe refused.
struct FiledRow {
    event: FiledEvent,
    reason: Option<DeadReason>,
    refused: u32,
}

/// Settles some events of a file. Returns how many, and how many of them are dead.
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
        let Some(reason) = reason else {
            moves.deliver(Delivered { event, visitor: *visitor, at }, run_id);
            continue;
        };
        if refused < rows {
            // Adobe counted the event's other rows. A requeue would send these rows again.
            let some = Doubt::SomeCounted { counted: (rows - refused) as usize, of: *rows as usize };
            doubt(transaction, *sequence, *form, &some, at)?;
        }
        attempts::note(transaction, *sequence, run_id, at, &reason.to_string())?;
        moves.shift(&event, Term::Pending, To::Dead { reason, form: *form, at, run: run_id })?;
        dead += 1;
    }
    moves.account()?;
    Ok((filed.len() as u64, dead))
}
