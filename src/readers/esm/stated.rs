//! All counts that an ESM report states, new or not. They are only compared; they make no events.

use chrono::NaiveDateTime;

use super::fields::{METRICS, REJECTED, is_dimension};
use super::record::{Count, Grouping};
use super::report::{self, Record};
use super::time::{Pass, local_time, span};
use crate::config::EsmConfig;
use crate::event::{EventKind, Instant, RequestorId};
use crate::readers::line::RejectReason;
use crate::readers::memory::{Keyring, MemoryKey};

/// The counts of a report.
pub struct StatedReport {
    records: Vec<Record>,
    passes: Vec<Pass>,
    grouping: Grouping,
    /// The metrics for which at least one record has a number.
    metrics: Vec<(&'static str, EventKind)>,
    keyring: Keyring,
    /// The limit of rows, if the report has reached it. The report may then lack rows.
    pub truncated_at: Option<u64>,
}

/// One count that ESM states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedCount {
    pub requestor_id: RequestorId,
    /// The MVPD; empty if the count has none.
    pub mvpd: String,
    pub kind: EventKind,
    /// Whether the count is of requests that Adobe refused as an attack. ESM has a separate metric for them.
    pub is_rejected: bool,
    /// The start and the end of its minute, hour, day or month.
    pub from: Instant,
    pub to: Instant,
    /// `None` if the record has this metric without a number, though other records of the report have a number.
    pub total: Option<u64>,
    /// The identity of the count: a digest of its metric, requestor, time and dimensions.
    pub identity: MemoryKey,
    /// The identity of the count in the second hour, if nothing shows to which of two hours the count belongs.
    pub or_identity: Option<MemoryKey>,
}

impl StatedReport {
    /// Reads a report in any of its forms, by minute, hour, day or month. An error has a line number, from 1, and a reason.
    pub fn read(document: &[u8], config: &EsmConfig) -> Result<StatedReport, (u64, String)> {
        let report = report::read(document)?;
        // Counts of refused attacks are always read; `is_rejected` marks them.
        let config = EsmConfig { rejected_is_failed: true, ..config.clone() };
        let grouping = Grouping::of(&report.records, config);
        let passes = grouping.passes(&report.records)?.all;
        let truncated_at = report.reached_limit;
        let has_number = |name: &str| {
            report.records.iter().any(|record| grouping.numbers(record).any(|(known, _)| known == name))
        };
        let metrics = METRICS.into_iter().filter(|(name, _)| has_number(name)).collect();
        Ok(StatedReport {
            records: report.records,
            passes,
            grouping,
            metrics,
            keyring: Keyring::new(b""),
            truncated_at,
        })
    }

    pub fn grouping(&self) -> &str {
        self.grouping.name()
    }

    pub fn has_mvpd(&self) -> bool {
        self.grouping.has("mvpd")
    }

    /// All counts, also those that are 0. A record that cannot be read gives its number and the reason.
    pub fn counts(&self) -> impl Iterator<Item = Result<StatedCount, (u64, String)>> {
        self.records.iter().zip(&self.passes).flat_map(|(record, pass)| match self.counts_of(record, *pass) {
            Ok(counts) => counts.into_iter().map(Ok).collect(),
            Err(why) => vec![Err((record.number, why.to_string()))],
        })
    }

    fn counts_of(&self, record: &Record, pass: Pass) -> Result<Vec<StatedCount>, RejectReason> {
        if pass == Pass::Repeated {
            return Ok(Vec::new());
        }
        if let Pass::Sum(dimension) = pass {
            return Err(RejectReason::Esm(self.grouping.sum(record, dimension)));
        }
        let state = |pass: Pass| -> Result<Vec<StatedCount>, RejectReason> {
            let (from, to) = span(record, &self.grouping.config, pass)?;
            let counts = self.grouping.counts_at(record, from)?;
            let nothing = self.grouping.nothing_at(record, from)?;
            // A record without the metric means that nothing happened. A blank metric means that this is unknown.
            let is_lacking = |(metric, _): &&(&str, _)| {
                record.has_name(metric) && !counts.iter().any(|count| count.metric == *metric)
            };
            let lacking = self.metrics.iter().filter(is_lacking);
            let lacking: Vec<StatedCount> = lacking
                .map(|(metric, kind)| Count { metric, kind: *kind, ..nothing.clone() })
                .map(|count| StatedCount { total: None, ..self.state(count, from, to) })
                .collect();
            let stated = counts.into_iter().map(|count| self.state(count, from, to));
            Ok(stated.chain(lacking).collect())
        };
        let mut stated = state(pass)?;
        if pass == Pass::Unknown {
            for (count, second) in stated.iter_mut().zip(state(Pass::Second)?) {
                count.or_identity = Some(second.identity);
            }
        }
        Ok(stated)
    }

    fn state(&self, count: Count, from: Instant, to: Instant) -> StatedCount {
        StatedCount {
            identity: count.key(&self.keyring),
            or_identity: None,
            mvpd: count.dimensions.get("mvpd").cloned().unwrap_or_default(),
            is_rejected: count.metric == REJECTED,
            kind: count.kind,
            from,
            to,
            total: Some(count.total),
            requestor_id: count.requestor_id,
        }
    }
}

/// Checks that a report in JSON is the requested one: each record has exactly the dimensions of `esm.group_by`, is of
/// one of `requestors` unless that is empty, and has an hour from `from` until before `to`; and no dimension is blank
/// in all records. Returns the limit of rows, the report's own or `esm.rows`, if the report has reached it. An error
/// says why it is another report.
pub fn checked(
    document: &[u8],
    config: &EsmConfig,
    requestors: &[String],
    (from, to): (NaiveDateTime, NaiveDateTime),
) -> Result<Option<u64>, String> {
    if document.trim_ascii().is_empty() {
        return Err("it is empty".to_owned());
    }
    let report = report::read_json(document)
        .map_err(|(line, why)| format!("it is no report in JSON: line {line}: {why}"))?;
    let asked = || config.group_by.split('/');
    for record in &report.records {
        let number = record.number;
        let mut names = ["year", "month", "day", "hour"].into_iter().chain(asked());
        if let Some(name) = names.find(|name| !record.has_name(name)) {
            return Err(format!("record {number} has no {name}"));
        }
        // The counts of finer records would be taken for those of whole groups.
        let is_finer = |name: &&String| {
            (*name == "minute" || is_dimension(name, config)) && !asked().any(|asked| asked == *name)
        };
        if let Some(name) = record.names().iter().find(is_finer) {
            return Err(format!("record {number} has {name}, by which it was not asked for"));
        }
        let requestor = record.field("requestor-id").unwrap_or_default();
        if !requestors.is_empty() && !requestors.iter().any(|asked| asked == requestor) {
            return Err(format!("record {number} is of another requestor"));
        }
        if !local_time(record).is_ok_and(|at| (from..to).contains(&at)) {
            return Err(format!("record {number} is of another time"));
        }
    }
    if let Some(name) = report::nameless(&report.records, asked()) {
        return Err(format!("no record says its {name}"));
    }
    let (rows, rows_max) = (report.records.len() as u64 + report.repeated, u64::from(config.rows));
    Ok(report.reached_limit.or((rows >= rows_max).then_some(rows_max)))
}
