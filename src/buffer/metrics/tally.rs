//! What the events of one transaction add to the metrics, or take from them, summed before it touches a table.

use std::collections::HashMap;

use rusqlite::Connection;

use super::super::error::Result;
use super::super::facts::{fact, make_secret, set_fact};
use super::super::keys::RequestorKey;
use super::super::rows::{EventColumns, EventRef, StoredEvent, first, only, run, stored_event, value};
use super::digest::Secret;
use super::packs::{self, Entry, SYNTHETIC};
use crate::event::Instant;
use crate::mapping::Measure;

/// The schema version that brought the metrics.
pub(in super::super) const SINCE_SCHEMA: i64 = 5;
/// The fact that holds the first UTC hour from which on every event that was ever stored is counted.
pub(in super::super) const WHOLE_FROM_HOUR: &str = "metrics_whole_from_hour";
/// Events counted in one go while a buffer of an older schema is brought up to date.
const BUILT_AT_ONCE: usize = 50_000;

/// Nanoseconds of a quarter of an hour: the days of every time zone begin on one.
pub(in super::super) const QUARTER_NANOS: i64 = 900_000_000_000;
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
    known: HashMap<RequestorKey, HashMap<Box<str>, GroupKeys>>,
}

impl Groups {
    fn keys(
        &mut self,
        connection: &Connection,
        requestor: RequestorKey,
        measure: &Measure,
    ) -> Result<GroupKeys> {
        let groups = self.known.entry(requestor).or_default();
        if let Some(keys) = groups.get(measure.group()) {
            return Ok(*keys);
        }
        let values @ [mvpd, proxy, sdk_type, device_type, _] = measure.values();
        let counted = intern(connection, requestor, values)?;
        let users = intern(connection, requestor, [mvpd, proxy, sdk_type, device_type, ""])?;
        // Numbers go up by one, and two billion combinations would be a disk full of names.
        let keys = GroupKeys { counted, users: u32::try_from(users).unwrap_or(SYNTHETIC - 1) };
        groups.insert(measure.group().into(), keys);
        Ok(keys)
    }
}

fn intern(connection: &Connection, requestor: RequestorKey, values: [&str; 5]) -> Result<i64> {
    let [mvpd, proxy, sdk_type, device_type, reason] = values;
    let row = (requestor, mvpd, proxy, sdk_type, device_type, reason);
    let select = "SELECT metric_group FROM metric_groups WHERE requestor = ?1 AND mvpd = ?2 AND proxy = ?3
         AND sdk_type = ?4 AND device_type = ?5 AND reason = ?6";
    let known = first(connection, select, row, only)?;
    if let Some(number) = known {
        return Ok(number);
    }
    let change = "INSERT INTO metric_groups (requestor, mvpd, proxy, sdk_type, device_type, reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    run(connection, change, row)?;
    Ok(connection.last_insert_rowid())
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

    fn apply(self, connection: &Connection, upsert: &str) -> Result<()> {
        let mut sums: Vec<_> = self.sums.into_iter().collect();
        sums.sort_unstable_by_key(|(key, _)| *key);
        let mut upsert = connection.prepare_cached(upsert)?;
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
pub(in super::super) struct Tally {
    secret: Secret,
    groups: Groups,
    counts: Counts,
    users: Vec<(i64, Entry)>,
}

impl Tally {
    pub(in super::super) fn new(connection: &Connection) -> Result<Tally> {
        Ok(Tally {
            secret: Secret::of(connection)?,
            groups: Groups::default(),
            counts: Counts::default(),
            users: Vec::new(),
        })
    }

    /// Counts an event that was stored.
    pub(in super::super) fn add(
        &mut self,
        connection: &Connection,
        event: &EventRef,
        measure: &Measure,
    ) -> Result<()> {
        let keys = self.groups.keys(connection, event.requestor, measure)?;
        self.counts.add(event, keys.counted);
        if let Some(user) = measure.user() {
            let quarter = event.occurred_at.nanos().div_euclid(QUARTER_NANOS);
            let mark = if user.is_synthetic { SYNTHETIC } else { 0 };
            self.users.push((
                quarter.div_euclid(QUARTERS_A_DAY),
                Entry {
                    digest: self.secret.keyed(user.digest).0,
                    group: keys.users | mark,
                    quarters: 1 << quarter.rem_euclid(QUARTERS_A_DAY),
                },
            ));
        }
        Ok(())
    }

    pub(in super::super) fn apply(&mut self, connection: &Connection) -> Result<()> {
        std::mem::take(&mut self.counts).apply(connection, ADD_COUNTED)?;
        let mut users = std::mem::take(&mut self.users);
        users.sort_unstable_by_key(|(day, entry)| (*day, entry.digest, entry.group));
        for of_day in users.chunk_by(|(day, _), (next, _)| day == next) {
            packs::append(connection, of_day[0].0, packs::pack(of_day.iter().map(|(_, entry)| *entry)))?;
        }
        Ok(())
    }
}

/// What leaves the buffer without having been delivered, summed for one transaction.
#[derive(Debug, Default)]
pub(in super::super) struct Withdrawals {
    groups: Groups,
    counts: Counts,
}

impl Withdrawals {
    /// Notes an event that is about to be deleted.
    pub(in super::super) fn add(
        &mut self,
        connection: &Connection,
        event: &EventRef,
        measure: &Measure,
    ) -> Result<()> {
        let keys = self.groups.keys(connection, event.requestor, measure)?;
        self.counts.add(event, keys.counted);
        Ok(())
    }

    pub(in super::super) fn apply(self, connection: &Connection) -> Result<()> {
        self.counts.apply(connection, ADD_WITHDRAWN)
    }
}

/// Counts the events that a buffer of an older schema has, in the transaction of its migration. What had gone before stands
/// in the ledger alone, by hour; from the last such hour on the metrics are whole.
pub(in super::super) fn build(connection: &Connection) -> Result<()> {
    make_secret(connection, "metrics")?;
    if let Some(hour) = hour_behind_the_gone(connection)? {
        set_fact(connection, WHOLE_FROM_HOUR, hour)?;
    }
    let mut tally = Tally::new(connection)?;
    let mut waiting = 0;
    let mut statement = connection.prepare(
        "SELECT e.seq, e.slot, e.occurred_at, e.count, e.body, e.job, e.requestor, r.requestor_id
         FROM events e JOIN requestors r ON r.requestor = e.requestor ORDER BY e.seq",
    )?;
    let columns = EventColumns::of(&statement)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let StoredEvent { reference, event } = stored_event(row, &columns)?;
        tally.add(connection, &reference, &Measure::of(&event))?;
        waiting += 1;
        if waiting == BUILT_AT_ONCE {
            tally.apply(connection)?;
            waiting = 0;
        }
    }
    tally.apply(connection)
}

/// The UTC hour behind the last of which events have left the buffer; `None`: it has all.
pub(super) fn hour_behind_the_gone(connection: &Connection) -> Result<Option<i64>> {
    value(
        connection,
        "SELECT max(hour) + 1 FROM ledger WHERE expired_delivered_events + expired_discarded_events + erased_events > 0",
        [],
    )
}

/// From when on every event that was ever stored is counted; `None`: all are.
pub(in super::super) fn whole_from(connection: &Connection) -> Result<Option<Instant>> {
    let hour = fact(connection, WHOLE_FROM_HOUR)?;
    Ok(hour.map(start_of))
}

/// When a UTC hour begins.
pub(in super::super) fn start_of(hour: i64) -> Instant {
    Instant::from_nanos(hour.saturating_mul(4 * QUARTER_NANOS))
}
