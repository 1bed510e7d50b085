//! The processing log: which rows of a file were not taken, and why.

use std::collections::BTreeMap;
use std::fmt;

use super::super::rules::Rule;

/// How many rows of a kind are named; the others are summed up (Bulk Data Insertion API, "Troubleshooting").
const NAMED_OF_A_KIND: u64 = 10;

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flaw {
    /// By which the rows are summed up.
    kind: String,
    more: String,
    /// The rule that it breaks; none where the settings have chosen the row.
    pub(super) rule: Option<Rule>,
}

impl Flaw {
    fn new(kind: String, rule: Option<Rule>) -> Flaw {
        Flaw { kind, more: "This row will not be submitted.".to_owned(), rule }
    }

    pub(super) fn width(expected: usize, found: usize) -> Flaw {
        let more = format!("Expected {expected} columns, but found {found}.");
        Flaw { more, ..Flaw::new("inconsistent column count".to_owned(), Some(Rule::BulkWidth)) }
    }

    /// It lacks a value that every row needs.
    pub(super) fn missing(name: &str) -> Flaw {
        let rule = if name == "UserAgent" { Rule::BulkAgent } else { Rule::BulkRequired };
        Flaw::new(format!("missing '{name}'"), Some(rule))
    }

    /// It is no CSV, or not UTF-8.
    pub(super) fn malformed() -> Flaw {
        Flaw::new("malformed CSV".to_owned(), Some(Rule::BulkCsv))
    }

    /// Its timestamp is none, or has milliseconds. What Adobe says of it is not published.
    pub(super) fn timestamp() -> Flaw {
        Flaw::new("invalid 'Timestamp'".to_owned(), Some(Rule::BulkTimestamp))
    }

    /// The settings have chosen it.
    pub(super) fn chosen() -> Flaw {
        Flaw::new("invalid value".to_owned(), None)
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}. {}", self.kind, self.more)
    }
}

/// The log of one file.
#[derive(Debug, Default)]
pub(super) struct ProcessingLog {
    /// Whether every row is named.
    names_all: bool,
    sentences: Vec<String>,
    counts: BTreeMap<String, u64>,
    /// The first invalid row.
    pub(super) first_row: Option<u64>,
}

impl ProcessingLog {
    pub(super) fn new(names_all: bool) -> ProcessingLog {
        ProcessingLog { names_all, ..ProcessingLog::default() }
    }

    /// Notes an invalid row by its number, from 1 for the first below the header.
    pub(super) fn note(&mut self, row: u64, flaw: &Flaw) {
        let count = self.counts.entry(flaw.kind.clone()).or_default();
        *count += 1;
        if self.names_all || *count <= NAMED_OF_A_KIND {
            self.sentences.push(format!("On row: {row}, {flaw}"));
        }
        self.first_row.get_or_insert(row);
    }

    pub(super) fn invalid_rows(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The whole text for a file of so many rows; empty where all of them were valid.
    pub(super) fn text(&self, rows: u64) -> String {
        let invalid = self.invalid_rows();
        if invalid == 0 {
            return String::new();
        }
        let summed_up = self.counts.iter().filter(|(_, count)| !self.names_all && **count > NAMED_OF_A_KIND);
        let summed_up =
            summed_up.map(|(kind, count)| format!("{kind} on {} more rows.", count - NAMED_OF_A_KIND));
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
        log.note(1, &Flaw::missing("UserAgent"));
        log.note(3, &Flaw::width(5, 6));
        assert_eq!(
            log.text(5000),
            "On row: 1, missing 'UserAgent'. This row will not be submitted. \
             On row: 3, inconsistent column count. Expected 5 columns, but found 6. \
             Processing complete: 4998 rows will be submitted. 2 rows were invalid."
        );
        for row in 4..=14 {
            log.note(row, &Flaw::width(5, row as usize));
        }
        let text = log.text(20);
        assert_eq!(text.matches("On row: ").count(), 11);
        assert!(
            text.contains(" inconsistent column count on 2 more rows. Processing complete: 7 rows"),
            "{text}"
        );
        assert_eq!((log.invalid_rows(), log.first_row), (13, Some(1)));
    }

    #[test]
    fn all_rows_are_named_where_that_is_wanted() {
        let mut log = ProcessingLog::new(true);
        (1..=25).for_each(|row| log.note(row, &Flaw::chosen()));
        let text = log.text(25);
        assert_eq!(text.matches("On row: ").count(), 25);
        assert!(!text.contains("more rows"), "{text}");
    }
}
