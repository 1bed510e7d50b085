//! When events came in and went out: what tells how long an event waits, and whether a source has fallen silent.
//!
//! The instant at which an event was stored is not in its row: [`note`] appends one row for each transaction that stores some, and the
//! rows of a minute are one.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::{Buffer, BufferError, RequestorKey, Status};
use crate::delivery::Sequence;
use crate::event::Instant;

/// What comes in within this time of a row's instant, in nanoseconds, shares the row: 1,440 rows a day at the most, and an age is at
/// most a minute too long.
const SHARED_NANOS: i64 = 60_000_000_000;
/// Events that wait, of all requestors together, of which a status looks for the one that was stored first: a tenth of a second.
/// Beyond it, those that go first are looked at.
const LOOKED_AT_MAX: i64 = 1_000_000;

/// Notes that live events of these requestors came in, or events of a backfill of nobody, the last with this number.
pub(super) fn note(
    transaction: &Transaction<'_>,
    last: Sequence,
    requestors: &[RequestorKey],
    now: Instant,
) -> Result<(), BufferError> {
    let shared = transaction
        .prepare_cached(
            "UPDATE arrivals SET last_seq = ?1
             WHERE last_seq = (SELECT max(last_seq) FROM arrivals) AND at BETWEEN ?2 AND ?3",
        )?
        .execute((last.0, now.nanos().saturating_sub(SHARED_NANOS), now.nanos()))?;
    if shared == 0 {
        transaction
            .prepare_cached("INSERT INTO arrivals (last_seq, at) VALUES (?1, ?2)")?
            .execute((last.0, now.nanos()))?;
    }
    let mut arrived = transaction.prepare_cached(
        "INSERT INTO traffic (requestor, arrived_at) VALUES (?1, ?2)
         ON CONFLICT (requestor) DO UPDATE SET arrived_at = ?2",
    )?;
    for requestor in requestors {
        arrived.execute((requestor.0, now.nanos()))?;
    }
    Ok(())
}

/// Notes the last delivery of each requestor.
pub(super) fn note_delivered(
    transaction: &Transaction<'_>,
    delivered: &BTreeMap<i64, Instant>,
) -> Result<(), BufferError> {
    let mut note = transaction.prepare_cached(
        "INSERT INTO traffic (requestor, delivered_at) VALUES (?1, ?2)
         ON CONFLICT (requestor) DO UPDATE SET delivered_at = max(coalesce(delivered_at, ?2), ?2)",
    )?;
    for (requestor, at) in delivered {
        note.execute((requestor, at.nanos()))?;
    }
    Ok(())
}

/// Forgets the rows of events that are gone.
pub(super) fn prune(connection: &Connection) -> Result<(), BufferError> {
    connection.execute("DELETE FROM arrivals WHERE last_seq < (SELECT min(seq) FROM events)", [])?;
    Ok(())
}

impl Buffer {
    /// The state of the buffer with how long events wait: reads up to `LOOKED_AT_MAX` rows of what waits.
    pub fn status_with_ages(&self) -> Result<Status, BufferError> {
        let mut status = self.status()?;
        let connection = super::connection::open_reader(self.path())?;
        let mut left = LOOKED_AT_MAX;
        for requestor in status.requestors.iter_mut().filter(|requestor| requestor.pending > 0) {
            let first: Option<i64> = connection
                .prepare_cached(
                    "SELECT min(seq) FROM (SELECT q.seq FROM queue q WHERE q.job = 0 AND q.requestor =
                        (SELECT requestor FROM requestors WHERE requestor_id = ?1) LIMIT ?2)",
                )?
                .query_row((&requestor.requestor_id, left.max(1)), |row| row.get(0))?;
            left -= requestor.pending;
            requestor.oldest_stored_at = match first {
                Some(first) => stored_at(&connection, Sequence(first))?,
                None => None,
            };
        }
        let flowing = status.requestors.iter().filter(|requestor| requestor.parked.is_none());
        status.oldest_stored_at = flowing.filter_map(|requestor| requestor.oldest_stored_at).min();
        Ok(status)
    }

    /// How many events died from this instant on and are dead still.
    pub fn dead_since(&self, from: Instant) -> Result<u64, BufferError> {
        let connection = super::connection::open_reader(self.path())?;
        let dead: i64 = connection.query_row(
            "SELECT count(*) FROM dead_letters WHERE died_at >= ?1",
            [from.nanos()],
            |row| row.get(0),
        )?;
        Ok(dead.unsigned_abs())
    }
}

/// When an event was stored; of one from before schema 6, when its input was opened.
fn stored_at(connection: &Connection, sequence: Sequence) -> Result<Option<Instant>, BufferError> {
    let at: Option<Option<i64>> = connection
        .prepare_cached(
            "SELECT coalesce((SELECT a.at FROM arrivals a WHERE a.last_seq >= e.seq ORDER BY a.last_seq LIMIT 1), i.opened_at)
             FROM events e LEFT JOIN inputs i ON i.input = e.input WHERE e.seq = ?1",
        )?
        .query_row([sequence.0], |row| row.get(0))
        .optional()?;
    Ok(at.flatten().map(Instant::from_nanos))
}
