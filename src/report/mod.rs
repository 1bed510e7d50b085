//! The server-side metrics of a period, with the meaning that Adobe Pass gives them.
//!
//! - In: a buffer, a period, a time zone, what to group by. Out: a [`Report`], the very value that text, CSV, JSON and the page
//!   print.
//! - Guarantees: an event counts in the quarter hour of its `occurred_at`, as often as its `count` says, from ingest on and
//!   whatever became of it since; a user counts once in whatever is asked for, never as a sum of parts; memory does not grow
//!   with the events.
//! - Does not know: SQL, what was sent, what Analytics shows (`reconcile` compares).
//! - Rules: "Understanding Server-side Metrics" of Adobe Pass Authentication.

mod cell;
mod count;
mod csv;
mod figures;
mod left;
mod note;
mod page;
mod period;
mod rows;
mod stated;

use chrono::DateTime;

pub use csv::csv;
pub use figures::{Column, Dimension, Failure, Figures, Note, Others, Report, Row};
pub use page::page;
pub use period::{Period, PeriodError};

use crate::buffer::{Buffer, BufferError, MetricGroup, MetricsReader};
use crate::event::{Instant, Property};
use count::Counting;
use stated::{Sources, Statements};

/// What to report.
#[derive(Debug, Clone)]
pub struct ReportOptions {
    /// From when until before when, on which clock.
    pub period: Period,
    /// Only these requestors; empty: all.
    pub requestors: Vec<String>,
    /// By what rows are grouped; empty: no rows.
    pub by: Vec<Dimension>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error(transparent)]
    Buffer(#[from] BufferError),
    #[error("no event of requestor {requestor_id:?} was ever stored")]
    UnknownRequestor {
        requestor_id: String,
        /// Those of which something was.
        known: Vec<String>,
    },
    #[error("by {} there are more than half a million rows", by.join(", "))]
    TooManyRows {
        /// What it was grouped by.
        by: Vec<&'static str>,
    },
}

impl Dimension {
    /// Its name: that of the property, or `day` or `hour`.
    pub fn name(self) -> &'static str {
        match self {
            Dimension::Day => "day",
            Dimension::Hour => "hour",
            Dimension::Property(property) => property.name(),
        }
    }

    /// The dimension with this name, in which `-` stands for `_`: `day`, `hour`, or a property that is reported as an eVar.
    /// `requestor` and `device` are short for `requestor_id` and `device_type`, `reason` for `authz_error_type`.
    pub fn from_name(name: &str) -> Option<Dimension> {
        let name = name.replace('-', "_");
        let property = match name.as_str() {
            "day" => return Some(Dimension::Day),
            "hour" => return Some(Dimension::Hour),
            "requestor" => Property::RequestorId,
            "device" => Property::DeviceType,
            "reason" => Property::AuthzErrorType,
            name => Property::from_name(name)?,
        };
        property.evar().is_some().then_some(Dimension::Property(property))
    }
}

/// Counts the metrics of a period.
pub fn report(buffer: &Buffer, options: &ReportOptions) -> Result<Report, ReportError> {
    let ReportOptions { period, requestors, by } = options;
    let reader = buffer.metrics()?;
    let groups = reader.groups()?;
    refuse_unknown(requestors, &groups)?;
    let is_kept = by.iter().all(|dimension| count::is_kept(*dimension));
    let kept = Some(by.as_slice()).filter(|by| is_kept && !by.is_empty());
    let (sources, now) = (Sources::read(&reader)?, buffer.now());
    let statements = Statements::read(&reader, period, &sources)?;
    let mut counting = Counting::new(&groups, requestors, period, kept, &sources);
    counting.read(&reader)?;
    let mut remarks = remarks(&reader, period, now)?;
    remarks.extend(without_users(&counting.requestors_of_sums(), &statements));
    let mut counted = counting.finish(&statements, now)?;
    remarks.extend(counted.spellings.iter().map(|spellings| spelled(spellings)));
    let units = counted.total.units_of_all();
    if units == 0 {
        remarks.extend(nothing(&reader, period)?);
    }
    let mut rows_note = String::new();
    if !is_kept {
        let rows = left::count(&reader, requestors, period, by, &sources)?;
        rows_note = of_left(&reader, by, rows.units(), units)?;
        counted.rows = rows.finish(&statements, now)?;
    }
    let mut report = Report {
        from: period.from_text(),
        to: period.to_text(),
        timezone: period.zone().name().to_owned(),
        requestors: requestors.clone(),
        by: by.iter().map(|dimension| dimension.name().to_owned()).collect(),
        total: counted.total_figures,
        mvpds: counted.mvpds,
        others: counted.others,
        rows: counted.rows,
        rows_note,
        trend: counted.trend,
        failures: counted.failures,
        notes: Vec::new(),
        remarks,
    };
    report.notes = note::of(&report, period.is_months_until(now));
    Ok(report)
}

fn refuse_unknown(requestors: &[String], groups: &[MetricGroup]) -> Result<(), ReportError> {
    let unknown = requestors.iter().find(|wanted| groups.iter().all(|group| group.requestor_id != **wanted));
    let Some(requestor_id) = unknown else { return Ok(()) };
    let mut known: Vec<String> = groups.iter().map(|group| group.requestor_id.clone()).collect();
    known.sort_unstable();
    known.dedup();
    Err(ReportError::UnknownRequestor { requestor_id: requestor_id.clone(), known })
}

/// What is otherwise than one would think.
fn remarks(reader: &MetricsReader, period: &Period, now: Instant) -> Result<Vec<String>, ReportError> {
    let mut remarks = Vec::new();
    if period.to() > now {
        remarks.push(format!(
            "The period ends at {}: what is still to come is no data, and the day and hour that are going on are partial.",
            period.to_text()
        ));
    }
    if let Some(whole_from) = reader.whole_from()?.filter(|whole_from| period.from() < *whole_from) {
        remarks.push(format!(
            "Before {} metrics are not whole: when this release first opened the buffer, events of that time had been deleted \
             already.",
            on_clock(whole_from, period)
        ));
    }
    Ok(remarks)
}

/// That users of these requestors are not known, and where ESM said how many accounts it saw.
fn without_users(requestors: &[&str], statements: &Statements<'_>) -> Option<String> {
    let all = (!requestors.is_empty()).then(|| requestors.join(", "))?;
    let stated = match statements.is_empty() {
        true => "",
        false => {
            " What ESM stated as unique accounts stands where it stated it of exactly one requestor, MVPD and time \
                  (--by requestor --by mvpd --by hour, where its reports are by hour); it cannot be added up."
        }
    };
    Some(format!(
        "Unique users of {all} are not known, so they are empty wherever its events count: they come from ESM reports, which name \
         no users.{stated}"
    ))
}

/// That several spellings were counted as one MVPD.
fn spelled(spellings: &[String]) -> String {
    let others: Vec<String> = spellings[1..].iter().map(|spelling| format!("{spelling:?}")).collect();
    format!(
        "{:?} is also spelled {}: counted as one MVPD, as Analytics does.",
        spellings[0],
        others.join(", ")
    )
}

/// A text as Analytics compares values: without its case.
fn folded(text: &str) -> String {
    text.to_lowercase()
}

/// Why a report without an event may be one of the wrong period.
fn nothing(reader: &MetricsReader, period: &Period) -> Result<Option<String>, ReportError> {
    let at = |hour: i64| on_clock(Instant::from_nanos(hour.saturating_mul(3_600_000_000_000)), period);
    Ok(Some(match reader.span()? {
        Some((first, last)) => format!(
            "Nothing was counted in this period. The buffer has events from {} to {}: choose another with --period or --from.",
            at(first),
            at(last + 1)
        ),
        None => "Nothing was counted: no event was ever stored in this buffer.".to_owned(),
    }))
}

/// That rows were read from the events that are left.
fn of_left(reader: &MetricsReader, by: &[Dimension], of: u64, units: u64) -> Result<String, ReportError> {
    let properties: Vec<&str> =
        by.iter().filter(|each| !count::is_kept(**each)).map(|each| each.name()).collect();
    let since = match reader.events_whole_from()? {
        None => "all of them are there".to_owned(),
        Some(whole_from) => {
            format!("before {whole_from} some are gone, by retention or erasure")
        }
    };
    Ok(format!(
        "These rows, by {}, are made of the events that the buffer still has: {of} of {units} units of this period; {since}.",
        properties.join(", ")
    ))
}

fn on_clock(at: Instant, period: &Period) -> String {
    let local = DateTime::<chrono::Utc>::from(at).with_timezone(&period.zone());
    local.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
