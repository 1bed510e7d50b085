//! Days that a person names.

use std::str::FromStr;

use chrono::{NaiveDate, NaiveTime};

/// Days in UTC, from the first to the last, as days since the Unix epoch: `2026-11-20` or `2026-11-20..2026-11-22`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaySpan {
    first: i64,
    last: i64,
}

impl DaySpan {
    pub fn has(self, day: i64) -> bool {
        (self.first..=self.last).contains(&day)
    }
}

impl FromStr for DaySpan {
    type Err = String;

    fn from_str(text: &str) -> Result<DaySpan, String> {
        let day = |text: &str| {
            let date =
                text.parse::<NaiveDate>().map_err(|_| format!("{text:?} is no day such as 2026-11-20"))?;
            Ok::<i64, String>(date.and_time(NaiveTime::MIN).and_utc().timestamp().div_euclid(86_400))
        };
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let span = DaySpan { first: day(first)?, last: day(last)? };
        if span.first > span.last { Err(format!("{text:?} ends before it begins")) } else { Ok(span) }
    }
}
