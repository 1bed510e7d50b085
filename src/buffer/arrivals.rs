//! The times of storing and delivering: they tell how long events wait, and whether a source is silent.
//!
//! An event's row does not say when the event was stored. [`note`] adds one row per transaction that stores events;
//! transactions within one minute share a row.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::database::Buffer;
use super::error::Result;
use super::keys::RequestorKey;
use super::rows::{changed, first, only, run};
use crate::delivery::Sequence;
use crate::event::Instant;

/// Transactions within this time after a row's instant, in nanoseconds, share the row. So there are at most 1,440
/// rows a day, and an age is at most one minute too long.
const SHARED_NANOS: i64 = 60_000_000_000;
/// The most pending events, of all requestors together, among which `status` searches for the event that was stored
/// first. This takes a tenth of a second. If more are pending, only the first events of each requestor are searched.
pub(super) const LOOKED_AT_MAX: i64 = 1_000_000;

/// Notes that events up to number `last` were stored, and that these requestors had live events among them.
pub(super) fn note(
    connection: &Connection,
    last: Sequence,
    requestors: impl IntoIterator<Item = RequestorKey>,
    now: Instant,
) -> Result<()> {
    let change = "UPDATE arrivals SET last_seq = ?1
         WHERE last_seq = (SELECT max(last_seq) FROM arrivals) AND at BETWEEN ?2 AND ?3";
    let shared = changed(connection, change, (last, now.nanos().saturating_sub(SHARED_NANOS), now))?;
    if shared == 0 {
        run(connection, "INSERT INTO arrivals (last_seq, at) VALUES (?1, ?2)", (last, now))?;
    }
    for requestor in requestors {
        let change = "INSERT INTO traffic (requestor, arrived_at) VALUES (?1, ?2)
             ON CONFLICT (requestor) DO UPDATE SET arrived_at = ?2";
        run(connection, change, (requestor, now))?;
    }
    Ok(())
}

/// Notes the last delivery of each requestor.
pub(super) fn note_delivered(
    connection: &Connection,
    delivered: &BTreeMap<RequestorKey, Instant>,
) -> Result<()> {
    for last in delivered {
        let change = "INSERT INTO traffic (requestor, delivered_at) VALUES (?1, ?2)
             ON CONFLICT (requestor) DO UPDATE SET delivered_at = max(coalesce(delivered_at, ?2), ?2)";
        run(connection, change, last)?;
    }
    Ok(())
}

impl Buffer {
    /// When the oldest event that the buffer still has was stored. `None` if there is no event, or if the event is
    /// older than schema 6: earlier schemas did not record the time.
    pub fn first_arrival(&self) -> Result<Option<Instant>> {
        let select = "SELECT at FROM arrivals WHERE last_seq = (SELECT min(last_seq) FROM arrivals)";
        Ok(self.first::<Option<Instant>>(select, [], only)?.flatten())
    }

    /// How many of the dead events died at this instant or later.
    pub fn dead_since(&self, from: Instant) -> Result<u64> {
        let select = "SELECT count(*) FROM dead_letters WHERE died_at >= ?1";
        self.value(select, [from])
    }
}

/// Deletes the rows that only cover deleted events.
pub(super) fn prune(connection: &Connection) -> Result<()> {
    run(connection, "DELETE FROM arrivals WHERE last_seq < (SELECT min(seq) FROM events)", [])
}

/// The earliest time at which a pending live event of a requestor was stored. Searches only the first `looked_at`
/// events in sending order. For an event that is older than schema 6, returns when its input was opened.
pub(super) fn oldest_stored_at(
    connection: &Connection,
    requestor: RequestorKey,
    looked_at: i64,
) -> Result<Option<Instant>> {
    let select = "SELECT coalesce((SELECT a.at FROM arrivals a WHERE a.last_seq >= e.seq ORDER BY a.last_seq LIMIT 1), i.opened_at)
         FROM events e LEFT JOIN inputs i ON i.input = e.input WHERE e.seq =
            (SELECT min(seq) FROM (SELECT q.seq FROM queue q WHERE q.job = 0 AND q.requestor = ?1 LIMIT ?2))";
    Ok(first(connection, select, (requestor, looked_at), only)?.flatten())
}
