//! Where every event is, who works, and whether the account and the rows agree.

use serde::Serialize;
use tokio_postgres::Row;

use super::database::SharedBuffer;
use super::error::Result;
use crate::event::Instant;

/// How many differences `--verify` names.
const DISCREPANCIES_MAX: i64 = 20;

/// The state of all events.
#[derive(Debug, Clone, Serialize)]
pub struct SharedStatus {
    /// By the database's clock, as every instant here.
    pub at: Instant,
    pub pending: i64,
    pub delivered: i64,
    pub dead: i64,
    pub held: i64,
    pub discarded: i64,
    /// Delivered and discarded events that retention deleted.
    pub expired: i64,
    /// Events that were erased at a person's request.
    pub erased: i64,
    /// Pending events that were taken back, as if they had never come in.
    pub taken_back: i64,
    /// Pending events whose requestor has no suite, or whose suite is paused.
    pub parked: i64,
    /// Pending events with an attempt of unknown outcome that no live worker is making any more.
    pub in_doubt: i64,
    /// Attempts without an outcome by workers that may still be sending.
    pub under_way: i64,
    /// The most units that Analytics may have counted too often, in suites without event IDs.
    pub over_count_max: i64,
    /// Events that became dead within 24 hours.
    pub dead_within_a_day: i64,
    /// Of the events that a drain left or a person requeued, in active suites: when their first input was opened.
    pub oldest_left_at: Option<Instant>,
    /// When the first input was opened.
    pub first_arrival_at: Option<Instant>,
    pub accounting: Accounting,
    pub requestors: Vec<RequestorLine>,
    pub workers: Vec<WorkerLine>,
    pub slices: Vec<SliceLine>,
    pub database: DatabaseHealth,
}

/// The health of the database itself, as far as its user may see it.
#[derive(Debug, Clone, Serialize)]
pub struct DatabaseHealth {
    /// The connections to all databases of the server.
    pub connections: i64,
    pub connections_max: i64,
    /// The age of the oldest snapshot of another session: rows that were deleted since then stay on disk.
    pub oldest_snapshot_seconds: f64,
    pub prepared_transactions: i64,
    pub oldest_prepared_seconds: f64,
    pub bytes: i64,
    /// Rows of the buffer's tables that vacuum has not removed yet.
    pub dead_rows: i64,
    /// How far the slowest standby is behind; `None` without one.
    pub standby_lag_bytes: Option<i64>,
}

/// The account, in events.
#[derive(Debug, Clone, Serialize)]
pub struct Accounting {
    pub ingested: i64,
    pub ingested_units: i64,
    pub pending_units: i64,
    pub delivered_units: i64,
    pub balanced: bool,
}

/// The events of a requestor, by state.
#[derive(Debug, Clone, Serialize)]
pub struct RequestorLine {
    pub requestor_id: String,
    pub rsid: Option<String>,
    /// Why its events are not sent: `no_suite` or `paused`.
    pub parked: Option<&'static str>,
    /// When the input with its latest event was opened.
    pub arrived_at: Option<Instant>,
    pub ingested: i64,
    pub pending: i64,
    pub delivered: i64,
    pub dead: i64,
    pub held: i64,
    pub discarded: i64,
}

/// A worker that holds a lease, or still owns slices because no other worker has claimed them.
#[derive(Debug, Clone, Serialize)]
pub struct WorkerLine {
    pub worker: String,
    pub host: String,
    pub pid: i32,
    pub is_alive: bool,
    pub slices: i64,
}

/// The slices of a suite.
#[derive(Debug, Clone, Serialize)]
pub struct SliceLine {
    pub rsid: String,
    pub slices: i64,
    pub owned: i64,
    /// Each slice was covered by a drain that began then or later; `None` if a slice was never covered.
    pub covered_at: Option<Instant>,
    /// `covered_at`; without it, when the first attempt of the suite began.
    #[serde(skip)]
    pub waits_since: Option<Instant>,
    #[serde(skip)]
    pub is_paused: bool,
}

/// The account, and what a monitor compares with its limits. Instants are nanoseconds since the Unix epoch.
const TOTALS: &str = "SELECT coalesce(sum(ingested_events), 0)::int8, coalesce(sum(pending_events), 0)::int8,
        coalesce(sum(delivered_events), 0)::int8, coalesce(sum(dead_events), 0)::int8, coalesce(sum(held_events), 0)::int8,
        coalesce(sum(ingested_units), 0)::int8, coalesce(sum(pending_units), 0)::int8,
        coalesce(sum(delivered_units), 0)::int8, coalesce(sum(dead_units + held_units + discarded_units + expired_delivered_units
            + expired_discarded_units + erased_units + taken_back_units), 0)::int8,
        coalesce(sum(discarded_events), 0)::int8, coalesce(sum(expired_delivered_events + expired_discarded_events), 0)::int8,
        (SELECT count(*) FROM passbridge.final WHERE state = 'dead' AND at > now() - interval '24 hours'),
        (extract(epoch FROM now()) * 1000000000)::int8,
        (SELECT (extract(epoch FROM min(i.opened_at)) * 1000000000)::int8
         FROM passbridge.aside a JOIN passbridge.suite s ON s.rsid = a.rsid AND NOT s.is_paused
         JOIN passbridge.event e ON e.seq = a.seq JOIN passbridge.requestor r ON r.requestor = e.requestor AND r.rsid = a.rsid
         JOIN passbridge.input i ON i.input = e.input
         WHERE NOT EXISTS (SELECT FROM passbridge.final f WHERE f.seq = a.seq)),
        (SELECT (extract(epoch FROM opened_at) * 1000000000)::int8 FROM passbridge.input ORDER BY input LIMIT 1),
        coalesce(sum(erased_events), 0)::int8, coalesce(sum(taken_back_events), 0)::int8
     FROM passbridge.posting";

/// For `arrived_at`, only the event that happened last in each slice is looked up, by the index, and its input.
const REQUESTORS: &str = "SELECT r.requestor_id, r.rsid, sum(p.pending_events)::int8, bool_or(s.is_paused), sum(p.ingested_events)::int8,
        sum(p.delivered_events)::int8, sum(p.dead_events)::int8, sum(p.held_events)::int8, sum(p.discarded_events)::int8,
        (SELECT (extract(epoch FROM max(i.opened_at)) * 1000000000)::int8 FROM generate_series(0, 15) n CROSS JOIN LATERAL (
            SELECT e.input FROM passbridge.event e WHERE e.requestor = r.requestor AND (e.mvpd_bucket & 15) = n
            ORDER BY e.occurred_at DESC, e.seq DESC LIMIT 1) e JOIN passbridge.input i ON i.input = e.input)
     FROM passbridge.posting p JOIN passbridge.requestor r ON r.requestor = p.requestor
     LEFT JOIN passbridge.suite s ON s.rsid = r.rsid GROUP BY r.requestor ORDER BY 1";

impl SharedBuffer {
    /// Reads the account and the workers.
    pub async fn status(&mut self) -> Result<SharedStatus> {
        let row = self.row(TOTALS, &[]).await?;
        let [
            ingested,
            pending,
            delivered,
            dead,
            held,
            ingested_units,
            pending_units,
            delivered_units,
            others,
            discarded,
            expired,
            dead_within_a_day,
            at,
        ] = std::array::from_fn(|column| row.get::<_, i64>(column));
        let [erased, taken_back] = [15, 16].map(|column| row.get::<_, i64>(column));
        let is_balanced = ingested
            == pending + delivered + dead + held + discarded + expired + erased + taken_back
            && ingested_units == pending_units + delivered_units + others;
        let accounting =
            Accounting { ingested, ingested_units, pending_units, delivered_units, balanced: is_balanced };
        let doubts = "WITH open AS (
                SELECT a.seq, EXISTS (SELECT FROM passbridge.worker w WHERE w.worker = a.worker AND w.gone_at > clock_timestamp())
                        AND o.seq IS NULL AS is_live
                FROM passbridge.attempt a LEFT JOIN passbridge.outcome o ON o.seq = a.seq AND o.attempt = a.attempt
                WHERE (o.seq IS NULL OR o.verdict = 'doubt')
                  AND NOT EXISTS (SELECT FROM passbridge.final f WHERE f.seq = a.seq))
             SELECT count(DISTINCT seq) FILTER (WHERE NOT is_live), count(*) FILTER (WHERE is_live) FROM open";
        let doubts = self.row(doubts, &[]).await?;
        let requestors: Vec<RequestorLine> =
            self.rows(REQUESTORS, &[]).await?.iter().map(of_requestor).collect();
        let instant = |column: usize| row.get::<_, Option<i64>>(column).map(Instant::from_nanos);
        Ok(SharedStatus {
            at: Instant::from_nanos(at),
            dead_within_a_day,
            oldest_left_at: instant(13),
            first_arrival_at: instant(14),
            pending,
            delivered,
            dead,
            held,
            discarded,
            expired,
            erased,
            taken_back,
            parked: requestors.iter().filter(|one| one.parked.is_some()).map(|one| one.pending).sum(),
            in_doubt: doubts.get(0),
            under_way: doubts.get(1),
            over_count_max: self.over_count().await?,
            accounting,
            requestors,
            workers: self.workers().await?,
            slices: self.slices().await?,
            database: self.health().await?,
        })
    }

    async fn health(&mut self) -> Result<DatabaseHealth> {
        let select = "SELECT (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL),
                current_setting('max_connections')::int8,
                (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 FROM pg_stat_activity
                 WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()),
                (SELECT count(*) FROM pg_prepared_xacts),
                (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - prepared)), 0)::float8 FROM pg_prepared_xacts), pg_database_size(current_database()),
                (SELECT coalesce(sum(n_dead_tup), 0)::int8 FROM pg_stat_user_tables WHERE schemaname = 'passbridge'),
                (SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn))::int8 FROM pg_stat_replication)";
        let row = self.row(select, &[]).await?;
        Ok(DatabaseHealth {
            connections: row.get(0),
            connections_max: row.get(1),
            oldest_snapshot_seconds: row.get(2),
            prepared_transactions: row.get(3),
            oldest_prepared_seconds: row.get(4),
            bytes: row.get(5),
            dead_rows: row.get(6),
            standby_lag_bytes: row.get(7),
        })
    }

    /// How many events are pending, and how many of them are parked.
    pub async fn waiting(&mut self) -> Result<(i64, i64)> {
        let select = "SELECT coalesce(sum(p.pending_events), 0)::int8,
                coalesce(sum(p.pending_events) FILTER (WHERE s.is_paused IS DISTINCT FROM FALSE), 0)::int8
             FROM passbridge.posting p JOIN passbridge.requestor r ON r.requestor = p.requestor
             LEFT JOIN passbridge.suite s ON s.rsid = r.rsid";
        let row = self.row(select, &[]).await?;
        Ok((row.get(0), row.get(1)))
    }

    /// The units of attempts without event IDs that may have been counted, except one attempt of each event.
    async fn over_count(&mut self) -> Result<i64> {
        let select = "SELECT coalesce((SELECT sum(extra) FROM passbridge.repeated), 0)::int8
                + coalesce((SELECT sum(over_units) FROM passbridge.posting), 0)::int8";
        Ok(self.row(select, &[]).await?.get(0))
    }

    async fn workers(&mut self) -> Result<Vec<WorkerLine>> {
        let select = "SELECT w.worker, w.host, w.pid, w.until > clock_timestamp(),
                (SELECT count(*) FROM passbridge.slice s WHERE s.owner = w.worker)
             FROM passbridge.worker w ORDER BY w.host, w.pid, w.worker";
        let line = |row: &Row| WorkerLine {
            worker: row.get(0),
            host: row.get(1),
            pid: row.get(2),
            is_alive: row.get(3),
            slices: row.get(4),
        };
        let lines = self.rows(select, &[]).await?;
        Ok(lines.iter().map(line).filter(|line| line.is_alive || line.slices > 0).collect())
    }

    async fn slices(&mut self) -> Result<Vec<SliceLine>> {
        let select = "SELECT s.rsid, count(*), count(l.owner),
                (extract(epoch FROM nullif(min(l.covered_at), '-infinity')) * 1000000000)::int8,
                (extract(epoch FROM coalesce(nullif(min(l.covered_at), '-infinity'),
                    (SELECT min(a.at) FROM passbridge.attempt a WHERE a.rsid = s.rsid))) * 1000000000)::int8, s.is_paused
             FROM passbridge.slice l JOIN passbridge.suite s ON s.rsid = l.rsid GROUP BY s.rsid ORDER BY s.rsid";
        let line = |row: &Row| SliceLine {
            rsid: row.get(0),
            slices: row.get(1),
            owned: row.get(2),
            covered_at: row.get::<_, Option<i64>>(3).map(Instant::from_nanos),
            waits_since: row.get::<_, Option<i64>>(4).map(Instant::from_nanos),
            is_paused: row.get(5),
        };
        Ok(self.rows(select, &[]).await?.iter().map(line).collect())
    }

    /// Recounts rows and metrics at one moment, by one statement. Names the first differences from the account.
    pub async fn verify(&mut self) -> Result<Vec<String>> {
        self.count_older_events().await?;
        let select = "WITH counted AS (
                SELECT e.requestor, e.slot, e.occurred_at / 3600000000000 AS hour, coalesce(f.state, 'pending') AS state,
                       count(*) AS events, sum(e.count) AS units
                FROM passbridge.event e LEFT JOIN passbridge.final f ON f.seq = e.seq GROUP BY 1, 2, 3, 4
                UNION ALL
                SELECT g.requestor, m.slot, m.hour, 'counted for reports', sum(m.units_00 + m.units_15 + m.units_30 + m.units_45), 0
                FROM passbridge.counted_hour m JOIN passbridge.metric_group g USING (metric_group) CROSS JOIN passbridge.version v
                WHERE m.hour >= coalesce(v.whole_from_hour, m.hour) GROUP BY 1, 2, 3),
             posted AS (
                SELECT requestor, slot, hour, state, sum(m.events) AS events, sum(m.units) AS units
                FROM passbridge.posting p CROSS JOIN passbridge.version v CROSS JOIN LATERAL (VALUES
                    ('counted for reports', CASE WHEN p.hour >= coalesce(v.whole_from_hour, p.hour) THEN p.ingested_units - p.taken_back_units END, 0),
                    ('pending', p.pending_events, p.pending_units), ('delivered', p.delivered_events, p.delivered_units),
                    ('dead', p.dead_events, p.dead_units), ('held', p.held_events, p.held_units),
                    ('discarded', p.discarded_events, p.discarded_units)) AS m(state, events, units)
                GROUP BY 1, 2, 3, 4)
             SELECT format('requestor %s, event%s, hour %s: %s by the rows and %s by the account are %s', requestor, slot, hour,
                           coalesce(c.events, 0), coalesce(p.events, 0), state)
             FROM counted c FULL JOIN posted p USING (requestor, slot, hour, state)
             WHERE coalesce(c.events, 0) <> coalesce(p.events, 0) OR coalesce(c.units, 0) <> coalesce(p.units, 0)
             ORDER BY 1 LIMIT $1";
        let values = [(&DISCREPANCIES_MAX as _, tokio_postgres::types::Type::INT8)];
        Ok(self.rows(select, &values).await?.iter().map(|row| row.get(0)).collect())
    }
}

fn of_requestor(row: &Row) -> RequestorLine {
    let rsid: Option<String> = row.get(1);
    let parked = match (&rsid, row.get(3)) {
        (None, _) => Some("no_suite"),
        (Some(_), Some(true)) => Some("paused"),
        (Some(_), _) => None,
    };
    RequestorLine {
        requestor_id: row.get(0),
        rsid,
        parked,
        arrived_at: row.get::<_, Option<i64>>(9).map(Instant::from_nanos),
        ingested: row.get(4),
        pending: row.get(2),
        delivered: row.get(5),
        dead: row.get(6),
        held: row.get(7),
        discarded: row.get(8),
    }
}
