//! Counts events in the metrics, in the transaction that stores them, and folds what many transactions wrote.

use std::collections::{HashMap, HashSet};

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

use super::backlog::stored_event;
use super::database::{SharedBuffer, Value};
use super::error::{PostgresError, Result};
use crate::buffer::{MERGED_USERS_MAX, MetricsSecret, NewEvent, UserEntry, pack_users, users_of};
use crate::event::Measure;
use crate::mapping;

/// How many events of an older release are counted in one transaction, and how many deltas are folded in one.
const ROWS_A_TRANSACTION: i64 = 10_000;
/// The key of the advisory lock for changes of packs and counts: "passbrif" in ASCII. It ends with its transaction.
pub(super) const FOLD_LOCK: i64 = 0x7061_7373_6272_6966;

/// The parts of a statement that add events to the metrics. A row has occurred_at, slot, count, metric_group, and the
/// user as an entry of a pack. The parts only insert, so that no two ingests wait for each other.
macro_rules! count_in_metrics {
    ($events:literal) => {
        concat!(
            "counted AS (
                INSERT INTO passbridge.metric_delta (quarter, metric_group, slot, units)
                SELECT occurred_at / 900000000000, metric_group, slot, sum(count) FROM ", $events, " GROUP BY 1, 2, 3),
            seen AS (
                INSERT INTO passbridge.metric_users (day, users, packed)
                SELECT occurred_at / 86400000000000, count(DISTINCT entry), string_agg(DISTINCT entry, '' ORDER BY entry)
                FROM ", $events, " WHERE entry IS NOT NULL GROUP BY 1)"
        )
    };
}
pub(super) use count_in_metrics;

/// The numbers of requestors and groups; NULL where there is none yet.
const GROUPS: &str = "SELECT u.ord, r.requestor, g.metric_group
     FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) WITH ORDINALITY
         AS u(requestor_id, mvpd, proxy, sdk_type, device_type, reason, ord)
     LEFT JOIN passbridge.requestor r USING (requestor_id)
     LEFT JOIN passbridge.metric_group g USING (requestor, mvpd, proxy, sdk_type, device_type, reason)";
/// Inserts only what is missing, because each row takes a number even if it conflicts. Sorts the rows, so that no two
/// transactions wait for each other in a circle.
const ADD_REQUESTORS: &str = "INSERT INTO passbridge.requestor (requestor_id) SELECT DISTINCT id FROM unnest($1::text[]) id
     WHERE NOT EXISTS (SELECT FROM passbridge.requestor r WHERE r.requestor_id = id) ORDER BY 1 ON CONFLICT DO NOTHING";
/// The numbers follow the order of the events, because a report shows the spelling with the lowest number.
const ADD_GROUPS: &str = "WITH new AS MATERIALIZED (
        SELECT nextval('passbridge.metric_group_metric_group_seq') AS number, n.* FROM (
            SELECT r.requestor, u.mvpd, u.proxy, u.sdk_type, u.device_type, u.reason
            FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) WITH ORDINALITY
                AS u(requestor_id, mvpd, proxy, sdk_type, device_type, reason, ord)
            JOIN passbridge.requestor r USING (requestor_id)
            LEFT JOIN passbridge.metric_group g USING (requestor, mvpd, proxy, sdk_type, device_type, reason)
            WHERE g.metric_group IS NULL ORDER BY u.ord) n)
     INSERT INTO passbridge.metric_group (metric_group, requestor, mvpd, proxy, sdk_type, device_type, reason)
     OVERRIDING SYSTEM VALUE SELECT * FROM new ORDER BY requestor, mvpd, proxy, sdk_type, device_type, reason
     ON CONFLICT DO NOTHING";

const UNCOUNTED: &str = "SELECT e.seq, e.id, r.requestor_id, e.slot, e.occurred_at, e.count, e.body
     FROM passbridge.version v JOIN passbridge.event e ON e.seq > v.measured_to AND e.seq <= v.measure_until
     JOIN passbridge.requestor r USING (requestor) WHERE e.metric_group IS NULL ORDER BY e.seq LIMIT $1";
const COUNT: &str = concat!(
    "WITH events AS (
        UPDATE passbridge.event e SET metric_group = u.metric_group
        FROM unnest($1::int8[], $2::int4[], $3::bytea[]) AS u(seq, metric_group, entry)
        WHERE e.seq = u.seq AND e.metric_group IS NULL RETURNING e.occurred_at, e.slot, e.count, u.metric_group, u.entry), ",
    count_in_metrics!("events"),
    " UPDATE passbridge.version SET measured_to = greatest(measured_to, (SELECT max(seq) FROM unnest($1) seq))"
);

const FOLD_DELTAS: &str = "WITH old AS (
        DELETE FROM passbridge.metric_delta
        WHERE ctid = ANY (ARRAY(SELECT ctid FROM passbridge.metric_delta LIMIT $1)) RETURNING *)
     INSERT INTO passbridge.metric_count AS c
     SELECT quarter / 4, metric_group, slot,
            coalesce(sum(units) FILTER (WHERE quarter % 4 = 0), 0), coalesce(sum(units) FILTER (WHERE quarter % 4 = 1), 0),
            coalesce(sum(units) FILTER (WHERE quarter % 4 = 2), 0), coalesce(sum(units) FILTER (WHERE quarter % 4 = 3), 0)
     FROM old GROUP BY 1, 2, 3
     ON CONFLICT (hour, metric_group, slot) DO UPDATE SET
         units_00 = c.units_00 + EXCLUDED.units_00, units_15 = c.units_15 + EXCLUDED.units_15,
         units_30 = c.units_30 + EXCLUDED.units_30, units_45 = c.units_45 + EXCLUDED.units_45";
/// Takes the smallest packs of a day, as many as fit into one. A pack that is more than half full stays as it is.
const TAKE_PACKS: &str = "DELETE FROM passbridge.metric_users WHERE pack IN (
        SELECT pack FROM (
            SELECT pack, sum(users) OVER (ORDER BY users, pack) AS users FROM passbridge.metric_users
            WHERE users <= $1 / 2 AND day = (
                SELECT day FROM passbridge.metric_users WHERE users <= $1 / 2 GROUP BY day HAVING count(*) > 1 LIMIT 1)) p
        WHERE users <= $1)
     RETURNING day, packed";
pub(super) const REPACK: &str =
    "UPDATE passbridge.metric_users SET packed = $2, users = octet_length($2) / 24 WHERE pack = $1";
pub(super) const ADD_PACK: &str =
    "INSERT INTO passbridge.metric_users (day, users, packed) VALUES ($1, octet_length($2) / 24, $2)";

/// What the metrics need of events, in the order of the events.
#[derive(Default)]
pub(super) struct Measured {
    pub(super) requestors: Vec<i32>,
    pub(super) groups: Vec<i32>,
    /// The user of each event, as an entry of a pack; `None` for an event without a user.
    pub(super) users: Vec<Option<Vec<u8>>>,
}

/// The requestor of an event, with the groups of its units and of its user.
fn keys(event: &NewEvent) -> [(&str, &str); 2] {
    [event.measure.group(), event.measure.group_of_users()].map(|group| (event.requestor_id.as_str(), group))
}

impl SharedBuffer {
    /// The key of the digests of users.
    pub(super) async fn metrics_secret(&mut self) -> Result<MetricsSecret> {
        if let Some(secret) = &self.metrics_secret {
            return Ok(secret.clone());
        }
        let row = self.row("SELECT metrics_secret FROM passbridge.version", &[]).await?;
        let bytes = row.get::<_, &[u8]>(0).try_into();
        let bytes = bytes.map_err(|_| PostgresError::Damaged("the key of the metrics has another length"))?;
        Ok(self.metrics_secret.insert(MetricsSecret::new(bytes)).clone())
    }

    /// Returns what the metrics need. Numbers new requestors and groups in another transaction: no ingest waits.
    pub(super) async fn measured(&mut self, events: &[NewEvent]) -> Result<Measured> {
        let mut known = HashSet::new();
        let wanted: Vec<_> = events.iter().flat_map(keys).filter(|key| known.insert(*key)).collect();
        let ids: Vec<&str> = wanted.iter().map(|(id, _)| *id).collect();
        let groups: Vec<[&str; 5]> = wanted.iter().map(|(_, group)| Measure::values_of(group)).collect();
        let columns =
            [0, 1, 2, 3, 4].map(|column| groups.iter().map(|group| group[column]).collect::<Vec<&str>>());
        let mut values: Vec<Value<'_>> = vec![(&ids, Type::TEXT_ARRAY)];
        values.extend(columns.iter().map(|column| (column as &(dyn ToSql + Sync), Type::TEXT_ARRAY)));
        let numbers = loop {
            let rows = self.rows(GROUPS, &values).await?;
            let number = |row: &Row| {
                let numbers = row.get::<_, Option<i32>>(1).zip(row.get(2))?;
                Some((wanted[row.get::<_, i64>(0) as usize - 1], numbers))
            };
            let numbers: HashMap<_, (i32, i32)> = rows.iter().filter_map(number).collect();
            if numbers.len() == wanted.len() {
                break numbers;
            }
            self.write(async |client| {
                client.execute_typed(ADD_REQUESTORS, &values[..1]).await?;
                client.execute_typed(ADD_GROUPS, &values).await
            })
            .await?;
        };
        let (secret, mut measured) = (self.metrics_secret().await?, Measured::default());
        for event in events {
            let [(requestor, group), (_, of_users)] = keys(event).map(|key| numbers[&key]);
            let entry =
                |mark| UserEntry::of(mark, of_users.cast_unsigned(), event.occurred_at).1.bytes().to_vec();
            measured.requestors.push(requestor);
            measured.groups.push(group);
            measured.users.push(secret.mark(&event.measure).map(entry));
        }
        Ok(measured)
    }

    /// Counts the events that a release without metrics stored. After an interruption, the next call goes on.
    pub(super) async fn count_older_events(&mut self) -> Result<()> {
        loop {
            let rows = self.rows(UNCOUNTED, &[(&ROWS_A_TRANSACTION, Type::INT8)]).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let seqs: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
            let event =
                |row| stored_event(row).map(|event| NewEvent::new(0, &event, mapping::measure(&event)));
            let Measured { groups, users, .. } =
                self.measured(&rows.iter().map(event).collect::<Result<Vec<_>>>()?).await?;
            let values: [Value<'_>; 3] =
                [(&seqs, Type::INT8_ARRAY), (&groups, Type::INT4_ARRAY), (&users, Type::BYTEA_ARRAY)];
            self.write(async |client| {
                client.query_typed("SELECT pg_advisory_xact_lock($1)", &[(&FOLD_LOCK, Type::INT8)]).await?;
                client.execute_typed(COUNT, &values).await
            })
            .await?;
        }
    }
}

/// Folds some of what many transactions wrote. Returns whether there may be more; false if another program folds now.
pub(super) async fn fold(client: &Client) -> std::result::Result<bool, Error> {
    let lock = "SELECT pg_try_advisory_xact_lock($1)";
    if !client.query_typed_one(lock, &[(&FOLD_LOCK, Type::INT8)]).await?.get::<_, bool>(0) {
        return Ok(false);
    }
    let folded = client.execute_typed(FOLD_DELTAS, &[(&ROWS_A_TRANSACTION, Type::INT8)]).await?;
    let packs = client.query_typed(TAKE_PACKS, &[(&(MERGED_USERS_MAX as i64), Type::INT8)]).await?;
    let Some(day) = packs.first().map(|row| row.get::<_, i64>(0)) else { return Ok(folded > 0) };
    let packed = pack_users(packs.iter().flat_map(|row| users_of(row.get(1))).collect());
    client.execute_typed(ADD_PACK, &[(&day, Type::INT8), (&packed, Type::BYTEA)]).await?;
    Ok(true)
}
