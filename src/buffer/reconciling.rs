//! The numbers for a comparison with ESM and Analytics: units by requestor, MVPD, quarter hour and event, in the
//! states that explain a difference.
//!
//! The metrics count all that was stored and not taken back, and what left the buffer undelivered. Pending units are
//! counted in the queue; dead, held and discarded units in small tables. The rest was delivered.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, Row};

use super::database::Buffer;
use super::doubts::each_doubted;
use super::error::Result;
use super::facts::fact;
use super::keys::RequestorKey;
use super::ledger::HOUR_NANOS;
use super::metrics::{CountedHour, MetricsReader, start_of};
use super::rows::{all, each, value};
use super::tombstones::{DAY_NANOS, OVER_COUNT_UNITS};
use crate::event::{EventKind, Instant};
use crate::suite::Rsid;

const QUARTER_NANOS: i64 = 900_000_000_000;

/// The blanks that Analytics cuts from the ends of a value.
const BLANKS: &str = " \t\r\n\u{a0}";

/// The state of units, or a reason why Analytics may show other numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// All units that were stored and not taken back.
    Counted,
    /// The units left the buffer undelivered: they were erased, or they were discarded and then expired.
    Withdrawn,
    Pending,
    /// A reply refused the units for good, or their count breaks a limit.
    Dead,
    /// The units may have been counted, and are not sent again.
    Held,
    /// An operator decided not to send the units.
    Discarded,
    /// The units were delivered since `fresh_since` and are not `Late`. They are part of the delivered units.
    TooFresh,
    /// The units were delivered since `late_since`, long after they happened. They are part of the delivered units.
    Late,
    /// A person said that the units were delivered; no reply did. They are part of the delivered units.
    Vouched,
    /// The units may have been counted in addition to the delivered units.
    Ambiguous,
    /// The units were sent again under the same event ID, so Analytics counts them once.
    Repeated,
}

/// Units of one quarter hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingUnits<'a> {
    pub requestor: RequestorKey,
    /// The MVPD, spelled as in the events or as Analytics shows it; empty if there is none.
    pub mvpd: &'a str,
    pub kind: EventKind,
    /// The start of the quarter hour.
    pub at: Instant,
    pub standing: Standing,
    pub units: u64,
}

/// The time span of a comparison, and its limits for fresh and for late deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingQuestion {
    /// The start, on a quarter of an hour.
    pub from: Instant,
    /// The end, exclusive, on a quarter of an hour.
    pub to: Instant,
    /// Units that were delivered since this instant are too fresh, because Analytics may not show them yet.
    pub fresh_since: Instant,
    /// Deliveries since this instant are late if their units were older than `late_nanos`.
    pub late_since: Instant,
    /// The highest age, in nanoseconds, at which a delivery is not late.
    pub late_nanos: i64,
}

/// Facts about the whole comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StandingFacts {
    /// Hours in which the metrics lack units of a requestor: events were deleted before the buffer had metrics.
    pub incomplete: BTreeSet<(RequestorKey, Instant)>,
    /// Rows of the inbox, which are not counted yet.
    pub inbox: u64,
    /// Units of deleted events that may have been counted too often. Their requestor, day and kind are not known.
    pub expired_over_count: u64,
}

impl Buffer {
    /// Shows the units of these requestors, from one snapshot on a connection of its own. Units of the same
    /// requestor, MVPD, kind and quarter hour may come in parts.
    pub fn standing(
        &self,
        requestors: &[RequestorKey],
        question: &StandingQuestion,
        show: impl FnMut(StandingUnits<'_>),
    ) -> Result<StandingFacts> {
        let metrics = self.metrics()?;
        let whose = requestors.iter().copied().collect();
        let mut view = View { metrics: &metrics, question, whose, show };
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

impl Buffer {
    /// How many events of a suite have an MVPD User ID with blanks at an end, and how many such IDs there
    /// are. Counts events that happened from `from` until before `to`, but skips those that were stored more
    /// than a day before `from`; the day allows for wrong clocks.
    pub fn padded_ids(&self, rsid: &Rsid, from: Instant, to: Instant) -> Result<(u64, u64)> {
        let select = "SELECT count(*) AS events, count(DISTINCT id) AS ids FROM
                 (SELECT e.body ->> 'mvpd_user_id' AS id FROM events e
                  WHERE e.seq > coalesce((SELECT max(last_seq) FROM arrivals WHERE at < ?1 - ?4), 0)
                        AND e.occurred_at >= ?1 AND e.occurred_at < ?2 AND e.requestor IN
                            (SELECT requestor FROM mappings m JOIN suites s ON s.suite = m.suite WHERE s.rsid = ?3))
             WHERE trim(id, ?5) NOT IN ('', id)";
        let counts = self.first(select, (from, to, rsid, DAY_NANOS, BLANKS), |row| {
            Ok((row.get("events")?, row.get("ids")?))
        })?;
        Ok(counts.unwrap_or_default())
    }
}

/// A snapshot of the buffer, and the question that it answers.
struct View<'c, S> {
    metrics: &'c MetricsReader,
    question: &'c StandingQuestion,
    whose: BTreeSet<RequestorKey>,
    show: S,
}

impl<'c, S: FnMut(StandingUnits<'_>)> View<'c, S> {
    fn connection(&self) -> &'c Connection {
        &self.metrics.connection
    }

    /// Shows all units that were stored and not taken back, and those that left the buffer undelivered. There are few
    /// groups and many rows, so they are joined here and not in SQL.
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
        let Some((requestor, mvpd)) = groups.get(&group) else { return };
        for (units, quarter) in units.into_iter().zip(hour * 4..) {
            let at = Instant::of_quarter(quarter);
            if units > 0 && (self.question.from..self.question.to).contains(&at) {
                self.tell(StandingUnits { requestor: *requestor, mvpd, kind, at, standing, units });
            }
        }
    }

    /// Shows units if their requestor is wanted.
    fn tell(&mut self, units: StandingUnits<'_>) {
        if self.whose.contains(&units.requestor) {
            (self.show)(units);
        }
    }

    /// Shows the units of a row that sums up events.
    fn tell_row(&mut self, row: &Row<'_>, standing: Standing) -> Result<()> {
        // A slot number without an event kind can only be damage; `status --verify` reports it.
        let Some(kind) = EventKind::from_slot(row.get("slot")?) else { return Ok(()) };
        let mvpd: Option<String> = row.get("mvpd")?;
        self.tell(StandingUnits {
            requestor: row.get("requestor")?,
            mvpd: mvpd.as_deref().unwrap_or_default(),
            kind,
            at: Instant::of_quarter(row.get("quarter")?),
            standing,
            units: row.get("units")?,
        });
        Ok(())
    }

    /// Shows the pending units. The queue is sorted by job, requestor and time, so each job is searched by itself.
    fn pending(&mut self, requestor: RequestorKey) -> Result<()> {
        let select = "WITH all_jobs AS (SELECT 0 AS job UNION ALL SELECT job FROM jobs)
             SELECT q.requestor, e.slot, e.occurred_at / ?3 AS quarter, sum(e.count) AS units, e.body ->> 'mvpd' AS mvpd
             FROM all_jobs j JOIN queue q ON q.job = j.job AND q.requestor = ?4
                  AND q.occurred_at >= ?1 AND q.occurred_at < ?2
             JOIN events e ON e.seq = q.seq GROUP BY 2, 3, 5";
        let values = (self.question.from, self.question.to, QUARTER_NANOS, requestor);
        each(self.connection(), select, values, |row| self.tell_row(row, Standing::Pending))
    }

    /// Shows dead, held and discarded units and, as ambiguous, pending units that a sent bulk file contains.
    fn set_aside(&mut self) -> Result<()> {
        // CROSS JOIN makes SQLite start with the few rows of `aside`. Otherwise SQLite reads every event.
        let select = "WITH aside AS (
                SELECT seq, 'dead' AS standing FROM dead_letters
                UNION ALL SELECT seq, 'held' FROM held
                UNION ALL SELECT seq, 'discarded' FROM discarded
                UNION ALL SELECT r.seq, 'in a file' FROM bulk_files f JOIN bulk_rows r ON r.file = f.file
                    WHERE f.state IN ('sent', 'stuck', 'received') AND NOT EXISTS (SELECT 1 FROM doubts d WHERE d.seq = r.seq))
             SELECT a.standing, e.requestor, e.slot, e.occurred_at / ?3 AS quarter, sum(e.count) AS units,
                    e.body ->> 'mvpd' AS mvpd
             FROM aside a CROSS JOIN events e ON e.seq = a.seq
             WHERE e.occurred_at >= ?1 AND e.occurred_at < ?2 GROUP BY 1, 2, 3, 4, 6";
        each(self.connection(), select, (self.question.from, self.question.to, QUARTER_NANOS), |row| {
            let standing = match row.get_ref("standing")?.as_str().unwrap_or_default() {
                "dead" => Standing::Dead,
                "held" => Standing::Held,
                "discarded" => Standing::Discarded,
                _ => Standing::Ambiguous,
            };
            self.tell_row(row, standing)
        })
    }

    /// Shows units that are too fresh or late. The table `delivered` is in the order of recording, so only its end is
    /// read. Events that a person vouched for have no `run` and are left out: Analytics counted them earlier.
    fn delivered_lately(&mut self) -> Result<()> {
        let StandingQuestion { from, to, fresh_since, late_since, late_nanos } = *self.question;
        let select =
            "SELECT e.requestor, e.slot, e.occurred_at / ?4 AS quarter, sum(e.count) AS units, e.body ->> 'mvpd' AS mvpd,
                    d.delivered_at - d.occurred_at > ?7 AND d.delivered_at >= ?6 AS is_late
             FROM delivered d JOIN events e ON e.seq = d.seq
             WHERE d.n > coalesce((SELECT n FROM delivered WHERE delivered_at < ?1 ORDER BY n DESC LIMIT 1), 0)
                   AND d.occurred_at >= ?2 AND d.occurred_at < ?3 AND d.run IS NOT NULL
                   AND (d.delivered_at >= ?5 OR (d.delivered_at - d.occurred_at > ?7 AND d.delivered_at >= ?6))
             GROUP BY 1, 2, 3, 5, 6";
        let since = fresh_since.min(late_since);
        let values = (since, from, to, QUARTER_NANOS, fresh_since, late_since, late_nanos);
        each(self.connection(), select, values, |row| {
            let is_late: bool = row.get("is_late")?;
            self.tell_row(row, if is_late { Standing::Late } else { Standing::TooFresh })
        })
    }

    /// Shows what attempts of unknown outcome may have added. With event IDs, Analytics counts an event once, however
    /// often it was sent. Without them, each attempt may have counted.
    fn doubted(&mut self) -> Result<()> {
        let span = self.question.from..self.question.to;
        each_doubted(self.connection(), |doubted| {
            let Some(kind) =
                EventKind::from_slot(doubted.slot).filter(|_| span.contains(&doubted.occurred_at))
            else {
                return;
            };
            let is_delivered = doubted.state == "delivered";
            // A person says that the event was delivered: one attempt counted, the others are in doubt.
            let is_vouched = is_delivered && doubted.is_settled;
            let others = u64::from(doubted.attempts) - u64::from(is_vouched);
            let (ambiguous, repeated) = match (doubted.repeat_is_exact, is_delivered) {
                (true, true) => (0, others),
                (true, false) => (1, others - 1),
                (false, _) => (others, 0),
            };
            let at = Instant::of_quarter(doubted.occurred_at.unix_quarter());
            let (requestor, mvpd) = (doubted.requestor, doubted.mvpd.as_deref().unwrap_or_default());
            for (times, standing) in [
                (u64::from(is_vouched), Standing::Vouched),
                (ambiguous, Standing::Ambiguous),
                (repeated, Standing::Repeated),
            ] {
                let units = u64::from(doubted.count) * times;
                if units > 0 {
                    self.tell(StandingUnits { requestor, mvpd, kind, at, standing, units });
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

    /// The hours before `whole_from` in which the metrics do not count as many stored units as the ledger.
    fn incomplete(&self) -> Result<BTreeSet<(RequestorKey, Instant)>> {
        let Some(whole_from) = self.metrics.whole_from()? else { return Ok(BTreeSet::new()) };
        let (first, last) = self.hours();
        let last = last.min((whole_from.nanos() - 1).div_euclid(HOUR_NANOS));
        let mut found: BTreeSet<(RequestorKey, Instant)> = all(
            self.connection(),
            "SELECT l.requestor, l.hour, sum(l.ingested_units - l.taken_back_units) AS units FROM ledger l
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
