//! Runs statements and reads rows, each column by its name.

use rusqlite::types::{FromSql, ValueRef};
use rusqlite::{Connection, Params, Row, Statement};
use serde::Serialize;

use super::error::{BufferError, Result};
use super::keys::{JobKey, RequestorKey};
use crate::delivery::Sequence;
use crate::event::{EventKind, Instant, PassEvent, RequestorId, StoredColumns};

pub(super) fn run(connection: &Connection, sql: &str, values: impl Params) -> Result<()> {
    changed(connection, sql, values).map(drop)
}

/// Runs a statement that changes rows. Returns how many.
pub(super) fn changed(connection: &Connection, sql: &str, values: impl Params) -> Result<u64> {
    Ok(connection.prepare_cached(sql)?.execute(values)? as u64)
}

/// Calls `show` for each row that a query finds.
pub(super) fn each(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    mut show: impl FnMut(&Row<'_>) -> Result<()>,
) -> Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    while let Some(row) = rows.next()? {
        show(row)?;
    }
    Ok(())
}

pub(super) fn all<T, C: FromIterator<T>>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    read: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<C> {
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_and_then(values, read)?.collect()
}

/// The first row that a query finds.
pub(super) fn first<T>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    rows.next()?.map(read).transpose()
}

/// The only column of the only row that a query finds.
pub(super) fn value<T: FromSql>(connection: &Connection, sql: &str, values: impl Params) -> Result<T> {
    Ok(connection.prepare_cached(sql)?.query_row(values, |row| row.get(0))?)
}

pub(super) fn only<T: FromSql>(row: &Row<'_>) -> Result<T> {
    Ok(row.get(0)?)
}

/// Makes a struct from a row: the fields in braces from the columns of the same names, the others as given.
macro_rules! from_row {
    ($row:ident, $name:ident { $($field:ident),* $(,)? } $(, $other:ident: $value:expr)* $(,)?) => {
        $name { $($field: $row.get(stringify!($field))?,)* $($other: $value,)* }
    };
}
pub(super) use from_row;

/// A list of numbers as one value of a statement, which reads it with `json_each`.
pub(super) fn json_list<T: Serialize>(numbers: &[T]) -> String {
    serde_json::to_string(numbers).expect("numbers always serialise")
}

/// The columns of an event that the account needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRef {
    pub sequence: Sequence,
    pub job: JobKey,
    pub requestor: RequestorKey,
    pub kind: EventKind,
    pub occurred_at: Instant,
    pub count: u32,
}

/// The positions of an event's columns in the rows of a statement, in the order of [`EventColumns::of`]. They are
/// looked up once per statement.
pub(super) struct EventColumns([usize; 6]);

impl EventColumns {
    pub(super) fn of(statement: &Statement<'_>) -> Result<EventColumns> {
        let [seq, job, requestor, slot, occurred_at, count] =
            ["seq", "job", "requestor", "slot", "occurred_at", "count"]
                .map(|name| statement.column_index(name));
        Ok(EventColumns([seq?, job?, requestor?, slot?, occurred_at?, count?]))
    }

    pub(super) fn reference(&self, row: &Row<'_>) -> Result<EventRef> {
        let EventColumns([seq, job, requestor, slot, occurred_at, count]) = *self;
        let sequence = row.get(seq)?;
        let kind = EventKind::from_slot(row.get(slot)?);
        Ok(EventRef {
            sequence,
            job: row.get(job)?,
            requestor: row.get(requestor)?,
            kind: kind.ok_or_else(|| damaged(sequence, "its event slot is unknown"))?,
            occurred_at: row.get(occurred_at)?,
            count: row.get(count)?,
        })
    }
}

/// A stored event, in any state.
pub(super) struct StoredEvent {
    pub(super) reference: EventRef,
    pub(super) event: PassEvent,
}

/// A stored event; `None` if no event has this number, or if the event was deleted.
pub(super) fn find_event(connection: &Connection, sequence: Sequence) -> Result<Option<StoredEvent>> {
    let mut statement = connection.prepare_cached(
        "SELECT e.seq, e.job, e.requestor, e.slot, e.occurred_at, e.count, e.body, r.requestor_id
         FROM events e JOIN requestors r ON r.requestor = e.requestor WHERE e.seq = ?1",
    )?;
    let columns = EventColumns::of(&statement)?;
    let mut rows = statement.query([sequence])?;
    rows.next()?.map(|row| stored_event(row, &columns)).transpose()
}

/// A stored event; fails if there is none.
pub(super) fn read_event(connection: &Connection, sequence: Sequence) -> Result<StoredEvent> {
    find_event(connection, sequence)?.ok_or_else(|| damaged(sequence, "its row is gone"))
}

/// Calls `show` for every event from `from` until before `to`, in storing order. Reads the whole table.
pub(super) fn each_event(
    connection: &Connection,
    from: Instant,
    to: Instant,
    mut show: impl FnMut(StoredEvent) -> Result<()>,
) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT e.seq, e.slot, e.occurred_at, e.count, e.body, e.job, e.requestor, r.requestor_id
         FROM events e JOIN requestors r ON r.requestor = e.requestor
         WHERE e.occurred_at >= ?1 AND e.occurred_at < ?2 ORDER BY e.seq",
    )?;
    let columns = EventColumns::of(&statement)?;
    let mut rows = statement.query((from, to))?;
    while let Some(row) = rows.next()? {
        show(stored_event(row, &columns)?)?;
    }
    Ok(())
}

/// Reads an event from a row that has the requestor's ID.
pub(super) fn stored_event(row: &Row<'_>, columns: &EventColumns) -> Result<StoredEvent> {
    let reference = columns.reference(row)?;
    let requestor_id = row.get("requestor_id");
    let requestor_id = requestor_id.map_err(|error| damaged(reference.sequence, &error.to_string()))?;
    Ok(StoredEvent { reference, event: event_of(row.get_ref("body")?, &reference, requestor_id)? })
}

/// Reads an event from its stored body. The caller knows the requestor and the columns.
pub(super) fn event_of(body: ValueRef<'_>, event: &EventRef, requestor_id: RequestorId) -> Result<PassEvent> {
    let EventRef { sequence, kind, occurred_at, count, .. } = *event;
    let body = body.as_str().map_err(|_| damaged(sequence, "its body is no text"))?;
    let columns = StoredColumns { occurred_at, kind, requestor_id, count };
    PassEvent::from_stored(columns, body).ok_or_else(|| damaged(sequence, "its body is not as it was stored"))
}

/// What the account needs of an event; `None` if the event was deleted.
pub(super) fn reference(connection: &Connection, sequence: Sequence) -> Result<Option<EventRef>> {
    let mut statement = connection
        .prepare_cached("SELECT seq, job, requestor, slot, occurred_at, count FROM events WHERE seq = ?1")?;
    let columns = EventColumns::of(&statement)?;
    let mut rows = statement.query([sequence])?;
    rows.next()?.map(|row| columns.reference(row)).transpose()
}

/// What the account needs of an event; fails if the event is gone.
pub(super) fn read_reference(connection: &Connection, sequence: Sequence) -> Result<EventRef> {
    reference(connection, sequence)?.ok_or_else(|| damaged(sequence, "its row is gone"))
}

pub(super) fn damaged(sequence: Sequence, what: &str) -> BufferError {
    BufferError::Damaged(sequence, what.to_owned())
}

/// The name of the event that a row describes, for people.
pub(super) fn event_name(row: &Row<'_>) -> Result<&'static str> {
    Ok(EventKind::from_slot(row.get("slot")?).map_or("unknown", EventKind::name))
}
