//! Sums up what the events of one transaction add to the metrics, before the tables are written.

use std::collections::HashMap;

use rusqlite::Connection;

use super::super::error::Result;
use super::super::facts::{make_secret, set_fact};
use super::super::keys::RequestorKey;
use super::super::rows::{EventRef, StoredEvent, each_event, first, only, run, value};
use super::digest::Secret;
use super::packs::{self, Entry, SYNTHETIC};
use crate::event::{Instant, Measure, MeasureOf};

/// The schema version that brought the metrics.
pub(in super::super) const SINCE_SCHEMA: i64 = 5;
/// The fact that holds a UTC hour: the metrics count every event that happened from this hour on.
pub(in super::super) const WHOLE_FROM_HOUR: &str = "metrics_whole_from_hour";
/// Events counted at once while a buffer of an older schema is migrated.
const BUILT_AT_ONCE: usize = 50_000;

/// The numbers of two groups: the group with its reason, for counts, and without its reason, for users.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupKeys {
    counted: i64,
    users: u32,
}

/// Units by hour, group and event, and the numbers of the groups that these events have.
#[derive(Debug, Default)]
pub(super) struct Counts {
    groups: HashMap<RequestorKey, HashMap<Box<str>, GroupKeys>>,
    pub(super) sums: HashMap<(i64, i64, u8), [i64; 4]>,
}

impl Counts {
    fn keys(&mut self, connection: &Connection, of: RequestorKey, measure: &Measure) -> Result<GroupKeys> {
        let groups = self.groups.entry(of).or_default();
        if let Some(keys) = groups.get(measure.group()) {
            return Ok(*keys);
        }
        let keys = intern_both(connection, of, Measure::values_of(measure.group()))?;
        groups.insert(measure.group().into(), keys);
        Ok(keys)
    }

    pub(super) fn add(
        &mut self,
        connection: &Connection,
        event: &EventRef,
        measure: &Measure,
    ) -> Result<GroupKeys> {
        let keys = self.keys(connection, event.requestor, measure)?;
        let quarter = event.occurred_at.unix_quarter();
        let key = (quarter.div_euclid(4), keys.counted, event.kind.slot());
        self.sums.entry(key).or_default()[quarter.rem_euclid(4) as usize] += i64::from(event.count);
        Ok(keys)
    }

    fn apply(&self, connection: &Connection, upsert: &str) -> Result<()> {
        let mut sums: Vec<_> = self.sums.iter().collect();
        sums.sort_unstable_by_key(|(key, _)| *key);
        for ((hour, group, slot), units) in sums {
            let values = (hour, group, slot, units[0], units[1], units[2], units[3]);
            run(connection, upsert, values)?;
        }
        Ok(())
    }
}

fn intern_both(connection: &Connection, requestor: RequestorKey, values: [&str; 5]) -> Result<GroupKeys> {
    let [mvpd, proxy, sdk_type, device_type, _] = values;
    let counted = intern(connection, requestor, values)?;
    let users = intern(connection, requestor, [mvpd, proxy, sdk_type, device_type, ""])?;
    // Group numbers increase by one. Two billion groups would fill a disk with names, so 31 bits are enough.
    Ok(GroupKeys { counted, users: u32::try_from(users).unwrap_or(SYNTHETIC - 1) })
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

const ADD_COUNTED: &str = "INSERT INTO metric_counts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
     ON CONFLICT (hour, metric_group, slot) DO UPDATE SET units_00 = units_00 + excluded.units_00,
         units_15 = units_15 + excluded.units_15, units_30 = units_30 + excluded.units_30,
         units_45 = units_45 + excluded.units_45";
const ADD_WITHDRAWN: &str = "INSERT INTO metric_withdrawn VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
     ON CONFLICT (hour, metric_group, slot) DO UPDATE SET units_00 = units_00 + excluded.units_00,
         units_15 = units_15 + excluded.units_15, units_30 = units_30 + excluded.units_30,
         units_45 = units_45 + excluded.units_45";
const ADD_DISCARDED: &str = "INSERT INTO metric_discarded VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
     ON CONFLICT (hour, metric_group, slot) DO UPDATE SET units_00 = units_00 + excluded.units_00,
         units_15 = units_15 + excluded.units_15, units_30 = units_30 + excluded.units_30,
         units_45 = units_45 + excluded.units_45";
const SUBTRACT: &str = "UPDATE metric_counts SET units_00 = units_00 - ?4, units_15 = units_15 - ?5,
         units_30 = units_30 - ?6, units_45 = units_45 - ?7 WHERE (hour, metric_group, slot) = (?1, ?2, ?3)";

/// What the events of one transaction add to the metrics.
#[derive(Debug)]
pub(in super::super) struct Tally {
    secret: Secret,
    counts: Counts,
    users: Vec<(i64, Entry)>,
}

impl Tally {
    pub(in super::super) fn new(connection: &Connection) -> Result<Tally> {
        Ok(Tally { secret: Secret::of(connection)?, counts: Counts::default(), users: Vec::new() })
    }

    pub(in super::super) fn add(
        &mut self,
        connection: &Connection,
        event: &EventRef,
        measure: &Measure,
    ) -> Result<()> {
        let keys = self.counts.add(connection, event, measure)?;
        self.add_user(keys, event, measure);
        Ok(())
    }

    /// Adds the user of an event, and no units.
    pub(super) fn see(&mut self, connection: &Connection, event: &EventRef, measure: &Measure) -> Result<()> {
        let keys = self.counts.keys(connection, event.requestor, measure)?;
        self.add_user(keys, event, measure);
        Ok(())
    }

    fn add_user(&mut self, keys: GroupKeys, event: &EventRef, measure: &Measure) {
        let mark = self.secret.mark(measure);
        self.users.extend(mark.map(|mark| Entry::of(mark, keys.users, event.occurred_at)));
    }

    pub(in super::super) fn apply(&mut self, connection: &Connection) -> Result<()> {
        self.counts.apply(connection, ADD_COUNTED)?;
        self.counts.sums.clear();
        let mut users = std::mem::take(&mut self.users);
        users.sort_unstable_by_key(|(day, entry)| (*day, entry.digest, entry.group));
        for of_day in users.chunk_by(|(day, _), (next, _)| day == next) {
            packs::append(connection, of_day[0].0, packs::pack(of_day.iter().map(|(_, entry)| *entry)))?;
        }
        Ok(())
    }
}

/// Units of events that leave the buffer undelivered, summed up for one transaction.
#[derive(Debug)]
pub(in super::super) struct Withdrawals {
    measure: MeasureOf,
    counts: Counts,
}

impl Withdrawals {
    pub(in super::super) fn new(measure: MeasureOf) -> Withdrawals {
        Withdrawals { measure, counts: Counts::default() }
    }

    /// Adds an event that is about to be deleted.
    pub(in super::super) fn add(&mut self, connection: &Connection, stored: &StoredEvent) -> Result<()> {
        self.counts.add(connection, &stored.reference, &(self.measure)(&stored.event)).map(drop)
    }

    pub(in super::super) fn apply(self, connection: &Connection) -> Result<()> {
        self.counts.apply(connection, ADD_WITHDRAWN)
    }

    /// Writes the sums like `apply`, for events that a person had discarded.
    pub(in super::super) fn apply_discarded(self, connection: &Connection) -> Result<()> {
        self.counts.apply(connection, ADD_DISCARDED)?;
        self.counts.apply(connection, ADD_WITHDRAWN)
    }

    /// Subtracts the units from the counts, as if the events had never come in.
    pub(in super::super) fn subtract(self, connection: &Connection) -> Result<()> {
        self.counts.apply(connection, SUBTRACT)?;
        // A row without units would still extend the time span in which the buffer has counts.
        for (hour, group, slot) in self.counts.sums.keys() {
            let delete = "DELETE FROM metric_counts WHERE (hour, metric_group, slot) = (?1, ?2, ?3)
                 AND units_00 + units_15 + units_30 + units_45 = 0";
            run(connection, delete, (hour, group, slot))?;
        }
        Ok(())
    }
}

/// Counts the events of a buffer with an older schema, in the transaction of its migration. Events that were deleted
/// before are only in the ledger, by hour. The metrics are complete from the hour after the last of these hours.
pub(in super::super) fn build(connection: &Connection, measure: MeasureOf) -> Result<()> {
    make_secret(connection, "metrics")?;
    if let Some(hour) = hour_behind_the_gone(connection)? {
        set_fact(connection, WHOLE_FROM_HOUR, hour)?;
    }
    let mut tally = Tally::new(connection)?;
    let mut waiting = 0;
    each_event(
        connection,
        Instant::from_nanos(i64::MIN),
        Instant::from_nanos(i64::MAX),
        |StoredEvent { reference, event }| {
            tally.add(connection, &reference, &measure(&event))?;
            waiting += 1;
            if waiting == BUILT_AT_ONCE {
                tally.apply(connection)?;
                waiting = 0;
            }
            Ok(())
        },
    )?;
    tally.apply(connection)
}

/// The UTC hour after the last hour of events that expired or were erased; `None` if there are none.
pub(super) fn hour_behind_the_gone(connection: &Connection) -> Result<Option<i64>> {
    value(
        connection,
        "SELECT max(hour) + 1 FROM ledger WHERE expired_delivered_events + expired_discarded_events + erased_events > 0",
        [],
    )
}
