//! Reads the metrics for a report, from one snapshot of the buffer.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::super::database::Buffer;
use super::super::error::Result;
use super::super::facts::fact;
use super::super::rows::{StoredEvent, all, each, each_event, from_row, only, read_event, value};
use super::super::sqlite::open_reader;
use super::digest::Secret;
use super::packs::{self, Entry, SYNTHETIC};
use super::tally::{Counts, WHOLE_FROM_HOUR, hour_behind_the_gone};
use crate::event::{EventKind, Instant, MeasureOf, PassEvent};

/// The most entries sorted at once: 96 MB. For more, the packs are read again for each range of digests.
const USERS_AT_ONCE: u64 = 2_000_000;

/// The values that counts are grouped by. A value is empty if the event has none and Adobe documents no default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricGroup {
    pub number: u32,
    pub requestor_id: String,
    /// eVar2.
    pub mvpd: String,
    /// eVar3.
    pub proxy: String,
    /// eVar4.
    pub sdk_type: String,
    /// eVar11.
    pub device_type: String,
    /// eVar7.
    pub reason: String,
}

/// The units of an hour, a group and an event, one number for each quarter of the hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountedHour {
    /// The UTC hour since the Unix epoch.
    pub hour: i64,
    pub group: u32,
    pub kind: EventKind,
    pub units: [u64; 4],
}

/// A day and a group in which a user was seen. The `reason` of the group is always empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenUser {
    /// The UTC day since the Unix epoch.
    pub day: i64,
    pub group: u32,
    /// Whether the ID stands for degraded or temporary access, not for a person.
    pub is_synthetic: bool,
    /// A bit for each quarter hour of the day; the lowest bit is the first.
    pub quarters: u128,
}

/// Whether events that a person discarded are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Discarded {
    #[default]
    Counted,
    LeftOut,
}

/// A snapshot of the metrics, on its own connection. It writes nothing, blocks nobody, and never changes.
#[derive(Debug)]
pub struct MetricsReader {
    pub(in super::super) connection: Connection,
    pub secret: Secret,
    measure: MeasureOf,
}

impl Buffer {
    pub fn metrics(&self) -> Result<MetricsReader> {
        let connection = open_reader(self.path())?;
        // One transaction for all reads, so that sums agree with their parts.
        connection.execute_batch("BEGIN")?;
        let secret = Secret::of(&connection)?;
        Ok(MetricsReader { connection, secret, measure: self.measure })
    }
}

impl MetricsReader {
    /// The metrics count every event that happened from this time on and was not taken back; `None` if they count all.
    /// A buffer of an older schema could only count the events that it still had.
    pub fn whole_from(&self) -> Result<Option<Instant>> {
        Ok(fact(&self.connection, WHOLE_FROM_HOUR)?.map(start_of))
    }

    /// The buffer still has every event that happened from this time on and was not taken back; `None` if it has all.
    pub fn events_whole_from(&self) -> Result<Option<Instant>> {
        Ok(hour_behind_the_gone(&self.connection)?.map(start_of))
    }

    /// The first and the last UTC hour with a count.
    pub fn span(&self) -> Result<Option<(i64, i64)>> {
        let first: Option<i64> = value(&self.connection, "SELECT min(hour) FROM metric_counts", [])?;
        let last: Option<i64> = value(&self.connection, "SELECT max(hour) FROM metric_counts", [])?;
        Ok(first.zip(last))
    }

    /// The requestors whose events come from ESM as sums, which have no users.
    pub fn esm_requestors(&self) -> Result<BTreeSet<String>> {
        let select = "SELECT requestor_id FROM feeds JOIN requestors USING (requestor) WHERE feed = 'esm'";
        all(&self.connection, select, [], only)
    }

    /// The requestors for which ESM stated numbers of accounts, but which never had an event in the buffer.
    pub fn requestors_stated_alone(&self) -> Result<BTreeSet<String>> {
        let select = "SELECT DISTINCT requestor_id FROM esm_accounts JOIN requestors USING (requestor)
             WHERE requestor NOT IN (SELECT requestor FROM feeds)";
        all(&self.connection, select, [], only)
    }

    pub fn groups(&self) -> Result<Vec<MetricGroup>> {
        let select = "SELECT metric_group AS number, requestor_id, mvpd, proxy, sdk_type, device_type, reason
             FROM metric_groups JOIN requestors USING (requestor) ORDER BY metric_group";
        all(&self.connection, select, [], |row| {
            Ok(from_row!(
                row,
                MetricGroup { number, requestor_id, mvpd, proxy, sdk_type, device_type, reason }
            ))
        })
    }

    /// Calls `show` for the counts of the UTC hours from `first` to `last`, in order. They include expired and erased
    /// events, except those that were gone before the buffer had metrics (see `whole_from`).
    pub fn each_counted(&self, first: i64, last: i64, show: impl FnMut(CountedHour)) -> Result<()> {
        each_hour(&self.connection, "metric_counts", (first, last), show)
    }

    /// Calls `show` for the units of these hours whose events left the buffer undelivered: they were erased, or they
    /// were discarded and then expired.
    pub fn each_withdrawn(&self, first: i64, last: i64, show: impl FnMut(CountedHour)) -> Result<()> {
        each_hour(&self.connection, "metric_withdrawn", (first, last), show)
    }

    /// The discarded units that happened in these UTC hours. Those that retention deleted before schema 9 are missing.
    pub fn discarded(&self, first: i64, last: i64) -> Result<Vec<CountedHour>> {
        let mut found = Vec::new();
        each_hour(&self.connection, "metric_discarded", (first, last), |counted| found.push(counted))?;
        let select = "SELECT d.seq FROM discarded d CROSS JOIN events e ON e.seq = d.seq
             WHERE e.occurred_at >= ?1 AND e.occurred_at < ?2";
        let mut counts = Counts::default();
        each(&self.connection, select, (start_of(first), start_of(last + 1)), |row| {
            let StoredEvent { reference, event } = read_event(&self.connection, row.get("seq")?)?;
            counts.add(&self.connection, &reference, &(self.measure)(&event)).map(drop)
        })?;
        found.extend(counts.sums.into_iter().filter_map(|((hour, group, slot), units)| {
            let (group, units) = (u32::try_from(group).ok()?, units.map(i64::unsigned_abs));
            Some(CountedHour { hour, group, kind: EventKind::from_slot(slot)?, units })
        }));
        Ok(found)
    }

    /// The pairs of requestor and UTC day whose user counts still include the users of events that were taken back.
    pub fn stale_users(&self, first_day: i64, last_day: i64) -> Result<Vec<(String, i64)>> {
        let select = "SELECT requestor_id, day FROM metric_users_stale JOIN requestors USING (requestor)
             WHERE day BETWEEN ?1 AND ?2 ORDER BY day, requestor_id";
        all(&self.connection, select, (first_day, last_day), |row| {
            Ok((row.get("requestor_id")?, row.get("day")?))
        })
    }

    /// Calls `show` for each user of the UTC days from `first` to `last`, with the user's days and groups.
    pub fn each_user(&self, first: i64, last: i64, show: impl FnMut(&[SeenUser])) -> Result<()> {
        let users = "SELECT coalesce(sum(users), 0) FROM metric_users WHERE day BETWEEN ?1 AND ?2";
        let users: u64 = value(&self.connection, users, (first, last))?;
        each_user(users, |see| packs::each(&self.connection, (first, last), see), show)
    }

    /// Calls `show` for every event in the buffer from `from` until before `to`. Reads the whole table.
    pub fn each_event(
        &self,
        from: Instant,
        to: Instant,
        whose: Discarded,
        mut show: impl FnMut(&PassEvent),
    ) -> Result<()> {
        let select = "SELECT EXISTS (SELECT 1 FROM discarded WHERE seq = ?1)";
        each_event(&self.connection, from, to, |stored| {
            if whose == Discarded::Counted || !value(&self.connection, select, [stored.reference.sequence])? {
                show(&stored.event);
            }
            Ok(())
        })
    }
}

/// Calls `show` for each user in packs, with the user's days and groups. `read` calls its argument for each pack, with
/// the day of the pack. If the packs have too many entries (`users`) to sort at once, `read` is called several times.
pub fn each_user<E>(
    users: u64,
    read: impl Fn(&mut dyn FnMut(i64, &[u8])) -> std::result::Result<(), E>,
    mut show: impl FnMut(&[SeenUser]),
) -> std::result::Result<(), E> {
    let mut found: Vec<(u64, SeenUser)> = Vec::new();
    let mut of_user: Vec<SeenUser> = Vec::new();
    for (from, to) in digest_ranges(users / USERS_AT_ONCE + 1) {
        found.clear();
        read(&mut |day, packed| {
            let entries = packs::entries(packs::part(packed, from, to));
            found.extend(entries.map(|entry| (entry.digest, seen(day, &entry))));
        })?;
        found.sort_unstable_by_key(|(digest, _)| *digest);
        for user in found.chunk_by(|(digest, _), (next, _)| digest == next) {
            of_user.clear();
            of_user.extend(user.iter().map(|(_, seen)| *seen));
            show(&of_user);
        }
    }
    Ok(())
}

fn each_hour(
    connection: &Connection,
    table: &str,
    hours: (i64, i64),
    mut show: impl FnMut(CountedHour),
) -> Result<()> {
    let select = format!(
        "SELECT hour, metric_group, slot, units_00, units_15, units_30, units_45 FROM {table}
         WHERE hour BETWEEN ?1 AND ?2 ORDER BY hour, metric_group, slot"
    );
    each(connection, &select, hours, |row| {
        // A slot number without an event kind can only be damage; `status --verify` reports it.
        if let Some(kind) = EventKind::from_slot(row.get(2)?) {
            let units = [row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?];
            show(CountedHour { hour: row.get(0)?, group: row.get(1)?, kind, units });
        }
        Ok(())
    })
}

/// When a UTC hour begins.
pub(in super::super) fn start_of(hour: i64) -> Instant {
    Instant::of_quarter(hour.saturating_mul(4))
}

/// Splits all digests into ranges of nearly the same size. Gives the first and the last digest of each range.
fn digest_ranges(ranges: u64) -> impl Iterator<Item = (u64, u64)> {
    let size = u64::MAX / ranges;
    (0..ranges).map(move |range| {
        let first = if range == 0 { 0 } else { range * size + 1 };
        (first, if range + 1 == ranges { u64::MAX } else { (range + 1) * size })
    })
}

fn seen(day: i64, &Entry { group, quarters, .. }: &Entry) -> SeenUser {
    SeenUser { day, group: group & !SYNTHETIC, is_synthetic: group & SYNTHETIC != 0, quarters }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digest_is_in_one_range() {
        for ranges in [1, 2, 3, 7, 1000] {
            let found: Vec<(u64, u64)> = digest_ranges(ranges).collect();
            assert_eq!(found.len() as u64, ranges);
            assert_eq!((found[0].0, found[found.len() - 1].1), (0, u64::MAX));
            assert!(
                found.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0 && pair[0].0 <= pair[0].1),
                "{found:?}"
            );
        }
    }
}
