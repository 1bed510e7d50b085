//! When events came in and went out: what tells how long an event waits, and whether a source has fallen silent.
//!
//! The instant at which an event was stored is not in its row: [`note`] appends one row for each transaction that stores some, and the
//! rows of a minute are one.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::database::Buffer;
use super::error::Result;
use super::keys::RequestorKey;
use super::rows::{changed, first, only, run};
use crate::delivery::Sequence;
use crate::event::Instant;

/// What comes in within this time of a row's instant, in nanoseconds, shares the row: 1,440 rows a day at the most, and an age is at
/// most a minute too long.
const SHARED_NANOS: i64 = 60_000_000_000;
/// Events that wait, of all requestors together, of which a status looks for the one that was stored first: a tenth of a second.
/// Beyond it, those that go first are looked at.
pub(super) const LOOKED_AT_MAX: i64 = 1_000_000;

/// Notes that live events of these requestors came in, or events of a backfill of nobody, the last with this number.
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
    /// When the first event came in of those that the buffer still has.
    pub fn first_arrival(&self) -> Result<Option<Instant>> {
        let select = "SELECT at FROM arrivals WHERE last_seq = (SELECT min(last_seq) FROM arrivals)";
        self.first(select, [], only)
    }

    /// How many events died from this instant on and are dead still.
    pub fn dead_since(&self, from: Instant) -> Result<u64> {
        let select = "SELECT count(*) FROM dead_letters WHERE died_at >= ?1";
        self.value(select, [from])
    }
}

/// Forgets the rows of events that are gone.
pub(super) fn prune(connection: &Connection) -> Result<()> {
    run(connection, "DELETE FROM arrivals WHERE last_seq < (SELECT min(seq) FROM events)", [])
}

/// When the first event of a requestor was stored that waits, of those that go first; of one from before schema 6, when its
/// input was opened.
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
