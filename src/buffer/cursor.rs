//! How far an export has come.
//!
//! ```text
//! events     sequence numbers                       events:SERIES:SEQUENCE
//! outcomes   undelivered, then delivered            outcomes:SERIES:N OF UNDELIVERED:N OF DELIVERED
//! ```
//!
//! The one writer of a buffer gives out each of these numbers in the transaction that stores the row, and gives none
//! twice. So whatever is stored later has a higher number than all that a cursor has passed. On PostgreSQL, an export
//! waits until that is so.

use std::fmt;
use std::str::FromStr;

crate::word::words! {
    /// What is exported.
    pub enum ExportOf {
        Events = "events",
        Outcomes = "outcomes",
    }
}

/// How far an export has come. Whoever exports keeps its text, and gives it to the next export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportCursor {
    pub of: ExportOf,
    /// The number that the buffer got when it was made or last restored; on PostgreSQL, that of the database.
    pub series: i64,
    /// The last sequence number, or the last numbers in the tables `undelivered` and `delivered`; on PostgreSQL, the
    /// number of the last outcome, and of its event.
    pub passed: [i64; 2],
}

impl fmt::Display for ExportCursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExportCursor { of, series, passed: [first, second] } = self;
        write!(out, "{of}:{series}:{first}")?;
        if *of == ExportOf::Outcomes { write!(out, ":{second}") } else { Ok(()) }
    }
}

impl FromStr for ExportCursor {
    type Err = String;

    fn from_str(text: &str) -> Result<ExportCursor, String> {
        let refuse = || "is no cursor: give the one that the export before printed at its end".to_owned();
        let (of, numbers) = text.split_once(':').ok_or_else(refuse)?;
        let of = of.parse().map_err(|_| refuse())?;
        let numbers: Option<Vec<i64>> = numbers.split(':').map(|number| number.parse().ok()).collect();
        match (of, numbers.as_deref()) {
            (ExportOf::Events, Some(&[series, first])) => Ok(ExportCursor { of, series, passed: [first, 0] }),
            (ExportOf::Outcomes, Some(&[series, first, second])) => {
                Ok(ExportCursor { of, series, passed: [first, second] })
            }
            (ExportOf::Events | ExportOf::Outcomes, _) => Err(refuse()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_is_one() {
        for text in ["events:7:12", "outcomes:0:3:99"] {
            assert_eq!(text.parse::<ExportCursor>().expect("a cursor").to_string(), text);
        }
        for text in
            ["", "12", "events", "events:1", "events:1:2:3", "outcomes:1:2", "outcomes:1:2:x", "runs:1:2"]
        {
            assert!(text.parse::<ExportCursor>().is_err(), "{text}");
        }
    }
}
