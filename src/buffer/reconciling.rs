//! What a comparison with ESM and Analytics asks: units by requestor, MVPD, quarter hour and event, in the states that explain why
//! a number is not the one that was counted.
//!
//! Everything that was ever stored stands in the metrics, which outlive the events. What is in a state other than delivered
//! stands in narrow tables beside the events, and is little, so that delivered is what is left.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, Row};

use super::burial::OVER_COUNT_UNITS;
use super::database::Buffer;
use super::doubts::each_doubted;
use super::error::Result;
use super::facts::fact;
use super::keys::RequestorKey;
use super::ledger::HOUR_NANOS;
use super::metrics::{CountedHour, MetricsReader, QUARTER_NANOS, start_of, whole_from};
use super::rows::{Word, all, each, from_row, value};
use crate::event::{EventKind, Instant, Property};
use crate::mapping;
use crate::suite::SuiteState;

/// A requestor, and where its hits go now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutedRequestor {
    pub key: RequestorKey,
    pub requestor_id: String,
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
    pub fn routed_requestors(&self) -> Result<Vec<RoutedRequestor>> {
        let select = "SELECT r.requestor, r.requestor_id, s.rsid, s.state, s.blocked IS NOT NULL AS is_blocked FROM requestors r
             LEFT JOIN mappings m ON m.requestor = r.requestor LEFT JOIN suites s ON s.suite = m.suite
             ORDER BY r.requestor_id";
        self.all(select, [], |row| {
            let state: Option<Word<SuiteState>> = row.get("state")?;
            let is_blocked: bool = row.get("is_blocked")?;
            Ok(RoutedRequestor {
                key: row.get("requestor")?,
                requestor_id: row.get("requestor_id")?,
                rsid: row.get("rsid")?,
                state: state.map(|Word(state)| match state {
                    SuiteState::Active if is_blocked => SuiteState::Blocked,
                    state => state,
                }),
            })
        })
    }

    /// Shows the units of some requestors, all as of one moment, on a connection of its own. Those of one cell may be shown in
    /// several parts.
    pub fn standing(
        &self,
        requestors: &[RequestorKey],
        question: &StandingQuestion,
        show: impl FnMut(StandingUnits<'_>),
    ) -> Result<StandingFacts> {
        let metrics = self.metrics()?;
        let whose = requestors.iter().copied().collect();
        let mut view = View { metrics: &metrics, question, whose, show, mvpds: HashMap::new() };
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
    metrics: &'c MetricsReader,
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
    units: u64,
    mvpd: Option<String>,
}

impl EventUnits {
    fn of(row: &Row<'_>) -> Result<EventUnits> {
        Ok(from_row!(row, EventUnits { requestor, slot, quarter, units, mvpd }))
    }
}

impl<'c, S: FnMut(StandingUnits<'_>)> View<'c, S> {
    fn connection(&self) -> &'c Connection {
        &self.metrics.connection
    }

    /// Everything that was ever stored, and what of it left undelivered. Few groups have many rows, so those are joined here.
    fn counted(&mut self) -> Result<()> {
        let select = "SELECT metric_group, requestor, mvpd FROM metric_groups";
        let groups: HashMap<u32, (RequestorKey, String)> = all(self.connection(), select, [], |row| {
            Ok((row.get("metric_group")?, (row.get("requestor")?, row.get("mvpd")?)))
        })?;
        let (metrics, (first, last)) = (self.metrics, self.hours());
        metrics.each_counted(first, last, |counted| self.quarters(&groups, Standing::Counted, counted))?;
        metrics.each_withdrawn(first, last, |counted| self.quarters(&groups, Standing::Withdrawn, counted))
    }

    /// The first and the last UTC hour that the question touches.
    fn hours(&self) -> (i64, i64) {
        let (from, to) = (self.question.from.nanos(), self.question.to.nanos());
        (from.div_euclid(HOUR_NANOS), (to - 1).div_euclid(HOUR_NANOS))
    }

    fn quarters(
        &mut self,
        groups: &HashMap<u32, (RequestorKey, String)>,
        standing: Standing,
        CountedHour { hour, group, kind, units }: CountedHour,
    ) {
        let known = groups.get(&group).filter(|(requestor, _)| self.whose.contains(requestor));
        let Some((requestor, mvpd)) = known else { return };
        for (units, quarter) in units.into_iter().zip(hour * 4..) {
            let at = Instant::from_nanos(quarter * QUARTER_NANOS);
            if units > 0 && (self.question.from..self.question.to).contains(&at) {
                (self.show)(StandingUnits { requestor: *requestor, mvpd, kind, at, standing, units });
            }
        }
    }

    /// What waits, live or in a backfill: the queue is in the order of requestor and time.
    fn pending(&mut self, requestor: RequestorKey) -> Result<()> {
        let select = "WITH all_jobs AS (SELECT 0 AS job UNION ALL SELECT job FROM jobs)
             SELECT q.requestor, e.slot, e.occurred_at / ?3 AS quarter, sum(e.count) AS units, e.body ->> 'mvpd' AS mvpd
             FROM all_jobs j JOIN queue q ON q.job = j.job AND q.requestor = ?4
                  AND q.occurred_at >= ?1 AND q.occurred_at < ?2
             JOIN events e ON e.seq = q.seq GROUP BY 2, 3, 5";
        let values = (self.question.from, self.question.to, QUARTER_NANOS, requestor);
        each(self.connection(), select, values, |row| {
            self.tell(EventUnits::of(row)?, Standing::Pending);
            Ok(())
        })
    }

    /// What is dead, held or discarded, and what is in files.
    fn set_aside(&mut self) -> Result<()> {
        // CROSS: from the few to the many. Left to itself, SQLite reads every event for them.
        let select = "SELECT 'dead' AS standing, e.requestor, e.slot, e.occurred_at / ?3 AS quarter, sum(e.count) AS units,
                   e.body ->> 'mvpd' AS mvpd
             FROM dead_letters t CROSS JOIN events e ON e.seq = t.seq
             WHERE e.occurred_at >= ?1 AND e.occurred_at < ?2 GROUP BY 2, 3, 4, 6
             UNION ALL SELECT 'held', e.requestor, e.slot, e.occurred_at / ?3, sum(e.count), e.body ->> 'mvpd'
             FROM held t CROSS JOIN events e ON e.seq = t.seq
             WHERE e.occurred_at >= ?1 AND e.occurred_at < ?2 GROUP BY 2, 3, 4, 6
             UNION ALL SELECT 'discarded', e.requestor, e.slot, e.occurred_at / ?3, sum(e.count), e.body ->> 'mvpd'
             FROM discarded t CROSS JOIN events e ON e.seq = t.seq
             WHERE e.occurred_at >= ?1 AND e.occurred_at < ?2 GROUP BY 2, 3, 4, 6
             -- Of bulk files that Adobe may have, while their events are pending here.
             UNION ALL SELECT 'ambiguous', e.requestor, e.slot, e.occurred_at / ?3, sum(e.count), e.body ->> 'mvpd'
             FROM bulk_files f JOIN bulk_rows r ON r.file = f.file JOIN events e ON e.seq = r.seq
             WHERE f.state IN ('sent', 'stuck', 'received') AND e.occurred_at >= ?1 AND e.occurred_at < ?2
                   AND NOT EXISTS (SELECT 1 FROM doubts d WHERE d.seq = r.seq)
             GROUP BY 2, 3, 4, 6";
        each(self.connection(), select, (self.question.from, self.question.to, QUARTER_NANOS), |row| {
            let standing = match row.get_ref("standing")?.as_str().unwrap_or_default() {
                "dead" => Standing::Dead,
                "held" => Standing::Held,
                "discarded" => Standing::Discarded,
                _ => Standing::Ambiguous,
            };
            self.tell(EventUnits::of(row)?, standing);
            Ok(())
        })
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
        (self.show)(StandingUnits { requestor, mvpd, kind, at, standing, units });
    }

    /// What was delivered so lately that it need not be in a report. `delivered` is in the order of recording, so only its end
    /// is read. What a person settled came to Analytics when it was sent, not when it was settled.
    fn delivered_lately(&mut self) -> Result<()> {
        let StandingQuestion { from, to, fresh_since, late_since, late_nanos } = *self.question;
        let first = first_delivered_since(self.connection(), fresh_since.min(late_since))?;
        each(
            self.connection(),
            "SELECT e.requestor, e.slot, e.occurred_at / ?4 AS quarter, sum(e.count) AS units, e.body ->> 'mvpd' AS mvpd,
                    d.delivered_at - d.occurred_at > ?7 AND d.delivered_at >= ?6 AS is_late
             FROM delivered d JOIN events e ON e.seq = d.seq
             WHERE d.n >= ?1 AND d.occurred_at >= ?2 AND d.occurred_at < ?3 AND d.run IS NOT NULL
                   AND (d.delivered_at >= ?5 OR (d.delivered_at - d.occurred_at > ?7 AND d.delivered_at >= ?6))
             GROUP BY 1, 2, 3, 5, 6",
            (first, from, to, QUARTER_NANOS, fresh_since, late_since, late_nanos),
            |row| {
                let is_late: bool = row.get("is_late")?;
                self.tell(EventUnits::of(row)?, if is_late { Standing::Late } else { Standing::TooFresh });
                Ok(())
            },
        )
    }

    /// Attempts of unknown outcome. With an event ID an event counts once however often it was sent. Without, each of them may have
    /// counted; one that a person vouched for rests on one of them.
    fn doubted(&mut self) -> Result<()> {
        let span = self.question.from..self.question.to;
        each_doubted(self.connection(), |doubted| {
            if !span.contains(&doubted.occurred_at) {
                return;
            }
            let is_delivered = doubted.state == "delivered";
            // One of the attempts is the right one, where only a person says so.
            let is_vouched = is_delivered && doubted.is_settled;
            let others = u64::from(doubted.attempts) - u64::from(is_vouched);
            let (ambiguous, repeated) = match (doubted.repeat_is_exact, is_delivered) {
                (true, true) => (0, others),
                (true, false) => (1, others - 1),
                (false, _) => (others, 0),
            };
            let quarter = doubted.occurred_at.nanos() / QUARTER_NANOS;
            let (requestor, slot, units) = (doubted.requestor, doubted.slot, u64::from(doubted.count));
            let units = EventUnits { requestor, slot, quarter, units, mvpd: doubted.mvpd };
            for (times, standing) in [
                (u64::from(is_vouched), Standing::Vouched),
                (ambiguous, Standing::Ambiguous),
                (repeated, Standing::Repeated),
            ] {
                if times > 0 {
                    self.tell(EventUnits { units: units.units * times, ..units.clone() }, standing);
                }
            }
        })
    }

    fn facts(&self) -> Result<StandingFacts> {
        Ok(StandingFacts {
            incomplete: self.incomplete()?,
            inbox: value(self.connection(), "SELECT count(*) FROM inbox", [])?,
            expired_over_count: fact(self.connection(), OVER_COUNT_UNITS)?.unwrap_or(0).unsigned_abs(),
        })
    }

    /// The hours of which the ledger knows more than the metrics.
    fn incomplete(&self) -> Result<BTreeSet<(RequestorKey, Instant)>> {
        let Some(whole_from) = whole_from(self.connection())? else { return Ok(BTreeSet::new()) };
        let (first, last) = self.hours();
        let last = last.min((whole_from.nanos() - 1).div_euclid(HOUR_NANOS));
        let mut found: BTreeSet<(RequestorKey, Instant)> = all(
            self.connection(),
            "SELECT l.requestor, l.hour, sum(l.ingested_units) AS units FROM ledger l
             WHERE l.hour BETWEEN ?1 AND ?2 GROUP BY 1, 2
             HAVING units <> (SELECT coalesce(sum(c.units_00 + c.units_15 + c.units_30 + c.units_45), 0)
                              FROM metric_counts c JOIN metric_groups g ON g.metric_group = c.metric_group
                              WHERE c.hour = l.hour AND g.requestor = l.requestor)",
            (first, last),
            |row| Ok((row.get("requestor")?, start_of(row.get("hour")?))),
        )?;
        found.retain(|(requestor, _)| self.whose.contains(requestor));
        Ok(found)
    }
}

/// The number of the first delivery that is no older; one behind the last where all are.
fn first_delivered_since(connection: &Connection, since: Instant) -> Result<i64> {
    let mut statement = connection.prepare_cached("SELECT n, delivered_at FROM delivered ORDER BY n DESC")?;
    let mut rows = statement.query([])?;
    let mut first = i64::MAX;
    while let Some(row) = rows.next()? {
        if row.get::<_, Instant>("delivered_at")? < since {
            break;
        }
        first = row.get("n")?;
    }
    Ok(first)
}
