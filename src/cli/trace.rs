//! `trace`: the life of one event, or of one line that became none.

use std::fmt;

use serde::Serialize;

use super::explain::explained;
use super::progress::{Progress, SEARCHED};
use super::table::write_notes;
use super::{Context, Ended, Failure, Settings, Table, refused};
use crate::buffer::{AttemptRecord, Buffer, RepeatRecord, Search, TracedEvent};
use crate::delivery::Sequence;
use crate::explain::Explanation;
use crate::ingest::{KeptReject, kept_rejects};
use crate::mapping::{SINGLE_HITS_MAX, serial};

/// Shows what became of one event: its source, its state, every attempt, and the hit, tag by tag.
///
/// An event is found by its ID at once, and so by its number. A serial, a user and a line of a large file are searched for. Of a
/// line that became no event, it says why: rejected, or known before. First successes are kept as long as their event, all other
/// attempts for buffer.retention_days. An event that has expired or was erased is told as that.
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
    /// A line of an input, by the path as it was ingested or the end of it; `-` is standard input.
    #[arg(long, value_name = "FILE:N", value_parser = place, group = "which")]
    line: Option<(String, u64)>,
    /// The most events to show, the first ones.
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
    /// The serials of its hits; none where its suite has event IDs off.
    serials: Vec<String>,
    hit: Explanation,
}

#[derive(Serialize)]
struct TraceReport {
    events: Vec<Life>,
    /// Events above `--limit`.
    not_shown: usize,
    /// Events that this line repeats, and where it is kept as rejected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repeats: Vec<RepeatRecord>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejects: Vec<KeptReject>,
}

pub(super) fn run(args: &Args, context: &Context) -> Ended {
    let (settings, buffer) = context.open()?;
    let mut report =
        TraceReport { events: Vec::new(), not_shown: 0, repeats: Vec::new(), rejects: Vec::new() };
    let mut found = args.find(&buffer, &settings, &mut report)?;
    report.not_shown = found.len().saturating_sub(args.limit);
    found.truncate(args.limit);
    for event in buffer.trace(&found)? {
        let hit = explained(&event.event, event.event_id, event.form.as_ref())?;
        report.events.push(Life { serials: hit.serials(), hit, event });
    }
    if report.events.is_empty() && report.repeats.is_empty() && report.rejects.is_empty() {
        return Err(args.nothing(&buffer)?);
    }
    context.done(&report)
}

impl Args {
    fn find(
        &self,
        buffer: &Buffer,
        settings: &Settings,
        report: &mut TraceReport,
    ) -> Result<Vec<Sequence>, Failure> {
        let search = |what: Search<'_>| {
            let mut progress = Progress::new(Some(0), SEARCHED);
            buffer.search(&what, &mut |searched, of| progress.show_search(searched, of))
        };
        Ok(match (&self.event_id, self.sequence, &self.serial, &self.user, &self.line) {
            (Some(id), ..) => buffer.find_id(id)?.into_iter().flatten().collect(),
            (_, Some(sequence), ..) => vec![Sequence(sequence)],
            (_, _, Some(wanted), ..) => {
                let wanted = wanted.trim().to_ascii_lowercase();
                search(Search::Identity(&|id, count| {
                    // Single hits of a count are numbered from 1.
                    let last = if count > 1 { count.min(SINGLE_HITS_MAX) } else { 0 };
                    (0..=last).any(|index| serial(id, index) == wanted)
                }))?
            }
            (_, _, _, Some(user), _) => search(Search::User(user))?,
            (.., Some((path, line))) => {
                let inputs = buffer.inputs_at(path)?;
                report.repeats = buffer.repeats_at(&inputs, *line)?;
                report.rejects = kept_rejects(&settings.config.ingest.rejects_dir, path, *line)?;
                search(Search::Line(&inputs, *line))?
            }
            (None, None, None, None, None) => Vec::new(),
        })
    }

    /// Why nothing was found.
    fn nothing(&self, buffer: &Buffer) -> Result<Failure, Failure> {
        let Some((path, line)) = &self.line else {
            let is_gone = match &self.event_id {
                Some(id) => !buffer.find_id(id)?.is_empty(),
                None => false,
            };
            return Ok(match is_gone {
                true => refused(
                    "the event has expired, or was erased: only its identity is kept, so that it is not stored again",
                    "buffer.retention_days says how long delivered events are kept",
                ),
                false => refused(
                    "the buffer has no such event",
                    "search by another mark: passbridge trace --help; was it ingested, is it older than buffer.retention_days?",
                ),
            });
        };
        let known = buffer.inputs_at(path)?;
        let Some(last) = known.last() else {
            return Ok(refused(
                format!("no input was given by the path {path:?}"),
                "give the path as it was ingested, or the end of it",
            ));
        };
        let opened_at = last.opened_at.to_the_second();
        Ok(refused(
            format!(
                "line {line} of {path:?} (read at {opened_at}) became no event, and no reject or repeat of it is kept"
            ),
            "it may be empty, a header, an exchange that counts nothing (passbridge ingest --dry-run --why shows which lines count), or an event that was deleted",
        ))
    }
}

impl fmt::Display for TraceReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, life) in self.events.iter().enumerate() {
            if number > 0 {
                writeln!(out)?;
            }
            life.fmt(out)?;
        }
        for RepeatRecord { seq, path, line, opened_at, is_conflict } in &self.repeats {
            let other = if *is_conflict { "the ID, but other content," } else { "the content" };
            let opened_at = opened_at.to_the_second();
            writeln!(
                out,
                "{path}:{line}, read at {opened_at}, has {other} of event {}: not stored again",
                seq.0
            )?;
        }
        for KeptReject { file, reason, .. } in &self.rejects {
            writeln!(out, "rejected: {reason}\n          kept in {}", file.display())?;
        }
        let more = self.not_shown as u64;
        write_notes(out, [(more, format!("{more} more events are not shown: --limit"))])
    }
}

impl fmt::Display for Life {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TracedEvent { seq, path, line, stored_at, backfill, state, since, run, reason, .. } = &self.event;
        let second = |at: &crate::event::Instant| at.to_the_second();
        let stored = stored_at.as_ref().map_or_else(String::new, |at| format!(", stored at {}", second(at)));
        let backfill = backfill.as_ref().map_or_else(String::new, |name| format!(", backfill {name}"));
        writeln!(out, "sequence  {}", seq.0)?;
        writeln!(out, "source    {path}:{line}{stored}{backfill}")?;
        let since = since.as_ref().map_or_else(String::new, |at| format!(" since {}", second(at)));
        let run = run.map_or_else(String::new, |run| format!(", run {}", run.0));
        let reason = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        writeln!(out, "state     {}{since}{run}{reason}", state.replace('_', " "))?;
        if self.event.in_doubt > 0 {
            writeln!(out, "in doubt  {} attempts may have been counted", self.event.in_doubt)?;
        }
        if !self.serials.is_empty() {
            writeln!(out, "serial    {}", self.serials.join(" "))?;
        }
        self.hit.fmt(out)?;
        let mut attempts = Table::new(&["attempt without success", "run", "reply"]);
        for AttemptRecord { at, run, reply } in &self.event.attempts {
            attempts.row(&[&second(at), &run.0, reply]);
        }
        attempts.write_below(out)?;
        let mut repeats = Table::new(&["came again, not stored", "line", "read at", "content"]);
        for RepeatRecord { path, line, opened_at, is_conflict, .. } in &self.event.repeats {
            repeats.row(&[
                path,
                line,
                &second(opened_at),
                &if *is_conflict { "another" } else { "the same" },
            ]);
        }
        repeats.write_below(out)
    }
}
