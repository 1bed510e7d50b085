//! The time of a record, in the time zone of the reports.

use chrono::{DateTime, Days, FixedOffset, LocalResult, Months, NaiveDate, NaiveDateTime, TimeZone};

use super::report::Record;
use crate::config::{EsmConfig, Zone};
use crate::event::{Instant, whole_number};
use crate::harmless::clip;
use crate::readers::line::RejectReason;

/// The first year with four digits. An earlier year, such as 26, is refused as a mistake.
const YEAR_MIN: u32 = 1000;

/// To which of two equal hours a record belongs, if the clock is set back, or why it belongs to none; otherwise `First`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    First,
    Second,
    /// The record gives its own UTC offset.
    Told,
    Unknown,
    /// The record repeats another one of the report.
    Repeated,
    /// The record sums up others, which have a value of this dimension, counted from 0 in the order of names.
    Sum(u8),
}

/// The local time of a record, in the time zone of the reports.
pub(super) fn local_time(record: &Record) -> Result<NaiveDateTime, RejectReason> {
    local_time_with(record, [None; 2])
}

/// The local time. `or` has the day and the hour for a record that lacks them.
pub(super) fn local_time_with(record: &Record, or: [Option<u32>; 2]) -> Result<NaiveDateTime, RejectReason> {
    let number = |name: &str| match record.field(name) {
        None => Ok(None),
        Some(text) => match whole_number(text).and_then(|number| u32::try_from(number).ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(RejectReason::Esm(format!("has {name} {:?}, which is no number", clip(text)))),
        },
    };
    let (year, month, day) = (number("year")?, number("month")?, number("day")?.or(or[0]));
    let (Some(year), Some(month), Some(day), Some(hour)) = (year, month, day, number("hour")?.or(or[1]))
    else {
        return Err(RejectReason::Esm(
            "has no hour: events need one; fetch a report by hour or by minute (year/month/day/hour)"
                .to_owned(),
        ));
    };
    if year < YEAR_MIN {
        return Err(RejectReason::Esm(format!("has year {year}, which has not four digits")));
    }
    let minute = number("minute")?.unwrap_or(0);
    let date = i32::try_from(year).ok().and_then(|year| NaiveDate::from_ymd_opt(year, month, day));
    date.and_then(|date| date.and_hms_opt(hour, minute, 0)).ok_or_else(|| {
        RejectReason::Esm(format!("has the time {year}-{month}-{day} {hour}:{minute}, which no calendar has"))
    })
}

/// The start of a record's hour or minute.
pub(super) fn instant(record: &Record, zone: Zone, pass: Pass) -> Result<Instant, RejectReason> {
    let local = local_time(record)?;
    let told: Option<FixedOffset> = match record.field("utc-offset") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| {
            RejectReason::Esm(format!("has utc-offset {:?}, which is no offset such as -08:00", clip(text)))
        })?),
    };
    let is_told = |at: &DateTime<_>| told.is_none_or(|told| at.fixed_offset().offset() == &told);
    let at = match zone.0.from_local_datetime(&local) {
        LocalResult::Ambiguous(first, second) if told.is_some() => [first, second].into_iter().find(is_told),
        LocalResult::Ambiguous(_, second) if pass == Pass::Second => Some(second),
        LocalResult::Ambiguous(at, _) | LocalResult::Single(at) => Some(at),
        LocalResult::None => {
            return Err(RejectReason::Esm(format!(
                "is of {local}, which the clock of {zone} skips; set esm.timezone to the zone of these reports"
            )));
        }
    };
    at.filter(is_told).map(|at| Instant::from(at.to_utc())).ok_or_else(|| {
        RejectReason::Esm(format!("has a utc-offset that the clock of {zone} does not have at {local}"))
    })
}

/// The span of a record: a minute, an hour, a day or a month.
pub(super) fn span(
    record: &Record,
    config: &EsmConfig,
    pass: Pass,
) -> Result<(Instant, Instant), RejectReason> {
    if record.field("hour").is_some() {
        let from = instant(record, config.timezone, pass)?;
        let minutes = if record.field("minute").is_some() { 1 } else { 60 };
        return Ok((from, Instant::from_nanos(from.nanos() + minutes * 60_000_000_000)));
    }
    let first = local_time_with(record, [Some(1), Some(0)])?.date();
    let next = match record.field("day") {
        Some(_) => first.checked_add_days(Days::new(1)),
        None => first.checked_add_months(Months::new(1)),
    };
    let begin = |day| Instant::of_day(day, config.timezone.0);
    Ok((begin(first), begin(next.unwrap_or(NaiveDate::MAX))))
}

/// The times that a record may have on a clock.
pub(super) fn times_on(record: &Record, zone: Zone) -> Vec<Instant> {
    let mut times: Vec<Instant> =
        [Pass::First, Pass::Second].into_iter().filter_map(|pass| instant(record, zone, pass).ok()).collect();
    times.dedup();
    times
}
