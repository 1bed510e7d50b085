//! Metrics: units and users by hour, kept for ever, so that a report neither reads events nor needs them any more.
//!
//! ```text
//! event ── Measure ──> Tally, one a transaction ──> metric_counts      quarter hours of UTC, by group and event
//!                                               └─> metric_users       packs of digests, by day
//! ```
//!
//! The counts are those of `ingested` in the ledger, which `status --verify` compares. What becomes of an event changes
//! nothing here, but for what leaves the buffer undelivered (`metric_withdrawn`) and for people who are forgotten: their
//! digest is replaced by a random one, the same everywhere, so that no figure changes and nothing leads to them.
//!
//! A row for each user of a day would be written at a random place of its index for nearly every event. Users go into
//! sorted packs instead, which are merged when they have grown alike: a write costs the same however many there are.

mod erasure;
mod measure;
mod packs;
mod reader;
mod stated;

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::events::EventRef;
use super::ledger::{Amount, Discrepancy};
use super::suites::RequestorKey;
use super::{BufferError, memory, runs};
use crate::event::{EventKind, Instant};

pub(super) use erasure::{forget, people_of};
pub use measure::Measure;
use measure::Secret;
use packs::{Entry, SYNTHETIC};
use reader::read_stored;
pub use reader::{CountedHour, MetricGroup, MetricsReader, SeenUser, UserMark};
pub use stated::TransientIds;
pub(super) use stated::store as store_stated;

/// The schema version that brought the metrics.
pub(super) const SINCE_SCHEMA: i64 = 5;
/// The fact that holds the first UTC hour from which on every event that was ever stored is counted.
const WHOLE_FROM_HOUR: &str = "metrics_whole_from_hour";
/// Events counted in one go while a buffer of an older schema is brought up to date.
const BUILT_AT_ONCE: usize = 50_000;

/// Fewer logins of a month than these say nothing of an MVPD's user IDs.
const TRANSIENT_LOGINS_MIN: u64 = 20;
/// What it means where they look transient ("Understanding Server-side Metrics", "Unique Users").
pub const TRANSIENT_IDS: &str = "the user IDs look transient, a new one for each login: Adobe says that their persistence is \
                                 neither guaranteed nor validated, so users, and visitors made of them, count logins here";

/// Whether the user IDs of an MVPD look transient: of a month, its users are 95 % or more of its logins.
pub fn looks_transient(users: u64, logins: u64) -> bool {
    logins >= TRANSIENT_LOGINS_MIN && users.saturating_mul(20) >= logins.saturating_mul(19)
}

const QUARTER_NANOS: i64 = 900_000_000_000;
const QUARTERS_A_DAY: i64 = 96;

/// The numbers of a group: with its reason, and without.
#[derive(Debug, Clone, Copy)]
struct GroupKeys {
    counted: i64,
    users: u32,
}

/// The numbers of groups, as far as they were asked for.
#[derive(Debug, Default)]
struct Groups {
    known: HashMap<i64, HashMap<Box<str>, GroupKeys>>,
}

impl Groups {
    fn keys(
        &mut self,
        transaction: &Transaction<'_>,
        requestor: RequestorKey,
        measure: &Measure,
    ) -> Result<GroupKeys, BufferError> {
        let groups = self.known.entry(requestor.0).or_default();
        if let Some(keys) = groups.get(measure.group()) {
            return Ok(*keys);
        }
        let [mvpd, proxy, sdk_type, device_type, reason] = measure.values();
        let counted = intern(transaction, requestor, [mvpd, proxy, sdk_type, device_type, reason])?;
        let users = if reason.is_empty() {
            counted
        } else {
            intern(transaction, requestor, [mvpd, proxy, sdk_type, device_type, ""])?
        };
        // Numbers go up by one, and two billion combinations would be a disk full of names.
        let keys = GroupKeys { counted, users: u32::try_from(users).unwrap_or(SYNTHETIC - 1) };
        groups.insert(measure.group().into(), keys);
        Ok(keys)
    }
}

fn intern(
    transaction: &Transaction<'_>,
    requestor: RequestorKey,
    values: [&str; 5],
) -> Result<i64, BufferError> {
    let [mvpd, proxy, sdk_type, device_type, reason] = values;
    let row = (requestor.0, mvpd, proxy, sdk_type, device_type, reason);
    let known = transaction
        .prepare_cached(
            "SELECT metric_group FROM metric_groups WHERE requestor = ?1 AND mvpd = ?2 AND proxy = ?3
             AND sdk_type = ?4 AND device_type = ?5 AND reason = ?6",
        )?
        .query_row(row, |row| row.get(0))
        .optional()?;
    if let Some(number) = known {
        return Ok(number);
    }
    transaction
        .prepare_cached(
            "INSERT INTO metric_groups (requestor, mvpd, proxy, sdk_type, device_type, reason)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(row)?;
    Ok(transaction.last_insert_rowid())
}

/// Units by hour, group and event.
#[derive(Debug, Default)]
struct Counts {
    sums: HashMap<(i64, i64, u8), [i64; 4]>,
}

impl Counts {
    fn add(&mut self, event: &EventRef, group: i64) {
        let quarter = event.occurred_at.nanos().div_euclid(QUARTER_NANOS);
        let key = (quarter.div_euclid(4), group, event.kind.slot());
        self.sums.entry(key).or_default()[quarter.rem_euclid(4) as usize] += i64::from(event.count);
    }

    fn apply(self, transaction: &Transaction<'_>, upsert: &str) -> Result<(), BufferError> {
        let mut sums: Vec<_> = self.sums.into_iter().collect();
        sums.sort_unstable_by_key(|(key, _)| *key);
        let mut upsert = transaction.prepare_cached(upsert)?;
        for ((hour, group, slot), units) in sums {
            upsert.execute((hour, group, slot, units[0], units[1], units[2], units[3]))?;
        }
        Ok(())
    }
}

const ADD_COUNTED: &str = "INSERT INTO metric_counts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
     ON CONFLICT (hour, metric_group, slot) DO UPDATE SET units_00 = units_00 + excluded.units_00,
         units_15 = units_15 + excluded.units_15, units_30 = units_30 + excluded.units_30,
         units_45 = units_45 + excluded.units_45";
const ADD_WITHDRAWN: &str = "INSERT INTO metric_withdrawn VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
     ON CONFLICT (hour, metric_group, slot) DO UPDATE SET units_00 = units_00 + excluded.units_00,
         units_15 = units_15 + excluded.units_15, units_30 = units_30 + excluded.units_30,
         units_45 = units_45 + excluded.units_45";

/// What the events of one transaction add, summed before it touches a table.
#[derive(Debug)]
pub(super) struct Tally {
    secret: Secret,
    groups: Groups,
    counts: Counts,
    users: Vec<(i64, Entry)>,
}

impl Tally {
    pub(super) fn new(transaction: &Transaction<'_>) -> Result<Tally, BufferError> {
        Ok(Tally {
            secret: secret(transaction)?,
            groups: Groups::default(),
            counts: Counts::default(),
            users: Vec::new(),
        })
    }

    /// Counts an event that was stored.
    pub(super) fn add(
        &mut self,
        transaction: &Transaction<'_>,
        event: &EventRef,
        measure: &Measure,
    ) -> Result<(), BufferError> {
        let keys = self.groups.keys(transaction, event.requestor, measure)?;
        self.counts.add(event, keys.counted);
        if let Some(user) = measure.user() {
            let quarter = event.occurred_at.nanos().div_euclid(QUARTER_NANOS);
            let mark = if user.is_synthetic { SYNTHETIC } else { 0 };
            self.users.push((
                quarter.div_euclid(QUARTERS_A_DAY),
                Entry {
                    digest: user.digest.keyed(&self.secret).0,
                    group: keys.users | mark,
                    quarters: 1 << quarter.rem_euclid(QUARTERS_A_DAY),
                },
            ));
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, transaction: &Transaction<'_>) -> Result<(), BufferError> {
        std::mem::take(&mut self.counts).apply(transaction, ADD_COUNTED)?;
        let mut users = std::mem::take(&mut self.users);
        users.sort_unstable_by_key(|(day, entry)| (*day, entry.digest, entry.group));
        for of_day in users.chunk_by(|(day, _), (next, _)| day == next) {
            packs::append(transaction, of_day[0].0, packs::pack(of_day.iter().map(|(_, entry)| *entry)))?;
        }
        Ok(())
    }
}

/// What leaves the buffer without having been delivered, summed for one transaction.
#[derive(Debug, Default)]
pub(super) struct Withdrawals {
    groups: Groups,
    counts: Counts,
}

impl Withdrawals {
    /// Notes an event that is about to be deleted.
    pub(super) fn add(
        &mut self,
        transaction: &Transaction<'_>,
        event: &EventRef,
        measure: &Measure,
    ) -> Result<(), BufferError> {
        let keys = self.groups.keys(transaction, event.requestor, measure)?;
        self.counts.add(event, keys.counted);
        Ok(())
    }

    pub(super) fn apply(self, transaction: &Transaction<'_>) -> Result<(), BufferError> {
        self.counts.apply(transaction, ADD_WITHDRAWN)
    }
}

/// What users are digested with. It is of no use to anybody without this file, and never leaves it.
fn secret(connection: &Connection) -> Result<Secret, BufferError> {
    Ok(Secret(secret_bytes(connection)?))
}

/// The secret itself: no two buffers have the same.
pub(super) fn secret_bytes(connection: &Connection) -> Result<[u8; 32], BufferError> {
    let mut statement = connection.prepare_cached("SELECT value FROM secrets WHERE name = 'metrics'")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// Counts the events that a buffer of an older schema has, in the transaction of its migration. What had gone before stands
/// in the ledger alone, by hour; from the last such hour on the metrics are whole.
pub(super) fn build(transaction: &Transaction<'_>) -> Result<(), BufferError> {
    let secret: [u8; 32] = memory::random();
    transaction.execute("INSERT INTO secrets (name, value) VALUES ('metrics', ?1)", [secret])?;
    let last_gone: Option<i64> = transaction.query_row(
        "SELECT max(hour) FROM ledger WHERE expired_delivered_events + expired_discarded_events + erased_events > 0",
        [],
        |row| row.get(0),
    )?;
    if let Some(hour) = last_gone {
        runs::set_fact(transaction, WHOLE_FROM_HOUR, hour + 1)?;
    }
    let mut tally = Tally::new(transaction)?;
    let mut waiting = 0;
    let mut statement = transaction.prepare(
        "SELECT e.seq, e.slot, e.occurred_at, e.count, e.body, e.job, e.requestor, r.requestor_id
         FROM events e JOIN requestors r ON r.requestor = e.requestor ORDER BY e.seq",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (reference, event) = read_stored(row)?;
        tally.add(transaction, &reference, &Measure::of(&event))?;
        waiting += 1;
        if waiting == BUILT_AT_ONCE {
            tally.apply(transaction)?;
            waiting = 0;
        }
    }
    tally.apply(transaction)
}

/// From when on every event that was ever stored is counted; `None`: all are.
pub(super) fn whole_from(connection: &Connection) -> Result<Option<Instant>, BufferError> {
    let hour = runs::fact(connection, WHOLE_FROM_HOUR)?;
    Ok(hour.map(|hour| Instant::from_nanos(hour.saturating_mul(4 * QUARTER_NANOS))))
}

/// Where the metrics and the ledger disagree on what came in.
pub(super) fn verify(connection: &Connection) -> Result<Vec<Discrepancy>, BufferError> {
    let mut statement = connection.prepare(
        "WITH counted AS (
            SELECT requestor, slot, hour, ingested_units AS units FROM ledger WHERE hour >= ?1
         ), recounted AS (
            SELECT g.requestor, c.slot, c.hour, sum(c.units_00 + c.units_15 + c.units_30 + c.units_45) AS units
            FROM metric_counts c JOIN metric_groups g USING (metric_group) WHERE c.hour >= ?1 GROUP BY 1, 2, 3
         )
         SELECT q.requestor_id, k.slot, k.hour, coalesce(c.units, 0), coalesce(r.units, 0)
         FROM (SELECT requestor, slot, hour FROM counted UNION SELECT requestor, slot, hour FROM recounted) k
         JOIN requestors q ON q.requestor = k.requestor
         LEFT JOIN counted c USING (requestor, slot, hour)
         LEFT JOIN recounted r USING (requestor, slot, hour)
         WHERE coalesce(c.units, 0) <> coalesce(r.units, 0) ORDER BY 1, 2, 3",
    )?;
    let from = runs::fact(connection, WHOLE_FROM_HOUR)?.unwrap_or(i64::MIN);
    let rows = statement.query_map([from], |row| {
        let slot: u8 = row.get(1)?;
        Ok(Discrepancy {
            requestor_id: row.get(0)?,
            event: EventKind::from_slot(slot)
                .map_or_else(|| format!("event{slot}"), |kind| kind.name().to_owned()),
            hour: row.get(2)?,
            state: "metrics".to_owned(),
            counted: Amount { events: 0, units: row.get(3)? },
            recounted: Amount { events: 0, units: row.get(4)? },
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
