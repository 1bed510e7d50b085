//! Backfills (jobs): their settings, inputs and progress, and what a cancel does with their events.

use std::path::PathBuf;

use rusqlite::Transaction;
use serde::{Deserialize, Serialize};

use super::claims;
use super::columns::Json;
use super::database::Buffer;
use super::error::{BufferError, Result};
use super::keys::{JobKey, RequestorKey};
use super::ledger::{Term, count_in_job};
use super::rows::{all, changed, from_row, only, run, value};
use super::sqlite::DrainLock;
use super::states::{To, shift_all};
use crate::config::MapConfig;
use crate::delivery::Sequence;
use crate::event::{Instant, Slice};
use crate::job::{Hours, JobName, JobRoute, JobState};
use crate::suite::Rsid;

/// Events moved in one transaction.
const MOVED_A_TRANSACTION: usize = 10_000;

/// The source of a backfill's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobSource {
    /// A file, by its absolute path.
    File {
        path: PathBuf,
        /// The name of the format; `None` if it is to be detected.
        format: Option<String>,
        /// The map with its name, as it was when the backfill was planned.
        #[serde(default)]
        map: Option<Box<(String, MapConfig)>>,
        #[serde(default)]
        slice: Slice,
    },
    /// Live events that are pending in the buffer and happened in this time span.
    Buffered {
        from: Instant,
        /// The end of the span, exclusive.
        to: Instant,
    },
}

/// Where events of a backfill came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobInput {
    /// The input's number, from 0.
    pub number: u32,
    pub source: JobSource,
    pub is_loaded: bool,
}

/// What a person chose when the backfill was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct JobSettings {
    pub route: JobRoute,
    /// The most hits (or rows of bulk files) per second; `None` means as configured.
    pub rate: Option<u32>,
    /// The hours in which the backfill may send; `None` means always.
    pub hours: Option<Hours>,
}

/// A backfill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobRecord {
    #[serde(skip)]
    pub key: JobKey,
    pub name: JobName,
    pub state: JobState,
    #[serde(flatten)]
    pub settings: JobSettings,
    /// The number of visitor groups of each suite; `None` before the first file.
    pub groups: Option<u32>,
    /// Whether Adobe has found a file of this backfill valid.
    #[serde(skip)]
    pub is_valid: bool,
    pub created_at: Instant,
    pub finished_at: Option<Instant>,
}

/// The events of a backfill, by their state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct JobCounts {
    pub events: u64,
    /// Pending events, including those in files.
    pub pending: u64,
    /// Pending events in files that were sent. They have no outcome yet.
    pub in_files: u64,
    /// Events that are in no other state here. Retention deletes delivered and discarded events; both count here then.
    pub delivered: u64,
    pub dead: u64,
    pub held: u64,
    pub discarded: u64,
    /// Files that are done.
    pub files: u64,
    /// Rows of done files whose arrival only a look-up has shown. A look-up does not say whether Adobe refused rows.
    pub looked_up_rows: u64,
    /// Rows that Adobe refused without naming them, or did not count. A person accepted that they count as delivered.
    pub unnamed_rows: u64,
}

impl Buffer {
    /// Records a backfill with its inputs and the plan of what it would do.
    pub fn create_job(
        &self,
        name: &JobName,
        settings: JobSettings,
        sources: Vec<JobSource>,
        plan: &impl Serialize,
    ) -> Result<()> {
        let plan = serde_json::to_string(plan).expect("numbers and names always serialise");
        let (name, now) = (name.clone(), self.now());
        self.write(move |transaction| {
            let JobSettings { route, rate, hours } = settings;
            let insert = "INSERT INTO jobs (name, state, route, rate, hours, created_at, plan) VALUES (?1, 'planned', ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (name) DO NOTHING";
            if changed(transaction, insert, (&name, route, rate, hours, now, plan))? == 0 {
                return Err(BufferError::JobExists(name));
            }
            let job = JobKey(transaction.last_insert_rowid());
            for (number, source) in sources.iter().enumerate() {
                let insert = "INSERT INTO job_inputs (job, number, source) VALUES (?1, ?2, ?3)";
                run(transaction, insert, (job, number, Json(source)))?;
            }
            Ok(())
        })
    }

    /// The plan that was recorded with a backfill; `None` if an earlier release recorded it, without a plan.
    pub fn job_plan(&self, job: JobKey) -> Result<Option<serde_json::Value>> {
        let select = "SELECT plan FROM jobs WHERE job = ?1 AND plan IS NOT NULL";
        self.first(select, [job], |row| Ok(row.get::<_, Json<_>>("plan")?.0))
    }

    /// Deletes a backfill that has brought no event.
    pub fn forget_empty_job(&self, name: &JobName) -> Result<()> {
        let name = name.clone();
        self.write(move |transaction| {
            let inputs =
                "DELETE FROM job_inputs WHERE job IN (SELECT job FROM jobs WHERE name = ?1 AND events = 0)";
            run(transaction, inputs, [&name])?;
            run(transaction, "DELETE FROM jobs WHERE name = ?1 AND events = 0", [&name])
        })
    }

    pub fn job(&self, name: &JobName) -> Result<JobRecord> {
        self.records(Some(name))?.pop().ok_or_else(|| BufferError::UnknownJob(name.clone()))
    }

    /// Every backfill except the standing ones of suites, the latest first.
    pub fn jobs(&self) -> Result<Vec<JobRecord>> {
        self.records(None)
    }

    /// The standing backfill that sends the live events of a suite in files. Makes it if there is none.
    pub fn standing_job(&self, rsid: &Rsid) -> Result<JobRecord> {
        let (of, name, now) = (rsid.clone(), JobName::of_suite(rsid), self.now());
        self.write(move |transaction| {
            let insert = "INSERT INTO jobs (job, name, state, route, created_at)
                 SELECT -suite, ?2, 'planned', 'bulk', ?3 FROM suites WHERE rsid = ?1
                 ON CONFLICT (job) DO UPDATE SET name = ?2";
            run(transaction, insert, (of, name, now))
        })?;
        self.job(&JobName::of_suite(rsid))
    }

    fn records(&self, name: Option<&JobName>) -> Result<Vec<JobRecord>> {
        let select =
            "SELECT job, name, state, route, rate, hours, groups, is_valid, created_at, finished_at FROM jobs
             WHERE name = ?1 OR (?1 IS NULL AND job > 0) ORDER BY job DESC";
        self.all(select, [name], |row| {
            let settings = from_row!(row, JobSettings { route, rate, hours });
            Ok(from_row!(row, JobRecord { name, state, groups, is_valid, created_at, finished_at },
                key: row.get("job")?, settings: settings))
        })
    }

    pub fn job_inputs(&self, job: JobKey) -> Result<Vec<JobInput>> {
        let select = "SELECT number, source, counts IS NOT NULL AS is_loaded FROM job_inputs WHERE job = ?1 ORDER BY number";
        self.all(select, [job], |row| {
            let Json(source) = row.get("source")?;
            Ok(from_row!(row, JobInput { number, is_loaded }, source: source))
        })
    }

    /// Records that all of an input is in the buffer, with the input's counts.
    pub fn job_input_loaded(&self, job: JobKey, number: u32, counts: &impl Serialize) -> Result<()> {
        let counts = serde_json::to_string(counts).expect("numbers always serialise");
        self.change("UPDATE job_inputs SET counts = ?3 WHERE job = ?1 AND number = ?2", (job, number, counts))
    }

    /// The counts of the inputs that are in the buffer, in the order of the inputs.
    pub fn job_input_counts(&self, job: JobKey) -> Result<Vec<serde_json::Value>> {
        let select = "SELECT counts FROM job_inputs WHERE job = ?1 AND counts IS NOT NULL ORDER BY number";
        self.all(select, [job], |row| Ok(row.get::<_, Json<_>>("counts")?.0))
    }

    pub fn set_job_state(&self, job: JobKey, state: JobState) -> Result<()> {
        let finished_at = matches!(state, JobState::Done | JobState::Cancelled).then(|| self.now());
        let update = "UPDATE jobs SET state = ?2, finished_at = ?3 WHERE job = ?1";
        self.change(update, (job, state, finished_at))
    }

    /// Marks a running backfill as done. If it was paused or cancelled meanwhile, changes nothing.
    pub fn job_is_done(&self, job: JobKey) -> Result<()> {
        let update = "UPDATE jobs SET state = 'done', finished_at = ?2 WHERE job = ?1 AND state = 'running'";
        self.change(update, (job, self.now()))
    }

    pub fn set_job_settings(&self, job: JobKey, settings: JobSettings) -> Result<()> {
        let JobSettings { route, rate, hours } = settings;
        let update = "UPDATE jobs SET route = ?2, rate = ?3, hours = ?4 WHERE job = ?1";
        self.change(update, (job, route, rate, hours))
    }

    /// Sets the number of visitor groups of a backfill, unless it is set already. Returns the number that is set.
    pub fn fix_groups(&self, job: JobKey, groups: u32) -> Result<u32> {
        self.write(move |transaction| {
            run(transaction, "UPDATE jobs SET groups = ?2 WHERE job = ?1 AND groups IS NULL", (job, groups))?;
            value(transaction, "SELECT groups FROM jobs WHERE job = ?1", [job])
        })
    }

    /// Records that Adobe has found a file of a backfill valid.
    pub fn job_is_valid(&self, job: JobKey) -> Result<()> {
        self.change("UPDATE jobs SET is_valid = 1 WHERE job = ?1", [job])
    }

    /// How many pending events of a backfill belong to a requestor whose suite is active and not blocked.
    pub fn job_sendable(&self, job: JobKey) -> Result<u64> {
        let select = "SELECT count(*) FROM queue q JOIN mappings m ON m.requestor = q.requestor
             JOIN suites s ON s.suite = m.suite WHERE q.job = ?1 AND s.state = 'active' AND s.blocked IS NULL";
        self.value(select, [job])
    }

    /// Whether more than this many live events of a suite that is active and not blocked are pending.
    pub fn has_pending_above(&self, rsid: &Rsid, events: u64) -> Result<bool> {
        let select = "SELECT count(*) FROM (SELECT 1 FROM suites s CROSS JOIN mappings m CROSS JOIN queue q
             WHERE s.rsid = ?1 AND s.state = 'active' AND s.blocked IS NULL AND m.suite = s.suite AND q.job = 0 AND q.requestor = m.requestor LIMIT ?2)";
        Ok(self.value::<u64>(select, (rsid, events.saturating_add(1)))? > events)
    }

    /// The events of a backfill by state. To count ten million pending events takes a second.
    pub fn job_counts(&self, job: JobKey) -> Result<JobCounts> {
        // CROSS JOIN makes SQLite start with the few rows of a state's table, and not with all events.
        let select = "SELECT (SELECT events FROM jobs WHERE job = ?1) AS events,
                    (SELECT count(*) FROM queue WHERE job = ?1) AS pending,
                    (SELECT count(*) FROM bulk_rows b JOIN bulk_files f ON f.file = b.file
                     WHERE f.job = ?1 AND f.state <> 'written') AS in_files,
                    (SELECT count(*) FROM dead_letters t CROSS JOIN events e ON e.seq = t.seq WHERE e.job = ?1) AS dead,
                    (SELECT count(*) FROM held t CROSS JOIN events e ON e.seq = t.seq WHERE e.job = ?1) AS held,
                    (SELECT count(*) FROM discarded t CROSS JOIN events e ON e.seq = t.seq WHERE e.job = ?1) AS discarded,
                    count(*) AS files, CAST(total(rows * is_looked_up) AS INTEGER) AS looked_up_rows,
                    CAST(total(unnamed_rows) AS INTEGER) AS unnamed_rows
             FROM bulk_files WHERE job = ?1 AND state = 'done'";
        let counted = self.first(select, [job], |row| {
            Ok(from_row!(row, JobCounts {
                events, pending, in_files, dead, held, discarded, files, looked_up_rows, unnamed_rows
            }, delivered: 0))
        })?;
        let counts = counted.unwrap_or_default();
        // `events` does not include erased events.
        let others = counts.pending + counts.dead + counts.held + counts.discarded;
        Ok(JobCounts { delivered: counts.events.saturating_sub(others), ..counts })
    }

    /// The keys of a backfill's done files whose arrival only a look-up has shown, in the order of writing.
    pub fn looked_up_files(&self, job: JobKey) -> Result<Vec<String>> {
        let select =
            "SELECT key FROM bulk_files WHERE job = ?1 AND state = 'done' AND is_looked_up = 1 ORDER BY file";
        self.all(select, [job], only)
    }

    /// Moves the pending live events of a time span into a backfill, except those in files and those that may have been
    /// counted, even in part. Returns how many. The lock proves that no drain runs. A drain that had already read the
    /// events would send them too.
    pub fn adopt(&self, job: JobKey, from: Instant, to: Instant, _lock: &DrainLock) -> Result<u64> {
        let requestors: Vec<RequestorKey> = self.all("SELECT requestor FROM requestors", [], only)?;
        let adopt = |requestor| {
            self.write_in_parts(move |transaction| adopt(transaction, job, requestor, (from, to)))
        };
        requestors.into_iter().map(adopt).sum()
    }

    /// Discards the pending events of a backfill, except events in files and events that may have been counted. An
    /// event that a killed run was sending may have been counted. The caller holds the lock of backfills.
    pub fn discard_job(&self, job: JobKey) -> Result<u64> {
        let now = self.now();
        self.write(move |transaction| claims::recover(transaction, job, now))?;
        let find = "SELECT q.seq FROM queue q LEFT JOIN bulk_rows b ON b.seq = q.seq LEFT JOIN doubts d ON d.seq = q.seq
             WHERE q.job = ?1 AND b.seq IS NULL AND d.seq IS NULL LIMIT ?2";
        let to = To::Discarded { at: now, by_cancel: true };
        self.write_in_parts(move |transaction| move_found(transaction, job, find, Term::Pending, to))
    }

    /// Makes events pending again if a cancel discarded them. Events discarded one by one stay discarded.
    pub fn restore_job(&self, job: JobKey) -> Result<u64> {
        let find = "SELECT t.seq FROM discarded t CROSS JOIN events e ON e.seq = t.seq
             WHERE e.job = ?1 AND t.by_cancel = 1 LIMIT ?2";
        self.write_in_parts(move |transaction| {
            move_found(transaction, job, find, Term::Discarded, To::Pending)
        })
    }
}

/// Moves up to `MOVED_A_TRANSACTION` events that the statement `find` selects. Returns how many.
fn move_found(transaction: &Transaction<'_>, job: JobKey, find: &str, from: Term, to: To<'_>) -> Result<u64> {
    let found: Vec<Sequence> = all(transaction, find, (job, MOVED_A_TRANSACTION), only)?;
    shift_all(transaction, &found, from, to)
}

fn adopt(
    transaction: &Transaction<'_>,
    job: JobKey,
    requestor: RequestorKey,
    (from, to): (Instant, Instant),
) -> Result<u64> {
    let select = "SELECT q.seq FROM queue q LEFT JOIN doubts d ON d.seq = q.seq
         LEFT JOIN bulk_rows b ON b.seq = q.seq
         WHERE q.job = 0 AND q.requestor = ?1 AND q.occurred_at >= ?2 AND q.occurred_at < ?3
           AND d.seq IS NULL AND b.seq IS NULL AND q.seq NOT IN (SELECT seq FROM claims) LIMIT ?4";
    let found: Vec<Sequence> = all(transaction, select, (requestor, from, to, MOVED_A_TRANSACTION), only)?;
    for sequence in &found {
        let change = "UPDATE queue SET job = ?2 WHERE (job, requestor, occurred_at, seq) IN
             (SELECT job, requestor, occurred_at, seq FROM events WHERE seq = ?1)";
        run(transaction, change, (sequence, job))?;
        run(transaction, "UPDATE events SET job = ?2 WHERE seq = ?1", (sequence, job))?;
    }
    count_in_job(transaction, job, found.len() as i64)?;
    Ok(found.len() as u64)
}
