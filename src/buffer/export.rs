//! Reads events and outcomes in the order of storing and recording, from a cursor on.

use std::borrow::Cow;
use std::collections::HashMap;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde::Serialize;

use super::cursor::{ExportCursor, ExportOf};
use super::database::Buffer;
use super::error::Result;
use super::facts::{CURSOR_SERIES, fact};
use super::rows::{damaged, value};
use super::sqlite::open_reader;
use crate::delivery::Sequence;
use crate::event::{EventId, EventKind, Instant};

/// Rows read from one snapshot. The caller writes them afterwards, so a stalled output does not make the log grow.
const ROWS_A_SNAPSHOT: usize = 4_096;

/// The columns of the view `v_events` before its `event_id` and its properties.
const EVENT_COLUMNS: &str =
    "sequence event_key occurred_at event requestor_id count state input path line backfill";
/// The columns of the view `v_outcomes`.
const OUTCOME_COLUMNS: &str =
    "sequence event_key event_id event requestor_id occurred_at count state outcome_at reason run";

/// Each statement selects its columns in their order, then the event's body and the number of the row for the cursor.
const EVENTS: [&str; 1] = ["SELECT e.seq, e.id, e.occurred_at, e.slot, r.requestor_id, e.count,
            CASE WHEN EXISTS (SELECT 1 FROM queue q WHERE q.job = e.job AND q.requestor = e.requestor
                              AND q.occurred_at = e.occurred_at AND q.seq = e.seq) THEN 'pending'
                 WHEN EXISTS (SELECT 1 FROM dead_letters d WHERE d.seq = e.seq) THEN 'dead'
                 WHEN EXISTS (SELECT 1 FROM held h WHERE h.seq = e.seq) THEN 'held'
                 WHEN EXISTS (SELECT 1 FROM discarded d WHERE d.seq = e.seq) THEN 'discarded'
                 ELSE 'delivered' END,
            e.input, i.path, e.line, j.name, e.body, e.seq
     FROM events e JOIN requestors r ON r.requestor = e.requestor LEFT JOIN inputs i ON i.input = e.input
     LEFT JOIN jobs j ON j.job = e.job WHERE e.seq > ?1 AND e.seq <= ?2 ORDER BY e.seq LIMIT ?3"];
/// Deliveries come last, because a delivered event gets no other outcome. So an event's last row is its latest outcome.
const OUTCOMES: [&str; 2] = [
    "SELECT e.seq, e.id, e.body ->> 'event_id', e.slot, r.requestor_id, e.occurred_at, e.count, u.state, u.at,
            CASE u.state WHEN 'dead' THEN (SELECT reason FROM dead_letters WHERE seq = u.seq)
                WHEN 'held' THEN (SELECT cause FROM doubts WHERE seq = u.seq) END,
            (SELECT run FROM dead_letters WHERE seq = u.seq AND u.state = 'dead'), e.body, u.n
     FROM undelivered u JOIN events e ON e.seq = u.seq JOIN requestors r ON r.requestor = e.requestor
     WHERE u.n > ?1 AND u.n <= ?2 ORDER BY u.n LIMIT ?3",
    "SELECT e.seq, e.id, e.body ->> 'event_id', e.slot, r.requestor_id, e.occurred_at, e.count, 'delivered',
            d.delivered_at, NULL, d.run, e.body, d.n
     FROM delivered d JOIN events e ON e.seq = d.seq JOIN requestors r ON r.requestor = e.requestor
     WHERE d.n > ?1 AND d.n <= ?2 ORDER BY d.n LIMIT ?3",
];

/// One value of an exported row.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ExportedValue<'a> {
    Number(i64),
    Text(Cow<'a, str>),
    Empty,
}

/// An exported row.
#[derive(Debug)]
pub struct ExportedRow<'a> {
    pub sequence: Sequence,
    /// In the order of [`ExportOf::columns`].
    pub values: Vec<ExportedValue<'a>>,
    pub id: EventId,
    pub count: u32,
    pub requestor_id: &'a str,
    /// The JSON object of `event_id` and the other properties.
    pub body: &'a str,
}

impl ExportOf {
    /// The names of the columns; for events, without the columns that come from the event's body.
    pub fn columns(self) -> impl Iterator<Item = &'static str> {
        let columns = match self {
            ExportOf::Events => EVENT_COLUMNS,
            ExportOf::Outcomes => OUTCOME_COLUMNS,
        };
        columns.split(' ')
    }
}

impl ExportedRow<'_> {
    /// The event's `event_id` and other properties.
    pub fn properties(&self) -> Result<HashMap<String, String>> {
        serde_json::from_str(self.body).map_err(|error| damaged(self.sequence, &error.to_string()))
    }
}

/// An export under way. It ends at what was stored when it began.
#[derive(Debug)]
pub struct Exporter {
    connection: Connection,
    cursor: ExportCursor,
    ends: [i64; 2],
}

impl Buffer {
    /// Begins an export behind a cursor, or at the oldest row. `None` if the cursor is of another buffer or export, or
    /// from before a restore, because a restored buffer gives out the same numbers again.
    pub fn exporter(&self, of: ExportOf, since: Option<ExportCursor>) -> Result<Option<Exporter>> {
        let connection = open_reader(self.path())?;
        let (series, ends) = {
            let snapshot = connection.unchecked_transaction()?;
            let last = |select| value(&snapshot, select, []);
            let ends = match of {
                ExportOf::Events => [last("SELECT coalesce(max(seq), 0) FROM events")?, 0],
                ExportOf::Outcomes => [
                    last("SELECT coalesce(max(n), 0) FROM undelivered")?,
                    last("SELECT coalesce(max(n), 0) FROM delivered")?,
                ],
            };
            (fact(&snapshot, CURSOR_SERIES)?.unwrap_or_default(), ends)
        };
        let cursor = since.unwrap_or(ExportCursor { of, series, passed: [0; 2] });
        if cursor.of != of || cursor.series != series {
            return Ok(None);
        }
        Ok(Some(Exporter { connection, cursor, ends }))
    }
}

impl Exporter {
    /// The cursor behind all rows that were shown.
    pub fn cursor(&self) -> ExportCursor {
        self.cursor
    }

    /// Shows some of the next rows; false if there are no more.
    pub fn next(&mut self, show: &mut dyn FnMut(ExportedRow<'_>) -> Result<()>) -> Result<bool> {
        let selects = match self.cursor.of {
            ExportOf::Events => &EVENTS[..],
            ExportOf::Outcomes => &OUTCOMES,
        };
        for (index, select) in selects.iter().enumerate() {
            if self.part(index, select, show)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Shows rows behind one of the cursor's numbers; false if there was no row.
    fn part(
        &mut self,
        index: usize,
        select: &str,
        show: &mut dyn FnMut(ExportedRow<'_>) -> Result<()>,
    ) -> Result<bool> {
        let (mut passed, end) = (self.cursor.passed[index], self.ends[index]);
        let names: Vec<&str> = self.cursor.of.columns().collect();
        let place = |name: &str| names.iter().position(|own| *own == name).unwrap_or_default();
        let [id, count, requestor_id] = ["event_key", "count", "requestor_id"].map(place);
        let mut statement = self.connection.prepare_cached(select)?;
        let mut rows = statement.query((passed, end, ROWS_A_SNAPSHOT))?;
        let before = passed;
        while let Some(row) = rows.next()? {
            let sequence = row.get(0)?;
            let mut values = Vec::with_capacity(names.len());
            for (place, name) in names.iter().enumerate() {
                let exported = exported(name, row.get_ref(place)?).map(|value| values.push(value));
                exported.ok_or_else(|| damaged(sequence, "a value of it is not as it was stored"))?;
            }
            let text = |place: usize| row.get_ref(place)?.as_str().map_err(rusqlite::Error::from);
            show(ExportedRow {
                sequence,
                values,
                id: EventId::from_bytes(row.get(id)?),
                count: row.get(count)?,
                requestor_id: text(requestor_id)?,
                body: text(names.len())?,
            })?;
            passed = row.get(names.len() + 1)?;
        }
        // If there was no row, all rows up to the end were deleted.
        self.cursor.passed[index] = if passed == before { end.max(passed) } else { passed };
        Ok(passed != before)
    }
}

/// The value of a column in its exported form; `None` if it is damaged.
fn exported<'a>(name: &str, value: ValueRef<'a>) -> Option<ExportedValue<'a>> {
    Some(match (name, value) {
        ("event_key", ValueRef::Blob(id)) => {
            ExportedValue::Text(EventId::from_bytes(id.try_into().ok()?).to_string().into())
        }
        ("occurred_at" | "outcome_at", ValueRef::Integer(nanos)) => {
            ExportedValue::Text(Instant::from_nanos(nanos).to_the_millisecond().into())
        }
        ("event", ValueRef::Integer(slot)) => {
            ExportedValue::Text(EventKind::from_slot(u8::try_from(slot).ok()?)?.name().into())
        }
        (_, ValueRef::Integer(number)) => ExportedValue::Number(number),
        (_, ValueRef::Text(text)) => ExportedValue::Text(std::str::from_utf8(text).ok()?.into()),
        (_, ValueRef::Null) => ExportedValue::Empty,
        (_, ValueRef::Blob(_) | ValueRef::Real(_)) => return None,
    })
}
