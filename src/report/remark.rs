//! Sentences that a reader needs to understand the figures of a report.

use std::collections::BTreeSet;

use super::count::{Counting, is_kept};
use super::dimension::Dimension;
use super::error::ReportError;
use super::period::Period;
use super::stated::Statements;
use crate::buffer::MetricsReader;
use crate::event::Instant;

/// Says that the period is not over, or that some of its events were deleted before they were counted.
pub(super) fn of_period(
    reader: &MetricsReader,
    period: &Period,
    now: Instant,
) -> Result<Vec<String>, ReportError> {
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
            period.on_clock(whole_from)
        ));
    }
    Ok(remarks)
}

/// Says whose users are not known, and where the report shows the accounts that ESM stated.
pub(super) fn without_users(counting: &Counting<'_>, statements: &Statements<'_>) -> Option<String> {
    let stated =
        statements.all().filter(|(_, source)| source.is_esm).map(|(one, _)| one.requestor_id.as_str());
    let requestors: BTreeSet<&str> = counting.requestors_of_sums().chain(stated).collect();
    let all = (!requestors.is_empty()).then(|| Vec::from_iter(requestors).join(", "))?;
    let stated = if statements.is_empty() {
        ""
    } else {
        " What ESM stated as unique accounts stands where it stated it of exactly one requestor, MVPD and time \
         (--by requestor --by mvpd --by hour, where its reports are by hour); it cannot be added up."
    };
    Some(format!(
        "Unique users of {all} are not known, so they are empty wherever its events count: they come from ESM reports, which name \
         no users.{stated}"
    ))
}

pub(super) fn spelled(spellings: &[String]) -> String {
    let others: Vec<String> = spellings[1..].iter().map(|spelling| format!("{spelling:?}")).collect();
    let (first, others) = (&spellings[0], others.join(", "));
    format!("{first:?} is also spelled {others}: counted as one MVPD, as Analytics does.")
}

/// Says for a report without events which time has events.
pub(super) fn nothing(reader: &MetricsReader, period: &Period) -> Result<String, ReportError> {
    let Some((first, last)) = reader.span()? else {
        return Ok("Nothing was counted: no event was ever stored in this buffer.".to_owned());
    };
    let [from, to] =
        [first, last + 1].map(|hour| period.on_clock(Instant::of_quarter(hour.saturating_mul(4))));
    Ok(format!(
        "Nothing was counted in this period. The buffer has events from {from} to {to}: choose another with --period or --from."
    ))
}

/// Says that the rows were counted from the events that are left: `of` of all `units` of the period.
pub(super) fn of_left(
    reader: &MetricsReader,
    by: &[Dimension],
    of: u64,
    units: u64,
) -> Result<String, ReportError> {
    let left: Vec<&str> = by.iter().filter(|each| !is_kept(**each)).map(|each| each.name()).collect();
    let since = match reader.events_whole_from()? {
        None => "all of them are there".to_owned(),
        Some(whole_from) => format!("before {whole_from} some are gone, by retention or erasure"),
    };
    Ok(format!(
        "These rows, by {}, are made of the events that the buffer still has: {of} of {units} units of this period; {since}.",
        left.join(", ")
    ))
}
