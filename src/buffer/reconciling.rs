//! The numbers for a comparison with ESM and Analytics: units by requestor, MVPD, quarter hour and event, in the
//! states that explain a difference.
//!
//! Everything ever stored is in the metrics, which outlive the events. Units in any state but delivered are few and
//! stand in small tables beside the events. The rest is delivered.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, Row};

use super::burial::OVER_COUNT_UNITS;
use super::database::Buffer;
use super::doubts::each_doubted;
use super::error::Result;
use super::facts::fact;
use super::keys::RequestorKey;
use super::ledger::HOUR_NANOS;
use super::metrics::{CountedHour, MetricsReader, start_of};
use super::rows::{all, each, value};
use crate::event::{EventKind, Instant};

/// Nanoseconds of a quarter of an hour.
const QUARTER_NANOS: i64 = 900_000_000_000;

/// The state of units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Everything that was ever stored.
    Counted,
    /// Left the buffer undelivered.
    Withdrawn,
    Pending,
    /// A reply refused them for good.
    Dead,
    /// May have been counted, and are not sent again.
    Held,
    /// An operator decided not to send them.
    Discarded,
    /// Were delivered a moment ago. They are part of the delivered units.
    TooFresh,
    /// Were delivered within the last day, long after they happened. They are part of the delivered units.
    Late,
    /// A person said that they were delivered; no reply did. They are part of the delivered units.
    Vouched,
    /// May have been counted in addition to the delivered units.
    Ambiguous,
    /// Were sent again under the same event ID.
    Repeated,
}

/// Units of one quarter hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingUnits<'a> {
    pub requestor: RequestorKey,
    /// The MVPD, spelled as in the events or as Analytics shows it; empty if there is none.
    pub mvpd: &'a str,
    pub kind: EventKind,
    pub at: Instant,
    pub standing: Standing,
    pub units: u64,
}

/// What a comparison asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingQuestion {
    /// The start, on a quarter of an hour.
    pub from: Instant,
    /// The end, exclusive, on a quarter of an hour.
    pub to: Instant,
    /// What was delivered since then is too fresh, because Analytics may not show it yet.
    pub fresh_since: Instant,
    /// What was delivered since then is late if it happened more than `late_nanos` before its delivery.
    pub late_since: Instant,
    /// An event is late if it was older than this when it was delivered.
    pub late_nanos: i64,
}

/// Facts about the whole comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StandingFacts {
    /// Hours in which the metrics lack units of a requestor, because events were deleted before metrics existed.
    pub incomplete: BTreeSet<(RequestorKey, Instant)>,
    /// Rows of the inbox, which are not counted yet.
    pub inbox: u64,
    /// Units of expired events that may have been counted too often. Nobody knows their requestor, day and kind.
    pub expired_over_count: u64,
}

impl Buffer {
    /// Shows the units of some requestors from one snapshot, on its own connection. Units of a cell may come in
    /// parts.
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

/// One snapshot, and what is asked of it.
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

    /// Everything ever stored, and the part of it that left undelivered. There are few groups and many rows, so the
    /// groups are joined here and not in SQL.
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

    /// Shows units if their requestor was asked for.
    fn tell(&mut self, units: StandingUnits<'_>) {
        if self.whose.contains(&units.requestor) {
            (self.show)(units);
        }
    }

    /// Shows the units of a row of events.
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

    /// Pending units, live or of a backfill. The queue is sorted by job, requestor and time, so each job is searched.
    fn pending(&mut self, requestor: RequestorKey) -> Result<()> {
        let select = "WITH all_jobs AS (SELECT 0 AS job UNION ALL SELECT job FROM jobs)
             SELECT q.requestor, e.slot, e.occurred_at / ?3 AS quarter, sum(e.count) AS units, e.body ->> 'mvpd' AS mvpd
             FROM all_jobs j JOIN queue q ON q.job = j.job AND q.requestor = ?4
                  AND q.occurred_at >= ?1 AND q.occurred_at < ?2
             JOIN events e ON e.seq = q.seq GROUP BY 2, 3, 5";
        let values = (self.question.from, self.question.to, QUARTER_NANOS, requestor);
        each(self.connection(), select, values, |row| self.tell_row(row, Standing::Pending))
    }

    /// Dead, held and discarded units, and pending ones in bulk files that Adobe may have.
    fn set_aside(&mut self) -> Result<()> {
        // CROSS JOIN makes SQLite start with the few rows of `aside`. Otherwise it reads every event.
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

    /// What was delivered so recently that Analytics may not show it yet. `delivered` is in the order of recording,
    /// so only its end is read. Events that a person settled (no `run`) are left out: they reached Analytics earlier.
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

    /// Attempts of unknown outcome. With an event ID, an event counts once however often it was sent. Without it,
    /// each attempt may have counted. If a person says that an event was delivered, one of its attempts delivered it.
    fn doubted(&mut self) -> Result<()> {
        let span = self.question.from..self.question.to;
        each_doubted(self.connection(), |doubted| {
            let Some(kind) =
                EventKind::from_slot(doubted.slot).filter(|_| span.contains(&doubted.occurred_at))
            else {
                return;
            };
            let is_delivered = doubted.state == "delivered";
            // If a person says that the event was delivered, one of its attempts is not in doubt.
            let is_vouched = is_delivered && doubted.is_settled;
            let others = u64::from(doubted.attempts) - u64::from(is_vouched);
            let (ambiguous, repeated) = match (doubted.repeat_is_exact, is_delivered) {
                (true, true) => (0, others),
                (true, false) => (1, others - 1),
                (false, _) => (others, 0),
            };
            let at = Instant::of_quarter(doubted.occurred_at.unix_quarter());
            let mvpd = doubted.mvpd.as_deref().unwrap_or_default();
            for (times, standing) in [
                (u64::from(is_vouched), Standing::Vouched),
                (ambiguous, Standing::Ambiguous),
                (repeated, Standing::Repeated),
            ] {
                let units = u64::from(doubted.count) * times;
                if units > 0 {
                    self.tell(StandingUnits {
                        requestor: doubted.requestor,
                        mvpd,
                        kind,
                        at,
                        standing,
                        units,
                    });
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

    /// The hours for which the ledger has other sums than the metrics.
    fn incomplete(&self) -> Result<BTreeSet<(RequestorKey, Instant)>> {
        let Some(whole_from) = self.metrics.whole_from()? else { return Ok(BTreeSet::new()) };
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
