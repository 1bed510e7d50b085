//! A report as it stands: all counts that ESM states, new or not. It serves comparisons, where no event is made.

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

/// The counts of a report.
pub struct StatedReport {
    records: Vec<Record>,
    passes: Passes,
    grouping: Grouping,
    keyring: Keyring,
    /// The limit of rows, if the report has reached it: it may then lack rows.
    pub truncated_at: Option<u64>,
}

/// One count that ESM states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedCount {
    pub requestor_id: RequestorId,
    /// The MVPD; empty if the count has none.
    pub mvpd: String,
    pub kind: EventKind,
    /// Whether it counts requests that Adobe refused as an attack, which have a metric of their own.
    pub is_rejected: bool,
    pub time: StatedTime,
    pub total: u64,
    /// The identity of the count: a digest of its metric, requestor, time and dimensions.
    pub identity: MemoryKey,
    /// If nothing shows which of two hours the count belongs to: its identity in the second hour.
    pub or_identity: Option<MemoryKey>,
}

/// The time of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatedTime {
    /// The begin and the end of an hour or a minute.
    Span(Instant, Instant),
    /// A whole day, on the clock of the reports.
    Day(NaiveDate),
}

impl StatedReport {
    /// Reads a report in any of its forms, by minute, hour or day. An error has a line number, from 1, and a reason.
    pub fn read(document: &[u8], config: &EsmConfig) -> Result<StatedReport, (u64, String)> {
        let report = report::read(document)?;
        // Rejections are always read; `is_rejected` marks their counts.
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

    /// The granularity and dimensions, as messages show them.
    pub fn grouping(&self) -> &str {
        self.grouping.name()
    }

    /// Whether the report distinguishes MVPDs.
    pub fn has_mvpd(&self) -> bool {
        self.grouping.has("mvpd")
    }

    /// All counts, also zeros. A record that cannot be read gives its number and the reason.
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
            // A count of a day becomes no event. For its identity it occurs at midnight UTC of that date.
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

/// Why a report in JSON is not the requested one: it must have these dimensions below the day or the hour, and times
/// from `from` to before `to`. A wrong report would close those hours with counts of other hours, or with too few.
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
