//! The server calls of a backfill: planned, sent and left. Each hit is one server call, and so is each row of a file.

use rusqlite::Connection;
use serde::Serialize;

use super::database::Buffer;
use super::error::Result;
use super::keys::JobKey;
use super::rows::{first, run};
use crate::event::Instant;

/// The most pending events whose calls are counted, which takes two seconds. From these, all calls are estimated.
const LOOKED_AT_MAX: u64 = 1_000_000;

/// The server calls of a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct JobCalls {
    /// All calls of the backfill, counted when its sending last began; `None` if it never began.
    pub planned_calls: Option<u64>,
    /// Calls that Adobe took, including repeats. The calls of a drain count once the drain has ended.
    pub sent_calls: u64,
    /// Calls of all pending events, whatever the state of their suite; above a million events, an estimate.
    pub left_calls: u64,
    /// How much of `planned_calls` is done, in per cent; `None` if these are 0 or not known.
    pub percent: Option<f64>,
    /// Calls a second since the sending began last, waits included; `None` if nothing has been sent since.
    pub calls_per_second: Option<f64>,
    /// How long `left_calls` take at `calls_per_second`.
    pub seconds_left: Option<u64>,
}

impl Buffer {
    /// Records how many calls a backfill has to send, as its sending begins.
    pub fn begin_sending(&self, job: JobKey) -> Result<()> {
        let now = self.now();
        self.write(move |transaction| {
            let (sent, left) = (sent(transaction, job)?, left(transaction, job)?);
            let update =
                "UPDATE jobs SET calls_planned = ?2, calls_left = ?3, sending_at = ?4 WHERE job = ?1";
            run(transaction, update, (job, sent + left, left, now))
        })
    }

    pub fn job_calls(&self, job: JobKey) -> Result<JobCalls> {
        let now = self.now();
        self.read(|connection| {
            let (sent_calls, left_calls) = (sent(connection, job)?, left(connection, job)?);
            let select = "SELECT calls_planned, calls_left, sending_at FROM jobs
                 WHERE job = ?1 AND sending_at IS NOT NULL";
            let begun = first(connection, select, [job], |row| {
                Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?, row.get::<_, Instant>(2)?))
            })?;
            let calls = JobCalls { sent_calls, left_calls, ..JobCalls::default() };
            let Some((planned, left_then, sending_at)) = begun else { return Ok(calls) };
            let seconds = (now.nanos() - sending_at.nanos()) as f64 / 1e9;
            let rate = left_then.saturating_sub(left_calls) as f64 / seconds.max(f64::EPSILON);
            let rate = Some((rate * 10.0).round() / 10.0).filter(|rate| *rate > 0.0);
            Ok(JobCalls {
                planned_calls: Some(planned),
                percent: (planned > 0).then(|| {
                    (planned.saturating_sub(left_calls) as f64 / planned as f64 * 1000.0).round() / 10.0
                }),
                calls_per_second: rate,
                seconds_left: rate.map(|rate| (left_calls as f64 / rate).ceil() as u64),
                ..calls
            })
        })
    }
}

fn sent(connection: &Connection, job: JobKey) -> Result<u64> {
    let select = "SELECT calls_sent + (SELECT CAST(total(rows - invalid_rows) AS INTEGER) FROM bulk_files f
             WHERE f.job = ?1 AND f.state IN ('stuck', 'received', 'done')) FROM jobs WHERE job = ?1";
    Ok(first(connection, select, [job], super::rows::only)?.unwrap_or(0))
}

/// The calls of the pending events. With event IDs, each unit of an event takes a call, unless a hit can carry a count.
fn left(connection: &Connection, job: JobKey) -> Result<u64> {
    let select = "SELECT (SELECT count(*) FROM queue WHERE job = ?1) AS events, count(*) AS looked_at,
            total(CASE WHEN f.event_ids = 'on' AND f.count_form = 'single_hits' THEN e.count ELSE 1 END
                  - coalesce(d.hits_sent, 0)) AS calls
         FROM (SELECT seq, requestor FROM queue WHERE job = ?1 LIMIT ?2) q CROSS JOIN events e ON e.seq = q.seq
         LEFT JOIN mappings m ON m.requestor = q.requestor LEFT JOIN suites s ON s.suite = m.suite
         LEFT JOIN forms f ON f.form = s.form LEFT JOIN doubts d ON d.seq = q.seq";
    let counted = first(connection, select, (job, LOOKED_AT_MAX), |row| {
        let (events, looked_at, calls): (f64, f64, f64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok((calls * (events / looked_at.max(1.0))).round() as u64)
    })?;
    Ok(counted.unwrap_or(0))
}
