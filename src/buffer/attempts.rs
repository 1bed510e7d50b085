//! Attempts that got another reply than SUCCESS, or no reply. An event that is delivered at once has no row here.

use rusqlite::Connection;

use super::error::Result;
use super::keys::{JobKey, RunId};
use super::rows::{changed, json_list, run};
use crate::delivery::{Doubt, Sequence};
use crate::event::Instant;

/// Rows deleted in one transaction.
const DELETED_A_TRANSACTION: u64 = 50_000;

/// Notes an attempt, and its reply or why there is none.
pub(super) fn note(
    connection: &Connection,
    sequence: Sequence,
    by: RunId,
    at: Instant,
    reply: &str,
) -> Result<()> {
    let insert = "INSERT INTO attempts (seq, run, at, reply) VALUES (?1, ?2, ?3, ?4)";
    run(connection, insert, (sequence, by, at, reply))
}

/// Notes the attempts that earlier runs left without an outcome; see `claims::recover`.
pub(super) fn note_claims(connection: &Connection, job: JobKey, now: Instant) -> Result<()> {
    let insert = "INSERT INTO attempts (seq, run, at, reply) SELECT seq, run, ?2, ?3 FROM claims
         WHERE run IN (SELECT run FROM runs WHERE (job = 0) = (?1 = 0))";
    run(connection, insert, (job, now, Doubt::RunEnded.to_string()))
}

/// Deletes the attempts of deleted events.
pub(super) fn forget(connection: &Connection, sequences: &[Sequence]) -> Result<()> {
    run(
        connection,
        "DELETE FROM attempts WHERE seq IN (SELECT value FROM json_each(?1))",
        [json_list(sequences)],
    )
}

/// Deletes some attempts made before an instant, or after `now` by a clock that was ahead. Returns how many.
pub(super) fn prune(connection: &Connection, before: i64, now: Instant) -> Result<u64> {
    let delete = "DELETE FROM attempts WHERE attempt IN
             (SELECT attempt FROM (SELECT attempt, at FROM attempts ORDER BY attempt LIMIT ?2) WHERE at < ?1 OR at > ?3)";
    changed(connection, delete, (before, DELETED_A_TRANSACTION, now))
}
