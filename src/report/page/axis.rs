//! Where the marks of an axis stand: round numbers upwards, days and hours along.

use chrono::{DateTime, Datelike, Days, FixedOffset, Months, NaiveDate, Timelike};

use crate::report::Row;

/// The most marks along: more labels than these run into each other on a phone.
const TICKS_MAX: usize = 5;
/// Days between two marks.
const DAY_STEPS: [u64; 6] = [1, 2, 3, 7, 14, 28];
/// Up to so many days the marks count days, beyond it months.
const DAYS_BY_DAY_MAX: i64 = 70;
const MONTH_STEPS: [u32; 8] = [1, 2, 3, 6, 12, 24, 60, 120];
/// Hours between two marks.
const HOUR_STEPS: [i64; 7] = [1, 2, 3, 6, 12, 24, 48];

/// Round values from 0 upwards, the last of them at least `highest`.
pub(super) fn counts(highest: u64) -> Vec<u64> {
    let highest = highest.max(1);
    let step = round_step(highest.div_ceil(4));
    (0..=highest.div_ceil(step)).map(|index| step.saturating_mul(index)).collect()
}

/// The least of 1, 2, 5, 10, 20, 50 ... that is not below.
fn round_step(least: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for digit in [1, 2, 5] {
            let step = power.saturating_mul(digit);
            if step >= least {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}

/// A mark along the axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// Where it stands, 0 to 1.
    pub(super) at: f64,
    pub(super) label: String,
}

/// The axis along of a trend.
#[derive(Debug)]
pub(super) struct TimeAxis {
    moments: Vec<Moment>,
    first: i64,
    last: i64,
}

#[derive(Debug, Clone, Copy)]
enum Moment {
    Day(NaiveDate),
    Hour(DateTime<FixedOffset>),
    /// A key in neither form; it stands in its order.
    Other(i64),
}

impl Moment {
    fn of(index: usize, row: &Row) -> Moment {
        let key = row.key.first().map_or("", String::as_str);
        if let Ok(day) = NaiveDate::parse_from_str(key, "%Y-%m-%d") {
            return Moment::Day(day);
        }
        match DateTime::parse_from_str(key, "%Y-%m-%dT%H:%M%:z") {
            Ok(hour) => Moment::Hour(hour),
            Err(_) => Moment::Other(i64::try_from(index).unwrap_or(i64::MAX)),
        }
    }

    /// Days or hours since a fixed one.
    fn position(self) -> i64 {
        match self {
            Moment::Day(day) => i64::from(day.num_days_from_ce()),
            Moment::Hour(hour) => hour.timestamp().div_euclid(3_600),
            Moment::Other(index) => index,
        }
    }
}

impl TimeAxis {
    pub(super) fn of(rows: &[Row]) -> TimeAxis {
        let moments: Vec<Moment> =
            rows.iter().enumerate().map(|(index, row)| Moment::of(index, row)).collect();
        let positions = || moments.iter().map(|moment| moment.position());
        let (first, last) = (positions().min().unwrap_or(0), positions().max().unwrap_or(0));
        TimeAxis { moments, first, last }
    }

    /// Where a row stands, 0 to 1; a single one in the middle.
    pub(super) fn at(&self, index: usize) -> f64 {
        self.moments.get(index).map_or(0.5, |moment| self.place(moment.position()))
    }

    fn place(&self, position: i64) -> f64 {
        if self.first == self.last {
            return 0.5;
        }
        (position - self.first) as f64 / (self.last - self.first) as f64
    }

    /// Whether a row is the day or hour right after the row before it.
    pub(super) fn follows(&self, index: usize) -> bool {
        let Some(before) = index.checked_sub(1).and_then(|before| self.moments.get(before)) else {
            return false;
        };
        self.moments.get(index).is_some_and(|moment| moment.position() == before.position() + 1)
    }

    /// From one day or hour to the next, as a part of the axis.
    pub(super) fn step(&self) -> f64 {
        1.0 / (self.last - self.first).max(1) as f64
    }

    /// Few marks with their labels.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        match (self.moments.first(), self.moments.last()) {
            (Some(Moment::Day(first)), Some(Moment::Day(last))) => {
                let marked = if self.last - self.first < DAYS_BY_DAY_MAX {
                    days(*first, *last)
                } else {
                    months(*first, *last)
                };
                let tick = |(day, label): (NaiveDate, String)| Tick {
                    at: self.place(i64::from(day.num_days_from_ce())),
                    label,
                };
                marked.into_iter().map(tick).collect()
            }
            (Some(Moment::Hour(_)), Some(Moment::Hour(_))) => self.hours(),
            _ => Vec::new(),
        }
    }

    fn hours(&self) -> Vec<Tick> {
        let span = self.last - self.first + 1;
        let fits = |step: &&i64| span / **step < TICKS_MAX as i64;
        let step = HOUR_STEPS.iter().find(fits).copied().unwrap_or(48);
        let hours = self.moments.iter().filter_map(|moment| match moment {
            Moment::Hour(hour) if i64::from(hour.hour()) % step == 0 => Some(hour),
            Moment::Hour(_) | Moment::Day(_) | Moment::Other(_) => None,
        });
        hours
            .map(|hour| Tick {
                at: self.place(hour.timestamp().div_euclid(3_600)),
                label: if hour.hour() == 0 {
                    short_day(hour.date_naive())
                } else {
                    hour.format("%H:%M").to_string()
                },
            })
            .collect()
    }
}

fn days(first: NaiveDate, last: NaiveDate) -> Vec<(NaiveDate, String)> {
    let span = (last - first).num_days().unsigned_abs();
    let step = DAY_STEPS.iter().find(|step| span / **step < TICKS_MAX as u64).copied().unwrap_or(28);
    let marked = (0..=span / step).filter_map(|index| first.checked_add_days(Days::new(index * step)));
    marked.map(|day| (day, short_day(day))).collect()
}

fn months(first: NaiveDate, last: NaiveDate) -> Vec<(NaiveDate, String)> {
    let next = if first.day() == 1 {
        Some(first)
    } else {
        first.with_day(1).and_then(|day| day.checked_add_months(Months::new(1)))
    };
    let starts = std::iter::successors(next, |day| day.checked_add_months(Months::new(1)));
    let starts: Vec<NaiveDate> = starts.take_while(|day| *day <= last).collect();
    let months_of = |day: &NaiveDate| day.year().unsigned_abs() * 12 + day.month0();
    let marked = |step: u32| starts.iter().copied().filter(move |day| months_of(day).is_multiple_of(step));
    let step = MONTH_STEPS.iter().find(|step| marked(**step).count() <= TICKS_MAX).copied().unwrap_or(120);
    marked(step)
        .enumerate()
        .map(|(index, day)| {
            let form = if index == 0 || day.month() == 1 { "%b %Y" } else { "%b" };
            (day, day.format(form).to_string())
        })
        .collect()
}

/// `1 Mar`.
fn short_day(day: NaiveDate) -> String {
    day.format("%-d %b").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figures;

    fn rows(keys: impl IntoIterator<Item = String>) -> Vec<Row> {
        keys.into_iter()
            .map(|key| Row { key: vec![key], partial: false, figures: Figures::default() })
            .collect()
    }

    fn day_rows(first: &str, count: u64) -> Vec<Row> {
        let first = NaiveDate::parse_from_str(first, "%Y-%m-%d").expect("a date");
        rows((0..count).map(|index| (first + Days::new(index)).to_string()))
    }

    fn labels(rows: &[Row]) -> String {
        let ticks = TimeAxis::of(rows).ticks();
        assert!(ticks.iter().all(|tick| (0.0..=1.0).contains(&tick.at)), "{ticks:?}");
        ticks.iter().map(|tick| tick.label.as_str()).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn counts_go_in_round_steps_to_above_the_highest() {
        for (highest, expected) in [
            (0, vec![0, 1]),
            (1, vec![0, 1]),
            (3, vec![0, 1, 2, 3]),
            (4, vec![0, 1, 2, 3, 4]),
            (5, vec![0, 2, 4, 6]),
            (97, vec![0, 50, 100]),
            (1_234, vec![0, 500, 1_000, 1_500]),
            (20_000, vec![0, 5_000, 10_000, 15_000, 20_000]),
        ] {
            assert_eq!(counts(highest), expected, "{highest}");
        }
        assert_eq!(counts(u64::MAX).last(), Some(&u64::MAX));
    }

    #[test]
    fn days_have_few_marks_however_many_they_are() {
        for (first, count, expected) in [
            ("2026-03-01", 1, "1 Mar"),
            ("2026-03-01", 5, "1 Mar, 2 Mar, 3 Mar, 4 Mar, 5 Mar"),
            ("2026-03-01", 31, "1 Mar, 8 Mar, 15 Mar, 22 Mar, 29 Mar"),
            ("2026-02-20", 60, "20 Feb, 6 Mar, 20 Mar, 3 Apr, 17 Apr"),
            ("2026-01-01", 100, "Jan 2026, Feb, Mar, Apr"),
            ("2025-11-15", 400, "Jan 2026, Apr, Jul, Oct"),
        ] {
            assert_eq!(labels(&day_rows(first, count)), expected, "{first} {count}");
        }
        for count in 1..=800 {
            let rows = day_rows("2025-12-31", count);
            let ticks = TimeAxis::of(&rows).ticks();
            assert!((1..=TICKS_MAX).contains(&ticks.len()), "{count}: {ticks:?}");
        }
    }

    #[test]
    fn hours_are_marked_by_the_clock_of_the_report() {
        let day = |date: &str, offset: &str| {
            (0..24).map(|hour| format!("{date}T{hour:02}:00{offset}")).collect::<Vec<_>>()
        };
        let one = rows(day("2026-03-01", "-08:00"));
        assert_eq!(labels(&one), "1 Mar, 06:00, 12:00, 18:00");
        let two = rows(day("2026-03-01", "-08:00").into_iter().chain(day("2026-03-02", "-08:00")));
        assert_eq!(labels(&two), "1 Mar, 12:00, 2 Mar, 12:00");
        let half = rows(day("2026-03-01", "+05:30"));
        assert!((1..24).all(|index| TimeAxis::of(&half).follows(index)));
    }

    #[test]
    fn a_missing_day_is_a_gap_and_keeps_its_room() {
        let axis = TimeAxis::of(&rows(["2026-03-01", "2026-03-02", "2026-03-05"].map(str::to_owned)));
        assert_eq!([0, 1, 2].map(|index| axis.at(index)), [0.0, 0.25, 1.0]);
        assert_eq!([0, 1, 2].map(|index| axis.follows(index)), [false, true, false]);
        // The hour that a clock turned forward does not have is no gap.
        let axis =
            TimeAxis::of(&rows(["2026-03-08T01:00-08:00", "2026-03-08T03:00-07:00"].map(str::to_owned)));
        assert!(axis.follows(1));
    }

    #[test]
    fn a_single_row_stands_in_the_middle_and_none_is_no_mistake() {
        assert_eq!(TimeAxis::of(&day_rows("2026-03-01", 1)).at(0), 0.5);
        assert_eq!(TimeAxis::of(&[]).ticks(), []);
        assert_eq!(labels(&rows(["x".to_owned(), "y".to_owned()])), "");
    }
}
