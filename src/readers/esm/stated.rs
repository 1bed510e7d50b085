//! A report as it stands: what ESM says that it counted, whoever had it before. For comparing, where no event is to be made.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

use super::fields::REJECTED;
use super::passes::Passes;
use super::record::{Count, Grouping};
use super::report::{self, Record};
use super::time::{Pass, day_alone, end, local_time};
use crate::config::EsmConfig;
use crate::event::{EventKind, Instant, RequestorId};
use crate::readers::line::RejectReason;
use crate::readers::memory::{Keyring, MemoryKey};

/// What a report says.
pub struct StatedReport {
    records: Vec<Record>,
    passes: Passes,
    grouping: Grouping,
    keyring: Keyring,
    /// The limit of rows that it has reached: there may be more that it does not show.
    pub truncated_at: Option<u64>,
}

/// A count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedCount {
    pub requestor_id: RequestorId,
    /// Of which MVPD; empty: none.
    pub mvpd: String,
    pub kind: EventKind,
    /// Whether it is of what Adobe refused as an attack, which has a metric of its own.
    pub is_rejected: bool,
    pub time: StatedTime,
    pub total: u64,
    /// What tells it from other counts: its metric, requestor, time and dimensions.
    pub identity: MemoryKey,
    /// Its identity if it is of the second of two hours that the clock shows alike, where nothing says which.
    pub or_identity: Option<MemoryKey>,
}

/// The time that a count is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatedTime {
    /// An hour or a minute: when it begins and ends.
    Span(Instant, Instant),
    /// A whole day on the clock of the reports.
    Day(NaiveDate),
}

impl StatedReport {
    /// Reads a report in any of its forms, by minute, by hour or by day; where it breaks, in lines from 1, and what is wrong.
    pub fn read(document: &[u8], config: &EsmConfig) -> Result<StatedReport, (u64, String)> {
        let report = report::read(document)?;
        // Rejections are read in any case, and told apart by their metric.
        let config = EsmConfig { rejected_is_failed: true, ..config.clone() };
        let grouping = Grouping::of(&report.records, config);
        let passes = grouping.passes(&report.records)?;
        let truncated_at = report.reached_limit;
        Ok(StatedReport {
            records: report.records,
            passes,
            grouping,
            keyring: Keyring::new(b""),
            truncated_at,
        })
    }

    /// What it groups by, as messages name it.
    pub fn grouping(&self) -> &str {
        self.grouping.name()
    }

    /// Whether it tells MVPDs apart.
    pub fn has_mvpd(&self) -> bool {
        self.grouping.has("mvpd")
    }

    /// Its counts, those of zero too; of a record that cannot be read, its number and why.
    pub fn counts(&self) -> impl Iterator<Item = Result<StatedCount, (u64, String)>> {
        self.records.iter().zip(&self.passes.of).flat_map(|(record, pass)| {
            match self.counts_of(record, *pass) {
                Ok(counts) => counts.into_iter().map(Ok).collect(),
                Err(why) => vec![Err((record.number, why.to_string()))],
            }
        })
    }

    fn counts_of(&self, record: &Record, pass: Pass) -> Result<Vec<StatedCount>, RejectReason> {
        if let Some(date) = day_alone(record)? {
            // No event could carry them: for their identity they occur at midnight UTC of that date.
            let midnight = Instant::from(date.and_time(NaiveTime::MIN).and_utc());
            let counts = self.grouping.counts_at(record, midnight)?;
            return Ok(counts.into_iter().map(|count| self.state(count, StatedTime::Day(date))).collect());
        }
        let state = |count: Count| {
            let from = count.occurred_at;
            self.state(count, StatedTime::Span(from, end(record, from)))
        };
        let mut stated: Vec<StatedCount> =
            self.grouping.counts(record, pass)?.into_iter().map(state).collect();
        if pass == Pass::Unknown {
            let second = self.grouping.counts(record, Pass::Second)?;
            for (count, second) in stated.iter_mut().zip(second) {
                count.or_identity = Some(state(second).identity);
            }
        }
        Ok(stated)
    }

    fn state(&self, count: Count, time: StatedTime) -> StatedCount {
        let kind_of_count = if matches!(time, StatedTime::Day(_)) { "count of a day" } else { "count" };
        StatedCount {
            identity: count.key(&self.keyring, kind_of_count),
            or_identity: None,
            mvpd: count.dimensions.get("mvpd").cloned().unwrap_or_default(),
            is_rejected: count.metric == REJECTED,
            kind: count.kind,
            time,
            total: count.total,
            requestor_id: count.requestor_id,
        }
    }
}

/// Why a report in JSON is not the one that was asked for: grouped by these dimensions beneath the day or the hour, of the times from
/// the first to before the second. To take it would close those hours with counts of other ones, or of too few.
pub fn mismatch<'a>(
    document: &[u8],
    dimensions: impl Iterator<Item = &'a str> + Clone,
    (from, to): (NaiveDateTime, NaiveDateTime),
) -> Option<String> {
    let report = match report::read_json(document) {
        Ok(report) => report,
        Err((line, why)) => return Some(format!("it is no report in JSON: line {line}: {why}")),
    };
    for record in &report.records {
        let number = record.number;
        let mut asked = ["year", "month", "day", "hour"].into_iter().chain(dimensions.clone());
        if let Some(name) = asked.find(|name| !record.has_name(name)) {
            return Some(format!("record {number} has no {name}"));
        }
        if !local_time(record).is_ok_and(|at| (from..to).contains(&at)) {
            return Some(format!("record {number} is of another time"));
        }
    }
    None
}
