//! The marks of a chart's axes: round numbers on the vertical axis, days and hours on the horizontal one.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

use crate::report::Row;

/// The most marks of the time axis. More labels would overlap on a phone.
const TICKS_MAX: usize = 5;
const DAY_STEPS: [usize; 6] = [1, 2, 3, 7, 14, 28];
/// The most days for which the axis marks days. For more days it marks months.
const DAYS_BY_DAY_MAX: usize = 70;
const MONTH_STEPS: [u32; 8] = [1, 2, 3, 6, 12, 24, 60, 120];
const HOUR_STEPS: [u32; 7] = [1, 2, 3, 6, 12, 24, 48];

/// Round values from 0 upwards. The last one is at least `highest`.
pub(super) fn counts(highest: u64) -> Vec<u64> {
    let highest = highest.max(1);
    let step = round_step(highest.div_ceil(4));
    (0..=highest.div_ceil(step)).map(|index| step.saturating_mul(index)).collect()
}

/// The smallest number of 1, 2, 5, 10, 20, 50 ... that is at least `least`.
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

/// A mark of the time axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// The position on the axis, from 0 to 1.
    pub(super) at: f64,
    pub(super) label: String,
}

/// The time axis of a trend.
#[derive(Debug)]
pub(super) struct TimeAxis {
    /// The day or hour of each row, counted from a fixed day or hour; the index if the rows have no time.
    positions: Vec<i64>,
    /// The local time of each row; empty if the rows are neither days nor hours.
    moments: Vec<NaiveDateTime>,
    is_hourly: bool,
    first: i64,
    last: i64,
}

impl TimeAxis {
    pub(super) fn of(rows: &[Row]) -> TimeAxis {
        let keys = || rows.iter().map(|row| row.key.first().map_or("", String::as_str));
        let days: Option<Vec<NaiveDate>> =
            keys().map(|key| NaiveDate::parse_from_str(key, "%Y-%m-%d").ok()).collect();
        let hours: Option<Vec<_>> =
            keys().map(|key| DateTime::parse_from_str(key, "%Y-%m-%dT%H:%M%:z").ok()).collect();
        let (positions, moments): (Vec<i64>, Vec<NaiveDateTime>) = match (&days, &hours) {
            (Some(days), _) => {
                let position = |day: &NaiveDate| i64::from(day.num_days_from_ce());
                days.iter().map(|day| (position(day), day.and_time(NaiveTime::MIN))).unzip()
            }
            (None, Some(hours)) => {
                hours.iter().map(|hour| (hour.timestamp().div_euclid(3_600), hour.naive_local())).unzip()
            }
            (None, None) => ((0..).take(rows.len()).collect(), Vec::new()),
        };
        let position = |end: Option<&i64>| end.copied().unwrap_or(0);
        let (first, last) = (position(positions.iter().min()), position(positions.iter().max()));
        TimeAxis { positions, moments, is_hourly: days.is_none(), first, last }
    }

    /// The position of a row on the axis, from 0 to 1. A single row is in the middle.
    pub(super) fn at(&self, index: usize) -> f64 {
        let place = |position: &i64| (position - self.first) as f64 / (self.last - self.first) as f64;
        self.positions.get(index).filter(|_| self.first != self.last).map_or(0.5, place)
    }

    /// Whether a row is the day or hour right after the row before it.
    pub(super) fn follows(&self, index: usize) -> bool {
        let before = index.checked_sub(1).and_then(|before| self.positions.get(before));
        before.zip(self.positions.get(index)).is_some_and(|(before, own)| *own == before + 1)
    }

    pub(super) fn step(&self) -> f64 {
        1.0 / (self.last - self.first).max(1) as f64
    }

    pub(super) fn ticks(&self) -> Vec<Tick> {
        let marked = |is_marked: &dyn Fn(usize, &NaiveDateTime) -> bool| -> Vec<usize> {
            let all = self.moments.iter().enumerate();
            all.filter(|(index, moment)| is_marked(*index, moment)).map(|(index, _)| index).collect()
        };
        let months = |moment: &NaiveDateTime| moment.year().unsigned_abs() * 12 + moment.month0();
        let (marks, is_monthly): (Vec<Vec<usize>>, bool) = if self.is_hourly {
            (HOUR_STEPS.map(|step| marked(&|_, moment| moment.hour().is_multiple_of(step))).into(), false)
        } else if self.moments.len() <= DAYS_BY_DAY_MAX {
            (DAY_STEPS.map(|step| marked(&|index, _| index.is_multiple_of(step))).into(), false)
        } else {
            let starts =
                |step: u32| marked(&|_, moment| moment.day() == 1 && months(moment).is_multiple_of(step));
            (MONTH_STEPS.map(starts).into(), true)
        };
        let few = marks.iter().find(|marks| marks.len() <= TICKS_MAX).or(marks.last());
        let tick = |(number, index): (usize, &usize)| {
            let moment = self.moments[*index];
            let form = match (is_monthly, self.is_hourly && moment.hour() != 0) {
                (_, true) => "%H:%M",
                (false, false) => "%-d %b",
                (true, false) if number == 0 || moment.month() == 1 => "%b %Y",
                (true, false) => "%b",
            };
            Tick { at: self.at(*index), label: moment.format(form).to_string() }
        };
        few.into_iter().flatten().enumerate().map(tick).collect()
    }
}

#[cfg(test)]
mod tests {
    use chrono::Days;

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
        // A clock that is put forward skips an hour, but the trend has no gap there.
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
