//! The inputs: every file, stream or sender that events came from, and what came of it.

use rusqlite::Transaction;
use serde::Serialize;
use serde_json::Value;

use super::database::Buffer;
use super::error::Result;
use super::keys::InputId;
use super::rows::{from_row, run};
use crate::delivery::Sequence;
use crate::event::Instant;

/// What is known of an input. The counts (events; rejected lines) are `None` if a release before schema 9 stored it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InputRecord {
    pub input: InputId,
    /// The path as the caller gave it.
    pub path: String,
    pub opened_at: Instant,
    /// `None` if it is still open, or was not read to its end.
    pub ended_at: Option<Instant>,
    pub stored: Option<u64>,
    pub duplicates: Option<u64>,
    pub conflicts: Option<u64>,
    pub rejected: Option<u64>,
    /// What `ingest --json` printed of it. `None` for HTTP, for `pull`, and before the end.
    pub summary: Option<Value>,
    /// The first and the last number of its events; `None` if it stored none.
    #[serde(skip)]
    pub span: Option<(i64, i64)>,
}

impl InputRecord {
    /// One value of its summary.
    pub fn of_summary(&self, key: &str) -> Option<&Value> {
        self.summary.as_ref().and_then(|summary| summary.get(key))
    }
}

impl Buffer {
    /// Records an input under the path that messages will name.
    pub fn open_input(&self, path: &str) -> Result<InputId> {
        let (path, opened_at) = (path.to_owned(), self.now());
        self.write(move |transaction| {
            let insert = "INSERT INTO inputs (path, opened_at, stored, duplicates, conflicts, rejected)
                 VALUES (?1, ?2, 0, 0, 0, 0)";
            run(transaction, insert, (path, opened_at))?;
            Ok(InputId(transaction.last_insert_rowid()))
        })
    }

    /// Records what came of an input, and whether it was read to its end.
    pub fn end_input(
        &self,
        input: InputId,
        summary: &(impl Serialize + ?Sized),
        is_whole: bool,
    ) -> Result<()> {
        let summary = serde_json::to_string(summary).expect("numbers and names always serialise");
        let update = "UPDATE inputs SET summary = ?2, bytes = ?2 ->> 'bytes', digest = unhex(?2 ->> 'digest'), ended_at = ?3
             WHERE input = ?1";
        self.change(update, (input, summary, is_whole.then(|| self.now())))
    }

    /// Inputs, the latest first: the one with this number, those whose path ends with this file name or path, or all.
    pub fn inputs(&self, number: Option<i64>, path: Option<&str>, limit: usize) -> Result<Vec<InputRecord>> {
        let select = "SELECT input, path, opened_at, ended_at, stored, duplicates, conflicts, rejected, summary, first_seq, last_seq
             FROM inputs WHERE (?1 IS NULL OR input = ?1)
                 AND (?2 IS NULL OR path = ?2 OR substr(path, -length(?2) - 1) = '/' || ?2)
             ORDER BY input DESC LIMIT ?3";
        self.all(select, (number, path, i64::try_from(limit).unwrap_or(i64::MAX)), |row| {
            let summary: Option<String> = row.get("summary")?;
            let span = row.get::<_, Option<i64>>("first_seq")?.zip(row.get("last_seq")?);
            Ok(from_row!(row, InputRecord { input, path, opened_at, ended_at, stored, duplicates, conflicts, rejected },
                summary: summary.and_then(|summary| serde_json::from_str(&summary).ok()), span: span))
        })
    }
}

/// Adds a batch to the counts of its input: stored events, whose numbers begin with `first`, duplicates, conflicts and
/// rejected lines.
pub(super) fn count(
    transaction: &Transaction<'_>,
    input: InputId,
    first: Sequence,
    [stored, duplicates, conflicts, rejected]: [u64; 4],
) -> Result<()> {
    let span = (stored > 0).then_some((first.0, first.0 + stored.cast_signed() - 1)).unzip();
    let update = "UPDATE inputs SET stored = stored + ?2, duplicates = duplicates + ?3, conflicts = conflicts + ?4,
             rejected = rejected + ?5, first_seq = coalesce(first_seq, ?6), last_seq = coalesce(?7, last_seq) WHERE input = ?1";
    run(transaction, update, (input, stored, duplicates, conflicts, rejected, span.0, span.1))
}
