//! The result of an ingest: counts for each input, and the warnings for its caller.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::{IngestError, InputError};
use super::portion::{Portion, Reject, kind_of};
use super::rejects::Kept;
use super::unpack::Zeros;
use crate::buffer::{InputId, StoreReport};
use crate::event::LostKeys;
use crate::readers::esm::EsmSummary;
use crate::readers::rest_v2::ExchangeSummary;
use crate::readers::{Guess, SourceSummary, UnknownKeys};

/// The name of the inbox in places where a file has its path.
pub(super) const INBOX: &str = "inbox";
/// The most rejected lines, and the most conflicts, that warnings name. The file of rejects has more of them.
pub(super) const NAMED_MAX: u64 = 20;

/// The most reasons of an input by which its rejected lines are counted. Hostile lines could have a reason each.
const REASONS_MAX: usize = 50;

/// Counts of the events and rejected lines of one or more inputs. `read` is the sum of the other fields. In a
/// preview, `read` also counts the events, although they are not stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Events and rejected lines. For NDJSON and CSV, these are the lines that were not blank. An exchange or a record
    /// of ESM may give several events or none.
    pub read: u64,
    pub stored: u64,
    /// Events that were already stored.
    pub duplicates: u64,
    /// Events whose identity was already stored with other content. The first event stays.
    pub conflicts: u64,
    /// Lines that are no event, and events from the wrong kind of feed.
    pub rejected: u64,
}

impl Counts {
    /// Counts of a portion. `rejected` includes events that came from the wrong kind of feed.
    pub(super) fn of(report: &StoreReport, rejected: u64) -> Counts {
        let StoreReport { stored, duplicates, .. } = *report;
        let conflicts = report.conflicts.len() as u64;
        Counts { read: stored + duplicates + conflicts + rejected, stored, duplicates, conflicts, rejected }
    }

    pub fn add(&mut self, other: &Counts) {
        self.read += other.read;
        self.stored += other.stored;
        self.duplicates += other.duplicates;
        self.conflicts += other.conflicts;
        self.rejected += other.rejected;
    }
}

/// The counts of one input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct InputSummary {
    /// The path as the caller gave it; `inbox` if the events came from the table `inbox` of the buffer.
    pub path: String,
    #[serde(flatten)]
    pub counts: Counts,
    /// The reason why nothing of the input was used; `None` if something was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused: Option<String>,
    /// Events that were left out, because they are not in the slice that was asked for.
    #[serde(skip_serializing_if = "is_zero")]
    pub outside_slice: u64,
    /// The size of the input in bytes and its SHA-256, before unpacking, if the input was read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The rejected lines by reason; the reasons have no values of the lines.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rejected_by_reason: BTreeMap<String, u64>,
    /// The keys that nearly all events before this input had, and that no event of this input has.
    #[serde(skip_serializing_if = "LostKeys::is_empty")]
    pub lost_keys: LostKeys,
    /// The exchanges that gave no event, by the rule of the derivation, or as `other paths` or `seen before`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unused_by_rule: BTreeMap<String, u64>,
}

impl InputSummary {
    pub(super) fn rejected(&mut self, kind: String, lines: u64) {
        let is_new = !self.rejected_by_reason.contains_key(&kind);
        let is_full = is_new && self.rejected_by_reason.len() >= REASONS_MAX;
        let kind = if is_full { "other reasons".to_owned() } else { kind };
        *self.rejected_by_reason.entry(kind).or_default() += lines;
    }

    pub(super) fn exchanges(&mut self, exchanges: &ExchangeSummary) {
        let of_rules = exchanges.rules.iter().filter(|(_, (_, events))| *events == 0);
        let of_rules =
            of_rules.map(|((_, rule), (count, _))| (format!("{} {}", rule.number, rule.about), *count));
        let others = [("other paths", exchanges.others), ("seen before", exchanges.again)];
        for (what, count) in of_rules.chain(others.map(|(what, count)| (what.to_owned(), count))) {
            if count > 0 {
                *self.unused_by_rule.entry(what).or_default() += count;
            }
        }
    }
}

/// Says why no exchange or record of an input was used. `None` if the input has none, if this run or an earlier
/// run used one, or if every line was rejected for a reason of its own.
pub(super) fn unused(counts: &Counts, summary: &SourceSummary) -> Option<String> {
    if let Some(esm) = summary.esm.as_ref().filter(|_| counts.read == 0) {
        return esm.unused();
    }
    let exchanges = summary.exchanges.as_ref()?;
    let ExchangeSummary { again, others, prefixed, kept_answers, .. } = exchanges;
    let Counts { read, conflicts, rejected, .. } = *counts;
    let unprocessed = exchanges.unprocessed();
    if read > rejected + conflicts || exchanges.used() > unprocessed || *again > 0 {
        return None;
    }
    if unprocessed > 0 {
        return Some(format!(
            "nothing of it was used: {unprocessed} exchanges were refused before they were processed, or have no answer (look at response.status)"
        ));
    }
    if *others == 0 {
        let what = "exchanges have an answer that the browser had kept, so they were no calls";
        return (*kept_answers > 0).then(|| format!("nothing of it was used: {kept_answers} {what}"));
    }
    let hint = match prefixed {
        0 => "paths of the API begin with /api/v2/, or with rest_v2.path_prefix before that".to_owned(),
        _ => format!(
            "{prefixed} have something before /api/v2/, which rest_v2.path_prefix can name, or capitals where Adobe has none"
        ),
    };
    Some(format!(
        "nothing of it was used: {others} exchanges are of other paths than those of the Pass REST API V2; {hint}"
    ))
}

/// A remark for the caller. It does not mean that the ingest failed. If the remark is about a line, the text
/// names the input and the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// A line that is no event, or an event that the buffer refused.
    #[error("{path}:{line}: {reason}")]
    Rejected { path: String, line: u64, reason: String },
    #[error("{0}")]
    Noted(String),
}

/// An input that could not be read to its end. All whole lines before the failure are stored.
#[derive(Debug)]
pub struct InputFailure {
    pub path: String,
    pub error: InputError,
    /// Whether events of the input were stored before.
    pub has_stored: bool,
}

/// Writes the input, the error and its causes in one line.
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

/// The result of an ingest. Its JSON form is the output of `ingest --json`.
#[derive(Debug, Default, Serialize)]
pub struct IngestSummary {
    pub inputs: Vec<InputSummary>,
    pub total: Counts,
    /// Rejected lines and conflicts that were not kept again, because an earlier run kept them.
    #[serde(skip_serializing_if = "is_zero")]
    pub rejects_kept_before: u64,
    /// Rejected lines and conflicts above `ingest.rejects_max`. They are only counted.
    #[serde(skip_serializing_if = "is_zero")]
    pub rejects_not_kept: u64,
    /// What happened to the exchanges, as counts; `None` if no input has exchanges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchanges: Option<ExchangeSummary>,
    /// What ESM reports contain besides events; `None` if no input is an ESM report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub esm: Option<EsmSummary>,
    #[serde(skip)]
    pub failures: Vec<InputFailure>,
    /// Other remarks for the caller; their number is limited.
    #[serde(skip)]
    pub warnings: Vec<Warning>,
    /// The durable file with the rejected lines and conflicts: of this run, or of the earlier run that kept them.
    #[serde(skip)]
    pub rejects_path: Option<PathBuf>,
    /// The reason why rows stay in the inbox, if some do; always `None` for files.
    #[serde(skip)]
    pub left: Option<IngestError>,
    /// Keys of lines that are no key of an event, and how often each was met.
    #[serde(rename = "unknown_keys", skip_serializing_if = "UnknownKeys::is_empty")]
    unknown: UnknownKeys,
}

pub(crate) fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How an input ended.
pub(super) enum InputEnd {
    Empty,
    Unopened(InputError),
    /// The input was read to its end, or to the place where reading failed.
    Read {
        result: Result<(), InputError>,
        guess: Option<Guess>,
        zeros: Zeros,
        summary: Box<SourceSummary>,
        /// The number of bytes read, and their digest; of the whole input if `result` is no error.
        content: Option<(u64, String)>,
    },
}

impl IngestSummary {
    /// A summary for inputs that are not read yet.
    pub(super) fn of(paths: impl Iterator<Item = String>) -> IngestSummary {
        let inputs = paths.map(|path| InputSummary { path, ..InputSummary::default() }).collect();
        IngestSummary { inputs, ..IngestSummary::default() }
    }

    /// Counts an event that is not passed to the buffer.
    pub(super) fn seen(&mut self, input: usize) {
        self.add(input, &Counts { read: 1, ..Counts::default() });
    }

    /// Counts a portion: the result of storing its events, and the events that the buffer refused.
    pub(super) fn stored(
        &mut self,
        input: usize,
        portion: &Portion,
        report: &StoreReport,
        [mixed, lost]: &[Vec<Reject>; 2],
    ) {
        mixed.iter().for_each(|reject| self.rejected(input, reject));
        let unnamed = NAMED_MAX.saturating_sub(self.total.conflicts) as usize;
        lost.iter().take(unnamed).for_each(|conflict| self.name(input, conflict));
        self.add(input, &Counts::of(report, 0));
        self.inputs[input].outside_slice += portion.outside_slice;
        portion.rejects.iter().for_each(|reject| self.rejected(input, reject));
        let reasons = portion.reasons_not_held.iter();
        reasons.for_each(|(kind, lines)| self.inputs[input].rejected(kind.clone(), *lines));
        let unheld = portion.rejects_not_held;
        self.add(input, &Counts { read: unheld, rejected: unheld, ..Counts::default() });
    }

    /// Warns of what looks wrong in an input that is not kept out.
    pub(super) fn note_of(&mut self, input: usize, texts: impl IntoIterator<Item = String>) {
        let path = self.inputs[input].path.clone();
        texts.into_iter().for_each(|text| self.note(format!("{path}: {text}")));
    }

    pub(super) fn lost(&mut self, input: usize, lost: LostKeys) {
        self.note_of(input, [lost.to_string()]);
        self.inputs[input].lost_keys = lost;
    }

    /// Records why an input is kept out, and whether earlier events of the input are stored.
    pub(super) fn kept_out(&mut self, input: usize, why: String, id: InputId) {
        let mut why = format!("is kept out, because it {why}");
        if self.inputs[input].counts.stored > 0 {
            let id = id.0;
            why.push_str(&format!(
                "; what it has before these events is stored: passbridge pending take-back --input {id}"
            ));
        }
        self.unused(input, why);
    }

    pub(super) fn rejected(&mut self, input: usize, reject: &Reject) {
        if self.total.rejected < NAMED_MAX {
            self.name(input, reject);
        }
        self.inputs[input].rejected(kind_of(&reject.reason), 1);
        self.add(input, &Counts { read: 1, rejected: 1, ..Counts::default() });
    }

    fn name(&mut self, input: usize, Reject { line, reason, .. }: &Reject) {
        let path = self.inputs[input].path.clone();
        self.warnings.push(Warning::Rejected { path, line: *line, reason: reason.clone() });
    }

    /// Adds a note about the rejects of an input that are not in the file of this run.
    pub(super) fn kept(&mut self, input: usize, kept: Kept) {
        let Kept { before, left_out, before_in, .. } = kept;
        let path = self.inputs[input].path.clone();
        if before > 0 {
            let file = before_in.display();
            self.note(format!("{path}: {before} rejected lines were kept before, in {file}"));
            self.rejects_path = Some(before_in);
        }
        if left_out > 0 {
            let what = "more rejected lines are counted and not kept; ingest.rejects_max limits them";
            self.note(format!("{path}: {left_out} {what}"));
        }
        self.rejects_kept_before += before;
        self.rejects_not_kept += left_out;
    }

    pub(super) fn failed(&mut self, input: usize, error: InputError) {
        let InputSummary { path, counts, .. } = &self.inputs[input];
        let has_stored = counts.stored > 0;
        self.failures.push(InputFailure { path: path.clone(), error, has_stored });
    }

    /// Records the end of an input, and adds the remarks of its reader.
    pub(super) fn ended(&mut self, input: usize, end: InputEnd) {
        let path = self.inputs[input].path.clone();
        let (result, guess, zeros, summary, content) = match end {
            InputEnd::Empty => return self.note(format!("{path}: is empty")),
            InputEnd::Unopened(why @ InputError::OnlyZeros) => return self.unused(input, why.to_string()),
            InputEnd::Unopened(error) => return self.failed(input, error),
            InputEnd::Read { result, guess, zeros, summary, content } => {
                (result, guess, zeros, summary, content)
            }
        };
        (self.inputs[input].bytes, self.inputs[input].digest) = content.filter(|_| result.is_ok()).unzip();
        self.unknown.absorb(&summary.remarks.unknown);
        for (line, what) in summary.remarks.notes() {
            self.note(format!("{path}:{line}: {what}"));
        }
        if result.is_ok() {
            self.note_all(&path, zeros.notes());
        }
        let Counts { read, rejected, .. } = self.inputs[input].counts;
        if read == 0 && result.is_ok() && summary.is_empty() && path != INBOX {
            let what = "is empty but for its header or frame: nothing in it could be an event";
            self.note(format!("{path}: {what}"));
        }
        if let Some(Guess { format, because }) = guess.filter(|_| rejected > 0) {
            let taken = format!("{path}: was taken for {}, because {because}", format.as_str());
            self.note(format!("{taken}; if it is none, say --format"));
        }
        if let Some(exchanges) = &summary.exchanges {
            self.inputs[input].exchanges(exchanges);
            self.note_all(&path, exchanges.notes());
            self.exchanges.get_or_insert_default().add(exchanges);
        }
        if let Some(esm) = &summary.esm {
            self.note_all(&path, esm.notes());
            if let Some(limit) = esm.truncated_at {
                let what = "rows that it may have, so others are missing; fetch it in shorter parts";
                self.note(format!("{path}: has all {limit} {what}"));
            }
            self.esm.get_or_insert_default().add(esm);
        }
        if let Some(why) = unused(&self.inputs[input].counts, &summary) {
            self.unused(input, why);
        }
        let outside = self.inputs[input].outside_slice;
        if outside > 0 {
            self.note(format!("{path}: {outside} events are outside of the slice, and were left out"));
        }
        result.unwrap_or_else(|error| self.failed(input, error));
    }

    fn unused(&mut self, input: usize, why: String) {
        self.note(format!("{}: {why}", self.inputs[input].path));
        self.inputs[input].unused = Some(why);
    }

    fn note_all(&mut self, path: &str, notes: impl IntoIterator<Item = (Option<u64>, String)>) {
        for (line, what) in notes {
            let line = line.map_or(String::new(), |line| format!(":{line}"));
            self.note(format!("{path}{line}: {what}"));
        }
    }

    /// Ends the summary: adds how many lines were not named, the unknown keys, and the path of the rejects.
    pub(super) fn finish(&mut self, rejects_path: Option<&Path>) {
        let Counts { rejected, conflicts, .. } = self.total;
        for (count, what) in [(rejected, "rejected lines"), (conflicts, "conflicts")] {
            if count > NAMED_MAX {
                self.note(format!("{} more {what} are not named here", count - NAMED_MAX));
            }
        }
        if !self.unknown.is_empty() {
            self.note(format!("keys that no event has were kept out: {}", self.unknown));
        }
        self.rejects_path = rejects_path.map(Path::to_owned).or(self.rejects_path.take());
    }

    pub(super) fn note(&mut self, text: String) {
        self.warnings.push(Warning::Noted(text));
    }

    fn add(&mut self, input: usize, counts: &Counts) {
        self.inputs[input].counts.add(counts);
        self.total.add(counts);
    }
}
