//! The server-side metrics of a period, with the meaning that Adobe Pass gives them.
//!
//! - In: the metrics of a buffer, a period, a time zone, what to group by. Out: a [`Report`] to print as text, CSV,
//!   JSON or a page.
//! - Guarantees: an event counts as soon as it is ingested, in any state; only discarded ones can be left out. It
//!   counts in the quarter hour of its `occurred_at`, with as many units as its `count` says. A user counts once in
//!   each figure, so numbers of users are never added up. Memory does not grow with the number of events.
//! - Does not know: SQL, which events were sent, what Analytics shows (`reconcile` compares that).
//! - Rules: "Understanding Server-side Metrics" of Adobe Pass Authentication.

mod cell;
mod count;
mod csv;
mod dimension;
mod figures;
mod metric;
mod name;
mod number;
mod page;
mod period;
mod remark;
mod source;
mod stated;
mod table;

pub use csv::csv;
pub use dimension::Dimension;
pub use figures::{Column, Failure, Figures, Note, Others, Report, Row};
pub use number::{percent, thousands};
pub use page::page;
pub use period::{Period, PeriodError, ReportError};
pub use source::Metrics;

use std::collections::BTreeSet;

use crate::buffer::{Discarded, MetricGroup};
use crate::event::Instant;
use count::{Counting, is_kept};
use stated::{Sources, Statements};

/// What to report.
#[derive(Debug, Clone)]
pub struct ReportOptions {
    pub period: Period,
    /// Limits the report to these requestors; empty: all.
    pub requestors: Vec<String>,
    /// The dimensions of the rows; empty: no rows.
    pub by: Vec<Dimension>,
    pub discarded: Discarded,
}

/// Counts the metrics of a period. `now` is the present time.
pub fn report(reader: &Metrics, now: Instant, options: &ReportOptions) -> Result<Report, ReportError> {
    let ReportOptions { period, requestors, by, discarded } = options;
    if period.from() > now {
        return Err(ReportError::ToCome { from: period.from_text() });
    }
    let groups = reader.groups()?;
    let sources = Sources::read(reader, &groups, period, requestors)?;
    refuse_unknown(requestors, &groups, &sources)?;
    let is_kept = by.iter().all(|dimension| is_kept(*dimension));
    let kept = Some(by.as_slice()).filter(|by| is_kept && !by.is_empty());
    let statements = Statements::read(reader, period, requestors, &sources)?;
    let mut counting = Counting::new(&groups, requestors, period, kept, &sources);
    counting.read(reader, &statements, *discarded, now)?;
    let mut remarks = remark::of_period(reader, period, now)?;
    remarks.extend(remark::with_discarded(counting.discarded_units, *discarded));
    remarks.extend(remark::with_old_users(reader, period, requestors)?);
    remarks.extend(remark::without_users(&counting, &statements));
    remarks.extend(remark::without_columns(&sources));
    remarks.extend(counting.spellings().iter().map(|spellings| remark::spelled(spellings)));
    let login_days = counting.login_days();
    let mut report = counting.finish(&statements, now)?;
    let units = report.total.units_of_all();
    if units == 0 {
        remarks.push(remark::nothing(reader, period)?);
    }
    if !is_kept {
        let rows = count::of_events(reader, (requestors, period), by, *discarded, &sources)?;
        report.rows_note = remark::of_left(reader, by, rows.units(), units)?;
        report.rows = rows.finish(&statements, now)?;
    }
    Ok(Report {
        from: period.from_text(),
        to: period.to_text(),
        timezone: period.zone().name().to_owned(),
        requestors: requestors.clone(),
        without_discarded: *discarded == Discarded::LeftOut,
        by: by.iter().map(|dimension| dimension.name().to_owned()).collect(),
        notes: remark::of_figures(&report.total, &report.mvpds, &login_days, &period.days()),
        partial: period.to() > now,
        remarks,
        ..report
    })
}

fn refuse_unknown(
    requestors: &[String],
    groups: &[MetricGroup],
    sources: &Sources,
) -> Result<(), ReportError> {
    let is_counted = |id: &str| groups.iter().any(|group| group.requestor_id == id);
    let unknown = requestors.iter().find(|wanted| !is_counted(wanted) && !sources.of(wanted).is_esm);
    let Some(requestor_id) = unknown else { return Ok(()) };
    let known: BTreeSet<String> = groups.iter().map(|group| group.requestor_id.clone()).collect();
    let known = known.into_iter().collect();
    Err(ReportError::UnknownRequestor { requestor_id: requestor_id.clone(), known })
}
