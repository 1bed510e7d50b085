//! The period of a report in a time zone, its days and hours, and the errors if there can be no report of it.

use std::ops::{Range, RangeInclusive};

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, SecondsFormat, Utc};
use chrono_tz::Tz;

use crate::buffer::BufferError;
use crate::event::Instant;
use crate::postgres::PostgresError;

/// The longest period with a trend by hour: two days, and one hour more, because a clock may be put back.
const TREND_BY_HOUR_QUARTERS: i64 = 49 * 4;
pub(super) const QUARTERS_A_DAY: i64 = 96;
/// A quarter hour belongs to one of this many latest bins (see `Timeline`), or begins a new bin. The latest
/// bin alone is not enough, because a clock may be put back to an earlier day.
const RECENT_BINS: usize = 4;
/// The years that a date may have. An `Instant` can hold all of them; an edge that is an instant may be of other years.
const YEARS: Range<i32> = 1970..2200;
/// The longest period, in days. Without a limit, a wrong year would give a line for each day since that year.
const DAYS_MAX: i64 = 3660;

const NO_PERIOD: &str = "period: write 2026, 2026-03, 2026-03-01, today, yesterday, this-month or last-month";
const NO_EDGE: &str =
    "date such as 2026-03-01, nor an instant with an offset such as 2026-03-01T00:00:00-08:00";

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error(transparent)]
    Buffer(#[from] BufferError),
    #[error(transparent)]
    Shared(#[from] PostgresError),
    /// `known` are the requestors that have events.
    #[error("no event of requestor {requestor_id:?} was ever stored")]
    UnknownRequestor { requestor_id: String, known: Vec<String> },
    #[error("the period begins at {from}, which is still to come: there is no data of it yet")]
    ToCome { from: String },
    #[error("by {} there are more than 100,000 rows", by.join(", "))]
    TooManyRows { by: Vec<&'static str> },
}

/// Why a period is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    #[error("{0:?} is no {1}")]
    Unreadable(String, &'static str),
    #[error("the period ends at {to}, which is not after {from}, where it begins")]
    Empty { from: String, to: String },
    #[error("the period from {from} to {to} is longer than ten years")]
    TooLong { from: String, to: String },
    #[error("{0} is not on a quarter of an hour, and units are kept by quarter hours")]
    NotOnAQuarter(String),
}

/// A period on the clock of a time zone. `to` is the first instant after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    zone: Tz,
    /// The first quarter hour, counted from the Unix epoch.
    first_quarter: i64,
    end_quarter: i64,
}

impl Period {
    pub fn between(from: Instant, to: Instant, zone: Tz) -> Result<Period, PeriodError> {
        let quarter = |at: Instant| {
            let quarter = at.unix_quarter();
            let is_on = Instant::of_quarter(quarter) == at;
            if is_on { Ok(quarter) } else { Err(PeriodError::NotOnAQuarter(at.to_string())) }
        };
        let period = Period { zone, first_quarter: quarter(from)?, end_quarter: quarter(to)? };
        let (from, to) = (period.from_text(), period.to_text());
        match period.end_quarter - period.first_quarter {
            ..=0 => Err(PeriodError::Empty { from, to }),
            quarters if quarters > DAYS_MAX * QUARTERS_A_DAY => Err(PeriodError::TooLong { from, to }),
            _ => Ok(period),
        }
    }

    /// A period by its name: a year (`2026`), a month (`2026-03`), a day (`2026-03-01`), `today`,
    /// `yesterday`, `this-month` or `last-month`.
    pub fn named(name: &str, zone: Tz, now: Instant) -> Result<Period, PeriodError> {
        let today = local(now, zone).date_naive();
        let of_month = |day: NaiveDate| dates_of(&day.format("%Y-%m").to_string());
        let days = match name {
            "today" => Some((today, today + Days::new(1))),
            "yesterday" => Some((today - Days::new(1), today)),
            "this-month" => of_month(today),
            "last-month" => today.with_day(1).and_then(|first| of_month(first - Days::new(1))),
            _ => dates_of(name),
        };
        let (first, end) = days.ok_or_else(|| PeriodError::Unreadable(name.to_owned(), NO_PERIOD))?;
        Period::between(Instant::of_day(first, zone), Instant::of_day(end, zone), zone)
    }

    /// A period by its two ends. An end is a date or an RFC 3339 instant. The period includes the last date,
    /// but not the last instant. Without `to`, it ends with today.
    pub fn from_to(from: &str, to: Option<&str>, zone: Tz, now: Instant) -> Result<Period, PeriodError> {
        let edge = |text: &str, is_last: bool| match date(text) {
            Some(day) => Ok(Instant::of_day(day + Days::new(u64::from(is_last)), zone)),
            None => text.parse().map_err(|_| PeriodError::Unreadable(text.to_owned(), NO_EDGE)),
        };
        let today = local(now, zone).date_naive().to_string();
        Period::between(edge(from, false)?, edge(to.unwrap_or(&today), true)?, zone)
    }

    pub fn from(&self) -> Instant {
        Instant::of_quarter(self.first_quarter)
    }

    pub fn to(&self) -> Instant {
        Instant::of_quarter(self.end_quarter)
    }

    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The beginning as RFC 3339, with the offset of the time zone.
    pub fn from_text(&self) -> String {
        self.on_clock(self.from())
    }

    pub fn to_text(&self) -> String {
        self.on_clock(self.to())
    }

    /// An instant as RFC 3339, with the offset of the time zone.
    pub(super) fn on_clock(&self, at: Instant) -> String {
        local(at, self.zone).to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// The quarter hours of the period, counted from the Unix epoch.
    pub(super) fn quarters(&self) -> Range<i64> {
        self.first_quarter..self.end_quarter
    }

    /// The UTC hours of the period, counted from the Unix epoch.
    pub(super) fn hours(&self) -> RangeInclusive<i64> {
        self.first_quarter.div_euclid(4)..=(self.end_quarter - 1).div_euclid(4)
    }

    /// The number of the day on which a quarter hour of the period begins, on the clock of its time zone.
    pub(super) fn day(&self, quarter: i64) -> Option<i64> {
        let date = || local(Instant::of_quarter(quarter), self.zone).num_days_from_ce();
        self.quarters().contains(&quarter).then(|| i64::from(date()))
    }

    /// The numbers of the days of the period, as `day` gives them.
    pub(super) fn days(&self) -> Range<i64> {
        let [first, last] = [self.first_quarter, self.end_quarter - 1].map(|quarter| self.day(quarter));
        first.unwrap_or(0)..last.unwrap_or(0) + 1
    }

    pub(super) fn is_of_hours(&self) -> bool {
        self.end_quarter - self.first_quarter <= TREND_BY_HOUR_QUARTERS
    }
}

pub(super) const DAY_FORM: &str = "%Y-%m-%d";
/// The form of an hour. It has the offset, because a clock may show the same hour twice.
pub(super) const HOUR_FORM: &str = "%Y-%m-%dT%H:00%:z";

/// The bins of a period in their order (days, hours, or one for the whole period), and the bin of each quarter hour.
#[derive(Debug)]
pub(super) struct Timeline {
    first_quarter: i64,
    bin_of_quarter: Vec<u32>,
    pub(super) bins: Vec<String>,
    /// The first quarter hour of each bin, and the quarter hour after its last one.
    pub(super) spans: Vec<(i64, i64)>,
}

impl Timeline {
    /// Quarter hours whose local time has the same text in this `form` share a bin.
    pub(super) fn of(period: &Period, form: &str) -> Timeline {
        let (mut bins, mut spans): (Vec<String>, Vec<(i64, i64)>) = (Vec::new(), Vec::new());
        let bin_of_quarter = period.quarters().map(|quarter| {
            let bin = local(Instant::of_quarter(quarter), period.zone).format(form).to_string();
            // If a clock is put back across midnight, the old day goes on after the new day has begun.
            let recent = bins.len().saturating_sub(RECENT_BINS);
            let known = bins[recent..].iter().rposition(|known| *known == bin).map(|index| recent + index);
            let index = known.unwrap_or_else(|| {
                bins.push(bin);
                spans.push((quarter, quarter));
                bins.len() - 1
            });
            spans[index].1 = quarter + 1;
            index as u32
        });
        let bin_of_quarter = bin_of_quarter.collect();
        Timeline { first_quarter: period.first_quarter, bin_of_quarter, bins, spans }
    }

    pub(super) fn has_begun(&self, bin: usize, now: Instant) -> bool {
        Instant::of_quarter(self.spans[bin].0) < now
    }

    pub(super) fn is_going_on(&self, bin: usize, now: Instant) -> bool {
        self.has_begun(bin, now) && Instant::of_quarter(self.spans[bin].1) > now
    }

    /// The bins of those `quarters` that lie in the period, and whether all do; `None` if no quarter does.
    pub(super) fn bins(&self, quarters: &Range<i64>) -> Option<(RangeInclusive<u32>, bool)> {
        let end = self.first_quarter + self.bin_of_quarter.len() as i64;
        // A time span within one quarter hour gives an empty range. It lies in the quarter hour in which it starts.
        let (first, last) = (quarters.start, quarters.start.max(quarters.end - 1));
        let bins = self.bin(first.max(self.first_quarter))?..=self.bin(last.min(end - 1))?;
        Some((bins, first >= self.first_quarter && last < end))
    }

    /// The bin of a quarter hour; `None` outside the period.
    pub(super) fn bin(&self, quarter: i64) -> Option<u32> {
        let index = usize::try_from(quarter - self.first_quarter).ok()?;
        self.bin_of_quarter.get(index).copied()
    }
}

fn local(at: Instant, zone: Tz) -> DateTime<Tz> {
    DateTime::<Utc>::from(at).with_timezone(&zone)
}

fn dates_of(name: &str) -> Option<(NaiveDate, NaiveDate)> {
    let spellings = [name.to_owned(), format!("{name}-01"), format!("{name}-01-01")];
    let first = spellings.iter().find_map(|text| date(text))?;
    let end = match name.len() {
        4 => first.checked_add_months(Months::new(12)),
        7 => first.checked_add_months(Months::new(1)),
        _ => first.succ_opt(),
    };
    Some((first, end?))
}

/// A date as `2026-03-01`, and in no other spelling.
fn date(text: &str) -> Option<NaiveDate> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    (text.len() == 10 && YEARS.contains(&day.year())).then_some(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOS_ANGELES: Tz = chrono_tz::America::Los_Angeles;

    fn at(text: &str) -> Instant {
        text.parse().expect("an instant")
    }

    #[test]
    fn days_of_23_and_25_hours_are_one_day_each() {
        for (month, short_or_long, days) in [("2026-03", "2026-03-08", 31), ("2026-11", "2026-11-01", 30)] {
            let period = Period::named(month, LOS_ANGELES, at("2027-01-01T00:00:00Z")).expect("a period");
            let mut quarters_of: std::collections::BTreeMap<i64, usize> =
                (period.days()).map(|day| (day, 0)).collect();
            for quarter in period.quarters() {
                *quarters_of.get_mut(&period.day(quarter).expect("a day")).expect("of the period") += 1;
            }
            let odd: NaiveDate = short_or_long.parse().expect("a date");
            let hours = if month == "2026-03" { 23 } else { 25 };
            assert_eq!(
                (quarters_of.len(), quarters_of[&i64::from(odd.num_days_from_ce())]),
                (days, hours * 4)
            );
            assert_eq!(quarters_of.values().filter(|quarters| **quarters == 96).count(), days - 1);
        }
    }

    #[test]
    fn a_period_is_whole_days_on_its_own_clock() {
        let now = at("2026-03-01T07:30:00Z");
        for (name, from, to) in [
            ("2026", "2026-01-01T00:00:00-08:00", "2027-01-01T00:00:00-08:00"),
            ("2026-03", "2026-03-01T00:00:00-08:00", "2026-04-01T00:00:00-07:00"),
            ("2026-11-01", "2026-11-01T00:00:00-07:00", "2026-11-02T00:00:00-08:00"),
            ("today", "2026-02-28T00:00:00-08:00", "2026-03-01T00:00:00-08:00"),
            ("yesterday", "2026-02-27T00:00:00-08:00", "2026-02-28T00:00:00-08:00"),
            ("this-month", "2026-02-01T00:00:00-08:00", "2026-03-01T00:00:00-08:00"),
            ("last-month", "2026-01-01T00:00:00-08:00", "2026-02-01T00:00:00-08:00"),
        ] {
            let period = Period::named(name, LOS_ANGELES, now).expect(name);
            assert_eq!((period.from_text().as_str(), period.to_text().as_str()), (from, to), "{name}");
        }
        for name in ["", "2026-3", "2026-13", "2026-02-30", "last-week", "26", "0000", "+026-01-01"] {
            assert!(Period::named(name, LOS_ANGELES, now).is_err(), "{name}");
        }
    }

    #[test]
    fn the_last_date_is_in_the_period_and_the_last_instant_is_not() {
        let now = at("2026-03-10T12:00:00Z");
        let ends = |from: &str, to: Option<&str>| {
            Period::from_to(from, to, chrono_tz::Asia::Kathmandu, now)
                .map(|period| (period.from_text(), period.to_text()))
        };
        let text = |from: &str, to: &str| Ok((from.to_owned(), to.to_owned()));
        assert_eq!(
            ends("2026-03-01", Some("2026-03-02")),
            text("2026-03-01T00:00:00+05:45", "2026-03-03T00:00:00+05:45")
        );
        assert_eq!(ends("2026-03-01", None), text("2026-03-01T00:00:00+05:45", "2026-03-11T00:00:00+05:45"));
        assert_eq!(
            ends("2026-03-01T00:00:00Z", Some("2026-03-01T01:15:00Z")),
            text("2026-03-01T05:45:00+05:45", "2026-03-01T07:00:00+05:45")
        );
        for (from, to) in [
            ("2026-03-02", "2026-03-01"),
            ("2026-03-02T00:00:00Z", "2026-03-02T00:00:00Z"),
            ("2026-03-02T00:00:01Z", "2026-03-03"),
            ("2026-03-02T00:00:00", "2026-03-03"),
            ("2000-01-01", "2026-01-01"),
            ("1026-01-01", "2026-01-01"),
        ] {
            assert!(ends(from, Some(to)).is_err(), "{from} {to}");
        }
    }

    #[test]
    fn a_day_has_the_hours_that_its_clock_shows() {
        let hours = |name: &str, zone: Tz| {
            let period = Period::named(name, zone, at("2026-01-01T00:00:00Z")).expect("a period");
            Timeline::of(&period, HOUR_FORM).bins
        };
        let spring = hours("2026-03-08", LOS_ANGELES);
        assert_eq!((spring.len(), spring[2].as_str()), (23, "2026-03-08T03:00-07:00"));
        let autumn = hours("2026-11-01", LOS_ANGELES);
        assert_eq!(autumn.len(), 25);
        assert_eq!(autumn[1..3], ["2026-11-01T01:00-07:00", "2026-11-01T01:00-08:00"]);
        assert_eq!(hours("2026-11-01", chrono_tz::Asia::Kolkata)[0], "2026-11-01T00:00+05:30");
        // The clock goes back by half an hour: the hour from 01:00 comes twice, the second time as half an hour.
        assert_eq!(hours("2026-04-05", chrono_tz::Australia::Lord_Howe).len(), 25);
        // The clock skips midnight on that day.
        let period = Period::named("2018-11-04", chrono_tz::America::Sao_Paulo, at("2026-01-01T00:00:00Z"));
        assert_eq!(period.expect("a period").from_text(), "2018-11-04T01:00:00-02:00");
    }
}
