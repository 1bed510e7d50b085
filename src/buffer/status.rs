//! The state of a buffer for an operator: how much is pending, since when, and whether the account balances.

use rusqlite::Connection;
use serde::Serialize;

use super::arrivals::{LOOKED_AT_MAX, oldest_stored_at};
use super::database::Buffer;
use super::doubts::{DoubtedEvent, each_doubted};
use super::error::Result;
use super::facts::{INBOX_LEFT_SINCE, fact};
use super::keys::RequestorKey;
use super::ledger::{Accounting, HOUR_NANOS, accounting, accounting_of_suites};
use super::rows::{all, from_row, value};
use super::runs::{RunRecord, recent};
use super::tombstones::{OVER_COUNT_EVENTS, OVER_COUNT_UNITS};
use crate::delivery::DeadReason;
use crate::event::Instant;

const RUNS_SHOWN: usize = 10;
const IN_FILES: &str = "SELECT count(*) FROM bulk_files f CROSS JOIN bulk_rows b ON b.file = f.file
     WHERE f.job < 0 AND f.state NOT IN ('written', 'done')";

const PARTLY_SENT: &str = "SELECT count(*) FROM doubts d CROSS JOIN events e ON e.seq = d.seq
     JOIN queue q ON q.job = e.job AND q.requestor = e.requestor AND q.occurred_at = e.occurred_at AND q.seq = e.seq
     WHERE d.attempts = 0";

/// The state of the buffer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Pending events, including parked ones.
    pub pending: i64,
    /// Delivered events that the buffer still has.
    pub delivered: i64,
    pub dead: i64,
    pub held: i64,
    pub discarded: i64,
    /// Pending events whose requestor has no suite, or whose suite is paused or blocked.
    pub parked: i64,
    /// Pending events with an attempt of unknown outcome.
    pub in_doubt: i64,
    /// Pending events with some counted hits. The next attempt begins with the first hit that was not counted.
    pub partly_sent: i64,
    /// Pending live events in files that were sent and are not done. Only a drain of their suite settles them.
    pub in_files: i64,
    /// Rows of the inbox.
    pub inbox: i64,
    /// Since when the inbox has rows that drains cannot move.
    pub inbox_left_since: Option<Instant>,
    /// When the oldest pending live event that could be sent happened.
    pub oldest_sendable_at: Option<Instant>,
    /// When the first pending live event that could be sent was stored. See `status_with_ages`.
    pub oldest_stored_at: Option<Instant>,
    pub accounting: Accounting,
    /// Every requestor that the buffer knows.
    pub requestors: Vec<RequestorStatus>,
    /// Dead letters by reason, the most frequent first.
    pub dead_by_reason: Vec<ReasonCount>,
    /// Held events by the cause of their doubt, the most frequent first.
    pub held_by_cause: Vec<CauseCount>,
    /// The most that Analytics may have counted too often.
    pub over_count: OverCount,
    /// The latest drains of live events, newest first.
    pub runs: Vec<RunRecord>,
}

/// A requestor, its suite and its pending events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct RequestorStatus {
    #[serde(skip)]
    pub key: RequestorKey,
    pub requestor_id: String,
    pub rsid: Option<String>,
    /// The collection host of the suite.
    #[serde(skip)]
    pub host: Option<String>,
    /// Why the events are not sent: `no_suite`, `paused` or `blocked`; `None` if they are sent.
    pub parked: Option<&'static str>,
    /// Why hits of the suite are known to be lost; only if it is `blocked`.
    pub parked_because: Option<String>,
    /// Pending events, also of backfills.
    pub pending: i64,
    /// When the oldest pending live event happened.
    pub oldest_occurred_at: Option<Instant>,
    /// When the first pending live event was stored; `None` if there is none, or if ages were not asked for.
    pub oldest_stored_at: Option<Instant>,
    /// When a live event of the requestor was last stored.
    pub arrived_at: Option<Instant>,
    /// When an event of the requestor was last delivered.
    pub delivered_at: Option<Instant>,
}

impl RequestorStatus {
    /// The reason, for people, why the events are not sent; `None` if they are sent.
    pub fn why_parked(&self) -> Option<String> {
        let why = self.parked?.replace('_', " ");
        Some(self.parked_because.as_ref().map_or(why.clone(), |because| format!("{why}, {because}")))
    }
}

/// Dead letters of one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReasonCount {
    /// The code of the reason, by which commands select dead letters.
    pub reason: DeadReason,
    pub explanation: String,
    pub events: i64,
}

/// Held events of one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CauseCount {
    pub cause: String,
    pub events: i64,
}

/// The events of a requestor that happened within one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hourly {
    pub requestor_id: String,
    /// The UTC hour, counted from the Unix epoch.
    pub hour: i64,
    pub ingested: i64,
    pub delivered: i64,
}

/// The most that Analytics may have counted too often: attempts of unknown outcome to suites without event IDs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct OverCount {
    pub events: i64,
    /// For each event, its count times the attempts that may have counted too often; summed over the events.
    pub worst_case_units: i64,
}

impl Buffer {
    /// The state of the buffer, from its counters. Fast for a buffer of any size.
    pub fn status(&self) -> Result<Status> {
        self.read(status)
    }

    /// The state of the buffer with the ages of pending events. Reads up to `LOOKED_AT_MAX` rows of the queue.
    pub fn status_with_ages(&self) -> Result<Status> {
        self.read(|connection| {
            let mut status = status(connection)?;
            let mut left = LOOKED_AT_MAX;
            for requestor in status.requestors.iter_mut().filter(|requestor| requestor.pending > 0) {
                requestor.oldest_stored_at = oldest_stored_at(connection, requestor.key, left.max(1))?;
                left -= requestor.pending;
            }
            let flowing = status.requestors.iter().filter(|requestor| requestor.parked.is_none());
            status.oldest_stored_at = flowing.filter_map(|requestor| requestor.oldest_stored_at).min();
            Ok(status)
        })
    }

    /// The account of each suite; `None` has the requestors without a suite.
    pub fn suite_accounts(&self) -> Result<Vec<(Option<String>, Accounting)>> {
        self.read(accounting_of_suites)
    }

    /// How many events of each hour from `since` on came in, and how many of them were delivered.
    pub fn hourly(&self, since: Instant) -> Result<Vec<Hourly>> {
        // The list of slots lets SQLite use the key of the ledger, whatever its statistics say.
        let select =
            "WITH RECURSIVE slots(slot) AS (SELECT 1 UNION ALL SELECT slot + 1 FROM slots WHERE slot < 18)
             SELECT r.requestor_id, l.hour, sum(l.ingested_events) AS ingested,
                    sum(l.delivered_events + l.expired_delivered_events) AS delivered
             FROM requestors r CROSS JOIN slots CROSS JOIN ledger l
                  ON l.requestor = r.requestor AND l.slot = slots.slot AND l.hour >= ?1
             GROUP BY r.requestor, l.hour";
        self.all(select, [since.nanos().div_euclid(HOUR_NANOS)], |row| {
            Ok(from_row!(row, Hourly { requestor_id, hour, ingested, delivered }))
        })
    }

    /// Every requestor that the buffer knows, in the order of their IDs.
    pub fn requestors(&self) -> Result<Vec<RequestorStatus>> {
        self.read(requestors)
    }

    /// How many events are pending, from the counters.
    pub fn pending(&self) -> Result<u64> {
        let select = "SELECT CAST(total(pending_events) AS INTEGER) FROM ledger";
        self.value(select, [])
    }

    /// Every event with attempts of unknown outcome, whatever its state is now, in the order of storing.
    pub fn doubted(&self) -> Result<Vec<DoubtedEvent>> {
        let mut found = Vec::new();
        self.read(|connection| each_doubted(connection, |doubted| found.push(doubted)))?;
        Ok(found)
    }
}

fn status(connection: &Connection) -> Result<Status> {
    let accounting = accounting(connection)?;
    let requestors = requestors(connection)?;
    let parked = requestors.iter().filter(|requestor| requestor.parked.is_some());
    let flowing = requestors.iter().filter(|requestor| requestor.parked.is_none());
    let (in_doubt, over_count) = in_doubt(connection)?;
    Ok(Status {
        pending: accounting.pending.events,
        delivered: accounting.delivered.events,
        dead: accounting.dead.events,
        held: accounting.held.events,
        discarded: accounting.discarded.events,
        parked: parked.map(|requestor| requestor.pending).sum(),
        in_doubt,
        partly_sent: value(connection, PARTLY_SENT, [])?,
        in_files: value(connection, IN_FILES, [])?,
        inbox: value(connection, "SELECT count(*) FROM inbox", [])?,
        inbox_left_since: fact(connection, INBOX_LEFT_SINCE)?.map(Instant::from_nanos),
        oldest_sendable_at: flowing.filter_map(|requestor| requestor.oldest_occurred_at).min(),
        oldest_stored_at: None,
        dead_by_reason: dead_by_reason(connection)?,
        held_by_cause: held_by_cause(connection)?,
        over_count,
        runs: recent(connection, RUNS_SHOWN)?,
        accounting,
        requestors,
    })
}

fn requestors(connection: &Connection) -> Result<Vec<RequestorStatus>> {
    let select = "SELECT r.requestor AS key, r.requestor_id, s.rsid, s.collection_url AS host, s.state, s.blocked, CAST(total(l.pending_events) AS INTEGER) AS pending,
                (SELECT min(q.occurred_at) FROM queue q WHERE q.job = 0 AND q.requestor = r.requestor) AS oldest_occurred_at,
                t.arrived_at, t.delivered_at
         FROM requestors r LEFT JOIN mappings m ON m.requestor = r.requestor LEFT JOIN suites s ON s.suite = m.suite
         LEFT JOIN ledger l ON l.requestor = r.requestor LEFT JOIN traffic t ON t.requestor = r.requestor
         GROUP BY r.requestor ORDER BY r.requestor_id";
    all(connection, select, [], |row| {
        let state: Option<String> = row.get("state")?;
        let blocked: Option<String> = row.get("blocked")?;
        let (parked, parked_because) = match state.as_deref() {
            Some("active") => (blocked.is_some().then_some("blocked"), blocked),
            Some(_) => (Some("paused"), None),
            None => (Some("no_suite"), None),
        };
        Ok(from_row!(
            row,
            RequestorStatus { key, requestor_id, rsid, host, pending, oldest_occurred_at, arrived_at, delivered_at },
            parked: parked, parked_because: parked_because, oldest_stored_at: None
        ))
    })
}

fn dead_by_reason(connection: &Connection) -> Result<Vec<ReasonCount>> {
    let select = "SELECT reason, count(*) AS events FROM dead_letters GROUP BY reason ORDER BY 2 DESC, 1";
    all(connection, select, [], |row| {
        let reason: DeadReason = row.get("reason")?;
        Ok(from_row!(row, ReasonCount { events }, explanation: reason.to_string(), reason: reason))
    })
}

fn held_by_cause(connection: &Connection) -> Result<Vec<CauseCount>> {
    let select = "SELECT d.cause, count(*) AS events FROM held h CROSS JOIN doubts d ON d.seq = h.seq
         GROUP BY d.cause ORDER BY 2 DESC, 1";
    all(connection, select, [], |row| Ok(from_row!(row, CauseCount { cause, events })))
}

/// How many pending events are in doubt, and how much Analytics may have counted too often. The over-count
/// includes deleted events.
fn in_doubt(connection: &Connection) -> Result<(i64, OverCount)> {
    let expired = |name| fact(connection, name).map(|value| value.unwrap_or(0));
    let (events, worst_case_units) = (expired(OVER_COUNT_EVENTS)?, expired(OVER_COUNT_UNITS)?);
    let mut over_count = OverCount { events, worst_case_units };
    let mut pending = 0;
    each_doubted(connection, |doubted| {
        pending += i64::from(doubted.state == "pending");
        let too_many = doubted.attempts_too_many();
        if !doubted.repeat_is_exact && too_many > 0 {
            over_count.events += 1;
            over_count.worst_case_units += i64::from(doubted.count) * too_many;
        }
    })?;
    Ok((pending, over_count))
}
