//! What a plan of history asks: what is known already, which days have been delivered, what visitors were sent.

use rusqlite::Connection;

use super::events::{Cursor, EventRef, JobKey};
use super::suites::RequestorKey;
use super::{Buffer, BufferError, connection};
use crate::delivery::Sequence;
use crate::event::{ContentDigest, EventId, EventKind, Instant, RequestorId};
use crate::hit::VisitorKey;

/// Hours of a day.
const DAY_HOURS: i64 = 24;

/// What the buffer would make of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recognition {
    New,
    Duplicate,
    /// Its identity is known with other content.
    Conflict,
}

/// A day of a requestor of which Analytics has events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveredDay {
    /// The UTC day, counted from the Unix epoch.
    pub day: i64,
    /// Events that were delivered, the expired among them.
    pub events: u64,
}

/// A view of the buffer, on a connection of its own: nothing waits for it, and it writes nothing.
#[derive(Debug)]
pub struct PlanningReader {
    connection: Connection,
    has_identities: bool,
    now: Instant,
}

impl Buffer {
    /// Opens a view for a plan.
    pub fn planning(&self) -> Result<PlanningReader, BufferError> {
        let connection = connection::open_reader(self.path())?;
        let has_identities =
            connection.query_row("SELECT EXISTS (SELECT 1 FROM identities)", [], |row| row.get(0))?;
        Ok(PlanningReader { connection, has_identities, now: self.clock.now() })
    }
}

impl Cursor {
    /// Before the first event that happened at this instant or later.
    pub fn at(from: Instant) -> Cursor {
        Cursor::after(&EventRef {
            sequence: Sequence(i64::MIN),
            job: JobKey::LIVE,
            requestor: RequestorKey(0),
            kind: EventKind::ALL[0],
            occurred_at: from,
            count: 1,
        })
    }
}

impl PlanningReader {
    /// When it was opened, by the buffer's clock.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// What the buffer would make of each event, in their order. Quickest where they are sorted by identity.
    pub fn recognise(
        &self,
        events: impl Iterator<Item = (EventId, ContentDigest)>,
    ) -> Result<Vec<Recognition>, BufferError> {
        if !self.has_identities {
            return Ok(events.map(|_| Recognition::New).collect());
        }
        let mut statement = self.connection.prepare_cached("SELECT content FROM identities WHERE id = ?1")?;
        events
            .map(|(id, content)| {
                let mut rows = statement.query([id.bytes()])?;
                Ok(match rows.next()? {
                    None => Recognition::New,
                    // What was said is erased, or the same.
                    Some(row) => match row.get::<_, Option<i64>>(0)? {
                        Some(known) if known != content.0 => Recognition::Conflict,
                        _ => Recognition::Duplicate,
                    },
                })
            })
            .collect()
    }

    /// The days from `first_day` to `last_day` of which Analytics has events of this requestor, in order.
    pub fn delivered_days(
        &self,
        requestor_id: &RequestorId,
        first_day: i64,
        last_day: i64,
    ) -> Result<Vec<DeliveredDay>, BufferError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT hour / 24 AS day, sum(delivered_events + expired_delivered_events) AS events FROM ledger
             WHERE requestor = (SELECT requestor FROM requestors WHERE requestor_id = ?1) AND hour >= ?2 AND hour < ?3
             GROUP BY 1 HAVING events > 0 ORDER BY 1",
        )?;
        let hours = (requestor_id.as_str(), first_day * DAY_HOURS, (last_day + 1) * DAY_HOURS);
        let rows = statement.query_map(hours, |row| {
            Ok(DeliveredDay { day: row.get(0)?, events: row.get::<_, i64>(1)? as u64 })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The requestors of live events that wait and happened from `from` until before `to`.
    pub fn waiting(&self, from: Instant, to: Instant) -> Result<Vec<RequestorKey>, BufferError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT r.requestor FROM requestors r WHERE EXISTS
                 (SELECT 1 FROM queue q WHERE q.job = ?1 AND q.requestor = r.requestor
                                              AND q.occurred_at >= ?2 AND q.occurred_at < ?3)
             ORDER BY r.requestor_id",
        )?;
        let rows = statement.query_map((JobKey::LIVE.number(), from.nanos(), to.nanos()), |row| {
            row.get(0).map(RequestorKey)
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Shows the visitor of each delivery of something that happened after `after`, and when it happened. Reads every delivery
    /// within the retention.
    pub fn each_sent(
        &self,
        after: Instant,
        mut show: impl FnMut(VisitorKey, Instant),
    ) -> Result<(), BufferError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT visitor, occurred_at FROM delivered WHERE occurred_at > ?1 AND visitor IS NOT NULL",
        )?;
        let mut rows = statement.query([after.nanos()])?;
        while let Some(row) = rows.next()? {
            show(VisitorKey(row.get::<_, i64>(0)? as u64), Instant::from_nanos(row.get(1)?));
        }
        Ok(())
    }
}
