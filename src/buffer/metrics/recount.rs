//! Counts the users of days again after events were taken back: a digest does not say which events it was made of.

use std::collections::{BTreeSet, HashSet};

use rusqlite::Connection;

use super::super::error::Result;
use super::super::keys::RequestorKey;
use super::super::rows::{all, each_event, run};
use super::packs::{self, ENTRY_BYTES};
use super::tally::Tally;
use crate::event::{Instant, MeasureOf};

const DAY_NANOS: i64 = 86_400_000_000_000;
/// Users added to the packs at once.
const COUNTED_AT_ONCE: usize = 50_000;

/// A UTC day of a requestor.
pub(in super::super) type RequestorDay = (RequestorKey, i64);

/// The UTC day of an instant.
pub(in super::super) fn day_of(at: Instant) -> i64 {
    at.nanos().div_euclid(DAY_NANOS)
}

/// Counts the users of every requestor and day in `metric_users_stale`, if the buffer has all events of that day. Reads
/// the events once. Returns how many rows stay there, because retention or an erasure deleted some events of the day.
pub(in super::super) fn recount(connection: &Connection, measure: MeasureOf) -> Result<u64> {
    let select = "SELECT s.requestor, s.day, EXISTS (
            SELECT 1 FROM ledger l WHERE l.requestor = s.requestor AND l.hour BETWEEN s.day * 24 AND s.day * 24 + 23
            AND l.expired_delivered_events + l.expired_discarded_events + l.erased_events > 0) AS has_lost
         FROM metric_users_stale s";
    let noted: Vec<(RequestorDay, bool)> = all(connection, select, [], |row| {
        Ok(((row.get("requestor")?, row.get("day")?), row.get("has_lost")?))
    })?;
    let whole = noted.iter().filter(|(_, has_lost)| !has_lost).map(|(day, _)| *day);
    let whole: HashSet<RequestorDay> = whole.collect();
    let stay = (noted.len() - whole.len()) as u64;
    let days: BTreeSet<i64> = whole.iter().map(|(_, day)| *day).collect();
    let (Some(first), Some(last)) = (days.first(), days.last()) else { return Ok(stay) };
    for day in &days {
        remove_users(connection, *day, &whole)?;
    }
    let mut tally = Tally::new(connection)?;
    let mut waiting = 0;
    let [from, to] = [*first, *last + 1].map(|day| Instant::from_nanos(day.saturating_mul(DAY_NANOS)));
    each_event(connection, from, to, |stored| {
        let of = (stored.reference.requestor, day_of(stored.reference.occurred_at));
        if !whole.contains(&of) {
            return Ok(());
        }
        tally.see(connection, &stored.reference, &measure(&stored.event))?;
        waiting += 1;
        if waiting == COUNTED_AT_ONCE {
            tally.apply(connection)?;
            waiting = 0;
        }
        Ok(())
    })?;
    tally.apply(connection)?;
    for of in whole {
        run(connection, "DELETE FROM metric_users_stale WHERE requestor = ?1 AND day = ?2", of)?;
    }
    Ok(stay)
}

/// Removes the users of a day that belong to these requestors.
fn remove_users(connection: &Connection, day: i64, whole: &HashSet<RequestorDay>) -> Result<()> {
    let select = "SELECT metric_group, requestor FROM metric_groups";
    let groups: Vec<(u32, RequestorKey)> =
        all(connection, select, [], |row| Ok((row.get("metric_group")?, row.get("requestor")?)))?;
    let groups = groups.into_iter().filter(|(_, requestor)| whole.contains(&(*requestor, day)));
    let groups: HashSet<u32> = groups.map(|(group, _)| group).collect();
    let select = "SELECT pack, packed FROM metric_users WHERE day = ?1";
    let packs: Vec<(i64, Vec<u8>)> =
        all(connection, select, [day], |row| Ok((row.get("pack")?, row.get("packed")?)))?;
    for (pack, packed) in packs {
        let left = packs::without_groups(&packed, &groups);
        if left.is_empty() {
            run(connection, "DELETE FROM metric_users WHERE pack = ?1", [pack])?;
        } else if left.len() < packed.len() {
            let update = "UPDATE metric_users SET packed = ?2, users = ?3 WHERE pack = ?1";
            run(connection, update, (pack, &left, left.len() / ENTRY_BYTES))?;
        }
    }
    Ok(())
}
