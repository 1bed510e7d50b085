//! A report as it stands: what ESM says that it counted, whoever had it before. For comparing, where no event is to be made.

use chrono::{NaiveDate, TimeDelta};

use super::passes::Passes;
use super::record::{self, Count, Grouping, Pass, REJECTED};
use super::report::{self, Record};
use super::summary::EsmSummary;
use crate::config::EsmConfig;
use crate::event::{EventKind, Instant, RequestorId};
use crate::readers::memory::{Keyring, MemoryKey};

/// What a report says.
pub struct StatedReport {
    records: Vec<Record>,
    passes: Passes,
    grouping: Grouping,
    /// With rejections, which are read in any case and told apart by their metric.
    config: EsmConfig,
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
        let grouping = Grouping::of(&report.records, config);
        let passes = grouping.passes(&report.records, config)?;
        let config = EsmConfig { rejected_is_failed: true, ..config.clone() };
        let keyring = Keyring::new(b"");
        let truncated_at = report.reached_limit;
        Ok(StatedReport { records: report.records, passes, grouping, config, keyring, truncated_at })
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
                Err(why) => vec![Err((record.number, why))],
            }
        })
    }

    fn counts_of(&self, record: &Record, pass: Pass) -> Result<Vec<StatedCount>, String> {
        let StatedReport { grouping, config, .. } = self;
        let mut summary = EsmSummary::default();
        let told = |why: super::RejectReason| why.to_string();
        if let Some(date) = record::day_alone(record).map_err(told)? {
            let counts = grouping.counts_of_day(record, config, date, &mut summary).map_err(told)?;
            return Ok(counts.into_iter().map(|count| self.state(count, StatedTime::Day(date))).collect());
        }
        let length =
            if record.field("minute").is_some() { TimeDelta::minutes(1) } else { TimeDelta::hours(1) };
        let counts = grouping.counts(record, config, pass, &mut summary).map_err(told)?;
        let state = |count: Count| {
            let from = count.occurred_at;
            let to = Instant::from_nanos(from.nanos() + length.num_nanoseconds().unwrap_or(0));
            self.state(count, StatedTime::Span(from, to))
        };
        let mut stated: Vec<StatedCount> = counts.into_iter().map(state).collect();
        if pass == Pass::Unknown {
            let second = grouping.counts(record, config, Pass::Second, &mut summary).map_err(told)?;
            for (count, second) in stated.iter_mut().zip(second) {
                count.or_identity = Some(state(second).identity);
            }
        }
        Ok(stated)
    }

    fn state(&self, count: Count, time: StatedTime) -> StatedCount {
        let is_day: &[u8] = if matches!(time, StatedTime::Day(_)) { b"day" } else { b"" };
        let mut parts = vec![
            count.metric.as_bytes(),
            count.requestor_id.as_str().as_bytes(),
            &count.occurred_at_bytes,
            is_day,
        ];
        for (name, value) in &count.dimensions {
            parts.extend([name.as_bytes(), value.as_bytes()]);
        }
        StatedCount {
            identity: self.keyring.derived("stated", &parts),
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
