//! The record of each drain.

use rusqlite::{Connection, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::arrivals;
use super::database::Buffer;
use super::error::Result;
use super::facts::{NEXT_SEQ, fact};
use super::keys::{JobKey, RunId};
use super::ledger::Term;
use super::rows::{all, changed, only, run as execute};
use super::states::{To, shift_all};
use crate::delivery::{Doubt, Sequence, Trouble};
use crate::event::Instant;

/// At least this many runs are kept, however old, because `status` shows them and `run` reads them to catch up.
const RUNS_KEPT_MIN: i64 = 100;
/// Runs pruned in one transaction.
const PRUNED_A_TRANSACTION: u64 = 5_000;

/// What a drain knows when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStart {
    pub run: RunId,
    /// The last event stored before the run began. Later events wait for the next run.
    pub cover: Sequence,
    /// Attempts of which an earlier run recorded no outcome. Their events are now in doubt.
    pub recovered: u64,
    /// Events in doubt that were held because their suite's policy is to hold.
    pub held: u64,
}

/// The record of a drain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunRecord {
    pub run_id: RunId,
    pub started_at: Instant,
    /// When the drain ended; `None` if it still runs or crashed.
    pub finished_at: Option<Instant>,
    /// The drain's summary, as `drain --json` printed it. If the run still goes on or crashed, only its `troubles`.
    pub summary: Option<serde_json::Value>,
}

/// What hindered a backfill in its last run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JobObstacles {
    pub troubles: Vec<Trouble>,
    /// The error that ended the backfill, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl JobObstacles {
    /// Each obstacle, with its place and what to do about it.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.troubles.iter().map(ToString::to_string).chain(self.failure.clone())
    }
}

impl RunRecord {
    /// What hindered the run. Empty for a run of a release that did not record it.
    pub fn troubles(&self) -> Vec<Trouble> {
        let troubles = self.summary.as_ref().and_then(|summary| summary.get("troubles")).cloned();
        troubles.and_then(|troubles| serde_json::from_value(troubles).ok()).unwrap_or_default()
    }
}

impl Buffer {
    /// Begins a drain of live events or of a backfill: turns the claims of a crashed run into doubts, and decides
    /// which events this run covers. The caller holds the lock for that kind of drain.
    pub fn begin_run(&self, job: JobKey) -> Result<RunStart> {
        let now = self.now();
        self.write(move |transaction| {
            let recovered = recover_claims(transaction, job, now)?;
            let held = hold_doubts(transaction, job, now)?;
            execute(transaction, "INSERT INTO runs (started_at, job) VALUES (?1, ?2)", (now, job))?;
            let run = RunId(transaction.last_insert_rowid());
            let cover = Sequence(fact(transaction, NEXT_SEQ)?.unwrap_or(1) - 1);
            Ok(RunStart { run, cover, recovered, held })
        })
    }

    /// Records the end of a drain with its summary.
    pub fn finish_run(&self, run: RunId, summary: &impl Serialize) -> Result<()> {
        let now = self.now();
        let summary =
            serde_json::to_string(summary).expect("a summary of numbers and names always serialises");
        self.write(move |transaction| {
            let finish = "UPDATE runs SET finished_at = ?2, summary = ?3 WHERE run = ?1";
            execute(transaction, finish, (run, now, summary))?;
            arrivals::prune(transaction)
        })
    }

    /// Records the troubles of a run that still goes on.
    pub fn note_troubles(&self, run: RunId, troubles: &[Trouble]) -> Result<()> {
        let update = "UPDATE runs SET summary = ?2 WHERE run = ?1 AND finished_at IS NULL";
        self.change(update, (run, json!({ "troubles": troubles }).to_string()))
    }

    /// Records the error that ended a backfill.
    pub fn note_job_failure(&self, job: JobKey, failure: &str) -> Result<()> {
        let insert = "INSERT INTO runs (started_at, finished_at, job, summary) VALUES (?1, ?1, ?2, ?3)";
        self.change(insert, (self.now(), job, json!({ "failure": failure }).to_string()))
    }

    /// What hindered a backfill that is running or paused, from the latest of its runs with a summary.
    pub fn job_obstacles(&self, job: JobKey) -> Result<JobObstacles> {
        let select =
            "SELECT summary FROM runs JOIN jobs USING (job) WHERE job = ?1 AND state IN ('running', 'paused')
             AND summary IS NOT NULL ORDER BY run DESC LIMIT 1";
        let found: Option<String> = self.first(select, [job], only)?;
        Ok(found.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// The troubles recorded by the last run before this one that read any event, of the same kind (live events or
    /// backfills). Troubles stay until a run succeeds in sending.
    pub fn earlier_troubles(&self, run: RunId, job: JobKey) -> Result<Vec<Trouble>> {
        let select = "SELECT summary ->> '$.troubles' FROM runs
             WHERE run < ?1 AND (job = 0) = (?2 = 0) AND summary ->> '$.read' > 0 ORDER BY run DESC LIMIT 1";
        let found: Option<Option<String>> = self.first(select, (run, job), only)?;
        // Runs of earlier releases recorded no troubles.
        Ok(found.flatten().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// How many attempts of this run were cut off before their outcome was recorded. Their events are in doubt.
    pub fn claims_left(&self, run: RunId) -> Result<u64> {
        self.value("SELECT count(*) FROM claims WHERE run = ?1", [run])
    }

    /// The latest drains of live events, newest first.
    pub fn runs(&self, limit: usize) -> Result<Vec<RunRecord>> {
        self.read(|connection| recent(connection, limit))
    }

    /// The end of the last drain of live events that was not cut off.
    pub fn last_finished_run(&self) -> Result<Option<Instant>> {
        let select = "SELECT finished_at FROM runs WHERE job = 0 AND finished_at IS NOT NULL ORDER BY run DESC LIMIT 1";
        self.first(select, [], only)
    }
}

/// The latest drains of live events, newest first.
pub(super) fn recent(connection: &Connection, limit: usize) -> Result<Vec<RunRecord>> {
    let select =
        "SELECT run, started_at, finished_at, summary FROM runs WHERE job = 0 ORDER BY run DESC LIMIT ?1";
    all(connection, select, [limit], |row| {
        let summary: Option<String> = row.get("summary")?;
        Ok(RunRecord {
            run_id: row.get("run")?,
            started_at: row.get("started_at")?,
            finished_at: row.get("finished_at")?,
            summary: summary.and_then(|text| serde_json::from_str(&text).ok()),
        })
    })
}

/// Turns the claims that earlier runs left without an outcome into doubts, because these attempts may have counted.
/// Takes only claims of the same kind of run: a backfill and a drain of live events may run side by side.
fn recover_claims(transaction: &Transaction<'_>, job: JobKey, now: Instant) -> Result<u64> {
    let change = "INSERT INTO doubts (seq, form, attempts, last_at, cause)
         SELECT seq, form, 1, ?2, ?3 FROM claims WHERE run IN (SELECT run FROM runs WHERE (job = 0) = (?1 = 0))
         ON CONFLICT (seq) DO UPDATE SET attempts = attempts + 1, last_at = ?2, cause = ?3, wanted = 0";
    let recovered = changed(transaction, change, (job, now, Doubt::RunEnded.to_string()))?;
    let delete = "DELETE FROM claims WHERE run IN (SELECT run FROM runs WHERE (job = 0) = (?1 = 0))";
    execute(transaction, delete, [job])?;
    Ok(recovered)
}

/// Holds every event in doubt whose suite's policy is to hold.
fn hold_doubts(transaction: &Transaction<'_>, job: JobKey, now: Instant) -> Result<u64> {
    let select = "SELECT d.seq FROM doubts d JOIN forms f ON f.form = d.form JOIN suites s ON s.rsid = f.rsid
         JOIN events e ON e.seq = d.seq
         JOIN queue q ON q.job = e.job AND q.requestor = e.requestor AND q.occurred_at = e.occurred_at AND q.seq = e.seq
         WHERE s.on_ambiguous = 'hold' AND d.wanted = 0 AND (e.job = 0) = (?1 = 0)
           AND NOT EXISTS (SELECT 1 FROM bulk_rows b WHERE b.seq = d.seq)";
    let found: Vec<Sequence> = all(transaction, select, [job], only)?;
    shift_all(transaction, &found, Term::Pending, To::Held { at: now })
}

/// Deletes the records of runs that began before an instant, and returns how many. Keeps the latest runs, the last
/// finished drain of live events, and runs with claims.
pub(super) fn prune(connection: &Connection, before: i64) -> Result<u64> {
    let change = "DELETE FROM runs WHERE run IN
             (SELECT run FROM runs WHERE started_at < ?1 AND run <= (SELECT max(run) FROM runs) - ?2
                  AND run NOT IN (SELECT run FROM claims)
                  AND run IS NOT (SELECT max(run) FROM runs WHERE job = 0 AND finished_at IS NOT NULL)
              ORDER BY run LIMIT ?3)";
    changed(connection, change, (before, RUNS_KEPT_MIN, PRUNED_A_TRANSACTION))
}
