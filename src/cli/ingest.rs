//! `ingest`: events from files or standard input.

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::builder::{PathBufValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::runtime::Builder;

use super::context::spare_files;
use super::progress::IngestProgress;
use super::pull::{warn_of_large_counts, write_esm};
use super::safe::without_passwords;
use super::signals::{self, Hangup};
use super::spool::{Moved, Spool};
use super::table::write_notes;
use super::{
    Context, Ended, Exit, Failure, Form, Settings, Table, on_file, options, output, refused, shared,
};
use crate::buffer::Buffer;
use crate::drain::Stop;
use crate::event::{DaySpan, Instant, PassEvent, RequestorId, Slice};
use crate::ingest::{
    self, Counts, Door, FormatChoice, IngestOptions, IngestSummary, InputPath, Maps, Origin, RejectsLimit,
};
use crate::readers::rest_v2::{ExchangeSummary, Rule, secret_name};
use crate::readers::{Format, event_key};

/// Stores events from files or standard input, each exactly once.
///
/// Plain, gzip and Zstandard inputs are told apart by their content. What is reported as stored is on disk. A line
/// that is no event, or that conflicts with a stored event of the same event_id, is written to a file in
/// ingest.rejects_dir, with its file, line and reason. All other lines are stored. Correct the lines in that file,
/// and ingest it. A file can be ingested again, whole or in part: nothing is stored twice.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/ingest.txt").trim_ascii_end())]
pub(super) struct Args {
    #[command(flatten)]
    of: OfArgs,
    #[command(flatten)]
    accept: AcceptArgs,
    /// The name of standard input in reports, rejects and the buffer.
    #[arg(long, value_name = "NAME", default_value = "-", value_parser = name_of_source)]
    source: String,
    /// Read and check everything, but store nothing. Each event is printed in its canonical form as NDJSON, and the
    /// counts go to standard error. With --json only the counts are printed, to standard output.
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run, say for each event which line it comes from and, if that is an exchange, which rule of the derivation made it.
    #[arg(long, requires = "dry_run")]
    why: bool,
    /// Show by endpoint and rule how many exchanges were counted, how many were passed over, and why.
    #[arg(long)]
    summary: bool,
    /// The most lines to reject, such as 100 or 0.5%. If more are rejected, the status is 1, and neither the current portion of
    /// 10,000 lines nor anything after it is stored. A percentage applies from 1,000 lines on, and at the end of each input.
    #[arg(long, value_name = "N|N%", value_parser = rejects_limit)]
    max_rejects: Option<RejectsLimit>,
    /// Take the files of this folder. Each is then moved to the subfolder done, or to rejected if not all of it was used.
    /// Names that begin with a dot or end with .part are passed over. A file that changes while it is read stays.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["inputs", "dry_run"])]
    spool: Option<PathBuf>,
    /// The files, folders with all files below them, or quoted patterns such as 'x/*.ndjson'. `-` is standard input.
    #[arg(value_name = "FILE", default_value = "-", value_parser = input())]
    inputs: Vec<PathBuf>,
}

/// What the inputs are, and what of them is taken.
#[derive(Debug, clap::Args)]
pub(super) struct OfArgs {
    /// The format of the inputs.
    #[arg(long, value_parser = format(), default_value = "auto")]
    pub(super) format: FormatChoice,
    /// The map of the keys and values of NDJSON and CSV: a section [map.NAME] of the configuration, or a file with such keys.
    #[arg(long, value_name = "NAME|FILE")]
    pub(super) map: Option<String>,
    /// Make the ID of an event that has none from these keys. Events that are equal in all of them are one event; if they differ in another key, they conflict.
    #[arg(long, value_name = "KEYS", value_delimiter = ',', value_parser = id_key)]
    event_id_from: Vec<String>,
    /// Take only events that happened at or after this instant.
    #[arg(long, value_name = "INSTANT")]
    from: Option<Instant>,
    /// Take only events that happened before this instant.
    #[arg(long, value_name = "INSTANT")]
    to: Option<Instant>,
    /// Take only events of this requestor; may be given several times.
    #[arg(long = "requestor", value_name = "ID")]
    requestors: Vec<RequestorId>,
}

/// What is accepted of files that look wrong.
#[derive(Debug, clap::Args)]
pub(super) struct AcceptArgs {
    /// Accept that many events are added to these days (UTC), which were delivered already: 2026-11-20 or 2026-11-20..2026-11-22, several with commas.
    #[arg(long, value_name = "DAYS", value_delimiter = ',')]
    pub(super) accept_days: Vec<DaySpan>,
    /// Accept that all events of a file lack these keys, which nearly all events before it had.
    #[arg(long, value_name = "KEYS", value_delimiter = ',', value_parser = event_key)]
    pub(super) accept_missing: Vec<&'static str>,
}

impl OfArgs {
    pub(super) fn options(&self, settings: &Settings, context: &Context) -> Result<IngestOptions, Failure> {
        let mut options = options::keyed_ingest(settings, self.format, &context.clock)?;
        options.slice = self.slice()?;
        if let Some(name) = &self.map {
            let (name, config) = options::map_named(settings, name)?;
            options.maps = Maps::of(&name, &config).expect("the map was checked when it was read");
        }
        Ok(options)
    }

    pub(super) fn slice(&self) -> Result<Slice, Failure> {
        let OfArgs { from, to, requestors, event_id_from, .. } = self;
        if from.zip(*to).is_some_and(|(from, to)| from >= to) {
            return Err(refused(
                "--from is not before --to, so no event is between them",
                "give the earlier instant as --from",
            ));
        }
        let (requestors, event_id_from) = (requestors.clone(), event_id_from.clone());
        Ok(Slice { from: *from, to: *to, requestors, event_id_from })
    }
}

fn id_key(name: &str) -> Result<String, String> {
    match event_key(name.trim())? {
        "event_id" => Err("event_id is what is made".to_owned()),
        key => Ok(key.to_owned()),
    }
}

/// Refuses an empty name, and a name with a secret, because the buffer, rejects and reports show the names of inputs.
fn name_of_source(name: &str) -> Result<String, String> {
    let is_bad = name.is_empty() || without_passwords(name) != name || secret_name(name, None).is_some();
    let why = "it is empty, or has a password, token or signature, which would be kept: leave it out";
    if is_bad { Err(why.to_owned()) } else { Ok(name.to_owned()) }
}

/// Parses the name of a file, folder or pattern. It may hold a secret, if a file is named after the URL it came from.
pub(super) fn input() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| name_of_source(&path.to_string_lossy()).map(|_| path))
}

fn rejects_limit(text: &str) -> Result<RejectsLimit, String> {
    let percent = |text: &str| text.parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
    let found = match text.strip_suffix('%') {
        Some(text) => percent(text).map(RejectsLimit::Percent),
        None => text.parse().ok().map(RejectsLimit::Lines),
    };
    found.ok_or_else(|| format!("{text:?} is neither a number of lines nor a percentage, such as 0.5%"))
}

/// Parses the name of a format; the help explains each name.
pub(super) fn format() -> impl TypedValueParser<Value = FormatChoice> {
    let formats = [
        (Format::Ndjson, "One canonical event as a JSON object per line"),
        (Format::Csv, "A header row of property names, then one event per row"),
        (Format::RestV2, "Exchanges with the Pass REST API V2, one per line; events follow from them"),
        (Format::Har, "The same exchanges as an HTTP archive (HAR 1.2), as browsers and proxies save them"),
        (
            Format::Esm,
            "A report of Entitlement Service Monitoring by hour or minute, as JSON, XML or CSV: events with a count",
        ),
    ];
    let formats = formats.map(|(format, meaning)| PossibleValue::new(format.as_str()).help(meaning));
    let auto = PossibleValue::new("auto").help("By the name of each input, then by its content");
    PossibleValuesParser::new([auto].into_iter().chain(formats))
        .map(|word| word.parse().map_or(FormatChoice::Auto, FormatChoice::Is))
}

#[derive(Debug, Serialize)]
pub(super) struct IngestReport {
    #[serde(flatten)]
    pub(super) summary: IngestSummary,
    dry_run: bool,
    failures: Vec<String>,
    /// The failure of the first input that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    rejects: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spool: Option<Moved>,
    /// True if the text shows the result for exchanges.
    #[serde(skip)]
    pub(super) shows_exchanges: bool,
}

impl IngestReport {
    pub(super) fn new(summary: IngestSummary, dry_run: bool) -> IngestReport {
        let failures = summary.failures.iter().map(ToString::to_string).collect();
        let rejects = summary.rejects_path.clone();
        let failure =
            summary.failures.first().map(if dry_run { Failure::of_unstored } else { Failure::of_input });
        IngestReport { rejects, failures, failure, summary, dry_run, spool: None, shows_exchanges: false }
    }

    /// Prints, after the report, why inputs could not be read to their end. Returns the exit status.
    fn exit(&self, form: Form) -> Exit {
        let Counts { rejected, conflicts, .. } = self.summary.total;
        let is_unused = self.summary.inputs.iter().any(|input| input.unused.is_some());
        let of = if self.dry_run { Failure::of_unstored } else { Failure::of_input };
        let told = self.summary.failures.iter().map(|failure| form.failure(&of(failure)));
        if let Some(exit) = told.reduce(|_, exit| exit) {
            exit
        } else if rejected + conflicts > 0 || is_unused {
            Exit::Unclean
        } else {
            Exit::Done
        }
    }

    fn counts(&self) -> Table {
        let headings: &[&str] = match self.dry_run {
            true => &["input", "read", "events", "rejected"],
            false => &["input", "read", "stored", "duplicates", "conflicts", "rejected"],
        };
        let mut table = Table::new(headings);
        let inputs = self.summary.inputs.iter().map(|input| (input.path.as_str(), &input.counts));
        let total = (self.summary.inputs.len() > 1).then_some(("total", &self.summary.total));
        for (name, Counts { read, stored, duplicates, conflicts, rejected }) in inputs.chain(total) {
            if self.dry_run {
                table.row(&[&name, read, &(read - rejected), rejected]);
            } else {
                table.row(&[&name, read, stored, duplicates, conflicts, rejected]);
            }
        }
        table
    }

    fn write_exchanges(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(exchanges) = &self.summary.exchanges else { return Ok(()) };
        let ExchangeSummary { others, prefixed, kept_answers, uncounted, again, recovered, late, .. } =
            exchanges;
        let by_status: Vec<_> =
            uncounted.iter().map(|(status, count)| format!("{status} ({count})")).collect();
        let statuses = format!(
            "were refused before they were processed, redirected, failed or not answered (0), so they count nothing; by status: {}",
            by_status.join(", ")
        );
        let notes = [
            (*others, "of other paths than those of the API were passed over"),
            (
                *prefixed,
                "of these have something before /api/v2/, which rest_v2.path_prefix can name, or capitals where Adobe has none",
            ),
            (
                *kept_answers,
                "have an answer that the browser had kept, so they were no calls and were passed over",
            ),
            (uncounted.values().sum(), &statuses),
            (*again, "are repeats of what was read before"),
            (*recovered, "were taken for repeats by an earlier release, and are counted now"),
            (*late, "are out of order by more than rest_v2.reorder_seconds"),
        ];
        write_notes(out, notes.map(|(count, what)| (count, format!("exchanges: {count} {what}"))))?;
        if !self.shows_exchanges {
            return Ok(());
        }
        let mut table = Table::new(&["endpoint", "rule", "what it is", "exchanges", "events"]);
        for ((endpoint, rule), (count, events)) in &exchanges.rules {
            table.row(&[endpoint, &rule.number, &rule.about, count, events]);
        }
        writeln!(out, "{table}")?;
        if !exchanges.service_tokens.is_empty() {
            let tokens = exchanges.service_tokens.iter();
            let tokens: Vec<_> = tokens.map(|(check, count)| format!("{count} {check}")).collect();
            writeln!(out, "  service tokens: {}", tokens.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for IngestReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_exchanges(out)?;
        self.counts().fmt(out)?;
        let esm = self.summary.esm.as_ref().filter(|_| !self.dry_run);
        write_esm(out, esm, self.summary.total.read)?;
        match &self.rejects {
            _ if self.dry_run => write!(out, "  nothing was stored (--dry-run)"),
            Some(path) => {
                writeln!(
                    out,
                    "  rejected lines: {} (mend them there, and ingest that file; those of exchanges and ESM reports have no text: \
                     mend the source, and ingest it again)",
                    path.display()
                )?;
                let count = self.summary.rejects_not_kept;
                write_notes(out, [(count, format!("{count} more are kept nowhere: ingest.rejects_max"))])
            }
            None => Ok(()),
        }
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Ended {
    let settings = context.settings()?;
    let mut options = args.of.options(&settings, context)?;
    options.accept_days = Some(args.accept.accept_days.clone());
    options.accept_missing.clone_from(&args.accept.accept_missing);
    let spool = args.spool.as_deref().map(Spool::open).transpose()?;
    let inputs = || ingest::expand(&args.inputs, &args.source);
    let inputs = spool.as_ref().map_or_else(inputs, Spool::inputs);
    let is_shared = on_file::is_on_postgres(&settings);
    if args.dry_run {
        // With the buffer's secret, a dry run gives the same events as a later ingest.
        if options.secret.is_none() && !is_shared && settings.config.buffer.path.exists() {
            options.secret =
                Some(Buffer::open(&context.buffer_options(&settings)?)?.source_secret()?.to_vec());
        }
        return preview(&inputs, &options, args, context);
    }
    let (shared, buffer) = if is_shared {
        (Some(shared::door(&settings)?), None)
    } else {
        (None, Some(Buffer::open(&context.buffer_options(&settings)?)?))
    };
    let doors =
        [buffer.as_ref().map(|buffer| buffer as &dyn Door), shared.as_ref().map(|door| door as &dyn Door)];
    let door = doors.into_iter().flatten().next().expect("there is one of the two");
    let stop = Stop::default();
    spare_files().map_err(Failure::starting)?;
    // Loading blocks this thread, so another thread handles signals.
    let runtime =
        Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(Failure::starting)?;
    runtime.block_on(async { signals::listen(stop.clone(), Hangup::Stops) })?;
    let mut progress = IngestProgress::new(stop);
    progress.rejects_limit = args.max_rejects;
    let loaded = ingest::load(door, &inputs, &options, &mut progress);
    drop(progress);
    let summary = loaded?;
    let moved = spool.map(|spool| spool.clear(&summary)).transpose()?;
    let report =
        IngestReport { shows_exchanges: args.summary, spool: moved, ..IngestReport::new(summary, false) };
    report.summary.warnings.iter().for_each(output::warn);
    if let Some(buffer) = buffer.as_ref().filter(|_| report.summary.esm.is_some()) {
        warn_of_large_counts(buffer)?;
    }
    context.form.report(&report)?;
    Ok(report.exit(context.form))
}

#[derive(Serialize)]
struct Explained<'a> {
    #[serde(flatten)]
    event: &'a PassEvent,
    why: Value,
}

fn preview(inputs: &[InputPath], options: &IngestOptions, args: &Args, context: &Context) -> Ended {
    let summary = match context.form {
        Form::Json => ingest::preview(inputs, options, &mut |_, _| ControlFlow::Continue(())),
        Form::Text => {
            let mut lines = output::Lines::new();
            let summary = ingest::preview(inputs, options, &mut |event, Origin { line, rule }| {
                if args.why {
                    let named = |rule: Rule| json!({"line": line, "rule": rule, "rule_name": rule.about});
                    let why = rule.map_or_else(|| json!({ "line": line }), named);
                    lines.json(&Explained { event, why })
                } else {
                    lines.json(event)
                }
            });
            lines.finish()?;
            summary
        }
    };
    let report = IngestReport { shows_exchanges: args.summary, ..IngestReport::new(summary, true) };
    report.summary.warnings.iter().for_each(output::warn);
    match context.form {
        Form::Json => context.form.report(&report)?,
        Form::Text => output::note(&report),
    }
    Ok(report.exit(context.form))
}
