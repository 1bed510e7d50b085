//! What an operator asks first: what waits, since when, and does the account balance.

use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;

use super::ledger::{Accounting, accounting};
use super::runs::{RunRecord, recent};
use super::{Buffer, BufferError, dead_letters, runs};
use crate::delivery::{DeadReason, Sequence};
use crate::event::Instant;

/// Runs that a status shows.
const RUNS_SHOWN: usize = 10;

/// The state of the buffer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Events that wait, the parked among them.
    pub pending: i64,
    pub delivered: i64,
    pub dead: i64,
    pub held: i64,
    /// Events that an operator decided against.
    pub discarded: i64,
    /// Pending events whose requestor has no suite, or whose suite is paused or loses its hits.
    pub parked: i64,
    /// Pending events with an attempt of unknown outcome.
    pub in_doubt: i64,
    /// Rows of the open inbox.
    pub inbox: i64,
    /// When the oldest event happened that could go.
    pub oldest_sendable_at: Option<Instant>,
    /// When the first of those that could go was stored; `None` also where nobody asked.
    pub oldest_stored_at: Option<Instant>,
    /// Every term of the account.
    pub accounting: Accounting,
    /// Requestors with something to say about.
    pub requestors: Vec<RequestorStatus>,
    /// Dead letters by reason, the most frequent first.
    pub dead_by_reason: Vec<ReasonCount>,
    /// The worst case of what Analytics counted too often.
    pub over_count: OverCount,
    /// The latest runs, newest first.
    pub runs: Vec<RunRecord>,
}

/// What waits for one requestor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestorStatus {
    pub requestor_id: String,
    /// Its suite, where it has one.
    pub rsid: Option<String>,
    /// Why its events wait: `no_suite`, `paused` or `blocked`; `None` where they flow.
    pub parked: Option<&'static str>,
    /// Why hits of its suite are known to be lost, where it is `blocked`.
    pub parked_because: Option<String>,
    pub pending: i64,
    /// When the oldest of them happened.
    pub oldest_occurred_at: Option<Instant>,
    /// When the first of them was stored; `None` also where nobody asked.
    pub oldest_stored_at: Option<Instant>,
    /// When a live event of it came in last.
    pub arrived_at: Option<Instant>,
    /// When an event of it was delivered last.
    pub delivered_at: Option<Instant>,
}

/// Dead letters of one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReasonCount {
    /// The reason's code, by which the commands select.
    pub reason: DeadReason,
    pub explanation: String,
    pub events: i64,
}

/// The most that Analytics may have counted beyond the truth: attempts of unknown outcome of suites without event IDs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct OverCount {
    pub events: i64,
    /// Units: attempts times count, less what a held event would rightly count.
    pub worst_case_units: i64,
}

/// One event with attempts of unknown outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DoubtedEvent {
    pub seq: Sequence,
    /// The identifier that its source gave it.
    pub event_id: Option<String>,
    pub requestor_id: String,
    /// The suite that may have counted it.
    pub rsid: String,
    pub event: &'static str,
    /// When it happened.
    pub occurred_at: Instant,
    pub count: u32,
    /// Attempts that may have been counted.
    pub attempts: u32,
    /// `pending`, `delivered`, `held`, `dead` or `discarded`.
    pub state: String,
    /// Whether a repeat counts once, by its event ID.
    pub repeat_is_exact: bool,
    /// Why the outcome is unknown.
    pub cause: String,
}

/// Doubts and unresolved claims, with the state of their event. While no drain runs, a claim is an attempt of a run that
/// was killed.
pub(super) const DOUBTED: &str = "
    WITH open AS (
        SELECT seq, form, sum(attempts) AS attempts, max(cause) AS cause FROM (
            SELECT seq, form, attempts, cause FROM doubts
            UNION ALL SELECT seq, form, 1, 'under way, or the run ended before the reply was recorded' FROM claims)
        GROUP BY seq),
    doubted AS (
        SELECT o.seq, o.form, o.attempts, o.cause, e.count, e.slot, e.occurred_at, e.requestor, e.body,
            CASE WHEN EXISTS (SELECT 1 FROM queue q WHERE q.job = e.job AND q.requestor = e.requestor
                              AND q.occurred_at = e.occurred_at AND q.seq = e.seq) THEN 'pending'
                 WHEN EXISTS (SELECT 1 FROM held h WHERE h.seq = o.seq) THEN 'held'
                 WHEN EXISTS (SELECT 1 FROM dead_letters d WHERE d.seq = o.seq) THEN 'dead'
                 WHEN EXISTS (SELECT 1 FROM discarded d WHERE d.seq = o.seq) THEN 'discarded'
                 ELSE 'delivered' END AS state,
            EXISTS (SELECT 1 FROM held h WHERE h.seq = o.seq) OR EXISTS (SELECT 1 FROM dead_letters d WHERE d.seq = o.seq)
                OR EXISTS (SELECT 1 FROM discarded d WHERE d.seq = o.seq)
                OR EXISTS (SELECT 1 FROM settled s WHERE s.seq = o.seq) AS is_unanswered
        FROM open o JOIN events e ON e.seq = o.seq)";

/// The facts that sum up the over-count of events that have expired.
const OVER_COUNT_EVENTS: &str = "over_count_events";
pub(super) const OVER_COUNT_UNITS: &str = "over_count_units";

impl Buffer {
    /// The state of the buffer, from its counters: cheap whatever its size.
    pub fn status(&self) -> Result<Status, BufferError> {
        let connection = super::connection::open_reader(self.path())?;
        let transaction = connection.unchecked_transaction()?;
        let accounting = accounting(&transaction)?;
        let requestors = requestors(&transaction)?;
        let parked = requestors.iter().filter(|requestor| requestor.parked.is_some());
        let flowing = requestors.iter().filter(|requestor| requestor.parked.is_none());
        Ok(Status {
            pending: accounting.pending.events,
            delivered: accounting.delivered.events,
            dead: accounting.dead.events,
            held: accounting.held.events,
            discarded: accounting.discarded.events,
            parked: parked.map(|requestor| requestor.pending).sum(),
            in_doubt: count(
                &transaction,
                &format!("{DOUBTED} SELECT count(*) FROM doubted WHERE state = 'pending'"),
            )?,
            inbox: count(&transaction, "SELECT count(*) FROM inbox")?,
            oldest_sendable_at: flowing.filter_map(|requestor| requestor.oldest_occurred_at).min(),
            oldest_stored_at: None,
            dead_by_reason: dead_by_reason(&transaction)?,
            over_count: over_count(&transaction)?,
            runs: recent(&transaction, RUNS_SHOWN)?,
            accounting,
            requestors,
        })
    }

    /// How many events wait, from the counters, on a connection of its own.
    pub fn pending(&self) -> Result<u64, BufferError> {
        let connection = super::connection::open_reader(self.path())?;
        let pending = count(&connection, "SELECT CAST(total(pending_events) AS INTEGER) FROM ledger")?;
        Ok(pending.unsigned_abs())
    }

    /// Every event with attempts of unknown outcome, whatever became of it since, in the order of arrival.
    pub fn doubted(&self) -> Result<Vec<DoubtedEvent>, BufferError> {
        let connection = super::connection::open_reader(self.path())?;
        let mut statement = connection.prepare(&format!(
            "{DOUBTED} SELECT d.seq, d.body ->> 'event_id', r.requestor_id, f.rsid, d.slot, d.occurred_at, d.count, d.attempts,
                              d.state, f.event_ids = 'on', d.cause
             FROM doubted d JOIN requestors r ON r.requestor = d.requestor JOIN forms f ON f.form = d.form ORDER BY d.seq"
        ))?;
        let rows = statement.query_map([], |row| {
            Ok(DoubtedEvent {
                seq: Sequence(row.get(0)?),
                event_id: row.get(1)?,
                requestor_id: row.get(2)?,
                rsid: row.get(3)?,
                event: dead_letters::event_name(row, 4)?,
                occurred_at: Instant::from_nanos(row.get(5)?),
                count: row.get(6)?,
                attempts: row.get(7)?,
                state: row.get(8)?,
                repeat_is_exact: row.get(9)?,
                cause: row.get(10)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn count(connection: &Connection, sql: &str) -> Result<i64, BufferError> {
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

fn requestors(connection: &Connection) -> Result<Vec<RequestorStatus>, BufferError> {
    let mut statement = connection.prepare(
        "SELECT r.requestor_id, s.rsid, s.state, total(l.pending_events),
                (SELECT min(q.occurred_at) FROM queue q WHERE q.job = 0 AND q.requestor = r.requestor), s.blocked,
                t.arrived_at, t.delivered_at
         FROM requestors r LEFT JOIN mappings m ON m.requestor = r.requestor LEFT JOIN suites s ON s.suite = m.suite
         LEFT JOIN ledger l ON l.requestor = r.requestor LEFT JOIN traffic t ON t.requestor = r.requestor
         GROUP BY r.requestor ORDER BY r.requestor_id",
    )?;
    let rows = statement.query_map([], |row| {
        let state: Option<String> = row.get(2)?;
        let blocked: Option<String> = row.get(5)?;
        Ok(RequestorStatus {
            requestor_id: row.get(0)?,
            rsid: row.get(1)?,
            parked: match state.as_deref() {
                Some("active") => blocked.is_some().then_some("blocked"),
                Some(_) => Some("paused"),
                None => Some("no_suite"),
            },
            parked_because: blocked.filter(|_| state.as_deref() == Some("active")),
            pending: row.get::<_, f64>(3)? as i64,
            oldest_occurred_at: row.get::<_, Option<i64>>(4)?.map(Instant::from_nanos),
            oldest_stored_at: None,
            arrived_at: row.get::<_, Option<i64>>(6)?.map(Instant::from_nanos),
            delivered_at: row.get::<_, Option<i64>>(7)?.map(Instant::from_nanos),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn dead_by_reason(connection: &Connection) -> Result<Vec<ReasonCount>, BufferError> {
    let mut statement =
        connection.prepare("SELECT reason, count(*) FROM dead_letters GROUP BY reason ORDER BY 2 DESC, 1")?;
    let rows = statement.query_map([], |row| {
        let reason = DeadReason::from_code(&row.get::<_, String>(0)?);
        Ok(ReasonCount { explanation: reason.to_string(), reason, events: row.get(1)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A doubtful attempt of an event that was answered SUCCESS, or will be, may have counted besides the one that is right. Where
/// no attempt was ever answered, one of them may be the right one. Events that have expired are remembered as a sum.
fn over_count(connection: &Connection) -> Result<OverCount, BufferError> {
    let (events, units): (i64, f64) = connection.query_row(
        &format!(
            "{DOUBTED} SELECT count(*), total(d.count * (d.attempts - d.is_unanswered))
             FROM doubted d JOIN forms f ON f.form = d.form
             WHERE f.event_ids = 'off' AND d.attempts > d.is_unanswered"
        ),
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let expired = |name| runs::fact(connection, name).map(|value| value.unwrap_or(0));
    Ok(OverCount {
        events: events + expired(OVER_COUNT_EVENTS)?,
        worst_case_units: units as i64 + expired(OVER_COUNT_UNITS)?,
    })
}

/// Adds the over-count of an event to the sum that outlives it.
pub(super) fn remember_over_count(connection: &Connection, sequence: Sequence) -> Result<(), BufferError> {
    let is_doubted: bool = connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM doubts WHERE seq = ?1) OR EXISTS (SELECT 1 FROM claims WHERE seq = ?1)",
        )?
        .query_row([sequence.0], |row| row.get(0))?;
    if !is_doubted {
        return Ok(());
    }
    let over: Option<i64> = connection
        .prepare_cached(&format!(
            "{DOUBTED} SELECT d.count * (d.attempts - d.is_unanswered) FROM doubted d JOIN forms f ON f.form = d.form
             WHERE d.seq = ?1 AND f.event_ids = 'off' AND d.attempts > d.is_unanswered"
        ))?
        .query_row([sequence.0], |row| row.get(0))
        .optional()?;
    if let Some(units) = over {
        for (name, more) in [(OVER_COUNT_EVENTS, 1), (OVER_COUNT_UNITS, units)] {
            let sum = runs::fact(connection, name)?.unwrap_or(0) + more;
            runs::set_fact(connection, name, sum)?;
        }
    }
    Ok(())
}
