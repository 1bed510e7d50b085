//! What a plan of history asks: what is known already, which days have been delivered, what visitors were sent.

use rusqlite::Connection;

use super::database::Buffer;
use super::error::Result;
use super::keys::{JobKey, RequestorKey};
use super::rows::{all, each, first, only, value};
use super::sqlite::open_reader;
use crate::event::{ContentDigest, EventId, Instant, RequestorId};
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
    pub fn planning(&self) -> Result<PlanningReader> {
        let connection = open_reader(self.path())?;
        let has_identities = value(&connection, "SELECT EXISTS (SELECT 1 FROM identities)", [])?;
        Ok(PlanningReader { connection, has_identities, now: self.now() })
    }
}

impl PlanningReader {
    pub fn now(&self) -> Instant {
        self.now
    }

    /// What the buffer would make of each event, in their order. Quickest where they are sorted by identity.
    pub fn recognise(
        &self,
        events: impl Iterator<Item = (EventId, ContentDigest)>,
    ) -> Result<Vec<Recognition>> {
        if !self.has_identities {
            return Ok(events.map(|_| Recognition::New).collect());
        }
        let recognise = |(id, content): (EventId, ContentDigest)| {
            let known =
                first(&self.connection, "SELECT content FROM identities WHERE id = ?1", [id.bytes()], only)?;
            Ok(match known {
                None => Recognition::New,
                Some(Some(known)) if content != known => Recognition::Conflict,
                // What was said is erased, or the same.
                Some(_) => Recognition::Duplicate,
            })
        };
        events.map(recognise).collect()
    }

    /// The days from `first_day` to `last_day` of which Analytics has events of this requestor, in order.
    pub fn delivered_days(
        &self,
        requestor_id: &RequestorId,
        first_day: i64,
        last_day: i64,
    ) -> Result<Vec<DeliveredDay>> {
        all(
            &self.connection,
            "SELECT hour / 24 AS day, sum(delivered_events + expired_delivered_events) AS events FROM ledger
             WHERE requestor = (SELECT requestor FROM requestors WHERE requestor_id = ?1) AND hour >= ?2 AND hour < ?3
             GROUP BY 1 HAVING events > 0 ORDER BY 1",
            (requestor_id.as_str(), first_day * DAY_HOURS, (last_day + 1) * DAY_HOURS),
            |row| Ok(DeliveredDay { day: row.get("day")?, events: row.get("events")? }),
        )
    }

    /// The requestors of live events that wait and happened from `from` until before `to`.
    pub fn waiting(&self, from: Instant, to: Instant) -> Result<Vec<RequestorKey>> {
        let select = "SELECT r.requestor FROM requestors r WHERE EXISTS
                 (SELECT 1 FROM queue q WHERE q.job = ?1 AND q.requestor = r.requestor
                                              AND q.occurred_at >= ?2 AND q.occurred_at < ?3)
             ORDER BY r.requestor_id";
        all(&self.connection, select, (JobKey::LIVE, from, to), only)
    }

    /// Shows the visitor of each delivery of something that happened after `after`, and when it happened. Reads every delivery
    /// within the retention.
    pub fn each_sent(&self, after: Instant, mut show: impl FnMut(VisitorKey, Instant)) -> Result<()> {
        let select =
            "SELECT visitor, occurred_at FROM delivered WHERE occurred_at > ?1 AND visitor IS NOT NULL";
        each(&self.connection, select, [after], |row| {
            show(row.get(0)?, row.get(1)?);
            Ok(())
        })
    }
}
