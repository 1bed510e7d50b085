//! The days that are compared, as instants and as times in the time zone of the suite.

use std::fmt;
use std::ops::Range;

use chrono::{DateTime, Days, LocalResult, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

use super::compare::Day;
use crate::event::Instant;

/// The most days of one comparison: a leap year. Each day costs several calls to Adobe.
pub const DAYS_MAX: i64 = 366;
/// How long after its end a day may still get events. Sources and ESM deliver their events within this time.
const OPEN_NANOS: i64 = 3 * 3_600_000_000_000;

/// One day, or neighbouring days that the clock of the suite cannot tell apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// From the first day to the day after the last one.
    pub dates: Range<NaiveDate>,
    /// The span as instants, the end exclusive, and as times on the clock of the suite.
    pub from: Instant,
    pub to: Instant,
    pub on_suite: Range<NaiveDateTime>,
}

/// The days of a comparison, in their order, without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    pub zone: Tz,
    pub spans: Vec<Span>,
    /// One sentence for each group of days that cannot be told apart, with the reason.
    pub remarks: Vec<String>,
}

/// Why a span of time belongs to no single day: it is outside all days, or it crosses the edge of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Astray {
    Outside,
    Across,
}

impl Calendar {
    /// The days of `dates` in `zone`. In autumn the clock of the suite shows one hour twice, so a time in it
    /// names two instants. If a day begins in this hour, that day and the day before are compared as one.
    pub fn of(dates: Range<NaiveDate>, zone: Tz, suite_zone: Tz) -> Calendar {
        let begins = |date: &NaiveDate| DateTime::<Utc>::from(Instant::of_day(*date, zone));
        let is_clear = |date: &NaiveDate| {
            let local = begins(date).with_timezone(&suite_zone).naive_local();
            !matches!(suite_zone.from_local_datetime(&local), LocalResult::Ambiguous(..))
        };
        let (mut first, mut end) = (dates.start, dates.end);
        // Two neighbouring days never both begin in a repeated hour, so one step is enough.
        if !is_clear(&first) {
            first = first - Days::new(1);
        }
        if !is_clear(&end) {
            end = end + Days::new(1);
        }
        let mut edges: Vec<NaiveDate> = first.iter_days().take_while(|date| *date <= end).collect();
        edges.retain(is_clear);
        let mut calendar = Calendar { zone, spans: Vec::new(), remarks: Vec::new() };
        for pair in edges.windows(2) {
            let (from, to) = (begins(&pair[0]), begins(&pair[1]));
            if from == to {
                // The zone skips this day.
                continue;
            }
            let local = |at: DateTime<Utc>| at.with_timezone(&suite_zone).naive_local();
            let span = Span {
                dates: pair[0]..pair[1],
                from: Instant::from(from),
                to: Instant::from(to),
                on_suite: local(from)..local(to),
            };
            if span.dates.start + Days::new(1) < span.dates.end {
                calendar.remarks.push(format!(
                    "the days {span} are compared as one: on the clock of the report suite ({suite_zone}) the hour between them \
                     is there twice"
                ));
            }
            calendar.spans.push(span);
        }
        calendar
    }

    /// The start of the first day, and the end of the last one.
    pub fn bounds(&self) -> (Instant, Instant) {
        let edge = Instant::from_nanos(0);
        let first = self.spans.first().map_or(edge, |span| span.from);
        (first, self.spans.last().map_or(edge, |span| span.to))
    }

    pub(super) fn day_at(&self, at: Instant) -> Option<usize> {
        let behind = self.spans.partition_point(|span| span.from <= at);
        let index = behind.checked_sub(1)?;
        (at < self.spans[index].to).then_some(index)
    }

    pub(super) fn day_of(&self, from: Instant, to: Instant) -> Result<usize, Astray> {
        let (first, last) = (self.day_at(from), self.day_at(Instant::from_nanos(to.nanos() - 1)));
        match (first, last) {
            (Some(first), Some(last)) if first == last => Ok(first),
            (None, None) => Err(Astray::Outside),
            (_, _) => Err(Astray::Across),
        }
    }

    pub(super) fn days(&self, now: Instant) -> Vec<Day> {
        let day = |span: &Span| Day {
            label: span.to_string(),
            is_open: span.to.nanos().saturating_add(OPEN_NANOS) > now.nanos(),
        };
        self.spans.iter().map(day).collect()
    }
}

/// Lists days by their names. A run of neighbouring days is shown by its first and its last day.
pub(super) fn shown(days: &[usize], name: impl Fn(usize) -> String) -> String {
    let run = |run: &[usize]| match run {
        [first, .., last] => format!("{} to {}", name(*first), name(*last)),
        _ => run.iter().map(|day| name(*day)).collect(),
    };
    days.chunk_by(|day, next| day + 1 == *next).map(run).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.dates.end - Days::new(1);
        write!(out, "{}", self.dates.start)?;
        if last == self.dates.start { Ok(()) } else { write!(out, "..{last}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(from: &str, to: &str, zone: &str, suite_zone: &str) -> Calendar {
        let date = |text: &str| text.parse::<NaiveDate>().expect("a date");
        let zone_of = |name: &str| name.parse().expect("a zone");
        Calendar::of(date(from)..date(to), zone_of(zone), zone_of(suite_zone))
    }

    const PACIFIC: &str = "America/Los_Angeles";

    fn shown(calendar: &Calendar) -> Vec<String> {
        let span = |span: &Span| {
            let hours = (span.to.nanos() - span.from.nanos()) / 3_600_000_000_000;
            format!("{span} {hours} {} {}", span.on_suite.start, span.on_suite.end)
        };
        calendar.spans.iter().map(span).collect()
    }

    #[test]
    fn days_have_the_hours_of_their_zone_and_are_named_on_the_clock_of_the_suite() {
        assert_eq!(
            shown(&calendar("2026-03-07", "2026-03-10", PACIFIC, "Europe/Berlin")),
            [
                "2026-03-07 24 2026-03-07 09:00:00 2026-03-08 09:00:00",
                "2026-03-08 23 2026-03-08 09:00:00 2026-03-09 08:00:00",
                "2026-03-09 24 2026-03-09 08:00:00 2026-03-10 08:00:00",
            ]
        );
        let own = calendar("2026-11-01", "2026-11-02", PACIFIC, PACIFIC);
        assert_eq!(shown(&own), ["2026-11-01 25 2026-11-01 00:00:00 2026-11-02 00:00:00"]);
        assert!(own.remarks.is_empty());
    }

    #[test]
    fn days_that_the_suite_cannot_tell_apart_are_one() {
        // Pacific midnight of 2026-11-01 is 01:00 in Chicago for the second time.
        for (from, to) in
            [("2026-10-31", "2026-11-02"), ("2026-11-01", "2026-11-02"), ("2026-10-31", "2026-11-01")]
        {
            let found = calendar(from, to, PACIFIC, "America/Chicago");
            assert_eq!(
                shown(&found),
                ["2026-10-31..2026-11-01 49 2026-10-31 02:00:00 2026-11-02 02:00:00"],
                "{from} to {to}"
            );
            assert_eq!(found.remarks.len(), 1);
        }
    }

    #[test]
    fn every_instant_of_the_period_is_of_one_day() {
        let found = calendar("2018-11-02", "2018-11-06", "America/Sao_Paulo", "UTC");
        // The clock of that zone skips midnight on 4 November 2018.
        let (from, to) = found.bounds();
        let mut at = from;
        while at < to {
            let span = &found.spans[found.day_at(at).expect("a day")];
            assert!(span.from <= at && at < span.to);
            at = Instant::from_nanos(at.nanos() + 900_000_000_000);
        }
        assert_eq!(found.day_at(to), None);
        assert_eq!(found.day_at(Instant::from_nanos(from.nanos() - 1)), None);
        let edge = found.spans[1].from;
        let beside = |nanos: i64| Instant::from_nanos(edge.nanos() + nanos);
        assert_eq!(found.day_of(beside(-1), beside(1)), Err(Astray::Across));
        assert_eq!(found.day_of(edge, beside(1)), Ok(1));
        assert_eq!(found.day_of(to, Instant::from_nanos(to.nanos() + 1)), Err(Astray::Outside));
    }

    #[test]
    fn a_day_that_the_zone_leaves_out_is_none() {
        let found = calendar("2011-12-29", "2012-01-01", "Pacific/Apia", "UTC");
        let labels: Vec<_> = found.spans.iter().map(ToString::to_string).collect();
        assert_eq!(labels, ["2011-12-29", "2011-12-31"]);
    }
}
