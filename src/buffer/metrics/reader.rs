//! The metrics as a report reads them: one view of the buffer, from its first look to its last.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row};

use super::super::events::{EventRef, JobKey};
use super::super::suites::RequestorKey;
use super::super::{Buffer, BufferError, connection};
use super::measure::{Measure, Secret};
use super::packs::{self, Entry, SYNTHETIC};
use crate::delivery::Sequence;
use crate::event::{EventKind, Instant, PassEvent, RequestorId, StoredColumns};

/// Users that are sorted at once: 64 MB. More are read in several goes over the packs, each a range of digests.
const USERS_AT_ONCE: u64 = 2_000_000;

/// What counts are grouped by; empty where an event has no value and there is no documented default.
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

/// The units of an hour, a group and an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountedHour {
    /// The UTC hour since the Unix epoch.
    pub hour: i64,
    /// The number of the group.
    pub group: u32,
    pub kind: EventKind,
    /// Units of each quarter of the hour.
    pub units: [u64; 4],
}

/// That a user was seen on a day in a group, whose reason is always empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenUser {
    /// The UTC day since the Unix epoch.
    pub day: i64,
    /// The number of the group.
    pub group: u32,
    /// Whether the ID stands for degraded or temporary access, not for a person.
    pub is_synthetic: bool,
    /// A bit for each quarter hour of the day, the lowest the first.
    pub quarters: u128,
}

/// Which user an event is of: equal for equal MVPD User IDs, without a meaning outside this buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserMark {
    pub user: u64,
    /// Whether the ID stands for degraded or temporary access, not for a person.
    pub is_synthetic: bool,
}

/// A view of the metrics, on a connection of its own: nothing waits for it, it writes nothing, and what is stored while it is
/// open stays unseen.
#[derive(Debug)]
pub struct MetricsReader {
    pub(super) connection: Connection,
    secret: Secret,
}

impl Buffer {
    /// Opens a view of the metrics.
    pub fn metrics(&self) -> Result<MetricsReader, BufferError> {
        let connection = connection::open_reader(self.path())?;
        // Every look through one snapshot, so that sums agree with their parts.
        connection.execute_batch("BEGIN")?;
        let secret = super::secret(&connection)?;
        Ok(MetricsReader { connection, secret })
    }
}

impl MetricsReader {
    /// From when on every event that was ever stored is counted; `None`: all are. A buffer of a release without metrics counted
    /// what it still had.
    pub fn whole_from(&self) -> Result<Option<Instant>, BufferError> {
        super::whole_from(&self.connection)
    }

    /// From when on the buffer still has every event that was ever stored; `None`: it has all.
    pub fn events_whole_from(&self) -> Result<Option<Instant>, BufferError> {
        let hour: Option<i64> = self.connection.query_row(
            "SELECT max(hour) + 1 FROM ledger
             WHERE expired_delivered_events + expired_discarded_events + erased_events > 0",
            [],
            |row| row.get(0),
        )?;
        Ok(hour.map(|hour| Instant::from_nanos(hour.saturating_mul(4 * super::QUARTER_NANOS))))
    }

    /// The first and the last UTC hour of which anything is counted.
    pub fn span(&self) -> Result<Option<(i64, i64)>, BufferError> {
        let span: (Option<i64>, Option<i64>) = self.connection.query_row(
            "SELECT (SELECT min(hour) FROM metric_counts), (SELECT max(hour) FROM metric_counts)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(span.0.zip(span.1))
    }

    /// Every requestor of which anything was ever heard.
    pub fn requestors(&self) -> Result<Vec<String>, BufferError> {
        let mut statement =
            self.connection.prepare("SELECT requestor_id FROM requestors ORDER BY requestor")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The requestors whose events come in as the sums of ESM, which have no users.
    pub fn esm_requestors(&self) -> Result<BTreeSet<String>, BufferError> {
        let mut statement = self
            .connection
            .prepare("SELECT requestor_id FROM feeds JOIN requestors USING (requestor) WHERE feed = 'esm'")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Every group, by its number.
    pub fn groups(&self) -> Result<Vec<MetricGroup>, BufferError> {
        let mut statement = self.connection.prepare(
            "SELECT metric_group, requestor_id, mvpd, proxy, sdk_type, device_type, reason
             FROM metric_groups JOIN requestors USING (requestor) ORDER BY metric_group",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(MetricGroup {
                number: row.get(0)?,
                requestor_id: row.get(1)?,
                mvpd: row.get(2)?,
                proxy: row.get(3)?,
                sdk_type: row.get(4)?,
                device_type: row.get(5)?,
                reason: row.get(6)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Shows what was counted in the UTC hours from `first` to `last`, in their order: every event ever stored, whatever became
    /// of it.
    pub fn each_counted(
        &self,
        first: i64,
        last: i64,
        show: impl FnMut(CountedHour),
    ) -> Result<(), BufferError> {
        self.each_hour(
            "SELECT hour, metric_group, slot, units_00, units_15, units_30, units_45 FROM metric_counts
             WHERE hour BETWEEN ?1 AND ?2 ORDER BY hour, metric_group, slot",
            (first, last),
            show,
        )
    }

    /// Shows the part of it that left the buffer without having been delivered: what was erased before, and what was discarded
    /// and has expired since.
    pub fn each_withdrawn(
        &self,
        first: i64,
        last: i64,
        show: impl FnMut(CountedHour),
    ) -> Result<(), BufferError> {
        self.each_hour(
            "SELECT hour, metric_group, slot, units_00, units_15, units_30, units_45 FROM metric_withdrawn
             WHERE hour BETWEEN ?1 AND ?2 ORDER BY hour, metric_group, slot",
            (first, last),
            show,
        )
    }

    fn each_hour(
        &self,
        select: &str,
        hours: (i64, i64),
        mut show: impl FnMut(CountedHour),
    ) -> Result<(), BufferError> {
        let mut statement = self.connection.prepare_cached(select)?;
        let mut rows = statement.query(hours)?;
        while let Some(row) = rows.next()? {
            // A slot that is none can only be damage, which `status --verify` names.
            let Some(kind) = EventKind::from_slot(row.get(2)?) else { continue };
            let units = [row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?];
            show(CountedHour {
                hour: row.get(0)?,
                group: row.get(1)?,
                kind,
                units: units.map(|units: i64| units.unsigned_abs()),
            });
        }
        Ok(())
    }

    /// Shows, user by user, where each user of the UTC days from `first` to `last` was seen. Memory does not grow with them.
    pub fn each_user(
        &self,
        first: i64,
        last: i64,
        mut show: impl FnMut(&[SeenUser]),
    ) -> Result<(), BufferError> {
        let users: i64 = self.connection.query_row(
            "SELECT coalesce(sum(users), 0) FROM metric_users WHERE day BETWEEN ?1 AND ?2",
            (first, last),
            |row| row.get(0),
        )?;
        let mut found: Vec<(u64, SeenUser)> = Vec::new();
        let mut of_user: Vec<SeenUser> = Vec::new();
        for (from, to) in digest_ranges(users.unsigned_abs() / USERS_AT_ONCE + 1) {
            found.clear();
            packs::each(&self.connection, first, last, |day, packed| {
                let entries = packs::part(packed, from, to).chunks_exact(packs::ENTRY_BYTES).map(Entry::read);
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

    /// Shows every event that the buffer still has and that happened from `from` until before `to`, with its user. Reads the
    /// whole table of events.
    pub fn each_event(
        &self,
        from: Instant,
        to: Instant,
        mut show: impl FnMut(&PassEvent, Option<UserMark>),
    ) -> Result<(), BufferError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT e.seq, e.slot, e.occurred_at, e.count, e.body, e.job, e.requestor, r.requestor_id
             FROM events e JOIN requestors r ON r.requestor = e.requestor
             WHERE e.occurred_at >= ?1 AND e.occurred_at < ?2 ORDER BY e.seq",
        )?;
        let mut rows = statement.query((from.nanos(), to.nanos()))?;
        while let Some(row) = rows.next()? {
            let (_, event) = read_stored(row)?;
            let user = Measure::of(&event).user().map(|user| UserMark {
                user: user.digest.keyed(&self.secret).0,
                is_synthetic: user.is_synthetic,
            });
            show(&event, user);
        }
        Ok(())
    }
}

/// All digests, in so many ranges of nearly the same size: first and last of each.
fn digest_ranges(ranges: u64) -> impl Iterator<Item = (u64, u64)> {
    let size = u64::MAX / ranges;
    (0..ranges).map(move |range| {
        let first = if range == 0 { 0 } else { range * size + 1 };
        (first, if range + 1 == ranges { u64::MAX } else { (range + 1) * size })
    })
}

fn seen(day: i64, entry: &Entry) -> SeenUser {
    SeenUser {
        day,
        group: entry.group & !SYNTHETIC,
        is_synthetic: entry.group & SYNTHETIC != 0,
        quarters: entry.quarters,
    }
}

/// An event by its number, slot, instant, count, body, job, requestor's number and requestor ID.
pub(super) fn read_stored(row: &Row<'_>) -> Result<(EventRef, PassEvent), BufferError> {
    let sequence = Sequence(row.get(0)?);
    let damaged = |what: &str| BufferError::Damaged(sequence, what.to_owned());
    let kind = EventKind::from_slot(row.get(1)?).ok_or_else(|| damaged("its event slot is unknown"))?;
    let requestor_id = row.get_ref(7)?.as_str().map_err(|_| damaged("its requestor is no text"))?;
    let requestor_id = RequestorId::new(requestor_id).map_err(|error| damaged(&error.to_string()))?;
    let occurred_at = Instant::from_nanos(row.get(2)?);
    let count = row.get(3)?;
    let body = row.get_ref(4)?.as_str().map_err(|_| damaged("its body is no text"))?;
    let columns = StoredColumns { occurred_at, kind, requestor_id, count };
    let event = PassEvent::from_stored(columns, body).map_err(|error| damaged(&error.to_string()))?;
    let job = JobKey(row.get(5)?);
    let requestor = RequestorKey(row.get(6)?);
    Ok((EventRef { sequence, job, requestor, kind, occurred_at, count }, event))
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
