//! Reads events and outcomes in the order of storing and recording, from a cursor on.

use rusqlite::{Connection, Row};

use super::cursor::{ExportCursor, ExportOf};
use super::database::Buffer;
use super::error::{BufferError, Result};
use super::facts::{CURSOR_SERIES, fact};
use super::rows::{EventColumns, EventRef, event_of, value};
use super::sqlite::open_reader;
use crate::event::{EventId, Instant, PassEvent, RequestorId};

/// Rows read from one snapshot. The caller writes them afterwards, so a stalled output does not make the log grow.
const ROWS_A_SNAPSHOT: usize = 4_096;

/// A stored event, as the view `v_events` has it.
#[derive(Debug)]
pub struct ExportedEvent<'a> {
    pub reference: EventRef,
    pub id: EventId,
    pub requestor_id: &'a str,
    pub state: &'a str,
    pub input: i64,
    pub path: Option<&'a str>,
    pub line: i64,
    pub backfill: Option<&'a str>,
    /// The JSON object of `event_id` and the other properties.
    pub body: &'a str,
}

/// An outcome of an event, as the view `v_outcomes` has it.
#[derive(Debug)]
pub struct ExportedOutcome<'a> {
    pub reference: EventRef,
    pub id: EventId,
    pub requestor_id: &'a str,
    pub body: &'a str,
    pub state: &'a str,
    pub outcome_at: Instant,
    pub reason: Option<&'a str>,
    pub run: Option<i64>,
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

    /// Shows some of the next events; false if there are no more.
    pub fn events(&mut self, mut show: impl FnMut(&ExportedEvent<'_>) -> Result<()>) -> Result<bool> {
        let select = "SELECT e.seq, e.job, e.requestor, e.slot, e.occurred_at, e.count, e.id, r.requestor_id,
                CASE WHEN EXISTS (SELECT 1 FROM queue q WHERE q.job = e.job AND q.requestor = e.requestor
                                  AND q.occurred_at = e.occurred_at AND q.seq = e.seq) THEN 'pending'
                     WHEN EXISTS (SELECT 1 FROM dead_letters d WHERE d.seq = e.seq) THEN 'dead'
                     WHEN EXISTS (SELECT 1 FROM held h WHERE h.seq = e.seq) THEN 'held'
                     WHEN EXISTS (SELECT 1 FROM discarded d WHERE d.seq = e.seq) THEN 'discarded'
                     ELSE 'delivered' END AS state,
                e.input, i.path, e.line, j.name, e.body
             FROM events e JOIN requestors r ON r.requestor = e.requestor LEFT JOIN inputs i ON i.input = e.input
             LEFT JOIN jobs j ON j.job = e.job WHERE e.seq > ?1 AND e.seq <= ?2 ORDER BY e.seq LIMIT ?3";
        self.part(0, select, |row, columns| {
            let reference = columns.reference(row)?;
            show(&ExportedEvent {
                reference,
                id: EventId::from_bytes(row.get(6)?),
                requestor_id: text(row, 7)?,
                state: text(row, 8)?,
                input: row.get(9)?,
                path: optional_text(row, 10)?,
                line: row.get(11)?,
                backfill: optional_text(row, 12)?,
                body: text(row, 13)?,
            })?;
            Ok(reference.sequence.0)
        })
    }

    /// Shows some of the next outcomes; false if there are no more. Deliveries come last, because nothing comes after a
    /// delivery: so the last outcome of an event is its latest.
    pub fn outcomes(&mut self, mut show: impl FnMut(&ExportedOutcome<'_>) -> Result<()>) -> Result<bool> {
        let selects = [
            "SELECT e.seq, e.job, e.requestor, e.slot, e.occurred_at, e.count, e.id, r.requestor_id, e.body,
                    u.state, u.at, CASE u.state WHEN 'dead' THEN (SELECT reason FROM dead_letters WHERE seq = u.seq)
                        WHEN 'held' THEN (SELECT cause FROM doubts WHERE seq = u.seq) END,
                    (SELECT run FROM dead_letters WHERE seq = u.seq AND u.state = 'dead'), u.n
             FROM undelivered u JOIN events e ON e.seq = u.seq JOIN requestors r ON r.requestor = e.requestor
             WHERE u.n > ?1 AND u.n <= ?2 ORDER BY u.n LIMIT ?3",
            "SELECT e.seq, e.job, e.requestor, e.slot, e.occurred_at, e.count, e.id, r.requestor_id, e.body,
                    'delivered', d.delivered_at, NULL, d.run, d.n
             FROM delivered d JOIN events e ON e.seq = d.seq JOIN requestors r ON r.requestor = e.requestor
             WHERE d.n > ?1 AND d.n <= ?2 ORDER BY d.n LIMIT ?3",
        ];
        let mut next = |row: &Row<'_>, columns: &EventColumns| {
            show(&ExportedOutcome {
                reference: columns.reference(row)?,
                id: EventId::from_bytes(row.get(6)?),
                requestor_id: text(row, 7)?,
                body: text(row, 8)?,
                state: text(row, 9)?,
                outcome_at: row.get(10)?,
                reason: optional_text(row, 11)?,
                run: row.get(12)?,
            })?;
            Ok(row.get(13)?)
        };
        for (index, select) in selects.into_iter().enumerate() {
            if self.part(index, select, &mut next)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads rows behind the cursor's number at `index`; `next` returns the number of a row. False if there was no row.
    fn part(
        &mut self,
        index: usize,
        select: &str,
        mut next: impl FnMut(&Row<'_>, &EventColumns) -> Result<i64>,
    ) -> Result<bool> {
        let (mut passed, end) = (self.cursor.passed[index], self.ends[index]);
        let mut statement = self.connection.prepare_cached(select)?;
        let columns = EventColumns::of(&statement)?;
        let mut rows = statement.query((passed, end, ROWS_A_SNAPSHOT))?;
        let before = passed;
        while let Some(row) = rows.next()? {
            passed = next(row, &columns)?;
        }
        // If there was no row, all rows up to the end were deleted.
        self.cursor.passed[index] = if passed == before { end.max(passed) } else { passed };
        Ok(passed != before)
    }
}

/// The event of an exported row.
pub fn exported_event(reference: &EventRef, requestor_id: &str, body: &str) -> Result<PassEvent> {
    let damaged = |what: &str| BufferError::Damaged(reference.sequence, what.to_owned());
    let requestor_id = RequestorId::new(requestor_id).map_err(|_| damaged("its requestor is no name"))?;
    event_of(body.into(), reference, requestor_id)
}

fn text<'a>(row: &'a Row<'_>, index: usize) -> Result<&'a str> {
    Ok(row.get_ref(index)?.as_str().map_err(rusqlite::Error::from)?)
}

fn optional_text<'a>(row: &'a Row<'_>, index: usize) -> Result<Option<&'a str>> {
    Ok(row.get_ref(index)?.as_str_or_null().map_err(rusqlite::Error::from)?)
}
