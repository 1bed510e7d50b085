//! What a comparison with ESM and Analytics asks: units by requestor, MVPD, quarter hour and event, in the states that explain why
//! a number is not the one that was counted.
//!
//! Everything that was ever stored stands in the metrics, which outlive the events. What is in a state other than delivered
//! stands in narrow tables beside the events, and is little, so that delivered is what is left.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, Row, Transaction};

use super::status::DOUBTED;
use super::suites::RequestorKey;
use super::{Buffer, BufferError, connection, metrics};
use crate::event::{EventKind, Instant, Property};
use crate::mapping;
use crate::suite::SuiteState;

/// Nanoseconds of a quarter of an hour: the days of every time zone begin on one.
const QUARTER_NANOS: i64 = 900_000_000_000;
/// Quarters of an hour.
const QUARTERS: i64 = 4;

/// A requestor, and where its hits go now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutedRequestor {
    pub key: RequestorKey,
    pub requestor_id: String,
    /// The suite that it is mapped to.
    pub rsid: Option<String>,
    /// Whether that suite's events flow; retired where there is none.
    pub state: Option<SuiteState>,
}

/// In which respect units are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Everything that was ever stored.
    Counted,
    /// Left the buffer without having been delivered.
    Withdrawn,
    Pending,
    /// Were condemned by a reply.
    Dead,
    /// May have been counted, and are not repeated.
    Held,
    /// An operator decided against them.
    Discarded,
    /// Were delivered a moment ago. Among the delivered.
    TooFresh,
    /// Were delivered within the last day, long after they happened. Among the delivered.
    Late,
    /// Were delivered by the word of a person. Among the delivered.
    Vouched,
    /// May have been counted beyond what was delivered.
    Ambiguous,
    /// Were sent again under the same event ID.
    Repeated,
}

/// Units of one quarter hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingUnits<'a> {
    pub requestor: RequestorKey,
    /// Of which MVPD, as Analytics shows it; empty: none.
    pub mvpd: &'a str,
    pub kind: EventKind,
    /// When the quarter hour begins.
    pub at: Instant,
    pub standing: Standing,
    pub units: u64,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingQuestion {
    /// From when, on a quarter of an hour.
    pub from: Instant,
    /// To when, exclusive, on a quarter of an hour.
    pub to: Instant,
    /// What was delivered since then is too fresh.
    pub fresh_since: Instant,
    /// What was delivered since then is late, where it happened longer before its delivery than `late_nanos`.
    pub late_since: Instant,
    /// The age from which on a delivery takes long.
    pub late_nanos: i64,
}

/// What is known besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StandingFacts {
    /// Hours of requestors of which more was stored than the metrics know: it was deleted before there were metrics.
    pub incomplete: BTreeSet<(RequestorKey, Instant)>,
    /// Rows of the inbox, which nobody has counted yet.
    pub inbox: u64,
    /// Units that may have been counted too often, of events that have expired: nobody knows of which.
    pub expired_over_count: u64,
}

impl Buffer {
    /// Every requestor that the buffer knows.
    pub fn routed_requestors(&self) -> Result<Vec<RoutedRequestor>, BufferError> {
        let connection = connection::open_reader(self.path())?;
        let mut statement = connection.prepare(
            "SELECT r.requestor, r.requestor_id, s.rsid, s.state, s.blocked IS NOT NULL FROM requestors r
             LEFT JOIN mappings m ON m.requestor = r.requestor LEFT JOIN suites s ON s.suite = m.suite
             ORDER BY r.requestor_id",
        )?;
        let rows = statement.query_map([], |row| {
            let state: Option<String> = row.get(3)?;
            let is_blocked: bool = row.get(4)?;
            Ok(RoutedRequestor {
                key: RequestorKey(row.get(0)?),
                requestor_id: row.get(1)?,
                rsid: row.get(2)?,
                state: state.map(|state| match state.as_str() {
                    "active" if is_blocked => SuiteState::Blocked,
                    "active" => SuiteState::Active,
                    _ => SuiteState::Paused,
                }),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Shows the units of some requestors, all as of one moment, on a connection of its own. Those of one cell may be shown in
    /// several parts.
    pub fn standing(
        &self,
        requestors: &[RequestorKey],
        question: &StandingQuestion,
        show: impl FnMut(StandingUnits<'_>),
    ) -> Result<StandingFacts, BufferError> {
        let connection = connection::open_reader(self.path())?;
        let transaction = connection.unchecked_transaction()?;
        let whose = requestors.iter().copied().collect();
        let mut view = View { transaction: &transaction, question, whose, show, mvpds: HashMap::new() };
        view.counted()?;
        for requestor in requestors {
            view.pending(*requestor)?;
        }
        view.set_aside()?;
        view.delivered_lately()?;
        view.doubted()?;
        view.facts()
    }
}

/// A view of one moment.
struct View<'c, S> {
    transaction: &'c Transaction<'c>,
    question: &'c StandingQuestion,
    whose: BTreeSet<RequestorKey>,
    show: S,
    /// MVPDs as events have them, and as Analytics shows them.
    mvpds: HashMap<String, String>,
}

/// Units of events: whose, slot, quarter hour, how many, MVPD as the events have it.
#[derive(Clone)]
struct EventUnits {
    requestor: RequestorKey,
    slot: u8,
    quarter: i64,
    units: i64,
    mvpd: Option<String>,
}

/// The first columns of a row.
fn units_of(row: &Row<'_>) -> Result<EventUnits, rusqlite::Error> {
    Ok(EventUnits {
        requestor: RequestorKey(row.get(0)?),
        slot: row.get(1)?,
        quarter: row.get(2)?,
        units: row.get(3)?,
        mvpd: row.get(4)?,
    })
}

impl<S: FnMut(StandingUnits<'_>)> View<'_, S> {
    /// Everything that was ever stored, and what of it left undelivered. Few groups have many rows, so those are joined here.
    fn counted(&mut self) -> Result<(), BufferError> {
        let mut groups: HashMap<i64, (RequestorKey, String)> = HashMap::new();
        let mut statement =
            self.transaction.prepare_cached("SELECT metric_group, requestor, mvpd FROM metric_groups")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let requestor = RequestorKey(row.get(1)?);
            if self.whose.contains(&requestor) {
                groups.insert(row.get(0)?, (requestor, row.get(2)?));
            }
        }
        self.quarters(
            &groups,
            Standing::Counted,
            "SELECT hour, slot, metric_group, units_00, units_15, units_30, units_45 FROM metric_counts
             WHERE hour >= ?1 AND hour < ?2",
        )?;
        self.quarters(
            &groups,
            Standing::Withdrawn,
            "SELECT hour, slot, metric_group, units_00, units_15, units_30, units_45 FROM metric_withdrawn
             WHERE hour >= ?1 AND hour < ?2",
        )
    }

    fn quarters(
        &mut self,
        groups: &HashMap<i64, (RequestorKey, String)>,
        standing: Standing,
        select: &str,
    ) -> Result<(), BufferError> {
        let (from, to) = (self.question.from.nanos(), self.question.to.nanos());
        let quarters = from.div_euclid(QUARTER_NANOS)..to.div_euclid(QUARTER_NANOS);
        let hours = (quarters.start.div_euclid(QUARTERS), (quarters.end + QUARTERS - 1).div_euclid(QUARTERS));
        let mut statement = self.transaction.prepare_cached(select)?;
        let mut rows = statement.query(hours)?;
        while let Some(row) = rows.next()? {
            let (hour, slot): (i64, u8) = (row.get(0)?, row.get(1)?);
            let (Some((requestor, mvpd)), Some(kind)) =
                (groups.get(&row.get(2)?), EventKind::from_slot(slot))
            else {
                continue;
            };
            for (column, quarter) in (3..).zip(hour * QUARTERS..(hour + 1) * QUARTERS) {
                let units = row.get::<_, i64>(column)?.unsigned_abs();
                if units > 0 && quarters.contains(&quarter) {
                    let at = Instant::from_nanos(quarter * QUARTER_NANOS);
                    (self.show)(StandingUnits { requestor: *requestor, mvpd, kind, at, standing, units });
                }
            }
        }
        Ok(())
    }

    /// What waits, live or in a backfill: the queue is in the order of requestor and time.
    fn pending(&mut self, requestor: RequestorKey) -> Result<(), BufferError> {
        let mut statement = self.transaction.prepare_cached(
            "WITH all_jobs AS (SELECT 0 AS job UNION ALL SELECT job FROM jobs)
             SELECT q.requestor, e.slot, e.occurred_at / ?4 AS quarter, sum(e.count), e.body ->> 'mvpd' AS mvpd
             FROM all_jobs j JOIN queue q ON q.job = j.job AND q.requestor = ?1
                  AND q.occurred_at >= ?2 AND q.occurred_at < ?3
             JOIN events e ON e.seq = q.seq GROUP BY 2, 3, 5",
        )?;
        let (from, to) = (self.question.from.nanos(), self.question.to.nanos());
        let mut rows = statement.query((requestor.0, from, to, QUARTER_NANOS))?;
        while let Some(row) = rows.next()? {
            self.tell(units_of(row)?, Standing::Pending);
        }
        Ok(())
    }

    /// What is dead, held or discarded, and what is in files.
    fn set_aside(&mut self) -> Result<(), BufferError> {
        for (standing, table) in
            [(Standing::Dead, "dead_letters"), (Standing::Held, "held"), (Standing::Discarded, "discarded")]
        {
            // CROSS: from the few to the many. Left to itself, SQLite reads every event for them.
            self.tell_all(
                standing,
                &format!(
                    "SELECT e.requestor, e.slot, e.occurred_at / ?3 AS quarter, sum(e.count), e.body ->> 'mvpd' AS mvpd
                     FROM {table} t CROSS JOIN events e ON e.seq = t.seq
                     WHERE e.occurred_at >= ?1 AND e.occurred_at < ?2 GROUP BY 1, 2, 3, 5"
                ),
            )?;
        }
        // Of bulk files that Adobe may have, while their events are pending here.
        self.tell_all(
            Standing::Ambiguous,
            "SELECT e.requestor, e.slot, e.occurred_at / ?3 AS quarter, sum(e.count), e.body ->> 'mvpd' AS mvpd
             FROM bulk_files f JOIN bulk_rows r ON r.file = f.file JOIN events e ON e.seq = r.seq
             WHERE f.state IN ('sent', 'stuck', 'received') AND e.occurred_at >= ?1 AND e.occurred_at < ?2
                   AND NOT EXISTS (SELECT 1 FROM doubts d WHERE d.seq = r.seq)
             GROUP BY 1, 2, 3, 5",
        )
    }

    /// Shows what a statement finds between two times, by quarters of an hour.
    fn tell_all(&mut self, standing: Standing, select: &str) -> Result<(), BufferError> {
        let mut statement = self.transaction.prepare_cached(select)?;
        let (from, to) = (self.question.from.nanos(), self.question.to.nanos());
        let mut rows = statement.query((from, to, QUARTER_NANOS))?;
        while let Some(row) = rows.next()? {
            self.tell(units_of(row)?, standing);
        }
        Ok(())
    }

    /// Shows units of events, if they are of somebody who was asked for.
    fn tell(&mut self, units: EventUnits, standing: Standing) {
        let EventUnits { requestor, slot, quarter, units, mvpd } = units;
        let Some(kind) = EventKind::from_slot(slot).filter(|_| self.whose.contains(&requestor)) else {
            return;
        };
        let mvpd = self.mvpds.entry(mvpd.unwrap_or_default()).or_insert_with_key(|mvpd| {
            mapping::shown(Property::Mvpd, mvpd).map_or_else(String::new, Cow::into_owned)
        });
        let at = Instant::from_nanos(quarter * QUARTER_NANOS);
        (self.show)(StandingUnits { requestor, mvpd, kind, at, standing, units: units.unsigned_abs() });
    }

    /// What was delivered so lately that it need not be in a report. `delivered` is in the order of recording, so only its end
    /// is read. What a person settled came to Analytics when it was sent, not when it was settled.
    fn delivered_lately(&mut self) -> Result<(), BufferError> {
        let question = self.question;
        let since = question.fresh_since.min(question.late_since).nanos();
        let first = first_delivered_since(self.transaction, since)?;
        let mut statement = self.transaction.prepare_cached(
            "SELECT e.requestor, e.slot, e.occurred_at / ?4 AS quarter, sum(e.count), e.body ->> 'mvpd' AS mvpd,
                    d.delivered_at - d.occurred_at > ?7 AND d.delivered_at >= ?6 AS is_late
             FROM delivered d JOIN events e ON e.seq = d.seq
             WHERE d.n >= ?1 AND d.occurred_at >= ?2 AND d.occurred_at < ?3 AND d.run IS NOT NULL
                   AND (d.delivered_at >= ?5 OR (d.delivered_at - d.occurred_at > ?7 AND d.delivered_at >= ?6))
             GROUP BY 1, 2, 3, 5, 6",
        )?;
        let mut rows = statement.query((
            first,
            question.from.nanos(),
            question.to.nanos(),
            QUARTER_NANOS,
            question.fresh_since.nanos(),
            question.late_since.nanos(),
            question.late_nanos,
        ))?;
        while let Some(row) = rows.next()? {
            let is_late: bool = row.get(5)?;
            self.tell(units_of(row)?, if is_late { Standing::Late } else { Standing::TooFresh });
        }
        Ok(())
    }

    /// Attempts of unknown outcome. With an event ID an event counts once however often it was sent. Without, each of them may have
    /// counted; one that a person vouched for rests on one of them.
    fn doubted(&mut self) -> Result<(), BufferError> {
        let mut statement = self.transaction.prepare_cached(&format!(
            "{DOUBTED} SELECT d.requestor, d.slot, d.occurred_at / ?3, d.count, d.body ->> 'mvpd', d.attempts,
                              f.event_ids = 'on', d.state = 'delivered',
                              EXISTS (SELECT 1 FROM settled s WHERE s.seq = d.seq)
             FROM doubted d JOIN forms f ON f.form = d.form WHERE d.occurred_at >= ?1 AND d.occurred_at < ?2"
        ))?;
        let mut rows =
            statement.query((self.question.from.nanos(), self.question.to.nanos(), QUARTER_NANOS))?;
        while let Some(row) = rows.next()? {
            let units = units_of(row)?;
            let (attempts, is_exact, is_delivered, is_settled): (i64, bool, bool, bool) =
                (row.get(5)?, row.get(6)?, row.get(7)?, row.get(8)?);
            // One of the attempts is the right one, where only a person says so.
            let is_vouched = is_delivered && is_settled;
            let others = if is_vouched { attempts - 1 } else { attempts };
            let (ambiguous, repeated) = match (is_exact, is_delivered) {
                (true, true) => (0, others),
                (true, false) => (1, others - 1),
                (false, _) => (others, 0),
            };
            if is_vouched {
                self.tell(units.clone(), Standing::Vouched);
            }
            for (times, standing) in [(ambiguous, Standing::Ambiguous), (repeated, Standing::Repeated)] {
                if times > 0 {
                    self.tell(EventUnits { units: units.units * times, ..units.clone() }, standing);
                }
            }
        }
        Ok(())
    }

    fn facts(&self) -> Result<StandingFacts, BufferError> {
        let number = |sql: &str| self.transaction.query_row(sql, [], |row| row.get::<_, i64>(0));
        let inbox = number("SELECT count(*) FROM inbox")?.unsigned_abs();
        let expired_over_count = super::runs::fact(self.transaction, super::status::OVER_COUNT_UNITS)?;
        Ok(StandingFacts {
            incomplete: self.incomplete()?,
            inbox,
            expired_over_count: expired_over_count.unwrap_or(0).unsigned_abs(),
        })
    }

    /// The hours of which the ledger knows more than the metrics.
    fn incomplete(&self) -> Result<BTreeSet<(RequestorKey, Instant)>, BufferError> {
        let mut found = BTreeSet::new();
        let Some(whole_from) = metrics::whole_from(self.transaction)? else { return Ok(found) };
        let hours_of = QUARTER_NANOS * QUARTERS;
        let to = self.question.to.min(whole_from);
        let hours = (self.question.from.nanos().div_euclid(hours_of), (to.nanos() - 1).div_euclid(hours_of));
        let mut statement = self.transaction.prepare_cached(
            "SELECT l.requestor, l.hour, sum(l.ingested_units) AS units FROM ledger l
             WHERE l.hour BETWEEN ?1 AND ?2 GROUP BY 1, 2
             HAVING units <> (SELECT coalesce(sum(c.units_00 + c.units_15 + c.units_30 + c.units_45), 0)
                              FROM metric_counts c JOIN metric_groups g ON g.metric_group = c.metric_group
                              WHERE c.hour = l.hour AND g.requestor = l.requestor)",
        )?;
        let mut rows = statement.query(hours)?;
        while let Some(row) = rows.next()? {
            let requestor = RequestorKey(row.get(0)?);
            if self.whose.contains(&requestor) {
                found.insert((requestor, Instant::from_nanos(row.get::<_, i64>(1)? * hours_of)));
            }
        }
        Ok(found)
    }
}

/// The number of the first delivery that is no older; one behind the last where all are.
fn first_delivered_since(connection: &Connection, since: i64) -> Result<i64, BufferError> {
    let mut statement = connection.prepare_cached("SELECT n, delivered_at FROM delivered ORDER BY n DESC")?;
    let mut rows = statement.query([])?;
    let mut first = i64::MAX;
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(1)? < since {
            break;
        }
        first = row.get(0)?;
    }
    Ok(first)
}
