//! Reads the metrics for a report, from one snapshot of the database.

use tokio::runtime::Runtime;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use super::address::Address;
use super::backlog::stored_event;
use super::database::{SharedBuffer, Values, connect};
use super::error::{PostgresError, Result};
use crate::buffer::{CountedHour, Discarded, MetricGroup, MetricsSecret, SeenUser, each_user};
use crate::event::{EventKind, Instant, PassEvent};

/// Rows fetched at once.
const ROWS_AT_ONCE: usize = 4_096;
/// Every row of a cursor is read, so the best plan is the one for all rows.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL cursor_tuple_fraction = 1";

const COUNTED: &str =
    "SELECT * FROM passbridge.counted_hour WHERE hour BETWEEN $1 AND $2 ORDER BY hour, metric_group, slot";
const DISCARDED: &str = "SELECT * FROM passbridge.discarded_hour WHERE hour BETWEEN $1 AND $2";
const STALE: &str =
    "SELECT requestor_id, day FROM passbridge.metric_users_stale JOIN passbridge.requestor USING (requestor)
     WHERE day BETWEEN $1 AND $2 ORDER BY day, requestor_id";
const SPAN: &str = "SELECT min(first), max(last) FROM (
        SELECT min(hour), max(hour) FROM passbridge.metric_count
        UNION ALL SELECT min(quarter) / 4, max(quarter) / 4 FROM passbridge.metric_delta) h(first, last)";
const GROUPS: &str = "SELECT metric_group, requestor_id, mvpd, proxy, sdk_type, device_type, reason
     FROM passbridge.metric_group JOIN passbridge.requestor USING (requestor) ORDER BY metric_group";
const PACKS: &str = "SELECT packed FROM passbridge.metric_users WHERE day = $1 ORDER BY pack";
const EVENTS: &str = "SELECT e.seq, e.id, r.requestor_id, e.slot, e.occurred_at, e.count, e.body
     FROM passbridge.event e JOIN passbridge.requestor r USING (requestor)
     WHERE e.occurred_at >= $1 AND e.occurred_at < $2 AND ($3 OR NOT EXISTS (
         SELECT FROM passbridge.final f WHERE f.seq = e.seq AND f.state = 'discarded'))";

/// A snapshot of the metrics, on its own connection. Each call blocks. Its functions are those of
/// [`MetricsReader`](crate::buffer::MetricsReader).
pub struct SharedMetrics {
    runtime: Runtime,
    place: String,
    client: Client,
    pub secret: MetricsSecret,
}

impl SharedMetrics {
    /// Takes a snapshot. `runtime` drives the connection.
    pub fn open(runtime: Runtime, address: &Address) -> Result<SharedMetrics> {
        let (client, secret) = runtime.block_on(async {
            let mut buffer = SharedBuffer::open(address).await?;
            buffer.count_older_events().await?;
            let client = connect(address).await.map_err(|error| PostgresError::of(buffer.place(), error))?;
            Ok::<_, PostgresError>((client, buffer.metrics_secret().await?))
        })?;
        let metrics = SharedMetrics { runtime, place: address.to_string(), client, secret };
        metrics.read(metrics.client.batch_execute(BEGIN))?;
        Ok(metrics)
    }

    fn read<T>(&self, work: impl Future<Output = std::result::Result<T, Error>>) -> Result<T> {
        self.runtime.block_on(work).map_err(|error| PostgresError::of(self.place.clone(), error))
    }

    fn rows(&self, sql: &str, values: &Values<'_>) -> Result<Vec<Row>> {
        self.read(self.client.query_typed(sql, values))
    }

    /// Calls `show` for each row, without having all of them in memory.
    fn each(&self, sql: &str, values: &Values<'_>, mut show: impl FnMut(&Row) -> Result<()>) -> Result<()> {
        let declare = format!("DECLARE figures NO SCROLL CURSOR FOR {sql}");
        self.read(self.client.execute_typed(&declare, values))?;
        let fetch = format!("FETCH {ROWS_AT_ONCE} FROM figures");
        loop {
            let rows = self.rows(&fetch, &[])?;
            rows.iter().try_for_each(&mut show)?;
            if rows.len() < ROWS_AT_ONCE {
                return self.read(self.client.batch_execute("CLOSE figures"));
            }
        }
    }

    fn start_of_hour(&self, sql: &str) -> Result<Option<Instant>> {
        let hour = self.rows(sql, &[])?[0].get::<_, Option<i64>>(0);
        Ok(hour.map(|hour| Instant::of_quarter(hour * 4)))
    }

    pub fn whole_from(&self) -> Result<Option<Instant>> {
        self.start_of_hour("SELECT whole_from_hour FROM passbridge.version")
    }

    pub fn events_whole_from(&self) -> Result<Option<Instant>> {
        let select = "SELECT max(hour) + 1 FROM passbridge.posting WHERE expired_delivered_events + expired_discarded_events + erased_events > 0";
        self.start_of_hour(select)
    }

    pub fn stale_users(&self, first: i64, last: i64) -> Result<Vec<(String, i64)>> {
        let days = [(&first as _, Type::INT8), (&last as _, Type::INT8)];
        Ok(self.rows(STALE, &days)?.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    pub fn span(&self) -> Result<Option<(i64, i64)>> {
        let row = &self.rows(SPAN, &[])?[0];
        Ok(row.get::<_, Option<i64>>(0).zip(row.get(1)))
    }

    pub fn groups(&self) -> Result<Vec<MetricGroup>> {
        let group = |row: &Row| {
            let number = row.get::<_, i32>(0).cast_unsigned();
            let [requestor_id, mvpd, proxy, sdk_type, device_type, reason] =
                [1, 2, 3, 4, 5, 6].map(|column| row.get(column));
            MetricGroup { number, requestor_id, mvpd, proxy, sdk_type, device_type, reason }
        };
        Ok(self.rows(GROUPS, &[])?.iter().map(group).collect())
    }

    pub fn each_counted(&self, first: i64, last: i64, mut show: impl FnMut(CountedHour)) -> Result<()> {
        let hours = [(&first as _, Type::INT8), (&last as _, Type::INT8)];
        self.each(COUNTED, &hours, |row| counted(row).map(&mut show))
    }

    pub fn discarded(&self, first: i64, last: i64) -> Result<Vec<CountedHour>> {
        self.rows(DISCARDED, &[(&first, Type::INT8), (&last, Type::INT8)])?.iter().map(counted).collect()
    }

    pub fn each_user(&self, first: i64, last: i64, show: impl FnMut(&[SeenUser])) -> Result<()> {
        let days = [(&first as _, Type::INT8), (&last as _, Type::INT8)];
        let users =
            "SELECT coalesce(sum(users), 0)::int8 FROM passbridge.metric_users WHERE day BETWEEN $1 AND $2";
        let users = self.rows(users, &days)?[0].get::<_, i64>(0).cast_unsigned();
        let read = |see: &mut dyn FnMut(i64, &[u8])| {
            for day in first..=last {
                self.rows(PACKS, &[(&day, Type::INT8)])?.iter().for_each(|row| see(day, row.get(0)));
            }
            Ok(())
        };
        each_user(users, read, show)
    }

    pub fn each_event(
        &self,
        from: Instant,
        to: Instant,
        whose: Discarded,
        mut show: impl FnMut(&PassEvent),
    ) -> Result<()> {
        let (from, to, counts_all) = (from.nanos(), to.nanos(), whose == Discarded::Counted);
        let values = [(&from as _, Type::INT8), (&to as _, Type::INT8), (&counts_all as _, Type::BOOL)];
        self.each(EVENTS, &values, |row| stored_event(row).map(|event| show(&event)))
    }
}

fn counted(row: &Row) -> Result<CountedHour> {
    let kind = u8::try_from(row.get::<_, i16>(2)).ok().and_then(EventKind::from_slot);
    Ok(CountedHour {
        hour: row.get(0),
        group: row.get::<_, i32>(1).cast_unsigned(),
        kind: kind.ok_or(PostgresError::Damaged("the metrics count an unknown kind of event"))?,
        units: [3, 4, 5, 6].map(|column| row.get::<_, i64>(column).cast_unsigned()),
    })
}
