//! `pull`: fetches counts from Adobe.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};
use serde::Serialize;

use super::advice::Judge;
use super::table::write_notes;
use super::{Context, Exit, Failure, Table, hint, options, output, refused, unless_stopped};
use crate::buffer::{Buffer, Feed};
use crate::esm::EsmClient;
use crate::ingest::{Counts, FormatChoice, Intake, Submission, SubmissionError, is_zero, rejects_limit};
use crate::mapping::SINGLE_HITS_MAX;
use crate::readers::Format;
use crate::readers::esm::EsmSummary;
use crate::suite::{CountForm, EventIds};

/// The default span in hours. Adobe probably corrects counts within this time.
const HOURS_DEFAULT: i64 = 48;
/// The most rejected records that are named. The file of rejects has more.
const REJECTS_NAMED_MAX: usize = 20;

/// Fetches what Adobe Pass counted.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Fetches reports of Entitlement Service Monitoring by hour, and stores their counts as events.
    ///
    /// An hour that is fetched again adds only the increase of its counts. Events of a requestor come either from ESM
    /// or one by one from another source, never from both. Hours are in the time zone of the reports, esm.timezone.
    #[command(after_help = include_str!("help/pull_esm.txt").trim_ascii_end())]
    Esm(Args),
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The first hour, such as 2026-11-10 or 2026-11-10T08. The default is 48 hours before --to or the first hour
    /// that was never fetched, whichever is earlier.
    #[arg(long, value_name = "HOUR", value_parser = hour)]
    from: Option<NaiveDateTime>,
    /// The hour after the last one. The default is the hour that has just begun.
    #[arg(long, value_name = "HOUR", value_parser = hour)]
    to: Option<NaiveDateTime>,
    /// Only the counts of these requestors.
    #[arg(long = "requestor", value_name = "ID")]
    requestors: Vec<String>,
    /// Fetch the reports and say what would be stored, but store nothing.
    #[arg(long)]
    dry_run: bool,
}

fn hour(text: &str) -> Result<NaiveDateTime, String> {
    let (date, hour) = text.split_once('T').unwrap_or((text, "00"));
    let hour = hour.trim_end_matches(":00");
    let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok();
    let at = date.zip(hour.parse().ok()).and_then(|(date, hour)| date.and_hms_opt(hour, 0, 0));
    at.ok_or_else(|| format!("{text:?} is no hour, such as 2026-11-10 or 2026-11-10T08"))
}

#[derive(Debug, Default, Serialize)]
struct PullReport {
    /// The first hour; `to` is the hour after the last. Both are in the time zone of the reports.
    from: String,
    to: String,
    dry_run: bool,
    /// The first hour before `from` that was never fetched; `None` if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_from: Option<String>,
    reports: u64,
    total: Counts,
    /// Rejected records above `ingest.rejects_max` or above the limit in memory: they are only counted.
    #[serde(skip_serializing_if = "is_zero")]
    rejects_not_kept: u64,
    esm: EsmSummary,
    /// The reason why the pull ended before the end of its span.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
}

/// Writes notes of what reports had beside new events: unique accounts, or counts that were all counted before.
pub(super) fn write_esm(out: &mut fmt::Formatter<'_>, esm: Option<&EsmSummary>, events: u64) -> fmt::Result {
    let records = esm.map_or(0, |esm| esm.stated_accounts);
    let same = esm.filter(|_| events == 0).map_or(0, |esm| esm.used - records);
    let same_note = format!(
        "nothing in {same} records is more than was counted before; what of that was discarded or cancelled stays counted until it is taken back"
    );
    write_notes(out, [(same, same_note)])?;
    let note = format!(
        "unique accounts of {records} records are kept as ESM stated them: passbridge report shows them"
    );
    write_notes(out, [(records, hint::complete(&note))])
}

impl fmt::Display for PullReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stored = if self.dry_run { "would be stored" } else { "stored" };
        let mut table = Table::new(&["reports", "events", stored, "duplicates", "rejected"]);
        let Counts { read, stored, duplicates, rejected, .. } = self.total;
        table.row(&[&self.reports, &read, &stored, &duplicates, &rejected]);
        write!(out, "from {} to {}\n{table}", self.from, self.to)?;
        write_esm(out, Some(&self.esm).filter(|_| !self.dry_run), read)
    }
}

pub(super) fn run(command: &Command, context: &Context) -> Result<Exit, Failure> {
    let Command::Esm(args) = command;
    let settings = context.settings()?;
    let config = &settings.config.esm;
    let now = DateTime::<Utc>::from(context.clock.now()).with_timezone(&config.timezone.0).naive_local();
    let this_hour = now.date().and_hms_opt(now.hour(), 0, 0).unwrap_or(now);
    let to = args.to.unwrap_or(this_hour);
    let buffer = Arc::new(Buffer::open(&context.buffer_options(&settings)?)?);
    let of = args.requestors.join(",");
    let fetched_to = buffer.pulled_to(&of)?.map(|at| DateTime::<Utc>::from(at).naive_utc());
    let usual = to - TimeDelta::hours(HOURS_DEFAULT);
    let from = args.from.unwrap_or_else(|| fetched_to.map_or(usual, |fetched_to| fetched_to.min(usual)));
    if from >= to || to > this_hour + Days::new(1) {
        return Err(refused(
            format!("from {from} to {to} is no span of hours that are over"),
            "give --from before --to, both on the clock of the reports",
        ));
    }
    let missing = fetched_to.filter(|fetched_to| *fetched_to < from);
    if let Some(missing) = missing {
        output::warn(hint::complete(&format!(
            "the hours from {missing} to {from} were never fetched; this fetches them: passbridge pull esm"
        )));
    } else if args.from.is_none() && from < usual {
        output::note(format_args!("note: goes on from {from}, up to where it was fetched last"));
    }
    let ingest = options::ingest(&settings, FormatChoice::Is(Format::Esm), &context.clock);
    let mut client =
        EsmClient::new(config.clone(), args.requestors.clone(), &options::proxy(), buffer.path())?;
    let mut pull = Pull {
        buffer: Arc::clone(&buffer),
        intake: Intake::new(buffer.clone(), ingest)?,
        rejects_max: settings.config.ingest.rejects_max,
        named: 0,
        of,
        report: PullReport {
            from: from.to_string(),
            to: to.to_string(),
            dry_run: args.dry_run,
            missing_from: missing.map(|missing| missing.to_string()),
            ..PullReport::default()
        },
    };
    let pulled = unless_stopped(client.each_report(from, to, |start, end, body| pull.take(start, end, body)));
    pull.tell();
    pull.report.failure = pulled.as_ref().err().cloned();
    if pull.report.reports > 0 || pulled.is_ok() {
        context.form.report(&pull.report)?;
    }
    warn_of_large_counts(&buffer)?;
    pulled?;
    let Counts { rejected, conflicts, .. } = pull.report.total;
    let is_unclean = rejected + conflicts > 0 || pull.report.esm.unused().is_some();
    Ok(if is_unclean { Exit::Unclean } else { Exit::Done })
}

struct Pull {
    buffer: Arc<Buffer>,
    /// The requestors that are pulled; empty for all.
    of: String,
    intake: Intake,
    rejects_max: u32,
    named: usize,
    report: PullReport,
}

impl Pull {
    fn take(&mut self, start: NaiveDateTime, end: NaiveDateTime, body: Vec<u8>) -> Result<(), Failure> {
        self.store(body).map_err(|error| {
            let what = format!("the ESM report of {start} to {end} was not stored");
            Failure::of(&what, Some(&error), error.judge())
        })?;
        if !self.report.dry_run {
            let [from, to] = [start, end].map(|at| at.and_utc().into());
            self.buffer.note_pulled(&self.of, from, to)?;
        }
        let stored = self.report.total.stored;
        tracing::info!(from = %start, to = %end, stored, "a report was pulled");
        Ok(())
    }

    fn store(&mut self, body: Vec<u8>) -> Result<(), SubmissionError> {
        let submission = Submission { path: "pull esm".to_owned(), format: Format::Esm, body, map: None };
        let taken = if self.report.dry_run {
            self.intake.preview(submission)
        } else {
            submission.unpack().and_then(|submission| {
                self.intake.take(vec![submission]).pop().expect("a receipt for each submission")
            })
        };
        let receipt = taken?;
        self.report.reports += 1;
        self.report.total.add(&receipt.counts);
        self.report.rejects_not_kept += receipt.rejects_not_kept;
        for error in receipt.errors.iter().take(REJECTS_NAMED_MAX - self.named) {
            output::warn(format_args!("record {}: {}", error.line, error.reason));
            self.named += 1;
        }
        receipt.notes.iter().chain(&receipt.unused).for_each(output::warn);
        if let Some(esm) = &receipt.esm {
            self.report.esm.add(esm);
        }
        Ok(())
    }

    fn tell(&self) {
        let unnamed = self.report.total.rejected + self.report.total.conflicts - self.named as u64;
        if unnamed > 0 {
            output::warn(format_args!("{unnamed} more rejected records are not named here"));
        }
        let not_kept = self.report.rejects_not_kept;
        if not_kept > 0 && !self.report.dry_run {
            let limit = rejects_limit(self.rejects_max);
            output::warn(format_args!("{not_kept} rejected records are kept nowhere: {limit}"));
        }
        self.report.esm.notes().iter().for_each(|(_, what)| output::warn(what));
    }
}

/// Warns of suites in which counts from ESM reports would become dead letters.
pub(super) fn warn_of_large_counts(buffer: &Buffer) -> Result<(), Failure> {
    let mut feeds = buffer.memory();
    for listing in buffer.suites()? {
        let form = &listing.suite.form;
        let takes_counts = form.event_ids == EventIds::Off || form.count_form == CountForm::CountWithId;
        let mut is_fed = false;
        for requestor in &listing.requestors {
            is_fed |= feeds.feed(requestor)?.is_some_and(|(feed, _)| feed == Feed::Esm);
        }
        if is_fed && !takes_counts {
            output::warn(format_args!(
                "report suite {} takes no count above {SINGLE_HITS_MAX}, and ESM's are often larger: they become dead letters\n  try: {}",
                form.rsid,
                hint::complete(&format!("passbridge suite set {} --count-with-id", form.rsid))
            ));
        }
    }
    Ok(())
}
