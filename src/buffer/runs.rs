//! The records of drains, and of the processes that run backfills.

use rusqlite::{Connection, Row, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::arrivals;
use super::claims;
use super::database::Buffer;
use super::error::Result;
use super::facts::{BACKFILL_RUNNER, DRAIN_RUNNER, NEXT_SEQ, fact, forget_fact, set_fact};
use super::keys::{JobKey, RunId};
use super::ledger::Term;
use super::repeats;
use super::rows::{all, changed, from_row, only, run as execute, value};
use super::sqlite;
use super::states::{To, shift_all};
use crate::delivery::{Sequence, Trouble};
use crate::event::Instant;

/// At least this many runs are kept, however old: `status` shows them, and `run` reads them to catch up.
const RUNS_KEPT_MIN: i64 = 100;
/// Runs pruned in one transaction.
const PRUNED_A_TRANSACTION: u64 = 5_000;

/// What a drain knows when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStart {
    pub run: RunId,
    /// The last event stored before the run began. Later events wait for the next run.
    pub cover: Sequence,
    /// Attempts whose outcome an earlier run did not record. Their events are now in doubt.
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
    /// The drain's summary, as `drain --json` printed it. If the drain has not ended, only its `troubles`.
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
    /// Inputs that were not read to their end. The buffer lacks some of their events.
    pub inputs_left: u64,
    /// When the backfill's latest run without an end began. If no process runs the backfill, that run was cut off.
    #[serde(skip)]
    pub open_since: Option<Instant>,
}

impl JobObstacles {
    /// Whether troubles or an error hindered the backfill.
    pub fn is_trouble(&self) -> bool {
        !self.troubles.is_empty() || self.failure.is_some()
    }

    /// Each obstacle, as text for people.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let left = self.inputs_left;
        let unread = (left > 0).then(|| format!("inputs that are not read to their end: {left}"));
        self.troubles.iter().map(ToString::to_string).chain(self.failure.clone()).chain(unread)
    }
}

impl RunRecord {
    /// What hindered the run; nothing for runs of earlier releases, which did not record this.
    pub fn troubles(&self) -> Vec<Trouble> {
        let troubles = self.summary.as_ref().and_then(|summary| summary.get("troubles")).cloned();
        troubles.and_then(|troubles| serde_json::from_value(troubles).ok()).unwrap_or_default()
    }
}

impl Buffer {
    /// Begins a drain; the caller holds the lock. Turns claims of crashed runs into doubts, holds events in doubt if
    /// their suite's policy says so, and chooses the events to cover.
    pub fn begin_run(&self, job: JobKey) -> Result<RunStart> {
        let (now, path) = (self.now(), self.path().to_owned());
        self.write(move |transaction| {
            // This fact names the process even if its lock file is removed.
            match sqlite::mark(&path) {
                Some(mark) => set_fact(transaction, runner_of(job), mark)?,
                None => forget_fact(transaction, runner_of(job))?,
            }
            let recovered = claims::recover(transaction, job, now)?;
            let held = hold_doubts(transaction, job, now)?;
            execute(transaction, "INSERT INTO runs (started_at, job) VALUES (?1, ?2)", (now, job))?;
            let run = RunId(transaction.last_insert_rowid());
            let cover = Sequence(fact(transaction, NEXT_SEQ)?.unwrap_or(1) - 1);
            Ok(RunStart { run, cover, recovered, held })
        })
    }

    pub fn finish_run(&self, run: RunId, summary: &impl Serialize) -> Result<()> {
        let now = self.now();
        let summary =
            serde_json::to_string(summary).expect("a summary of numbers and names always serialises");
        self.write(move |transaction| {
            let finish = "UPDATE runs SET finished_at = ?2, summary = ?3 WHERE run = ?1";
            execute(transaction, finish, (run, now, &summary))?;
            let sent = "UPDATE jobs SET calls_sent = calls_sent + coalesce(?2 ->> '$.hits', 0)
                 WHERE job = (SELECT job FROM runs WHERE run = ?1)";
            execute(transaction, sent, (run, summary))?;
            let job = value(transaction, "SELECT job FROM runs WHERE run = ?1", [run])?;
            forget_fact(transaction, runner_of(job))?;
            arrivals::prune(transaction)?;
            repeats::prune(transaction)
        })
    }

    /// Deletes the mark of this process, whose run can record nothing any more because another process has the lock.
    pub fn end_turn(&self, job: JobKey) -> Result<()> {
        let delete = "DELETE FROM facts WHERE name = ?1 AND value = ?2";
        self.change(delete, (runner_of(job), sqlite::mark(self.path())))
    }

    /// Records the troubles of a run that still goes on.
    pub fn note_troubles(&self, run: RunId, troubles: &[Trouble]) -> Result<()> {
        let update = "UPDATE runs SET summary = ?2 WHERE run = ?1 AND finished_at IS NULL";
        self.change(update, (run, json!({ "troubles": troubles }).to_string()))
    }

    /// Records that a process begins to run a backfill. If this record gets no end, the process was cut off.
    pub fn begin_job_run(&self, job: JobKey) -> Result<()> {
        self.change("INSERT INTO runs (started_at, job, summary) VALUES (?1, ?2, '{}')", (self.now(), job))
    }

    /// Records that the process that ran a backfill has ended its run.
    pub fn end_job_run(&self, job: JobKey) -> Result<()> {
        let now = self.now();
        self.write(move |transaction| {
            let update = "UPDATE runs SET finished_at = ?2 WHERE job = ?1 AND finished_at IS NULL";
            execute(transaction, update, (job, now))?;
            forget_fact(transaction, runner_of(job))
        })
    }

    pub fn note_job_failure(&self, job: JobKey, failure: &str) -> Result<()> {
        let insert = "INSERT INTO runs (started_at, finished_at, job, summary) VALUES (?1, ?1, ?2, ?3)";
        self.change(insert, (self.now(), job, json!({ "failure": failure }).to_string()))
    }

    /// The backfill whose run began last and has no end. If a process holds the backfill lock, it runs this backfill.
    pub fn open_job(&self) -> Result<Option<JobKey>> {
        let select = "SELECT job FROM runs WHERE job <> 0 AND finished_at IS NULL ORDER BY run DESC LIMIT 1";
        self.first(select, [], only)
    }

    /// What hindered a backfill that is running or paused, from the latest of its runs that has a summary.
    pub fn job_obstacles(&self, job: JobKey) -> Result<JobObstacles> {
        let select = "SELECT summary,
                    (SELECT count(*) FROM job_inputs WHERE job = ?1 AND counts IS NULL) AS inputs_left,
                    (SELECT max(started_at) FROM runs WHERE job = ?1 AND finished_at IS NULL) AS open_since
             FROM runs JOIN jobs USING (job) WHERE job = ?1 AND state IN ('running', 'paused')
             AND summary IS NOT NULL ORDER BY run DESC LIMIT 1";
        let found = self.first(select, [job], |row| {
            let summary: String = row.get("summary")?;
            let noted: JobObstacles = serde_json::from_str(&summary).unwrap_or_default();
            let (inputs_left, open_since) = (row.get("inputs_left")?, row.get("open_since")?);
            Ok(JobObstacles { inputs_left, open_since, ..noted })
        })?;
        Ok(found.unwrap_or_default())
    }

    /// The troubles of the latest earlier run of the same kind (live events or backfills) that read an event. Each
    /// trouble says whether its suite has succeeded since that run.
    pub fn earlier_troubles(&self, run: RunId, job: JobKey) -> Result<Vec<Trouble>> {
        let select = "SELECT coalesce(summary ->> '$.troubles', '[]'), finished_at FROM runs
             WHERE run < ?1 AND (job = 0) = (?2 = 0) AND summary ->> '$.read' > 0 ORDER BY run DESC LIMIT 1";
        let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, Instant>(1)?));
        let Some((troubles, ended_at)) = self.first(select, (run, job), read)? else { return Ok(Vec::new()) };
        // Runs of earlier releases recorded no troubles.
        let mut troubles: Vec<Trouble> = serde_json::from_str(&troubles).unwrap_or_default();
        let select =
            "SELECT count(*) > 0 FROM traffic JOIN mappings USING (requestor) JOIN suites USING (suite)
             WHERE rsid = ?1 AND delivered_at > ?2";
        for trouble in &mut troubles {
            trouble.has_succeeded_since = self.value(select, (&trouble.rsid, ended_at))?;
        }
        Ok(troubles)
    }

    /// How many attempts of this run were cut off before their outcome was recorded. Their events are in doubt.
    pub fn claims_left(&self, run: RunId) -> Result<u64> {
        self.value("SELECT count(*) FROM claims WHERE run = ?1", [run])
    }

    /// The latest drains of live events, newest first.
    pub fn runs(&self, limit: usize) -> Result<Vec<RunRecord>> {
        self.read(|connection| recent(connection, limit))
    }

    /// The end of the last drain of live events that did not fail. Ignores a drain that ended after `now`, because
    /// the clock was ahead then.
    pub fn last_finished_run(&self, now: Instant) -> Result<Option<Instant>> {
        let select = "SELECT finished_at FROM runs WHERE job = 0 AND finished_at <= ?1
             AND summary ->> '$.failure' IS NULL ORDER BY run DESC LIMIT 1";
        self.first(select, [now], only)
    }
}

pub(super) fn recent(connection: &Connection, limit: usize) -> Result<Vec<RunRecord>> {
    let select = "SELECT run AS run_id, started_at, finished_at, summary FROM runs WHERE job = 0 ORDER BY run DESC LIMIT ?1";
    all(connection, select, [limit], |row| {
        let summary: Option<String> = row.get("summary")?;
        let summary = summary.and_then(|text| serde_json::from_str(&text).ok());
        Ok(from_row!(row, RunRecord { run_id, started_at, finished_at }, summary: summary))
    })
}

/// The fact that marks the process which runs live drains, or backfills.
fn runner_of(job: JobKey) -> &'static str {
    if job == JobKey::LIVE { DRAIN_RUNNER } else { BACKFILL_RUNNER }
}

/// Holds the events in doubt whose suite's policy is to hold, except those in files and those that a person requeued.
fn hold_doubts(transaction: &Transaction<'_>, job: JobKey, now: Instant) -> Result<u64> {
    let select = "SELECT d.seq FROM doubts d JOIN forms f ON f.form = d.form JOIN suites s ON s.rsid = f.rsid
         JOIN events e ON e.seq = d.seq
         JOIN queue q ON q.job = e.job AND q.requestor = e.requestor AND q.occurred_at = e.occurred_at AND q.seq = e.seq
         WHERE s.on_ambiguous = 'hold' AND d.attempts > 0 AND d.wanted = 0 AND (e.job = 0) = (?1 = 0)
           AND NOT EXISTS (SELECT 1 FROM bulk_rows b WHERE b.seq = d.seq)";
    let found: Vec<Sequence> = all(transaction, select, [job], only)?;
    shift_all(transaction, &found, Term::Pending, To::Held { at: now })
}

/// Deletes the records of runs that began before an instant, and returns how many. Keeps the latest runs, the last
/// finished drain of live events, runs with claims, and all runs of running or paused backfills.
pub(super) fn prune(connection: &Connection, before: i64) -> Result<u64> {
    let change = "DELETE FROM runs WHERE run IN
             (SELECT run FROM runs WHERE started_at < ?1 AND run <= (SELECT max(run) FROM runs) - ?2
                  AND run NOT IN (SELECT run FROM waves)
                  AND job NOT IN (SELECT job FROM jobs WHERE state IN ('running', 'paused'))
                  AND run IS NOT (SELECT max(run) FROM runs WHERE job = 0 AND finished_at IS NOT NULL)
              ORDER BY run LIMIT ?3)";
    changed(connection, change, (before, RUNS_KEPT_MIN, PRUNED_A_TRANSACTION))
}
