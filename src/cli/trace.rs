//! `trace`: what became of one event, or of one line that became no event.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::desk::Desk;
use super::explain::explained;
use super::progress::{Progress, SEARCHED};
use super::table::write_notes;
use super::{Context, Ended, Failure, Table, options, refused};
use crate::buffer::{AttemptRecord, InputRecord, RepeatRecord, Search, TracedEvent};
use crate::delivery::Sequence;
use crate::event::Instant;
use crate::explain::Explanation;
use crate::ingest::{self, FormatChoice, IngestOptions, InputPath, KeptReject, kept_rejects};
use crate::mapping::{SINGLE_HITS_MAX, serial};

/// Shows what became of one event: its source, its state, every attempt, and the hit, tag by tag.
///
/// An event is found at once by its ID or its number. For a serial, a user or a line of a large file, the buffer is searched. If a
/// line became no event, the command says whether it was rejected or known before. The first success of an event is kept as long as
/// the event, all other attempts for buffer.retention_days. If an event has expired or was erased, the command says so.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
#[command(after_help = include_str!("help/trace.txt").trim_ascii_end())]
pub(super) struct Args {
    /// The ID that its source gave the event, or the ID that `explain` shows.
    #[arg(value_name = "EVENT_ID", group = "which")]
    event_id: Option<String>,
    /// The number of the event in the buffer, as lists of events show it.
    #[arg(long, value_name = "N", group = "which")]
    sequence: Option<i64>,
    /// The serial by which Analytics counts a hit once.
    #[arg(long, group = "which")]
    serial: Option<String>,
    /// The events of this mvpd_user_id or visitor_id.
    #[arg(long, value_name = "ID", group = "which")]
    user: Option<String>,
    /// A line of an input: its path as it was ingested, or the end of that path, and the number of the line. `-` is standard input.
    #[arg(long, value_name = "FILE:N", value_parser = place, group = "which")]
    line: Option<(String, u64)>,
    /// The most events to show; the first ones are shown.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
}

fn place(text: &str) -> Result<(String, u64), String> {
    let place = text.rsplit_once(':').and_then(|(path, line)| Some((path.to_owned(), line.parse().ok()?)));
    place.ok_or_else(|| format!("{text:?} is no line of a file, such as night.ndjson:12"))
}

/// An event, and the hits that it becomes.
#[derive(Serialize)]
struct Life {
    #[serde(flatten)]
    event: TracedEvent,
    hit: Explanation,
}

#[derive(Default, Serialize)]
struct TraceReport {
    events: Vec<Life>,
    /// How many events are not shown because of `--limit`.
    not_shown: usize,
    /// The events that the line of `--line` repeats; `rejects` has the files that keep the line as rejected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repeats: Vec<RepeatRecord>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejects: Vec<KeptReject>,
    /// Why nothing of the input with that line was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    unused: Option<String>,
    /// The rule of the derivation for the exchange in that line, found by reading only the log that has the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
}

pub(super) fn run(args: &Args, context: &Context) -> Ended {
    let settings = context.settings()?;
    let desk = Desk::of(&settings, context)?;
    let mut report = TraceReport::default();
    let inputs = match &args.line {
        Some((path, _)) => desk.inputs(None, Some(path), usize::MAX)?,
        None => Vec::new(),
    };
    if let Some((_, line)) = &args.line {
        if let Desk::File(buffer) = &desk {
            report.repeats = buffer.repeats_at(&inputs, *line)?;
        }
        if let Some(input) = inputs.first() {
            report.unused = input.of_summary("unused").and_then(Value::as_str).map(str::to_owned);
            let taken_back = input.of_summary("taken_back");
            let taken_back = taken_back.map(|events| format!("{events} of its events were taken back"));
            report.unused = report.unused.or(taken_back);
            let options = options::keyed_ingest(&settings, FormatChoice::Auto, &context.clock)?;
            report.rule = rule_of(input, *line, options);
        }
    }
    let found = args.find(&desk, &inputs)?;
    let rejects_dir = &settings.config.ingest.rejects_dir;
    report.rejects = match (&args.line, &args.event_id) {
        (Some((path, line)), _) => {
            kept_rejects(rejects_dir, |kept| kept.line == *line && Path::new(&*kept.path).ends_with(path))?
        }
        (None, Some(id)) if found.is_empty() => kept_rejects(rejects_dir, |kept| has_word(&kept.text, id))?,
        (None, _) => Vec::new(),
    };
    report.not_shown = found.len().saturating_sub(args.limit);
    for sequence in found.iter().flatten().take(args.limit) {
        if let Some(event) = desk.trace(*sequence)? {
            let hit = explained(&event.event, event.event_id, event.form.as_ref())?;
            report.events.push(Life { hit, event });
        }
    }
    let TraceReport { events, repeats, rejects, unused, rule, .. } = &report;
    if (events.is_empty() && repeats.is_empty() && rejects.is_empty()) && unused.is_none() && rule.is_none() {
        let (what, advice) = match (&args.line, found.first()) {
            (_, Some(None)) => (
                "the event has expired, or was erased: only its identity is kept, so that it is not stored again",
                "buffer.retention_days says how long delivered events are kept",
            ),
            (Some(_), _) => (
                "the buffer has no event, repeat or reject of that line",
                "passbridge inputs list has the paths; an empty line, a header and an exchange that counts nothing are no event: \
                 passbridge ingest --dry-run --why shows which lines count",
            ),
            (None, _) => (
                "the buffer has no such event",
                "search by another mark: passbridge trace --help; was it ingested, taken back (passbridge inputs list), is it older than \
                 buffer.retention_days?",
            ),
        };
        return Err(refused(what, advice));
    }
    context.done(&report)
}

/// Whether a text has this ID, between signs that are no letters or digits.
fn has_word(text: &str, id: &str) -> bool {
    text.match_indices(id).any(|(at, _)| {
        let around = [text[..at].chars().next_back(), text[at + id.len()..].chars().next()];
        !around.into_iter().flatten().any(char::is_alphanumeric)
    })
}

/// The rule of a line, if its file had exchanges without an event, and has not changed since it was ingested.
fn rule_of(input: &InputRecord, line: u64, mut options: IngestOptions) -> Option<String> {
    let (_, digest) = (input.of_summary("unused_by_rule")?, input.of_summary("digest")?.as_str());
    options.rest_v2.asked_line = Some(line);
    let files = [InputPath::new(&input.path)];
    let summary = ingest::preview(&files, &options, &mut |_, _| ControlFlow::Continue(()));
    let is_as_it_was = summary.inputs[0].digest.as_deref() == digest;
    let rule = summary.exchanges.filter(|_| is_as_it_was)?.asked?;
    Some(format!("{} {}", rule.number, rule.about))
}

impl Args {
    /// The events that the arguments select; `None` for each event that has expired or was erased.
    fn find(&self, desk: &Desk, inputs: &[InputRecord]) -> Result<Vec<Option<Sequence>>, Failure> {
        if let Some(id) = &self.event_id {
            return desk.ask(|buffer| buffer.find_id(id), async |buffer| buffer.find_id(id).await);
        }
        if let Some(sequence) = self.sequence {
            return Ok(vec![Some(Sequence(sequence))]);
        }
        let wanted = self.serial.as_ref().map(|serial| serial.trim().to_ascii_lowercase());
        let has_serial = |id, count: u32| {
            // Single hits of a count are numbered from 1.
            let last = if count > 1 { count.min(SINGLE_HITS_MAX) } else { 0 };
            (0..=last).any(|index| Some(serial(id, index)) == wanted)
        };
        let search = Search {
            user: self.user.as_deref(),
            line: self.line.as_ref().map(|(_, line)| (inputs, *line)),
            is_it: wanted.is_some().then_some(&has_serial),
        };
        let mut progress = Progress::new(Some(0), SEARCHED);
        let mut tell = |searched, of| progress.show_search(searched, of);
        let found = match desk {
            Desk::File(buffer) => buffer.search(&search, &mut tell)?,
            Desk::Shared(runtime, buffer) => {
                runtime.block_on(buffer.borrow_mut().search(&search, &mut tell))?
            }
        };
        Ok(found.into_iter().map(Some).collect())
    }
}

impl fmt::Display for TraceReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.events.iter().try_for_each(|life| writeln!(out, "{life}"))?;
        for RepeatRecord { seq, path, line, opened_at, is_conflict } in &self.repeats {
            let other = if *is_conflict { "the ID, but other content," } else { "the content" };
            let opened_at = opened_at.to_the_second();
            writeln!(
                out,
                "{path}:{line}, read at {opened_at}, has {other} of event {}: not stored again",
                seq.0
            )?;
        }
        for KeptReject { path, line, file, reason } in &self.rejects {
            writeln!(out, "rejected: {path}:{line} {reason}\n          kept in {}", file.display())?;
        }
        if let Some(rule) = &self.rule {
            let end = if self.events.is_empty() { ", which gives no event" } else { "" };
            writeln!(out, "rule      {rule}{end} (if the file is read alone)")?;
        }
        if let Some(why) = self.unused.as_ref().filter(|_| self.events.is_empty()) {
            writeln!(out, "input     {why}")?;
        }
        let more = self.not_shown as u64;
        write_notes(out, [(more, format!("{more} more events are not shown: --limit"))])
    }
}

impl fmt::Display for Life {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TracedEvent { seq, path, line, stored_at, backfill, state, since, run, reason, in_doubt, .. } =
            &self.event;
        let (stored_at, since) = (stored_at.map(Instant::to_the_second), since.map(Instant::to_the_second));
        let part = |before: &str, value: Option<String>| {
            value.map_or_else(String::new, |value| format!("{before}{value}"))
        };
        writeln!(out, "sequence  {}", seq.0)?;
        let backfill = part(", backfill ", backfill.clone());
        writeln!(out, "source    {path}:{line}{}{backfill}", part(", stored at ", stored_at))?;
        let run = part(", run ", run.map(|run| run.0.to_string()));
        let reason = part(": ", reason.clone());
        writeln!(out, "state     {}{}{run}{reason}", state.replace('_', " "), part(" since ", since))?;
        if *in_doubt > 0 {
            writeln!(out, "in doubt  {in_doubt} attempts may have been counted")?;
        }
        self.hit.fmt(out)?;
        let is_shared = self.event.attempts.iter().any(|attempt| attempt.worker.is_some());
        let by = if is_shared { "worker" } else { "run" };
        let mut attempts = Table::new(&["attempt without success", by, "reply"]);
        for AttemptRecord { at, run, worker, reply } in &self.event.attempts {
            let by = worker.clone().or(run.map(|run| run.0.to_string())).unwrap_or_default();
            attempts.row(&[&at.to_the_second(), &by, reply]);
        }
        attempts.write_below(out)?;
        let mut repeats = Table::new(&["came again, not stored", "line", "read at", "content"]);
        for RepeatRecord { path, line, opened_at, is_conflict, .. } in &self.event.repeats {
            let content = if *is_conflict { "another" } else { "the same" };
            repeats.row(&[path, line, &opened_at.to_the_second(), &content]);
        }
        repeats.write_below(out)
    }
}
