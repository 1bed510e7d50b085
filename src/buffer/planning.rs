//! Reads what a backfill plan needs: events already stored, days already delivered, and each delivery with its visitor.

use rusqlite::Connection;

use super::database::Buffer;
use super::error::Result;
use super::keys::{JobKey, RequestorKey};
use super::rows::{all, each, first, json_list, only, value};
use super::sqlite::open_reader;
use crate::event::{ContentDigest, EventId, EventKind, Identity, Instant, RequestorId};
use crate::hit::VisitorKey;

const DAY_HOURS: i64 = 24;

/// How the buffer would treat an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recognition {
    New,
    Duplicate,
    /// The event's identity is stored with other content.
    Conflict,
}

/// A day on which events of a requestor happened that were delivered on any day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveredDay {
    /// The UTC day, counted from the Unix epoch.
    pub day: i64,
    /// Delivered events, including those that have expired.
    pub events: u64,
}

/// A view of the buffer on its own connection. It writes nothing, and no writer waits for it.
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

    /// How the buffer would treat each event, in the given order. Fastest if the events are sorted by identity.
    pub fn recognise(&self, events: impl Iterator<Item = Identity>) -> Result<Vec<Recognition>> {
        if !self.has_identities {
            return Ok(events.map(|_| Recognition::New).collect());
        }
        let recognise = |Identity { id, content, former }| {
            let stored = |id: EventId| {
                first(&self.connection, "SELECT content FROM identities WHERE id = ?1", [id.bytes()], only)
            };
            let contents = [Some(content), former.map(|(_, content)| content)];
            Ok(match stored(id)? {
                Some(Some(known)) if !contents.contains(&Some(known)) => Recognition::Conflict,
                // The content is the same, or was erased.
                Some(_) => Recognition::Duplicate,
                None => match former.map(|(former, _)| stored(former)).transpose()?.flatten() {
                    None => Recognition::New,
                    Some::<Option<ContentDigest>>(_) => Recognition::Duplicate,
                },
            })
        };
        events.map(recognise).collect()
    }

    /// The days from `first_day` to `last_day` on which delivered events of this requestor happened, in order.
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

    /// Whether any event that happened before the UTC hour of this instant was delivered.
    pub fn has_delivered_before(&self, at: Instant) -> Result<bool> {
        let select = "SELECT EXISTS (SELECT 1 FROM ledger WHERE hour < ?1 AND delivered_events + expired_delivered_events > 0)";
        value(&self.connection, select, [at.unix_hour()])
    }

    /// For each event slot with delivered units that happened on a day: the slot, its delivered and its waiting units.
    pub fn units_of_day(&self, requestor_id: &RequestorId, day: i64) -> Result<Vec<(u8, u64, u64)>> {
        let select = "SELECT l.slot, sum(l.delivered_units + l.expired_delivered_units) AS delivered, sum(l.pending_units + l.held_units)
             FROM json_each(?4) s CROSS JOIN ledger l ON l.slot = s.value AND l.hour >= ?2 AND l.hour < ?3
                 AND l.requestor = (SELECT requestor FROM requestors WHERE requestor_id = ?1)
             GROUP BY l.slot HAVING delivered > 0";
        let slots = json_list(&EventKind::ALL.map(EventKind::slot));
        let values = (requestor_id.as_str(), day * DAY_HOURS, (day + 1) * DAY_HOURS, slots);
        all(&self.connection, select, values, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
    }

    /// The requestors of pending live events that happened from `from` until before `to`.
    pub fn waiting(&self, from: Instant, to: Instant) -> Result<Vec<RequestorKey>> {
        let select = "SELECT r.requestor FROM requestors r WHERE EXISTS
                 (SELECT 1 FROM queue q WHERE q.job = ?1 AND q.requestor = r.requestor
                                              AND q.occurred_at >= ?2 AND q.occurred_at < ?3)
             ORDER BY r.requestor_id";
        all(&self.connection, select, (JobKey::LIVE, from, to), only)
    }

    /// Shows the visitor and the time of each delivered event that happened after `after`. Reads all deliveries.
    pub fn each_sent(&self, after: Instant, mut show: impl FnMut(VisitorKey, Instant)) -> Result<()> {
        let select =
            "SELECT visitor, occurred_at FROM delivered WHERE occurred_at > ?1 AND visitor IS NOT NULL";
        each(&self.connection, select, [after], |row| {
            show(row.get(0)?, row.get(1)?);
            Ok(())
        })
    }
}
