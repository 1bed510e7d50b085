//! Reads events and outcomes in the order of their numbers, from a cursor on.

use std::collections::VecDeque;
use std::time::{Duration, Instant as Moment};

use tokio::time::sleep;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::backlog::stored_id;
use super::database::SharedBuffer;
use super::error::{PostgresError, Result};
use crate::buffer::{BufferError, ExportCursor, ExportOf, ExportedRow, ExportedValue};
use crate::delivery::Sequence;
use crate::event::{EventKind, Instant};

/// Rows read at once. The caller writes them afterwards, so a stalled output keeps no snapshot.
const ROWS_AT_ONCE: usize = 4_096;
/// Numbers of outcomes found at once: no index has them, so each search reads the whole table.
const NUMBERS_AT_ONCE: i64 = 1_000_000;
/// How long an export waits for transactions that took numbers before it: the server ends an idle one earlier.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(20);

/// A number of the database: another one after a restore or a failover, which may give out numbers again.
const SERIES: &str = "SELECT hashtextextended(concat_ws(':', (SELECT system_identifier FROM pg_control_system()),
        (SELECT oid FROM pg_database WHERE datname = current_database()), left(pg_walfile_name(pg_current_wal_lsn()), 8)), 0)";
/// The transactions that may have taken numbers and are not over, among those given.
const WRITERS: &str = "SELECT coalesce(array_agg(DISTINCT virtualtransaction), '{}') FROM pg_locks
     WHERE relation = $1::text::regclass AND mode = 'RowExclusiveLock' AND granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND ($2::text[] IS NULL OR virtualtransaction = ANY($2))";

const EVENTS: &str = "SELECT e.seq, e.id, r.requestor_id, e.slot, e.occurred_at, e.count, e.body, coalesce(f.state, 'pending'),
        e.input, p.path, e.line
     FROM passbridge.event e JOIN passbridge.requestor r USING (requestor) JOIN passbridge.input p USING (input)
     LEFT JOIN passbridge.final f ON f.seq = e.seq WHERE e.seq > $1 AND e.seq <= $2 ORDER BY e.seq LIMIT $3";
const NUMBERS: &str = "SELECT seq FROM passbridge.final
     WHERE (number, seq) > ($1, $2) AND number <= $3 AND state <> 'erased' ORDER BY number, seq LIMIT $4";
/// What changed meanwhile has a later number, and is for the next export.
const OUTCOMES: &str = "SELECT e.seq, e.id, r.requestor_id, e.slot, e.occurred_at, e.count, e.body, f.state,
        (extract(epoch FROM f.at) * 1000000000)::int8, CASE WHEN f.state IN ('dead', 'held') THEN f.reason END, f.number
     FROM passbridge.final f JOIN passbridge.event e ON e.seq = f.seq JOIN passbridge.requestor r USING (requestor)
     WHERE f.seq = ANY($1) AND f.number <= $2 AND f.state <> 'erased' ORDER BY f.number, f.seq";

/// An export under way. It ends at what was stored when it began.
pub struct SharedExporter {
    buffer: SharedBuffer,
    /// The cursor behind all rows that were shown.
    pub cursor: ExportCursor,
    end: i64,
    /// The events of the next outcomes, in their order.
    found: VecDeque<i64>,
}

impl SharedBuffer {
    /// Begins an export behind a cursor, or at the oldest row. `None` if the cursor is of another database or export, or
    /// from before a restore or a failover.
    pub async fn exporter(
        mut self,
        of: ExportOf,
        since: Option<ExportCursor>,
    ) -> Result<Option<SharedExporter>> {
        let series = self.row(SERIES, &[]).await?.get(0);
        let cursor = since.unwrap_or(ExportCursor { of, series, passed: [0; 2] });
        if cursor.of != of || cursor.series != series {
            return Ok(None);
        }
        let end = match of {
            ExportOf::Events => self.settled("passbridge.event", "passbridge.event_seq").await?,
            ExportOf::Outcomes => self.settled("passbridge.final", "passbridge.final_number").await?,
        };
        Ok(Some(SharedExporter { buffer: self, cursor, end, found: VecDeque::new() }))
    }

    /// A number below which no row appears any more. It belongs to no row, and is on disk: after a crash, the server does
    /// not give it, or a lower one, to a row.
    async fn settled(&mut self, table: &str, sequence: &str) -> Result<i64> {
        let take = "SELECT nextval($1::text::regclass)";
        let end = self
            .write(async |client| client.query_typed_one(take, &[(&sequence, Type::TEXT)]).await)
            .await?
            .get(0);
        let started = Moment::now();
        let mut writers: Option<Vec<String>> = None;
        loop {
            let values = [(&table as _, Type::TEXT), (&writers as _, Type::TEXT_ARRAY)];
            let left: Vec<String> = self.row(WRITERS, &values).await?.get(0);
            if left.is_empty() {
                return Ok(end);
            }
            if started.elapsed() > PATIENCE {
                return Err(PostgresError::Silent { place: self.place(), seconds: PATIENCE.as_secs() });
            }
            writers = Some(left);
            sleep(PAUSE).await;
        }
    }
}

impl SharedExporter {
    /// Shows some of the next rows; false if there are no more.
    pub async fn next(
        &mut self,
        show: &mut dyn FnMut(ExportedRow<'_>) -> std::result::Result<(), BufferError>,
    ) -> Result<bool> {
        let of = self.cursor.of;
        let rows = match of {
            ExportOf::Events => {
                let limit = ROWS_AT_ONCE as i64;
                let values =
                    [&self.cursor.passed[0], &self.end, &limit].map(|value| (value as _, Type::INT8));
                self.buffer.rows(EVENTS, &values).await?
            }
            ExportOf::Outcomes => self.outcomes().await?,
        };
        for row in &rows {
            let id = stored_id(row)?;
            show(ExportedRow {
                sequence: Sequence(row.get(0)),
                values: of.columns().map(|name| value(name, row)).collect::<Result<_>>()?,
                id,
                count: row.get::<_, i32>(5).cast_unsigned(),
                requestor_id: row.get(2),
                body: row.get(6),
            })?;
        }
        self.cursor.passed = match (rows.last(), of) {
            (None, _) => [self.end, 0],
            (Some(last), ExportOf::Events) => [last.get(0), 0],
            (Some(last), ExportOf::Outcomes) => [last.get(10), last.get(0)],
        };
        Ok(!rows.is_empty())
    }

    async fn outcomes(&mut self) -> Result<Vec<Row>> {
        loop {
            if self.found.is_empty() {
                let [number, seq] = &self.cursor.passed;
                let values = [number, seq, &self.end, &NUMBERS_AT_ONCE].map(|value| (value as _, Type::INT8));
                let rows = self.buffer.rows(NUMBERS, &values).await?;
                self.found = rows.iter().map(|row| row.get(0)).collect();
            }
            let next: Vec<i64> = self.found.drain(..ROWS_AT_ONCE.min(self.found.len())).collect();
            let values = [(&next as _, Type::INT8_ARRAY), (&self.end as _, Type::INT8)];
            let rows = self.buffer.rows(OUTCOMES, &values).await?;
            // All of them may have changed meanwhile, or be gone.
            if next.is_empty() || !rows.is_empty() {
                return Ok(rows);
            }
        }
    }
}

/// The value of a column in its exported form.
fn value<'a>(name: &str, row: &'a Row) -> Result<ExportedValue<'a>> {
    let time = |column| ExportedValue::Text(Instant::from_nanos(row.get(column)).to_the_millisecond().into());
    let optional =
        |text: Option<String>| text.map_or(ExportedValue::Empty, |text| ExportedValue::Text(text.into()));
    Ok(match name {
        "sequence" => ExportedValue::Number(row.get(0)),
        "event_key" => ExportedValue::Text(stored_id(row)?.to_string().into()),
        "event_id" => {
            let body: serde_json::Value = serde_json::from_str(row.get(6))
                .map_err(|_| PostgresError::Damaged("the body of an event cannot be read"))?;
            optional(body["event_id"].as_str().map(str::to_owned))
        }
        "event" => {
            let kind = u8::try_from(row.get::<_, i16>(3)).ok().and_then(EventKind::from_slot);
            let kind = kind.ok_or(PostgresError::Damaged("an event has an unknown kind"))?;
            ExportedValue::Text(kind.name().into())
        }
        "requestor_id" => ExportedValue::Text(row.get::<_, &str>(2).into()),
        "occurred_at" => time(4),
        "count" => ExportedValue::Number(row.get::<_, i32>(5).into()),
        "state" => ExportedValue::Text(row.get::<_, &str>(7).into()),
        "input" => ExportedValue::Number(row.get(8)),
        "path" => ExportedValue::Text(row.get::<_, &str>(9).into()),
        "line" => ExportedValue::Number(row.get(10)),
        "outcome_at" => time(8),
        "reason" => optional(row.get(9)),
        // Backfills and runs are of files.
        _ => ExportedValue::Empty,
    })
}
