//! Recounts the rows of every state and compares them with the counters, and the counters with the metrics.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use rusqlite::{Connection, Row};
use serde::Serialize;

use super::database::Buffer;
use super::error::Result;
use super::facts::fact;
use super::forms::requestor_id_of;
use super::ledger::{Account, Amount, HOUR_NANOS};
use super::metrics::WHOLE_FROM_HOUR;
use super::rows::{all, each, from_row, value};
use crate::event::{EventKind, Instant};

/// A difference between the counters and the rows or the metrics, or damage.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Discrepancy {
    pub requestor_id: String,
    pub event: String,
    /// The UTC hour in which the events happened, counted from the Unix epoch.
    pub hour: i64,
    pub state: String,
    /// Events and units by the counters.
    pub counted: Amount,
    /// Events and units by the rows; if `state` is `metrics`, the units by the metrics.
    pub recounted: Amount,
}

impl Discrepancy {
    /// A discrepancy that belongs to no account: a number of rows, or a damaged file.
    fn of_rows(state: String, events: i64) -> Discrepancy {
        Discrepancy { state, recounted: Amount { events, units: 0 }, ..Discrepancy::default() }
    }
}

/// The tables that the quick check reads: small ones, without which nothing works.
const QUICKLY_CHECKED: [&str; 4] = ["facts", "ledger", "suites", "runs"];

impl Buffer {
    /// The damage in the tables that everything depends on; `None` if they are whole. Reads only these tables.
    pub fn quick_damage(&self) -> Result<Option<String>> {
        self.read(|connection| {
            for table in QUICKLY_CHECKED {
                let select = "SELECT quick_check FROM pragma_quick_check(?1) LIMIT 1";
                let found: String = value(connection, select, [table])?;
                if found != "ok" {
                    return Ok(Some(format!("{table}: {found}")));
                }
            }
            Ok(None)
        })
    }

    /// Verifies the buffer. Reads all of it; an empty list means that everything agrees.
    pub fn verify(&self) -> Result<Vec<Discrepancy>> {
        self.read(|connection| {
            let file: String = value(connection, "PRAGMA quick_check(1)", [])?;
            if file != "ok" {
                return Ok(vec![Discrepancy::of_rows(format!("damaged file: {file}"), 1)]);
            }
            let mut found = recount(connection)?;
            found.extend(orphans(connection)?);
            found.extend(metrics(connection)?);
            Ok(found)
        })
    }
}

/// The states of events, in the order of their columns in the ledger.
const STATES: [&str; 5] = ["pending", "delivered", "dead", "held", "discarded"];

/// The sums over rows of one account. Memory grows with the number of accounts, not with the number of events.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Recount {
    amount: Amount,
    /// The sum of the events' digests. If one event is in two states and another in none, only this sum shows it.
    digest: u64,
}

impl Recount {
    fn add(&mut self, row: Recount, times: i64) {
        self.amount.events += times * row.amount.events;
        self.amount.units += times * row.amount.units;
        self.digest = self.digest.wrapping_add(row.digest.wrapping_mul(times as u64));
    }
}

/// The account that a row's event belongs to, and what the event adds to it.
fn entry(row: &Row<'_>) -> Result<(Account, Recount)> {
    let occurred_at: Instant = row.get("occurred_at")?;
    let hour = occurred_at.nanos().div_euclid(HOUR_NANOS);
    let mut hasher = DefaultHasher::new();
    hasher.write_i64(row.get("seq")?);
    let recount = Recount { amount: Amount { events: 1, units: row.get("count")? }, digest: hasher.finish() };
    Ok((Account { requestor: row.get("requestor")?, slot: row.get("slot")?, hour }, recount))
}

/// Compares the counters of each state with its rows, and checks that every event is in exactly one state.
fn recount(connection: &Connection) -> Result<Vec<Discrepancy>> {
    let mut nowhere: HashMap<Account, Recount> = HashMap::new();
    each(connection, "SELECT requestor, slot, occurred_at, count, seq FROM events", [], |row| {
        let (account, recount) = entry(row)?;
        nowhere.entry(account).or_default().add(recount, 1);
        Ok(())
    })?;
    let mut rows: [HashMap<Account, Recount>; 5] = Default::default();
    let select = "SELECT p.state, e.requestor, e.slot, e.occurred_at, e.count, e.seq FROM (
            SELECT 0 AS state, seq FROM queue UNION ALL SELECT 1, seq FROM delivered UNION ALL SELECT 2, seq FROM dead_letters
            UNION ALL SELECT 3, seq FROM held UNION ALL SELECT 4, seq FROM discarded) p
         CROSS JOIN events e ON e.seq = p.seq";
    each(connection, select, [], |row| {
        let (account, recount) = entry(row)?;
        rows[row.get::<_, usize>("state")?].entry(account).or_default().add(recount, 1);
        nowhere.entry(account).or_default().add(recount, -1);
        Ok(())
    })?;
    let mut found: Vec<(Account, &str, Amount, Amount)> = Vec::new();
    let select = "SELECT requestor, slot, hour, pending_events, pending_units, delivered_events, delivered_units, dead_events, dead_units,
                held_events, held_units, discarded_events, discarded_units FROM ledger";
    each(connection, select, [], |row| {
        let account = Account { requestor: row.get(0)?, slot: row.get(1)?, hour: row.get(2)? };
        for ((rows, state), column) in rows.iter_mut().zip(STATES).zip((3..).step_by(2)) {
            let counted = Amount { events: row.get(column)?, units: row.get(column + 1)? };
            let recounted = rows.remove(&account).unwrap_or_default().amount;
            found.extend((counted != recounted).then_some((account, state, counted, recounted)));
        }
        Ok(())
    })?;
    for (rows, state) in rows.into_iter().zip(STATES) {
        found
            .extend(rows.into_iter().map(|(account, rows)| (account, state, Amount::default(), rows.amount)));
    }
    nowhere.retain(|_, rows| *rows != Recount::default());
    found.extend(nowhere.into_iter().map(|(of, rows)| (of, "nowhere", Amount::default(), rows.amount)));
    found.sort_unstable_by_key(|(Account { slot, hour, .. }, state, ..)| (*slot, *hour, *state));
    let named = found.into_iter().map(|(Account { requestor, slot, hour }, state, counted, recounted)| {
        let requestor_id = requestor_id_of(connection, requestor)?.to_string();
        let (event, state) = (event_named(slot), state.to_owned());
        Ok(Discrepancy { requestor_id, event, hour, state, counted, recounted })
    });
    let mut named = named.collect::<Result<Vec<_>>>()?;
    named.sort_by(|one, other| one.requestor_id.cmp(&other.requestor_id));
    Ok(named)
}

fn event_named(slot: u8) -> String {
    EventKind::from_slot(slot).map_or_else(|| format!("event{slot}"), |kind| kind.name().to_owned())
}

/// Counts the rows that refer to an event that does not exist.
fn orphans(connection: &Connection) -> Result<Option<Discrepancy>> {
    let select = "SELECT count(*) FROM (
            SELECT seq FROM queue UNION ALL SELECT seq FROM delivered UNION ALL SELECT seq FROM dead_letters
            UNION ALL SELECT seq FROM held UNION ALL SELECT seq FROM discarded UNION ALL SELECT seq FROM claims
            UNION ALL SELECT seq FROM doubts UNION ALL SELECT seq FROM identities WHERE seq IS NOT NULL) p
         WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.seq = p.seq)";
    let orphans: i64 = value(connection, select, [])?;
    Ok((orphans > 0).then(|| Discrepancy::of_rows("orphan".to_owned(), orphans)))
}

/// The hours in which the metrics and the ledger disagree about the units that were ingested and not taken back.
fn metrics(connection: &Connection) -> Result<Vec<Discrepancy>> {
    let from = fact(connection, WHOLE_FROM_HOUR)?.unwrap_or(i64::MIN);
    // This sums over one combined list. For a full join, SQLite would compare every pair of rows.
    let select = "SELECT requestor_id, slot, hour, sum(counted) AS counted, sum(recounted) AS recounted FROM (
            SELECT requestor, slot, hour, ingested_units - taken_back_units AS counted, 0 AS recounted FROM ledger WHERE hour >= ?1
            UNION ALL SELECT g.requestor, c.slot, c.hour, 0, c.units_00 + c.units_15 + c.units_30 + c.units_45
            FROM metric_counts c JOIN metric_groups g USING (metric_group) WHERE c.hour >= ?1)
         JOIN requestors USING (requestor)
         GROUP BY 1, 2, 3 HAVING sum(counted) <> sum(recounted) ORDER BY 1, 2, 3";
    all(connection, select, [from], |row| {
        let units = |column| Ok::<_, rusqlite::Error>(Amount { events: 0, units: row.get(column)? });
        Ok(from_row!(row, Discrepancy { requestor_id, hour }, event: event_named(row.get("slot")?),
            state: "metrics".to_owned(), counted: units("counted")?, recounted: units("recounted")?))
    })
}
