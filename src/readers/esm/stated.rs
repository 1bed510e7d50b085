//! A report as it stands: what ESM says that it counted, whoever had it before. For comparing, where no event is to be made.

use std::collections::HashMap;

use chrono::{NaiveDate, TimeDelta};

use super::record::{self, Count, Grouping, Pass, REJECTED};
use super::report::{self, Record};
use super::summary::EsmSummary;
use crate::config::EsmConfig;
use crate::event::{EventKind, Instant, RequestorId};

/// What a report says.
#[derive(Debug, Clone, Default)]
pub struct StatedReport {
    /// Its counts, those of zero too.
    pub counts: Vec<StatedCount>,
    /// What it groups by, as messages name it.
    pub grouping: String,
    /// Whether it tells MVPDs apart.
    pub has_mvpd: bool,
    /// The first record that could not be read, and why; how many there were.
    pub unread: Option<(u64, String, u64)>,
    /// The limit of rows that it has reached: there may be more that it does not show.
    pub truncated_at: Option<u64>,
}

/// A count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedCount {
    /// Of whom.
    pub requestor_id: RequestorId,
    /// Of which MVPD; empty: none.
    pub mvpd: String,
    /// Of which event.
    pub kind: EventKind,
    /// Whether it is of what Adobe refused as an attack, which has a metric of its own.
    pub is_rejected: bool,
    /// Of when.
    pub time: StatedTime,
    /// How many.
    pub total: u64,
    /// What tells it from other counts: its metric, requestor, time and dimensions.
    pub identity: String,
}

/// The time that a count is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatedTime {
    /// An hour or a minute: when it begins and ends.
    Span(Instant, Instant),
    /// A whole day on the clock of the reports.
    Day(NaiveDate),
}

/// Reads a report in any of its forms, by minute, by hour or by day; where it breaks, in lines from 1, and what is wrong.
pub fn stated(document: &[u8], config: &EsmConfig) -> Result<StatedReport, (u64, String)> {
    let report = report::read(document)?;
    let grouping = Grouping::of(&report.records, config);
    let passes = grouping.passes(&report.records, config)?;
    // Rejections are read in any case, and told apart by their metric.
    let config = EsmConfig { rejected_is_failed: true, ..config.clone() };
    let mut stated = StatedReport {
        grouping: grouping.name().to_owned(),
        has_mvpd: grouping.has("mvpd"),
        truncated_at: report.reached_limit,
        ..StatedReport::default()
    };
    let mut known: HashMap<String, u64> = HashMap::new();
    for (record, pass) in report.records.iter().zip(passes) {
        let counts = match counts_of(&grouping, record, &config, pass) {
            Ok(counts) => counts,
            Err(why) => {
                let (_, _, times) = stated.unread.get_or_insert((record.number, why, 0));
                *times += 1;
                continue;
            }
        };
        for count in counts {
            // A page that stands there twice says the same twice.
            if *known.entry(count.identity.clone()).or_insert(count.total) != count.total {
                let what = "counts what another record counts otherwise: the report groups by something that is neither a known \
                            dimension nor a metric; name it in esm.dimensions";
                return Err((record.number, what.to_owned()));
            }
            stated.counts.push(count);
        }
    }
    Ok(stated)
}

fn counts_of(
    grouping: &Grouping,
    record: &Record,
    config: &EsmConfig,
    pass: Pass,
) -> Result<Vec<StatedCount>, String> {
    let mut summary = EsmSummary::default();
    let date = record::day_alone(record).map_err(|why| why.to_string())?;
    let (time, counts) = match date {
        Some(date) => (StatedTime::Day(date), grouping.counts_of_day(record, config, date, &mut summary)),
        None => {
            let from = record::instant(record, config, pass).map_err(|why| why.to_string())?;
            let has_minute = record.fields.get("minute").is_some_and(|minute| !minute.trim().is_empty());
            let length = if has_minute { TimeDelta::minutes(1) } else { TimeDelta::hours(1) };
            let to = from.nanos() + length.num_nanoseconds().unwrap_or(0);
            (
                StatedTime::Span(from, Instant::from_nanos(to)),
                grouping.counts(record, config, pass, &mut summary),
            )
        }
    };
    let counts = counts.map_err(|why| why.to_string())?;
    Ok(counts.into_iter().map(|count| state(count, time)).collect())
}

fn state(count: Count, time: StatedTime) -> StatedCount {
    let mut identity = format!("{}\n{}\n{time:?}", count.metric, count.requestor_id);
    for (name, value) in &count.dimensions {
        identity.push_str(&format!("\n{name}={value}"));
    }
    StatedCount {
        mvpd: count.dimensions.get("mvpd").cloned().unwrap_or_default(),
        is_rejected: count.metric == REJECTED,
        requestor_id: count.requestor_id,
        kind: count.kind,
        time,
        total: count.total,
        identity,
    }
}
