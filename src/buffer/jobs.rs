//! Backfills: what each is to do, how far it is, and what becomes of its events when a person decides against them.

use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior};
use serde::{Deserialize, Serialize};

use super::ledger::{Postings, Term};
use super::{Buffer, BufferError, DrainLock, JobKey, events, outcomes};
use crate::delivery::Sequence;
use crate::event::Instant;
use crate::job::{Hours, JobName, JobRoute, JobState};

/// Events moved in one transaction.
const MOVED_A_TRANSACTION: usize = 10_000;

/// Where events of a backfill come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobSource {
    /// A file, by its absolute path.
    File {
        path: PathBuf,
        /// The name of its format; `None`: found out.
        format: Option<String>,
    },
    /// Live events that wait in the buffer, by when they happened.
    Buffered {
        /// The first instant.
        from: Instant,
        /// The first instant behind them.
        to: Instant,
    },
}

/// An input of a backfill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobInput {
    /// Its number, from 0.
    pub number: u32,
    pub source: JobSource,
    /// Whether all of it is in the buffer.
    pub is_loaded: bool,
}

/// How a backfill goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct JobSettings {
    pub route: JobRoute,
    /// Hits, or rows, a second at the most.
    pub rate: Option<u32>,
    /// At which hours; `None` is always.
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
    /// Visitor groups of each suite, once it has a file.
    pub groups: Option<u32>,
    /// Whether Adobe has found a file of it valid.
    #[serde(skip)]
    pub is_valid: bool,
    /// When it was named.
    pub created_at: Instant,
    /// When it ended.
    pub finished_at: Option<Instant>,
}

/// The events of a backfill, by their state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct JobCounts {
    pub events: u64,
    /// Those that wait, the ones in files among them.
    pub pending: u64,
    /// Those in files whose answer is not recorded.
    pub in_files: u64,
    pub delivered: u64,
    /// Those that a reply condemned.
    pub dead: u64,
    /// Those that may have been counted and are not repeated.
    pub held: u64,
    /// Those that a person decided against.
    pub discarded: u64,
    /// Its files that are settled.
    pub files: u64,
    /// Rows of those of which only a look-up says that they are in: whether Adobe refused some of them, nobody knows.
    pub looked_up_rows: u64,
    /// Rows that Adobe refused without naming them, and that count as delivered because a person said so.
    pub unnamed_rows: u64,
}

impl Buffer {
    /// Names a backfill and its inputs.
    pub fn create_job(
        &self,
        name: &JobName,
        settings: JobSettings,
        sources: Vec<JobSource>,
    ) -> Result<(), BufferError> {
        let (name, now) = (name.clone(), self.clock.now());
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if find(&transaction, &name)?.is_some() {
                return Err(BufferError::JobExists(name));
            }
            transaction.execute(
                "INSERT INTO jobs (name, state, route, rate, hours, created_at) VALUES (?1, 'planned', ?2, ?3, ?4, ?5)",
                (name.as_str(), settings.route.as_str(), settings.rate, settings.hours.map(|hours| hours.to_string()), now.nanos()),
            )?;
            let job = transaction.last_insert_rowid();
            for (number, source) in sources.iter().enumerate() {
                let source = serde_json::to_string(source).expect("paths that were read as text are text");
                transaction.execute(
                    "INSERT INTO job_inputs (job, number, source) VALUES (?1, ?2, ?3)",
                    (job, number as i64, source),
                )?;
            }
            Ok(transaction.commit()?)
        })
    }

    /// Forgets a backfill that has brought no event.
    pub fn forget_empty_job(&self, name: &JobName) -> Result<(), BufferError> {
        let name = name.clone();
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute(
                "DELETE FROM job_inputs WHERE job IN (SELECT job FROM jobs WHERE name = ?1 AND events = 0)",
                [name.as_str()],
            )?;
            transaction.execute("DELETE FROM jobs WHERE name = ?1 AND events = 0", [name.as_str()])?;
            Ok(transaction.commit()?)
        })
    }

    /// A backfill by its name.
    pub fn job(&self, name: &JobName) -> Result<JobRecord, BufferError> {
        let name = name.clone();
        self.call(move |connection| find(connection, &name)?.ok_or(BufferError::UnknownJob(name)))
    }

    /// Every backfill, the latest first.
    pub fn jobs(&self) -> Result<Vec<JobRecord>, BufferError> {
        self.call(|connection| {
            let mut statement = connection.prepare(&format!("{JOB} ORDER BY job DESC"))?;
            let rows = statement.query_map([], record)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The inputs of a backfill.
    pub fn job_inputs(&self, job: JobKey) -> Result<Vec<JobInput>, BufferError> {
        self.call(move |connection| {
            let mut statement = connection.prepare(
                "SELECT number, source, counts IS NOT NULL FROM job_inputs WHERE job = ?1 ORDER BY number",
            )?;
            let rows = statement.query_map([job.number()], |row| {
                let source: String = row.get(1)?;
                Ok(JobInput {
                    number: row.get(0)?,
                    source: parsed(1, serde_json::from_str(&source))?,
                    is_loaded: row.get(2)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Remembers that all of an input is in the buffer, and what it held.
    pub fn job_input_loaded(
        &self,
        job: JobKey,
        number: u32,
        counts: &impl Serialize,
    ) -> Result<(), BufferError> {
        let counts = serde_json::to_string(counts).expect("numbers always serialise");
        self.call(move |connection| {
            connection.execute(
                "UPDATE job_inputs SET counts = ?3 WHERE job = ?1 AND number = ?2",
                (job.number(), number, counts),
            )?;
            Ok(())
        })
    }

    /// What the inputs held that are in the buffer, in their order.
    pub fn job_input_counts(&self, job: JobKey) -> Result<Vec<serde_json::Value>, BufferError> {
        self.call(move |connection| {
            let mut statement = connection.prepare(
                "SELECT counts FROM job_inputs WHERE job = ?1 AND counts IS NOT NULL ORDER BY number",
            )?;
            let rows = statement.query_map([job.number()], |row| {
                let counts: String = row.get(0)?;
                parsed(0, serde_json::from_str(&counts))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Moves a backfill to another state.
    pub fn set_job_state(&self, job: JobKey, state: JobState) -> Result<(), BufferError> {
        let now = self.clock.now();
        self.call(move |connection| {
            let finished_at = matches!(state, JobState::Done | JobState::Cancelled).then_some(now.nanos());
            connection.execute(
                "UPDATE jobs SET state = ?2, finished_at = ?3 WHERE job = ?1",
                (job.number(), state.as_str(), finished_at),
            )?;
            Ok(())
        })
    }

    /// Notes that a running backfill has nothing left; one that was paused or cancelled meanwhile stays so.
    pub fn job_is_done(&self, job: JobKey) -> Result<(), BufferError> {
        let now = self.clock.now();
        self.call(move |connection| {
            connection.execute(
                "UPDATE jobs SET state = 'done', finished_at = ?2 WHERE job = ?1 AND state = 'running'",
                (job.number(), now.nanos()),
            )?;
            Ok(())
        })
    }

    /// How many events of a backfill wait whose requestor has an active suite.
    pub fn job_sendable(&self, job: JobKey) -> Result<u64, BufferError> {
        let connection = super::connection::open_reader(self.path())?;
        let count: i64 = connection.query_row(
            "SELECT count(*) FROM queue q JOIN mappings m ON m.requestor = q.requestor
             JOIN suites s ON s.suite = m.suite WHERE q.job = ?1 AND s.state = 'active' AND s.blocked IS NULL",
            [job.number()],
            |row| row.get(0),
        )?;
        Ok(count.unsigned_abs())
    }

    /// Sets how a backfill goes from now on.
    pub fn set_job_settings(&self, job: JobKey, settings: JobSettings) -> Result<(), BufferError> {
        self.call(move |connection| {
            connection.execute(
                "UPDATE jobs SET route = ?2, rate = ?3, hours = ?4 WHERE job = ?1",
                (
                    job.number(),
                    settings.route.as_str(),
                    settings.rate,
                    settings.hours.map(|hours| hours.to_string()),
                ),
            )?;
            Ok(())
        })
    }

    /// Fixes the number of visitor groups for the life of a backfill; gives the number that was fixed first.
    pub fn fix_groups(&self, job: JobKey, groups: u32) -> Result<u32, BufferError> {
        self.call(move |connection| {
            connection.execute(
                "UPDATE jobs SET groups = ?2 WHERE job = ?1 AND groups IS NULL",
                (job.number(), groups),
            )?;
            Ok(connection
                .query_row("SELECT groups FROM jobs WHERE job = ?1", [job.number()], |row| row.get(0))?)
        })
    }

    /// Remembers that Adobe has found a file of this backfill valid.
    pub fn job_is_valid(&self, job: JobKey) -> Result<(), BufferError> {
        self.call(move |connection| {
            connection.execute("UPDATE jobs SET is_valid = 1 WHERE job = ?1", [job.number()])?;
            Ok(())
        })
    }

    /// The events of a backfill by their state, on a connection of its own: counts what waits, which takes a second for ten
    /// million events.
    pub fn job_counts(&self, job: JobKey) -> Result<JobCounts, BufferError> {
        let connection = super::connection::open_reader(self.path())?;
        let connection = connection.unchecked_transaction()?;
        let count = |sql: &str| -> Result<u64, BufferError> {
            let count: i64 = connection.query_row(sql, [job.number()], |row| row.get(0))?;
            Ok(count.unsigned_abs())
        };
        let events = count("SELECT events FROM jobs WHERE job = ?1")?;
        let pending = count("SELECT count(*) FROM queue WHERE job = ?1")?;
        let in_files = count(
            "SELECT count(*) FROM bulk_rows b JOIN bulk_files f ON f.file = b.file WHERE f.job = ?1 AND f.state <> 'written'",
        )?;
        // CROSS: from the few to the many. Left to itself, SQLite reads every event for them.
        let of = |table: &str| {
            count(&format!(
                "SELECT count(*) FROM {table} t CROSS JOIN events e ON e.seq = t.seq WHERE e.job = ?1"
            ))
        };
        let (dead, held, discarded) = (of("dead_letters")?, of("held")?, of("discarded")?);
        // What retention has deleted was delivered, or discarded long ago; erased events are gone from both sides.
        let delivered = events.saturating_sub(pending + dead + held + discarded);
        let files = count("SELECT count(*) FROM bulk_files WHERE job = ?1 AND state = 'done'")?;
        let looked_up_rows = count(
            "SELECT CAST(total(rows) AS INTEGER) FROM bulk_files WHERE job = ?1 AND state = 'done' AND is_looked_up = 1",
        )?;
        let unnamed_rows = count(
            "SELECT CAST(total(unnamed_rows) AS INTEGER) FROM bulk_files WHERE job = ?1 AND state = 'done'",
        )?;
        Ok(JobCounts {
            events,
            pending,
            in_files,
            delivered,
            dead,
            held,
            discarded,
            files,
            looked_up_rows,
            unnamed_rows,
        })
    }

    /// The keys of the settled files of a backfill of which only a look-up says that they are in, in the order of writing.
    pub fn looked_up_files(&self, job: JobKey) -> Result<Vec<String>, BufferError> {
        self.call(move |connection| {
            let mut statement = connection.prepare(
                "SELECT key FROM bulk_files WHERE job = ?1 AND state = 'done' AND is_looked_up = 1 ORDER BY file",
            )?;
            let keys = statement.query_map([job.number()], |row| row.get(0))?;
            Ok(keys.collect::<Result<_, _>>()?)
        })
    }

    /// Gives a backfill the live events of a span that wait, save those with attempts of unknown outcome. Nobody drains
    /// meanwhile: a drain may have read them already.
    pub fn adopt(
        &self,
        job: JobKey,
        from: Instant,
        to: Instant,
        _lock: &DrainLock,
    ) -> Result<u64, BufferError> {
        let requestors: Vec<i64> = self.call(|connection| {
            let mut statement = connection.prepare("SELECT requestor FROM requestors")?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
        })?;
        let mut adopted = 0;
        for requestor in requestors {
            while let moved @ 1.. =
                self.call(move |connection| adopt(connection, job, requestor, from, to))?
            {
                adopted += moved;
            }
        }
        Ok(adopted)
    }

    /// Decides against the events of a backfill that wait, save those that may have been counted.
    pub fn discard_job(&self, job: JobKey) -> Result<u64, BufferError> {
        let now = self.clock.now();
        self.move_job(
            job,
            "SELECT q.seq FROM queue q LEFT JOIN bulk_rows b ON b.seq = q.seq LEFT JOIN doubts d ON d.seq = q.seq
             WHERE q.job = ?1 AND b.seq IS NULL AND d.seq IS NULL LIMIT ?2",
            move |transaction, sequence, postings| {
                let (event, _, _) = events::read_event(transaction, sequence)?;
                outcomes::unqueue(transaction, &event)?;
                transaction
                    .prepare_cached("INSERT INTO discarded (seq, discarded_at, by_cancel) VALUES (?1, ?2, 1)")?
                    .execute((sequence.0, now.nanos()))?;
                postings.shift(&event, Term::Pending, Term::Discarded);
                Ok(())
            },
        )
    }

    /// Takes back the decision against the events of a backfill, and none that was made about single ones.
    pub fn restore_job(&self, job: JobKey) -> Result<u64, BufferError> {
        self.move_job(
            job,
            "SELECT t.seq FROM discarded t CROSS JOIN events e ON e.seq = t.seq WHERE e.job = ?1 AND t.by_cancel = 1 LIMIT ?2",
            |transaction, sequence, postings| {
                let (event, _, _) = events::read_event(transaction, sequence)?;
                transaction.prepare_cached("DELETE FROM discarded WHERE seq = ?1")?.execute([sequence.0])?;
                outcomes::enqueue(transaction, &event)?;
                postings.shift(&event, Term::Discarded, Term::Pending);
                Ok(())
            },
        )
    }

    /// Moves the events that a statement finds, some thousands a transaction, until it finds none.
    fn move_job(
        &self,
        job: JobKey,
        find: &'static str,
        one: impl Fn(&Transaction<'_>, Sequence, &mut Postings) -> Result<(), BufferError> + Send + Copy + 'static,
    ) -> Result<u64, BufferError> {
        let mut moved = 0;
        loop {
            let part = self.call(move |connection| {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let found = transaction
                    .prepare_cached(find)?
                    .query_map((job.number(), MOVED_A_TRANSACTION as i64), |row| row.get(0).map(Sequence))?
                    .collect::<Result<Vec<_>, _>>()?;
                let mut postings = Postings::default();
                for sequence in &found {
                    one(&transaction, *sequence, &mut postings)?;
                }
                postings.apply(&transaction)?;
                transaction.commit()?;
                Ok(found.len())
            })?;
            moved += part as u64;
            if part == 0 {
                return Ok(moved);
            }
        }
    }
}

fn adopt(
    connection: &mut Connection,
    job: JobKey,
    requestor: i64,
    from: Instant,
    to: Instant,
) -> Result<u64, BufferError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let sequences: Vec<i64> = transaction
        .prepare_cached(
            "SELECT q.seq FROM queue q LEFT JOIN doubts d ON d.seq = q.seq LEFT JOIN claims c ON c.seq = q.seq
             WHERE q.job = 0 AND q.requestor = ?1 AND q.occurred_at >= ?2 AND q.occurred_at < ?3
               AND d.seq IS NULL AND c.seq IS NULL LIMIT ?4",
        )?
        .query_map((requestor, from.nanos(), to.nanos(), MOVED_A_TRANSACTION as i64), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for sequence in &sequences {
        transaction
            .prepare_cached(
                "UPDATE queue SET job = ?2 WHERE (job, requestor, occurred_at, seq) IN
                 (SELECT job, requestor, occurred_at, seq FROM events WHERE seq = ?1)",
            )?
            .execute((sequence, job.number()))?;
        transaction
            .prepare_cached("UPDATE events SET job = ?2 WHERE seq = ?1")?
            .execute((sequence, job.number()))?;
    }
    add_events(&transaction, job, sequences.len() as u64)?;
    transaction.commit()?;
    Ok(sequences.len() as u64)
}

/// Counts events that a backfill has brought.
pub(super) fn add_events(transaction: &Transaction<'_>, job: JobKey, events: u64) -> Result<(), BufferError> {
    transaction
        .prepare_cached("UPDATE jobs SET events = events + ?2 WHERE job = ?1")?
        .execute((job.number(), events as i64))?;
    Ok(())
}

/// Counts an event of a backfill no more.
pub(super) fn forget_event(transaction: &Transaction<'_>, job: JobKey) -> Result<(), BufferError> {
    transaction
        .prepare_cached("UPDATE jobs SET events = events - 1 WHERE job = ?1")?
        .execute([job.number()])?;
    Ok(())
}

const JOB: &str =
    "SELECT job, name, state, route, rate, hours, groups, is_valid, created_at, finished_at FROM jobs";

fn find(connection: &Connection, name: &JobName) -> Result<Option<JobRecord>, BufferError> {
    let mut statement = connection.prepare_cached(&format!("{JOB} WHERE name = ?1"))?;
    Ok(statement.query_row([name.as_str()], record).optional()?)
}

fn record(row: &Row<'_>) -> rusqlite::Result<JobRecord> {
    let (name, state, route): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
    let hours: Option<String> = row.get(5)?;
    Ok(JobRecord {
        key: JobKey(row.get(0)?),
        name: parsed(1, name.parse())?,
        state: parsed(2, state.parse())?,
        settings: JobSettings {
            route: parsed(3, route.parse())?,
            rate: row.get(4)?,
            hours: parsed(5, hours.as_deref().map(str::parse).transpose())?,
        },
        groups: row.get(6)?,
        is_valid: row.get(7)?,
        created_at: Instant::from_nanos(row.get(8)?),
        finished_at: row.get::<_, Option<i64>>(9)?.map(Instant::from_nanos),
    })
}

/// A stored text as what it stands for.
fn parsed<T, E: std::error::Error + Send + Sync + 'static>(
    column: usize,
    result: Result<T, E>,
) -> rusqlite::Result<T> {
    result.map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}
