//! Deletes what is old, and folds the postings of the account.

use tokio_postgres::types::Type;

use super::database::SharedBuffer;
use super::error::Result;
use super::metrics;
use crate::buffer::RetentionReport;
use crate::config::BufferConfig;
use crate::event::Instant;

/// Events deleted in one transaction.
const BATCH: i64 = 5_000;
/// If the clocks of this host and of the database differ by more than this, one of them is wrong.
const DIFFERENCE_MAX_SECONDS: i64 = 86_400;

/// Deletes no event within a day of its final state: a worker may still have it. Keeps the sum of over-counted units.
/// Of an event that was erased or taken back, only its state and what frozen workers recorded later are left.
const EXPIRE: &str = "WITH old AS MATERIALIZED (
        SELECT f.seq, f.state FROM passbridge.final f
        WHERE f.at < now() - make_interval(days => greatest($1, 1)) AND f.state IN ('delivered', 'discarded', 'erased')
        LIMIT $2 FOR UPDATE SKIP LOCKED),
    over AS (
        SELECT o.seq, (SELECT r.extra FROM passbridge.repeated r WHERE r.seq = o.seq) AS extra FROM old o),
    gone AS (
        DELETE FROM passbridge.event e USING old WHERE e.seq = old.seq
        RETURNING e.seq, e.id, e.requestor, e.slot, e.occurred_at, e.count, e.metric_group, old.state = 'delivered' AS is_delivered),
    finals AS (DELETE FROM passbridge.final f USING old WHERE f.seq = old.seq),
    attempts AS (DELETE FROM passbridge.attempt a USING old WHERE a.seq = old.seq),
    outcomes AS (DELETE FROM passbridge.outcome o USING old WHERE o.seq = old.seq),
    asides AS (DELETE FROM passbridge.aside a USING old WHERE a.seq = old.seq),
    identities AS (UPDATE passbridge.identity i SET gone_on = current_date FROM gone WHERE i.id = gone.id),
    discarded AS (
        INSERT INTO passbridge.metric_discarded (quarter, metric_group, slot, units)
        SELECT occurred_at / 900000000000, metric_group, slot, sum(count) FROM gone WHERE NOT is_delivered GROUP BY 1, 2, 3),
    posted AS (
        INSERT INTO passbridge.posting (requestor, slot, hour, delivered_events, delivered_units, expired_delivered_events,
            expired_delivered_units, discarded_events, discarded_units, expired_discarded_events, expired_discarded_units, over_units)
        SELECT requestor, slot, hour, -sum(d), -sum(d * count), sum(d), sum(d * count),
               -sum(1 - d), -sum((1 - d) * count), sum(1 - d), sum((1 - d) * count), coalesce(sum(extra), 0)
        FROM (SELECT g.*, g.occurred_at / 3600000000000 AS hour, g.is_delivered::int AS d FROM gone g) g
        LEFT JOIN over USING (seq) GROUP BY 1, 2, 3)
    SELECT count(*) FILTER (WHERE is_delivered), count(*) FILTER (WHERE NOT is_delivered), (SELECT count(*) FROM old) FROM gone";

const FORGET: &str = "DELETE FROM passbridge.identity WHERE id IN (
        SELECT id FROM passbridge.identity WHERE gone_on < current_date - $1 LIMIT $2)";

/// Each statement that changes events adds a posting per hour. If an hour has many postings, this makes them one.
const FOLD: &str = "WITH old AS (
        DELETE FROM passbridge.posting WHERE (requestor, slot, hour) IN (
            SELECT requestor, slot, hour FROM passbridge.posting GROUP BY 1, 2, 3 HAVING count(*) > 8)
        RETURNING *)
     INSERT INTO passbridge.posting
     SELECT requestor, slot, hour, sum(ingested_events), sum(ingested_units), sum(pending_events), sum(pending_units),
            sum(delivered_events), sum(delivered_units), sum(dead_events), sum(dead_units), sum(held_events), sum(held_units),
            sum(discarded_events), sum(discarded_units), sum(expired_delivered_events), sum(expired_delivered_units),
            sum(expired_discarded_events), sum(expired_discarded_units), sum(over_units), sum(erased_events), sum(erased_units),
            sum(taken_back_events), sum(taken_back_units)
     FROM old GROUP BY 1, 2, 3";

impl SharedBuffer {
    /// Deletes old events and identities, by the database's clock. Many workers may do it at the same time. `now` is
    /// the time of this host, and must be near the database's; `None` skips that check.
    pub async fn retain(&mut self, config: &BufferConfig, now: Option<Instant>) -> Result<RetentionReport> {
        let row = self.row("SELECT extract(epoch FROM now())::int8", &[]).await?;
        let differs =
            |now: Instant| (now.unix_seconds() - row.get::<_, i64>(0)).abs() > DIFFERENCE_MAX_SECONDS;
        let mut report =
            RetentionReport { clock_jumped: now.is_some_and(differs), ..RetentionReport::default() };
        if report.clock_jumped {
            return Ok(report);
        }
        // The metrics cannot count an event any more once it is deleted.
        self.count_older_events().await?;
        let days = |days: u32| i32::try_from(days).unwrap_or(i32::MAX);
        let (retention, dedup) = (days(config.retention_days), days(config.dedup_days));
        loop {
            let values = [(&retention as _, Type::INT4), (&BATCH as _, Type::INT8)];
            let rows = self.write(async |client| client.query_typed(EXPIRE, &values).await).await?;
            let [delivered, discarded, all] =
                [0, 1, 2].map(|column| rows[0].get::<_, i64>(column).cast_unsigned());
            report.expired_delivered += delivered;
            report.expired_discarded += discarded;
            if all == 0 {
                break;
            }
        }
        loop {
            let values = [(&dedup as _, Type::INT4), (&BATCH as _, Type::INT8)];
            let forgotten = self.write(async |client| client.execute_typed(FORGET, &values).await).await?;
            report.forgotten_identities += forgotten;
            if forgotten == 0 {
                break;
            }
        }
        self.write(async |client| client.execute_typed(FOLD, &[]).await).await?;
        while self.write(metrics::fold).await? {}
        // A take-back may have ended before it did this.
        self.recount().await?;
        Ok(report)
    }

    /// Forgets which lines were in files of rejects that were deleted.
    pub async fn forget_rejects(&mut self, files: &[String]) -> Result<()> {
        let delete = "DELETE FROM passbridge.kept_reject WHERE file = ANY($1)";
        self.write(async |client| client.execute_typed(delete, &[(&files, Type::TEXT_ARRAY)]).await)
            .await
            .map(drop)
    }
}
