//! What an ingest did: counts per input, and what its caller should be told.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::rejects::Kept;
use super::{IngestError, InputError};
use crate::buffer::{Conflict, StoreReport};
use crate::readers::esm::EsmSummary;
use crate::readers::rest_v2::ExchangeSummary;
use crate::readers::{Guess, UnknownKeys};

/// How many rejected lines, and how many conflicts, are named. The rejects file has more.
const NAMED_MAX: u64 = 20;

/// What became of the lines of one or more inputs. `read` is the sum of the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Lines that were not blank.
    pub read: u64,
    pub stored: u64,
    /// Events that were already stored.
    pub duplicates: u64,
    /// Events whose identity was already stored with other content; the first one stays.
    pub conflicts: u64,
    /// Lines that are no event.
    pub rejected: u64,
}

impl Counts {
    /// Adds those of another part.
    pub fn add(&mut self, other: &Counts) {
        self.read += other.read;
        self.stored += other.stored;
        self.duplicates += other.duplicates;
        self.conflicts += other.conflicts;
        self.rejected += other.rejected;
    }
}

/// The counts of one input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputSummary {
    /// The input as it was named; `inbox` for the table.
    pub path: String,
    /// What became of its lines.
    #[serde(flatten)]
    pub counts: Counts,
    /// Why nothing of it was used, where it held something and none of that is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused: Option<String>,
}

/// Why nothing of an input was used; `None` where anything was, also to learn that it is stored already, or where every line
/// has a reason of its own.
pub(super) fn unused(counts: &Counts, exchanges: Option<&ExchangeSummary>) -> Option<String> {
    let ExchangeSummary { rules, again, others, prefixed, .. } = exchanges?;
    let Counts { read, conflicts, rejected, .. } = *counts;
    if read > rejected + conflicts || !rules.is_empty() || *again > 0 || *others == 0 {
        return None;
    }
    let hint = match prefixed {
        0 => "paths of the API begin with /api/v2/, or with rest_v2.path_prefix before that".to_owned(),
        _ => format!("{prefixed} have something before /api/v2/, which rest_v2.path_prefix can name"),
    };
    Some(format!(
        "nothing of it was used: {others} exchanges are of other paths than those of the Pass REST API V2; {hint}"
    ))
}

/// Something that its caller should be told, though the work is done. The texts name the input and the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    #[error("{path}: is empty")]
    Empty { path: String },
    #[error("{path}:{line}: {reason}")]
    Rejected { path: String, line: u64, reason: String },
    #[error("{path}:{line}: {}", conflict_reason(.first))]
    Conflict {
        /// The input of the line that was left out.
        path: String,
        line: u64,
        first: FirstLine,
    },
    /// Lines were rejected of an input whose format nobody said.
    #[error("{path}: was taken for {}, because {}; if it is none, say --format", guess.format.name(), guess.because)]
    Guessed {
        path: String,
        /// What it was taken for.
        guess: Guess,
    },
    #[error("{path}: {count} rejected lines were kept before, in {file}")]
    KeptBefore {
        path: String,
        count: u64,
        /// Where the last of them is.
        file: String,
    },
    #[error("{path}: {count} more rejected lines are counted and not kept; ingest.rejects_max limits them")]
    NotKept { path: String, count: u64 },
    #[error("{0} more rejected lines are not named here")]
    MoreRejected(u64),
    #[error("{0} more conflicts are not named here")]
    MoreConflicts(u64),
    /// `X-Device-Info` headers did not decode: their events have no device.
    #[error(
        "{path}:{line}: X-Device-Info does not decode as Base64 of a JSON object; so {count} exchanges have no device information"
    )]
    BrokenDeviceInfo {
        path: String,
        /// The first line with one.
        line: u64,
        count: u64,
    },
    /// Bodies of requests could not be read: their events lack what these say.
    #[error(
        "{path}:{line}: {why}; so {count} exchanges have events without what it says (a resource, an MVPD), and those of further resources are missing"
    )]
    UnreadBody {
        path: String,
        /// The first line with one.
        line: u64,
        /// Its member, and what is wrong with it.
        why: &'static str,
        count: u64,
    },
    #[error("{path}: {why}")]
    Unused { path: String, why: String },
    #[error("{path}: no event stands for {metrics}; these were passed over")]
    SkippedMetrics { path: String, metrics: String },
    #[error(
        "{path}:{record}: {count} counts are lower than when they were read before, by {units} units together; what was counted stays"
    )]
    Decreased {
        path: String,
        /// The first record with one.
        record: u64,
        count: u64,
        units: u64,
    },
    /// A report has as many rows as it may have.
    #[error(
        "{path}: has all {limit} rows that it may have, so others are missing; fetch it in shorter parts"
    )]
    TruncatedReport {
        path: String,
        /// The limit that it names.
        limit: u64,
    },
    #[error("keys that no event has were kept out: {0}")]
    UnknownKeys(UnknownKeys),
}

/// The line that an event was first read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstLine {
    /// Its input; empty where the event has expired from the buffer.
    pub path: String,
    pub line: u64,
}

impl FirstLine {
    pub(super) fn of(conflict: &Conflict) -> FirstLine {
        FirstLine { path: conflict.first_path.clone(), line: conflict.first_line }
    }
}

/// What a conflict is, for people.
pub(super) fn conflict_reason(first: &FirstLine) -> String {
    let which = match first.path.as_str() {
        "" => "an event that has expired from the buffer".to_owned(),
        path => format!("{path}:{}", first.line),
    };
    format!("has the event_id of {which} and other content; the first one stays")
}

/// An input that could not be read to its end; the whole lines before the break are stored.
#[derive(Debug)]
pub struct InputFailure {
    /// The input as it was named.
    pub path: String,
    pub error: InputError,
}

/// The input, what broke, and why, in one line.
impl fmt::Display for InputFailure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.path, self.error)?;
        let mut cause = self.error.source();
        while let Some(error) = cause {
            write!(out, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// What an ingest did. Serialises as `ingest --json` prints it.
#[derive(Debug, Serialize)]
pub struct IngestSummary {
    /// Every input, in the order given.
    pub inputs: Vec<InputSummary>,
    pub total: Counts,
    /// Rejected lines and conflicts that an earlier run kept.
    #[serde(skip_serializing_if = "is_zero")]
    pub rejects_kept_before: u64,
    /// Rejected lines and conflicts above `ingest.rejects_max`: counted, and kept nowhere.
    #[serde(skip_serializing_if = "is_zero")]
    pub rejects_not_kept: u64,
    /// What became of exchanges, where inputs held them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchanges: Option<ExchangeSummary>,
    /// What reports of ESM held beside their events, where inputs were such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub esm: Option<EsmSummary>,
    /// The inputs that could not be read to their end.
    #[serde(skip)]
    pub failures: Vec<InputFailure>,
    /// What else should be told; bounded.
    #[serde(skip)]
    pub warnings: Vec<Warning>,
    /// The file of the rejected lines and of the conflicts, where there are any; durable. That of an earlier run, where only
    /// that one kept them.
    #[serde(skip)]
    pub rejects_path: Option<PathBuf>,
    /// Why rows were left in the inbox, where they were; always `None` of files.
    #[serde(skip)]
    pub left: Option<IngestError>,
}

pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A summary in the making.
pub(super) struct Tally {
    summary: IngestSummary,
    unknown: UnknownKeys,
}

impl Tally {
    pub(super) fn new(paths: impl Iterator<Item = String>) -> Tally {
        let inputs =
            paths.map(|path| InputSummary { path, counts: Counts::default(), unused: None }).collect();
        let summary = IngestSummary {
            inputs,
            total: Counts::default(),
            rejects_kept_before: 0,
            rejects_not_kept: 0,
            exchanges: None,
            esm: None,
            failures: Vec::new(),
            warnings: Vec::new(),
            rejects_path: None,
            left: None,
        };
        Tally { summary, unknown: UnknownKeys::default() }
    }

    pub(super) fn path(&self, input: usize) -> &str {
        &self.summary.inputs[input].path
    }

    pub(super) fn counts(&self, input: usize) -> &Counts {
        &self.summary.inputs[input].counts
    }

    pub(super) fn total(&self) -> &Counts {
        &self.summary.total
    }

    /// Counts an event that is not offered to the buffer.
    pub(super) fn seen(&mut self, input: usize) {
        self.add(input, &Counts { read: 1, ..Counts::default() });
    }

    pub(super) fn stored(&mut self, input: usize, report: &StoreReport) {
        let conflicts = report.conflicts.len() as u64;
        for (conflict, named) in report.conflicts.iter().zip(self.summary.total.conflicts..) {
            self.name_conflict(input, conflict, named);
        }
        let (stored, duplicates) = (report.stored, report.duplicates);
        let read = stored + duplicates + conflicts;
        self.add(input, &Counts { read, stored, duplicates, conflicts, rejected: 0 });
    }

    pub(super) fn rejected(&mut self, input: usize, line: u64, reason: String) {
        if self.summary.total.rejected < NAMED_MAX {
            let path = self.path(input).to_owned();
            self.summary.warnings.push(Warning::Rejected { path, line, reason });
        }
        self.add(input, &Counts { read: 1, rejected: 1, ..Counts::default() });
    }

    /// Tells what an input was taken for, where lines of it were rejected.
    pub(super) fn guessed(&mut self, input: usize, guess: Option<&Guess>) {
        if let (Some(guess), 1..) = (guess, self.counts(input).rejected) {
            let path = self.path(input).to_owned();
            self.summary.warnings.push(Warning::Guessed { path, guess: guess.clone() });
        }
    }

    /// Tells which rejects of an input are not in this run's file.
    pub(super) fn kept(&mut self, input: usize, kept: &Kept) {
        let path = || self.summary.inputs[input].path.clone();
        let mut warnings = Vec::new();
        if kept.before > 0 {
            let file = kept.before_in.display().to_string();
            warnings.push(Warning::KeptBefore { path: path(), count: kept.before, file });
            self.summary.rejects_path = Some(kept.before_in.clone());
        }
        if kept.left_out > 0 {
            warnings.push(Warning::NotKept { path: path(), count: kept.left_out });
        }
        self.summary.warnings.append(&mut warnings);
        self.summary.rejects_kept_before += kept.before;
        self.summary.rejects_not_kept += kept.left_out;
    }

    pub(super) fn empty(&mut self, input: usize) {
        let path = self.path(input).to_owned();
        self.summary.warnings.push(Warning::Empty { path });
    }

    pub(super) fn failed(&mut self, input: usize, error: InputError) {
        let path = self.path(input).to_owned();
        self.summary.failures.push(InputFailure { path, error });
    }

    pub(super) fn exchanges(&mut self, input: usize, exchanges: &ExchangeSummary) {
        let all = self.summary.exchanges.get_or_insert_default();
        if let (None, Some(line)) = (all.first_broken_device_info, exchanges.first_broken_device_info) {
            let (path, count) = (self.path(input).to_owned(), exchanges.broken_device_infos);
            self.summary.warnings.push(Warning::BrokenDeviceInfo { path, line, count });
        }
        if let Some((line, why)) = exchanges.first_unread_body {
            let (path, count) = (self.path(input).to_owned(), exchanges.unread_bodies);
            self.summary.warnings.push(Warning::UnreadBody { path, line, why, count });
        }
        self.summary.exchanges.get_or_insert_default().add(exchanges);
    }

    /// Tells of an input that was read, and of which nothing was used.
    pub(super) fn ended(&mut self, input: usize, exchanges: Option<&ExchangeSummary>) {
        if let Some(why) = unused(self.counts(input), exchanges) {
            let path = self.path(input).to_owned();
            self.summary.warnings.push(Warning::Unused { path, why: why.clone() });
            self.summary.inputs[input].unused = Some(why);
        }
    }

    pub(super) fn esm(&mut self, input: usize, esm: &EsmSummary) {
        let path = || self.summary.inputs[input].path.clone();
        let mut warnings = Vec::new();
        if !esm.skipped_metrics.is_empty() {
            let metrics: Vec<_> = esm.skipped_metrics.keys().map(String::as_str).collect();
            warnings.push(Warning::SkippedMetrics { path: path(), metrics: metrics.join(", ") });
        }
        if let Some(record) = esm.first_decrease {
            let (count, units) = (esm.decreases, esm.decreased_units);
            warnings.push(Warning::Decreased { path: path(), record, count, units });
        }
        if let Some(limit) = esm.truncated_at {
            warnings.push(Warning::TruncatedReport { path: path(), limit });
        }
        self.summary.warnings.append(&mut warnings);
        self.summary.esm.get_or_insert_default().add(esm);
    }

    pub(super) fn unknown(&mut self, unknown: &UnknownKeys) {
        self.unknown.absorb(unknown);
    }

    pub(super) fn finish(mut self, rejects_path: Option<PathBuf>) -> IngestSummary {
        let warnings = &mut self.summary.warnings;
        let Counts { rejected, conflicts, .. } = self.summary.total;
        if rejected > NAMED_MAX {
            warnings.push(Warning::MoreRejected(rejected - NAMED_MAX));
        }
        if conflicts > NAMED_MAX {
            warnings.push(Warning::MoreConflicts(conflicts - NAMED_MAX));
        }
        if !self.unknown.is_empty() {
            warnings.push(Warning::UnknownKeys(self.unknown));
        }
        self.summary.rejects_path = rejects_path.or(self.summary.rejects_path);
        self.summary
    }

    fn name_conflict(&mut self, input: usize, conflict: &Conflict, named: u64) {
        if named < NAMED_MAX {
            self.summary.warnings.push(Warning::Conflict {
                path: self.path(input).to_owned(),
                line: conflict.line,
                first: FirstLine::of(conflict),
            });
        }
    }

    fn add(&mut self, input: usize, counts: &Counts) {
        self.summary.inputs[input].counts.add(counts);
        self.summary.total.add(counts);
    }
}
