//! The processing log: which rows of a file were not taken, and why.

use std::collections::BTreeMap;
use std::fmt;

/// How many rows of a kind are named; the others are summed up (Bulk Data Insertion API, "Troubleshooting").
const NAMED_OF_A_KIND: u64 = 10;

/// What is wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flaw {
    /// Its width, which the log tells beside that of the header.
    Width { expected: usize, found: usize },
    /// A value that every row needs.
    Missing(&'static str),
    /// No CSV, or not UTF-8.
    Malformed,
    /// A timestamp that is none, or that has milliseconds. What Adobe says of it is not published.
    Timestamp,
    /// The settings have chosen it.
    Chosen,
}

impl Flaw {
    /// Its kind: rows are summed up whatever their width is.
    fn kind(self) -> Flaw {
        match self {
            Flaw::Width { .. } => Flaw::Width { expected: 0, found: 0 },
            Flaw::Missing(_) | Flaw::Malformed | Flaw::Timestamp | Flaw::Chosen => self,
        }
    }

    fn summary(self) -> String {
        match self {
            Flaw::Width { .. } => "inconsistent column count".to_owned(),
            Flaw::Missing(name) => format!("missing '{name}'"),
            Flaw::Malformed => "malformed CSV".to_owned(),
            Flaw::Timestamp => "invalid 'Timestamp'".to_owned(),
            Flaw::Chosen => "invalid value".to_owned(),
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.summary())?;
        match self {
            Flaw::Width { expected, found } => {
                write!(out, ". Expected {expected} columns, but found {found}.")
            }
            Flaw::Missing(_) | Flaw::Malformed | Flaw::Timestamp | Flaw::Chosen => {
                out.write_str(". This row will not be submitted.")
            }
        }
    }
}

/// The log of one file.
#[derive(Debug, Default)]
pub(super) struct ProcessingLog {
    /// Whether every row is named.
    names_all: bool,
    sentences: Vec<String>,
    counts: BTreeMap<Flaw, u64>,
    first_row: Option<u64>,
}

impl ProcessingLog {
    pub(super) fn new(names_all: bool) -> ProcessingLog {
        ProcessingLog { names_all, ..ProcessingLog::default() }
    }

    /// Notes an invalid row by its number, from 1 for the first below the header.
    pub(super) fn note(&mut self, row: u64, flaw: Flaw) {
        let count = self.counts.entry(flaw.kind()).or_default();
        *count += 1;
        if self.names_all || *count <= NAMED_OF_A_KIND {
            self.sentences.push(format!("On row: {row}, {flaw}"));
        }
        self.first_row.get_or_insert(row);
    }

    pub(super) fn invalid_rows(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The first invalid row.
    pub(super) fn first_row(&self) -> Option<u64> {
        self.first_row
    }

    /// The whole text for a file of so many rows; empty where all of them were valid.
    pub(super) fn text(&self, rows: u64) -> String {
        let invalid = self.invalid_rows();
        if invalid == 0 {
            return String::new();
        }
        let summed_up = self.counts.iter().filter(|(_, count)| !self.names_all && **count > NAMED_OF_A_KIND);
        let summed_up = summed_up
            .map(|(flaw, count)| format!("{} on {} more rows.", flaw.summary(), count - NAMED_OF_A_KIND));
        let sentences: Vec<String> = self.sentences.iter().cloned().chain(summed_up).collect();
        format!("{} {}", sentences.join(" "), completed(rows - invalid, invalid))
    }
}

/// The sentence at the end of a log.
pub(super) fn completed(valid: u64, invalid: u64) -> String {
    format!("Processing complete: {valid} rows will be submitted. {invalid} rows were invalid.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_in_their_order_and_summed_up_above_ten_of_a_kind() {
        let mut log = ProcessingLog::new(false);
        assert_eq!(log.text(5), "");
        log.note(1, Flaw::Missing("UserAgent"));
        log.note(3, Flaw::Width { expected: 5, found: 6 });
        assert_eq!(
            log.text(5000),
            "On row: 1, missing 'UserAgent'. This row will not be submitted. \
             On row: 3, inconsistent column count. Expected 5 columns, but found 6. \
             Processing complete: 4998 rows will be submitted. 2 rows were invalid."
        );
        for row in 4..=14 {
            log.note(row, Flaw::Width { expected: 5, found: row as usize });
        }
        let text = log.text(20);
        assert_eq!(text.matches("On row: ").count(), 11);
        assert!(
            text.contains(" inconsistent column count on 2 more rows. Processing complete: 7 rows"),
            "{text}"
        );
        assert_eq!((log.invalid_rows(), log.first_row()), (13, Some(1)));
    }

    #[test]
    fn all_rows_are_named_where_that_is_wanted() {
        let mut log = ProcessingLog::new(true);
        (1..=25).for_each(|row| log.note(row, Flaw::Chosen));
        let text = log.text(25);
        assert_eq!(text.matches("On row: ").count(), 25);
        assert!(!text.contains("more rows"), "{text}");
    }
}
