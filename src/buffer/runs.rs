//! The record of each drain, and the small facts that outlive it.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use serde::Serialize;

use super::ledger::{Postings, Term};
use super::{Buffer, BufferError, JobKey, arrivals, events, outcomes};
use crate::delivery::{Doubt, Sequence, Trouble};
use crate::event::Instant;

/// Runs that are kept however old they are: what `status` shows, and what `run` looks at to catch up.
const RUNS_KEPT_MIN: i64 = 100;
/// Runs pruned in one transaction.
const PRUNED_A_TRANSACTION: i64 = 5_000;

/// The number of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct RunId(pub i64);

/// What a drain begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStart {
    pub run: RunId,
    /// The last event stored before it began: later ones wait for the next run.
    pub cover: Sequence,
    /// Attempts that an earlier run left without a record; their events are in doubt now.
    pub recovered: u64,
    /// Events in doubt that were held because their suite does not repeat them.
    pub held: u64,
}

/// A drain that was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunRecord {
    pub run_id: RunId,
    /// When it began.
    pub started_at: Instant,
    /// When it ended; `None` while it runs, or where it crashed.
    pub finished_at: Option<Instant>,
    /// What it did, as `drain --json` printed it.
    pub summary: Option<serde_json::Value>,
}

impl RunRecord {
    /// What stood in the way of it. Empty for a run of a release that did not record it.
    pub fn troubles(&self) -> Vec<Trouble> {
        let troubles = self.summary.as_ref().and_then(|summary| summary.get("troubles")).cloned();
        troubles.and_then(|troubles| serde_json::from_value(troubles).ok()).unwrap_or_default()
    }
}

impl Buffer {
    /// Begins a drain of live events or of a backfill: settles what a crash left behind, and fixes what this run covers. The
    /// caller holds the lock of either.
    pub fn begin_run(&self, job: JobKey) -> Result<RunStart, BufferError> {
        let now = self.clock.now();
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let recovered = recover_claims(&transaction, job, now)?;
            let held = hold_doubts(&transaction, job, now)?;
            transaction
                .execute("INSERT INTO runs (started_at, job) VALUES (?1, ?2)", (now.nanos(), job.number()))?;
            let run = RunId(transaction.last_insert_rowid());
            let cover = Sequence(fact(&transaction, "next_seq")?.unwrap_or(1) - 1);
            transaction.commit()?;
            Ok(RunStart { run, cover, recovered, held })
        })
    }

    /// Records the end of a drain with its summary.
    pub fn finish_run(&self, run: RunId, summary: &impl Serialize) -> Result<(), BufferError> {
        let now = self.clock.now().nanos();
        let summary =
            serde_json::to_string(summary).expect("a summary of numbers and names always serialises");
        self.call(move |connection| {
            connection.execute(
                "UPDATE runs SET finished_at = ?2, summary = ?3 WHERE run = ?1",
                (run.0, now, summary),
            )?;
            arrivals::prune(connection)
        })
    }

    /// The troubles that the latest run before this one recorded, of those that took any event: they stand until a run sends past
    /// them. Of drains of live events, or of backfills.
    pub fn earlier_troubles(&self, run: RunId, job: JobKey) -> Result<Vec<Trouble>, BufferError> {
        self.call(move |connection| {
            let mut statement = connection.prepare(
                "SELECT summary ->> '$.troubles' FROM runs
                 WHERE run < ?1 AND (job = 0) = (?2 = 0) AND summary ->> '$.read' > 0 ORDER BY run DESC LIMIT 1",
            )?;
            let found: Option<Option<String>> =
                statement.query_row((run.0, job.number()), |row| row.get(0)).optional()?;
            // A run of an earlier release recorded none.
            Ok(found.flatten().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
        })
    }

    /// Attempts of this run that were cut off before their outcome was recorded: their events are in doubt.
    pub fn claims_left(&self, run: RunId) -> Result<u64, BufferError> {
        self.call(move |connection| {
            let left: i64 =
                connection
                    .query_row("SELECT count(*) FROM claims WHERE run = ?1", [run.0], |row| row.get(0))?;
            Ok(left as u64)
        })
    }

    /// The latest drains of live events, newest first.
    pub fn runs(&self, limit: usize) -> Result<Vec<RunRecord>, BufferError> {
        self.call(move |connection| recent(connection, limit))
    }

    /// When the last drain of live events that was not cut off ended.
    pub fn last_finished_run(&self) -> Result<Option<Instant>, BufferError> {
        self.call(|connection| {
            let latest: Option<i64> = connection
                .query_row(
                    "SELECT finished_at FROM runs WHERE job = 0 AND finished_at IS NOT NULL ORDER BY run DESC LIMIT 1",
                    [],
                    |row| row.get(0),
                )
                .optional()?;
            Ok(latest.map(Instant::from_nanos))
        })
    }
}

pub(super) fn recent(connection: &Connection, limit: usize) -> Result<Vec<RunRecord>, BufferError> {
    let mut statement = connection.prepare_cached(
        "SELECT run, started_at, finished_at, summary FROM runs WHERE job = 0 ORDER BY run DESC LIMIT ?1",
    )?;
    let rows = statement.query_map([limit as i64], |row| {
        let summary: Option<String> = row.get(3)?;
        Ok(RunRecord {
            run_id: RunId(row.get(0)?),
            started_at: Instant::from_nanos(row.get(1)?),
            finished_at: row.get::<_, Option<i64>>(2)?.map(Instant::from_nanos),
            summary: summary.and_then(|text| serde_json::from_str(&text).ok()),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Turns the claims of a run that ended without recording their outcome into doubts: exactly what may have been counted.
/// A backfill and a drain of live events may run side by side, and leave each other's claims alone.
fn recover_claims(transaction: &Transaction<'_>, job: JobKey, now: Instant) -> Result<u64, BufferError> {
    const OURS: &str = "run IN (SELECT run FROM runs WHERE (job = 0) = (?1 = 0))";
    let recovered = transaction.execute(
        &format!(
            "INSERT INTO doubts (seq, form, attempts, last_at, cause) SELECT seq, form, 1, ?2, ?3 FROM claims WHERE {OURS}
             ON CONFLICT (seq) DO UPDATE SET attempts = attempts + 1, last_at = ?2, cause = ?3, wanted = 0"
        ),
        (job.number(), now.nanos(), Doubt::RunEnded.to_string()),
    )?;
    transaction.execute(&format!("DELETE FROM claims WHERE {OURS}"), [job.number()])?;
    Ok(recovered as u64)
}

/// Holds every event in doubt whose suite does not repeat.
fn hold_doubts(transaction: &Transaction<'_>, job: JobKey, now: Instant) -> Result<u64, BufferError> {
    let sequences = transaction
        .prepare(
            "SELECT d.seq FROM doubts d JOIN forms f ON f.form = d.form JOIN suites s ON s.rsid = f.rsid
             JOIN events e ON e.seq = d.seq
             JOIN queue q ON q.job = e.job AND q.requestor = e.requestor AND q.occurred_at = e.occurred_at AND q.seq = e.seq
             WHERE s.on_ambiguous = 'hold' AND d.wanted = 0 AND (e.job = 0) = (?1 = 0)
               AND NOT EXISTS (SELECT 1 FROM bulk_rows b WHERE b.seq = d.seq)",
        )?
        .query_map([job.number()], |row| row.get(0).map(Sequence))?
        .collect::<Result<Vec<_>, _>>()?;
    let mut postings = Postings::default();
    for sequence in &sequences {
        let (event, _, _) = events::read_event(transaction, *sequence)?;
        outcomes::unqueue(transaction, &event)?;
        transaction.execute("INSERT INTO held (seq, held_at) VALUES (?1, ?2)", (sequence.0, now.nanos()))?;
        postings.shift(&event, Term::Pending, Term::Held);
    }
    postings.apply(transaction)?;
    Ok(sequences.len() as u64)
}

/// Deletes the records of runs that began before an instant, but for the latest, that of the last finished drain of live
/// events, and those whose attempts are not settled; whether there may be more.
pub(super) fn prune(connection: &Connection, before: i64) -> Result<bool, BufferError> {
    let pruned = connection.execute(
        "DELETE FROM runs WHERE run IN
             (SELECT run FROM runs WHERE started_at < ?1 AND run <= (SELECT max(run) FROM runs) - ?2
                  AND run NOT IN (SELECT run FROM claims)
                  AND run IS NOT (SELECT max(run) FROM runs WHERE job = 0 AND finished_at IS NOT NULL)
              ORDER BY run LIMIT ?3)",
        (before, RUNS_KEPT_MIN, PRUNED_A_TRANSACTION),
    )?;
    Ok(pruned as i64 == PRUNED_A_TRANSACTION)
}

pub(super) fn fact(connection: &Connection, name: &str) -> Result<Option<i64>, BufferError> {
    Ok(connection
        .prepare_cached("SELECT value FROM facts WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?)
}

pub(super) fn set_fact(connection: &Connection, name: &str, value: i64) -> Result<(), BufferError> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO facts (name, value) VALUES (?1, ?2)")?
        .execute((name, value))?;
    Ok(())
}
